// SPDX-License-Identifier: GPL-2.0-only
/*
 * The struct iommu_table of a window. Contract: tce_platform.h.
 */

#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include <asm/firmware.h>
#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_platform.h"

/* The hardware's smallest level is full, so a window is no smaller. */
#define TCE_WINDOW_MIN_ENTRIES	512

static bool tce_hypervised(void)
{
	return firmware_has_feature(FW_FEATURE_LPAR);
}

static int tce_platform_geometry(struct tce_geometry *geo,
				 unsigned int page_shift, u64 size,
				 unsigned int levels)
{
	u64 entries;

	if (!is_power_of_2(size) || page_shift >= 64 || !(size >> page_shift))
		return -EINVAL;

	entries = size >> page_shift;
	if (!tce_hypervised())
		return tce_geometry_init(geo, page_shift,
					 max(entries,
					     (u64)TCE_WINDOW_MIN_ENTRIES),
					 levels);

	/* PAPR: what the hypervisor makes of a window is its own business. */
	if (levels != 1)
		return -EINVAL;

	return tce_geometry_init_backed(geo, page_shift, entries);
}

unsigned long tce_platform_locked_pages(unsigned int page_shift, u64 size,
					unsigned int levels)
{
	struct tce_geometry geo;
	u64 bytes;

	if (tce_platform_geometry(&geo, page_shift, size, levels))
		return 0;

	if (tce_hypervised())
		bytes = geo.entries * sizeof(__be64);
	else
		bytes = 2 * tce_geometry_whole_bytes(&geo);

	return PAGE_ALIGN(bytes) >> PAGE_SHIFT;
}

unsigned int tce_platform_default_levels(void)
{
	/* 2 GiB of 4K pages are two levels of 8 KiB, whatever the kernel's page. */
	return tce_hypervised() ? 1 : 2;
}

static void tce_own_finish(struct tce_platform *platform, void *root)
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

static int tce_own_create(struct tce_platform *platform)
{
	struct iommu_table_group *table_group = platform->table_group;
	unsigned int page_shift = platform->geo.page_shift;
	struct iommu_table *tbl, *probe;
	long ret;

	tbl = kzalloc(sizeof(*tbl), GFP_KERNEL_ACCOUNT);
	if (!tbl)
		return -ENOMEM;

	ret = table_group->ops->create_table(table_group, platform->num,
					     page_shift, 1ULL << page_shift, 1,
					     &probe);
	if (ret) {
		kfree(tbl);
		return ret;
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

/* Hypervised tables give an entry to the hypervisor, which may refuse it. */
static int tce_hypervised_write(void *data, unsigned long index, u64 tce)
{
	const struct tce_platform *platform = data;
	struct iommu_table *tbl = platform->tbl;
	unsigned long hpa = tce & ~(u64)(TCE_PCI_READ | TCE_PCI_WRITE);
	enum dma_data_direction direction = iommu_tce_direction(tce);

	if (READ_ONCE(platform->gone))
		return 0;

	return platform->ops->xchg_no_kill(tbl, tbl->it_offset + index, &hpa,
					   &direction) ? -EIO : 0;
}

static int tce_hypervised_create(struct tce_platform *platform, u64 size)
{
	struct iommu_table_group *table_group = platform->table_group;
	long ret;

	ret = table_group->ops->create_table(table_group, platform->num,
					     platform->geo.page_shift, size, 1,
					     &platform->tbl);
	if (ret)
		return ret;

	platform->ops = platform->tbl->it_ops;
	platform->backing.write = tce_hypervised_write;
	platform->backing.data = platform;

	return 0;
}

int tce_platform_create(struct tce_platform *platform,
			struct iommu_table_group *table_group, int num,
			unsigned int page_shift, u64 size, unsigned int levels)
{
	struct iommu_table_group_ops *group_ops = table_group->ops;
	int ret;

	if (!group_ops->create_table || !group_ops->set_window ||
	    !group_ops->unset_window)
		return -EPERM;

	memset(platform, 0, sizeof(*platform));
	platform->table_group = table_group;
	platform->num = num;
	ret = tce_platform_geometry(&platform->geo, page_shift, size, levels);
	if (ret)
		return ret;

	if (!(table_group->pgsizes & BIT_ULL(page_shift)))
		return -EINVAL;

	return tce_hypervised() ? tce_hypervised_create(platform, size) :
				  tce_own_create(platform);
}

void tce_platform_finish(struct tce_platform *platform, void *root)
{
	if (!tce_hypervised())
		tce_own_finish(platform, root);
}

void tce_platform_abort(struct tce_platform *platform)
{
	if (!tce_hypervised()) {
		kfree(platform->tbl);
		return;
	}

	platform->table_group->ops->unset_window(platform->table_group,
						 platform->num);
	iommu_tce_table_put(platform->tbl);
}
