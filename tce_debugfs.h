/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tables, readable.
 */
#ifndef TCE_DEBUGFS_H
#define TCE_DEBUGFS_H

#include <linux/types.h>

struct dentry;
struct tce_table;

/**
 * struct tce_debugfs - a table that is shown
 * @dir: its directory
 * @table: the table
 * @start: bus address where it begins, bytes
 */
struct tce_debugfs {
	struct dentry *dir;
	struct tce_table *table;
	u64 start;
};

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
 * @debugfs: @table and @start are set; stays until tce_debugfs_remove()
 *
 * Nothing depends on whether this succeeds.
 *
 * Context: Process, may sleep.
 */
void tce_debugfs_add(struct tce_debugfs *debugfs);

/**
 * tce_debugfs_remove() - show it no longer
 * @debugfs: as added
 *
 * Context: Process, may sleep. Nobody reads the table afterwards.
 */
void tce_debugfs_remove(struct tce_debugfs *debugfs);

#endif /* TCE_DEBUGFS_H */
