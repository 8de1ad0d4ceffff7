/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Enhanced Error Handling (EEH) of the devices in a container's groups.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_EEH_H
#define TCE_EEH_H

#include <linux/vfio.h>

struct iommu_group;

/**
 * tce_eeh_enabled() - whether EEH is enabled on the machine
 *
 * Context: Any.
 * Return: true if so.
 */
bool tce_eeh_enabled(void);

/**
 * tce_eeh_get_op() - copy the argument of VFIO_EEH_PE_OP from user space
 * @op: the result
 * @argp: the argument (include/uapi/linux/vfio.h)
 *
 * Context: Process, may sleep.
 * Return: 0; -EFAULT if it cannot be read; -EINVAL if it is too short for its
 * operation or has flags.
 */
int tce_eeh_get_op(struct vfio_eeh_pe_op *op, void __user *argp);

/**
 * tce_eeh_pe_op() - perform one operation on the partitionable endpoint (PE) of
 * a group
 * @group: the group
 * @op: the operation
 *
 * Context: Process, may sleep. The container's lock is not held: a reset takes
 * the locks of devices, and these are taken before the container's.
 * Return: 0; for VFIO_EEH_PE_GET_STATE the PE's state (VFIO_EEH_PE_STATE_*);
 * -ENODEV if the group has no PE; -EINVAL for an unknown operation; an errno of
 * the platform.
 */
long tce_eeh_pe_op(struct iommu_group *group, const struct vfio_eeh_pe_op *op);

#endif /* TCE_EEH_H */
