/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/tce_kvm_test: makes KVM's calls into a TCE table without KVM. Shared by
 * the module and the test programs.
 *
 * Each open file is a guest with one LIOBN. The guest's memory is that of the
 * caller, and its physical addresses are user-space addresses. So a TCE is a
 * user-space address and permission bits.
 */
#ifndef TCE_KVM_TEST_H
#define TCE_KVM_TEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TCE_KVM_TEST_DEVICE	"/dev/tce_kvm_test"

/**
 * struct tce_kvm_attach - argument of TCE_KVM_ATTACH, which takes a reference
 *	to a table of the device's group
 * @domain: PCI address of the device
 * @bus: PCI address of the device
 * @devfn: PCI address of the device
 * @page_shift: IOMMU page size of the guest, as a shift; at least the table's
 * @start: bus address of the window, at which the table begins
 * @size: size of the guest's window in bytes; the table is at least as large
 *
 * Fails with -ENODEV if there is no such device or it has no group, -EINVAL if
 * the window is invalid or the group has no such table, -EBUSY if the guest has
 * a table, or -ENOMEM.
 */
struct tce_kvm_attach {
	__u32 domain;
	__u32 bus;
	__u32 devfn;
	__u32 page_shift;
	__u64 start;
	__u64 size;
};

/*
 * The step at which a hypercall is delayed. KVM does not wait there, but an
 * interrupt, another guest or, with preemption, another task may take the CPU
 * for that long.
 */
enum tce_kvm_pause {
	TCE_KVM_PAUSE_NEVER,
	/* After useraddrptr. */
	TCE_KVM_PAUSE_ADDRESS,
	/* After the page was counted. */
	TCE_KVM_PAUSE_COUNTED,
	/* After xchg_no_kill. */
	TCE_KVM_PAUSE_EXCHANGED,
	/* Before tce_kill. */
	TCE_KVM_PAUSE_KILL,
	/* After tce_kill. */
	TCE_KVM_PAUSE_KILLED,
};

/**
 * struct tce_kvm_hcall - a hypercall
 * @ioba: bus address
 * @value: H_PUT_TCE, H_STUFF_TCE: the TCE. H_PUT_TCE_INDIRECT: address of a
 *         list of big-endian TCEs, aligned to 4 KiB
 * @npages: H_PUT_TCE_INDIRECT, H_STUFF_TCE: number of TCEs
 * @again: H_PUT_TCE_INDIRECT: address of the list for the second read, after
 *         the check of the first; 0 to read the same list
 * @status: out: return value of the hypercall, TCE_KVM_TOO_HARD if it is passed
 *          up
 * @pause: enum tce_kvm_pause: the step at which it pauses once
 * @pause_ms: length of the pause in milliseconds, in which the CPU spins
 *
 * Fails with -ENXIO if the guest has no table.
 */
struct tce_kvm_hcall {
	__u64 ioba;
	__u64 value;
	__u64 npages;
	__u64 again;
	__s64 status;
	__u32 pause;
	__u32 pause_ms;
};

/* Return values of hypercalls, as in asm/hvcall.h. */
#define TCE_KVM_SUCCESS		0
#define TCE_KVM_PARAMETER	(-4)
#define TCE_KVM_TOO_HARD	9999

#define TCE_KVM_ATTACH		_IOW('K', 0, struct tce_kvm_attach)
/*
 * Drops the reference after a grace period, possibly during hypercalls; closing
 * the file does the same. KVM does this when the file of the LIOBN is closed.
 * Fails with -ENXIO if the guest has no table.
 */
#define TCE_KVM_DETACH		_IO('K', 1)
#define TCE_KVM_PUT		_IOWR('K', 2, struct tce_kvm_hcall)
#define TCE_KVM_PUT_INDIRECT	_IOWR('K', 3, struct tce_kvm_hcall)
#define TCE_KVM_STUFF		_IOWR('K', 4, struct tce_kvm_hcall)
/*
 * Not a function of KVM: skips the platform's take_ownership and
 * release_ownership of the device's group until the file is closed. They would
 * create and free the table of the host's driver at each detach and attach,
 * which takes most of the time of a test and does not involve VFIO. VFIO must
 * own the group when this is called and when the file is closed. Only the PCI
 * address of the argument is used. Fails with -ENODEV if there is no such
 * device or it has no group, -EBUSY if a group is kept already.
 */
#define TCE_KVM_KEEP		_IOW('K', 5, struct tce_kvm_attach)

/* Clears an entry without a kill, as KVM does if it cannot map or unmap it. */
#define TCE_KVM_CLEAR		_IOWR('K', 6, struct tce_kvm_hcall)
/*
 * Leaks a reference to the table, as KVM does when another group is attached to
 * a table that the guest has. RECALL drops all references that were leaked.
 * FORGET fails with -ENXIO if the guest has no table, or -ENOMEM.
 */
#define TCE_KVM_FORGET		_IO('K', 7)
#define TCE_KVM_RECALL		_IO('K', 8)

/*
 * Whether a hypercall of the guest is paused now. Its @pause_ms begin with this
 * call, or after two seconds without one.
 */
#define TCE_KVM_PAUSED		_IO('K', 9)

#endif /* TCE_KVM_TEST_H */
