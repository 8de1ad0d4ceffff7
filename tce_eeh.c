// SPDX-License-Identifier: GPL-2.0-only
/*
 * Enhanced Error Handling (EEH) of the devices in a container's groups.
 * Contract: tce_eeh.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/stddef.h>
#include <linux/uaccess.h>

#include <asm/eeh.h>

#include "tce_eeh.h"
#include "tce_refuse.h"

bool tce_eeh_enabled(void)
{
	return eeh_enabled();
}

int tce_eeh_get_op(struct vfio_eeh_pe_op *op, void __user *argp)
{
	size_t size = offsetofend(struct vfio_eeh_pe_op, op);

	if (copy_from_user(op, argp, size))
		return tce_refuse(-EFAULT, "the argument cannot be read");
	if (op->argsz < size || op->flags)
		return tce_refuse(-EINVAL,
				  "argsz is too small, or there are unknown flags");
	if (op->op != VFIO_EEH_PE_INJECT_ERR)
		return 0;

	size = offsetofend(struct vfio_eeh_pe_op, err.mask);
	if (op->argsz < size)
		return tce_refuse(-EINVAL, "argsz is too small for INJECT_ERR");

	/*
	 * Copy only the other members: user space may have changed those that
	 * were checked.
	 */
	argp += offsetof(struct vfio_eeh_pe_op, err);
	if (copy_from_user(&op->err, argp, sizeof(op->err)))
		return tce_refuse(-EFAULT, "the argument cannot be read");

	return 0;
}

struct eeh_pe *tce_eeh_find_pe(struct iommu_group *group)
{
	struct eeh_pe *pe = eeh_iommu_group_to_pe(group);

	if (!pe)
		return ERR_PTR(tce_refuse(-ENODEV, "the group has no EEH PE"));

	return pe;
}

long tce_eeh_pe_op(struct eeh_pe *pe, const struct vfio_eeh_pe_op *op)
{
	switch (op->op) {
	case VFIO_EEH_PE_DISABLE:
		return eeh_pe_set_option(pe, EEH_OPT_DISABLE);
	case VFIO_EEH_PE_ENABLE:
		return eeh_pe_set_option(pe, EEH_OPT_ENABLE);
	case VFIO_EEH_PE_UNFREEZE_IO:
		return eeh_pe_set_option(pe, EEH_OPT_THAW_MMIO);
	case VFIO_EEH_PE_UNFREEZE_DMA:
		return eeh_pe_set_option(pe, EEH_OPT_THAW_DMA);
	case VFIO_EEH_PE_GET_STATE:
		return eeh_pe_get_state(pe);
	case VFIO_EEH_PE_RESET_DEACTIVATE:
		return eeh_pe_reset(pe, EEH_RESET_DEACTIVATE, true);
	case VFIO_EEH_PE_RESET_HOT:
		return eeh_pe_reset(pe, EEH_RESET_HOT, true);
	case VFIO_EEH_PE_RESET_FUNDAMENTAL:
		return eeh_pe_reset(pe, EEH_RESET_FUNDAMENTAL, true);
	case VFIO_EEH_PE_CONFIGURE:
		return eeh_pe_configure(pe);
	case VFIO_EEH_PE_INJECT_ERR:
		return eeh_pe_inject_err(pe, op->err.type, op->err.func,
					 op->err.addr, op->err.mask);
	default:
		return tce_refuse(-EINVAL, "there is no such EEH operation");
	}
}
