/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/tce_kvm_time: measures KVM's calls into a TCE table in the kernel. The
 * guest's memory is that of the caller, as in tce_kvm_test.h.
 */
#ifndef TCE_KVM_TIME_H
#define TCE_KVM_TIME_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "tce_kvm_test.h"

#define TCE_KVM_TIME_DEVICE	"/dev/tce_kvm_time"

/* What is measured: hypercalls, and the callbacks that they consist of. */
enum tce_kvm_time_what {
	/* @count times H_PUT_TCE, of contiguous pages. */
	TCE_KVM_TIME_PUT,
	/* @count times H_PUT_TCE of 0. */
	TCE_KVM_TIME_CLEAR,
	/* One H_PUT_TCE_INDIRECT of @count entries, at most 512. */
	TCE_KVM_TIME_INDIRECT,
	/* One H_STUFF_TCE of @count entries. */
	TCE_KVM_TIME_STUFF,
	/* @count times useraddrptr, for entries that are to be set. */
	TCE_KVM_TIME_ADDRESS,
	/* @count times useraddrptr, for entries that are to be cleared. */
	TCE_KVM_TIME_ADDRESS_RO,
	/* @count times xchg_no_kill with an empty entry. */
	TCE_KVM_TIME_EXCHANGE,
};

/**
 * struct tce_kvm_time - calls that are measured
 * @what: enum tce_kvm_time_what
 * @count: number of calls or of entries
 * @ioba: bus address of the first entry
 * @value: PUT: the first TCE. INDIRECT: address of a list of big-endian TCEs
 * @ns: out: duration of all calls in nanoseconds
 * @status: out: return value of the last hypercall
 */
struct tce_kvm_time {
	__u32 what;
	__u32 count;
	__u64 ioba;
	__u64 value;
	__u64 ns;
	__s64 status;
};

/* As TCE_KVM_ATTACH; the table is used until the file is closed. */
#define TCE_KVM_TIME_ATTACH	_IOW('K', 0, struct tce_kvm_attach)
/* Fails with -ENXIO without a table, -EINVAL if a list is too long. */
#define TCE_KVM_TIME_RUN	_IOWR('K', 1, struct tce_kvm_time)

#endif /* TCE_KVM_TIME_H */
