// SPDX-License-Identifier: GPL-2.0-only
/*
 * User memory that a container has registered for DMA. Contract: tce_memory.h.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/mmu_context.h>
#include <asm/tce.h>

#include "tce_memory.h"
#include "tce_pages.h"

/* Pages that are counted between two looks at the scheduler. */
#define TCE_MEMORY_BATCH	256

/**
 * struct tce_region - a region that the container has registered
 * @node: in tce_memory::regions
 * @first: first user-space address
 * @last: last user-space address
 * @mem: the kernel's region, on which this holds a use
 * @orphan: in tce_orphans, when its container has gone
 * @mm: of an orphan, the address space, mmgrab()bed
 */
struct tce_region {
	struct rb_node node;
	unsigned long first;
	unsigned long last;
	struct mm_iommu_table_group_mem_t *mem;
	struct list_head orphan;
	struct mm_struct *mm;
};

/*
 * Regions that have outlived their container, because pages of them are still
 * mapped: by another container of the process, which need not have registered
 * what it maps, or by KVM in a table that it holds. Both let go before their
 * own struct tce_memory goes, and then it is tried again.
 */
static LIST_HEAD(tce_orphans);
static DEFINE_MUTEX(tce_orphans_lock);

/**
 * struct tce_memory - registered memory of one container
 * @pages: what windows see of it
 * @lock: write: @regions changes. read: a region that is found stays
 * @regions: the regions by address; they do not overlap
 */
struct tce_memory {
	struct tce_pages pages;
	struct rw_semaphore lock; /* @regions */
	struct rb_root regions;
};

static int tce_region_cmp_address(const void *key, const struct rb_node *node)
{
	const struct tce_region *region = rb_entry(node, struct tce_region, node);
	unsigned long ua = *(const unsigned long *)key;

	if (ua < region->first)
		return -1;

	return ua > region->last;
}

static int tce_region_cmp(struct rb_node *new, const struct rb_node *node)
{
	const struct tce_region *a = rb_entry(new, struct tce_region, node);
	const struct tce_region *b = rb_entry(node, struct tce_region, node);

	if (a->last < b->first)
		return -1;

	return a->first > b->last;
}

static struct tce_region *tce_region_find(struct tce_memory *memory,
					  unsigned long ua)
{
	struct rb_node *node;

	lockdep_assert_held(&memory->lock);

	node = rb_find(&ua, &memory->regions, tce_region_cmp_address);

	return node ? rb_entry(node, struct tce_region, node) : NULL;
}

static bool tce_memory_aligned(u64 ua, u64 size)
{
	return PAGE_ALIGNED(ua) && PAGE_ALIGNED(size);
}

int tce_memory_register(struct tce_memory *memory, u64 ua, u64 size)
{
	struct tce_region *region;
	struct rb_node *other;
	u64 last;
	long ret;

	if (!tce_memory_aligned(ua, size) || !size ||
	    check_add_overflow(ua, size - 1, &last))
		return -EINVAL;

	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
	if (!region)
		return -ENOMEM;

	region->first = ua;
	region->last = last;

	/* Pinning takes its time and needs no lock of ours. */
	region->mem = mm_iommu_get(memory->pages.mm, ua, size >> PAGE_SHIFT);
	if (!region->mem) {
		ret = mm_iommu_new(memory->pages.mm, ua, size >> PAGE_SHIFT,
				   &region->mem);
		/* If a part is there, it says how many pages. */
		if (ret > 0)
			ret = -EFAULT;
		if (ret)
			goto free;
	}

	down_write(&memory->lock);
	other = rb_find_add(&region->node, &memory->regions, tce_region_cmp);
	up_write(&memory->lock);
	if (!other)
		return 0;

	/* The kernel's regions do not overlap, so it is the same one. */
	ret = -EBUSY;
	mm_iommu_put(memory->pages.mm, region->mem);
free:
	kfree(region);

	return ret;
}

int tce_memory_unregister(struct tce_memory *memory, u64 ua, u64 size)
{
	struct tce_region *region;
	long ret = -ENOENT;

	if (!tce_memory_aligned(ua, size))
		return -EINVAL;

	down_write(&memory->lock);
	region = tce_region_find(memory, ua);
	if (region && region->first == ua && region->last == ua + size - 1) {
		ret = mm_iommu_put(memory->pages.mm, region->mem);
		if (!ret) {
			rb_erase(&region->node, &memory->regions);
			kfree(region);
		}
	}
	up_write(&memory->lock);

	return ret;
}

static void tce_orphan_add(struct tce_region *region, struct mm_struct *mm)
{
	region->mm = mm;
	mmgrab(mm);
	mutex_lock(&tce_orphans_lock);
	list_add(&region->orphan, &tce_orphans);
	mutex_unlock(&tce_orphans_lock);
}

static void tce_orphans_put(struct mm_struct *mm)
{
	struct tce_region *region, *next;

	mutex_lock(&tce_orphans_lock);
	list_for_each_entry_safe(region, next, &tce_orphans, orphan) {
		if (region->mm != mm || mm_iommu_put(mm, region->mem))
			continue;
		list_del(&region->orphan);
		mmdrop(region->mm);
		kfree(region);
	}
	mutex_unlock(&tce_orphans_lock);
}

void tce_memory_unregister_all(struct tce_memory *memory)
{
	struct tce_region *region, *next;

	down_write(&memory->lock);
	rbtree_postorder_for_each_entry_safe(region, next, &memory->regions,
					     node) {
		if (mm_iommu_put(memory->pages.mm, region->mem))
			tce_orphan_add(region, memory->pages.mm);
		else
			kfree(region);
	}
	memory->regions = RB_ROOT;
	up_write(&memory->lock);

	/* What this container had mapped of others' is not mapped any more. */
	tce_orphans_put(memory->pages.mm);
}

/*
 * Finds the kernel's region of a page, and the page's physical address. The
 * caller holds the lock, and is in an RCU section unless the page is counted:
 * a region that somebody else has registered may be going.
 */
static struct mm_iommu_table_group_mem_t *
tce_memory_find(struct tce_memory *memory, unsigned long ua,
		unsigned int page_shift, unsigned long *hpa)
{
	struct tce_region *region = tce_region_find(memory, ua);
	struct mm_iommu_table_group_mem_t *mem;

	if (region)
		mem = region->mem;
	else
		mem = mm_iommu_lookup(memory->pages.mm, ua, 1UL << page_shift);
	if (!mem || mm_iommu_ua_to_hpa(mem, ua, page_shift, hpa))
		return NULL;

	return mem;
}

static struct tce_memory *tce_memory_of(struct tce_pages *pages)
{
	return container_of(pages, struct tce_memory, pages);
}

/*
 * The device could write to the page until the kill, so this is early; the page
 * stays pinned, thus dirty, until it is un-counted after the kill.
 */
static void tce_memory_dirty(u64 tce)
{
	if ((tce & TCE_PCI_WRITE) && pfn_valid(PHYS_PFN(tce)))
		SetPageDirty(pfn_to_page(PHYS_PFN(tce)));
}

static bool tce_memory_retire(struct tce_retired *retired, u64 tce, u64 ua)
{
	struct tce_memory *memory = tce_memory_of(retired->pages);
	struct mm_iommu_table_group_mem_t *mem;
	unsigned int last = retired->count;
	unsigned long hpa;

	if (last) {
		mem = retired->region[last - 1].mem;
		if (!mm_iommu_ua_to_hpa(mem, ua, retired->page_shift, &hpa)) {
			retired->region[last - 1].pages++;
			goto dirty;
		}
	}

	if (last == TCE_RETIRED_REGIONS)
		return false;

	down_read(&memory->lock);
	mem = tce_memory_find(memory, ua, retired->page_shift, &hpa);
	up_read(&memory->lock);

	/* KVM writes the address after the entry; tce_table_sweep() finds it. */
	if (mem) {
		retired->region[last].mem = mem;
		retired->region[last].pages = 1;
		retired->count++;
	}
dirty:
	tce_memory_dirty(tce);

	return true;
}

static void tce_memory_flush(struct tce_retired *retired)
{
	unsigned int i;

	for (i = 0; i < retired->count; i++) {
		while (retired->region[i].pages--)
			mm_iommu_mapped_dec(retired->region[i].mem);
	}
	retired->count = 0;
}

static void tce_memory_unuse_range(const struct tce_run *run,
				   unsigned long first, unsigned long end)
{
	unsigned long ua = run->ua + (first << run->page_shift);
	struct tce_retired retired = {
		.pages = run->pages,
		.page_shift = run->page_shift,
	};

	for (; first < end; first++, ua += 1UL << run->page_shift) {
		if (tce_memory_retire(&retired, 0, ua))
			continue;
		tce_memory_flush(&retired);
		tce_memory_retire(&retired, 0, ua);
	}
	tce_memory_flush(&retired);
}

static void tce_memory_unuse(const struct tce_run *run, unsigned long first)
{
	tce_memory_unuse_range(run, first, run->count);
}

static int tce_memory_use(struct tce_run *run)
{
	struct tce_memory *memory = tce_memory_of(run->pages);
	struct mm_iommu_table_group_mem_t *mem = NULL;
	unsigned long ua = run->ua;
	unsigned long hpa;
	unsigned long i;
	int ret = 0;

	down_read(&memory->lock);
	for (i = 0; i < run->count; i++, ua += 1UL << run->page_shift) {
		if (!(i % TCE_MEMORY_BATCH)) {
			cond_resched();
			if (fatal_signal_pending(current)) {
				ret = -EINTR;
				break;
			}
		}

		/* The last page's region is counted, so it may be tried again. */
		rcu_read_lock();
		if (!mem || mm_iommu_ua_to_hpa(mem, ua, run->page_shift, &hpa))
			mem = tce_memory_find(memory, ua, run->page_shift, &hpa);
		if (!mem || mm_iommu_mapped_inc(mem))
			ret = -EINVAL;
		rcu_read_unlock();
		if (ret)
			break;
	}
	up_read(&memory->lock);

	if (ret)
		tce_memory_unuse_range(run, 0, i);

	return ret;
}

static void tce_memory_translate(const struct tce_run *run, unsigned long first,
				 unsigned int count, unsigned long *hpa)
{
	struct tce_memory *memory = tce_memory_of(run->pages);
	unsigned long ua = run->ua + (first << run->page_shift);
	struct mm_iommu_table_group_mem_t *mem = NULL;
	unsigned int i;

	down_read(&memory->lock);
	for (i = 0; i < count; i++, ua += 1UL << run->page_shift) {
		if (mem && !mm_iommu_ua_to_hpa(mem, ua, run->page_shift, &hpa[i]))
			continue;
		mem = tce_memory_find(memory, ua, run->page_shift, &hpa[i]);
		WARN_ON_ONCE(!mem);
	}
	up_read(&memory->lock);
}

/* Nothing was allocated for a run. */
static void tce_memory_done(struct tce_run *run)
{
}

/* The last window has gone, so KVM has mapped nothing any more either. */
static void tce_memory_free(struct tce_pages *pages)
{
	tce_orphans_put(pages->mm);
	kfree(tce_memory_of(pages));
}

static const struct tce_pages_ops tce_memory_pages_ops = {
	.use = tce_memory_use,
	.translate = tce_memory_translate,
	.unuse = tce_memory_unuse,
	.done = tce_memory_done,
	.retire = tce_memory_retire,
	.flush = tce_memory_flush,
	.free = tce_memory_free,
};

struct tce_memory *tce_memory_create(void)
{
	struct tce_memory *memory;

	if (!current->mm)
		return ERR_PTR(-ESRCH);

	memory = kzalloc(sizeof(*memory), GFP_KERNEL_ACCOUNT);
	if (!memory)
		return ERR_PTR(-ENOMEM);

	tce_pages_init(&memory->pages, &tce_memory_pages_ops);
	init_rwsem(&memory->lock);
	memory->regions = RB_ROOT;

	return memory;
}

struct tce_pages *tce_memory_pages(struct tce_memory *memory)
{
	return &memory->pages;
}
