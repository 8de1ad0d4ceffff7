// SPDX-License-Identifier: GPL-2.0-only
/*
 * A multilevel table of translation control entries (TCE) whose levels are
 * allocated when they are first needed. Contract and format: tce_table.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/err.h>
#include <linux/list_sort.h>
#include <linux/math.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/hvcall.h>

#include "tce_level.h"
#include "tce_table.h"
#include "tce_work.h"

/*
 * First address bit that the hardware does not translate, although the window
 * is selected by a higher one only (arch/powerpc/platforms/powernv refuses from
 * here on as well).
 */
#define TCE_ADDRESS_BITS	55

/* The address bit that selects the window; no level may be indexed by it. */
#define TCE_WINDOW_SELECT_BIT	59

/* Levels that are taken out of the tree without letting go of the lock. */
#define TCE_TRIM_BATCH		64U

/*
 * Entries of the levels that are killed, and wait for a grace period, at once: some PHBs
 * are told of each.
 */
#define TCE_TRIM_ENTRIES	BIT(19)

/* Geometry */

int tce_geometry_init(struct tce_geometry *geo, unsigned int page_shift,
		      unsigned long entries, unsigned int levels)
{
	struct tce_geometry new = {
		.page_shift = page_shift,
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

	for (new.levels = levels; new.levels <= TCE_TABLE_MAX_LEVELS; new.levels++) {
		new.level_shift = max_t(unsigned int,
					DIV_ROUND_UP(bits, new.levels),
					TCE_LEVEL_MIN_SHIFT);
		if (tce_block_order(&new) <= TCE_LEVEL_MAX_ORDER)
			break;
	}

	if (new.levels > TCE_TABLE_MAX_LEVELS ||
	    new.level_shift * new.levels + page_shift > TCE_WINDOW_SELECT_BIT)
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

/* The leaf of @index, or NULL if a level is missing on the way. */
static __always_inline __be64 *tce_find(const struct tce_table *table,
					unsigned long index)
{
	const struct tce_geometry *geo = &table->geo;
	unsigned int shift = (geo->levels - 1) * geo->level_shift;
	unsigned long mask = tce_level_entries(geo) - 1;
	__be64 *tces = table->root;

	for (; shift; shift -= geo->level_shift) {
		__be64 tce = READ_ONCE(tces[(index >> shift) & mask]);

		if (!tce_present(tce))
			return NULL;
		tces = tce_to_level(tce);
	}

	return tces;
}

/*
 * Waits until a dead level that a walk has met is out of the tree. The lock is held
 * from the one to the other, so this does not spin on a task that was preempted in
 * between, and lends it the priority of the caller where locks do so.
 */
static noinline void tce_wait_unlinked(struct tce_table *table)
{
	spin_lock(&table->lock);
	spin_unlock(&table->lock);
}

/* The same, and holds the leaf. */
static __always_inline struct tce_level *
tce_find_hold(struct tce_table *table, unsigned long index)
{
	struct tce_level *leaf;
	__be64 *tces;

	rcu_read_lock();
	for (;;) {
		tces = tce_find(table, index);
		leaf = tces ? tce_level_of(table, tces) : NULL;
		if (!leaf || tce_level_hold(leaf))
			break;
		tce_wait_unlinked(table);
	}
	rcu_read_unlock();

	return leaf;
}

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

	/* Counted before it can be used, made idle and taken out by others. */
	atomic_long_inc(&table->depth_levels[level->depth]);
	/* A full barrier: the level is whole before it is seen. */
	tce = tce_cmpxchg(slot, 0, tce_from_level(*spare));
	if (tce_present(tce)) {
		atomic_long_dec(&table->depth_levels[level->depth]);
		tce_level_put(table, parent, 1);
		return tce_to_level(tce);
	}

	*spare = NULL;

	return level->tces;
}

/*
 * Walks to the leaf of @index. Where a level is missing, @spare goes in, unless
 * somebody is faster; it is NULL afterwards. Returns NULL if another level is
 * missing.
 */
static __be64 *tce_grow(struct tce_table *table, unsigned long index,
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

		if (!*spare)
			return NULL;

		tces = tce_link(table, tces, slot, index, height, spare);
		/* Dead: it is being taken out of the tree right now. */
		if (!tces) {
			tce_wait_unlinked(table);
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
static struct tce_level *tce_leaf_hold(struct tce_table *table,
				       unsigned long index, gfp_t gfp)
{
	struct tce_level *leaf = tce_find_hold(table, index);
	__be64 *tces, *spare = NULL;

	while (!leaf && gfp) {
		spare = tce_level_alloc(table, gfp);
		if (!spare) {
			tce_walk_undo(table, index);
			return NULL;
		}

		rcu_read_lock();
		for (;;) {
			tces = tce_grow(table, index, &spare);
			leaf = tces ? tce_level_of(table, tces) : NULL;
			if (!leaf || tce_level_hold(leaf))
				break;
			tce_wait_unlinked(table);
		}
		rcu_read_unlock();
	}

	if (spare)
		tce_level_free(table, spare);

	return leaf;
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
 * Moves @cursor over the hole that it is at, @height levels above the leaves.
 * Returns the entry that ends it, or 0 at the end of the level or of the range, or
 * after TCE_TABLE_SCAN entries.
 */
static __be64 tce_cursor_hole(struct tce_cursor *cursor, __be64 *tces,
			      unsigned int height)
{
	const struct tce_geometry *geo = &cursor->table->geo;
	unsigned int scan = TCE_TABLE_SCAN;
	__be64 tce = 0;

	/* With nothing in use the hole is the whole level. */
	if (atomic_read(&tce_level_of(cursor->table, tces)->used) <= 0) {
		tce_cursor_skip(cursor, height + 1);
		return 0;
	}

	while (!tce_present(tce)) {
		unsigned long slot;

		tce_cursor_skip(cursor, height);
		slot = tce_slot(geo, cursor->index, height);
		if (cursor->index >= cursor->end || !slot || !--scan)
			return 0;
		tce = READ_ONCE(tces[slot]);
	}

	return tce;
}

/*
 * One walk from the first level towards the cursor. Returns the leaf, or NULL
 * after moving the cursor behind the hole or the empty leaf that it met.
 */
static struct tce_level *tce_cursor_walk(struct tce_cursor *cursor)
{
	struct tce_table *table = cursor->table;
	const struct tce_geometry *geo = &table->geo;
	unsigned int height = geo->levels - 1;
	unsigned int shift = height * geo->level_shift;
	unsigned long mask = tce_level_entries(geo) - 1;
	__be64 *tces = table->root;
	struct tce_level *leaf;

	for (; height; height--, shift -= geo->level_shift) {
		__be64 tce = READ_ONCE(tces[(cursor->index >> shift) & mask]);

		if (!tce_present(tce)) {
			tce = tce_cursor_hole(cursor, tces, height);
			if (!tce)
				return NULL;
		}
		tces = tce_to_level(tce);
	}

	leaf = tce_level_of(table, tces);
	if (atomic_read(&leaf->used) > 0)
		return leaf;

	tce_cursor_skip(cursor, 1);

	return NULL;
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

	atomic_long_inc(&table->user_levels);
	/* Zero: all that is set belongs to leaf->owner. */
	old = cmpxchg(&leaf->view, NULL, view);
	if (old) {
		atomic_long_dec(&table->user_levels);
		tce_level_free(table, view);
		return old;
	}

	return view;
}

/* Whether entries of @owner can be set now. The caller has the leaf's lock. */
static bool tce_leaf_take_owner(struct tce_level *leaf, u64 owner)
{
	if (READ_ONCE(leaf->view))
		return true;

	if (!owner || (leaf->owner != owner && (leaf->set || leaf->claims)))
		return false;

	leaf->owner = owner;

	return true;
}

/* Tries to make sure that entries of @owner can be set. */
static bool tce_leaf_try_claim(struct tce_level *leaf, u64 owner)
{
	bool claimed;

	spin_lock(&leaf->lock);
	claimed = tce_leaf_take_owner(leaf, owner);
	leaf->claims += claimed;
	spin_unlock(&leaf->lock);

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
	spin_lock(&leaf->lock);
	leaf->claims--;
	spin_unlock(&leaf->lock);
}

/* Leaves: entries. The caller has the leaf's lock. */

/*
 * How the entries of a leaf are kept. The lock does not keep a view from appearing,
 * but one that appears meanwhile is zero, and so right for what the leaf's owner has.
 */
struct tce_keeping {
	__be64 *tces;
	__be64 *view;
	u64 owner;
	struct tce_backing backing;
};

static struct tce_keeping tce_leaf_keeping(const struct tce_table *table,
					   const struct tce_level *leaf)
{
	lockdep_assert_held(&leaf->lock);

	return (struct tce_keeping) {
		.tces = leaf->tces,
		.view = READ_ONCE(leaf->view),
		.owner = leaf->owner,
		.backing = table->backing,
	};
}

/* Nothing but the leaf knows of the entries. */
static bool tce_keeping_plain(const struct tce_keeping *keeping)
{
	return !keeping->view && !keeping->backing.write;
}

/*
 * Makes an entry @new, with @owner as its word in the view, if there is a view.
 * Fails and changes nothing if the backing refuses. With @plain, which is what
 * tce_keeping_plain() says, a loop needs to ask only once.
 */
static __always_inline int tce_leaf_set(const struct tce_keeping *keeping,
					bool plain, unsigned long index,
					unsigned long slot, __be64 new, u64 owner,
					struct tce_entry *old)
{
	__be64 word = 0;
	int ret;

	if (!plain && keeping->view)
		word = READ_ONCE(keeping->view[slot]);

	old->tce = be64_to_cpu(keeping->tces[slot]);
	old->owner = word ? be64_to_cpu(word) : keeping->owner;
	if (!plain && keeping->backing.write) {
		ret = keeping->backing.write(keeping->backing.data, index,
					     be64_to_cpu(new));
		if (ret)
			return ret;
	}

	WRITE_ONCE(keeping->tces[slot], new);
	if (!plain && keeping->view)
		WRITE_ONCE(keeping->view[slot], cpu_to_be64(owner));

	return 0;
}

/* The table */

struct tce_table *tce_table_create(const struct tce_geometry *geo, int nid,
				   struct tce_charge *charge)
{
	struct tce_table *table;

	table = kzalloc_node(sizeof(*table), TCE_GFP, nid);
	if (!table)
		return ERR_PTR(-ENOMEM);

	table->geo = *geo;
	table->nid = nid;
	table->charge = charge;
	spin_lock_init(&table->lock);
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
		if (!(slot % TCE_TABLE_SCAN))
			cond_resched();
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

/*
 * Swaps one entry of a leaf that is held or found inside an RCU section. Returns
 * H_TOO_HARD if the leaf is dead or has no place for the owner.
 */
static int tce_leaf_exchange(struct tce_table *table, struct tce_level *leaf,
			     unsigned long index, struct tce_entry *entry)
{
	__be64 new = tce_encode(entry->tce, table->backing.write);
	unsigned long slot = tce_slot(&table->geo, index, 0);
	bool set = tce_taken(new), was_set;
	struct tce_keeping keeping;
	struct tce_entry old;
	int ret = 0;

	spin_lock(&leaf->lock);
	was_set = tce_taken(leaf->tces[slot]);
	if (!set && !was_set) {
		entry->owner = 0;
		goto unlock;
	}

	ret = H_TOO_HARD;
	if (set && !tce_leaf_take_owner(leaf, entry->owner))
		goto unlock;
	/* Nothing keeps a leaf alive in which nothing is set yet. */
	if (set && !was_set && !tce_level_hold(leaf))
		goto unlock;

	keeping = tce_leaf_keeping(table, leaf);
	ret = tce_leaf_set(&keeping, false, index, slot, new,
			   set ? entry->owner : 0, &old);
	if (ret) {
		if (set && !was_set)
			tce_level_put(table, leaf, 1);
		goto unlock;
	}

	leaf->set += set - was_set;
	atomic_long_add(set - was_set, &table->used);
	if (was_set && !set)
		tce_level_put(table, leaf, 1);
	*entry = old;
	if (!old.tce)
		entry->owner = 0;
unlock:
	spin_unlock(&leaf->lock);

	return ret;
}

int tce_table_exchange(struct tce_table *table, unsigned long index,
		       struct tce_entry *entry, bool alloc)
{
	u64 hpa = entry->tce & ~TCE_PERM;
	struct tce_level *leaf;
	__be64 *tces;
	int ret;

	if (index >= table->geo.entries ||
	    hpa & (BIT_ULL(table->geo.page_shift) - 1))
		return -EINVAL;

	rcu_read_lock();
	tces = tce_find(table, index);
	if (tces) {
		ret = tce_leaf_exchange(table, tce_level_of(table, tces), index,
					entry);
	} else if (entry->tce) {
		ret = H_TOO_HARD;
	} else {
		entry->owner = 0;
		ret = 0;
	}
	rcu_read_unlock();

	if (ret != H_TOO_HARD || !alloc)
		return ret;

	leaf = tce_leaf_hold(table, index, GFP_NOWAIT);
	if (!leaf)
		return -ENOMEM;

	ret = -ENOMEM;
	if (tce_leaf_claim(table, leaf, entry->owner, GFP_NOWAIT)) {
		ret = tce_leaf_exchange(table, leaf, index, entry);
		tce_leaf_unclaim(leaf);
	}
	tce_level_put(table, leaf, 1);

	return ret;
}

u64 tce_table_get(struct tce_table *table, unsigned long index)
{
	__be64 *tces;
	u64 tce = 0;

	if (index >= table->geo.entries)
		return 0;

	rcu_read_lock();
	tces = tce_find(table, index);
	if (tces)
		tce = be64_to_cpu(READ_ONCE(tces[tce_slot(&table->geo, index, 0)]));
	rcu_read_unlock();

	return tce;
}

struct tce_level *tce_table_reserve(struct tce_table *table,
				    unsigned long index, bool alloc)
{
	gfp_t gfp = alloc ? GFP_NOWAIT : 0;
	struct tce_level *leaf;

	if (index >= table->geo.entries)
		return NULL;

	leaf = tce_leaf_hold(table, index, gfp);
	if (!leaf)
		return NULL;

	if (!tce_leaf_view(table, leaf, gfp)) {
		tce_level_put(table, leaf, 1);
		return NULL;
	}

	return leaf;
}

void tce_table_unreserve(struct tce_table *table, struct tce_level *leaf)
{
	tce_level_put(table, leaf, 1);
}

bool tce_table_change_owner(struct tce_table *table, struct tce_level *leaf,
			    unsigned long index, u64 from, u64 to)
{
	__be64 *word = &leaf->view[tce_slot(&table->geo, index, 0)];
	bool changed;

	spin_lock(&leaf->lock);
	changed = *word == cpu_to_be64(from);
	if (changed)
		WRITE_ONCE(*word, cpu_to_be64(to));
	spin_unlock(&leaf->lock);

	return changed;
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
	int ret;

	if (!tce_range_valid(table, index, count))
		return -EINVAL;

	while (index < end) {
		ret = -EINTR;
		if (fatal_signal_pending(current))
			goto undo;

		ret = -ENOMEM;
		leaf = tce_leaf_hold(table, index, GFP_KERNEL);
		if (!leaf)
			goto undo;

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
		leaf = tce_level_of(table, tce_find(table, index));
		tce_leaf_unclaim(leaf);
		tce_level_put(table, leaf, 1);
		index += tce_leaf_run(&table->geo, index, end);
		cond_resched();
	}
}

/*
 * Sets entries of one leaf, which is held and locked. Counts in @stored how many
 * were set, in @replaced how many of them were set before; fails at the one that
 * cannot be.
 */
static __always_inline int
tce_leaf_store_entries(const struct tce_keeping *keeping, bool plain,
		       unsigned long index, unsigned long slot,
		       const struct tce_entry *new, unsigned int count,
		       unsigned int *stored, struct tce_entry *old,
		       unsigned int *replaced)
{
	bool backed = !plain && keeping->backing.write;
	unsigned int i, n = 0;
	int ret = 0;

	for (i = 0; i < count; i++) {
		struct tce_entry before;

		ret = tce_leaf_set(keeping, plain, index + i, slot + i,
				   tce_encode(new[i].tce, backed), new[i].owner,
				   &before);
		if (ret)
			break;

		if (before.tce)
			old[n++] = before;
	}
	*stored = i;
	*replaced = n;

	return ret;
}

static int tce_leaf_store(struct tce_table *table, struct tce_level *leaf,
			  unsigned long index, const struct tce_entry *new,
			  unsigned int count, unsigned int *stored,
			  struct tce_entry *old, unsigned int *replaced)
{
	unsigned long slot = tce_slot(&table->geo, index, 0);
	struct tce_keeping keeping;
	unsigned int change;
	int ret;

	spin_lock(&leaf->lock);
	keeping = tce_leaf_keeping(table, leaf);
	if (tce_keeping_plain(&keeping))
		ret = tce_leaf_store_entries(&keeping, true, index, slot, new,
					     count, stored, old, replaced);
	else
		ret = tce_leaf_store_entries(&keeping, false, index, slot, new,
					     count, stored, old, replaced);
	change = *stored - *replaced;
	leaf->set += change;
	/* The caller holds the leaf, so this may come last. */
	atomic_add(change, &leaf->used);
	atomic_long_add(change, &table->used);
	spin_unlock(&leaf->lock);

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
		run = min(tce_leaf_run(&table->geo, cursor->index,
				       cursor->index + count - total),
			  TCE_TABLE_SCAN);
		/* Prepared, so it is there and needs no RCU. */
		leaf = tce_level_of(table, tce_find(table, cursor->index));
		ret = tce_leaf_store(table, leaf, cursor->index, new + total,
				     run, &stored, old + replaced, &n);
		cursor->index += stored;
		replaced += n;
	}

	return total ? replaced : ret;
}

int tce_table_store_few(struct tce_cursor *cursor,
			const struct tce_entry *first, unsigned int count,
			struct tce_entry *old)
{
	struct tce_table *table = cursor->table;
	unsigned long slot = tce_slot(&table->geo, cursor->index, 0);
	u64 size = BIT_ULL(table->geo.page_shift), tce = first->tce;
	unsigned int i, replaced = 0;
	struct tce_level *leaf;
	__be64 *tces;
	bool plain;

	if (table->backing.write || slot + count > tce_level_entries(&table->geo))
		return -EAGAIN;

	leaf = tce_find_hold(table, cursor->index);
	if (!leaf)
		return -EAGAIN;

	tces = leaf->tces;
	spin_lock(&leaf->lock);
	/* In this order: a view that comes later finds the leaf's owner right. */
	plain = tce_leaf_take_owner(leaf, first->owner) && !READ_ONCE(leaf->view);
	for (i = 0; plain && i < count; i++, slot++, tce += size) {
		__be64 before = tces[slot];

		WRITE_ONCE(tces[slot], tce_encode(tce, false));
		if (tce_taken(before)) {
			old[replaced].tce = be64_to_cpu(before);
			old[replaced].owner = leaf->owner;
			replaced++;
		}
	}
	leaf->set += i - replaced;
	/* The hold becomes the use of one of the new entries, if there are any. */
	if (i > replaced + 1)
		atomic_add(i - replaced - 1, &leaf->used);
	atomic_long_add(i - replaced, &table->used);
	spin_unlock(&leaf->lock);

	if (i == replaced)
		tce_level_put(table, leaf, 1);
	if (!plain)
		return -EAGAIN;

	cursor->index += count;

	return replaced;
}

/*
 * Clears up to @max entries of one leaf, which is locked, from @slot on, up to
 * @end. @slot moves to where it stopped.
 */
static __always_inline unsigned int
tce_leaf_clear_entries(const struct tce_keeping *keeping, bool plain,
		       unsigned long base, unsigned long *slot, unsigned long end,
		       struct tce_entry *old, unsigned long *first,
		       unsigned long *last, unsigned int max)
{
	unsigned long at = *slot, from = at, to = at;
	unsigned int cleared = 0;

	for (; at < end && cleared < max; at++) {
		if (!tce_taken(keeping->tces[at]))
			continue;

		if (tce_leaf_set(keeping, plain, base + at, at, 0, 0,
				 &old[cleared]))
			continue;

		if (!cleared++)
			from = at;
		to = at;
	}
	*slot = at;
	*first = base + from;
	*last = base + to;

	return cleared;
}

/* A function of its own, so that the plain case needs few registers. */
static noinline unsigned int
tce_leaf_clear_kept(const struct tce_keeping *keeping, unsigned long base,
		    unsigned long *slot, unsigned long end,
		    struct tce_entry *old, unsigned long *first,
		    unsigned long *last, unsigned int max)
{
	return tce_leaf_clear_entries(keeping, false, base, slot, end, old, first,
				      last, max);
}

/* The same, in the leaf of @cursor: moves it on, by TCE_TABLE_SCAN at most. */
static unsigned int tce_leaf_clear(struct tce_cursor *cursor,
				   struct tce_level *leaf, struct tce_entry *old,
				   unsigned long *first, unsigned long *last,
				   unsigned int max)
{
	struct tce_table *table = cursor->table;
	unsigned long slot = tce_slot(&table->geo, cursor->index, 0);
	unsigned long base = cursor->index - slot;
	unsigned long end = slot + tce_leaf_run(&table->geo, cursor->index,
						cursor->end);
	struct tce_keeping keeping;
	unsigned int cleared;

	spin_lock(&leaf->lock);
	keeping = tce_leaf_keeping(table, leaf);
	max = min(max, leaf->set);
	if (tce_keeping_plain(&keeping))
		cleared = tce_leaf_clear_entries(&keeping, true, base, &slot,
						 min(end, slot + TCE_TABLE_SCAN),
						 old, first, last, max);
	else
		cleared = tce_leaf_clear_kept(&keeping, base, &slot,
					      min(end, slot + TCE_TABLE_SCAN),
					      old, first, last, max);
	leaf->set -= cleared;
	/* Nothing more is set here: what is left of the leaf is empty. */
	if (!leaf->set)
		slot = end;
	cursor->index = base + slot;
	tce_level_put(table, leaf, cleared);
	if (cleared)
		atomic_long_sub(cleared, &table->used);
	spin_unlock(&leaf->lock);

	return cleared;
}

unsigned int tce_table_clear(struct tce_cursor *cursor, struct tce_entry *old,
			     unsigned long *first, unsigned long *last,
			     unsigned int max)
{
	unsigned int cleared = 0;
	struct tce_level *leaf;

	rcu_read_lock();
	leaf = tce_cursor_walk(cursor);
	if (leaf)
		cleared = tce_leaf_clear(cursor, leaf, old, first, last, max);
	rcu_read_unlock();

	return cleared;
}

/* Goes on with @extent in a leaf. Returns whether it may go on from @cursor. */
static bool tce_leaf_extend(struct tce_cursor *cursor,
			    const struct tce_level *leaf,
			    struct tce_extent *extent)
{
	const struct tce_geometry *geo = &cursor->table->geo;
	unsigned long slot = tce_slot(geo, cursor->index, 0);
	unsigned long end = slot + min(tce_leaf_run(geo, cursor->index, cursor->end),
				       TCE_TABLE_SCAN);

	for (; slot < end; slot++, cursor->index++) {
		u64 tce = be64_to_cpu(READ_ONCE(leaf->tces[slot]));

		if (!extent->count) {
			if (!tce)
				continue;
			extent->index = cursor->index;
			extent->tce = tce;
		} else if (tce != extent->tce +
				  (extent->count << geo->page_shift)) {
			return false;
		}
		extent->count++;
	}

	return true;
}

bool tce_table_extent(struct tce_cursor *cursor, struct tce_extent *extent)
{
	struct tce_level *leaf;
	unsigned long index;
	bool more;

	extent->count = 0;
	do {
		index = cursor->index;
		rcu_read_lock();
		leaf = tce_cursor_walk(cursor);
		/* A hole ends it. */
		more = !extent->count || cursor->index == index;
		if (more && leaf)
			more = tce_leaf_extend(cursor, leaf, extent);
		rcu_read_unlock();
		cond_resched();
	} while (more && cursor->index < cursor->end);

	return extent->count;
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
			tce_idle_count(table, -1);
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

/* Unlinks up to @max levels that may go, no more than a batch, as a lock is held. */
static unsigned int tce_table_unlink(struct tce_table *table, unsigned int keep,
				     unsigned int max, struct list_head *trimmed)
{
	unsigned int i;

	max = min(max, TCE_TRIM_BATCH);
	spin_lock(&table->lock);
	for (i = 0; i < max && table->idle_levels > keep; i++)
		tce_level_unlink(table,
				 list_last_entry(&table->idle, struct tce_level,
						 idle), trimmed);
	spin_unlock(&table->lock);

	return i;
}

static int tce_level_cmp(void *unused, const struct list_head *a,
			 const struct list_head *b)
{
	unsigned long first = list_entry(a, struct tce_level, idle)->index;
	unsigned long second = list_entry(b, struct tce_level, idle)->index;

	return first < second ? -1 : first > second;
}

/* See tce_table_trim() for what is killed of which level. */
static void tce_kill_trimmed(struct tce_table *table, struct list_head *trimmed,
			     void (*kill)(void *data, unsigned long index,
					  unsigned long count),
			     void *data)
{
	unsigned long first = 0, end = 0;
	struct tce_level *level;

	list_sort(NULL, trimmed, tce_level_cmp);
	list_for_each_entry(level, trimmed, idle) {
		bool leaf = level->depth == table->geo.levels - 1;
		unsigned long count = leaf ? tce_level_entries(&table->geo) : 1;

		/* The last leaf may have more entries than the window. */
		count = min(count, table->geo.entries - level->index);
		if (end && level->index > end) {
			kill(data, first, end - first);
			end = 0;
		}
		if (!end)
			first = level->index;
		end = max(end, level->index + count);
	}
	if (end)
		kill(data, first, end - first);
}

bool tce_table_trim(struct tce_table *table, unsigned int keep,
		    void (*kill)(void *data, unsigned long index,
				 unsigned long count),
		    void *data)
{
	unsigned int left = max(1UL, TCE_TRIM_ENTRIES >> table->geo.level_shift), n;
	struct tce_level *level, *next;
	LIST_HEAD(trimmed);

	do {
		n = tce_table_unlink(table, keep, left, &trimmed);
		left -= n;
		cond_resched();
	} while (n && left);

	if (list_empty(&trimmed))
		return false;

	tce_kill_trimmed(table, &trimmed, kill, data);
	synchronize_rcu();

	list_for_each_entry_safe(level, next, &trimmed, idle) {
		list_del_init(&level->idle);
		tce_level_drop(table, level->tces);
		cond_resched();
	}

	return tce_table_idle(table) > keep;
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
