// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA: data is transferred in both directions where memory is mapped, and none
 * elsewhere.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/* The default window: 4K pages, at most 1,024 of them in a leaf of ours. */
#define SIZE_4K		4096
#define LEAF_BYTES	(1024 * SIZE_4K)

#define STAGE		0x100000
#define IOVA		0x200000

/* The address of GPU memory, above a hole, as in demo.c. */
#define FAR		0x244000000000ULL

#define MEMORY_BYTES	(2 << 20)

static struct vfio vfio;
static unsigned char *memory;
static size_t page;
static __u64 window0_size;

static int map(__u64 iova, unsigned char *address, size_t size)
{
	return vfio_map(vfio.container, iova, address, size, MAP_BOTH);
}

static int unmap(__u64 iova, size_t size)
{
	return vfio_unmap(vfio.container, iova, size);
}

/* The device can neither read nor write. */
static bool is_blocked(__u64 iova, unsigned char *address)
{
	return edu_is_blocked(&vfio, iova, address);
}

static bool reads_and_writes(__u64 iova, unsigned char *address)
{
	return edu_works(&vfio, iova, address);
}

/* The stage is mapped in the default window, all 4K pages of a kernel page. */
static __u64 stage_pages(void)
{
	return page / SIZE_4K;
}

static void test_both_ways(void)
{
	CHECK_MAPPED(0, stage_pages());
	CHECK(is_blocked(IOVA, memory));
	CHECK_EQ(map(IOVA, memory, SIZE_4K), 0);
	CHECK_MAPPED(0, stage_pages() + 1);
	CHECK(reads_and_writes(IOVA, memory));
	CHECK_EQ(unmap(IOVA, SIZE_4K), 0);
	CHECK_MAPPED(0, stage_pages());
	CHECK(is_blocked(IOVA, memory));
}

static void test_read_only(void)
{
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, SIZE_4K, MAP_READ), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	/* Mapping it again adds a permission, or removes one. */
	CHECK_EQ(map(IOVA, memory, SIZE_4K), 0);
	CHECK_MAPPED(0, stage_pages() + 1);
	CHECK(edu_writes(&vfio, IOVA, memory));
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, SIZE_4K, MAP_READ), 0);
	CHECK(!edu_writes(&vfio, IOVA, memory));
	CHECK_EQ(unmap(IOVA, SIZE_4K), 0);
}

static void test_write_only(void)
{
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, SIZE_4K, MAP_WRITE), 0);
	CHECK(edu_writes(&vfio, IOVA, memory));
	/* The hardware has no write-only entries, a hypervisor has. */
	CHECK_EQ(edu_reads(&vfio, IOVA, memory), !vfio_is_guest());
	CHECK_EQ(unmap(IOVA, SIZE_4K), 0);
}

static void test_overwrite(void)
{
	unsigned char *other = memory + page;
	unsigned int seed = edu_seed();

	CHECK_EQ(map(IOVA, memory, SIZE_4K), 0);
	CHECK(reads_and_writes(IOVA, memory));
	CHECK_EQ(map(IOVA, other, SIZE_4K), 0);
	CHECK_MAPPED(0, stage_pages() + 1);
	edu_fill(memory, seed);
	CHECK(reads_and_writes(IOVA, other));
	CHECK(edu_matches(memory, seed));
	CHECK(is_blocked(IOVA, memory));
	CHECK_EQ(unmap(IOVA, SIZE_4K), 0);
	CHECK(is_blocked(IOVA, other));
}

static void test_unmap_part(void)
{
	CHECK_EQ(map(IOVA, memory, 3 * SIZE_4K), 0);
	CHECK_MAPPED(0, stage_pages() + 3);
	CHECK_EQ(unmap(IOVA + SIZE_4K, SIZE_4K), 0);
	CHECK_MAPPED(0, stage_pages() + 2);
	CHECK(is_blocked(IOVA + SIZE_4K, memory + SIZE_4K));
	CHECK(edu_copies(&vfio, IOVA, memory, IOVA + 2 * SIZE_4K,
			 memory + 2 * SIZE_4K));
	CHECK(edu_copies(&vfio, IOVA + 2 * SIZE_4K, memory + 2 * SIZE_4K,
			 IOVA, memory));
	/* A partly mapped range can be unmapped. */
	CHECK_EQ(unmap(IOVA, 3 * SIZE_4K), 0);
	CHECK_MAPPED(0, stage_pages());
	CHECK(is_blocked(IOVA, memory));
	CHECK(is_blocked(IOVA + 2 * SIZE_4K, memory + 2 * SIZE_4K));
}

static void test_across_pages(void)
{
	/* Adjacent on the bus, in reverse order in memory. */
	unsigned char *first = memory + SIZE_4K, *second = memory;
	unsigned char *data = memory + 4 * SIZE_4K;
	unsigned int half = EDU_BYTES / 2;
	unsigned int seed = edu_seed();

	CHECK_EQ(map(IOVA, first, SIZE_4K), 0);
	CHECK_EQ(map(IOVA + SIZE_4K, second, SIZE_4K), 0);

	edu_fill(data, seed);
	memcpy(first + SIZE_4K - half, data, half);
	memcpy(second, data + half, half);
	edu_read(&vfio, IOVA + SIZE_4K - half);
	edu_write(&vfio, STAGE);
	CHECK(edu_matches(vfio.stage, seed));

	memset(first + SIZE_4K - half, 0, half);
	memset(second, 0, half);
	edu_write(&vfio, IOVA + SIZE_4K - half);
	CHECK(!memcmp(first + SIZE_4K - half, data, half));
	CHECK(!memcmp(second, data + half, half));
	CHECK_EQ(unmap(IOVA, 2 * SIZE_4K), 0);
}

/* The 4K pages of a 64K page are mapped in reverse order. */
static void test_shuffled(void)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		CHECK_EQ(map(IOVA + i * SIZE_4K, memory + (15 - i) * SIZE_4K,
			     SIZE_4K), 0);
	CHECK_MAPPED(0, stage_pages() + 16);
	CHECK(edu_copies(&vfio, IOVA, memory + 15 * SIZE_4K,
			 IOVA + 15 * SIZE_4K, memory));
	CHECK(edu_copies(&vfio, IOVA + 9 * SIZE_4K, memory + 6 * SIZE_4K,
			 IOVA + 3 * SIZE_4K, memory + 12 * SIZE_4K));
	CHECK_EQ(unmap(IOVA, 16 * SIZE_4K), 0);
}

static void test_many_pages(void)
{
	/* Half of it in each of two leaves. */
	__u64 iova = 3 * LEAF_BYTES - MEMORY_BYTES / 2;
	__u64 last = MEMORY_BYTES - SIZE_4K, middle = MEMORY_BYTES / 2;

	CHECK_EQ(map(iova, memory, MEMORY_BYTES), 0);
	CHECK_MAPPED(0, stage_pages() + MEMORY_BYTES / SIZE_4K);
	CHECK(edu_copies(&vfio, iova, memory, iova + last, memory + last));
	CHECK(edu_copies(&vfio, iova + middle, memory + middle,
			 iova + middle - SIZE_4K, memory + middle - SIZE_4K));
	CHECK(is_blocked(iova - SIZE_4K, memory));
	CHECK(is_blocked(iova + MEMORY_BYTES, memory));

	/* All pages but one. */
	CHECK_EQ(unmap(iova, middle), 0);
	CHECK_EQ(unmap(iova + middle + SIZE_4K, middle - SIZE_4K), 0);
	CHECK_MAPPED(0, stage_pages() + 1);
	CHECK(is_blocked(iova, memory));
	CHECK(is_blocked(iova + last, memory + last));
	CHECK(reads_and_writes(iova + middle, memory + middle));
	CHECK_EQ(unmap(iova, MEMORY_BYTES), 0);
	CHECK_MAPPED(0, stage_pages());
}

/* Checks a window of @bytes at @start; the stage is in the other window. */
static void check_window(__u64 start, __u64 bytes, size_t io_page)
{
	__u64 last = start + bytes - io_page;
	__u64 far = start + FAR;
	unsigned char *a = memory, *b = memory + io_page;
	unsigned char *c = memory + 2 * io_page;

	if (far >= last)
		far = start + bytes / 2;

	CHECK_EQ(map(start, a, io_page), 0);
	CHECK_EQ(map(last, b, io_page), 0);
	CHECK_EQ(map(far, c, io_page), 0);
	CHECK(edu_copies(&vfio, start, a, last, b));
	CHECK(edu_copies(&vfio, last, b, far, c));
	CHECK(edu_copies(&vfio, far, c, start, a));
	CHECK_EQ(unmap(last, io_page), 0);
	CHECK(!edu_reads(&vfio, last, b));
	CHECK(edu_reads(&vfio, far, c));
	CHECK_EQ(unmap(start, bytes), 0);
	CHECK(!edu_reads(&vfio, far, c));
}

static void test_default_window(void)
{
	unsigned char *first = memory, *last = memory + page;

	/* Not the whole window: the stage is in it. */
	CHECK_EQ(map(0, first, SIZE_4K), 0);
	CHECK_EQ(map(window0_size - SIZE_4K, last, SIZE_4K), 0);
	CHECK(edu_copies(&vfio, 0, first, window0_size - SIZE_4K, last));
	CHECK(edu_copies(&vfio, window0_size - SIZE_4K, last, 0, first));
	CHECK_EQ(unmap(0, SIZE_4K), 0);
	CHECK_EQ(unmap(window0_size - SIZE_4K, SIZE_4K), 0);
	CHECK(is_blocked(0, first));
	CHECK(is_blocked(window0_size - SIZE_4K, last));
	CHECK(is_blocked(window0_size, last));
}

static const struct shape {
	unsigned int page_shift;
	unsigned int size_shift;
	unsigned int levels;
} shapes[] = {
	{ 12, 29, 1 }, { 12, 29, 3 }, { 12, 34, 1 }, { 12, 46, 1 },
	{ 12, 46, 2 }, { 12, 46, 3 }, { 12, 46, 4 }, { 12, 46, 5 },
	{ 16, 33, 1 }, { 16, 46, 1 }, { 16, 46, 2 }, { 16, 46, 3 },
	{ 16, 46, 4 },
};

static void test_shape(const void *data)
{
	const struct shape *shape = data;
	__u64 start;

	if (shape->page_shift > vfio_page_shift()) {
		tap_skip("the memory has smaller pages");
		return;
	}
	if (vfio_is_guest() && shape->size_shift > vfio_large_shift()) {
		tap_skip("the hypervisor does not provide such a window");
		return;
	}
	if (!vfio_levels_fit(shape->page_shift,
			     shape->size_shift - shape->page_shift,
			     shape->levels)) {
		CHECK(tap_intree());
		tap_skip("ours only");
		return;
	}

	CHECK_EQ(vfio_create(vfio.container, shape->page_shift,
			     1ULL << shape->size_shift, shape->levels, &start),
		 0);
	CHECK_EQ(start, WINDOW1_START);
	check_window(start, 1ULL << shape->size_shift,
		     1ULL << shape->page_shift);
	CHECK_MAPPED(start, 0);
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
}

static void make_large(void)
{
	CHECK_EQ(vfio_create(vfio.container, vfio_page_shift(),
			     BIT_ULL(vfio_large_shift()), vfio_levels(2), NULL),
		 0);
}

static void test_two_windows(void)
{
	__u64 high = WINDOW1_START + IOVA;
	unsigned char *other = memory + page;

	make_large();
	/* The same offset in both, but different pages. */
	CHECK_EQ(map(IOVA, memory, page), 0);
	CHECK_EQ(map(high, other, page), 0);
	CHECK_MAPPED(0, stage_pages() + page / SIZE_4K);
	CHECK_MAPPED(WINDOW1_START, 1);
	CHECK(edu_copies(&vfio, IOVA, memory, high, other));
	CHECK(edu_copies(&vfio, high, other, IOVA, memory));
	CHECK_EQ(unmap(IOVA, page), 0);
	CHECK(is_blocked(IOVA, memory));
	CHECK(reads_and_writes(high, other));

	/* Removing a window unmaps it. */
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	CHECK(is_blocked(high, other));
	make_large();
	CHECK(is_blocked(high, other));
	CHECK_EQ(map(high, memory, page), 0);
	CHECK(reads_and_writes(high, memory));
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
}

/*
 * QEMU and DPDK do this: the default window is removed, and a large one is
 * created at 0.
 */
static void test_large_at_0(void)
{
	unsigned int levels = tap_intree() ? 2 : 3;
	__u64 size = BIT_ULL(46);
	__u64 start;

	if (vfio_is_guest()) {
		tap_skip("the hypervisor does not provide such a window");
		return;
	}

	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_create(vfio.container, vfio_page_shift(), size, levels,
			     &start), 0);
	CHECK_EQ(start, 0);
	CHECK_EQ(map(STAGE, vfio.stage, page), 0);

	CHECK_EQ(map(0, memory, page), 0);
	CHECK_EQ(map(FAR, memory + page, page), 0);
	CHECK_EQ(map(size - page, memory + 2 * page, page), 0);
	CHECK_MAPPED(0, 4);
	CHECK(edu_copies(&vfio, 0, memory, FAR, memory + page));
	CHECK(edu_copies(&vfio, FAR, memory + page, size - page,
			 memory + 2 * page));
	CHECK(edu_copies(&vfio, size - page, memory + 2 * page, 0, memory));

	/* The default window again. */
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_create(vfio.container, 12, window0_size, 2, &start), 0);
	CHECK_EQ(map(STAGE, vfio.stage, page), 0);
	CHECK(is_blocked(0, memory));
}

static void setup(void)
{
	int ret;

	page = vfio_page_size();
	memory = vfio_memory(MEMORY_BYTES);

	/* Both modules create this window alike, but not the default one. */
	vfio_open(&vfio);
	window0_size = vfio_limits()->dma32_window_size;
	ret = vfio_register(vfio.container, memory, MEMORY_BYTES);
	if (!ret)
		ret = vfio_remove(vfio.container, 0);
	if (!ret)
		ret = vfio_create(vfio.container, 12, window0_size,
				  vfio_levels(2), NULL);
	if (ret)
		tap_bail("setting up: %s", strerror(-ret));
	edu_stage(&vfio, STAGE);
}

int main(void)
{
	size_t i;

	setup();

	tap_test("the device reads and writes memory while it is mapped",
		 test_both_ways);
	tap_test("the device cannot write to a read-only mapping",
		 test_read_only);
	tap_test("a write-only mapping can be written, and on a host read",
		 test_write_only);
	tap_test("a mapping that replaces another translates to the new page",
		 test_overwrite);
	tap_test("unmapping a part leaves the adjacent pages mapped",
		 test_unmap_part);
	tap_test("a transfer that crosses a page boundary reaches both pages",
		 test_across_pages);
	tap_test("4K pages of a larger page can be mapped in any order",
		 test_shuffled);
	tap_test("one call maps 512 pages in two leaves", test_many_pages);
	tap_test("DMA at both ends of the default window",
		 test_default_window);
	for (i = 0; i < ARRAY_SIZE(shapes); i++)
		tap_test_case(false, test_shape, &shapes[i],
			      "2^%u bytes, pages of 2^%u, %u levels: DMA",
			      shapes[i].size_shift, shapes[i].page_shift,
			      shapes[i].levels);
	tap_test("two windows have separate mappings",
		 test_two_windows);
	tap_test("a window of 2^46 bytes replaces the default one",
		 test_large_at_0);

	return tap_main();
}
