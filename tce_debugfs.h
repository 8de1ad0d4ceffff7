/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The windows, readable.
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
 * tce_debugfs_add() - show a window
 * @window: the window; stays until tce_debugfs_remove(). The calling process is shown
 *          as its owner
 * @interface: version of the interface that it was made with
 *
 * Nothing depends on whether this succeeds. The directory is called
 * N-pidP-groupG-windowW: N is tce_table_id(), P the process, G the group that the window
 * was made for, W the number of the window in its groups.
 *
 * Context: Process, may sleep.
 * Return: for tce_debugfs_remove(); NULL if there was no memory.
 */
struct tce_debugfs *tce_debugfs_add(struct tce_window *window,
				    unsigned int interface);

/**
 * tce_debugfs_attach() - show that a group has a window
 * @window: the window
 * @table_group: the group
 * @ret: what the platform has said; nothing is shown of a failure
 *
 * Context: Process, may sleep.
 */
void tce_debugfs_attach(struct tce_window *window,
			struct iommu_table_group *table_group, int ret);

/**
 * tce_debugfs_detach() - show that a group does not have a window any more
 * @window: the window
 * @table_group: the group
 * @ret: what the platform has said
 *
 * Context: Process, may sleep.
 */
void tce_debugfs_detach(struct tce_window *window,
			struct iommu_table_group *table_group, int ret);

/**
 * tce_debugfs_remove() - show it no longer
 * @debugfs: from tce_debugfs_add()
 *
 * Nothing reads the window afterwards. Waits for no reader: one that cannot copy what it
 * has read to user space keeps nothing from going.
 *
 * Context: Process, may sleep.
 */
void tce_debugfs_remove(struct tce_debugfs *debugfs);

/**
 * tce_debugfs_trace_extents() - trace what is mapped in a range as iommu:map
 * @window: the window
 * @index: the first entry
 * @count: number of entries
 *
 * One event for each physically contiguous range, as an IOMMU driver's.
 *
 * Context: Process, may sleep; reschedules.
 */
void tce_debugfs_trace_extents(const struct tce_window *window,
			       unsigned long index, unsigned long count);

#endif /* TCE_DEBUGFS_H */
