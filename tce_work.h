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
 * A window waits for the items that create and remove its files in debugfs.
 * Such items have a workqueue of their own, and so have those that take an
 * mmap_lock. The latter check first whether the lock is held, but may still
 * have to wait for it. Only commands of the same process, which may have to
 * wait for its mmap_lock themselves, wait for them without a limit
 * (tce_charge_sub(), tce_memory_put_orphans()).
 * tce_work_exit() waits for items that have dropped the last reference to the
 * module and have not returned yet.
 */

/*
 * For allocations on behalf of user space. If there is no memory they fail with
 * -ENOMEM and do not invoke the OOM killer. Nor do they log a warning, which
 * user space could repeat as often as it likes.
 *
 * What is accounted to the memory cgroup of the caller may have to wait for
 * memory of the cgroup, for as long as whoever sets its limits likes. So memory
 * that is allocated with a lock held that another process may need, such as
 * the container's lock or locks of the VFIO core, is either not accounted,
 * which is for objects of which a group or a process has a fixed number, for
 * what lasts no longer than a command, and for what is small compared with the
 * pinned memory that it describes, or at most twice as large as accounted
 * memory that lives as long (an iommu_table and its struct tce_kvm); or
 * allocated without waiting. After that has failed, a command gets memory with
 * no such lock held and starts over (tce_call_no_memory()).
 */

/* With no lock held */
#define TCE_GFP		(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | \
			 __GFP_NOWARN)

/* Not accounted */
#define TCE_GFP_FIXED	(GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Without waiting */
#define TCE_GFP_NOWAIT	(GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN)

struct workqueue_struct;

/* For work items that take no mmap_lock. */
extern struct workqueue_struct *tce_wq;

/* For work items that take an address space's mmap_lock. */
extern struct workqueue_struct *tce_mm_wq;

/*
 * For work items that a command or the release of a container waits for with
 * the container's lock held. They must not be queued behind others, which may
 * take long.
 */
extern struct workqueue_struct *tce_short_wq;

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
