// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of a table with a backing, which has a copy of each entry and may
 * refuse changes.
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

/* Number of entries of the backing, and of the range that most tests change. */
#define ALL		1600
#define RANGE		40

/* Offset of an entry that is refused. */
#define REFUSED		17

/* Entries of the longest list. */
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
 * @index: index of its first entry
 * @tce: its entries
 * @refused: index of the entry that it refuses to change, or ULONG_MAX
 * @partly: a clear that is refused takes effect up to @refused
 * @sets: number of calls that set one entry
 * @lists: number of calls that set several entries
 * @listed: number of entries of these
 * @clears: number of calls that clear entries
 * @cleared: number of entries of these
 * @invalid: number of requests that the table must not make
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
	unsigned int invalid;
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
	hv->invalid++;

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
		/* A list must not replace entries. */
		hv->invalid += count > 1 && hv->tce[index - hv->index + i];
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

static void hypervisor_reset_counts(struct hypervisor *hv)
{
	hv->sets = 0;
	hv->lists = 0;
	hv->listed = 0;
	hv->clears = 0;
	hv->cleared = 0;
}

/*
 * Creates a table with a backing. The backing begins at a leaf that is not the
 * first, or if @across, RANGE / 2 entries before it. In a table of one level it
 * begins at entry 100.
 */
static struct hypervisor *hypervisor_with(struct kunit *test, bool across,
					  bool lists)
{
	struct hypervisor *hv = kunit_kzalloc(test, sizeof(*hv), GFP_KERNEL);
	const struct shape *shape = shape_of(test);
	struct backing backing = {
		.set = hypervisor_set, .clear = hypervisor_clear,
		.lists = lists, .data = hv,
	};

	KUNIT_ASSERT_NOT_NULL(test, hv);
	hv->test = test;
	hv->refused = ULONG_MAX;
	hv->index = shape->levels == 1 ? 100 : 5 * span_of(shape, 1) -
		    (across ? RANGE / 2 : 0);
	hv->table = table_backed(test, shape, &backing);

	return hv;
}

static struct hypervisor *hypervisor_of(struct kunit *test, bool across)
{
	return hypervisor_with(test, across, true);
}

static void expect_backing(struct hypervisor *hv)
{
	unsigned int i, used = 0;

	KUNIT_EXPECT_EQ(hv->test, hv->invalid, 0);
	for (i = 0; i < ALL; i++) {
		u64 tce = tce_table_get(hv->table, hv->index + i);

		used += !!tce;
		if (tce == hv->tce[i])
			continue;
		KUNIT_FAIL(hv->test, "entry %u: %#llx, backing %#llx", i, tce,
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

/* Contiguous memory of one owner. */
static struct tce_batch contiguous_batch(const struct shape *shape,
					 unsigned long count)
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

static u64 contiguous_tce(const struct shape *shape, unsigned long i)
{
	return (BIT_ULL(45) | READ_WRITE) + (i << shape->page_shift);
}

/*
 * Stores the rest of a batch, up to the first error. Expects that it replaces
 * the entries of set_multiples(), whose index is a multiple of @every, and no
 * others. Returns the last result of tce_table_store().
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
		/* The call in which a list is refused makes no progress. */
		idle += !ret && range->index == index;
		KUNIT_ASSERT_LE(hv->test, idle, 1);
		batch_count(hv->test, hv->table, &old);
		if (ret || range->index == index)
			KUNIT_EXPECT_EQ(hv->test, old.count, 0);

		for (next = index; next < range->index; next++) {
			if (!every || next % every)
				continue;
			KUNIT_ASSERT_TRUE(hv->test,
					  batch_take(&old, shape->page_shift,
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

/* Single entries and their owners */

static void backing_mirrors_entries(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, true);
	const struct shape *shape = shape_of(test);
	struct tce_table *table = hv->table;
	unsigned long index = hv->index;
	struct tce_entry new[8];
	struct tce_batch batch, old;
	struct tce_range range;

	/* Unlike the hardware, a backing may grant write permission alone. */
	table_set(test, table, index, hpa_of(shape, 1) | WRITE_ONLY);
	KUNIT_EXPECT_EQ(test, hv->tce[0], hpa_of(shape, 1) | WRITE_ONLY);
	KUNIT_EXPECT_EQ(test, tce_table_get(table, index), hv->tce[0]);
	expect_backing(hv);

	fill(shape, index, new, 8);
	new[1].tce &= ~READ_ONLY;
	batch_fill(&batch, shape->page_shift, new, 8);
	table_prepare(test, table, &range, index, 8, TCE_OWNER_EACH);
	/* An entry that replaces another one is set by a call of its own. */
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

	/* One call for a leaf, from the first entry that is set to the last. */
	hypervisor_reset_counts(hv);
	KUNIT_EXPECT_EQ(test, 6, table_clear(test, table, 0, shape->entries));
	KUNIT_EXPECT_EQ(test, hv->clears, 1);
	KUNIT_EXPECT_EQ(test, hv->cleared, 8);
	/* No call where no entry is set. */
	table_set(test, table, index, 0);
	KUNIT_EXPECT_EQ(test, 0, table_clear(test, table, 0, shape->entries));
	KUNIT_EXPECT_EQ(test, hv->clears, 1);
	expect_backing(hv);

	table_destroy(test, table);
}

static void backing_refuses_exchange(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);
	struct tce_table *table = hv->table;
	unsigned long refused = hv->index + REFUSED;
	u64 tce = hpa_of(shape, 7) | READ_ONLY;
	u64 old = hpa_of(shape, 8) | READ_ONLY;
	struct tce_range range;

	hv->refused = refused;
	expect_exchange_error(test, table, refused, tce, ua_of(7), true,
			      -EPERM);
	expect_figures(test, table, 0);
	KUNIT_ASSERT_EQ(test, 0,
			table_hold(table, &range, refused, GFP_NOWAIT));
	expect_exchange_error(test, table, refused, tce, ua_of(7), false,
			      -EPERM);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, refused), 0);
	tce_table_finish(&range);
	expect_backing(hv);
	/* An entry that was refused does not keep the leaf in use. */
	if (shape->levels > 1)
		table_trim_all(test, table);

	/* If a replacement is refused, the old entry stays, with its owner. */
	hv->refused = ULONG_MAX;
	expect_exchange(test, table, refused, old, ua_of(3), true, 0, 0);
	hv->refused = refused;
	expect_exchange_error(test, table, refused, tce, ua_of(3), false,
			      -EPERM);
	expect_exchange_error(test, table, refused, tce, ua_of(4), true,
			      -EPERM);
	expect_exchange_error(test, table, refused, 0, 0, false, -EPERM);
	KUNIT_EXPECT_EQ(test, owner_at(test, table, refused), ua_of(3));
	expect_backing(hv);
	KUNIT_EXPECT_EQ(test, 0, table_trim(test, table));

	hv->refused = ULONG_MAX;
	expect_exchange(test, table, refused, 0, 0, false, old, ua_of(3));
	expect_backing(hv);
	table_destroy(test, table);
}

/* Lists */

static void lists_are_as_long_as_possible(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);
	unsigned long per_leaf = span_of(shape, 1), i, lists = 0;
	struct tce_batch batch = contiguous_batch(shape, ALL);
	struct tce_range range;

	table_prepare(test, hv->table, &range, hv->index, ALL, ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range, &batch, 0));
	KUNIT_EXPECT_EQ(test, range.index, range.end);
	tce_table_finish(&range);

	/*
	 * A list ends with the leaf, after LIST entries, or at TCE_TABLE_SCAN.
	 */
	for (i = 0; i < ALL; i += LIST)
		lists++;
	KUNIT_EXPECT_GE(test, hv->lists + hv->sets, lists);
	KUNIT_EXPECT_LE(test, hv->lists + hv->sets,
			lists + DIV_ROUND_UP(ALL, per_leaf) +
			DIV_ROUND_UP(ALL, TCE_TABLE_SCAN));
	KUNIT_EXPECT_EQ(test, hv->listed + hv->sets, ALL);
	for (i = 0; i < ALL; i++)
		if (hv->tce[i] != contiguous_tce(shape, i)) {
			KUNIT_FAIL(test, "entry %lu", i);
			break;
		}
	expect_backing(hv);

	KUNIT_EXPECT_EQ(test, ALL,
			table_clear(test, hv->table, 0, shape->entries));
	KUNIT_EXPECT_LE(test, hv->clears,
			DIV_ROUND_UP(ALL, min(per_leaf, TCE_TABLE_SCAN)) + 1);
	KUNIT_EXPECT_EQ(test, hv->cleared, ALL);
	expect_backing(hv);
	table_destroy(test, hv->table);
}

/* Extents of one entry each form a list, too. */
static void single_extents_form_one_list(struct kunit *test)
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

	table_destroy(test, hv->table);
}

/* Stores a prepared range, whose entries are set one by one. */
static void expect_no_list(struct hypervisor *hv, const struct shape *shape,
			   struct tce_range *range)
{
	struct tce_batch batch = contiguous_batch(shape, RANGE);

	KUNIT_EXPECT_EQ(hv->test, 0, store_over(hv, shape, range, &batch, 0));
	KUNIT_EXPECT_EQ(hv->test, range->index, range->end);
	tce_table_finish(range);
	KUNIT_EXPECT_EQ(hv->test, hv->lists, 0);
	KUNIT_EXPECT_EQ(hv->test, hv->sets, RANGE);
	expect_backing(hv);

	table_destroy(hv->test, hv->table);
}

/* A list needs a buffer, which is not allocated in atomic context. */
static void no_list_in_atomic_context(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);
	struct tce_range range = {
		.index = hv->index, .end = hv->index + RANGE,
	};

	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(hv->table, &range, ua_of(1),
						   GFP_NOWAIT));
	expect_no_list(hv, shape, &range);
}

/* Some hypervisors take no lists. */
static void no_list_if_none_is_taken(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_with(test, true, false);
	const struct shape *shape = shape_of(test);
	struct tce_range range;

	table_prepare(test, hv->table, &range, hv->index, RANGE, ua_of(1));
	expect_no_list(hv, shape, &range);
}

/* Sets each entry of the range that is a multiple of @every. */
static void set_multiples(struct hypervisor *hv, const struct shape *shape,
			  unsigned long every)
{
	unsigned long index;

	for (index = hv->index; index < hv->index + RANGE; index++)
		if (every && index % every == 0)
			expect_exchange(hv->test, hv->table, index,
					hpa_of(shape, index) | READ_WRITE,
					ua_of(index), true, 0, 0);
}

/* A list ends before an entry that is set, which needs a call of its own. */
static void list_ends_before_set_entry(struct kunit *test)
{
	static const u8 every[] = { 1, 2, 3, 8, 20 };
	const struct shape *shape = shape_of(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(every); i++) {
		struct hypervisor *hv = hypervisor_of(test, i & 1);
		struct tce_batch batch = contiguous_batch(shape, RANGE);
		struct tce_range range;
		unsigned long alone;

		set_multiples(hv, shape, every[i]);
		hypervisor_reset_counts(hv);
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
		table_destroy(test, hv->table);
	}
}

/*
 * All entries before the one that is refused are set, whichever of them replace
 * others.
 */
static void backing_refuses_list(struct kunit *test)
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
		struct tce_batch batch = contiguous_batch(shape, RANGE);
		unsigned long before, at;
		struct tce_range range;
		u64 owner;

		set_multiples(hv, shape, step);
		before = tce_table_get(hv->table, index);
		table_prepare(test, hv->table, &range, hv->index, RANGE,
			      ua_of(1));
		owner = owner_at(test, hv->table, index);
		hv->refused = index;
		KUNIT_EXPECT_EQ(test, -EPERM, store_over(hv, shape, &range,
							 &batch, step));
		KUNIT_EXPECT_EQ(test, range.index, index);
		/* Again with the same result. */
		KUNIT_EXPECT_EQ(test, -EPERM, store_over(hv, shape, &range,
							 &batch, step));
		KUNIT_EXPECT_EQ(test, range.index, index);
		for (at = hv->index; at < index; at++)
			KUNIT_EXPECT_EQ(test, tce_table_get(hv->table, at),
					contiguous_tce(shape, at - hv->index));
		KUNIT_EXPECT_EQ(test, tce_table_get(hv->table, index), before);
		KUNIT_EXPECT_EQ(test, owner_at(test, hv->table, index), owner);
		expect_backing(hv);

		/* The rest is still in the batch, and its leaves are held. */
		if (i & 2) {
			hv->refused = ULONG_MAX;
			KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range,
							    &batch, step));
			KUNIT_EXPECT_EQ(test, range.index, range.end);
			KUNIT_EXPECT_EQ(test,
					tce_table_get(hv->table, range.end - 1),
					contiguous_tce(shape, RANGE - 1));
		}
		tce_table_finish(&range);
		expect_backing(hv);

		hv->refused = ULONG_MAX;
		table_clear(test, hv->table, 0, shape->entries);
		expect_backing(hv);
		if (shape->levels > 1)
			table_trim_all(test, hv->table);
		table_destroy(test, hv->table);
	}
}

/*
 * Replaces entries by a batch, up to the first error. Before, all entries of
 * the range were set, of contiguous memory or by set_multiples(). Returns the
 * number of calls of tce_table_store() that have set entries.
 */
static unsigned int replace_range(struct hypervisor *hv,
				  const struct shape *shape,
				  struct tce_range *range,
				  struct tce_batch *new, bool contiguous)
{
	unsigned int calls = 0;
	struct tce_batch old;
	struct found found;
	int ret = 0;
	u64 tce;

	while (!ret && new->first < new->count) {
		unsigned long next = range->index;

		ret = tce_table_store(range, new, &old);
		batch_count(hv->test, hv->table, &old);
		calls += range->index > next;
		for (; next < range->index; next++) {
			KUNIT_ASSERT_TRUE(hv->test,
					  batch_take(&old, shape->page_shift,
						     &found));
			KUNIT_EXPECT_EQ(hv->test, found.index, next);
			tce = contiguous ?
			      contiguous_tce(shape, next - hv->index) :
			      hpa_of(shape, next) | READ_WRITE;
			KUNIT_EXPECT_EQ(hv->test, found.tce, tce);
			KUNIT_EXPECT_EQ(hv->test, found.owner,
					ua_of(contiguous ? 1 : next));
		}
		KUNIT_EXPECT_FALSE(hv->test, batch_take(&old, shape->page_shift,
							&found));
	}

	return calls;
}

/*
 * The backing refuses an entry inside an extent that is replaced: only what
 * comes before it was replaced. Up to 16 entries are replaced in one call.
 */
static void backing_refuses_inside_extent(struct kunit *test)
{
	static const u8 refused[] = {
		0, 1, 3, 15, 16, REFUSED, RANGE - 1, 255
	};
	const struct shape *shape = shape_of(test);
	unsigned int i;

	for (i = 0; i < 4 * ARRAY_SIZE(refused); i++) {
		unsigned int count = i & 1 ? RANGE : 4;
		struct hypervisor *hv = hypervisor_of(test, i & 2);
		struct tce_batch batch = contiguous_batch(shape, RANGE);
		unsigned int end = min(count, refused[i / 4]), calls, at;
		bool contiguous = i & 2;
		struct tce_range range;

		if (contiguous) {
			table_prepare(test, hv->table, &range, hv->index, RANGE,
				      ua_of(1));
			KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range,
							    &batch, 0));
			tce_table_finish(&range);
		} else {
			set_multiples(hv, shape, 1);
		}

		batch = contiguous_batch(shape, count);
		batch.extent[0].tce += BIT_ULL(44);
		hv->refused = end < count ? hv->index + end : ULONG_MAX;
		table_prepare(test, hv->table, &range, hv->index, count,
			      ua_of(1));
		calls = replace_range(hv, shape, &range, &batch, contiguous);
		KUNIT_EXPECT_EQ(test, range.index, hv->index + end);
		/* One more where a leaf ends. */
		KUNIT_EXPECT_LE(test, calls, DIV_ROUND_UP(end, 16) + 1);
		tce_table_finish(&range);
		for (at = 0; at < end; at++)
			KUNIT_EXPECT_EQ(test, hv->tce[at],
					contiguous_tce(shape, at) +
					BIT_ULL(44));
		expect_backing(hv);
		table_destroy(test, hv->table);
	}
}

/*
 * After a refused list entries are set one by one until the end of the range.
 */
static void next_range_uses_lists_again(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);
	struct tce_batch batch = contiguous_batch(shape, RANGE);
	struct tce_range range;

	hv->refused = hv->index + RANGE - 1;
	table_prepare(test, hv->table, &range, hv->index, RANGE, ua_of(1));
	KUNIT_EXPECT_EQ(test, -EPERM, store_over(hv, shape, &range, &batch, 0));
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, hv->lists, 1);
	/* The entry that is refused ends one call, and begins the next. */
	KUNIT_EXPECT_EQ(test, hv->sets, RANGE + 1);

	hypervisor_reset_counts(hv);
	batch = contiguous_batch(shape, RANGE);
	table_prepare(test, hv->table, &range, hv->index + RANGE, RANGE,
		      ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, store_over(hv, shape, &range, &batch, 0));
	tce_table_finish(&range);
	KUNIT_EXPECT_EQ(test, hv->lists, 1);
	KUNIT_EXPECT_EQ(test, hv->sets, 0);
	expect_backing(hv);

	table_destroy(test, hv->table);
}

/* Clearing */

/*
 * Clears the range. Expects that all multiples of @every were set, and that all
 * were cleared but the one that is refused.
 */
static void expect_clear(struct hypervisor *hv, const struct shape *shape,
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

static void backing_refuses_clear(struct kunit *test)
{
	static const u8 every[] = { 1, 2, 3, 13 };
	static const u8 refused[] = { 0, 1, REFUSED, RANGE - 1 };
	const struct shape *shape = shape_of(test);
	unsigned int i;

	for (i = 0; i < 2 * ARRAY_SIZE(every) * ARRAY_SIZE(refused); i++) {
		struct hypervisor *hv = hypervisor_of(test, i & 1);
		unsigned long step = every[i % ARRAY_SIZE(every)];
		unsigned long index =
			hv->index +
			refused[i / ARRAY_SIZE(every) % ARRAY_SIZE(refused)];
		bool there = index % step == 0;
		unsigned int calls;

		set_multiples(hv, shape, step);
		hv->refused = index;
		hv->partly = i >= ARRAY_SIZE(every) * ARRAY_SIZE(refused);
		expect_clear(hv, shape, 0, shape->entries, step);
		KUNIT_EXPECT_EQ(test, !tce_table_get(hv->table, index), !there);
		if (there) {
			KUNIT_EXPECT_EQ(test, owner_at(test, hv->table, index),
					ua_of(index));
			/* It keeps the leaf in use, and a retry ends soon. */
			table_trim(test, hv->table);
			calls = hv->clears;
			expect_clear(hv, shape, index, index + 1, step);
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
			table_trim_all(test, hv->table);
		table_destroy(test, hv->table);
	}
}

/* One call clears extents and the holes between them, up to a full batch. */
static void clear_covers_holes(struct kunit *test)
{
	struct hypervisor *hv = hypervisor_of(test, false);
	const struct shape *shape = shape_of(test);

	set_multiples(hv, shape, 2);
	expect_clear(hv, shape, 0, shape->entries, 2);
	KUNIT_EXPECT_EQ(test, hv->clears, 1);
	KUNIT_EXPECT_GE(test, hv->cleared, RANGE - 1);

	hypervisor_reset_counts(hv);
	set_multiples(hv, shape, 1);
	expect_clear(hv, shape, 0, shape->entries, 1);
	KUNIT_EXPECT_EQ(test, hv->clears, DIV_ROUND_UP(RANGE, TCE_BATCH));
	KUNIT_EXPECT_EQ(test, hv->cleared, RANGE);
	expect_backing(hv);

	table_destroy(test, hv->table);
}

static struct kunit_case tce_table_backing_cases[] = {
	KUNIT_CASE_PARAM(backing_mirrors_entries, backing_gen_params),
	KUNIT_CASE_PARAM(backing_refuses_exchange, backing_gen_params),
	KUNIT_CASE_PARAM(lists_are_as_long_as_possible, backing_gen_params),
	KUNIT_CASE_PARAM(single_extents_form_one_list, backing_gen_params),
	KUNIT_CASE_PARAM(no_list_in_atomic_context, backing_gen_params),
	KUNIT_CASE_PARAM(no_list_if_none_is_taken, backing_gen_params),
	KUNIT_CASE_PARAM(list_ends_before_set_entry, backing_gen_params),
	KUNIT_CASE_PARAM(backing_refuses_list, backing_gen_params),
	KUNIT_CASE_PARAM(backing_refuses_inside_extent, backing_gen_params),
	KUNIT_CASE_PARAM(next_range_uses_lists_again, backing_gen_params),
	KUNIT_CASE_PARAM(backing_refuses_clear, backing_gen_params),
	KUNIT_CASE_PARAM(clear_covers_holes, backing_gen_params),
	{}
};

static struct kunit_suite tce_table_backing_suite = {
	.name = "tce_table_backing",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_backing_cases,
};

kunit_test_suite(tce_table_backing_suite);
