// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helpers of the tests of the TCE table: table shapes, and a page allocator
 * that counts its allocations and fails on request.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <kunit/test-bug.h>

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/debug_locks.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <linux/xarray.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_table_private.h"

/* Long enough for another CPU to arrive. If none does the test continues. */
#define MEETING_SPINS	20000

/*
 * Limit of the random delay afterwards, which varies the order of the threads.
 */
#define PARTING_SPINS	1024

const struct shape multilevel_shapes[] = {
	{ .page_shift = 12, .levels = 5, .entries = BIT(42) },
	{ .page_shift = 12, .levels = 3, .entries = 0x12345678 },
	{ .page_shift = 12, .levels = 3, .entries = BIT(39) },
	{ .page_shift = 16, .levels = 3, .entries = 0x264000000000 >> 16 },
	{ .page_shift = 16, .levels = 2, .entries = BIT(26) },
	{ .page_shift = 21, .levels = 4, .entries = BIT(33) },
	{ .page_shift = 30, .levels = 3, .entries = BIT(24) },
};

static struct fixture *fixture_of(struct kunit *test)
{
	return test->priv;
}

/*
 * Holds threads that allocate a level at about the same time until all of them
 * have their pages, so that they race to link it.
 */
static void fixture_meet(struct fixture *fixture)
{
	int come, all, spins;

	if (!fixture->meet)
		return;

	come = atomic_inc_return(&fixture->met);
	all = roundup(come, fixture->meet);
	for (spins = 0; atomic_read(&fixture->met) < all; spins++) {
		if (spins == MEETING_SPINS) {
			/* The next thread must not count on this one. */
			atomic_dec(&fixture->met);
			return;
		}
	}

	for (spins = hash_32(come, ilog2(PARTING_SPINS)); spins; spins--)
		barrier();
}

static bool fixture_gfp_is_bad(const struct fixture *fixture, gfp_t gfp)
{
	if (!(gfp & __GFP_ACCOUNT))
		return true;

	/*
	 * Without __GFP_RETRY_MAYFAIL the allocation may invoke the OOM killer.
	 */
	return gfpflags_allow_blocking(gfp) &&
	       !(fixture->may_wait && gfp & __GFP_RETRY_MAYFAIL);
}

static struct page *fixture_pages_alloc(int nid, gfp_t gfp, unsigned int order)
{
	struct kunit *test = kunit_get_current_test();
	struct fixture *fixture = fixture_of(test);
	struct page *page;

	if (fixture_gfp_is_bad(fixture, gfp))
		atomic_long_inc(&fixture->bad_gfp);

	if (!atomic_long_dec_return(&fixture->until_failure)) {
		atomic_long_inc(&fixture->failed);
		return NULL;
	}

	if (fixture->alloc_hook) {
		void (*alloc_hook)(struct kunit *test, void *data) =
			fixture->alloc_hook;

		fixture->alloc_hook = NULL;
		alloc_hook(test, fixture->data);
	}

	page = alloc_pages_node(nid, gfp, order);
	if (page) {
		atomic_long_inc(&fixture->allocated);
		atomic_long_add(PAGE_SIZE << order, &fixture->bytes);
	}
	fixture_meet(fixture);

	return page;
}

static void fixture_pages_free(struct page *page, unsigned int order)
{
	struct fixture *fixture = fixture_of(kunit_get_current_test());

	atomic_long_inc(&fixture->freed);
	atomic_long_sub(PAGE_SIZE << order, &fixture->bytes);
	__free_pages(page, order);
}

int fixture_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct fixture), GFP_KERNEL);
	if (!test->priv)
		return -ENOMEM;

	/* Some tests wait for thousands of grace periods. */
	rcu_expedite_gp();
	kunit_activate_static_stub(test, tce_level_alloc_pages,
				   fixture_pages_alloc);
	kunit_activate_static_stub(test, tce_level_free_pages,
				   fixture_pages_free);

	return 0;
}

void fixture_exit(struct kunit *test)
{
	struct fixture *fixture = fixture_of(test);

	if (!fixture)
		return;

	rcu_unexpedite_gp();
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 0);
	KUNIT_EXPECT_EQ(test, fixture_bytes(test), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&fixture->bad_gfp), 0);

	/* Lockdep turns itself off when it reports a problem. */
	if (IS_ENABLED(CONFIG_PROVE_LOCKING))
		KUNIT_EXPECT_TRUE(test, debug_locks);
}

long fixture_blocks(struct kunit *test)
{
	struct fixture *fixture = fixture_of(test);

	return atomic_long_read(&fixture->allocated) -
		atomic_long_read(&fixture->freed);
}

long fixture_bytes(struct kunit *test)
{
	return atomic_long_read(&fixture_of(test)->bytes);
}

void fixture_let_wait(struct kunit *test, bool may_wait)
{
	fixture_of(test)->may_wait = may_wait;
}

void fixture_fail_alloc(struct kunit *test, long nth)
{
	struct fixture *fixture = fixture_of(test);

	atomic_long_set(&fixture->failed, 0);
	atomic_long_set(&fixture->until_failure, nth);
}

bool fixture_alloc_failed(struct kunit *test)
{
	return atomic_long_read(&fixture_of(test)->failed);
}

void shape_describe(const struct shape *shape, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE,
		 "pages of %#llx, %u levels, %#lx entries",
		 BIT_ULL(shape->page_shift), shape->levels, shape->entries);
}

static unsigned int shape_bits_of(const struct shape *shape,
				  unsigned int levels)
{
	unsigned int bits = 9;

	while (BIT(bits * levels) < shape->entries)
		bits++;

	return bits;
}

unsigned int shape_levels(const struct shape *shape)
{
	unsigned int levels;

	/* Tables of the platform do not translate more than 54 address bits. */
	if (shape->entries > BIT(54 - shape->page_shift))
		return 0;

	for (levels = shape->levels; levels <= TCE_TABLE_MAX_LEVELS; levels++) {
		unsigned int bits = shape_bits_of(shape, levels);

		/* A level has at most eight kernel pages. */
		if (8UL << bits > 8 * PAGE_SIZE)
			continue;

		/* Bit 59 selects the window, so no level may translate it. */
		return bits * levels + shape->page_shift > 59 ? 0 : levels;
	}

	return 0;
}

unsigned int shape_level_bits(const struct shape *shape)
{
	return shape_bits_of(shape, shape_levels(shape));
}

const struct shape *shape_of(struct kunit *test)
{
	struct fixture *fixture = fixture_of(test);

	fixture->shape = *(const struct shape *)test->param_value;
	fixture->shape.levels = shape_levels(&fixture->shape);
	KUNIT_ASSERT_GT(test, fixture->shape.levels, 0);

	return &fixture->shape;
}

unsigned long span_of(const struct shape *shape, unsigned int height)
{
	return BIT(shape_level_bits(shape) * height);
}

unsigned long spread_leaf(const struct shape *shape, unsigned int number)
{
	unsigned long leaf = span_of(shape, 1);
	unsigned long half = shape->entries / 2 / leaf * leaf;

	return number * leaf + (number & 1) * half;
}

void array_save(struct kunit *test, struct xarray *array, unsigned long index,
		unsigned long value)
{
	void *old = value ? xa_store(array, index, xa_mk_value(value),
				     GFP_KERNEL) :
			    xa_erase(array, index);

	KUNIT_ASSERT_FALSE(test, xa_is_err(old));
}

unsigned long array_load(struct xarray *array, unsigned long index)
{
	void *value = xa_load(array, index);

	return value ? xa_to_value(value) : 0;
}

unsigned long hpa_of(const struct shape *shape, unsigned long index)
{
	return ((index * 5 + 3) << shape->page_shift) & GENMASK(54, 0);
}

u64 ua_of(unsigned long index)
{
	return (index * 7 + 1) << PAGE_SHIFT;
}

static void fixture_kill(void *data, unsigned long index, unsigned long count)
{
	struct fixture *fixture = fixture_of(data);

	if (fixture->kill)
		fixture->kill(fixture->kill_data, index, count);
}

static void fixture_idle(void *data)
{
	atomic_inc(&fixture_of(data)->idle);
}

static int fixture_set(void *data, unsigned long index, const __be64 *tces,
		       unsigned long count)
{
	struct kunit *test = data;
	struct backing *backing = &fixture_of(test)->backing;

	/* PAPR, H_PUT_TCE_INDIRECT: a list lies in one aligned 4 KiB page. */
	KUNIT_EXPECT_GT(test, count, 0);
	if (count > 1) {
		KUNIT_EXPECT_LE(test, count, 512);
		KUNIT_EXPECT_TRUE(test,
				  IS_ALIGNED((unsigned long)tces, SZ_4K));
	}

	return backing->set(backing->data, index, tces, count);
}

static int fixture_clear(void *data, unsigned long index, unsigned long count)
{
	struct kunit *test = data;
	struct backing *backing = &fixture_of(test)->backing;

	KUNIT_EXPECT_GT(test, count, 0);

	return backing->clear(backing->data, index, count);
}

static const struct tce_table_ops fixture_ops = {
	.kill = fixture_kill,
	.idle = fixture_idle,
};

static const struct tce_table_ops fixture_backed_ops = {
	.set = fixture_set,
	.clear = fixture_clear,
	.kill = fixture_kill,
	.idle = fixture_idle,
};

static const struct tce_table_ops fixture_listed_ops = {
	.set = fixture_set,
	.lists = true,
	.clear = fixture_clear,
	.kill = fixture_kill,
	.idle = fixture_idle,
};

struct tce_table *table_create(struct kunit *test,
			       const struct tce_geometry *geo,
			       struct tce_charge *charge)
{
	return tce_table_create(geo, NUMA_NO_NODE, charge, &fixture_ops, test,
				NULL);
}

struct tce_table *table_of(struct kunit *test, const struct shape *shape)
{
	struct tce_geometry geo;
	struct tce_table *table;

	KUNIT_ASSERT_EQ(test, 0,
			tce_geometry_init(&geo, shape->page_shift,
					  shape->entries, shape->levels));
	table = table_create(test, &geo, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(table));

	return table;
}

struct tce_table *table_backed(struct kunit *test, const struct shape *shape,
			       const struct backing *backing)
{
	struct tce_geometry geo;
	struct tce_table *table;

	fixture_of(test)->backing = *backing;
	KUNIT_ASSERT_EQ(test, 0,
			tce_geometry_init(&geo, shape->page_shift,
					  shape->entries, shape->levels));
	table = tce_table_create(&geo, NUMA_NO_NODE, NULL,
				 backing->lists ? &fixture_listed_ops :
						  &fixture_backed_ops,
				 test, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(table));

	return table;
}

void table_destroy(struct kunit *test, struct tce_table *table)
{
	tce_table_destroy(table);
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 0);
	KUNIT_EXPECT_EQ(test, fixture_bytes(test), 0);
}

void table_set(struct kunit *test, struct tce_table *table, unsigned long index,
	       u64 tce)
{
	struct tce_entry entry = { .tce = tce, .owner = TCE_OWNER_NONE };

	KUNIT_EXPECT_EQ_MSG(test, 0,
			    tce_table_exchange(table, index, &entry, true),
			    "index %#lx", index);
}

void expect_exchange_error(struct kunit *test, struct tce_table *table,
			   unsigned long index, u64 tce, u64 owner, bool alloc,
			   int error)
{
	struct tce_entry entry = { .tce = tce, .owner = owner };
	u64 before = tce_table_get(table, index);

	KUNIT_EXPECT_EQ_MSG(test, error,
			    tce_table_exchange(table, index, &entry, alloc),
			    "index %#lx, entry %#llx", index, tce);
	KUNIT_EXPECT_EQ(test, entry.tce, tce);
	KUNIT_EXPECT_EQ(test, entry.owner, owner);
	KUNIT_EXPECT_EQ(test, tce_table_get(table, index), before);
}

void expect_exchange(struct kunit *test, struct tce_table *table,
		     unsigned long index, u64 tce, u64 owner, bool alloc,
		     u64 tce_before, u64 owner_before)
{
	struct tce_entry entry = { .tce = tce, .owner = owner };

	KUNIT_EXPECT_EQ_MSG(test, 0,
			    tce_table_exchange(table, index, &entry, alloc),
			    "index %#lx, entry %#llx", index, tce);
	KUNIT_EXPECT_EQ_MSG(test, entry.tce, tce_before, "index %#lx", index);
	KUNIT_EXPECT_EQ_MSG(test, entry.owner, owner_before, "index %#lx",
			    index);
}

unsigned int batch_fill(struct tce_batch *batch, unsigned int page_shift,
			const struct tce_entry *entries, unsigned int count)
{
	struct tce_extent *last = NULL;
	unsigned int i;

	batch->first = 0;
	batch->count = 0;
	for (i = 0; i < count; i++) {
		if (last && entries[i].owner == last->owner &&
		    entries[i].tce == last->tce + (last->count << page_shift)) {
			last->count++;
			continue;
		}
		if (batch->count == TCE_BATCH)
			break;
		last = &batch->extent[batch->count++];
		/* The table takes the index from the range, not from here. */
		last->index = ULONG_MAX;
		last->count = 1;
		last->tce = entries[i].tce;
		last->owner = entries[i].owner;
	}
	batch->entries = i;

	return i;
}

bool batch_take(struct tce_batch *batch, unsigned int page_shift,
		struct found *found)
{
	struct tce_extent *extent = &batch->extent[batch->first];

	if (batch->first >= batch->count)
		return false;

	found->index = extent->index++;
	found->tce = extent->tce;
	found->owner = extent->owner;
	extent->tce += BIT_ULL(page_shift);
	if (!--extent->count)
		batch->first++;

	return true;
}

unsigned long batch_count(struct kunit *test, struct tce_table *table,
			  const struct tce_batch *batch)
{
	const struct tce_geometry *geo = tce_table_geometry(table);
	unsigned long count = 0, end = 0;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, batch->first, 0);
	KUNIT_EXPECT_LE(test, batch->count, TCE_BATCH);
	for (i = 0; i < batch->count; i++) {
		const struct tce_extent *extent = &batch->extent[i];

		KUNIT_EXPECT_GT(test, extent->count, 0);
		KUNIT_EXPECT_NE(test, extent->tce, 0);
		KUNIT_EXPECT_NE(test, extent->owner, 0);
		KUNIT_EXPECT_GE(test, extent->index, end);
		end = extent->index + extent->count;
		KUNIT_EXPECT_EQ(test, (end - 1) >> geo->level_shift,
				batch->extent[0].index >> geo->level_shift);
		count += extent->count;
	}
	KUNIT_EXPECT_LE(test, count, TCE_TABLE_SCAN);

	return count;
}

void table_prepare(struct kunit *test, struct tce_table *table,
		   struct tce_range *range, unsigned long index,
		   unsigned long count, u64 owner)
{
	range->spares = NULL;
	range->index = index;
	range->end = index + count;
	KUNIT_ASSERT_EQ(test, 0,
			tce_table_prepare(table, range, owner, GFP_KERNEL));
}

int table_hold(struct tce_table *table, struct tce_range *range,
	       unsigned long index, gfp_t gfp)
{
	range->spares = NULL;
	range->index = index;
	range->end = index + 1;

	return tce_table_prepare(table, range, TCE_OWNER_EACH, gfp);
}

void table_store(struct kunit *test, const struct shape *shape,
		 struct tce_table *table, unsigned long index,
		 unsigned int count, u64 owner)
{
	struct tce_entry new[8];
	struct tce_batch batch, old;
	struct tce_range range;
	unsigned long at;
	unsigned int i;

	table_prepare(test, table, &range, index, count, owner);
	for (at = index; at < index + count; at += i) {
		for (i = 0; i < min(ARRAY_SIZE(new), index + count - at); i++) {
			new[i].tce = hpa_of(shape, at + i) | READ_WRITE;
			new[i].owner = owner ?: ua_of(at + i);
		}
		batch_fill(&batch, shape->page_shift, new, i);
		while (batch.first < batch.count) {
			unsigned long before = range.index;

			KUNIT_ASSERT_EQ(test, 0,
					tce_table_store(&range, &batch, &old));
			KUNIT_ASSERT_GT(test, range.index, before);
			batch_count(test, table, &old);
		}
		KUNIT_ASSERT_EQ(test, range.index, at + i);
	}
	tce_table_finish(&range);
}

unsigned long table_clear_next(struct kunit *test, struct tce_cursor *cursor,
			       struct tce_batch *old)
{
	unsigned long cleared = 0;

	while (!cleared && cursor->index < cursor->end) {
		struct tce_cursor before = *cursor;

		tce_table_clear(cursor, old);
		cleared = batch_count(test, cursor->table, old);
		/*
		 * The call in which the backing refuses to clear several
		 * entries at once need not make progress.
		 */
		if (cursor->index > before.index ||
		    (cursor->single && !before.single))
			continue;
		KUNIT_FAIL(test, "%lu cleared from %#lx to %#lx", cleared,
			   before.index, cursor->index);
		break;
	}

	return cleared;
}

unsigned long table_clear(struct kunit *test, struct tce_table *table,
			  unsigned long index, unsigned long end)
{
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = end,
	};
	unsigned long cleared, all = 0;
	struct tce_batch old;

	while ((cleared = table_clear_next(test, &cursor, &old)))
		all += cleared;
	KUNIT_EXPECT_GE(test, cursor.index, end);

	return all;
}

unsigned int table_queued(struct tce_table *table)
{
	struct tce_table_stats stats;

	tce_table_stats(table, &stats);

	return stats.idle;
}

struct tce_level *leaf_at(struct kunit *test, struct tce_table *table,
			  unsigned long index)
{
	const struct tce_geometry *geo = tce_table_geometry(table);
	__be64 *tces = tce_table_root(table);
	unsigned int height;

	for (height = geo->levels - 1; height; height--) {
		u64 tce = be64_to_cpu(tces[tce_slot(geo, index, height)]);

		KUNIT_ASSERT_TRUE_MSG(test, tce & TCE_PERM, "index %#lx",
				      index);
		tces = __va(tce & ~TCE_PERM);
	}

	return tce_level_of(table, tces);
}

void expect_views(struct kunit *test, struct tce_table *table,
		  unsigned long views)
{
	struct tce_table_stats stats;

	tce_table_stats(table, &stats);
	KUNIT_EXPECT_EQ(test, stats.user_levels, views);
}

u64 owner_at(struct kunit *test, struct tce_table *table, unsigned long index)
{
	struct tce_level *leaf = leaf_at(test, table, index);
	unsigned long slot = tce_slot(tce_table_geometry(table), index, 0);
	u64 word = leaf->view ? be64_to_cpu(leaf->view[slot]) : 0;

	return word || !leaf->tces[slot] ? word : leaf->owner;
}

unsigned long table_trim_all(struct kunit *test, struct tce_table *table)
{
	unsigned long level_bytes = 8UL
				    << tce_table_geometry(table)->level_shift;
	unsigned long block_bytes = max(level_bytes, PAGE_SIZE);
	struct tce_table_stats before, after;
	unsigned long killed;
	unsigned int i;

	tce_table_stats(table, &before);
	killed = table_trim(test, table);
	tce_table_stats(table, &after);

	KUNIT_EXPECT_EQ(test, killed, before.hw_bytes / level_bytes - 1);
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);
	for (i = 0; i < TCE_TABLE_MAX_LEVELS; i++)
		KUNIT_EXPECT_EQ(test, after.depth[i].levels, !i);
	KUNIT_EXPECT_EQ(test, after.user_levels, 0);
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 1);
	KUNIT_EXPECT_EQ(test, fixture_bytes(test), block_bytes);
	expect_figures(test, table, 0);

	return killed;
}

static unsigned long expect_levels_with(struct kunit *test,
					struct tce_table *table,
					unsigned long used,
					unsigned long without_perm)
{
	const struct tce_geometry *geo = tce_table_geometry(table);
	unsigned long level_bytes = 8UL << geo->level_shift;
	unsigned long hw_levels = 0;
	struct hardware_census census;
	struct tce_table_stats stats;
	unsigned long least;
	unsigned int i;

	hardware_census(test, table, &census, NULL, NULL);
	tce_table_stats(table, &stats);

	for (i = 0; i < TCE_TABLE_MAX_LEVELS; i++) {
		KUNIT_EXPECT_EQ(test, stats.depth[i].levels, census.levels[i]);
		KUNIT_EXPECT_EQ(test, stats.depth[i].bytes,
				census.levels[i] * level_bytes);
		hw_levels += census.levels[i];
	}
	KUNIT_EXPECT_EQ(test, stats.hw_bytes, hw_levels * level_bytes);
	KUNIT_EXPECT_EQ(test, stats.user_levels, census.leaf_views);
	KUNIT_EXPECT_EQ(test, stats.user_bytes,
			census.leaf_views * level_bytes);
	KUNIT_EXPECT_EQ(test, stats.whole_bytes, tce_geometry_whole_bytes(geo));

	KUNIT_EXPECT_EQ(test, census.entries, used - without_perm);
	KUNIT_EXPECT_EQ(test, stats.set, used);

	KUNIT_EXPECT_GT(test, stats.meta_bytes, 0);

	/* A page that is shared by small levels may have free places. */
	least = stats.hw_bytes + stats.user_bytes;
	if (level_bytes >= PAGE_SIZE)
		KUNIT_EXPECT_EQ(test, stats.page_bytes, least);
	else
		KUNIT_EXPECT_GE(test, stats.page_bytes, least);

	return stats.page_bytes;
}

unsigned long expect_levels(struct kunit *test, struct tce_table *table,
			    unsigned long used)
{
	return expect_levels_with(test, table, used, 0);
}

void expect_figures(struct kunit *test, struct tce_table *table,
		    unsigned long used)
{
	expect_figures_with(test, table, used, 0);
}

void expect_figures_with(struct kunit *test, struct tce_table *table,
			 unsigned long used, unsigned long without_perm)
{
	KUNIT_EXPECT_EQ(test,
			expect_levels_with(test, table, used, without_perm),
			fixture_bytes(test));
}

void expect_entry(struct kunit *test, struct tce_table *table,
		  unsigned long index, u64 tce)
{
	struct hardware_window window = hardware_window(table);
	unsigned int page_shift = window.page_shift;
	u64 offset = (0x123456789 + index) & (BIT_ULL(page_shift) - 1);
	u64 address = ((u64)index << page_shift) + offset;
	u64 hpa = tce & ~READ_WRITE;

	/* Write permission implies read. */
	if (tce & WRITE_ONLY)
		tce |= READ_ONLY;

	KUNIT_EXPECT_EQ_MSG(test, tce_table_get(table, index), tce,
			    "index %#lx", index);
	KUNIT_EXPECT_EQ_MSG(test, hardware_dma(test, &window, address, false),
			    tce & READ_ONLY ? hpa + offset : HARDWARE_FAULT,
			    "read at index %#lx", index);
	KUNIT_EXPECT_EQ_MSG(test, hardware_dma(test, &window, address, true),
			    tce & WRITE_ONLY ? hpa + offset : HARDWARE_FAULT,
			    "write at index %#lx", index);
}
