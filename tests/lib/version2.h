/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Containers of version 2 with both windows, in which the same memory is
 * mapped.
 */
#ifndef E2E_VERSION2_H
#define E2E_VERSION2_H

#include "pages.h"
#include "vfio.h"

/* The size of the memory, in kernel pages. */
#define PAGES		16

/* The page size of the default window. */
#define SIZE_4K		4096

/* Addresses of the stage, and of the memory in each window. */
#define STAGE		0x100000
#define IOVA		0x200000
#define HIGH		(WINDOW1_START + IOVA)

/* Allocates the memory. To be called first. */
void init_v2(void);

/*
 * Registers the memory, creates a large window, and maps the memory in the
 * default window at IOVA and in the large one at HIGH.
 */
void use_windows(struct vfio *vfio);

#endif /* E2E_VERSION2_H */
