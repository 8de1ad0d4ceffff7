/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Goes with static_stub.h: for kernels that may lack
 * include/kunit/visibility.h.
 */
#ifndef COMPAT_KUNIT_VISIBILITY_H
#define COMPAT_KUNIT_VISIBILITY_H

#if IS_ENABLED(CONFIG_KUNIT)
#define VISIBLE_IF_KUNIT
#else
#define VISIBLE_IF_KUNIT static
#endif

#endif /* COMPAT_KUNIT_VISIBILITY_H */
