// SPDX-License-Identifier: GPL-2.0-only
/*
 * In a guest, the hypervisor refuses to clear entries of its default window,
 * which it keeps when the window is removed: their pages must stay pinned. Runs
 * after all other programs of its machine, because these pages are never
 * unpinned.
 */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "file.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define REMOVE_DEFAULT	"/sys/module/tce_shrink_test/parameters/remove"
#define IOVA		0x180000
#define PAGES		4

static struct vfio vfio;
static size_t bytes;

/* Pages that are mapped, with entries that the hypervisor will not clear. */
static unsigned char *open_stuck(void)
{
	unsigned char *memory = vfio_memory(bytes);

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, bytes), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, bytes, MAP_BOTH), 0);
	write_file(REMOVE_DEFAULT, getenv("VFIO_DEVICE"));
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, bytes), 0);
	CHECK_MAPPED(0, bytes >> 12);

	return memory;
}

static void test_removed(void)
{
	unsigned char *other = vfio_memory(bytes);
	unsigned char *memory = open_stuck();
	struct vfio_iommu_spapr_tce_info info;
	uint64_t start;

	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, bytes), -EBUSY);

	/* The default window is usable again. */
	CHECK_EQ(vfio_info(vfio.container, &info), 0);
	CHECK_EQ(vfio_create(vfio.container, 12, info.dma32_window_size, 1,
			     &start), 0);
	CHECK_EQ(start, 0);
	CHECK_EQ(vfio_register(vfio.container, other, bytes), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, other, bytes, MAP_BOTH), 0);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, bytes), 0);
	CHECK_EQ(vfio_unregister(vfio.container, other, bytes), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, bytes), -EBUSY);
	vfio_close(&vfio);
}

/* The VFIO core gives the group back to the kernel before it closes. */
static void test_closed(void)
{
	struct state before;

	state_quiesce();
	before = state_now();
	open_stuck();
	vfio_close(&vfio);
	state_quiesce();
	CHECK_EQ(state_now().pinned - before.pinned, PAGES);
	CHECK_EQ(state_now().windows, before.windows);
}

int main(void)
{
	bytes = PAGES * vfio_page_size();

	tap_test_ours("pages of entries that the hypervisor keeps stay pinned",
		      test_removed);
	tap_test_ours("they stay pinned when the container is closed",
		      test_closed);

	return tap_main();
}
