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

/* The hardware's smallest level is full, so a window is no smaller. */
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
	 * A guest's platform allocates a word for each entry, and if it cannot, complains
	 * and makes no window for the group ever again.
	 */
	if (entries >= totalram_pages() * (PAGE_SIZE / sizeof(__be64)))
		return -EINVAL;

	/* The hypervisor's table has the levels that it has, whatever is asked for. */
	return tce_geometry_init_backed(geo, page_shift, entries);
}

unsigned int tce_platform_default_levels(void)
{
	return 1;
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
	ret = tce_platform_geometry(&platform->geo, page_shift, size, levels);
	if (ret)
		return tce_refuse(ret, "there can be no window of this shape");

	if (!(table_group->pgsizes & BIT_ULL(page_shift)))
		return tce_refuse(-EINVAL,
				  "the group does not have IOMMU pages of this size");

	/* A guest's group without dynamic windows says -1. */
	if (!ops->create_table || !ops->set_window || !ops->unset_window ||
	    !ops->get_table_size ||
	    (int)table_group->max_dynamic_windows_supported < 0)
		return tce_refuse(-EPERM,
				  "the platform cannot change the group's windows");

	return 0;
}

unsigned long tce_platform_locked_pages(const struct tce_platform *platform,
					unsigned int levels)
{
	struct iommu_table_group *table_group = platform->table_group;

	/* The platform of a guest has tables of one level only. */
	if (tce_platform_is_guest())
		levels = 1;

	return table_group->ops->get_table_size(platform->geo.page_shift,
						platform->size,
						levels) >> PAGE_SHIFT;
}

/*
 * The platform answers with errnos and with what the firmware says: RTAS has positive
 * and negative codes, the latter look like errnos. What cannot be an errno of its own
 * is none.
 */
static int tce_platform_error(long ret)
{
	switch (ret) {
	case 0:
	case -EINVAL:
	case -EPERM:
	case -ENODEV:
	case -ENOMEM:
		return ret;
	default:
		return -EIO;
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
	tbl->it_allocated_size = 2 * tce_geometry_whole_bytes(geo);
}

static int tce_powernv_create(struct tce_platform *platform)
{
	struct iommu_table_group *table_group = platform->table_group;
	unsigned int page_shift = platform->geo.page_shift;
	struct iommu_table *tbl, *probe;
	long ret;

	tbl = kzalloc(sizeof(*tbl), TCE_GFP);
	if (!tbl)
		return -ENOMEM;

	ret = table_group->ops->create_table(table_group, platform->num,
					     page_shift, 1ULL << page_shift, 1,
					     &probe);
	if (ret) {
		kfree(tbl);
		return tce_refuse(tce_platform_error(ret),
				  "the platform makes no table");
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
 * A hypervisor's table: PAPR, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE. It may refuse
 * any entry, for lack of memory too.
 */

static u64 tce_pseries_ioba(const struct iommu_table *tbl, unsigned long index)
{
	return (u64)(tbl->it_offset + index) << tbl->it_page_shift;
}

int tce_platform_clear_entries(const struct tce_platform *platform,
			       unsigned long index, unsigned long count)
{
	const struct iommu_table *tbl = platform->tbl;
	u64 ioba = tce_pseries_ioba(tbl, index);
	int ret = 0;

	if (READ_ONCE(platform->gone))
		return 0;

	if (count > 1 && firmware_has_feature(FW_FEATURE_STUFF_TCE))
		return plpar_tce_stuff(tbl->it_index, ioba, 0, count) ?
		       -EIO : 0;

	for (; count; count--, ioba += 1ULL << tbl->it_page_shift)
		if (plpar_tce_put(tbl->it_index, ioba, 0))
			ret = -EIO;

	return ret;
}

int tce_platform_set_entries(const struct tce_platform *platform,
			     unsigned long index, const __be64 *tces,
			     unsigned long count)
{
	const struct iommu_table *tbl = platform->tbl;
	u64 ioba = tce_pseries_ioba(tbl, index);
	long ret = 0;

	if (READ_ONCE(platform->gone))
		return 0;

	if (count == 1)
		return plpar_tce_put(tbl->it_index, ioba, be64_to_cpu(*tces)) ?
		       -EIO : 0;

	if (firmware_has_feature(FW_FEATURE_PUT_TCE_IND))
		ret = plpar_tce_put_indirect(tbl->it_index, ioba, __pa(tces),
					     count);
	else
		ret = -EIO;
	/* Nothing says how many it has taken. */
	if (ret && tce_platform_clear_entries(platform, index, count))
		pr_warn_ratelimited("a hypervisor keeps entries at %#llx that it has refused\n",
				    ioba);

	return ret ? -EIO : 0;
}

static int tce_pseries_create(struct tce_platform *platform)
{
	struct iommu_table_group *table_group = platform->table_group;
	long ret;

	ret = table_group->ops->create_table(table_group, platform->num,
					     platform->geo.page_shift,
					     platform->size, 1, &platform->tbl);
	if (ret)
		return tce_refuse(tce_platform_error(ret),
				  "the hypervisor makes no window");

	/* Left at 0 by the kernel. Levels here are read by whoever maps, and nobody else. */
	platform->tbl->it_nid = NUMA_NO_NODE;
	platform->ops = platform->tbl->it_ops;
	platform->backed = true;

	return 0;
}

int tce_platform_create(struct tce_platform *platform)
{
	return tce_platform_is_guest() ? tce_pseries_create(platform) :
					 tce_powernv_create(platform);
}

void tce_platform_set_root(struct tce_platform *platform, void *root)
{
	if (!tce_platform_is_guest())
		tce_powernv_set_root(platform, root);
}

/*
 * create_table() has published the iommu_table with the platform's operations, by which
 * KVM may have set entries that our levels do not know: takes them out again. Their pages
 * stay counted, as the address space that they were counted in is not known.
 */
static void tce_pseries_reclaim(const struct tce_platform *platform)
{
	struct iommu_table *tbl = platform->tbl;
	__be64 *end = tbl->it_userspace + tbl->it_size, *at;

	if (!tbl->it_userspace)
		return;

	/* The operations are there before it is looked whether KVM is. */
	smp_mb();
	/* Calls that have begun with the platform's: its reference, ours, and KVM's. */
	if (kref_read(&tbl->it_kref) > 2)
		synchronize_rcu();

	for (at = tbl->it_userspace; at < end; at++) {
		enum dma_data_direction direction = DMA_NONE;
		size_t bytes = min_t(size_t, (end - at) * sizeof(*at), SZ_64K);
		unsigned long hpa = 0;
		void *set;

		cond_resched();
		set = memchr_inv(at, 0, bytes);
		if (!set) {
			at += bytes / sizeof(*at) - 1;
			continue;
		}

		at = PTR_ALIGN_DOWN((__be64 *)set, sizeof(*at));
		platform->ops->xchg_no_kill(tbl, tbl->it_offset +
					    (at - tbl->it_userspace), &hpa,
					    &direction);
		*at = 0;
	}
}

void tce_platform_set_ops(const struct tce_platform *platform,
			  struct iommu_table_ops *ops)
{
	/* The operations are complete before they are found. */
	smp_store_release(&platform->tbl->it_ops, ops);
	if (tce_platform_is_guest())
		tce_pseries_reclaim(platform);
}

void tce_platform_abort(struct tce_platform *platform)
{
	if (!tce_platform_is_guest()) {
		kfree(platform->tbl);
		return;
	}

	platform->table_group->ops->unset_window(platform->table_group,
						 platform->num);
	iommu_tce_table_put(platform->tbl);
}

/*
 * PowerNV has bypass in the place of window 1, and turns it off with the default window. A
 * group that it gave back with too little memory for that window has bypass all the same
 * (pnv_pci_ioda2_setup_default_config()), and keeps it when it is taken again
 * (pnv_ioda2_take_ownership()): its devices would reach all memory.
 */
#define TCE_BYPASS_NUM		1

typedef int (*tce_group_change_fn)(struct tce_platform *platform,
				   struct iommu_table_group *table_group);

/**
 * struct tce_group_change - a window comes into a group or goes
 * @platform: the window
 * @table_group: the group
 * @change: makes the change
 * @ret: what it has returned
 */
struct tce_group_change {
	struct tce_platform *platform;
	struct iommu_table_group *table_group;
	tce_group_change_fn change;
	int ret;
};

/* Called for the group's first device; ends the walk. */
static int tce_group_change(struct device *dev, void *data)
{
	struct tce_group_change *arg = data;

	arg->ret = arg->change(arg->platform, arg->table_group);

	return 1;
}

/*
 * PowerNV changes the windows of a group, too, when a device appears in it. It does so
 * with the group's mutex held, which is held for as long as devices are walked. pSeries
 * walks the devices itself, to make and to unset a window.
 */
static int tce_group_serialised(struct tce_platform *platform,
				struct iommu_table_group *table_group,
				tce_group_change_fn change)
{
	struct tce_group_change arg = { platform, table_group, change };

	/* Without a device nothing is called; the first one to appear finds no window. */
	if (tce_platform_is_guest() ||
	    !iommu_group_for_each_dev(table_group->group, &arg,
				      tce_group_change))
		return change(platform, table_group);

	return arg.ret;
}

static int tce_set_window(struct tce_platform *platform,
			  struct iommu_table_group *table_group)
{
	struct iommu_table_group_ops *ops = table_group->ops;
	struct iommu_table *tbl = platform->tbl;

	/* On PowerNV it is OPAL's answer, on pSeries -EPERM. */
	if (ops->set_window(table_group, platform->num, tbl))
		return tce_refuse(tce_platform_is_guest() ? -EPERM : -EIO,
				  "the firmware does not program the window");

	/* The platform does not say when it had no memory to link the two. */
	if (!tce_platform_has_window(platform, table_group)) {
		ops->unset_window(table_group, platform->num);
		return -ENOMEM;
	}

	/*
	 * When PowerNV takes the window out by itself, it drops a reference besides that
	 * of the group. This one is for it to drop.
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
				  "the group does not have IOMMU pages of this size");

	return tce_group_serialised(platform, table_group, tce_set_window);
}

/*
 * The platform unlinks the group even if the firmware refuses, so a TCE kill would not
 * reach devices that still translate through the window. So the group is linked twice
 * while the firmware is asked: one of the two stays.
 */
static void tce_powernv_link(struct iommu_table *tbl,
			     struct iommu_table_group *table_group)
{
	struct iommu_table_group_link *link;

	link = kzalloc(sizeof(*link), GFP_KERNEL | __GFP_NOFAIL);
	link->table_group = table_group;
	list_add_rcu(&link->next, &tbl->it_group_list);
}

/* One link, if there are two. */
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
	bool linked = tce_platform_has_window(platform, table_group);
	struct iommu_table *tbl = platform->tbl;
	long ret;

	/* Another one has taken its place. */
	if (!linked && READ_ONCE(table_group->tables[platform->num]))
		return 0;

	/*
	 * If the platform has taken it out, it has not looked whether the firmware did,
	 * and has dropped the reference.
	 */
	tce_powernv_link(tbl, table_group);
	ret = table_group->ops->unset_window(table_group, platform->num);
	if (!ret)
		tce_powernv_unlink(platform, table_group);
	if (linked)
		iommu_tce_table_put(tbl);

	return ret ? -EIO : 0;
}

static int tce_pseries_unset_window(struct tce_platform *platform,
				    struct iommu_table_group *table_group)
{
	long ret = 0;

	if (tce_platform_has_window(platform, table_group))
		ret = table_group->ops->unset_window(table_group,
						     platform->num);
	/* A hypervisor that refuses keeps the window with its iommu_table. */
	if (!ret)
		WRITE_ONCE(platform->gone, true);

	return ret ? -EIO : 0;
}

int tce_platform_unset_window(struct tce_platform *platform,
			      struct iommu_table_group *table_group)
{
	return tce_group_serialised(platform, table_group,
				    tce_platform_is_guest() ?
				    tce_pseries_unset_window :
				    tce_powernv_unset_window);
}

void tce_platform_unlink(struct tce_platform *platform,
			 struct iommu_table_group *table_group)
{
	if (!tce_platform_is_guest())
		tce_group_serialised(platform, table_group, tce_powernv_unlink);
}

static int tce_powernv_disable_bypass(struct tce_platform *unused,
				      struct iommu_table_group *table_group)
{
	if (READ_ONCE(table_group->tables[TCE_BYPASS_NUM]) ||
	    !table_group->ops->unset_window(table_group, TCE_BYPASS_NUM))
		return 0;

	return tce_refuse(-EIO, "the firmware does not turn off bypass");
}

int tce_platform_disable_bypass(struct iommu_table_group *table_group)
{
	if (tce_platform_is_guest() || !table_group->ops->unset_window)
		return 0;

	return tce_group_serialised(NULL, table_group,
				    tce_powernv_disable_bypass);
}
