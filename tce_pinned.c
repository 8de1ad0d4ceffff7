// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are pinned one by one when they are mapped. Contract: tce_pages.h,
 * tce_pinned.h.
 */

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_pages.h"
#include "tce_pinned.h"
#include "tce_table.h"

/* Pages that are pinned between two looks at the scheduler. */
#define TCE_PINNED_BATCH	64

static void tce_pinned_unpin(unsigned long hpa, bool dirty)
{
	struct page *page = pfn_to_page(PHYS_PFN(hpa));

	unpin_user_pages_dirty_lock(&page, 1, dirty);
}

static void tce_pinned_unuse_range(const struct tce_run *run,
				   unsigned long first, unsigned long end)
{
	for (; first < end; first++)
		tce_pinned_unpin(run->hpas[first], false);
}

static void tce_pinned_unuse(struct tce_run *run, unsigned long first)
{
	tce_pinned_unuse_range(run, first, run->count);
}

static int tce_pinned_use(struct tce_run *run)
{
	unsigned int gup = FOLL_LONGTERM |
			   (run->perm & TCE_PCI_WRITE ? FOLL_WRITE : 0);
	unsigned long ua = run->ua;
	struct page *page;
	unsigned long i;
	int ret;

	/* The device would reach what lies behind the page. */
	if (run->page_shift > PAGE_SHIFT)
		return -EPERM;

	run->hpas = kvmalloc_array(run->count, sizeof(*run->hpas),
				   GFP_KERNEL_ACCOUNT);
	if (!run->hpas)
		return -ENOMEM;

	for (i = 0; i < run->count; i++, ua += 1UL << run->page_shift) {
		if (!(i % TCE_PINNED_BATCH)) {
			cond_resched();
			ret = -EINTR;
			if (fatal_signal_pending(current))
				goto undo;
		}

		ret = -EFAULT;
		if (pin_user_pages_fast(ua & PAGE_MASK, 1, gup, &page) != 1)
			goto undo;
		run->hpas[i] = page_to_phys(page) + offset_in_page(ua);
	}

	/* The entries say it all. */
	run->owner = TCE_OWNER_NONE;
	run->tce = run->hpas[0] | run->perm;
	run->together = 1;

	return 0;

undo:
	tce_pinned_unuse_range(run, 0, i);
	kvfree(run->hpas);

	return ret;
}

static void tce_pinned_translate(struct tce_run *run, unsigned long first,
				 unsigned int count, struct tce_entry *entries)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		entries[i].tce = run->hpas[first + i] | run->perm;
		entries[i].owner = run->owner;
	}
}

static unsigned int tce_pinned_retire(struct tce_retired *retired,
				      const struct tce_entry *entries,
				      unsigned int count)
{
	unsigned int i;

	count = min(count, TCE_RETIRED_PAGES - retired->count);
	for (i = 0; i < count; i++)
		retired->tce[retired->count++] = entries[i].tce;

	return count;
}

static void tce_pinned_flush(struct tce_retired *retired)
{
	while (retired->count) {
		u64 tce = retired->tce[--retired->count];

		tce_pinned_unpin(tce, tce & TCE_PCI_WRITE);
	}
}

static void tce_pinned_free(struct tce_pages *pages)
{
	kfree(pages);
}

static const struct tce_pages_ops tce_pinned_ops = {
	.use = tce_pinned_use,
	.translate = tce_pinned_translate,
	.unuse = tce_pinned_unuse,
	.retire = tce_pinned_retire,
	.flush = tce_pinned_flush,
	.free = tce_pinned_free,
};

struct tce_pages *tce_pinned_create(void)
{
	struct tce_pages *pages;

	if (!current->mm)
		return ERR_PTR(-ESRCH);

	pages = kzalloc(sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return ERR_PTR(-ENOMEM);

	tce_pages_init(pages, &tce_pinned_ops);

	return pages;
}
