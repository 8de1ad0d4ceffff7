// SPDX-License-Identifier: GPL-2.0-only
/*
 * A chain of calls that has every command, run again and again until nothing
 * fails any more. In the n-th run the n-th allocation, or copy from or to user
 * space, fails (Documentation/fault-injection/fault-injection.rst,
 * /proc/self/fail-nth). A call that fails must change nothing, must succeed
 * when it is repeated, and must not affect the rest of the chain.
 *
 * Below, a fault is an allocation or copy that can be made to fail. Only the
 * n-th of a run is; the faults left are those up to and including it.
 */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "guest.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define WINDOWS		"/sys/kernel/debug/vfio_iommu_spapr_tce"

/* More allocations than any chain has; more than that is a bug of the test. */
#define MOST		2000

/*
 * The state is checked around a call only if the fault may happen in it: if no
 * more faults are left than the call has had in an earlier run, plus this
 * number.
 */
#define SLACK		16

/* Levels that a failed call has allocated are freed after a second. */
#define LEVELS_POLLS	500
#define LEVELS_US	10000

#define PAGE_SHIFT	12
#define IOMMU_PAGE	BIT_ULL(PAGE_SHIFT)
#define SIZE		BIT_ULL(30)
#define LEAF_BYTES	(512 * IOMMU_PAGE)

/*
 * Addresses that the chain maps: from one region, and next to it from another
 * one.
 */
#define FEW		0x200000
#define NEXT		(FEW + IOMMU_PAGE)
#define MANY		(16 * LEAF_BYTES)
#define GUEST		(48 * LEAF_BYTES)
#define MANY_LEAVES	3

static struct vfio vfio, second;
static unsigned char *memory, *other;
static size_t page, bytes;
static unsigned long version;
static int guest, keeper[2];
/* Determined once, because no file may be read while calls fail. */
static bool pseries;
/* The kernel has fault injection. */
static bool faults_possible;
/* charge_allocated is on. */
static bool charged;

/* The chains */

static unsigned int levels(void)
{
	return pseries ? 1 : 3;
}

static int set_container(void)
{
	return vfio_ioctl(vfio.group, VFIO_GROUP_SET_CONTAINER,
			  &vfio.container);
}

static int set_iommu(void)
{
	return vfio_set_iommu(vfio.container, version);
}

static int check_extension(void)
{
	int ret = vfio_ioctl(vfio.container, VFIO_CHECK_EXTENSION,
			     (void *)version);

	return ret == 1 ? 0 : -EBADE;
}

static int get_info(void)
{
	struct vfio_iommu_spapr_tce_info info;

	return vfio_info(vfio.container, &info);
}

static int register_memory(void)
{
	return vfio_register(vfio.container, memory, bytes);
}

static int register_other(void)
{
	return vfio_register(vfio.container, other, page);
}

static int map_default(void)
{
	return vfio_map(vfio.container, FEW, memory, page, MAP_BOTH);
}

static int unmap_default(void)
{
	return vfio_unmap(vfio.container, FEW, page);
}

static int remove_default(void)
{
	return vfio_remove(vfio.container, 0);
}

static int create_window(void)
{
	return vfio_create(vfio.container, PAGE_SHIFT, SIZE, levels(), NULL);
}

static int map_few(void)
{
	return vfio_map(vfio.container, FEW, memory, IOMMU_PAGE, MAP_READ);
}

/* Reads a file of the first window in debugfs. */
static int read_debugfs(const char *file)
{
	struct dirent *entry;
	char path[PATH_MAX];
	ssize_t size;
	DIR *dir;
	int fd;

	dir = opendir(WINDOWS);
	if (!dir)
		return -errno;
	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && entry->d_name[0] == '.');
	/* Without memory for it, the window has no directory, or no file. */
	if (!entry) {
		closedir(dir);
		return -errno;
	}
	snprintf(path, sizeof(path), WINDOWS "/%s/%s", entry->d_name, file);
	closedir(dir);

	fd = open(path, O_RDONLY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	do
		size = read(fd, path, sizeof(path));
	while (size > 0);
	size = size < 0 ? -errno : 0;
	close(fd);

	return size;
}

static int read_figures(void)
{
	return read_debugfs("figures");
}

static int read_mappings(void)
{
	return read_debugfs("mappings");
}

/* A page of another region in the same leaf. */
static int map_next(void)
{
	return vfio_map(vfio.container, NEXT, other, IOMMU_PAGE, MAP_BOTH);
}

static int map_many(void)
{
	return vfio_map(vfio.container, MANY, memory, bytes, MAP_BOTH);
}

/*
 * h_put() ends the program if its argument cannot be read. With
 * charge_allocated, a hypercall that needs a level and finds no credit is
 * passed up to user space, which then maps the page.
 */
static int map_guest(void)
{
	struct tce_kvm_hcall args = {
		.ioba = GUEST,
		.value = (uintptr_t)memory | MAP_BOTH,
	};
	int ret = vfio_ioctl(guest, TCE_KVM_PUT, &args);

	if (!ret && args.status == TCE_KVM_TOO_HARD && charged)
		return vfio_map(vfio.container, GUEST, memory, IOMMU_PAGE,
				MAP_BOTH);

	return ret ?: args.status == TCE_KVM_SUCCESS ? 0 : -ENOMEM;
}

static int unmap_guest(void)
{
	struct tce_kvm_hcall args = { .ioba = GUEST };
	int ret = vfio_ioctl(guest, TCE_KVM_PUT, &args);

	return ret ?: args.status == TCE_KVM_SUCCESS ? 0 : -EBADE;
}

static int attach_second(void)
{
	if (second.group < 0)
		return 0;

	return vfio_ioctl(second.group, VFIO_GROUP_SET_CONTAINER,
			  &vfio.container);
}

static int detach_second(void)
{
	if (second.group < 0)
		return 0;

	return vfio_ioctl(second.group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

static int eeh(void)
{
	struct vfio_eeh_pe_op op = {
		.argsz = sizeof(op),
		.op = VFIO_EEH_PE_GET_STATE,
	};
	int ret;

	if (vfio_ioctl(vfio.container, VFIO_CHECK_EXTENSION,
		       (void *)VFIO_EEH) != 1)
		return 0;
	ret = vfio_ioctl(vfio.container, VFIO_EEH_PE_OP, &op);

	return ret < 0 ? ret : 0;
}

static int unmap_all(void)
{
	return vfio_unmap(vfio.container, 0, SIZE);
}

static int remove_window(void)
{
	return vfio_remove(vfio.container, 0);
}

static int unregister_other(void)
{
	return vfio_unregister(vfio.container, other, page);
}

static int unregister_memory(void)
{
	return vfio_unregister(vfio.container, memory, bytes);
}

static int enable(void)
{
	return vfio_ioctl(vfio.container, VFIO_IOMMU_ENABLE, NULL);
}

static int disable(void)
{
	return vfio_ioctl(vfio.container, VFIO_IOMMU_DISABLE, NULL);
}

static int map_pinned(void)
{
	return vfio_map(vfio.container, FEW, memory, 2 * LEAF_BYTES, MAP_BOTH);
}

static int unmap_pinned(void)
{
	return vfio_unmap(vfio.container, FEW, 2 * LEAF_BYTES);
}

static int unset_container(void)
{
	return vfio_ioctl(vfio.group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

/*
 * struct link - a call of a chain
 * @faults: the most faults that could have been injected into it so far
 */
struct link {
	const char *name;
	int (*call)(void);
	unsigned int faults;
	/* Give the window to a guest before the call; take it back after it. */
	bool enter, leave;
};

static struct link version2[] = {
	{ .name = "GROUP_SET_CONTAINER", .call = set_container },
	{ .name = "SET_IOMMU", .call = set_iommu },
	{ .name = "CHECK_EXTENSION", .call = check_extension },
	{ .name = "SPAPR_TCE_GET_INFO", .call = get_info },
	{ .name = "SPAPR_REGISTER_MEMORY", .call = register_memory },
	{ .name = "SPAPR_REGISTER_MEMORY, another", .call = register_other },
	/* The default window stays, even if the call that created it fails. */
	{ .name = "UNMAP_DMA, which creates the default window",
	  .call = unmap_default },
	{ .name = "MAP_DMA", .call = map_default },
	{ .name = "UNMAP_DMA", .call = unmap_default },
	{ .name = "SPAPR_TCE_REMOVE", .call = remove_default },
	{ .name = "SPAPR_TCE_CREATE", .call = create_window },
	{ .name = "SPAPR_TCE_CREATE, the second", .call = create_window },
	{ .name = "MAP_DMA of a page", .call = map_few },
	{ .name = "MAP_DMA of another region", .call = map_next },
	{ .name = "MAP_DMA of several leaves", .call = map_many },
	{ .name = "MAP_DMA of the same again", .call = map_many },
	{ .name = "figures in debugfs", .call = read_figures },
	{ .name = "mappings in debugfs", .call = read_mappings },
	{ .name = "GROUP_SET_CONTAINER of a second group",
	  .call = attach_second },
	{ .name = "EEH_PE_OP", .call = eeh },
	{ .name = "H_PUT_TCE", .call = map_guest, .enter = true },
	{ .name = "H_PUT_TCE that unmaps", .call = unmap_guest, .leave = true },
	{ .name = "GROUP_UNSET_CONTAINER of the second group",
	  .call = detach_second },
	{ .name = "UNMAP_DMA of all", .call = unmap_all },
	{ .name = "SPAPR_TCE_REMOVE", .call = remove_window },
	{ .name = "SPAPR_UNREGISTER_MEMORY", .call = unregister_other },
	/* Returns EBUSY if a page is still counted. */
	{ .name = "SPAPR_UNREGISTER_MEMORY", .call = unregister_memory },
	{ .name = "GROUP_UNSET_CONTAINER", .call = unset_container },
	{}
}, windows[] = {
	{ .name = "GROUP_SET_CONTAINER", .call = set_container },
	{ .name = "SET_IOMMU", .call = set_iommu },
	{ .name = "SPAPR_TCE_REMOVE", .call = remove_default },
	{ .name = "SPAPR_TCE_CREATE", .call = create_window },
	{ .name = "GROUP_UNSET_CONTAINER", .call = unset_container },
	{}
}, version1[] = {
	{ .name = "GROUP_SET_CONTAINER", .call = set_container },
	{ .name = "SET_IOMMU", .call = set_iommu },
	{ .name = "CHECK_EXTENSION", .call = check_extension },
	{ .name = "SPAPR_TCE_GET_INFO", .call = get_info },
	{ .name = "ENABLE", .call = enable },
	{ .name = "UNMAP_DMA, which creates the default window",
	  .call = unmap_pinned },
	{ .name = "MAP_DMA", .call = map_pinned },
	{ .name = "MAP_DMA of the same again", .call = map_pinned },
	{ .name = "EEH_PE_OP", .call = eeh },
	{ .name = "UNMAP_DMA", .call = unmap_pinned },
	{ .name = "MAP_DMA", .call = map_pinned },
	{ .name = "DISABLE", .call = disable },
	{ .name = "GROUP_UNSET_CONTAINER", .call = unset_container },
	{}
};

/* Running a chain */

/* The windows use no more memory than before, once unused levels are freed. */
static bool no_more_memory(const struct state *before)
{
	struct state now;
	int polls, i;
	bool same;

	for (polls = 0; polls < LEVELS_POLLS; polls++) {
		now = state_now();
		for (same = true, i = 0; i < 2; i++) {
			const struct figures *a = &now.figures[i];
			const struct figures *b = &before->figures[i];

			same &= a->hw_bytes <= b->hw_bytes &&
				a->user_bytes <= b->user_bytes &&
				a->page_bytes <= b->page_bytes;
		}
		if (same)
			return true;
		usleep(LEVELS_US);
	}

	return false;
}

static void give_window(void)
{
	guest = guest_open();
	CHECK_EQ(guest_attach(guest, 0, 0, SIZE, PAGE_SHIFT), 0);
}

static void return_window(void)
{
	CHECK_EQ(guest_detach(guest), 0);
	close(guest);
}

/*
 * Makes one call, with its @left-th fault. Returns the number of faults left,
 * and counts in @failed if the call failed.
 */
static unsigned int chain_call(struct link *link, unsigned int left,
			       unsigned int *failed)
{
	/* Checking the whole state takes much longer than the call. */
	bool look = left <= link->faults + SLACK;
	unsigned int after;
	struct state before;
	int ret;

	if (look) {
		state_quiesce();
		before = state_now();
	}
	fault_arm(left);
	ret = link->call();
	after = fault_disarm();
	if (after) {
		CHECK_EQ(ret, 0);
		if (link->faults < left - after)
			link->faults = left - after;
		return after;
	}

	/* A fault need not be an error: the kernel may have another way. */
	if (!ret)
		return 0;
	++*failed;
	tap_diag("%s: %s", link->name, strerror(-ret));
	CHECK(ret == -ENOMEM || ret == -EFAULT);
	if (look) {
		CHECK_STATE(&before);
		CHECK(no_more_memory(&before));
	}
	if (!CHECK_EQ(link->call(), 0))
		tap_diag("%s again", link->name);

	return 0;
}

/*
 * Runs a chain with the @n-th fault. Returns whether that fault happened, and
 * counts in @failed the calls that failed.
 */
static bool chain_run(struct link *link, unsigned int n, unsigned int *failed)
{
	unsigned int left = n;

	vfio = (struct vfio) {
		.container = vfio_open_container(),
		.group = vfio_open_group(0),
		.device = -1,
	};
	second = (struct vfio) { .group = -1, .device = -1 };
	/* A window of a hypervisor belongs to one group. */
	if (vfio_have_device(1) && !pseries)
		second.group = vfio_open_group(1);
	for (; link->call; link++) {
		if (link->enter)
			give_window();
		if (left)
			left = chain_call(link, left, failed);
		else if (!CHECK_EQ(link->call(), 0))
			tap_diag("fault %u, then %s", n, link->name);
		if (link->leave)
			return_window();
	}
	vfio_detach(&second);
	vfio_close(&vfio);

	return !left;
}

/*
 * Until release_group(), detaching the group does not give it back to the
 * platform: that would take most of the time.
 */
static void keep_group(unsigned int device)
{
	struct vfio owner;

	if (!vfio_have_device(device))
		return;
	CHECK_EQ(vfio_attach(&owner, vfio_open_container(), device), 0);
	keeper[device] = guest_open();
	CHECK_EQ(guest_keep(keeper[device], device), 0);
	vfio_close(&owner);
}

static void release_group(unsigned int device)
{
	struct vfio owner;

	if (!vfio_have_device(device))
		return;
	CHECK_EQ(vfio_attach(&owner, vfio_open_container(), device), 0);
	close(keeper[device]);
	vfio_close(&owner);
}

static void chain(struct link *links, unsigned long type)
{
	struct state before = state_now();
	unsigned int n, failed = 0;

	if (!faults_possible) {
		tap_skip("the kernel has no fault injection");
		return;
	}

	version = type;
	keep_group(0);
	keep_group(1);
	/* Without a fault: the VFIO core allocates some memory and keeps it. */
	chain_run(links, MOST, &failed);
	CHECK_STATE(&before);
	for (n = 1; n < MOST && chain_run(links, n, &failed); n++)
		if (!CHECK_STATE(&before))
			break;
	CHECK(n < MOST);
	release_group(0);
	release_group(1);
	CHECK_STATE(&before);
	/* If no call has failed, no fault was injected. */
	CHECK(failed > 0);
	tap_diag("%u faults, %u of them failed a call", n - 1, failed);
}

static void test_version2(void)
{
	chain(version2, VFIO_SPAPR_TCE_v2_IOMMU);
}

/* Here a command of a window is the first that needs the process's mm. */
static void test_windows(void)
{
	chain(windows, VFIO_SPAPR_TCE_v2_IOMMU);
}

static void test_charged(void)
{
	charged = true;
	state_charge_allocated(true);
	chain(version2, VFIO_SPAPR_TCE_v2_IOMMU);
	state_charge_allocated(false);
	charged = false;
}

static void test_version1(void)
{
	chain(version1, VFIO_SPAPR_TCE_IOMMU);
}

int main(void)
{
	page = vfio_page_size();
	bytes = MANY_LEAVES * LEAF_BYTES;
	memory = vfio_memory(bytes);
	other = vfio_memory(page);
	pseries = vfio_is_guest();
	faults_possible = fault_init();
	/*
	 * The kernel never again creates a window for a device after this
	 * function has failed for it (failed_ddw_pdn_list), so it gets no
	 * faults.
	 */
	if (faults_possible && pseries &&
	    !fault_reject("spapr_tce_create_table"))
		tap_bail("no spapr_tce_create_table() in the kernel");
	state_watch();

	tap_test_ours("version 2: any allocation may fail", test_version2);
	tap_test_ours("version 2, windows first: any allocation may fail",
		      test_windows);
	tap_test_ours("version 2, charge_allocated: any allocation may fail",
		      test_charged);
	tap_test_ours("version 1: any allocation may fail", test_version1);

	return tap_main();
}
