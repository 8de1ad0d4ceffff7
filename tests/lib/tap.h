/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Test results in KTAP: the plan, and a line for each test. tests/qemu/init
 * prints the version and the names of the programs.
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

/* The test continues after a failed check: later ones may explain it. */
#define CHECK(what)							\
	tap_check((what), __FILE__, __LINE__, #what)
#define CHECK_EQ(got, want)						\
	tap_check_equal((long long)(got), (long long)(want),		\
			__FILE__, __LINE__, #got)

/*
 * Adds a test; tests run in this order. @name says in plain English what is
 * true if the test passes, @run checks it with CHECK().
 */
void tap_test(const char *name, void (*run)(void));

/*
 * The in-tree module is known to fail this test; with it the test is skipped.
 */
void tap_test_ours(const char *name, void (*run)(void));

/* Adds a test that is run with @data, with a formatted name. */
void tap_test_case(bool ours, void (*run)(const void *data), const void *data,
		   const char *format, ...)
	__printf(4, 5);

/* Functions to call before and after each test; both may use CHECK(). */
void tap_around(void (*begin)(void), void (*end)(void));

/*
 * Runs all tests, or, if ONLY is in the environment, those whose names match
 * this pattern (fnmatch()). Returns the exit status of the program.
 */
int tap_main(void);

/* Called in a test that cannot run on this machine or with this module. */
void tap_skip(const char *why);

/* Whether the in-tree module is tested: TCE_BACKEND=intree. */
bool tap_intree(void);

bool tap_check(bool good, const char *file, int line, const char *what);
bool tap_check_equal(long long got, long long want, const char *file, int line,
		     const char *what);
void tap_diag(const char *format, ...) __printf(1, 2);

/* Whether the current test has failed. */
bool tap_failed(void);

/* Ends the program: no further test can run. */
noreturn void tap_bail(const char *format, ...) __printf(1, 2);

/*
 * Runs @run in a child process and waits for it. It may use CHECK(); if it
 * fails, the test fails.
 */
void tap_child(void (*run)(void *data), void *data);

/* The same in two steps. */
pid_t tap_start(void (*run)(void *data), void *data);
void tap_finish(pid_t pid);

#endif /* E2E_TAP_H */
