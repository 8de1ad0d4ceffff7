// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_EEH_PE_OP: its refusals, each operation that the emulated bridge
 * supports, and that an operation applies to all groups of the container.
 *
 * QEMU's PHB4 never freezes a device: the state is always 0 (normal), and
 * injected errors have no effect. What a test can observe is that the kernel
 * blocks the configuration space of a device in reset.
 */

#include <asm/eeh.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

#define IOVA		0x100000

/* The number after the last operation. */
#define NO_OPERATION	(VFIO_EEH_PE_INJECT_ERR + 1)

/* In the kernel's flags of a PE: its configuration space is blocked. */
#define PE_CFG_BLOCKED	4

static struct vfio vfio;
static size_t page;
/* The flags of the first device's PE before any test. */
static unsigned int usual_flags;

static int eeh(const struct vfio *of, unsigned int op)
{
	struct vfio_eeh_pe_op args = {
		.argsz = sizeof(args),
		.op = op,
	};

	return vfio_ioctl(of->container, VFIO_EEH_PE_OP, &args);
}

static int inject(unsigned int type, unsigned int func)
{
	struct vfio_eeh_pe_op args = {
		.argsz = sizeof(args),
		.op = VFIO_EEH_PE_INJECT_ERR,
		.err = { .type = type, .func = func },
	};

	return vfio_ioctl(vfio.container, VFIO_EEH_PE_OP, &args);
}

static bool machine_has_eeh(void)
{
	FILE *file = fopen("/proc/powerpc/eeh", "r");
	char line[256];
	bool enabled;

	if (!file || !fgets(line, sizeof(line), file))
		tap_bail("/proc/powerpc/eeh cannot be read");
	fclose(file);
	enabled = strstr(line, "is enabled");

	return enabled;
}

/* The flags of the PE of a device. */
static unsigned int pe_flags(unsigned int number)
{
	char path[PATH_MAX];
	unsigned int flags;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/eeh_pe_state",
		 getenv(number ? "VFIO_DEVICE2" : "VFIO_DEVICE"));
	file = fopen(path, "r");
	if (!file || fscanf(file, "%*x %x", &flags) != 1)
		tap_bail("%s cannot be read", path);
	fclose(file);

	return flags;
}

static bool is_blocked(unsigned int number)
{
	return pe_flags(number) & PE_CFG_BLOCKED;
}

static void test_extension(void)
{
	int container = vfio_open_container();
	int want = machine_has_eeh();

	/*
	 * Without SET_IOMMU all backends are asked, afterwards the selected
	 * one.
	 */
	CHECK_EQ(vfio_ioctl(container, VFIO_CHECK_EXTENSION, (void *)VFIO_EEH),
		 want);
	close(container);
	vfio_open(&vfio);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_CHECK_EXTENSION,
			    (void *)VFIO_EEH), want);
	vfio_close(&vfio);
}

static void test_no_eeh(void)
{
	struct state before;
	unsigned int op;

	if (machine_has_eeh()) {
		tap_skip("this machine has EEH");
		return;
	}
	vfio_open(&vfio);
	before = state_now();
	for (op = 0; op <= NO_OPERATION; op++)
		CHECK_EQ(eeh(&vfio, op), -ENODEV);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

/* How much of the argument of a refused call can be read. */
enum readable { ALL, HEAD, NOTHING };

#define HEAD_BYTES	(offsetof(struct vfio_eeh_pe_op, op) + sizeof(__u32))

static const struct refusal {
	const char *what;
	int error;
	unsigned int argsz;
	unsigned int flags;
	unsigned int op;
	enum readable readable;
} refusals[] = {
	{ "arguments that cannot be read", -EFAULT,
	  sizeof(struct vfio_eeh_pe_op), 0, VFIO_EEH_PE_GET_STATE, NOTHING },
	{ "argsz 0", -EINVAL, 0, 0, VFIO_EEH_PE_GET_STATE, ALL },
	{ "an argsz that ends before the operation", -EINVAL, HEAD_BYTES - 1, 0,
	  VFIO_EEH_PE_GET_STATE, ALL },
	{ "flags", -EINVAL, sizeof(struct vfio_eeh_pe_op), 1,
	  VFIO_EEH_PE_GET_STATE, ALL },
	{ "the first unknown operation", -EINVAL,
	  sizeof(struct vfio_eeh_pe_op), 0, NO_OPERATION, ALL },
	{ "the last unknown operation", -EINVAL,
	  sizeof(struct vfio_eeh_pe_op), 0, ~0U, ALL },
	{ "INJECT_ERR with an argsz that ends before the error", -EINVAL,
	  HEAD_BYTES, 0, VFIO_EEH_PE_INJECT_ERR, ALL },
	{ "INJECT_ERR with an argsz that ends within the error", -EINVAL,
	  sizeof(struct vfio_eeh_pe_op) - 1, 0, VFIO_EEH_PE_INJECT_ERR, ALL },
	{ "INJECT_ERR with an error that cannot be read", -EFAULT,
	  sizeof(struct vfio_eeh_pe_op), 0, VFIO_EEH_PE_INJECT_ERR, HEAD },
};

/* Places the argument so that only @readable of it can be read. */
static struct vfio_eeh_pe_op *args_at_end(unsigned char *two_pages,
					  enum readable readable)
{
	unsigned char *end = two_pages + page;

	if (mprotect(end, page, PROT_NONE))
		tap_bail("mprotect: %s", strerror(errno));

	switch (readable) {
	case ALL:
		return (void *)(end - sizeof(struct vfio_eeh_pe_op));
	case HEAD:
		return (void *)(end - HEAD_BYTES);
	default:
		return (void *)end;
	}
}

static void test_refusal(const void *data)
{
	unsigned char *pages = vfio_memory(2 * page);
	const struct refusal *refusal = data;
	struct vfio_eeh_pe_op *args;
	struct state before;

	args = args_at_end(pages, refusal->readable);
	if (refusal->readable != NOTHING) {
		args->argsz = refusal->argsz;
		args->flags = refusal->flags;
		args->op = refusal->op;
	}
	vfio_open(&vfio);
	before = state_now();
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_EEH_PE_OP, args),
		 refusal->error);
	CHECK_EQ(pe_flags(0), usual_flags);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), EEH_PE_STATE_NORMAL);
	CHECK_STATE(&before);
	vfio_close(&vfio);
	munmap(pages, 2 * page);
}

/* Operations without effect on a device that works. */
static const unsigned int harmless[] = {
	VFIO_EEH_PE_DISABLE, VFIO_EEH_PE_ENABLE, VFIO_EEH_PE_UNFREEZE_IO,
	VFIO_EEH_PE_UNFREEZE_DMA, VFIO_EEH_PE_GET_STATE, VFIO_EEH_PE_CONFIGURE,
};

static void test_harmless(void)
{
	struct state before;
	size_t i;

	vfio_open(&vfio);
	before = state_now();
	for (i = 0; i < ARRAY_SIZE(harmless); i++) {
		CHECK_EQ(eeh(&vfio, harmless[i]), 0);
		CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE),
			 EEH_PE_STATE_NORMAL);
		CHECK_EQ(pe_flags(0), usual_flags);
	}
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void test_head_is_enough(void)
{
	unsigned char *pages = vfio_memory(2 * page);
	struct vfio_eeh_pe_op *args = args_at_end(pages, HEAD);
	size_t i;

	vfio_open(&vfio);
	args->argsz = HEAD_BYTES;
	for (i = 0; i < ARRAY_SIZE(harmless); i++) {
		args->op = harmless[i];
		CHECK_EQ(vfio_ioctl(vfio.container, VFIO_EEH_PE_OP, args), 0);
	}
	vfio_close(&vfio);
	munmap(pages, 2 * page);
}

static void test_longer_argsz(void)
{
	struct vfio_eeh_pe_op args = {
		.argsz = 4096,
		.op = VFIO_EEH_PE_GET_STATE,
	};

	vfio_open(&vfio);
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_EEH_PE_OP, &args),
		 EEH_PE_STATE_NORMAL);
	args.op = VFIO_EEH_PE_INJECT_ERR;
	args.err.func = EEH_ERR_FUNC_MAX + 1;
	CHECK_EQ(vfio_ioctl(vfio.container, VFIO_EEH_PE_OP, &args), -EINVAL);
	vfio_close(&vfio);
}

static void test_reset(const void *data)
{
	const unsigned int *op = data;

	vfio_open(&vfio);
	CHECK(!is_blocked(0));
	CHECK_EQ(eeh(&vfio, *op), 0);
	CHECK(is_blocked(0));
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_DEACTIVATE), 0);
	CHECK(!is_blocked(0));
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), EEH_PE_STATE_NORMAL);
	CHECK_EQ(pe_flags(0), usual_flags);
	vfio_close(&vfio);
}

/* DEACTIVATE has no effect on a device that is not in reset. */
static void test_deactivate(void)
{
	vfio_open(&vfio);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_DEACTIVATE), 0);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), EEH_PE_STATE_NORMAL);
	CHECK_EQ(pe_flags(0), usual_flags);
	vfio_close(&vfio);
}

/* The sequence that a guest kernel uses to recover a frozen device. */
static void test_recovery(void)
{
	unsigned char *memory = vfio_memory(page);
	struct state before;

	vfio_open(&vfio);
	edu_stage(&vfio, 0);
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	CHECK_EQ(vfio_map(vfio.container, IOVA, memory, page, MAP_BOTH), 0);
	CHECK(edu_reads(&vfio, IOVA, memory));
	before = state_now();

	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_ENABLE), 0);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), EEH_PE_STATE_NORMAL);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_UNFREEZE_IO), 0);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_UNFREEZE_DMA), 0);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_HOT), 0);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_DEACTIVATE), 0);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_CONFIGURE), 0);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), EEH_PE_STATE_NORMAL);

	/* EEH does not change windows and mappings. */
	CHECK_STATE(&before);
	CHECK(edu_reads(&vfio, IOVA, memory));
	CHECK(edu_writes(&vfio, IOVA, memory));
	vfio_close(&vfio);
	munmap(memory, page);
}

static bool configuration_function(unsigned int func)
{
	return func == EEH_ERR_FUNC_LD_CFG_ADDR ||
	       func == EEH_ERR_FUNC_LD_CFG_DATA ||
	       func == EEH_ERR_FUNC_ST_CFG_ADDR ||
	       func == EEH_ERR_FUNC_ST_CFG_DATA;
}

static void test_inject(const void *data)
{
	const unsigned int *type = data;
	unsigned int func;

	vfio_open(&vfio);
	/* The firmware accepts only errors of configuration accesses. */
	for (func = EEH_ERR_FUNC_MIN; func <= EEH_ERR_FUNC_MAX; func++) {
		int want = configuration_function(func) ? 0 : -EIO;

		if (!CHECK_EQ(inject(*type, func), want))
			tap_diag("type %u, function %u", *type, func);
	}
	CHECK_EQ(inject(*type, EEH_ERR_FUNC_MAX + 1), -EINVAL);
	CHECK_EQ(inject(*type, ~0U), -EINVAL);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), EEH_PE_STATE_NORMAL);
	vfio_close(&vfio);
}

/* The platform returns ERANGE; older kernels check the type, with EINVAL. */
static bool type_refused(unsigned int type)
{
	int ret = inject(type, EEH_ERR_FUNC_LD_CFG_ADDR);

	return ret == -ERANGE || ret == -EINVAL;
}

static void test_inject_unknown_type(void)
{
	struct state before;

	vfio_open(&vfio);
	before = state_now();
	CHECK(type_refused(EEH_ERR_TYPE_64 + 1));
	CHECK(type_refused(~0U));
	CHECK_EQ(pe_flags(0), usual_flags);
	CHECK_STATE(&before);
	vfio_close(&vfio);
}

static void other_process(void *unused)
{
	CHECK(!unused);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_HOT), -EPERM);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), -EPERM);
}

static void test_other_process(void)
{
	unsigned char *memory = vfio_memory(page);

	vfio_open(&vfio);
	/* This process becomes the first user of the container. */
	CHECK_EQ(vfio_register(vfio.container, memory, page), 0);
	tap_child(other_process, NULL);
	CHECK(!is_blocked(0));
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), EEH_PE_STATE_NORMAL);
	vfio_close(&vfio);
	munmap(memory, page);
}

static void test_version_1(void)
{
	int container = vfio_open_container();

	CHECK_EQ(vfio_attach(&vfio, container, 0), 0);
	CHECK_EQ(vfio_set_iommu(container, VFIO_SPAPR_TCE_IOMMU), 0);
	/* Works before ENABLE. */
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), EEH_PE_STATE_NORMAL);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_HOT), 0);
	CHECK(is_blocked(0));
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_DEACTIVATE), 0);
	CHECK(!is_blocked(0));
	vfio_close(&vfio);
}

static void test_every_group(void)
{
	struct vfio second;

	if (!vfio_have_device(1)) {
		tap_skip("needs VFIO_DEVICE2");
		return;
	}
	vfio_open(&vfio);
	/* The second group is not in the container, so it is not reset. */
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_HOT), 0);
	CHECK(is_blocked(0));
	CHECK(!is_blocked(1));
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_DEACTIVATE), 0);

	CHECK_EQ(vfio_attach(&second, vfio.container, 1), 0);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_GET_STATE), EEH_PE_STATE_NORMAL);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_HOT), 0);
	CHECK(is_blocked(0));
	CHECK(is_blocked(1));
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_DEACTIVATE), 0);
	CHECK(!is_blocked(0));
	CHECK(!is_blocked(1));

	vfio_detach(&second);
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_HOT), 0);
	CHECK(is_blocked(0));
	CHECK(!is_blocked(1));
	CHECK_EQ(eeh(&vfio, VFIO_EEH_PE_RESET_DEACTIVATE), 0);
	vfio_close(&vfio);
}

static const unsigned int resets[] = {
	VFIO_EEH_PE_RESET_HOT, VFIO_EEH_PE_RESET_FUNDAMENTAL,
};

static const unsigned int types[] = { EEH_ERR_TYPE_32, EEH_ERR_TYPE_64 };

static void add_operations(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		tap_test_case(false, test_refusal, &refusals[i],
			      "VFIO_EEH_PE_OP refuses %s", refusals[i].what);
	tap_test("operations on a device that works have no effect",
		 test_harmless);
	tap_test("all operations but INJECT_ERR need only the argument's head",
		 test_head_is_enough);
	tap_test("VFIO_EEH_PE_OP accepts a larger argsz", test_longer_argsz);
	for (i = 0; i < ARRAY_SIZE(resets); i++)
		tap_test_case(false, test_reset, &resets[i],
			      "a %s reset blocks the device until DEACTIVATE",
			      i ? "fundamental" : "hot");
	tap_test("DEACTIVATE without a reset has no effect", test_deactivate);
	tap_test("a recovery changes neither window nor device",
		 test_recovery);
	for (i = 0; i < ARRAY_SIZE(types); i++)
		tap_test_case(false, test_inject, &types[i],
			      "INJECT_ERR calls the firmware, %u-bit errors",
			      i ? 64 : 32);
	tap_test("INJECT_ERR refuses an unknown type",
		 test_inject_unknown_type);
	tap_test("another process cannot use VFIO_EEH_PE_OP",
		 test_other_process);
	tap_test("version 1 has the same operations", test_version_1);
	tap_test("an operation applies to all groups of the container",
		 test_every_group);
}

int main(void)
{
	page = vfio_page_size();
	state_watch();

	tap_test("CHECK_EXTENSION returns whether the machine has EEH",
		 test_extension);
	tap_test("without EEH every operation is refused", test_no_eeh);
	if (machine_has_eeh()) {
		usual_flags = pe_flags(0);
		add_operations();
	}

	return tap_main();
}
