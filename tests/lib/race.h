/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two calls at the same time.
 *
 * A round is one attempt of both sides: two threads, each on a CPU of its own,
 * meet, go apart by a few instructions, another number each time, and make one
 * call each. Rounds in places of their own come in batches: what they begin
 * with is made ready by both threads, and what came of all of them is looked at
 * and cleared away in one go. How many of the rounds really overlapped is
 * shown.
 */
#ifndef E2E_RACE_H
#define E2E_RACE_H

#include <stdbool.h>

/* Rounds between two looks at what came of them, where they can wait. */
#define BATCH		32

/**
 * struct race - two calls against each other
 * @side: what each side does in a round
 * @batch: rounds that can wait until they are looked at together; they are in
 * places
 *         of their own
 * @again: the first side's call takes so much longer that the second one calls
 * again and
 *         again until it is through
 * @ready: before a round, on either side, if it needs anything
 * @over: on the first side, after the rounds from @begun up to @end; leaves all
 * as
 *        it was before them
 *
 * All of them return 0, or the error that must not be.
 */
struct race {
	int (*side[2])(unsigned int round);
	unsigned int batch;
	bool again;
	int (*ready)(unsigned int round);
	int (*over)(unsigned int begun, unsigned int end);
};

/*
 * Runs @count rounds, or fewer if there is an error, with which the test fails.
 * It fails as well if none of many rounds overlapped.
 */
void race_run(const struct race *this, unsigned int count);

/*
 * Rounds of each race: ROUNDS in the environment, or as many as is good for
 * every day.
 */
unsigned int race_rounds(unsigned int everyday);

#endif /* E2E_RACE_H */
