/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pseudo-random numbers (splitmix64); the same seed gives the same numbers.
 */
#ifndef FUZZ_RANDOM_H
#define FUZZ_RANDOM_H

#include <linux/types.h>
#include <stdbool.h>

struct random {
	__u64 state;
};

static inline __u64 random_next(struct random *random)
{
	__u64 z = random->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;

	return z ^ z >> 31;
}

static inline unsigned int random_below(struct random *random, unsigned int n)
{
	return (random_next(random) >> 32) * n >> 32;
}

static inline bool random_one_in(struct random *random, unsigned int n)
{
	return !random_below(random, n);
}

#endif /* FUZZ_RANDOM_H */
