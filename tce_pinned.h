/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that are pinned one by one when they are mapped: version 1 of the
 * interface.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_PINNED_H
#define TCE_PINNED_H

/**
 * DOC: Pinned pages
 *
 * Pages are pinned for as long as an entry leads to them (FOLL_LONGTERM, since only
 * user space knows for how long). VFIO_IOMMU_ENABLE charges locked_vm with the size of
 * the window. Where an IOMMU page is smaller than a kernel page, entries can pin more
 * than that: kernel pages are counted there, and what goes beyond the charge of
 * ENABLE is charged before it is pinned.
 */

struct tce_pages;

/**
 * tce_pinned_create() - pages of the current process's address space
 *
 * Context: Process, may sleep.
 * Return: the pages, with one reference; ERR_PTR(-ENOMEM), or ERR_PTR(-ESRCH) in
 * a thread with no address space.
 */
struct tce_pages *tce_pinned_create(void);

/**
 * tce_pinned_enable() - say what may be pinned
 * @pages: the pages
 * @allowed: kernel pages, which are charged; MAP charges only what is pinned beyond them
 *
 * Context: Process. Nothing is mapped; serialised by the caller with all but KVM.
 */
void tce_pinned_enable(struct tce_pages *pages, unsigned long allowed);

/**
 * tce_pinned_disable() - take tce_pinned_enable() back
 * @pages: the pages; nothing is mapped any more
 *
 * Context: Process. Serialised by the caller like tce_pinned_enable().
 * Return: kernel pages that are not allowed any more, for the caller to uncharge.
 */
unsigned long tce_pinned_disable(struct tce_pages *pages);

#endif /* TCE_PINNED_H */
