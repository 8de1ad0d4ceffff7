// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the owners of entries: exchanges in a held leaf, as KVM makes them,
 * and leaves that have one owner for all entries until they need a view.
 */

#include <kunit/test.h>

#include <linux/array_size.h>
#include <linux/bits.h>

#include <asm/hvcall.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_table.h"

KUNIT_ARRAY_PARAM(owner, multilevel_shapes, shape_describe);

static unsigned long place_of(const struct shape *shape)
{
	return span_of(shape, 1) + 100;
}

/* Single entries */

static void exchange_changes_owner(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	u64 tce = hpa_of(shape, index) | WRITE_ONLY;
	u64 other = hpa_of(shape, index + 1) | READ_ONLY;

	/* No leaf; then a leaf without a view, which takes one owner only. */
	fixture_fail_alloc(test, 1);
	expect_exchange_error(test, table, index, tce, ua_of(1), false,
			      H_TOO_HARD);
	expect_exchange(test, table, index, 0, ua_of(1), false, 0, 0);
	KUNIT_EXPECT_FALSE(test, fixture_alloc_failed(test));
	fixture_fail_alloc(test, 0);
	expect_exchange(test, table, index, tce, ua_of(1), true, 0, 0);
	expect_entry(test, table, index, tce);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), ua_of(1));
	tce |= READ_ONLY;
	expect_exchange(test, table, index, other, ua_of(1), false, tce,
			ua_of(1));
	expect_exchange_error(test, table, index, tce, ua_of(2), false,
			      H_TOO_HARD);
	expect_entry(test, table, index, other);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), ua_of(1));
	expect_views(test, table, 0);
	expect_figures(test, table, 1);

	/* Clearing does not need a view. */
	expect_exchange(test, table, index, 0, ua_of(2), false, other,
			ua_of(1));
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), 0);
	/* An empty leaf takes another owner without a view. */
	expect_exchange(test, table, index, tce, ua_of(2), false, 0, 0);
	expect_views(test, table, 0);
	expect_exchange(test, table, index, other, ua_of(3), true, tce,
			ua_of(2));
	expect_views(test, table, 1);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), ua_of(3));
	/* With a view the leaf takes any owner. */
	expect_exchange(test, table, index, tce, ua_of(4), false, other,
			ua_of(3));
	expect_exchange(test, table, index, 0, 0, false, tce, ua_of(4));
	expect_exchange(test, table, index, 0, ua_of(5), false, 0, 0);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index), 0);
	expect_figures(test, table, 0);
	table_trim_all(test, table);

	table_destroy(test, table);
}

/*
 * KVM counts the page of a TCE without permissions, so the table has to keep
 * it.
 */
static void entry_without_permissions(struct kunit *test)
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

	expect_exchange_error(test, table, index, hpa, ua_of(1), false,
			      H_TOO_HARD);
	expect_exchange(test, table, index, hpa, ua_of(1), true, 0, 0);
	KUNIT_EXPECT_EQ(test, tce_table_get(table, index), hpa);
	KUNIT_EXPECT_EQ(test, hardware_dma(test, &window, address, false),
			HARDWARE_FAULT);
	KUNIT_EXPECT_EQ(test, hardware_dma(test, &window, address, true),
			HARDWARE_FAULT);
	expect_figures_with(test, table, 1, 1);
	/* It keeps the leaf in use like any other entry. */
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));

	/* Address and owner are returned when it is replaced or cleared. */
	expect_exchange(test, table, index, hpa_of(shape, 1), ua_of(2), true,
			hpa, ua_of(1));
	KUNIT_EXPECT_EQ(test, 1, table_clear_next(test, &cursor, &old));
	KUNIT_EXPECT_EQ(test, old.extent[0].tce, hpa_of(shape, 1));
	KUNIT_EXPECT_EQ(test, old.extent[0].owner, ua_of(2));
	KUNIT_EXPECT_EQ(test, old.extent[0].index, index);
	expect_entry(test, table, index, 0);
	expect_figures(test, table, 0);

	table_destroy(test, table);
}

/* Leaves that are held for an entry of any owner */

static void held_leaf_accepts_any_owner(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	unsigned long slots = span_of(shape, 1), start = slots, index;
	struct tce_table *table = table_of(test, shape);
	struct tce_range range, other;

	KUNIT_ASSERT_EQ(test, 0,
			table_hold(table, &range, start + 5, GFP_NOWAIT));
	KUNIT_EXPECT_PTR_EQ(test, range.all[0], leaf_at(test, table, start));

	/* Neither the leaf before nor the next one was allocated. */
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &other, start - 1, 0));
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			table_hold(table, &other, start + slots, 0));

	fixture_fail_alloc(test, 1);
	for (index = start; index < start + slots; index++) {
		struct tce_entry entry = {
			.tce = hpa_of(shape, index) | READ_WRITE,
			.owner = ua_of(index),
		};
		int ret = tce_table_exchange(table, index, &entry, false);

		/* Too many entries for an expectation each. */
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
	KUNIT_EXPECT_FALSE(test, fixture_alloc_failed(test));
	fixture_fail_alloc(test, 0);
	expect_figures(test, table, 0);
	expect_views(test, table, 1);
	tce_table_finish(&range);

	table_destroy(test, table);
}

/* A leaf is not trimmed while an operation holds it. */
static void held_leaf_is_not_trimmed(struct kunit *test)
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
	KUNIT_ASSERT_EQ(test, 0,
			table_hold(table, &range[0], index, GFP_NOWAIT));
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

		/* It can still be used. */
		fixture_fail_alloc(test, 1);
		KUNIT_ASSERT_EQ(test, 0, table_hold(table, &again, index, 0));
		expect_exchange(test, table, index, tce, ua_of(i), false, 0, 0);
		tce_table_finish(&again);
		expect_exchange(test, table, index, 0, 0, false, tce, ua_of(i));
		KUNIT_EXPECT_FALSE(test, fixture_alloc_failed(test));
		fixture_fail_alloc(test, 0);
		KUNIT_EXPECT_EQ(test, table_queued(table), 0);
		tce_table_finish(&range[i]);
	}

	/* It is not held any more, so it can be trimmed. */
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	table_trim_all(test, table);
	expect_exchange_error(test, table, index, tce, ua_of(1), false,
			      H_TOO_HARD);
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &again, index, 0));

	/* An entry keeps it in use, too. */
	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &again, index, GFP_NOWAIT));
	expect_exchange(test, table, index, tce, ua_of(1), false, 0, 0);
	tce_table_finish(&again);
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));
	expect_exchange(test, table, index, 0, 0, false, tce, ua_of(1));
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);

	/* The same if the entry was set and cleared meanwhile. */
	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &again, index, 0));
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));
	expect_exchange(test, table, index, tce, ua_of(1), false, 0, 0);
	expect_exchange(test, table, index, 0, 0, false, tce, ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));
	tce_table_finish(&again);
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	table_trim_all(test, table);

	table_destroy(test, table);
}

/* A failed hold does not change the leaf. */
static void hold_fails_without_view(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	struct tce_range range;

	table_store(test, shape, table, index, 2, ua_of(1));
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &range, index, 0));
	expect_views(test, table, 0);
	KUNIT_EXPECT_EQ(test, 2, table_clear(test, table, 0, shape->entries));
	/* After the failed hold the leaf is not held. */
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);
	KUNIT_EXPECT_EQ(test, -ENOMEM, table_hold(table, &range, index, 0));
	KUNIT_EXPECT_EQ(test, table_queued(table), 1);

	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range, index, GFP_NOWAIT));
	expect_views(test, table, 1);
	tce_table_finish(&range);
	table_trim_all(test, table);

	table_destroy(test, table);
}

/* Leaves */

/* Clears one entry and expects its owner. */
static void expect_owner(struct kunit *test, const struct shape *shape,
			 struct tce_table *table, unsigned long index,
			 u64 owner)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + 1,
	};
	struct tce_batch old;

	KUNIT_ASSERT_EQ(test, 1, table_clear_next(test, &cursor, &old));
	KUNIT_EXPECT_EQ_MSG(test, old.extent[0].owner, owner, "index %#lx",
			    index);
	KUNIT_EXPECT_EQ(test, old.extent[0].tce,
			hpa_of(shape, index) | READ_WRITE);
}

/* Replaces one entry by a store and expects its previous owner. */
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
	KUNIT_EXPECT_EQ_MSG(test, old.extent[0].owner, owner, "index %#lx",
			    index);
	tce_table_finish(&range);
}

static void owners_share_a_leaf(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	u64 tce = hpa_of(shape, index + 9) | READ_WRITE;

	/* One owner after the other does not need a view. */
	table_store(test, shape, table, index, 4, ua_of(1));
	KUNIT_EXPECT_EQ(test, 4, table_clear(test, table, index, index + 4));
	table_set(test, table, index, tce);
	table_set(test, table, index, 0);
	table_store(test, shape, table, index, 4, ua_of(2));
	table_store(test, shape, table, index + 4, 4, ua_of(2));
	expect_views(test, table, 0);

	/* An entry of TCE_OWNER_NONE needs a view, which must be allocated. */
	expect_exchange_error(test, table, index + 9, tce, TCE_OWNER_NONE,
			      false, H_TOO_HARD);
	/* So does one that replaces an entry of the leaf's owner. */
	expect_exchange_error(test, table, index + 1, tce, TCE_OWNER_NONE,
			      false, H_TOO_HARD);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, index + 1), ua_of(2));
	expect_views(test, table, 0);
	/* Small levels get the view from a page that has free places. */
	if (shape_level_bits(shape) + 3 >= PAGE_SHIFT) {
		fixture_fail_alloc(test, 1);
		expect_exchange_error(test, table, index + 9, tce,
				      TCE_OWNER_NONE, true, -ENOMEM);
		expect_views(test, table, 0);
		fixture_fail_alloc(test, 0);
	}
	table_set(test, table, index + 9,
		  hpa_of(shape, index + 9) | READ_WRITE);
	expect_views(test, table, 1);

	/* Entries set before the view was added, and after. */
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

	table_destroy(test, table);
}

/* An exchange returns the owner of the leaf where the view has none. */
static void exchange_returns_leaf_owner(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	struct tce_range range;

	table_store(test, shape, table, index, 3, ua_of(1));
	expect_exchange(test, table, index, 0, 0, false,
			hpa_of(shape, index) | READ_WRITE, ua_of(1));
	expect_views(test, table, 0);

	KUNIT_ASSERT_EQ(test, 0,
			table_hold(table, &range, index + 1, GFP_NOWAIT));
	expect_views(test, table, 1);
	expect_exchange(test, table, index + 1, hpa_of(shape, 1) | READ_ONLY,
			ua_of(2), false, hpa_of(shape, index + 1) | READ_WRITE,
			ua_of(1));
	tce_table_finish(&range);
	expect_exchange(test, table, index + 1, 0, 0, false,
			hpa_of(shape, 1) | READ_ONLY, ua_of(2));
	expect_owner(test, shape, table, index + 2, ua_of(1));
	expect_figures(test, table, 0);

	table_destroy(test, table);
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

/* A prepared range can be stored whatever ranges were prepared after it. */
static void prepare_for_two_owners(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct tce_table *table = table_of(test, shape);
	unsigned long index = place_of(shape);
	u64 tce = hpa_of(shape, 1) | READ_ONLY;
	struct tce_range range[2];
	unsigned int i;

	/* The leaf is empty, but it already has its owner. */
	table_prepare(test, table, &range[0], index, 4, ua_of(0));
	expect_exchange_error(test, table, index + 20, tce, TCE_OWNER_NONE,
			      false, H_TOO_HARD);
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

	/*
	 * The view is freed with the leaf, and the new leaf does not need one.
	 */
	table_trim_all(test, table);
	table_prepare(test, table, &range[0], index, 4, ua_of(0));
	tce_table_finish(&range[0]);
	expect_exchange(test, table, index, tce, TCE_OWNER_NONE, false, 0, 0);
	expect_views(test, table, 0);

	table_destroy(test, table);
}

static struct kunit_case tce_table_owner_cases[] = {
	KUNIT_CASE_PARAM(exchange_changes_owner, owner_gen_params),
	KUNIT_CASE_PARAM(entry_without_permissions, owner_gen_params),
	KUNIT_CASE_PARAM(held_leaf_accepts_any_owner, owner_gen_params),
	KUNIT_CASE_PARAM(held_leaf_is_not_trimmed, owner_gen_params),
	KUNIT_CASE_PARAM(hold_fails_without_view, owner_gen_params),
	KUNIT_CASE_PARAM(owners_share_a_leaf, owner_gen_params),
	KUNIT_CASE_PARAM(exchange_returns_leaf_owner, owner_gen_params),
	KUNIT_CASE_PARAM(prepare_for_two_owners, owner_gen_params),
	{}
};

static struct kunit_suite tce_table_owner_suite = {
	.name = "tce_table_owner",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_owner_cases,
};

kunit_test_suite(tce_table_owner_suite);
