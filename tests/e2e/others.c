// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that have nothing to do with each other but the module. One of them holds its
 * own mmap_lock, by a page fault that nobody answers, and has something to give back that
 * needs the lock; or it makes an ioctl whose argument never comes. All others, and all that
 * does not need that argument, go on.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edu.h"
#include "fuse.h"
#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define IOVA		0x200000
#define STAGE		0x100000
#define WINDOW_BYTES	BIT_ULL(30)
#define LEVELS		(vfio_hypervised() ? 1 : 2)
#define NOBODY		65534

/* Leaves of a window, for what is charged by level. */
#define LEAVES		32
#define LEAF_BYTES	BIT_ULL(22)

/* For what would never come: half a minute. */
#define POLLS		3000
#define POLL_US		10000

/**
 * struct common - what the processes of a test have in common
 * @step: what a process is about to do, for the message if it hangs there
 * @ready: the lock is held
 * @giving: what needs it is about to be given back
 * @over: the others are through
 * @mapped: something of the process was mapped although its lock was held
 */
static struct common {
	char step[100];
	int ready;
	int giving;
	int over;
	int mapped;
} *common;

static size_t page;
/* The device of the others. */
static unsigned int others_device;

static void tell(int *what)
{
	__atomic_store_n(what, 1, __ATOMIC_RELEASE);
}

static bool told(const int *what)
{
	unsigned int polls;

	for (polls = 0; polls < POLLS; polls++) {
		if (__atomic_load_n(what, __ATOMIC_ACQUIRE))
			return true;
		usleep(POLL_US);
	}

	return false;
}

/* Shared memory, so that the last step of a process that hangs can be told. */
#define STEP(call)							\
	(snprintf(common->step, sizeof(common->step), "%s", #call), (call))

static bool ended(pid_t pid, int *status)
{
	unsigned int polls;

	for (polls = 0; polls < POLLS; polls++) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		usleep(POLL_US);
	}

	return false;
}

/* A process of its own that is through in time, and passes its checks. */
#define CHECK_THROUGH(run) check_through(run, #run)
static bool check_through(void (*run)(void *unused), const char *name)
{
	pid_t pid = tap_start(run, NULL);
	int status;

	if (ended(pid, &status))
		return CHECK_EQ(status, 0);

	tap_diag("%s hangs in %s", name, common->step);
	CHECK(!"it hangs");
	/* Only an answer gets it out. */
	fuse_answer();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	return false;
}

/*
 * What others do, with the first device: they attach, register, map, make and remove
 * windows, and close.
 */
static void another_works(void *unused)
{
	unsigned char *memory = vfio_memory(page);
	struct vfio vfio;
	__u64 start;

	(void)unused;
	vfio.container = STEP(vfio_open_container());
	CHECK_EQ(STEP(vfio_attach(&vfio, vfio.container, others_device)), 0);
	CHECK_EQ(STEP(vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_v2_IOMMU)), 0);
	CHECK_EQ(STEP(vfio_register(vfio.container, memory, page)), 0);
	CHECK_EQ(STEP(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH)), 0);
	CHECK_EQ(STEP(vfio_create(vfio.container, 12, WINDOW_BYTES,
				  LEVELS, &start)), 0);
	CHECK_EQ(STEP(vfio_map(vfio.container, start, memory, page, MAP_BOTH)), 0);
	CHECK_EQ(STEP(vfio_unmap(vfio.container, start, page)), 0);
	CHECK_EQ(STEP(vfio_remove(vfio.container, start)), 0);
	CHECK_EQ(STEP(vfio_unregister(vfio.container, memory, page)), -EBUSY);
	CHECK_EQ(STEP(vfio_unmap(vfio.container, IOVA, page)), 0);
	CHECK_EQ(STEP(vfio_unregister(vfio.container, memory, page)), 0);
	STEP(vfio_close(&vfio));
	CHECK_EQ(state_locked(), 0);
}

/* The same in version 1. */
static void another_works_v1(void *unused)
{
	unsigned char *memory = vfio_memory(page);
	struct vfio vfio;

	(void)unused;
	vfio.container = STEP(vfio_open_container());
	CHECK_EQ(STEP(vfio_attach(&vfio, vfio.container, others_device)), 0);
	CHECK_EQ(STEP(vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_IOMMU)), 0);
	CHECK_EQ(STEP(vfio_ioctl(vfio.container, VFIO_IOMMU_ENABLE, NULL)), 0);
	CHECK_EQ(STEP(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH)), 0);
	CHECK_EQ(STEP(vfio_ioctl(vfio.container, VFIO_IOMMU_DISABLE, NULL)), 0);
	STEP(vfio_close(&vfio));
	CHECK_EQ(state_locked(), 0);
}

/* With no group and no privilege. */
static void another_asks(void *unused)
{
	int container;

	(void)unused;
	if (setgid(NOBODY) || setuid(NOBODY))
		tap_bail("setuid: %s", strerror(errno));
	container = STEP(vfio_open_container());
	CHECK_EQ(STEP(vfio_ioctl(container, VFIO_CHECK_EXTENSION,
				 (void *)VFIO_SPAPR_TCE_v2_IOMMU)), 1);
	CHECK_EQ(STEP(vfio_ioctl(container, VFIO_CHECK_EXTENSION,
				 (void *)VFIO_EEH)) >= 0, 1);
	STEP(close(container));
}

/* Ends with all of it there, by a signal that cannot be caught. */
static void another_dies(void *unused)
{
	unsigned char *memory = vfio_memory(page);
	struct vfio vfio;

	(void)unused;
	STEP(vfio_open_device(&vfio, others_device));
	CHECK_EQ(STEP(vfio_register(vfio.container, memory, page)), 0);
	CHECK_EQ(STEP(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH)), 0);
	CHECK_EQ(STEP(vfio_create(vfio.container, 12, WINDOW_BYTES,
				  LEVELS, NULL)), 0);
	STEP(kill(getpid(), SIGKILL));
}

static void killed(void *unused)
{
	pid_t pid = tap_start(another_dies, NULL);
	int status;

	(void)unused;
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* What others do meanwhile; false if one of them hung. */
static bool check_others(void)
{
	return CHECK_THROUGH(another_asks) && CHECK_THROUGH(another_works) &&
	       CHECK_THROUGH(another_works_v1) && CHECK_THROUGH(killed) &&
	       CHECK_THROUGH(another_works);
}

/* A process that holds its lock: what it has, and how it gives that back. */
struct scene {
	const char *what;
	void (*prepare)(void);
	void (*give_back)(void);
	bool charge_allocated;
};

static struct vfio first, second;
static bool second_open;
static unsigned char *memory;
static unsigned char *region;
static int guest = -1;

static void open_second(void)
{
	vfio_open_device(&second, 1);
	second_open = true;
}

static void close_second(void)
{
	vfio_close(&second);
	second_open = false;
}

static void prepare_window(void)
{
	open_second();
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA, memory, page, MAP_BOTH), 0);
}

static void remove_window(void)
{
	vfio_remove(second.container, 0);
	vfio_unregister(second.container, memory, page);
}

/* Makes a window, which is charged, so it waits for the lock itself. */
static void make_window(void)
{
	vfio_create(second.container, 12, WINDOW_BYTES, LEVELS, NULL);
}

static void prepare_levels(void)
{
	unsigned int i;

	open_second();
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	for (i = 0; i < LEAVES; i++)
		CHECK_EQ(vfio_map(second.container, i * LEAF_BYTES, memory, page,
				  MAP_BOTH), 0);
}

static void unmap_levels(void)
{
	vfio_unmap(second.container, 0, LEAVES * LEAF_BYTES);
}

/* What the first container registered, and the second one has mapped. */
static void prepare_orphan(void)
{
	vfio_open_device(&first, 0);
	open_second();
	CHECK_EQ(vfio_register(first.container, region, page), 0);
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA, region, page, MAP_BOTH), 0);
	vfio_close(&first);
}

/* That region is all that the second container has. */
static void prepare_orphan_alone(void)
{
	prepare_orphan();
	CHECK_EQ(vfio_unregister(second.container, memory, page), 0);
	CHECK_EQ(vfio_unmap(second.container, IOVA, page), 0);
	CHECK_EQ(vfio_remove(second.container, 0), 0);
}

static void unmap_orphan(void)
{
	vfio_unmap(second.container, IOVA, page);
}

/* KVM goes on with a window whose container is closed. */
static void prepare_kvm(void)
{
	struct vfio_iommu_spapr_tce_info info;

	open_second();
	CHECK_EQ(vfio_info(second.container, &info), 0);
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	CHECK_EQ(vfio_map(second.container, 0, memory, page, MAP_BOTH), 0);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 1, 0, info.dma32_window_size, 12), 0);
	close_second();

	/* Whatever KVM says to this: nothing of it may be left. */
	open_second();
	CHECK_EQ(vfio_register(second.container, region, page), 0);
	h_put(guest, 0, region, MAP_BOTH);
	close_second();
	h_unput(guest, 0);
}

static void detach_kvm(void)
{
	guest_detach(guest);
}

static void leave_thread(int signal)
{
	(void)signal;
	syscall(SYS_exit, 0);
}

static void *fault_thread(void *where)
{
	return (void *)(uintptr_t)*(volatile unsigned char *)where;
}

static void *give_back_thread(void *data)
{
	const struct scene *scene = data;

	told(&common->ready);
	tell(&common->giving);
	scene->give_back();

	return NULL;
}

static void *map_thread(void *unused)
{
	(void)unused;
	told(&common->over);
	mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	tell(&common->mapped);

	return NULL;
}

/*
 * While its lock is held, a process does nothing that needs memory: no thread is made, no
 * file read.
 */
static void holder(void *data)
{
	const struct scene *scene = data;
	pthread_t faulting, giving, mapping;
	unsigned int polls;
	void *never;

	memory = vfio_memory(page);
	region = vfio_memory(page);
	never = fuse_page();
	signal(SIGBUS, leave_thread);
	scene->prepare();
	pthread_create(&giving, NULL, give_back_thread, (void *)scene);
	pthread_create(&mapping, NULL, map_thread, NULL);
	pthread_create(&faulting, NULL, fault_thread, never);
	if (!fuse_wait(1))
		tap_bail("the page fault does not wait");
	tell(&common->ready);

	/* Until there was an answer. */
	pthread_join(giving, NULL);
	pthread_join(mapping, NULL);
	if (second_open)
		close_second();
	if (guest >= 0)
		close(guest);
	for (polls = 0; polls < POLLS && state_locked(); polls++)
		usleep(POLL_US);
	CHECK_EQ(state_locked(), 0);
}

static bool can_wait(void)
{
	if (!fuse_available())
		tap_skip("the kernel has no FUSE");

	return fuse_available();
}

static bool begin_holding(const struct scene *scene, pid_t *pid)
{
	if (!can_wait())
		return false;
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return false;
	}
	memset(common, 0, sizeof(*common));
	others_device = 0;
	if (!tap_intree())
		state_charge_allocated(scene->charge_allocated);
	fuse_start(FUSE_LOCKED);
	*pid = tap_start(holder, (void *)scene);
	if (!told(&common->giving))
		tap_bail("the process does not get its lock");
	/* What is done for it by a worker is due by now. */
	sleep(2);

	return true;
}

static void end_holding(pid_t pid)
{
	int status;

	fuse_answer();
	if (CHECK(ended(pid, &status))) {
		CHECK_EQ(status, 0);
	} else {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	fuse_stop();
	if (!tap_intree())
		state_charge_allocated(false);
}

static void test_scene(const void *data)
{
	pid_t pid;

	if (!begin_holding(data, &pid))
		return;
	if (check_others()) {
		/* It did hold it all the time. */
		tell(&common->over);
		usleep(300000);
		CHECK(!__atomic_load_n(&common->mapped, __ATOMIC_ACQUIRE));
	}
	tell(&common->over);
	end_holding(pid);
}

/* The process ends although there is no answer, and so does all that it had. */
static void test_holder_killed(const void *data)
{
	pid_t pid;
	int status;

	if (!begin_holding(data, &pid))
		return;
	kill(pid, SIGKILL);
	CHECK(ended(pid, &status));
	check_others();
	fuse_stop();
	if (!tap_intree())
		state_charge_allocated(false);
}

static const struct scene scenes[] = {
	{ .what = "closes a container with a window and pages mapped",
	  .prepare = prepare_window, .give_back = close_second },
	{ .what = "removes its window", .prepare = prepare_window,
	  .give_back = remove_window },
	{ .what = "makes a window", .prepare = prepare_window,
	  .give_back = make_window },
	{ .what = "unmaps what levels were charged for", .prepare = prepare_levels,
	  .give_back = unmap_levels, .charge_allocated = true },
	{ .what = "closes a container charged by levels", .prepare = prepare_levels,
	  .give_back = close_second, .charge_allocated = true },
	{ .what = "closes the last container that maps a region",
	  .prepare = prepare_orphan, .give_back = close_second },
	{ .what = "closes a container that mapped nothing but such a region",
	  .prepare = prepare_orphan_alone, .give_back = close_second },
	{ .what = "unmaps a region whose container is gone",
	  .prepare = prepare_orphan, .give_back = unmap_orphan },
	{ .what = "ends a guest whose window's container is gone",
	  .prepare = prepare_kvm, .give_back = detach_kvm },
};

/*
 * Arguments that do not come. The ioctl is made in a thread, on the first device's
 * container, in which there are a region that is not mapped, one that is, and the default
 * window.
 */
#define MAPPED		0x100000
#define FREE		0x300000
#define ELSEWHERE	0x500000

/* The argument of an ioctl, all of it, with its size and these members. */
#define FILL(args, type, ...)							\
	(*(struct type *)(args) = (struct type) {				\
		.argsz = sizeof(struct type), __VA_ARGS__			\
	})

static void register_args(void *args)
{
	FILL(args, vfio_iommu_spapr_register_memory,
	     .vaddr = (uintptr_t)memory + 2 * page, .size = page);
}

static void unregister_args(void *args)
{
	FILL(args, vfio_iommu_spapr_register_memory,
	     .vaddr = (uintptr_t)memory + page, .size = page);
}

static void map_args(void *args)
{
	FILL(args, vfio_iommu_type1_dma_map, .flags = MAP_BOTH,
	     .vaddr = (uintptr_t)memory, .iova = FREE, .size = page);
}

static void unmap_args(void *args)
{
	FILL(args, vfio_iommu_type1_dma_unmap, .iova = MAPPED, .size = page);
}

static void create_args(void *args)
{
	FILL(args, vfio_iommu_spapr_tce_create, .page_shift = 12,
	     .window_size = WINDOW_BYTES, .levels = LEVELS);
}

static void remove_args(void *args)
{
	FILL(args, vfio_iommu_spapr_tce_remove, .start_addr = 0);
}

/* Not all of it: the rest may be where there is no answer yet. */
static void info_args(void *args)
{
	((struct vfio_iommu_spapr_tce_info *)args)->argsz =
		sizeof(struct vfio_iommu_spapr_tce_info);
}

static void eeh_args(void *args)
{
	FILL(args, vfio_eeh_pe_op, .op = VFIO_EEH_PE_GET_STATE);
}

static const struct argument {
	const char *what;
	unsigned long request;
	void (*fill)(void *args);
	/* So many bytes of it are there; the rest is not. */
	size_t there;
	bool host;
	/* The default window is not there any more afterwards. */
	bool removes;
} arguments[] = {
	{ .what = "REGISTER_MEMORY", .request = VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
	  .fill = register_args },
	{ .what = "UNREGISTER_MEMORY", .request = VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
	  .fill = unregister_args },
	{ .what = "MAP_DMA", .request = VFIO_IOMMU_MAP_DMA,
	  .fill = map_args },
	{ .what = "UNMAP_DMA", .request = VFIO_IOMMU_UNMAP_DMA,
	  .fill = unmap_args },
	{ .what = "TCE_CREATE", .request = VFIO_IOMMU_SPAPR_TCE_CREATE,
	  .fill = create_args },
	{ .what = "TCE_REMOVE", .request = VFIO_IOMMU_SPAPR_TCE_REMOVE,
	  .fill = remove_args, .removes = true },
	{ .what = "GET_INFO", .request = VFIO_IOMMU_SPAPR_TCE_GET_INFO,
	  .fill = info_args },
	{ .what = "the answer of GET_INFO", .request = VFIO_IOMMU_SPAPR_TCE_GET_INFO,
	  .fill = info_args,
	  .there = offsetof(struct vfio_iommu_spapr_tce_info, ddw) },
	{ .what = "VFIO_EEH_PE_OP", .request = VFIO_EEH_PE_OP,
	  .fill = eeh_args, .host = true },
};

/**
 * struct pending - an ioctl that waits for its argument
 * @request: which
 * @args: where its argument will be
 * @result: what it returned, when it has
 * @thread: that waits in it
 */
struct pending {
	unsigned long request;
	void *args;
	long result;
	pthread_t thread;
};

static void *pending_thread(void *data)
{
	struct pending *pending = data;

	pending->result = vfio_ioctl(first.container, pending->request,
				     pending->args);

	return NULL;
}

static void open_for_argument(void)
{
	memory = vfio_memory(4 * page);
	vfio_open_device(&first, 0);
	CHECK_EQ(vfio_register(first.container, memory, page), 0);
	CHECK_EQ(vfio_register(first.container, memory + page, page), 0);
	CHECK_EQ(vfio_map(first.container, MAPPED, memory, page, MAP_BOTH), 0);
}

/* Where the argument is: in the file, or with its beginning in ordinary memory. */
static void *place_argument(const struct argument *argument)
{
	unsigned char *pages;

	argument->fill(fuse_content());
	if (!argument->there)
		return fuse_page();

	pages = vfio_memory(2 * page);
	fuse_page_at(pages + page);
	pages += page - argument->there;
	argument->fill(pages);

	return pages;
}

static void begin_pending(const struct argument *argument, struct pending *pending)
{
	pending->request = argument->request;
	pending->args = place_argument(argument);
	pthread_create(&pending->thread, NULL, pending_thread, pending);
	CHECK(fuse_wait(1));
}

static int same_done;

/* What other threads do with the same container. */
static void *same_container(void *unused)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio joined;
	__u64 start;

	CHECK_EQ(STEP(vfio_info(first.container, &info)), 0);
	CHECK_EQ(STEP(vfio_register(first.container, memory + 3 * page, page)), 0);
	CHECK_EQ(STEP(vfio_map(first.container, ELSEWHERE, memory + 3 * page, page,
			       MAP_BOTH)), 0);
	CHECK_EQ(STEP(vfio_unmap(first.container, ELSEWHERE, page)), 0);
	CHECK_EQ(STEP(vfio_create(first.container, 12, WINDOW_BYTES, LEVELS, &start)),
		 0);
	CHECK_EQ(STEP(vfio_remove(first.container, start)), 0);
	CHECK_EQ(STEP(vfio_unregister(first.container, memory + 3 * page, page)), 0);
	if (vfio_have_device(1) && !vfio_hypervised()) {
		CHECK_EQ(STEP(vfio_attach(&joined, first.container, 1)), 0);
		STEP(vfio_detach(&joined));
	}
	tell(&same_done);

	return unused;
}

static void test_argument(const void *data)
{
	const struct argument *argument = data;
	struct pending pending = { .result = 1 };
	pthread_t same;

	if (argument->host && vfio_hypervised()) {
		tap_skip("whether a guest has EEH is up to its hypervisor");
		return;
	}

	if (!can_wait())
		return;
	open_for_argument();
	fuse_start(FUSE_UNLOCKED);
	begin_pending(argument, &pending);

	same_done = 0;
	pthread_create(&same, NULL, same_container, NULL);
	if (!CHECK(told(&same_done))) {
		tap_diag("another thread hangs in %s", common->step);
	} else if (vfio_have_device(1)) {
		others_device = 1;
		check_others();
		CHECK_EQ(fuse_waiting(), 1);
	}

	/* The argument is here at last. */
	fuse_answer();
	pthread_join(pending.thread, NULL);
	pthread_join(same, NULL);
	CHECK(pending.result >= 0);
	CHECK_EQ(vfio_map(first.container, MAPPED, memory, page, MAP_BOTH),
		 argument->removes ? -ENXIO : 0);
	vfio_close(&first);
	fuse_stop();
}

/* The container's only group leaves meanwhile, and the container begins anew. */
static int detached;

static void *detach_thread(void *unused)
{
	vfio_detach(&first);
	tell(&detached);

	return unused;
}

static void test_argument_detach(const void *data)
{
	const struct argument *argument = data;
	struct pending pending = { .result = 1 };
	pthread_t detaching;

	if (!can_wait())
		return;
	open_for_argument();
	fuse_start(FUSE_UNLOCKED);
	begin_pending(argument, &pending);
	detached = 0;
	pthread_create(&detaching, NULL, detach_thread, NULL);
	CHECK(told(&detached));
	fuse_answer();
	pthread_join(pending.thread, NULL);
	pthread_join(detaching, NULL);
	/* An answer was found before. */
	CHECK_EQ(pending.result, argument->there ? 0 : -ENODEV);
	vfio_close(&first);
	fuse_stop();
}

/* A process whose argument never comes is killed. */
static void never_comes(void *data)
{
	struct pending pending;

	open_for_argument();
	begin_pending(data, &pending);
	tell(&common->ready);
	pthread_join(pending.thread, NULL);
}

static void test_argument_killed(const void *data)
{
	pid_t pid;
	int status;

	if (!can_wait())
		return;
	memset(common, 0, sizeof(*common));
	fuse_start(FUSE_UNLOCKED);
	pid = tap_start(never_comes, (void *)data);
	CHECK(told(&common->ready));
	kill(pid, SIGKILL);
	CHECK(ended(pid, &status));
	others_device = 0;
	check_others();
	fuse_stop();
}

int main(void)
{
	size_t i;

	page = vfio_page_size();
	common = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (common == MAP_FAILED)
		tap_bail("shared memory: %s", strerror(errno));
	state_watch();

	for (i = 0; i < ARRAY_SIZE(scenes); i++) {
		tap_test_case(true, test_scene, &scenes[i],
			      "others go on while one that holds its lock %s",
			      scenes[i].what);
		tap_test_case(true, test_holder_killed, &scenes[i],
			      "it can be killed when it %s", scenes[i].what);
	}
	for (i = 0; i < ARRAY_SIZE(arguments); i++) {
		tap_test_case(true, test_argument, &arguments[i],
			      "%s that does not come keeps nobody", arguments[i].what);
		if (arguments[i].host)
			continue;
		tap_test_case(true, test_argument_detach, &arguments[i],
			      "nor does %s keep the group", arguments[i].what);
		tap_test_case(true, test_argument_killed, &arguments[i],
			      "who waits for %s can be killed", arguments[i].what);
	}

	return tap_main();
}
