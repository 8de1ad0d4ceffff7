/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A table as the PCI host bridge sees it: physical memory, and what its
 * translation validation entry (TVE) says of the table.
 */
#ifndef HARDWARE_H
#define HARDWARE_H

#include <linux/limits.h>
#include <linux/types.h>

#include "tce_table.h"

struct kunit;

/* No translation: the access ends with an error. */
#define HARDWARE_FAULT	U64_MAX

/**
 * struct hardware_window - what a TVE holds
 * @root: physical address of the first level
 * @page_shift: IOMMU page size, as a shift
 * @levels: number of levels
 * @level_bits: bits of the address that each level translates
 */
struct hardware_window {
	phys_addr_t root;
	unsigned int page_shift;
	unsigned int levels;
	unsigned int level_bits;
};

/**
 * struct hardware_census - all that can be reached from the first level
 * @levels: levels by depth
 * @leaf_views: leaves that have a user-space view
 * @entries: leaf entries with a permission
 */
struct hardware_census {
	unsigned long levels[TCE_TABLE_MAX_LEVELS];
	unsigned long leaf_views;
	unsigned long entries;
};

typedef void (*hardware_visit)(struct kunit *test, unsigned long index, u64 tce,
			       void *data);

typedef void (*hardware_visit_level)(struct kunit *test, unsigned int depth,
				     unsigned long index, void *data);

struct hardware_window hardware_window(const struct tce_table *table);

/*
 * Walks like a DMA to @address, an offset in the window. Returns the physical
 * address that is read or written, or HARDWARE_FAULT.
 */
u64 hardware_dma(struct kunit *test, const struct hardware_window *window,
		 u64 address, bool write);

/* How many levels there are on the way to the entry, 1 or more. */
unsigned int hardware_depth(struct kunit *test,
			    const struct hardware_window *window,
			    unsigned long index);

/* Reads the whole table; @visit, if not NULL, is called for each entry. */
void hardware_census(struct kunit *test, struct tce_table *table,
		     struct hardware_census *census, hardware_visit visit,
		     void *data);

/*
 * Calls @visit for each level below the first one that can be reached, with the
 * first entry that it covers.
 */
void hardware_levels(struct kunit *test, struct tce_table *table,
		     hardware_visit_level visit, void *data);

#endif /* HARDWARE_H */
