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
#include <linux/list.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include <asm/tce.h>

/**
 * DOC: TCE table
 *
 * A table translates an index, the number of an IOMMU page in a DMA window, to
 * a TCE. It depends neither on bus addresses nor on the platform: index 0 is
 * the first page of the window.
 *
 * Format (IODA2 and IODA3; the platform's use of it is in
 * arch/powerpc/platforms/powernv/pci-ioda-tce.c): an entry is a big-endian
 * 64-bit word. Bit 0 lets the device read, bit 1 lets it write, the bits from
 * the IOMMU page shift upwards are a physical address. An entry of an upper
 * level has both bits set and the physical address of the next level. A word
 * with neither bit set translates nothing.
 *
 * Each entry has an owner, a word that says how its page is released; the table
 * does not interpret it. As long as all entries of a leaf have the same owner
 * the leaf stores it once. Otherwise the leaf has a view, one owner per entry.
 * (The kernel's userspace view, it_userspace, is one for the whole table: on
 * PowerNV with as many levels as the table, on pSeries one array. This table
 * does not use it.)
 *
 * Entries are stored and cleared by extent: consecutive entries of one owner
 * that translate to physically contiguous memory with the same permissions.
 *
 * Locking contract:
 *
 * - Operations may run in parallel, also on the same entries.
 * - An entry, its owner and its backing change together, under the lock of the
 *   leaf. A level is linked and unlinked under the lock of the level above it.
 *   These are spinlocks that are taken without disabling interrupts, so no
 *   operation that takes one may be called from an interrupt handler.
 * - Levels that are no longer in use stay until tce_trim() unlinks them
 *   and frees them after an RCU grace period. Every walk is inside an RCU
 *   read-side section; a leaf that is held needs none.
 * - No operation holds a spinlock, or stays in an RCU read-side section, for
 *   more than TCE_TABLE_SCAN entries of each level, whatever the geometry.
 * - The caller kills the entries that an operation has cleared or replaced, and
 *   then calls tce_table_killed(). Until then an entry that another operation
 *   finds empty may still be cached by the hardware (tce_table_unkilled()).
 * - tce_table_destroy() is called when nothing can access the table any more.
 *
 * A table may have a backing: the table of a hypervisor, which the hardware
 * walks. This table is then the shadow of it.
 */

/* The hardware walks this number of levels at most. */
#define TCE_TABLE_MAX_LEVELS	5

/*
 * Maximum number of entries that are visited with a spinlock held or inside one
 * RCU read-side section.
 */
#define TCE_TABLE_SCAN		1024UL

/*
 * Maximum number of entries that a backing is asked to set at once: the list of
 * H_PUT_TCE_INDIRECT must not cross a 4 KiB boundary (PAPR).
 */
#define TCE_SET_MAX		(SZ_4K / sizeof(__be64))

/*
 * Maximum number of entries that are set or cleared in a backing one by one
 * with a spinlock held, unless it has refused a list and to clear what it has
 * set of it (tce_platform_set_entries()).
 */
#define TCE_SINGLY_MAX		16UL

/* The bits of a TCE that are not part of the address. */
#define TCE_PERM		((u64)(TCE_PCI_READ | TCE_PCI_WRITE))

/*
 * The IOMMU page sizes that a translation validation entry (TVE) of the
 * hardware can have: 4K and 64K everywhere, 16M and 256M on POWER8 (PHB3), 2M
 * and 1G on POWER9 and later (PHB4, PHB5). iommu_table_group::pgsizes has those
 * that a PHB supports.
 */
#define TCE_TABLE_PAGE_SIZES	((u64)(SZ_4K | SZ_64K | SZ_2M | SZ_16M | \
				       SZ_256M | SZ_1G))

/**
 * struct tce_geometry - the geometry of a table
 * @page_shift: IOMMU page size, as a shift
 * @levels: number of levels, 1 to TCE_TABLE_MAX_LEVELS
 * @level_shift: entries of each level, as a shift; at least 9 (4 KiB)
 * @entries: size of the window, in IOMMU pages
 */
struct tce_geometry {
	unsigned int page_shift;
	unsigned int levels;
	unsigned int level_shift;
	unsigned long entries;
};

/**
 * tce_geometry_init() - compute the geometry of a table
 * @geo: the result; unchanged on failure
 * @page_shift: IOMMU page size, as a shift
 * @entries: size of the window, in IOMMU pages
 * @levels: number of levels; a hint: the table gets more of them if so few
 *          would need allocations of a high order
 *
 * Context: Any.
 * Return: 0, or -EINVAL for a page size that is not in TCE_TABLE_PAGE_SIZES, no
 * or too many levels, no entries, a window of more than 2^54 bytes, or levels
 * that would translate the address bit that selects the window (bit 59).
 */
int tce_geometry_init(struct tce_geometry *geo, unsigned int page_shift,
		      unsigned long entries, unsigned int levels);

/**
 * tce_geometry_init_backed() - compute the geometry of a shadow table
 * @geo: the result; unchanged on failure
 * @page_shift: IOMMU page size, as a shift
 * @entries: size of the window, in IOMMU pages
 *
 * No hardware walks it, so levels have the minimum size.
 *
 * Context: Any.
 * Return: 0, or -EINVAL for no entries, or for more entries than
 * TCE_TABLE_MAX_LEVELS levels can translate.
 */
int tce_geometry_init_backed(struct tce_geometry *geo, unsigned int page_shift,
			     unsigned long entries);

/**
 * tce_geometry_whole_bytes() - size of a table with all levels allocated
 * @geo: the geometry
 *
 * Context: Any.
 * Return: bytes of all levels. A userspace view of the whole table
 * takes as many bytes again.
 */
u64 tce_geometry_whole_bytes(const struct tce_geometry *geo);

/**
 * struct tce_depth_stats - levels of a table at one depth
 * @levels: number of levels
 * @bytes: bytes of these
 */
struct tce_depth_stats {
	unsigned long levels;
	unsigned long bytes;
};

/**
 * struct tce_table_stats - memory that a table uses
 * @depth: levels by depth; [0] is the first level
 * @hw_bytes: bytes of all levels
 * @user_levels: number of leaves that have a view
 * @user_bytes: bytes of the views
 * @page_bytes: bytes taken from the page allocator for levels and views; more
 *              than their sum while levels that share a kernel page do not fill
 *              it
 * @meta_bytes: bytes of kernel memory that describe the levels and the table
 * @whole_bytes: see tce_geometry_whole_bytes()
 * @set: number of leaf entries that are set; exact only if no operation runs
 *       meanwhile
 * @idle: number of levels that are queued for tce_trim(), including
 *        levels that are in use again
 * @levels_added: number of levels that were ever linked, and the first level
 * @levels_removed: number of levels that were ever unlinked
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

/* Owner of entries that need none: the TCE alone identifies the page. */
#define TCE_OWNER_NONE		2ULL

/*
 * For tce_table_prepare(): the owners of the entries differ, or are not known
 * yet.
 */
#define TCE_OWNER_EACH		0ULL

/*
 * Extents in a batch, and leaves that a range can hold without an allocated
 * array.
 */
#define TCE_BATCH		24
#define TCE_RANGE_FEW		8

/**
 * struct tce_entry - an entry and its owner
 * @tce: physical address and permission bits, CPU byte order; 0 for none
 * @owner: the owner; 0 if @tce is 0
 */
struct tce_entry {
	u64 tce;
	u64 owner;
};

/**
 * struct tce_extent - consecutive entries that have one owner and translate to
 *	contiguous memory
 * @index: the first entry
 * @count: number of entries
 * @tce: physical address and permission bits of the first entry, CPU byte order
 * @owner: the owner of all of them
 */
struct tce_extent {
	unsigned long index;
	unsigned long count;
	u64 tce;
	u64 owner;
};

/**
 * struct tce_batch - extents that are to be stored, or were cleared
 * @first: index in @extent of the first one that is not processed yet
 * @count: number of extents in @extent
 * @entries: number of entries that are not stored yet, or that
 *           tce_table_clear() has cleared; not set in @old of tce_table_store()
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
 * struct tce_cursor - position of tce_table_clear() or tce_table_extent() in a
 *	range
 * @table: the table
 * @index: the next entry, in IOMMU pages; may end up beyond @end
 * @end: one past the last entry
 * @max_extents: extents that one call of tce_table_clear() may clear; 0 for
 *               TCE_BATCH
 * @single: entries are cleared one by one, as the backing has refused several
 *          at once
 * @hole: the last call of tce_table_clear() has found no leaf
 *
 * The caller initialises all members, @single to false, and repeats the call
 * while @index is less than @end. No lock or reference is held between calls.
 */
struct tce_cursor {
	struct tce_table *table;
	unsigned long index;
	unsigned long end;
	unsigned int max_extents;
	bool single;
	bool hole;
};

/**
 * struct tce_spares - memory for levels that was allocated with no lock held
 * @blocks: blocks of memory
 * @count: number of blocks
 * @missing: a level could not be allocated without waiting. The following
 *           members are valid then
 * @wanted: number of blocks that are enough for what is missing
 * @order: size of a block, as an order of kernel pages
 * @size: bytes of the description of a block
 * @places: number of levels in a block
 * @nid: NUMA node
 *
 * A table uses the blocks if they have the right size. See
 * tce_table_prepare().
 */
struct tce_spares {
	struct list_head blocks;
	unsigned long count;
	bool missing;
	unsigned long wanted;
	unsigned int order;
	size_t size;
	unsigned int places;
	int nid;
};

/**
 * struct tce_range - a range whose leaves are held
 * @table: the table
 * @spares: memory for levels that are missing; may be NULL
 * @index: the next entry to store, in IOMMU pages
 * @end: one past the last entry
 * @leaf: the leaves that are still held, beginning with that of @index
 * @leaves: number of leaves in @leaf
 * @all: the array that @leaf points into
 * @list: buffer for a list of entries for the backing; NULL if entries are set
 *        there one by one
 * @few: array for @all if the range has few leaves
 */
struct tce_range {
	struct tce_table *table;
	struct tce_spares *spares;
	unsigned long index;
	unsigned long end;
	struct tce_level **leaf;
	unsigned long leaves;
	struct tce_level **all;
	__be64 *list;
	struct tce_level *few[TCE_RANGE_FEW];
};

/**
 * struct tce_table_ops - callbacks of a table
 * @set: sets @count entries of the backing, beginning with @index. @tces are
 *       the new entries, big-endian; if @count is not 1 they are in an aligned
 *       buffer for TCE_SET_MAX entries, and replace no entries that are set.
 *       Returns 0, or an errno other than -EAGAIN: the entries are then as
 *       before, as far as the backing allows. Called with a spinlock held.
 *       @set and @clear are NULL if there is no backing
 * @lists: @set takes several entries at once
 * @clear: clears @count entries of the backing, beginning with @index. Returns
 *         0, or an errno other than -EAGAIN: some may still be set then. Called
 *         with a spinlock held
 * @kill: invalidates @count entries, beginning with @index, for
 *        tce_trim(). May sleep
 * @idle: called when a level was queued for tce_trim() and the queue was
 *        empty before, with a spinlock held. Not called for levels that
 *        tce_trim() itself queues again: it then returns true, and the
 *        caller schedules the next trim
 */
struct tce_table_ops {
	int (*set)(void *data, unsigned long index, const __be64 *tces,
		   unsigned long count);
	bool lists;
	int (*clear)(void *data, unsigned long index, unsigned long count);
	void (*kill)(void *data, unsigned long index, unsigned long count);
	void (*idle)(void *data);
};

/**
 * tce_table_create() - allocate an empty table
 * @geo: its geometry, from tce_geometry_init() or tce_geometry_init_backed()
 * @nid: NUMA node for the levels, or NUMA_NO_NODE
 * @charge: the address space that levels are charged to as they are allocated;
 *          NULL if they are not charged
 * @ops: its callbacks
 * @data: for @ops
 * @spares: memory for the first level; may be NULL
 *
 * Allocates only the first level, which is taken from the credit of @charge and
 * accounted to the caller's memory cgroup.
 *
 * Context: Process, may sleep. The level is allocated as in
 * tce_table_prepare().
 * Return: the table, or ERR_PTR(-ENOMEM), also if there is no credit.
 */
struct tce_table *tce_table_create(const struct tce_geometry *geo, int nid,
				   struct tce_charge *charge,
				   const struct tce_table_ops *ops, void *data,
				   struct tce_spares *spares);

/**
 * tce_table_destroy() - free a table and all its levels
 * @table: the table; pages of entries that are still set are not released
 *
 * Context: Process, may sleep. Neither hardware nor software accesses the table
 * any more.
 */
void tce_table_destroy(struct tce_table *table);

/**
 * tce_table_id() - number of a table
 * @table: the table
 *
 * Context: Any.
 * Return: a number that is unique until 2^32 tables have been created.
 */
unsigned int tce_table_id(const struct tce_table *table);

/**
 * tce_table_geometry() - the geometry of a table
 * @table: the table
 *
 * Context: Any.
 * Return: its geometry.
 */
const struct tce_geometry *tce_table_geometry(const struct tce_table *table);

/**
 * tce_table_root() - the first level
 * @table: the table
 *
 * Context: Any.
 * Return: its address in the linear map, which does not change.
 */
void *tce_table_root(const struct tce_table *table);

/**
 * tce_table_exchange() - exchange one entry
 * @table: the table
 * @index: the entry
 * @entry: in: the new entry and its owner; a @tce of 0 clears the entry, its
 *         owner is ignored. Out: the old entry and its owner; both are 0 if it
 *         was empty
 * @alloc: allocate a missing level or view, with GFP_NOWAIT
 *
 * Without a backing, write permission implies read permission. An address
 * without permissions is stored, although it translates nothing. A clear never
 * allocates, whatever @alloc is.
 *
 * Context: Any but an interrupt handler. Never sleeps.
 * Return: 0; -EINVAL for an index beyond the table or an address with low bits
 * set; H_TOO_HARD (positive, asm/hvcall.h) if @alloc is false and a level, or a
 * view for the owner, is missing; -ENOMEM if it cannot be allocated; the errno
 * of the backing. On failure neither the entry nor @entry's @tce is changed;
 * levels that were allocated stay, empty.
 */
int tce_table_exchange(struct tce_table *table, unsigned long index,
		       struct tce_entry *entry, bool alloc);

/**
 * tce_table_get() - read one entry
 * @table: the table
 * @index: the entry
 *
 * Context: Any. Never allocates.
 * Return: physical address and permission bits, 0 if the entry is empty.
 */
u64 tce_table_get(struct tce_table *table, unsigned long index);

/**
 * tce_spares_init() - initialise
 * @spares: the object
 *
 * Context: Any.
 */
static inline void tce_spares_init(struct tce_spares *spares)
{
	INIT_LIST_HEAD(&spares->blocks);
	spares->count = 0;
	spares->missing = false;
}

/**
 * tce_spares_fill() - allocate memory for levels like the one that could not be
 * allocated
 * @spares: the object; &tce_spares.missing was set
 * @count: number of blocks that it shall have
 *
 * Waits for memory, which is accounted to the caller's memory cgroup.
 *
 * Context: Process, may sleep. The caller holds no lock that another process
 * may need.
 * Return: true if it has a block more than before.
 */
bool tce_spares_fill(struct tce_spares *spares, unsigned long count);

/**
 * tce_spares_free() - free the blocks that were not used
 * @spares: the object
 *
 * Context: Process, may sleep.
 */
void tce_spares_free(struct tce_spares *spares);

/**
 * tce_table_prepare() - allocate and hold the leaves of a range
 * @table: the table
 * @range: the range: &tce_range.spares, &tce_range.index and &tce_range.end are
 *         set
 * @owner: owner of all entries that will be stored, or TCE_OWNER_EACH
 * @gfp: GFP_KERNEL if the caller may sleep, otherwise GFP_NOWAIT; 0 to allocate
 *       nothing
 *
 * Allocates the missing levels, and views for leaves that get more than one
 * owner. In any case this does not wait for memory of the memory cgroup, as the
 * caller may hold locks (TCE_GFP_NOWAIT): if it fails, and has set
 * &tce_spares.missing, the caller can call tce_spares_fill() without these
 * locks and start over. Each leaf is held until its last entry of the range is
 * stored, or until tce_table_finish(). After a failure nothing is held,
 * tce_table_finish() must not be called, and levels that were already allocated
 * stay, empty.
 *
 * Context: Any but an interrupt handler. Sleeps and reschedules if @gfp allows
 * it.
 * Return: 0; -EINVAL if the range is empty or not inside the table; -ENOMEM,
 * also if a level or a view is missing and @gfp is 0, or if @gfp does not allow
 * sleeping and the range has more than TCE_RANGE_FEW leaves; -EINTR if a fatal
 * signal is pending, @gfp allows sleeping, and the range has more than one
 * leaf.
 */
int tce_table_prepare(struct tce_table *table, struct tce_range *range,
		      u64 owner, gfp_t gfp);

/**
 * tce_table_store() - set entries of a prepared range
 * @range: the range; &tce_range.index is moved past the entries that were set
 * @new: the new entries, beginning with &tce_range.index; without a backing,
 *       write permission implies read permission. &tce_extent.index is not
 *       used. &tce_batch.first is moved past the extents that were set,
 *       &tce_batch.entries is lowered, and an extent of which only a part was
 *       set is shortened to the rest
 * @old: result: the entries that were set there before
 *
 * Sets entries of one leaf, TCE_TABLE_SCAN at most, as far as @old has room for
 * the entries that they replace; with a backing perhaps fewer. The caller
 * repeats the call for the rest of @new. Fails only if the entry at
 * &tce_range.index cannot be set. Returns 0 with nothing set, at most once for
 * a range, if the backing has refused one entry or a list while entries could
 * still be set by list.
 *
 * Context: Any but an interrupt handler.
 * Return: 0, or the errno of the backing for the entry at &tce_range.index.
 */
int tce_table_store(struct tce_range *range, struct tce_batch *new,
		    struct tce_batch *old);

/**
 * tce_table_finish() - drop the holds of tce_table_prepare()
 * @range: the range
 *
 * Context: Process, may sleep, if tce_table_prepare() was allowed to sleep;
 * otherwise any but an interrupt handler.
 */
void tce_table_finish(struct tce_range *range);

/**
 * tce_table_clear() - clear entries of a range
 * @cursor: the position; moved past the entries that were cleared or skipped
 * @old: result: the entries that were cleared
 *
 * Skips holes at any depth and empty entries. Entries that the backing refuses
 * to clear are skipped, too, and stay set. All entries in @old are of one leaf.
 * Visits at most TCE_TABLE_SCAN entries of each level: the caller repeats the
 * call until @cursor has reached the end of the range.
 *
 * Context: Any but an interrupt handler. Never allocates.
 */
void tce_table_clear(struct tce_cursor *cursor, struct tce_batch *old);

/**
 * tce_table_killed() - note that entries were killed
 * @table: the table
 * @count: number of operations that have returned them, as the old entry or in
 *         the batch of old entries
 *
 * Context: Any. Called after the kill; each operation is counted once.
 */
void tce_table_killed(struct tce_table *table, unsigned int count);

/**
 * tce_table_unkilled() - number of operations whose entries were not killed yet
 * @table: the table
 *
 * An operation that has found an entry empty, and does not kill it, calls this
 * afterwards: only if the result is 0, or counts only the caller's own
 * operations, is it certain that the hardware does not use an older value of
 * the entry.
 *
 * Levels that are being trimmed count, too, until they were killed.
 *
 * Context: Any.
 * Return: the number.
 */
unsigned int tce_table_unkilled(const struct tce_table *table);

/**
 * tce_table_extent() - find the next extent
 * @cursor: the position; moved past the extent
 * @extent: the result
 *
 * For debugfs, tracing and tests. A concurrent change may or may not be seen.
 *
 * Context: Process, may sleep; reschedules. Never allocates.
 * Return: false if there is no further extent.
 */
bool tce_table_extent(struct tce_cursor *cursor, struct tce_extent *extent);

/**
 * tce_table_stats() - get the memory figures of a table
 * @table: the table
 * @stats: the result
 *
 * Visits each leaf.
 *
 * Context: Process, may sleep; reschedules.
 */
void tce_table_stats(struct tce_table *table, struct tce_table_stats *stats);

#endif /* TCE_TABLE_H */
