/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls, made for real.
 */
#ifndef FUZZ_PERFORM_H
#define FUZZ_PERFORM_H

#include "model.h"

/**
 * struct scratch - where a thread's arguments are
 * @pages: a page that can be read and written, and one that cannot
 * @writable: another page
 * @read_only: the same page, but it can only be read
 * @late: a page that comes late each time, and one that cannot be read or written
 * @number: of its content
 */
struct scratch {
	unsigned char *pages;
	unsigned char *writable;
	unsigned char *read_only;
	unsigned char *late;
	unsigned int number;
};

/* Before there are threads; @number is another one for each of them. */
void scratch_init(struct scratch *scratch, unsigned int number);

/* Makes the call; sets call->got and what became of the argument, @after. */
void perform(struct model *model, struct scratch *scratch, struct call *call,
	     union args *after);

/* Ioctls that were made so far, by all threads. */
unsigned long performed(void);

#endif /* FUZZ_PERFORM_H */
