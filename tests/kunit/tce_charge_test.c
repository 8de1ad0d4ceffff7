// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of what tables are charged to: a credit, and the locked_vm behind it.
 */

#include <kunit/test.h>

#include <linux/bits.h>
#include <linux/capability.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/err.h>
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

/* What a refill charges, in kernel pages. */
#define REFILL	64

/* Levels of a kernel page or more, so that each of them is charged. */
static const struct shape charge_shapes[] = {
	{ .page_shift = 12, .levels = 2, .entries = BIT(2 * (PAGE_SHIFT - 3)) },
	{ .page_shift = 12, .levels = 3, .entries = BIT(3 * (PAGE_SHIFT - 2)) },
};

KUNIT_ARRAY_PARAM(charge, charge_shapes, shape_describe);

static struct tce_charge *charge_of(struct kunit *test)
{
	struct tce_charge *charge;

	/* The thread gets an address space with it. */
	KUNIT_ASSERT_NE(test, 0, kunit_vm_mmap(test, NULL, 0, PAGE_SIZE,
					       PROT_READ,
					       MAP_ANONYMOUS | MAP_PRIVATE, 0));
	KUNIT_ASSERT_EQ(test, current->mm->locked_vm, 0);
	charge = tce_charge_create();
	KUNIT_ASSERT_FALSE(test, IS_ERR(charge));
	KUNIT_EXPECT_PTR_EQ(test, charge->mm, current->mm);

	return charge;
}

/* What is charged and not used, and what is charged. */
static void expect_charged(struct kunit *test, struct tce_charge *charge,
			   unsigned long credit, unsigned long charged)
{
	KUNIT_EXPECT_EQ(test, atomic_long_read(&charge->credit), credit);
	KUNIT_EXPECT_EQ(test, charge->mm->locked_vm, charged);
	/* Nobody is told to wait for what is over. */
	KUNIT_EXPECT_EQ(test, atomic_read(&charge->settling), 0);
}

/* Until charge_later(), no work item changes the credit. */
static void charge_steady(struct kunit *test, struct tce_charge *charge)
{
	tce_charge_get(charge);
	__module_get(THIS_MODULE);
	KUNIT_ASSERT_TRUE(test, queue_delayed_work(tce_mm_wq, &charge->settle,
						   1000 * HZ));
}

/* Runs what is to be done later; it has a reference while it is pending. */
static void charge_later(struct tce_charge *charge)
{
	while (kref_read(&charge->ref) > 1)
		flush_delayed_work(&charge->settle);
}

static void charge_gone(struct kunit *test, struct tce_charge *charge)
{
	charge_later(charge);
	expect_charged(test, charge, 0, 0);
	tce_charge_put(charge);
}

static void charges_come_from_the_credit(struct kunit *test)
{
	struct tce_charge *charge = charge_of(test);
	unsigned int misses = tce_charge_misses(charge);

	KUNIT_EXPECT_EQ(test, 0, tce_charge_take(charge, 0, true));
	KUNIT_EXPECT_EQ(test, 0, tce_charge_take(NULL, 5, true));
	tce_charge_return(NULL, 5);
	tce_charge_return(charge, 0);
	KUNIT_EXPECT_EQ(test, kref_read(&charge->ref), 1);
	charge_steady(test, charge);

	/* Only who can wait is told that it was the credit. */
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

	/* The caller's own, until it gives them back. */
	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 5));
	expect_charged(test, charge, 0, REFILL + 5);
	tce_charge_return(charge, REFILL + 5);
	expect_charged(test, charge, REFILL + 5, REFILL + 5);
	tce_charge_settle(charge);
	expect_charged(test, charge, 0, 0);
	/* Once is enough. */
	tce_charge_settle(charge);

	charge_gone(test, charge);
}

/* The work item takes pages that were given back off locked_vm. */
static void credit_is_settled_later(struct kunit *test)
{
	struct tce_charge *charge = charge_of(test);

	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 7));
	charge_later(charge);
	expect_charged(test, charge, 0, 7);
	tce_charge_return(charge, 2);
	charge_later(charge);
	expect_charged(test, charge, 0, 5);
	tce_charge_return(charge, 5);
	tce_charge_settle_timeout(charge);
	expect_charged(test, charge, 0, 0);

	charge_gone(test, charge);
}

/* What is given back in turn is settled all at once, not ever later. */
static void settling_is_not_put_off(struct kunit *test)
{
	struct tce_charge *charge = charge_of(test);
	unsigned long expires;

	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 3));
	charge_steady(test, charge);
	expires = charge->settle.timer.expires;
	tce_charge_return(charge, 1);
	tce_charge_return(charge, 2);
	KUNIT_EXPECT_EQ(test, charge->settle.timer.expires, expires);
	KUNIT_EXPECT_EQ(test, kref_read(&charge->ref), 2);
	expect_charged(test, charge, 3, 3);
	/* But what is to be settled soon is settled now. */
	tce_charge_settle_timeout(charge);
	KUNIT_EXPECT_FALSE(test, timer_pending(&charge->settle.timer));

	charge_gone(test, charge);
}

/* A command that starts over finds the credit that it got. */
static void held_credit_stays(struct kunit *test)
{
	struct tce_charge *charge = charge_of(test);
	unsigned int i;

	tce_charge_hold(charge);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	tce_charge_settle(charge);
	expect_charged(test, charge, REFILL, REFILL);
	/* The work item puts it off. */
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_TRUE(test, flush_delayed_work(&charge->settle));
		expect_charged(test, charge, REFILL, REFILL);
	}
	/* Another one holds it, too. */
	tce_charge_hold(charge);
	tce_charge_release(charge);
	tce_charge_settle(charge);
	expect_charged(test, charge, REFILL, REFILL);
	tce_charge_release(charge);
	tce_charge_settle(charge);
	expect_charged(test, charge, 0, 0);

	charge_gone(test, charge);
}

/* Who cannot wait leaves a note for who can. */
static void wanted_credit_is_left(struct kunit *test)
{
	struct tce_charge *charge = charge_of(test);

	charge_steady(test, charge);
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

	charge_gone(test, charge);
}

/* From here on the thread, which ends with its test, may lock @pages more, like a user. */
static void charge_limited(struct kunit *test, unsigned long pages)
{
	struct cred *cred = prepare_creds();

	KUNIT_ASSERT_NOT_NULL(test, cred);
	cap_lower(cred->cap_effective, CAP_IPC_LOCK);
	KUNIT_ASSERT_EQ(test, commit_creds(cred), 0);
	current->signal->rlim[RLIMIT_MEMLOCK].rlim_cur =
		(current->mm->locked_vm + pages) << PAGE_SHIFT;
}

/* A refill takes what there is, and what is to be given back is in nobody's way. */
static void limit_is_used_up(struct kunit *test)
{
	struct tce_charge *charge = charge_of(test);

	charge_steady(test, charge);
	charge_limited(test, 5);
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_add(charge, 6));
	expect_charged(test, charge, 0, 0);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	expect_charged(test, charge, 4, 4);
	/* As it is, without settling. */
	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 1));
	expect_charged(test, charge, 4, 5);
	/* Not even then. */
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_add(charge, 5));
	expect_charged(test, charge, 0, 1);
	tce_charge_return(charge, 1);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_add(charge, 5));
	expect_charged(test, charge, 0, 5);
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_refill(charge, REFILL));
	KUNIT_EXPECT_EQ(test, -ENOMEM, tce_charge_add(charge, 1));
	expect_charged(test, charge, 0, 5);
	tce_charge_return(charge, 5);

	charge_gone(test, charge);
}

/**
 * struct holder - an address space whose lock is held
 * @test: the test
 * @charge: it is charged
 * @held: the lock is held
 * @leave: it may be released
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

/* Neither the caller nor the work item waits for long, and the credit is not forgotten. */
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
	complete(&holder->leave);
}

static void holder_body(void *data, unsigned int me)
{
	if (me)
		holder_settle(data);
	else
		holder_hold(data);
}

static void settling_waits_for_no_lock(struct kunit *test)
{
	struct holder holder = { .test = test, .charge = charge_of(test) };
	struct tce_charge *charge = holder.charge;

	init_completion(&holder.held);
	init_completion(&holder.leave);
	charge_steady(test, charge);
	KUNIT_EXPECT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	/* Nothing is pending. */
	KUNIT_ASSERT_TRUE(test, cancel_delayed_work_sync(&charge->settle));
	tce_charge_put(charge);
	module_put(THIS_MODULE);
	KUNIT_EXPECT_EQ(test, kref_read(&charge->ref), 1);

	threads_run(test, 2, holder_body, &holder);

	charge_gone(test, charge);
}

/* The pages of the test's only table are charged, and the credit is the rest. */
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
	charge_steady(test, charge);
	KUNIT_ASSERT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	table = table_create(test, &geo, charge);
	KUNIT_ASSERT_FALSE(test, IS_ERR(table));

	return table;
}

static void table_is_charged(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_charge *charge = charge_of(test);
	struct tce_table *table = charged_table(test, shape, charge);
	unsigned long leaf = span_of(shape, 1), index;
	struct tce_range range;
	unsigned int starts = 0;

	expect_table_charged(test, charge);
	tce_charge_settle(charge);
	expect_table_charged(test, charge);

	/* Without a credit nothing grows, and nothing is changed. */
	exchange_is_refused(test, table, 0, READ_ONLY, TCE_OWNER_NONE, true,
			    -ENOMEM);
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &range, 0, GFP_NOWAIT));
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &range, 0, GFP_KERNEL));
	expect_figures(test, table, 0);
	expect_table_charged(test, charge);

	/* A range starts over as often as it takes. */
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

	/* What a level gives back, the next one takes. */
	table_trimmed(test, table);
	expect_table_charged(test, charge);
	KUNIT_EXPECT_GT(test, atomic_long_read(&charge->credit), 0);
	for (index = 0; index < 4 * leaf; index += leaf)
		table_set(test, table, index, READ_ONLY);
	expect_table_charged(test, charge);
	charge_later(charge);
	expect_table_charged(test, charge);
	charge_steady(test, charge);

	/* What was charged and could not be allocated is credit, too. */
	KUNIT_ASSERT_EQ(test, 0, tce_charge_refill(charge, REFILL));
	fixture_refuse(test, 1);
	exchange_is_refused(test, table, 7 * leaf, READ_ONLY, TCE_OWNER_NONE,
			    true, -ENOMEM);
	KUNIT_EXPECT_TRUE(test, fixture_refused(test));
	fixture_refuse(test, 0);
	expect_table_charged(test, charge);

	table_gone(test, table);
	expect_table_charged(test, charge);
	tce_charge_settle(charge);

	charge_gone(test, charge);
}

static struct kunit_case tce_charge_cases[] = {
	KUNIT_CASE(charges_come_from_the_credit),
	KUNIT_CASE(credit_is_settled_later),
	KUNIT_CASE(settling_is_not_put_off),
	KUNIT_CASE(held_credit_stays),
	KUNIT_CASE(wanted_credit_is_left),
	KUNIT_CASE(limit_is_used_up),
	KUNIT_CASE(settling_waits_for_no_lock),
	KUNIT_CASE_PARAM(table_is_charged, charge_gen_params),
	{}
};

/* The queues are the suite's, not those of a driver that the suite is a part of. */
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
