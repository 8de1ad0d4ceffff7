// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows, regions and their witnesses. Contract: witness.h.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"
#include "state.h"
#include "tap.h"
#include "witness.h"

#define WAIT_POLLS	3000
#define WAIT_US		1000

unsigned char *region[REGIONS];

/* A failed test must not affect the next one, so each test uses new memory. */
void new_regions(void)
{
	unsigned char *memory = vfio_memory((REGIONS + 1) * REGION_BYTES);
	int i;

	memory += -(uintptr_t)memory & (REGION_BYTES - 1);
	for (i = 0; i < REGIONS; i++)
		region[i] = memory + i * REGION_BYTES;
}

/* The taint flags: a WARN(), an oops, a lockup or a bad page sets one. */
static unsigned long complaints(void)
{
	unsigned long value;
	FILE *file = fopen("/proc/sys/kernel/tainted", "r");

	if (!file || fscanf(file, "%lu", &value) != 1)
		tap_bail("/proc/sys/kernel/tainted cannot be read");
	fclose(file);

	return value;
}

static void run_test(const void *data)
{
	const struct test *test = data;
	unsigned long before;

	new_regions();
	before = complaints();
	test->run();
	CHECK_EQ(complaints(), before);
}

void add_tests(const struct test *test, size_t count)
{
	for (; count--; test++)
		tap_test_case(test->ours, run_test, test, "%s", test->name);
}

void register_regions(struct vfio *vfio)
{
	int i;

	for (i = 0; i < REGIONS; i++)
		CHECK_EQ(vfio_register(vfio->container, region[i],
				       REGION_BYTES), 0);
}

void create_window(struct vfio *vfio, __u64 start)
{
	unsigned int levels = tap_intree() ? 1 : vfio_levels(3);
	__u64 got;

	CHECK_EQ(vfio_create(vfio->container, PAGE_SHIFT, SIZE, levels, &got),
		 0);
	CHECK_EQ(got, start);
}

void map_witnesses(struct vfio *vfio)
{
	int i;

	for (i = 0; i < REGIONS; i++)
		CHECK_EQ(vfio_map(vfio->container, WITNESS + i * IOMMU_PAGE,
				  region[i], IOMMU_PAGE, MAP_READ), 0);
}

void open_windows(struct vfio *vfio)
{
	vfio_open(vfio);
	register_regions(vfio);
	CHECK_EQ(vfio_remove(vfio->container, 0), 0);
	create_window(vfio, 0);
	create_window(vfio, WINDOW1_START);
	map_witnesses(vfio);
}

int open_guest(unsigned int page_shift)
{
	int guest = guest_open();

	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, page_shift), 0);

	return guest;
}

void check_counted_at(struct vfio *vfio, int i, const char *file, int line)
{
	tap_check_equal(vfio_unregister(vfio->container, region[i],
					REGION_BYTES),
			-EBUSY, file, line,
			"UNREGISTER_MEMORY with the witness");
	tap_check_equal(vfio_unmap(vfio->container, WITNESS + i * IOMMU_PAGE,
				   IOMMU_PAGE),
			0, file, line, "UNMAP_DMA of the witness");
	tap_check_equal(vfio_unregister(vfio->container, region[i],
					REGION_BYTES),
			0, file, line, "UNREGISTER_MEMORY without the witness");
}

void check_all_counted_at(struct vfio *vfio, const char *file, int line)
{
	int i;

	for (i = 0; i < REGIONS; i++)
		check_counted_at(vfio, i, file, line);
}

void wait_users(unsigned int users)
{
	int polls;

	for (polls = 0; polls < WAIT_POLLS; polls++) {
		if (state_now().users == users)
			return;
		usleep(WAIT_US);
	}
	CHECK_EQ(state_now().users, users);
}
