/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What machine this is: some of the interface's promises depend on who owns the
 * tables.
 */
#ifndef E2E_MACHINE_H
#define E2E_MACHINE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tap.h"

/* A guest: the hypervisor has the tables. Otherwise the host's kernel has. */
static inline bool machine_is_pseries(void)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	bool pseries = false;
	char line[256];

	if (!file)
		tap_bail("/proc/cpuinfo cannot be read");
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "platform", 8))
			pseries = strstr(line, "pSeries");
	fclose(file);

	return pseries;
}

#endif /* E2E_MACHINE_H */
