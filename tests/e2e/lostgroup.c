// SPDX-License-Identifier: GPL-2.0-only
/*
 * A group whose firmware has refused to take a window out, and whose devices then go: the
 * platform clears the PE. It runs after all others, as the devices do not come back.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "vfio.h"

#define PARAMETERS	"/sys/module/tce_firmware_test/parameters/"
#define IOVA		0x200000

/* After which levels that are not used have been freed. */
#define TRIMMED_SECONDS	4

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
}

/* Takes a function of the first device out of the system. */
static void remove_function(char function)
{
	char path[200];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", getenv("VFIO_DEVICE"));
	path[strlen(path) - 1] = function;
	strcat(path, "/remove");
	put(path, "1");
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

	snprintf(text, sizeof(text), "%s unset_window -6", getenv("VFIO_DEVICE"));
	put(PARAMETERS "answer", text);
	remove_function('1');
	remove_function('0');

	/* Kills go on, for the group that is left. */
	sleep(TRIMMED_SECONDS);
	CHECK_EQ(vfio_unmap(container, IOVA, 4 * page), 0);
	CHECK_EQ(vfio_remove(container, start), 0);
	put(PARAMETERS "answer", "off");
	vfio_detach(&other);
}

int main(void)
{
	tap_test_ours("a group goes whose firmware has kept a window",
		      test_refused_and_gone);

	return tap_main();
}
