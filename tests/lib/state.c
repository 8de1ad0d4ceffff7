// SPDX-License-Identifier: GPL-2.0-only
/* The observable state of the module. Contract: state.h. */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "state.h"
#include "tap.h"
#include "vfio.h"

#define MODULE		"vfio_iommu_spapr_tce"
#define DEBUGFS		"/sys/kernel/debug/" MODULE
#define MODULES		"/sys/module/"
/* The version of the format of debugfs files. */
#define FORMAT		1
#define WARN_COUNT	"/sys/kernel/warn_count"
/* Windows are numbered from 0. */
#define NO_WINDOW	(-1L)

#define LOCKED_POLLS	3000
#define LOCKED_POLL_US	10000
#define QUIESCE_POLLS	300
#define QUIESCE_US	10000

/* Whether a line consists of @name and a number, which is returned. */
static bool line_number(const char *line, const char *name, __u64 *value)
{
	size_t length = strlen(name);

	if (strncmp(line, name, length) || !strchr(": \t", line[length]))
		return false;
	*value = strtoull(line + length + 1, NULL, 0);

	return true;
}

/* As read_named() of file.h, but 0 if the file has gone, as with its window. */
static __u64 file_number(const char *path, const char *name)
{
	__u64 value = 0;
	char line[256];
	FILE *file;

	file = fopen(path, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (line_number(line, name, &value))
			break;
	fclose(file);

	return value;
}

static void figures_parse(const char *path, struct figures *figures)
{
	const struct {
		const char *name;
		__u64 *value;
	} lines[] = {
		{ "page_shift", &figures->page_shift },
		{ "levels", &figures->levels },
		{ "level_shift", &figures->level_shift },
		{ "start", &figures->start },
		{ "window_bytes", &figures->window_bytes },
		{ "mapped_pages", &figures->mapped_pages },
		{ "hw_bytes", &figures->hw_bytes },
		{ "user_bytes", &figures->user_bytes },
		{ "page_bytes", &figures->page_bytes },
		{ "whole_table_bytes", &figures->whole_table_bytes },
		{ "pid", &figures->pid },
		{ "interface", &figures->interface },
		{ "number", &figures->number },
	};
	char line[256];
	__u64 format;
	FILE *file;
	size_t i;

	memset(figures, 0, sizeof(*figures));
	file = fopen(path, "r");
	if (!file)
		return;
	/* The file of a window that was just freed is empty. */
	if (fgets(line, sizeof(line), file) &&
	    (!line_number(line, "format", &format) || format != FORMAT))
		tap_bail("%s begins with %s", path, line);
	while (fgets(line, sizeof(line), file))
		for (i = 0; i < ARRAY_SIZE(lines); i++)
			if (line_number(line, lines[i].name, lines[i].value))
				break;
	fclose(file);
}

/*
 * Counts the windows and finds the newest one that begins at @start. A removed
 * window may still be there; a window created after it has a higher number.
 */
static unsigned int windows_walk(__u64 start, struct figures *figures,
				 long *number)
{
	unsigned int windows = 0;
	struct dirent *entry;
	DIR *dir;

	*number = NO_WINDOW;
	dir = opendir(DEBUGFS);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		char path[sizeof(DEBUGFS) + 300];
		struct figures found;
		long n;

		if (entry->d_name[0] == '.')
			continue;
		windows++;
		snprintf(path, sizeof(path), DEBUGFS "/%s/figures",
			 entry->d_name);
		figures_parse(path, &found);
		n = strtol(entry->d_name, NULL, 10);
		if (found.levels && found.start == start && n > *number) {
			*figures = found;
			*number = n;
		}
	}
	closedir(dir);

	return windows;
}

bool window_path(__u64 start, const char *file, char *path, size_t size)
{
	struct figures figures;
	struct dirent *entry;
	long number;
	DIR *dir;

	windows_walk(start, &figures, &number);
	dir = opendir(DEBUGFS);
	if (!dir)
		return false;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' &&
		    strtol(entry->d_name, NULL, 10) == number)
			break;
	if (entry)
		snprintf(path, size, DEBUGFS "/%s/%s", entry->d_name, file);
	closedir(dir);

	return entry;
}

__u64 figures_number(__u64 start, const char *name)
{
	char path[PATH_MAX];

	if (!window_path(start, "figures", path, sizeof(path)))
		return 0;

	return file_number(path, name);
}

bool figures_read(__u64 start, struct figures *figures)
{
	long number;

	memset(figures, 0, sizeof(*figures));
	windows_walk(start, figures, &number);

	return number != NO_WINDOW;
}

__u64 state_locked(void)
{
	return file_number("/proc/self/status", "VmLck") * 1024 /
	       vfio_page_size();
}

bool state_locked_becomes(__u64 pages)
{
	unsigned int polls;

	for (polls = 0; polls < LOCKED_POLLS && state_locked() != pages;
	     polls++)
		usleep(LOCKED_POLL_US);

	return CHECK_EQ(state_locked(), pages);
}

/* The counters are per CPU; a write to this file sums them up. */
static __u64 pinned_pages(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) != 1)
		tap_bail("stat_refresh: %s", strerror(errno));
	close(fd);

	return file_number("/proc/vmstat", "nr_foll_pin_acquired") -
	       file_number("/proc/vmstat", "nr_foll_pin_released");
}

/* Reads a file with a single number. */
static __u64 single_number(const char *path)
{
	unsigned long long value;
	FILE *file = fopen(path, "r");

	if (!file || fscanf(file, "%llu", &value) != 1)
		tap_bail("%s cannot be read", path);
	fclose(file);

	return value;
}

bool state_built_in(void)
{
	return access(MODULES MODULE "/refcnt", F_OK);
}

struct state state_now(void)
{
	struct state state = {
		.locked = state_locked(),
		.pinned = pinned_pages(),
		.users = state_built_in() ? 0 :
			 single_number(MODULES MODULE "/refcnt"),
	};
	long number;

	state.windows = windows_walk(0, &state.figures[0], &number);
	figures_read(WINDOW1_START, &state.figures[1]);

	return state;
}

/* Unused levels are freed after a while. */
static bool figures_equal(struct figures a, struct figures b)
{
	a.hw_bytes = b.hw_bytes;
	a.user_bytes = b.user_bytes;
	a.page_bytes = b.page_bytes;
	a.pid = b.pid;

	return !memcmp(&a, &b, sizeof(a));
}

/* Pending work of the module holds references too. */
static bool state_equal(const struct state *a, const struct state *b)
{
	return a->locked == b->locked && a->pinned == b->pinned &&
	       a->users <= b->users && a->windows == b->windows &&
	       figures_equal(a->figures[0], b->figures[0]) &&
	       figures_equal(a->figures[1], b->figures[1]);
}

bool state_check(const struct state *before, const char *file, int line)
{
	struct state now;
	bool good = true;
	int polls, i;

	for (polls = 0; polls < QUIESCE_POLLS; polls++) {
		now = state_now();
		if (state_equal(&now, before))
			return true;
		usleep(QUIESCE_US);
	}

	good &= tap_check_equal(now.locked, before->locked, file, line,
				"locked kernel pages");
	good &= tap_check_equal(now.pinned, before->pinned, file, line,
				"pinned pages");
	if (now.users > before->users)
		good &= tap_check_equal(now.users, before->users, file, line,
					"the module refcount");
	good &= tap_check_equal(now.windows, before->windows, file, line,
				"number of windows");
	for (i = 0; i < 2; i++) {
		const struct figures *a = &now.figures[i];
		const struct figures *b = &before->figures[i];

		good &= tap_check_equal(a->mapped_pages, b->mapped_pages, file,
					line, "mapped pages");
		good &= tap_check_equal(a->levels, b->levels, file, line,
					"levels of the window");
	}
	if (good)
		tap_check(false, file, line, "the figures have not changed");

	return false;
}

static struct state watched;
static bool ignored;
static __u64 warnings;

/*
 * Warnings since boot. An older kernel does not count them: there, 1 if it is
 * tainted by a warning (TAINT_WARN, bit 9).
 */
static __u64 kernel_warnings(void)
{
	/* KCSAN's reports count as warnings; scripts/lib/splats finds ours. */
	if (!access("/sys/kernel/debug/kcsan", F_OK))
		return 0;

	if (!access(WARN_COUNT, R_OK))
		return single_number(WARN_COUNT);

	return single_number("/proc/sys/kernel/tainted") >> 9 & 1;
}

/* Lets messages that are printed only once be printed again. */
static void warn_again(void)
{
	int fd = open("/sys/kernel/debug/clear_warn_once", O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		tap_bail("clear_warn_once: %s", strerror(errno));
	close(fd);
}

static void watch_begin(void)
{
	watched = state_now();
	ignored = false;
	warn_again();
	warnings = kernel_warnings();
}

static void watch_end(void)
{
	if (!ignored)
		CHECK_STATE(&watched);
	CHECK_EQ(kernel_warnings(), warnings);
}

void state_ignore(void)
{
	ignored = true;
}

void state_quiesce(void)
{
	int fd = open(MODULES "rcutree/parameters/do_rcu_barrier", O_WRONLY);
	struct state now, before;
	int polls = 0;

	/* On an older kernel tests/iommu provides it. */
	if (fd < 0)
		fd = open(MODULES "tce_iommu_test/parameters/do_rcu_barrier",
			  O_WRONLY);
	if (fd < 0 || write(fd, "1", 1) != 1)
		tap_bail("do_rcu_barrier: %s", strerror(errno));
	close(fd);

	/* The work has finished when the state no longer changes. */
	now = state_now();
	do {
		before = now;
		usleep(QUIESCE_US);
		now = state_now();
	} while (!state_equal(&now, &before) && ++polls < QUIESCE_POLLS);
}

void state_watch(void)
{
	/* An earlier program may have pinned pages. */
	state_quiesce();
	tap_around(watch_begin, watch_end);
}

void state_check_mapped(__u64 start, __u64 count, const char *file,
			int line)
{
	struct figures figures;

	if (tap_intree())
		return;
	tap_check(figures_read(start, &figures), file, line,
		  "the window has figures");
	tap_check_equal(figures.mapped_pages, count, file, line,
			"mapped pages");
}

/* CAP_IPC_LOCK lifts the limit. */
static void cap_ipc_lock(bool on)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	__u32 bit = 1U << CAP_IPC_LOCK;

	if (syscall(SYS_capget, &header, data))
		tap_bail("capget: %s", strerror(errno));
	if (on)
		data[0].effective |= bit;
	else
		data[0].effective &= ~bit;
	if (syscall(SYS_capset, &header, data))
		tap_bail("capset: %s", strerror(errno));
}

static void memlock(rlim_t bytes)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		tap_bail("getrlimit: %s", strerror(errno));
	limit.rlim_cur = bytes;
	if (limit.rlim_max < bytes)
		limit.rlim_max = bytes;
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		tap_bail("setrlimit: %s", strerror(errno));
}

void state_limit(__u64 pages)
{
	memlock((state_locked() + pages) * vfio_page_size());
	cap_ipc_lock(false);
}

void state_unlimit(void)
{
	cap_ipc_lock(true);
}

void state_charge_allocated(bool on)
{
	int fd = open(MODULES MODULE "/parameters/charge_allocated",
		      O_WRONLY);

	if (fd < 0 || write(fd, on ? "Y" : "N", 1) != 1)
		tap_bail("charge_allocated: %s", strerror(errno));
	close(fd);
}
