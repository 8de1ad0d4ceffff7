// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the interface costs, in instructions. In a virtual machine whose clock is
 * QEMU's instruction counter (-icount shift=0,sleep=off), a nanosecond of time is
 * an instruction; elsewhere these are nanoseconds. One line of JSON a figure:
 *	{"name": ..., "param": ..., "pages": ..., "cost": ...}
 * BENCH in the environment: short, only what a regression would show in; huge, what
 * takes a kernel with 4K pages; memory, what tables take; parallel, what takes several
 * CPUs.
 */

#define _GNU_SOURCE

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "state.h"
#include "tap.h"
#include "vfio.h"

/* A figure is the best of so many; with the instruction counter all are alike. */
#define ROUNDS	5

/* Where the memory of a device may be, far above the machine's own. */
#define FAR	0x244000000000ULL

/* What a CPU maps and unmaps again and again, in 4K pages, in leaves of its own. */
#define PARALLEL_PAGES	256
#define PARALLEL_CALLS	2000
#define PARALLEL_APART	(1ULL << 30)
#define CPUS		4

static struct vfio vfio;
/* In a guest a new window does not begin at 0. */
static __u64 window;

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);

	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void must(int ret, const char *what)
{
	if (ret)
		tap_bail("%s: %s", what, strerror(-ret));
}

static void figure(const char *name, uint64_t param, uint64_t pages,
		   uint64_t cost)
{
	printf("bench.json {\"name\": \"%s\", \"param\": %" PRIu64 ", ", name,
	       param);
	printf("\"pages\": %" PRIu64 ", \"cost\": %" PRIu64 "}\n", pages, cost);
	fflush(stdout);
}

static void open_window(unsigned int page_shift, unsigned int window_shift,
			unsigned int levels)
{
	vfio_open(&vfio);
	must(vfio_remove(vfio.container, 0), "TCE_REMOVE");
	must(vfio_create(vfio.container, page_shift, 1ULL << window_shift,
			 levels, &window), "TCE_CREATE");
}

static void measure_map(const char *name, unsigned int page_shift,
			unsigned int levels, uint64_t pages)
{
	uint64_t size = pages << page_shift, start;
	uint64_t map = UINT64_MAX, unmap = UINT64_MAX;
	uint64_t reg = size < (1 << 16) ? 1 << 16 : size;
	unsigned char *memory = vfio_memory(reg);
	char text[64];
	int round;

	must(vfio_register(vfio.container, memory, reg), "REGISTER");
	for (round = 0; round < ROUNDS; round++) {
		start = now();
		must(vfio_map(vfio.container, 0, memory, size, MAP_BOTH), "MAP");
		start = now() - start;
		map = start < map ? start : map;

		start = now();
		must(vfio_unmap(vfio.container, 0, size), "UNMAP");
		start = now() - start;
		unmap = start < unmap ? start : unmap;
	}
	must(vfio_unregister(vfio.container, memory, reg), "UNREGISTER");
	munmap(memory, reg);

	snprintf(text, sizeof(text), "map_%s_%u", name, levels);
	figure(text, pages, pages, map);
	snprintf(text, sizeof(text), "unmap_%s_%u", name, levels);
	figure(text, pages, pages, unmap);
}

/* One MAP over many registered regions. */
static void measure_regions(uint64_t regions)
{
	uint64_t pages = regions < 1024 ? 1024 : regions, size = pages << 16;
	uint64_t each = size / regions, i;
	unsigned char *memory = vfio_memory(size);
	uint64_t best = UINT64_MAX, start;
	int round;

	for (i = 0; i < regions; i++)
		must(vfio_register(vfio.container, memory + i * each, each),
		     "REGISTER");
	for (round = 0; round < ROUNDS; round++) {
		start = now();
		must(vfio_map(vfio.container, 0, memory, size, MAP_BOTH), "MAP");
		start = now() - start;
		best = start < best ? start : best;
		must(vfio_unmap(vfio.container, 0, size), "UNMAP");
	}
	for (i = 0; i < regions; i++)
		must(vfio_unregister(vfio.container, memory + i * each, each),
		     "UNREGISTER");
	munmap(memory, size);
	figure("map_regions", regions, pages, best);
}

/* A window with something at each end. */
static void measure_remove(unsigned int page_shift, unsigned int window_shift,
			   unsigned int levels)
{
	uint64_t size = 64 << 20, start;
	unsigned char *memory = vfio_memory(size);

	open_window(page_shift, window_shift, levels);
	must(vfio_register(vfio.container, memory, size), "REGISTER");
	must(vfio_map(vfio.container, window, memory, size, MAP_BOTH), "MAP");
	must(vfio_map(vfio.container, window + (1ULL << window_shift) - size,
		      memory, size, MAP_BOTH), "MAP");
	start = now();
	must(vfio_remove(vfio.container, window), "TCE_REMOVE");
	figure("remove", window_shift, 0, now() - start);
	vfio_close(&vfio);
	munmap(memory, size);
}

/* A large window with nothing in it. */
static void measure_empty(void)
{
	unsigned char *memory = vfio_memory(1 << 16);
	uint64_t start;

	open_window(16, 46, 2);
	must(vfio_register(vfio.container, memory, 1 << 16), "REGISTER");
	start = now();
	must(vfio_unmap(vfio.container, 0, 1ULL << 46), "UNMAP");
	figure("unmap_empty", 46, 0, now() - start);
	vfio_close(&vfio);
	munmap(memory, 1 << 16);
}

/* 4,096 pages at the end of windows of all sizes. */
static void measure_window(unsigned int window_shift)
{
	uint64_t pages = 4096, size = pages << 12, start;
	unsigned char *memory = vfio_memory(size);

	open_window(12, window_shift, 3);
	must(vfio_register(vfio.container, memory, size), "REGISTER");
	must(vfio_map(vfio.container, 0, memory, size, MAP_BOTH), "MAP");
	start = now();
	must(vfio_map(vfio.container, 0, memory, size, MAP_BOTH), "MAP");
	figure("remap_window", window_shift, pages, now() - start);
	start = now();
	must(vfio_unmap(vfio.container, 0, size), "UNMAP");
	figure("unmap_window", window_shift, pages, now() - start);
	vfio_close(&vfio);
	munmap(memory, size);
}

/* The memory of a table: ours says it, the kernel's own is watched. */

#define MEMORY_SHIFT	46
#define MEMORY_LEVELS	2
/* The levels of a table, and of its user-space view, share the entries' bits. */
#define LEVEL_BYTES	((1ULL << (MEMORY_SHIFT - 16) / MEMORY_LEVELS) * 8)
#define TRACING		"/sys/kernel/debug/tracing/"

static void tell(const char *path, const char *what)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	if (fd < 0 || write(fd, what, strlen(what)) != (ssize_t)strlen(what))
		tap_bail("%s: cannot say %s", path, what);
	close(fd);
}

static void watch_levels(void)
{
	tell(TRACING "kprobe_events", "p:tce_level pnv_alloc_tce_level");
	tell(TRACING "events/kprobes/tce_level/enable", "1");
}

/* Levels that the platform has made since then. It gives none back before the end. */
static uint64_t levels_made(void)
{
	FILE *file = fopen(TRACING "kprobe_profile", "r");
	uint64_t hits = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " tce_level %" SCNu64, &hits) == 1)
			break;
	if (!file)
		tap_bail("kprobe_profile cannot be read");
	fclose(file);

	return hits;
}

static uint64_t table_bytes(void)
{
	struct figures figures;

	if (tap_intree())
		return levels_made() * LEVEL_BYTES;
	if (!figures_read(window, &figures))
		tap_bail("no figures");

	return figures.page_bytes;
}

/* With more and more mapped, one half of it at 0 and one far away. */
static void measure_memory(void)
{
	uint64_t size = 64 << 20, mapped = 0, total;
	unsigned char *memory = vfio_memory(size);

	vfio_open(&vfio);
	must(vfio_register(vfio.container, memory, size), "REGISTER");
	must(vfio_remove(vfio.container, 0), "TCE_REMOVE");
	if (tap_intree())
		watch_levels();
	must(vfio_create(vfio.container, 16, 1ULL << MEMORY_SHIFT, MEMORY_LEVELS,
			 &window), "TCE_CREATE");
	figure("memory", 0, 0, table_bytes());
	for (total = 2 * size; total <= 1ULL << 35; total *= 2) {
		for (; mapped < total / 2; mapped += size) {
			must(vfio_map(vfio.container, mapped, memory, size,
				      MAP_BOTH), "MAP");
			must(vfio_map(vfio.container, FAR + mapped, memory,
				      size, MAP_BOTH), "MAP");
		}
		figure("memory", total >> 20, 0, table_bytes());
	}
	must(vfio_unmap(vfio.container, 0, 1ULL << MEMORY_SHIFT), "UNMAP");
	/* Empty levels go after a second. */
	sleep(3);
	figure("memory_unmapped", total >> 21, 0, table_bytes());
	vfio_close(&vfio);
	munmap(memory, size);
}

/* Threads that map and unmap, each on a CPU and in leaves of its own */

struct mapper {
	pthread_t thread;
	unsigned int cpu;
	unsigned char *memory;
};

static pthread_barrier_t barrier;

static void *map_and_unmap(void *data)
{
	const struct mapper *mapper = data;
	uint64_t iova = mapper->cpu * PARALLEL_APART;
	uint64_t size = PARALLEL_PAGES << 12;
	cpu_set_t cpus;
	int i;

	CPU_ZERO(&cpus);
	CPU_SET(mapper->cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	pthread_barrier_wait(&barrier);
	for (i = 0; i < PARALLEL_CALLS; i++) {
		must(vfio_map(vfio.container, iova, mapper->memory, size,
			      MAP_BOTH), "MAP");
		must(vfio_unmap(vfio.container, iova, size), "UNMAP");
	}
	pthread_barrier_wait(&barrier);

	return NULL;
}

static void measure_parallel(unsigned int cpus)
{
	uint64_t best = UINT64_MAX, size = PARALLEL_PAGES << 12, start;
	struct mapper mappers[CPUS];
	unsigned int i, round;

	for (i = 0; i < cpus; i++) {
		mappers[i].cpu = i;
		mappers[i].memory = vfio_memory(size);
		must(vfio_register(vfio.container, mappers[i].memory, size),
		     "REGISTER");
	}
	for (round = 0; round < ROUNDS; round++) {
		pthread_barrier_init(&barrier, NULL, cpus + 1);
		for (i = 0; i < cpus; i++)
			if (pthread_create(&mappers[i].thread, NULL,
					   map_and_unmap, &mappers[i]))
				tap_bail("no thread");
		pthread_barrier_wait(&barrier);
		start = now();
		pthread_barrier_wait(&barrier);
		start = now() - start;
		best = start < best ? start : best;
		for (i = 0; i < cpus; i++)
			pthread_join(mappers[i].thread, NULL);
		pthread_barrier_destroy(&barrier);
	}
	for (i = 0; i < cpus; i++) {
		must(vfio_unregister(vfio.container, mappers[i].memory, size),
		     "UNREGISTER");
		munmap(mappers[i].memory, size);
	}
	figure("parallel", cpus, (uint64_t)cpus * PARALLEL_CALLS * PARALLEL_PAGES,
	       best);
}

int main(void)
{
	static const uint64_t pages[] = { 1, 4, 16, 64, 256, 1024, 4096, 65536 };
	static const uint64_t regions[] = { 1, 64, 512, 1024, 4096 };
	const char *what = getenv("BENCH");
	unsigned int shift;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (vfio_hypervised()) {
		measure_remove(16, 36, 1);
		return 0;
	}
	if (what && !strcmp(what, "short")) {
		open_window(12, 40, 3);
		measure_map("4k", 12, 3, 4096);
		vfio_close(&vfio);
		measure_remove(12, 40, 3);
		return 0;
	}
	/* Only where the kernel's page is 4K do both modules take such a window. */
	if (what && !strcmp(what, "huge")) {
		measure_remove(12, 48, 4);
		return 0;
	}

	if (what && !strcmp(what, "parallel")) {
		open_window(12, 40, 3);
		for (i = 1; i <= CPUS; i *= 2)
			measure_parallel(i);
		vfio_close(&vfio);
		return 0;
	}

	if (what && !strcmp(what, "memory")) {
		measure_memory();
		return 0;
	}

	open_window(12, 40, 3);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		measure_map("4k", 12, 3, pages[i]);
	vfio_close(&vfio);

	open_window(16, 40, 2);
	for (i = 0; i < 5; i++)
		measure_map("64k", 16, 2, pages[i]);
	for (i = 0; i < ARRAY_SIZE(regions); i++)
		measure_regions(regions[i]);
	vfio_close(&vfio);

	for (shift = 30; shift <= 46; shift += 4)
		measure_window(shift);
	measure_empty();
	measure_remove(12, 40, 3);

	return 0;
}
