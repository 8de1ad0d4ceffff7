// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on a TCE table. The result of each is compared with a model
 * of the table, which consists of XArrays.
 */

#include <kunit/test.h>

#include <linux/bits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/xarray.h>

#include <asm/hvcall.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_table.h"

#define OPERATIONS	6000
#define CENSUS_EVERY	500
#define TRIM_EVERY	40
#define PLACES		16

/* Ranges of one entry that are prepared at the same time. */
#define HELD		4

static ulong seed = 0x244000000000;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "seed of the random operations");

/* The number of the operation, for the messages. */
static unsigned int operation;

static const struct shape oracle_shapes[] = {
	{ .page_shift = 12, .levels = 5, .entries = BIT(42) },
	{ .page_shift = 12, .levels = 3, .entries = 0x12345678 },
	{ .page_shift = 16, .levels = 3, .entries = 0x264000000000 >> 16 },
	{ .page_shift = 16, .levels = 2, .entries = BIT(26) },
	{ .page_shift = 16, .levels = 1, .entries = 5000 },
	{ .page_shift = 21, .levels = 4, .entries = BIT(33) },
	{ .page_shift = 30, .levels = 3, .entries = BIT(24) },
};

KUNIT_ARRAY_PARAM(oracle, oracle_shapes, shape_describe);

/* Shapes that tce_geometry_init_backed() chooses. */
static const struct shape backed_shapes[] = {
	{ .page_shift = 16, .levels = 2, .entries = BIT(15) },
	{ .page_shift = 12, .levels = 4, .entries = BIT(36) },
};

KUNIT_ARRAY_PARAM(backed, backed_shapes, shape_describe);

/**
 * struct oracle - a table and its expected state
 * @test: the test
 * @shape: requested shape of the table
 * @table: the table
 * @tces: entries that are set, by index
 * @owners: their owners, by index
 * @backing: entries of the backing, if there is one, by index
 * @leaves: leaves that are present, by number
 * @views: leaves that have a view, by number
 * @leaf_owners: the owner that a leaf has for all entries, by number
 * @backed: whether there is a backing
 * @used: number of entries that are set
 * @random: state of the random numbers
 * @place: indices near which the operations are
 * @holds: whether @prepared is prepared
 * @prepared: a range of several entries
 * @owner: owner that @prepared is for, or TCE_OWNER_EACH
 * @held: ranges of one entry, which may be prepared
 * @new: entries to set
 * @old: entries that were set before
 */
struct oracle {
	struct kunit *test;
	const struct shape *shape;
	struct tce_table *table;
	struct xarray tces;
	struct xarray owners;
	struct xarray backing;
	struct xarray leaves;
	struct xarray views;
	struct xarray leaf_owners;
	bool backed;
	unsigned long used;
	struct rnd_state random;
	unsigned long place[PLACES];
	bool holds;
	struct tce_range prepared;
	u64 owner;
	struct oracle_hold {
		unsigned long index;
		struct tce_range range;
		bool held;
	} held[HELD];
	struct tce_batch new;
	struct tce_batch old;
};

#define ORACLE_EQ(oracle, left, right)					\
	KUNIT_ASSERT_EQ_MSG((oracle)->test, left, right,		\
			    "operation %u, seed=%#lx", operation, seed)

/* Values */

static u64 random_u64(struct oracle *oracle)
{
	u64 high = prandom_u32_state(&oracle->random);

	return high << 32 | prandom_u32_state(&oracle->random);
}

static unsigned long below(struct oracle *oracle, unsigned long limit)
{
	return random_u64(oracle) % limit;
}

static bool one_in(struct oracle *oracle, unsigned long n)
{
	return !below(oracle, n);
}

static unsigned long any_index(struct oracle *oracle)
{
	unsigned long index = oracle->place[below(oracle, PLACES)];

	index += below(oracle, 128);
	index -= min(index, 64UL);

	return min(index, oracle->shape->entries - 1);
}

static u64 any_address(struct oracle *oracle)
{
	return random_u64(oracle) & GENMASK_ULL(50, oracle->shape->page_shift);
}

static u64 any_owner(struct oracle *oracle)
{
	return random_u64(oracle) & GENMASK_ULL(46, 12);
}

/* One of three owners, so that neighbours often have the same. */
static u64 any_of_few_owners(struct oracle *oracle)
{
	return one_in(oracle, 3) ? TCE_OWNER_NONE :
				   BIT_ULL(20 + below(oracle, 2));
}

static unsigned int level_bits(struct oracle *oracle)
{
	return shape_level_bits(oracle->shape);
}

static unsigned long leaf_of(struct oracle *oracle, unsigned long index)
{
	return index >> level_bits(oracle);
}

/* Expected state of the table */

static u64 load(struct xarray *array, unsigned long index)
{
	void *value = xa_load(array, index);

	return value ? xa_to_value(value) : 0;
}

static void save(struct oracle *oracle, struct xarray *array,
		 unsigned long index, u64 value)
{
	void *old;

	if (load(array, index) == value)
		return;

	if (value)
		old = xa_store(array, index, xa_mk_value(value), GFP_KERNEL);
	else
		old = xa_erase(array, index);
	KUNIT_ASSERT_FALSE(oracle->test, xa_is_err(old));
}

/* Write permission implies read in hardware, but not in a backing. */
static u64 readable(struct oracle *oracle, u64 tce)
{
	return tce & WRITE_ONLY && !oracle->backed ? tce | READ_ONLY : tce;
}

/* An entry, which may have no permissions, or 0. */
static u64 any_tce(struct oracle *oracle)
{
	return one_in(oracle, 4) ? 0 : any_address(oracle) | below(oracle, 4);
}

static void save_tce(struct oracle *oracle, unsigned long index, u64 tce)
{
	oracle->used -= !!load(&oracle->tces, index);
	oracle->used += !!tce;
	save(oracle, &oracle->tces, index, tce);
}

static bool leaf_is_there(struct oracle *oracle, unsigned long index)
{
	struct hardware_window window = hardware_window(oracle->table);

	return hardware_depth(oracle->test, &window, index) ==
		oracle->shape->levels;
}

static bool anything_in_leaf(struct oracle *oracle, unsigned long leaf)
{
	unsigned long index = leaf << level_bits(oracle);
	unsigned long last = index | (BIT(level_bits(oracle)) - 1);

	return xa_find(&oracle->tces, &index, last, XA_PRESENT);
}

/* tce_table_store() puts a leaf with its last entry of the range. */
static bool leaf_is_held(struct oracle *oracle, unsigned long leaf)
{
	return oracle->holds && oracle->prepared.index < oracle->prepared.end &&
	       leaf >= leaf_of(oracle, oracle->prepared.index) &&
	       leaf <= leaf_of(oracle, oracle->prepared.end - 1);
}

static bool leaf_is_held_for_one(struct oracle *oracle, unsigned long leaf)
{
	unsigned int i;

	for (i = 0; i < HELD; i++)
		if (oracle->held[i].held &&
		    leaf_of(oracle, oracle->held[i].index) == leaf)
			return true;

	return false;
}

/* Whether a leaf needs a view for entries of @owner. */
static bool leaf_needs_view(struct oracle *oracle, unsigned long leaf,
			    u64 owner)
{
	if (load(&oracle->views, leaf))
		return false;
	if (owner == TCE_OWNER_EACH)
		return true;

	return load(&oracle->leaf_owners, leaf) != owner &&
	       (anything_in_leaf(oracle, leaf) || leaf_is_held(oracle, leaf));
}

/* Lets the leaf store entries of @owner. */
static void claim_leaf(struct oracle *oracle, unsigned long leaf, u64 owner)
{
	save(oracle, &oracle->leaves, leaf, 1);
	if (leaf_needs_view(oracle, leaf, owner))
		save(oracle, &oracle->views, leaf, 1);
	else if (!load(&oracle->views, leaf))
		save(oracle, &oracle->leaf_owners, leaf, owner);
}

static void save_entry(struct oracle *oracle, unsigned long index, u64 tce,
		       u64 owner)
{
	save_tce(oracle, index, tce);
	save(oracle, &oracle->owners, index, owner);
}

/* Operations */

static void exchange(struct oracle *oracle, unsigned long index, bool alloc)
{
	u64 tce = any_tce(oracle), old = load(&oracle->tces, index);
	u64 owner = one_in(oracle, 8) ? any_owner(oracle) :
					any_of_few_owners(oracle);
	struct tce_entry entry = { .tce = tce, .owner = owner };
	unsigned long leaf = leaf_of(oracle, index);
	bool there = leaf_is_there(oracle, index);
	int ret, want = 0;

	ORACLE_EQ(oracle, there, load(&oracle->leaves, leaf));
	if (tce && !alloc && (!there || leaf_needs_view(oracle, leaf, owner)))
		want = H_TOO_HARD;

	ret = tce_table_exchange(oracle->table, index, &entry, alloc);
	ORACLE_EQ(oracle, ret, want);
	if (ret) {
		ORACLE_EQ(oracle, entry.tce, tce);
		ORACLE_EQ(oracle, entry.owner, owner);
		return;
	}

	ORACLE_EQ(oracle, entry.tce, old);
	ORACLE_EQ(oracle, entry.owner, load(&oracle->owners, index));
	if (tce)
		claim_leaf(oracle, leaf, owner);
	save_entry(oracle, index, readable(oracle, tce), tce ? owner : 0);
	ORACLE_EQ(oracle, leaf_is_there(oracle, index), there || tce);
}

static void random_exchange(struct oracle *oracle)
{
	exchange(oracle, any_index(oracle), !one_in(oracle, 3));
}

static void random_refusal(struct oracle *oracle)
{
	unsigned long index = any_index(oracle);
	u64 tce = any_address(oracle) | READ_WRITE;
	struct tce_entry entry;

	if (one_in(oracle, 2))
		index = oracle->shape->entries + (random_u64(oracle) >> 1);
	else
		tce |= BIT(2 + below(oracle, oracle->shape->page_shift - 2));
	entry = (struct tce_entry) { .tce = tce, .owner = TCE_OWNER_NONE };

	ORACLE_EQ(oracle, -EINVAL,
		  tce_table_exchange(oracle->table, index, &entry, true));
	ORACLE_EQ(oracle, entry.tce, tce);
}

static void random_get(struct oracle *oracle)
{
	struct hardware_window window = hardware_window(oracle->table);
	unsigned long index = any_index(oracle);
	u64 offset = random_u64(oracle) & (BIT_ULL(window.page_shift) - 1);
	u64 address = ((u64)index << window.page_shift) + offset;
	u64 tce = load(&oracle->tces, index);

	ORACLE_EQ(oracle, tce_table_get(oracle->table, index), tce);
	ORACLE_EQ(oracle, hardware_dma(oracle->test, &window, address, false),
		  tce & 1 ? (tce & ~3ULL) + offset : HARDWARE_FAULT);
	ORACLE_EQ(oracle, hardware_dma(oracle->test, &window, address, true),
		  tce & 2 ? (tce & ~3ULL) + offset : HARDWARE_FAULT);
}

/* Prepares a range of one entry for any owner, or finishes one. */
static void random_hold(struct oracle *oracle)
{
	struct oracle_hold *hold = &oracle->held[below(oracle, HELD)];
	unsigned long leaf;
	bool alloc, want;

	if (hold->held) {
		tce_table_finish(&hold->range);
		hold->held = false;
		return;
	}

	hold->index = any_index(oracle);
	leaf = leaf_of(oracle, hold->index);
	alloc = one_in(oracle, 4);
	want = alloc || load(&oracle->views, leaf);
	ORACLE_EQ(oracle, want ? 0 : -ENOMEM,
		  table_hold(oracle->table, &hold->range, hold->index,
			     alloc ? GFP_NOWAIT : 0));
	if (!want)
		return;

	hold->held = true;
	save(oracle, &oracle->leaves, leaf, 1);
	save(oracle, &oracle->views, leaf, 1);
}

/* Sets an entry of a held leaf without allocating. */
static void random_held(struct oracle *oracle)
{
	struct oracle_hold *hold = &oracle->held[below(oracle, HELD)];
	unsigned long index = hold->index;

	if (!hold->held)
		return;

	ORACLE_EQ(oracle, leaf_needs_view(oracle, leaf_of(oracle, index), 42),
		  false);
	exchange(oracle, index, false);
}

static void finish(struct oracle *oracle)
{
	tce_table_finish(&oracle->prepared);
	oracle->holds = false;
}

/* Expects that no two adjacent extents could have been one. */
static void expect_extents(struct oracle *oracle)
{
	const struct tce_batch *old = &oracle->old;
	unsigned int i;

	batch_count(oracle->test, oracle->table, old);
	for (i = 1; i < old->count; i++) {
		const struct tce_extent *last = &old->extent[i - 1];
		const struct tce_extent *next = &old->extent[i];
		unsigned long leaf = leaf_of(oracle, next->index);

		/*
		 * The view may repeat the owner of the leaf, which ends an
		 * extent.
		 */
		if (next->index > last->index + last->count ||
		    next->owner != last->owner ||
		    (load(&oracle->views, leaf) &&
		     load(&oracle->leaf_owners, leaf) == next->owner))
			continue;
		ORACLE_EQ(oracle, next->tce == last->tce +
			  (last->count << oracle->shape->page_shift), false);
	}
}

/* Expects that @old has the entries that were set from @first up to @end. */
static void expect_old(struct oracle *oracle, unsigned long first,
		       unsigned long end)
{
	struct found found;
	unsigned long index;
	void *value;

	expect_extents(oracle);
	xa_for_each_range(&oracle->tces, index, value, first, end - 1) {
		ORACLE_EQ(oracle, batch_take(&oracle->old,
					     oracle->shape->page_shift, &found),
			  true);
		ORACLE_EQ(oracle, found.index, index);
		ORACLE_EQ(oracle, found.tce, xa_to_value(value));
		ORACLE_EQ(oracle, found.owner, load(&oracle->owners, index));
	}
	ORACLE_EQ(oracle, batch_take(&oracle->old, oracle->shape->page_shift,
				     &found), false);
}

/* Extents of few owners or many, with at most @most entries in all. */
static void any_batch(struct oracle *oracle, unsigned long most)
{
	unsigned int extents =
		1 + below(oracle, one_in(oracle, 4) ? TCE_BATCH : 4);
	struct tce_batch *new = &oracle->new;

	new->first = 0;
	new->count = 0;
	new->entries = 0;
	while (most && new->count < extents) {
		struct tce_extent *extent = &new->extent[new->count++];

		extent->index = random_u64(oracle);
		extent->count = one_in(oracle, 2) ?
					1 :
					1 + below(oracle, one_in(oracle, 8) ?
								  1500 :
								  40);
		extent->count = min(extent->count, most);
		extent->tce = any_address(oracle) | (1 + below(oracle, 3));
		extent->owner = oracle->owner ?:
					one_in(oracle, 2) ?
					any_owner(oracle) | 1 :
					any_of_few_owners(oracle);
		most -= extent->count;
		new->entries += extent->count;
		if (new->count > 1 && one_in(oracle, 4)) {
			/* Contiguous with the previous extent. */
			extent->tce = extent[-1].tce +
				(extent[-1].count << oracle->shape->page_shift);
			extent->owner = extent[-1].owner;
		}
	}
}

/* Calls tce_table_store() once. Returns whether the batch has more entries. */
static bool store(struct oracle *oracle)
{
	struct tce_batch before = oracle->new, *new = &oracle->new;
	unsigned int page_shift = oracle->shape->page_shift;
	unsigned long first = oracle->prepared.index, index, used = 0;
	struct found found;

	ORACLE_EQ(oracle, 0, tce_table_store(&oracle->prepared, new,
					     &oracle->old));
	ORACLE_EQ(oracle, oracle->prepared.index > first, true);
	ORACLE_EQ(oracle, leaf_of(oracle, oracle->prepared.index - 1),
		  leaf_of(oracle, first));
	expect_old(oracle, first, oracle->prepared.index);
	for (index = first; index < oracle->prepared.index; index++) {
		ORACLE_EQ(oracle, batch_take(&before, page_shift, &found),
			  true);
		save_entry(oracle, index, readable(oracle, found.tce),
			   found.owner);
	}

	/* The batch has advanced as far as the range. */
	ORACLE_EQ(oracle, new->first, before.first);
	ORACLE_EQ(oracle, new->count, before.count);
	for (used = new->first; used < new->count; used++) {
		ORACLE_EQ(oracle, new->extent[used].count,
			  before.extent[used].count);
		ORACLE_EQ(oracle, new->extent[used].tce,
			  before.extent[used].tce);
		ORACLE_EQ(oracle, new->extent[used].owner,
			  before.extent[used].owner);
	}

	return new->first < new->count;
}

static void prepare(struct oracle *oracle)
{
	unsigned long index = any_index(oracle);
	unsigned long count = 1 + below(oracle, one_in(oracle, 20) ? 2000 : 80);
	unsigned long leaf;

	count = min(count, oracle->shape->entries - index);
	oracle->owner = one_in(oracle, 4) ? TCE_OWNER_EACH :
					    any_of_few_owners(oracle);
	oracle->prepared.index = index;
	oracle->prepared.end = index + count;
	ORACLE_EQ(oracle, 0, tce_table_prepare(oracle->table, &oracle->prepared,
					       oracle->owner, GFP_KERNEL));
	oracle->new.first = 0;
	oracle->new.count = 0;

	for (leaf = leaf_of(oracle, index);
	     leaf <= leaf_of(oracle, index + count - 1); leaf++)
		claim_leaf(oracle, leaf, oracle->owner);
	oracle->holds = true;
}

/*
 * Prepares a range, stores a part of it, or finishes it. Other operations come
 * in between.
 */
static void random_store(struct oracle *oracle)
{
	struct tce_range *range = &oracle->prepared;

	if (!oracle->holds) {
		prepare(oracle);
	} else if (range->index == range->end || one_in(oracle, 10)) {
		finish(oracle);
	} else {
		/* A caller may drop the rest of a batch. */
		if (oracle->new.first == oracle->new.count || one_in(oracle, 4))
			any_batch(oracle, range->end - range->index);
		while (store(oracle) && !one_in(oracle, 3))
			;
	}
}

/* Calls tce_table_clear() once. Returns whether the range is done. */
static bool clear(struct oracle *oracle, struct tce_cursor *cursor)
{
	unsigned long leaf_size = BIT(level_bits(oracle));
	unsigned long start = cursor->index, stop, index, first, entries = 0;
	bool full;
	void *value;

	if (start >= cursor->end)
		return true;

	tce_table_clear(cursor, &oracle->old);
	ORACLE_EQ(oracle, cursor->index > start, true);
	ORACLE_EQ(oracle, cursor->single, false);
	full = oracle->old.count == TCE_BATCH;
	first = oracle->old.count ? oracle->old.extent[0].index : ULONG_MAX;

	/* All entries that the cursor has passed were cleared. */
	stop = min(cursor->index, cursor->end);
	expect_old(oracle, start, stop);
	xa_for_each_range(&oracle->tces, index, value, start, stop - 1) {
		save_entry(oracle, index, 0, 0);
		entries++;
	}
	ORACLE_EQ(oracle, oracle->old.entries, entries);

	/* Inside a leaf it stops only at the limit of the scan. */
	if (first != ULONG_MAX && !full && cursor->index < cursor->end &&
	    cursor->index % leaf_size)
		ORACLE_EQ(oracle, cursor->index,
			  max(start, first - first % leaf_size) +
			  TCE_TABLE_SCAN);

	return cursor->index >= cursor->end;
}

static void random_clear(struct oracle *oracle)
{
	unsigned long index = any_index(oracle);
	unsigned long end = one_in(oracle, 4) ? any_index(oracle) :
			    index + below(oracle, 150);
	struct tce_cursor cursor = {
		.table = oracle->table,
		.index = min(index, end),
		.end = min(max(index, end), oracle->shape->entries),
	};
	/* A large range may stay partly set. */
	unsigned int calls = 1 + below(oracle, 4);

	if (one_in(oracle, 50)) {
		cursor.index = 0;
		cursor.end = oracle->shape->entries;
		calls = UINT_MAX;
	}

	while (calls--)
		if (clear(oracle, &cursor))
			break;
}

static unsigned long levels_of(struct oracle *oracle)
{
	struct tce_table_stats stats;

	tce_table_stats(oracle->table, &stats);

	return stats.hw_bytes / (8UL << level_bits(oracle));
}

/* Leaves that have no entries and are not held are trimmed, and no others. */
static void random_trim(struct oracle *oracle)
{
	unsigned long before = levels_of(oracle);
	unsigned long leaf, gone;
	void *value;

	gone = table_trim(oracle->test, oracle->table);
	ORACLE_EQ(oracle, before - levels_of(oracle), gone);
	if (oracle->shape->levels == 1)
		return;

	xa_for_each(&oracle->leaves, leaf, value) {
		if (anything_in_leaf(oracle, leaf) ||
		    leaf_is_held(oracle, leaf) ||
		    leaf_is_held_for_one(oracle, leaf))
			continue;
		save(oracle, &oracle->leaves, leaf, 0);
		save(oracle, &oracle->views, leaf, 0);
		save(oracle, &oracle->leaf_owners, leaf, 0);
	}
}

/* Complete comparison */

static void expect_tce(struct kunit *test, unsigned long index, u64 tce,
		       void *data)
{
	struct oracle *oracle = data;

	ORACLE_EQ(oracle, tce, load(&oracle->tces, index));
}

static int oracle_back(struct oracle *oracle, unsigned long index, u64 tce)
{
	void *value = tce ? xa_mk_value(tce) : NULL;

	return xa_err(xa_store(&oracle->backing, index, value, GFP_ATOMIC));
}

static int oracle_back_set(void *data, unsigned long index, const __be64 *tces,
			   unsigned long count)
{
	int ret = 0;

	while (!ret && count--)
		ret = oracle_back(data, index++, be64_to_cpu(*tces++));

	return ret;
}

static int oracle_back_clear(void *data, unsigned long index,
			     unsigned long count)
{
	int ret = 0;

	while (!ret && count--)
		ret = oracle_back(data, index++, 0);

	return ret;
}

static void expect_backing(struct oracle *oracle)
{
	unsigned long index, entries = 0;
	void *value;

	xa_for_each(&oracle->backing, index, value) {
		ORACLE_EQ(oracle, xa_to_value(value),
			  load(&oracle->tces, index));
		entries++;
	}
	ORACLE_EQ(oracle, entries, oracle->used);
}

static void expect_everything(struct oracle *oracle)
{
	struct kunit *test = oracle->test;
	struct hardware_census census;
	unsigned long index, without_perm = 0, views = 0;
	unsigned int depth;
	void *value;

	xa_for_each(&oracle->tces, index, value)
		without_perm += !(xa_to_value(value) & 3);
	xa_for_each(&oracle->views, index, value)
		views++;

	hardware_census(test, oracle->table, &census, expect_tce, oracle);
	ORACLE_EQ(oracle, census.entries, oracle->used - without_perm);
	ORACLE_EQ(oracle, census.leaf_views, views);
	expect_figures_with(test, oracle->table, oracle->used, without_perm);
	if (oracle->backed)
		expect_backing(oracle);

	/* Upper levels exist only above the leaves. */
	for (depth = 0; depth < oracle->shape->levels; depth++) {
		unsigned int bits = level_bits(oracle) *
				    (oracle->shape->levels - 1 - depth);
		unsigned long leaf, levels = 0, before = ULONG_MAX;

		xa_for_each(&oracle->leaves, leaf, value) {
			levels += leaf >> bits != before;
			before = leaf >> bits;
		}
		ORACLE_EQ(oracle, census.levels[depth], max(levels, !depth));
	}
}

static void run_operations(struct kunit *test, bool backed)
{
	const struct shape *shape = shape_of(test);
	struct tce_cursor all = { .end = shape->entries };
	struct backing backing = {
		.set = oracle_back_set, .lists = true,
		.clear = oracle_back_clear,
	};
	struct oracle *oracle;
	unsigned int i;

	oracle = kunit_kzalloc(test, sizeof(*oracle), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, oracle);
	oracle->test = test;
	oracle->shape = shape;
	xa_init(&oracle->tces);
	xa_init(&oracle->owners);
	xa_init(&oracle->backing);
	xa_init(&oracle->leaves);
	xa_init(&oracle->views);
	xa_init(&oracle->leaf_owners);
	if (shape->levels == 1)
		save(oracle, &oracle->leaves, 0, 1);
	oracle->backed = backed;
	backing.data = oracle;
	oracle->table = backed ? table_backed(test, shape, &backing) :
				 table_of(test, shape);
	prandom_seed_state(&oracle->random, seed + shape->entries);
	oracle->place[1] = shape->entries - 1;
	for (i = 2; i < PLACES; i++)
		oracle->place[i] = below(oracle, shape->entries) &
			~(BIT(below(oracle, shape->levels) *
			      level_bits(oracle)) - 1);

	for (operation = 0; operation < OPERATIONS; operation++) {
		switch (below(oracle, 16)) {
		case 0 ... 4:
			random_exchange(oracle);
			break;
		case 5:
			random_refusal(oracle);
			break;
		case 6 ... 7:
			random_get(oracle);
			break;
		case 8:
			random_held(oracle);
			break;
		case 9:
			random_hold(oracle);
			break;
		case 10 ... 12:
			random_store(oracle);
			break;
		default:
			random_clear(oracle);
		}
		if (one_in(oracle, TRIM_EVERY))
			random_trim(oracle);
		if (operation % CENSUS_EVERY == 0)
			expect_everything(oracle);
	}
	if (oracle->holds)
		finish(oracle);
	for (i = 0; i < HELD; i++) {
		if (oracle->held[i].held)
			tce_table_finish(&oracle->held[i].range);
		oracle->held[i].held = false;
	}
	expect_everything(oracle);

	all.table = oracle->table;
	while (!clear(oracle, &all))
		;
	ORACLE_EQ(oracle, oracle->used, 0);
	expect_everything(oracle);
	random_trim(oracle);
	expect_everything(oracle);
	table_destroy(test, oracle->table);

	xa_destroy(&oracle->tces);
	xa_destroy(&oracle->owners);
	xa_destroy(&oracle->backing);
	xa_destroy(&oracle->leaves);
	xa_destroy(&oracle->views);
	xa_destroy(&oracle->leaf_owners);
}

static void random_operations(struct kunit *test)
{
	run_operations(test, false);
}

static void random_operations_with_backing(struct kunit *test)
{
	run_operations(test, true);
}

static struct kunit_case tce_table_oracle_cases[] = {
	KUNIT_CASE_PARAM(random_operations, oracle_gen_params),
	KUNIT_CASE_PARAM(random_operations_with_backing, backed_gen_params),
	{}
};

static struct kunit_suite tce_table_oracle_suite = {
	.name = "tce_table_oracle",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_oracle_cases,
};

kunit_test_suite(tce_table_oracle_suite);
