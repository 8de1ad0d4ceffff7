// SPDX-License-Identifier: GPL-2.0-only
/* Processes other than the one that is stuck. Contract: bystanders.h. */

#define _GNU_SOURCE

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bystanders.h"
#include "fuse.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define IOVA		0x200000
#define WINDOW_BYTES	BIT_ULL(30)
#define LEVELS		(vfio_is_guest() ? 1 : 2)
#define NOBODY		65534

struct shared *shared;

static size_t page;
static unsigned int device;

void init_shared(void)
{
	page = vfio_page_size();
	shared = mmap(NULL, page, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		tap_bail("shared memory: %s", strerror(errno));
}

bool have_fuse(void)
{
	if (!fuse_available())
		tap_skip("the kernel has no FUSE");

	return fuse_available();
}

void set_flag(int *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

bool wait_flag(const int *flag)
{
	unsigned int polls;

	for (polls = 0; polls < POLLS; polls++) {
		if (__atomic_load_n(flag, __ATOMIC_ACQUIRE))
			return true;
		usleep(POLL_US);
	}

	return false;
}

bool wait_exit(pid_t pid, int *status)
{
	unsigned int polls;

	for (polls = 0; polls < POLLS; polls++) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		usleep(POLL_US);
	}

	return false;
}

/*
 * Runs @run in a process of its own, which must finish in time and pass its
 * checks.
 */
#define CHECK_FINISHES(run) check_finishes(run, #run)
static bool check_finishes(void (*run)(void *unused), const char *name)
{
	pid_t pid = tap_start(run, NULL);
	int status;

	if (wait_exit(pid, &status))
		return CHECK_EQ(status, 0);

	tap_diag("%s hangs in %s", name, shared->step);
	CHECK(!"it hangs");
	/* It may be in an uninterruptible wait. */
	fuse_answer();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	return false;
}

static void use_version_2(void *unused)
{
	unsigned char *memory = vfio_memory(page);
	struct vfio vfio;
	__u64 start;

	(void)unused;
	vfio.container = STEP(vfio_open_container());
	CHECK_EQ(STEP(vfio_attach(&vfio, vfio.container, device)), 0);
	CHECK_EQ(STEP(vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_v2_IOMMU)),
		 0);
	CHECK_EQ(STEP(vfio_register(vfio.container, memory, page)), 0);
	CHECK_EQ(STEP(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH)),
		 0);
	CHECK_EQ(STEP(vfio_create(vfio.container, 12, WINDOW_BYTES,
				  LEVELS, &start)), 0);
	CHECK_EQ(STEP(vfio_map(vfio.container, start, memory, page, MAP_BOTH)),
		 0);
	CHECK_EQ(STEP(vfio_unmap(vfio.container, start, page)), 0);
	CHECK_EQ(STEP(vfio_remove(vfio.container, start)), 0);
	CHECK_EQ(STEP(vfio_unregister(vfio.container, memory, page)), -EBUSY);
	CHECK_EQ(STEP(vfio_unmap(vfio.container, IOVA, page)), 0);
	CHECK_EQ(STEP(vfio_unregister(vfio.container, memory, page)), 0);
	STEP(vfio_close(&vfio));
	CHECK_EQ(state_locked(), 0);
}

static void use_version_1(void *unused)
{
	unsigned char *memory = vfio_memory(page);
	struct vfio vfio;

	(void)unused;
	vfio.container = STEP(vfio_open_container());
	CHECK_EQ(STEP(vfio_attach(&vfio, vfio.container, device)), 0);
	CHECK_EQ(STEP(vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_IOMMU)), 0);
	CHECK_EQ(STEP(vfio_ioctl(vfio.container, VFIO_IOMMU_ENABLE, NULL)), 0);
	CHECK_EQ(STEP(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH)),
		 0);
	CHECK_EQ(STEP(vfio_ioctl(vfio.container, VFIO_IOMMU_DISABLE, NULL)), 0);
	STEP(vfio_close(&vfio));
	CHECK_EQ(state_locked(), 0);
}

/* Without a group and without privileges. */
static void check_extensions(void *unused)
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

/* Kills itself while it has two windows, with memory mapped in the first. */
static void use_and_die(void *unused)
{
	unsigned char *memory = vfio_memory(page);
	struct vfio vfio;

	(void)unused;
	STEP(vfio_open_device(&vfio, device));
	CHECK_EQ(STEP(vfio_register(vfio.container, memory, page)), 0);
	CHECK_EQ(STEP(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH)),
		 0);
	CHECK_EQ(STEP(vfio_create(vfio.container, 12, WINDOW_BYTES,
				  LEVELS, NULL)), 0);
	STEP(kill(getpid(), SIGKILL));
}

static void be_killed(void *unused)
{
	pid_t pid = tap_start(use_and_die, NULL);
	int status;

	(void)unused;
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

bool check_bystanders(unsigned int number)
{
	device = number;

	return CHECK_FINISHES(check_extensions) &&
	       CHECK_FINISHES(use_version_2) && CHECK_FINISHES(use_version_1) &&
	       CHECK_FINISHES(be_killed) && CHECK_FINISHES(use_version_2);
}
