/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file whose reads are answered when the test says so: a FUSE file system
 * with one file, and a process that answers. A page fault on the file, or an
 * ioctl whose argument is in it, waits for the answer.
 */
#ifndef E2E_FUSE_H
#define E2E_FUSE_H

#include <stdbool.h>
#include <stddef.h>

/* What a waiting page fault does with the mmap_lock of its process. */
enum fuse_lock {
	/* The fault drops it. */
	FUSE_UNLOCKED,
	/*
	 * The fault holds it for reading until fuse_answer(): the first read is
	 * answered with an error, and the retried fault keeps the lock.
	 */
	FUSE_LOCKED,
};

/* Whether the kernel has FUSE. */
bool fuse_available(void);

/*
 * From here on reads wait. With FUSE_LOCKED they are answered with an error in
 * the end, so that the fault ends in SIGBUS. Bails out without FUSE. SIGCHLD
 * stays blocked in this thread and the threads that it creates.
 */
void fuse_start(enum fuse_lock lock);

/*
 * Each maps a page of the file that was never read, with MAP_PRIVATE:
 * fuse_page() anywhere, the others at @address. Reads of the page are answered
 * with content 0, or with @content.
 */
void *fuse_page(void);
void fuse_page_at(void *address);
void fuse_page_of(unsigned int content, void *address);

/* Unmaps the last page of fuse_page_of(). */
void fuse_forget(unsigned int content, void *address);

/*
 * The contents that reads are answered with, a kernel page each. Content 0 is
 * that of fuse_content(). Each thread can use a content of its own.
 */
#define FUSE_CONTENTS	8
void *fuse_content(void);
void *fuse_content_of(unsigned int content);

/* The number of waiting reads; whether it becomes @count within a minute. */
unsigned int fuse_waiting(void);
bool fuse_wait(unsigned int count);

/* Answers all reads, from here on at once. */
void fuse_answer(void);

/* Answers all reads, and ends the process and the file system. */
void fuse_stop(void);

#endif /* E2E_FUSE_H */
