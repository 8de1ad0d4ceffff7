// SPDX-License-Identifier: GPL-2.0-only
/*
 * A DMA window. Contract: tce_window.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <asm/iommu.h>

#include "tce_charge.h"
#include "tce_debugfs.h"
#include "tce_kill.h"
#include "tce_kvm.h"
#include "tce_pages.h"
#include "tce_platform.h"
#include "tce_table.h"
#include "tce_window.h"
#include "tce_window_private.h"
#include "tce_work.h"

/* Entries that are exchanged between two calls to cond_resched(). */
#define TCE_WINDOW_BATCH	64

/* So few entries are exchanged at once, if they can be: those of a kernel page. */
#define TCE_WINDOW_FEW		(PAGE_SIZE >> IOMMU_PAGE_SHIFT_4K)

/* Taking entries out */

static void tce_window_clear(struct tce_window *window, unsigned long index,
			     unsigned long count)
{
	struct tce_entry old[TCE_WINDOW_BATCH] __uninitialized;
	struct tce_cursor cursor = {
		.table = window->table,
		.index = index,
		.end = index + count,
	};
	unsigned long first, last;
	struct tce_gather gather __uninitialized;
	unsigned int n;

	tce_gather_init(&gather, window);
	while (cursor.index < cursor.end) {
		n = tce_table_clear(&cursor, old, &first, &last, ARRAY_SIZE(old));
		if (n) {
			tce_gather_range(&gather, first, last + 1);
			tce_gather_old(&gather, old, n);
		}
		tce_gather_resched(&gather);
	}
	tce_gather_flush(&gather);
}

void tce_window_clear_all(struct tce_window *window)
{
	tce_window_clear(window, 0, window->platform.geo.entries);
	tce_trim(window);
}

void tce_window_settle(struct tce_window *window)
{
	tce_kill_settle(window);
}

/* Windows */

struct tce_window *tce_window_create(struct iommu_table_group *table_group,
				     int num,
				     struct tce_window_request *request)
{
	struct tce_charge *charge = request->pages->charge;
	struct tce_platform *platform;
	struct tce_window *window;
	int ret;

	window = kzalloc(sizeof(*window), TCE_GFP);
	if (!window)
		return ERR_PTR(-ENOMEM);

	platform = &window->platform;
	ret = tce_platform_check(platform, table_group, num, request->page_shift,
				 request->size, request->levels);
	if (ret)
		goto free_window;

	if (!request->charge)
		window->locked = tce_platform_locked_pages(platform,
							   request->levels);
	if (window->locked > request->charged) {
		request->missing = window->locked - request->charged;
		ret = -EAGAIN;
		goto free_window;
	}

	ret = tce_platform_create(platform);
	if (ret)
		goto free_window;

	window->table = tce_table_create(&platform->geo, platform->tbl->it_nid,
					 request->charge ? charge : NULL);
	if (IS_ERR(window->table)) {
		ret = PTR_ERR(window->table);
		goto abort;
	}

	spin_lock_init(&window->deferred_lock);
	tce_trim_init(window);
	window->pages = tce_pages_get(request->pages);
	tce_table_set_backing(window->table, &platform->backing);
	tce_platform_finish(platform, tce_table_root(window->table));
	window->start = (u64)platform->tbl->it_offset << platform->geo.page_shift;
	window->kvm = tce_kvm_create(window, platform, request->pinned);
	if (IS_ERR(window->kvm)) {
		ret = PTR_ERR(window->kvm);
		goto destroy_table;
	}

	window->debugfs = tce_debugfs_add(window->table, window->start);
	request->charged -= window->locked;

	return window;

destroy_table:
	tce_pages_put(window->pages);
	tce_table_destroy(window->table);
abort:
	tce_platform_abort(platform);
free_window:
	kfree(window);

	return ERR_PTR(ret);
}

void tce_window_put(struct tce_window *window)
{
	struct tce_pages *pages = window->pages;

	tce_debugfs_remove(window->debugfs);
	/* From here on nothing is set, taken out or deferred, and no level gets idle. */
	tce_kvm_disconnect(window->kvm);
	tce_window_clear(window, 0, window->platform.geo.entries);
	tce_kill_settle(window);
	tce_trim_stop(window);
	if (window->kept)
		pr_warn("window at %#llx: its table is kept, as the firmware may still use it\n",
			window->start);
	else
		tce_table_destroy(window->table);
	/* KVM may have it for longer, but it leads nowhere any more. */
	iommu_tce_table_put(window->platform.tbl);
	tce_charge_return(pages->charge, window->locked);
	tce_pages_put(pages);
	kfree(window);
}

int tce_window_attach(struct tce_window *window,
		      struct iommu_table_group *table_group)
{
	return tce_platform_set_window(&window->platform, table_group);
}

void tce_window_lose(struct tce_window *window)
{
	WRITE_ONCE(window->lost, true);
}

void tce_window_detach(struct tce_window *window,
		       struct iommu_table_group *table_group)
{
	/*
	 * A hypervisor's entries go with the window, or else they stay; one that KVM sets
	 * meanwhile would be refused, or keep the window from going.
	 */
	if (window->platform.backing.write) {
		tce_kvm_close(window->kvm);
		tce_window_clear_all(window);
	}

	if (!tce_platform_unset_window(&window->platform, table_group))
		return;

	/*
	 * The group's devices may still translate through it: nothing must be left, and
	 * nothing must be set again. On PowerNV they walk our levels.
	 */
	tce_window_lose(window);
	window->kept = !window->platform.backing.write;
	tce_kvm_close(window->kvm);
	tce_window_clear_all(window);
	pr_warn("window at %#llx: the firmware does not take it out of a group\n",
		window->start);
}

bool tce_window_attached(const struct tce_window *window,
			 const struct iommu_table_group *table_group)
{
	return tce_platform_has_window(&window->platform, table_group);
}

bool tce_window_lost(const struct tce_window *window)
{
	return READ_ONCE(window->lost);
}

u64 tce_window_start(const struct tce_window *window)
{
	return window->start;
}

bool tce_window_contains(const struct tce_window *window, u64 iova)
{
	const struct tce_geometry *geo = &window->platform.geo;

	return (iova - window->start) >> geo->page_shift < geo->entries;
}

/* Where a range of bus addresses lies in the table, if it does. */
static int tce_window_range(const struct tce_window *window, u64 iova, u64 size,
			    unsigned long *index, unsigned long *count)
{
	const struct tce_geometry *geo = &window->platform.geo;
	u64 offset = iova - window->start;

	if ((iova | size) & (BIT_ULL(geo->page_shift) - 1))
		return -EINVAL;

	*index = offset >> geo->page_shift;
	*count = size >> geo->page_shift;
	if (!*count || *index >= geo->entries ||
	    *count > geo->entries - *index)
		return -EINVAL;

	return 0;
}

/*
 * Puts a used run into the table, which has been prepared. Returns 0, or what
 * the backing says: then @cursor stands at the entry that it refused.
 */
static int tce_window_store(struct tce_gather *gather, struct tce_run *run,
			    struct tce_cursor *cursor)
{
	const struct tce_pages_ops *ops = run->pages->ops;
	struct tce_entry entries[TCE_WINDOW_BATCH] __uninitialized;
	unsigned long index = cursor->index;
	unsigned int n;
	int replaced;

	while (cursor->index < cursor->end) {
		unsigned long first = cursor->index;

		n = min_t(unsigned long, ARRAY_SIZE(entries),
			  cursor->end - first);
		ops->translate(run, first - index, n, entries);
		replaced = tce_table_store(cursor, entries, n, entries);
		if (replaced < 0)
			return replaced;

		/* The hardware may know a page as not mapped: kill new ones too. */
		tce_gather_range(gather, first, cursor->index);
		if (replaced)
			tce_gather_old(gather, entries, replaced);
		tce_gather_resched(gather);
	}

	return 0;
}

/* Maps a used run; what is not mapped is not used any more. */
static int tce_window_map_run(struct tce_window *window, struct tce_run *run,
			      struct tce_cursor *cursor)
{
	unsigned long index = cursor->index, stored;
	struct tce_gather gather __uninitialized;
	int ret;

	if (run->trim)
		tce_trim_now(window);
	ret = tce_table_prepare(window->table, index, run->count, run->owner);
	if (ret) {
		run->pages->ops->unuse(run, 0);
		tce_trim(window);
		return ret;
	}

	tce_gather_init(&gather, window);
	ret = tce_window_store(&gather, run, cursor);
	tce_gather_flush(&gather);
	tce_table_finish(window->table, index, run->count);
	if (ret) {
		stored = cursor->index - index;
		run->pages->ops->unuse(run, stored);
		tce_window_clear(window, index, stored);
	}
	/* What others have cleared meanwhile was not idle as long as it was held. */
	tce_trim(window);

	return ret;
}

/*
 * The same in one go, if it is a kernel page's worth, all in one leaf that needs
 * nothing but to be there. Returns false if it is not, with nothing done.
 */
static bool tce_window_map_few(struct tce_window *window, struct tce_run *run,
			       struct tce_cursor *cursor)
{
	const struct tce_entry first = { .tce = run->tce, .owner = run->owner };
	struct tce_entry old[TCE_WINDOW_FEW] __uninitialized;
	struct tce_gather gather __uninitialized;
	unsigned long index = cursor->index;
	int replaced;

	replaced = tce_table_store_few(cursor, &first, run->count, old);
	if (replaced < 0)
		return false;

	/* The hardware may know a page as not mapped: kill new ones too. */
	if (!replaced) {
		tce_kill(window, index, run->count);
		return true;
	}

	tce_gather_init(&gather, window);
	tce_gather_range(&gather, index, cursor->index);
	tce_gather_old(&gather, old, replaced);
	tce_gather_flush(&gather);
	/* As in tce_window_map_run(), of a leaf in which all was replaced. */
	tce_trim(window);

	return true;
}

int tce_window_map(struct tce_window *window, u64 iova, u64 size,
		   struct tce_run *run)
{
	unsigned int page_shift = tce_window_page_shift(window);
	const struct tce_pages_ops *ops = run->pages->ops;
	struct tce_cursor cursor = { .table = window->table };
	unsigned long count;
	u64 last;
	int ret;

	ret = tce_window_range(window, iova, size, &cursor.index, &count);
	if (ret)
		return ret;

	if ((run->ua & (BIT_ULL(page_shift) - 1)) ||
	    check_add_overflow((u64)run->ua, size - 1, &last))
		return -EINVAL;

	if (ops->pin && !run->hpas) {
		run->count = count;
		run->page_shift = page_shift;
		return -EAGAIN;
	}
	/* Pinned for another window, which was here before. */
	if (run->hpas && (run->count != count || run->page_shift != page_shift))
		return -EINVAL;

	run->count = count;
	run->page_shift = page_shift;
	ret = ops->use(run);
	if (ret)
		return ret;

	cursor.end = cursor.index + count;
	if (run->owner == TCE_OWNER_EACH || count > run->together ||
	    !tce_window_map_few(window, run, &cursor))
		ret = tce_window_map_run(window, run, &cursor);
	/* What was pinned is the table's, or has been unpinned. */
	kvfree(run->hpas);
	run->hpas = NULL;

	return ret;
}

int tce_window_unmap(struct tce_window *window, u64 iova, u64 size)
{
	unsigned long index, count;
	int ret;

	ret = tce_window_range(window, iova, size, &index, &count);
	if (ret)
		return ret;

	tce_window_clear(window, index, count);
	tce_trim(window);

	return 0;
}
