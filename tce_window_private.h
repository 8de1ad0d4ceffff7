/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Internals of a DMA window, for tce_window.c, tce_kvm.c, tce_kill.c,
 * tce_debugfs.c and tce_observe.[ch].
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_WINDOW_PRIVATE_H
#define TCE_WINDOW_PRIVATE_H

#include <linux/cache.h>
#include <linux/workqueue.h>

#include "tce_pages.h"
#include "tce_platform.h"
#include "tce_table.h"
#include "tce_trim.h"
#include "tce_window.h"
#include "tce_work.h"

struct tce_counts;
struct tce_debugfs;
struct tce_kvm;

/**
 * struct tce_window - a window
 * @platform: the part that depends on the platform; holds the window's
 *            reference to the iommu_table
 * @table: the TCE table
 * @pages: the user memory that can be mapped
 * @start: its first bus address
 * @counts: event counters
 * @lost: tce_windows_map() fails: the firmware refused to remove the window
 *        from a group, or the platform has removed or disabled it
 * @kept: the hardware may still walk the table: it must not be freed
 * @kvm: state of KVM's callbacks
 * @locked: kernel pages that are charged for the whole table, or on pSeries for
 *          the platform's view; 0 if each level is charged while it is
 *          allocated
 * @debugfs: the debugfs directory, or NULL
 * @trim_work: frees levels that are not in use, and records of tasks that make
 *             no hypercalls any more
 */
struct tce_window {
	struct tce_platform platform;
	struct tce_table *table;
	struct tce_pages *pages;
	u64 start;
	struct tce_counts __percpu *counts;
	bool lost;
	bool kept;

	/* Not read by each MAP_DMA and hypercall: a cache line apart. */
	struct tce_kvm *kvm ____cacheline_aligned_in_smp;
	unsigned long locked;
	struct tce_debugfs *debugfs;
	struct delayed_work trim_work;
};

static inline unsigned int
tce_window_page_shift(const struct tce_window *window)
{
	return window->platform.geo.page_shift;
}

/**
 * tce_window_trim_soon() - schedule the work item that trims
 * @window: the window
 *
 * Must not be called after tce_window_destroy() has cancelled the work item.
 * KVM's callbacks call this in the RCU read-side section in which they have
 * found the window. tce_window_destroy() waits for these sections before it
 * cancels.
 *
 * Context: Any but an interrupt handler.
 */
static inline void tce_window_trim_soon(struct tce_window *window)
{
	queue_delayed_work(tce_wq, &window->trim_work, TCE_TRIM_AGE);
}

#endif /* TCE_WINDOW_PRIVATE_H */
