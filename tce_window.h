/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A DMA window on a host that owns its tables (PowerNV).
 */
#ifndef TCE_WINDOW_H
#define TCE_WINDOW_H

#include <linux/dma-direction.h>
#include <linux/types.h>

/**
 * DOC: DMA window
 *
 * A window is a struct iommu_table whose levels and it_ops are this module's.
 * The platform programs it into a group (iommu_table_group_ops::set_window, on
 * PowerNV an OPAL call that takes the first level's address), says where on the
 * bus it begins, and kills TCEs; KVM finds it in iommu_table_group::tables[]
 * and uses it_ops, with no lock of ours.
 *
 * The creator serialises tce_window_attach(), _detach() and _put() against each
 * other and against _map() and _unmap(), which may run in parallel.
 *
 * The window lives until the last reference of its iommu_table is gone; it pins
 * the module and its struct tce_memory until then.
 */

struct iommu_table_group;
struct tce_memory;
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
 * tce_window_locked_pages() - what a window is charged to locked_vm
 * @page_shift: IOMMU page size, as a shift
 * @size: bytes
 * @levels: number of levels of the table
 *
 * A whole table and its user-space view are charged, however little of it will
 * ever be allocated.
 *
 * Context: Any.
 * Return: kernel pages; 0 if there can be no such window.
 */
unsigned long tce_window_locked_pages(unsigned int page_shift, u64 size,
				      unsigned int levels);

/**
 * tce_window_create() - make a window that is programmed nowhere yet
 * @table_group: a group that it is for
 * @num: number of the window in its groups, 0 or 1
 * @page_shift: IOMMU page size, as a shift
 * @size: bytes, a power of two
 * @levels: number of levels of the table
 * @memory: registered memory that it will map
 *
 * Context: Process, may sleep.
 * Return: the window; ERR_PTR(-EINVAL) if the size is no power of two, the
 * group does not have such pages or tce_geometry_init() says so; -EPERM if the
 * group's windows cannot be changed; -ENOMEM.
 */
struct tce_window *tce_window_create(struct iommu_table_group *table_group,
				     int num, unsigned int page_shift, u64 size,
				     unsigned int levels,
				     struct tce_memory *memory);

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
 * What is mapped stays mapped for the other groups.
 *
 * Context: Process, may sleep.
 */
void tce_window_detach(struct tce_window *window,
		       struct iommu_table_group *table_group);

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
 * @direction: what the device may do; not DMA_NONE
 *
 * All or nothing. What was mapped there is replaced.
 *
 * Context: Process, may sleep; reschedules.
 * Return: 0; -EINVAL for a misaligned or empty range, one that does not lie in
 * the window or wraps, or memory that tce_memory_use() refuses; -ENOMEM; -EINTR
 * if a fatal signal is pending.
 */
int tce_window_map(struct tce_window *window, u64 iova, u64 ua, u64 size,
		   enum dma_data_direction direction);

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
