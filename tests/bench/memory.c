// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of tables and regions in bytes: that of a table's levels, and the
 * difference in free memory for regions.
 */

#define _GNU_SOURCE

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "state.h"

#define WINDOW_SHIFT	46
#define LEVELS		2
/*
 * An address far above the machine's memory, where a device's memory could be.
 */
#define FAR		0x244000000000ULL
/* Bytes of each level, and of each part of the in-tree userspace view. */
#define LEVEL_BYTES	((1ULL << (WINDOW_SHIFT - 16) / LEVELS) * 8)

#define PIECE		(64ULL << 20)
#define MAX_BYTES	(32ULL << 30)

#define REGIONS		4096

/*
 * Counts levels that the platform allocates. It frees none of them before the
 * window is removed.
 */
static void watch_levels(void)
{
	bench_write(TRACING "kprobe_events", "p:tce_level pnv_alloc_tce_level");
	bench_write(TRACING "events/kprobes/tce_level/enable", "1");
}

static uint64_t count_levels(void)
{
	FILE *file = fopen(TRACING "kprobe_profile", "r");
	uint64_t hits = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " tce_level %" SCNu64, &hits) == 1)
			break;
	if (!file)
		tap_bail("cannot read kprobe_profile");
	fclose(file);

	return hits;
}

static uint64_t table_bytes(void)
{
	struct figures figures;

	if (tap_intree())
		return count_levels() * LEVEL_BYTES;
	if (!figures_read(bench_window, &figures))
		tap_bail("cannot read figures of the window");

	return figures.page_bytes;
}

/*
 * Prints the bytes for increasing amounts of mapped memory, one half of it from
 * 0 on, the other half from FAR on.
 */
static void measure_table(void)
{
	static const struct geometry geometry = { "64k2", 16, WINDOW_SHIFT,
						  LEVELS };
	uint64_t mapped = 0, total;
	unsigned char *memory;

	if (!bench_selected("bytes-table", 0) || !bench_supported(&geometry) ||
	    vfio_page_shift() < 16)
		return;
	memory = vfio_memory(PIECE);
	if (tap_intree())
		watch_levels();
	bench_open(&geometry, memory, PIECE);
	bench_figure("bytes-table", 0, table_bytes());
	for (total = 2 * PIECE; total <= MAX_BYTES; total *= 2) {
		for (; mapped < total / 2; mapped += PIECE) {
			bench_map(mapped, memory, PIECE);
			bench_map(FAR + mapped, memory, PIECE);
		}
		bench_figure("bytes-table", total >> 20, table_bytes());
	}
	bench_unmap(0, 1ULL << WINDOW_SHIFT);
	/* Empty levels are freed after a second. */
	sleep(3);
	bench_figure("bytes-table-unmapped", MAX_BYTES >> 20, table_bytes());
	bench_close();
	if (tap_intree())
		bench_write(TRACING "events/kprobes/tce_level/enable", "0");
	munmap(memory, PIECE);
}

static uint64_t free_bytes(void)
{
	FILE *file;
	uint64_t kib = 0;
	char line[128];

	/* Wait for memory that is freed after a grace period. */
	sleep(1);
	file = fopen("/proc/meminfo", "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemFree: %" SCNu64, &kib) == 1)
			break;
	if (!kib)
		tap_bail("cannot read /proc/meminfo");
	fclose(file);

	return kib << 10;
}

/* Memory that the kernel uses for regions of a page. */
static void measure_regions(void)
{
	uint64_t before, after, taken, size = vfio_page_size(), i;
	unsigned char *memory;

	if (!bench_selected("bytes-region", REGIONS))
		return;
	memory = vfio_memory(REGIONS * size);
	vfio_open(&bench_vfio);
	before = free_bytes();
	for (i = 0; i < REGIONS; i++)
		bench_must(vfio_register(bench_vfio.container,
					 memory + i * size, size),
			   "REGISTER_MEMORY");
	/* Other memory may have been freed meanwhile. */
	after = free_bytes();
	taken = after < before ? before - after : 0;
	bench_figure("bytes-region", REGIONS, taken / REGIONS);
	vfio_close(&bench_vfio);
	munmap(memory, REGIONS * size);
}

void bench_memory(void)
{
	measure_table();
	measure_regions();
}
