// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of levels. Contract: tce_table_private.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <kunit/static_stub.h>
#include <kunit/visibility.h>

#include "tce_charge.h"
#include "tce_table_private.h"
#include "tce_work.h"

/*
 * All pages of tables are allocated and freed here. KUnit redirects the two
 * functions to count the pages and to make allocations fail.
 */
VISIBLE_IF_KUNIT struct page *tce_level_alloc_pages(int nid, gfp_t gfp,
						    unsigned int order)
{
	KUNIT_STATIC_STUB_REDIRECT(tce_level_alloc_pages, nid, gfp, order);

	return alloc_pages_node(nid, gfp, order);
}

VISIBLE_IF_KUNIT void tce_level_free_pages(struct page *page,
					   unsigned int order)
{
	KUNIT_STATIC_STUB_REDIRECT(tce_level_free_pages, page, order);

	__free_pages(page, order);
}

/*
 * Account the block as SecPageTables in /proc/meminfo and as sec_pagetables in
 * the memory cgroup to which it is accounted.
 */
static void tce_block_account(const struct tce_block *block, long pages)
{
	mod_lruvec_page_state(block->page, NR_SECONDARY_PAGETABLE, pages);
}

/* Number of levels that share one kernel page, at least 1. */
static unsigned int tce_block_places(const struct tce_geometry *geo)
{
	return max(1UL, PAGE_SIZE >> tce_level_bytes_shift(geo));
}

static size_t tce_block_size(const struct tce_geometry *geo)
{
	return struct_size_t(struct tce_block, level, tce_block_places(geo));
}

static struct tce_block *tce_block_memory(unsigned int order, size_t size,
					  int nid, gfp_t gfp)
{
	struct tce_block *block;

	block = kzalloc_node(size, gfp, nid);
	if (!block)
		return NULL;

	block->page = tce_level_alloc_pages(nid, gfp | __GFP_ZERO, order);
	if (!block->page) {
		kfree(block);
		return NULL;
	}

	return block;
}

static void tce_block_memory_free(struct tce_block *block, unsigned int order)
{
	tce_level_free_pages(block->page, order);
	kfree(block);
}

bool tce_spares_fill(struct tce_spares *spares, unsigned long count)
{
	unsigned long before = spares->count;
	struct tce_block *block;

	while (spares->count < count && !fatal_signal_pending(current)) {
		block = tce_block_memory(spares->order, spares->size,
					 spares->nid, TCE_GFP);
		if (!block)
			break;
		list_add(&block->node, &spares->blocks);
		spares->count++;
		cond_resched();
	}

	return spares->count > before;
}

void tce_spares_free(struct tce_spares *spares)
{
	struct tce_block *block, *next;

	list_for_each_entry_safe(block, next, &spares->blocks, node) {
		tce_block_memory_free(block, spares->order);
		cond_resched();
	}
	INIT_LIST_HEAD(&spares->blocks);
	spares->count = 0;
}

/* Take a spare block; if none has the right size, note the size. */
static struct tce_block *tce_spares_take(struct tce_spares *spares,
					 const struct tce_table *table)
{
	unsigned int order = tce_block_order(&table->geo);
	size_t size = tce_block_size(&table->geo);
	struct tce_block *block;

	if (!spares)
		return NULL;

	if (spares->count && spares->order == order && spares->size == size &&
	    spares->nid == table->nid) {
		block = list_first_entry(&spares->blocks, struct tce_block,
					 node);
		list_del(&block->node);
		spares->count--;
		return block;
	}

	/* Others are of no use any more. */
	tce_spares_free(spares);
	spares->order = order;
	spares->size = size;
	spares->places = tce_block_places(&table->geo);
	spares->nid = table->nid;
	spares->missing = true;
	spares->wanted = 1;

	return NULL;
}

static struct tce_block *tce_block_alloc(struct tce_table *table,
					 struct tce_spares *spares, bool wait)
{
	unsigned int order = tce_block_order(&table->geo);
	size_t size = tce_block_size(&table->geo);
	struct tce_block *block;
	unsigned int i;

	if (tce_charge_take(table->charge, 1UL << order, wait))
		return NULL;

	block = tce_block_memory(order, size, table->nid, TCE_GFP_NOWAIT) ?:
		tce_spares_take(spares, table);
	if (!block) {
		tce_charge_return(table->charge, 1UL << order);
		return NULL;
	}

	for (i = 0; i < tce_block_places(&table->geo); i++) {
		struct tce_level *level = &block->level[i];

		spin_lock_init(&level->lock);
		INIT_LIST_HEAD(&level->idle);
		level->tces = page_address(block->page) +
			      (i << tce_level_bytes_shift(&table->geo));
	}

	set_page_private(block->page, (unsigned long)block);
	tce_block_account(block, 1L << order);

	return block;
}

static void tce_block_free(struct tce_table *table, struct tce_block *block)
{
	unsigned int order = tce_block_order(&table->geo);

	set_page_private(block->page, 0);
	tce_block_account(block, -(1L << order));
	tce_block_memory_free(block, order);
	tce_charge_return(table->charge, 1UL << order);
}

/*
 * Take a free place in a partly used block, or in @fresh. Return NULL if there
 * is none and @fresh is NULL.
 */
static __be64 *tce_place_take(struct tce_table *table, struct tce_block *fresh)
{
	unsigned int places = tce_block_places(&table->geo);
	struct tce_block *block;
	__be64 *tces = NULL;
	unsigned int place;

	spin_lock(&table->lock);
	if (fresh) {
		list_add(&fresh->node, &table->partial);
		table->page_bytes += PAGE_SIZE << tce_block_order(&table->geo);
		table->meta_bytes += tce_block_size(&table->geo);
	}

	block = list_first_entry_or_null(&table->partial, struct tce_block,
					 node);
	if (block) {
		place = ffz(block->busy);
		__set_bit(place, &block->busy);
		if (hweight_long(block->busy) == places)
			list_del_init(&block->node);
		tces = block->level[place].tces;
	}
	spin_unlock(&table->lock);

	return tces;
}

__be64 *tce_level_alloc(struct tce_table *table, struct tce_spares *spares,
			bool wait)
{
	struct tce_block *block;
	__be64 *tces;

	tces = tce_place_take(table, NULL);
	if (tces)
		return tces;

	block = tce_block_alloc(table, spares, wait);
	if (!block)
		return NULL;

	return tce_place_take(table, block);
}

void tce_level_free(struct tce_table *table, __be64 *tces)
{
	unsigned int places = tce_block_places(&table->geo);
	struct tce_block *block = tce_block_of(tces);
	struct tce_level *level = tce_level_of(table, tces);
	unsigned int place = level - block->level;
	bool empty;

	/*
	 * The memory of a free place is zero, and so is the count of set
	 * entries of a level that was trimmed. (A level that
	 * tce_table_destroy() frees may have a count, but no place is taken
	 * after that.) If a block has only one place, it is freed below.
	 */
	if (places > 1) {
		memset(tces, 0, tce_level_bytes(&table->geo));
		level->dead = false;
		level->owner = 0;
		level->view = NULL;
		level->link = NULL;
	}

	spin_lock(&table->lock);
	__clear_bit(place, &block->busy);
	empty = !block->busy;
	if (!list_empty(&block->node))
		list_del_init(&block->node);
	if (empty) {
		table->page_bytes -= PAGE_SIZE << tce_block_order(&table->geo);
		table->meta_bytes -= tce_block_size(&table->geo);
	} else {
		list_add(&block->node, &table->partial);
	}
	spin_unlock(&table->lock);

	if (empty)
		tce_block_free(table, block);
}

void tce_level_destroy(struct tce_table *table, struct tce_level *level)
{
	if (level->view) {
		tce_level_free(table, level->view);
		spin_lock(&table->lock);
		table->user_levels--;
		spin_unlock(&table->lock);
	}
	tce_level_free(table, level->tces);
}
