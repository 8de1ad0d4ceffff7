// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCE_CREATE and TCE_REMOVE: refusals, start addresses, charges, and that a
 * removed window leaves nothing behind.
 */

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"
#include "tap.h"
#include "vfio.h"

/* An ordinary window; in a guest the first one must be the default one. */
#define PAGE_SHIFT	12
#define SIZE_SHIFT	30
#define SIZE		BIT_ULL(SIZE_SHIFT)
#define LEVELS		2

/* Between the two windows. */
#define NOWHERE		0x400000000000000ULL

#define CREATE		VFIO_IOMMU_SPAPR_TCE_CREATE
#define REMOVE		VFIO_IOMMU_SPAPR_TCE_REMOVE

#define ROUNDS		100

static int create(struct vfio *vfio)
{
	return vfio_create(vfio->container, PAGE_SHIFT, SIZE,
			   vfio_levels(LEVELS), NULL);
}

/* Opens a container without any window, not even the default one. */
static void open_empty(struct vfio *vfio)
{
	vfio_open(vfio);
	CHECK_EQ(vfio_remove(vfio->container, 0), 0);
}

static const struct create_refusal {
	const char *what;
	int error;
	struct vfio_iommu_spapr_tce_create args;
	int argsz;
	bool null;
	bool ours;
	/* Skipped in a guest, where the number of levels has no effect. */
	bool host;
} create_refusals[] = {
	{ "a bad address of the argument", -EFAULT, .null = true },
	{ "a short argsz", -EINVAL,
	  .args = { .page_shift = 12, .window_size = SIZE, .levels = 2 },
	  .argsz = -1 },
	{ "flags", -EINVAL,
	  .args = { .page_shift = 12,
		    .window_size = SIZE,
		    .levels = 2,
		    .flags = 1 } },
	{ "page shift 0", -EINVAL,
	  .args = { .page_shift = 0, .window_size = SIZE, .levels = 2 } },
	{ "page shift 11", -EINVAL,
	  .args = { .page_shift = 11, .window_size = SIZE, .levels = 2 } },
	{ "page shift 13", -EINVAL,
	  .args = { .page_shift = 13, .window_size = SIZE, .levels = 2 } },
	{ "page shift 24, which this platform does not have", -EINVAL,
	  .args = { .page_shift = 24,
		    .window_size = BIT_ULL(40),
		    .levels = 2 } },
	{ "page shift 44", -EINVAL,
	  .args = { .page_shift = 44,
		    .window_size = BIT_ULL(50),
		    .levels = 2 } },
	{ "page shift 63", -EINVAL,
	  .args = { .page_shift = 63, .window_size = SIZE, .levels = 2 } },
	{ "page shift 64", -EINVAL,
	  .args = { .page_shift = 64, .window_size = SIZE, .levels = 2 },
	  .ours = true },
	{ "page shift 76", -EINVAL,
	  .args = { .page_shift = 76, .window_size = SIZE, .levels = 2 },
	  .ours = true },
	{ "page shift 2^32-1", -EINVAL,
	  .args = { .page_shift = ~0U, .window_size = SIZE, .levels = 2 },
	  .ours = true },
	{ "size 0", -EINVAL,
	  .args = { .page_shift = 12, .window_size = 0, .levels = 2 } },
	{ "a size that is no power of two", -EINVAL,
	  .args = { .page_shift = 12, .window_size = 3 * SIZE, .levels = 2 } },
	{ "a size that is one byte too large", -EINVAL,
	  .args = { .page_shift = 12, .window_size = SIZE + 1, .levels = 2 } },
	{ "a window smaller than its page", -EINVAL,
	  .args = { .page_shift = 16, .window_size = 1 << 15, .levels = 1 },
	  .ours = true },
	{ "a window of 2^55 bytes", -EINVAL,
	  .args = { .page_shift = 16, .window_size = BIT_ULL(55), .levels = 4 },
	  .ours = true },
	{ "a window of 2^63 bytes", -EINVAL,
	  .args = { .page_shift = 16, .window_size = BIT_ULL(63), .levels = 4 },
	  .ours = true },
	{ "0 levels", -EINVAL,
	  .args = { .page_shift = 12, .window_size = SIZE, .levels = 0 } },
	{ "6 levels", -EINVAL,
	  .args = { .page_shift = 12, .window_size = SIZE, .levels = 6 } },
	{ "2^32-1 levels", -EINVAL,
	  .args = { .page_shift = 12, .window_size = SIZE, .levels = ~0U } },
	{ "levels that would translate address bit 59", -EINVAL,
	  .args = { .page_shift = 16, .window_size = SIZE, .levels = 5 },
	  .ours = true, .host = true },
};

static void test_create_refusal(const void *data)
{
	const struct create_refusal *refusal = data;
	struct vfio_iommu_spapr_tce_create args = refusal->args;
	struct state before;
	struct vfio vfio;
	__u64 start;

	open_empty(&vfio);
	before = state_now();
	args.argsz = sizeof(args) + refusal->argsz;
	args.start_addr = 0x5555;
	/* The number of levels must be valid. */
	if (args.levels == LEVELS)
		args.levels = vfio_levels(LEVELS);
	if (refusal->host && vfio_is_guest()) {
		tap_skip("the hypervisor has the table");
		vfio_close(&vfio);
		return;
	}
	if (args.page_shift == 24 && vfio_limits()->ddw.pgsizes & BIT_ULL(24)) {
		tap_skip("this platform supports it");
		vfio_close(&vfio);
		return;
	}
	CHECK_EQ(vfio_ioctl(vfio.container, CREATE,
			    refusal->null ? NULL : &args), refusal->error);
	CHECK_EQ(args.start_addr, 0x5555);
	CHECK_STATE(&before);

	/* The place is still free. */
	CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, SIZE,
			     vfio_levels(LEVELS), &start), 0);
	CHECK_EQ(start, 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

/* The window has been created when storing the result fails. */
static void test_create_read_only(void)
{
	struct vfio_iommu_spapr_tce_create *args;
	struct state before;
	struct vfio vfio;

	args = (void *)vfio_memory(vfio_page_size());
	args->argsz = sizeof(*args);
	args->page_shift = PAGE_SHIFT;
	args->window_size = SIZE;

	open_empty(&vfio);
	args->levels = vfio_levels(LEVELS);
	mprotect(args, vfio_page_size(), PROT_READ);
	before = state_now();
	CHECK_EQ(vfio_ioctl(vfio.container, CREATE, args), -EFAULT);
	CHECK_EQ(state_locked(), before.locked);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_remove(vfio.container, 0), -EINVAL);
	CHECK_EQ(create(&vfio), 0);
	vfio_close(&vfio);
	munmap(args, vfio_page_size());
}

static void test_third(void)
{
	struct state before;
	struct vfio vfio;

	open_empty(&vfio);
	CHECK_EQ(create(&vfio), 0);
	CHECK_EQ(create(&vfio), 0);
	before = state_now();
	CHECK_EQ(create(&vfio), -ENOSPC);
	CHECK_STATE(&before);

	/*
	 * The place of a removed window can be used again; in a guest the place
	 * of the default window only if there is no other window.
	 */
	CHECK_EQ(vfio_remove(vfio.container,
			     vfio_is_guest() ? WINDOW1_START : 0), 0);
	CHECK_EQ(create(&vfio), 0);
	CHECK_STATE(&before);
	CHECK_EQ(create(&vfio), -ENOSPC);
	vfio_close(&vfio);
}

static void test_starts(void)
{
	struct vfio vfio;
	__u64 start;

	open_empty(&vfio);
	CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, SIZE,
			     vfio_levels(LEVELS), &start), 0);
	CHECK_EQ(start, 0);
	CHECK_EQ(vfio_create(vfio.container, 16, SIZE, vfio_levels(LEVELS),
			     &start), 0);
	CHECK_EQ(start, WINDOW1_START);
	/* In a guest the place at 0 is that of the default window. */
	if (!vfio_is_guest()) {
		CHECK_EQ(vfio_remove(vfio.container, 0), 0);
		CHECK_EQ(vfio_create(vfio.container, 16, SIZE, LEVELS, &start),
			 0);
		CHECK_EQ(start, 0);
	}
	vfio_close(&vfio);
}

static void test_default_first(void)
{
	struct vfio vfio;
	__u64 start;

	/* The default window has the first place, even before it is used. */
	vfio_open(&vfio);
	CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, SIZE,
			     vfio_levels(LEVELS), &start), 0);
	CHECK_EQ(start, WINDOW1_START);
	CHECK_EQ(create(&vfio), -ENOSPC);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	vfio_close(&vfio);
}

static void test_default_removed_before(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_remove(vfio.container, 0), -EINVAL);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static const struct remove_refusal {
	const char *what;
	int error;
	__u64 start;
	unsigned int flags;
	int argsz;
	bool null;
	bool ours;
} remove_refusals[] = {
	{ "a bad address of the argument", -EFAULT, .null = true },
	{ "a short argsz", -EINVAL, .argsz = -1 },
	{ "flags", -EINVAL, .flags = 1 },
	{ "an address where no window is", -EINVAL, .start = NOWHERE },
	{ "the first address after a window", -EINVAL, .start = SIZE },
	{ "the last address of the address space", -EINVAL, .start = ~0ULL },
	{ "an address in the first window that is not its first", -EINVAL,
	  .start = 4096, .ours = true },
	{ "an address in the second window that is not its first", -EINVAL,
	  .start = WINDOW1_START + 65536, .ours = true },
};

static void test_remove_refusal(const void *data)
{
	const struct remove_refusal *refusal = data;
	struct vfio_iommu_spapr_tce_remove args = {
		.argsz = sizeof(args) + refusal->argsz,
		.flags = refusal->flags,
		.start_addr = refusal->start,
	};
	struct state before;
	struct vfio vfio;

	open_empty(&vfio);
	CHECK_EQ(create(&vfio), 0);
	CHECK_EQ(create(&vfio), 0);
	before = state_now();
	CHECK_EQ(vfio_ioctl(vfio.container, REMOVE,
			    refusal->null ? NULL : &args), refusal->error);
	CHECK_STATE(&before);
	/* Both windows still exist. */
	CHECK_EQ(create(&vfio), -ENOSPC);
	vfio_close(&vfio);
}

static void test_remove_twice(void)
{
	struct state before;
	struct vfio vfio;

	open_empty(&vfio);
	CHECK_EQ(create(&vfio), 0);
	before = state_now();
	CHECK_EQ(create(&vfio), 0);
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), -EINVAL);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_again_and_again(void)
{
	size_t page = vfio_page_size();
	unsigned char *memory = vfio_memory(page);
	struct state before;
	struct vfio vfio;
	__u64 start;
	int round;

	open_empty(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	/* In a guest, the window in addition to the default one. */
	if (vfio_is_guest())
		CHECK_EQ(create(&vfio), 0);
	before = state_now();
	for (round = 0; round < ROUNDS; round++) {
		/* Windows of different sizes. */
		if (!CHECK_EQ(vfio_create(vfio.container, 12, SIZE << round % 4,
					  vfio_levels(2 + round % 2), &start),
			      0))
			break;
		CHECK_EQ(vfio_map(vfio.container, start + round * page, memory,
				  page, MAP_BOTH), 0);
		CHECK_EQ(vfio_remove(vfio.container, start), 0);
	}
	CHECK_STATE(&before);
	/* The page is no longer mapped. */
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), 0);
	vfio_close(&vfio);
	munmap(memory, page);
}

static void test_remove_one_of_two(void)
{
	size_t page = vfio_page_size();
	unsigned char *memory = vfio_memory(2 * page);
	struct vfio vfio;

	open_empty(&vfio);
	CHECK_EQ(create(&vfio), 0);
	CHECK_EQ(create(&vfio), 0);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(vfio_register(vfio.container, memory + page, page), 0);
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), 0);
	CHECK_EQ(vfio_map(vfio.container, WINDOW1_START, memory + page, page,
			  MAP_BOTH), 0);

	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), 0);
	CHECK_MAPPED(WINDOW1_START, page >> PAGE_SHIFT);
	CHECK_EQ(vfio_map(vfio.container, 0, memory + page, page, MAP_BOTH),
		 -ENXIO);
	CHECK_EQ(vfio_unmap(vfio.container, WINDOW1_START, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory + page, page), 0);
	vfio_close(&vfio);
	munmap(memory, 2 * page);
}

static void test_limit(void)
{
	struct state before;
	struct vfio vfio;
	__u64 charge;

	open_empty(&vfio);
	charge = vfio_window_charge(SIZE_SHIFT - PAGE_SHIFT,
				    vfio_levels(LEVELS));
	before = state_now();
	state_limit(charge - 1);
	CHECK_EQ(create(&vfio), -ENOMEM);
	CHECK_STATE(&before);
	state_limit(charge);
	CHECK_EQ(create(&vfio), 0);
	CHECK_EQ(state_locked(), before.locked + charge);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_STATE(&before);
	state_unlimit();
	vfio_close(&vfio);
}

static void test_limit_default(void)
{
	size_t page = vfio_page_size();
	unsigned char *memory = vfio_memory(page);
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	before = state_now();
	state_limit(1);
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), -ENOMEM);
	CHECK_STATE(&before);
	CHECK_EQ(create(&vfio), -ENOMEM);
	CHECK_STATE(&before);
	state_unlimit();

	/* The next call creates it. */
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), 0);
	CHECK_MAPPED(0, page >> PAGE_SHIFT);
	vfio_close(&vfio);
	munmap(memory, page);
}

/* A page size and a number of levels, which the platform may support. */
static struct shape {
	const char *page;
	unsigned int page_shift;
	unsigned int levels;
} shapes[] = {
	{ "4K", 12, 1 }, { "4K", 12, 2 }, { "4K", 12, 3 }, { "4K", 12, 4 },
	{ "4K", 12, 5 },
	{ "64K", 16, 1 }, { "64K", 16, 2 }, { "64K", 16, 3 }, { "64K", 16, 4 },
	{ "2M", 21, 1 }, { "2M", 21, 2 }, { "2M", 21, 3 }, { "2M", 21, 4 },
	{ "1G", 30, 1 }, { "1G", 30, 2 }, { "1G", 30, 3 },
};

/* Checks a window of 2^@entries_shift pages. */
static void check_shape(struct vfio *vfio, const struct shape *shape,
			unsigned int entries_shift)
{
	__u64 size = 1ULL << (entries_shift + shape->page_shift);
	__u64 charge = vfio_window_charge(entries_shift, shape->levels);
	struct state before = state_now();
	struct figures figures;
	__u64 start;

	CHECK_EQ(vfio_create(vfio->container, shape->page_shift, size,
			     shape->levels, &start), 0);
	CHECK_EQ(start, vfio_is_guest() ? WINDOW1_START : 0);
	CHECK_EQ(state_locked(), before.locked + charge);

	if (!tap_intree()) {
		CHECK(figures_read(start, &figures));
		CHECK_EQ(figures.page_shift, shape->page_shift);
		CHECK_EQ(figures.window_bytes, size);
		CHECK_EQ(figures.mapped_pages, 0);
		CHECK_EQ(figures.user_bytes, 0);
	}
	/* In a guest these are the levels of the shadow. */
	if (!tap_intree() && !vfio_is_guest()) {
		CHECK_EQ(figures.levels,
			 vfio_real_levels(shape->page_shift, entries_shift,
					  shape->levels));
		/* Only the first level is allocated. */
		CHECK_EQ(figures.hw_bytes, 8ULL << figures.level_shift);
	}

	CHECK_EQ(vfio_remove(vfio->container, start), 0);
	CHECK_STATE(&before);
}

static void test_shape(const void *data)
{
	const struct shape *shape = data;
	struct vfio_iommu_spapr_tce_info info;
	struct vfio vfio;

	open_empty(&vfio);
	CHECK_EQ(vfio_info(vfio.container, &info), 0);
	if (!(info.ddw.pgsizes & 1ULL << shape->page_shift)) {
		tap_skip("the platform does not have such pages");
	} else if (!vfio_levels_fit(shape->page_shift, 17, shape->levels)) {
		/* In-tree it is charged nevertheless. */
		CHECK(tap_intree());
		tap_skip("ours only");
	} else {
		if (vfio_is_guest())
			CHECK_EQ(create(&vfio), 0);
		check_shape(&vfio, shape, 9);
		check_shape(&vfio, shape, 17);
	}
	vfio_close(&vfio);
}

/*
 * Older QEMU and DPDK ask for one level first. In-tree such a window may have
 * up to 2^33 bytes; ours may have any size, because it gets more levels if one
 * would be too large.
 */
#define ONE_LEVEL_LEAST	28
#define ONE_LEVEL_MOST	(tap_intree() ? 33 : 34)
#define ONE_LEVEL_HUGE	46

static void check_one_level(struct vfio *vfio, unsigned char *page,
			    unsigned int size_shift)
{
	struct state before = state_now();
	unsigned int entries_shift = size_shift - PAGE_SHIFT;
	struct figures figures;
	__u64 start, last;

	CHECK_EQ(vfio_create(vfio->container, PAGE_SHIFT, BIT_ULL(size_shift),
			     1, &start),
		 0);
	CHECK_EQ(state_locked(),
		 before.locked + vfio_window_charge(entries_shift, 1));
	last = start + BIT_ULL(size_shift) - vfio_page_size();
	CHECK_EQ(vfio_map(vfio->container, start, page, vfio_page_size(),
			  MAP_BOTH),
		 0);
	CHECK_EQ(vfio_map(vfio->container, last, page, vfio_page_size(),
			  MAP_BOTH),
		 0);
	CHECK_MAPPED(start, 2 * vfio_page_size() >> PAGE_SHIFT);
	if (!tap_intree()) {
		CHECK(figures_read(start, &figures));
		/*
		 * Two paths from the first level; no level is larger than eight
		 * pages.
		 */
		CHECK(figures.page_bytes <=
		      2 * figures.levels * 8 * vfio_page_size());
		if (!vfio_is_guest())
			CHECK_EQ(figures.levels,
				 vfio_real_levels(PAGE_SHIFT, entries_shift,
						  1));
	}
	CHECK_EQ(vfio_remove(vfio->container, start), 0);
	CHECK_STATE(&before);
}

static void test_one_level(void)
{
	unsigned char *page = vfio_memory(vfio_page_size());
	unsigned int shift;
	struct vfio vfio;

	open_empty(&vfio);
	if (vfio_is_guest())
		CHECK_EQ(create(&vfio), 0);
	CHECK_EQ(vfio_register(vfio.container, page, vfio_page_size()), 0);
	for (shift = ONE_LEVEL_LEAST; shift <= ONE_LEVEL_MOST; shift++)
		if (!vfio_is_guest() || shift <= vfio_large_shift())
			check_one_level(&vfio, page, shift);
	if (!tap_intree() && !vfio_is_guest())
		check_one_level(&vfio, page, ONE_LEVEL_HUGE);
	vfio_close(&vfio);
	munmap(page, vfio_page_size());
}

/*
 * Expects that one page needs one level of each depth, and that the levels are
 * no larger than necessary.
 */
static void check_one_page(struct vfio *vfio, unsigned char *page,
			   unsigned int entries_shift, unsigned int levels)
{
	struct figures figures;

	CHECK_EQ(vfio_map(vfio->container, 0, page, vfio_page_size(), MAP_BOTH),
		 0);
	CHECK(figures_read(0, &figures));
	CHECK_EQ(figures.mapped_pages, 1);
	CHECK_EQ(figures.level_shift, vfio_level_shift(entries_shift, levels));
	CHECK_EQ(figures.hw_bytes, levels * (8ULL << figures.level_shift));
	CHECK_EQ(figures.user_bytes, 0);
	CHECK(figures.page_bytes < figures.hw_bytes + vfio_page_size());
	CHECK_EQ(vfio_unmap(vfio->container, 0, vfio_page_size()), 0);
}

/* The window of demo.c: 2^46 bytes, pages of 64K. */
static void test_large(void)
{
	unsigned char *page = vfio_memory(vfio_page_size());
	struct state before;
	struct vfio vfio;
	unsigned int i;

	if (vfio_is_guest()) {
		tap_skip("the hypervisor does not provide such a window");
		munmap(page, vfio_page_size());
		return;
	}
	open_empty(&vfio);
	CHECK_EQ(vfio_register(vfio.container, page, vfio_page_size()), 0);
	before = state_now();
	for (i = 1; i <= 5; i++) {
		if (!vfio_levels_fit(16, 30, i))
			continue;
		CHECK_EQ(vfio_create(vfio.container, 16, BIT_ULL(46), i, NULL),
			 0);
		CHECK_EQ(state_locked(),
			 before.locked + vfio_window_charge(30, i));
		if (!tap_intree() && vfio_page_size() == 1 << 16)
			check_one_page(&vfio, page, 30,
				       vfio_real_levels(16, 30, i));
		CHECK_EQ(vfio_remove(vfio.container, 0), 0);
		CHECK_STATE(&before);
	}
	vfio_close(&vfio);
	munmap(page, vfio_page_size());
}

int main(void)
{
	size_t i;

	state_watch();

	/* In a guest the in-tree module charges windows that it refuses. */
	for (i = 0; i < ARRAY_SIZE(create_refusals); i++)
		tap_test_case(create_refusals[i].ours || vfio_is_guest(),
			      test_create_refusal, &create_refusals[i],
			      "TCE_CREATE refuses %s", create_refusals[i].what);
	tap_test_ours("TCE_CREATE that cannot store its result is undone",
		      test_create_read_only);
	tap_test("TCE_CREATE refuses a third window", test_third);
	tap_test("windows begin at 0 and at 2^59", test_starts);
	tap_test("TCE_CREATE creates the default window first",
		 test_default_first);
	tap_test("the default window can be removed before it is created",
		 test_default_removed_before);
	for (i = 0; i < ARRAY_SIZE(remove_refusals); i++)
		tap_test_case(remove_refusals[i].ours, test_remove_refusal,
			      &remove_refusals[i], "TCE_REMOVE refuses %s",
			      remove_refusals[i].what);
	tap_test("TCE_REMOVE refuses a removed window",
		 test_remove_twice);
	tap_test("TCE_REMOVE does not change the other window",
		 test_remove_one_of_two);
	tap_test("windows created and removed 100 times leave nothing behind",
		 test_again_and_again);
	tap_test("TCE_CREATE respects RLIMIT_MEMLOCK exactly", test_limit);
	tap_test("the default window respects RLIMIT_MEMLOCK too",
		 test_limit_default);
	for (i = 0; i < ARRAY_SIZE(shapes); i++)
		tap_test_case(false, test_shape, &shapes[i],
			      "%s pages, %u level%s: created, charged, removed",
			      shapes[i].page, shapes[i].levels,
			      shapes[i].levels > 1 ? "s" : "");
	tap_test("one level is accepted for 2^28 to 2^33 bytes of 4K pages",
		 test_one_level);
	tap_test("a window of 2^46 bytes of 64K pages is charged exactly",
		 test_large);

	return tap_main();
}
