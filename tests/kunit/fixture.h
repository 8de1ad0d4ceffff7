/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the TCE table share: shapes of tables, and a page allocator
 * that counts and that fails on demand.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <linux/atomic.h>
#include <linux/types.h>

struct kunit;
struct tce_cursor;
struct tce_entry;
struct tce_level;
struct tce_table;

/* Permissions, not by the driver's names. */
#define READ_ONLY	1ULL
#define WRITE_ONLY	2ULL
#define READ_WRITE	3ULL

/* The most entries of a table_store(). */
#define STORE_MOST	64

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
 * struct fixture - the page allocator of a test, in kunit::priv
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

/* A new table, or the end of the test. */
struct tce_table *table_of(struct kunit *test, const struct shape *shape);

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

/* Sets entries of a range, for @owner or each for its own, or the test ends. */
void table_store(struct kunit *test, const struct shape *shape,
		 struct tce_table *table, unsigned long index,
		 unsigned int count, u64 owner);

/*
 * Clears until something was cleared, or until the end of the range. Expects that
 * each call gets on. Returns how many entries were cleared, 0 at the end.
 */
unsigned int table_clear_next(struct kunit *test, struct tce_cursor *cursor,
			      struct tce_entry *old, unsigned long *first,
			      unsigned long *last, unsigned int max);

/* Clears a range and returns how many entries were set. */
unsigned long table_clear(struct kunit *test, struct tce_table *table,
			  unsigned long index, unsigned long end);

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
