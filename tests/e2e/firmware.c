// SPDX-License-Identifier: GPL-2.0-only
/*
 * Firmware errors are not errnos: a positive RTAS status and the codes of OPAL
 * become EIO, and the call is undone. Where the firmware does not unset a
 * window, its table is emptied, and on a host never freed.
 * ../firmware/tce_firmware_test.c returns the errors.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "edu.h"
#include "file.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define PARAMETERS	"/sys/module/tce_firmware_test/parameters/"

#define PAGES		4
#define IOVA		0x200000
#define STAGE		0x100000
#define WINDOW_BYTES	BIT_ULL(30)
/* Where a device reaches all memory if the platform lets it bypass its table */
#define BYPASS		BIT_ULL(59)
#define LEVELS		(vfio_is_guest() ? 1 : 2)

/* Actions of klogctl(): read the whole buffer, and get its size. */
#define KLOG_READ_ALL	3
#define KLOG_SIZE	10

static struct vfio vfio, second;
static unsigned char *memory;
static size_t page;

/*
 * Some look like errnos; of others ERR_PTR() would make a valid pointer. None
 * is an errno that the platform's own code returns from create_table.
 */
static const long answers[] = { 1, 9900, -6, -7, -26, -516, -4096, -9000 };

/* The next @call for the group of the device returns @with. */
static void answer(unsigned int device, const char *call, long with)
{
	char text[100];

	snprintf(text, sizeof(text), "%s %s %ld",
		 getenv(device ? "VFIO_DEVICE2" : "VFIO_DEVICE"), call, with);
	write_file(PARAMETERS "answer", text);
}

/* Number of calls that returned the answer; with 0 nothing was tested. */
static unsigned long count_answered(void)
{
	FILE *file = fopen(PARAMETERS "answered", "r");
	unsigned long count;

	if (!file || fscanf(file, "%lu", &count) != 1)
		tap_bail(PARAMETERS "answered cannot be read");
	fclose(file);

	return count;
}

/* Lines that the module has written to the log. */
static unsigned int log_lines(void)
{
	int size = klogctl(KLOG_SIZE, NULL, 0);
	unsigned int lines = 0;
	char *text, *at;

	text = size < 0 ? NULL : malloc(size + 1);
	if (!text)
		tap_bail("the kernel's log cannot be read");
	size = klogctl(KLOG_READ_ALL, text, size);
	text[size < 0 ? 0 : size] = '\0';
	for (at = text; (at = strstr(at, "vfio_iommu_spapr_tce: ")); at++)
		lines++;
	free(text);

	return lines;
}

static int create(__u64 *start)
{
	return vfio_create(vfio.container, 12, WINDOW_BYTES, LEVELS, start);
}

static int map(__u64 iova)
{
	return vfio_map(vfio.container, iova, memory, page, MAP_BOTH);
}

static bool works(struct vfio *which, __u64 iova)
{
	return edu_works(which, iova, memory);
}

static bool is_blocked(struct vfio *which, __u64 iova)
{
	return edu_is_blocked(which, iova, memory);
}

/*
 * Opens a container with the default window, in which the stage and a page are
 * mapped.
 */
static void open_staged(void)
{
	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK_EQ(map(IOVA), 0);
}

static void check_refused_create(const char *call)
{
	struct state before;
	__u64 start;
	size_t i;

	open_staged();
	before = state_now();
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		answer(0, call, answers[i]);
		CHECK_EQ(create(&start), -EIO);
		CHECK_EQ(count_answered(), 1);
		CHECK_STATE(&before);
		CHECK(works(&vfio, IOVA));
	}
	CHECK_EQ(create(&start), 0);
	CHECK_EQ(start, WINDOW1_START);
	CHECK_EQ(map(start), 0);
	CHECK(works(&vfio, start));
	CHECK_EQ(vfio_remove(vfio.container, start), 0);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_create_table(void)
{
	check_refused_create("create_table");
}

static void test_set_window(void)
{
	check_refused_create("set_window");
}

/* An errno of the platform's own code is returned as it is. */
static void test_no_memory(void)
{
	struct state before;
	__u64 start;

	open_staged();
	before = state_now();
	answer(0, "create_table", -ENOMEM);
	CHECK_EQ(create(&start), -ENOMEM);
	CHECK_EQ(count_answered(), 1);
	CHECK_STATE(&before);
	CHECK_EQ(create(&start), 0);
	vfio_close(&vfio);
}

static void check_refused_default(const char *call)
{
	struct state before;
	size_t i;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	before = state_now();
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		answer(0, call, answers[i]);
		CHECK_EQ(map(IOVA), -EIO);
		CHECK_EQ(count_answered(), 1);
		CHECK_STATE(&before);
	}
	/* The next call creates it. */
	edu_stage(&vfio, STAGE);
	CHECK_EQ(map(IOVA), 0);
	CHECK(works(&vfio, IOVA));
	vfio_close(&vfio);
}

static void test_default_create_table(void)
{
	check_refused_default("create_table");
}

static void test_default_set_window(void)
{
	check_refused_default("set_window");
}

/* A second group is refused, and the first one still works. */
static void test_join(void)
{
	struct state before;
	size_t i;

	if (!vfio_have_device(1) || vfio_is_guest()) {
		tap_skip("no second device that shares the windows");
		return;
	}
	open_staged();
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		before = state_now();
		answer(1, "set_window", answers[i]);
		CHECK_EQ(vfio_attach(&second, vfio.container, 1), -EIO);
		CHECK_EQ(count_answered(), 1);
		CHECK_STATE(&before);
		CHECK(works(&vfio, IOVA));
	}
	CHECK_EQ(vfio_attach(&second, vfio.container, 1), 0);
	vfio_detach(&second);
	CHECK(works(&vfio, IOVA));
	vfio_close(&vfio);
}

/*
 * KVM finds a window as soon as one group has it, but uses it only when all
 * groups do: before the platform has programmed it into the last one, a TCE
 * kill does not reach that group. A group that is added later gets a window
 * that KVM uses already: its devices are not open yet.
 */
static void test_usable(void)
{
	unsigned long usable;
	__u64 start;

	if (!vfio_have_device(1) || vfio_is_guest()) {
		tap_skip("no second device that shares the windows");
		return;
	}
	open_staged();
	answer(0, "set_window", 0);
	write_file(PARAMETERS "answer", "off");
	CHECK_EQ(vfio_attach(&second, vfio.container, 1), 0);
	usable = read_number(PARAMETERS "usable");
	CHECK_EQ(create(&start), 0);
	CHECK_EQ(read_number(PARAMETERS "usable"), usable);

	vfio_detach(&second);
	CHECK_EQ(vfio_attach(&second, vfio.container, 1), 0);
	CHECK_EQ(read_number(PARAMETERS "usable"), usable + 2);
	vfio_detach(&second);
	vfio_close(&vfio);
}

/*
 * The firmware keeps the window, in which nothing is mapped any more. The table
 * is never freed, so only the charges and counts of the process are checked.
 */
static void check_kept(const char *call, void (*let_go)(void), bool can_map)
{
	unsigned int before = log_lines();
	size_t i;

	state_ignore();

	for (i = 0; i < 2; i++) {
		struct state with;
		__u64 start;

		vfio_open(&vfio);
		edu_stage(&vfio, STAGE);
		CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page),
			 0);
		with = state_now();
		CHECK_EQ(create(&start), 0);
		CHECK_EQ(vfio_map(vfio.container, start + IOVA, memory, page,
				  MAP_BOTH),
			 0);
		CHECK(works(&vfio, start + IOVA));
		answer(0, call, i ? 9900 : -6);
		let_go();
		CHECK_EQ(count_answered(), 1);
		CHECK(log_lines() > before);
		before = log_lines();
		if (!can_map) {
			vfio_close(&vfio);
			continue;
		}
		CHECK(is_blocked(&vfio, start + IOVA));
		CHECK_EQ(state_locked(), with.locked);
		/* No page of it is counted any more. */
		CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page),
			 0);
		CHECK_EQ(state_locked(), with.locked - PAGES);
		CHECK(is_blocked(&vfio, start + IOVA));
		vfio_close(&vfio);
	}
	CHECK_EQ(state_locked(), 0);

	/* The group can be used again. */
	open_staged();
	CHECK(works(&vfio, IOVA));
	vfio_close(&vfio);
}

static void remove_second(void)
{
	CHECK_EQ(vfio_remove(vfio.container, WINDOW1_START), 0);
}

static void test_remove(void)
{
	check_kept("keep_window", remove_second, true);
}

/* The platform cannot link the group to the table that it has programmed. */
static void test_no_link(void)
{
	struct state before;
	unsigned int lines;
	__u64 start;

	if (vfio_is_guest()) {
		tap_skip("a guest's window needs no link");
		return;
	}
	open_staged();
	before = state_now();
	answer(0, "no_link", 0);
	CHECK_EQ(create(&start), -ENOMEM);
	CHECK_EQ(count_answered(), 1);
	CHECK_STATE(&before);
	CHECK(works(&vfio, IOVA));

	/* The firmware does not remove it: the table is never freed. */
	state_ignore();
	lines = log_lines();
	answer(0, "no_link", -6);
	CHECK_EQ(create(&start), -ENOMEM);
	CHECK_EQ(count_answered(), 2);
	CHECK_EQ(log_lines() - lines, 2);
	CHECK(is_blocked(&vfio, WINDOW1_START + IOVA));
	CHECK(works(&vfio, IOVA));
	vfio_close(&vfio);
}

static void detach(void)
{
	vfio_detach(&vfio);
}

static void test_detach(void)
{
	check_kept("unset_window", detach, false);
}

/*
 * When VFIO gives a group back, and the platform cannot initialise or set the
 * default window after it has created its table, it enables bypass all the
 * same. Without that window it does not disable bypass when VFIO takes the
 * group again.
 */
static void test_bypass(void)
{
	if (vfio_is_guest()) {
		tap_skip("a guest has no bypass");
		return;
	}
	if (!read_number(PARAMETERS "has_init_table")) {
		tap_skip("the kernel has no kprobes");
		return;
	}

	vfio_open(&vfio);
	answer(0, "init_table", 0);
	vfio_close(&vfio);
	CHECK(count_answered() > 0);
	write_file(PARAMETERS "answer", "off");

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	CHECK(is_blocked(&vfio, BYPASS + page_frame(memory) * page));
	vfio_close(&vfio);
}

/*
 * The platform ignores that the firmware has refused to remove the default
 * window when VFIO takes a group.
 */
static void test_take(void)
{
	int container;

	if (vfio_is_guest()) {
		tap_skip("the hypervisor disables the default window itself");
		return;
	}

	container = vfio_open_container();
	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	answer(0, "unset_window", -6);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), -EIO);
	CHECK_EQ(count_answered(), 1);
	write_file(PARAMETERS "unset", "0");
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	CHECK_EQ(read_number(PARAMETERS "unset"), 3);
	vfio_close(&vfio);
}

int main(void)
{
	int ret;

	page = vfio_page_size();
	memory = vfio_memory(PAGES * page);
	state_watch();

	tap_test_ours("TCE_CREATE: the firmware cannot create a table",
		      test_create_table);
	tap_test_ours("TCE_CREATE: the firmware refuses the table",
		      test_set_window);
	tap_test_ours("TCE_CREATE: the platform has no memory", test_no_memory);
	tap_test_ours("default window: the firmware cannot create a table",
		      test_default_create_table);
	tap_test_ours("default window: the firmware refuses the table",
		      test_default_set_window);
	tap_test_ours("a second group: the firmware refuses the table",
		      test_join);
	tap_test_ours("TCE_CREATE: KVM waits until all groups have the window",
		      test_usable);
	tap_test_ours("attach: the platform has left bypass enabled",
		      test_bypass);
	tap_test_ours("attach: the firmware refuses to disable a window",
		      test_take);
	tap_test_ours("TCE_CREATE: the platform has no memory for a link",
		      test_no_link);
	tap_test_ours("TCE_REMOVE: the firmware keeps the window", test_remove);
	tap_test_ours("detach: the firmware keeps the window", test_detach);

	ret = tap_main();
	write_file(PARAMETERS "answer", "off");

	return ret;
}
