/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of sysfs and procfs. A failure ends the program.
 */
#ifndef E2E_FILE_H
#define E2E_FILE_H

#include <stdbool.h>

/* Writes all of @text with one write(). */
void write_file(const char *path, const char *text);

/* Reads the first number of a file. */
long read_number(const char *path);

/* The number after @name in a file of names and numbers, or 0. */
unsigned long read_named(const char *path, const char *name);

/* Whether a line of a file has all three texts, except those that are NULL. */
bool file_has(const char *path, const char *first, const char *second,
	      const char *third);

#endif /* E2E_FILE_H */
