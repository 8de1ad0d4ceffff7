// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the charges to locked_vm, and of the credit.
 */

#include <kunit/test.h>

#include <linux/bits.h>
#include <linux/capability.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/module.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "fixture.h"
#include "tce_charge.h"
#include "tce_table.h"
#include "tce_work.h"
#include "threads.h"

/* Kernel pages that a refill charges. */
#define REFILL	64

/* Levels of at least a kernel page, so that each level is charged. */
static const struct shape charge_shapes[] = {
	{ .page_shift = 12, .levels = 2, .entries = BIT(2 * (PAGE_SHIFT - 3)) },
	{ .page_shift = 12, .levels = 3, .entries = BIT(3 * (PAGE_SHIFT - 2)) },
};

KUNIT_ARRAY_PARAM(charge, charge_shapes, shape_describe);

static struct tce_charge *charge_create(struct kunit *test)
{
	struct tce_charge *charge;

	/* kunit_vm_mmap() gives the thread an address space. */
	KUNIT_ASSERT_NE(test, 0, kunit_vm_mmap(test, NULL, 0, PAGE_SIZE,
					       PROT_READ,
					       MAP_ANONYMOUS | MAP_PRIVATE, 0));
	KUNIT_ASSERT_EQ(test, current->mm->locked_vm, 0);
	charge = tce_charge_create();
	KUNIT_ASSERT_FALSE(test, IS_ERR(charge));
	KUNIT_EXPECT_PTR_EQ(test, charge->mm, current->mm);

	return charge;
}

/* Expects the credit, and locked_vm, which includes the credit. */
static void expect_charged(struct kunit *test, struct tce_charge *charge,
			   unsigned long credit, unsigned long charged)
{
	KUNIT_EXPECT_EQ(test, atomic_long_read(&charge->credit), credit);
	KUNIT_EXPECT_EQ(test, charge->mm->locked_vm, charged);
	/* No tce_charge_sub() has left @settling raised. */
	KUNIT_EXPECT_EQ(test, atomic_read(&charge->settling), 0);
}

/* Keeps the work item from changing the credit until charge_flush(). */
static void charge_delay_settle(struct kunit *test, struct tce_charge *charge)
{
	tce_charge_get(charge);
	__module_get(THIS_MODULE);
	KUNIT_ASSERT_TRUE(test, queue_delayed_work(tce_mm_wq, &charge->settle,
						   1000 * HZ));
}

/* Runs the work item, which has a reference while it is pending. */
static void charge_flush(struct tce_charge *charge)
{
	while (kref_read(&charge->ref) > 1)
		flush_delayed_work(&charge->settle);
}

static void charge_destroy(struct kunit *test, struct tce_charge *charge)
{
	charge_flush(charge);
	expect_charged(test, charge, 0, 0);
	tce_charge_put(charge);
}

static void charge_uses_credit(struct kunit *test)
{
	struct tce_charge *charge = charge_create(test);
	unsigned int misses = tce_charge_misses(charge);

	KUNIT_EXPECT_EQ(test, 0, tce_charge_take(charge, 0, true));
	KUNIT_EXPECT_EQ(test, 0, tce_charge_take(NULL, 5, true));
	tce_charge_return(NULL, 5);
	tce_charge_return(charge, 0);
	KUNIT_EXPECT_EQ(test, kref_read(&charge->ref), 1);
	charge_delay_settle(test, charge);

	/* Misses are counted only for callers that can wait. */
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_take(charge, 1, false));
	KUNIT_EXPECT_EQ(test, misses, tce_charge_misses(charge));
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_take(charge, 1, true));
	KUNIT_EXPECT_EQ(test, misses + 1, tce_charge_misses(charge));
	expect_charged(test, charge, 0, 0);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	expect_charged(test, charge, REFILL, REFILL);

	KUNIT_EXPECT_EQ(test, 0, tce_charge_take(charge, REFILL - 1, true));
	expect_charged(test, charge, 1, REFILL);
	/* All or nothing. */
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_take(charge, 2, true));
	expect_charged(test, charge, 1, REFILL);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_take(charge, 1, false));
	expect_charged(test, charge, 0, REFILL);

	/* tce_charge_add() does not use the credit. */
	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 5));
	expect_charged(test, charge, 0, REFILL + 5);
	tce_charge_return(charge, REFILL + 5);
	expect_charged(test, charge, REFILL + 5, REFILL + 5);
	tce_charge_settle(charge);
	expect_charged(test, charge, 0, 0);
	/* Nothing is left to settle. */
	tce_charge_settle(charge);

	charge_destroy(test, charge);
}

/* The work item subtracts returned pages from locked_vm. */
static void work_settles_credit(struct kunit *test)
{
	struct tce_charge *charge = charge_create(test);

	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 7));
	charge_flush(charge);
	expect_charged(test, charge, 0, 7);
	tce_charge_return(charge, 2);
	charge_flush(charge);
	expect_charged(test, charge, 0, 5);
	tce_charge_return(charge, 5);
	tce_charge_settle_timeout(charge);
	expect_charged(test, charge, 0, 0);

	charge_destroy(test, charge);
}

/* Further returns do not postpone a work item that is pending. */
static void pending_settle_is_not_delayed(struct kunit *test)
{
	struct tce_charge *charge = charge_create(test);
	unsigned long expires;

	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 3));
	charge_delay_settle(test, charge);
	expires = charge->settle.timer.expires;
	tce_charge_return(charge, 1);
	tce_charge_return(charge, 2);
	KUNIT_EXPECT_EQ(test, charge->settle.timer.expires, expires);
	KUNIT_EXPECT_EQ(test, kref_read(&charge->ref), 2);
	expect_charged(test, charge, 3, 3);
	/* tce_charge_settle_timeout() runs it at once. */
	tce_charge_settle_timeout(charge);
	KUNIT_EXPECT_FALSE(test, timer_pending(&charge->settle.timer));

	charge_destroy(test, charge);
}

/* A command that starts over must find the credit of its refill. */
static void held_credit_is_not_settled(struct kunit *test)
{
	struct tce_charge *charge = charge_create(test);
	unsigned int i;

	tce_charge_hold(charge);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	tce_charge_settle(charge);
	expect_charged(test, charge, REFILL, REFILL);
	/* The work item requeues itself, with a reference to the charge. */
	for (i = 0; i < 3; i++) {
		flush_delayed_work(&charge->settle);
		KUNIT_EXPECT_GE(test, kref_read(&charge->ref), 2);
		expect_charged(test, charge, REFILL, REFILL);
	}
	/* Holds nest. */
	tce_charge_hold(charge);
	tce_charge_unhold(charge);
	tce_charge_settle(charge);
	expect_charged(test, charge, REFILL, REFILL);
	tce_charge_unhold(charge);
	tce_charge_settle(charge);
	expect_charged(test, charge, 0, 0);

	charge_destroy(test, charge);
}

/*
 * A caller that cannot wait sets @wanted; the next caller that can wait then
 * leaves some credit.
 */
static void top_up_leaves_credit(struct kunit *test)
{
	struct tce_charge *charge = charge_create(test);

	charge_delay_settle(test, charge);
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_take(charge, 1, true));
	KUNIT_EXPECT_FALSE(test, tce_charge_wanted(charge));
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_take(charge, 1, false));
	KUNIT_EXPECT_TRUE(test, tce_charge_wanted(charge));
	tce_charge_top_up(charge);
	KUNIT_EXPECT_FALSE(test, tce_charge_wanted(charge));
	expect_charged(test, charge, TCE_CHARGE_REFILL, TCE_CHARGE_REFILL);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_take(charge, 1, false));
	KUNIT_EXPECT_FALSE(test, tce_charge_wanted(charge));
	tce_charge_return(charge, 1);

	charge_destroy(test, charge);
}

/*
 * Lets the thread lock no more than @pages further pages, without CAP_IPC_LOCK.
 * Not undone: the thread ends with the test.
 */
static void charge_limit(struct kunit *test, unsigned long pages)
{
	struct cred *cred = prepare_creds();

	KUNIT_ASSERT_NOT_NULL(test, cred);
	cap_lower(cred->cap_effective, CAP_IPC_LOCK);
	KUNIT_ASSERT_EQ(test, commit_creds(cred), 0);
	current->signal->rlim[RLIMIT_MEMLOCK].rlim_cur =
		(current->mm->locked_vm + pages) << PAGE_SHIFT;
}

/*
 * A refill halves its charge until the limit allows it. Credit never makes a
 * charge fail.
 */
static void refill_up_to_memlock_limit(struct kunit *test)
{
	struct tce_charge *charge = charge_create(test);

	charge_delay_settle(test, charge);
	charge_limit(test, 5);
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_add(charge, 6));
	expect_charged(test, charge, 0, 0);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	expect_charged(test, charge, 4, 4);
	/* The limit allows one page more without settling the credit. */
	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 1));
	expect_charged(test, charge, 4, 5);
	/* Too many even without the credit, which the attempt has settled. */
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_add(charge, 5));
	expect_charged(test, charge, 0, 1);
	tce_charge_return(charge, 1);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 5));
	expect_charged(test, charge, 0, 5);
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_refill(charge, REFILL));
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_add(charge, 1));
	expect_charged(test, charge, 0, 5);
	tce_charge_return(charge, 5);

	charge_destroy(test, charge);
}

static void held_credit_can_be_taken(struct kunit *test)
{
	struct tce_charge *charge = charge_create(test);

	charge_delay_settle(test, charge);
	charge_limit(test, 5);
	tce_charge_hold(charge);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	expect_charged(test, charge, 4, 4);
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_add(charge, 3));
	expect_charged(test, charge, 4, 4);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_add_or_take(charge, 3));
	expect_charged(test, charge, 1, 4);
	/* A part, and the rest is charged; all or nothing. */
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_add_or_take(charge, 3));
	expect_charged(test, charge, 1, 4);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_add_or_take(charge, 2));
	expect_charged(test, charge, 0, 5);
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_add_or_take(charge, 1));
	expect_charged(test, charge, 0, 5);
	tce_charge_return(charge, 5);
	expect_charged(test, charge, 5, 5);
	/* What is in use after that is all that the limit must allow. */
	current->signal->rlim[RLIMIT_MEMLOCK].rlim_cur = 2 << PAGE_SHIFT;
	KUNIT_EXPECT_EQ(test, 0, tce_charge_add_or_take(charge, 2));
	expect_charged(test, charge, 3, 5);
	tce_charge_return(charge, 2);
	tce_charge_settle(charge);
	expect_charged(test, charge, 5, 5);
	tce_charge_settle_held(charge);
	expect_charged(test, charge, 0, 0);
	tce_charge_unhold(charge);

	charge_destroy(test, charge);
}

/* A refill fails because of credit that another command got: it is found. */
static void credit_of_others_is_found(struct kunit *test)
{
	struct tce_charge *charge = charge_create(test);
	unsigned int i;

	charge_delay_settle(test, charge);
	charge_limit(test, 2);
	KUNIT_EXPECT_FALSE(test, tce_charge_has_credit(charge));
	tce_charge_hold(charge);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	expect_charged(test, charge, 2, 2);
	tce_charge_hold(charge);
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_refill(charge, REFILL));
	expect_charged(test, charge, 2, 2);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_TRUE(test, tce_charge_has_credit(charge));
		KUNIT_EXPECT_EQ(test, 0, tce_charge_take(charge, 1, true));
	}
	KUNIT_EXPECT_FALSE(test, tce_charge_has_credit(charge));
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_refill(charge, REFILL));
	expect_charged(test, charge, 0, 2);
	tce_charge_return(charge, 2);
	tce_charge_unhold(charge);
	tce_charge_unhold(charge);
	tce_charge_settle(charge);

	charge_destroy(test, charge);
}

/**
 * struct holder - a thread that holds the mmap_lock of a charged address space
 * @test: the test
 * @charge: the charge of the address space
 * @held: completed when the lock is held
 * @leave: completed when it is to be released
 */
struct holder {
	struct kunit *test;
	struct tce_charge *charge;
	struct completion held;
	struct completion leave;
};

static void holder_hold(struct holder *holder)
{
	mmap_write_lock(holder->charge->mm);
	complete(&holder->held);
	wait_for_completion(&holder->leave);
	mmap_write_unlock(holder->charge->mm);
}

/*
 * While the mmap_lock is held neither the caller nor the work item blocks, and
 * the credit is not lost.
 */
static void holder_settle(struct holder *holder)
{
	struct tce_charge *charge = holder->charge;
	unsigned int i;

	wait_for_completion(&holder->held);
	for (i = 0; i < 3; i++) {
		tce_charge_settle_timeout(charge);
		KUNIT_EXPECT_GE(holder->test, kref_read(&charge->ref), 2);
		flush_delayed_work(&charge->settle);
		expect_charged(holder->test, charge, REFILL, REFILL);
	}
	/* The delay of a retry doubles, up to a second. */
	for (i = 0; i < 10; i++)
		flush_delayed_work(&charge->settle);
	KUNIT_EXPECT_EQ(holder->test, READ_ONCE(charge->delay), HZ);
	complete(&holder->leave);
}

static void holder_body(void *data, unsigned int me)
{
	if (me)
		holder_settle(data);
	else
		holder_hold(data);
}

static void settle_does_not_wait_for_mmap_lock(struct kunit *test)
{
	struct holder holder = { .test = test, .charge = charge_create(test) };
	struct tce_charge *charge = holder.charge;
	unsigned long delay = charge->delay;

	KUNIT_EXPECT_LE(test, delay, HZ / 10);
	init_completion(&holder.held);
	init_completion(&holder.leave);
	charge_delay_settle(test, charge);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	/* Begin with no pending work item. */
	KUNIT_ASSERT_TRUE(test, cancel_delayed_work_sync(&charge->settle));
	tce_charge_put(charge);
	module_put(THIS_MODULE);
	KUNIT_EXPECT_EQ(test, kref_read(&charge->ref), 1);

	threads_run(test, 2, holder_body, &holder);

	charge_flush(charge);
	KUNIT_EXPECT_EQ(test, charge->delay, delay);
	charge_destroy(test, charge);
}

/*
 * Thread 1 has taken the credit, and waits for the mmap_lock. Thread 2 settles
 * meanwhile, and must not return before locked_vm is correct.
 */
static void settlers_body(void *data, unsigned int me)
{
	struct holder *holder = data;
	struct tce_charge *charge = holder->charge;

	if (me == 0) {
		mmap_write_lock(charge->mm);
		complete_all(&holder->held);
		wait_for_completion(&holder->leave);
		msleep(20);
		mmap_write_unlock(charge->mm);
		return;
	}

	wait_for_completion(&holder->held);
	if (me == 2) {
		while (!atomic_read(&charge->settling))
			cond_resched();
		complete(&holder->leave);
	}
	tce_charge_settle(charge);
	expect_charged(holder->test, charge, 0, 0);
}

static void settle_waits_for_other_threads(struct kunit *test)
{
	struct holder holder = { .test = test, .charge = charge_create(test) };

	init_completion(&holder.held);
	init_completion(&holder.leave);
	charge_delay_settle(test, holder.charge);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(holder.charge, REFILL));

	threads_run(test, 3, settlers_body, &holder);

	charge_destroy(test, holder.charge);
}

/* Expects that locked_vm is the pages of the only table and the credit. */
static void expect_table_charged(struct kunit *test, struct tce_charge *charge)
{
	KUNIT_EXPECT_EQ(test, charge->mm->locked_vm,
			atomic_long_read(&charge->credit) +
			(fixture_bytes(test) >> PAGE_SHIFT));
}

static struct tce_table *charged_table(struct kunit *test,
				       const struct shape *shape,
				       struct tce_charge *charge)
{
	struct tce_geometry geo;
	struct tce_table *table;

	KUNIT_ASSERT_EQ(test, 0,
			tce_geometry_init(&geo, shape->page_shift,
					  shape->entries, shape->levels));
	table = table_create(test, &geo, charge);
	KUNIT_ASSERT_EQ(test, PTR_ERR(table), -ENOMEM);
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 0);
	charge_delay_settle(test, charge);
	KUNIT_ASSERT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	table = table_create(test, &geo, charge);
	KUNIT_ASSERT_FALSE(test, IS_ERR(table));

	return table;
}

static void levels_are_charged(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_charge *charge = charge_create(test);
	struct tce_table *table = charged_table(test, shape, charge);
	unsigned long leaf = span_of(shape, 1), index;
	struct tce_range range;
	unsigned int starts = 0;

	expect_table_charged(test, charge);
	tce_charge_settle(charge);
	expect_table_charged(test, charge);

	/* Without credit no level is allocated, and nothing changes. */
	expect_exchange_error(test, table, 0, READ_ONLY, TCE_OWNER_NONE, true,
			      -ENOMEM);
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			table_hold(table, &range, 0, GFP_NOWAIT));
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			table_hold(table, &range, 0, GFP_KERNEL));
	expect_figures(test, table, 0);
	expect_table_charged(test, charge);

	/* Each refill covers a part of the range. */
	range.index = leaf / 2;
	range.end = range.index + 4 * leaf;
	while (tce_table_prepare(table, &range, TCE_OWNER_EACH, GFP_KERNEL)) {
		expect_table_charged(test, charge);
		KUNIT_ASSERT_EQ(test, 0, tce_charge_refill(charge, REFILL));
		starts++;
	}
	KUNIT_EXPECT_GT(test, starts, 0);
	tce_table_finish(&range);
	expect_table_charged(test, charge);
	tce_charge_settle(charge);
	expect_table_charged(test, charge);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&charge->credit), 0);

	/* The pages of trimmed levels are credit for new ones. */
	table_trim_all(test, table);
	expect_table_charged(test, charge);
	KUNIT_EXPECT_GT(test, atomic_long_read(&charge->credit), 0);
	for (index = 0; index < 4 * leaf; index += leaf)
		table_set(test, table, index, READ_ONLY);
	expect_table_charged(test, charge);
	charge_flush(charge);
	expect_table_charged(test, charge);
	charge_delay_settle(test, charge);

	/* The charge of a failed allocation is credit again. */
	KUNIT_ASSERT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	fixture_fail_alloc(test, 1);
	expect_exchange_error(test, table, 7 * leaf, READ_ONLY, TCE_OWNER_NONE,
			      true, -ENOMEM);
	KUNIT_EXPECT_TRUE(test, fixture_alloc_failed(test));
	fixture_fail_alloc(test, 0);
	expect_table_charged(test, charge);

	table_destroy(test, table);
	expect_table_charged(test, charge);
	tce_charge_settle(charge);

	charge_destroy(test, charge);
}

/* What one container leaves is settled when another one needs it. */
static void containers_of_a_process_share(struct kunit *test)
{
	struct tce_charge *charge = charge_create(test), *other;

	other = tce_charge_create();
	KUNIT_EXPECT_PTR_EQ(test, charge, other);
	KUNIT_EXPECT_EQ(test, kref_read(&charge->ref), 2);
	tce_charge_put(other);
	charge_destroy(test, charge);

	/* It was freed, and is not found. */
	charge = tce_charge_create();
	KUNIT_ASSERT_FALSE(test, IS_ERR(charge));
	KUNIT_EXPECT_EQ(test, kref_read(&charge->ref), 1);
	charge_destroy(test, charge);
}

static struct kunit_case tce_charge_cases[] = {
	KUNIT_CASE(charge_uses_credit),
	KUNIT_CASE(work_settles_credit),
	KUNIT_CASE(pending_settle_is_not_delayed),
	KUNIT_CASE(held_credit_is_not_settled),
	KUNIT_CASE(top_up_leaves_credit),
	KUNIT_CASE(refill_up_to_memlock_limit),
	KUNIT_CASE(held_credit_can_be_taken),
	KUNIT_CASE(credit_of_others_is_found),
	KUNIT_CASE(settle_does_not_wait_for_mmap_lock),
	KUNIT_CASE(settle_waits_for_other_threads),
	KUNIT_CASE(containers_of_a_process_share),
	KUNIT_CASE_PARAM(levels_are_charged, charge_gen_params),
	{}
};

/* Built into the driver, the suite uses the driver's workqueues. */
static bool charge_own_queues;

static int charge_work_init(struct kunit_suite *suite)
{
	int ret;

	if (tce_wq && !charge_own_queues)
		return 0;

	ret = tce_work_init();
	charge_own_queues = !ret;

	return ret;
}

static void charge_work_exit(struct kunit_suite *suite)
{
	if (charge_own_queues)
		tce_work_exit();
}

static struct kunit_suite tce_charge_suite = {
	.name = "tce_charge",
	.suite_init = charge_work_init,
	.suite_exit = charge_work_exit,
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_charge_cases,
};

kunit_test_suite(tce_charge_suite);
