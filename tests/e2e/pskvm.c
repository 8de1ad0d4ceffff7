// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM in a guest (nested KVM): the hypervisor has the tables in which KVM maps.
 * kvm.c, hcallargs.c, outlive.c, inflight.c and kvmraces.c run in guests, too;
 * these tests check DMA in each kind of window.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "edu.h"
#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"
#include "witness.h"

#define ROUNDS		500
#define RACE_PAGES	64

/* Windows that KVM gets while they are created. */
#define EARLY		4

static struct vfio vfio;
static int guest;
static unsigned int rounds = ROUNDS;

/*
 * Opens a window, the device, and a guest with the window: a new window if
 * @second, otherwise the default one. Returns its start.
 */
static __u64 begin(bool second, unsigned int shift)
{
	__u64 start = 0;

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	CHECK_EQ(vfio_register(vfio.container, region[MEMORY], REGION_BYTES),
		 0);
	if (second)
		CHECK_EQ(vfio_create(vfio.container, shift, SIZE, 1, &start),
			 0);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, start, SIZE, shift), 0);

	return start;
}

static void end(void)
{
	CHECK_EQ(vfio_unregister(vfio.container, region[MEMORY], REGION_BYTES),
		 0);
	close(guest);
	vfio_close(&vfio);
}

static void check_put(__u64 iova, __u64 page)
{
	unsigned char *memory = region[MEMORY];

	CHECK_EQ(h_put(guest, iova, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK(edu_reads(&vfio, iova, memory));
	CHECK(edu_writes(&vfio, iova, memory));
	CHECK_EQ(vfio_unregister(vfio.container, memory, REGION_BYTES), -EBUSY);
	CHECK_EQ(h_put(guest, iova, memory + page, MAP_READ), TCE_KVM_SUCCESS);
	CHECK(edu_reads(&vfio, iova, memory + page));
	CHECK(!edu_writes(&vfio, iova, memory + page));
	CHECK_EQ(h_unmap(guest, iova), TCE_KVM_SUCCESS);
	CHECK(!edu_reads(&vfio, iova, memory + page));
}

/* Together with VFIO, on the same entries. */
static void check_list(__u64 iova, unsigned int shift)
{
	unsigned char *memory = region[MEMORY];
	const __u64 page = BIT_ULL(shift);

	CHECK_EQ(h_indirect(guest, iova, memory, shift, 8, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK(edu_reads(&vfio, iova + 7 * page, memory + 7 * page));
	CHECK_EQ(vfio_unmap(vfio.container, iova, 4 * page), 0);
	CHECK(!edu_reads(&vfio, iova, memory));
	CHECK(edu_reads(&vfio, iova + 5 * page, memory + 5 * page));
	CHECK_EQ(vfio_map(vfio.container, iova, memory, page, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, iova, memory));
	CHECK_EQ(h_stuff(guest, iova, 8), TCE_KVM_SUCCESS);
	CHECK(!edu_reads(&vfio, iova, memory));
	CHECK(!edu_reads(&vfio, iova + 7 * page, memory + 7 * page));
}

static void check_window(bool second, unsigned int shift)
{
	__u64 iova = begin(second, shift) + IOVA;
	unsigned char *memory = region[MEMORY];

	check_put(iova, BIT_ULL(shift));
	check_list(iova, shift);
	CHECK_EQ(vfio_unregister(vfio.container, memory, REGION_BYTES), 0);
	CHECK_EQ(h_put(guest, iova, memory, MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK(!edu_reads(&vfio, iova, memory));
	CHECK_EQ(vfio_register(vfio.container, memory, REGION_BYTES), 0);
	end();
}

static void test_default(void)
{
	check_window(false, PAGE_SHIFT);
}

static void test_second(void)
{
	check_window(true, vfio_page_shift());
}

static void test_second_small(void)
{
	check_window(true, PAGE_SHIFT);
}

/*
 * Entries of KVM's window that the hypervisor still has must not appear in the
 * next window.
 */
static void test_outlives(void)
{
	unsigned char *memory = region[MEMORY];
	struct state before = state_now(), closed = before;

	begin(false, PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	vfio_close(&vfio);
	closed.users++;
	CHECK_STATE(&closed);
	CHECK_EQ(h_put(guest, IOVA + IOMMU_PAGE, memory, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_STATE(&closed);
	close(guest);
	CHECK_STATE(&before);

	/* The new window works. */
	begin(false, PAGE_SHIFT);
	CHECK(!edu_reads(&vfio, IOVA, memory));
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, IOMMU_PAGE, MAP_BOTH),
		 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, IOMMU_PAGE), 0);
	end();
}

/*
 * A hypercall for a window that the platform has already removed from the
 * hypervisor.
 */
static void test_removed(void)
{
	unsigned char *memory = region[MEMORY];
	__u64 start = begin(true, PAGE_SHIFT), again;

	CHECK_EQ(h_put(guest, start + IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	CHECK_EQ(h_unmap(guest, start + IOVA), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, start + IOVA, 16), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, start + IOVA, memory, MAP_BOTH),
		 TCE_KVM_TOO_HARD);

	/* The hypervisor may reuse the number of the old window. */
	CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, SIZE, 1, &again), 0);
	CHECK_EQ(again, start);
	CHECK_EQ(vfio_map(vfio.container, start + IOVA, memory, IOMMU_PAGE,
			  MAP_BOTH),
		 0);
	CHECK_EQ(h_unmap(guest, start + IOVA), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, start + IOVA, 16), TCE_KVM_SUCCESS);
	CHECK(edu_reads(&vfio, start + IOVA, memory));
	CHECK_EQ(vfio_unmap(vfio.container, start + IOVA, IOMMU_PAGE), 0);
	end();
}

static bool creating;

/*
 * Gives the guest the window that begins at *@data as soon as the platform has
 * it. Returns NULL if that was while TCE_CREATE ran (or right after it),
 * otherwise @data.
 */
static void *take_window(void *data)
{
	const __u64 *start = data;
	bool early;
	int ret;

	do {
		early = __atomic_load_n(&creating, __ATOMIC_SEQ_CST);
		ret = guest_attach(guest, 0, *start, SIZE, PAGE_SHIFT);
		if (!early)
			CHECK_EQ(ret, 0);
	} while (ret && early);

	return early && __atomic_load_n(&creating, __ATOMIC_SEQ_CST) ? NULL :
								       data;
}

/*
 * The platform publishes the window before the module has replaced its
 * operations.
 */
static void test_taken_early(void)
{
	__u64 start = begin(true, PAGE_SHIFT), again;
	unsigned int i, early = 0;
	pthread_t thread;
	void *late;

	CHECK_EQ(guest_detach(guest), 0);
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	for (i = 0; i < rounds && early < EARLY; i++) {
		__atomic_store_n(&creating, true, __ATOMIC_SEQ_CST);
		if (pthread_create(&thread, NULL, take_window, &start))
			tap_bail("no thread");
		CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, SIZE, 1,
				     &again), 0);
		__atomic_store_n(&creating, false, __ATOMIC_SEQ_CST);
		CHECK_EQ(again, start);
		pthread_join(thread, &late);
		early += !late;

		CHECK_MAPPED(start, 0);
		check_put(start + IOVA, IOMMU_PAGE);
		CHECK_EQ(guest_detach(guest), 0);
		CHECK_EQ(vfio_remove(vfio.container, start), 0);
	}
	CHECK(early > 0);
	tap_diag("%u windows, %u of them taken before TCE_CREATE had returned",
		 i, early);
	end();
}

static bool race_over;

static void *race_put(void *data)
{
	unsigned long *calls = data, n = 0;

	while (!__atomic_load_n(&race_over, __ATOMIC_RELAXED)) {
		__u64 offset = n % RACE_PAGES * IOMMU_PAGE;

		h_put(guest, IOVA + offset, region[MEMORY] + offset, MAP_BOTH);
		if (n++ % 3 == 0)
			h_stuff(guest, IOVA, RACE_PAGES);
	}
	*calls = n;

	return NULL;
}

static void test_race(void)
{
	const __u64 size = RACE_PAGES * IOMMU_PAGE;
	unsigned char *memory = region[MEMORY];
	unsigned long calls = 0;
	pthread_t thread;
	unsigned int i;

	begin(false, PAGE_SHIFT);
	__atomic_store_n(&race_over, false, __ATOMIC_RELAXED);
	if (pthread_create(&thread, NULL, race_put, &calls))
		tap_bail("no thread");
	for (i = 0; i < rounds; i++) {
		CHECK_EQ(vfio_map(vfio.container, IOVA, memory, size, MAP_BOTH),
			 0);
		CHECK_EQ(vfio_unmap(vfio.container, IOVA, size), 0);
	}
	__atomic_store_n(&race_over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	tap_diag("%lu hypercalls, %u MAP_DMA and UNMAP_DMA", calls, i);

	CHECK_EQ(h_stuff(guest, IOVA, RACE_PAGES), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, size), 0);
	CHECK(!edu_reads(&vfio, IOVA, memory));
	end();
}

static const struct test tests[] = {
	{ "DMA works where KVM maps, in the first window", false,
	  test_default },
	{ "DMA works in the second window, with kernel pages", false,
	  test_second },
	{ "DMA works in the second window, with pages of 4K", false,
	  test_second_small },
	{ "a window that only KVM has is empty for the next container",
	  true, test_outlives },
	{ "calls for a removed window do not change the next one", true,
	  test_removed },
	{ "KVM gets a window while TCE_CREATE creates it", true,
	  test_taken_early },
	{ "race: KVM against MAP_DMA and UNMAP_DMA", true, test_race },
};

int main(void)
{
	const char *wanted = getenv("ROUNDS");

	if (wanted)
		rounds = strtoul(wanted, NULL, 0);
	state_watch();
	add_tests(tests, ARRAY_SIZE(tests));

	return tap_main();
}
