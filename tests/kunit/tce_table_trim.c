// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of tce_trim(), in one thread, but for its waits.
 */

#include <kunit/test.h>
#include <kunit/test-bug.h>

#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/prandom.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/xarray.h>

#include <asm/hvcall.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_table.h"
#include "tce_table_private.h"
#include "tce_trim.h"

#define ROUNDS		40
#define RANGES		12
#define RANGE		64
#define PLACES		12
#define LEAVES		12
#define AGAIN		7

KUNIT_ARRAY_PARAM(trim, multilevel_shapes, shape_describe);

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

/* Random operations, compared with a model that consists of XArrays */

/**
 * struct trim_model - a table and its expected state
 * @test: the test
 * @shape: requested shape of the table
 * @table: the table
 * @entries: entries that are set, by index
 * @leaves: leaves that are present, by number
 * @used: number of entries that are set
 * @random: state of the random numbers
 * @place: indices near which the operations are
 */
struct trim_model {
	struct kunit *test;
	const struct shape *shape;
	struct tce_table *table;
	struct xarray entries;
	struct xarray leaves;
	unsigned long used;
	struct rnd_state random;
	unsigned long place[PLACES];
};

static unsigned long model_leaf(struct trim_model *model, unsigned long index)
{
	return index >> shape_level_bits(model->shape);
}

static bool model_any(struct trim_model *model, unsigned long index,
		      unsigned long count)
{
	return xa_find(&model->entries, &index, index + count - 1, XA_PRESENT);
}

static void model_set(struct trim_model *model)
{
	const struct shape *shape = model->shape;
	unsigned long index = model->place[below(&model->random, PLACES)];
	unsigned int count = 1 + below(&model->random, RANGE);
	unsigned int i;

	index += below(&model->random, 2 * RANGE);
	index -= min_t(unsigned long, index, RANGE);
	index = min(index, shape->entries - count);
	switch (below(&model->random, 3)) {
	case 0:
		count = 1;
		table_set(model->test, model->table, index,
			  hpa_of(shape, index) | READ_WRITE);
		break;
	case 1:
		table_store(model->test, shape, model->table, index, count,
			    TCE_OWNER_EACH);
		break;
	default:
		table_store(model->test, shape, model->table, index, count,
			    ua_of(below(&model->random, 2)));
	}

	for (i = 0; i < count; i++) {
		model->used += !array_load(&model->entries, index + i);
		array_save(model->test, &model->entries, index + i, 1);
		array_save(model->test, &model->leaves,
			   model_leaf(model, index + i), 1);
	}
}

/* Clears a range near a place, or a single entry. */
static void model_clear(struct trim_model *model)
{
	unsigned long index = model->place[below(&model->random, PLACES)];
	unsigned long end, cleared, expected = 0;
	void *value;

	index -= min(index, below(&model->random, 2 * RANGE));
	end = min(index + 1 + below(&model->random, 4 * RANGE),
		  model->shape->entries);
	if (!below(&model->random, 3)) {
		table_set(model->test, model->table, index, 0);
		cleared = array_load(&model->entries, index);
		end = index + 1;
	} else {
		cleared = table_clear(model->test, model->table, index, end);
	}

	xa_for_each_range(&model->entries, index, value, index, end - 1) {
		array_save(model->test, &model->entries, index, 0);
		expected++;
	}
	KUNIT_ASSERT_EQ(model->test, cleared, expected);
	model->used -= cleared;
}

/* Expects a level of this depth exactly where an entry below it is set. */
static void model_expect_depth(struct trim_model *model, unsigned int depth)
{
	unsigned int above = model->shape->levels - 1 - depth;
	unsigned int bits = shape_level_bits(model->shape) * above;
	unsigned long span = span_of(model->shape, above + 1);
	unsigned long leaf, before = ULONG_MAX, levels = 0;
	struct tce_table_stats stats;
	void *value;

	xa_for_each(&model->leaves, leaf, value) {
		unsigned long index = (leaf >> bits) * span;

		if (leaf >> bits == before)
			continue;
		before = leaf >> bits;

		if (model_any(model, index, span)) {
			KUNIT_EXPECT_GT(model->test,
					depth_of(model->test, model->table,
						 index), depth);
			levels++;
			continue;
		}

		KUNIT_EXPECT_LE(model->test, depth_of(model->test,
						      model->table, index),
				depth);
	}

	tce_table_stats(model->table, &stats);
	KUNIT_EXPECT_EQ(model->test, stats.depth[depth].levels, levels);
}

static void model_trim(struct trim_model *model)
{
	unsigned int depth;
	unsigned long leaf;
	void *value;

	table_trim(model->test, model->table);

	for (depth = 1; depth < model->shape->levels; depth++)
		model_expect_depth(model, depth);
	expect_figures(model->test, model->table, model->used);

	xa_for_each(&model->leaves, leaf, value)
		if (!model_any(model, leaf * span_of(model->shape, 1),
			       span_of(model->shape, 1)))
			array_save(model->test, &model->leaves, leaf, 0);
}

static void random_partial_unmap(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct trim_model *model;
	unsigned int round, i;

	model = kunit_kzalloc(test, sizeof(*model), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, model);
	model->test = test;
	model->shape = shape;
	model->table = table_of(test, shape);
	xa_init(&model->entries);
	xa_init(&model->leaves);
	prandom_seed_state(&model->random, shape->entries);
	/* At the starts of levels of all depths, some of them adjacent. */
	for (i = 0; i < PLACES; i++)
		model->place[i] = below(&model->random, 3) *
			span_of(shape, below(&model->random, shape->levels)) +
			(i & 1 ? model->place[i - 1] : 0);
	model->place[0] = shape->entries - 1;

	for (round = 0; round < ROUNDS; round++) {
		for (i = below(&model->random, 3 * RANGES); i; i--) {
			if (below(&model->random, 3))
				model_clear(model);
			else
				model_set(model);
		}
		model_trim(model);
		/*
		 * Stop at the first failure; each further round would repeat
		 * it.
		 */
		if (READ_ONCE(test->status) == KUNIT_FAILURE)
			break;
	}

	KUNIT_EXPECT_EQ(test, model->used,
			table_clear(test, model->table, 0, shape->entries));
	table_trim_all(test, model->table);
	table_destroy(test, model->table);
	xa_destroy(&model->entries);
	xa_destroy(&model->leaves);
}

/* Order */

static void wait_for_next_jiffy(void)
{
	unsigned long now = jiffies;

	while (!time_after(jiffies, now))
		schedule_timeout_uninterruptible(1);
}

/* Age counts from the last use, not from when the level was queued. */
static void oldest_levels_go_first(struct kunit *test)
{
	/*
	 * Order in which the leaves go out of use. AGAIN also goes out of use
	 * once before all others.
	 */
	static const u8 order[LEAVES] = {
		3, 8, 0, 11, 5, 1, 9, 2, 10, 4, AGAIN, 6,
	};
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned int i, left = LEAVES;
	unsigned long since[LEAVES];
	bool more;

	for (i = 0; i < LEAVES; i++)
		table_store(test, shape, table, spread_leaf(shape, i) + 7, 3,
			    ua_of(1));
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);
	/* AGAIN goes out of use first, and is used again below. */
	table_clear(test, table, spread_leaf(shape, AGAIN),
		    spread_leaf(shape, AGAIN) + span_of(shape, 1));
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	for (i = 0; i < LEAVES; i++) {
		unsigned long index = spread_leaf(shape, order[i]);

		if (order[i] == AGAIN) {
			table_store(test, shape, table, index, 1, ua_of(1));
			/* Its place in the queue does not change. */
			KUNIT_EXPECT_EQ(test, table_queued(table), i + 1);
		}
		table_clear(test, table, index, index + span_of(shape, 1));
		since[i] = jiffies;
		wait_for_next_jiffy();
	}
	KUNIT_EXPECT_EQ(test, table_queued(table), LEAVES);

	/* No level is that old, however slow the machine is. */
	KUNIT_EXPECT_EQ(test, 0,
			table_trim_older(test, table, 1000 * HZ, &more));
	KUNIT_EXPECT_TRUE(test, more);
	KUNIT_EXPECT_EQ(test, table_queued(table), LEAVES);

	while (left) {
		unsigned long gone, age = jiffies - since[LEAVES - left];
		unsigned int old = 0;

		/*
		 * Time passes, so more levels than the first may be old enough.
		 */
		gone = table_trim_older(test, table, age, &more);
		for (; old < left; old++) {
			unsigned long leaf =
				spread_leaf(shape, order[LEAVES - left + old]);

			if (depth_of(test, table, leaf) == shape->levels)
				break;
		}
		KUNIT_EXPECT_GE(test, gone, old);
		KUNIT_ASSERT_GT(test, old, 0);
		for (i = LEAVES - left + old; i < LEAVES; i++)
			KUNIT_EXPECT_EQ(test, shape->levels,
					depth_of(test, table,
						 spread_leaf(shape, order[i])));
		left -= old;
		KUNIT_EXPECT_EQ(test, table_queued(table), left);
		KUNIT_EXPECT_EQ(test, more, left > 0);
		expect_figures(test, table, 0);
	}
	KUNIT_EXPECT_EQ(test, 0, table_trim_all(test, table));

	table_destroy(test, table);
}

/* A level in use is dropped from the queue, and queued again later. */
static void levels_in_use_are_dequeued(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = 3 * span_of(shape, 1);
	struct fixture *fixture = test->priv;
	struct tce_range range;
	bool more;

	KUNIT_EXPECT_FALSE(test, tce_trim(table, 0, NULL));
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 0);

	/* In use by an entry, then by a prepared range. */
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
	KUNIT_EXPECT_EQ(test, 0, table_trim_older(test, table, 0, &more));
	KUNIT_EXPECT_FALSE(test, more);
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 3);

	/*
	 * A level that is too young stays queued, so idle is not called again.
	 */
	KUNIT_EXPECT_EQ(test, 0,
			table_trim_older(test, table, 1000 * HZ, &more));
	KUNIT_EXPECT_TRUE(test, more);
	table_set(test, table, index, hpa_of(shape, 1) | READ_ONLY);
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 3);

	/* One level in use and one unused in the queue. */
	table_set(test, table, 5 * span_of(shape, 1),
		  hpa_of(shape, 1) | READ_ONLY);
	table_set(test, table, 5 * span_of(shape, 1), 0);
	KUNIT_EXPECT_EQ(test, table_queued(table), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 3);
	table_set(test, table, index, hpa_of(shape, 1) | READ_ONLY);
	KUNIT_EXPECT_EQ(test, 1, table_trim(test, table));
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&fixture->idle), 4);
	table_trim_all(test, table);

	table_destroy(test, table);
}

/* Each use resets the age of a level. */
static void age_counts_from_last_use(struct kunit *test)
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
			table_set(test, table, index,
				  hpa_of(shape, 1) | READ_ONLY);
			table_set(test, table, index, 0);
			break;
		case 1:
			table_prepare(test, table, &range, index, 1, ua_of(1));
			tce_table_finish(&range);
			break;
		default:
			KUNIT_ASSERT_EQ(test, 0,
					table_hold(table, &range, index,
						   GFP_NOWAIT));
			tce_table_finish(&range);
		}
		/* Old enough by its first use, but not by the second. */
		if (!tce_trim(table, again - first, NULL))
			KUNIT_EXPECT_GE(test, jiffies - again, again - first);
	}
	table_trim_all(test, table);

	table_destroy(test, table);
}

/**
 * struct observer - state that is checked in each kill of a trim
 * @test: the test
 * @shape: requested shape of the table
 * @table: the table
 * @kills: the kills
 * @freed: page allocations that had been freed before the trim
 * @bytes: bytes that the table had before the trim
 */
struct observer {
	struct kunit *test;
	const struct shape *shape;
	struct tce_table *table;
	struct kills kills;
	long freed;
	long bytes;
};

static void observer_kill(void *data, unsigned long index, unsigned long count)
{
	struct observer *observer = data;
	struct kunit *test = observer->test;
	struct fixture *fixture = test->priv;
	struct tce_range range;
	unsigned long at;

	/* Neither the hardware nor software reaches the levels. */
	for (at = index; at < index + count;
	     at += span_of(observer->shape, 1)) {
		KUNIT_EXPECT_EQ(test, depth_of(test, observer->table, at), 1);
		if (READ_ONCE(test->status) == KUNIT_FAILURE)
			return;
		KUNIT_EXPECT_EQ(test, tce_table_get(observer->table, at), 0);
		expect_exchange_error(test, observer->table, at,
				      hpa_of(observer->shape, 1) | READ_ONLY,
				      TCE_OWNER_NONE, false, H_TOO_HARD);
		KUNIT_EXPECT_EQ(test, -ENOMEM,
				table_hold(observer->table, &range, at, 0));
	}

	/* But they have not been freed. */
	KUNIT_EXPECT_EQ(test, atomic_long_read(&fixture->freed),
			observer->freed);
	KUNIT_EXPECT_EQ(test, fixture_bytes(test), observer->bytes);
	kills_kill(&observer->kills, index, count);
}

static void unlink_kill_free_in_order(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	struct observer observer = {
		.test = test, .shape = shape, .table = table,
	};
	struct fixture *fixture = test->priv;
	struct tce_table_stats before;
	unsigned int i;

	for (i = 0; i < LEAVES; i++)
		table_store(test, shape, table, spread_leaf(shape, i), 2,
			    i % 3 ? ua_of(1) : TCE_OWNER_EACH);
	KUNIT_EXPECT_EQ(test, 2 * LEAVES,
			table_clear(test, table, 0, shape->entries));

	observer.freed = atomic_long_read(&fixture->freed);
	observer.bytes = fixture_bytes(test);
	tce_table_stats(table, &before);
	kills_begin(&observer.kills, test, table);
	fixture->kill_data = &observer;
	fixture->kill = observer_kill;
	KUNIT_EXPECT_FALSE(test, tce_trim(table, 0, NULL));
	fixture->kill = NULL;

	/* All levels but the first one. */
	KUNIT_EXPECT_EQ(test, kills_end(&observer.kills), before.hw_bytes /
			(8UL << shape_level_bits(shape)) - 1);
	KUNIT_EXPECT_GT(test, atomic_long_read(&fixture->freed),
			observer.freed);
	KUNIT_EXPECT_EQ(test, 0, table_trim_all(test, table));

	table_destroy(test, table);
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
	KUNIT_EXPECT_FALSE(test, tce_trim(table, 0, NULL));
	fixture->kill = NULL;
	KUNIT_EXPECT_EQ(test, killed.index, index);
	KUNIT_EXPECT_EQ(test, killed.count, count);
}

/*
 * Adjacent leaves are killed as one range, in whatever order they were queued.
 */
static void adjacent_leaves_are_killed_at_once(struct kunit *test)
{
	static const u8 order[] = { 3, 1, 4, 2 };
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long leaf = span_of(shape, 1), last = shape->entries - 1;
	unsigned int i;

	/* Entry 0 keeps the upper levels. */
	table_set(test, table, 0, hpa_of(shape, 0) | READ_ONLY);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		table_set(test, table, order[i] * leaf + 9,
			  hpa_of(shape, i) | READ_ONLY);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		table_set(test, table, order[i] * leaf + 9, 0);
	trim_kills(test, table, leaf, 4 * leaf);

	/* A single leaf, then the last one, which may exceed the window. */
	table_set(test, table, 2 * leaf, hpa_of(shape, 1) | READ_ONLY);
	table_set(test, table, 2 * leaf, 0);
	trim_kills(test, table, 2 * leaf, leaf);
	table_set(test, table, last, hpa_of(shape, 1) | READ_ONLY);
	table_set(test, table, last, 0);
	KUNIT_EXPECT_GT(test, table_trim(test, table), 0);
	table_set(test, table, 0, 0);
	table_trim_all(test, table);

	table_destroy(test, table);
}

/* Levels in use */

static void held_leaves_are_not_trimmed(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = 3 * span_of(shape, 1) - RANGE / 2;
	struct tce_range range, one;

	/* Two leaves without entries. */
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
	KUNIT_EXPECT_GE(test, table_trim_all(test, table), 2);

	table_destroy(test, table);
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

/*
 * Whichever allocation fails, the levels that were linked before can be
 * trimmed.
 */
static void failed_levels_are_trimmed(struct kunit *test,
				      int (*fail)(struct tce_table *table,
						  unsigned long index))
{
	const struct shape *shape = shape_of(test);
	/*
	 * A range across the end of a level of depth 1, which needs two levels
	 * of each depth.
	 */
	unsigned long index = shape->entries / 2 /
			      span_of(shape, shape->levels - 1) *
			      span_of(shape, shape->levels - 1) - RANGE / 2;
	bool done = false;
	unsigned int nth;

	for (nth = 1; !done; nth++) {
		struct tce_table *table = table_of(test, shape);
		int ret;

		fixture_fail_alloc(test, nth);
		ret = fail(table, index);
		done = !fixture_alloc_failed(test);
		KUNIT_ASSERT_EQ(test, ret, done ? 0 : -ENOMEM);
		fixture_fail_alloc(test, 0);

		if (!done)
			table_trim_all(test, table);
		table_destroy(test, table);
	}
}

static void failed_prepare_leaves_no_level(struct kunit *test)
{
	failed_levels_are_trimmed(test, fail_to_prepare);
}

static void failed_exchange_leaves_no_level(struct kunit *test)
{
	failed_levels_are_trimmed(test, fail_to_exchange);
}

static void failed_hold_leaves_no_level(struct kunit *test)
{
	failed_levels_are_trimmed(test, fail_to_hold);
}

/* Operations whose entries were not killed yet */

static void expect_unkilled(void *data, unsigned long index,
			    unsigned long count)
{
	KUNIT_EXPECT_GT(kunit_get_current_test(), tce_table_unkilled(data), 0);
}

static void unkilled_until_killed(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long index = 3 * span_of(shape, 1);
	struct tce_table *table = table_of(test, shape);
	struct fixture *fixture = test->priv;
	u64 tce = hpa_of(shape, 1) | READ_ONLY;
	struct tce_cursor cursor = {
		.table = table,
		.index = index,
		.end = index + 1,
	};
	struct tce_batch old;

	/* What replaces or clears nothing does not count. */
	table_set(test, table, index, tce);
	table_set(test, table, index + 1, 0);
	table_store(test, shape, table, index + 2, 3, TCE_OWNER_NONE);
	KUNIT_EXPECT_EQ(test, tce_table_unkilled(table), 0);

	/* An exchange, a store or a clear counts once, however many entries. */
	table_set(test, table, index, tce);
	KUNIT_EXPECT_EQ(test, tce_table_unkilled(table), 1);
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, tce_table_unkilled(table), 2);
	table_store(test, shape, table, index + 2, 3, TCE_OWNER_NONE);
	KUNIT_EXPECT_EQ(test, tce_table_unkilled(table), 3);
	KUNIT_EXPECT_EQ(test, 3, table_clear(test, table, index, index + 9));
	KUNIT_EXPECT_EQ(test, tce_table_unkilled(table), 4);
	KUNIT_EXPECT_EQ(test, 0, table_clear(test, table, index, index + 9));
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, tce_table_unkilled(table), 4);
	tce_table_killed(table, 4);
	KUNIT_EXPECT_EQ(test, tce_table_unkilled(table), 0);

	/* So do levels that are trimmed, until they were killed. */
	tce_table_clear(&cursor, &old);
	KUNIT_EXPECT_FALSE(test, cursor.hole);
	fixture->kill_data = table;
	fixture->kill = expect_unkilled;
	table_trim_all(test, table);
	fixture->kill = NULL;
	KUNIT_EXPECT_EQ(test, tce_table_unkilled(table), 0);
	cursor.index = index;
	tce_table_clear(&cursor, &old);
	KUNIT_EXPECT_TRUE(test, cursor.hole);

	table_destroy(test, table);
}

/* A table with nine unused leaves more than are killed and freed at once */
static struct tce_table *table_of_two_batches(struct kunit *test)
{
	static const struct shape shape = {
		.page_shift = 12, .levels = 4, .entries = BIT(24),
	};
	struct tce_table *table = table_of(test, &shape);
	unsigned int leaves = BIT(19) / span_of(&shape, 1) + 9, i;

	for (i = 0; i < leaves; i++) {
		unsigned long index = i * span_of(&shape, 1);

		table_set(test, table, index, hpa_of(&shape, 1) | READ_ONLY);
		table_set(test, table, index, 0);
	}
	KUNIT_EXPECT_EQ(test, table_queued(table), leaves);

	return table;
}

static void trim_ends_early(struct kunit *test,
			    void (*stop)(struct tce_table *table, bool stop),
			    struct rw_semaphore *held, int ret)
{
	struct tce_table *table = table_of_two_batches(test);
	unsigned int left;

	stop(table, true);
	KUNIT_EXPECT_EQ(test, tce_trim(table, 0, held), ret);
	left = table_queued(table);
	/* After the last batch there is nothing to end early. */
	KUNIT_EXPECT_EQ(test, tce_trim(table, 0, held), 0);
	stop(table, false);
	KUNIT_EXPECT_EQ(test, left, 9);
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);

	table_destroy(test, table);
}

static void trim_does_nothing_when_stopped(struct kunit *test)
{
	struct tce_table *table = table_of_two_batches(test);
	unsigned int queued = table_queued(table);

	tce_trim_stop(table, true);
	KUNIT_EXPECT_EQ(test, tce_trim(table, 0, NULL), 1);
	KUNIT_EXPECT_EQ(test, table_queued(table), queued);
	tce_trim_stop(table, false);
	KUNIT_EXPECT_EQ(test, tce_trim(table, 0, NULL), 0);
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);

	table_destroy(test, table);
}

static void kill_current(struct tce_table *table, bool kill)
{
	/* Unless a kernel thread allows it, it ignores the signal. */
	if (kill) {
		allow_signal(SIGKILL);
		send_sig(SIGKILL, current, 1);
	} else {
		flush_signals(current);
		disallow_signal(SIGKILL);
	}
}

static void trim_ends_when_killed(struct kunit *test)
{
	trim_ends_early(test, kill_current, NULL, 1);
}

static DECLARE_RWSEM(trim_held);
static struct task_struct *trim_writer;

static int trim_writer_run(void *unused)
{
	down_write(&trim_held);
	up_write(&trim_held);
	while (!kthread_should_stop())
		msleep(20);

	return 0;
}

/* A thread waits for the lock, which is held for reading. */
static void start_writer(void)
{
	trim_writer = kthread_run(trim_writer_run, NULL, "trim_writer");
	while (!IS_ERR(trim_writer) && !rwsem_is_contended(&trim_held))
		msleep(20);
}

static void stop_writer(void)
{
	if (!IS_ERR(trim_writer))
		kthread_stop(trim_writer);
}

static void wait_for_current(struct tce_table *unused, bool wait)
{
	if (wait) {
		down_read(&trim_held);
		start_writer();
	} else {
		up_read(&trim_held);
		stop_writer();
	}
}

static void trim_ends_when_others_wait(struct kunit *test)
{
	trim_ends_early(test, wait_for_current, &trim_held, -EAGAIN);
}

static void trim_goes_on_if_nobody_waits(struct kunit *test)
{
	struct tce_table *table = table_of_two_batches(test);

	down_read(&trim_held);
	KUNIT_EXPECT_EQ(test, tce_trim(table, 0, &trim_held), 0);
	up_read(&trim_held);
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);

	table_destroy(test, table);
}

static int trim_result;

static int trim_run(void *table)
{
	down_read(&trim_held);
	trim_result = tce_trim(table, 0, &trim_held);
	up_read(&trim_held);
	while (!kthread_should_stop())
		msleep(20);

	return 0;
}

/* While it waits for another trim, a writer begins to wait. */
static void trim_does_nothing_when_others_wait(struct kunit *test)
{
	struct tce_table *table = table_of_two_batches(test);
	unsigned int queued = table_queued(table);
	struct task_struct *trimmer;

	trim_result = 1;
	mutex_lock(&table->trim_lock);
	trimmer = kthread_run(trim_run, table, "trimmer");
	KUNIT_ASSERT_FALSE(test, IS_ERR(trimmer));
	/* Until it sleeps in mutex_lock_killable() */
	while (!(READ_ONCE(trimmer->__state) & TASK_WAKEKILL))
		msleep(20);
	start_writer();
	mutex_unlock(&table->trim_lock);
	kthread_stop(trimmer);
	stop_writer();
	KUNIT_EXPECT_EQ(test, trim_result, -EAGAIN);
	KUNIT_EXPECT_EQ(test, table_queued(table), queued);
	KUNIT_EXPECT_EQ(test, tce_trim(table, 0, NULL), 0);

	table_destroy(test, table);
}

static struct kunit_case tce_table_trim_cases[] = {
	KUNIT_CASE_PARAM(random_partial_unmap, trim_gen_params),
	KUNIT_CASE_PARAM(oldest_levels_go_first, trim_gen_params),
	KUNIT_CASE_PARAM(levels_in_use_are_dequeued, trim_gen_params),
	KUNIT_CASE_PARAM(age_counts_from_last_use, trim_gen_params),
	KUNIT_CASE_PARAM(unlink_kill_free_in_order, trim_gen_params),
	KUNIT_CASE_PARAM(adjacent_leaves_are_killed_at_once, trim_gen_params),
	KUNIT_CASE_PARAM(held_leaves_are_not_trimmed, trim_gen_params),
	KUNIT_CASE_PARAM(failed_prepare_leaves_no_level, trim_gen_params),
	KUNIT_CASE_PARAM(failed_exchange_leaves_no_level, trim_gen_params),
	KUNIT_CASE_PARAM(failed_hold_leaves_no_level, trim_gen_params),
	KUNIT_CASE_PARAM(unkilled_until_killed, trim_gen_params),
	KUNIT_CASE(trim_does_nothing_when_stopped),
	KUNIT_CASE(trim_ends_when_killed),
	KUNIT_CASE(trim_ends_when_others_wait),
	KUNIT_CASE(trim_goes_on_if_nobody_waits),
	KUNIT_CASE(trim_does_nothing_when_others_wait),
	{}
};

static struct kunit_suite tce_table_trim_suite = {
	.name = "tce_table_trim",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_trim_cases,
};

kunit_test_suite(tce_table_trim_suite);
