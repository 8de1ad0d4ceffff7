// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of prepared ranges: which entries form an extent, full batches, and
 * ranges of many leaves.
 */

#include <kunit/test.h>

#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/minmax.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_table.h"

#define RANGE		100
#define MANY		(3 * TCE_RANGE_FEW)

static const struct shape range_shapes[] = {
	{ .page_shift = 12, .levels = 5, .entries = BIT(42) },
	{ .page_shift = 12, .levels = 3, .entries = BIT(39) },
	{ .page_shift = 16, .levels = 3, .entries = 0x264000000000 >> 16 },
	{ .page_shift = 16, .levels = 2, .entries = BIT(26) },
	{ .page_shift = 30, .levels = 3, .entries = BIT(24) },
};

KUNIT_ARRAY_PARAM(range, range_shapes, shape_describe);

/* An index in a leaf that is not the first one. */
static unsigned long place_of(const struct shape *shape)
{
	return 3 * span_of(shape, 1) + 100;
}

static struct tce_extent extent_of(const struct shape *shape,
				   unsigned long index, unsigned long count,
				   unsigned long page, u64 permissions,
				   u64 owner)
{
	return (struct tce_extent) {
		.index = index,
		.count = count,
		.tce = (u64)page << shape->page_shift | permissions,
		.owner = owner,
	};
}

/* Sets each extent by a range of its own. */
static void set_extents(struct kunit *test, struct tce_table *table,
			const struct tce_extent *extents, unsigned int count)
{
	struct tce_batch new, old;
	struct tce_range range;

	for (; count; count--, extents++) {
		new = (struct tce_batch) {
			.count = 1,
			.entries = extents->count,
			.extent[0] = *extents,
		};
		table_prepare(test, table, &range, extents->index,
			      extents->count, extents->owner);
		while (new.first < new.count)
			KUNIT_ASSERT_EQ(test, 0,
					tce_table_store(&range, &new, &old));
		KUNIT_EXPECT_EQ(test, range.index, range.end);
		tce_table_finish(&range);
	}
}

static void expect_same(struct kunit *test, const struct tce_extent *got,
			const struct tce_extent *want)
{
	KUNIT_EXPECT_EQ(test, got->index, want->index);
	KUNIT_EXPECT_EQ(test, got->count, want->count);
	KUNIT_EXPECT_EQ(test, got->tce, want->tce);
	KUNIT_EXPECT_EQ(test, got->owner, want->owner);
}

/*
 * Expects these extents from tce_table_extent(), then from tce_table_clear().
 */
static void expect_extents(struct kunit *test, const struct shape *shape,
			   struct tce_table *table,
			   const struct tce_extent *want, unsigned int count)
{
	const struct tce_extent *last = &want[count - 1];
	struct tce_cursor cursor = {
		.table = table,
		.index = want->index,
		.end = last->index + last->count,
	};
	struct tce_extent one;
	struct tce_batch old;
	unsigned int i, n = 0;

	for (i = 0; i < count; i++) {
		KUNIT_ASSERT_TRUE(test, tce_table_extent(&cursor, &one));
		expect_same(test, &one, &want[i]);
	}
	KUNIT_EXPECT_FALSE(test, tce_table_extent(&cursor, &one));

	cursor.index = want->index;
	while (table_clear_next(test, &cursor, &old)) {
		for (i = 0; i < old.count; i++, n++) {
			KUNIT_ASSERT_LT(test, n, count);
			expect_same(test, &old.extent[i], &want[n]);
		}
	}
	KUNIT_EXPECT_EQ(test, n, count);
}

/* What ends an extent */

static void adjacent_entries_are_one_extent(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long at = place_of(shape);
	struct tce_extent want =
		extent_of(shape, at, 10, 50, READ_WRITE, ua_of(1));
	struct tce_extent parts[] = {
		extent_of(shape, at, 3, 50, READ_WRITE, ua_of(1)),
		/* Write permission implies read. */
		extent_of(shape, at + 4, 6, 54, WRITE_ONLY, ua_of(1)),
		extent_of(shape, at + 3, 1, 53, READ_WRITE, ua_of(1)),
	};
	unsigned int i;

	set_extents(test, table, parts, ARRAY_SIZE(parts));
	expect_extents(test, shape, table, &want, 1);

	/* Also in a leaf with a view, and set one by one. */
	set_extents(test, table, &(struct tce_extent) {
		.index = at + 50, .count = 1, .tce = BIT_ULL(40) | READ_ONLY,
		.owner = ua_of(2),
	}, 1);
	for (i = 0; i < 10; i++)
		expect_exchange(test, table, at + i,
				want.tce + ((u64)i << shape->page_shift),
				ua_of(1), true, 0, 0);
	expect_views(test, table, 1);
	KUNIT_EXPECT_EQ(test, 1, table_clear(test, table, at + 50, at + 51));
	expect_extents(test, shape, table, &want, 1);
	expect_figures(test, table, 0);

	table_destroy(test, table);
}

static void permissions_and_holes_end_extents(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long at = place_of(shape), leaf = 5 * span_of(shape, 1);
	struct tce_extent permission[] = {
		extent_of(shape, at, 3, 50, READ_ONLY, ua_of(1)),
		extent_of(shape, at + 3, 3, 53, READ_WRITE, ua_of(1)),
		extent_of(shape, at + 6, 1, 56, 0, ua_of(1)),
		extent_of(shape, at + 7, 1, 57, READ_ONLY, ua_of(1)),
	};
	struct tce_extent step[] = {
		extent_of(shape, at, 3, 50, READ_ONLY, ua_of(1)),
		extent_of(shape, at + 3, 2, 54, READ_ONLY, ua_of(1)),
		extent_of(shape, at + 5, 1, 55, READ_ONLY, ua_of(1)),
		extent_of(shape, at + 6, 1, 55, READ_ONLY, ua_of(1)),
		extent_of(shape, at + 7, 1, 1, READ_ONLY, ua_of(1)),
	};
	struct tce_extent hole[] = {
		extent_of(shape, at, 3, 50, READ_ONLY, ua_of(1)),
		extent_of(shape, at + 4, 2, 54, READ_ONLY, ua_of(1)),
		extent_of(shape, at + 60, 2, 110, READ_ONLY, ua_of(1)),
	};
	struct tce_extent border[] = {
		extent_of(shape, leaf - 3, 3, 50, READ_ONLY, ua_of(1)),
		extent_of(shape, leaf, 4, 53, READ_ONLY, ua_of(1)),
	};
	struct tce_cursor cursor = { .table = table,
				     .index = leaf - 3,
				     .end = leaf + 4 };
	struct tce_extent one;

	set_extents(test, table, permission, ARRAY_SIZE(permission));
	expect_extents(test, shape, table, permission, ARRAY_SIZE(permission));
	set_extents(test, table, step, ARRAY_SIZE(step));
	expect_extents(test, shape, table, step, ARRAY_SIZE(step));
	set_extents(test, table, hole, ARRAY_SIZE(hole));
	expect_extents(test, shape, table, hole, ARRAY_SIZE(hole));

	/* tce_table_extent() joins extents across leaves. */
	set_extents(test, table, border, ARRAY_SIZE(border));
	KUNIT_ASSERT_TRUE(test, tce_table_extent(&cursor, &one));
	KUNIT_EXPECT_EQ(test, one.count, 7);
	cursor.index = leaf - 3;
	KUNIT_EXPECT_EQ(test, 7, table_clear(test, table, leaf - 3, leaf + 4));
	expect_figures(test, table, 0);

	table_destroy(test, table);
}

static void owners_end_extents(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long at = place_of(shape);
	struct tce_extent owners[] = {
		extent_of(shape, at, 3, 50, READ_ONLY, ua_of(1)),
		extent_of(shape, at + 3, 2, 53, READ_ONLY, ua_of(2)),
		extent_of(shape, at + 5, 1, 55, READ_ONLY, TCE_OWNER_NONE),
		extent_of(shape, at + 6, 7, 56, READ_ONLY, ua_of(2)),
	};

	set_extents(test, table, owners, ARRAY_SIZE(owners));
	expect_views(test, table, 1);
	expect_extents(test, shape, table, owners, ARRAY_SIZE(owners));
	expect_figures(test, table, 0);

	table_destroy(test, table);
}

/* Full batches */

/* No two entries are contiguous, so each is an extent. */
static void clear_fills_batches(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long at = place_of(shape);
	struct tce_cursor cursor = {
		.table = table, .index = at - 20, .end = at + RANGE,
	};
	unsigned int i, done = 0;
	struct tce_batch old;

	for (i = 0; i < RANGE; i += 25)
		table_store(test, shape, table, at + i, 25, ua_of(1));
	while (cursor.index < cursor.end) {
		tce_table_clear(&cursor, &old);
		KUNIT_ASSERT_EQ(test, old.count,
				min_t(unsigned int, TCE_BATCH, RANGE - done));
		KUNIT_EXPECT_EQ(test, batch_count(test, table, &old),
				old.count);
		for (i = 0; i < old.count; i++, done++)
			KUNIT_EXPECT_EQ(test, old.extent[i].index, at + done);
		expect_entry(test, table, at + done - 1, 0);
		if (done < RANGE) {
			KUNIT_EXPECT_EQ(test, cursor.index, at + done);
			expect_entry(test, table, at + done,
				     hpa_of(shape, at + done) | READ_WRITE);
		}
		expect_figures(test, table, RANGE - done);
	}
	KUNIT_EXPECT_EQ(test, done, RANGE);

	table_destroy(test, table);
}

/*
 * A store of one extent stops when the extents that it replaces fill a batch.
 */
static void store_stops_at_full_batch(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long at = place_of(shape);
	struct tce_batch *new = kunit_kzalloc(test, sizeof(*new), GFP_KERNEL);
	unsigned int i, done = 0, before;
	struct tce_range range;
	struct tce_batch old;

	KUNIT_ASSERT_NOT_NULL(test, new);
	/* Set every second entry. */
	for (i = 0; i < RANGE; i += 2)
		table_store(test, shape, table, at + i, 1, ua_of(1));
	new->count = 1;
	new->entries = RANGE;
	new->extent[0] =
		extent_of(shape, ULONG_MAX, RANGE, 7, READ_ONLY, ua_of(2));
	table_prepare(test, table, &range, at, RANGE, ua_of(2));

	while (new->first < new->count) {
		before = done;
		KUNIT_ASSERT_EQ(test, 0, tce_table_store(&range, new, &old));
		KUNIT_ASSERT_EQ(test, batch_count(test, table, &old),
				old.count);
		for (i = 0; i < old.count; i++) {
			KUNIT_EXPECT_EQ(test, old.extent[i].index, at + done);
			KUNIT_EXPECT_EQ(test, old.extent[i].tce,
					hpa_of(shape, at + done) | READ_WRITE);
			KUNIT_EXPECT_EQ(test, old.extent[i].owner, ua_of(1));
			done += 2;
		}
		KUNIT_EXPECT_EQ(test, done - before,
				min_t(unsigned int, 2 * TCE_BATCH,
				      RANGE - before));
		KUNIT_EXPECT_EQ(test, range.index, at + done);
		KUNIT_EXPECT_EQ(test, tce_table_get(table, at + done - 1),
				(done + 6ULL) << shape->page_shift | READ_ONLY);
		if (done == RANGE)
			break;
		/* The rest of the extent is left for the next call. */
		KUNIT_EXPECT_EQ(test, new->extent[0].count, RANGE - done);
		KUNIT_EXPECT_EQ(test, new->extent[0].tce,
				(done + 7ULL) << shape->page_shift | READ_ONLY);
		KUNIT_EXPECT_EQ(test, tce_table_get(table, at + done),
				hpa_of(shape, at + done) | READ_WRITE);
		KUNIT_EXPECT_EQ(test, tce_table_get(table, at + done + 1), 0);
	}
	tce_table_finish(&range);
	expect_figures(test, table, RANGE);
	KUNIT_EXPECT_EQ(test, RANGE,
			table_clear(test, table, 0, shape->entries));
	expect_figures(test, table, 0);
	table_trim_all(test, table);

	table_destroy(test, table);
}

/* A call stores up to TCE_TABLE_SCAN entries, of one leaf. */
static void store_is_bounded(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long leaf = span_of(shape, 1), at = 4 * leaf - 700;
	unsigned long count = 700 + leaf + 5, done = 0;
	struct tce_batch *new = kunit_kzalloc(test, sizeof(*new), GFP_KERNEL);
	struct tce_range range;
	struct tce_batch old;

	KUNIT_ASSERT_NOT_NULL(test, new);
	new->count = 1;
	new->entries = count;
	new->extent[0] = extent_of(shape, 0, count, 7, READ_ONLY, ua_of(1));
	table_prepare(test, table, &range, at, count, ua_of(1));
	while (done < count) {
		unsigned long now = min3(count - done, TCE_TABLE_SCAN,
					 leaf - (at + done) % leaf);

		KUNIT_ASSERT_EQ(test, 0, tce_table_store(&range, new, &old));
		KUNIT_ASSERT_EQ(test, old.count, 0);
		done += now;
		KUNIT_ASSERT_EQ(test, range.index, at + done);
	}
	KUNIT_EXPECT_EQ(test, new->first, new->count);
	KUNIT_EXPECT_EQ(test, range.leaves, 0);
	tce_table_finish(&range);
	expect_figures(test, table, count);
	KUNIT_EXPECT_EQ(test, count,
			table_clear(test, table, 0, shape->entries));
	table_trim_all(test, table);

	table_destroy(test, table);
}

/* Many leaves */

static void expect_held(struct kunit *test, const struct shape *shape,
			struct tce_table *table, unsigned long first,
			unsigned int from, unsigned int count)
{
	struct hardware_window window = hardware_window(table);
	unsigned int i;

	table_trim(test, table);
	for (i = 0; i < count; i++)
		KUNIT_EXPECT_EQ_MSG(test, i >= from,
				    hardware_depth(test, &window, first +
						   i * span_of(shape, 1)) ==
				    shape->levels, "leaf %u, held from %u",
				    i, from);
}

static void store_puts_each_leaf(struct kunit *test)
{
	static const u8 leaves[] = {
		1, TCE_RANGE_FEW, TCE_RANGE_FEW + 1, MANY,
	};
	const struct shape *shape = shape_of(test);
	unsigned long leaf = span_of(shape, 1), first = 2 * leaf;
	struct tce_table *table = table_of(test, shape);
	unsigned int i, n, stop;
	struct tce_batch new, old;
	struct tce_range range;
	int ret;

	for (n = 0; n < ARRAY_SIZE(leaves); n++) {
		unsigned int count = leaves[n];

		for (stop = 0; stop <= count; stop += max(1, count / 4)) {
			table_prepare(test, table, &range, first + 5,
				      count * leaf - 10, ua_of(1));
			expect_held(test, shape, table, first, 0, count);

			/* A leaf that was stored to its end is not held. */
			for (i = 0; i < stop; i++) {
				unsigned long end = min(first + (i + 1) * leaf,
							range.end);

				while (range.index < end) {
					new.first = 0;
					new.count = 1;
					new.entries = end - range.index;
					new.extent[0] = extent_of(shape, 0,
								  new.entries,
								  7, READ_ONLY,
								  ua_of(1));
					ret = tce_table_store(&range, &new,
							      &old);
					KUNIT_ASSERT_EQ(test, 0, ret);
				}
				table_clear(test, table, first + i * leaf, end);
			}
			expect_held(test, shape, table, first, stop, count);
			tce_table_finish(&range);
			KUNIT_EXPECT_EQ(test, table_queued(table),
					count - stop);
			table_trim_all(test, table);
		}
	}

	table_destroy(test, table);
}

/* After a failed allocation nothing stays held, and all levels can be freed. */
static void prepare_fails_midway(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_range range = {
		.index = 3, .end = MANY * span_of(shape, 1) - 3,
	};
	struct tce_table *table = table_of(test, shape);
	unsigned int nth;
	bool done = false;

	for (nth = 1; !done; nth += 3) {
		int ret;

		fixture_fail_alloc(test, nth);
		ret = tce_table_prepare(table, &range, TCE_OWNER_EACH,
					GFP_KERNEL);
		done = !fixture_alloc_failed(test);
		fixture_fail_alloc(test, 0);
		KUNIT_ASSERT_EQ(test, ret, done ? 0 : -ENOMEM);
		KUNIT_EXPECT_EQ(test, range.index, 3);
		if (done)
			tce_table_finish(&range);
		expect_figures(test, table, 0);
		table_trim_all(test, table);
	}

	/* A fatal signal ends the preparation of many leaves. */
	set_tsk_thread_flag(current, TIF_SIGPENDING);
	sigaddset(&current->pending.signal, SIGKILL);
	KUNIT_EXPECT_EQ(test, -EINTR, tce_table_prepare(table, &range, ua_of(1),
							GFP_KERNEL));
	/* But not that of one leaf. */
	range.end = range.index + 1;
	KUNIT_EXPECT_EQ(test, 0, tce_table_prepare(table, &range, ua_of(1),
						   GFP_KERNEL));
	tce_table_finish(&range);
	/* Nor one that cannot sleep. */
	range.end = TCE_RANGE_FEW * span_of(shape, 1);
	KUNIT_EXPECT_EQ(test, 0, tce_table_prepare(table, &range, ua_of(1),
						   GFP_NOWAIT));
	tce_table_finish(&range);
	sigdelset(&current->pending.signal, SIGKILL);
	clear_tsk_thread_flag(current, TIF_SIGPENDING);
	expect_figures(test, table, 0);
	table_trim_all(test, table);

	/*
	 * One leaf more needs an array, whose allocation would have to sleep.
	 */
	range.end++;
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			tce_table_prepare(table, &range, ua_of(1), GFP_NOWAIT));
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			tce_table_prepare(table, &range, ua_of(1), 0));
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);

	table_destroy(test, table);
}

static const struct shape huge_shapes[] = {
	{ .page_shift = 12, .levels = 5, .entries = BIT(42) },
	{ .page_shift = 12, .levels = 5, .entries = BIT(33) },
};

KUNIT_ARRAY_PARAM(huge, huge_shapes, shape_describe);

/* User space must not be able to trigger a warning of the page allocator. */
static void prepare_huge_range(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	struct tce_range range = { .end = shape->entries };

	/* Fails at the array of leaves, or else at the first new level. */
	fixture_fail_alloc(test, 1);
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			tce_table_prepare(table, &range, ua_of(1), GFP_KERNEL));
	fixture_fail_alloc(test, 0);
	table_trim_all(test, table);

	table_destroy(test, table);
}

/* A range that must not allocate can hold leaves that exist. */
static void prepare_without_allocation(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long leaf = span_of(shape, 1);
	struct tce_table *table = table_of(test, shape);
	struct tce_range range = { .index = leaf - 2, .end = 3 * leaf + 2 };
	struct tce_range mine;

	table_prepare(test, table, &mine, leaf - 1, 2, ua_of(1));
	fixture_fail_alloc(test, 1);
	/* The third leaf is missing. */
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			tce_table_prepare(table, &range, ua_of(1), 0));
	/* The first two would need a view for another owner. */
	range.end = leaf + 1;
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			tce_table_prepare(table, &range, ua_of(2), 0));
	KUNIT_EXPECT_EQ(test, 0, tce_table_prepare(table, &range, ua_of(1), 0));
	KUNIT_EXPECT_FALSE(test, fixture_alloc_failed(test));
	fixture_fail_alloc(test, 0);
	tce_table_finish(&mine);
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, table_queued(table), 2);
	table_trim_all(test, table);

	table_destroy(test, table);
}

/* A level that cannot be allocated without waiting uses a spare block. */
static void spares_are_used(struct kunit *test)
{
	/* Each level has a block of its own. */
	const struct shape shape = {
		.page_shift = 16, .levels = 2, .entries = BIT(26),
	};
	struct tce_table *table = table_of(test, &shape);
	struct tce_spares spares = {};
	struct tce_range range = { .spares = &spares, .index = 1, .end = 2 };

	tce_spares_init(&spares);
	fixture_fail_alloc(test, 1);
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			tce_table_prepare(table, &range, ua_of(1), GFP_KERNEL));
	KUNIT_ASSERT_TRUE(test, spares.missing);
	KUNIT_EXPECT_EQ(test, spares.count, 0);

	fixture_let_wait(test, true);
	KUNIT_EXPECT_TRUE(test, tce_spares_fill(&spares, 2));
	KUNIT_EXPECT_EQ(test, spares.count, 2);
	KUNIT_EXPECT_FALSE(test, tce_spares_fill(&spares, 2));
	/* There is no memory for more. */
	fixture_fail_alloc(test, 1);
	KUNIT_EXPECT_FALSE(test, tce_spares_fill(&spares, 3));
	fixture_let_wait(test, false);

	spares.missing = false;
	fixture_fail_alloc(test, 1);
	KUNIT_EXPECT_EQ(test, 0,
			tce_table_prepare(table, &range, ua_of(1), GFP_KERNEL));
	KUNIT_EXPECT_TRUE(test, fixture_alloc_failed(test));
	fixture_fail_alloc(test, 0);
	KUNIT_EXPECT_FALSE(test, spares.missing);
	KUNIT_EXPECT_EQ(test, spares.count, 1);
	tce_table_finish(&range);

	/* Blocks of another size are of no use. */
	range.index += shape.entries / 2;
	range.end += shape.entries / 2;
	spares.size++;
	fixture_fail_alloc(test, 1);
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			tce_table_prepare(table, &range, ua_of(1), GFP_KERNEL));
	fixture_fail_alloc(test, 0);
	KUNIT_EXPECT_TRUE(test, spares.missing);
	KUNIT_EXPECT_EQ(test, spares.count, 0);

	fixture_let_wait(test, true);
	KUNIT_EXPECT_TRUE(test, tce_spares_fill(&spares, 1));
	fixture_let_wait(test, false);
	tce_spares_free(&spares);
	KUNIT_EXPECT_EQ(test, spares.count, 0);
	expect_figures(test, table, 0);
	table_trim_all(test, table);

	table_destroy(test, table);
}

static struct kunit_case tce_table_range_cases[] = {
	KUNIT_CASE_PARAM(adjacent_entries_are_one_extent, range_gen_params),
	KUNIT_CASE_PARAM(permissions_and_holes_end_extents, range_gen_params),
	KUNIT_CASE_PARAM(owners_end_extents, range_gen_params),
	KUNIT_CASE_PARAM(clear_fills_batches, range_gen_params),
	KUNIT_CASE_PARAM(store_stops_at_full_batch, range_gen_params),
	KUNIT_CASE_PARAM(store_is_bounded, range_gen_params),
	KUNIT_CASE_PARAM(store_puts_each_leaf, range_gen_params),
	KUNIT_CASE_PARAM(prepare_fails_midway, range_gen_params),
	KUNIT_CASE_PARAM(prepare_huge_range, huge_gen_params),
	KUNIT_CASE_PARAM(prepare_without_allocation, range_gen_params),
	KUNIT_CASE(spares_are_used),
	{}
};

static struct kunit_suite tce_table_range_suite = {
	.name = "tce_table_range",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_range_cases,
};

kunit_test_suite(tce_table_range_suite);
