// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the TCE table in one thread: shapes, operations and failed
 * allocations. Random operations and races have files of their own.
 */

#include <kunit/test.h>

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/sort.h>

#include <asm/hvcall.h>

#include "fixture.h"
#include "hardware.h"
#include "tce_table.h"

/* Page sizes x numbers of levels x window sizes; set by fill_all_shapes(). */
static struct shape all_shapes[6 * 5 * 10];

static void describe_shape(struct shape *shape, char *text)
{
	shape_describe(shape, text);
}

KUNIT_ARRAY_PARAM(every_shape, all_shapes, describe_shape);

#define SHAPE(shift, depth, number)					\
	{ .page_shift = (shift), .levels = (depth), .entries = (number) }

/* One shape of each kind. */
static const struct shape some_shapes[] = {
	SHAPE(12, 5, BIT(42)),
	SHAPE(12, 3, 0x12345678),
	SHAPE(12, 2, BIT(26)),
	SHAPE(16, 4, BIT(36)),
	SHAPE(16, 3, BIT(38)),
	SHAPE(16, 2, BIT(20)),
	SHAPE(16, 1, BIT(16)),
	SHAPE(21, 4, BIT(33)),
	SHAPE(24, 3, BIT(27)),
	SHAPE(28, 2, BIT(22)),
	SHAPE(30, 3, BIT(24)),
};

KUNIT_ARRAY_PARAM(some, some_shapes, shape_describe);

static unsigned long level_bytes_of(const struct shape *shape)
{
	return 8UL << shape_level_bits(shape);
}

static u64 whole_of(const struct shape *shape)
{
	u64 bytes = 0;
	unsigned int below;

	for (below = 1; below <= shape->levels; below++)
		bytes += DIV_ROUND_UP(shape->entries,
					  span_of(shape, below)) *
			level_bytes_of(shape);

	return bytes;
}

/* Geometry */

static void geometry_of_backed_table(struct kunit *test)
{
	struct tce_geometry geo, before;
	unsigned int bits;

	memset(&geo, 0x5a, sizeof(geo));
	before = geo;
	KUNIT_EXPECT_EQ(test, -EINVAL, tce_geometry_init_backed(&geo, 12, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			tce_geometry_init_backed(&geo, 12, BIT(45) + 1));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			tce_geometry_init_backed(&geo, 12, ULONG_MAX));
	KUNIT_EXPECT_MEMEQ(test, &geo, &before, sizeof(geo));

	for (bits = 0; bits <= 45; bits++) {
		unsigned int levels = bits ? (bits - 1) / 9 + 1 : 1;

		KUNIT_EXPECT_EQ(test, 0,
				tce_geometry_init_backed(&geo, 16, BIT(bits)));
		KUNIT_EXPECT_EQ(test, geo.page_shift, 16);
		KUNIT_EXPECT_EQ(test, geo.entries, BIT(bits));
		KUNIT_EXPECT_EQ(test, geo.levels, levels);
		KUNIT_EXPECT_EQ(test, geo.level_shift, 9);
	}
	KUNIT_EXPECT_EQ(test, 0, tce_geometry_init_backed(&geo, 12, 513));
	KUNIT_EXPECT_EQ(test, geo.levels, 2);
}

static void expect_shape_invalid(struct kunit *test, unsigned int page_shift,
				 unsigned long entries, unsigned int levels)
{
	struct tce_geometry geo, before;

	memset(&geo, 0x5a, sizeof(geo));
	before = geo;
	KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
			    tce_geometry_init(&geo, page_shift, entries,
					      levels),
			    "page shift %u, %#lx entries, %u levels",
			    page_shift, entries, levels);
	KUNIT_EXPECT_MEMEQ(test, &geo, &before, sizeof(geo));
}

static void invalid_shapes_are_rejected(struct kunit *test)
{
	u64 sizes = SZ_4K | SZ_64K | SZ_2M | SZ_16M | SZ_256M | SZ_1G;
	unsigned int shift;

	for (shift = 0; shift < 200; shift++) {
		if (shift < 64 && (sizes & BIT_ULL(shift)))
			continue;
		expect_shape_invalid(test, shift, 1, 1);
	}
	expect_shape_invalid(test, UINT_MAX, 1, 1);

	expect_shape_invalid(test, 16, 1, 0);
	expect_shape_invalid(test, 12, 1, 6);
	expect_shape_invalid(test, 12, 1, UINT_MAX);
	expect_shape_invalid(test, 16, 0, 1);
	expect_shape_invalid(test, 12, ULONG_MAX, 5);
	expect_shape_invalid(test, 12, BIT(63), 5);
	expect_shape_invalid(test, 12, BIT(63) + 1, 5);
	expect_shape_invalid(test, 12, BIT(55 - 12), 5);
	expect_shape_invalid(test, 30, BIT(55 - 30), 3);
	expect_shape_invalid(test, 12, BIT(54 - 12) + 1, 5);
	expect_shape_invalid(test, 30, BIT(54 - 30) + 1, 2);
	/* Levels of 4 KiB translate 9 bits each: the first would use bit 59. */
	expect_shape_invalid(test, 16, 1, 5);
	expect_shape_invalid(test, 21, 1, 5);
	expect_shape_invalid(test, 24, 1, 4);
}

static void expect_levels_used(struct kunit *test, unsigned long entries,
			       unsigned int asked, unsigned int levels,
			       unsigned int level_bits)
{
	struct tce_geometry geo;

	KUNIT_EXPECT_EQ(test, 0, tce_geometry_init(&geo, 12, entries, asked));
	KUNIT_EXPECT_EQ_MSG(test, geo.levels, levels, "%#lx entries", entries);
	KUNIT_EXPECT_EQ_MSG(test, geo.level_shift, level_bits,
			    "%#lx entries", entries);
}

/* More levels than requested where a level would exceed eight kernel pages. */
static void large_levels_are_split(struct kunit *test)
{
	/* Entries of eight kernel pages, as a shift. */
	const unsigned int most = PAGE_SHIFT;

	expect_levels_used(test, BIT(most), 1, 1, most);
	expect_levels_used(test, BIT(most) + 1, 1, 2, max(9, most / 2 + 1));
	expect_levels_used(test, BIT(2 * most), 1, 2, most);
	expect_levels_used(test, BIT(2 * most), 2, 2, most);
	expect_levels_used(test, BIT(2 * most) + 1, 2, 3, 2 * most / 3 + 1);
	expect_levels_used(test, BIT(42), 1, DIV_ROUND_UP(42, most),
			   DIV_ROUND_UP(42, DIV_ROUND_UP(42, most)));
	/* More levels than necessary can be requested. */
	expect_levels_used(test, BIT(most), 3, 3, 9);
	expect_levels_used(test, BIT(42), 5, 5, 9);
}

static void expect_levels_of_ends(struct kunit *test, const struct shape *shape,
				  struct tce_table *table, unsigned long other)
{
	struct tce_table_stats stats;
	unsigned int depth;

	tce_table_stats(table, &stats);
	for (depth = 0; depth < TCE_TABLE_MAX_LEVELS; depth++) {
		unsigned long levels = 0;

		/* The levels above entry 0 and those above @other. */
		if (depth < shape->levels)
			levels = 1 + !!(other / span_of(shape,
							shape->levels - depth));
		KUNIT_EXPECT_EQ_MSG(test, stats.depth[depth].levels, levels,
				    "depth %u", depth);
	}
}

static void expect_unset_around(struct kunit *test, const struct shape *shape,
				struct tce_table *table, unsigned long index)
{
	unsigned long last = shape->entries - 1;
	unsigned int below;

	for (below = 0; below < shape->levels; below++) {
		unsigned long before = index - span_of(shape, below);
		unsigned long after = index + span_of(shape, below);

		if (before && before < index)
			expect_entry(test, table, before, 0);
		if (after < last)
			expect_entry(test, table, after, 0);
	}
}

static void first_and_last(struct kunit *test, const struct shape *shape)
{
	unsigned long last = shape->entries - 1;
	struct tce_table *table = table_of(test, shape);
	struct tce_table_stats fresh, trimmed;

	tce_table_stats(table, &fresh);
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 1);
	KUNIT_EXPECT_EQ(test, fixture_bytes(test),
			max(level_bytes_of(shape), PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)tce_table_root(table),
					   SZ_4K));
	expect_entry(test, table, 0, 0);
	expect_entry(test, table, last, 0);
	expect_figures(test, table, 0);

	expect_exchange(test, table, last, hpa_of(shape, last) | READ_WRITE,
			TCE_OWNER_NONE, true, 0, 0);
	expect_entry(test, table, last, hpa_of(shape, last) | READ_WRITE);
	expect_unset_around(test, shape, table, last);

	/* In a window of one page both ends are the same entry. */
	table_set(test, table, 0, hpa_of(shape, 0) | READ_ONLY);
	expect_entry(test, table, 0, hpa_of(shape, 0) | READ_ONLY);
	expect_unset_around(test, shape, table, 0);
	if (last)
		expect_entry(test, table, last,
			     hpa_of(shape, last) | READ_WRITE);
	expect_levels_of_ends(test, shape, table, last);
	expect_figures(test, table, last ? 2 : 1);

	expect_exchange(test, table, 0, 0, 0, false,
			hpa_of(shape, 0) | READ_ONLY, TCE_OWNER_NONE);
	expect_entry(test, table, 0, 0);
	table_set(test, table, last, 0);
	expect_entry(test, table, last, 0);
	expect_levels_of_ends(test, shape, table, last);
	expect_figures(test, table, 0);

	/* An empty table can be trimmed to its initial state. */
	table_trim_all(test, table);
	tce_table_stats(table, &trimmed);
	/* All levels that were added since were removed. */
	KUNIT_EXPECT_EQ(test, trimmed.levels_added - fresh.levels_added,
			trimmed.levels_removed - fresh.levels_removed);
	trimmed.levels_added = fresh.levels_added;
	trimmed.levels_removed = fresh.levels_removed;
	KUNIT_EXPECT_MEMEQ(test, &fresh, &trimmed, sizeof(fresh));
	table_set(test, table, last, hpa_of(shape, last) | READ_ONLY);
	expect_entry(test, table, last, hpa_of(shape, last) | READ_ONLY);
	expect_figures(test, table, 1);

	table_destroy(test, table);
}

static void every_shape(struct kunit *test)
{
	const struct shape *asked = test->param_value, *shape;
	struct tce_geometry geo;

	if (!shape_levels(asked)) {
		expect_shape_invalid(test, asked->page_shift, asked->entries,
				     asked->levels);
		return;
	}

	shape = shape_of(test);
	KUNIT_ASSERT_EQ(test, 0,
			tce_geometry_init(&geo, asked->page_shift,
					  asked->entries, asked->levels));
	KUNIT_EXPECT_EQ(test, geo.page_shift, shape->page_shift);
	KUNIT_EXPECT_EQ(test, geo.levels, shape->levels);
	KUNIT_EXPECT_EQ(test, geo.level_shift, shape_level_bits(shape));
	KUNIT_EXPECT_EQ(test, geo.entries, shape->entries);
	KUNIT_EXPECT_EQ(test, tce_geometry_whole_bytes(&geo), whole_of(shape));

	first_and_last(test, shape);
}

/* Single entries */

static void permissions(struct kunit *test)
{
	static const u64 all[] = { 0, READ_ONLY, WRITE_ONLY, READ_WRITE };
	const struct shape *shape = shape_of(test);
	unsigned long index = shape->entries / 3;
	struct tce_table *table = table_of(test, shape);
	unsigned int from, to;

	for (from = 0; from < ARRAY_SIZE(all); from++) {
		for (to = 0; to < ARRAY_SIZE(all); to++) {
			/* 0 is an empty entry, not an address alone. */
			u64 old = all[from] ? hpa_of(shape, 10) | all[from] : 0;
			u64 new = all[to] ? hpa_of(shape, to) | all[to] : 0;

			table_set(test, table, index, old);
			expect_entry(test, table, index, old);
			/* Write permission implies read. */
			if (old & WRITE_ONLY)
				old |= READ_ONLY;
			expect_exchange(test, table, index, new, TCE_OWNER_NONE,
					true, old, old ? TCE_OWNER_NONE : 0);
			expect_entry(test, table, index, new);
		}
	}
	expect_figures(test, table, 1);

	table_destroy(test, table);
}

static void misaligned_address(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long index = shape->entries - 2;
	struct tce_table *table = table_of(test, shape);
	unsigned int bit;

	table_set(test, table, index, hpa_of(shape, index) | READ_WRITE);
	for (bit = 0; bit < shape->page_shift; bit++) {
		unsigned long hpa = hpa_of(shape, 1) | BIT(bit);

		/* The lowest two bits are permissions. */
		if (BIT(bit) & READ_WRITE)
			continue;
		expect_exchange_error(test, table, index, hpa | READ_WRITE,
				      TCE_OWNER_NONE, true, -EINVAL);
		expect_exchange_error(test, table, index, hpa | READ_ONLY,
				      TCE_OWNER_NONE, false, -EINVAL);
		expect_exchange_error(test, table, index, BIT(bit),
				      TCE_OWNER_NONE, false, -EINVAL);
		/* Also where the leaf is missing. */
		expect_exchange_error(test, table, 0, hpa | WRITE_ONLY,
				      TCE_OWNER_NONE, true, -EINVAL);
	}
	expect_entry(test, table, index, hpa_of(shape, index) | READ_WRITE);
	expect_figures(test, table, 1);

	table_destroy(test, table);
}

static void expect_range_invalid(struct kunit *test, struct tce_table *table,
				 unsigned long index, unsigned long end)
{
	struct tce_range range = { .index = index, .end = end };

	KUNIT_EXPECT_EQ(test, -EINVAL,
			tce_table_prepare(table, &range, TCE_OWNER_EACH,
					  GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			tce_table_prepare(table, &range, ua_of(1), 0));
}

static void index_out_of_range(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	const unsigned long beyond[] = {
		shape->entries, shape->entries + 1, shape->entries * 2,
		BIT(63), ULONG_MAX,
	};
	struct tce_table *table = table_of(test, shape);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		unsigned long index = beyond[i];

		expect_exchange_error(test, table, index,
				      hpa_of(shape, 1) | READ_WRITE,
				      TCE_OWNER_NONE, true, -EINVAL);
		expect_exchange_error(test, table, index,
				      hpa_of(shape, 1) | READ_WRITE,
				      TCE_OWNER_NONE, false, -EINVAL);
		expect_exchange_error(test, table, index, 0, 0, true, -EINVAL);
		KUNIT_EXPECT_EQ(test, tce_table_get(table, index), 0);
		expect_range_invalid(test, table, index, index + 1);
		/* From an index of the table across its end. */
		expect_range_invalid(test, table, 0, index + !i);
		expect_range_invalid(test, table, shape->entries - 1,
				     index + !i);
	}
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 1);
	expect_figures(test, table, 0);

	/* A walk that drops the high bits of the index would find entry 0. */
	table_set(test, table, 0, hpa_of(shape, 1) | READ_WRITE);
	for (i = 0; i < ARRAY_SIZE(beyond); i++)
		KUNIT_EXPECT_EQ(test, tce_table_get(table, beyond[i]), 0);

	table_destroy(test, table);
}

static void no_allocation_unless_allowed(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long last = shape->entries - 1;
	struct tce_table *table = table_of(test, shape);
	struct tce_cursor cursor = { .table = table, .end = shape->entries };
	u64 tce = hpa_of(shape, last) | READ_WRITE;
	struct tce_entry set = { .tce = tce, .owner = TCE_OWNER_NONE };
	struct tce_entry clear = { .owner = ua_of(1) };
	unsigned int cleared = 0;
	int set_ret, clear_ret, hold_ret;
	struct tce_range range;
	struct tce_batch old;
	unsigned long flags;
	u64 got;

	/* An allocation would fail, which is checked below. */
	fixture_fail_alloc(test, 1);
	local_irq_save(flags);
	set_ret = tce_table_exchange(table, last, &set, false);
	clear_ret = tce_table_exchange(table, 0, &clear, true);
	got = tce_table_get(table, last / 2);
	hold_ret = table_hold(table, &range, last, 0);
	while (!cleared && cursor.index < cursor.end) {
		tce_table_clear(&cursor, &old);
		cleared = old.count;
	}
	local_irq_restore(flags);
	KUNIT_EXPECT_FALSE(test, fixture_alloc_failed(test));
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 1);

	/* With one level, no level can be missing, only a view. */
	if (shape->levels == 1) {
		KUNIT_EXPECT_EQ(test, set_ret, 0);
		KUNIT_EXPECT_EQ(test, set.tce, 0);
		KUNIT_EXPECT_EQ(test, set.owner, 0);
		KUNIT_EXPECT_EQ(test, cleared, 1);
	} else {
		KUNIT_EXPECT_EQ(test, set_ret, H_TOO_HARD);
		KUNIT_EXPECT_EQ(test, set.tce, tce);
		KUNIT_EXPECT_EQ(test, set.owner, TCE_OWNER_NONE);
		KUNIT_EXPECT_EQ(test, cleared, 0);
	}
	KUNIT_EXPECT_EQ(test, clear_ret, 0);
	KUNIT_EXPECT_EQ(test, clear.tce, 0);
	KUNIT_EXPECT_EQ(test, clear.owner, 0);
	KUNIT_EXPECT_EQ(test, got, 0);
	KUNIT_EXPECT_EQ(test, hold_ret, -ENOMEM);
	expect_figures(test, table, 0);

	fixture_fail_alloc(test, 0);
	table_destroy(test, table);
}

/* The missing level is the leaf, then the level above it, and so on. */
static void no_allocation_at_any_depth(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	struct tce_range range;
	unsigned int below;

	table_set(test, table, 0, hpa_of(shape, 0) | READ_WRITE);
	fixture_fail_alloc(test, 1);
	for (below = 1; below < shape->levels; below++) {
		unsigned long index = span_of(shape, below);

		expect_exchange_error(test, table, index,
				      hpa_of(shape, index) | READ_WRITE,
				      TCE_OWNER_NONE, false, H_TOO_HARD);
		KUNIT_EXPECT_EQ(test, tce_table_get(table, index), 0);
		KUNIT_EXPECT_EQ(test, -ENOMEM,
				table_hold(table, &range, index, 0));
	}
	KUNIT_EXPECT_FALSE(test, fixture_alloc_failed(test));
	fixture_fail_alloc(test, 0);
	expect_figures(test, table, 1);

	table_destroy(test, table);
}

static void existing_leaf_needs_no_allocation(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long first = shape->entries / 2;
	u64 tce = hpa_of(shape, first + 1) | READ_ONLY;
	struct tce_entry entry = { .tce = tce, .owner = ua_of(1) };
	struct tce_table *table = table_of(test, shape);
	struct tce_range range[3];
	unsigned long flags;
	int set, hold[3];

	/* Interrupts are off, so no allocation may sleep. */
	local_irq_save(flags);
	table_set(test, table, first, hpa_of(shape, first) | READ_WRITE);
	hold[0] = table_hold(table, &range[0], first, GFP_NOWAIT);
	local_irq_restore(flags);
	KUNIT_ASSERT_EQ(test, hold[0], 0);

	fixture_fail_alloc(test, 1);
	local_irq_save(flags);
	set = tce_table_exchange(table, first + 1, &entry, false);
	hold[1] = table_hold(table, &range[1], first + 1, 0);
	local_irq_restore(flags);
	KUNIT_EXPECT_EQ(test, set, 0);
	KUNIT_EXPECT_EQ(test, entry.tce, 0);
	KUNIT_EXPECT_EQ(test, entry.owner, 0);
	KUNIT_ASSERT_EQ(test, hold[1], 0);
	table_set(test, table, first, hpa_of(shape, 5) | READ_ONLY);
	hold[2] = table_hold(table, &range[2], first, GFP_NOWAIT);
	KUNIT_ASSERT_EQ(test, hold[2], 0);
	KUNIT_EXPECT_FALSE(test, fixture_alloc_failed(test));
	fixture_fail_alloc(test, 0);

	expect_entry(test, table, first, hpa_of(shape, 5) | READ_ONLY);
	expect_entry(test, table, first + 1, tce);
	expect_figures(test, table, 2);
	tce_table_finish(&range[1]);
	tce_table_finish(&range[0]);
	tce_table_finish(&range[2]);
	KUNIT_EXPECT_EQ(test, 2, table_clear(test, table, 0, shape->entries));
	if (shape->levels > 1)
		table_trim_all(test, table);

	table_destroy(test, table);
}

/* Ranges */

/* The owner of an entry in map_range(): @owner, or one for each entry. */
static u64 owner_of(u64 owner, unsigned long index)
{
	return owner == TCE_OWNER_EACH ? ua_of(index) : owner;
}

/* Sets all entries of a range, none of which is set before. */
static void map_range(struct kunit *test, const struct shape *shape,
		      struct tce_table *table, unsigned long index,
		      unsigned long count, u64 permissions, u64 owner)
{
	struct tce_entry new[16];
	struct tce_batch batch, old;
	struct tce_range range;
	unsigned int i, now;

	table_prepare(test, table, &range, index, count, owner);
	while (range.index < range.end) {
		unsigned long before = range.index;

		now = min(ARRAY_SIZE(new), range.end - before);
		for (i = 0; i < now; i++) {
			new[i].tce = hpa_of(shape, before + i) | permissions;
			new[i].owner = owner_of(owner, before + i);
		}
		batch_fill(&batch, shape->page_shift, new, now);
		KUNIT_EXPECT_EQ(test, 0, tce_table_store(&range, &batch, &old));
		KUNIT_EXPECT_EQ(test, old.count, 0);
		/* A call ends with the leaf; the rest of the batch is left. */
		KUNIT_ASSERT_EQ(test, range.index,
				min(before + now,
				    ALIGN(before + 1, span_of(shape, 1))));
	}
	tce_table_finish(&range);
}

/* Clears a range and expects entries of map_range(). Returns their number. */
static unsigned long unmap_range(struct kunit *test, const struct shape *shape,
				 struct tce_table *table, unsigned long index,
				 unsigned long end, u64 owner)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = end,
	};
	unsigned long all = 0, cleared;
	struct tce_batch old;
	struct found found;

	while ((cleared = table_clear_next(test, &cursor, &old))) {
		unsigned long next = old.extent[0].index;

		all += cleared;
		while (batch_take(&old, shape->page_shift, &found)) {
			if (found.index == next++ &&
			    (found.tce & ~READ_WRITE) ==
			    hpa_of(shape, found.index) &&
			    found.owner == owner_of(owner, found.index))
				continue;
			KUNIT_FAIL(test, "index %#lx", found.index);
			break;
		}
	}
	KUNIT_EXPECT_GE(test, cursor.index, end);

	return all;
}

/* Stores four entries from @start - 1 on, which replace two that are set. */
static noinline void store_over(struct kunit *test, const struct shape *shape,
				struct tce_table *table, unsigned long start)
{
	struct tce_batch batch, old;
	struct tce_entry new[4];
	struct tce_range range;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(new); i++) {
		new[i].tce = hpa_of(shape, i) | READ_ONLY;
		new[i].owner = ua_of(i);
	}
	table_prepare(test, table, &range, start - 1, 4, TCE_OWNER_EACH);
	KUNIT_EXPECT_EQ(test, 4, batch_fill(&batch, shape->page_shift, new, 4));
	KUNIT_EXPECT_EQ(test, 0, tce_table_store(&range, &batch, &old));
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, range.index, range.end);
	KUNIT_EXPECT_EQ(test, batch.first, batch.count);
	KUNIT_EXPECT_EQ(test, batch_count(test, table, &old), 2);
	KUNIT_ASSERT_EQ(test, old.count, 2);
	for (i = 0; i < 2; i++) {
		unsigned long was = start + 2 * i;

		KUNIT_EXPECT_EQ(test, old.extent[i].index, was);
		KUNIT_EXPECT_EQ(test, old.extent[i].tce,
				hpa_of(shape, was) | READ_WRITE);
		KUNIT_EXPECT_EQ(test, old.extent[i].owner, ua_of(was));
	}
}

static void store_and_clear(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long slots = span_of(shape, 1);
	unsigned long start = ALIGN_DOWN(shape->entries / 2, slots) + slots - 5;
	unsigned long count = min(slots + 10, shape->entries - start);
	struct tce_table *table = table_of(test, shape);
	struct tce_table_stats stats;
	unsigned int i;

	/* From the end of a leaf to the start of the next but one. */
	map_range(test, shape, table, start, count, WRITE_ONLY, TCE_OWNER_EACH);
	expect_entry(test, table, start - 1, 0);
	expect_entry(test, table, start, hpa_of(shape, start) | WRITE_ONLY);
	expect_entry(test, table, start + count - 1,
		     hpa_of(shape, start + count - 1) | WRITE_ONLY);
	if (start + count < shape->entries)
		expect_entry(test, table, start + count, 0);
	expect_figures(test, table, count);

	tce_table_stats(table, &stats);
	KUNIT_EXPECT_EQ(test, stats.user_levels, shape->levels > 1 ? 3 : 1);

	/* A store returns the entries that it replaces. */
	table_set(test, table, start + 1, 0);
	store_over(test, shape, table, start);
	for (i = 0; i < 4; i++) {
		expect_entry(test, table, start - 1 + i,
			     hpa_of(shape, i) | READ_ONLY);
		KUNIT_EXPECT_EQ(test, owner_at(test, table, start - 1 + i),
				ua_of(i));
	}
	expect_figures(test, table, count + 1);

	/* A clear removes the owner with the entry. */
	KUNIT_EXPECT_EQ(test, 4,
			table_clear(test, table, start - 1, start + 3));
	for (i = 0; i < 4; i++) {
		expect_entry(test, table, start - 1 + i, 0);
		KUNIT_EXPECT_EQ(test, owner_at(test, table, start - 1 + i), 0);
	}
	KUNIT_EXPECT_EQ(test, count - 3,
			unmap_range(test, shape, table, 0, shape->entries,
				    TCE_OWNER_EACH));
	expect_figures(test, table, 0);

	table_destroy(test, table);
}

static void empty_range(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	struct tce_cursor cursor = { .table = table, .index = 7, .end = 7 };
	struct tce_batch old;

	expect_range_invalid(test, table, 0, 0);
	expect_range_invalid(test, table, 7, 7);
	expect_range_invalid(test, table, 8, 7);
	expect_range_invalid(test, table, shape->entries, shape->entries);
	tce_table_clear(&cursor, &old);
	KUNIT_EXPECT_EQ(test, old.count, 0);
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 1);
	expect_figures(test, table, 0);

	/* An empty range clears nothing where an entry is set. */
	table_set(test, table, 7, hpa_of(shape, 7) | READ_ONLY);
	cursor.index = 7;
	tce_table_clear(&cursor, &old);
	KUNIT_EXPECT_EQ(test, old.count, 0);
	expect_entry(test, table, 7, hpa_of(shape, 7) | READ_ONLY);

	table_destroy(test, table);
}

#define MARKS	40

static int compare_marks(const void *a, const void *b)
{
	unsigned long one = *(const unsigned long *)a;
	unsigned long two = *(const unsigned long *)b;

	return one < two ? -1 : one > two;
}

/*
 * Indices before, at and after the start of levels of each depth, some of them
 * adjacent and some after a hole.
 */
static unsigned int mark(const struct shape *shape, unsigned long *marks)
{
	static const struct {
		unsigned int level;
		int distance;
	} edges[] = {
		{ 1, -1 }, { 1, 0 }, { 1, 1 }, { 5, -1 }, { 5, 0 }, { 5, 1 },
		{ 9, 0 }, { 12, -1 },
	};
	unsigned int below, i, count = 0, kept = 1;

	marks[count++] = 0;
	marks[count++] = shape->entries - 1;
	for (below = 1; below < shape->levels; below++) {
		for (i = 0; i < ARRAY_SIZE(edges); i++) {
			unsigned long edge = span_of(shape, below) *
					     edges[i].level;

			if (edge < shape->entries - 1)
				marks[count++] = edge + edges[i].distance;
		}
	}

	sort(marks, count, sizeof(*marks), compare_marks, NULL);
	for (i = 1; i < count; i++)
		if (marks[i] != marks[i - 1])
			marks[kept++] = marks[i];

	return kept;
}

/*
 * Clears [@index, @end) and expects the entries in @marks, which are all set.
 */
static void clear_marks(struct kunit *test, struct tce_table *table,
			const struct shape *shape, const unsigned long *marks,
			unsigned int count, unsigned long index,
			unsigned long end)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = end,
	};
	unsigned int next = 0;
	struct tce_batch old;
	struct found found;
	unsigned long leaf;

	while (next < count && marks[next] < index)
		next++;

	while (cursor.index < end) {
		unsigned long start = cursor.index;
		bool full;

		tce_table_clear(&cursor, &old);
		full = old.count == TCE_BATCH;
		KUNIT_ASSERT_GT(test, cursor.index, start);
		KUNIT_ASSERT_LE(test, batch_count(test, table, &old),
				count - next);
		if (!old.count) {
			unsigned long stop = min(cursor.index, end);

			KUNIT_ASSERT_TRUE(test, next == count ||
					  marks[next] >= stop);
			continue;
		}
		leaf = marks[next] / span_of(shape, 1);
		while (batch_take(&old, shape->page_shift, &found)) {
			KUNIT_ASSERT_LT(test, found.index, end);
			KUNIT_ASSERT_EQ(test, found.index, marks[next++]);
			KUNIT_ASSERT_EQ(test, found.tce & ~READ_WRITE,
					hpa_of(shape, found.index));
			KUNIT_ASSERT_EQ(test,
					tce_table_get(table, found.index), 0);
		}
		KUNIT_ASSERT_GT(test, cursor.index, marks[next - 1]);
		/*
		 * The call has ended with a full batch, at the limit of the
		 * scan, or with the last entry of the leaf.
		 */
		if (!full && next < count && marks[next] < end &&
		    marks[next] / span_of(shape, 1) == leaf)
			KUNIT_ASSERT_EQ(test, cursor.index, TCE_TABLE_SCAN +
					max(start, leaf * span_of(shape, 1)));
	}
	KUNIT_ASSERT_GE(test, cursor.index, end);
	KUNIT_ASSERT_TRUE(test, next == count || marks[next] >= end);
}

static void clear_over_holes(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long marks[MARKS];
	unsigned int count = mark(shape, marks);
	unsigned int from, to, i;

	for (from = 0; from < count; from++) {
		for (to = from; to < count; to++) {
			unsigned long index = marks[from] + (to & 1);
			unsigned long end = marks[to] + (from & 1);

			for (i = 0; i < count; i++)
				if (!tce_table_get(table, marks[i]))
					table_set(test, table, marks[i],
						  hpa_of(shape, marks[i]) |
							  READ_ONLY);

			if (index > end)
				continue;
			clear_marks(test, table, shape, marks, count, index,
				    end);

			for (i = 0; i < count; i++)
				KUNIT_ASSERT_EQ(test, marks[i] < index ||
						marks[i] >= end,
						!!tce_table_get(table,
								marks[i]));
		}
	}
	clear_marks(test, table, shape, marks, 0, 0, 0);
	while (count--)
		table_set(test, table, marks[count], 0);
	/* Empty levels are skipped like holes. */
	clear_marks(test, table, shape, marks, 0, 0, shape->entries);
	expect_figures(test, table, 0);

	table_destroy(test, table);
}

/* Expects that each call scans a bounded part of one level. */
static void clear_in_small_steps(struct kunit *test, struct tce_table *table,
				 unsigned long index, unsigned long step,
				 unsigned long least)
{
	struct tce_cursor cursor = { .table = table, .end = index + 1 };
	unsigned long before, calls = 0;
	struct tce_batch old;

	old.count = 0;
	while (cursor.index < cursor.end) {
		KUNIT_ASSERT_EQ(test, old.count, 0);
		before = cursor.index;
		tce_table_clear(&cursor, &old);
		KUNIT_ASSERT_GT(test, cursor.index, before);
		/* The rest of a leaf without set entries is not scanned. */
		if (!old.count)
			KUNIT_ASSERT_LE(test, cursor.index - before, step);
		calls++;
	}
	KUNIT_EXPECT_EQ(test, batch_count(test, table, &old), 1);
	KUNIT_EXPECT_EQ(test, old.extent[0].index, index);
	KUNIT_EXPECT_GE(test, calls, least);
}

/* The work of one call is bounded, whatever the size of a level. */
static void clear_is_bounded(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long slots = span_of(shape, 1);
	struct tce_table *table = table_of(test, shape);
	unsigned int below, view;
	struct tce_range range;

	KUNIT_ASSERT_GT(test, slots, 1024);
	for (view = 0; view < 2; view++) {
		for (below = 0; below < shape->levels; below++) {
			unsigned long step = span_of(shape, below);
			unsigned long index = (slots - 1) * step;

			/* The only entry is the last of a level. */
			table_set(test, table, index,
				  hpa_of(shape, index) | READ_WRITE);
			clear_in_small_steps(test, table, index, 1024 * step,
					     slots / 1024);
			expect_figures(test, table, 0);
			if (!view)
				table_trim_all(test, table);
		}
		if (!view)
			KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range, 0,
							    GFP_KERNEL));
	}
	tce_table_finish(&range);

	table_destroy(test, table);
}

static const struct shape long_level_shapes[] = {
	SHAPE(12, 1, BIT(PAGE_SHIFT)),
	SHAPE(12, 2, BIT(22)),
	SHAPE(16, 2, BIT(2 * PAGE_SHIFT)),
	SHAPE(12, 3, BIT(36)),
};

KUNIT_ARRAY_PARAM(long_levels, long_level_shapes, shape_describe);

/* Sets the entries of an extent. */
static void set_run(struct kunit *test, struct tce_table *table,
		    const struct shape *shape, const struct tce_extent *run)
{
	unsigned long i;

	for (i = 0; i < run->count; i++)
		table_set(test, table, run->index + i,
			  run->tce + (i << shape->page_shift));
}

static void expect_extent(struct kunit *test, struct tce_cursor *cursor,
			  const struct tce_extent *want)
{
	struct tce_extent got;

	KUNIT_ASSERT_TRUE(test, tce_table_extent(cursor, &got));
	KUNIT_EXPECT_EQ(test, got.index, want->index);
	KUNIT_EXPECT_EQ(test, got.count, want->count);
	KUNIT_EXPECT_EQ(test, got.tce, want->tce);
	/* Past the extent, perhaps past the hole after it. */
	KUNIT_EXPECT_GE(test, cursor->index, want->index + want->count);
}

static void extents_cover_set_entries(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long leaf = span_of(shape, 1), last = shape->entries - 1;
	struct tce_table *table = table_of(test, shape);
	struct tce_cursor cursor = { .table = table, .end = shape->entries };
	/*
	 * First entry; other permissions; other memory; two leaves; last entry.
	 */
	struct tce_extent runs[] = {
		{ 0, 3, 100UL << shape->page_shift | READ_ONLY },
		{ 3, 2, 103UL << shape->page_shift | READ_WRITE },
		{ 5, 4, 200UL << shape->page_shift | READ_WRITE },
		/* Across two leaves, then with a missing leaf in between. */
		{ leaf - 2, 4, 300UL << shape->page_shift | READ_ONLY },
		{ 3 * leaf - 1, 1, 304UL << shape->page_shift | READ_ONLY },
		{ 4 * leaf, 1, 305UL << shape->page_shift | READ_ONLY },
		{ last, 1, 306UL << shape->page_shift | READ_ONLY },
	};
	struct tce_extent extent;
	unsigned int i;

	/* All in the only leaf. */
	if (leaf > last) {
		runs[3].index = 100;
		runs[4].index = 200;
		runs[5].index = 300;
	}
	KUNIT_EXPECT_FALSE(test, tce_table_extent(&cursor, &extent));

	for (i = 0; i < ARRAY_SIZE(runs); i++)
		set_run(test, table, shape, &runs[i]);

	cursor.index = 0;
	for (i = 0; i < ARRAY_SIZE(runs); i++)
		expect_extent(test, &cursor, &runs[i]);
	KUNIT_EXPECT_FALSE(test, tce_table_extent(&cursor, &extent));

	/* From inside one extent to inside another. */
	cursor.index = 1;
	cursor.end = runs[3].index + 1;
	runs[0].index++;
	runs[0].count--;
	runs[0].tce += BIT(shape->page_shift);
	runs[3].count = 1;
	for (i = 0; i < 4; i++)
		expect_extent(test, &cursor, &runs[i]);
	KUNIT_EXPECT_FALSE(test, tce_table_extent(&cursor, &extent));

	table_set(test, table, 0, 0);
	cursor.index = 0;
	cursor.end = 1;
	KUNIT_EXPECT_FALSE(test, tce_table_extent(&cursor, &extent));

	table_destroy(test, table);
}

/* Memory */

static void stats_of_a_growing_table(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long level_bytes = level_bytes_of(shape);
	unsigned long leaves = shape->entries / span_of(shape, 1);
	unsigned long block = max(level_bytes, PAGE_SIZE);
	struct tce_table *table = table_of(test, shape);
	unsigned long meta_table, meta_block = 0, levels;
	struct tce_table_stats stats;
	struct tce_range range;
	unsigned int i, steps;

	tce_table_stats(table, &stats);
	meta_table = stats.meta_bytes;

	steps = min(leaves, 64UL);
	for (i = 0; i < steps; i++) {
		unsigned long index = leaves / steps * i * span_of(shape, 1);

		table_set(test, table, index,
			  hpa_of(shape, index) | READ_WRITE);
		if (i % 3 == 0) {
			KUNIT_ASSERT_EQ(test, 0,
					table_hold(table, &range, index,
						   GFP_NOWAIT));
			tce_table_finish(&range);
		}

		/* No level was freed, so only the last page has free places. */
		tce_table_stats(table, &stats);
		levels = stats.user_levels + stats.hw_bytes / level_bytes;
		KUNIT_EXPECT_EQ(test, stats.page_bytes, block *
				DIV_ROUND_UP(levels, block / level_bytes));
		KUNIT_EXPECT_EQ(test, stats.page_bytes, fixture_bytes(test));
		KUNIT_EXPECT_EQ(test, stats.set, i + 1);
		KUNIT_EXPECT_EQ(test, stats.user_levels, i / 3 + 1);
		KUNIT_EXPECT_EQ(test, stats.depth[shape->levels - 1].levels,
				i + 1);

		if (!meta_block && fixture_blocks(test) > 1)
			meta_block = (stats.meta_bytes - meta_table) /
				     (fixture_blocks(test) - 1);
		KUNIT_EXPECT_EQ(test, stats.meta_bytes, meta_table +
				(fixture_blocks(test) - 1) * meta_block);
	}
	expect_figures(test, table, steps);

	table_destroy(test, table);
}

/* There may be so many levels that other tasks must run meanwhile. */
static void stats_reschedule(struct kunit *test)
{
	struct tce_table *table = table_of(test, shape_of(test));
	struct tce_table_stats stats;
	unsigned int tries = 0;

	/* A tick may ask for it again after the last cond_resched(). */
	do {
		set_tsk_need_resched(current);
		tce_table_stats(table, &stats);
	} while (need_resched() && ++tries < 10);
	KUNIT_EXPECT_LT(test, tries, 10);

	table_destroy(test, table);
}

/*
 * The table of a window of 38 TiB must stay small if 16 GiB are mapped at each
 * of two places.
 */
static void sparse_38t_window(struct kunit *test, u64 owner,
			      unsigned long user_bytes)
{
	const unsigned long pages = 0x400000000 >> 16;
	const unsigned long upper = 0x244000000000 >> 16;
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	const unsigned long leaf = shape->levels - 1;
	struct tce_table_stats stats;

	map_range(test, shape, table, 0, pages, READ_WRITE, owner);
	map_range(test, shape, table, upper, pages, READ_WRITE, owner);

	tce_table_stats(table, &stats);
	KUNIT_EXPECT_EQ(test, stats.set, 2 * pages);
	KUNIT_EXPECT_EQ(test, stats.depth[leaf].bytes, SZ_4M);
	KUNIT_EXPECT_EQ(test, stats.user_bytes, user_bytes);
	KUNIT_EXPECT_EQ(test, !stats.user_levels, !user_bytes);
	KUNIT_EXPECT_LE(test, stats.hw_bytes, SZ_4M + SZ_256K);
	KUNIT_EXPECT_LE(test, stats.page_bytes, SZ_4M + user_bytes + SZ_512K);

	/* A table with all levels takes 4896 MiB for the leaves alone. */
	KUNIT_EXPECT_EQ(test, shape->entries * 8, 4896UL * SZ_1M);
	KUNIT_EXPECT_EQ(test, stats.whole_bytes, whole_of(shape));
	KUNIT_EXPECT_GE(test, stats.whole_bytes, 4896UL * SZ_1M);
	KUNIT_EXPECT_LE(test, stats.whole_bytes, (4896UL + 10) * SZ_1M);
	expect_figures(test, table, 2 * pages);

	expect_entry(test, table, pages - 1,
		     hpa_of(shape, pages - 1) | READ_WRITE);
	expect_entry(test, table, pages, 0);
	expect_entry(test, table, upper - 1, 0);
	expect_entry(test, table, upper, hpa_of(shape, upper) | READ_WRITE);
	expect_entry(test, table, upper + pages - 1,
		     hpa_of(shape, upper + pages - 1) | READ_WRITE);
	expect_entry(test, table, upper + pages, 0);

	KUNIT_EXPECT_EQ(test, 2 * pages,
			unmap_range(test, shape, table, 0, shape->entries,
				    owner));
	expect_figures(test, table, 0);
	table_trim_all(test, table);

	table_destroy(test, table);
}

static void sparse_38t_window_one_owner(struct kunit *test)
{
	sparse_38t_window(test, ua_of(42), 0);
}

static void sparse_38t_window_many_owners(struct kunit *test)
{
	sparse_38t_window(test, TCE_OWNER_EACH, SZ_4M);
}

static const struct shape sparse_38t_shapes[] = {
	SHAPE(16, 2, 0x264000000000 >> 16),
	SHAPE(16, 3, 0x264000000000 >> 16),
	SHAPE(16, 4, 0x264000000000 >> 16),
};

KUNIT_ARRAY_PARAM(sparse_38t, sparse_38t_shapes, shape_describe);

/* Failure */

static void create_fails(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_geometry geo;
	struct tce_table *table;

	KUNIT_ASSERT_EQ(test, 0,
			tce_geometry_init(&geo, shape->page_shift,
					  shape->entries, shape->levels));
	fixture_fail_alloc(test, 1);
	table = table_create(test, &geo, NULL);
	KUNIT_EXPECT_TRUE(test, fixture_alloc_failed(test));
	KUNIT_ASSERT_EQ(test, PTR_ERR(table), -ENOMEM);
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 0);

	fixture_fail_alloc(test, 2);
	table = table_of(test, shape);
	KUNIT_EXPECT_FALSE(test, fixture_alloc_failed(test));
	fixture_fail_alloc(test, 0);

	table_destroy(test, table);
}

/* Tries an operation and checks its result. Returns whether it succeeded. */
typedef bool (*attempt)(struct kunit *test, const struct shape *shape,
			struct tce_table *table);

static unsigned long target(const struct shape *shape)
{
	return shape->entries - 3 * span_of(shape, 1) / 2;
}

static bool try_exchange(struct kunit *test, const struct shape *shape,
			 struct tce_table *table)
{
	unsigned long index = target(shape);
	u64 tce = hpa_of(shape, index) | READ_WRITE;
	struct tce_entry entry = { .tce = tce, .owner = TCE_OWNER_NONE };
	int ret = tce_table_exchange(table, index, &entry, true);

	if (ret) {
		KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
		KUNIT_EXPECT_EQ(test, entry.tce, tce);
		KUNIT_EXPECT_EQ(test, entry.owner, TCE_OWNER_NONE);
		expect_entry(test, table, index, 0);
		return false;
	}

	KUNIT_EXPECT_EQ(test, entry.tce, 0);
	KUNIT_EXPECT_EQ(test, entry.owner, 0);
	expect_entry(test, table, index, tce);
	table_set(test, table, index, 0);

	return true;
}

/*
 * The same with an owner. A leaf that has entries of another one needs a view.
 */
static bool try_exchange_owner(struct kunit *test, const struct shape *shape,
			       struct tce_table *table)
{
	unsigned long index = target(shape);
	u64 tce = hpa_of(shape, index) | READ_WRITE;
	struct tce_entry entry = { .tce = tce, .owner = ua_of(index) };
	int ret = tce_table_exchange(table, index, &entry, true);

	if (ret) {
		KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
		KUNIT_EXPECT_EQ(test, entry.tce, tce);
		KUNIT_EXPECT_EQ(test, entry.owner, ua_of(index));
		expect_entry(test, table, index, 0);
		return false;
	}

	expect_entry(test, table, index, tce);
	expect_exchange(test, table, index, 0, 0, false, tce, ua_of(index));

	return true;
}

static bool try_hold(struct kunit *test, const struct shape *shape,
		     struct tce_table *table)
{
	struct tce_range range, again;
	int ret = table_hold(table, &range, target(shape), GFP_NOWAIT);

	if (ret) {
		KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
		return false;
	}

	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &again, target(shape), 0));
	KUNIT_EXPECT_PTR_EQ(test, again.all[0], range.all[0]);
	tce_table_finish(&again);
	tce_table_finish(&range);

	return true;
}

static bool try_prepare_for(struct kunit *test, const struct shape *shape,
			    struct tce_table *table, u64 owner)
{
	/* A range of two leaves. */
	struct tce_range range = {
		.index = target(shape),
		.end = target(shape) + span_of(shape, 1),
	};
	int ret = tce_table_prepare(table, &range, owner, GFP_KERNEL);

	if (ret) {
		KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
		return false;
	}
	tce_table_finish(&range);

	return true;
}

static bool try_prepare(struct kunit *test, const struct shape *shape,
			struct tce_table *table)
{
	return try_prepare_for(test, shape, table, ua_of(1));
}

static bool try_prepare_each(struct kunit *test, const struct shape *shape,
			     struct tce_table *table)
{
	return try_prepare_for(test, shape, table, TCE_OWNER_EACH);
}

/*
 * Makes each allocation of an operation fail in turn, until the operation
 * succeeds. Small levels share a page, so this is repeated for tables with 0,
 * 1, and so on up to a page full of levels.
 */
static void fail_every_request(struct kunit *test, attempt try)
{
	const struct shape *shape = shape_of(test);
	unsigned long most = max(1, PAGE_SIZE / level_bytes_of(shape));
	struct tce_table_stats before, after;
	unsigned long levels, i;
	bool done;
	long nth;

	for (levels = 0; levels < most; levels++) {
		unsigned int failures = 0;

		for (nth = 1, done = false; !done; nth++) {
			struct tce_table *table = table_of(test, shape);

			for (i = 0; i < levels; i++)
				table_set(test, table, i * span_of(shape, 1),
					  hpa_of(shape, i) | READ_ONLY);
			tce_table_stats(table, &before);

			fixture_fail_alloc(test, nth);
			done = try(test, shape, table);
			KUNIT_ASSERT_EQ(test, done,
					!fixture_alloc_failed(test));
			fixture_fail_alloc(test, 0);
			failures += !done;

			tce_table_stats(table, &after);
			KUNIT_EXPECT_EQ(test, before.set, after.set);
			for (i = 0; i < levels; i++)
				expect_entry(test, table, i * span_of(shape, 1),
					     hpa_of(shape, i) | READ_ONLY);
			expect_figures(test, table, levels);

			/* The operation succeeds when it is tried again. */
			if (!done)
				KUNIT_EXPECT_TRUE(test,
						  try(test, shape, table));
			expect_figures(test, table, levels);
			table_destroy(test, table);
		}

		/* Each level is an allocation, and each of them has failed. */
		if (most == 1)
			KUNIT_EXPECT_GE(test, failures, shape->levels - 1);
	}
}

static void exchange_fails(struct kunit *test)
{
	fail_every_request(test, try_exchange);
}

static void hold_fails(struct kunit *test)
{
	fail_every_request(test, try_hold);
}

static void prepare_fails(struct kunit *test)
{
	fail_every_request(test, try_prepare);
	fail_every_request(test, try_prepare_each);
}

static const struct shape failing_shapes[] = {
	SHAPE(12, 5, BIT(42)),
	SHAPE(16, 3, BIT(28)),
	/* Levels of 64 KiB on a 64K kernel, larger ones, and few entries. */
	SHAPE(12, 3, BIT(39)),
	SHAPE(16, 2, BIT(28)),
	SHAPE(30, 3, BIT(24)),
};

KUNIT_ARRAY_PARAM(failing, failing_shapes, shape_describe);

/* Another thread links a level while the operation allocates it */

struct neighbour {
	const struct shape *shape;
	struct tce_table *table;
	unsigned long index;
	bool view;
};

static void neighbour_allocates_first(struct kunit *test, void *data)
{
	struct neighbour *neighbour = data;
	struct tce_range range;

	if (neighbour->view) {
		KUNIT_ASSERT_EQ(test, 0, table_hold(neighbour->table, &range,
						    neighbour->index,
						    GFP_NOWAIT));
		tce_table_finish(&range);
		return;
	}
	table_set(test, neighbour->table, neighbour->index,
		  hpa_of(neighbour->shape, neighbour->index) | READ_WRITE);
}

static void late_levels_are_freed(struct kunit *test, attempt try,
				  bool view)
{
	const struct shape *shape = shape_of(test);
	struct neighbour neighbour = {
		.shape = shape, .index = target(shape) + 1, .view = view,
	};
	struct fixture *fixture = test->priv;

	neighbour.table = table_of(test, shape);
	/* Only the view is missing, or all levels are. */
	if (view)
		table_set(test, neighbour.table, neighbour.index,
			  hpa_of(shape, neighbour.index) | READ_WRITE);

	fixture->data = &neighbour;
	fixture->alloc_hook = neighbour_allocates_first;
	KUNIT_EXPECT_TRUE(test, try(test, shape, neighbour.table));
	KUNIT_EXPECT_NULL(test, fixture->alloc_hook);
	/* An allocation that is not linked may become the view of the leaf. */
	if (view || (try != try_prepare && try != try_hold))
		KUNIT_EXPECT_GT(test, atomic_long_read(&fixture->freed), 0);

	expect_entry(test, neighbour.table, neighbour.index,
		     hpa_of(shape, neighbour.index) | READ_WRITE);
	expect_figures(test, neighbour.table, 1);

	table_destroy(test, neighbour.table);
}

static void exchange_loses_race(struct kunit *test)
{
	late_levels_are_freed(test, try_exchange, false);
	late_levels_are_freed(test, try_exchange_owner, false);
	late_levels_are_freed(test, try_exchange_owner, true);
}

static void prepare_loses_race(struct kunit *test)
{
	late_levels_are_freed(test, try_prepare, false);
	late_levels_are_freed(test, try_prepare_each, false);
	late_levels_are_freed(test, try_prepare_each, true);
}

static void hold_loses_race(struct kunit *test)
{
	late_levels_are_freed(test, try_hold, false);
	late_levels_are_freed(test, try_hold, true);
}

/* Levels of at least a kernel page, so that each is an allocation. */
static const struct shape large_level_shapes[] = {
	SHAPE(12, 2, BIT(2 * (PAGE_SHIFT - 3))),
	SHAPE(12, 3, BIT(3 * (PAGE_SHIFT - 3))),
	SHAPE(16, 2, BIT(30)),
};

KUNIT_ARRAY_PARAM(large_levels, large_level_shapes, shape_describe);

static int fill_all_shapes(struct kunit_suite *suite)
{
	static const unsigned int page_shifts[] = { 12, 16, 21, 24, 28, 30 };
	struct shape *shape = all_shapes;
	unsigned int levels, i, j;

	for (i = 0; i < ARRAY_SIZE(page_shifts); i++) {
		for (levels = 1; levels <= TCE_TABLE_MAX_LEVELS; levels++) {
			unsigned int page_shift = page_shifts[i];
			/* Limits of all tables, and of tables with @levels. */
			unsigned long largest = BIT(54 - page_shift);
			unsigned long full = min(BIT(min(PAGE_SHIFT * levels,
							 54U)), largest);
			const unsigned long entries[] = {
				1, 2, 512, 513, 0x264000000000 >> page_shift,
				largest / 2 + 1, largest, largest + 1, full,
				full / 2 + 1,
			};

			for (j = 0; j < ARRAY_SIZE(entries); j++)
				*shape++ = (struct shape)
					SHAPE(page_shift, levels, entries[j]);
		}
	}

	return shape == all_shapes + ARRAY_SIZE(all_shapes) ? 0 : -EINVAL;
}

static struct kunit_case tce_table_cases[] = {
	KUNIT_CASE_PARAM(every_shape, every_shape_gen_params),
	KUNIT_CASE(invalid_shapes_are_rejected),
	KUNIT_CASE(large_levels_are_split),
	KUNIT_CASE(geometry_of_backed_table),
	KUNIT_CASE_PARAM(permissions, some_gen_params),
	KUNIT_CASE_PARAM(misaligned_address, some_gen_params),
	KUNIT_CASE_PARAM(index_out_of_range, some_gen_params),
	KUNIT_CASE_PARAM(no_allocation_unless_allowed, some_gen_params),
	KUNIT_CASE_PARAM(no_allocation_at_any_depth, some_gen_params),
	KUNIT_CASE_PARAM(existing_leaf_needs_no_allocation, some_gen_params),
	KUNIT_CASE_PARAM(store_and_clear, some_gen_params),
	KUNIT_CASE_PARAM(empty_range, some_gen_params),
	KUNIT_CASE_PARAM(clear_over_holes, some_gen_params),
	KUNIT_CASE_PARAM(clear_is_bounded, long_levels_gen_params),
	KUNIT_CASE_PARAM(extents_cover_set_entries, some_gen_params),
	KUNIT_CASE_PARAM(stats_of_a_growing_table, some_gen_params),
	KUNIT_CASE_PARAM(stats_reschedule, some_gen_params),
	KUNIT_CASE_PARAM(sparse_38t_window_one_owner, sparse_38t_gen_params),
	KUNIT_CASE_PARAM(sparse_38t_window_many_owners, sparse_38t_gen_params),
	KUNIT_CASE_PARAM(create_fails, some_gen_params),
	KUNIT_CASE_PARAM(exchange_fails, failing_gen_params),
	KUNIT_CASE_PARAM(hold_fails, failing_gen_params),
	KUNIT_CASE_PARAM(prepare_fails, failing_gen_params),
	KUNIT_CASE_PARAM(exchange_loses_race, large_levels_gen_params),
	KUNIT_CASE_PARAM(prepare_loses_race, large_levels_gen_params),
	KUNIT_CASE_PARAM(hold_loses_race, large_levels_gen_params),
	{}
};

static struct kunit_suite tce_table_suite = {
	.name = "tce_table",
	.suite_init = fill_all_shapes,
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_cases,
};

kunit_test_suite(tce_table_suite);

MODULE_DESCRIPTION("KUnit tests of the multilevel TCE table");
MODULE_LICENSE("GPL");
