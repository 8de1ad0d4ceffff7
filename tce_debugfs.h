/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tables, readable.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_DEBUGFS_H
#define TCE_DEBUGFS_H

#include <linux/types.h>

struct tce_debugfs;
struct tce_table;

/**
 * tce_debugfs_init() - make the module's directory
 *
 * Context: Module init.
 */
void tce_debugfs_init(void);

/**
 * tce_debugfs_exit() - remove the module's directory
 *
 * Context: Module exit.
 */
void tce_debugfs_exit(void);

/**
 * tce_debugfs_add() - show a table
 * @table: the table; stays until tce_debugfs_remove()
 * @start: bus address where it begins, bytes
 *
 * Nothing depends on whether this succeeds.
 *
 * Context: Process, may sleep.
 * Return: for tce_debugfs_remove(); NULL if there was no memory.
 */
struct tce_debugfs *tce_debugfs_add(struct tce_table *table, u64 start);

/**
 * tce_debugfs_remove() - show it no longer
 * @debugfs: from tce_debugfs_add()
 *
 * Nothing reads the table afterwards. Waits for no reader: one that cannot copy what it
 * has read to user space keeps nothing from going.
 *
 * Context: Process, may sleep.
 */
void tce_debugfs_remove(struct tce_debugfs *debugfs);

#endif /* TCE_DEBUGFS_H */
