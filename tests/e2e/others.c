// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mmap_lock of a process is held by a page fault that is not answered,
 * while the process releases something and needs the lock for it. Other
 * processes must make progress, and SIGKILL must end the process.
 */

#define _GNU_SOURCE

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bystanders.h"
#include "edu.h"
#include "fuse.h"
#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define IOVA		0x200000
#define STAGE		0x100000
#define WINDOW_BYTES	BIT_ULL(30)
#define LEVELS		(vfio_is_guest() ? 1 : 2)

/* Leaves of a window, for charge_allocated. */
#define LEAVES		32
#define LEAF_BYTES	BIT_ULL(22)

/* More memory than windows take. */
#define LARGE		BIT_ULL(25)

static size_t page;

/* What the process has, and how it releases it. */
struct release_case {
	const char *what;
	void (*prepare)(void);
	void (*release)(void);
	/* What it does when the mmap_lock is free again; optional. */
	void (*after)(void);
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

/*
 * A work item may not have unpinned the memory of the closed container yet; it
 * is replaced by other memory.
 */
static void register_other(void)
{
	CHECK(mmap(memory, page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
	open_second();
	edu_stage(&second, STAGE);
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK(edu_reads(&second, IOVA, memory));
}

/* Version 1, at the limit. */
static int enable_second(void)
{
	second.container = vfio_open_container();
	CHECK_EQ(vfio_attach(&second, second.container, 1), 0);
	CHECK_EQ(vfio_set_iommu(second.container, VFIO_SPAPR_TCE_IOMMU), 0);
	second_open = true;

	return vfio_ioctl(second.container, VFIO_IOMMU_ENABLE, NULL);
}

static void prepare_enabled(void)
{
	vfio_open_device(&first, 0);
	state_limit(vfio_limits()->dma32_window_size / page);
	vfio_close(&first);
	CHECK_EQ(enable_second(), 0);
}

/* A work item may not have uncharged what ENABLE has charged. */
static void enable_again(void)
{
	CHECK_EQ(enable_second(), 0);
}

/* The first container has only memory, which fills the limit. */
static void prepare_limit(void)
{
	vfio_open_device(&first, 0);
	open_second();
	CHECK_EQ(vfio_remove(first.container, 0), 0);
	CHECK_EQ(vfio_register(first.container, vfio_memory(LARGE), LARGE), 0);
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	state_limit(0);
}

static void close_first(void)
{
	vfio_close(&first);
}

/* A work item may not have unpinned that memory. */
static void create_at_limit(void)
{
	__u64 start;

	CHECK_EQ(vfio_create(second.container, 12, WINDOW_BYTES, LEVELS,
			     &start), 0);
}

static void map_at_limit(void)
{
	CHECK_EQ(vfio_map(second.container, WINDOW_BYTES / 2, memory, page,
			  MAP_BOTH), 0);
}

static void remove_window(void)
{
	vfio_remove(second.container, 0);
	vfio_unregister(second.container, memory, page);
}

/* A new window is charged, so the process waits for the lock. */
static void create_window(void)
{
	vfio_create(second.container, 12, WINDOW_BYTES, LEVELS, NULL);
}

static void prepare_levels(void)
{
	unsigned int i;

	open_second();
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	for (i = 0; i < LEAVES; i++)
		CHECK_EQ(vfio_map(second.container, i * LEAF_BYTES, memory,
				  page, MAP_BOTH),
			 0);
}

static void unmap_levels(void)
{
	vfio_unmap(second.container, 0, LEAVES * LEAF_BYTES);
}

/*
 * Memory that the first container has registered and the second one has mapped.
 */
static void prepare_orphan(void)
{
	vfio_open_device(&first, 0);
	open_second();
	CHECK_EQ(vfio_register(first.container, region, page), 0);
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA, region, page, MAP_BOTH), 0);
	vfio_close(&first);
}

/* The second container has nothing but that region. */
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

/* KVM still has a window whose container is closed. */
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

	/* Whatever this returns, it must leave nothing behind. */
	open_second();
	CHECK_EQ(vfio_register(second.container, region, page), 0);
	h_put(guest, 0, region, MAP_BOTH);
	close_second();
	h_unmap(guest, 0);
}

static void detach_kvm(void)
{
	guest_detach(guest);
}

static void exit_thread(int signal)
{
	(void)signal;
	syscall(SYS_exit, 0);
}

static void *fault_thread(void *where)
{
	return (void *)(uintptr_t)*(volatile unsigned char *)where;
}

static void *release_thread(void *data)
{
	const struct release_case *what = data;

	wait_flag(&shared->ready);
	set_flag(&shared->releasing);
	what->release();

	return NULL;
}

static void *map_thread(void *unused)
{
	(void)unused;
	wait_flag(&shared->over);
	mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	set_flag(&shared->mapped);

	return NULL;
}

/*
 * While the lock is held, the process must not need it: no thread is created,
 * and no file is read.
 */
static void holder(void *data)
{
	const struct release_case *what = data;
	pthread_t faulting, releasing, mapping;
	unsigned int polls;
	void *never;

	memory = vfio_memory(page);
	region = vfio_memory(page);
	never = fuse_page();
	signal(SIGBUS, exit_thread);
	what->prepare();
	pthread_create(&releasing, NULL, release_thread, (void *)what);
	pthread_create(&mapping, NULL, map_thread, NULL);
	pthread_create(&faulting, NULL, fault_thread, never);
	if (!fuse_wait(1))
		tap_bail("the page fault does not wait");
	set_flag(&shared->ready);

	/* Ends after fuse_answer(). */
	pthread_join(releasing, NULL);
	pthread_join(mapping, NULL);
	if (what->after)
		what->after();
	if (second_open)
		close_second();
	if (guest >= 0)
		close(guest);
	for (polls = 0; polls < POLLS && state_locked(); polls++)
		usleep(POLL_US);
	CHECK_EQ(state_locked(), 0);
}

static bool begin_holding(const struct release_case *what, pid_t *pid)
{
	if (!have_fuse())
		return false;
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return false;
	}
	memset(shared, 0, sizeof(*shared));
	if (!tap_intree())
		state_charge_allocated(what->charge_allocated);
	fuse_start(FUSE_LOCKED);
	*pid = tap_start(holder, (void *)what);
	if (!wait_flag(&shared->releasing))
		tap_bail("the process does not begin to release");
	/* Its work items are due by now. */
	sleep(2);

	return true;
}

static void end_holding(pid_t pid)
{
	int status;

	fuse_answer();
	if (CHECK(wait_exit(pid, &status))) {
		CHECK_EQ(status, 0);
	} else {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	fuse_stop();
	if (!tap_intree())
		state_charge_allocated(false);
}

static void test_release(const void *data)
{
	pid_t pid;

	if (!begin_holding(data, &pid))
		return;
	if (check_bystanders(0)) {
		/* The lock is still held. */
		set_flag(&shared->over);
		usleep(300000);
		CHECK(!__atomic_load_n(&shared->mapped, __ATOMIC_ACQUIRE));
	}
	set_flag(&shared->over);
	end_holding(pid);
}

/*
 * SIGKILL ends the process without an answer, and everything of it is released.
 */
static void test_holder_killed(const void *data)
{
	pid_t pid;
	int status;

	if (!begin_holding(data, &pid))
		return;
	kill(pid, SIGKILL);
	CHECK(wait_exit(pid, &status));
	check_bystanders(0);
	fuse_stop();
	if (!tap_intree())
		state_charge_allocated(false);
}

static const struct release_case release_cases[] = {
	{ .what = "closes a container with a window and pages mapped",
	  .prepare = prepare_window, .release = close_second },
	{ .what = "closes a container whose memory is replaced then",
	  .prepare = prepare_window, .release = close_second,
	  .after = register_other },
	{ .what = "closes an enabled container, and enables another then",
	  .prepare = prepare_enabled, .release = close_second,
	  .after = enable_again },
	{ .what = "closes a container with memory, and creates a window then",
	  .prepare = prepare_limit, .release = close_first,
	  .after = create_at_limit },
	{ .what = "closes a container with memory, and maps pages then",
	  .prepare = prepare_limit, .release = close_first,
	  .after = map_at_limit, .charge_allocated = true },
	{ .what = "removes its window", .prepare = prepare_window,
	  .release = remove_window },
	{ .what = "creates a window", .prepare = prepare_window,
	  .release = create_window },
	{ .what = "unmaps pages, and levels are uncharged",
	  .prepare = prepare_levels,
	  .release = unmap_levels, .charge_allocated = true },
	{ .what = "closes a container with charge_allocated",
	  .prepare = prepare_levels,
	  .release = close_second, .charge_allocated = true },
	{ .what = "closes the last container that maps a region",
	  .prepare = prepare_orphan, .release = close_second },
	{ .what = "closes a container with only such a region",
	  .prepare = prepare_orphan_alone, .release = close_second },
	{ .what = "unmaps a region whose container is closed",
	  .prepare = prepare_orphan, .release = unmap_orphan },
	{ .what = "ends a guest with a window of a closed container",
	  .prepare = prepare_kvm, .release = detach_kvm },
};

int main(void)
{
	size_t i;

	page = vfio_page_size();
	init_shared();
	state_watch();

	for (i = 0; i < ARRAY_SIZE(release_cases); i++) {
		tap_test_case(true, test_release, &release_cases[i],
			      "others make progress while a process %s",
			      release_cases[i].what);
		tap_test_case(true, test_holder_killed, &release_cases[i],
			      "SIGKILL ends a process that %s",
			      release_cases[i].what);
	}

	return tap_main();
}
