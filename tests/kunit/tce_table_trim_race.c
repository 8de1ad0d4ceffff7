// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that use a table while another one trims it.
 */

#include <kunit/test.h>

#include <linux/array_size.h>
#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/processor.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include <asm/hvcall.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_table.h"
#include "threads.h"

#define LEAVES		12
#define FIGURES		10

/* Rounds in which a leaf goes while others wait for it. */
#define WAITS		200

/* Long enough for another CPU to come to a lock. */
#define LOCK_SPINS	20000

static const struct shape trim_shapes[] = {
	{ .page_shift = 12, .levels = 5, .entries = BIT(42) },
	{ .page_shift = 12, .levels = 3, .entries = 0x12345678 },
	{ .page_shift = 12, .levels = 3, .entries = BIT(39) },
	{ .page_shift = 16, .levels = 3, .entries = 0x264000000000 >> 16 },
	{ .page_shift = 16, .levels = 2, .entries = BIT(26) },
	{ .page_shift = 21, .levels = 4, .entries = BIT(33) },
	{ .page_shift = 30, .levels = 3, .entries = BIT(24) },
};

KUNIT_ARRAY_PARAM(trim, trim_shapes, shape_describe);

static unsigned long leaf_far(const struct shape *shape, unsigned int i)
{
	/* Each second one is far away, so that the upper levels are its own. */
	return i * span_of(shape, 1) +
		(i & 1) * (shape->entries / 2 / span_of(shape, 1)) *
		span_of(shape, 1);
}

/* Readers */

/**
 * struct wait - threads that wait for each other until a level is freed
 * @test: the test
 * @shape: what the table was asked to be
 * @table: the table
 * @trimmer: the thread that trims
 * @reading: a reader is in its RCU section
 * @trim: it may begin
 * @killed: the levels are out of the tree, and killed
 * @trimmed: everything is over
 * @leave: the reader may leave
 * @left: it has left
 */
struct wait {
	struct kunit *test;
	const struct shape *shape;
	struct tce_table *table;
	struct task_struct *trimmer;
	struct completion reading;
	struct completion trim;
	struct completion killed;
	bool trimmed;
	bool leave;
	bool left;
};

static void wait_kill(void *data, unsigned long index, unsigned long count)
{
	struct wait *wait = data;

	complete(&wait->killed);
}

/* Waits until the thread that trims waits itself, or has come to the end. */
static bool wait_until_it_waits(struct wait *wait)
{
	while (!READ_ONCE(wait->trimmed)) {
		if (READ_ONCE(wait->trimmer->__state) != TASK_RUNNING)
			return true;
		schedule();
	}

	return false;
}

static void wait_trim(struct wait *wait)
{
	struct fixture *fixture = wait->test->priv;

	wait->trimmer = current;
	wait_for_completion(&wait->trim);
	fixture->kill_data = wait;
	fixture->kill = wait_kill;
	tce_table_trim(wait->table, 0);
	fixture->kill = NULL;
	KUNIT_EXPECT_TRUE(wait->test, READ_ONCE(wait->left));
	WRITE_ONCE(wait->trimmed, true);
}

/* The only one of them that has its CPU for itself. */
static void wait_read(struct wait *wait)
{
	bool early;

	rcu_read_lock();
	complete(&wait->reading);
	while (!READ_ONCE(wait->leave))
		cpu_relax();
	/* Whatever a walk has found has to be there until now. */
	early = READ_ONCE(wait->trimmed);
	WRITE_ONCE(wait->left, true);
	rcu_read_unlock();
	KUNIT_EXPECT_FALSE(wait->test, early);
}

static void wait_watch(struct wait *wait)
{
	struct fixture *fixture = wait->test->priv;
	long given_back = atomic_long_read(&fixture->given_back);
	unsigned int i;

	wait_for_completion(&wait->reading);
	complete(&wait->trim);
	wait_for_completion(&wait->killed);
	for (i = 0; i < 100; i++) {
		KUNIT_EXPECT_TRUE(wait->test, wait_until_it_waits(wait));
		KUNIT_EXPECT_EQ(wait->test,
				atomic_long_read(&fixture->given_back),
				given_back);
		if (READ_ONCE(wait->test->status) == KUNIT_FAILURE)
			break;
		schedule();
	}
	WRITE_ONCE(wait->leave, true);
}

static void wait_body(void *data, unsigned int me)
{
	struct wait *wait = data;

	switch (me) {
	case 0:
		wait_trim(wait);
		break;
	case 1:
		wait_read(wait);
		break;
	default:
		wait_watch(wait);
	}
}

static void readers_leave_first(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct wait wait = {
		.test = test, .shape = shape, .table = table_of(test, shape),
	};
	unsigned int i;

	if (num_online_cpus() < 2)
		kunit_skip(test, "the reader needs a CPU");

	init_completion(&wait.reading);
	init_completion(&wait.trim);
	init_completion(&wait.killed);
	for (i = 0; i < LEAVES; i++)
		table_store(test, shape, wait.table, leaf_far(shape, i), 2,
			    TCE_OWNER_EACH);
	table_clear(test, wait.table, 0, shape->entries);

	threads_run(test, 3, wait_body, &wait);
	KUNIT_EXPECT_EQ(test, 0, table_trimmed(test, wait.table));

	table_gone(test, wait.table);
}

/* Waiting for the lock of a leaf that goes */

/**
 * struct dead - threads that wait for the lock of one leaf
 * @test: the test
 * @shape: what the table was asked to be
 * @table: the table
 * @index: an entry of the leaf
 * @round: which round it is
 * @watch: the first thread is to let the others come
 * @locked: the first thread has the lock, and keeps it for the others
 * @trimming: the second one is about to unlink the leaf
 * @using: the third one is about to use it
 * @gone: the leaf has gone
 * @wrong: whatever must not happen
 */
struct dead {
	struct kunit *test;
	const struct shape *shape;
	struct tce_table *table;
	unsigned long index;
	unsigned int round;
	bool watch;
	bool locked;
	bool trimming;
	bool using;
	bool gone;
	unsigned int wrong;
};

static int dead_set(void *data, unsigned long index, const __be64 *tces,
		    unsigned long count)
{
	return 0;
}

/* The lock is held; the others come for it, who trims first. */
static int dead_clear(void *data, unsigned long index, unsigned long count)
{
	struct dead *dead = data;
	int spins;

	if (!READ_ONCE(dead->watch))
		return 0;
	WRITE_ONCE(dead->watch, false);
	WRITE_ONCE(dead->locked, true);
	for (spins = 0; spins < 100 * LOCK_SPINS && !READ_ONCE(dead->using);
	     spins++)
		cpu_relax();
	for (spins = 0; spins < LOCK_SPINS; spins++)
		barrier();

	return 0;
}

static void dead_kill(void *data, unsigned long index, unsigned long count)
{
	struct dead *dead = data;

	WRITE_ONCE(dead->gone, true);
}

static void dead_is_wrong(struct dead *dead, bool wrong)
{
	if (wrong)
		dead->wrong++;
}

static int dead_store(struct dead *dead, u64 tce)
{
	struct tce_range range = {
		.index = dead->index + 1, .end = dead->index + 2,
	};
	struct tce_batch new = {
		.count = 1,
		.entries = 1,
		.extent[0] = { .count = 1, .tce = tce, .owner = ua_of(1) },
	};
	struct tce_batch old;
	int ret;

	ret = tce_table_prepare(dead->table, &range, ua_of(1), GFP_KERNEL);
	if (ret)
		return ret;
	ret = tce_table_store(&range, &new, &old);
	dead_is_wrong(dead, old.count);
	tce_table_finish(&range);

	return ret;
}

/* Each way of getting at a leaf. Whatever happens to it, what was set is there. */
static void dead_use(struct dead *dead)
{
	u64 tce = hpa_of(dead->shape, dead->index + 1) | READ_WRITE;
	struct tce_entry entry = { .tce = tce, .owner = ua_of(1) };
	struct tce_cursor cursor = {
		.table = dead->table, .index = dead->index,
		.end = dead->index + 2,
	};
	struct tce_range range;
	struct tce_batch old;
	bool set = true;
	int ret;

	switch (dead->round % 6) {
	case 0:
		ret = tce_table_exchange(dead->table, dead->index + 1, &entry, true);
		dead_is_wrong(dead, ret || entry.tce);
		break;
	case 1:
		dead_is_wrong(dead, dead_store(dead, tce));
		break;
	case 2:
		ret = tce_table_exchange(dead->table, dead->index + 1, &entry, false);
		set = !ret;
		/* It may be gone already by then. */
		dead_is_wrong(dead, ret && ret != H_TOO_HARD);
		break;
	case 3:
		entry.tce = 0;
		set = false;
		ret = tce_table_exchange(dead->table, dead->index + 1, &entry, false);
		dead_is_wrong(dead, ret || entry.tce || entry.owner);
		break;
	case 4:
		set = false;
		tce_table_clear(&cursor, &old);
		dead_is_wrong(dead, old.count || cursor.index < cursor.end);
		break;
	default:
		set = false;
		ret = table_hold(dead->table, &range, dead->index + 1, GFP_NOWAIT);
		dead_is_wrong(dead, ret);
		if (!ret)
			tce_table_finish(&range);
	}
	dead_is_wrong(dead, tce_table_get(dead->table, dead->index + 1) !=
		      (set ? tce : 0));
}

static void dead_body(void *data, unsigned int me)
{
	struct dead *dead = data;
	struct tce_entry entry = { .tce = 0 };
	int spins;

	if (!me) {
		dead_is_wrong(dead, tce_table_exchange(dead->table, dead->index,
						       &entry, false));
		dead_is_wrong(dead, entry.owner != ua_of(1));
		return;
	}

	while (!READ_ONCE(dead->locked))
		cpu_relax();
	if (me == 1) {
		WRITE_ONCE(dead->trimming, true);
		tce_table_trim(dead->table, 0);
		return;
	}
	while (!READ_ONCE(dead->trimming))
		cpu_relax();
	for (spins = 0; spins < LOCK_SPINS / 2; spins++)
		barrier();
	WRITE_ONCE(dead->using, true);
	dead_use(dead);
}

static void leaf_goes_while_others_wait(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct fixture *fixture = test->priv;
	struct dead dead = { .test = test, .shape = shape };
	struct backing backing = {
		.set = dead_set, .clear = dead_clear, .data = &dead,
	};
	u64 tce = hpa_of(shape, 1) | READ_WRITE;
	unsigned int gone = 0;

	if (num_online_cpus() < 3)
		kunit_skip(test, "each of three threads needs a CPU");

	dead.table = table_backed(test, shape, &backing);
	dead.index = 3 * span_of(shape, 1) + 5;
	fixture->kill_data = &dead;
	fixture->kill = dead_kill;
	for (dead.round = 0; dead.round < threads_rounds(3, WAITS); dead.round++) {
		/* In use, but queued since it was not. */
		expect_exchange(test, dead.table, dead.index, tce, ua_of(1),
				true, 0, 0);
		expect_exchange(test, dead.table, dead.index, 0, 0, false, tce,
				ua_of(1));
		expect_exchange(test, dead.table, dead.index, tce, ua_of(1),
				false, 0, 0);
		dead.locked = false;
		dead.trimming = false;
		dead.using = false;
		dead.gone = false;
		WRITE_ONCE(dead.watch, true);
		threads_run(test, 3, dead_body, &dead);
		gone += dead.gone;

		expect_figures(test, dead.table,
			       !!tce_table_get(dead.table, dead.index + 1));
		table_clear(test, dead.table, 0, shape->entries);
		fixture->kill = NULL;
		tce_table_trim(dead.table, 0);
		fixture->kill = dead_kill;
		expect_figures(test, dead.table, 0);
		KUNIT_EXPECT_EQ(test, table_queued(dead.table), 0);
		if (READ_ONCE(test->status) == KUNIT_FAILURE)
			break;
	}
	fixture->kill = NULL;
	kunit_info(test, "%u of %u leaves went", gone, dead.round);
	KUNIT_EXPECT_EQ(test, dead.wrong, 0);
	KUNIT_EXPECT_GT(test, gone, 0);
	table_trimmed(test, dead.table);
	table_gone(test, dead.table);
}

/* A crowd */

/**
 * struct crowd - threads that set and clear while another one trims
 * @test: the test
 * @shape: what the table was asked to be
 * @table: the table
 * @base: an index at the edge of a level
 * @rounds: how often, at least
 * @working: how many have not finished
 * @trims: how often the table has been trimmed
 * @kills: ranges of levels that were taken out
 * @views: views that were there together
 * @wrong: whatever must not happen
 */
struct crowd {
	struct kunit *test;
	const struct shape *shape;
	struct tce_table *table;
	unsigned long base;
	unsigned int rounds;
	atomic_t working;
	unsigned long trims;
	unsigned long kills;
	unsigned long views;
	atomic_t wrong;
};

static void crowd_is_wrong(struct crowd *crowd, bool wrong)
{
	if (wrong)
		atomic_inc(&crowd->wrong);
}

static void crowd_kill(void *data, unsigned long index, unsigned long count)
{
	struct crowd *crowd = data;

	crowd_is_wrong(crowd, !count || index + count > crowd->shape->entries);
	WRITE_ONCE(crowd->kills, crowd->kills + 1);
}

/* Whatever else is going on, no figure is below nothing. */
static void crowd_figures(struct crowd *crowd)
{
	struct tce_table_stats stats;
	unsigned int i;

	tce_table_stats(crowd->table, &stats);
	for (i = 0; i < TCE_TABLE_MAX_LEVELS; i++)
		crowd_is_wrong(crowd, (long)stats.depth[i].levels < 0);
	crowd_is_wrong(crowd, (long)stats.user_levels < 0);
	crowd_is_wrong(crowd, (long)stats.set < 0);
	crowd->views = max(crowd->views, stats.user_levels);
}

static void crowd_trim(struct crowd *crowd)
{
	struct fixture *fixture = crowd->test->priv;
	bool working = true, more = false;
	unsigned int i;

	fixture->kill_data = crowd;
	fixture->kill = crowd_kill;
	/* As the driver does it: when it is told to, and as long as there is more. */
	while (working || more) {
		working = atomic_read(&crowd->working);
		if (!atomic_xchg(&fixture->idle, 0) && !more) {
			cond_resched();
			continue;
		}
		working = true;
		/* Now and then they are all too young. */
		more = tce_table_trim(crowd->table,
				      crowd->trims % 4 ? 0 : 1000 * HZ);
		crowd->trims++;
		for (i = 0; i < FIGURES; i++)
			crowd_figures(crowd);
		cond_resched();
	}
	fixture->kill = NULL;
}

static void crowd_expect(struct crowd *crowd, unsigned long index, u64 tce)
{
	struct hardware_window window = hardware_window(crowd->table);
	u64 address = (u64)index << window.page_shift;

	crowd_is_wrong(crowd, tce_table_get(crowd->table, index) != tce);
	crowd_is_wrong(crowd, hardware_dma(crowd->test, &window, address, true) !=
		       (tce & ~READ_WRITE));
}

static void crowd_exchange(struct crowd *crowd, unsigned long index,
			   unsigned long number, u64 owner)
{
	u64 tce = hpa_of(crowd->shape, number) | READ_WRITE;
	struct tce_entry entry = { .tce = tce, .owner = owner };

	crowd_is_wrong(crowd, tce_table_exchange(crowd->table, index, &entry,
						 true));
	crowd_is_wrong(crowd, entry.tce || entry.owner);
	crowd_expect(crowd, index, tce);

	entry.tce = 0;
	crowd_is_wrong(crowd, tce_table_exchange(crowd->table, index, &entry,
						 false));
	crowd_is_wrong(crowd, entry.tce != tce || entry.owner != owner);
}

/* As KVM does it: without memory, in a leaf that is held. */
static void crowd_hold(struct crowd *crowd, unsigned long index,
		       unsigned long number, u64 owner)
{
	u64 tce = hpa_of(crowd->shape, number) | READ_WRITE;
	struct tce_entry entry = { .tce = tce, .owner = owner };
	struct tce_range range;

	if (table_hold(crowd->table, &range, index, GFP_NOWAIT)) {
		crowd_is_wrong(crowd, true);
		return;
	}

	crowd_is_wrong(crowd, tce_table_exchange(crowd->table, index, &entry,
						 false));
	crowd_is_wrong(crowd, entry.tce || entry.owner);
	tce_table_finish(&range);
	crowd_expect(crowd, index, tce);

	entry.tce = 0;
	crowd_is_wrong(crowd, tce_table_exchange(crowd->table, index, &entry,
						 false));
	crowd_is_wrong(crowd, entry.tce != tce || entry.owner != owner);
}

static void crowd_store(struct crowd *crowd, unsigned long index,
			unsigned long number, u64 owner)
{
	struct tce_range range = { .index = index, .end = index + 2 };
	struct tce_cursor cursor = {
		.table = crowd->table, .index = index, .end = index + 2,
	};
	u64 tce = hpa_of(crowd->shape, number) | READ_WRITE;
	struct tce_batch new, old;
	unsigned int i, all = 0;
	struct tce_entry entry[2];
	struct found found;

	for (i = 0; i < 2; i++) {
		entry[i].tce = tce + i * BIT_ULL(crowd->shape->page_shift);
		entry[i].owner = owner;
	}
	batch_fill(&new, crowd->shape->page_shift, entry, 2);
	crowd_is_wrong(crowd, new.count != 1);
	if (tce_table_prepare(crowd->table, &range, owner, GFP_KERNEL)) {
		crowd_is_wrong(crowd, true);
		return;
	}
	while (range.index < range.end) {
		if (tce_table_store(&range, &new, &old) || old.count) {
			crowd_is_wrong(crowd, true);
			break;
		}
	}
	tce_table_finish(&range);
	for (i = 0; i < 2; i++)
		crowd_expect(crowd, index + i, entry[i].tce);

	while (table_clear_next(crowd->test, &cursor, &old)) {
		while (batch_take(&old, crowd->shape->page_shift, &found)) {
			crowd_is_wrong(crowd, all >= 2 || found.owner != owner ||
				       found.index != index + all ||
				       found.tce != entry[all].tce);
			all++;
		}
	}
	crowd_is_wrong(crowd, all != 2);
}

/* On few or busy CPUs all rounds may be over before a level was taken out. */
static bool crowd_goes_on(struct crowd *crowd, unsigned int round)
{
	return round < crowd->rounds ||
	       (!READ_ONCE(crowd->kills) && round < 1000 * crowd->rounds);
}

/* All in the same few leaves, each at indices of its own. */
static void crowd_work(struct crowd *crowd, unsigned int me)
{
	unsigned long span = span_of(crowd->shape, 1);
	unsigned int round;

	for (round = 0; crowd_goes_on(crowd, round); round++) {
		unsigned long number = (unsigned long)me * crowd->rounds +
				       round % crowd->rounds;
		unsigned long index = crowd->base + round % 4 * span + 3 * me;

		if ((round + me) % 8 == 2)
			crowd_hold(crowd, index, number, ua_of(me));
		else if ((round + me) % 8 == 3)
			crowd_exchange(crowd, index, number, ua_of(me));
		else if ((round + me) & 2)
			crowd_exchange(crowd, index, number, TCE_OWNER_NONE);
		else if (round & 8)
			crowd_store(crowd, index, number, ua_of(me));
		else /* Two leaves at once, which few others need. */
			crowd_store(crowd, crowd->base + 8 * me * span - 1,
				    number, ua_of(me));
		cond_resched();
	}
	atomic_dec(&crowd->working);
}

static void crowd_body(void *data, unsigned int me)
{
	struct crowd *crowd = data;

	if (me)
		crowd_work(crowd, me);
	else
		crowd_trim(crowd);
}

static void trim_in_a_crowd(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned int threads;

	for (threads = 2; threads <= THREADS_MOST; threads++) {
		struct crowd crowd = {
			.test = test,
			.shape = shape,
			.table = table_of(test, shape),
			.rounds = threads_rounds(threads, 3000),
			.working = ATOMIC_INIT(threads - 1),
		};

		/* Where there are more than two levels, over an upper edge. */
		crowd.base = span_of(shape, shape->levels > 2 ? 2 : 1) * 2 -
			     2 * (shape->levels > 2) * span_of(shape, 1);
		threads_run(test, threads, crowd_body, &crowd);

		kunit_info(test, "%u threads: %lu trims, %lu kills, %lu views",
			   threads, crowd.trims, crowd.kills, crowd.views);
		KUNIT_EXPECT_EQ(test, atomic_read(&crowd.wrong), 0);
		KUNIT_EXPECT_GT(test, crowd.kills, 0);
		expect_figures(test, crowd.table, 0);
		/* Nothing that is unused was left, without anybody being told. */
		KUNIT_EXPECT_EQ(test, 0, table_trimmed(test, crowd.table));
		table_gone(test, crowd.table);
	}
}

static struct kunit_case tce_table_trim_race_cases[] = {
	KUNIT_CASE_PARAM(readers_leave_first, trim_gen_params),
	KUNIT_CASE_PARAM(leaf_goes_while_others_wait, trim_gen_params),
	KUNIT_CASE_PARAM(trim_in_a_crowd, trim_gen_params),
	{}
};

static struct kunit_suite tce_table_trim_race_suite = {
	.name = "tce_table_trim_race",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_trim_race_cases,
};

kunit_test_suite(tce_table_trim_race_suite);
