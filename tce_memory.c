// SPDX-License-Identifier: GPL-2.0-only
/*
 * User memory that a container has registered for DMA. Contract: tce_memory.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/cache.h>
#include <linux/err.h>
#include <linux/hashtable.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include <asm/iommu.h>
#include <asm/mmu_context.h>
#include <asm/tce.h>

#include "tce_charge.h"
#include "tce_memory.h"
#include "tce_pages.h"
#include "tce_refuse.h"
#include "tce_table.h"
#include "tce_work.h"

/* In an owner that is a region: the kernel's, not the container's. */
#define TCE_OWNER_KERNEL	BIT_ULL(0)

/* In an owner: a region, so a kernel address. */
#define TCE_OWNER_REGION	BIT_ULL(63)

/* Segments that are counted or uncounted between calls to cond_resched(). */
#define TCE_MEMORY_SEGMENTS	64

/*
 * tce_memory_retire() asks for a flush when more than this number of pages of
 * one owner must be uncounted one by one.
 */
#define TCE_MEMORY_FLUSH	512

/*
 * Memory of devices (device-dax) comes on top of that of the machine. So a
 * region can be TCE_REGION_MAX_RAM times as large as the machine's memory, but
 * if that is more than TCE_REGION_MAX pages, only as large as the larger of
 * TCE_REGION_MAX and the machine's memory. The kernel's list of the pages takes
 * a 64th of the memory at most, and an RCU callback unpins all of them at once.
 */
#define TCE_REGION_MAX_RAM	8
#define TCE_REGION_MAX		BIT(27)

/* Further attempts to register memory that exceeds RLIMIT_MEMLOCK. */
#define TCE_MEMORY_TRIES	3

/* Maximum number of pages that one call translates. */
#define TCE_MEMORY_TRANSLATE	4096UL

/*
 * Delays of the work item that puts orphans (&tce_memory.orphans). The first
 * attempt is made at once. If the work item finds the address space's mmap_lock
 * or put_lock held, the next attempt is after 2 * TCE_ORPHAN_RETRY, then after
 * twice the last delay, TCE_ORPHAN_KICK_MAX at most if pages were uncounted
 * since. TCE_ORPHAN_POLL is the longest delay, and the one for regions with
 * pages that are counted elsewhere: this module is not always notified when
 * they are uncounted.
 *
 * After pages were uncounted the next attempt is after TCE_ORPHAN_RETRY. It
 * tries all regions of the address space. If it has put none, the next one is
 * after twice the delay, TCE_ORPHAN_KICK_MAX at most, until regions are put or
 * added: a process that maps and unmaps a page of such a region again and again
 * must not keep a worker busy.
 *
 * An attempt that is scheduled is never put off.
 */
#define TCE_ORPHAN_RETRY	(HZ / 100 + 1)
#define TCE_ORPHAN_POLL		(10 * HZ)
#define TCE_ORPHAN_KICK_MAX	((unsigned long)HZ)

/* How long the release of a container waits for the work item. */
#define TCE_ORPHAN_WAIT		(HZ / 10)

/**
 * struct tce_region - a region that the container has registered
 * @memory: the container's registered memory, with a reference to its
 *          &tce_memory.pages
 * @node: in &tce_memory.regions
 * @list: in &tce_memory.list, &tce_memory.orphans, or a list of regions that
 *        are about to be put; empty if it is in none
 * @first: first user-space address
 * @last: last user-space address
 * @mem: the kernel's region, with a reference from mm_iommu_new() or
 *       mm_iommu_get()
 * @unregistering: between tce_memory_unregister_begin() and
 *                 tce_memory_unregister_end()
 * @mapped: its mapped count, that is the number of entries that translate to
 *          its pages and were counted here, plus one until it is unregistered
 */
struct tce_region {
	struct tce_memory *memory;
	struct rb_node node;
	struct list_head list;
	unsigned long first;
	unsigned long last;
	struct mm_iommu_table_group_mem_t *mem;
	bool unregistering;

	/*
	 * Written by each MAP_DMA; a cache line apart from the members that
	 * are read to find this or another region.
	 */
	atomic_long_t mapped ____cacheline_aligned_in_smp;
};

/**
 * struct tce_memory - registered memory of one container
 * @pages: the interface to windows
 * @lock: the container's lock. Held for writing to change @regions, held for
 *        reading to keep a region that was found
 * @regions: the regions by address; they do not overlap
 * @list: the same regions in order of address
 * @orphans: regions that are no longer registered and not put yet, of any
 *           container of the address space: the process holds its mmap_lock, or
 *           KVM or another container has mapped pages of them
 * @node: in tce_orphans while there are orphans, with a reference to @pages
 * @put_lock: held while @orphans is emptied, its regions are put, and those
 *            that cannot be put are added again
 * @delay: delay of the last retry because a lock was held, in jiffies;
 *         TCE_ORPHAN_RETRY if there was none since the last attempt, or since
 *         regions were put or added
 * @kicked: pages were uncounted, or regions added, since the last attempt
 * @kick_delay: delay of the next attempt after pages were uncounted, in jiffies
 * @putting: number of commands that are about to put @orphans
 * @orphan_work: puts @orphans; pending or running while there are any
 */
struct tce_memory {
	struct tce_pages pages;
	struct rw_semaphore *lock;
	struct rb_root regions;
	struct list_head list;

	/* Written for other containers, too, and by KVM: a cache line apart. */
	struct list_head orphans ____cacheline_aligned_in_smp;
	struct hlist_node node;
	struct mutex put_lock; /* see above */
	unsigned long delay;
	bool kicked;
	unsigned long kick_delay;
	unsigned int putting;
	struct delayed_work orphan_work;
};

/*
 * Objects by address space, one for each that has orphans. The lock also
 * protects the members of struct tce_memory from @orphans to @putting, except
 * @put_lock.
 */
static DEFINE_HASHTABLE(tce_orphans, 6);
static DEFINE_SPINLOCK(tce_orphans_lock);

/* Orphans */

static void tce_region_free(struct tce_region *region)
{
	struct tce_memory *memory = region->memory;

	kfree(region);
	tce_pages_put(&memory->pages);
}

static struct tce_memory *tce_orphans_find(const struct mm_struct *mm)
{
	struct tce_memory *memory;

	lockdep_assert_held(&tce_orphans_lock);

	hash_for_each_possible(tce_orphans, memory, node, (unsigned long)mm)
		if (memory->pages.mm == mm)
			break;

	return memory;
}

/*
 * Whether an address space, or another one with the same hash, has orphans. The
 * lock is global, so this is tested without it. If there are none, those that
 * were there before have been put: the object is removed last.
 */
static bool tce_orphans_may_exist(const struct mm_struct *mm)
{
	return !hlist_empty(&tce_orphans[hash_min((unsigned long)mm,
						  HASH_BITS(tce_orphans))]);
}

/* Schedule an attempt after @delay, unless there is one within @within. */
static void tce_orphans_schedule(struct tce_memory *memory,
				 unsigned long within, unsigned long delay)
{
	struct delayed_work *work = &memory->orphan_work;

	lockdep_assert_held(&tce_orphans_lock);

	/* If it is pending without a timer it is queued. */
	if (delayed_work_pending(work) &&
	    (!timer_pending(&work->timer) ||
	     time_before_eq(work->timer.expires, jiffies + within)))
		return;

	mod_delayed_work(tce_mm_wq, work, delay);
}

/*
 * Add regions of one address space that are no longer registered and of which
 * no page is counted here.
 */
static void tce_orphans_add(struct list_head *regions)
{
	struct tce_region *region = list_first_entry(regions, struct tce_region,
						     list);
	struct mm_struct *mm = region->memory->pages.mm;
	struct tce_memory *memory;

	spin_lock(&tce_orphans_lock);
	memory = tce_orphans_find(mm);
	if (!memory) {
		memory = region->memory;
		memory->delay = TCE_ORPHAN_RETRY;
		/* Orphans may outlive all other users of the module. */
		tce_pages_get(&memory->pages);
		__module_get(THIS_MODULE);
		hash_add(tce_orphans, &memory->node, (unsigned long)mm);
	}
	list_splice_tail_init(regions, &memory->orphans);
	/* An attempt that is scheduled soon finds these regions, too. */
	tce_orphans_schedule(memory, TCE_ORPHAN_RETRY, 0);
	memory->delay = TCE_ORPHAN_RETRY;
	memory->kick_delay = TCE_ORPHAN_RETRY;
	memory->kicked = true;
	spin_unlock(&tce_orphans_lock);
}

/*
 * Put the regions with addresses from @first to @last that can be put; the
 * others stay in the list, at its end if they were tried. Waits for the
 * mmap_lock; if @wait is false, stops when it finds the lock held, and returns
 * false. (It may be taken right after the test, which is repeated for each
 * region to make this unlikely.) @put is set if any was put.
 */
static bool tce_orphans_put(struct mm_struct *mm, struct list_head *orphans,
			    unsigned long first, unsigned long last, bool wait,
			    bool *put)
{
	struct tce_region *region, *next;
	bool done = true;
	LIST_HEAD(tried);

	*put = false;
	list_for_each_entry_safe(region, next, orphans, list) {
		done = wait || !rwsem_is_locked(&mm->mmap_lock);
		if (!done)
			break;
		if (region->first <= last && region->last >= first) {
			list_del(&region->list);
			if (mm_iommu_put(mm, region->mem)) {
				list_add_tail(&region->list, &tried);
			} else {
				tce_region_free(region);
				*put = true;
			}
		}
		if (wait && fatal_signal_pending(current))
			break;
		cond_resched();
	}

	/* The next attempt begins with those that this one has not reached. */
	list_splice_tail(&tried, orphans);

	return done;
}

void tce_memory_put_orphans(struct mm_struct *mm, unsigned long first,
			    unsigned long last)
{
	struct tce_memory *memory;
	LIST_HEAD(orphans);
	bool put = false;

	if (!tce_orphans_may_exist(mm))
		return;

	spin_lock(&tce_orphans_lock);
	memory = tce_orphans_find(mm);
	if (memory) {
		/*
		 * @putting keeps the object in tce_orphans, from which only the
		 * work item removes it.
		 */
		memory->putting++;
		tce_pages_get(&memory->pages);
	}
	spin_unlock(&tce_orphans_lock);
	if (!memory)
		return;

	/* Without the lock, others could still be about to put some of them. */
	if (!mutex_lock_killable(&memory->put_lock)) {
		spin_lock(&tce_orphans_lock);
		list_splice_init(&memory->orphans, &orphans);
		spin_unlock(&tce_orphans_lock);

		tce_orphans_put(mm, &orphans, first, last, true, &put);

		spin_lock(&tce_orphans_lock);
		list_splice(&orphans, &memory->orphans);
		spin_unlock(&tce_orphans_lock);
		mutex_unlock(&memory->put_lock);
	}

	spin_lock(&tce_orphans_lock);
	memory->putting--;
	if (put)
		memory->kick_delay = TCE_ORPHAN_RETRY;
	/*
	 * Only the work item removes the object from tce_orphans. It may have
	 * found the lock held, and retry much later. Another command that is
	 * about to put them may have the list now, and comes here after this
	 * one.
	 */
	if (list_empty(&memory->orphans) && !memory->putting)
		tce_orphans_schedule(memory, 0, 0);
	else if (memory->kicked)
		tce_orphans_schedule(memory, memory->kick_delay,
				     memory->kick_delay);
	spin_unlock(&tce_orphans_lock);
	tce_pages_put(&memory->pages);
}

/* A lock is held: retry later. */
static void tce_orphans_retry(struct tce_memory *memory)
{
	unsigned long most = memory->kicked ? TCE_ORPHAN_KICK_MAX :
					      TCE_ORPHAN_POLL;

	memory->delay = min(2 * memory->delay, most);
	tce_orphans_schedule(memory, memory->delay, memory->delay);
}

static void tce_orphan_work(struct work_struct *work)
{
	struct tce_memory *memory = container_of(to_delayed_work(work),
						 struct tce_memory,
						 orphan_work);
	struct mm_struct *mm = memory->pages.mm;
	bool last, done, kicked, put;
	unsigned long delay;
	LIST_HEAD(orphans);

	/*
	 * mm_iommu_put() waits for the mmap_lock: retry later instead of
	 * blocking a worker.
	 */
	if (rwsem_is_locked(&mm->mmap_lock) ||
	    !mutex_trylock(&memory->put_lock)) {
		spin_lock(&tce_orphans_lock);
		tce_orphans_retry(memory);
		spin_unlock(&tce_orphans_lock);
		return;
	}

	spin_lock(&tce_orphans_lock);
	kicked = memory->kicked;
	memory->kicked = false;
	list_splice_init(&memory->orphans, &orphans);
	spin_unlock(&tce_orphans_lock);

	done = tce_orphans_put(mm, &orphans, 0, ULONG_MAX, false, &put);

	spin_lock(&tce_orphans_lock);
	if (put)
		memory->kick_delay = TCE_ORPHAN_RETRY;
	else if (kicked)
		memory->kick_delay = min(2 * memory->kick_delay,
					 TCE_ORPHAN_KICK_MAX);
	list_splice(&orphans, &memory->orphans);
	last = list_empty(&memory->orphans) && !memory->putting;
	if (last) {
		/* tce_orphans_kick() may have queued the work item again. */
		hash_del(&memory->node);
		cancel_delayed_work(&memory->orphan_work);
		memory->kicked = false;
	} else if (!done) {
		memory->kicked |= kicked;
		/* While regions are put, the lock is not held for long. */
		if (put)
			memory->delay = TCE_ORPHAN_RETRY;
		tce_orphans_retry(memory);
	} else {
		delay = memory->kicked ? memory->kick_delay : TCE_ORPHAN_POLL;
		memory->delay = TCE_ORPHAN_RETRY;
		tce_orphans_schedule(memory, delay, delay);
	}
	spin_unlock(&tce_orphans_lock);
	mutex_unlock(&memory->put_lock);

	/*
	 * Pairs with the barrier in wait_var_event_timeout(): either the waiter
	 * sees the new state, or it has queued itself and is woken here.
	 */
	smp_mb();
	wake_up_var(&tce_orphans);
	if (last) {
		tce_pages_put(&memory->pages);
		module_put(THIS_MODULE);
	}
}

/*
 * Pages of regions of an address space were uncounted: try to put its orphans.
 */
static void tce_orphans_kick(const struct mm_struct *mm)
{
	struct tce_memory *memory;

	/*
	 * Order the caller's uncount before the test. tce_orphans_add() adds
	 * the object before the work item tries to put the region: either the
	 * attempt sees the uncount, or the orphan is seen here.
	 */
	smp_mb();
	if (!tce_orphans_may_exist(mm))
		return;

	spin_lock(&tce_orphans_lock);
	memory = tce_orphans_find(mm);
	if (memory) {
		memory->kicked = true;
		tce_orphans_schedule(memory, memory->kick_delay,
				     memory->kick_delay);
	}
	spin_unlock(&tce_orphans_lock);
}

/* Uncount pages of a region; the registration counts as one page. */
static void tce_region_uncount(struct tce_region *region, unsigned long count)
{
	LIST_HEAD(orphans);

	if (atomic_long_sub_return(count, &region->mapped))
		return;

	list_add(&region->list, &orphans);
	tce_orphans_add(&orphans);
}

static void tce_mem_uncount(struct mm_struct *mm,
			    struct mm_iommu_table_group_mem_t *mem,
			    unsigned long count)
{
	while (count--)
		mm_iommu_mapped_dec(mem);
	tce_orphans_kick(mm);
}

/* Registrations */

static int tce_region_cmp_address(const void *key, const struct rb_node *node)
{
	const struct tce_region *region = rb_entry(node, struct tce_region,
						   node);
	unsigned long ua = *(const unsigned long *)key;

	if (ua < region->first)
		return -1;

	return ua > region->last;
}

static int tce_region_cmp(struct rb_node *new, const struct rb_node *node)
{
	const struct tce_region *a = rb_entry(new, struct tce_region, node);
	const struct tce_region *b = rb_entry(node, struct tce_region, node);

	if (a->last < b->first)
		return -1;

	return a->first > b->last;
}

static struct tce_region *tce_region_find(struct tce_memory *memory,
					  unsigned long ua)
{
	struct rb_node *node;

	lockdep_assert_held(memory->lock);

	node = rb_find(&ua, &memory->regions, tce_region_cmp_address);

	return node ? rb_entry(node, struct tce_region, node) : NULL;
}

static bool tce_memory_aligned(u64 ua, u64 size)
{
	return PAGE_ALIGNED(ua) && PAGE_ALIGNED(size);
}

/*
 * The largest region, in pages. mm_iommu_new() allocates an array with an
 * element for each page. It must not use up the memory of the machine; if it is
 * larger than that, vmalloc() logs a warning, which user space could repeat.
 */
static unsigned long tce_region_max(void)
{
	unsigned long ram = totalram_pages();

	return max(ram, min(TCE_REGION_MAX_RAM * ram, TCE_REGION_MAX));
}

struct tce_region *tce_memory_pin(struct tce_memory *memory, u64 ua, u64 size)
{
	struct tce_region *region;
	unsigned int i;
	u64 last;
	long ret;

	if (!tce_memory_aligned(ua, size) || !size ||
	    check_add_overflow(ua, size - 1, &last)) {
		ret = tce_refuse(-EINVAL,
				 "the memory is empty, wraps, or is not page aligned");
		return ERR_PTR(ret);
	}

	if (size >> PAGE_SHIFT > tce_region_max())
		return ERR_PTR(-ENOMEM);

	region = kzalloc(sizeof(*region), TCE_GFP);
	if (!region)
		return ERR_PTR(-ENOMEM);

	region->memory = memory;
	region->first = ua;
	region->last = last;
	INIT_LIST_HEAD(&region->list);
	atomic_long_set(&region->mapped, 1);

	/*
	 * A region of a closed container would have the pages that were there
	 * when it was registered, and this one could not overlap it. Those that
	 * are mapped stay, as with the in-tree module.
	 */
	tce_memory_put_orphans(memory->pages.mm, ua, last);
	region->mem = mm_iommu_get(memory->pages.mm, ua, size >> PAGE_SHIFT);
	if (!region->mem) {
		for (i = 0; ; i++) {
			ret = mm_iommu_new(memory->pages.mm, ua,
					   size >> PAGE_SHIFT, &region->mem);
			if (ret != -ENOMEM || i == TCE_MEMORY_TRIES)
				break;
			/*
			 * Credit and orphans count towards RLIMIT_MEMLOCK.
			 * Another command may get credit again before the
			 * memory is charged.
			 */
			tce_memory_put_orphans(memory->pages.mm, 0, ULONG_MAX);
			tce_charge_settle_held(memory->pages.charge);
		}
		/*
		 * Another thread may have registered the same region meanwhile.
		 */
		if (ret == -EINVAL)
			region->mem = mm_iommu_get(memory->pages.mm, ua,
						   size >> PAGE_SHIFT);
		if (region->mem)
			ret = 0;
		/*
		 * mm_iommu_new() returns a positive number if only some of the
		 * pages could be pinned.
		 */
		if (ret > 0)
			ret = -EFAULT;
		if (ret) {
			kfree(region);
			/* The container reports the reason for -ENOMEM. */
			if (ret != -ENOMEM)
				tce_refuse(ret,
					   "memory overlaps a region or cannot be pinned");
			return ERR_PTR(ret);
		}
	}
	tce_pages_get(&memory->pages);

	return region;
}

void tce_memory_unpin(struct tce_memory *memory, struct tce_region *region)
{
	if (mm_iommu_put(memory->pages.mm, region->mem))
		tce_region_uncount(region, 1);
	else
		tce_region_free(region);
}

int tce_memory_add(struct tce_memory *memory, struct tce_region *region)
{
	struct rb_node *before;

	lockdep_assert_held_write(memory->lock);

	/*
	 * The kernel's regions do not overlap, so this is the same region, or
	 * one that overlaps a region that another thread is unregistering.
	 */
	if (rb_find_add(&region->node, &memory->regions, tce_region_cmp))
		return tce_refuse(-EBUSY, "the memory is registered already");

	before = rb_prev(&region->node);
	list_add(&region->list,
		 before ? &rb_entry(before, struct tce_region, node)->list :
			  &memory->list);

	return 0;
}

struct tce_region *tce_memory_unregister_begin(struct tce_memory *memory,
					       u64 ua, u64 size)
{
	struct tce_region *region;
	int ret;

	lockdep_assert_held_write(memory->lock);

	if (!tce_memory_aligned(ua, size)) {
		ret = tce_refuse(-EINVAL, "the memory is not page aligned");
		return ERR_PTR(ret);
	}

	region = tce_region_find(memory, ua);
	if (!region || region->first != ua || region->last != ua + size - 1) {
		ret = tce_refuse(-ENOENT,
				 "no region with this address and size is registered");
		return ERR_PTR(ret);
	}

	if (region->unregistering || atomic_long_read(&region->mapped) > 1)
		return ERR_PTR(-EBUSY);

	region->unregistering = true;

	return region;
}

int tce_memory_put(struct tce_memory *memory, struct tce_region *region)
{
	/*
	 * This fails if it was the last registration, and the kernel has
	 * counted pages: for KVM, for another container, or for this one, which
	 * mapped them before it registered the region or while it was
	 * unregistering it.
	 */
	return mm_iommu_put(memory->pages.mm, region->mem);
}

void tce_memory_unregister_end(struct tce_memory *memory,
			       struct tce_region *region, bool gone)
{
	lockdep_assert_held_write(memory->lock);

	region->unregistering = false;
	if (!gone && !list_empty(&region->list))
		return;

	/*
	 * The region is neither in the tree nor in a list if
	 * tce_memory_unregister_all() has run meanwhile.
	 */
	if (!list_empty(&region->list)) {
		rb_erase(&region->node, &memory->regions);
		list_del(&region->list);
	}
	if (gone)
		tce_region_free(region);
	else
		tce_region_uncount(region, 1);
}

void tce_memory_unregister_all(struct tce_memory *memory,
			       struct list_head *regions)
{
	struct tce_region *region, *next;

	lockdep_assert_held_write(memory->lock);

	memory->regions = RB_ROOT;
	list_for_each_entry_safe(region, next, &memory->list, list) {
		list_del_init(&region->list);
		/*
		 * If pages are still counted, the last uncount adds the region
		 * to the orphans.
		 */
		if (!region->unregistering &&
		    !atomic_long_dec_return(&region->mapped))
			list_add_tail(&region->list, regions);
		cond_resched();
	}
}

static bool tce_memory_has_orphans(const struct mm_struct *mm)
{
	bool found;

	spin_lock(&tce_orphans_lock);
	found = tce_orphans_find(mm);
	spin_unlock(&tce_orphans_lock);

	return found;
}

void tce_memory_put_all(struct tce_memory *memory, struct list_head *regions)
{
	const struct mm_struct *mm = memory->pages.mm;

	/*
	 * All at once: if they were added one by one, the work item, queued for
	 * the first, could run once for each.
	 */
	if (!list_empty(regions))
		tce_orphans_add(regions);

	wait_var_event_timeout(&tce_orphans, !tce_memory_has_orphans(mm),
			       TCE_ORPHAN_WAIT);
}

static struct tce_memory *tce_memory_of(struct tce_pages *pages)
{
	return container_of(pages, struct tce_memory, pages);
}

/**
 * struct tce_segment - consecutive pages of a run that are counted at once
 * @mem: the kernel's region
 * @region: the container's region; NULL if it has not registered the pages, or
 *          is unregistering them
 * @count: number of IOMMU pages; 1 if @region is NULL
 */
struct tce_segment {
	struct mm_iommu_table_group_mem_t *mem;
	struct tce_region *region;
	unsigned long count;
};

static u64 tce_segment_owner(const struct tce_segment *segment)
{
	if (segment->region)
		return (unsigned long)segment->region;

	return (unsigned long)segment->mem | TCE_OWNER_KERNEL;
}

/*
 * Find the region of a page that this container has not registered. Try the
 * last one first: the kernel searches a list, which may have thousands of
 * regions.
 */
static noinline struct mm_iommu_table_group_mem_t *
tce_memory_other(const struct tce_run *run, unsigned long ua)
{
	unsigned long hpa;

	if (run->other && !mm_iommu_ua_to_hpa(run->other, ua, run->page_shift,
					      &hpa))
		return run->other;

	return mm_iommu_lookup(run->pages->mm, ua, 1UL << run->page_shift);
}

/*
 * Find the registered pages of a run that begin with page @first and have the
 * same owner. @hint is the container's region that was found last, or NULL.
 * Return false if page @first is not registered. A region that this container
 * has not registered may be freed unless a page of it is counted or the caller
 * is in an RCU read-side section.
 */
static __always_inline bool tce_memory_segment(struct tce_run *run,
					       struct tce_region *hint,
					       unsigned long first,
					       struct tce_segment *segment)
{
	struct tce_memory *memory = tce_memory_of(run->pages);
	unsigned long ua = run->ua + (first << run->page_shift);
	struct tce_region *region = hint;

	lockdep_assert_held(memory->lock);

	/*
	 * Runs are processed upwards: try the last region, then the next one.
	 */
	if (region && ua > region->last &&
	    !list_is_last(&region->list, &memory->list))
		region = list_next_entry(region, list);
	if (!region || ua < region->first || ua > region->last)
		region = tce_region_find(memory, ua);
	/*
	 * If the region is being unregistered, count in the kernel's region:
	 * that fails once the last reference to the kernel's region was put.
	 */
	if (region && region->unregistering)
		region = NULL;

	segment->region = region;
	if (region) {
		run->hint = region;
		segment->mem = region->mem;
		segment->count = min(run->count - first,
				     (region->last - ua + 1) >>
				     run->page_shift);
	} else {
		segment->mem = tce_memory_other(run, ua);
		segment->count = 1;
	}

	return segment->mem && segment->count;
}

static void tce_segment_uncount(const struct tce_segment *segment,
				struct mm_struct *mm)
{
	if (segment->region)
		tce_region_uncount(segment->region, segment->count);
	else
		tce_mem_uncount(mm, segment->mem, 1);
}

/*
 * Whether an IOMMU page that is larger than a kernel page is inside one folio.
 * mm_iommu_ua_to_hpa() cannot tell: it knows one page size for the whole
 * region, which may be that of huge pages even if smaller pages follow them.
 * The folio is pinned, so its size does not change.
 */
static bool tce_page_contained(unsigned long hpa, unsigned int page_shift)
{
	unsigned long pfn = PHYS_PFN(hpa);

	return !(hpa & ((1UL << page_shift) - 1)) && pfn_valid(pfn) &&
	       folio_shift(page_folio(pfn_to_page(pfn))) >= page_shift;
}

/*
 * Whether the process has mapped all of an IOMMU page that is inside one folio.
 * It may have mapped only a part of a transparent huge page, the rest of which
 * belongs to other processes. So the kernel pages at consecutive user-space
 * addresses must be consecutive in physical memory.
 *
 * When a part of a hugetlbfs page was pinned, the process had mapped all of it
 * for writing, and the pin keeps all of it allocated. So look only at the first
 * and last kernel page of the IOMMU page.
 */
static bool tce_page_whole(struct mm_iommu_table_group_mem_t *mem,
			   unsigned long ua, unsigned long hpa,
			   unsigned int page_shift)
{
	unsigned long offset, part, step = PAGE_SIZE;

	if (folio_test_hugetlb(page_folio(pfn_to_page(PHYS_PFN(hpa)))))
		step = (1UL << page_shift) - PAGE_SIZE;

	for (offset = 0; offset < 1UL << page_shift; offset += step)
		if (mm_iommu_ua_to_hpa(mem, ua + offset, PAGE_SHIFT, &part) ||
		    part != hpa + offset)
			return false;

	return true;
}

/*
 * Whether tce_page_contained() and tce_page_whole() are true for all IOMMU
 * pages of a segment, which are counted.
 */
static noinline bool tce_segment_contained(const struct tce_run *run,
					   unsigned long first,
					   const struct tce_segment *segment)
{
	unsigned long ua = run->ua + (first << run->page_shift), hpa, i;

	for (i = 0; i < segment->count; i++, ua += 1UL << run->page_shift) {
		cond_resched();
		if (mm_iommu_ua_to_hpa(segment->mem, ua, run->page_shift,
				       &hpa) ||
		    !tce_page_contained(hpa, run->page_shift) ||
		    !tce_page_whole(segment->mem, ua, hpa, run->page_shift))
			return false;
	}

	return true;
}

/*
 * Find and count the pages of a segment that begins with page @first. @hint is
 * the container's region that was found last, or NULL. The container's own
 * regions stay because its lock is held, other regions because a page of them
 * is counted. Return 0, and the physical address of the first page in @hpa, or
 * an errno.
 */
static __always_inline int tce_memory_count(struct tce_run *run,
					    struct tce_region *hint,
					    unsigned long first,
					    struct tce_segment *segment,
					    unsigned long *hpa)
{
	unsigned long ua = run->ua + (first << run->page_shift);
	int ret = -EINVAL;

	rcu_read_lock();
	if (tce_memory_segment(run, hint, first, segment) &&
	    !mm_iommu_ua_to_hpa(segment->mem, ua, run->page_shift, hpa))
		ret = 0;
	if (!ret && segment->region)
		atomic_long_add(segment->count, &segment->region->mapped);
	else if (!ret && mm_iommu_mapped_inc(segment->mem))
		ret = -EINVAL;
	/* The region stays now, as a page of it is counted. */
	if (!ret && !segment->region)
		run->other = segment->mem;
	rcu_read_unlock();

	if (!ret && run->page_shift > PAGE_SHIFT &&
	    !tce_segment_contained(run, first, segment)) {
		tce_segment_uncount(segment, run->pages->mm);
		run->other = NULL;
		return tce_refuse(-EINVAL,
				  "an IOMMU page is in several folios, or its memory is not contiguous");
	}

	if (!ret)
		return 0;

	return tce_refuse(ret, run->page_shift <= PAGE_SHIFT ?
			  "not all of the memory is registered" :
			  "memory is not registered, or its pages are too small");
}

/* Uncount the pages of a run from @first up to @end. */
static void tce_memory_cancel_range(struct tce_run *run, unsigned long first,
				    unsigned long end)
{
	struct tce_segment segment;
	unsigned int n = 0;

	run->other = NULL;
	/*
	 * A region of another container may be freed when its last page is
	 * uncounted.
	 */
	rcu_read_lock();
	while (first < end &&
	       tce_memory_segment(run, run->hint, first, &segment)) {
		segment.count = min(segment.count, end - first);
		tce_segment_uncount(&segment, run->pages->mm);
		run->other = segment.region ? NULL : segment.mem;
		first += segment.count;
		if (!(++n % TCE_MEMORY_SEGMENTS)) {
			run->other = NULL;
			rcu_read_unlock();
			cond_resched();
			rcu_read_lock();
		}
	}
	rcu_read_unlock();
	run->other = NULL;
	WARN_ON_ONCE(first < end);
}

static void tce_memory_cancel(struct tce_run *run, unsigned long first)
{
	tce_memory_cancel_range(run, first, run->count);
}

/*
 * Count the pages of a run from @first on if the run has more than one segment.
 * Their owners may differ.
 */
static noinline int tce_memory_use_each(struct tce_run *run,
					unsigned long first)
{
	struct tce_segment segment;
	unsigned long hpa;
	unsigned int n = 0;
	int ret = 0;

	run->owner = TCE_OWNER_EACH;
	for (; first < run->count; first += segment.count) {
		if (!(n++ % TCE_MEMORY_SEGMENTS)) {
			cond_resched();
			if (fatal_signal_pending(current))
				ret = -EINTR;
		}
		if (!ret)
			ret = tce_memory_count(run, run->hint, first, &segment,
					       &hpa);
		if (ret) {
			tce_memory_cancel_range(run, 0, first);
			return ret;
		}
	}

	return 0;
}

static int tce_memory_use(struct tce_run *run, struct tce_extent *first)
{
	struct tce_segment segment;
	unsigned long hpa, count;
	u64 owner;
	int ret;

	/*
	 * They are not set yet, or an earlier attempt has set them and the
	 * regions may have been freed since.
	 */
	run->hint = NULL;
	run->other = NULL;
	ret = tce_memory_count(run, NULL, 0, &segment, &hpa);
	if (ret)
		return ret;

	owner = tce_segment_owner(&segment);
	count = min(segment.count, tce_pages_in_page(run, run->ua));
	run->owner = owner;
	run->next = count;
	first->tce = hpa | run->perm;
	first->owner = owner;
	first->count = count;
	if (segment.count == run->count)
		return 0;

	return tce_memory_use_each(run, segment.count);
}

/*
 * Append the pages of a segment from run->next up to @end to the @n extents.
 * Return the new number of extents.
 */
static unsigned int tce_segment_translate(struct tce_run *run,
					  const struct tce_segment *segment,
					  unsigned long end,
					  struct tce_extent *extents,
					  unsigned int n)
{
	struct mm_iommu_table_group_mem_t *mem = segment->mem;
	u64 owner = tce_segment_owner(segment), perm = run->perm, next = 0, tce;
	unsigned int page_shift = run->page_shift;
	unsigned long at = run->next, ua = run->ua + (at << page_shift);
	unsigned long in_page = tce_pages_in_page(run, ua), pages, hpa;
	/* From the second kernel page on, @ua is at the beginning of one. */
	unsigned long in_next = tce_pages_in_page(run, 0);

	if (n && extents[n - 1].owner == owner)
		next = extents[n - 1].tce +
		       (extents[n - 1].count << page_shift);
	while (at < end) {
		pages = min(in_page, end - at);
		in_page = in_next;
		/* Cannot fail: tce_memory_count() has checked the page size. */
		mm_iommu_ua_to_hpa(mem, ua, page_shift, &hpa);
		tce = hpa | perm;
		if (tce == next) {
			extents[n - 1].count += pages;
		} else {
			if (n == TCE_BATCH)
				break;
			extents[n].tce = tce;
			extents[n].owner = owner;
			extents[n++].count = pages;
		}
		at += pages;
		pages <<= page_shift;
		next = tce + pages;
		ua += pages;
	}
	run->next = at;

	return n;
}

static void tce_memory_translate(struct tce_run *run, struct tce_batch *batch)
{
	unsigned long most = min(run->count, run->next + TCE_MEMORY_TRANSLATE);
	unsigned long before = run->next;
	struct mm_iommu_table_group_mem_t *last = run->other;
	unsigned int n = batch->count;
	struct tce_segment segment;

	while (run->next < most && n < TCE_BATCH) {
		if (WARN_ON_ONCE(!tce_memory_segment(run, run->hint, run->next,
						     &segment)))
			break;
		/* Its page is counted, and only the caller stores it. */
		if (!segment.region)
			run->other = segment.mem;
		n = tce_segment_translate(run, &segment,
					  min(most, run->next + segment.count),
					  batch->extent, n);
	}
	/* The last page of the run stays counted until it is stored. */
	run->other = last;
	batch->count = n;
	batch->entries += run->next - before;
}

/*
 * Whether the owner is a region of the container, whose pages are not uncounted
 * one by one.
 */
static bool tce_owner_is_region(u64 owner)
{
	owner &= TCE_OWNER_REGION | TCE_OWNER_KERNEL;

	return owner == TCE_OWNER_REGION;
}

/*
 * The device may write to the page until the kill, which comes later. The page
 * stays dirty until then: it is pinned until it is uncounted, after the kill,
 * and reclaim does not write pinned pages to swap. Since Linux 6.5 pages of
 * files that are written back cannot be pinned for writing with FOLL_LONGTERM.
 */
static __always_inline void tce_memory_set_dirty(unsigned long pfn, bool region)
{
	struct page *page;

	/* Regions of the container are memory and have a struct page. */
	if (!region && !pfn_valid(pfn))
		return;

	page = pfn_to_page(pfn);
	if (!PageDirty(page))
		SetPageDirty(page);
}

/* @region: its owner is a region of the container. */
static __always_inline void tce_extent_dirty(const struct tce_extent *extent,
					     unsigned int page_shift,
					     bool region)
{
	u64 pa = extent->tce & ~TCE_PERM;
	u64 end = pa + ((u64)extent->count << page_shift);
	/*
	 * An IOMMU page that is larger than a kernel page is inside one folio:
	 * one of its kernel pages is enough.
	 */
	u64 step = max(PAGE_SIZE, 1UL << page_shift);

	for (pa = ALIGN_DOWN(pa, step); pa < end; pa += step)
		tce_memory_set_dirty(PHYS_PFN(pa), region);
}

static bool tce_memory_retire(struct tce_retired *retired,
			      struct tce_batch *batch)
{
	const struct tce_extent *extent = &batch->extent[batch->first];
	const struct tce_extent *end = &batch->extent[batch->count];
	unsigned int page_shift = retired->page_shift;
	struct tce_owned *last = NULL;
	bool region = false;

	if (retired->count) {
		last = &retired->list[retired->count - 1];
		region = tce_owner_is_region(last->word);
	}
	for (; extent < end; extent++) {
		u64 owner = extent->owner;

		if (!last || last->word != owner) {
			if (retired->count == retired->max)
				break;
			last = &retired->list[retired->count++];
			last->word = owner;
			last->pages = 0;
			region = tce_owner_is_region(owner);
		}
		/* Limit the pages that one flush must uncount one by one. */
		if (!region && last->pages > TCE_MEMORY_FLUSH)
			break;

		if (extent->tce & TCE_PCI_WRITE)
			tce_extent_dirty(extent, page_shift, region);
		last->pages += extent->count;
	}
	batch->first = extent - batch->extent;

	return extent == end;
}

void tce_memory_dirty(const struct tce_entry *entry)
{
	if (entry->tce & TCE_PCI_WRITE)
		tce_memory_set_dirty(PHYS_PFN(entry->tce),
				     tce_owner_is_region(entry->owner));
}

static void tce_user_uncount(struct mm_struct *mm, unsigned long ua,
			     unsigned long count, unsigned int page_shift)
{
	struct mm_iommu_table_group_mem_t *mem;

	/*
	 * A page of the region is counted, so the region stays until the
	 * uncount.
	 */
	rcu_read_lock();
	mem = mm_iommu_lookup(mm, ua, 1UL << page_shift);
	if (mem)
		tce_mem_uncount(mm, mem, count);
	rcu_read_unlock();
}

void tce_memory_uncount_user(struct mm_struct *mm, unsigned long ua,
			     unsigned int page_shift)
{
	tce_user_uncount(mm, ua, 1, page_shift);
}

void tce_memory_uncount(struct tce_pages *pages, u64 owner, unsigned long count,
			unsigned int page_shift)
{
	if (owner & TCE_OWNER_USER && !(owner & TCE_OWNER_REGION))
		tce_user_uncount(pages->mm, owner & ~TCE_OWNER_USER, count,
				 page_shift);
	else if (owner & TCE_OWNER_KERNEL)
		tce_mem_uncount(pages->mm,
				(void *)(unsigned long)(owner &
							~TCE_OWNER_KERNEL),
				count);
	else
		tce_region_uncount((void *)(unsigned long)owner, count);
}

static void tce_memory_flush(struct tce_retired *retired)
{
	unsigned int i;

	for (i = 0; i < retired->count; i++)
		tce_memory_uncount(retired->pages, retired->list[i].word,
				   retired->list[i].pages, retired->page_shift);
	retired->count = 0;
}

static void tce_memory_release_extent(struct tce_pages *pages,
				      const struct tce_extent *extent,
				      unsigned int page_shift)
{
	if (extent->tce & TCE_PCI_WRITE)
		tce_extent_dirty(extent, page_shift,
				 tce_owner_is_region(extent->owner));
	tce_memory_uncount(pages, extent->owner, extent->count, page_shift);
}

static void tce_memory_free(struct tce_pages *pages)
{
	kfree(tce_memory_of(pages));
}

static const struct tce_pages_ops tce_memory_pages_ops = {
	.use = tce_memory_use,
	.translate = tce_memory_translate,
	.cancel = tce_memory_cancel,
	.retire = tce_memory_retire,
	.flush = tce_memory_flush,
	.release = tce_memory_release_extent,
	.free = tce_memory_free,
};

struct tce_memory *tce_memory_create(struct rw_semaphore *lock)
{
	struct tce_memory *memory;
	int ret;

	memory = kzalloc(sizeof(*memory), TCE_GFP_FIXED);
	if (!memory)
		return ERR_PTR(-ENOMEM);

	ret = tce_pages_init(&memory->pages, &tce_memory_pages_ops);
	if (ret) {
		kfree(memory);
		return ERR_PTR(ret);
	}

	memory->lock = lock;
	memory->regions = RB_ROOT;
	INIT_LIST_HEAD(&memory->list);
	INIT_LIST_HEAD(&memory->orphans);
	INIT_HLIST_NODE(&memory->node);
	mutex_init(&memory->put_lock);
	INIT_DELAYED_WORK(&memory->orphan_work, tce_orphan_work);

	return memory;
}

struct tce_pages *tce_memory_pages(struct tce_memory *memory)
{
	return &memory->pages;
}
