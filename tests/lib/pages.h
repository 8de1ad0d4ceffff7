/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory that a program maps, for version1.h and version2.h.
 */
#ifndef E2E_PAGES_H
#define E2E_PAGES_H

#include <stddef.h>

extern unsigned char *memory;

/* The size of a kernel page. */
extern size_t page;

/* Allocates @bytes of memory. */
void init_memory(size_t bytes);

#endif /* E2E_PAGES_H */
