/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The version of the module. The Makefile, DKMS and the packages read it from
 * here.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_VERSION_H
#define TCE_VERSION_H

#define TCE_VERSION "0.9.0"

#endif /* TCE_VERSION_H */
