/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes other than the one that is stuck. They share only the module with
 * it, and must make progress.
 */
#ifndef E2E_BYSTANDERS_H
#define E2E_BYSTANDERS_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/* Half a minute; a process that takes longer is assumed to hang. */
#define POLLS		3000
#define POLL_US		10000

/**
 * struct shared - memory that the processes of a test share
 * @step: the call that a process makes, for the message if it hangs there
 * @ready: the process is stuck
 * @releasing: it is about to release something
 * @over: the bystanders have finished
 * @mapped: the stuck process could map memory although its mmap_lock was held
 */
extern struct shared {
	char step[100];
	int ready;
	int releasing;
	int over;
	int mapped;
} *shared;

/* Allocates @shared; called once, before the tests. */
void init_shared(void);

void set_flag(int *flag);

/* Waits for set_flag(); false if it does not come. */
bool wait_flag(const int *flag);

/* Waits for the end of a child; false if it does not come. */
bool wait_exit(pid_t pid, int *status);

/* Makes a call and returns its result; a call that hangs is named. */
#define STEP(call)							\
	(snprintf(shared->step, sizeof(shared->step), "%s", #call), (call))

/* False if the kernel has no FUSE; the test is skipped then. */
bool have_fuse(void);

/*
 * Runs other processes, with the group of that device: they attach, register,
 * map, create and remove windows, in both versions of the interface, close, and
 * are killed. Each must finish. False if one of them hung.
 */
bool check_bystanders(unsigned int device);

#endif /* E2E_BYSTANDERS_H */
