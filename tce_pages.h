/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages of user memory that a window maps, wherever they come from.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_PAGES_H
#define TCE_PAGES_H

#include <linux/kref.h>
#include <linux/types.h>

/**
 * DOC: Pages of user memory
 *
 * A window does not care what keeps pages where they are while a device reaches
 * them. In version 2 of the interface they are registered first (tce_memory.h), in
 * version 1 each one is pinned when it is mapped (tce_pinned.h).
 *
 * A page is used before it is put into a table, and retired after it has been
 * taken out; what was retired is let go of by a flush, after the TCE kill. From
 * then on it may be unpinned and reused by anybody.
 *
 * Whatever may fault, and so wait for as long as user space likes, is done by
 * &tce_pages_ops.pin, with no lock held.
 */

struct mm_struct;
struct mm_iommu_table_group_mem_t;
struct page;
struct tce_batch;
struct tce_charge;
struct tce_extent;
struct tce_pages;

/* How many owners, or extents of pinned pages, one struct tce_retired has room for. */
#define TCE_RETIRED_FEW	32

/**
 * struct tce_run - pages that a MAP is about to map
 * @pages: where they come from
 * @ua: user-space address of the first, aligned to the IOMMU page
 * @count: number of IOMMU pages
 * @page_shift: IOMMU page size, as a shift
 * @perm: permission bits of the entries; what the device may do
 * @owner: from &tce_pages_ops.use: whose all of them are, or TCE_OWNER_EACH
 * @next: from &tce_pages_ops.use: the next page for &tce_pages_ops.translate
 * @page: from &tce_pages_ops.pin: the kernel pages; NULL if it was not called, or the
 *        run has been used
 * @pinned: &tce_pages_ops.pin was called, so &tce_pages_ops.unpin has to be
 * @charged: from &tce_pages_ops.pin: kernel pages that are charged and not yet used
 * @trim: there was no memory, or no credit: free empty levels first
 * @hint: where &tce_pages_ops.use or &tce_pages_ops.translate was last
 * @other: the same, if another container has registered the page, which is counted
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
	unsigned long charged;
	bool trim;
	void *hint;
	struct mm_iommu_table_group_mem_t *other;
};

/**
 * struct tce_owned - IOMMU pages that are given back together
 * @word: their owner; or, of pinned pages, the first entry of an extent
 * @pages: number of IOMMU pages
 */
struct tce_owned {
	u64 word;
	unsigned long pages;
};

/**
 * struct tce_retired - pages that are no longer in a table and wait for the kill
 * @pages: where they came from
 * @page_shift: IOMMU page size, as a shift
 * @count: number of elements of @list
 * @max: how many there may be
 * @list: the pages
 * @few: room for @list
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
 * struct tce_pages_ops - what can be done with pages
 * @pin: charges and pins a run of pages before it is used; NULL if there is nothing to
 *       do. Process context, no lock held, may sleep for as long as user space likes.
 *       0, -EFAULT, -ENOMEM, or -EINTR if a fatal signal is pending
 * @unpin: ends what @pin has begun, with @use or without. As for @pin
 * @use: makes sure that a run of pages stays, and fills in what &struct tce_run
 *       has from it, and the first extent; all or nothing. Process context, may sleep,
 *       reschedules. 0, -EINVAL, -EPERM, -ENOMEM, or -EINTR if a fatal signal is pending
 * @translate: the next extents of a used run, as many as there is room for, or fewer.
 *             Cannot fail
 * @cancel: takes @use back for pages that never got into a table, from page
 *         @first on
 * @retire: gathers pages that are no longer in a table; false if there was room for
 *          some only: flush and go on. Any context
 * @flush: lets go of what was gathered. Any context in which @retire was called
 * @put: retires an extent and lets go of it at once. As @flush
 * @free: the last reference has gone. Process context, may sleep
 */
struct tce_pages_ops {
	int (*pin)(struct tce_run *run);
	void (*unpin)(struct tce_run *run);
	int (*use)(struct tce_run *run, struct tce_extent *first);
	void (*translate)(struct tce_run *run, struct tce_batch *batch);
	void (*cancel)(struct tce_run *run, unsigned long first);
	bool (*retire)(struct tce_retired *retired, struct tce_batch *batch);
	void (*flush)(struct tce_retired *retired);
	void (*put)(struct tce_pages *pages, const struct tce_extent *extent,
		    unsigned int page_shift);
	void (*free)(struct tce_pages *pages);
};

/**
 * struct tce_pages - where pages come from
 * @ops: what can be done with them
 * @ref: the container and its windows
 * @mm: the address space, mmgrab()bed: valid, but its users may be gone
 * @charge: charges @mm
 */
struct tce_pages {
	const struct tce_pages_ops *ops;
	struct kref ref;
	struct mm_struct *mm;
	struct tce_charge *charge;
};

/**
 * tce_pages_init() - begin with the current process's address space
 * @pages: the object, with one reference if this succeeds
 * @ops: its operations
 *
 * Context: Process, may sleep.
 * Return: 0; -ESRCH in a thread with no address space; -ENOMEM.
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
