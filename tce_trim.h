/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trimming of a table: levels that are not in use are freed after some time.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_TRIM_H
#define TCE_TRIM_H

#include <linux/jiffies.h>
#include <linux/types.h>

struct rw_semaphore;
struct tce_table;

/*
 * How long levels that are not in use stay, so that memory which is mapped and
 * unmapped in turn does not cost an allocation each time.
 */
#define TCE_TRIM_AGE	HZ

/**
 * tce_trim() - unlink unused levels and free them
 * @table: the table
 * @age: minimum time for which a level has not been used, in jiffies
 * @held: a lock that the caller holds, or NULL
 *
 * In this order: levels are unlinked, &tce_table_ops.kill is called for the
 * ranges of entries that they translated, an RCU grace period passes, the
 * levels are freed. An upper level is unlinked together with its last lower
 * level.
 *
 * The kill makes the hardware drop the cached addresses of levels that are
 * about to be freed; the entries of a level were invalidated when they were
 * cleared. For a leaf its whole range is killed, and neighbouring leaves share
 * one call. The range of an upper level may have millions of entries,
 * each of which takes a register write on some PHBs, so only its first entry
 * is killed. This assumes that a kill which drops the cached address of a
 * leaf also drops those of the levels above it (see tce_kill.h).
 *
 * Ends early if a fatal signal is pending, after tce_trim_stop(), or if others
 * wait for @held. It looks after each batch of 4 MiB, and before one if it had
 * to wait for another trim; after tce_trim_stop() it frees nothing more.
 *
 * Context: Process, may sleep; reschedules.
 * Return: 0, or 1 if levels remain queued, for example because they were used
 * less than @age ago, or if a fatal signal ended the wait for another trim;
 * -EAGAIN if it ended early because others wait for @held.
 */
int tce_trim(struct tce_table *table, unsigned long age,
	     struct rw_semaphore *held);

/**
 * tce_trim_stop() - have tce_trim() end early
 * @table: the table
 * @stop: whether it is to end early from now on: it waits for one more grace
 *        period at most, instead of one for each 4 MiB of queued levels
 *
 * Context: Any.
 */
void tce_trim_stop(struct tce_table *table, bool stop);

/**
 * tce_trim_wait() - wait until the levels that were unlinked are killed
 * @table: the table
 *
 * Does not wait until they are freed. tce_trim() unlinks and kills 4 MiB of
 * queued levels at a time, with the upper levels that go with them.
 *
 * Context: Process, may sleep.
 */
void tce_trim_wait(struct tce_table *table);

#endif /* TCE_TRIM_H */
