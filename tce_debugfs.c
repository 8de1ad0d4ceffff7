// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/vfio_iommu_spapr_tce: one directory per window, with two
 * files:
 *
 * - figures: lines of a name and its value, mostly a decimal number; the first
 *   line is the version of the format.
 * - mappings: a line for each physically contiguous range that is mapped: bus
 *   address, bytes, permissions of the device, physical address.
 *
 * Both are described in docs/OBSERVE.md. Raise TCE_DEBUGFS_FORMAT if a line is
 * removed or its meaning changes, but not if a line is added.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/iommu.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include <asm/eeh.h>
#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_debugfs.h"
#include "tce_observe.h"
#include "tce_table.h"
#include "tce_window_private.h"
#include "tce_work.h"

#define TCE_DEBUGFS_FORMAT	1

static struct dentry *tce_debugfs_root;

/**
 * struct tce_debugfs_group - a group that has a window
 * @node: in &tce_debugfs.groups
 * @id: the IOMMU group's number
 * @domain: PCI domain of its first device, or -1
 * @pe: number of that device's partitionable endpoint, or -1
 */
struct tce_debugfs_group {
	struct list_head node;
	int id;
	int domain;
	int pe;
};

/**
 * struct tce_debugfs - the directory of a window
 * @ref: one for the window, and one for each open file
 * @dir: the directory
 * @created: when the window was created, in ns
 * @pid: process that created it
 * @comm: name of that process at that time
 * @interface: version of the interface, 1 or 2
 * @lock: protects @window and @groups; held while the window is read, but not
 *        while data is copied to user space
 * @window: the window; NULL after tce_debugfs_remove()
 * @groups: groups that have the window
 * @work: work item that creates or removes the directory
 */
struct tce_debugfs {
	struct kref ref;
	struct dentry *dir;
	u64 created;
	int pid;
	char comm[TASK_COMM_LEN];
	unsigned int interface;
	struct mutex lock; /* @window, @groups */
	struct tce_window *window;
	struct list_head groups;
	struct work_struct work;
};

static void tce_debugfs_free(struct kref *ref)
{
	kfree(container_of(ref, struct tce_debugfs, ref));
}

/* Add up the counters of all CPUs, which may change meanwhile. */
static struct tce_counts figures_counts(const struct tce_window *window)
{
	struct tce_counts sum = {};
	int cpu, event;

	for_each_possible_cpu(cpu) {
		const struct tce_counts *counts = per_cpu_ptr(window->counts,
							      cpu);

		for (event = 0; event < TCE_EVENTS; event++) {
			sum.count[event].calls +=
				READ_ONCE(counts->count[event].calls);
			sum.count[event].pages +=
				READ_ONCE(counts->count[event].pages);
		}
	}

	return sum;
}

static void figures_show_user(struct seq_file *seq,
			      const struct tce_debugfs *debugfs)
{
	const struct tce_window *window = debugfs->window;
	const struct tce_debugfs_group *group;

	seq_printf(seq, "window %u\n", tce_table_id(window->table));
	seq_printf(seq, "age_ms %llu\n",
		   div_u64(ktime_get_ns() - debugfs->created, NSEC_PER_MSEC));
	seq_printf(seq, "pid %d\n", debugfs->pid);
	seq_printf(seq, "comm %*pE\n", (int)strlen(debugfs->comm),
		   debugfs->comm);
	seq_printf(seq, "interface %u\n", debugfs->interface);
	seq_printf(seq, "number %d\n", window->platform.num);
	list_for_each_entry(group, &debugfs->groups, node)
		seq_printf(seq, "group %d %d %d\n", group->id, group->domain,
			   group->pe);
	seq_printf(seq, "lost %d\n", READ_ONCE(window->lost));
}

static void figures_show_memory(struct seq_file *seq,
				const struct tce_window *window)
{
	const struct tce_geometry *geo = tce_table_geometry(window->table);
	struct tce_table_stats stats;
	unsigned int i;

	tce_table_stats(window->table, &stats);
	seq_printf(seq, "page_shift %u\n", geo->page_shift);
	seq_printf(seq, "levels %u\n", geo->levels);
	seq_printf(seq, "level_shift %u\n", geo->level_shift);
	seq_printf(seq, "start %llu\n", window->start);
	seq_printf(seq, "window_bytes %llu\n",
		   (u64)geo->entries << geo->page_shift);
	seq_printf(seq, "mapped_pages %lu\n", stats.set);
	seq_printf(seq, "hw_bytes %lu\n", stats.hw_bytes);
	seq_printf(seq, "user_bytes %lu\n", stats.user_bytes);
	seq_printf(seq, "page_bytes %lu\n", stats.page_bytes);
	seq_printf(seq, "meta_bytes %lu\n", stats.meta_bytes);
	seq_printf(seq, "whole_table_bytes %llu\n", stats.whole_bytes);
	for (i = 0; i < geo->levels; i++) {
		seq_printf(seq, "level%u_levels %lu\n", i,
			   stats.depth[i].levels);
		seq_printf(seq, "level%u_bytes %lu\n", i, stats.depth[i].bytes);
	}
	seq_printf(seq, "user_levels %lu\n", stats.user_levels);
	seq_printf(seq, "levels_allocated %lu\n", stats.levels_added);
	seq_printf(seq, "levels_freed %lu\n", stats.levels_removed);
}

static void figures_show_counts(struct seq_file *seq,
				const struct tce_window *window)
{
	static const struct {
		enum tce_event event;
		const char *calls;
		const char *pages;
	} lines[] = {
		{ TCE_EVENT_MAP, "map_calls", "map_pages" },
		{ TCE_EVENT_UNMAP, "unmap_calls", "unmap_pages" },
		{ TCE_EVENT_KILL, "kills", "kill_pages" },
		{ TCE_EVENT_KVM, "kvm_answered", NULL },
		{ TCE_EVENT_KVM_UP, "kvm_passed_up", NULL },
	};
	struct tce_counts counts = figures_counts(window);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		const struct tce_count *count = &counts.count[lines[i].event];

		seq_printf(seq, "%s %llu\n", lines[i].calls, count->calls);
		if (lines[i].pages)
			seq_printf(seq, "%s %llu\n", lines[i].pages,
				   count->pages);
	}
}

static int figures_show(struct seq_file *seq, void *unused)
{
	struct tce_debugfs *debugfs = seq->private;

	mutex_lock(&debugfs->lock);
	if (debugfs->window) {
		seq_printf(seq, "format %u\n", TCE_DEBUGFS_FORMAT);
		figures_show_user(seq, debugfs);
		figures_show_memory(seq, debugfs->window);
		figures_show_counts(seq, debugfs->window);
	}
	mutex_unlock(&debugfs->lock);

	return 0;
}

static int figures_open(struct inode *inode, struct file *file)
{
	struct tce_debugfs *debugfs = inode->i_private;
	int ret;

	/*
	 * The window's reference still exists: debugfs_remove() waits for
	 * open().
	 */
	ret = single_open(file, figures_show, debugfs);
	if (!ret)
		kref_get(&debugfs->ref);

	return ret;
}

static int figures_release(struct inode *inode, struct file *file)
{
	struct seq_file *seq = file->private_data;
	struct tce_debugfs *debugfs = seq->private;

	kref_put(&debugfs->ref, tce_debugfs_free);

	return single_release(inode, file);
}

static const struct file_operations figures_fops = {
	.owner = THIS_MODULE,
	.open = figures_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = figures_release,
};

/**
 * struct tce_mappings - state of an open mappings file
 * @debugfs: the window's directory
 * @extent: the next line
 */
struct tce_mappings {
	struct tce_debugfs *debugfs;
	struct tce_extent extent;
};

/*
 * Find the next line, from the entry at @pos on. The caller holds
 * &tce_debugfs.lock.
 */
static void *mappings_find(struct seq_file *seq, loff_t *pos)
{
	struct tce_mappings *mappings = seq->private;
	struct tce_window *window = mappings->debugfs->window;
	struct tce_cursor cursor = { .index = *pos };

	if (!window)
		return NULL;

	cursor.table = window->table;
	cursor.end = tce_table_geometry(window->table)->entries;
	if (!tce_observe_extent(&cursor, &mappings->extent))
		return NULL;

	*pos = mappings->extent.index;

	return &mappings->extent;
}

/*
 * The position is the index of an entry, so it stays valid if entries are
 * cleared between two reads.
 */
static void *mappings_start(struct seq_file *seq, loff_t *pos)
{
	struct tce_mappings *mappings = seq->private;

	mutex_lock(&mappings->debugfs->lock);

	return mappings_find(seq, pos);
}

static void *mappings_next(struct seq_file *seq, void *v, loff_t *pos)
{
	struct tce_extent *extent = v;

	*pos = extent->index + extent->count;

	return mappings_find(seq, pos);
}

static void mappings_stop(struct seq_file *seq, void *v)
{
	struct tce_mappings *mappings = seq->private;

	mutex_unlock(&mappings->debugfs->lock);
}

static int mappings_show(struct seq_file *seq, void *v)
{
	struct tce_mappings *mappings = seq->private;
	const struct tce_window *window = mappings->debugfs->window;
	unsigned int page_shift = tce_window_page_shift(window);
	struct tce_extent *extent = v;

	seq_printf(seq, "%llu %llu %c%c %llu\n",
		   window->start + ((u64)extent->index << page_shift),
		   (u64)extent->count << page_shift,
		   extent->tce & TCE_PCI_READ ? 'r' : '-',
		   extent->tce & TCE_PCI_WRITE ? 'w' : '-',
		   extent->tce & ~TCE_PERM);

	return 0;
}

static const struct seq_operations mappings_sops = {
	.start = mappings_start,
	.next = mappings_next,
	.stop = mappings_stop,
	.show = mappings_show,
};

static int mappings_open(struct inode *inode, struct file *file)
{
	struct tce_mappings *mappings;

	mappings = __seq_open_private(file, &mappings_sops, sizeof(*mappings));
	if (!mappings)
		return -ENOMEM;

	/* See figures_open(). */
	mappings->debugfs = inode->i_private;
	kref_get(&mappings->debugfs->ref);

	/*
	 * To read at an offset, seq_file would walk all entries before it with
	 * the mutex held.
	 */
	return nonseekable_open(inode, file);
}

static int mappings_release(struct inode *inode, struct file *file)
{
	struct seq_file *seq = file->private_data;
	struct tce_mappings *mappings = seq->private;

	kref_put(&mappings->debugfs->ref, tce_debugfs_free);

	return seq_release_private(inode, file);
}

static const struct file_operations mappings_fops = {
	.owner = THIS_MODULE,
	.open = mappings_open,
	.read = seq_read,
	.release = mappings_release,
};

void tce_debugfs_init(void)
{
	tce_debugfs_root = debugfs_create_dir(KBUILD_MODNAME, NULL);
}

void tce_debugfs_exit(void)
{
	debugfs_remove(tce_debugfs_root);
}

static void tce_debugfs_name(struct tce_debugfs *debugfs, char *name,
			     size_t size)
{
	const struct tce_window *window = debugfs->window;

	snprintf(name, size, "%u-pid%d-group%d-window%d",
		 tce_table_id(window->table), debugfs->pid,
		 iommu_group_id(window->platform.table_group->group),
		 window->platform.num);
}

/*
 * Directories are created and removed by workers, as the lock of the directory
 * above is held meanwhile, which all containers need. The kernel accounts
 * dentries and inodes to the memory cgroup of the process that creates them,
 * and may wait for memory of the cgroup; and a process may get no CPU time for
 * as long as its owner likes. A worker is in no such cgroup. (A process that
 * lists the directory, or looks up a name that is not there, also takes the
 * lock, but usually only root can do that.)
 */
static void tce_debugfs_run(struct tce_debugfs *debugfs, work_func_t fn)
{
	INIT_WORK(&debugfs->work, fn);
	queue_work(tce_short_wq, &debugfs->work);
	flush_work(&debugfs->work);
}

static void tce_debugfs_create(struct work_struct *work)
{
	struct tce_debugfs *debugfs = container_of(work, struct tce_debugfs,
						   work);
	char name[64];

	tce_debugfs_name(debugfs, name, sizeof(name));
	debugfs->dir = debugfs_create_dir(name, tce_debugfs_root);
	/*
	 * The _unsafe() variant lets debugfs_remove() wait for open() only and
	 * not for readers, which user space can block.
	 */
	debugfs_create_file_unsafe("figures", 0444, debugfs->dir, debugfs,
				   &figures_fops);
	debugfs_create_file_unsafe("mappings", 0400, debugfs->dir, debugfs,
				   &mappings_fops);
}

struct tce_debugfs *tce_debugfs_add(struct tce_window *window,
				    unsigned int interface)
{
	struct tce_debugfs *debugfs;

	debugfs = kzalloc(sizeof(*debugfs), TCE_GFP_FIXED);
	if (!debugfs)
		return NULL;

	kref_init(&debugfs->ref);
	mutex_init(&debugfs->lock);
	INIT_LIST_HEAD(&debugfs->groups);
	debugfs->window = window;
	debugfs->created = ktime_get_ns();
	debugfs->pid = task_tgid_nr(current);
	debugfs->interface = interface;
	/*
	 * The name of a process is that of its thread group leader. A thread
	 * that calls execve() may replace the leader meanwhile, so RCU is
	 * needed.
	 */
	rcu_read_lock();
	get_task_comm(debugfs->comm, current->group_leader);
	rcu_read_unlock();
	tce_debugfs_run(debugfs, tce_debugfs_create);

	return debugfs;
}

/*
 * Return NULL if the group is not listed. The caller holds &tce_debugfs.lock.
 */
static struct tce_debugfs_group *tce_debugfs_find(struct tce_debugfs *debugfs,
						  int id)
{
	struct tce_debugfs_group *group;

	list_for_each_entry(group, &debugfs->groups, node)
		if (group->id == id)
			return group;

	return NULL;
}

static void tce_debugfs_forget(struct tce_debugfs_group *group)
{
	list_del(&group->node);
	kfree(group);
}

/*
 * Callback for the group's first device; the non-zero return value ends the
 * walk.
 */
static int tce_debugfs_device(struct device *dev, void *data)
{
	struct tce_debugfs_group *group = data;
	struct eeh_dev *edev;

	if (!dev_is_pci(dev))
		return 1;

	group->domain = pci_domain_nr(to_pci_dev(dev)->bus);
	edev = pci_dev_to_eeh_dev(to_pci_dev(dev));
	/* Nothing keeps the PE itself. */
	if (edev && READ_ONCE(edev->pe))
		group->pe = edev->pe_config_addr;

	return 1;
}

void tce_debugfs_add_group(struct tce_debugfs *debugfs,
			   struct iommu_table_group *table_group)
{
	struct tce_debugfs_group *group;

	if (!debugfs)
		return;

	group = kmalloc(sizeof(*group), TCE_GFP_FIXED);
	if (!group)
		return;

	group->id = iommu_group_id(table_group->group);
	group->domain = -1;
	group->pe = -1;
	iommu_group_for_each_dev(table_group->group, group, tce_debugfs_device);
	mutex_lock(&debugfs->lock);
	list_add_tail(&group->node, &debugfs->groups);
	mutex_unlock(&debugfs->lock);
}

void tce_debugfs_remove_group(struct tce_debugfs *debugfs,
			      struct iommu_table_group *table_group)
{
	struct tce_debugfs_group *group;

	if (!debugfs)
		return;

	mutex_lock(&debugfs->lock);
	group = tce_debugfs_find(debugfs, iommu_group_id(table_group->group));
	if (group)
		tce_debugfs_forget(group);
	mutex_unlock(&debugfs->lock);
}

static void tce_debugfs_remove_dir(struct work_struct *work)
{
	struct tce_debugfs *debugfs = container_of(work, struct tce_debugfs,
						   work);

	debugfs_remove(debugfs->dir);
}

void tce_debugfs_remove(struct tce_debugfs *debugfs)
{
	struct tce_debugfs_group *group, *next;

	if (!debugfs)
		return;

	mutex_lock(&debugfs->lock);
	debugfs->window = NULL;
	list_for_each_entry_safe(group, next, &debugfs->groups, node)
		tce_debugfs_forget(group);
	mutex_unlock(&debugfs->lock);
	tce_debugfs_run(debugfs, tce_debugfs_remove_dir);
	kref_put(&debugfs->ref, tce_debugfs_free);
}
