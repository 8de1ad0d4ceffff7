// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hypercall is stopped at each of its steps while something else happens:
 * each call of KVM against each way to remove or change what it uses.
 * ../kvm/tce_kvm_test.c stops there for some time, without sleeping, as if the
 * CPU were busy with an interrupt or another guest; without
 * CONFIG_PREEMPT_COUNT this delays grace periods, as it would for KVM.
 *
 * In the end exactly the mapped pages must be counted, and nothing of removed
 * objects may be left.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"
#include "race.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"
#include "witness.h"

/*
 * Long enough for the other side to begin; correctness does not depend on it.
 */
#define PAUSE_MS	40

/* The number of pages of a call. */
#define PAGES		2
#define RANGE		(PAGES * IOMMU_PAGE)

static struct vfio vfio;
static int guest, vcpu;

/* Mappings before the call. */
static void nothing(void)
{
}

static void by_vfio(void)
{
	CHECK_EQ(vfio_map(vfio.container, IOVA, region[MEMORY], RANGE,
			  MAP_BOTH),
		 0);
}

static void by_kvm(void)
{
	CHECK_EQ(h_indirect(guest, IOVA, region[MEMORY], PAGE_SHIFT, PAGES,
			    MAP_BOTH),
		 TCE_KVM_SUCCESS);
}

/* One page mapped by each, in the same leaf. */
static void by_both(void)
{
	by_vfio();
	CHECK_EQ(h_put(guest, IOVA + IOMMU_PAGE, region[OTHER], MAP_BOTH),
		 TCE_KVM_SUCCESS);
}

static const struct call {
	const char *what;
	void (*before)(void);
	unsigned long request;
	/* It maps pages of OTHER. */
	bool maps;
} calls[] = {
	{ "H_PUT_TCE", nothing, TCE_KVM_PUT, true },
	{ "H_PUT_TCE replaces VFIO's page", by_vfio, TCE_KVM_PUT, true },
	{ "H_PUT_TCE replaces KVM's page", by_kvm, TCE_KVM_PUT, true },
	{ "H_PUT_TCE unmaps VFIO's page", by_vfio, TCE_KVM_PUT, false },
	{ "H_PUT_TCE unmaps KVM's page", by_kvm, TCE_KVM_PUT, false },
	{ "H_PUT_TCE_INDIRECT", nothing, TCE_KVM_PUT_INDIRECT, true },
	{ "H_PUT_TCE_INDIRECT replaces both", by_both, TCE_KVM_PUT_INDIRECT,
	  true },
	{ "H_STUFF_TCE unmaps VFIO's pages", by_vfio, TCE_KVM_STUFF, false },
	{ "H_STUFF_TCE unmaps both", by_both, TCE_KVM_STUFF, false },
};

static const char *const steps[] = {
	[TCE_KVM_PAUSE_ADDRESS] = "the address",
	[TCE_KVM_PAUSE_COUNTED] = "counting",
	[TCE_KVM_PAUSE_EXCHANGED] = "the exchange",
	[TCE_KVM_PAUSE_KILL] = "the store",
	[TCE_KVM_PAUSE_KILLED] = "the kill",
};

/* The hypercall that is stopped. */
static struct stopped {
	pthread_t thread;
	const struct call *call;
	unsigned int step;
	long status;
	bool over;
} stopped;

/* Cases in which the other side began while the call was stopped. */
static unsigned int overlapped;

static void *call_thread(void *data)
{
	const struct call *call = stopped.call;
	struct tce_kvm_hcall args = {
		.ioba = IOVA,
		.npages = PAGES,
		.pause = stopped.step,
		.pause_ms = PAUSE_MS,
	};

	(void)data;
	run_on_cpu(1);
	if (call->request == TCE_KVM_PUT_INDIRECT)
		args.value = (uintptr_t)guest_list(region[OTHER], PAGE_SHIFT,
						   PAGES, MAP_BOTH);
	else if (call->maps)
		args.value = (uintptr_t)region[OTHER] | MAP_BOTH;
	stopped.status = hcall_args(guest, call->request, &args);
	__atomic_store_n(&stopped.over, true, __ATOMIC_RELEASE);

	return NULL;
}

static void start_call(const struct call *call, unsigned int step)
{
	stopped.call = call;
	stopped.step = step;
	stopped.over = false;
	if (pthread_create(&stopped.thread, NULL, call_thread, NULL))
		tap_bail("no thread");
	while (!guest_paused(guest))
		if (__atomic_load_n(&stopped.over, __ATOMIC_ACQUIRE))
			return;
	overlapped++;
}

static void finish_call(void)
{
	pthread_join(stopped.thread, NULL);
	CHECK(stopped.status == TCE_KVM_SUCCESS ||
	      stopped.status == TCE_KVM_TOO_HARD ||
	      stopped.status == GUEST_NO_TABLE);
}

/* What happens meanwhile */

/*
 * Some of these remove the window at 0. The regions and their witnesses stay,
 * unless the container goes.
 */
static void remove_window(void)
{
	struct figures figures;

	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK(!figures_read(0, &figures));
	finish_call();
	if (stopped.step < TCE_KVM_PAUSE_KILL && !stopped.call->maps)
		CHECK_EQ(stopped.status, TCE_KVM_SUCCESS);
}

static void close_container(void)
{
	vfio_close(&vfio);
	finish_call();
}

static void detach_group(void)
{
	vfio_detach(&vfio);
	finish_call();
}

static void detach_guest(void)
{
	CHECK_EQ(guest_detach(guest), 0);
	finish_call();
}

/* KVM has the last reference to the table. */
static void remove_and_detach(void)
{
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(guest_detach(guest), 0);
	finish_call();
}

static void unmap(void)
{
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, RANGE), 0);
	finish_call();
}

static void map(void)
{
	CHECK_EQ(vfio_map(vfio.container, IOVA, region[MEMORY], RANGE,
			  MAP_BOTH),
		 0);
	finish_call();
}

/* Another vCPU uses the same entry. */
static void map_by_vcpu(void)
{
	CHECK_EQ(h_put(vcpu, IOVA, region[MEMORY] + IOMMU_PAGE, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	finish_call();
	CHECK_EQ(stopped.status, TCE_KVM_SUCCESS);
}

static void unmap_by_vcpu(void)
{
	CHECK_EQ(h_stuff(vcpu, IOVA, PAGES), TCE_KVM_SUCCESS);
	finish_call();
	CHECK_EQ(stopped.status, TCE_KVM_SUCCESS);
}

/*
 * Without the witness this may succeed; then the region must not be in use, and
 * must not become used.
 */
static void unregister(int i)
{
	int ret;

	CHECK_EQ(vfio_unmap(vfio.container, WITNESS + i * IOMMU_PAGE,
			    IOMMU_PAGE),
		 0);
	ret = vfio_unregister(vfio.container, region[i], REGION_BYTES);
	CHECK(!ret || ret == -EBUSY);
	/* KVM has counted it, and will map it. */
	if (i == OTHER && stopped.call->maps &&
	    stopped.step >= TCE_KVM_PAUSE_COUNTED)
		CHECK_EQ(ret, -EBUSY);
	finish_call();
	if (!ret && i == OTHER && stopped.call->maps)
		CHECK_EQ(stopped.status, TCE_KVM_TOO_HARD);
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, RANGE), 0);
	if (ret)
		CHECK_EQ(vfio_unregister(vfio.container, region[i],
					 REGION_BYTES),
			 0);
	CHECK_EQ(vfio_register(vfio.container, region[i], REGION_BYTES), 0);
	CHECK_EQ(vfio_map(vfio.container, WITNESS + i * IOMMU_PAGE, region[i],
			  IOMMU_PAGE, MAP_READ), 0);
}

/* The region of the page that KVM removes, or of the one that it maps. */
static void unregister_old(void)
{
	unregister(MEMORY);
}

static void unregister_new(void)
{
	unregister(OTHER);
}

static const struct event {
	const char *what;
	void (*happens)(void);
	bool window_goes;
	bool container_goes;
} events[] = {
	{ "TCE_REMOVE", remove_window, true, false },
	{ "the container is closed", close_container, true, true },
	{ "the only group is detached", detach_group, true, true },
	{ "KVM puts the table", detach_guest, false, false },
	{ "TCE_REMOVE, and KVM puts the table", remove_and_detach, true,
	  false },
	{ "UNMAP_DMA", unmap, false, false },
	{ "MAP_DMA", map, false, false },
	{ "another vCPU maps", map_by_vcpu, false, false },
	{ "another vCPU unmaps", unmap_by_vcpu, false, false },
	{ "UNREGISTER_MEMORY of the old page", unregister_old, false, false },
	{ "UNREGISTER_MEMORY of the new page", unregister_new, false, false },
};

static bool reaches(const struct call *call, unsigned int step)
{
	return call->maps || step >= TCE_KVM_PAUSE_EXCHANGED;
}

static void check_case(const struct event *event, const struct call *call,
		       unsigned int step)
{
	struct state before = state_now();
	bool failed = tap_failed();

	new_regions();
	open_windows(&vfio);
	guest = open_guest(PAGE_SHIFT);
	vcpu = open_guest(PAGE_SHIFT);
	call->before();
	start_call(call, step);
	event->happens();

	if (!event->window_goes) {
		CHECK_EQ(vfio_unmap(vfio.container, IOVA, RANGE), 0);
		CHECK_MAPPED(0, 0);
	}
	close(guest);
	close(vcpu);
	if (!event->container_goes)
		check_all_counted(&vfio);
	vfio_close(&vfio);
	CHECK_STATE(&before);
	/* Only the first failure is named; others may be consequences. */
	if (!failed && tap_failed())
		tap_diag("%s, stopped after %s: %s", call->what, steps[step],
			 event->what);
}

static void test_event(const void *data)
{
	unsigned int cases = 0, step;
	size_t i;

	run_on_cpu(0);
	overlapped = 0;
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		for (step = 1; step < ARRAY_SIZE(steps); step++) {
			if (!reaches(&calls[i], step))
				continue;
			check_case(data, &calls[i], step);
			cases++;
		}
	}
	tap_diag("%u cases, the call was stopped in %u of them", cases,
		 overlapped);
	CHECK_EQ(overlapped, cases);
}

int main(void)
{
	size_t i;

	state_watch();
	for (i = 0; i < ARRAY_SIZE(events); i++)
		tap_test_case(true, test_event, &events[i],
			      "each hypercall, stopped at each step: %s",
			      events[i].what);

	return tap_main();
}
