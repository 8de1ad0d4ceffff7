// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the state that the model is compared with. Contract: observe.h.
 */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe.h"
#include "tap.h"

#define DEBUGFS		"/sys/kernel/debug/vfio_iommu_spapr_tce"

/* /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGEMAP_PRESENT	(1ULL << 63)
#define PAGEMAP_PFN	((1ULL << 55) - 1)

static int pagemap = -1;
static long newest = -1;

static int compare_numbers(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

/*
 * The numbers of windows that are newer than those known, in ascending order.
 */
static unsigned int new_directories(long *numbers, unsigned int max)
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir;

	dir = opendir(DEBUGFS);
	if (!dir)
		tap_bail(DEBUGFS ": %s", strerror(errno));
	while ((entry = readdir(dir))) {
		long number = strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] != '.' && number > newest && n < max)
			numbers[n++] = number;
	}
	closedir(dir);
	qsort(numbers, n, sizeof(*numbers), compare_numbers);
	if (n)
		newest = numbers[n - 1];

	return n;
}

void observe_init(void)
{
	long numbers[64];

	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		tap_bail("/proc/self/pagemap: %s", strerror(errno));
	new_directories(numbers, ARRAY_SIZE(numbers));
}

void observe_new_windows(struct container *container)
{
	long numbers[64];
	unsigned int n = new_directories(numbers, ARRAY_SIZE(numbers));
	unsigned int i, next = 0;

	for (i = 0; i < WINDOWS; i++) {
		struct window *window = &container->windows[i];

		if (window->present && window->directory < 0 && next < n)
			window->directory = numbers[next++];
	}
}

void observe_pages(unsigned int first, unsigned int pages, __u64 *pfn)
{
	off_t offset = (ARENA / machine.page + first) * sizeof(*pfn);
	unsigned int i;

	if (pread(pagemap, pfn, pages * sizeof(*pfn), offset) !=
	    (ssize_t)(pages * sizeof(*pfn)))
		tap_bail("/proc/self/pagemap: %s", strerror(errno));
	for (i = 0; i < pages; i++)
		pfn[i] = pfn[i] & PAGEMAP_PRESENT ? pfn[i] & PAGEMAP_PFN : 0;
}

static char *read_file(long directory, const char *name)
{
	static char text[4 << 20];
	char pattern[sizeof(DEBUGFS) + 60];
	size_t length = 0;
	int fd = -1;
	ssize_t got;
	glob_t paths;

	/* The process and the group of the window are in the name, too. */
	snprintf(pattern, sizeof(pattern), DEBUGFS "/%ld-*/%s", directory,
		 name);
	if (!glob(pattern, 0, NULL, &paths))
		fd = open(paths.gl_pathv[0], O_RDONLY | O_CLOEXEC);
	globfree(&paths);
	if (fd < 0)
		return NULL;
	while ((got = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
		length += got;
	close(fd);
	text[length] = '\0';

	return text;
}

static const struct entry *find(const struct window *const *windows,
				unsigned int n, __u64 index)
{
	const struct entry *entry = NULL;
	unsigned int i;

	for (i = 0; i < n && !entry; i++)
		entry = window_entry(windows[i], index);

	return entry;
}

/* Checks one line of the mappings, and counts its entries. */
static bool check_line(const struct window *const *windows, unsigned int n,
		       const char *line, __u64 *count, char *why, size_t size)
{
	unsigned int page_shift = windows[0]->page_shift;
	__u64 first, bytes, physical, tce, index;
	char perm[3];

	if (sscanf(line, "%llu %llu %2[-rw] %llu", &first, &bytes, perm,
		   &physical) != 4) {
		snprintf(why, size, "cannot parse a line of mappings: %.60s",
			 line);
		return false;
	}
	tce = physical | (perm[0] == 'r') | (perm[1] == 'w') << 1;
	index = (first - windows[0]->start) >> page_shift;
	for (bytes >>= page_shift; bytes; bytes--) {
		const struct entry *entry = find(windows, n, index);

		if (!entry || entry->tce != tce) {
			snprintf(why, size,
				 "%#llx: entry is %#llx, expected %#llx",
				 windows[0]->start + (index << page_shift), tce,
				 entry ? entry->tce : 0);
			return false;
		}
		(*count)++;
		index++;
		tce += 1ULL << page_shift;
	}

	return true;
}

bool observe_window(const struct window *const *windows, unsigned int n,
		    char *why, size_t size)
{
	__u64 mapped = 0, count = 0, figure;
	const char *text, *line;
	unsigned int i;

	for (i = 0; i < n; i++)
		mapped += windows[i]->mapped;

	text = read_file(windows[0]->directory, "mappings");
	if (!text) {
		snprintf(why, size,
			 "window at %#llx: cannot open %ld-*/mappings",
			 windows[0]->start, windows[0]->directory);
		return false;
	}
	for (line = text; *line; line = strchr(line, '\n') + 1)
		if (!check_line(windows, n, line, &count, why, size))
			return false;
	if (count != mapped) {
		snprintf(why, size,
			 "window at %#llx: %llu entries are set, expected %llu",
			 windows[0]->start, count, mapped);
		return false;
	}

	text = read_file(windows[0]->directory, "figures");
	line = text ? strstr(text, "mapped_pages ") : NULL;
	figure = line ? strtoull(line + strlen("mapped_pages "), NULL, 10) :
			~0ULL;
	if (figure != mapped) {
		snprintf(why, size,
			 "window at %#llx: mapped_pages is %llu, expected %llu",
			 windows[0]->start, figure, mapped);
		return false;
	}

	return true;
}
