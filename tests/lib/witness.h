/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests of KVM begin with: two windows, two regions, and a witness for
 * each region, which is one page of it, mapped in the second window. As long as
 * the witness is mapped, UNREGISTER_MEMORY must fail, and it must succeed
 * afterwards. So a mapped count that is one too low is found, as well as one
 * that is one too high.
 */
#ifndef E2E_WITNESS_H
#define E2E_WITNESS_H

#include <linux/types.h>

#include "vfio.h"

/* The windows. They have several levels, which KVM must be able to allocate. */
#define PAGE_SHIFT	12
#define IOMMU_PAGE	BIT_ULL(PAGE_SHIFT)
#define SIZE		BIT_ULL(30)

/* A guest page that is larger than an IOMMU page. */
#define GUEST_PAGE_SHIFT	16
#define SUBPAGES	BIT_ULL(GUEST_PAGE_SHIFT - PAGE_SHIFT)

/* The largest guest page, and the size of a region. */
#define REGION_SHIFT	20
#define REGION_BYTES	BIT_ULL(REGION_SHIFT)

/* Where the device's stage, the tests' pages and the witnesses are mapped. */
#define STAGE		0x100000
#define IOVA		0x200000
#define WITNESS		(WINDOW1_START + 0x100000)

enum { MEMORY, OTHER, REGIONS };
extern unsigned char *region[REGIONS];

/* A test after which the kernel must not have complained. */
struct test {
	const char *name;
	/* Skipped with the in-tree module. */
	bool ours;
	void (*run)(void);
};

/*
 * Adds tests. Each has regions of its own, and fails if the kernel complains.
 */
void add_tests(const struct test *test, size_t count);

/* Regions that were never registered before. */
void new_regions(void);

void register_regions(struct vfio *vfio);
void create_window(struct vfio *vfio, __u64 start);
/* A container with windows at 0 and at WINDOW1_START, regions and witnesses. */
void open_windows(struct vfio *vfio);
/* Maps the witnesses; open_windows() does this. */
void map_witnesses(struct vfio *vfio);
/* A guest that has the window at 0. */
int open_guest(unsigned int page_shift);

/*
 * Checks that only the witness of the region is counted. Unmaps the witness and
 * unregisters the region.
 */
#define check_counted(vfio, i)	check_counted_at(vfio, i, __FILE__, __LINE__)
void check_counted_at(struct vfio *vfio, int i, const char *file, int line);
#define check_all_counted(vfio)	check_all_counted_at(vfio, __FILE__, __LINE__)
void check_all_counted_at(struct vfio *vfio, const char *file, int line);

/*
 * Waits until the module has @users references; those for KVM are put after a
 * grace period.
 */
void wait_users(unsigned int users);

#endif /* E2E_WITNESS_H */
