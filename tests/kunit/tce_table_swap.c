// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of entries that somebody else has a part in: KVM, which sets them and
 * stores their owner, a user-space address, later, and a backing, which may refuse them.
 */

#include <kunit/test.h>

#include <linux/bits.h>

#include <asm/hvcall.h>

#include "fixture.h"
#include "hardware.h"
#include "tce_table.h"

#define RANGE		8
#define REFUSED_INDEX	3

static const struct shape swap_shapes[] = {
	{ .page_shift = 12, .levels = 5, .entries = BIT(42) },
	{ .page_shift = 16, .levels = 3, .entries = 0x264000000000 >> 16 },
	{ .page_shift = 16, .levels = 1, .entries = 5000 },
	{ .page_shift = 30, .levels = 2, .entries = BIT(20) },
};

KUNIT_ARRAY_PARAM(swap, swap_shapes, shape_describe);

/* Entries around the edge of a leaf, if there is more than one. */
static unsigned long range_of(const struct shape *shape)
{
	return shape->levels > 1 ? 5 * span_of(shape, 1) - RANGE / 2 : 100;
}

static void fill(const struct shape *shape, unsigned long index,
		 struct tce_entry *new)
{
	unsigned int i;

	for (i = 0; i < RANGE; i++) {
		new[i].tce = hpa_of(shape, index + i) | 3;
		new[i].owner = ua_of(index + i);
	}
}

static void swap_is_refused(struct kunit *test, struct tce_table *table,
			    unsigned long index, unsigned long hpa,
			    enum dma_data_direction direction, int error)
{
	enum dma_data_direction direction_before = direction;
	unsigned long hpa_before = hpa;
	u64 owner = 42;

	KUNIT_EXPECT_EQ_MSG(test, error,
			    tce_table_swap(table, index, &hpa, &direction,
					   &owner),
			    "index %#lx, address %#lx", index, hpa_before);
	KUNIT_EXPECT_EQ(test, hpa, hpa_before);
	KUNIT_EXPECT_EQ(test, direction, direction_before);
	KUNIT_EXPECT_EQ(test, owner, 42);
}

/* Swaps and expects the entry before, with its owner. */
static void expect_swap(struct kunit *test, struct tce_table *table,
			unsigned long index, unsigned long hpa,
			enum dma_data_direction direction,
			unsigned long hpa_before,
			enum dma_data_direction direction_before,
			u64 owner_before)
{
	u64 owner = 42;

	KUNIT_EXPECT_EQ(test, 0,
			tce_table_swap(table, index, &hpa, &direction, &owner));
	KUNIT_EXPECT_EQ(test, hpa, hpa_before);
	KUNIT_EXPECT_EQ(test, direction, direction_before);
	KUNIT_EXPECT_EQ(test, owner, owner_before);
}

static void swap_one_entry(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned long index = range_of(shape);
	unsigned long hpa = hpa_of(shape, index);
	unsigned long other = hpa_of(shape, index + 1);
	__be64 *place;

	/* No leaf, and then no view. */
	fixture_refuse(test, 1);
	swap_is_refused(test, table, index, hpa, DMA_BIDIRECTIONAL, H_TOO_HARD);
	expect_swap(test, table, index, 0, DMA_NONE, 0, DMA_NONE, 0);
	KUNIT_EXPECT_FALSE(test, fixture_refused(test));
	fixture_refuse(test, 0);
	table_set(test, table, index, hpa, DMA_TO_DEVICE);
	swap_is_refused(test, table, index, other, DMA_TO_DEVICE, H_TOO_HARD);
	expect_entry(test, table, index, hpa, DMA_TO_DEVICE);
	expect_swap(test, table, index, 0, DMA_NONE, hpa, DMA_TO_DEVICE,
		    TCE_OWNER_NONE);
	expect_figures(test, table, 0);

	place = tce_table_view(table, index, true);
	KUNIT_ASSERT_NOT_NULL(test, place);
	swap_is_refused(test, table, shape->entries, hpa, DMA_BIDIRECTIONAL,
			-EINVAL);
	swap_is_refused(test, table, ULONG_MAX, 0, DMA_NONE, -EINVAL);
	swap_is_refused(test, table, index, hpa | BIT(shape->page_shift - 1),
			DMA_BIDIRECTIONAL, -EINVAL);
	swap_is_refused(test, table, index, hpa | 1, DMA_BIDIRECTIONAL,
			-EINVAL);

	/* The device may use it at once. */
	expect_swap(test, table, index, hpa, DMA_FROM_DEVICE, 0, DMA_NONE, 0);
	expect_entry(test, table, index, hpa, DMA_FROM_DEVICE);
	swap_is_refused(test, table, index, other, DMA_TO_DEVICE, -EAGAIN);
	swap_is_refused(test, table, index, 0, DMA_NONE, -EAGAIN);
	expect_entry(test, table, index, hpa, DMA_FROM_DEVICE);
	expect_figures(test, table, 1);

	*place = cpu_to_be64(ua_of(1));
	expect_swap(test, table, index, other, DMA_TO_DEVICE, hpa,
		    DMA_BIDIRECTIONAL, ua_of(1));
	*place = cpu_to_be64(ua_of(2));
	expect_entry(test, table, index, other, DMA_TO_DEVICE);
	expect_swap(test, table, index, 0, DMA_NONE, other, DMA_TO_DEVICE,
		    ua_of(2));
	KUNIT_EXPECT_EQ(test, be64_to_cpu(*place), 0);
	expect_entry(test, table, index, 0, DMA_NONE);
	/* What is not set is not open. */
	expect_swap(test, table, index, 0, DMA_NONE, 0, DMA_NONE, 0);
	expect_figures(test, table, 0);

	table_gone(test, table);
}

/* KVM has an address for a TCE without permissions, and counts on it. */
static void no_permission_but_taken(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	struct hardware_window window = hardware_window(table);
	unsigned long index = range_of(shape);
	unsigned long hpa = hpa_of(shape, index);
	u64 address = (u64)index << shape->page_shift;
	struct tce_cursor cursor = {
		.table = table, .end = shape->entries,
	};
	struct tce_entry old[RANGE];
	unsigned long first, last;
	__be64 *place;

	swap_is_refused(test, table, index, hpa, DMA_NONE, H_TOO_HARD);
	place = tce_table_view(table, index, true);
	KUNIT_ASSERT_NOT_NULL(test, place);

	expect_swap(test, table, index, hpa, DMA_NONE, 0, DMA_NONE, 0);
	KUNIT_EXPECT_EQ(test, tce_table_get(table, index), hpa);
	KUNIT_EXPECT_EQ(test, hardware_dma(test, &window, address, false),
			HARDWARE_FAULT);
	swap_is_refused(test, table, index, 0, DMA_NONE, -EAGAIN);
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			tce_table_clear(&cursor, old, &first, &last, RANGE));
	KUNIT_EXPECT_EQ(test, cursor.index, index);
	expect_figures_with(test, table, 1, 1);
	*place = cpu_to_be64(ua_of(1));

	/* Whoever takes it out gets address and owner, the device nothing. */
	expect_swap(test, table, index, hpa_of(shape, 1), DMA_NONE, hpa,
		    DMA_NONE, ua_of(1));
	*place = cpu_to_be64(ua_of(2));
	KUNIT_EXPECT_EQ(test, 1,
			tce_table_clear(&cursor, old, &first, &last, RANGE));
	KUNIT_EXPECT_EQ(test, old[0].tce, hpa_of(shape, 1));
	KUNIT_EXPECT_EQ(test, old[0].owner, ua_of(2));
	KUNIT_EXPECT_EQ(test, first, index);
	KUNIT_EXPECT_EQ(test, last, index);
	expect_entry(test, table, index, 0, DMA_NONE);
	expect_figures(test, table, 0);

	table_gone(test, table);
}

/* An exchange does not change what KVM has not finished. */
static void exchange_meets_an_open_entry(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned long index = range_of(shape);
	enum dma_data_direction direction = DMA_NONE;
	__be64 *place = tce_table_view(table, index, true);
	unsigned long hpa = 0;

	KUNIT_ASSERT_NOT_NULL(test, place);
	expect_swap(test, table, index, hpa_of(shape, 1), DMA_TO_DEVICE, 0,
		    DMA_NONE, 0);
	KUNIT_EXPECT_EQ(test, -EAGAIN, tce_table_exchange(table, index, &hpa,
							  &direction, true));
	KUNIT_EXPECT_EQ(test, hpa, 0);
	KUNIT_EXPECT_EQ(test, direction, DMA_NONE);
	hpa = hpa_of(shape, 2);
	direction = DMA_FROM_DEVICE;
	KUNIT_EXPECT_EQ(test, -EAGAIN, tce_table_exchange(table, index, &hpa,
							  &direction, false));
	KUNIT_EXPECT_EQ(test, hpa, hpa_of(shape, 2));
	KUNIT_EXPECT_EQ(test, direction, DMA_FROM_DEVICE);
	expect_entry(test, table, index, hpa_of(shape, 1), DMA_TO_DEVICE);

	*place = cpu_to_be64(ua_of(1));
	KUNIT_EXPECT_EQ(test, 0, tce_table_exchange(table, index, &hpa,
						    &direction, false));
	KUNIT_EXPECT_EQ(test, hpa, hpa_of(shape, 1));
	KUNIT_EXPECT_EQ(test, direction, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, be64_to_cpu(*place), TCE_OWNER_NONE);
	table_set(test, table, index, 0, DMA_NONE);
	expect_figures(test, table, 0);

	table_gone(test, table);
}

/* Each entry in turn is open while the range is stored and cleared. */
static void ranges_stop_at_an_open_entry(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct tce_table *table = table_of(test, shape);
	unsigned long index = range_of(shape);
	struct tce_entry new[RANGE], old[RANGE];
	unsigned long first, last, open;
	struct tce_cursor cursor;
	__be64 *place;
	int all, some;

	fill(shape, index, new);
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, RANGE,
						   TCE_OWNER_EACH));
	for (open = 0; open < RANGE; open++) {
		place = tce_table_view(table, index + open, false);
		KUNIT_ASSERT_NOT_NULL(test, place);
		expect_swap(test, table, index + open, hpa_of(shape, 1),
			    DMA_TO_DEVICE, 0, DMA_NONE, 0);

		cursor = (struct tce_cursor) {
			.table = table, .index = index, .end = index + RANGE,
		};
		if (open)
			KUNIT_EXPECT_EQ(test, 0, tce_table_store(&cursor, new,
								 RANGE, old));
		KUNIT_EXPECT_EQ(test, cursor.index, index + open);
		KUNIT_EXPECT_EQ(test, -EAGAIN,
				tce_table_store(&cursor, new + open,
						RANGE - open, old));
		KUNIT_EXPECT_EQ(test, cursor.index, index + open);
		expect_entry(test, table, index + open, hpa_of(shape, 1),
			     DMA_TO_DEVICE);
		expect_figures(test, table, open + 1);
		*place = cpu_to_be64(ua_of(3));
		KUNIT_EXPECT_EQ(test, 1, tce_table_store(&cursor, new + open,
							 RANGE - open, old));
		KUNIT_EXPECT_EQ(test, cursor.index, cursor.end);
		KUNIT_EXPECT_EQ(test, old[0].tce, hpa_of(shape, 1) | 1);
		KUNIT_EXPECT_EQ(test, old[0].owner, ua_of(3));
		expect_figures(test, table, RANGE);

		expect_swap(test, table, index + open, hpa_of(shape, 2),
			    DMA_BIDIRECTIONAL, hpa_of(shape, index + open),
			    DMA_BIDIRECTIONAL, ua_of(index + open));
		cursor.index = 0;
		cursor.end = shape->entries;
		all = 0;
		while ((some = tce_table_clear(&cursor, old, &first, &last,
					       RANGE)) > 0)
			all += some;
		KUNIT_EXPECT_EQ(test, all, open);
		KUNIT_EXPECT_EQ(test, some, -EAGAIN);
		KUNIT_EXPECT_EQ(test, cursor.index, index + open);
		expect_figures(test, table, RANGE - open);
		*place = cpu_to_be64(ua_of(4));
		some = tce_table_clear(&cursor, old, &first, &last, 1);
		KUNIT_EXPECT_EQ(test, some, 1);
		KUNIT_EXPECT_EQ(test, first, index + open);
		KUNIT_EXPECT_EQ(test, old[0].owner, ua_of(4));
		while (tce_table_clear(&cursor, old, &first, &last, RANGE) > 0)
			;
		expect_figures(test, table, 0);
	}
	tce_table_finish(table, index, RANGE);

	table_gone(test, table);
}

/* A backing */

/**
 * struct backing - a hypervisor
 * @index: the index of the first entry that it has
 * @tce: the entries
 * @refuse: whether it refuses to change the entry at REFUSED_INDEX
 * @writes: how often it was asked
 * @strange: how often for an entry that it does not have
 */
struct backing {
	unsigned long index;
	u64 tce[RANGE];
	bool refuse;
	unsigned int writes;
	unsigned int strange;
};

static int backing_write(void *data, unsigned long index, u64 tce)
{
	struct backing *backing = data;

	backing->writes++;
	if (index < backing->index || index >= backing->index + RANGE) {
		backing->strange++;
		return -ENXIO;
	}
	if (backing->refuse && index == backing->index + REFUSED_INDEX)
		return -EPERM;
	backing->tce[index - backing->index] = tce;

	return 0;
}

static void expect_backing(struct kunit *test, struct tce_table *table,
			   struct backing *backing)
{
	unsigned int i, used = 0;

	KUNIT_EXPECT_EQ(test, backing->strange, 0);
	for (i = 0; i < RANGE; i++) {
		KUNIT_EXPECT_EQ(test, backing->tce[i],
				tce_table_get(table, backing->index + i));
		used += !!backing->tce[i];
	}
	expect_figures(test, table, used);
}

static void backing_has_every_entry(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct backing backing = { .index = range_of(shape) };
	struct tce_backing operations = {
		.write = backing_write, .data = &backing,
	};
	struct tce_table *table = table_of(test, shape);
	unsigned long index = backing.index;
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + RANGE,
	};
	struct tce_entry new[RANGE], old[RANGE];
	unsigned long first, last;
	__be64 *place;

	tce_table_set_backing(table, &operations);
	fill(shape, index, new);
	new[1].tce &= ~1ULL;

	/* It gets what was asked for: it may know write permission alone. */
	table_set(test, table, index, hpa_of(shape, 1), DMA_FROM_DEVICE);
	KUNIT_EXPECT_EQ(test, backing.tce[0], hpa_of(shape, 1) | 2);
	expect_backing(test, table, &backing);

	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, RANGE,
						   TCE_OWNER_EACH));
	KUNIT_EXPECT_EQ(test, 1, tce_table_store(&cursor, new, RANGE, old));
	KUNIT_EXPECT_EQ(test, cursor.index, cursor.end);
	expect_backing(test, table, &backing);
	KUNIT_EXPECT_EQ(test, backing.tce[1], new[1].tce);

	place = tce_table_view(table, index + 2, false);
	KUNIT_ASSERT_NOT_NULL(test, place);
	expect_swap(test, table, index + 2, hpa_of(shape, 1), DMA_TO_DEVICE,
		    hpa_of(shape, index + 2), DMA_BIDIRECTIONAL,
		    ua_of(index + 2));
	expect_backing(test, table, &backing);
	*place = cpu_to_be64(ua_of(9));
	expect_swap(test, table, index + 2, 0, DMA_NONE, hpa_of(shape, 1),
		    DMA_TO_DEVICE, ua_of(9));
	table_set(test, table, index + 4, 0, DMA_NONE);
	expect_backing(test, table, &backing);
	tce_table_finish(table, index, RANGE);

	/* Asked about what is set, and only that. */
	backing.writes = 0;
	cursor.index = 0;
	cursor.end = shape->entries;
	while (tce_table_clear(&cursor, old, &first, &last, RANGE) > 0)
		;
	KUNIT_EXPECT_EQ(test, backing.writes, RANGE - 2);
	expect_backing(test, table, &backing);
	KUNIT_EXPECT_EQ(test, tce_table_get(table, index), 0);

	table_gone(test, table);
}

static void backing_refuses(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct backing backing = { .index = range_of(shape), .refuse = true };
	struct tce_backing operations = {
		.write = backing_write, .data = &backing,
	};
	struct tce_table *table = table_of(test, shape);
	unsigned long index = backing.index;
	unsigned long refused = index + REFUSED_INDEX;
	enum dma_data_direction direction = DMA_TO_DEVICE;
	struct tce_cursor cursor = {
		.table = table, .index = index, .end = index + RANGE,
	};
	unsigned long hpa = hpa_of(shape, 7);
	struct tce_entry new[RANGE], old[RANGE];
	unsigned long first, last;
	int all = 0, some;

	tce_table_set_backing(table, &operations);
	fill(shape, index, new);

	KUNIT_EXPECT_EQ(test, -EPERM, tce_table_exchange(table, refused, &hpa,
							 &direction, true));
	KUNIT_EXPECT_EQ(test, hpa, hpa_of(shape, 7));
	KUNIT_EXPECT_EQ(test, direction, DMA_TO_DEVICE);
	KUNIT_ASSERT_NOT_NULL(test, tce_table_view(table, refused, true));
	swap_is_refused(test, table, refused, hpa, DMA_TO_DEVICE, -EPERM);
	expect_backing(test, table, &backing);

	/* A store stops there and fails there. */
	KUNIT_ASSERT_EQ(test, 0, tce_table_prepare(table, index, RANGE,
						   TCE_OWNER_EACH));
	KUNIT_EXPECT_EQ(test, 0, tce_table_store(&cursor, new, RANGE, old));
	KUNIT_EXPECT_EQ(test, cursor.index, refused);
	KUNIT_EXPECT_EQ(test, -EPERM,
			tce_table_store(&cursor, new + REFUSED_INDEX,
					RANGE - REFUSED_INDEX, old));
	KUNIT_EXPECT_EQ(test, cursor.index, refused);
	expect_backing(test, table, &backing);
	backing.refuse = false;
	KUNIT_EXPECT_EQ(test, 0,
			tce_table_store(&cursor, new + REFUSED_INDEX,
					RANGE - REFUSED_INDEX, old));
	tce_table_finish(table, index, RANGE);
	expect_backing(test, table, &backing);

	/* A clear steps over it, and it stays with its address. */
	backing.refuse = true;
	swap_is_refused(test, table, refused, 0, DMA_NONE, -EPERM);
	hpa = 0;
	direction = DMA_NONE;
	KUNIT_EXPECT_EQ(test, -EPERM, tce_table_exchange(table, refused, &hpa,
							 &direction, true));
	cursor.index = 0;
	cursor.end = shape->entries;
	while ((some = tce_table_clear(&cursor, old, &first, &last,
				       RANGE)) > 0)
		all += some;
	KUNIT_EXPECT_EQ(test, some, 0);
	KUNIT_EXPECT_EQ(test, all, RANGE - 1);
	expect_entry(test, table, refused, hpa_of(shape, refused),
		     DMA_BIDIRECTIONAL);
	expect_backing(test, table, &backing);

	backing.refuse = false;
	cursor.index = 0;
	KUNIT_EXPECT_EQ(test, 1, tce_table_clear(&cursor, old, &first, &last,
						 RANGE));
	KUNIT_EXPECT_EQ(test, first, refused);
	KUNIT_EXPECT_EQ(test, last, refused);
	KUNIT_EXPECT_EQ(test, old[0].owner, ua_of(refused));
	expect_backing(test, table, &backing);

	table_gone(test, table);
}

static struct kunit_case tce_table_swap_cases[] = {
	KUNIT_CASE_PARAM(swap_one_entry, swap_gen_params),
	KUNIT_CASE_PARAM(no_permission_but_taken, swap_gen_params),
	KUNIT_CASE_PARAM(exchange_meets_an_open_entry, swap_gen_params),
	KUNIT_CASE_PARAM(ranges_stop_at_an_open_entry, swap_gen_params),
	KUNIT_CASE_PARAM(backing_has_every_entry, swap_gen_params),
	KUNIT_CASE_PARAM(backing_refuses, swap_gen_params),
	{}
};

static struct kunit_suite tce_table_swap_suite = {
	.name = "tce_table_swap",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = tce_table_swap_cases,
};

kunit_test_suite(tce_table_swap_suite);
