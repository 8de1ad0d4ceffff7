/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * User memory that a container has registered for DMA.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_MEMORY_H
#define TCE_MEMORY_H

#include <linux/bits.h>
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
 * the kernel, one by one. An entry's owner says which:
 *
 * - the address of the region here: bit 63 set, as in all kernel addresses, bit 0 not;
 * - the address of the kernel's region with bit 0 set;
 * - the user-space address that KVM has counted, with TCE_OWNER_USER set and bit 63
 *   not.
 *
 * A page is counted before it is put into a table, and un-counted after it has
 * been taken out and the TCE killed: from then on its region may be
 * unregistered, unpinned and reused.
 *
 * The registrations change with the container's lock held for writing. A MAP holds
 * it for reading, so they stay as they are.
 */

struct list_head;
struct mm_struct;
struct rw_semaphore;
struct tce_entry;
struct tce_memory;
struct tce_pages;
struct tce_region;

/* In an owner: a user-space address, of which bits 62 and 63 are not set. */
#define TCE_OWNER_USER		BIT_ULL(62)

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
 * tce_memory_add() - a region that is pinned becomes one of the container's
 * @memory: the object
 * @region: the region; still the caller's on failure
 *
 * Context: Process. The container's lock is held for writing.
 * Return: 0; -EBUSY if this container has registered it already.
 */
int tce_memory_add(struct tce_memory *memory, struct tce_region *region);

/**
 * tce_memory_unregister_begin() - begin to unregister a region
 * @memory: the object
 * @ua: as registered
 * @size: as registered
 *
 * tce_memory_put() and tce_memory_unregister_end() follow. Until then it is registered, but not
 * used for new mappings.
 *
 * Context: Process. The container's lock is held for writing.
 * Return: the region; -EINVAL if misaligned; -ENOENT if this container has not
 * registered it; -EBUSY if pages of it are mapped, or if it is leaving already.
 */
struct tce_region *tce_memory_unregister_begin(struct tce_memory *memory,
					       u64 ua, u64 size);

/**
 * tce_memory_put() - give the kernel's region back
 * @memory: the object
 * @region: from tce_memory_unregister_begin()
 *
 * Context: Process of the address space, may sleep for as long as its mmap_lock is
 * held. The container's lock is not held.
 * Return: 0; -EBUSY if pages of it are mapped that others count.
 */
int tce_memory_put(struct tce_memory *memory, struct tce_region *region);

/**
 * tce_memory_unregister_end() - end what tce_memory_unregister_begin() has begun
 * @memory: the object
 * @region: from tce_memory_unregister_begin()
 * @gone: whether tce_memory_put() has succeeded; if not it is registered as before
 *
 * Context: Process. The container's lock is held for writing.
 */
void tce_memory_unregister_end(struct tce_memory *memory,
			       struct tce_region *region, bool gone);

/**
 * tce_memory_unregister_all() - no region is registered any more
 * @memory: the object; the container has nothing mapped any more
 * @regions: gets the regions, for tce_memory_put_all()
 *
 * Context: Process. The container's lock is held for writing.
 */
void tce_memory_unregister_all(struct tce_memory *memory,
			       struct list_head *regions);

/**
 * tce_memory_put_all() - give all regions back
 * @memory: the object
 * @regions: from tce_memory_unregister_all()
 *
 * A work item does it, as the address space's mmap_lock may be held, and pages may be
 * mapped by another container of the process or by KVM. This waits for it, but not for
 * long.
 *
 * Context: Process, may sleep. The container's lock is not held.
 */
void tce_memory_put_all(struct tce_memory *memory, struct list_head *regions);

/**
 * tce_memory_dirty() - set a page dirty, if the device could write there
 * @entry: what led to the page, which is still counted
 *
 * Context: Any but an interrupt handler.
 */
void tce_memory_dirty(const struct tce_entry *entry);

/**
 * tce_memory_uncount_user() - un-count a page that KVM has counted
 * @mm: the address space
 * @ua: user-space address that it was counted by
 * @page_shift: IOMMU page size, as a shift
 *
 * Context: Any but an interrupt handler.
 */
void tce_memory_uncount_user(struct mm_struct *mm, unsigned long ua,
			     unsigned int page_shift);

#endif /* TCE_MEMORY_H */
