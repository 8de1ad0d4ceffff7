// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refusals of MAP_DMA and UNMAP_DMA, which change nothing: neither the table,
 * nor the counts, nor DMA.
 */

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/*
 * The size of the registered memory in kernel pages; the pages before and after
 * it are not registered.
 */
#define PAGES		16

/*
 * The first window, of the size of a guest's default one, and a larger one of
 * kernel pages.
 */
#define WINDOW0_SIZE	BIT_ULL(30)
#define WINDOW1_SHIFT	34
#define WINDOW1_END	(WINDOW1_START + BIT_ULL(WINDOW1_SHIFT))

/* Where pages 0, 1 and 2 of the memory are mapped, and the stage. */
#define LOW		0x100000
#define HIGH		(WINDOW1_START + 0x100000)
#define LAST		(WINDOW0_SIZE - 0x10000)
#define STAGE		0x200000
/* Not mapped. */
#define FREE		0x400000
/* Not in a window. */
#define BETWEEN		0x400000000000000ULL

static struct vfio vfio;
static unsigned char *memory;
static size_t page;

enum request { MAP, UNMAP };

static const struct refusal {
	const char *what;
	int error;
	__u64 iova;
	/* The address: page @first of the memory and @offset; or @address. */
	int first;
	int offset;
	__u64 address;
	/* The size: @pages kernel pages and @bytes; or @size. */
	int pages;
	int bytes;
	__u64 size;
	unsigned int flags;
	int argsz;
	bool null;
	bool ours;
} map_refusals[] = {
	{ "a bad address of the argument", -EFAULT, .null = true },
	{ "a short argsz", -EINVAL, FREE, .pages = 1, .flags = MAP_BOTH,
	  .argsz = -1 },
	{ "no flags", -EINVAL, FREE, .pages = 1 },
	{ "unknown flags", -EINVAL, FREE, .pages = 1, .flags = MAP_BOTH | 4 },
	/* In-tree the result is 1. */
	{ "a misaligned bus address", -EINVAL, FREE + 512, .pages = 1,
	  .flags = MAP_BOTH, .ours = true },
	{ "a misaligned address", -EINVAL, FREE, .offset = 512, .pages = 1,
	  .flags = MAP_BOTH },
	{ "a misaligned size", -EINVAL, FREE, .pages = 1, .bytes = 512,
	  .flags = MAP_BOTH },
	{ "size 0", -EINVAL, LOW, .flags = MAP_BOTH, .ours = true },
	{ "addresses that wrap", -EINVAL, FREE, .address = -4096ULL,
	  .size = 8192, .flags = MAP_BOTH },
	{ "bus addresses that wrap", -EINVAL, HIGH, .size = -HIGH,
	  .flags = MAP_BOTH, .ours = true },
	{ "bus addresses that wrap into the first window", -EINVAL, HIGH,
	  .size = -HIGH + 0x10000, .flags = MAP_BOTH, .ours = true },
	{ "size 2^63", -EINVAL, LOW, .size = BIT_ULL(63), .flags = MAP_BOTH,
	  .ours = true },
	{ "the first page after the first window", -ENXIO, WINDOW0_SIZE,
	  .pages = 1, .flags = MAP_BOTH },
	{ "the first page after the second window", -ENXIO, WINDOW1_END,
	  .pages = 1, .flags = MAP_BOTH },
	{ "the last page before the second window", -ENXIO,
	  WINDOW1_START - 0x10000, .pages = 1, .flags = MAP_BOTH },
	{ "pages between the windows", -ENXIO, BETWEEN, .pages = 1,
	  .flags = MAP_BOTH },
	{ "the last page of the address space", -ENXIO, -0x10000ULL, .pages = 1,
	  .flags = MAP_BOTH },
	{ "pages across the end of the first window", -EINVAL, LAST,
	  .size = 0x20000, .flags = MAP_BOTH, .ours = true },
	{ "pages across the end of the second window", -EINVAL,
	  WINDOW1_END - 0x10000, .size = 0x20000, .flags = MAP_BOTH,
	  .ours = true },
	{ "memory that is not registered", -EINVAL, FREE, .first = PAGES,
	  .pages = 1, .flags = MAP_BOTH },
	{ "memory of which the first page is not registered", -EINVAL, FREE,
	  .first = -1, .pages = 2, .flags = MAP_BOTH },
	{ "memory of which the last page is not registered", -EINVAL, FREE,
	  .pages = PAGES + 1, .flags = MAP_BOTH },
	{ "memory partly registered, to replace a mapping", -EINVAL, LOW,
	  .first = PAGES - 1, .pages = 2, .flags = MAP_BOTH, .ours = true },
	{ "an address of the kernel", -EINVAL, FREE,
	  .address = 0xc000000000000000ULL, .pages = 1, .flags = MAP_BOTH },
}, unmap_refusals[] = {
	{ "a bad address of the argument", -EFAULT, .null = true },
	{ "a short argsz", -EINVAL, LOW, .pages = 1, .argsz = -1 },
	{ "flags", -EINVAL, LOW, .pages = 1,
	  .flags = VFIO_DMA_UNMAP_FLAG_ALL },
	{ "a misaligned bus address", -EINVAL, LOW + 512, .pages = 1,
	  .ours = true },
	{ "a misaligned size", -EINVAL, LOW, .pages = 1, .bytes = 512 },
	{ "size 0", -EINVAL, LOW, .ours = true },
	{ "bus addresses that wrap", -EINVAL, HIGH, .size = -HIGH,
	  .ours = true },
	{ "bus addresses that wrap into the first window", -EINVAL, HIGH,
	  .size = -HIGH + 0x200000, .ours = true },
	{ "size 2^63", -EINVAL, LOW, .size = BIT_ULL(63), .ours = true },
	{ "the first page after the first window", -ENXIO, WINDOW0_SIZE,
	  .pages = 1 },
	{ "the first page after the second window", -ENXIO, WINDOW1_END,
	  .pages = 1 },
	{ "pages between the windows", -ENXIO, BETWEEN, .pages = 1 },
	{ "pages across the end of the first window", -EINVAL, LAST,
	  .size = 0x20000, .ours = true },
	{ "a range of the whole address space", -EINVAL, 0,
	  .size = ~0xffffULL, .ours = true },
};

static int call(enum request request, const struct refusal *refusal)
{
	__u64 size = refusal->size ?:
			refusal->pages * page + refusal->bytes;
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap) + refusal->argsz,
		.flags = refusal->flags,
		.iova = refusal->iova,
		.size = size,
	};
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map) + refusal->argsz,
		.flags = refusal->flags,
		.vaddr = refusal->address ?:
			 (uintptr_t)memory + refusal->first * (long)page +
			 refusal->offset,
		.iova = refusal->iova,
		.size = size,
	};

	if (request == UNMAP)
		return vfio_ioctl(vfio.container, VFIO_IOMMU_UNMAP_DMA,
				  refusal->null ? NULL : &unmap);

	return vfio_ioctl(vfio.container, VFIO_IOMMU_MAP_DMA,
			  refusal->null ? NULL : &map);
}

/* Whether the mappings next to the refused one still work. */
static bool device_sees_same(__u64 iova)
{
	if (iova == LAST)
		return edu_copies(&vfio, LAST, memory + 2 * page, HIGH,
				  memory + page);

	return edu_copies(&vfio, LOW, memory, HIGH, memory + page);
}

static void test_map_refusal(const void *data)
{
	const struct refusal *refusal = data;
	struct state before = state_now();

	CHECK_EQ(call(MAP, refusal), refusal->error);
	CHECK_STATE(&before);
	CHECK(device_sees_same(refusal->iova));
}

static void test_unmap_refusal(const void *data)
{
	const struct refusal *refusal = data;
	struct state before = state_now();

	CHECK_EQ(call(UNMAP, refusal), refusal->error);
	CHECK_STATE(&before);
	CHECK(device_sees_same(refusal->iova));
}

static void test_refused_is_not_mapped(void)
{
	unsigned char *target = memory + 4 * page;

	/*
	 * All pages but the last are registered; not even the first must be
	 * mapped.
	 */
	CHECK_EQ(vfio_map(vfio.container, FREE, target, (PAGES - 3) * page,
			  MAP_BOTH), -EINVAL);
	CHECK(!edu_reads(&vfio, FREE, target));
	CHECK(!edu_writes(&vfio, FREE, target));
}

static void test_unmap_nothing(void)
{
	struct state before = state_now();

	/* A page that was never mapped, and the rest of a window. */
	CHECK_EQ(vfio_unmap(vfio.container, FREE, page), 0);
	CHECK_EQ(vfio_unmap(vfio.container, FREE, LAST - FREE), 0);
	CHECK_EQ(vfio_unmap(vfio.container, HIGH + page,
			    WINDOW1_END - HIGH - page), 0);
	CHECK_STATE(&before);
	CHECK(device_sees_same(LOW));
	CHECK(device_sees_same(LAST));
}

/* Creates the second window again, after a test has removed it. */
static void remake_window1(void)
{
	CHECK_EQ(vfio_create(vfio.container, vfio_page_shift(),
			     BIT_ULL(WINDOW1_SHIFT), vfio_levels(2), NULL), 0);
	CHECK_EQ(vfio_map(vfio.container, HIGH, memory + page, page, MAP_BOTH),
		 0);
}

static void test_removed_window(void)
{
	struct state before;

	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	state_quiesce();
	before = state_now();
	CHECK_EQ(vfio_map(vfio.container, HIGH, memory, page, MAP_BOTH),
		 -ENXIO);
	CHECK_EQ(vfio_unmap(vfio.container, HIGH, page), -ENXIO);
	CHECK_EQ(state_locked(), before.locked);
	remake_window1();
	CHECK(device_sees_same(LOW));
}

/* An IOMMU page of several kernel pages. */
static void test_larger_pages(void)
{
	struct state before;

	if (vfio_page_shift() >= 16) {
		tap_skip("kernel pages are not smaller");
		return;
	}

	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	CHECK_EQ(vfio_create(vfio.container, 16, BIT_ULL(WINDOW1_SHIFT),
			     vfio_levels(2), NULL), 0);
	before = state_now();
	CHECK_EQ(vfio_map(vfio.container, HIGH, memory, 16 * page, MAP_BOTH),
		 -EINVAL);
	CHECK_EQ(state_locked(), before.locked);
	CHECK_MAPPED(WINDOW1_START, 0);
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	remake_window1();
	CHECK(device_sees_same(LOW));
}

static void setup(void)
{
	int ret;

	page = vfio_page_size();
	/* Aligned to 64K, for the kernel with smaller pages. */
	memory = vfio_memory((PAGES + 2) * page + 0x20000);
	memory += page;
	memory += -(uintptr_t)memory & 0xffff;

	vfio_open(&vfio);
	ret = vfio_remove(vfio.container, 0);
	if (!ret)
		ret = vfio_create(vfio.container, 12, WINDOW0_SIZE,
				  vfio_levels(2), NULL);
	if (ret)
		tap_bail("the first window: %s", strerror(-ret));
	edu_stage(&vfio, STAGE);
	ret = vfio_register(vfio.container, memory, PAGES * page);
	if (!ret)
		ret = vfio_create(vfio.container, vfio_page_shift(),
				  BIT_ULL(WINDOW1_SHIFT), vfio_levels(2), NULL);
	if (!ret)
		ret = vfio_map(vfio.container, LOW, memory, page, MAP_BOTH);
	if (!ret)
		ret = vfio_map(vfio.container, HIGH, memory + page, page,
			       MAP_BOTH);
	if (!ret)
		ret = vfio_map(vfio.container, LAST, memory + 2 * page, page,
			       MAP_BOTH);
	if (ret)
		tap_bail("setting up: %s", strerror(-ret));
}

int main(void)
{
	size_t i;

	setup();
	state_watch();

	for (i = 0; i < ARRAY_SIZE(map_refusals); i++)
		tap_test_case(map_refusals[i].ours, test_map_refusal,
			      &map_refusals[i], "MAP_DMA refuses %s",
			      map_refusals[i].what);
	tap_test("a refused MAP_DMA maps nothing",
		 test_refused_is_not_mapped);
	for (i = 0; i < ARRAY_SIZE(unmap_refusals); i++)
		tap_test_case(unmap_refusals[i].ours, test_unmap_refusal,
			      &unmap_refusals[i], "UNMAP_DMA refuses %s",
			      unmap_refusals[i].what);
	tap_test("UNMAP_DMA where nothing is mapped changes nothing",
		 test_unmap_nothing);
	tap_test("MAP_DMA and UNMAP_DMA refuse a removed window",
		 test_removed_window);
	tap_test("MAP_DMA refuses IOMMU pages larger than those of the memory",
		 test_larger_pages);

	return tap_main();
}
