// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's changes of a table when a guest maps and unmaps, measured in the kernel
 * (../kvm/tce_kvm_time.h), and MAP_DMA and UNMAP_DMA over KVM's entries.
 */

#define _GNU_SOURCE

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kvm/tce_kvm_time.h"
#include "bench.h"
#include "guest.h"

/* Entries per call; the longest list of H_PUT_TCE_INDIRECT. */
#define ENTRIES		512
#define OTHER_REGIONS	32

static const struct kind {
	struct geometry geometry;
	/* IOMMU page size of the guest, as a shift. */
	unsigned int guest_shift;
	/* Registers OTHER_REGIONS further regions of a page. */
	bool regions;
} kinds[] = {
	{ { "4k1", 12, 30, 1 }, 12, false },
	{ { "4k2", 12, 30, 2 }, 12, false },
	{ { "4k3", 12, 30, 3 }, 12, false },
	{ { "4k2-regions", 12, 30, 2 }, 12, true },
	{ { "64k-on-4k1", 12, 30, 1 }, 16, false },
	{ { "64k1", 16, 34, 1 }, 16, false },
	{ { "64k2", 16, 34, 2 }, 16, false },
	{ { "64k3", 16, 34, 3 }, 16, false },
};

/* State of the entries before the call. */
enum state { NOTHING, KVMS, VFIOS, KVMS_OVER_VFIOS, NEVER };

/* Ioctls of VFIO that are measured, besides enum tce_kvm_time_what. */
#define MAP		100
#define UNMAP		101

static const struct work {
	const char *name;
	enum state state;
	unsigned int what;
	unsigned int count;
} works[] = {
	{ "kvm-put-set", NOTHING, TCE_KVM_TIME_PUT, ENTRIES },
	{ "kvm-put-replace", KVMS, TCE_KVM_TIME_PUT, ENTRIES },
	{ "kvm-put-clear", KVMS, TCE_KVM_TIME_CLEAR, ENTRIES },
	{ "kvm-put-empty", NOTHING, TCE_KVM_TIME_CLEAR, ENTRIES },
	{ "kvm-indirect-set", NOTHING, TCE_KVM_TIME_INDIRECT, ENTRIES },
	{ "kvm-indirect-replace", KVMS, TCE_KVM_TIME_INDIRECT, ENTRIES },
	{ "kvm-stuff-clear", KVMS, TCE_KVM_TIME_STUFF, ENTRIES },
	{ "kvm-stuff-empty", NOTHING, TCE_KVM_TIME_STUFF, ENTRIES },
	{ "kvm-indirect-set", NOTHING, TCE_KVM_TIME_INDIRECT, 1 },
	{ "kvm-stuff-clear", KVMS, TCE_KVM_TIME_STUFF, 1 },
	/* In levels that are not allocated. */
	{ "kvm-put-new", NEVER, TCE_KVM_TIME_PUT, 1 },
	{ "kvm-indirect-new", NEVER, TCE_KVM_TIME_INDIRECT, ENTRIES },
	{ "kvm-stuff-new", NEVER, TCE_KVM_TIME_STUFF, ENTRIES },
	/* The callbacks alone. */
	{ "kvm-address", NOTHING, TCE_KVM_TIME_ADDRESS, ENTRIES },
	{ "kvm-address-ro", NOTHING, TCE_KVM_TIME_ADDRESS_RO, ENTRIES },
	{ "kvm-exchange-empty", NOTHING, TCE_KVM_TIME_EXCHANGE, ENTRIES },
	/* KVM's calls on entries of VFIO, and the reverse. */
	{ "kvm-indirect-vfios", VFIOS, TCE_KVM_TIME_INDIRECT, ENTRIES },
	{ "kvm-stuff-vfios", VFIOS, TCE_KVM_TIME_STUFF, ENTRIES },
	{ "kvm-stuff-over-vfios", KVMS_OVER_VFIOS, TCE_KVM_TIME_STUFF,
	  ENTRIES },
	{ "map-kvm-nothing", NOTHING, MAP, ENTRIES },
	{ "map-kvm-kvms", KVMS, MAP, ENTRIES },
	{ "unmap-kvm-kvms", KVMS, UNMAP, ENTRIES },
};

static const struct kind *kind;
static const struct work *work;
static unsigned char *memory, *others;
static const __u64 *list;
static int guest = -1;
static uint64_t offset;
/* Offset up to which levels may be allocated. */
static uint64_t used;

static uint64_t bytes(void)
{
	return (uint64_t)ENTRIES << kind->guest_shift;
}

/* Nanoseconds, or BENCH_FAILED. */
static uint64_t call(unsigned int what, unsigned int count)
{
	struct tce_kvm_time time = {
		.what = what,
		.count = count,
		.ioba = bench_window + offset,
	};

	if (what == TCE_KVM_TIME_PUT)
		time.value = (uintptr_t)memory | MAP_BOTH;
	else if (what == TCE_KVM_TIME_INDIRECT)
		time.value = (uintptr_t)list;
	bench_must(vfio_ioctl(guest, TCE_KVM_TIME_RUN, &time),
		   "TCE_KVM_TIME_RUN");

	return time.status ? BENCH_FAILED : time.ns;
}

static void set_by_vfio(void)
{
	bench_map(offset, memory, bytes());
}

static void set_by_kvm(void)
{
	/*
	 * If KVM cannot allocate a level, it passes the hypercall up to user
	 * space, which maps.
	 */
	if (call(TCE_KVM_TIME_INDIRECT, ENTRIES) != BENCH_FAILED)
		return;
	set_by_vfio();
	call(TCE_KVM_TIME_INDIRECT, ENTRIES);
}

static void prepare(void)
{
	if (work->state == NEVER) {
		used += 1ULL << (kind->geometry.window_shift - 5);
		offset = used;
		return;
	}

	/* Allocates the levels and the view, whatever the state is to be. */
	set_by_kvm();
	if (work->state == KVMS)
		return;
	call(TCE_KVM_TIME_STUFF, ENTRIES);
	if (work->state == NOTHING)
		return;
	set_by_vfio();
	if (work->state == KVMS_OVER_VFIOS)
		set_by_kvm();
}

static uint64_t run(void)
{
	uint64_t start = bench_now();

	switch (work->what) {
	case MAP:
		bench_map(offset, memory, bytes());
		return bench_now() - start;
	case UNMAP:
		bench_unmap(offset, bytes());
		return bench_now() - start;
	}

	return call(work->what, work->count);
}

static void clear(void)
{
	bench_unmap(offset, bytes());
}

static void open_guest(void)
{
	uint64_t page = vfio_page_size();
	unsigned int i;

	bench_open(&kind->geometry, memory, bytes());
	if (guest >= 0)
		return;

	guest = open(TCE_KVM_TIME_DEVICE, O_RDWR | O_CLOEXEC);
	if (guest < 0)
		tap_bail(TCE_KVM_TIME_DEVICE);
	bench_must(guest_attach(guest, 0, bench_window,
				1ULL << kind->geometry.window_shift,
				kind->guest_shift), "ATTACH");
	for (i = 0; kind->regions && i < OTHER_REGIONS; i++)
		bench_must(vfio_register(bench_vfio.container,
					 others + i * page, page),
			   "REGISTER_MEMORY");
	used = 1ULL << (kind->geometry.window_shift - 2);
	list = guest_list(memory, kind->guest_shift, ENTRIES, MAP_BOTH);
}

static void close_guest(void)
{
	if (guest >= 0)
		close(guest);
	guest = -1;
	bench_close();
}

static void measure(void)
{
	char name[64];
	struct row row = {
		.work = name,
		.param = work->count,
		.per = work->count,
		.before = prepare,
		.timed = run,
		.after = clear,
	};

	snprintf(name, sizeof(name), "%s-%s", work->name, kind->geometry.name);
	if (!bench_selected(name, row.param))
		return;

	open_guest();
	offset = 0;
	if (work->state == NEVER)
		row.rounds = 2;
	bench_row(&row);
}

void bench_hypercalls(void)
{
	size_t i, j;

	others = vfio_memory(OTHER_REGIONS * vfio_page_size());
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		kind = &kinds[i];
		if (!bench_supported(&kind->geometry) ||
		    kind->geometry.page_shift > vfio_page_shift())
			continue;
		memory = vfio_memory(bytes());
		for (j = 0; j < ARRAY_SIZE(works); j++) {
			work = &works[j];
			measure();
		}
		close_guest();
		munmap(memory, bytes());
	}
	munmap(others, OTHER_REGIONS * vfio_page_size());
}
