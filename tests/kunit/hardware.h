/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table as the PCI host bridge sees it: the translation validation entry
 * (TVE) and the physical memory that it points to.
 */
#ifndef HARDWARE_H
#define HARDWARE_H

#include <linux/limits.h>
#include <linux/types.h>

#include "tce_table.h"

struct kunit;

/* No translation: the DMA fails. */
#define HARDWARE_FAULT	U64_MAX

/**
 * struct hardware_window - contents of a TVE
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
 * struct hardware_census - number of levels and entries that the hardware
 *	reaches
 * @levels: levels by depth
 * @leaf_views: leaves that have a view
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
 * Translates a DMA to @address, an offset in the window. Returns the physical
 * address, or HARDWARE_FAULT.
 */
u64 hardware_dma(struct kunit *test, const struct hardware_window *window,
		 u64 address, bool write);

/* Number of levels that are present on the path to the entry, at least 1. */
unsigned int hardware_depth(struct kunit *test,
			    const struct hardware_window *window,
			    unsigned long index);

/*
 * Walks the whole table. @visit, if not NULL, is called for each leaf entry
 * with a permission.
 */
void hardware_census(struct kunit *test, struct tce_table *table,
		     struct hardware_census *census, hardware_visit visit,
		     void *data);

/*
 * Calls @visit for each level that the hardware reaches below the first one,
 * with the first index that it translates.
 */
void hardware_levels(struct kunit *test, struct tce_table *table,
		     hardware_visit_level visit, void *data);

#endif /* HARDWARE_H */
