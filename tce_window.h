/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A DMA window: a table that is programmed into groups, and pages mapped in it.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_WINDOW_H
#define TCE_WINDOW_H

#include <linux/types.h>

/**
 * DOC: DMA window
 *
 * A window is a struct iommu_table whose levels and it_ops are this module's
 * (tce_platform.h has what differs between platforms). The platform programs it
 * into a group (iommu_table_group_ops::set_window); KVM finds it in
 * iommu_table_group::tables[] and uses it_ops, with no lock of ours.
 *
 * The creator serialises tce_window_attach(), _detach() and _put() against each
 * other and against _map() and _unmap(), which may run in parallel.
 *
 * The window lives until its creator puts it. The iommu_table lives until its last
 * reference is gone, which may be KVM's; from tce_window_put() on it leads KVM to
 * nothing (tce_kvm.h).
 */

struct iommu_table_group;
struct tce_pages;
struct tce_run;
struct tce_window;

/**
 * struct tce_window_request - the window that is asked for
 * @page_shift: IOMMU page size, as a shift
 * @size: bytes, a power of two
 * @levels: number of levels of the table, which is a hint
 * @pages: where the pages come from that it will map
 * @charge: levels are charged to locked_vm of @pages' address space while they are
 *          there, not a whole table while the window is
 * @pinned: they are pinned one by one, so KVM cannot map them
 * @charged: kernel pages that are charged for the window; what it takes is subtracted
 * @missing: how many more it needs
 */
struct tce_window_request {
	unsigned int page_shift;
	u64 size;
	unsigned int levels;
	struct tce_pages *pages;
	bool charge;
	bool pinned;
	unsigned long charged;
	unsigned long missing;
};

/**
 * tce_window_create() - make a window that is programmed nowhere yet
 * @table_group: a group that it is for
 * @num: number of the window in its groups, 0 or 1
 * @request: what is wanted
 *
 * On pSeries the hypervisor makes it for that group at once.
 *
 * Context: Process, may sleep.
 * Return: the window; ERR_PTR() of what tce_platform_check() and tce_platform_create()
 * say, or -ENOMEM; -EAGAIN if more has to be charged first, &tce_window_request.missing.
 */
struct tce_window *tce_window_create(struct iommu_table_group *table_group,
				     int num,
				     struct tce_window_request *request);

/**
 * tce_window_put() - unmap everything and free a window
 * @window: the window; detached from all groups, so that no device translates through
 *          it any more
 *
 * Waits for a grace period of RCU.
 *
 * Context: Process, may sleep.
 */
void tce_window_put(struct tce_window *window);

/**
 * tce_window_attach() - program a window into a group
 * @window: the window
 * @table_group: the group
 *
 * Context: Process, may sleep.
 * Return: as tce_platform_set_window() says.
 */
int tce_window_attach(struct tce_window *window,
		      struct iommu_table_group *table_group);

/**
 * tce_window_attached() - whether a group that a window was attached to still has it
 * @window: the window
 * @table_group: the group
 *
 * Context: Any.
 * Return: false if the platform has taken it out.
 */
bool tce_window_attached(const struct tce_window *window,
			 const struct iommu_table_group *table_group);

/**
 * tce_window_lost() - whether nothing can be mapped in a window any more
 * @window: the window
 *
 * Context: Any.
 * Return: true after tce_window_mark_lost(), or if the firmware has not let go of it.
 */
bool tce_window_lost(const struct tce_window *window);

/**
 * tce_window_mark_lost() - map nothing in a window any more
 * @window: the window; a group does not have it any more
 *
 * Context: Any.
 */
void tce_window_mark_lost(struct tce_window *window);

/**
 * tce_window_detach() - take a window out of a group
 * @window: the window
 * @table_group: the group
 *
 * What is mapped stays mapped for the other groups. On pSeries, where a window
 * belongs to one group, it is unmapped. If the firmware refuses, everything is
 * unmapped, nothing can be mapped any more, and the table is never freed.
 *
 * Context: Process, may sleep.
 */
void tce_window_detach(struct tce_window *window,
		       struct iommu_table_group *table_group);

/**
 * tce_window_clear_all() - unmap everything
 * @window: the window
 *
 * Context: Process, may sleep; reschedules.
 */
void tce_window_clear_all(struct tce_window *window);

/**
 * tce_window_flush_kvm() - let go of what KVM has unmapped and not yet killed
 * @window: the window
 *
 * Context: Process.
 */
void tce_window_flush_kvm(struct tce_window *window);

/**
 * tce_window_start() - where the window begins
 * @window: the window
 *
 * Return: bus address, bytes.
 */
u64 tce_window_start(const struct tce_window *window);

/**
 * tce_window_contains() - whether a bus address lies in the window
 * @window: the window
 * @iova: bus address, bytes
 *
 * Return: true if so.
 */
bool tce_window_contains(const struct tce_window *window, u64 iova);

/**
 * tce_window_map() - map a run of user memory
 * @window: the window
 * @iova: bus address, bytes, aligned to the IOMMU page
 * @size: bytes, a multiple of the IOMMU page
 * @run: the pages: &tce_run.pages, &tce_run.ua and &tce_run.perm are set, the rest is 0
 *
 * All or nothing; what was mapped there is replaced. Only a hypervisor can refuse
 * a page after others have been mapped: then nothing is mapped there any more, up
 * to that page.
 *
 * Context: Process, may sleep; reschedules.
 * Return: 0; -EINVAL for a misaligned or empty range, or one that does not lie in
 * the window or wraps; -EAGAIN if @run has to be pinned first (&tce_pages_ops.pin),
 * with no lock held; what &tce_pages_ops.use says; -ENOMEM; -EIO if a hypervisor
 * refuses a page; -EINTR if a fatal signal is pending.
 */
int tce_window_map(struct tce_window *window, u64 iova, u64 size,
		   struct tce_run *run);

/**
 * tce_window_unmap() - unmap a range, whatever of it is mapped
 * @window: the window
 * @iova: bus address, bytes, aligned to the IOMMU page
 * @size: bytes, a multiple of the IOMMU page
 *
 * Context: Process, may sleep; reschedules.
 * Return: 0; -EINVAL for a misaligned or empty range, or one that does not lie
 * in the window or wraps.
 */
int tce_window_unmap(struct tce_window *window, u64 iova, u64 size);

#endif /* TCE_WINDOW_H */
