/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Chooses the calls: all ioctls of containers and groups, with arguments that
 * are likely to succeed, on a boundary, or invalid.
 */
#ifndef FUZZ_GRAMMAR_H
#define FUZZ_GRAMMAR_H

#include <stdio.h>

#include "model.h"
#include "random.h"

/* The calls that a thread may make. */
enum grammar {
	/* All. */
	GRAMMAR_ALL,
	/*
	 * Calls that do not affect other threads; MAP and UNMAP only in spots.
	 */
	GRAMMAR_OWN,
	/* All, while other threads make any calls to the same containers. */
	GRAMMAR_CONFLICT,
};

/**
 * struct share - the part of the arena that a thread registers memory in
 * @first: first page
 * @pages: number of pages
 */
struct share {
	unsigned int first;
	unsigned int pages;
};

/* Chooses the next call. With GRAMMAR_CONFLICT the model is only a guess. */
void grammar_call(struct random *random, const struct model *model,
		  enum grammar grammar, const struct share *share,
		  struct call *call);

/* Chooses the spots of a new window. */
void grammar_spots(struct random *random, struct window *window);

/* Whether the call affects only the spots of its window if it succeeds. */
bool grammar_confined(const struct model *model, const struct call *call);

/* Describes the call in one line. */
void grammar_describe(const struct call *call, char *text, size_t size);

/*
 * Whether the result is documented for such a call; for calls without a model.
 */
bool grammar_documented(const struct call *call);

#endif /* FUZZ_GRAMMAR_H */
