// SPDX-License-Identifier: GPL-2.0-only
/*
 * MAP_DMA and UNMAP_DMA of a range of adjacent pages.
 */

#define _GNU_SOURCE

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

#define MAX_PAGES	4096

/* State of the range before the call. */
enum state { NOTHING, MAPPED, READABLE, OTHERS, BOTHS };

static const struct work {
	const char *name;
	enum state state;
	bool map;
} works[] = {
	{ "map", NOTHING, true },
	{ "unmap", MAPPED, false },
	/* Replaces the same mappings. */
	{ "remap", MAPPED, true },
	{ "unmap-none", NOTHING, false },
	/* Pages that are mapped read-only are not set dirty. */
	{ "unmap-ro", READABLE, false },
};

/* In a leaf that has, or has had, pages of two regions alternately. */
static const struct work two_regions[] = {
	{ "map", NOTHING, true },
	{ "unmap", MAPPED, false },
	{ "remap", MAPPED, true },
	{ "remap-others", OTHERS, true },
	{ "remap-turns", BOTHS, true },
	{ "unmap-turns", BOTHS, false },
};

static const uint64_t sizes[] = {
	1, 2, 4, 8, 15, 16, 17, 32, 64, 256, 1024, 4096, 65536,
};

static const uint64_t few_sizes[] = { 1, 2, 16, 256, 4096 };
static const uint64_t huge_sizes[] = { 1, 2, 16, 64 };
static const uint64_t v1_sizes[] = { 1, 2, 4, 16, 64, 256, 4096 };

/* The range that is measured. */
static struct {
	const struct work *work;
	uint64_t offset;
	uint64_t size;
	unsigned int page_shift;
	uint64_t pages;
	const unsigned char *memory;
	/* The second region; NULL for leaves with pages of one. */
	const unsigned char *other;
} range;

static void map_readable(void)
{
	bench_must(vfio_map(bench_vfio.container, bench_window + range.offset,
			    range.memory, range.size, MAP_READ), "MAP_DMA");
}

/* Maps pages of both regions alternately. */
static void map_alternating(uint64_t pages)
{
	uint64_t i, page = 1ULL << range.page_shift;

	for (i = 0; i < pages; i++)
		bench_map(range.offset + i * page,
			  (i & 1 ? range.other : range.memory) + i * page,
			  page);
}

static void prepare(void)
{
	uint64_t page = 1ULL << range.page_shift;

	bench_unmap(range.offset, range.size);
	/* A leaf keeps the view that it got for pages of two regions. */
	if (range.other) {
		map_alternating(range.pages > 1 ? range.pages : 2);
		if (range.work->state != BOTHS)
			bench_unmap(range.offset,
				    range.pages > 1 ? range.size : 2 * page);
	}

	switch (range.work->state) {
	case MAPPED:
		bench_map(range.offset, range.memory, range.size);
		break;
	case READABLE:
		map_readable();
		break;
	case OTHERS:
		bench_map(range.offset, range.other, range.size);
		break;
	case NOTHING:
	case BOTHS:
		break;
	}
}

static void map(void)
{
	bench_map(range.offset, range.memory, range.size);
}

static void unmap(void)
{
	bench_unmap(range.offset, range.size);
}

static void measure(const struct work *work, const char *where, uint64_t param)
{
	char name[64];
	struct row row = {
		.work = name,
		.param = param,
		.per = range.pages,
		.before = prepare,
		.run = work->map ? map : unmap,
		.after = unmap,
	};

	snprintf(name, sizeof(name), "%s-%s", work->name, where);
	range.work = work;
	bench_row(&row);
}

static bool any_selected(const struct work *list, size_t count,
			 const char *where, uint64_t param)
{
	char name[64];

	while (count--) {
		snprintf(name, sizeof(name), "%s-%s", list[count].name, where);
		if (bench_selected(name, param))
			return true;
	}

	return false;
}

static void set_range(const struct geometry *geometry, uint64_t first,
		      uint64_t pages, const unsigned char *memory)
{
	range.offset = first << geometry->page_shift;
	range.size = pages << geometry->page_shift;
	range.page_shift = geometry->page_shift;
	range.pages = pages;
	range.memory = memory;
	range.other = NULL;
}

/* Measures all works on @pages pages from the entry @first on. */
static void measure_all(const struct geometry *geometry, const char *where,
			uint64_t param, uint64_t first, uint64_t pages,
			const unsigned char *memory, uint64_t bytes)
{
	size_t i;

	if (!any_selected(works, ARRAY_SIZE(works), where, param))
		return;
	bench_open(geometry, memory, bytes);
	set_range(geometry, first, pages, memory);
	for (i = 0; i < ARRAY_SIZE(works); i++)
		measure(&works[i], where, param);
}

static void measure_sizes(const struct geometry *geometry,
			  const uint64_t *pages, size_t count,
			  const unsigned char *memory, uint64_t bytes)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (pages[i] << geometry->page_shift <= bytes)
			measure_all(geometry, geometry->name, pages[i], 0,
				    pages[i], memory, bytes);
}

/*
 * Two pages across the end of a leaf of this module, and two across the end of
 * a leaf in both modules.
 */
static void measure_borders(const struct geometry *geometry,
			    const unsigned char *memory, uint64_t bytes)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-border", geometry->name);
	measure_all(geometry, name, 2, bench_leaf_ours(geometry) - 1, 2, memory,
		    bytes);
	snprintf(name, sizeof(name), "%s-borders", geometry->name);
	measure_all(geometry, name, 2, bench_leaf_both(geometry) - 1, 2, memory,
		    bytes);
}

/*
 * Prints how many extents the first MAX_PAGES kernel pages of @memory are, and
 * returns the number.
 */
static unsigned int show_extents(const char *what, const unsigned char *memory)
{
	unsigned int i, extents = 0;
	__u64 frame, next = 0;

	for (i = 0; i < MAX_PAGES; i++) {
		frame = page_frame(memory + i * vfio_page_size());
		extents += frame != next;
		next = frame + 1;
	}
	tap_diag("%s: %u kernel pages in %u extents", what, MAX_PAGES, extents);

	return extents;
}

static void measure_windows(void)
{
	static const struct {
		struct geometry geometry;
		bool all;
	} windows[] = {
		{ { "4k3", 12, 40, 3 }, true },
		{ { "4k2", 12, 34, 2 }, false },
		{ { "4k1", 12, 30, 1 }, false },
		{ { "64k2", 16, 40, 2 }, true },
		{ { "64k1", 16, 34, 1 }, false },
	};
	uint64_t bytes = MAX_PAGES << 16;
	unsigned char *memory = vfio_memory(bytes);
	const struct geometry *geometry = &windows[0].geometry;
	size_t i;

	show_extents("memory", memory);
	for (i = 0; i < ARRAY_SIZE(windows); i++) {
		geometry = &windows[i].geometry;
		if (!bench_supported(geometry) ||
		    geometry->page_shift > vfio_page_shift())
			continue;
		if (windows[i].all)
			measure_sizes(geometry, sizes, ARRAY_SIZE(sizes),
				      memory, bytes);
		else
			measure_sizes(geometry, few_sizes,
				      ARRAY_SIZE(few_sizes), memory, bytes);
		if (geometry->levels > 1)
			measure_borders(geometry, memory, bytes);
	}
	bench_close();
	munmap(memory, bytes);
}

/*
 * IOMMU pages as large as kernel pages, of which no two neighbours are next to
 * each other in physical memory: every other one is allocated first.
 */
static void measure_scattered(void)
{
	static const struct geometry geometries[] = {
		{ "4k3", 12, 40, 3 }, { "64k2", 16, 40, 2 },
	};
	static const uint64_t pages[] = { 256, MAX_PAGES };
	uint64_t page = vfio_page_size(), bytes = MAX_PAGES * page, at;
	const struct geometry *geometry = geometries;
	bool selected = false;
	unsigned char *memory;
	char name[32];
	size_t i;

	if (geometry->page_shift != vfio_page_shift())
		geometry++;
	snprintf(name, sizeof(name), "%s-scattered", geometry->name);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		selected |= any_selected(works, ARRAY_SIZE(works), name,
					 pages[i]);
	if (!selected || !bench_supported(geometry))
		return;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		tap_bail("no memory");
	/* Fails if the kernel has no huge pages. */
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	for (at = 0; at < bytes; at += 2 * page)
		memory[at] = 1;
	for (at = page; at < bytes; at += 2 * page)
		memory[at] = 1;
	if (show_extents("scattered", memory) != MAX_PAGES)
		tap_bail("pages are next to each other");

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		measure_all(geometry, name, pages[i], 0, pages[i], memory,
			    bytes);
	bench_close();
	munmap(memory, bytes);
}

/* At the end of windows of different sizes. */
static void measure_ends(void)
{
	static struct geometry ends[] = {
		{ "4k3-30", 12, 30, 3 }, { "4k3-34", 12, 34, 3 },
		{ "4k3-38", 12, 38, 3 }, { "4k3-42", 12, 42, 3 },
		{ "4k3-46", 12, 46, 3 },
	};
	uint64_t bytes = MAX_PAGES << 12;
	unsigned char *memory = vfio_memory(bytes);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ends); i++)
		if (bench_supported(&ends[i]))
			measure_all(&ends[i], ends[i].name, MAX_PAGES,
				    (1ULL << (ends[i].window_shift - 12)) -
					    MAX_PAGES,
				    MAX_PAGES, memory, bytes);
	bench_close();
	munmap(memory, bytes);
}

static void measure_two_regions(void)
{
	static const struct geometry geometry = { "4k3", 12, 40, 3 };
	static const uint64_t pages[] = { 1, 16, 256, MAX_PAGES };
	uint64_t bytes = MAX_PAGES << 12;
	unsigned char *one = vfio_memory(bytes), *other = vfio_memory(bytes);
	size_t i, j;

	for (i = 0; bench_supported(&geometry) && i < ARRAY_SIZE(pages); i++) {
		if (!any_selected(two_regions, ARRAY_SIZE(two_regions),
				  "4k3-view", pages[i]))
			continue;
		bench_close();
		bench_open(&geometry, one, bytes);
		bench_must(vfio_register(bench_vfio.container, other, bytes),
			   "REGISTER_MEMORY");
		set_range(&geometry, 0, pages[i], one);
		range.other = other;
		for (j = 0; j < ARRAY_SIZE(two_regions); j++)
			measure(&two_regions[j], "4k3-view", pages[i]);
	}
	bench_close();
	munmap(one, bytes);
	munmap(other, bytes);
}

/* Memory of huge pages of at least the IOMMU page size, or NULL. */
static unsigned char *huge_memory(unsigned int least, uint64_t bytes)
{
	static const unsigned int shifts[] = { 21, 24, 30 };
	void *memory;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shifts); i++) {
		if (shifts[i] < least)
			continue;
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE |
			      MAP_HUGETLB | (shifts[i] << 26), -1, 0);
		if (memory != MAP_FAILED)
			return memory;
	}

	return NULL;
}

static void measure_huge(void)
{
	static const struct geometry windows[] = {
		{ "2m1", 21, 36, 1 }, { "16m1", 24, 36, 1 },
	};
	unsigned char *memory;
	uint64_t bytes;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(windows); i++) {
		if (!bench_supported(&windows[i]))
			continue;
		bytes = 64ULL << windows[i].page_shift;
		memory = huge_memory(windows[i].page_shift, bytes);
		if (!memory)
			continue;
		measure_sizes(&windows[i], huge_sizes, ARRAY_SIZE(huge_sizes),
			      memory, bytes);
		bench_close();
		munmap(memory, bytes);
	}
}

/* Version 1, with one window of 4K pages and no registered memory. */
static void measure_v1(void)
{
	static const struct geometry geometry = { "v1", 12, 0, 1 };
	uint64_t bytes = MAX_PAGES << 12;
	unsigned char *memory = vfio_memory(bytes);
	struct vfio_iommu_spapr_tce_info info;
	int container = vfio_open_container();
	size_t i, j;

	bench_must(vfio_attach(&bench_vfio, container, 0), "SET_CONTAINER");
	bench_must(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU),
		   "SET_IOMMU");
	bench_must(vfio_info(container, &info), "GET_INFO");
	bench_must(vfio_ioctl(container, VFIO_IOMMU_ENABLE, NULL), "ENABLE");
	bench_window = info.dma32_window_start;
	for (i = 0; i < ARRAY_SIZE(v1_sizes); i++) {
		set_range(&geometry, 0, v1_sizes[i], memory);
		for (j = 0; j < ARRAY_SIZE(works); j++)
			measure(&works[j], geometry.name, v1_sizes[i]);
	}
	vfio_close(&bench_vfio);
	munmap(memory, bytes);
}

void bench_ranges(void)
{
	measure_windows();
	measure_scattered();
	measure_ends();
	measure_two_regions();
	measure_huge();
	measure_v1();
}
