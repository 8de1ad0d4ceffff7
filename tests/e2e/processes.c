// SPDX-License-Identifier: GPL-2.0-only
/*
 * A container, and processes other than its first user: fork and exec, file
 * descriptors passed to other processes, and exit and SIGKILL in the middle of
 * a MAP_DMA.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "version2.h"
#include "vfio.h"

/* A MAP_DMA that takes long enough to be interrupted. */
#define LONG_SIZE	(32 << 20)
#define LONG_REGIONS	512
#define LONG_ROUNDS	8
/* The most attempts to observe the middle of it. */
#define LONG_POLLS	100000

/* Another process uses the container, and is refused. */
static void use_foreign(void *data)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio *vfio = data;
	int container = vfio->container;

	CHECK_EQ(vfio_info(container, &info), -EPERM);
	CHECK_EQ(vfio_register(container, memory, page), -EPERM);
	CHECK_EQ(vfio_unregister(container, memory, PAGES * page), -EPERM);
	CHECK_EQ(vfio_map(container, IOVA, memory, page, MAP_BOTH), -EPERM);
	CHECK_EQ(vfio_unmap(container, IOVA, page), -EPERM);
	CHECK_EQ(vfio_create(container, 12, BIT_ULL(31), 2, NULL), -EPERM);
	CHECK_EQ(vfio_remove(container, 0), -EPERM);
	CHECK_EQ(state_locked(), 0);
	/* This does not use the container. */
	CHECK_EQ(vfio_ioctl(container, VFIO_CHECK_EXTENSION,
			    (void *)VFIO_SPAPR_TCE_v2_IOMMU), 1);
}

static void test_fork(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	use_windows(&vfio);
	before = state_now();
	tap_child(use_foreign, &vfio);
	CHECK_STATE(&before);

	/* The parent can still use it after the child has closed it. */
	CHECK(edu_copies(&vfio, IOVA, memory, HIGH + page, memory + page));
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, PAGES * page), 0);
	CHECK(!edu_reads(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

/* The child is the first user of the container. */
static void use_first(void *data)
{
	struct vfio *vfio = data;

	CHECK_EQ(vfio_register(vfio->container, memory, page), 0);
	CHECK_EQ(vfio_map(vfio->container, IOVA, memory, page, MAP_BOTH), 0);
}

static void test_owner_gone(void)
{
	struct vfio vfio;

	vfio_open(&vfio);
	tap_child(use_first, &vfio);

	/* It has exited, and no other process may use the container. */
	CHECK_EQ(vfio_register(vfio.container, memory, page), -EPERM);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), -EPERM);
	CHECK_EQ(state_locked(), 0);
	vfio_close(&vfio);
}

/* File descriptors are passed to another process, as QEMU does with helpers. */

/*
 * Duplicates a file descriptor of another process. The kernel may have no
 * sockets.
 */
static int fetch_fd(pid_t process, int fd)
{
	int pidfd = syscall(SYS_pidfd_open, process, 0);
	int fetched = syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	if (fetched < 0)
		tap_bail("a file descriptor of another process: %s",
			 strerror(errno));
	close(pidfd);

	return fetched;
}

static int to_child[2], to_parent[2];

/*
 * Each side closes the ends of the other one, so that read() returns when that
 * one exits.
 */
static void keep_ends(bool child)
{
	close(to_child[child]);
	close(to_parent[!child]);
}

/* This process was forked before the container was opened. */
static void use_passed(void *data)
{
	struct vfio vfio = { .group = -1, .device = -1 };
	int fd = -1;

	(void)data;
	keep_ends(true);
	CHECK_EQ(read(to_child[0], &fd, sizeof(fd)), sizeof(fd));
	vfio.container = fetch_fd(getppid(), fd);
	use_foreign(&vfio);
	close(vfio.container);
	CHECK_EQ(write(to_parent[1], "", 1), 1);
}

static pid_t start_child(void (*run)(void *data))
{
	pid_t pid;

	if (pipe(to_child) || pipe(to_parent))
		tap_bail("pipe: %s", strerror(errno));

	signal(SIGPIPE, SIG_IGN);
	pid = tap_start(run, NULL);
	keep_ends(false);

	return pid;
}

static void end_child(pid_t pid)
{
	tap_finish(pid);
	close(to_child[1]);
	close(to_parent[0]);
}

static void test_passed(void)
{
	pid_t pid = start_child(use_passed);
	struct state before;
	struct vfio vfio;
	char byte;

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	use_windows(&vfio);
	before = state_now();
	CHECK_EQ(write(to_child[1], &vfio.container, sizeof(int)), sizeof(int));
	CHECK_EQ(read(to_parent[0], &byte, 1), 1);
	end_child(pid);
	CHECK_STATE(&before);
	CHECK(edu_copies(&vfio, IOVA, memory, HIGH + page, memory + page));
	vfio_close(&vfio);
}

static void use_and_pass(void *data)
{
	struct vfio vfio;
	int fds[2];
	char byte;

	(void)data;
	keep_ends(true);
	vfio_open(&vfio);
	use_windows(&vfio);
	fds[0] = vfio.container;
	fds[1] = vfio.group;
	CHECK_EQ(write(to_parent[1], fds, sizeof(fds)), sizeof(fds));
	/* Waits until they have been duplicated. */
	CHECK_EQ(read(to_child[0], &byte, 1), 1);
}

/* The address space is freed before the container, with everything mapped. */
static void test_passed_and_exit(void)
{
	struct state before = state_now();
	struct vfio vfio = { .device = -1 };
	pid_t pid = start_child(use_and_pass);
	int fds[2];

	CHECK_EQ(read(to_parent[0], fds, sizeof(fds)), sizeof(fds));
	vfio.container = fetch_fd(pid, fds[0]);
	vfio.group = fetch_fd(pid, fds[1]);
	CHECK_EQ(write(to_child[1], "", 1), 1);
	end_child(pid);
	CHECK(state_now().pinned >= before.pinned + PAGES);
	CHECK_MAPPED(WINDOW1_START, PAGES);
	use_foreign(&vfio);
	vfio_close(&vfio);
	CHECK_STATE(&before);
}

/*
 * Another program uses inherited file descriptors. Returns the number of
 * errors.
 */
static int probe(int container)
{
	struct vfio_iommu_spapr_tce_info info;
	int answers[] = {
		vfio_info(container, &info),
		vfio_register(container, memory, page),
		vfio_unregister(container, memory, PAGES * page),
		vfio_map(container, IOVA, memory, page, MAP_BOTH),
		vfio_unmap(container, IOVA, page),
		vfio_create(container, 12, BIT_ULL(31), 2, NULL),
		vfio_remove(container, 0),
	};
	int errors = state_locked() != 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(answers); i++)
		errors += answers[i] != -EPERM;

	return errors;
}

static void use_and_exec(void *data)
{
	char container[16];
	struct vfio vfio;

	(void)data;
	vfio_open(&vfio);
	use_windows(&vfio);
	fcntl(vfio.container, F_SETFD, 0);
	fcntl(vfio.group, F_SETFD, 0);
	snprintf(container, sizeof(container), "%d", vfio.container);
	fflush(stdout);
	execl("/proc/self/exe", "processes", container, NULL);
	tap_bail("exec: %s", strerror(errno));
}

static void use_and_exec_closed(void *data)
{
	struct vfio vfio;

	(void)data;
	vfio_open(&vfio);
	use_windows(&vfio);
	execl("/proc/self/exe", "processes", "-1", NULL);
	tap_bail("exec: %s", strerror(errno));
}

static void test_exec(void)
{
	struct state before = state_now();

	tap_child(use_and_exec, NULL);
	CHECK_STATE(&before);
	tap_child(use_and_exec_closed, NULL);
	CHECK_STATE(&before);
}

/* The number of MAP_DMAs begun, in shared memory. */
static unsigned int *long_maps;

/* Maps and unmaps a large range endlessly. */
static void *map_long(void *data)
{
	unsigned char *area = vfio_memory(LONG_SIZE);
	size_t size = LONG_SIZE / LONG_REGIONS;
	struct vfio *vfio = data;
	unsigned int i;

	for (i = 0; i < LONG_REGIONS; i++)
		CHECK_EQ(vfio_register(vfio->container, area + i * size, size),
			 0);
	for (;;) {
		__atomic_add_fetch(long_maps, 1, __ATOMIC_SEQ_CST);
		CHECK_EQ(vfio_map(vfio->container, 0, area, LONG_SIZE,
				  MAP_BOTH), 0);
		CHECK_EQ(vfio_unmap(vfio->container, 0, LONG_SIZE), 0);
	}

	return NULL;
}

/*
 * Waits for the beginning of a MAP_DMA: regions are counted, or levels
 * allocated.
 */
static void wait_for_begin(void)
{
	unsigned int maps = __atomic_load_n(long_maps, __ATOMIC_SEQ_CST);
	unsigned int i;

	for (i = 0; i < LONG_POLLS; i++) {
		if (__atomic_load_n(long_maps, __ATOMIC_SEQ_CST) != maps)
			return;
		usleep(10);
	}
	tap_bail("no MAP_DMA begins");
}

/* Waits until the range is partly mapped. */
static void wait_for_middle(void)
{
	__u64 pages = LONG_SIZE / SIZE_4K;
	struct figures figures;
	unsigned int i;

	for (i = 0; i < LONG_POLLS; i++)
		if (figures_read(0, &figures) && figures.mapped_pages &&
		    figures.mapped_pages < pages)
			return;
	tap_bail("the range is never partly mapped");
}

static void (*const waits[])(void) = { wait_for_begin, wait_for_middle };

/* Maps until *@data has returned, or without @data until it is killed. */
static void map_and_exit(void *data)
{
	void (*const *wait)(void) = data;
	pthread_t thread;
	struct vfio vfio;

	vfio_open(&vfio);
	if (pthread_create(&thread, NULL, map_long, &vfio))
		tap_bail("pthread_create");
	if (wait)
		(*wait)();
	else
		pthread_join(thread, NULL);
	_exit(0);
}

static void share_long_maps(void)
{
	long_maps = mmap(NULL, page, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (long_maps == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));
}

static void test_exit_in_map(void)
{
	struct state before = state_now();
	unsigned int i;

	share_long_maps();
	for (i = 0; i < LONG_ROUNDS; i++) {
		tap_child(map_and_exit, (void *)&waits[i % 2]);
		CHECK_STATE(&before);
	}
	munmap(long_maps, page);
}

static void test_killed_in_map(void)
{
	struct state before = state_now();
	unsigned int i;
	int status;
	pid_t pid;

	share_long_maps();
	for (i = 0; i < LONG_ROUNDS; i++) {
		pid = tap_start(map_and_exit, NULL);
		waits[i % 2]();
		kill(pid, SIGKILL);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status));
		CHECK_STATE(&before);
	}
	munmap(long_maps, page);
}

int main(int argc, char **argv)
{
	init_v2();
	if (argc == 2)
		return atoi(argv[1]) < 0 ? 0 : probe(atoi(argv[1]));
	state_watch();

	tap_test("a child cannot use its parent's container", test_fork);
	tap_test("a container belongs to its first user, even after exit",
		 test_owner_gone);
	tap_test("a container passed to another process cannot be used there",
		 test_passed);
	tap_test("a container outlives the address space of its first user",
		 test_passed_and_exit);
	tap_test("after exec the process cannot use the container",
		 test_exec);
	tap_test_ours("exit in the middle of a MAP_DMA releases everything",
		      test_exit_in_map);
	tap_test_ours("SIGKILL in the middle of a MAP_DMA releases everything",
		      test_killed_in_map);

	return tap_main();
}
