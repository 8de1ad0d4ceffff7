// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of levels that are not used any more.
 */

#include <kunit/test.h>
#include <kunit/test-bug.h>

#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include <asm/hvcall.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_table.h"

#define ROUNDS		40
#define RANGES		12
#define RANGE		64
#define PLACES		12
#define LEAVES		12
#define AGAIN		7

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

	table_trim(forest->test, forest->table);

	for (depth = 1; depth < forest->shape->levels; depth++)
		forest_expect_depth(forest, depth);
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

static void next_jiffy(void)
{
	unsigned long now = jiffies;

	while (!time_after(jiffies, now))
		schedule_timeout_uninterruptible(1);
}

/* The oldest go first, by when they were used last, whatever order they are queued in. */
static void those_used_last_stay(struct kunit *test)
{
	/* In which order they fall out of use; AGAIN is the first, too. */
	static const u8 order[LEAVES] = {
		3, 8, 0, 11, 5, 1, 9, 2, 10, 4, AGAIN, 6,
	};
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned int i, left = LEAVES;
	unsigned long since[LEAVES];
	bool more;

	for (i = 0; i < LEAVES; i++)
		table_store(test, shape, table, leaf_far(shape, i) + 7, 3,
			    ua_of(1));
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);
	/* The first one is in use again later, and the last one, too. */
	table_clear(test, table, leaf_far(shape, AGAIN),
		    leaf_far(shape, AGAIN) + span_of(shape, 1));
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	for (i = 0; i < LEAVES; i++) {
		unsigned long index = leaf_far(shape, order[i]);

		if (order[i] == AGAIN) {
			table_store(test, shape, table, index, 1, ua_of(1));
			/* It stays where it is. */
			KUNIT_EXPECT_EQ(test, table_queued(table), i + 1);
		}
		table_clear(test, table, index, index + span_of(shape, 1));
		since[i] = jiffies;
		next_jiffy();
	}
	KUNIT_EXPECT_EQ(test, table_queued(table), LEAVES);

	/* None is so old, however long the test takes. */
	KUNIT_EXPECT_EQ(test, 0, table_trim_old(test, table, 1000 * HZ, &more));
	KUNIT_EXPECT_TRUE(test, more);
	KUNIT_EXPECT_EQ(test, table_queued(table), LEAVES);

	while (left) {
		unsigned long gone, age = jiffies - since[LEAVES - left];
		unsigned int old = 0;

		/* Time goes on, so there may be more of them than at first sight. */
		gone = table_trim_old(test, table, age, &more);
		for (; old < left; old++) {
			unsigned long leaf = leaf_far(shape,
						      order[LEAVES - left + old]);

			if (depth_of(test, table, leaf) == shape->levels)
				break;
		}
		KUNIT_EXPECT_GE(test, gone, old);
		KUNIT_ASSERT_GT(test, old, 0);
		for (i = LEAVES - left + old; i < LEAVES; i++)
			KUNIT_EXPECT_EQ(test, shape->levels,
					depth_of(test, table,
						 leaf_far(shape, order[i])));
		left -= old;
		KUNIT_EXPECT_EQ(test, table_queued(table), left);
		KUNIT_EXPECT_EQ(test, more, left > 0);
		expect_figures(test, table, 0);
	}
	KUNIT_EXPECT_EQ(test, 0, table_trimmed(test, table));

	table_gone(test, table);
}

/* One in use is not trimmed, but forgotten, and queued anew later. */
static void those_in_use_leave_the_queue(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = 3 * span_of(shape, 1);
	struct fixture *fixture = test->priv;
	struct tce_range range;
	bool more;

	KUNIT_EXPECT_FALSE(test, tce_table_trim(table, 0));
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 0);

	/* By an entry; by what holds it. */
	table_set(test, table, index, hpa_of(shape, 1) | READ_ONLY);
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 1);
	table_set(test, table, index, hpa_of(shape, 1) | READ_ONLY);
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 2);

	table_prepare(test, table, &range, index, 1, ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, table_trim_old(test, table, 0, &more));
	KUNIT_EXPECT_FALSE(test, more);
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 3);

	/* One that is too young stays, and there is no need to say so again. */
	KUNIT_EXPECT_EQ(test, 0, table_trim_old(test, table, 1000 * HZ, &more));
	KUNIT_EXPECT_TRUE(test, more);
	table_set(test, table, index, hpa_of(shape, 1) | READ_ONLY);
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 3);

	/* In use and not, in one queue. */
	table_set(test, table, 5 * span_of(shape, 1), hpa_of(shape, 1) | READ_ONLY);
	table_set(test, table, 5 * span_of(shape, 1), 0);
	KUNIT_EXPECT_EQ(test, table_queued(table), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 3);
	table_set(test, table, index, hpa_of(shape, 1) | READ_ONLY);
	KUNIT_EXPECT_EQ(test, 1, table_trim(test, table));
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 4);
	table_trimmed(test, table);

	table_gone(test, table);
}

/* Used by the last thing before the trim: the age begins anew each time. */
static void age_is_since_the_last_use(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = 3 * span_of(shape, 1);
	struct tce_range range;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		unsigned long first, again;

		table_set(test, table, index, hpa_of(shape, 1) | READ_ONLY);
		table_set(test, table, index, 0);
		first = jiffies;
		schedule_timeout_uninterruptible(10);
		again = jiffies;
		switch (i) {
		case 0:
			table_set(test, table, index, hpa_of(shape, 1) | READ_ONLY);
			table_set(test, table, index, 0);
			break;
		case 1:
			table_prepare(test, table, &range, index, 1, ua_of(1));
			tce_table_finish(&range);
			break;
		default:
			KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range, index,
							    GFP_NOWAIT));
			tce_table_finish(&range);
		}
		/* Old enough by the first time, but not by the second. */
		if (!tce_table_trim(table, again - first))
			KUNIT_EXPECT_GE(test, jiffies - again, again - first);
	}
	table_trimmed(test, table);

	table_gone(test, table);
}

/**
 * struct witness - what is to be seen while levels are killed
 * @test: the test
 * @shape: what the table was asked to be
 * @table: the table
 * @kills: the kills
 * @given_back: blocks of pages that had been given back before
 * @bytes: bytes that the table had before
 */
struct witness {
	struct kunit *test;
	const struct shape *shape;
	struct tce_table *table;
	struct kills kills;
	long given_back;
	long bytes;
};

static void witness_kill(void *data, unsigned long index, unsigned long count)
{
	struct witness *witness = data;
	struct kunit *test = witness->test;
	struct fixture *fixture = test->priv;
	struct tce_range range;
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
		KUNIT_EXPECT_EQ(test, -ENOMEM,
				table_hold(witness->table, &range, at, 0));
	}

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
	KUNIT_EXPECT_EQ(test, 2 * LEAVES,
			table_clear(test, table, 0, shape->entries));

	witness.given_back = atomic_long_read(&fixture->given_back);
	witness.bytes = fixture_bytes(test);
	tce_table_stats(table, &before);
	kills_begin(&witness.kills, test, table);
	fixture->kill_data = &witness;
	fixture->kill = witness_kill;
	KUNIT_EXPECT_FALSE(test, tce_table_trim(table, 0));
	fixture->kill = NULL;

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
	struct fixture *fixture = test->priv;
	struct tce_extent killed = { .count = 0 };

	fixture->kill_data = &killed;
	fixture->kill = kill_one;
	KUNIT_EXPECT_FALSE(test, tce_table_trim(table, 0));
	fixture->kill = NULL;
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
	KUNIT_EXPECT_GT(test, table_trim(test, table), 0);
	table_set(test, table, 0, 0);
	table_trimmed(test, table);

	table_gone(test, table);
}

/* What stays */

static void held_leaves_stay(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = 3 * span_of(shape, 1) - RANGE / 2;
	struct tce_range range, one;

	/* Two leaves with nothing in them. */
	table_prepare(test, table, &range, index, RANGE, TCE_OWNER_EACH);
	table_prepare(test, table, &one, index, 1, ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));
	tce_table_finish(&one);
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));
	KUNIT_EXPECT_EQ(test, depth_of(test, table, index), shape->levels);
	KUNIT_EXPECT_EQ(test, depth_of(test, table, index + RANGE - 1),
			shape->levels);
	expect_figures(test, table, 0);

	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, table_queued(table), 2);
	KUNIT_EXPECT_GE(test, table_trimmed(test, table), 2);

	table_gone(test, table);
}

/* Failure */

static int fail_to_prepare(struct tce_table *table, unsigned long index)
{
	struct tce_range range = { .index = index, .end = index + RANGE };
	int ret = tce_table_prepare(table, &range, TCE_OWNER_EACH, GFP_KERNEL);

	if (!ret)
		tce_table_finish(&range);

	return ret;
}

static int fail_to_exchange(struct tce_table *table, unsigned long index)
{
	struct tce_entry entry = { .tce = READ_ONLY, .owner = TCE_OWNER_NONE };

	return tce_table_exchange(table, index, &entry, true);
}

static int fail_to_hold(struct tce_table *table, unsigned long index)
{
	struct tce_range range;
	int ret = table_hold(table, &range, index, GFP_NOWAIT);

	if (!ret)
		tce_table_finish(&range);

	return ret;
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

static void failed_hold_leaves_nothing(struct kunit *test)
{
	failed_levels_go(test, fail_to_hold);
}

static struct kunit_case tce_table_trim_cases[] = {
	KUNIT_CASE_PARAM(partial_unmapping, trim_gen_params),
	KUNIT_CASE_PARAM(those_used_last_stay, trim_gen_params),
	KUNIT_CASE_PARAM(those_in_use_leave_the_queue, trim_gen_params),
	KUNIT_CASE_PARAM(age_is_since_the_last_use, trim_gen_params),
	KUNIT_CASE_PARAM(unlinked_then_killed_then_freed, trim_gen_params),
	KUNIT_CASE_PARAM(neighbours_are_killed_at_once, trim_gen_params),
	KUNIT_CASE_PARAM(held_leaves_stay, trim_gen_params),
	KUNIT_CASE_PARAM(failed_prepare_leaves_nothing, trim_gen_params),
	KUNIT_CASE_PARAM(failed_exchange_leaves_nothing, trim_gen_params),
	KUNIT_CASE_PARAM(failed_hold_leaves_nothing, trim_gen_params),
	{}
};

static struct kunit_suite tce_table_trim_suite = {
	.name = "tce_table_trim",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_trim_cases,
};

kunit_test_suite(tce_table_trim_suite);
