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

/**
 * struct tce_kvm_hcall - a hypercall
 * @ioba: bus address
 * @value: H_PUT_TCE, H_STUFF_TCE: the TCE. H_PUT_TCE_INDIRECT: address of a list
 *         of big-endian TCEs, aligned to 4 KiB
 * @npages: H_PUT_TCE_INDIRECT, H_STUFF_TCE: how many
 * @status: out: what the guest or, with TCE_KVM_TOO_HARD, QEMU is told
 *
 * -ENXIO if the guest has no table.
 */
struct tce_kvm_hcall {
	__u64 ioba;
	__u64 value;
	__u64 npages;
	__s64 status;
};

/* What hypercalls return; names and values of asm/hvcall.h. */
#define TCE_KVM_SUCCESS		0
#define TCE_KVM_PARAMETER	(-4)
#define TCE_KVM_TOO_HARD	9999

#define TCE_KVM_ATTACH		_IOW('K', 0, struct tce_kvm_attach)
/* Drops the reference after a grace period, and so does closing the file. */
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

#endif /* TCE_KVM_TEST_H */
