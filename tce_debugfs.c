// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables, readable: /sys/kernel/debug/vfio_iommu_spapr_tce/N, one directory a
 * window, with
 *
 * figures: lines of a name and a decimal number;
 * mappings: what is mapped now, a line for memory in a row: bus address, bytes,
 * what the device may do, physical address.
 */

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include <asm/tce.h>

#include "tce_debugfs.h"
#include "tce_table.h"

static struct dentry *tce_debugfs_root;

static int figures_show(struct seq_file *seq, void *unused)
{
	struct tce_debugfs *debugfs = seq->private;
	struct tce_table *table = debugfs->table;
	const struct tce_geometry *geo = tce_table_geometry(table);
	struct tce_table_stats stats;
	unsigned int i;

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

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(figures);

/**
 * struct tce_mappings - somebody reads the mappings
 * @debugfs: of which table
 * @extent: the line that comes next
 */
struct tce_mappings {
	struct tce_debugfs *debugfs;
	struct tce_extent extent;
};

/* The position is the index of an entry: what is gone by then is not missed. */
static void *mappings_start(struct seq_file *seq, loff_t *pos)
{
	struct tce_mappings *mappings = seq->private;
	struct tce_table *table = mappings->debugfs->table;
	struct tce_cursor cursor = {
		.table = table,
		.index = *pos,
		.end = tce_table_geometry(table)->entries,
	};

	if (!tce_table_extent(&cursor, &mappings->extent))
		return NULL;

	*pos = mappings->extent.index;

	return &mappings->extent;
}

static void *mappings_next(struct seq_file *seq, void *v, loff_t *pos)
{
	struct tce_extent *extent = v;

	*pos = extent->index + extent->count;

	return mappings_start(seq, pos);
}

static void mappings_stop(struct seq_file *seq, void *v)
{
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

	mappings->debugfs = inode->i_private;

	return 0;
}

static const struct file_operations mappings_fops = {
	.owner = THIS_MODULE,
	.open = mappings_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = seq_release_private,
};

void tce_debugfs_init(void)
{
	tce_debugfs_root = debugfs_create_dir(KBUILD_MODNAME, NULL);
}

void tce_debugfs_exit(void)
{
	debugfs_remove(tce_debugfs_root);
}

void tce_debugfs_add(struct tce_debugfs *debugfs)
{
	static atomic_t next = ATOMIC_INIT(0);
	char name[16];

	snprintf(name, sizeof(name), "%u", (u32)atomic_fetch_inc(&next));
	debugfs->dir = debugfs_create_dir(name, tce_debugfs_root);
	debugfs_create_file("figures", 0444, debugfs->dir, debugfs,
			    &figures_fops);
	debugfs_create_file("mappings", 0400, debugfs->dir, debugfs,
			    &mappings_fops);
}

void tce_debugfs_remove(struct tce_debugfs *debugfs)
{
	debugfs_remove(debugfs->dir);
}
