/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between the VFIO core and an IOMMU backend as it was while the
 * backend took groups over from the kernel itself. It comes first where that is
 * so, and takes the place of the driver's own vfio_iommu_driver.h.
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
 * enum vfio_group_type - what stands behind a group
 * @VFIO_IOMMU: an IOMMU translates its DMA
 * @VFIO_EMULATED_IOMMU: a mediated device, no DMA of its own
 * @VFIO_NO_IOMMU: nothing translates its DMA
 */
enum vfio_group_type {
	VFIO_IOMMU,
	VFIO_EMULATED_IOMMU,
	VFIO_NO_IOMMU,
};

/**
 * enum vfio_iommu_notify_type - what the core notifies a backend of
 * @VFIO_IOMMU_CONTAINER_CLOSE: the container's file is being closed
 */
enum vfio_iommu_notify_type {
	VFIO_IOMMU_CONTAINER_CLOSE = 0,
};

/**
 * struct vfio_iommu_driver_ops - an IOMMU backend, as the VFIO core calls it
 * @name: as today, up to @group_iommu_domain
 * @owner: as today
 * @open: as today
 * @release: as today
 * @ioctl: as today
 * @attach_group: as today, and the backend takes the group over
 * @detach_group: as today, and the backend gives the group back
 * @pin_pages: as today
 * @unpin_pages: as today
 * @register_device: as today
 * @unregister_device: as today
 * @dma_rw: as today
 * @group_iommu_domain: as today
 * @notify: something has happened to the container. Some of these kernels do not
 *          have it any more; they do not look at it
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
 * compat_register_iommu_driver() - register a backend that owns its groups already
 * @ops: the backend; one at a time
 *
 * The core gets a backend that takes each group over before @ops->attach_group is
 * called for it, and gives it back after @ops->detach_group.
 *
 * Context: Module init.
 * Return: what vfio_register_iommu_driver() says.
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
