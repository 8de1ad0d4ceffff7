/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Enhanced Error Handling (EEH) of the devices in a container's groups.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_EEH_H
#define TCE_EEH_H

#include <linux/vfio.h>

struct eeh_pe;
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
 * tce_eeh_find_pe() - find the partitionable endpoint (PE) of a group
 * @group: the group
 *
 * Context: Process, may sleep: takes the group's mutex. The container's lock is
 * held, so that the group is not detached, and its device not removed,
 * meanwhile.
 * Return: the PE, without a reference, or ERR_PTR(-ENODEV) if the group has
 * none.
 */
struct eeh_pe *tce_eeh_find_pe(struct iommu_group *group);

/**
 * tce_eeh_pe_op() - perform one operation on a PE
 * @pe: the PE that tce_eeh_find_pe() has returned
 * @op: the operation
 *
 * An operation can take seconds. It holds no reference to the IOMMU group: when
 * the last device of the group is removed, the platform releases its own PE and
 * reuses it for the next device, so the group must be freed by then.
 *
 * The kernel does not count references to an EEH PE. It frees the PE when the
 * last device of it is removed from the machine, not when a device is unbound
 * from its driver, and removal waits until the device's files are closed. So a
 * caller that keeps the group's first device open, to which the PE belongs,
 * keeps the PE. (On PowerNV all devices of a group have the same PE; in a guest
 * a group can have several.) Otherwise the PE can be freed after
 * tce_eeh_find_pe(), as with the in-tree module: the removal cannot wait for
 * the operation, which takes locks that the removal holds (of the device, and
 * of all PCI hotplug).
 *
 * Context: Process, may sleep. The container's lock is not held: a reset takes
 * the locks of devices, and these are taken before the container's.
 * Return: 0; for VFIO_EEH_PE_GET_STATE the PE's state (VFIO_EEH_PE_STATE_*);
 * -EINVAL for an unknown operation; the result of the platform, which for a
 * reset on pSeries may be an RTAS status and thus positive.
 */
long tce_eeh_pe_op(struct eeh_pe *pe, const struct vfio_eeh_pe_op *op);

#endif /* TCE_EEH_H */
