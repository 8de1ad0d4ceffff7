// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are pinned one by one when they are mapped. Contract: tce_pages.h,
 * tce_pinned.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_charge.h"
#include "tce_pages.h"
#include "tce_pinned.h"
#include "tce_table.h"
#include "tce_work.h"

/* Kernel pages that are pinned at once, and pages between two calls to cond_resched(). */
#define TCE_PINNED_BATCH	64

/* With IOMMU pages of a kernel page, the window cannot pin more than its own size. */
#define TCE_PINNED_COUNTED	(PAGE_SHIFT > IOMMU_PAGE_SHIFT_4K)

/**
 * struct tce_pinned - pages of an address space, for version 1
 * @pages: what windows see of it
 * @pin_lock: held by a run from pin to unpin, so that no more than one run is pinned and
 *            not yet in the books. Only commands of the process take it
 * @lock: protects all that follows
 * @entries: by the number of a kernel page, how many entries lead there; unused unless
 *           TCE_PINNED_COUNTED. A page in here is pinned once
 * @count: kernel pages in @entries
 * @allowed: kernel pages that are charged, whatever is pinned
 */
struct tce_pinned {
	struct tce_pages pages;
	struct mutex pin_lock; /* a run that is pinned and not yet in the books */
	struct mutex lock; /* @entries, @count, @allowed */
	struct xarray entries;
	unsigned long count;
	unsigned long allowed;
};

static struct tce_pinned *tce_pinned_of(struct tce_pages *pages)
{
	return container_of(pages, struct tce_pinned, pages);
}

static void tce_pinned_put_page(unsigned long hpa, bool dirty)
{
	struct page *page = pfn_to_page(PHYS_PFN(hpa));

	unpin_user_pages_dirty_lock(&page, 1, dirty);
}

/* Whether page @i of a run is the first of a kernel page, and so has the pin. */
static bool tce_pinned_first(const struct tce_run *run, unsigned long i)
{
	return !i || !offset_in_page(run->ua + (i << run->page_shift));
}

/* Entries and pins: one more entry leads to a page, for which the caller has a pin. */
static int tce_pinned_add(struct tce_run *run, unsigned long i)
{
	struct tce_pinned *pinned = tce_pinned_of(run->pages);
	unsigned long pfn = PHYS_PFN(run->hpas[i]), entries;
	int ret;

	lockdep_assert_held(&pinned->lock);

	if (!TCE_PINNED_COUNTED)
		return 0;

	entries = xa_to_value(xa_load(&pinned->entries, pfn) ?: xa_mk_value(0));
	/* DISABLE came in between, and ENABLE with another charge. */
	if (!entries && pinned->count >= pinned->allowed && !run->charged)
		return -ENOMEM;

	ret = xa_err(xa_store(&pinned->entries, pfn, xa_mk_value(entries + 1),
			      TCE_GFP));
	if (ret)
		return ret;

	if (!entries && pinned->count++ >= pinned->allowed)
		run->charged--;
	if (entries && tce_pinned_first(run, i))
		tce_pinned_put_page(run->hpas[i], false);

	return 0;
}

/* One entry less; the last one has the pin. */
static void tce_pinned_remove(struct tce_pinned *pinned, unsigned long hpa,
			      bool dirty)
{
	unsigned long pfn = PHYS_PFN(hpa), entries;

	lockdep_assert_held(&pinned->lock);

	if (!TCE_PINNED_COUNTED) {
		tce_pinned_put_page(hpa, dirty);
		return;
	}

	entries = xa_to_value(xa_load(&pinned->entries, pfn) ?: xa_mk_value(1));
	if (entries > 1) {
		/* A value takes the place of a value: nothing is allocated. */
		xa_store(&pinned->entries, pfn, xa_mk_value(entries - 1), 0);
		if (dirty)
			set_page_dirty_lock(pfn_to_page(pfn));
		return;
	}

	xa_erase(&pinned->entries, pfn);
	if (--pinned->count >= pinned->allowed)
		tce_charge_return(pinned->pages.charge, 1);
	tce_pinned_put_page(hpa, dirty);
}

/* Drops the pins of the run's pages from @first on, up to @end. */
static void tce_pinned_unpin_range(const struct tce_run *run,
				   unsigned long first, unsigned long end)
{
	for (; first < end; first++) {
		if (tce_pinned_first(run, first))
			tce_pinned_put_page(run->hpas[first], false);
		if (!(first % TCE_PINNED_BATCH))
			cond_resched();
	}
}

static void tce_pinned_forget(struct tce_run *run)
{
	kvfree(run->hpas);
	run->hpas = NULL;
}

static void tce_pinned_unpin(struct tce_run *run)
{
	struct tce_pinned *pinned = tce_pinned_of(run->pages);

	if (run->hpas) {
		tce_pinned_unpin_range(run, 0, run->count);
		tce_pinned_forget(run);
	}
	tce_charge_return(run->pages->charge, run->charged);
	run->charged = 0;
	run->pinned = false;
	mutex_unlock(&pinned->pin_lock);
}

/* Charges what a run of so many kernel pages may pin beyond what is allowed. */
static int tce_pinned_charge(struct tce_run *run, unsigned long pages)
{
	struct tce_pinned *pinned = tce_pinned_of(run->pages);
	unsigned long beyond = 0;
	int ret;

	if (!TCE_PINNED_COUNTED)
		return 0;

	/* With the other lock held it only gets less. */
	mutex_lock(&pinned->lock);
	if (pinned->count + pages > pinned->allowed)
		beyond = min(pages, pinned->count + pages - pinned->allowed);
	mutex_unlock(&pinned->lock);

	ret = tce_charge_add(run->pages->charge, beyond);
	if (!ret)
		run->charged = beyond;

	return ret;
}

static int tce_pinned_pin(struct tce_run *run)
{
	struct tce_pinned *pinned = tce_pinned_of(run->pages);
	unsigned int gup = FOLL_LONGTERM |
			   (run->perm & TCE_PCI_WRITE ? FOLL_WRITE : 0);
	unsigned long last = run->ua + ((run->count - 1) << run->page_shift);
	unsigned long page, pages = (last >> PAGE_SHIFT) - (run->ua >> PAGE_SHIFT) + 1;
	struct page *batch[TCE_PINNED_BATCH];
	unsigned long i = 0;
	int n, j, ret;

	if (mutex_lock_killable(&pinned->pin_lock))
		return -EINTR;
	run->pinned = true;
	run->charged = 0;

	ret = tce_pinned_charge(run, pages);
	if (ret)
		return ret;

	run->hpas = kvmalloc_array(run->count, sizeof(*run->hpas), TCE_GFP);
	if (!run->hpas)
		return -ENOMEM;

	for (page = 0; page < pages; page += n) {
		cond_resched();
		ret = -EINTR;
		if (fatal_signal_pending(current))
			goto undo;

		n = min_t(unsigned long, pages - page, ARRAY_SIZE(batch));
		n = pin_user_pages_fast((run->ua & PAGE_MASK) + (page << PAGE_SHIFT),
					n, gup, batch);
		ret = -EFAULT;
		if (n <= 0)
			goto undo;

		for (j = 0; j < n; j++) {
			do {
				unsigned long ua = run->ua + (i << run->page_shift);

				run->hpas[i] = page_to_phys(batch[j]) +
					       offset_in_page(ua);
				i++;
			} while (i < run->count && !tce_pinned_first(run, i));
		}
	}

	return 0;

undo:
	tce_pinned_unpin_range(run, 0, i);
	tce_pinned_forget(run);

	return ret;
}

/* Takes pages out of the books from @first on, up to @end: no entry leads there. */
static void tce_pinned_unuse_range(const struct tce_run *run,
				   unsigned long first, unsigned long end)
{
	struct tce_pinned *pinned = tce_pinned_of(run->pages);

	mutex_lock(&pinned->lock);
	for (; first < end; first++) {
		tce_pinned_remove(pinned, run->hpas[first], false);
		if (!(first % TCE_PINNED_BATCH))
			cond_resched();
	}
	mutex_unlock(&pinned->lock);
}

static void tce_pinned_unuse(struct tce_run *run, unsigned long first)
{
	tce_pinned_unuse_range(run, first, run->count);
}

static int tce_pinned_use(struct tce_run *run)
{
	struct tce_pinned *pinned = tce_pinned_of(run->pages);
	unsigned long i;
	int ret = 0;

	/* The device would reach what lies behind the page. */
	if (run->page_shift > PAGE_SHIFT)
		return -EPERM;

	mutex_lock(&pinned->lock);
	for (i = 0; i < run->count; i++) {
		ret = tce_pinned_add(run, i);
		if (ret)
			break;
		if (!(i % TCE_PINNED_BATCH))
			cond_resched();
	}
	mutex_unlock(&pinned->lock);
	if (ret) {
		tce_pinned_unpin_range(run, i, run->count);
		tce_pinned_unuse_range(run, 0, i);
		tce_pinned_forget(run);
		return ret;
	}

	/* The TCE alone identifies the page. */
	run->owner = TCE_OWNER_NONE;
	run->tce = run->hpas[0] | run->perm;
	run->together = 1;

	return 0;
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
	struct tce_pinned *pinned = tce_pinned_of(retired->pages);

	mutex_lock(&pinned->lock);
	while (retired->count) {
		u64 tce = retired->tce[--retired->count];

		tce_pinned_remove(pinned, tce, tce & TCE_PCI_WRITE);
	}
	mutex_unlock(&pinned->lock);
}

static void tce_pinned_free(struct tce_pages *pages)
{
	struct tce_pinned *pinned = tce_pinned_of(pages);

	WARN_ON_ONCE(!xa_empty(&pinned->entries));
	kfree(pinned);
}

static const struct tce_pages_ops tce_pinned_ops = {
	.pin = tce_pinned_pin,
	.unpin = tce_pinned_unpin,
	.use = tce_pinned_use,
	.translate = tce_pinned_translate,
	.unuse = tce_pinned_unuse,
	.retire = tce_pinned_retire,
	.flush = tce_pinned_flush,
	.free = tce_pinned_free,
};

void tce_pinned_enable(struct tce_pages *pages, unsigned long allowed)
{
	struct tce_pinned *pinned = tce_pinned_of(pages);

	mutex_lock(&pinned->lock);
	pinned->allowed = allowed;
	/* What a hypervisor did not let go of was charged one by one since. */
	tce_charge_return(pages->charge, min(pinned->count, allowed));
	mutex_unlock(&pinned->lock);
}

void tce_pinned_disable(struct tce_pages *pages)
{
	struct tce_pinned *pinned = tce_pinned_of(pages);
	unsigned long allowed;

	mutex_lock(&pinned->lock);
	/* What a hypervisor did not let go of stays charged until it does. */
	allowed = pinned->allowed - min(pinned->allowed, pinned->count);
	pinned->allowed = 0;
	mutex_unlock(&pinned->lock);

	tce_charge_return(pages->charge, allowed);
}

struct tce_pages *tce_pinned_create(void)
{
	struct tce_pinned *pinned;
	int ret;

	pinned = kzalloc(sizeof(*pinned), TCE_GFP);
	if (!pinned)
		return ERR_PTR(-ENOMEM);

	ret = tce_pages_init(&pinned->pages, &tce_pinned_ops);
	if (ret) {
		kfree(pinned);
		return ERR_PTR(ret);
	}

	mutex_init(&pinned->pin_lock);
	mutex_init(&pinned->lock);
	xa_init_flags(&pinned->entries, XA_FLAGS_ACCOUNT);

	return &pinned->pages;
}
