/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters and trace calls of a window, and what is mapped in it.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_OBSERVE_H
#define TCE_OBSERVE_H

#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/types.h>

#include <trace/events/iommu.h>

#include "tce_pages.h"
#include "tce_trace.h"
#include "tce_window_private.h"

/**
 * enum tce_event - events that are counted
 * @TCE_EVENT_MAP: successful calls of MAP_DMA, and the IOMMU pages that they
 *                 mapped
 * @TCE_EVENT_UNMAP: successful calls of UNMAP_DMA, and the IOMMU pages that
 *                   they unmapped
 * @TCE_EVENT_KILL: TCE kills, and the IOMMU pages in their ranges
 * @TCE_EVENT_KVM: entries that were set for KVM, or cleared, even if they were
 *                 empty
 * @TCE_EVENT_KVM_UP: hypercalls that map and that this module made KVM pass up
 *                    to user space; not counted in version 1, in which all that
 *                    map are passed up, nor if KVM finds no window
 * @TCE_EVENTS: number of events
 */
enum tce_event {
	TCE_EVENT_MAP,
	TCE_EVENT_UNMAP,
	TCE_EVENT_KILL,
	TCE_EVENT_KVM,
	TCE_EVENT_KVM_UP,
	TCE_EVENTS,
};

/**
 * struct tce_count - counters of one event on one CPU
 * @calls: number of calls
 * @pages: number of IOMMU pages
 */
struct tce_count {
	u64 calls;
	u64 pages;
};

/**
 * struct tce_counts - counters of one CPU since the window was created
 * @count: by enum tce_event
 */
struct tce_counts {
	struct tce_count count[TCE_EVENTS];
};

/**
 * tce_count() - count an event, once for each call
 * @window: the window
 * @event: the event
 * @pages: number of IOMMU pages
 *
 * Context: Any but an interrupt handler: the counter is not updated atomically.
 */
static inline void tce_count(const struct tce_window *window,
			     enum tce_event event, unsigned long pages)
{
	struct tce_count *count;

	preempt_disable();
	count = &this_cpu_ptr(window->counts)->count[event];
	WRITE_ONCE(count->calls, count->calls + 1);
	WRITE_ONCE(count->pages, count->pages + pages);
	preempt_enable();
}

struct tce_cursor;
struct tce_extent;

/**
 * tce_observe_extent() - find the next physically contiguous range with the
 * same permissions
 * @cursor: the range to search; is moved past the result
 * @extent: the result
 *
 * Unlike an extent of the table, it may have several owners; &tce_extent.owner
 * is that of its first part.
 *
 * Context: Process, may sleep; reschedules.
 * Return: false if nothing else is mapped.
 */
bool tce_observe_extent(struct tce_cursor *cursor, struct tce_extent *extent);

/**
 * tce_observe_trace_extents() - trace the mappings of a range as iommu:map
 * @window: the window
 * @index: the first entry
 * @count: number of entries
 *
 * As with iommu_map() there is one event for each physically contiguous range.
 *
 * Context: Process, may sleep; reschedules.
 */
void tce_observe_trace_extents(const struct tce_window *window,
			       unsigned long index, unsigned long count);

/**
 * tce_observe_map() - trace an attempt of a MAP_DMA, and count it if it has
 * succeeded
 * @window: the window
 * @iova: bus address, bytes
 * @size: bytes
 * @run: the pages
 * @ret: the result: 0 or an errno
 *
 * Context: Process, may sleep.
 */
static inline void tce_observe_map(const struct tce_window *window, u64 iova,
				   u64 size, const struct tce_run *run, int ret)
{
	if (!ret)
		tce_count(window, TCE_EVENT_MAP, run->count);
	if (trace_tce_map_enabled())
		trace_tce_map(tce_table_id(window->table), iova, size, run->ua,
			      run->perm, ret);
	if (trace_map_enabled() && !ret)
		tce_observe_trace_extents(window, (iova - window->start) >>
				    tce_window_page_shift(window), run->count);
}

/**
 * tce_observe_unmap() - count and trace an UNMAP_DMA that has succeeded
 * @window: the window
 * @iova: bus address, bytes
 * @size: bytes
 * @pages: number of IOMMU pages that were unmapped
 *
 * Context: Process.
 */
static inline void tce_observe_unmap(const struct tce_window *window, u64 iova,
				     u64 size, unsigned long pages)
{
	tce_count(window, TCE_EVENT_UNMAP, pages);
	if (trace_tce_unmap_enabled())
		trace_tce_unmap(tce_table_id(window->table), iova, size, pages);
	trace_unmap(iova, size, (u64)pages << tce_window_page_shift(window));
}

/**
 * tce_observe_kill() - count a TCE kill
 * @window: the window
 * @count: number of entries
 *
 * Context: Any but an interrupt handler.
 */
static inline void tce_observe_kill(const struct tce_window *window,
				    unsigned long count)
{
	tce_count(window, TCE_EVENT_KILL, count);
}

/**
 * tce_observe_kvm() - trace that an entry is set or cleared for KVM, and count
 * it if that has succeeded
 * @window: the window
 * @index: the entry
 * @tce: the TCE that KVM has asked to set, 0 to clear
 * @ret: the result: 0 or an errno
 *
 * Context: Any but an interrupt handler.
 */
static inline void tce_observe_kvm(const struct tce_window *window,
				   unsigned long index, u64 tce, int ret)
{
	if (!ret)
		tce_count(window, TCE_EVENT_KVM, 1);
	if (trace_tce_kvm_enabled())
		trace_tce_kvm(tce_table_id(window->table), index, tce, ret);
}

/**
 * tce_observe_kvm_up() - count and trace a hypercall that is passed up to user
 * space
 * @window: the window
 * @index: the entry that could not be set
 *
 * Context: Any but an interrupt handler.
 */
static inline void tce_observe_kvm_up(const struct tce_window *window,
				      unsigned long index)
{
	tce_count(window, TCE_EVENT_KVM_UP, 1);
	if (trace_tce_kvm_up_enabled())
		trace_tce_kvm_up(tce_table_id(window->table), index);
}

#endif /* TCE_OBSERVE_H */
