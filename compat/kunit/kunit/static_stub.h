/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For kernels whose KUnit has no static stubs.
 */
#ifndef COMPAT_KUNIT_STATIC_STUB_H
#define COMPAT_KUNIT_STATIC_STUB_H

#define KUNIT_STATIC_STUB_REDIRECT(args...) do { } while (0)

#endif /* COMPAT_KUNIT_STATIC_STUB_H */
