/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The struct iommu_table of a window: what the platform wants to know of it, and
 * who has the entries.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_PLATFORM_H
#define TCE_PLATFORM_H

#include <linux/compiler.h>
#include <linux/types.h>

#include <asm/iommu.h>

#include "tce_table.h"

/**
 * DOC: Platforms
 *
 * On PowerNV (bare metal) the host owns the tables: struct iommu_table is made
 * here, and iommu_table_group_ops::set_window gives the firmware the address of
 * our first level. Where window N begins and how TCEs are killed is not exported;
 * a table of one page, made by the platform, tells (arch/powerpc/platforms/
 * powernv/pci-ioda.c).
 *
 * On pSeries the hypervisor owns them: iommu_table_group_ops::create_table makes
 * the window and struct iommu_table, and entries are written by hypercalls
 * through its it_ops (arch/powerpc/platforms/pseries/iommu.c; H_PUT_TCE is
 * defined in PAPR, "TCE Access"). Our levels are then what software knows of the
 * entries, with the hypervisor as their backing.
 */

/**
 * struct tce_platform - one window, as the platform knows it
 * @table_group: the group that it was made for
 * @num: number of the window in its groups
 * @tbl: the platform's and KVM's handle of it, with a reference
 * @ops: the platform's operations on @tbl; kept even when @tbl gets others
 * @geo: shape of the levels
 * @size: bytes
 * @backed: a hypervisor has the entries
 * @gone: it has let go of the window, with all entries
 */
struct tce_platform {
	struct iommu_table_group *table_group;
	int num;
	struct iommu_table *tbl;
	const struct iommu_table_ops *ops;
	struct tce_geometry geo;
	u64 size;
	bool backed;
	bool gone;
};

/**
 * tce_platform_default_levels() - levels that the default window is charged for
 *
 * Context: Any.
 * Return: number of levels.
 */
unsigned int tce_platform_default_levels(void);

/**
 * tce_platform_name() - what kind of machine this is, for the log
 *
 * Context: Any.
 * Return: its name, static.
 */
const char *tce_platform_name(void);

/**
 * tce_platform_check() - whether there can be such a window
 * @platform: the result, without an iommu_table
 * @table_group: a group that it is for
 * @num: number of the window in its groups, 0 or 1
 * @page_shift: IOMMU page size, as a shift
 * @size: bytes, a power of two
 * @levels: number of levels of the table, which is a hint
 *
 * Context: Any.
 * Return: 0; -EINVAL if there can be no such window; -EPERM if the group's windows
 * cannot be changed, as in a guest without dynamic windows.
 */
int tce_platform_check(struct tce_platform *platform,
		       struct iommu_table_group *table_group, int num,
		       unsigned int page_shift, u64 size, unsigned int levels);

/**
 * tce_platform_locked_pages() - what a window is charged to locked_vm
 * @platform: the window, checked
 * @levels: number of levels that were asked for
 *
 * What iommu_table_group_ops::get_table_size says, as in-tree: on PowerNV a whole
 * table and its user-space view, however little of it will ever be allocated; on
 * pSeries the view alone.
 *
 * Context: Any.
 * Return: kernel pages.
 */
unsigned long tce_platform_locked_pages(const struct tce_platform *platform,
					unsigned int levels);

/**
 * tce_platform_create() - make the struct iommu_table of a window
 * @platform: the window, checked
 *
 * Context: Process, may sleep.
 * Return: 0; -EINVAL if the hypervisor has no room for it; -EPERM if it does not allow
 * another window; -ENODEV if it cannot make windows; -ENOMEM; -EIO for any other answer
 * of the platform.
 */
int tce_platform_create(struct tce_platform *platform);

/**
 * tce_platform_set_root() - tell the platform where the levels are
 * @platform: the window
 * @root: the first level
 *
 * Context: Any.
 */
void tce_platform_set_root(struct tce_platform *platform, void *root);

/**
 * tce_platform_set_ops() - let KVM and the core find the window's operations
 * @platform: the window
 * @ops: its operations
 *
 * Context: Process, may sleep.
 */
void tce_platform_set_ops(const struct tce_platform *platform,
			  struct iommu_table_ops *ops);

/**
 * tce_platform_set_entries() - give entries to the hypervisor
 * @platform: the window, which is backed
 * @index: the first entry
 * @tces: the entries; 4 KiB, aligned, if @count is not 1
 * @count: number of entries, at most 512
 *
 * Context: Any but an interrupt handler.
 * Return: 0; -EIO if it refuses, and has none of them then.
 */
int tce_platform_set_entries(const struct tce_platform *platform,
			     unsigned long index, const __be64 *tces,
			     unsigned long count);

/**
 * tce_platform_clear_entries() - take entries out of the hypervisor's table
 * @platform: the window, which is backed
 * @index: the first entry
 * @count: number of entries, at most 512
 *
 * Context: Any but an interrupt handler.
 * Return: 0; -EIO if it refuses, and may have some of them still.
 */
int tce_platform_clear_entries(const struct tce_platform *platform,
			       unsigned long index, unsigned long count);

/**
 * tce_platform_abort() - undo tce_platform_create()
 * @platform: the window, programmed nowhere
 *
 * Context: Process, may sleep.
 */
void tce_platform_abort(struct tce_platform *platform);

/**
 * tce_platform_disable_bypass() - make sure that a group reaches memory by its windows alone
 * @table_group: a group that VFIO has just got, with no window of a container in it
 *
 * Context: Process, may sleep.
 * Return: 0; -EIO if the firmware refuses.
 */
int tce_platform_disable_bypass(struct iommu_table_group *table_group);

/**
 * tce_platform_set_window() - program a window into a group
 * @platform: the window
 * @table_group: the group
 *
 * Context: Process, may sleep.
 * Return: 0; -EPERM if the group does not have such pages, or cannot share a
 * hypervisor's window; -ENOMEM; -EIO if the firmware refuses. The group is as it was on
 * failure.
 */
int tce_platform_set_window(struct tce_platform *platform,
			    struct iommu_table_group *table_group);

/**
 * tce_platform_unset_window() - take a window out of a group
 * @platform: the window
 * @table_group: the group
 *
 * Serialised with the platform, which takes windows out by itself when a device appears
 * in a group (iommu_table_group_ops::take_ownership).
 *
 * Context: Process, may sleep.
 * Return: 0, also if the platform has taken it out already; -EIO if the firmware
 * refuses: then the group's devices may still translate through the window, and TCE
 * kills reach them until tce_platform_unlink().
 */
int tce_platform_unset_window(struct tce_platform *platform,
			      struct iommu_table_group *table_group);

/**
 * tce_platform_unlink() - TCE kills do not reach a group any more
 * @platform: the window, which the firmware has not taken out of the group
 * @table_group: the group; the platform may free it, and clear it, after it was detached
 *
 * Context: Process, may sleep.
 */
void tce_platform_unlink(struct tce_platform *platform,
			 struct iommu_table_group *table_group);

/**
 * tce_platform_has_window() - whether a group still has a window
 * @platform: the window
 * @table_group: the group, into which it was programmed
 *
 * When a device appears in a group, the platform takes window 0 out of it
 * (iommu_table_group_ops::take_ownership), with no word to anybody.
 *
 * Context: Any.
 * Return: true if so.
 */
static inline bool
tce_platform_has_window(const struct tce_platform *platform,
			const struct iommu_table_group *table_group)
{
	return READ_ONCE(table_group->tables[platform->num]) == platform->tbl;
}

#endif /* TCE_PLATFORM_H */
