/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Marks for ../bench/profile.c, which runs inside QEMU: instructions that do
 * nothing, and that compilers do not generate. Used by programs and by test
 * modules.
 */
#ifndef TCE_MARK_H
#define TCE_MARK_H

/* A round of a row begins here. */
#define TCE_MARK_ROUND	16
/* Only what comes after this is measured, if a round has begun. */
#define TCE_MARK_BEGIN	17
/* The round ends here, if one has begun. */
#define TCE_MARK_END	18
/* The row has no further round. */
#define TCE_MARK_ROW	19

/* The instruction of a mark: ori R,R,0. */
#define TCE_MARK_INSN(mark)	(0x60000000U + (mark) * 0x210000U)

#define tce_mark(mark) \
	({ __asm__ volatile("ori %0,%0,0" : : "i" (mark) : "memory"); })

#endif /* TCE_MARK_H */
