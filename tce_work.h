/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module's workqueues, for what cannot be done where it becomes due, and how it
 * allocates for user space.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_WORK_H
#define TCE_WORK_H

#include <linux/gfp_types.h>

/**
 * DOC: Work
 *
 * Nothing waits for work of another process: each item belongs to one object, which
 * waits for its own items only (cancel_work_sync()) or is freed by them. Items that
 * change locked_vm have a queue of their own: they look whether the mmap_lock is held
 * before they take it, but may have to wait for it, and nothing waits for them.
 * tce_work_exit() waits for items that have dropped the last reference of the module and
 * are about to return.
 */

/*
 * For allocations on behalf of user space that may sleep: charged to its memory cgroup,
 * and one that is full is -ENOMEM, never a reason for the OOM killer.
 */
#define TCE_GFP		(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL)

struct workqueue_struct;

/* For items that wait for nothing that user space can make last. */
extern struct workqueue_struct *tce_wq;

/* For items that take an address space's mmap_lock. */
extern struct workqueue_struct *tce_mm_wq;

/**
 * tce_work_init() - allocate the workqueues
 *
 * Context: Module init.
 * Return: 0 or -ENOMEM.
 */
int tce_work_init(void);

/**
 * tce_work_exit() - wait for items that return, and free the workqueues
 *
 * Context: Module exit; no item is pending.
 */
void tce_work_exit(void);

#endif /* TCE_WORK_H */
