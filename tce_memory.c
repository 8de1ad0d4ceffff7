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

#include <asm/iommu.h>
#include <asm/mmu_context.h>
#include <asm/tce.h>

#include "tce_memory.h"
#include "tce_pages.h"
#include "tce_table.h"

/* In an owner: the kernel's region, not the container's. */
#define TCE_OWNER_KERNEL	BIT_ULL(0)

/* In an owner: a region, not a user-space address. */
#define TCE_OWNER_REGION	BIT_ULL(63)

/* Regions that are counted between two looks at the scheduler. */
#define TCE_MEMORY_BATCH	64

/**
 * struct tce_region - a region that the container has registered
 * @node: in tce_memory::regions
 * @list: in tce_memory::list, or of an orphan, in tce_orphans
 * @first: first user-space address
 * @last: last user-space address
 * @mem: the kernel's region, on which this holds a use
 * @mapped: IOMMU pages of it that are mapped and counted here
 * @mm: of an orphan, the address space, mmgrab()bed
 */
struct tce_region {
	struct rb_node node;
	struct list_head list;
	unsigned long first;
	unsigned long last;
	struct mm_iommu_table_group_mem_t *mem;
	atomic_long_t mapped;
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
 * @lock: the container's. Held for writing @regions changes; held for reading a
 *        region that is found stays
 * @regions: the regions by address; they do not overlap
 * @list: the same, one after the other
 */
struct tce_memory {
	struct tce_pages pages;
	struct rw_semaphore *lock;
	struct rb_root regions;
	struct list_head list;
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

	lockdep_assert_held(memory->lock);

	node = rb_find(&ua, &memory->regions, tce_region_cmp_address);

	return node ? rb_entry(node, struct tce_region, node) : NULL;
}

static bool tce_memory_aligned(u64 ua, u64 size)
{
	return PAGE_ALIGNED(ua) && PAGE_ALIGNED(size);
}

struct tce_region *tce_memory_pin(struct tce_memory *memory, u64 ua, u64 size)
{
	struct tce_region *region;
	u64 last;
	long ret;

	if (!tce_memory_aligned(ua, size) || !size ||
	    check_add_overflow(ua, size - 1, &last))
		return ERR_PTR(-EINVAL);

	/* Or else the kernel would try to list the pages, and complain. */
	if (size >> PAGE_SHIFT > totalram_pages())
		return ERR_PTR(-ENOMEM);

	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
	if (!region)
		return ERR_PTR(-ENOMEM);

	region->first = ua;
	region->last = last;

	region->mem = mm_iommu_get(memory->pages.mm, ua, size >> PAGE_SHIFT);
	if (!region->mem) {
		ret = mm_iommu_new(memory->pages.mm, ua, size >> PAGE_SHIFT,
				   &region->mem);
		/* If a part is there, it says how many pages. */
		if (ret > 0)
			ret = -EFAULT;
		if (ret) {
			kfree(region);
			return ERR_PTR(ret);
		}
	}

	return region;
}

void tce_memory_unpin(struct tce_memory *memory, struct tce_region *region)
{
	mm_iommu_put(memory->pages.mm, region->mem);
	kfree(region);
}

int tce_memory_add(struct tce_memory *memory, struct tce_region *region)
{
	struct rb_node *before;

	lockdep_assert_held_write(memory->lock);

	if (rb_find_add(&region->node, &memory->regions, tce_region_cmp)) {
		/* The kernel's regions do not overlap, so it is the same one. */
		tce_memory_unpin(memory, region);
		return -EBUSY;
	}

	before = rb_prev(&region->node);
	list_add(&region->list,
		 before ? &rb_entry(before, struct tce_region, node)->list :
			  &memory->list);

	return 0;
}

int tce_memory_unregister(struct tce_memory *memory, u64 ua, u64 size)
{
	struct tce_region *region;
	long ret;

	lockdep_assert_held_write(memory->lock);

	if (!tce_memory_aligned(ua, size))
		return -EINVAL;

	region = tce_region_find(memory, ua);
	if (!region || region->first != ua || region->last != ua + size - 1)
		return -ENOENT;

	if (atomic_long_read(&region->mapped))
		return -EBUSY;

	ret = mm_iommu_put(memory->pages.mm, region->mem);
	if (ret)
		return ret;

	rb_erase(&region->node, &memory->regions);
	list_del(&region->list);
	kfree(region);

	return 0;
}

static void tce_orphan_add(struct tce_region *region, struct mm_struct *mm)
{
	region->mm = mm;
	mmgrab(mm);
	mutex_lock(&tce_orphans_lock);
	list_move(&region->list, &tce_orphans);
	mutex_unlock(&tce_orphans_lock);
}

static void tce_orphans_put(struct mm_struct *mm)
{
	struct tce_region *region, *next;

	mutex_lock(&tce_orphans_lock);
	list_for_each_entry_safe(region, next, &tce_orphans, list) {
		if (region->mm != mm || mm_iommu_put(mm, region->mem))
			continue;
		list_del(&region->list);
		mmdrop(region->mm);
		kfree(region);
	}
	mutex_unlock(&tce_orphans_lock);
}

void tce_memory_unregister_all(struct tce_memory *memory)
{
	struct tce_region *region, *next;

	lockdep_assert_held_write(memory->lock);

	memory->regions = RB_ROOT;
	list_for_each_entry_safe(region, next, &memory->list, list) {
		/* The container has nothing mapped, and KVM counts elsewhere. */
		WARN_ON_ONCE(atomic_long_read(&region->mapped));
		if (mm_iommu_put(memory->pages.mm, region->mem)) {
			tce_orphan_add(region, memory->pages.mm);
			continue;
		}
		list_del(&region->list);
		kfree(region);
	}

	/* What this container had mapped of others' is not mapped any more. */
	tce_orphans_put(memory->pages.mm);
}

static struct tce_memory *tce_memory_of(struct tce_pages *pages)
{
	return container_of(pages, struct tce_memory, pages);
}

/**
 * struct tce_segment - pages of a run that have the same owner
 * @mem: the kernel's region
 * @region: the container's region, if it is one of its own
 * @count: number of IOMMU pages
 */
struct tce_segment {
	struct mm_iommu_table_group_mem_t *mem;
	struct tce_region *region;
	unsigned long count;
};

static u64 tce_segment_owner(const struct tce_segment *segment)
{
	if (segment->region)
		return (unsigned long)segment->region;

	return (unsigned long)segment->mem | TCE_OWNER_KERNEL;
}

/*
 * The registered pages from page @first of a run on, as far as they have one
 * owner. Returns false if the first is not registered. Pages that others have
 * registered may be going, unless they are counted or this is in an RCU section.
 */
static __always_inline bool tce_memory_segment(struct tce_run *run,
					       unsigned long first,
					       struct tce_segment *segment)
{
	struct tce_memory *memory = tce_memory_of(run->pages);
	unsigned long ua = run->ua + (first << run->page_shift);
	struct tce_region *region = run->hint;

	lockdep_assert_held(memory->lock);

	/* Runs go upwards: the same region, the next one, or any. */
	if (region && ua > region->last &&
	    !list_is_last(&region->list, &memory->list))
		region = list_next_entry(region, list);
	if (!region || ua < region->first || ua > region->last)
		region = tce_region_find(memory, ua);

	segment->region = region;
	if (region) {
		run->hint = region;
		segment->mem = region->mem;
		segment->count = min(run->count - first,
				     (region->last - ua + 1) >> run->page_shift);
	} else {
		segment->mem = mm_iommu_lookup(run->pages->mm, ua,
					       1UL << run->page_shift);
		segment->count = 1;
	}

	return segment->mem && segment->count;
}

static void tce_segment_uncount(const struct tce_segment *segment)
{
	if (segment->region)
		atomic_long_sub(segment->count, &segment->region->mapped);
	else
		mm_iommu_mapped_dec(segment->mem);
}

/*
 * The container's own regions are held by the lock, the others by the count. @hpa
 * is the physical address of the first page, after 0.
 */
static __always_inline int tce_memory_count(struct tce_run *run,
					    unsigned long first,
					    struct tce_segment *segment,
					    unsigned long *hpa)
{
	unsigned long ua = run->ua + (first << run->page_shift);
	int ret = -EINVAL;

	rcu_read_lock();
	if (tce_memory_segment(run, first, segment) &&
	    !mm_iommu_ua_to_hpa(segment->mem, ua, run->page_shift, hpa))
		ret = 0;
	if (!ret && segment->region)
		atomic_long_add(segment->count, &segment->region->mapped);
	else if (!ret && mm_iommu_mapped_inc(segment->mem))
		ret = -EINVAL;
	rcu_read_unlock();

	return ret;
}

/* Un-counts the pages of a run from @first on, up to @end. */
static void tce_memory_unuse_range(struct tce_run *run, unsigned long first,
				   unsigned long end)
{
	struct tce_segment segment;

	while (first < end && tce_memory_segment(run, first, &segment)) {
		segment.count = min(segment.count, end - first);
		tce_segment_uncount(&segment);
		first += segment.count;
	}
	WARN_ON_ONCE(first < end);
}

static void tce_memory_unuse(struct tce_run *run, unsigned long first)
{
	tce_memory_unuse_range(run, first, run->count);
}

/* Uses the pages of a run from @first on: it has more than one owner. */
static noinline int tce_memory_use_each(struct tce_run *run, unsigned long first)
{
	struct tce_segment segment;
	unsigned long hpa;
	unsigned int n = 0;
	int ret = 0;

	run->owner = TCE_OWNER_EACH;
	for (; first < run->count; first += segment.count) {
		if (!(n++ % TCE_MEMORY_BATCH)) {
			cond_resched();
			if (fatal_signal_pending(current))
				ret = -EINTR;
		}
		if (!ret)
			ret = tce_memory_count(run, first, &segment, &hpa);
		if (ret) {
			tce_memory_unuse_range(run, 0, first);
			return ret;
		}
	}

	return 0;
}

static int tce_memory_use(struct tce_run *run)
{
	struct tce_segment segment;
	unsigned long hpa;
	int ret;

	ret = tce_memory_count(run, 0, &segment, &hpa);
	if (ret)
		return ret;

	run->tce = hpa | run->perm;
	/* IOMMU pages in one kernel page. */
	run->together = max(1UL, (PAGE_SIZE - offset_in_page(run->ua)) >>
				 run->page_shift);
	run->owner = tce_segment_owner(&segment);
	if (segment.count == run->count)
		return 0;

	return tce_memory_use_each(run, segment.count);
}

static void tce_memory_translate(struct tce_run *run, unsigned long first,
				 unsigned int count, struct tce_entry *entries)
{
	unsigned long ua = run->ua + (first << run->page_shift);
	unsigned long size = 1UL << run->page_shift;
	struct tce_entry *end = entries + count;
	struct tce_segment segment;
	unsigned long hpa;
	u64 owner;

	while (entries < end) {
		struct tce_entry *segment_end;

		if (WARN_ON_ONCE(!tce_memory_segment(run, first, &segment)))
			return;

		owner = tce_segment_owner(&segment);
		segment_end = entries + min(segment.count,
					    (unsigned long)(end - entries));
		first += segment_end - entries;
		while (entries < segment_end) {
			mm_iommu_ua_to_hpa(segment.mem, ua, run->page_shift, &hpa);
			hpa |= run->perm;
			/* IOMMU pages in one kernel page follow each other. */
			do {
				entries->tce = hpa;
				entries->owner = owner;
				entries++;
				hpa += size;
				ua += size;
			} while (entries < segment_end && !PAGE_ALIGNED(ua));
		}
	}
}

/*
 * The device could write to the page until the kill, so this is early; the page
 * stays pinned, thus dirty, until it is un-counted after the kill.
 */
static noinline void tce_memory_dirty(unsigned long pfn, u64 owner)
{
	struct page *page;

	/* What the container has registered is memory. */
	if ((owner & (TCE_OWNER_REGION | TCE_OWNER_KERNEL)) != TCE_OWNER_REGION &&
	    !pfn_valid(pfn))
		return;

	page = pfn_to_page(pfn);
	if (!PageDirty(page))
		SetPageDirty(page);
}

static unsigned int tce_memory_retire(struct tce_retired *retired,
				      const struct tce_entry *entries,
				      unsigned int count)
{
	unsigned long dirty = 0;
	unsigned int done = 0;

	while (done < count) {
		u64 owner = entries[done].owner;
		unsigned int last = retired->count, before = done;

		if (!last || retired->owner[last - 1].word != owner) {
			if (last == TCE_RETIRED_OWNERS)
				break;
			retired->owner[last].word = owner;
			retired->owner[last].pages = 0;
			retired->count = ++last;
		}

		for (; done < count && entries[done].owner == owner; done++) {
			u64 tce = entries[done].tce;

			if (tce & TCE_PCI_WRITE && PHYS_PFN(tce) != dirty) {
				dirty = PHYS_PFN(tce);
				tce_memory_dirty(dirty, owner);
			}
		}
		retired->owner[last - 1].pages += done - before;
	}

	return done;
}

static void tce_memory_uncount(struct tce_pages *pages, u64 owner,
			       unsigned long count, unsigned int page_shift)
{
	struct mm_iommu_table_group_mem_t *mem;
	struct tce_region *region;

	if (!(owner & TCE_OWNER_REGION)) {
		/* Counted, so it is there and stays. */
		mem = mm_iommu_lookup(pages->mm, owner, 1UL << page_shift);
	} else if (owner & TCE_OWNER_KERNEL) {
		mem = (void *)(unsigned long)(owner & ~TCE_OWNER_KERNEL);
	} else {
		region = (void *)(unsigned long)owner;
		atomic_long_sub(count, &region->mapped);
		return;
	}

	while (mem && count--)
		mm_iommu_mapped_dec(mem);
}

static void tce_memory_flush(struct tce_retired *retired)
{
	unsigned int i;

	for (i = 0; i < retired->count; i++)
		tce_memory_uncount(retired->pages, retired->owner[i].word,
				   retired->owner[i].pages, retired->page_shift);
	retired->count = 0;
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
	.retire = tce_memory_retire,
	.flush = tce_memory_flush,
	.free = tce_memory_free,
};

struct tce_memory *tce_memory_create(struct rw_semaphore *lock)
{
	struct tce_memory *memory;

	if (!current->mm)
		return ERR_PTR(-ESRCH);

	memory = kzalloc(sizeof(*memory), GFP_KERNEL_ACCOUNT);
	if (!memory)
		return ERR_PTR(-ENOMEM);

	tce_pages_init(&memory->pages, &tce_memory_pages_ops);
	memory->lock = lock;
	memory->regions = RB_ROOT;
	INIT_LIST_HEAD(&memory->list);

	return memory;
}

struct tce_pages *tce_memory_pages(struct tce_memory *memory)
{
	return &memory->pages;
}
