/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs a part of a test in several threads.
 */
#ifndef THREADS_H
#define THREADS_H

#define THREADS_MOST	4

struct kunit;

/*
 * Number of rounds for a race of @threads threads: @usual, unless the module
 * parameter "rounds" is set.
 */
unsigned int threads_rounds(unsigned int threads, unsigned int usual);

/*
 * Runs @body in @threads threads, which are bound to the CPUs in turn, and
 * waits until all have returned. The test is aborted if a thread cannot be
 * created.
 */
void threads_run(struct kunit *test, unsigned int threads,
		 void (*body)(void *data, unsigned int me), void *data);

#endif /* THREADS_H */
