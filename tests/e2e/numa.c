// SPDX-License-Identifier: GPL-2.0-only
/*
 * The levels of a table are on the node of the PHB, which reads them, and not
 * on that of the CPU that maps. In a guest they are on that of the CPU, which
 * alone reads them.
 *
 * Needs two nodes, with memory and a device on each.
 */

#define _GNU_SOURCE

#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "state.h"
#include "tap.h"
#include "vfio.h"

#define NODES		2

/*
 * Pages that need a leaf each, of 32 KiB, or in a guest of 4 KiB: 64 MiB in
 * all.
 */
#define ENTRIES_SHIFT	24
#define LEAVES		2048
#define LEAVES_GUEST	16384

static unsigned char *memory;

/*
 * The number in the file @path that matches the format @form; -1 if none does.
 */
static long number_in(const char *path, const char *form)
{
	FILE *file = fopen(path, "r");
	long number = -1, found;
	char line[256];

	while (file && number < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, form, &found) == 1)
			number = found;
	if (file)
		fclose(file);

	return number;
}

static long free_kib(int node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo",
		 node);

	return number_in(path, "Node %*d MemFree: %ld kB");
}

static int node_of(unsigned int device)
{
	const char *address = getenv(device ? "VFIO_DEVICE2" : "VFIO_DEVICE");
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/numa_node",
		 address);

	return number_in(path, "%ld");
}

/* Moves to a CPU that is not on @node. */
static void run_elsewhere(int node)
{
	char path[64];
	cpu_set_t set;
	int cpu;

	for (cpu = 0; cpu < 64; cpu++) {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/node/node%d/cpu%d", !node, cpu);
		if (access(path, F_OK))
			continue;
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
		return;
	}
	tap_bail("all CPUs are on node %d", node);
}

static void test_node(const void *data)
{
	unsigned int device = *(const unsigned int *)data;
	bool guest = vfio_is_guest();
	unsigned int shift = vfio_page_shift(), i;
	unsigned int leaves = guest ? LEAVES_GUEST : LEAVES;
	uint64_t bytes = 1ULL << (ENTRIES_SHIFT + shift), start, offset;
	long before[NODES], taken[NODES], kib;
	int node = node_of(device), wanted = guest ? !node : node;
	struct figures figures;
	struct vfio vfio;

	run_elsewhere(node);
	vfio_open_device(&vfio, device);
	CHECK_EQ(vfio_register(vfio.container, memory, vfio_page_size()), 0);
	CHECK_EQ(vfio_create(vfio.container, shift, bytes,
			     guest ? 1 : 2, &start), 0);
	for (i = 0; i < NODES; i++)
		before[i] = free_kib(i);
	for (offset = 0; offset < bytes; offset += bytes / leaves)
		CHECK_EQ(vfio_map(vfio.container, start + offset, memory,
				  vfio_page_size(), MAP_BOTH), 0);
	for (i = 0; i < NODES; i++)
		taken[i] = before[i] - free_kib(i);
	CHECK(figures_read(start, &figures));
	kib = figures.page_bytes >> 10;
	tap_diag("device on node %d; levels: %ld KiB; node 0: %ld, node 1: %ld",
		 node, kib, taken[0], taken[1]);
	/* Other allocations of the kernel are less than a quarter. */
	CHECK(kib > 0);
	CHECK(taken[wanted] >= kib - kib / 4);
	CHECK(taken[!wanted] < kib / 4);
	vfio_close(&vfio);
}

int main(void)
{
	static unsigned int devices[NODES] = { 0, 1 };
	unsigned int i;

	if (!vfio_have_device(1) || node_of(0) + node_of(1) != 1) {
		puts("1..0 # SKIP needs two nodes with a device each");
		return 0;
	}
	memory = vfio_memory(vfio_page_size());
	state_watch();
	for (i = 0; i < NODES; i++)
		tap_test_case(true, test_node, &devices[i],
			      "levels are on the right node, device %u", i);

	return tap_main();
}
