// SPDX-License-Identifier: GPL-2.0-only
/*
 * The callbacks by which KVM uses a window. Contract: tce_kvm.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/cache.h>
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/lockdep.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_charge.h"
#include "tce_kill.h"
#include "tce_kvm.h"
#include "tce_memory.h"
#include "tce_observe.h"
#include "tce_platform.h"
#include "tce_table.h"
#include "tce_window_private.h"
#include "tce_work.h"

/*
 * Length of the probe sequence for the record of a task, which begins at the
 * hash of the task's address.
 */
#define TCE_KVM_PROBES		8

/*
 * Maximum number of entries that a task has cleared or replaced and not yet
 * killed; beyond it they are killed early.
 */
#define TCE_KVM_DISPLACED	16

/**
 * struct tce_kvm_displaced - an entry that was cleared or replaced and not yet
 * killed
 * @index: its index
 * @owner: its owner
 */
struct tce_kvm_displaced {
	unsigned long index;
	u64 owner;
};

/**
 * struct tce_kvm_record - the record of a task that makes hypercalls
 * @ua: KVM stores the user-space address here, big-endian, while @active
 * @task: the task, or NULL if the record is free. Set and cleared under @lock
 * @lock: protects the following members against tce_kvm_flush(), tce_kvm_trim()
 *        and tasks that need a record; taken before the locks of the table.
 *        While @active, only the task accesses @pending, @index and @tce. The
 *        task also reads @active and @changed without the lock
 * @active: the task is between useraddrptr() and tce_kill(). Only the task
 *          changes this
 * @pending: @tce must be set at @index, with @ua as its owner
 * @changed: the task has changed an entry since its last kill; set if there is
 *           anything in @displaced
 * @index: the entry that KVM asked to set
 * @tce: the new value of the entry
 * @used: when the task used the record last, in jiffies
 * @range: its leaf is held, with a view, if &tce_range.leaves is not 0
 * @displaced: entries that the task has cleared or replaced
 * @displaced_count: number of elements of @displaced
 */
struct tce_kvm_record {
	__be64 ua;
	struct task_struct *task;
	spinlock_t lock; /* see above */
	bool active;
	bool pending;
	bool changed;
	unsigned long index;
	u64 tce;
	unsigned long used;
	struct tce_range range;
	unsigned int displaced_count;
	struct tce_kvm_displaced displaced[TCE_KVM_DISPLACED];
} ____cacheline_aligned;

/**
 * struct tce_kvm - state of KVM's callbacks for a window
 * @ops: the operations of the iommu_table, embedded so that tce_kvm_of() works
 * @platform_free: the platform's free(), if the platform created the
 *                 iommu_table
 * @platform_useraddrptr: the platform's useraddrptr(), in the same case
 * @window: the window; NULL before tce_kvm_connect() and after
 *          tce_kvm_disconnect()
 * @record: the records
 * @mask: number of elements of @record, a power of two, minus 1
 * @tbl: the iommu_table
 * @page_shift: IOMMU page size, as a shift
 * @leaf_shift: entries of a leaf, as a shift
 * @used: a callback has looked up @window; also set by tce_kvm_disconnect()
 * @closed: no entry may be set any more, see tce_kvm_close()
 * @refused: the hypervisor has refused an entry
 * @put: tasks no longer find their records; @record is freed after a grace
 *       period
 * @put_rcu: waits until each task has slept or left the kernel; used more than
 *           once, one after the other
 * @put_work: calls tce_kvm_put() again
 * @record_work: frees @record
 * @table_work: puts the window's reference to @tbl
 * @free_work: frees this after @tbl was freed
 * @flush_lock: held while tce_kvm_flush() or tce_kvm_trim() kill entries of
 *              records and release their pages: each waits for the other's
 * @elsewhere: number of records that are not the first one of their task's
 *             probe sequence
 */
struct tce_kvm {
	struct iommu_table_ops ops;
	void (*platform_free)(struct iommu_table *tbl);
	__be64 *(*platform_useraddrptr)(struct iommu_table *tbl, long index,
					bool alloc);
	struct tce_window __rcu *window;
	struct tce_kvm_record *record;
	unsigned long mask;
	struct iommu_table *tbl;
	unsigned int page_shift;
	unsigned int leaf_shift;
	unsigned int used;
	bool closed;
	bool refused;
	bool put;

	/* Not read by most hypercalls: a cache line apart. */
	struct rcu_head put_rcu ____cacheline_aligned_in_smp;
	struct work_struct put_work;
	struct rcu_work record_work;
	struct work_struct table_work;
	struct rcu_work free_work;
	struct mutex flush_lock; /* see above */
	atomic_t elsewhere;
};

static struct tce_kvm *tce_kvm_of(const struct iommu_table *tbl)
{
	return container_of(tbl->it_ops, struct tce_kvm, ops);
}

/*
 * Look up the window, which stays until rcu_read_unlock(). If the group was
 * added to a VM of another process than the one whose memory the window maps,
 * the table is empty for that VM.
 */
static struct tce_window *tce_kvm_window(struct tce_kvm *kvm)
{
	struct tce_window *window;

	/*
	 * Pairs with the xchg() in tce_kvm_disconnect(): either @window is NULL
	 * here, or tce_kvm_disconnect() sees @used and waits for this callback.
	 * The same holds for the cmpxchg() in tce_kvm_synchronize() and what
	 * was changed before it.
	 */
	if (!smp_load_acquire(&kvm->used))
		xchg(&kvm->used, 1);
	window = rcu_dereference(kvm->window);

	return window && window->pages->mm == current->mm ? window : NULL;
}

/* Records */

/*
 * A task_struct is larger than 4 KiB, so tasks that were allocated next to each
 * other begin at different records.
 */
static __always_inline struct tce_kvm_record *
tce_kvm_probe(const struct tce_kvm *kvm, const struct task_struct *task,
	      unsigned int i)
{
	return &kvm->record[(((unsigned long)task >> 12) + i) & kvm->mask];
}

static noinline struct tce_kvm_record *
tce_kvm_find_elsewhere(struct tce_kvm *kvm)
{
	struct tce_kvm_record *record;
	unsigned int i;

	for (i = 1; i < TCE_KVM_PROBES; i++) {
		record = tce_kvm_probe(kvm, current, i);
		if (READ_ONCE(record->task) == current)
			return record;
	}

	return NULL;
}

/*
 * Find the task's record. It may be freed, by tce_kvm_trim() or by a task that
 * needs a record, unless it is active or locked. The caller is in an RCU
 * read-side section.
 */
static __always_inline struct tce_kvm_record *
tce_kvm_find_record(struct tce_kvm *kvm)
{
	struct tce_kvm_record *record = tce_kvm_probe(kvm, current, 0);

	/*
	 * The memory of all records may have been freed. The window was
	 * disconnected before.
	 */
	if (unlikely(READ_ONCE(kvm->put)))
		return NULL;

	if (READ_ONCE(record->task) == current)
		return record;

	/*
	 * No barrier is needed: the task itself has counted its record in
	 * @elsewhere.
	 */
	return atomic_read(&kvm->elsewhere) ? tce_kvm_find_elsewhere(kvm) :
					      NULL;
}

/* Free a record that is not active. The caller holds its lock. */
static void tce_kvm_drop_record(struct tce_kvm *kvm,
				struct tce_kvm_record *record)
{
	lockdep_assert_held(&record->lock);

	if (record->range.leaves)
		tce_table_finish(&record->range);
	record->range.leaves = 0;
	if (record != tce_kvm_probe(kvm, record->task, 0))
		atomic_dec(&kvm->elsewhere);
	/* The entries that the task had cleared have been killed. */
	WRITE_ONCE(record->changed, false);
	WRITE_ONCE(record->task, NULL);
}

static bool tce_kvm_take_record(struct tce_kvm *kvm,
				struct tce_kvm_record *record)
{
	bool taken;

	spin_lock(&record->lock);
	if (record->task && !record->active && !record->changed)
		tce_kvm_drop_record(kvm, record);
	taken = !record->task;
	if (taken) {
		record->used = jiffies;
		/*
		 * Count the record before another task can free it, which
		 * lowers @elsewhere: if @elsewhere were too low, other tasks
		 * would not find their records.
		 */
		if (record != tce_kvm_probe(kvm, current, 0))
			atomic_inc(&kvm->elsewhere);
		WRITE_ONCE(record->task, current);
	}
	spin_unlock(&record->lock);

	return taken;
}

/*
 * Take a record for the current task, which has none. Return NULL if all
 * records of its probe sequence are in use.
 */
static noinline struct tce_kvm_record *
tce_kvm_new_record(struct tce_kvm *kvm, struct tce_window *window)
{
	unsigned int i;

	/* Try free records first, then those that can be freed. */
	for (i = 0; i < 2 * TCE_KVM_PROBES; i++) {
		unsigned int probe = i % TCE_KVM_PROBES;
		struct tce_kvm_record *record = tce_kvm_probe(kvm, current,
							      probe);

		if ((i < TCE_KVM_PROBES && READ_ONCE(record->task)) ||
		    !tce_kvm_take_record(kvm, record))
			continue;
		/*
		 * The work item calls tce_kvm_trim(), which frees the record
		 * when it is no longer used.
		 */
		tce_window_trim_soon(window);
		return record;
	}

	return NULL;
}

/* Entries that the task has cleared or replaced */

/**
 * struct tce_kvm_killed - entries that were killed and whose pages must be
 * released
 * @count: number of entries
 * @owner: their owners; all of a record, and one more (tce_kvm_displace())
 *
 * To release a page, the kernel searches a list of regions, whose length user
 * space chooses. So pages are released after the record is unlocked.
 */
struct tce_kvm_killed {
	unsigned int count;
	u64 owner[TCE_KVM_DISPLACED + 1];
};

/* The page was set dirty when the entry was cleared or replaced. */
static __always_inline void tce_kvm_release_one(struct tce_window *window,
						u64 owner)
{
	tce_memory_uncount(window->pages, owner, 1,
			   tce_window_page_shift(window));
}

static noinline void tce_kvm_release(struct tce_window *window,
				     const struct tce_kvm_killed *killed)
{
	unsigned int i;

	for (i = 0; i < killed->count; i++)
		tce_kvm_release_one(window, killed->owner[i]);
}

static noinline void tce_kvm_kill_runs(struct tce_window *window,
				       struct tce_kvm_record *record,
				       unsigned long index, unsigned long count,
				       struct tce_kvm_killed *killed)
{
	unsigned long first = 0, run = 0;
	unsigned int i;

	for (i = 0; i < record->displaced_count; i++) {
		unsigned long at = record->displaced[i].index;

		killed->owner[killed->count++] = record->displaced[i].owner;
		if (at - index < count)
			continue;

		if (run && at != first + run) {
			tce_kill(window, first, run);
			run = 0;
		}
		if (!run)
			first = at;
		run++;
	}
	if (run)
		tce_kill(window, first, run);
}

/*
 * Kill the entries of the record, except those in the range, which the caller
 * has killed, and move all of them to @killed.
 */
static __always_inline void
tce_kvm_kill_displaced(struct tce_window *window,
		       struct tce_kvm_record *record, unsigned long index,
		       unsigned long count, struct tce_kvm_killed *killed)
{
	unsigned int n = record->displaced_count;

	lockdep_assert_held(&record->lock);

	if (!n)
		return;

	if (n == 1 && record->displaced[0].index - index < count)
		killed->owner[killed->count++] = record->displaced[0].owner;
	else
		tce_kvm_kill_runs(window, record, index, count, killed);
	tce_table_killed(window->table, n);
	record->displaced_count = 0;
}

/* To be called once between locking the record and releasing @killed. */
static __always_inline void
tce_kvm_displace(struct tce_window *window, struct tce_kvm_record *record,
		 unsigned long index, const struct tce_entry *entry,
		 struct tce_kvm_killed *killed)
{
	struct tce_kvm_displaced *displaced;

	lockdep_assert_held(&record->lock);

	WRITE_ONCE(record->changed, true);
	if (!entry->tce)
		return;

	tce_memory_dirty(entry);
	if (record->displaced_count == TCE_KVM_DISPLACED)
		tce_kvm_kill_displaced(window, record, 0, 0, killed);
	displaced = &record->displaced[record->displaced_count++];
	displaced->index = index;
	displaced->owner = entry->owner;
}

/* Setting an entry. The caller holds the record's lock. */

/*
 * The pending entry could not be set: clear it instead. The leaf and its view
 * are held, so only a hypervisor can have refused it.
 */
static noinline void tce_kvm_clear_refused(struct tce_kvm *kvm,
					   struct tce_window *window,
					   struct tce_kvm_record *record,
					   struct tce_kvm_killed *killed)
{
	struct tce_entry entry = {};
	int ret;

	/*
	 * The old page must not stay mapped: the guest assumes that it was
	 * replaced.
	 */
	ret = tce_table_exchange(window->table, record->index, &entry, false);
	tce_observe_kvm(window, record->index, 0, ret);
	if (!ret)
		tce_kvm_displace(window, record, record->index, &entry, killed);
	WRITE_ONCE(kvm->refused, true);
	pr_warn_ratelimited("window %u at %#llx: the hypervisor refused an entry that KVM set for a guest; from now on user space sets the entries of this window\n",
			    tce_table_id(window->table), window->start);
}

/* Set the pending entry: KVM has stored the address. */
static __always_inline void
tce_kvm_commit(struct tce_kvm *kvm, struct tce_window *window,
	       struct tce_kvm_record *record, struct tce_kvm_killed *killed)
{
	/* The task itself has stored it, in KVM. */
	unsigned long ua = be64_to_cpu(record->ua);
	struct tce_entry entry = {
		.tce = record->tce,
		.owner = ua | TCE_OWNER_USER,
	};
	int ret;

	lockdep_assert_held(&record->lock);

	record->pending = false;
	/* The window was closed meanwhile: the page was never mapped. */
	if (!window || READ_ONCE(kvm->closed)) {
		tce_memory_uncount_user(current->mm, ua, kvm->page_shift);
		return;
	}

	ret = tce_table_exchange(window->table, record->index, &entry, false);
	tce_observe_kvm(window, record->index, record->tce, ret);
	if (likely(!ret)) {
		tce_kvm_displace(window, record, record->index, &entry, killed);
	} else {
		tce_kvm_clear_refused(kvm, window, record, killed);
		tce_memory_uncount_user(current->mm, ua, kvm->page_shift);
	}
}

/*
 * Hold the leaf of an entry, and its view, so that the entry can be set without
 * an allocation.
 */
static bool tce_kvm_hold(struct tce_kvm *kvm, struct tce_window *window,
			 struct tce_kvm_record *record, unsigned long index)
{
	struct tce_range *range = &record->range;

	/* Older kernels check only the first index of H_PUT_TCE_INDIRECT. */
	if (index >= window->platform.geo.entries)
		return false;

	if (range->leaves) {
		if (!((range->index ^ index) >> kvm->leaf_shift))
			return true;
		tce_table_finish(range);
	}

	range->index = index;
	range->end = index + 1;
	if (!tce_table_prepare(window->table, range, TCE_OWNER_EACH,
			       GFP_NOWAIT))
		return true;
	range->leaves = 0;

	return false;
}

/*
 * Parts of the callbacks that use the task's record. They fail if the record
 * was freed before they had locked it. tce_kvm_begin() also fails if the leaf
 * cannot be held.
 */

/* Begin to set an entry. */
static __always_inline bool
tce_kvm_begin(struct tce_kvm *kvm, struct tce_window *window,
	      struct tce_kvm_record *record, unsigned long index)
{
	struct tce_kvm_killed killed __uninitialized;
	bool ret;

	killed.count = 0;
	spin_lock(&record->lock);
	ret = record->task == current;
	if (ret && record->pending)
		tce_kvm_commit(kvm, window, record, &killed);
	ret = ret && tce_kvm_hold(kvm, window, record, index);
	if (ret) {
		record->index = index;
		WRITE_ONCE(record->active, true);
		record->used = jiffies;
	}
	spin_unlock(&record->lock);
	if (unlikely(killed.count))
		tce_kvm_release(window, &killed);

	return ret;
}

static noinline struct tce_kvm_record *
tce_kvm_begin_new(struct tce_kvm *kvm, struct tce_window *window,
		  unsigned long index)
{
	struct tce_kvm_record *record = tce_kvm_new_record(kvm, window);

	return record && tce_kvm_begin(kvm, window, record, index) ? record :
							      NULL;
}

/* Begin to set an entry, with the task's record or with a new record. */
static __always_inline struct tce_kvm_record *
tce_kvm_begin_record(struct tce_kvm *kvm, struct tce_window *window,
		     unsigned long index)
{
	struct tce_kvm_record *record = tce_kvm_find_record(kvm);

	if (record && likely(tce_kvm_begin(kvm, window, record, index)))
		return record;
	/* The task still has its record, so the leaf could not be held. */
	if (record && READ_ONCE(record->task) == current)
		return NULL;

	return tce_kvm_begin_new(kvm, window, index);
}

/* Record an entry that the task has cleared. */
static __always_inline bool
tce_kvm_record_clear(struct tce_window *window, struct tce_kvm_record *record,
		     unsigned long index, const struct tce_entry *entry)
{
	struct tce_kvm_killed killed __uninitialized;
	bool ret;

	killed.count = 0;
	spin_lock(&record->lock);
	ret = record->task == current;
	if (ret) {
		tce_kvm_displace(window, record, index, entry, &killed);
		record->used = jiffies;
	}
	spin_unlock(&record->lock);
	if (unlikely(killed.count))
		tce_kvm_release(window, &killed);

	return ret;
}

/*
 * Set the pending entry, and kill what the task has changed. Return whether the
 * entries of the range were killed.
 */
static __always_inline bool
tce_kvm_end(struct tce_kvm *kvm, struct tce_window *window,
	    struct tce_kvm_record *record, unsigned long index,
	    unsigned long pages)
{
	struct tce_kvm_killed killed __uninitialized;
	bool kill = false;

	/*
	 * Nothing is pending unless @active is set, and nothing displaced
	 * unless @changed is, which only the task sets. If the record was
	 * freed, which clears @changed, its entries have been killed:
	 * tce_table_killed() orders the kills before the store. If it has
	 * another owner, @task is compared under the lock.
	 */
	if (!READ_ONCE(record->active) && !READ_ONCE(record->changed))
		return false;

	killed.count = 0;
	spin_lock(&record->lock);
	if (record->task == current) {
		if (record->pending)
			tce_kvm_commit(kvm, window, record, &killed);
		WRITE_ONCE(record->active, false);
		kill = window && record->changed;
	}
	if (kill) {
		WRITE_ONCE(record->changed, false);
		tce_kill(window, index, pages);
		tce_kvm_kill_displaced(window, record, index, pages, &killed);
	}
	spin_unlock(&record->lock);
	/* KVM has usually cleared or replaced one entry since the last kill. */
	if (killed.count == 1)
		tce_kvm_release_one(window, killed.owner[0]);
	else if (killed.count)
		tce_kvm_release(window, &killed);

	return kill;
}

/* Operations */

static __be64 *tce_kvm_useraddrptr(struct iommu_table *tbl, long index,
				   bool alloc)
{
	struct tce_kvm *kvm = tce_kvm_of(tbl);
	struct tce_kvm_record *record = NULL;
	struct tce_window *window;

	/*
	 * KVM asks for the address of the page that was mapped before, to
	 * uncount it. Our xchg_no_kill() tells KVM that there was none, so this
	 * happens only if KVM has called the platform's xchg_no_kill() before
	 * tce_platform_set_ops() replaced the operations.
	 */
	if (!alloc)
		return kvm->platform_useraddrptr ?
		       kvm->platform_useraddrptr(tbl, index, false) : NULL;

	index -= tbl->it_offset;
	rcu_read_lock();
	window = tce_kvm_window(kvm);
	if (window && kvm->page_shift <= PAGE_SHIFT &&
	    !READ_ONCE(kvm->closed) && !READ_ONCE(kvm->refused))
		record = tce_kvm_begin_record(kvm, window, index);
	if (window && !record)
		tce_observe_kvm_up(window, index);
	rcu_read_unlock();

	return record ? &record->ua : NULL;
}

/*
 * Clear an entry, and record it for tce_kill(). If that is not possible, kill
 * it at once.
 */
static noinline int tce_kvm_clear(struct tce_kvm *kvm, unsigned long index)
{
	struct tce_kvm_record *record;
	struct tce_window *window;
	struct tce_entry entry = {};
	int ret = 0;

	rcu_read_lock();
	window = tce_kvm_window(kvm);
	/*
	 * Older kernels check only the first index of H_STUFF_TCE. Entries
	 * beyond the window are empty.
	 */
	if (!window || index >= window->platform.geo.entries)
		goto unlock;

	ret = tce_table_exchange(window->table, index, &entry, false);
	tce_observe_kvm(window, index, 0, ret);
	if (ret || !entry.tce)
		goto unlock;

	record = tce_kvm_find_record(kvm) ?: tce_kvm_new_record(kvm, window);
	if (!record || !tce_kvm_record_clear(window, record, index, &entry)) {
		tce_kill(window, index, 1);
		tce_table_killed(window->table, 1);
		tce_memory_dirty(&entry);
		tce_kvm_release_one(window, entry.owner);
	}
unlock:
	rcu_read_unlock();

	return ret;
}

/*
 * Record the new value of an entry. KVM has called useraddrptr() before, and
 * stores the user-space address afterwards; only then can the entry be set.
 */
static __always_inline void tce_kvm_set(struct tce_kvm *kvm,
					unsigned long index, u64 tce)
{
	struct tce_kvm_record *record;

	rcu_read_lock();
	record = tce_kvm_find_record(kvm);
	/*
	 * Without an active record, KVM has called the platform's
	 * useraddrptr(), before tce_platform_set_ops() replaced it.
	 */
	if (record && READ_ONCE(record->active) && record->index == index) {
		record->tce = tce;
		record->pending = true;
	}
	rcu_read_unlock();
}

static u64 tce_kvm_permissions(enum dma_data_direction direction)
{
	switch (direction) {
	case DMA_BIDIRECTIONAL:
		return TCE_PERM;
	case DMA_TO_DEVICE:
		return TCE_PCI_READ;
	case DMA_FROM_DEVICE:
		return TCE_PCI_WRITE;
	default:
		return 0;
	}
}

static int tce_kvm_xchg_no_kill(struct iommu_table *tbl, long index,
				unsigned long *hpa,
				enum dma_data_direction *direction)
{
	struct tce_kvm *kvm = tce_kvm_of(tbl);
	u64 tce;
	int ret;

	/*
	 * A guest can change a list of TCEs after KVM has checked it. So the
	 * address may have low bits set: clear them. The IOMMU page that
	 * contains the address is in the same kernel page. Both permissions may
	 * be missing: the entry is set in this case, too.
	 */
	tce = (*hpa & ~(BIT_ULL(kvm->page_shift) - 1)) |
	      tce_kvm_permissions(*direction);
	index -= tbl->it_offset;
	if (tce) {
		tce_kvm_set(kvm, index, tce);
	} else {
		ret = tce_kvm_clear(kvm, index);
		if (ret)
			return ret;
	}
	*hpa = 0;
	*direction = DMA_NONE;

	return 0;
}

static void tce_kvm_tce_kill(struct iommu_table *tbl, unsigned long index,
			     unsigned long pages)
{
	struct tce_kvm *kvm = tce_kvm_of(tbl);
	struct tce_window *window;
	struct tce_kvm_record *record;
	unsigned long entries;

	index -= tbl->it_offset;
	rcu_read_lock();
	window = tce_kvm_window(kvm);
	/* KVM may name entries beyond the window. */
	entries = window ? window->platform.geo.entries : 0;
	pages = index < entries ? min(pages, entries - index) : 0;
	/*
	 * A task without a record has no entries to kill: tce_kvm_clear() has
	 * killed the entries that it could not record, and tce_kvm_trim() those
	 * of a record that it has freed. But another task may have cleared
	 * entries that this one has found empty, and not yet killed them.
	 */
	record = tce_kvm_find_record(kvm);
	if (!(record && tce_kvm_end(kvm, window, record, index, pages)) &&
	    window && tce_table_unkilled(window->table))
		tce_kill(window, index, pages);
	rcu_read_unlock();
}

/*
 * Callbacks for version 1, in which KVM can neither pin nor unpin pages.
 * To map, useraddrptr() returns NULL; to unmap, it returns an address that KVM
 * cannot uncount. So KVM passes both up to user space. xchg_no_kill() changes
 * nothing, it only reports the entry, so it does not matter that KVM calls it
 * again to restore the entry.
 */

static int tce_kvm_xchg_pinned(struct iommu_table *tbl, long index,
			       unsigned long *hpa,
			       enum dma_data_direction *direction)
{
	struct tce_window *window;
	u64 tce = 0;

	rcu_read_lock();
	window = tce_kvm_window(tce_kvm_of(tbl));
	if (window)
		tce = tce_table_get(window->table, index - tbl->it_offset);
	rcu_read_unlock();

	/*
	 * No reference keeps the page pinned, so iommu_tce_xchg_no_kill() must
	 * not set it dirty: the direction is never one in which a device
	 * writes.
	 */
	*hpa = tce & ~TCE_PERM;
	*direction = tce ? DMA_TO_DEVICE : DMA_NONE;

	return 0;
}

static __be64 *tce_kvm_useraddrptr_pinned(struct iommu_table *tbl, long index,
					  bool alloc)
{
	/*
	 * An address that is in no address space, so KVM finds no region for
	 * it.
	 */
	static __be64 nowhere = cpu_to_be64(BIT_ULL(63));

	return alloc ? NULL : &nowhere;
}

/* Lifetime */

/*
 * Without CONFIG_TASKS_RCU call_rcu_tasks() is call_rcu(), which does not wait
 * for preempted tasks; nor, with CONFIG_PREEMPT_COUNT, for tasks that run
 * outside of a read-side section (docs/KERNELS.md).
 */
static_assert(!IS_ENABLED(CONFIG_PREEMPTION) || IS_ENABLED(CONFIG_TASKS_RCU));

static void tce_kvm_free_work(struct work_struct *work)
{
	struct tce_kvm *kvm = container_of(to_rcu_work(work), struct tce_kvm,
					   free_work);

	kfree(kvm);
	module_put(THIS_MODULE);
}

/*
 * The last reference to the iommu_table was put; iommu_tce_table_put() frees it
 * when this returns. Context: atomic, as KVM puts references in RCU callbacks.
 */
static void tce_kvm_free(struct iommu_table *tbl)
{
	struct tce_kvm *kvm = tce_kvm_of(tbl);

	if (kvm->platform_free)
		kvm->platform_free(tbl);

	/* A callback may still use the state in its RCU read-side section. */
	queue_rcu_work(tce_wq, &kvm->free_work);
}

static void tce_kvm_table_work(struct work_struct *work)
{
	struct tce_kvm *kvm = container_of(work, struct tce_kvm, table_work);

	iommu_tce_table_put(kvm->tbl);
}

static void tce_kvm_put_table(struct rcu_head *rcu)
{
	struct tce_kvm *kvm = container_of(rcu, struct tce_kvm, put_rcu);

	queue_work(tce_wq, &kvm->table_work);
}

/*
 * When KVM attaches a group, it reads the group's iommu_table and then gets a
 * reference, with no lock held but its own and outside an RCU read-side
 * section. It does not sleep in between, but it may be preempted. The group has
 * lost the table: once each task has slept or left the kernel, KVM either has
 * its reference or does not find the table.
 *
 * A work item must not wait for this: user space can prolong it, and any number
 * of windows may wait.
 */
static void tce_kvm_record_work(struct work_struct *work)
{
	struct tce_kvm *kvm = container_of(to_rcu_work(work), struct tce_kvm,
					   record_work);

	kvfree(kvm->record);
	call_rcu_tasks(&kvm->put_rcu, tce_kvm_put_table);
}

/*
 * KVM stores to no record any more. But callbacks may still look for the record
 * of their task: free the records after those that have begun.
 */
static void tce_kvm_put_records(struct tce_kvm *kvm)
{
	WRITE_ONCE(kvm->put, true);
	queue_rcu_work(tce_wq, &kvm->record_work);
}

/* Whether KVM may still store to a record. */
static bool tce_kvm_is_active(struct tce_kvm *kvm)
{
	bool active = false;
	unsigned int i;

	for (i = 0; i <= kvm->mask; i++) {
		struct tce_kvm_record *record = &kvm->record[i];

		if (!READ_ONCE(record->task))
			continue;

		/* KVM's store comes before tce_kvm_end(). */
		spin_lock(&record->lock);
		active |= record->active;
		spin_unlock(&record->lock);
	}

	return active;
}

/*
 * Each task has slept or left the kernel since a record was found active, and
 * KVM does not sleep between useraddrptr() and tce_kill(): none is active now.
 * But if the kernel has CONFIG_PREEMPT_COUNT and not CONFIG_TASKS_RCU, a
 * hypercall may still run, so look again.
 */
static void tce_kvm_put_work(struct work_struct *work)
{
	tce_kvm_put(container_of(work, struct tce_kvm, put_work));
}

/* tce_kvm_is_active() takes locks that softirqs must not take. */
static void tce_kvm_put_active(struct rcu_head *rcu)
{
	struct tce_kvm *kvm = container_of(rcu, struct tce_kvm, put_rcu);

	queue_work(tce_wq, &kvm->put_work);
}

struct tce_kvm *tce_kvm_create(void)
{
	unsigned long cpus = roundup_pow_of_two(max(4, num_possible_cpus()));
	unsigned long i, records = 4 * cpus;
	struct tce_kvm *kvm;

	kvm = kzalloc(sizeof(*kvm), TCE_GFP);
	if (!kvm)
		return NULL;

	kvm->record = kvcalloc(records, sizeof(*kvm->record), TCE_GFP);
	if (!kvm->record) {
		kfree(kvm);
		return NULL;
	}

	for (i = 0; i < records; i++)
		spin_lock_init(&kvm->record[i].lock);
	kvm->mask = records - 1;
	mutex_init(&kvm->flush_lock);
	INIT_WORK(&kvm->put_work, tce_kvm_put_work);
	INIT_RCU_WORK(&kvm->record_work, tce_kvm_record_work);
	INIT_WORK(&kvm->table_work, tce_kvm_table_work);
	INIT_RCU_WORK(&kvm->free_work, tce_kvm_free_work);

	return kvm;
}

void tce_kvm_destroy(struct tce_kvm *kvm)
{
	kvfree(kvm->record);
	kfree(kvm);
}

void tce_kvm_set_ops(struct tce_kvm *kvm, struct tce_platform *platform,
		     bool pinned)
{
	struct iommu_table_ops *ops = &kvm->ops;

	/* A table that the platform created keeps its other operations. */
	if (platform->backed) {
		*ops = *platform->ops;
		kvm->platform_free = ops->free;
		kvm->platform_useraddrptr = ops->useraddrptr;
	}

	ops->xchg_no_kill = pinned ? tce_kvm_xchg_pinned : tce_kvm_xchg_no_kill;
	ops->useraddrptr = pinned ? tce_kvm_useraddrptr_pinned :
				    tce_kvm_useraddrptr;
	ops->tce_kill = tce_kvm_tce_kill;
	ops->free = tce_kvm_free;
	kvm->page_shift = platform->geo.page_shift;
	kvm->leaf_shift = platform->geo.level_shift;
	kvm->tbl = platform->tbl;
	/* KVM may hold the table after the VFIO core has put the module. */
	__module_get(THIS_MODULE);
	tce_platform_set_ops(platform, ops);
}

void tce_kvm_connect(struct tce_kvm *kvm, struct tce_window *window)
{
	rcu_assign_pointer(kvm->window, window);
}

void tce_kvm_put(struct tce_kvm *kvm)
{
	/* Without a window no record becomes active. */
	if (tce_kvm_is_active(kvm))
		call_rcu_tasks(&kvm->put_rcu, tce_kvm_put_active);
	else
		tce_kvm_put_records(kvm);
}

void tce_kvm_synchronize(struct tce_kvm *kvm)
{
	/*
	 * KVM has never used most windows. Do not set @used here: each later
	 * call would wait, even for a window that KVM never uses.
	 */
	if (cmpxchg(&kvm->used, 0, 0))
		synchronize_rcu();
}

void tce_kvm_close(struct tce_kvm *kvm)
{
	WRITE_ONCE(kvm->closed, true);
	/* Wait for callbacks that have not seen kvm->closed. */
	tce_kvm_synchronize(kvm);
}

void tce_kvm_disconnect(struct tce_kvm *kvm)
{
	RCU_INIT_POINTER(kvm->window, NULL);
	/*
	 * Wait for callbacks that have found the window; later ones do not find
	 * it.
	 */
	if (xchg(&kvm->used, 1))
		synchronize_rcu();
}

void tce_kvm_flush(struct tce_kvm *kvm, struct tce_window *window)
{
	struct tce_kvm_killed killed __uninitialized;
	unsigned int i;

	/*
	 * Only a callback that has looked up the window takes a record. One
	 * that tce_kvm_synchronize() has waited for is seen.
	 */
	if (!READ_ONCE(kvm->used))
		return;

	mutex_lock(&kvm->flush_lock);
	for (i = 0; i <= kvm->mask; i++) {
		struct tce_kvm_record *record = &kvm->record[i];

		if (!READ_ONCE(record->task))
			continue;

		killed.count = 0;
		spin_lock(&record->lock);
		tce_kvm_kill_displaced(window, record, 0, 0, &killed);
		spin_unlock(&record->lock);
		tce_kvm_release(window, &killed);
		cond_resched();
	}
	mutex_unlock(&kvm->flush_lock);
}

bool tce_kvm_trim(struct tce_kvm *kvm, struct tce_window *window,
		  unsigned long age)
{
	struct tce_kvm_killed killed __uninitialized;
	bool left = false;
	unsigned int i;

	mutex_lock(&kvm->flush_lock);
	for (i = 0; i <= kvm->mask; i++) {
		struct tce_kvm_record *record = &kvm->record[i];

		if (!READ_ONCE(record->task))
			continue;

		killed.count = 0;
		spin_lock(&record->lock);
		if (record->task && !record->active &&
		    time_after_eq(jiffies, record->used + age)) {
			tce_kvm_kill_displaced(window, record, 0, 0, &killed);
			tce_kvm_drop_record(kvm, record);
		}
		left |= !!record->task;
		spin_unlock(&record->lock);
		tce_kvm_release(window, &killed);
		cond_resched();
	}
	mutex_unlock(&kvm->flush_lock);

	return left;
}
