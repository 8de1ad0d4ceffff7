/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Test results in KTAP: the plan and a line for each test. The version and the
 * program's name are the business of whoever runs the programs.
 */
#ifndef E2E_TAP_H
#define E2E_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define __printf(format, args)						\
	__attribute__((							\
		__format__(__printf__, format, args)))

/* Both go on after a failure: what follows is often what explains it. */
#define CHECK(what)							\
	tap_check((what), __FILE__, __LINE__, #what)
#define CHECK_EQ(got, want)						\
	tap_check_equal((long long)(got), (long long)(want),		\
			__FILE__, __LINE__, #got)

/*
 * The tests of a program, in their order. @name is what holds if the test
 * passes, in plain English; @run says whether it does, with CHECK().
 */
void tap_test(const char *name, void (*run)(void));

/* The in-tree module is known not to do this; the test is skipped with it. */
void tap_test_ours(const char *name, void (*run)(void));

/* Tests that are made from a table. */
void tap_test_case(bool ours, void (*run)(const void *data), const void *data,
		   const char *format, ...)
	__printf(4, 5);

/* What is done before and after every test; the latter may CHECK() too. */
void tap_around(void (*begin)(void), void (*end)(void));

/* Runs them all. Returns what main() returns. */
int tap_main(void);

/* In a test: it is not for this machine or this module. */
void tap_skip(const char *why);

/* The kernel's own module is under test: TCE_BACKEND=intree. */
bool tap_intree(void);

bool tap_check(bool good, const char *file, int line, const char *what);
bool tap_check_equal(long long got, long long want, const char *file, int line,
		     const char *what);
void tap_diag(const char *format, ...) __printf(1, 2);

/* Whether the test that runs has failed already. */
bool tap_failed(void);

/* Nothing more can be tested. */
noreturn void tap_bail(const char *format, ...) __printf(1, 2);

/*
 * Runs @run in a child process and waits for it; it may CHECK(), and the test
 * fails with it.
 */
void tap_child(void (*run)(void *data), void *data);

/* The same in two steps. */
pid_t tap_start(void (*run)(void *data), void *data);
void tap_finish(pid_t pid);

#endif /* E2E_TAP_H */
