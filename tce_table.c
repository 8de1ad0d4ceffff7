// SPDX-License-Identifier: GPL-2.0-only
/*
 * A multilevel table of translation control entries (TCE) whose levels are
 * allocated when they are first needed. Contract and format: tce_table.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#include <linux/err.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <asm/hvcall.h>

#include "tce_table.h"
#include "tce_table_private.h"
#include "tce_trace.h"
#include "tce_work.h"

/* Minimum number of entries of a range that are set in a backing by lists. */
#define TCE_LIST_MIN		5

/* There is at most one upper level for this many leaves of a long range. */
#define TCE_UPPER_PART		256

/* The walk */

/*
 * Walk towards the leaf of @index and return the last level that exists. @shift
 * is 0 if that is the leaf. Each entry of the level covers 2^@shift indices.
 */
static __always_inline __be64 *tce_walk(const struct tce_table *table,
					unsigned long index,
					unsigned int *shift)
{
	unsigned int bits = table->geo.level_shift;
	unsigned long mask = tce_level_entries(&table->geo) - 1;
	__be64 *tces = table->root;
	unsigned int at;

	for (at = (table->geo.levels - 1) * bits; at; at -= bits) {
		u64 tce = tce_load(&tces[(index >> at) & mask]);

		if (!(tce & TCE_PERM))
			break;
		tces = __va(tce & ~TCE_PERM);
	}
	*shift = at;

	return tces;
}

/*
 * Return the first entry of a level from @at up to @end that is set, or @end.
 * @at is not beyond @end. Entries of upper levels are read without the lock.
 */
static __always_inline unsigned long
tce_entries_skip(const __be64 *tces, unsigned long at, unsigned long end)
{
	/* Most are empty, and a test for each costs twice as much. */
	while (end - at >= 4 &&
	       !(READ_ONCE(tces[at]) | READ_ONCE(tces[at + 1]) |
		 READ_ONCE(tces[at + 2]) | READ_ONCE(tces[at + 3])))
		at += 4;
	while (at < end && !READ_ONCE(tces[at]))
		at++;

	return at;
}

/*
 * The upper level @tces has no lower level for @index: move @index to the next
 * entry that has one, to the end of the level, or by TCE_TABLE_SCAN entries.
 */
static void tce_walk_next(const struct tce_table *table, const __be64 *tces,
			  unsigned int shift, unsigned long *index)
{
	unsigned long entries = tce_level_entries(&table->geo);
	unsigned long first = (*index >> shift) & (entries - 1);
	unsigned long end = min(first + TCE_TABLE_SCAN, entries);
	unsigned long slot = tce_entries_skip(tces, first + 1, end);

	*index = ((*index >> shift) + slot - first) << shift;
}

/*
 * Find the leaf of @index; NULL if a level is missing. The caller is in an RCU
 * read-side section.
 */
static __always_inline struct tce_level *
tce_leaf_find(const struct tce_table *table, unsigned long index)
{
	unsigned int shift;
	__be64 *tces;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(),
			 "a level may be freed during the walk");
	tces = tce_walk(table, index, &shift);

	return shift ? NULL : tce_level_of(table, tces);
}

static void tce_leaf_put(struct tce_table *table, struct tce_level *leaf)
{
	spin_lock(&leaf->lock);
	leaf->holds--;
	tce_trim_check(table, leaf);
	spin_unlock(&leaf->lock);
}

/* Allocation of levels */

/*
 * Make @owner the owner of the leaf, if that is necessary to store entries of
 * @owner. Return false if the leaf needs a view for them. After this has
 * returned true, entries of @owner can be stored while the leaf is held or has
 * such entries. The caller holds its lock.
 */
static bool tce_leaf_claim(struct tce_level *leaf, u64 owner)
{
	if (leaf->view)
		return true;

	if (!owner || (leaf->owner != owner && (leaf->set || leaf->holds)))
		return false;

	leaf->owner = owner;

	return true;
}

/*
 * Link @spare below @parent, whose lock the caller holds, and set @spare to
 * NULL. Another CPU may have linked a level there before; @spare is not used
 * then.
 */
static void tce_walk_link(struct tce_table *table, struct tce_level *parent,
			  unsigned long index, unsigned int shift,
			  __be64 **spare)
{
	__be64 *slot = &parent->tces[(index >> shift) &
				     (tce_level_entries(&table->geo) - 1)];
	struct tce_level *level = tce_level_of(table, *spare);

	if (tce_present(READ_ONCE(*slot)))
		return;

	level->link = slot;
	level->index = index & ~(BIT(shift) - 1);
	level->depth = parent->depth + 1;
	/*
	 * Raise @set before the level can be found: otherwise tce_cursor_skip()
	 * could take @parent for empty.
	 */
	WRITE_ONCE(parent->set, parent->set + 1);
	/*
	 * Pairs with the address dependency in tce_walk(): a walk that finds
	 * the level must see it zeroed, and its software state complete.
	 */
	smp_store_release(slot, tce_from_level(*spare));
	*spare = NULL;

	spin_lock(&table->lock);
	table->depth_levels[level->depth]++;
	table->levels_added++;
	spin_unlock(&table->lock);
	trace_tce_level_alloc(table->id, level->depth, level->index);
}

static void tce_leaf_add_view(struct tce_table *table, struct tce_level *leaf,
			      __be64 **spare)
{
	/* The view is zeroed, so entries that are set stay leaf->owner's. */
	leaf->view = *spare;
	*spare = NULL;

	spin_lock(&table->lock);
	table->user_levels++;
	spin_unlock(&table->lock);
}

/*
 * Try once to hold the leaf of @index for entries of @owner. If a level or a
 * view is missing, @spare is used for it and set to NULL. Return NULL if the
 * leaf is not held yet.
 */
static __always_inline struct tce_level *
tce_leaf_try_hold(struct tce_table *table, unsigned long index, u64 owner,
		  __be64 **spare)
{
	struct tce_level *level, *held = NULL;
	unsigned int shift;

	rcu_read_lock();
	level = tce_level_of(table, tce_walk(table, index, &shift));
	spin_lock(&level->lock);
	if (level->dead)
		goto unlock;

	if (shift) {
		if (*spare)
			tce_walk_link(table, level, index, shift, spare);
		goto unlock;
	}

	if (!tce_leaf_claim(level, owner)) {
		if (!*spare)
			goto unlock;
		tce_leaf_add_view(table, level, spare);
	}
	level->holds++;
	held = level;
unlock:
	spin_unlock(&level->lock);
	rcu_read_unlock();

	return held;
}

/*
 * A level or a view could not be allocated: queue the last level that exists,
 * which may have been linked for it and be empty.
 */
static void tce_walk_undo(struct tce_table *table, unsigned long index)
{
	struct tce_level *level;
	unsigned int shift;

	rcu_read_lock();
	level = tce_level_of(table, tce_walk(table, index, &shift));
	spin_lock(&level->lock);
	tce_trim_check(table, level);
	spin_unlock(&level->lock);
	rcu_read_unlock();
}

/*
 * Hold the leaf of @index for entries of @owner. Missing levels and views are
 * allocated, unless @gfp is 0, with no lock of the table held and outside the
 * table's own RCU read-side sections. Return NULL if there is no memory.
 */
static noinline struct tce_level *tce_leaf_grow(struct tce_table *table,
						unsigned long index, u64 owner,
						gfp_t gfp,
						struct tce_spares *spares)
{
	struct tce_level *leaf = NULL;
	__be64 *spare = NULL;

	while (!leaf && gfp) {
		if (!spare)
			spare = tce_level_alloc(table, spares,
						gfpflags_allow_blocking(gfp));
		if (!spare) {
			tce_walk_undo(table, index);
			return NULL;
		}
		leaf = tce_leaf_try_hold(table, index, owner, &spare);
		/* Try again first: perhaps nothing else must be allocated. */
		if (!leaf && !spare)
			leaf = tce_leaf_try_hold(table, index, owner, &spare);
	}

	if (spare)
		tce_level_free(table, spare);

	return leaf;
}

static __always_inline struct tce_level *
tce_leaf_hold(struct tce_table *table, unsigned long index, u64 owner,
	      gfp_t gfp, struct tce_spares *spares)
{
	__be64 *spare = NULL;

	return tce_leaf_try_hold(table, index, owner, &spare) ?:
	       tce_leaf_grow(table, index, owner, gfp, spares);
}

/*
 * Entries of a leaf. They change only under the lock of the leaf. The caller
 * holds it, so plain loads would be enough; tce_load() is used where it costs
 * less. Others load entries without the lock, so they are stored by tce_store()
 * or WRITE_ONCE().
 */

static u64 tce_leaf_owner(const struct tce_level *leaf, unsigned long slot)
{
	u64 owner = leaf->view ? tce_load(&leaf->view[slot]) : 0;

	return owner ?: leaf->owner;
}

/* Return the end of the extent that begins at @first, with @tce. */
static __always_inline unsigned long
tce_extent_end(const __be64 *tces, const __be64 *view, unsigned long first,
	       unsigned long end, u64 tce, u64 step)
{
	unsigned long at = first + 1;

	for (; at < end && be64_to_cpu(tces[at]) == (tce += step); at++)
		if (view && view[at] != view[first])
			break;

	return at;
}

/*
 * Find up to @room extents from @slot up to @end. Move @slot past the entries
 * that were visited, and return the number of extents.
 */
static __always_inline unsigned int
tce_leaf_scan(const struct tce_table *table, const struct tce_level *leaf,
	      unsigned long *slot, unsigned long end,
	      struct tce_extent *extents, unsigned int room)
{
	const __be64 *tces = leaf->tces, *view = leaf->view;
	u64 step = BIT_ULL(table->geo.page_shift), tce;
	unsigned long at = *slot, first;
	unsigned int n = 0;

	lockdep_assert_held(&leaf->lock);

	while (at < end) {
		tce = tce_load(&tces[at]);
		if (!tce) {
			at = tce_entries_skip(tces, at + 1, end);
			continue;
		}

		if (n == room)
			break;

		first = at;
		at = view ? tce_extent_end(tces, view, first, end, tce, step) :
			    tce_extent_end(tces, NULL, first, end, tce, step);
		extents->index = leaf->index + first;
		extents->count = at - first;
		extents->tce = tce;
		extents->owner = tce_leaf_owner(leaf, first);
		extents++;
		n++;
	}
	*slot = at;

	return n;
}

/* Entries that a MAP replaces are rare: keep the scan out of its way. */
static noinline unsigned int
tce_leaf_scan_old(const struct tce_table *table, const struct tce_level *leaf,
		  unsigned long *slot, unsigned long end,
		  struct tce_extent *extents, unsigned int room)
{
	return tce_leaf_scan(table, leaf, slot, end, extents, room);
}

/*
 * The compiler may replace plain stores of 0 by a call of memset(), which need
 * not store whole words.
 */
static void tce_fill(__be64 *words, unsigned long count, u64 word)
{
	__be64 be = cpu_to_be64(word);

	while (count--)
		WRITE_ONCE(*words++, be);
}

/* Fill entries for contiguous pages. */
static __always_inline void tce_fill_pages(__be64 *tces, unsigned long count,
					   u64 tce, u64 step)
{
	for (; count; count--, tce += step)
		tce_store(tces++, tce);
}

/*
 * Write the first @count entries of @new to @tces and, if there is a view,
 * their owners to @view.
 */
static __always_inline void
tce_extents_write(const struct tce_table *table, const struct tce_extent *new,
		  unsigned long count, __be64 *tces, __be64 *view)
{
	u64 step = BIT_ULL(table->geo.page_shift);

	for (; count; new++) {
		unsigned long n = min(count, new->count);
		u64 tce = new->tce;

		/* No permission is added in a backing, nor in its shadow. */
		if (!table->ops->set)
			tce = tce_with_read(tce);
		tce_fill_pages(tces, n, tce, step);
		tces += n;
		if (view) {
			tce_fill(view, n, new->owner);
			view += n;
		}
		count -= n;
	}
}

/* Remove the first @count entries from the extents. */
static noinline void tce_batch_split(const struct tce_table *table,
				     struct tce_batch *batch,
				     unsigned long count)
{
	while (count) {
		struct tce_extent *extent = &batch->extent[batch->first];
		unsigned long n = min(count, extent->count);

		extent->count -= n;
		extent->tce += (u64)n << table->geo.page_shift;
		batch->first += !extent->count;
		count -= n;
	}
}

static void tce_batch_skip(const struct tce_table *table,
			   struct tce_batch *batch, unsigned long count)
{
	batch->entries -= count;
	if (batch->entries)
		tce_batch_split(table, batch, count);
	else
		batch->first = batch->count;
}

/* Drop what @n extents have from index @end on. Return what is left of @n. */
static unsigned int tce_extents_cut(struct tce_extent *extents, unsigned int n,
				    unsigned long end)
{
	while (n && extents[n - 1].index >= end)
		n--;
	if (n)
		extents[n - 1].count = min(extents[n - 1].count,
					   end - extents[n - 1].index);

	return n;
}

/*
 * Set @count entries in the backing one by one. Return the number of entries,
 * or the errno of the backing for the first one.
 */
static long tce_leaf_set_singly(const struct tce_table *table,
				unsigned long index, unsigned long count,
				const struct tce_extent *new)
{
	__be64 tces[TCE_SINGLY_MAX] __uninitialized;
	unsigned long n;
	int ret = 0;

	tce_extents_write(table, new, count, tces, NULL);
	for (n = 0; n < count && !ret; n += !ret)
		ret = table->ops->set(table->data, index + n, &tces[n], 1);

	return n ?: ret;
}

/*
 * Set up to @count entries in the backing: if there is a @list and the entry at
 * @index is empty, all up to the next entry that is set, as far as @list has
 * room. Otherwise, at most TCE_SINGLY_MAX, and if there is a @list, none that
 * is empty. On entry, @old has the @olds extents that all @count entries would
 * replace, on return those that were replaced. Return the number of entries, or
 * the errno of the backing: for the first one, or for a list.
 */
static noinline long tce_leaf_set_backing(const struct tce_table *table,
					  unsigned long index,
					  unsigned long count,
					  const struct tce_extent *new,
					  struct tce_extent *old,
					  unsigned int *olds, __be64 *list)
{
	unsigned long next = *olds ? old->index : ULONG_MAX;
	unsigned int i;
	long set;

	if (list && next != index) {
		count = min3(count, TCE_SET_MAX, next - index);
		tce_extents_write(table, new, count, list, NULL);
		set = table->ops->set(table->data, index, list, count) ?:
		      (long)count;
	} else {
		if (list) {
			for (i = 0; i < *olds && old[i].index == next; i++)
				next += old[i].count;
			count = next - index;
		}
		set = tce_leaf_set_singly(table, index, count, new);
	}
	if (set > 0)
		*olds = tce_extents_cut(old, *olds, index + set);

	return set;
}

/*
 * Set up to @count entries of @new from @slot on, as far as @old has @room for
 * the extents that they replace; @olds is the number of these. Return the
 * number of entries, or the errno of the backing: for the first one, or for a
 * list.
 */
static long
tce_leaf_set(struct tce_table *table, struct tce_level *leaf,
	     unsigned long slot, unsigned long count,
	     const struct tce_extent *new, struct tce_extent *old,
	     unsigned int room, unsigned int *olds, __be64 *list)
{
	unsigned int i, set;
	unsigned long end;
	long n;

	lockdep_assert_held(&leaf->lock);

	/*
	 * In a backing, entries that are set are replaced singly; without @list
	 * all are set singly.
	 */
	if (table->ops->set && (!list || leaf->tces[slot]))
		count = min(count, TCE_SINGLY_MAX);
	end = tce_entries_skip(leaf->tces, slot, slot + count);
	*olds = 0;
	if (end != slot + count)
		*olds = tce_leaf_scan_old(table, leaf, &end, slot + count, old,
					  room);
	n = end - slot;
	if (table->ops->set) {
		n = tce_leaf_set_backing(table, leaf->index + slot, n, new, old,
					 olds, list);
		if (n < 0) {
			*olds = 0;
			return n;
		}
	}

	if (*olds)
		tce_unkilled_add(table);
	tce_extents_write(table, new, n, leaf->tces + slot,
			  leaf->view ? leaf->view + slot : NULL);
	set = leaf->set + n;
	for (i = 0; i < *olds; i++)
		set -= old[i].count;
	WRITE_ONCE(leaf->set, set);

	return n;
}

/*
 * Clear the entries that are set from @slot up to @end, up to @room extents.
 * Move @slot past the entries that were visited. Return 0, or the errno of the
 * backing: nothing was changed in the leaf then, and @slot is at the first
 * entry that is set. On entry @old is empty.
 */
static int tce_leaf_clear(struct tce_table *table, struct tce_level *leaf,
			  unsigned long *slot, unsigned long end,
			  unsigned int room, struct tce_batch *old)
{
	const struct tce_extent *first = old->extent, *last;
	unsigned long at, count, entries = 0;
	unsigned int i;
	int ret;

	lockdep_assert_held(&leaf->lock);

	old->count = tce_leaf_scan(table, leaf, slot, end, old->extent, room);
	if (!old->count)
		return 0;

	last = &first[old->count - 1];
	at = first->index - leaf->index;
	count = last->index + last->count - first->index;
	if (table->ops->clear) {
		ret = table->ops->clear(table->data, first->index, count);
		if (ret) {
			*slot = at;
			old->count = 0;
			return ret;
		}
	}

	tce_unkilled_add(table);
	tce_fill(leaf->tces + at, count, 0);
	if (leaf->view)
		tce_fill(leaf->view + at, count, 0);
	for (i = 0; i < old->count; i++)
		entries += first[i].count;
	old->entries = entries;
	/*
	 * Another task that reads only @set (tce_table_clear()), and finds it
	 * 0, may kill the entries: they must be cleared by then. Pairs with the
	 * barriers in tce_table_unkilled() and tce_kill_once().
	 */
	smp_store_release(&leaf->set, leaf->set - entries);
	tce_trim_check(table, leaf);

	return 0;
}

/* The table */

struct tce_table *tce_table_create(const struct tce_geometry *geo, int nid,
				   struct tce_charge *charge,
				   const struct tce_table_ops *ops, void *data,
				   struct tce_spares *spares)
{
	static atomic_t last = ATOMIC_INIT(-1);
	struct tce_table *table;

	table = kzalloc_node(sizeof(*table), TCE_GFP_FIXED, nid);
	if (!table)
		return ERR_PTR(-ENOMEM);

	table->id = atomic_inc_return(&last);
	table->geo = *geo;
	table->nid = nid;
	table->charge = charge;
	table->ops = ops;
	table->data = data;
	spin_lock_init(&table->lock);
	INIT_LIST_HEAD(&table->partial);
	INIT_LIST_HEAD(&table->idle);
	mutex_init(&table->trim_lock);

	table->root = tce_level_alloc(table, spares, true);
	if (!table->root) {
		kfree(table);
		return ERR_PTR(-ENOMEM);
	}
	table->depth_levels[0] = 1;
	table->levels_added = 1;

	return table;
}

void tce_table_destroy(struct tce_table *table)
{
	struct tce_level *level, *root = tce_level_of(table, table->root);
	unsigned long index = 0;
	unsigned int shift;
	__be64 *tces;

	/*
	 * Free each level once it has no lower level. The next walk for the
	 * same @index ends in the level above, whose entry is now empty;
	 * tce_walk_next() moves on from there.
	 */
	for (;;) {
		cond_resched();
		tces = tce_walk(table, index, &shift);
		level = tce_level_of(table, tces);
		if (shift && level->set) {
			tce_walk_next(table, tces, shift, &index);
			continue;
		}
		if (level == root)
			break;

		WRITE_ONCE(*level->link, 0);
		tce_level_parent(table, level)->set--;
		tce_level_destroy(table, level);
	}

	tce_level_destroy(table, root);
	WARN_ON_ONCE(table->page_bytes);
	kfree(table);
}

unsigned int tce_table_id(const struct tce_table *table)
{
	return table->id;
}

const struct tce_geometry *tce_table_geometry(const struct tce_table *table)
{
	return &table->geo;
}

void *tce_table_root(const struct tce_table *table)
{
	return table->root;
}

/* Set or clear one entry of the backing, before the entry of the leaf. */
static noinline int tce_leaf_swap_backing(const struct tce_table *table,
					  const struct tce_level *leaf,
					  unsigned long index,
					  const struct tce_entry *entry)
{
	__be64 word = cpu_to_be64(entry->tce);

	if (word)
		return table->ops->set(table->data, index, &word, 1);

	return leaf->tces[tce_slot(&table->geo, index, 0)] ?
	       table->ops->clear(table->data, index, 1) : 0;
}

/*
 * Exchange an entry of a leaf, whose lock the caller holds. @slot is the slot
 * of @index.
 */
static __always_inline int
tce_leaf_swap(struct tce_table *table, struct tce_level *leaf,
	      unsigned long index, unsigned long slot, struct tce_entry *entry)
{
	u64 tce, new, owner;
	int ret;

	if (entry->tce && !tce_leaf_claim(leaf, entry->owner))
		return H_TOO_HARD;

	/* No permission is added in a backing, nor in its shadow. */
	if (table->ops->set) {
		ret = tce_leaf_swap_backing(table, leaf, index, entry);
		if (ret)
			return ret;
		new = entry->tce;
	} else {
		new = tce_with_read(entry->tce);
	}

	owner = entry->owner;
	tce = be64_to_cpu(leaf->tces[slot]);
	entry->tce = tce;
	entry->owner = tce ? tce_leaf_owner(leaf, slot) : 0;
	if (tce)
		tce_unkilled_add(table);
	tce_store(&leaf->tces[slot], new);
	if (leaf->view)
		leaf->view[slot] = cpu_to_be64(owner);
	/* See tce_leaf_clear(). */
	smp_store_release(&leaf->set, leaf->set + !!new - !!tce);
	if (!new && tce)
		tce_trim_check(table, leaf);

	return 0;
}

/* Exchange an entry for which a level or a view must be allocated. */
static noinline int tce_exchange_alloc(struct tce_table *table,
				       unsigned long index,
				       struct tce_entry *entry)
{
	struct tce_level *leaf;
	int ret;

	leaf = tce_leaf_hold(table, index, entry->owner, GFP_NOWAIT, NULL);
	if (!leaf)
		return -ENOMEM;

	spin_lock(&leaf->lock);
	ret = tce_leaf_swap(table, leaf, index,
			    tce_slot(&table->geo, index, 0), entry);
	leaf->holds--;
	tce_trim_check(table, leaf);
	spin_unlock(&leaf->lock);

	return ret;
}

/*
 * Try once to exchange an entry. Return 0; H_TOO_HARD if there is no leaf, or
 * no view for the owner; -EAGAIN if the leaf was unlinked before its lock was
 * taken: a new walk does not find it; or the errno of the backing.
 */
static __always_inline int tce_exchange_once(struct tce_table *table,
					     unsigned long index,
					     struct tce_entry *entry)
{
	unsigned long slot = tce_slot(&table->geo, index, 0);
	struct tce_level *leaf;
	int ret;

	rcu_read_lock();
	leaf = tce_leaf_find(table, index);
	/*
	 * The entry is empty. If it is being set concurrently, this clear comes
	 * first.
	 */
	if (!entry->tce && (!leaf || !READ_ONCE(leaf->tces[slot]))) {
		ret = 0;
	} else if (!leaf) {
		ret = H_TOO_HARD;
	} else {
		spin_lock(&leaf->lock);
		ret = unlikely(leaf->dead) ? -EAGAIN :
		      tce_leaf_swap(table, leaf, index, slot, entry);
		spin_unlock(&leaf->lock);
	}
	rcu_read_unlock();

	return ret;
}

/*
 * Try again while the leaf is unlinked, and allocate a leaf or view that is
 * missing if @alloc is true. @ret is the result of the first attempt.
 */
static noinline int tce_exchange_retry(struct tce_table *table,
				       unsigned long index,
				       struct tce_entry *entry, bool alloc,
				       int ret)
{
	while (ret == -EAGAIN)
		ret = tce_exchange_once(table, index, entry);

	return ret == H_TOO_HARD && alloc ?
	       tce_exchange_alloc(table, index, entry) : ret;
}

int tce_table_exchange(struct tce_table *table, unsigned long index,
		       struct tce_entry *entry, bool alloc)
{
	int ret;

	if (index >= table->geo.entries ||
	    entry->tce & (BIT_ULL(table->geo.page_shift) - 1) & ~TCE_PERM)
		return -EINVAL;

	/* An entry that is cleared has no owner in a view, either. */
	if (!entry->tce)
		entry->owner = 0;

	ret = tce_exchange_once(table, index, entry);
	if (unlikely(ret == -EAGAIN || (ret == H_TOO_HARD && alloc)))
		ret = tce_exchange_retry(table, index, entry, alloc, ret);

	return ret;
}

u64 tce_table_get(struct tce_table *table, unsigned long index)
{
	unsigned long slot = tce_slot(&table->geo, index, 0);
	const struct tce_level *leaf;
	u64 tce = 0;

	if (index >= table->geo.entries)
		return 0;

	rcu_read_lock();
	leaf = tce_leaf_find(table, index);
	if (leaf)
		tce = be64_to_cpu(READ_ONCE(leaf->tces[slot]));
	rcu_read_unlock();

	return tce;
}

/* Ranges */

/* Number of entries from @index up to @end that are in the leaf of @index. */
static unsigned long tce_leaf_part(const struct tce_geometry *geo,
				   unsigned long index, unsigned long end)
{
	return min(end - index,
		   tce_level_entries(geo) - tce_slot(geo, index, 0));
}

/*
 * Allocate an array for more than TCE_RANGE_FEW leaves, and a list for the
 * backing. Without a list, entries are set one by one: for a few of them this
 * costs less than the allocation.
 */
static int tce_range_alloc(struct tce_range *range, unsigned long leaves)
{
	if (leaves > TCE_RANGE_FEW)
		range->all = kvmalloc_array(leaves, sizeof(*range->all),
					    TCE_GFP_FIXED);
	/* kmalloc() aligns a size that is a power of two. */
	if (range->table->ops->lists &&
	    range->end - range->index >= TCE_LIST_MIN)
		range->list = kmalloc_array(TCE_SET_MAX, sizeof(*range->list),
					    TCE_GFP_FIXED);

	return range->all ? 0 : -ENOMEM;
}

/* Note how many blocks the leaves from @index on need at most. */
static void tce_range_want(const struct tce_range *range, unsigned long index,
			   u64 owner)
{
	const struct tce_geometry *geo = &range->table->geo;
	unsigned long levels = ((range->end - 1) >> geo->level_shift) -
			       (index >> geo->level_shift) + 1;

	if (!range->spares || !range->spares->missing)
		return;

	/*
	 * Leaves may need a view. Upper levels are few, but two leaves may need
	 * two of each depth.
	 */
	if (owner == TCE_OWNER_EACH)
		levels *= 2;
	levels += levels / TCE_UPPER_PART + 2 * geo->levels;
	range->spares->wanted = DIV_ROUND_UP(levels, range->spares->places);
}

int tce_table_prepare(struct tce_table *table, struct tce_range *range,
		      u64 owner, gfp_t gfp)
{
	unsigned long index = range->index, last = range->end - 1, leaves;
	unsigned int shift = table->geo.level_shift;
	bool sleeps = gfpflags_allow_blocking(gfp);
	struct tce_level *leaf;
	int ret = 0;

	if (last >= table->geo.entries || index > last)
		return -EINVAL;

	leaves = (last >> shift) - (index >> shift) + 1;
	range->table = table;
	range->leaves = 0;
	range->list = NULL;
	range->all = range->few;
	if (sleeps && index != last)
		ret = tce_range_alloc(range, leaves);
	else if (leaves > TCE_RANGE_FEW)
		ret = -ENOMEM;
	range->leaf = range->all;
	while (!ret) {
		leaf = tce_leaf_hold(table, index, owner, gfp, range->spares);
		if (!leaf) {
			tce_range_want(range, index, owner);
			ret = -ENOMEM;
			break;
		}

		range->all[range->leaves++] = leaf;
		index = (index | (tce_level_entries(&table->geo) - 1)) + 1;
		if (index > last)
			return 0;

		if (sleeps) {
			cond_resched();
			if (fatal_signal_pending(current))
				ret = -EINTR;
		}
	}

	tce_table_finish(range);

	return ret;
}

int tce_table_store(struct tce_range *range, struct tce_batch *new,
		    struct tce_batch *old)
{
	struct tce_table *table = range->table;
	const struct tce_geometry *geo = &table->geo;
	unsigned long slot = tce_slot(geo, range->index, 0);
	struct tce_level *leaf = *range->leaf;
	unsigned long count = min3(tce_leaf_part(geo, range->index, range->end),
				   new->entries, TCE_TABLE_SCAN);
	long ret;

	spin_lock(&leaf->lock);
	old->first = 0;
	ret = tce_leaf_set(table, leaf, slot, count, &new->extent[new->first],
			   old->extent, TCE_BATCH, &old->count, range->list);
	if (ret > 0) {
		tce_batch_skip(table, new, ret);
		range->index += ret;
		/*
		 * From here on the entries that are set keep the leaf in use.
		 */
		if (range->index == range->end ||
		    !tce_slot(geo, range->index, 0)) {
			leaf->holds--;
			range->leaf++;
			range->leaves--;
		}
	}
	spin_unlock(&leaf->lock);

	/*
	 * It may have been a list, of which the backing does not say which
	 * entry it refused: set entries one by one from here on.
	 */
	if (ret < 0 && range->list) {
		kfree(range->list);
		range->list = NULL;
		ret = 0;
	}

	return min(ret, 0);
}

void tce_table_finish(struct tce_range *range)
{
	for (; range->leaves; range->leaves--) {
		tce_leaf_put(range->table, *range->leaf++);
		if (range->all != range->few)
			cond_resched();
	}
	if (range->all != range->few)
		kvfree(range->all);
	kfree(range->list);
}

/* Move @cursor past the hole that it is in, or past its leaf if @shift is 0. */
static void tce_cursor_skip(struct tce_cursor *cursor, const __be64 *tces,
			    unsigned int shift)
{
	const struct tce_table *table = cursor->table;

	/* If nothing is set in the level, skip the whole level. */
	if (!shift || !READ_ONCE(tce_level_of(table, tces)->set)) {
		shift += table->geo.level_shift;
		cursor->index = ((cursor->index >> shift) + 1) << shift;
	} else {
		tce_walk_next(table, tces, shift, &cursor->index);
	}
}

/*
 * The backing refused to clear several entries at once and may have cleared
 * some. From here on each call of tce_table_clear() clears one entry, or skips
 * it if the backing refuses.
 */
static noinline void tce_leaf_clear_single(struct tce_cursor *cursor,
					   struct tce_level *leaf,
					   unsigned long *slot,
					   struct tce_batch *old)
{
	cursor->single = true;
	if (tce_leaf_clear(cursor->table, leaf, slot, *slot + 1, 1, old))
		++*slot;
}

void tce_table_killed(struct tce_table *table, unsigned int count)
{
	/* The kill comes first, as other CPUs see it. */
	smp_mb__before_atomic();
	atomic_sub(count, &table->unkilled);
}

unsigned int tce_table_unkilled(const struct tce_table *table)
{
	/*
	 * Pairs with the barrier in tce_unkilled_add(): the caller has found an
	 * entry empty that was cleared after @unkilled was raised.
	 */
	smp_rmb();

	return atomic_read(&table->unkilled);
}

void tce_table_clear(struct tce_cursor *cursor, struct tce_batch *old)
{
	struct tce_table *table = cursor->table;
	unsigned long slot = tce_slot(&table->geo, cursor->index, 0), end;
	struct tce_level *leaf;
	unsigned int shift;
	__be64 *tces;

	old->first = 0;
	old->count = 0;
	old->entries = 0;
	rcu_read_lock();
	tces = tce_walk(table, cursor->index, &shift);
	leaf = tce_level_of(table, tces);
	cursor->hole = shift;
	if (shift || !READ_ONCE(leaf->set)) {
		tce_cursor_skip(cursor, tces, shift);
		goto unlock;
	}

	spin_lock(&leaf->lock);
	end = slot + min(tce_leaf_part(&table->geo, cursor->index, cursor->end),
			 TCE_TABLE_SCAN);
	if (cursor->single ||
	    tce_leaf_clear(table, leaf, &slot, end,
			   cursor->max_extents ?: TCE_BATCH, old))
		tce_leaf_clear_single(cursor, leaf, &slot, old);
	if (leaf->set)
		cursor->index = leaf->index + slot;
	else
		tce_cursor_skip(cursor, tces, 0);
	spin_unlock(&leaf->lock);
unlock:
	rcu_read_unlock();
}

/*
 * Find one extent in the leaf of @cursor, or move @cursor past the empty
 * entries or the hole that it is in. Return whether an extent was found.
 */
static bool tce_cursor_scan(struct tce_cursor *cursor,
			    struct tce_extent *extent)
{
	struct tce_table *table = cursor->table;
	unsigned long slot = tce_slot(&table->geo, cursor->index, 0), end;
	struct tce_level *leaf;
	unsigned int shift, n = 0;
	__be64 *tces;

	rcu_read_lock();
	tces = tce_walk(table, cursor->index, &shift);
	leaf = tce_level_of(table, tces);
	if (shift || !READ_ONCE(leaf->set)) {
		tce_cursor_skip(cursor, tces, shift);
	} else {
		end = slot + min(tce_leaf_part(&table->geo, cursor->index,
					       cursor->end), TCE_TABLE_SCAN);
		spin_lock(&leaf->lock);
		n = tce_leaf_scan(table, leaf, &slot, end, extent, 1);
		spin_unlock(&leaf->lock);
		cursor->index = leaf->index + slot;
	}
	rcu_read_unlock();

	return n;
}

bool tce_table_extent(struct tce_cursor *cursor, struct tce_extent *extent)
{
	unsigned int page_shift = cursor->table->geo.page_shift;
	struct tce_cursor ahead = *cursor;
	struct tce_extent more;
	u64 next;

	extent->count = 0;
	while (ahead.index < ahead.end) {
		cond_resched();
		next = extent->tce + (extent->count << page_shift);
		if (!tce_cursor_scan(&ahead, &more)) {
			/* Empty entries or a hole end the extent. */
			if (extent->count)
				break;
		} else if (!extent->count) {
			*extent = more;
		} else if (more.owner == extent->owner &&
			   more.index == extent->index + extent->count &&
			   more.tce == next) {
			extent->count += more.count;
		} else {
			break;
		}
		*cursor = ahead;
	}
	if (!extent->count)
		*cursor = ahead;

	return extent->count;
}

void tce_table_stats(struct tce_table *table, struct tce_table_stats *stats)
{
	struct tce_cursor cursor = {
		.table = table,
		.end = table->geo.entries,
	};
	unsigned long bytes = tce_level_bytes(&table->geo);
	struct tce_level *level;
	unsigned int i, shift;
	__be64 *tces;

	memset(stats, 0, sizeof(*stats));
	spin_lock(&table->lock);
	for (i = 0; i < table->geo.levels; i++) {
		stats->depth[i].levels = table->depth_levels[i];
		stats->depth[i].bytes = stats->depth[i].levels * bytes;
		stats->hw_bytes += stats->depth[i].bytes;
	}
	stats->user_levels = table->user_levels;
	stats->user_bytes = stats->user_levels * bytes;
	stats->page_bytes = table->page_bytes;
	stats->meta_bytes = table->meta_bytes + sizeof(*table);
	stats->idle = table->idle_levels;
	stats->levels_added = table->levels_added;
	stats->levels_removed = table->levels_removed;
	spin_unlock(&table->lock);
	stats->whole_bytes = tce_geometry_whole_bytes(&table->geo);

	while (cursor.index < cursor.end) {
		rcu_read_lock();
		tces = tce_walk(table, cursor.index, &shift);
		level = tce_level_of(table, tces);
		if (!shift)
			stats->set += READ_ONCE(level->set);
		tce_cursor_skip(&cursor, tces, shift);
		rcu_read_unlock();
		cond_resched();
	}
}
