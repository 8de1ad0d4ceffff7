// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are pinned when they are mapped (version 1). Contract:
 * tce_pages.h, tce_v1_pages.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/align.h>
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include <asm/firmware.h>
#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_charge.h"
#include "tce_pages.h"
#include "tce_refuse.h"
#include "tce_table.h"
#include "tce_v1_pages.h"
#include "tce_work.h"

/* Maximum number of kernel pages that one call pins or unpins. */
#define TCE_V1_MANY	512UL

/* The same where the array is on the stack. */
#define TCE_V1_FEW		16

/*
 * With 4K kernel pages no IOMMU page is smaller than a kernel page: each entry
 * pins its page, and the entries of a page need not be counted.
 */
#define TCE_V1_COUNTED	(PAGE_SHIFT > IOMMU_PAGE_SHIFT_4K)

/**
 * struct tce_v1 - pages of an address space, for version 1
 * @pages: the interface to windows
 * @pin_lock: held by a MAP from pin to unpin, so that at most one run is pinned
 *            and not yet in @entries. Only commands of the process take it
 * @lock: protects @entries
 * @entries: for each kernel page, by its PFN, the number of entries that
 *           translate to it; unused unless TCE_V1_COUNTED. These pages are
 *           pinned once each
 * @allowed: kernel pages that ENABLE has charged. Protected by the container's
 *           lock
 * @spare: @allowed minus the number of pins: those of entries, and those that a
 *         run has reserved (&tce_run.reserved). If it is negative, -@spare
 *         pages are charged in addition to @allowed. Pages are charged before
 *         @allowed and @spare change, and uncharged afterwards
 */
struct tce_v1 {
	struct tce_pages pages;
	struct mutex pin_lock; /* see above */
	struct mutex lock; /* @entries */
	struct xarray entries;
	unsigned long allowed;
	atomic_long_t spare;
};

static struct tce_v1 *tce_v1_of(struct tce_pages *pages)
{
	return container_of(pages, struct tce_v1, pages);
}

/* Pages of a run */

/* Index in @page of the kernel page in which IOMMU page @i begins. */
static unsigned long tce_run_page(const struct tce_run *run, unsigned long i)
{
	return (offset_in_page(run->ua) + (i << run->page_shift)) >> PAGE_SHIFT;
}

/* Number of IOMMU pages from @i up to @end that are in the same kernel page. */
static unsigned long tce_run_part(const struct tce_run *run, unsigned long i,
				  unsigned long end)
{
	return min(end - i,
		   tce_pages_in_page(run, run->ua + (i << run->page_shift)));
}

/* Number of kernel pages of a run. */
static unsigned long tce_run_pages(const struct tce_run *run)
{
	return tce_run_page(run, run->count - 1) + 1;
}

/* Unpin the kernel pages of a run from @first up to @end. */
static void tce_run_unpin(const struct tce_run *run, unsigned long first,
			  unsigned long end)
{
	unsigned long n;

	for (; first < end; first += n) {
		n = min(end - first, TCE_V1_MANY);
		unpin_user_pages(run->page + first, n);
		cond_resched();
	}
}

static void tce_run_forget(struct tce_run *run)
{
	kvfree(run->page);
	run->page = NULL;
}

/* Pins that are charged */

/*
 * Count the pins of a run before it pins, and charge those that exceed
 * v1->spare. All of them stay charged until they are uncounted, even if the
 * container is disabled or released meanwhile.
 */
static int tce_v1_reserve(struct tce_run *run, unsigned long pages)
{
	struct tce_v1 *v1 = tce_v1_of(run->pages);
	struct tce_charge *charge = run->pages->charge;
	long beyond, charged = 0, spare;
	int ret;

	spare = atomic_long_read(&v1->spare);
	do {
		beyond = pages - clamp(spare, 0L, (long)pages);
		if (beyond <= charged)
			continue;

		/*
		 * This may wait for the mmap_lock. If DISABLE runs meanwhile,
		 * the exchange fails, and the rest is charged, too.
		 */
		ret = tce_charge_add(charge, beyond - charged);
		if (ret) {
			tce_charge_return(charge, charged);
			return ret;
		}
		charged = beyond;
	} while (!atomic_long_try_cmpxchg(&v1->spare, &spare,
					  spare - pages));

	run->reserved = pages;
	tce_charge_return(charge, charged - beyond);

	return 0;
}

/* Uncount pins, and uncharge those that were charged in addition. */
static void tce_v1_uncount(struct tce_v1 *v1, unsigned long pages)
{
	long spare = atomic_long_fetch_add(pages, &v1->spare);

	if (spare < 0)
		tce_charge_return(v1->pages.charge,
				  min_t(unsigned long, pages, -spare));
}

/* Entries and pins */

/*
 * Count @entries new entries that translate to a page, which the caller has
 * pinned; they take over the reserved pin. Set @had if there were entries
 * before: the caller must then unpin the page, as one pin is enough for all
 * entries, and the pin stays reserved.
 */
static int tce_v1_add(struct tce_run *run, struct page *page,
		      unsigned long entries, bool *had)
{
	struct tce_v1 *v1 = tce_v1_of(run->pages);
	unsigned long pfn = page_to_pfn(page);
	void *before;
	int ret;

	lockdep_assert_held(&v1->lock);

	*had = false;
	if (!TCE_V1_COUNTED) {
		run->reserved--;
		return 0;
	}

	before = xa_load(&v1->entries, pfn);
	*had = before;
	if (before)
		entries += xa_to_value(before);
	ret = xa_err(xa_store(&v1->entries, pfn, xa_mk_value(entries),
			      TCE_GFP_FIXED));
	if (!ret && !before)
		run->reserved--;

	return ret;
}

/*
 * Uncount @entries entries of a page. Return whether no entry translates to it
 * any more: the caller must then unpin it and uncount the pin.
 */
static bool tce_v1_remove(struct tce_v1 *v1, struct page *page,
			  unsigned long entries)
{
	unsigned long pfn = page_to_pfn(page), before;

	lockdep_assert_held(&v1->lock);

	if (!TCE_V1_COUNTED)
		return true;

	before = xa_to_value(xa_load(&v1->entries, pfn));
	if (before > entries) {
		/* A value is replaced by a value, so nothing is allocated. */
		xa_store(&v1->entries, pfn, xa_mk_value(before - entries),
			 0);
		return false;
	}

	xa_erase(&v1->entries, pfn);

	return true;
}

/*
 * Uncount the entries of a run from @first up to @end, which were never set.
 * Unpin the pages to which no other entries translate.
 */
static void tce_v1_cancel_range(const struct tce_run *run,
				unsigned long first, unsigned long end)
{
	struct tce_v1 *v1 = tce_v1_of(run->pages);
	unsigned long n, unpinned = 0;

	mutex_lock(&v1->lock);
	for (; first < end; first += n) {
		struct page *page = run->page[tce_run_page(run, first)];

		n = tce_run_part(run, first, end);
		if (tce_v1_remove(v1, page, n)) {
			unpin_user_page(page);
			unpinned++;
		}
		cond_resched();
	}
	mutex_unlock(&v1->lock);
	tce_v1_uncount(v1, unpinned);
}

/* Operations */

static void tce_v1_unpin(struct tce_run *run)
{
	struct tce_v1 *v1 = tce_v1_of(run->pages);

	if (run->page) {
		tce_run_unpin(run, 0, tce_run_pages(run));
		tce_run_forget(run);
	}
	if (run->reserved)
		tce_v1_uncount(v1, run->reserved);
	run->pinned = false;
	mutex_unlock(&v1->pin_lock);
}

static int tce_v1_pin(struct tce_run *run)
{
	struct tce_v1 *v1 = tce_v1_of(run->pages);
	unsigned int gup = FOLL_LONGTERM |
			   (run->perm & TCE_PCI_WRITE ? FOLL_WRITE : 0);
	unsigned long done, pages = tce_run_pages(run);
	int n, ret;

	if (mutex_lock_killable(&v1->pin_lock))
		return -EINTR;
	run->pinned = true;
	run->reserved = 0;

	ret = tce_v1_reserve(run, pages);
	if (ret)
		return ret;

	run->page = kvmalloc_array(pages, sizeof(*run->page), TCE_GFP);
	if (!run->page)
		return -ENOMEM;

	for (done = 0; done < pages; done += n) {
		cond_resched();
		ret = -EINTR;
		if (fatal_signal_pending(current))
			goto undo;

		n = pin_user_pages_fast((run->ua & PAGE_MASK) +
					(done << PAGE_SHIFT),
					min(pages - done, TCE_V1_MANY),
					gup, run->page + done);
		ret = -EFAULT;
		if (n <= 0) {
			tce_refuse(ret, "the memory cannot be pinned");
			goto undo;
		}
	}

	return 0;

undo:
	tce_run_unpin(run, 0, done);
	tce_run_forget(run);

	return ret;
}

static void tce_v1_cancel(struct tce_run *run, unsigned long first)
{
	tce_v1_cancel_range(run, first, run->count);
}

static int tce_v1_use(struct tce_run *run, struct tce_extent *first)
{
	struct tce_v1 *v1 = tce_v1_of(run->pages);
	unsigned long i, n;
	int ret = 0;
	bool had;

	/*
	 * The kernel pages of an IOMMU page that is larger than a kernel page
	 * may not be contiguous, and not all of them are pinned.
	 */
	if (run->page_shift > PAGE_SHIFT)
		return tce_refuse(-EPERM,
				  "version 1 has no IOMMU pages larger than a kernel page");

	mutex_lock(&v1->lock);
	for (i = 0; i < run->count; i += n) {
		struct page *page = run->page[tce_run_page(run, i)];

		n = tce_run_part(run, i, run->count);
		ret = tce_v1_add(run, page, n, &had);
		if (ret)
			break;
		if (had)
			unpin_user_page(page);
		cond_resched();
	}
	mutex_unlock(&v1->lock);
	if (ret) {
		tce_run_unpin(run, tce_run_page(run, i), tce_run_pages(run));
		tce_v1_cancel_range(run, 0, i);
		tce_run_forget(run);
		return ret;
	}

	run->owner = TCE_OWNER_NONE;
	run->next = tce_run_part(run, 0, run->count);
	first->tce = page_to_phys(run->page[0]) + offset_in_page(run->ua);
	first->tce |= run->perm;
	first->owner = run->owner;
	first->count = run->next;

	return 0;
}

static void tce_v1_translate(struct tce_run *run, struct tce_batch *batch)
{
	unsigned long before = run->next;
	unsigned int n = batch->count;
	struct tce_extent *extent;

	extent = n ? &batch->extent[n - 1] : NULL;
	while (run->next < run->count) {
		unsigned long ua = run->ua + (run->next << run->page_shift);
		struct page *page = run->page[tce_run_page(run, run->next)];
		unsigned long part = tce_run_part(run, run->next, run->count);
		u64 tce = (page_to_phys(page) + offset_in_page(ua)) | run->perm;

		if (extent && tce == extent->tce +
				     (extent->count << run->page_shift)) {
			extent->count += part;
		} else {
			if (n == TCE_BATCH)
				break;
			extent = &batch->extent[n++];
			extent->tce = tce;
			extent->owner = run->owner;
			extent->count = part;
		}
		run->next += part;
	}
	batch->count = n;
	batch->entries += run->next - before;
}

static bool tce_v1_retire(struct tce_retired *retired,
			  struct tce_batch *batch)
{
	for (; batch->first < batch->count; batch->first++) {
		if (retired->count == retired->max)
			return false;

		retired->list[retired->count].word =
			batch->extent[batch->first].tce;
		retired->list[retired->count].pages =
			batch->extent[batch->first].count;
		retired->count++;
	}

	return true;
}

/* Release the pages of an extent that begins with @tce, after the kill. */
static void tce_v1_release(struct tce_v1 *v1, u64 tce,
			   unsigned long count, unsigned int page_shift)
{
	u64 next, pa = tce & ~TCE_PERM;
	struct page *unpin[TCE_V1_FEW] __uninitialized;
	u64 end = pa + (count << page_shift);
	bool dirty = tce & TCE_PCI_WRITE;
	unsigned long unpinned = 0;
	unsigned int n = 0;

	lockdep_assert_held(&v1->lock);

	for (; pa < end; pa = next) {
		struct page *page = pfn_to_page(PHYS_PFN(pa));

		next = min(end, ALIGN_DOWN(pa, PAGE_SIZE) + PAGE_SIZE);
		if (tce_v1_remove(v1, page, (next - pa) >> page_shift))
			unpin[n++] = page;
		else if (dirty)
			set_page_dirty_lock(page);

		if (n == ARRAY_SIZE(unpin)) {
			unpin_user_pages_dirty_lock(unpin, n, dirty);
			unpinned += n;
			n = 0;
		}
	}
	unpin_user_pages_dirty_lock(unpin, n, dirty);
	tce_v1_uncount(v1, unpinned + n);
}

static void tce_v1_flush(struct tce_retired *retired)
{
	struct tce_v1 *v1 = tce_v1_of(retired->pages);
	unsigned int i;

	mutex_lock(&v1->lock);
	for (i = 0; i < retired->count; i++) {
		tce_v1_release(v1, retired->list[i].word,
			       retired->list[i].pages, retired->page_shift);
		cond_resched();
	}
	retired->count = 0;
	mutex_unlock(&v1->lock);
}

static void tce_v1_release_extent(struct tce_pages *pages,
				  const struct tce_extent *extent,
				  unsigned int page_shift)
{
	struct tce_v1 *v1 = tce_v1_of(pages);

	mutex_lock(&v1->lock);
	tce_v1_release(v1, extent->tce, extent->count, page_shift);
	mutex_unlock(&v1->lock);
}

static void tce_v1_free(struct tce_pages *pages)
{
	struct tce_v1 *v1 = tce_v1_of(pages);
	unsigned long pfn = 0;

	/*
	 * Pins that are left are those of entries that were still set when the
	 * table was freed. (The array may have nodes without an entry, if there
	 * was no memory for others.)
	 */
	if (atomic_long_read(&v1->spare) ||
	    xa_find(&v1->entries, &pfn, ULONG_MAX, XA_PRESENT)) {
		WARN_ON_ONCE(!firmware_has_feature(FW_FEATURE_LPAR));
		pr_warn("pages of a closed container stay pinned, as the hypervisor has refused to clear their entries\n");
	}
	xa_destroy(&v1->entries);
	kfree(v1);
}

static const struct tce_pages_ops tce_v1_ops = {
	.pin = tce_v1_pin,
	.unpin = tce_v1_unpin,
	.use = tce_v1_use,
	.translate = tce_v1_translate,
	.cancel = tce_v1_cancel,
	.retire = tce_v1_retire,
	.flush = tce_v1_flush,
	.release = tce_v1_release_extent,
	.free = tce_v1_free,
};

void tce_v1_enable(struct tce_pages *pages, unsigned long allowed)
{
	struct tce_v1 *v1 = tce_v1_of(pages);
	unsigned long pins;

	v1->allowed = allowed;
	pins = -atomic_long_fetch_add(allowed, &v1->spare);
	/*
	 * Pages that stayed pinned after DISABLE stayed charged: they are now
	 * part of @allowed.
	 */
	tce_charge_return(pages->charge, min(pins, allowed));
}

unsigned long tce_v1_disable(struct tce_pages *pages)
{
	struct tce_v1 *v1 = tce_v1_of(pages);
	unsigned long allowed = v1->allowed, pins;

	v1->allowed = 0;
	pins = -atomic_long_sub_return(allowed, &v1->spare);

	/*
	 * Pages of entries that the hypervisor refused to clear, and those that
	 * a MAP has pinned or is pinning, stay charged until they are unpinned.
	 */
	return allowed - min(pins, allowed);
}

struct tce_pages *tce_v1_create(void)
{
	struct tce_v1 *v1;
	int ret;

	v1 = kzalloc(sizeof(*v1), TCE_GFP_FIXED);
	if (!v1)
		return ERR_PTR(-ENOMEM);

	ret = tce_pages_init(&v1->pages, &tce_v1_ops);
	if (ret) {
		kfree(v1);
		return ERR_PTR(ret);
	}

	mutex_init(&v1->pin_lock);
	mutex_init(&v1->lock);
	xa_init(&v1->entries);

	return &v1->pages;
}
