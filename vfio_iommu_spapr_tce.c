// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO backend for the sPAPR TCE IOMMU of POWER: the container. VFIO operations,
 * parsing, policy. The interface is include/uapi/linux/vfio.h and "sPAPR TCE
 * IOMMU" in Documentation/driver-api/vfio.rst.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/hashtable.h>
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_debugfs.h"
#include "tce_eeh.h"
#include "tce_memory.h"
#include "tce_pages.h"
#include "tce_pinned.h"
#include "tce_platform.h"
#include "tce_window.h"
#include "vfio_iommu_driver.h"

/**
 * DOC: Locking
 *
 * container->lock is taken for writing by whatever changes the container:
 * groups coming and going, windows created and removed, memory registered and
 * unregistered, the address space becoming known. MAP and UNMAP hold it for
 * reading, so they run in parallel with each other while all that stays as it is.
 * Memory is pinned before the lock is taken for writing. Order: container->lock,
 * then what the lower layers take.
 *
 * The VFIO core calls ioctl() with no lock held, even while another thread
 * removes the last group and release() runs. So the core is not given a pointer
 * but a number. release() withdraws it, waits for those who wait for the lock, then
 * for those who have it. RCU keeps the container for those who have just found it or
 * are letting go of the lock.
 */

/* The default window's IOMMU page. */
#define TCE_DEFAULT_PAGE_SHIFT	IOMMU_PAGE_SHIFT_4K

static bool charge_allocated;
module_param(charge_allocated, bool, 0644);
MODULE_PARM_DESC(charge_allocated,
		 "Charge locked_vm with the levels that a table has, not with a whole table (new windows; default: N)");

/**
 * struct tce_group - a group in a container
 * @node: in tce_container::groups
 * @iommu_group: the group
 */
struct tce_group {
	struct list_head node;
	struct iommu_group *iommu_group;
};

/**
 * struct tce_container - what stands behind VFIO_SET_IOMMU
 * @node: in tce_containers
 * @number: the number that the VFIO core knows; no other container ever has it
 * @waiting: calls that wait for @lock, plus one until release
 * @idle: nobody waits any more
 * @rcu: frees it
 * @lock: see DOC: Locking
 * @released: by the VFIO core
 * @version: of the interface, 1 or 2
 * @pages: what can be mapped; NULL until user space has shown its address space
 * @memory: version 2: the same, as registered memory
 * @enabled: version 1: VFIO_IOMMU_ENABLE was called. Version 2: something has
 *           been registered, so there is something to map
 * @enabled_pages: version 1: what ENABLE charged, in kernel pages
 * @default_pending: the default window is still to be made, when it is needed
 * @groups: the groups
 * @windows: the windows by number
 * @locked_pages: what each window was charged, in kernel pages
 */
struct tce_container {
	struct hlist_node node;
	unsigned long number;
	refcount_t waiting;
	struct completion idle;
	struct rcu_head rcu;
	struct rw_semaphore lock; /* see DOC: Locking */
	bool released;
	unsigned int version;
	struct tce_pages *pages;
	struct tce_memory *memory;
	bool enabled;
	unsigned long enabled_pages;
	bool default_pending;
	struct list_head groups;
	struct tce_window *windows[IOMMU_TABLE_GROUP_MAX_TABLES];
	unsigned long locked_pages[IOMMU_TABLE_GROUP_MAX_TABLES];
};

/* By number. The lock is for adding and taking out; RCU is for finding. */
static DEFINE_HASHTABLE(tce_containers, 6);
static DEFINE_SPINLOCK(tce_containers_lock);

static void *tce_container_publish(struct tce_container *container)
{
	static unsigned long last;

	spin_lock(&tce_containers_lock);
	container->number = ++last;
	hash_add_rcu(tce_containers, &container->node, container->number);
	spin_unlock(&tce_containers_lock);

	return (void *)container->number;
}

static void tce_container_withdraw(struct tce_container *container)
{
	spin_lock(&tce_containers_lock);
	hash_del_rcu(&container->node);
	spin_unlock(&tce_containers_lock);
}

static struct tce_container *tce_container_find(unsigned long number)
{
	struct tce_container *container;

	hash_for_each_possible_rcu(tce_containers, container, node, number)
		if (container->number == number)
			break;

	return container;
}

static void tce_container_waited(struct tce_container *container)
{
	if (refcount_dec_and_test(&container->waiting))
		complete(&container->idle);
}

static void tce_container_unlock(struct tce_container *container, bool write)
{
	/* The one who gets the lock next may be release(). */
	rcu_read_lock();
	if (write)
		up_write(&container->lock);
	else
		up_read(&container->lock);
	rcu_read_unlock();
}

/* Takes the lock of a container; returns NULL if it has been released. */
static struct tce_container *tce_container_lock(void *iommu_data, bool write)
{
	struct tce_container *container;
	bool locked = false;

	rcu_read_lock();
	container = tce_container_find((unsigned long)iommu_data);
	if (container && !write && down_read_trylock(&container->lock)) {
		locked = !container->released;
		if (!locked)
			up_read(&container->lock);
	} else if (container && refcount_inc_not_zero(&container->waiting)) {
		rcu_read_unlock();
		if (write)
			down_write(&container->lock);
		else
			down_read(&container->lock);
		tce_container_waited(container);
		return container;
	}
	rcu_read_unlock();

	return locked ? container : NULL;
}

/*
 * From reading to writing; downgrade_write() leads back. In between the container
 * may change. Fails, still reading, if it is being released.
 */
static int tce_container_upgrade(struct tce_container *container)
{
	if (!refcount_inc_not_zero(&container->waiting))
		return -ENODEV;

	up_read(&container->lock);
	down_write(&container->lock);
	tce_container_waited(container);

	return 0;
}

/* Runs @fn with the lock held for writing, for a caller that is reading. */
static int tce_container_upgraded(struct tce_container *container,
				  int (*fn)(struct tce_container *container))
{
	int ret;

	ret = tce_container_upgrade(container);
	if (ret)
		return ret;

	ret = fn(container);
	downgrade_write(&container->lock);

	return ret;
}

/* Groups and windows */

static struct iommu_table_group *tce_table_group(const struct tce_group *group)
{
	return iommu_group_get_iommudata(group->iommu_group);
}

/* The first group speaks for all: they were compared when they were attached. */
static struct iommu_table_group *
tce_first_table_group(struct tce_container *container)
{
	struct tce_group *group;

	lockdep_assert_held(&container->lock);

	group = list_first_entry_or_null(&container->groups, struct tce_group,
					 node);

	return group ? tce_table_group(group) : NULL;
}

static struct tce_window *
tce_find_window(struct tce_container *container, u64 iova)
{
	unsigned int num;

	lockdep_assert_held(&container->lock);

	for (num = 0; num < ARRAY_SIZE(container->windows); num++) {
		struct tce_window *window = container->windows[num];

		if (window && tce_window_contains(window, iova))
			return window;
	}

	return NULL;
}

/* Takes a window out of the groups before @end, which may be the list's head. */
static void tce_detach_window(struct tce_container *container,
			      struct tce_window *window, struct list_head *end)
{
	struct tce_group *group;

	list_for_each_entry(group, &container->groups, node) {
		if (&group->node == end)
			break;
		tce_window_detach(window, tce_table_group(group));
	}
}

static int tce_attach_window(struct tce_container *container,
			     struct tce_window *window)
{
	struct tce_group *group;
	int ret;

	list_for_each_entry(group, &container->groups, node) {
		ret = tce_window_attach(window, tce_table_group(group));
		if (ret) {
			tce_detach_window(container, window, &group->node);
			return ret;
		}
	}

	return 0;
}

static void tce_drop_window(struct tce_container *container, unsigned int num)
{
	tce_window_put(container->windows[num]);
	container->windows[num] = NULL;
	account_locked_vm(container->pages->mm, container->locked_pages[num],
			  false);
	container->locked_pages[num] = 0;
}

static void tce_remove_window(struct tce_container *container, unsigned int num)
{
	tce_detach_window(container, container->windows[num],
			  &container->groups);
	tce_drop_window(container, num);
}

/* Returns the number of the window, or an errno. */
static int tce_create_window(struct tce_container *container,
			     unsigned int page_shift, u64 size,
			     unsigned int levels)
{
	const struct tce_window_request request = {
		.page_shift = page_shift,
		.size = size,
		.levels = levels,
		.pages = container->pages,
		.charge = READ_ONCE(charge_allocated),
		.pinned = container->version == 1,
	};
	struct mm_struct *mm = container->pages->mm;
	struct tce_window *window;
	unsigned long locked;
	unsigned int num;
	int ret;

	lockdep_assert_held_write(&container->lock);

	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (!container->windows[num])
			break;
	if (num == ARRAY_SIZE(container->windows))
		return -ENOSPC;

	locked = tce_platform_locked_pages(page_shift, size, levels);
	if (!locked)
		return -EINVAL;
	if (request.charge) {
		locked = 0;
		/* What windows before it were charged is given back with their levels. */
		tce_window_flush();
	}

	ret = account_locked_vm(mm, locked, true);
	if (ret)
		return ret;

	window = tce_window_create(tce_first_table_group(container), num,
				   &request);
	if (IS_ERR(window)) {
		ret = PTR_ERR(window);
		goto uncharge;
	}

	ret = tce_attach_window(container, window);
	if (ret)
		goto put;

	container->windows[num] = window;
	container->locked_pages[num] = locked;

	return num;

put:
	tce_window_put(window);
uncharge:
	account_locked_vm(mm, locked, false);

	return ret;
}

static int tce_create_default_window(struct tce_container *container)
{
	struct iommu_table_group *table_group;
	int ret;

	lockdep_assert_held_write(&container->lock);

	if (!container->default_pending)
		return 0;

	table_group = tce_first_table_group(container);
	if (!table_group)
		return -ENODEV;

	ret = tce_create_window(container, TCE_DEFAULT_PAGE_SHIFT,
				table_group->tce32_size,
				tce_platform_default_levels());
	if (ret < 0)
		return ret;

	container->default_pending = false;

	return 0;
}

/* ioctls */

/* All VFIO arguments begin like this. */
struct tce_args {
	__u32 argsz;
	__u32 flags;
};

static int tce_get_args(void *to, void __user *from, size_t size,
			u32 flags_known)
{
	struct tce_args *args = to;

	if (copy_from_user(to, from, size))
		return -EFAULT;

	if (args->argsz < size || (args->flags & ~flags_known))
		return -EINVAL;

	return 0;
}

/* The container belongs to the address space that first used it. */
static int tce_check_mm(struct tce_container *container)
{
	lockdep_assert_held(&container->lock);

	if (container->pages && container->pages->mm != current->mm)
		return -EPERM;

	return 0;
}

static int tce_claim_mm(struct tce_container *container)
{
	struct tce_memory *memory;
	struct tce_pages *pages;

	lockdep_assert_held_write(&container->lock);

	if (container->pages)
		return tce_check_mm(container);

	if (container->version == 1) {
		pages = tce_pinned_create();
		if (IS_ERR(pages))
			return PTR_ERR(pages);
	} else {
		memory = tce_memory_create(&container->lock);
		if (IS_ERR(memory))
			return PTR_ERR(memory);
		container->memory = memory;
		pages = tce_memory_pages(memory);
	}
	container->pages = pages;

	return 0;
}

static long tce_check_extension(unsigned long arg)
{
	switch (arg) {
	case VFIO_SPAPR_TCE_IOMMU:
	case VFIO_SPAPR_TCE_v2_IOMMU:
		return 1;
	case VFIO_EEH:
		return tce_eeh_enabled();
	default:
		return 0;
	}
}

static long tce_ioctl_get_info(struct tce_container *container,
			       void __user *argp)
{
	size_t full = offsetofend(struct vfio_iommu_spapr_tce_info, ddw);
	size_t size = offsetofend(struct vfio_iommu_spapr_tce_info,
				  dma32_window_size);
	struct vfio_iommu_spapr_tce_info info = {};
	struct iommu_table_group *table_group;
	int ret;

	table_group = tce_first_table_group(container);
	if (!table_group)
		return -ENXIO;

	ret = tce_get_args(&info, argp, size, ~0U);
	if (ret)
		return ret;

	info.flags = 0;
	info.dma32_window_start = table_group->tce32_start;
	info.dma32_window_size = table_group->tce32_size;
	if (container->version == 2) {
		info.flags = VFIO_IOMMU_SPAPR_INFO_DDW;
		info.ddw.pgsizes = table_group->pgsizes;
		info.ddw.max_dynamic_windows_supported =
			table_group->max_dynamic_windows_supported;
		info.ddw.levels = table_group->max_levels;
	}

	if (info.argsz >= full)
		size = full;

	return copy_to_user(argp, &info, size) ? -EFAULT : 0;
}

/* Finds the window of a bus address; makes the default window if need be. */
static struct tce_window *tce_dma_window(struct tce_container *container,
					 u64 iova)
{
	struct tce_window *window;
	int ret;

	if (container->default_pending) {
		ret = tce_container_upgraded(container,
					     tce_create_default_window);
		if (ret)
			return ERR_PTR(ret);
	}

	window = tce_find_window(container, iova);

	return window ?: ERR_PTR(-ENXIO);
}

static long tce_ioctl_map_dma(struct tce_container *container,
			      void __user *argp)
{
	size_t size = offsetofend(struct vfio_iommu_type1_dma_map, size);
	struct vfio_iommu_type1_dma_map map;
	struct tce_window *window;
	int ret;

	if (!container->enabled)
		return -EPERM;

	/* The flags say what the device may do, as an entry does. */
	BUILD_BUG_ON(VFIO_DMA_MAP_FLAG_READ != TCE_PCI_READ);
	BUILD_BUG_ON(VFIO_DMA_MAP_FLAG_WRITE != TCE_PCI_WRITE);
	ret = tce_get_args(&map, argp, size, TCE_PCI_READ | TCE_PCI_WRITE);
	if (ret)
		return ret;

	if (!map.flags)
		return -EINVAL;

	window = tce_dma_window(container, map.iova);
	if (IS_ERR(window))
		return PTR_ERR(window);

	return tce_window_map(window, map.iova, map.vaddr, map.size, map.flags);
}

static long tce_ioctl_unmap_dma(struct tce_container *container,
				void __user *argp)
{
	size_t size = offsetofend(struct vfio_iommu_type1_dma_unmap, size);
	struct vfio_iommu_type1_dma_unmap unmap;
	struct tce_window *window;
	int ret;

	if (!container->enabled)
		return -EPERM;

	ret = tce_get_args(&unmap, argp, size, 0);
	if (ret)
		return ret;

	window = tce_dma_window(container, unmap.iova);
	if (IS_ERR(window))
		return PTR_ERR(window);

	return tce_window_unmap(window, unmap.iova, unmap.size);
}

static long tce_ioctl_enable(struct tce_container *container, void __user *argp)
{
	struct iommu_table_group *table_group;
	unsigned long locked;
	int ret;

	if (container->enabled)
		return -EBUSY;

	table_group = tce_first_table_group(container);
	if (!table_group)
		return -ENODEV;

	if (!table_group->tce32_size)
		return -EPERM;

	ret = tce_claim_mm(container);
	if (ret)
		return ret;

	/* Everything that can be mapped, so that MAP need not charge. */
	locked = table_group->tce32_size >> PAGE_SHIFT;
	ret = account_locked_vm(container->pages->mm, locked, true);
	if (ret)
		return ret;

	container->enabled_pages = locked;
	container->enabled = true;

	return 0;
}

/* What is not charged any more must not stay pinned. */
static void tce_disable(struct tce_container *container)
{
	unsigned int num;

	lockdep_assert_held_write(&container->lock);

	if (container->version != 1 || !container->enabled)
		return;

	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (container->windows[num])
			tce_window_clear_all(container->windows[num]);

	account_locked_vm(container->pages->mm, container->enabled_pages, false);
	container->enabled_pages = 0;
	container->enabled = false;
}

static long tce_ioctl_disable(struct tce_container *container,
			      void __user *argp)
{
	tce_disable(container);

	return 0;
}

static long tce_ioctl_eeh(struct tce_container *container, void __user *argp)
{
	struct vfio_eeh_pe_op op;
	struct tce_group *group;
	long ret;

	ret = tce_eeh_get_op(&op, argp);
	if (ret)
		return ret;

	/* A state other than 0, normal, is an answer too: the first of them. */
	list_for_each_entry(group, &container->groups, node) {
		ret = tce_eeh_pe_op(group->iommu_group, &op);
		if (ret)
			return ret;
	}

	return 0;
}

static long tce_ioctl_register(struct tce_container *container,
			       void __user *argp)
{
	size_t size = offsetofend(struct vfio_iommu_spapr_register_memory, size);
	struct vfio_iommu_spapr_register_memory reg;
	struct tce_region *region;
	int ret;

	ret = tce_get_args(&reg, argp, size, 0);
	if (ret)
		return ret;

	if (!container->pages) {
		ret = tce_container_upgraded(container, tce_claim_mm);
		if (ret)
			return ret;
	}

	region = tce_memory_pin(container->memory, reg.vaddr, reg.size);
	if (IS_ERR(region))
		return PTR_ERR(region);

	ret = tce_container_upgrade(container);
	if (ret) {
		tce_memory_unpin(container->memory, region);
		return ret;
	}
	ret = tce_memory_add(container->memory, region);
	if (!ret)
		container->enabled = true;
	downgrade_write(&container->lock);

	return ret;
}

static long tce_ioctl_unregister(struct tce_container *container,
				 void __user *argp)
{
	size_t size = offsetofend(struct vfio_iommu_spapr_register_memory, size);
	struct vfio_iommu_spapr_register_memory reg;
	unsigned int num;
	int ret;

	if (!container->pages)
		return -EPERM;

	ret = tce_get_args(&reg, argp, size, 0);
	if (ret)
		return ret;

	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (container->windows[num])
			tce_window_settle(container->windows[num]);

	return tce_memory_unregister(container->memory, reg.vaddr, reg.size);
}

static long tce_ioctl_create(struct tce_container *container, void __user *argp)
{
	size_t size = offsetofend(struct vfio_iommu_spapr_tce_create, start_addr);
	struct vfio_iommu_spapr_tce_create create;
	int ret;

	if (list_empty(&container->groups))
		return -ENXIO;

	ret = tce_get_args(&create, argp, size, 0);
	if (ret)
		return ret;

	ret = tce_claim_mm(container);
	if (!ret)
		ret = tce_create_default_window(container);
	if (ret)
		return ret;

	ret = tce_create_window(container, create.page_shift,
				create.window_size, create.levels);
	if (ret < 0)
		return ret;

	create.start_addr = tce_window_start(container->windows[ret]);
	if (copy_to_user(argp, &create, size)) {
		tce_remove_window(container, ret);
		return -EFAULT;
	}

	return 0;
}

static long tce_ioctl_remove(struct tce_container *container, void __user *argp)
{
	size_t size = offsetofend(struct vfio_iommu_spapr_tce_remove, start_addr);
	struct vfio_iommu_spapr_tce_remove remove;
	unsigned int num;
	int ret;

	if (list_empty(&container->groups))
		return -ENXIO;

	ret = tce_get_args(&remove, argp, size, 0);
	if (ret)
		return ret;

	ret = tce_claim_mm(container);
	if (ret)
		return ret;

	/* The default window begins at 0. Nobody has needed it yet. */
	if (container->default_pending && !remove.start_addr) {
		container->default_pending = false;
		return 0;
	}

	for (num = 0; num < ARRAY_SIZE(container->windows); num++) {
		struct tce_window *window = container->windows[num];

		if (window && tce_window_start(window) == remove.start_addr) {
			tce_remove_window(container, num);
			return 0;
		}
	}

	return -EINVAL;
}

/* Versions of the interface that have a command. */
#define TCE_V1		BIT(1)
#define TCE_V2		BIT(2)

/**
 * struct tce_ioctl - how a command is done
 * @cmd: the command
 * @versions: of the interface that have it
 * @write: it changes the container, so the lock is held for writing
 * @fn: does it; may let go of a lock held for reading and take it again
 */
struct tce_ioctl {
	unsigned int cmd;
	unsigned int versions;
	bool write;
	long (*fn)(struct tce_container *container, void __user *argp);
};

static const struct tce_ioctl tce_ioctls[] = {
	{ VFIO_IOMMU_MAP_DMA, TCE_V1 | TCE_V2, false, tce_ioctl_map_dma },
	{ VFIO_IOMMU_UNMAP_DMA, TCE_V1 | TCE_V2, false, tce_ioctl_unmap_dma },
	{ VFIO_IOMMU_SPAPR_TCE_GET_INFO, TCE_V1 | TCE_V2, false,
	  tce_ioctl_get_info },
	{ VFIO_IOMMU_ENABLE, TCE_V1, true, tce_ioctl_enable },
	{ VFIO_IOMMU_DISABLE, TCE_V1, true, tce_ioctl_disable },
	{ VFIO_IOMMU_SPAPR_REGISTER_MEMORY, TCE_V2, false, tce_ioctl_register },
	{ VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, TCE_V2, true,
	  tce_ioctl_unregister },
	{ VFIO_IOMMU_SPAPR_TCE_CREATE, TCE_V2, true, tce_ioctl_create },
	{ VFIO_IOMMU_SPAPR_TCE_REMOVE, TCE_V2, true, tce_ioctl_remove },
	{ VFIO_EEH_PE_OP, TCE_V1 | TCE_V2, false, tce_ioctl_eeh },
};

static const struct tce_ioctl *tce_find_ioctl(unsigned int cmd)
{
	const struct tce_ioctl *ioctl = tce_ioctls;

	for (; ioctl < tce_ioctls + ARRAY_SIZE(tce_ioctls); ioctl++)
		if (ioctl->cmd == cmd)
			return ioctl;

	return NULL;
}

/* VFIO operations */

static long tce_iommu_ioctl(void *iommu_data, unsigned int cmd,
			    unsigned long arg)
{
	struct tce_container *container;
	const struct tce_ioctl *ioctl;
	long ret = -ENOTTY;

	if (cmd == VFIO_CHECK_EXTENSION)
		return tce_check_extension(arg);

	ioctl = tce_find_ioctl(cmd);
	if (!ioctl)
		return -ENOTTY;

	container = tce_container_lock(iommu_data, ioctl->write);
	if (!container)
		return -ENODEV;

	if (ioctl->versions & BIT(container->version))
		ret = tce_check_mm(container) ?:
		      ioctl->fn(container, (void __user *)arg);
	tce_container_unlock(container, ioctl->write);

	return ret;
}

static void *tce_iommu_open(unsigned long arg)
{
	struct tce_container *container;

	if (arg != VFIO_SPAPR_TCE_IOMMU && arg != VFIO_SPAPR_TCE_v2_IOMMU)
		return ERR_PTR(-EINVAL);

	container = kzalloc(sizeof(*container), GFP_KERNEL_ACCOUNT);
	if (!container)
		return ERR_PTR(-ENOMEM);

	container->version = arg == VFIO_SPAPR_TCE_IOMMU ? 1 : 2;
	refcount_set(&container->waiting, 1);
	init_completion(&container->idle);
	init_rwsem(&container->lock);
	INIT_LIST_HEAD(&container->groups);

	return tce_container_publish(container);
}

static void tce_iommu_release(void *iommu_data)
{
	struct tce_container *container;
	struct tce_group *group, *next;
	unsigned int num;

	rcu_read_lock();
	container = tce_container_find((unsigned long)iommu_data);
	rcu_read_unlock();

	tce_container_withdraw(container);
	tce_container_waited(container);
	wait_for_completion(&container->idle);

	down_write(&container->lock);
	container->released = true;
	tce_disable(container);
	for (num = 0; num < ARRAY_SIZE(container->windows); num++)
		if (container->windows[num])
			tce_remove_window(container, num);
	list_for_each_entry_safe(group, next, &container->groups, node)
		kfree(group);
	tce_window_flush();
	if (container->memory)
		tce_memory_unregister_all(container->memory);
	up_write(&container->lock);

	if (container->pages)
		tce_pages_put(container->pages);
	kfree_rcu(container, rcu);
}

/* Whether a group can share windows with those that are in the container. */
static int tce_check_group(struct tce_container *container,
			   struct iommu_group *iommu_group)
{
	struct iommu_table_group *table_group, *first;
	struct tce_group *group;

	table_group = iommu_group_get_iommudata(iommu_group);
	if (!table_group || !table_group->ops)
		return -ENODEV;

	/* Version 2 of the interface is dynamic DMA windows. */
	if (container->version == 2 &&
	    !table_group->max_dynamic_windows_supported)
		return -EINVAL;

	/* Version 1 has one group in a container. */
	if (container->version == 1 && !list_empty(&container->groups))
		return -EBUSY;

	list_for_each_entry(group, &container->groups, node)
		if (group->iommu_group == iommu_group)
			return -EBUSY;

	first = tce_first_table_group(container);
	if (first && first->ops->create_table != table_group->ops->create_table)
		return -EPERM;

	return 0;
}

static int tce_iommu_attach_group(void *iommu_data,
				  struct iommu_group *iommu_group,
				  enum vfio_group_type type)
{
	struct iommu_table_group *table_group;
	struct tce_container *container;
	struct tce_group *group;
	unsigned int num;
	int ret;

	if (type != VFIO_IOMMU)
		return -EINVAL;

	group = kzalloc(sizeof(*group), GFP_KERNEL_ACCOUNT);
	if (!group)
		return -ENOMEM;

	group->iommu_group = iommu_group;

	container = tce_container_lock(iommu_data, true);
	ret = tce_check_group(container, iommu_group);
	if (ret)
		goto unlock;

	table_group = tce_table_group(group);
	for (num = 0; num < ARRAY_SIZE(container->windows); num++) {
		if (!container->windows[num])
			continue;
		ret = tce_window_attach(container->windows[num], table_group);
		if (ret)
			goto detach;
	}

	if (list_empty(&container->groups) && !container->windows[0])
		container->default_pending = true;
	list_add_tail(&group->node, &container->groups);
	goto unlock;

detach:
	while (num--)
		if (container->windows[num])
			tce_window_detach(container->windows[num], table_group);
unlock:
	tce_container_unlock(container, true);
	if (ret)
		kfree(group);

	return ret;
}

static void tce_iommu_detach_group(void *iommu_data,
				   struct iommu_group *iommu_group)
{
	struct tce_container *container = tce_container_lock(iommu_data, true);
	struct tce_group *group;
	unsigned int num;

	list_for_each_entry(group, &container->groups, node) {
		if (group->iommu_group != iommu_group)
			continue;

		for (num = 0; num < ARRAY_SIZE(container->windows); num++)
			if (container->windows[num])
				tce_window_detach(container->windows[num],
						  tce_table_group(group));
		list_del(&group->node);
		kfree(group);
		break;
	}
	tce_container_unlock(container, true);
}

static const struct vfio_iommu_driver_ops tce_iommu_driver_ops = {
	.name = "iommu-vfio-powerpc",
	.owner = THIS_MODULE,
	.open = tce_iommu_open,
	.release = tce_iommu_release,
	.ioctl = tce_iommu_ioctl,
	.attach_group = tce_iommu_attach_group,
	.detach_group = tce_iommu_detach_group,
};

static int __init tce_iommu_init(void)
{
	int ret;

	ret = tce_window_init();
	if (ret)
		return ret;

	tce_debugfs_init();
	ret = vfio_register_iommu_driver(&tce_iommu_driver_ops);
	if (ret) {
		tce_debugfs_exit();
		tce_window_exit();
	}

	return ret;
}

static void __exit tce_iommu_exit(void)
{
	vfio_unregister_iommu_driver(&tce_iommu_driver_ops);
	tce_window_exit();
	tce_debugfs_exit();
}

module_init(tce_iommu_init);
module_exit(tce_iommu_exit);

MODULE_DESCRIPTION("VFIO backend for the sPAPR TCE IOMMU, tables allocated on demand");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1");
