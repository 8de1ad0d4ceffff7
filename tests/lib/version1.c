// SPDX-License-Identifier: GPL-2.0-only
/*
 * A container of version 1. Contract: version1.h.
 */

#include <string.h>

#include "tap.h"
#include "version1.h"

struct vfio vfio;
uint64_t window_bytes;

void open_v1(void)
{
	int container = vfio_open_container();
	int ret;

	ret = vfio_attach(&vfio, container, 0);
	if (ret)
		tap_bail("VFIO_GROUP_SET_CONTAINER: %s", strerror(-ret));
	ret = vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU);
	if (ret)
		tap_bail("VFIO_SET_IOMMU: %s", strerror(-ret));
}

int enable(void)
{
	return vfio_ioctl(vfio.container, VFIO_IOMMU_ENABLE, NULL);
}

int disable(void)
{
	return vfio_ioctl(vfio.container, VFIO_IOMMU_DISABLE, NULL);
}

int map(uint64_t iova, const void *from, uint64_t size, unsigned int flags)
{
	return vfio_map(vfio.container, iova, from, size, flags);
}

int unmap(uint64_t iova, uint64_t size)
{
	return vfio_unmap(vfio.container, iova, size);
}

void open_enabled(void)
{
	open_v1();
	if (enable())
		tap_bail("VFIO_IOMMU_ENABLE");
}

void map_stage(void)
{
	if (vfio.device < 0)
		vfio_start_device(&vfio);
	if (!vfio.stage)
		vfio.stage = vfio_memory(page);
	vfio.stage_iova = STAGE;
	if (map(STAGE, vfio.stage, page, MAP_BOTH))
		tap_bail("the stage cannot be mapped");
}

long long pins(const struct state *before)
{
	return state_now().pinned - before->pinned;
}

long long expected_pins(uint64_t entries, uint64_t pages)
{
	return tap_intree() || page == IOMMU_PAGE ? entries : pages;
}

uint64_t enabled_charge(void)
{
	return window_bytes / page;
}

uint64_t window_charge(void)
{
	return vfio_window_charge(__builtin_ctzll(window_bytes) - IOMMU_SHIFT,
				  1);
}

void init_v1(void)
{
	struct vfio_iommu_spapr_tce_info info;

	init_memory(BYTES);
	open_v1();
	if (vfio_info(vfio.container, &info))
		tap_bail("GET_INFO");
	window_bytes = info.dma32_window_size;
	vfio_close(&vfio);
}
