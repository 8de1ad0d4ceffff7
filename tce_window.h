/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A DMA window: a table that is programmed into groups, and pages mapped in it.
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
 * The window lives until the last reference of its iommu_table is gone; or until its
 * address space is, in which alone KVM can use it, if its creator has let go by then. The
 * iommu_table pins the module.
 */

struct iommu_table_group;
struct tce_pages;
struct tce_window;

/**
 * tce_window_init() - make the room
 *
 * Context: Module init.
 * Return: 0 or -ENOMEM.
 */
int tce_window_init(void);

/**
 * tce_window_exit() - wait for windows that are being freed and leave the room
 *
 * Context: Module exit.
 */
void tce_window_exit(void);

/**
 * struct tce_window_request - the window that somebody wants
 * @page_shift: IOMMU page size, as a shift
 * @size: bytes, a power of two
 * @levels: number of levels of the table
 * @pages: where the pages come from that it will map
 * @charge: levels are charged to locked_vm of @pages' address space while they are
 *          there
 * @pinned: they are pinned one by one, so KVM cannot map them
 */
struct tce_window_request {
	unsigned int page_shift;
	u64 size;
	unsigned int levels;
	struct tce_pages *pages;
	bool charge;
	bool pinned;
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
 * Return: the window; ERR_PTR() of what tce_platform_create() says or -ENOMEM.
 */
struct tce_window *tce_window_create(struct iommu_table_group *table_group,
				     int num,
				     const struct tce_window_request *request);

/**
 * tce_window_put() - unmap everything and let go of a window
 * @window: the window; detached from all groups
 *
 * Context: Process, may sleep.
 */
void tce_window_put(struct tce_window *window);

/**
 * tce_window_flush() - wait until windows that nobody refers to are freed
 *
 * Context: Process, may sleep.
 */
void tce_window_flush(void);

/**
 * tce_window_attach() - program a window into a group
 * @window: the window
 * @table_group: the group
 *
 * Context: Process, may sleep.
 * Return: 0; -EPERM if the group does not have such pages; -ENOMEM; -EIO if the
 * firmware refuses. The group is as it was on failure.
 */
int tce_window_attach(struct tce_window *window,
		      struct iommu_table_group *table_group);

/**
 * tce_window_detach() - take a window out of a group
 * @window: the window
 * @table_group: the group
 *
 * What is mapped stays mapped for the other groups. On pSeries, where a window
 * belongs to one group, it is unmapped.
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
 * tce_window_settle() - let go of what KVM has unmapped and not yet killed
 * @window: the window
 *
 * Context: Process.
 */
void tce_window_settle(struct tce_window *window);

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
 * tce_window_map() - map a run of registered memory
 * @window: the window
 * @iova: bus address, bytes, aligned to the IOMMU page
 * @ua: user-space address, aligned to the IOMMU page
 * @size: bytes, a multiple of the IOMMU page
 * @perm: what the device may do: TCE_PCI_READ, TCE_PCI_WRITE or both
 *
 * All or nothing; what was mapped there is replaced. Only a hypervisor can refuse
 * a page after others have been mapped: then nothing is mapped there any more, up
 * to that page.
 *
 * Context: Process, may sleep; reschedules.
 * Return: 0; -EINVAL for a misaligned or empty range, or one that does not lie in
 * the window or wraps; what &tce_pages_ops.use says; -ENOMEM; -EIO if a hypervisor
 * refuses a page; -EINTR if a fatal signal is pending.
 */
int tce_window_map(struct tce_window *window, u64 iova, u64 ua, u64 size,
		   u64 perm);

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
