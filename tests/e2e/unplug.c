// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device is removed while a container has its group and pages are mapped:
 * unbound from its driver, removed in sysfs, or pulled out of its slot. For the
 * last one the machine has QEMU's monitor at its virtio port "monitor"; the
 * devices are "edu0" and "edu1" there, in the hotplug slots "d0" and "d1".
 *
 * A PowerNV kernel does not serve the buttons of such slots (it disables the
 * PCIe port drivers), so the test switches off the slot. For the kernel the
 * device disappears without notice, and is removed afterwards.
 */

#define _GNU_SOURCE

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edu.h"
#include "file.h"
#include "state.h"
#include "tap.h"
#include "version2.h"
#include "vfio.h"

#define DEVICES		"/sys/bus/pci/devices"
#define VFIO_PCI	"/sys/bus/pci/drivers/vfio-pci"
#define PORTS		"/sys/class/virtio-ports"

/* A minute; what takes longer has failed. */
#define POLLS		6000
#define POLL_US		10000

static int monitor_fd = -1;

static const char *address(unsigned int number)
{
	return getenv(number ? "VFIO_DEVICE2" : "VFIO_DEVICE");
}

static bool wait_until(const char *path, bool there)
{
	unsigned int i;

	for (i = 0; i < POLLS; i++) {
		if (!access(path, F_OK) == there)
			return true;
		usleep(POLL_US);
	}

	return false;
}

static bool wait_device(unsigned int number, bool there)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s", address(number));

	return wait_until(path, there);
}

/* The driver core removes the link before vfio-pci waits for users. */
static bool wait_driver(unsigned int number, bool there)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), VFIO_PCI "/%s", address(number));

	return wait_until(path, there);
}

static void bind(unsigned int number)
{
	char path[PATH_MAX];

	if (!wait_device(number, true))
		tap_bail("%s is not found again", address(number));
	snprintf(path, sizeof(path), DEVICES "/%s/driver_override",
		 address(number));
	write_file(path, "vfio-pci");
	write_file("/sys/bus/pci/drivers_probe", address(number));
	if (!wait_driver(number, true))
		tap_bail("%s is not bound to vfio-pci", address(number));
}

/* The ways to remove a device, all used by another process. */

static void remove_unbind(void *data)
{
	unsigned int *number = data;

	write_file(VFIO_PCI "/unbind", address(*number));
}

static void remove_sysfs(void *data)
{
	unsigned int *number = data;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s/remove", address(*number));
	write_file(path, "1");
}

/* Sends a QMP command and reads the answer. */
static bool monitor_do(const char *command)
{
	static char text[4096];
	size_t length = 0;
	ssize_t got;

	if (write(monitor_fd, command, strlen(command)) < 0)
		tap_bail("the monitor: %s", strerror(errno));
	/* Skips events. */
	do {
		got = read(monitor_fd, text + length,
			   sizeof(text) - 1 - length);
		if (got < 0)
			tap_bail("the monitor: %s", strerror(errno));
		length += got;
		text[length] = '\0';
	} while (!strstr(text, "\"return\"") && !strstr(text, "\"error\"") &&
		 length < sizeof(text) - 1);
	if (strstr(text, "\"return\""))
		return true;
	tap_diag("%s: %s", command, text);

	return false;
}

/* Opens the configuration space of a device, or of the port above it. */
static int open_config(unsigned int number, bool port)
{
	char path[PATH_MAX], target[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s", address(number));
	if (!realpath(path, target))
		tap_bail("%s: %s", path, strerror(errno));
	if (port)
		*strrchr(target, '/') = '\0';
	strcat(target, "/config");
	fd = open(target, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		tap_bail("%s: %s", target, strerror(errno));

	return fd;
}

static __u16 config_read(int fd, off_t offset)
{
	__u16 value;

	if (pread(fd, &value, sizeof(value), offset) != sizeof(value))
		tap_bail("reading config space: %s", strerror(errno));

	return le16toh(value);
}

static off_t slot_control(int fd)
{
	off_t offset = config_read(fd, PCI_CAPABILITY_LIST) & 0xfc;
	__u16 head;

	while (offset) {
		head = config_read(fd, offset);
		if ((head & 0xff) == PCI_CAP_ID_EXP)
			return offset + PCI_EXP_SLTCTL;
		offset = head >> 8 & 0xfc;
	}
	tap_bail("the port is not one of PCI Express");
}

static int port_fd;

static void switch_slot(bool on)
{
	off_t offset = slot_control(port_fd);
	__u16 value = config_read(port_fd, offset);

	value &= ~(PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PIC);
	value |= on ? PCI_EXP_SLTCTL_PWR_ON | PCI_EXP_SLTCTL_PWR_IND_ON :
		      PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF;
	value = htole16(value);
	if (pwrite(port_fd, &value, sizeof(value), offset) != sizeof(value))
		tap_bail("writing config space: %s", strerror(errno));
}

static void remove_pull(void *data)
{
	unsigned int *number = data, i;
	char command[100];
	int fd;

	fd = open_config(*number, false);
	snprintf(command, sizeof(command),
		 "{'execute':'device_del','arguments':{'id':'edu%u'}}\n",
		 *number);
	CHECK(monitor_do(command));
	switch_slot(false);
	for (i = 0; i < POLLS && config_read(fd, PCI_VENDOR_ID) != 0xffff; i++)
		usleep(POLL_US);
	CHECK_EQ(config_read(fd, PCI_VENDOR_ID), 0xffff);
	close(fd);
	remove_sysfs(data);
}

#define EDU	"'driver':'edu','dma_mask':18446744073709551615"

static void back_plug(unsigned int number)
{
	char command[200];

	switch_slot(true);
	snprintf(command, sizeof(command),
		 "{'execute':'device_add','arguments':{" EDU
		 ",'id':'edu%u','bus':'d%u'}}\n",
		 number, number);
	CHECK(monitor_do(command));
	write_file("/sys/bus/pci/rescan", "1");
}

static void open_monitor(void)
{
	struct dirent *entry;
	DIR *dir = opendir(PORTS);

	while (dir && monitor_fd < 0 && (entry = readdir(dir))) {
		char path[PATH_MAX], name[32];
		FILE *file;

		snprintf(path, sizeof(path), PORTS "/%s/name", entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(name, sizeof(name), file) &&
		    !strncmp(name, "monitor", 7)) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			monitor_fd = open(path, O_RDWR | O_CLOEXEC);
		}
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
	if (monitor_fd >= 0 &&
	    !monitor_do("{\"execute\":\"qmp_capabilities\"}\n"))
		tap_bail("the monitor does not answer");
}

/* Finds the device again; one that was only unbound is still there. */

static void back_rescan(unsigned int number)
{
	(void)number;
	write_file("/sys/bus/pci/rescan", "1");
}

static void back_rebind(unsigned int number)
{
	(void)number;
}

static const struct way {
	const char *what;
	void (*go)(void *data);
	void (*come)(unsigned int number);
	/* An open device works until it is closed. */
	bool works;
} ways[] = {
	{ "unbound from its driver", remove_unbind, back_rebind, true },
	{ "removed in sysfs", remove_sysfs, back_rescan, true },
	{ "pulled out of its slot", remove_pull, back_plug, false },
};

static bool possible(const struct way *way)
{
	if (way->come != back_plug || monitor_fd >= 0)
		return true;
	tap_skip("the machine has no monitor port");

	return false;
}

/* The device is back, and works. */
static void use_again(const struct way *way)
{
	struct vfio vfio;

	way->come(0);
	bind(0);
	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	use_windows(&vfio);
	CHECK(edu_copies(&vfio, IOVA, memory, HIGH + page, memory + page));
	vfio_close(&vfio);
}

static void test_idle(const void *data)
{
	const struct way *way = data;
	struct state before = state_now();
	unsigned int number = 0;
	struct vfio vfio;

	if (!possible(way))
		return;
	vfio_open(&vfio);
	use_windows(&vfio);
	tap_child(way->go, &number);

	/* The container lost its only group, and is in its initial state. */
	CHECK_STATE(&before);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH),
		 -EINVAL);
	CHECK_EQ(vfio_ioctl(vfio.group, VFIO_GROUP_SET_CONTAINER,
			    &vfio.container), -ENODEV);
	vfio_close(&vfio);
	use_again(way);
}

static int told[2];

/*
 * Forked before the device was opened, so that it has no file descriptor of it.
 */
static void remove_when_told(void *data)
{
	const struct way *way = data;
	unsigned int number = 0;
	char byte;

	CHECK_EQ(read(told[0], &byte, 1), 1);
	way->go(&number);
}

static void test_open(const void *data)
{
	struct way way = *(const struct way *)data;
	struct state before = state_now(), mapped;
	struct vfio vfio;
	pid_t pid;

	if (!possible(&way))
		return;
	if (pipe(told))
		tap_bail("pipe: %s", strerror(errno));
	pid = tap_start(remove_when_told, &way);
	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	use_windows(&vfio);
	mapped = state_now();
	CHECK_EQ(write(told[1], "", 1), 1);
	CHECK(wait_driver(0, false));

	/* An open device is kept, with its mappings. */
	CHECK_STATE(&mapped);
	if (way.works)
		CHECK(edu_copies(&vfio, IOVA, memory, HIGH + page,
				 memory + page));
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);

	vfio_close(&vfio);
	tap_finish(pid);
	close(told[0]);
	close(told[1]);
	CHECK_STATE(&before);
	use_again(&way);
}

static void test_other_group(const void *data)
{
	const struct way *way = data;
	unsigned int number = 0;
	struct vfio vfio, other;
	struct state before;

	if (!possible(way))
		return;
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}
	vfio_open(&vfio);
	CHECK_EQ(vfio_attach(&other, vfio.container, 1), 0);
	edu_stage(&other, STAGE);
	use_windows(&vfio);
	before = state_now();
	tap_child(way->go, &number);

	/* The device of the other group is not affected. */
	CHECK_STATE(&before);
	CHECK(edu_copies(&other, IOVA, memory, HIGH + page, memory + page));
	CHECK_EQ(vfio_unmap(vfio.container, HIGH, page), 0);
	CHECK(!edu_reads(&other, HIGH, memory));
	vfio_detach(&other);
	vfio_close(&vfio);
	use_again(way);
}

/*
 * In the kernel's flags of a PE: its configuration space is blocked, as it is
 * during a reset.
 */
#define PE_CFG_BLOCKED	4

/* A removal that took longer than the reset is tried again. */
#define ATTEMPTS	10

static bool in_reset(unsigned int number)
{
	char path[PATH_MAX];
	unsigned int flags;
	FILE *file;

	snprintf(path, sizeof(path), DEVICES "/%s/eeh_pe_state",
		 address(number));
	file = fopen(path, "r");
	if (!file || fscanf(file, "%*x %x", &flags) != 1)
		tap_bail("%s cannot be read", path);
	fclose(file);

	return flags & PE_CFG_BLOCKED;
}

static struct reset {
	int container;
	int result;
	atomic_bool done;
} reset;

static void *reset_once(void *unused)
{
	struct vfio_eeh_pe_op args = {
		.argsz = sizeof(args),
		.op = VFIO_EEH_PE_RESET_FUNDAMENTAL,
	};

	reset.result = vfio_ioctl(reset.container, VFIO_EEH_PE_OP, &args);
	reset.done = true;

	return unused;
}

/*
 * A fundamental reset switches the slot off and on, so QEMU unplugs the device.
 */
static const struct way reset_way = {
	"removed in sysfs", remove_sysfs, back_plug, false
};

/* Whether the reset lasted until the device was removed. */
static bool remove_in_reset(void)
{
	char path[PATH_MAX], group[PATH_MAX];
	unsigned int number = 0, i;
	pthread_t thread;
	struct vfio vfio;
	bool during;

	snprintf(path, sizeof(path), DEVICES "/%s/iommu_group",
		 address(number));
	if (!realpath(path, group))
		tap_bail("%s: %s", path, strerror(errno));
	/* A suspended device takes as long to wake up as a reset takes. */
	snprintf(path, sizeof(path), DEVICES "/%s/power/control",
		 address(number));
	write_file(path, "on");
	vfio_open(&vfio);
	CHECK(!in_reset(number));
	reset.container = vfio.container;
	reset.done = false;
	if (pthread_create(&thread, NULL, reset_once, NULL))
		tap_bail("pthread_create() failed");
	for (i = 0; i < POLLS && !in_reset(number) && !reset.done; i++)
		usleep(1000);
	reset_way.go(&number);
	during = !reset.done;

	/* The platform reuses what the group points to. */
	if (during)
		CHECK(access(group, F_OK));
	pthread_join(thread, NULL);
	/* After the reset the container is looked at again. */
	CHECK(!reset.result || reset.result == -ENODEV);
	vfio_close(&vfio);
	use_again(&reset_way);

	return during;
}

static void test_reset(void)
{
	unsigned int i;

	if (!possible(&reset_way))
		return;
	for (i = 0; i < ATTEMPTS && !tap_failed(); i++)
		if (remove_in_reset())
			return;
	CHECK(!"the device is removed during the reset");
}

int main(void)
{
	size_t i;

	init_v2();
	open_monitor();
	port_fd = open_config(0, true);
	state_watch();

	for (i = 0; i < ARRAY_SIZE(ways); i++)
		tap_test_case(false, test_idle, &ways[i],
			      "a device is %s: everything is unmapped",
			      ways[i].what);
	for (i = 0; i < ARRAY_SIZE(ways); i++)
		tap_test_case(false, test_open, &ways[i],
			      "an open device is %s: unmapped by close",
			      ways[i].what);
	for (i = 0; i < ARRAY_SIZE(ways); i++)
		tap_test_case(true, test_other_group, &ways[i],
			      "a device is %s: another group is not affected",
			      ways[i].what);
	tap_test_ours("a device is removed during a reset: its group is freed",
		      test_reset);

	return tap_main();
}
