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
 * A page is counted before it is put into a table, and un-counted after it has
 * been taken out and the TCE killed: from then on its region may be
 * unregistered, unpinned and reused.
 */

struct mm_struct;
struct mm_iommu_table_group_mem_t;
struct tce_memory;

/* How many regions one struct tce_unuse can gather pages of. */
#define TCE_UNUSE_REGIONS	8

/**
 * struct tce_unuse - pages that are to be un-counted, gathered by region
 * @memory: where they belong
 * @regions: number of regions in @region
 * @region: the regions, and how many IOMMU pages of each
 *
 * Set @memory and zero the rest.
 */
struct tce_unuse {
	struct tce_memory *memory;
	unsigned int regions;
	struct {
		struct mm_iommu_table_group_mem_t *mem;
		unsigned long pages;
	} region[TCE_UNUSE_REGIONS];
};

/**
 * tce_memory_create() - begin with the current process's address space
 *
 * Context: Process, may sleep.
 * Return: an object with one reference and nothing registered, or
 * ERR_PTR(-ENOMEM), or ERR_PTR(-ESRCH) in a thread with no address space.
 */
struct tce_memory *tce_memory_create(void);

/**
 * tce_memory_get() - take another reference
 * @memory: the object
 *
 * Context: Any.
 * Return: @memory.
 */
struct tce_memory *tce_memory_get(struct tce_memory *memory);

/**
 * tce_memory_put() - drop a reference
 * @memory: the object
 *
 * Context: Process, may sleep.
 */
void tce_memory_put(struct tce_memory *memory);

/**
 * tce_memory_mm() - the address space
 * @memory: the object
 *
 * Return: the address space, valid as long as @memory; its users may be gone.
 */
struct mm_struct *tce_memory_mm(const struct tce_memory *memory);

/**
 * tce_memory_register() - register a region, pin its pages, charge locked_vm
 * @memory: the object
 * @ua: user-space address, kernel-page aligned
 * @size: bytes, kernel-page aligned
 *
 * Context: Process, may sleep.
 * Return: 0; -EINVAL if misaligned, empty, beyond the address space or
 * overlapping another region; -EBUSY if this container has registered it
 * already; -ENOMEM for lack of memory or of RLIMIT_MEMLOCK; -EFAULT or what
 * pin_user_pages() says if the pages are not there.
 */
int tce_memory_register(struct tce_memory *memory, u64 ua, u64 size);

/**
 * tce_memory_unregister() - give a region back
 * @memory: the object
 * @ua: as registered
 * @size: as registered
 *
 * Context: Process, may sleep.
 * Return: 0; -EINVAL if misaligned; -ENOENT if this container has not
 * registered it; -EBUSY if pages of it are mapped: it stays registered.
 */
int tce_memory_unregister(struct tce_memory *memory, u64 ua, u64 size);

/**
 * tce_memory_unregister_all() - give all regions back
 * @memory: the object; the container has nothing mapped any more
 *
 * Context: Process, may sleep.
 */
void tce_memory_unregister_all(struct tce_memory *memory);

/**
 * tce_memory_use() - count a run of pages as mapped
 * @memory: the object
 * @ua: user-space address of the first, aligned to the IOMMU page
 * @count: number of IOMMU pages
 * @page_shift: IOMMU page size, as a shift
 *
 * All or nothing.
 *
 * Context: Process, may sleep; reschedules.
 * Return: 0; -EINVAL if a page is not registered, is just being unregistered,
 * or its memory is made of pages smaller than the IOMMU page; -EINTR if a fatal
 * signal is pending.
 */
int tce_memory_use(struct tce_memory *memory, unsigned long ua,
		   unsigned long count, unsigned int page_shift);

/**
 * tce_memory_unuse() - un-count a run of pages that never got into a table
 * @memory: the object
 * @ua: user-space address of the first, as for tce_memory_use()
 * @count: number of IOMMU pages
 * @page_shift: IOMMU page size, as a shift
 *
 * Context: Process, may sleep.
 */
void tce_memory_unuse(struct tce_memory *memory, unsigned long ua,
		      unsigned long count, unsigned int page_shift);

/**
 * tce_memory_translate() - physical addresses of a run of counted pages
 * @memory: the object
 * @ua: user-space address of the first, aligned to the IOMMU page
 * @count: number of IOMMU pages
 * @page_shift: IOMMU page size, as a shift
 * @hpa: the result, room for @count
 *
 * The pages are counted (tce_memory_use()), so this cannot fail.
 *
 * Context: Process, may sleep.
 */
void tce_memory_translate(struct tce_memory *memory, unsigned long ua,
			  unsigned int count, unsigned int page_shift,
			  unsigned long *hpa);

/**
 * tce_unuse_add() - gather a page that is no longer in the table
 * @unuse: where
 * @ua: user-space address of the page
 * @page_shift: IOMMU page size, as a shift
 *
 * Context: Process, may sleep.
 * Return: true; false if it is of one region too many: flush and try again.
 */
bool tce_unuse_add(struct tce_unuse *unuse, unsigned long ua,
		   unsigned int page_shift);

/**
 * tce_unuse_flush() - un-count what was gathered
 * @unuse: what; empty afterwards
 *
 * Context: Any. The TCEs of the pages have been killed.
 */
void tce_unuse_flush(struct tce_unuse *unuse);

#endif /* TCE_MEMORY_H */
