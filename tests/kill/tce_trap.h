/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Probes that are safe on a kernel that preempts.
 *
 * A probe at the entry of a function goes through ftrace, and one at another
 * place may be replaced by a branch. On powerpc both return with all registers
 * as they were before the handler, also r13, which has the address of the
 * CPU's paca (REST_GPRS(2, 31) in kernel/trace/ftrace_entry.S and
 * kernel/optprobes_head.S). A task that was preempted there, and continues on
 * another CPU, then uses the paca of the first: two CPUs have the same current
 * task. The return from a trap keeps r13.
 */
#ifndef TCE_TRAP_H
#define TCE_TRAP_H

#include <linux/kprobes.h>

/**
 * tce_trap_find() - place a probe where it is a trap
 * @probe: the probe, without a place, and not yet registered
 * @name: name of a function
 *
 * Selects the instruction after that which ftrace patches, where arguments and
 * the link register are those of the call. /proc/sys/debug/kprobes-optimization
 * must be 0 (tests/qemu/setup-vfio).
 *
 * Return: 0, or the errno of register_kprobe().
 */
static inline int tce_trap_find(struct kprobe *probe, const char *name)
{
	struct kprobe entry = {
		.symbol_name = name,
		.flags = KPROBE_FLAG_DISABLED,
	};
	int ret;

	ret = register_kprobe(&entry);
	if (ret)
		return ret;

	probe->addr = entry.addr;
	if (kprobe_ftrace(&entry))
		probe->addr++;
	unregister_kprobe(&entry);

	return 0;
}

#endif /* TCE_TRAP_H */
