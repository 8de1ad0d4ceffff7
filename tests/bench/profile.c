// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU that counts how often each instruction of the guest is
 * executed while a row of the benchmark is measured (tce_mark.h):
 *	-plugin profile.so,out=FILE
 * Of the rounds of a row it keeps the shortest one. For each row FILE gets a
 * line "row N", with the number of instructions, and then, for each address,
 * a line with the address and how often it was executed.
 *
 * For machines with one CPU. The machine must be little-endian, as the host
 * must be.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kvm/tce_mark.h"
#include "plugin.h"

/**
 * struct insn - an address at which instructions were translated
 * @next: in the same bucket of the hash table
 * @addr: the address
 * @word: the instruction there
 * @now: how often it was executed in this round
 * @best: how often in the shortest round of the row
 * @listed: the address is in the list of the row
 */
struct insn {
	struct insn *next;
	uint64_t addr;
	uint32_t word;
	uint64_t now;
	uint64_t best;
	bool listed;
};

#define BUCKETS		65536

static struct insn *buckets[BUCKETS];
/* Addresses that were executed in a round of this row. */
static struct insn **list;
static size_t listed, room;
static bool counting;
static uint64_t now, best = UINT64_MAX;
static FILE *out;

QEMU_PLUGIN_EXPORT int qemu_plugin_version = 3;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* An address may be translated again, with another instruction. */
static struct insn *insn_of(uint64_t addr, uint32_t word)
{
	struct insn **bucket = &buckets[addr / 4 % BUCKETS], *insn;

	for (insn = *bucket; insn; insn = insn->next)
		if (insn->addr == addr && insn->word == word)
			return insn;

	insn = calloc(1, sizeof(*insn));
	if (!insn)
		die("calloc");
	insn->addr = addr;
	insn->word = word;
	insn->next = *bucket;
	*bucket = insn;

	return insn;
}

static void add(struct insn *insn)
{
	if (listed == room) {
		room = room ? 2 * room : 4096;
		list = realloc(list, room * sizeof(*list));
		if (!list)
			die("realloc");
	}
	list[listed++] = insn;
	insn->listed = true;
}

static void forget(void)
{
	size_t i;

	for (i = 0; i < listed; i++)
		list[i]->now = 0;
	now = 0;
}

static void round_end(void)
{
	bool better = now < best;
	size_t i;

	for (i = 0; i < listed && better; i++)
		list[i]->best = list[i]->now;
	if (better)
		best = now;
	forget();
	counting = false;
}

static void row_end(void)
{
	size_t i;

	fprintf(out, "row %" PRIu64 "\n", listed ? best : 0);
	for (i = 0; i < listed; i++) {
		if (list[i]->best)
			fprintf(out, "%" PRIx64 " %" PRIu64 "\n",
				list[i]->addr, list[i]->best);
		list[i]->best = 0;
		list[i]->listed = false;
	}
	if (fflush(out))
		die("write");
	listed = 0;
	best = UINT64_MAX;
}

static void executed(unsigned int cpu, void *data)
{
	struct insn *insn = data;

	(void)cpu;
	switch (insn->word) {
	case TCE_MARK_INSN(TCE_MARK_ROUND):
		counting = true;
		return;
	case TCE_MARK_INSN(TCE_MARK_BEGIN):
		forget();
		return;
	case TCE_MARK_INSN(TCE_MARK_END):
		if (counting)
			round_end();
		return;
	case TCE_MARK_INSN(TCE_MARK_ROW):
		row_end();
		return;
	}
	if (!counting)
		return;
	if (!insn->listed)
		add(insn);
	insn->now++;
	now++;
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t i, count = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t addr = qemu_plugin_insn_vaddr(insn);
		uint32_t word = 0;

		qemu_plugin_insn_data(insn, &word, sizeof(word));
		qemu_plugin_register_vcpu_insn_exec_cb(insn, executed,
						       QEMU_PLUGIN_CB_NO_REGS,
						       insn_of(addr, word));
	}
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "profile: usage: profile.so,out=FILE\n");
		return -1;
	}
	out = fopen(argv[0] + 4, "w");
	if (!out) {
		perror(argv[0] + 4);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);

	return 0;
}
