// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows that go while KVM has them: TCE_REMOVE, the end of a container, the
 * end of a process. What a window takes goes at once, its memory, its charge,
 * its pages and its directory in debugfs. What KVM's reference keeps is the
 * struct iommu_table, and the module. Hypercalls that come later are handed up
 * if they map, and do nothing else.
 */

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"
#include "witness.h"

/* Windows, one after the other, of which KVM has all. */
#define MANY		8
/* A leaf of three levels. */
#define LEAF_BYTES	(512 * IOMMU_PAGE)

/*
 * What is left of a window: each of KVM's calls, and nothing that could be seen
 * of it.
 */
static void check_gone(int guest, __u64 iova, const struct state *want)
{
	unsigned char *memory = region[MEMORY];

	CHECK_EQ(h_unput(guest, iova), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, iova, 16), TCE_KVM_SUCCESS);
	CHECK_EQ(h_clear(guest, iova), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, iova, memory, MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_indirect(guest, iova, memory, SUBPAGES_SHIFT, 2, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_indirect(guest, iova, memory, SUBPAGES_SHIFT, 2, 0),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_unput(guest, iova), TCE_KVM_SUCCESS);
	CHECK_STATE(want);
}

/* A window with a page that a guest has mapped. Returns the guest. */
static int open_mapped(struct vfio *vfio)
{
	int guest;

	open_windows(vfio);
	guest = open_guest(SUBPAGES_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);

	return guest;
}

/*
 * A container of another group, in which the memory is registered, if there is
 * one.
 */
static bool open_second(struct vfio *second, struct state *registered)
{
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return false;
	}

	vfio_open_device(second, 1);
	register_regions(second);
	*registered = state_now();

	return true;
}

/* What is left when KVM still has a table. */
static struct state with_table(struct state state)
{
	state.users++;

	return state;
}

static void test_removed_window(void)
{
	struct state without, with, gone;
	struct vfio vfio;
	int guest;

	if (vfio_is_guest()) {
		tap_skip("no window is made at 0 beside another; see pskvm");
		return;
	}

	open_windows(&vfio);
	with = state_now();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	without = state_now();
	create_window(&vfio, 0);
	CHECK_STATE(&with);

	guest = open_guest(SUBPAGES_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA + (1 << SUBPAGES_SHIFT), region[OTHER], MAP_READ),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);

	/* Nothing of it waits for KVM but the module. */
	gone = state_now();
	CHECK_EQ(gone.windows, without.windows);
	CHECK_EQ(gone.locked, without.locked);
	CHECK_EQ(gone.figures[0].levels, 0);
	without.users = with.users;
	check_gone(guest, IOVA, &without);

	/* A new window in the same place has nothing to do with it. */
	create_window(&vfio, 0);
	with.users++;
	check_gone(guest, IOVA, &with);
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, SUBPAGES_SHIFT), -EBUSY);

	CHECK_EQ(guest_detach(guest), 0);
	with.users--;
	CHECK_STATE(&with);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
}

/* What KVM clears without a kill before the window goes. */
static void test_cleared_removed(void)
{
	struct vfio vfio;
	int guest;

	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_map(vfio.container, IOVA + IOMMU_PAGE, region[OTHER],
			  IOMMU_PAGE, MAP_BOTH), 0);
	CHECK_EQ(h_clear(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_EQ(h_clear(guest, IOVA + IOMMU_PAGE), TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
}

static void test_closed_container(void)
{
	struct state before, closed;
	struct vfio vfio;
	int guest;

	before = state_now();
	guest = open_mapped(&vfio);
	CHECK_EQ(h_put(guest, IOVA + (1 << SUBPAGES_SHIFT), region[OTHER],
		       MAP_READ), TCE_KVM_SUCCESS);
	vfio_close(&vfio);

	closed = with_table(before);
	CHECK_EQ(state_now().windows, closed.windows);
	CHECK_EQ(state_locked(), closed.locked);
	check_gone(guest, IOVA, &closed);

	CHECK_EQ(guest_detach(guest), 0);
	CHECK_STATE(&before);
	close(guest);
}

/* The last group of a container leaves, and the container stays. */
static void test_detached_group(void)
{
	struct state before, detached;
	struct vfio vfio;
	int guest;

	before = state_now();
	guest = open_mapped(&vfio);
	vfio_detach(&vfio);

	detached = with_table(before);
	check_gone(guest, IOVA, &detached);
	vfio_close(&vfio);
	check_gone(guest, IOVA, &detached);
	close(guest);
	CHECK_STATE(&before);
}

/*
 * The memory of a process is its containers' together: it is registered, and
 * still nothing can be mapped with a window that is gone.
 */
static void test_closed_registered(void)
{
	struct state registered, closed;
	struct vfio vfio, second;
	int guest;

	if (!open_second(&second, &registered))
		return;
	guest = open_mapped(&vfio);
	vfio_close(&vfio);

	closed = with_table(registered);
	check_gone(guest, IOVA, &closed);
	/* What it had mapped is not counted, nor is what it could not map. */
	CHECK_EQ(vfio_unregister(second.container, region[MEMORY], REGION_BYTES), 0);
	CHECK_EQ(vfio_unregister(second.container, region[OTHER], REGION_BYTES), 0);
	CHECK_EQ(vfio_register(second.container, region[MEMORY], REGION_BYTES), 0);
	CHECK_EQ(vfio_register(second.container, region[OTHER], REGION_BYTES), 0);
	close(guest);
	CHECK_STATE(&registered);
	vfio_close(&second);
}

/* Both, and in that order. */
static void test_removed_closed(void)
{
	struct state before, closed;
	struct vfio vfio;
	int guest;

	before = state_now();
	guest = open_mapped(&vfio);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	vfio_close(&vfio);

	closed = with_table(before);
	check_gone(guest, IOVA, &closed);
	close(guest);
	CHECK_STATE(&before);
}

/*
 * A process that collects windows in guests, each with levels: it pays for all
 * that it has, and has no more than one at a time.
 */
static void collect(bool charged)
{
	int guest[MANY];
	struct state before, gone;
	struct vfio vfio;
	unsigned int i;

	vfio_open(&vfio);
	register_regions(&vfio);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	before = state_now();
	for (i = 0; i < MANY; i++) {
		__u64 iova;

		create_window(&vfio, 0);
		guest[i] = open_guest(PAGE_SHIFT);
		for (iova = 0; iova < SIZE; iova += 8 * LEAF_BYTES) {
			CHECK_EQ(client_put(&vfio, guest[i], iova, region[MEMORY],
					    charged), TCE_KVM_SUCCESS);
		}
		CHECK(state_locked() > before.locked);
		CHECK_EQ(vfio_remove(vfio.container, 0), 0);
		CHECK_EQ(state_locked(), before.locked);
		CHECK_EQ(state_now().windows, before.windows);
	}
	gone = before;
	gone.users += MANY;
	CHECK_STATE(&gone);
	while (i--)
		close(guest[i]);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unregister(vfio.container, region[MEMORY], REGION_BYTES), 0);
	vfio_close(&vfio);
}

static void test_collected(void)
{
	collect(false);
}

static void test_collected_allocated(void)
{
	state_charge_allocated(true);
	collect(true);
	state_charge_allocated(false);
}

/* Version 1 has operations of its own for KVM. */
static void test_v1(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct state before, closed;
	struct vfio v1, v2;
	int container, guest;
	__u64 iova;

	if (!open_second(&v2, &before))
		return;

	container = vfio_open_container();
	CHECK_EQ(vfio_attach(&v1, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(vfio_ioctl(container, VFIO_IOMMU_ENABLE, NULL), 0);
	CHECK_EQ(vfio_info(container, &info), 0);
	iova = info.dma32_window_start + IOVA;
	CHECK_EQ(vfio_map(container, iova, region[MEMORY], vfio_page_size(), MAP_BOTH),
		 0);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, info.dma32_window_start,
			      info.dma32_window_size, PAGE_SHIFT), 0);
	CHECK_EQ(h_unput(guest, iova), TCE_KVM_TOO_HARD);
	vfio_close(&v1);

	closed = with_table(before);
	CHECK_EQ(h_unput(guest, iova), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, iova, 16), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, iova, region[MEMORY], MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_STATE(&closed);
	close(guest);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unregister(v2.container, region[MEMORY], REGION_BYTES), 0);
	vfio_close(&v2);
}

/* Processes, and references that KVM forgets */

static void forget_and_exit(void *data)
{
	struct vfio vfio;
	int guest;

	(void)data;
	guest = open_mapped(&vfio);
	CHECK_EQ(guest_forget(guest), 0);
}

/* The container is closed while the process goes on. */
static void forget_and_stay(void *data)
{
	unsigned int windows = state_now().windows;
	__u64 locked = state_locked();
	struct vfio vfio;
	int guest;

	(void)data;
	guest = open_mapped(&vfio);
	CHECK_EQ(guest_forget(guest), 0);
	vfio_close(&vfio);
	CHECK_EQ(guest_detach(guest), 0);
	CHECK_EQ(state_now().windows, windows);
	CHECK_EQ(state_locked(), locked);
}

/* The module stays for the reference, and nothing else. */
static void check_forgotten(void (*forget)(void *data))
{
	struct state before = state_now(), after = before;
	int guest;

	tap_child(forget, NULL);
	after.users++;
	CHECK_STATE(&after);

	guest = guest_open();
	CHECK_EQ(guest_recall(guest), 0);
	close(guest);
	CHECK_STATE(&before);
}

static void test_forgotten_exit(void)
{
	check_forgotten(forget_and_exit);
}

static void test_forgotten_stay(void)
{
	check_forgotten(forget_and_stay);
}

/*
 * Another process, that was given the guest's file: it may be the last to use
 * it.
 */

static void use_inherited(void *data)
{
	int guest = *(int *)data;

	CHECK_EQ(h_put(guest, IOVA, region[OTHER], MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_unput(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, IOVA, 4), TCE_KVM_SUCCESS);
}

static void test_inherited(void)
{
	struct state before, closed;
	struct vfio vfio;
	int guest;

	before = state_now();
	guest = open_mapped(&vfio);
	tap_child(use_inherited, &guest);
	CHECK_MAPPED(0, SUBPAGES);
	vfio_close(&vfio);
	tap_child(use_inherited, &guest);
	closed = with_table(before);
	CHECK_STATE(&closed);
	close(guest);
	CHECK_STATE(&before);
}

static const struct test tests[] = {
	{ "TCE_REMOVE takes all of a window that KVM has, and hypercalls do nothing",
	  true, test_removed_window },
	{ "what KVM has cleared without a kill goes with the window",
	  true, test_cleared_removed },
	{ "the end of a container takes all of a window that KVM has",
	  true, test_closed_container },
	{ "so does the last group that leaves it",
	  true, test_detached_group },
	{ "a window of a closed container maps nothing, though the memory is registered elsewhere",
	  true, test_closed_registered },
	{ "a window that was removed before the container was closed",
	  true, test_removed_closed },
	{ "windows that only KVM has take no memory, charge or figures",
	  true, test_collected },
	{ "nor do they with charge_allocated",
	  true, test_collected_allocated },
	{ "version 1: a window of a closed container is empty to KVM",
	  true, test_v1 },
	{ "a reference that KVM forgets keeps nothing of a process that ends",
	  true, test_forgotten_exit },
	{ "nor of a process that has closed its container",
	  true, test_forgotten_stay },
	{ "another process with the guest's file can map nothing, before and after the end",
	  true, test_inherited },
};

int main(void)
{
	state_watch();
	add_tests(tests, ARRAY_SIZE(tests));

	return tap_main();
}
