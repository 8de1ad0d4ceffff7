// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of concurrent operations on a TCE table.
 */

#include <kunit/test.h>

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/processor.h>
#include <linux/sched.h>

#include "fixture.h"
#include "tce_table.h"
#include "threads.h"

#define CONSERVED	16

/*
 * Number of tables between two barriers. A barrier takes long if the host does
 * not run all CPUs at the same time.
 */
#define TABLES		50

/* Long enough for another CPU to arrive. If none does the test continues. */
#define MEETING_SPINS	20000

/*
 * Limit of the random delay afterwards, which varies the order of the threads.
 */
#define PARTING_SPINS	256

/**
 * struct race - threads and the tables that they use
 * @test: the test
 * @shape: requested shape of the tables
 * @geo: their geometry
 * @table: the table or tables
 * @threads: number of threads
 * @body: the function that each thread runs
 * @rounds: number of rounds, or of tables
 * @base: first index that is used
 * @arrived: number of threads at the barrier
 * @passed: how often the barrier has been passed
 * @here: number of threads that have arrived at each table
 * @stop: no more rounds
 * @lost: allocations that were freed because another thread had linked the
 *        level
 * @put: values that were set, one bit each
 * @seen: values that were returned, one bit each
 * @backing: entries of the backing
 * @writers: number of threads that write an entry of the backing now
 * @no_owner: whether the owner of entries is TCE_OWNER_NONE
 * @wrong: number of errors, such as a value that was returned twice
 */
struct race {
	struct kunit *test;
	const struct shape *shape;
	struct tce_geometry geo;
	struct tce_table *table[TABLES];
	unsigned int threads;
	void (*body)(struct race *race, unsigned int me);
	unsigned int rounds;
	unsigned long base;
	atomic_t arrived;
	atomic_t passed;
	atomic_t here[TABLES];
	bool stop;
	unsigned long lost;
	unsigned long *put;
	unsigned long *seen;
	u64 backing[CONSERVED];
	atomic_t writers[CONSERVED];
	bool no_owner;
	atomic_t wrong;
};

/* Threads */

static void race_barrier(struct race *race)
{
	int passed = atomic_read(&race->passed);

	if (atomic_inc_return(&race->arrived) == race->threads) {
		atomic_set(&race->arrived, 0);
		atomic_inc_return(&race->passed);
		return;
	}

	while (atomic_read_acquire(&race->passed) == passed) {
		cpu_relax();
		cond_resched();
	}
}

/* Makes the threads begin with a table at about the same time. */
static void race_meet(struct race *race, unsigned int table, u32 salt)
{
	int all = min(race->threads, num_online_cpus());
	int spins;

	atomic_inc(&race->here[table]);
	for (spins = 0; spins < MEETING_SPINS; spins++)
		if (atomic_read(&race->here[table]) >= all)
			break;

	for (spins = hash_32(salt, ilog2(PARTING_SPINS)); spins; spins--)
		barrier();
}

static struct race *race_new(struct kunit *test, const struct shape *shape,
			     unsigned int threads)
{
	struct race *race = kunit_kzalloc(test, sizeof(*race), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, race);
	race->test = test;
	race->shape = shape;
	race->threads = threads;
	KUNIT_ASSERT_EQ(test, 0,
			tce_geometry_init(&race->geo, shape->page_shift,
					  shape->entries, shape->levels));

	return race;
}

static void race_run(void *data, unsigned int me)
{
	struct race *race = data;

	race->body(race, me);
}

static void race_start(struct race *race,
		       void (*body)(struct race *race, unsigned int me))
{
	race->body = body;
	threads_run(race->test, race->threads, race_run, race);
}

/* Adjacent entries in missing levels: one thread links each level */

static unsigned long race_hpa(struct race *race, unsigned long number)
{
	return (number + 1) << race->shape->page_shift;
}

static u64 race_owner(unsigned long number)
{
	return (number + 1) << PAGE_SHIFT;
}

/* Creates the tables of a round. */
static void tables_begin(struct race *race)
{
	struct fixture *fixture = race->test->priv;
	unsigned int i;

	/* Stop at the first failure; each further round would repeat it. */
	if (READ_ONCE(race->test->status) == KUNIT_FAILURE)
		race->stop = true;

	for (i = 0; !race->stop && i < TABLES; i++) {
		atomic_set(&race->here[i], 0);
		race->table[i] = table_create(race->test, &race->geo, NULL);
		if (!IS_ERR(race->table[i]))
			continue;
		KUNIT_FAIL(race->test, "cannot create a table");
		race->stop = true;
	}
	atomic_set(&fixture->met, 0);
	if (!race->stop)
		race->lost -= atomic_long_read(&fixture->freed);
}

static void tables_end(struct race *race)
{
	struct fixture *fixture = race->test->priv;
	unsigned long bytes = 0;
	unsigned int i, j;

	race->lost += atomic_long_read(&fixture->freed);

	for (i = 0; i < TABLES; i++) {
		for (j = 0; j < race->threads; j++)
			if (tce_table_get(race->table[i], race->base + j) !=
			    (race_hpa(race, j) | READ_WRITE) ||
			    owner_at(race->test, race->table[i],
				     race->base + j) !=
			    (race->no_owner ? TCE_OWNER_NONE : race_owner(j)))
				KUNIT_FAIL(race->test, "entry %u", j);
		bytes += expect_levels(race->test, race->table[i],
				       race->threads);
	}
	KUNIT_EXPECT_EQ(race->test, bytes, fixture_bytes(race->test));

	for (i = 0; i < TABLES; i++)
		tce_table_destroy(race->table[i]);
	KUNIT_EXPECT_EQ(race->test, fixture_blocks(race->test), 0);
}

static void insert_by_exchange(struct race *race, struct tce_table *table,
			       unsigned int me)
{
	struct tce_entry entry = {
		.tce = race_hpa(race, me) | READ_WRITE,
		.owner = race->no_owner ? TCE_OWNER_NONE : race_owner(me),
	};
	int ret = tce_table_exchange(table, race->base + me, &entry, true);

	if (ret || entry.tce || entry.owner)
		KUNIT_FAIL(race->test, "thread %u: %d", me, ret);
}

static void insert_by_store_for(struct race *race, struct tce_table *table,
				unsigned int me, u64 owner)
{
	struct tce_range range = {
		.index = race->base + me, .end = race->base + me + 1,
	};
	struct tce_entry new = {
		.tce = race_hpa(race, me) | WRITE_ONLY, .owner = race_owner(me),
	};
	struct tce_batch batch, old;

	if (tce_table_prepare(table, &range, owner, GFP_KERNEL)) {
		KUNIT_FAIL(race->test, "thread %u", me);
		return;
	}
	batch_fill(&batch, race->shape->page_shift, &new, 1);
	if (tce_table_store(&range, &batch, &old) || old.count ||
	    range.index != range.end)
		KUNIT_FAIL(race->test, "thread %u", me);
	tce_table_finish(&range);
}

/* The leaf has a view from the start. */
static void insert_by_store(struct race *race, struct tce_table *table,
			    unsigned int me)
{
	insert_by_store_for(race, table, me, TCE_OWNER_EACH);
}

/* The leaf gets a view with its second owner. */
static void insert_for_owner(struct race *race, struct tce_table *table,
			     unsigned int me)
{
	insert_by_store_for(race, table, me, race_owner(me));
}

static void insert_held(struct race *race, struct tce_table *table,
			unsigned int me)
{
	struct tce_entry entry = {
		.tce = race_hpa(race, me) | READ_WRITE,
		.owner = race_owner(me),
	};
	struct tce_range range;
	int ret;

	if (table_hold(table, &range, race->base + me, GFP_NOWAIT)) {
		KUNIT_FAIL(race->test, "thread %u", me);
		return;
	}
	ret = tce_table_exchange(table, race->base + me, &entry, false);
	if (ret || entry.tce || entry.owner)
		KUNIT_FAIL(race->test, "thread %u: %d", me, ret);
	tce_table_finish(&range);
}

/*
 * A thread must find the entry that it has set by a search from the start of
 * the table, even if another thread is just linking an upper level.
 */
static void insert_and_find(struct race *race, struct tce_table *table,
			    unsigned int me)
{
	unsigned long index = race->base + me;
	struct tce_cursor cursor = { .table = table, .end = index + 1 };
	struct tce_extent extent;

	insert_by_exchange(race, table, me);
	while (tce_table_extent(&cursor, &extent))
		if (index >= extent.index &&
		    index - extent.index < extent.count)
			return;
	KUNIT_FAIL(race->test, "thread %u", me);
}

static void insert_rounds(struct race *race, unsigned int me,
			  void (*insert)(struct race *race,
					 struct tce_table *table,
					 unsigned int me))
{
	unsigned int round, i;

	for (round = 0; round < race->rounds; round += TABLES) {
		if (!me)
			tables_begin(race);
		race_barrier(race);
		if (race->stop)
			break;

		for (i = 0; i < TABLES; i++) {
			struct tce_table *table = race->table[i];

			race_meet(race, i, (round + i) * race->threads + me);
			insert(race, table, me);
			if (tce_table_get(table, race->base + me) !=
			    (race_hpa(race, me) | READ_WRITE))
				KUNIT_FAIL(race->test, "thread %u", me);
		}
		race_barrier(race);
		if (!me)
			tables_end(race);
	}
}

static void exchanges(struct race *race, unsigned int me)
{
	insert_rounds(race, me, insert_by_exchange);
}

static void stores(struct race *race, unsigned int me)
{
	insert_rounds(race, me, insert_by_store);
}

static void holds(struct race *race, unsigned int me)
{
	insert_rounds(race, me, insert_held);
}

static void finds(struct race *race, unsigned int me)
{
	insert_rounds(race, me, insert_and_find);
}

static void owners(struct race *race, unsigned int me)
{
	insert_rounds(race, me, insert_for_owner);
}

/* MAP_DMA and hypercalls at the same time. */
static void mixture(struct race *race, unsigned int me)
{
	insert_rounds(race, me, me & 1 ? insert_by_store : insert_held);
}

static void race_to_insert(struct kunit *test, unsigned int rounds,
			   bool no_owner,
			   void (*body)(struct race *race, unsigned int me))
{
	const struct shape *shape = shape_of(test);
	bool large = 8UL << shape_level_bits(shape) >= PAGE_SIZE;
	struct fixture *fixture = test->priv;
	unsigned int threads;

	for (threads = 2; threads <= THREADS_MOST; threads++) {
		struct race *race = race_new(test, shape, threads);

		race->no_owner = no_owner;
		/*
		 * No more threads can meet than there are CPUs, but they can
		 * preempt each other.
		 */
		if (large)
			fixture->meet = min(threads, num_online_cpus());
		race->rounds = threads == 2 ? rounds : rounds / 4;
		/* Rounds with small levels are short. */
		if (!large)
			race->rounds *= 5;
		race->rounds = threads_rounds(threads, race->rounds);
		race->base = shape->entries / 3;
		race_start(race, body);
		fixture->meet = 0;

		kunit_info(test, "%u threads: %lu allocations lost the race",
			   threads, race->lost);
		/*
		 * Both threads allocate the missing leaf, and one of them loses
		 * the race. Not checked for entries with owners: there, its
		 * allocation may become the view of the leaf.
		 */
		if (threads == 2 && shape->levels == 2 && no_owner &&
		    num_online_cpus() > 1)
			KUNIT_EXPECT_GT(test, race->lost, 0);
	}
}

static void concurrent_exchange(struct kunit *test)
{
	race_to_insert(test, 4000, true, exchanges);
}

/* A leaf with entries of two owners needs a view. */
static void concurrent_exchange_of_owners(struct kunit *test)
{
	race_to_insert(test, 1000, false, exchanges);
}

static void concurrent_store(struct kunit *test)
{
	race_to_insert(test, 1000, false, stores);
}

static void concurrent_hold(struct kunit *test)
{
	race_to_insert(test, 1000, false, holds);
}

static void concurrent_store_of_owners(struct kunit *test)
{
	race_to_insert(test, 1000, false, owners);
}

static void concurrent_exchange_and_find(struct kunit *test)
{
	race_to_insert(test, 1000, true, finds);
}

static void concurrent_store_and_hold(struct kunit *test)
{
	race_to_insert(test, 1000, false, mixture);
}

/* Levels of a kernel page, each of them one allocation, and levels of 4 KiB. */
static const struct shape insert_shapes[] = {
	{ .page_shift = 12, .levels = 2, .entries = BIT(2 * (PAGE_SHIFT - 3)) },
	{ .page_shift = 12, .levels = 4, .entries = BIT(36) },
};

KUNIT_ARRAY_PARAM(insert, insert_shapes, shape_describe);

/* Conservation: each value that is set is returned exactly once */

/* Records a value that was returned, with its owner. */
static void conserve_take(struct race *race, u64 tce, u64 owner)
{
	unsigned long number = (tce >> race->shape->page_shift) - 1;

	if (test_and_set_bit(number, race->seen))
		atomic_inc(&race->wrong);
	if (owner != race_owner(number))
		atomic_inc(&race->wrong);
}

static unsigned long conserve_numbers(struct race *race)
{
	return (unsigned long)race->threads * race->rounds * CONSERVED;
}

static void conserve_exchange(struct race *race, unsigned long index,
			      unsigned long number, bool set)
{
	struct tce_entry entry = { .tce = 0 };

	if (set) {
		entry.tce = race_hpa(race, number) | READ_WRITE;
		entry.owner = race_owner(number);
		set_bit(number, race->put);
	}
	if (tce_table_exchange(race->table[0], index, &entry, true))
		atomic_inc(&race->wrong);
	if (entry.tce)
		conserve_take(race, entry.tce, entry.owner);
	else if (entry.owner)
		atomic_inc(&race->wrong);
}

static void conserve_old(struct race *race, struct tce_batch *old)
{
	struct found found;

	while (batch_take(old, race->shape->page_shift, &found)) {
		if (found.index < race->base ||
		    found.index >= race->base + CONSERVED)
			atomic_inc(&race->wrong);
		conserve_take(race, found.tce, found.owner);
	}
}

static void conserve_store(struct race *race, unsigned long number)
{
	struct tce_range range = {
		.index = race->base, .end = race->base + CONSERVED,
	};
	struct tce_entry new[CONSERVED];
	struct tce_batch batch, old;
	int i;

	for (i = 0; i < CONSERVED; i++) {
		new[i].tce = race_hpa(race, number + i) | READ_WRITE;
		new[i].owner = race_owner(number + i);
		set_bit(number + i, race->put);
	}
	if (tce_table_prepare(race->table[0], &range, TCE_OWNER_EACH,
			      GFP_KERNEL)) {
		atomic_inc(&race->wrong);
		return;
	}
	batch_fill(&batch, race->shape->page_shift, new, CONSERVED);
	while (range.index < range.end) {
		if (tce_table_store(&range, &batch, &old)) {
			atomic_inc(&race->wrong);
			break;
		}
		conserve_old(race, &old);
	}
	tce_table_finish(&range);
}

static void conserve_clear(struct race *race)
{
	struct tce_cursor cursor = {
		.table = race->table[0], .end = race->shape->entries,
	};
	struct tce_batch old;

	while (table_clear_next(race->test, &cursor, &old))
		conserve_old(race, &old);
}

/* As KVM does: without allocating, in a held leaf. */
static void conserve_held(struct race *race, unsigned long index,
			  unsigned long number, bool set)
{
	struct tce_entry entry = { .tce = 0 };
	struct tce_range range;

	if (table_hold(race->table[0], &range, index, GFP_NOWAIT)) {
		atomic_inc(&race->wrong);
		return;
	}

	if (set) {
		entry.tce = race_hpa(race, number) | READ_WRITE;
		entry.owner = race_owner(number);
		set_bit(number, race->put);
	}
	if (tce_table_exchange(race->table[0], index, &entry, false))
		atomic_inc(&race->wrong);
	else if (entry.tce)
		conserve_take(race, entry.tce, entry.owner);

	tce_table_finish(&range);
}

/*
 * All threads set the same entry, as KVM does, or in one of five rounds clear
 * it.
 */
static void one_held_entry(struct race *race, unsigned int me)
{
	unsigned int i, count = race->rounds * CONSERVED;

	race_barrier(race);
	for (i = 0; i < count; i++)
		conserve_held(race, race->base, me * count + i, i % 5);
}

/* All threads exchange the same entry, or in one of five rounds clear it. */
static void one_entry(struct race *race, unsigned int me)
{
	unsigned int i, count = race->rounds * CONSERVED;

	race_barrier(race);
	for (i = 0; i < count; i++)
		conserve_exchange(race, race->base, me * count + i, i % 5);
}

/* One thread clears a range, the others store to it. */
static void stores_and_clears(struct race *race, unsigned int me)
{
	unsigned int round;

	race_barrier(race);
	for (round = 0; round < race->rounds; round++) {
		if (!me)
			conserve_clear(race);
		else
			conserve_store(race, (me * race->rounds + round) *
				       CONSERVED);
	}
}

/* One thread clears, one sets single entries as KVM does, the others store. */
static void everything(struct race *race, unsigned int me)
{
	unsigned int round, i;

	race_barrier(race);
	for (round = 0; round < race->rounds; round++) {
		unsigned long number = (me * race->rounds + round) * CONSERVED;

		if (!me) {
			conserve_clear(race);
		} else if (me == 1) {
			for (i = 0; i < CONSERVED; i++)
				conserve_held(race, race->base + i,
					      number + i, (round + i) % 3);
		} else {
			conserve_store(race, number);
		}
	}
}

/* The same with exchanges in a leaf that is not held. */
static void everything_exchanged(struct race *race, unsigned int me)
{
	unsigned int round, i;

	race_barrier(race);
	for (round = 0; round < race->rounds; round++) {
		unsigned long number = (me * race->rounds + round) * CONSERVED;

		if (!me) {
			conserve_clear(race);
		} else if (me == 1) {
			for (i = 0; i < CONSERVED; i++)
				conserve_exchange(race, race->base + i,
						  number + i,
						  (round + i) % 3);
		} else {
			conserve_store(race, number);
		}
	}
}

/* The leaf's lock must keep other threads from writing the same entry. */
static void conserve_write(struct race *race, unsigned long index, u64 tce)
{
	unsigned int i = index - race->base;
	int spins;

	if (i >= CONSERVED || atomic_inc_return(&race->writers[i]) != 1) {
		atomic_inc(&race->wrong);
		return;
	}
	WRITE_ONCE(race->backing[i], tce);
	for (spins = 0; spins < PARTING_SPINS; spins++)
		barrier();
	atomic_dec(&race->writers[i]);
}

static int conserve_back_set(void *data, unsigned long index,
			     const __be64 *tces, unsigned long count)
{
	for (; count; count--)
		conserve_write(data, index++, be64_to_cpu(*tces++));

	return 0;
}

static int conserve_back_clear(void *data, unsigned long index,
			       unsigned long count)
{
	for (; count; count--)
		conserve_write(data, index++, 0);

	return 0;
}

static unsigned long *bits_of(struct kunit *test, unsigned long count)
{
	unsigned long *bits = kunit_kcalloc(test, BITS_TO_LONGS(count),
					    sizeof(long), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, bits);

	return bits;
}

static void conserve(struct kunit *test, unsigned int threads,
		     unsigned int rounds, bool backed,
		     void (*body)(struct race *race, unsigned int me))
{
	const struct shape *shape = shape_of(test);
	struct race *race = race_new(test, shape, threads);
	struct backing backing = {
		.set = conserve_back_set,
		.lists = true,
		.clear = conserve_back_clear,
		.data = race,
	};
	unsigned int i, left = 0;
	unsigned long numbers;

	race->rounds = threads_rounds(threads, rounds);
	/* Across the end of a leaf. */
	race->base = BIT(shape_level_bits(shape)) - CONSERVED / 2;
	race->table[0] = backed ? table_backed(test, shape, &backing) :
				  table_of(test, shape);
	numbers = conserve_numbers(race);
	race->put = bits_of(test, numbers);
	race->seen = bits_of(test, numbers);

	race_start(race, body);

	for (i = 0; i < CONSERVED; i++) {
		u64 tce = tce_table_get(race->table[0], race->base + i);

		left += !!tce;
		if (backed)
			KUNIT_EXPECT_EQ(test, tce, race->backing[i]);
	}
	expect_figures(test, race->table[0], left);

	conserve_clear(race);
	KUNIT_EXPECT_EQ(test, atomic_read(&race->wrong), 0);
	KUNIT_EXPECT_TRUE_MSG(test, bitmap_equal(race->put, race->seen,
						 numbers),
			      "%u values were set, %u were returned",
			      bitmap_weight(race->put, numbers),
			      bitmap_weight(race->seen, numbers));
	expect_figures(test, race->table[0], 0);
	table_destroy(test, race->table[0]);
}

static void concurrent_exchange_of_one_entry(struct kunit *test)
{
	conserve(test, 2, 2000, false, one_entry);
	conserve(test, 4, 500, false, one_entry);
}

/* The same in a held leaf. */
static void concurrent_held_exchange_of_one_entry(struct kunit *test)
{
	conserve(test, 2, 2000, false, one_held_entry);
	conserve(test, 4, 500, false, one_held_entry);
}

static void concurrent_clear_and_store(struct kunit *test)
{
	conserve(test, 2, 5000, false, stores_and_clears);
	conserve(test, 3, 2000, false, stores_and_clears);
}

static void concurrent_clear_and_exchange(struct kunit *test)
{
	conserve(test, 2, 5000, false, everything_exchanged);
	conserve(test, 4, 2000, false, everything_exchanged);
}

static void concurrent_held_exchange_clear_and_store(struct kunit *test)
{
	conserve(test, 2, 5000, false, everything);
	conserve(test, 4, 2000, false, everything);
}

static void backing_stays_consistent(struct kunit *test)
{
	conserve(test, 2, 2000, true, everything);
	conserve(test, 3, 2000, true, everything);
	conserve(test, 3, 2000, true, everything_exchanged);
}

static const struct shape conserve_shapes[] = {
	{ .page_shift = 12, .levels = 4, .entries = BIT(36) },
	{ .page_shift = 16, .levels = 2, .entries = BIT(20) },
};

KUNIT_ARRAY_PARAM(conserve, conserve_shapes, shape_describe);

static struct kunit_case tce_table_race_cases[] = {
	KUNIT_CASE_PARAM(concurrent_exchange, insert_gen_params),
	KUNIT_CASE_PARAM(concurrent_store, insert_gen_params),
	KUNIT_CASE_PARAM(concurrent_exchange_of_owners, insert_gen_params),
	KUNIT_CASE_PARAM(concurrent_hold, insert_gen_params),
	KUNIT_CASE_PARAM(concurrent_store_of_owners, insert_gen_params),
	KUNIT_CASE_PARAM(concurrent_exchange_and_find, insert_gen_params),
	KUNIT_CASE_PARAM(concurrent_store_and_hold, insert_gen_params),
	KUNIT_CASE_PARAM(concurrent_exchange_of_one_entry, conserve_gen_params),
	KUNIT_CASE_PARAM(concurrent_held_exchange_of_one_entry,
			 conserve_gen_params),
	KUNIT_CASE_PARAM(concurrent_clear_and_store, conserve_gen_params),
	KUNIT_CASE_PARAM(concurrent_clear_and_exchange, conserve_gen_params),
	KUNIT_CASE_PARAM(concurrent_held_exchange_clear_and_store,
			 conserve_gen_params),
	KUNIT_CASE_PARAM(backing_stays_consistent, conserve_gen_params),
	{}
};

static struct kunit_suite tce_table_race_suite = {
	.name = "tce_table_race",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_race_cases,
};

kunit_test_suite(tce_table_race_suite);
