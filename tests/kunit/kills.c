// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks the ranges that tce_trim() kills.
 */

#include <kunit/test.h>

#include <linux/bits.h>
#include <linux/minmax.h>

#include "fixture.h"
#include "hardware.h"
#include "kills.h"
#include "tce_table.h"
#include "tce_trim.h"

#define LEAF	1UL
#define UPPER	2UL

static void kills_count(struct kills *kills, unsigned int depth,
			unsigned long index, int sign)
{
	const struct tce_geometry *geo = tce_table_geometry(kills->table);
	unsigned long leaf = index >> kills->level_bits;
	unsigned long what = depth == geo->levels - 1 ? LEAF : UPPER;

	array_save(kills->test, &kills->levels, leaf,
		   array_load(&kills->levels, leaf) + sign * what);
}

static void kills_count_before(struct kunit *test, unsigned int depth,
			       unsigned long index, void *data)
{
	kills_count(data, depth, index, 1);
}

static void kills_count_after(struct kunit *test, unsigned int depth,
			      unsigned long index, void *data)
{
	kills_count(data, depth, index, -1);
}

void kills_begin(struct kills *kills, struct kunit *test,
		 struct tce_table *table)
{
	kills->test = test;
	kills->table = table;
	kills->level_bits = hardware_window(table).level_bits;
	kills->end = 0;
	xa_init(&kills->levels);
	xa_init(&kills->calls);
	hardware_levels(test, table, kills_count_before, kills);
}

void kills_kill(void *data, unsigned long index, unsigned long count)
{
	struct kills *kills = data;

	KUNIT_EXPECT_GT(kills->test, count, 0);
	KUNIT_EXPECT_TRUE_MSG(kills->test, !kills->end || index > kills->end,
			      "%#lx after %#lx", index, kills->end);
	array_save(kills->test, &kills->calls, index, count);
	kills->end = index + count;
}

static void kills_expect(struct kills *kills, unsigned long first,
			 unsigned long end)
{
	KUNIT_EXPECT_EQ_MSG(kills->test, array_load(&kills->calls, first),
			    end - first, "entries killed from %#lx", first);
	array_save(kills->test, &kills->calls, first, 0);
}

unsigned long kills_end(struct kills *kills)
{
	const struct tce_geometry *geo = tce_table_geometry(kills->table);
	unsigned long leaf, first = 0, end = 0, gone = 0;
	void *value;

	hardware_levels(kills->test, kills->table, kills_count_after, kills);

	xa_for_each(&kills->levels, leaf, value) {
		unsigned long levels = xa_to_value(value);
		unsigned long start = leaf << kills->level_bits;

		if (end && start > end) {
			kills_expect(kills, first, end);
			end = 0;
		}
		if (!end)
			first = start;
		/* The window may end inside a leaf. */
		end = levels & LEAF ? min(start + BIT(kills->level_bits),
					  geo->entries) : start + 1;
		gone += levels / UPPER + (levels & LEAF);
	}
	if (end)
		kills_expect(kills, first, end);
	KUNIT_EXPECT_TRUE(kills->test, xa_empty(&kills->calls));

	xa_destroy(&kills->levels);
	xa_destroy(&kills->calls);

	return gone;
}

unsigned long table_trim_older(struct kunit *test, struct tce_table *table,
			       unsigned long age, bool *more)
{
	struct fixture *fixture = test->priv;
	struct kills kills;

	kills_begin(&kills, test, table);
	fixture->kill_data = &kills;
	fixture->kill = kills_kill;
	*more = tce_trim(table, age, NULL);
	fixture->kill = NULL;

	return kills_end(&kills);
}

unsigned long table_trim(struct kunit *test, struct tce_table *table)
{
	unsigned long gone;
	bool more;

	gone = table_trim_older(test, table, 0, &more);
	/* No level is too young, and levels in use have left the queue. */
	KUNIT_EXPECT_FALSE(test, more);
	KUNIT_EXPECT_EQ(test, table_queued(table), 0);

	return gone;
}
