// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VFIO interface as functions. Contract: vfio.h.
 */

#define _GNU_SOURCE

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"
#include "vfio.h"

/* The fewest entries of a level. */
#define LEVEL_MIN_SHIFT		9
/* The address bit that selects the window; a table must not cover it. */
#define WINDOW_SELECT_BIT	59
/* A window has fewer address bits than this. */
#define ADDRESS_BITS		55
/* The largest level: eight kernel pages; in-tree, 16 MiB. */
#define LEVEL_MAX_ORDER		3
#define LEVEL_MAX_SHIFT_INTREE	(24 - 3)
#define MAX_LEVELS		5

/* GET_INFO of the first container. */
static struct vfio_iommu_spapr_tce_info limits;

static const char *device_address(unsigned int number)
{
	const char *address = getenv(number ? "VFIO_DEVICE2" : "VFIO_DEVICE");

	return address && *address ? address : NULL;
}

bool vfio_have_device(unsigned int number)
{
	return device_address(number);
}

int vfio_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

int vfio_open_container(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		tap_bail("/dev/vfio/vfio: %s", strerror(errno));

	return fd;
}

int vfio_open_group(unsigned int number)
{
	const char *address = device_address(number);
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;
	int fd;

	if (!address)
		tap_bail("no VFIO_DEVICE in the environment");

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 address);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		tap_bail("%s: %s", path, strerror(errno));
	target[length] = '\0';

	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(target, '/') + 1);
	fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vfio_attach(struct vfio *vfio, int container, unsigned int number)
{
	int ret;

	*vfio = (struct vfio) {
		.number = number,
		.container = container,
		.device = -1,
	};
	vfio->group = vfio_open_group(number);
	if (vfio->group < 0)
		return vfio->group;

	ret = vfio_ioctl(vfio->group, VFIO_GROUP_SET_CONTAINER, &container);
	if (ret) {
		close(vfio->group);
		vfio->group = -1;
	}

	return ret;
}

int vfio_set_iommu(int container, unsigned long type)
{
	return vfio_ioctl(container, VFIO_SET_IOMMU, (void *)type);
}

/* A device whose bus mastering is disabled does no DMA. */
static void set_bus_master(int device)
{
	struct vfio_region_info region = {
		.argsz = sizeof(region),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	__u16 command;
	off_t offset;
	int ret;

	ret = vfio_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region);
	if (ret)
		tap_bail("config space: %s", strerror(-ret));

	offset = region.offset + PCI_COMMAND;
	if (pread(device, &command, sizeof(command), offset) != sizeof(command))
		tap_bail("reading config space: %s", strerror(errno));
	command |= htole16(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (pwrite(device, &command, sizeof(command), offset) !=
	    sizeof(command))
		tap_bail("writing config space: %s", strerror(errno));
}

void vfio_start_device(struct vfio *vfio)
{
	const char *address = device_address(vfio->number);
	struct vfio_region_info region = {
		.argsz = sizeof(region),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};
	int ret;

	vfio->device = vfio_ioctl(vfio->group, VFIO_GROUP_GET_DEVICE_FD,
				  (void *)address);
	if (vfio->device < 0)
		tap_bail("device %s: %s", address, strerror(-vfio->device));

	ret = vfio_ioctl(vfio->device, VFIO_DEVICE_GET_REGION_INFO, &region);
	if (ret)
		tap_bail("BAR 0 of %s: %s", address, strerror(-ret));
	vfio->bar = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 vfio->device, region.offset);
	if (vfio->bar == MAP_FAILED)
		tap_bail("mapping BAR 0 of %s: %s", address, strerror(errno));
	vfio->bar_size = region.size;

	set_bus_master(vfio->device);
}

void vfio_open_device(struct vfio *vfio, unsigned int number)
{
	int container = vfio_open_container();
	int ret;

	ret = vfio_attach(vfio, container, number);
	if (ret)
		tap_bail("VFIO_GROUP_SET_CONTAINER: %s", strerror(-ret));
	ret = vfio_set_iommu(container, VFIO_SPAPR_TCE_v2_IOMMU);
	if (ret)
		tap_bail("VFIO_SET_IOMMU: %s", strerror(-ret));
	if (!limits.argsz) {
		ret = vfio_info(container, &limits);
		if (ret)
			tap_bail("GET_INFO: %s", strerror(-ret));
	}
}

void vfio_open(struct vfio *vfio)
{
	vfio_open_device(vfio, 0);
}

const struct vfio_iommu_spapr_tce_info *vfio_limits(void)
{
	if (!limits.argsz)
		tap_bail("the limits are not known yet");

	return &limits;
}

bool vfio_is_guest(void)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	bool guest = false;
	char line[256];

	if (!file)
		tap_bail("/proc/cpuinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "platform", 8))
			guest = strstr(line, "pSeries");
	fclose(file);

	return guest;
}

unsigned int vfio_levels(unsigned int wanted)
{
	unsigned int most = vfio_limits()->ddw.levels;

	return wanted < most ? wanted : most;
}

unsigned int vfio_large_shift(void)
{
	return vfio_is_guest() ? vfio_page_shift() + 22 : 40;
}

void vfio_detach(struct vfio *vfio)
{
	if (vfio->bar)
		munmap(vfio->bar, vfio->bar_size);
	if (vfio->device >= 0)
		close(vfio->device);
	if (vfio->group >= 0)
		close(vfio->group);
	if (vfio->stage)
		munmap(vfio->stage, vfio_page_size());
	vfio->bar = NULL;
	vfio->device = -1;
	vfio->group = -1;
	vfio->stage = NULL;
}

void vfio_close(struct vfio *vfio)
{
	vfio_detach(vfio);
	close(vfio->container);
}

int vfio_info(int container, struct vfio_iommu_spapr_tce_info *info)
{
	*info = (struct vfio_iommu_spapr_tce_info) { .argsz = sizeof(*info) };

	return vfio_ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, info);
}

int vfio_register(int container, const void *memory, __u64 size)
{
	struct vfio_iommu_spapr_register_memory args = {
		.argsz = sizeof(args),
		.vaddr = (uintptr_t)memory,
		.size = size,
	};

	return vfio_ioctl(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &args);
}

int vfio_unregister(int container, const void *memory, __u64 size)
{
	struct vfio_iommu_spapr_register_memory args = {
		.argsz = sizeof(args),
		.vaddr = (uintptr_t)memory,
		.size = size,
	};

	return vfio_ioctl(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &args);
}

int vfio_map(int container, __u64 iova, const void *memory, __u64 size,
	     unsigned int flags)
{
	struct vfio_iommu_type1_dma_map args = {
		.argsz = sizeof(args),
		.flags = flags,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return vfio_ioctl(container, VFIO_IOMMU_MAP_DMA, &args);
}

int vfio_unmap(int container, __u64 iova, __u64 size)
{
	struct vfio_iommu_type1_dma_unmap args = {
		.argsz = sizeof(args),
		.iova = iova,
		.size = size,
	};

	return vfio_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &args);
}

int vfio_create(int container, unsigned int page_shift, __u64 size,
		unsigned int levels, __u64 *start)
{
	struct vfio_iommu_spapr_tce_create args = {
		.argsz = sizeof(args),
		.page_shift = page_shift,
		.window_size = size,
		.levels = levels,
		.start_addr = ~0ULL,
	};
	int ret;

	ret = vfio_ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &args);
	if (start)
		*start = args.start_addr;

	return ret;
}

int vfio_remove(int container, __u64 start)
{
	struct vfio_iommu_spapr_tce_remove args = {
		.argsz = sizeof(args),
		.start_addr = start,
	};

	return vfio_ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &args);
}

int vfio_create_large(struct vfio *vfio, unsigned int levels)
{
	return vfio_create(vfio->container, vfio_page_shift(),
			   BIT_ULL(vfio_large_shift()), vfio_levels(levels),
			   NULL);
}

unsigned int vfio_level_shift(unsigned int entries_shift, unsigned int levels)
{
	unsigned int least = tap_intree() ? vfio_page_shift() - 3 :
					    LEVEL_MIN_SHIFT;
	unsigned int even = (entries_shift + levels - 1) / levels;

	return even > least ? even : least;
}

/*
 * Whether a table of @levels equal levels is within the limits of the hardware
 * and of the allocator.
 */
static bool levels_possible(unsigned int page_shift,
			    unsigned int entries_shift, unsigned int levels)
{
	unsigned int shift = vfio_level_shift(entries_shift, levels);
	unsigned int bits = shift * levels + page_shift;

	if (tap_intree())
		return bits < ADDRESS_BITS && shift <= LEVEL_MAX_SHIFT_INTREE;

	return bits <= WINDOW_SELECT_BIT &&
	       shift <= vfio_page_shift() + LEVEL_MAX_ORDER - 3;
}

unsigned int vfio_real_levels(unsigned int page_shift,
			      unsigned int entries_shift, unsigned int wanted)
{
	for (; wanted <= MAX_LEVELS; wanted++)
		if (levels_possible(page_shift, entries_shift, wanted))
			return wanted;

	return 0;
}

bool vfio_levels_fit(unsigned int page_shift, unsigned int entries_shift,
		     unsigned int levels)
{
	if (!levels || levels > MAX_LEVELS)
		return false;
	if (vfio_is_guest())
		return levels == 1 || !tap_intree();
	if (tap_intree())
		return levels_possible(page_shift, entries_shift, levels);

	return entries_shift + page_shift < ADDRESS_BITS &&
	       vfio_real_levels(page_shift, entries_shift, levels);
}

__u64 vfio_window_charge(unsigned int entries_shift, unsigned int levels)
{
	unsigned int even = (entries_shift + levels - 1) / levels;
	unsigned int least = vfio_page_shift() - 3;
	unsigned int shift = even > least ? even : least;
	unsigned int height, bits;
	__u64 bytes = 0;

	/* Only the userspace view is charged, in whole kernel pages. */
	if (vfio_is_guest())
		return (8ULL << entries_shift) / vfio_page_size();

	for (height = 0, bits = entries_shift; height < levels; height++) {
		bits = bits > shift ? bits - shift : 0;
		bytes += (__u64)8 << (bits + shift);
	}

	return 2 * bytes / vfio_page_size();
}

unsigned char *vfio_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		tap_bail("%zu bytes of memory: %s", size, strerror(errno));

	return memory;
}

/* /proc/self/pagemap has a 64-bit word for each page; the PFN is bits 0-54. */
__u64 page_frame(const unsigned char *address)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry;

	if (pread(pagemap, &entry, sizeof(entry),
		  (uintptr_t)address / vfio_page_size() * sizeof(entry)) !=
	    sizeof(entry))
		tap_bail("a page's frame number cannot be read");
	close(pagemap);

	return entry & ((1ULL << 55) - 1);
}

/* /proc/kpageflags has a 64-bit word for each page frame; PG_dirty is bit 4. */
bool page_is_dirty(const unsigned char *address)
{
	int flags = open("/proc/kpageflags", O_RDONLY);
	uint64_t bits;

	if (pread(flags, &bits, sizeof(bits),
		  page_frame(address) * sizeof(bits)) != sizeof(bits))
		tap_bail("a page's flags cannot be read");
	close(flags);

	return bits >> 4 & 1;
}

size_t vfio_page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

unsigned int vfio_page_shift(void)
{
	return __builtin_ctzl(vfio_page_size());
}

unsigned int vfio_huge_shift(void)
{
	unsigned long kilobytes = 0, pages = 0;
	FILE *file = fopen("/proc/meminfo", "r");
	char line[200];

	if (!file)
		tap_bail("/proc/meminfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "HugePages_Total: %lu", &pages) != 1 &&
		    sscanf(line, "Hugepagesize: %lu kB", &kilobytes) == 1)
			break;
	fclose(file);

	return pages && kilobytes ? __builtin_ctzl(kilobytes) + 10 : 0;
}
