// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's side of a table: KVM maps and unmaps, and VFIO uses the same table. A
 * module makes the calls of KVM, see ../kvm/tce_kvm_test.h.
 *
 * hcallargs.c has unusual arguments of hypercalls, outlive.c windows that are
 * removed while KVM has them, inflight.c calls that are stopped midway,
 * kvmraces.c races, pskvm.c DMA in guests.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"
#include "witness.h"

/* Four times the records of a window with up to four CPUs. */
#define TASKS		64

#define POLL_US		100000
#define POLLS		300

/*
 * DMA. All checks use one open device, because closing a device may take
 * seconds.
 */

static void check_dma_pages(struct vfio *vfio, __u64 mapped)
{
	unsigned char *other = region[OTHER] + IOMMU_PAGE;
	unsigned char *memory = region[MEMORY];
	int guest = open_guest(PAGE_SHIFT);

	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, mapped + 1);
	CHECK(edu_reads(vfio, IOVA, memory));
	CHECK(edu_writes(vfio, IOVA, memory));

	/* Another page replaces it, read-only. */
	CHECK_EQ(h_put(guest, IOVA, other, MAP_READ), TCE_KVM_SUCCESS);
	CHECK(edu_reads(vfio, IOVA, other));
	CHECK(!edu_writes(vfio, IOVA, other));

	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK(!edu_reads(vfio, IOVA, other));
	/* Unmapping an empty entry succeeds. */
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, mapped);
	close(guest);
}

/* In the second window the indices of entries are large. */
static void check_dma_second_window(struct vfio *vfio)
{
	const __u64 iova = WINDOW1_START + IOVA;
	unsigned char *memory = region[MEMORY];
	int guest = guest_open();

	CHECK_EQ(guest_attach(guest, 0, WINDOW1_START, SIZE, PAGE_SHIFT), 0);
	CHECK_EQ(h_put(guest, iova, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_MAPPED(WINDOW1_START, REGIONS + 1);
	CHECK(edu_reads(vfio, iova, memory));
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_PARAMETER);
	CHECK_EQ(h_stuff(guest, iova, 1), TCE_KVM_SUCCESS);
	CHECK(!edu_reads(vfio, iova, memory));
	CHECK_MAPPED(WINDOW1_START, REGIONS);
	close(guest);
}

/* Guest pages larger than the IOMMU page. */
static void check_dma_subpages(struct vfio *vfio, __u64 mapped)
{
	const __u64 step = 1 << GUEST_PAGE_SHIFT;
	const __u64 last = step - IOMMU_PAGE;
	unsigned char *memory = region[MEMORY];
	unsigned char *other = region[OTHER];
	int guest = open_guest(GUEST_PAGE_SHIFT);

	CHECK_EQ(h_indirect(guest, IOVA, memory, GUEST_PAGE_SHIFT, 3, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA + 3 * step, other, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, mapped + 4 * SUBPAGES);
	/* From the start of the first page to the end of the last page. */
	CHECK(edu_copies(vfio, IOVA, memory, IOVA + 3 * step + last,
			 other + last));
	CHECK(edu_copies(vfio, IOVA + 2 * step + last, memory + 2 * step + last,
			 IOVA + step, memory + step));

	CHECK_EQ(h_stuff(guest, IOVA + step, 2), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, mapped + 2 * SUBPAGES);
	CHECK(!edu_reads(vfio, IOVA + step, memory + step));
	CHECK(!edu_reads(vfio, IOVA + 2 * step + last,
			 memory + 2 * step + last));
	CHECK(edu_reads(vfio, IOVA + last, memory + last));
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, mapped);
	close(guest);
}

static void test_dma(void)
{
	struct vfio vfio;
	__u64 stage;

	open_windows(&vfio);
	edu_stage(&vfio, STAGE);
	stage = vfio_page_size() / IOMMU_PAGE;
	check_dma_pages(&vfio, stage);
	check_dma_second_window(&vfio);
	check_dma_subpages(&vfio, stage);
	vfio_close(&vfio);
}

/* Refusals */

static void test_parameters(void)
{
	unsigned char *memory = region[MEMORY];
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	guest = guest_open();
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), GUEST_NO_TABLE);
	CHECK_EQ(guest_attach(guest, 0, SIZE, SIZE, PAGE_SHIFT), -EINVAL);
	CHECK_EQ(guest_attach(guest, 0, 0, 2 * SIZE, PAGE_SHIFT), -EINVAL);
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, PAGE_SHIFT), 0);
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, PAGE_SHIFT), -EBUSY);

	CHECK_EQ(h_put(guest, IOVA + 1024, memory, MAP_BOTH),
		 TCE_KVM_PARAMETER);
	CHECK_EQ(h_put(guest, SIZE, memory, MAP_BOTH), TCE_KVM_PARAMETER);
	CHECK_EQ(h_put(guest, IOVA, memory + 1024, MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_put(guest, IOVA, (void *)-1UL, 0), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_indirect(guest, IOVA, memory, PAGE_SHIFT, 513, MAP_BOTH),
		 TCE_KVM_PARAMETER);
	CHECK_EQ(hcall(guest, TCE_KVM_PUT_INDIRECT, IOVA,
		       (uintptr_t)memory + 8, 1), TCE_KVM_PARAMETER);
	CHECK_EQ(hcall(guest, TCE_KVM_STUFF, IOVA, MAP_BOTH, 1),
		 TCE_KVM_PARAMETER);
	CHECK_MAPPED(0, 0);

	/* Up to the last entry of the window. */
	CHECK_EQ(h_put(guest, SIZE - IOMMU_PAGE, memory, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 1);
	CHECK_EQ(h_stuff(guest, SIZE - IOMMU_PAGE, 1), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 0);
	close(guest);
	vfio_close(&vfio);
}

static void test_not_registered(void)
{
	unsigned char *unregistered = vfio_memory(vfio_page_size());
	unsigned char *memory = region[MEMORY];
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA, unregistered, MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_put(guest, IOVA + IOMMU_PAGE, unregistered, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	/* A list beyond the end of the region. */
	CHECK_EQ(h_indirect(guest, IOVA, region[REGIONS - 1] + REGION_BYTES -
			  IOMMU_PAGE, PAGE_SHIFT, 2, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_MAPPED(0, 1);
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
	munmap(unregistered, vfio_page_size());
}

/*
 * A list may have TCEs without permissions. KVM counts their pages and sets the
 * entries, so the pages must be uncounted when the entries are cleared.
 */
static void test_no_permission(void)
{
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);

	/* On empty entries. */
	CHECK_EQ(h_indirect(guest, IOVA, region[MEMORY], PAGE_SHIFT, 3, 0),
		 TCE_KVM_SUCCESS);

	/* On entries that KVM and VFIO have mapped. */
	CHECK_EQ(h_put(guest, IOVA + 4 * IOMMU_PAGE, region[MEMORY], MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(h_indirect(guest, IOVA + 4 * IOMMU_PAGE, region[OTHER],
			    PAGE_SHIFT, 2, 0), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA + 4 * IOMMU_PAGE, region[MEMORY], MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_map(vfio.container, IOVA + 5 * IOMMU_PAGE, region[OTHER],
			  IOMMU_PAGE, MAP_BOTH), 0);

	CHECK_EQ(h_stuff(guest, IOVA, 1), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA + IOMMU_PAGE, 31 * IOMMU_PAGE),
		 0);
	CHECK_MAPPED(0, 0);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
}

/*
 * Version 1 of the interface: pages are pinned one by one, which KVM cannot do.
 */
static void test_v1(void)
{
	const __u64 size = 4 * IOMMU_PAGE;
	unsigned char *memory = region[MEMORY];
	struct vfio_iommu_spapr_tce_info info;
	struct vfio v1, v2;
	struct state mapped;
	int container, guest;

	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}

	/*
	 * The memory is registered in another container, so that KVM does not
	 * fail earlier.
	 */
	vfio_open_device(&v2, 1);
	CHECK_EQ(vfio_register(v2.container, memory, REGION_BYTES), 0);

	container = vfio_open_container();
	CHECK_EQ(vfio_attach(&v1, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(vfio_ioctl(container, VFIO_IOMMU_ENABLE, NULL), 0);
	CHECK_EQ(vfio_info(container, &info), 0);
	CHECK_EQ(vfio_map(container, IOVA, memory, size, MAP_BOTH), 0);

	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, info.dma32_window_start,
			      info.dma32_window_size, PAGE_SHIFT), 0);
	mapped = state_now();
	CHECK_EQ(mapped.figures[0].mapped_pages, 4);

	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_put(guest, IOVA + size, memory, MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_indirect(guest, IOVA, memory, PAGE_SHIFT, 8, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_TOO_HARD);
	CHECK_STATE(&mapped);
	CHECK_EQ(vfio_unregister(v2.container, memory, REGION_BYTES), 0);
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_TOO_HARD);

	/* An empty entry is not passed up. */
	CHECK_EQ(h_unmap(guest, IOVA + size), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unmap(container, IOVA, size), 0);
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_SUCCESS);
	close(guest);
	vfio_close(&v1);
	vfio_close(&v2);
}

/*
 * Another process, with memory registered at the same address: nothing of it is
 * mapped.
 */
static void other_process(void *data)
{
	struct vfio vfio;
	int guest;

	(void)data;
	vfio_open_device(&vfio, 1);
	CHECK_EQ(vfio_register(vfio.container, region[MEMORY], REGION_BYTES),
		 0);

	guest = open_guest(PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	/* KVM tries to clear an entry that it cannot replace. */
	CHECK_EQ(h_put(guest, IOVA + IOMMU_PAGE, region[MEMORY], MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_unmap(guest, IOVA + 2 * IOMMU_PAGE), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, IOVA, SUBPAGES), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 2);
	CHECK_EQ(vfio_unregister(vfio.container, region[MEMORY], REGION_BYTES),
		 0);
	close(guest);
	vfio_close(&vfio);
}

/*
 * KVM clears an entry that it cannot map, without a kill. UNREGISTER_MEMORY
 * must uncount its page.
 */
static void test_clear_unregister(void)
{
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_clear(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 0);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
}

struct task {
	pthread_t thread;
	int guest;
	unsigned int number;
};

static pthread_barrier_t cleared, unregistered;

static void *clear_one(void *data)
{
	const struct task *task = data;
	__u64 offset = task->number * IOMMU_PAGE;
	long status = h_put(task->guest, IOVA + offset, region[MEMORY] + offset,
			    MAP_BOTH);

	/* Without a record for the task, the hypercall is passed up. */
	if (status != TCE_KVM_TOO_HARD) {
		CHECK_EQ(status, TCE_KVM_SUCCESS);
		CHECK_EQ(h_clear(task->guest, IOVA + offset), TCE_KVM_SUCCESS);
	}
	pthread_barrier_wait(&cleared);
	pthread_barrier_wait(&unregistered);

	return NULL;
}

/* Waits until the window at 0 has no level that KVM has used. */
static void wait_trimmed(void)
{
	struct figures figures;
	unsigned int polls;

	for (polls = 0; polls < POLLS; polls++) {
		CHECK(figures_read(0, &figures));
		if (!figures.user_bytes)
			return;
		usleep(POLL_US);
	}
	CHECK_EQ(figures.user_bytes, 0);
}

/* The same for tasks that use all of the window's records. */
static void test_tasks_unregister(void)
{
	struct task task[TASKS];
	struct vfio vfio;
	unsigned int i;
	int guest;

	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);
	pthread_barrier_init(&cleared, NULL, TASKS + 1);
	pthread_barrier_init(&unregistered, NULL, TASKS + 1);
	for (i = 0; i < TASKS; i++) {
		task[i].guest = guest;
		task[i].number = i;
		if (pthread_create(&task[i].thread, NULL, clear_one, &task[i]))
			tap_bail("no thread");
	}
	pthread_barrier_wait(&cleared);
	CHECK_MAPPED(0, 0);
	check_all_counted(&vfio);
	/* All records are given up, and with them the leaves that they keep. */
	wait_trimmed();
	pthread_barrier_wait(&unregistered);
	for (i = 0; i < TASKS; i++)
		pthread_join(task[i].thread, NULL);
	pthread_barrier_destroy(&cleared);
	pthread_barrier_destroy(&unregistered);
	close(guest);
	vfio_close(&vfio);
}

/* The record of the task is freed with them. */
static void test_trimmed(void)
{
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK(figures_number(0, "user_bytes") > 0);
	wait_trimmed();
	CHECK_EQ(client_put(&vfio, guest, IOVA, region[MEMORY], true),
		 TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 1);
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 0);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
}

/* Writes by a device do not set the dirty bit of a PTE. */
static void test_dirty(void)
{
	unsigned char *fresh = vfio_memory(REGION_BYTES);
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	edu_stage(&vfio, STAGE);
	guest = open_guest(PAGE_SHIFT);
	CHECK_EQ(vfio_register(vfio.container, fresh, REGION_BYTES), 0);
	CHECK_EQ(h_put(guest, IOVA, fresh, MAP_READ), TCE_KVM_SUCCESS);
	CHECK(edu_reads(&vfio, IOVA, fresh));
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK(!page_is_dirty(fresh));
	CHECK_EQ(h_put(guest, IOVA, fresh, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK(edu_writes(&vfio, IOVA, fresh));
	CHECK(!page_is_dirty(fresh));
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK(page_is_dirty(fresh));
	close(guest);
	vfio_close(&vfio);
	munmap(fresh, REGION_BYTES);
}

/* After the kill another container can unregister the memory. */
static void test_kill_uncounts(void)
{
	struct vfio vfio, other;
	int guest;
	void *memory;

	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}

	open_windows(&vfio);
	vfio_open_device(&other, 1);
	memory = vfio_memory(REGION_BYTES);
	CHECK_EQ(vfio_register(other.container, memory, REGION_BYTES), 0);

	guest = open_guest(PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unregister(other.container, memory, REGION_BYTES),
		 -EBUSY);
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unregister(other.container, memory, REGION_BYTES), 0);
	close(guest);
	vfio_close(&other);
	vfio_close(&vfio);
	munmap(memory, REGION_BYTES);
}

static void test_other_process(void)
{
	struct vfio vfio;

	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}

	open_windows(&vfio);
	CHECK_EQ(vfio_map(vfio.container, IOVA + IOMMU_PAGE, region[MEMORY],
			  2 * IOMMU_PAGE, MAP_BOTH), 0);
	tap_child(other_process, NULL);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA + IOMMU_PAGE, 2 * IOMMU_PAGE),
		 0);
	check_all_counted(&vfio);
	vfio_close(&vfio);
}

/* Mapped counts */

/* A range of the window, in guest pages. */
struct range {
	struct vfio *vfio;
	int guest;
	unsigned int shift;
	unsigned int npages;
};

static __u64 range_bytes(const struct range *range)
{
	return (__u64)range->npages << range->shift;
}

static void map_kvm(const struct range *range, unsigned char *memory)
{
	unsigned int i;

	for (i = 0; i < range->npages; i++) {
		__u64 offset = (__u64)i << range->shift;

		CHECK_EQ(h_put(range->guest, IOVA + offset, memory + offset,
			       MAP_BOTH), TCE_KVM_SUCCESS);
	}
}

static void map_kvm_list(const struct range *range, unsigned char *memory)
{
	CHECK_EQ(h_indirect(range->guest, IOVA, memory, range->shift,
			    range->npages, MAP_BOTH), TCE_KVM_SUCCESS);
}

static void map_vfio(const struct range *range, unsigned char *memory)
{
	CHECK_EQ(vfio_map(range->vfio->container, IOVA, memory,
			  range_bytes(range), MAP_BOTH), 0);
}

static void unmap_kvm(const struct range *range)
{
	unsigned int i;

	for (i = 0; i < range->npages; i++)
		CHECK_EQ(h_unmap(range->guest,
				 IOVA + ((__u64)i << range->shift)),
			 TCE_KVM_SUCCESS);
}

static void unmap_kvm_stuff(const struct range *range)
{
	CHECK_EQ(h_stuff(range->guest, IOVA, range->npages), TCE_KVM_SUCCESS);
}

static void unmap_vfio(const struct range *range)
{
	CHECK_EQ(vfio_unmap(range->vfio->container, IOVA, range_bytes(range)),
		 0);
}

static void unmap_remove(const struct range *range)
{
	CHECK_EQ(vfio_remove(range->vfio->container, 0), 0);
}

static const struct mapper {
	const char *what;
	void (*map)(const struct range *range, unsigned char *memory);
} mappers[] = {
	{ "H_PUT_TCE", map_kvm },
	{ "H_PUT_TCE_INDIRECT", map_kvm_list },
	{ "MAP_DMA", map_vfio },
};

static const struct unmapper {
	const char *what;
	void (*unmap)(const struct range *range);
} unmappers[] = {
	{ "H_PUT_TCE", unmap_kvm },
	{ "H_STUFF_TCE", unmap_kvm_stuff },
	{ "UNMAP_DMA", unmap_vfio },
	{ "TCE_REMOVE", unmap_remove },
};

/* One guest page or several, of one entry or of several. */
static const struct shape {
	unsigned int shift;
	unsigned int npages;
} shapes[] = {
	{ PAGE_SHIFT, 1 }, { PAGE_SHIFT, 40 }, { GUEST_PAGE_SHIFT, 3 },
	{ REGION_SHIFT, 1 },
};

/* How a range is mapped, replaced (optional), and unmapped. */
static struct count_case {
	const struct mapper *first;
	const struct mapper *second;
	const struct unmapper *last;
} count_cases[ARRAY_SIZE(mappers) * ARRAY_SIZE(mappers) +
	      ARRAY_SIZE(mappers) * ARRAY_SIZE(unmappers)];

static void count_once(const struct count_case *count,
		       const struct shape *shape)
{
	struct vfio vfio;
	struct range range = {
		.vfio = &vfio,
		.shift = shape->shift,
		.npages = shape->npages,
	};

	open_windows(&vfio);
	range.guest = open_guest(shape->shift);

	/* Without the witness only this mapping is counted. */
	CHECK_EQ(vfio_unmap(vfio.container, WITNESS, IOMMU_PAGE), 0);
	count->first->map(&range, region[MEMORY]);
	CHECK_MAPPED(0, range_bytes(&range) / IOMMU_PAGE);
	CHECK_EQ(vfio_unregister(vfio.container, region[MEMORY], REGION_BYTES),
		 -EBUSY);
	CHECK_EQ(vfio_map(vfio.container, WITNESS, region[MEMORY], IOMMU_PAGE,
			  MAP_READ), 0);

	if (count->second) {
		count->second->map(&range, region[OTHER]);
		CHECK_MAPPED(0, range_bytes(&range) / IOMMU_PAGE);
		check_counted(&vfio, MEMORY);
		/* The pages that are mapped now must be counted. */
		CHECK_EQ(vfio_unmap(vfio.container, WITNESS + IOMMU_PAGE,
				    IOMMU_PAGE), 0);
		CHECK_EQ(vfio_unregister(vfio.container, region[OTHER],
					 REGION_BYTES), -EBUSY);
		CHECK_EQ(vfio_map(vfio.container, WITNESS + IOMMU_PAGE,
				  region[OTHER], IOMMU_PAGE, MAP_READ), 0);
	}

	count->last->unmap(&range);
	if (count->last->unmap != unmap_remove)
		CHECK_MAPPED(0, 0);
	if (!count->second)
		check_counted(&vfio, MEMORY);
	check_counted(&vfio, OTHER);
	close(range.guest);
	vfio_close(&vfio);
}

static void test_count(const void *data)
{
	size_t i;

	new_regions();
	for (i = 0; i < ARRAY_SIZE(shapes); i++)
		count_once(data, &shapes[i]);
}

static void add_count_tests(void)
{
	struct count_case *count = count_cases;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(mappers); i++) {
		for (j = 0; j < ARRAY_SIZE(unmappers); j++, count++) {
			count->first = &mappers[i];
			count->last = &unmappers[j];
			tap_test_case(true, test_count, count,
				      "%s, %s: counted exactly",
				      count->first->what, count->last->what);
		}
		for (j = 0; j < ARRAY_SIZE(mappers); j++, count++) {
			count->first = &mappers[i];
			count->second = &mappers[j];
			count->last = &unmappers[(i + j) % 3];
			tap_test_case(true, test_count, count,
				      "%s, replaced by %s, %s: counted exactly",
				      count->first->what, count->second->what,
				      count->last->what);
		}
	}
}

static const struct test tests[] = {
	{ "DMA works where KVM maps, in both windows",
	  false, test_dma },
	{ "hypercalls are refused outside the window",
	  false, test_parameters },
	{ "hypercalls that map unregistered memory are passed up",
	  true, test_not_registered },
	{ "pages of TCEs without permissions are uncounted when unmapped",
	  true, test_no_permission },
	{ "version 1: hypercalls that map or unmap are passed up",
	  true, test_v1 },
	{ "KVM of another process cannot map the same address",
	  true, test_other_process },
	{ "a page that the device may write is dirty after KVM unmaps",
	  false, test_dirty },
	{ "a page that KVM has unmapped is uncounted after the kill",
	  true, test_kill_uncounts },
	{ "UNREGISTER_MEMORY uncounts pages cleared without a kill",
	  true, test_clear_unregister },
	{ "UNREGISTER_MEMORY uncounts what many tasks have cleared",
	  true, test_tasks_unregister },
	{ "KVM maps again where unused levels were freed",
	  true, test_trimmed },
};

int main(void)
{
	state_watch();

	add_tests(tests, ARRAY_SIZE(tests));
	add_count_tests();

	return tap_main();
}
