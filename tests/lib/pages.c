// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that a program maps. Contract: pages.h.
 */

#include "pages.h"
#include "vfio.h"

unsigned char *memory;
size_t page;

void init_memory(size_t bytes)
{
	page = vfio_page_size();
	memory = vfio_memory(bytes);
}
