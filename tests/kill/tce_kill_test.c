// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records TCE kills, for tests. QEMU does not cache TCEs, so a kill that is
 * missing or too early has no effect on the emulated device. This module
 * replaces the platform's tce_kill, records the state of the entries when it is
 * called, and calls the platform's.
 *
 *	echo 0000:00:00.0 0x7fff0000 >/sys/module/tce_kill_test/parameters/watch
 *	cat /sys/module/tce_kill_test/parameters/seen
 *	echo 300 >/sys/module/tce_kill_test/parameters/slow
 *	cat /sys/module/tce_kill_test/parameters/slow_now
 *	cat /sys/module/tce_kill_test/parameters/pinned
 *	echo off >/sys/module/tce_kill_test/parameters/watch
 *
 * "watch" starts a new record of the kills of all windows of the platform that
 * the device belongs to, and selects the caller's page at that address. "seen"
 * is the record, in decimal: the number of kills; the first entry and one past
 * the last entry of them; the number of entries that were set when they were
 * killed; the number of kills at which the page was pinned; the number of
 * entries of the longest kill. Entries are numbered from the start of the
 * window.
 *
 * "slow" delays the next kill by so many milliseconds before it reaches the
 * hardware. "slow_now" is the number of kills that are delayed now, "pinned"
 * whether the page is pinned now.
 *
 *	echo 0000:00:00.0 stale >/sys/module/tce_kill_test/parameters/lie
 *
 * makes the machine behave as if kills had no effect, which tools/dmacheck must
 * report: "stale" as if the PHB had cached entries that were cleared, "blind"
 * as if it had cached that entries were not set. With "blind", pages
 * that a window maps meanwhile are never released.
 */

#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/kprobes.h>
#include <linux/kstrtox.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_trap.h"

#define TCE_PERM	((u64)(TCE_PCI_READ | TCE_PCI_WRITE))

/**
 * struct tce_seen - the record of kills
 * @kills: number of kills
 * @first: the first entry
 * @end: one past the last entry
 * @set: entries that were set when they were killed
 * @pinned: kills at which the page was pinned
 * @longest: the number of entries of the longest kill
 */
struct tce_seen {
	unsigned long kills;
	unsigned long first;
	unsigned long end;
	unsigned long set;
	unsigned long pinned;
	unsigned long longest;
};

/*
 * Protects tce_ops, tce_platform_kill and tce_probing, and serialises changes
 * of tce_lie.
 */
static DEFINE_MUTEX(tce_watch_lock);
static struct iommu_table_ops *tce_ops;
static void (*tce_platform_kill)(struct iommu_table *tbl, unsigned long index,
				 unsigned long pages);

/*
 * Protects tce_seen and tce_page. Taken by tce_kill(), in atomic context, too,
 * but never in an interrupt.
 */
static DEFINE_SPINLOCK(tce_seen_lock);
static struct tce_seen tce_seen;
static struct page *tce_page;

/*
 * Delay of the next kill in milliseconds; number of kills that are delayed now.
 */
static atomic_t tce_slow = ATOMIC_INIT(0);
static atomic_t tce_slow_now = ATOMIC_INIT(0);

/* How the hardware is to behave. */
enum tce_lie {
	TCE_LIE_OFF,
	TCE_LIE_STALE,
	TCE_LIE_BLIND,
};

static const char * const tce_lies[] = { "off", "stale", "blind" };
static unsigned int tce_lie;

/*
 * With TCE_LIE_STALE: the entries that were set last, to set them again. Those
 * that are set again (@back) must be cleared before the driver finds them: it
 * would release their pages twice.
 */
#define TCE_REMEMBERED	64

static DEFINE_SPINLOCK(tce_lie_lock);
static struct {
	const struct iommu_table *tbl;
	unsigned long index;
	__be64 tce;
	bool back;
} tce_remembered[TCE_REMEMBERED];

/* The entry, or NULL if there is no leaf. Called in an RCU section. */
static __be64 *tce_entry(const struct iommu_table *tbl, unsigned long index)
{
	unsigned int shift = ilog2(tbl->it_level_size);
	unsigned int height = tbl->it_indirect_levels;
	__be64 *tces = (__be64 *)tbl->it_base;

	for (; height; height--) {
		unsigned long slot = index >> (height * shift);
		u64 tce = be64_to_cpu(READ_ONCE(tces[slot & (BIT(shift) - 1)]));

		if (!(tce & TCE_PERM))
			return NULL;
		tces = __va(tce & ~TCE_PERM);
	}

	return &tces[index & (BIT(shift) - 1)];
}

static void tce_lie_for_entry(const struct iommu_table *tbl,
			      unsigned long index)
{
	unsigned long at = index % TCE_REMEMBERED;
	__be64 *entry;

	rcu_read_lock();
	entry = tce_entry(tbl, index);
	if (!entry)
		goto unlock;

	if (*entry && tce_lie == TCE_LIE_BLIND) {
		WRITE_ONCE(*entry, 0);
	} else if (*entry) {
		tce_remembered[at].tbl = tbl;
		tce_remembered[at].index = index;
		tce_remembered[at].tce = *entry;
	} else if (tce_lie == TCE_LIE_STALE && tce_remembered[at].tbl == tbl &&
		   tce_remembered[at].index == index) {
		WRITE_ONCE(*entry, tce_remembered[at].tce);
		tce_remembered[at].back = true;
	}
unlock:
	rcu_read_unlock();
}

static void tce_apply_lie(const struct iommu_table *tbl, unsigned long index,
			  unsigned long pages)
{
	unsigned long flags;

	/*
	 * No device translates through a table that is in no group, and it may
	 * be freed.
	 */
	if (!READ_ONCE(tce_lie) || list_empty(&tbl->it_group_list))
		return;

	spin_lock_irqsave(&tce_lie_lock, flags);
	for (; pages; pages--, index++)
		tce_lie_for_entry(tbl, index);
	spin_unlock_irqrestore(&tce_lie_lock, flags);
}

/* Clears the entries that were set again, before the driver can find them. */
static int tce_lie_undo(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned long flags;
	__be64 *entry;
	int i;

	spin_lock_irqsave(&tce_lie_lock, flags);
	rcu_read_lock();
	for (i = 0; i < TCE_REMEMBERED; i++) {
		if (!tce_remembered[i].back)
			continue;

		/* The leaf may have been freed meanwhile. */
		entry = tce_entry(tce_remembered[i].tbl,
				  tce_remembered[i].index);
		if (entry && *entry == tce_remembered[i].tce)
			WRITE_ONCE(*entry, 0);
		tce_remembered[i].back = false;
		tce_remembered[i].tbl = NULL;
	}
	rcu_read_unlock();
	spin_unlock_irqrestore(&tce_lie_lock, flags);

	return 0;
}

static const char * const tce_probed[] = {
	"vfio_iommu_spapr_tce:tce_iommu_ioctl",
	"vfio_iommu_spapr_tce:tce_iommu_detach_group",
};

static struct kprobe tce_ioctl_probe = {
	.pre_handler = tce_lie_undo,
};

static struct kprobe tce_detach_probe = {
	.pre_handler = tce_lie_undo,
};

static struct kprobe *tce_probes[] = { &tce_ioctl_probe, &tce_detach_probe };
static bool tce_probing;

/* Whether the hardware could use the entry. */
static bool tce_is_set(const struct iommu_table *tbl, unsigned long index)
{
	const __be64 *entry = tce_entry(tbl, index);

	return entry && be64_to_cpu(READ_ONCE(*entry)) & TCE_PERM;
}

static void tce_record(const struct iommu_table *tbl, unsigned long index,
		       unsigned long pages)
{
	unsigned long end = index + pages;

	spin_lock(&tce_seen_lock);
	if (!tce_seen.kills++)
		tce_seen.first = index;
	tce_seen.first = min(tce_seen.first, index);
	tce_seen.end = max(tce_seen.end, end);
	tce_seen.longest = max(tce_seen.longest, pages);
	rcu_read_lock();
	for (; index < end; index++)
		tce_seen.set += tce_is_set(tbl, index);
	rcu_read_unlock();
	if (tce_page && folio_maybe_dma_pinned(page_folio(tce_page)))
		tce_seen.pinned++;
	spin_unlock(&tce_seen_lock);
}

/* tce_kill is called in atomic context, too, so this must not sleep. */
static void tce_delay(void)
{
	unsigned int ms;

	if (!atomic_read(&tce_slow))
		return;

	atomic_inc(&tce_slow_now);
	ms = atomic_xchg(&tce_slow, 0);
	if (ms)
		mdelay(ms);
	atomic_dec(&tce_slow_now);
}

static void tce_kill(struct iommu_table *tbl, unsigned long index,
		     unsigned long pages)
{
	/* Tables of the platform itself are not recorded. */
	if (tbl->it_ops != tce_ops) {
		tce_delay();
		tce_record(tbl, index - tbl->it_offset, pages);
		tce_apply_lie(tbl, index - tbl->it_offset, pages);
	}
	tce_platform_kill(tbl, index, pages);
}

/* The operations of the platform's tables, which are not const. */
static struct iommu_table_ops *tce_find_ops(struct pci_dev *pdev)
{
	struct iommu_table_group *table_group = NULL;
	struct iommu_table_ops *ops = NULL;
	struct iommu_group *group;
	struct iommu_table *tbl;

	group = iommu_group_get(&pdev->dev);
	if (group)
		table_group = iommu_group_get_iommudata(group);
	/* The table is only needed for its it_ops, and not programmed. */
	if (table_group && table_group->ops &&
	    !table_group->ops->create_table(table_group, 0, IOMMU_PAGE_SHIFT_4K,
					    SZ_4K, 1, &tbl)) {
		ops = tbl->it_ops;
		iommu_tce_table_put(tbl);
	}
	if (group)
		iommu_group_put(group);

	return ops;
}

static int tce_replace_ops(const char *address)
{
	unsigned int domain, bus, slot, function;
	struct pci_dev *pdev;

	if (tce_ops)
		return 0;

	if (sscanf(address, "%x:%x:%x.%x",
		   &domain, &bus, &slot, &function) != 4)
		return -EINVAL;

	pdev = pci_get_domain_bus_and_slot(domain, bus,
					   PCI_DEVFN(slot, function));
	if (!pdev)
		return -ENODEV;

	tce_ops = tce_find_ops(pdev);
	pci_dev_put(pdev);
	if (!tce_ops || !tce_ops->tce_kill) {
		tce_ops = NULL;
		return -ENXIO;
	}

	tce_platform_kill = tce_ops->tce_kill;
	WRITE_ONCE(tce_ops->tce_kill, tce_kill);

	return 0;
}

static void tce_reset(struct page *page)
{
	struct page *old;

	spin_lock(&tce_seen_lock);
	memset(&tce_seen, 0, sizeof(tce_seen));
	old = tce_page;
	tce_page = page;
	spin_unlock(&tce_seen_lock);
	if (old)
		put_page(old);
}

static int tce_watch_set(const char *value, const struct kernel_param *param)
{
	unsigned long address;
	struct page *page;
	int ret;

	if (sysfs_streq(value, "off")) {
		tce_reset(NULL);
		return 0;
	}

	if (sscanf(value, "%*s %lx", &address) != 1)
		return -EINVAL;

	mutex_lock(&tce_watch_lock);
	ret = tce_replace_ops(value);
	if (!ret && get_user_pages_fast(address & PAGE_MASK, 1, 0, &page) != 1)
		ret = -EFAULT;
	if (!ret)
		tce_reset(page);
	mutex_unlock(&tce_watch_lock);

	return ret;
}

static int tce_seen_get(char *buffer, const struct kernel_param *param)
{
	struct tce_seen seen;

	spin_lock(&tce_seen_lock);
	seen = tce_seen;
	spin_unlock(&tce_seen_lock);

	return sysfs_emit(buffer, "%lu %lu %lu %lu %lu %lu\n", seen.kills,
			  seen.first, seen.end, seen.set, seen.pinned,
			  seen.longest);
}

static const struct kernel_param_ops tce_watch_ops = {
	.set = tce_watch_set,
};
module_param_cb(watch, &tce_watch_ops, NULL, 0200);
MODULE_PARM_DESC(watch,
		 "PCI address of a device and a user-space address, or off");

static const struct kernel_param_ops tce_seen_ops = {
	.get = tce_seen_get,
};
module_param_cb(seen, &tce_seen_ops, NULL, 0400);
MODULE_PARM_DESC(seen, "number of kills, first, end, set, pinned, longest");

static int tce_probe(void)
{
	unsigned int i;
	int ret;

	if (tce_probing)
		return 0;

	for (i = 0; i < ARRAY_SIZE(tce_probes); i++) {
		ret = tce_trap_find(tce_probes[i], tce_probed[i]);
		if (ret)
			return ret;
	}

	ret = register_kprobes(tce_probes, ARRAY_SIZE(tce_probes));
	tce_probing = !ret;

	return ret;
}

static int tce_lie_set(const char *value, const struct kernel_param *param)
{
	char word[8];
	int ret, lie;

	if (sscanf(value, "%*s %7s", word) != 1)
		return -EINVAL;

	lie = match_string(tce_lies, ARRAY_SIZE(tce_lies), word);
	if (lie < 0)
		return lie;

	mutex_lock(&tce_watch_lock);
	ret = tce_replace_ops(value);
	if (!ret)
		ret = tce_probe();
	if (!ret)
		WRITE_ONCE(tce_lie, lie);
	mutex_unlock(&tce_watch_lock);

	return ret;
}

static const struct kernel_param_ops tce_lie_ops = {
	.set = tce_lie_set,
};
module_param_cb(lie, &tce_lie_ops, NULL, 0200);
MODULE_PARM_DESC(lie, "PCI address of a device, and off, stale or blind");

static int tce_slow_set(const char *value, const struct kernel_param *param)
{
	unsigned int ms;
	int ret = kstrtouint(value, 0, &ms);

	/* Below the limit of the watchdogs. */
	if (!ret && ms > 10000)
		ret = -ERANGE;
	if (!ret)
		atomic_set(&tce_slow, ms);

	return ret;
}

static int tce_slow_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(param->arg));
}

static const struct kernel_param_ops tce_slow_ops = {
	.set = tce_slow_set,
	.get = tce_slow_get,
};
module_param_cb(slow, &tce_slow_ops, &tce_slow, 0600);
MODULE_PARM_DESC(slow, "delay of the next kill in ms; 0 when it has begun");

static const struct kernel_param_ops tce_slow_now_ops = {
	.get = tce_slow_get,
};
module_param_cb(slow_now, &tce_slow_now_ops, &tce_slow_now, 0400);
MODULE_PARM_DESC(slow_now, "number of kills that are delayed now");

static int tce_pinned_get(char *buffer, const struct kernel_param *param)
{
	bool pinned;

	spin_lock(&tce_seen_lock);
	pinned = tce_page && folio_maybe_dma_pinned(page_folio(tce_page));
	spin_unlock(&tce_seen_lock);

	return sysfs_emit(buffer, "%d\n", pinned);
}

static const struct kernel_param_ops tce_pinned_ops = {
	.get = tce_pinned_get,
};
module_param_cb(pinned, &tce_pinned_ops, NULL, 0400);
MODULE_PARM_DESC(pinned, "whether the page is pinned now");

static int __init tce_kill_init(void)
{
	return 0;
}

static void __exit tce_kill_exit(void)
{
	if (tce_probing)
		unregister_kprobes(tce_probes, ARRAY_SIZE(tce_probes));
	if (tce_ops) {
		WRITE_ONCE(tce_ops->tce_kill, tce_platform_kill);
		synchronize_rcu();
	}
	tce_reset(NULL);
}

module_init(tce_kill_init);
module_exit(tce_kill_exit);

MODULE_DESCRIPTION("Records TCE kills, for tests");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");
