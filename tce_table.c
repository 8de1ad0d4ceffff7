// SPDX-License-Identifier: GPL-2.0-only
/*
 * A multilevel table of translation control entries (TCE) whose levels are
 * allocated when they are first needed. Contract and format: tce_table.h.
 */

#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include <asm/hvcall.h>
#include <asm/iommu.h>
#include <asm/tce.h>

#include <kunit/static_stub.h>
#include <kunit/visibility.h>

#include "tce_table.h"

#define TCE_PERM		((u64)(TCE_PCI_READ | TCE_PCI_WRITE))

/* A level is at least 4 KiB: TVE "TCE table size" (IODA2), skiboot too. */
#define TCE_LEVEL_MIN_SHIFT	9

/*
 * First address bit that the hardware does not translate, although the window
 * is selected by a higher one only (arch/powerpc/platforms/powernv refuses from
 * here on as well).
 */
#define TCE_ADDRESS_BITS	55

/* The address bit that selects the window; no level may be indexed by it. */
#define TCE_WINDOW_SELECT_BIT	59

/* In the view: the entry is set, its user-space address is still to come. */
#define TCE_VIEW_OPEN		cpu_to_be64(1)

/**
 * struct tce_level - what software knows of one level
 * @used: entries that are set (leaf) or children (upper level), plus one for
 *        everybody who holds the level
 * @lock: in a leaf, makes entry, view and backing change together
 * @view: in a leaf, the user-space view, one big-endian address per entry
 */
struct tce_level {
	atomic_t used;
	spinlock_t lock; /* entry, view, backing of a leaf change together */
	__be64 *view;
};

/**
 * struct tce_block - memory of levels: a kernel page's worth, or one level
 * @node: in tce_table::partial while there are free places
 * @page: the memory; its page_private points back here
 * @busy: places that are taken, one bit each
 * @level: the levels by place
 *
 * Free places are zero.
 */
struct tce_block {
	struct list_head node;
	struct page *page;
	unsigned long busy;
	struct tce_level level[];
};

/**
 * struct tce_table - a table
 * @geo: its shape
 * @nid: NUMA node of the levels
 * @backing: who else has the entries, if anybody
 * @root: the first level
 * @lock: protects @partial and tce_block::busy; taken in any context
 * @partial: blocks with free places
 * @depth_levels: hardware levels by depth
 * @user_levels: leaves with a view
 * @page_bytes: bytes taken from the page allocator
 * @meta_bytes: bytes of tce_block
 * @used: entries that are set
 */
struct tce_table {
	struct tce_geometry geo;
	int nid;
	struct tce_backing backing;
	__be64 *root;
	raw_spinlock_t lock;
	struct list_head partial;
	atomic_long_t depth_levels[TCE_TABLE_MAX_LEVELS];
	atomic_long_t user_levels;
	atomic_long_t page_bytes;
	atomic_long_t meta_bytes;
	atomic_long_t used;
};

/* Geometry */

static unsigned int tce_level_bytes_shift(const struct tce_geometry *geo)
{
	return geo->level_shift + ilog2(sizeof(__be64));
}

static unsigned long tce_level_bytes(const struct tce_geometry *geo)
{
	return 1UL << tce_level_bytes_shift(geo);
}

static unsigned long tce_level_entries(const struct tce_geometry *geo)
{
	return 1UL << geo->level_shift;
}

/* Levels that share one kernel page. */
static unsigned int tce_block_places(const struct tce_geometry *geo)
{
	return max(1UL, PAGE_SIZE >> tce_level_bytes_shift(geo));
}

static unsigned int tce_block_order(const struct tce_geometry *geo)
{
	return get_order(tce_level_bytes(geo));
}

/* Entries of the table below one entry of a level @height levels above leaves. */
static unsigned long tce_span(const struct tce_geometry *geo,
			      unsigned int height)
{
	return 1UL << (height * geo->level_shift);
}

static unsigned long tce_slot(const struct tce_geometry *geo,
			      unsigned long index, unsigned int height)
{
	return (index >> (height * geo->level_shift)) &
		(tce_level_entries(geo) - 1);
}

int tce_geometry_init(struct tce_geometry *geo, unsigned int page_shift,
		      unsigned long entries, unsigned int levels)
{
	struct tce_geometry new = {
		.page_shift = page_shift,
		.levels = levels,
		.entries = entries,
	};
	unsigned int bits;

	if (page_shift >= 64 || !(TCE_TABLE_PAGE_SIZES & BIT_ULL(page_shift)))
		return -EINVAL;

	if (!levels || levels > TCE_TABLE_MAX_LEVELS || !entries)
		return -EINVAL;

	bits = order_base_2(entries);
	if (bits + page_shift >= TCE_ADDRESS_BITS)
		return -EINVAL;

	new.level_shift = max_t(unsigned int, DIV_ROUND_UP(bits, levels),
				TCE_LEVEL_MIN_SHIFT);
	if (new.level_shift * levels + page_shift > TCE_WINDOW_SELECT_BIT)
		return -EINVAL;

	if (tce_block_order(&new) > MAX_PAGE_ORDER)
		return -EINVAL;

	*geo = new;

	return 0;
}

int tce_geometry_init_backed(struct tce_geometry *geo, unsigned int page_shift,
			     unsigned long entries)
{
	unsigned int levels;

	if (!entries)
		return -EINVAL;

	levels = max(DIV_ROUND_UP(order_base_2(entries), TCE_LEVEL_MIN_SHIFT), 1);
	if (levels > TCE_TABLE_MAX_LEVELS)
		return -EINVAL;

	*geo = (struct tce_geometry) {
		.page_shift = page_shift,
		.levels = levels,
		.level_shift = TCE_LEVEL_MIN_SHIFT,
		.entries = entries,
	};

	return 0;
}

u64 tce_geometry_whole_bytes(const struct tce_geometry *geo)
{
	unsigned long levels = geo->entries;
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; i < geo->levels; i++) {
		levels = DIV_ROUND_UP(levels, tce_level_entries(geo));
		bytes += (u64)levels << tce_level_bytes_shift(geo);
	}

	return bytes;
}

/* Entries */

static bool tce_present(__be64 tce)
{
	return tce & cpu_to_be64(TCE_PERM);
}

static __be64 *tce_to_level(__be64 tce)
{
	return __va(be64_to_cpu(tce) & ~TCE_PERM);
}

static __be64 tce_from_level(const __be64 *tces)
{
	return cpu_to_be64(__pa(tces) | TCE_PERM);
}

/* The hardware reads before it writes, so write permission needs read too. */
static __be64 tce_encode(u64 tce)
{
	if (tce & TCE_PCI_WRITE)
		tce |= TCE_PCI_READ;

	return cpu_to_be64(tce);
}

static __be64 tce_xchg(__be64 *ptce, __be64 tce)
{
	return (__force __be64)xchg((__force u64 *)ptce, (__force u64)tce);
}

static __be64 tce_cmpxchg(__be64 *ptce, __be64 old, __be64 new)
{
	return (__force __be64)cmpxchg((__force u64 *)ptce, (__force u64)old,
				       (__force u64)new);
}

/* Memory of levels */

/*
 * The only two places where the table takes and gives back pages; KUnit counts
 * there and lets them fail.
 */
VISIBLE_IF_KUNIT struct page *tce_pages_alloc(int nid, gfp_t gfp,
					      unsigned int order)
{
	KUNIT_STATIC_STUB_REDIRECT(tce_pages_alloc, nid, gfp, order);

	return alloc_pages_node(nid, gfp, order);
}

VISIBLE_IF_KUNIT void tce_pages_free(struct page *page, unsigned int order)
{
	KUNIT_STATIC_STUB_REDIRECT(tce_pages_free, page, order);

	__free_pages(page, order);
}

static size_t tce_block_size(const struct tce_geometry *geo)
{
	return struct_size_t(struct tce_block, level, tce_block_places(geo));
}

static struct tce_block *tce_block_alloc(struct tce_table *table, gfp_t gfp)
{
	unsigned int order = tce_block_order(&table->geo);
	size_t size = tce_block_size(&table->geo);
	struct tce_block *block;
	unsigned int i;

	gfp |= __GFP_ACCOUNT | __GFP_NOWARN | __GFP_ZERO;
	/* A user's wish for large levels is no reason to reclaim hard. */
	if (order > PAGE_ALLOC_COSTLY_ORDER)
		gfp |= __GFP_NORETRY;

	block = kmalloc_node(size, gfp, table->nid);
	if (!block)
		return NULL;

	block->page = tce_pages_alloc(table->nid, gfp, order);
	if (!block->page) {
		kfree(block);
		return NULL;
	}

	for (i = 0; i < tce_block_places(&table->geo); i++)
		spin_lock_init(&block->level[i].lock);

	set_page_private(block->page, (unsigned long)block);
	atomic_long_add(PAGE_SIZE << order, &table->page_bytes);
	atomic_long_add(size, &table->meta_bytes);

	return block;
}

static void tce_block_free(struct tce_table *table, struct tce_block *block)
{
	unsigned int order = tce_block_order(&table->geo);

	atomic_long_sub(PAGE_SIZE << order, &table->page_bytes);
	atomic_long_sub(tce_block_size(&table->geo), &table->meta_bytes);
	set_page_private(block->page, 0);
	tce_pages_free(block->page, order);
	kfree(block);
}

/*
 * Takes a place in a partly used block, or in @fresh; NULL if there is none
 * and no @fresh.
 */
static __be64 *tce_place_take(struct tce_table *table, struct tce_block *fresh)
{
	unsigned int places = tce_block_places(&table->geo);
	struct tce_block *block;
	unsigned long flags;
	__be64 *tces = NULL;
	unsigned int place;

	raw_spin_lock_irqsave(&table->lock, flags);
	if (fresh)
		list_add(&fresh->node, &table->partial);

	block = list_first_entry_or_null(&table->partial, struct tce_block,
					 node);
	if (block) {
		place = ffz(block->busy);
		__set_bit(place, &block->busy);
		if (hweight_long(block->busy) == places)
			list_del_init(&block->node);
		tces = page_address(block->page) +
		       (place << tce_level_bytes_shift(&table->geo));
	}
	raw_spin_unlock_irqrestore(&table->lock, flags);

	return tces;
}

static struct tce_block *tce_block_of(const __be64 *tces)
{
	return (struct tce_block *)page_private(virt_to_page(tces));
}

static unsigned int tce_place_of(const struct tce_geometry *geo,
				 const __be64 *tces)
{
	return offset_in_page(tces) >> tce_level_bytes_shift(geo);
}

static struct tce_level *tce_level_of(const struct tce_table *table,
				      const __be64 *tces)
{
	return &tce_block_of(tces)->level[tce_place_of(&table->geo, tces)];
}

static __be64 *tce_level_alloc(struct tce_table *table, gfp_t gfp)
{
	struct tce_block *block;
	__be64 *tces;

	tces = tce_place_take(table, NULL);
	if (tces)
		return tces;

	block = tce_block_alloc(table, gfp);
	if (!block)
		return NULL;

	return tce_place_take(table, block);
}

static void tce_level_free(struct tce_table *table, __be64 *tces)
{
	struct tce_block *block = tce_block_of(tces);
	struct tce_level *level = tce_level_of(table, tces);
	unsigned int place = tce_place_of(&table->geo, tces);
	unsigned long flags;
	bool empty;

	memset(tces, 0, tce_level_bytes(&table->geo));
	atomic_set(&level->used, 0);
	level->view = NULL;

	raw_spin_lock_irqsave(&table->lock, flags);
	__clear_bit(place, &block->busy);
	empty = !block->busy;
	if (!list_empty(&block->node))
		list_del_init(&block->node);
	if (!empty)
		list_add(&block->node, &table->partial);
	raw_spin_unlock_irqrestore(&table->lock, flags);

	if (empty)
		tce_block_free(table, block);
}

/* The walk */

/*
 * Walks to the leaf of @index. Where a level is missing, @spare goes in, if
 * there is one and nobody is faster; it is NULL afterwards. Returns NULL if a
 * level is missing and there is no spare one.
 */
static __be64 *tce_walk(struct tce_table *table, unsigned long index,
			__be64 **spare)
{
	const struct tce_geometry *geo = &table->geo;
	__be64 *tces = table->root;
	unsigned int height;

	for (height = geo->levels - 1; height; height--) {
		__be64 *slot = &tces[tce_slot(geo, index, height)];
		__be64 tce = READ_ONCE(*slot);

		if (!tce_present(tce)) {
			struct tce_level *parent = tce_level_of(table, tces);

			if (!spare || !*spare)
				return NULL;

			/* A full barrier: the level is zero before it is seen. */
			atomic_inc(&parent->used);
			tce = tce_cmpxchg(slot, 0, tce_from_level(*spare));
			if (tce_present(tce)) {
				atomic_dec(&parent->used);
			} else {
				tce = tce_from_level(*spare);
				*spare = NULL;
				atomic_long_inc(&table->depth_levels[geo->levels - height]);
			}
		}

		tces = tce_to_level(tce);
	}

	return tces;
}

/*
 * Finds the leaf of @index, allocates what is missing with @gfp (0: nothing),
 * and holds the leaf. Levels are allocated outside the RCU section, so @gfp may
 * be one that sleeps.
 */
static __be64 *tce_leaf_hold(struct tce_table *table, unsigned long index,
			     gfp_t gfp)
{
	__be64 *spare = NULL;
	__be64 *tces;

	for (;;) {
		rcu_read_lock();
		tces = tce_walk(table, index, &spare);
		if (tces)
			atomic_inc(&tce_level_of(table, tces)->used);
		rcu_read_unlock();

		if (tces || !gfp)
			break;

		spare = tce_level_alloc(table, gfp);
		if (!spare)
			return NULL;
	}

	if (spare)
		tce_level_free(table, spare);

	return tces;
}

/* Makes sure that a leaf, held by the caller, has a user-space view. */
static __be64 *tce_leaf_view(struct tce_table *table, struct tce_level *leaf,
			     gfp_t gfp)
{
	__be64 *view = READ_ONCE(leaf->view);
	__be64 *old;

	if (view || !gfp)
		return view;

	view = tce_level_alloc(table, gfp);
	if (!view)
		return NULL;

	old = cmpxchg(&leaf->view, NULL, view);
	if (old) {
		tce_level_free(table, view);
		return old;
	}

	atomic_long_inc(&table->user_levels);

	return view;
}

/* Entries of the range [@index, @end) that lie in the leaf of @index. */
static unsigned long tce_leaf_run(const struct tce_geometry *geo,
				  unsigned long index, unsigned long end)
{
	return min(end - index,
		   tce_level_entries(geo) - tce_slot(geo, index, 0));
}

/* Moves @cursor behind what one entry of a level @height levels up covers. */
static void tce_cursor_skip(struct tce_cursor *cursor, unsigned int height)
{
	cursor->index |= tce_span(&cursor->table->geo, height) - 1;
	cursor->index++;
}

/*
 * One walk from the first level towards the cursor. Returns the leaf, or NULL
 * after moving the cursor behind the hole or the empty level that it met.
 */
static __be64 *tce_cursor_walk(struct tce_cursor *cursor)
{
	struct tce_table *table = cursor->table;
	const struct tce_geometry *geo = &table->geo;
	unsigned int height = geo->levels - 1;
	__be64 *tces = table->root;
	__be64 tce;

	while (atomic_read(&tce_level_of(table, tces)->used)) {
		if (!height)
			return tces;

		tce = READ_ONCE(tces[tce_slot(geo, cursor->index, height)]);
		while (!tce_present(tce)) {
			unsigned long slot;

			tce_cursor_skip(cursor, height);
			slot = tce_slot(geo, cursor->index, height);
			if (cursor->index >= cursor->end || !slot)
				return NULL;
			tce = READ_ONCE(tces[slot]);
		}

		tces = tce_to_level(tce);
		height--;
	}

	tce_cursor_skip(cursor, height + 1);

	return NULL;
}

/*
 * Moves @cursor to the next leaf that has something in it, if its place is not
 * in one. Returns the leaf, or NULL at the end of the range.
 */
static __be64 *tce_cursor_leaf(struct tce_cursor *cursor)
{
	__be64 *tces = NULL;

	while (!tces && cursor->index < cursor->end)
		tces = tce_cursor_walk(cursor);

	return tces;
}

/* The table */

struct tce_table *tce_table_create(const struct tce_geometry *geo, int nid)
{
	struct tce_table *table;

	table = kzalloc_node(sizeof(*table), GFP_KERNEL_ACCOUNT, nid);
	if (!table)
		return ERR_PTR(-ENOMEM);

	table->geo = *geo;
	table->nid = nid;
	raw_spin_lock_init(&table->lock);
	INIT_LIST_HEAD(&table->partial);

	table->root = tce_level_alloc(table, GFP_KERNEL);
	if (!table->root) {
		kfree(table);
		return ERR_PTR(-ENOMEM);
	}
	atomic_long_set(&table->depth_levels[0], 1);

	return table;
}

void tce_table_set_backing(struct tce_table *table,
			   const struct tce_backing *backing)
{
	table->backing = *backing;
}

/* Sets an entry, in the backing first: it may refuse. */
static int tce_entry_xchg(struct tce_table *table, __be64 *ptce,
			  unsigned long index, __be64 new, __be64 *old)
{
	int ret;

	if (table->backing.write) {
		ret = table->backing.write(table->backing.data, index,
					   be64_to_cpu(new));
		if (ret)
			return ret;
	}

	*old = tce_xchg(ptce, new);

	return 0;
}

static void tce_free_tree(struct tce_table *table, __be64 *tces,
			  unsigned int height)
{
	struct tce_level *level = tce_level_of(table, tces);
	unsigned long i;

	if (!height && level->view)
		tce_level_free(table, level->view);

	for (i = 0; height && i < tce_level_entries(&table->geo); i++) {
		if (!tce_present(tces[i]))
			continue;
		tce_free_tree(table, tce_to_level(tces[i]), height - 1);
		cond_resched();
	}

	tce_level_free(table, tces);
}

void tce_table_destroy(struct tce_table *table)
{
	tce_free_tree(table, table->root, table->geo.levels - 1);
	WARN_ON_ONCE(atomic_long_read(&table->page_bytes));
	kfree(table);
}

const struct tce_geometry *tce_table_geometry(const struct tce_table *table)
{
	return &table->geo;
}

void *tce_table_root(const struct tce_table *table)
{
	return table->root;
}

static int tce_leaf_xchg(struct tce_table *table, __be64 *tces,
			 unsigned long index, __be64 new, __be64 *old)
{
	__be64 *ptce = &tces[tce_slot(&table->geo, index, 0)];
	spinlock_t *lock = &tce_level_of(table, tces)->lock;
	int ret;

	if (!table->backing.write) {
		*old = tce_xchg(ptce, new);
		return 0;
	}

	spin_lock(lock);
	ret = tce_entry_xchg(table, ptce, index, new, old);
	spin_unlock(lock);

	return ret;
}

int tce_table_exchange(struct tce_table *table, unsigned long index,
		       unsigned long *hpa, enum dma_data_direction *direction,
		       bool alloc)
{
	u64 new = *hpa | iommu_direction_to_tce_perm(*direction);
	bool set = *direction != DMA_NONE;
	struct tce_level *leaf;
	__be64 *tces;
	__be64 old = 0;
	int ret = 0;

	if (index >= table->geo.entries ||
	    (*hpa & (BIT_ULL(table->geo.page_shift) - 1)))
		return -EINVAL;

	rcu_read_lock();
	if (set)
		tces = tce_leaf_hold(table, index, alloc ? GFP_NOWAIT : 0);
	else
		tces = tce_walk(table, index, NULL);
	if (!tces && set) {
		rcu_read_unlock();
		return alloc ? -ENOMEM : H_TOO_HARD;
	}

	if (tces) {
		leaf = tce_level_of(table, tces);
		ret = tce_leaf_xchg(table, tces, index,
				    set ? tce_encode(new) : 0, &old);

		/* The hold of a set is the count of the new entry. */
		if (ret)
			atomic_sub(set, &leaf->used);
		else if (tce_present(old))
			atomic_dec(&leaf->used);
		if (!ret)
			atomic_long_add(set - tce_present(old), &table->used);
	}
	rcu_read_unlock();

	if (!ret) {
		*hpa = be64_to_cpu(old) & ~TCE_PERM;
		*direction = iommu_tce_direction(be64_to_cpu(old));
	}

	return ret;
}

/* The part of tce_table_swap() that needs the leaf's lock. */
static int tce_leaf_swap(struct tce_table *table, __be64 *tces,
			 unsigned long index, __be64 new, __be64 *old,
			 __be64 *ua)
{
	struct tce_level *leaf = tce_level_of(table, tces);
	unsigned long slot = tce_slot(&table->geo, index, 0);
	__be64 *place = leaf->view ? &leaf->view[slot] : NULL;
	int ret;

	lockdep_assert_held(&leaf->lock);

	if (!place && tce_present(new))
		return H_TOO_HARD;

	*ua = place ? READ_ONCE(*place) : 0;
	if (*ua == TCE_VIEW_OPEN)
		return -EAGAIN;

	ret = tce_entry_xchg(table, &tces[slot], index, new, old);
	if (!ret && place)
		WRITE_ONCE(*place, tce_present(new) ? TCE_VIEW_OPEN : 0);

	return ret;
}

int tce_table_swap(struct tce_table *table, unsigned long index,
		   unsigned long *hpa, enum dma_data_direction *direction,
		   u64 *ua)
{
	u64 new = *hpa | iommu_direction_to_tce_perm(*direction);
	bool set = *direction != DMA_NONE;
	__be64 old = 0, old_ua = 0;
	struct tce_level *leaf;
	__be64 *tces;
	int ret;

	if (index >= table->geo.entries ||
	    (*hpa & (BIT_ULL(table->geo.page_shift) - 1)))
		return -EINVAL;

	rcu_read_lock();
	tces = tce_walk(table, index, NULL);
	if (tces) {
		leaf = tce_level_of(table, tces);
		atomic_add(set, &leaf->used);
		spin_lock(&leaf->lock);
		ret = tce_leaf_swap(table, tces, index,
				    set ? tce_encode(new) : 0, &old, &old_ua);
		spin_unlock(&leaf->lock);
		atomic_sub(ret ? set : tce_present(old), &leaf->used);
		if (!ret)
			atomic_long_add(set - tce_present(old), &table->used);
	} else {
		ret = set ? H_TOO_HARD : 0;
	}
	rcu_read_unlock();

	if (!ret) {
		*hpa = be64_to_cpu(old) & ~TCE_PERM;
		*direction = iommu_tce_direction(be64_to_cpu(old));
		*ua = be64_to_cpu(old_ua);
	}

	return ret;
}

u64 tce_table_get(struct tce_table *table, unsigned long index)
{
	__be64 *tces;
	u64 tce = 0;

	if (index >= table->geo.entries)
		return 0;

	rcu_read_lock();
	tces = tce_walk(table, index, NULL);
	if (tces)
		tce = be64_to_cpu(READ_ONCE(tces[tce_slot(&table->geo, index, 0)]));
	rcu_read_unlock();

	return tce;
}

__be64 *tce_table_view(struct tce_table *table, unsigned long index, bool alloc)
{
	gfp_t gfp = alloc ? GFP_NOWAIT : 0;
	struct tce_level *leaf;
	__be64 *tces, *view;

	if (index >= table->geo.entries)
		return NULL;

	tces = tce_leaf_hold(table, index, gfp);
	if (!tces)
		return NULL;

	leaf = tce_level_of(table, tces);
	view = tce_leaf_view(table, leaf, gfp);
	atomic_dec(&leaf->used);

	return view ? &view[tce_slot(&table->geo, index, 0)] : NULL;
}

static bool tce_range_valid(const struct tce_table *table, unsigned long index,
			    unsigned long count)
{
	return index < table->geo.entries &&
	       count <= table->geo.entries - index;
}

int tce_table_prepare(struct tce_table *table, unsigned long index,
		      unsigned long count)
{
	unsigned long start = index, end = index + count;
	struct tce_level *leaf;
	__be64 *tces;
	int ret;

	if (!tce_range_valid(table, index, count))
		return -EINVAL;

	while (index < end) {
		ret = -EINTR;
		if (fatal_signal_pending(current))
			goto undo;

		ret = -ENOMEM;
		tces = tce_leaf_hold(table, index, GFP_KERNEL);
		if (!tces)
			goto undo;

		leaf = tce_level_of(table, tces);
		if (!tce_leaf_view(table, leaf, GFP_KERNEL)) {
			atomic_dec(&leaf->used);
			goto undo;
		}

		index += tce_leaf_run(&table->geo, index, end);
		cond_resched();
	}

	return 0;

undo:
	tce_table_finish(table, start, index - start);

	return ret;
}

void tce_table_finish(struct tce_table *table, unsigned long index,
		      unsigned long count)
{
	unsigned long end = index + count;
	__be64 *tces;

	while (index < end) {
		/* Held, so it is there and needs no RCU. */
		tces = tce_walk(table, index, NULL);
		atomic_dec(&tce_level_of(table, tces)->used);
		index += tce_leaf_run(&table->geo, index, end);
	}
}

/*
 * Sets entries of one leaf, which is held. Counts in @stored how many were set,
 * in @replaced how many of them were set before; fails at the one that cannot be.
 */
static int tce_leaf_store(struct tce_table *table, __be64 *tces,
			  unsigned long index, const struct tce_entry *new,
			  unsigned int count, unsigned int *stored,
			  struct tce_entry *old, unsigned int *replaced)
{
	struct tce_level *leaf = tce_level_of(table, tces);
	unsigned long slot = tce_slot(&table->geo, index, 0);
	unsigned int i, n = 0;
	int ret = 0;

	atomic_add(count, &leaf->used);

	spin_lock(&leaf->lock);
	for (i = 0; i < count; i++) {
		__be64 *place = &leaf->view[slot + i];
		__be64 ua = READ_ONCE(*place);
		__be64 tce;

		ret = -EAGAIN;
		if (ua == TCE_VIEW_OPEN)
			break;

		ret = tce_entry_xchg(table, &tces[slot + i], index + i,
				     tce_encode(new[i].tce), &tce);
		if (ret)
			break;

		if (tce_present(tce)) {
			old[n].tce = be64_to_cpu(tce);
			old[n].ua = be64_to_cpu(ua);
			n++;
		}
		WRITE_ONCE(*place, cpu_to_be64(new[i].ua));
	}
	spin_unlock(&leaf->lock);

	atomic_sub(count - i + n, &leaf->used);
	atomic_long_add((long)i - n, &table->used);
	*stored = i;
	*replaced = n;

	return ret;
}

int tce_table_store(struct tce_cursor *cursor, const struct tce_entry *new,
		    unsigned int count, struct tce_entry *old)
{
	struct tce_table *table = cursor->table;
	unsigned int run, stored, n, total = 0, replaced = 0;
	int ret = 0;

	count = min_t(unsigned long, count, cursor->end - cursor->index);
	for (; total < count && !ret; total += stored) {
		run = tce_leaf_run(&table->geo, cursor->index,
				   cursor->index + count - total);
		/* Prepared, so it is there and needs no RCU. */
		ret = tce_leaf_store(table,
				     tce_walk(table, cursor->index, NULL),
				     cursor->index, new + total, run, &stored,
				     old + replaced, &n);
		cursor->index += stored;
		replaced += n;
	}

	return total ? replaced : ret;
}

/*
 * Clears up to @max entries of one leaf. Moves @cursor to the end of its leaf or
 * range, or to where it stopped. Fails only if the first one is open.
 */
static int tce_leaf_clear(struct tce_cursor *cursor, __be64 *tces,
			  struct tce_entry *old, unsigned long *first,
			  unsigned long *last, unsigned int max)
{
	struct tce_table *table = cursor->table;
	struct tce_level *leaf = tce_level_of(table, tces);
	unsigned long slot = tce_slot(&table->geo, cursor->index, 0);
	unsigned long end = slot + tce_leaf_run(&table->geo, cursor->index,
						cursor->end);
	unsigned int cleared = 0;
	int ret = 0;

	spin_lock(&leaf->lock);
	for (; slot < end && cleared < max; slot++, cursor->index++) {
		__be64 *place = leaf->view ? &leaf->view[slot] : NULL;
		__be64 ua = place ? READ_ONCE(*place) : 0;
		__be64 tce;

		if (!tce_present(READ_ONCE(tces[slot])))
			continue;

		ret = -EAGAIN;
		if (ua == TCE_VIEW_OPEN)
			break;

		ret = 0;
		if (tce_entry_xchg(table, &tces[slot], cursor->index, 0, &tce) ||
		    !tce_present(tce))
			continue;

		if (place)
			WRITE_ONCE(*place, 0);
		old[cleared].tce = be64_to_cpu(tce);
		old[cleared].ua = be64_to_cpu(ua);
		if (!cleared)
			*first = cursor->index;
		*last = cursor->index;
		cleared++;
	}
	spin_unlock(&leaf->lock);

	atomic_sub(cleared, &leaf->used);
	atomic_long_sub(cleared, &table->used);

	return cleared ?: ret;
}

int tce_table_clear(struct tce_cursor *cursor, struct tce_entry *old,
		    unsigned long *first, unsigned long *last,
		    unsigned int max)
{
	__be64 *tces;
	int ret = 0;

	rcu_read_lock();
	while (!ret) {
		tces = tce_cursor_leaf(cursor);
		if (!tces)
			break;

		ret = tce_leaf_clear(cursor, tces, old, first, last, max);
	}
	rcu_read_unlock();

	return ret;
}

void tce_table_stats(struct tce_table *table, struct tce_table_stats *stats)
{
	unsigned long bytes = tce_level_bytes(&table->geo);
	unsigned int i;

	memset(stats, 0, sizeof(*stats));
	for (i = 0; i < table->geo.levels; i++) {
		stats->depth[i].levels =
			atomic_long_read(&table->depth_levels[i]);
		stats->depth[i].bytes = stats->depth[i].levels * bytes;
		stats->hw_bytes += stats->depth[i].bytes;
	}
	stats->user_levels = atomic_long_read(&table->user_levels);
	stats->user_bytes = stats->user_levels * bytes;
	stats->page_bytes = atomic_long_read(&table->page_bytes);
	stats->meta_bytes = atomic_long_read(&table->meta_bytes) +
			    sizeof(*table);
	stats->whole_bytes = tce_geometry_whole_bytes(&table->geo);
	stats->used = atomic_long_read(&table->used);
}
