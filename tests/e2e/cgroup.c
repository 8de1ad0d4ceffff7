// SPDX-License-Identifier: GPL-2.0-only
/*
 * A full memory cgroup: MAP_DMA and TCE_CREATE fail with ENOMEM if nothing can
 * be reclaimed, and the table of a device causes no OOM kill.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define MOUNT_POINT	"/tmp/cgroup"
#define GROUP		MOUNT_POINT "/test"

#define PAGE_SHIFT	12
/*
 * Bytes that the largest leaf maps. A slot is a part of the window of that
 * size; what is mapped in a slot needs a leaf of its own.
 */
#define LEAF_BYTES	BIT_ULL(22)
/* Memory that the cgroup may allocate: less than the leaves of all slots. */
#define ROOM		(2 << 20)

/* Memory that the kernel can reclaim: more than the leaves of SLOTS slots. */
#define RECLAIMABLE	(16 << 20)
#define SLOTS		512

#define POLLS		6000
#define POLL_US		10000

/**
 * struct common - memory shared by the process in the cgroup and the one
 * outside
 * @stage: stage that the process in the cgroup has reached
 * @go: stage up to which it may continue
 * @map: result of the first MAP_DMA that failed
 * @mapped: slots that were mapped before it
 * @create: result of TCE_CREATE in the full cgroup
 * @unmap: result of UNMAP_DMA of all slots
 * @idle: result of TCE_CREATE right after that, while their leaves exist
 * @again: result of another MAP_DMA of one slot
 * @later: result of TCE_CREATE after memory was freed
 * @start: start of its window
 */
static struct common {
	int stage;
	int go;
	long map;
	unsigned long mapped;
	long create;
	long unmap;
	long idle;
	long again;
	long later;
	__u64 start;
} *common;

static unsigned char *memory;
static size_t page;
static struct vfio vfio;
/* Determined in advance: reading a file allocates memory. */
static __u64 window_bytes;
static unsigned int levels;

static bool wait_for(int *what, int value)
{
	unsigned int polls;

	for (polls = 0; polls < POLLS; polls++) {
		if (__atomic_load_n(what, __ATOMIC_ACQUIRE) >= value)
			return true;
		usleep(POLL_US);
	}

	return false;
}

static void set_stage(int *what, int value)
{
	__atomic_store_n(what, value, __ATOMIC_RELEASE);
}

/* Enters the cgroup and maps a page in a new window. Returns its start. */
static __u64 enter_group(void)
{
	__u64 start;

	write_file(GROUP "/cgroup.procs", "0");
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, window_bytes, levels,
			     &start),
		 0);
	CHECK_EQ(vfio_map(vfio.container, start, memory, page, MAP_BOTH), 0);

	return start;
}

/* A window with a level of eight pages */
static int create_eight(__u64 *start)
{
	__u64 size = BIT_ULL(page == 1 << 16 ? 28 : 24);

	return vfio_create(vfio.container, PAGE_SHIFT, size, 1, start);
}

/*
 * Runs in the cgroup. From the first stage on only the calls under test
 * allocate memory.
 */
static void in_group(void *unused)
{
	__u64 start, other;
	unsigned long i;

	(void)unused;
	start = enter_group();
	common->start = start;
	set_stage(&common->stage, 1);
	wait_for(&common->go, 1);

	for (i = 1; i < window_bytes / LEAF_BYTES; i++) {
		common->map = vfio_map(vfio.container, start + i * LEAF_BYTES,
				       memory, page, MAP_BOTH);
		if (common->map)
			break;
		common->mapped = i;
	}
	common->create = create_eight(NULL);
	set_stage(&common->stage, 2);
	wait_for(&common->go, 2);

	common->unmap = vfio_unmap(vfio.container, start, window_bytes);
	/* The command frees levels that are no longer in use. */
	common->idle = create_eight(&other);
	if (!common->idle)
		vfio_remove(vfio.container, other);
	/* So does a work item. */
	for (i = 0; i < POLLS; i++) {
		common->again =
			vfio_map(vfio.container, start, memory, page, MAP_BOTH);
		if (common->again != -ENOMEM)
			break;
		usleep(POLL_US);
	}
	set_stage(&common->stage, 3);
	wait_for(&common->go, 3);

	/* Memory is available again. */
	common->later = vfio_create(vfio.container, PAGE_SHIFT,
				    window_bytes >> 10, 1, NULL);
	vfio_close(&vfio);
}

/*
 * The cgroup is full, but most of its memory can be reclaimed: the kernel frees
 * pages with MADV_FREE when it needs memory.
 */
static void in_full_group(void *unused)
{
	unsigned char *lazy;
	unsigned long i;
	__u64 start;

	(void)unused;
	start = enter_group();
	lazy = vfio_memory(RECLAIMABLE);
	memset(lazy, 1, RECLAIMABLE);
	CHECK_EQ(madvise(lazy, RECLAIMABLE, MADV_FREE), 0);
	set_stage(&common->stage, 1);
	wait_for(&common->go, 1);

	for (i = 1; i <= SLOTS && !common->map; i++)
		common->map = vfio_map(vfio.container, start + i * LEAF_BYTES,
				       memory, page, MAP_BOTH);
	common->mapped = i - 1;
	common->create = create_eight(NULL);
	set_stage(&common->stage, 2);
	wait_for(&common->go, 2);
	vfio_close(&vfio);
}

static void test_reclaim(void)
{
	unsigned long before, killed;
	char text[32];
	int status;
	pid_t pid;

	if (vfio_is_guest()) {
		tap_skip("a guest has one level, and no second window");
		return;
	}

	memset(common, 0, sizeof(*common));
	write_file(GROUP "/memory.max", "max");
	killed = read_named(GROUP "/memory.events", "oom_kill");
	before = read_named(GROUP "/memory.events", "max");
	pid = tap_start(in_full_group, NULL);
	if (!CHECK(wait_for(&common->stage, 1)))
		return;
	snprintf(text, sizeof(text), "%ld",
		 read_number(GROUP "/memory.current"));
	write_file(GROUP "/memory.max", text);
	set_stage(&common->go, 1);

	while (!wait_for(&common->stage, 2) && !waitpid(pid, &status, WNOHANG))
		;
	CHECK_EQ(common->stage, 2);
	CHECK_EQ(common->map, 0);
	CHECK_EQ(common->mapped, SLOTS);
	CHECK_EQ(common->create, 0);
	CHECK(read_named(GROUP "/memory.events", "max") > before);
	CHECK_EQ(read_named(GROUP "/memory.events", "oom_kill"), killed);

	write_file(GROUP "/memory.max", "max");
	set_stage(&common->go, 2);
	if (waitpid(pid, &status, 0) == pid)
		CHECK_EQ(status, 0);
}

static bool make_group(void)
{
	mkdir(MOUNT_POINT, 0755);
	if (mount("cgroup2", MOUNT_POINT, "cgroup2", 0, NULL))
		tap_bail("cgroup2: %s", strerror(errno));
	if (access(MOUNT_POINT "/cgroup.controllers", F_OK))
		tap_bail("no cgroups");
	write_file(MOUNT_POINT "/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755))
		tap_bail("%s: %s", GROUP, strerror(errno));

	return true;
}

static void test_full(void)
{
	unsigned long killed;
	char text[32];
	int status;
	pid_t pid;

	memset(common, 0, sizeof(*common));
	write_file(GROUP "/memory.max", "max");
	killed = read_named(GROUP "/memory.events", "oom_kill");
	pid = tap_start(in_group, NULL);
	if (!CHECK(wait_for(&common->stage, 1)))
		return;
	snprintf(text, sizeof(text), "%ld",
		 read_number(GROUP "/memory.current") + ROOM);
	write_file(GROUP "/memory.max", text);
	set_stage(&common->go, 1);

	/* Or until it is killed. */
	while (!wait_for(&common->stage, 2) && !waitpid(pid, &status, WNOHANG))
		;
	CHECK_EQ(common->stage, 2);
	CHECK_EQ(read_named(GROUP "/memory.events", "oom_kill"), killed);
	CHECK_EQ(common->map, -ENOMEM);
	CHECK(common->mapped > 0);
	CHECK_MAPPED(common->start,
		     (common->mapped + 1) * (page >> PAGE_SHIFT));
	/* In a guest it may be the only window. */
	if (!vfio_is_guest())
		CHECK_EQ(common->create, -ENOMEM);
	tap_diag("%lu slots were mapped", common->mapped);

	set_stage(&common->go, 2);
	CHECK(wait_for(&common->stage, 3));
	write_file(GROUP "/memory.max", "max");
	set_stage(&common->go, 3);
	if (waitpid(pid, &status, 0) == pid)
		CHECK_EQ(status, 0);
	CHECK_EQ(common->unmap, 0);
	CHECK_EQ(common->again, 0);
	if (!vfio_is_guest()) {
		CHECK_EQ(common->idle, 0);
		CHECK_EQ(common->later, 0);
	}
	CHECK_EQ(read_named(GROUP "/memory.events", "oom_kill"), killed);
}

int main(void)
{
	int ret;

	page = vfio_page_size();
	memory = vfio_memory(page);
	window_bytes = BIT_ULL(vfio_is_guest() ? 34 : 40);
	levels = vfio_is_guest() ? 1 : 3;
	common = mmap(NULL, page, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (common == MAP_FAILED)
		tap_bail("shared memory: %s", strerror(errno));
	make_group();
	state_watch();

	/* In-tree tables are not charged to a cgroup. */
	tap_test_ours("a full cgroup: ENOMEM, and no OOM kill", test_full);
	tap_test_ours("memory of a full cgroup is reclaimed", test_reclaim);
	ret = tap_main();
	rmdir(GROUP);
	umount2(MOUNT_POINT, MNT_DETACH);

	return ret;
}
