/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Charge memory to an address space's locked_vm.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_CHARGE_H
#define TCE_CHARGE_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/kref.h>
#include <linux/types.h>
#include <linux/workqueue.h>

/**
 * DOC: Charging
 *
 * locked_vm is changed with the address space's mmap_lock held for writing. A
 * process can hold its own mmap_lock for any length of time, for example in a
 * page fault on a FUSE file whose server does not answer. So only a work item
 * and commands of the process itself may wait for it, and they hold no lock
 * that another process may need:
 *
 * - Memory that a command needs in any case is charged without the container's
 *   lock (tce_charge_add()), and belongs to the command from then on.
 * - Levels are allocated and freed under locks. They use credit: pages that are
 *   charged and not in use. If there is not enough credit, the allocation fails
 *   with -ENOMEM. The command then gets credit (tce_charge_refill()) and starts
 *   over. KVM cannot wait: the hypercall is passed up to user space, whose next
 *   command leaves some credit for the next hypercall (tce_charge_top_up()).
 * - Pages that are no longer used become credit. Credit is settled (subtracted
 *   from locked_vm) later: at the end of a command, or by a work item.
 */

struct mm_struct;

/*
 * Kernel pages that the first tce_charge_refill() of a command asks for, and
 * the most that one asks for.
 */
#define TCE_CHARGE_REFILL	64UL
#define TCE_CHARGE_REFILL_MAX	BIT(20)

/**
 * struct tce_charge - an address space that is charged
 * @ref: one for each user, and one for @settle while it is pending or running
 * @mm: the address space, with a reference from mmgrab()
 * @credit: kernel pages that are charged and not in use
 * @misses: number of allocations for which there was no credit and whose caller
 *          could wait
 * @wanted: there was no credit for a caller that could not wait
 * @held: number of commands, of any container of the process, that have tried
 *        to get credit and are starting over; while it is not 0 only
 *        tce_charge_settle_held() settles the credit
 * @settling: number of calls that have taken the credit and not yet updated
 *            locked_vm
 * @settle: work item that settles @credit
 * @delay: delay of the next retry of @settle because the mmap_lock is held, in
 *         jiffies
 * @node: in tce_charges until the object is freed
 */
struct tce_charge {
	struct kref ref;
	struct mm_struct *mm;
	atomic_long_t credit;
	atomic_t misses;
	bool wanted;
	atomic_t held;
	atomic_t settling;
	struct delayed_work settle;
	unsigned long delay;
	struct hlist_node node;
};

/**
 * tce_charge_create() - find or create the object of the current process's
 * address space
 *
 * All containers of a process share it, so that what a closed one has left can
 * be settled when the limit is reached. Charges nothing yet.
 *
 * Context: Process with an address space, may sleep.
 * Return: the object with a reference for the caller, or ERR_PTR(-ENOMEM).
 */
struct tce_charge *tce_charge_create(void);

/**
 * tce_charge_get() - take another reference
 * @charge: the object
 *
 * Context: Any.
 * Return: @charge.
 */
struct tce_charge *tce_charge_get(struct tce_charge *charge);

/**
 * tce_charge_put() - drop a reference
 * @charge: the object
 *
 * Context: Any but an interrupt handler.
 */
void tce_charge_put(struct tce_charge *charge);

/**
 * tce_charge_add() - charge pages to locked_vm
 * @charge: the current process's address space
 * @pages: kernel pages; they belong to the caller until tce_charge_return() or
 *         tce_charge_sub()
 *
 * Context: Process, may sleep for as long as another task holds the mmap_lock.
 * The caller holds no lock that another process may need.
 * Return: 0, or -ENOMEM if RLIMIT_MEMLOCK would be exceeded.
 */
int tce_charge_add(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_add_or_take() - charge pages, or take held credit for those that
 * the limit does not allow
 * @charge: the current process's address space
 * @pages: as for tce_charge_add()
 *
 * Credit is not settled while a command of any container of the process holds
 * it. That command, which may be the caller, starts over if it lacks credit
 * then, so the number of its attempts must be limited.
 *
 * Context: As for tce_charge_add().
 * Return: As for tce_charge_add().
 */
int tce_charge_add_or_take(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_take() - take pages from the credit
 * @charge: the address space; NULL if nothing is charged
 * @pages: kernel pages
 * @wait: the caller can call tce_charge_refill() and start over
 *
 * Context: Any but an interrupt handler. Never sleeps.
 * Return: 0, or -ENOMEM if there is not enough credit.
 */
int tce_charge_take(struct tce_charge *charge, unsigned long pages, bool wait);

/**
 * tce_charge_misses() - number of times that there was no credit for a caller
 * that can wait
 * @charge: the address space
 *
 * Context: Any.
 * Return: a counter that wraps.
 */
static inline unsigned int tce_charge_misses(const struct tce_charge *charge)
{
	return atomic_read(&charge->misses);
}

/**
 * tce_charge_hold() - keep the credit from being settled
 * @charge: the address space
 *
 * A command that exceeds the limit can still take it (tce_charge_add_or_take(),
 * tce_charge_settle_held()).
 *
 * Calls can nest. tce_charge_unhold() must follow each of them.
 *
 * Context: Any.
 */
static inline void tce_charge_hold(struct tce_charge *charge)
{
	atomic_inc(&charge->held);
}

/**
 * tce_charge_unhold() - undo tce_charge_hold()
 * @charge: the address space
 *
 * Context: Any.
 */
static inline void tce_charge_unhold(struct tce_charge *charge)
{
	atomic_dec(&charge->held);
}

/**
 * tce_charge_has_credit() - whether there is credit
 * @charge: the address space
 *
 * Context: Any.
 * Return: true if there was credit just now, or if it is being settled.
 */
bool tce_charge_has_credit(struct tce_charge *charge);

/**
 * tce_charge_refill() - get some credit
 * @charge: the current process's address space
 * @pages: kernel pages; fewer are charged if RLIMIT_MEMLOCK allows no more
 *
 * Context: As for tce_charge_add().
 * Return: 0; -ENOMEM if RLIMIT_MEMLOCK does not allow a single page beside what
 * is charged and credit that is held (tce_charge_has_credit()); -EINTR if a
 * fatal signal is pending.
 */
int tce_charge_refill(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_wanted() - whether tce_charge_top_up() is needed
 * @charge: the address space
 *
 * Context: Any.
 * Return: true if so.
 */
static inline bool tce_charge_wanted(const struct tce_charge *charge)
{
	return READ_ONCE(charge->wanted);
}

/**
 * tce_charge_top_up() - leave some credit for callers that cannot wait
 * @charge: the current process's address space
 *
 * Like all credit it is settled after a short delay.
 *
 * Context: As for tce_charge_add().
 */
void tce_charge_top_up(struct tce_charge *charge);

/**
 * tce_charge_return() - turn charged pages into credit
 * @charge: the address space; NULL if nothing was charged
 * @pages: kernel pages
 *
 * The credit is settled after a short delay.
 *
 * Context: Any but an interrupt handler. Never sleeps.
 */
void tce_charge_return(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_sub() - subtract pages and all credit from locked_vm
 * @charge: the current process's address space
 * @pages: kernel pages that were charged
 *
 * The credit stays while it is held (tce_charge_hold()). When this returns,
 * credit that another thread or the work item was settling has been subtracted,
 * too.
 *
 * Context: As for tce_charge_add().
 */
void tce_charge_sub(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_settle() - subtract all credit from locked_vm, unless it is held
 * @charge: the current process's address space
 *
 * Context: As for tce_charge_add().
 */
static inline void tce_charge_settle(struct tce_charge *charge)
{
	tce_charge_sub(charge, 0);
}

/**
 * tce_charge_settle_held() - subtract all credit from locked_vm, even if it is
 * held
 * @charge: the current process's address space
 *
 * For a command that the credit keeps from charging, and that needs none
 * itself. A command that holds the credit can get some again.
 *
 * Context: As for tce_charge_add().
 */
void tce_charge_settle_held(struct tce_charge *charge);

/**
 * tce_charge_settle_timeout() - have a work item settle the credit, and wait
 * for it
 * @charge: the address space, which need not be the current process's
 *
 * Waits for a tenth of a second at most, as the mmap_lock or the credit may be
 * held for longer. The work item settles the credit in any case, once it is not
 * held.
 *
 * Context: Process, may sleep.
 */
void tce_charge_settle_timeout(struct tce_charge *charge);

#endif /* TCE_CHARGE_H */
