// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of a table with a backing, which has every entry and may refuse it.
 */

#include <kunit/test.h>

#include <linux/bits.h>

#include "fixture.h"
#include "tce_table.h"

#define RANGE		8
#define REFUSED_INDEX	3

static const struct shape backing_shapes[] = {
	{ .page_shift = 12, .levels = 5, .entries = BIT(42) },
	{ .page_shift = 16, .levels = 3, .entries = 0x264000000000 >> 16 },
	{ .page_shift = 16, .levels = 1, .entries = 5000 },
	{ .page_shift = 30, .levels = 2, .entries = BIT(20) },
};

KUNIT_ARRAY_PARAM(backing, backing_shapes, shape_describe);

/* Entries around the edge of a leaf, if there is more than one. */
static unsigned long range_of(const struct shape *shape)
{
	return shape->levels > 1 ? 5 * span_of(shape, 1) - RANGE / 2 : 100;
}

static void fill(const struct shape *shape, unsigned long index,
		 struct tce_entry *new)
{
	unsigned int i;

	for (i = 0; i < RANGE; i++) {
		new[i].tce = hpa_of(shape, index + i) | READ_WRITE;
		new[i].owner = ua_of(index + i);
	}
}

/**
 * struct backing - a hypervisor
 * @index: the index of the first entry that it has
 * @tce: the entries
 * @refuse: whether it refuses to change the entry at REFUSED_INDEX
 * @writes: how often it was asked
 * @strange: how often for an entry that it does not have
 */
struct backing {
	unsigned long index;
	u64 tce[RANGE];
	bool refuse;
	unsigned int writes;
	unsigned int strange;
};

static int backing_write(void *data, unsigned long index, u64 tce)
{
	struct backing *backing = data;

	backing->writes++;
	if (index < backing->index || index >= backing->index + RANGE) {
		backing->strange++;
		return -ENXIO;
	}
	if (backing->refuse && index == backing->index + REFUSED_INDEX)
		return -EPERM;
	backing->tce[index - backing->index] = tce;

	return 0;
}

static void expect_backing(struct kunit *test, struct tce_table *table,
			   struct backing *backing)
{
	unsigned int i, used = 0;

	KUNIT_EXPECT_EQ(test, backing->strange, 0);
	for (i = 0; i < RANGE; i++) {
		KUNIT_EXPECT_EQ(test, backing->tce[i],
				tce_table_get(table, backing->index + i));
		used += !!backing->tce[i];
	}
	expect_figures(test, table, used);
}

static void backing_has_every_entry(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct backing backing = { .index = range_of(shape) };
	struct tce_backing operations = {
		.write = backing_write, .data = &backing,
	};
	struct tce_table *table = table_of(test, shape);
	unsigned long index = backing.index;
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + RANGE,
	};
	struct tce_entry new[RANGE], old[RANGE];
	struct tce_level *leaf;

	tce_table_set_backing(table, &operations);
	fill(shape, index, new);
	new[1].tce &= ~READ_ONLY;

	/* It gets what was asked for: it may know write permission alone. */
	table_set(test, table, index, hpa_of(shape, 1) | WRITE_ONLY);
	KUNIT_EXPECT_EQ(test, backing.tce[0], hpa_of(shape, 1) | WRITE_ONLY);
	expect_backing(test, table, &backing);

	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, RANGE,
						   TCE_OWNER_EACH));
	KUNIT_EXPECT_EQ(test, 1, tce_table_store(&cursor, new, RANGE, old));
	KUNIT_EXPECT_EQ(test, cursor.index, cursor.end);
	expect_backing(test, table, &backing);
	KUNIT_EXPECT_EQ(test, backing.tce[1], new[1].tce);

	leaf = tce_table_reserve(table, index + 2, false);
	KUNIT_ASSERT_NOT_NULL(test, leaf);
	expect_exchange(test, table, index + 2, hpa_of(shape, 1) | READ_ONLY,
			ua_of(8), false, new[2].tce, new[2].owner);
	expect_backing(test, table, &backing);
	/* The owner is no business of the backing's. */
	backing.writes = 0;
	KUNIT_EXPECT_TRUE(test, tce_table_change_owner(table, leaf, index + 2,
						       ua_of(8), ua_of(9)));
	KUNIT_EXPECT_EQ(test, backing.writes, 0);
	tce_table_unreserve(table, leaf);
	expect_exchange(test, table, index + 2, 0, 0, false,
			hpa_of(shape, 1) | READ_ONLY, ua_of(9));
	table_set(test, table, index + 4, 0);
	expect_backing(test, table, &backing);
	tce_table_finish(table, index, RANGE);

	/* Asked about what is set, and only that. */
	backing.writes = 0;
	KUNIT_EXPECT_EQ(test, RANGE - 2,
			table_clear(test, table, 0, shape->entries));
	KUNIT_EXPECT_EQ(test, backing.writes, RANGE - 2);
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, backing.writes, RANGE - 2);
	expect_backing(test, table, &backing);
	KUNIT_EXPECT_EQ(test, tce_table_get(table, index), 0);

	table_gone(test, table);
}

static void backing_refuses(struct kunit *test)
{
	const struct shape *shape = shape_of(test);
	struct backing backing = { .index = range_of(shape), .refuse = true };
	struct tce_backing operations = {
		.write = backing_write, .data = &backing,
	};
	struct tce_table *table = table_of(test, shape);
	unsigned long index = backing.index;
	unsigned long refused = index + REFUSED_INDEX;
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + RANGE,
	};
	struct tce_entry new[RANGE], old[RANGE];
	u64 tce = hpa_of(shape, 7) | READ_ONLY;
	unsigned long first, last;
	struct tce_level *leaf;

	tce_table_set_backing(table, &operations);
	fill(shape, index, new);

	exchange_is_refused(test, table, refused, tce, ua_of(7), true, -EPERM);
	expect_figures(test, table, 0);
	leaf = tce_table_reserve(table, refused, true);
	KUNIT_ASSERT_NOT_NULL(test, leaf);
	exchange_is_refused(test, table, refused, tce, ua_of(7), false, -EPERM);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, refused), 0);
	tce_table_unreserve(table, leaf);
	expect_backing(test, table, &backing);
	/* Nor do they keep the leaf. */
	if (shape->levels > 1)
		table_trimmed(test, table);

	/* A store stops there and fails there. */
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, RANGE,
						   TCE_OWNER_EACH));
	KUNIT_EXPECT_EQ(test, 0, tce_table_store(&cursor, new, RANGE, old));
	KUNIT_EXPECT_EQ(test, cursor.index, refused);
	KUNIT_EXPECT_EQ(test, -EPERM,
			tce_table_store(&cursor, new + REFUSED_INDEX,
					RANGE - REFUSED_INDEX, old));
	KUNIT_EXPECT_EQ(test, cursor.index, refused);
	expect_backing(test, table, &backing);
	backing.refuse = false;
	KUNIT_EXPECT_EQ(test, 0,
			tce_table_store(&cursor, new + REFUSED_INDEX,
					RANGE - REFUSED_INDEX, old));
	tce_table_finish(table, index, RANGE);
	expect_backing(test, table, &backing);

	/* A clear steps over it, and it stays with its address and its owner. */
	backing.refuse = true;
	exchange_is_refused(test, table, refused, 0, 0, false, -EPERM);
	exchange_is_refused(test, table, refused, tce, ua_of(7), true, -EPERM);
	KUNIT_EXPECT_EQ(test, RANGE - 1,
			table_clear(test, table, 0, shape->entries));
	expect_entry(test, table, refused, hpa_of(shape, refused) | READ_WRITE);
	expect_backing(test, table, &backing);

	backing.refuse = false;
	cursor.index = 0;
	cursor.end = shape->entries;
	KUNIT_EXPECT_EQ(test, 1, table_clear_next(test, &cursor, old, &first,
						  &last, RANGE));
	KUNIT_EXPECT_EQ(test, first, refused);
	KUNIT_EXPECT_EQ(test, last, refused);
	KUNIT_EXPECT_EQ(test, old[0].owner, ua_of(refused));
	expect_backing(test, table, &backing);

	table_gone(test, table);
}

static struct kunit_case tce_table_backing_cases[] = {
	KUNIT_CASE_PARAM(backing_has_every_entry, backing_gen_params),
	KUNIT_CASE_PARAM(backing_refuses, backing_gen_params),
	{}
};

static struct kunit_suite tce_table_backing_suite = {
	.name = "tce_table_backing",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_backing_cases,
};

kunit_test_suite(tce_table_backing_suite);
