// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures the cost of the interface, see bench.h. Environment: ROWS, the rows
 * to measure; BENCH=parallel, to measure only what needs several CPUs and a
 * real clock; PROFILE=y, to print the kernel's functions, for the counts of
 * profile.c.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/*
 * The addresses of the functions of the kernel and of its modules. To the
 * console, as the results of a program are printed twice.
 */
static void print_functions(void)
{
	FILE *from = fopen("/proc/kallsyms", "r");
	FILE *to = fopen("/dev/console", "w");
	char line[512], type;

	if (!from || !to)
		tap_bail("/proc/kallsyms, /dev/console: cannot be opened");
	while (fgets(line, sizeof(line), from))
		if (sscanf(line, "%*s %c", &type) == 1 && strchr("tTwW", type))
			fprintf(to, "bench.function %s", line);
	if (ferror(to) || fclose(to))
		tap_bail("/dev/console: write error");
	fclose(from);
}

int main(void)
{
	const char *what = getenv("BENCH");

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (what && !strcmp(what, "parallel")) {
		bench_parallel();
		return 0;
	}

	/* For vfio_limits(). */
	vfio_open(&bench_vfio);
	vfio_close(&bench_vfio);

	bench_ranges();
	bench_places();
	bench_regions();
	bench_windows();
	bench_hypercalls();
	bench_memory();
	if (getenv("PROFILE"))
		print_functions();

	return 0;
}
