// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walks a TCE table as the PCI host bridge does, from the physical address in
 * the TVE. Uses no state of the software, except to count the leaves with a
 * view.
 */

#include <kunit/test.h>

#include <linux/bits.h>
#include <linux/io.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "hardware.h"
#include "tce_table_private.h"

/* The format, defined independently of the driver. */
#define HARDWARE_READ		BIT_ULL(0)
#define HARDWARE_WRITE		BIT_ULL(1)
#define HARDWARE_NEXT_LEVEL	(HARDWARE_READ | HARDWARE_WRITE)
#define HARDWARE_LEVEL_MASK	GENMASK_ULL(11, 0)

/* An entry is a big-endian word of 8 bytes. */
static u64 hardware_fetch(phys_addr_t level, unsigned long slot)
{
	const __be64 *word = phys_to_virt(level + slot * 8);

	return be64_to_cpu(READ_ONCE(*word));
}

struct hardware_window hardware_window(const struct tce_table *table)
{
	const struct tce_geometry *geo = tce_table_geometry(table);

	return (struct hardware_window) {
		.root = virt_to_phys(tce_table_root(table)),
		.page_shift = geo->page_shift,
		.levels = geo->levels,
		.level_bits = geo->level_shift,
	};
}

static unsigned long hardware_slot(const struct hardware_window *window,
				   u64 address, unsigned int depth)
{
	unsigned int below = window->levels - 1 - depth;

	address >>= window->page_shift + below * window->level_bits;

	return address & (BIT_ULL(window->level_bits) - 1);
}

/* The physical address of the next level, 0 for none. */
static phys_addr_t hardware_next(struct kunit *test, u64 tce)
{
	if (!(tce & HARDWARE_NEXT_LEVEL))
		return 0;

	KUNIT_EXPECT_EQ(test, tce & HARDWARE_LEVEL_MASK, HARDWARE_NEXT_LEVEL);

	return tce & ~HARDWARE_LEVEL_MASK;
}

/*
 * Walks towards @address. Returns the number of levels that are present and, if
 * none is missing, the entry in @tce.
 */
static unsigned int hardware_walk(struct kunit *test,
				  const struct hardware_window *window,
				  u64 address, u64 *tce)
{
	phys_addr_t level = window->root;
	unsigned int depth;

	*tce = 0;
	for (depth = 0; depth < window->levels - 1; depth++) {
		unsigned long slot = hardware_slot(window, address, depth);

		level = hardware_next(test, hardware_fetch(level, slot));
		if (!level)
			return depth + 1;
	}

	*tce = hardware_fetch(level, hardware_slot(window, address, depth));

	return window->levels;
}

u64 hardware_dma(struct kunit *test, const struct hardware_window *window,
		 u64 address, bool write)
{
	u64 offset = BIT_ULL(window->page_shift) - 1;
	u64 tce;

	hardware_walk(test, window, address, &tce);
	if (!(tce & (write ? HARDWARE_WRITE : HARDWARE_READ)))
		return HARDWARE_FAULT;

	/* All other bits of an entry are reserved. */
	KUNIT_EXPECT_EQ(test, tce & offset & ~HARDWARE_NEXT_LEVEL, 0);

	return (tce & ~offset) | (address & offset);
}

unsigned int hardware_depth(struct kunit *test,
			    const struct hardware_window *window,
			    unsigned long index)
{
	u64 tce;

	return hardware_walk(test, window, (u64)index << window->page_shift,
			     &tce);
}

struct census_walk {
	struct kunit *test;
	struct tce_table *table;
	struct hardware_window window;
	struct hardware_census *census;
	hardware_visit visit;
	void *data;
};

static void census_leaf(struct census_walk *walk, phys_addr_t level,
			unsigned long index)
{
	unsigned long slots = BIT(walk->window.level_bits);
	unsigned long slot;

	if (tce_level_of(walk->table, phys_to_virt(level))->view)
		walk->census->leaf_views++;

	for (slot = 0; slot < slots; slot++) {
		u64 tce = hardware_fetch(level, slot);

		if (!(tce & HARDWARE_NEXT_LEVEL))
			continue;

		walk->census->entries++;
		if (walk->visit)
			walk->visit(walk->test, index + slot, tce, walk->data);
	}
}

static void census_level(struct census_walk *walk, phys_addr_t level,
			 unsigned int depth, unsigned long index)
{
	unsigned int below = walk->window.levels - 1 - depth;
	unsigned long slots = BIT(walk->window.level_bits);
	unsigned long slot;

	walk->census->levels[depth]++;
	if (!below) {
		census_leaf(walk, level, index);
		cond_resched();
		return;
	}

	for (slot = 0; slot < slots; slot++) {
		phys_addr_t next = hardware_next(walk->test,
						 hardware_fetch(level, slot));
		unsigned long first = slot << (below * walk->window.level_bits);

		if (next)
			census_level(walk, next, depth + 1, index + first);
	}
}

void hardware_census(struct kunit *test, struct tce_table *table,
		     struct hardware_census *census, hardware_visit visit,
		     void *data)
{
	struct census_walk walk = {
		.test = test,
		.table = table,
		.window = hardware_window(table),
		.census = census,
		.visit = visit,
		.data = data,
	};

	memset(census, 0, sizeof(*census));
	census_level(&walk, walk.window.root, 0, 0);
}

static void levels_below(struct census_walk *walk, phys_addr_t level,
			 unsigned int depth, unsigned long index,
			 hardware_visit_level visit)
{
	unsigned int below = walk->window.levels - 1 - depth;
	unsigned long slots = BIT(walk->window.level_bits);
	unsigned long slot;

	if (depth)
		visit(walk->test, depth, index, walk->data);

	for (slot = 0; below && slot < slots; slot++) {
		phys_addr_t next = hardware_next(walk->test,
						 hardware_fetch(level, slot));
		unsigned long first = slot << (below * walk->window.level_bits);

		if (next)
			levels_below(walk, next, depth + 1, index + first,
				     visit);
	}
	cond_resched();
}

void hardware_levels(struct kunit *test, struct tce_table *table,
		     hardware_visit_level visit, void *data)
{
	struct census_walk walk = {
		.test = test,
		.table = table,
		.window = hardware_window(table),
		.data = data,
	};

	levels_below(&walk, walk.window.root, 0, 0, visit);
}
