/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The struct iommu_table of a window, and the differences between PowerNV and
 * pSeries.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_PLATFORM_H
#define TCE_PLATFORM_H

#include <linux/compiler.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

#include <asm/iommu.h>

#include "tce_table.h"

/**
 * DOC: Platforms
 *
 * On PowerNV (bare metal) the host owns the tables: struct iommu_table is
 * allocated here, and iommu_table_group_ops::set_window passes the address of
 * our first level to the firmware. The platform exports neither the start of a
 * window nor its TCE kill, so they are copied from a table for one IOMMU page
 * that the platform creates (arch/powerpc/platforms/powernv/pci-ioda.c).
 *
 * On pSeries the hypervisor owns them: iommu_table_group_ops::create_table
 * creates the window and struct iommu_table, and entries are set by hypercalls
 * (H_PUT_TCE is defined in PAPR, "TCE Access";
 * arch/powerpc/platforms/pseries/iommu.c). Our levels are then a shadow, with
 * the hypervisor's table as their backing.
 */

/**
 * struct tce_platform - the part of a window that depends on the platform
 * @table_group: the group that it was created for
 * @num: number of the window in its groups
 * @tbl: the table as the platform and KVM know it, with a reference
 * @ops: the platform's operations, for its TCE kill: on PowerNV those of the
 *       table from which they are copied, on pSeries those that
 *       tce_platform_set_ops() replaces in @tbl
 * @geo: geometry of the table
 * @size: requested size of the window, in bytes; on PowerNV @geo may have more
 *        entries
 * @created: on pSeries, the state of RCU before KVM could find the table. (The
 *           state in one word, which get_state_synchronize_rcu() returns,
 *           can miss a grace period.)
 * @backed: the table of a hypervisor is the backing
 * @is_default: the window is the hypervisor's default one, whose table and
 *              entries stay when it is removed from the group
 * @removed: the hypervisor's window was removed from the group: its entries
 *           must not be changed any more, as the kernel may use it again
 * @taken: set by tce_platform_unset_window(): the group did not have the
 *         window; the platform may have removed it
 */
struct tce_platform {
	struct iommu_table_group *table_group;
	int num;
	struct iommu_table *tbl;
	const struct iommu_table_ops *ops;
	struct tce_geometry geo;
	u64 size;
	struct rcu_gp_oldstate created;
	bool backed;
	bool is_default;
	bool removed;
	bool taken;
};

/**
 * tce_platform_name() - name of the platform, for the log
 *
 * Context: Any.
 * Return: a constant string.
 */
const char *tce_platform_name(void);

/**
 * tce_platform_check() - check the arguments of a new window
 * @platform: the result; has no iommu_table yet
 * @table_group: the first group that it will be programmed into
 * @num: number of the window in its groups, 0 or 1
 * @page_shift: IOMMU page size, as a shift
 * @size: bytes, a power of two
 * @levels: number of levels of the table, which is a hint
 *
 * Context: Process. The caller keeps the group's other window, if there is one.
 * Return: 0; -EINVAL if no such window is possible; -EPERM if the platform
 * cannot change the group's windows, as in a guest without dynamic windows, or
 * if there cannot be such a window beside the group's other one.
 */
int tce_platform_check(struct tce_platform *platform,
		       struct iommu_table_group *table_group, int num,
		       unsigned int page_shift, u64 size, unsigned int levels);

/**
 * tce_platform_locked_pages() - kernel pages to charge for a whole table
 * @platform: the window, checked
 * @levels: number of levels that user space requested
 *
 * As in the in-tree module this is iommu_table_group_ops::get_table_size: on
 * PowerNV the size of a whole table and its userspace view, although only a
 * part will be allocated; on pSeries of the view alone, which the platform
 * allocates as a whole.
 *
 * Context: Any.
 * Return: kernel pages.
 */
unsigned long tce_platform_locked_pages(const struct tce_platform *platform,
					unsigned int levels);

/**
 * tce_platform_create() - create the struct iommu_table of a window
 * @platform: the window, checked. The caller puts the iommu_table
 *
 * Context: Process, may sleep.
 * Return: 0; -EINVAL if the hypervisor has no space for it; -EPERM if it does
 * not allow another window; -ENODEV if it cannot create windows; -ENOMEM; -EIO
 * for any other error of the platform.
 */
int tce_platform_create(struct tce_platform *platform);

/**
 * tce_platform_discard() - free an iommu_table that only the caller has found
 * @platform: a window of PowerNV, created, without operations
 *
 * Context: Process, may sleep.
 */
void tce_platform_discard(struct tce_platform *platform);

/**
 * tce_platform_set_root() - set the first level and the geometry in the struct
 * iommu_table
 * @platform: the window
 * @root: the first level
 *
 * On pSeries this does nothing, as no hardware walks our levels.
 *
 * Context: Any.
 */
void tce_platform_set_root(struct tce_platform *platform, void *root);

/**
 * tce_platform_set_ops() - set the operations of the struct iommu_table
 * @platform: the window
 * @ops: the new operations
 *
 * On pSeries they replace the platform's. If KVM may have used those, this then
 * waits for its calls, and clears the entries that they have set. The
 * platform's view is freed.
 *
 * Context: Process, may sleep.
 */
void tce_platform_set_ops(struct tce_platform *platform,
			  struct iommu_table_ops *ops);

/**
 * tce_platform_takes_lists() - whether entries can be set by list
 *
 * Secure guests, and guests that were booted with "multitce=off", do not use
 * H_PUT_TCE_INDIRECT, and some hypervisors lack it.
 *
 * Context: Any.
 * Return: whether tce_platform_set_entries() takes several entries.
 */
bool tce_platform_takes_lists(void);

/**
 * tce_platform_set_entries() - set entries of the hypervisor's table
 * @platform: the window, which is backed
 * @index: the first entry
 * @tces: the entries; in an aligned buffer of 4 KiB if @count is not 1
 * @count: number of entries, at most TCE_SET_MAX; 1 without
 *         tce_platform_takes_lists()
 *
 * Context: Any but an interrupt handler.
 * Return: 0, also if a dynamic window was removed from its group; -ENODEV if
 * the default one was; -EIO if the hypervisor refuses. A single entry is then
 * unchanged, except that KVM, as the hypervisor, clears it. Several are
 * cleared, unless the hypervisor refuses that as well, which is logged; they
 * can be set one by one.
 */
int tce_platform_set_entries(const struct tce_platform *platform,
			     unsigned long index, const __be64 *tces,
			     unsigned long count);

/**
 * tce_platform_clear_entries() - clear entries of the hypervisor's table
 * @platform: the window, which is backed
 * @index: the first entry
 * @count: number of entries, at most 512
 *
 * After the default window was removed from its group, the entries that are
 * left are those that the hypervisor refused to clear. They stay set, so the
 * caller must keep their pages.
 *
 * Context: Any but an interrupt handler.
 * Return: 0, also if a dynamic window was removed from its group; -EIO if the
 * default one was, or if the hypervisor refuses: some of them may still be set
 * then. Also -EIO for more than TCE_SINGLY_MAX entries, if H_STUFF_TCE cannot
 * clear them at once.
 */
int tce_platform_clear_entries(const struct tce_platform *platform,
			       unsigned long index, unsigned long count);

/**
 * tce_platform_take_group() - make sure that a group accesses memory through
 * its windows only
 * @table_group: a group that VFIO has just taken, without a window of a
 *               container
 *
 * Context: Process, may sleep.
 * Return: 0; -EIO if the firmware refuses.
 */
int tce_platform_take_group(struct iommu_table_group *table_group);

/**
 * tce_platform_set_window() - program a window into a group
 * @platform: the window
 * @table_group: the group
 *
 * Context: Process, may sleep.
 * Return: 0; -EPERM if the group does not support the size of the IOMMU pages,
 * or cannot share a hypervisor's window; -EIO if the firmware refuses; -ENOMEM
 * if the group has no link to the window after that: the caller must call
 * tce_platform_unset_window(). With the other errors, the group is unchanged.
 */
int tce_platform_set_window(struct tce_platform *platform,
			    struct iommu_table_group *table_group);

/**
 * tce_platform_unset_window() - remove a window from a group
 * @platform: the window
 * @table_group: the group
 *
 * The platform removes windows by itself when a device appears in a group
 * (iommu_table_group_ops::take_ownership). On PowerNV the group's mutex
 * serialises this call against that; on pSeries it does not, as the platform
 * takes that mutex itself. The caller serialises calls for the groups of one
 * window. Nothing serialises removals by the platform from several groups of
 * one window; this is so with the in-tree module, too.
 *
 * Context: Process, may sleep.
 * Return: 0, also if the platform has already removed it (&tce_platform.taken);
 * -EIO if the firmware refuses, on PowerNV even if the platform has already
 * removed the window: then the group's devices may still translate through the
 * window, and TCE kills reach them until tce_platform_unlink().
 */
int tce_platform_unset_window(struct tce_platform *platform,
			      struct iommu_table_group *table_group);

/**
 * tce_platform_unlink() - exclude a group from TCE kills
 * @platform: the window, which the firmware refused to remove from the group
 * @table_group: the group; the platform may free it after it was detached, so
 *               the table must not have a link to it any more
 *
 * On pSeries this does nothing, as TCE kills do not use the groups there.
 *
 * Context: Process, may sleep.
 */
void tce_platform_unlink(struct tce_platform *platform,
			 struct iommu_table_group *table_group);

/**
 * tce_platform_has_window() - whether a group still has a window
 * @platform: the window
 * @table_group: a group into which it was programmed
 *
 * When a device appears in a group, the platform removes window 0 from it, on
 * pSeries window 1, too (iommu_table_group_ops::take_ownership), and does not
 * notify the module. On PowerNV window 1 is then disabled, but this function
 * still returns true for it.
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
