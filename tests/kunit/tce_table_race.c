// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that work on a TCE table at the same time.
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

/* Tables at a time: threads that wait for each other wait for the host, too. */
#define TABLES		50

/* Long enough for another CPU to come, short enough to go on without it. */
#define MEETING_SPINS	20000

/* How far apart they are afterwards, at most, so that all distances occur. */
#define PARTING_SPINS	256

/**
 * struct race - threads and what they work on
 * @test: the test
 * @shape: what the table was asked to be
 * @geo: the same for tce_table_create()
 * @table: the table or tables
 * @threads: number of threads
 * @body: what each of them does
 * @rounds: how often, or for how many tables
 * @base: the index that it is about
 * @arrived: threads at the barrier
 * @passed: how often the barrier has been passed
 * @here: threads that have come to a table
 * @stop: no more rounds
 * @lost: blocks of pages that came too late and were given back
 * @put: values that were put in, one bit each
 * @seen: values that came out again, one bit each
 * @backing: what the backing has
 * @writers: how many write an entry of the backing now
 * @nobody: whether entries are TCE_OWNER_NONE's
 * @wrong: values that came out twice, or with another's owner, and whatever else
 *         must not happen
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
	bool nobody;
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

/* Starts the threads on a table about together, if the host lets them. */
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

/* Neighbours in levels that are missing */

static unsigned long race_hpa(struct race *race, unsigned long number)
{
	return (number + 1) << race->shape->page_shift;
}

static u64 race_owner(unsigned long number)
{
	return (number + 1) << PAGE_SHIFT;
}

/* The first thread makes the tables of a round. */
static void tables_begin(struct race *race)
{
	struct fixture *fixture = race->test->priv;
	unsigned int i;

	/* One failure says as much as thousands. */
	if (READ_ONCE(race->test->status) == KUNIT_FAILURE)
		race->stop = true;

	for (i = 0; !race->stop && i < TABLES; i++) {
		atomic_set(&race->here[i], 0);
		race->table[i] = table_create(race->test, &race->geo, NULL);
		if (!IS_ERR(race->table[i]))
			continue;
		KUNIT_FAIL(race->test, "no table");
		race->stop = true;
	}
	atomic_set(&fixture->met, 0);
	if (!race->stop)
		race->lost -= atomic_long_read(&fixture->given_back);
}

static void tables_end(struct race *race)
{
	struct fixture *fixture = race->test->priv;
	unsigned long bytes = 0;
	unsigned int i, j;

	race->lost += atomic_long_read(&fixture->given_back);

	for (i = 0; i < TABLES; i++) {
		for (j = 0; j < race->threads; j++)
			if (tce_table_get(race->table[i], race->base + j) !=
			    (race_hpa(race, j) | READ_WRITE) ||
			    owner_at(race->test, race->table[i],
				     race->base + j) !=
			    (race->nobody ? TCE_OWNER_NONE : race_owner(j)))
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
		.owner = race->nobody ? TCE_OWNER_NONE : race_owner(me),
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

/* With a view from the start. */
static void insert_by_store(struct race *race, struct tce_table *table,
			    unsigned int me)
{
	insert_by_store_for(race, table, me, TCE_OWNER_EACH);
}

/* With a view as soon as it turns out that there is another owner. */
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
 * What a thread has set it finds from far before, although another one may be about to
 * link the level that it is in.
 */
static void insert_and_find(struct race *race, struct tce_table *table,
			    unsigned int me)
{
	unsigned long index = race->base + me;
	struct tce_cursor cursor = { .table = table, .end = index + 1 };
	struct tce_extent extent;

	insert_by_exchange(race, table, me);
	while (tce_table_extent(&cursor, &extent))
		if (index >= extent.index && index - extent.index < extent.count)
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

/* What the host and the guest do at once. */
static void mixture(struct race *race, unsigned int me)
{
	insert_rounds(race, me, me & 1 ? insert_by_store : insert_held);
}

static void race_to_insert(struct kunit *test, unsigned int rounds, bool nobody,
			   void (*body)(struct race *race, unsigned int me))
{
	const struct shape *shape = shape_of(test);
	bool large = 8UL << shape_level_bits(shape) >= PAGE_SIZE;
	struct fixture *fixture = test->priv;
	unsigned int threads;

	for (threads = 2; threads <= THREADS_MOST; threads++) {
		struct race *race = race_new(test, shape, threads);

		race->nobody = nobody;
		/* More threads than CPUs cannot meet, but get in the way. */
		if (large)
			fixture->meet = min(threads, num_online_cpus());
		race->rounds = threads == 2 ? rounds : rounds / 4;
		/* Small levels are quick, and several of them go in at once. */
		if (!large)
			race->rounds *= 5;
		race->rounds = threads_rounds(threads, race->rounds);
		race->base = shape->entries / 3;
		race_start(race, body);
		fixture->meet = 0;

		kunit_info(test, "%u threads: %lu blocks of pages came late",
			   threads, race->lost);
		/*
		 * With one level missing, one of two threads must be late; if there are
		 * owners, its level may become the view.
		 */
		if (threads == 2 && shape->levels == 2 && nobody &&
		    num_online_cpus() > 1)
			KUNIT_EXPECT_GT(test, race->lost, 0);
	}
}

static void neighbours_exchange(struct kunit *test)
{
	race_to_insert(test, 4000, true, exchanges);
}

/* Two owners in a leaf need a view. */
static void owners_exchange(struct kunit *test)
{
	race_to_insert(test, 1000, false, exchanges);
}

static void neighbours_store(struct kunit *test)
{
	race_to_insert(test, 1000, false, stores);
}

static void neighbours_hold(struct kunit *test)
{
	race_to_insert(test, 1000, false, holds);
}

static void neighbours_owners(struct kunit *test)
{
	race_to_insert(test, 1000, false, owners);
}

static void neighbours_are_found(struct kunit *test)
{
	race_to_insert(test, 1000, true, finds);
}

static void neighbours_mixed(struct kunit *test)
{
	race_to_insert(test, 1000, false, mixture);
}

/* Levels of a kernel page, so that each is a request; and levels of 4 KiB. */
static const struct shape insert_shapes[] = {
	{ .page_shift = 12, .levels = 2, .entries = BIT(2 * (PAGE_SHIFT - 3)) },
	{ .page_shift = 12, .levels = 4, .entries = BIT(36) },
};

KUNIT_ARRAY_PARAM(insert, insert_shapes, shape_describe);

/* Conservation: what goes in comes out once, or is there at the end */

/* A value comes out, and it is its owner's. */
static void conserve_seen(struct race *race, u64 tce, u64 owner)
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
		conserve_seen(race, entry.tce, entry.owner);
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
		conserve_seen(race, found.tce, found.owner);
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

/* As KVM does it: without memory, in a leaf that is held. */
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
		conserve_seen(race, entry.tce, entry.owner);

	tce_table_finish(&range);
}

/* All set one entry, as KVM does it, and now and then clear it. */
static void one_held_entry(struct race *race, unsigned int me)
{
	unsigned int i, count = race->rounds * CONSERVED;

	race_barrier(race);
	for (i = 0; i < count; i++)
		conserve_held(race, race->base, me * count + i, i % 5);
}

/* All exchange one entry; now and then it is cleared. */
static void one_entry(struct race *race, unsigned int me)
{
	unsigned int i, count = race->rounds * CONSERVED;

	race_barrier(race);
	for (i = 0; i < count; i++)
		conserve_exchange(race, race->base, me * count + i, i % 5);
}

/* One clears, all others store to the same range. */
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

/* The first clears, the second is KVM, the others store. */
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

/* The same with exchanges, for the owner at once. */
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

/* Nobody else may be here with the same entry. */
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

static int conserve_back_set(void *data, unsigned long index, const __be64 *tces,
			     unsigned long count)
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
		.clear = conserve_back_clear,
		.data = race,
	};
	unsigned int i, left = 0;
	unsigned long numbers;

	race->rounds = threads_rounds(threads, rounds);
	/* Over the edge of a leaf. */
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
			      "%u values put in, %u came out",
			      bitmap_weight(race->put, numbers),
			      bitmap_weight(race->seen, numbers));
	expect_figures(test, race->table[0], 0);
	table_gone(test, race->table[0]);
}

static void exchange_of_one_entry(struct kunit *test)
{
	conserve(test, 2, 2000, false, one_entry);
	conserve(test, 4, 500, false, one_entry);
}

/* The same with the leaf held, and no memory. */
static void owners_of_one_entry(struct kunit *test)
{
	conserve(test, 2, 2000, false, one_held_entry);
	conserve(test, 4, 500, false, one_held_entry);
}

static void clear_against_store(struct kunit *test)
{
	conserve(test, 2, 5000, false, stores_and_clears);
	conserve(test, 3, 2000, false, stores_and_clears);
}

static void clear_against_exchange(struct kunit *test)
{
	conserve(test, 2, 5000, false, everything_exchanged);
	conserve(test, 4, 2000, false, everything_exchanged);
}

static void owners_against_everything(struct kunit *test)
{
	conserve(test, 2, 5000, false, everything);
	conserve(test, 4, 2000, false, everything);
}

static void backing_follows(struct kunit *test)
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
	KUNIT_CASE_PARAM(neighbours_exchange, insert_gen_params),
	KUNIT_CASE_PARAM(neighbours_store, insert_gen_params),
	KUNIT_CASE_PARAM(owners_exchange, insert_gen_params),
	KUNIT_CASE_PARAM(neighbours_hold, insert_gen_params),
	KUNIT_CASE_PARAM(neighbours_owners, insert_gen_params),
	KUNIT_CASE_PARAM(neighbours_are_found, insert_gen_params),
	KUNIT_CASE_PARAM(neighbours_mixed, insert_gen_params),
	KUNIT_CASE_PARAM(exchange_of_one_entry, conserve_gen_params),
	KUNIT_CASE_PARAM(owners_of_one_entry, conserve_gen_params),
	KUNIT_CASE_PARAM(clear_against_store, conserve_gen_params),
	KUNIT_CASE_PARAM(clear_against_exchange, conserve_gen_params),
	KUNIT_CASE_PARAM(owners_against_everything, conserve_gen_params),
	KUNIT_CASE_PARAM(backing_follows, conserve_gen_params),
	{}
};

static struct kunit_suite tce_table_race_suite = {
	.name = "tce_table_race",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_race_cases,
};

kunit_test_suite(tce_table_race_suite);
