// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two calls at the same time, each pair of them that can meet in the same place.
 *
 * A round is one attempt of both sides: two threads, each on a CPU of its own, meet,
 * go apart by a few instructions, another number each time, and make one call each.
 * Rounds in places of their own come in batches: what they begin with is made ready
 * by both threads, and what came of all of them is looked at and cleared away in one
 * go. How many of the rounds really overlapped is shown.
 *
 * ROUNDS=N in the environment: rounds of each race; those with a group that leaves have
 * half as many each.
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

/* Rounds between two looks at what came of them, where they can wait. */
#define BATCH		32

/* In rounds; looking at the figures is slow. */
#define LOOK_EVERY	(4 * BATCH)

/* A thread without a CPU does not keep the other one waiting for ever. */
#define MEETING_SPINS	100000
#define PARTING_SPINS	256

/**
 * struct race - two calls against each other
 * @side: what each side does in a round
 * @batch: rounds that can wait until they are looked at together; they are in places
 *         of their own
 * @again: the first side's call takes so much longer that the second one calls again and
 *         again until it is through
 * @ready: before a round, on either side, if it needs anything
 * @over: on the first side, after the rounds from @begun up to @end; leaves all as
 *        it was before them
 *
 * All of them return 0, or the error that must not be.
 */
struct race {
	int (*side[2])(unsigned int round);
	unsigned int batch;
	bool again;
	int (*ready)(unsigned int round);
	int (*over)(unsigned int begun, unsigned int end);
};

static struct vfio vfio, second;
static unsigned char *memory;
static size_t page;
static bool pseries;
static int guest;

/* Of each race. */
static unsigned int wanted = ROUNDS;

/* The race that runs. */
static const struct race *race;
static unsigned int rounds;
static unsigned int arrived[2];
/* The round that each side is in, from 1 on; 0 for none. */
static unsigned int inside[2];
static unsigned int overlapped;
/* The last round that did; two sides that meet exactly may both see it. */
static unsigned int overlap;
/* Calls of the second side. */
static unsigned int calls;
static unsigned int raced;
static int error;
static const char *where;

/* What the sides of a batch found. */
static int result[2];

/* Threads */

static unsigned int load(unsigned int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* With @patient, until the other side is there; or else not for long. */
static void meet(unsigned int me, bool patient)
{
	unsigned int times = arrived[me] + 1, spins;

	__atomic_store_n(&arrived[me], times, __ATOMIC_RELEASE);
	for (spins = 0; load(&arrived[!me]) < times; spins++) {
		if (spins < MEETING_SPINS)
			continue;
		if (!patient)
			break;
		sched_yield();
	}
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

static int attempt(unsigned int me, unsigned int round)
{
	unsigned int other, made = 0;
	int ret;

	part(me, round);
	__atomic_store_n(&inside[me], round + 1, __ATOMIC_SEQ_CST);
	other = __atomic_load_n(&inside[!me], __ATOMIC_SEQ_CST);
	do {
		ret = race->side[me](round);
		made++;
	} while (me && race->again && !ret && load(&inside[0]) == round + 1);
	if (me)
		calls += made;
	__atomic_store_n(&inside[me], 0, __ATOMIC_SEQ_CST);
	/* Whoever begins later sees the other one in the same round. */
	if (other == round + 1 &&
	    __atomic_exchange_n(&overlap, other, __ATOMIC_RELAXED) != other)
		__atomic_fetch_add(&overlapped, 1, __ATOMIC_RELAXED);

	return ret;
}

static int batch_ready(unsigned int me, unsigned int begun, unsigned int end)
{
	unsigned int round;
	int ret = 0;

	for (round = begun; round < end && !ret; round++)
		if (round % 2 == me)
			ret = race->ready(round);

	return ret;
}

static int batch_run(unsigned int me, unsigned int begun, unsigned int end)
{
	unsigned int round;
	int ret = 0;

	for (round = begun; round < end; round++) {
		/* Nothing depends on it but how many overlap. */
		if (round > begun)
			meet(me, false);
		ret = attempt(me, round) ?: ret;
	}

	return ret;
}

static void *run(void *data)
{
	unsigned int me = !!data, begun, end;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(me, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);

	for (begun = 0; begun < rounds; begun = end) {
		meet(me, true);
		if (error)
			break;

		end = begun + race->batch;
		if (end > rounds)
			end = rounds;

		result[me] = 0;
		if (race->ready) {
			result[me] = batch_ready(me, begun, end);
			meet(me, true);
		}
		result[me] = batch_run(me, begun, end) ?: result[me];
		meet(me, true);
		if (me)
			continue;
		fail(result[0], "first side");
		fail(result[1], "second side");
		if (!error)
			fail(race->over(begun, end), "afterwards");
		raced = end;
	}

	return NULL;
}

static void race_run(const struct race *this, unsigned int count)
{
	struct timespec begun, over;
	pthread_t thread;
	long ms;

	race = this;
	rounds = count;
	memset(arrived, 0, sizeof(arrived));
	memset(inside, 0, sizeof(inside));
	overlapped = 0;
	overlap = 0;
	calls = 0;
	raced = 0;
	error = 0;
	where = NULL;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	if (pthread_create(&thread, NULL, run, &vfio))
		tap_bail("no thread");
	run(NULL);
	pthread_join(thread, NULL);

	CHECK_EQ(error, 0);
	if (where)
		tap_diag("%s", where);
	clock_gettime(CLOCK_MONOTONIC, &over);
	ms = (over.tv_sec - begun.tv_sec) * 1000 +
	     (over.tv_nsec - begun.tv_nsec) / 1000000;
	tap_diag("%u rounds, %u of them overlapped, %u calls of the second side, in %ld.%03ld s",
		 raced, overlapped, calls, ms / 1000, ms % 1000);
	/*
	 * A race in which nothing ever meets shows nothing. But a few rounds need not
	 * meet, where the host runs one of the machine's CPUs at a time.
	 */
	CHECK(overlapped > 0 || raced < ROUNDS_SURE);
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
static bool same_place(unsigned int round)
{
	return !(round % 4);
}

static __u64 place(unsigned int round, unsigned int side)
{
	return leaf(round) + (side && !same_place(round) ? LEAF_BYTES / 2 : 0);
}

/* Now and then, whether so many pages are mapped, from @least up to @most. */
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

/* MAP against UNMAP, of all that there is in the leaf */

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
static int unmap_kvm_ready(unsigned int round)
{
	if (round / 2 % 2)
		return map(place(round, 0));

	return h_put(guest, place(round, 1), memory, MAP_BOTH) ==
	       TCE_KVM_SUCCESS ? 0 : -EBADE;
}

static int unmap_kvm_over(unsigned int begun, unsigned int end)
{
	/* Each has one page at most: the guest's. */
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

/* Each round of a batch has a region of its own, which @registrar has registered. */
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

	/* One of them was the first, and so it must be the only one. */
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

/* No lock keeps the two apart: the one that maps does not know the other. */
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

/* Detach against MAP: half of the rounds with a group that others stay behind */

static int detach_second(unsigned int round)
{
	(void)round;

	return vfio_ioctl(second.group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

/* The mapping is the first group's, too. */
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

	/* A hypervisor's window belongs to one group. */
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

/* And half of them with the last group, which takes the container's windows and memory. */

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

static int detach_only_over(unsigned int begun, unsigned int end)
{
	int ret;

	(void)begun;

	ret = vfio_ioctl(vfio.group, VFIO_GROUP_SET_CONTAINER,
			 &vfio.container) ?:
	      vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_v2_IOMMU) ?:
	      vfio_register(vfio.container, memory, page);
	/* The default window is made by the next MAP, or not at all. */
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
	race_detach_only(map_in_time);
}

/* Calls that change the container, too, may still wait for it when it is released. */

static int change_in_time(unsigned int round)
{
	unsigned char *other = region(round);
	int ret;

	ret = vfio_register(vfio.container, other, page) ?:
	      vfio_unregister(vfio.container, other, page);

	return ret == -EINVAL || ret == -ENODEV ? 0 : ret;
}

static void test_detach_change(void)
{
	race_detach_only(change_in_time);
}

int main(void)
{
	const char *rounds_wanted = getenv("ROUNDS");

	if (rounds_wanted)
		wanted = strtoul(rounds_wanted, NULL, 0);
	page = vfio_page_size();
	memory = vfio_memory((1 + BATCH) * page);
	regions = memory + page;
	pseries = machine_is_pseries();
	state_watch();

	tap_test_ours("MAP_DMA against MAP_DMA in a leaf that is not there",
		      test_map_map);
	tap_test_ours("MAP_DMA against UNMAP_DMA of the leaf's only page",
		      test_map_unmap);
	tap_test_ours("UNMAP_DMA against H_PUT_TCE", test_unmap_kvm);
	tap_test_ours("TCE_REMOVE against MAP_DMA", test_remove_map);
	tap_test_ours("UNREGISTER_MEMORY against MAP_DMA", test_unregister_map);
	tap_test_ours("UNREGISTER_MEMORY by another container against MAP_DMA",
		      test_unregister_elsewhere);
	tap_test_ours("a group leaves against MAP_DMA", test_detach_map);
	tap_test_ours("the only group leaves against MAP_DMA", test_detach_only);
	tap_test_ours("the only group leaves against REGISTER_MEMORY",
		      test_detach_change);

	return tap_main();
}
