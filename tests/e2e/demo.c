// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine that the driver was written for: 16 GiB of memory at 0, and 16
 * GiB of GPU memory at 0x244000000000. A device moves data at both ends of
 * each, through a window that covers them; the size of the table is printed.
 */

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define PAGE_SHIFT	16
#define LEVELS		3
#define WINDOW_BYTES	(1ULL << 46)
#define END_BYTES	(16ULL << 30)
#define HIGH_START	0x244000000000ULL
/* Not mapped. */
#define HOLE		0x100000000000ULL
/* Above all memory. */
#define STAGE		0x300000000000ULL
/* The same memory is mapped again and again. */
#define MEMORY_BYTES	(64ULL << 20)

static struct vfio vfio;
static unsigned char *memory;

static void check(int ret, const char *what)
{
	if (ret)
		tap_bail("%s: %s", what, strerror(-ret));
}

static void map_range(uint64_t start)
{
	uint64_t offset;

	for (offset = 0; offset < END_BYTES; offset += MEMORY_BYTES)
		check(vfio_map(vfio.container, start + offset, memory,
			       MEMORY_BYTES, MAP_BOTH), "MAP_DMA");
}

/* Moves data into the device and out of it, at the first and the last page. */
static bool moves_data(uint64_t start)
{
	uint64_t last = END_BYTES - (1 << PAGE_SHIFT);
	unsigned char *last_page = memory + MEMORY_BYTES - (1 << PAGE_SHIFT);

	return edu_reads(&vfio, start, memory) &&
	       edu_writes(&vfio, start, memory) &&
	       edu_reads(&vfio, start + last, last_page) &&
	       edu_writes(&vfio, start + last, last_page);
}

static const char *mebibytes(uint64_t bytes, char *text, size_t size)
{
	snprintf(text, size, "%9.2f MiB", bytes / (double)(1 << 20));

	return text;
}

/* Prints the figures of the window in debugfs, for scripts/demo. */
static void print_figures(uint64_t start)
{
	char path[PATH_MAX], line[256];
	FILE *file = NULL;

	if (window_path(start, "figures", path, sizeof(path)))
		file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		printf("demo.figures %s", line);
	if (file)
		fclose(file);
}

/*
 * Prints the mappings. Adjacent ones are printed as one, even if their memory
 * is not contiguous.
 */
static void print_mappings(uint64_t start)
{
	uint64_t from = 0, bytes = 0, physical = 0, next, more, at;
	char path[PATH_MAX], perm[3] = "", also[3];
	FILE *file = NULL;

	if (window_path(start, "mappings", path, sizeof(path)))
		file = fopen(path, "r");
	while (file && fscanf(file, "%" SCNu64 " %" SCNu64 " %2s %" SCNu64,
			      &next, &more, also, &at) == 4) {
		if (bytes && from + bytes == next && !strcmp(perm, also)) {
			bytes += more;
			continue;
		}
		if (bytes)
			printf("demo.mappings %" PRIu64 " %" PRIu64
			       " %s %" PRIu64 "\n",
			       from, bytes, perm, physical);
		from = next;
		bytes = more;
		physical = at;
		memcpy(perm, also, sizeof(perm));
	}
	if (bytes)
		printf("demo.mappings %" PRIu64 " %" PRIu64 " %s %" PRIu64 "\n",
		       from, bytes, perm, physical);
	if (file)
		fclose(file);
}

static void print_window(uint64_t start)
{
	char path[PATH_MAX];

	if (!window_path(start, "", path, sizeof(path)))
		tap_bail("no window in debugfs");
	printf("demo.window %s\n", path);
	print_figures(start);
	print_mappings(start);
}

static void show(const char *what, bool good)
{
	printf("  %-52s %s\n", what, good ? "yes" : "NO");
}

int main(void)
{
	bool low, high, blocked;
	struct figures figures;
	struct utsname name;
	uint64_t start;
	char text[32];

	uname(&name);
	vfio_open(&vfio);
	memory = vfio_memory(MEMORY_BYTES);

	check(vfio_register(vfio.container, memory, MEMORY_BYTES),
	      "REGISTER_MEMORY");
	check(vfio_remove(vfio.container, 0),
	      "TCE_REMOVE of the default window");
	check(vfio_create(vfio.container, PAGE_SHIFT, WINDOW_BYTES, LEVELS,
			  &start), "TCE_CREATE");
	if (start)
		tap_bail("the window begins at %#" PRIx64, start);

	if (!figures_read(start, &figures))
		tap_bail("no figures in debugfs");
	printf("Linux %s, window of 2^46 bytes, 64K pages, %d levels\n",
	       name.release, LEVELS);
	printf("  %-40s %s\n", "table when the window is new",
	       mebibytes(figures.hw_bytes, text, sizeof(text)));

	map_range(0);
	map_range(HIGH_START);
	edu_stage(&vfio, STAGE);

	low = moves_data(0);
	high = moves_data(HIGH_START);
	blocked = !edu_reads(&vfio, HOLE, memory) &&
		  !edu_writes(&vfio, HOLE, memory) &&
		  !edu_reads(&vfio, HIGH_START + END_BYTES, memory);

	if (!figures_read(start, &figures))
		tap_bail("no figures in debugfs");
	print_window(start);
	/* The stage does not count. */
	figures.mapped_pages--;

	printf("  %-40s %s\n", "mapped: 16 GiB at 0 and at 0x244000000000",
	       mebibytes(figures.mapped_pages << PAGE_SHIFT, text,
			 sizeof(text)));
	printf("  %-40s %s\n", "table of the hardware",
	       mebibytes(figures.hw_bytes, text, sizeof(text)));
	printf("  %-40s %s\n", "userspace view",
	       mebibytes(figures.user_bytes, text, sizeof(text)));
	printf("  %-40s %s\n", "a whole table would take",
	       mebibytes(figures.whole_table_bytes, text, sizeof(text)));
	show("the device reads and writes at 0", low);
	show("the device reads and writes at 0x244000000000", high);
	show("an address that is not mapped is blocked", blocked);

	printf("demo.json {\"kernel\": \"%s\", ", name.release);
	printf("\"dma_low\": %s, \"dma_high\": %s, ",
	       low ? "true" : "false", high ? "true" : "false");
	printf("\"dma_unmapped_blocked\": %s, \"mapped_bytes\": %" PRIu64 ", ",
	       blocked ? "true" : "false", figures.mapped_pages << PAGE_SHIFT);
	printf("\"hw_bytes\": %" PRIu64 ", \"user_bytes\": %" PRIu64 ", ",
	       figures.hw_bytes, figures.user_bytes);
	printf("\"whole_table_bytes\": %" PRIu64 "}\n",
	       figures.whole_table_bytes);
	fflush(stdout);

	return low && high && blocked &&
	       figures.mapped_pages << PAGE_SHIFT == 2 * END_BYTES &&
	       figures.hw_bytes < 4700 * 1024 ? 0 : 1;
}
