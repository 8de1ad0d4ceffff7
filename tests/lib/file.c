// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of sysfs and procfs. Contract: file.h.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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
