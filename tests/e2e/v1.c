// SPDX-License-Identifier: GPL-2.0-only
/*
 * Version 1 of the interface: ENABLE and DISABLE, and MAP_DMA of memory that was
 * not registered, so that every page is pinned on its own.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "machine.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/* The default window is the only one. */
#define IOMMU_SHIFT	12
#define IOMMU_PAGE	(1ULL << IOMMU_SHIFT)

/* Where the stage and the memory are mapped: in one leaf, so the table is then. */
#define STAGE		0xf0000
#define IOVA		0x100000

/* The memory of the tests: a pin for each IOMMU page, so more than one batch. */
#define PAGES		256
#define BYTES		(PAGES * IOMMU_PAGE)

/* Memory, but the kernel writes it back as any other disk. */
#define DISK		"/dev/ram0"

#define ENABLE		VFIO_IOMMU_ENABLE
#define DISABLE		VFIO_IOMMU_DISABLE

static struct vfio vfio;
static unsigned char *memory;
static size_t page;
static uint64_t window_bytes;

static void open_v1(void)
{
	int container = vfio_open_container();
	int ret;

	ret = vfio_attach(&vfio, container, 0);
	if (ret)
		tap_bail("VFIO_GROUP_SET_CONTAINER: %s", strerror(-ret));
	ret = vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU);
	if (ret)
		tap_bail("VFIO_SET_IOMMU: %s", strerror(-ret));
}

static int enable(void)
{
	return vfio_ioctl(vfio.container, ENABLE, NULL);
}

static int disable(void)
{
	return vfio_ioctl(vfio.container, DISABLE, NULL);
}

static int map(uint64_t iova, const void *from, uint64_t size,
	       unsigned int flags)
{
	return vfio_map(vfio.container, iova, from, size, flags);
}

static int unmap(uint64_t iova, uint64_t size)
{
	return vfio_unmap(vfio.container, iova, size);
}

static void open_enabled(void)
{
	open_v1();
	if (enable())
		tap_bail("VFIO_IOMMU_ENABLE");
}

/* edu_stage() registers its page, which version 1 does not know. */
static void map_stage(void)
{
	if (vfio.device < 0)
		vfio_start_device(&vfio);
	if (!vfio.stage)
		vfio.stage = vfio_memory(page);
	vfio.stage_iova = STAGE;
	if (map(STAGE, vfio.stage, page, MAP_BOTH))
		tap_bail("the stage cannot be mapped");
}

/* Pins that came since @before. */
static long long pins(const struct state *before)
{
	return state_now().pinned - before->pinned;
}

/*
 * A kernel page is pinned once, by as many entries as there are; in-tree, and where the
 * IOMMU's page is as large, each entry pins it.
 */
static long long pinned_by(uint64_t entries, uint64_t pages)
{
	return tap_intree() || page == IOMMU_PAGE ? entries : pages;
}

/* What ENABLE charges: everything that can be mapped. */
static uint64_t enabled_charge(void)
{
	return window_bytes / page;
}

/* What the window itself is charged when it is made: a table of one level. */
static uint64_t window_charge(void)
{
	return vfio_window_charge(__builtin_ctzll(window_bytes) - IOMMU_SHIFT, 1);
}

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
	/* The default window was not removed either. */
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
	/* Nothing to disable is no error, and gives nothing back. */
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
	/* Not half enabled either. */
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), -EPERM);
	state_limit(enabled_charge());
	CHECK_EQ(enable(), 0);
	state_unlimit();
	vfio_close(&vfio);
}

/* The table's memory is charged too, when it is made. */
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
	/* It stays; what was charged for the pages does not. */
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

static void test_dma(void)
{
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK_EQ(pins(&before), pinned_by(PAGES, BYTES / page));
	/* They were charged when the container was enabled. */
	CHECK_EQ(state_locked(), before.locked);
	CHECK_MAPPED(0, PAGES + page / IOMMU_PAGE);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(edu_writes(&vfio, IOVA, memory));
	CHECK(edu_reads(&vfio, IOVA + BYTES - IOMMU_PAGE,
			memory + BYTES - IOMMU_PAGE));
	CHECK(edu_writes(&vfio, IOVA + BYTES - IOMMU_PAGE,
			 memory + BYTES - IOMMU_PAGE));
	/* A page in the middle, at an address that is no kernel page's. */
	CHECK(edu_copies(&vfio, IOVA + IOMMU_PAGE, memory + IOMMU_PAGE,
			 IOVA + 37 * IOMMU_PAGE, memory + 37 * IOMMU_PAGE));

	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK(!edu_reads(&vfio, IOVA, memory));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_permissions(void)
{
	open_enabled();
	map_stage();
	CHECK_EQ(map(IOVA, memory, page, MAP_READ), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	/* On these machines who may write may read: the platform sees to it. */
	CHECK_EQ(map(IOVA, memory, page, MAP_WRITE), 0);
	CHECK(edu_writes(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

/* A call that is refused: what is not said is right. */
static const struct refusal {
	const char *what;
	int error;
	uint64_t iova;
	uint64_t size;
	/* @iova counts from the window's end. */
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
	/* In-tree the answer is 1. */
	{ .what = "a misaligned bus address", .error = -EINVAL,
	  .iova = IOVA + 512, .size = IOMMU_PAGE, .flags = MAP_BOTH,
	  .ours = true },
	{ .what = "a misaligned address", .error = -EINVAL, .iova = IOVA,
	  .size = IOMMU_PAGE, .flags = MAP_BOTH, .offset = 512 },
	{ .what = "a misaligned size", .error = -EINVAL, .iova = IOVA,
	  .size = IOMMU_PAGE + 512, .flags = MAP_BOTH },
	{ .what = "a bus address in no window", .error = -ENXIO,
	  .iova = 1ULL << 40, .size = IOMMU_PAGE, .flags = MAP_BOTH },
	/* In-tree these three are successes, or go past the table's end. */
	{ .what = "size 0", .error = -EINVAL, .iova = IOVA,
	  .flags = MAP_BOTH, .ours = true },
	{ .what = "a range that leaves the window", .error = -EINVAL,
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
	{ .what = "a bus address in no window", .error = -ENXIO,
	  .iova = 1ULL << 40, .size = IOMMU_PAGE },
	{ .what = "size 0", .error = -EINVAL, .iova = IOVA, .ours = true },
	{ .what = "a range that leaves the window", .error = -EINVAL,
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
	/* What is mapped there stays. */
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

/* One page that the process itself may only read. */
static unsigned char *read_only_memory(unsigned int seed)
{
	unsigned char *address = vfio_memory(page);

	edu_fill(address, seed);
	if (mprotect(address, page, PROT_READ))
		tap_bail("mprotect: %s", strerror(errno));

	return address;
}

static void test_read_only_memory(void)
{
	unsigned char *address = read_only_memory(edu_seed());
	struct state before;

	open_enabled();
	/* The window is made by the first call, even if that fails. */
	CHECK_EQ(unmap(IOVA, IOMMU_PAGE), 0);
	before = state_now();
	CHECK_EQ(map(IOVA, address, page, MAP_WRITE), -EFAULT);
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), -EFAULT);
	CHECK_STATE(&before);
	vfio_close(&vfio);
	munmap(address, page);
}

static void test_read_only_memory_to_read(void)
{
	unsigned int seed = edu_seed();
	unsigned char *address = read_only_memory(seed);

	open_enabled();
	map_stage();
	CHECK_EQ(map(IOVA, address, page, MAP_READ), 0);
	edu_read(&vfio, IOVA);
	memset(vfio.stage, 0, EDU_BYTES);
	edu_write(&vfio, STAGE);
	CHECK(edu_filled(vfio.stage, seed));
	/* Other data, which it must not bring back. */
	edu_fill(vfio.stage, edu_seed());
	edu_read(&vfio, STAGE);
	edu_write(&vfio, IOVA);
	CHECK(edu_filled(address, seed));
	vfio_close(&vfio);
	munmap(address, page);
}

/* Memory whose third kernel page is not there; the next mmap() may fill it. */
static unsigned char *memory_with_hole(size_t pages)
{
	unsigned char *address = vfio_memory(pages * page);

	munmap(address + 2 * page, page);

	return address;
}

static void test_hole(void)
{
	unsigned char *address = memory_with_hole(4);
	struct state before;

	open_enabled();
	CHECK_EQ(unmap(IOVA, IOMMU_PAGE), 0);
	before = state_now();
	CHECK_EQ(map(IOVA, address, 4 * page, MAP_BOTH), -EFAULT);
	CHECK_STATE(&before);
	CHECK_EQ(map(IOVA, address + 2 * page, page, MAP_BOTH), -EFAULT);
	CHECK_STATE(&before);
	/* Nobody's address, and the kernel's. */
	CHECK_EQ(map(IOVA, (void *)IOMMU_PAGE, page, MAP_BOTH), -EFAULT);
	CHECK_EQ(map(IOVA, (void *)0xc000000000000000, page, MAP_BOTH),
		 -EFAULT);
	CHECK_STATE(&before);
	/* The pages around the hole are as good as ever. */
	CHECK_EQ(map(IOVA, address, 2 * page, MAP_BOTH), 0);
	CHECK_EQ(map(IOVA, address + 3 * page, page, MAP_BOTH), 0);
	vfio_close(&vfio);
	munmap(address, 2 * page);
	munmap(address + 3 * page, page);
}

/* All or nothing: what was mapped before is there yet. */
static void test_hole_keeps_mappings(void)
{
	unsigned char *address;
	struct state before;

	open_enabled();
	map_stage();
	address = memory_with_hole(4);
	CHECK_EQ(map(IOVA, memory, 4 * page, MAP_BOTH), 0);
	before = state_now();
	CHECK_EQ(map(IOVA, address, 4 * page, MAP_BOTH), -EFAULT);
	CHECK_STATE(&before);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(edu_writes(&vfio, IOVA + page, memory + page));
	vfio_close(&vfio);
	munmap(address, 2 * page);
	munmap(address + 3 * page, page);
}

static void test_overwrite(void)
{
	unsigned char *other = vfio_memory(page);
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, memory, 2 * page, MAP_BOTH), 0);
	CHECK_EQ(pins(&before), pinned_by(2 * page / IOMMU_PAGE, 2));
	CHECK_EQ(map(IOVA, other, page, MAP_BOTH), 0);
	/* The old page is let go of, not only the new one held. */
	CHECK_EQ(pins(&before), pinned_by(2 * page / IOMMU_PAGE, 2));
	CHECK_MAPPED(0, 3 * page / IOMMU_PAGE);
	CHECK(edu_reads(&vfio, IOVA, other));
	CHECK(edu_writes(&vfio, IOVA, other));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	CHECK(edu_reads(&vfio, IOVA + page, memory + page));
	/* By itself, and with less permission. */
	CHECK_EQ(map(IOVA, other, page, MAP_READ), 0);
	CHECK_EQ(pins(&before), pinned_by(2 * page / IOMMU_PAGE, 2));
	CHECK(!edu_writes(&vfio, IOVA, other));
	CHECK_EQ(unmap(IOVA, 2 * page), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
	munmap(other, page);
}

static void test_partial_unmap(void)
{
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK_EQ(unmap(IOVA + 2 * IOMMU_PAGE, 3 * IOMMU_PAGE), 0);
	CHECK_EQ(pins(&before), pinned_by(PAGES - 3, BYTES / page));
	CHECK_MAPPED(0, PAGES - 3 + page / IOMMU_PAGE);
	CHECK(edu_reads(&vfio, IOVA + IOMMU_PAGE, memory + IOMMU_PAGE));
	CHECK(!edu_reads(&vfio, IOVA + 2 * IOMMU_PAGE,
			 memory + 2 * IOMMU_PAGE));
	CHECK(!edu_writes(&vfio, IOVA + 4 * IOMMU_PAGE,
			  memory + 4 * IOMMU_PAGE));
	CHECK(edu_writes(&vfio, IOVA + 5 * IOMMU_PAGE,
			 memory + 5 * IOMMU_PAGE));
	/* What is not mapped is no error; the rest goes. */
	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_same_page_often(void)
{
	struct state before;
	unsigned int i;

	open_enabled();
	CHECK_EQ(unmap(IOVA, IOMMU_PAGE), 0);
	before = state_now();
	for (i = 0; i < 100; i++)
		CHECK_EQ(map(IOVA + i * 8 * IOMMU_PAGE, memory, IOMMU_PAGE,
			     MAP_BOTH), 0);
	CHECK_EQ(pins(&before), pinned_by(100, 1));
	for (i = 0; i < 99; i++)
		CHECK_EQ(unmap(IOVA + i * 8 * IOMMU_PAGE, 8 * IOMMU_PAGE), 0);
	CHECK_EQ(pins(&before), 1);
	CHECK_EQ(unmap(IOVA, 800 * IOMMU_PAGE), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK_MAPPED(0, 0);
	vfio_close(&vfio);
}

/* Ends of the window, and large pages of memory under small ones of the IOMMU. */
static void test_large_memory(void)
{
	uint64_t size = 16 << 20;
	unsigned char *address;
	struct state before;

	address = vfio_memory(2 * size);
	madvise(address, 2 * size, MADV_HUGEPAGE);
	memset(address, 1, 2 * size);
	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(window_bytes - size, address + size / 2, size, MAP_BOTH),
		 0);
	CHECK_EQ(pins(&before), pinned_by(size / IOMMU_PAGE, size / page));
	CHECK(edu_reads(&vfio, window_bytes - IOMMU_PAGE,
			address + size / 2 + size - IOMMU_PAGE));
	CHECK(edu_writes(&vfio, window_bytes - size + 123 * IOMMU_PAGE,
			 address + size / 2 + 123 * IOMMU_PAGE));
	CHECK_EQ(unmap(window_bytes - size, size), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK_MAPPED(0, page / IOMMU_PAGE);
	vfio_close(&vfio);
	munmap(address, 2 * size);
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
	/* Not charged any more, so not pinned any more. */
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
 * MAP_DMA that makes the window, against DISABLE. Whoever is first, nothing is mapped
 * afterwards: MAP_DMA is refused, or DISABLE unmaps.
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
	/* The argument is there, but its place in the page table is not. */
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
 * An entry pins a kernel page, however small the IOMMU's page is: what that is more than
 * ENABLE charged is charged by MAP_DMA, and given back by UNMAP_DMA.
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

	/* A page for each entry. */
	state_limit(PINS_MORE);
	for (i = 1; i <= most && !ret; i++)
		ret = map(i * IOMMU_PAGE, pages + i * page, IOMMU_PAGE, MAP_BOTH);
	CHECK_EQ(ret, -ENOMEM);
	CHECK_EQ(i, most + 1);
	CHECK_EQ(pins(&before), most);
	CHECK_EQ(state_locked(), enabled + with + PINS_MORE);

	/* A page that is pinned already is not charged again. */
	CHECK_EQ(unmap((most - 1) * IOMMU_PAGE, IOMMU_PAGE), 0);
	CHECK_EQ(map(most * IOMMU_PAGE, pages + most * page, IOMMU_PAGE, MAP_BOTH), 0);
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

static void test_detach(void)
{
	int container;

	open_enabled();
	map_stage();
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	container = vfio.container;
	vfio_detach(&vfio);

	/* The container is as new, and the group can come back. */
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
	/* The group is free for the next one. */
	open_enabled();
	CHECK_EQ(map(IOVA, memory, page, MAP_BOTH), 0);
	vfio_close(&vfio);
}

/*
 * The device's writes leave no trace in the processor's page table: if the page
 * were not marked dirty, it could be dropped and read again from where it came.
 */
static void test_dirty(void)
{
	/* Fresh ones: a page that was written out once is dirty for ever. */
	unsigned char *address = vfio_memory(2 * page);

	open_enabled();
	map_stage();
	CHECK(!page_is_dirty(address));
	CHECK(!page_is_dirty(address + page));
	CHECK_EQ(map(IOVA, address, page, MAP_READ), 0);
	CHECK_EQ(map(IOVA + page, address + page, page, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, address));
	CHECK(edu_writes(&vfio, IOVA + page, address + page));
	CHECK_EQ(unmap(IOVA, 2 * page), 0);
	CHECK(!page_is_dirty(address));
	CHECK(page_is_dirty(address + page));
	vfio_close(&vfio);
	munmap(address, 2 * page);
}

/*
 * A file system must know before its pages are written, and a device says nothing. A
 * block device is as good as a file on it, and what is mapped only to be read, or is
 * the process's own copy, is nothing that a device could spoil.
 */
static void test_file_written_back(void)
{
	int file = open(DISK, O_RDWR | O_CLOEXEC);
	struct state before;
	unsigned char *address;

	if (file < 0) {
		tap_skip("no " DISK);
		return;
	}

	open_enabled();
	map_stage();
	before = state_now();
	address = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (address == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), -EFAULT);
	CHECK_EQ(map(IOVA, address, page, MAP_WRITE), -EFAULT);
	CHECK_STATE(&before);
	munmap(address, page);

	address = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	if (address == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), 0);
	CHECK(edu_writes(&vfio, IOVA, address));
	CHECK_EQ(unmap(IOVA, page), 0);
	CHECK_STATE(&before);
	munmap(address, page);
	vfio_close(&vfio);
	close(file);
}

/* A file's pages belong to the file: who reads it sees what the device wrote. */
static void test_file_memory(void)
{
	int file = memfd_create("v1", MFD_CLOEXEC);
	uint32_t copy[EDU_BYTES / sizeof(uint32_t)];
	unsigned int seed = edu_seed();
	unsigned char *address;

	if (file < 0 || ftruncate(file, page))
		tap_bail("memfd: %s", strerror(errno));
	address = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (address == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));

	open_enabled();
	map_stage();
	/* MAP itself brings the page in. */
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), 0);
	edu_fill(vfio.stage, seed);
	edu_read(&vfio, STAGE);
	edu_write(&vfio, IOVA);
	CHECK_EQ(unmap(IOVA, page), 0);
	munmap(address, page);
	CHECK_EQ(pread(file, copy, sizeof(copy), 0), sizeof(copy));
	CHECK(edu_filled((unsigned char *)copy, seed));
	vfio_close(&vfio);
	close(file);
}

static void test_memory_that_went(void)
{
	unsigned char *address = vfio_memory(page);
	struct state before;

	open_enabled();
	map_stage();
	before = state_now();
	CHECK_EQ(map(IOVA, address, page, MAP_BOTH), 0);
	/* The device goes on with the page, not with its successor. */
	if (mmap(address, page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != address)
		tap_bail("mmap: %s", strerror(errno));
	CHECK(!edu_reads(&vfio, IOVA, address));
	CHECK(!edu_writes(&vfio, IOVA, address));
	CHECK_EQ(pins(&before), pinned_by(page / IOMMU_PAGE, 1));
	CHECK_EQ(unmap(IOVA, page), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
	munmap(address, page);
}

/* Threads map over each other's pages and unmap them. */
#define THREADS		4
#define ROUNDS		200

static void *map_and_unmap(void *data)
{
	unsigned int seed = (uintptr_t)data;
	unsigned int i;
	long bad = 0;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t first = rand_r(&seed) % (PAGES / 2);
		uint64_t count = 1 + rand_r(&seed) % (PAGES / 2);

		if (rand_r(&seed) % 3)
			bad |= map(IOVA + first * IOMMU_PAGE,
				   memory + first * IOMMU_PAGE,
				   count * IOMMU_PAGE, MAP_BOTH);
		else
			bad |= unmap(IOVA + first * IOMMU_PAGE,
				     count * IOMMU_PAGE);
	}

	return (void *)bad;
}

static void test_threads(void)
{
	pthread_t threads[THREADS];
	struct state before;
	uintptr_t i;
	void *bad;

	open_enabled();
	CHECK_EQ(unmap(IOVA, IOMMU_PAGE), 0);
	before = state_now();
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, map_and_unmap,
				   (void *)(i + 1)))
			tap_bail("pthread_create");
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &bad);
		CHECK_EQ((long)bad, 0);
	}
	/* Whatever the order was: an entry, a pin. */
	CHECK_EQ(map(IOVA, memory, BYTES, MAP_BOTH), 0);
	CHECK_EQ(pins(&before), pinned_by(PAGES, BYTES / page));
	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_EQ(pins(&before), 0);
	CHECK_MAPPED(0, 0);
	vfio_close(&vfio);
}

int main(void)
{
	struct vfio_iommu_spapr_tce_info info;
	size_t i;

	page = vfio_page_size();
	memory = vfio_memory(BYTES);
	open_v1();
	if (vfio_info(vfio.container, &info))
		tap_bail("GET_INFO");
	window_bytes = info.dma32_window_size;
	vfio_close(&vfio);
	state_watch();

	tap_test("GET_INFO of version 1 has no dynamic windows", test_info);
	tap_test("version 1 does not know version 2's commands",
		 test_version_2_commands);
	tap_test("MAP_DMA and UNMAP_DMA are refused before ENABLE",
		 test_map_before_enable);
	tap_test("ENABLE charges the whole window once, DISABLE gives it back",
		 test_enable_charges);
	tap_test("ENABLE respects RLIMIT_MEMLOCK to the page",
		 test_enable_limit);
	tap_test("the window's table is charged when it is made, to the page",
		 test_window_limit);
	tap_test("another process can do nothing with the container",
		 test_other_process);
	for (i = 0; i < ARRAY_SIZE(map_refusals); i++)
		tap_test_case(map_refusals[i].ours, test_map_refusal,
			      &map_refusals[i], "MAP_DMA refuses %s",
			      map_refusals[i].what);
	for (i = 0; i < ARRAY_SIZE(unmap_refusals); i++)
		tap_test_case(unmap_refusals[i].ours, test_unmap_refusal,
			      &unmap_refusals[i], "UNMAP_DMA refuses %s",
			      unmap_refusals[i].what);
	tap_test("MAP_DMA and UNMAP_DMA refuse a bad address of their own",
		 test_bad_arguments);
	tap_test("a device reads and writes memory that was not registered",
		 test_dma);
	tap_test("a device may do what MAP_DMA said and no more",
		 test_permissions);
	tap_test("memory that cannot be written is not given to write",
		 test_read_only_memory);
	/* In-tree takes no such memory at all. */
	tap_test_ours("memory that cannot be written is given to read",
		      test_read_only_memory_to_read);
	tap_test("MAP_DMA of memory with a hole maps and pins nothing",
		 test_hole);
	tap_test_ours("MAP_DMA of memory with a hole leaves what was mapped",
		      test_hole_keeps_mappings);
	tap_test("mapping over a page lets go of it", test_overwrite);
	tap_test("UNMAP_DMA of a part leaves the rest", test_partial_unmap);
	tap_test("a page is pinned as long as an entry leads there", test_same_page_often);
	tap_test("16 MiB of large pages, at the window's end",
		 test_large_memory);
	tap_test_ours("DISABLE unmaps and unpins what is mapped",
		      test_disable_unmaps);
	tap_test_ours("MAP_DMA that makes the window leaves nothing mapped behind DISABLE",
		      test_disable_race);
	tap_test_ours("pages that are pinned beyond what ENABLE charged are charged",
		      test_pins_charged);
	tap_test("a group leaves with pages mapped, and comes back",
		 test_detach);
	tap_test("a process ends with pages mapped", test_exit);
	tap_test("a page that the device may have written is dirty",
		 test_dirty);
	tap_test("what a device writes to a file's page is in the file",
		 test_file_memory);
	tap_test_ours("a file that is written back is not given to a device to write",
		      test_file_written_back);
	tap_test("a page stays pinned when the process gives its address away",
		 test_memory_that_went);
	tap_test("threads map and unmap the same addresses", test_threads);

	return tap_main();
}
