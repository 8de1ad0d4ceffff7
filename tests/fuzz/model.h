/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A model of the interface (docs/INTERFACE.md): the result of each call, and
 * what is mapped, registered and charged after it. Independent of the driver's
 * implementation.
 *
 * Pages are numbered in kernel pages from the start of the arena, which is the
 * memory that calls use; other addresses are not mapped.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <linux/types.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Before the border the arena has a huge page, if the machine has any; after it
 * ordinary pages. With the hash MMU all pages of a slice have one size; above
 * 4 GiB a slice has 1 TiB.
 */
#define BORDER		0x100000000000ULL
#define ORDINARY_PAGES	48
#define HUGE_PAGES_MAX	256

#define ARENA		(BORDER - machine.huge_pages * machine.page)
#define ARENA_PAGES	(machine.huge_pages + ORDINARY_PAGES)
#define ARENA_MAX	(HUGE_PAGES_MAX + ORDINARY_PAGES)

#define CONTAINERS	3
#define GROUPS		2
#define WINDOWS		2
#define SPOTS		10
#define UNLIMITED	(~0ULL)

/* State of a page of the arena. */
enum page_kind { PAGE_NORMAL, PAGE_READ_ONLY, PAGE_NONE, PAGE_HOLE };

/**
 * struct entry - a mapped IOMMU page
 * @tce: physical address, with the permission bits 1 (read) and 2 (write)
 * @ua: user-space address
 * @owner: the region that counts it: 1 + number of the container's region, or
 *         -1 - number of the kernel's region; 0 for a page that was pinned by
 *         MAP
 */
struct entry {
	__u64 tce;
	__u64 ua;
	int owner;
};

#define CHUNK_ENTRIES	512
#define CHUNK_HASH	64

struct chunk {
	struct chunk *next;
	__u64 base;
	unsigned int used;
	struct entry entries[CHUNK_ENTRIES];
};

/**
 * struct spot - a part of a window that calls are made for
 * @base: first entry
 * @length: number of entries
 */
struct spot {
	__u64 base;
	__u64 length;
};

/**
 * struct window - a window and its mappings
 * @present: the window exists
 * @start: bus address
 * @page_shift: IOMMU page size, as a shift
 * @entries: number of entries
 * @charge: kernel pages that are charged for it
 * @directory: its number in debugfs, or -1
 * @mapped: number of entries that are set
 * @chunks: the entries, in a hash table
 * @spots: the parts that calls are made for
 * @cleared: the entry that was cleared last; none if @cleared.tce is 0
 * @cleared_index: its index
 */
struct window {
	bool present;
	__u64 start;
	unsigned int page_shift;
	__u64 entries;
	__u64 charge;
	long directory;
	__u64 mapped;
	struct chunk *chunks[CHUNK_HASH];
	struct spot spots[SPOTS];
	struct entry cleared;
	__u64 cleared_index;
};

/**
 * struct kregion - the kernel's region of some memory, which all containers
 * share
 * @used: number of registrations by containers
 * @mapped: number of entries of containers that have not registered it
 * @first: first page
 * @pages: number of pages
 * @page_shift: the largest IOMMU page that may map its pages, as a shift
 * @pfn: page frame numbers when the pages were pinned
 */
struct kregion {
	unsigned int used;
	unsigned long mapped;
	unsigned int first;
	unsigned int pages;
	unsigned int page_shift;
	__u64 pfn[ARENA_MAX];
};

/**
 * struct region - a region that a container has registered
 * @pages: number of pages; 0 for none
 * @first: first page, and index in the container's array
 * @kregion: number of the kernel's region
 * @mapped: number of the container's entries that translate to its pages
 */
struct region {
	unsigned int pages;
	unsigned int first;
	unsigned int kregion;
	unsigned long mapped;
};

/**
 * struct container - a container
 * @fd: file descriptor, or -1
 * @version: version of the interface, 0 before SET_IOMMU
 * @groups: number of groups
 * @claimed: it has an address space
 * @enabled: MAP is possible
 * @pending: the default window has not been created
 * @enable_charge: kernel pages that ENABLE has charged
 * @windows: the windows
 * @regions: regions that it has registered, by first page
 * @region_of: 1 + number of the region that a page is in, or 0, by page
 */
struct container {
	int fd;
	unsigned int version;
	unsigned int groups;
	bool claimed;
	bool enabled;
	bool pending;
	__u64 enable_charge;
	struct window windows[WINDOWS];
	struct region regions[ARENA_MAX];
	unsigned int region_of[ARENA_MAX];
};

/**
 * struct model - the state of the interface
 * @kregions: the kernel's regions, by first page
 * @kregion_of: 1 + number of the region that a page is in, or 0, by page
 * @orphans: registrations by containers that were released, by region
 * @containers: the containers
 * @group_fds: file descriptors of the groups
 * @group_in: the container that each group is in, or -1
 * @locked: kernel pages that are charged
 * @room: kernel pages that may still be charged, or UNLIMITED
 * @created: the last call has created windows
 * @orphans_freed: the last call has unmapped the last page of an orphan; the
 *                 driver unregisters it by a work item, soon after the call
 * @dry: MAP and UNMAP return their result without effect
 */
struct model {
	struct kregion kregions[ARENA_MAX];
	unsigned int kregion_of[ARENA_MAX];
	unsigned int orphans[ARENA_MAX];
	struct container containers[CONTAINERS];
	int group_fds[GROUPS];
	int group_in[GROUPS];
	__u64 locked;
	__u64 room;
	bool created;
	bool orphans_freed;
	bool dry;
};

/**
 * struct machine - properties of the machine
 * @page: kernel page size
 * @page_shift: the same, as a shift
 * @huge_pages: number of kernel pages in the huge page that the arena begins
 *              with, or 0
 * @large_shift: the smallest IOMMU page larger than a kernel page, as a shift,
 *               if there are huge pages
 * @dma32_size: size of the default window
 * @page_sizes: IOMMU page sizes
 * @windows: largest number of windows
 * @levels: largest number of levels that can be requested
 * @region_pages: kernel pages of the largest region
 * @eeh: whether there is EEH
 */
struct machine {
	__u64 page;
	unsigned int page_shift;
	unsigned int huge_pages;
	unsigned int large_shift;
	__u64 dma32_size;
	__u64 page_sizes;
	unsigned int windows;
	unsigned int levels;
	__u64 region_pages;
	bool eeh;
};

extern struct machine machine;
extern enum page_kind arena[ARENA_MAX];

/*
 * IOMMU pages larger than a kernel page that were mapped, and that were
 * refused.
 */
extern unsigned long large_mapped, large_refused;

/**
 * enum operation - an ioctl or another system call
 *
 * First ioctls of a container, then of a group, then other system calls.
 */
enum operation {
	OP_API_VERSION,
	OP_CHECK_EXTENSION,
	OP_SET_IOMMU,
	OP_GET_INFO,
	OP_ENABLE,
	OP_DISABLE,
	OP_REGISTER,
	OP_UNREGISTER,
	OP_MAP,
	OP_UNMAP,
	OP_CREATE,
	OP_REMOVE,
	OP_EEH,
	OP_UNKNOWN,
	OP_SET_CONTAINER,
	OP_UNSET_CONTAINER,
	OP_OPEN,
	OP_CLOSE,
	OP_ARENA,
	OPERATIONS
};

/**
 * struct call - a call, with all that its result depends on
 * @op: the operation
 * @container: number of the container
 * @group: number of the group
 * @value: argument that is not a pointer; OP_SET_CONTAINER: the file
 *         descriptor, OP_ARENA: the page, OP_UNKNOWN: the number of the ioctl
 * @kind: OP_ARENA: new state of the page
 * @args: argument that is passed by pointer
 * @readable: number of bytes of @args that can be read
 * @read_only: @args cannot be written
 * @late: @args is on FUSE, and faulted in by the call
 * @foreign: the call is made by another process
 * @room: kernel pages that may be charged, or UNLIMITED
 * @want: expected result
 * @may_fail: another possible result, where it depends on a work item; or 0
 * @got: result
 * @want_args: expected @args after the call
 */
struct call {
	enum operation op;
	unsigned int container;
	unsigned int group;
	unsigned long value;
	enum page_kind kind;
	union args {
		struct {
			__u32 argsz;
			__u32 flags;
		} head;
		struct vfio_iommu_type1_dma_map map;
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_iommu_spapr_register_memory memory;
		struct vfio_iommu_spapr_tce_info info;
		struct vfio_iommu_spapr_tce_create create;
		struct vfio_iommu_spapr_tce_remove remove;
		struct vfio_eeh_pe_op eeh;
	} args;
	size_t readable;
	bool read_only;
	bool late;
	bool foreign;
	__u64 room;
	int want;
	int may_fail;
	int got;
	union args want_args;
};

/* Initialises a model with no container open. */
void model_init(struct model *model);

/* Frees the memory of the entries. */
void model_free(struct model *model);

/* Sets call->want and updates the model for the call. */
void model_call(struct model *model, struct call *call);

/*
 * Updates the model after the call, by call->got where that is call->may_fail,
 * and by the page frame numbers of pages that were pinned, which @locate reads.
 */
void model_done(struct model *model, struct call *call,
		void (*locate)(unsigned int first, unsigned int pages,
			       __u64 *pfn));

/* The entry, or NULL if it is not set. */
struct entry *window_entry(const struct window *window, __u64 index);

#endif /* FUZZ_MODEL_H */
