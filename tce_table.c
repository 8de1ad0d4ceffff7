// SPDX-License-Identifier: GPL-2.0-only
/*
 * A multilevel table of translation control entries (TCE) whose levels are
 * allocated when they are first needed. Contract and format: tce_table.h.
 */

#include <linux/err.h>
#include <linux/math.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/hvcall.h>
#include <asm/iommu.h>

#include "tce_level.h"
#include "tce_table.h"

/*
 * First address bit that the hardware does not translate, although the window
 * is selected by a higher one only (arch/powerpc/platforms/powernv refuses from
 * here on as well).
 */
#define TCE_ADDRESS_BITS	55

/* The address bit that selects the window; no level may be indexed by it. */
#define TCE_WINDOW_SELECT_BIT	59

/* Levels that are taken out of the tree with interrupts off. */
#define TCE_TRIM_BATCH		64

/* In the view: the entry is set, its owner is still to come. */
#define TCE_VIEW_OPEN		cpu_to_be64(1)

/* Geometry */

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

/* The walk */

/*
 * Links @spare into @slot of an upper level, which the caller holds by nothing but
 * RCU. Returns the level that is there then, NULL if the upper level is dead.
 */
static __be64 *tce_link(struct tce_table *table, __be64 *upper, __be64 *slot,
			unsigned long index, unsigned int height,
			__be64 **spare)
{
	struct tce_level *parent = tce_level_of(table, upper);
	struct tce_level *level = tce_level_of(table, *spare);
	__be64 tce;

	if (!tce_level_hold(parent))
		return NULL;

	level->link = slot;
	level->index = index & ~(tce_span(&table->geo, height) - 1);
	level->depth = table->geo.levels - height;

	/* A full barrier: the level is whole before it is seen. */
	tce = tce_cmpxchg(slot, 0, tce_from_level(*spare));
	if (tce_present(tce)) {
		tce_level_put(table, parent, 1);
		return tce_to_level(tce);
	}

	*spare = NULL;
	atomic_long_inc(&table->depth_levels[level->depth]);

	return level->tces;
}

/*
 * Walks to the leaf of @index. Where a level is missing, @spare goes in, if
 * there is one and nobody is faster; it is NULL afterwards. Returns NULL if a
 * level is missing and there is no spare one.
 */
static __be64 *tce_walk(struct tce_table *table, unsigned long index,
			__be64 **spare)
{
	const struct tce_geometry *geo = &table->geo;
	unsigned int height;
	__be64 *tces;

again:
	tces = table->root;
	for (height = geo->levels - 1; height; height--) {
		__be64 *slot = &tces[tce_slot(geo, index, height)];
		__be64 tce = READ_ONCE(*slot);

		if (tce_present(tce)) {
			tces = tce_to_level(tce);
			continue;
		}

		if (!spare || !*spare)
			return NULL;

		tces = tce_link(table, tces, slot, index, height, spare);
		/* Dead: it is being taken out of the tree right now. */
		if (!tces) {
			cpu_relax();
			goto again;
		}
	}

	return tces;
}

/*
 * Makes the last level on the way to @index idle, if nothing is in use below it:
 * it may have been linked for a leaf that could not be allocated.
 */
static void tce_walk_undo(struct tce_table *table, unsigned long index)
{
	const struct tce_geometry *geo = &table->geo;
	unsigned int height = geo->levels - 1;
	__be64 *tces = table->root;
	struct tce_level *level;

	rcu_read_lock();
	for (; height; height--) {
		__be64 tce = READ_ONCE(tces[tce_slot(geo, index, height)]);

		if (!tce_present(tce))
			break;
		tces = tce_to_level(tce);
	}

	level = tce_level_of(table, tces);
	if (tce_level_hold(level))
		tce_level_put(table, level, 1);
	rcu_read_unlock();
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
		do {
			tces = tce_walk(table, index, &spare);
		} while (tces && !tce_level_hold(tce_level_of(table, tces)));
		rcu_read_unlock();

		if (tces || !gfp)
			break;

		spare = tce_level_alloc(table, gfp);
		if (!spare) {
			tce_walk_undo(table, index);
			return NULL;
		}
	}

	if (spare)
		tce_level_free(table, spare);

	return tces;
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

	while (atomic_read(&tce_level_of(table, tces)->used) > 0) {
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

/* Leaves: owners */

/* Gives a leaf, held by the caller, a view. */
static __be64 *tce_leaf_view(struct tce_table *table, struct tce_level *leaf,
			     gfp_t gfp)
{
	/* Pairs with the cmpxchg() below: the view is zero when it is seen. */
	__be64 *view = smp_load_acquire(&leaf->view);
	__be64 *old;

	if (view || !gfp)
		return view;

	view = tce_level_alloc(table, gfp);
	if (!view)
		return NULL;

	/* Zero: all that is set belongs to leaf->owner. */
	old = cmpxchg(&leaf->view, NULL, view);
	if (old) {
		tce_level_free(table, view);
		return old;
	}

	atomic_long_inc(&table->user_levels);

	return view;
}

/* Whether entries of @owner can be set now. The caller has the leaf's lock. */
static bool tce_leaf_take_owner(struct tce_level *leaf, u64 owner)
{
	if (leaf->view)
		return true;

	if (!owner || (leaf->owner != owner && (leaf->set || leaf->claims)))
		return false;

	leaf->owner = owner;

	return true;
}

/* Tries to make sure that entries of @owner can be set. */
static bool tce_leaf_try_claim(struct tce_level *leaf, u64 owner)
{
	unsigned long flags;
	bool claimed;

	raw_spin_lock_irqsave(&leaf->lock, flags);
	claimed = tce_leaf_take_owner(leaf, owner);
	leaf->claims += claimed;
	raw_spin_unlock_irqrestore(&leaf->lock, flags);

	return claimed;
}

/* Makes sure that entries of @owner can be set in a leaf that the caller holds. */
static bool tce_leaf_claim(struct tce_table *table, struct tce_level *leaf,
			   u64 owner, gfp_t gfp)
{
	while (!tce_leaf_try_claim(leaf, owner))
		if (!tce_leaf_view(table, leaf, gfp))
			return false;

	return true;
}

static void tce_leaf_unclaim(struct tce_level *leaf)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&leaf->lock, flags);
	leaf->claims--;
	raw_spin_unlock_irqrestore(&leaf->lock, flags);
}

/* Leaves: entries. The caller has the leaf's lock. */

static __be64 tce_leaf_owner(const struct tce_level *leaf, unsigned long slot)
{
	__be64 owner = leaf->view ? READ_ONCE(leaf->view[slot]) : 0;

	return owner ?: cpu_to_be64(leaf->owner);
}

/*
 * Makes an entry @new, with @owner as its word in the view, if there is a view.
 * Fails and changes nothing if the entry is open, or the backing refuses.
 */
static __always_inline int tce_leaf_set(struct tce_table *table,
					struct tce_level *leaf,
					unsigned long index, unsigned long slot,
					__be64 new, __be64 owner,
					__be64 *old, __be64 *old_owner)
{
	int ret;

	*old_owner = tce_leaf_owner(leaf, slot);
	if (unlikely(*old_owner == TCE_VIEW_OPEN))
		return -EAGAIN;

	*old = leaf->tces[slot];
	if (table->backing.write) {
		ret = table->backing.write(table->backing.data, index,
					   be64_to_cpu(new));
		if (ret)
			return ret;
	}

	WRITE_ONCE(leaf->tces[slot], new);
	if (leaf->view)
		WRITE_ONCE(leaf->view[slot], owner);

	return 0;
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
	INIT_LIST_HEAD(&table->idle);

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

/* A level that nobody can reach, with its view. */
static void tce_level_drop(struct tce_table *table, __be64 *tces)
{
	struct tce_level *level = tce_level_of(table, tces);

	if (level->view) {
		tce_level_free(table, level->view);
		atomic_long_dec(&table->user_levels);
	}
	tce_level_free(table, tces);
}

static void tce_free_tree(struct tce_table *table, __be64 *tces,
			  unsigned int height)
{
	int children = height ? atomic_read(&tce_level_of(table, tces)->used) : 0;
	unsigned long slot;

	for (slot = 0; children && slot < tce_level_entries(&table->geo); slot++) {
		if (!tce_present(tces[slot]))
			continue;
		tce_free_tree(table, tce_to_level(tces[slot]), height - 1);
		children--;
		cond_resched();
	}

	tce_level_drop(table, tces);
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

/* One entry, by index: what exchange and swap have in common. */
static int tce_leaf_exchange(struct tce_table *table, struct tce_level *leaf,
			     unsigned long index, __be64 new, __be64 owner,
			     __be64 *old, __be64 *old_owner)
{
	unsigned long flags;
	int change, ret;

	raw_spin_lock_irqsave(&leaf->lock, flags);
	ret = tce_leaf_set(table, leaf, index, tce_slot(&table->geo, index, 0),
			   new, owner, old, old_owner);
	if (!ret) {
		change = tce_taken(new) - tce_taken(*old);
		leaf->set += change;
		if (change > 0)
			atomic_inc(&leaf->used);
		else if (change < 0)
			tce_level_put(table, leaf, 1);
		atomic_long_add(change, &table->used);
	}
	raw_spin_unlock_irqrestore(&leaf->lock, flags);

	return ret;
}

static bool tce_entry_valid(const struct tce_table *table, unsigned long index,
			    unsigned long hpa)
{
	return index < table->geo.entries &&
	       !(hpa & (BIT_ULL(table->geo.page_shift) - 1));
}

int tce_table_exchange(struct tce_table *table, unsigned long index,
		       unsigned long *hpa, enum dma_data_direction *direction,
		       bool alloc)
{
	u64 new = *hpa | iommu_direction_to_tce_perm(*direction);
	gfp_t gfp = alloc ? GFP_NOWAIT : 0;
	int ret = alloc ? -ENOMEM : H_TOO_HARD;
	bool set = *direction != DMA_NONE;
	__be64 old = 0, old_owner;
	struct tce_level *leaf;
	__be64 *tces;

	if (!tce_entry_valid(table, index, *hpa))
		return -EINVAL;

	tces = tce_leaf_hold(table, index, set ? gfp : 0);
	leaf = tces ? tce_level_of(table, tces) : NULL;
	if (!set) {
		ret = leaf ? tce_leaf_exchange(table, leaf, index, 0, 0, &old,
					       &old_owner) : 0;
	} else if (leaf && tce_leaf_claim(table, leaf, TCE_OWNER_NONE, gfp)) {
		ret = tce_leaf_exchange(table, leaf, index, tce_encode(new),
					cpu_to_be64(TCE_OWNER_NONE), &old,
					&old_owner);
		tce_leaf_unclaim(leaf);
	}
	if (leaf)
		tce_level_put(table, leaf, 1);

	if (!ret) {
		*hpa = be64_to_cpu(old) & ~TCE_PERM;
		*direction = iommu_tce_direction(be64_to_cpu(old));
	}

	return ret;
}

int tce_table_swap(struct tce_table *table, unsigned long index,
		   unsigned long *hpa, enum dma_data_direction *direction,
		   u64 *owner)
{
	__be64 new = tce_encode(*hpa | iommu_direction_to_tce_perm(*direction));
	__be64 old = 0, old_owner = 0;
	__be64 *tces;
	int ret = 0;

	if (!tce_entry_valid(table, index, *hpa))
		return -EINVAL;

	tces = tce_leaf_hold(table, index, 0);
	if (!tces && tce_taken(new))
		return H_TOO_HARD;

	if (tces) {
		struct tce_level *leaf = tce_level_of(table, tces);

		if (tce_taken(new) && !READ_ONCE(leaf->view))
			ret = H_TOO_HARD;
		else
			ret = tce_leaf_exchange(table, leaf, index, new,
						tce_taken(new) ? TCE_VIEW_OPEN : 0,
						&old, &old_owner);
		tce_level_put(table, leaf, 1);
	}

	if (!ret) {
		*hpa = be64_to_cpu(old) & ~TCE_PERM;
		*direction = iommu_tce_direction(be64_to_cpu(old));
		*owner = tce_taken(old) ? be64_to_cpu(old_owner) : 0;
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
	bool keep = false;

	if (index >= table->geo.entries)
		return NULL;

	tces = tce_leaf_hold(table, index, gfp);
	if (!tces)
		return NULL;

	leaf = tce_level_of(table, tces);
	view = tce_leaf_view(table, leaf, gfp);
	if (view && !READ_ONCE(leaf->shared))
		keep = !xchg(&leaf->shared, 1);
	/* The first place that is given out keeps the hold. */
	if (!keep)
		tce_level_put(table, leaf, 1);

	return view ? &view[tce_slot(&table->geo, index, 0)] : NULL;
}

static bool tce_range_valid(const struct tce_table *table, unsigned long index,
			    unsigned long count)
{
	return index < table->geo.entries &&
	       count <= table->geo.entries - index;
}

int tce_table_prepare(struct tce_table *table, unsigned long index,
		      unsigned long count, u64 owner)
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
		if (!tce_leaf_claim(table, leaf, owner, GFP_KERNEL)) {
			tce_level_put(table, leaf, 1);
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
	struct tce_level *leaf;

	while (index < end) {
		/* Held, so it is there and needs no RCU. */
		leaf = tce_level_of(table, tce_walk(table, index, NULL));
		tce_leaf_unclaim(leaf);
		tce_level_put(table, leaf, 1);
		index += tce_leaf_run(&table->geo, index, end);
	}
}

/*
 * Sets entries of one leaf, which is held and locked. Counts in @stored how many
 * were set, in @replaced how many of them were set before; fails at the one that
 * cannot be.
 */
static int tce_leaf_store_locked(struct tce_table *table,
				 struct tce_level *leaf, unsigned long index,
				 const struct tce_entry *new,
				 unsigned int count, unsigned int *stored,
				 struct tce_entry *old, unsigned int *replaced)
{
	unsigned long slot = tce_slot(&table->geo, index, 0);
	unsigned int i, n = 0;
	int ret = 0;

	lockdep_assert_held(&leaf->lock);

	for (i = 0; i < count; i++) {
		__be64 tce, owner;

		ret = tce_leaf_set(table, leaf, index + i, slot + i,
				   tce_encode(new[i].tce),
				   cpu_to_be64(new[i].owner), &tce, &owner);
		if (ret)
			break;

		if (tce_taken(tce)) {
			old[n].tce = be64_to_cpu(tce);
			old[n].owner = be64_to_cpu(owner);
			n++;
		}
	}
	leaf->set += i - n;
	/* The caller holds the leaf, so this may come last. */
	atomic_add(i - n, &leaf->used);
	*stored = i;
	*replaced = n;

	return ret;
}

static int tce_leaf_store(struct tce_table *table, struct tce_level *leaf,
			  unsigned long index, const struct tce_entry *new,
			  unsigned int count, unsigned int *stored,
			  struct tce_entry *old, unsigned int *replaced)
{
	unsigned long flags;
	int ret;

	raw_spin_lock_irqsave(&leaf->lock, flags);
	ret = tce_leaf_store_locked(table, leaf, index, new, count, stored, old,
				    replaced);
	raw_spin_unlock_irqrestore(&leaf->lock, flags);

	atomic_long_add((long)*stored - *replaced, &table->used);

	return ret;
}

int tce_table_store(struct tce_cursor *cursor, const struct tce_entry *new,
		    unsigned int count, struct tce_entry *old)
{
	struct tce_table *table = cursor->table;
	unsigned int run, stored, n, total = 0, replaced = 0;
	struct tce_level *leaf;
	int ret = 0;

	count = min_t(unsigned long, count, cursor->end - cursor->index);
	for (; total < count && !ret; total += stored) {
		run = tce_leaf_run(&table->geo, cursor->index,
				   cursor->index + count - total);
		/* Prepared, so it is there and needs no RCU. */
		leaf = tce_level_of(table, tce_walk(table, cursor->index, NULL));
		ret = tce_leaf_store(table, leaf, cursor->index, new + total,
				     run, &stored, old + replaced, &n);
		cursor->index += stored;
		replaced += n;
	}

	return total ? replaced : ret;
}

/* Whether none of these entries is open. The caller has the leaf's lock. */
static bool tce_leaf_settled(const struct tce_level *leaf, unsigned long slot,
			     unsigned int count)
{
	unsigned int i;

	for (i = 0; leaf->view && i < count; i++)
		if (READ_ONCE(leaf->view[slot + i]) == TCE_VIEW_OPEN)
			return false;

	return true;
}

int tce_table_store_few(struct tce_cursor *cursor, const struct tce_entry *new,
			unsigned int count, struct tce_entry *old)
{
	struct tce_table *table = cursor->table;
	unsigned long index = cursor->index;
	unsigned long slot = tce_slot(&table->geo, index, 0);
	unsigned int stored = 0, replaced = 0;
	struct tce_level *leaf;
	unsigned long flags;
	int ret = -EAGAIN;
	__be64 *tces;

	if (table->backing.write || tce_leaf_run(&table->geo, index,
						 cursor->end) != count)
		return -EAGAIN;

	tces = tce_leaf_hold(table, index, 0);
	if (!tces)
		return -EAGAIN;

	leaf = tce_level_of(table, tces);
	raw_spin_lock_irqsave(&leaf->lock, flags);
	if (tce_leaf_settled(leaf, slot, count) &&
	    tce_leaf_take_owner(leaf, new->owner))
		ret = tce_leaf_store_locked(table, leaf, index, new, count,
					    &stored, old, &replaced);
	raw_spin_unlock_irqrestore(&leaf->lock, flags);
	tce_level_put(table, leaf, 1);

	if (ret)
		return ret;

	atomic_long_add((long)count - replaced, &table->used);
	cursor->index = cursor->end;

	return replaced;
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
	unsigned long base = cursor->index - slot;
	unsigned long end = slot + tce_leaf_run(&table->geo, cursor->index,
						cursor->end);
	unsigned int cleared = 0;
	unsigned long flags;
	int ret = 0;

	raw_spin_lock_irqsave(&leaf->lock, flags);
	for (; slot < end && cleared < max && leaf->set > cleared; slot++) {
		__be64 tce, owner;

		if (!tce_taken(tces[slot]))
			continue;

		ret = tce_leaf_set(table, leaf, base + slot, slot, 0, 0, &tce,
				   &owner);
		if (ret == -EAGAIN)
			break;
		if (ret) {
			ret = 0;
			continue;
		}

		old[cleared].tce = be64_to_cpu(tce);
		old[cleared].owner = be64_to_cpu(owner);
		if (!cleared)
			*first = base + slot;
		*last = base + slot;
		cleared++;
	}
	leaf->set -= cleared;
	/* Nothing more is set here: what is left of the leaf is empty. */
	if (!leaf->set && ret != -EAGAIN)
		slot = end;
	cursor->index = base + slot;
	tce_level_put(table, leaf, cleared);
	raw_spin_unlock_irqrestore(&leaf->lock, flags);

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

unsigned int tce_table_idle(const struct tce_table *table)
{
	return READ_ONCE(table->idle_levels);
}

/*
 * Takes an idle level out of the tree and puts it on @trimmed, the one above too
 * if this was its last. Nothing happens if it is in use again.
 */
static void tce_level_unlink(struct tce_table *table, struct tce_level *level,
			     struct list_head *trimmed)
{
	__be64 *link;

	lockdep_assert_held(&table->lock);

	do {
		if (!list_empty(&level->idle)) {
			list_del_init(&level->idle);
			table->idle_levels--;
		}
		/*
		 * Pairs with the barrier in tce_level_put(): either its last use is
		 * seen here, or it sees that the level is not the first idle one.
		 * A cmpxchg that fails is no barrier.
		 */
		smp_mb();
		if (atomic_cmpxchg(&level->used, 0, TCE_LEVEL_DEAD))
			break;

		link = level->link;
		WRITE_ONCE(*link, 0);
		list_add(&level->idle, trimmed);
		atomic_long_dec(&table->depth_levels[level->depth]);

		/* Levels are aligned to their size. */
		level = tce_level_of(table,
				     PTR_ALIGN_DOWN(link,
						    tce_level_bytes(&table->geo)));
	} while (atomic_dec_and_test(&level->used) && level->link);
}

/* Unlinks what may go, a few levels at a time, as interrupts are off. */
static bool tce_table_unlink(struct tce_table *table, unsigned int keep,
			     struct list_head *trimmed)
{
	unsigned int i;

	raw_spin_lock_irq(&table->lock);
	for (i = 0; i < TCE_TRIM_BATCH && table->idle_levels > keep; i++)
		tce_level_unlink(table,
				 list_last_entry(&table->idle, struct tce_level,
						 idle), trimmed);
	raw_spin_unlock_irq(&table->lock);

	return i == TCE_TRIM_BATCH;
}

void tce_table_trim(struct tce_table *table, unsigned int keep,
		    void (*kill)(void *data, unsigned long index,
				 unsigned long count),
		    void *data)
{
	struct tce_level *level, *next;
	LIST_HEAD(trimmed);

	while (tce_table_unlink(table, keep, &trimmed))
		cond_resched();

	if (list_empty(&trimmed))
		return;

	list_for_each_entry(level, &trimmed, idle)
		kill(data, level->index, 1);

	synchronize_rcu();

	list_for_each_entry_safe(level, next, &trimmed, idle) {
		list_del_init(&level->idle);
		tce_level_drop(table, level->tces);
		cond_resched();
	}
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
