// SPDX-License-Identifier: GPL-2.0-only
/*
 * A DMA window. Contract: tce_window.h.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <asm/iommu.h>
#include <asm/mmu_context.h>
#include <asm/tce.h>

#include "tce_debugfs.h"
#include "tce_pages.h"
#include "tce_platform.h"
#include "tce_table.h"
#include "tce_window.h"

/* Entries that are exchanged between two looks at the scheduler. */
#define TCE_WINDOW_BATCH	32

/* A hole this large, in entries, is not worth killing TCEs across. */
#define TCE_KILL_GAP		512

/* Pages that KVM has unmapped and that may wait for its kill. */
#define TCE_WINDOW_DEFERRED	32

/* Freeing may begin in atomic context (KVM drops references in RCU callbacks). */
static struct workqueue_struct *tce_window_wq;

/**
 * struct tce_deferred - a page that KVM has unmapped and not yet killed
 * @index: its entry
 * @ua: its user-space address
 */
struct tce_deferred {
	unsigned long index;
	u64 ua;
};

/**
 * struct tce_window - a window
 * @platform: what the platform and KVM know. Its iommu_table has a life of its
 *            own, because the core frees it; NULL from then on
 * @ops: the iommu_table's operations; leads from there back to here
 * @table: the levels
 * @pages: where the pages come from that are mapped
 * @debugfs: the figures
 * @deferred_lock: protects @deferred and @deferred_count; a leaf in the order of
 *                 locks
 * @deferred: what KVM has unmapped
 * @deferred_count: how much of it
 * @free_work: frees the rest once the iommu_table has gone
 */
struct tce_window {
	struct tce_platform platform;
	struct iommu_table_ops ops;
	struct tce_table *table;
	struct tce_pages *pages;
	struct tce_debugfs debugfs;
	spinlock_t deferred_lock; /* @deferred, @deferred_count */
	struct tce_deferred deferred[TCE_WINDOW_DEFERRED];
	unsigned int deferred_count;
	struct work_struct free_work;
};

/**
 * struct tce_gather - entries that were taken out and wait for the kill
 * @window: where
 * @first: first index to kill
 * @end: one past the last index to kill; 0 for none
 * @retired: their pages
 */
struct tce_gather {
	struct tce_window *window;
	unsigned long first;
	unsigned long end;
	struct tce_retired retired;
};

static struct tce_window *tce_window_of(struct iommu_table *tbl)
{
	return container_of(tbl->it_ops, struct tce_window, ops);
}

static unsigned int tce_window_page_shift(const struct tce_window *window)
{
	return window->platform.geo.page_shift;
}

/* The other side of the entry is about to write its address. */
static void tce_window_wait(void)
{
	schedule_timeout_uninterruptible(1);
}

/* Taking entries out */

static void tce_gather_init(struct tce_gather *gather, struct tce_window *window)
{
	memset(gather, 0, sizeof(*gather));
	gather->window = window;
	gather->retired.pages = window->pages;
	gather->retired.page_shift = tce_window_page_shift(window);
}

static void tce_gather_flush(struct tce_gather *gather)
{
	struct iommu_table *tbl = gather->window->platform.tbl;

	/* No iommu_table any more: nobody translates through it. */
	if (gather->end && tbl)
		iommu_tce_kill(tbl, tbl->it_offset + gather->first,
			       gather->end - gather->first);
	gather->end = 0;
	gather->window->pages->ops->flush(&gather->retired);
}

static void tce_gather_range(struct tce_gather *gather, unsigned long first,
			     unsigned long end)
{
	if (gather->end && (first > gather->end + TCE_KILL_GAP ||
			    first < gather->first))
		tce_gather_flush(gather);

	if (!gather->end)
		gather->first = first;
	gather->end = end;
}

static void tce_gather_old(struct tce_gather *gather,
			   const struct tce_entry *old, int count)
{
	const struct tce_pages_ops *ops = gather->window->pages->ops;
	unsigned long first = gather->first, end = gather->end;
	int i;

	for (i = 0; i < count; i++) {
		if (ops->retire(&gather->retired, old[i].tce, old[i].ua))
			continue;
		tce_gather_flush(gather);
		gather->first = first;
		gather->end = end;
		ops->retire(&gather->retired, old[i].tce, old[i].ua);
	}
}

static void tce_window_clear(struct tce_window *window, unsigned long index,
			     unsigned long count)
{
	struct tce_entry old[TCE_WINDOW_BATCH];
	struct tce_cursor cursor = {
		.table = window->table,
		.index = index,
		.end = index + count,
	};
	unsigned long first, last;
	struct tce_gather gather;
	int n;

	tce_gather_init(&gather, window);
	while ((n = tce_table_clear(&cursor, old, &first, &last,
				    ARRAY_SIZE(old)))) {
		if (n < 0) {
			tce_window_wait();
			continue;
		}
		tce_gather_range(&gather, first, last + 1);
		tce_gather_old(&gather, old, n);
		cond_resched();
	}
	tce_gather_flush(&gather);
}

void tce_window_clear_all(struct tce_window *window)
{
	tce_window_clear(window, 0, window->platform.geo.entries);
}

/*
 * it_ops, as KVM uses them (arch/powerpc/kvm/book3s_64_vio.c): it counts a page,
 * swaps the entry, writes the page's user-space address and kills the TCE. For
 * an entry that was set before it would un-count that one's page before the kill,
 * by an address that may have changed meanwhile. It does so only if it is told
 * where the address is; so it is not, and what it takes out is un-counted here,
 * by the kill.
 */

static void tce_window_uncount(struct tce_window *window, u64 ua)
{
	struct mm_iommu_table_group_mem_t *mem;

	/* Counted, so it is there and stays. */
	mem = mm_iommu_lookup(window->pages->mm, ua,
			      BIT(tce_window_page_shift(window)));
	if (mem)
		mm_iommu_mapped_dec(mem);
}

/* Takes what was deferred of a range, at most TCE_WINDOW_DEFERRED pages. */
static unsigned int tce_window_undefer(struct tce_window *window,
				       unsigned long index, unsigned long count,
				       struct tce_deferred *taken)
{
	unsigned int i, kept = 0, n = 0;

	spin_lock(&window->deferred_lock);
	for (i = 0; i < window->deferred_count; i++) {
		if (window->deferred[i].index - index < count)
			taken[n++] = window->deferred[i];
		else
			window->deferred[kept++] = window->deferred[i];
	}
	window->deferred_count = kept;
	spin_unlock(&window->deferred_lock);

	return n;
}

static void tce_window_kill(struct iommu_table *tbl, unsigned long index,
			    unsigned long pages)
{
	struct tce_deferred killed[TCE_WINDOW_DEFERRED];
	struct tce_window *window = tce_window_of(tbl);
	unsigned int n = 0;

	/* Only what is there before the kill is killed by it. */
	if (READ_ONCE(window->deferred_count))
		n = tce_window_undefer(window, index - tbl->it_offset, pages,
				       killed);
	if (window->platform.ops->tce_kill)
		window->platform.ops->tce_kill(tbl, index, pages);
	while (n--)
		tce_window_uncount(window, killed[n].ua);
}

void tce_window_settle(struct tce_window *window)
{
	struct tce_deferred settled[TCE_WINDOW_DEFERRED];
	struct iommu_table *tbl = window->platform.tbl;
	unsigned int n;

	n = tce_window_undefer(window, 0, ULONG_MAX, settled);
	while (n--) {
		/* No iommu_table any more: nobody translates through it. */
		if (tbl)
			iommu_tce_kill(tbl, tbl->it_offset + settled[n].index, 1);
		tce_window_uncount(window, settled[n].ua);
	}
}

static void tce_window_defer(struct tce_window *window, unsigned long index,
			     u64 ua)
{
	bool full;

	for (;;) {
		spin_lock(&window->deferred_lock);
		full = window->deferred_count == TCE_WINDOW_DEFERRED;
		if (!full)
			window->deferred[window->deferred_count++] =
				(struct tce_deferred) { index, ua };
		spin_unlock(&window->deferred_lock);

		if (!full)
			break;
		tce_window_settle(window);
	}
}

static int tce_window_xchg_no_kill(struct iommu_table *tbl, long index,
				   unsigned long *hpa,
				   enum dma_data_direction *direction)
{
	struct tce_window *window = tce_window_of(tbl);
	int ret;
	u64 ua;

	index -= tbl->it_offset;
	while ((ret = tce_table_swap(window->table, index, hpa, direction,
				     &ua)) == -EAGAIN)
		tce_window_wait();

	if (!ret && *direction != DMA_NONE)
		tce_window_defer(window, index, ua);

	return ret;
}

static __be64 *tce_window_useraddrptr(struct iommu_table *tbl, long index,
				      bool alloc)
{
	struct tce_window *window = tce_window_of(tbl);

	/* Addresses of another address space mean nothing here. */
	if (!alloc || current->mm != window->pages->mm)
		return NULL;

	return tce_table_view(window->table, index - tbl->it_offset, true);
}

/*
 * The same for pinned pages, which KVM cannot pin and must not take out: it finds
 * no place for an address when it wants to map, and a useless address when it
 * wants to unmap. Then it asks user space to do it.
 */

static int tce_window_xchg_pinned(struct iommu_table *tbl, long index,
				  unsigned long *hpa,
				  enum dma_data_direction *direction)
{
	u64 tce = tce_table_get(tce_window_of(tbl)->table,
				index - tbl->it_offset);

	*hpa = tce & ~(u64)(TCE_PCI_READ | TCE_PCI_WRITE);
	*direction = iommu_tce_direction(tce);

	return 0;
}

static __be64 *tce_window_useraddrptr_pinned(struct iommu_table *tbl, long index,
					     bool alloc)
{
	/* In no address space, nor is the page that it begins. */
	static __be64 nowhere = cpu_to_be64(BIT_ULL(63));

	return alloc ? NULL : &nowhere;
}

static void tce_window_free_work(struct work_struct *work)
{
	struct tce_window *window = container_of(work, struct tce_window,
						 free_work);

	tce_debugfs_remove(&window->debugfs);
	/* KVM may have mapped after the container let go. */
	tce_window_clear_all(window);
	tce_window_settle(window);
	tce_table_destroy(window->table);
	tce_pages_put(window->pages);
	kfree(window);
	module_put(THIS_MODULE);
}

static void tce_window_free(struct iommu_table *tbl)
{
	struct tce_window *window = tce_window_of(tbl);

	if (window->platform.ops->free && window->platform.backing.write)
		window->platform.ops->free(tbl);

	/* The core frees it when this returns. */
	window->platform.gone = true;
	window->platform.tbl = NULL;
	queue_work(tce_window_wq, &window->free_work);
}

/* Windows */

int tce_window_init(void)
{
	tce_window_wq = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND, 0);

	return tce_window_wq ? 0 : -ENOMEM;
}

void tce_window_exit(void)
{
	destroy_workqueue(tce_window_wq);
}

void tce_window_flush(void)
{
	flush_workqueue(tce_window_wq);
}

/* The operations that KVM and the core find in the iommu_table. */
static void tce_window_set_ops(struct tce_window *window, bool pinned)
{
	struct iommu_table_ops *ops = &window->ops;

	/* On a table of the platform's the rest is the platform's. */
	if (window->platform.backing.write)
		*ops = *window->platform.ops;

	ops->xchg_no_kill = pinned ? tce_window_xchg_pinned :
				     tce_window_xchg_no_kill;
	ops->useraddrptr = pinned ? tce_window_useraddrptr_pinned :
				    tce_window_useraddrptr;
	ops->tce_kill = tce_window_kill;
	ops->free = tce_window_free;
	window->platform.tbl->it_ops = ops;
}

struct tce_window *tce_window_create(struct iommu_table_group *table_group,
				     int num,
				     const struct tce_window_request *request)
{
	struct tce_platform *platform;
	struct tce_window *window;
	int ret;

	window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);
	if (!window)
		return ERR_PTR(-ENOMEM);

	platform = &window->platform;
	ret = tce_platform_create(platform, table_group, num,
				  request->page_shift, request->size,
				  request->levels);
	if (ret)
		goto free_window;

	window->table = tce_table_create(&platform->geo, platform->tbl->it_nid);
	if (IS_ERR(window->table)) {
		ret = PTR_ERR(window->table);
		goto abort;
	}

	spin_lock_init(&window->deferred_lock);
	INIT_WORK(&window->free_work, tce_window_free_work);
	window->pages = tce_pages_get(request->pages);
	tce_table_set_backing(window->table, &platform->backing);
	tce_platform_finish(platform, tce_table_root(window->table));
	tce_window_set_ops(window, request->pinned);

	/* KVM may hold the table longer than the VFIO core holds the module. */
	__module_get(THIS_MODULE);
	window->debugfs.table = window->table;
	window->debugfs.start = tce_window_start(window);
	tce_debugfs_add(&window->debugfs);

	return window;

abort:
	tce_platform_abort(platform);
free_window:
	kfree(window);

	return ERR_PTR(ret);
}

void tce_window_put(struct tce_window *window)
{
	tce_window_clear_all(window);
	tce_window_settle(window);
	iommu_tce_table_put(window->platform.tbl);
}

int tce_window_attach(struct tce_window *window,
		      struct iommu_table_group *table_group)
{
	struct iommu_table *tbl = window->platform.tbl;
	int num = window->platform.num;
	long ret;

	if (!(table_group->pgsizes & BIT_ULL(tbl->it_page_shift)))
		return -EPERM;

	ret = table_group->ops->set_window(table_group, num, tbl);
	if (ret)
		return ret < 0 && ret >= -MAX_ERRNO ? ret : -EIO;

	/* The platform does not say when it had no memory to link the two. */
	if (table_group->tables[num] != tbl) {
		table_group->ops->unset_window(table_group, num);
		return -ENOMEM;
	}

	return 0;
}

void tce_window_detach(struct tce_window *window,
		       struct iommu_table_group *table_group)
{
	struct tce_platform *platform = &window->platform;

	/* A hypervisor's entries go with the window, or else they stay. */
	if (platform->backing.write)
		tce_window_clear_all(window);

	table_group->ops->unset_window(table_group, platform->num);
	if (table_group->tables[platform->num] != platform->tbl)
		WRITE_ONCE(platform->gone, true);
}

u64 tce_window_start(const struct tce_window *window)
{
	const struct iommu_table *tbl = window->platform.tbl;

	return (u64)tbl->it_offset << tbl->it_page_shift;
}

bool tce_window_contains(const struct tce_window *window, u64 iova)
{
	const struct iommu_table *tbl = window->platform.tbl;
	u64 start = tce_window_start(window);

	return iova >= start &&
	       (iova - start) >> tbl->it_page_shift < tbl->it_size;
}

/* Where a range of bus addresses lies in the table, if it does. */
static int tce_window_range(const struct tce_window *window, u64 iova, u64 size,
			    unsigned long *index, unsigned long *count)
{
	unsigned int page_shift = tce_window_page_shift(window);
	u64 mask = BIT_ULL(page_shift) - 1;

	if (!size || (iova & mask) || (size & mask) ||
	    !tce_window_contains(window, iova))
		return -EINVAL;

	*index = (iova - tce_window_start(window)) >> page_shift;
	*count = size >> page_shift;

	return *count <= window->platform.geo.entries - *index ? 0 : -EINVAL;
}

/*
 * Puts a used run into the table, which has been prepared. Returns 0, or what
 * the backing says: then @cursor stands at the entry that it refused.
 */
static int tce_window_store(struct tce_gather *gather,
			    const struct tce_run *run, struct tce_cursor *cursor)
{
	u64 perm = iommu_direction_to_tce_perm(run->direction);
	const struct tce_pages_ops *ops = run->pages->ops;
	unsigned long index = cursor->index;
	struct tce_entry new[TCE_WINDOW_BATCH];
	struct tce_entry old[TCE_WINDOW_BATCH];
	unsigned long hpa[TCE_WINDOW_BATCH];
	unsigned int i, n;
	int replaced;

	while (cursor->index < cursor->end) {
		unsigned long first = cursor->index;

		n = min_t(unsigned long, ARRAY_SIZE(new), cursor->end - first);
		ops->translate(run, first - index, n, hpa);
		for (i = 0; i < n; i++) {
			new[i].tce = hpa[i] | perm;
			new[i].ua = run->ua +
				    ((first - index + i) << run->page_shift);
		}

		replaced = tce_table_store(cursor, new, n, old);
		if (replaced == -EAGAIN) {
			tce_window_wait();
			continue;
		}
		if (replaced < 0)
			return replaced;

		/* The hardware may know a page as not mapped: kill new ones too. */
		tce_gather_range(gather, first, cursor->index);
		tce_gather_old(gather, old, replaced);
		cond_resched();
	}

	return 0;
}

int tce_window_map(struct tce_window *window, u64 iova, u64 ua, u64 size,
		   enum dma_data_direction direction)
{
	unsigned int page_shift = tce_window_page_shift(window);
	struct tce_run run = {
		.pages = window->pages,
		.ua = ua,
		.page_shift = page_shift,
		.direction = direction,
	};
	struct tce_cursor cursor = { .table = window->table };
	struct tce_gather gather;
	u64 last;
	int ret;

	ret = tce_window_range(window, iova, size, &cursor.index, &run.count);
	if (ret)
		return ret;

	if ((ua & (BIT_ULL(page_shift) - 1)) ||
	    check_add_overflow(ua, size - 1, &last))
		return -EINVAL;

	ret = run.pages->ops->use(&run);
	if (ret)
		return ret;

	cursor.end = cursor.index + run.count;
	ret = tce_table_prepare(window->table, cursor.index, run.count);
	if (ret) {
		run.pages->ops->unuse(&run, 0);
		goto done;
	}

	tce_gather_init(&gather, window);
	ret = tce_window_store(&gather, &run, &cursor);
	tce_gather_flush(&gather);
	tce_table_finish(window->table, cursor.end - run.count, run.count);
	if (ret) {
		unsigned long stored = cursor.index - (cursor.end - run.count);

		run.pages->ops->unuse(&run, stored);
		tce_window_clear(window, cursor.index - stored, stored);
	}
done:
	run.pages->ops->done(&run);

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

	return 0;
}
