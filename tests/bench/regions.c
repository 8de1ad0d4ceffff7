// SPDX-License-Identifier: GPL-2.0-only
/*
 * REGISTER_MEMORY and UNREGISTER_MEMORY, and MAP_DMA and UNMAP_DMA with many
 * regions.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

static struct {
	unsigned char *memory;
	uint64_t count;
	/* Bytes of each region. */
	uint64_t each;
	/* The region that map_one() maps. */
	uint64_t which;
} regions;

static uint64_t bytes(void)
{
	return regions.count * regions.each;
}

static unsigned char *region(uint64_t number)
{
	return regions.memory + number * regions.each;
}

static void register_one(uint64_t number)
{
	bench_must(vfio_register(bench_vfio.container, region(number),
				 regions.each),
		   "REGISTER_MEMORY");
}

static void unregister_one(uint64_t number)
{
	bench_must(vfio_unregister(bench_vfio.container, region(number),
				   regions.each),
		   "UNREGISTER_MEMORY");
}

static void register_all(void)
{
	uint64_t i;

	for (i = 0; i < regions.count; i++)
		register_one(i);
}

static void unregister_all(void)
{
	uint64_t i;

	for (i = 0; i < regions.count; i++)
		unregister_one(i);
}

static void register_last(void)
{
	register_one(regions.count - 1);
}

static void unregister_last(void)
{
	unregister_one(regions.count - 1);
}

static void register_first(void)
{
	register_one(0);
}

static void unregister_first(void)
{
	unregister_one(0);
}

/* Expects the error for a region that is registered. */
static void register_again(void)
{
	if (vfio_register(bench_vfio.container, region(0), regions.each) !=
	    -EBUSY)
		tap_bail("a region can be registered twice");
}

static void map_all(void)
{
	bench_map(0, regions.memory, bytes());
}

static void unmap_all(void)
{
	bench_unmap(0, bytes());
}

static void map_one(void)
{
	bench_map(0, region(regions.which), regions.each);
}

static void unmap_one(void)
{
	bench_unmap(0, regions.each);
}

/* Opens a new container, and registers the regions in it. */
static void open_and_register(void)
{
	bench_close();
	vfio_open(&bench_vfio);
	register_all();
}

static void close_all(void)
{
	vfio_close(&bench_vfio);
}

/* Rows whose cost is divided by the number of regions. */
static struct row shared[] = {
	{ .work = "regions-map", .run = map_all, .after = unmap_all },
	{ .work = "regions-unmap", .before = map_all, .run = unmap_all },
};

/* Rows of one call. */
static struct row single[] = {
	{ .work = "regions-map-first", .run = map_one, .after = unmap_one },
	{ .work = "regions-unmap-first", .before = map_one, .run = unmap_one },
	{ .work = "regions-map-middle", .run = map_one, .after = unmap_one },
	{ .work = "regions-map-last", .run = map_one, .after = unmap_one },
	{ .work = "regions-unmap-last", .before = map_one, .run = unmap_one },
	{ .work = "register-nth",
	  .before = unregister_last,
	  .run = register_last },
	{ .work = "unregister-nth",
	  .run = unregister_first,
	  .after = register_first },
	{ .work = "register-again", .run = register_again },
};

static uint64_t which(const struct row *row)
{
	if (row == &single[2])
		return regions.count / 2;

	return row == &single[3] || row == &single[4] ? regions.count - 1 : 0;
}

static bool any_selected(const struct row *rows, size_t count, uint64_t param)
{
	while (count--)
		if (bench_selected(rows[count].work, param))
			return true;

	return false;
}

/* Rows that find all regions registered. */
static void measure_registered(const struct geometry *geometry)
{
	size_t i;

	if (!any_selected(shared, ARRAY_SIZE(shared), regions.count) &&
	    !any_selected(single, ARRAY_SIZE(single), regions.count))
		return;
	bench_open(geometry, NULL, 0);
	register_all();
	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		shared[i].param = regions.count;
		shared[i].per = regions.count;
		bench_row(&shared[i]);
	}
	for (i = 0; i < ARRAY_SIZE(single); i++) {
		single[i].param = regions.count;
		regions.which = which(&single[i]);
		bench_row(&single[i]);
	}
	bench_close();
}

/* Rows that register and unregister all regions. */
static void measure_register_all(const struct geometry *geometry)
{
	struct row rows[] = {
		{ .work = "register-all", .run = register_all,
		  .after = unregister_all },
		{ .work = "unregister-all", .before = register_all,
		  .run = unregister_all },
		{ .work = "close-with-regions", .before = open_and_register,
		  .run = close_all },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!bench_selected(rows[i].work, regions.count))
			continue;
		if (rows[i].run != close_all)
			bench_open(geometry, NULL, 0);
		rows[i].param = regions.count;
		rows[i].per = regions.count;
		/* It waits for a work item; meanwhile other tasks may run. */
		rows[i].rounds = rows[i].run == close_all ? 8 : 2;
		bench_row(&rows[i]);
	}
	bench_close();
}

/* One MAP of at least 1,024 pages of @count regions. */
static void measure_over(const struct geometry *geometry, uint64_t count)
{
	uint64_t pages = count < 1024 ? 1024 : count;
	struct row row = {
		.work = "map-over-regions",
		.param = count,
		.per = pages,
		.rounds = 2,
		.run = map_all,
		.after = unmap_all,
	};

	if (!bench_selected(row.work, count))
		return;
	regions.count = count;
	regions.each = pages / count << vfio_page_shift();
	regions.memory = vfio_memory(bytes());
	bench_open(geometry, NULL, 0);
	register_all();
	bench_row(&row);
	bench_close();
	munmap(regions.memory, bytes());
}

/* Regions of different sizes. */
static void measure_sizes(const struct geometry *geometry)
{
	static const uint64_t sizes[] = { 1 << 16, 16 << 20, 1 << 30 };
	struct row rows[] = {
		{ .work = "register-kib", .run = register_first,
		  .after = unregister_first },
		{ .work = "unregister-kib", .before = register_first,
		  .run = unregister_first },
	};
	size_t i, j;

	regions.count = 1;
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (j = 0; j < ARRAY_SIZE(rows); j++) {
			if (!bench_selected(rows[j].work, sizes[i] >> 10))
				continue;
			regions.each = sizes[i];
			regions.memory = vfio_memory(bytes());
			rows[j].param = sizes[i] >> 10;
			bench_open(geometry, NULL, 0);
			bench_row(&rows[j]);
			munmap(regions.memory, bytes());
		}
	bench_close();
}

void bench_regions(void)
{
	static const struct geometry hosts[] = {
		{ "4k3", 12, 40, 3 }, { "64k2", 16, 40, 2 },
	};
	static const struct geometry guests[] = {
		{ "4k1", 12, 30, 1 }, { "64k1", 16, 34, 1 },
	};
	static const uint64_t counts[] = { 1, 16, 64, 512, 4096 };
	bool large = vfio_page_shift() > 12;
	const struct geometry *geometry = vfio_is_guest() ? &guests[large] :
							      &hosts[large];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		regions.count = counts[i];
		regions.each = vfio_page_size();
		regions.memory = vfio_memory(bytes());
		measure_registered(geometry);
		measure_register_all(geometry);
		munmap(regions.memory, bytes());
	}
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		if (counts[i] != 16)
			measure_over(geometry, counts[i]);
	measure_sizes(geometry);
}
