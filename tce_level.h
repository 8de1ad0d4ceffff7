/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Levels of a table: their memory, what software knows of each, and what an entry
 * looks like. For tce_table.c.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_LEVEL_H
#define TCE_LEVEL_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/spinlock.h>

#include <asm/tce.h>

#include "tce_table.h"

/**
 * DOC: Levels
 *
 * Each level has one struct tce_level, found from the level's own address through
 * its struct page, so the hardware's tree is the only tree. Levels that are smaller
 * than a kernel page share pages of their table.
 *
 * A level is alive while its use count is not negative. It counts entries that
 * are set (leaf) or children (upper level), and everybody who holds the level. A
 * level whose count falls to 0 becomes idle; it stays in the tree, because what
 * was just unmapped is often mapped again. tce_table_trim() marks idle levels
 * dead, by one compare-and-exchange from 0, after which nobody can get hold of
 * them, and takes them out.
 */

#define TCE_PERM		((u64)(TCE_PCI_READ | TCE_PCI_WRITE))

/* A level is at least 4 KiB: TVE "TCE table size" (IODA2), skiboot too. */
#define TCE_LEVEL_MIN_SHIFT	9

/* Use count of a level that has been taken out of the tree. */
#define TCE_LEVEL_DEAD		INT_MIN

/**
 * struct tce_level - what software knows of one level
 * @used: see DOC: Levels
 * @set: in a leaf, entries that are taken; protected by @lock
 * @claims: in a leaf, how many count on @owner or @view to stay as they are;
 *          protected by @lock
 * @lock: in a leaf, makes entry, owner and backing change together
 * @owner: in a leaf, owner of the entries that have none in @view
 * @view: in a leaf, owners one by one, big-endian, 0 for @owner; NULL while one
 *        is enough for all. Stays once it is there
 * @tces: the level's entries
 * @link: the entry of the upper level that leads here; NULL for the first level
 * @index: the first entry of the table below this level
 * @depth: upper levels above this one
 * @idle: in tce_table::idle while nothing is in use, or on its way out
 */
struct tce_level {
	atomic_t used;
	unsigned int set;
	unsigned int claims;
	spinlock_t lock; /* @set, @claims, @owner, entries and @view */
	u64 owner;
	__be64 *view;
	unsigned int depth;
	__be64 *tces;
	__be64 *link;
	unsigned long index;
	struct list_head idle;
};

/**
 * struct tce_block - memory of levels: a kernel page's worth, or one level
 * @node: in tce_table::partial while there are free places
 * @page: the memory; its page_private points back here
 * @busy: places that are taken, one bit each
 * @level: the levels by place
 *
 * Free places are zero.
 */
struct tce_block {
	struct list_head node;
	struct page *page;
	unsigned long busy;
	struct tce_level level[];
};

/**
 * struct tce_table - a table
 * @geo: its shape
 * @nid: NUMA node of the levels
 * @charge: what their memory is charged to, or NULL
 * @backing: who else has the entries, if anybody
 * @root: the first level
 * @lock: protects @partial, tce_block::busy and @idle; held from where a level is
 *        marked dead to where it is out of the tree. Inside a leaf's lock
 * @partial: blocks with free places
 * @idle: levels with nothing in use, the one that became so last first
 * @idle_levels: their number
 * @depth_levels: hardware levels by depth
 * @user_levels: leaves with a view
 * @page_bytes: bytes taken from the page allocator
 * @meta_bytes: bytes of tce_block
 * @used: entries that are set
 */
struct tce_table {
	struct tce_geometry geo;
	int nid;
	struct tce_charge *charge;
	struct tce_backing backing;
	__be64 *root;
	spinlock_t lock; /* @partial, busy, @idle */
	struct list_head partial;
	struct list_head idle;
	unsigned int idle_levels;
	atomic_long_t depth_levels[TCE_TABLE_MAX_LEVELS];
	atomic_long_t user_levels;
	atomic_long_t page_bytes;
	atomic_long_t meta_bytes;
	atomic_long_t used;
};

/* Geometry */

static inline unsigned int tce_level_bytes_shift(const struct tce_geometry *geo)
{
	return geo->level_shift + ilog2(sizeof(__be64));
}

static inline unsigned long tce_level_bytes(const struct tce_geometry *geo)
{
	return 1UL << tce_level_bytes_shift(geo);
}

static inline unsigned long tce_level_entries(const struct tce_geometry *geo)
{
	return 1UL << geo->level_shift;
}

static inline unsigned int tce_block_order(const struct tce_geometry *geo)
{
	return get_order(tce_level_bytes(geo));
}

/* Entries of the table below one entry of a level @height levels above leaves. */
static inline unsigned long tce_span(const struct tce_geometry *geo,
				     unsigned int height)
{
	return 1UL << (height * geo->level_shift);
}

static inline unsigned long tce_slot(const struct tce_geometry *geo,
				     unsigned long index, unsigned int height)
{
	return (index >> (height * geo->level_shift)) &
		(tce_level_entries(geo) - 1);
}

/* Entries */

/* Whether an entry is taken; one without permissions translates nothing. */
static inline bool tce_taken(__be64 tce)
{
	return tce;
}

static inline bool tce_present(__be64 tce)
{
	return tce & cpu_to_be64(TCE_PERM);
}

static inline __be64 *tce_to_level(__be64 tce)
{
	return __va(be64_to_cpu(tce) & ~TCE_PERM);
}

static inline __be64 tce_from_level(const __be64 *tces)
{
	return cpu_to_be64(__pa(tces) | TCE_PERM);
}

/*
 * The hardware reads before it writes, so write permission needs read too. Whoever is
 * behind a table that has a backing sees to that itself.
 */
static inline __be64 tce_encode(u64 tce, bool backed)
{
	return cpu_to_be64(backed ? tce : tce | ((tce & TCE_PCI_WRITE) >> 1));
}

static inline __be64 tce_cmpxchg(__be64 *ptce, __be64 old, __be64 new)
{
	return (__force __be64)cmpxchg((__force u64 *)ptce, (__force u64)old,
				       (__force u64)new);
}

/* Levels */

static inline struct tce_block *tce_block_of(const __be64 *tces)
{
	return (struct tce_block *)page_private(virt_to_page(tces));
}

static inline struct tce_level *tce_level_of(const struct tce_table *table,
					     const __be64 *tces)
{
	return &tce_block_of(tces)->level[offset_in_page(tces) >>
					  tce_level_bytes_shift(&table->geo)];
}

/* The number of idle levels changes with the table's lock, and is read without. */
static inline void tce_idle_count(struct tce_table *table, int change)
{
	WRITE_ONCE(table->idle_levels, table->idle_levels + change);
}

/* Gets hold of a level that a walk has found, unless it is dead. */
static inline bool tce_level_hold(struct tce_level *level)
{
	return atomic_inc_unless_negative(&level->used);
}

/**
 * tce_level_alloc() - a level with nothing in it
 * @table: the table
 * @gfp: how to allocate; charged to the caller's memory cgroup
 *
 * Context: As @gfp says.
 * Return: the level's entries, or NULL.
 */
__be64 *tce_level_alloc(struct tce_table *table, gfp_t gfp);

/**
 * tce_level_free() - give a level back that nobody can reach
 * @table: the table
 * @tces: the level's entries
 *
 * Context: Any.
 */
void tce_level_free(struct tce_table *table, __be64 *tces);

/**
 * tce_level_put() - take back uses of a level
 * @table: the table
 * @level: the level
 * @uses: how many
 *
 * The level becomes idle with the last one.
 *
 * Context: Any; inside the level's lock or not.
 */
void tce_level_put(struct tce_table *table, struct tce_level *level,
		   unsigned int uses);

#endif /* TCE_LEVEL_H */
