// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest whose hypervisor has no dynamic windows (-global
 * spapr-pci-host-bridge.ddw=off): every command that would create a window is
 * refused with the same errno and changes nothing.
 */

#include <errno.h>

#include "tap.h"
#include "version1.h"

#define TRIES		3

static void test_create(void)
{
	struct state before;
	unsigned int i;
	__u64 start;

	vfio_open(&vfio);
	before = state_now();
	for (i = 0; i < TRIES; i++) {
		CHECK_EQ(vfio_create(vfio.container, vfio_page_shift(),
				     BIT_ULL(30), 1, &start), -EPERM);
		CHECK_STATE(&before);
	}
	vfio_close(&vfio);
}

/* The default window is created by the first command that needs it. */
static void test_default(void)
{
	struct state before;
	unsigned int i;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	before = state_now();
	for (i = 0; i < TRIES; i++) {
		CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page,
				  MAP_BOTH), -EPERM);
		CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), -EPERM);
		CHECK_STATE(&before);
	}
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), 0);
	vfio_close(&vfio);
}

static void test_version1(void)
{
	struct state before;
	unsigned int i;

	open_enabled();
	before = state_now();
	for (i = 0; i < TRIES; i++) {
		CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), -EPERM);
		CHECK_STATE(&before);
	}
	vfio_close(&vfio);
}

int main(void)
{
	init_memory(vfio_page_size());
	state_watch();

	tap_test_ours("TCE_CREATE is refused", test_create);
	tap_test_ours("the default window is refused", test_default);
	tap_test_ours("version 1: the default window is refused",
		      test_version1);

	return tap_main();
}
