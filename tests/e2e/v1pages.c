// SPDX-License-Identifier: GPL-2.0-only
/*
 * Version 1 of the interface: MAP_DMA of memory that is not registered, which
 * is pinned page by page.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "version1.h"
#include "vfio.h"

/* A disk in memory; its pages are written back as those of any other disk. */
#define DISK		"/dev/ram0"

static void test_dma(void)
{
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK_EQ(pins(&before), pinned_by(PAGES, BYTES / page));
	/* They were charged when the container was enabled. */
	CHECK_EQ(state_locked(), before.locked);
	CHECK_MAPPED(0, PAGES + page / IOMMU_PAGE);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(edu_writes(&vfio, IOVA, memory));
	CHECK(edu_reads(&vfio, IOVA + BYTES - IOMMU_PAGE,
			memory + BYTES - IOMMU_PAGE));
	CHECK(edu_writes(&vfio, IOVA + BYTES - IOMMU_PAGE,
			 memory + BYTES - IOMMU_PAGE));
	/* A page in the middle, at an address that is no kernel page's. */
	CHECK(edu_copies(&vfio, IOVA + IOMMU_PAGE, memory + IOMMU_PAGE,
			 IOVA + 37 * IOMMU_PAGE, memory + 37 * IOMMU_PAGE));

	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK(!edu_reads(&vfio, IOVA, memory));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_permissions(void)
{
	open_enabled();
	map_stage();
	CHECK_EQ(map(IOVA, memory, page, MAP_READ), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	/* On these machines who may write may read: the platform sees to it. */
	CHECK_EQ(map(IOVA, memory, page, MAP_WRITE), 0);
	CHECK(edu_writes(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

/* One page that the process itself may only read. */
static unsigned char *read_only_memory(unsigned int seed)
{
	unsigned char *address = vfio_memory(page);

	edu_fill(address, seed);
	if (mprotect(address, page, PROT_READ))
		tap_bail("mprotect: %s", strerror(errno));

	return address;
}

static void test_read_only_memory(void)
{
	unsigned char *address = read_only_memory(edu_seed());
	struct state before;

	open_enabled();
	/* The window is made by the first call, even if that fails. */
	CHECK_EQ(unmap(IOVA, IOMMU_PAGE), 0);
	before = state_now();
	CHECK_EQ(map(IOVA, address, page, MAP_WRITE), -EFAULT);
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), -EFAULT);
	CHECK_STATE(&before);
	vfio_close(&vfio);
	munmap(address, page);
}

static void test_read_only_memory_to_read(void)
{
	unsigned int seed = edu_seed();
	unsigned char *address = read_only_memory(seed);

	open_enabled();
	map_stage();
	CHECK_EQ(map(IOVA, address, page, MAP_READ), 0);
	edu_read(&vfio, IOVA);
	memset(vfio.stage, 0, EDU_BYTES);
	edu_write(&vfio, STAGE);
	CHECK(edu_filled(vfio.stage, seed));
	/* Other data, which it must not bring back. */
	edu_fill(vfio.stage, edu_seed());
	edu_read(&vfio, STAGE);
	edu_write(&vfio, IOVA);
	CHECK(edu_filled(address, seed));
	vfio_close(&vfio);
	munmap(address, page);
}

/* Memory whose third kernel page is not there; the next mmap() may fill it. */
static unsigned char *memory_with_hole(size_t pages)
{
	unsigned char *address = vfio_memory(pages * page);

	munmap(address + 2 * page, page);

	return address;
}

static void test_hole(void)
{
	unsigned char *address = memory_with_hole(4);
	struct state before;

	open_enabled();
	CHECK_EQ(unmap(IOVA, IOMMU_PAGE), 0);
	before = state_now();
	CHECK_EQ(map(IOVA, address, 4 * page, MAP_BOTH), -EFAULT);
	CHECK_STATE(&before);
	CHECK_EQ(map(IOVA, address + 2 * page, page, MAP_BOTH), -EFAULT);
	CHECK_STATE(&before);
	/* Nobody's address, and the kernel's. */
	CHECK_EQ(map(IOVA, (void *)IOMMU_PAGE, page, MAP_BOTH), -EFAULT);
	CHECK_EQ(map(IOVA, (void *)0xc000000000000000, page, MAP_BOTH),
		 -EFAULT);
	CHECK_STATE(&before);
	/* The pages around the hole are as good as ever. */
	CHECK_EQ(map(IOVA, address, 2 * page, MAP_BOTH), 0);
	CHECK_EQ(map(IOVA, address + 3 * page, page, MAP_BOTH), 0);
	vfio_close(&vfio);
	munmap(address, 2 * page);
	munmap(address + 3 * page, page);
}

/* All or nothing: what was mapped before is there yet. */
static void test_hole_keeps_mappings(void)
{
	unsigned char *address;
	struct state before;

	open_enabled();
	map_stage();
	address = memory_with_hole(4);
	CHECK_EQ(map(IOVA, memory, 4 * page, MAP_BOTH), 0);
	before = state_now();
	CHECK_EQ(map(IOVA, address, 4 * page, MAP_BOTH), -EFAULT);
	CHECK_STATE(&before);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(edu_writes(&vfio, IOVA + page, memory + page));
	vfio_close(&vfio);
	munmap(address, 2 * page);
	munmap(address + 3 * page, page);
}

static void test_overwrite(void)
{
	unsigned char *other = vfio_memory(page);
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, memory, 2 * page, MAP_BOTH), 0);
	CHECK_EQ(pins(&before), pinned_by(2 * page / IOMMU_PAGE, 2));
	CHECK_EQ(map(IOVA, other, page, MAP_BOTH), 0);
	/* The old page is let go of, not only the new one held. */
	CHECK_EQ(pins(&before), pinned_by(2 * page / IOMMU_PAGE, 2));
	CHECK_MAPPED(0, 3 * page / IOMMU_PAGE);
	CHECK(edu_reads(&vfio, IOVA, other));
	CHECK(edu_writes(&vfio, IOVA, other));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	CHECK(edu_reads(&vfio, IOVA + page, memory + page));
	/* By itself, and with less permission. */
	CHECK_EQ(map(IOVA, other, page, MAP_READ), 0);
	CHECK_EQ(pins(&before), pinned_by(2 * page / IOMMU_PAGE, 2));
	CHECK(!edu_writes(&vfio, IOVA, other));
	CHECK_EQ(unmap(IOVA, 2 * page), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
	munmap(other, page);
}

static void test_partial_unmap(void)
{
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK_EQ(unmap(IOVA + 2 * IOMMU_PAGE, 3 * IOMMU_PAGE), 0);
	CHECK_EQ(pins(&before), pinned_by(PAGES - 3, BYTES / page));
	CHECK_MAPPED(0, PAGES - 3 + page / IOMMU_PAGE);
	CHECK(edu_reads(&vfio, IOVA + IOMMU_PAGE, memory + IOMMU_PAGE));
	CHECK(!edu_reads(&vfio, IOVA + 2 * IOMMU_PAGE,
			 memory + 2 * IOMMU_PAGE));
	CHECK(!edu_writes(&vfio, IOVA + 4 * IOMMU_PAGE,
			  memory + 4 * IOMMU_PAGE));
	CHECK(edu_writes(&vfio, IOVA + 5 * IOMMU_PAGE,
			 memory + 5 * IOMMU_PAGE));
	/* What is not mapped is no error; the rest goes. */
	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_same_page_often(void)
{
	struct state before;
	unsigned int i;

	open_enabled();
	CHECK_EQ(unmap(IOVA, IOMMU_PAGE), 0);
	before = state_now();
	for (i = 0; i < 100; i++)
		CHECK_EQ(map(IOVA + i * 8 * IOMMU_PAGE, memory, IOMMU_PAGE,
			     MAP_BOTH), 0);
	CHECK_EQ(pins(&before), pinned_by(100, 1));
	for (i = 0; i < 99; i++)
		CHECK_EQ(unmap(IOVA + i * 8 * IOMMU_PAGE, 8 * IOMMU_PAGE), 0);
	CHECK_EQ(pins(&before), 1);
	CHECK_EQ(unmap(IOVA, 800 * IOMMU_PAGE), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK_MAPPED(0, 0);
	vfio_close(&vfio);
}

/*
 * Ends of the window, and large pages of memory under small ones of the IOMMU.
 */
static void test_large_memory(void)
{
	uint64_t size = 16 << 20;
	unsigned char *address;
	struct state before;

	address = vfio_memory(2 * size);
	madvise(address, 2 * size, MADV_HUGEPAGE);
	memset(address, 1, 2 * size);
	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(window_bytes - size, address + size / 2, size, MAP_BOTH),
		 0);
	CHECK_EQ(pins(&before), pinned_by(size / IOMMU_PAGE, size / page));
	CHECK(edu_reads(&vfio, window_bytes - IOMMU_PAGE,
			address + size / 2 + size - IOMMU_PAGE));
	CHECK(edu_writes(&vfio, window_bytes - size + 123 * IOMMU_PAGE,
			 address + size / 2 + 123 * IOMMU_PAGE));
	CHECK_EQ(unmap(window_bytes - size, size), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK_MAPPED(0, page / IOMMU_PAGE);
	vfio_close(&vfio);
	munmap(address, 2 * size);
}

/*
 * The device's writes leave no trace in the processor's page table: if the page
 * were not marked dirty, it could be dropped and read again from where it came.
 */
static void test_dirty(void)
{
	/* Fresh ones: a page that was written out once is dirty for ever. */
	unsigned char *address = vfio_memory(2 * page);

	open_enabled();
	map_stage();
	CHECK(!page_is_dirty(address));
	CHECK(!page_is_dirty(address + page));
	CHECK_EQ(map(IOVA, address, page, MAP_READ), 0);
	CHECK_EQ(map(IOVA + page, address + page, page, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, address));
	CHECK(edu_writes(&vfio, IOVA + page, address + page));
	CHECK_EQ(unmap(IOVA, 2 * page), 0);
	CHECK(!page_is_dirty(address));
	CHECK(page_is_dirty(address + page));
	vfio_close(&vfio);
	munmap(address, 2 * page);
}

/*
 * A file system must know before its pages are written, and a device says
 * nothing. A block device is as good as a file on it, and what is mapped only
 * to be read, or is the process's own copy, is nothing that a device could
 * spoil.
 */
static void test_file_written_back(void)
{
	int file = open(DISK, O_RDWR | O_CLOEXEC);
	struct state before;
	unsigned char *address;

	if (file < 0) {
		tap_skip("no " DISK);
		return;
	}

	open_enabled();
	map_stage();
	before = state_now();
	address = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (address == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), -EFAULT);
	CHECK_EQ(map(IOVA, address, page, MAP_WRITE), -EFAULT);
	CHECK_STATE(&before);
	munmap(address, page);

	address = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	if (address == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), 0);
	CHECK(edu_writes(&vfio, IOVA, address));
	CHECK_EQ(unmap(IOVA, page), 0);
	CHECK_STATE(&before);
	munmap(address, page);
	vfio_close(&vfio);
	close(file);
}

/*
 * A file's pages belong to the file: who reads it sees what the device wrote.
 */
static void test_file_memory(void)
{
	int file = memfd_create("v1", MFD_CLOEXEC);
	uint32_t copy[EDU_BYTES / sizeof(uint32_t)];
	unsigned int seed = edu_seed();
	unsigned char *address;

	if (file < 0 || ftruncate(file, page))
		tap_bail("memfd: %s", strerror(errno));
	address = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (address == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));

	open_enabled();
	map_stage();
	/* MAP itself brings the page in. */
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), 0);
	edu_fill(vfio.stage, seed);
	edu_read(&vfio, STAGE);
	edu_write(&vfio, IOVA);
	CHECK_EQ(unmap(IOVA, page), 0);
	munmap(address, page);
	CHECK_EQ(pread(file, copy, sizeof(copy), 0), sizeof(copy));
	CHECK(edu_filled((unsigned char *)copy, seed));
	vfio_close(&vfio);
	close(file);
}

static void test_memory_that_went(void)
{
	unsigned char *address = vfio_memory(page);
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), 0);
	/* The device goes on with the page, not with its successor. */
	if (mmap(address, page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != address)
		tap_bail("mmap: %s", strerror(errno));
	CHECK(!edu_reads(&vfio, IOVA, address));
	CHECK(!edu_writes(&vfio, IOVA, address));
	CHECK_EQ(pins(&before), pinned_by(page / IOMMU_PAGE, 1));
	CHECK_EQ(unmap(IOVA, page), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
	munmap(address, page);
}

/* Threads map over each other's pages and unmap them. */
#define THREADS		4
#define ROUNDS		200

static void *map_and_unmap(void *data)
{
	unsigned int seed = (uintptr_t)data;
	unsigned int i;
	long bad = 0;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t first = rand_r(&seed) % (PAGES / 2);
		uint64_t count = 1 + rand_r(&seed) % (PAGES / 2);

		if (rand_r(&seed) % 3)
			bad |= map(IOVA + first * IOMMU_PAGE,
				   memory + first * IOMMU_PAGE,
				   count * IOMMU_PAGE, MAP_BOTH);
		else
			bad |= unmap(IOVA + first * IOMMU_PAGE,
				     count * IOMMU_PAGE);
	}

	return (void *)bad;
}

static void test_threads(void)
{
	pthread_t threads[THREADS];
	struct state before;
	uintptr_t i;
	void *bad;

	open_enabled();
	CHECK_EQ(unmap(IOVA, IOMMU_PAGE), 0);
	before = state_now();
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, map_and_unmap,
				   (void *)(i + 1)))
			tap_bail("pthread_create");
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &bad);
		CHECK_EQ((long)bad, 0);
	}
	/* Whatever the order was: an entry, a pin. */
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK_EQ(pins(&before), pinned_by(PAGES, BYTES / page));
	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK_MAPPED(0, 0);
	vfio_close(&vfio);
}

int main(void)
{
	init_v1();
	state_watch();

	tap_test("a device reads and writes memory that was not registered",
		 test_dma);
	tap_test("a device may do what MAP_DMA said and no more",
		 test_permissions);
	tap_test("memory that cannot be written is not given to write",
		 test_read_only_memory);
	/* In-tree takes no such memory at all. */
	tap_test_ours("memory that cannot be written is given to read",
		      test_read_only_memory_to_read);
	tap_test("MAP_DMA of memory with a hole maps and pins nothing",
		 test_hole);
	tap_test_ours("MAP_DMA of memory with a hole leaves what was mapped",
		      test_hole_keeps_mappings);
	tap_test("mapping over a page lets go of it", test_overwrite);
	tap_test("UNMAP_DMA of a part leaves the rest", test_partial_unmap);
	tap_test("a page is pinned as long as an entry leads there", test_same_page_often);
	tap_test("16 MiB of large pages, at the window's end",
		 test_large_memory);
	tap_test("a page that the device may have written is dirty",
		 test_dirty);
	tap_test("what a device writes to a file's page is in the file",
		 test_file_memory);
	tap_test_ours("a file that is written back is not given to a device to write",
		      test_file_written_back);
	tap_test("a page stays pinned when the process gives its address away",
		 test_memory_that_went);
	tap_test("threads map and unmap the same addresses", test_threads);

	return tap_main();
}
