// SPDX-License-Identifier: GPL-2.0-only
/*
 * REGISTER_MEMORY and UNREGISTER_MEMORY: refusals, and that exactly what is
 * charged and pinned is released.
 */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/* The size of the memory, in kernel pages. */
#define PAGES		8

/* Addresses of the stage, and of the page of the tests. */
#define STAGE		0x100000
#define IOVA		0x200000

/* Memory that threads allocate and free all the time, in kernel pages. */
#define POPULATED_PAGES	4096
#define POPULATORS	3

#define REGISTER	VFIO_IOMMU_SPAPR_REGISTER_MEMORY
#define UNREGISTER	VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY

static unsigned char *memory;
static size_t page;

/* Where the range begins: at the first page of the memory by default. */
enum base { MEMORY, NOTHING, READ_ONLY, HOLE, TOP, NULL_ARGS };

static const struct refusal {
	const char *what;
	int error;
	enum base base;
	/* The size, in kernel pages and bytes. */
	int pages;
	int bytes;
	int offset;
	unsigned int flags;
	int argsz;
	bool ours;
} register_refusals[] = {
	{ .what = "a bad address of the argument", .error = -EFAULT,
	  .base = NULL_ARGS },
	{ .what = "a short argsz", .error = -EINVAL, .pages = 1, .argsz = -1 },
	{ .what = "flags", .error = -EINVAL, .pages = 1, .flags = 1 },
	{ .what = "a misaligned address", .error = -EINVAL, .pages = 1,
	  .offset = 512 },
	{ .what = "a misaligned size", .error = -EINVAL, .pages = 1,
	  .bytes = 512 },
	{ .what = "size 0", .error = -EINVAL, .ours = true },
	{ .what = "a range that wraps", .error = -EINVAL, .base = TOP,
	  .pages = 4 },
	{ .what = "memory at the end of the address space", .error = -EFAULT,
	  .base = TOP, .pages = 2, .ours = true },
	{ .what = "more memory than the machine has", .error = -ENOMEM,
	  .pages = 1 << 30, .ours = true },
	{ .what = "memory that is not mapped", .error = -EFAULT,
	  .base = NOTHING, .pages = 1 },
	/* In-tree the result is the number of pages before the hole. */
	{ .what = "memory with a hole", .error = -EFAULT, .base = HOLE,
	  .pages = 3, .ours = true },
	{ .what = "memory that cannot be written", .error = -EFAULT,
	  .base = READ_ONLY, .pages = 1 },
}, unregister_refusals[] = {
	{ .what = "a bad address of the argument", .error = -EFAULT,
	  .base = NULL_ARGS },
	{ .what = "a short argsz", .error = -EINVAL, .pages = PAGES,
	  .argsz = -1 },
	{ .what = "flags", .error = -EINVAL, .pages = PAGES, .flags = 1 },
	{ .what = "a misaligned address", .error = -EINVAL, .pages = PAGES,
	  .offset = 512 },
	{ .what = "a misaligned size", .error = -EINVAL, .pages = PAGES,
	  .bytes = 512 },
	{ .what = "size 0", .error = -ENOENT },
	{ .what = "memory that was not registered", .error = -ENOENT,
	  .base = NOTHING, .pages = PAGES },
	{ .what = "the first part of a region", .error = -ENOENT,
	  .pages = PAGES - 1 },
	{ .what = "the last part of a region", .error = -ENOENT,
	  .pages = PAGES - 1, .offset = -1 },
	{ .what = "more than a region", .error = -ENOENT, .pages = PAGES + 1 },
	{ .what = "a range that wraps", .error = -ENOENT, .base = TOP,
	  .pages = PAGES },
};

/* An address with @pages unmapped pages. */
static unsigned char *unmapped_range(unsigned int pages)
{
	unsigned char *address = vfio_memory(pages * page);

	munmap(address, pages * page);

	return address;
}

static __u64 base_address(enum base base)
{
	unsigned char *address;

	switch (base) {
	case NOTHING:
		return (uintptr_t)unmapped_range(PAGES);
	case READ_ONLY:
		address = vfio_memory(page);
		mprotect(address, page, PROT_READ);
		return (uintptr_t)address;
	case HOLE:
		address = vfio_memory(3 * page);
		munmap(address + page, page);
		return (uintptr_t)address;
	case TOP:
		return -2 * page;
	default:
		return (uintptr_t)memory;
	}
}

static int call(int container, unsigned long request,
		const struct refusal *refusal)
{
	struct vfio_iommu_spapr_register_memory args = {
		.argsz = sizeof(args) + refusal->argsz,
		.flags = refusal->flags,
		.vaddr = base_address(refusal->base),
		.size = refusal->pages * page + refusal->bytes,
	};

	/* -1 is the next page. */
	args.vaddr += refusal->offset < 0 ? page : (size_t)refusal->offset;

	return vfio_ioctl(container, request,
			  refusal->base == NULL_ARGS ? NULL : &args);
}

static void test_register_refusal(const void *data)
{
	const struct refusal *refusal = data;
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(call(vfio.container, REGISTER, refusal), refusal->error);
	CHECK_STATE(&before);

	/* A valid registration still succeeds. */
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_unregister_refusal(const void *data)
{
	const struct refusal *refusal = data;
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	before = state_now();
	CHECK_EQ(call(vfio.container, UNREGISTER, refusal), refusal->error);
	CHECK_STATE(&before);

	/* The region is still registered. */
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	vfio_close(&vfio);
}

static void test_charge(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(state_locked(), before.locked + PAGES);
	CHECK_EQ(state_now().pinned, before.pinned + PAGES);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	CHECK_STATE(&before);

	/* Closing the container unregisters the rest. */
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	vfio_close(&vfio);
}

static void test_before_anything(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), -EPERM);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_twice(void)
{
	struct state before, after;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	after = state_now();
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_STATE(&after);

	/* One call unregisters it, and a second one fails. */
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page),
		 -ENOENT);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_overlap(void)
{
	/* First page and number of pages; pages 2 to 5 are registered. */
	static const int overlaps[][2] = {
		{ 0, 3 }, { 5, 3 }, { 3, 1 }, { 0, 8 }, { 2, 3 }, { 3, 3 },
	};
	struct state before;
	struct vfio vfio;
	size_t i;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory + 2 * page, 4 * page), 0);
	before = state_now();
	for (i = 0; i < ARRAY_SIZE(overlaps); i++) {
		CHECK_EQ(vfio_register(vfio.container,
				       memory + overlaps[i][0] * page,
				       overlaps[i][1] * page), -EINVAL);
		CHECK_STATE(&before);
	}

	/* Adjacent regions do not overlap. */
	CHECK_EQ(vfio_register(vfio.container, memory, 2 * page), 0);
	CHECK_EQ(vfio_register(vfio.container, memory + 6 * page, 2 * page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, 2 * page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory + 6 * page, 2 * page),
		 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_many_regions(void)
{
	struct state before;
	struct vfio vfio;
	int i;

	vfio_open(&vfio);
	before = state_now();
	/* In an order that is neither ascending nor descending. */
	for (i = 0; i < PAGES; i++)
		CHECK_EQ(vfio_register(vfio.container,
				       memory + i * 5 % PAGES * page, page), 0);
	CHECK_EQ(state_locked(), before.locked + PAGES);

	/* One MAP_DMA may use several regions. */
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, PAGES * page, MAP_BOTH),
		 0);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, PAGES * page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	for (i = 0; i < PAGES; i++)
		CHECK_EQ(vfio_unregister(vfio.container,
					 memory + i * 3 % PAGES * page, page),
			 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_unregister_mapped(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory + page, page, MAP_BOTH),
		 0);
	before = state_now();

	/* A refusal must not decrement the count. */
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK(edu_reads(&vfio, IOVA, memory + page));
	CHECK(edu_writes(&vfio, IOVA, memory + page));
	/* The region is still registered, so it can be mapped again. */
	CHECK_EQ(vfio_map(vfio.container, IOVA + page, memory, page, MAP_BOTH),
		 0);

	CHECK_EQ(vfio_unmap(vfio.container, IOVA, 2 * page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(state_locked(), before.locked - PAGES);
	vfio_close(&vfio);
}

static void test_counted_by_mapping(void)
{
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);

	/* Replaced by itself: counted once. */
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_READ), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), 0);

	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(vfio_register(vfio.container, memory + page, page), 0);

	/* Two mappings of a page. */
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA + page, memory, page, MAP_READ),
		 0);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), -EBUSY);
	/* A second UNMAP_DMA uncounts nothing. */
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), -EBUSY);

	/* The new page is counted, the replaced one is not. */
	CHECK_EQ(vfio_map(vfio.container, IOVA + page, memory + page, page,
			  MAP_BOTH), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory + page, page), -EBUSY);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), 0);

	/* The same page again, in a leaf with pages of two regions. */
	CHECK_EQ(vfio_map(vfio.container, IOVA + page, memory + page, page,
			  MAP_READ), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory + page, page), -EBUSY);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA + page, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory + page, page), 0);
	vfio_close(&vfio);
}

static void test_refused_map_counts_nothing(void)
{
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, 2 * page), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, 3 * page, MAP_BOTH),
		 -EINVAL);
	CHECK_EQ(vfio_unregister(vfio.container, memory, 2 * page), 0);
	vfio_close(&vfio);
}

static void test_limit(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	state_limit(PAGES - 1);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), -ENOMEM);
	CHECK_STATE(&before);
	state_limit(PAGES);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(state_locked(), before.locked + PAGES);
	/* Nothing else is registered. */
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), 0);
	CHECK_STATE(&before);
	state_unlimit();
	vfio_close(&vfio);
}

static void test_two_containers(void)
{
	struct state before, both;
	struct vfio first, second;

	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}

	vfio_open(&first);
	vfio_open_device(&second, 1);
	before = state_now();

	/*
	 * Memory that both containers of a process register is charged and
	 * pinned once.
	 */
	CHECK_EQ(vfio_register(first.container, memory, PAGES * page), 0);
	both = state_now();
	CHECK_EQ(both.locked, before.locked + PAGES);
	CHECK_EQ(vfio_register(second.container, memory, PAGES * page), 0);
	CHECK_STATE(&both);
	CHECK_EQ(vfio_unregister(first.container, memory, PAGES * page), 0);
	CHECK_STATE(&both);
	CHECK_EQ(vfio_unregister(first.container, memory, PAGES * page),
		 -ENOENT);
	CHECK_STATE(&both);
	CHECK_EQ(vfio_unregister(second.container, memory, PAGES * page), 0);
	CHECK_STATE(&before);
	vfio_close(&second);
	vfio_close(&first);
}

/*
 * A container maps memory that only another container has registered; that one
 * is then closed.
 */
static void outlive(void *data)
{
	struct vfio first, second;
	struct state before;

	(void)data;
	vfio_open(&first);
	vfio_open_device(&second, 1);
	edu_stage(&second, STAGE);
	before = state_now();
	CHECK_EQ(vfio_register(first.container, memory, page), 0);
	CHECK_EQ(vfio_register(first.container, memory + page,
			       (PAGES - 1) * page),
		 0);
	CHECK_EQ(vfio_map(second.container, IOVA, memory + page, page,
			  MAP_BOTH),
		 0);
	vfio_close(&first);

	/* The memory stays pinned until the other container unmaps it. */
	state_locked_becomes(before.locked + PAGES - 1);
	CHECK(edu_reads(&second, IOVA, memory + page));
	CHECK(edu_writes(&second, IOVA, memory + page));
	vfio_close(&second);
	state_locked_becomes(0);
}

static void test_outlive(void)
{
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}

	/* The kernel warns at exit if a region is still registered. */
	tap_child(outlive, NULL);
}

/* Ways to remove the last mapping of a region whose container is closed. */
static void last_unmap(struct vfio *vfio)
{
	CHECK_EQ(vfio_unmap(vfio->container, IOVA, page), 0);
}

static void last_remap(struct vfio *vfio)
{
	CHECK_EQ(vfio_map(vfio->container, IOVA, memory, page, MAP_BOTH), 0);
}

static void last_remove(struct vfio *vfio)
{
	CHECK_EQ(vfio_remove(vfio->container, 0), 0);
}

static void last_detach(struct vfio *vfio)
{
	vfio_detach(vfio);
}

static const struct removal {
	const char *what;
	void (*remove_last_mapping)(struct vfio *vfio);
} removals[] = {
	{ "UNMAP_DMA", last_unmap },
	{ "MAP_DMA that replaces the last mapping", last_remap },
	{ "TCE_REMOVE", last_remove },
	{ "detaching the group", last_detach },
};

static void remove_last_mapping(void *data)
{
	const struct removal *removal = data;
	unsigned char *region = vfio_memory(PAGES * page);
	struct vfio first, second, third;
	struct state before;

	vfio_open(&first);
	vfio_open_device(&second, 1);
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA + page, memory, page,
			  MAP_BOTH),
		 0);
	before = state_now();
	CHECK_EQ(vfio_register(first.container, region, PAGES * page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA, region, page, MAP_BOTH), 0);
	vfio_close(&first);

	/* Closing an unrelated container has no effect. */
	vfio_open(&third);
	CHECK_EQ(vfio_register(third.container, memory + page, page), 0);
	vfio_close(&third);
	state_locked_becomes(before.locked + PAGES);

	removal->remove_last_mapping(&second);
	if (removal->remove_last_mapping == last_remove)
		CHECK_EQ(vfio_unregister(second.container, memory, page), 0);
	if (removal->remove_last_mapping == last_remove ||
	    removal->remove_last_mapping == last_detach) {
		state_locked_becomes(0);
	} else if (state_locked_becomes(before.locked)) {
		/*
		 * The memory is no longer registered, and can be registered
		 * again.
		 */
		CHECK_EQ(vfio_map(second.container, IOVA, region, page,
				  MAP_BOTH),
			 -EINVAL);
		CHECK_EQ(vfio_register(second.container, region, page), 0);
		CHECK_EQ(vfio_unregister(second.container, region, page), 0);
	}
	vfio_close(&second);
	state_locked_becomes(0);
}

static void test_last_mapping(const void *data)
{
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}
	tap_child(remove_last_mapping, (void *)data);
}

/*
 * Maps memory that only another container has registered, except for the last
 * page.
 */
static void test_refused_map_of_others(void)
{
	struct state before;
	struct vfio first, second;

	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}

	vfio_open(&first);
	vfio_open_device(&second, 1);
	edu_stage(&second, STAGE);
	CHECK_EQ(vfio_register(first.container, memory, (PAGES - 1) * page), 0);
	before = state_now();
	CHECK_EQ(vfio_map(second.container, IOVA, memory, PAGES * page,
			  MAP_BOTH), -EINVAL);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unregister(first.container, memory, (PAGES - 1) * page),
		 0);
	vfio_close(&second);
	vfio_close(&first);
}

/* Writes by a device do not set the dirty bit of a PTE. */
static void test_dirty(void)
{
	unsigned char *fresh = vfio_memory(2 * page);
	struct vfio vfio;

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	CHECK_EQ(vfio_register(vfio.container, fresh, 2 * page), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, fresh, page, MAP_READ), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA + page, fresh + page, page,
			  MAP_BOTH), 0);
	CHECK(!page_is_dirty(fresh));
	CHECK(!page_is_dirty(fresh + page));
	CHECK(edu_reads(&vfio, IOVA, fresh));
	CHECK(edu_writes(&vfio, IOVA + page, fresh + page));
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, 2 * page), 0);
	CHECK(!page_is_dirty(fresh));
	CHECK(page_is_dirty(fresh + page));
	vfio_close(&vfio);
	munmap(fresh, 2 * page);
}

static int stop;

/* Keeps the process's mmap_lock busy. */
static void *populate(void *unused)
{
	size_t bytes = POPULATED_PAGES * page;
	void *area;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		area = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		munmap(area, bytes);
	}

	return unused;
}

/* The regions of a closed container do not conflict with new ones. */
static void test_register_after_close(void)
{
	pthread_t threads[POPULATORS];
	struct vfio vfio;
	unsigned int i;

	stop = 0;
	for (i = 0; i < POPULATORS; i++)
		pthread_create(&threads[i], NULL, populate, NULL);
	for (i = 0; i < 3; i++) {
		vfio_open(&vfio);
		CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page),
			 0);
		vfio_close(&vfio);
		vfio_open(&vfio);
		CHECK_EQ(vfio_register(vfio.container, memory + page, page), 0);
		if (i < 2)
			vfio_close(&vfio);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < POPULATORS; i++)
		pthread_join(threads[i], NULL);
	/* Regions are unpinned at once only if the mmap_lock is free. */
	vfio_close(&vfio);
}

static void test_unmapped_by_process(void)
{
	unsigned char *address = vfio_memory(page);
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	before = state_now();
	CHECK_EQ(vfio_register(vfio.container, address, page), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, address, page, MAP_BOTH), 0);
	CHECK(edu_writes(&vfio, IOVA, address));

	/*
	 * The page stays pinned until it is unregistered, so the device still
	 * uses it, and not the new one at its address.
	 */
	CHECK_EQ(mmap(address, page, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		      0) == address,
		 1);
	CHECK(!edu_reads(&vfio, IOVA, address));
	CHECK(!edu_writes(&vfio, IOVA, address));
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, address, page), 0);
	CHECK_EQ(state_locked(), before.locked);
	CHECK_STATE(&before);
	munmap(address, page);
	vfio_close(&vfio);
}

int main(void)
{
	size_t i;

	page = vfio_page_size();
	memory = vfio_memory(PAGES * page);
	state_watch();

	for (i = 0; i < ARRAY_SIZE(register_refusals); i++)
		tap_test_case(register_refusals[i].ours, test_register_refusal,
			      &register_refusals[i],
			      "REGISTER_MEMORY refuses %s",
			      register_refusals[i].what);
	tap_test("registered memory is pinned and charged until unregistered",
		 test_charge);
	tap_test("REGISTER_MEMORY refuses the same region again", test_twice);
	tap_test("REGISTER_MEMORY refuses overlapping, not adjacent regions",
		 test_overlap);
	tap_test("REGISTER_MEMORY respects RLIMIT_MEMLOCK exactly",
		 test_limit);
	tap_test("one MAP_DMA can use many regions", test_many_regions);
	tap_test("memory registered in two containers is charged once",
		 test_two_containers);
	tap_test_ours("memory stays pinned while another container maps it",
		      test_outlive);
	for (i = 0; i < ARRAY_SIZE(removals); i++)
		tap_test_case(true, test_last_mapping, &removals[i],
			      "memory of a closed container is unpinned by %s",
			      removals[i].what);
	for (i = 0; i < ARRAY_SIZE(unregister_refusals); i++)
		tap_test_case(unregister_refusals[i].ours,
			      test_unregister_refusal, &unregister_refusals[i],
			      "UNREGISTER_MEMORY refuses %s",
			      unregister_refusals[i].what);
	tap_test("UNREGISTER_MEMORY is refused before anything is registered",
		 test_before_anything);
	tap_test_ours("UNREGISTER_MEMORY refuses memory that is mapped",
		      test_unregister_mapped);
	tap_test_ours("a region counts its mappings exactly",
		      test_counted_by_mapping);
	tap_test("a refused MAP_DMA does not count memory",
		 test_refused_map_counts_nothing);
	tap_test("a refused MAP_DMA does not count memory of other containers",
		 test_refused_map_of_others);
	tap_test("a page that the device may have written is dirty",
		 test_dirty);
	tap_test("a page stays pinned after the process has unmapped it",
		 test_unmapped_by_process);
	tap_test_ours("memory of a closed container can be registered in parts",
		      test_register_after_close);

	return tap_main();
}
