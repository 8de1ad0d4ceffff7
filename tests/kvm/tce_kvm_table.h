/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tce_kvm_test.ko has for the other module of this directory.
 */
#ifndef TCE_KVM_TABLE_H
#define TCE_KVM_TABLE_H

struct iommu_table;
struct tce_kvm_attach;

/* The table that KVM would take for such a window, with a reference; or ERR_PTR(). */
struct iommu_table *tce_kvm_find_device(const struct tce_kvm_attach *attach);

#endif /* TCE_KVM_TABLE_H */
