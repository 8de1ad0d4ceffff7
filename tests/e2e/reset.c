// SPDX-License-Identifier: GPL-2.0-only
/*
 * EEH resets while a device is unbound. A reset takes the locks of the devices
 * below a bridge; unbinding such a device detaches its group with the device's
 * lock held.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "vfio.h"

#define DRIVER	"/sys/bus/pci/drivers/vfio-pci/"

/* A minute; a process that takes longer is assumed to hang. */
#define POLLS	6000
#define POLL_US	10000

static int eeh(int container, unsigned int op)
{
	struct vfio_eeh_pe_op args = { .argsz = sizeof(args), .op = op };

	return vfio_ioctl(container, VFIO_EEH_PE_OP, &args);
}

/* Resets until the group is detached. */
static void reset_group(void *begun)
{
	int container = vfio_open_container(), ret;
	struct vfio vfio;

	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	if (vfio.device >= 0)
		close(vfio.device);
	do {
		ret = eeh(container, VFIO_EEH_PE_RESET_HOT);
		if (!ret)
			ret = eeh(container, VFIO_EEH_PE_RESET_DEACTIVATE);
		CHECK_EQ(write(*(int *)begun, "", 1), 1);
	} while (!ret);
	CHECK(ret == -ENODEV || ret == -EINVAL);
}

static void tell_driver(void *file)
{
	const char *device = getenv("VFIO_DEVICE");
	int fd = open(file, O_WRONLY);

	CHECK_EQ(write(fd, device, strlen(device)), (ssize_t)strlen(device));
	close(fd);
}

static bool wait_end(pid_t pid)
{
	unsigned int polls;
	int status;

	for (polls = 0; polls < POLLS; polls++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return CHECK_EQ(status, 0);
		usleep(POLL_US);
	}
	kill(pid, SIGKILL);

	return CHECK(!"it hangs");
}

static void test_unbind(void)
{
	pid_t resets, unbinds;
	int begun[2];
	char byte;

	if (pipe(begun))
		tap_bail("pipe: %s", strerror(errno));
	resets = tap_start(reset_group, &begun[1]);
	CHECK_EQ(read(begun[0], &byte, 1), 1);
	unbinds = tap_start(tell_driver, DRIVER "unbind");
	CHECK(wait_end(unbinds));
	CHECK(wait_end(resets));
	close(begun[0]);
	close(begun[1]);
	tap_child(tell_driver, DRIVER "bind");
}

int main(void)
{
	tap_test_ours("a device is unbound while its group is being reset",
		      test_unbind);

	return tap_main();
}
