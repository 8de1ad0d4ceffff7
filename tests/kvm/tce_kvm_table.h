/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Symbols that tce_kvm_test.ko exports to tce_kvm_time.ko.
 */
#ifndef TCE_KVM_TABLE_H
#define TCE_KVM_TABLE_H

struct iommu_table;
struct tce_kvm_attach;

/*
 * Finds the table that KVM would use for such a window. Returns it with a
 * reference, or an ERR_PTR().
 */
struct iommu_table *tce_kvm_find_device(const struct tce_kvm_attach *attach);

#endif /* TCE_KVM_TABLE_H */
