// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of pairs of calls that use the same object, see race.h.
 *
 * ROUNDS=N in the environment: the number of rounds of each race; races that
 * detach a group have half as many each.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest.h"
#include "race.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define ROUNDS		100

/* The windows: 512 leaves of 512 entries. */
#define PAGE_SHIFT	12
#define IOMMU_PAGE	BIT_ULL(PAGE_SHIFT)
#define SIZE		BIT_ULL(30)
#define LEAVES		512
#define LEAF_BYTES	(SIZE / LEAVES)

/* Rounds between two checks of the figures, which are slow. */
#define LOOK_EVERY	(4 * BATCH)

static struct vfio vfio, second;
static unsigned char *memory;
static size_t page;
static bool pseries;
static int guest;
static unsigned int wanted;

/* Before and after races */

static unsigned int levels(void)
{
	return pseries ? 1 : 3;
}

static int create(__u64 want)
{
	__u64 start;
	int ret =
		vfio_create(vfio.container, PAGE_SHIFT, SIZE, levels(), &start);

	return ret ?: start == want ? 0 : -ERANGE;
}

static void begin(void)
{
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(create(0), 0);
}

static void end(void)
{
	CHECK_EQ(vfio_unmap(vfio.container, 0, SIZE), 0);
	CHECK_MAPPED(0, 0);
	/* No page is counted any more. */
	CHECK_EQ(vfio_unregister(vfio.container, memory, page), 0);
	vfio_close(&vfio);
}

static int map(__u64 iova)
{
	return vfio_map(vfio.container, iova, memory, IOMMU_PAGE, MAP_BOTH);
}

static int unmap(__u64 iova)
{
	return vfio_unmap(vfio.container, iova, IOMMU_PAGE);
}

/*
 * Rounds that follow each other use different leaves, so that the leaf is often
 * missing.
 */
static __u64 leaf(unsigned int round)
{
	return round * 7 % LEAVES * LEAF_BYTES;
}

/* Two entries of a leaf, which are sometimes the same. */
static bool same_place(unsigned int round)
{
	return !(round % 4);
}

static __u64 place(unsigned int round, unsigned int side)
{
	return leaf(round) + (side && !same_place(round) ? LEAF_BYTES / 2 : 0);
}

/* Checks sometimes that from @least to @most pages are mapped. */
static int look(unsigned int round, unsigned int least, unsigned int most)
{
	struct figures figures;

	if (round % LOOK_EVERY)
		return 0;

	return figures_read(0, &figures) && figures.mapped_pages >= least &&
	       figures.mapped_pages <= most ? 0 : -EBADE;
}

static int clear(unsigned int round)
{
	return vfio_unmap(vfio.container, 0, SIZE) ?: look(round, 0, 0);
}

/* MAP against MAP */

static int map_first(unsigned int round)
{
	return map(place(round, 0));
}

static int map_second(unsigned int round)
{
	return map(place(round, 1));
}

static int map_map_over(unsigned int begun, unsigned int end)
{
	unsigned int round, mapped = 0;

	for (round = begun; round < end; round++)
		mapped += same_place(round) ? 1 : 2;

	return look(begun, mapped, mapped) ?: clear(begun);
}

static void test_map_map(void)
{
	static const struct race map_map = {
		.batch = BATCH,
		.side = { map_first, map_second },
		.over = map_map_over,
	};

	begin();
	race_run(&map_map, wanted);
	end();
}

/* MAP against UNMAP, of the only page of a leaf */

static int unmap_second(unsigned int round)
{
	return unmap(place(round, 1));
}

static int map_unmap_over(unsigned int begun, unsigned int end)
{
	unsigned int round, least = 0;

	for (round = begun; round < end; round++)
		least += !same_place(round);

	return look(begun, least, end - begun) ?: clear(begun);
}

static void test_map_unmap(void)
{
	static const struct race map_unmap = {
		.batch = BATCH,
		.ready = map_second,
		.side = { map_first, unmap_second },
		.over = map_unmap_over,
	};

	begin();
	race_run(&map_unmap, wanted);
	end();
}

/* UNMAP against hypercalls */

static int unmap_first(unsigned int round)
{
	return unmap(place(round, 0));
}

static int hypercall(unsigned int round)
{
	long status;

	/*
	 * A hypercall that maps is passed up if the work item that trims takes
	 * the task's record away, which takes a second in which the CPU does
	 * nothing.
	 */
	if (round % 3)
		status = h_unmap(guest, place(round, 1));
	else
		status = client_put(&vfio, guest, place(round, 1), memory,
				    true);

	return status == TCE_KVM_SUCCESS ? 0 : -EBADE;
}

/* The page was mapped by the guest, or by VFIO. */
static int unmap_kvm_ready(unsigned int round)
{
	if (round / 2 % 2)
		return map(place(round, 0));

	return client_put(&vfio, guest, place(round, 1), memory, true) ?
	       -EBADE : 0;
}

static int unmap_kvm_over(unsigned int begun, unsigned int end)
{
	/* At most the page of the guest is mapped. */
	return look(begun, 0, end - begun) ?: clear(begun);
}

static void test_unmap_kvm(void)
{
	static const struct race unmap_kvm = {
		.batch = BATCH,
		.ready = unmap_kvm_ready,
		.side = { unmap_first, hypercall },
		.over = unmap_kvm_over,
	};

	begin();
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, PAGE_SHIFT), 0);
	race_run(&unmap_kvm, wanted);
	CHECK_EQ(guest_detach(guest), 0);
	close(guest);
	end();
}

/* REMOVE against MAP */

static int remove_window(unsigned int round)
{
	(void)round;

	return vfio_remove(vfio.container, 0);
}

static int map_maybe(unsigned int round)
{
	int ret = map(place(round, 0));

	return ret == -ENXIO ? 0 : ret;
}

static int remove_map_over(unsigned int begun, unsigned int end)
{
	(void)begun;
	(void)end;

	return create(0);
}

static void test_remove_map(void)
{
	static const struct race remove_map = {
		.batch = 1,
		.again = true,
		.side = { remove_window, map_maybe },
		.over = remove_map_over,
	};

	begin();
	race_run(&remove_map, wanted);
	end();
}

/* UNREGISTER against MAP, by the same container or by another one */

/*
 * Each round of a batch has a region of its own, which @registrar has
 * registered.
 */
static bool unregistered[BATCH], mapped[BATCH];
static unsigned char *regions;
static int registrar;

static unsigned char *region(unsigned int round)
{
	return regions + round % BATCH * page;
}

static int unregister(unsigned int round)
{
	int ret = vfio_unregister(registrar, region(round), page);

	unregistered[round % BATCH] = !ret;

	return ret == -EBUSY ? 0 : ret;
}

static int map_registered(unsigned int round)
{
	int ret = vfio_map(vfio.container, place(round, 0), region(round),
			   IOMMU_PAGE, MAP_BOTH);

	if (!ret)
		mapped[round % BATCH] = true;

	return ret == -EINVAL ? 0 : ret;
}

static int unregister_map_over(unsigned int begun, unsigned int end)
{
	unsigned int round, pages = 0;
	int ret;

	/* Exactly one of them must have succeeded. */
	for (round = begun; round < end; round++) {
		if (unregistered[round % BATCH] == mapped[round % BATCH])
			return -EBADE;
		pages += mapped[round % BATCH];
	}

	ret = look(begun, pages, pages) ?: clear(begun);
	for (round = begun; round < end && !ret; round++) {
		mapped[round % BATCH] = false;
		if (unregistered[round % BATCH])
			ret = vfio_register(registrar, region(round), page);
	}

	return ret;
}

static void race_unregister_map(void)
{
	static const struct race unregister_map = {
		.batch = BATCH,
		.again = true,
		.side = { unregister, map_registered },
		.over = unregister_map_over,
	};
	unsigned int i;

	for (i = 0; i < BATCH; i++)
		CHECK_EQ(vfio_register(registrar, region(i), page), 0);
	race_run(&unregister_map, wanted);
	for (i = 0; i < BATCH; i++)
		CHECK_EQ(vfio_unregister(registrar, region(i), page), 0);
}

static void test_unregister_map(void)
{
	begin();
	registrar = vfio.container;
	race_unregister_map();
	end();
}

/* No common lock: the containers are different. */
static void test_unregister_elsewhere(void)
{
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}

	begin();
	vfio_open_device(&second, 1);
	registrar = second.container;
	race_unregister_map();
	vfio_close(&second);
	end();
}

/* Detach of one of two groups against MAP */

static int detach_second(unsigned int round)
{
	(void)round;

	return vfio_ioctl(second.group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

/* The first group still has the mapping. */
static int detach_map_over(unsigned int begun, unsigned int end)
{
	(void)end;

	return look(begun, 1, 1) ?: unmap(place(begun, 0)) ?:
	       vfio_ioctl(second.group, VFIO_GROUP_SET_CONTAINER,
			  &vfio.container);
}

static void test_detach_map(void)
{
	static const struct race detach_map = {
		.batch = 1,
		.again = true,
		.side = { detach_second, map_first },
		.over = detach_map_over,
	};

	/* A window of a hypervisor belongs to one group. */
	if (!vfio_have_device(1) || pseries) {
		tap_skip("no second group that can share a window");
		return;
	}

	begin();
	CHECK_EQ(vfio_attach(&second, vfio.container, 1), 0);
	guest = guest_open();
	CHECK_EQ(guest_keep(guest, 1), 0);
	race_run(&detach_map, wanted / 2);
	close(guest);
	vfio_detach(&second);
	end();
}

/* Detach of the only group, which also releases windows and memory */

static int detach_only(unsigned int round)
{
	(void)round;

	return vfio_ioctl(vfio.group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

/*
 * The core returns EINVAL without a backend, and the backend ENODEV while it is
 * released.
 */
static int map_or_released(unsigned int round)
{
	int ret = map(place(round, 0));

	return ret == -EINVAL || ret == -ENODEV ? 0 : ret;
}

static int detach_only_over(unsigned int begun, unsigned int end)
{
	int ret;

	(void)begun;

	ret = vfio_ioctl(vfio.group, VFIO_GROUP_SET_CONTAINER,
			 &vfio.container) ?:
	      vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_v2_IOMMU) ?:
	      vfio_register(vfio.container, memory, page);
	/* In half of the rounds MAP has to create the default window. */
	if (end % 2)
		return ret;

	return ret ?: vfio_remove(vfio.container, 0) ?: create(0);
}

static void race_detach_only(int (*against)(unsigned int round))
{
	const struct race detach_only_race = {
		.batch = 1,
		.again = true,
		.side = { detach_only, against },
		.over = detach_only_over,
	};

	begin();
	guest = guest_open();
	CHECK_EQ(guest_keep(guest, 0), 0);
	race_run(&detach_only_race, wanted / 2);
	close(guest);
	end();
}

static void test_detach_only(void)
{
	race_detach_only(map_or_released);
}

/*
 * Calls that take the lock for writing may still wait for it when the container
 * is released.
 */

static int change_or_released(unsigned int round)
{
	unsigned char *other = region(round);
	int ret;

	ret = vfio_register(vfio.container, other, page) ?:
	      vfio_unregister(vfio.container, other, page);

	return ret == -EINVAL || ret == -ENODEV ? 0 : ret;
}

static void test_detach_change(void)
{
	race_detach_only(change_or_released);
}

int main(void)
{
	wanted = race_rounds(ROUNDS);
	page = vfio_page_size();
	memory = vfio_memory((1 + BATCH) * page);
	regions = memory + page;
	pseries = vfio_is_guest();
	state_watch();

	tap_test_ours("MAP_DMA against MAP_DMA in a missing leaf",
		      test_map_map);
	tap_test_ours("MAP_DMA against UNMAP_DMA of the only page of a leaf",
		      test_map_unmap);
	tap_test_ours("UNMAP_DMA against H_PUT_TCE", test_unmap_kvm);
	tap_test_ours("TCE_REMOVE against MAP_DMA", test_remove_map);
	tap_test_ours("UNREGISTER_MEMORY against MAP_DMA", test_unregister_map);
	tap_test_ours("UNREGISTER_MEMORY by another container against MAP_DMA",
		      test_unregister_elsewhere);
	tap_test_ours("detach of a group against MAP_DMA", test_detach_map);
	tap_test_ours("detach of the only group against MAP_DMA",
		      test_detach_only);
	tap_test_ours("detach of the only group against REGISTER_MEMORY",
		      test_detach_change);

	return tap_main();
}
