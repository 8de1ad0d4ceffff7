// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the module shows of its windows: their process and groups, counters, the
 * memory of their tables, and the reason of an error. docs/OBSERVE.md has the
 * promises.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define TRACING		"/sys/kernel/tracing"
#define CONTROL		"/sys/kernel/debug/dynamic_debug/control"
#define CGROUP		"/tmp/cgroup-observe"

/* The size of the memory in kernel pages, which are the IOMMU pages as well. */
#define PAGES		8
#define WINDOW_BYTES	BIT_ULL(30)
/* The offset in the window at which tests map. */
#define OFFSET		0x100000ULL
/* Pages at this distance are in different leaves, whatever the shape. */
#define SPREAD		BIT_ULL(25)
#define SPREAD_PAGES	16
/* PAPR's hypercall that clears many entries. */
#define H_STUFF_TCE	0x138
/* The bytes that the smallest leaf maps with 4K pages. */
#define LEAF_4K		BIT_ULL(21)

/* UNMAP_DMA of memory that stays pinned, and the time between them. */
#define KICKS		120U
#define KICK_US		20000

#define POLLS		500
#define POLL_US		20000

static unsigned char *memory;
static struct vfio vfio;
static __u64 page;
/* The start of the window that the test has created. */
static __u64 start;

static void clear_trace(void)
{
	int fd = open(TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		tap_bail(TRACING "/trace: %s", strerror(errno));
	close(fd);
}

/* Opens a container with a window and with a region of @pages at @at. */
static void open_window(unsigned char *at, __u64 pages)
{
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, at, pages * page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_create(vfio.container, vfio_page_shift(), WINDOW_BYTES,
			     vfio_levels(2), &start), 0);
}

static void create_window(void)
{
	open_window(memory, PAGES);
}

/* Maps memory in the window. */
static int map(__u64 offset, __u64 size, unsigned int flags)
{
	return vfio_map(vfio.container, start + offset, memory, size, flags);
}

static int unmap(__u64 offset, __u64 size)
{
	return vfio_unmap(vfio.container, start + offset, size);
}

static int group_of(const char *variable)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 getenv(variable));
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		tap_bail("%s: %s", path, strerror(errno));
	target[length] = '\0';

	return atoi(strrchr(target, '/') + 1);
}

/* On PowerNV the platform names a group after its PCI domain and PE. */
static void check_group_line(const char *figures)
{
	int group = group_of("VFIO_DEVICE"), found = -1, domain = -2, pe = -2;
	char path[PATH_MAX], line[256], name[64], want[64] = "";
	FILE *file;

	file = fopen(figures, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "group %d %d %d", &found, &domain, &pe) == 3)
			break;
	if (file)
		fclose(file);
	CHECK_EQ(found, group);
	if (vfio_is_guest())
		return;

	snprintf(name, sizeof(name), "domain%d-pe%x", domain, pe);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/name", group);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%63s", want) != 1)
		tap_bail("%s cannot be read", path);
	fclose(file);
	if (!CHECK(!strcmp(name, want)))
		tap_diag("%s instead of %s", name, want);
}

static void test_owner(void)
{
	char path[PATH_MAX], want[64];
	int polls;

	prctl(PR_SET_NAME, "owner of\nit");
	create_window();
	CHECK(window_path(start, "figures", path, sizeof(path)));
	CHECK(file_has(path, "format 1\n", NULL, NULL));
	CHECK_EQ(figures_number(start, "pid"), getpid());
	CHECK(file_has(path, "comm owner of\\nit\n", NULL, NULL));
	CHECK_EQ(figures_number(start, "interface"), 2);
	CHECK_EQ(figures_number(start, "number"), 0);
	check_group_line(path);
	snprintf(want, sizeof(want), "-pid%d-group%d-window0/", getpid(),
		 group_of("VFIO_DEVICE"));
	CHECK(strstr(path, want));
	prctl(PR_SET_NAME, "observe");
	vfio_close(&vfio);
	for (polls = 0; polls < POLLS; polls++) {
		if (!window_path(start, "figures", path, sizeof(path)))
			return;
		usleep(POLL_US);
	}
	CHECK(!"the directory stays");
}

static void test_group_leaves(void)
{
	struct vfio second = { .container = -1, .group = -1, .device = -1 };
	char path[PATH_MAX], line[32];

	/* In a guest a window belongs to one group. */
	if (!vfio_have_device(1) || vfio_is_guest()) {
		tap_skip("a window has one group here");
		return;
	}

	create_window();
	CHECK_EQ(vfio_attach(&second, vfio.container, 1), 0);
	CHECK(window_path(start, "figures", path, sizeof(path)));
	snprintf(line, sizeof(line), "group %d ", group_of("VFIO_DEVICE2"));
	CHECK(file_has(path, line, NULL, NULL));
	vfio_detach(&second);
	CHECK(!file_has(path, line, NULL, NULL));
	CHECK_EQ(figures_number(start, "pid"), getpid());
	vfio_close(&vfio);
}

static void open_version1(void)
{
	int container = vfio_open_container();

	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), 0);
	CHECK_EQ(vfio_ioctl(container, VFIO_IOMMU_ENABLE, NULL), 0);
}

static void test_version1(void)
{
	char path[PATH_MAX];

	open_version1();
	CHECK_EQ(vfio_map(vfio.container, OFFSET, memory, page, MAP_BOTH), 0);
	start = 0;
	CHECK(window_path(start, "figures", path, sizeof(path)));
	CHECK_EQ(figures_number(start, "interface"), 1);
	CHECK_EQ(figures_number(start, "map_calls"), 1);
	CHECK_EQ(figures_number(start, "map_pages"), page >> 12);
	vfio_close(&vfio);
}

/*
 * A call kills once, or more often if it reschedules. In a guest the hypervisor
 * kills.
 */
static void check_kills(__u64 calls, __u64 pages)
{
	__u64 kills = figures_number(start, "kills");

	if (vfio_is_guest()) {
		CHECK_EQ(kills, 0);
		CHECK_EQ(figures_number(start, "kill_pages"), 0);
		return;
	}

	CHECK(kills >= calls && kills <= pages);
	CHECK(figures_number(start, "kill_pages") >= pages);
}

static void test_counts(void)
{
	create_window();
	CHECK_EQ(figures_number(start, "map_calls"), 0);
	CHECK_EQ(map(OFFSET, page, MAP_BOTH), 0);
	CHECK_EQ(map(OFFSET + page, 3 * page, MAP_READ), 0);
	/* Keeps the leaf. */
	CHECK_EQ(map(OFFSET + PAGES * page, page, MAP_READ), 0);
	/* What is refused is not counted. */
	CHECK(map(OFFSET + 1, page, MAP_BOTH));
	CHECK_EQ(figures_number(start, "map_calls"), 3);
	CHECK_EQ(figures_number(start, "map_pages"), 5);
	check_kills(3, 5);
	CHECK_EQ(unmap(OFFSET, 2 * page), 0);
	/* Two of these pages are still mapped. */
	CHECK_EQ(unmap(OFFSET, PAGES * page), 0);
	CHECK_EQ(figures_number(start, "unmap_calls"), 2);
	CHECK_EQ(figures_number(start, "unmap_pages"), 4);
	check_kills(5, 9);
	vfio_close(&vfio);
}

/* A page that is mapped twice is not contiguous with itself. */
static void test_mappings(void)
{
	char path[PATH_MAX], line[96];
	__u64 offset;

	create_window();
	for (offset = OFFSET; offset < OFFSET + 2 * page; offset += page)
		CHECK_EQ(map(offset, page, MAP_BOTH), 0);
	CHECK_EQ(map(offset + page, page, MAP_READ), 0);
	CHECK(window_path(start, "mappings", path, sizeof(path)));
	for (offset = OFFSET; offset < OFFSET + 4 * page; offset += page) {
		bool hole = offset == OFFSET + 2 * page;
		bool both = offset < OFFSET + 2 * page;

		snprintf(line, sizeof(line),
			 "%" PRIu64 " %" PRIu64 " %s %" PRIu64 "\n",
			 (uint64_t)(start + offset), (uint64_t)page,
			 both ? "rw" : "r-",
			 (uint64_t)(page_frame(memory) * page));
		CHECK_EQ(file_has(path, line, NULL, NULL), !hole);
	}
	vfio_close(&vfio);
}

static __u64 count_levels(void)
{
	__u64 levels = 0;
	char name[32];
	int depth;

	for (depth = 0; depth < 5; depth++) {
		snprintf(name, sizeof(name), "level%d_levels", depth);
		levels += figures_number(start, name);
	}

	return levels;
}

/* Unused levels are freed after a second. */
static void wait_levels(__u64 most)
{
	unsigned int polls;

	for (polls = 0; polls < POLLS && count_levels() > most; polls++)
		usleep(POLL_US);
	CHECK(count_levels() <= most);
}

static void test_levels(void)
{
	__u64 before, offset;

	create_window();
	before = figures_number(start, "levels_allocated");
	CHECK_EQ(before, 1);
	for (offset = 0; offset < SPREAD_PAGES * SPREAD; offset += SPREAD)
		CHECK_EQ(map(offset, page, MAP_BOTH), 0);
	CHECK(figures_number(start, "levels_allocated") > before);
	CHECK_EQ(figures_number(start, "levels_allocated") -
		 figures_number(start, "levels_freed"), count_levels());
	CHECK_EQ(unmap(0, WINDOW_BYTES), 0);
	wait_levels(1);
	CHECK_EQ(count_levels(), 1);
	CHECK_EQ(figures_number(start, "levels_allocated") -
		 figures_number(start, "levels_freed"), 1);
	vfio_close(&vfio);
}

/* The default window, which begins at 0, and a guest that has its table. */
static int open_guest(void)
{
	int guest;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	start = 0;
	CHECK_EQ(map(OFFSET, page, MAP_BOTH), 0);
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, start, WINDOW_BYTES, 12), 0);

	return guest;
}

static void test_kvm(void)
{
	char path[PATH_MAX], line[64];
	int guest = open_guest();

	CHECK_EQ(h_put(guest, OFFSET, memory + page, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(h_put(guest, OFFSET + 4096, memory, MAP_BOTH),
		 TCE_KVM_SUCCESS);
	CHECK_EQ(h_unmap(guest, OFFSET), TCE_KVM_SUCCESS);
	CHECK_EQ(figures_number(start, "kvm_answered"), 3);
	CHECK_EQ(figures_number(start, "kvm_passed_up"), 0);
	if (page > 4096) {
		/* Contiguous, although the entries have different owners. */
		CHECK_EQ(h_put(guest, OFFSET, memory, MAP_BOTH),
			 TCE_KVM_SUCCESS);
		CHECK_EQ(h_put(guest, OFFSET + 4096, memory + 4096, MAP_BOTH),
			 TCE_KVM_SUCCESS);
		CHECK(window_path(start, "mappings", path, sizeof(path)));
		snprintf(line, sizeof(line), "%" PRIu64 " %" PRIu64 " rw ",
			 (uint64_t)OFFSET, (uint64_t)page);
		CHECK(file_has(path, line, NULL, NULL));
	}
	close(guest);
	vfio_close(&vfio);
}

/*
 * A hypercall that needs a level for which nothing is charged is passed up. The
 * kernel pages that are charged may have space for some levels.
 */
static void test_kvm_up(void)
{
	long status = TCE_KVM_SUCCESS;
	__u64 answered = 0, iova;
	int guest;

	state_charge_allocated(true);
	guest = open_guest();
	state_charge_allocated(false);
	for (iova = SPREAD; iova < WINDOW_BYTES; iova += LEAF_4K) {
		status = h_put(guest, iova, memory, MAP_BOTH);
		if (status != TCE_KVM_SUCCESS)
			break;
		answered++;
	}
	CHECK_EQ(status, TCE_KVM_TOO_HARD);
	CHECK_EQ(figures_number(start, "kvm_passed_up"), 1);
	/* KVM clears an entry that it cannot set. */
	CHECK_EQ(figures_number(start, "kvm_answered"), answered + 1);
	close(guest);
	vfio_close(&vfio);
}

static bool have_tracing(const char *events)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), TRACING "/events/%s/enable", events);
	if (!access(path, W_OK))
		return true;
	tap_skip("this kernel has no such tracepoints");

	return false;
}

static void tracing(const char *events, bool on)
{
	char path[PATH_MAX];

	if (on)
		clear_trace();
	snprintf(path, sizeof(path), TRACING "/events/%s/enable", events);
	write_file(path, on ? "1" : "0");
}

static void check_traced(const char *first, const char *second,
			 const char *third)
{
	if (!CHECK(file_has(TRACING "/trace", first, second, third)))
		tap_diag("no line with%s%s%s", first, second, third);
}

/* An event of the module, with the number of the window. */
static void check_traced_window(const char *event, __u64 window,
				const char *second, const char *third)
{
	char first[64];

	snprintf(first, sizeof(first), " tce_%s: window=%" PRIu64, event,
		 (uint64_t)window);
	check_traced(first, second, third);
}

static void test_traced(void)
{
	char range[2][64], kept[64];
	__u64 window;
	int i;

	if (!have_tracing("spapr_tce"))
		return;

	tracing("spapr_tce", true);
	create_window();
	window = figures_number(start, "window");
	/* This leaf becomes unused, and is then used again. */
	CHECK_EQ(map(SPREAD, page, MAP_READ), 0);
	CHECK_EQ(unmap(SPREAD, page), 0);
	CHECK_EQ(map(SPREAD, page, MAP_READ), 0);
	CHECK_EQ(map(OFFSET, 2 * page, MAP_READ), 0);
	CHECK_EQ(unmap(OFFSET, 4 * page), 0);
	wait_levels(2);
	vfio_close(&vfio);
	tracing("spapr_tce", false);

	for (i = 0; i < 2; i++)
		snprintf(range[i], sizeof(range[i]),
			 " iova=0x%" PRIx64 " size=0x%" PRIx64 " ",
			 (uint64_t)(start + OFFSET),
			 (uint64_t)(i ? 4 : 2) * page);
	check_traced_window("window_create", window, " size=0x40000000 ",
			    vfio_page_shift() == 16 ? "page_shift=16" :
						      "page_shift=12");
	check_traced_window("window_attach", window, " group=", "ret=0");
	check_traced_window("map", window, range[0], "perm=r- ret=0");
	check_traced_window("unmap", window, range[1], "pages=2");
	check_traced_window("window_detach", window, " group=", "ret=0");
	check_traced_window("window_remove", window, "", "");
	check_traced_window("level_alloc", window, " depth=1 ", "index=");
	check_traced_window("level_free", window, " depth=1 ", "index=0\n");
	snprintf(kept, sizeof(kept), " depth=1 index=%" PRIu64 "\n",
		 (uint64_t)(SPREAD >> vfio_page_shift()));
	check_traced_window("level_alloc", window, kept, "");
	CHECK(!file_has(TRACING "/trace", " tce_level_free: ", kept, NULL));
}

/* The number of lines of the trace that have @text. */
static unsigned int trace_lines(const char *text)
{
	FILE *file = fopen(TRACING "/trace", "r");
	unsigned int n = 0;
	char line[1024];

	while (file && fgets(line, sizeof(line), file))
		n += !!strstr(line, text);
	if (file)
		fclose(file);

	return n;
}

/* The work item waits until unused levels are old enough. */
static void test_trim_waits(void)
{
	unsigned int n;

	if (!have_tracing("workqueue/workqueue_execute_start"))
		return;

	create_window();
	CHECK_EQ(map(OFFSET, page, MAP_BOTH), 0);
	tracing("workqueue/workqueue_execute_start", true);
	CHECK_EQ(unmap(OFFSET, page), 0);
	wait_levels(1);
	tracing("workqueue/workqueue_execute_start", false);
	n = trace_lines("function tce_window_trim_work");
	CHECK(n > 0 && n <= 3);
	vfio_close(&vfio);
}

/* The tracepoints that all IOMMU drivers have. */
static void test_traced_iommu(void)
{
	char mapped[96], range[64], size[32], sizes[64];

	if (!have_tracing("iommu"))
		return;

	tracing("iommu", true);
	create_window();
	CHECK_EQ(map(OFFSET, page, MAP_BOTH), 0);
	CHECK_EQ(unmap(OFFSET, 2 * page), 0);
	vfio_close(&vfio);
	tracing("iommu", false);

	snprintf(mapped, sizeof(mapped),
		 " iova=0x%016" PRIx64 " - 0x%016" PRIx64 " paddr=0x%016" PRIx64
		 " ", (uint64_t)(start + OFFSET),
		 (uint64_t)(start + OFFSET + page),
		 (uint64_t)(page_frame(memory) * page));
	snprintf(size, sizeof(size), " size=%" PRIu64 "\n", (uint64_t)page);
	snprintf(range, sizeof(range), " iova=0x%016" PRIx64 " - ",
		 (uint64_t)(start + OFFSET));
	snprintf(sizes, sizeof(sizes),
		 "size=%" PRIu64 " unmapped_size=%" PRIu64,
		 (uint64_t)(2 * page), (uint64_t)page);
	check_traced(" map: ", mapped, size);
	check_traced(" unmap: ", range, sizes);
}

static void refuse_flags(void)
{
	CHECK_EQ(map(OFFSET, page, 0), -EINVAL);
}

static void refuse_unaligned(void)
{
	CHECK_EQ(map(OFFSET + page / 2, page, MAP_BOTH), -EINVAL);
}

static void refuse_nowhere(void)
{
	CHECK_EQ(map(WINDOW_BYTES, page, MAP_BOTH), -ENXIO);
}

static void refuse_unregistered(void)
{
	CHECK(vfio_map(vfio.container, start + OFFSET, memory + PAGES * page,
		       page, MAP_BOTH));
}

static void refuse_mapped(void)
{
	CHECK_EQ(map(OFFSET, page, MAP_BOTH), 0);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EBUSY);
	CHECK_EQ(unmap(OFFSET, page), 0);
}

static void refuse_shape(void)
{
	CHECK_EQ(vfio_create(vfio.container, vfio_page_shift(),
			     WINDOW_BYTES + page, 1, NULL), -EINVAL);
}

static void refuse_removal(void)
{
	CHECK_EQ(vfio_remove(vfio.container, start + page), -EINVAL);
}

/* Refused calls, with the reasons that the module gives. */
static const struct {
	const char *answer;
	void (*call)(void);
} refusals[] = {
	{ "ret=-22 reason=neither read nor write is asked for\n",
	  refuse_flags },
	{ "ret=-22 reason=the range is not aligned to the IOMMU page size\n",
	  refuse_unaligned },
	{ "ret=-6 reason=no window contains the address\n", refuse_nowhere },
	{ "ret=-22 reason=not all of the memory is registered\n",
	  refuse_unregistered },
	{ "ret=-16 reason=memory is still mapped, or is being unregistered\n",
	  refuse_mapped },
	{ "ret=-22 reason=no table can have this geometry\n", refuse_shape },
	{ "ret=-22 reason=no window begins there\n", refuse_removal },
};

static void test_refused(void)
{
	size_t i;

	if (!have_tracing("spapr_tce"))
		return;

	tracing("spapr_tce", true);
	create_window();
	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		clear_trace();
		refusals[i].call();
		check_traced(" tce_refused: ", refusals[i].answer, "");
	}
	vfio_close(&vfio);
	tracing("spapr_tce", false);
}

static void test_refused_version1(void)
{
	if (!have_tracing("spapr_tce"))
		return;

	open_version1();
	tracing("spapr_tce", true);
	CHECK_EQ(vfio_map(vfio.container, OFFSET, NULL, page, MAP_BOTH),
		 -EFAULT);
	tracing("spapr_tce", false);
	check_traced(" tce_refused: ",
		     "ret=-14 reason=the memory cannot be pinned\n", "");
	vfio_close(&vfio);
}

/* A hypercall clears all entries of a leaf, those that are empty too. */
static void test_stuff(void)
{
	char opcode[32];

	if (!vfio_is_guest()) {
		tap_skip("a host has no hypervisor");
		return;
	}
	if (!have_tracing("powerpc/hcall_entry"))
		return;

	create_window();
	CHECK_EQ(map(OFFSET, page, MAP_BOTH), 0);
	CHECK_EQ(map(OFFSET + 2 * page, page, MAP_BOTH), 0);
	tracing("powerpc/hcall_entry", true);
	CHECK_EQ(unmap(OFFSET, 3 * page), 0);
	tracing("powerpc/hcall_entry", false);
	snprintf(opcode, sizeof(opcode), " opcode=%d\n", H_STUFF_TCE);
	check_traced(" hcall_entry: ", opcode, "");
	vfio_close(&vfio);
}

/*
 * The last UNMAP of memory whose container is closed makes the work item unpin
 * it soon, before unused levels are freed, which is after a second: not when it
 * is its turn anyway, every ten seconds.
 */
static void test_orphan(void)
{
	struct vfio other;

	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}
	if (!have_tracing("workqueue/workqueue_execute_start"))
		return;

	vfio_open_device(&other, 1);
	CHECK_EQ(vfio_register(other.container, memory, PAGES * page), 0);
	open_window(memory + PAGES * page, 1);
	CHECK_EQ(map(OFFSET, page, MAP_BOTH), 0);
	vfio_close(&other);
	tracing("workqueue/workqueue_execute_start", true);
	CHECK_EQ(unmap(OFFSET, page), 0);
	wait_levels(1);
	tracing("workqueue/workqueue_execute_start", false);
	check_traced(" workqueue_execute_start: ", "tce_orphan_work", "");
	vfio_close(&vfio);
}

/*
 * A process that maps and unmaps a page of memory whose container is closed,
 * while another page of it stays mapped, makes the work item try to unpin it
 * less and less often.
 */
static void test_orphan_kept(void)
{
	struct vfio other;
	unsigned int i;
	__u64 locked;

	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return;
	}
	if (!have_tracing("workqueue/workqueue_execute_start"))
		return;

	open_window(memory + PAGES * page, 1);
	locked = state_locked();
	vfio_open_device(&other, 1);
	CHECK_EQ(vfio_register(other.container, memory, PAGES * page), 0);
	CHECK_EQ(map(OFFSET, page, MAP_BOTH), 0);
	vfio_close(&other);
	tracing("workqueue/workqueue_execute_start", true);
	for (i = 0; i < KICKS; i++) {
		CHECK_EQ(map(OFFSET + page, page, MAP_BOTH), 0);
		CHECK_EQ(unmap(OFFSET + page, page), 0);
		usleep(KICK_US);
	}
	tracing("workqueue/workqueue_execute_start", false);
	i = trace_lines("function tce_orphan_work");
	tap_diag("%u attempts after %u UNMAP_DMA", i, KICKS);
	CHECK(i > 0 && i < KICKS / 3);

	CHECK_EQ(unmap(OFFSET, page), 0);
	state_locked_becomes(locked);
	vfio_close(&vfio);
}

/* The number of times that the kernel's log has @text. */
static unsigned int log_lines(const char *text)
{
	static char log[1 << 20];
	unsigned int n = 0;
	char *at = log;
	long length;

	length = syscall(SYS_syslog, 3, log, sizeof(log) - 1);
	if (length < 0)
		tap_bail("syslog: %s", strerror(errno));
	log[length] = '\0';
	while ((at = strstr(at, text))) {
		n++;
		at++;
	}

	return n;
}

#define FLAGS_REASON	"refused with -22: neither read nor write is asked for"

static void test_refused_log(void)
{
	unsigned int before, i;

	if (access(CONTROL, W_OK)) {
		tap_skip("this kernel has no dynamic debug");
		return;
	}

	before = log_lines(FLAGS_REASON);
	create_window();
	refuse_flags();
	CHECK_EQ(log_lines(FLAGS_REASON), before);
	write_file(CONTROL, "module vfio_iommu_spapr_tce +p");
	for (i = 0; i < 1000; i++)
		refuse_flags();
	write_file(CONTROL, "module vfio_iommu_spapr_tce -p");
	i = log_lines(FLAGS_REASON) - before;
	CHECK(i > 0);
	/* It is rate-limited: ten in five seconds. */
	CHECK(i < 200);
	CHECK(log_lines("vfio_iommu_spapr_tce: observe[") > 0);
	vfio_close(&vfio);
}

/* SecPageTables in bytes; stat_refresh adds up the counters of all CPUs. */
static __u64 page_tables(void)
{
	write_file("/proc/sys/vm/stat_refresh", "1");

	return read_named("/proc/meminfo", "SecPageTables") << 10;
}

static void in_cgroup(void *unused)
{
	__u64 before, now, bytes;
	struct figures figures;

	(void)unused;
	write_file(CGROUP "/test/cgroup.procs", "0");
	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	before = page_tables();
	CHECK_EQ(vfio_create(vfio.container, 12, WINDOW_BYTES << 4,
			     vfio_levels(3), &start), 0);
	for (bytes = 0; bytes < WINDOW_BYTES << 4; bytes += SPREAD)
		CHECK_EQ(map(bytes, page, MAP_BOTH), 0);
	CHECK(figures_read(start, &figures));
	CHECK(figures.page_bytes > 512 << 10);
	now = page_tables();
	CHECK_EQ(now - before, figures.page_bytes);
	/* The kernel updates the cgroup's figures every two seconds. */
	for (bytes = 0; bytes < POLLS; bytes++) {
		now = read_named(CGROUP "/test/memory.stat", "sec_pagetables");
		if (now == figures.page_bytes)
			break;
		usleep(POLL_US);
	}
	CHECK_EQ(now, figures.page_bytes);
	vfio_close(&vfio);
	for (bytes = 0; bytes < POLLS && page_tables() != before; bytes++)
		usleep(POLL_US);
	CHECK_EQ(page_tables(), before);
	for (bytes = 0; bytes < POLLS; bytes++) {
		now = read_named(CGROUP "/test/memory.stat", "sec_pagetables");
		if (!now)
			break;
		usleep(POLL_US);
	}
	CHECK_EQ(now, 0);
}

static void test_memory(void)
{
	mkdir(CGROUP, 0755);
	if (mount("cgroup2", CGROUP, "cgroup2", 0, NULL))
		tap_bail("cgroup2: %s", strerror(errno));
	write_file(CGROUP "/cgroup.subtree_control", "+memory");
	if (mkdir(CGROUP "/test", 0755) && errno != EEXIST)
		tap_bail(CGROUP "/test: %s", strerror(errno));
	tap_child(in_cgroup, NULL);
	rmdir(CGROUP "/test");
	umount(CGROUP);
}

int main(void)
{
	/* It may be there already. */
	mount("tracefs", TRACING, "tracefs", 0, NULL);
	page = vfio_page_size();
	memory = vfio_memory((PAGES + 1) * page);

	tap_test_ours("a window's directory and figures name process and group",
		      test_owner);
	tap_test_ours("a detached group is not shown any more",
		      test_group_leaves);
	tap_test_ours("a window of version 1 has its version and counters",
		      test_version1);
	tap_test_ours("calls, pages and kills are counted", test_counts);
	tap_test_ours("mappings have bus address, size and physical address",
		      test_mappings);
	tap_test_ours("allocated and freed levels are counted", test_levels);
	tap_test_ours("hypercalls that KVM answers are counted", test_kvm);
	tap_test_ours("hypercalls that are passed up are counted",
		      test_kvm_up);
	tap_test_ours("tracepoints: windows, MAP, UNMAP, levels", test_traced);
	tap_test_ours("unused levels are freed when they are a second old",
		      test_trim_waits);
	tap_test_ours("tracepoints: iommu:map, iommu:unmap", test_traced_iommu);
	tap_test_ours("a tracepoint has the reason of a refused call",
		      test_refused);
	tap_test_ours("version 1: a tracepoint has the reason of a failed pin",
		      test_refused_version1);
	tap_test_ours("an UNMAP with a hole clears it in one hypercall",
		      test_stuff);
	tap_test_ours("the last UNMAP of a closed container's memory unpins it",
		      test_orphan);
	tap_test_ours("memory that stays mapped is seldom tried to be unpinned",
		      test_orphan_kept);
	tap_test_ours("dynamic debug logs the reason, rate-limited",
		      test_refused_log);
	tap_test_ours("a table is in SecPageTables and sec_pagetables",
		      test_memory);

	return tap_main();
}
