// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of KVM. In the first ones threads make random hypercalls on a few
 * entries while the program uses the window. The others run in rounds (race.h):
 * one way to remove something, against one kind of hypercall for as long as
 * that takes.
 *
 * ROUNDS=N in the environment: the least number of hypercalls in each of the
 * first races, and the number of rounds of each of the others.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "race.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"
#include "witness.h"

/* IOMMU pages that are mapped and unmapped again and again. */
#define RACE_PAGES	64
#define V1_PAGES	16
#define RACE_THREADS	2
#define CALLS		5000
#define ROUNDS		100

/*
 * IOMMU pages that are mapped in the races of events, and the memory that is
 * registered there, of each region: registering more would take most of a
 * round.
 */
#define EVENT_PAGES	16
#define EVENT_BYTES	(EVENT_PAGES * IOMMU_PAGE)

/* Rounds between two checks of the whole state, which may have to wait. */
#define LOOK_EVERY	16
/* How often, and how long apart, locked_vm is read in the others. */
#define LOOK_POLLS	20000
#define LOOK_US		100

/* Pages of one H_PUT_TCE_INDIRECT, and of one H_STUFF_TCE. */
#define LIST_PAGES	8
#define STUFF_PAGES	4

static unsigned int rounds;

/* A thread that makes random hypercalls on a few entries. */
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

	/* Half of the calls map. */
	what = pick(&racer->random, 8);
	if (what < 4 && !racer->unmap_only)
		return what ? h_put(racer->guest, iova, memory, MAP_BOTH) :
			      h_indirect(racer->guest, iova, memory,
					 racer->shift, count, MAP_BOTH);

	return what < 7 ? h_unmap(racer->guest, iova) :
			  h_stuff(racer->guest, iova, count);
}

static void *racer_run(void *data)
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
		if (pthread_create(&racers[i].thread, NULL, racer_run,
				   &racers[i]))
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

/* @hard: calls may be passed up. */
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

/* Two threads with different guest page sizes, on the same entries. */
static void race_open_pages(struct racer *racers, unsigned int second_shift,
			    unsigned int pages)
{
	memset(racers, 0, RACE_THREADS * sizeof(*racers));
	racers[0].shift = PAGE_SHIFT;
	racers[1].shift = second_shift;
	racers[0].pages = pages;
	racers[1].pages = pages;
	racers[0].guest = open_guest(racers[0].shift);
	racers[1].guest = open_guest(racers[1].shift);
}

static void race_open(struct racer *racers, unsigned int second_shift)
{
	race_open_pages(racers, second_shift, RACE_PAGES);
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
	race_kvm(GUEST_PAGE_SHIFT);
}

/* @count: number of threads. @pages: number of entries that they use. */
static void race_map(unsigned int count, unsigned int pages)
{
	struct racer racers[RACE_THREADS];
	__u64 random = 1;
	unsigned int i;
	struct vfio vfio;

	open_windows(&vfio);
	race_open_pages(racers, pages == 1 ? PAGE_SHIFT : GUEST_PAGE_SHIFT,
			pages);
	race_begin(racers, count);
	for (i = 0; i < rounds || race_calls(racers, count) < rounds; i++) {
		unsigned int first = pick(&random, pages);
		__u64 size = (1 + pick(&random, pages - first)) *
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
	race_map(1, RACE_PAGES);
}

static void test_race_map_two(void)
{
	race_map(RACE_THREADS, RACE_PAGES);
}

static void test_race_map_one(void)
{
	race_map(RACE_THREADS, 1);
}

static void test_race_unregister(void)
{
	struct racer racers[RACE_THREADS];
	unsigned int i, done = 0;
	struct vfio vfio;
	int ret;

	open_windows(&vfio);
	race_open(racers, GUEST_PAGE_SHIFT);
	/* Without witnesses: sometimes it must succeed. */
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
	map_witnesses(&vfio);
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

/* Waits for more hypercalls of the threads. */
static void race_go_on(const struct racer *racers, unsigned int calls)
{
	calls += race_calls(racers, RACE_THREADS);
	while (race_calls(racers, RACE_THREADS) < calls)
		usleep(100);
}

static void test_race_remove(void)
{
	struct racer racers[RACE_THREADS];
	struct vfio vfio;
	unsigned int i;

	if (vfio_is_guest()) {
		tap_skip("a guest creates no window at 0 beside another");
		return;
	}

	open_windows(&vfio);
	race_open(racers, GUEST_PAGE_SHIFT);
	race_begin(racers, RACE_THREADS);
	for (i = 0; i < rounds / 100 ||
	     race_calls(racers, RACE_THREADS) < rounds; i++) {
		race_go_on(racers, i % 64);
		CHECK_EQ(vfio_remove(vfio.container, 0), 0);
		/* Sometimes KVM has the window for longer than VFIO. */
		race_go_on(racers, i % 3 ? 0 : i % 32);
		race_detach(racers);
		create_window(&vfio, 0);
		race_attach(racers);
	}
	/* Hypercalls that map in a removed window are passed up. */
	race_end(racers, RACE_THREADS, true, i, "TCE_REMOVE");

	race_unmap(&vfio);
	race_detach(racers);
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
	race_open(racers, GUEST_PAGE_SHIFT);
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

/* KVM may find pages that are being unpinned; it must not access them. */
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

/* Rounds */

static struct vfio vfio;
static int guest, keeper;
static struct state before;
/* The number of hypercalls of this race. */
static unsigned int made;

static int status_error(long status)
{
	return status == TCE_KVM_SUCCESS || status == TCE_KVM_TOO_HARD ||
	       status == GUEST_NO_TABLE ? 0 : -EBADE;
}

/* Maps one entry after the other, then unmaps one after the other. */
static int put_round(unsigned int round)
{
	__u64 offset = made % EVENT_PAGES * IOMMU_PAGE;

	(void)round;
	if (made++ / EVENT_PAGES % 2)
		return status_error(h_unmap(guest, IOVA + offset));

	return status_error(h_put(guest, IOVA + offset, region[OTHER] + offset,
				  MAP_BOTH));
}

static int indirect_round(unsigned int round)
{
	unsigned int first = made % (EVENT_PAGES / LIST_PAGES) * LIST_PAGES;
	__u64 offset = first * IOMMU_PAGE;
	unsigned char *memory = region[made % REGIONS] + offset;
	unsigned int flags = made % 5 ? MAP_BOTH : 0;

	(void)round;
	made++;

	return status_error(h_indirect(guest, IOVA + offset, memory, PAGE_SHIFT,
				       LIST_PAGES, flags));
}

static int stuff_round(unsigned int round)
{
	unsigned int turn = made % (EVENT_PAGES / STUFF_PAGES);
	__u64 iova = IOVA + turn * STUFF_PAGES * IOMMU_PAGE;
	int ret = 0;

	(void)round;
	/* Entries must be mapped before they can be unmapped. */
	if (made && !turn)
		ret = status_error(h_indirect(guest, IOVA, region[OTHER],
					      PAGE_SHIFT, EVENT_PAGES,
					      MAP_BOTH));
	made++;

	return ret ?: status_error(h_stuff(guest, iova, STUFF_PAGES));
}

static const struct hypercall {
	const char *what;
	int (*call)(unsigned int round);
} hypercalls[] = {
	{ "H_PUT_TCE", put_round },
	{ "H_PUT_TCE_INDIRECT", indirect_round },
	{ "H_STUFF_TCE", stuff_round },
};

/* Gives the window to the guest; maps pages by VFIO and by KVM. */
static int fill(void)
{
	int ret;

	made = 0;
	ret = guest_attach(guest, 0, 0, SIZE, PAGE_SHIFT) ?:
	      vfio_map(vfio.container, IOVA, region[MEMORY],
		       EVENT_PAGES * IOMMU_PAGE, MAP_BOTH);
	if (ret)
		return ret;
	if (h_indirect(guest, IOVA, region[OTHER], PAGE_SHIFT, EVENT_PAGES / 2,
		       MAP_BOTH) != TCE_KVM_SUCCESS)
		return -EBADE;

	return 0;
}

static int new_window(void)
{
	__u64 start;

	return vfio_create(vfio.container, PAGE_SHIFT, SIZE, vfio_levels(3),
			   &start) ?: start ? -ERANGE : 0;
}

/*
 * Checks that the state is that before the window was created: locked_vm, or in
 * some rounds all of it, which takes longer than a round. The table is charged
 * until an RCU callback has put KVM's reference, and the credit may be settled
 * later, if a page fault held mmap_lock.
 */
static int look(unsigned int round)
{
	unsigned int polls;

	for (polls = 0; state_locked() != before.locked; polls++) {
		if (polls == LOOK_POLLS)
			break;
		usleep(LOOK_US);
	}
	if (round % LOOK_EVERY && polls < LOOK_POLLS)
		return 0;

	return CHECK_STATE(&before) ? 0 : -EBADE;
}

/* The container with its memory and its window */

static int register_memory(void)
{
	return vfio_register(vfio.container, region[MEMORY], EVENT_BYTES) ?:
	       vfio_register(vfio.container, region[OTHER], EVENT_BYTES);
}

static int open_round(void)
{
	int ret;

	ret = vfio_set_iommu(vfio.container, VFIO_SPAPR_TCE_v2_IOMMU) ?:
	      register_memory() ?: vfio_remove(vfio.container, 0) ?:
	      new_window();

	return ret ?: fill();
}

static int release_round(unsigned int round)
{
	(void)round;
	vfio_close(&vfio);

	return 0;
}

static int release_over(unsigned int begun, unsigned int end)
{
	int ret;

	(void)end;
	ret = guest_detach(guest) ?: look(begun);
	if (ret)
		return ret;

	return vfio_attach(&vfio, vfio_open_container(), 0) ?: open_round();
}

static int detach_round(unsigned int round)
{
	(void)round;

	return vfio_ioctl(vfio.group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

static int detach_over(unsigned int begun, unsigned int end)
{
	int ret;

	(void)end;
	ret = guest_detach(guest) ?: look(begun);
	if (ret)
		return ret;

	return vfio_ioctl(vfio.group, VFIO_GROUP_SET_CONTAINER,
			  &vfio.container) ?: open_round();
}

/* The window alone */

static int remove_round(unsigned int round)
{
	(void)round;

	return vfio_remove(vfio.container, 0);
}

static int remove_over(unsigned int begun, unsigned int end)
{
	(void)end;

	return guest_detach(guest) ?: look(begun) ?: new_window() ?: fill();
}

/* KVM's reference; in half of the rounds the window exists */

static int put_ready(unsigned int round)
{
	return round % 2 ? vfio_remove(vfio.container, 0) : 0;
}

static int put_table_round(unsigned int round)
{
	(void)round;

	return guest_detach(guest);
}

static int put_over(unsigned int begun, unsigned int end)
{
	(void)end;

	return (begun % 2 ? 0 : vfio_remove(vfio.container, 0)) ?:
	       look(begun) ?: new_window() ?: fill();
}

/*
 * The memory; after a round all pages are unmapped, and both regions are
 * registered anew
 */

static bool unregistered[REGIONS];

static int unregister_round(unsigned int round)
{
	int i = round % REGIONS, ret;

	ret = vfio_unregister(vfio.container, region[i], EVENT_BYTES);
	unregistered[i] = !ret;

	return ret == -EBUSY ? 0 : ret;
}

static int unregister_over(unsigned int begun, unsigned int end)
{
	int ret, i;

	(void)end;
	ret = vfio_unmap(vfio.container, 0, SIZE);
	for (i = 0; i < REGIONS && !ret; i++) {
		/* Now nothing may be counted. */
		if (!unregistered[i])
			ret = vfio_unregister(vfio.container, region[i],
					      EVENT_BYTES);
		unregistered[i] = false;
		ret = ret ?: vfio_register(vfio.container, region[i],
					   EVENT_BYTES);
	}

	/* In half of the rounds it is registered and not mapped. */
	return ret ?: guest_detach(guest) ?: fill() ?:
	       begun % 4 < 2 ? ret : vfio_unmap(vfio.container, 0, SIZE);
}

static const struct removal {
	const char *what;
	int (*ready)(unsigned int round);
	int (*round)(unsigned int round);
	int (*over)(unsigned int begun, unsigned int end);
	/*
	 * A round leaves the group in the container and, registered again by
	 * @over if need be, the memory; @before is taken with them.
	 */
	bool container;
} removals[] = {
	{ "the container is closed", NULL, release_round, release_over, false },
	{ "the only group is detached", NULL, detach_round, detach_over,
	  false },
	{ "TCE_REMOVE", NULL, remove_round, remove_over, true },
	{ "KVM puts the table", put_ready, put_table_round, put_over, true },
	{ "UNREGISTER_MEMORY", NULL, unregister_round, unregister_over, true },
};

static struct event {
	const struct removal *removal;
	const struct hypercall *hypercall;
} event_races[ARRAY_SIZE(removals) * ARRAY_SIZE(hypercalls)];

static void test_event_race(const void *data)
{
	const struct event *event = data;
	const struct race event_race = {
		.batch = 1,
		.again = true,
		.ready = event->removal->ready,
		.side = { event->removal->round, event->hypercall->call },
		.over = event->removal->over,
	};

	new_regions();
	guest = guest_open();
	keeper = guest_open();
	before = state_now();
	vfio_open(&vfio);
	CHECK_EQ(guest_keep(keeper, 0), 0);
	if (event->removal->container) {
		CHECK_EQ(register_memory(), 0);
		CHECK_EQ(vfio_remove(vfio.container, 0), 0);
		before = state_now();
		CHECK_EQ(new_window(), 0);
		CHECK_EQ(fill(), 0);
	} else {
		vfio_close(&vfio);
		CHECK_EQ(vfio_attach(&vfio, vfio_open_container(), 0), 0);
		CHECK_EQ(open_round(), 0);
	}
	race_run(&event_race, race_rounds(ROUNDS));

	CHECK_EQ(vfio_unmap(vfio.container, 0, SIZE), 0);
	CHECK_EQ(vfio_unregister(vfio.container, region[MEMORY], EVENT_BYTES),
		 0);
	CHECK_EQ(vfio_unregister(vfio.container, region[OTHER], EVENT_BYTES),
		 0);
	close(keeper);
	close(guest);
	vfio_close(&vfio);
}

static void add_events(void)
{
	struct event *event = event_races;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(removals); i++) {
		for (j = 0; j < ARRAY_SIZE(hypercalls); j++, event++) {
			event->removal = &removals[i];
			event->hypercall = &hypercalls[j];
			tap_test_case(true, test_event_race, event,
				      "race: %s against %s",
				      hypercalls[j].what, removals[i].what);
		}
	}
}

static const struct test tests[] = {
	{ "race: KVM against KVM, same pages", true, test_race_pages },
	{ "race: KVM against KVM, pages and subpages", true,
	  test_race_subpages },
	{ "race: KVM against MAP_DMA and UNMAP_DMA", true, test_race_map },
	{ "race: two KVM threads against MAP_DMA and UNMAP_DMA", true,
	  test_race_map_two },
	{ "race: two KVM threads against MAP_DMA, UNMAP_DMA, one page", true,
	  test_race_map_one },
	{ "race: KVM against REGISTER_MEMORY and UNREGISTER_MEMORY", true,
	  test_race_unregister },
	{ "race: KVM against TCE_REMOVE and TCE_CREATE", true,
	  test_race_remove },
	{ "race: KVM against close of the container", true, test_race_close },
	{ "race: version 1, KVM against MAP_DMA, UNMAP_DMA, new pages", true,
	  test_race_v1 },
};

int main(void)
{
	rounds = race_rounds(CALLS);
	state_watch();
	add_tests(tests, ARRAY_SIZE(tests));
	add_events();

	return tap_main();
}
