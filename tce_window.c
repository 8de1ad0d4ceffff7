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
#include <asm/tce.h>

#include "tce_charge.h"
#include "tce_debugfs.h"
#include "tce_pages.h"
#include "tce_platform.h"
#include "tce_table.h"
#include "tce_window.h"

/* Entries that are exchanged between two looks at the scheduler. */
#define TCE_WINDOW_BATCH	64

/* So few entries are exchanged at once, if they can be: those of a kernel page. */
#define TCE_WINDOW_FEW		(PAGE_SIZE >> IOMMU_PAGE_SHIFT_4K)

/* A hole this large, in entries, is not worth killing TCEs across. */
#define TCE_KILL_GAP		512

/*
 * Empty levels that stay when something is unmapped, and for how long: what is
 * mapped and unmapped at the edge of a level must not cost a level each time.
 */
#define TCE_WINDOW_IDLE		8
#define TCE_WINDOW_IDLE_TIME	HZ

/* How often a window that only KVM refers to looks whether it still can be used. */
#define TCE_WINDOW_ORPHAN_TIME	(10 * HZ)

/* Pages that KVM has unmapped and that may wait for its kill. */
#define TCE_WINDOW_DEFERRED	32

/* Freeing may begin in atomic context (KVM drops references in RCU callbacks). */
static struct workqueue_struct *tce_window_wq;

/**
 * struct tce_deferred - a page that KVM has unmapped and not yet killed
 * @index: its entry
 * @owner: its owner
 */
struct tce_deferred {
	unsigned long index;
	u64 owner;
};

/**
 * struct tce_handle - what KVM has of a window
 * @ops: the iommu_table's operations; lead from there to here
 * @platform_free: the platform's, if the iommu_table is its
 * @window: the window; NULL once it has gone, before the iommu_table
 * @free_work: frees this, and the window, once the iommu_table has gone
 *
 * It lives as long as the iommu_table and keeps the module loaded.
 */
struct tce_handle {
	struct iommu_table_ops ops;
	void (*platform_free)(struct iommu_table *tbl);
	struct tce_window __rcu *window;
	struct work_struct free_work;
};

/**
 * struct tce_window - a window
 * @handle: what KVM has
 * @platform: what the platform and KVM know. Its iommu_table has a life of its
 *            own, because the core frees it; NULL from then on
 * @table: the levels
 * @pages: where the pages come from that are mapped
 * @charge: what is charged for @table, if it is by what is allocated
 * @start: its first bus address
 * @debugfs: the figures
 * @deferred_lock: protects @deferred and @deferred_count; a leaf in the order of
 *                 locks
 * @deferred: what KVM has unmapped
 * @deferred_count: how much of it
 * @closed: the creator has let go: nobody asks to settle any more, and empty
 *          levels wait for the end
 * @trim_work: frees empty levels
 * @orphan_work: frees the rest once nobody can use it any more
 */
struct tce_window {
	struct tce_handle *handle;
	struct tce_platform platform;
	struct tce_table *table;
	struct tce_pages *pages;
	struct tce_charge charge;
	u64 start;
	struct tce_debugfs debugfs;
	spinlock_t deferred_lock; /* @deferred, @deferred_count */
	struct tce_deferred deferred[TCE_WINDOW_DEFERRED];
	unsigned int deferred_count;
	bool closed;
	struct delayed_work trim_work;
	struct delayed_work orphan_work;
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

static struct tce_handle *tce_handle_of(struct iommu_table *tbl)
{
	return container_of(tbl->it_ops, struct tce_handle, ops);
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

/* The kill */

static void tce_window_release(struct tce_window *window,
			       const struct tce_deferred *deferred,
			       unsigned int count)
{
	const struct tce_pages_ops *ops = window->pages->ops;
	struct tce_retired retired = {
		.pages = window->pages,
		.page_shift = tce_window_page_shift(window),
	};
	struct tce_entry entry = {};

	while (count--) {
		entry.owner = deferred[count].owner;
		if (!ops->retire(&retired, &entry, 1)) {
			ops->flush(&retired);
			ops->retire(&retired, &entry, 1);
		}
	}
	ops->flush(&retired);
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
	WRITE_ONCE(window->deferred_count, kept);
	spin_unlock(&window->deferred_lock);

	return n;
}

/* The TCE kill itself. */
static void tce_window_invalidate(struct tce_window *window,
				  unsigned long index, unsigned long count)
{
	struct iommu_table *tbl = window->platform.tbl;

	/* No iommu_table any more: nobody translates through it. */
	if (!tbl || !window->platform.ops->tce_kill)
		return;

	/* The entries are in memory before the hardware looks again. */
	mb();
	window->platform.ops->tce_kill(tbl, tbl->it_offset + index, count);
}

static noinline void tce_window_kill_deferred(struct tce_window *window,
					      unsigned long index,
					      unsigned long count)
{
	struct tce_deferred killed[TCE_WINDOW_DEFERRED] __uninitialized;
	unsigned int n;

	/* Only what is there before the kill is killed by it. */
	n = tce_window_undefer(window, index, count, killed);
	tce_window_invalidate(window, index, count);
	tce_window_release(window, killed, n);
}

/* By place in the table. Also lets go of what KVM has unmapped there. */
static void tce_window_kill(struct tce_window *window, unsigned long index,
			    unsigned long count)
{
	if (READ_ONCE(window->deferred_count))
		tce_window_kill_deferred(window, index, count);
	else
		tce_window_invalidate(window, index, count);
}

/* Empty levels */

/* Sees to it that empty levels, and what is charged for none, go, soon or at once. */
static void tce_window_trim(struct tce_window *window)
{
	unsigned int idle = tce_table_idle(window->table);

	if (!idle && !tce_charge_credit(&window->charge))
		return;

	if (READ_ONCE(window->closed))
		return;

	if (idle > TCE_WINDOW_IDLE)
		mod_delayed_work(tce_window_wq, &window->trim_work, 0);
	else if (!delayed_work_pending(&window->trim_work))
		queue_delayed_work(tce_window_wq, &window->trim_work,
				   TCE_WINDOW_IDLE_TIME);
}

static void tce_window_kill_level(void *data, unsigned long index,
				  unsigned long count)
{
	tce_window_kill(data, index, count);
}

static void tce_window_trim_work(struct work_struct *work)
{
	struct tce_window *window = container_of(to_delayed_work(work),
						 struct tce_window, trim_work);
	bool many = tce_table_idle(window->table) > TCE_WINDOW_IDLE;

	tce_table_trim(window->table, many ? TCE_WINDOW_IDLE : 0,
		       tce_window_kill_level, window);
	tce_charge_settle(&window->charge);
	tce_window_trim(window);
}

/* Taking entries out */

static void tce_gather_init(struct tce_gather *gather, struct tce_window *window)
{
	/* The arrays are filled as they are needed. */
	gather->window = window;
	gather->end = 0;
	gather->retired.pages = window->pages;
	gather->retired.page_shift = tce_window_page_shift(window);
	gather->retired.count = 0;
}

static void tce_gather_flush(struct tce_gather *gather)
{
	if (gather->end)
		tce_window_kill(gather->window, gather->first,
				gather->end - gather->first);
	gather->end = 0;
	if (gather->retired.count)
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
			   const struct tce_entry *old, unsigned int count)
{
	const struct tce_pages_ops *ops = gather->window->pages->ops;
	unsigned long first = gather->first, end = gather->end;
	unsigned int done;

	for (;;) {
		done = ops->retire(&gather->retired, old, count);
		if (done == count)
			break;
		old += done;
		count -= done;
		tce_gather_flush(gather);
		gather->first = first;
		gather->end = end;
	}
}

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
		if (cursor.index >= cursor.end)
			break;
		cond_resched();
	}
	tce_gather_flush(&gather);
	tce_window_trim(window);
}

void tce_window_clear_all(struct tce_window *window)
{
	tce_window_clear(window, 0, window->platform.geo.entries);
}

/*
 * The window, for a call of KVM's. KVM runs in the address space of its process: while
 * that is the window's, the window stays. To the KVM of another process, to which the
 * group was passed, the table is an empty one.
 */
static struct tce_window *tce_window_of(struct iommu_table *tbl)
{
	struct tce_window *window;

	rcu_read_lock();
	window = rcu_dereference(tce_handle_of(tbl)->window);
	if (window && window->pages->mm != current->mm)
		window = NULL;
	rcu_read_unlock();

	return window;
}

/*
 * it_ops, as KVM uses them (arch/powerpc/kvm/book3s_64_vio.c): it counts a page,
 * swaps the entry, writes the page's user-space address and kills the TCE. For
 * an entry that was set before it would un-count that one's page before the kill,
 * by an address that may have changed meanwhile. It does so only if it is told
 * where the address is; so it is not, and what it takes out is un-counted here,
 * by the kill.
 */

void tce_window_settle(struct tce_window *window)
{
	struct tce_deferred settled[TCE_WINDOW_DEFERRED] __uninitialized;
	unsigned int i, n;

	n = tce_window_undefer(window, 0, ULONG_MAX, settled);
	for (i = 0; i < n; i++)
		tce_window_kill(window, settled[i].index, 1);
	tce_window_release(window, settled, n);
}

static void tce_window_defer(struct tce_window *window, unsigned long index,
			     u64 owner)
{
	bool full;

	for (;;) {
		unsigned int count;

		spin_lock(&window->deferred_lock);
		count = window->deferred_count;
		full = count == TCE_WINDOW_DEFERRED;
		if (!full) {
			window->deferred[count] =
				(struct tce_deferred) { index, owner };
			/* A kill looks without the lock whether there is any. */
			WRITE_ONCE(window->deferred_count, count + 1);
		}
		spin_unlock(&window->deferred_lock);

		if (!full)
			break;
		tce_window_settle(window);
	}

	/* KVM does not kill what it clears after a failure; nobody asks any more. */
	if (READ_ONCE(window->closed))
		tce_window_settle(window);
}

/* In a table of which KVM can see nothing, nothing was mapped. */
static int tce_kvm_xchg_nothing(unsigned long *hpa,
				enum dma_data_direction *direction)
{
	if (*direction != DMA_NONE)
		return -EPERM;

	*hpa = 0;

	return 0;
}

/*
 * The core sets a page dirty that the device could write to, when this module has
 * given it back. By then anybody's kill may have un-counted it, and it may be
 * gone. So it is done here, and the core is told that the device could only read.
 */
static void tce_window_dirty(unsigned long hpa,
			     enum dma_data_direction *direction)
{
	if (*direction == DMA_NONE)
		return;

	if (*direction != DMA_TO_DEVICE && pfn_valid(PHYS_PFN(hpa)))
		SetPageDirty(pfn_to_page(PHYS_PFN(hpa)));
	*direction = DMA_TO_DEVICE;
}

static int tce_kvm_xchg_no_kill(struct iommu_table *tbl, long index,
				unsigned long *hpa,
				enum dma_data_direction *direction)
{
	struct tce_window *window = tce_window_of(tbl);
	u64 owner;
	int ret;

	if (!window)
		return tce_kvm_xchg_nothing(hpa, direction);

	index -= tbl->it_offset;
	while ((ret = tce_table_swap(window->table, index, hpa, direction,
				     &owner)) == -EAGAIN)
		tce_window_wait();

	if (!ret && owner) {
		tce_window_dirty(*hpa, direction);
		tce_window_defer(window, index, owner);
	}

	return ret;
}

static __be64 *tce_kvm_useraddrptr(struct iommu_table *tbl, long index,
				   bool alloc)
{
	struct tce_window *window = tce_window_of(tbl);
	__be64 *view;

	if (!alloc || !window)
		return NULL;

	view = tce_table_view(window->table, index - tbl->it_offset, true);
	/* There may be levels above what could not be allocated. */
	if (!view)
		tce_window_trim(window);

	return view;
}

static void tce_kvm_kill(struct iommu_table *tbl, unsigned long index,
			 unsigned long pages)
{
	struct tce_window *window = tce_window_of(tbl);

	if (window)
		tce_window_kill(window, index - tbl->it_offset, pages);
}

/*
 * The same for pinned pages, which KVM cannot pin and must not take out: it finds
 * no place for an address when it wants to map, and a useless address when it
 * wants to unmap. Then it asks user space to do it.
 */

static int tce_kvm_xchg_pinned(struct iommu_table *tbl, long index,
			       unsigned long *hpa,
			       enum dma_data_direction *direction)
{
	struct tce_window *window = tce_window_of(tbl);
	u64 tce;

	if (!window)
		return tce_kvm_xchg_nothing(hpa, direction);

	tce = tce_table_get(window->table, index - tbl->it_offset);

	/* Nothing keeps the page where it is, so the core must not dirty it. */
	*hpa = tce & ~(u64)(TCE_PCI_READ | TCE_PCI_WRITE);
	*direction = tce ? DMA_TO_DEVICE : DMA_NONE;

	return 0;
}

static __be64 *tce_kvm_useraddrptr_pinned(struct iommu_table *tbl, long index,
					  bool alloc)
{
	/* In no address space, nor is the page that it begins. */
	static __be64 nowhere = cpu_to_be64(BIT_ULL(63));

	return alloc ? NULL : &nowhere;
}

/* The end */

/* What is left when nobody can use it: no creator, no iommu_table. */
static void tce_window_destroy(struct tce_window *window)
{
	tce_debugfs_remove(&window->debugfs);
	/* KVM may have mapped after the container let go. */
	tce_window_clear_all(window);
	tce_window_settle(window);
	tce_table_destroy(window->table);
	tce_charge_settle(&window->charge);
	tce_pages_put(window->pages);
	kfree(window);
}

/*
 * A window that its creator has let go of while KVM had references. One of them may
 * be for ever: KVM forgets the one that it takes when a further group of a container
 * comes to a table that it knows (kvm_spapr_tce_attach_iommu_group() of 6.12). But
 * once the address space is gone, all that KVM can still do is drop references.
 */
static void tce_window_orphan_work(struct work_struct *work)
{
	struct tce_window *window = container_of(to_delayed_work(work),
						 struct tce_window, orphan_work);

	if (atomic_read(&window->pages->mm->mm_users)) {
		queue_delayed_work(tce_window_wq, &window->orphan_work,
				   TCE_WINDOW_ORPHAN_TIME);
		return;
	}

	/* The iommu_table may be going just now. */
	if (!unrcu_pointer(xchg(&window->handle->window, NULL)))
		return;

	synchronize_rcu();
	window->platform.gone = true;
	window->platform.tbl = NULL;
	tce_window_destroy(window);
}

static void tce_handle_free_work(struct work_struct *work)
{
	struct tce_handle *handle = container_of(work, struct tce_handle,
						 free_work);
	struct tce_window *window = unrcu_pointer(xchg(&handle->window, NULL));

	if (window) {
		cancel_delayed_work_sync(&window->orphan_work);
		tce_window_destroy(window);
	}
	kfree(handle);
	module_put(THIS_MODULE);
}

/* May be in atomic context: KVM drops references in RCU callbacks. */
static void tce_handle_free(struct iommu_table *tbl)
{
	struct tce_handle *handle = tce_handle_of(tbl);
	struct tce_window *window;

	if (handle->platform_free)
		handle->platform_free(tbl);

	/* The core frees it when this returns. */
	rcu_read_lock();
	window = rcu_dereference(handle->window);
	if (window) {
		window->platform.gone = true;
		window->platform.tbl = NULL;
	}
	rcu_read_unlock();
	queue_work(tce_window_wq, &handle->free_work);
}

/* The operations that KVM and the core find in the iommu_table. */
static void tce_handle_set_ops(struct tce_handle *handle,
			       const struct tce_platform *platform, bool pinned)
{
	struct iommu_table_ops *ops = &handle->ops;

	/* On a table of the platform's the rest is the platform's. */
	if (platform->backing.write) {
		*ops = *platform->ops;
		handle->platform_free = ops->free;
	}

	ops->xchg_no_kill = pinned ? tce_kvm_xchg_pinned : tce_kvm_xchg_no_kill;
	ops->useraddrptr = pinned ? tce_kvm_useraddrptr_pinned :
				    tce_kvm_useraddrptr;
	ops->tce_kill = tce_kvm_kill;
	ops->free = tce_handle_free;
	platform->tbl->it_ops = ops;
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

	window->handle = kzalloc(sizeof(*window->handle), GFP_KERNEL_ACCOUNT);
	if (!window->handle) {
		ret = -ENOMEM;
		goto free_window;
	}

	platform = &window->platform;
	ret = tce_platform_create(platform, table_group, num,
				  request->page_shift, request->size,
				  request->levels);
	if (ret)
		goto free_window;

	window->charge.mm = request->pages->mm;
	window->table = tce_table_create(&platform->geo, platform->tbl->it_nid,
					 request->charge ? &window->charge : NULL);
	if (IS_ERR(window->table)) {
		ret = PTR_ERR(window->table);
		goto abort;
	}

	spin_lock_init(&window->deferred_lock);
	INIT_DELAYED_WORK(&window->trim_work, tce_window_trim_work);
	INIT_DELAYED_WORK(&window->orphan_work, tce_window_orphan_work);
	INIT_WORK(&window->handle->free_work, tce_handle_free_work);
	window->pages = tce_pages_get(request->pages);
	tce_table_set_backing(window->table, &platform->backing);
	tce_platform_finish(platform, tce_table_root(window->table));
	window->start = (u64)platform->tbl->it_offset << platform->geo.page_shift;
	RCU_INIT_POINTER(window->handle->window, window);
	tce_handle_set_ops(window->handle, platform, request->pinned);

	/* KVM may hold the table longer than the VFIO core holds the module. */
	__module_get(THIS_MODULE);
	window->debugfs.table = window->table;
	window->debugfs.start = window->start;
	tce_debugfs_add(&window->debugfs);

	return window;

abort:
	tce_charge_settle(&window->charge);
	tce_platform_abort(platform);
free_window:
	kfree(window->handle);
	kfree(window);

	return ERR_PTR(ret);
}

void tce_window_put(struct tce_window *window)
{
	struct iommu_table *tbl = window->platform.tbl;

	WRITE_ONCE(window->closed, true);
	tce_window_clear_all(window);
	tce_window_settle(window);
	cancel_delayed_work_sync(&window->trim_work);
	/* In no group any more: only those have it who have it already. */
	if (kref_read(&tbl->it_kref) > 1)
		queue_delayed_work(tce_window_wq, &window->orphan_work, 0);
	iommu_tce_table_put(tbl);
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
		if (replaced == -EAGAIN) {
			tce_window_wait();
			continue;
		}
		if (replaced < 0)
			return replaced;

		/* The hardware may know a page as not mapped: kill new ones too. */
		tce_gather_range(gather, first, cursor->index);
		if (replaced)
			tce_gather_old(gather, entries, replaced);
		if (cursor->index < cursor->end)
			cond_resched();
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

	ret = tce_table_prepare(window->table, index, run->count, run->owner);
	if (ret) {
		run->pages->ops->unuse(run, 0);
		tce_window_trim(window);
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
		tce_window_kill(window, index, run->count);
		return true;
	}

	tce_gather_init(&gather, window);
	tce_gather_range(&gather, index, cursor->index);
	tce_gather_old(&gather, old, replaced);
	tce_gather_flush(&gather);

	return true;
}

int tce_window_map(struct tce_window *window, u64 iova, u64 ua, u64 size,
		   u64 perm)
{
	unsigned int page_shift = tce_window_page_shift(window);
	struct tce_run run = {
		.pages = window->pages,
		.ua = ua,
		.page_shift = page_shift,
		.perm = perm,
	};
	struct tce_cursor cursor = { .table = window->table };
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
	if (run.owner == TCE_OWNER_EACH || run.count > run.together ||
	    !tce_window_map_few(window, &run, &cursor))
		ret = tce_window_map_run(window, &run, &cursor);
	if (run.hpas)
		kvfree(run.hpas);

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
