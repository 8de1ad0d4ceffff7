// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the interface costs: bench.h. From the environment: ROWS, which rows, see there;
 * BENCH=parallel, what takes several CPUs and a clock instead.
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
