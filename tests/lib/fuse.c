// SPDX-License-Identifier: GPL-2.0-only
/* A file whose reads are answered when the test says so. Contract: fuse.h. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse.h"
#include "tap.h"
#include "vfio.h"

#define MOUNT_POINT	"/tmp/fuse"
#define FILE_NAME	MOUNT_POINT "/file"
#define FILE_NODE	2
#define FILE_BYTES	(1ULL << 50)

/* Requests that can wait at once. */
#define WAITING		64
/*
 * The largest request, and the largest answer: one page of 64K and its header.
 */
#define BUFFER		(1 << 17)

#define POLLS		6000
#define POLL_US		10000

/**
 * struct responder - memory that the test shares with the process that answers
 * @lock: the mode that fuse_start() was called with
 * @failures: reads to be answered with an error before one waits
 * @answer: reads are answered at once
 * @waiting: reads that wait
 */
struct responder {
	enum fuse_lock lock;
	unsigned int failures;
	bool answer;
	unsigned int waiting;
};

static struct responder *responder;
static unsigned char *content;
static size_t page;
static int device = -1;
static int file = -1;
static pid_t process;
/* The number of pages of each content that were mapped so far. */
static off_t next[FUSE_CONTENTS];

static void reply(uint64_t unique, int error, const void *data, size_t size)
{
	static unsigned char buffer[BUFFER];
	struct fuse_out_header header = {
		.len = sizeof(header) + (error ? 0 : size),
		.error = error,
		.unique = unique,
	};

	memcpy(buffer, &header, sizeof(header));
	if (!error && size)
		memcpy(buffer + sizeof(header), data, size);
	/* The reader may have been killed. */
	if (write(device, buffer, header.len) < 0 && errno != ENOENT)
		_exit(1);
}

static void set_attr(struct fuse_attr *attr, uint64_t node)
{
	*attr = (struct fuse_attr) {
		.ino = node,
		.mode = node == FILE_NODE ? S_IFREG | 0644 : S_IFDIR | 0755,
		.nlink = 1,
		.size = node == FILE_NODE ? FILE_BYTES : 0,
		.blksize = 4096,
	};
}

/**
 * struct request - a read
 * @unique: its number
 * @offset: of the first byte in the file
 * @size: bytes
 */
struct request {
	uint64_t unique;
	uint64_t offset;
	uint32_t size;
};

/* The pages of the file have the contents in turn. */
static void reply_read(const struct request *request)
{
	static unsigned char data[BUFFER / 2];
	uint64_t number = request->offset / page;
	uint32_t done;

	if (responder->lock == FUSE_LOCKED || request->size > sizeof(data) ||
	    request->offset % page) {
		reply(request->unique, -EIO, NULL, 0);
		return;
	}
	for (done = 0; done < request->size; done += page)
		memcpy(data + done, fuse_content_of(number++ % FUSE_CONTENTS),
		       page);
	reply(request->unique, 0, data, request->size);
}

/* Reads that wait. */
static struct request held[WAITING];

static void answer_held(void)
{
	while (responder->waiting) {
		unsigned int last = responder->waiting - 1;

		reply_read(&held[last]);
		__atomic_store_n(&responder->waiting, last, __ATOMIC_RELEASE);
	}
}

/* The thread that waited was killed. */
static void forget(uint64_t unique)
{
	unsigned int i, last = responder->waiting - 1;

	for (i = 0; i < responder->waiting; i++) {
		if (held[i].unique != unique)
			continue;
		held[i] = held[last];
		__atomic_store_n(&responder->waiting, last, __ATOMIC_RELEASE);
		reply(unique, -EINTR, NULL, 0);
		return;
	}
}

static void serve_read(const struct fuse_in_header *header)
{
	const struct fuse_read_in *in = (const void *)(header + 1);
	struct request request = {
		.unique = header->unique,
		.offset = in->offset,
		.size = in->size,
	};

	if (responder->failures) {
		responder->failures--;
		reply(header->unique, -EIO, NULL, 0);
	} else if (responder->answer || responder->waiting == WAITING) {
		reply_read(&request);
	} else {
		held[responder->waiting] = request;
		__atomic_store_n(&responder->waiting, responder->waiting + 1,
				 __ATOMIC_RELEASE);
	}
}

static void serve(const struct fuse_in_header *header)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = 31,
		.max_write = 1 << 16,
	};
	struct fuse_entry_out entry = {
		.nodeid = FILE_NODE,
		.entry_valid = 1000,
		.attr_valid = 1000,
	};
	struct fuse_attr_out attr = { .attr_valid = 1000 };
	struct fuse_open_out open = { .fh = 1 };

	switch (header->opcode) {
	case FUSE_INIT:
		reply(header->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		set_attr(&entry.attr, FILE_NODE);
		reply(header->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		set_attr(&attr.attr, header->nodeid);
		reply(header->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		reply(header->unique, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		serve_read(header);
		break;
	case FUSE_INTERRUPT:
		forget(((const struct fuse_interrupt_in *)(header + 1))
			       ->unique);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		/* These have no answer. */
		break;
	default:
		reply(header->unique, -EOPNOTSUPP, NULL, 0);
	}
}

static void serve_all(void)
{
	static unsigned char request[BUFFER];
	struct pollfd readable = { .fd = device, .events = POLLIN };

	for (;;) {
		if (poll(&readable, 1, POLL_US / 1000) > 0) {
			if (read(device, request, sizeof(request)) > 0)
				serve((const void *)request);
			else if (errno == ENODEV)
				_exit(0);
		}
		if (__atomic_load_n(&responder->answer, __ATOMIC_ACQUIRE))
			answer_held();
	}
}

static void *make_common(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		tap_bail("shared memory: %s", strerror(errno));

	return memory;
}

void fuse_start(enum fuse_lock lock)
{
	char options[100];
	sigset_t children;

	/*
	 * If a signal wakes a thread that waits for a page, its read fails. The
	 * kernel drops SIGCHLD, which this process ignores, unless the thread
	 * that created the child blocks it. The C library does so during
	 * fork(); the signal would then wake a thread that does not block it.
	 * So all threads block it.
	 */
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);

	if (!responder) {
		page = vfio_page_size();
		responder = make_common(sizeof(*responder));
		content = make_common(FUSE_CONTENTS * page);
		mkdir(MOUNT_POINT, 0755);
	}
	*responder = (struct responder) {
		.lock = lock,
		.failures = lock == FUSE_LOCKED,
	};
	memset(content, 0, FUSE_CONTENTS * page);
	memset(next, 0, sizeof(next));

	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		tap_bail("/dev/fuse: %s", strerror(errno));
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	if (mount("test", MOUNT_POINT, "fuse", MS_NODEV | MS_NOSUID, options))
		tap_bail("mounting " MOUNT_POINT ": %s", strerror(errno));

	fflush(stdout);
	process = fork();
	if (process < 0)
		tap_bail("fork: %s", strerror(errno));
	if (!process) {
		/* Ends with the test, whose output it would keep open. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Files that the test closes must not stay open here. */
		if (device > 3)
			close_range(3, device - 1, 0);
		close_range(device + 1, ~0U, 0);
		serve_all();
	}

	file = open(FILE_NAME, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		tap_bail(FILE_NAME ": %s", strerror(errno));
}

static void *next_page(unsigned int number, void *address, int flags)
{
	off_t offset = (next[number]++ * FUSE_CONTENTS + number) * page;
	void *at = mmap(address, page, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | flags, file, offset);

	if (at == MAP_FAILED)
		tap_bail("mapping " FILE_NAME ": %s", strerror(errno));

	return at;
}

void *fuse_page(void)
{
	return next_page(0, NULL, 0);
}

void fuse_page_at(void *address)
{
	next_page(0, address, MAP_FIXED);
}

void fuse_page_of(unsigned int number, void *address)
{
	next_page(number, address, MAP_FIXED);
}

void fuse_forget(unsigned int number, void *address)
{
	off_t offset = ((next[number] - 1) * FUSE_CONTENTS + number) * page;

	if (mmap(address, page, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != address)
		tap_bail("unmapping " FILE_NAME ": %s", strerror(errno));
	posix_fadvise(file, offset, page, POSIX_FADV_DONTNEED);
}

void *fuse_content(void)
{
	return content;
}

void *fuse_content_of(unsigned int number)
{
	return content + number * page;
}

bool fuse_available(void)
{
	return !access("/dev/fuse", R_OK | W_OK);
}

unsigned int fuse_waiting(void)
{
	return __atomic_load_n(&responder->waiting, __ATOMIC_ACQUIRE);
}

bool fuse_wait(unsigned int count)
{
	unsigned int polls;

	for (polls = 0; polls < POLLS && fuse_waiting() != count; polls++)
		usleep(POLL_US);

	return fuse_waiting() == count;
}

void fuse_answer(void)
{
	__atomic_store_n(&responder->answer, true, __ATOMIC_RELEASE);
}

void fuse_stop(void)
{
	fuse_answer();
	fuse_wait(0);
	close(file);
	umount2(MOUNT_POINT, MNT_DETACH);
	kill(process, SIGKILL);
	waitpid(process, NULL, 0);
	close(device);
}
