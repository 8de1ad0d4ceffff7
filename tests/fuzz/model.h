/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the interface promises (docs/INTERFACE.md), written down a second time: for
 * every call the answer, and what is mapped, registered and charged afterwards.
 * It knows nothing of how the module does it.
 *
 * Numbers of memory pages are kernel pages from the beginning of the arena, which
 * is all the memory that calls may be about; other addresses lead nowhere.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <linux/types.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Up to the border, where the machine has huge pages, one of them; behind it ordinary
 * pages. With the hash MMU, 1 TiB of addresses has pages of one size.
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

/* What a page of the arena is now. */
enum page_kind { PAGE_NORMAL, PAGE_READ_ONLY, PAGE_NONE, PAGE_HOLE };

/**
 * struct entry - a mapped IOMMU page
 * @tce: physical address, with the permission bits 1 (read) and 2 (write)
 * @ua: user-space address
 * @owner: whose count it is in: 1 + number of the container's region, or
 *         -1 - number of the address space's; 0 for a page pinned on its own
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
 * struct spot - a part of a window where calls are made
 * @base: first entry
 * @length: number of entries
 */
struct spot {
	__u64 base;
	__u64 length;
};

/**
 * struct window - a window, and what is mapped in it
 * @present: it is there
 * @start: bus address
 * @page_shift: of IOMMU pages
 * @entries: their number
 * @charge: kernel pages charged
 * @directory: its number in debugfs
 * @mapped: entries that are set
 * @chunks: the entries
 * @spots: where calls are made
 * @gone: an entry that was set and is no more, if @gone.ua
 * @gone_index: its place
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
	struct entry gone;
	__u64 gone_index;
};

/**
 * struct kregion - a region as the address space knows it
 * @used: registrations of containers
 * @mapped: entries counted here: of containers that did not register it
 * @first: first page
 * @pages: number of pages
 * @page_shift: of the largest IOMMU pages that may be mapped of it
 * @pfn: where the pages were when they were pinned
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
 * @first: first page, also its place in the container's list
 * @kregion: its number in the address space
 * @mapped: entries counted here
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
 * @version: of the interface, 0 before SET_IOMMU
 * @groups: number of groups
 * @claimed: it has an address space
 * @enabled: something can be mapped
 * @pending: the default window is not made yet
 * @enable_charge: kernel pages that ENABLE charged
 * @windows: the windows
 * @regions: what it has registered, by first page
 * @region_of: by page: 1 + number of the region that it is in, or 0
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
 * struct model - everything
 * @kregions: the address space's regions, by first page
 * @kregion_of: by page: 1 + number of the region that it is in, or 0
 * @orphans: registrations of containers that are gone, by region
 * @containers: the containers
 * @group_fds: file descriptors of the groups
 * @group_in: the container that each group is in, or -1
 * @locked: kernel pages charged
 * @room: kernel pages that may still be charged, or UNLIMITED
 * @created: windows were made by the last call
 * @settling: regions of containers that are gone went with the last call, as nothing is
 *            mapped of them any more: they do so by themselves, soon after it
 * @dry: MAP and UNMAP say their answer and do nothing
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
	bool settling;
	bool dry;
};

/**
 * struct machine - the machine, found out once
 * @page: size of kernel pages
 * @page_shift: the same, as a shift
 * @huge_pages: kernel pages of the arena that are one huge page, from its first on; or 0
 * @large_shift: of the smallest IOMMU pages that are larger than a kernel page, if there
 *               are huge pages
 * @dma32_size: of the default window
 * @page_sizes: of IOMMU pages
 * @windows: so many can be
 * @levels: so many can be asked for
 * @memory_pages: kernel pages of memory
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
	__u64 memory_pages;
	bool eeh;
};

extern struct machine machine;
extern enum page_kind arena[ARENA_MAX];

/* IOMMU pages larger than the kernel's: that were mapped, and that must not be. */
extern unsigned long large_mapped, large_refused;

/**
 * enum operation - what is called
 *
 * The first ones are ioctls of a container, then of a group; the last ones are
 * other system calls.
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
 * struct call - a call, with all that decides its answer
 * @op: what is called
 * @container: of which container
 * @group: of which group
 * @value: argument that is no pointer; of OP_SET_CONTAINER the file descriptor, of
 *         OP_ARENA the page, of OP_UNKNOWN the number of the ioctl
 * @kind: OP_ARENA: what the page becomes
 * @args: argument that is
 * @readable: so many bytes of it can be read
 * @read_only: it cannot be written
 * @late: it is not there before it is asked for
 * @foreign: made by another process
 * @room: kernel pages that may be charged, or UNLIMITED
 * @want: the answer
 * @may_fail: another one, because it is not known when something went, or 0
 * @got: the real one
 * @got_args: the argument afterwards
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
	union args got_args;
};

/* Nothing open, nothing mapped. */
void model_init(struct model *model);

/* Forgets what is mapped; gives the memory back. */
void model_free(struct model *model);

/* Sets call->want and brings the model to where it is after the call. */
void model_call(struct model *model, struct call *call);

/*
 * After the call, when it is known where pages are. @locate reads their page frame
 * numbers. What was not done, see call->may_fail, is taken back.
 */
void model_done(struct model *model, struct call *call,
		void (*locate)(unsigned int first, unsigned int pages,
			       __u64 *pfn));

/* The entry, or NULL if nothing is mapped there. */
struct entry *window_entry(const struct window *window, __u64 index);

#endif /* FUZZ_MODEL_H */
