/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operations that a window performs on the user memory that it maps.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_PAGES_H
#define TCE_PAGES_H

#include <linux/kref.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/types.h>

/**
 * DOC: Pages of user memory
 *
 * Pages are pinned while a device may access them. A window does not depend on
 * how: in version 2 of the interface memory is registered first
 * (tce_memory.h), in version 1 each page is pinned when it is mapped
 * (tce_v1_pages.h).
 *
 * A page is put to use (&tce_pages_ops.use) before its entry is set, and
 * retired (&tce_pages_ops.retire) after its entry was cleared. Retired pages
 * are released by a flush, after the TCE kill. From then on they may be
 * unpinned and reused.
 *
 * Of these operations, only &tce_pages_ops.pin may fault in pages. It is called
 * with no lock held, as user space can make a page fault wait without a limit.
 */

struct mm_struct;
struct mm_iommu_table_group_mem_t;
struct page;
struct tce_batch;
struct tce_charge;
struct tce_extent;
struct tce_pages;
struct tce_spares;

/* Elements that struct tce_retired has room for without an allocated array. */
#define TCE_RETIRED_FEW	32

/**
 * struct tce_run - consecutive pages that a MAP is about to map
 * @pages: the user memory that they are part of
 * @ua: user-space address of the first page, aligned to the IOMMU page
 * @count: number of IOMMU pages
 * @page_shift: IOMMU page size, as a shift
 * @perm: permission bits of the entries
 * @owner: set by &tce_pages_ops.use: owner of all entries, or TCE_OWNER_EACH
 * @next: index in the run of the next page to translate: set by
 *        &tce_pages_ops.use, advanced by &tce_pages_ops.translate
 * @page: set by &tce_pages_ops.pin: the kernel pages; NULL unless they are
 *        pinned and not yet mapped
 * @pinned: set by &tce_pages_ops.pin, even if it then fails:
 *          &tce_pages_ops.unpin must be called
 * @reserved: set by &tce_pages_ops.pin: number of kernel pages that are charged
 *            and not yet in use
 * @spares: memory for levels
 * @hint: version 2, set by &tce_pages_ops.use: the last region found that this
 *        container has registered, or NULL
 * @other: likewise: the last region found that only another container has
 *         registered, or NULL; valid while a page of it is counted
 */
struct tce_run {
	struct tce_pages *pages;
	unsigned long ua;
	unsigned long count;
	unsigned int page_shift;
	u64 perm;
	u64 owner;
	unsigned long next;
	struct page **page;
	bool pinned;
	unsigned long reserved;
	struct tce_spares *spares;
	void *hint;
	struct mm_iommu_table_group_mem_t *other;
};

/**
 * struct tce_owned - IOMMU pages that are released together
 * @word: their owner, or, for pages that are pinned when they are mapped, the
 *        first TCE of the extent
 * @pages: number of IOMMU pages
 */
struct tce_owned {
	u64 word;
	unsigned long pages;
};

/**
 * struct tce_retired - pages whose entries were cleared and not yet killed
 * @pages: the user memory that they are part of
 * @page_shift: IOMMU page size, as a shift
 * @count: number of elements of @list
 * @max: maximum number of elements of @list
 * @list: the pages
 * @few: array for @list if it was not allocated
 */
struct tce_retired {
	struct tce_pages *pages;
	unsigned int page_shift;
	unsigned int count;
	unsigned int max;
	struct tce_owned *list;
	struct tce_owned few[TCE_RETIRED_FEW];
};

/**
 * struct tce_pages_ops - operations on pages
 * @pin: charges and pins a run before @use; NULL if this is not needed. Process
 *       context, no lock held, may sleep without a limit. If it has set
 *       &tce_run.pinned, it returns with a mutex held, until @unpin. Returns 0,
 *       -EFAULT, -ENOMEM, or -EINTR if a fatal signal is pending
 * @unpin: follows each @pin that has set &tce_run.pinned, after @use or without
 *         it, and also if @pin has failed: unpins and uncharges what was not
 *         mapped. Process context, no lock held but that mutex, may sleep
 * @use: makes sure that the pages of a run stay pinned, and sets
 *       &tce_run.owner, &tce_run.next, the first extent and, in version 2,
 *       &tce_run.hint and &tce_run.other. If it fails no page is in use.
 *       Process context, the container's lock is held, may sleep, reschedules.
 *       Returns 0, -EINVAL, -EPERM, -ENOMEM, or -EINTR if a fatal signal is
 *       pending
 * @translate: translates the next pages of a run that is in use, at least one,
 *             and appends them to a batch that has room for an extent. The
 *             container's lock is held. Does not sleep, and cannot fail
 * @cancel: undoes @use for the pages of a run from page @first on, whose
 *          entries were never set. Context as for @use
 * @retire: adds pages whose entries were cleared. Returns false if there was
 *          not room for all: call @flush, then @retire again. Any context
 * @flush: releases all retired pages, after the kill. In version 1 process
 *         context, may sleep; in version 2 any context but an interrupt handler
 * @release: retires an extent and releases it at once. Context as for @flush
 * @free: frees the object when the last reference is put. Process context, may
 *        sleep
 */
struct tce_pages_ops {
	int (*pin)(struct tce_run *run);
	void (*unpin)(struct tce_run *run);
	int (*use)(struct tce_run *run, struct tce_extent *first);
	void (*translate)(struct tce_run *run, struct tce_batch *batch);
	void (*cancel)(struct tce_run *run, unsigned long first);
	bool (*retire)(struct tce_retired *retired, struct tce_batch *batch);
	void (*flush)(struct tce_retired *retired);
	void (*release)(struct tce_pages *pages,
			const struct tce_extent *extent,
			unsigned int page_shift);
	void (*free)(struct tce_pages *pages);
};

/**
 * struct tce_pages - user memory of one address space
 * @ops: operations of one version of the interface
 * @ref: references of the container, its windows, its regions and work items
 * @mm: the address space, with a reference from mmgrab(): its memory may have
 *      been freed
 * @charge: charges locked_vm of @mm
 */
struct tce_pages {
	const struct tce_pages_ops *ops;
	struct kref ref;
	struct mm_struct *mm;
	struct tce_charge *charge;
};

/**
 * tce_pages_in_page() - number of IOMMU pages of a run that are in one kernel
 * page
 * @run: the run
 * @ua: user-space address of the first of them
 *
 * They are contiguous in physical memory. The run may end before the kernel
 * page does.
 *
 * Context: Any.
 * Return: number of IOMMU pages from @ua on, 1 if one is larger than a kernel
 * page.
 */
static inline unsigned long tce_pages_in_page(const struct tce_run *run,
					      unsigned long ua)
{
	return max(1UL, (PAGE_SIZE - offset_in_page(ua)) >> run->page_shift);
}

/**
 * tce_pages_init() - initialise for the current process's address space
 * @pages: the object, with one reference if this succeeds
 * @ops: its operations
 *
 * Context: Process, may sleep.
 * Return: 0; -ESRCH in a thread without an address space; -ENOMEM.
 */
int tce_pages_init(struct tce_pages *pages, const struct tce_pages_ops *ops);

/**
 * tce_pages_get() - take another reference
 * @pages: the object
 *
 * Context: Any.
 * Return: @pages.
 */
struct tce_pages *tce_pages_get(struct tce_pages *pages);

/**
 * tce_pages_put() - drop a reference
 * @pages: the object
 *
 * Context: Process, may sleep.
 */
void tce_pages_put(struct tce_pages *pages);

#endif /* TCE_PAGES_H */
