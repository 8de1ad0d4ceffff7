/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Invalidating what hardware has cached of a window (TCE kill), and giving back what
 * must not be given back before. For tce_window.c and tce_kvm.c.
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
 * A page is given back only after its entry was taken out and its TCE killed, in this
 * order: until then the device may reach it. What was taken out and not yet killed is
 * in a struct tce_gather on the stack of an ioctl, or, if KVM has taken it out, in the
 * record of the task (tce_kvm.c); it is never carried over a sleep.
 *
 * A level is freed only after the TCEs of the range that it covered were killed
 * (tce_table_trim()). This rests on a kill of a page making the PHB forget the upper
 * levels that it has cached on the way to that page. skiboot does so on POWER9 and
 * later, where each kill is one of the whole PE (hw/phb4.c, HW560152); for PHB3 no
 * source says it, which is why the whole range of a leaf is killed.
 */

struct tce_batch;
struct tce_entry;
struct tce_window;

/**
 * struct tce_gather - entries that were taken out and wait for the kill
 * @window: where
 * @first: first index to kill
 * @end: one past the last index to kill; 0 for none
 * @retired: their pages
 */
struct tce_gather {
	struct tce_window *window;
	unsigned long first;
	unsigned long end;
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
 * tce_kill_release() - give back the page of an entry that was taken out and killed
 * @window: the window
 * @entry: what the entry was; &tce_entry.tce is 0 if its page was set dirty already
 *
 * Context: As for the flush of the window's pages.
 */
void tce_kill_release(struct tce_window *window, const struct tce_entry *entry);

/**
 * tce_gather_init() - gather nothing yet
 * @gather: the object
 * @window: the window
 * @count: entries that may be gathered
 *
 * Pages that were pinned one by one get room for all of them, if there is memory.
 *
 * Context: Process, may sleep.
 */
void tce_gather_init(struct tce_gather *gather, struct tce_window *window,
		     unsigned long count);

/**
 * tce_gather_end() - kill, and give back, what was gathered, and gather no more
 * @gather: the object
 *
 * Context: Process, may sleep.
 */
void tce_gather_end(struct tce_gather *gather);

/**
 * tce_gather_max_extents() - how many extents may be gathered at once
 * @gather: the object
 *
 * Context: Any.
 * Return: TCE_BATCH; 1 where holes between them must not be killed.
 */
unsigned int tce_gather_max_extents(const struct tce_gather *gather);

/**
 * tce_gather_batch() - remember to kill a range, and to give back what was there
 * @gather: the object
 * @first: the first entry
 * @end: one past the last entry
 * @old: what was taken out there
 *
 * Context: Process, may sleep.
 */
void tce_gather_batch(struct tce_gather *gather, unsigned long first,
		      unsigned long end, struct tce_batch *old);

/**
 * tce_gather_flush() - kill, and give back, what was gathered
 * @gather: the object, which is empty afterwards
 *
 * Context: Process, may sleep.
 */
void tce_gather_flush(struct tce_gather *gather);

/**
 * tce_gather_resched() - cond_resched(), with nothing unkilled
 * @gather: the object
 *
 * Context: Process, may sleep.
 */
void tce_gather_resched(struct tce_gather *gather);

/**
 * tce_kill_resched() - &tce_table_ops.kill
 * @data: the window
 * @index: the first entry
 * @count: number of entries
 *
 * Context: Process, may sleep.
 */
void tce_kill_resched(void *data, unsigned long index, unsigned long count);

#endif /* TCE_KILL_H */
