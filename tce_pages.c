// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of user memory that a window maps. Contract: tce_pages.h.
 */

#include <linux/sched.h>
#include <linux/sched/mm.h>

#include "tce_pages.h"

void tce_pages_init(struct tce_pages *pages, const struct tce_pages_ops *ops)
{
	pages->ops = ops;
	kref_init(&pages->ref);
	pages->mm = current->mm;
	mmgrab(pages->mm);
}

struct tce_pages *tce_pages_get(struct tce_pages *pages)
{
	kref_get(&pages->ref);

	return pages;
}

static void tce_pages_free(struct kref *ref)
{
	struct tce_pages *pages = container_of(ref, struct tce_pages, ref);
	struct mm_struct *mm = pages->mm;

	pages->ops->free(pages);
	mmdrop(mm);
}

void tce_pages_put(struct tce_pages *pages)
{
	kref_put(&pages->ref, tce_pages_free);
}
