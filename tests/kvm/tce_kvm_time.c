// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures KVM's calls into a TCE table, for the benchmark. As in KVM, a call
 * takes no lock and no reference, and is in an RCU section only while it checks
 * an address. The callbacks are not checked; tce_kvm_test.c does that. The
 * calls and their order are those of arch/powerpc/kvm/book3s_64_vio.c; comments
 * name the functions there.
 *
 * The program must not remove the table during a call, and calls on one file
 * must not overlap.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include <asm/hvcall.h>
#include <asm/iommu.h>
#include <asm/mmu_context.h>
#include <asm/tce.h>

#include "tce_kvm_time.h"
#include "tce_kvm_table.h"
#include "tce_mark.h"

#define TCE_LIST_MAX	(SZ_4K / sizeof(__be64))
#define TCE_PERM	((u64)(TCE_PCI_READ | TCE_PCI_WRITE))

/**
 * struct tce_kvm_timed - an open file
 * @tbl: the host's table, with a reference; or NULL
 * @page_shift: IOMMU page size of the guest, as a shift
 */
struct tce_kvm_timed {
	struct iommu_table *tbl;
	unsigned int page_shift;
};

/* kvmppc_tce_validate() */
static long tce_kvm_validate(const struct tce_kvm_timed *timed, u64 tce)
{
	unsigned int shift = timed->tbl->it_page_shift;
	struct mm_iommu_table_group_mem_t *mem;
	unsigned long hpa, ua = tce & ~TCE_PERM;
	long ret = H_SUCCESS;

	if (iommu_tce_direction(tce) == DMA_NONE)
		return H_SUCCESS;

	if (iommu_tce_check_gpa(timed->page_shift, ua))
		return H_TOO_HARD;

	rcu_read_lock();
	mem = mm_iommu_lookup(current->mm, ua, 1UL << shift);
	if (!mem || mm_iommu_ua_to_hpa(mem, ua, shift, &hpa))
		ret = H_TOO_HARD;
	rcu_read_unlock();

	return ret;
}

/* kvmppc_tce_iommu_mapped_dec() */
static long tce_kvm_uncount(struct iommu_table *tbl, unsigned long entry)
{
	__be64 *pua = IOMMU_TABLE_USERSPACE_ENTRY_RO(tbl, entry);
	struct mm_iommu_table_group_mem_t *mem;

	if (!pua)
		return H_SUCCESS;

	mem = mm_iommu_lookup(current->mm, be64_to_cpu(*pua),
			      1UL << tbl->it_page_shift);
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

	if (iommu_tce_xchg_no_kill(current->mm, tbl, entry, &hpa, &dir))
		return H_TOO_HARD;

	if (dir == DMA_NONE)
		return H_SUCCESS;

	ret = tce_kvm_uncount(tbl, entry);
	if (ret != H_SUCCESS)
		iommu_tce_xchg_no_kill(current->mm, tbl, entry, &hpa, &dir);

	return ret;
}

/* kvmppc_tce_iommu_unmap() */
static long tce_kvm_unmap(const struct tce_kvm_timed *timed,
			  unsigned long entry)
{
	struct iommu_table *tbl = timed->tbl;
	unsigned long i,
		subpages = 1UL << (timed->page_shift - tbl->it_page_shift);
	long ret = H_SUCCESS;

	entry *= subpages;
	for (i = 0; i < subpages && ret == H_SUCCESS; i++)
		ret = tce_kvm_unmap_subpage(tbl, entry + i);

	iommu_tce_kill(tbl, entry, subpages);

	return ret;
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

	mem = mm_iommu_lookup(current->mm, ua, 1UL << tbl->it_page_shift);
	if (!mem || mm_iommu_ua_to_hpa(mem, ua, tbl->it_page_shift, &hpa) ||
	    mm_iommu_mapped_inc(mem))
		return H_TOO_HARD;

	if (iommu_tce_xchg_no_kill(current->mm, tbl, entry, &hpa, &dir)) {
		mm_iommu_mapped_dec(mem);
		return H_TOO_HARD;
	}

	if (dir != DMA_NONE)
		tce_kvm_uncount(tbl, entry);
	*pua = cpu_to_be64(ua);

	return H_SUCCESS;
}

/* kvmppc_tce_iommu_map() */
static long tce_kvm_map(const struct tce_kvm_timed *timed, unsigned long entry,
			unsigned long ua, enum dma_data_direction dir)
{
	struct iommu_table *tbl = timed->tbl;
	unsigned long i,
		subpages = 1UL << (timed->page_shift - tbl->it_page_shift);
	long ret = H_SUCCESS;

	entry *= subpages;
	for (i = 0; i < subpages && ret == H_SUCCESS; i++)
		ret = tce_kvm_map_subpage(tbl, entry + i,
					  ua + i * IOMMU_PAGE_SIZE(tbl), dir);

	iommu_tce_kill(tbl, entry, subpages);

	return ret;
}

/* kvmppc_h_put_tce() */
static long tce_kvm_put(const struct tce_kvm_timed *timed, unsigned long entry,
			u64 tce)
{
	enum dma_data_direction dir = iommu_tce_direction(tce);
	long ret = tce_kvm_validate(timed, tce);

	if (ret != H_SUCCESS)
		return ret;

	return dir == DMA_NONE ?
		       tce_kvm_unmap(timed, entry) :
		       tce_kvm_map(timed, entry, tce & ~TCE_PERM, dir);
}

/* Reads one TCE of a list. */
static bool tce_kvm_read(const u64 __user *list, unsigned long i, u64 *tce)
{
	u64 word;

	if (get_user(word, list + i))
		return false;
	*tce = be64_to_cpu((__force __be64)word);

	return true;
}

/* kvmppc_h_put_tce_indirect() */
static long tce_kvm_put_indirect(const struct tce_kvm_timed *timed,
				 unsigned long entry, const u64 __user *list,
				 unsigned long count)
{
	unsigned long i;
	long ret;
	u64 tce;

	for (i = 0; i < count; i++) {
		if (!tce_kvm_read(list, i, &tce))
			return H_TOO_HARD;

		ret = tce_kvm_validate(timed, tce);
		if (ret != H_SUCCESS)
			return ret;
	}

	for (i = 0; i < count; i++) {
		if (!tce_kvm_read(list, i, &tce))
			return H_TOO_HARD;

		ret = tce_kvm_map(timed, entry + i, tce & ~TCE_PERM,
				  iommu_tce_direction(tce));
		if (ret != H_SUCCESS)
			return ret;
	}

	return H_SUCCESS;
}

/* kvmppc_h_stuff_tce() */
static long tce_kvm_stuff(const struct tce_kvm_timed *timed,
			  unsigned long entry, unsigned long count)
{
	long ret = H_SUCCESS;
	unsigned long i;

	for (i = 0; i < count && ret == H_SUCCESS; i++)
		ret = tce_kvm_unmap(timed, entry + i);

	return ret;
}

static long tce_kvm_run(const struct tce_kvm_timed *timed,
			const struct tce_kvm_time *time)
{
	unsigned long i, entry = time->ioba >> timed->page_shift;
	u64 step = BIT_ULL(timed->page_shift);
	long ret = H_SUCCESS;

	switch (time->what) {
	case TCE_KVM_TIME_PUT:
		for (i = 0; i < time->count && ret == H_SUCCESS; i++)
			ret = tce_kvm_put(timed, entry + i,
					  time->value + i * step);
		return ret;
	case TCE_KVM_TIME_CLEAR:
		for (i = 0; i < time->count && ret == H_SUCCESS; i++)
			ret = tce_kvm_put(timed, entry + i, 0);
		return ret;
	case TCE_KVM_TIME_INDIRECT:
		return tce_kvm_put_indirect(timed, entry,
					    u64_to_user_ptr(time->value),
					    time->count);
	case TCE_KVM_TIME_STUFF:
		return tce_kvm_stuff(timed, entry, time->count);
	case TCE_KVM_TIME_ADDRESS:
		for (i = 0; i < time->count; i++)
			if (!IOMMU_TABLE_USERSPACE_ENTRY(timed->tbl, entry + i))
				ret = H_TOO_HARD;
		return ret;
	case TCE_KVM_TIME_ADDRESS_RO:
		for (i = 0; i < time->count; i++)
			if (!IOMMU_TABLE_USERSPACE_ENTRY_RO(timed->tbl,
							    entry + i))
				ret = H_TOO_HARD;
		return ret;
	case TCE_KVM_TIME_EXCHANGE:
		for (i = 0; i < time->count; i++)
			ret |= tce_kvm_unmap_subpage(timed->tbl, entry + i);
		return ret;
	}

	return H_PARAMETER;
}

static long tce_kvm_time_run(const struct tce_kvm_timed *timed,
			     void __user *argp)
{
	struct tce_kvm_time time;
	u64 start;

	if (copy_from_user(&time, argp, sizeof(time)))
		return -EFAULT;

	if (!timed->tbl)
		return -ENXIO;

	if (time.what == TCE_KVM_TIME_INDIRECT && time.count > TCE_LIST_MAX)
		return -EINVAL;

	start = ktime_get_ns();
	tce_mark(TCE_MARK_BEGIN);
	time.status = tce_kvm_run(timed, &time);
	tce_mark(TCE_MARK_END);
	time.ns = ktime_get_ns() - start;

	return copy_to_user(argp, &time, sizeof(time)) ? -EFAULT : 0;
}

static long tce_kvm_time_attach(struct tce_kvm_timed *timed, void __user *argp)
{
	struct tce_kvm_attach attach;
	struct iommu_table *tbl;

	if (copy_from_user(&attach, argp, sizeof(attach)))
		return -EFAULT;

	if (timed->tbl)
		return -EBUSY;

	tbl = tce_kvm_find_device(&attach);
	if (IS_ERR(tbl))
		return PTR_ERR(tbl);

	timed->tbl = tbl;
	timed->page_shift = attach.page_shift;

	return 0;
}

static int tce_kvm_time_open(struct inode *inode, struct file *file)
{
	struct tce_kvm_timed *timed;

	timed = kzalloc(sizeof(*timed), GFP_KERNEL);
	if (!timed)
		return -ENOMEM;

	file->private_data = timed;

	return 0;
}

static int tce_kvm_time_release(struct inode *inode, struct file *file)
{
	struct tce_kvm_timed *timed = file->private_data;

	if (timed->tbl)
		iommu_tce_table_put(timed->tbl);
	kfree(timed);

	return 0;
}

static long tce_kvm_time_ioctl(struct file *file, unsigned int cmd,
			       unsigned long arg)
{
	struct tce_kvm_timed *timed = file->private_data;
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case TCE_KVM_TIME_ATTACH:
		return tce_kvm_time_attach(timed, argp);
	case TCE_KVM_TIME_RUN:
		return tce_kvm_time_run(timed, argp);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations tce_kvm_time_fops = {
	.owner = THIS_MODULE,
	.open = tce_kvm_time_open,
	.release = tce_kvm_time_release,
	.unlocked_ioctl = tce_kvm_time_ioctl,
};

static struct miscdevice tce_kvm_time_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tce_kvm_time",
	.mode = 0600,
	.fops = &tce_kvm_time_fops,
};

module_misc_device(tce_kvm_time_device);

MODULE_DESCRIPTION("Measures KVM's calls into a TCE table, for the benchmark");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");
