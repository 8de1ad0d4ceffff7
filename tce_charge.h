/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is charged for the memory of levels.
 */
#ifndef TCE_CHARGE_H
#define TCE_CHARGE_H

#include <linux/atomic.h>
#include <linux/gfp_types.h>

/**
 * DOC: Charging what is allocated
 *
 * locked_vm is changed with the address space's mmap_lock held, for which one may
 * have to sleep; levels come and go where nobody may sleep, too. So what is given back
 * becomes a credit, which new levels are taken from first, and which is settled with the
 * address space by those who may sleep. Who must not sleep and finds the lock taken
 * gets no level.
 */

struct mm_struct;

/**
 * struct tce_charge - an address space that is charged
 * @mm: the address space; the owner of this keeps it
 * @credit: kernel pages that are charged and not used
 */
struct tce_charge {
	struct mm_struct *mm;
	atomic_long_t credit;
};

/**
 * tce_charge_pages() - charge pages to locked_vm
 * @charge: to whom; NULL for nobody
 * @pages: kernel pages
 * @gfp: whether it may sleep, as for an allocation
 *
 * Context: Process; with a @gfp that cannot block, also with locks held.
 * Return: 0; -ENOMEM beyond RLIMIT_MEMLOCK; -EAGAIN if it would have to sleep.
 */
int tce_charge_pages(struct tce_charge *charge, unsigned long pages, gfp_t gfp);

/**
 * tce_charge_return() - give pages back
 * @charge: to whom they were charged; NULL for nobody
 * @pages: kernel pages
 *
 * Context: Any.
 */
void tce_charge_return(struct tce_charge *charge, unsigned long pages);

/**
 * tce_charge_settle() - take what was given back off the address space
 * @charge: the address space; NULL for none
 *
 * Context: Process, may sleep.
 */
void tce_charge_settle(struct tce_charge *charge);

/**
 * tce_charge_credit() - what there is to settle
 * @charge: the address space
 *
 * Context: Any. May be another number at once.
 * Return: Kernel pages.
 */
static inline long tce_charge_credit(const struct tce_charge *charge)
{
	return atomic_long_read(&charge->credit);
}

#endif /* TCE_CHARGE_H */
