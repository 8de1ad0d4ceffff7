/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Error handling (EEH) of the devices in a container's groups.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_EEH_H
#define TCE_EEH_H

#include <linux/vfio.h>

struct iommu_group;

/**
 * tce_eeh_enabled() - whether the machine has EEH
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
 * Return: 0; -EFAULT; -EINVAL if it is too short for its operation or has
 * flags.
 */
int tce_eeh_get_op(struct vfio_eeh_pe_op *op, void __user *argp);

/**
 * tce_eeh_pe_op() - perform one operation on the PE of a group
 * @group: the group
 * @op: the operation
 *
 * Context: Process, may sleep.
 * Return: 0, or the PE's state for VFIO_EEH_PE_GET_STATE; -ENODEV if the group
 * has no PE; -EINVAL for an unknown operation; an errno of the platform.
 */
long tce_eeh_pe_op(struct iommu_group *group, const struct vfio_eeh_pe_op *op);

#endif /* TCE_EEH_H */
