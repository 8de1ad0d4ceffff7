/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads of a test.
 */
#ifndef THREADS_H
#define THREADS_H

#define THREADS_MOST	4

struct kunit;

/* How often a race of so many threads is tried: @usual, or the parameter rounds. */
unsigned int threads_rounds(unsigned int threads, unsigned int usual);

/*
 * Runs @body in so many threads, each bound to a CPU, one after the other, and
 * waits for their end; or the test ends.
 */
void threads_run(struct kunit *test, unsigned int threads,
		 void (*body)(void *data, unsigned int me), void *data);

#endif /* THREADS_H */
