// SPDX-License-Identifier: GPL-2.0-only
/*
 * Another function of the group is removed and found again while the container
 * has windows. For each device that appears the platform takes ownership of the
 * group again: it unsets window 0 and drops a reference to its table, and
 * clears the place of the second window. Both windows are lost then: nothing
 * can be mapped in them, mapped pages can be unmapped, and new windows work.
 */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edu.h"
#include "file.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define DEVICES		"/sys/bus/pci/devices/"

/* QEMU's pci-testdev, which has no driver. */
#define SIBLING_VENDOR	0x1b36
#define SIBLING_DEVICE	0x0005

#define PAGES		16
#define IOVA		0x200000
#define FREE_IOVA	0x300000
#define WINDOW_BYTES	BIT_ULL(30)
#define LEVELS		(vfio_is_guest() ? 1 : 2)
#define HIGH		(WINDOW1_START + IOVA)
#define HIGH_STAGE	(WINDOW1_START + 0x100000)

#define POLLS		3000
#define POLL_US		10000

static struct vfio vfio, second;
static unsigned char *memory;
static size_t page;
/* The other functions in the groups of the test devices. */
static char sibling[2][NAME_MAX + 1];

static unsigned int device_number(const char *device, const char *file)
{
	char path[PATH_MAX], text[16] = "";
	int fd;

	snprintf(path, sizeof(path), DEVICES "%s/%s", device, file);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);

	return strtoul(text, NULL, 0);
}

static bool same_group(const char *a, const char *b)
{
	char path[2][PATH_MAX], group[2][PATH_MAX];
	const char *device[2] = { a, b };
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(path[i], PATH_MAX, DEVICES "%s/iommu_group",
			 device[i]);
		if (!realpath(path[i], group[i]))
			return false;
	}

	return !strcmp(group[0], group[1]);
}

/* Finds the other function in the group of a test device. */
static void find_sibling(int which, const char *device)
{
	DIR *dir = opendir(DEVICES);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    device_number(entry->d_name, "vendor") != SIBLING_VENDOR ||
		    device_number(entry->d_name, "device") != SIBLING_DEVICE ||
		    !same_group(entry->d_name, device))
			continue;
		snprintf(sibling[which], sizeof(sibling[which]), "%s",
			 entry->d_name);
	}
	if (!*sibling[which])
		tap_bail("no pci-testdev in the group of %s", device);
	closedir(dir);
}

static void remove_and_rescan_of(int which)
{
	char path[PATH_MAX], group[PATH_MAX];
	unsigned int polls;

	snprintf(path, sizeof(path), DEVICES "%s/remove", sibling[which]);
	write_file(path, "1");
	CHECK(access(path, F_OK));
	write_file("/sys/bus/pci/rescan", "1");

	snprintf(group, sizeof(group), DEVICES "%s/iommu_group",
		 sibling[which]);
	for (polls = 0; polls < POLLS && access(group, F_OK); polls++)
		usleep(POLL_US);
	CHECK(!access(group, F_OK));
}

static void remove_and_rescan(void)
{
	remove_and_rescan_of(0);
}

static int map(struct vfio *which, __u64 iova)
{
	return vfio_map(which->container, iova, memory, page, MAP_BOTH);
}

static bool works(struct vfio *which, __u64 iova)
{
	return edu_works(which, iova, memory);
}

/* Opens the default window, with a page mapped. */
static void open_mapped(void)
{
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(map(&vfio, IOVA), 0);
}

/* The same and the second window, with the stage. */
static void open_both(void)
{
	__u64 start;

	open_mapped();
	CHECK_EQ(vfio_create(vfio.container, 16, WINDOW_BYTES, LEVELS, &start),
		 0);
	CHECK_EQ(start, WINDOW1_START);
	edu_stage(&vfio, HIGH_STAGE);
	CHECK_EQ(map(&vfio, HIGH), 0);
	CHECK(works(&vfio, HIGH));
	CHECK(works(&vfio, IOVA));
}

/* Checks that everything works with a new container. */
static void check_new_container(void)
{
	open_both();
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	vfio_close(&vfio);
}

static void check_lost(void)
{
	/* Repeated: a refusal must not change the counts. */
	CHECK_EQ(map(&vfio, FREE_IOVA), -EIO);
	CHECK_EQ(map(&vfio, FREE_IOVA), -EIO);
	CHECK_EQ(map(&vfio, IOVA), -EIO);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_EQ(vfio_unmap(vfio.container, FREE_IOVA, page), 0);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_MAPPED(0, 0);
}

static void test_close(void)
{
	open_mapped();
	remove_and_rescan();
	vfio_close(&vfio);
	check_new_container();
	check_new_container();
}

static void test_lost(void)
{
	open_mapped();
	remove_and_rescan();
	check_lost();
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	vfio_close(&vfio);
	check_new_container();
}

/*
 * With the first window the platform removes the second one: on a host its
 * place is that of the bypass, in a guest all dynamic windows are removed.
 */
static void test_second_window(void)
{
	__u64 start;

	open_both();
	remove_and_rescan();
	check_lost();
	CHECK_EQ(map(&vfio, HIGH), -EIO);
	CHECK_EQ(map(&vfio, HIGH + 0x100000), -EIO);
	CHECK_EQ(vfio_unmap(vfio.container, HIGH, page), 0);
	CHECK_EQ(vfio_unmap(vfio.container, HIGH_STAGE, page), 0);
	CHECK_MAPPED(WINDOW1_START, 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	CHECK_EQ(map(&vfio, IOVA), -ENXIO);
	CHECK_EQ(map(&vfio, HIGH), -ENXIO);

	/* Both are new. */
	CHECK_EQ(vfio_create(vfio.container, 12, WINDOW_BYTES, LEVELS, &start),
		 0);
	CHECK_EQ(start, 0);
	CHECK_EQ(vfio_create(vfio.container, 16, WINDOW_BYTES, LEVELS, &start),
		 0);
	CHECK_EQ(start, WINDOW1_START);
	CHECK_EQ(vfio_map(vfio.container, HIGH_STAGE, vfio.stage, page,
			  MAP_BOTH),
		 0);
	CHECK_EQ(map(&vfio, IOVA), 0);
	CHECK_EQ(map(&vfio, HIGH), 0);
	CHECK(works(&vfio, IOVA));
	CHECK(works(&vfio, HIGH));
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK(!edu_reads(&vfio, IOVA, memory));

	/* They are lost like the first ones. */
	remove_and_rescan();
	CHECK_EQ(map(&vfio, IOVA), -EIO);
	CHECK_EQ(map(&vfio, HIGH), -EIO);
	vfio_close(&vfio);
	check_new_container();
	check_new_container();
}

/* The first window is removed before anything was mapped. */
static void test_first_removed(void)
{
	open_both();
	remove_and_rescan();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(map(&vfio, HIGH), -EIO);
	vfio_close(&vfio);
	check_new_container();
}

/*
 * A window that is created beside a lost one works, whether or not that one has
 * been found to be lost, and also once that one is removed.
 */
static void new_beside_lost(bool found)
{
	__u64 start;

	open_mapped();
	remove_and_rescan();
	if (found)
		CHECK_EQ(map(&vfio, FREE_IOVA), -EIO);
	CHECK_EQ(vfio_create(vfio.container, 16, WINDOW_BYTES, LEVELS, &start),
		 0);
	CHECK_EQ(start, WINDOW1_START);
	edu_stage(&vfio, HIGH_STAGE);
	CHECK_EQ(map(&vfio, HIGH), 0);
	CHECK(works(&vfio, HIGH));
	CHECK_EQ(map(&vfio, FREE_IOVA), -EIO);
	CHECK_EQ(map(&vfio, HIGH), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(map(&vfio, HIGH), 0);
	CHECK(works(&vfio, HIGH));
	CHECK_EQ(vfio_unmap(vfio.container, HIGH, page), 0);
	CHECK(!edu_reads(&vfio, HIGH, memory));
	vfio_close(&vfio);
	check_new_container();
}

static void test_new_beside_lost(void)
{
	new_beside_lost(true);
	new_beside_lost(false);
}

/* Without a first window the platform has nothing to unset. */
static void test_second_window_alone(void)
{
	open_both();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	remove_and_rescan();
	CHECK(works(&vfio, HIGH));
	CHECK_EQ(map(&vfio, HIGH + 0x100000), 0);
	CHECK(works(&vfio, HIGH + 0x100000));
	CHECK_EQ(vfio_unmap(vfio.container, HIGH, page), 0);
	CHECK(!edu_reads(&vfio, HIGH, memory));
	vfio_close(&vfio);
	check_new_container();
}

static void test_again(void)
{
	open_both();
	remove_and_rescan();
	remove_and_rescan();
	check_lost();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	remove_and_rescan();
	vfio_close(&vfio);
	check_new_container();
}

/* There is no window yet. */
static void test_before(void)
{
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	remove_and_rescan();
	CHECK_EQ(map(&vfio, IOVA), 0);
	edu_stage(&vfio, 0x100000);
	CHECK(works(&vfio, IOVA));
	vfio_close(&vfio);
	check_new_container();
}

/* The group is closed before the device is found again. */
static void test_closed(void)
{
	open_mapped();
	vfio_close(&vfio);
	remove_and_rescan();
	check_new_container();
}

static void test_v1(void)
{
	vfio.container = vfio_open_container();
	CHECK_EQ(vfio_attach(&vfio, vfio.container, 0), 0);
	CHECK_EQ(vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_ENABLE, NULL), 0);
	CHECK_EQ(map(&vfio, IOVA), 0);
	remove_and_rescan();
	CHECK_EQ(map(&vfio, FREE_IOVA), -EIO);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_DISABLE, NULL), 0);
	vfio_close(&vfio);
	check_new_container();
}

/*
 * Attaches the second group, with its device; false if there is none that can
 * share the windows.
 */
static bool open_second(void)
{
	if (!vfio_have_device(1) || vfio_is_guest()) {
		tap_skip("no second device that shares the windows");
		return false;
	}
	open_mapped();
	CHECK_EQ(vfio_attach(&second, vfio.container, 1), 0);
	vfio_start_device(&second);

	return true;
}

/* Two groups have the windows, and one of them loses the first one. */
static void test_other_group(void)
{
	if (!open_second())
		return;
	edu_stage(&second, 0x100000);
	CHECK(works(&second, IOVA));
	remove_and_rescan();
	CHECK(works(&second, IOVA));
	CHECK_EQ(map(&vfio, FREE_IOVA), -EIO);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK(!edu_reads(&second, IOVA, memory));
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	vfio_detach(&second);
	vfio_close(&vfio);
	check_new_container();
}

/*
 * The second group loses the first window after the second window was created:
 * its place is that of the bypass, so it is lost with it.
 */
static void test_both_groups(void)
{
	__u64 start;

	if (!open_second())
		return;
	remove_and_rescan_of(0);
	CHECK_EQ(vfio_create(vfio.container, 16, WINDOW_BYTES, LEVELS, &start),
		 0);
	CHECK_EQ(start, WINDOW1_START);
	edu_stage(&second, HIGH_STAGE);
	CHECK_EQ(map(&vfio, HIGH), 0);
	CHECK(works(&second, HIGH));
	remove_and_rescan_of(1);
	CHECK_EQ(map(&vfio, HIGH), -EIO);
	CHECK_EQ(vfio_unmap(vfio.container, HIGH, page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(map(&vfio, HIGH), -EIO);
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	vfio_detach(&second);
	vfio_close(&vfio);
	check_new_container();
}

int main(void)
{
	page = vfio_page_size();
	memory = vfio_memory(PAGES * page);
	find_sibling(0, getenv("VFIO_DEVICE"));
	if (vfio_have_device(1))
		find_sibling(1, getenv("VFIO_DEVICE2"));
	state_watch();

	tap_test_ours("a device appears: group without windows", test_before);
	tap_test_ours("a device appears: closed group", test_closed);
	tap_test_ours("a device appears: close of the container", test_close);
	tap_test_ours("a device appears: the first window is lost", test_lost);
	tap_test_ours("a device appears: both windows are lost, new ones work",
		      test_second_window);
	tap_test_ours("a device appears: the first window is removed",
		      test_first_removed);
	tap_test_ours("a device appears: a new window beside a lost one works",
		      test_new_beside_lost);
	tap_test_ours("a device appears: a second window alone still works",
		      test_second_window_alone);
	tap_test_ours("a device appears: several times", test_again);
	tap_test_ours("a device appears: version 1", test_v1);
	tap_test_ours("a device appears: the other group keeps its window",
		      test_other_group);
	tap_test_ours("a device appears: in one group, then in the other",
		      test_both_groups);

	return tap_main();
}
