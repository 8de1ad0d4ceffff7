// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows that are removed while KVM has them: TCE_REMOVE, close of the
 * container, exit of the process. The memory of a window, its charge, its pages
 * and its debugfs directory are released at once. KVM's reference keeps
 * the struct iommu_table and the module. Later hypercalls that map are passed
 * up, others do nothing.
 */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#include "file.h"
#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"
#include "witness.h"

/* Windows that KVM has, created one after the other. */
#define MANY		8
/* Rounds of TCE_REMOVE against attaching. */
#define ATTACH_ROUNDS	300
/* How long KVM is delayed while it attaches a group. */
#define ATTACH_MS	"/sys/module/tce_kvm_test/parameters/attach_ms"
/* What a leaf of a table of three levels maps. */
#define LEAF_BYTES	(512 * IOMMU_PAGE)

/* Makes each hypercall on a removed window, and checks that nothing changes. */
static void check_gone(int guest, __u64 iova, const struct state *want)
{
	unsigned char *memory = region[MEMORY];

	CHECK_EQ(h_unmap(guest, iova), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, iova, 16), TCE_KVM_SUCCESS);
	CHECK_EQ(h_clear(guest, iova), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, iova, memory, MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_indirect(guest, iova, memory, GUEST_PAGE_SHIFT, 2, MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_indirect(guest, iova, memory, GUEST_PAGE_SHIFT, 2, 0),
		 TCE_KVM_TOO_HARD);
	CHECK_EQ(h_unmap(guest, iova), TCE_KVM_SUCCESS);
	CHECK_STATE(want);
}

/* Opens a window in which a guest has mapped a page. Returns the guest. */
static int open_mapped(struct vfio *vfio)
{
	int guest;

	open_windows(vfio);
	guest = open_guest(GUEST_PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);

	return guest;
}

/*
 * Opens a container of another group, if there is one, and registers the memory
 * in it.
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

/* The state while KVM still has a table. */
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
		tap_skip("a guest has no second window at 0, see pskvm");
		return;
	}

	open_windows(&vfio);
	with = state_now();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	without = state_now();
	create_window(&vfio, 0);
	CHECK_STATE(&with);

	guest = open_guest(GUEST_PAGE_SHIFT);
	CHECK_EQ(h_put(guest, IOVA, region[MEMORY], MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, IOVA + (1 << GUEST_PAGE_SHIFT), region[OTHER],
		       MAP_READ),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);

	/* What KVM keeps shows only in the module's refcount. */
	gone = state_now();
	CHECK_EQ(gone.windows, without.windows);
	CHECK_EQ(gone.locked, without.locked);
	CHECK_EQ(gone.figures[0].levels, 0);
	without.users = with.users;
	check_gone(guest, IOVA, &without);

	/* A new window at the same address is independent of it. */
	create_window(&vfio, 0);
	with.users++;
	check_gone(guest, IOVA, &with);
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, GUEST_PAGE_SHIFT), -EBUSY);

	CHECK_EQ(guest_detach(guest), 0);
	with.users--;
	CHECK_STATE(&with);
	check_all_counted(&vfio);
	close(guest);
	vfio_close(&vfio);
}

/* KVM has cleared entries without a kill before the window is removed. */
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
	CHECK_EQ(h_put(guest, IOVA + (1 << GUEST_PAGE_SHIFT), region[OTHER],
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

/* The last group is detached, and the container stays open. */
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
 * Containers of a process share registrations: the memory is still registered,
 * but a removed window maps nothing.
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
	/*
	 * Neither pages that it had mapped are counted, nor those that it could
	 * not map.
	 */
	CHECK_EQ(vfio_unregister(second.container, region[MEMORY],
				 REGION_BYTES),
		 0);
	CHECK_EQ(vfio_unregister(second.container, region[OTHER], REGION_BYTES),
		 0);
	CHECK_EQ(vfio_register(second.container, region[MEMORY], REGION_BYTES),
		 0);
	CHECK_EQ(vfio_register(second.container, region[OTHER], REGION_BYTES),
		 0);
	close(guest);
	CHECK_STATE(&registered);
	vfio_close(&second);
}

/* TCE_REMOVE, and close of the container. */
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
 * A process gives windows, each with levels, to guests and removes them: it is
 * charged for at most one at a time.
 */
static void remove_many(bool charged)
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
			CHECK_EQ(client_put(&vfio, guest[i], iova,
					    region[MEMORY], charged),
				 TCE_KVM_SUCCESS);
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
	CHECK_EQ(vfio_unregister(vfio.container, region[MEMORY], REGION_BYTES),
		 0);
	vfio_close(&vfio);
}

static void test_removed_many(void)
{
	remove_many(false);
}

static void test_removed_many_allocated(void)
{
	state_charge_allocated(true);
	remove_many(true);
	state_charge_allocated(false);
}

/* Version 1 has callbacks of its own for KVM. */
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
	CHECK_EQ(vfio_map(container, iova, region[MEMORY], vfio_page_size(),
			  MAP_BOTH),
		 0);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, info.dma32_window_start,
			      info.dma32_window_size, PAGE_SHIFT), 0);
	CHECK_EQ(h_unmap(guest, iova), TCE_KVM_TOO_HARD);
	vfio_close(&v1);

	closed = with_table(before);
	CHECK_EQ(h_unmap(guest, iova), TCE_KVM_SUCCESS);
	CHECK_EQ(h_stuff(guest, iova, 16), TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, iova, region[MEMORY], MAP_BOTH),
		 TCE_KVM_TOO_HARD);
	CHECK_STATE(&closed);
	close(guest);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_unregister(v2.container, region[MEMORY], REGION_BYTES),
		 0);
	vfio_close(&v2);
}

/* Processes, and references that KVM leaks */

static void forget_and_exit(void *data)
{
	struct vfio vfio;
	int guest;

	(void)data;
	guest = open_mapped(&vfio);
	CHECK_EQ(guest_forget(guest), 0);
}

/* The container is closed before the process exits. */
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

/* What the reference keeps shows only in the module's refcount. */
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
 * Another process has inherited the guest's file, and may be the last to use
 * it.
 */

static void use_inherited(void *data)
{
	int guest = *(int *)data;

	CHECK_EQ(h_put(guest, IOVA, region[OTHER], MAP_BOTH), TCE_KVM_TOO_HARD);
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
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

/* Attaches the group, whenever it has a window, while *@data is true. */
static void *attach_while(void *data)
{
	bool *attaching = data;
	int guest = guest_open();

	while (__atomic_load_n(attaching, __ATOMIC_ACQUIRE))
		if (!guest_attach(guest, 0, 0, SIZE, PAGE_SHIFT))
			guest_detach(guest);
	close(guest);

	return NULL;
}

/* KVM finds the table of a window that no hypercall has used yet. */
static void test_attached_removed(void)
{
	bool attaching = true;
	struct state before;
	pthread_t thread;
	struct vfio vfio;
	unsigned int i;

	if (vfio_is_guest()) {
		tap_skip("a guest has no second window at 0, see pskvm");
		return;
	}

	vfio_open(&vfio);
	register_regions(&vfio);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	before = state_now();
	write_file(ATTACH_MS, "5");
	if (pthread_create(&thread, NULL, attach_while, &attaching))
		tap_bail("pthread_create");
	for (i = 0; i < ATTACH_ROUNDS; i++) {
		create_window(&vfio, 0);
		usleep(3000 + i * 37 % 3000);
		CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	}
	__atomic_store_n(&attaching, false, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	write_file(ATTACH_MS, "0");
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static const struct test tests[] = {
	{ "TCE_REMOVE frees a window that KVM has",
	  true, test_removed_window },
	{ "TCE_REMOVE uncounts pages that KVM cleared without a kill",
	  true, test_cleared_removed },
	{ "close of a container frees a window that KVM has",
	  true, test_closed_container },
	{ "detaching the last group frees a window that KVM has",
	  true, test_detached_group },
	{ "a window of a closed container maps nothing",
	  true, test_closed_registered },
	{ "TCE_REMOVE while KVM attaches the group",
	  true, test_attached_removed },
	{ "TCE_REMOVE and close free a window that KVM has",
	  true, test_removed_closed },
	{ "windows that only KVM has use no memory and no charge",
	  true, test_removed_many },
	{ "with charge_allocated KVM's windows use no memory, no charge",
	  true, test_removed_many_allocated },
	{ "version 1: a window of a closed container is empty to KVM",
	  true, test_v1 },
	{ "a reference that KVM leaks keeps only the module after exit",
	  true, test_forgotten_exit },
	{ "a reference that KVM leaks keeps only the module after close",
	  true, test_forgotten_stay },
	{ "another process with the guest's file cannot map",
	  true, test_inherited },
};

int main(void)
{
	state_watch();
	add_tests(tests, ARRAY_SIZE(tests));

	return tap_main();
}
