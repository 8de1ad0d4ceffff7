// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCE kills: the entry of each page that is mapped or unmapped is invalidated
 * after it was changed, and before the page is unpinned.
 * ../kill/tce_kill_test.c records the kills.
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
#include <sys/auxv.h>
#include <unistd.h>

#include "file.h"
#include "guest.h"
#include "race.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define PARAMETERS	"/sys/module/tce_kill_test/parameters/"

#define PAGE_SHIFT	12
#define IOMMU_PAGE	BIT_ULL(PAGE_SHIFT)
#define SIZE		BIT_ULL(30)
#define LEVELS		3
#define LEAF_BYTES	(512 * IOMMU_PAGE)

#define IOVA		0x200000
#define ENTRY		(IOVA >> PAGE_SHIFT)
/* Many entries, in two leaves. */
#define MANY		300
#define MANY_IOVA	(4 * LEAF_BYTES - 100 * IOMMU_PAGE)
#define MANY_ENTRY	(MANY_IOVA >> PAGE_SHIFT)
/* Beyond a hole that is too large to be part of one kill. */
#define FAR		(64 * LEAF_BYTES)
/* The largest hole between two batches that is part of one, but on POWER8. */
#define GAP		512

/*
 * Many entries, which are more than one kill has. The longest one has longest()
 * entries.
 */
#define LONG		(BIT_ULL(16) + 1)

/* The time of a slow kill; correctness does not depend on it. */
#define SLOW_MS		1000

static unsigned char *memory;
static size_t page;
static struct vfio vfio;

/* The record of tests/kill, see tce_kill_test.c. */
struct seen {
	unsigned long kills;
	unsigned long first;
	unsigned long end;
	unsigned long set;
	unsigned long pinned;
	unsigned long longest;
};

static void watch_write(const char *text)
{
	write_file(PARAMETERS "watch", text);
}

/* From here on kills are recorded, and whether @page was pinned then. */
static void watch(const unsigned char *page)
{
	char text[100];

	snprintf(text, sizeof(text), "%s %#" PRIxPTR, getenv("VFIO_DEVICE"),
		 (uintptr_t)page);
	watch_write(text);
}

static struct seen read_seen(void)
{
	FILE *file = fopen(PARAMETERS "seen", "r");
	struct seen seen;

	if (!file ||
	    fscanf(file, "%lu %lu %lu %lu %lu %lu", &seen.kills, &seen.first,
		   &seen.end, &seen.set, &seen.pinned, &seen.longest) != 6)
		tap_bail(PARAMETERS "seen cannot be read");
	fclose(file);

	return seen;
}

/*
 * Checks the first and the last entry that were killed, and how many entries
 * were set when they were killed.
 */
#define CHECK_KILLED(first, count, set) \
	check_killed(first, count, set, __FILE__, __LINE__)
static void check_killed(unsigned long first, unsigned long count,
			 unsigned long set, const char *file, int line)
{
	struct seen now = read_seen();

	tap_check(now.kills > 0, file, line, "there was a kill");
	tap_check_equal(now.first, first, file, line, "first entry");
	tap_check_equal(now.end, first + count, file, line, "end of entries");
	tap_check_equal(now.set, set, file, line, "entries that were set");
}

/*
 * PHB3, the PHB of POWER8, has no command to kill many entries at once, so each
 * entry of a kill takes time there.
 */
static bool is_phb3(void)
{
	return !vfio_is_guest() &&
	       !(getauxval(AT_HWCAP2) & PPC_FEATURE2_ARCH_3_00);
}

static unsigned int longest(void)
{
	return is_phb3() ? 4096 : 65536;
}

static int map(__u64 iova, const unsigned char *page, unsigned int count)
{
	return vfio_map(vfio.container, iova, page, count * IOMMU_PAGE,
			MAP_BOTH);
}

static int unmap(__u64 iova, unsigned int count)
{
	return vfio_unmap(vfio.container, iova, count * IOMMU_PAGE);
}

static void begin(void)
{
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, MANY * page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, SIZE, LEVELS, NULL),
		 0);
}

static void end(void)
{
	watch_write("off");
	vfio_close(&vfio);
}

/* A real-time task is not asked to reschedule, which would end a kill. */
static void real_time(bool on)
{
	const struct sched_param param = { .sched_priority = on };

	CHECK_EQ(sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param),
		 0);
}

static void test_one(void)
{
	begin();
	/* The first mapping allocates levels, the second one does not. */
	watch(memory);
	CHECK_EQ(map(IOVA, memory, 1), 0);
	CHECK_KILLED(ENTRY, 1, 1);
	watch(memory);
	CHECK_EQ(map(IOVA + IOMMU_PAGE, memory, 1), 0);
	CHECK_KILLED(ENTRY + 1, 1, 1);

	/* It replaces a page. */
	watch(memory);
	CHECK_EQ(map(IOVA, memory + page, 1), 0);
	CHECK_KILLED(ENTRY, 1, 1);

	watch(memory);
	CHECK_EQ(unmap(IOVA, 2), 0);
	CHECK_KILLED(ENTRY, 2, 0);

	/* Nothing is mapped. */
	watch(memory);
	CHECK_EQ(unmap(IOVA, 2), 0);
	CHECK_EQ(read_seen().kills, 0);
	end();
}

/*
 * The least number of kills of several attempts: if the scheduler wants to run
 * another task, a command kills what it has changed so far.
 */
static unsigned long least_kills(void (*attempt)(unsigned int hole),
				 unsigned int hole)
{
	unsigned long kills, least = -1UL;
	unsigned int tries;

	real_time(true);
	for (tries = 0; tries < 5; tries++) {
		attempt(hole);
		kills = read_seen().kills;
		if (kills < least)
			least = kills;
	}
	real_time(false);

	return least;
}

static void map_many(unsigned int unused)
{
	(void)unused;
	watch(memory);
	CHECK_EQ(map(MANY_IOVA, memory, MANY), 0);
	CHECK_KILLED(MANY_ENTRY, MANY, MANY);
}

/* All mappings, with a hole between them. */
static void unmap_many(unsigned int unused)
{
	(void)unused;
	CHECK_EQ(map(MANY_IOVA, memory, MANY), 0);
	CHECK_EQ(map(FAR, memory, 1), 0);
	watch(memory);
	CHECK_EQ(vfio_unmap(vfio.container, 0, SIZE), 0);
	CHECK_KILLED(MANY_ENTRY, (FAR >> PAGE_SHIFT) + 1 - MANY_ENTRY, 0);
	CHECK(read_seen().longest <= MANY);
}

static void test_many(void)
{
	begin();
	/* The first attempt maps, the others replace pages. */
	CHECK_EQ(least_kills(map_many, 0), 1);
	watch(memory);
	CHECK_EQ(map(MANY_IOVA, memory + page, MANY - 1), 0);
	CHECK_KILLED(MANY_ENTRY, MANY - 1, MANY - 1);
	CHECK_EQ(least_kills(unmap_many, 0), 2);
	end();
}

#define HOLES		2

/* Pages with holes of @hole pages between them. */
static void unmap_holes(unsigned int hole)
{
	const unsigned int stride = 1 + hole;
	unsigned int i;

	for (i = 0; i <= HOLES; i++)
		CHECK_EQ(map(IOVA + i * stride * IOMMU_PAGE, memory, 1), 0);
	watch(memory);
	CHECK_EQ(unmap(IOVA, (HOLES + 1) * stride), 0);
	CHECK_KILLED(ENTRY, HOLES * stride + 1, 0);
}

/* A kill for each mapping, unless it is as fast to kill the holes, too. */
static void test_holes(void)
{
	unsigned int least = is_phb3() ? HOLES + 1 : 1;

	begin();
	CHECK_EQ(least_kills(unmap_holes, 2), least);
	CHECK_EQ(least_kills(unmap_holes, GAP), least);
	CHECK_EQ(least_kills(unmap_holes, GAP + 1), HOLES + 1);
	end();
}

static void test_remove(void)
{
	begin();
	CHECK_EQ(map(MANY_IOVA, memory, MANY), 0);
	watch(memory);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_KILLED(MANY_ENTRY, MANY, 0);
	end();
}

static void test_longest(void)
{
	unsigned int done, count;

	begin();
	for (done = 0; done < LONG; done += count) {
		count = LONG - done;
		if (count > MANY)
			count = MANY;
		CHECK_EQ(map(done * IOMMU_PAGE, memory, count), 0);
	}
	watch(memory);
	real_time(true);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	real_time(false);
	CHECK_KILLED(0, LONG, 0);
	CHECK(read_seen().longest <= longest());
	tap_diag("the longest kill has %lu entries", read_seen().longest);
	/* Within a second the scheduler lets other tasks run. */
	CHECK(read_seen().kills > LONG / longest());
	end();
}

/* Leaves that are freed are killed as a whole, in parts of that length. */
static void test_freed(void)
{
	__u64 bytes, iova;

	begin();
	bytes = figures_number(0, "page_bytes");
	for (iova = 0; iova < SIZE; iova += LEAF_BYTES)
		CHECK_EQ(map(iova, memory, 1), 0);
	watch(memory);
	CHECK_EQ(unmap(0, SIZE / IOMMU_PAGE), 0);
	/* Their memory is freed after the kill. */
	while (figures_number(0, "page_bytes") > bytes)
		usleep(10000);
	CHECK_KILLED(0, SIZE / IOMMU_PAGE, 0);
	CHECK(read_seen().longest > LEAF_BYTES / IOMMU_PAGE);
	CHECK(read_seen().longest <= longest());
	end();
}

/* A page of each of @count regions. */
static void unmap_regions(unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		CHECK_EQ(map(IOVA + i * IOMMU_PAGE, memory + i * page, 1), 0);
	watch(memory);
	CHECK_EQ(unmap(IOVA, count), 0);
	CHECK_KILLED(ENTRY, count, 0);
}

/* An UNMAP notes pages of 32 owners, without allocating, before it kills. */
static void test_regions(void)
{
	unsigned int i;

	vfio_open(&vfio);
	for (i = 0; i < 33; i++)
		CHECK_EQ(vfio_register(vfio.container, memory + i * page, page),
			 0);
	CHECK_EQ(least_kills(unmap_regions, 32), 1);
	CHECK_EQ(least_kills(unmap_regions, 33), 2);
	end();
}

static void test_guest(void)
{
	int guest;

	begin();
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, PAGE_SHIFT), 0);
	watch(memory);
	CHECK_EQ(h_put(guest, IOVA, memory, MAP_BOTH), TCE_KVM_SUCCESS);
	CHECK_KILLED(ENTRY, 1, 1);
	watch(memory);
	CHECK_EQ(h_unmap(guest, IOVA), TCE_KVM_SUCCESS);
	CHECK_KILLED(ENTRY, 1, 0);
	CHECK_EQ(guest_detach(guest), 0);
	close(guest);
	end();
}

/*
 * A hypercall with a slow kill. Until the kill is over, a device may access the
 * page that the hypercall has unmapped, so it must stay pinned, whatever is
 * removed meanwhile.
 */

static struct slow {
	pthread_t thread;
	const struct slow_case *what;
	int guest;
	long status;
} slow;

static const struct slow_case {
	const char *name;
	unsigned long request;
	bool maps;
} slow_cases[] = {
	{ "H_PUT_TCE that unmaps", TCE_KVM_PUT, false },
	{ "H_PUT_TCE that replaces a page", TCE_KVM_PUT, true },
	{ "H_STUFF_TCE", TCE_KVM_STUFF, false },
};

/* The number of slow kills in progress. */
static int slow_kills(void)
{
	return read_number(PARAMETERS "slow_now");
}

/* Makes the hypercall. The delay of its kill keeps the CPU busy. */
static void *slow_call(void *data)
{
	const void *other = memory + (MANY - 1) * page;

	(void)data;
	run_on_cpu(1);
	slow.status = hcall(slow.guest, slow.what->request, IOVA,
			    slow.what->maps ? (uintptr_t)other | MAP_BOTH : 0,
			    1);

	return NULL;
}

/* Delays the next kill, and lets a thread make it. */
static pthread_t slow_start(void *(*call)(void *data))
{
	pthread_t thread;
	char text[20];

	watch(memory);
	snprintf(text, sizeof(text), "%d", SLOW_MS);
	write_file(PARAMETERS "slow", text);
	if (pthread_create(&thread, NULL, call, NULL))
		tap_bail("no thread");
	while (!slow_kills() && !read_seen().kills)
		sched_yield();

	return thread;
}

static void slow_begin(const struct slow_case *what)
{
	run_on_cpu(0);
	/* The unmapped page is a region of its own. */
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(vfio_register(vfio.container, memory + page,
			       (MANY - 1) * page),
		 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, SIZE, LEVELS, NULL),
		 0);
	CHECK_EQ(map(IOVA, memory, 1), 0);
	slow.guest = guest_open();
	CHECK_EQ(guest_attach(slow.guest, 0, 0, SIZE, PAGE_SHIFT), 0);
	slow.what = what;
	slow.thread = slow_start(slow_call);
}

static void slow_end(void)
{
	pthread_join(slow.thread, NULL);
	CHECK(slow.status == TCE_KVM_SUCCESS ||
	      slow.status == TCE_KVM_TOO_HARD);
	watch_write("off");
	close(slow.guest);
}

static void *close_container(void *data)
{
	(void)data;
	vfio_close(&vfio);

	return NULL;
}

static void test_slow_release(const void *data)
{
	struct state before = state_now();
	unsigned int looks = 0;
	pthread_t thread;
	int pinned;

	slow_begin(data);
	if (pthread_create(&thread, NULL, close_container, NULL))
		tap_bail("no thread");
	for (;;) {
		pinned = read_number(PARAMETERS "pinned");
		if (!slow_kills())
			break;
		CHECK(pinned);
		looks++;
	}
	pthread_join(thread, NULL);
	slow_end();
	tap_diag("checked %u times", looks);
	CHECK(looks > 0);
	CHECK_STATE(&before);
}

static void test_slow_unregister(const void *data)
{
	unsigned int busy = 0;
	int ret;

	slow_begin(data);
	for (;;) {
		int now = slow_kills();

		ret = vfio_unregister(vfio.container, memory, page);
		if (ret != -EBUSY)
			break;
		/* The kill is over; the page is released now, or soon. */
		if (!now && busy++ > 1000)
			break;
	}
	CHECK_EQ(ret, 0);
	CHECK_EQ(slow_kills(), 0);
	slow_end();
	vfio_close(&vfio);
}

/*
 * Checks that what has just unmapped IOVA has killed it, unless the slow kill
 * is over.
 */
static void check_killed_again(long status)
{
	struct seen seen = read_seen();

	CHECK_EQ(status, 0);
	CHECK(!slow_kills() || seen.kills > 0);
}

/* Others find the entry empty, or the new page, and unmap it, too. */
static void test_slow_unmap(const void *data)
{
	int guest;

	slow_begin(data);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, PAGE_SHIFT), 0);
	watch(memory);
	check_killed_again(unmap(IOVA, 1));
	watch(memory);
	check_killed_again(unmap(IOVA, 2));
	watch(memory);
	check_killed_again(h_unmap(guest, IOVA));
	watch(memory);
	check_killed_again(h_stuff(guest, IOVA, 1));
	tap_diag("the slow kill is %s", slow_kills() ? "not over" : "over");
	close(guest);
	slow_end();
	vfio_close(&vfio);
}

static void *unmap_one(void *data)
{
	(void)data;
	run_on_cpu(1);
	CHECK_EQ(unmap(IOVA, 1), 0);

	return NULL;
}

static void test_slow_ioctl(void)
{
	pthread_t thread;

	run_on_cpu(0);
	begin();
	CHECK_EQ(map(IOVA, memory, 1), 0);
	thread = slow_start(unmap_one);
	watch(memory);
	check_killed_again(unmap(IOVA, 1));
	watch(memory);
	check_killed_again(unmap(IOVA - IOMMU_PAGE, 3));
	pthread_join(thread, NULL);
	end();
}

/*
 * H_PUT_TCE fails for the second half of a guest's page, which is not
 * registered: KVM clears the entries and kills none of them. UNMAP_DMA, by
 * which user space handles the hypercall, must.
 */
static void test_failed(void)
{
	unsigned char *half = (void *)(((uintptr_t)memory + 2 * page - 1) &
				       ~(uintptr_t)(2 * page - 1));
	unsigned int count = 2 * page / IOMMU_PAGE;
	int guest;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, half, page), 0);
	CHECK_EQ(vfio_register(vfio.container, half + 2 * page, 2 * page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_create(vfio.container, PAGE_SHIFT, SIZE, LEVELS, NULL),
		 0);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, __builtin_ctzl(2 * page)), 0);
	CHECK_EQ(map(IOVA, half + 2 * page, count), 0);
	CHECK_EQ(h_put(guest, IOVA, half, MAP_BOTH), TCE_KVM_TOO_HARD);
	watch(memory);
	CHECK_EQ(unmap(IOVA, count), 0);
	CHECK_KILLED(ENTRY, count, 0);
	close(guest);
	end();
}

static void add_slow_tests(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(slow_cases); i++) {
		tap_test_case(true, test_slow_release, &slow_cases[i],
			      "%s: the page is pinned until the kill",
			      slow_cases[i].name);
		tap_test_case(true, test_slow_unregister, &slow_cases[i],
			      "%s: UNREGISTER_MEMORY is refused until the kill",
			      slow_cases[i].name);
		tap_test_case(true, test_slow_unmap, &slow_cases[i],
			      "%s: what unmaps meanwhile kills, too",
			      slow_cases[i].name);
	}
}

/* Version 1: a page is pinned only while it is mapped. */

static void begin_v1(void)
{
	int container = vfio_open_container();

	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(vfio_ioctl(container, VFIO_IOMMU_ENABLE, NULL), 0);
	watch(memory);
	CHECK_EQ(map(IOVA, memory, 1), 0);
	CHECK_KILLED(ENTRY, 1, 1);
}

static void test_v1_unmap(void)
{
	begin_v1();
	watch(memory);
	CHECK_EQ(unmap(IOVA, 1), 0);
	CHECK_KILLED(ENTRY, 1, 0);
	CHECK_EQ(read_seen().pinned, read_seen().kills);

	/* From then on the page is not pinned. */
	watch(memory);
	CHECK_EQ(map(IOVA, memory + page, 1), 0);
	CHECK(read_seen().kills > 0);
	CHECK_EQ(read_seen().pinned, 0);
	end();
}

static void test_v1_replace(void)
{
	begin_v1();
	watch(memory);
	CHECK_EQ(map(IOVA, memory + page, 1), 0);
	CHECK_KILLED(ENTRY, 1, 1);
	CHECK_EQ(read_seen().pinned, read_seen().kills);
	watch(memory);
	CHECK_EQ(unmap(IOVA, 1), 0);
	CHECK(read_seen().kills > 0);
	CHECK_EQ(read_seen().pinned, 0);
	end();
}

static void test_v1_disable(void)
{
	begin_v1();
	watch(memory);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_IOMMU_DISABLE, NULL), 0);
	CHECK_KILLED(ENTRY, 1, 0);
	CHECK_EQ(read_seen().pinned, read_seen().kills);
	end();
}

int main(void)
{
	page = vfio_page_size();
	memory = vfio_memory(MANY * page);
	state_watch();

	tap_test_ours("TCEs are killed after a page was mapped or unmapped",
		      test_one);
	tap_test_ours("the TCEs of many pages are killed", test_many);
	tap_test_ours("holes are killed only where that takes no time",
		      test_holes);
	tap_test_ours("TCE_REMOVE kills all TCEs that were mapped",
		      test_remove);
	tap_test_ours("a kill has no more entries than the PHB allows",
		      test_longest);
	tap_test_ours("the TCEs of leaves that are freed are killed",
		      test_freed);
	tap_test_ours("pages of many regions are killed together",
		      test_regions);
	tap_test_ours("hypercalls kill TCEs", test_guest);
	add_slow_tests();
	tap_test_ours("UNMAP_DMA: what unmaps meanwhile kills, too",
		      test_slow_ioctl);
	tap_test_ours("UNMAP_DMA kills what a failed H_PUT_TCE has cleared",
		      test_failed);
	tap_test_ours("version 1: UNMAP_DMA unpins a page after the kill",
		      test_v1_unmap);
	tap_test_ours("version 1: MAP_DMA unpins a page after the kill",
		      test_v1_replace);
	tap_test_ours("version 1: DISABLE unpins a page after the kill",
		      test_v1_disable);

	return tap_main();
}
