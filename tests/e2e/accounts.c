// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each window adds to locked_vm: literal numbers, measured with the
 * in-tree module. Both modules must charge the same, so that a limit that
 * suffices for one suffices for the other.
 */

#include <errno.h>
#include <stdint.h>

#include "state.h"
#include "tap.h"
#include "vfio.h"

#define IOVA		0x200000

/*
 * Size of a guest's default window, as a shift. It exists in addition to a
 * dynamic one.
 */
#define DEFAULT_SHIFT	30

/**
 * struct shape - a window, and the kernel pages that it is charged
 * @page_shift: IOMMU page size, as a shift
 * @size_shift: bytes, as a shift
 * @levels: levels that are requested
 * @guest: a guest can have such a window too
 * @host_64k: kernel pages on a host with 64K pages
 * @host_4k: on a host with 4K pages
 * @guest_64k: in a guest with 64K pages
 * @guest_4k: in a guest with 4K pages
 */
static const struct shape {
	unsigned int page_shift;
	unsigned int size_shift;
	unsigned int levels;
	bool guest;
	uint64_t host_64k;
	uint64_t host_4k;
	uint64_t guest_64k;
	uint64_t guest_4k;
} shapes[] = {
	/* A part of a level is charged as a whole level. */
	{ 12, 20, 1, false,      2,       2,   0,    0 },
	{ 12, 28, 1, true,      16,     256,   8,  128 },
	{ 12, 30, 1, true,      64,    1024,  32,  512 },
	{ 12, 31, 1, true,     128,    2048,  64, 1024 },
	{ 12, 33, 1, true,     512,    8192, 256, 4096 },
	{ 12, 30, 2, false,     66,    1026,   0,    0 },
	{ 12, 31, 2, false,    130,    2052,   0,    0 },
	{ 12, 30, 3, false,     68,    1028,   0,    0 },
	{ 12, 40, 2, false,  65540, 1048640,   0,    0 },
	{ 12, 40, 3, false,  65546, 1049604,   0,    0 },
	{ 16, 20, 1, false,      2,       2,   0,    0 },
	{ 16, 30, 1, true,       4,      64,   2,   32 },
	{ 16, 36, 1, true,     256,    4096, 128, 2048 },
	{ 16, 34, 2, false,     66,    1026,   0,    0 },
	{ 16, 40, 2, false,   4098,   65552,   0,    0 },
	{ 16, 46, 2, false, 262152, 4194432,   0,    0 },
	/* In a guest a part of a page is not charged. */
	{ 21, 30, 1, true,       2,       2,   0,    1 },
	{ 21, 40, 1, false,    128,    2048,   0,    0 },
	{ 21, 40, 2, false,    130,    2052,   0,    0 },
};

static unsigned char *memory;
static size_t page;

static uint64_t wanted(const struct shape *shape)
{
	if (vfio_is_guest())
		return page == 1 << 16 ? shape->guest_64k : shape->guest_4k;

	return page == 1 << 16 ? shape->host_64k : shape->host_4k;
}

static void test_shape(const void *data)
{
	const struct shape *shape = data;
	struct vfio vfio;
	uint64_t before;
	__u64 start;

	vfio_open(&vfio);
	if (!(vfio_limits()->ddw.pgsizes & BIT_ULL(shape->page_shift)) ||
	    (vfio_is_guest() && !shape->guest)) {
		tap_skip("the platform has no such window");
		vfio_close(&vfio);
		return;
	}

	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	if (vfio_is_guest())
		CHECK_EQ(vfio_create(vfio.container, 12, BIT_ULL(DEFAULT_SHIFT),
				     1, NULL),
			 0);
	before = state_locked();

	/* With a limit one page lower the window is refused. */
	if (wanted(shape)) {
		state_limit(wanted(shape) - 1);
		CHECK_EQ(vfio_create(vfio.container, shape->page_shift,
				     BIT_ULL(shape->size_shift), shape->levels,
				     NULL),
			 -ENOMEM);
		CHECK_EQ(state_locked(), before);
	}
	state_limit(wanted(shape));
	CHECK_EQ(vfio_create(vfio.container, shape->page_shift,
			     BIT_ULL(shape->size_shift), shape->levels, &start),
		 0);
	CHECK_EQ(state_locked(), before + wanted(shape));
	state_unlimit();
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	CHECK_EQ(state_locked(), before);
	vfio_close(&vfio);
}

/* The default window: 4K pages, one level, 2 GiB on a host. */
static uint64_t default_pages(__u64 bytes)
{
	uint64_t table = bytes / 4096 * 8;

	return (vfio_is_guest() ? table : 2 * table) / page;
}

static void check_default(struct vfio *vfio, uint64_t before, __u64 bytes)
{
	uint64_t pages = default_pages(bytes);

	if (!vfio_is_guest())
		CHECK_EQ(pages, page == 1 << 16 ? 128 : 2048);
	state_limit(pages - 1);
	CHECK_EQ(vfio_map(vfio->container, IOVA, memory, page, MAP_BOTH),
		 -ENOMEM);
	CHECK_EQ(state_locked(), before);
	state_limit(pages);
	CHECK_EQ(vfio_map(vfio->container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK_EQ(state_locked(), before + pages);
	state_unlimit();
}

static void test_default(void)
{
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	check_default(&vfio, state_locked(), vfio_limits()->dma32_window_size);
	vfio_close(&vfio);
}

static void test_default_v1(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio vfio;
	uint64_t before;

	vfio.container = vfio_open_container();
	CHECK_EQ(vfio_attach(&vfio, vfio.container, 0), 0);
	CHECK_EQ(vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(vfio_info(vfio.container, &info), 0);
	before = state_locked();
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_ENABLE, NULL), 0);
	CHECK_EQ(state_locked(), before + info.dma32_window_size / page);
	check_default(&vfio, state_locked(), info.dma32_window_size);
	vfio_close(&vfio);
	CHECK_EQ(state_locked(), before);
}

int main(void)
{
	size_t i;

	page = vfio_page_size();
	memory = vfio_memory(page);
	state_watch();

	for (i = 0; i < ARRAY_SIZE(shapes); i++)
		tap_test_case(false, test_shape, &shapes[i],
			      "2^%u bytes, pages of 2^%u, %u levels: charge",
			      shapes[i].size_shift, shapes[i].page_shift,
			      shapes[i].levels);
	tap_test("the default window is charged exactly", test_default);
	tap_test("version 1: the window is charged in addition to ENABLE",
		 test_default_v1);

	return tap_main();
}
