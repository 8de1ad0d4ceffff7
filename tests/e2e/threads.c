// SPDX-License-Identifier: GPL-2.0-only
/* Threads of one process use a container concurrently. */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "version2.h"
#include "vfio.h"

#define THREADS		4
#define ROUNDS		200
/* In a guest, where the hypervisor takes a quarter of a second for a window. */
#define ROUNDS_GUEST	25

static struct worker {
	pthread_t thread;
	struct vfio *vfio;
	unsigned int number;
	int error;
} workers[THREADS];

/*
 * Maps other pages at the address of the thread, and leaves its own page
 * mapped.
 */
static void *map_and_unmap(void *data)
{
	struct worker *worker = data;
	int container = worker->vfio->container;
	/* Addresses of different threads are adjacent. */
	__u64 iova = IOVA + worker->number * page;
	unsigned char *own = memory + worker->number * page;
	unsigned int round;

	for (round = 0; round < ROUNDS && !worker->error; round++) {
		unsigned char *other = memory + round % PAGES * page;

		worker->error = vfio_map(container, iova, other, page,
					 MAP_BOTH);
		if (!worker->error && round % 3)
			worker->error = vfio_unmap(container, iova, page);
		/* Also elsewhere, where levels are missing. */
		if (!worker->error && !(round % 8))
			worker->error = vfio_map(container,
						 HIGH + (round << 24) + iova,
						 own, page, MAP_READ);
	}
	if (!worker->error)
		worker->error = vfio_map(container, iova, own, page, MAP_BOTH);

	return NULL;
}

static void start_worker(unsigned int i, struct vfio *vfio,
			 void *(*run)(void *data))
{
	int ret;

	workers[i] = (struct worker) { .vfio = vfio, .number = i };
	ret = pthread_create(&workers[i].thread, NULL, run, &workers[i]);
	if (ret)
		tap_bail("pthread_create: %s", strerror(ret));
}

static void join_worker(unsigned int i)
{
	pthread_join(workers[i].thread, NULL);
	CHECK_EQ(workers[i].error, 0);
}

static void test_threads(void)
{
	__u64 far = (ROUNDS + 7) / 8;
	struct vfio vfio;
	unsigned int i;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(vfio_create_large(&vfio, 3), 0);
	edu_stage(&vfio, STAGE);
	for (i = 0; i < THREADS; i++)
		start_worker(i, &vfio, map_and_unmap);
	for (i = 0; i < THREADS; i++)
		join_worker(i);

	/* One page for each thread, and the stage. */
	CHECK_MAPPED(0, (THREADS + 1) * page / SIZE_4K);
	CHECK_MAPPED(WINDOW1_START, THREADS * far);
	for (i = 0; i < THREADS; i++) {
		__u64 iova = IOVA + i * page;

		CHECK(edu_reads(&vfio, iova, memory + i * page));
		CHECK(edu_writes(&vfio, iova, memory + i * page));
	}

	/* After the last UNMAP_DMA nothing is counted. */
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, THREADS * page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	vfio_close(&vfio);
}

/* Registers and unregisters memory that is not mapped. */
static void *register_and_unregister(void *data)
{
	struct worker *worker = data;
	int container = worker->vfio->container;
	unsigned char *own = vfio_memory(page);
	unsigned int round;

	for (round = 0; round < ROUNDS && !worker->error; round++) {
		worker->error = vfio_register(container, own, page);
		if (!worker->error)
			worker->error = vfio_unregister(container, own, page);
	}
	munmap(own, page);

	return NULL;
}

/* Creates and removes the second window. */
static void *create_and_remove(void *data)
{
	struct worker *worker = data;
	unsigned int rounds = vfio_is_guest() ? ROUNDS_GUEST : ROUNDS;
	int container = worker->vfio->container;
	unsigned int round;

	for (round = 0; round < rounds && !worker->error; round++) {
		worker->error = vfio_create_large(worker->vfio, 2);
		if (!worker->error)
			worker->error = vfio_remove(container, WINDOW1_START);
	}

	return NULL;
}

/* Maps in the second window, which may not exist. */
static void *map_maybe(void *data)
{
	struct worker *worker = data;
	int container = worker->vfio->container;
	unsigned int round;
	int ret = 0;

	for (round = 0; round < ROUNDS; round++) {
		ret = vfio_map(container, HIGH + (round << 24), memory,
			       PAGES * page, MAP_BOTH);
		if (!ret)
			ret = vfio_unmap(container, HIGH + (round << 24),
					 page);
		if (ret && ret != -ENXIO)
			break;
	}
	worker->error = ret == -ENXIO ? 0 : ret;

	return NULL;
}

static void test_windows_under_threads(void)
{
	struct state before;
	struct vfio vfio;
	unsigned int i;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	before = state_now();
	start_worker(0, &vfio, create_and_remove);
	start_worker(1, &vfio, register_and_unregister);
	start_worker(2, &vfio, map_maybe);
	start_worker(3, &vfio, map_maybe);
	for (i = 0; i < THREADS; i++)
		join_worker(i);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	vfio_close(&vfio);
}

int main(void)
{
	init_v2();
	state_watch();

	tap_test_ours("threads map and unmap concurrently in one container",
		      test_threads);
	tap_test_ours("windows are created and removed while threads map",
		      test_windows_under_threads);

	return tap_main();
}
