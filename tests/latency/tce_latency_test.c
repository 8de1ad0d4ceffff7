// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures how long the module under test keeps interrupts or preemption off.
 * The kernel's tracers (irqsoff, preemptoff) report only the longest section of
 * the whole kernel, which hides those of the module. This keeps the longest
 * section at whose end a function of the module is in the backtrace ("any"),
 * and the longest one that the module has ended itself ("own"). The latter does
 * not include interrupts, nor kernel functions that turn interrupts off.
 *
 * For a kernel with both tracers, on a machine with one CPU whose clock
 * advances by a nanosecond per instruction. The result is in debugfs,
 * tce_latency_test.
 */

#include <linux/compiler.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/kallsyms.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#include <asm/time.h>

#define MODULE_MARK		" [vfio_iommu_spapr_tce]"

/* Shorter sections are ignored; checking a backtrace takes much longer. */
#define LATENCY_LEAST		1000
#define LATENCY_DEPTH		24

enum { LATENCY_OWN, LATENCY_ANY, LATENCY_KINDS };

/**
 * struct latency_worst - the longest section
 * @ns: length in nanoseconds
 * @depth: number of entries in @trace
 * @trace: backtrace of its end
 */
struct latency_worst {
	u64 ns;
	unsigned int depth;
	unsigned long trace[LATENCY_DEPTH];
};

/**
 * struct latency - interrupts or preemption
 * @name: "interrupts" or "preemption"
 * @off: they are off
 * @since: timebase when they were turned off
 * @others: part of the time since then that does not count as the module's own
 * @worst: the longest sections by kind
 */
struct latency {
	const char *name;
	bool off;
	u64 since;
	u64 others;
	struct latency_worst worst[LATENCY_KINDS];
};

static struct latency latency_irq = { .name = "interrupts" };
static struct latency latency_preempt = { .name = "preemption" };

/* Set while this module works, which is not measured. There is only one CPU. */
static bool latency_busy;

/* Timebase of the last event, and whether it was in a softirq. */
static u64 latency_last;
static bool latency_last_softirq;

static void latency_account(u64 now)
{
	bool softirq = in_serving_softirq();

	if (softirq || latency_last_softirq)
		latency_preempt.others += now - latency_last;
	latency_last_softirq = softirq;
	latency_last = now;
	/* The idle task runs with preemption off, which delays no task. */
	if (is_idle_task(current))
		latency_preempt.off = false;
}

/*
 * Functions between the probe and the one that turned interrupts or preemption
 * on.
 */
static bool latency_is_instrumentation(const char *symbol)
{
	static const char *const prefixes[] = {
		"latency_", "__traceiter_", "trace_",
		"preempt_", "_raw_",	    "__local_bh_",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strstarts(symbol, prefixes[i]))
			return true;

	return false;
}

/*
 * The kind of a section, or LATENCY_KINDS if the module is not involved.
 * Functions of a page fault or an interrupt were not called by the module.
 */
static unsigned int latency_kind(const unsigned long *trace, unsigned int depth)
{
	unsigned int kind = LATENCY_OWN, i;
	char symbol[KSYM_SYMBOL_LEN];

	for (i = 0; i < depth; i++) {
		sprint_symbol(symbol, trace[i]);
		if (strstr(symbol, MODULE_MARK))
			return kind;
		if (strstr(symbol, "_common_virt+") ||
		    strstr(symbol, "_common_real+") ||
		    strstarts(symbol, "interrupt_return"))
			break;
		if (!latency_is_instrumentation(symbol))
			kind = LATENCY_ANY;
	}

	return LATENCY_KINDS;
}

static void latency_compare(struct latency *latency, u64 all, u64 own)
{
	struct latency_worst new = {};
	unsigned int kind;

	new.depth = stack_trace_save(new.trace, LATENCY_DEPTH, 0);
	kind = latency_kind(new.trace, new.depth);
	if (kind == LATENCY_OWN && own > latency->worst[LATENCY_OWN].ns) {
		new.ns = own;
		latency->worst[LATENCY_OWN] = new;
	}
	if (kind < LATENCY_KINDS && all > latency->worst[LATENCY_ANY].ns) {
		new.ns = all;
		latency->worst[LATENCY_ANY] = new;
	}
}

static void latency_begin(void *data, unsigned long ip, unsigned long parent)
{
	struct latency *latency = data;

	if (latency_busy)
		return;

	latency_account(get_tb());
	latency->off = true;
	latency->others = 0;
	latency->since = get_tb();
}

static void latency_end(void *data, unsigned long ip, unsigned long parent)
{
	struct latency *latency = data;
	u64 since, now, all, own, spent;

	if (latency_busy)
		return;

	/* An interrupt handler whose own section is longest moves @since. */
	do {
		since = READ_ONCE(latency->since);
		now = get_tb();
	} while (since != READ_ONCE(latency->since));

	/* Interrupt handlers, and kernel functions that turn interrupts off. */
	if (latency == &latency_irq && latency->off && !latency_last_softirq)
		latency_preempt.others +=
			now - max(since, latency_preempt.since);
	latency_account(now);
	if (!latency->off)
		return;

	latency->off = false;
	all = tb_to_ns(now - since);
	own = all - min(all, tb_to_ns(latency->others));
	if (all < LATENCY_LEAST || (own <= latency->worst[LATENCY_OWN].ns &&
				    all <= latency->worst[LATENCY_ANY].ns))
		return;

	latency_busy = true;
	latency_compare(latency, all, own);
	/* Do not count the time spent here in a section that is still open. */
	latency_last = get_tb();
	spent = latency_last - now;
	latency_irq.since += spent;
	latency_preempt.since += spent;
	latency_busy = false;
}

static struct latency_probe {
	const char *name;
	void (*probe)(void *data, unsigned long ip, unsigned long parent);
	struct latency *latency;
	struct tracepoint *point;
} latency_probes[] = {
	{ "irq_disable", latency_begin, &latency_irq },
	{ "irq_enable", latency_end, &latency_irq },
	{ "preempt_disable", latency_begin, &latency_preempt },
	{ "preempt_enable", latency_end, &latency_preempt },
};

static void latency_find(struct tracepoint *point, void *data)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(latency_probes); i++)
		if (!strcmp(point->name, latency_probes[i].name))
			latency_probes[i].point = point;
}

static void latency_unregister(unsigned int count)
{
	while (count--)
		tracepoint_probe_unregister(latency_probes[count].point,
					    latency_probes[count].probe,
					    latency_probes[count].latency);
	tracepoint_synchronize_unregister();
}

static int latency_register(void)
{
	unsigned int i;
	int ret;

	for_each_kernel_tracepoint(latency_find, NULL);
	for (i = 0; i < ARRAY_SIZE(latency_probes); i++) {
		struct latency_probe *probe = &latency_probes[i];

		ret = probe->point ?
		      tracepoint_probe_register(probe->point, probe->probe,
						probe->latency) : -ENOENT;
		if (ret) {
			latency_unregister(i);
			return ret;
		}
	}

	return 0;
}

/* A line for each section, followed by the backtrace of its end. */
static void latency_print(struct seq_file *seq, const struct latency *latency)
{
	static const char * const kinds[] = { "own", "any" };
	unsigned int kind, i;

	for (kind = 0; kind < LATENCY_KINDS; kind++) {
		const struct latency_worst *worst = &latency->worst[kind];

		seq_printf(seq, "%s %s %llu\n", latency->name, kinds[kind],
			   worst->ns);
		for (i = 0; i < worst->depth; i++)
			seq_printf(seq, "  %pS\n", (void *)worst->trace[i]);
	}
}

static int latency_show(struct seq_file *seq, void *unused)
{
	latency_print(seq, &latency_irq);
	latency_print(seq, &latency_preempt);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(latency);

static struct dentry *latency_file;

static int __init tce_latency_test_init(void)
{
	int ret;

	if (num_online_cpus() > 1)
		return -EINVAL;

	ret = latency_register();
	if (!ret)
		latency_file = debugfs_create_file("tce_latency_test", 0400,
						   NULL, NULL, &latency_fops);

	return ret;
}

static void __exit tce_latency_test_exit(void)
{
	debugfs_remove(latency_file);
	latency_unregister(ARRAY_SIZE(latency_probes));
}

module_init(tce_latency_test_init);
module_exit(tce_latency_test_exit);
MODULE_DESCRIPTION("Measures how long interrupts or preemption are off");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");
