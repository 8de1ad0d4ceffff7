// SPDX-License-Identifier: GPL-2.0-only
/*
 * Containers of version 2 with both windows. Contract: version2.h.
 */

#include "tap.h"
#include "version2.h"

void init_v2(void)
{
	init_memory(PAGES * vfio_page_size());
}

void use_windows(struct vfio *vfio)
{
	size_t size = PAGES * page;

	CHECK_EQ(vfio_register(vfio->container, memory, size), 0);
	CHECK_EQ(vfio_create_large(vfio, 2), 0);
	CHECK_EQ(vfio_map(vfio->container, IOVA, memory, size, MAP_BOTH), 0);
	CHECK_EQ(vfio_map(vfio->container, HIGH, memory, size, MAP_BOTH), 0);
}
