// SPDX-License-Identifier: GPL-2.0-only
/*
 * charge_allocated, a parameter of the module: locked_vm is charged for the
 * allocated levels instead of for a whole table. In a guest the platform's
 * view is charged, too, while it exists: during TCE_CREATE.
 */

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/*
 * A window of 512 leaves with 512 entries each. In a guest user space asks for
 * one level, but the shadow has several.
 */
#define PAGE_SHIFT	12
#define IOMMU_PAGE	BIT_ULL(PAGE_SHIFT)
#define SIZE		BIT_ULL(30)
#define LEAVES		512
#define LEAF_BYTES	(SIZE / LEAVES)
#define LEVELS		(vfio_is_guest() ? 1 : 3)

/* Unused levels are freed after a second. */
#define UNUSED_TRIES	10
#define POLLS		500
#define POLL_US		10000

static struct vfio vfio;
static unsigned char *memory;
static size_t page;
static __u64 window;
/* locked_vm before the window was created. */
static __u64 before;

static int create(void)
{
	return vfio_create(vfio.container, PAGE_SHIFT, SIZE, LEVELS, &window);
}

static int map(__u64 offset)
{
	return vfio_map(vfio.container, window + offset, memory, IOMMU_PAGE,
			MAP_BOTH);
}

static void open_registered(void)
{
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	before = state_locked();
}

/* Kernel pages that the levels of the window use. */
static __u64 table_pages(void)
{
	struct figures figures;

	if (!figures_read(window, &figures))
		return 0;

	return figures.page_bytes / page;
}

/* Kernel pages of the platform's view, which is a word for each entry. */
static __u64 view_pages(void)
{
	return vfio_is_guest() ?
	       SIZE / IOMMU_PAGE * sizeof(__u64) / page : 0;
}

static bool is_charged(__u64 pages)
{
	return table_pages() == pages &&
	       state_locked() == before + pages;
}

/* The charge equals the allocated levels, once the work item has run. */
static void check_charged(__u64 pages)
{
	int polls;

	for (polls = 0; polls < POLLS && !is_charged(pages); polls++)
		usleep(POLL_US);
	CHECK_EQ(table_pages(), pages);
	CHECK_EQ(state_locked(), before + pages);
}

/* Opens a container with a window of which only allocated levels are charged */
static void open_charged(void)
{
	state_charge_allocated(true);
	open_registered();
	CHECK_EQ(create(), 0);
}

static void map_leaves(void)
{
	unsigned int i;

	for (i = 0; i < 64; i++)
		CHECK_EQ(map(i * LEAF_BYTES), 0);
}

static void test_charged(void)
{
	__u64 first, more;

	open_charged();
	first = table_pages();
	CHECK(first > 0 && first < LEAVES);
	check_charged(first);

	map_leaves();
	more = table_pages();
	CHECK(more > first);
	CHECK_EQ(state_locked(), before + more);

	CHECK_EQ(vfio_unmap(vfio.container, window, SIZE), 0);
	check_charged(first);
	CHECK_EQ(vfio_remove(vfio.container, window), 0);
	check_charged(0);
	vfio_close(&vfio);
}

static void test_closed(void)
{
	open_charged();
	map_leaves();
	/* Everything is still mapped. */
	vfio_close(&vfio);
}

/* A level beyond the limit is refused, and the call changes nothing. */
static void test_limit(void)
{
	struct state full;
	unsigned int i;
	int ret = 0;

	open_charged();
	state_limit(2);
	for (i = 0; i < LEAVES && !ret; i++)
		ret = map(i * LEAF_BYTES);
	CHECK_EQ(ret, -ENOMEM);
	CHECK_MAPPED(window, i - 1);
	CHECK_EQ(state_locked(), before + table_pages());

	full = state_now();
	CHECK_EQ(map((LEAVES - 1) * LEAF_BYTES), -ENOMEM);
	CHECK_EQ(vfio_map(vfio.container, window + (i - 2) * LEAF_BYTES, memory,
			  page, MAP_BOTH), 0);
	CHECK_EQ(vfio_unmap(vfio.container, window + (i - 2) * LEAF_BYTES,
			    page),
		 0);
	CHECK_EQ(map((i - 2) * LEAF_BYTES), 0);
	CHECK_STATE(&full);
	state_unlimit();
	CHECK_EQ(map((LEAVES - 1) * LEAF_BYTES), 0);
	vfio_close(&vfio);
}

/* Pages are pinned again for each attempt, which must end. */
static void test_limit_v1(void)
{
	struct vfio_iommu_spapr_tce_info info;
	__u64 offset;
	int ret = 0;

	state_charge_allocated(true);
	CHECK_EQ(vfio_attach(&vfio, vfio_open_container(), 0), 0);
	CHECK_EQ(vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_ENABLE, NULL), 0);
	CHECK_EQ(vfio_info(vfio.container, &info), 0);
	window = info.dma32_window_start;
	/* This creates the window. */
	CHECK_EQ(map(0), 0);
	state_limit(0);
	for (offset = 0; offset < info.dma32_window_size && !ret;
	     offset += LEAF_BYTES)
		ret = map(offset);
	CHECK_EQ(ret, -ENOMEM);
	state_unlimit();
	CHECK_EQ(map(info.dma32_window_size - IOMMU_PAGE), 0);
	vfio_close(&vfio);
}

/*
 * At the limit, with levels that are charged and no longer in use. Returns
 * their number of pages.
 */
static __u64 leave_unused(void)
{
	__u64 first, unused = 0;
	unsigned int tries;

	/* They are freed if this takes a second. */
	for (tries = 0; !unused && tries < UNUSED_TRIES; tries++) {
		state_unlimit();
		first = table_pages();
		map_leaves();
		state_limit(0);
		CHECK_EQ(vfio_unmap(vfio.container, window, SIZE), 0);
		unused = table_pages() - first;
	}
	if (!unused)
		tap_bail("no level is unused");

	return unused;
}

/* A command that exceeds the limit frees such levels, and succeeds. */
static void test_unused(void)
{
	unsigned char *other;
	__u64 unused, start;
	unsigned int i;

	open_charged();
	unused = leave_unused();
	other = vfio_memory(unused * page);
	CHECK_EQ(vfio_register(vfio.container, other, unused * page), 0);
	CHECK_EQ(state_locked(), before + table_pages() + unused);
	if (!vfio_is_guest()) {
		/* Its first level takes no more. */
		leave_unused();
		CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, SIZE, LEVELS,
				     &start), 0);
		leave_unused();
		/* More than fit into the kernel page of its first level. */
		for (i = 0; i < 32; i++)
			CHECK_EQ(vfio_map(vfio.container,
					  start + i * LEAF_BYTES, memory,
					  IOMMU_PAGE, MAP_BOTH), 0);
	}
	state_unlimit();
	vfio_close(&vfio);
}

static void test_no_window(void)
{
	struct state none;
	__u64 first;

	state_charge_allocated(true);
	open_registered();
	none = state_now();
	state_limit(view_pages());
	CHECK_EQ(create(), -ENOMEM);
	CHECK_STATE(&none);
	state_unlimit();
	CHECK_EQ(create(), 0);
	first = table_pages();
	CHECK_EQ(vfio_remove(vfio.container, window), 0);
	check_charged(0);
	/* Just enough, also while the platform's view exists. */
	state_limit(view_pages() + first);
	CHECK_EQ(create(), 0);
	state_unlimit();
	vfio_close(&vfio);
}

/* The parameter does not affect windows that exist. */
static void test_switch(void)
{
	__u64 whole;

	state_charge_allocated(false);
	open_registered();
	CHECK_EQ(create(), 0);
	whole = state_locked() - before;
	CHECK(whole > table_pages());
	if (vfio_is_guest())
		CHECK_EQ(whole, view_pages());
	state_charge_allocated(true);
	CHECK_EQ(map(0), 0);
	CHECK_EQ(state_locked(), before + whole);
	CHECK_EQ(vfio_remove(vfio.container, window), 0);
	CHECK_EQ(state_locked(), before);

	CHECK_EQ(create(), 0);
	state_charge_allocated(false);
	CHECK_EQ(map(0), 0);
	check_charged(table_pages());
	CHECK_EQ(vfio_remove(vfio.container, window), 0);
	check_charged(0);
	vfio_close(&vfio);
}

/* Opens a guest with a window that is charged for the levels it has. */
static int open_guest(void)
{
	int guest;

	open_charged();
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, window, SIZE, PAGE_SHIFT), 0);

	return guest;
}

/*
 * Maps a page in each leaf from @leaf, until a hypercall is passed up. Returns
 * the leaf of that hypercall.
 */
static unsigned int put_leaves(int guest, unsigned int leaf)
{
	long status = TCE_KVM_SUCCESS;

	for (; leaf < LEAVES; leaf++) {
		status = h_put(guest, window + leaf * LEAF_BYTES, memory,
			       MAP_BOTH);
		if (status != TCE_KVM_SUCCESS)
			break;
	}
	CHECK_EQ(status, TCE_KVM_TOO_HARD);
	CHECK(leaf < LEAVES);

	return leaf;
}

/*
 * A hypercall cannot charge, because that may sleep. If a level is missing, and
 * the kernel pages that are charged have no space for it, the hypercall is
 * passed up, and MAP_DMA allocates the level.
 */
static void test_kvm(void)
{
	int guest = open_guest();
	unsigned int leaf;

	leaf = put_leaves(guest, 0);
	CHECK_MAPPED(window, leaf);
	CHECK_EQ(state_locked(), before + table_pages());

	CHECK_EQ(map(leaf * LEAF_BYTES), 0);
	CHECK_EQ(h_unmap(guest, window + leaf * LEAF_BYTES), TCE_KVM_SUCCESS);
	CHECK_MAPPED(window, leaf);
	close(guest);
	vfio_close(&vfio);
}

/* MAP_DMA in the leaf of a hypercall that was passed up leaves credit. */
static void test_credit(void)
{
	unsigned char *other = vfio_memory(2 * page);
	int guest = open_guest();
	unsigned int leaf;

	CHECK_EQ(vfio_register(vfio.container, other, 2 * page), 0);
	leaf = put_leaves(guest, 0);
	CHECK_EQ(map(leaf * LEAF_BYTES), 0);
	CHECK_EQ(vfio_unregister(vfio.container, other, 2 * page), 0);
	CHECK_EQ(state_locked(), before + table_pages());

	/* A leaf takes one or two kernel pages, the credit the others. */
	state_limit(4);
	leaf = put_leaves(guest, leaf + 1);
	CHECK_EQ(map(leaf * LEAF_BYTES), 0);
	CHECK_EQ(vfio_register(vfio.container, other, 2 * page), 0);
	state_unlimit();
	close(guest);
	vfio_close(&vfio);
}

int main(void)
{
	int ret;

	page = vfio_page_size();
	memory = vfio_memory(page);
	state_watch();

	tap_test_ours("a table is charged for the levels that are allocated",
		      test_charged);
	tap_test_ours("closing a container uncharges all levels",
		      test_closed);
	tap_test_ours("MAP_DMA respects RLIMIT_MEMLOCK for levels",
		      test_limit);
	tap_test_ours("MAP_DMA of version 1 respects it, too", test_limit_v1);
	tap_test_ours("commands at the limit free unused levels", test_unused);
	tap_test_ours("TCE_CREATE respects the limit", test_no_window);
	tap_test_ours("charge_allocated applies to windows created later",
		      test_switch);
	tap_test_ours("a hypercall that needs a new level is passed up",
		      test_kvm);
	tap_test_ours("REGISTER and UNREGISTER_MEMORY settle the credit",
		      test_credit);

	ret = tap_main();
	if (!tap_intree())
		state_charge_allocated(false);

	return ret;
}
