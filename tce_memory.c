// SPDX-License-Identifier: GPL-2.0-only
/*
 * User memory that a container has registered for DMA. Contract: tce_memory.h.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/mmu_context.h>

#include "tce_memory.h"

/* Pages that are counted between two looks at the scheduler. */
#define TCE_MEMORY_BATCH	256

/**
 * struct tce_region - a region that the container has registered
 * @node: in tce_memory::regions
 * @first: first user-space address
 * @last: last user-space address
 * @mem: the kernel's region, on which this holds a use
 */
struct tce_region {
	struct rb_node node;
	unsigned long first;
	unsigned long last;
	struct mm_iommu_table_group_mem_t *mem;
};

/**
 * struct tce_memory - registered memory of one container
 * @ref: the container and its windows
 * @mm: the address space, mmgrab()bed
 * @lock: write: @regions changes. read: a region that is found stays
 * @regions: the regions by address; they do not overlap
 */
struct tce_memory {
	struct kref ref;
	struct mm_struct *mm;
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

struct tce_memory *tce_memory_create(void)
{
	struct tce_memory *memory;

	if (!current->mm)
		return ERR_PTR(-ESRCH);

	memory = kzalloc(sizeof(*memory), GFP_KERNEL_ACCOUNT);
	if (!memory)
		return ERR_PTR(-ENOMEM);

	kref_init(&memory->ref);
	init_rwsem(&memory->lock);
	memory->regions = RB_ROOT;
	memory->mm = current->mm;
	mmgrab(memory->mm);

	return memory;
}

struct tce_memory *tce_memory_get(struct tce_memory *memory)
{
	kref_get(&memory->ref);

	return memory;
}

static void tce_memory_free(struct kref *ref)
{
	struct tce_memory *memory = container_of(ref, struct tce_memory, ref);

	mmdrop(memory->mm);
	kfree(memory);
}

void tce_memory_put(struct tce_memory *memory)
{
	kref_put(&memory->ref, tce_memory_free);
}

struct mm_struct *tce_memory_mm(const struct tce_memory *memory)
{
	return memory->mm;
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
	region->mem = mm_iommu_get(memory->mm, ua, size >> PAGE_SHIFT);
	if (!region->mem) {
		ret = mm_iommu_new(memory->mm, ua, size >> PAGE_SHIFT,
				   &region->mem);
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
	mm_iommu_put(memory->mm, region->mem);
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
		ret = mm_iommu_put(memory->mm, region->mem);
		if (!ret) {
			rb_erase(&region->node, &memory->regions);
			kfree(region);
		}
	}
	up_write(&memory->lock);

	return ret;
}

void tce_memory_unregister_all(struct tce_memory *memory)
{
	struct tce_region *region, *next;

	down_write(&memory->lock);
	rbtree_postorder_for_each_entry_safe(region, next, &memory->regions,
					     node) {
		/*
		 * Another container of this process may map pages of a region
		 * that it has not registered itself; they stay pinned then.
		 */
		if (mm_iommu_put(memory->mm, region->mem))
			pr_warn_ratelimited("%lx..%lx is still mapped by somebody else\n",
					    region->first, region->last);
		kfree(region);
	}
	memory->regions = RB_ROOT;
	up_write(&memory->lock);
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
		mem = mm_iommu_lookup(memory->mm, ua, 1UL << page_shift);
	if (!mem || mm_iommu_ua_to_hpa(mem, ua, page_shift, hpa))
		return NULL;

	return mem;
}

void tce_memory_unuse(struct tce_memory *memory, unsigned long ua,
		      unsigned long count, unsigned int page_shift)
{
	struct tce_unuse unuse = { .memory = memory };

	for (; count; count--, ua += 1UL << page_shift) {
		if (tce_unuse_add(&unuse, ua, page_shift))
			continue;
		tce_unuse_flush(&unuse);
		tce_unuse_add(&unuse, ua, page_shift);
	}
	tce_unuse_flush(&unuse);
}

int tce_memory_use(struct tce_memory *memory, unsigned long ua,
		   unsigned long count, unsigned int page_shift)
{
	struct mm_iommu_table_group_mem_t *mem = NULL;
	unsigned long page = ua;
	unsigned long hpa;
	unsigned long i;
	int ret = 0;

	down_read(&memory->lock);
	for (i = 0; i < count; i++, page += 1UL << page_shift) {
		if (!(i % TCE_MEMORY_BATCH)) {
			cond_resched();
			if (fatal_signal_pending(current)) {
				ret = -EINTR;
				break;
			}
		}

		/* The last page's region is counted, so it may be tried again. */
		rcu_read_lock();
		if (!mem || mm_iommu_ua_to_hpa(mem, page, page_shift, &hpa))
			mem = tce_memory_find(memory, page, page_shift, &hpa);
		if (!mem || mm_iommu_mapped_inc(mem))
			ret = -EINVAL;
		rcu_read_unlock();
		if (ret)
			break;
	}
	up_read(&memory->lock);

	if (ret)
		tce_memory_unuse(memory, ua, i, page_shift);

	return ret;
}

void tce_memory_translate(struct tce_memory *memory, unsigned long ua,
			  unsigned int count, unsigned int page_shift,
			  unsigned long *hpa)
{
	struct mm_iommu_table_group_mem_t *mem = NULL;
	unsigned int i;

	down_read(&memory->lock);
	for (i = 0; i < count; i++, ua += 1UL << page_shift) {
		if (mem && !mm_iommu_ua_to_hpa(mem, ua, page_shift, &hpa[i]))
			continue;
		mem = tce_memory_find(memory, ua, page_shift, &hpa[i]);
		WARN_ON_ONCE(!mem);
	}
	up_read(&memory->lock);
}

bool tce_unuse_add(struct tce_unuse *unuse, unsigned long ua,
		   unsigned int page_shift)
{
	struct mm_iommu_table_group_mem_t *mem;
	unsigned int last = unuse->regions;
	unsigned long hpa;

	if (last) {
		mem = unuse->region[last - 1].mem;
		if (!mm_iommu_ua_to_hpa(mem, ua, page_shift, &hpa)) {
			unuse->region[last - 1].pages++;
			return true;
		}
	}

	if (last == TCE_UNUSE_REGIONS)
		return false;

	down_read(&unuse->memory->lock);
	mem = tce_memory_find(unuse->memory, ua, page_shift, &hpa);
	up_read(&unuse->memory->lock);

	/* KVM un-counts a page before it clears the address. */
	if (!mem)
		return true;

	unuse->region[last].mem = mem;
	unuse->region[last].pages = 1;
	unuse->regions++;

	return true;
}

void tce_unuse_flush(struct tce_unuse *unuse)
{
	unsigned int i;

	for (i = 0; i < unuse->regions; i++) {
		while (unuse->region[i].pages--)
			mm_iommu_mapped_dec(unuse->region[i].mem);
	}
	unuse->regions = 0;
}
