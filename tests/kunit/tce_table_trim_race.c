// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of tce_trim() with other threads that use the table.
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
#include "tce_trim.h"
#include "threads.h"

#define LEAVES		12
#define FIGURES		10

/* Rounds in which a leaf is trimmed while a thread waits for its lock. */
#define WAITS		200

/* Long enough for another CPU to reach a lock. */
#define LOCK_SPINS	20000

KUNIT_ARRAY_PARAM(trim, multilevel_shapes, shape_describe);

/* Readers */

/**
 * struct wait - a trim that has to wait for a reader
 * @test: the test
 * @shape: requested shape of the table
 * @table: the table
 * @trimmer: the thread that trims
 * @reading: completed when the reader is in its RCU section
 * @trim: completed when the trim may begin
 * @killed: completed by each kill of the trim; by the first one, all levels
 *          have been unlinked
 * @trimmed: the trim has returned
 * @leave: the reader may leave its RCU section
 * @left: the reader has left it
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

/* Waits until the trimmer sleeps. Returns false if it has returned instead. */
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
	tce_trim(wait->table, 0, NULL);
	fixture->kill = NULL;
	KUNIT_EXPECT_TRUE(wait->test, READ_ONCE(wait->left));
	WRITE_ONCE(wait->trimmed, true);
}

/* Spins, so it needs a CPU that the other threads are not bound to. */
static void wait_read(struct wait *wait)
{
	bool early;

	rcu_read_lock();
	complete(&wait->reading);
	while (!READ_ONCE(wait->leave))
		cpu_relax();
	/* Levels that a walk has found must not be freed before this. */
	early = READ_ONCE(wait->trimmed);
	WRITE_ONCE(wait->left, true);
	rcu_read_unlock();
	KUNIT_EXPECT_FALSE(wait->test, early);
}

static void wait_watch(struct wait *wait)
{
	struct fixture *fixture = wait->test->priv;
	long freed = atomic_long_read(&fixture->freed);
	unsigned int i;

	wait_for_completion(&wait->reading);
	complete(&wait->trim);
	wait_for_completion(&wait->killed);
	for (i = 0; i < 100; i++) {
		KUNIT_EXPECT_TRUE(wait->test, wait_until_it_waits(wait));
		KUNIT_EXPECT_EQ(wait->test,
				atomic_long_read(&fixture->freed),
				freed);
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

static void free_waits_for_readers(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct wait wait = { .test = test, .shape = shape };
	unsigned int i;

	if (num_online_cpus() < 2)
		kunit_skip(test, "the reader needs a CPU of its own");

	wait.table = table_of(test, shape);
	init_completion(&wait.reading);
	init_completion(&wait.trim);
	init_completion(&wait.killed);
	for (i = 0; i < LEAVES; i++)
		table_store(test, shape, wait.table, spread_leaf(shape, i), 2,
			    TCE_OWNER_EACH);
	table_clear(test, wait.table, 0, shape->entries);

	threads_run(test, 3, wait_body, &wait);
	KUNIT_EXPECT_EQ(test, 0, table_trim_all(test, wait.table));

	table_destroy(test, wait.table);
}

/* Threads that wait for the lock of a leaf while it is unlinked */

/**
 * struct lock_race - threads that wait for the lock of one leaf
 * @test: the test
 * @shape: requested shape of the table
 * @table: the table
 * @index: an entry of the leaf
 * @round: number of the round
 * @watch: the next clear, with the leaf's lock held, is to wait for the others
 * @locked: the first thread has the lock
 * @trimming: the second thread is about to trim the leaf
 * @using: the third thread is about to use the leaf
 * @gone: the leaf was trimmed
 * @wrong: number of errors
 */
struct lock_race {
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

static int lock_race_set(void *data, unsigned long index, const __be64 *tces,
			 unsigned long count)
{
	return 0;
}

/* Keeps the lock until the trimmer, then the user, wait for it. */
static int lock_race_clear(void *data, unsigned long index, unsigned long count)
{
	struct lock_race *race = data;
	int spins;

	if (!READ_ONCE(race->watch))
		return 0;
	WRITE_ONCE(race->watch, false);
	WRITE_ONCE(race->locked, true);
	for (spins = 0; spins < 100 * LOCK_SPINS && !READ_ONCE(race->using);
	     spins++)
		cpu_relax();
	for (spins = 0; spins < LOCK_SPINS; spins++)
		barrier();

	return 0;
}

static void lock_race_kill(void *data, unsigned long index, unsigned long count)
{
	struct lock_race *race = data;

	WRITE_ONCE(race->gone, true);
}

static void lock_race_is_wrong(struct lock_race *race, bool wrong)
{
	if (wrong)
		race->wrong++;
}

static int lock_race_store(struct lock_race *race, u64 tce)
{
	struct tce_range range = {
		.index = race->index + 1, .end = race->index + 2,
	};
	struct tce_batch new = {
		.count = 1,
		.entries = 1,
		.extent[0] = { .count = 1, .tce = tce, .owner = ua_of(1) },
	};
	struct tce_batch old;
	int ret;

	ret = tce_table_prepare(race->table, &range, ua_of(1), GFP_KERNEL);
	if (ret)
		return ret;
	ret = tce_table_store(&range, &new, &old);
	lock_race_is_wrong(race, old.count);
	tce_table_finish(&range);

	return ret;
}

/* Uses the leaf in one of six ways. An entry that was set must not be lost. */
static void lock_race_use(struct lock_race *race)
{
	u64 tce = hpa_of(race->shape, race->index + 1) | READ_WRITE;
	struct tce_entry entry = { .tce = tce, .owner = ua_of(1) };
	struct tce_cursor cursor = {
		.table = race->table, .index = race->index,
		.end = race->index + 2,
	};
	struct tce_range range;
	struct tce_batch old;
	bool set = true;
	int ret;

	switch (race->round % 6) {
	case 0:
		ret = tce_table_exchange(race->table, race->index + 1, &entry,
					 true);
		lock_race_is_wrong(race, ret || entry.tce);
		break;
	case 1:
		lock_race_is_wrong(race, lock_race_store(race, tce));
		break;
	case 2:
		ret = tce_table_exchange(race->table, race->index + 1, &entry,
					 false);
		set = !ret;
		/* The leaf may already have been trimmed. */
		lock_race_is_wrong(race, ret && ret != H_TOO_HARD);
		break;
	case 3:
		entry.tce = 0;
		set = false;
		ret = tce_table_exchange(race->table, race->index + 1, &entry,
					 false);
		lock_race_is_wrong(race, ret || entry.tce || entry.owner);
		break;
	case 4:
		set = false;
		tce_table_clear(&cursor, &old);
		lock_race_is_wrong(race,
				   old.count || cursor.index < cursor.end);
		break;
	default:
		set = false;
		ret = table_hold(race->table, &range, race->index + 1,
				 GFP_NOWAIT);
		lock_race_is_wrong(race, ret);
		if (!ret)
			tce_table_finish(&range);
	}
	lock_race_is_wrong(race, tce_table_get(race->table, race->index + 1) !=
			   (set ? tce : 0));
}

static void lock_race_body(void *data, unsigned int me)
{
	struct lock_race *race = data;
	struct tce_entry entry = { .tce = 0 };
	int spins;

	if (!me) {
		lock_race_is_wrong(race,
				   tce_table_exchange(race->table, race->index,
						      &entry, false));
		lock_race_is_wrong(race, entry.owner != ua_of(1));
		return;
	}

	while (!READ_ONCE(race->locked))
		cpu_relax();
	if (me == 1) {
		WRITE_ONCE(race->trimming, true);
		tce_trim(race->table, 0, NULL);
		return;
	}
	while (!READ_ONCE(race->trimming))
		cpu_relax();
	for (spins = 0; spins < LOCK_SPINS / 2; spins++)
		barrier();
	WRITE_ONCE(race->using, true);
	lock_race_use(race);
}

static void trim_while_others_wait_for_leaf(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct fixture *fixture = test->priv;
	struct lock_race race = { .test = test, .shape = shape };
	struct backing backing = {
		.set = lock_race_set, .lists = true, .clear = lock_race_clear,
		.data = &race,
	};
	u64 tce = hpa_of(shape, 1) | READ_WRITE;
	unsigned int gone = 0;

	if (num_online_cpus() < 3)
		kunit_skip(test, "each of three threads needs a CPU");

	race.table = table_backed(test, shape, &backing);
	race.index = 3 * span_of(shape, 1) + 5;
	fixture->kill_data = &race;
	fixture->kill = lock_race_kill;
	for (race.round = 0; race.round < threads_rounds(3, WAITS);
	     race.round++) {
		/* Queue the leaf, then use it again. */
		expect_exchange(test, race.table, race.index, tce, ua_of(1),
				true, 0, 0);
		expect_exchange(test, race.table, race.index, 0, 0, false, tce,
				ua_of(1));
		expect_exchange(test, race.table, race.index, tce, ua_of(1),
				false, 0, 0);
		race.locked = false;
		race.trimming = false;
		race.using = false;
		race.gone = false;
		WRITE_ONCE(race.watch, true);
		threads_run(test, 3, lock_race_body, &race);
		gone += race.gone;

		expect_figures(test, race.table,
			       !!tce_table_get(race.table, race.index + 1));
		table_clear(test, race.table, 0, shape->entries);
		fixture->kill = NULL;
		tce_trim(race.table, 0, NULL);
		fixture->kill = lock_race_kill;
		expect_figures(test, race.table, 0);
		KUNIT_EXPECT_EQ(test, table_queued(race.table), 0);
		if (READ_ONCE(test->status) == KUNIT_FAILURE)
			break;
	}
	fixture->kill = NULL;
	kunit_info(test, "%u of %u leaves were trimmed", gone, race.round);
	KUNIT_EXPECT_EQ(test, race.wrong, 0);
	KUNIT_EXPECT_GT(test, gone, 0);
	table_trim_all(test, race.table);
	table_destroy(test, race.table);
}

/* Many threads */

/**
 * struct crowd - threads that set and clear entries while another one trims
 * @test: the test
 * @shape: requested shape of the table
 * @table: the table
 * @base: an index at the start of a level
 * @rounds: number of rounds, at least
 * @working: number of threads that have not finished
 * @trims: number of calls to tce_trim()
 * @kills: number of ranges that were killed
 * @views: largest number of views at the same time
 * @wrong: number of errors
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

/* No count of the statistics may become negative, not even for a short time. */
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
	/*
	 * As the driver does: after an idle callback, and while levels remain.
	 */
	while (working || more) {
		working = atomic_read(&crowd->working);
		if (!atomic_xchg(&fixture->idle, 0) && !more) {
			cond_resched();
			continue;
		}
		working = true;
		/* In every fourth call all levels are too young. */
		more = tce_trim(crowd->table,
				crowd->trims % 4 ? 0 : 1000 * HZ, NULL);
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
	crowd_is_wrong(crowd, hardware_dma(crowd->test, &window, address,
					   true) != (tce & ~READ_WRITE));
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

/* As KVM does: without allocating, in a held leaf. */
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
			crowd_is_wrong(crowd,
				       all >= 2 || found.owner != owner ||
					       found.index != index + all ||
					       found.tce != entry[all].tce);
			all++;
		}
	}
	crowd_is_wrong(crowd, all != 2);
}

/* On few or busy CPUs all rounds may end before a level is trimmed. */
static bool crowd_goes_on(struct crowd *crowd, unsigned int round)
{
	return round < crowd->rounds ||
	       (!READ_ONCE(crowd->kills) && round < 1000 * crowd->rounds);
}

/* All threads use the same few leaves, each thread its own indices. */
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
		else /* Two leaves that no other thread uses. */
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

static void trim_while_a_crowd_maps(struct kunit *test)
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

		/* With more than two levels, across the end of an upper one. */
		crowd.base = span_of(shape, shape->levels > 2 ? 2 : 1) * 2 -
			     2 * (shape->levels > 2) * span_of(shape, 1);
		threads_run(test, threads, crowd_body, &crowd);

		kunit_info(test, "%u threads: %lu trims, %lu kills, %lu views",
			   threads, crowd.trims, crowd.kills, crowd.views);
		KUNIT_EXPECT_EQ(test, atomic_read(&crowd.wrong), 0);
		KUNIT_EXPECT_GT(test, crowd.kills, 0);
		expect_figures(test, crowd.table, 0);
		/* The idle callback was called for all unused levels. */
		KUNIT_EXPECT_EQ(test, 0, table_trim_all(test, crowd.table));
		table_destroy(test, crowd.table);
	}
}

static struct kunit_case tce_table_trim_race_cases[] = {
	KUNIT_CASE_PARAM(free_waits_for_readers, trim_gen_params),
	KUNIT_CASE_PARAM(trim_while_others_wait_for_leaf, trim_gen_params),
	KUNIT_CASE_PARAM(trim_while_a_crowd_maps, trim_gen_params),
	{}
};

static struct kunit_suite tce_table_trim_race_suite = {
	.name = "tce_table_trim_race",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_trim_race_cases,
};

kunit_test_suite(tce_table_trim_race_suite);
