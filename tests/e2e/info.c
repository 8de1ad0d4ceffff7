// SPDX-License-Identifier: GPL-2.0-only
/* CHECK_EXTENSION, SET_IOMMU, GET_INFO, and unknown commands. */

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"
#include "tap.h"
#include "vfio.h"

#define SIZE_4K		0x1000ULL
#define SIZE_64K	0x10000ULL
#define SIZE_1G		0x40000000ULL
#define SIZE_2G		0x80000000ULL

static const struct extension {
	const char *name;
	unsigned long number;
	int supported;
} extensions[] = {
	{ "version 2", VFIO_SPAPR_TCE_v2_IOMMU, 1 },
	{ "version 1", VFIO_SPAPR_TCE_IOMMU, 1 },
	{ "EEH", VFIO_EEH, 1 },
	{ "type 1", VFIO_TYPE1_IOMMU, 0 },
	{ "type 1 version 2", VFIO_TYPE1v2_IOMMU, 0 },
	{ "an unknown extension", 12345, 0 },
};

static int check_extension(int container, unsigned long number)
{
	return vfio_ioctl(container, VFIO_CHECK_EXTENSION, (void *)number);
}

static void test_extension(const void *data)
{
	const struct extension *extension = data;
	int want = extension->supported;
	int container = vfio_open_container();
	struct vfio vfio;

	if (extension->number == VFIO_EEH && vfio_is_guest()) {
		tap_skip("whether a guest has EEH is up to its hypervisor");
		close(container);
		return;
	}

	/*
	 * Without SET_IOMMU all backends are asked, afterwards the selected
	 * one.
	 */
	CHECK_EQ(check_extension(container, extension->number), want);
	close(container);
	vfio_open(&vfio);
	CHECK_EQ(check_extension(vfio.container, extension->number), want);
	vfio_close(&vfio);
}

static void test_set_iommu_alone(void)
{
	int container = vfio_open_container();

	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), -EINVAL);
	close(container);
}

static void test_set_iommu_types(void)
{
	int container = vfio_open_container();
	struct vfio vfio;

	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, 12345), -ENODEV);
	CHECK_EQ(vfio_set_iommu(container, VFIO_TYPE1_IOMMU), -ENODEV);

	/* The container can still be used. */
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), -EINVAL);
	vfio_close(&vfio);
}

static void test_group_only_once(void)
{
	struct vfio first, second;
	int container;

	vfio_open(&first);
	container = vfio_open_container();
	CHECK_EQ(vfio_attach(&second, container, 0), -EBUSY);
	close(container);
	vfio_close(&first);
}

static void test_info_before_set_iommu(void)
{
	struct vfio_iommu_spapr_tce_info info;
	int container = vfio_open_container();
	struct vfio vfio;

	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_info(container, &info), -EINVAL);
	vfio_close(&vfio);
}

static void test_info_fields(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_info(vfio.container, &info), 0);
	CHECK_EQ(info.argsz, sizeof(info));
	CHECK_EQ(info.flags, VFIO_IOMMU_SPAPR_INFO_DDW);
	CHECK_EQ(info.dma32_window_start, 0);
	/* The values in a guest are up to its hypervisor. */
	if (vfio_is_guest())
		CHECK(info.dma32_window_size >= SIZE_1G);
	else
		CHECK_EQ(info.dma32_window_size, SIZE_2G);
	CHECK(info.ddw.pgsizes & SIZE_4K);
	CHECK(info.ddw.pgsizes & SIZE_64K);
	CHECK_EQ(info.ddw.pgsizes & (SIZE_4K - 1), 0);
	CHECK_EQ(info.ddw.max_dynamic_windows_supported, 2);
	CHECK_EQ(info.ddw.levels, vfio_is_guest() ? 1 : 5);
	vfio_close(&vfio);
}

/* GET_INFO with @argsz, into a structure filled with @fill. */
static int info_sized(int container, struct vfio_iommu_spapr_tce_info *info,
		      unsigned int argsz, int fill)
{
	memset(info, fill, sizeof(*info));
	info->argsz = argsz;

	return vfio_ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, info);
}

static void test_info_argsz_short(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(info_sized(vfio.container, &info,
			    offsetof(struct vfio_iommu_spapr_tce_info, ddw) - 1,
			    0x55), -EINVAL);
	CHECK_EQ(info.dma32_window_size, 0x55555555);
	CHECK_EQ(info_sized(vfio.container, &info, 0, 0x55), -EINVAL);
	CHECK_EQ(info.dma32_window_size, 0x55555555);
	vfio_close(&vfio);
}

static void test_info_argsz_v1(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio vfio;
	size_t v1 = offsetof(struct vfio_iommu_spapr_tce_info, ddw);
	size_t argsz;

	/*
	 * A size smaller than the structure is treated as that of the older
	 * structure.
	 */
	vfio_open(&vfio);
	for (argsz = v1; argsz < sizeof(info); argsz++) {
		CHECK_EQ(info_sized(vfio.container, &info, argsz, 0x55), 0);
		CHECK_EQ(info.flags, VFIO_IOMMU_SPAPR_INFO_DDW);
		CHECK_EQ(info.dma32_window_size,
			 vfio_limits()->dma32_window_size);
		CHECK_EQ(info.ddw.pgsizes, 0x5555555555555555);
		CHECK_EQ(info.ddw.levels, 0x55555555);
	}
	vfio_close(&vfio);
}

static void test_info_argsz_large(void)
{
	struct {
		struct vfio_iommu_spapr_tce_info info;
		__u64 behind;
	} args = { .behind = 0x5555555555555555 };
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(info_sized(vfio.container, &args.info, 4096, 0x55), 0);
	CHECK_EQ(args.info.ddw.levels, vfio_limits()->ddw.levels);
	CHECK_EQ(args.behind, 0x5555555555555555);
	vfio_close(&vfio);
}

static void test_info_bad_address(void)
{
	struct vfio_iommu_spapr_tce_info *info;
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_SPAPR_TCE_GET_INFO,
			    NULL),
		 -EFAULT);
	info = (void *)vfio_memory(vfio_page_size());
	info->argsz = sizeof(*info);
	mprotect(info, vfio_page_size(), PROT_READ);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_SPAPR_TCE_GET_INFO,
			    info),
		 -EFAULT);
	munmap(info, vfio_page_size());
	vfio_close(&vfio);
}

static void test_info_changes_nothing(void)
{
	struct vfio_iommu_spapr_tce_info first, second;
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_info(vfio.container, &first), 0);
	CHECK_EQ(vfio_create(vfio.container, 12, SIZE_2G, vfio_levels(2),
			     NULL), 0);
	CHECK_EQ(vfio_info(vfio.container, &second), 0);
	CHECK(!memcmp(&first, &second, sizeof(first)));
	vfio_close(&vfio);
}

static void test_unknown_commands(void)
{
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_ioctl(vfio.container, _IO(VFIO_TYPE, VFIO_BASE + 99),
			    NULL), -ENOTTY);
	/* These two are commands of version 1. */
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_ENABLE, NULL), -ENOTTY);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_DISABLE, NULL), -ENOTTY);
	vfio_close(&vfio);
}

int main(void)
{
	size_t i;

	state_watch();
	for (i = 0; i < ARRAY_SIZE(extensions); i++)
		tap_test_case(false, test_extension, &extensions[i],
			      "CHECK_EXTENSION of %s returns %d",
			      extensions[i].name, extensions[i].supported);
	tap_test("SET_IOMMU needs a group", test_set_iommu_alone);
	tap_test("SET_IOMMU refuses other types and a second time",
		 test_set_iommu_types);
	tap_test("a group that is in use cannot be opened again",
		 test_group_only_once);
	tap_test("GET_INFO needs SET_IOMMU", test_info_before_set_iommu);
	tap_test("GET_INFO returns the limits of the platform",
		 test_info_fields);
	tap_test("GET_INFO refuses a short argsz and writes nothing",
		 test_info_argsz_short);
	tap_test("GET_INFO writes the part of version 1 if argsz is short",
		 test_info_argsz_v1);
	tap_test("GET_INFO accepts a larger argsz", test_info_argsz_large);
	tap_test("GET_INFO refuses a bad address", test_info_bad_address);
	tap_test("GET_INFO returns the same after a window was created",
		 test_info_changes_nothing);
	tap_test("version 2 does not have the commands of version 1",
		 test_unknown_commands);

	return tap_main();
}
