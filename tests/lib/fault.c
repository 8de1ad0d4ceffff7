// SPDX-License-Identifier: GPL-2.0-only
/* Fault injection. Contract: fault.h. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "tap.h"

#define FAIL_NTH	"/proc/self/fail-nth"
#define FAULTS		"/sys/kernel/debug"

static const char * const faults[] = {
	"failslab", "fail_page_alloc", "fail_usercopy",
};

static int fail_nth = -1;

static void set_fault(const char *fault, const char *name, const char *value)
{
	char path[80];
	int fd;

	snprintf(path, sizeof(path), FAULTS "/%s/%s", fault, name);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
}

static void set_address(const char *name, unsigned long long address)
{
	char text[24];
	size_t i;

	snprintf(text, sizeof(text), "%#llx", address);
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		set_fault(faults[i], name, text);
}

/* Finds the addresses of a function of the kernel, and of the next one. */
static bool find_function(const char *function, unsigned long long *start,
			  unsigned long long *end)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	unsigned long long address;
	char name[128];

	if (!file)
		tap_bail("/proc/kallsyms: %s", strerror(errno));
	*start = 0;
	*end = ~0ULL;
	while (fscanf(file, "%llx %*c %127s%*[^\n]", &address, name) == 2)
		if (!strcmp(name, function))
			*start = address;
	rewind(file);
	while (fscanf(file, "%llx %*c %127s%*[^\n]", &address, name) == 2)
		if (address > *start && address < *end)
			*end = address;
	fclose(file);

	return *start;
}

bool fault_init(void)
{
	size_t i;

	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		return false;

	/*
	 * Includes allocations that may sleep, of any size; prints no stack
	 * traces.
	 */
	set_fault("failslab", "ignore-gfp-wait", "N");
	set_fault("fail_page_alloc", "ignore-gfp-wait", "N");
	set_fault("fail_page_alloc", "ignore-gfp-highmem", "N");
	set_fault("fail_page_alloc", "min-order", "0");
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		set_fault(faults[i], "verbose", "0");

	return true;
}

void fault_arm(unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(fail_nth, text, length, 0) != length)
		tap_bail(FAIL_NTH ": %s", strerror(errno));
}

unsigned int fault_disarm(void)
{
	char text[16] = "";
	unsigned int left = 1;

	/* Reading is a copy itself: if it fails, there was one left. */
	if (pread(fail_nth, text, sizeof(text) - 1, 0) > 0)
		left = strtoul(text, NULL, 0);
	/* If this copy fails, that was the last fault. */
	if (pwrite(fail_nth, "0", 1, 0) != 1 && errno != EFAULT)
		tap_bail(FAIL_NTH ": %s", strerror(errno));

	return left;
}

bool fault_reject(const char *function)
{
	unsigned long long start, end;

	if (!find_function(function, &start, &end))
		return false;
	set_address("reject-start", start);
	set_address("reject-end", end);

	return true;
}

bool fault_require(const char *function)
{
	unsigned long long start = 0, end = ~0ULL;

	if (function && !find_function(function, &start, &end))
		return false;
	set_address("require-start", start);
	set_address("require-end", end);

	return true;
}
