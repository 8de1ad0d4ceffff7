// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is charged for the memory of levels. Contract: tce_charge.h.
 */

#include <linux/capability.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/rwsem.h>
#include <linux/sched.h>

#include "tce_charge.h"

static bool tce_charge_use_credit(struct tce_charge *charge,
				  unsigned long pages)
{
	long credit = atomic_long_read(&charge->credit);

	do {
		if (credit < (long)pages)
			return false;
	} while (!atomic_long_try_cmpxchg(&charge->credit, &credit,
					  credit - pages));

	return true;
}

int tce_charge_pages(struct tce_charge *charge, unsigned long pages, gfp_t gfp)
{
	int ret;

	if (!charge || tce_charge_use_credit(charge, pages))
		return 0;

	if (gfpflags_allow_blocking(gfp))
		return account_locked_vm(charge->mm, pages, true);

	/* No address range changes, so the semaphore alone will do. */
	if (!down_write_trylock(&charge->mm->mmap_lock))
		return -EAGAIN;

	ret = __account_locked_vm(charge->mm, pages, true, current,
				  capable(CAP_IPC_LOCK));
	up_write(&charge->mm->mmap_lock);

	return ret;
}

void tce_charge_return(struct tce_charge *charge, unsigned long pages)
{
	if (charge)
		atomic_long_add(pages, &charge->credit);
}

void tce_charge_settle(struct tce_charge *charge)
{
	if (charge)
		account_locked_vm(charge->mm,
				  atomic_long_xchg(&charge->credit, 0), false);
}
