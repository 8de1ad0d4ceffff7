// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's side of a table: what it maps and unmaps behind VFIO's back, against all
 * that VFIO does to the same table. KVM is played by a module, see
 * ../kvm/tce_kvm_test.h.
 *
 * Pages are counted by the region that they belong to. So that a page too few is
 * seen as well as one too many, each region has a witness: one page that is mapped
 * in the second window and stays, so that without anything else UNREGISTER_MEMORY
 * is refused until the witness is gone.
 *
 * ROUNDS=N in the environment: hypercalls of each race.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/* The windows; level upon level, which KVM must be able to allocate. */
#define PAGE_SHIFT	12
#define IOMMU_PAGE	BIT_ULL(PAGE_SHIFT)
#define SIZE		BIT_ULL(30)
#define LEVELS		(tap_intree() ? 1 : 3)

/* A guest's page that is larger than the window's. */
#define SUBPAGES_SHIFT	16
#define SUBPAGES	BIT_ULL(SUBPAGES_SHIFT - PAGE_SHIFT)

/* The largest page of a guest here, and the size of a region. */
#define REGION_SHIFT	20
#define REGION_BYTES	BIT_ULL(REGION_SHIFT)

/* Where the device's stage and the tests' pages are mapped. */
#define STAGE		0x100000
#define IOVA		0x200000
#define WITNESS		(WINDOW1_START + 0x100000)

/* What is mapped and unmapped again and again, in IOMMU pages. */
#define RACE_PAGES	64
#define V1_PAGES	16
#define RACE_THREADS	2
#define ROUNDS		5000

/* The module looks every ten seconds. */
#define ORPHAN_SECONDS	30

enum { MEMORY, OTHER, REGIONS };

static unsigned char *region[REGIONS];
static unsigned int rounds = ROUNDS;

/* What tests begin and end with */

/*
 * Regions that were never registered before: what a failed test leaves behind is
 * not the next one's business.
 */
static void new_regions(void)
{
	unsigned char *memory = vfio_memory((REGIONS + 1) * REGION_BYTES);
	int i;

	memory += -(uintptr_t)memory & (REGION_BYTES - 1);
	for (i = 0; i < REGIONS; i++)
		region[i] = memory + i * REGION_BYTES;
}

static void create_window(struct vfio *vfio, __u64 start)
{
	__u64 got;

	CHECK_EQ(vfio_create(vfio->container, PAGE_SHIFT, SIZE, LEVELS, &got),
		 0);
	CHECK_EQ(got, start);
}

static void register_regions(struct vfio *vfio)
{
	int i;

	for (i = 0; i < REGIONS; i++)
		CHECK_EQ(vfio_register(vfio->container, region[i],
				       REGION_BYTES), 0);
}

/* Two windows, two regions, a witness for each. */
static void open_windows(struct vfio *vfio)
{
	int i;

	vfio_open(vfio);
	register_regions(vfio);
	CHECK_EQ(vfio_remove(vfio->container, 0), 0);
	create_window(vfio, 0);
	create_window(vfio, WINDOW1_START);
	for (i = 0; i < REGIONS; i++)
		CHECK_EQ(vfio_map(vfio->container, WITNESS + i * IOMMU_PAGE,
				  region[i], IOMMU_PAGE, MAP_READ), 0);
}

static int open_guest(unsigned int page_shift)
{
	int guest = guest_open();

	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, page_shift), 0);

	return guest;
}

/* Nothing of the region is counted but its witness. */
static void check_counted(struct vfio *vfio, int i)
{
	CHECK_EQ(vfio_unregister(vfio->container, region[i], REGION_BYTES),
		 -EBUSY);
	CHECK_EQ(vfio_unmap(vfio->container, WITNESS + i * IOMMU_PAGE,
			    IOMMU_PAGE), 0);
	CHECK_EQ(vfio_unregister(vfio->container, region[i], REGION_BYTES), 0);
}

static void check_all_counted(struct vfio *vfio)
{
	int i;

	for (i = 0; i < REGIONS; i++)
		check_counted(vfio, i);
}

/* A window that only KVM holds is freed after a grace period. */
static void wait_users(unsigned int users)
{
	int polls;

	for (polls = 0; polls < 3000; polls++) {
		if (state_now().users == users)
			return;
		usleep(1000);
	}
	CHECK_EQ(state_now().users, users);
}

/* What the device sees. It is closed once: that may take seconds. */

static void check_dma_pages(struct vfio *vfio, __u64 mapped)
{
	unsigned char *other = region[OTHER] + IOMMU_PAGE;
	unsigned char *memory = region[MEMORY];
	int guest = open_guest(PAGE_SHIFT);

	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, mapped + 1);
	CHECK(edu_reads(vfio, IOVA, memory));
	CHECK(edu_writes(vfio, IOVA, memory));

	/* Something else in the same place, for reading only. */
	CHECK_EQ(h_put(guest, IOVA, other, MAP_READ), TCE_KVM_SUCCESS);
	CHECK(edu_reads(vfio, IOVA, other));
	CHECK(!edu_writes(vfio, IOVA, other));

	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK(!edu_reads(vfio, IOVA, other));
	/* Nothing is there, and that is fine. */
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, mapped);
	close(guest);
}

/* There, entries have large numbers. */
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

/* A guest with larger pages than the window. */
static void check_dma_subpages(struct vfio *vfio, __u64 mapped)
{
	const __u64 step = 1 << SUBPAGES_SHIFT;
	const __u64 last = step - IOMMU_PAGE;
	unsigned char *memory = region[MEMORY];
	unsigned char *other = region[OTHER];
	int guest = open_guest(SUBPAGES_SHIFT);

	CHECK_EQ(h_indirect(guest, IOVA, memory, SUBPAGES_SHIFT, 3, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA + 3 * step, other, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, mapped + 4 * SUBPAGES);
	/* From the first page's first piece to the last page's last one. */
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

/* What is refused */

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

	CHECK_EQ(h_put(guest, IOVA + 1024, memory, MAP_BOTH), TCE_KVM_PARAMETER);
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

	/* To the last entry of the window. */
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
	unsigned char *nobody = vfio_memory(vfio_page_size());
	unsigned char *memory = region[MEMORY];
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA, nobody, MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_put(guest, IOVA + IOMMU_PAGE, nobody, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	/* A list that runs over the end of the region. */
	CHECK_EQ(h_indirect(guest, IOVA, region[REGIONS - 1] + REGION_BYTES -
			  IOMMU_PAGE, PAGE_SHIFT, 2, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_MAPPED(0, 1);
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
	munmap(nobody, vfio_page_size());
}

/*
 * A list may have TCEs without permissions in it. KVM counts their pages like any
 * other, and then clears the entry with them.
 */
static void test_no_permission(void)
{
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);

	/* Where nothing was and nothing comes. */
	CHECK_EQ(h_indirect(guest, IOVA, region[MEMORY], PAGE_SHIFT, 3, 0),
		 TCE_KVM_SUCCESS);

	/* Where something was, and something comes: by KVM, by VFIO. */
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

/* Version 1 of the interface: pages are pinned one by one, KVM stays out. */
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

	/* The memory is registered, but elsewhere: KVM gets as far as it can. */
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
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_TOO_HARD);
	CHECK_STATE(&mapped);
	CHECK_EQ(vfio_unregister(v2.container, memory, REGION_BYTES), 0);
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_TOO_HARD);

	/* There is nothing to unmap: that is not too hard. */
	CHECK_EQ(h_unput(guest, IOVA + size), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unmap(container, IOVA, size), 0);
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_SUCCESS);
	close(guest);
	vfio_close(&v1);
	vfio_close(&v2);
}

/* Another process, with the same memory registered at the same place: it sees nothing. */
static void other_process(void *data)
{
	struct vfio vfio;
	int guest;

	(void)data;
	vfio_open_device(&vfio, 1);
	CHECK_EQ(vfio_register(vfio.container, region[MEMORY], REGION_BYTES), 0);

	guest = open_guest(PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_TOO_HARD);
	/* What KVM cannot replace it clears. */
	CHECK_EQ(h_put(guest, IOVA + IOMMU_PAGE, region[MEMORY], MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_unput(guest, IOVA + 2 * IOMMU_PAGE), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, IOVA, SUBPAGES), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 2);
	CHECK_EQ(vfio_unregister(vfio.container, region[MEMORY], REGION_BYTES), 0);
	close(guest);
	vfio_close(&vfio);
}

/* KVM clears what it cannot map, without a kill. Who takes the memory back lets go. */
static void check_clear(bool removed)
{
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);
	if (removed)
		CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_clear(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 0);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
}

static void test_clear_unregister(void)
{
	check_clear(false);
}

/* Nobody asks for it later. */
static void test_clear_removed(void)
{
	check_clear(true);
}

/* The processor's page table knows nothing of what a device writes. */
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
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK(!page_is_dirty(fresh));
	CHECK_EQ(h_put(guest, IOVA, fresh, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK(edu_writes(&vfio, IOVA, fresh));
	CHECK(!page_is_dirty(fresh));
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK(page_is_dirty(fresh));
	close(guest);
	vfio_close(&vfio);
	munmap(fresh, REGION_BYTES);
}

/* Another container may take its memory back as soon as KVM has killed. */
static void test_kill_lets_go(void)
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
	CHECK_EQ(vfio_unregister(other.container, memory, REGION_BYTES), -EBUSY);
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
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

/* Counting */

/* A range of the window, in pages of the guest. */
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
		CHECK_EQ(h_unput(range->guest,
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

/* From one page that is one entry to one that is more than KVM has at a time. */
static const struct shape {
	unsigned int shift;
	unsigned int npages;
} shapes[] = {
	{ PAGE_SHIFT, 1 }, { PAGE_SHIFT, 40 }, { SUBPAGES_SHIFT, 3 }, { REGION_SHIFT, 1 },
};

/* What is mapped, put in its place if that is so, and unmapped. */
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

	/* Without witness: this alone is what keeps the region. */
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
		/* Now it must not count. */
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
				      "%s, %s: counted and un-counted to the page",
				      count->first->what, count->last->what);
		}
		for (j = 0; j < ARRAY_SIZE(mappers); j++, count++) {
			count->first = &mappers[i];
			count->second = &mappers[j];
			count->last = &unmappers[(i + j) % 3];
			tap_test_case(true, test_count, count,
				      "%s, %s in its place, %s: counted and un-counted to the page",
				      count->first->what, count->second->what,
				      count->last->what);
		}
	}
}

/* Windows and containers that go */

static void test_removed_window(void)
{
	unsigned char *memory = region[MEMORY];
	struct state before;
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	before = state_now();
	guest = open_guest(SUBPAGES_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, SUBPAGES_SHIFT), -EBUSY);

	/* KVM still has it: empty, and it can still map and unmap. */
	CHECK_EQ(state_now().users, before.users);
	CHECK_MAPPED(0, 0);
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA, region[OTHER], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, SUBPAGES);
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 0);
	check_counted(&vfio, MEMORY);

	/* A new window in the same place has nothing to do with it. */
	create_window(&vfio, 0);
	CHECK_EQ(h_put(guest, IOVA, region[OTHER], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 0);
	CHECK_EQ(state_now().users, before.users + 1);

	/* What is still mapped goes with the reference. */
	CHECK_EQ(guest_detach(guest), 0);
	wait_users(before.users);
	check_counted(&vfio, OTHER);
	close(guest);
	vfio_close(&vfio);
}

static void test_closed_container(void)
{
	struct state before, closed;
	struct vfio vfio;
	int guest;

	before = state_now();
	open_windows(&vfio);
	guest = open_guest(SUBPAGES_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA + (1 << SUBPAGES_SHIFT), region[OTHER],
		       MAP_READ), TCE_KVM_SUCCESS);
	vfio_close(&vfio);

	/* Memory and charge are given back, the empty table stays. */
	closed = before;
	closed.windows++;
	closed.users++;
	figures_read(0, &closed.figures[0]);
	CHECK_STATE(&closed);
	CHECK_MAPPED(0, 0);
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, IOVA, SUBPAGES), TCE_KVM_SUCCESS);
	/* Nothing is registered any more. */
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_STATE(&closed);

	CHECK_EQ(guest_detach(guest), 0);
	CHECK_STATE(&before);
	close(guest);
}

/* The memory of a process is its containers' together. */
static void test_closed_other_container(void)
{
	struct vfio vfio, second;
	int guest;
	unsigned int users;

	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}

	open_windows(&vfio);
	guest = open_guest(SUBPAGES_SHIFT);
	vfio_close(&vfio);

	vfio_open_device(&second, 1);
	register_regions(&second);
	users = state_now().users;
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, SUBPAGES);
	CHECK_EQ(vfio_unregister(second.container, region[MEMORY], REGION_BYTES),
		 -EBUSY);
	close(guest);
	wait_users(users - 1);
	CHECK_EQ(vfio_unregister(second.container, region[MEMORY], REGION_BYTES), 0);
	vfio_close(&second);
}

/* KVM maps where the container does not unmap any more. */
static void test_closed_removed(void)
{
	struct state before;
	struct vfio vfio;
	int guest;

	before = state_now();
	open_windows(&vfio);
	guest = open_guest(SUBPAGES_SHIFT);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, SUBPAGES);
	vfio_close(&vfio);

	close(guest);
	CHECK_STATE(&before);
}

/* References that KVM forgets */

static void forget_and_exit(void *data)
{
	struct vfio vfio;
	int guest;

	(void)data;
	open_windows(&vfio);
	guest = open_guest(SUBPAGES_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(guest_forget(guest), 0);
}

/* The container is closed while there is somebody who could use KVM. */
static void forget_and_stay(void *data)
{
	const int *pipes = data;
	struct vfio vfio;
	int guest;
	char byte;

	open_windows(&vfio);
	guest = open_guest(SUBPAGES_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(guest_forget(guest), 0);
	vfio_close(&vfio);
	CHECK_EQ(guest_detach(guest), 0);

	CHECK_EQ(write(pipes[1], "", 1), 1);
	CHECK_EQ(read(pipes[2], &byte, 1), 1);
	CHECK_EQ(state_now().windows, 1);
}

static void recall(unsigned int users)
{
	int guest = guest_open();

	CHECK_EQ(state_now().users, users + 1);
	CHECK_EQ(guest_recall(guest), 0);
	close(guest);
	wait_users(users);
}

static void test_forgotten_exit(void)
{
	struct state before = state_now(), after = before;

	tap_child(forget_and_exit, NULL);

	/* What the levels were in is given back, though the table is referred to. */
	after.users++;
	CHECK_STATE(&after);
	recall(before.users);
}

static void test_forgotten_stay(void)
{
	struct state before = state_now(), after = before;
	int pipes[4], polls;
	pid_t pid;
	char byte;

	if (pipe(pipes) || pipe(pipes + 2))
		tap_bail("pipe: %s", strerror(errno));
	pid = tap_start(forget_and_stay, pipes);
	close(pipes[1]);
	close(pipes[2]);
	CHECK_EQ(read(pipes[0], &byte, 1), 1);
	CHECK_EQ(write(pipes[3], "", 1), 1);
	tap_finish(pid);

	for (polls = 0; polls < ORPHAN_SECONDS && state_now().windows; polls++)
		sleep(1);
	after.users++;
	CHECK_STATE(&after);
	recall(before.users);
	close(pipes[0]);
	close(pipes[3]);
}

/* Races */

/* A thread of KVM: hypercalls on the same few entries, as they come. */
struct racer {
	pthread_t thread;
	int guest;
	unsigned int shift;
	unsigned int pages;
	bool unmap_only;
	__u64 random;
	unsigned int calls;
	unsigned int hard;
	unsigned int bad;
};

static bool race_over;

static unsigned int pick(__u64 *random, unsigned int below)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;

	return (*random >> 32) % below;
}

static long race_call(struct racer *racer)
{
	unsigned int npages = racer->pages >> (racer->shift - PAGE_SHIFT);
	unsigned int first = pick(&racer->random, npages);
	unsigned int count = 1 + pick(&racer->random, npages - first);
	__u64 iova = IOVA + ((__u64)first << racer->shift);
	unsigned int room = (REGION_BYTES >> racer->shift) - count + 1;
	unsigned char *memory = region[pick(&racer->random, REGIONS)] +
				((__u64)pick(&racer->random, room) <<
				 racer->shift);
	unsigned int what;

	/* Half of it maps. */
	what = pick(&racer->random, 8);
	if (what < 4 && !racer->unmap_only)
		return what ? h_put(racer->guest, iova, memory, MAP_BOTH) :
			      h_indirect(racer->guest, iova, memory, racer->shift,
					 count, MAP_BOTH);

	return what < 7 ? h_unput(racer->guest, iova) :
			  h_stuff(racer->guest, iova, count);
}

static void *race(void *data)
{
	struct racer *racer = data;

	while (!__atomic_load_n(&race_over, __ATOMIC_RELAXED)) {
		long status = race_call(racer);

		if (status == GUEST_NO_TABLE) {
			sched_yield();
			continue;
		}
		if (status == TCE_KVM_TOO_HARD)
			racer->hard++;
		else if (status != TCE_KVM_SUCCESS)
			racer->bad++;
		__atomic_fetch_add(&racer->calls, 1, __ATOMIC_RELAXED);
	}

	return NULL;
}

static void race_begin(struct racer *racers, unsigned int count)
{
	unsigned int i;

	__atomic_store_n(&race_over, false, __ATOMIC_RELAXED);
	for (i = 0; i < count; i++) {
		racers[i].random = 0x9e3779b97f4a7c15ULL * (i + 1);
		if (pthread_create(&racers[i].thread, NULL, race, &racers[i]))
			tap_bail("no thread");
	}
}

static unsigned int race_calls(const struct racer *racers, unsigned int count)
{
	unsigned int calls = 0;

	while (count--)
		calls += __atomic_load_n(&racers[count].calls,
					 __ATOMIC_RELAXED);

	return calls;
}

/* @hard: whether KVM may ever say that it is too hard. */
static void race_end(struct racer *racers, unsigned int count, bool hard,
		     unsigned int against, const char *what)
{
	unsigned int i;

	__atomic_store_n(&race_over, true, __ATOMIC_RELAXED);
	for (i = 0; i < count; i++) {
		pthread_join(racers[i].thread, NULL);
		CHECK_EQ(racers[i].bad, 0);
		if (!hard)
			CHECK_EQ(racers[i].hard, 0);
	}
	tap_diag("%u hypercalls by %u threads, %u %s",
		 race_calls(racers, count), count, against, what);
}

/* Two threads with the guest's pages of their own size, on the same entries. */
static void race_open(struct racer *racers, unsigned int second_shift)
{
	memset(racers, 0, RACE_THREADS * sizeof(*racers));
	racers[0].shift = PAGE_SHIFT;
	racers[1].shift = second_shift;
	racers[0].pages = RACE_PAGES;
	racers[1].pages = RACE_PAGES;
	racers[0].guest = open_guest(racers[0].shift);
	racers[1].guest = open_guest(racers[1].shift);
}

static void race_close(struct racer *racers)
{
	close(racers[0].guest);
	close(racers[1].guest);
}

static void race_unmap(struct vfio *vfio)
{
	CHECK_EQ(vfio_unmap(vfio->container, IOVA, RACE_PAGES * IOMMU_PAGE), 0);
	CHECK_MAPPED(0, 0);
}

static void race_kvm(unsigned int second_shift)
{
	struct racer racers[RACE_THREADS];
	struct vfio vfio;

	open_windows(&vfio);
	race_open(racers, second_shift);
	race_begin(racers, RACE_THREADS);
	while (race_calls(racers, RACE_THREADS) < rounds)
		usleep(1000);
	race_end(racers, RACE_THREADS, false, 0, "others");

	race_unmap(&vfio);
	check_all_counted(&vfio);
	race_close(racers);
	vfio_close(&vfio);
}

static void test_race_pages(void)
{
	race_kvm(PAGE_SHIFT);
}

static void test_race_subpages(void)
{
	race_kvm(SUBPAGES_SHIFT);
}

/* @count: threads of KVM. */
static void race_map(unsigned int count)
{
	struct racer racers[RACE_THREADS];
	__u64 random = 1;
	unsigned int i;
	struct vfio vfio;

	open_windows(&vfio);
	race_open(racers, SUBPAGES_SHIFT);
	race_begin(racers, count);
	for (i = 0; i < rounds || race_calls(racers, count) < rounds; i++) {
		unsigned int first = pick(&random, RACE_PAGES);
		__u64 size = (1 + pick(&random, RACE_PAGES - first)) *
				IOMMU_PAGE;
		__u64 iova = IOVA + first * IOMMU_PAGE;

		if (pick(&random, 2))
			CHECK_EQ(vfio_map(vfio.container, iova,
					  region[pick(&random, REGIONS)], size,
					  MAP_BOTH), 0);
		else
			CHECK_EQ(vfio_unmap(vfio.container, iova, size), 0);
	}
	race_end(racers, count, false, i, "MAP_DMA and UNMAP_DMA");

	race_unmap(&vfio);
	check_all_counted(&vfio);
	race_close(racers);
	vfio_close(&vfio);
}

static void test_race_map(void)
{
	race_map(1);
}

static void test_race_map_two(void)
{
	race_map(RACE_THREADS);
}

static void test_race_unregister(void)
{
	struct racer racers[RACE_THREADS];
	unsigned int i, done = 0;
	struct vfio vfio;
	int ret;

	open_windows(&vfio);
	race_open(racers, SUBPAGES_SHIFT);
	/* No witness here: sometimes it must be possible. */
	for (i = 0; i < REGIONS; i++)
		CHECK_EQ(vfio_unmap(vfio.container, WITNESS + i * IOMMU_PAGE,
				    IOMMU_PAGE), 0);
	race_begin(racers, RACE_THREADS);
	for (i = 0; race_calls(racers, RACE_THREADS) < rounds; i++) {
		unsigned char *memory = region[i % REGIONS];

		ret = vfio_unregister(vfio.container, memory, REGION_BYTES);
		if (ret == -EBUSY)
			continue;
		CHECK_EQ(ret, 0);
		done++;
		CHECK_EQ(vfio_register(vfio.container, memory, REGION_BYTES),
			 0);
	}
	race_end(racers, RACE_THREADS, true, done, "UNREGISTER_MEMORY");

	race_unmap(&vfio);
	for (i = 0; i < REGIONS; i++)
		CHECK_EQ(vfio_map(vfio.container, WITNESS + i * IOMMU_PAGE,
				  region[i], IOMMU_PAGE, MAP_READ), 0);
	check_all_counted(&vfio);
	race_close(racers);
	vfio_close(&vfio);
}

static void race_detach(struct racer *racers)
{
	CHECK_EQ(guest_detach(racers[0].guest), 0);
	CHECK_EQ(guest_detach(racers[1].guest), 0);
}

static void race_attach(struct racer *racers)
{
	int i;

	for (i = 0; i < RACE_THREADS; i++)
		CHECK_EQ(guest_attach(racers[i].guest, 0, 0, SIZE,
				      racers[i].shift), 0);
}

/* Lets the threads do some more. */
static void race_go_on(const struct racer *racers, unsigned int calls)
{
	calls += race_calls(racers, RACE_THREADS);
	while (race_calls(racers, RACE_THREADS) < calls)
		usleep(100);
}

static void test_race_remove(void)
{
	struct racer racers[RACE_THREADS];
	unsigned int i, users;
	struct vfio vfio;

	open_windows(&vfio);
	users = state_now().users;
	race_open(racers, SUBPAGES_SHIFT);
	race_begin(racers, RACE_THREADS);
	for (i = 0; i < rounds / 100 ||
	     race_calls(racers, RACE_THREADS) < rounds; i++) {
		race_go_on(racers, i % 64);
		CHECK_EQ(vfio_remove(vfio.container, 0), 0);
		/* Sometimes KVM has a window for longer than VFIO. */
		race_go_on(racers, i % 3 ? 0 : i % 32);
		race_detach(racers);
		create_window(&vfio, 0);
		race_attach(racers);
	}
	race_end(racers, RACE_THREADS, false, i, "TCE_REMOVE");

	race_unmap(&vfio);
	race_detach(racers);
	wait_users(users);
	check_all_counted(&vfio);
	race_close(racers);
	vfio_close(&vfio);
}

static void test_race_close(void)
{
	struct racer racers[RACE_THREADS];
	struct state before;
	struct vfio vfio;
	unsigned int i;

	before = state_now();
	open_windows(&vfio);
	race_open(racers, SUBPAGES_SHIFT);
	race_begin(racers, RACE_THREADS);
	for (i = 0;; i++) {
		race_go_on(racers, i % 64);
		vfio_close(&vfio);
		race_go_on(racers, i % 3 ? 0 : i % 32);
		race_detach(racers);
		wait_users(before.users);
		CHECK_EQ(state_locked(), before.locked);
		if (i >= rounds / 400 &&
		    race_calls(racers, RACE_THREADS) >= rounds)
			break;

		open_windows(&vfio);
		race_attach(racers);
	}
	race_end(racers, RACE_THREADS, true, i + 1, "containers closed");
	race_close(racers);
	CHECK_STATE(&before);
}

/* KVM may look at pages that are unpinned meanwhile; it must not touch them. */
static void test_race_v1(void)
{
	const __u64 size = V1_PAGES * IOMMU_PAGE;
	struct racer racers[RACE_THREADS] = {};
	struct vfio_iommu_spapr_tce_info info;
	unsigned int i;
	struct vfio vfio;
	int container;

	container = vfio_open_container();
	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(vfio_ioctl(container, VFIO_IOMMU_ENABLE, NULL), 0);
	CHECK_EQ(vfio_info(container, &info), 0);
	CHECK_EQ(vfio_map(container, IOVA, region[MEMORY], size, MAP_BOTH), 0);
	CHECK_EQ(vfio_unmap(container, IOVA, size), 0);

	racers[0].shift = PAGE_SHIFT;
	racers[0].pages = V1_PAGES;
	racers[0].unmap_only = true;
	racers[0].guest = guest_open();
	CHECK_EQ(guest_attach(racers[0].guest, 0, info.dma32_window_start,
			      info.dma32_window_size, PAGE_SHIFT), 0);
	race_begin(racers, 1);
	for (i = 0; i < rounds / 8 || race_calls(racers, 1) < rounds; i++) {
		unsigned char *memory = vfio_memory(size);

		CHECK_EQ(vfio_map(container, IOVA, memory, size, MAP_BOTH), 0);
		CHECK_EQ(vfio_unmap(container, IOVA, size), 0);
		munmap(memory, size);
	}
	race_end(racers, 1, true, i, "MAP_DMA and UNMAP_DMA of new pages");
	CHECK_MAPPED(0, 0);
	close(racers[0].guest);
	vfio_close(&vfio);
}

static const struct test {
	const char *name;
	/* Not with the in-tree module. */
	bool ours;
	void (*run)(void);
} tests[] = {
	{ "the device reaches what KVM maps in both windows, with small and large pages",
	  false, test_dma },
	{ "hypercalls are refused outside the window",
	  false, test_parameters },
	{ "memory that is not registered is too hard for KVM, and nothing changes",
	  true, test_not_registered },
	{ "a TCE without permissions in a list leaves nothing counted",
	  true, test_no_permission },
	{ "version 1: mapping and unmapping is too hard for KVM, and nothing changes",
	  true, test_v1 },
	{ "another process's KVM cannot map, even the same addresses",
	  true, test_other_process },
	{ "KVM's reference outlives TCE_REMOVE, and counts are right in that window too",
	  true, test_removed_window },
	{ "what KVM clears without a kill is un-counted, in a removed window too",
	  true, test_clear_removed },
	{ "a page that the device may have written is dirty when KVM unmaps it",
	  false, test_dirty },
	{ "the kill lets go of what KVM unmaps, and its memory can be unregistered",
	  true, test_kill_lets_go },
	{ "UNREGISTER_MEMORY lets go of what KVM has cleared without a kill",
	  true, test_clear_unregister },
	{ "KVM's reference outlives the container, which unmaps what KVM mapped",
	  true, test_closed_container },
	{ "a table that only KVM has maps memory of another container",
	  true, test_closed_other_container },
	{ "what KVM maps in a removed window is given back after the container",
	  true, test_closed_removed },
	{ "a reference that KVM forgets does not keep the levels of a process that ends",
	  true, test_forgotten_exit },
	{ "nor if the process has closed the container before",
	  true, test_forgotten_stay },
}, races[] = {
	{ "race: KVM against KVM, same pages",
	  true, test_race_pages },
	{ "race: KVM against KVM, pages and subpages",
	  true, test_race_subpages },
	{ "race: KVM against MAP_DMA and UNMAP_DMA",
	  true, test_race_map },
	{ "race: two threads of KVM against MAP_DMA and UNMAP_DMA",
	  true, test_race_map_two },
	{ "race: KVM against REGISTER_MEMORY and UNREGISTER_MEMORY",
	  true, test_race_unregister },
	{ "race: KVM against TCE_REMOVE and TCE_CREATE",
	  true, test_race_remove },
	{ "race: KVM against the container being closed",
	  true, test_race_close },
	{ "race: version 1, KVM against MAP_DMA and UNMAP_DMA of new pages",
	  true, test_race_v1 },
};

/* Anything that the kernel complained of, not only a WARN. */
static unsigned long complaints(void)
{
	unsigned long value;
	FILE *file = fopen("/proc/sys/kernel/tainted", "r");

	if (!file || fscanf(file, "%lu", &value) != 1)
		tap_bail("/proc/sys/kernel/tainted cannot be read");
	fclose(file);

	return value;
}

static void run_test(const void *data)
{
	const struct test *test = data;
	unsigned long before;

	new_regions();
	before = complaints();
	test->run();
	CHECK_EQ(complaints(), before);
}

static void add_tests(const struct test *test, size_t count)
{
	for (; count--; test++)
		tap_test_case(test->ours, run_test, test, "%s", test->name);
}

int main(void)
{
	const char *wanted = getenv("ROUNDS");

	if (wanted)
		rounds = strtoul(wanted, NULL, 0);
	state_watch();

	add_tests(tests, ARRAY_SIZE(tests));
	add_count_tests();
	add_tests(races, ARRAY_SIZE(races));

	return tap_main();
}
