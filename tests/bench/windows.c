// SPDX-License-Identifier: GPL-2.0-only
/*
 * Creation and removal of containers and windows, and calls that fail.
 */

#define _GNU_SOURCE

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define MEMORY		(64ULL << 20)

/* Windows */

static const struct geometry kinds[] = {
	{ "4k-24", 12, 24, 1 },	 { "4k-30", 12, 30, 1 },
	{ "4k-30", 12, 30, 2 },	 { "4k-30", 12, 30, 3 },
	{ "64k-30", 16, 30, 1 }, { "64k-34", 16, 34, 1 },
	{ "64k-36", 16, 36, 1 }, { "4k-40", 12, 40, 2 },
	{ "4k-40", 12, 40, 3 },	 { "64k-40", 16, 40, 2 },
	{ "64k-46", 16, 46, 2 }, { "4k-40", 12, 40, 4 },
	{ "4k-40", 12, 40, 5 },	 { "64k-46", 16, 46, 3 },
	{ "4k-46", 12, 46, 3 },	 { "4k-46", 12, 46, 4 },
	{ "4k-48", 12, 48, 4 },
};

/*
 * In-tree, removing a window with so many pages takes minutes: measure one row
 * only.
 */
#define MINUTES_SHIFT	34

/* The same on PHB3, where several rows would take minutes: measure none. */
#define PHB3_MINUTES_SHIFT	24

static const struct geometry *kind;
static unsigned char *memory;

static void create(void)
{
	bench_must(vfio_create(bench_vfio.container, kind->page_shift,
			       1ULL << kind->window_shift, kind->levels,
			       &bench_window), "TCE_CREATE");
}

static void remove_window(void)
{
	bench_must(vfio_remove(bench_vfio.container, bench_window),
		   "TCE_REMOVE");
}

static void create_and_map_some(void)
{
	create();
	bench_map(1 << 20, memory, 1 << 16);
}

/* Maps up to MEMORY at each end of the window. */
static void create_and_map(void)
{
	uint64_t window = 1ULL << kind->window_shift;
	uint64_t size = window < 4 * MEMORY ? window / 4 : MEMORY;

	create();
	bench_map(0, memory, size);
	bench_map(window - size, memory, size);
}

static void measure_kind(void)
{
	/* IOMMU pages larger than a kernel page can only map huge pages. */
	bool map = kind->page_shift <= vfio_page_shift();
	bool minutes = kind->levels > 3 &&
		       kind->window_shift - kind->page_shift >= MINUTES_SHIFT;
	struct row rows[] = {
		{ .work = "create", .run = create, .after = remove_window },
		{ .work = "remove-empty",
		  .before = create,
		  .run = remove_window },
		{ .work = "remove-64k",
		  .before = create_and_map_some,
		  .run = remove_window },
		{ .work = "remove-128m",
		  .before = create_and_map,
		  .run = remove_window },
	};
	char name[64];
	size_t i;

	for (i = minutes ? 3 : 0; i < ARRAY_SIZE(rows) && (map || i < 2); i++) {
		snprintf(name, sizeof(name), "%s-%s", rows[i].work, kind->name);
		rows[i].work = name;
		rows[i].param = kind->levels;
		rows[i].rounds = minutes ? 1 : 3;
		bench_row(&rows[i]);
	}
}

static void measure_windows(void)
{
	size_t i;

	memory = vfio_memory(MEMORY);
	vfio_open(&bench_vfio);
	bench_must(vfio_remove(bench_vfio.container, 0), "TCE_REMOVE");
	bench_must(vfio_register(bench_vfio.container, memory, MEMORY),
		   "REGISTER_MEMORY");
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		kind = &kinds[i];
		if (!bench_supported(kind) ||
		    (bench_phb3() && kind->window_shift - kind->page_shift >
				     PHB3_MINUTES_SHIFT))
			continue;
		measure_kind();
	}
	vfio_close(&bench_vfio);
	munmap(memory, MEMORY);
}

/* Containers */

static unsigned long version;
static int container;

static void open_container(void)
{
	container = vfio_open_container();
}

static void attach(void)
{
	bench_must(vfio_attach(&bench_vfio, container, 0), "SET_CONTAINER");
}

static void open_and_attach(void)
{
	open_container();
	attach();
}

static void set_iommu(void)
{
	bench_must(vfio_set_iommu(container, version), "SET_IOMMU");
}

static void open_all(void)
{
	open_and_attach();
	set_iommu();
}

static void close_group(void)
{
	vfio_detach(&bench_vfio);
}

static void close_container(void)
{
	close(container);
}

static void close_both(void)
{
	close_group();
	close_container();
}

static void open_without_group(void)
{
	open_all();
	close_group();
}

static void get_info(void)
{
	struct vfio_iommu_spapr_tce_info info;

	bench_must(vfio_info(container, &info), "GET_INFO");
}

static void check_extension(void)
{
	if (vfio_ioctl(container, VFIO_CHECK_EXTENSION, (void *)version) != 1)
		tap_bail("CHECK_EXTENSION");
}

static void enable(void)
{
	bench_must(vfio_ioctl(container, VFIO_IOMMU_ENABLE, NULL), "ENABLE");
}

static void disable(void)
{
	bench_must(vfio_ioctl(container, VFIO_IOMMU_DISABLE, NULL), "DISABLE");
}

static void open_enabled(void)
{
	open_all();
	enable();
}

static void map_page(void)
{
	bench_map(0, memory, 1 << 12);
}

static void unmap_page(void)
{
	bench_unmap(0, 1 << 12);
}

/* The first call that needs the default window creates it. */
static void open_with_window(void)
{
	open_enabled();
	unmap_page();
}

static void open_emptied(void)
{
	open_with_window();
	map_page();
	unmap_page();
}

static void remove_default(void)
{
	bench_must(vfio_remove(container, bench_window), "TCE_REMOVE");
}

static void unmap_and_close(void)
{
	unmap_page();
	close_both();
}

static void measure_version(unsigned long number)
{
	const struct row rows[] = {
		{ .work = "attach",
		  .before = open_container,
		  .run = attach,
		  .after = close_both },
		{ .work = "set-iommu",
		  .before = open_and_attach,
		  .run = set_iommu,
		  .after = close_both },
		{ .work = "get-info",
		  .before = open_all,
		  .run = get_info,
		  .after = close_both },
		{ .work = "check-extension",
		  .before = open_all,
		  .run = check_extension,
		  .after = close_both },
		{ .work = "close-group",
		  .before = open_all,
		  .run = close_group,
		  .after = close_container },
		{ .work = "close-container",
		  .before = open_without_group,
		  .run = close_container },
		{ .work = "close-both", .before = open_all, .run = close_both },
	};
	const struct row first[] = {
		{ .work = "enable",
		  .before = open_all,
		  .run = enable,
		  .after = close_both },
		{ .work = "disable-nothing",
		  .before = open_enabled,
		  .run = disable,
		  .after = close_both },
		{ .work = "disable-window",
		  .before = open_with_window,
		  .run = disable,
		  .after = close_both },
		{ .work = "disable-emptied",
		  .before = open_emptied,
		  .run = disable,
		  .after = close_both },
		{ .work = "map-first",
		  .before = open_enabled,
		  .run = map_page,
		  .after = unmap_and_close },
		{ .work = "close-emptied",
		  .before = open_emptied,
		  .run = close_both },
	};
	const struct row second[] = {
		{ .work = "remove-default", .before = open_all,
		  .run = remove_default, .after = close_both },
	};
	const struct row *more = number == VFIO_SPAPR_TCE_IOMMU ? first :
								  second;
	size_t i,
		count = more == first ? ARRAY_SIZE(first) : ARRAY_SIZE(second);
	uint64_t param = more == first ? 1 : 2;
	struct row row;

	version = number;
	for (i = 0; i < ARRAY_SIZE(rows) + count; i++) {
		row = i < count ? more[i] : rows[i - count];
		row.param = param;
		bench_row(&row);
	}
}

static void measure_containers(void)
{
	bench_window = vfio_limits()->dma32_window_start;
	memory = vfio_memory(1 << 16);
	measure_version(VFIO_SPAPR_TCE_IOMMU);
	measure_version(VFIO_SPAPR_TCE_v2_IOMMU);
	munmap(memory, 1 << 16);
}

/* Errors */

#define PAGES		4096

static uint64_t refused_offset, refused_from, refused_size;

static void map_refused(void)
{
	if (!vfio_map(bench_vfio.container, bench_window + refused_offset,
		      memory + refused_from, refused_size, MAP_BOTH))
		tap_bail("MAP_DMA of unregistered memory succeeded");
}

static void measure_refused(void)
{
	static const struct geometry host = { "4k3", 12, 40, 3 };
	static const struct geometry guest = { "4k1", 12, 30, 1 };
	const struct geometry *geometry = vfio_is_guest() ? &guest : &host;
	uint64_t half = PAGES / 2 << 12;
	const struct {
		struct row row;
		uint64_t offset;
		uint64_t from;
		uint64_t size;
	} rows[] = {
		{ { .work = "map-half-registered",
		    .param = PAGES,
		    .per = PAGES },
		  0,
		  0,
		  2 * half },
		{ { .work = "map-not-registered", .param = 1 },
		  0,
		  half,
		  1 << 12 },
		{ { .work = "map-outside", .param = 1 },
		  1ULL << 50,
		  0,
		  1 << 12 },
	};
	struct row row;
	size_t i;

	memory = vfio_memory(2 * half);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		row = rows[i].row;
		row.run = map_refused;
		if (!bench_selected(row.work, row.param))
			continue;
		bench_open(geometry, memory, half);
		refused_offset = rows[i].offset;
		refused_from = rows[i].from;
		refused_size = rows[i].size;
		bench_row(&row);
	}
	bench_close();
	munmap(memory, 2 * half);
}

void bench_windows(void)
{
	measure_windows();
	measure_containers();
	measure_refused();
}
