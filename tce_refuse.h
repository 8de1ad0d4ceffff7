/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reason of an error, for dynamic debug and tracing.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_REFUSE_H
#define TCE_REFUSE_H

#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>

#include "tce_trace.h"

/**
 * tce_refuse() - report the reason of an error
 * @error: the errno that is returned to user space
 * @reason: the reason, a constant string
 *
 * It is logged by dynamic debug, rate-limited per call site as user space can
 * repeat the call, and traced by a tracepoint without a limit. Neither costs
 * anything while it is disabled.
 *
 * Context: Any.
 * Return: @error.
 */
#define tce_refuse(error, reason)					\
({									\
	const char *__reason = (reason);				\
	int __error = (error);						\
									\
	pr_debug_ratelimited("%s[%d]: refused with %d: %s\n",		\
			     current->comm, task_tgid_nr(current),	\
			     __error, __reason);			\
	trace_tce_refused(__error, __reason);				\
	__error;							\
})

#endif /* TCE_REFUSE_H */
