/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's hypercalls, which tests/kvm makes as KVM makes them. They return
 * the values in ../kvm/tce_kvm_test.h, or GUEST_NO_TABLE.
 */
#ifndef E2E_GUEST_H
#define E2E_GUEST_H

#include <linux/types.h>
#include <stdbool.h>

#include "../kvm/tce_kvm_test.h"

/* The guest has no table. */
#define GUEST_NO_TABLE	(-1000)

/* Returns a file descriptor; close() ends the guest. */
int guest_open(void);

/*
 * Gives the guest a table of the test device's group, and takes it away. Return
 * 0 or -errno.
 */
int guest_attach(int guest, unsigned int device, __u64 start, __u64 size,
		 unsigned int page_shift);
int guest_detach(int guest);

/*
 * Skips the platform's take_ownership and release_ownership of the group until
 * close(), see TCE_KVM_KEEP.
 */
int guest_keep(int guest, unsigned int device);

/* See TCE_KVM_FORGET and TCE_KVM_RECALL. */
int guest_forget(int guest);
int guest_recall(int guest);

/* Any hypercall, named by its ioctl. */
long hcall(int guest, unsigned long request, __u64 ioba, __u64 value,
	   __u64 npages);

/* The same with all arguments. */
long hcall_args(int guest, unsigned long request, struct tce_kvm_hcall *args);

/* Whether a hypercall of the guest is paused, see TCE_KVM_PAUSED. */
int guest_paused(int guest);

/* H_PUT_TCE: maps one page; unmaps it. */
long h_put(int guest, __u64 ioba, const void *page, unsigned int flags);
long h_unmap(int guest, __u64 ioba);

/*
 * H_PUT_TCE as a client handles it: if it is passed up, which @passed_up
 * allows, user space maps the page with MAP_DMA. That also leaves some credit
 * for the next hypercall, which cannot charge memory, so the hypercall is
 * repeated.
 */
#define CLIENT_TRIES	50

struct vfio;
long client_put(struct vfio *vfio, int guest, __u64 ioba, void *page,
		bool passed_up);

/* Not a hypercall, see TCE_KVM_CLEAR. */
long h_clear(int guest, __u64 ioba);

/* H_STUFF_TCE: unmaps @npages pages. */
long h_stuff(int guest, __u64 ioba, __u64 npages);

/* H_PUT_TCE_INDIRECT: maps @npages contiguous pages. */
long h_indirect(int guest, __u64 ioba, const unsigned char *page,
		unsigned int page_shift, unsigned int npages,
		unsigned int flags);

/*
 * The list that h_indirect() passes to the hypercall. It belongs to the thread,
 * and is valid until the next call.
 */
const __u64 *guest_list(const unsigned char *page, unsigned int page_shift,
			unsigned int npages, unsigned int flags);

#endif /* E2E_GUEST_H */
