// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a container: first call and default window, exit and kill of the
 * process, groups that are detached and attached again, and the references to
 * the module.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "version2.h"
#include "vfio.h"

static __u64 window0_size(void)
{
	return vfio_limits()->dma32_window_size;
}

static void test_before_registration(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), -EPERM);
	CHECK_EQ(vfio_unmap(vfio.container, 0, page), -EPERM);
	CHECK_STATE(&before);

	/* A window does not suffice. */
	CHECK_EQ(vfio_create(vfio.container, 12, window0_size(),
			     vfio_levels(2), NULL), 0);
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), -EPERM);
	CHECK_EQ(vfio_unmap(vfio.container, 0, page), -EPERM);
	vfio_close(&vfio);
}

static void test_failed_registration(void)
{
	struct state before;
	struct vfio vfio;

	/* A failed registration has no effect. */
	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_register(vfio.container, memory + 512, page), -EINVAL);
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), -EPERM);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_default_window(void)
{
	struct figures figures;
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(state_locked(), before.locked + 1);
	CHECK_EQ(state_now().windows, before.windows);

	/* UNMAP_DMA creates it too. */
	CHECK_EQ(vfio_unmap(vfio.container, 0, page), 0);
	CHECK(state_locked() > before.locked + 1);
	if (!tap_intree()) {
		CHECK_EQ(state_now().windows, before.windows + 1);
		CHECK(figures_read(0, &figures));
		CHECK_EQ(figures.page_shift, 12);
		CHECK_EQ(figures.window_bytes, window0_size());
		CHECK_EQ(figures.mapped_pages, 0);
	}
	CHECK_EQ(vfio_map(vfio.container, window0_size() - page, memory, page,
			  MAP_BOTH), 0);
	CHECK_MAPPED(0, page / SIZE_4K);
	vfio_close(&vfio);
}

static void test_default_window_removed(void)
{
	struct state before;
	struct vfio vfio;

	vfio_open(&vfio);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	before = state_now();
	CHECK_EQ(vfio_remove(vfio.container, 0), 0);
	CHECK_EQ(vfio_map(vfio.container, 0, memory, page, MAP_BOTH), -ENXIO);
	CHECK_EQ(vfio_unmap(vfio.container, 0, page), -ENXIO);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_close_all_mapped(void)
{
	struct vfio vfio;

	vfio_open(&vfio);
	use_windows(&vfio);
	vfio_close(&vfio);

	/* The next container is empty. */
	vfio_open(&vfio);
	CHECK_EQ(vfio_unregister(vfio.container, memory, PAGES * page), -EPERM);
	edu_stage(&vfio, STAGE);
	CHECK_EQ(vfio_register(vfio.container, memory, PAGES * page), 0);
	CHECK(!edu_reads(&vfio, IOVA, memory));
	CHECK_EQ(vfio_map(vfio.container, HIGH, memory, page, MAP_BOTH),
		 -ENXIO);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	vfio_close(&vfio);
}

static void use_and_exit(void *data)
{
	struct vfio vfio;

	(void)data;
	vfio_open(&vfio);
	use_windows(&vfio);
}

static void test_exit_all_mapped(void)
{
	struct state before = state_now();

	tap_child(use_and_exit, NULL);
	CHECK_STATE(&before);
}

static void test_killed_all_mapped(void)
{
	struct state before = state_now();
	struct vfio vfio;
	int ready[2];
	int status;
	pid_t pid;
	char byte;

	if (pipe(ready))
		tap_bail("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (!pid) {
		vfio_open(&vfio);
		use_windows(&vfio);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	CHECK(state_now().pinned >= before.pinned + PAGES);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	close(ready[0]);
	close(ready[1]);
	CHECK_STATE(&before);

	vfio_open(&vfio);
	use_windows(&vfio);
	vfio_close(&vfio);
}

static void test_container_closed_first(void)
{
	struct state before;
	struct vfio vfio;
	int container;

	vfio_open(&vfio);
	edu_stage(&vfio, STAGE);
	use_windows(&vfio);
	before = state_now();
	container = vfio.container;
	close(container);

	/* The group keeps it. */
	CHECK_STATE(&before);
	CHECK(edu_copies(&vfio, IOVA, memory, HIGH + page, memory + page));
	vfio_detach(&vfio);
}

static void test_group_again(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio vfio;
	int container;

	vfio_open(&vfio);
	container = vfio.container;
	use_windows(&vfio);
	vfio_detach(&vfio);

	/* A container without a group has no IOMMU. */
	CHECK_EQ(vfio_info(container, &info), -EINVAL);
	CHECK_EQ(vfio_map(container, IOVA, memory, page, MAP_BOTH), -EINVAL);

	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	/* Nothing is registered, and only the default window exists. */
	CHECK_EQ(vfio_map(container, IOVA, memory, page, MAP_BOTH), -EPERM);
	use_windows(&vfio);
	vfio_close(&vfio);
}

/* Two groups in one container. */
static bool open_two(struct vfio *first, struct vfio *second)
{
	if (!vfio_have_device(1)) {
		tap_skip("no second device");
		return false;
	}

	vfio_open(first);
	return CHECK_EQ(vfio_attach(second, first->container, 1), 0);
}

static void test_two_groups(void)
{
	struct vfio first, second;
	struct state before;

	if (!open_two(&first, &second))
		return;

	use_windows(&first);
	CHECK_EQ(vfio_map(first.container, STAGE, memory + page, page,
			  MAP_BOTH), 0);
	/* Both devices use the page at STAGE as their stage. */
	vfio_start_device(&first);
	vfio_start_device(&second);
	first.stage = memory + page;
	first.stage_iova = STAGE;
	second.stage = memory + page;
	second.stage_iova = STAGE;
	before = state_now();

	CHECK(edu_reads(&first, IOVA, memory));
	CHECK(edu_reads(&second, IOVA, memory));
	CHECK(edu_writes(&second, HIGH, memory));

	/* Detaching one does not affect the other. */
	first.stage = NULL;
	vfio_detach(&first);
	CHECK_STATE(&before);
	CHECK(edu_reads(&second, IOVA, memory));
	CHECK(edu_writes(&second, HIGH, memory));

	/* Attached again, it has the windows and the mappings. */
	CHECK_EQ(vfio_attach(&first, second.container, 0), 0);
	CHECK_STATE(&before);
	vfio_start_device(&first);
	first.stage = memory + page;
	first.stage_iova = STAGE;
	CHECK(edu_reads(&first, IOVA, memory));
	CHECK(edu_writes(&first, HIGH, memory));

	/* A window is removed from both. */
	CHECK_EQ(vfio_remove(first.container, WINDOW1_START), 0);
	CHECK(!edu_reads(&first, HIGH, memory));
	CHECK(!edu_reads(&second, HIGH, memory));
	CHECK(edu_reads(&second, IOVA, memory));

	first.stage = NULL;
	second.stage = NULL;
	vfio_detach(&second);
	vfio_close(&first);
}

static void test_first_group_detached(void)
{
	struct vfio first, second;

	if (!open_two(&first, &second))
		return;

	/* The default window has not been created when the group leaves. */
	vfio_detach(&first);
	CHECK_EQ(vfio_register(second.container, memory, page), 0);
	CHECK_EQ(vfio_map(second.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK_MAPPED(0, page / SIZE_4K);
	vfio_close(&second);
}

#define MODULE		"vfio_iommu_spapr_tce"

static int unload(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ? -errno : 0;
}

static void test_module(void)
{
	struct state before = state_now();
	struct vfio vfio;

	if (state_built_in()) {
		tap_skip("the backend is built in");
		return;
	}
	vfio_open(&vfio);
	CHECK(state_now().users > before.users);
	CHECK_EQ(unload(), -EWOULDBLOCK);
	use_windows(&vfio);
	CHECK_EQ(unload(), -EWOULDBLOCK);
	CHECK(vfio_ioctl(vfio.container, VFIO_CHECK_EXTENSION,
			 (void *)VFIO_SPAPR_TCE_v2_IOMMU) == 1);
	vfio_close(&vfio);
	CHECK_STATE(&before);
}

int main(void)
{
	init_v2();
	state_watch();

	tap_test("MAP_DMA and UNMAP_DMA need registered memory",
		 test_before_registration);
	tap_test("a failed registration has no effect",
		 test_failed_registration);
	tap_test("the default window is created by the first MAP or UNMAP",
		 test_default_window);
	tap_test("a default window removed in advance is not created",
		 test_default_window_removed);
	tap_test("close with everything mapped releases everything",
		 test_close_all_mapped);
	tap_test("exit with everything mapped releases everything",
		 test_exit_all_mapped);
	tap_test("SIGKILL with everything mapped releases everything",
		 test_killed_all_mapped);
	tap_test("a container whose file is closed stays with its group",
		 test_container_closed_first);
	tap_test("detaching the only group resets the container",
		 test_group_again);
	tap_test_ours("detaching and attaching a group does not affect another",
		      test_two_groups);
	tap_test("the default window is created for the remaining group",
		 test_first_group_detached);
	tap_test("the module cannot be unloaded while it is in use",
		 test_module);

	return tap_main();
}
