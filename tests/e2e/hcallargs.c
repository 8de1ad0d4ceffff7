// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unusual arguments of hypercalls, which KVM (6.12) passes on unchecked:
 * addresses that are 0 or unaligned, ranges beyond the end of the window, lists
 * that change, calls that fail in the middle. The mapped counts must stay
 * right, and the kernel must not complain. Ordinary hypercalls are in kvm.c.
 */

#define _GNU_SOURCE

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"
#include "witness.h"

/* The address of the last pages of the window. */
#define LAST(pages)	(SIZE - (pages) * IOMMU_PAGE)

/* Unused levels are freed after a second. */
#define IDLE_POLLS	100
#define IDLE_US		100000

/* An IOMMU page that is larger than a kernel page. */
#define LARGE_SHIFT	21
#define LARGE_PAGE	BIT_ULL(LARGE_SHIFT)
#define LARGE_PAGES	4

static struct vfio vfio;
static int guest;

static void begin(void)
{
	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);
}

/* Checks that nothing is mapped or counted. */
static void end(void)
{
	CHECK_MAPPED(0, 0);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
}

/*
 * H_PUT_TCE_INDIRECT with a list that is @first when it is checked and @then
 * when it is used.
 */
static long h_change(__u64 iova, const __u64 *first, const __u64 *then,
		     unsigned int npages)
{
	struct tce_kvm_hcall args = {
		.ioba = iova,
		.value = (uintptr_t)first,
		.npages = npages,
		.again = (uintptr_t)then,
	};

	return hcall_args(guest, TCE_KVM_PUT_INDIRECT, &args);
}

static __u64 tce(const unsigned char *page, unsigned int flags)
{
	return htobe64((uintptr_t)page | flags);
}

/* User-space address 0 */

static int map_vfio(__u64 iova, const unsigned char *page)
{
	return vfio_map(vfio.container, iova, page, IOMMU_PAGE, MAP_BOTH);
}

static int unmap_vfio(__u64 iova)
{
	return vfio_unmap(vfio.container, iova, IOMMU_PAGE);
}

/*
 * A page at address 0 is counted like any other; so are other pages in its
 * leaf.
 */
static void check_zero_kvm(void *zero, size_t size)
{
	/* KVM maps and unmaps it, in each way. */
	CHECK_EQ(map_vfio(IOVA, region[OTHER]), 0);
	CHECK_EQ(h_put(guest, IOVA + IOMMU_PAGE, zero, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 2);
	CHECK_EQ(vfio_unregister(vfio.container, zero, size), -EBUSY);
	CHECK_EQ(h_unmap(guest, IOVA + IOMMU_PAGE), TCE_KVM_SUCCESS);
	CHECK_EQ(h_indirect(guest, IOVA + IOMMU_PAGE, zero, PAGE_SHIFT, 1,
			    MAP_READ),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(unmap_vfio(IOVA + IOMMU_PAGE), 0);
	/* It replaces another page, and is replaced by one. */
	CHECK_EQ(h_put(guest, IOVA, zero, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unregister(vfio.container, zero, size), -EBUSY);
	CHECK_EQ(h_put(guest, IOVA, region[OTHER], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA, zero, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(map_vfio(IOVA, region[OTHER]), 0);
	CHECK_MAPPED(0, 1);
	CHECK_EQ(vfio_unregister(vfio.container, zero, size), 0);
	CHECK_EQ(vfio_register(vfio.container, zero, size), 0);

	/* The other page is still counted. */
	CHECK_EQ(vfio_unmap(vfio.container, WITNESS + IOMMU_PAGE, IOMMU_PAGE),
		 0);
	CHECK_EQ(vfio_unregister(vfio.container, region[OTHER], REGION_BYTES),
		 -EBUSY);
	CHECK_EQ(vfio_map(vfio.container, WITNESS + IOMMU_PAGE, region[OTHER],
			  IOMMU_PAGE, MAP_READ), 0);
	CHECK_EQ(unmap_vfio(IOVA), 0);
}

/* It replaces a mapping of MAP_DMA. */
static void check_zero_vfio(void *zero, size_t size)
{
	CHECK_EQ(map_vfio(IOVA, zero), 0);
	CHECK_EQ(vfio_unregister(vfio.container, zero, size), -EBUSY);
	CHECK_EQ(h_put(guest, IOVA, region[OTHER], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unregister(vfio.container, zero, size), 0);
	CHECK_EQ(vfio_register(vfio.container, zero, size), 0);
	CHECK_EQ(h_put(guest, IOVA, zero, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, IOVA, 2), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unregister(vfio.container, zero, size), 0);
}

static void address_zero(void *data)
{
	size_t size = vfio_page_size();
	void *zero;

	(void)data;
	zero = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1,
		    0);
	if (zero == MAP_FAILED)
		tap_bail("no memory at 0: %s", strerror(errno));
	begin();
	CHECK_EQ(vfio_register(vfio.container, zero, size), 0);
	check_zero_kvm(zero, size);
	check_zero_vfio(zero, size);
	end();
}

/* Another process maps address 0: here null pointers must fault. */
static void test_zero(void)
{
	tap_child(address_zero, NULL);
}

/* Ranges beyond the end of the window */

static void test_stuff_end(void)
{
	begin();
	CHECK_EQ(h_stuff(guest, LAST(1), 2), TCE_KVM_SUCCESS);

	CHECK_EQ(h_indirect(guest, LAST(3), region[MEMORY], PAGE_SHIFT, 2,
			    MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(map_vfio(LAST(1), region[OTHER]), 0);
	CHECK_MAPPED(0, 3);
	CHECK_EQ(h_stuff(guest, LAST(3), 4096), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 0);

	/* The first entry must be within the window. */
	CHECK_EQ(h_stuff(guest, SIZE, 1), TCE_KVM_PARAMETER);
	end();
}

/* In the second window the indices of entries are large. */
static void test_stuff_end_second(void)
{
	const __u64 last = WINDOW1_START + LAST(1);

	open_windows(&vfio);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, WINDOW1_START, SIZE, PAGE_SHIFT), 0);
	CHECK_EQ(h_put(guest, last, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, last, 512), TCE_KVM_SUCCESS);
	CHECK_MAPPED(WINDOW1_START, REGIONS);
	end();
}

/* A guest page is several IOMMU pages. */
static void test_stuff_end_subpages(void)
{
	const __u64 last = SIZE - (1 << GUEST_PAGE_SHIFT);

	open_windows(&vfio);
	guest = open_guest(GUEST_PAGE_SHIFT);
	CHECK_EQ(h_put(guest, last, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, last, 3), TCE_KVM_SUCCESS);
	end();
}

/* A table of one level, whose memory ends with the window. */
static void test_stuff_end_level(void)
{
	const __u64 size = 512 * vfio_page_size();
	__u64 start;

	if (vfio_is_guest()) {
		tap_skip("the hypervisor has the table");
		return;
	}

	open_windows(&vfio);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_create(vfio.container, vfio_page_shift(), size, 1,
			     &start),
		 0);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, start, size, vfio_page_shift()), 0);
	CHECK_EQ(h_put(guest, size - vfio_page_size(), region[MEMORY],
		       MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, size - vfio_page_size(), 1024),
		 TCE_KVM_SUCCESS);
	end();
}

/* Entries within the window are mapped, then the call is passed up. */
static void test_list_end(void)
{
	begin();
	CHECK_EQ(h_indirect(guest, LAST(2), region[MEMORY], PAGE_SHIFT, 3,
			    MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_MAPPED(0, 2);
	CHECK_EQ(h_indirect(guest, LAST(1), region[OTHER], PAGE_SHIFT, 3, 0),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_stuff(guest, LAST(2), 2), TCE_KVM_SUCCESS);
	end();
}

/*
 * Unaligned addresses, which only a list can have. They may be rounded down or
 * passed up.
 */

static void check_done(long status)
{
	CHECK(status == TCE_KVM_SUCCESS || status == TCE_KVM_TOO_HARD);
}

static void unaligned(const unsigned char *page, unsigned int flags)
{
	const unsigned int shifts[] = { 2, 3, 7, 11 };
	__u64 list[512] __attribute__((aligned(4096)));
	__u64 then[512];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(shifts); i++) {
		list[i] = tce(region[MEMORY], MAP_BOTH);
		then[i] = tce(page + BIT_ULL(shifts[i]), flags);
	}
	for (i = 0; i < ARRAY_SIZE(shifts); i++)
		check_done(h_change(IOVA + i * IOMMU_PAGE, list, then + i, 1));
}

static void test_unaligned(void)
{
	unsigned char *end_of_region =
		region[OTHER] + REGION_BYTES - IOMMU_PAGE;

	begin();
	/* Replaces nothing, a mapping of KVM, and one of VFIO. */
	unaligned(region[OTHER], MAP_BOTH);
	CHECK_EQ(h_indirect(guest, IOVA, region[MEMORY], PAGE_SHIFT, 4,
			    MAP_BOTH),
		 TCE_KVM_SUCCESS);
	unaligned(region[OTHER], MAP_READ);
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_map(vfio.container, IOVA, region[MEMORY], 4 * IOMMU_PAGE,
			  MAP_BOTH), 0);
	unaligned(region[OTHER], MAP_BOTH);
	unaligned(end_of_region, MAP_BOTH);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, 4 * IOMMU_PAGE), 0);
	end();
}

/* KVM does not check the address of a TCE without permissions. */
static void test_unaligned_nothing(void)
{
	begin();
	CHECK_EQ(h_indirect(guest, IOVA, region[MEMORY], PAGE_SHIFT, 2,
			    MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_map(vfio.container, IOVA + 2 * IOMMU_PAGE, region[MEMORY],
			  2 * IOMMU_PAGE, MAP_BOTH), 0);
	check_done(h_indirect(guest, IOVA, region[OTHER] + 0x800, PAGE_SHIFT, 4,
			      0));
	check_done(h_indirect(guest, IOVA, region[OTHER] + 0x804, PAGE_SHIFT, 4,
			      0));
	CHECK_EQ(h_stuff(guest, IOVA, 2), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, 4 * IOMMU_PAGE), 0);
	end();
}

/* Calls that fail in the middle */

/*
 * A list that changes after the check: memory in the middle is not registered,
 * or the list is not mapped.
 */
static void test_list_changed(void)
{
	unsigned char *unregistered = vfio_memory(vfio_page_size());
	__u64 list[512] __attribute__((aligned(4096)));
	__u64 then[512];
	unsigned int i;

	for (i = 0; i < 4; i++) {
		list[i] = tce(region[MEMORY] + i * IOMMU_PAGE, MAP_BOTH);
		then[i] = list[i];
	}
	then[2] = tce(unregistered, MAP_BOTH);

	begin();
	CHECK_EQ(h_change(IOVA, list, then, 4), TCE_KVM_TOO_HARD);
	CHECK_MAPPED(0, 2);
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_SUCCESS);
	CHECK_MAPPED(0, 0);

	/*
	 * Mappings of KVM and of VFIO that were there are cleared, without a
	 * kill.
	 */
	CHECK_EQ(h_put(guest, IOVA + 2 * IOMMU_PAGE, region[OTHER], MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(h_change(IOVA, list, then, 4), TCE_KVM_TOO_HARD);
	CHECK_MAPPED(0, 2);
	CHECK_EQ(vfio_map(vfio.container, IOVA, region[OTHER], 4 * IOMMU_PAGE,
			  MAP_BOTH),
		 0);
	CHECK_EQ(h_change(IOVA, list, then, 4), TCE_KVM_TOO_HARD);
	CHECK_MAPPED(0, 3);

	/* The list is not mapped, or the address is invalid. */
	CHECK_EQ(h_change(IOVA, list, (void *)BIT_ULL(40), 4),
		 TCE_KVM_TOO_HARD);
	then[2] = htobe64(BIT_ULL(62) | MAP_BOTH);
	CHECK_EQ(h_change(IOVA, list, then, 4), TCE_KVM_PARAMETER);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, 4 * IOMMU_PAGE), 0);
	munmap(unregistered, vfio_page_size());
	end();
}

/*
 * KVM checks only the first IOMMU page of a guest page in advance. Here a later
 * one is not registered.
 */
static void test_half_registered(void)
{
	const __u64 half = REGION_BYTES / 2;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, region[MEMORY], half), 0);
	CHECK_EQ(vfio_register(vfio.container, region[OTHER], REGION_BYTES), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	create_window(&vfio, 0);
	guest = open_guest(REGION_SHIFT);

	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_MAPPED(0, 0);
	/*
	 * With pages of the other region mapped there: some are replaced, and
	 * all cleared.
	 */
	CHECK_EQ(vfio_map(vfio.container, IOVA, region[OTHER], REGION_BYTES,
			  MAP_BOTH),
		 0);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_MAPPED(0, 0);
	CHECK_EQ(h_put(guest, IOVA, region[OTHER], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_indirect(guest, IOVA, region[MEMORY], REGION_SHIFT, 1,
			    MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_MAPPED(0, 0);
	CHECK_EQ(vfio_unregister(vfio.container, region[OTHER], REGION_BYTES),
		 0);
	CHECK_EQ(vfio_unregister(vfio.container, region[MEMORY], half), 0);
	close(guest);
	vfio_close(&vfio);
}

/* Levels */

static void stuff_kvm(void)
{
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_SUCCESS);
}

static void unmap_kvm(void)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		CHECK_EQ(h_unmap(guest, IOVA + i * IOMMU_PAGE),
			 TCE_KVM_SUCCESS);
}

/* Clears the entries without a kill. */
static void clear_kvm(void)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		CHECK_EQ(h_clear(guest, IOVA + i * IOMMU_PAGE),
			 TCE_KVM_SUCCESS);
}

static bool wait_levels_freed(const struct figures *before, __u64 locked)
{
	struct figures now;
	int polls;

	for (polls = 0; polls < IDLE_POLLS; polls++) {
		if (figures_read(0, &now) && now.hw_bytes == before->hw_bytes &&
		    now.user_bytes == before->user_bytes &&
		    state_locked() == locked)
			return true;
		usleep(IDLE_US);
	}
	CHECK_EQ(now.hw_bytes, before->hw_bytes);
	CHECK_EQ(now.user_bytes, before->user_bytes);
	CHECK_EQ(state_locked(), locked);

	return false;
}

/*
 * As client_put(), for a list; MAP_DMA maps other pages, which the list then
 * replaces.
 */
static long indirect(bool passed_up)
{
	unsigned int tries;
	long status = 0;

	for (tries = 0; tries < CLIENT_TRIES; tries++) {
		status = h_indirect(guest, IOVA, region[MEMORY], PAGE_SHIFT, 4,
				    MAP_BOTH);
		if (status != TCE_KVM_TOO_HARD || !passed_up)
			break;
		CHECK_EQ(vfio_map(vfio.container, IOVA, region[OTHER],
				  4 * IOMMU_PAGE, MAP_BOTH), 0);
	}

	return status;
}

/* The levels are freed without another call for the window. */
static void check_levels(bool charged)
{
	void (*const empty[])(void) = { unmap_kvm, stuff_kvm, clear_kvm };
	struct figures before, now;
	__u64 locked;
	size_t i;

	begin();
	CHECK(figures_read(0, &before));
	locked = state_locked();
	for (i = 0; i < ARRAY_SIZE(empty); i++) {
		/* Mappings of VFIO. */
		CHECK_EQ(vfio_map(vfio.container, IOVA, region[MEMORY],
				  4 * IOMMU_PAGE, MAP_BOTH), 0);
		CHECK(figures_read(0, &now));
		CHECK(now.hw_bytes > before.hw_bytes || vfio_is_guest());
		empty[i]();
		CHECK(wait_levels_freed(&before, locked));

		/* Mappings of KVM. */
		CHECK_EQ(indirect(charged), TCE_KVM_SUCCESS);
		empty[i]();
		CHECK(wait_levels_freed(&before, locked));

		/* Mappings of both, of different regions. */
		CHECK_EQ(vfio_map(vfio.container, IOVA, region[MEMORY],
				  2 * IOMMU_PAGE, MAP_BOTH), 0);
		CHECK_EQ(client_put(&vfio, guest, IOVA + IOMMU_PAGE,
				    region[OTHER], charged),
			 TCE_KVM_SUCCESS);
		empty[i]();
		CHECK(wait_levels_freed(&before, locked));
	}
	/* A call that is passed up leaves no levels. */
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY] + 64, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_SUCCESS);
	CHECK(wait_levels_freed(&before, locked));
	end();
}

static void test_levels(void)
{
	check_levels(false);
}

static void test_levels_charged(void)
{
	state_charge_allocated(true);
	check_levels(true);
	state_charge_allocated(false);
}

/*
 * MAP_DMA charges levels. KVM cannot, because it must not wait for mmap_lock. A
 * kernel page may have space for several levels, so levels are allocated until
 * it is full.
 */
static __u64 use_levels(struct figures *before)
{
	__u64 iova;
	long status;

	for (iova = SIZE / 2; iova < SIZE; iova += 512 * IOMMU_PAGE) {
		CHECK(figures_read(0, before));
		status = h_put(guest, iova, region[MEMORY], MAP_BOTH);
		if (status == TCE_KVM_TOO_HARD)
			return iova;
		CHECK_EQ(status, TCE_KVM_SUCCESS);
	}
	CHECK(!"KVM never lacks a level");

	return SIZE / 2;
}

static void test_levels_missing(void)
{
	struct figures before;
	__u64 locked, none;

	state_charge_allocated(true);
	begin();
	none = use_levels(&before);
	locked = state_locked();
	CHECK_EQ(h_indirect(guest, none, region[MEMORY], PAGE_SHIFT, 3,
			    MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_unmap(guest, none), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, none, 3), TCE_KVM_SUCCESS);
	CHECK(wait_levels_freed(&before, locked));
	CHECK_EQ(map_vfio(none, region[MEMORY]), 0);
	CHECK_EQ(client_put(&vfio, guest, none + IOMMU_PAGE, region[MEMORY],
			    true),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, none, 2), TCE_KVM_SUCCESS);
	CHECK(wait_levels_freed(&before, locked));
	CHECK_EQ(vfio_unmap(vfio.container, 0, SIZE), 0);
	state_charge_allocated(false);
	end();
}

/* IOMMU pages larger than a kernel page are mapped by user space. */

static void check_large(const unsigned char *memory, __u64 start, bool mapped)
{
	CHECK_EQ(h_put(guest, start + LARGE_PAGE, memory, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_indirect(guest, start + LARGE_PAGE, memory, LARGE_SHIFT, 2,
			    MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	/* Unmapping is not passed up. */
	CHECK_EQ(h_unmap(guest, start + 2 * LARGE_PAGE), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, start + 2 * LARGE_PAGE, 2), TCE_KVM_SUCCESS);
	CHECK_MAPPED(start, mapped);
	CHECK_EQ(h_unmap(guest, start), TCE_KVM_SUCCESS);
	CHECK_MAPPED(start, 0);
}

static void test_large(void)
{
	const __u64 size = LARGE_PAGES * LARGE_PAGE;
	unsigned char *whole, *memory;
	struct state before;
	bool huge;
	__u64 start;

	whole = mmap(NULL, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_HUGETLB |
		     LARGE_SHIFT << MAP_HUGE_SHIFT, -1, 0);
	huge = whole != MAP_FAILED;
	if (!huge) {
		tap_diag("no huge pages, nothing is mapped");
		whole = vfio_memory(size + LARGE_PAGE);
	}
	memory = whole + (-(uintptr_t)whole & (LARGE_PAGE - 1));

	vfio_open(&vfio);
	if (!(vfio_limits()->ddw.pgsizes & LARGE_PAGE)) {
		vfio_close(&vfio);
		tap_skip("the platform does not have such pages");
		return;
	}
	CHECK_EQ(vfio_register(vfio.container, memory, size), 0);
	CHECK_EQ(vfio_create(vfio.container, LARGE_SHIFT, BIT_ULL(32), 1,
			     &start),
		 0);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, start, BIT_ULL(32), LARGE_SHIFT), 0);
	before = state_now();
	if (huge)
		CHECK_EQ(vfio_map(vfio.container, start, memory, LARGE_PAGE,
				  MAP_BOTH),
			 0);
	check_large(memory, start, huge);
	if (huge) {
		CHECK_EQ(vfio_map(vfio.container, start, memory, LARGE_PAGE,
				  MAP_BOTH),
			 0);
		CHECK_EQ(h_put(guest, start, memory, MAP_BOTH),
			 TCE_KVM_TOO_HARD);
		/* KVM clears an entry that it could not set. */
		CHECK_MAPPED(start, 0);
	} else {
		CHECK_STATE(&before);
	}
	CHECK_EQ(vfio_unregister(vfio.container, memory, size), 0);
	close(guest);
	vfio_close(&vfio);
	munmap(whole, huge ? size : size + LARGE_PAGE);
}

static const struct test tests[] = {
	{ "memory at address 0 is counted like any other", true, test_zero },
	{ "H_STUFF_TCE clears up to the end of the window", true,
	  test_stuff_end },
	{ "H_STUFF_TCE clears up to the end of the second window", true,
	  test_stuff_end_second },
	{ "H_STUFF_TCE clears up to the end with large guest pages", true,
	  test_stuff_end_subpages },
	{ "H_STUFF_TCE clears up to the end of a table of one level", true,
	  test_stuff_end_level },
	{ "H_PUT_TCE_INDIRECT is passed up at the end of the window", true,
	  test_list_end },
	{ "unaligned addresses in a list are counted right", true,
	  test_unaligned },
	{ "unaligned addresses without permissions are counted right",
	  true, test_unaligned_nothing },
	{ "a list that changes after the check is counted right", true,
	  test_list_changed },
	{ "half registered pages are not counted: calls are passed up", true,
	  test_half_registered },
	{ "levels that KVM empties are freed without another call", true,
	  test_levels },
	{ "levels that KVM empties are uncharged with charge_allocated", true,
	  test_levels_charged },
	{ "with charge_allocated a call that needs a level is passed up",
	  true, test_levels_missing },
	{ "hypercalls that map pages larger than kernel pages are passed up",
	  true, test_large },
};

int main(void)
{
	state_watch();
	add_tests(tests, ARRAY_SIZE(tests));

	return tap_main();
}
