// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU pages of all sizes that the hypervisor of a guest offers, and memory in
 * smaller and larger pages.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/* The address of the stage, in the default window. */
#define STAGE		0x100000

static struct vfio vfio;
static struct vfio_iommu_spapr_tce_info info;

/* Reserves @count huge pages of 1 << @shift bytes. */
static bool large_pages(unsigned int shift, unsigned int count)
{
	unsigned int got = 0;
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages",
		 1ULL << (shift - 10));
	file = fopen(path, "r+");
	if (!file)
		return false;
	fprintf(file, "%u", count);
	rewind(file);
	if (fscanf(file, "%u", &got) != 1)
		got = 0;
	fclose(file);

	return got == count;
}

#define SHIFT_2M	21
#define SHIFT_16M	24
#define SHIFT_1G	30

/*
 * Memory in pages of 1 << @shift or more, @size rounded up to them; NULL if the
 * machine has none.
 */
static unsigned char *memory_in_pages(unsigned int shift, size_t *size)
{
	unsigned char *address;
	unsigned int large;

	if (shift <= vfio_page_shift())
		large = vfio_page_shift();
	else
		large = shift <= SHIFT_2M ? SHIFT_2M : SHIFT_1G;
	*size = ((*size - 1) >> large << large) + (1UL << large);
	if (large == vfio_page_shift())
		return vfio_memory(*size);

	if (!large_pages(large, *size >> large))
		return NULL;
	address = mmap(NULL, *size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		       MAP_POPULATE | large << MAP_HUGE_SHIFT, -1, 0);

	return address == MAP_FAILED ? NULL : address;
}

static void free_pages(unsigned char *address, size_t size)
{
	if (address)
		munmap(address, size);
	large_pages(SHIFT_2M, 0);
	large_pages(SHIFT_1G, 0);
}

static void open_registered(unsigned char *from, size_t size)
{
	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	CHECK_EQ(vfio_register(vfio.container, from, size), 0);
}

static void test_page_size(const void *data)
{
	unsigned int shift = *(const unsigned int *)data;
	uint64_t page = 1ULL << shift, window = page << 15, start;
	size_t size = 4 * page;
	struct state before;
	unsigned char *from;

	if (!(info.ddw.pgsizes & page)) {
		tap_skip("this machine does not have such pages");
		return;
	}
	from = memory_in_pages(shift, &size);
	if (!from) {
		free_pages(from, size);
		tap_skip("this machine has no memory in such pages");
		return;
	}

	open_registered(from, size);
	before = state_now();
	CHECK_EQ(vfio_create(vfio.container, shift, window, 1, &start), 0);
	/* The window has 2^15 pages. */
	CHECK_EQ(state_locked() - before.locked, vfio_window_charge(15, 1));
	CHECK_EQ(vfio_map(vfio.container, start, from, 2 * page, MAP_BOTH), 0);
	CHECK_EQ(vfio_map(vfio.container, start + window - 2 * page,
			  from + 2 * page, 2 * page, MAP_BOTH), 0);
	CHECK_MAPPED(start, 4);
	/* The first and the last bytes of pages, to test all address bits. */
	CHECK(edu_works(&vfio, start, from));
	CHECK(edu_works(&vfio, start + 2 * page - EDU_BYTES,
			from + 2 * page - EDU_BYTES));
	CHECK(edu_works(&vfio, start + window - EDU_BYTES,
			from + 4 * page - EDU_BYTES));
	CHECK(edu_works(&vfio, start + window - 2 * page, from + 2 * page));
	CHECK_EQ(vfio_unmap(vfio.container, start + page, page), 0);
	CHECK(edu_works(&vfio, start, from));
	CHECK(edu_is_blocked(&vfio, start + page, from + page));
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	CHECK_STATE(&before);
	CHECK(edu_is_blocked(&vfio, start, from));
	CHECK_EQ(vfio_unregister(vfio.container, from, size), 0);
	vfio_close(&vfio);
	free_pages(from, size);
}

/* An IOMMU page of 16 MiB, with memory in pages of 2 MiB. */
static void test_page_too_large_for_2m(void)
{
	const uint64_t page = 1ULL << SHIFT_16M;
	struct state before;
	unsigned char *from;
	size_t size = 2 * page;
	uint64_t start;

	from = info.ddw.pgsizes & page ? memory_in_pages(SHIFT_2M, &size) :
					 NULL;
	if (!from) {
		free_pages(from, size);
		tap_skip("this machine does not have such pages");
		return;
	}
	open_registered(from, size);
	CHECK_EQ(vfio_create(vfio.container, SHIFT_16M, 1ULL << 36, 1, &start),
		 0);
	before = state_now();
	CHECK_EQ(vfio_map(vfio.container, start,
			  (void *)(((uintptr_t)from + page - 1) & -page), page,
			  MAP_BOTH), -EINVAL);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unregister(vfio.container, from, size), 0);
	vfio_close(&vfio);
	free_pages(from, size);
}

/* An IOMMU page must lie within one page of memory. */
static void test_page_too_large(void)
{
	unsigned char *from;
	struct state before;
	uint64_t start;

	if (!(info.ddw.pgsizes & 1 << SHIFT_2M)) {
		tap_skip("this machine has no pages of 2 MiB");
		return;
	}
	from = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (from == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));
	madvise(from, 4 << 20, MADV_NOHUGEPAGE);
	from = (void *)(((uintptr_t)from + (2 << 20) - 1) & -(2UL << 20));
	open_registered(from, 2 << 20);
	CHECK_EQ(vfio_create(vfio.container, SHIFT_2M, 64ULL << 30, 1, &start),
		 0);
	before = state_now();
	CHECK_EQ(vfio_map(vfio.container, start, from, 2 << 20, MAP_BOTH),
		 -EINVAL);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unregister(vfio.container, from, 2 << 20), 0);
	vfio_close(&vfio);
}

static const unsigned int page_shifts[] = { 12, 16, 21, 24 };

int main(void)
{
	size_t i;

	vfio_open(&vfio);
	if (vfio_info(vfio.container, &info))
		tap_bail("GET_INFO");
	vfio_close(&vfio);
	state_watch();

	for (i = 0; i < ARRAY_SIZE(page_shifts); i++)
		tap_test_case(false, test_page_size, &page_shifts[i],
			      "DMA through a window of %llu KiB pages",
			      (1ULL << page_shifts[i]) >> 10);
	tap_test("an IOMMU page larger than its page of memory is refused",
		 test_page_too_large);
	tap_test("a page of 16 MiB in memory of 2 MiB pages is refused",
		 test_page_too_large_for_2m);

	return tap_main();
}
