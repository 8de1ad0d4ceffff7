/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VFIO interface as functions. Calls that tests expect to be refused return
 * 0 or -errno; other failures end the program.
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
 * @bar_size: size of @bar in bytes
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
/* Closes all that is open. Registrations and mappings are released with it. */
void vfio_close(struct vfio *vfio);

/* The steps of vfio_open(). */
int vfio_open_container(void);
int vfio_open_group(unsigned int number);
int vfio_attach(struct vfio *vfio, int container, unsigned int number);
int vfio_set_iommu(int container, unsigned long type);
/*
 * Needed for DMA. Closing a device that was used may reset it, which takes
 * seconds.
 */
void vfio_start_device(struct vfio *vfio);
/* Detaches the group from the container, which stays open. */
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

/* Creates a large window of kernel pages. */
int vfio_create_large(struct vfio *vfio, unsigned int levels);

/*
 * Whether this is a guest: the hypervisor has the tables, which have one level
 * and limited size. On a host the kernel has them.
 */
bool vfio_is_guest(void);

/* What GET_INFO returned to the first vfio_open(). */
const struct vfio_iommu_spapr_tce_info *vfio_limits(void);
/* @wanted levels, or the most that the platform supports. */
unsigned int vfio_levels(unsigned int wanted);
/* The size of a large window of kernel pages, as a shift. */
unsigned int vfio_large_shift(void);

/*
 * Entries of a level, as a shift. Our levels are of 4 KiB at least, in-tree
 * ones of a kernel page.
 */
unsigned int vfio_level_shift(unsigned int entries_shift, unsigned int levels);

/*
 * Whether TCE_CREATE accepts this number of levels. For ours it is a hint:
 * vfio_real_levels() returns the number that the table gets, with which it fits
 * the hardware and no level is larger than eight kernel pages.
 */
bool vfio_levels_fit(unsigned int page_shift, unsigned int entries_shift,
		     unsigned int levels);
unsigned int vfio_real_levels(unsigned int page_shift,
			      unsigned int entries_shift, unsigned int wanted);

/*
 * Kernel pages that a window is charged: a whole table with the requested
 * levels, each of whole kernel pages, and a userspace view of the same size. In
 * a guest only the view. The same with both modules, whatever ours allocates.
 */
__u64 vfio_window_charge(unsigned int entries_shift, unsigned int levels);

/* Populated anonymous memory, aligned to kernel pages. */
unsigned char *vfio_memory(size_t size);

/* The number of the page frame at @address, which must be populated. */
__u64 page_frame(const unsigned char *address);
/* Whether PG_dirty of the page at @address is set, whatever its PTE says. */
bool page_is_dirty(const unsigned char *address);
size_t vfio_page_size(void);
unsigned int vfio_page_shift(void);

/* The size of the huge pages as a shift; 0 if none are reserved. */
unsigned int vfio_huge_shift(void);

#endif /* E2E_VFIO_H */
