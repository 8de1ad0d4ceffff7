/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Saying why something was refused.
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
 * tce_refuse() - say why something is refused
 * @error: the errno that the caller gets
 * @reason: why
 *
 * Dynamic debug has it, rate-limited for each place, for user space can repeat what it
 * asks for; the tracepoint has each of them. Both cost nothing while they are off.
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
