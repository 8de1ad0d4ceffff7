// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables, readable: /sys/kernel/debug/vfio_iommu_spapr_tce/N, one directory a
 * window, with
 *
 * figures: lines of a name and a decimal number;
 * mappings: what is mapped now, a line for memory in a row: bus address, bytes,
 * what the device may do, physical address.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include <asm/tce.h>

#include "tce_debugfs.h"
#include "tce_table.h"
#include "tce_work.h"

static struct dentry *tce_debugfs_root;

/**
 * struct tce_debugfs - a table that is shown
 * @ref: the table's, and that of each file that is open
 * @dir: its directory
 * @lock: held while @table is read, but not while anything is copied to user space
 * @table: the table; NULL once it is shown no longer
 * @start: bus address where it begins, bytes
 */
struct tce_debugfs {
	struct kref ref;
	struct dentry *dir;
	struct mutex lock; /* @table */
	struct tce_table *table;
	u64 start;
};

static void tce_debugfs_free(struct kref *ref)
{
	kfree(container_of(ref, struct tce_debugfs, ref));
}

static int figures_show(struct seq_file *seq, void *unused)
{
	struct tce_debugfs *debugfs = seq->private;
	struct tce_table *table;
	const struct tce_geometry *geo;
	struct tce_table_stats stats;
	unsigned int i;

	mutex_lock(&debugfs->lock);
	table = debugfs->table;
	if (!table)
		goto unlock;

	geo = tce_table_geometry(table);
	tce_table_stats(table, &stats);
	seq_printf(seq, "page_shift %u\n", geo->page_shift);
	seq_printf(seq, "levels %u\n", geo->levels);
	seq_printf(seq, "level_shift %u\n", geo->level_shift);
	seq_printf(seq, "start %llu\n", debugfs->start);
	seq_printf(seq, "window_bytes %llu\n",
		   (u64)geo->entries << geo->page_shift);
	seq_printf(seq, "mapped_pages %lu\n", stats.used);
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
unlock:
	mutex_unlock(&debugfs->lock);

	return 0;
}

static int figures_open(struct inode *inode, struct file *file)
{
	struct tce_debugfs *debugfs = inode->i_private;
	int ret;

	/* debugfs keeps it for as long as this runs. */
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
 * struct tce_mappings - somebody reads the mappings
 * @debugfs: of which table
 * @extent: the line that comes next
 */
struct tce_mappings {
	struct tce_debugfs *debugfs;
	struct tce_extent extent;
};

/* The next line, from an entry on. The table's lock is held. */
static void *mappings_find(struct seq_file *seq, loff_t *pos)
{
	struct tce_mappings *mappings = seq->private;
	struct tce_table *table = mappings->debugfs->table;
	struct tce_cursor cursor = {
		.table = table,
		.index = *pos,
	};

	if (!table)
		return NULL;

	cursor.end = tce_table_geometry(table)->entries;
	if (!tce_table_extent(&cursor, &mappings->extent))
		return NULL;

	*pos = mappings->extent.index;

	return &mappings->extent;
}

/* The position is the index of an entry: what is gone by then is not missed. */
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
	struct tce_debugfs *debugfs = mappings->debugfs;
	unsigned int page_shift = tce_table_geometry(debugfs->table)->page_shift;
	struct tce_extent *extent = v;

	seq_printf(seq, "%#llx %#llx %c%c %#llx\n",
		   debugfs->start + ((u64)extent->index << page_shift),
		   (u64)extent->count << page_shift,
		   extent->tce & TCE_PCI_READ ? 'r' : '-',
		   extent->tce & TCE_PCI_WRITE ? 'w' : '-',
		   extent->tce & ~(u64)(TCE_PCI_READ | TCE_PCI_WRITE));

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

	/* debugfs keeps it for as long as this runs. */
	mappings->debugfs = inode->i_private;
	kref_get(&mappings->debugfs->ref);

	return 0;
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
	.llseek = seq_lseek,
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

struct tce_debugfs *tce_debugfs_add(struct tce_table *table, u64 start)
{
	static atomic_t next = ATOMIC_INIT(0);
	struct tce_debugfs *debugfs;
	char name[16];

	debugfs = kzalloc(sizeof(*debugfs), TCE_GFP);
	if (!debugfs)
		return NULL;

	kref_init(&debugfs->ref);
	mutex_init(&debugfs->lock);
	debugfs->table = table;
	debugfs->start = start;
	snprintf(name, sizeof(name), "%u", (u32)atomic_fetch_inc(&next));
	debugfs->dir = debugfs_create_dir(name, tce_debugfs_root);
	/* Unsafe: removing them waits for files that are being opened, not for readers. */
	debugfs_create_file_unsafe("figures", 0444, debugfs->dir, debugfs,
				   &figures_fops);
	debugfs_create_file_unsafe("mappings", 0400, debugfs->dir, debugfs,
				   &mappings_fops);

	return debugfs;
}

void tce_debugfs_remove(struct tce_debugfs *debugfs)
{
	if (!debugfs)
		return;

	mutex_lock(&debugfs->lock);
	debugfs->table = NULL;
	mutex_unlock(&debugfs->lock);
	debugfs_remove(debugfs->dir);
	kref_put(&debugfs->ref, tce_debugfs_free);
}
