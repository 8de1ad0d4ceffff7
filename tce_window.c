// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA windows. Contract: tce_window.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <asm/iommu.h>

#include "tce_charge.h"
#include "tce_debugfs.h"
#include "tce_kill.h"
#include "tce_kvm.h"
#include "tce_observe.h"
#include "tce_pages.h"
#include "tce_platform.h"
#include "tce_refuse.h"
#include "tce_table.h"
#include "tce_trace.h"
#include "tce_window.h"
#include "tce_window_private.h"
#include "tce_work.h"

/* Clearing entries */

/*
 * Some of the entries were found empty. Another task may have cleared them and
 * not yet killed them: if the table counts operations other than ours whose
 * entries are not killed yet, kill the range.
 */
static noinline void tce_window_kill_empty(struct tce_gather *gather,
					   unsigned long index,
					   unsigned long end)
{
	struct tce_window *window = gather->window;

	if (tce_table_unkilled(window->table) == gather->unkilled)
		return;

	tce_gather_flush(gather);
	tce_kill_resched(window, index, end - index);
}

/* Return the number of entries that were cleared. */
static unsigned long tce_window_clear(struct tce_window *window,
				      unsigned long index, unsigned long count)
{
	struct tce_gather gather __uninitialized;
	struct tce_batch old __uninitialized;
	struct tce_cursor cursor = {
		.table = window->table,
		.index = index,
		.end = index + count,
	};
	unsigned long cleared = 0, first, end;
	const struct tce_extent *last;
	bool holes = false;

	tce_gather_init(&gather, window, count);
	cursor.max_extents = tce_gather_max_extents(&gather);
	while (cursor.index < cursor.end) {
		first = cursor.index;
		tce_table_clear(&cursor, &old);
		holes |= cursor.hole;
		cleared += old.entries;
		if (old.count) {
			last = &old.extent[old.count - 1];
			tce_gather_batch(&gather, old.extent[0].index,
					 last->index + last->count, &old);
		}
		end = min(cursor.index, cursor.end);
		if (!cursor.hole && old.entries != end - first)
			tce_window_kill_empty(&gather, first, end);
		tce_gather_resched(&gather);
	}
	tce_gather_end(&gather);
	/* A leaf may have been unlinked and not yet killed. */
	if (holes && tce_table_unkilled(window->table))
		tce_trim_wait(window->table);

	return cleared;
}

void tce_window_clear_all(struct tce_window *window)
{
	tce_window_clear(window, 0, window->platform.geo.entries);
}

void tce_window_flush_kvm(struct tce_window *window, bool wait)
{
	/*
	 * A callback may have cleared an entry and not yet put it into its
	 * record, or have taken it out of there and not yet released its page.
	 * Each happens in one RCU read-side section.
	 */
	if (wait)
		tce_kvm_synchronize(window->kvm);
	tce_kvm_flush(window->kvm, window);
	if (wait)
		tce_kvm_synchronize(window->kvm);
}

/* Levels that are no longer in use */

static void tce_window_trim_work(struct work_struct *work)
{
	struct tce_window *window = container_of(to_delayed_work(work),
						 struct tce_window, trim_work);
	bool left = tce_kvm_trim(window->kvm, window, TCE_TRIM_AGE);

	/* The hardware may still walk a kept table, and no kill reaches it. */
	if (!READ_ONCE(window->kept) &&
	    tce_trim(window->table, TCE_TRIM_AGE, NULL))
		left = true;
	if (left)
		tce_window_trim_soon(window);
}

bool tce_window_trim(struct tce_window *window, struct rw_semaphore *held)
{
	int ret;

	tce_kvm_trim(window->kvm, window, 0);
	if (READ_ONCE(window->kept))
		return true;

	ret = tce_trim(window->table, 0, held);
	/*
	 * The work item may have found no level while this had the last one in
	 * hand, and a level that is queued already does not schedule it again.
	 */
	if (ret)
		tce_window_trim_soon(window);

	return ret != -EAGAIN;
}

/*
 * A trim that is running may have thousands of grace periods to wait for: have
 * it end early. Further ones free nothing.
 */
static void tce_window_stop_trim(struct tce_window *window)
{
	tce_trim_stop(window->table, true);
	cancel_delayed_work_sync(&window->trim_work);
}

static void tce_window_cancel_trim(struct tce_window *window)
{
	tce_window_stop_trim(window);
	tce_trim_stop(window->table, false);
}

/* Windows */

static int tce_window_set_backing(void *data, unsigned long index,
				  const __be64 *tces, unsigned long count)
{
	struct tce_window *window = data;

	return tce_platform_set_entries(&window->platform, index, tces, count);
}

static int tce_window_clear_backing(void *data, unsigned long index,
				    unsigned long count)
{
	struct tce_window *window = data;

	return tce_platform_clear_entries(&window->platform, index, count);
}

static void tce_window_idle(void *data)
{
	tce_window_trim_soon(data);
}

static const struct tce_table_ops tce_window_unbacked_ops = {
	.kill = tce_kill_resched,
	.idle = tce_window_idle,
};

static const struct tce_table_ops tce_window_backed_ops = {
	.set = tce_window_set_backing,
	.clear = tce_window_clear_backing,
	.kill = tce_kill_resched,
	.idle = tce_window_idle,
};

static const struct tce_table_ops tce_window_listed_ops = {
	.set = tce_window_set_backing,
	.lists = true,
	.clear = tce_window_clear_backing,
	.kill = tce_kill_resched,
	.idle = tce_window_idle,
};

static const struct tce_table_ops *
tce_window_table_ops(const struct tce_window *window)
{
	if (!window->platform.backed)
		return &tce_window_unbacked_ops;

	return tce_platform_takes_lists() ? &tce_window_listed_ops :
					    &tce_window_backed_ops;
}

static int tce_window_create_table(struct tce_window *window,
				   const struct tce_window_request *request,
				   int nid)
{
	struct tce_charge *charge = request->charge ? request->pages->charge :
						      NULL;

	window->table = tce_table_create(&window->platform.geo, nid, charge,
					 tce_window_table_ops(window), window,
					 request->spares);

	return PTR_ERR_OR_ZERO(window->table);
}

struct tce_window *tce_window_create(struct iommu_table_group *table_group,
				     int num,
				     struct tce_window_request *request)
{
	const struct tce_geometry *geo;
	struct tce_platform *platform;
	struct tce_kvm *kvm = request->kvm;
	struct tce_window *window;
	int ret;

	window = kzalloc(sizeof(*window), TCE_GFP_FIXED);
	if (!window)
		return ERR_PTR(-ENOMEM);

	INIT_DELAYED_WORK(&window->trim_work, tce_window_trim_work);
	platform = &window->platform;
	geo = &platform->geo;
	ret = tce_platform_check(platform, table_group, num,
				 request->page_shift, request->size,
				 request->levels);
	if (ret)
		goto free_window;

	/* The platform allocates a view of a backed table, as a whole. */
	if (!request->charge || platform->backed)
		window->locked = tce_platform_locked_pages(platform,
							   request->levels);
	if (window->locked > request->charged) {
		request->missing = window->locked - request->charged;
		ret = -EAGAIN;
		goto free_window;
	}
	if (!kvm) {
		ret = -EAGAIN;
		goto free_window;
	}

	window->counts = alloc_percpu_gfp(struct tce_counts, TCE_GFP_FIXED);
	if (!window->counts) {
		ret = -ENOMEM;
		goto free_window;
	}

	/*
	 * In a guest nothing may fail after tce_platform_create(): the group
	 * has the window then, and only tce_platform_unset_window() removes it.
	 * Only software reads our levels there: allocate them on the node of
	 * the CPU that maps.
	 */
	if (platform->backed) {
		ret = tce_window_create_table(window, request, NUMA_NO_NODE);
		if (ret)
			goto free_counts;
	}

	ret = tce_platform_create(platform);
	if (ret)
		goto destroy_table;

	if (!platform->backed) {
		ret = tce_window_create_table(window, request,
					      platform->tbl->it_nid);
		if (ret) {
			tce_platform_discard(platform);
			goto free_counts;
		}
	}

	/*
	 * On pSeries KVM may have found the iommu_table already: it must not
	 * use the platform's operations, which bypass our table.
	 */
	tce_kvm_set_ops(kvm, platform, request->pinned);
	request->kvm = NULL;
	/* On pSeries this has freed the platform's view. */
	if (request->charge)
		window->locked = 0;
	window->pages = tce_pages_get(request->pages);
	tce_platform_set_root(platform, tce_table_root(window->table));
	window->start = (u64)platform->tbl->it_offset << geo->page_shift;
	window->kvm = kvm;
	window->debugfs = tce_debugfs_add(window, request->pinned ? 1 : 2);
	request->charged -= window->locked;
	trace_tce_window_create(tce_table_id(window->table), window->start,
				(u64)geo->entries << geo->page_shift,
				geo->page_shift, geo->levels);

	return window;

destroy_table:
	if (platform->backed)
		tce_table_destroy(window->table);
free_counts:
	free_percpu(window->counts);
free_window:
	kfree(window);

	return ERR_PTR(ret);
}

void tce_window_connect(struct tce_window *window)
{
	tce_kvm_connect(window->kvm, window);
}

void tce_window_destroy(struct tce_window *window)
{
	struct tce_pages *pages = window->pages;

	trace_tce_window_remove(tce_table_id(window->table));
	tce_debugfs_remove(window->debugfs);
	/* From here on KVM sets and clears no entries. */
	tce_kvm_disconnect(window->kvm);
	tce_window_clear_all(window);
	tce_kvm_flush(window->kvm, window);
	tce_window_cancel_trim(window);
	WARN_ON_ONCE(tce_table_unkilled(window->table));
	if (window->kept)
		pr_warn("window %u at %#llx: the table is not freed, as the hardware may still walk it\n",
			tce_table_id(window->table), window->start);
	else
		tce_table_destroy(window->table);
	/*
	 * KVM may keep its reference for longer, but finds no window through
	 * the iommu_table any more.
	 */
	tce_kvm_put(window->kvm);
	tce_charge_return(pages->charge, window->locked);
	tce_pages_put(pages);
	free_percpu(window->counts);
	kfree(window);
}

int tce_window_attach(struct tce_window *window,
		      struct iommu_table_group *table_group)
{
	int ret;

	/*
	 * The platform programs the window before a TCE kill reaches the group:
	 * no level may be freed meanwhile. The container's lock excludes a trim
	 * by a command; a work item that KVM's callbacks queue frees nothing.
	 */
	tce_window_stop_trim(window);
	ret = tce_platform_set_window(&window->platform, table_group);
	trace_tce_window_attach(tce_table_id(window->table),
				iommu_group_id(table_group->group), ret);
	if (!ret)
		tce_debugfs_add_group(window->debugfs, table_group);
	/*
	 * The devices may translate through the window, and no TCE kill reaches
	 * them. If the firmware refuses to remove it, the table must be kept.
	 */
	if (ret == -ENOMEM)
		tce_window_detach(window, table_group);
	tce_trim_stop(window->table, false);
	tce_window_trim_soon(window);

	return ret;
}

void tce_window_mark_lost(struct tce_window *window)
{
	WRITE_ONCE(window->lost, true);
}

bool tce_window_detach(struct tce_window *window,
		       struct iommu_table_group *table_group)
{
	int ret, group = iommu_group_id(table_group->group);

	/*
	 * spapr_tce_unset_window() does not clear the entries: do so before it
	 * is called. Stop KVM first: an entry that KVM sets meanwhile would be
	 * refused, or keep the hypervisor from removing the window.
	 */
	if (window->platform.backed) {
		tce_kvm_close(window->kvm);
		tce_window_clear_all(window);
	}

	ret = tce_platform_unset_window(&window->platform, table_group);
	trace_tce_window_detach(tce_table_id(window->table), group, ret);
	tce_debugfs_remove_group(window->debugfs, table_group);
	if (!ret) {
		/*
		 * Wait for hypercalls that clear an entry and have not seen
		 * that the window was removed: they would clear an entry that
		 * the group's next user has set in the default window.
		 */
		if (window->platform.backed)
			tce_kvm_synchronize(window->kvm);
		return !window->platform.taken;
	}

	/*
	 * The group's devices may still translate through the window, so all
	 * entries must be cleared and none may be set again. On PowerNV they
	 * walk our levels, which must not be freed.
	 */
	tce_window_mark_lost(window);
	WRITE_ONCE(window->kept, !window->platform.backed);
	tce_kvm_close(window->kvm);
	/* Wait for a work item that has not seen window->kept. */
	tce_window_cancel_trim(window);
	tce_window_clear_all(window);
	/*
	 * Wait for callbacks that have cleared an entry and not yet recorded
	 * it: otherwise they could kill it too late, with the group unlinked.
	 */
	tce_kvm_synchronize(window->kvm);
	tce_kvm_flush(window->kvm, window);
	/* Levels and records may wait for the work item that was cancelled. */
	tce_window_trim_soon(window);
	/* After this the platform may free the group. */
	tce_platform_unlink(&window->platform, table_group);
	pr_warn("window %u at %#llx: the firmware refused to remove it from IOMMU group %d\n",
		tce_table_id(window->table), window->start, group);

	return !window->platform.taken;
}

void tce_window_wait_kills(struct tce_window *window)
{
	/* Kills of a hypervisor's table do not use the groups. */
	if (window->platform.backed)
		return;

	/*
	 * Do not wait for an item that has not begun: it finds no group that is
	 * detached, and may be behind those of other windows.
	 */
	tce_window_cancel_trim(window);
	tce_kvm_synchronize(window->kvm);
	/* Levels and records may wait for the work item that was cancelled. */
	tce_window_trim_soon(window);
}

unsigned long tce_windows_missing(struct tce_window *const *windows,
				  const struct iommu_table_group *table_group)
{
	unsigned long missing = 0;
	unsigned int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		if (windows[num] &&
		    !tce_platform_has_window(&windows[num]->platform,
					     table_group))
			missing |= BIT(num);
	}

	return missing;
}

u64 tce_window_start(const struct tce_window *window)
{
	return window->start;
}

/*
 * Find the window of a bus address, and the index of its entry. Report -ENXIO
 * and return NULL if there is none.
 */
static __always_inline struct tce_window *
tce_windows_find(struct tce_window *const *windows, u64 iova,
		 unsigned long *index)
{
	unsigned int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		struct tce_window *window = windows[num];

		if (!window)
			continue;
		*index = (iova - window->start) >>
			tce_window_page_shift(window);
		if (*index < window->platform.geo.entries)
			return window;
	}

	tce_refuse(-ENXIO, "no window contains the address");

	return NULL;
}

/* Check a range that begins in a window, and get its number of entries. */
static __always_inline int
tce_window_range(const struct tce_window *window, u64 iova, u64 size,
		 unsigned long index, unsigned long *count)
{
	const struct tce_geometry *geo = &window->platform.geo;

	if ((iova | size) & (BIT_ULL(geo->page_shift) - 1))
		return tce_refuse(-EINVAL,
				  "the range is not aligned to the IOMMU page size");

	*count = size >> geo->page_shift;
	if (!*count || *count > geo->entries - index)
		return tce_refuse(-EINVAL,
				  "the range is empty, or leaves the window");

	return 0;
}

/*
 * Store a run, which is in use, in the prepared range; @new has its first
 * pages. Return 0, or the errno of the backing: @range is then at the entry
 * that the backing refused.
 */
static noinline int tce_window_store(struct tce_gather *gather,
				     struct tce_run *run,
				     struct tce_range *range,
				     struct tce_batch *new)
{
	struct tce_batch old __uninitialized;
	unsigned long first;
	int ret;

	for (;;) {
		first = range->index;
		ret = tce_table_store(range, new, &old);
		if (ret)
			return ret;

		/*
		 * The hardware may have cached that an entry was empty, so new
		 * entries are killed, too.
		 */
		tce_gather_batch(gather, first, range->index, &old);
		if (range->index == range->end)
			return 0;

		tce_gather_resched(gather);
		if (new->first == new->count) {
			new->first = 0;
			new->count = 0;
			run->pages->ops->translate(run, new);
		}
	}
}

/*
 * Map a run that is in use; @first has its first pages. On failure the pages
 * are no longer in use.
 */
static noinline int tce_window_map_run(struct tce_window *window,
				       struct tce_run *run, unsigned long index,
				       const struct tce_extent *first)
{
	struct tce_range range __uninitialized;
	struct tce_gather gather __uninitialized;
	struct tce_batch new __uninitialized;
	int ret;

	new.first = 0;
	new.count = 1;
	new.entries = first->count;
	new.extent[0] = *first;
	if (run->next < run->count)
		run->pages->ops->translate(run, &new);

	range.spares = run->spares;
	range.index = index;
	range.end = index + run->count;
	ret = tce_table_prepare(window->table, &range, run->owner, GFP_KERNEL);
	if (ret) {
		run->pages->ops->cancel(run, 0);
		return ret;
	}

	tce_gather_init(&gather, window, run->count);
	ret = tce_window_store(&gather, run, &range, &new);
	tce_gather_end(&gather);
	tce_table_finish(&range);
	if (ret) {
		tce_refuse(ret,
			   "the hypervisor refused an entry, or the window was removed");
		run->pages->ops->cancel(run, range.index - index);
		tce_window_clear(window, index, range.index - index);
	}

	return ret;
}

/*
 * Map one page, or unmap it if @tce is 0, without an allocation. Return the
 * number of entries that were set before, or a negative number, with nothing
 * changed, if a level or a view is missing or the backing refuses.
 */
static __always_inline int
tce_window_exchange(struct tce_window *window, unsigned long index, u64 tce,
		    u64 owner)
{
	struct tce_entry entry = { .tce = tce, .owner = owner };
	struct tce_extent old __uninitialized;

	if (tce_table_exchange(window->table, index, &entry, false))
		return -EAGAIN;

	/*
	 * New entries are killed, too: see tce_window_store(). For an entry
	 * that is found empty see tce_window_kill_empty().
	 */
	if (tce || entry.tce || tce_table_unkilled(window->table))
		tce_kill(window, index, 1);
	if (!entry.tce)
		return 0;

	tce_table_killed(window->table, 1);
	old = (struct tce_extent){
		.count = 1,
		.tce = entry.tce,
		.owner = entry.owner,
	};
	window->pages->ops->release(window->pages, &old,
				    tce_window_page_shift(window));

	return 1;
}

int tce_windows_map(struct tce_window *const *windows, u64 iova, u64 size,
		    struct tce_run *run)
{
	const struct tce_pages_ops *ops = run->pages->ops;
	struct tce_extent first __uninitialized;
	unsigned long index, count;
	struct tce_window *window;
	unsigned int page_shift;
	u64 last;
	int ret;

	window = tce_windows_find(windows, iova, &index);
	if (!window)
		return -ENXIO;

	if (READ_ONCE(window->lost))
		return tce_refuse(-EIO,
				  "a group lost the window, or its removal was refused");

	ret = tce_window_range(window, iova, size, index, &count);
	if (ret)
		return ret;

	page_shift = tce_window_page_shift(window);
	if ((run->ua & (BIT_ULL(page_shift) - 1)) ||
	    check_add_overflow((u64)run->ua, size - 1, &last))
		return tce_refuse(-EINVAL,
				  "the memory wraps, or is not aligned to IOMMU pages");

	/*
	 * An earlier attempt of the command pinned the run. The container's
	 * lock was dropped in between, so the window may be another one.
	 */
	if (run->page && (run->count != count || run->page_shift != page_shift))
		return tce_refuse(-EINVAL,
				  "the pages were pinned for another window");

	run->count = count;
	run->page_shift = page_shift;
	if (ops->pin && !run->page)
		return -EAGAIN;

	ret = ops->use(run, &first);
	if (ret)
		return ret;

	if (count != 1 ||
	    tce_window_exchange(window, index, first.tce, first.owner) < 0)
		ret = tce_window_map_run(window, run, index, &first);
	tce_observe_map(window, iova, size, run, ret);
	/* The pages are mapped or were unpinned. */
	if (run->page) {
		kvfree(run->page);
		run->page = NULL;
	}

	return ret;
}

int tce_windows_unmap(struct tce_window *const *windows, u64 iova, u64 size)
{
	unsigned long index, count;
	struct tce_window *window;
	long cleared;
	int ret;

	window = tce_windows_find(windows, iova, &index);
	if (!window)
		return -ENXIO;

	ret = tce_window_range(window, iova, size, index, &count);
	if (ret)
		return ret;

	cleared = -EAGAIN;
	if (count == 1)
		cleared = tce_window_exchange(window, index, 0, 0);
	if (cleared < 0)
		cleared = tce_window_clear(window, index, count);
	tce_observe_unmap(window, iova, size, cleared);

	return 0;
}
