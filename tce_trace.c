// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints of tce_trace.h.
 *
 * Copyright (C) 2026 The vfio_iommu_spapr_tce authors
 */

#define CREATE_TRACE_POINTS
#include "tce_trace.h"
