// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trimming: unlink and free levels that are no longer in use. Contract:
 * tce_trim.h, tce_table_private.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/list_sort.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>

#include "tce_table.h"
#include "tce_table_private.h"
#include "tce_trace.h"
#include "tce_trim.h"

/*
 * Limit of the number of entries, in all levels together, that are killed
 * before one grace period. On some PHBs a kill takes a register write for each
 * entry.
 */
#define TCE_TRIM_ENTRIES	BIT(19)

void tce_trim_queue(struct tce_table *table, struct tce_level *level)
{
	bool first;

	spin_lock(&table->lock);
	first = list_empty(&table->idle);
	list_add_tail(&level->idle, &table->idle);
	WRITE_ONCE(table->idle_levels, table->idle_levels + 1);
	spin_unlock(&table->lock);
	level->queued = true;

	if (first)
		table->ops->idle(table->data);
}

/*
 * Dequeue the level that was queued first; NULL if there is none.
 * tce_trim_unlink() then unlinks it, queues it again if it is too young, or
 * clears &tce_level.queued if it is in use.
 */
static struct tce_level *tce_trim_dequeue(struct tce_table *table)
{
	struct tce_level *level;

	spin_lock(&table->lock);
	level = list_first_entry_or_null(&table->idle, struct tce_level, idle);
	if (level) {
		list_del_init(&level->idle);
		WRITE_ONCE(table->idle_levels, table->idle_levels - 1);
	}
	spin_unlock(&table->lock);

	return level;
}

/*
 * Unlink a level that was dequeued, or whose last lower level was just
 * unlinked, if it has not been in use since @before, in jiffies. Return whether
 * it was unlinked.
 */
static bool tce_trim_unlink(struct tce_table *table, struct tce_level *level,
			    unsigned long before, struct list_head *trimmed)
{
	struct tce_level *parent = tce_level_parent(table, level);
	bool unlink;

	/* The parent has a lower level, so it cannot be unlinked meanwhile. */
	spin_lock(&parent->lock);
	spin_lock_nested(&level->lock, SINGLE_DEPTH_NESTING);
	unlink = tce_level_idle(level) &&
		 time_before_eq(level->since, before);
	if (unlink) {
		level->dead = true;
		atomic_inc(&table->unlinked);
		tce_unkilled_add(table);
		WRITE_ONCE(*level->link, 0);
		WRITE_ONCE(parent->set, parent->set - 1);
	}

	spin_lock(&table->lock);
	if (unlink) {
		if (!list_empty(&level->idle))
			WRITE_ONCE(table->idle_levels, table->idle_levels - 1);
		list_move(&level->idle, trimmed);
		table->depth_levels[level->depth]--;
		table->levels_removed++;
	} else if (level->queued && tce_level_idle(level) &&
		   list_empty(&level->idle)) {
		list_add_tail(&level->idle, &table->idle);
		WRITE_ONCE(table->idle_levels, table->idle_levels + 1);
	} else if (list_empty(&level->idle)) {
		level->queued = false;
	}
	spin_unlock(&table->lock);
	spin_unlock(&level->lock);
	spin_unlock(&parent->lock);
	if (unlink)
		trace_tce_level_free(table->id, level->depth, level->index);

	return unlink;
}

static int tce_trim_cmp(void *unused, const struct list_head *a,
			const struct list_head *b)
{
	unsigned long first = list_entry(a, struct tce_level, idle)->index;
	unsigned long second = list_entry(b, struct tce_level, idle)->index;

	return first < second ? -1 : first > second;
}

/*
 * Kill the ranges of the levels: all entries of a leaf, the first one of an
 * upper level. Neighbouring ranges share a call.
 */
static void tce_trim_kill(struct tce_table *table, struct list_head *trimmed)
{
	const struct tce_geometry *geo = &table->geo;
	unsigned long first = 0, end = 0;
	struct tce_level *level;
	unsigned int levels = 0;

	list_sort(NULL, trimmed, tce_trim_cmp);
	list_for_each_entry(level, trimmed, idle) {
		bool leaf = level->depth == geo->levels - 1;
		unsigned long count = leaf ? tce_level_entries(geo) : 1;

		/* The last leaf may extend beyond the end of the window. */
		count = min(count, geo->entries - level->index);
		if (end && level->index > end) {
			table->ops->kill(table->data, first, end - first);
			end = 0;
		}
		if (!end)
			first = level->index;
		end = max(end, level->index + count);
		levels++;
	}
	table->ops->kill(table->data, first, end - first);
	tce_table_killed(table, levels);
	if (atomic_sub_and_test(levels, &table->unlinked))
		wake_up_var(&table->unlinked);
}

static void tce_trim_free(struct tce_table *table, struct list_head *trimmed)
{
	struct tce_level *level, *next;

	if (list_empty(trimmed))
		return;

	tce_trim_kill(table, trimmed);
	synchronize_rcu();

	list_for_each_entry_safe(level, next, trimmed, idle) {
		list_del_init(&level->idle);
		level->queued = false;
		tce_level_destroy(table, level);
		cond_resched();
	}
}

/*
 * Unlink and free levels, up to @count of those in the queue. The caller holds
 * the trim lock.
 */
static void tce_trim_batch(struct tce_table *table, unsigned long before,
			   unsigned int count)
{
	struct tce_level *level;
	LIST_HEAD(trimmed);

	while (count-- && (level = tce_trim_dequeue(table))) {
		unsigned long latest = before;

		while (level->link &&
		       tce_trim_unlink(table, level, latest, &trimmed)) {
			level = tce_level_parent(table, level);
			/* An upper level goes with its last lower level. */
			latest = jiffies;
		}
		cond_resched();
	}
	tce_trim_free(table, &trimmed);
}

/* Return 0, or 1 or -EAGAIN if a trim must end early. */
static int tce_trim_ends(struct rw_semaphore *held)
{
	if (fatal_signal_pending(current))
		return 1;

	return held && rwsem_is_contended(held) ? -EAGAIN : 0;
}

int tce_trim(struct tce_table *table, unsigned long age,
	     struct rw_semaphore *held)
{
	unsigned int most = max(TCE_TRIM_ENTRIES >> table->geo.level_shift,
				1UL);
	unsigned int n = 0, queued = 0, count;
	unsigned long before = 0;
	int ends = 0;

	do {
		/*
		 * Serialise against other trims: an upper level must not be
		 * freed while a level below it is being unlinked. Each batch
		 * takes the lock anew, as a MAP_DMA may wait for it. Take it
		 * even if no level is queued: another trim may be about to free
		 * those that it has taken from the queue.
		 */
		if (!mutex_trylock(&table->trim_lock)) {
			if (mutex_lock_killable(&table->trim_lock))
				return 1;
			/*
			 * Of many that have waited here, each would free a
			 * batch before others get @held.
			 */
			ends = tce_trim_ends(held);
		}
		if (READ_ONCE(table->stop_trim))
			ends = 1;
		if (!ends) {
			if (!n) {
				queued = READ_ONCE(table->idle_levels);
				/* No level may go before an older one. */
				before = jiffies - age;
			}
			count = min(most, queued - n);
			tce_trim_batch(table, before, count);
			n += count;
			ends = n < queued ? tce_trim_ends(held) : 0;
		}
		mutex_unlock(&table->trim_lock);
	} while (!ends && n < queued);

	return ends < 0 ? ends : !!READ_ONCE(table->idle_levels);
}

void tce_trim_stop(struct tce_table *table, bool stop)
{
	WRITE_ONCE(table->stop_trim, stop);
}

void tce_trim_wait(struct tce_table *table)
{
	wait_var_event(&table->unlinked, !atomic_read(&table->unlinked));
}
