/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The struct iommu_table of a window: what the platform wants to know of it, and
 * who has the entries.
 */
#ifndef TCE_PLATFORM_H
#define TCE_PLATFORM_H

#include <linux/types.h>

#include "tce_table.h"

/**
 * DOC: Platforms
 *
 * On PowerNV (bare metal) the host owns the tables: struct iommu_table is made
 * here, and iommu_table_group_ops::set_window gives the firmware the address of
 * our first level. Where window N begins and how TCEs are killed is not exported;
 * a table of one page, made by the platform, tells (arch/powerpc/platforms/
 * powernv/pci-ioda.c).
 *
 * On pSeries the hypervisor owns them: iommu_table_group_ops::create_table makes
 * the window and struct iommu_table, and entries are written by hypercalls
 * through its it_ops (arch/powerpc/platforms/pseries/iommu.c; H_PUT_TCE is
 * defined in PAPR, "TCE Access"). Our levels are then what software knows of the
 * entries, with the hypervisor as their backing.
 */

struct iommu_table;
struct iommu_table_group;
struct iommu_table_ops;

/**
 * struct tce_platform - one window, as the platform knows it
 * @table_group: the group that it was made for
 * @num: number of the window in its groups
 * @tbl: the platform's and KVM's handle of it
 * @ops: the platform's operations on @tbl; kept even when @tbl gets others
 * @geo: shape of the levels
 * @backing: who else has the entries; none on PowerNV
 * @gone: the backing has let go of the window, with all entries
 */
struct tce_platform {
	struct iommu_table_group *table_group;
	int num;
	struct iommu_table *tbl;
	const struct iommu_table_ops *ops;
	struct tce_geometry geo;
	struct tce_backing backing;
	bool gone;
};

/**
 * tce_platform_locked_pages() - what a window is charged to locked_vm
 * @page_shift: IOMMU page size, as a shift
 * @size: bytes
 * @levels: number of levels of the table
 *
 * On PowerNV a whole table and its user-space view, however little of it will
 * ever be allocated; on pSeries the view alone.
 *
 * Context: Any.
 * Return: kernel pages; 0 if there can be no such window.
 */
unsigned long tce_platform_locked_pages(unsigned int page_shift, u64 size,
					unsigned int levels);

/**
 * tce_platform_default_levels() - levels of the default window's table
 *
 * Context: Any.
 * Return: number of levels.
 */
unsigned int tce_platform_default_levels(void);

/**
 * tce_platform_create() - make the struct iommu_table of a window
 * @platform: the result
 * @table_group: a group that it is for
 * @num: number of the window in its groups, 0 or 1
 * @page_shift: IOMMU page size, as a shift
 * @size: bytes, a power of two
 * @levels: number of levels of the table
 *
 * Context: Process, may sleep.
 * Return: 0; -EINVAL if there can be no such window, or the hypervisor has no
 * room for it; -EPERM if the group's windows cannot be changed; -ENOMEM;
 * -ENODEV or what the platform says.
 */
int tce_platform_create(struct tce_platform *platform,
			struct iommu_table_group *table_group, int num,
			unsigned int page_shift, u64 size, unsigned int levels);

/**
 * tce_platform_finish() - tell the platform where the levels are
 * @platform: the window
 * @root: the first level
 *
 * Context: Any.
 */
void tce_platform_finish(struct tce_platform *platform, void *root);

/**
 * tce_platform_abort() - undo tce_platform_create()
 * @platform: the window; nobody was told of it
 *
 * Context: Process, may sleep.
 */
void tce_platform_abort(struct tce_platform *platform);

#endif /* TCE_PLATFORM_H */
