// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of whose an entry is: exchanges with an owner, as KVM makes them in a leaf
 * that it holds, and leaves that keep one owner as long as that is enough.
 */

#include <kunit/test.h>

#include <linux/array_size.h>
#include <linux/bits.h>

#include <asm/hvcall.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_table.h"

static const struct shape owner_shapes[] = {
	{ .page_shift = 12, .levels = 5, .entries = BIT(42) },
	{ .page_shift = 12, .levels = 3, .entries = 0x12345678 },
	{ .page_shift = 12, .levels = 3, .entries = BIT(39) },
	{ .page_shift = 16, .levels = 3, .entries = 0x264000000000 >> 16 },
	{ .page_shift = 16, .levels = 2, .entries = BIT(26) },
	{ .page_shift = 21, .levels = 4, .entries = BIT(33) },
	{ .page_shift = 30, .levels = 3, .entries = BIT(24) },
};

KUNIT_ARRAY_PARAM(owner, owner_shapes, shape_describe);

static unsigned long place_of(const struct shape *shape)
{
	return span_of(shape, 1) + 100;
}

/* Single entries */

static void exchange_changes_the_owner(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	u64 tce = hpa_of(shape, index) | WRITE_ONLY;
	u64 other = hpa_of(shape, index + 1) | READ_ONLY;

	/* No leaf; one that takes the owner; another owner and no view. */
	fixture_refuse(test, 1);
	exchange_is_refused(test, table, index, tce, ua_of(1), false, H_TOO_HARD);
	expect_exchange(test, table, index, 0, ua_of(1), false, 0, 0);
	KUNIT_EXPECT_FALSE(test, fixture_refused(test));
	fixture_refuse(test, 0);
	expect_exchange(test, table, index, tce, ua_of(1), true, 0, 0);
	expect_entry(test, table, index, tce);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), ua_of(1));
	tce |= READ_ONLY;
	expect_exchange(test, table, index, other, ua_of(1), false, tce,
			ua_of(1));
	exchange_is_refused(test, table, index, tce, ua_of(2), false,
			    H_TOO_HARD);
	expect_entry(test, table, index, other);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), ua_of(1));
	expect_views(test, table, 0);
	expect_figures(test, table, 1);

	/* Clearing needs no place for an owner. */
	expect_exchange(test, table, index, 0, ua_of(2), false, other, ua_of(1));
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), 0);
	/* With nothing in it, the leaf takes another owner. */
	expect_exchange(test, table, index, tce, ua_of(2), false, 0, 0);
	expect_views(test, table, 0);
	expect_exchange(test, table, index, other, ua_of(3), true, tce, ua_of(2));
	expect_views(test, table, 1);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), ua_of(3));
	/* From now on there is a place for each. */
	expect_exchange(test, table, index, tce, ua_of(4), false, other,
			ua_of(3));
	expect_exchange(test, table, index, 0, 0, false, tce, ua_of(4));
	expect_exchange(test, table, index, 0, ua_of(5), false, 0, 0);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), 0);
	expect_figures(test, table, 0);
	table_trimmed(test, table);

	table_gone(test, table);
}

/* KVM has an address for a TCE without permissions, and counts on it. */
static void no_permission_but_taken(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	struct hardware_window window = hardware_window(table);
	unsigned long index = place_of(shape);
	u64 address = (u64)index << shape->page_shift;
	u64 hpa = hpa_of(shape, index);
	struct tce_cursor cursor = {
		.table = table, .end = shape->entries,
	};
	struct tce_batch old;

	exchange_is_refused(test, table, index, hpa, ua_of(1), false, H_TOO_HARD);
	expect_exchange(test, table, index, hpa, ua_of(1), true, 0, 0);
	KUNIT_EXPECT_EQ(test, tce_table_get(table, index), hpa);
	KUNIT_EXPECT_EQ(test, hardware_dma(test, &window, address, false),
			HARDWARE_FAULT);
	KUNIT_EXPECT_EQ(test, hardware_dma(test, &window, address, true),
			HARDWARE_FAULT);
	expect_figures_with(test, table, 1, 1);
	/* It keeps the leaf like any other. */
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));

	/* What takes it out gets address and owner, the device nothing. */
	expect_exchange(test, table, index, hpa_of(shape, 1), ua_of(2), true,
			hpa, ua_of(1));
	KUNIT_EXPECT_EQ(test, 1, table_clear_next(test, &cursor, &old));
	KUNIT_EXPECT_EQ(test, old.extent[0].tce, hpa_of(shape, 1));
	KUNIT_EXPECT_EQ(test, old.extent[0].owner, ua_of(2));
	KUNIT_EXPECT_EQ(test, old.extent[0].index, index);
	expect_entry(test, table, index, 0);
	expect_figures(test, table, 0);

	table_gone(test, table);
}

/* Leaves that are held for one entry, whoever its owner will be */

static void held_leaf_takes_any_owner(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long slots = span_of(shape, 1), start = slots, index;
	struct tce_table *table = table_of(test, shape);
	struct tce_range range, other;

	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range, start + 5, GFP_NOWAIT));
	KUNIT_EXPECT_PTR_EQ(test, range.all[0], leaf_at(test, table, start));

	/* Neither the leaf before nor the next one is held. */
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &other, start - 1, 0));
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			table_hold(table, &other, start + slots, 0));

	fixture_refuse(test, 1);
	for (index = start; index < start + slots; index++) {
		struct tce_entry entry = {
			.tce = hpa_of(shape, index) | READ_WRITE,
			.owner = ua_of(index),
		};
		int ret = tce_table_exchange(table, index, &entry, false);

		/* Too many to expect each of them. */
		if (!ret && !entry.tce && !entry.owner)
			continue;
		KUNIT_FAIL(test, "index %#lx: %d", index, ret);
		break;
	}
	expect_figures(test, table, slots);
	for (index = start; index < start + slots; index++) {
		struct tce_entry entry = { .tce = 0 };
		int ret = tce_table_exchange(table, index, &entry, index & 1);

		if (!ret && entry.owner == ua_of(index) &&
		    entry.tce == (hpa_of(shape, index) | READ_WRITE))
			continue;
		KUNIT_FAIL(test, "index %#lx: %d", index, ret);
		break;
	}
	KUNIT_EXPECT_FALSE(test, fixture_refused(test));
	fixture_refuse(test, 0);
	expect_figures(test, table, 0);
	expect_views(test, table, 1);
	tce_table_finish(&range);

	table_gone(test, table);
}

/* The leaf stays as long as anything holds it. */
static void held_leaf_stays(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	u64 tce = hpa_of(shape, index) | READ_ONLY;
	struct tce_range range[2], again;
	struct tce_level *leaf;
	unsigned int i;

	for (i = 0; i < 4; i++)
		table_store(test, shape, table, (2 * i + 1) * span_of(shape, 1),
			    2, TCE_OWNER_EACH);
	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range[0], index, GFP_NOWAIT));
	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range[1], index + 3, 0));
	leaf = range[0].all[0];
	KUNIT_EXPECT_PTR_EQ(test, leaf, range[1].all[0]);
	KUNIT_EXPECT_EQ(test, 8, table_clear(test, table, 0, shape->entries));
	KUNIT_EXPECT_EQ(test, table_queued(table), 3);

	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, table_trim(test, table) >= 3, !i);
		KUNIT_EXPECT_PTR_EQ(test, leaf_at(test, table, index), leaf);
		expect_views(test, table, 1);
		expect_figures(test, table, 0);

		/* As good as ever. */
		fixture_refuse(test, 1);
		KUNIT_ASSERT_EQ(test, 0, table_hold(table, &again, index, 0));
		expect_exchange(test, table, index, tce, ua_of(i), false, 0, 0);
		tce_table_finish(&again);
		expect_exchange(test, table, index, 0, 0, false, tce, ua_of(i));
		KUNIT_EXPECT_FALSE(test, fixture_refused(test));
		fixture_refuse(test, 0);
		KUNIT_EXPECT_EQ(test, table_queued(table), 0);
		tce_table_finish(&range[i]);
	}

	/* After the last one it may go like any other. */
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	table_trimmed(test, table);
	exchange_is_refused(test, table, index, tce, ua_of(1), false, H_TOO_HARD);
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &again, index, 0));

	/* What is set keeps it without being held. */
	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &again, index, GFP_NOWAIT));
	expect_exchange(test, table, index, tce, ua_of(1), false, 0, 0);
	tce_table_finish(&again);
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));
	expect_exchange(test, table, index, 0, 0, false, tce, ua_of(1));
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);

	/* Held, and set and cleared meanwhile. */
	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &again, index, 0));
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));
	expect_exchange(test, table, index, tce, ua_of(1), false, 0, 0);
	expect_exchange(test, table, index, 0, 0, false, tce, ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));
	tce_table_finish(&again);
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	table_trimmed(test, table);

	table_gone(test, table);
}

/* What cannot be held changes nothing that is there. */
static void hold_without_a_view(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	struct tce_range range;

	table_store(test, shape, table, index, 2, ua_of(1));
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &range, index, 0));
	expect_views(test, table, 0);
	KUNIT_EXPECT_EQ(test, 2, table_clear(test, table, 0, shape->entries));
	/* Not held either. */
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &range, index, 0));
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);

	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range, index, GFP_NOWAIT));
	expect_views(test, table, 1);
	tce_table_finish(&range);
	table_trimmed(test, table);

	table_gone(test, table);
}

/* Leaves */

/* Clears one entry and expects whose it was. */
static void expect_owner(struct kunit *test, const struct shape *shape,
			 struct tce_table *table, unsigned long index, u64 owner)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + 1,
	};
	struct tce_batch old;

	KUNIT_ASSERT_EQ(test, 1, table_clear_next(test, &cursor, &old));
	KUNIT_EXPECT_EQ_MSG(test, old.extent[0].owner, owner, "index %#lx", index);
	KUNIT_EXPECT_EQ(test, old.extent[0].tce,
			hpa_of(shape, index) | READ_WRITE);
}

/* Stores over what is there and expects whose it was. */
static void expect_owner_before(struct kunit *test, const struct shape *shape,
				struct tce_table *table, unsigned long index,
				u64 owner, u64 new_owner)
{
	struct tce_entry new = {
		.tce = hpa_of(shape, index) | READ_WRITE, .owner = new_owner,
	};
	struct tce_batch batch, old;
	struct tce_range range;

	batch_fill(&batch, shape->page_shift, &new, 1);
	table_prepare(test, table, &range, index, 1, new_owner);
	KUNIT_ASSERT_EQ(test, 0, tce_table_store(&range, &batch, &old));
	KUNIT_ASSERT_EQ(test, 1, batch_count(test, table, &old));
	KUNIT_EXPECT_EQ_MSG(test, old.extent[0].owner, owner, "index %#lx", index);
	tce_table_finish(&range);
}

static void owners_share_a_leaf(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	u64 tce = hpa_of(shape, index + 9) | READ_WRITE;

	/* One owner after the other: one is enough. */
	table_store(test, shape, table, index, 4, ua_of(1));
	KUNIT_EXPECT_EQ(test, 4, table_clear(test, table, index, index + 4));
	table_set(test, table, index, tce);
	table_set(test, table, index, 0);
	table_store(test, shape, table, index, 4, ua_of(2));
	table_store(test, shape, table, index + 4, 4, ua_of(2));
	expect_views(test, table, 0);

	/* Nobody's entry does not fit, and needs memory to do so. */
	exchange_is_refused(test, table, index + 9, tce, TCE_OWNER_NONE, false,
			    H_TOO_HARD);
	/* Not even in the place of one of the others. */
	exchange_is_refused(test, table, index + 1, tce, TCE_OWNER_NONE, false,
			    H_TOO_HARD);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index + 1), ua_of(2));
	expect_views(test, table, 0);
	/* Small levels have a page that is there already. */
	if (shape_level_bits(shape) + 3 >= PAGE_SHIFT) {
		fixture_refuse(test, 1);
		exchange_is_refused(test, table, index + 9, tce, TCE_OWNER_NONE,
				    true, -ENOMEM);
		expect_views(test, table, 0);
		fixture_refuse(test, 0);
	}
	table_set(test, table, index + 9,
		  hpa_of(shape, index + 9) | READ_WRITE);
	expect_views(test, table, 1);

	/* The ones before and the ones after the view. */
	table_store(test, shape, table, index + 10, 2, ua_of(3));
	table_store(test, shape, table, index + 12, 2, ua_of(2));
	table_store(test, shape, table, index + 14, 2, TCE_OWNER_EACH);
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

	expect_exchange(test, table, index + 2, tce, ua_of(5), false,
			hpa_of(shape, index + 2) | READ_WRITE, ua_of(2));
	expect_exchange(test, table, index + 2, 0, 0, false, tce, ua_of(5));
	expect_exchange(test, table, index + 3, 0, 0, false,
			hpa_of(shape, index + 3) | READ_WRITE, ua_of(2));
	KUNIT_EXPECT_EQ(test, 6, table_clear(test, table, 0, shape->entries));
	expect_figures(test, table, 0);

	table_gone(test, table);
}

/* An exchange finds the owner that the leaf has, too. */
static void exchange_finds_the_leafs_owner(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	struct tce_range range;

	table_store(test, shape, table, index, 3, ua_of(1));
	expect_exchange(test, table, index, 0, 0, false,
			hpa_of(shape, index) | READ_WRITE, ua_of(1));
	expect_views(test, table, 0);

	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range, index + 1, GFP_NOWAIT));
	expect_views(test, table, 1);
	expect_exchange(test, table, index + 1, hpa_of(shape, 1) | READ_ONLY,
			ua_of(2), false, hpa_of(shape, index + 1) | READ_WRITE,
			ua_of(1));
	tce_table_finish(&range);
	expect_exchange(test, table, index + 1, 0, 0, false,
			hpa_of(shape, 1) | READ_ONLY, ua_of(2));
	expect_owner(test, shape, table, index + 2, ua_of(1));
	expect_figures(test, table, 0);

	table_gone(test, table);
}

/* Stores the next entries of a range. */
static void store_for(struct kunit *test, const struct shape *shape,
		      struct tce_range *range, unsigned int count, u64 owner)
{
	struct tce_batch batch, old;
	struct tce_entry new[4];
	unsigned int i;

	for (i = 0; i < count; i++) {
		new[i].tce = hpa_of(shape, range->index + i) | READ_WRITE;
		new[i].owner = owner;
	}
	KUNIT_ASSERT_EQ(test, count, batch_fill(&batch, shape->page_shift, new,
						count));
	KUNIT_ASSERT_EQ(test, 0, tce_table_store(range, &batch, &old));
	KUNIT_ASSERT_EQ(test, batch.first, batch.count);
	KUNIT_EXPECT_EQ(test, old.count, 0);
}

/* A prepared range can be stored, whatever was prepared since. */
static void claims_of_owners(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	u64 tce = hpa_of(shape, 1) | READ_ONLY;
	struct tce_range range[2];
	unsigned int i;

	/* An empty leaf, but its owner is claimed. */
	table_prepare(test, table, &range[0], index, 4, ua_of(0));
	exchange_is_refused(test, table, index + 20, tce, TCE_OWNER_NONE, false,
			    H_TOO_HARD);
	store_for(test, shape, &range[0], 2, ua_of(0));
	expect_views(test, table, 0);

	table_prepare(test, table, &range[1], index + 4, 4, ua_of(1));
	expect_views(test, table, 1);
	store_for(test, shape, &range[1], 1, ua_of(1));
	store_for(test, shape, &range[0], 2, ua_of(0));
	store_for(test, shape, &range[1], 3, ua_of(1));
	tce_table_finish(&range[0]);
	tce_table_finish(&range[1]);

	for (i = 0; i < 8; i++)
		expect_owner(test, shape, table, index + i, ua_of(i / 4));
	expect_figures(test, table, 0);

	/* With the leaf, the view goes, and the next owner needs none. */
	table_trimmed(test, table);
	table_prepare(test, table, &range[0], index, 4, ua_of(0));
	tce_table_finish(&range[0]);
	expect_exchange(test, table, index, tce, TCE_OWNER_NONE, false, 0, 0);
	expect_views(test, table, 0);

	table_gone(test, table);
}

static struct kunit_case tce_table_owner_cases[] = {
	KUNIT_CASE_PARAM(exchange_changes_the_owner, owner_gen_params),
	KUNIT_CASE_PARAM(no_permission_but_taken, owner_gen_params),
	KUNIT_CASE_PARAM(held_leaf_takes_any_owner, owner_gen_params),
	KUNIT_CASE_PARAM(held_leaf_stays, owner_gen_params),
	KUNIT_CASE_PARAM(hold_without_a_view, owner_gen_params),
	KUNIT_CASE_PARAM(owners_share_a_leaf, owner_gen_params),
	KUNIT_CASE_PARAM(exchange_finds_the_leafs_owner, owner_gen_params),
	KUNIT_CASE_PARAM(claims_of_owners, owner_gen_params),
	{}
};

static struct kunit_suite tce_table_owner_suite = {
	.name = "tce_table_owner",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_owner_cases,
};

kunit_test_suite(tce_table_owner_suite);
