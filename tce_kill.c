// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCE kill, and giving pages and levels back after it. Contract: tce_kill.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include <asm/iommu.h>

#include "tce_kill.h"
#include "tce_table.h"
#include "tce_window_private.h"
#include "tce_work.h"

/* A hole this large, in entries, is not worth killing TCEs across. */
#define TCE_KILL_GAP		512

/*
 * Entries that are killed in one go. PHB3 is told of each page (a register write), and
 * an RCU section must not take longer the larger a mapping is.
 */
#define TCE_KILL_MAX		4096UL

/*
 * Empty levels that stay when something is unmapped, and for how long: what is
 * mapped and unmapped at the edge of a level must not cost a level each time.
 */
#define TCE_TRIM_IDLE		8
#define TCE_TRIM_TIME		HZ

static void tce_kill_release(struct tce_window *window,
			     const struct tce_deferred *deferred,
			     unsigned int count)
{
	const struct tce_pages_ops *ops = window->pages->ops;
	struct tce_retired retired = {
		.pages = window->pages,
		.page_shift = tce_window_page_shift(window),
	};
	struct tce_entry entry = {};

	while (count--) {
		entry.owner = deferred[count].owner;
		if (!ops->retire(&retired, &entry, 1)) {
			ops->flush(&retired);
			ops->retire(&retired, &entry, 1);
		}
	}
	ops->flush(&retired);
}

/* Takes what was deferred of a range, at most TCE_WINDOW_DEFERRED entries. */
static unsigned int tce_kill_undefer(struct tce_window *window,
				     unsigned long index, unsigned long count,
				     struct tce_deferred *taken)
{
	unsigned int i, kept = 0, n = 0;

	spin_lock(&window->deferred_lock);
	for (i = 0; i < window->deferred_count; i++) {
		if (window->deferred[i].index - index < count)
			taken[n++] = window->deferred[i];
		else
			window->deferred[kept++] = window->deferred[i];
	}
	WRITE_ONCE(window->deferred_count, kept);
	spin_unlock(&window->deferred_lock);

	return n;
}

/* The TCE kill itself. */
static void tce_kill_range(struct tce_window *window, unsigned long index,
			   unsigned long count)
{
	struct iommu_table *tbl = window->platform.tbl;
	unsigned long n;

	if (!window->platform.ops->tce_kill)
		return;

	/* The entries are in memory before the hardware looks again. */
	mb();
	for (; count; index += n, count -= n) {
		n = min(count, TCE_KILL_MAX);
		/* The platform walks the groups of the table, which come and go. */
		rcu_read_lock();
		window->platform.ops->tce_kill(tbl, tbl->it_offset + index, n);
		rcu_read_unlock();
	}
}

static noinline void tce_kill_deferred(struct tce_window *window,
				       unsigned long index, unsigned long count)
{
	struct tce_deferred killed[TCE_WINDOW_DEFERRED] __uninitialized;
	unsigned int n;

	/* Only what is there before the kill is killed by it. */
	n = tce_kill_undefer(window, index, count, killed);
	tce_kill_range(window, index, count);
	tce_kill_release(window, killed, n);
}

void tce_kill(struct tce_window *window, unsigned long index,
	      unsigned long count)
{
	if (READ_ONCE(window->deferred_count))
		tce_kill_deferred(window, index, count);
	else
		tce_kill_range(window, index, count);
}

void tce_kill_settle(struct tce_window *window)
{
	struct tce_deferred settled[TCE_WINDOW_DEFERRED] __uninitialized;
	unsigned int i, n;

	if (!READ_ONCE(window->deferred_count))
		return;

	n = tce_kill_undefer(window, 0, ULONG_MAX, settled);
	for (i = 0; i < n; i++)
		tce_kill_range(window, settled[i].index, 1);
	tce_kill_release(window, settled, n);
}

void tce_kill_defer(struct tce_window *window, unsigned long index, u64 owner)
{
	bool full;

	do {
		unsigned int count;

		spin_lock(&window->deferred_lock);
		count = window->deferred_count;
		full = count == TCE_WINDOW_DEFERRED;
		if (!full) {
			window->deferred[count] =
				(struct tce_deferred) { index, owner };
			/* A kill looks without the lock whether there is any. */
			WRITE_ONCE(window->deferred_count, count + 1);
		}
		spin_unlock(&window->deferred_lock);

		if (full)
			tce_kill_settle(window);
	} while (full);

	/*
	 * KVM does not kill what it clears after a failure: the trimmer does then. Orders
	 * what was deferred before the test: the work looks after it is not pending any more.
	 */
	smp_mb();
	if (!delayed_work_pending(&window->trim_work))
		queue_delayed_work(tce_wq, &window->trim_work, TCE_TRIM_TIME);
}

/* Gathering */

void tce_gather_init(struct tce_gather *gather, struct tce_window *window)
{
	/* The arrays are filled as they are needed. */
	gather->window = window;
	gather->end = 0;
	gather->retired.pages = window->pages;
	gather->retired.page_shift = tce_window_page_shift(window);
	gather->retired.count = 0;
}

void tce_gather_flush(struct tce_gather *gather)
{
	if (gather->end)
		tce_kill(gather->window, gather->first,
			 gather->end - gather->first);
	gather->end = 0;
	if (gather->retired.count)
		gather->window->pages->ops->flush(&gather->retired);
}

void tce_gather_resched(struct tce_gather *gather)
{
	if (!need_resched())
		return;

	tce_gather_flush(gather);
	cond_resched();
}

void tce_gather_range(struct tce_gather *gather, unsigned long first,
		      unsigned long end)
{
	if (gather->end && (first > gather->end + TCE_KILL_GAP ||
			    first < gather->first ||
			    gather->end - gather->first >= TCE_KILL_MAX))
		tce_gather_flush(gather);

	if (!gather->end)
		gather->first = first;
	gather->end = end;
}

void tce_gather_old(struct tce_gather *gather, const struct tce_entry *old,
		    unsigned int count)
{
	const struct tce_pages_ops *ops = gather->window->pages->ops;
	unsigned long first = gather->first, end = gather->end;
	unsigned int done;

	for (;;) {
		done = ops->retire(&gather->retired, old, count);
		if (done == count)
			break;
		old += done;
		count -= done;
		tce_gather_flush(gather);
		gather->first = first;
		gather->end = end;
	}
}

/* Empty levels */

static void tce_trim_kill(void *data, unsigned long index, unsigned long count)
{
	unsigned long n;

	for (; count; index += n, count -= n) {
		n = min(count, TCE_KILL_MAX);
		tce_kill(data, index, n);
		cond_resched();
	}
}

static void tce_trim_work(struct work_struct *work)
{
	struct tce_window *window = container_of(to_delayed_work(work),
						 struct tce_window, trim_work);
	bool many = tce_table_idle(window->table) > TCE_TRIM_IDLE;

	tce_kill_settle(window);
	tce_table_trim(window->table, many ? TCE_TRIM_IDLE : 0, tce_trim_kill,
		       window);
	tce_trim(window);
}

void tce_trim_init(struct tce_window *window)
{
	INIT_DELAYED_WORK(&window->trim_work, tce_trim_work);
}

void tce_trim(struct tce_window *window)
{
	unsigned int idle = tce_table_idle(window->table);

	if (!idle)
		return;

	/* As in tce_kill_defer(). */
	smp_mb();
	if (idle > TCE_TRIM_IDLE)
		mod_delayed_work(tce_wq, &window->trim_work, 0);
	else if (!delayed_work_pending(&window->trim_work))
		queue_delayed_work(tce_wq, &window->trim_work, TCE_TRIM_TIME);
}

void tce_trim_now(struct tce_window *window)
{
	while (tce_table_trim(window->table, 0, tce_trim_kill, window))
		;
	/* And what the work has taken out already. */
	flush_delayed_work(&window->trim_work);
}

void tce_trim_stop(struct tce_window *window)
{
	cancel_delayed_work_sync(&window->trim_work);
}
