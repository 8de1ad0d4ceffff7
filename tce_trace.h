/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints. @window is tce_table_id(); the name of the window's directory in
 * debugfs begins with it. docs/OBSERVE.md describes the tracepoints for users.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM spapr_tce

#if !defined(TCE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TCE_TRACE_H

#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/types.h>

/* A window was created, and is not programmed into a group yet. */
TRACE_EVENT(tce_window_create,
	TP_PROTO(unsigned int window, u64 start, u64 size,
		 unsigned int page_shift, unsigned int levels),
	TP_ARGS(window, start, size, page_shift, levels),
	TP_STRUCT__entry(
		__field(u64, start)
		__field(u64, size)
		__field(u32, window)
		__field(u32, page_shift)
		__field(u32, levels)
	),
	TP_fast_assign(
		__entry->start = start;
		__entry->size = size;
		__entry->window = window;
		__entry->page_shift = page_shift;
		__entry->levels = levels;
	),
	TP_printk("window=%u start=0x%llx size=0x%llx page_shift=%u levels=%u",
		  __entry->window, __entry->start, __entry->size,
		  __entry->page_shift, __entry->levels)
);

/* A window is about to be unmapped and freed. */
TRACE_EVENT(tce_window_remove,
	TP_PROTO(unsigned int window),
	TP_ARGS(window),
	TP_STRUCT__entry(
		__field(u32, window)
	),
	TP_fast_assign(
		__entry->window = window;
	),
	TP_printk("window=%u", __entry->window)
);

DECLARE_EVENT_CLASS(tce_group,
	TP_PROTO(unsigned int window, int group, int ret),
	TP_ARGS(window, group, ret),
	TP_STRUCT__entry(
		__field(u32, window)
		__field(int, group)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->window = window;
		__entry->group = group;
		__entry->ret = ret;
	),
	TP_printk("window=%u group=%d ret=%d", __entry->window, __entry->group,
		  __entry->ret)
);

/* A window was to be programmed into a group; @ret is not 0 if that failed. */
DEFINE_EVENT(tce_group, tce_window_attach,
	TP_PROTO(unsigned int window, int group, int ret),
	TP_ARGS(window, group, ret)
);

/* A window was to be removed from a group; @ret is not 0 if that failed. */
DEFINE_EVENT(tce_group, tce_window_detach,
	TP_PROTO(unsigned int window, int group, int ret),
	TP_ARGS(window, group, ret)
);

/*
 * An attempt of a MAP_DMA whose pages were registered, or pinned, has ended.
 * After -ENOMEM the command may start over, with another event.
 */
TRACE_EVENT(tce_map,
	TP_PROTO(unsigned int window, u64 iova, u64 size, unsigned long ua,
		 unsigned int perm, int ret),
	TP_ARGS(window, iova, size, ua, perm, ret),
	TP_STRUCT__entry(
		__field(u64, iova)
		__field(u64, size)
		__field(u64, ua)
		__field(u32, window)
		__field(u32, perm)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->iova = iova;
		__entry->size = size;
		__entry->ua = ua;
		__entry->window = window;
		__entry->perm = perm;
		__entry->ret = ret;
	),
	TP_printk("window=%u iova=0x%llx size=0x%llx ua=0x%llx perm=%c%c ret=%d",
		  __entry->window, __entry->iova, __entry->size, __entry->ua,
		  __entry->perm & 1 ? 'r' : '-', __entry->perm & 2 ? 'w' : '-',
		  __entry->ret)
);

/* UNMAP_DMA has unmapped @pages IOMMU pages of a range. */
TRACE_EVENT(tce_unmap,
	TP_PROTO(unsigned int window, u64 iova, u64 size, unsigned long pages),
	TP_ARGS(window, iova, size, pages),
	TP_STRUCT__entry(
		__field(u64, iova)
		__field(u64, size)
		__field(u64, pages)
		__field(u32, window)
	),
	TP_fast_assign(
		__entry->iova = iova;
		__entry->size = size;
		__entry->pages = pages;
		__entry->window = window;
	),
	TP_printk("window=%u iova=0x%llx size=0x%llx pages=%llu",
		  __entry->window, __entry->iova, __entry->size,
		  __entry->pages)
);

DECLARE_EVENT_CLASS(tce_level,
	TP_PROTO(unsigned int window, unsigned int depth, unsigned long index),
	TP_ARGS(window, depth, index),
	TP_STRUCT__entry(
		__field(u64, index)
		__field(u32, window)
		__field(u32, depth)
	),
	TP_fast_assign(
		__entry->index = index;
		__entry->window = window;
		__entry->depth = depth;
	),
	TP_printk("window=%u depth=%u index=%llu", __entry->window,
		  __entry->depth, __entry->index)
);

/* A level was linked; @index is the first index that it translates. */
DEFINE_EVENT(tce_level, tce_level_alloc,
	TP_PROTO(unsigned int window, unsigned int depth, unsigned long index),
	TP_ARGS(window, depth, index)
);

/* A level was unlinked; it is freed after a TCE kill and a grace period. */
DEFINE_EVENT(tce_level, tce_level_free,
	TP_PROTO(unsigned int window, unsigned int depth, unsigned long index),
	TP_ARGS(window, depth, index)
);

/*
 * An entry was set for KVM, or cleared if @tce is 0. If @ret is not 0, a
 * hypervisor has refused.
 */
TRACE_EVENT(tce_kvm,
	TP_PROTO(unsigned int window, unsigned long index, u64 tce, int ret),
	TP_ARGS(window, index, tce, ret),
	TP_STRUCT__entry(
		__field(u64, index)
		__field(u64, tce)
		__field(u32, window)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->index = index;
		__entry->tce = tce;
		__entry->window = window;
		__entry->ret = ret;
	),
	TP_printk("window=%u index=%llu tce=0x%llx ret=%d", __entry->window,
		  __entry->index, __entry->tce, __entry->ret)
);

/*
 * A hypercall is passed up to user space because @index could not be set, for
 * example because there was no memory for a level or a view. Not traced in
 * version 1, in which all hypercalls that map are passed up, nor if KVM finds
 * no window.
 */
TRACE_EVENT(tce_kvm_up,
	TP_PROTO(unsigned int window, unsigned long index),
	TP_ARGS(window, index),
	TP_STRUCT__entry(
		__field(u64, index)
		__field(u32, window)
	),
	TP_fast_assign(
		__entry->index = index;
		__entry->window = window;
	),
	TP_printk("window=%u index=%llu", __entry->window, __entry->index)
);

#define TCE_REASON_BYTES	72

/* A call has failed; see tce_refuse(). */
TRACE_EVENT(tce_refused,
	TP_PROTO(int ret, const char *reason),
	TP_ARGS(ret, reason),
	TP_STRUCT__entry(
		__field(int, ret)
		__array(char, reason, TCE_REASON_BYTES)
	),
	TP_fast_assign(
		__entry->ret = ret;
		strscpy(__entry->reason, reason, TCE_REASON_BYTES);
	),
	TP_printk("ret=%d reason=%s", __entry->ret, __entry->reason)
);

#endif /* TCE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE tce_trace

#include <trace/define_trace.h>
