/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A table from inside: what software knows of each level, and what an entry looks
 * like. For tce_table.c and tce_level.c.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_TABLE_PRIVATE_H
#define TCE_TABLE_PRIVATE_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mutex.h>
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
 * A level is in use while entries of it are set (&tce_level.set: in an upper level
 * these are the levels below it) or an operation holds it (&tce_level.holds). A level
 * that falls out of use stays linked, as what was just unmapped is often mapped again,
 * and is queued for tce_table_trim(), which leaves those alone that are in use again.
 * A level is dead from when it is unlinked; that happens under its own lock and that
 * of the level above. So an operation that has found a level by a walk, and finds it
 * dead once it has the lock, walks again and does not meet it any more.
 *
 * The lock of a level is taken inside that of the level above it, and the table's
 * inside both.
 */

#define TCE_PERM		((u64)(TCE_PCI_READ | TCE_PCI_WRITE))

/* A level is at least 4 KiB: TVE "TCE table size" (IODA2), skiboot too. */
#define TCE_LEVEL_MIN_SHIFT	9

/**
 * struct tce_level - what software knows of one level
 * @lock: protects all but @tces, @link, @index and @depth, and the entries
 * @set: entries that are set
 * @holds: operations that need the level to stay and, in a leaf, @owner as it is
 * @dead: unlinked
 * @queued: in tce_table::idle, or with tce_table_trim()
 * @depth: upper levels above this one
 * @since: when it was last used, in jiffies, while it is not in use
 * @owner: in a leaf, owner of the entries that have none in @view
 * @view: in a leaf, owners one by one, big-endian, 0 for @owner; NULL while one
 *        is enough for all. Stays once it is there
 * @tces: the level's entries
 * @link: the entry of the upper level that leads here; NULL for the first level
 * @index: the first entry of the table below this level
 * @idle: in tce_table::idle, or in tce_table_trim()'s own list
 *
 * Each has cache lines of its own: neighbours are used by other CPUs.
 */
struct tce_level {
	spinlock_t lock; /* see above */
	unsigned int set;
	unsigned int holds;
	bool dead;
	bool queued;
	u8 depth;
	unsigned long since;
	u64 owner;
	__be64 *view;
	__be64 *tces;
	__be64 *link;
	unsigned long index;
	struct list_head idle;
} ____cacheline_aligned_in_smp;

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
 * @id: tells it from all others
 * @geo: its shape
 * @nid: NUMA node of the levels
 * @charge: what their memory is charged to, or NULL
 * @ops: its user
 * @data: for @ops
 * @root: the first level
 * @lock: protects what follows; innermost
 * @partial: blocks with free places
 * @idle: levels that fell out of use, the first one first
 * @idle_levels: their number
 * @depth_levels: hardware levels by depth
 * @user_levels: leaves with a view
 * @page_bytes: bytes taken from the page allocator
 * @meta_bytes: bytes of tce_block
 * @levels_added: hardware levels that have ever come into the tree
 * @levels_removed: hardware levels that have been taken out of it
 * @trim_lock: held while levels are unlinked and freed; outermost
 */
struct tce_table {
	unsigned int id;
	struct tce_geometry geo;
	int nid;
	struct tce_charge *charge;
	const struct tce_table_ops *ops;
	void *data;
	__be64 *root;
	/* What follows is written while other CPUs read what is above. */
	spinlock_t lock ____cacheline_aligned_in_smp;
	struct list_head partial;
	struct list_head idle;
	unsigned int idle_levels;
	unsigned long depth_levels[TCE_TABLE_MAX_LEVELS];
	unsigned long user_levels;
	unsigned long page_bytes;
	unsigned long meta_bytes;
	unsigned long levels_added;
	unsigned long levels_removed;
	struct mutex trim_lock; /* see above */
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

/*
 * An entry of an upper level, without a lock. One instruction loads and swaps; of a
 * volatile load the compiler makes ten, and others could be repeated by it.
 */
static __always_inline u64 tce_load(const __be64 *entry)
{
#ifdef __LITTLE_ENDIAN__
	u64 tce;

	asm volatile("ldbrx %0,0,%1" : "=r" (tce) : "r" (entry), "m" (*entry));

	return tce;
#else
	return be64_to_cpu(READ_ONCE(*entry));
#endif
}

static inline bool tce_present(__be64 tce)
{
	return tce & cpu_to_be64(TCE_PERM);
}

static inline __be64 tce_from_level(const __be64 *tces)
{
	return cpu_to_be64(__pa(tces) | TCE_PERM);
}

/*
 * The hardware reads before it writes, so write permission needs read too. A
 * hypervisor sees to that itself.
 */
static inline u64 tce_with_read(const struct tce_table *table, u64 tce)
{
	return table->ops->set ? tce : tce | ((tce & TCE_PCI_WRITE) >> 1);
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
 * tce_level_free() - give a level back that nothing can reach
 * @table: the table
 * @tces: the level's entries
 *
 * Context: Any but an interrupt handler.
 */
void tce_level_free(struct tce_table *table, __be64 *tces);

#if IS_ENABLED(CONFIG_KUNIT)
struct page *tce_level_alloc_pages(int nid, gfp_t gfp, unsigned int order);
void tce_level_free_pages(struct page *page, unsigned int order);
#endif

#endif /* TCE_TABLE_PRIVATE_H */
