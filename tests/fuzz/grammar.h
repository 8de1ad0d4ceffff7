/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which calls are made: all ioctls of containers and groups, with values that are
 * likely to work, that lie on a boundary, and that are wrong.
 */
#ifndef FUZZ_GRAMMAR_H
#define FUZZ_GRAMMAR_H

#include <stdio.h>

#include "model.h"
#include "random.h"

/* What the calls of a thread may be. */
enum grammar {
	/* Everything. */
	GRAMMAR_ALL,
	/* Nothing that another thread's calls depend on; MAP and UNMAP in spots. */
	GRAMMAR_OWN,
	/* Everything, by threads that do not know of each other. */
	GRAMMAR_CHAOS,
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

/* The next call. With GRAMMAR_CHAOS the model only says what there may be. */
void grammar_call(struct random *random, const struct model *model,
		  enum grammar grammar, const struct share *share,
		  struct call *call);

/* Where the calls of a new window will be. */
void grammar_spots(struct random *random, struct window *window);

/* Whether a call that succeeds stays in the spots of its window. */
bool grammar_confined(const struct model *model, const struct call *call);

/* One line for people. */
void grammar_describe(const struct call *call, char *text, size_t size);

/* Whether such a call may ever get this answer: chaos has no model. */
bool grammar_documented(const struct call *call);

#endif /* FUZZ_GRAMMAR_H */
