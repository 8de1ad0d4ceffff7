/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Charging memory of tables to an address space's locked_vm.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_CHARGE_H
#define TCE_CHARGE_H

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/types.h>
#include <linux/workqueue.h>

/**
 * DOC: Charging
 *
 * locked_vm is changed with the address space's mmap_lock held for writing. A process
 * can hold its own for as long as it likes (a page fault that is never answered), so
 * only a command of the process itself ever waits for it, with no lock held that another
 * process may want:
 *
 * - What a command knows that it needs is charged with no lock held (tce_charge_add()),
 *   and is the command's own from then on.
 * - Levels come and go inside locks. They are taken from a credit, of pages that are
 *   charged and not used. Where there is none the allocation fails; a command that finds
 *   that levels have missed credit meanwhile gets some (tce_charge_refill()) and starts
 *   over. KVM cannot wait, and hands its hypercall up to user space, whose next command
 *   leaves some credit for it (tce_charge_top_up()).
 * - What is given back becomes credit, which is settled with the address space later:
 *   at the end of a command, or by a work item, which may have to wait.
 */

struct mm_struct;

/* Kernel pages to begin with in tce_charge_refill(). */
#define TCE_CHARGE_REFILL	64

/**
 * struct tce_charge - an address space that is charged
 * @ref: its users, and @settle while it is pending
 * @mm: the address space, mmgrab()bed
 * @credit: kernel pages that are charged and not used
 * @misses: how often there was no credit for a level, where the caller may sleep
 * @wanted: there was none where it may not
 * @held: commands that have got credit and are starting over, so that it must stay
 * @settling: credit that is being settled
 * @settle: settles @credit
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
};

/**
 * tce_charge_create() - charge the current process's address space
 *
 * Context: Process with an address space, may sleep.
 * Return: an object with one reference, or ERR_PTR(-ENOMEM).
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
 * @pages: kernel pages; the caller's own until tce_charge_return()
 *
 * Context: Process, may sleep for as long as the mmap_lock is held. No lock is held
 * that another process may want.
 * Return: 0 or -ENOMEM beyond RLIMIT_MEMLOCK.
 */
int tce_charge_add(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_take() - take pages from the credit
 * @charge: to whom they are charged; NULL for nobody
 * @pages: kernel pages
 * @wait: whether the caller can start over after a tce_charge_refill()
 *
 * Context: Any but an interrupt handler. Never sleeps.
 * Return: 0, or -ENOMEM if there is no credit.
 */
int tce_charge_take(struct tce_charge *charge, unsigned long pages, bool wait);

/**
 * tce_charge_misses() - how often there was no credit for a caller that can wait
 * @charge: the address space
 *
 * Context: Any.
 * Return: a number that wraps.
 */
static inline unsigned int tce_charge_misses(const struct tce_charge *charge)
{
	return atomic_read(&charge->misses);
}

/**
 * tce_charge_hold() - keep the credit until tce_charge_release()
 * @charge: the address space
 *
 * Context: Any.
 */
static inline void tce_charge_hold(struct tce_charge *charge)
{
	atomic_inc(&charge->held);
}

/**
 * tce_charge_release() - take tce_charge_hold() back
 * @charge: the address space
 *
 * Context: Any.
 */
static inline void tce_charge_release(struct tce_charge *charge)
{
	atomic_dec(&charge->held);
}

/**
 * tce_charge_refill() - get some credit
 * @charge: the current process's address space
 * @pages: kernel pages; fewer where that is all that RLIMIT_MEMLOCK allows
 *
 * Context: As for tce_charge_add().
 * Return: 0; -ENOMEM beyond RLIMIT_MEMLOCK; -EINTR if a fatal signal is pending.
 */
int tce_charge_refill(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_wanted() - whether tce_charge_top_up() has anything to do
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
 * It is settled like any other, soon.
 *
 * Context: As for tce_charge_add().
 */
void tce_charge_top_up(struct tce_charge *charge);

/**
 * tce_charge_return() - give pages back
 * @charge: to whom they were charged; NULL for nobody
 * @pages: kernel pages
 *
 * They are credit, which is settled soon.
 *
 * Context: Any but an interrupt handler. Never sleeps.
 */
void tce_charge_return(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_sub() - take pages, and the credit, off locked_vm now
 * @charge: the current process's address space
 * @pages: kernel pages that were charged
 *
 * Context: As for tce_charge_add().
 */
void tce_charge_sub(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_settle() - take the credit off locked_vm now
 * @charge: the current process's address space
 *
 * Context: As for tce_charge_add().
 */
static inline void tce_charge_settle(struct tce_charge *charge)
{
	tce_charge_sub(charge, 0);
}

/**
 * tce_charge_settle_timeout() - have the credit taken off locked_vm
 * @charge: any address space
 *
 * Waits for it, but not for long: the mmap_lock may be held.
 *
 * Context: Process, may sleep.
 */
void tce_charge_settle_timeout(struct tce_charge *charge);

#endif /* TCE_CHARGE_H */
