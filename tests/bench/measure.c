// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures rows, and opens their window. Contract: bench.h.
 *
 * A row is printed as JSON in one line, for scripts/lib/bench-table:
 *	bench.json {"work": ..., "param": ..., "per": ..., "cost": ...,
 *	"kills": [n, pages]}
 * Kills are counted in a round that is not measured, because the probe costs
 * instructions.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "../kvm/tce_mark.h"

/* Longer work is not repeated: the noise of timer interrupts is small in it. */
#define MAX_REPEATED_NS		100000000ULL

#define EVENT		TRACING "events/kprobes/bench_kill/"
/* The platform's it_ops->tce_kill(tbl, index, pages). */
#define PROBE "p:bench_kill pnv_pci_ioda2_tce_invalidate pages=%gpr5:u64"
#define COUNT		"hist:keys=common_pid:vals=pages"

struct kills {
	uint64_t kills;
	uint64_t pages;
};

struct vfio bench_vfio;
__u64 bench_window;

static const struct geometry *opened;
static const void *registered;

uint64_t bench_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);

	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

void bench_must(int ret, const char *what)
{
	if (ret)
		tap_bail("%s: %s", what, strerror(-ret));
}

bool bench_selected(const char *work, uint64_t param)
{
	const char *patterns = getenv("ROWS");
	char name[128], list[1024], *next, *pattern;

	if (!patterns || !*patterns)
		return true;

	snprintf(name, sizeof(name), "%s-%" PRIu64, work, param);
	snprintf(list, sizeof(list), "%s", patterns);
	for (pattern = strtok_r(list, ",", &next); pattern;
	     pattern = strtok_r(NULL, ",", &next))
		if (!fnmatch(pattern, name, 0) || !fnmatch(pattern, work, 0))
			return true;

	return false;
}

/* Kills */

void bench_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		tap_bail("%s: %s: %s", path, text, strerror(errno));
	close(fd);
}

/* TCEs of a hypervisor's tables are not killed by the kernel. */
static bool can_count_kills(void)
{
	static int counted = -1;

	if (counted < 0) {
		counted = !vfio_is_guest() && !access(TRACING, F_OK);
		if (counted)
			bench_write(TRACING "kprobe_events", PROBE);
	}

	return counted;
}

/* The probe is enabled only while it counts. */
static void kills_start(void)
{
	if (can_count_kills())
		bench_write(EVENT "trigger", COUNT);
}

static struct kills kills_stop(void)
{
	struct kills kills = {};
	uint64_t hits, pages;
	char line[256];
	FILE *file;

	if (!can_count_kills())
		return kills;

	file = fopen(EVENT "hist", "r");
	if (!file)
		tap_bail(EVENT "hist: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line,
			   "{%*[^}]} hitcount: %" SCNu64 " pages: %" SCNu64,
			   &hits, &pages) != 2)
			continue;
		kills.kills += hits;
		kills.pages += pages;
	}
	fclose(file);
	bench_write(EVENT "trigger", "!" COUNT);

	return kills;
}

/* Rows */

static uint64_t run(const struct row *row)
{
	uint64_t start, cost;

	if (row->timed) {
		tce_mark(TCE_MARK_ROUND);
		cost = row->timed();
		tce_mark(TCE_MARK_END);
		return cost;
	}

	start = bench_now();
	tce_mark(TCE_MARK_ROUND);
	row->run();
	tce_mark(TCE_MARK_END);
	cost = bench_now() - start;

	return cost;
}

static uint64_t one_round(const struct row *row)
{
	uint64_t cost;

	if (row->before)
		row->before();
	cost = run(row);
	if (row->after)
		row->after();

	return cost;
}

static struct kills counted_round(const struct row *row)
{
	struct kills kills;

	if (row->before)
		row->before();
	kills_start();
	run(row);
	if (row->wait)
		sleep(row->wait);
	kills = kills_stop();
	if (row->after)
		row->after();

	return kills;
}

void bench_row(const struct row *row)
{
	unsigned int round, rounds = row->rounds ?: BENCH_ROUNDS;
	uint64_t best = UINT64_MAX, cost = 0;
	struct kills kills = {};

	if (!bench_selected(row->work, row->param))
		return;

	/*
	 * This round also allocates levels and slab pages, once for all rounds.
	 */
	if (rounds > 1)
		kills = counted_round(row);
	for (round = 0; round < rounds && cost < MAX_REPEATED_NS; round++) {
		cost = one_round(row);
		if (cost == BENCH_FAILED) {
			printf("# %s-%" PRIu64 ": failed\n", row->work,
			       row->param);
			tce_mark(TCE_MARK_ROW);
			return;
		}
		best = cost < best ? cost : best;
	}

	printf("bench.json {\"work\": \"%s\", \"param\": %" PRIu64
	       ", \"per\": %" PRIu64 ", \"cost\": %" PRIu64, row->work,
	       row->param, row->per ?: 1, best);
	if (can_count_kills() && rounds > 1)
		printf(", \"kills\": [%" PRIu64 ", %" PRIu64 "]", kills.kills,
		       kills.pages);
	printf("}\n");
	tce_mark(TCE_MARK_ROW);
}

void bench_figure(const char *work, uint64_t param, uint64_t figure)
{
	printf("bench.json {\"work\": \"%s\", \"param\": %" PRIu64
	       ", \"per\": 1, \"cost\": %" PRIu64 "}\n", work, param, figure);
}

/* The window */

/* Number of entries of a leaf if a level has at least 1 << @least entries. */
static uint64_t leaf(const struct geometry *geometry, unsigned int least)
{
	unsigned int entries = geometry->window_shift - geometry->page_shift;
	unsigned int shift =
		(entries + geometry->levels - 1) / geometry->levels;

	return 1ULL << (shift > least ? shift : least);
}

/*
 * Levels are at least 4 KiB in this module, a kernel page in the in-tree one.
 */
uint64_t bench_leaf_ours(const struct geometry *geometry)
{
	return leaf(geometry, 9);
}

uint64_t bench_leaf_both(const struct geometry *geometry)
{
	return leaf(geometry, vfio_page_shift() - 3);
}

bool bench_phb3(void)
{
	/* Only PHB3 has IOMMU pages of 16M. */
	return !vfio_is_guest() && vfio_limits()->ddw.pgsizes & BIT_ULL(24);
}

/*
 * PHB3 invalidates page by page. In-tree, removing a window invalidates all of
 * its pages: with more pages than this it takes many minutes.
 */
#define PHB3_SHIFT	28

/*
 * Rows are measured with both modules, so the lower limits apply: those of the
 * in-tree module, and in a guest those of the hypervisor.
 */
bool bench_supported(const struct geometry *geometry)
{
	unsigned int shift = __builtin_ctzll(bench_leaf_both(geometry));

	if (!(vfio_limits()->ddw.pgsizes & BIT_ULL(geometry->page_shift)))
		return false;
	if (vfio_is_guest())
		return geometry->levels == 1 && geometry->window_shift <= 36;
	if (bench_phb3() &&
	    geometry->window_shift - geometry->page_shift > PHB3_SHIFT)
		return false;

	return geometry->levels <= vfio_limits()->ddw.levels && shift <= 21 &&
	       shift * geometry->levels + geometry->page_shift < 55;
}

void bench_close(void)
{
	if (opened)
		vfio_close(&bench_vfio);
	opened = NULL;
}

void bench_open(const struct geometry *geometry, const void *memory,
		uint64_t size)
{
	if (opened == geometry && registered == memory)
		return;

	bench_close();
	vfio_open(&bench_vfio);
	bench_must(vfio_remove(bench_vfio.container, 0), "TCE_REMOVE");
	bench_must(vfio_create(bench_vfio.container, geometry->page_shift,
			       1ULL << geometry->window_shift, geometry->levels,
			       &bench_window), "TCE_CREATE");
	if (memory)
		bench_must(vfio_register(bench_vfio.container, memory, size),
			   "REGISTER_MEMORY");
	opened = geometry;
	registered = memory;
}

void bench_map(uint64_t offset, const void *memory, uint64_t size)
{
	bench_must(vfio_map(bench_vfio.container, bench_window + offset, memory,
			    size, MAP_BOTH), "MAP_DMA");
}

void bench_unmap(uint64_t offset, uint64_t size)
{
	bench_must(vfio_unmap(bench_vfio.container, bench_window + offset,
			      size),
		   "UNMAP_DMA");
}
