/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that are pinned one by one when they are mapped: version 1 of the
 * interface.
 */
#ifndef TCE_PINNED_H
#define TCE_PINNED_H

/**
 * DOC: Pinned pages
 *
 * Each entry of the table holds one pin of its page (FOLL_LONGTERM, since only
 * user space knows for how long). The pages are not charged one by one: the
 * container charges the whole window when it is enabled.
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

#endif /* TCE_PINNED_H */
