/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the TCE table share: shapes of tables, and a page allocator
 * that counts and that fails on demand.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <linux/atomic.h>
#include <linux/types.h>

#include "tce_table.h"

struct kunit;

/* Permissions, not by the driver's names. */
#define READ_ONLY	1ULL
#define WRITE_ONLY	2ULL
#define READ_WRITE	3ULL

/**
 * struct shape - what a table is asked to be
 * @page_shift: IOMMU page size, as a shift
 * @levels: number of levels; the table may have more, see shape_of()
 * @entries: number of entries
 */
struct shape {
	unsigned int page_shift;
	unsigned int levels;
	unsigned long entries;
};

/**
 * struct backing - what a hypervisor does with entries
 * @set: &tce_table_ops.set
 * @clear: &tce_table_ops.clear
 * @data: for both
 */
struct backing {
	int (*set)(void *data, unsigned long index, const __be64 *tces,
		   unsigned long count);
	int (*clear)(void *data, unsigned long index, unsigned long count);
	void *data;
};

/**
 * struct found - an entry that has come out of a table
 * @index: where it was
 * @tce: what it was
 * @owner: whose it was
 */
struct found {
	unsigned long index;
	u64 tce;
	u64 owner;
};

/**
 * struct fixture - the page allocator of a test, and the user of its tables, in
 *	kunit::priv
 * @taken: blocks of pages that the table has taken so far
 * @given_back: blocks of pages that it has given back so far
 * @bytes: bytes that it has now
 * @refused: requests that were refused
 * @until_refusal: requests until one is refused; 0 or less for never
 * @wrong_flags: requests that may sleep where nothing may, or that may sleep and
 *               are not charged to the caller, or call the OOM killer
 * @meet: how many threads wait for each other in every request; 0 for none
 * @met: threads that came so far
 * @meanwhile: runs once, in the next request
 * @data: for @meanwhile
 * @kill: what kills, for all tables, or NULL
 * @kill_data: for @kill
 * @backing: the backing of table_backed()
 * @idle: how often there was something to trim where nothing was
 * @shape: what shape_of() returns
 */
struct fixture {
	atomic_long_t taken;
	atomic_long_t given_back;
	atomic_long_t bytes;
	atomic_long_t refused;
	atomic_long_t until_refusal;
	atomic_long_t wrong_flags;
	int meet;
	atomic_t met;
	void (*meanwhile)(struct kunit *test, void *data);
	void *data;
	void (*kill)(void *data, unsigned long index, unsigned long count);
	void *kill_data;
	struct backing backing;
	atomic_t idle;
	struct shape shape;
};

/* Exported to modules, but declared where only RCU itself sees it. */
void rcu_expedite_gp(void);
void rcu_unexpedite_gp(void);

int fixture_init(struct kunit *test);
void fixture_exit(struct kunit *test);

/* Blocks of pages and bytes that all tables of the test have now. */
long fixture_blocks(struct kunit *test);
long fixture_bytes(struct kunit *test);

/* Refuses the @nth request from now on, once; 0 for none. */
void fixture_refuse(struct kunit *test, long nth);

/* Whether the request that was to be refused has been made. */
bool fixture_refused(struct kunit *test);

void shape_describe(const struct shape *shape, char *text);

/* How many levels a table of that shape has; 0 if there is no such table. */
unsigned int shape_levels(const struct shape *shape);

/* How many bits of the index a level takes. */
unsigned int shape_level_bits(const struct shape *shape);

/* The test's parameter, with the levels that the table has. */
const struct shape *shape_of(struct kunit *test);

/* Entries below one entry of a level that is so many levels above leaves. */
unsigned long span_of(const struct shape *shape, unsigned int below);

/* An address that says which entry it belongs to. */
unsigned long hpa_of(const struct shape *shape, unsigned long index);

/* Some user-space address, another one for each entry. */
u64 ua_of(unsigned long index);

/* What tce_table_create() says, with the fixture as the table's user. */
struct tce_table *table_create(struct kunit *test, const struct tce_geometry *geo,
			       struct tce_charge *charge);

/* A new table, or the end of the test. */
struct tce_table *table_of(struct kunit *test, const struct shape *shape);

/* The same with a backing, which is copied; one a test. */
struct tce_table *table_backed(struct kunit *test, const struct shape *shape,
			       const struct backing *backing);

/* Destroys the table and expects that nothing of it is left. */
void table_gone(struct kunit *test, struct tce_table *table);

/* Sets or clears an entry, for TCE_OWNER_NONE, and expects that this works. */
void table_set(struct kunit *test, struct tce_table *table, unsigned long index,
	       u64 tce);

/* Expects that an exchange fails with @error and changes nothing. */
void exchange_is_refused(struct kunit *test, struct tce_table *table,
			 unsigned long index, u64 tce, u64 owner, bool alloc,
			 int error);

/* Expects that an exchange works, and what was there before it. */
void expect_exchange(struct kunit *test, struct tce_table *table,
		     unsigned long index, u64 tce, u64 owner, bool alloc,
		     u64 tce_before, u64 owner_before);

/*
 * Puts entries into an empty batch, as many as there is room for; those in a row that
 * lead to memory in a row are one extent. Returns how many.
 */
unsigned int batch_fill(struct tce_batch *batch, unsigned int page_shift,
			const struct tce_entry *entries, unsigned int count);

/* Takes the first entry out of a batch; false if there is none. */
bool batch_take(struct tce_batch *batch, unsigned int page_shift,
		struct found *found);

/*
 * Expects that what has come out of a table is in order, and from one leaf. Returns
 * the number of entries.
 */
unsigned long batch_count(struct kunit *test, struct tce_table *table,
			  const struct tce_batch *batch);

/* Prepares a range, or the test ends. */
void table_prepare(struct kunit *test, struct tce_table *table,
		   struct tce_range *range, unsigned long index,
		   unsigned long count, u64 owner);

/* The same for one entry and any owner, as KVM does it; what tce_table_prepare() says. */
int table_hold(struct tce_table *table, struct tce_range *range,
	       unsigned long index, gfp_t gfp);

/* Sets entries of a range, for @owner or each for its own, or the test ends. */
void table_store(struct kunit *test, const struct shape *shape,
		 struct tce_table *table, unsigned long index,
		 unsigned int count, u64 owner);

/*
 * Clears until something was cleared, or until the end of the range. Expects that
 * each call gets on. Returns how many entries were cleared, 0 at the end.
 */
unsigned long table_clear_next(struct kunit *test, struct tce_cursor *cursor,
			       struct tce_batch *old);

/* Clears a range and returns how many entries were set. */
unsigned long table_clear(struct kunit *test, struct tce_table *table,
			  unsigned long index, unsigned long end);

/* Levels that are queued to be trimmed. */
unsigned int table_queued(struct tce_table *table);

/* What software knows of the leaf of an entry; it is there, or the test ends. */
struct tce_level *leaf_at(struct kunit *test, struct tce_table *table,
			  unsigned long index);

/* Expects how many leaves have a view. */
void expect_views(struct kunit *test, struct tce_table *table,
		  unsigned long views);

/* Whose an entry is, 0 if it is not set; its leaf is there, or the test ends. */
u64 owner_at(struct kunit *test, struct tce_table *table, unsigned long index);

/*
 * Takes out all that is unused and expects that this is all but the first level.
 * Returns how many levels have been killed.
 */
unsigned long table_trimmed(struct kunit *test, struct tce_table *table);

/*
 * Expects that the table's figures agree with what the hardware's walk finds.
 * Returns the bytes that are said to be taken from the page allocator.
 */
unsigned long expect_levels(struct kunit *test, struct tce_table *table,
			    unsigned long used);

/* The same, and that this is what the test's only table has really taken. */
void expect_figures(struct kunit *test, struct tce_table *table,
		    unsigned long used);

/* The same, if @silent of the entries have no permission: no device sees them. */
void expect_figures_with(struct kunit *test, struct tce_table *table,
			 unsigned long used, unsigned long silent);

/* Expects that software and hardware see an entry as it was set, 0 for none. */
void expect_entry(struct kunit *test, struct tce_table *table,
		  unsigned long index, u64 tce);

#endif /* FIXTURE_H */
