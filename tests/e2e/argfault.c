// SPDX-License-Identifier: GPL-2.0-only
/*
 * An ioctl waits for its argument, which is in a page of a FUSE file whose read
 * is not answered yet. Meanwhile other threads and processes must make
 * progress, the group must be able to leave its container, and a signal must
 * kill the process.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bystanders.h"
#include "fuse.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define WINDOW_BYTES	BIT_ULL(30)
#define LEVELS		(vfio_is_guest() ? 1 : 2)

static struct vfio first;
static unsigned char *memory;
static size_t page;

/*
 * A thread makes the ioctl on the container of the first device, which has a
 * region that is not mapped, one that is, and the default window.
 */
#define MAPPED		0x100000
#define FREE		0x300000
#define ELSEWHERE	0x500000

/* Stores the argument of an ioctl, with argsz and these members. */
#define FILL(args, type, ...)						\
	(*(struct type *)(args) = (struct type) {			\
		.argsz = sizeof(struct type), __VA_ARGS__		\
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

/* Only argsz: the rest may be in the page that is not answered. */
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
	/* Bytes outside of the file; 0 if all of it is in the file. */
	size_t readable;
	bool host;
	/* The default window is removed by it. */
	bool removes;
} arguments[] = {
	{ .what = "the argument of REGISTER_MEMORY",
	  .request = VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
	  .fill = register_args },
	{ .what = "the argument of UNREGISTER_MEMORY",
	  .request = VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
	  .fill = unregister_args },
	{ .what = "the argument of MAP_DMA",
	  .request = VFIO_IOMMU_MAP_DMA,
	  .fill = map_args },
	{ .what = "the argument of UNMAP_DMA",
	  .request = VFIO_IOMMU_UNMAP_DMA,
	  .fill = unmap_args },
	{ .what = "the argument of TCE_CREATE",
	  .request = VFIO_IOMMU_SPAPR_TCE_CREATE,
	  .fill = create_args },
	{ .what = "the argument of TCE_REMOVE",
	  .request = VFIO_IOMMU_SPAPR_TCE_REMOVE,
	  .fill = remove_args, .removes = true },
	{ .what = "the argument of GET_INFO",
	  .request = VFIO_IOMMU_SPAPR_TCE_GET_INFO,
	  .fill = info_args },
	{ .what = "the result of GET_INFO",
	  .request = VFIO_IOMMU_SPAPR_TCE_GET_INFO,
	  .fill = info_args,
	  .readable = offsetof(struct vfio_iommu_spapr_tce_info, ddw) },
	{ .what = "the argument of VFIO_EEH_PE_OP",
	  .request = VFIO_EEH_PE_OP,
	  .fill = eeh_args, .host = true },
};

/**
 * struct pending - an ioctl that waits for its argument
 * @request: the ioctl
 * @args: the address of its argument
 * @result: the result, once it has returned
 * @thread: the thread that makes it
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

/*
 * The address of the argument: in the file, or with its first bytes in ordinary
 * memory.
 */
static void *place_argument(const struct argument *argument)
{
	unsigned char *pages;

	argument->fill(fuse_content());
	if (!argument->readable)
		return fuse_page();

	pages = vfio_memory(2 * page);
	fuse_page_at(pages + page);
	pages += page - argument->readable;
	argument->fill(pages);

	return pages;
}

static void begin_pending(const struct argument *argument,
			  struct pending *pending)
{
	pending->request = argument->request;
	pending->args = place_argument(argument);
	pthread_create(&pending->thread, NULL, pending_thread, pending);
	CHECK(fuse_wait(1));
}

static int same_finished;

/* Another thread uses the same container. */
static void *use_same_container(void *unused)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio joined;
	__u64 start;

	CHECK_EQ(STEP(vfio_info(first.container, &info)), 0);
	CHECK_EQ(STEP(vfio_register(first.container, memory + 3 * page, page)),
		 0);
	CHECK_EQ(STEP(vfio_map(first.container, ELSEWHERE, memory + 3 * page,
			       page, MAP_BOTH)),
		 0);
	CHECK_EQ(STEP(vfio_unmap(first.container, ELSEWHERE, page)), 0);
	CHECK_EQ(STEP(vfio_create(first.container, 12, WINDOW_BYTES, LEVELS,
				  &start)),
		 0);
	CHECK_EQ(STEP(vfio_remove(first.container, start)), 0);
	CHECK_EQ(STEP(vfio_unregister(first.container, memory + 3 * page,
				      page)), 0);
	if (vfio_have_device(1) && !vfio_is_guest()) {
		CHECK_EQ(STEP(vfio_attach(&joined, first.container, 1)), 0);
		STEP(vfio_detach(&joined));
	}
	set_flag(&same_finished);

	return unused;
}

static void test_argument(const void *data)
{
	const struct argument *argument = data;
	struct pending pending = { .result = 1 };
	pthread_t same;

	if (argument->host && vfio_is_guest()) {
		tap_skip("whether a guest has EEH is up to its hypervisor");
		return;
	}

	if (!have_fuse())
		return;
	open_for_argument();
	fuse_start(FUSE_UNLOCKED);
	begin_pending(argument, &pending);

	same_finished = 0;
	pthread_create(&same, NULL, use_same_container, NULL);
	if (!CHECK(wait_flag(&same_finished))) {
		tap_diag("another thread hangs in %s", shared->step);
	} else if (vfio_have_device(1)) {
		check_bystanders(1);
		CHECK_EQ(fuse_waiting(), 1);
	}

	fuse_answer();
	pthread_join(pending.thread, NULL);
	pthread_join(same, NULL);
	CHECK(pending.result >= 0);
	CHECK_EQ(vfio_map(first.container, MAPPED, memory, page, MAP_BOTH),
		 argument->removes ? -ENXIO : 0);
	vfio_close(&first);
	fuse_stop();
}

/*
 * The only group of the container leaves meanwhile, which resets the container.
 */
static int detached;

static void *detach_thread(void *unused)
{
	vfio_detach(&first);
	set_flag(&detached);

	return unused;
}

static void test_argument_detach(const void *data)
{
	const struct argument *argument = data;
	struct pending pending = { .result = 1 };
	pthread_t detaching;

	if (!have_fuse())
		return;
	open_for_argument();
	fuse_start(FUSE_UNLOCKED);
	begin_pending(argument, &pending);
	detached = 0;
	pthread_create(&detaching, NULL, detach_thread, NULL);
	CHECK(wait_flag(&detached));
	fuse_answer();
	pthread_join(pending.thread, NULL);
	pthread_join(detaching, NULL);
	/* GET_INFO had its result before the group left. */
	CHECK_EQ(pending.result, argument->readable ? 0 : -ENODEV);
	vfio_close(&first);
	fuse_stop();
}

/* A process is killed while it waits for its argument. */
static void wait_for_argument(void *data)
{
	struct pending pending;

	open_for_argument();
	begin_pending(data, &pending);
	set_flag(&shared->ready);
	pthread_join(pending.thread, NULL);
}

static void test_argument_killed(const void *data)
{
	pid_t pid;
	int status;

	if (!have_fuse())
		return;
	memset(shared, 0, sizeof(*shared));
	fuse_start(FUSE_UNLOCKED);
	pid = tap_start(wait_for_argument, (void *)data);
	CHECK(wait_flag(&shared->ready));
	kill(pid, SIGKILL);
	CHECK(wait_exit(pid, &status));
	check_bystanders(0);
	fuse_stop();
}

int main(void)
{
	size_t i;

	page = vfio_page_size();
	init_shared();
	state_watch();

	for (i = 0; i < ARRAY_SIZE(arguments); i++) {
		tap_test_case(true, test_argument, &arguments[i],
			      "others make progress while a call waits for %s",
			      arguments[i].what);
		if (arguments[i].host)
			continue;
		tap_test_case(true, test_argument_detach, &arguments[i],
			      "a group can leave while an ioctl waits for %s",
			      arguments[i].what);
		tap_test_case(true, test_argument_killed, &arguments[i],
			      "a process can be killed while it waits for %s",
			      arguments[i].what);
	}

	return tap_main();
}
