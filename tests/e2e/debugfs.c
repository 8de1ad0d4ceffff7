// SPDX-License-Identifier: GPL-2.0-only
/*
 * What debugfs shows of a window: the lines of "mappings" to the letter, the lines of
 * "figures" against each other and against what is mapped, and both while the window
 * goes. Where the pages are in memory is asked of /proc/self/pagemap.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"
#include "tap.h"
#include "vfio.h"

#define DEBUGFS		"/sys/kernel/debug/vfio_iommu_spapr_tce"

/* The default window's pages; what is in a leaf; where pages are mapped. */
#define IOMMU_PAGE	0x1000ULL
#define LEAF_BYTES	(512 * IOMMU_PAGE)
#define IOVA		0x100000ULL
#define MEMORY		(2 * LEAF_BYTES)
/* More lines than seq_file's first buffer holds, with kernel pages of 64K too. */
#define LINES		4000
#define TEXT		(LINES * 80)

static struct vfio vfio;
static unsigned char *memory;
static size_t page;

/* What "mappings" should say, and the line that is not at its end yet. */
static char want[TEXT], got[TEXT];
static struct {
	__u64 iova;
	__u64 bytes;
	__u64 physical;
	unsigned int flags;
} line;

static __u64 physical_of(const unsigned char *address)
{
	__u64 entry;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, &entry, sizeof(entry), (uintptr_t)address / page *
			    sizeof(entry)) != sizeof(entry))
		tap_bail("pagemap: %s", strerror(errno));
	close(fd);
	if (!(entry >> 63))
		tap_bail("a page is not there");

	return (entry & (BIT_ULL(55) - 1)) * page + (uintptr_t)address % page;
}

static void want_end(void)
{
	size_t length = strlen(want);

	if (line.bytes)
		snprintf(want + length, sizeof(want) - length, "%#lx %#lx %c%c %#lx\n",
			 line.iova, line.bytes, line.flags & MAP_READ ? 'r' : '-',
			 line.flags & MAP_WRITE ? 'w' : '-', line.physical);
	line.bytes = 0;
}

/* In the order of bus addresses. */
static void want_mapped(__u64 iova, const unsigned char *address, __u64 bytes,
			unsigned int flags)
{
	/* The hardware reads before it writes. */
	if (flags & MAP_WRITE && !vfio_hypervised())
		flags |= MAP_READ;

	for (; bytes; bytes -= IOMMU_PAGE) {
		__u64 physical = physical_of(address);

		if (line.bytes && (line.iova + line.bytes != iova ||
				   line.physical + line.bytes != physical ||
				   line.flags != flags))
			want_end();
		if (!line.bytes) {
			line.iova = iova;
			line.physical = physical;
			line.flags = flags;
		}
		line.bytes += IOMMU_PAGE;
		iova += IOMMU_PAGE;
		address += IOMMU_PAGE;
	}
}

static void map(__u64 iova, const unsigned char *address, __u64 bytes, unsigned int flags)
{
	CHECK_EQ(vfio_map(vfio.container, iova, address, bytes, flags), 0);
	want_mapped(iova, address, bytes, flags);
}

static void begin(void)
{
	want[0] = '\0';
	line.bytes = 0;
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, MEMORY), 0);
}

/* The path of a file of the newest window. */
static const char *path_of(const char *name)
{
	static char path[sizeof(DEBUGFS) + 100];
	struct dirent *entry;
	DIR *dir = opendir(DEBUGFS);
	long newest = -1;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && atol(entry->d_name) > newest)
			newest = atol(entry->d_name);
	if (newest < 0)
		tap_bail("there is no window in " DEBUGFS);
	closedir(dir);
	snprintf(path, sizeof(path), DEBUGFS "/%ld/%s", newest, name);

	return path;
}

static int open_file(const char *name)
{
	int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		tap_bail("%s: %s", path_of(name), strerror(errno));

	return fd;
}

/* To the end, so many bytes a call. */
static const char *read_on(int fd, size_t bytes)
{
	size_t length = 0;
	ssize_t ret;

	do {
		if (bytes > sizeof(got) - 1 - length)
			bytes = sizeof(got) - 1 - length;
		ret = read(fd, got + length, bytes);
		if (ret > 0)
			length += ret;
	} while (ret > 0 && bytes);
	CHECK_EQ(ret, 0);
	got[length] = '\0';

	return got;
}

static const char *read_file(const char *name)
{
	int fd = open_file(name);

	read_on(fd, sizeof(got));
	close(fd);

	return got;
}

static void check_mappings(void)
{
	const char *at, *other;

	want_end();
	if (CHECK(!strcmp(read_file("mappings"), want)))
		return;
	/* From the first line that differs on. */
	for (at = got, other = want; *at && *at == *other; at++)
		other++;
	for (; at > got && at[-1] != '\n'; at--)
		other--;
	tap_diag("there is %.60s", at);
	tap_diag("not      %.60s", other);
}

static void test_lines(void)
{
	begin();
	map(0, memory, page, MAP_BOTH);
	/* In a row with it, but not in memory, or not for the same. */
	map(page, memory, page, MAP_BOTH);
	map(2 * page, memory + page, page, MAP_READ);
	map(3 * page, memory + 2 * page, page, MAP_WRITE);
	/* In a row in memory, but not on the bus. */
	map(IOVA, memory, IOMMU_PAGE, MAP_READ);
	map(IOVA + 2 * IOMMU_PAGE, memory + IOMMU_PAGE % page, IOMMU_PAGE, MAP_READ);
	check_mappings();

	CHECK_EQ(vfio_unmap(vfio.container, 0, LEAF_BYTES), 0);
	want[0] = '\0';
	check_mappings();
	vfio_close(&vfio);
}

/* A line goes on in the next leaf, and over one that is not there it does not. */
static void test_leaves(void)
{
	begin();
	map(LEAF_BYTES - 8 * page, memory, 16 * page, MAP_BOTH);
	map(3 * LEAF_BYTES - page, memory, page, MAP_BOTH);
	map(7 * LEAF_BYTES, memory + page, page, MAP_BOTH);
	check_mappings();
	vfio_close(&vfio);
}

static void test_second_window(void)
{
	__u64 start, size = BIT_ULL(30);

	begin();
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK_EQ(vfio_create(vfio.container, vfio_page_shift(), size, 1, &start), 0);
	CHECK_EQ(vfio_map(vfio.container, start + page, memory, page, MAP_READ), 0);
	CHECK_EQ(vfio_map(vfio.container, start + size - page, memory + page, page,
			  MAP_READ), 0);
	snprintf(want, sizeof(want), "%#lx %#zx r- %#lx\n%#lx %#zx r- %#lx\n",
		 start + page, page, physical_of(memory),
		 start + size - page, page, physical_of(memory + page));
	check_mappings();
	vfio_close(&vfio);
}

/* Every second page of a part of the window. */
static void map_lines(void)
{
	unsigned int i;

	for (i = 0; i < LINES; i++)
		map(IOVA + 2 * i * IOMMU_PAGE, memory + i % (MEMORY / IOMMU_PAGE) * IOMMU_PAGE,
		    IOMMU_PAGE, MAP_BOTH);
}

static void test_pieces(void)
{
	static const size_t sizes[] = { 1000, 4096, 65536, TEXT };
	size_t i;
	int fd;

	begin();
	map_lines();
	check_mappings();
	fd = open_file("mappings");
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
		CHECK(!strcmp(read_on(fd, sizes[i]), want));
	}
	CHECK_EQ(lseek(fd, strlen(want) / 2, SEEK_SET), strlen(want) / 2);
	CHECK(!strcmp(read_on(fd, TEXT), want + strlen(want) / 2));
	close(fd);
	vfio_close(&vfio);
}

/* What goes while somebody reads is not missed: the rest is what is there by then. */
static void test_unmapped_meanwhile(void)
{
	char *rest;
	int fd;

	begin();
	map_lines();
	want_end();
	fd = open_file("mappings");
	CHECK_EQ(read(fd, got, 100), 100);
	CHECK(!strncmp(got, want, 100));
	CHECK_EQ(vfio_unmap(vfio.container, IOVA, (2 * LINES - 1) * IOMMU_PAGE), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA + 2 * LINES * IOMMU_PAGE, memory, IOMMU_PAGE,
			  MAP_READ), 0);
	read_on(fd, sizeof(got));
	close(fd);
	rest = strrchr(got, 'r');
	CHECK(rest && !strncmp(rest, "r- ", 3));
	CHECK(strlen(got) < strlen(want) - 100);
	vfio_close(&vfio);
}

static __u64 figure(const char *text, const char *name)
{
	size_t length = strlen(name);
	const char *at;

	for (at = text; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, name, length) && at[length] == ' ')
			return strtoull(at + length + 1, NULL, 10);
	}
	CHECK(false);
	tap_diag("figures have no %s", name);

	return 0;
}

static __u64 level_figure(const char *text, unsigned int depth, const char *what)
{
	char name[40];

	snprintf(name, sizeof(name), "level%u_%s", depth, what);

	return figure(text, name);
}

/* Levels at a depth of a whole table. */
static __u64 whole_levels(__u64 entries, __u64 shift, __u64 levels, unsigned int depth)
{
	return entries >> shift * (levels - depth) ?: 1;
}

static void check_figures(__u64 page_shift, __u64 start, __u64 size, __u64 mapped,
			  __u64 leaves)
{
	const char *text = read_file("figures");
	__u64 levels = figure(text, "levels"), shift = figure(text, "level_shift");
	__u64 bytes = 0, whole = 0;
	unsigned int i;

	CHECK_EQ(figure(text, "page_shift"), page_shift);
	CHECK_EQ(figure(text, "start"), start);
	CHECK_EQ(figure(text, "window_bytes"), size);
	CHECK_EQ(figure(text, "mapped_pages"), mapped);
	CHECK(levels >= 1 && levels <= 5);
	CHECK(shift >= 9);
	for (i = 0; i < levels; i++) {
		__u64 there = level_figure(text, i, "levels");

		CHECK_EQ(level_figure(text, i, "bytes"), there << (shift + 3));
		bytes += there << (shift + 3);
		whole += whole_levels(size >> page_shift, shift, levels, i) << (shift + 3);
	}
	CHECK_EQ(level_figure(text, 0, "levels"), 1);
	if (levels > 1)
		CHECK_EQ(level_figure(text, levels - 1, "levels"), leaves);
	CHECK_EQ(figure(text, "hw_bytes"), bytes);
	CHECK_EQ(figure(text, "whole_table_bytes"), whole);
	CHECK_EQ(figure(text, "user_bytes"), figure(text, "user_levels") << (shift + 3));
	CHECK(figure(text, "page_bytes") >= bytes + figure(text, "user_bytes"));
	CHECK_EQ(figure(text, "page_bytes") % page, 0);
	CHECK(figure(text, "meta_bytes") > 0);
	CHECK(figure(text, "meta_bytes") < figure(text, "page_bytes"));
}

static void test_figures(void)
{
	unsigned char *other = vfio_memory(page);
	__u64 start, size = BIT_ULL(30);

	begin();
	CHECK_EQ(vfio_register(vfio.container, other, page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_create(vfio.container, 12, size, 3, &start), 0);
	check_figures(12, start, size, 0, 0);
	CHECK_EQ(vfio_map(vfio.container, start, memory, 3 * IOMMU_PAGE, MAP_BOTH), 0);
	CHECK_EQ(vfio_map(vfio.container, start + size - page, memory, page, MAP_BOTH), 0);
	check_figures(12, start, size, 3 + page / IOMMU_PAGE, 2);
	CHECK_EQ(figure(got, "user_levels"), 0);
	/* Pages of two regions in a leaf. */
	CHECK_EQ(vfio_map(vfio.container, start + page, other, IOMMU_PAGE, MAP_BOTH), 0);
	check_figures(12, start, size, 4 + page / IOMMU_PAGE, 2);
	CHECK_EQ(figure(got, "user_levels"), 1);
	CHECK_EQ(vfio_unmap(vfio.container, start, size), 0);
	vfio_close(&vfio);
	munmap(other, page);
}

/* Files that are open keep neither the window nor the module's work waiting. */
static void test_open_files(void)
{
	int figures, mappings, begun;
	struct state before;

	begin();
	before = state_now();
	map_lines();
	figures = open_file("figures");
	mappings = open_file("mappings");
	begun = open_file("mappings");
	CHECK_EQ(read(begun, got, 100), 100);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	/* Who has one open has the module. */
	before.users += 3;
	CHECK_STATE(&before);

	CHECK_EQ(read(figures, got, sizeof(got)), 0);
	CHECK_EQ(read(mappings, got, sizeof(got)), 0);
	CHECK(strlen(read_on(begun, sizeof(got))) < strlen(want) - 100);
	CHECK_EQ(lseek(begun, 0, SEEK_SET), 0);
	CHECK_EQ(read(begun, got, sizeof(got)), 0);
	vfio_close(&vfio);
	close(begun);
	close(mappings);
	close(figures);
}

/* Of one window, read while others come and go. */
static void test_often(void)
{
	unsigned int i;
	__u64 start;

	begin();
	map(IOVA, memory, page, MAP_BOTH);
	want_end();
	for (i = 0; i < 20; i++) {
		int figures = open_file("figures"), mappings = open_file("mappings");

		CHECK(!strcmp(read_on(mappings, sizeof(got)), want));
		CHECK_EQ(figure(read_on(figures, sizeof(got)), "mapped_pages"),
			 page / IOMMU_PAGE);
		CHECK_EQ(vfio_create(vfio.container, vfio_page_shift(), BIT_ULL(28), 1,
				     &start), 0);
		CHECK_EQ(figure(read_file("figures"), "start"), start);
		CHECK_EQ(strlen(read_file("mappings")), 0);
		CHECK_EQ(vfio_remove(vfio.container, start), 0);
		close(figures);
		close(mappings);
	}
	vfio_close(&vfio);
}

static void test_modes(void)
{
	struct stat figures, mappings;

	begin();
	map(IOVA, memory, page, MAP_BOTH);
	CHECK_EQ(stat(path_of("figures"), &figures), 0);
	CHECK_EQ(stat(path_of("mappings"), &mappings), 0);
	/* Physical addresses are for root. */
	CHECK_EQ(figures.st_mode, S_IFREG | 0444);
	CHECK_EQ(mappings.st_mode, S_IFREG | 0400);
	vfio_close(&vfio);
}

int main(void)
{
	page = vfio_page_size();
	memory = vfio_memory(MEMORY);
	state_watch();

	tap_test_ours("mappings: a line for memory in a row", test_lines);
	tap_test_ours("mappings: lines go from leaf to leaf", test_leaves);
	tap_test_ours("mappings: bus addresses of the second window", test_second_window);
	tap_test_ours("mappings: thousands of lines, whole and in pieces", test_pieces);
	tap_test_ours("mappings: what is unmapped meanwhile is not shown",
		      test_unmapped_meanwhile);
	tap_test_ours("figures fit each other and what is mapped", test_figures);
	tap_test_ours("files that are open do not keep a window", test_open_files);
	tap_test_ours("the figures and mappings of a window, again and again", test_often);
	tap_test_ours("everybody may read figures, root alone mappings", test_modes);

	return tap_main();
}
