// SPDX-License-Identifier: GPL-2.0-only
/*
 * REGISTER_MEMORY and UNREGISTER_MEMORY: what they refuse, and that what they
 * charge and pin is given back to the page.
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

/* The memory of the tests, in kernel pages. */
#define PAGES		8

/* Where the device's stage and the tests' page are mapped. */
#define STAGE		0x100000
#define IOVA		0x200000

/* What threads allocate and free all the time, in bytes, and how many do. */
#define POPULATED	(256UL << 20)
#define POPULATORS	3

#define REGISTER	VFIO_IOMMU_SPAPR_REGISTER_MEMORY
#define UNREGISTER	VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY

static unsigned char *memory;
static size_t page;

/* From the first page of the memory, unless said otherwise. */
enum base { MEMORY, NOTHING, READ_ONLY, HOLE, TOP, NULL_ARGS };

static const struct refusal {
	const char *what;
	int error;
	enum base base;
	/* In kernel pages, and bytes on top of them. */
	int pages;
	int bytes;
	int offset;
	unsigned int flags;
	int argsz;
	bool ours;
} register_refusals[] = {
	{ .what = "a bad address of its own", .error = -EFAULT,
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
	{ .what = "memory that is not there", .error = -EFAULT,
	  .base = NOTHING, .pages = 1 },
	/* In-tree it answers with the number of pages before the hole. */
	{ .what = "memory with a hole", .error = -EFAULT, .base = HOLE,
	  .pages = 3, .ours = true },
	{ .what = "memory that cannot be written", .error = -EFAULT,
	  .base = READ_ONLY, .pages = 1 },
}, unregister_refusals[] = {
	{ .what = "a bad address of its own", .error = -EFAULT,
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

/* An address at which @pages pages have nothing behind them. */
static unsigned char *nothing(unsigned int pages)
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
		return (uintptr_t)nothing(PAGES);
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

	/* -1 stands for the next page. */
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

	/* Nothing of it stands in the way of a good one. */
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

	/* It is registered as before. */
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

	/* What is still registered goes with the container. */
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

	/* Once is enough to give it back, and twice too much. */
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

	/* Neighbours do not overlap. */
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
	/* In an order that is neither that of the addresses nor its reverse. */
	for (i = 0; i < PAGES; i++)
		CHECK_EQ(vfio_register(vfio.container,
				       memory + i * 5 % PAGES * page, page), 0);
	CHECK_EQ(state_locked(), before.locked + PAGES);

	/* A MAP does not care how many regions there are. */
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

	/* Again and again: refusing must not count anything away. */
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK(edu_reads(&vfio, IOVA, memory + page));
	CHECK(edu_writes(&vfio, IOVA, memory + page));
	/* It is registered, not only pinned: there can be more mappings. */
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

	/* All that there is in a leaf, in its own place: counted once. */
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_READ), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), 0);

	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(vfio_register(vfio.container, memory + page, page), 0);

	/* One page, two mappings. */
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA + page, memory, page, MAP_READ),
		 0);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), -EBUSY);
	/* Nothing is mapped there any more, so nothing is counted. */
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, page), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), -EBUSY);

	/* The page that takes its place is counted, this one no longer. */
	CHECK_EQ(vfio_map(vfio.container, IOVA + page, memory + page, page,
			  MAP_BOTH), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory + page, page), -EBUSY);
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), 0);

	/* A page in its own place, in a leaf of more than one region. */
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
	/* That was all there is. */
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

	/* The memory of one process is charged and pinned once. */
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

/* Half a minute: it is done by a worker. */
#define LOCKED_POLLS	3000
#define LOCKED_POLL_US	10000

static bool locked_becomes(__u64 pages)
{
	unsigned int polls;

	for (polls = 0; polls < LOCKED_POLLS && state_locked() != pages; polls++)
		usleep(LOCKED_POLL_US);

	return CHECK_EQ(state_locked(), pages);
}

/* One container maps what only another has registered, which is closed then. */
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
	CHECK_EQ(vfio_register(first.container, memory + page, (PAGES - 1) * page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA, memory + page, page, MAP_BOTH), 0);
	vfio_close(&first);

	/* It stays until the other lets go too, and no longer. */
	locked_becomes(before.locked + PAGES - 1);
	CHECK(edu_reads(&second, IOVA, memory + page));
	CHECK(edu_writes(&second, IOVA, memory + page));
	vfio_close(&second);
	locked_becomes(0);
}

static void test_outlive(void)
{
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}

	/* The kernel complains of forgotten regions when a process ends. */
	tap_child(outlive, NULL);
}

/*
 * What lets go of the last mapping of a region whose container is gone. Nobody closes a
 * container for it.
 */
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

static const struct letting_go {
	const char *what;
	void (*let_go)(struct vfio *vfio);
} lettings_go[] = {
	{ "UNMAP_DMA", last_unmap },
	{ "MAP_DMA in its place", last_remap },
	{ "TCE_REMOVE", last_remove },
	{ "the group that leaves", last_detach },
};

static void let_go(void *data)
{
	const struct letting_go *letting_go = data;
	unsigned char *region = vfio_memory(PAGES * page);
	struct vfio first, second, third;
	struct state before;

	vfio_open(&first);
	vfio_open_device(&second, 1);
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA + page, memory, page, MAP_BOTH), 0);
	before = state_now();
	CHECK_EQ(vfio_register(first.container, region, PAGES * page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA, region, page, MAP_BOTH), 0);
	vfio_close(&first);

	/* Another container that closes has nothing to do with it. */
	vfio_open(&third);
	CHECK_EQ(vfio_register(third.container, memory + page, page), 0);
	vfio_close(&third);
	locked_becomes(before.locked + PAGES);

	letting_go->let_go(&second);
	if (letting_go->let_go == last_remove)
		CHECK_EQ(vfio_unregister(second.container, memory, page), 0);
	if (letting_go->let_go == last_remove || letting_go->let_go == last_detach) {
		locked_becomes(0);
	} else if (locked_becomes(before.locked)) {
		/* It is not registered any more, and can be again. */
		CHECK_EQ(vfio_map(second.container, IOVA, region, page, MAP_BOTH),
			 -EINVAL);
		CHECK_EQ(vfio_register(second.container, region, page), 0);
		CHECK_EQ(vfio_unregister(second.container, region, page), 0);
	}
	vfio_close(&second);
	locked_becomes(0);
}

static void test_let_go(const void *data)
{
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}
	tap_child(let_go, (void *)data);
}

/* Of memory that only another container has registered, up to the last page. */
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

/* The processor's page table knows nothing of what a device writes. */
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
	void *area;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		area = mmap(NULL, POPULATED, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		munmap(area, POPULATED);
	}

	return unused;
}

/* What a closed container had is not in the way, whatever the process does. */
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
		CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
		vfio_close(&vfio);
		vfio_open(&vfio);
		CHECK_EQ(vfio_register(vfio.container, memory + page, page), 0);
		vfio_close(&vfio);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < POPULATORS; i++)
		pthread_join(threads[i], NULL);
}

static void test_memory_that_went(void)
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
	 * The page is pinned until it is unregistered, so the device goes on
	 * with it, and not with what comes to the same address afterwards.
	 */
	CHECK_EQ(mmap(address, page, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == address,
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
	tap_test("registered memory is pinned and charged, and given back",
		 test_charge);
	tap_test("REGISTER_MEMORY refuses the same region again", test_twice);
	tap_test("REGISTER_MEMORY refuses overlapping regions, not neighbours",
		 test_overlap);
	tap_test("REGISTER_MEMORY respects RLIMIT_MEMLOCK to the page",
		 test_limit);
	tap_test("many regions are as good as one", test_many_regions);
	tap_test("two containers share what both register",
		 test_two_containers);
	tap_test_ours("memory outlives its container as long as another maps it",
		      test_outlive);
	for (i = 0; i < ARRAY_SIZE(lettings_go); i++)
		tap_test_case(true, test_let_go, &lettings_go[i],
			      "it is given back after the last mapping went by %s",
			      lettings_go[i].what);
	for (i = 0; i < ARRAY_SIZE(unregister_refusals); i++)
		tap_test_case(unregister_refusals[i].ours,
			      test_unregister_refusal, &unregister_refusals[i],
			      "UNREGISTER_MEMORY refuses %s",
			      unregister_refusals[i].what);
	tap_test("UNREGISTER_MEMORY is refused before anything is registered",
		 test_before_anything);
	tap_test_ours("UNREGISTER_MEMORY refuses memory that is mapped, and the device goes on",
		      test_unregister_mapped);
	tap_test_ours("every mapping of a region counts, and only as long as it is there",
		      test_counted_by_mapping);
	tap_test("a MAP_DMA that is refused does not keep memory registered",
		 test_refused_map_counts_nothing);
	tap_test("a MAP_DMA that is refused keeps nothing of another container registered",
		 test_refused_map_of_others);
	tap_test("a page that the device may have written is dirty", test_dirty);
	tap_test("a page stays pinned when the process gives its address away",
		 test_memory_that_went);
	tap_test_ours("memory of a closed container can be registered in parts",
		      test_register_after_close);

	return tap_main();
}
