/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The callbacks by which KVM uses a window: the it_ops of its struct
 * iommu_table. For tce_window.c.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_KVM_H
#define TCE_KVM_H

#include <linux/types.h>

/**
 * DOC: it_ops, as KVM uses them
 *
 * The hypercalls H_PUT_TCE, H_PUT_TCE_INDIRECT and H_STUFF_TCE
 * (arch/powerpc/kvm/book3s_64_vio.c) find the iommu_table in a list that they
 * walk with no lock, no reference and no RCU read-side section. The list and
 * the table are freed after a grace period. On a kernel without
 * CONFIG_PREEMPT_COUNT they therefore stay until the hypercall sleeps, so no
 * callback here may sleep. On other kernels the iommu_table may be freed at any
 * point of a hypercall, with or without this module, except between
 * useraddrptr() and tce_kill(). In both cases the window is not used outside
 * the RCU read-side section in which it was looked up.
 *
 * For each TCE, KVM calls in this order, from one task:
 *
 * 1. useraddrptr(), to map: returns where to store the page's user-space
 *    address. If it returns NULL the hypercall is passed up (H_TOO_HARD),
 *    otherwise KVM counts the page (mm_iommu_mapped_inc()).
 * 2. xchg_no_kill(). An error triggers a WARN_ON_ONCE() in KVM; the only
 *    possible one is that a hypervisor refuses to clear an entry. If the entry
 *    was set before, KVM would uncount the old page before the kill, using an
 *    address that may have changed meanwhile. So KVM is told that the entry was
 *    empty, and the page is uncounted here, after the kill.
 * 3. KVM stores the user-space address to the pointer from step 1.
 * 4. tce_kill(), sometimes for several entries at once, and even if no entry
 *    was changed. If an earlier step of H_PUT_TCE or H_PUT_TCE_INDIRECT has
 *    failed, KVM then also clears the entry, after the kill and without a
 *    further one.
 *
 * An entry and its owner change together, under the lock of the leaf. So the
 * address is not stored to the table: each task has a record, to which KVM
 * stores it. Step 2 writes the new TCE to the record. The entry is set, with
 * the address as its owner, by the task's next useraddrptr() or tce_kill(). One
 * of these always follows before the hypercall returns. Step 1 holds the leaf
 * and its view, so this needs no allocation. If a hypervisor refuses the entry,
 * the entry is cleared, and the guest does not get an error. From then on all
 * hypercalls that set entries are passed up, so that user space gets the error.
 *
 * Entries that a task has cleared or replaced are in its record until its
 * tce_kill(), which kills if the task has changed an entry, and then uncounts
 * their pages. A record that its task has not used for TCE_TRIM_AGE is freed:
 * the entries in it are killed, and its leaf is no longer held.
 *
 * In version 1 pages are pinned when they are mapped, which KVM cannot do, so
 * mapping and unmapping are passed up to user space. Mapping is also passed up
 * if the IOMMU page is larger than a kernel page: KVM does not check that such
 * a page lies in one folio (tce_memory.h), and if xchg_no_kill() did, its error
 * would trigger a WARN in KVM.
 */

struct tce_geometry;
struct tce_kvm;
struct tce_platform;
struct tce_window;

/**
 * tce_kvm_create() - allocate the state of KVM's callbacks
 *
 * The memory is accounted to the caller's memory cgroup, as it may be kept for
 * long after the window was removed (tce_kvm_put()).
 *
 * Context: Process, may sleep. The caller holds no lock that another process
 * may need.
 * Return: the state, without a window; NULL if there is no memory.
 */
struct tce_kvm *tce_kvm_create(void);

/**
 * tce_kvm_destroy() - free the state of KVM's callbacks
 * @kvm: the state; no iommu_table has its operations
 *
 * Context: Process, may sleep.
 */
void tce_kvm_destroy(struct tce_kvm *kvm);

/**
 * tce_kvm_set_ops() - set the operations of an iommu_table
 * @kvm: state of KVM's callbacks, which the iommu_table owns from here on
 * @platform: the window's part that depends on the platform, with the
 *            iommu_table
 * @pinned: the window's pages are pinned when they are mapped
 *
 * To be called as soon as the iommu_table exists: on pSeries KVM can find it
 * once the platform has created it. Before tce_kvm_connect(), hypercalls that
 * map are passed up, and others change nothing. The module stays loaded until
 * the iommu_table is freed.
 *
 * Context: Process, may sleep.
 */
void tce_kvm_set_ops(struct tce_kvm *kvm, struct tce_platform *platform,
		     bool pinned);

/**
 * tce_kvm_connect() - let KVM use a window
 * @kvm: state of KVM's callbacks, after tce_kvm_set_ops()
 * @window: the window, complete, with &tce_window.kvm
 *
 * Context: Any.
 */
void tce_kvm_connect(struct tce_kvm *kvm, struct tce_window *window);

/**
 * tce_kvm_put() - put the window's reference to the iommu_table
 * @kvm: state of KVM's callbacks, without a window. No group has the
 *       iommu_table any more, unless the hypervisor refused to remove it
 *
 * The records of tasks are freed after a grace period, but not while a
 * hypercall may still store to one. The reference is put once each task has
 * slept or left the kernel, after that. The iommu_table and @kvm are freed with
 * the last reference, which may be KVM's.
 *
 * Context: Process.
 */
void tce_kvm_put(struct tce_kvm *kvm);

/**
 * tce_kvm_synchronize() - wait for callbacks that have found the window
 * @kvm: state of KVM's callbacks
 *
 * Later callbacks see what the caller has changed before.
 *
 * Context: Process, may sleep.
 */
void tce_kvm_synchronize(struct tce_kvm *kvm);

/**
 * tce_kvm_close() - stop KVM from setting entries of the window
 * @kvm: state of KVM's callbacks
 *
 * When this returns no callback sets an entry. A hypercall that was about to
 * set one only uncounts its page. Callbacks still clear entries, and kill them
 * before they uncount their pages: devices may still translate through the
 * window.
 *
 * Context: Process, may sleep.
 */
void tce_kvm_close(struct tce_kvm *kvm);

/**
 * tce_kvm_disconnect() - make the window empty for KVM
 * @kvm: state of KVM's callbacks
 *
 * When this returns no callback uses the window any more. A hypercall that was
 * about to set an entry only uncounts its page. Entries that hypercalls have
 * cleared and not yet killed are left to tce_kvm_flush().
 *
 * Context: Process, may sleep.
 */
void tce_kvm_disconnect(struct tce_kvm *kvm);

/**
 * tce_kvm_flush() - kill entries that KVM has cleared or replaced, and release
 * their pages
 * @kvm: state of KVM's callbacks
 * @window: the window
 *
 * Context: Process, may sleep.
 */
void tce_kvm_flush(struct tce_kvm *kvm, struct tce_window *window);

/**
 * tce_kvm_trim() - free records that their tasks have not used for a while
 * @kvm: state of KVM's callbacks
 * @window: the window
 * @age: minimum time since the last use, in jiffies
 *
 * Kills the entries in these records, and releases their pages.
 *
 * Context: Process, may sleep.
 * Return: true if there are records that were not freed.
 */
bool tce_kvm_trim(struct tce_kvm *kvm, struct tce_window *window,
		  unsigned long age);

#endif /* TCE_KVM_H */
