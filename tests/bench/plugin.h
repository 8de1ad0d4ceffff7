/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What profile.c uses of QEMU's interface for plugins, version 3
 * (docs/devel/tcg-plugins.rst of QEMU). No package of Debian has its header.
 */
#ifndef BENCH_PLUGIN_H
#define BENCH_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#define QEMU_PLUGIN_EXPORT	__attribute__((visibility("default")))

/* A block of instructions that is being translated, and one of them. */
struct qemu_plugin_tb;
struct qemu_plugin_insn;

/* QEMU reads these of a plugin. */
extern QEMU_PLUGIN_EXPORT int qemu_plugin_version;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(uint64_t id, const void *info,
					   int argc, char **argv);

typedef void (*qemu_plugin_translated)(uint64_t id, struct qemu_plugin_tb *tb);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   qemu_plugin_translated callback);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *
qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to,
			     size_t size);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

/* The callback reads no registers of the CPU. */
#define QEMU_PLUGIN_CB_NO_REGS	0

/* @callback is called before the instruction is executed. */
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*callback)(unsigned int cpu,
							     void *data),
					    int flags, void *data);

#endif /* BENCH_PLUGIN_H */
