/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A DMA window from inside: for tce_window.c, tce_kvm.c, tce_kill.c, and
 * those who look at it (tce_observe.h).
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_WINDOW_PRIVATE_H
#define TCE_WINDOW_PRIVATE_H

#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "tce_pages.h"
#include "tce_platform.h"
#include "tce_window.h"

struct tce_counts;
struct tce_debugfs;
struct tce_kvm;

/* Entries that KVM has taken out and that may wait for its kill. */
#define TCE_WINDOW_DEFERRED	32

/**
 * struct tce_deferred - an entry that KVM has taken out and not yet killed
 * @index: its index
 * @owner: its owner
 */
struct tce_deferred {
	unsigned long index;
	u64 owner;
};

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
 * @deferred_lock: protects @deferred and @deferred_count; innermost
 * @deferred: what KVM has taken out and not yet killed
 * @deferred_count: how much of it
 * @trim_work: frees empty levels
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
	spinlock_t deferred_lock; /* @deferred, @deferred_count */
	struct tce_deferred deferred[TCE_WINDOW_DEFERRED];
	unsigned int deferred_count;
	struct delayed_work trim_work;
};

static inline unsigned int tce_window_page_shift(const struct tce_window *window)
{
	return window->platform.geo.page_shift;
}

#endif /* TCE_WINDOW_PRIVATE_H */
