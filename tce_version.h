/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The version of the module. scripts/version reads it for DKMS, the packages
 * and the source archive.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_VERSION_H
#define TCE_VERSION_H

#define TCE_VERSION "0.9.0"

#endif /* TCE_VERSION_H */
