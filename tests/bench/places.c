// SPDX-License-Identifier: GPL-2.0-only
/*
 * MAP_DMA and UNMAP_DMA of pages that are not adjacent: in different leaves,
 * with holes between them, in levels that are missing or empty.
 */

#define _GNU_SOURCE

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "bench.h"

/*
 * Up to this number of pages are mapped and unmapped in one measurement; the
 * cost is the mean.
 */
#define CALLS		1000

/* Longer than empty levels are kept. */
#define IDLE_SECONDS	3

static const struct geometry small = { "4k3", 12, 40, 3 };
static const struct geometry large = { "64k2", 16, 40, 2 };

/* Pages @stride bytes apart. */
static struct {
	uint64_t stride;
	uint64_t count;
	uint64_t loops;
	uint64_t page;
	const unsigned char *memory;
} places;

static void map_each(void)
{
	uint64_t i;

	for (i = 0; i < places.count; i++)
		bench_map(i * places.stride, places.memory, places.page);
}

static void unmap_each(void)
{
	uint64_t i;

	for (i = 0; i < places.count; i++)
		bench_unmap(i * places.stride, places.page);
}

static void unmap_whole(void)
{
	bench_unmap(0, places.count * places.stride);
}

static void map_unmap_each(void)
{
	uint64_t i, j;

	for (j = 0; j < places.loops; j++)
		for (i = 0; i < places.count; i++) {
			bench_map(i * places.stride, places.memory,
				  places.page);
			bench_unmap(i * places.stride, places.page);
		}
}

static void map_all_unmap_all(void)
{
	uint64_t j;

	for (j = 0; j < places.loops; j++) {
		map_each();
		unmap_each();
	}
}

static void set_places(const struct geometry *geometry, uint64_t stride,
		       uint64_t count, const unsigned char *memory)
{
	places.page = 1ULL << geometry->page_shift;
	places.stride = stride << geometry->page_shift;
	places.count = count;
	places.loops = count < CALLS ? CALLS / count : 1;
	places.memory = memory;
}

static void measure_single(const struct geometry *geometry, const char *where,
			   uint64_t stride, uint64_t count,
			   unsigned char *memory)
{
	char turn[64], all[64];
	struct row rows[] = {
		{ .work = turn, .run = map_unmap_each, .rounds = 2 },
		{ .work = all, .run = map_all_unmap_all, .rounds = 2 },
	};
	size_t i;

	snprintf(turn, sizeof(turn), "turn-%s-%s", geometry->name, where);
	snprintf(all, sizeof(all), "all-%s-%s", geometry->name, where);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!bench_selected(rows[i].work, count))
			continue;
		bench_open(geometry, memory, 1 << 20);
		set_places(geometry, stride, count, memory);
		rows[i].param = count;
		rows[i].per = count * places.loops;
		bench_row(&rows[i]);
	}
}

static void measure_singles(const struct geometry *geometry,
			    unsigned char *memory)
{
	static const uint64_t counts[] = { 2, 8, 9, 16, 64, 512 };
	size_t i;

	if (!bench_supported(geometry) ||
	    geometry->page_shift > vfio_page_shift())
		return;
	measure_single(geometry, "near", 1, 64, memory);
	if (geometry == &small) {
		measure_single(geometry, "same", 0, 2, memory);
		measure_single(geometry, "upper", 1 << 18, 2, memory);
		measure_single(geometry, "upper", 1 << 18, 64, memory);
		measure_single(geometry, "upper", 1 << 18, 512, memory);
	}
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		if (geometry == &small || counts[i] == 64)
			measure_single(geometry, "leaf",
				       bench_leaf_ours(geometry), counts[i],
				       memory);
	measure_single(geometry, "leaves", bench_leaf_both(geometry), 64,
		       memory);
	bench_close();
}

/* Maps every n-th page, and unmaps all by one call. */
static void measure_sparse(unsigned char *memory)
{
	static const uint64_t strides[] = {
		2, 3, 16, 64, 256, 512, 513, 600, 1024, 4096, 8192, 65536,
	};
	struct row rows[] = {
		{ .work = "sparse-map", .run = map_each, .after = unmap_whole },
		{ .work = "sparse-unmap",
		  .before = map_each,
		  .run = unmap_whole },
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(strides); i++)
		for (j = 0; j < ARRAY_SIZE(rows); j++) {
			rows[j].param = strides[i];
			rows[j].rounds = 2;
			rows[j].per = strides[i] >= 4096 ? 256 : 1024;
			if (!bench_selected(rows[j].work, strides[i]))
				continue;
			bench_open(&small, memory, 1 << 20);
			set_places(&small, strides[i], rows[j].per, memory);
			bench_row(&rows[j]);
		}
	bench_close();
}

/*
 * UNMAP of ranges that have never been mapped. It is refused until memory has
 * been registered.
 */
static void measure_nothing(unsigned char *memory)
{
	struct row row = { .work = "unmap-nothing", .run = unmap_whole };
	static const struct geometry whole = { "64k2", 16, 46, 2 };

	for (row.param = 12; row.param <= 40; row.param += 4) {
		if (!bench_selected(row.work, row.param))
			continue;
		bench_open(&small, memory, 1 << 20);
		set_places(&small, 1ULL << (row.param - 12), 1, NULL);
		bench_row(&row);
	}
	bench_close();
	row.param = 46;
	if (bench_selected(row.work, row.param) && bench_supported(&whole)) {
		bench_open(&whole, memory, 1 << 20);
		set_places(&whole, 1ULL << (46 - 16), 1, NULL);
		bench_row(&row);
		bench_close();
	}
}

/*
 * MAP in missing levels: each round uses another part of the second half of the
 * window.
 */

static uint64_t new_offset;

static void next_new(void)
{
	new_offset += 64ULL << 20;
}

static void map_new(void)
{
	bench_map(new_offset, places.memory, places.count << 12);
}

static void unmap_new(void)
{
	bench_unmap(new_offset, places.count << 12);
}

static void next_and_map_new(void)
{
	next_new();
	map_new();
}

/* New memory: no device has been able to write to it, so it is not dirty. */
static unsigned char *clean_memory;

static void map_clean(void)
{
	uint64_t size = places.count << 12;

	clean_memory = vfio_memory(size);
	bench_must(vfio_register(bench_vfio.container, clean_memory, size),
		   "REGISTER_MEMORY");
	bench_map(0, clean_memory, size);
}

static void unmap_clean(void)
{
	bench_unmap(0, places.count << 12);
}

static void unregister_clean(void)
{
	uint64_t size = places.count << 12;

	bench_must(vfio_unregister(bench_vfio.container, clean_memory, size),
		   "UNREGISTER_MEMORY");
	munmap(clean_memory, size);
}

static void measure_new(unsigned char *memory, uint64_t bytes)
{
	static const uint64_t counts[] = { 1, 512, 4096 };
	struct row rows[] = {
		{ .work = "map-new-levels",
		  .before = next_new,
		  .run = map_new,
		  .after = unmap_new },
		{ .work = "unmap-new-levels",
		  .before = next_and_map_new,
		  .run = unmap_new },
		{ .work = "unmap-clean",
		  .before = map_clean,
		  .run = unmap_clean,
		  .after = unregister_clean },
	};
	size_t i, j;

	new_offset = 1ULL << 39;
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		for (j = 0; j < ARRAY_SIZE(rows); j++) {
			rows[j].param = counts[i];
			rows[j].per = counts[i];
			if (!bench_selected(rows[j].work, counts[i]) ||
			    (rows[j].run == unmap_clean &&
			     counts[i] << 12 < vfio_page_size()))
				continue;
			bench_open(&small, memory, bytes);
			set_places(&small, 1, counts[i], memory);
			bench_row(&rows[j]);
		}
	bench_close();
}

/*
 * The cost of levels that become empty: in the call that empties them, in later
 * calls, and in kills.
 */

static void empty_leaves(void)
{
	map_each();
	unmap_whole();
}

static void unmap_far(void)
{
	bench_unmap(1ULL << 39, 1 << 12);
}

static void map_first(void)
{
	bench_map(0, places.memory, 1 << 12);
}

static void unmap_first(void)
{
	bench_unmap(0, 1 << 12);
}

static void measure_trim(unsigned char *memory)
{
	static const uint64_t counts[] = { 8, 32, 128, 512 };
	struct row rows[] = {
		{ .work = "trim-unmap",
		  .before = map_each,
		  .run = unmap_whole,
		  .wait = IDLE_SECONDS },
		{ .work = "trim-later",
		  .before = empty_leaves,
		  .run = unmap_far },
		{ .work = "trim-again",
		  .before = empty_leaves,
		  .run = map_first,
		  .after = unmap_first },
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(counts); i++)
		for (j = 0; j < ARRAY_SIZE(rows); j++) {
			rows[j].param = counts[i];
			if (!bench_selected(rows[j].work, counts[i]))
				continue;
			bench_open(&small, memory, 1 << 20);
			set_places(&small, bench_leaf_ours(&small), counts[i],
				   memory);
			bench_row(&rows[j]);
		}
	bench_close();
}

void bench_places(void)
{
	uint64_t bytes = 4096 << 12;
	unsigned char *memory = vfio_memory(bytes);
	static const struct geometry guests[] = {
		{ "4k1", 12, 30, 1 }, { "64k1", 16, 34, 1 },
	};
	size_t i;

	/* A table of the hypervisor has one level. */
	if (vfio_is_guest()) {
		for (i = 0; i < ARRAY_SIZE(guests); i++)
			if (guests[i].page_shift <= vfio_page_shift())
				measure_single(&guests[i], "near", 1, 64,
					       memory);
	} else {
		measure_singles(&small, memory);
		measure_singles(&large, memory);
		measure_sparse(memory);
		measure_nothing(memory);
		measure_new(memory, bytes);
		measure_trim(memory);
	}
	bench_close();
	munmap(memory, bytes);
}
