// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simulates errors of the firmware, for tests. This replaces operations of the
 * platform's groups and lets one call return any error that firmware may
 * return: negative numbers of OPAL, negative and positive ones of RTAS.
 *
 *	cd /sys/module/tce_firmware_test/parameters
 *	echo 0000:00:00.0 set_window 9900 >answer
 *	cat answered
 *	echo off >answer
 *
 * "answer" is for the next such call for the device's group. create_table and
 * set_window then do not reach the platform. unset_window does: on PowerNV the
 * kernel forgets a window even if the firmware keeps it. keep_window is an
 * unset_window that does not reach the platform, so that the device can still
 * use the window, and the kernel knows of it; this is for the second window
 * only, because the platform itself removes the first. no_link is a
 * set_window for which the platform has no memory after it has called the
 * firmware, on PowerNV; if its number is not 0, the next unset_window is a
 * keep_window that returns it. init_table is a lack of
 * memory for the default window when a group is given back to the platform, for
 * all groups and until "answer" is written again; its number is ignored.
 * "answered" is the number of calls that were answered since "answer" was
 * written. "unset" has a bit for each number of a window that unset_window was
 * called for since it was written.
 *
 * "usable" is the number of calls of set_window at whose end KVM could set
 * entries of the table.
 *
 * "create_ms" is how long create_table keeps the CPU busy when the platform has
 * created the table, and others may find it, for all groups once "answer" was
 * written.
 */

#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/iommu.h>

#include "../kill/tce_trap.h"

enum tce_call {
	TCE_CREATE_TABLE,
	TCE_SET_WINDOW,
	TCE_UNSET_WINDOW,
	TCE_KEEP_WINDOW,
	TCE_NO_LINK,
	TCE_INIT_TABLE,
	TCE_CALLS,
};

static const char * const tce_call_names[] = {
	[TCE_CREATE_TABLE] = "create_table",
	[TCE_SET_WINDOW] = "set_window",
	[TCE_UNSET_WINDOW] = "unset_window",
	[TCE_KEEP_WINDOW] = "keep_window",
	[TCE_NO_LINK] = "no_link",
	[TCE_INIT_TABLE] = "init_table",
};

/*
 * Protects what follows. A mutex: the operations may sleep. Only tce_answered
 * is also read without it, and counted up by tce_init_table(), so it may be too
 * small where that runs on several CPUs.
 */
static DEFINE_MUTEX(tce_answer_lock);
/* The operations of all groups of the platform, which are not const. */
static struct iommu_table_group_ops *tce_ops;
/* The platform's own operations. */
static struct iommu_table_group_ops tce_platform_ops;
/* The group that the answer is for. */
static struct iommu_table_group *tce_group;
/* The call that the answer is for; TCE_CALLS for none. */
static unsigned int tce_call = TCE_CALLS;
static long tce_answer;
static unsigned long tce_answered;

/*
 * The platform calls iommu_init_table() directly, so a probe returns in its
 * place. The handler runs with preemption disabled and cannot take the mutex.
 */
static int tce_init_table(struct kprobe *probe, struct pt_regs *regs)
{
	if (READ_ONCE(tce_call) != TCE_INIT_TABLE)
		return 0;

	tce_answered++;
	regs_set_return_value(regs, 0);
	instruction_pointer_set(regs, regs->link);

	/* The registers have changed: do not execute the instruction. */
	return 1;
}

/* 0 if the kernel has no kprobes. */
static int tce_init_probed;
module_param_named(has_init_table, tce_init_probed, int, 0400);
MODULE_PARM_DESC(has_init_table, "1 if init_table can be answered, otherwise 0");

static struct kprobe tce_init_probe = {
	.pre_handler = tce_init_table,
};

static unsigned int tce_create_ms;
module_param_named(create_ms, tce_create_ms, uint, 0600);
MODULE_PARM_DESC(create_ms, "delay of create_table in milliseconds");

static bool tce_take_answer(const struct iommu_table_group *table_group,
			    enum tce_call call, long *answer)
{
	bool take;

	mutex_lock(&tce_answer_lock);
	take = tce_group == table_group && tce_call == call;
	if (take) {
		*answer = tce_answer;
		WRITE_ONCE(tce_call, TCE_CALLS);
		tce_answered++;
	}
	mutex_unlock(&tce_answer_lock);

	return take;
}

static long tce_create_table(struct iommu_table_group *table_group, int num,
			     __u32 page_shift, __u64 window_size, __u32 levels,
			     struct iommu_table **ptbl)
{
	long answer, ret;

	if (tce_take_answer(table_group, TCE_CREATE_TABLE, &answer))
		return answer;

	ret = tce_platform_ops.create_table(table_group, num, page_shift,
					    window_size, levels, ptbl);
	mdelay(READ_ONCE(tce_create_ms));

	return ret;
}

/*
 * As if pnv_pci_link_table_and_group() had failed. The caller holds the group's
 * mutex.
 */
static void tce_lose_link(struct iommu_table_group *table_group, int num)
{
	struct iommu_table *tbl = table_group->tables[num];
	struct iommu_table_group_link *link;

	list_for_each_entry(link, &tbl->it_group_list, next) {
		if (link->table_group != table_group)
			continue;
		list_del_rcu(&link->next);
		kfree_rcu(link, rcu);
		table_group->tables[num] = NULL;
		iommu_tce_table_put(tbl);
		break;
	}
}

/* Callers hold the mutex of the group; the tests change one at a time. */
static unsigned long tce_usable;

/*
 * What KVM calls first when a guest sets an entry, and what it calls last. The
 * caller has the address space that the window maps.
 */
static void tce_try_table(struct iommu_table *tbl)
{
	const struct iommu_table_ops *ops = tbl->it_ops;

	rcu_read_lock();
	if (ops->useraddrptr && ops->useraddrptr(tbl, tbl->it_offset, true)) {
		ops->tce_kill(tbl, tbl->it_offset, 1);
		tce_usable++;
	}
	rcu_read_unlock();
}

static long tce_set_window(struct iommu_table_group *table_group, int num,
			   struct iommu_table *tbl)
{
	long answer, ret;

	if (tce_take_answer(table_group, TCE_SET_WINDOW, &answer))
		return answer;

	ret = tce_platform_ops.set_window(table_group, num, tbl);
	if (!ret)
		tce_try_table(tbl);
	if (ret || !tce_take_answer(table_group, TCE_NO_LINK, &answer))
		return ret;

	tce_lose_link(table_group, num);
	if (answer) {
		mutex_lock(&tce_answer_lock);
		WRITE_ONCE(tce_call, TCE_KEEP_WINDOW);
		mutex_unlock(&tce_answer_lock);
	}

	return 0;
}

/* Callers hold the mutex of the group; the tests use one group. */
static unsigned long tce_unset;

static long tce_unset_window(struct iommu_table_group *table_group, int num)
{
	long answer, ret;

	if (num && tce_take_answer(table_group, TCE_KEEP_WINDOW, &answer))
		return answer;

	ret = tce_platform_ops.unset_window(table_group, num);
	tce_unset |= BIT(num);

	return tce_take_answer(table_group, TCE_UNSET_WINDOW, &answer) ?
		       answer :
		       ret;
}

static struct pci_dev *tce_find_device(const char *address)
{
	unsigned int domain, bus, slot, function;

	if (sscanf(address, "%x:%x:%x.%x",
		   &domain, &bus, &slot, &function) != 4)
		return NULL;

	return pci_get_domain_bus_and_slot(domain, bus,
					   PCI_DEVFN(slot, function));
}

static int tce_replace_ops(const char *address)
{
	struct iommu_table_group *table_group = NULL;
	struct pci_dev *pdev = tce_find_device(address);
	struct iommu_group *group;

	if (!pdev)
		return -ENODEV;

	group = iommu_group_get(&pdev->dev);
	pci_dev_put(pdev);
	if (group)
		table_group = iommu_group_get_iommudata(group);
	/*
	 * Nothing removes the group meanwhile. Later calls only compare
	 * tce_group.
	 */
	iommu_group_put(group);
	if (!table_group || !table_group->ops)
		return -ENXIO;

	tce_group = table_group;
	if (tce_ops)
		return 0;

	tce_ops = table_group->ops;
	tce_platform_ops = *tce_ops;
	WRITE_ONCE(tce_ops->create_table, tce_create_table);
	WRITE_ONCE(tce_ops->set_window, tce_set_window);
	WRITE_ONCE(tce_ops->unset_window, tce_unset_window);

	return 0;
}

/*
 * This does not wait for callers that sleep in an operation: unload the module
 * only when no group is in use.
 */
static void tce_restore_ops(void)
{
	if (!tce_ops)
		return;

	WRITE_ONCE(tce_ops->create_table, tce_platform_ops.create_table);
	WRITE_ONCE(tce_ops->set_window, tce_platform_ops.set_window);
	WRITE_ONCE(tce_ops->unset_window, tce_platform_ops.unset_window);
	synchronize_rcu();
}

static int tce_answer_set(const char *value, const struct kernel_param *param)
{
	char address[32], name[32];
	long answer;
	int call, ret;

	if (sysfs_streq(value, "off")) {
		mutex_lock(&tce_answer_lock);
		WRITE_ONCE(tce_call, TCE_CALLS);
		mutex_unlock(&tce_answer_lock);
		return 0;
	}

	if (sscanf(value, "%31s %31s %ld", address, name, &answer) != 3)
		return -EINVAL;

	call = match_string(tce_call_names, TCE_CALLS, name);
	if (call < 0)
		return call;
	if (call == TCE_INIT_TABLE && !tce_init_probed)
		return -EOPNOTSUPP;

	mutex_lock(&tce_answer_lock);
	ret = tce_replace_ops(address);
	if (!ret) {
		tce_answer = answer;
		tce_answered = 0;
		WRITE_ONCE(tce_call, call);
	}
	mutex_unlock(&tce_answer_lock);

	return ret;
}

static const struct kernel_param_ops tce_answer_ops = {
	.set = tce_answer_set,
};
module_param_cb(answer, &tce_answer_ops, NULL, 0200);
MODULE_PARM_DESC(answer, "PCI address, call and answer, or off");

module_param_named(unset, tce_unset, ulong, 0600);
MODULE_PARM_DESC(unset, "bitmap of the windows that unset_window was called for");

module_param_named(usable, tce_usable, ulong, 0400);
MODULE_PARM_DESC(usable, "number of set_window calls in which KVM could set entries");

module_param_named(answered, tce_answered, ulong, 0400);
MODULE_PARM_DESC(answered, "number of calls that were answered");

static int __init tce_firmware_init(void)
{
	tce_init_probed = !tce_trap_find(&tce_init_probe, "iommu_init_table") &&
			  !register_kprobe(&tce_init_probe);

	return 0;
}

static void __exit tce_firmware_exit(void)
{
	if (tce_init_probed)
		unregister_kprobe(&tce_init_probe);

	mutex_lock(&tce_answer_lock);
	tce_restore_ops();
	mutex_unlock(&tce_answer_lock);
}

module_init(tce_firmware_init);
module_exit(tce_firmware_exit);

MODULE_DESCRIPTION("Simulates errors of the firmware, for tests");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");
