// SPDX-License-Identifier: GPL-2.0-only
/*
 * Without a device: modprobe loads the right module, the VFIO core finds it,
 * and it can be unloaded and loaded again. On kernels whose VFIO core refuses
 * all devices this is everything that works.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "fault.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define MODULE		"vfio_iommu_spapr_tce"

/* More faults than one function has; more than that is a bug of the test. */
#define MOST_FAULTS	1000

static bool module_there(void)
{
	return !access("/sys/module/" MODULE, F_OK);
}

static int container_extension(unsigned long number)
{
	int container = vfio_open_container();
	int ret;

	ret = vfio_ioctl(container, VFIO_CHECK_EXTENSION, (void *)number);
	close(container);

	return ret;
}

static void test_module(void)
{
	CHECK(module_there());
	CHECK_EQ(!access("/sys/kernel/debug/" MODULE, F_OK), !tap_intree());
}

static void test_extensions(void)
{
	CHECK_EQ(container_extension(VFIO_SPAPR_TCE_IOMMU), 1);
	CHECK_EQ(container_extension(VFIO_SPAPR_TCE_v2_IOMMU), 1);
	CHECK_EQ(container_extension(VFIO_TYPE1v2_IOMMU), 0);
	CHECK_EQ(container_extension(12345), 0);
}

/* EEH depends on the machine, not on the kernel. */
static void test_eeh(void)
{
	int eeh = container_extension(VFIO_EEH);

	tap_diag("EEH: %d", eeh);
	CHECK(eeh == 0 || eeh == 1);
}

static void test_container(void)
{
	struct vfio_iommu_spapr_tce_info info;
	int container = vfio_open_container();

	CHECK_EQ(vfio_ioctl(container, VFIO_GET_API_VERSION, NULL),
		 VFIO_API_VERSION);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), -EINVAL);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), -EINVAL);
	CHECK_EQ(vfio_info(container, &info), -EINVAL);
	CHECK_EQ(vfio_unmap(container, 0, 0x10000), -EINVAL);
	close(container);
}

static void test_reload(void)
{
	int round;

	if (state_built_in()) {
		tap_skip("the backend is built in");
		return;
	}
	for (round = 0; round < 3; round++) {
		CHECK_EQ(system("rmmod " MODULE), 0);
		CHECK(!module_there());
		CHECK_EQ(container_extension(VFIO_SPAPR_TCE_v2_IOMMU), 0);
		CHECK_EQ(system("modprobe " MODULE), 0);
		CHECK(module_there());
		CHECK_EQ(container_extension(VFIO_SPAPR_TCE_v2_IOMMU), 1);
	}
}

/* A container holds a reference to the module. */
static void test_busy(void)
{
	struct vfio vfio;
	int container;
	int ret;

	if (state_built_in()) {
		tap_skip("the backend is built in");
		return;
	}
	container = vfio_open_container();
	ret = vfio_attach(&vfio, container, 0);
	if (ret) {
		/* Without /dev/vfio/GROUP the core has refused the device. */
		CHECK_EQ(ret, -ENOENT);
		close(container);
		tap_skip("this kernel's VFIO core refuses the device");
		return;
	}

	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	CHECK(system("rmmod " MODULE " 2>/dev/null"));
	CHECK(module_there());
	vfio_close(&vfio);
}

/* The file of the module in memory; NULL if there is none. */
static void *read_module(size_t *size)
{
	struct utsname name;
	char path[PATH_MAX];
	struct stat stat;
	void *module;
	int fd;

	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%s/updates/" MODULE ".ko",
		 name.release);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat))
		return NULL;
	module = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE,
		      fd, 0);
	close(fd);
	*size = stat.st_size;

	return module == MAP_FAILED ? NULL : module;
}

/*
 * Loads the module again and again, with faults only in @function. Returns the
 * number of faults by which it could not be loaded.
 */
static unsigned int load_with_faults(const char *function, const void *module,
				     size_t size)
{
	unsigned int n, left = 0, failed = 0;
	int ret;

	if (!fault_require(function))
		return 0;
	for (n = 1; n < MOST_FAULTS && !left; n++) {
		if (module_there())
			CHECK_EQ(syscall(SYS_delete_module, MODULE, O_NONBLOCK),
				 0);
		fault_arm(n);
		ret = syscall(SYS_init_module, module, size, "") ? -errno : 0;
		left = fault_disarm();
		/* The directory in debugfs may be missing. */
		if (ret) {
			CHECK_EQ(ret, -ENOMEM);
			CHECK(!left);
			failed++;
		}
		CHECK_EQ(module_there(), !ret);
	}
	CHECK(left);
	fault_require(NULL);
	tap_diag("%s: %u faults, %u of them failed", function, n - 2, failed);

	return failed;
}

static void test_load_faults(void)
{
	void *module;
	size_t size;

	if (!fault_init()) {
		tap_skip("the kernel has no fault injection");
		return;
	}
	module = read_module(&size);
	if (!module || state_built_in()) {
		tap_skip("there is no module in updates/");
		return;
	}
	CHECK(load_with_faults("alloc_workqueue", module, size) +
	      load_with_faults("alloc_workqueue_noprof", module, size));
	CHECK(load_with_faults("vfio_register_iommu_driver", module, size));
	load_with_faults("debugfs_create_dir", module, size);
	munmap(module, size);
}

int main(void)
{
	tap_test("modprobe has loaded the module to be tested", test_module);
	tap_test("CHECK_EXTENSION works without a device", test_extensions);
	tap_test("CHECK_EXTENSION returns whether the machine has EEH",
		 test_eeh);
	tap_test("a container without a group has no backend", test_container);
	tap_test("the module can be removed and loaded again", test_reload);
	tap_test_ours("loading the module: any allocation may fail",
		      test_load_faults);
	tap_test("the module cannot be removed while a container uses it",
		 test_busy);

	return tap_main();
}
