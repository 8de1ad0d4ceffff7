// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's hypercalls. Contract: guest.h.
 */

#define _GNU_SOURCE

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "tap.h"
#include "vfio.h"

/* Size and alignment of the list of H_PUT_TCE_INDIRECT. */
#define LIST_BYTES	4096

int guest_open(void)
{
	int guest = open(TCE_KVM_TEST_DEVICE, O_RDWR | O_CLOEXEC);

	if (guest < 0)
		tap_bail(TCE_KVM_TEST_DEVICE ": %s", strerror(errno));

	return guest;
}

static void set_device(struct tce_kvm_attach *args, unsigned int device)
{
	const char *address = getenv(device ? "VFIO_DEVICE2" : "VFIO_DEVICE");
	unsigned int slot, function;

	if (!address || sscanf(address, "%x:%x:%x.%x", &args->domain,
			       &args->bus, &slot, &function) != 4)
		tap_bail("no address of a device in the environment");
	args->devfn = slot << 3 | function;
}

int guest_attach(int guest, unsigned int device, __u64 start, __u64 size,
		 unsigned int page_shift)
{
	struct tce_kvm_attach args = {
		.page_shift = page_shift,
		.start = start,
		.size = size,
	};

	set_device(&args, device);

	return vfio_ioctl(guest, TCE_KVM_ATTACH, &args);
}

int guest_keep(int guest, unsigned int device)
{
	struct tce_kvm_attach args = {};

	set_device(&args, device);

	return vfio_ioctl(guest, TCE_KVM_KEEP, &args);
}

int guest_detach(int guest)
{
	return vfio_ioctl(guest, TCE_KVM_DETACH, NULL);
}

int guest_forget(int guest)
{
	return vfio_ioctl(guest, TCE_KVM_FORGET, NULL);
}

int guest_recall(int guest)
{
	return vfio_ioctl(guest, TCE_KVM_RECALL, NULL);
}

int guest_paused(int guest)
{
	return vfio_ioctl(guest, TCE_KVM_PAUSED, NULL);
}

long hcall_args(int guest, unsigned long request, struct tce_kvm_hcall *args)
{
	int ret = vfio_ioctl(guest, request, args);

	if (ret == -ENXIO)
		return GUEST_NO_TABLE;
	if (ret)
		tap_bail("a hypercall: %s", strerror(-ret));

	return args->status;
}

long hcall(int guest, unsigned long request, __u64 ioba, __u64 value,
	   __u64 npages)
{
	struct tce_kvm_hcall args = {
		.ioba = ioba,
		.value = value,
		.npages = npages,
	};

	return hcall_args(guest, request, &args);
}

long h_put(int guest, __u64 ioba, const void *page, unsigned int flags)
{
	return hcall(guest, TCE_KVM_PUT, ioba, (uintptr_t)page | flags, 0);
}

long client_put(struct vfio *vfio, int guest, __u64 ioba, void *page,
		bool passed_up)
{
	unsigned int tries;
	long status = 0;

	for (tries = 0; tries < CLIENT_TRIES; tries++) {
		status = h_put(guest, ioba, page, MAP_BOTH);
		if (status != TCE_KVM_TOO_HARD || !passed_up)
			break;
		CHECK_EQ(vfio_map(vfio->container, ioba, page, 4096, MAP_BOTH),
			 0);
	}

	return status;
}

long h_unmap(int guest, __u64 ioba)
{
	return hcall(guest, TCE_KVM_PUT, ioba, 0, 0);
}

long h_clear(int guest, __u64 ioba)
{
	return hcall(guest, TCE_KVM_CLEAR, ioba, 0, 0);
}

long h_stuff(int guest, __u64 ioba, __u64 npages)
{
	return hcall(guest, TCE_KVM_STUFF, ioba, 0, npages);
}

const __u64 *guest_list(const unsigned char *page, unsigned int page_shift,
			unsigned int npages, unsigned int flags)
{
	static __thread __u64 *list;
	unsigned int i;

	if (!list)
		list = aligned_alloc(LIST_BYTES, LIST_BYTES);
	if (!list)
		tap_bail("no memory");
	for (i = 0; i < npages && i < LIST_BYTES / sizeof(*list); i++)
		list[i] = htobe64(((uintptr_t)page + ((__u64)i << page_shift)) |
				  flags);

	return list;
}

long h_indirect(int guest, __u64 ioba, const unsigned char *page,
		unsigned int page_shift, unsigned int npages,
		unsigned int flags)
{
	const __u64 *list = guest_list(page, page_shift, npages, flags);

	return hcall(guest, TCE_KVM_PUT_INDIRECT, ioba, (uintptr_t)list,
		     npages);
}
