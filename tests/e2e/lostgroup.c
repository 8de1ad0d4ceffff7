// SPDX-License-Identifier: GPL-2.0-only
/*
 * The firmware refuses to unset a window of a group whose devices are removed,
 * and the platform clears the PE. Runs after all other programs, because the
 * devices do not come back.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "tap.h"
#include "vfio.h"

#define PARAMETERS	"/sys/module/tce_firmware_test/parameters/"
#define IOVA		0x200000

/* Unused levels are freed in less than this time. */
#define TRIMMED_SECONDS	4

/* Removes a function of the first device. */
static void remove_function(char function)
{
	char path[200];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s",
		 getenv("VFIO_DEVICE"));
	path[strlen(path) - 1] = function;
	strcat(path, "/remove");
	write_file(path, "1");
}

static void test_refused_and_gone(void)
{
	size_t page = vfio_page_size();
	unsigned char *memory = vfio_memory(4 * page);
	int container = vfio_open_container();
	struct vfio lost, other;
	char text[100];
	__u64 start;

	CHECK_EQ(vfio_attach(&other, container, 1), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	CHECK_EQ(vfio_attach(&lost, container, 0), 0);
	CHECK_EQ(vfio_register(container, memory, 4 * page), 0);
	CHECK_EQ(vfio_create(container, 12, BIT_ULL(30), 2, &start), 0);
	CHECK_EQ(vfio_map(container, start, memory, 4 * page, MAP_BOTH), 0);
	CHECK_EQ(vfio_map(container, IOVA, memory, 4 * page, MAP_BOTH), 0);

	snprintf(text, sizeof(text), "%s unset_window -6",
		 getenv("VFIO_DEVICE"));
	write_file(PARAMETERS "answer", text);
	remove_function('1');
	remove_function('0');

	/* The group that is left still needs kills. */
	sleep(TRIMMED_SECONDS);
	CHECK_EQ(vfio_unmap(container, IOVA, 4 * page), 0);
	CHECK_EQ(vfio_remove(container, start), 0);
	write_file(PARAMETERS "answer", "off");
	vfio_detach(&other);
}

int main(void)
{
	tap_test_ours("a group is removed although its firmware keeps a window",
		      test_refused_and_gone);

	return tap_main();
}
