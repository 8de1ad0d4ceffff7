// SPDX-License-Identifier: GPL-2.0-only
/*
 * Version 1 of the interface: ENABLE and DISABLE, charges, refusals, and the
 * end of a container.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "version1.h"
#include "vfio.h"

static void test_info(void)
{
	struct vfio_iommu_spapr_tce_info info;

	open_v1();
	memset(&info, 0x55, sizeof(info));
	info.argsz = sizeof(info);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_SPAPR_TCE_GET_INFO,
			    &info), 0);
	CHECK_EQ(info.flags, 0);
	CHECK_EQ(info.dma32_window_start, 0);
	CHECK_EQ(info.dma32_window_size, window_bytes);
	CHECK_EQ(info.ddw.pgsizes, 0);
	CHECK_EQ(info.ddw.max_dynamic_windows_supported, 0);
	CHECK_EQ(info.ddw.levels, 0);
	vfio_close(&vfio);
}

static void test_version_2_commands(void)
{
	struct state before;
	uint64_t start;

	open_enabled();
	before = state_now();
	CHECK_EQ(vfio_register(vfio.container, memory, page), -ENOTTY);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), -ENOTTY);
	CHECK_EQ(vfio_create(vfio.container, 16, 1 << 30, 1, &start), -ENOTTY);
	CHECK_EQ(start, ~0ULL);
	CHECK_EQ(vfio_remove(vfio.container, 0), -ENOTTY);
	CHECK_STATE(&before);
	/* The default window still exists. */
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), 0);
	vfio_close(&vfio);
}

static void test_map_before_enable(void)
{
	struct state before;

	open_v1();
	before = state_now();
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), -EPERM);
	CHECK_EQ(unmap(IOVA, page), -EPERM);
	CHECK_STATE(&before);
	CHECK_EQ(enable(), 0);
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), 0);
	vfio_close(&vfio);
}

static void test_enable_charges(void)
{
	uint64_t before;

	open_v1();
	before = state_locked();
	CHECK_EQ(enable(), 0);
	CHECK_EQ(state_locked() - before, enabled_charge());
	CHECK_EQ(enable(), -EBUSY);
	CHECK_EQ(state_locked() - before, enabled_charge());
	CHECK_EQ(disable(), 0);
	CHECK_EQ(state_locked(), before);
	/* A second DISABLE succeeds, and uncharges nothing. */
	CHECK_EQ(disable(), 0);
	CHECK_EQ(state_locked(), before);
	CHECK_EQ(enable(), 0);
	CHECK_EQ(state_locked() - before, enabled_charge());
	vfio_close(&vfio);
	CHECK_EQ(state_locked(), before);
}

static void test_enable_limit(void)
{
	struct state before;

	open_v1();
	before = state_now();
	state_limit(enabled_charge() - 1);
	CHECK_EQ(enable(), -ENOMEM);
	CHECK_STATE(&before);
	/* Not partly enabled. */
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), -EPERM);
	state_limit(enabled_charge());
	CHECK_EQ(enable(), 0);
	state_unlimit();
	vfio_close(&vfio);
}

/* The table is charged too, when it is created. */
static void test_window_limit(void)
{
	struct state before;

	open_enabled();
	before = state_now();
	state_limit(window_charge() - 1);
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), -ENOMEM);
	CHECK_STATE(&before);
	state_limit(window_charge());
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), 0);
	state_unlimit();
	CHECK_EQ(state_locked() - before.locked, window_charge());
	/* The window stays charged; the pages do not. */
	CHECK_EQ(disable(), 0);
	CHECK_EQ(state_locked(),
		 before.locked + window_charge() - enabled_charge());
	vfio_close(&vfio);
}

static void other_process(void *unused)
{
	struct vfio_iommu_spapr_tce_info info;

	CHECK(!unused);
	CHECK_EQ(enable(), -EPERM);
	CHECK_EQ(disable(), -EPERM);
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), -EPERM);
	CHECK_EQ(unmap(IOVA, page), -EPERM);
	CHECK_EQ(vfio_info(vfio.container, &info), -EPERM);
}

static void test_other_process(void)
{
	struct state before;

	open_enabled();
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), 0);
	before = state_now();
	tap_child(other_process, NULL);
	CHECK_STATE(&before);
	CHECK_MAPPED(0, page / IOMMU_PAGE);
	vfio_close(&vfio);
}

/* A refused call; members not set here are valid. */
static const struct refusal {
	const char *what;
	int error;
	uint64_t iova;
	uint64_t size;
	/* @iova is relative to the end of the window. */
	bool from_end;
	int offset;
	int argsz;
	unsigned int flags;
	bool ours;
} map_refusals[] = {
	{ .what = "a short argsz", .error = -EINVAL, .iova = IOVA,
	  .size = IOMMU_PAGE, .flags = MAP_BOTH, .argsz = -1 },
	{ .what = "no permission", .error = -EINVAL, .iova = IOVA,
	  .size = IOMMU_PAGE },
	{ .what = "an unknown flag", .error = -EINVAL, .iova = IOVA,
	  .size = IOMMU_PAGE, .flags = MAP_BOTH | 4 },
	/* In-tree the result is 1. */
	{ .what = "a misaligned bus address", .error = -EINVAL,
	  .iova = IOVA + 512, .size = IOMMU_PAGE, .flags = MAP_BOTH,
	  .ours = true },
	{ .what = "a misaligned address", .error = -EINVAL, .iova = IOVA,
	  .size = IOMMU_PAGE, .flags = MAP_BOTH, .offset = 512 },
	{ .what = "a misaligned size", .error = -EINVAL, .iova = IOVA,
	  .size = IOMMU_PAGE + 512, .flags = MAP_BOTH },
	{ .what = "a bus address outside the window", .error = -ENXIO,
	  .iova = 1ULL << 40, .size = IOMMU_PAGE, .flags = MAP_BOTH },
	/* In-tree these three succeed, or exceed the table. */
	{ .what = "size 0", .error = -EINVAL, .iova = IOVA,
	  .flags = MAP_BOTH, .ours = true },
	{ .what = "a range beyond the end of the window", .error = -EINVAL,
	  .iova = -IOMMU_PAGE, .from_end = true, .size = 2 * IOMMU_PAGE,
	  .flags = MAP_BOTH, .ours = true },
	{ .what = "a range that wraps", .error = -EINVAL, .iova = IOVA,
	  .size = -IOMMU_PAGE, .flags = MAP_BOTH, .ours = true },
}, unmap_refusals[] = {
	{ .what = "a short argsz", .error = -EINVAL, .iova = IOVA,
	  .size = IOMMU_PAGE, .argsz = -1 },
	{ .what = "flags", .error = -EINVAL, .iova = IOVA, .size = IOMMU_PAGE,
	  .flags = 1 },
	{ .what = "a misaligned bus address", .error = -EINVAL,
	  .iova = IOVA + 512, .size = IOMMU_PAGE, .ours = true },
	{ .what = "a misaligned size", .error = -EINVAL, .iova = IOVA,
	  .size = IOMMU_PAGE + 512 },
	{ .what = "a bus address outside the window", .error = -ENXIO,
	  .iova = 1ULL << 40, .size = IOMMU_PAGE },
	{ .what = "size 0", .error = -EINVAL, .iova = IOVA, .ours = true },
	{ .what = "a range beyond the end of the window", .error = -EINVAL,
	  .iova = -IOMMU_PAGE, .from_end = true, .size = 2 * IOMMU_PAGE,
	  .ours = true },
	{ .what = "a range that wraps", .error = -EINVAL, .iova = IOVA,
	  .size = -IOMMU_PAGE, .ours = true },
};

static uint64_t refusal_iova(const struct refusal *refusal)
{
	return refusal->iova + (refusal->from_end ? window_bytes : 0);
}

static void test_map_refusal(const void *data)
{
	const struct refusal *refusal = data;
	struct vfio_iommu_type1_dma_map args = {
		.argsz = sizeof(args) + refusal->argsz,
		.flags = refusal->flags,
		.vaddr = (uintptr_t)memory + refusal->offset,
		.iova = refusal_iova(refusal),
		.size = refusal->size,
	};
	struct state before;

	open_enabled();
	/* Existing mappings are not changed. */
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	before = state_now();
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_MAP_DMA, &args),
		 refusal->error);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_unmap_refusal(const void *data)
{
	const struct refusal *refusal = data;
	struct vfio_iommu_type1_dma_unmap args = {
		.argsz = sizeof(args) + refusal->argsz,
		.flags = refusal->flags,
		.iova = refusal_iova(refusal),
		.size = refusal->size,
	};
	struct state before;

	open_enabled();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	before = state_now();
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_UNMAP_DMA, &args),
		 refusal->error);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_bad_arguments(void)
{
	struct state before;

	open_enabled();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	before = state_now();
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_MAP_DMA, NULL), -EFAULT);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_UNMAP_DMA, NULL),
		 -EFAULT);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_disable_unmaps(void)
{
	struct state before, enabled;

	open_v1();
	before = state_now();
	CHECK_EQ(enable(), 0);
	map_stage();
	CHECK_EQ(unmap(STAGE, page), 0);
	enabled = state_now();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK_EQ(disable(), 0);
	/* No longer charged, so no longer pinned. */
	CHECK_EQ(pins(&before), 0);
	CHECK_EQ(enabled.locked - state_locked(), enabled_charge());
	CHECK_MAPPED(0, 0);
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), -EPERM);
	CHECK_EQ(unmap(IOVA, page), -EPERM);

	CHECK_EQ(enable(), 0);
	CHECK_STATE(&enabled);
	map_stage();
	CHECK(!edu_reads(&vfio, IOVA, memory));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

/*
 * MAP_DMA that creates the window, against DISABLE. Nothing is mapped in the
 * end: either MAP_DMA is refused, or DISABLE unmaps.
 */
#define RACE_ROUNDS	200
#define RACE_BYTES	(4 << 20)
#define RACE_SPINS	3000

static pthread_barrier_t race_barrier;
static struct vfio_iommu_type1_dma_map *race_args;
static int race_mapped, race_disabled;
static unsigned int race_spins;

static void *race_map(void *unused)
{
	pthread_barrier_wait(&race_barrier);
	race_mapped = vfio_ioctl(vfio.container, VFIO_IOMMU_MAP_DMA, race_args);

	return unused;
}

static void *race_disable(void *unused)
{
	volatile unsigned int i;

	pthread_barrier_wait(&race_barrier);
	for (i = 0; i < race_spins; i++)
		;
	race_disabled = disable();

	return unused;
}

static bool race_round(void)
{
	struct state before;
	pthread_t threads[2];
	bool good = true;

	open_enabled();
	before = state_now();
	/* The argument must be faulted in. */
	madvise(race_args, page, MADV_DONTNEED);
	pthread_create(&threads[0], NULL, race_map, NULL);
	pthread_create(&threads[1], NULL, race_disable, NULL);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);

	good &= CHECK_EQ(race_disabled, 0);
	if (race_mapped != -EPERM)
		good &= CHECK_EQ(race_mapped, 0);
	good &= CHECK_EQ(pins(&before), 0);
	good &= CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), -EPERM);
	vfio_close(&vfio);

	return good;
}

static void test_disable_race(void)
{
	const char *more = getenv("ROUNDS");
	unsigned int rounds = more ? atoi(more) : RACE_ROUNDS, round;
	unsigned char *from = vfio_memory(RACE_BYTES);
	int fd = memfd_create("args", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, page))
		tap_bail("memfd: %s", strerror(errno));
	race_args = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (race_args == MAP_FAILED)
		tap_bail("memfd: %s", strerror(errno));
	*race_args = (struct vfio_iommu_type1_dma_map) {
		.argsz = sizeof(*race_args),
		.flags = MAP_BOTH,
		.vaddr = (uintptr_t)from,
		.size = RACE_BYTES,
	};

	pthread_barrier_init(&race_barrier, NULL, 2);
	for (round = 0; round < rounds; round++) {
		race_spins = (round * 0x9e3779b9U >> 16) % RACE_SPINS;
		if (!race_round())
			break;
	}
	pthread_barrier_destroy(&race_barrier);
	munmap(race_args, page);
	close(fd);
	munmap(from, RACE_BYTES);
}

/*
 * An entry pins a kernel page, even if the IOMMU page is smaller. Pins beyond
 * the charge of ENABLE are charged by MAP_DMA, and uncharged by UNMAP_DMA.
 */
#define PINS_MORE	16

static void test_pins_charged(void)
{
	uint64_t i, most, enabled, with;
	unsigned char *pages;
	struct state before;
	int ret = 0;

	if (page == IOMMU_PAGE) {
		tap_skip("no entry pins more than it maps");
		return;
	}

	most = enabled_charge() + PINS_MORE;
	pages = vfio_memory((most + 1) * page);
	open_v1();
	before = state_now();
	CHECK_EQ(enable(), 0);
	enabled = state_locked();
	CHECK_EQ(map(0, pages, IOMMU_PAGE, MAP_BOTH), 0);
	with = state_locked() - enabled;
	CHECK_EQ(with, window_charge());

	/* A different page for each entry. */
	state_limit(PINS_MORE);
	for (i = 1; i <= most && !ret; i++)
		ret = map(i * IOMMU_PAGE, pages + i * page, IOMMU_PAGE,
			  MAP_BOTH);
	CHECK_EQ(ret, -ENOMEM);
	CHECK_EQ(i, most + 1);
	CHECK_EQ(pins(&before), most);
	CHECK_EQ(state_locked(), enabled + with + PINS_MORE);

	/* A page that is pinned already is not charged again. */
	CHECK_EQ(unmap((most - 1) * IOMMU_PAGE, IOMMU_PAGE), 0);
	CHECK_EQ(map(most * IOMMU_PAGE, pages + most * page, IOMMU_PAGE,
		     MAP_BOTH),
		 0);
	CHECK_EQ(unmap(most * IOMMU_PAGE, IOMMU_PAGE), 0);
	CHECK_EQ(state_locked(), enabled + with + PINS_MORE - 1);
	CHECK_EQ(unmap(0, window_bytes), 0);
	CHECK_EQ(state_locked(), enabled + with);
	CHECK_EQ(pins(&before), 0);

	/* The limit is the same as before. */
	CHECK_EQ(map(0, pages, enabled_charge() * page / 16, MAP_BOTH), 0);
	CHECK_EQ(state_locked(), enabled + with);
	CHECK_EQ(disable(), 0);
	CHECK_EQ(state_locked(), before.locked + with);
	state_unlimit();
	vfio_close(&vfio);
	CHECK_EQ(state_locked(), before.locked);
	munmap(pages, (most + 1) * page);
}

/*
 * If both pages have the same size, the entries of a full window pin what
 * ENABLE has charged. A MAP that replaces entries pins its pages in addition
 * until it ends.
 */
static void test_replacement_charged(void)
{
	struct state before;
	uint64_t iova;

	if (page != IOMMU_PAGE) {
		tap_skip("the entries of a full window pin fewer pages");
		return;
	}

	open_enabled();
	for (iova = 0; iova < window_bytes; iova += BYTES)
		if (!CHECK_EQ(map(iova, memory, BYTES, MAP_BOTH), 0))
			break;
	before = state_now();
	state_limit(PINS_MORE - 1);
	CHECK_EQ(map(0, memory, PINS_MORE * page, MAP_BOTH), -ENOMEM);
	CHECK_STATE(&before);
	CHECK_EQ(map(0, memory, (PINS_MORE - 1) * page, MAP_BOTH), 0);
	CHECK_STATE(&before);
	CHECK_EQ(unmap(0, page), 0);
	CHECK_EQ(map(0, memory, page, MAP_BOTH), 0);
	CHECK_STATE(&before);
	state_unlimit();
	vfio_close(&vfio);
}

static void test_detach(void)
{
	int container;

	open_enabled();
	map_stage();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	container = vfio.container;
	vfio_detach(&vfio);

	/*
	 * The container is in its initial state, and the group can be attached
	 * again.
	 */
	CHECK_EQ(enable(), -EINVAL);
	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), -EPERM);
	CHECK_EQ(enable(), 0);
	map_stage();
	CHECK(!edu_reads(&vfio, IOVA, memory));
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

static void map_and_exit(void *unused)
{
	CHECK(!unused);
	open_enabled();
	map_stage();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
}

static void test_exit(void)
{
	struct state before = state_now();

	tap_child(map_and_exit, NULL);
	CHECK_STATE(&before);
	/* The group can be used again. */
	open_enabled();
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), 0);
	vfio_close(&vfio);
}

int main(void)
{
	size_t i;

	init_v1();
	state_watch();

	tap_test("GET_INFO of version 1 has no dynamic windows", test_info);
	tap_test("version 1 does not have the commands of version 2",
		 test_version_2_commands);
	tap_test("MAP_DMA and UNMAP_DMA are refused before ENABLE",
		 test_map_before_enable);
	tap_test("ENABLE charges the whole window once, DISABLE uncharges it",
		 test_enable_charges);
	tap_test("ENABLE respects RLIMIT_MEMLOCK exactly",
		 test_enable_limit);
	tap_test("creating the table charges it exactly",
		 test_window_limit);
	tap_test("another process cannot use the container",
		 test_other_process);
	for (i = 0; i < ARRAY_SIZE(map_refusals); i++)
		tap_test_case(map_refusals[i].ours, test_map_refusal,
			      &map_refusals[i], "MAP_DMA refuses %s",
			      map_refusals[i].what);
	for (i = 0; i < ARRAY_SIZE(unmap_refusals); i++)
		tap_test_case(unmap_refusals[i].ours, test_unmap_refusal,
			      &unmap_refusals[i], "UNMAP_DMA refuses %s",
			      unmap_refusals[i].what);
	tap_test("MAP_DMA and UNMAP_DMA refuse a bad argument address",
		 test_bad_arguments);
	tap_test_ours("DISABLE unmaps and unpins what is mapped",
		      test_disable_unmaps);
	tap_test_ours("MAP_DMA that creates the window against DISABLE",
		      test_disable_race);
	tap_test_ours("pins beyond the charge of ENABLE are charged",
		      test_pins_charged);
	tap_test_ours("pins of a MAP_DMA that replaces entries are charged",
		      test_replacement_charged);
	tap_test("a group is detached with pages mapped, and attached again",
		 test_detach);
	tap_test("exit releases pages that are mapped", test_exit);

	return tap_main();
}
