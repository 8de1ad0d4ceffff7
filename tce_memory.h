/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * User memory that a container has registered for DMA: version 2 of the
 * interface.
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
 * The kernel has one list of registered regions for each address space
 * (arch/powerpc/mm/book3s64/iommu_api.c). VFIO containers register regions; KVM
 * only looks them up. The kernel pins the pages when a region is registered,
 * stores their physical addresses, and has a mapped count for each region; a
 * region is not freed while its mapped count is not 0. This file has the
 * container's part: which regions the container has registered, and how runs of
 * pages are counted and translated.
 *
 * Pages of the container's own regions are counted here, a run at a time. Pages
 * of regions that only another container has registered, and pages that KVM
 * maps, are counted by the kernel, one by one. The owner of an entry is one of:
 *
 * - the address of the container's region: bit 63 set, as in all kernel
 *   addresses, bit 0 not;
 * - the address of the kernel's region with bit 0 set;
 * - the user-space address by which KVM has counted the page, with
 *   TCE_OWNER_USER set and bit 63 not.
 *
 * A page is counted before its entry is set, and uncounted after its entry was
 * cleared and the TCE killed: from then on its region may be unregistered,
 * unpinned and reused.
 *
 * Registrations change with the container's lock held for writing. A MAP holds
 * it for reading.
 */

struct list_head;
struct mm_struct;
struct rw_semaphore;
struct tce_entry;
struct tce_memory;
struct tce_pages;
struct tce_region;

/*
 * Set in an owner that is a user-space address. The address itself has neither
 * bit 62 nor bit 63 set.
 */
#define TCE_OWNER_USER		BIT_ULL(62)

/**
 * tce_memory_create() - create the object for the current process's address
 * space
 * @lock: the container's lock
 *
 * Context: Process, may sleep.
 * Return: an object without registered memory, whose tce_memory_pages() has one
 * reference; ERR_PTR(-ENOMEM), or ERR_PTR(-ESRCH) in a thread without an
 * address space.
 */
struct tce_memory *tce_memory_create(struct rw_semaphore *lock);

/**
 * tce_memory_pages() - the interface to windows
 * @memory: the object
 *
 * &tce_pages_ops.use succeeds for pages that are registered, by this or another
 * container of the same address space. It returns -EINVAL if an IOMMU page is
 * not registered, or does not lie in one folio.
 *
 * Context: Any.
 * Return: the interface, whose reference count is that of the object.
 */
struct tce_pages *tce_memory_pages(struct tce_memory *memory);

/**
 * tce_memory_pin() - pin the pages of a region and charge locked_vm
 * @memory: the object
 * @ua: user-space address, kernel-page aligned
 * @size: bytes, kernel-page aligned
 *
 * tce_memory_add() or tce_memory_unpin() must follow.
 *
 * Context: Process of the address space, may sleep without a limit. The caller
 * holds no lock that another process may need.
 * Return: the region, or ERR_PTR() of -EINVAL if the range is misaligned,
 * empty, wraps, or overlaps another region; of -ENOMEM if there is no memory,
 * if RLIMIT_MEMLOCK would be exceeded, or for more pages than the machine has;
 * of -EFAULT or an errno of pin_user_pages() if the pages cannot be pinned.
 */
struct tce_region *tce_memory_pin(struct tce_memory *memory, u64 ua, u64 size);

/**
 * tce_memory_unpin() - undo tce_memory_pin()
 * @memory: the object
 * @region: from tce_memory_pin(), not added
 *
 * Context: Process of the address space, may sleep for as long as its mmap_lock
 * is held. The caller holds no lock that another process may need.
 */
void tce_memory_unpin(struct tce_memory *memory, struct tce_region *region);

/**
 * tce_memory_add() - register a region that is pinned
 * @memory: the object
 * @region: the region; still belongs to the caller on failure
 *
 * Context: Process. The container's lock is held for writing.
 * Return: 0; -EBUSY if this container has registered it already.
 */
int tce_memory_add(struct tce_memory *memory, struct tce_region *region);

/**
 * tce_memory_unregister_begin() - begin to unregister a region
 * @memory: the object
 * @ua: user-space address, as registered
 * @size: bytes, as registered
 *
 * tce_memory_put() and tce_memory_unregister_end() must follow. Until then the
 * region stays registered, but new mappings count its pages as if another
 * container had registered it.
 *
 * Context: Process. The container's lock is held for writing.
 * Return: the region, or ERR_PTR() of -EINVAL if the range is misaligned; of
 * -ENOENT if this container has not registered it; of -EBUSY if the container
 * has mapped pages of it, or if it is already being unregistered.
 */
struct tce_region *tce_memory_unregister_begin(struct tce_memory *memory,
					       u64 ua, u64 size);

/**
 * tce_memory_put() - put the kernel's region
 * @memory: the object
 * @region: from tce_memory_unregister_begin()
 *
 * Context: Process of the address space, may sleep for as long as its mmap_lock
 * is held. The container's lock is not held.
 * Return: 0; -EBUSY if pages of it are mapped that the kernel has counted, and
 * no other container of the process has registered it.
 */
int tce_memory_put(struct tce_memory *memory, struct tce_region *region);

/**
 * tce_memory_unregister_end() - finish unregistering a region
 * @memory: the object
 * @region: from tce_memory_unregister_begin()
 * @gone: tce_memory_put() has succeeded; if not, the region stays registered,
 *        unless tce_memory_unregister_all() was called meanwhile: then a work
 *        item puts the region
 *
 * Context: Process. The container's lock is held for writing.
 */
void tce_memory_unregister_end(struct tce_memory *memory,
			       struct tce_region *region, bool gone);

/**
 * tce_memory_unregister_all() - unregister all regions
 * @memory: the object; the container has no mappings any more
 * @regions: list to which regions are moved, for tce_memory_put_all()
 *
 * A region that is being unregistered is left to tce_memory_unregister_end(),
 * and one with pages that are still counted here to the last uncount. That is
 * one of whose entries a hypervisor has refused to clear: it stays pinned.
 *
 * Context: Process. The container's lock is held for writing.
 */
void tce_memory_unregister_all(struct tce_memory *memory,
			       struct list_head *regions);

/**
 * tce_memory_put_all() - put the kernel's regions
 * @memory: the object
 * @regions: from tce_memory_unregister_all()
 *
 * A work item puts them, as the address space's mmap_lock may be held, and
 * pages may still be mapped by another container of the process or by KVM.
 * Waits for the work item for a tenth of a second at most.
 *
 * Context: Process, may sleep. The container's lock is not held.
 */
void tce_memory_put_all(struct tce_memory *memory, struct list_head *regions);

/**
 * tce_memory_put_orphans() - put regions that the work item has not put yet
 * @mm: address space of the current process
 * @first: first byte of a range of user-space addresses
 * @last: last byte of the range; regions outside of it stay
 *
 * Regions that are no longer registered, mostly of closed containers. The work
 * item leaves them as they are while the mmap_lock is held. Those that are
 * mapped stay. Ends early if a fatal signal is pending.
 *
 * Context: Process, may sleep: waits for the mmap_lock, and for other threads
 * of the process that do the same. No lock is held.
 */
void tce_memory_put_orphans(struct mm_struct *mm, unsigned long first,
			    unsigned long last);

/**
 * tce_memory_dirty() - set a page dirty if its entry had write permission
 * @entry: the entry that translated to the page, which is still counted
 *
 * Context: Any but an interrupt handler.
 */
void tce_memory_dirty(const struct tce_entry *entry);

/**
 * tce_memory_uncount_user() - uncount a page that KVM has counted
 * @mm: the address space
 * @ua: user-space address that it was counted by
 * @page_shift: IOMMU page size, as a shift
 *
 * Context: Any but an interrupt handler.
 */
void tce_memory_uncount_user(struct mm_struct *mm, unsigned long ua,
			     unsigned int page_shift);

/**
 * tce_memory_uncount() - uncount pages whose entries were cleared and killed
 * @pages: registered memory
 * @owner: owner of the entries
 * @count: number of IOMMU pages
 * @page_shift: IOMMU page size, as a shift
 *
 * Context: Any but an interrupt handler.
 */
void tce_memory_uncount(struct tce_pages *pages, u64 owner, unsigned long count,
			unsigned int page_shift);

#endif /* TCE_MEMORY_H */
