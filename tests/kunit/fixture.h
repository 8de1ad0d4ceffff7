/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the TCE table share: shapes of tables, and a page allocator
 * that counts and that fails on demand.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <linux/atomic.h>
#include <linux/dma-direction.h>
#include <linux/types.h>

struct kunit;
struct tce_geometry;
struct tce_table;

/**
 * struct shape - what a table is asked to be
 * @page_shift: IOMMU page size, as a shift
 * @levels: number of levels
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
 * @wrong_flags: requests that may sleep where nothing may, or that are not
 *               charged to the caller although they may sleep
 * @meet: how many threads wait for each other in every request; 0 for none
 * @met: threads that came so far
 * @meanwhile: runs once, in the next request
 * @data: for @meanwhile
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

/*
 * How many bits of the index a level takes, by trying; 0 if the hardware does
 * not allow the shape.
 */
unsigned int shape_level_bits(const struct shape *shape);

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

/* Sets or clears an entry and expects that this works. */
void table_set(struct kunit *test, struct tce_table *table, unsigned long index,
	       unsigned long hpa, enum dma_data_direction direction);

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

/* Expects that software and hardware see an entry, or none for DMA_NONE. */
void expect_entry(struct kunit *test, struct tce_table *table,
		  unsigned long index, unsigned long hpa,
		  enum dma_data_direction direction);

#endif /* FIXTURE_H */
