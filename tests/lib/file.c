// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of sysfs and procfs. Contract: file.h.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "tap.h"

void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		tap_bail("writing \"%s\" to %s: %s", text, path,
			 strerror(errno));
	close(fd);
}

long read_number(const char *path)
{
	FILE *file = fopen(path, "r");
	long value;

	if (!file || fscanf(file, "%ld", &value) != 1)
		tap_bail("%s cannot be read", path);
	fclose(file);

	return value;
}

unsigned long read_named(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	size_t length = strlen(name);
	unsigned long value = 0;
	char line[256];

	if (!file)
		tap_bail("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, name, length) &&
		    strchr(": \t", line[length])) {
			value = strtoul(line + length + 1, NULL, 10);
			break;
		}
	}
	fclose(file);

	return value;
}

bool file_has(const char *path, const char *first, const char *second,
	      const char *third)
{
	char line[1024];
	bool found = false;
	FILE *file;

	file = fopen(path, "r");
	if (!file)
		tap_bail("%s: %s", path, strerror(errno));
	while (!found && fgets(line, sizeof(line), file))
		found = strstr(line, first) &&
			(!second || strstr(line, second)) &&
			(!third || strstr(line, third));
	fclose(file);

	return found;
}
