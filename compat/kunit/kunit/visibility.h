/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For kernels without include/kunit/visibility.h: functions that are marked
 * VISIBLE_IF_KUNIT are always static.
 */
#ifndef COMPAT_KUNIT_VISIBILITY_H
#define COMPAT_KUNIT_VISIBILITY_H

#define VISIBLE_IF_KUNIT static

#endif /* COMPAT_KUNIT_VISIBILITY_H */
