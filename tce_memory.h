/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * User memory that a container has registered for DMA.
 */
#ifndef TCE_MEMORY_H
#define TCE_MEMORY_H

#include <linux/types.h>

/**
 * DOC: Registered memory
 *
 * The kernel keeps the registered regions of an address space in one list that
 * VFIO containers and KVM share (arch/powerpc/mm/book3s64/iommu_api.c). It pins
 * the pages when a region is registered, knows their physical addresses, and
 * counts the IOMMU pages that are mapped of each region; a region that is still
 * mapped cannot go. This is the container's end of it: which regions it has
 * registered, and counting and translating runs of pages.
 *
 * Pages of the container's own regions are counted here, a run at a time; those
 * of regions that others have registered, and those that KVM maps, are counted by
 * the kernel, one by one. An entry's owner says which: the region here, the
 * kernel's region with bit 0 set, or the user-space address that KVM wrote. The
 * first two are kernel addresses, so bit 63 tells them from the third.
 *
 * A page is counted before it is put into a table, and un-counted after it has
 * been taken out and the TCE killed: from then on its region may be
 * unregistered, unpinned and reused.
 *
 * The registrations change with the container's lock held for writing. A MAP holds
 * it for reading, so they stay as they are.
 */

struct rw_semaphore;
struct tce_memory;
struct tce_pages;
struct tce_region;

/**
 * tce_memory_create() - begin with the current process's address space
 * @lock: the container's lock
 *
 * Context: Process, may sleep.
 * Return: an object with one reference, that of its tce_memory_pages(), and
 * nothing registered; ERR_PTR(-ENOMEM), or ERR_PTR(-ESRCH) in a thread with no
 * address space.
 */
struct tce_memory *tce_memory_create(struct rw_semaphore *lock);

/**
 * tce_memory_pages() - the registered memory as pages to map
 * @memory: the object
 *
 * A page can be used (&tce_pages_ops.use) if it is registered, by this container
 * or by somebody else for the same address space; -EINVAL if not, if it is just
 * being unregistered, or if its memory is made of pages smaller than the IOMMU
 * page.
 *
 * Return: the pages; they have the object's references.
 */
struct tce_pages *tce_memory_pages(struct tce_memory *memory);

/**
 * tce_memory_pin() - pin a region's pages, charge locked_vm
 * @memory: the object
 * @ua: user-space address, kernel-page aligned
 * @size: bytes, kernel-page aligned
 *
 * tce_memory_add() or tce_memory_unpin() follows.
 *
 * Context: Process, may sleep; takes its time, and needs no lock.
 * Return: the region; -EINVAL if misaligned, empty, beyond the address space or
 * overlapping another region; -ENOMEM for lack of memory or of RLIMIT_MEMLOCK, or
 * for more pages than the machine has; -EFAULT or what pin_user_pages() says if the
 * pages are not there.
 */
struct tce_region *tce_memory_pin(struct tce_memory *memory, u64 ua, u64 size);

/**
 * tce_memory_unpin() - take tce_memory_pin() back
 * @memory: the object
 * @region: from tce_memory_pin(), not registered
 *
 * Context: Process, may sleep.
 */
void tce_memory_unpin(struct tce_memory *memory, struct tce_region *region);

/**
 * tce_memory_add() - register a region
 * @memory: the object
 * @region: from tce_memory_pin(); gone if this fails
 *
 * Context: Process, may sleep. The container's lock is held for writing.
 * Return: 0; -EBUSY if this container has registered it already.
 */
int tce_memory_add(struct tce_memory *memory, struct tce_region *region);

/**
 * tce_memory_unregister() - give a region back
 * @memory: the object
 * @ua: as registered
 * @size: as registered
 *
 * Context: Process, may sleep. The container's lock is held for writing.
 * Return: 0; -EINVAL if misaligned; -ENOENT if this container has not
 * registered it; -EBUSY if pages of it are mapped: it stays registered.
 */
int tce_memory_unregister(struct tce_memory *memory, u64 ua, u64 size);

/**
 * tce_memory_unregister_all() - give all regions back
 * @memory: the object; the container has nothing mapped any more
 *
 * Regions of which somebody else has pages mapped, another container of the
 * process or KVM, are given back when those go.
 *
 * Context: Process, may sleep. The container's lock is held for writing.
 */
void tce_memory_unregister_all(struct tce_memory *memory);

#endif /* TCE_MEMORY_H */
