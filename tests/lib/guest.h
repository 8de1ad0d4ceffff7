/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's hypercalls, as ../kvm/tce_kvm_test.h makes them: KVM's side of a
 * table. What the hypercalls return is in that header; GUEST_NO_TABLE besides.
 */
#ifndef E2E_GUEST_H
#define E2E_GUEST_H

#include <linux/types.h>
#include <stdbool.h>

#include "../kvm/tce_kvm_test.h"

/* The guest has no table at the moment. */
#define GUEST_NO_TABLE	(-1000)

/* A file descriptor; close() ends the guest. */
int guest_open(void);

/* Gives the guest a table of the test device's group: 0, or -errno. */
int guest_attach(int guest, unsigned int device, __u64 start, __u64 size,
		 unsigned int page_shift);
int guest_detach(int guest);

/* Until close(): see TCE_KVM_KEEP. */
int guest_keep(int guest, unsigned int device);

/* See TCE_KVM_FORGET and TCE_KVM_RECALL. */
int guest_forget(int guest);
int guest_recall(int guest);

/* Any hypercall, by its ioctl. */
long hcall(int guest, unsigned long request, __u64 ioba, __u64 value,
	   __u64 npages);

/* The same with all that it can be told. */
long hcall_args(int guest, unsigned long request, struct tce_kvm_hcall *args);

/* How many hypercalls of the guest pause, see TCE_KVM_PAUSED. */
int guest_paused(int guest);

/* H_PUT_TCE: maps one page, or unmaps it. */
long h_put(int guest, __u64 ioba, const void *page, unsigned int flags);
/*
 * H_PUT_TCE as a client does it: if it is @handed_up, user space maps the page,
 * which leaves room for what a hypercall cannot charge, and for some time only.
 */
#define CLIENT_TRIES	50

struct vfio;
long client_put(struct vfio *vfio, int guest, __u64 ioba, void *page, bool handed_up);

long h_unput(int guest, __u64 ioba);

/* No hypercall: see TCE_KVM_CLEAR. */
long h_clear(int guest, __u64 ioba);

/* H_STUFF_TCE: unmaps so many pages. */
long h_stuff(int guest, __u64 ioba, __u64 npages);

/* H_PUT_TCE_INDIRECT: maps so many, which follow each other in memory. */
long h_indirect(int guest, __u64 ioba, const unsigned char *page,
		unsigned int page_shift, unsigned int npages,
		unsigned int flags);

/*
 * A list of such pages as H_PUT_TCE_INDIRECT reads it, in memory of the
 * thread's own; it is good until the thread's next one.
 */
const __u64 *guest_list(const unsigned char *page, unsigned int page_shift,
			unsigned int npages, unsigned int flags);

#endif /* E2E_GUEST_H */
