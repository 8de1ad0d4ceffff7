// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of levels that are not used any more.
 */

#include <kunit/test.h>
#include <kunit/test-bug.h>

#include <linux/array_size.h>
#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/minmax.h>
#include <linux/prandom.h>
#include <linux/processor.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include <asm/hvcall.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_level.h"
#include "tce_table.h"
#include "threads.h"

#define ROUNDS		40
#define RANGES		12
#define RANGE		STORE_MOST
#define PLACES		12
#define LEAVES		12
#define AGAIN		7
#define FIGURES		10

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

static u64 any(struct rnd_state *random)
{
	u64 high = prandom_u32_state(random);

	return high << 32 | prandom_u32_state(random);
}

static unsigned long below(struct rnd_state *random, unsigned long limit)
{
	return any(random) % limit;
}

static unsigned int depth_of(struct kunit *test, struct tce_table *table,
			     unsigned long index)
{
	struct hardware_window window = hardware_window(table);

	return hardware_depth(test, &window, index);
}

/* What goes and what stays, against an array */

/**
 * struct forest - a table, and what should be in it
 * @test: the test
 * @shape: what the table was asked to be
 * @table: the table
 * @entries: the entries that are set, by index
 * @leaves: the leaves that are there, by number
 * @used: entries that are set
 * @random: the random numbers
 * @place: indices that the operations are near to
 */
struct forest {
	struct kunit *test;
	const struct shape *shape;
	struct tce_table *table;
	struct xarray entries;
	struct xarray leaves;
	unsigned long used;
	struct rnd_state random;
	unsigned long place[PLACES];
};

static unsigned long forest_leaf(struct forest *forest, unsigned long index)
{
	return index >> shape_level_bits(forest->shape);
}

static void forest_save(struct forest *forest, struct xarray *array,
			unsigned long index, unsigned long value)
{
	void *old = value ? xa_store(array, index, xa_mk_value(value),
				     GFP_KERNEL) :
			    xa_erase(array, index);

	KUNIT_ASSERT_FALSE(forest->test, xa_is_err(old));
}

static unsigned long forest_load(struct xarray *array, unsigned long index)
{
	void *value = xa_load(array, index);

	return value ? xa_to_value(value) : 0;
}

static bool forest_any(struct forest *forest, unsigned long index,
		       unsigned long count)
{
	return xa_find(&forest->entries, &index, index + count - 1, XA_PRESENT);
}

static void forest_set(struct forest *forest)
{
	const struct shape *shape = forest->shape;
	unsigned long index = forest->place[below(&forest->random, PLACES)];
	unsigned int count = 1 + below(&forest->random, RANGE);
	unsigned int i;

	index += below(&forest->random, 2 * RANGE);
	index -= min_t(unsigned long, index, RANGE);
	index = min(index, shape->entries - count);
	switch (below(&forest->random, 3)) {
	case 0:
		count = 1;
		table_set(forest->test, forest->table, index,
			  hpa_of(shape, index) | READ_WRITE);
		break;
	case 1:
		table_store(forest->test, shape, forest->table, index, count,
			    TCE_OWNER_EACH);
		break;
	default:
		table_store(forest->test, shape, forest->table, index, count,
			    ua_of(below(&forest->random, 2)));
	}

	for (i = 0; i < count; i++) {
		forest->used += !forest_load(&forest->entries, index + i);
		forest_save(forest, &forest->entries, index + i, 1);
		forest_save(forest, &forest->leaves,
			    forest_leaf(forest, index + i), 1);
	}
}

/* Clears what begins near a place, or a single entry. */
static void forest_clear(struct forest *forest)
{
	unsigned long index = forest->place[below(&forest->random, PLACES)];
	unsigned long end, cleared, expected = 0;
	void *value;

	index -= min(index, below(&forest->random, 2 * RANGE));
	end = min(index + 1 + below(&forest->random, 4 * RANGE),
		  forest->shape->entries);
	if (!below(&forest->random, 3)) {
		table_set(forest->test, forest->table, index, 0);
		cleared = forest_load(&forest->entries, index);
		end = index + 1;
	} else {
		cleared = table_clear(forest->test, forest->table, index, end);
	}

	xa_for_each_range(&forest->entries, index, value, index, end - 1) {
		forest_save(forest, &forest->entries, index, 0);
		expected++;
	}
	KUNIT_ASSERT_EQ(forest->test, cleared, expected);
	forest->used -= cleared;
}

/* Expects that the levels of one depth are there if anything is below them. */
static void forest_expect_depth(struct forest *forest, unsigned int depth)
{
	unsigned int above = forest->shape->levels - 1 - depth;
	unsigned int bits = shape_level_bits(forest->shape) * above;
	unsigned long span = span_of(forest->shape, above + 1);
	unsigned long leaf, before = ULONG_MAX, levels = 0;
	struct tce_table_stats stats;
	void *value;

	xa_for_each(&forest->leaves, leaf, value) {
		unsigned long index = (leaf >> bits) * span;

		if (leaf >> bits == before)
			continue;
		before = leaf >> bits;

		if (forest_any(forest, index, span)) {
			KUNIT_EXPECT_GT(forest->test,
					depth_of(forest->test, forest->table,
						 index), depth);
			levels++;
			continue;
		}

		KUNIT_EXPECT_LE(forest->test, depth_of(forest->test,
						       forest->table, index),
				depth);
	}

	tce_table_stats(forest->table, &stats);
	KUNIT_EXPECT_EQ(forest->test, stats.depth[depth].levels, levels);
}

static void forest_trim(struct forest *forest)
{
	unsigned int depth;
	unsigned long leaf;
	void *value;

	table_trim(forest->test, forest->table, 0);

	for (depth = 1; depth < forest->shape->levels; depth++)
		forest_expect_depth(forest, depth);
	KUNIT_EXPECT_EQ(forest->test, tce_table_idle(forest->table), 0);
	expect_figures(forest->test, forest->table, forest->used);

	xa_for_each(&forest->leaves, leaf, value)
		if (!forest_any(forest, leaf * span_of(forest->shape, 1),
				span_of(forest->shape, 1)))
			forest_save(forest, &forest->leaves, leaf, 0);
}

static void partial_unmapping(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct forest *forest;
	unsigned int round, i;

	forest = kunit_kzalloc(test, sizeof(*forest), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, forest);
	forest->test = test;
	forest->shape = shape;
	forest->table = table_of(test, shape);
	xa_init(&forest->entries);
	xa_init(&forest->leaves);
	prandom_seed_state(&forest->random, shape->entries);
	/* At the edges of levels of all depths, some of them next to each other. */
	for (i = 0; i < PLACES; i++)
		forest->place[i] = below(&forest->random, 3) *
			span_of(shape, below(&forest->random, shape->levels)) +
			(i & 1 ? forest->place[i - 1] : 0);
	forest->place[0] = shape->entries - 1;

	for (round = 0; round < ROUNDS; round++) {
		for (i = below(&forest->random, 3 * RANGES); i; i--) {
			if (below(&forest->random, 3))
				forest_clear(forest);
			else
				forest_set(forest);
		}
		forest_trim(forest);
		/* One failure says as much as hundreds. */
		if (READ_ONCE(test->status) == KUNIT_FAILURE)
			break;
	}

	KUNIT_EXPECT_EQ(test, forest->used,
			table_clear(test, forest->table, 0, shape->entries));
	table_trimmed(test, forest->table);
	table_gone(test, forest->table);
	xa_destroy(&forest->entries);
	xa_destroy(&forest->leaves);
}

/* Order of things */

static unsigned long leaf_far(const struct shape *shape, unsigned int i)
{
	/* Each second one is far away, so that the upper levels are its own. */
	return i * span_of(shape, 1) +
		(i & 1) * (shape->entries / 2 / span_of(shape, 1)) *
		span_of(shape, 1);
}

static void those_idle_last_are_kept(struct kunit *test)
{
	/* In which order they become idle; AGAIN is the first, too. */
	static const u8 order[LEAVES] = {
		3, 8, 0, 11, 5, 1, 9, 2, 10, 4, AGAIN, 6,
	};
	static const u8 keep[] = { 20, 12, 11, 8, 7, 2, 1, 0 };
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned int i, step, left = LEAVES;

	for (i = 0; i < LEAVES; i++)
		table_store(test, shape, table, leaf_far(shape, i) + 7, 3,
			    ua_of(1));
	KUNIT_EXPECT_EQ(test, tce_table_idle(table), 0);
	/* The first one is in use again later, and the last one, too. */
	table_clear(test, table, leaf_far(shape, AGAIN),
		    leaf_far(shape, AGAIN) + span_of(shape, 1));
	KUNIT_EXPECT_EQ(test, tce_table_idle(table), 1);
	for (i = 0; i < LEAVES; i++) {
		unsigned long index = leaf_far(shape, order[i]);

		if (order[i] == AGAIN)
			table_store(test, shape, table, index, 1, ua_of(1));
		table_clear(test, table, index, index + span_of(shape, 1));
	}
	table_store(test, shape, table, leaf_far(shape, order[LEAVES - 1]), 1,
		    ua_of(1));
	table_clear(test, table, leaf_far(shape, order[LEAVES - 1]),
		    leaf_far(shape, order[LEAVES - 1]) + 1);
	KUNIT_EXPECT_EQ(test, tce_table_idle(table), LEAVES);

	for (step = 0; step < ARRAY_SIZE(keep); step++) {
		unsigned long kills = table_trim(test, table, keep[step]);

		KUNIT_EXPECT_EQ(test, !kills, keep[step] >= left);
		left = min(left, keep[step]);
		KUNIT_EXPECT_EQ(test, tce_table_idle(table), left);
		for (i = 0; i < LEAVES; i++) {
			unsigned int depth = depth_of(test, table,
						      leaf_far(shape, order[i]));

			KUNIT_EXPECT_EQ_MSG(test, depth == shape->levels,
					    i >= LEAVES - left,
					    "%u kept, the one that was idle %u.",
					    keep[step], i);
		}
		expect_figures(test, table, 0);
	}
	KUNIT_EXPECT_EQ(test, 0, table_trimmed(test, table));

	table_gone(test, table);
}

/**
 * struct witness - what is to be seen while levels are killed
 * @test: the test
 * @shape: what the table was asked to be
 * @table: the table
 * @leaf: a leaf that goes
 * @kills: the kills
 * @given_back: blocks of pages that had been given back before
 * @bytes: bytes that the table had before
 */
struct witness {
	struct kunit *test;
	const struct shape *shape;
	struct tce_table *table;
	struct tce_level *leaf;
	struct kills kills;
	long given_back;
	long bytes;
};

static void witness_kill(void *data, unsigned long index, unsigned long count)
{
	struct witness *witness = data;
	struct kunit *test = witness->test;
	struct fixture *fixture = test->priv;
	unsigned long at;

	/* Neither the hardware nor software comes there any more. */
	for (at = index; at < index + count; at += span_of(witness->shape, 1)) {
		KUNIT_EXPECT_EQ(test, depth_of(test, witness->table, at), 1);
		if (READ_ONCE(test->status) == KUNIT_FAILURE)
			return;
		KUNIT_EXPECT_EQ(test, tce_table_get(witness->table, at), 0);
		exchange_is_refused(test, witness->table, at,
				    hpa_of(witness->shape, 1) | READ_ONLY,
				    TCE_OWNER_NONE, false, H_TOO_HARD);
		KUNIT_EXPECT_NULL(test, tce_table_reserve(witness->table, at,
							  false));
	}
	KUNIT_EXPECT_FALSE(test, tce_level_hold(witness->leaf));

	/* The memory is still there. */
	KUNIT_EXPECT_EQ(test, atomic_long_read(&fixture->given_back),
			witness->given_back);
	KUNIT_EXPECT_EQ(test, fixture_bytes(test), witness->bytes);
	kills_kill(&witness->kills, index, count);
}

static void unlinked_then_killed_then_freed(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	struct witness witness = {
		.test = test, .shape = shape, .table = table,
	};
	struct fixture *fixture = test->priv;
	struct tce_table_stats before;
	unsigned int i;

	for (i = 0; i < LEAVES; i++)
		table_store(test, shape, table, leaf_far(shape, i), 2,
			    i % 3 ? ua_of(1) : TCE_OWNER_EACH);
	witness.leaf = leaf_at(test, table, leaf_far(shape, 4));
	KUNIT_EXPECT_EQ(test, 2 * LEAVES,
			table_clear(test, table, 0, shape->entries));

	witness.given_back = atomic_long_read(&fixture->given_back);
	witness.bytes = fixture_bytes(test);
	tce_table_stats(table, &before);
	kills_begin(&witness.kills, test, table);
	tce_table_trim(table, 0, witness_kill, &witness);

	/* All but the first one. */
	KUNIT_EXPECT_EQ(test, kills_end(&witness.kills), before.hw_bytes /
			(8UL << shape_level_bits(shape)) - 1);
	KUNIT_EXPECT_GT(test, atomic_long_read(&fixture->given_back),
			witness.given_back);
	KUNIT_EXPECT_EQ(test, 0, table_trimmed(test, table));

	table_gone(test, table);
}

static void kill_one(void *data, unsigned long index, unsigned long count)
{
	struct tce_extent *killed = data;

	KUNIT_EXPECT_EQ(kunit_get_current_test(), killed->count, 0);
	killed->index = index;
	killed->count = count;
}

static void trim_kills(struct kunit *test, struct tce_table *table,
		       unsigned long index, unsigned long count)
{
	struct tce_extent killed = { .count = 0 };

	tce_table_trim(table, 0, kill_one, &killed);
	KUNIT_EXPECT_EQ(test, killed.index, index);
	KUNIT_EXPECT_EQ(test, killed.count, count);
}

/* Leaves that are neighbours are one range, whatever order they became idle in. */
static void neighbours_are_killed_at_once(struct kunit *test)
{
	static const u8 order[] = { 3, 1, 4, 2 };
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long leaf = span_of(shape, 1), last = shape->entries - 1;
	unsigned int i;

	/* The upper levels stay. */
	table_set(test, table, 0, hpa_of(shape, 0) | READ_ONLY);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		table_set(test, table, order[i] * leaf + 9,
			  hpa_of(shape, i) | READ_ONLY);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		table_set(test, table, order[i] * leaf + 9, 0);
	trim_kills(test, table, leaf, 4 * leaf);

	/* A single one; and one that the window has less of. */
	table_set(test, table, 2 * leaf, hpa_of(shape, 1) | READ_ONLY);
	table_set(test, table, 2 * leaf, 0);
	trim_kills(test, table, 2 * leaf, leaf);
	table_set(test, table, last, hpa_of(shape, 1) | READ_ONLY);
	table_set(test, table, last, 0);
	KUNIT_EXPECT_GT(test, table_trim(test, table, 0), 0);
	table_set(test, table, 0, 0);
	table_trimmed(test, table);

	table_gone(test, table);
}

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
	wait->trimmer = current;
	wait_for_completion(&wait->trim);
	tce_table_trim(wait->table, 0, wait_kill, wait);
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

/* What stays */

static void held_leaves_stay(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = 3 * span_of(shape, 1) - RANGE / 2;

	/* Two leaves with nothing in them. */
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, RANGE,
						   TCE_OWNER_EACH));
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, 1, ua_of(1)));
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table, 0));
	tce_table_finish(table, index, 1);
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table, 0));
	KUNIT_EXPECT_EQ(test, depth_of(test, table, index), shape->levels);
	KUNIT_EXPECT_EQ(test, depth_of(test, table, index + RANGE - 1),
			shape->levels);
	expect_figures(test, table, 0);

	tce_table_finish(table, index, RANGE);
	KUNIT_EXPECT_EQ(test, tce_table_idle(table), 2);
	KUNIT_EXPECT_GE(test, table_trimmed(test, table), 2);

	table_gone(test, table);
}

/* Failure */

static int fail_to_prepare(struct tce_table *table, unsigned long index)
{
	return tce_table_prepare(table, index, RANGE, TCE_OWNER_EACH);
}

static int fail_to_exchange(struct tce_table *table, unsigned long index)
{
	struct tce_entry entry = { .tce = READ_ONLY, .owner = TCE_OWNER_NONE };

	return tce_table_exchange(table, index, &entry, true);
}

static int fail_to_reserve(struct tce_table *table, unsigned long index)
{
	struct tce_level *leaf = tce_table_reserve(table, index, true);

	if (!leaf)
		return -ENOMEM;
	tce_table_unreserve(table, leaf);

	return 0;
}

/* Wherever memory ends, what is there by then can be taken out again. */
static void failed_levels_go(struct kunit *test,
			     int (*fail)(struct tce_table *table,
					 unsigned long index))
{
	const struct shape *shape = shape_of(test);
	/* Two leaves of two levels each, where there are more. */
	unsigned long index = shape->entries / 2 /
			      span_of(shape, shape->levels - 1) *
			      span_of(shape, shape->levels - 1) - RANGE / 2;
	bool done = false;
	unsigned int nth;

	for (nth = 1; !done; nth++) {
		struct tce_table *table = table_of(test, shape);
		int ret;

		fixture_refuse(test, nth);
		ret = fail(table, index);
		done = !fixture_refused(test);
		KUNIT_ASSERT_EQ(test, ret, done ? 0 : -ENOMEM);
		fixture_refuse(test, 0);

		if (!done)
			table_trimmed(test, table);
		table_gone(test, table);
	}
}

static void failed_prepare_leaves_nothing(struct kunit *test)
{
	failed_levels_go(test, fail_to_prepare);
}

static void failed_exchange_leaves_nothing(struct kunit *test)
{
	failed_levels_go(test, fail_to_exchange);
}

static void failed_reserve_leaves_nothing(struct kunit *test)
{
	failed_levels_go(test, fail_to_reserve);
}

/* Threads */

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
	crowd_is_wrong(crowd, (long)stats.used < 0);
	crowd->views = max(crowd->views, stats.user_levels);
}

static void crowd_trim(struct crowd *crowd)
{
	unsigned int i;

	while (atomic_read(&crowd->working)) {
		tce_table_trim(crowd->table, 0, crowd_kill, crowd);
		crowd->trims++;
		for (i = 0; i < FIGURES; i++)
			crowd_figures(crowd);
		cond_resched();
	}
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

/* As KVM does it, so the owner is known only when the entry is set. */
static void crowd_reserve(struct crowd *crowd, unsigned long index,
			  unsigned long number, u64 owner)
{
	struct tce_level *leaf = tce_table_reserve(crowd->table, index, true);
	u64 tce = hpa_of(crowd->shape, number) | READ_WRITE;
	struct tce_entry entry = { .tce = tce, .owner = owner | 1 };

	if (!leaf) {
		crowd_is_wrong(crowd, true);
		return;
	}

	crowd_is_wrong(crowd, tce_table_exchange(crowd->table, index, &entry,
						 false));
	crowd_is_wrong(crowd, entry.tce || entry.owner);
	crowd_is_wrong(crowd, !tce_table_change_owner(crowd->table, leaf, index,
						      owner | 1, owner));
	tce_table_unreserve(crowd->table, leaf);
	crowd_expect(crowd, index, tce);

	entry.tce = 0;
	crowd_is_wrong(crowd, tce_table_exchange(crowd->table, index, &entry,
						 false));
	crowd_is_wrong(crowd, entry.tce != tce || entry.owner != owner);
}

static void crowd_store(struct crowd *crowd, unsigned long index,
			unsigned long number, u64 owner)
{
	struct tce_cursor cursor = {
		.table = crowd->table, .index = index, .end = index + 2,
	};
	struct tce_entry new[2], old[2];
	unsigned long first, last;
	unsigned int cleared, i, all = 0;
	int few = -EAGAIN;

	for (i = 0; i < 2; i++) {
		new[i].tce = (hpa_of(crowd->shape, number) | READ_WRITE) +
			     i * BIT_ULL(crowd->shape->page_shift);
		new[i].owner = owner;
	}
	if (number & 1)
		few = tce_table_store_few(&cursor, new, 2, old);
	if (few == -EAGAIN) {
		crowd_is_wrong(crowd, tce_table_prepare(crowd->table, index, 2,
							owner));
		few = tce_table_store(&cursor, new, 2, old);
		tce_table_finish(crowd->table, index, 2);
	}
	crowd_is_wrong(crowd, few || cursor.index != cursor.end);
	for (i = 0; i < 2; i++)
		crowd_expect(crowd, index + i, new[i].tce);

	cursor.index = index;
	while ((cleared = table_clear_next(crowd->test, &cursor, old, &first,
					   &last, 2))) {
		for (i = 0; i < cleared; i++, all++)
			crowd_is_wrong(crowd, all >= 2 ||
				       old[i].owner != owner ||
				       old[i].tce != new[all].tce);
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
			crowd_reserve(crowd, index, number, ua_of(me));
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
		table_trimmed(test, crowd.table);
		table_gone(test, crowd.table);
	}
}

static struct kunit_case tce_table_trim_cases[] = {
	KUNIT_CASE_PARAM(partial_unmapping, trim_gen_params),
	KUNIT_CASE_PARAM(those_idle_last_are_kept, trim_gen_params),
	KUNIT_CASE_PARAM(unlinked_then_killed_then_freed, trim_gen_params),
	KUNIT_CASE_PARAM(neighbours_are_killed_at_once, trim_gen_params),
	KUNIT_CASE_PARAM(readers_leave_first, trim_gen_params),
	KUNIT_CASE_PARAM(held_leaves_stay, trim_gen_params),
	KUNIT_CASE_PARAM(failed_prepare_leaves_nothing, trim_gen_params),
	KUNIT_CASE_PARAM(failed_exchange_leaves_nothing, trim_gen_params),
	KUNIT_CASE_PARAM(failed_reserve_leaves_nothing, trim_gen_params),
	KUNIT_CASE_PARAM(trim_in_a_crowd, trim_gen_params),
	{}
};

static struct kunit_suite tce_table_trim_suite = {
	.name = "tce_table_trim",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_trim_cases,
};

kunit_test_suite(tce_table_trim_suite);
