/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Measures the cost of the interface. In a virtual machine whose clock is
 * QEMU's instruction counter (-icount shift=0,sleep=off) a nanosecond is an
 * instruction.
 *
 * A row is the cost of one kind of work with one parameter, and is named
 * WORK-PARAM, such as map-4k3-4096. scripts/lib/bench-table compares the rows
 * of both modules; tests/bench/goals has the limits.
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
 * @work: name of the work
 * @param: its parameter, such as the number of pages
 * @per: number of pages, entries or calls to divide the cost by; 0 for 1
 * @rounds: number of rounds, of which the lowest cost is the result; 0 for
 *	BENCH_ROUNDS. Unless it is 1, a round in which kills are counted comes
 *	first
 * @wait: seconds to wait in that round, until unused levels are freed
 * @before: preparation of a round, not measured
 * @run: the work, which is measured
 * @timed: used instead of @run: does the work, measures it, and returns the
 *	cost or BENCH_FAILED
 * @after: cleanup of a round, not measured
 */
struct row {
	const char *work;
	uint64_t param;
	uint64_t per;
	unsigned int rounds;
	unsigned int wait;
	void (*before)(void);
	void (*run)(void);
	uint64_t (*timed)(void);
	void (*after)(void);
};

#define BENCH_ROUNDS	4
#define BENCH_FAILED	UINT64_MAX

#define TRACING		"/sys/kernel/debug/tracing/"

/*
 * Whether a pattern of the environment variable ROWS matches; all if it is
 * empty.
 */
bool bench_selected(const char *work, uint64_t param);

/* Measures a row if it is selected. */
void bench_row(const struct row *row);

/* Prints a row that is not measured as work, such as a number of bytes. */
void bench_figure(const char *work, uint64_t param, uint64_t figure);

uint64_t bench_now(void);

/* Ends the benchmark if @ret is an error. */
void bench_must(int ret, const char *what);

/* Writes to a file of tracefs, or ends the benchmark. */
void bench_write(const char *path, const char *text);

/**
 * struct geometry - shape of a window
 * @name: page size and levels, as in names of rows
 * @page_shift: IOMMU page size, as a shift
 * @window_shift: size in bytes, as a shift
 * @levels: number of levels
 */
struct geometry {
	const char *name;
	unsigned int page_shift;
	unsigned int window_shift;
	unsigned int levels;
};

/*
 * The container that the rows use one after the other, and the start of its
 * window.
 */
extern struct vfio bench_vfio;
extern __u64 bench_window;

/* Whether the machine is a host with PHB3 (POWER8). */
bool bench_phb3(void);

/* Whether this platform and this module support such windows. */
bool bench_supported(const struct geometry *geometry);

/*
 * Opens a container with that window, and registers @size bytes of @memory.
 * Does nothing if a container with this geometry and memory is open. Called for
 * selected rows only, so that no time is spent on windows that are not
 * measured.
 */
void bench_open(const struct geometry *geometry, const void *memory,
		uint64_t size);

/* Closes the container, after which its memory may be unmapped. */
void bench_close(void);

/* Map and unmap at an offset in the window. */
void bench_map(uint64_t offset, const void *memory, uint64_t size);
void bench_unmap(uint64_t offset, uint64_t size);

/*
 * Number of entries of a leaf: the larger of the two modules' numbers, or this
 * module's. Two entries at that distance are in different leaves.
 */
uint64_t bench_leaf_both(const struct geometry *geometry);
uint64_t bench_leaf_ours(const struct geometry *geometry);

/* The parts of the benchmark, each in a file of that name. */
void bench_ranges(void);
void bench_places(void);
void bench_regions(void);
void bench_windows(void);
void bench_hypercalls(void);
void bench_memory(void);
void bench_parallel(void);

#endif /* BENCH_H */
