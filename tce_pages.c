// SPDX-License-Identifier: GPL-2.0-only
/*
 * User memory that a window maps: what both versions of the interface share.
 * Contract: tce_pages.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/err.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

#include "tce_charge.h"
#include "tce_pages.h"

int tce_pages_init(struct tce_pages *pages, const struct tce_pages_ops *ops)
{
	if (!current->mm)
		return -ESRCH;

	pages->charge = tce_charge_create();
	if (IS_ERR(pages->charge))
		return PTR_ERR(pages->charge);

	pages->ops = ops;
	kref_init(&pages->ref);
	pages->mm = current->mm;
	mmgrab(pages->mm);

	return 0;
}

struct tce_pages *tce_pages_get(struct tce_pages *pages)
{
	kref_get(&pages->ref);

	return pages;
}

static void tce_pages_free(struct kref *ref)
{
	struct tce_pages *pages = container_of(ref, struct tce_pages, ref);
	struct tce_charge *charge = pages->charge;
	struct mm_struct *mm = pages->mm;

	pages->ops->free(pages);
	tce_charge_put(charge);
	mmdrop(mm);
}

void tce_pages_put(struct tce_pages *pages)
{
	kref_put(&pages->ref, tce_pages_free);
}
