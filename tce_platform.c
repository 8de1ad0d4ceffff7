// SPDX-License-Identifier: GPL-2.0-only
/*
 * The struct iommu_table of a window. Contract: tce_platform.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/firmware.h>
#include <asm/iommu.h>
#include <asm/plpar_wrappers.h>

#include "tce_platform.h"
#include "tce_refuse.h"
#include "tce_work.h"

/*
 * The smallest level has 512 entries, and the hardware translates through all
 * of them, so a window cannot have fewer.
 */
#define TCE_WINDOW_MIN_ENTRIES	512

static bool tce_platform_is_guest(void)
{
	return firmware_has_feature(FW_FEATURE_LPAR);
}

static int tce_platform_geometry(struct tce_geometry *geo,
				 unsigned int page_shift, u64 size,
				 unsigned int levels)
{
	u64 entries;

	if (!is_power_of_2(size) || page_shift >= 64 || !(size >> page_shift) ||
	    !levels || levels > TCE_TABLE_MAX_LEVELS)
		return -EINVAL;

	entries = size >> page_shift;
	if (!tce_platform_is_guest())
		return tce_geometry_init(geo, page_shift,
					 max(entries,
					     (u64)TCE_WINDOW_MIN_ENTRIES),
					 levels);

	/*
	 * pSeries allocates a word for each entry; if that is more than the
	 * memory of the machine, it logs a warning.
	 */
	if (entries >= totalram_pages() * (PAGE_SIZE / sizeof(__be64)))
		return -EINVAL;

	/* The hypervisor chooses the levels of its table itself. */
	return tce_geometry_init_backed(geo, page_shift, entries);
}

/*
 * Whether the table of window 0 is the hypervisor's default window. If not, it
 * is a dynamic one, as window 1 always is.
 */
static bool tce_pseries_default(const struct iommu_table_group *table_group,
				const struct iommu_table *tbl)
{
	u64 start = (u64)tbl->it_offset << tbl->it_page_shift;
	u64 size = (u64)tbl->it_size << tbl->it_page_shift;

	return tbl->it_page_shift == IOMMU_PAGE_SHIFT_4K &&
	       start == table_group->tce32_start &&
	       size <= table_group->tce32_size;
}

/*
 * pSeries can have one dynamic window in a group, as it records the window in
 * a property of the device tree. The caller holds a reference to the table of
 * the group's other window.
 */
static int tce_pseries_check(const struct iommu_table_group *table_group,
			     int num)
{
	const struct iommu_table *other = READ_ONCE(table_group->tables[!num]);

	if (!other)
		return 0;

	/*
	 * pSeries refuses this, too, but leaks the struct iommu_table that it
	 * has allocated.
	 */
	if (num == 0)
		return tce_refuse(-EPERM,
				  "window 0 cannot be created beside the group's other window");

	/*
	 * pSeries would ask the hypervisor, fail, and never create a window for
	 * the group again, not even the default one of its next user.
	 */
	if (!tce_pseries_default(table_group, other))
		return tce_refuse(-EPERM,
				  "the group has a dynamic window in place of the default one");

	return 0;
}

int tce_platform_check(struct tce_platform *platform,
		       struct iommu_table_group *table_group, int num,
		       unsigned int page_shift, u64 size, unsigned int levels)
{
	const struct iommu_table_group_ops *ops = table_group->ops;
	int ret;

	memset(platform, 0, sizeof(*platform));
	platform->table_group = table_group;
	platform->num = num;
	platform->size = size;
	platform->backed = tce_platform_is_guest();
	ret = tce_platform_geometry(&platform->geo, page_shift, size, levels);
	if (ret)
		return tce_refuse(ret, "no table can have this geometry");

	if (!(table_group->pgsizes & BIT_ULL(page_shift)))
		return tce_refuse(-EINVAL,
				  "the group does not support IOMMU pages of this size");

	/*
	 * On pSeries max_dynamic_windows_supported is -1 for a group without
	 * dynamic windows.
	 */
	if (!ops->create_table || !ops->set_window || !ops->unset_window ||
	    !ops->get_table_size ||
	    (int)table_group->max_dynamic_windows_supported < 0)
		return tce_refuse(-EPERM,
				  "the platform cannot change the group's windows");

	return tce_platform_is_guest() ? tce_pseries_check(table_group, num) :
					 0;
}

unsigned long tce_platform_locked_pages(const struct tce_platform *platform,
					unsigned int levels)
{
	struct iommu_table_group *table_group = platform->table_group;

	/* pSeries has tables of one level only. */
	if (tce_platform_is_guest())
		levels = 1;

	return table_group->ops->get_table_size(platform->geo.page_shift,
						platform->size,
						levels) >> PAGE_SHIFT;
}

/*
 * Return the errno for an error that the platform has returned, and report the
 * reason; the container reports that of -ENOMEM. The platform returns errnos
 * and error codes of the firmware. Negative codes of RTAS and OPAL look like
 * errnos, so keep only those errnos that the platform itself returns. RTAS's
 * code for a hardware error, -1, cannot be told from -EPERM.
 */
static int tce_platform_refuse(long error, const char *reason)
{
	switch (error) {
	case -ENOMEM:
		return -ENOMEM;
	case -EINVAL:
	case -EPERM:
	case -ENODEV:
		return tce_refuse(error, reason);
	default:
		return tce_refuse(-EIO, reason);
	}
}

const char *tce_platform_name(void)
{
	return tce_platform_is_guest() ? "pSeries" : "PowerNV";
}

static void tce_powernv_set_root(struct tce_platform *platform, void *root)
{
	const struct tce_geometry *geo = &platform->geo;
	struct iommu_table *tbl = platform->tbl;

	tbl->it_base = (unsigned long)root;
	tbl->it_page_shift = geo->page_shift;
	tbl->it_size = geo->entries;
	tbl->it_indirect_levels = geo->levels - 1;
	tbl->it_level_size = 1UL << geo->level_shift;
	/* As the platform computes it: of the table and its userspace view. */
	tbl->it_allocated_size = 2 * tce_geometry_whole_bytes(geo);
}

static int tce_powernv_create(struct tce_platform *platform)
{
	struct iommu_table_group *table_group = platform->table_group;
	unsigned int page_shift = platform->geo.page_shift;
	struct iommu_table *tbl, *probe;
	long ret;

	tbl = kzalloc(sizeof(*tbl), TCE_GFP_FIXED);
	if (!tbl)
		return -ENOMEM;

	ret = table_group->ops->create_table(table_group, platform->num,
					     page_shift, 1ULL << page_shift, 1,
					     &probe);
	if (ret) {
		kfree(tbl);
		return tce_platform_refuse(ret,
					   "the platform cannot create a table");
	}

	kref_init(&tbl->it_kref);
	INIT_LIST_HEAD_RCU(&tbl->it_group_list);
	tbl->it_busno = probe->it_busno;
	tbl->it_offset = probe->it_offset;
	tbl->it_index = probe->it_index;
	tbl->it_type = probe->it_type;
	tbl->it_blocksize = probe->it_blocksize;
	tbl->it_nid = probe->it_nid;
	platform->tbl = tbl;
	platform->ops = probe->it_ops;
	iommu_tce_table_put(probe);

	return 0;
}

/*
 * The hypervisor's table (PAPR: H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE).
 * The hypervisor may refuse any entry, for example if it has no memory.
 */

/* Largest number of entries that H_STUFF_TCE clears. */
#define TCE_PSERIES_CLEAR	512UL

/* I/O bus address (IOBA) of an entry, as PAPR calls it. */
static u64 tce_pseries_ioba(const struct iommu_table *tbl, unsigned long index)
{
	return (u64)(tbl->it_offset + index) << tbl->it_page_shift;
}

/*
 * Clear entries with one hypercall, or if that fails and there are no more than
 * @singly, one by one.
 */
static int tce_pseries_clear_entries(const struct tce_platform *platform,
				     unsigned long index, unsigned long count,
				     unsigned long singly)
{
	const struct iommu_table *tbl = platform->tbl;
	u64 ioba = tce_pseries_ioba(tbl, index);
	int ret = 0;

	if (READ_ONCE(platform->removed)) {
		/* The entries of a dynamic window have gone with it. */
		if (!platform->is_default)
			return 0;
		pr_warn_ratelimited("the hypervisor has refused to clear entries of the default window: their pages stay pinned\n");
		return -EIO;
	}

	if (count > 1 && firmware_has_feature(FW_FEATURE_STUFF_TCE) &&
	    !plpar_tce_stuff(tbl->it_index, ioba, 0, count))
		return 0;

	if (count > singly)
		return -EIO;

	/* Of several entries perhaps only one cannot be cleared. */
	for (; count; count--, ioba += 1ULL << tbl->it_page_shift)
		if (plpar_tce_put(tbl->it_index, ioba, 0))
			ret = -EIO;

	return ret;
}

int tce_platform_clear_entries(const struct tce_platform *platform,
			       unsigned long index, unsigned long count)
{
	return tce_pseries_clear_entries(platform, index, count,
					 TCE_SINGLY_MAX);
}

bool tce_platform_takes_lists(void)
{
	/* Without the second one a list that is refused is cleared singly. */
	return firmware_has_feature(FW_FEATURE_PUT_TCE_IND) &&
	       firmware_has_feature(FW_FEATURE_STUFF_TCE);
}

int tce_platform_set_entries(const struct tce_platform *platform,
			     unsigned long index, const __be64 *tces,
			     unsigned long count)
{
	const struct iommu_table *tbl = platform->tbl;
	u64 ioba = tce_pseries_ioba(tbl, index);
	long ret;

	/*
	 * After the removal, a MAP between the detach of the last group and the
	 * release of the container may still set entries. In the default window
	 * they could not be cleared again: refuse them. A dynamic window no
	 * longer exists: only the shadow changes.
	 */
	if (READ_ONCE(platform->removed))
		return platform->is_default ? -ENODEV : 0;

	if (count == 1)
		return plpar_tce_put(tbl->it_index, ioba, be64_to_cpu(*tces)) ?
		       -EIO : 0;

	ret = plpar_tce_put_indirect(tbl->it_index, ioba, __pa(tces), count);
	/*
	 * The hypervisor does not say how many entries of a list it has set:
	 * clear all, one by one if it also refuses to clear them at once. As
	 * the caller tries no further list, this happens once for each MAP_DMA.
	 */
	if (ret && tce_pseries_clear_entries(platform, index, count, count))
		pr_warn_ratelimited("the hypervisor refused entries at %#llx, and refuses to clear them\n",
				    ioba);

	return ret ? -EIO : 0;
}

static int tce_pseries_create(struct tce_platform *platform)
{
	struct iommu_table_group *table_group = platform->table_group;
	long ret;

	get_state_synchronize_rcu_full(&platform->created);
	ret = table_group->ops->create_table(table_group, platform->num,
					     platform->geo.page_shift,
					     platform->size, 1, &platform->tbl);
	if (ret)
		return tce_platform_refuse(ret,
					   "the hypervisor cannot create the window");

	/*
	 * A device has appeared in the group meanwhile, and the platform has
	 * put the window before it got our reference.
	 */
	if (!platform->tbl)
		return tce_refuse(-EIO, "the window was removed meanwhile");

	platform->ops = platform->tbl->it_ops;
	platform->is_default = platform->num == 0 &&
			       tce_pseries_default(table_group, platform->tbl);

	return 0;
}

int tce_platform_create(struct tce_platform *platform)
{
	return tce_platform_is_guest() ? tce_pseries_create(platform) :
					 tce_powernv_create(platform);
}

void tce_platform_discard(struct tce_platform *platform)
{
	kfree(platform->tbl);
}

void tce_platform_set_root(struct tce_platform *platform, void *root)
{
	if (!tce_platform_is_guest())
		tce_powernv_set_root(platform, root);
}

/* Whether KVM has stored no address with the platform's operations. */
static bool tce_pseries_unused(const struct iommu_table *tbl)
{
	const __be64 *at = tbl->it_userspace, *end = at + tbl->it_size;
	size_t n;

	for (; at && at < end; at += n) {
		n = min_t(size_t, end - at, SZ_64K / sizeof(*at));
		if (memchr_inv(at, 0, n * sizeof(*at)))
			return false;
		cond_resched();
	}

	return true;
}

typedef int (*tce_group_call_fn)(struct tce_platform *platform,
				 struct iommu_table_group *table_group);

/**
 * struct tce_group_call_args - arguments of tce_group_call_device()
 * @platform: the window
 * @table_group: the group
 * @change: changes the window in the group, or looks at it
 * @ret: its return value
 */
struct tce_group_call_args {
	struct tce_platform *platform;
	struct iommu_table_group *table_group;
	tce_group_call_fn change;
	int ret;
};

/*
 * Callback for the group's first device; the non-zero return value ends the
 * walk.
 */
static int tce_group_call_device(struct device *dev, void *data)
{
	struct tce_group_call_args *arg = data;

	arg->ret = arg->change(arg->platform, arg->table_group);

	return 1;
}

/*
 * Call @change with the mutex of the IOMMU group held. When a device appears in
 * a group, the platform changes the windows of the group with that mutex held.
 * It is not exported, but iommu_group_for_each_dev() holds it during the
 * callback.
 */
static int tce_group_call_locked(struct tce_platform *platform,
				 struct iommu_table_group *table_group,
				 tce_group_call_fn change)
{
	struct tce_group_call_args arg = { platform, table_group, change };

	/*
	 * Without a device there is no callback, and no device for which the
	 * platform could change the windows.
	 */
	if (!iommu_group_for_each_dev(table_group->group, &arg,
				      tce_group_call_device))
		return change(platform, table_group);

	return arg.ret;
}

/*
 * The same for changes of a group's windows, except that on pSeries the mutex
 * must not be held: unset_window() calls iommu_group_for_each_dev() itself
 * there.
 */
static int tce_group_change(struct tce_platform *platform,
			    struct iommu_table_group *table_group,
			    tce_group_call_fn change)
{
	return tce_platform_is_guest() ?
	       change(platform, table_group) :
	       tce_group_call_locked(platform, table_group, change);
}

/*
 * Whether others than the platform and this window have a reference to the
 * iommu_table. The platform puts its own, and clears its pointer to the table,
 * with the group's mutex held.
 */
static int tce_pseries_referenced(struct tce_platform *platform,
				  struct iommu_table_group *table_group)
{
	return kref_read(&platform->tbl->it_kref) >
	       1 + tce_platform_has_window(platform, table_group);
}

/*
 * Whether KVM may have used the iommu_table with the platform's operations. KVM
 * puts its reference after an RCU grace period
 * (kvm_spapr_tce_iommu_table_free()). So if KVM has no reference now, and no
 * grace period has passed since before KVM could find the iommu_table, KVM has
 * never had one: if it gets one later, it finds our operations.
 */
static bool tce_pseries_used(struct tce_platform *platform)
{
	/* The new operations must be visible before the refcount is read. */
	smp_mb();
	if (tce_group_call_locked(platform, platform->table_group,
				  tce_pseries_referenced))
		return true;

	/* The refcount must be read before the state of RCU. */
	smp_rmb();

	return poll_state_synchronize_rcu_full(&platform->created);
}

/*
 * Wait for calls of KVM that use the platform's operations: they do not sleep,
 * but they may be preempted before they exchange an entry, and before they
 * store its address. The file of a vCPU holds a reference to the KVM module, so
 * if it is not loaded there are none. (The VFIO core looks for it in the same
 * way.)
 */
static void tce_pseries_wait_kvm(void)
{
	if (!__symbol_get("kvm_put_kvm"))
		return;

	__symbol_put("kvm_put_kvm");
	synchronize_rcu_tasks();
}

/*
 * create_table() has published the iommu_table with the platform's operations,
 * through which KVM may have set entries that are not in our levels: clear
 * them. Their pages stay counted, as it is not known in which address space
 * they were counted.
 */
static void tce_pseries_clear(struct tce_platform *platform)
{
	struct iommu_table *tbl = platform->tbl;
	unsigned long index, count;

	if (!tce_pseries_used(platform))
		return;

	tce_pseries_wait_kvm();
	if (!tce_pseries_unused(tbl))
		pr_warn_ratelimited("KVM has mapped pages before the window was complete: they stay pinned\n");

	/* The view does not show an entry whose user-space address is 0. */
	for (index = 0; index < tbl->it_size; index += count) {
		count = min(tbl->it_size - index, TCE_PSERIES_CLEAR);
		if (tce_pseries_clear_entries(platform, index, count, count))
			pr_warn_ratelimited("the hypervisor refuses to clear entries that KVM may have set\n");
		cond_resched();
	}
}

/*
 * KVM may keep the iommu_table for as long as it likes, and would keep the
 * platform's view with it, without a charge. Our operations do not use it, and
 * the platform's accept that there is none.
 */
static void tce_pseries_free_view(struct iommu_table *tbl)
{
	__be64 *view = tbl->it_userspace;

	tbl->it_userspace = NULL;
	kvfree(view);
}

void tce_platform_set_ops(struct tce_platform *platform,
			  struct iommu_table_ops *ops)
{
	/* The operations must be complete before KVM can find them. */
	smp_store_release(&platform->tbl->it_ops, ops);
	if (tce_platform_is_guest()) {
		tce_pseries_clear(platform);
		tce_pseries_free_view(platform->tbl);
	}
}

static int tce_set_window(struct tce_platform *platform,
			  struct iommu_table_group *table_group)
{
	struct iommu_table_group_ops *ops = table_group->ops;
	struct iommu_table *tbl = platform->tbl;

	/* PowerNV returns OPAL's error code, pSeries -EPERM. */
	if (ops->set_window(table_group, platform->num, tbl)) {
		if (tce_platform_is_guest()) {
			/*
			 * A device has appeared in the group since the window
			 * was created, and the platform has removed the window.
			 * It only forgets the default window, whose entries can
			 * still be cleared.
			 */
			if (table_group == platform->table_group &&
			    !platform->is_default &&
			    !tce_platform_has_window(platform, table_group))
				WRITE_ONCE(platform->removed, true);
			return tce_refuse(-EPERM,
					  "a hypervisor's window can be in one group only");
		}
		return tce_refuse(-EIO,
				  "the firmware refused to program the window");
	}

	/*
	 * The platform returns 0 even if it had no memory to link the group to
	 * the table.
	 */
	if (!tce_platform_has_window(platform, table_group))
		return -ENOMEM;

	/*
	 * When a device appears in the group, PowerNV removes window 0 and puts
	 * two references (pnv_ioda2_take_ownership()): the group's, and one
	 * that it never took. Take that one here; for window 1, too, where
	 * tce_powernv_unset_window() puts it.
	 */
	if (!tce_platform_is_guest())
		iommu_tce_table_get(tbl);

	return 0;
}

int tce_platform_set_window(struct tce_platform *platform,
			    struct iommu_table_group *table_group)
{
	if (!(table_group->pgsizes & BIT_ULL(platform->tbl->it_page_shift)))
		return tce_refuse(-EPERM,
				  "the group does not support IOMMU pages of this size");

	return tce_group_change(platform, table_group, tce_set_window);
}

/*
 * The platform unlinks the group even if the firmware refuses, and a TCE kill
 * would no longer reach the devices that still translate through the window. So
 * add a link before the firmware is called: one of the two stays.
 */
static void tce_powernv_link(struct iommu_table *tbl,
			     struct iommu_table_group *table_group)
{
	struct iommu_table_group_link *link;

	link = kzalloc(sizeof(*link), GFP_KERNEL | __GFP_NOFAIL);
	link->table_group = table_group;
	list_add_rcu(&link->next, &tbl->it_group_list);
}

/* Remove the link that is left after the platform has removed one. */
static int tce_powernv_unlink(struct tce_platform *platform,
			      struct iommu_table_group *table_group)
{
	struct iommu_table_group_link *link;

	list_for_each_entry(link, &platform->tbl->it_group_list, next) {
		if (link->table_group != table_group)
			continue;
		list_del_rcu(&link->next);
		kfree_rcu(link, rcu);
		break;
	}

	return 0;
}

static int tce_powernv_unset_window(struct tce_platform *platform,
				    struct iommu_table_group *table_group)
{
	bool has_window = tce_platform_has_window(platform, table_group);
	struct iommu_table *tbl = platform->tbl;
	long ret;

	platform->taken = !has_window;
	/*
	 * The platform has removed the window, and the group has another one in
	 * its place.
	 */
	if (!has_window && READ_ONCE(table_group->tables[platform->num]))
		return 0;

	/*
	 * If the platform has removed the window, it has ignored errors of the
	 * firmware, so call the firmware again. The platform has then also put
	 * the reference of tce_set_window().
	 */
	tce_powernv_link(tbl, table_group);
	ret = table_group->ops->unset_window(table_group, platform->num);
	if (!ret)
		tce_powernv_unlink(platform, table_group);
	if (has_window)
		iommu_tce_table_put(tbl);

	return ret ? -EIO : 0;
}

static int tce_pseries_unset_window(struct tce_platform *platform,
				    struct iommu_table_group *table_group)
{
	long ret = 0;

	/*
	 * When a device appears, spapr_tce_take_ownership() removes dynamic
	 * windows, but only forgets the default one: entries of it that the
	 * hypervisor has refused to clear are still set.
	 */
	platform->taken = !tce_platform_has_window(platform, table_group);
	if (!platform->taken)
		ret = table_group->ops->unset_window(table_group,
						     platform->num);
	/* If the hypervisor refuses, entries can still be cleared. */
	if (!ret)
		WRITE_ONCE(platform->removed, true);

	return ret ? -EIO : 0;
}

int tce_platform_unset_window(struct tce_platform *platform,
			      struct iommu_table_group *table_group)
{
	return tce_group_change(platform, table_group,
				tce_platform_is_guest() ?
				tce_pseries_unset_window :
				tce_powernv_unset_window);
}

void tce_platform_unlink(struct tce_platform *platform,
			 struct iommu_table_group *table_group)
{
	if (!tce_platform_is_guest())
		tce_group_change(platform, table_group, tce_powernv_unlink);
}

/*
 * On PowerNV bypass takes the place of a group's window 1, and lets the devices
 * of the group access all memory. pnv_ioda2_take_ownership() disables bypass
 * only if the group has the platform's default window. The group lacks that
 * window if it could not be set up when VFIO released the group
 * (pnv_pci_ioda2_setup_default_config()). On PHB3 a driver of the host may then
 * have got bypass in the place of window 0
 * (pnv_pci_ioda_dma_64bit_bypass()). If the group has the default window,
 * pnv_ioda2_take_ownership() frees its table even if the firmware has refused
 * to remove the window.
 *
 * unset_window() clears the TVE, also if the platform knows of no window.
 */
static int tce_powernv_take_group(struct tce_platform *unused,
				  struct iommu_table_group *table_group)
{
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++)
		if (!READ_ONCE(table_group->tables[num]) &&
		    table_group->ops->unset_window(table_group, num))
			return tce_refuse(-EIO,
					  "the firmware refused to disable bypass or the default window");

	return 0;
}

int tce_platform_take_group(struct iommu_table_group *table_group)
{
	if (tce_platform_is_guest() || !table_group->ops->unset_window)
		return 0;

	return tce_group_change(NULL, table_group, tce_powernv_take_group);
}
