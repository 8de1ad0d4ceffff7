// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's workqueues. Contract: tce_work.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/module.h>
#include <linux/workqueue.h>

#include "tce_work.h"

struct workqueue_struct *tce_wq;
struct workqueue_struct *tce_mm_wq;
struct workqueue_struct *tce_short_wq;

int tce_work_init(void)
{
	tce_wq = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND, 0);
	if (!tce_wq)
		return -ENOMEM;

	/*
	 * A worker may still block on an mmap_lock that is taken at the last
	 * moment. WQ_MAX_ACTIVE, so that many blocked items do not keep further
	 * items from being run.
	 */
	tce_mm_wq = alloc_workqueue(KBUILD_MODNAME "_mm", WQ_UNBOUND,
				    WQ_MAX_ACTIVE);
	if (!tce_mm_wq)
		goto destroy_wq;

	/*
	 * The release of a container waits for an item of each window: not for
	 * a worker to be created, if there is no memory.
	 */
	tce_short_wq = alloc_workqueue(KBUILD_MODNAME "_short",
				       WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!tce_short_wq)
		goto destroy_mm_wq;

	return 0;

destroy_mm_wq:
	destroy_workqueue(tce_mm_wq);
destroy_wq:
	destroy_workqueue(tce_wq);

	return -ENOMEM;
}

void tce_work_exit(void)
{
	destroy_workqueue(tce_short_wq);
	destroy_workqueue(tce_mm_wq);
	destroy_workqueue(tce_wq);
}
