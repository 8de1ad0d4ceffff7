/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The observable state of the module: a refused call must not change it, and a
 * test must restore it.
 */
#ifndef E2E_STATE_H
#define E2E_STATE_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct figures - the file "figures" of a window in debugfs (ours only)
 *
 * The names are those of the lines of the file.
 */
struct figures {
	__u64 page_shift;
	__u64 levels;
	__u64 level_shift;
	__u64 start;
	__u64 window_bytes;
	__u64 mapped_pages;
	__u64 hw_bytes;
	__u64 user_bytes;
	__u64 page_bytes;
	__u64 whole_table_bytes;
	__u64 pid;
	__u64 interface;
	__u64 number;
};

/* The newest window that begins at @start; false if there is none. */
bool figures_read(__u64 start, struct figures *figures);

/* The path of a file of that window; false if there is none. */
bool window_path(__u64 start, const char *file, char *path, size_t size);

/* The figure of that name of that window; 0 if there is none. */
__u64 figures_number(__u64 start, const char *name);

/**
 * struct state - the observable state of the module
 * @locked: kernel pages charged to this process (VmLck)
 * @pinned: pages pinned in the whole machine
 * @users: the module refcount
 * @windows: number of windows in debugfs, 0 with the in-tree module
 * @figures: figures of the windows at 0 and at WINDOW1_START
 */
struct state {
	__u64 locked;
	__u64 pinned;
	unsigned int users;
	unsigned int windows;
	struct figures figures[2];
};

struct state state_now(void);

/*
 * Waits for pages that are unpinned after a grace period, and for work items.
 */
void state_quiesce(void);

/*
 * From here on each test must restore the state, and cause no kernel warning.
 */
void state_watch(void);

/* The current test cannot restore the state, and checks parts of it itself. */
void state_ignore(void);

/*
 * Checks that the state is that of @before, except for the memory of levels,
 * which is freed later, and for a module refcount that may be lower. Waits for
 * a while, because work items settle the credit and unpin memory, and pages are
 * unpinned after a grace period; after that the test fails, and false is
 * returned.
 */
#define CHECK_STATE(before)	state_check(before, __FILE__, __LINE__)
bool state_check(const struct state *before, const char *file, int line);

/* Checks the number of IOMMU pages mapped in the window at @start, if ours. */
#define CHECK_MAPPED(start, count) \
	state_check_mapped(start, count, __FILE__, __LINE__)
void state_check_mapped(__u64 start, __u64 count, const char *file,
			int line);

/*
 * Sets the module's parameter charge_allocated, for windows created later (ours
 * only).
 */
void state_charge_allocated(bool on);

/*
 * Whether the backend under test is built into the kernel; then it has no
 * module refcount.
 */
bool state_built_in(void);

/* Kernel pages charged to this process. */
__u64 state_locked(void);

/*
 * Checks that state_locked() becomes @pages within half a minute: a work item
 * may have to uncharge what is not in use any more.
 */
bool state_locked_becomes(__u64 pages);

/*
 * From here on this process may lock @pages more kernel pages than it has
 * locked now; state_unlimit() removes the limit.
 */
void state_limit(__u64 pages);
void state_unlimit(void);

#endif /* E2E_STATE_H */
