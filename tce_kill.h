/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCE kill, which invalidates what the hardware has cached of a window, and the
 * release of pages, which must not happen before it. For tce_window.c and
 * tce_kvm.c.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_KILL_H
#define TCE_KILL_H

#include <linux/types.h>

#include "tce_pages.h"

/**
 * DOC: TCE kill
 *
 * A page is released only after its entry was cleared and its TCE killed, in
 * this order: until then the device may access it. Entries that were cleared
 * and not yet killed are in a struct tce_gather on the stack of an ioctl or, if
 * KVM has cleared them, in the record of the task (tce_kvm.c). An ioctl kills
 * them before it sleeps.
 *
 * An ioctl or a hypercall that unmaps an entry may find it empty because
 * another one has just cleared it, and must not return before the TCE was
 * killed. It then kills the entry itself; it does not wait for the other one,
 * which may have been preempted. Only a call that clears a range and has found
 * a leaf missing waits, for a trim that has unlinked it (tce_trim_wait()).
 *
 * A level is freed only after a kill for its range (tce_trim()). This
 * relies on the kill of a page to make the PHB also drop the cached addresses
 * of the levels that translate the page. On POWER9 and later it does with
 * skiboot of 2021 or newer, which turns each kill into one of the whole PE
 * (hw/phb4.c, HW560152). For older skiboot and for PHB3 this is not documented,
 * so the whole range of a leaf is killed.
 */

struct tce_batch;
struct tce_window;

/**
 * struct tce_gather - entries that were cleared and not yet killed
 * @window: the window
 * @unkilled: number of table operations that have cleared or replaced them
 * @first: first index to kill
 * @end: one past the last index to kill; 0 if there is none
 * @max_retired: number of elements that @retired may be given room for
 * @retired: the pages of the entries
 */
struct tce_gather {
	struct tce_window *window;
	unsigned int unkilled;
	unsigned long first;
	unsigned long end;
	unsigned int max_retired;
	struct tce_retired retired;
};

/**
 * tce_kill() - kill the TCEs of a range
 * @window: the window
 * @index: the first entry
 * @count: number of entries
 *
 * Context: Any but an interrupt handler.
 */
void tce_kill(struct tce_window *window, unsigned long index,
	      unsigned long count);

/**
 * tce_gather_init() - initialise an empty gather
 * @gather: the object
 * @window: the window
 * @count: maximum number of entries that will be gathered
 *
 * Context: Process.
 */
void tce_gather_init(struct tce_gather *gather, struct tce_window *window,
		     unsigned long count);

/**
 * tce_gather_end() - flush, and free what tce_gather_batch() has allocated
 * @gather: the object
 *
 * Context: Process, may sleep.
 */
void tce_gather_end(struct tce_gather *gather);

/**
 * tce_gather_max_extents() - maximum number of extents to clear for one
 * tce_gather_batch()
 * @gather: the object
 *
 * Context: Any.
 * Return: TCE_BATCH, or 1 if killing the gaps between cleared extents would
 * cost register writes (PHB3).
 */
unsigned int tce_gather_max_extents(const struct tce_gather *gather);

/**
 * tce_gather_batch() - add a range of entries to kill, and pages to release
 * @gather: the object
 * @first: the first entry
 * @end: one past the last entry
 * @old: the entries that were cleared or replaced there
 *
 * Flushes first if the range cannot share a kill with what is gathered, and
 * whenever there is no room for the pages. For pages that are pinned when they
 * are mapped, tries once to allocate more room instead.
 *
 * Context: Process, may sleep.
 */
void tce_gather_batch(struct tce_gather *gather, unsigned long first,
		      unsigned long end, struct tce_batch *old);

/**
 * tce_gather_flush() - kill the entries and release their pages
 * @gather: the object, which is empty afterwards
 *
 * Context: Process, may sleep.
 */
void tce_gather_flush(struct tce_gather *gather);

/**
 * tce_gather_resched() - flush and reschedule if need_resched()
 * @gather: the object
 *
 * Context: Process, may sleep.
 */
void tce_gather_resched(struct tce_gather *gather);

/**
 * tce_kill_resched() - tce_kill() that reschedules, for &tce_table_ops.kill
 * @data: the window
 * @index: the first entry
 * @count: number of entries
 *
 * Context: Process, may sleep.
 */
void tce_kill_resched(void *data, unsigned long index, unsigned long count);

#endif /* TCE_KILL_H */
