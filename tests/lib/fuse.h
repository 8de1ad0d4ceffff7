/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file whose pages come when the test says so: a FUSE file system with one
 * file in it, and a process that answers for it. What needs such a page waits
 * until then: a page fault, or an ioctl whose argument is there.
 */
#ifndef E2E_FUSE_H
#define E2E_FUSE_H

#include <stdbool.h>
#include <stddef.h>

/* What a page fault that waits does with the mmap_lock of its process. */
enum fuse_lock {
	/* It is given up: nothing else waits. */
	FUSE_UNLOCKED,
	/*
	 * It is held for reading, until fuse_answer(): the first answer is an
	 * error, and a fault that is tried again keeps the lock.
	 */
	FUSE_LOCKED,
};

/* Whether the kernel has FUSE. */
bool fuse_available(void);

/*
 * From here on reads wait. With FUSE_LOCKED they are answered with an error, so
 * that the fault ends in SIGBUS. Ends the program where there is no FUSE.
 * SIGCHLD stays blocked in this thread and those that it starts.
 */
void fuse_start(enum fuse_lock lock);

/*
 * A page of the file that was never there, mapped privately; in place of
 * another page; and in place of another page with a content of its own, see
 * below.
 */
void *fuse_page(void);
void fuse_page_at(void *address);
void fuse_page_of(unsigned int content, void *address);

/*
 * For what fuse_page_of() has mapped last: it need not be remembered any more.
 */
void fuse_forget(unsigned int content, void *address);

/*
 * What pages are answered with, as much as a kernel page; the first one without
 * a number is that of fuse_page(). Threads have one each.
 */
#define FUSE_CONTENTS	8
void *fuse_content(void);
void *fuse_content_of(unsigned int content);

/*
 * Reads that wait now; whether it is @count soon, which it is within a minute.
 */
unsigned int fuse_waiting(void);
bool fuse_wait(unsigned int count);

/* Answers what waits, and from here on everything at once. */
void fuse_answer(void);

/* Answers what waits, and ends the process and the file system. */
void fuse_stop(void);

#endif /* E2E_FUSE_H */
