/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A DMA window from inside: for tce_window.c, tce_kvm.c, tce_kill.c, and
 * those who look at it (tce_observe.h).
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_WINDOW_PRIVATE_H
#define TCE_WINDOW_PRIVATE_H

#include <linux/jiffies.h>
#include <linux/workqueue.h>

#include "tce_pages.h"
#include "tce_platform.h"
#include "tce_window.h"
#include "tce_work.h"

struct tce_counts;
struct tce_debugfs;
struct tce_kvm;

/**
 * struct tce_window - a window
 * @kvm: KVM's side of it
 * @platform: the struct iommu_table; the window has a reference of its own
 * @table: the levels
 * @pages: where the pages come from that are mapped
 * @locked: kernel pages that were charged for the whole table
 * @start: its first bus address
 * @counts: what has happened
 * @debugfs: the figures
 * @lost: the firmware has not done what it was asked, or a group does not have the
 *        window any more: nothing can be mapped
 * @kept: the firmware may still walk the first level: it must not be freed
 * @trim_work: frees levels that are not used, and what KVM's tasks have left
 */
struct tce_window {
	struct tce_kvm *kvm;
	struct tce_platform platform;
	struct tce_table *table;
	struct tce_pages *pages;
	unsigned long locked;
	u64 start;
	struct tce_counts __percpu *counts;
	struct tce_debugfs *debugfs;
	bool lost;
	bool kept;
	struct delayed_work trim_work;
};

static inline unsigned int
tce_window_page_shift(const struct tce_window *window)
{
	return window->platform.geo.page_shift;
}

/*
 * How long levels stay that are not used: what is mapped and unmapped in turn must not
 * cost a level each time.
 */
#define TCE_TRIM_AGE	HZ

/**
 * tce_window_trim_soon() - have levels freed that are not used any more, soon
 * @window: the window
 *
 * Context: Any but an interrupt handler; what keeps the window from going keeps it from
 * stopping the work too.
 */
static inline void tce_window_trim_soon(struct tce_window *window)
{
	queue_delayed_work(tce_wq, &window->trim_work, TCE_TRIM_AGE);
}

#endif /* TCE_WINDOW_PRIVATE_H */
