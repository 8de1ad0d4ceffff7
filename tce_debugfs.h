/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Windows in debugfs.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_DEBUGFS_H
#define TCE_DEBUGFS_H

#include <linux/types.h>

struct iommu_table_group;
struct tce_debugfs;
struct tce_window;

/**
 * tce_debugfs_init() - create the module's directory
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
 * tce_debugfs_add() - create the directory of a window
 * @window: the window, which must not be freed before tce_debugfs_remove(). The
 *          current process is shown as the one that created it
 * @interface: version of the interface that it was created with, 1 or 2
 *
 * The caller may ignore a failure. The name of the directory is
 * N-pidP-groupG-windowW: N is tce_table_id(), P the PID of the process, G the
 * group that the window was created for, W the number of the window in its
 * groups.
 *
 * Context: Process, may sleep.
 * Return: the object for tce_debugfs_remove(), or NULL if there was no memory.
 */
struct tce_debugfs *tce_debugfs_add(struct tce_window *window,
				    unsigned int interface);

/**
 * tce_debugfs_add_group() - list a group that has the window
 * @debugfs: the result of tce_debugfs_add(); may be NULL
 * @table_group: the group
 *
 * If there is no memory, the group is not listed.
 *
 * Context: Process, may sleep.
 */
void tce_debugfs_add_group(struct tce_debugfs *debugfs,
			   struct iommu_table_group *table_group);

/**
 * tce_debugfs_remove_group() - no longer list a group
 * @debugfs: the result of tce_debugfs_add(); may be NULL
 * @table_group: the group, which need not be listed
 *
 * Context: Process, may sleep.
 */
void tce_debugfs_remove_group(struct tce_debugfs *debugfs,
			      struct iommu_table_group *table_group);

/**
 * tce_debugfs_remove() - remove the directory of a window
 * @debugfs: the result of tce_debugfs_add(); may be NULL
 *
 * Afterwards the window is not accessed any more. Does not wait for a reader
 * that copies data to user space, as user space can block the copy.
 *
 * Context: Process, may sleep.
 */
void tce_debugfs_remove(struct tce_debugfs *debugfs);

#endif /* TCE_DEBUGFS_H */
