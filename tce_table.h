/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A multilevel table of translation control entries (TCE) whose levels are
 * allocated when they are first needed.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_TABLE_H
#define TCE_TABLE_H

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
 * Locking contract:
 *
 * - Operations on different indices may run in parallel without limit; levels
 *   go in by compare-and-exchange.
 * - An entry, its owner and its backing change together, under a spinlock of the
 *   leaf. No lock of the table is taken with interrupts off, so no operation may be
 *   called from an interrupt handler.
 * - Levels that are not used any more stay, until tce_table_trim() takes them out
 *   and frees them after a grace period of RCU. Every walk is inside an RCU
 *   section or on leaves that are held.
 * - No operation holds a lock, or stays in an RCU section, for more than
 *   TCE_TABLE_SCAN entries of each level, whatever the geometry.
 * - tce_table_destroy() is called when nobody can reach the table any more.
 *
 * A table may have a backing: somebody else, a hypervisor, has the entries that
 * the hardware walks, and this table is what software knows of them.
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
 * @used: entries that are set, in IOMMU pages; right when nothing is in flight
 */
struct tce_table_stats {
	struct tce_depth_stats depth[TCE_TABLE_MAX_LEVELS];
	unsigned long hw_bytes;
	unsigned long user_levels;
	unsigned long user_bytes;
	unsigned long page_bytes;
	unsigned long meta_bytes;
	u64 whole_bytes;
	unsigned long used;
};

/* Owner of entries that belong to nobody. */
#define TCE_OWNER_NONE		2ULL

/* For tce_table_prepare(): entries with owners of their own. */
#define TCE_OWNER_EACH		0ULL

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
 * struct tce_cursor - a place in a range that is worked on
 * @table: the table
 * @index: the next entry, in IOMMU pages
 * @end: one past the last entry
 *
 * The caller sets all three and calls until the work is done; between calls
 * nothing is held.
 */
struct tce_cursor {
	struct tce_table *table;
	unsigned long index;
	unsigned long end;
};

struct tce_charge;
struct tce_level;
struct tce_table;

/**
 * struct tce_backing - who else has the entries
 * @write: gives the backing an entry; 0 or an errno, and nothing is changed.
 *         Called with a spinlock held
 * @data: for @write
 */
struct tce_backing {
	int (*write)(void *data, unsigned long index, u64 tce);
	void *data;
};

/**
 * tce_table_create() - make an empty table
 * @geo: its shape, from tce_geometry_init()
 * @nid: NUMA node for the levels, or NUMA_NO_NODE
 * @charge: what the kernel pages of levels are charged to, as they come and go; NULL
 *          for nothing. The caller settles it
 *
 * Allocates the first level only, charged to the caller's memory cgroup.
 *
 * Context: Process, may sleep.
 * Return: the table, or ERR_PTR(-ENOMEM).
 */
struct tce_table *tce_table_create(const struct tce_geometry *geo, int nid,
				   struct tce_charge *charge);

/**
 * tce_table_set_backing() - tell a table who else has its entries
 * @table: the table; nothing has been set in it
 * @backing: who; copied
 *
 * Context: Any.
 */
void tce_table_set_backing(struct tce_table *table,
			   const struct tce_backing *backing);

/**
 * tce_table_destroy() - free a table and all its levels
 * @table: the table; entries that are still set are forgotten
 *
 * Context: Process, may sleep. Neither the hardware nor anybody else reaches
 * the table any more.
 */
void tce_table_destroy(struct tce_table *table);

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
 * tce_table_reserve() - hold what one entry needs, whatever its owner
 * @table: the table
 * @index: the entry
 * @alloc: whether a missing leaf and its view may be allocated, from atomic memory
 *
 * Until tce_table_unreserve() the leaf of @index and its view stay, so
 * tce_table_exchange() finds a place for any owner.
 *
 * Context: Any but an interrupt handler. Never sleeps.
 * Return: the leaf; NULL for an index beyond the table, if something is missing and
 * @alloc is false, or if there is no memory. Levels that were allocated before a
 * failure stay, empty.
 */
struct tce_level *tce_table_reserve(struct tce_table *table,
				    unsigned long index, bool alloc);

/**
 * tce_table_unreserve() - take tce_table_reserve() back
 * @table: the table
 * @leaf: from tce_table_reserve()
 *
 * Context: Any but an interrupt handler.
 */
void tce_table_unreserve(struct tce_table *table, struct tce_level *leaf);

/**
 * tce_table_change_owner() - give an entry another owner, if it still has the first
 * @table: the table
 * @leaf: from tce_table_reserve() for @index
 * @index: the entry, which was set after tce_table_reserve()
 * @from: the owner that it was set with
 * @to: the owner that it is to have; not 0
 *
 * Context: Any but an interrupt handler.
 * Return: whether the entry was still @from's.
 */
bool tce_table_change_owner(struct tce_table *table, struct tce_level *leaf,
			    unsigned long index, u64 from, u64 to);

/**
 * tce_table_prepare() - allocate and hold everything a range needs
 * @table: the table
 * @index: first entry
 * @count: number of entries
 * @owner: whose the entries will be, or TCE_OWNER_EACH
 *
 * Allocates the missing levels, and views where a leaf gets more than one owner,
 * charged to the caller's memory cgroup, and holds the leaves until
 * tce_table_finish(). All or nothing is held; levels that were allocated before a
 * failure stay, empty.
 *
 * Context: Process, may sleep; reschedules.
 * Return: 0; -EINVAL if the range does not lie in the table; -ENOMEM; -EINTR if
 * a fatal signal is pending.
 */
int tce_table_prepare(struct tce_table *table, unsigned long index,
		      unsigned long count, u64 owner);

/**
 * tce_table_finish() - let go of what tce_table_prepare() held
 * @table: the table
 * @index: first entry, as for tce_table_prepare()
 * @count: number of entries, as for tce_table_prepare()
 *
 * Context: Process, may sleep; reschedules.
 */
void tce_table_finish(struct tce_table *table, unsigned long index,
		      unsigned long count);

/**
 * tce_table_store() - set entries of a range that has been prepared
 * @cursor: the place; moved past what was set. Its range is prepared, for the
 *          owners in @new
 * @new: entries to set, one after the other; permission bits as given, write
 *       permission implies read
 * @count: number of entries in @new, at most what is left of the range
 * @old: the entries that were set before, if any, room for @count; may be @new
 *
 * May stop before @count; what is left is for the next call. It fails only when
 * the first entry cannot be set.
 *
 * Context: Any but an interrupt handler.
 * Return: number of entries in @old; what the backing says of the entry at @cursor.
 */
int tce_table_store(struct tce_cursor *cursor,
		    const struct tce_entry *new, unsigned int count,
		    struct tce_entry *old);

/**
 * tce_table_store_few() - set a few entries of a range that was not prepared
 * @cursor: the place; moved past what was set
 * @first: the first entry; the pages of the others follow its page
 * @count: number of entries
 * @old: the entries that were set before, if any, room for @count
 *
 * All or nothing, and only if all of it lies in a leaf that is there, takes the
 * owner and has no view. Not for a table with a backing.
 *
 * Context: Any.
 * Return: number of entries in @old; -EAGAIN if it cannot be done like this:
 * nothing is changed then.
 */
int tce_table_store_few(struct tce_cursor *cursor,
			const struct tce_entry *first, unsigned int count,
			struct tce_entry *old);

/**
 * tce_table_clear() - clear entries of a range
 * @cursor: the place; moved past what was cleared
 * @old: the entries that were set, room for @max
 * @first: the index of the first entry in @old, if there is one
 * @last: the index of the last entry in @old, if there is one
 * @max: how many to clear at most, one or more
 *
 * Steps over holes at any depth and over entries that are not set, and over
 * entries that the backing does not let go of: those stay set. Entries in @old
 * all come from one leaf. At most TCE_TABLE_SCAN entries of each level are looked at: the
 * caller goes on until @cursor is at the end of the range.
 *
 * Context: Any but an interrupt handler. Never allocates.
 * Return: number of entries in @old, which may be 0 before the end of the range.
 */
unsigned int tce_table_clear(struct tce_cursor *cursor, struct tce_entry *old,
			     unsigned long *first, unsigned long *last,
			     unsigned int max);

/**
 * struct tce_extent - entries in a row that lead to memory in a row
 * @index: the first entry
 * @count: number of entries
 * @tce: the first entry's physical address and permission bits; all have the same
 *       permissions
 */
struct tce_extent {
	unsigned long index;
	unsigned long count;
	u64 tce;
};

/**
 * tce_table_extent() - find what is set
 * @cursor: where to look from; moved past what was found
 * @extent: the result
 *
 * For people and tests. Takes no lock, so what others change meanwhile may be seen
 * before or after.
 *
 * Context: Process, may sleep; reschedules. Never allocates.
 * Return: whether there is anything more.
 */
bool tce_table_extent(struct tce_cursor *cursor, struct tce_extent *extent);

/**
 * tce_table_idle() - levels that tce_table_trim() could take out
 * @table: the table
 *
 * Context: Any.
 * Return: their number, as of now.
 */
unsigned int tce_table_idle(const struct tce_table *table);

/**
 * tce_table_trim() - take unused levels out and free them
 * @table: the table
 * @keep: how many of those that became unused last may stay
 * @kill: kills the TCEs of @count entries from @index on
 * @data: for @kill
 *
 * In this order: the levels are taken out of the tree, @kill is called for the
 * ranges of entries that they covered, a grace period of RCU passes, the levels are
 * freed. An upper level goes with the last one below it.
 *
 * What @kill has to drop is a pointer to a freed level that the hardware still has
 * cached; each entry of the level was killed when it was cleared. For a leaf, @kill
 * gets the whole range, and one call for leaves that are neighbours. The range of an
 * upper level may be millions of entries, which some PHBs are told one by one, so
 * @kill gets its first entry: a kill that drops the pointer to a leaf drops those
 * above it.
 *
 * So many levels are taken out that @kill gets a bounded number of entries.
 *
 * Context: Process, may sleep; reschedules.
 * Return: whether there are more.
 */
bool tce_table_trim(struct tce_table *table, unsigned int keep,
		    void (*kill)(void *data, unsigned long index,
				 unsigned long count),
		    void *data);

/**
 * tce_table_stats() - the table's memory figures
 * @table: the table
 * @stats: the result
 *
 * Context: Any.
 */
void tce_table_stats(struct tce_table *table, struct tce_table_stats *stats);

#if IS_ENABLED(CONFIG_KUNIT)
struct page *tce_pages_alloc(int nid, gfp_t gfp, unsigned int order);
void tce_pages_free(struct page *page, unsigned int order);
#endif

#endif /* TCE_TABLE_H */
