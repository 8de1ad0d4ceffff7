// SPDX-License-Identifier: GPL-2.0-only
/*
 * In a guest the hypervisor has the tables: a window has one level, a group has
 * windows of its own, and an entry is set only if the hypervisor accepts it.
 *
 * After the hypervisor has failed once to create a window for a device, the
 * kernel never tries again for that device. So these tests do not ask for
 * windows that only the hypervisor would refuse, except the last one, which
 * checks that it is not asked.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "file.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/* Addresses in the default window: the stage, and the memory. */
#define STAGE		0x100000
#define IOVA		0x180000

#define SHIFT_4K	12
#define SHIFT_64K	16
#define SIZE_1G		(1ULL << 30)

/* The size of the memory: 16 pages of 64K. */
#define BYTES		(16ULL << SHIFT_64K)

static struct vfio vfio;
static struct vfio_iommu_spapr_tce_info info;
static unsigned char *memory;
/*
 * The shift of an IOMMU page no larger than a kernel page; if possible not that
 * of the default window.
 */
static unsigned int small;

static int map(uint64_t iova, const unsigned char *from, uint64_t size)
{
	return vfio_map(vfio.container, iova, from, size, MAP_BOTH);
}

static int unmap(uint64_t iova, uint64_t size)
{
	return vfio_unmap(vfio.container, iova, size);
}

static int create(unsigned int page_shift, uint64_t size, uint64_t *start)
{
	return vfio_create(vfio.container, page_shift, size, 1, start);
}

static void open_registered(void)
{
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, BYTES), 0);
}

static void open_staged(void)
{
	open_registered();
	edu_stage(&vfio, STAGE);
}

static bool works(uint64_t iova, unsigned char *at)
{
	return edu_works(&vfio, iova, at);
}

static bool is_blocked(uint64_t iova, unsigned char *at)
{
	return edu_is_blocked(&vfio, iova, at);
}

static uint64_t charge(unsigned int page_shift, uint64_t size)
{
	return vfio_window_charge(__builtin_ctzll(size) - page_shift, 1);
}

static void test_info(void)
{
	CHECK_EQ(info.flags, VFIO_IOMMU_SPAPR_INFO_DDW);
	CHECK_EQ(info.dma32_window_start, 0);
	CHECK(info.dma32_window_size >= SIZE_1G);
	CHECK(info.ddw.pgsizes & 1 << SHIFT_4K);
	CHECK(info.ddw.pgsizes & 1 << SHIFT_64K);
	CHECK_EQ(info.ddw.max_dynamic_windows_supported, 2);
	CHECK_EQ(info.ddw.levels, 1);
}

static void test_default_window(void)
{
	uint64_t end = info.dma32_window_size;
	uint64_t before;

	open_registered();
	before = state_locked();
	CHECK_EQ(map(IOVA, memory, BYTES), 0);
	CHECK_EQ(state_locked() - before, charge(SHIFT_4K, end));
	CHECK_MAPPED(0, BYTES >> SHIFT_4K);
	edu_stage(&vfio, STAGE);
	CHECK(works(IOVA, memory));
	CHECK(works(IOVA + BYTES - 4096, memory + BYTES - 4096));
	/* The last page of the window. */
	CHECK_EQ(map(end - 4096, memory + 4096, 4096), 0);
	CHECK(works(end - 4096, memory + 4096));
	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK(is_blocked(IOVA, memory));
	CHECK(works(end - 4096, memory + 4096));
	CHECK_EQ(unmap(end - 4096, 4096), 0);
	CHECK(is_blocked(end - 4096, memory + 4096));
	vfio_close(&vfio);
}

static void test_permission(void)
{
	open_staged();
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, 4096, MAP_READ), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

static void test_overwrite(void)
{
	unsigned char *other = memory + BYTES / 2;

	open_staged();
	CHECK_EQ(map(IOVA, memory, 4096), 0);
	CHECK_EQ(map(IOVA, other, 8192), 0);
	CHECK(works(IOVA, other));
	CHECK(!edu_writes(&vfio, IOVA, memory));
	CHECK(works(IOVA + 4096, other + 4096));
	CHECK_MAPPED(0, 2 + vfio_page_size() / 4096);
	vfio_close(&vfio);
}

static void test_partial_unmap(void)
{
	open_staged();
	CHECK_EQ(map(IOVA, memory, BYTES), 0);
	CHECK_EQ(unmap(IOVA + 2 * 4096, 3 * 4096), 0);
	CHECK(works(IOVA + 4096, memory + 4096));
	CHECK(is_blocked(IOVA + 2 * 4096, memory + 2 * 4096));
	CHECK(is_blocked(IOVA + 4 * 4096, memory + 4 * 4096));
	CHECK(works(IOVA + 5 * 4096, memory + 5 * 4096));
	/* Unmapping it again succeeds. */
	CHECK_EQ(unmap(IOVA, BYTES), 0);
	CHECK_MAPPED(0, vfio_page_size() / 4096);
	CHECK(is_blocked(IOVA + 5 * 4096, memory + 5 * 4096));
	/* No longer counted. */
	CHECK_EQ(vfio_unregister(vfio.container, memory, BYTES), 0);
	vfio_close(&vfio);
}

/* A refused MAP_DMA does not change the entries of the hypervisor. */
static void test_all_or_nothing(void)
{
	unsigned char *other = vfio_memory(BYTES);
	struct state before;

	open_staged();
	CHECK_EQ(vfio_register(vfio.container, other, BYTES / 2), 0);
	CHECK_EQ(map(IOVA, memory, BYTES), 0);
	before = state_now();
	/* The second half is not registered. */
	CHECK_EQ(map(IOVA, other, BYTES), -EINVAL);
	CHECK_STATE(&before);
	CHECK(works(IOVA, memory));
	CHECK(works(IOVA + BYTES - 4096, memory + BYTES - 4096));
	/* No page of it is counted. */
	CHECK_EQ(vfio_unregister(vfio.container, other, BYTES / 2), 0);
	vfio_close(&vfio);
	munmap(other, BYTES);
}

static void test_levels(void)
{
	const unsigned int invalid[] = { 0, 6, ~0U };
	struct state before, with;
	unsigned int levels;
	uint64_t start;
	size_t i;

	open_staged();
	before = state_now();
	for (i = 0; i < ARRAY_SIZE(invalid); i++) {
		CHECK_EQ(vfio_create(vfio.container, SHIFT_64K, SIZE_1G,
				     invalid[i], &start), -EINVAL);
		CHECK_EQ(start, ~0ULL);
		CHECK_STATE(&before);
	}

	/*
	 * The hypervisor has the table, so the number of levels makes no
	 * difference.
	 */
	CHECK_EQ(vfio_create(vfio.container, SHIFT_64K, SIZE_1G, 1, &start), 0);
	with = state_now();
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	for (levels = 2; levels <= 5; levels++) {
		CHECK_EQ(vfio_create(vfio.container, SHIFT_64K, SIZE_1G, levels,
				     &start), 0);
		CHECK_EQ(start, WINDOW1_START);
		CHECK_EQ(state_locked(), with.locked);
		CHECK_EQ(vfio_remove(vfio.container, start), 0);
		CHECK_STATE(&before);
	}
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	vfio_close(&vfio);
}

static const struct size {
	const char *what;
	unsigned int page_shift;
	uint64_t size;
} sizes[] = {
	{ "size 0", SHIFT_64K, 0 },
	{ "a size that is no power of two", SHIFT_64K, SIZE_1G + SIZE_1G / 2 },
	{ "less than a page", SHIFT_64K, 1 << SHIFT_4K },
	{ "an unsupported page size", 13, SIZE_1G },
	{ "page shift 0", 0, SIZE_1G },
	{ "page shift 64", 64, SIZE_1G },
	/* The query returns the limit, so the kernel does not try. */
	{ "a size beyond the limit of the hypervisor", SHIFT_4K, 1ULL << 50 },
	{ "a window of 2^63 bytes", SHIFT_64K, 1ULL << 63 },
};

static void test_size(const void *data)
{
	const struct size *size = data;
	struct state before;
	uint64_t start;

	open_staged();
	before = state_now();
	CHECK_EQ(create(size->page_shift, size->size, &start), -EINVAL);
	CHECK_EQ(start, ~0ULL);
	CHECK_STATE(&before);
	/* The kernel has not marked the device as failed. */
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	vfio_close(&vfio);
}

static void test_third_window(void)
{
	struct state before;
	uint64_t start;

	open_staged();
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	CHECK_EQ(start, WINDOW1_START);
	before = state_now();
	CHECK_EQ(create(small, SIZE_1G, &start), -ENOSPC);
	CHECK_EQ(start, ~0ULL);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_limit(void)
{
	uint64_t needed = charge(small, SIZE_1G);
	struct state before;
	uint64_t start;

	open_staged();
	before = state_now();
	state_limit(needed - 1);
	CHECK_EQ(create(small, SIZE_1G, &start), -ENOMEM);
	CHECK_STATE(&before);
	state_limit(needed);
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	state_unlimit();
	CHECK_EQ(state_locked() - before.locked, needed);
	vfio_close(&vfio);
}

static void test_remove_and_create(void)
{
	struct state before;
	unsigned int i;
	uint64_t start;

	open_staged();
	before = state_now();
	for (i = 0; i < 4; i++) {
		/* Different windows at the same address. */
		unsigned int shift = i & 1 ? SHIFT_4K : small;

		CHECK_EQ(create(shift, SIZE_1G << i, &start), 0);
		CHECK_EQ(start, WINDOW1_START);
		CHECK(is_blocked(start + IOVA, memory));
		CHECK_EQ(map(start + IOVA, memory, BYTES), 0);
		CHECK(works(start + IOVA, memory));
		/* Removed with pages mapped. */
		CHECK_EQ(vfio_remove(vfio.container, start), 0);
		CHECK_STATE(&before);
		CHECK(is_blocked(start + IOVA, memory));
	}
	CHECK_EQ(vfio_unregister(vfio.container, memory, BYTES), 0);
	vfio_close(&vfio);
}

/*
 * Whether the platform has allocated a userspace view with a window. The
 * function that allocates it may be a part of spapr_tce_create_table().
 */
static bool have_view(void)
{
	return file_has("/proc/vmallocinfo", "spapr_tce_create_table", NULL,
			NULL) ||
	       file_has("/proc/vmallocinfo", "tce_iommu_userspace_view_alloc",
			NULL, NULL);
}

/*
 * The platform's view is not needed once the window has operations of ours, and
 * KVM could keep it after the window was removed.
 */
static void test_view(void)
{
	uint64_t start;

	open_registered();
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	if (tap_intree())
		CHECK(have_view());
	else
		CHECK(!have_view());
	CHECK_EQ(map(start + IOVA, memory, BYTES), 0);
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	vfio_close(&vfio);
}

/* The default window can be removed; then a large one can be the only one. */
static void test_without_default(void)
{
	struct state before;
	uint64_t start;

	open_registered();
	before = state_now();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(map(IOVA, memory, BYTES), -ENXIO);
	CHECK_EQ(create(small, 64 * SIZE_1G, &start), 0);
	edu_stage(&vfio, start + STAGE);
	CHECK_EQ(map(start + IOVA, memory, BYTES), 0);
	CHECK(works(start + IOVA, memory));
	CHECK_EQ(vfio_remove(vfio.container, start), 0);

	/* The default window can be created again. */
	CHECK_EQ(create(SHIFT_4K, info.dma32_window_size, &start), 0);
	CHECK_EQ(start, 0);
	CHECK_EQ(map(STAGE, vfio.stage, vfio_page_size()), 0);
	vfio.stage_iova = STAGE;
	CHECK_EQ(map(IOVA, memory, BYTES), 0);
	CHECK(works(IOVA, memory));
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_unregister(vfio.container, vfio.stage, vfio_page_size()),
		 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

/*
 * Opens both windows, with the stage in the second one. Returns the start of
 * the second one.
 */
static uint64_t open_staged_in_second(void)
{
	uint64_t start;

	open_staged();
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	CHECK_EQ(map(start + STAGE, vfio.stage, vfio_page_size()), 0);
	vfio.stage_iova = start + STAGE;

	return start;
}

/* If one was created at 0, the platform would lose the other window. */
static void test_none_at_0_beside_another(void)
{
	uint64_t start = open_staged_in_second();
	struct state before;

	CHECK_EQ(map(start + IOVA, memory, BYTES), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	state_quiesce();
	before = state_now();
	CHECK_EQ(create(SHIFT_4K, info.dma32_window_size, &start), -EPERM);
	CHECK_EQ(create(small, SIZE_1G, &start), -EPERM);
	CHECK_STATE(&before);
	CHECK(works(WINDOW1_START + IOVA, memory));
	vfio_close(&vfio);
}

#define REFUSALS	2048

/* Unreclaimable slab memory of the machine, in bytes. */
static long slab_bytes(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	long kib = -1;
	char line[100];

	if (!file)
		tap_bail("/proc/meminfo: %s", strerror(errno));
	while (kib < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, "SUnreclaim: %ld", &kib) != 1)
			kib = -1;
	fclose(file);

	return kib << 10;
}

/* The platform allocates 1 KiB before it refuses, and does not free it. */
static void test_refused_frees_all(void)
{
	long before, growth;
	unsigned int i;
	uint64_t start;

	if (file_has("/proc/kallsyms", " kasan_quarantine_put", NULL, NULL)) {
		tap_skip("KASAN keeps memory that was freed");
		return;
	}

	open_registered();
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	before = slab_bytes();
	for (i = 0; i < REFUSALS; i++)
		if (!CHECK_EQ(create(SHIFT_4K, SIZE_1G, &start), -EPERM))
			break;
	growth = slab_bytes() - before;
	if (!CHECK(growth < REFUSALS * 512))
		tap_diag("%ld bytes are left of %u windows", growth, i);
	vfio_close(&vfio);
}

/* A window of a new container works, beside the default one. */
static void check_second_works(void)
{
	uint64_t start = open_staged_in_second();

	CHECK_EQ(start, WINDOW1_START);
	CHECK_EQ(map(IOVA, memory, BYTES), 0);
	CHECK_EQ(map(start + IOVA, memory, BYTES), 0);
	CHECK(works(start + IOVA, memory));
	vfio_close(&vfio);
}

/*
 * The group's window 0 is a dynamic one, which begins at WINDOW1_START, not the
 * hypervisor's default window: then there cannot be a second one.
 */
static void check_alone(unsigned int page_shift, uint64_t size)
{
	bool usable = page_shift <= vfio_page_shift();
	struct state before;
	uint64_t start;

	open_registered();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(create(page_shift, size, &start), 0);
	CHECK_EQ(start, WINDOW1_START);
	if (usable) {
		edu_stage(&vfio, start + STAGE);
		CHECK_EQ(map(start + IOVA, memory, BYTES), 0);
	}
	state_quiesce();
	before = state_now();
	CHECK_EQ(create(small, SIZE_1G, &start), -EPERM);
	CHECK_EQ(create(SHIFT_64K, SIZE_1G, &start), -EPERM);
	CHECK_EQ(create(SHIFT_4K, info.dma32_window_size, &start), -EPERM);
	CHECK_EQ(start, ~0ULL);
	CHECK_STATE(&before);
	if (usable)
		CHECK(works(WINDOW1_START + IOVA, memory));

	/* It can be replaced. */
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	CHECK_EQ(create(small, 2 * info.dma32_window_size, &start), 0);
	CHECK_EQ(start, WINDOW1_START);
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	CHECK_EQ(create(SHIFT_4K, info.dma32_window_size, &start), 0);
	CHECK_EQ(start, 0);
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	CHECK_EQ(start, WINDOW1_START);
	vfio_close(&vfio);
	check_second_works();
}

static void test_none_beside_dynamic(void)
{
	check_alone(SHIFT_64K, SIZE_1G);
	check_alone(SHIFT_4K, 2 * info.dma32_window_size);
}

/* A part of the default window is a default window, too. */
static void test_beside_small_default(void)
{
	uint64_t start;

	open_registered();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(create(SHIFT_4K, info.dma32_window_size / 2, &start), 0);
	CHECK_EQ(start, 0);
	edu_stage(&vfio, STAGE);
	CHECK_EQ(create(SHIFT_64K, SIZE_1G, &start), 0);
	CHECK_EQ(start, WINDOW1_START);
	CHECK_EQ(map(IOVA, memory, BYTES), 0);
	CHECK(works(IOVA, memory));
	vfio_close(&vfio);
	check_second_works();
}

/* The default window is removed with pages mapped. */
static void test_default_removed_mapped(void)
{
	struct state before;

	open_staged_in_second();
	before = state_now();
	CHECK_EQ(map(IOVA, memory, BYTES), 0);
	CHECK(works(IOVA, memory));
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(before.locked - state_locked(),
		 charge(SHIFT_4K, info.dma32_window_size));
	CHECK(is_blocked(IOVA, memory));
	CHECK(!edu_copies(&vfio, STAGE, vfio.stage, STAGE, memory));
	CHECK_EQ(vfio_unregister(vfio.container, memory, BYTES), 0);
	vfio_close(&vfio);
}

/*
 * The hypervisor shrinks the window to half of its size, unknown to the kernel.
 */
static bool shrink_window(void)
{
	int fd =
		open("/sys/module/tce_shrink_test/parameters/shrink", O_WRONLY);
	const char *device = getenv("VFIO_DEVICE");
	bool done;

	if (fd < 0 || !device)
		return false;
	done = write(fd, device, strlen(device)) == (ssize_t)strlen(device);
	close(fd);

	return done;
}

/*
 * The hypervisor accepts only the first half of a MAP_DMA: nothing of it and
 * nothing of the replaced mappings may be left, and adjacent mappings must not
 * change.
 */
static void test_refused_in_the_middle(void)
{
	const uint64_t page = 1ULL << small, middle = SIZE_1G / 2;
	unsigned char *other = vfio_memory(BYTES);
	uint64_t start, from;

	open_staged();
	CHECK_EQ(vfio_register(vfio.container, other, BYTES), 0);
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	if (!CHECK(shrink_window()))
		goto close;

	from = start + middle - 8 * page;
	/* The mappings that are replaced, and an adjacent one. */
	CHECK_EQ(map(from, memory, page), 0);
	CHECK_EQ(map(from - page, memory + page, page), 0);
	CHECK(works(from, memory));
	CHECK_EQ(map(from, other, 16 * page), -EIO);
	CHECK_MAPPED(start, 1);
	CHECK(is_blocked(from, memory));
	CHECK(is_blocked(from, other));
	CHECK(is_blocked(from + 7 * page, other + 7 * page));
	CHECK(works(from - page, memory + page));
	/* Neither the new pages nor the old ones are counted. */
	CHECK_EQ(vfio_unregister(vfio.container, other, BYTES), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, BYTES), -EBUSY);
	CHECK_EQ(unmap(from - page, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, BYTES), 0);

	/* The very first page is refused. */
	CHECK_EQ(vfio_register(vfio.container, memory, BYTES), 0);
	CHECK_EQ(map(start + middle, memory, page), -EIO);
	CHECK_MAPPED(start, 0);
	CHECK_EQ(map(from, memory, 8 * page), 0);
	CHECK(works(from + 7 * page, memory + 7 * page));
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	CHECK_EQ(map(start + middle, memory, page), 0);
	CHECK(works(start + middle, memory));
close:
	vfio_close(&vfio);
	munmap(other, BYTES);
}

#define LARGE_WINDOW	(64 * SIZE_1G)
#define LARGE_MAPPED	(128ULL << 20)

static void test_large_window(void)
{
	unsigned char *large = vfio_memory(LARGE_MAPPED);
	struct state before;
	uint64_t start, half;

	open_staged();
	CHECK_EQ(vfio_register(vfio.container, large, LARGE_MAPPED), 0);
	before = state_now();
	CHECK_EQ(create(small, LARGE_WINDOW, &start), 0);
	CHECK_EQ(state_locked() - before.locked,
		 charge(small, LARGE_WINDOW));
	half = LARGE_MAPPED / 2;
	CHECK_EQ(map(start, large, half), 0);
	CHECK_EQ(map(start + LARGE_WINDOW - half, large + half, half), 0);
	CHECK_MAPPED(start, LARGE_MAPPED >> small);
	CHECK(works(start, large));
	CHECK(works(start + LARGE_WINDOW - EDU_BYTES,
		    large + LARGE_MAPPED - EDU_BYTES));
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	CHECK_STATE(&before);
	CHECK(is_blocked(start, large));
	CHECK_EQ(vfio_unregister(vfio.container, large, LARGE_MAPPED), 0);
	vfio_close(&vfio);
	munmap(large, LARGE_MAPPED);
}

static void map_everything(void)
{
	uint64_t start;

	open_staged();
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	CHECK_EQ(map(IOVA, memory, BYTES), 0);
	CHECK_EQ(map(start + IOVA, memory, BYTES), 0);
	CHECK(works(start + IOVA, memory));
}

static void map_everything_and_exit(void *unused)
{
	CHECK(!unused);
	map_everything();
}

/* The next user must not find any mappings. */
static void check_clean(void)
{
	uint64_t start;

	open_staged();
	CHECK(is_blocked(IOVA, memory));
	CHECK(is_blocked(WINDOW1_START + IOVA, memory));
	CHECK_EQ(create(small, SIZE_1G, &start), 0);
	CHECK(is_blocked(start + IOVA, memory));
	vfio_close(&vfio);
}

static void test_release(void)
{
	struct state before = state_now();

	map_everything();
	vfio_close(&vfio);
	CHECK_STATE(&before);
	check_clean();
}

static void test_exit(void)
{
	struct state before = state_now();

	tap_child(map_everything_and_exit, NULL);
	CHECK_STATE(&before);
	check_clean();
}

static void test_group_detached(void)
{
	struct state before = state_now();
	int container;

	map_everything();
	container = vfio.container;
	vfio_detach(&vfio);
	CHECK_STATE(&before);
	close(container);
	check_clean();
}

int main(void)
{
	size_t i;

	if (!vfio_is_guest()) {
		puts("1..0 # SKIP for a guest of a hypervisor");
		return 0;
	}
	memory = vfio_memory(BYTES);
	small = vfio_page_shift() < SHIFT_64K ? SHIFT_4K : SHIFT_64K;
	vfio_open(&vfio);
	if (vfio_info(vfio.container, &info))
		tap_bail("GET_INFO");
	vfio_close(&vfio);
	state_watch();

	tap_test("GET_INFO returns the limits of the hypervisor", test_info);
	tap_test("DMA through the default window", test_default_window);
	tap_test("the device cannot write to a read-only mapping",
		 test_permission);
	tap_test("mapping over a page replaces the hypervisor's entry",
		 test_overwrite);
	tap_test("UNMAP_DMA of a part leaves the rest", test_partial_unmap);
	tap_test_ours("a refused MAP_DMA does not change the mappings",
		      test_all_or_nothing);
	/*
	 * In-tree refused windows stay charged, and a window with no levels is
	 * created.
	 */
	tap_test_ours("TCE_CREATE accepts one to five levels", test_levels);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		tap_test_case(true, test_size, &sizes[i],
			      "TCE_CREATE refuses %s", sizes[i].what);
	tap_test("TCE_CREATE refuses a third window", test_third_window);
	tap_test("a window is charged exactly", test_limit);
	tap_test("windows are removed and created again",
		 test_remove_and_create);
	tap_test("the platform's view is kept only in-tree", test_view);
	tap_test("the default window is removed and created again",
		 test_without_default);
	/* In-tree a refused window stays charged. */
	tap_test_ours("no window is created at 0 while there is another one",
		      test_none_at_0_beside_another);
	tap_test_ours("a window that is refused leaves no memory allocated",
		      test_refused_frees_all);
	tap_test("a window is created beside half of the default window",
		 test_beside_small_default);
	tap_test("the default window is removed with pages mapped",
		 test_default_removed_mapped);
	tap_test_ours("MAP_DMA is undone if the hypervisor refuses a part",
		      test_refused_in_the_middle);
	tap_test("a window of 64 GiB with 128 MiB mapped is removed",
		 test_large_window);
	tap_test("close releases everything that is mapped", test_release);
	tap_test("exit releases everything that is mapped", test_exit);
	tap_test("detach releases everything that is mapped",
		 test_group_detached);
	/* In-tree no window can be created after this. */
	tap_test_ours("no window is created if window 0 is a dynamic one",
		      test_none_beside_dynamic);

	return tap_main();
}
