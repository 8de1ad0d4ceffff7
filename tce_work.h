/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module's workqueues, and the flags of its allocations on behalf of user
 * space.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_WORK_H
#define TCE_WORK_H

#include <linux/gfp_types.h>

/**
 * DOC: Work
 *
 * Work items do what must not be done in the caller's context. No call waits
 * for a work item of another process, except the release of a container, which
 * waits twice (tce_charge_settle_timeout(), tce_memory_put_all()), for a tenth
 * of a second at most each time. Each item belongs to one object. Apart from
 * that, the object waits only for its own items (cancel_delayed_work_sync()) or
 * is freed by them.
 *
 * Items that take an mmap_lock have a workqueue of their own. They check first
 * whether the lock is held, but may still have to wait for it. Only commands of
 * the same process, which may have to wait for its mmap_lock themselves, wait
 * for them without a limit (tce_charge_sub(), tce_memory_put_orphans()).
 * tce_work_exit() waits for items that have dropped the last reference to the
 * module and have not returned yet.
 */

/*
 * For allocations on behalf of user space that may sleep. They are accounted to
 * the memory cgroup of the caller. If the cgroup is full they fail with -ENOMEM
 * and do not invoke the OOM killer. Nor do they log a warning, which user space
 * could repeat as often as it likes.
 */
#define TCE_GFP		(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | \
			 __GFP_NOWARN)

struct workqueue_struct;

/* For work items that take no mmap_lock. */
extern struct workqueue_struct *tce_wq;

/* For work items that take an address space's mmap_lock. */
extern struct workqueue_struct *tce_mm_wq;

/**
 * tce_work_init() - allocate the workqueues
 *
 * Context: Module init.
 * Return: 0 or -ENOMEM.
 */
int tce_work_init(void);

/**
 * tce_work_exit() - wait for items that are returning, and free the workqueues
 *
 * Context: Module exit; no item is pending.
 */
void tce_work_exit(void);

#endif /* TCE_WORK_H */
