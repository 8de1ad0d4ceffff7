/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection (Documentation/fault-injection/fault-injection.rst,
 * /proc/self/fail-nth). A fault is an allocation (slab or page), or a copy from
 * or to user space, that can be made to fail.
 */
#ifndef E2E_FAULT_H
#define E2E_FAULT_H

#include <stdbool.h>

/* To be called first. Returns false if the kernel has no fault injection. */
bool fault_init(void);

/*
 * Lets the @n-th fault of this task happen. To be called right before the call
 * that is to fail.
 */
void fault_arm(unsigned int n);

/*
 * From here on no fault happens. Returns the number of faults left, up to and
 * including the one that was to happen; 0 if it has happened.
 */
unsigned int fault_disarm(void);

/*
 * No faults while @function of the kernel runs. Returns false if there is no
 * such function.
 */
bool fault_reject(const char *function);

/* The same, but faults only while it runs; NULL for anywhere again. */
bool fault_require(const char *function);

#endif /* E2E_FAULT_H */
