// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO backend for the sPAPR TCE IOMMU of POWER. This file has the container:
 * VFIO operations, arguments, policy. The interface is described in
 * include/uapi/linux/vfio.h and in "PPC64 sPAPR implementation note" of
 * Documentation/driver-api/vfio.rst.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/cache.h>
#include <linux/err.h>
#include <linux/hashtable.h>
#include <linux/iommu.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/workqueue.h>

#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_charge.h"
#include "tce_debugfs.h"
#include "tce_eeh.h"
#include "tce_kvm.h"
#include "tce_memory.h"
#include "tce_pages.h"
#include "tce_platform.h"
#include "tce_refuse.h"
#include "tce_v1_pages.h"
#include "tce_version.h"
#include "tce_window.h"
#include "tce_work.h"
#include "vfio_iommu_driver.h"

/**
 * DOC: Locking
 *
 * container->lock is held for writing to change the container: to attach and
 * detach groups, to create and remove windows, to register and unregister
 * memory, to enable and disable version 1, and to set the address space.
 * MAP_DMA and UNMAP_DMA hold it for reading (for writing only to create the
 * default window), so they run in parallel with each other, and the container
 * does not change meanwhile. docs/DESIGN.md has the lock order.
 *
 * A command makes all its decisions under container->lock. If it needs
 * something that it cannot get with the lock held (the lock for writing, pinned
 * pages, charged memory), it returns -EAGAIN, or -ENOMEM if there is no credit
 * or no memory for a level: a level is allocated without waiting for memory,
 * because the limits of its cgroup can prolong that. tce_call_retry() then gets
 * what the command needs, without the lock, and starts it over. If the command
 * has already set the address space or created the default window, that stays
 * and is not repeated. UNREGISTER_MEMORY is completed by
 * tce_call_end_unregister(); it starts over, once, if pages are still counted,
 * perhaps by callbacks of KVM that are about to end. So no command holds the
 * lock while it waits for something that user space can prolong, such as a page
 * fault, the mmap_lock, or memory of a cgroup, apart from what SECURITY.md
 * lists (on pSeries a new window may wait for calls of KVM that have begun,
 * Linux 6.12 stops a task that has used up its cgroup's CPU time wherever it
 * is, and the platform of some kernels creates files in debugfs). Arguments are
 * copied from user space before the lock is taken, and results to user space
 * after it was dropped. Therefore a process that is stuck in a command does not
 * keep another one from closing the container or its group.
 *
 * The VFIO core calls ioctl() with no lock held, even while another thread
 * removes the last group and release() runs. So the core is given a cookie, a
 * number, instead of a pointer. A command looks up the container by its cookie
 * and takes a reference; once it has the lock it checks whether the container
 * was released meanwhile.
 */

/* IOMMU page size of the default window. */
#define TCE_DEFAULT_PAGE_SHIFT	IOMMU_PAGE_SHIFT_4K

/* Number of levels that is requested for it, which is a hint. */
#define TCE_DEFAULT_LEVELS	1

/*
 * Number of times that a command starts over because there was no memory or
 * credit: maximum, and number after which it no longer counts on levels that it
 * has linked, nor gives back what it was charged.
 */
#define TCE_RETRIES_MAX		1024
#define TCE_RETRIES_FEW		16

/*
 * Number of times that a command trims, or goes on with a trim that has ended
 * early. Without a limit, other threads whose levels become unused meanwhile
 * could keep it busy for ever.
 */
#define TCE_TRIMS_MAX		1024

static bool charge_allocated;
module_param(charge_allocated, bool, 0644);
MODULE_PARM_DESC(charge_allocated,
		 "Charge only allocated levels to locked_vm, not the whole table (for new windows; default: N)");

/**
 * struct tce_group - a group in a container
 * @node: in &tce_container.groups
 * @iommu_group: the group
 * @table_group: the platform's data of the group
 * @number: number of groups that were attached to the container before
 * @lost: for each of &tce_container.windows: tce_note_lost_windows() has found
 *        that the platform has taken it out of the group, after it had marked
 *        all windows
 */
struct tce_group {
	struct list_head node;
	struct iommu_group *iommu_group;
	struct iommu_table_group *table_group;
	u64 number;
	bool lost[IOMMU_TABLE_GROUP_MAX_TABLES];
};

/**
 * struct tce_container - a container
 * @node: in tce_containers
 * @number: the cookie that the VFIO core is given; never reused
 * @released: the VFIO core has called release()
 * @version: version of the interface, 1 or 2
 * @pages: user memory that can be mapped; NULL until the first command that
 *         sets the address space
 * @memory: version 2: the registered memory that @pages is part of
 * @enabled: version 1: VFIO_IOMMU_ENABLE was called. Version 2: memory has been
 *           registered
 * @default_pending: the default window will be created when it is first needed
 * @groups: the groups
 * @windows: the windows by number
 * @created: for each of @windows, the number of windows that were created
 *           before it
 * @next_created: number of windows that were created so far
 * @next_group: number of groups that were attached so far
 * @ref: one for the VFIO core, until release(), and one for each operation that
 *       uses the container
 * @lock: see DOC: Locking
 * @free_work: frees the container
 */
struct tce_container {
	struct hlist_node node;
	unsigned long number;
	bool released;
	unsigned int version;
	struct tce_pages *pages;
	struct tce_memory *memory;
	bool enabled;
	bool default_pending;
	struct list_head groups;
	struct tce_window *windows[IOMMU_TABLE_GROUP_MAX_TABLES];
	u64 created[IOMMU_TABLE_GROUP_MAX_TABLES];
	u64 next_created;
	u64 next_group;

	/*
	 * Written by each command; a cache line apart from the members that are
	 * only read by most, and by those that look up another container.
	 */
	struct kref ref ____cacheline_aligned_in_smp;
	struct rw_semaphore lock; /* see DOC: Locking */
	struct rcu_work free_work;
};

/* Containers by cookie. Changed under the lock, looked up under RCU. */
static DEFINE_HASHTABLE(tce_containers, 6);
static DEFINE_SPINLOCK(tce_containers_lock);

static void *tce_container_publish(struct tce_container *container)
{
	static unsigned long last;

	spin_lock(&tce_containers_lock);
	container->number = ++last;
	hash_add_rcu(tce_containers, &container->node, container->number);
	spin_unlock(&tce_containers_lock);

	return (void *)container->number;
}

static void tce_container_withdraw(struct tce_container *container)
{
	spin_lock(&tce_containers_lock);
	hash_del_rcu(&container->node);
	spin_unlock(&tce_containers_lock);
}

/*
 * Return NULL if no container has this number. The container that is returned
 * may be released at any time: its lock protects @released.
 */
static __always_inline struct tce_container *tce_container_get(void *iommu_data)
{
	unsigned long number = (unsigned long)iommu_data;
	struct tce_container *container;

	rcu_read_lock();
	hash_for_each_possible_rcu(tce_containers, container, node, number)
		if (container->number == number)
			break;
	if (container && !kref_get_unless_zero(&container->ref))
		container = NULL;
	rcu_read_unlock();

	return container;
}

static void tce_container_free_work(struct work_struct *work)
{
	struct tce_container *container = container_of(to_rcu_work(work),
						       struct tce_container,
						       free_work);

	if (container->pages)
		tce_pages_put(container->pages);
	kfree(container);
	module_put(THIS_MODULE);
}

static void tce_container_free(struct kref *ref)
{
	struct tce_container *container =
		container_of(ref, struct tce_container, ref);

	/*
	 * tce_container_get() may still access the container under RCU, so free
	 * it after a grace period. A work item does this, as tce_pages_put()
	 * may sleep.
	 */
	queue_rcu_work(tce_wq, &container->free_work);
}

static void tce_container_put(struct tce_container *container)
{
	kref_put(&container->ref, tce_container_free);
}

static int tce_container_lock(struct tce_container *container, bool write)
{
	/*
	 * Most commands find the lock free. The killable functions offer to
	 * reschedule first, which costs more than taking the lock.
	 */
	if (write) {
		might_lock(&container->lock);
		return down_write_trylock(&container->lock) ? 0 :
		       down_write_killable(&container->lock);
	}

	might_lock_read(&container->lock);
	return down_read_trylock(&container->lock) ? 0 :
	       down_read_killable(&container->lock);
}

static void tce_container_unlock(struct tce_container *container, bool write)
{
	if (write)
		up_write(&container->lock);
	else
		up_read(&container->lock);
}

/* Commands */

/**
 * enum tce_need - what a command needs and cannot get or do with the lock held
 * @TCE_NEED_NOTHING: nothing
 * @TCE_NEED_WRITE: take the lock for writing
 * @TCE_NEED_KVM: allocate &tce_call.kvm
 * @TCE_NEED_CHARGE: charge &tce_call.missing more kernel pages
 * @TCE_NEED_PIN: pin &tce_call.run
 * @TCE_NEED_REGION: allocate and pin &tce_call.region
 * @TCE_NEED_PUT: put &tce_call.region; this completes the command, unless pages
 *                are still counted and it was not retried
 * @TCE_NEED_RETRY: start over, with &tce_call.retried
 * @TCE_NEED_EEH: perform the EEH operation on &tce_call.pe
 */
enum tce_need {
	TCE_NEED_NOTHING,
	TCE_NEED_WRITE,
	TCE_NEED_KVM,
	TCE_NEED_CHARGE,
	TCE_NEED_PIN,
	TCE_NEED_REGION,
	TCE_NEED_PUT,
	TCE_NEED_RETRY,
	TCE_NEED_EEH,
};

/* All VFIO arguments begin like this. */
struct tce_args {
	__u32 argsz;
	__u32 flags;
};

/**
 * struct tce_retry - further attempts of a command, see tce_call_retry()
 * @retries: number of times that the command has started over because there was
 *           no memory or credit
 * @trims: number of trims, at most TCE_TRIMS_MAX
 * @refill: half of what the next refill of the credit asks for, in kernel
 *          pages; 0 if there was no refill
 * @spare: number of blocks that &tce_call.spares was filled up to
 * @most: the largest &tce_spares.wanted so far
 * @trimmed: levels that were not in use have been freed since the command last
 *           got memory or credit after -ENOMEM
 */
struct tce_retry {
	unsigned int retries;
	unsigned int trims;
	unsigned long refill;
	unsigned long spare;
	unsigned long most;
	bool trimmed;
};

/**
 * struct tce_call - state of a command
 * @args: the argument
 * @error: errno for an invalid argument, or 0. The command returns it after
 *         those checks of the container that take precedence
 * @answer: number of bytes of @args to copy to user space
 * @write: take the lock for writing
 * @need: what the command needs before it is called again
 * @charge: the charge of the container's address space; NULL until that is set
 * @charged: kernel pages that are charged and not in use: charged for the
 *           command, or no longer in use after DISABLE; uncharged at its end
 * @missing: number of kernel pages that must be charged in addition
 * @misses: tce_charge_misses() when this attempt began
 * @kvm: for a new window: the state of KVM's callbacks; NULL if there is none
 * @spares: memory for levels
 * @retry: further attempts; initialised by tce_call_retry()
 * @run: MAP_DMA: the pages
 * @memory: REGISTER_MEMORY, UNREGISTER_MEMORY: the registered memory of @region
 * @region: REGISTER_MEMORY: pinned and not yet registered; UNREGISTER_MEMORY:
 *          being unregistered
 * @retried: UNREGISTER_MEMORY: pages were still counted when the command was
 *           tried first. Callbacks of KVM may have been about to uncount them:
 *           wait for those that have begun
 * @created: TCE_CREATE: &tce_container.created of the new window
 * @pe: VFIO_EEH_PE_OP: the PE of the next group, without a reference
 * @group: VFIO_EEH_PE_OP: &tce_group.number of the first group that is not done
 * @group_end: VFIO_EEH_PE_OP: groups from this number on were attached later
 */
struct tce_call {
	union {
		struct tce_args head;
		struct vfio_iommu_type1_dma_map map;
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_iommu_spapr_tce_info info;
		struct vfio_iommu_spapr_register_memory memory;
		struct vfio_iommu_spapr_tce_create create;
		struct vfio_iommu_spapr_tce_remove remove;
		struct vfio_eeh_pe_op eeh;
	} args;
	int error;
	size_t answer;
	bool write;
	enum tce_need need;
	struct tce_charge *charge;
	unsigned long charged;
	unsigned long missing;
	unsigned int misses;
	struct tce_kvm *kvm;
	struct tce_spares spares;
	struct tce_retry retry;
	struct tce_run run;
	struct tce_memory *memory;
	struct tce_region *region;
	bool retried;
	u64 created;
	struct eeh_pe *pe;
	u64 group;
	u64 group_end;
};

/*
 * Note what the command needs. tce_call_retry() gets it and starts the command
 * over, or completes it (TCE_NEED_PUT).
 */
static int tce_call_needs(struct tce_call *call, enum tce_need need)
{
	call->need = need;

	return -EAGAIN;
}

static int tce_call_charge(struct tce_call *call, unsigned long missing)
{
	call->missing = missing;

	return tce_call_needs(call, TCE_NEED_CHARGE);
}

/* Groups and windows */

/*
 * The first group represents all groups: tce_check_group() accepts only groups
 * whose IOMMU is of the same kind. GET_INFO describes the first group.
 */
static struct iommu_table_group *
tce_first_table_group(struct tce_container *container)
{
	struct tce_group *group;

	lockdep_assert_held(&container->lock);

	group = list_first_entry_or_null(&container->groups, struct tce_group,
					 node);

	return group ? group->table_group : NULL;
}

static void tce_mark_windows_lost(struct tce_container *container)
{
	unsigned int num;

	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (container->windows[num])
			tce_window_mark_lost(container->windows[num]);
}

/* Remove a window from the groups before @end, which may be the list's head. */
static void tce_detach_window(struct tce_container *container,
			      struct tce_window *window, unsigned int num,
			      struct list_head *end)
{
	struct tce_group *group;

	list_for_each_entry(group, &container->groups, node) {
		if (&group->node == end)
			break;
		/* tce_check_windows() would not notice this any more. */
		if (!tce_window_detach(window, group->table_group) &&
		    !group->lost[num])
			tce_mark_windows_lost(container);
	}
}

static int tce_attach_window(struct tce_container *container,
			     struct tce_window *window, unsigned int num)
{
	struct tce_group *group;
	int ret;

	list_for_each_entry(group, &container->groups, node) {
		ret = tce_window_attach(window, group->table_group);
		if (ret) {
			tce_detach_window(container, window, num, &group->node);
			return ret;
		}
	}

	return 0;
}

/*
 * Whether a group was found before to lack the windows in @missing, a bit mask
 * of numbers. If so, tce_note_lost_windows() has marked all windows that
 * existed then.
 */
static bool tce_group_lost(const struct tce_group *group, unsigned long missing)
{
	unsigned int num;

	for_each_set_bit(num, &missing, ARRAY_SIZE(group->lost)) {
		/* Pairs with tce_note_lost_windows(): its marks are seen. */
		if (!smp_load_acquire(&group->lost[num]))
			return false;
	}

	return true;
}

/* Mark all windows as lost, and remember which ones each group lacks. */
static noinline void tce_note_lost_windows(struct tce_container *container)
{
	struct tce_group *group;
	unsigned long missing;
	unsigned int num;

	tce_mark_windows_lost(container);
	list_for_each_entry(group, &container->groups, node) {
		missing = tce_windows_missing(container->windows,
					      group->table_group);
		for_each_set_bit(num, &missing, ARRAY_SIZE(group->lost)) {
			/* The marks come first, for tce_group_lost(). */
			smp_store_release(&group->lost[num], true);
		}
	}
}

/*
 * When a device appears in a group, the platform takes its windows away.
 * pSeries removes both. PowerNV removes window 0, and disables window 1 without
 * removing it: pnv_ioda2_take_ownership() disables bypass, and the hardware has
 * one translation validation entry (TVE) for both bypass and window 1. So if a
 * group lacks one window, mark all as lost. This is done once for each window
 * that a group lacks: a window that is created later is not lost.
 */
static __always_inline void tce_check_windows(struct tce_container *container)
{
	struct tce_group *group;

	lockdep_assert_held(&container->lock);

	list_for_each_entry(group, &container->groups, node) {
		unsigned long missing = tce_windows_missing(container->windows,
							    group->table_group);

		if (unlikely(missing) && !tce_group_lost(group, missing)) {
			tce_note_lost_windows(container);
			break;
		}
	}
}

static void tce_remove_window(struct tce_container *container, unsigned int num)
{
	struct tce_group *group;

	tce_detach_window(container, container->windows[num], num,
			  &container->groups);
	tce_window_destroy(container->windows[num]);
	container->windows[num] = NULL;
	list_for_each_entry(group, &container->groups, node)
		group->lost[num] = false;
}

/* Return the number of the window, or an errno. */
static int tce_create_window(struct tce_container *container,
			     struct tce_call *call, unsigned int page_shift,
			     u64 size, unsigned int levels)
{
	struct tce_window_request request = {
		.page_shift = page_shift,
		.size = size,
		.levels = levels,
		.pages = container->pages,
		.charge = READ_ONCE(charge_allocated),
		.pinned = container->version == 1,
		.spares = &call->spares,
		.kvm = call->kvm,
		.charged = call->charged,
	};
	struct tce_window *window;
	unsigned int num;
	int ret;

	lockdep_assert_held_write(&container->lock);

	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (!container->windows[num])
			break;
	if (num == ARRAY_SIZE(container->windows))
		return tce_refuse(-ENOSPC, "there are two windows already");

	window = tce_window_create(tce_first_table_group(container), num,
				   &request);
	call->kvm = request.kvm;
	if (window == ERR_PTR(-EAGAIN))
		return request.missing ?
			       tce_call_charge(call, request.missing) :
			       tce_call_needs(call, TCE_NEED_KVM);
	if (IS_ERR(window))
		return PTR_ERR(window);

	call->charged = request.charged;

	/* Later, the new window would be among those that are marked. */
	tce_check_windows(container);
	ret = tce_attach_window(container, window, num);
	if (ret) {
		tce_window_destroy(window);
		return ret;
	}

	tce_window_connect(window);
	container->windows[num] = window;
	container->created[num] = container->next_created++;

	return num;
}

static int tce_create_default_window(struct tce_container *container,
				     struct tce_call *call)
{
	struct iommu_table_group *table_group;
	int ret;

	lockdep_assert_held_write(&container->lock);

	table_group = tce_first_table_group(container);
	if (!table_group)
		return tce_refuse(-ENODEV, "the container has no group");

	ret = tce_create_window(container, call, TCE_DEFAULT_PAGE_SHIFT,
				table_group->tce32_size, TCE_DEFAULT_LEVELS);
	if (ret < 0)
		return ret;

	container->default_pending = false;

	return 0;
}

/* ioctls */

/*
 * Copy an argument from user space. Inlined so that the size is a constant:
 * otherwise hardened usercopy checks the copy, which costs as much as the rest
 * of a command.
 */
static __always_inline int tce_get_args(struct tce_call *call,
					void __user *argp, size_t size,
					u32 flags)
{
	if (copy_from_user(&call->args, argp, size))
		return tce_refuse(-EFAULT, "the argument cannot be read");

	if (call->args.head.argsz < size || call->args.head.flags & ~flags)
		return tce_refuse(-EINVAL,
				  "argsz is too small, or there are unknown flags");

	return 0;
}

static int tce_get_map(struct tce_call *call, void __user *argp)
{
	return tce_get_args(call, argp,
			    offsetofend(struct vfio_iommu_type1_dma_map, size),
			    VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
}

static int tce_get_unmap(struct tce_call *call, void __user *argp)
{
	return tce_get_args(call, argp,
			    offsetofend(struct vfio_iommu_type1_dma_unmap,
					size), 0);
}

/* As in the in-tree module, the flags are ignored. */
static int tce_get_info(struct tce_call *call, void __user *argp)
{
	return tce_get_args(call, argp,
			    offsetofend(struct vfio_iommu_spapr_tce_info,
					dma32_window_size), ~0U);
}

static int tce_get_memory(struct tce_call *call, void __user *argp)
{
	return tce_get_args(call, argp,
			    offsetofend(struct vfio_iommu_spapr_register_memory,
					size), 0);
}

static int tce_get_create(struct tce_call *call, void __user *argp)
{
	return tce_get_args(call, argp,
			    offsetofend(struct vfio_iommu_spapr_tce_create,
					start_addr), 0);
}

static int tce_get_remove(struct tce_call *call, void __user *argp)
{
	return tce_get_args(call, argp,
			    offsetofend(struct vfio_iommu_spapr_tce_remove,
					start_addr), 0);
}

static int tce_get_eeh(struct tce_call *call, void __user *argp)
{
	call->group = 0;
	call->group_end = 0;

	return tce_eeh_get_op(&call->args.eeh, argp);
}

/*
 * A container belongs to the address space of the first command that calls
 * tce_claim_mm().
 */
static int tce_check_mm(struct tce_container *container)
{
	lockdep_assert_held(&container->lock);

	if (container->pages && container->pages->mm != current->mm)
		return tce_refuse(-EPERM,
				  "the container belongs to another process");

	return 0;
}

static int tce_claim_mm(struct tce_container *container)
{
	struct tce_memory *memory;
	struct tce_pages *pages;

	lockdep_assert_held_write(&container->lock);

	if (container->pages)
		return tce_check_mm(container);

	if (container->version == 1) {
		pages = tce_v1_create();
		if (IS_ERR(pages))
			return PTR_ERR(pages);
	} else {
		memory = tce_memory_create(&container->lock);
		if (IS_ERR(memory))
			return PTR_ERR(memory);
		container->memory = memory;
		pages = tce_memory_pages(memory);
	}
	container->pages = pages;

	return 0;
}

static long tce_check_extension(unsigned long arg)
{
	switch (arg) {
	case VFIO_SPAPR_TCE_IOMMU:
	case VFIO_SPAPR_TCE_v2_IOMMU:
		return 1;
	case VFIO_EEH:
		return tce_eeh_enabled();
	default:
		return 0;
	}
}

static long tce_ioctl_get_info(struct tce_container *container,
			       struct tce_call *call)
{
	struct vfio_iommu_spapr_tce_info *info = &call->args.info;
	struct iommu_table_group *table_group;
	u32 argsz = info->argsz;

	table_group = tce_first_table_group(container);
	if (!table_group)
		return tce_refuse(-ENXIO, "the container has no group");

	if (call->error)
		return call->error;

	memset(info, 0, sizeof(*info));
	info->argsz = argsz;
	info->dma32_window_start = table_group->tce32_start;
	info->dma32_window_size = table_group->tce32_size;
	if (container->version == 2) {
		info->flags = VFIO_IOMMU_SPAPR_INFO_DDW;
		info->ddw.pgsizes = table_group->pgsizes;
		info->ddw.max_dynamic_windows_supported =
			table_group->max_dynamic_windows_supported;
		info->ddw.levels = table_group->max_levels;
	}

	call->answer = offsetofend(struct vfio_iommu_spapr_tce_info, ddw);
	if (argsz < call->answer)
		call->answer = offsetofend(struct vfio_iommu_spapr_tce_info,
					   dma32_window_size);

	return 0;
}

/*
 * Create the default window if it is pending. Return 0 or an errno, -EAGAIN if
 * the command must start over.
 */
static __always_inline int
tce_ensure_default_window(struct tce_container *container,
			  struct tce_call *call)
{
	lockdep_assert_held(&container->lock);

	if (likely(!container->default_pending))
		return 0;

	return call->write ? tce_create_default_window(container, call) :
			     tce_call_needs(call, TCE_NEED_WRITE);
}

static long tce_ioctl_map_dma(struct tce_container *container,
			      struct tce_call *call)
{
	const struct vfio_iommu_type1_dma_map *map = &call->args.map;
	int ret;

	/* The flags have the same values as the permission bits of an entry. */
	BUILD_BUG_ON(VFIO_DMA_MAP_FLAG_READ != TCE_PCI_READ);
	BUILD_BUG_ON(VFIO_DMA_MAP_FLAG_WRITE != TCE_PCI_WRITE);

	if (!container->enabled)
		return tce_refuse(-EPERM,
				  "no memory is registered, or ENABLE is missing");

	if (call->error)
		return call->error;

	if (!map->flags)
		return tce_refuse(-EINVAL,
				  "neither read nor write is asked for");

	ret = tce_ensure_default_window(container, call);
	if (ret)
		return ret;

	tce_check_windows(container);
	call->run.pages = container->pages;
	call->run.ua = map->vaddr;
	call->run.perm = map->flags;
	ret = tce_windows_map(container->windows, map->iova, map->size,
			      &call->run);

	return ret == -EAGAIN ? tce_call_needs(call, TCE_NEED_PIN) : ret;
}

static long tce_ioctl_unmap_dma(struct tce_container *container,
				struct tce_call *call)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = &call->args.unmap;
	int ret;

	if (!container->enabled)
		return tce_refuse(-EPERM,
				  "no memory is registered, or ENABLE is missing");

	if (call->error)
		return call->error;

	ret = tce_ensure_default_window(container, call);
	if (ret)
		return ret;

	return tce_windows_unmap(container->windows, unmap->iova, unmap->size);
}

static long tce_ioctl_enable(struct tce_container *container,
			     struct tce_call *call)
{
	struct iommu_table_group *table_group;
	unsigned long locked;
	int ret;

	if (container->enabled)
		return tce_refuse(-EBUSY, "the container is enabled already");

	table_group = tce_first_table_group(container);
	if (!table_group)
		return tce_refuse(-ENODEV, "the container has no group");

	if (!table_group->tce32_size)
		return tce_refuse(-EPERM,
				  "the group has no window below 4 GiB");

	ret = tce_claim_mm(container);
	if (ret)
		return ret;

	/*
	 * Charge the size of the window: MAP_DMA charges only pages beyond it
	 * (tce_v1_pages.h).
	 */
	locked = table_group->tce32_size >> PAGE_SHIFT;
	if (call->charged < locked)
		return tce_call_charge(call, locked - call->charged);

	call->charged -= locked;
	tce_v1_enable(container->pages, locked);
	container->enabled = true;

	return 0;
}

/*
 * Pages that are no longer charged must not stay pinned, so unmap everything.
 * Return the number of kernel pages to uncharge.
 */
static unsigned long tce_disable(struct tce_container *container)
{
	unsigned int num;

	lockdep_assert_held_write(&container->lock);

	if (container->version != 1 || !container->enabled)
		return 0;

	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (container->windows[num])
			tce_window_clear_all(container->windows[num]);

	container->enabled = false;

	return tce_v1_disable(container->pages);
}

static long tce_ioctl_disable(struct tce_container *container,
			      struct tce_call *call)
{
	call->charged = tce_disable(container);

	return 0;
}

/*
 * A reset takes the locks of the devices on the PE's bus. When a device is
 * unbound, its lock is held while its group is detached, which takes the
 * container's lock. To avoid a deadlock, EEH operations are performed without
 * the container's lock. They hold no reference to the group either, because the
 * platform expects that no group outlives its devices. tce_eeh.h says how long
 * the PE exists.
 */
static long tce_ioctl_eeh(struct tce_container *container,
			  struct tce_call *call)
{
	struct tce_group *group;

	if (call->error)
		return call->error;

	/* Groups that come and go meanwhile must not prolong the call. */
	if (!call->group_end)
		call->group_end = container->next_group;

	list_for_each_entry(group, &container->groups, node) {
		if (group->number < call->group)
			continue;
		if (group->number >= call->group_end)
			break;
		call->group = group->number + 1;
		call->pe = tce_eeh_find_pe(group->iommu_group);
		if (IS_ERR(call->pe))
			return PTR_ERR(call->pe);
		return tce_call_needs(call, TCE_NEED_EEH);
	}

	return 0;
}

static long tce_ioctl_register(struct tce_container *container,
			       struct tce_call *call)
{
	int ret;

	if (call->error)
		return call->error;

	if (!call->region) {
		ret = tce_claim_mm(container);
		if (ret)
			return ret;
		call->memory = container->memory;
		return tce_call_needs(call, TCE_NEED_REGION);
	}

	ret = tce_memory_add(container->memory, call->region);
	if (ret)
		return ret;

	call->region = NULL;
	container->enabled = true;

	return 0;
}

static long tce_ioctl_unregister(struct tce_container *container,
				 struct tce_call *call)
{
	const struct vfio_iommu_spapr_register_memory *args;
	struct tce_region *region;
	unsigned int num;
	int ret;

	if (!container->pages)
		return tce_refuse(-EPERM, "no memory has been registered");

	if (call->error)
		return call->error;

	/*
	 * Pages of entries that KVM has cleared and not yet killed are still
	 * counted.
	 */
	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (container->windows[num])
			tce_window_flush_kvm(container->windows[num],
					     call->retried);

	args = &call->args.memory;
	region = tce_memory_unregister_begin(container->memory, args->vaddr,
					     args->size);
	if (IS_ERR(region)) {
		ret = PTR_ERR(region);
		if (ret != -EBUSY)
			return ret;
		/*
		 * The first attempt has not waited for callbacks of KVM, as
		 * grace periods are long.
		 */
		if (!call->retried)
			return tce_call_needs(call, TCE_NEED_RETRY);
		return tce_refuse(-EBUSY,
				  "memory is still mapped, or is being unregistered");
	}

	call->memory = container->memory;
	call->region = region;

	return tce_call_needs(call, TCE_NEED_PUT);
}

static long tce_ioctl_create(struct tce_container *container,
			     struct tce_call *call)
{
	struct vfio_iommu_spapr_tce_create *create = &call->args.create;
	int ret;

	if (list_empty(&container->groups))
		return tce_refuse(-ENXIO, "the container has no group");

	if (call->error)
		return call->error;

	ret = tce_claim_mm(container);
	if (!ret)
		ret = tce_ensure_default_window(container, call);
	if (ret)
		return ret;

	ret = tce_create_window(container, call, create->page_shift,
				create->window_size, create->levels);
	if (ret < 0)
		return ret;

	create->start_addr = tce_window_start(container->windows[ret]);
	call->created = container->created[ret];
	call->answer = offsetofend(struct vfio_iommu_spapr_tce_create,
				   start_addr);

	return 0;
}

/*
 * The start of the new window could not be copied to user space: remove the
 * window if it still exists.
 */
static void tce_undo_create(struct tce_container *container,
			    const struct tce_call *call)
{
	unsigned int num;

	down_write(&container->lock);
	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (container->windows[num] &&
		    container->created[num] == call->created)
			tce_remove_window(container, num);
	up_write(&container->lock);
	/* What was charged for the window is credit now. */
	tce_charge_settle(container->pages->charge);
}

static long tce_ioctl_remove(struct tce_container *container,
			     struct tce_call *call)
{
	const struct vfio_iommu_spapr_tce_remove *remove = &call->args.remove;
	unsigned int num;
	int ret;

	if (list_empty(&container->groups))
		return tce_refuse(-ENXIO, "the container has no group");

	if (call->error)
		return call->error;

	ret = tce_claim_mm(container);
	if (ret)
		return ret;

	/*
	 * While the default window is pending it has no start address yet. As
	 * in the in-tree module, 0 means this window.
	 */
	if (container->default_pending && !remove->start_addr) {
		container->default_pending = false;
		return 0;
	}

	for (num = 0; num < ARRAY_SIZE(container->windows); num++) {
		struct tce_window *window = container->windows[num];

		if (window && tce_window_start(window) == remove->start_addr) {
			tce_remove_window(container, num);
			return 0;
		}
	}

	return tce_refuse(-EINVAL, "no window begins there");
}

/* Bit mask of versions of the interface. */
#define TCE_V1		BIT(1)
#define TCE_V2		BIT(2)

/**
 * struct tce_ioctl - description of a command
 * @cmd: the command
 * @versions: versions of the interface that have it
 * @write: it changes the container, so the lock is held for writing
 * @get: copies the argument from user space; NULL if there is none
 * @fn: performs the command with the lock held. Returns -EAGAIN if it needs
 *      something that it cannot get there (tce_call_needs(), DOC: Locking)
 */
struct tce_ioctl {
	unsigned int cmd;
	unsigned int versions;
	bool write;
	int (*get)(struct tce_call *call, void __user *argp);
	long (*fn)(struct tce_container *container, struct tce_call *call);
};

static const struct tce_ioctl tce_ioctls[] = {
	{ VFIO_IOMMU_MAP_DMA, TCE_V1 | TCE_V2, false, tce_get_map,
	  tce_ioctl_map_dma },
	{ VFIO_IOMMU_UNMAP_DMA, TCE_V1 | TCE_V2, false, tce_get_unmap,
	  tce_ioctl_unmap_dma },
	{ VFIO_IOMMU_SPAPR_TCE_GET_INFO, TCE_V1 | TCE_V2, false, tce_get_info,
	  tce_ioctl_get_info },
	{ VFIO_IOMMU_ENABLE, TCE_V1, true, NULL, tce_ioctl_enable },
	{ VFIO_IOMMU_DISABLE, TCE_V1, true, NULL, tce_ioctl_disable },
	{ VFIO_IOMMU_SPAPR_REGISTER_MEMORY, TCE_V2, true, tce_get_memory,
	  tce_ioctl_register },
	{ VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, TCE_V2, true, tce_get_memory,
	  tce_ioctl_unregister },
	{ VFIO_IOMMU_SPAPR_TCE_CREATE, TCE_V2, true, tce_get_create,
	  tce_ioctl_create },
	{ VFIO_IOMMU_SPAPR_TCE_REMOVE, TCE_V2, true, tce_get_remove,
	  tce_ioctl_remove },
	{ VFIO_EEH_PE_OP, TCE_V1 | TCE_V2, false, tce_get_eeh, tce_ioctl_eeh },
};

static const struct tce_ioctl *tce_find_ioctl(unsigned int cmd)
{
	const struct tce_ioctl *ioctl = tce_ioctls;

	for (; ioctl < tce_ioctls + ARRAY_SIZE(tce_ioctls); ioctl++)
		if (ioctl->cmd == cmd)
			return ioctl;

	return NULL;
}

/*
 * Initialise only the members that are read before they are set: the structure
 * is large, and this is a hot path. tce_get_eeh() initialises @group and
 * @group_end, tce_call_retry() @retry.
 */
static void tce_call_init(struct tce_call *call)
{
	call->answer = 0;
	call->need = TCE_NEED_NOTHING;
	call->charge = NULL;
	call->charged = 0;
	call->misses = 0;
	call->kvm = NULL;
	tce_spares_init(&call->spares);
	call->run.spares = &call->spares;
	call->run.pages = NULL;
	call->run.page = NULL;
	call->run.pinned = false;
	call->region = NULL;
	call->retried = false;
}

/*
 * Try the command once. The caller has reset call->need and
 * call->spares.missing. Return -EAGAIN if the command needs something, which is
 * then in call->need.
 */
static __always_inline long
tce_call_try(struct tce_container *container, const struct tce_ioctl *ioctl,
	     struct tce_call *call)
{
	const struct tce_pages *pages;
	long ret;

	ret = tce_container_lock(container, call->write);
	if (ret)
		return ret;

	ret = container->released ?
		tce_refuse(-ENODEV, "the container was released") :
		tce_check_mm(container);
	if (!ret) {
		pages = container->pages;
		if (pages) {
			call->charge = pages->charge;
			call->misses = tce_charge_misses(pages->charge);
		}
		ret = ioctl->fn(container, call);
		/* The command may have set the address space. */
		if (unlikely(!call->charge) && container->pages)
			call->charge = container->pages->charge;
	}
	tce_container_unlock(container, call->write);

	return ret;
}

/* Finish UNREGISTER_MEMORY. The container may have been released meanwhile. */
static long tce_call_end_unregister(struct tce_container *container,
				    struct tce_call *call)
{
	int ret = tce_memory_put(call->memory, call->region);

	down_write(&container->lock);
	tce_memory_unregister_end(call->memory, call->region, !ret);
	up_write(&container->lock);
	call->region = NULL;

	return ret;
}

/*
 * Memory of closed containers may still be charged. A command that has pinned
 * pages leaves it, as it holds a lock.
 */
static int tce_call_add(struct tce_call *call)
{
	int ret = tce_charge_add(call->charge, call->missing);

	if (ret != -ENOMEM)
		return ret;

	if (!call->run.pinned)
		tce_memory_put_orphans(current->mm, 0, ULONG_MAX);

	return tce_charge_add_or_take(call->charge, call->missing);
}

/*
 * Get what a command needs, with no lock held. Return 0 if it must start over.
 */
static long tce_call_get(struct tce_container *container, struct tce_call *call)
{
	long ret;

	switch (call->need) {
	case TCE_NEED_WRITE:
		call->write = true;
		return 0;
	case TCE_NEED_KVM:
		call->kvm = tce_kvm_create();
		return call->kvm ? 0 : -ENOMEM;
	case TCE_NEED_CHARGE:
		ret = tce_call_add(call);
		if (!ret)
			call->charged += call->missing;
		return ret;
	case TCE_NEED_PIN:
		/*
		 * An earlier attempt may have pinned, and then lacked memory or
		 * credit for levels.
		 */
		if (call->run.pinned)
			call->run.pages->ops->unpin(&call->run);
		return call->run.pages->ops->pin(&call->run);
	case TCE_NEED_REGION:
		call->region = tce_memory_pin(call->memory,
					      call->args.memory.vaddr,
					      call->args.memory.size);
		if (!IS_ERR(call->region))
			return 0;
		ret = PTR_ERR(call->region);
		call->region = NULL;
		return ret;
	case TCE_NEED_RETRY:
		call->retried = true;
		return 0;
	case TCE_NEED_EEH:
		/*
		 * A positive result is the PE's state or, on pSeries, an RTAS
		 * status. The first result that is not 0 ends the command.
		 */
		return tce_eeh_pe_op(call->pe, &call->args.eeh);
	default:
		return -EAGAIN;
	}
}

/*
 * Allocate memory for levels that the last attempt could not allocate without
 * waiting: twice as much for each attempt, as most levels may exist. Levels
 * that an attempt has linked in vain are freed after a while, or by others that
 * have no memory: after some attempts, get as much as was ever missing.
 */
static bool tce_call_fill(struct tce_call *call)
{
	struct tce_retry *retry = &call->retry;
	unsigned long wanted = call->spares.wanted;

	retry->most = max(retry->most, wanted);
	if (retry->retries > TCE_RETRIES_FEW)
		wanted = retry->most;
	retry->spare = min(max(2 * retry->spare, 2UL), wanted);

	return tce_spares_fill(&call->spares, retry->spare);
}

/*
 * There was no credit for a level of this or another command: get some, and
 * twice as much for each further attempt. Return 0 if the command must start
 * over, perhaps only to use the credit of others.
 */
static int tce_call_refill(struct tce_call *call)
{
	struct tce_retry *retry = &call->retry;
	int ret;

	if (!retry->refill)
		tce_charge_hold(call->charge);
	retry->refill = clamp(2 * retry->refill, TCE_CHARGE_REFILL,
			      TCE_CHARGE_REFILL_MAX);
	ret = tce_charge_refill(call->charge, retry->refill);
	if (ret != -ENOMEM ||
	    (call->charged && retry->retries > TCE_RETRIES_FEW))
		return ret;

	/*
	 * Give back what is charged for a window: it was not needed, or the
	 * next attempt charges it again, if need be with the credit
	 * (tce_call_add()). So this must end after some attempts.
	 */
	tce_charge_sub(call->charge, call->charged);
	call->charged = 0;
	if (!call->run.pinned)
		tce_memory_put_orphans(current->mm, 0, ULONG_MAX);
	ret = tce_charge_refill(call->charge, retry->refill);
	if (ret != -ENOMEM || retry->retries > TCE_RETRIES_FEW)
		return ret;

	/* What exceeded the limit may have been subtracted since. */
	if (!tce_charge_has_credit(call->charge))
		return tce_charge_refill(call->charge, retry->refill);

	/*
	 * The credit of others may be what exceeds the limit, and be enough.
	 * Give up after some attempts. Nothing was charged: ask for no more the
	 * next time.
	 */
	retry->refill /= 2;

	return 0;
}

/* Whether there was no credit for a level since the last attempt began. */
static bool tce_call_missed(const struct tce_call *call)
{
	return call->charge && call->misses != tce_charge_misses(call->charge);
}

/*
 * After -ENOMEM, get credit or memory. No lock is held that another process may
 * need. Return 0 if the command must start over.
 */
static long tce_call_no_memory(struct tce_call *call)
{
	long ret = -ENOMEM;

	/* Other threads may take what was missing, again and again. */
	if (call->retry.retries >= TCE_RETRIES_MAX)
		return ret;

	call->retry.retries++;
	if (call->spares.missing)
		/* The level was charged, if levels are. */
		ret = tce_call_fill(call) ? 0 : -ENOMEM;
	else if (tce_call_missed(call))
		ret = tce_call_refill(call);
	if (!ret)
		call->retry.trimmed = false;

	return ret;
}

/*
 * Whether levels that are not in use may be what the command lacks: it maps, it
 * had no memory or credit for a level, no memory for KVM's state, which its
 * cgroup is charged for as for levels, or it could not charge pages. Otherwise
 * the platform had no memory, and is not asked twice.
 */
static bool tce_call_can_trim(const struct tce_call *call)
{
	if (call->retry.trimmed || call->need == TCE_NEED_EEH)
		return false;

	return call->run.pages || call->spares.missing ||
	       call->need == TCE_NEED_KVM || call->need == TCE_NEED_CHARGE ||
	       call->need == TCE_NEED_REGION || tce_call_missed(call);
}

/*
 * Free the levels that are not in use, which otherwise stay for a second.
 * Others who wait for the lock come first.
 */
static void tce_call_trim(struct tce_container *container,
			  struct tce_call *call)
{
	struct tce_retry *retry = &call->retry;
	bool done = false;
	unsigned int num;

	retry->trimmed = true;
	for (; !done && retry->trims < TCE_TRIMS_MAX; retry->trims++) {
		if (tce_container_lock(container, false))
			return;

		done = true;
		for (num = 0; num < ARRAY_SIZE(container->windows); num++)
			if (done && container->windows[num])
				done = tce_window_trim(container->windows[num],
						       &container->lock);
		tce_container_unlock(container, false);
	}
}

/* Get what a command needs and retry it, until it succeeds or fails. */
static noinline long tce_call_retry(struct tce_container *container,
				    const struct tce_ioctl *ioctl,
				    struct tce_call *call, long ret)
{
	call->retry = (struct tce_retry){};
	for (;;) {
		if (ret == -EAGAIN && call->need == TCE_NEED_PUT) {
			ret = tce_call_end_unregister(container, call);
			if (!ret)
				break;
			if (call->retried) {
				tce_refuse(ret,
					   "memory is still mapped, perhaps by KVM or another container");
				break;
			}
			ret = tce_call_needs(call, TCE_NEED_RETRY);
		}

		if (ret == -EAGAIN && call->need != TCE_NEED_NOTHING)
			ret = tce_call_get(container, call);
		else if (ret == -ENOMEM)
			ret = tce_call_no_memory(call);
		else
			break;
		if (ret == -ENOMEM && tce_call_can_trim(call)) {
			tce_call_trim(container, call);
			ret = 0;
		}
		if (ret)
			break;

		call->need = TCE_NEED_NOTHING;
		call->spares.missing = false;
		ret = tce_call_try(container, ioctl, call);
	}

	if (call->retry.refill)
		tce_charge_unhold(call->charge);

	return ret;
}

/*
 * Retry the command if need be. Then free, unpin and uncharge what it did not
 * use, and report -ENOMEM, which commands can only end with here.
 */
static noinline long tce_call_end(struct tce_container *container,
				  const struct tce_ioctl *ioctl,
				  struct tce_call *call, long ret)
{
	if (ret == -EAGAIN || ret == -ENOMEM)
		ret = tce_call_retry(container, ioctl, call, ret);

	if (call->kvm)
		tce_kvm_destroy(call->kvm);
	if (call->spares.count)
		tce_spares_free(&call->spares);
	if (call->run.pinned)
		call->run.pages->ops->unpin(&call->run);
	if (call->region)
		tce_memory_unpin(call->memory, call->region);
	/* Uncharge what the command did not use, and settle the credit. */
	if (call->charge)
		tce_charge_sub(call->charge, call->charged);
	if (ret == -ENOMEM)
		tce_refuse(ret,
			   "no memory, a full memory cgroup, or RLIMIT_MEMLOCK");

	return ret;
}

static long tce_call_run(struct tce_container *container,
			 const struct tce_ioctl *ioctl, struct tce_call *call)
{
	long ret;

	call->write = ioctl->write;
	ret = tce_call_try(container, ioctl, call);
	/*
	 * In version 2, a MAP_DMA or UNMAP_DMA that succeeds at the first
	 * attempt leaves the credit for the next command that needs levels; the
	 * work item settles it. In version 1 those unpinned pages that were
	 * charged in addition to the charge of ENABLE are uncharged before an
	 * UNMAP_DMA returns.
	 */
	if (ret || ioctl->write || container->version == 1)
		ret = tce_call_end(container, ioctl, call, ret);
	if (call->charge && tce_charge_wanted(call->charge))
		tce_charge_top_up(call->charge);

	return ret;
}

/* VFIO operations */

static long tce_iommu_ioctl(void *iommu_data, unsigned int cmd,
			    unsigned long arg)
{
	void __user *argp = (void __user *)arg;
	struct tce_container *container;
	struct tce_call call __uninitialized;
	const struct tce_ioctl *ioctl;
	long ret = -ENOTTY;

	if (cmd == VFIO_CHECK_EXTENSION)
		return tce_check_extension(arg);

	ioctl = tce_find_ioctl(cmd);
	if (!ioctl)
		return tce_refuse(-ENOTTY, "there is no such command");

	container = tce_container_get(iommu_data);
	if (!container)
		return tce_refuse(-ENODEV, "the container was released");

	if (!(ioctl->versions & BIT(container->version))) {
		tce_refuse(ret,
			   "this version of the interface has no such command");
		goto put;
	}

	tce_call_init(&call);
	call.error = ioctl->get ? ioctl->get(&call, argp) : 0;
	ret = tce_call_run(container, ioctl, &call);
	if (!ret && call.answer &&
	    copy_to_user(argp, &call.args, call.answer)) {
		if (cmd == VFIO_IOMMU_SPAPR_TCE_CREATE)
			tce_undo_create(container, &call);
		ret = tce_refuse(-EFAULT, "the result cannot be written");
	}
put:
	tce_container_put(container);

	return ret;
}

static void *tce_iommu_open(unsigned long arg)
{
	struct tce_container *container;
	int ret;

	if (arg != VFIO_SPAPR_TCE_IOMMU && arg != VFIO_SPAPR_TCE_v2_IOMMU) {
		ret = tce_refuse(-EINVAL,
				 "there is no such version of the interface");
		return ERR_PTR(ret);
	}

	container = kzalloc(sizeof(*container), TCE_GFP_FIXED);
	if (!container)
		return ERR_PTR(-ENOMEM);

	/* A command may still run when the VFIO core puts the module. */
	__module_get(THIS_MODULE);
	container->version = arg == VFIO_SPAPR_TCE_IOMMU ? 1 : 2;
	kref_init(&container->ref);
	INIT_RCU_WORK(&container->free_work, tce_container_free_work);
	init_rwsem(&container->lock);
	INIT_LIST_HEAD(&container->groups);

	return tce_container_publish(container);
}

/*
 * Wait for kills that still use a group that was detached: the platform may
 * free the group.
 */
static void tce_wait_kills(struct tce_container *container)
{
	unsigned int num;

	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (container->windows[num])
			tce_window_wait_kills(container->windows[num]);
}

static void tce_iommu_release(void *iommu_data)
{
	struct tce_container *container = tce_container_get(iommu_data);
	struct tce_group *group, *next;
	unsigned long uncharge;
	LIST_HEAD(regions);
	unsigned int num;

	tce_container_withdraw(container);
	down_write(&container->lock);
	container->released = true;
	uncharge = tce_disable(container);
	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (container->windows[num])
			tce_remove_window(container, num);
	list_for_each_entry_safe(group, next, &container->groups, node) {
		list_del(&group->node);
		kfree(group);
	}
	if (container->memory)
		tce_memory_unregister_all(container->memory, &regions);
	up_write(&container->lock);

	if (container->memory)
		tce_memory_put_all(container->memory, &regions);
	if (container->pages) {
		tce_charge_return(container->pages->charge, uncharge);
		tce_charge_settle_timeout(container->pages->charge);
	}
	/* The reference of tce_container_get(), and the VFIO core's. */
	tce_container_put(container);
	tce_container_put(container);
}

/* Check whether a group can share windows with the groups of the container. */
static int tce_check_group(struct tce_container *container,
			   const struct tce_group *new)
{
	const struct iommu_table_group *table_group = new->table_group, *first;
	struct tce_group *group;

	if (!table_group || !table_group->ops)
		return tce_refuse(-ENODEV,
				  "the group is not behind a TCE IOMMU");

	/*
	 * Version 2 of the interface needs dynamic DMA windows. On pSeries a
	 * group without them has -1 here: it can be attached, but
	 * tce_platform_check() refuses each window.
	 */
	if (container->version == 2 &&
	    !table_group->max_dynamic_windows_supported)
		return tce_refuse(-EINVAL, "the group has no dynamic windows");

	if (container->version == 1 && !list_empty(&container->groups))
		return tce_refuse(-EBUSY,
				  "version 1 allows only one group per container");

	list_for_each_entry(group, &container->groups, node)
		if (group->iommu_group == new->iommu_group)
			return tce_refuse(-EBUSY,
					  "the group is in the container already");

	first = tce_first_table_group(container);
	if (first && first->ops->create_table != table_group->ops->create_table)
		return tce_refuse(-EPERM,
				  "the groups have IOMMUs of different kinds");

	return 0;
}

static int tce_iommu_attach_group(void *iommu_data,
				  struct iommu_group *iommu_group,
				  enum vfio_group_type type)
{
	struct tce_container *container;
	struct tce_group *group;
	unsigned int num;
	int ret;

	if (type != VFIO_IOMMU)
		return tce_refuse(-EINVAL, "the group has no IOMMU");

	group = kzalloc(sizeof(*group), TCE_GFP_FIXED);
	if (!group)
		return -ENOMEM;

	group->iommu_group = iommu_group;
	group->table_group = iommu_group_get_iommudata(iommu_group);

	container = tce_container_get(iommu_data);
	down_write(&container->lock);
	ret = tce_check_group(container, group);
	if (!ret)
		ret = tce_platform_take_group(group->table_group);
	if (ret)
		goto unlock;

	for (num = 0; num < ARRAY_SIZE(container->windows); num++) {
		if (!container->windows[num])
			continue;
		ret = tce_window_attach(container->windows[num],
					group->table_group);
		if (ret)
			goto detach;
	}

	if (list_empty(&container->groups) && !container->windows[0])
		container->default_pending = true;
	group->number = container->next_group++;
	list_add_tail(&group->node, &container->groups);
	goto unlock;

detach:
	while (num--)
		if (container->windows[num])
			tce_window_detach(container->windows[num],
					  group->table_group);
	tce_wait_kills(container);
unlock:
	up_write(&container->lock);
	tce_container_put(container);
	if (ret)
		kfree(group);

	return ret;
}

static void tce_iommu_detach_group(void *iommu_data,
				   struct iommu_group *iommu_group)
{
	struct tce_container *container = tce_container_get(iommu_data);
	struct tce_group *group;
	unsigned int num;

	down_write(&container->lock);
	list_for_each_entry(group, &container->groups, node) {
		if (group->iommu_group != iommu_group)
			continue;

		for (num = 0; num < ARRAY_SIZE(container->windows); num++)
			if (container->windows[num])
				tce_window_detach(container->windows[num],
						  group->table_group);
		tce_wait_kills(container);
		list_del(&group->node);
		kfree(group);
		break;
	}
	up_write(&container->lock);
	tce_container_put(container);
}

static const struct vfio_iommu_driver_ops tce_iommu_driver_ops = {
	.name = "iommu-vfio-powerpc",
	.owner = THIS_MODULE,
	.open = tce_iommu_open,
	.release = tce_iommu_release,
	.ioctl = tce_iommu_ioctl,
	.attach_group = tce_iommu_attach_group,
	.detach_group = tce_iommu_detach_group,
};

static int __init tce_iommu_init(void)
{
	int ret;

	ret = tce_work_init();
	if (ret)
		return ret;

	tce_debugfs_init();
	ret = vfio_register_iommu_driver(&tce_iommu_driver_ops);
	if (ret) {
		tce_debugfs_exit();
		tce_work_exit();
		return ret;
	}

	pr_info("version %s, %s, %s are charged\n", TCE_VERSION,
		tce_platform_name(),
		charge_allocated ? "allocated levels" : "whole tables");

	return 0;
}

static void __exit tce_iommu_exit(void)
{
	vfio_unregister_iommu_driver(&tce_iommu_driver_ops);
	/*
	 * A task that has put the last reference to a container may have been
	 * preempted in the module's code: wait until it has returned.
	 */
	synchronize_rcu_tasks();
	tce_work_exit();
	tce_debugfs_exit();
}

module_init(tce_iommu_init);
module_exit(tce_iommu_exit);

MODULE_DESCRIPTION("VFIO backend for the sPAPR TCE IOMMU, tables allocated on demand");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(TCE_VERSION);
