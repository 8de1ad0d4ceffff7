// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes KVM's calls into a TCE table without KVM, for tests. Hypercalls of a
 * guest are ioctls (tce_kvm_test.h), so several threads can make any of them
 * while user space changes the same table.
 *
 * The calls into the table, their order and the use of their results are those
 * of arch/powerpc/kvm/book3s_64_vio.c; comments name the functions there. KVM's
 * own copy of the entries, for emulated devices, is left out: it does not
 * affect the table.
 *
 * In KVM a hypercall holds no lock while it uses a table. It walks the list of
 * tables of the LIOBN with list_for_each_entry_lockless(), does not take a
 * reference to the struct iommu_table, and is not in an RCU read-side critical
 * section. Tables are removed from the list by list_del_rcu(), and an RCU
 * callback drops the reference that the list has. Therefore:
 *
 * - Without CONFIG_PREEMPT_COUNT, a hypercall is an RCU reader until it sleeps.
 *   In the walk only the callbacks in it_ops could sleep, and the table may be
 *   freed by the time such a callback returns. This module takes no lock or
 *   reference either, and warns about a callback that sleeps.
 *
 * - With CONFIG_PREEMPT_COUNT (preemptible kernels, and others with checks of
 *   locks), a grace period waits for read-side sections only. So KVM itself may
 *   use a table after it was freed, and no other module can prevent that. This
 *   is not tested here: a table that was removed from the list keeps its
 *   reference until the calls that use it have returned, and for a grace period
 *   after that (@hold). This protects only the struct iommu_table and its
 *   it_ops: the call is still not in an RCU section, and everything else may be
 *   freed during it.
 *
 * - mm_iommu_lookup() returns a region without a reference, so on such a kernel
 *   KVM could also use a freed region, until mm_iommu_mapped_inc(). Here this
 *   part is an RCU section, in which no callback is called.
 *
 * - The LIOBN (struct kvmppc_spapr_tce_table) is freed by RCU in KVM, although
 *   reading the list of H_PUT_TCE_INDIRECT may sleep. Only KVM uses it, so here
 *   it has a refcount. The list of tables is walked for each entry, as in KVM,
 *   so that no table is used across a page fault.
 *
 * Like KVM, TCE_KVM_ATTACH reads the tables of the group and then gets a
 * reference, with no lock held that protects them, and outside an RCU section.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/kernel.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/hvcall.h>
#include <asm/iommu.h>
#include <asm/mmu_context.h>
#include <asm/tce.h>

#include "tce_kvm_table.h"
#include "tce_kvm_test.h"

/* PAPR: the list of H_PUT_TCE_INDIRECT is one page of 4 KiB. */
#define TCE_LIST_MAX	(SZ_4K / sizeof(__be64))

static_assert(TCE_KVM_SUCCESS == H_SUCCESS);
static_assert(TCE_KVM_PARAMETER == H_PARAMETER);
static_assert(TCE_KVM_TOO_HARD == H_TOO_HARD);

/* Long enough for a test to notice a pause, too short for a watchdog. */
#define TCE_PAUSE_MAX_MS	2000

static bool hold = IS_ENABLED(CONFIG_PREEMPT_COUNT);
module_param(hold, bool, 0444);
MODULE_PARM_DESC(hold, "hold a reference to a table during calls that use it");

static unsigned int attach_ms;
module_param(attach_ms, uint, 0644);
MODULE_PARM_DESC(attach_ms, "ms from finding a table to getting a reference");

/**
 * struct tce_kvm_table - a LIOBN; KVM's struct kvmppc_spapr_tce_table
 * @ref: held by the guest and by hypercalls in progress
 * @iommu_tables: the host's tables, walked without a lock
 * @page_shift: IOMMU page size of the guest, as a shift
 * @offset: first entry of the window, in the guest's pages
 * @size: number of entries, in the guest's pages
 */
struct tce_kvm_table {
	struct kref ref;
	struct list_head iommu_tables;
	unsigned int page_shift;
	unsigned long offset;
	unsigned long size;
};

/**
 * struct tce_kvm_iommu_table - a table of the host that a LIOBN is attached to;
 *	KVM's struct kvmppc_spapr_tce_iommu_table
 * @ref: held by the list and, with the parameter hold, by calls that use it
 * @next: in the list of the LIOBN
 * @rcu: drops the reference to @tbl
 * @tbl: the host's table
 */
struct tce_kvm_iommu_table {
	struct kref ref;
	struct list_head next;
	struct rcu_head rcu;
	struct iommu_table *tbl;
};

/**
 * struct tce_kvm_guest - an open file
 * @lock: protects @table and what follows it; not held while the table is used
 * @paused: number of hypercalls that are paused
 * @seen: TCE_KVM_PAUSED has reported a pause
 * @table: the LIOBN, or NULL
 * @kept: the group of TCE_KVM_KEEP, or NULL
 * @kept_ops: operations of @kept meanwhile
 * @platform_ops: operations of @kept before
 */
struct tce_kvm_guest {
	struct mutex lock; /* see above */
	atomic_t paused;
	atomic_t seen;
	struct tce_kvm_table *table;
	struct iommu_group *kept;
	struct iommu_table_group_ops kept_ops;
	struct iommu_table_group_ops *platform_ops;
};

/**
 * struct tce_kvm_call - a hypercall in progress
 * @guest: the guest
 * @table: the LIOBN
 * @args: arguments of the ioctl; @args.pause is 0 after the pause
 */
struct tce_kvm_call {
	struct tce_kvm_guest *guest;
	const struct tce_kvm_table *table;
	struct tce_kvm_hcall args;
};

/**
 * struct tce_kvm_forgotten - a reference that KVM would have leaked
 * @node: in tce_kvm_forgotten
 * @tbl: the table
 */
struct tce_kvm_forgotten {
	struct list_head node;
	struct iommu_table *tbl;
};

struct kvm;

static DEFINE_MUTEX(tce_kvm_forgotten_lock);
static LIST_HEAD(tce_kvm_forgotten);

/* Lifetime */

/* kvm_spapr_tce_iommu_table_free() */
static void tce_kvm_iommu_table_free(struct rcu_head *rcu)
{
	struct tce_kvm_iommu_table *stit =
		container_of(rcu, struct tce_kvm_iommu_table, rcu);

	iommu_tce_table_put(stit->tbl);
	kfree(stit);
}

static void tce_kvm_iommu_table_release(struct kref *ref)
{
	struct tce_kvm_iommu_table *stit =
		container_of(ref, struct tce_kvm_iommu_table, ref);

	call_rcu(&stit->rcu, tce_kvm_iommu_table_free);
}

/* kvm_spapr_tce_liobn_put() */
static void tce_kvm_iommu_table_del(struct tce_kvm_iommu_table *stit)
{
	list_del_rcu(&stit->next);
	kref_put(&stit->ref, tce_kvm_iommu_table_release);
}

/* The table for a hypercall; NULL if it was removed from the list. */
static struct tce_kvm_iommu_table *
tce_kvm_iommu_table_begin(const struct tce_kvm_table *table)
{
	struct tce_kvm_iommu_table *stit, *found = NULL;

	if (!hold) {
		/* The list has at most one table. */
		list_for_each_entry_lockless(stit, &table->iommu_tables, next)
			return stit;

		return NULL;
	}

	rcu_read_lock();
	list_for_each_entry_rcu(stit, &table->iommu_tables, next)
		if (kref_get_unless_zero(&stit->ref))
			found = stit;
	rcu_read_unlock();

	return found;
}

static void tce_kvm_iommu_table_end(struct tce_kvm_iommu_table *stit)
{
	/* Without @hold it may have been freed, if a callback has slept. */
	if (hold)
		kref_put(&stit->ref, tce_kvm_iommu_table_release);
}

static void tce_kvm_table_release(struct kref *ref)
{
	kfree(container_of(ref, struct tce_kvm_table, ref));
}

static void tce_kvm_table_put(struct tce_kvm_table *table)
{
	kref_put(&table->ref, tce_kvm_table_release);
}

/*
 * By this symbol of KVM's module others see whether KVM is loaded. Nobody calls
 * the function. The two modules cannot both be loaded.
 */
void kvm_put_kvm(struct kvm *kvm);
void kvm_put_kvm(struct kvm *kvm)
{
}
EXPORT_SYMBOL_GPL(kvm_put_kvm);

static struct tce_kvm_table *tce_kvm_table_get(struct tce_kvm_guest *guest)
{
	struct tce_kvm_table *table;

	mutex_lock(&guest->lock);
	table = guest->table;
	if (table)
		kref_get(&table->ref);
	mutex_unlock(&guest->lock);

	return table;
}

/*
 * kvm_spapr_tce_attach_iommu_group(): the first table that matches. An
 * interrupt, or a hypervisor below the kernel, can delay KVM before it gets the
 * reference.
 */
static struct iommu_table *
tce_kvm_find(struct iommu_table_group *table_group,
	     const struct tce_kvm_attach *attach)
{
	unsigned int i;

	for (i = 0; i < IOMMU_TABLE_GROUP_MAX_TABLES; i++) {
		struct iommu_table *tbl = READ_ONCE(table_group->tables[i]);

		if (tbl && tbl->it_page_shift <= attach->page_shift &&
		    tbl->it_offset << tbl->it_page_shift == attach->start &&
		    tbl->it_size << tbl->it_page_shift >= attach->size) {
			mdelay(attach_ms);
			return iommu_tce_table_get(tbl);
		}
	}

	return NULL;
}

/* The group of a device, with a reference; or NULL. */
static struct iommu_group *tce_kvm_group(const struct tce_kvm_attach *attach)
{
	struct iommu_group *group;
	struct pci_dev *pdev;

	pdev = pci_get_domain_bus_and_slot(attach->domain, attach->bus,
					   attach->devfn);
	if (!pdev)
		return NULL;

	group = iommu_group_get(&pdev->dev);
	pci_dev_put(pdev);

	return group;
}

struct iommu_table *tce_kvm_find_device(const struct tce_kvm_attach *attach)
{
	struct iommu_table_group *table_group;
	struct iommu_table *tbl = NULL;
	struct iommu_group *group;

	group = tce_kvm_group(attach);
	if (!group)
		return ERR_PTR(-ENODEV);

	table_group = iommu_group_get_iommudata(group);
	if (table_group)
		tbl = tce_kvm_find(table_group, attach);
	iommu_group_put(group);

	return tbl ?: ERR_PTR(-EINVAL);
}
EXPORT_SYMBOL_GPL(tce_kvm_find_device);

static struct tce_kvm_table *
tce_kvm_table_create(const struct tce_kvm_attach *attach)
{
	struct tce_kvm_iommu_table *stit;
	struct tce_kvm_table *table;
	struct iommu_table *tbl;

	/* kvm_vm_ioctl_create_spapr_tce() */
	if (attach->page_shift < 12 || attach->page_shift > 34 ||
	    !(attach->size >> attach->page_shift) ||
	    (attach->start & (BIT_ULL(attach->page_shift) - 1)))
		return ERR_PTR(-EINVAL);

	tbl = tce_kvm_find_device(attach);
	if (IS_ERR(tbl))
		return ERR_CAST(tbl);

	stit = kzalloc(sizeof(*stit), GFP_KERNEL);
	table = kzalloc(sizeof(*table), GFP_KERNEL);
	if (!stit || !table) {
		kfree(table);
		kfree(stit);
		iommu_tce_table_put(tbl);
		return ERR_PTR(-ENOMEM);
	}

	kref_init(&table->ref);
	INIT_LIST_HEAD_RCU(&table->iommu_tables);
	table->page_shift = attach->page_shift;
	table->offset = attach->start >> attach->page_shift;
	table->size = attach->size >> attach->page_shift;

	kref_init(&stit->ref);
	stit->tbl = tbl;
	list_add_rcu(&stit->next, &table->iommu_tables);

	return table;
}

static long tce_kvm_ioctl_attach(struct tce_kvm_guest *guest, void __user *argp)
{
	struct tce_kvm_attach attach;
	struct tce_kvm_table *table;
	long ret = 0;

	if (copy_from_user(&attach, argp, sizeof(attach)))
		return -EFAULT;

	mutex_lock(&guest->lock);
	if (guest->table) {
		ret = -EBUSY;
		goto unlock;
	}

	table = tce_kvm_table_create(&attach);
	if (IS_ERR(table))
		ret = PTR_ERR(table);
	else
		guest->table = table;
unlock:
	mutex_unlock(&guest->lock);

	return ret;
}

/* kvm_spapr_tce_release() */
static long tce_kvm_detach(struct tce_kvm_guest *guest)
{
	struct tce_kvm_iommu_table *stit, *next;
	struct tce_kvm_table *table;

	mutex_lock(&guest->lock);
	table = guest->table;
	guest->table = NULL;
	mutex_unlock(&guest->lock);

	if (!table)
		return -ENXIO;

	/*
	 * guest->table no longer points to it, so nothing else changes the
	 * list.
	 */
	list_for_each_entry_safe(stit, next, &table->iommu_tables, next)
		tce_kvm_iommu_table_del(stit);
	tce_kvm_table_put(table);

	return 0;
}

/* Leaked references */

static long tce_kvm_ioctl_forget(struct tce_kvm_guest *guest)
{
	struct tce_kvm_forgotten *forgotten;
	struct tce_kvm_iommu_table *stit;

	forgotten = kzalloc(sizeof(*forgotten), GFP_KERNEL);
	if (!forgotten)
		return -ENOMEM;

	/* Until the table is detached, the list has a reference to it. */
	mutex_lock(&guest->lock);
	if (guest->table) {
		stit = list_first_entry(&guest->table->iommu_tables,
					struct tce_kvm_iommu_table, next);
		forgotten->tbl = iommu_tce_table_get(stit->tbl);
	}
	mutex_unlock(&guest->lock);

	if (!forgotten->tbl) {
		kfree(forgotten);
		return -ENXIO;
	}

	mutex_lock(&tce_kvm_forgotten_lock);
	list_add(&forgotten->node, &tce_kvm_forgotten);
	mutex_unlock(&tce_kvm_forgotten_lock);

	return 0;
}

static long tce_kvm_put_forgotten(void)
{
	struct tce_kvm_forgotten *forgotten, *next;

	mutex_lock(&tce_kvm_forgotten_lock);
	list_for_each_entry_safe(forgotten, next, &tce_kvm_forgotten, node) {
		iommu_tce_table_put(forgotten->tbl);
		list_del(&forgotten->node);
		kfree(forgotten);
	}
	mutex_unlock(&tce_kvm_forgotten_lock);

	return 0;
}

/* Groups whose take_ownership and release_ownership are skipped */

static long tce_kvm_do_nothing(void)
{
	return 0;
}

static long tce_kvm_ioctl_keep(struct tce_kvm_guest *guest, void __user *argp)
{
	struct iommu_table_group *table_group;
	struct tce_kvm_attach attach;
	struct iommu_group *group;
	long ret = -EBUSY;

	if (copy_from_user(&attach, argp, sizeof(attach)))
		return -EFAULT;

	group = tce_kvm_group(&attach);
	if (!group)
		return -ENODEV;

	mutex_lock(&guest->lock);
	if (!guest->kept) {
		table_group = iommu_group_get_iommudata(group);
		guest->kept_ops = *table_group->ops;
		/* Their arguments differ between kernel versions. */
		guest->kept_ops.take_ownership = (void *)tce_kvm_do_nothing;
		guest->kept_ops.release_ownership = (void *)tce_kvm_do_nothing;
		guest->platform_ops = table_group->ops;
		table_group->ops = &guest->kept_ops;
		guest->kept = group;
		ret = 0;
	}
	mutex_unlock(&guest->lock);
	if (ret)
		iommu_group_put(group);

	return ret;
}

static void tce_kvm_restore_ops(struct tce_kvm_guest *guest)
{
	struct iommu_table_group *table_group;

	if (!guest->kept)
		return;

	table_group = iommu_group_get_iommudata(guest->kept);
	table_group->ops = guest->platform_ops;
	iommu_group_put(guest->kept);
}

/* Pauses */

/* Spins between two steps of a call, where a hypercall does not sleep. */
static void tce_kvm_pause(struct tce_kvm_call *call, unsigned int step)
{
	unsigned int ms;

	if (call->args.pause != step)
		return;

	call->args.pause = 0;
	atomic_set(&call->guest->seen, 0);
	atomic_inc(&call->guest->paused);
	/* On a busy machine it may take long until the other side notices. */
	for (ms = 0; ms < TCE_PAUSE_MAX_MS && !atomic_read(&call->guest->seen);
	     ms++)
		mdelay(1);
	mdelay(min_t(unsigned int, call->args.pause_ms, TCE_PAUSE_MAX_MS));
	atomic_dec(&call->guest->paused);
}

/* Operations of the table, none of which may sleep */

/* Context switches of the task that a callback may have caused. */
static unsigned long tce_kvm_switches(void)
{
	unsigned long switches = current->nvcsw;

	/* Without preemption the task is switched only where it reschedules. */
	if (!IS_ENABLED(CONFIG_PREEMPTION))
		switches += current->nivcsw;

	return switches;
}

static unsigned long tce_kvm_enter(void)
{
	/* Enables the check of CONFIG_DEBUG_ATOMIC_SLEEP. */
	non_block_start();

	return tce_kvm_switches();
}

static void tce_kvm_leave(unsigned long switches, const char *callback)
{
	non_block_end();
	WARN_ONCE(tce_kvm_switches() != switches,
		  "%s slept, so the table may have been freed\n", callback);
}

static long tce_kvm_xchg(struct iommu_table *tbl, unsigned long entry,
			 unsigned long *hpa, enum dma_data_direction *dir)
{
	unsigned long switches = tce_kvm_enter();
	long ret;

	ret = iommu_tce_xchg_no_kill(current->mm, tbl, entry, hpa, dir);
	tce_kvm_leave(switches, "xchg_no_kill");

	return ret;
}

static void tce_kvm_kill_tces(struct iommu_table *tbl, unsigned long entry,
			      unsigned long pages)
{
	unsigned long switches = tce_kvm_enter();

	iommu_tce_kill(tbl, entry, pages);
	tce_kvm_leave(switches, "tce_kill");
}

static __be64 *tce_kvm_address(struct iommu_table *tbl, unsigned long entry,
			       bool alloc)
{
	unsigned long switches = tce_kvm_enter();
	__be64 *pua;

	pua = alloc ? IOMMU_TABLE_USERSPACE_ENTRY(tbl, entry) :
		      IOMMU_TABLE_USERSPACE_ENTRY_RO(tbl, entry);
	tce_kvm_leave(switches, "useraddrptr");

	return pua;
}

/* Addresses */

/*
 * kvmppc_ioba_validate(). 6.12 checks only the first entry, whatever the number
 * of pages; 7.2.11 checks all of them. This does what 6.12 does, on all
 * kernels.
 */
static long tce_kvm_check_ioba(const struct tce_kvm_table *table,
			       unsigned long ioba)
{
	return iommu_tce_check_ioba(table->page_shift, table->offset,
				    table->size, ioba, 1) ?
	       H_PARAMETER : H_SUCCESS;
}

/*
 * kvmppc_tce_to_ua(): the guest's physical addresses are user-space addresses.
 */
static bool tce_kvm_to_ua(u64 tce, unsigned long *ua)
{
	*ua = tce & ~(u64)(TCE_PCI_READ | TCE_PCI_WRITE);

	return *ua < TASK_SIZE_MAX;
}

/* kvmppc_tce_validate(), which has an RCU section. */
static long tce_kvm_validate(const struct tce_kvm_table *table, u64 tce)
{
	struct mm_iommu_table_group_mem_t *mem;
	struct tce_kvm_iommu_table *stit;
	unsigned long hpa, ua;
	long ret = H_SUCCESS;

	if (iommu_tce_direction(tce) == DMA_NONE)
		return H_SUCCESS;

	if (iommu_tce_check_gpa(table->page_shift,
				tce & ~(u64)(TCE_PCI_READ | TCE_PCI_WRITE)))
		return H_TOO_HARD;

	if (!tce_kvm_to_ua(tce, &ua))
		return H_TOO_HARD;

	rcu_read_lock();
	list_for_each_entry_rcu(stit, &table->iommu_tables, next) {
		unsigned int shift = stit->tbl->it_page_shift;

		mem = mm_iommu_lookup(current->mm, ua, 1UL << shift);
		if (!mem || mm_iommu_ua_to_hpa(mem, ua, shift, &hpa))
			ret = H_TOO_HARD;
	}
	rcu_read_unlock();

	return ret;
}

/* Number of the table's IOMMU pages in one IOMMU page of the guest. */
static unsigned long tce_kvm_subpages(const struct tce_kvm_table *table,
				      const struct iommu_table *tbl)
{
	return 1UL << (table->page_shift - tbl->it_page_shift);
}

/* Changes of the table */

/* kvmppc_clear_tce(): does not kill, and does not uncount the old pages. */
static void tce_kvm_clear(const struct tce_kvm_table *table,
			  struct iommu_table *tbl, unsigned long entry)
{
	unsigned long subpages = tce_kvm_subpages(table, tbl);
	unsigned long i;

	for (i = 0; i < subpages; i++) {
		enum dma_data_direction dir = DMA_NONE;
		unsigned long hpa = 0;

		tce_kvm_xchg(tbl, entry * subpages + i, &hpa, &dir);
	}
}

/* kvmppc_tce_iommu_mapped_dec() */
static long tce_kvm_uncount(struct iommu_table *tbl, unsigned long entry)
{
	__be64 *pua = tce_kvm_address(tbl, entry, false);
	struct mm_iommu_table_group_mem_t *mem;

	if (!pua)
		return H_SUCCESS;

	mem = mm_iommu_lookup(current->mm, be64_to_cpu(*pua),
			      IOMMU_PAGE_SIZE(tbl));
	if (!mem)
		return H_TOO_HARD;

	mm_iommu_mapped_dec(mem);
	*pua = cpu_to_be64(0);

	return H_SUCCESS;
}

/* kvmppc_tce_iommu_do_unmap() */
static long tce_kvm_unmap_subpage(struct tce_kvm_call *call,
				  struct iommu_table *tbl, unsigned long entry)
{
	enum dma_data_direction dir = DMA_NONE;
	unsigned long hpa = 0;
	long ret;

	if (WARN_ON_ONCE(tce_kvm_xchg(tbl, entry, &hpa, &dir)))
		return H_TOO_HARD;

	tce_kvm_pause(call, TCE_KVM_PAUSE_EXCHANGED);
	if (dir == DMA_NONE)
		return H_SUCCESS;

	ret = tce_kvm_uncount(tbl, entry);
	if (ret != H_SUCCESS)
		tce_kvm_xchg(tbl, entry, &hpa, &dir);

	return ret;
}

/* kvmppc_tce_iommu_unmap() */
static long tce_kvm_unmap(struct tce_kvm_call *call, struct iommu_table *tbl,
			  unsigned long entry)
{
	unsigned long subpages = tce_kvm_subpages(call->table, tbl);
	long ret = H_SUCCESS;
	unsigned long i;

	for (i = 0; i < subpages && ret == H_SUCCESS; i++)
		ret = tce_kvm_unmap_subpage(call, tbl, entry * subpages + i);

	tce_kvm_pause(call, TCE_KVM_PAUSE_KILL);
	tce_kvm_kill_tces(tbl, entry * subpages, subpages);
	tce_kvm_pause(call, TCE_KVM_PAUSE_KILLED);

	return ret;
}

/* The part of kvmppc_tce_iommu_do_map() that counts the page. */
static struct mm_iommu_table_group_mem_t *
tce_kvm_count(struct iommu_table *tbl, unsigned long ua, unsigned long *hpa)
{
	struct mm_iommu_table_group_mem_t *mem;

	rcu_read_lock();
	mem = mm_iommu_lookup(current->mm, ua, IOMMU_PAGE_SIZE(tbl));
	if (mem && (WARN_ON_ONCE(mm_iommu_ua_to_hpa(mem, ua, tbl->it_page_shift,
						    hpa)) ||
		    mm_iommu_mapped_inc(mem)))
		mem = NULL;
	rcu_read_unlock();

	return mem;
}

/* kvmppc_tce_iommu_do_map() */
static long tce_kvm_map_subpage(struct tce_kvm_call *call,
				struct iommu_table *tbl, unsigned long entry,
				unsigned long ua, enum dma_data_direction dir)
{
	__be64 *pua = tce_kvm_address(tbl, entry, true);
	struct mm_iommu_table_group_mem_t *mem;
	unsigned long hpa;

	if (!pua)
		return H_TOO_HARD;

	tce_kvm_pause(call, TCE_KVM_PAUSE_ADDRESS);
	mem = tce_kvm_count(tbl, ua, &hpa);
	if (!mem)
		return H_TOO_HARD;

	tce_kvm_pause(call, TCE_KVM_PAUSE_COUNTED);
	if (WARN_ON_ONCE(tce_kvm_xchg(tbl, entry, &hpa, &dir))) {
		mm_iommu_mapped_dec(mem);
		return H_TOO_HARD;
	}

	tce_kvm_pause(call, TCE_KVM_PAUSE_EXCHANGED);
	if (dir != DMA_NONE)
		tce_kvm_uncount(tbl, entry);

	/* A plain store in KVM, which the compiler does not tear. */
	WRITE_ONCE(*pua, cpu_to_be64(ua));

	return H_SUCCESS;
}

/* kvmppc_tce_iommu_map() */
static long tce_kvm_map(struct tce_kvm_call *call, struct iommu_table *tbl,
			unsigned long entry, unsigned long ua,
			enum dma_data_direction dir)
{
	unsigned long subpages = tce_kvm_subpages(call->table, tbl);
	long ret = H_SUCCESS;
	unsigned long i;

	for (i = 0; i < subpages && ret == H_SUCCESS; i++)
		ret = tce_kvm_map_subpage(call, tbl, entry * subpages + i,
					  ua + i * IOMMU_PAGE_SIZE(tbl), dir);

	tce_kvm_pause(call, TCE_KVM_PAUSE_KILL);
	tce_kvm_kill_tces(tbl, entry * subpages, subpages);
	tce_kvm_pause(call, TCE_KVM_PAUSE_KILLED);

	return ret;
}

/* Hypercalls */

/* The body of the walk in kvmppc_h_put_tce() and kvmppc_h_put_tce_indirect() */
static long tce_kvm_put_entry(struct tce_kvm_call *call, unsigned long entry,
			      unsigned long ua, enum dma_data_direction dir,
			      bool unmap)
{
	struct tce_kvm_iommu_table *stit;
	long ret;

	stit = tce_kvm_iommu_table_begin(call->table);
	if (!stit)
		return H_SUCCESS;

	if (unmap)
		ret = tce_kvm_unmap(call, stit->tbl, entry);
	else
		ret = tce_kvm_map(call, stit->tbl, entry, ua, dir);

	if (ret != H_SUCCESS)
		tce_kvm_clear(call->table, stit->tbl, entry);
	tce_kvm_iommu_table_end(stit);

	return ret;
}

/* kvmppc_h_put_tce() */
static long tce_kvm_put(struct tce_kvm_call *call)
{
	const struct tce_kvm_hcall *args = &call->args;
	enum dma_data_direction dir = iommu_tce_direction(args->value);
	unsigned long ua = 0;
	long ret;

	ret = tce_kvm_check_ioba(call->table, args->ioba);
	if (ret != H_SUCCESS)
		return ret;

	ret = tce_kvm_validate(call->table, args->value);
	if (ret != H_SUCCESS)
		return ret;

	if (dir != DMA_NONE && !tce_kvm_to_ua(args->value, &ua))
		return H_PARAMETER;

	return tce_kvm_put_entry(call, args->ioba >> call->table->page_shift,
				 ua, dir, dir == DMA_NONE);
}

/* Reads one TCE of a list; may sleep for a page fault. */
static bool tce_kvm_read(const __be64 __user *list, unsigned long i, u64 *tce)
{
	__be64 word;

	if (copy_from_user(&word, list + i, sizeof(word)))
		return false;
	*tce = be64_to_cpu(word);

	return true;
}

/* kvmppc_h_put_tce_indirect() */
static long tce_kvm_put_indirect(struct tce_kvm_call *call)
{
	const struct tce_kvm_hcall *args = &call->args;
	unsigned long entry = args->ioba >> call->table->page_shift;
	__be64 __user *list;
	unsigned long ua, i;
	u64 tce;
	long ret;

	if (args->npages > TCE_LIST_MAX || (args->value & (SZ_4K - 1)))
		return H_PARAMETER;

	ret = tce_kvm_check_ioba(call->table, args->ioba);
	if (ret != H_SUCCESS)
		return ret;

	if (!tce_kvm_to_ua(args->value, &ua))
		return H_TOO_HARD;
	list = (__be64 __user *)ua;

	for (i = 0; i < args->npages; i++) {
		if (!tce_kvm_read(list, i, &tce))
			return H_TOO_HARD;

		ret = tce_kvm_validate(call->table, tce);
		if (ret != H_SUCCESS)
			return ret;
	}

	/* The guest may change the list here: then @again has the new one. */
	if (args->again)
		list = u64_to_user_ptr(args->again);

	for (i = 0; i < args->npages; i++) {
		if (!tce_kvm_read(list, i, &tce))
			return H_TOO_HARD;

		if (!tce_kvm_to_ua(tce, &ua))
			return H_PARAMETER;

		ret = tce_kvm_put_entry(call, entry + i, ua,
					iommu_tce_direction(tce), false);
		if (ret != H_SUCCESS)
			return ret;
	}

	return H_SUCCESS;
}

/* kvmppc_h_stuff_tce() */
static long tce_kvm_stuff(struct tce_kvm_call *call)
{
	const struct tce_kvm_hcall *args = &call->args;
	unsigned long entry = args->ioba >> call->table->page_shift;
	struct tce_kvm_iommu_table *stit;
	unsigned long i;
	long ret;

	ret = tce_kvm_check_ioba(call->table, args->ioba);
	if (ret != H_SUCCESS)
		return ret;

	if (args->value & (TCE_PCI_READ | TCE_PCI_WRITE))
		return H_PARAMETER;

	stit = tce_kvm_iommu_table_begin(call->table);
	if (!stit)
		return ret;

	/* 6.12 does not check that the range ends within the table. */
	for (i = 0; i < args->npages; i++) {
		ret = tce_kvm_unmap(call, stit->tbl, entry + i);
		if (ret == H_SUCCESS)
			continue;

		if (ret == H_TOO_HARD)
			break;

		WARN_ON_ONCE(1);
		tce_kvm_clear(call->table, stit->tbl, entry + i);
	}
	tce_kvm_iommu_table_end(stit);

	return ret;
}

/* kvmppc_clear_tce() alone */
static long tce_kvm_clear_entry(struct tce_kvm_call *call)
{
	const struct tce_kvm_hcall *args = &call->args;
	struct tce_kvm_iommu_table *stit;
	long ret;

	ret = tce_kvm_check_ioba(call->table, args->ioba);
	if (ret != H_SUCCESS)
		return ret;

	stit = tce_kvm_iommu_table_begin(call->table);
	if (!stit)
		return ret;

	tce_kvm_clear(call->table, stit->tbl,
		      args->ioba >> call->table->page_shift);
	tce_kvm_iommu_table_end(stit);

	return ret;
}

static long tce_kvm_ioctl_hcall(struct tce_kvm_guest *guest, void __user *argp,
				long (*fn)(struct tce_kvm_call *call))
{
	struct tce_kvm_hcall __user *result = argp;
	struct tce_kvm_call call = { .guest = guest };
	struct tce_kvm_table *table;
	s64 status;

	if (copy_from_user(&call.args, argp, sizeof(call.args)))
		return -EFAULT;

	table = tce_kvm_table_get(guest);
	if (!table)
		return -ENXIO;

	call.table = table;
	status = fn(&call);
	tce_kvm_table_put(table);

	return put_user(status, &result->status);
}

/* The device */

static int tce_kvm_open(struct inode *inode, struct file *file)
{
	struct tce_kvm_guest *guest;

	guest = kzalloc(sizeof(*guest), GFP_KERNEL);
	if (!guest)
		return -ENOMEM;

	mutex_init(&guest->lock);
	file->private_data = guest;

	return 0;
}

static int tce_kvm_release(struct inode *inode, struct file *file)
{
	struct tce_kvm_guest *guest = file->private_data;

	tce_kvm_detach(guest);
	tce_kvm_restore_ops(guest);
	kfree(guest);

	return 0;
}

static long tce_kvm_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	struct tce_kvm_guest *guest = file->private_data;
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case TCE_KVM_ATTACH:
		return tce_kvm_ioctl_attach(guest, argp);
	case TCE_KVM_DETACH:
		return tce_kvm_detach(guest);
	case TCE_KVM_KEEP:
		return tce_kvm_ioctl_keep(guest, argp);
	case TCE_KVM_PUT:
		return tce_kvm_ioctl_hcall(guest, argp, tce_kvm_put);
	case TCE_KVM_PUT_INDIRECT:
		return tce_kvm_ioctl_hcall(guest, argp, tce_kvm_put_indirect);
	case TCE_KVM_STUFF:
		return tce_kvm_ioctl_hcall(guest, argp, tce_kvm_stuff);
	case TCE_KVM_CLEAR:
		return tce_kvm_ioctl_hcall(guest, argp, tce_kvm_clear_entry);
	case TCE_KVM_FORGET:
		return tce_kvm_ioctl_forget(guest);
	case TCE_KVM_RECALL:
		return tce_kvm_put_forgotten();
	case TCE_KVM_PAUSED:
		if (!atomic_read(&guest->paused))
			return 0;
		atomic_set(&guest->seen, 1);
		return 1;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations tce_kvm_fops = {
	.owner = THIS_MODULE,
	.open = tce_kvm_open,
	.release = tce_kvm_release,
	.unlocked_ioctl = tce_kvm_ioctl,
};

static struct miscdevice tce_kvm_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tce_kvm_test",
	.mode = 0600,
	.fops = &tce_kvm_fops,
};

static int __init tce_kvm_init(void)
{
	return misc_register(&tce_kvm_device);
}

static void __exit tce_kvm_exit(void)
{
	misc_deregister(&tce_kvm_device);
	tce_kvm_put_forgotten();
	/* RCU callbacks of this module drop references. */
	rcu_barrier();
}

module_init(tce_kvm_init);
module_exit(tce_kvm_exit);

MODULE_DESCRIPTION("Makes KVM's calls into a TCE table, for tests");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");
