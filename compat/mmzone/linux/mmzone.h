/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For kernels without MAX_PAGE_ORDER. They have MAX_ORDER, which means the same in
 * some of them and one more in others; MAX_ORDER_NR_PAGES tells.
 */
#ifndef COMPAT_LINUX_MMZONE_H
#define COMPAT_LINUX_MMZONE_H

#include_next <linux/mmzone.h>
#include <linux/log2.h>

#ifndef MAX_PAGE_ORDER
#define MAX_PAGE_ORDER ilog2(MAX_ORDER_NR_PAGES)
#endif

#endif /* COMPAT_LINUX_MMZONE_H */
