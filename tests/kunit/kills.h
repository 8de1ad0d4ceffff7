/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks that the ranges which tce_trim() kills are those of the levels
 * that it unlinks: levels that the hardware reaches before the trim and not
 * after it.
 */
#ifndef KILLS_H
#define KILLS_H

#include <linux/types.h>
#include <linux/xarray.h>

struct kunit;
struct tce_table;

/**
 * struct kills - the kills of one trim
 * @test: the test
 * @table: the table
 * @level_bits: number of index bits that each level translates
 * @levels: levels that were unlinked, by the number of the first leaf in their
 *          range: the sum of 1 for the leaf and 2 for each upper level
 * @calls: ranges that were killed: number of entries, by first entry
 * @end: end of the last range, exclusive
 */
struct kills {
	struct kunit *test;
	struct tce_table *table;
	unsigned int level_bits;
	struct xarray levels;
	struct xarray calls;
	unsigned long end;
};

/* Records the levels before the trim. */
void kills_begin(struct kills *kills, struct kunit *test,
		 struct tce_table *table);

/* &fixture.kill during the trim; @data is the struct kills. */
void kills_kill(void *data, unsigned long index, unsigned long count);

/*
 * Checks the kills after the trim: all entries of each unlinked leaf, the first
 * entry of each unlinked upper level, nothing else, in ascending order and with
 * one call for adjacent leaves. Returns the number of levels that were
 * unlinked.
 */
unsigned long kills_end(struct kills *kills);

/*
 * Trims all unused levels and checks the kills; returns the number of levels.
 */
unsigned long table_trim(struct kunit *test, struct tce_table *table);

/*
 * The same for levels unused for @age; @more tells whether younger ones remain.
 */
unsigned long table_trim_older(struct kunit *test, struct tce_table *table,
			       unsigned long age, bool *more);

#endif /* KILLS_H */
