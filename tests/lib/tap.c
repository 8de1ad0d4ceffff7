// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test results in KTAP. Contract: tap.h.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

/* The most tests of a program. */
#define TESTS	200

static struct test {
	char name[120];
	bool ours;
	void (*run)(void);
	void (*run_case)(const void *data);
	const void *data;
} tests[TESTS];

static unsigned int count;
static void (*begin_test)(void);
static void (*end_test)(void);

/* The current test. */
static const char *skipped;
static bool failed;

bool tap_intree(void)
{
	const char *backend = getenv("TCE_BACKEND");

	return backend && !strcmp(backend, "intree");
}

static struct test *tap_add(bool ours)
{
	struct test *test = &tests[count];

	if (count == TESTS)
		tap_bail("more than %u tests", TESTS);
	count++;
	test->ours = ours;

	return test;
}

void tap_test(const char *name, void (*run)(void))
{
	struct test *test = tap_add(false);

	snprintf(test->name, sizeof(test->name), "%s", name);
	test->run = run;
}

void tap_test_ours(const char *name, void (*run)(void))
{
	tap_test(name, run);
	tests[count - 1].ours = true;
}

void tap_test_case(bool ours, void (*run)(const void *data), const void *data,
		   const char *format, ...)
{
	struct test *test = tap_add(ours);
	va_list args;

	va_start(args, format);
	vsnprintf(test->name, sizeof(test->name), format, args);
	va_end(args);
	test->run_case = run;
	test->data = data;
}

void tap_around(void (*begin)(void), void (*end)(void))
{
	begin_test = begin;
	end_test = end;
}

void tap_skip(const char *why)
{
	skipped = why;
}

static void tap_run(const struct test *test)
{
	skipped = NULL;
	failed = false;

	if (test->ours && tap_intree()) {
		tap_skip("ours only");
		return;
	}

	if (begin_test)
		begin_test();
	if (test->run)
		test->run();
	else
		test->run_case(test->data);
	if (end_test)
		end_test();

	/* A check that failed before the skip still counts. */
	if (failed)
		skipped = NULL;
}

/* Keeps the tests whose names match the pattern ONLY in the environment. */
static void tap_select(void)
{
	const char *only = getenv("ONLY");
	unsigned int i, kept = 0;

	for (i = 0; i < count; i++)
		if (!only || !fnmatch(only, tests[i].name, 0))
			tests[kept++] = tests[i];
	count = kept;
	if (only && !kept)
		tap_bail("no test matches %s", only);
}

int tap_main(void)
{
	bool bad = false;
	unsigned int i;

	tap_select();

	/*
	 * Write each line at once: children write too, and if a machine
	 * hangs, the output must show where.
	 */
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);

	printf("1..%u\n", count);
	for (i = 0; i < count; i++) {
		tap_run(&tests[i]);
		printf("%sok %u %s%s%s\n", failed ? "not " : "", i + 1,
		       tests[i].name, skipped ? " # SKIP " : "", skipped ?: "");
		bad |= failed;
	}

	return bad;
}

void tap_diag(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

bool tap_failed(void)
{
	return failed;
}

void tap_bail(const char *format, ...)
{
	va_list args;

	printf("Bail out! ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	_exit(1);
}

bool tap_check(bool good, const char *file, int line, const char *what)
{
	if (!good) {
		failed = true;
		tap_diag("%s:%d: not true: %s", file, line, what);
	}

	return good;
}

/* Formats an errno as its name, and a large number also in hexadecimal. */
static const char *tap_number(char *text, size_t size, long long value)
{
	const char *error = NULL;

	if (value < 0 && value > -4096)
		error = strerrorname_np(-value);
	if (error)
		snprintf(text, size, "-%s", error);
	else if (value >= 0 && value < 1000000)
		snprintf(text, size, "%lld", value);
	else
		snprintf(text, size, "%lld (%#llx)", value,
			 (unsigned long long)value);

	return text;
}

bool tap_check_equal(long long got, long long want, const char *file, int line,
		     const char *what)
{
	char text[2][64];

	if (got == want)
		return true;

	failed = true;
	tap_diag("%s:%d: %s is %s, expected %s", file, line, what,
		 tap_number(text[0], sizeof(text[0]), got),
		 tap_number(text[1], sizeof(text[1]), want));

	return false;
}

pid_t tap_start(void (*run)(void *data), void *data)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (!pid) {
		failed = false;
		run(data);
		fflush(stdout);
		_exit(failed);
	}

	return pid;
}

void tap_finish(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		tap_bail("waitpid: %s", strerror(errno));
	CHECK_EQ(status, 0);
}

void tap_child(void (*run)(void *data), void *data)
{
	tap_finish(tap_start(run, data));
}
