// SPDX-License-Identifier: GPL-2.0-only
/*
 * A disk is given to VFIO and back to its driver, and with it the tables of its
 * group, in whichever way the user of VFIO ends. The driver must find the data
 * of the disk unchanged each time, and nothing may be left of a round. On a
 * kernel whose drivers use tables (iommu=nobypass; disable_ddw in a guest), DMA
 * of the driver must use the default window of the group again.
 *
 * Needs an NVMe disk of at least 1 MiB, whose data are overwritten, with its
 * driver loaded.
 */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define DEVICES		"/sys/bus/pci/devices"
#define NVME_CLASS	0x010802

#define TRACING		"/sys/kernel/debug/tracing"

/*
 * An address above every default window. Addresses of the bypass or of another
 * window have bit 59 set.
 */
#define WINDOW_END	(1ULL << 40)

#define ROUNDS		12

/* Bytes that are written and read back. */
#define DATA_BYTES	(1 << 20)
#define DATA_WORDS	(DATA_BYTES / sizeof(uint32_t))

/* Mapped by VFIO in the default window. */
#define IOVA		0x100000
#define MAP_BYTES	(4 << 20)

/*
 * Mapped by VFIO in a large window: pages that need a leaf of 32 KiB each, or
 * in a guest of 4 KiB; on a host, in-tree, as much for the userspace view.
 */
#define ENTRIES_SHIFT	24
#define LEAVES		256
#define ROUND_KIB	(LEAVES * 64L)

/*
 * The disk appears and disappears a moment after its driver is bound or
 * unbound.
 */
#define POLLS		1000
#define POLL_US		10000

/*
 * Memory that other parts of the kernel may keep in all rounds: less than the
 * tables of all rounds, on a host much less. In sixty rounds, with and without
 * VFIO, free memory changed by 3.4 MiB, without a trend.
 */
#define SLACK_KIB	(ROUND_KIB / 2)

static char address[NAME_MAX + 1];
static uint32_t *data;
static unsigned char *memory;

static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "r");
	bool good;

	if (!file)
		return false;
	good = fgets(line, size, file);
	fclose(file);

	return good;
}

static bool find_disk(void)
{
	struct dirent *entry;
	DIR *dir = opendir(DEVICES);
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		char path[PATH_MAX], line[32];

		snprintf(path, sizeof(path), DEVICES "/%s/class",
			 entry->d_name);
		found = read_line(path, line, sizeof(line)) &&
			strtoul(line, NULL, 0) == NVME_CLASS;
		if (found)
			snprintf(address, sizeof(address), "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);

	return found;
}

/* Unbinds the device, and binds it to @driver. */
static void bind_to(const char *driver)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s/driver_override", address);
	write_file(path, driver);
	snprintf(path, sizeof(path), DEVICES "/%s/driver/unbind", address);
	if (!access(path, F_OK))
		write_file(path, address);
	write_file("/sys/bus/pci/drivers_probe", address);
}

/*
 * The entry of the directory @path that matches @form, which has one number or
 * two.
 */
static bool find_entry(const char *path, const char *form, int numbers,
		       char name[NAME_MAX + 1])
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	bool found = false;
	unsigned int n, m;

	while (dir && !found && (entry = readdir(dir))) {
		found = sscanf(entry->d_name, form, &n, &m) == numbers;
		if (found)
			snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);

	return found;
}

static int open_disk(void)
{
	char path[PATH_MAX], where[PATH_MAX + 300], name[NAME_MAX + 1];
	unsigned int polls;

	snprintf(path, sizeof(path), DEVICES "/%s/nvme", address);
	for (polls = 0; polls < POLLS; polls++, usleep(POLL_US)) {
		int fd;

		if (!find_entry(path, "nvme%u", 1, name))
			continue;
		snprintf(where, sizeof(where), "%s/%s", path, name);
		if (!find_entry(where, "nvme%un%u", 2, name))
			continue;
		snprintf(where, sizeof(where), "/dev/%s", name);
		/* Without the page cache, so that each access is DMA. */
		fd = open(where, O_RDWR | O_DIRECT | O_SYNC);
		if (fd >= 0)
			return fd;
	}
	tap_bail("%s has no disk", address);
}

static void fill_data(unsigned int seed)
{
	size_t i;

	for (i = 0; i < DATA_WORDS; i++)
		data[i] = seed * 0x01000193 + i;
}

static bool data_matches(unsigned int seed)
{
	size_t i;

	for (i = 0; i < DATA_WORDS; i++)
		if (data[i] != (uint32_t)(seed * 0x01000193 + i))
			return false;

	return true;
}

static void write_disk(unsigned int seed)
{
	int fd = open_disk();

	fill_data(seed);
	CHECK_EQ(pwrite(fd, data, DATA_BYTES, 0), DATA_BYTES);
	close(fd);
}

static bool disk_holds(unsigned int seed)
{
	int fd = open_disk();

	memset(data, 0, DATA_BYTES);
	CHECK_EQ(pread(fd, data, DATA_BYTES, 0), DATA_BYTES);
	close(fd);

	return data_matches(seed);
}

/* The sum of the numbers in the lines of a file that match @form. */
static long sum_of(const char *path, const char *form)
{
	long sum = 0, number;
	char line[256];
	FILE *file;

	file = fopen(path, "r");
	if (!file)
		tap_bail("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, form, &number) == 1)
			sum += number;
	fclose(file);

	return sum;
}

/* Releases free objects of slabs, and the quarantine of KASAN. */
static void shrink_slabs(void)
{
	glob_t found;
	size_t i;

	if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++)
		write_file(found.gl_pathv[i], "1");
	globfree(&found);
}

/* MemFree does not include the free pages in per-CPU lists. */
static long free_kib(void)
{
	write_file("/proc/sys/vm/drop_caches", "3");
	shrink_slabs();

	return sum_of("/proc/meminfo", "MemFree: %ld") +
	       sum_of("/proc/zoneinfo", " count: %ld") *
	       (long)(vfio_page_size() / 1024);
}

/* How a user of VFIO ends. */
struct end {
	const char *how;
	/*
	 * The default window is removed and a large one created, as DPDK does.
	 */
	bool no_default;
	bool killed;
};

static const struct end ends[] = {
	{ .how = "closes the container" },
	{ .how = "is killed", .killed = true },
	{ .how = "removes the default window and is killed",
	  .no_default = true, .killed = true },
};

/* Uses VFIO with the device, but does not program the device. */
static void use_vfio(const struct end *end)
{
	unsigned int shift = vfio_page_shift() < 16 ? 12 : 16;
	uint64_t bytes = 1ULL << (ENTRIES_SHIFT + shift), start, offset;
	struct vfio vfio;

	vfio_open(&vfio);
	vfio_start_device(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, MAP_BYTES), 0);
	if (end->no_default)
		CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	else
		CHECK_EQ(vfio_map(vfio.container, IOVA, memory, MAP_BYTES,
				  MAP_BOTH), 0);
	CHECK_EQ(vfio_create(vfio.container, shift, bytes,
			     vfio_is_guest() ? 1 : 2, &start), 0);
	for (offset = 0; offset < bytes; offset += bytes / LEAVES)
		CHECK_EQ(vfio_map(vfio.container, start + offset, memory,
				  1ULL << shift, MAP_BOTH), 0);
	/* Killed with everything still mapped. */
	if (end->killed && !tap_failed())
		raise(SIGKILL);
	vfio_close(&vfio);
}

static void use_vfio_and_end(const struct end *end)
{
	int status;
	pid_t pid;

	if (!end->killed) {
		use_vfio(end);
		return;
	}
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (!pid) {
		use_vfio(end);
		fflush(stdout);
		_exit(1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Whether drivers have to use tables, by the kernel command line. */
static bool drivers_use_tables(void)
{
	char line[4096];

	return read_line("/proc/cmdline", line, sizeof(line)) &&
		(strstr(line, "iommu=nobypass") || strstr(line, "disable_ddw"));
}

/* Clears the trace; false if the kernel does not trace DMA mappings. */
static bool trace_dma(void)
{
	int fd;

	if (access(TRACING "/events/dma/enable", F_OK))
		return false;
	write_file(TRACING "/events/dma/enable", "1");
	/* Truncating the file clears the trace. */
	fd = open(TRACING "/trace", O_WRONLY | O_TRUNC);
	if (fd < 0)
		return false;
	close(fd);

	return true;
}

/*
 * Checks that the mappings for the driver of the disk are in the default
 * window.
 */
static void check_dma_trace(void)
{
	FILE *file = fopen(TRACING "/trace", "r");
	unsigned int inside = 0, outside = 0;
	char line[1024];

	while (file && fgets(line, sizeof(line), file)) {
		char *at = strstr(line, "dma_addr");

		if (!at || !strstr(line, "dma_map") || !strstr(line, address))
			continue;
		/*
		 * The first address, in "dma_addr=f000" or
		 * "dma_addrs={0xf000,".
		 */
		at += strcspn(at, "=") + 1;
		at += *at == '{';
		if (strtoull(at, NULL, 16) < WINDOW_END)
			inside++;
		else
			outside++;
	}
	if (file)
		fclose(file);
	CHECK(inside > 0);
	CHECK_EQ(outside, 0);
}

static unsigned int written;
static long free_after_warm_up;

static void one_round(unsigned int round)
{
	bool traced;

	write_disk(round);
	CHECK(disk_holds(round));
	bind_to("vfio-pci");
	use_vfio_and_end(&ends[round % ARRAY_SIZE(ends)]);
	traced = drivers_use_tables() && trace_dma();
	bind_to("nvme");
	CHECK(disk_holds(round));
	write_disk(round + 1000);
	CHECK(disk_holds(round + 1000));
	written = round + 1000;
	if (traced)
		check_dma_trace();
}

/* If DMA of the driver bypassed the window, the rounds would not test it. */
static void test_tables(void)
{
	if (!drivers_use_tables()) {
		tap_skip("drivers do not use tables");
		return;
	}
	CHECK(trace_dma());
	CHECK(disk_holds(1));
	check_dma_trace();
}

static void test_before(void)
{
	write_disk(1);
	CHECK(disk_holds(1));
	CHECK(!disk_holds(2));
	written = 1;
}

static void test_round(const void *data_of_round)
{
	const unsigned int *round = data_of_round;

	/* The data written last are still there. */
	CHECK(disk_holds(written));
	one_round(*round);
	/* The first rounds fill caches. */
	if (*round == 2)
		free_after_warm_up = free_kib();
}

static void test_memory(void)
{
	long kib = free_kib();

	tap_diag("%ld KiB of free memory after two rounds, %ld after %u",
		 free_after_warm_up, kib, ROUNDS);
	CHECK(free_after_warm_up - kib < SLACK_KIB);
}

int main(void)
{
	static unsigned int rounds[ROUNDS];
	unsigned int i;

	if (!find_disk()) {
		puts("1..0 # SKIP needs an NVMe disk");
		return 0;
	}
	setenv("VFIO_DEVICE", address, 1);
	data = (void *)vfio_memory(DATA_BYTES);
	memory = vfio_memory(MAP_BYTES);
	state_watch();

	tap_test("the driver of the disk writes and reads", test_before);
	tap_test("its DMA uses the default window of the group", test_tables);
	for (i = 0; i < ROUNDS; i++) {
		rounds[i] = i + 1;
		tap_test_case(false, test_round, &rounds[i],
			      "round %u: disk, VFIO, disk; the user of VFIO %s",
			      i + 1, ends[(i + 1) % ARRAY_SIZE(ends)].how);
	}
	tap_test("no memory is lost after all rounds", test_memory);

	return tap_main();
}
