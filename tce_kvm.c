// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's side of a window. Contract: tce_kvm.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include <asm/hvcall.h>
#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_kill.h"
#include "tce_kvm.h"
#include "tce_memory.h"
#include "tce_observe.h"
#include "tce_platform.h"
#include "tce_table.h"
#include "tce_window_private.h"
#include "tce_work.h"

/* Places that a task may have, from the one that its address is hashed to. */
#define TCE_KVM_PROBES		8

/**
 * struct tce_kvm_call - a call of KVM's that sets an entry
 * @ua: KVM stores the user-space address here, big-endian
 * @index: the entry
 * @range: the entry's, if @prepared
 * @tce: what was set, if @set
 * @prepared: the leaf and its view are held
 * @set: the entry was set, with the call as its owner
 */
struct tce_kvm_call {
	__be64 ua;
	unsigned long index;
	u64 tce;
	bool prepared;
	bool set;
	struct tce_range range;
} ____cacheline_aligned;

/**
 * struct tce_kvm - what KVM has of a window
 * @ops: the iommu_table's operations; lead from there to here
 * @platform_free: the platform's, if the iommu_table is its
 * @platform_useraddrptr: the same
 * @window: the window; NULL from tce_kvm_disconnect() on
 * @closed: nothing is set any more
 * @used: a callback has looked for @window, or never will find it
 * @page_shift: IOMMU page size, as a shift
 * @free_work: frees this once the iommu_table has gone
 * @bits: number of @task and @call, as a shift
 * @displaced: calls that are not at their task's first place, number
 * @call: calls that have not come to their end
 * @task: their tasks, NULL where there is none. Only a task itself changes its entry
 */
struct tce_kvm {
	struct iommu_table_ops ops;
	void (*platform_free)(struct iommu_table *tbl);
	__be64 *(*platform_useraddrptr)(struct iommu_table *tbl, long index,
					bool alloc);
	struct tce_window __rcu *window;
	bool closed;
	unsigned int used;
	unsigned int page_shift;
	struct rcu_work free_work;
	unsigned int bits;
	atomic_t displaced;
	struct tce_kvm_call *call;
	struct task_struct *task[];
};

static struct tce_kvm *tce_kvm_of(const struct iommu_table *tbl)
{
	return container_of(tbl->it_ops, struct tce_kvm, ops);
}

/*
 * The window, until rcu_read_unlock(). To the KVM of another process than that which
 * has mapped there, to which the group was passed, the table is an empty one.
 */
static struct tce_window *tce_kvm_window(struct tce_kvm *kvm)
{
	struct tce_window *window;

	/*
	 * Pairs with the xchg() in tce_kvm_disconnect(): one of the two comes first, and
	 * either @window is NULL here, or there is a callback to wait for there. The same
	 * for @closed and the cmpxchg() in tce_kvm_close().
	 */
	if (!smp_load_acquire(&kvm->used))
		xchg(&kvm->used, 1);
	window = rcu_dereference(kvm->window);

	return window && window->pages->mm == current->mm ? window : NULL;
}

/* Calls */

/* Not at its task's first place, which another task had. */
static noinline struct tce_kvm_call *
tce_kvm_find_displaced(struct tce_kvm *kvm, unsigned long at)
{
	unsigned long mask = BIT(kvm->bits) - 1;
	unsigned int i;

	for (i = 1; i < TCE_KVM_PROBES; i++)
		if (READ_ONCE(kvm->task[(at + i) & mask]) == current)
			return &kvm->call[(at + i) & mask];

	return NULL;
}

static __always_inline struct tce_kvm_call *tce_kvm_find_call(struct tce_kvm *kvm)
{
	unsigned long at = hash_ptr(current, kvm->bits);

	if (READ_ONCE(kvm->task[at]) == current)
		return &kvm->call[at];

	/* A task that has one has counted it itself. */
	return atomic_read(&kvm->displaced) ? tce_kvm_find_displaced(kvm, at) : NULL;
}

static struct tce_kvm_call *tce_kvm_new_call(struct tce_kvm *kvm)
{
	unsigned long mask = BIT(kvm->bits) - 1, at = hash_ptr(current, kvm->bits);
	unsigned int i;

	for (i = 0; i < TCE_KVM_PROBES; i++, at++) {
		if (READ_ONCE(kvm->task[at & mask]) ||
		    cmpxchg(&kvm->task[at & mask], NULL, current))
			continue;
		if (i)
			atomic_inc(&kvm->displaced);
		return &kvm->call[at & mask];
	}

	return NULL;
}

static u64 tce_kvm_owner(const struct tce_kvm *kvm,
			 const struct tce_kvm_call *call)
{
	return ((call - kvm->call) << 2) | 1;
}

/* The address has been stored, if the entry was set. Any task's own call, in RCU. */
static void tce_kvm_complete(struct tce_kvm *kvm, struct tce_window *window,
			     struct tce_kvm_call *call)
{
	unsigned long ua = be64_to_cpu(READ_ONCE(call->ua));
	bool lost = call->set;

	if (window && call->prepared && call->set)
		lost = !tce_table_set_owner(&call->range, tce_kvm_owner(kvm, call),
					    ua | TCE_OWNER_USER);
	else if (window && call->prepared)
		tce_table_finish(&call->range);
	/* Without a window no device translates through the table any more. */
	if (lost && window)
		tce_kill(window, call->index, 1);
	if (lost)
		tce_memory_uncount_user(current->mm, ua, call->tce,
					kvm->page_shift);
	call->prepared = false;
	call->set = false;
}

static void tce_kvm_end_call(struct tce_kvm *kvm, struct tce_kvm_call *call)
{
	unsigned long at = call - kvm->call;

	if (at != hash_ptr(current, kvm->bits))
		atomic_dec(&kvm->displaced);
	/* Pairs with the cmpxchg() of the next task that takes it. */
	smp_store_release(&kvm->task[at], NULL);
}

/* Operations */

static __be64 *tce_kvm_useraddrptr(struct iommu_table *tbl, long index,
				   bool alloc)
{
	struct tce_kvm *kvm = tce_kvm_of(tbl);
	struct tce_kvm_call *call;
	struct tce_window *window;
	__be64 *place = NULL;

	/* After an exchange by the platform's operation: see tce_platform_set_ops(). */
	if (!alloc)
		return kvm->platform_useraddrptr ?
		       kvm->platform_useraddrptr(tbl, index, false) : NULL;

	rcu_read_lock();
	window = tce_kvm_window(kvm);
	if (!window || kvm->page_shift > PAGE_SHIFT || READ_ONCE(kvm->closed))
		goto unlock;

	call = tce_kvm_find_call(kvm);
	if (call)
		tce_kvm_complete(kvm, window, call);
	else
		call = tce_kvm_new_call(kvm);
	if (!call)
		goto unlock;

	call->index = index - tbl->it_offset;
	call->range.index = call->index;
	call->range.end = call->index + 1;
	if (!tce_table_prepare(window->table, &call->range, TCE_OWNER_EACH,
			       GFP_NOWAIT)) {
		call->prepared = true;
		place = &call->ua;
	} else {
		tce_kvm_end_call(kvm, call);
	}
unlock:
	if (window && !place)
		tce_observe_kvm_up(window, index - tbl->it_offset);
	rcu_read_unlock();

	return place;
}

/* Puts @entry into the table, and what was there into the window's books. */
static int tce_kvm_exchange(struct tce_window *window, unsigned long index,
			    struct tce_entry *entry)
{
	int ret;

	/* KVM checks the first entry of H_STUFF_TCE only; there is nothing beyond. */
	if (!entry->tce && index >= window->platform.geo.entries)
		return 0;

	ret = tce_table_exchange(window->table, index, entry, false);
	if (ret || !entry->tce)
		return ret;

	if (!tce_memory_in_call(entry->owner)) {
		tce_memory_dirty(entry);
		tce_kill_defer(window, index, entry->owner);
	}

	return 0;
}

static int tce_kvm_xchg_no_kill(struct iommu_table *tbl, long index,
				unsigned long *hpa,
				enum dma_data_direction *direction)
{
	struct tce_kvm *kvm = tce_kvm_of(tbl);
	struct tce_kvm_call *call = NULL;
	struct tce_window *window;
	struct tce_entry entry;
	int ret = 0;
	u64 tce;

	/*
	 * A guest can change a list of TCEs after KVM has checked it, so the address may
	 * have low bits. The IOMMU page around it lies in the same page of memory.
	 */
	tce = (*hpa & ~(BIT_ULL(kvm->page_shift) - 1)) |
	      iommu_direction_to_tce_perm(*direction);
	entry.tce = tce;

	rcu_read_lock();
	window = tce_kvm_window(kvm);
	index -= tbl->it_offset;
	if (tce) {
		call = tce_kvm_find_call(kvm);
		/* Its first half was done by the platform's operation. */
		if (!call || call->index != index)
			goto unlock;
		entry.owner = tce_kvm_owner(kvm, call);
	}

	/* The page of a call that comes too late is un-counted when it ends. */
	if (window && !(call && READ_ONCE(kvm->closed)))
		ret = tce_kvm_exchange(window, index, &entry);
	if (window)
		tce_observe_kvm(window, index, tce, ret);
	if (!ret && call) {
		call->tce = tce;
		call->set = true;
	}
unlock:
	rcu_read_unlock();

	if (!ret) {
		*hpa = 0;
		*direction = DMA_NONE;
	}

	return ret;
}

static void tce_kvm_tce_kill(struct iommu_table *tbl, unsigned long index,
			     unsigned long pages)
{
	struct tce_kvm *kvm = tce_kvm_of(tbl);
	struct tce_kvm_call *call;
	struct tce_window *window;
	unsigned long entries;

	rcu_read_lock();
	window = tce_kvm_window(kvm);
	call = tce_kvm_find_call(kvm);
	if (call) {
		tce_kvm_complete(kvm, window, call);
		tce_kvm_end_call(kvm, call);
	}

	index -= tbl->it_offset;
	entries = window ? window->platform.geo.entries : 0;
	if (index < entries)
		tce_kill(window, index, min(pages, entries - index));
	rcu_read_unlock();
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
	struct tce_window *window;
	u64 tce = 0;

	rcu_read_lock();
	window = tce_kvm_window(tce_kvm_of(tbl));
	if (window)
		tce = tce_table_get(window->table, index - tbl->it_offset);
	rcu_read_unlock();

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

/* Life */

static void tce_kvm_free_work(struct work_struct *work)
{
	struct tce_kvm *kvm = container_of(to_rcu_work(work), struct tce_kvm,
					   free_work);

	/* A preempted call may still store to its place, although KVM is through. */
	if (!memchr_inv(kvm->task, 0, sizeof(kvm->task[0]) << kvm->bits)) {
		kfree(kvm->call);
		kfree(kvm);
	}
	module_put(THIS_MODULE);
}

/*
 * The last reference of the iommu_table has gone, which the core frees when this
 * returns. May be in atomic context: KVM drops references in RCU callbacks.
 */
static void tce_kvm_free(struct iommu_table *tbl)
{
	struct tce_kvm *kvm = tce_kvm_of(tbl);

	if (kvm->platform_free)
		kvm->platform_free(tbl);

	/* A callback that has been preempted may still be inside. */
	queue_rcu_work(tce_wq, &kvm->free_work);
}

static void tce_kvm_set_ops(struct tce_kvm *kvm,
			    const struct tce_platform *platform, bool pinned)
{
	struct iommu_table_ops *ops = &kvm->ops;

	/* On a table of the platform's the rest is the platform's. */
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
}

struct tce_kvm *tce_kvm_create(struct tce_window *window,
			       struct tce_platform *platform, bool pinned)
{
	unsigned int bits = max(4, ilog2(num_possible_cpus()) + 2);
	struct tce_kvm *kvm;

	kvm = kzalloc(struct_size(kvm, task, BIT(bits)),
		      TCE_GFP);
	if (!kvm)
		return ERR_PTR(-ENOMEM);

	kvm->call = kcalloc(BIT(bits), sizeof(*kvm->call),
			    TCE_GFP);
	if (!kvm->call) {
		kfree(kvm);
		return ERR_PTR(-ENOMEM);
	}

	kvm->bits = bits;
	kvm->page_shift = tce_window_page_shift(window);
	INIT_RCU_WORK(&kvm->free_work, tce_kvm_free_work);
	RCU_INIT_POINTER(kvm->window, window);
	tce_kvm_set_ops(kvm, platform, pinned);
	/* KVM may have the table for longer than the VFIO core has the module. */
	__module_get(THIS_MODULE);
	tce_platform_set_ops(platform, &kvm->ops);

	return kvm;
}

void tce_kvm_close(struct tce_kvm *kvm)
{
	WRITE_ONCE(kvm->closed, true);
	/*
	 * Waits for callbacks that have not seen it. Most windows are never used by KVM.
	 * Others will come that find the window, so it does not become @used here.
	 */
	if (cmpxchg(&kvm->used, 0, 0))
		synchronize_rcu();
}

void tce_kvm_disconnect(struct tce_kvm *kvm)
{
	RCU_INIT_POINTER(kvm->window, NULL);
	/* The same, but none that comes will find the window. */
	if (xchg(&kvm->used, 1))
		synchronize_rcu();
}
