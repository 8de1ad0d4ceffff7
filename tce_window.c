// SPDX-License-Identifier: GPL-2.0-only
/*
 * A DMA window on a host that owns its tables (PowerNV). Contract: tce_window.h.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include <asm/iommu.h>
#include <asm/tce.h>

#include "tce_debugfs.h"
#include "tce_memory.h"
#include "tce_table.h"
#include "tce_window.h"

/* Entries that are exchanged between two looks at the scheduler. */
#define TCE_WINDOW_BATCH	32

/* A hole this large, in entries, is not worth killing TCEs across. */
#define TCE_KILL_GAP		512

/* The hardware's smallest level is full, so a window is no smaller. */
#define TCE_WINDOW_MIN_ENTRIES	512

/* Freeing may begin in atomic context (KVM drops references in RCU callbacks). */
static struct workqueue_struct *tce_window_wq;

/**
 * struct tce_window - a window
 * @tbl: what the platform and KVM know; it has a life of its own, because the
 *       platform frees it
 * @ops: @tbl's operations; leads from @tbl back to here
 * @table: the levels
 * @memory: registered memory that is mapped
 * @debugfs: the figures
 * @num: number of the window in its groups
 * @free_work: frees the rest once @tbl has gone
 */
struct tce_window {
	struct iommu_table *tbl;
	struct iommu_table_ops ops;
	struct tce_table *table;
	struct tce_memory *memory;
	struct tce_debugfs debugfs;
	int num;
	struct work_struct free_work;
};

/**
 * struct tce_gather - entries that were taken out and wait for the kill
 * @window: where
 * @first: first index to kill
 * @end: one past the last index to kill; 0 for none
 * @unuse: their pages
 */
struct tce_gather {
	struct tce_window *window;
	unsigned long first;
	unsigned long end;
	struct tce_unuse unuse;
};

static struct tce_window *tce_window_of(struct iommu_table *tbl)
{
	return container_of(tbl->it_ops, struct tce_window, ops);
}

/* Taking entries out */

static void tce_gather_init(struct tce_gather *gather, struct tce_window *window)
{
	memset(gather, 0, sizeof(*gather));
	gather->window = window;
	gather->unuse.memory = window->memory;
}

static void tce_gather_flush(struct tce_gather *gather)
{
	struct iommu_table *tbl = gather->window->tbl;

	/* No iommu_table any more: nobody translates through it. */
	if (gather->end && tbl)
		iommu_tce_kill(tbl, tbl->it_offset + gather->first,
			       gather->end - gather->first);
	gather->end = 0;
	tce_unuse_flush(&gather->unuse);
}

static void tce_gather_range(struct tce_gather *gather, unsigned long first,
			     unsigned long end)
{
	if (gather->end && (first > gather->end + TCE_KILL_GAP ||
			    first < gather->first))
		tce_gather_flush(gather);

	if (!gather->end)
		gather->first = first;
	gather->end = end;
}

/*
 * The device could write to the page until the kill, so this is early; the page
 * stays pinned, thus dirty, until it is un-counted after the kill.
 */
static void tce_set_dirty(u64 tce)
{
	unsigned long pfn = tce >> PAGE_SHIFT;

	if ((tce & TCE_PCI_WRITE) && pfn_valid(pfn))
		SetPageDirty(pfn_to_page(pfn));
}

static void tce_gather_old(struct tce_gather *gather,
			   const struct tce_entry *old, unsigned int count)
{
	unsigned int page_shift =
		tce_table_geometry(gather->window->table)->page_shift;
	unsigned long first = gather->first, end = gather->end;
	unsigned int i;

	for (i = 0; i < count; i++) {
		tce_set_dirty(old[i].tce);
		if (tce_unuse_add(&gather->unuse, old[i].ua, page_shift))
			continue;
		tce_gather_flush(gather);
		gather->first = first;
		gather->end = end;
		tce_unuse_add(&gather->unuse, old[i].ua, page_shift);
	}
}

static void tce_window_clear(struct tce_window *window, unsigned long index,
			     unsigned long count)
{
	struct tce_entry old[TCE_WINDOW_BATCH];
	struct tce_cursor cursor = {
		.table = window->table,
		.index = index,
		.end = index + count,
	};
	unsigned long first, last;
	struct tce_gather gather;
	unsigned int n;

	tce_gather_init(&gather, window);
	while ((n = tce_table_clear(&cursor, old, &first, &last,
				    ARRAY_SIZE(old)))) {
		tce_gather_range(&gather, first, last + 1);
		tce_gather_old(&gather, old, n);
		cond_resched();
	}
	tce_gather_flush(&gather);
}

static void tce_window_clear_all(struct tce_window *window)
{
	tce_window_clear(window, 0, tce_table_geometry(window->table)->entries);
}

/* it_ops */

static int tce_window_xchg_no_kill(struct iommu_table *tbl, long index,
				   unsigned long *hpa,
				   enum dma_data_direction *direction)
{
	return tce_table_exchange(tce_window_of(tbl)->table,
				  index - tbl->it_offset, hpa, direction, true);
}

static __be64 *tce_window_useraddrptr(struct iommu_table *tbl, long index,
				      bool alloc)
{
	return tce_table_view(tce_window_of(tbl)->table,
			      index - tbl->it_offset, alloc);
}

static void tce_window_free_work(struct work_struct *work)
{
	struct tce_window *window = container_of(work, struct tce_window,
						 free_work);

	tce_debugfs_remove(&window->debugfs);
	/* KVM may have mapped after the container let go. */
	tce_window_clear_all(window);
	tce_table_destroy(window->table);
	tce_memory_put(window->memory);
	kfree(window);
	module_put(THIS_MODULE);
}

static void tce_window_free(struct iommu_table *tbl)
{
	struct tce_window *window = tce_window_of(tbl);

	/* The platform frees it when this returns. */
	window->tbl = NULL;
	queue_work(tce_window_wq, &window->free_work);
}

/* Windows */

int tce_window_init(void)
{
	tce_window_wq = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND, 0);

	return tce_window_wq ? 0 : -ENOMEM;
}

void tce_window_exit(void)
{
	destroy_workqueue(tce_window_wq);
}

void tce_window_flush(void)
{
	flush_workqueue(tce_window_wq);
}

static int tce_window_geometry(struct tce_geometry *geo,
			       unsigned int page_shift, u64 size,
			       unsigned int levels)
{
	if (!is_power_of_2(size) || page_shift >= 64 || !(size >> page_shift))
		return -EINVAL;

	return tce_geometry_init(geo, page_shift,
				 max(size >> page_shift,
				     (u64)TCE_WINDOW_MIN_ENTRIES),
				 levels);
}

unsigned long tce_window_locked_pages(unsigned int page_shift, u64 size,
				      unsigned int levels)
{
	struct tce_geometry geo;

	if (tce_window_geometry(&geo, page_shift, size, levels))
		return 0;

	return PAGE_ALIGN(2 * tce_geometry_whole_bytes(&geo)) >> PAGE_SHIFT;
}

/*
 * The platform decides where window @num begins, and knows how to kill its
 * TCEs. Neither is exported; a table of one entry made by the platform tells.
 */
static int tce_window_probe(struct tce_window *window,
			    struct iommu_table_group *table_group,
			    unsigned int page_shift)
{
	struct iommu_table *tbl = window->tbl;
	struct iommu_table *probe;
	long ret;

	ret = table_group->ops->create_table(table_group, window->num,
					     page_shift, 1ULL << page_shift, 1,
					     &probe);
	if (ret)
		return ret;

	tbl->it_busno = probe->it_busno;
	tbl->it_offset = probe->it_offset;
	tbl->it_index = probe->it_index;
	tbl->it_type = probe->it_type;
	tbl->it_blocksize = probe->it_blocksize;
	tbl->it_nid = probe->it_nid;
	window->ops.tce_kill = probe->it_ops->tce_kill;
	iommu_tce_table_put(probe);

	return 0;
}

struct tce_window *tce_window_create(struct iommu_table_group *table_group,
				     int num, unsigned int page_shift, u64 size,
				     unsigned int levels,
				     struct tce_memory *memory)
{
	struct iommu_table_group_ops *group_ops = table_group->ops;
	struct tce_window *window;
	struct tce_geometry geo;
	struct iommu_table *tbl;
	int ret;

	if (!group_ops->create_table || !group_ops->set_window ||
	    !group_ops->unset_window)
		return ERR_PTR(-EPERM);

	ret = tce_window_geometry(&geo, page_shift, size, levels);
	if (ret)
		return ERR_PTR(ret);

	if (!(table_group->pgsizes & BIT_ULL(page_shift)))
		return ERR_PTR(-EINVAL);

	window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);
	if (!window)
		return ERR_PTR(-ENOMEM);

	ret = -ENOMEM;
	tbl = kzalloc(sizeof(*tbl), GFP_KERNEL_ACCOUNT);
	if (!tbl)
		goto free_window;

	window->tbl = tbl;
	window->num = num;
	ret = tce_window_probe(window, table_group, page_shift);
	if (ret)
		goto free_tbl;

	window->table = tce_table_create(&geo, tbl->it_nid);
	if (IS_ERR(window->table)) {
		ret = PTR_ERR(window->table);
		goto free_tbl;
	}

	window->memory = tce_memory_get(memory);
	window->ops.xchg_no_kill = tce_window_xchg_no_kill;
	window->ops.useraddrptr = tce_window_useraddrptr;
	window->ops.free = tce_window_free;
	INIT_WORK(&window->free_work, tce_window_free_work);

	kref_init(&tbl->it_kref);
	INIT_LIST_HEAD_RCU(&tbl->it_group_list);
	tbl->it_ops = &window->ops;
	tbl->it_base = (unsigned long)tce_table_root(window->table);
	tbl->it_page_shift = geo.page_shift;
	tbl->it_size = geo.entries;
	tbl->it_indirect_levels = geo.levels - 1;
	tbl->it_level_size = 1UL << geo.level_shift;
	tbl->it_allocated_size = 2 * tce_geometry_whole_bytes(&geo);

	/* KVM may hold the table longer than the VFIO core holds the module. */
	__module_get(THIS_MODULE);
	window->debugfs.table = window->table;
	window->debugfs.start = tce_window_start(window);
	tce_debugfs_add(&window->debugfs);

	return window;

free_tbl:
	kfree(tbl);
free_window:
	kfree(window);

	return ERR_PTR(ret);
}

void tce_window_put(struct tce_window *window)
{
	tce_window_clear_all(window);
	iommu_tce_table_put(window->tbl);
}

int tce_window_attach(struct tce_window *window,
		      struct iommu_table_group *table_group)
{
	struct iommu_table *tbl = window->tbl;
	long ret;

	if (!(table_group->pgsizes & BIT_ULL(tbl->it_page_shift)))
		return -EPERM;

	ret = table_group->ops->set_window(table_group, window->num, tbl);
	if (ret)
		return ret < 0 && ret >= -MAX_ERRNO ? ret : -EIO;

	/* The platform does not say when it had no memory to link the two. */
	if (table_group->tables[window->num] != tbl) {
		table_group->ops->unset_window(table_group, window->num);
		return -ENOMEM;
	}

	return 0;
}

void tce_window_detach(struct tce_window *window,
		       struct iommu_table_group *table_group)
{
	table_group->ops->unset_window(table_group, window->num);
}

u64 tce_window_start(const struct tce_window *window)
{
	return (u64)window->tbl->it_offset << window->tbl->it_page_shift;
}

bool tce_window_contains(const struct tce_window *window, u64 iova)
{
	const struct iommu_table *tbl = window->tbl;
	u64 start = tce_window_start(window);

	return iova >= start &&
	       (iova - start) >> tbl->it_page_shift < tbl->it_size;
}

/* Where a range of bus addresses lies in the table, if it does. */
static int tce_window_range(const struct tce_window *window, u64 iova, u64 size,
			    unsigned long *index, unsigned long *count)
{
	unsigned int page_shift = window->tbl->it_page_shift;
	u64 mask = BIT_ULL(page_shift) - 1;

	if (!size || (iova & mask) || (size & mask) ||
	    !tce_window_contains(window, iova))
		return -EINVAL;

	*index = (iova - tce_window_start(window)) >> page_shift;
	*count = size >> page_shift;

	return *count <= window->tbl->it_size - *index ? 0 : -EINVAL;
}

int tce_window_map(struct tce_window *window, u64 iova, u64 ua, u64 size,
		   enum dma_data_direction direction)
{
	unsigned int page_shift = window->tbl->it_page_shift;
	u64 perm = iommu_direction_to_tce_perm(direction);
	struct tce_entry new[TCE_WINDOW_BATCH];
	struct tce_entry old[TCE_WINDOW_BATCH];
	unsigned long hpa[TCE_WINDOW_BATCH];
	unsigned long index, count;
	struct tce_cursor cursor;
	struct tce_gather gather;
	unsigned int i, n;
	u64 last;
	int ret;

	ret = tce_window_range(window, iova, size, &index, &count);
	if (ret)
		return ret;

	if ((ua & (BIT_ULL(page_shift) - 1)) ||
	    check_add_overflow(ua, size - 1, &last))
		return -EINVAL;

	ret = tce_memory_use(window->memory, ua, count, page_shift);
	if (ret)
		return ret;

	ret = tce_table_prepare(window->table, index, count);
	if (ret) {
		tce_memory_unuse(window->memory, ua, count, page_shift);
		return ret;
	}

	tce_gather_init(&gather, window);
	cursor.table = window->table;
	cursor.index = index;
	cursor.end = index + count;
	while (cursor.index < cursor.end) {
		n = min_t(unsigned long, ARRAY_SIZE(new),
			  cursor.end - cursor.index);
		tce_memory_translate(window->memory, ua, n, page_shift, hpa);
		for (i = 0; i < n; i++, ua += BIT_ULL(page_shift)) {
			new[i].tce = hpa[i] | perm;
			new[i].ua = ua;
		}

		/* The hardware may know a page as not mapped: kill new ones too. */
		tce_gather_range(&gather, cursor.index, cursor.index + n);
		n = tce_table_store(&cursor, new, n, old);
		tce_gather_old(&gather, old, n);
		cond_resched();
	}
	tce_table_finish(window->table, index, count);
	tce_gather_flush(&gather);

	return 0;
}

int tce_window_unmap(struct tce_window *window, u64 iova, u64 size)
{
	unsigned long index, count;
	int ret;

	ret = tce_window_range(window, iova, size, &index, &count);
	if (ret)
		return ret;

	tce_window_clear(window, index, count);

	return 0;
}
