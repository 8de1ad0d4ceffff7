// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the calls of the fuzzer. Contract: perform.h.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse.h"
#include "perform.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

static unsigned long ioctls;

static const unsigned long requests[OPERATIONS] = {
	[OP_API_VERSION] = VFIO_GET_API_VERSION,
	[OP_CHECK_EXTENSION] = VFIO_CHECK_EXTENSION,
	[OP_SET_IOMMU] = VFIO_SET_IOMMU,
	[OP_GET_INFO] = VFIO_IOMMU_SPAPR_TCE_GET_INFO,
	[OP_ENABLE] = VFIO_IOMMU_ENABLE,
	[OP_DISABLE] = VFIO_IOMMU_DISABLE,
	[OP_REGISTER] = VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
	[OP_UNREGISTER] = VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
	[OP_MAP] = VFIO_IOMMU_MAP_DMA,
	[OP_UNMAP] = VFIO_IOMMU_UNMAP_DMA,
	[OP_CREATE] = VFIO_IOMMU_SPAPR_TCE_CREATE,
	[OP_REMOVE] = VFIO_IOMMU_SPAPR_TCE_REMOVE,
	[OP_EEH] = VFIO_EEH_PE_OP,
	[OP_SET_CONTAINER] = VFIO_GROUP_SET_CONTAINER,
	[OP_UNSET_CONTAINER] = VFIO_GROUP_UNSET_CONTAINER,
};

void scratch_init(struct scratch *scratch, unsigned int number)
{
	int fd = memfd_create("arguments", MFD_CLOEXEC);

	scratch->pages = vfio_memory(2 * machine.page);
	scratch->late = vfio_memory(2 * machine.page);
	scratch->number = number;
	if (fd < 0 || ftruncate(fd, machine.page) ||
	    mprotect(scratch->pages + machine.page, machine.page, PROT_NONE) ||
	    mprotect(scratch->late + machine.page, machine.page, PROT_NONE))
		tap_bail("memory for arguments: %s", strerror(errno));
	scratch->writable = mmap(NULL, machine.page, PROT_READ | PROT_WRITE,
				 MAP_SHARED, fd, 0);
	scratch->read_only = mmap(NULL, machine.page, PROT_READ, MAP_SHARED, fd,
				  0);
	if (scratch->writable == MAP_FAILED || scratch->read_only == MAP_FAILED)
		tap_bail("memory for arguments: %s", strerror(errno));
	close(fd);
}

/* An ioctl that faults its argument in from FUSE; another process answers. */
static int ioctl_late(struct scratch *scratch, int fd, struct call *call,
		      union args *after)
{
	size_t offset = machine.page - call->readable;
	unsigned char *content = fuse_content_of(scratch->number);
	int ret;

	memcpy(content + offset, &call->args, call->readable);
	fuse_page_of(scratch->number, scratch->late);
	ret = vfio_ioctl(fd, requests[call->op], scratch->late + offset);
	memcpy(after, scratch->late + offset, call->readable);
	fuse_forget(scratch->number, scratch->late);

	return ret;
}

/* An ioctl whose argument is as readable and writable as the call specifies. */
static int ioctl_args(struct scratch *scratch, int fd, struct call *call,
		      union args *after)
{
	unsigned char *end = scratch->pages + machine.page;
	size_t readable = call->readable;
	unsigned char *to = end - readable, *from = to;
	int ret;

	if (call->late && readable && !call->read_only && fuse_available())
		return ioctl_late(scratch, fd, call, after);
	if (call->read_only) {
		to = scratch->writable;
		from = scratch->read_only;
	}
	memcpy(to, &call->args, readable);
	ret = vfio_ioctl(fd, requests[call->op], from);
	memcpy(after, from, readable);

	return ret;
}

static int ioctl_any(struct model *model, struct scratch *scratch,
		     struct call *call, union args *after)
{
	int fd = model->containers[call->container].fd;
	int value = call->value;
	void *arg;

	switch (call->op) {
	case OP_API_VERSION:
	case OP_ENABLE:
	case OP_DISABLE:
		return vfio_ioctl(fd, requests[call->op], NULL);
	case OP_CHECK_EXTENSION:
	case OP_SET_IOMMU:
		return vfio_ioctl(fd, requests[call->op], (void *)call->value);
	case OP_UNKNOWN:
		return vfio_ioctl(fd, call->value, NULL);
	case OP_SET_CONTAINER:
		arg = call->readable < sizeof(value) ? NULL : &value;
		return vfio_ioctl(model->group_fds[call->group],
				  requests[call->op], arg);
	case OP_UNSET_CONTAINER:
		return vfio_ioctl(model->group_fds[call->group],
				  requests[call->op], NULL);
	default:
		return ioctl_args(scratch, fd, call, after);
	}
}

/* Makes the call in a child process, whose exit status is the error. */
static int ioctl_foreign(struct model *model, struct scratch *scratch,
			 struct call *call, union args *after)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (!pid) {
		int ret = ioctl_any(model, scratch, call, after);

		_exit(ret < 0 ? -ret : 0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		tap_bail("waitpid: the child did not exit");

	return -WEXITSTATUS(status);
}

static void change_arena(unsigned int page, enum page_kind kind)
{
	void *address = (void *)(ARENA + page * machine.page);
	int prot = kind == PAGE_READ_ONLY ? PROT_READ :
		   kind == PAGE_NONE ? PROT_NONE : PROT_READ | PROT_WRITE;

	if (munmap(address, machine.page))
		tap_bail("munmap: %s", strerror(errno));
	if (kind == PAGE_HOLE)
		return;
	if (mmap(address, machine.page, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1,
		 0) != address || mprotect(address, machine.page, prot))
		tap_bail("mmap: %s", strerror(errno));
}

void perform(struct model *model, struct scratch *scratch, struct call *call,
	     union args *after)
{
	struct container *container = &model->containers[call->container];

	*after = call->args;
	call->got = 0;
	switch (call->op) {
	case OP_OPEN:
		container->fd = vfio_open_container();
		return;
	case OP_CLOSE:
		close(container->fd);
		container->fd = -1;
		return;
	case OP_ARENA:
		change_arena(call->value, call->kind);
		return;
	default:
		break;
	}

	__atomic_add_fetch(&ioctls, 1, __ATOMIC_RELAXED);
	if (call->room != UNLIMITED)
		state_limit(call->room);
	call->got = call->foreign ?
		    ioctl_foreign(model, scratch, call, after) :
		    ioctl_any(model, scratch, call, after);
	if (call->room != UNLIMITED)
		state_unlimit();
}

unsigned long perform_count(void)
{
	return __atomic_load_n(&ioctls, __ATOMIC_RELAXED);
}
