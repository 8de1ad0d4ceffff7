// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tests of the TCE table share: shapes of tables, and a page allocator
 * that counts and that fails on demand.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <kunit/test-bug.h>

#include <linux/bits.h>
#include <linux/debug_locks.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/preempt.h>

#include "fixture.h"
#include "hardware.h"
#include "tce_table.h"

/* Long enough for another CPU to come, short enough to go on without it. */
#define MEETING_SPINS	20000

/* How far apart they are afterwards, at most, so that all distances occur. */
#define PARTING_SPINS	1024

static struct fixture *fixture_of(struct kunit *test)
{
	return test->priv;
}

/* Threads that need a level at the same time leave here at the same time. */
static void fixture_meet(struct fixture *fixture)
{
	int come, all, spins;

	if (!fixture->meet)
		return;

	come = atomic_inc_return(&fixture->met);
	all = roundup(come, fixture->meet);
	for (spins = 0; atomic_read(&fixture->met) < all; spins++) {
		if (spins == MEETING_SPINS) {
			/* Nobody came, and nobody is to be met by the next. */
			atomic_dec(&fixture->met);
			return;
		}
	}

	for (spins = hash_32(come, ilog2(PARTING_SPINS)); spins; spins--)
		barrier();
}

static bool fixture_flags_are_wrong(gfp_t gfp)
{
	if (!gfpflags_allow_blocking(gfp))
		return false;

	if (irqs_disabled() ||
	    (IS_ENABLED(CONFIG_PREEMPT_COUNT) && preempt_count()))
		return true;

	return !(gfp & __GFP_ACCOUNT);
}

static struct page *fixture_pages_alloc(int nid, gfp_t gfp, unsigned int order)
{
	struct kunit *test = kunit_get_current_test();
	struct fixture *fixture = fixture_of(test);
	struct page *page;

	if (fixture_flags_are_wrong(gfp))
		atomic_long_inc(&fixture->wrong_flags);

	if (!atomic_long_dec_return(&fixture->until_refusal)) {
		atomic_long_inc(&fixture->refused);
		return NULL;
	}

	if (fixture->meanwhile) {
		void (*meanwhile)(struct kunit *test, void *data) =
			fixture->meanwhile;

		fixture->meanwhile = NULL;
		meanwhile(test, fixture->data);
	}

	page = alloc_pages_node(nid, gfp, order);
	if (page) {
		atomic_long_inc(&fixture->taken);
		atomic_long_add(PAGE_SIZE << order, &fixture->bytes);
	}
	fixture_meet(fixture);

	return page;
}

static void fixture_pages_free(struct page *page, unsigned int order)
{
	struct fixture *fixture = fixture_of(kunit_get_current_test());

	atomic_long_inc(&fixture->given_back);
	atomic_long_sub(PAGE_SIZE << order, &fixture->bytes);
	__free_pages(page, order);
}

int fixture_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct fixture), GFP_KERNEL);
	if (!test->priv)
		return -ENOMEM;

	/* Grace periods are waited for thousands of times. */
	rcu_expedite_gp();
	kunit_activate_static_stub(test, tce_pages_alloc, fixture_pages_alloc);
	kunit_activate_static_stub(test, tce_pages_free, fixture_pages_free);

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
	KUNIT_EXPECT_EQ(test, atomic_long_read(&fixture->wrong_flags), 0);

	/* Lockdep has found something, and is off from then on. */
	if (IS_ENABLED(CONFIG_PROVE_LOCKING))
		KUNIT_EXPECT_TRUE(test, debug_locks);
}

long fixture_blocks(struct kunit *test)
{
	struct fixture *fixture = fixture_of(test);

	return atomic_long_read(&fixture->taken) -
		atomic_long_read(&fixture->given_back);
}

long fixture_bytes(struct kunit *test)
{
	return atomic_long_read(&fixture_of(test)->bytes);
}

void fixture_refuse(struct kunit *test, long nth)
{
	struct fixture *fixture = fixture_of(test);

	atomic_long_set(&fixture->refused, 0);
	atomic_long_set(&fixture->until_refusal, nth);
}

bool fixture_refused(struct kunit *test)
{
	return atomic_long_read(&fixture_of(test)->refused);
}

void shape_describe(const struct shape *shape, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE,
		 "pages of %#llx, %u levels, %#lx entries",
		 BIT_ULL(shape->page_shift), shape->levels, shape->entries);
}

unsigned int shape_level_bits(const struct shape *shape)
{
	unsigned int largest = PAGE_SHIFT + 8 - 3;
	unsigned int bits;

	/* PHBs translate no address above this. */
	if (shape->entries >= BIT(55 - shape->page_shift))
		return 0;

	for (bits = 9; bits <= largest; bits++) {
		unsigned int all = bits * shape->levels;

		if (all + shape->page_shift > 59)
			return 0;
		if (BIT(all) >= shape->entries)
			return bits;
	}

	return 0;
}

unsigned long span_of(const struct shape *shape, unsigned int below)
{
	return BIT(shape_level_bits(shape) * below);
}

unsigned long hpa_of(const struct shape *shape, unsigned long index)
{
	return ((index * 5 + 3) << shape->page_shift) & GENMASK(54, 0);
}

u64 ua_of(unsigned long index)
{
	return (index * 7 + 1) << PAGE_SHIFT;
}

struct tce_table *table_of(struct kunit *test, const struct shape *shape)
{
	struct tce_geometry geo;
	struct tce_table *table;

	KUNIT_ASSERT_EQ(test, 0,
			tce_geometry_init(&geo, shape->page_shift,
					  shape->entries, shape->levels));
	table = tce_table_create(&geo, NUMA_NO_NODE, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(table));

	return table;
}

void table_gone(struct kunit *test, struct tce_table *table)
{
	tce_table_destroy(table);
	KUNIT_EXPECT_EQ(test, fixture_blocks(test), 0);
	KUNIT_EXPECT_EQ(test, fixture_bytes(test), 0);
}

void table_set(struct kunit *test, struct tce_table *table, unsigned long index,
	       unsigned long hpa, enum dma_data_direction direction)
{
	KUNIT_EXPECT_EQ_MSG(test, 0,
			    tce_table_exchange(table, index, &hpa, &direction,
					       true),
			    "index %#lx", index);
}

static void fixture_kill(void *data, unsigned long index, unsigned long count)
{
	unsigned long *killed = data;

	(*killed)++;
}

unsigned long table_trimmed(struct kunit *test, struct tce_table *table)
{
	unsigned long level_bytes = 8UL << tce_table_geometry(table)->level_shift;
	unsigned long block_bytes = max(level_bytes, PAGE_SIZE);
	struct tce_table_stats before, after;
	unsigned long killed = 0;
	unsigned int i;

	tce_table_stats(table, &before);
	tce_table_trim(table, 0, fixture_kill, &killed);
	tce_table_stats(table, &after);

	KUNIT_EXPECT_EQ(test, killed, before.hw_bytes / level_bytes - 1);
	KUNIT_EXPECT_EQ(test, tce_table_idle(table), 0);
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
					unsigned long used, unsigned long silent)
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

	KUNIT_EXPECT_EQ(test, census.entries, used - silent);
	KUNIT_EXPECT_EQ(test, stats.used, used);

	KUNIT_EXPECT_GT(test, stats.meta_bytes, 0);

	/* Levels smaller than a page may leave places free. */
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
			 unsigned long used, unsigned long silent)
{
	KUNIT_EXPECT_EQ(test, expect_levels_with(test, table, used, silent),
			fixture_bytes(test));
}

void expect_entry(struct kunit *test, struct tce_table *table,
		  unsigned long index, unsigned long hpa,
		  enum dma_data_direction direction)
{
	struct hardware_window window = hardware_window(table);
	unsigned int page_shift = window.page_shift;
	u64 offset = (0x123456789 + index) & (BIT_ULL(page_shift) - 1);
	u64 address = ((u64)index << page_shift) + offset;
	/* What may be written may be read as well. */
	bool read = direction != DMA_NONE;
	bool write = read && direction != DMA_TO_DEVICE;

	KUNIT_EXPECT_EQ_MSG(test, tce_table_get(table, index),
			    read ? (hpa | (write ? 3 : 1)) : 0,
			    "index %#lx", index);
	KUNIT_EXPECT_EQ_MSG(test, hardware_dma(test, &window, address, false),
			    read ? hpa + offset : HARDWARE_FAULT,
			    "read at index %#lx", index);
	KUNIT_EXPECT_EQ_MSG(test, hardware_dma(test, &window, address, true),
			    write ? hpa + offset : HARDWARE_FAULT,
			    "write at index %#lx", index);
}
