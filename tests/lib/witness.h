/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests of KVM's side begin with: two windows, two regions, and a witness
 * for each region, one page of it that is mapped in the second window and
 * stays. Without anything else UNREGISTER_MEMORY is refused until the witness
 * is gone, so that a page that is counted once too little is seen as well as
 * one that is counted once too often.
 */
#ifndef E2E_WITNESS_H
#define E2E_WITNESS_H

#include <linux/types.h>

#include "vfio.h"

/* The windows; level upon level, which KVM must be able to allocate. */
#define PAGE_SHIFT	12
#define IOMMU_PAGE	BIT_ULL(PAGE_SHIFT)
#define SIZE		BIT_ULL(30)

/* A guest's page that is larger than the window's. */
#define SUBPAGES_SHIFT	16
#define SUBPAGES	BIT_ULL(SUBPAGES_SHIFT - PAGE_SHIFT)

/* The largest page of a guest here, and the size of a region. */
#define REGION_SHIFT	20
#define REGION_BYTES	BIT_ULL(REGION_SHIFT)

/* Where the device's stage, the tests' pages and the witnesses are mapped. */
#define STAGE		0x100000
#define IOVA		0x200000
#define WITNESS		(WINDOW1_START + 0x100000)

enum { MEMORY, OTHER, REGIONS };
extern unsigned char *region[REGIONS];

/*
 * A test of a program whose tests all leave a kernel that complains of nothing.
 */
struct test {
	const char *name;
	/* Not with the in-tree module. */
	bool ours;
	void (*run)(void);
};

/*
 * Regions of its own for each test; nothing the kernel complains of goes
 * unnoticed.
 */
void add_tests(const struct test *test, size_t count);

/* Regions that were never registered before. */
void new_regions(void);

void register_regions(struct vfio *vfio);
void create_window(struct vfio *vfio, __u64 start);
/* A container with all of that, the windows at 0 and at WINDOW1_START. */
void open_windows(struct vfio *vfio);
/* Maps the witnesses, which open_windows() does too. */
void map_witnesses(struct vfio *vfio);
/* A guest that has the window at 0. */
int open_guest(unsigned int page_shift);

/* Nothing of the region is counted but its witness. Takes both away. */
#define check_counted(vfio, i)	check_counted_at(vfio, i, __FILE__, __LINE__)
void check_counted_at(struct vfio *vfio, int i, const char *file, int line);
#define check_all_counted(vfio)	check_all_counted_at(vfio, __FILE__, __LINE__)
void check_all_counted_at(struct vfio *vfio, const char *file, int line);

/* What keeps the module loaded for KVM goes after a grace period. */
void wait_users(unsigned int users);

#endif /* E2E_WITNESS_H */
