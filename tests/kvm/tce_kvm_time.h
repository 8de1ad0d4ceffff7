/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/tce_kvm_time: what KVM's calls into a TCE table cost, timed in the kernel. A
 * guest's memory is the caller's, as in tce_kvm_test.h.
 */
#ifndef TCE_KVM_TIME_H
#define TCE_KVM_TIME_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "tce_kvm_test.h"

#define TCE_KVM_TIME_DEVICE	"/dev/tce_kvm_time"

/* What is timed: hypercalls, and the calls that they are made of. */
enum tce_kvm_time_what {
	/* H_PUT_TCE: @count of them; the pages follow each other. */
	TCE_KVM_TIME_PUT,
	/* H_PUT_TCE of 0, @count times. */
	TCE_KVM_TIME_UNPUT,
	/* One H_PUT_TCE_INDIRECT of @count entries, at most 512. */
	TCE_KVM_TIME_INDIRECT,
	/* One H_STUFF_TCE of @count entries. */
	TCE_KVM_TIME_STUFF,
	/* Where an entry's address is kept, for one that is to be set: @count times. */
	TCE_KVM_TIME_ADDRESS,
	/* The same for one that is cleared. */
	TCE_KVM_TIME_ADDRESS_RO,
	/* The exchange with nothing, @count times. */
	TCE_KVM_TIME_EXCHANGE,
};

/**
 * struct tce_kvm_time - calls that are timed
 * @what: enum tce_kvm_time_what
 * @count: how many
 * @ioba: bus address of the first entry
 * @value: PUT: the first TCE. INDIRECT: address of a list of big-endian TCEs
 * @ns: out: nanoseconds that all of it took
 * @status: out: what the guest is told by the last one that was made
 */
struct tce_kvm_time {
	__u32 what;
	__u32 count;
	__u64 ioba;
	__u64 value;
	__u64 ns;
	__s64 status;
};

/* Which table: until the file is closed. As TCE_KVM_ATTACH. */
#define TCE_KVM_TIME_ATTACH	_IOW('K', 0, struct tce_kvm_attach)
#define TCE_KVM_TIME_RUN	_IOWR('K', 1, struct tce_kvm_time)

#endif /* TCE_KVM_TIME_H */
