/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tce_table_trim() kills, and what it has to kill: for that, the levels that
 * the hardware reaches are looked at before and after it.
 */
#ifndef KILLS_H
#define KILLS_H

#include <linux/types.h>
#include <linux/xarray.h>

struct kunit;
struct tce_table;

/**
 * struct kills - the kills of a trim
 * @test: the test
 * @table: the table
 * @level_bits: bits of the index that a level takes
 * @levels: levels that have gone, by the number of the leaf that they begin with:
 *          1 for the leaf, 2 for each upper level
 * @calls: ranges that were killed: number of entries by first entry
 * @end: of the last range
 */
struct kills {
	struct kunit *test;
	struct tce_table *table;
	unsigned int level_bits;
	struct xarray levels;
	struct xarray calls;
	unsigned long end;
};

/* Before the trim. */
void kills_begin(struct kills *kills, struct kunit *test,
		 struct tce_table *table);

/* What &fixture.kill is meanwhile, with the struct kills as data. */
void kills_kill(void *data, unsigned long index, unsigned long count);

/*
 * After it. Expects that all of each leaf that has gone was killed, the first entry
 * of each upper level, nothing else, in ascending order and in as few calls as can
 * be. Returns how many levels have gone.
 */
unsigned long kills_end(struct kills *kills);

/* A trim of all that is unused, with all that; returns how many levels have gone. */
unsigned long table_trim(struct kunit *test, struct tce_table *table);

/* The same for levels that are @age old. @more is whether there are younger ones. */
unsigned long table_trim_old(struct kunit *test, struct tce_table *table,
			     unsigned long age, bool *more);

#endif /* KILLS_H */
