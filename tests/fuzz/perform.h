/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes the calls of the fuzzer.
 */
#ifndef FUZZ_PERFORM_H
#define FUZZ_PERFORM_H

#include "model.h"

/**
 * struct scratch - memory for the arguments of a thread
 * @pages: a readable and writable page, followed by an inaccessible one
 * @writable: another page
 * @read_only: a read-only mapping of the same page
 * @late: a page of a FUSE file, followed by an inaccessible one
 * @number: number of the page in the FUSE file
 */
struct scratch {
	unsigned char *pages;
	unsigned char *writable;
	unsigned char *read_only;
	unsigned char *late;
	unsigned int number;
};

/* Called before threads are created; @number differs for each of them. */
void scratch_init(struct scratch *scratch, unsigned int number);

/* Makes the call; sets call->got, and @after to the argument after the call. */
void perform(struct model *model, struct scratch *scratch, struct call *call,
	     union args *after);

/* Number of ioctls that all threads have made so far. */
unsigned long perform_count(void);

#endif /* FUZZ_PERFORM_H */
