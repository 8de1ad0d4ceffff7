// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that map and unmap, each on its own CPU and in its own leaves. For a
 * machine with several CPUs, so the results are in nanoseconds and vary from
 * run to run.
 */

#define _GNU_SOURCE

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>

#include "bench.h"

#define CPUS		4
#define ROUNDS		5
#define CALLS		2000
#define PAGES		256
#define APART		(1ULL << 30)

struct mapper {
	pthread_t thread;
	unsigned int cpu;
	unsigned char *memory;
};

static pthread_barrier_t barrier;

static void *map_and_unmap(void *data)
{
	const struct mapper *mapper = data;
	uint64_t iova = mapper->cpu * APART;
	uint64_t size = PAGES << 12;
	cpu_set_t cpus;
	int i;

	CPU_ZERO(&cpus);
	CPU_SET(mapper->cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	pthread_barrier_wait(&barrier);
	for (i = 0; i < CALLS; i++) {
		bench_map(iova, mapper->memory, size);
		bench_unmap(iova, size);
	}
	pthread_barrier_wait(&barrier);

	return NULL;
}

static uint64_t one_round(struct mapper *mappers, unsigned int cpus)
{
	uint64_t start;
	unsigned int i;

	pthread_barrier_init(&barrier, NULL, cpus + 1);
	for (i = 0; i < cpus; i++)
		if (pthread_create(&mappers[i].thread, NULL, map_and_unmap,
				   &mappers[i]))
			tap_bail("cannot create a thread");
	pthread_barrier_wait(&barrier);
	start = bench_now();
	pthread_barrier_wait(&barrier);
	start = bench_now() - start;
	for (i = 0; i < cpus; i++)
		pthread_join(mappers[i].thread, NULL);
	pthread_barrier_destroy(&barrier);

	return start;
}

static void measure(unsigned int cpus)
{
	uint64_t best = UINT64_MAX, size = PAGES << 12, cost;
	struct mapper mappers[CPUS];
	unsigned int i, round;

	for (i = 0; i < cpus; i++) {
		mappers[i].cpu = i;
		mappers[i].memory = vfio_memory(size);
		bench_must(vfio_register(bench_vfio.container,
					 mappers[i].memory, size),
			   "REGISTER_MEMORY");
	}
	for (round = 0; round < ROUNDS; round++) {
		cost = one_round(mappers, cpus);
		best = cost < best ? cost : best;
	}
	for (i = 0; i < cpus; i++) {
		bench_must(vfio_unregister(bench_vfio.container,
					   mappers[i].memory, size),
			   "UNREGISTER_MEMORY");
		munmap(mappers[i].memory, size);
	}
	bench_figure("parallel", cpus, best);
}

void bench_parallel(void)
{
	static const struct geometry geometry = { "4k3", 12, 40, 3 };
	unsigned int cpus;

	bench_open(&geometry, NULL, 0);
	for (cpus = 1; cpus <= CPUS; cpus *= 2)
		measure(cpus);
	bench_close();
}
