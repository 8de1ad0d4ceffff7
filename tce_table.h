/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A multilevel table of translation control entries (TCE) whose levels are
 * allocated when they are first needed.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_TABLE_H
#define TCE_TABLE_H

#include <linux/gfp_types.h>
#include <linux/sizes.h>
#include <linux/types.h>

/**
 * DOC: TCE table
 *
 * A table translates an index, the number of an IOMMU page in a DMA window, to
 * a TCE. It knows neither bus addresses nor platforms: index 0 is the first
 * page of the window.
 *
 * Format (IODA2 and IODA3; the platform's use of it is in
 * arch/powerpc/platforms/powernv/pci-ioda-tce.c): an entry is a big-endian
 * 64-bit word. Bit 0 lets the device read, bit 1 lets it write, the bits from
 * the IOMMU page shift upwards are a physical address. An entry of an upper
 * level has both bits set and the physical address of the next level. A word
 * with neither bit set translates nothing.
 *
 * Each entry has an owner, a word that says to whom its page is to be given back;
 * the table does not interpret it. As long as all entries of a leaf have the same
 * owner the leaf keeps it once. Otherwise the leaf has a view, a word for each of its
 * entries, which the in-tree driver calls the user-space view of the table.
 *
 * Entries go in and come out in extents: entries in a row, of one owner, that lead to
 * memory in a row with the same permissions.
 *
 * Locking contract:
 *
 * - Operations on different indices may run in parallel without limit.
 * - An entry, its owner and its backing change together, under the lock of the leaf.
 *   A level is linked and unlinked under the lock of the level above it. They are
 *   spinlocks, and no interrupt is turned off, so no operation may be called from an
 *   interrupt handler.
 * - Levels that are not used any more stay, until tce_table_trim() unlinks them and
 *   frees them after a grace period of RCU. Every walk is inside an RCU section;
 *   leaves that are held need none.
 * - No operation holds a lock, or stays in an RCU section, for more than
 *   TCE_TABLE_SCAN entries of each level, whatever the geometry.
 * - tce_table_destroy() is called when nothing can reach the table any more.
 *
 * A table may have a backing: a hypervisor has the entries that the hardware walks,
 * and this table is what software knows of them.
 */

/* The most levels that the hardware walks. */
#define TCE_TABLE_MAX_LEVELS	5

/*
 * The largest level, as an order of kernel pages: 32 KiB of 4K pages, 512 KiB of 64K
 * pages. The page allocator has blocks up to this order without compaction
 * (PAGE_ALLOC_COSTLY_ORDER), so user space cannot consume huge pages by requesting
 * few levels.
 */
#define TCE_LEVEL_MAX_ORDER	3

/* Entries that are looked at with a lock held or inside one RCU section. */
#define TCE_TABLE_SCAN		1024UL

/*
 * The IOMMU page sizes that a TVE can name: 4K and 64K everywhere, 16M and 256M
 * on POWER8 (PHB3), 2M and 1G on POWER9 and later (PHB4, PHB5). Which of them
 * a PHB really takes is the platform's to say (iommu_table_group::pgsizes).
 */
#define TCE_TABLE_PAGE_SIZES	((u64)(SZ_4K | SZ_64K | SZ_2M | SZ_16M | \
				       SZ_256M | SZ_1G))

/**
 * struct tce_geometry - the shape of a table
 * @page_shift: IOMMU page size, as a shift
 * @levels: number of levels, 1 to TCE_TABLE_MAX_LEVELS
 * @level_shift: entries of each level, as a shift; at least 9 (4 KiB)
 * @entries: number of entries that the window has, in IOMMU pages
 */
struct tce_geometry {
	unsigned int page_shift;
	unsigned int levels;
	unsigned int level_shift;
	unsigned long entries;
};

/**
 * tce_geometry_init() - work out the shape of a table
 * @geo: the result; unchanged on failure
 * @page_shift: IOMMU page size, as a shift
 * @entries: number of entries that the window has, in IOMMU pages
 * @levels: number of levels; more are used where levels that few would be larger
 *          than TCE_LEVEL_MAX_ORDER
 *
 * Context: Any.
 * Return: 0, or -EINVAL for a page size that no TVE can name, no or too many
 * levels, no entries, a window of more than 2^54 bytes (PHBs do not translate
 * such addresses), or levels that reach the address bit that selects the window
 * (bit 59).
 */
int tce_geometry_init(struct tce_geometry *geo, unsigned int page_shift,
		      unsigned long entries, unsigned int levels);

/**
 * tce_geometry_init_backed() - the shape of a table that no hardware walks
 * @geo: the result; unchanged on failure
 * @page_shift: IOMMU page size, as a shift
 * @entries: number of entries that the window has, in IOMMU pages
 *
 * Levels are as small as they can be, and as many as that takes.
 *
 * Context: Any.
 * Return: 0, or -EINVAL for no entries or more than five levels can have.
 */
int tce_geometry_init_backed(struct tce_geometry *geo, unsigned int page_shift,
			     unsigned long entries);

/**
 * tce_geometry_whole_bytes() - what a whole table would take
 * @geo: the shape
 *
 * Context: Any.
 * Return: bytes of all levels of a table with nothing left out, the hardware's
 * half only. The user-space view of a whole table takes as much again.
 */
u64 tce_geometry_whole_bytes(const struct tce_geometry *geo);

/**
 * struct tce_depth_stats - levels of a table at one depth
 * @levels: hardware levels, number
 * @bytes: hardware levels, bytes
 */
struct tce_depth_stats {
	unsigned long levels;
	unsigned long bytes;
};

/**
 * struct tce_table_stats - what a table takes now
 * @depth: the hardware levels by depth; [0] is the first level
 * @hw_bytes: bytes of all hardware levels
 * @user_levels: leaves that have a user-space view of their own, number
 * @user_bytes: bytes of the user-space view
 * @page_bytes: bytes taken from the page allocator for both of them; more than
 *              their sum while levels smaller than a page do not fill a page
 * @meta_bytes: bytes of kernel memory that describe the levels and the table
 * @whole_bytes: what the hardware levels of a whole table would take
 * @set: entries that are set, in IOMMU pages; right when nothing is in flight
 * @idle: levels that wait for tce_table_trim(), or did and are in use again, number
 * @levels_added: hardware levels that have ever come into the tree
 * @levels_removed: hardware levels that have been taken out of it
 */
struct tce_table_stats {
	struct tce_depth_stats depth[TCE_TABLE_MAX_LEVELS];
	unsigned long hw_bytes;
	unsigned long user_levels;
	unsigned long user_bytes;
	unsigned long page_bytes;
	unsigned long meta_bytes;
	u64 whole_bytes;
	unsigned long set;
	unsigned int idle;
	unsigned long levels_added;
	unsigned long levels_removed;
};

/* Owner of entries that belong to nobody. */
#define TCE_OWNER_NONE		2ULL

/* For tce_table_prepare(): entries whose owners differ, or are not known yet. */
#define TCE_OWNER_EACH		0ULL

/* Extents that are exchanged at once, and leaves that are held without an array. */
#define TCE_BATCH		24
#define TCE_RANGE_FEW		8

/**
 * struct tce_entry - an entry as software sees it
 * @tce: physical address and permission bits, CPU byte order; 0 for none
 * @owner: whose it is; 0 is no owner
 */
struct tce_entry {
	u64 tce;
	u64 owner;
};

/**
 * struct tce_extent - entries in a row that lead to memory in a row
 * @index: the first entry
 * @count: number of entries
 * @tce: the first entry: physical address and permission bits, CPU byte order
 * @owner: owner of all of them
 */
struct tce_extent {
	unsigned long index;
	unsigned long count;
	u64 tce;
	u64 owner;
};

/**
 * struct tce_batch - extents on their way into a table or out of it
 * @first: in @extent, the first that is left
 * @count: number of extents in @extent
 * @entries: number of entries of those that are left, on their way in
 * @extent: the extents
 */
struct tce_batch {
	unsigned int first;
	unsigned int count;
	unsigned long entries;
	struct tce_extent extent[TCE_BATCH];
};

struct tce_charge;
struct tce_level;
struct tce_table;

/**
 * struct tce_cursor - a place in a range that is worked on
 * @table: the table
 * @index: the next entry, in IOMMU pages
 * @end: one past the last entry
 * @max_extents: extents that tce_table_clear() takes out in one call; 0 for TCE_BATCH
 * @single: entries are taken out one by one, as the backing has refused several
 *
 * The caller sets the first three, or four, and calls until the work is done; between
 * calls nothing is held.
 */
struct tce_cursor {
	struct tce_table *table;
	unsigned long index;
	unsigned long end;
	unsigned int max_extents;
	bool single;
};

/**
 * struct tce_range - a range whose leaves are held
 * @table: the table
 * @index: the next entry to store, in IOMMU pages
 * @end: one past the last entry
 * @leaf: the leaves from that of @index on
 * @leaves: their number
 * @all: what @leaf was at first
 * @list: room for a list for the backing; NULL if entries go there one by one
 * @few: room for @leaf
 */
struct tce_range {
	struct tce_table *table;
	unsigned long index;
	unsigned long end;
	struct tce_level **leaf;
	unsigned long leaves;
	struct tce_level **all;
	__be64 *list;
	struct tce_level *few[TCE_RANGE_FEW];
};

/**
 * struct tce_table_ops - what a table asks of its user
 * @set: gives the backing @count entries from @index on; @tces has them as in the
 *       leaf, in 4 KiB that are aligned if @count is not 1. Returns 0, or an errno if
 *       none of them is set there. NULL if there is no backing, and so is @clear
 * @clear: takes @count entries from @index on out of the backing. Returns 0, or an errno
 *         if some may be there still. Both are called with a spinlock held
 * @kill: kills the TCEs of @count entries from @index on, for tce_table_trim(). May
 *        sleep
 * @idle: there is something for tce_table_trim() where nothing was. Called with a
 *        spinlock held
 */
struct tce_table_ops {
	int (*set)(void *data, unsigned long index, const __be64 *tces,
		   unsigned long count);
	int (*clear)(void *data, unsigned long index, unsigned long count);
	void (*kill)(void *data, unsigned long index, unsigned long count);
	void (*idle)(void *data);
};

/**
 * tce_table_create() - make an empty table
 * @geo: its shape, from tce_geometry_init()
 * @nid: NUMA node for the levels, or NUMA_NO_NODE
 * @charge: what the kernel pages of levels are charged to, as they come and go; NULL
 *          for nothing. The caller settles it
 * @ops: what it asks of its user
 * @data: for @ops
 *
 * Allocates the first level only, charged to the caller's memory cgroup.
 *
 * Context: Process, may sleep.
 * Return: the table, or ERR_PTR(-ENOMEM).
 */
struct tce_table *tce_table_create(const struct tce_geometry *geo, int nid,
				   struct tce_charge *charge,
				   const struct tce_table_ops *ops, void *data);

/**
 * tce_table_destroy() - free a table and all its levels
 * @table: the table; entries that are still set are forgotten
 *
 * Context: Process, may sleep. Neither the hardware nor anybody else reaches
 * the table any more.
 */
void tce_table_destroy(struct tce_table *table);

/**
 * tce_table_id() - which table it is
 * @table: the table
 *
 * Return: a number that no other table has had, unless 2^32 were made in between.
 */
unsigned int tce_table_id(const struct tce_table *table);

/**
 * tce_table_geometry() - the shape of a table
 * @table: the table
 *
 * Return: its shape.
 */
const struct tce_geometry *tce_table_geometry(const struct tce_table *table);

/**
 * tce_table_root() - the first level, as the hardware is told of it
 * @table: the table
 *
 * Return: its address in the linear map; it stays where it is for the table's
 * life.
 */
void *tce_table_root(const struct tce_table *table);

/**
 * tce_table_exchange() - swap one entry
 * @table: the table
 * @index: the entry
 * @entry: in: what to put there, with its owner; a @tce of 0 clears. Out: what was
 *         there, a @tce of 0 for nothing
 * @alloc: whether a missing level, or a view, may be allocated, from atomic memory
 *
 * Write permission implies read, as the hardware wants it. An address without
 * permissions takes the entry, although it translates nothing. Clearing never
 * allocates, whatever @alloc says.
 *
 * Context: Any but an interrupt handler; with @alloc false also where nothing may be
 * allocated. Never sleeps, takes no lock that can sleep.
 * Return: 0; -EINVAL for an index beyond the table or an address with low bits
 * set; H_TOO_HARD (positive, asm/hvcall.h) if @alloc is false and a level is missing,
 * or a place for the owner; -ENOMEM if one cannot be allocated; what the backing
 * says. Nothing is changed on failure, @entry included.
 */
int tce_table_exchange(struct tce_table *table, unsigned long index,
		       struct tce_entry *entry, bool alloc);

/**
 * tce_table_get() - read one entry
 * @table: the table
 * @index: the entry
 *
 * Context: Any. Never allocates.
 * Return: physical address and permission bits, 0 if there is none.
 */
u64 tce_table_get(struct tce_table *table, unsigned long index);

/**
 * tce_table_prepare() - allocate and hold everything a range needs
 * @table: the table
 * @range: the range: &tce_range.index and &tce_range.end are set
 * @owner: whose the entries will be, or TCE_OWNER_EACH
 * @gfp: how to allocate; 0 to allocate nothing
 *
 * Allocates the missing levels, and views where a leaf gets more than one owner,
 * charged to the caller's memory cgroup. Holds each leaf until its last entry of the
 * range was stored, or until tce_table_finish(), which is not called after a failure:
 * nothing is held then. Levels that were allocated before it stay, empty.
 *
 * Context: As @gfp says; not an interrupt handler. Where it may sleep, it reschedules;
 * where it may not, the range has TCE_RANGE_FEW leaves at most.
 * Return: 0; -EINVAL if the range does not lie in the table, or is empty; -ENOMEM;
 * -EINTR if a fatal signal is pending and @gfp may sleep.
 */
int tce_table_prepare(struct tce_table *table, struct tce_range *range,
		      u64 owner, gfp_t gfp);

/**
 * tce_table_store() - set entries of a range that has been prepared
 * @range: the range; &tce_range.index is moved past what was set
 * @new: what to set from there on; permission bits as given, write permission implies
 *       read. &tce_extent.index is not used. Moved past what was set
 * @old: what was set there before
 *
 * Sets what lies in one leaf, and what @old has room for. It fails only when the entry
 * at &tce_range.index cannot be set. It may get nowhere once, after the backing has
 * refused a list.
 *
 * Context: Any but an interrupt handler.
 * Return: 0, or what the backing says of the entry at &tce_range.index.
 */
int tce_table_store(struct tce_range *range, struct tce_batch *new,
		    struct tce_batch *old);

/**
 * tce_table_finish() - let go of what tce_table_prepare() holds
 * @range: the range
 *
 * Context: Process, may sleep, if tce_table_prepare() might; else any but an interrupt
 * handler.
 */
void tce_table_finish(struct tce_range *range);

/**
 * tce_table_clear() - clear entries of a range
 * @cursor: the place; moved past what was cleared
 * @old: what was set
 *
 * Steps over holes at any depth and over entries that are not set, and over entries
 * that the backing does not let go of: those stay set. What is in @old comes from one
 * leaf. At most TCE_TABLE_SCAN entries of each level are looked at: the caller goes on
 * until @cursor is at the end of the range.
 *
 * Context: Any but an interrupt handler. Never allocates.
 */
void tce_table_clear(struct tce_cursor *cursor, struct tce_batch *old);

/**
 * tce_table_extent() - find what is set
 * @cursor: where to look from; moved past what was found
 * @extent: the result
 *
 * For people and tests. What others change meanwhile may be seen before or after.
 *
 * Context: Process, may sleep; reschedules. Never allocates.
 * Return: whether there is anything more.
 */
bool tce_table_extent(struct tce_cursor *cursor, struct tce_extent *extent);

/**
 * tce_table_trim() - unlink unused levels and free them
 * @table: the table
 * @age: only those that have not been used for so long, in jiffies
 *
 * In this order: levels are unlinked, &tce_table_ops.kill is called for the ranges of
 * entries that they covered, a grace period of RCU passes, the levels are freed. An
 * upper level goes with the last one below it.
 *
 * What a kill has to drop is a pointer to a freed level that the hardware still has
 * cached; each entry of the level was killed when it was cleared. For a leaf, the kill
 * gets the whole range, and one call for leaves that are neighbours. The range of an
 * upper level may be millions of entries, which some PHBs are told one by one, so it
 * gets the first entry: a kill that drops the pointer to a leaf drops those above it.
 *
 * Context: Process, may sleep; reschedules.
 * Return: whether there are any that are too young.
 */
bool tce_table_trim(struct tce_table *table, unsigned long age);

/**
 * tce_table_stats() - the table's memory figures
 * @table: the table
 * @stats: the result
 *
 * Visits each leaf.
 *
 * Context: Process, may sleep; reschedules.
 */
void tce_table_stats(struct tce_table *table, struct tce_table_stats *stats);

#endif /* TCE_TABLE_H */
