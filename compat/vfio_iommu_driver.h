/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between the VFIO core and an IOMMU backend in kernels in which
 * the backend has to take ownership of groups itself. For these kernels Kbuild
 * includes this header before the source of the container. It has the include
 * guard of the driver's own vfio_iommu_driver.h, and so replaces it.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef VFIO_IOMMU_DRIVER_H
#define VFIO_IOMMU_DRIVER_H

#include <linux/types.h>

struct iommu_domain;
struct iommu_group;
struct module;
struct page;
struct vfio_device;

/**
 * enum vfio_group_type - how DMA of a group is translated
 * @VFIO_IOMMU: an IOMMU translates its DMA
 * @VFIO_EMULATED_IOMMU: a mediated device, without DMA of its own
 * @VFIO_NO_IOMMU: nothing translates its DMA
 */
enum vfio_group_type {
	VFIO_IOMMU,
	VFIO_EMULATED_IOMMU,
	VFIO_NO_IOMMU,
};

/**
 * enum vfio_iommu_notify_type - events that the core notifies a backend of
 * @VFIO_IOMMU_CONTAINER_CLOSE: the container's file is being closed
 */
enum vfio_iommu_notify_type {
	VFIO_IOMMU_CONTAINER_CLOSE = 0,
};

/**
 * struct vfio_iommu_driver_ops - callbacks of an IOMMU backend
 * @name: as in the driver's vfio_iommu_driver.h, up to @group_iommu_domain
 * @owner: as there
 * @open: as there
 * @release: as there
 * @ioctl: as there
 * @attach_group: as there; the backend must also take ownership of the group
 * @detach_group: as there; the backend must also release ownership
 * @pin_pages: as there
 * @unpin_pages: as there
 * @register_device: as there
 * @unregister_device: as there
 * @dma_rw: as there
 * @group_iommu_domain: as there
 * @notify: an event of the container. Some of these kernels lack this member
 *          and do not access it
 */
struct vfio_iommu_driver_ops {
	char *name;
	struct module *owner;
	void *(*open)(unsigned long arg);
	void (*release)(void *iommu_data);
	long (*ioctl)(void *iommu_data, unsigned int cmd, unsigned long arg);
	int (*attach_group)(void *iommu_data, struct iommu_group *group,
			    enum vfio_group_type type);
	void (*detach_group)(void *iommu_data, struct iommu_group *group);
	int (*pin_pages)(void *iommu_data, struct iommu_group *group,
			 dma_addr_t user_iova, int npage, int prot,
			 struct page **pages);
	void (*unpin_pages)(void *iommu_data, dma_addr_t user_iova, int npage);
	void (*register_device)(void *iommu_data, struct vfio_device *vdev);
	void (*unregister_device)(void *iommu_data, struct vfio_device *vdev);
	int (*dma_rw)(void *iommu_data, dma_addr_t user_iova, void *data,
		      size_t count, bool write);
	struct iommu_domain *(*group_iommu_domain)(void *iommu_data,
						   struct iommu_group *group);
	void (*notify)(void *iommu_data, enum vfio_iommu_notify_type event);
};

int vfio_register_iommu_driver(const struct vfio_iommu_driver_ops *ops);
void vfio_unregister_iommu_driver(const struct vfio_iommu_driver_ops *ops);

/**
 * compat_register_iommu_driver() - register a backend that does not take
 * ownership of groups itself
 * @ops: the backend; only one can be registered
 *
 * Takes ownership of each group before @ops->attach_group is called, and
 * releases it after @ops->detach_group.
 *
 * Context: Module init.
 * Return: the result of vfio_register_iommu_driver().
 */
int compat_register_iommu_driver(const struct vfio_iommu_driver_ops *ops);

/**
 * compat_unregister_iommu_driver() - undo compat_register_iommu_driver()
 * @ops: the backend
 *
 * Context: Module exit.
 */
void compat_unregister_iommu_driver(const struct vfio_iommu_driver_ops *ops);

#ifndef COMPAT_OWNERSHIP
#define vfio_register_iommu_driver compat_register_iommu_driver
#define vfio_unregister_iommu_driver compat_unregister_iommu_driver
#endif

#endif /* VFIO_IOMMU_DRIVER_H */
