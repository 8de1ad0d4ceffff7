/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the interface costs. In a virtual machine whose clock is QEMU's instruction
 * counter (-icount shift=0,sleep=off) a nanosecond is an instruction.
 *
 * A row is one kind of work with one number that says how much of it. Rows are named
 * WORK-PARAM, such as map-4k3-4096; scripts/lib/bench-table puts those of both modules
 * side by side, and tests/bench/goals has what each of them should cost.
 */
#ifndef BENCH_H
#define BENCH_H

#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "tap.h"
#include "vfio.h"

/**
 * struct row - work that is measured
 * @work: what it is
 * @param: how much of it, or where
 * @per: pages, entries or calls that the cost is shared by; 0 is 1
 * @rounds: the figure is the least of so many, before which there is one that is not
 *	measured, in which kills are counted; 0 is BENCH_ROUNDS; 1 is one alone
 * @settle: seconds after which the levels that it has emptied are gone, and their kills
 *	are counted too
 * @before: makes ready, in each round; not measured
 * @run: what is measured, and nothing else
 * @timed: the same where the kernel itself says what it took; BENCH_FAILED if it cannot
 *	be done
 * @after: clears away, in each round; not measured
 */
struct row {
	const char *work;
	uint64_t param;
	uint64_t per;
	unsigned int rounds;
	unsigned int settle;
	void (*before)(void);
	void (*run)(void);
	uint64_t (*timed)(void);
	void (*after)(void);
};

#define BENCH_ROUNDS	4
#define BENCH_FAILED	UINT64_MAX

/* Whether ROWS in the environment, a list of patterns, has the row; all if it is empty. */
bool bench_wanted(const char *work, uint64_t param);

/* Measures a row that is wanted. */
void bench_row(const struct row *row);

/* A row of something that is no work, such as bytes. */
void bench_figure(const char *work, uint64_t param, uint64_t figure);

uint64_t bench_now(void);

/* What the benchmark cannot do without ends it. */
void bench_must(int ret, const char *what);

/**
 * struct geometry - a window
 * @name: page size and levels, as rows are called
 * @page_shift: its IOMMU pages
 * @window_shift: its bytes
 * @levels: of its table
 */
struct geometry {
	const char *name;
	unsigned int page_shift;
	unsigned int window_shift;
	unsigned int levels;
};

/* The container that all rows use, one at a time, and its window's first address. */
extern struct vfio bench_vfio;
extern __u64 bench_window;

/* Whether this platform and this module have such windows. */
bool bench_possible(const struct geometry *geometry);

/*
 * A container with that window, and with @size bytes of @memory registered. It is a new
 * one only if the last call was for something else: rows of one window come one after the
 * other, and nobody waits for windows of which no row is wanted.
 */
void bench_open(const struct geometry *geometry, const void *memory, uint64_t size);

/* Memory is not to be unmapped before this. */
void bench_close(void);

/* Offsets in the window. */
void bench_map(uint64_t offset, const void *memory, uint64_t size);
void bench_unmap(uint64_t offset, uint64_t size);

/*
 * A distance at which two pages are in different leaves of both modules' tables, or of
 * ours alone, in pages of the window.
 */
uint64_t bench_leaf_both(const struct geometry *geometry);
uint64_t bench_leaf_ours(const struct geometry *geometry);

/* The parts, each in a file of that name. */
void bench_ranges(void);
void bench_places(void);
void bench_regions(void);
void bench_windows(void);
void bench_hypercalls(void);
void bench_memory(void);
void bench_parallel(void);

#endif /* BENCH_H */
