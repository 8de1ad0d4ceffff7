/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the model is compared with: the tables, as debugfs shows them, and where
 * this process's pages are.
 */
#ifndef FUZZ_OBSERVE_H
#define FUZZ_OBSERVE_H

#include <linux/types.h>
#include <stdbool.h>

#include "model.h"

/* Opens what is needed; ends the program if there is none. */
void observe_init(void);

/*
 * Finds the directories of windows that were just made: of those that are newer
 * than any that were found before, the oldest one is the first window's.
 */
void observe_new_windows(struct container *container);

/* Page frame numbers of pages of the arena. */
void observe_pages(unsigned int first, unsigned int pages, __u64 *pfn);

/*
 * Whether just that is mapped in a window which the model says: @views are what
 * each thread knows of it. If not, @why says what is wrong.
 */
bool observe_window(const struct window *const *views, unsigned int n,
		    char *why, size_t size);

#endif /* FUZZ_OBSERVE_H */
