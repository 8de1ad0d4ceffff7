// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KVM does to a TCE table, without KVM. For tests: a guest's hypercalls are
 * ioctls (tce_kvm_test.h), so they can be made at will, by many threads, while
 * user space does to the same table what it likes.
 *
 * The calls into the table and their order are those of
 * arch/powerpc/kvm/book3s_64_vio.c, and so is what becomes of their results. The
 * names of the functions there are given here. What is left out never reaches the
 * table: KVM's copy of the entries for emulated devices.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/hvcall.h>
#include <asm/iommu.h>
#include <asm/mmu_context.h>
#include <asm/tce.h>

#include "tce_kvm_test.h"

/* PAPR: the list of H_PUT_TCE_INDIRECT is one page of 4 KiB. */
#define TCE_LIST_MAX	(SZ_4K / sizeof(__be64))

static_assert(TCE_KVM_SUCCESS == H_SUCCESS);
static_assert(TCE_KVM_PARAMETER == H_PARAMETER);
static_assert(TCE_KVM_TOO_HARD == H_TOO_HARD);

/**
 * struct tce_kvm_table - a table that a guest has
 * @ref: the guest, and hypercalls in progress
 * @rcu: drops the reference on @tbl
 * @tbl: the host's table
 * @page_shift: the guest's IOMMU page
 * @offset: first entry of the window, in the guest's pages
 * @size: number of entries, in the guest's pages
 */
struct tce_kvm_table {
	struct kref ref;
	struct rcu_head rcu;
	struct iommu_table *tbl;
	unsigned int page_shift;
	unsigned long offset;
	unsigned long size;
};

/**
 * struct tce_kvm_guest - an open file
 * @lock: protects the others; not held while the table is used
 * @table: the table, or NULL
 * @kept: a group that the platform does not take back, or NULL
 * @kept_ops: what @kept has instead of the platform's operations
 * @platform_ops: those
 */
struct tce_kvm_guest {
	struct mutex lock; /* all that follows */
	struct tce_kvm_table *table;
	struct iommu_group *kept;
	struct iommu_table_group_ops kept_ops;
	struct iommu_table_group_ops *platform_ops;
};

/**
 * struct tce_kvm_forgotten - a reference that KVM would have lost
 * @node: in tce_kvm_forgotten
 * @tbl: the table
 */
struct tce_kvm_forgotten {
	struct list_head node;
	struct iommu_table *tbl;
};

static DEFINE_MUTEX(tce_kvm_forgotten_lock);
static LIST_HEAD(tce_kvm_forgotten);

/* Lifetime */

static void tce_kvm_table_free(struct rcu_head *rcu)
{
	struct tce_kvm_table *table = container_of(rcu, struct tce_kvm_table,
						   rcu);

	iommu_tce_table_put(table->tbl);
	kfree(table);
}

static void tce_kvm_table_release(struct kref *ref)
{
	struct tce_kvm_table *table = container_of(ref, struct tce_kvm_table,
						   ref);

	call_rcu(&table->rcu, tce_kvm_table_free);
}

static void tce_kvm_table_put(struct tce_kvm_table *table)
{
	kref_put(&table->ref, tce_kvm_table_release);
}

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

/* kvm_spapr_tce_attach_iommu_group(): the first table that fits. */
static struct iommu_table *
tce_kvm_find(struct iommu_table_group *table_group,
	     const struct tce_kvm_attach *attach)
{
	unsigned int i;

	for (i = 0; i < IOMMU_TABLE_GROUP_MAX_TABLES; i++) {
		struct iommu_table *tbl = table_group->tables[i];

		if (tbl && tbl->it_page_shift <= attach->page_shift &&
		    tbl->it_offset << tbl->it_page_shift == attach->start &&
		    tbl->it_size << tbl->it_page_shift >= attach->size)
			return iommu_tce_table_get(tbl);
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

static struct iommu_table *
tce_kvm_find_device(const struct tce_kvm_attach *attach)
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

static struct tce_kvm_table *
tce_kvm_table_create(const struct tce_kvm_attach *attach)
{
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

	table = kzalloc(sizeof(*table), GFP_KERNEL);
	if (!table) {
		iommu_tce_table_put(tbl);
		return ERR_PTR(-ENOMEM);
	}

	kref_init(&table->ref);
	table->tbl = tbl;
	table->page_shift = attach->page_shift;
	table->offset = attach->start >> attach->page_shift;
	table->size = attach->size >> attach->page_shift;

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

static long tce_kvm_detach(struct tce_kvm_guest *guest)
{
	struct tce_kvm_table *table;

	mutex_lock(&guest->lock);
	table = guest->table;
	guest->table = NULL;
	mutex_unlock(&guest->lock);

	if (!table)
		return -ENXIO;

	tce_kvm_table_put(table);

	return 0;
}

/* Forgotten references */

static long tce_kvm_ioctl_forget(struct tce_kvm_guest *guest)
{
	struct tce_kvm_forgotten *forgotten;
	struct tce_kvm_table *table;

	table = tce_kvm_table_get(guest);
	if (!table)
		return -ENXIO;

	forgotten = kzalloc(sizeof(*forgotten), GFP_KERNEL);
	if (forgotten) {
		forgotten->tbl = iommu_tce_table_get(table->tbl);
		mutex_lock(&tce_kvm_forgotten_lock);
		list_add(&forgotten->node, &tce_kvm_forgotten);
		mutex_unlock(&tce_kvm_forgotten_lock);
	}
	tce_kvm_table_put(table);

	return forgotten ? 0 : -ENOMEM;
}

static long tce_kvm_recall(void)
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

/* A kept group */

static long tce_kvm_nothing(void)
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
		/* Both have had other arguments in other kernels. */
		guest->kept_ops.take_ownership = (void *)tce_kvm_nothing;
		guest->kept_ops.release_ownership = (void *)tce_kvm_nothing;
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

static void tce_kvm_unkeep(struct tce_kvm_guest *guest)
{
	struct iommu_table_group *table_group;

	if (!guest->kept)
		return;

	table_group = iommu_group_get_iommudata(guest->kept);
	table_group->ops = guest->platform_ops;
	iommu_group_put(guest->kept);
}

/* Addresses */

/* kvmppc_ioba_validate() */
static long tce_kvm_check_ioba(const struct tce_kvm_table *table,
			       unsigned long ioba, unsigned long npages)
{
	return iommu_tce_check_ioba(table->page_shift, table->offset,
				    table->size, ioba, npages) ?
	       H_PARAMETER : H_SUCCESS;
}

/* kvmppc_tce_to_ua(), for a guest that has the caller's memory. */
static bool tce_kvm_to_ua(u64 tce, unsigned long *ua)
{
	*ua = tce & ~(u64)(TCE_PCI_READ | TCE_PCI_WRITE);

	return *ua < TASK_SIZE_MAX;
}

/* kvmppc_tce_validate() */
static long tce_kvm_validate(const struct tce_kvm_table *table, u64 tce)
{
	unsigned int shift = table->tbl->it_page_shift;
	struct mm_iommu_table_group_mem_t *mem;
	unsigned long hpa = 0;
	unsigned long ua;
	bool good;

	if (iommu_tce_direction(tce) == DMA_NONE)
		return H_SUCCESS;

	if (iommu_tce_check_gpa(table->page_shift,
				tce & ~(u64)(TCE_PCI_READ | TCE_PCI_WRITE)))
		return H_TOO_HARD;

	if (!tce_kvm_to_ua(tce, &ua))
		return H_TOO_HARD;

	rcu_read_lock();
	mem = mm_iommu_lookup(current->mm, ua, 1UL << shift);
	good = mem && !mm_iommu_ua_to_hpa(mem, ua, shift, &hpa);
	rcu_read_unlock();

	return good ? H_SUCCESS : H_TOO_HARD;
}

/* The table's pages in one of the guest's. */
static unsigned long tce_kvm_subpages(const struct tce_kvm_table *table)
{
	return 1UL << (table->page_shift - table->tbl->it_page_shift);
}

/* What is done to the table */

/* kvmppc_clear_tce(): no kill, and what is taken out is forgotten. */
static void tce_kvm_clear(const struct tce_kvm_table *table,
			  unsigned long entry)
{
	unsigned long subpages = tce_kvm_subpages(table);
	unsigned long i;

	for (i = 0; i < subpages; i++) {
		enum dma_data_direction dir = DMA_NONE;
		unsigned long hpa = 0;

		iommu_tce_xchg_no_kill(current->mm, table->tbl,
				       entry * subpages + i, &hpa, &dir);
	}
}

/* kvmppc_tce_iommu_mapped_dec() */
static long tce_kvm_uncount(struct iommu_table *tbl, unsigned long entry)
{
	__be64 *pua = IOMMU_TABLE_USERSPACE_ENTRY_RO(tbl, entry);
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
static long tce_kvm_unmap_subpage(struct iommu_table *tbl, unsigned long entry)
{
	enum dma_data_direction dir = DMA_NONE;
	unsigned long hpa = 0;
	long ret;

	if (WARN_ON_ONCE(iommu_tce_xchg_no_kill(current->mm, tbl, entry, &hpa,
						&dir)))
		return H_TOO_HARD;

	if (dir == DMA_NONE)
		return H_SUCCESS;

	ret = tce_kvm_uncount(tbl, entry);
	if (ret != H_SUCCESS)
		iommu_tce_xchg_no_kill(current->mm, tbl, entry, &hpa, &dir);

	return ret;
}

/* kvmppc_tce_iommu_unmap() */
static long tce_kvm_unmap(const struct tce_kvm_table *table,
			  unsigned long entry)
{
	unsigned long subpages = tce_kvm_subpages(table);
	long ret = H_SUCCESS;
	unsigned long i;

	for (i = 0; i < subpages && ret == H_SUCCESS; i++)
		ret = tce_kvm_unmap_subpage(table->tbl, entry * subpages + i);

	iommu_tce_kill(table->tbl, entry * subpages, subpages);

	return ret;
}

/*
 * The part of kvmppc_tce_iommu_do_map() that counts the page. There it is not in
 * an RCU section, which a kernel that can be preempted would want.
 */
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
static long tce_kvm_map_subpage(struct iommu_table *tbl, unsigned long entry,
				unsigned long ua, enum dma_data_direction dir)
{
	__be64 *pua = IOMMU_TABLE_USERSPACE_ENTRY(tbl, entry);
	struct mm_iommu_table_group_mem_t *mem;
	unsigned long hpa;

	if (!pua)
		return H_TOO_HARD;

	mem = tce_kvm_count(tbl, ua, &hpa);
	if (!mem)
		return H_TOO_HARD;

	if (WARN_ON_ONCE(iommu_tce_xchg_no_kill(current->mm, tbl, entry, &hpa,
						&dir))) {
		mm_iommu_mapped_dec(mem);
		return H_TOO_HARD;
	}

	if (dir != DMA_NONE)
		tce_kvm_uncount(tbl, entry);

	/* KVM has a plain store here, and a word is not torn. */
	WRITE_ONCE(*pua, cpu_to_be64(ua));

	return H_SUCCESS;
}

/* kvmppc_tce_iommu_map() */
static long tce_kvm_map(const struct tce_kvm_table *table, unsigned long entry,
			unsigned long ua, enum dma_data_direction dir)
{
	unsigned long subpages = tce_kvm_subpages(table);
	long ret = H_SUCCESS;
	unsigned long i;

	for (i = 0; i < subpages && ret == H_SUCCESS; i++)
		ret = tce_kvm_map_subpage(table->tbl, entry * subpages + i,
					  ua + i * IOMMU_PAGE_SIZE(table->tbl),
					  dir);

	iommu_tce_kill(table->tbl, entry * subpages, subpages);

	return ret;
}

/* Hypercalls */

/* kvmppc_h_put_tce() */
static long tce_kvm_put(const struct tce_kvm_table *table,
			const struct tce_kvm_hcall *hcall)
{
	enum dma_data_direction dir = iommu_tce_direction(hcall->value);
	unsigned long entry = hcall->ioba >> table->page_shift;
	unsigned long ua = 0;
	long ret;

	ret = tce_kvm_check_ioba(table, hcall->ioba, 1);
	if (ret != H_SUCCESS)
		return ret;

	ret = tce_kvm_validate(table, hcall->value);
	if (ret != H_SUCCESS)
		return ret;

	if (dir != DMA_NONE && !tce_kvm_to_ua(hcall->value, &ua))
		return H_PARAMETER;

	if (dir == DMA_NONE)
		ret = tce_kvm_unmap(table, entry);
	else
		ret = tce_kvm_map(table, entry, ua, dir);

	if (ret != H_SUCCESS)
		tce_kvm_clear(table, entry);

	return ret;
}

/* kvmppc_h_put_tce_indirect() */
static long tce_kvm_put_indirect(const struct tce_kvm_table *table,
				 const struct tce_kvm_hcall *hcall)
{
	unsigned long entry = hcall->ioba >> table->page_shift;
	__be64 __user *list;
	unsigned long ua, i;
	__be64 tce;
	long ret;

	if (hcall->npages > TCE_LIST_MAX || (hcall->value & (SZ_4K - 1)))
		return H_PARAMETER;

	ret = tce_kvm_check_ioba(table, hcall->ioba, hcall->npages);
	if (ret != H_SUCCESS)
		return ret;

	if (!tce_kvm_to_ua(hcall->value, &ua))
		return H_TOO_HARD;
	list = (__be64 __user *)ua;

	for (i = 0; i < hcall->npages; i++) {
		if (copy_from_user(&tce, list + i, sizeof(tce)))
			return H_TOO_HARD;

		ret = tce_kvm_validate(table, be64_to_cpu(tce));
		if (ret != H_SUCCESS)
			return ret;
	}

	for (i = 0; i < hcall->npages; i++) {
		/* Again: the guest may have changed it, which is its own risk. */
		if (copy_from_user(&tce, list + i, sizeof(tce)))
			return H_TOO_HARD;

		if (!tce_kvm_to_ua(be64_to_cpu(tce), &ua))
			return H_PARAMETER;

		ret = tce_kvm_map(table, entry + i, ua,
				  iommu_tce_direction(be64_to_cpu(tce)));
		if (ret != H_SUCCESS) {
			tce_kvm_clear(table, entry + i);
			return ret;
		}
	}

	return H_SUCCESS;
}

/* kvmppc_h_stuff_tce() */
static long tce_kvm_stuff(const struct tce_kvm_table *table,
			  const struct tce_kvm_hcall *hcall)
{
	unsigned long entry = hcall->ioba >> table->page_shift;
	unsigned long i;
	long ret;

	ret = tce_kvm_check_ioba(table, hcall->ioba, hcall->npages);
	if (ret != H_SUCCESS)
		return ret;

	if (hcall->value & (TCE_PCI_READ | TCE_PCI_WRITE))
		return H_PARAMETER;

	for (i = 0; i < hcall->npages; i++) {
		ret = tce_kvm_unmap(table, entry + i);
		if (ret == H_SUCCESS)
			continue;

		if (ret == H_TOO_HARD)
			return ret;

		WARN_ON_ONCE(1);
		tce_kvm_clear(table, entry + i);
	}

	return ret;
}

/* kvmppc_clear_tce(), on its own */
static long tce_kvm_clear_entry(const struct tce_kvm_table *table,
				const struct tce_kvm_hcall *hcall)
{
	long ret = tce_kvm_check_ioba(table, hcall->ioba, 1);

	if (ret == H_SUCCESS)
		tce_kvm_clear(table, hcall->ioba >> table->page_shift);

	return ret;
}

static long tce_kvm_ioctl_hcall(struct tce_kvm_guest *guest, void __user *argp,
				long (*fn)(const struct tce_kvm_table *table,
					   const struct tce_kvm_hcall *hcall))
{
	struct tce_kvm_hcall __user *result = argp;
	struct tce_kvm_hcall hcall;
	struct tce_kvm_table *table;

	if (copy_from_user(&hcall, argp, sizeof(hcall)))
		return -EFAULT;

	table = tce_kvm_table_get(guest);
	if (!table)
		return -ENXIO;

	hcall.status = fn(table, &hcall);
	tce_kvm_table_put(table);

	return put_user(hcall.status, &result->status);
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
	tce_kvm_unkeep(guest);
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
		return tce_kvm_recall();
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
	tce_kvm_recall();
	/* References are dropped after a grace period. */
	rcu_barrier();
}

module_init(tce_kvm_init);
module_exit(tce_kvm_exit);

MODULE_DESCRIPTION("What KVM does to a TCE table, for tests");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");
