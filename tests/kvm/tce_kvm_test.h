/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/tce_kvm_test: what KVM does to a TCE table, without KVM. Shared by the
 * module and the program that tests with it.
 *
 * Every open file is one guest with one LIOBN. A guest's memory is the caller's:
 * its physical addresses are user-space addresses. So a TCE is a user-space
 * address and the permission bits.
 */
#ifndef TCE_KVM_TEST_H
#define TCE_KVM_TEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TCE_KVM_TEST_DEVICE	"/dev/tce_kvm_test"

/**
 * struct tce_kvm_attach - takes a reference on a table of a device's group
 * @domain: PCI address of the device
 * @bus: PCI address of the device
 * @devfn: PCI address of the device
 * @page_shift: the guest's IOMMU page, not smaller than the table's
 * @start: bus address of the window; the table begins there
 * @size: bytes of the window, as far as the guest knows; the table has as many
 *
 * -ENODEV if there is no such device, -EINVAL if its group has no such table,
 * -EBUSY if the guest has one already.
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
 * Where a hypercall can take long. In KVM nothing waits there, but an interrupt, another
 * guest or, on a kernel that preempts, another task may have the CPU for so long.
 */
enum tce_kvm_pause {
	TCE_KVM_PAUSE_NEVER,
	/* It knows where to write the page's user-space address. */
	TCE_KVM_PAUSE_ADDRESS,
	/* It has counted the page. */
	TCE_KVM_PAUSE_COUNTED,
	/* It has exchanged the entry. */
	TCE_KVM_PAUSE_EXCHANGED,
	/* The first TCE is about to be killed. */
	TCE_KVM_PAUSE_KILL,
	/* It was. */
	TCE_KVM_PAUSE_KILLED,
};

/**
 * struct tce_kvm_hcall - a hypercall
 * @ioba: bus address
 * @value: H_PUT_TCE, H_STUFF_TCE: the TCE. H_PUT_TCE_INDIRECT: address of a list
 *         of big-endian TCEs, aligned to 4 KiB
 * @npages: H_PUT_TCE_INDIRECT, H_STUFF_TCE: how many
 * @again: H_PUT_TCE_INDIRECT: address of what the list is when it is read again, after
 *         it was checked; 0 if it is still the same
 * @status: out: what the guest or, with TCE_KVM_TOO_HARD, QEMU is told
 * @pause: enum tce_kvm_pause: where it pauses, the first time that it comes there
 * @pause_ms: how long, in milliseconds; the CPU is busy meanwhile
 *
 * -ENXIO if the guest has no table.
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

/* What hypercalls return; names and values of asm/hvcall.h. */
#define TCE_KVM_SUCCESS		0
#define TCE_KVM_PARAMETER	(-4)
#define TCE_KVM_TOO_HARD	9999

#define TCE_KVM_ATTACH		_IOW('K', 0, struct tce_kvm_attach)
/*
 * Drops the reference after a grace period, while hypercalls go on, and so does closing
 * the file. It is what KVM does when its file of the LIOBN is closed.
 */
#define TCE_KVM_DETACH		_IO('K', 1)
#define TCE_KVM_PUT		_IOWR('K', 2, struct tce_kvm_hcall)
#define TCE_KVM_PUT_INDIRECT	_IOWR('K', 3, struct tce_kvm_hcall)
#define TCE_KVM_STUFF		_IOWR('K', 4, struct tce_kvm_hcall)
/*
 * Not KVM's: until the file is closed, the platform does not take the device's group
 * back when VFIO gives it up, nor gives it away. Making the table of the host's own
 * driver each time is all that a group's coming and going costs, and nothing to do
 * with VFIO. The group must be VFIO's at the beginning and at the end.
 */
#define TCE_KVM_KEEP		_IOW('K', 5, struct tce_kvm_attach)

/* What KVM does when it cannot undo: the entry is cleared, and nothing killed. */
#define TCE_KVM_CLEAR		_IOWR('K', 6, struct tce_kvm_hcall)
/*
 * What KVM does when a further group comes to a table that the guest has: it takes one
 * more reference and forgets it. RECALL gives back all that was ever forgotten.
 */
#define TCE_KVM_FORGET		_IO('K', 7)
#define TCE_KVM_RECALL		_IO('K', 8)

/* Whether one of the guest's hypercalls pauses at the moment; it waits to be seen. */
#define TCE_KVM_PAUSED		_IO('K', 9)

#endif /* TCE_KVM_TEST_H */
