// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of a table with a backing, which has every entry and may refuse it.
 */

#include <kunit/test.h>

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "fixture.h"
#include "kills.h"
#include "tce_table.h"

/* Entries that the backing has, and those of them that most tests are about. */
#define ALL		1600
#define RANGE		40

/* One that is refused. */
#define REFUSED		17

#define LIST		512

static const struct shape backing_shapes[] = {
	{ .page_shift = 12, .levels = 5, .entries = BIT(42) },
	{ .page_shift = 16, .levels = 3, .entries = 0x264000000000 >> 16 },
	{ .page_shift = 16, .levels = 1, .entries = 5000 },
	{ .page_shift = 30, .levels = 2, .entries = BIT(20) },
};

KUNIT_ARRAY_PARAM(backing, backing_shapes, shape_describe);

/**
 * struct hypervisor - a backing
 * @test: the test
 * @table: the table
 * @index: the index of the first entry that it has
 * @tce: the entries
 * @refused: the index of the one that it refuses to change, or ULONG_MAX
 * @partly: a clear that is refused has been done up to there
 * @sets: how often it was asked to set one entry
 * @lists: how often to set more than one
 * @listed: how many these were
 * @clears: how often to clear
 * @cleared: how many these were
 * @strange: what it was asked of entries that it does not have
 */
struct hypervisor {
	struct kunit *test;
	struct tce_table *table;
	unsigned long index;
	u64 tce[ALL];
	unsigned long refused;
	bool partly;
	unsigned int sets;
	unsigned int lists;
	unsigned long listed;
	unsigned int clears;
	unsigned long cleared;
	unsigned int strange;
};

static bool hypervisor_refuses(const struct hypervisor *hv, unsigned long index,
			       unsigned long count)
{
	return hv->refused >= index && hv->refused - index < count;
}

static bool hypervisor_has(struct hypervisor *hv, unsigned long index,
			   unsigned long count)
{
	if (index >= hv->index && index + count <= hv->index + ALL)
		return true;
	hv->strange++;

	return false;
}

static int hypervisor_set(void *data, unsigned long index, const __be64 *tces,
			  unsigned long count)
{
	struct hypervisor *hv = data;
	unsigned long i;

	if (count > 1) {
		hv->lists++;
		hv->listed += count;
	} else {
		hv->sets++;
	}
	if (!hypervisor_has(hv, index, count))
		return -ENXIO;
	if (hypervisor_refuses(hv, index, count))
		return -EPERM;
	for (i = 0; i < count; i++) {
		/* A list takes what is not set; what it replaces it could not say. */
		hv->strange += count > 1 && hv->tce[index - hv->index + i];
		hv->tce[index - hv->index + i] = be64_to_cpu(tces[i]);
	}

	return 0;
}

static int hypervisor_clear(void *data, unsigned long index,
			    unsigned long count)
{
	struct hypervisor *hv = data;
	bool refuses = hypervisor_refuses(hv, index, count);

	hv->clears++;
	hv->cleared += count;
	if (!hypervisor_has(hv, index, count))
		return -ENXIO;
	if (refuses)
		count = hv->partly ? hv->refused - index : 0;
	memset(hv->tce + index - hv->index, 0, count * sizeof(u64));

	return refuses ? -EPERM : 0;
}

static void hypervisor_forget(struct hypervisor *hv)
{
	hv->sets = 0;
	hv->lists = 0;
	hv->listed = 0;
	hv->clears = 0;
	hv->cleared = 0;
}

/* A table with a backing; the range is near the end of a leaf that is not the last. */
static struct hypervisor *hypervisor_of(struct kunit *test, bool across)
{
	struct hypervisor *hv = kunit_kzalloc(test, sizeof(*hv), GFP_KERNEL);
	const struct shape *shape = shape_of(test);
	struct backing backing = {
		.set = hypervisor_set, .clear = hypervisor_clear, .data = hv,
	};

	KUNIT_ASSERT_NOT_NULL(test, hv);
	hv->test = test;
	hv->refused = ULONG_MAX;
	hv->index = shape->levels == 1 ? 100 : 5 * span_of(shape, 1) -
		    (across ? RANGE / 2 : 0);
	hv->table = table_backed(test, shape, &backing);

	return hv;
}

static void expect_backing(struct hypervisor *hv)
{
	unsigned int i, used = 0;

	KUNIT_EXPECT_EQ(hv->test, hv->strange, 0);
	for (i = 0; i < ALL; i++) {
		u64 tce = tce_table_get(hv->table, hv->index + i);

		used += !!tce;
		if (tce == hv->tce[i])
			continue;
		KUNIT_FAIL(hv->test, "entry %u: %#llx, there %#llx", i, tce,
			   hv->tce[i]);
		break;
	}
	expect_figures(hv->test, hv->table, used);
}

static void fill(const struct shape *shape, unsigned long index,
		 struct tce_entry *new, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		new[i].tce = hpa_of(shape, index + i) | READ_WRITE;
		new[i].owner = ua_of(index + i);
	}
}

/* Memory in a row, for one owner. */
static struct tce_batch run_of(const struct shape *shape, unsigned long count)
{
	return (struct tce_batch) {
		.count = 1,
		.entries = count,
		.extent[0] = {
			.index = ULONG_MAX,
			.count = count,
			.tce = BIT_ULL(45) | READ_WRITE,
			.owner = ua_of(1),
		},
	};
}

static u64 run_tce(const struct shape *shape, unsigned long i)
{
	return (BIT_ULL(45) | READ_WRITE) + (i << shape->page_shift);
}

/*
 * Stores what is left of a batch, up to @end or as far as it goes. What is replaced is
 * an entry at each index that is a multiple of @every, as fill() makes it, and no
 * other. Returns what tce_table_store() says in the end.
 */
static int store_over(struct hypervisor *hv, const struct shape *shape,
		      struct tce_range *range, struct tce_batch *new,
		      unsigned long every)
{
	struct tce_batch old;
	struct found found;
	int ret = 0, idle = 0;

	while (!ret && new->first < new->count) {
		unsigned long index = range->index, next;

		memset(&old, 0x5a, sizeof(old));
		ret = tce_table_store(range, new, &old);
		KUNIT_EXPECT_GE(hv->test, range->index, index);
		/* Nowhere only once, when a list was refused. */
		idle += !ret && range->index == index;
		KUNIT_ASSERT_LE(hv->test, idle, 1);
		batch_count(hv->test, hv->table, &old);
		if (ret || range->index == index)
			KUNIT_EXPECT_EQ(hv->test, old.count, 0);

		for (next = index; next < range->index; next++) {
			if (!every || next % every)
				continue;
			KUNIT_ASSERT_TRUE(hv->test, batch_take(&old, shape->page_shift,
							       &found));
			KUNIT_EXPECT_EQ(hv->test, found.index, next);
			KUNIT_EXPECT_EQ(hv->test, found.tce,
					hpa_of(shape, next) | READ_WRITE);
			KUNIT_EXPECT_EQ(hv->test, found.owner, ua_of(next));
		}
		KUNIT_EXPECT_FALSE(hv->test, batch_take(&old, shape->page_shift,
							&found));
	}

	return ret;
}

/* Single entries, and whose they are */

static void backing_has_every_entry(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, true);
	const struct shape *shape = shape_of(test);
	struct tce_table *table = hv->table;
	unsigned long index = hv->index;
	struct tce_entry new[8];
	struct tce_batch batch, old;
	struct tce_range range;

	/* It gets what was asked for: it may know write permission alone. */
	table_set(test, table, index, hpa_of(shape, 1) | WRITE_ONLY);
	KUNIT_EXPECT_EQ(test, hv->tce[0], hpa_of(shape, 1) | WRITE_ONLY);
	KUNIT_EXPECT_EQ(test, tce_table_get(table, index), hv->tce[0]);
	expect_backing(hv);

	fill(shape, index, new, 8);
	new[1].tce &= ~READ_ONLY;
	batch_fill(&batch, shape->page_shift, new, 8);
	table_prepare(test, table, &range, index, 8, TCE_OWNER_EACH);
	/* What replaces something goes alone. */
	KUNIT_EXPECT_EQ(test, 0, tce_table_store(&range, &batch, &old));
	KUNIT_EXPECT_EQ(test, range.index, index + 1);
	KUNIT_EXPECT_EQ(test, batch_count(test, table, &old), 1);
	KUNIT_EXPECT_EQ(test, old.extent[0].tce, hpa_of(shape, 1) | WRITE_ONLY);
	KUNIT_EXPECT_EQ(test, old.extent[0].owner, TCE_OWNER_NONE);
	KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range, &batch, 0));
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, hv->tce[1], new[1].tce);
	expect_backing(hv);

	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range, index + 2, 0));
	expect_exchange(test, table, index + 2, hpa_of(shape, 1) | READ_ONLY,
			ua_of(8), false, new[2].tce, new[2].owner);
	expect_backing(hv);
	tce_table_finish(&range);
	expect_exchange(test, table, index + 2, 0, 0, false,
			hpa_of(shape, 1) | READ_ONLY, ua_of(8));
	table_set(test, table, index + 4, 0);
	expect_backing(hv);

	/* A leaf at a time, from the first entry that is set to the last. */
	hypervisor_forget(hv);
	KUNIT_EXPECT_EQ(test, 6, table_clear(test, table, 0, shape->entries));
	KUNIT_EXPECT_EQ(test, hv->clears, 1);
	KUNIT_EXPECT_EQ(test, hv->cleared, 8);
	/* Not what is not set. */
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, 0, table_clear(test, table, 0, shape->entries));
	KUNIT_EXPECT_EQ(test, hv->clears, 1);
	expect_backing(hv);

	table_gone(test, table);
}

static void entries_are_refused(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);
	struct tce_table *table = hv->table;
	unsigned long refused = hv->index + REFUSED;
	u64 tce = hpa_of(shape, 7) | READ_ONLY;
	u64 old = hpa_of(shape, 8) | READ_ONLY;
	struct tce_range range;

	hv->refused = refused;
	exchange_is_refused(test, table, refused, tce, ua_of(7), true, -EPERM);
	expect_figures(test, table, 0);
	KUNIT_ASSERT_EQ(test, 0, table_hold(table, &range, refused, GFP_NOWAIT));
	exchange_is_refused(test, table, refused, tce, ua_of(7), false, -EPERM);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, refused), 0);
	tce_table_finish(&range);
	expect_backing(hv);
	/* Nor do they keep the leaf. */
	if (shape->levels > 1)
		table_trimmed(test, table);

	/* What is there stays, with its owner. */
	hv->refused = ULONG_MAX;
	expect_exchange(test, table, refused, old, ua_of(3), true, 0, 0);
	hv->refused = refused;
	exchange_is_refused(test, table, refused, tce, ua_of(3), false, -EPERM);
	exchange_is_refused(test, table, refused, tce, ua_of(4), true, -EPERM);
	exchange_is_refused(test, table, refused, 0, 0, false, -EPERM);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, refused), ua_of(3));
	expect_backing(hv);
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));

	hv->refused = ULONG_MAX;
	expect_exchange(test, table, refused, 0, 0, false, old, ua_of(3));
	expect_backing(hv);
	table_gone(test, table);
}

/* Lists */

static void lists_are_filled(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);
	unsigned long per_leaf = span_of(shape, 1), i, lists = 0;
	struct tce_batch batch = run_of(shape, ALL);
	struct tce_range range;

	table_prepare(test, hv->table, &range, hv->index, ALL, ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range, &batch, 0));
	KUNIT_EXPECT_EQ(test, range.index, range.end);
	tce_table_finish(&range);

	/* As many as 4 KiB have, in one leaf; what is looked at may end a list, too. */
	for (i = 0; i < ALL; i += LIST)
		lists++;
	KUNIT_EXPECT_GE(test, hv->lists + hv->sets, lists);
	KUNIT_EXPECT_LE(test, hv->lists + hv->sets,
			lists + DIV_ROUND_UP(ALL, per_leaf) +
			DIV_ROUND_UP(ALL, TCE_TABLE_SCAN));
	KUNIT_EXPECT_EQ(test, hv->listed + hv->sets, ALL);
	for (i = 0; i < ALL; i++)
		if (hv->tce[i] != run_tce(shape, i)) {
			KUNIT_FAIL(test, "entry %lu", i);
			break;
		}
	expect_backing(hv);

	KUNIT_EXPECT_EQ(test, ALL, table_clear(test, hv->table, 0, shape->entries));
	KUNIT_EXPECT_LE(test, hv->clears,
			DIV_ROUND_UP(ALL, min(per_leaf, TCE_TABLE_SCAN)) + 1);
	KUNIT_EXPECT_EQ(test, hv->cleared, ALL);
	expect_backing(hv);
	table_gone(test, hv->table);
}

/* Extents of one entry make a list as well. */
static void lists_of_extents(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);
	struct tce_entry new[TCE_BATCH];
	struct tce_batch batch;
	struct tce_range range;

	fill(shape, hv->index, new, TCE_BATCH);
	KUNIT_ASSERT_EQ(test, TCE_BATCH,
			batch_fill(&batch, shape->page_shift, new, TCE_BATCH));
	KUNIT_ASSERT_EQ(test, batch.count, TCE_BATCH);
	table_prepare(test, hv->table, &range, hv->index, TCE_BATCH,
		      TCE_OWNER_EACH);
	KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range, &batch, 0));
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, hv->lists, 1);
	KUNIT_EXPECT_EQ(test, hv->listed, TCE_BATCH);
	KUNIT_EXPECT_EQ(test, hv->sets, 0);
	expect_backing(hv);

	table_gone(test, hv->table);
}

/* Where nothing may be allocated there is no list. */
static void no_list_without_memory(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);
	struct tce_batch batch = run_of(shape, RANGE);
	struct tce_range range = {
		.index = hv->index, .end = hv->index + RANGE,
	};

	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(hv->table, &range, ua_of(1),
						   GFP_NOWAIT));
	KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range, &batch, 0));
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, hv->lists, 0);
	KUNIT_EXPECT_EQ(test, hv->sets, RANGE);
	expect_backing(hv);

	table_gone(test, hv->table);
}

/* Sets each entry of the range that is a multiple of @every. */
static void set_every(struct hypervisor *hv, const struct shape *shape,
		      unsigned long every)
{
	unsigned long index;

	for (index = hv->index; index < hv->index + RANGE; index++)
		if (every && index % every == 0)
			expect_exchange(hv->test, hv->table, index,
					hpa_of(shape, index) | READ_WRITE,
					ua_of(index), true, 0, 0);
}

/* Lists end before what is replaced, which goes alone. */
static void lists_around_what_is_there(struct kunit *test)
{
	static const u8 every[] = { 1, 2, 3, 8, 20 };
	const struct shape *shape = shape_of(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(every); i++) {
		struct hypervisor *hv = hypervisor_of(test, i & 1);
		struct tce_batch batch = run_of(shape, RANGE);
		struct tce_range range;
		unsigned long alone;

		set_every(hv, shape, every[i]);
		hypervisor_forget(hv);
		table_prepare(test, hv->table, &range, hv->index, RANGE,
			      ua_of(1));
		KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range, &batch,
						    every[i]));
		KUNIT_EXPECT_EQ(test, range.index, range.end);
		tce_table_finish(&range);
		alone = DIV_ROUND_UP(hv->index + RANGE, every[i]) -
			DIV_ROUND_UP(hv->index, every[i]);
		KUNIT_EXPECT_GE(test, hv->sets, alone);
		KUNIT_EXPECT_EQ(test, hv->sets + hv->listed, RANGE);
		if (every[i] > 2)
			KUNIT_EXPECT_GT(test, hv->lists, 0);
		expect_backing(hv);
		table_gone(test, hv->table);
	}
}

/* Up to exactly the entry that is refused, whatever was replaced before it. */
static void lists_are_refused(struct kunit *test)
{
	static const u8 every[] = { 0, 1, 2, 3, 7, REFUSED, 20 };
	static const u8 refused[] = { 0, 1, REFUSED, RANGE - 1 };
	const struct shape *shape = shape_of(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(every) * ARRAY_SIZE(refused); i++) {
		struct hypervisor *hv = hypervisor_of(test, i & 1);
		unsigned long step = every[i % ARRAY_SIZE(every)];
		unsigned long index = hv->index +
				      refused[i / ARRAY_SIZE(every)];
		struct tce_batch batch = run_of(shape, RANGE);
		unsigned long before, at;
		struct tce_range range;
		u64 owner;

		set_every(hv, shape, step);
		before = tce_table_get(hv->table, index);
		table_prepare(test, hv->table, &range, hv->index, RANGE,
			      ua_of(1));
		owner = owner_at(test, hv->table, index);
		hv->refused = index;
		KUNIT_EXPECT_EQ(test, -EPERM, store_over(hv, shape, &range,
							 &batch, step));
		KUNIT_EXPECT_EQ(test, range.index, index);
		/* As often as one likes. */
		KUNIT_EXPECT_EQ(test, -EPERM, store_over(hv, shape, &range,
							 &batch, step));
		KUNIT_EXPECT_EQ(test, range.index, index);
		for (at = hv->index; at < index; at++)
			KUNIT_EXPECT_EQ(test, tce_table_get(hv->table, at),
					run_tce(shape, at - hv->index));
		KUNIT_EXPECT_EQ(test, tce_table_get(hv->table, index), before);
		KUNIT_EXPECT_EQ(test, owner_at(test, hv->table, index), owner);
		expect_backing(hv);

		/* The rest is still in the batch, and held. */
		if (i & 2) {
			hv->refused = ULONG_MAX;
			KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range,
							    &batch, step));
			KUNIT_EXPECT_EQ(test, range.index, range.end);
			KUNIT_EXPECT_EQ(test,
					tce_table_get(hv->table, range.end - 1),
					run_tce(shape, RANGE - 1));
		}
		tce_table_finish(&range);
		expect_backing(hv);

		hv->refused = ULONG_MAX;
		table_clear(test, hv->table, 0, shape->entries);
		expect_backing(hv);
		if (shape->levels > 1)
			table_trimmed(test, hv->table);
		table_gone(test, hv->table);
	}
}

/* A list that is refused is gone through one by one, the next range is not. */
static void next_range_has_lists_again(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);
	struct tce_batch batch = run_of(shape, RANGE);
	struct tce_range range;

	hv->refused = hv->index + RANGE - 1;
	table_prepare(test, hv->table, &range, hv->index, RANGE, ua_of(1));
	KUNIT_EXPECT_EQ(test, -EPERM, store_over(hv, shape, &range, &batch, 0));
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, hv->lists, 1);
	KUNIT_EXPECT_EQ(test, hv->sets, RANGE);

	hypervisor_forget(hv);
	batch = run_of(shape, RANGE);
	table_prepare(test, hv->table, &range, hv->index + RANGE, RANGE, ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range, &batch, 0));
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, hv->lists, 1);
	KUNIT_EXPECT_EQ(test, hv->sets, 0);
	expect_backing(hv);

	table_gone(test, hv->table);
}

/* Clearing */

/* Clears everything; what comes out is what is set, without the one that is refused. */
static void clear_all_but(struct hypervisor *hv, const struct shape *shape,
			  unsigned long start, unsigned long end,
			  unsigned long every)
{
	struct tce_cursor cursor = {
		.table = hv->table, .index = start, .end = end,
	};
	unsigned long next = max(start, hv->index);
	struct tce_batch old;
	struct found found;

	end = min(end, hv->index + RANGE);
	while (table_clear_next(hv->test, &cursor, &old)) {
		while (batch_take(&old, shape->page_shift, &found)) {
			while (next % every || next == hv->refused)
				next++;
			KUNIT_ASSERT_EQ(hv->test, found.index, next);
			KUNIT_EXPECT_EQ(hv->test, found.tce,
					hpa_of(shape, next) | READ_WRITE);
			KUNIT_EXPECT_EQ(hv->test, found.owner, ua_of(next));
			next++;
		}
	}
	while (next < end && (next % every || next == hv->refused))
		next++;
	KUNIT_EXPECT_GE(hv->test, next, end);
	KUNIT_EXPECT_GE(hv->test, cursor.index, cursor.end);
}

static void clears_are_refused(struct kunit *test)
{
	static const u8 every[] = { 1, 2, 3, 13 };
	static const u8 refused[] = { 0, 1, REFUSED, RANGE - 1 };
	const struct shape *shape = shape_of(test);
	unsigned int i;

	for (i = 0; i < 2 * ARRAY_SIZE(every) * ARRAY_SIZE(refused); i++) {
		struct hypervisor *hv = hypervisor_of(test, i & 1);
		unsigned long step = every[i % ARRAY_SIZE(every)];
		unsigned long index = hv->index + refused[i / ARRAY_SIZE(every) %
							  ARRAY_SIZE(refused)];
		bool there = index % step == 0;
		unsigned int calls;

		set_every(hv, shape, step);
		hv->refused = index;
		hv->partly = i >= ARRAY_SIZE(every) * ARRAY_SIZE(refused);
		clear_all_but(hv, shape, 0, shape->entries, step);
		KUNIT_EXPECT_EQ(test, !tce_table_get(hv->table, index), !there);
		if (there) {
			KUNIT_EXPECT_EQ(test, owner_at(test, hv->table, index),
					ua_of(index));
			/* It keeps the leaf, and no call goes on for ever. */
			table_trim(test, hv->table);
			calls = hv->clears;
			clear_all_but(hv, shape, index, index + 1, step);
			KUNIT_EXPECT_LE(test, hv->clears, calls + 2);
		}
		expect_backing(hv);

		hv->refused = ULONG_MAX;
		hv->clears = 0;
		KUNIT_EXPECT_EQ(test, table_clear(test, hv->table, 0,
						  shape->entries), there);
		KUNIT_EXPECT_EQ(test, hv->clears, there);
		expect_backing(hv);
		if (shape->levels > 1)
			table_trimmed(test, hv->table);
		table_gone(test, hv->table);
	}
}

/* Holes between extents are cleared with them; a full batch ends a call. */
static void clears_are_few(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);

	set_every(hv, shape, 2);
	clear_all_but(hv, shape, 0, shape->entries, 2);
	KUNIT_EXPECT_EQ(test, hv->clears, 1);
	KUNIT_EXPECT_GE(test, hv->cleared, RANGE - 1);

	hypervisor_forget(hv);
	set_every(hv, shape, 1);
	clear_all_but(hv, shape, 0, shape->entries, 1);
	KUNIT_EXPECT_EQ(test, hv->clears, DIV_ROUND_UP(RANGE, TCE_BATCH));
	KUNIT_EXPECT_EQ(test, hv->cleared, RANGE);
	expect_backing(hv);

	table_gone(test, hv->table);
}

static struct kunit_case tce_table_backing_cases[] = {
	KUNIT_CASE_PARAM(backing_has_every_entry, backing_gen_params),
	KUNIT_CASE_PARAM(entries_are_refused, backing_gen_params),
	KUNIT_CASE_PARAM(lists_are_filled, backing_gen_params),
	KUNIT_CASE_PARAM(lists_of_extents, backing_gen_params),
	KUNIT_CASE_PARAM(no_list_without_memory, backing_gen_params),
	KUNIT_CASE_PARAM(lists_around_what_is_there, backing_gen_params),
	KUNIT_CASE_PARAM(lists_are_refused, backing_gen_params),
	KUNIT_CASE_PARAM(next_range_has_lists_again, backing_gen_params),
	KUNIT_CASE_PARAM(clears_are_refused, backing_gen_params),
	KUNIT_CASE_PARAM(clears_are_few, backing_gen_params),
	{}
};

static struct kunit_suite tce_table_backing_suite = {
	.name = "tce_table_backing",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_backing_cases,
};

kunit_test_suite(tce_table_backing_suite);
