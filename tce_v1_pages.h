/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Version 1 of the interface: pages are pinned when they are mapped.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_V1_PAGES_H
#define TCE_V1_PAGES_H

/**
 * DOC: Pinned pages
 *
 * A page is pinned while an entry translates to it. User space decides for how
 * long, so the pin is FOLL_LONGTERM. VFIO_IOMMU_ENABLE charges the size of the
 * window to locked_vm. More than that can be pinned: an entry for an IOMMU page
 * that is smaller than a kernel page pins a whole one, and a MAP pins its pages
 * before it unpins those that it replaces. So pins are counted, and those
 * beyond the charge of ENABLE are charged before the pages are pinned. All pins
 * of a MAP are counted before it begins to pin, as user space can make it wait
 * for a page without a limit. They stay charged until they are unpinned, even
 * if VFIO_IOMMU_DISABLE or the release of the container ends the charge of
 * ENABLE meanwhile.
 */

struct tce_pages;

/**
 * tce_v1_create() - create the object for the current process's address
 * space
 *
 * Context: Process, may sleep.
 * Return: the object, with one reference; ERR_PTR(-ENOMEM), or ERR_PTR(-ESRCH)
 * in a thread without an address space.
 */
struct tce_pages *tce_v1_create(void);

/**
 * tce_v1_enable() - set the number of pages that were charged by ENABLE
 * @pages: the object
 * @allowed: kernel pages that the caller has charged; MAP charges only pages
 *           beyond these
 *
 * Context: Process, may sleep. The container's lock is held for writing.
 */
void tce_v1_enable(struct tce_pages *pages, unsigned long allowed);

/**
 * tce_v1_disable() - undo tce_v1_enable()
 * @pages: the object; nothing is mapped but what a hypervisor refused to unmap
 *
 * Pages that are still pinned, or that a MAP is pinning, stay charged.
 *
 * Context: As for tce_v1_enable().
 * Return: number of kernel pages that the caller must uncharge.
 */
unsigned long tce_v1_disable(struct tce_pages *pages);

#endif /* TCE_V1_PAGES_H */
