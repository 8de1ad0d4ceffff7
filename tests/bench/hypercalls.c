// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KVM does to a table when a guest maps and unmaps, timed in the kernel
 * (../kvm/tce_kvm_time.h), and what VFIO's calls cost beside it.
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

/* Entries that are changed in a row; as many as a list of H_PUT_TCE_INDIRECT has. */
#define ENTRIES		512
#define OTHER_REGIONS	32

static const struct kind {
	struct geometry geometry;
	/* The guest's IOMMU pages. */
	unsigned int guest_shift;
	/* More memory is registered, page by page. */
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

/* What is there before. */
enum state { NOTHING, KVMS, VFIOS, KVMS_OVER_VFIOS, NEVER };

/* What is measured; calls of VFIO besides KVM's. */
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
	/* Levels that nothing has used. */
	{ "kvm-put-new", NEVER, TCE_KVM_TIME_PUT, 1 },
	{ "kvm-indirect-new", NEVER, TCE_KVM_TIME_INDIRECT, ENTRIES },
	{ "kvm-stuff-new", NEVER, TCE_KVM_TIME_STUFF, ENTRIES },
	/* What they are made of. */
	{ "kvm-address", NOTHING, TCE_KVM_TIME_ADDRESS, ENTRIES },
	{ "kvm-address-ro", NOTHING, TCE_KVM_TIME_ADDRESS_RO, ENTRIES },
	{ "kvm-exchange-empty", NOTHING, TCE_KVM_TIME_EXCHANGE, ENTRIES },
	/* VFIO's entries and KVM's, over each other. */
	{ "kvm-indirect-vfios", VFIOS, TCE_KVM_TIME_INDIRECT, ENTRIES },
	{ "kvm-stuff-vfios", VFIOS, TCE_KVM_TIME_STUFF, ENTRIES },
	{ "kvm-stuff-over-vfios", KVMS_OVER_VFIOS, TCE_KVM_TIME_STUFF, ENTRIES },
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
/* Up to here leaves have been used, so a new one is further up. */
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
	bench_must(vfio_ioctl(guest, TCE_KVM_TIME_RUN, &time), "TCE_KVM_TIME_RUN");

	return time.status ? BENCH_FAILED : time.ns;
}

static void set_by_vfio(void)
{
	bench_map(offset, memory, bytes());
}

static void set_by_kvm(void)
{
	/* Without a level KVM hands its call up, and user space maps. */
	if (call(TCE_KVM_TIME_INDIRECT, ENTRIES) != BENCH_FAILED)
		return;
	set_by_vfio();
	call(TCE_KVM_TIME_INDIRECT, ENTRIES);
}

static void make_ready(void)
{
	if (work->state == NEVER) {
		used += 1ULL << (kind->geometry.window_shift - 5);
		offset = used;
		return;
	}

	/* Entries are the caller's to see as KVM's were: levels are there, and used. */
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
		bench_must(vfio_register(bench_vfio.container, others + i * page,
					 page), "REGISTER_MEMORY");
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
		.before = make_ready,
		.timed = run,
		.after = clear,
	};

	snprintf(name, sizeof(name), "%s-%s", work->name, kind->geometry.name);
	if (!bench_wanted(name, row.param))
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
		if (!bench_possible(&kind->geometry) ||
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
