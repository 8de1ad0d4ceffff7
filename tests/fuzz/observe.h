/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads the state that the model is compared with: the tables from debugfs, and
 * the page frame numbers of this process's pages.
 */
#ifndef FUZZ_OBSERVE_H
#define FUZZ_OBSERVE_H

#include <linux/types.h>
#include <stdbool.h>

#include "model.h"

/*
 * Opens the files that are needed, and notes which windows exist; ends the
 * program if a file cannot be opened.
 */
void observe_init(void);

/*
 * Finds the debugfs directories of windows that were just created. Windows
 * without a directory get the new ones in ascending order.
 */
void observe_new_windows(struct container *container);

/* Page frame numbers of pages of the arena; 0 for one that is not present. */
void observe_pages(unsigned int first, unsigned int pages, __u64 *pfn);

/*
 * Whether exactly the entries of the model are mapped in a window. @windows has
 * the window of the model of each of @n threads. If the result is false, @why
 * says what differs.
 */
bool observe_window(const struct window *const *windows, unsigned int n,
		    char *why, size_t size);

#endif /* FUZZ_OBSERVE_H */
