// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is mapped in a window, for debugfs and iommu:map. Contract:
 * tce_observe.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/types.h>

#include <trace/events/iommu.h>

#include <asm/tce.h>

#include "tce_observe.h"
#include "tce_table.h"
#include "tce_window_private.h"

bool tce_observe_extent(struct tce_cursor *cursor, struct tce_extent *extent)
{
	unsigned int page_shift = tce_table_geometry(cursor->table)->page_shift;
	struct tce_extent more;
	struct tce_cursor ahead;

	if (!tce_table_extent(cursor, extent))
		return false;

	while (extent->index + extent->count < cursor->end) {
		unsigned long index = extent->index + extent->count;
		u64 tce = extent->tce + ((u64)extent->count << page_shift);

		if (tce_table_get(cursor->table, index) != tce)
			break;

		/* If the entry has changed, do not skip what follows. */
		ahead = *cursor;
		ahead.index = index;
		if (!tce_table_extent(&ahead, &more) || more.index != index ||
		    more.tce != tce)
			break;

		*cursor = ahead;
		extent->count += more.count;
	}

	return true;
}

void tce_observe_trace_extents(const struct tce_window *window,
			       unsigned long index, unsigned long count)
{
	unsigned int page_shift = tce_window_page_shift(window);
	struct tce_cursor cursor = {
		.table = window->table,
		.index = index,
		.end = index + count,
	};
	struct tce_extent extent;

	while (tce_observe_extent(&cursor, &extent))
		trace_map(window->start + ((u64)extent.index << page_shift),
			  extent.tce & ~TCE_PERM,
			  (u64)extent.count << page_shift);
}
