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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bystanders.h"
#include "edu.h"
#include "fuse.h"
#include "state.h"
#include "tap.h"
#include "version1.h"
#include "vfio.h"

/* A disk in memory, whose pages are written back like those of any disk. */
#define DISK		"/dev/ram0"

static void test_dma(void)
{
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK_EQ(pins(&before), expected_pins(PAGES, BYTES / page));
	/* ENABLE has charged them. */
	CHECK_EQ(state_locked(), before.locked);
	CHECK_MAPPED(0, PAGES + page / IOMMU_PAGE);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(edu_writes(&vfio, IOVA, memory));
	CHECK(edu_reads(&vfio, IOVA + BYTES - IOMMU_PAGE,
			memory + BYTES - IOMMU_PAGE));
	CHECK(edu_writes(&vfio, IOVA + BYTES - IOMMU_PAGE,
			 memory + BYTES - IOMMU_PAGE));
	/* An IOMMU page that is not aligned to a kernel page. */
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
	/*
	 * Reading is not checked: on a host the platform adds read permission
	 * to write permission.
	 */
	CHECK_EQ(map(IOVA, memory, page, MAP_WRITE), 0);
	CHECK(edu_writes(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

/* A page that the process can only read. */
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
	/* The first call creates the window, even if it fails. */
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
	CHECK(edu_matches(vfio.stage, seed));
	/* Other data, which must not be written back. */
	edu_fill(vfio.stage, edu_seed());
	edu_read(&vfio, STAGE);
	edu_write(&vfio, IOVA);
	CHECK(edu_matches(address, seed));
	vfio_close(&vfio);
	munmap(address, page);
}

/* Memory whose third kernel page is not mapped; the next mmap() may map it. */
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
	/* An unmapped address, and one of the kernel. */
	CHECK_EQ(map(IOVA, (void *)IOMMU_PAGE, page, MAP_BOTH), -EFAULT);
	CHECK_EQ(map(IOVA, (void *)0xc000000000000000, page, MAP_BOTH),
		 -EFAULT);
	CHECK_STATE(&before);
	/* The pages around the hole can be mapped. */
	CHECK_EQ(map(IOVA, address, 2 * page, MAP_BOTH), 0);
	CHECK_EQ(map(IOVA, address + 3 * page, page, MAP_BOTH), 0);
	vfio_close(&vfio);
	munmap(address, 2 * page);
	munmap(address + 3 * page, page);
}

/* A failed MAP_DMA changes no mapping. */
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
	CHECK_EQ(pins(&before), expected_pins(2 * page / IOMMU_PAGE, 2));
	CHECK_EQ(map(IOVA, other, page, MAP_BOTH), 0);
	/* The new page is pinned, and the old one unpinned. */
	CHECK_EQ(pins(&before), expected_pins(2 * page / IOMMU_PAGE, 2));
	CHECK_MAPPED(0, 3 * page / IOMMU_PAGE);
	CHECK(edu_reads(&vfio, IOVA, other));
	CHECK(edu_writes(&vfio, IOVA, other));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	CHECK(edu_reads(&vfio, IOVA + page, memory + page));
	/* Replaced by itself, with less permission. */
	CHECK_EQ(map(IOVA, other, page, MAP_READ), 0);
	CHECK_EQ(pins(&before), expected_pins(2 * page / IOMMU_PAGE, 2));
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
	CHECK_EQ(pins(&before), expected_pins(PAGES - 3, BYTES / page));
	CHECK_MAPPED(0, PAGES - 3 + page / IOMMU_PAGE);
	CHECK(edu_reads(&vfio, IOVA + IOMMU_PAGE, memory + IOMMU_PAGE));
	CHECK(!edu_reads(&vfio, IOVA + 2 * IOMMU_PAGE,
			 memory + 2 * IOMMU_PAGE));
	CHECK(!edu_writes(&vfio, IOVA + 4 * IOMMU_PAGE,
			  memory + 4 * IOMMU_PAGE));
	CHECK(edu_writes(&vfio, IOVA + 5 * IOMMU_PAGE,
			 memory + 5 * IOMMU_PAGE));
	/* Entries that are not mapped are skipped. */
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
	CHECK_EQ(pins(&before), expected_pins(100, 1));
	for (i = 0; i < 99; i++)
		CHECK_EQ(unmap(IOVA + i * 8 * IOMMU_PAGE, 8 * IOMMU_PAGE), 0);
	CHECK_EQ(pins(&before), 1);
	CHECK_EQ(unmap(IOVA, 800 * IOMMU_PAGE), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK_MAPPED(0, 0);
	vfio_close(&vfio);
}

/* Huge pages of memory, mapped by small IOMMU pages at the window's end. */
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
	CHECK_EQ(pins(&before), expected_pins(size / IOMMU_PAGE, size / page));
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
 * Writes by a device do not set the dirty bit of a PTE. If the page were not
 * set dirty, it could be dropped and read again from its file or swap.
 */
static void test_dirty(void)
{
	/* New pages: a page that was written once stays dirty. */
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

static bool kernel_pins_files(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		tap_bail("uname");

	return major < 6 || (major == 6 && minor < 5);
}

/*
 * A file system must know of each write to a page of its files, and a device
 * does not tell it. The same holds for a block device. Read-only mappings and
 * private copies are safe.
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

	if (kernel_pins_files()) {
		tap_skip("Linux before 6.5 pins such pages");
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

	address =
		mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
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

/* A device writes to a page of a file: the file has the data. */
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
	/* MAP_DMA faults the page in. */
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), 0);
	edu_fill(vfio.stage, seed);
	edu_read(&vfio, STAGE);
	edu_write(&vfio, IOVA);
	CHECK_EQ(unmap(IOVA, page), 0);
	munmap(address, page);
	CHECK_EQ(pread(file, copy, sizeof(copy), 0), sizeof(copy));
	CHECK(edu_matches((unsigned char *)copy, seed));
	vfio_close(&vfio);
	close(file);
}

static void test_unmapped_by_process(void)
{
	unsigned char *address = vfio_memory(page);
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), 0);
	/*
	 * The device still uses the old page, not the new one at its address.
	 */
	if (mmap(address, page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != address)
		tap_bail("mmap: %s", strerror(errno));
	CHECK(!edu_reads(&vfio, IOVA, address));
	CHECK(!edu_writes(&vfio, IOVA, address));
	CHECK_EQ(pins(&before), expected_pins(page / IOMMU_PAGE, 1));
	CHECK_EQ(unmap(IOVA, page), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
	munmap(address, page);
}

/* Threads map and unmap overlapping ranges. */
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
	/* In whatever order the calls were made, no pin is lost or left. */
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK_EQ(pins(&before), expected_pins(PAGES, BYTES / page));
	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK_MAPPED(0, 0);
	vfio_close(&vfio);
}

/*
 * MAP_DMA has pinned STUCK_PAGES and waits for one more, whose page fault is
 * not answered. All of them stay charged until it ends.
 */
#define STUCK_PAGES	512
#define STUCK_MAX	3

static struct stuck {
	int container;
	unsigned char *from;
	int result;
	pthread_t thread;
} stuck[STUCK_MAX];

static void close_container(void)
{
	vfio_close(&vfio);
}

static void disable_container(void)
{
	CHECK_EQ(disable(), 0);
}

static void enable_again(void)
{
	CHECK_EQ(disable(), 0);
	CHECK_EQ(enable(), 0);
}

/* What ends the charge of ENABLE meanwhile, and the result of MAP_DMA. */
static const struct ends_charge {
	const char *what;
	void (*end)(void);
	bool closes;
	bool enables;
	int result;
} ends_charge[] = {
	{ .what = "its container is closed", .end = close_container,
	  .closes = true, .result = -ENODEV },
	{ .what = "its container is disabled", .end = disable_container,
	  .result = -EPERM },
	{ .what = "its container is disabled and enabled again",
	  .end = enable_again, .enables = true },
};

static void *map_stuck(void *data)
{
	struct stuck *map = data;

	map->result = vfio_map(map->container, 0, map->from,
			       (STUCK_PAGES + 1) * page, MAP_BOTH);

	return NULL;
}

static void begin_stuck(struct stuck *map, unsigned int waiting)
{
	map->container = vfio.container;
	map->from = vfio_memory((STUCK_PAGES + 1) * page);
	fuse_page_at(map->from + STUCK_PAGES * page);
	if (pthread_create(&map->thread, NULL, map_stuck, map))
		tap_bail("pthread_create");
	CHECK(fuse_wait(waiting));
}

static void test_stuck(const void *data)
{
	const struct ends_charge *how = data;
	unsigned int count = how->closes ? STUCK_MAX : 1, i;
	struct state before;

	if (!have_fuse())
		return;

	fuse_start(FUSE_UNLOCKED);
	before = state_now();
	for (i = 0; i < count; i++) {
		uint64_t locked = before.locked + i * (STUCK_PAGES + 1);

		open_enabled();
		begin_stuck(&stuck[i], i + 1);
		CHECK_EQ(pins(&before), (i + 1) * STUCK_PAGES);
		/* The charge of ENABLE is enough. */
		state_locked_becomes(locked + enabled_charge() +
				     window_charge());

		how->end();
		CHECK_EQ(pins(&before), (i + 1) * STUCK_PAGES);
		if (!how->closes)
			locked += window_charge();
		locked += how->enables ? enabled_charge() : STUCK_PAGES + 1;
		state_locked_becomes(locked);
	}

	fuse_answer();
	for (i = 0; i < count; i++) {
		pthread_join(stuck[i].thread, NULL);
		CHECK_EQ(stuck[i].result, how->result);
	}
	if (how->enables)
		state_locked_becomes(before.locked + enabled_charge() +
				     window_charge());
	if (!how->closes)
		vfio_close(&vfio);
	CHECK_STATE(&before);
	for (i = 0; i < count; i++)
		munmap(stuck[i].from, (STUCK_PAGES + 1) * page);
	fuse_stop();
}

int main(void)
{
	size_t i;

	init_v1();
	state_watch();

	tap_test("the device reads and writes memory that is not registered",
		 test_dma);
	tap_test("the device has the permissions of MAP_DMA",
		 test_permissions);
	tap_test("MAP_DMA for writing refuses read-only memory",
		 test_read_only_memory);
	/* In-tree it is refused. */
	tap_test_ours("MAP_DMA for reading accepts read-only memory",
		      test_read_only_memory_to_read);
	tap_test("MAP_DMA of memory with a hole maps and pins nothing",
		 test_hole);
	tap_test_ours("MAP_DMA of memory with a hole changes no mapping",
		      test_hole_keeps_mappings);
	tap_test("replacing a page unpins it", test_overwrite);
	tap_test("UNMAP_DMA of a part leaves the rest", test_partial_unmap);
	tap_test("a page is pinned until its last entry is unmapped",
		 test_same_page_often);
	tap_test("16 MiB of huge pages can be mapped at the end of the window",
		 test_large_memory);
	tap_test("a page that the device may have written is dirty",
		 test_dirty);
	tap_test("a file has what a device writes to its page",
		 test_file_memory);
	tap_test_ours("MAP_DMA for writing refuses pages of a file on a disk",
		      test_file_written_back);
	tap_test("a page stays pinned after the process has unmapped it",
		 test_unmapped_by_process);
	tap_test("threads map and unmap the same addresses", test_threads);
	for (i = 0; i < ARRAY_SIZE(ends_charge); i++)
		tap_test_case(true, test_stuck, &ends_charge[i],
			      "pages of a MAP_DMA that waits stay charged when %s",
			      ends_charge[i].what);

	return tap_main();
}
