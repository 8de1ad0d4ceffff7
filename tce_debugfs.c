// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables' figures, readable: /sys/kernel/debug/vfio_iommu_spapr_tce/N/figures,
 * one directory a window, lines of a name and a decimal number.
 */

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

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
}

void tce_debugfs_remove(struct tce_debugfs *debugfs)
{
	debugfs_remove(debugfs->dir);
}
