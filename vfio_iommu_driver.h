/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between the VFIO core and an IOMMU backend. The kernel keeps it
 * in a private header (drivers/vfio/vfio.h), so an out-of-tree module has to
 * declare it itself; scripts/check-vfio-ops compares this with the kernel's own
 * type information.
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
 * struct vfio_iommu_driver_ops - callbacks of an IOMMU backend
 * @name: name of the backend
 * @owner: module that the core keeps loaded while a container uses the backend
 * @open: VFIO_SET_IOMMU, with an argument for which VFIO_CHECK_EXTENSION of
 *        @ioctl returns a positive number; returns the container's data or an
 *        ERR_PTR()
 * @release: the container's last group was detached, or attaching its groups
 *           failed
 * @ioctl: ioctls that the core does not handle itself. Called with no lock
 *         held, except for VFIO_CHECK_EXTENSION, for which the data may be NULL
 * @attach_group: a group is added to the container
 * @detach_group: a group is removed from the container
 * @pin_pages: for mediated devices
 * @unpin_pages: for mediated devices
 * @register_device: for mediated devices
 * @unregister_device: for mediated devices
 * @dma_rw: for mediated devices
 * @group_iommu_domain: the domain of a group, for drivers that need it
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
};

int vfio_register_iommu_driver(const struct vfio_iommu_driver_ops *ops);
void vfio_unregister_iommu_driver(const struct vfio_iommu_driver_ops *ops);

#endif /* VFIO_IOMMU_DRIVER_H */
