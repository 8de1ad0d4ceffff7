/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A container of version 1, one for each program. Its default window is its
 * only one.
 */
#ifndef E2E_VERSION1_H
#define E2E_VERSION1_H

#include <stddef.h>
#include <stdint.h>

#include "pages.h"
#include "state.h"
#include "vfio.h"

#define IOMMU_SHIFT	12
#define IOMMU_PAGE	(1ULL << IOMMU_SHIFT)

/* Both are in one leaf, which is allocated as long as the stage is mapped. */
#define STAGE		0xf0000
#define IOVA		0x100000

/* The size of the memory, in IOMMU pages. */
#define PAGES		256
#define BYTES		(PAGES * IOMMU_PAGE)

extern struct vfio vfio;
extern uint64_t window_bytes;

/* Allocates the memory and reads the size of the window. To be called first. */
void init_v1(void);

void open_v1(void);
void open_enabled(void);
int enable(void);
int disable(void);
int map(uint64_t iova, const void *from, uint64_t size, unsigned int flags);
int unmap(uint64_t iova, uint64_t size);

/* Maps the stage; edu_stage() would register its page, as in version 2. */
void map_stage(void);

/* Pages pinned since @before. */
long long pins(const struct state *before);

/*
 * The pins of @entries entries that map @pages kernel pages. A kernel page that
 * is larger than an IOMMU page is pinned once for all of its entries. If both
 * have the same size, or with the in-tree module, each entry pins its page.
 */
long long expected_pins(uint64_t entries, uint64_t pages);

/* Kernel pages that ENABLE charges: those of the whole window. */
uint64_t enabled_charge(void);

/*
 * Kernel pages that the default window is charged: a table of one level and its
 * view; in a guest, the view only.
 */
uint64_t window_charge(void);

#endif /* E2E_VERSION1_H */
