/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reason for an error, for dynamic debug and tracing.
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
 * tce_refuse() - report the reason for an error
 * @error: the errno that is returned to user space
 * @reason: the reason, a constant string of less than TCE_REASON_BYTES
 *
 * The reason is logged by dynamic debug and traced. Logging is rate-limited per
 * call site, as user space can repeat the call; tracing is not. Either costs
 * one branch that is not taken while it is disabled.
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
