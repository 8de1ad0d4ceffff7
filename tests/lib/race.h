/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Races of two calls.
 *
 * One round runs two calls concurrently, once: two threads on different CPUs
 * synchronise, wait for a number of instructions that changes with each round,
 * and make one call each. Rounds that use different addresses are run in
 * batches: each thread prepares every other round, and all results are checked
 * and cleaned up together. The number of rounds that overlapped is
 * printed.
 */
#ifndef E2E_RACE_H
#define E2E_RACE_H

#include <stdbool.h>

/* Rounds of a batch, where there are batches. */
#define BATCH		32

/**
 * struct race - two calls that run concurrently
 * @side: the call that each side makes in a round
 * @batch: number of rounds that are checked together; they use different
 *         addresses
 * @again: the first side's call takes so much longer that the second side
 *         repeats its call until the first one has returned
 * @ready: prepares a round, on either side; optional
 * @over: checks the rounds from @begun to @end (exclusive), on the first side,
 *         and restores the state before them
 *
 * All of them return 0, or an error that fails the test.
 */
struct race {
	int (*side[2])(unsigned int round);
	unsigned int batch;
	bool again;
	int (*ready)(unsigned int round);
	int (*over)(unsigned int begun, unsigned int end);
};

/*
 * Runs @count rounds, fewer after an error, or if RACE_SECONDS in the
 * environment have passed. The test fails after an error, and if none of many
 * rounds overlapped.
 */
void race_run(const struct race *this, unsigned int count);

/*
 * The number of rounds of each race: ROUNDS in the environment, or @usual.
 */
unsigned int race_rounds(unsigned int usual);

/* Runs the calling thread on one CPU. */
void run_on_cpu(unsigned int cpu);

#endif /* E2E_RACE_H */
