// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU pages larger than a kernel page: each must lie within one page of
 * memory. A region may have huge pages first and then small ones, so checking
 * its first page is not enough.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "file.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/* In the default window, of 4K pages. */
#define STAGE		0x100000

#define SPLIT		"/sys/kernel/debug/split_huge_pages"

#define WINDOW_BYTES	BIT_ULL(30)
#define HUGE_PAGES	2

/*
 * With the hash MMU all pages of a slice have one size; below 4 GiB a slice has
 * 256 MiB. Huge pages end at this boundary, and small ones begin there. The
 * heap is anywhere in the first GiB after the program, which is at 0x10000000.
 */
#define BORDER		0x80000000UL

static const struct size {
	const char *name;
	unsigned int shift;
} sizes[] = {
	{ "4K", 12 }, { "64K", 16 }, { "2M", 21 }, { "16M", 24 },
};

static struct vfio vfio;
static unsigned int huge_shift;
static size_t huge;
/* Huge pages up to BORDER, followed by as many bytes of small pages. */
static unsigned char *memory;
static unsigned char *small;
static __u64 window;

static void *memory_at(unsigned long address, size_t size, int flags)
{
	void *at = mmap((void *)address, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
			MAP_POPULATE | flags, -1, 0);

	if (at == MAP_FAILED)
		tap_bail("%zu bytes of memory at %#lx: %s", size, address,
			 strerror(errno));

	return at;
}

/*
 * Without MAP_POPULATE: before madvise() it may populate a huge page. If there
 * are transparent huge pages, these are parts of some that are split, so they
 * are contiguous in physical memory, as the pages of a huge page are.
 */
static void *small_at(unsigned long address, size_t size)
{
	void *at = mmap((void *)address, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			0);
	char range[80];

	if (at == MAP_FAILED)
		tap_bail("%zu bytes of memory at %#lx: %s", size, address,
			 strerror(errno));
	madvise(at, size, MADV_HUGEPAGE);
	memset(at, 1, size);
	madvise(at, size, MADV_NOHUGEPAGE);
	snprintf(range, sizeof(range), "%d,%#lx,%#lx", getpid(), address,
		 address + size);
	if (!access(SPLIT, W_OK))
		write_file(SPLIT, range);

	return at;
}

/*
 * Opens a window with IOMMU pages of this size; false if the platform does not
 * have them, or if they are larger than a huge page.
 */
static bool open_window(const struct size *size)
{
	vfio_open(&vfio);
	if (!(vfio_limits()->ddw.pgsizes & BIT_ULL(size->shift))) {
		tap_skip("the platform has no such pages");
		vfio_close(&vfio);
		return false;
	}
	if (size->shift > huge_shift) {
		tap_skip("the huge pages are smaller");
		vfio_close(&vfio);
		return false;
	}
	edu_stage(&vfio, STAGE);
	CHECK_EQ(vfio_create(vfio.container, size->shift, WINDOW_BYTES, 1,
			     &window), 0);

	return true;
}

static int map(__u64 offset, unsigned char *from, size_t bytes)
{
	return vfio_map(vfio.container, window + offset, from, bytes, MAP_BOTH);
}

/* Whether the device reads and writes @at at @offset. */
static bool works(__u64 offset, unsigned char *at)
{
	return edu_works(&vfio, window + offset, at);
}

static bool is_blocked(__u64 offset, unsigned char *at)
{
	return edu_is_blocked(&vfio, window + offset, at);
}

static void test_whole(const void *data)
{
	const struct size *size = data;
	size_t bytes = HUGE_PAGES * huge, last = bytes - EDU_BYTES;
	size_t unit = 1UL << size->shift;

	if (!open_window(size))
		return;

	CHECK_EQ(vfio_register(vfio.container, memory, bytes), 0);
	CHECK_EQ(map(0, memory, bytes), 0);
	CHECK_MAPPED(window, bytes >> size->shift);
	CHECK(works(0, memory));
	CHECK(works(huge - EDU_BYTES, memory + huge - EDU_BYTES));
	CHECK(works(huge, memory + huge));
	CHECK(works(last, memory + last));
	CHECK(edu_copies(&vfio, window, memory, window + last, memory + last));
	CHECK(is_blocked(bytes, memory));

	/* An IOMMU page, a part of a huge page or all of it. */
	CHECK_EQ(vfio_unmap(vfio.container, window + huge - unit, unit), 0);
	CHECK(is_blocked(huge - unit, memory + huge - unit));
	CHECK(works(huge, memory + huge));
	CHECK_EQ(vfio_unregister(vfio.container, memory, bytes), -EBUSY);
	CHECK_EQ(vfio_unmap(vfio.container, window, bytes), 0);
	CHECK(is_blocked(0, memory));
	CHECK_EQ(vfio_unregister(vfio.container, memory, bytes), 0);
	vfio_close(&vfio);
}

/*
 * Maps small pages after the huge pages of a region that @owner has registered.
 */
static void check_mixed(const struct size *size, int owner)
{
	size_t unit = 1UL << size->shift, bytes = HUGE_PAGES * huge;
	struct state before;

	CHECK_EQ(vfio_register(owner, memory, 2 * bytes), 0);

	/* All of the huge pages but the last IOMMU page. */
	CHECK_EQ(map(0, memory, bytes - unit), 0);
	before = state_now();
	if (unit > vfio_page_size()) {
		int error = tap_intree() ? -EPERM : -EINVAL;

		/* The first and the last small page; they replace nothing. */
		CHECK_EQ(map(bytes, small, unit), error);
		CHECK_STATE(&before);
		CHECK_EQ(map(2 * bytes - unit, memory + 2 * bytes - unit, unit),
			 error);
		CHECK_STATE(&before);
		CHECK(is_blocked(bytes, small));

		/* Replaces a mapping. */
		CHECK_EQ(map(0, small, unit), error);
		CHECK_STATE(&before);

		/* A range whose first pages are huge. */
		if (!tap_intree()) {
			CHECK_EQ(map(bytes - unit, small - unit, 2 * unit),
				 error);
			CHECK_STATE(&before);
			CHECK_EQ(map(0, small - unit, 2 * unit), error);
			CHECK_STATE(&before);
			CHECK(works(0, memory));
			CHECK(is_blocked(bytes - unit, small - unit));
		}
	} else {
		CHECK_EQ(map(bytes - unit, small - unit, 2 * unit), 0);
		CHECK(works(bytes - unit, small - unit));
		CHECK(works(bytes, small));
	}
	CHECK_EQ(vfio_unmap(vfio.container, window, WINDOW_BYTES), 0);
	CHECK_EQ(vfio_unregister(owner, memory, 2 * bytes), 0);
}

static void test_mixed(const void *data)
{
	if (!open_window(data))
		return;
	check_mixed(data, vfio.container);
	vfio_close(&vfio);
}

static void test_mixed_of_others(const void *data)
{
	struct vfio other;

	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}
	if (!open_window(data))
		return;
	vfio_open_device(&other, 1);
	check_mixed(data, other.container);
	vfio_close(&other);
	vfio_close(&vfio);
}

/* The same, with the huge pages last. */
static void test_huge_last(const void *data)
{
	const struct size *size = data;
	size_t unit = 1UL << size->shift;
	unsigned char *first;
	struct state before;

	if (!open_window(size))
		return;

	/* Small pages up to the boundary, one huge page after it. */
	munmap(memory, HUGE_PAGES * huge);
	munmap(small, HUGE_PAGES * huge);
	first = small_at(BORDER - huge, huge);
	memory_at(BORDER, huge, MAP_HUGETLB);

	CHECK_EQ(vfio_register(vfio.container, first, 2 * huge), 0);
	before = state_now();
	if (unit > vfio_page_size()) {
		CHECK_EQ(map(0, first, unit), -EINVAL);
		CHECK_STATE(&before);
		CHECK_EQ(map(0, first + huge - unit, 2 * unit), -EINVAL);
		CHECK_STATE(&before);
	} else {
		CHECK_EQ(map(0, first + huge - unit, 2 * unit), 0);
		CHECK(works(0, first + huge - unit));
		CHECK(works(unit, first + huge));
	}
	vfio_close(&vfio);

	munmap(first, huge);
	munmap(first + huge, huge);
	memory = memory_at(BORDER - HUGE_PAGES * huge, HUGE_PAGES * huge,
			   MAP_HUGETLB);
	small = small_at(BORDER, HUGE_PAGES * huge);
}

/* An IOMMU page must be aligned within its page of memory. */
static void test_misaligned(const void *data)
{
	const struct size *size = data;
	size_t unit = 1UL << size->shift, half = unit / 2;
	struct state before;

	if (!open_window(size))
		return;
	CHECK_EQ(vfio_register(vfio.container, memory, HUGE_PAGES * huge), 0);
	before = state_now();
	CHECK_EQ(map(0, memory + half, unit), -EINVAL);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

/* A region that is not aligned to IOMMU pages, or ends within one. */
static void test_part_of_huge(const void *data)
{
	const struct size *size = data;
	size_t unit = 1UL << size->shift, page = vfio_page_size();
	struct state before;

	if (!open_window(size))
		return;
	if (unit <= page) {
		tap_skip("no IOMMU page is larger than a kernel page");
		vfio_close(&vfio);
		return;
	}
	CHECK_EQ(vfio_register(vfio.container, memory + unit - page, page), 0);
	before = state_now();
	CHECK_EQ(map(0, memory, unit), -EINVAL);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unregister(vfio.container, memory + unit - page, page),
		 0);

	CHECK_EQ(vfio_register(vfio.container, memory, unit - page), 0);
	/* The page is unpinned after a grace period. */
	state_quiesce();
	before = state_now();
	CHECK_EQ(map(0, memory, unit), -EINVAL);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

int main(void)
{
	static const struct {
		void (*run)(const void *data);
		const char *what;
	} tests[] = {
		{ test_whole, "IOMMU pages of %s map huge pages" },
		{ test_mixed,
		  "IOMMU pages of %s map no smaller pages after huge ones" },
		{ test_mixed_of_others,
		  "IOMMU pages of %s map no smaller pages, two containers" },
		{ test_huge_last,
		  "IOMMU pages of %s map no smaller pages before huge ones" },
		{ test_misaligned,
		  "IOMMU pages of %s: misaligned memory is refused" },
		{ test_part_of_huge,
		  "IOMMU pages of %s: a partly registered page is refused" },
	};
	size_t i, j;

	huge_shift = vfio_huge_shift();
	if (!huge_shift)
		tap_bail("the kernel has no huge pages");
	huge = 1UL << huge_shift;
	memory = memory_at(BORDER - HUGE_PAGES * huge, HUGE_PAGES * huge,
			   MAP_HUGETLB);
	small = small_at(BORDER, HUGE_PAGES * huge);
	state_watch();

	for (i = 0; i < ARRAY_SIZE(tests); i++)
		for (j = 0; j < ARRAY_SIZE(sizes); j++)
			tap_test_case(false, tests[i].run, &sizes[j],
				      tests[i].what, sizes[j].name);

	return tap_main();
}
