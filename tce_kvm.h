/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's side of a window: the it_ops of its struct iommu_table. For tce_window.c.
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
 * (arch/powerpc/kvm/book3s_64_vio.c) find the iommu_table in a list that they walk
 * with no lock, no reference and no RCU read-side section. On a kernel that does not
 * preempt, what they walk is freed by call_rcu() and so stays for as long as they do
 * not sleep; so no callback here sleeps. On a kernel that preempts, they may lose the
 * iommu_table wherever they are, with or without this module; here, too, nothing of
 * the window is used beyond the RCU section in which it was found.
 *
 * For each TCE, KVM calls in this order, from one task:
 *
 * 1. useraddrptr(), to map: where to store the page's user-space address. NULL makes
 *    it hand the hypercall up (H_TOO_HARD). KVM then counts the page
 *    (mm_iommu_mapped_inc()).
 * 2. xchg_no_kill(). Any error here is a WARN_ON_ONCE() in KVM; the only one that is
 *    left is a hypervisor that does not let an entry be cleared. For an entry that was
 *    set before, KVM would un-count the page before the kill, by an address that may
 *    have changed meanwhile. So it is told that there was nothing, and the page is
 *    un-counted here, after the kill.
 * 3. KVM stores the address.
 * 4. tce_kill(), sometimes for several entries at once, and also if nothing was
 *    changed. After a failure KVM clears the entry once more, without a kill.
 *
 * An entry and its address change together, under the lock of the leaf. So KVM is given
 * no place in the table: each task has a record, with a place to store to. Step 2
 * remembers what is to be set, and it is set with its address by the task's next
 * useraddrptr() or tce_kill(), which always follows; the hypercall returns after that.
 * Step 1 holds the leaf and its view, so nothing can be missing then; if a hypervisor
 * refuses the entry, it is cleared, which the guest is not told, and from then on all
 * entries are left to user space, which is told.
 *
 * What a task takes out is in its record until the task's tce_kill(), which kills if the
 * task has changed an entry. A record goes, with the leaf that it holds, when its task has
 * not used it for TCE_TRIM_AGE.
 *
 * In version 1 pages are pinned one by one, which KVM cannot do; it is made to leave
 * both mapping and unmapping to user space. So it is with IOMMU pages that are larger
 * than a kernel page: KVM does not check that they lie in one page of memory
 * (tce_memory.h), and cannot be refused a page without a WARN.
 */

struct iommu_table;
struct tce_kvm;
struct tce_platform;
struct tce_window;

/**
 * tce_kvm_create() - let KVM and the core find a window
 * @window: the window, complete
 * @platform: its iommu_table, which leads to the result from now on
 * @pinned: its pages are pinned one by one
 *
 * The result lives as long as the iommu_table, and keeps the module loaded.
 *
 * Context: Process, may sleep.
 * Return: KVM's side, or ERR_PTR(-ENOMEM).
 */
struct tce_kvm *tce_kvm_create(struct tce_window *window,
			       struct tce_platform *platform, bool pinned);

/**
 * tce_kvm_close() - let KVM set nothing in the window any more
 * @kvm: KVM's side
 *
 * When this returns no callback sets an entry. Calls that have set one find the window
 * when they end, and kill before they un-count: devices may still reach it.
 *
 * Context: Process, may sleep.
 */
void tce_kvm_close(struct tce_kvm *kvm);

/**
 * tce_kvm_disconnect() - make the window an empty one for KVM
 * @kvm: KVM's side
 *
 * When this returns no callback uses the window any more. Pages of calls that have not
 * come to their end may be un-counted from now on, so no device may reach them.
 *
 * Context: Process, may sleep.
 */
void tce_kvm_disconnect(struct tce_kvm *kvm);

/**
 * tce_kvm_flush() - kill, and give back, what KVM has taken out
 * @kvm: KVM's side
 * @window: the window
 *
 * Context: Process, may sleep.
 */
void tce_kvm_flush(struct tce_kvm *kvm, struct tce_window *window);

/**
 * tce_kvm_trim() - let go of what tasks hold that have not called for a while
 * @kvm: KVM's side
 * @window: the window
 * @age: how long, in jiffies
 *
 * Context: Process, may sleep.
 * Return: whether any task has something left.
 */
bool tce_kvm_trim(struct tce_kvm *kvm, struct tce_window *window,
		  unsigned long age);

#endif /* TCE_KVM_H */
