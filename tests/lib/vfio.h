/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VFIO interface as functions. What can be refused returns 0 or -errno, as
 * the kernel's side of it does; what the test cannot do without ends the
 * program.
 */
#ifndef E2E_VFIO_H
#define E2E_VFIO_H

#include <linux/types.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT_ULL(bit)	(1ULL << (bit))

#define MAP_READ	VFIO_DMA_MAP_FLAG_READ
#define MAP_WRITE	VFIO_DMA_MAP_FLAG_WRITE
#define MAP_BOTH	(MAP_READ | MAP_WRITE)

/* Where the platform puts the second window. */
#define WINDOW1_START	0x800000000000000ULL

/**
 * struct vfio - a container with one device in it
 * @number: which of the test devices it is
 * @container: file descriptor
 * @group: file descriptor of the device's group, or -1
 * @device: file descriptor of the device, or -1
 * @bar: the device's registers
 * @bar_size: bytes
 * @stage: a page through which tests reach the device's buffer, see edu.h
 * @stage_iova: where @stage is mapped
 */
struct vfio {
	unsigned int number;
	int container;
	int group;
	int device;
	void *bar;
	size_t bar_size;
	unsigned char *stage;
	__u64 stage_iova;
};

/*
 * The test devices, by number, from the environment: VFIO_DEVICE, VFIO_DEVICE2.
 */
bool vfio_have_device(unsigned int number);

/* A container with the first device's group in it, version 2. */
void vfio_open(struct vfio *vfio);
/* The same with the group of another device. */
void vfio_open_device(struct vfio *vfio, unsigned int number);
/* Whatever of it is open. What is registered and mapped goes with it. */
void vfio_close(struct vfio *vfio);

/* The same in steps. */
int vfio_open_container(void);
int vfio_open_group(unsigned int number);
int vfio_attach(struct vfio *vfio, int container, unsigned int number);
int vfio_set_iommu(int container, unsigned long type);
/* For DMA. A device that was used may be reset when it is closed: seconds. */
void vfio_start_device(struct vfio *vfio);
/* Takes the group out of the container, which stays open. */
void vfio_detach(struct vfio *vfio);

/* Any ioctl: its result, or -errno. */
int vfio_ioctl(int fd, unsigned long request, void *arg);

int vfio_info(int container, struct vfio_iommu_spapr_tce_info *info);
int vfio_register(int container, const void *memory, __u64 size);
int vfio_unregister(int container, const void *memory, __u64 size);
int vfio_map(int container, __u64 iova, const void *memory, __u64 size,
	     unsigned int flags);
int vfio_unmap(int container, __u64 iova, __u64 size);
int vfio_create(int container, unsigned int page_shift, __u64 size,
		unsigned int levels, __u64 *start);
int vfio_remove(int container, __u64 start);

/* Creates a window of vfio_large_shift(), with kernel pages. */
int vfio_create_large(struct vfio *vfio, unsigned int levels);

/*
 * Registers @memory, and maps it at @iova and at WINDOW1_START + @iova, in the
 * default window and in a large one.
 */
void vfio_use_windows(struct vfio *vfio, const void *memory, __u64 size,
		      __u64 iova);

/*
 * Whether this is a guest. The hypervisor has the tables then, of one level and
 * of limited size; otherwise the host's kernel has them.
 */
bool vfio_is_guest(void);

/* What the platform can do, from GET_INFO; after vfio_open(). */
const struct vfio_iommu_spapr_tce_info *vfio_limits(void);
/* That many levels, or the most that there can be. */
unsigned int vfio_levels(unsigned int wanted);
/* The size of a large window of the kernel's pages, as a shift. */
unsigned int vfio_large_shift(void);

/*
 * Entries of a level, as a shift. Ours has levels of 4 KiB on any kernel,
 * in-tree they are kernel pages.
 */
unsigned int vfio_level_shift(unsigned int entries_shift, unsigned int levels);

/*
 * Whether a table may be asked for with this many levels. Ours takes the number
 * for a wish: vfio_levels_made() says how many there are then. They fit the
 * hardware, and no level takes more than eight kernel pages in one piece.
 */
bool vfio_levels_fit(unsigned int page_shift, unsigned int entries_shift,
		     unsigned int levels);
unsigned int vfio_levels_made(unsigned int page_shift, unsigned int entries_shift,
			      unsigned int wanted);

/*
 * Kernel pages that a window is charged: a whole table of the levels that were
 * asked for, each of whole kernel pages, and the user-space view of the same
 * size. In a guest, the view alone. The kernel's own module and ours charge the
 * same, whatever ours allocates.
 */
__u64 vfio_window_charge(unsigned int entries_shift, unsigned int levels);

/* Anonymous memory, kernel-page aligned, already there. */
unsigned char *vfio_memory(size_t size);

/*
 * Whether the kernel takes the page at @address for dirty, whatever its PTE
 * says.
 */
bool page_is_dirty(const unsigned char *address);
size_t vfio_page_size(void);
unsigned int vfio_page_shift(void);

/* Of the kernel's huge pages, if there are any; or else 0. */
unsigned int vfio_huge_shift(void);

#endif /* E2E_VFIO_H */
