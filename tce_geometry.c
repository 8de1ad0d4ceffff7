// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shape of a table. Contract: tce_table.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>

#include "tce_table.h"
#include "tce_table_private.h"

/*
 * The largest level, as an order of kernel pages: 32 KiB of 4K pages, 512 KiB
 * of 64K pages. Higher orders are costly to allocate (PAGE_ALLOC_COSTLY_ORDER),
 * and user space could use them up by requesting few levels.
 */
#define TCE_LEVEL_MAX_ORDER	3

/*
 * A window must have fewer address bits than this. The hardware allows more, up
 * to TCE_WINDOW_SELECT_BIT. The limit is that of the in-tree module, for which
 * pnv_pci_ioda2_table_alloc_pages() refuses levels that translate 55 address
 * bits or more. Levels of the minimum size may translate more bits than the
 * window has.
 */
#define TCE_ADDRESS_BITS	55

/* The address bit that selects the window; it must not index a level. */
#define TCE_WINDOW_SELECT_BIT	59

int tce_geometry_init(struct tce_geometry *geo, unsigned int page_shift,
		      unsigned long entries, unsigned int levels)
{
	struct tce_geometry new = {
		.page_shift = page_shift,
		.entries = entries,
	};
	unsigned int bits;

	if (page_shift >= 64 || !(TCE_TABLE_PAGE_SIZES & BIT_ULL(page_shift)))
		return -EINVAL;

	if (!levels || levels > TCE_TABLE_MAX_LEVELS || !entries)
		return -EINVAL;

	bits = order_base_2(entries);
	if (bits + page_shift >= TCE_ADDRESS_BITS)
		return -EINVAL;

	for (new.levels = levels; new.levels <= TCE_TABLE_MAX_LEVELS;
	     new.levels++) {
		new.level_shift = max_t(unsigned int,
					DIV_ROUND_UP(bits, new.levels),
					TCE_LEVEL_MIN_SHIFT);
		if (tce_block_order(&new) <= TCE_LEVEL_MAX_ORDER)
			break;
	}

	if (new.levels > TCE_TABLE_MAX_LEVELS ||
	    new.level_shift * new.levels + page_shift > TCE_WINDOW_SELECT_BIT)
		return -EINVAL;

	*geo = new;

	return 0;
}

int tce_geometry_init_backed(struct tce_geometry *geo, unsigned int page_shift,
			     unsigned long entries)
{
	unsigned int levels;

	if (!entries)
		return -EINVAL;

	levels = DIV_ROUND_UP(order_base_2(entries), TCE_LEVEL_MIN_SHIFT);
	levels = max(levels, 1U);
	if (levels > TCE_TABLE_MAX_LEVELS)
		return -EINVAL;

	*geo = (struct tce_geometry) {
		.page_shift = page_shift,
		.levels = levels,
		.level_shift = TCE_LEVEL_MIN_SHIFT,
		.entries = entries,
	};

	return 0;
}

u64 tce_geometry_whole_bytes(const struct tce_geometry *geo)
{
	unsigned long levels = geo->entries;
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; i < geo->levels; i++) {
		levels = DIV_ROUND_UP(levels, tce_level_entries(geo));
		bytes += (u64)levels << tce_level_bytes_shift(geo);
	}

	return bytes;
}
