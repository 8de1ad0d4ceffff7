/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DMA windows: tables that are programmed into groups, and the pages that they
 * map.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_WINDOW_H
#define TCE_WINDOW_H

#include <linux/types.h>

/**
 * DOC: DMA window
 *
 * A window has a struct iommu_table whose it_ops, and on PowerNV whose levels,
 * are this module's (tce_platform.h hides the differences between platforms).
 * The platform programs the iommu_table into a group
 * (iommu_table_group_ops::set_window). KVM finds it in
 * iommu_table_group::tables[] and calls it_ops without any lock of this module.
 *
 * The caller serialises tce_window_attach(), tce_window_detach(),
 * tce_window_wait_kills(), tce_window_clear_all() and tce_window_destroy()
 * against each other and against tce_windows_map(), tce_windows_unmap() and
 * tce_window_trim(). The latter three may run in parallel.
 *
 * The window lives until tce_window_destroy(). The iommu_table lives until its
 * last reference is put, which may be KVM's; after tce_window_destroy() KVM
 * finds no window through it (tce_kvm.h).
 */

struct iommu_table_group;
struct rw_semaphore;
struct tce_kvm;
struct tce_pages;
struct tce_run;
struct tce_spares;
struct tce_window;

/**
 * struct tce_window_request - arguments of tce_window_create()
 * @page_shift: IOMMU page size, as a shift
 * @size: bytes, a power of two
 * @levels: number of levels of the table, which is a hint
 * @pages: the user memory that the window will map
 * @charge: charge each level to locked_vm while it is allocated; on pSeries the
 *          platform's view is charged, too, until it is freed. If false, the
 *          whole table is charged for the life of the window, or on pSeries the
 *          platform's view, although it is freed
 * @pinned: pages are pinned when they are mapped, so KVM cannot map them
 * @spares: memory for the first level
 * @kvm: state of KVM's callbacks, or NULL if there is none yet; NULL once the
 *       window or its iommu_table owns it
 * @charged: number of kernel pages that were charged for the window; those that
 *           it uses are subtracted
 * @missing: if tce_window_create() returns -EAGAIN: number of kernel pages that
 *           must be charged in addition; 0, as before the call, if @kvm must be
 *           created
 */
struct tce_window_request {
	unsigned int page_shift;
	u64 size;
	unsigned int levels;
	struct tce_pages *pages;
	bool charge;
	bool pinned;
	struct tce_spares *spares;
	struct tce_kvm *kvm;
	unsigned long charged;
	unsigned long missing;
};

/**
 * tce_window_create() - create a window that is not programmed into a group yet
 * @table_group: the first group that it will be attached to
 * @num: number of the window in its groups, 0 or 1
 * @request: the arguments; &tce_window_request.kvm,
 *           &tce_window_request.charged and &tce_window_request.missing are
 *           also results
 *
 * On pSeries the hypervisor creates its window for that group here. KVM does
 * not use the window before tce_window_connect().
 *
 * Context: Process, may sleep.
 * Return: the window, or ERR_PTR() of an errno of tce_platform_check() or
 * tce_platform_create(), of -ENOMEM, or of -EAGAIN if
 * &tce_window_request.missing pages must be charged first, or if it is 0 and
 * &tce_window_request.kvm must be created.
 */
struct tce_window *tce_window_create(struct iommu_table_group *table_group,
				     int num,
				     struct tce_window_request *request);

/**
 * tce_window_connect() - let KVM use a window
 * @window: the window, attached to all groups that the container has
 *
 * The platform programs a window into a group before a TCE kill reaches the
 * group. If KVM cleared an entry meanwhile, devices of the group could still
 * reach the page after it was uncounted. A group that is added later has no
 * open devices yet.
 *
 * Context: Any.
 */
void tce_window_connect(struct tce_window *window);

/**
 * tce_window_destroy() - unmap everything and free a window
 * @window: the window; detached from all groups, so that no device translates
 *          through it
 *
 * Waits for an RCU grace period if KVM has ever used the window.
 *
 * Context: Process, may sleep.
 */
void tce_window_destroy(struct tce_window *window);

/**
 * tce_window_attach() - program a window into a group
 * @window: the window
 * @table_group: the group
 *
 * Context: Process, may sleep.
 * Return: 0, or an errno of tce_platform_set_window(). The group does not have
 * the window then, unless the firmware refused to remove it (see
 * tce_window_detach()).
 */
int tce_window_attach(struct tce_window *window,
		      struct iommu_table_group *table_group);

/**
 * tce_windows_missing() - which windows a group no longer has
 * @windows: array of %IOMMU_TABLE_GROUP_MAX_TABLES: a container's windows by
 *           number, NULL where there is none; does not change during the call
 * @table_group: a group into which they were programmed
 *
 * Context: Any.
 * Return: bit mask of the numbers of windows that the platform has removed (see
 * tce_platform_has_window()), 0 if the group has all.
 */
unsigned long tce_windows_missing(struct tce_window *const *windows,
				  const struct iommu_table_group *table_group);

/**
 * tce_window_mark_lost() - make tce_windows_map() fail from now on
 * @window: the window, which the platform has removed from a group or disabled
 *
 * KVM can still set entries, unless tce_kvm_close() is called, too.
 *
 * Context: Any.
 */
void tce_window_mark_lost(struct tce_window *window);

/**
 * tce_window_detach() - remove a window from a group
 * @window: the window
 * @table_group: the group
 *
 * Mappings stay for the other groups. On pSeries, where a window belongs to one
 * group, they are removed. If the firmware refuses, all mappings are removed,
 * nothing can be mapped any more and, on PowerNV, the table is never freed.
 *
 * Kills that have found the group may still use it, until
 * tce_window_wait_kills() or tce_window_destroy() returns.
 *
 * Context: Process, may sleep.
 * Return: false if the group did not have the window: if it was attached, the
 * platform had removed it already.
 */
bool tce_window_detach(struct tce_window *window,
		       struct iommu_table_group *table_group);

/**
 * tce_window_wait_kills() - wait for kills that use groups of the window
 * @window: the window
 *
 * The work item that trims, and KVM, kill without the locks of the caller. When
 * this returns, they no longer use groups that were detached before the call,
 * so the platform may free these groups.
 *
 * Context: Process, may sleep.
 */
void tce_window_wait_kills(struct tce_window *window);

/**
 * tce_window_clear_all() - unmap everything, except what a hypervisor refuses
 * @window: the window
 *
 * Context: Process, may sleep; reschedules.
 */
void tce_window_clear_all(struct tce_window *window);

/**
 * tce_window_flush_kvm() - kill entries that KVM has cleared or replaced, and
 * release their pages
 * @window: the window
 * @wait: also wait for KVM's callbacks that have begun
 *
 * Context: Process, may sleep; reschedules.
 */
void tce_window_flush_kvm(struct tce_window *window, bool wait);

/**
 * tce_window_trim() - free the levels that are not in use, whatever their age
 * @window: the window
 * @held: a lock that the caller holds
 *
 * This may take thousands of grace periods, so it ends early if others wait for
 * @held.
 *
 * Context: Process, may sleep; reschedules.
 * Return: false if it ended early because others wait for @held.
 */
bool tce_window_trim(struct tce_window *window, struct rw_semaphore *held);

/**
 * tce_window_start() - the first bus address of a window
 * @window: the window
 *
 * Context: Any.
 * Return: bus address, in bytes.
 */
u64 tce_window_start(const struct tce_window *window);

/**
 * tce_windows_map() - map a run of user memory
 * @windows: array of %IOMMU_TABLE_GROUP_MAX_TABLES: a container's windows by
 *           number, NULL where there is none; does not change during the call
 * @iova: bus address, bytes, aligned to the IOMMU page
 * @size: bytes, a multiple of the IOMMU page
 * @run: the pages: &tce_run.pages, &tce_run.ua, &tce_run.perm and
 *       &tce_run.spares are set; &tce_run.page is NULL unless the run is pinned
 *
 * On success earlier mappings of the range are replaced. On failure nothing is
 * changed, unless a hypervisor refuses a page after other pages have been
 * mapped: then the range is unmapped up to that page.
 *
 * Context: Process, may sleep; reschedules.
 * Return: 0; -ENXIO if no window contains @iova; -EINVAL for a misaligned or
 * empty range, or one that leaves the window, for memory that is misaligned or
 * wraps, or if @run was pinned for another number or size of IOMMU pages;
 * -EAGAIN if the caller must pin @run first (&tce_pages_ops.pin), with no lock
 * held; an errno of &tce_pages_ops.use; -ENOMEM; -EIO after
 * tce_window_mark_lost(), after the firmware has refused to remove the window
 * from a group, or if a hypervisor refuses a page; -ENODEV if the hypervisor's
 * default window was removed from its group; -EINTR if a fatal signal is
 * pending.
 */
int tce_windows_map(struct tce_window *const *windows, u64 iova, u64 size,
		    struct tce_run *run);

/**
 * tce_windows_unmap() - unmap all pages of a range that are mapped
 * @windows: array of %IOMMU_TABLE_GROUP_MAX_TABLES: a container's windows by
 *           number, NULL where there is none; does not change during the call
 * @iova: bus address, bytes, aligned to the IOMMU page
 * @size: bytes, a multiple of the IOMMU page
 *
 * Pages that a hypervisor refuses to unmap stay mapped; this is not an error.
 *
 * Context: Process, may sleep; reschedules.
 * Return: 0; -ENXIO if no window contains @iova; -EINVAL for a misaligned or
 * empty range, or one that leaves the window.
 */
int tce_windows_unmap(struct tce_window *const *windows, u64 iova, u64 size);

#endif /* TCE_WINDOW_H */
