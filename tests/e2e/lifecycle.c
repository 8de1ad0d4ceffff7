// SPDX-License-Identifier: GPL-2.0-only
/*
 * How containers begin and end: the first call, processes that exit, are killed,
 * fork, become another program or pass their container on, groups that come and
 * go, threads, and the module itself.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
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
#include "vfio.h"

#define MODULE		"vfio_iommu_spapr_tce"

#define PAGES		16
#define SIZE_4K		4096
#define STAGE		0x100000
#define IOVA		0x200000
#define HIGH		(WINDOW1_START + 0x200000)

/* What takes so long to count and map that something can happen meanwhile. */
#define LONG_SIZE	(32 << 20)
#define LONG_REGIONS	512
#define LONG_ROUNDS	8
/* How often the middle of it is waited for. */
#define LONG_POLLS	100000

#define THREADS		4
#define ROUNDS		200
/* Of a window in a guest, which takes its hypervisor a quarter of a second. */
#define ROUNDS_GUEST	25

static unsigned char *memory;
static size_t page;

static __u64 window0_size(void)
{
	return vfio_limits()->dma32_window_size;
}

static int make_large(struct vfio *vfio, unsigned int levels)
{
	return vfio_create(vfio->container, vfio_page_shift(),
			   BIT_ULL(vfio_large_shift()), vfio_levels(levels),
			   NULL);
}

/* Both windows, and memory mapped in each. */
static void use(struct vfio *vfio)
{
	CHECK_EQ(vfio_register(vfio->container, memory, PAGES * page), 0);
	CHECK_EQ(make_large(vfio, 2), 0);
	CHECK_EQ(vfio_map(vfio->container, IOVA, memory, PAGES * page,
			  MAP_BOTH), 0);
	CHECK_EQ(vfio_map(vfio->container, HIGH, memory, PAGES * page,
			  MAP_BOTH), 0);
}

static void test_before_registration(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), -EPERM);
	CHECK_EQ(vfio_unmap(vfio.container, 0, page), -EPERM);
	CHECK_STATE(&before);

	/* A window is not enough. */
	CHECK_EQ(vfio_create(vfio.container, 12, window0_size(),
			     vfio_levels(2), NULL), 0);
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), -EPERM);
	CHECK_EQ(vfio_unmap(vfio.container, 0, page), -EPERM);
	vfio_close(&vfio);
}

static void test_failed_registration(void)
{
	struct state before;
	struct vfio vfio;

	/* A call that failed is none. */
	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_register(vfio.container, memory + 512, page), -EINVAL);
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), -EPERM);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_default_window(void)
{
	struct figures figures;
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(state_locked(), before.locked + 1);
	CHECK_EQ(state_now().windows, before.windows);

	/* Even an UNMAP needs it. */
	CHECK_EQ(vfio_unmap(vfio.container, 0, page), 0);
	CHECK(state_locked() > before.locked + 1);
	if (!tap_intree()) {
		CHECK_EQ(state_now().windows, before.windows + 1);
		CHECK(figures_read(0, &figures));
		CHECK_EQ(figures.page_shift, 12);
		CHECK_EQ(figures.window_bytes, window0_size());
		CHECK_EQ(figures.mapped_pages, 0);
	}
	CHECK_EQ(vfio_map(vfio.container, window0_size() - page, memory, page,
			  MAP_BOTH), 0);
	CHECK_MAPPED(0, page / SIZE_4K);
	vfio_close(&vfio);
}

static void test_default_window_declined(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	before = state_now();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), -ENXIO);
	CHECK_EQ(vfio_unmap(vfio.container, 0, page), -ENXIO);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_close_all_mapped(void)
{
	struct vfio vfio;

	vfio_open(&vfio);
	use(&vfio);
	vfio_close(&vfio);

	/* The next one begins with nothing. */
	vfio_open(&vfio);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EPERM);
	edu_stage(&vfio, STAGE);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK(!edu_reads(&vfio, IOVA, memory));
	CHECK_EQ(vfio_map(vfio.container, HIGH, memory, page, MAP_BOTH),
		 -ENXIO);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

static void use_and_exit(void *data)
{
	struct vfio vfio;

	(void)data;
	vfio_open(&vfio);
	use(&vfio);
}

static void test_exit_all_mapped(void)
{
	struct state before = state_now();

	tap_child(use_and_exit, NULL);
	CHECK_STATE(&before);
}

static void test_killed_all_mapped(void)
{
	struct state before = state_now();
	struct vfio vfio;
	int ready[2];
	int status;
	pid_t pid;
	char byte;

	if (pipe(ready))
		tap_bail("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (!pid) {
		vfio_open(&vfio);
		use(&vfio);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	CHECK(state_now().pinned >= before.pinned + PAGES);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	close(ready[0]);
	close(ready[1]);
	CHECK_STATE(&before);

	vfio_open(&vfio);
	use(&vfio);
	vfio_close(&vfio);
}

/* What a process must not do with the container of another. */
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
	CHECK_EQ(vfio_create(container, 12, window0_size(), 2, NULL), -EPERM);
	CHECK_EQ(vfio_remove(container, 0), -EPERM);
	CHECK_EQ(state_locked(), 0);
	/* This is about no container. */
	CHECK_EQ(vfio_ioctl(container, VFIO_CHECK_EXTENSION,
			    (void *)VFIO_SPAPR_TCE_v2_IOMMU), 1);
}

static void test_fork(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	use(&vfio);
	before = state_now();
	tap_child(use_foreign, &vfio);
	CHECK_STATE(&before);

	/* The parent's goes on, after a child has closed it as well. */
	CHECK(edu_copies(&vfio, IOVA, memory, HIGH + page, memory + page));
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, PAGES * page), 0);
	CHECK(!edu_reads(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

/* The child is the first to use it, so it is the child's. */
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

	/* The owner is gone, the container is not; nobody can use it. */
	CHECK_EQ(vfio_register(vfio.container, memory, page), -EPERM);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), -EPERM);
	CHECK_EQ(state_locked(), 0);
	vfio_close(&vfio);
}

/* File descriptors go to another process, as they do to a helper of QEMU's. */

/* It stays the other one's too. A socket would do the same, if the kernel has any. */
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

/* Each side keeps its own ends, so that who waits sees the other one's end. */
static void keep_ends(bool child)
{
	close(to_child[child]);
	close(to_parent[!child]);
}

/* Forked before there was a container. */
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
	use(&vfio);
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
	use(&vfio);
	fds[0] = vfio.container;
	fds[1] = vfio.group;
	CHECK_EQ(write(to_parent[1], fds, sizeof(fds)), sizeof(fds));
	/* Until they have been fetched. */
	CHECK_EQ(read(to_child[0], &byte, 1), 1);
}

/* The address space goes before the container, with all mapped. */
static void test_passed_and_gone(void)
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

/* What another program may do with what it was left: the number of mistakes. */
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
	int mistakes = state_locked() != 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(answers); i++)
		mistakes += answers[i] != -EPERM;

	return mistakes;
}

static void use_and_exec(void *data)
{
	char container[16];
	struct vfio vfio;

	(void)data;
	vfio_open(&vfio);
	use(&vfio);
	fcntl(vfio.container, F_SETFD, 0);
	fcntl(vfio.group, F_SETFD, 0);
	snprintf(container, sizeof(container), "%d", vfio.container);
	fflush(stdout);
	execl("/proc/self/exe", "lifecycle", container, NULL);
	tap_bail("exec: %s", strerror(errno));
}

static void use_and_exec_closed(void *data)
{
	struct vfio vfio;

	(void)data;
	vfio_open(&vfio);
	use(&vfio);
	execl("/proc/self/exe", "lifecycle", "-1", NULL);
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

/* How often it has been tried to map, in memory that processes share. */
static unsigned int *long_maps;

/* Maps and unmaps for ever what takes its time. */
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

/* Somebody has begun: regions are counted, or levels allocated. */
static void wait_for_begin(void)
{
	unsigned int maps = __atomic_load_n(long_maps, __ATOMIC_SEQ_CST);
	unsigned int i;

	for (i = 0; i < LONG_POLLS; i++) {
		if (__atomic_load_n(long_maps, __ATOMIC_SEQ_CST) != maps)
			return;
		usleep(10);
	}
	tap_bail("nothing is ever mapped");
}

/* When a part is mapped, somebody is at it. */
static void wait_for_middle(void)
{
	__u64 pages = LONG_SIZE / SIZE_4K;
	struct figures figures;
	unsigned int i;

	for (i = 0; i < LONG_POLLS; i++)
		if (figures_read(0, &figures) && figures.mapped_pages &&
		    figures.mapped_pages < pages)
			return;
	tap_bail("nothing is ever mapped by half");
}

static void (*const waits[])(void) = { wait_for_begin, wait_for_middle };

/* Ends with what @data waits for, or when it is killed. */
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

static void test_container_closed_first(void)
{
	struct state before;
	struct vfio vfio;
	int container;

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	use(&vfio);
	before = state_now();
	container = vfio.container;
	close(container);

	/* The group holds it. */
	CHECK_STATE(&before);
	CHECK(edu_copies(&vfio, IOVA, memory, HIGH + page, memory + page));
	vfio_detach(&vfio);
}

static void test_group_comes_back(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio vfio;
	int container;

	vfio_open(&vfio);
	container = vfio.container;
	use(&vfio);
	vfio_detach(&vfio);

	/* Without a group the container knows no IOMMU. */
	CHECK_EQ(vfio_info(container, &info), -EINVAL);
	CHECK_EQ(vfio_map(container, IOVA, memory, page, MAP_BOTH), -EINVAL);

	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	/* All new: nothing is registered, and there is one window. */
	CHECK_EQ(vfio_map(container, IOVA, memory, page, MAP_BOTH), -EPERM);
	use(&vfio);
	vfio_close(&vfio);
}

/* Two groups in one container. */
static bool open_two(struct vfio *first, struct vfio *second)
{
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return false;
	}

	vfio_open(first);
	return CHECK_EQ(vfio_attach(second, first->container, 1), 0);
}

static void test_two_groups(void)
{
	struct vfio first, second;
	struct state before;

	if (!open_two(&first, &second))
		return;

	use(&first);
	CHECK_EQ(vfio_map(first.container, STAGE, memory + page, page,
			  MAP_BOTH), 0);
	/* Both devices have the page at STAGE as their stage. */
	vfio_start_device(&first);
	vfio_start_device(&second);
	first.stage = memory + page;
	first.stage_iova = STAGE;
	second.stage = memory + page;
	second.stage_iova = STAGE;
	before = state_now();

	CHECK(edu_reads(&first, IOVA, memory));
	CHECK(edu_reads(&second, IOVA, memory));
	CHECK(edu_writes(&second, HIGH, memory));

	/* One leaves; what the other sees does not change. */
	first.stage = NULL;
	vfio_detach(&first);
	CHECK_STATE(&before);
	CHECK(edu_reads(&second, IOVA, memory));
	CHECK(edu_writes(&second, HIGH, memory));

	/* It comes back and finds the windows and the mappings. */
	CHECK_EQ(vfio_attach(&first, second.container, 0), 0);
	CHECK_STATE(&before);
	vfio_start_device(&first);
	first.stage = memory + page;
	first.stage_iova = STAGE;
	CHECK(edu_reads(&first, IOVA, memory));
	CHECK(edu_writes(&first, HIGH, memory));

	/* A window is taken from both. */
	CHECK_EQ(vfio_remove(first.container, WINDOW1_START), 0);
	CHECK(!edu_reads(&first, HIGH, memory));
	CHECK(!edu_reads(&second, HIGH, memory));
	CHECK(edu_reads(&second, IOVA, memory));

	first.stage = NULL;
	second.stage = NULL;
	vfio_detach(&second);
	vfio_close(&first);
}

static void test_first_group_leaves(void)
{
	struct vfio first, second;

	if (!open_two(&first, &second))
		return;

	/* The default window was due when the first group came. */
	vfio_detach(&first);
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK_MAPPED(0, page / SIZE_4K);
	vfio_close(&second);
}

static struct worker {
	pthread_t thread;
	struct vfio *vfio;
	unsigned int number;
	int error;
} workers[THREADS];

/* Leaves its page mapped at its place, after others were mapped there. */
static void *map_and_unmap(void *data)
{
	struct worker *worker = data;
	int container = worker->vfio->container;
	/* The places of the threads lie between each other's. */
	__u64 iova = IOVA + worker->number * page;
	unsigned char *own = memory + worker->number * page;
	unsigned int round;

	for (round = 0; round < ROUNDS && !worker->error; round++) {
		unsigned char *other = memory + round % PAGES * page;

		worker->error = vfio_map(container, iova, other, page,
					 MAP_BOTH);
		if (!worker->error && round % 3)
			worker->error = vfio_unmap(container, iova, page);
		/* Somewhere else, where levels are missing. */
		if (!worker->error && !(round % 8))
			worker->error = vfio_map(container,
						 HIGH + (round << 24) + iova,
						 own, page, MAP_READ);
	}
	if (!worker->error)
		worker->error = vfio_map(container, iova, own, page, MAP_BOTH);

	return NULL;
}

static void start_worker(unsigned int i, struct vfio *vfio,
			 void *(*run)(void *data))
{
	int ret;

	workers[i] = (struct worker) { .vfio = vfio, .number = i };
	ret = pthread_create(&workers[i].thread, NULL, run, &workers[i]);
	if (ret)
		tap_bail("pthread_create: %s", strerror(ret));
}

static void join_worker(unsigned int i)
{
	pthread_join(workers[i].thread, NULL);
	CHECK_EQ(workers[i].error, 0);
}

static void test_threads(void)
{
	__u64 far = (ROUNDS + 7) / 8;
	struct vfio vfio;
	unsigned int i;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(make_large(&vfio, 3), 0);
	edu_stage(&vfio, STAGE);
	for (i = 0; i < THREADS; i++)
		start_worker(i, &vfio, map_and_unmap);
	for (i = 0; i < THREADS; i++)
		join_worker(i);

	/* One page each, and the stage. */
	CHECK_MAPPED(0, (THREADS + 1) * page / SIZE_4K);
	CHECK_MAPPED(WINDOW1_START, THREADS * far);
	for (i = 0; i < THREADS; i++) {
		__u64 iova = IOVA + i * page;

		CHECK(edu_reads(&vfio, iova, memory + i * page));
		CHECK(edu_writes(&vfio, iova, memory + i * page));
	}

	/* The counts are right, too: nothing mapped, nothing counted. */
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, THREADS * page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	vfio_close(&vfio);
}

/* Registers and unregisters what nobody maps. */
static void *register_and_unregister(void *data)
{
	struct worker *worker = data;
	int container = worker->vfio->container;
	unsigned char *own = vfio_memory(page);
	unsigned int round;

	for (round = 0; round < ROUNDS && !worker->error; round++) {
		worker->error = vfio_register(container, own, page);
		if (!worker->error)
			worker->error = vfio_unregister(container, own, page);
	}
	munmap(own, page);

	return NULL;
}

/* The second window comes and goes. */
static void *create_and_remove(void *data)
{
	struct worker *worker = data;
	unsigned int rounds = vfio_hypervised() ? ROUNDS_GUEST : ROUNDS;
	int container = worker->vfio->container;
	unsigned int round;

	for (round = 0; round < rounds && !worker->error; round++) {
		worker->error = make_large(worker->vfio, 2);
		if (!worker->error)
			worker->error = vfio_remove(container, WINDOW1_START);
	}

	return NULL;
}

/* Maps in a window that may be there or not. */
static void *map_maybe(void *data)
{
	struct worker *worker = data;
	int container = worker->vfio->container;
	unsigned int round;
	int ret = 0;

	for (round = 0; round < ROUNDS; round++) {
		ret = vfio_map(container, HIGH + (round << 24), memory,
			       PAGES * page, MAP_BOTH);
		if (!ret)
			ret = vfio_unmap(container, HIGH + (round << 24),
					 page);
		if (ret && ret != -ENXIO)
			break;
	}
	worker->error = ret == -ENXIO ? 0 : ret;

	return NULL;
}

static void test_windows_under_threads(void)
{
	struct state before;
	struct vfio vfio;
	unsigned int i;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	before = state_now();
	start_worker(0, &vfio, create_and_remove);
	start_worker(1, &vfio, register_and_unregister);
	start_worker(2, &vfio, map_maybe);
	start_worker(3, &vfio, map_maybe);
	for (i = 0; i < THREADS; i++)
		join_worker(i);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	vfio_close(&vfio);
}

static int unload(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ? -errno : 0;
}

static void test_module(void)
{
	struct state before = state_now();
	struct vfio vfio;

	if (state_built_in()) {
		tap_skip("the backend is built in");
		return;
	}
	vfio_open(&vfio);
	CHECK(state_now().users > before.users);
	CHECK_EQ(unload(), -EWOULDBLOCK);
	use(&vfio);
	CHECK_EQ(unload(), -EWOULDBLOCK);
	CHECK(vfio_ioctl(vfio.container, VFIO_CHECK_EXTENSION,
			 (void *)VFIO_SPAPR_TCE_v2_IOMMU) == 1);
	vfio_close(&vfio);
	CHECK_STATE(&before);
}

int main(int argc, char **argv)
{
	page = vfio_page_size();
	memory = vfio_memory(PAGES * page);
	if (argc == 2)
		return atoi(argv[1]) < 0 ? 0 : probe(atoi(argv[1]));
	state_watch();

	tap_test("MAP_DMA and UNMAP_DMA need registered memory first",
		 test_before_registration);
	tap_test("a registration that failed does not count as one",
		 test_failed_registration);
	tap_test("the default window is made when it is needed first",
		 test_default_window);
	tap_test("a default window that was declined is not made",
		 test_default_window_declined);
	tap_test("closing a container with all mapped leaves nothing behind",
		 test_close_all_mapped);
	tap_test("a process that exits with all mapped leaves nothing behind",
		 test_exit_all_mapped);
	tap_test("a process that is killed with all mapped leaves nothing behind",
		 test_killed_all_mapped);
	tap_test("a child cannot use its parent's container", test_fork);
	tap_test("a container belongs to its first user, alive or not",
		 test_owner_gone);
	tap_test("a container that was passed on is still its first user's",
		 test_passed);
	tap_test("a container outlives the address space that it belongs to",
		 test_passed_and_gone);
	tap_test("another program in the same process cannot use the container",
		 test_exec);
	tap_test_ours("a process that exits in the middle of a MAP_DMA leaves nothing behind",
		      test_exit_in_map);
	tap_test_ours("a process that is killed in the middle of a MAP_DMA leaves nothing behind",
		      test_killed_in_map);
	tap_test("a group keeps its container when that is closed",
		 test_container_closed_first);
	tap_test("a container whose only group left begins anew",
		 test_group_comes_back);
	tap_test_ours("a group that leaves and comes back takes nothing from another",
		      test_two_groups);
	tap_test("the default window is made for the group that is left",
		 test_first_group_leaves);
	tap_test_ours("threads that map and unmap do not disturb each other",
		      test_threads);
	tap_test_ours("windows come and go while threads map and register",
		      test_windows_under_threads);
	tap_test("the module cannot be unloaded while it is in use",
		 test_module);

	return tap_main();
}
