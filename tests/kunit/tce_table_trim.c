// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of levels that are not used any more, and of leaves that keep one owner
 * as long as that is enough.
 */

#include <kunit/test.h>

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
#include "tce_level.h"
#include "tce_table.h"
#include "threads.h"

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

/* Sets entries of a few pages, as far as they go, for @owner. */
static void store_range(struct kunit *test, const struct shape *shape,
			struct tce_table *table, unsigned long index,
			unsigned int count, u64 owner)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + count,
	};
	struct tce_entry new[RANGE];
	unsigned int i;

	for (i = 0; i < count; i++) {
		new[i].tce = hpa_of(shape, index + i) | 3;
		new[i].owner = owner ?: ua_of(index + i);
	}
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, count, owner));
	KUNIT_ASSERT_GE(test, tce_table_store(&cursor, new, count, new), 0);
	KUNIT_ASSERT_EQ(test, cursor.index, cursor.end);
	tce_table_finish(table, index, count);
}

/* Clears a range; how many entries? */
static unsigned long clear_range(struct kunit *test, struct tce_table *table,
				 unsigned long index, unsigned long end)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = end,
	};
	struct tce_entry old[RANGE];
	unsigned long first, last, all = 0;
	int cleared;

	while ((cleared = tce_table_clear(&cursor, old, &first, &last,
					  RANGE)) > 0)
		all += cleared;
	KUNIT_EXPECT_EQ(test, cleared, 0);

	return all;
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
 * @kills: how often each index has been killed
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
	struct xarray kills;
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

static void forest_kill(void *data, unsigned long index, unsigned long count)
{
	struct forest *forest = data;

	KUNIT_EXPECT_GT(forest->test, count, 0);
	forest_save(forest, &forest->kills, index,
		    forest_load(&forest->kills, index) + 1);
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
			  hpa_of(shape, index), DMA_BIDIRECTIONAL);
		break;
	case 1:
		store_range(forest->test, shape, forest->table, index, count,
			    TCE_OWNER_EACH);
		break;
	default:
		store_range(forest->test, shape, forest->table, index, count,
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
		table_set(forest->test, forest->table, index, 0, DMA_NONE);
		cleared = forest_load(&forest->entries, index);
		end = index + 1;
	} else {
		cleared = clear_range(forest->test, forest->table, index, end);
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
		unsigned long kills;

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
		/* A level above may begin at the same entry. */
		kills = forest_load(&forest->kills, index);
		KUNIT_ASSERT_GT(forest->test, kills, 0);
		forest_save(forest, &forest->kills, index, kills - 1);
	}

	tce_table_stats(forest->table, &stats);
	KUNIT_EXPECT_EQ(forest->test, stats.depth[depth].levels, levels);
}

static void forest_trim(struct forest *forest)
{
	unsigned int depth;
	unsigned long leaf;
	void *value;

	tce_table_trim(forest->table, 0, forest_kill, forest);

	for (depth = 1; depth < forest->shape->levels; depth++)
		forest_expect_depth(forest, depth);
	KUNIT_EXPECT_TRUE(forest->test, xa_empty(&forest->kills));
	KUNIT_EXPECT_EQ(forest->test, tce_table_idle(forest->table), 0);
	expect_figures(forest->test, forest->table, forest->used);

	xa_for_each(&forest->leaves, leaf, value)
		if (!forest_any(forest, leaf * span_of(forest->shape, 1),
				span_of(forest->shape, 1)))
			forest_save(forest, &forest->leaves, leaf, 0);
}

static void partial_unmapping(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct forest *forest;
	unsigned int round, i;

	forest = kunit_kzalloc(test, sizeof(*forest), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, forest);
	forest->test = test;
	forest->shape = shape;
	forest->table = table_of(test, shape);
	xa_init(&forest->entries);
	xa_init(&forest->leaves);
	xa_init(&forest->kills);
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
			clear_range(test, forest->table, 0, shape->entries));
	table_trimmed(test, forest->table);
	table_gone(test, forest->table);
	xa_destroy(&forest->entries);
	xa_destroy(&forest->leaves);
	xa_destroy(&forest->kills);
}

/* Order of things */

static unsigned long leaf_at(const struct shape *shape, unsigned int i)
{
	/* Each second one is far away, so that the upper levels are its own. */
	return i * span_of(shape, 1) +
		(i & 1) * (shape->entries / 2 / span_of(shape, 1)) *
		span_of(shape, 1);
}

static void count_kill(void *data, unsigned long index, unsigned long count)
{
	unsigned long *kills = data;

	WRITE_ONCE(*kills, *kills + 1);
}

static void those_idle_last_are_kept(struct kunit *test)
{
	/* In which order they become idle; AGAIN is the first, too. */
	static const u8 order[LEAVES] = {
		3, 8, 0, 11, 5, 1, 9, 2, 10, 4, AGAIN, 6,
	};
	static const u8 keep[] = { 20, 12, 11, 8, 7, 2, 1, 0 };
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned int i, step, left = LEAVES;

	for (i = 0; i < LEAVES; i++)
		store_range(test, shape, table, leaf_at(shape, i) + 7, 3,
			    ua_of(1));
	KUNIT_EXPECT_EQ(test, tce_table_idle(table), 0);
	/* The first one is in use again later, and the last one, too. */
	clear_range(test, table, leaf_at(shape, AGAIN),
		    leaf_at(shape, AGAIN) + span_of(shape, 1));
	KUNIT_EXPECT_EQ(test, tce_table_idle(table), 1);
	for (i = 0; i < LEAVES; i++) {
		unsigned long index = leaf_at(shape, order[i]);

		if (order[i] == AGAIN)
			store_range(test, shape, table, index, 1, ua_of(1));
		clear_range(test, table, index, index + span_of(shape, 1));
	}
	store_range(test, shape, table, leaf_at(shape, order[LEAVES - 1]), 1,
		    ua_of(1));
	clear_range(test, table, leaf_at(shape, order[LEAVES - 1]),
		    leaf_at(shape, order[LEAVES - 1]) + 1);
	KUNIT_EXPECT_EQ(test, tce_table_idle(table), LEAVES);

	for (step = 0; step < ARRAY_SIZE(keep); step++) {
		unsigned long kills = 0;

		tce_table_trim(table, keep[step], count_kill, &kills);
		KUNIT_EXPECT_EQ(test, !kills, keep[step] >= left);
		left = min(left, keep[step]);
		KUNIT_EXPECT_EQ(test, tce_table_idle(table), left);
		for (i = 0; i < LEAVES; i++) {
			unsigned int depth = depth_of(test, table,
						      leaf_at(shape, order[i]));

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
 * struct witness - somebody who looks while levels are killed
 * @test: the test
 * @table: the table
 * @depth: how deep the hardware may still come
 * @leaf: a leaf that goes
 * @kills: how often there was something to look at
 * @given_back: blocks of pages that had been given back before
 * @bytes: bytes that the table had before
 */
struct witness {
	struct kunit *test;
	struct tce_table *table;
	unsigned int depth;
	struct tce_level *leaf;
	unsigned long kills;
	long given_back;
	long bytes;
};

static void witness_kill(void *data, unsigned long index, unsigned long count)
{
	struct witness *witness = data;
	struct kunit *test = witness->test;
	struct fixture *fixture = test->priv;
	enum dma_data_direction direction = DMA_TO_DEVICE;
	unsigned long hpa = 0;

	/* Neither the hardware nor software comes there any more. */
	KUNIT_EXPECT_EQ(test, depth_of(test, witness->table, index),
			witness->depth);
	if (READ_ONCE(test->status) == KUNIT_FAILURE)
		return;
	KUNIT_EXPECT_FALSE(test, tce_level_hold(witness->leaf));
	KUNIT_EXPECT_EQ(test, tce_table_get(witness->table, index), 0);
	KUNIT_EXPECT_EQ(test, H_TOO_HARD,
			tce_table_exchange(witness->table, index, &hpa,
					   &direction, false));
	KUNIT_EXPECT_NULL(test, tce_table_view(witness->table, index, false));

	/* The memory is still there. */
	KUNIT_EXPECT_EQ(test, atomic_long_read(&fixture->given_back),
			witness->given_back);
	KUNIT_EXPECT_EQ(test, fixture_bytes(test), witness->bytes);
	witness->kills++;
}

/* What software knows of the leaf of an entry. */
static struct tce_level *level_at(struct kunit *test, struct tce_table *table,
				  unsigned long index)
{
	__be64 *tces = tce_table_root(table);
	unsigned int height;

	for (height = tce_table_geometry(table)->levels - 1; height; height--) {
		__be64 tce = tces[tce_slot(tce_table_geometry(table), index,
					   height)];

		KUNIT_ASSERT_TRUE(test, tce_present(tce));
		tces = tce_to_level(tce);
	}

	return tce_level_of(table, tces);
}

static void unlinked_then_killed_then_freed(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	struct witness witness = { .test = test, .table = table, .depth = 1 };
	struct fixture *fixture = test->priv;
	struct tce_table_stats before;
	unsigned int i;

	for (i = 0; i < LEAVES; i++)
		store_range(test, shape, table, leaf_at(shape, i), 2,
			    i % 3 ? ua_of(1) : TCE_OWNER_EACH);
	witness.leaf = level_at(test, table, leaf_at(shape, 4));
	KUNIT_EXPECT_EQ(test, 2 * LEAVES,
			clear_range(test, table, 0, shape->entries));

	witness.given_back = atomic_long_read(&fixture->given_back);
	witness.bytes = fixture_bytes(test);
	tce_table_stats(table, &before);
	tce_table_trim(table, 0, witness_kill, &witness);

	/* Once for each level, the first excepted. */
	KUNIT_EXPECT_EQ(test, witness.kills, before.hw_bytes /
			(8UL << shape_level_bits(shape)) - 1);
	KUNIT_EXPECT_GT(test, atomic_long_read(&fixture->given_back),
			witness.given_back);
	KUNIT_EXPECT_EQ(test, 0, table_trimmed(test, table));

	table_gone(test, table);
}

/**
 * struct wait - who waits for whom until a level is freed
 * @test: the test
 * @shape: what the table was asked to be
 * @table: the table
 * @trimmer: who trims
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

/* Waits until whoever trims waits itself, or has come to the end. */
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
	const struct shape *shape = test->param_value;
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
		store_range(test, shape, wait.table, leaf_at(shape, i), 2,
			    TCE_OWNER_EACH);
	clear_range(test, wait.table, 0, shape->entries);

	threads_run(test, 3, wait_body, &wait);
	KUNIT_EXPECT_EQ(test, 0, table_trimmed(test, wait.table));

	table_gone(test, wait.table);
}

/* What stays */

static void leaf_given_out_stays(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned long index = leaf_at(shape, 3) + 5;
	struct tce_level *leaf;
	struct tce_table_stats stats;
	unsigned long kills = 0;
	unsigned int i;
	__be64 *place;

	for (i = 0; i < LEAVES; i++)
		store_range(test, shape, table, leaf_at(shape, i), 2,
			    TCE_OWNER_EACH);
	place = tce_table_view(table, index, true);
	KUNIT_ASSERT_NOT_NULL(test, place);
	leaf = level_at(test, table, index);
	/* A place of a view that is there is given out all the same. */
	KUNIT_EXPECT_NOT_NULL(test, tce_table_view(table, leaf_at(shape, 6),
						   false));
	KUNIT_EXPECT_EQ(test, 2 * LEAVES,
			clear_range(test, table, 0, shape->entries));

	for (i = 0; i < 3; i++) {
		tce_table_trim(table, 0, count_kill, &kills);
		KUNIT_EXPECT_GE(test, kills, LEAVES - 2);
		KUNIT_EXPECT_EQ(test, tce_table_idle(table), 0);
		KUNIT_EXPECT_PTR_EQ(test, level_at(test, table, index), leaf);
		KUNIT_EXPECT_EQ(test, depth_of(test, table, leaf_at(shape, 6)),
				shape->levels);
		tce_table_stats(table, &stats);
		KUNIT_EXPECT_EQ(test, stats.depth[shape->levels - 1].levels, 2);
		KUNIT_EXPECT_EQ(test, stats.user_levels, 2);
		expect_figures(test, table, 0);

		/* As good as ever. */
		*place = cpu_to_be64(ua_of(i));
		KUNIT_EXPECT_PTR_EQ(test, place,
				    tce_table_view(table, index, i & 1));
		table_set(test, table, index, hpa_of(shape, index),
			  DMA_TO_DEVICE);
		table_set(test, table, index, 0, DMA_NONE);
	}

	table_gone(test, table);
}

static void held_leaves_stay(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned long index = 3 * span_of(shape, 1) - RANGE / 2;
	unsigned long kills = 0;

	/* Two leaves with nothing in them. */
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, RANGE,
						   TCE_OWNER_EACH));
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, 1, ua_of(1)));
	tce_table_trim(table, 0, count_kill, &kills);
	tce_table_finish(table, index, 1);
	tce_table_trim(table, 0, count_kill, &kills);
	KUNIT_EXPECT_EQ(test, kills, 0);
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
	enum dma_data_direction direction = DMA_TO_DEVICE;
	unsigned long hpa = 0;

	return tce_table_exchange(table, index, &hpa, &direction, true);
}

static int fail_to_view(struct tce_table *table, unsigned long index)
{
	return tce_table_view(table, index, true) ? 0 : -ENOMEM;
}

/* Wherever memory ends, what is there by then can be taken out again. */
static void failed_levels_go(struct kunit *test,
			     int (*fail)(struct tce_table *table,
					 unsigned long index))
{
	const struct shape *shape = test->param_value;
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

static void failed_view_leaves_nothing(struct kunit *test)
{
	failed_levels_go(test, fail_to_view);
}

/* Owners */

static void expect_views(struct kunit *test, struct tce_table *table,
			 unsigned long views)
{
	struct tce_table_stats stats;

	tce_table_stats(table, &stats);
	KUNIT_EXPECT_EQ(test, stats.user_levels, views);
}

/* Clears one entry and expects whose it was. */
static void expect_owner(struct kunit *test, const struct shape *shape,
			 struct tce_table *table, unsigned long index, u64 owner)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + 1,
	};
	unsigned long first, last;
	struct tce_entry old;

	KUNIT_ASSERT_EQ(test, 1,
			tce_table_clear(&cursor, &old, &first, &last, 1));
	KUNIT_EXPECT_EQ_MSG(test, old.owner, owner, "index %#lx", index);
	KUNIT_EXPECT_EQ(test, old.tce, hpa_of(shape, index) | 3);
}

/* Stores over what is there and expects whose it was. */
static void expect_owner_before(struct kunit *test, const struct shape *shape,
				struct tce_table *table, unsigned long index,
				u64 owner, u64 new_owner)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + 1,
	};
	struct tce_entry new = {
		.tce = hpa_of(shape, index) | 3, .owner = new_owner,
	};
	struct tce_entry old;

	KUNIT_ASSERT_EQ(test, 0,
			tce_table_prepare(table, index, 1, new_owner));
	KUNIT_ASSERT_EQ(test, 1, tce_table_store(&cursor, &new, 1, &old));
	KUNIT_EXPECT_EQ_MSG(test, old.owner, owner, "index %#lx", index);
	tce_table_finish(table, index, 1);
}

static void owners_share_a_leaf(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned long index = span_of(shape, 1) + 100;
	enum dma_data_direction direction = DMA_BIDIRECTIONAL;
	unsigned long hpa = hpa_of(shape, index + 9);

	/* One owner after the other: one is enough. */
	store_range(test, shape, table, index, 4, ua_of(1));
	KUNIT_EXPECT_EQ(test, 4, clear_range(test, table, index, index + 4));
	table_set(test, table, index, hpa, DMA_TO_DEVICE);
	table_set(test, table, index, 0, DMA_NONE);
	store_range(test, shape, table, index, 4, ua_of(2));
	store_range(test, shape, table, index + 4, 4, ua_of(2));
	expect_views(test, table, 0);

	/* Nobody's entry does not fit, and needs memory to do so. */
	KUNIT_EXPECT_EQ(test, H_TOO_HARD,
			tce_table_exchange(table, index + 9, &hpa, &direction,
					   false));
	KUNIT_EXPECT_EQ(test, hpa, hpa_of(shape, index + 9));
	expect_views(test, table, 0);
	/* Small levels have a page that is there already. */
	if (shape_level_bits(shape) + 3 >= PAGE_SHIFT) {
		fixture_refuse(test, 1);
		KUNIT_EXPECT_EQ(test, -ENOMEM,
				tce_table_exchange(table, index + 9, &hpa,
						   &direction, true));
		expect_views(test, table, 0);
		fixture_refuse(test, 0);
	}
	table_set(test, table, index + 9, hpa_of(shape, index + 9),
		  DMA_BIDIRECTIONAL);
	expect_views(test, table, 1);

	/* The ones before and the ones after the view. */
	store_range(test, shape, table, index + 10, 2, ua_of(3));
	store_range(test, shape, table, index + 12, 2, ua_of(2));
	store_range(test, shape, table, index + 14, 2, TCE_OWNER_EACH);
	expect_views(test, table, 1);
	expect_figures(test, table, 8 + 1 + 6);

	expect_owner(test, shape, table, index, ua_of(2));
	expect_owner(test, shape, table, index + 9, TCE_OWNER_NONE);
	expect_owner(test, shape, table, index + 10, ua_of(3));
	expect_owner(test, shape, table, index + 12, ua_of(2));
	expect_owner(test, shape, table, index + 14, ua_of(index + 14));
	expect_owner_before(test, shape, table, index + 1, ua_of(2), ua_of(4));
	expect_owner_before(test, shape, table, index + 1, ua_of(4), ua_of(2));
	expect_owner_before(test, shape, table, index + 11, ua_of(3), ua_of(2));
	expect_owner_before(test, shape, table, index + 11, ua_of(2),
			    TCE_OWNER_NONE);
	expect_owner(test, shape, table, index + 11, TCE_OWNER_NONE);
	expect_owner(test, shape, table, index + 1, ua_of(2));
	expect_figures(test, table, 8);

	/* The place in the view says nothing, or what was written there. */
	KUNIT_EXPECT_EQ(test, 0, be64_to_cpu(*tce_table_view(table, index + 2,
							     false)));
	*tce_table_view(table, index + 2, false) = cpu_to_be64(ua_of(5));
	expect_owner(test, shape, table, index + 2, ua_of(5));
	hpa = 0;
	direction = DMA_NONE;
	KUNIT_EXPECT_EQ(test, 0, tce_table_exchange(table, index + 3, &hpa,
						    &direction, false));
	KUNIT_EXPECT_EQ(test, 6, clear_range(test, table, 0, shape->entries));
	expect_figures(test, table, 0);

	table_gone(test, table);
}

/* A swap finds the owner that the leaf has, too. */
static void swap_finds_the_leafs_owner(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned long index = span_of(shape, 1) + 100;
	enum dma_data_direction direction = DMA_NONE;
	unsigned long hpa = 0;
	u64 owner = 0;

	store_range(test, shape, table, index, 3, ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, tce_table_swap(table, index, &hpa, &direction,
						&owner));
	KUNIT_EXPECT_EQ(test, hpa, hpa_of(shape, index));
	KUNIT_EXPECT_EQ(test, owner, ua_of(1));
	expect_views(test, table, 0);

	KUNIT_ASSERT_NOT_NULL(test, tce_table_view(table, index + 1, true));
	expect_views(test, table, 1);
	hpa = hpa_of(shape, 1);
	direction = DMA_TO_DEVICE;
	KUNIT_EXPECT_EQ(test, 0, tce_table_swap(table, index + 1, &hpa,
						&direction, &owner));
	KUNIT_EXPECT_EQ(test, hpa, hpa_of(shape, index + 1));
	KUNIT_EXPECT_EQ(test, owner, ua_of(1));
	expect_owner(test, shape, table, index + 2, ua_of(1));

	table_gone(test, table);
}

/* What tce_table_store_few() says, and that nothing is changed if it fails. */
static void expect_few(struct kunit *test, const struct shape *shape,
		       struct tce_table *table, unsigned long index,
		       unsigned int count, u64 owner, int expected)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + count,
	};
	/* Other addresses than there are, one after the other. */
	struct tce_entry first = {
		.tce = (hpa_of(shape, 3 * index) ^ BIT_ULL(40)) | TCE_PCI_WRITE,
		.owner = owner,
	};
	struct tce_entry old[8];
	u64 after[8];
	unsigned int i;

	for (i = 0; i < count; i++)
		after[i] = expected < 0 ? tce_table_get(table, index + i) :
			   (first.tce | TCE_PCI_READ) +
			   i * BIT_ULL(shape->page_shift);
	fixture_refuse(test, 1);
	KUNIT_EXPECT_EQ(test, expected,
			tce_table_store_few(&cursor, &first, count, old));
	KUNIT_EXPECT_FALSE(test, fixture_refused(test));
	fixture_refuse(test, 0);
	KUNIT_EXPECT_EQ(test, cursor.index, index + (expected < 0 ? 0 : count));
	for (i = 0; i < count; i++)
		KUNIT_EXPECT_EQ(test, tce_table_get(table, index + i),
				after[i]);
}

static void few_at_once(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned long leaf = span_of(shape, 1), first, last;
	struct tce_cursor cursor = {
		.table = table, .index = 2 * leaf + 1, .end = 3 * leaf,
	};
	struct tce_entry old;

	/* The leaf is missing; then it is there, but the next one is not. */
	expect_few(test, shape, table, leaf, 8, ua_of(1), -EAGAIN);
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, leaf, 1, ua_of(1)));
	expect_few(test, shape, table, leaf, 8, ua_of(2), -EAGAIN);
	expect_few(test, shape, table, leaf, 2, ua_of(1), 0);
	tce_table_finish(table, leaf, 1);
	expect_few(test, shape, table, 2 * leaf - 4, 8, ua_of(1), -EAGAIN);
	KUNIT_ASSERT_EQ(test, 0,
			tce_table_prepare(table, 2 * leaf, 1, ua_of(1)));
	expect_few(test, shape, table, 2 * leaf - 4, 8, ua_of(1), -EAGAIN);
	tce_table_finish(table, 2 * leaf, 1);
	expect_few(test, shape, table, 2 * leaf - 4, 4, ua_of(1), 0);
	expect_few(test, shape, table, 2 * leaf - 6, 4, ua_of(1), 2);
	expect_figures(test, table, 8);
	expect_few(test, shape, table, leaf, 8, ua_of(2), -EAGAIN);
	expect_views(test, table, 0);

	/* Not with a view. */
	KUNIT_ASSERT_NOT_NULL(test, tce_table_view(table, leaf + 3, true));
	expect_few(test, shape, table, leaf, 8, ua_of(1), -EAGAIN);
	expect_few(test, shape, table, leaf + 4, 4, ua_of(1), -EAGAIN);

	/* An empty leaf takes another owner. */
	KUNIT_EXPECT_EQ(test, 8,
			clear_range(test, table, 0, shape->entries));
	KUNIT_ASSERT_EQ(test, 0,
			tce_table_prepare(table, 2 * leaf, 1, ua_of(1)));
	tce_table_finish(table, 2 * leaf, 1);
	expect_few(test, shape, table, 2 * leaf + 1, 3, ua_of(2), 0);
	KUNIT_EXPECT_EQ(test, 1, tce_table_clear(&cursor, &old, &first, &last, 1));
	KUNIT_EXPECT_EQ(test, old.owner, ua_of(2));

	table_gone(test, table);
}

/* Who has prepared can store, whoever else has done so since. */
static void claims_of_owners(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned long index = span_of(shape, 1) + 100;
	enum dma_data_direction direction = DMA_TO_DEVICE;
	unsigned long hpa = hpa_of(shape, 1);
	struct tce_entry new[2][4], old[4];
	struct tce_cursor cursor[2];
	unsigned int i, j;

	for (j = 0; j < 2; j++) {
		cursor[j] = (struct tce_cursor) {
			.table = table,
			.index = index + 4 * j,
			.end = index + 4 * j + 4,
		};
		for (i = 0; i < 4; i++) {
			new[j][i].tce = hpa_of(shape, index + 4 * j + i) | 3;
			new[j][i].owner = ua_of(j);
		}
	}

	/* An empty leaf, but one that somebody counts on. */
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, 4, ua_of(0)));
	KUNIT_EXPECT_EQ(test, H_TOO_HARD,
			tce_table_exchange(table, index + 20, &hpa, &direction,
					   false));
	KUNIT_EXPECT_EQ(test, 0, tce_table_store(&cursor[0], new[0], 2, old));
	expect_views(test, table, 0);

	KUNIT_ASSERT_EQ(test, 0,
			tce_table_prepare(table, index + 4, 4, ua_of(1)));
	expect_views(test, table, 1);
	KUNIT_EXPECT_EQ(test, 0, tce_table_store(&cursor[1], new[1], 1, old));
	KUNIT_EXPECT_EQ(test, 0,
			tce_table_store(&cursor[0], new[0] + 2, 2, old));
	KUNIT_EXPECT_EQ(test, 0,
			tce_table_store(&cursor[1], new[1] + 1, 3, old));
	tce_table_finish(table, index, 4);
	tce_table_finish(table, index + 4, 4);

	for (i = 0; i < 8; i++)
		expect_owner(test, shape, table, index + i, ua_of(i / 4));
	expect_figures(test, table, 0);

	/* With the leaf, the view goes, and the next owner needs none. */
	table_trimmed(test, table);
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, 4, ua_of(0)));
	tce_table_finish(table, index, 4);
	KUNIT_EXPECT_EQ(test, 0, tce_table_exchange(table, index, &hpa,
						    &direction, false));
	expect_views(test, table, 0);

	table_gone(test, table);
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
 * @kills: levels that were taken out
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

static void crowd_trim(struct crowd *crowd)
{
	struct tce_table_stats stats;

	while (atomic_read(&crowd->working)) {
		tce_table_trim(crowd->table, 0, count_kill, &crowd->kills);
		crowd->trims++;
		tce_table_stats(crowd->table, &stats);
		crowd->views = max(crowd->views, stats.user_levels);
		cond_resched();
	}
}

static void crowd_expect(struct crowd *crowd, unsigned long index, u64 tce)
{
	struct hardware_window window = hardware_window(crowd->table);
	u64 address = (u64)index << window.page_shift;

	crowd_is_wrong(crowd, tce_table_get(crowd->table, index) != tce);
	crowd_is_wrong(crowd, hardware_dma(crowd->test, &window, address, true) !=
		       (tce & ~3ULL));
}

static void crowd_exchange(struct crowd *crowd, unsigned long index,
			   unsigned long number)
{
	enum dma_data_direction direction = DMA_BIDIRECTIONAL;
	unsigned long set = hpa_of(crowd->shape, number), hpa = set;

	crowd_is_wrong(crowd, tce_table_exchange(crowd->table, index, &hpa,
						 &direction, true));
	crowd_is_wrong(crowd, hpa || direction != DMA_NONE);
	crowd_expect(crowd, index, set | 3);

	direction = DMA_NONE;
	crowd_is_wrong(crowd, tce_table_exchange(crowd->table, index, &hpa,
						 &direction, false));
	crowd_is_wrong(crowd, hpa != set || direction != DMA_BIDIRECTIONAL);
}

static void crowd_store(struct crowd *crowd, unsigned long index,
			unsigned long number, u64 owner)
{
	struct tce_cursor cursor = {
		.table = crowd->table, .index = index, .end = index + 2,
	};
	struct tce_entry new[2], old[2];
	unsigned long first, last;
	int cleared, few = -EAGAIN;
	unsigned int i, all = 0;

	for (i = 0; i < 2; i++) {
		new[i].tce = (hpa_of(crowd->shape, number) | 3) +
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
	while ((cleared = tce_table_clear(&cursor, old, &first, &last, 2)) > 0) {
		for (i = 0; i < cleared; i++, all++)
			crowd_is_wrong(crowd, all >= 2 ||
				       old[i].owner != owner ||
				       old[i].tce != new[all].tce);
	}
	crowd_is_wrong(crowd, cleared || all != 2);
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

		if ((round + me) & 2)
			crowd_exchange(crowd, index, number);
		else if (round & 8)
			crowd_store(crowd, index, number, ua_of(me));
		else /* Two leaves at once, which next to nobody else needs. */
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
	const struct shape *shape = test->param_value;
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

		kunit_info(test, "%u threads: %lu trims, %lu levels, %lu views",
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
	KUNIT_CASE_PARAM(readers_leave_first, trim_gen_params),
	KUNIT_CASE_PARAM(leaf_given_out_stays, trim_gen_params),
	KUNIT_CASE_PARAM(held_leaves_stay, trim_gen_params),
	KUNIT_CASE_PARAM(failed_prepare_leaves_nothing, trim_gen_params),
	KUNIT_CASE_PARAM(failed_exchange_leaves_nothing, trim_gen_params),
	KUNIT_CASE_PARAM(failed_view_leaves_nothing, trim_gen_params),
	KUNIT_CASE_PARAM(owners_share_a_leaf, trim_gen_params),
	KUNIT_CASE_PARAM(swap_finds_the_leafs_owner, trim_gen_params),
	KUNIT_CASE_PARAM(few_at_once, trim_gen_params),
	KUNIT_CASE_PARAM(claims_of_owners, trim_gen_params),
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
