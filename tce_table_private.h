/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Internals of a table: the software state of each level. For the files of the
 * table: tce_table.c, tce_geometry.c, tce_level.c and tce_trim.c.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_TABLE_PRIVATE_H
#define TCE_TABLE_PRIVATE_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/gfp.h>
#include <linux/instrumented.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>

#include "tce_table.h"

/**
 * DOC: Levels
 *
 * Each level has one struct tce_level, found from the level's own address
 * through its struct page, so the hardware's tree is the only tree. Levels that
 * are smaller than a kernel page share kernel pages with others of their table.
 *
 * A level is in use while entries of it are set (&tce_level.set; in an upper
 * level this is the number of levels below it) or an operation holds it
 * (&tce_level.holds). A level that is no longer in use stays linked, because
 * memory that was just unmapped is often mapped again. It is queued for
 * tce_trim(), which skips levels that are in use again. A level is marked
 * dead when it is unlinked, under its own lock and that of the level above it.
 * So an operation that is about to set, hold or link something in a level that
 * it has found by a walk, and finds it dead once it has the lock, walks again
 * and does not find that level any more. One that only reads or clears entries
 * need not test for this: nothing is set in a dead level.
 *
 * Lock order: the lock of a level, the lock of the level below it,
 * &tce_table.lock.
 */

/*
 * A level is at least 4 KiB (IODA2, "TCE table size" of a TVE; skiboot checks
 * it).
 */
#define TCE_LEVEL_MIN_SHIFT	9

/**
 * struct tce_level - software state of one level
 * @lock: protects the entries and the members, except @tces, @link, @index and
 *        @depth, which do not change while the level is linked, and @idle,
 *        which &tce_table.lock protects
 * @set: number of entries that are set
 * @holds: in a leaf, number of operations for which it must stay and @owner
 *         must not change; 0 in an upper level
 * @dead: the level was unlinked
 * @queued: the level is in &tce_table.idle, or tce_trim() has taken it
 *          from there
 * @depth: number of levels above this one
 * @since: if the level is not in use, when it was last used, in jiffies
 * @owner: in a leaf, owner of the entries that have no owner in @view
 * @view: in a leaf, one owner per entry, big-endian, 0 for @owner; NULL while
 *        one owner is enough for all entries. Kept until the leaf is freed
 * @tces: the level's entries
 * @link: the entry of the upper level that has this level's address; NULL for
 *        the first level
 * @index: the first index that this level translates
 * @idle: in &tce_table.idle, or in a list of tce_trim()
 *
 * Each has its own cache lines, as other CPUs use its neighbours.
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
 * struct tce_block - memory of one level or view, or of those that share a
 * kernel page
 * @node: in &tce_table.partial while there are free places
 * @page: the memory; its page_private points to this structure
 * @busy: bitmap of the places that are taken
 * @level: the levels by place; for a view only @tces is used
 *
 * The memory of free places is zero.
 */
struct tce_block {
	struct list_head node;
	struct page *page;
	unsigned long busy;
	struct tce_level level[];
};

/**
 * struct tce_table - a table
 * @id: see tce_table_id()
 * @geo: geometry
 * @nid: NUMA node of the levels
 * @charge: the address space that the memory of levels is charged to, or NULL
 * @ops: callbacks of the user of the table
 * @data: for @ops
 * @root: the first level
 * @unkilled: see tce_table_unkilled()
 * @unlinked: levels that were unlinked and not yet killed; they count in
 *            @unkilled, too
 * @lock: protects the members from @partial to @levels_removed; the innermost
 *        lock of the table
 * @partial: blocks with free places
 * @idle: levels that are queued for tce_trim(); some may be in use again
 * @idle_levels: number of levels in @idle
 * @depth_levels: number of levels by depth
 * @user_levels: number of leaves that have a view
 * @page_bytes: bytes taken from the page allocator
 * @meta_bytes: bytes of all struct tce_block
 * @levels_added: number of levels that were ever linked, and the first level
 * @levels_removed: number of levels that were ever unlinked
 * @trim_lock: held while levels are unlinked and freed; the outermost lock of
 *             the table
 * @stop_trim: tce_trim() must end early
 */
struct tce_table {
	unsigned int id;
	struct tce_geometry geo;
	int nid;
	struct tce_charge *charge;
	const struct tce_table_ops *ops;
	void *data;
	__be64 *root;
	/*
	 * Written often; a cache line apart from the members that are only
	 * read.
	 */
	atomic_t unkilled ____cacheline_aligned_in_smp;
	atomic_t unlinked;
	spinlock_t lock; /* see above */
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
	bool stop_trim;
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

static inline unsigned long tce_slot(const struct tce_geometry *geo,
				     unsigned long index, unsigned int height)
{
	return (index >> (height * geo->level_shift)) &
		(tce_level_entries(geo) - 1);
}

/* Entries */

/*
 * Load an entry, with or without the lock of its level, or an owner from a
 * view. ldbrx loads and swaps the bytes in one instruction; for be64_to_cpu()
 * of a volatile load, and sometimes of a plain one, the compiler emits about
 * ten. It may also repeat a plain load.
 */
static __always_inline u64 tce_load(const __be64 *entry)
{
#ifdef __LITTLE_ENDIAN__
	u64 tce;

	instrument_atomic_read(entry, sizeof(*entry));
	asm volatile("ldbrx %0,0,%1" : "=r" (tce) : "r" (entry), "m" (*entry));

	return tce;
#else
	return be64_to_cpu(READ_ONCE(*entry));
#endif
}

/*
 * Store an entry that others load without the lock, in one access: the compiler
 * may tear or repeat a plain store. For the instruction see tce_load().
 */
static __always_inline void tce_store(__be64 *entry, u64 tce)
{
#ifdef __LITTLE_ENDIAN__
	instrument_atomic_write(entry, sizeof(*entry));
	asm volatile("stdbrx %1,0,%2" : "=m" (*entry) : "r" (tce), "r" (entry));
#else
	WRITE_ONCE(*entry, cpu_to_be64(tce));
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
 * Write permission needs read permission in the hardware, see also
 * pnv_tce_build().
 */
static inline u64 tce_with_read(u64 tce)
{
	return tce | ((tce & TCE_PCI_WRITE) >> 1);
}

/*
 * Entries of a leaf are about to be cleared or replaced, or a level is about to
 * be unlinked. The caller holds the lock that protects them, and changes them
 * after this.
 */
static inline void tce_unkilled_add(struct tce_table *table)
{
	atomic_inc(&table->unkilled);
	/* Pairs with the barrier in tce_table_unkilled(). */
	smp_wmb();
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
 * tce_level_alloc() - allocate an empty level, or a view
 * @table: the table
 * @spares: memory to use if there is none without waiting; may be NULL
 * @wait: the caller can wait for credit and start over
 *
 * Takes a free place in a block of the table, if there is one. Otherwise
 * allocates a block, which is accounted to the caller's memory cgroup and taken
 * from the credit of &tce_table.charge.
 *
 * Context: Any but an interrupt handler. Does not wait for memory.
 * Return: the level's entries, or the view; NULL if there is no memory or no
 * credit.
 */
__be64 *tce_level_alloc(struct tce_table *table, struct tce_spares *spares,
			bool wait);

/**
 * tce_level_free() - free a level or a view that nothing can reach
 * @table: the table
 * @tces: the level's entries, or the view
 *
 * Context: Any but an interrupt handler.
 */
void tce_level_free(struct tce_table *table, __be64 *tces);

/**
 * tce_level_destroy() - free a level that nothing can reach, and its view
 * @table: the table
 * @level: the level
 *
 * Context: Any but an interrupt handler.
 */
void tce_level_destroy(struct tce_table *table, struct tce_level *level);

static inline struct tce_level *tce_level_parent(const struct tce_table *table,
						 const struct tce_level *level)
{
	unsigned long bytes = tce_level_bytes(&table->geo);

	/* Levels are aligned to their size. */
	return tce_level_of(table, PTR_ALIGN_DOWN(level->link, bytes));
}

/* Whether a level is linked and not in use. The caller holds its lock. */
static inline bool tce_level_idle(const struct tce_level *level)
{
	return !level->set && !level->holds && level->link && !level->dead;
}

/* Trimming */

/**
 * tce_trim_queue() - queue a level for tce_trim()
 * @table: the table
 * @level: the level; it is idle and not queued
 *
 * Context: Any but an interrupt handler. The caller holds the level's lock.
 */
void tce_trim_queue(struct tce_table *table, struct tce_level *level);

/*
 * Queue the level if it is not in use, after @set or @holds was lowered, or
 * after it was linked in vain. The caller holds its lock.
 */
static inline void tce_trim_check(struct tce_table *table,
				  struct tce_level *level)
{
	if (!tce_level_idle(level))
		return;

	level->since = jiffies;
	if (!level->queued)
		tce_trim_queue(table, level);
}

/* Redirected by KUnit */

#if IS_ENABLED(CONFIG_KUNIT)
struct page *tce_level_alloc_pages(int nid, gfp_t gfp, unsigned int order);
void tce_level_free_pages(struct page *page, unsigned int order);
#endif

#endif /* TCE_TABLE_PRIVATE_H */
