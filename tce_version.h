/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The version. The module has it, and what installs the module (Makefile, DKMS,
 * packages) reads it here.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */
#ifndef TCE_VERSION_H
#define TCE_VERSION_H

#define TCE_VERSION "0.9.0"

#endif /* TCE_VERSION_H */
