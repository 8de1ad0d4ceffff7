// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ownership of groups, for kernels in which the backend has to take it. In
 * newer kernels the IOMMU core does so before the VFIO core calls attach_group
 * (blocked domain, arch/powerpc/kernel/iommu.c). Contract:
 * vfio_iommu_driver.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define COMPAT_OWNERSHIP

#include <linux/iommu.h>
#include <linux/module.h>

#include <asm/iommu.h>

#include "vfio_iommu_driver.h"

static const struct vfio_iommu_driver_ops *compat_driver;
static struct vfio_iommu_driver_ops compat_ops;

/*
 * Return NULL if the platform has nothing to take ownership of. The driver's
 * attach_group checks the group, and reports why it cannot be attached.
 */
static struct iommu_table_group *compat_table_group(struct iommu_group *group)
{
	struct iommu_table_group *table_group;

	table_group = iommu_group_get_iommudata(group);
	if (!table_group || !table_group->ops ||
	    !table_group->ops->take_ownership ||
	    !table_group->ops->release_ownership)
		return NULL;

	return table_group;
}

/*
 * The core attaches a group to at most one container, so ownership is not
 * counted.
 */
static int compat_attach_group(void *iommu_data, struct iommu_group *group,
			       enum vfio_group_type type)
{
	struct iommu_table_group *table_group = NULL;
	int ret;

	if (type == VFIO_IOMMU)
		table_group = compat_table_group(group);
	if (table_group)
		table_group->ops->take_ownership(table_group);

	ret = compat_driver->attach_group(iommu_data, group, type);
	if (ret && table_group)
		table_group->ops->release_ownership(table_group);

	return ret;
}

static void compat_detach_group(void *iommu_data, struct iommu_group *group)
{
	struct iommu_table_group *table_group = compat_table_group(group);

	compat_driver->detach_group(iommu_data, group);
	if (table_group)
		table_group->ops->release_ownership(table_group);
}

int compat_register_iommu_driver(const struct vfio_iommu_driver_ops *ops)
{
	compat_driver = ops;
	compat_ops = *ops;
	compat_ops.attach_group = compat_attach_group;
	compat_ops.detach_group = compat_detach_group;

	return vfio_register_iommu_driver(&compat_ops);
}

void compat_unregister_iommu_driver(const struct vfio_iommu_driver_ops *ops)
{
	vfio_unregister_iommu_driver(&compat_ops);
}
