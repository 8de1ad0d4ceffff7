// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures the cost of the interface, see bench.h. Environment: ROWS, the rows
 * to measure; BENCH=parallel, to measure only what needs several CPUs and a
 * real clock.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

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

	return 0;
}
