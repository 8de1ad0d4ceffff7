// SPDX-License-Identifier: GPL-2.0-only
/*
 * Charge memory to an address space's locked_vm. Contract: tce_charge.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/capability.h>
#include <linux/err.h>
#include <linux/hashtable.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>

#include "tce_charge.h"
#include "tce_work.h"

/*
 * Delay before credit is settled. A level that is allocated soon after another
 * one was freed uses the credit of that one, and no mmap_lock is taken.
 */
#define TCE_CHARGE_DELAY	(HZ / 10)

/* The first retry after the mmap_lock was found held; the delay is doubled. */
#define TCE_CHARGE_RETRY	(HZ / 100 + 1)
#define TCE_CHARGE_RETRY_MAX	((unsigned long)HZ)

/* How long the release of a container waits for the credit to be settled. */
#define TCE_CHARGE_WAIT		(HZ / 10)

/* Attempts to charge pages, or to take credit that counts towards the limit. */
#define TCE_CHARGE_TRIES	3

/* By address space */
static DEFINE_HASHTABLE(tce_charges, 6);
static DEFINE_SPINLOCK(tce_charges_lock);

static void tce_charge_settle_work(struct work_struct *work);

static struct tce_charge *tce_charge_find(const struct mm_struct *mm)
{
	struct tce_charge *charge;

	lockdep_assert_held(&tce_charges_lock);

	hash_for_each_possible(tce_charges, charge, node, (unsigned long)mm)
		if (charge->mm == mm && kref_get_unless_zero(&charge->ref))
			break;

	return charge;
}

struct tce_charge *tce_charge_create(void)
{
	struct tce_charge *charge, *other;

	charge = kzalloc(sizeof(*charge), TCE_GFP_FIXED);
	if (!charge)
		return ERR_PTR(-ENOMEM);

	kref_init(&charge->ref);
	charge->mm = current->mm;
	charge->delay = TCE_CHARGE_RETRY;
	INIT_DELAYED_WORK(&charge->settle, tce_charge_settle_work);

	spin_lock(&tce_charges_lock);
	other = tce_charge_find(charge->mm);
	if (!other) {
		mmgrab(charge->mm);
		hash_add(tce_charges, &charge->node, (unsigned long)charge->mm);
	}
	spin_unlock(&tce_charges_lock);
	if (!other)
		return charge;

	kfree(charge);

	return other;
}

struct tce_charge *tce_charge_get(struct tce_charge *charge)
{
	kref_get(&charge->ref);

	return charge;
}

static void tce_charge_free(struct kref *ref)
{
	struct tce_charge *charge = container_of(ref, struct tce_charge, ref);

	spin_lock(&tce_charges_lock);
	hash_del(&charge->node);
	spin_unlock(&tce_charges_lock);
	mmdrop(charge->mm);
	kfree(charge);
}

static void tce_charge_schedule(struct tce_charge *charge, unsigned long delay)
{
	/*
	 * Order the caller's change of the credit before the test: the work
	 * item reads the credit when it is no longer pending. Otherwise the
	 * test could find it pending, and the work item could read the old
	 * credit: the change would never be settled.
	 */
	smp_mb();
	if (delay && delayed_work_pending(&charge->settle))
		return;

	/*
	 * The work item may run after all other users of the module have gone.
	 */
	tce_charge_get(charge);
	__module_get(THIS_MODULE);
	if (mod_delayed_work(tce_mm_wq, &charge->settle, delay)) {
		tce_charge_put(charge);
		module_put(THIS_MODULE);
	}
}

/*
 * tce_charge_sub() without waiting for others that are settling. @all: also if
 * the credit is held.
 */
static void tce_charge_subtract(struct tce_charge *charge, unsigned long pages,
				bool all)
{
	bool settle = atomic_long_read(&charge->credit) &&
		      (all || !atomic_read(&charge->held));

	if (settle) {
		atomic_inc(&charge->settling);
		pages += atomic_long_xchg(&charge->credit, 0);
	}
	account_locked_vm(charge->mm, pages, false);
	if (settle) {
		/*
		 * atomic_dec_and_test() is a full barrier: locked_vm must be
		 * correct before tce_charge_settled() can return true.
		 */
		if (atomic_dec_and_test(&charge->settling)) {
			wake_up_var(&charge->settling);
			wake_up_var(&charge->credit);
		}
	}
}

static bool tce_charge_settled(struct tce_charge *charge)
{
	bool credit = atomic_long_read(&charge->credit);

	/*
	 * Pairs with the xchg() of the credit in tce_charge_subtract(), which
	 * comes after @settling was raised.
	 */
	smp_rmb();

	return !credit && !atomic_read(&charge->settling);
}

/*
 * The work item may have taken the credit, and not yet have changed locked_vm:
 * tce_charge_add() could fail because of it, although the limit allows its
 * pages.
 */
static void tce_charge_wait_settling(struct tce_charge *charge)
{
	/* The caller has read the credit. See tce_charge_settled(). */
	smp_rmb();
	wait_var_event(&charge->settling, !atomic_read(&charge->settling));
}

void tce_charge_sub(struct tce_charge *charge, unsigned long pages)
{
	might_lock(&charge->mm->mmap_lock);
	if (!pages && tce_charge_settled(charge))
		return;

	tce_charge_subtract(charge, pages, false);
	tce_charge_wait_settling(charge);
}

void tce_charge_settle_held(struct tce_charge *charge)
{
	tce_charge_subtract(charge, 0, true);
	tce_charge_wait_settling(charge);
}

bool tce_charge_has_credit(struct tce_charge *charge)
{
	return !tce_charge_settled(charge);
}

static void tce_charge_settle_work(struct work_struct *work)
{
	struct tce_charge *charge = container_of(to_delayed_work(work),
						 struct tce_charge, settle);

	/*
	 * Retry later while the credit is held, or while the mmap_lock is held,
	 * on which a worker would block.
	 */
	if (!tce_charge_settled(charge) && atomic_read(&charge->held)) {
		tce_charge_schedule(charge, TCE_CHARGE_DELAY);
	} else if (!tce_charge_settled(charge) &&
		   rwsem_is_locked(&charge->mm->mmap_lock)) {
		unsigned long delay = READ_ONCE(charge->delay);

		tce_charge_schedule(charge, delay);
		WRITE_ONCE(charge->delay,
			   min(2 * delay, TCE_CHARGE_RETRY_MAX));
	} else {
		WRITE_ONCE(charge->delay, TCE_CHARGE_RETRY);
		tce_charge_subtract(charge, 0, false);
	}
	/*
	 * Pairs with the barrier in wait_var_event_timeout(): either the waiter
	 * sees the new state, or it has queued itself and is woken here.
	 */
	smp_mb();
	wake_up_var(&charge->credit);
	tce_charge_put(charge);
	module_put(THIS_MODULE);
}

void tce_charge_settle_timeout(struct tce_charge *charge)
{
	if (tce_charge_settled(charge))
		return;

	/* The delay may have grown for credit of other containers. */
	WRITE_ONCE(charge->delay, TCE_CHARGE_RETRY);
	tce_charge_schedule(charge, 0);
	wait_var_event_timeout(&charge->credit, tce_charge_settled(charge),
			       TCE_CHARGE_WAIT);
}

void tce_charge_put(struct tce_charge *charge)
{
	kref_put(&charge->ref, tce_charge_free);
}

static bool tce_charge_take_credit(struct tce_charge *charge,
				   unsigned long pages)
{
	long credit = atomic_long_read(&charge->credit);

	do {
		if (credit < (long)pages)
			return false;
	} while (!atomic_long_try_cmpxchg(&charge->credit, &credit,
					  credit - pages));

	return true;
}

int tce_charge_add(struct tce_charge *charge, unsigned long pages)
{
	int ret;

	ret = account_locked_vm(charge->mm, pages, true);
	if (!ret)
		return 0;

	/* Credit that is not settled yet counts towards the limit. */
	tce_charge_settle(charge);

	return account_locked_vm(charge->mm, pages, true);
}

/*
 * Take what credit there is, and charge the rest: the rest first, so that no
 * credit is taken if the limit does not allow it. The mmap_lock is held
 * throughout, so that no other command exceeds the limit because of a charge
 * that is undone.
 */
static int tce_charge_add_and_take(struct tce_charge *charge,
				   unsigned long pages)
{
	bool bypass = capable(CAP_IPC_LOCK), taken;
	struct mm_struct *mm = charge->mm;
	unsigned long take;
	long credit;
	int ret;

	mmap_write_lock(mm);
	do {
		credit = atomic_long_read(&charge->credit);
		take = min_t(unsigned long, max(credit, 0L), pages);
		/* The limit may have been lowered below what is charged. */
		ret = take == pages ? 0 :
				      __account_locked_vm(mm, pages - take,
							  true, current,
							  bypass);
		if (ret)
			break;
		taken = atomic_long_try_cmpxchg(&charge->credit, &credit,
						credit - take);
		/* A level was charged meanwhile, or the credit is settled. */
		if (!taken)
			__account_locked_vm(mm, pages - take, false, current,
					    bypass);
	} while (!taken);
	mmap_write_unlock(mm);

	return ret;
}

int tce_charge_add_or_take(struct tce_charge *charge, unsigned long pages)
{
	unsigned int i;
	int ret;

	/*
	 * After the limit was exceeded, and before the credit is read, another
	 * command may begin to settle it: then try again.
	 */
	for (i = 0; i < TCE_CHARGE_TRIES; i++) {
		ret = tce_charge_add(charge, pages);
		if (ret == -ENOMEM)
			ret = tce_charge_add_and_take(charge, pages);
		if (!ret)
			break;
	}

	return ret;
}

int tce_charge_take(struct tce_charge *charge, unsigned long pages, bool wait)
{
	if (!charge || tce_charge_take_credit(charge, pages))
		return 0;

	if (wait)
		atomic_inc(&charge->misses);
	else
		WRITE_ONCE(charge->wanted, true);

	return -ENOMEM;
}

/*
 * The pages become credit before the mmap_lock is released: another command
 * that exceeds the limit because of them must find them there.
 */
static int tce_charge_add_credit(struct tce_charge *charge, unsigned long pages)
{
	int ret;

	mmap_write_lock(charge->mm);
	ret = __account_locked_vm(charge->mm, pages, true, current,
				  capable(CAP_IPC_LOCK));
	if (!ret)
		tce_charge_return(charge, pages);
	mmap_write_unlock(charge->mm);

	return ret;
}

int tce_charge_refill(struct tce_charge *charge, unsigned long pages)
{
	int ret;

	if (fatal_signal_pending(current))
		return -EINTR;

	/* Near the limit, charge less: one page may be enough for a level. */
	do {
		ret = tce_charge_add_credit(charge, pages);
		if (ret) {
			tce_charge_settle(charge);
			ret = tce_charge_add_credit(charge, pages);
		}
	} while (ret && (pages /= 2));

	return ret;
}

void tce_charge_top_up(struct tce_charge *charge)
{
	WRITE_ONCE(charge->wanted, false);
	tce_charge_refill(charge, TCE_CHARGE_REFILL);
}

void tce_charge_return(struct tce_charge *charge, unsigned long pages)
{
	if (!charge || !pages)
		return;

	atomic_long_add(pages, &charge->credit);
	tce_charge_schedule(charge, TCE_CHARGE_DELAY);
}
