// SPDX-License-Identifier: GPL-2.0-only
/*
 * In a guest, pages that are never unpinned, so this runs after all other
 * programs of its machine. The hypervisor refuses to clear entries of its
 * default window, which it keeps when the window is removed; and KVM maps a
 * page in a window that is being created.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "guest.h"
#include "race.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define REMOVE_DEFAULT	"/sys/module/tce_shrink_test/parameters/remove"
#define ANSWER		"/sys/module/tce_firmware_test/parameters/answer"
#define CREATE_MS	"/sys/module/tce_firmware_test/parameters/create_ms"
#define IOVA		0x180000
#define WINDOW_BYTES	BIT_ULL(30)
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

static int guest;
static bool call_over;

/* The hypercall pauses before it exchanges the entry. */
static void *map_early(void *memory)
{
	struct tce_kvm_hcall args = {
		.ioba = WINDOW1_START + IOVA,
		.value = (uintptr_t)memory | MAP_BOTH,
		.pause = TCE_KVM_PAUSE_COUNTED,
		.pause_ms = 100,
	};
	long status;

	run_on_cpu(1);
	while (guest_attach(guest, 0, WINDOW1_START, WINDOW_BYTES, 12))
		;
	/* The platform publishes the table before it can be used. */
	do {
		status = hcall_args(guest, TCE_KVM_PUT, &args);
	} while (status == TCE_KVM_TOO_HARD);
	CHECK_EQ(status, TCE_KVM_SUCCESS);
	__atomic_store_n(&call_over, true, __ATOMIC_SEQ_CST);

	return NULL;
}

/*
 * KVM calls the platform's operations before the module has replaced them:
 * TCE_CREATE waits for the call, and clears the entry.
 */
static void test_mapped_early(void)
{
	unsigned char *memory = vfio_memory(bytes);
	pthread_t thread;
	uint64_t start;
	char text[40];

	/* The first write replaces the platform's operations. */
	snprintf(text, sizeof(text), "%s set_window 0", getenv("VFIO_DEVICE"));
	write_file(ANSWER, text);
	write_file(ANSWER, "off");
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, bytes), 0);
	guest = guest_open();
	if (pthread_create(&thread, NULL, map_early, memory))
		tap_bail("no thread");
	run_on_cpu(0);
	write_file(CREATE_MS, "500");
	CHECK_EQ(vfio_create(vfio.container, 12, WINDOW_BYTES, 1, &start), 0);
	CHECK(__atomic_load_n(&call_over, __ATOMIC_SEQ_CST));
	write_file(CREATE_MS, "0");
	pthread_join(thread, NULL);
	CHECK_EQ(start, WINDOW1_START);
	CHECK_MAPPED(start, 0);
	CHECK_EQ(vfio_unmap(vfio.container, start, WINDOW_BYTES), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, bytes), -EBUSY);
	close(guest);
	vfio_close(&vfio);
}

int main(void)
{
	bytes = PAGES * vfio_page_size();

	tap_test_ours("pages of entries that the hypervisor keeps stay pinned",
		      test_removed);
	tap_test_ours("they stay pinned when the container is closed",
		      test_closed);

	tap_test_ours("TCE_CREATE waits for KVM, which maps before it is over",
		      test_mapped_early);

	return tap_main();
}
