// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two calls at the same time, each pair of them that can meet in the same place.
 *
 * A round is one attempt of both sides: two threads, each on a CPU of its own, meet,
 * go apart by a few instructions, another number each time, and make one call each;
 * then one of them looks at what came of it and makes all ready for the next round.
 * How many of the rounds really overlapped is shown.
 *
 * ROUNDS=N in the environment: rounds of each race.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "machine.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define ROUNDS		100
/* So many that some of them must have overlapped. */
#define ROUNDS_SURE	10000

/* The windows: 512 leaves of 512 entries. */
#define PAGE_SHIFT	12
#define IOMMU_PAGE	BIT_ULL(PAGE_SHIFT)
#define SIZE		BIT_ULL(30)
#define LEAVES		512
#define LEAF_BYTES	(SIZE / LEAVES)

/* Looking at the figures is slow. */
#define LOOK_EVERY	64

/* A thread without a CPU does not keep the other one waiting for ever. */
#define MEETING_SPINS	100000
#define PARTING_SPINS	256

struct race {
	/* What each side does in a round: 0, or the error that must not be. */
	int (*side[2])(unsigned int round);
	/* The first side, when both are through; and before the first round. */
	int (*next)(unsigned int round);
};

static struct vfio vfio, second;
static unsigned char *memory;
static size_t page;
static unsigned int rounds = ROUNDS;
static bool pseries;
static int guest;

/* The race that runs. */
static const struct race *race;
static unsigned int arrived[2];
static bool inside[2];
static unsigned int overlapped;
static int error;
static const char *where;

/* What the sides of a round found. */
static int result[2];

/* Threads */

static unsigned int load(unsigned int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void meet(unsigned int me, unsigned int times)
{
	unsigned int spins;

	__atomic_store_n(&arrived[me], times, __ATOMIC_RELEASE);
	for (spins = 0; load(&arrived[!me]) < times; spins++)
		if (spins > MEETING_SPINS)
			sched_yield();
}

static void part(unsigned int me, unsigned int round)
{
	unsigned int spins = (2 * round + me) * 0x9e3779b9U >> 16;

	for (spins %= PARTING_SPINS; spins; spins--)
		__asm__ volatile("" : : : "memory");
}

static void fail(int ret, const char *in)
{
	if (!ret || error)
		return;
	where = in;
	error = ret;
}

static void *run(void *data)
{
	unsigned int me = !!data, round;
	cpu_set_t cpus;
	bool other;

	CPU_ZERO(&cpus);
	CPU_SET(me, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);

	for (round = 0; round < rounds; round++) {
		meet(me, 2 * round + 1);
		if (error)
			break;

		part(me, round);
		__atomic_store_n(&inside[me], true, __ATOMIC_SEQ_CST);
		other = __atomic_load_n(&inside[!me], __ATOMIC_SEQ_CST);
		result[me] = race->side[me](round);
		__atomic_store_n(&inside[me], false, __ATOMIC_SEQ_CST);
		/* Whoever begins later sees the other one inside. */
		if (other)
			__atomic_fetch_add(&overlapped, 1, __ATOMIC_RELAXED);

		meet(me, 2 * round + 2);
		if (me)
			continue;
		fail(result[0], "first side");
		fail(result[1], "second side");
		if (!error)
			fail(race->next(round + 1), "afterwards");
	}

	return NULL;
}

static void race_run(const struct race *this)
{
	struct timespec begun, over;
	pthread_t thread;

	race = this;
	memset(arrived, 0, sizeof(arrived));
	memset(inside, 0, sizeof(inside));
	overlapped = 0;
	error = 0;
	where = NULL;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	fail(race->next(0), "before");
	if (pthread_create(&thread, NULL, run, &vfio))
		tap_bail("no thread");
	run(NULL);
	pthread_join(thread, NULL);

	CHECK_EQ(error, 0);
	if (where)
		tap_diag("%s", where);
	clock_gettime(CLOCK_MONOTONIC, &over);
	tap_diag("%u rounds, %u of them overlapped, in %ld s", rounds, overlapped,
		 (long)(over.tv_sec - begun.tv_sec));
	/*
	 * A race in which nothing ever meets shows nothing. But a few rounds need not
	 * meet, where the host runs one of the machine's CPUs at a time.
	 */
	CHECK(overlapped > 0 || rounds < ROUNDS_SURE);
}

/* What races begin and end with */

static unsigned int levels(void)
{
	return pseries ? 1 : 3;
}

static int create(__u64 want)
{
	__u64 start;
	int ret = vfio_create(vfio.container, PAGE_SHIFT, SIZE, levels(), &start);

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
	/* Nothing is counted any more either. */
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

/* Another leaf each round, so that those before it have gone when it comes again. */
static __u64 leaf(unsigned int round)
{
	return round * 7 % LEAVES * LEAF_BYTES;
}

/* Two places of a leaf, which are now and then the same. */
static __u64 place(unsigned int round, unsigned int side)
{
	return leaf(round) + (round % 4 && side ? LEAF_BYTES / 2 : 0);
}

static int look(unsigned int round, unsigned int mapped)
{
	struct figures figures;

	if (round % LOOK_EVERY)
		return 0;

	return figures_read(0, &figures) && figures.mapped_pages == mapped ?
	       0 : -EBADE;
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

static int map_map_next(unsigned int round)
{
	if (!round)
		return 0;

	round--;

	return look(round, round % 4 ? 2 : 1) ?: unmap(place(round, 0)) ?:
	       unmap(place(round, 1)) ?: look(round, 0);
}

static void test_map_map(void)
{
	static const struct race map_map = {
		.side = { map_first, map_second },
		.next = map_map_next,
	};

	begin();
	race_run(&map_map);
	end();
}

/* MAP against UNMAP, of all that there is in the leaf */

static int unmap_second(unsigned int round)
{
	return unmap(place(round, 1));
}

static int map_unmap_next(unsigned int round)
{
	int ret = 0;

	if (round)
		ret = unmap(place(round - 1, 0)) ?: look(round - 1, 0);

	return ret ?: map(place(round, 1));
}

static void test_map_unmap(void)
{
	static const struct race map_unmap = {
		.side = { map_first, unmap_second },
		.next = map_unmap_next,
	};

	begin();
	race_run(&map_unmap);
	end();
}

/* UNMAP against a guest's hypercalls */

static int unmap_first(unsigned int round)
{
	return unmap(place(round, 0));
}

static int hypercall(unsigned int round)
{
	long status = round % 3 ? h_unput(guest, place(round, 1)) :
				  h_put(guest, place(round, 1), memory, MAP_BOTH);

	return status == TCE_KVM_SUCCESS ? 0 : -EBADE;
}

/* What is there was mapped by the guest, or by VFIO. */
static int unmap_kvm_next(unsigned int round)
{
	int ret = 0;

	if (round)
		ret = unmap(place(round - 1, 0)) ?: unmap(place(round - 1, 1)) ?:
		      look(round - 1, 0);
	if (!ret && round % 2 &&
	    h_put(guest, place(round, 1), memory, MAP_BOTH) != TCE_KVM_SUCCESS)
		ret = -EBADE;
	else if (!ret)
		ret = map(place(round, 0));

	return ret;
}

static void test_unmap_kvm(void)
{
	static const struct race unmap_kvm = {
		.side = { unmap_first, hypercall },
		.next = unmap_kvm_next,
	};

	begin();
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, PAGE_SHIFT), 0);
	race_run(&unmap_kvm);
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

static int remove_map_next(unsigned int round)
{
	return round ? create(0) : 0;
}

static void test_remove_map(void)
{
	static const struct race remove_map = {
		.side = { remove_window, map_maybe },
		.next = remove_map_next,
	};

	begin();
	race_run(&remove_map);
	end();
}

/* UNREGISTER against MAP */

static bool unregistered, mapped;

static int unregister(unsigned int round)
{
	int ret = vfio_unregister(vfio.container, memory, page);

	(void)round;
	unregistered = !ret;

	return ret == -EBUSY ? 0 : ret;
}

static int map_registered(unsigned int round)
{
	int ret = map(place(round, 0));

	mapped = !ret;

	return ret == -EINVAL ? 0 : ret;
}

static int unregister_map_next(unsigned int round)
{
	int ret = 0;

	if (!round)
		return 0;

	/* One of them was the first, and so it must be the only one. */
	if (unregistered == mapped)
		return -EBADE;
	if (mapped)
		ret = unmap(place(round - 1, 0));

	return ret ?: unregistered ?
	       vfio_register(vfio.container, memory, page) : 0;
}

static void test_unregister_map(void)
{
	static const struct race unregister_map = {
		.side = { unregister, map_registered },
		.next = unregister_map_next,
	};

	begin();
	race_run(&unregister_map);
	end();
}

/* Detach against MAP */

static int detach_second(unsigned int round)
{
	(void)round;

	return vfio_ioctl(second.group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

/* The mapping is the first group's, too. */
static int detach_map_next(unsigned int round)
{
	int ret = 0;

	if (round)
		ret = look(round - 1, 1) ?: unmap(place(round - 1, 0)) ?:
		      vfio_ioctl(second.group, VFIO_GROUP_SET_CONTAINER,
				 &vfio.container);

	return ret;
}

static void test_detach_map(void)
{
	static const struct race detach_map = {
		.side = { detach_second, map_first },
		.next = detach_map_next,
	};

	/* A hypervisor's window belongs to one group. */
	if (!vfio_have_device(1) || pseries) {
		tap_skip("no second group that can share a window");
		return;
	}

	begin();
	CHECK_EQ(vfio_attach(&second, vfio.container, 1), 0);
	guest = guest_open();
	CHECK_EQ(guest_keep(guest, 1), 0);
	race_run(&detach_map);
	close(guest);
	vfio_detach(&second);
	end();
}

/* The last group takes the container's windows and memory with it. */

static int detach_only(unsigned int round)
{
	(void)round;

	return vfio_ioctl(vfio.group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

/* The core says EINVAL without a backend, and the backend ENODEV when it goes. */
static int map_in_time(unsigned int round)
{
	int ret = map(place(round, 0));

	return ret == -EINVAL || ret == -ENODEV ? 0 : ret;
}

static int detach_only_next(unsigned int round)
{
	if (!round)
		return 0;

	return vfio_ioctl(vfio.group, VFIO_GROUP_SET_CONTAINER,
			  &vfio.container) ?:
	       vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_v2_IOMMU) ?:
	       vfio_register(vfio.container, memory, page) ?:
	       vfio_remove(vfio.container, 0) ?: create(0);
}

static void test_detach_only(void)
{
	static const struct race detach_only_map = {
		.side = { detach_only, map_in_time },
		.next = detach_only_next,
	};

	begin();
	guest = guest_open();
	CHECK_EQ(guest_keep(guest, 0), 0);
	race_run(&detach_only_map);
	close(guest);
	end();
}

int main(void)
{
	const char *wanted = getenv("ROUNDS");

	if (wanted)
		rounds = strtoul(wanted, NULL, 0);
	page = vfio_page_size();
	memory = vfio_memory(page);
	pseries = machine_is_pseries();
	state_watch();

	tap_test_ours("MAP_DMA against MAP_DMA in a leaf that is not there",
		      test_map_map);
	tap_test_ours("MAP_DMA against UNMAP_DMA of the leaf's only page",
		      test_map_unmap);
	tap_test_ours("UNMAP_DMA against H_PUT_TCE", test_unmap_kvm);
	tap_test_ours("TCE_REMOVE against MAP_DMA", test_remove_map);
	tap_test_ours("UNREGISTER_MEMORY against MAP_DMA", test_unregister_map);
	tap_test_ours("a group leaves against MAP_DMA", test_detach_map);
	tap_test_ours("the only group leaves against MAP_DMA", test_detach_only);

	return tap_main();
}
