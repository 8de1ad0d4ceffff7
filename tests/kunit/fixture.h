/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of the tests of the TCE table: table shapes, and a page allocator
 * that counts its allocations and fails on request.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <linux/atomic.h>
#include <linux/types.h>

#include "tce_table.h"

struct kunit;
struct xarray;

/* Permission bits, defined independently of the driver. */
#define READ_ONLY	1ULL
#define WRITE_ONLY	2ULL
#define READ_WRITE	3ULL

/**
 * struct shape - geometry that is requested for a table
 * @page_shift: IOMMU page size, as a shift
 * @levels: requested number of levels; the table may have more, see shape_of()
 * @entries: number of entries
 */
struct shape {
	unsigned int page_shift;
	unsigned int levels;
	unsigned long entries;
};

/* Shapes with more than one level. */
extern const struct shape multilevel_shapes[7];

/**
 * struct backing - callbacks of a table whose entries a hypervisor keeps
 * @set: &tce_table_ops.set
 * @lists: &tce_table_ops.lists
 * @clear: &tce_table_ops.clear
 * @data: argument of both
 */
struct backing {
	int (*set)(void *data, unsigned long index, const __be64 *tces,
		   unsigned long count);
	bool lists;
	int (*clear)(void *data, unsigned long index, unsigned long count);
	void *data;
};

/**
 * struct found - an entry that was cleared or replaced
 * @index: its index
 * @tce: its address and permissions
 * @owner: its owner
 */
struct found {
	unsigned long index;
	u64 tce;
	u64 owner;
};

/**
 * struct fixture - the page allocator and the table callbacks of a test;
 *	&kunit.priv points to it
 * @allocated: number of page allocations so far
 * @freed: number of page allocations that were freed so far
 * @bytes: bytes that are allocated now
 * @failed: allocations that were made to fail
 * @until_failure: number of the allocation that fails, counted down by each; 0
 *                 or less for none
 * @may_wait: allocations may wait for memory
 * @bad_gfp: number of allocations that are wrong: they may wait, or invoke the
 *           OOM killer, or are not accounted
 * @meet: number of threads that wait for each other in each allocation, or 0
 * @met: number of threads that have arrived so far
 * @alloc_hook: called once, by the next allocation
 * @data: argument of @alloc_hook
 * @kill: called for &tce_table_ops.kill of all tables, or NULL
 * @kill_data: argument of @kill
 * @backing: the backing of table_backed()
 * @idle: number of calls of &tce_table_ops.idle
 * @shape: result of shape_of()
 */
struct fixture {
	atomic_long_t allocated;
	atomic_long_t freed;
	atomic_long_t bytes;
	atomic_long_t failed;
	atomic_long_t until_failure;
	bool may_wait;
	atomic_long_t bad_gfp;
	int meet;
	atomic_t met;
	void (*alloc_hook)(struct kunit *test, void *data);
	void *data;
	void (*kill)(void *data, unsigned long index, unsigned long count);
	void *kill_data;
	struct backing backing;
	atomic_t idle;
	struct shape shape;
};

/* RCU exports these, but declares them in a private header. */
void rcu_expedite_gp(void);
void rcu_unexpedite_gp(void);

int fixture_init(struct kunit *test);
void fixture_exit(struct kunit *test);

/* Number of page allocations of all tables of the test now, and their bytes. */
long fixture_blocks(struct kunit *test);
long fixture_bytes(struct kunit *test);

/* From now on allocations may wait for memory, or must not, as at first. */
void fixture_let_wait(struct kunit *test, bool may_wait);

/* Makes the @nth allocation from now on fail; 0 for none. */
void fixture_fail_alloc(struct kunit *test, long nth);

/* Whether that allocation was attempted, and so has failed. */
bool fixture_alloc_failed(struct kunit *test);

void shape_describe(const struct shape *shape, char *text);

/* Number of levels of a table of that shape; 0 if the shape is invalid. */
unsigned int shape_levels(const struct shape *shape);

/* Number of index bits that each level translates. */
unsigned int shape_level_bits(const struct shape *shape);

/* The parameter of the test, with the number of levels that the table gets. */
const struct shape *shape_of(struct kunit *test);

/*
 * Number of indices that one entry of a level translates, @height levels above
 * the leaves.
 */
unsigned long span_of(const struct shape *shape, unsigned int height);

/*
 * First entry of a leaf. An odd @number selects a leaf in the second half of
 * the window, below other upper levels than an even one.
 */
unsigned long spread_leaf(const struct shape *shape, unsigned int number);

/* Use an XArray as a sparse array of numbers; 0 is no entry. */
void array_save(struct kunit *test, struct xarray *array, unsigned long index,
		unsigned long value);
unsigned long array_load(struct xarray *array, unsigned long index);

/* A host physical address that is derived from the index. */
unsigned long hpa_of(const struct shape *shape, unsigned long index);

/* A user-space address that is different for each entry. */
u64 ua_of(unsigned long index);

/* tce_table_create() with the callbacks of the fixture; may fail. */
struct tce_table *table_create(struct kunit *test,
			       const struct tce_geometry *geo,
			       struct tce_charge *charge);

/* Creates a table; the test is aborted on failure. */
struct tce_table *table_of(struct kunit *test, const struct shape *shape);

/*
 * Creates a table with a backing. A test has at most one such table at a time.
 * Copies @backing.
 */
struct tce_table *table_backed(struct kunit *test, const struct shape *shape,
			       const struct backing *backing);

/* Destroys the table and expects that all its pages are freed. */
void table_destroy(struct kunit *test, struct tce_table *table);

/* Sets or clears an entry of TCE_OWNER_NONE and expects success. */
void table_set(struct kunit *test, struct tce_table *table, unsigned long index,
	       u64 tce);

/* Expects that an exchange returns @error and changes nothing. */
void expect_exchange_error(struct kunit *test, struct tce_table *table,
			   unsigned long index, u64 tce, u64 owner, bool alloc,
			   int error);

/* Expects that an exchange succeeds and returns the given previous entry. */
void expect_exchange(struct kunit *test, struct tce_table *table,
		     unsigned long index, u64 tce, u64 owner, bool alloc,
		     u64 tce_before, u64 owner_before);

/*
 * Initialises a batch with as many of the entries as fit. Adjacent entries of
 * one owner that translate to contiguous memory become one extent. Returns the
 * number of entries in the batch.
 */
unsigned int batch_fill(struct tce_batch *batch, unsigned int page_shift,
			const struct tce_entry *entries, unsigned int count);

/* Removes the first entry from a batch; false if the batch is empty. */
bool batch_take(struct tce_batch *batch, unsigned int page_shift,
		struct found *found);

/*
 * Expects that entries that were cleared or replaced are in ascending order and
 * of one leaf. Returns their number.
 */
unsigned long batch_count(struct kunit *test, struct tce_table *table,
			  const struct tce_batch *batch);

/* Prepares a range; the test is aborted on failure. */
void table_prepare(struct kunit *test, struct tce_table *table,
		   struct tce_range *range, unsigned long index,
		   unsigned long count, u64 owner);

/*
 * Prepares a range of one entry for any owner, as KVM does. Returns what
 * tce_table_prepare() returns.
 */
int table_hold(struct tce_table *table, struct tce_range *range,
	       unsigned long index, gfp_t gfp);

/*
 * Sets the entries of a range. Their owner is @owner or, for TCE_OWNER_EACH,
 * ua_of() of their index. The test is aborted on failure.
 */
void table_store(struct kunit *test, const struct shape *shape,
		 struct tce_table *table, unsigned long index,
		 unsigned int count, u64 owner);

/*
 * Calls tce_table_clear() until it clears an entry or reaches the end of the
 * range. Expects that each call makes progress. Returns the number of entries
 * that were cleared, 0 at the end of the range.
 */
unsigned long table_clear_next(struct kunit *test, struct tce_cursor *cursor,
			       struct tce_batch *old);

/* Clears a range and returns the number of entries that were set. */
unsigned long table_clear(struct kunit *test, struct tce_table *table,
			  unsigned long index, unsigned long end);

/* Number of levels that are queued for tce_trim(). */
unsigned int table_queued(struct tce_table *table);

/* The leaf of an entry; the test is aborted if there is none. */
struct tce_level *leaf_at(struct kunit *test, struct tce_table *table,
			  unsigned long index);

/* Expects that @views leaves have a view. */
void expect_views(struct kunit *test, struct tce_table *table,
		  unsigned long views);

/*
 * Owner of an entry, 0 if it is not set; aborts the test if there is no leaf.
 */
u64 owner_at(struct kunit *test, struct tce_table *table, unsigned long index);

/*
 * Trims all unused levels and expects that only the first level remains.
 * Returns the number of levels that were trimmed.
 */
unsigned long table_trim_all(struct kunit *test, struct tce_table *table);

/*
 * Expects that @used entries are set, and that tce_table_stats() agrees with a
 * walk over the hardware's levels. Returns &tce_table_stats.page_bytes.
 */
unsigned long expect_levels(struct kunit *test, struct tce_table *table,
			    unsigned long used);

/*
 * The same for the only table of the test; also expects that page_bytes is what
 * is allocated.
 */
void expect_figures(struct kunit *test, struct tce_table *table,
		    unsigned long used);

/*
 * The same, where @without_perm of the @used entries have no permission bits.
 */
void expect_figures_with(struct kunit *test, struct tce_table *table,
			 unsigned long used, unsigned long without_perm);

/* Expects that software and hardware see @tce at @index, 0 for no entry. */
void expect_entry(struct kunit *test, struct tce_table *table,
		  unsigned long index, u64 tce);

#endif /* FIXTURE_H */
