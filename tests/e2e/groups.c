// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several groups in one container: all windows belong to all groups, in
 * whichever order they were created and attached. Groups are attached and
 * detached while others are used.
 *
 * Needs two devices in different groups, behind one PHB or behind two.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/* Addresses of the stages of both devices, and of the memory. */
#define STAGE		0x100000
#define STAGE2		0x140000
#define IOVA		0x180000

/* The second window. */
#define WINDOW_SHIFT	16
#define WINDOW_BYTES	(1ULL << 29)
#define IOVA1		(WINDOW1_START + 0x100000)

/* The size of the memory: several of the larger IOMMU pages. */
#define BYTES		(4ULL << WINDOW_SHIFT)

static struct vfio first, second;
static unsigned char *memory;
static unsigned int page_shift;

static int map(uint64_t iova)
{
	return vfio_map(first.container, iova, memory, BYTES, MAP_BOTH);
}

static int create_window(void)
{
	uint64_t start;
	int ret;

	ret = vfio_create(first.container, page_shift, WINDOW_BYTES, 1, &start);
	if (!ret)
		CHECK_EQ(start, WINDOW1_START);

	return ret;
}

/* Opens the first device, with its stage, and registers the memory. */
static void open_first(void)
{
	vfio_open(&first);
	CHECK_EQ(vfio_register(first.container, memory, BYTES), 0);
	edu_stage(&first, STAGE);
}

static int attach_second(void)
{
	return vfio_attach(&second, first.container, 1);
}

static void open_both(void)
{
	open_first();
	CHECK_EQ(attach_second(), 0);
	edu_stage(&second, STAGE2);
}

/*
 * Detaches one of two groups, and unmaps its stage, which belongs to the
 * container.
 */
static void leave(struct vfio *vfio)
{
	unsigned char *stage = vfio->stage;
	size_t size = vfio_page_size();

	vfio_detach(vfio);
	CHECK_EQ(vfio_unmap(vfio->container, vfio->stage_iova, size), 0);
	CHECK_EQ(vfio_unregister(vfio->container, stage, size), 0);
}

static void close_both(void)
{
	vfio_detach(&second);
	vfio_close(&first);
}

static bool works(struct vfio *vfio, uint64_t iova)
{
	return edu_works(vfio, iova, memory);
}

static bool is_blocked(struct vfio *vfio, uint64_t iova)
{
	return edu_is_blocked(vfio, iova, memory);
}

/* Data written by one device is read by the other. */
static void test_one_window(void)
{
	unsigned int seed = edu_seed();

	open_both();
	CHECK_EQ(map(IOVA), 0);
	CHECK(works(&first, IOVA));
	CHECK(works(&second, IOVA));
	edu_fill(first.stage, seed);
	edu_read(&first, STAGE);
	edu_write(&first, IOVA);
	edu_read(&second, IOVA);
	memset(second.stage, 0, EDU_BYTES);
	edu_write(&second, STAGE2);
	CHECK(edu_matches(second.stage, seed));

	CHECK_EQ(vfio_unmap(first.container, IOVA, BYTES), 0);
	CHECK(is_blocked(&first, IOVA));
	CHECK(is_blocked(&second, IOVA));
	close_both();
}

static void test_new_window(void)
{
	open_both();
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA1), 0);
	CHECK(works(&first, IOVA1));
	CHECK(works(&second, IOVA1));
	CHECK_EQ(vfio_remove(first.container, WINDOW1_START), 0);
	CHECK(is_blocked(&first, IOVA1));
	CHECK(is_blocked(&second, IOVA1));
	close_both();
}

static void test_window_is_charged_once(void)
{
	struct state before;
	uint64_t charge;

	open_first();
	before = state_now();
	CHECK_EQ(create_window(), 0);
	charge = state_locked() - before.locked;
	CHECK(charge > 0);
	CHECK_EQ(vfio_remove(first.container, WINDOW1_START), 0);
	CHECK_STATE(&before);

	CHECK_EQ(attach_second(), 0);
	CHECK_STATE(&before);
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(state_locked() - before.locked, charge);
	CHECK_EQ(vfio_remove(first.container, WINDOW1_START), 0);
	CHECK_STATE(&before);
	close_both();
}

static void test_late_group(void)
{
	struct state before;

	open_first();
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA), 0);
	CHECK_EQ(map(IOVA1), 0);
	before = state_now();
	CHECK_EQ(attach_second(), 0);
	/* Nothing is charged, pinned or mapped again. */
	CHECK_STATE(&before);
	edu_stage(&second, STAGE2);
	CHECK(works(&second, IOVA));
	CHECK(works(&second, IOVA1));
	CHECK(works(&first, IOVA));
	close_both();
}

/*
 * Checks that the second device, alone in another container, cannot access
 * @iova. This passes even if the module has not unset the windows, because the
 * platform sets up its default window and bypass when it takes a group back.
 * But then the windows would not be freed, and the state would show them.
 */
static void check_blocked_alone(uint64_t iova)
{
	vfio_open_device(&second, 1);
	edu_stage(&second, STAGE2);
	CHECK(is_blocked(&second, iova));
	vfio_close(&second);
}

static void test_detach_blocks(void)
{
	struct state before;

	open_both();
	CHECK_EQ(map(IOVA), 0);
	before = state_now();
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA1), 0);
	CHECK(works(&second, IOVA));
	CHECK(works(&second, IOVA1));
	vfio_detach(&second);
	check_blocked_alone(IOVA);
	check_blocked_alone(IOVA1);
	CHECK_EQ(vfio_remove(first.container, WINDOW1_START), 0);
	/*
	 * A group that still has the window would keep it. In-tree all mappings
	 * are removed.
	 */
	if (!tap_intree())
		CHECK_STATE(&before);
	vfio_close(&first);
}

static void test_detach_leaves_others(void)
{
	struct state before;

	open_first();
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA), 0);
	CHECK_EQ(map(IOVA1), 0);
	CHECK(works(&first, IOVA));
	before = state_now();
	CHECK_EQ(attach_second(), 0);
	vfio_detach(&second);
	CHECK_STATE(&before);
	/* kfree_rcu() frees after five seconds. */
	sleep(7);
	/* A kill walks the groups that have the window. */
	CHECK_EQ(map(IOVA), 0);
	CHECK_EQ(map(IOVA1), 0);
	CHECK(works(&first, IOVA));
	CHECK(works(&first, IOVA1));
	vfio_close(&first);
}

static void test_attach_again(void)
{
	unsigned int i;

	open_first();
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA), 0);
	CHECK_EQ(map(IOVA1), 0);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(attach_second(), 0);
		edu_stage(&second, STAGE2);
		CHECK(works(&second, IOVA));
		CHECK(works(&second, IOVA1));
		leave(&second);
	}
	CHECK(works(&first, IOVA));
	CHECK(works(&first, IOVA1));
	vfio_close(&first);
}

/* The windows were created with the first group, but do not belong to it. */
static void test_first_leaves(void)
{
	struct vfio_iommu_spapr_tce_info info;
	int container;

	open_both();
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA), 0);
	CHECK_EQ(map(IOVA1), 0);
	container = first.container;
	leave(&first);

	CHECK(works(&second, IOVA));
	CHECK(works(&second, IOVA1));
	CHECK_EQ(vfio_info(container, &info), 0);
	/*
	 * A window that is created now belongs to the other group, and to both
	 * once the first one is attached again.
	 */
	CHECK_EQ(vfio_remove(container, WINDOW1_START), 0);
	CHECK(is_blocked(&second, IOVA1));
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA1), 0);
	CHECK(works(&second, IOVA1));

	CHECK_EQ(vfio_attach(&first, container, 0), 0);
	edu_stage(&first, STAGE);
	CHECK(works(&first, IOVA));
	CHECK(works(&first, IOVA1));
	CHECK(works(&second, IOVA));
	close_both();
}

static void test_all_leave(void)
{
	int container;

	open_both();
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA), 0);
	CHECK_EQ(map(IOVA1), 0);
	container = first.container;
	vfio_detach(&first);
	vfio_detach(&second);

	/* The container is in its initial state. */
	CHECK_EQ(map(IOVA), -EINVAL);
	CHECK_EQ(vfio_attach(&first, container, 1), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	CHECK_EQ(vfio_register(container, memory, BYTES), 0);
	edu_stage(&first, STAGE);
	CHECK(is_blocked(&first, IOVA));
	CHECK_EQ(map(IOVA), 0);
	CHECK(works(&first, IOVA));
	vfio_close(&first);
}

static void test_before_set_iommu(void)
{
	int container = vfio_open_container();

	CHECK_EQ(vfio_attach(&first, container, 0), 0);
	CHECK_EQ(attach_second(), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	CHECK_EQ(vfio_register(container, memory, BYTES), 0);
	edu_stage(&first, STAGE);
	edu_stage(&second, STAGE2);
	CHECK_EQ(map(IOVA), 0);
	CHECK(works(&first, IOVA));
	CHECK(works(&second, IOVA));
	close_both();
}

/*
 * SET_IOMMU must detach the group that it attached before it refused the second
 * one.
 */
static void test_version_1_before(void)
{
	int container = vfio_open_container();
	struct state before = state_now();

	CHECK_EQ(vfio_attach(&first, container, 0), 0);
	CHECK_EQ(attach_second(), 0);
	before.users = state_now().users;
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), -EBUSY);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	close_both();
}

static void test_version_1_after(void)
{
	int container = vfio_open_container();
	struct vfio_iommu_spapr_tce_info info;
	struct state before;

	CHECK_EQ(vfio_attach(&first, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(vfio_ioctl(container, VFIO_IOMMU_ENABLE, NULL), 0);
	CHECK_EQ(map(IOVA), 0);
	before = state_now();
	CHECK_EQ(attach_second(), -EBUSY);
	CHECK_STATE(&before);
	CHECK_EQ(vfio_info(container, &info), 0);

	/* The group can be attached to another container. */
	CHECK_EQ(vfio_attach(&second, vfio_open_container(), 1), 0);
	CHECK_EQ(vfio_set_iommu(second.container, VFIO_SPAPR_TCE_IOMMU), 0);
	vfio_close(&second);
	vfio_close(&first);
}

static void test_twice(void)
{
	struct state before;
	int other;

	open_both();
	CHECK_EQ(map(IOVA), 0);
	before = state_now();
	/* The VFIO core refuses both this container and another one. */
	CHECK_EQ(vfio_ioctl(second.group, VFIO_GROUP_SET_CONTAINER,
			    &first.container), -EINVAL);
	other = vfio_open_container();
	CHECK_EQ(vfio_ioctl(second.group, VFIO_GROUP_SET_CONTAINER, &other),
		 -EINVAL);
	close(other);
	CHECK_STATE(&before);
	CHECK(works(&second, IOVA));
	close_both();
}

static void map_both_and_exit(void *unused)
{
	CHECK(!unused);
	open_both();
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA), 0);
	CHECK_EQ(map(IOVA1), 0);
	CHECK(works(&second, IOVA1));
}

static void test_exit(void)
{
	struct state before = state_now();

	tap_child(map_both_and_exit, NULL);
	CHECK_STATE(&before);
	open_both();
	CHECK(is_blocked(&first, IOVA));
	CHECK(is_blocked(&second, IOVA1));
	close_both();
}

/* Groups are attached and detached while another thread maps and unmaps. */
#define ROUNDS		40

static bool stop;

static void *map_and_unmap(void *unused)
{
	long bad = !!unused;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		bad |= map(IOVA1 + BYTES);
		bad |= vfio_unmap(first.container, IOVA1 + BYTES, BYTES);
	}

	return (void *)bad;
}

static void test_threads(void)
{
	pthread_t thread;
	unsigned int i;
	void *bad;

	open_first();
	CHECK_EQ(create_window(), 0);
	CHECK_EQ(map(IOVA1), 0);
	stop = false;
	if (pthread_create(&thread, NULL, map_and_unmap, NULL))
		tap_bail("pthread_create");
	for (i = 0; i < ROUNDS; i++) {
		CHECK_EQ(attach_second(), 0);
		vfio_detach(&second);
	}
	CHECK_EQ(attach_second(), 0);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &bad);
	CHECK_EQ((long)bad, 0);
	edu_stage(&second, STAGE2);
	CHECK_MAPPED(WINDOW1_START, BYTES >> page_shift);
	CHECK(works(&first, IOVA1));
	CHECK(works(&second, IOVA1));
	close_both();
}

/*
 * A window of a hypervisor belongs to one group. A second group can be attached
 * while there is none; creating one then fails for the second group, and must
 * be undone for the first.
 */
static void test_hypervisor_half_way(void)
{
	struct state before;
	uint64_t start;

	vfio_open(&first);
	CHECK_EQ(vfio_register(first.container, memory, BYTES), 0);
	CHECK_EQ(attach_second(), 0);
	CHECK_EQ(vfio_remove(first.container, 0), 0);
	before = state_now();
	CHECK_EQ(vfio_create(first.container, page_shift, WINDOW_BYTES, 1,
			     &start), -EPERM);
	CHECK_STATE(&before);
	CHECK_EQ(map(IOVA), -ENXIO);

	/* Each group alone can have one now. */
	vfio_detach(&second);
	CHECK_EQ(vfio_create(first.container, page_shift, WINDOW_BYTES, 1,
			     &start), 0);
	edu_stage(&first, start + STAGE);
	CHECK_EQ(map(start + IOVA), 0);
	CHECK(works(&first, start + IOVA));
	vfio_close(&first);

	vfio_open_device(&first, 1);
	CHECK_EQ(vfio_register(first.container, memory, BYTES), 0);
	edu_stage(&first, STAGE);
	CHECK_EQ(map(IOVA), 0);
	CHECK(works(&first, IOVA));
	vfio_close(&first);
}

static void test_hypervisor_default(void)
{
	struct state before;

	vfio_open(&first);
	CHECK_EQ(vfio_register(first.container, memory, BYTES), 0);
	CHECK_EQ(attach_second(), 0);
	before = state_now();
	/*
	 * MAP_DMA creates the default window, which belongs to one group too.
	 */
	CHECK_EQ(map(IOVA), -EPERM);
	CHECK_STATE(&before);
	vfio_detach(&second);
	edu_stage(&first, STAGE);
	CHECK_EQ(map(IOVA), 0);
	CHECK(works(&first, IOVA));
	vfio_close(&first);
}

static void test_hypervisor_late_group(void)
{
	struct state before;

	open_first();
	CHECK_EQ(map(IOVA), 0);
	before = state_now();
	CHECK_EQ(attach_second(), -EPERM);
	CHECK_STATE(&before);
	CHECK(works(&first, IOVA));
	vfio_close(&first);
}

/* Only the second window exists, so none is set before it is refused. */
static void test_hypervisor_late_group_second(void)
{
	struct state before;
	uint64_t start;

	open_first();
	CHECK_EQ(vfio_create(first.container, page_shift, WINDOW_BYTES, 1,
			     &start), 0);
	CHECK_EQ(vfio_remove(first.container, 0), 0);
	edu_stage(&first, start + STAGE);
	CHECK_EQ(map(start + IOVA), 0);
	before = state_now();
	CHECK_EQ(attach_second(), -EPERM);
	CHECK_STATE(&before);
	CHECK(works(&first, start + IOVA));
	vfio_close(&first);
}

static void add_host_tests(void)
{
	tap_test("two devices use the same window", test_one_window);
	tap_test("windows are created and removed in all groups",
		 test_new_window);
	tap_test("a window is charged once for all groups",
		 test_window_is_charged_once);
	tap_test("a group attached later can use existing mappings",
		 test_late_group);
	tap_test("a detached group has no window of the container",
		 test_detach_blocks);
	/* In-tree all mappings are removed with the group. */
	tap_test_ours("detaching a group changes nothing for the others",
		      test_detach_leaves_others);
	tap_test_ours("a group can be attached again, many times",
		      test_attach_again);
	tap_test_ours("the group that created the windows can be detached",
		      test_first_leaves);
	tap_test_ours("groups are attached and detached while a thread maps",
		      test_threads);
	tap_test("a container without groups is in its initial state",
		 test_all_leave);
	tap_test("groups can be attached before SET_IOMMU",
		 test_before_set_iommu);
	tap_test("a group cannot be attached twice", test_twice);
	tap_test("a process exits with two groups and pages mapped", test_exit);
}

static void add_guest_tests(void)
{
	tap_test_ours("a window that the second group cannot have is undone",
		      test_hypervisor_half_way);
	tap_test_ours("a default window that one group cannot have is undone",
		      test_hypervisor_default);
	tap_test("a second group is refused while a window exists",
		 test_hypervisor_late_group);
	tap_test("a second group is refused while only window 1 exists",
		 test_hypervisor_late_group_second);
}

int main(void)
{
	if (!vfio_have_device(1)) {
		puts("1..0 # SKIP needs VFIO_DEVICE2");
		return 0;
	}
	memory = vfio_memory(BYTES);
	page_shift = WINDOW_SHIFT;
	if (vfio_page_shift() < page_shift)
		page_shift = vfio_page_shift();
	state_watch();

	if (vfio_is_guest())
		add_guest_tests();
	else
		add_host_tests();
	tap_test("SET_IOMMU of version 1 refuses two groups",
		 test_version_1_before);
	tap_test("version 1 refuses a second group", test_version_1_after);

	return tap_main();
}
