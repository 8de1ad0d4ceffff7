// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCE kill, and the release of pages after it. Contract: tce_kill.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/cputable.h>
#include <asm/cpu_has_feature.h>
#include <asm/iommu.h>

#include "tce_kill.h"
#include "tce_observe.h"
#include "tce_table.h"
#include "tce_window_private.h"
#include "tce_work.h"

/*
 * On PHB4 and later, with skiboot of 2021 or newer, a kill drops all
 * translations of the PE, so its cost does not depend on its range. On these
 * PHBs the extents of one batch share a kill, and so do batches that are at
 * most this many entries apart.
 */
#define TCE_KILL_GAP		512

/*
 * Maximum number of entries of one kill: the length of an RCU read-side section
 * must not depend on the size of a mapping. PHB3 needs a register write for
 * each page. Later PHBs have a limit, too, because skiboot before 2021 does the
 * same there, and because opal_pci_tce_kill() takes a 32-bit number of pages.
 */
#define TCE_KILL_MAX_PHB3	4096UL
#define TCE_KILL_MAX		65536UL

/* Maximum number of extents of pinned pages that wait for a kill. */
#define TCE_RETIRED_MAX		4096UL

/* Call the platform's TCE kill once. */
static __always_inline void tce_kill_once(struct tce_window *window,
					  unsigned long index,
					  unsigned long count)
{
	struct iommu_table *tbl = window->platform.tbl;

	tce_observe_kill(window, count);
	/*
	 * The stores to the entries must be visible to the hardware before the
	 * kill: the hardware may read the entries again right after the kill.
	 */
	mb();
	/*
	 * The platform walks the table's list of groups, whose elements are
	 * freed by kfree_rcu().
	 */
	rcu_read_lock();
	window->platform.ops->tce_kill(tbl, tbl->it_offset + index, count);
	rcu_read_unlock();
}

static unsigned long tce_kill_max_entries(void)
{
	return cpu_has_feature(CPU_FTR_ARCH_300) ? TCE_KILL_MAX :
						   TCE_KILL_MAX_PHB3;
}

static noinline void tce_kill_parts(struct tce_window *window,
				    unsigned long index, unsigned long count)
{
	unsigned long n;

	for (; count; index += n, count -= n) {
		n = min(count, tce_kill_max_entries());
		tce_kill_once(window, index, n);
	}
}

void tce_kill(struct tce_window *window, unsigned long index,
	      unsigned long count)
{
	/* pSeries has none. */
	if (!window->platform.ops->tce_kill)
		return;

	/*
	 * So many are one call on any PHB. If @count is 0 the difference wraps,
	 * and tce_kill_parts() kills nothing.
	 */
	if (count - 1 < TCE_KILL_MAX_PHB3)
		tce_kill_once(window, index, count);
	else
		tce_kill_parts(window, index, count);
}

/* Gather */

void tce_gather_init(struct tce_gather *gather, struct tce_window *window,
		     unsigned long count)
{
	struct tce_retired *retired = &gather->retired;

	/* retired->few is left uninitialised. */
	gather->window = window;
	gather->unkilled = 0;
	gather->end = 0;
	gather->max_retired = TCE_RETIRED_FEW;
	if (window->pages->ops->pin)
		gather->max_retired = min(count, TCE_RETIRED_MAX);
	retired->pages = window->pages;
	retired->page_shift = tce_window_page_shift(window);
	retired->count = 0;
	retired->max = TCE_RETIRED_FEW;
	retired->list = retired->few;
}

/*
 * Make room for more retired extents than the array has, at most once. Must not
 * sleep, as entries of these extents are not killed yet.
 */
static noinline bool tce_gather_grow(struct tce_gather *gather)
{
	struct tce_retired *retired = &gather->retired;
	unsigned int max = gather->max_retired;
	struct tce_owned *list = NULL;

	gather->max_retired = 0;
	for (; max > retired->max; max /= 2) {
		list = kmalloc_array(max, sizeof(*list), TCE_GFP_NOWAIT);
		if (list)
			break;
	}
	if (!list)
		return false;

	memcpy(list, retired->few, sizeof(retired->few));
	retired->list = list;
	retired->max = max;

	return true;
}

void tce_gather_end(struct tce_gather *gather)
{
	tce_gather_flush(gather);
	if (gather->retired.list != gather->retired.few)
		kfree(gather->retired.list);
}

/*
 * Largest gap between two batches that is killed together with them. Gaps
 * inside a batch are killed unless this is 0 (tce_gather_max_extents()). PHB3
 * needs a register write for each page, mapped or not, so no gap is killed
 * there.
 */
static unsigned long tce_kill_gap(const struct tce_window *window)
{
	if (!window->platform.ops->tce_kill)
		return ULONG_MAX;

	return cpu_has_feature(CPU_FTR_ARCH_300) ? TCE_KILL_GAP : 0;
}

unsigned int tce_gather_max_extents(const struct tce_gather *gather)
{
	return tce_kill_gap(gather->window) ? TCE_BATCH : 1;
}

void tce_gather_flush(struct tce_gather *gather)
{
	if (gather->end)
		tce_kill(gather->window, gather->first,
			 gather->end - gather->first);
	gather->end = 0;
	if (gather->unkilled)
		tce_table_killed(gather->window->table, gather->unkilled);
	gather->unkilled = 0;
	if (gather->retired.count)
		gather->window->pages->ops->flush(&gather->retired);
}

void tce_gather_resched(struct tce_gather *gather)
{
	if (!need_resched())
		return;

	tce_gather_flush(gather);
	cond_resched();
}

static void tce_gather_range(struct tce_gather *gather, unsigned long first,
			     unsigned long end)
{
	if (gather->end &&
	    (first < gather->end ||
	     first - gather->end > tce_kill_gap(gather->window) ||
	     gather->end - gather->first >= tce_kill_max_entries()))
		tce_gather_flush(gather);

	if (!gather->end)
		gather->first = first;
	gather->end = end;
}

void tce_gather_batch(struct tce_gather *gather, unsigned long first,
		      unsigned long end, struct tce_batch *old)
{
	const struct tce_pages_ops *ops = gather->window->pages->ops;

	tce_gather_range(gather, first, end);
	gather->unkilled += !!old->count;
	while (old->count && !ops->retire(&gather->retired, old)) {
		if (tce_gather_grow(gather))
			continue;

		tce_gather_flush(gather);
		/*
		 * The next flush releases the remaining pages. Their entries
		 * have just been killed; they are killed once more only to keep
		 * the rule that a flush kills the entries of the pages that it
		 * releases.
		 */
		gather->first = first;
		gather->end = end;
	}
}

void tce_kill_resched(void *data, unsigned long index, unsigned long count)
{
	unsigned long n;

	for (; count; index += n, count -= n) {
		n = min(count, tce_kill_max_entries());
		tce_kill(data, index, n);
		cond_resched();
	}
}
