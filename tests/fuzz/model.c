// SPDX-License-Identifier: GPL-2.0-only
/*
 * A model of the interface. Contract: model.h.
 */

#include <asm/eeh.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tap.h"
#include "vfio.h"

#define ENTRY_READ	1
#define ENTRY_WRITE	2

/* A level has at least 512 entries, and so has a window. */
#define LEAST_ENTRIES	512

/* Page sizes that a TVE can specify, on any machine. */
#define PAGE_SIZES	(BIT_ULL(12) | BIT_ULL(16) | BIT_ULL(21) |	\
			 BIT_ULL(24) | BIT_ULL(28) | BIT_ULL(30))

struct machine machine;
enum page_kind arena[ARENA_MAX];
unsigned long large_mapped, large_refused;

/* Entries */

static struct chunk **chunk_place(const struct window *window, __u64 base)
{
	__u64 number = base / CHUNK_ENTRIES;

	return (struct chunk **)&window->chunks[(number ^ number >> 7) %
						CHUNK_HASH];
}

static struct chunk *chunk_find(const struct window *window, __u64 index)
{
	__u64 base = index - index % CHUNK_ENTRIES;
	struct chunk *chunk = *chunk_place(window, base);

	while (chunk && chunk->base != base)
		chunk = chunk->next;

	return chunk;
}

struct entry *window_entry(const struct window *window, __u64 index)
{
	struct chunk *chunk = chunk_find(window, index);
	struct entry *entry;

	if (!chunk)
		return NULL;
	entry = &chunk->entries[index % CHUNK_ENTRIES];

	return entry->tce ? entry : NULL;
}

static struct chunk *chunk_get(struct window *window, __u64 index)
{
	struct chunk *chunk = chunk_find(window, index);
	struct chunk **place;

	if (chunk)
		return chunk;

	chunk = calloc(1, sizeof(*chunk));
	if (!chunk)
		tap_bail("out of memory");
	chunk->base = index - index % CHUNK_ENTRIES;
	place = chunk_place(window, chunk->base);
	chunk->next = *place;
	*place = chunk;

	return chunk;
}

static void uncount(struct model *model, struct container *container,
		    const struct entry *entry)
{
	if (entry->owner > 0)
		container->regions[entry->owner - 1].mapped--;
	else if (entry->owner < 0)
		model->kregions[-entry->owner - 1].mapped--;
}

static void count(struct model *model, struct container *container,
		  const struct entry *entry)
{
	if (entry->owner > 0)
		container->regions[entry->owner - 1].mapped++;
	else if (entry->owner < 0)
		model->kregions[-entry->owner - 1].mapped++;
}

static void entry_set(struct model *model, struct container *container,
		      struct window *window, __u64 index,
		      const struct entry *new)
{
	struct chunk *chunk = chunk_get(window, index);
	struct entry *entry = &chunk->entries[index % CHUNK_ENTRIES];

	if (entry->tce) {
		uncount(model, container, entry);
	} else {
		chunk->used++;
		window->mapped++;
	}
	*entry = *new;
	count(model, container, entry);
}

static void chunk_clear(struct model *model, struct container *container,
			struct window *window, struct chunk *chunk,
			__u64 first, __u64 last)
{
	unsigned int i;

	for (i = 0; i < CHUNK_ENTRIES && chunk->used; i++) {
		struct entry *entry = &chunk->entries[i];
		__u64 index = chunk->base + i;

		if (!entry->tce || index < first || index > last)
			continue;
		uncount(model, container, entry);
		window->cleared = *entry;
		window->cleared_index = index;
		*entry = (struct entry) { 0 };
		chunk->used--;
		window->mapped--;
	}
}

static void window_clear(struct model *model, struct container *container,
			 struct window *window, __u64 first, __u64 last)
{
	struct chunk **link, *chunk;
	unsigned int i;

	for (i = 0; i < CHUNK_HASH; i++) {
		for (link = &window->chunks[i]; (chunk = *link);) {
			if (chunk->base <= last &&
			    chunk->base + CHUNK_ENTRIES > first)
				chunk_clear(model, container, window, chunk,
					    first, last);
			if (chunk->used) {
				link = &chunk->next;
				continue;
			}
			*link = chunk->next;
			free(chunk);
		}
	}
}

/* Charges */

static bool charge(struct model *model, __u64 pages)
{
	if (model->room != UNLIMITED) {
		if (pages > model->room)
			return false;
		model->room -= pages;
	}
	model->locked += pages;

	return true;
}

static void uncharge(struct model *model, __u64 pages)
{
	if (model->room != UNLIMITED)
		model->room += pages;
	model->locked -= pages;
}

/* Regions of the address space */

static bool kregion_put(struct model *model, unsigned int number)
{
	struct kregion *kregion = &model->kregions[number];
	unsigned int i;

	if (kregion->used > 1) {
		kregion->used--;
		return true;
	}
	if (kregion->mapped)
		return false;

	kregion->used = 0;
	for (i = 0; i < kregion->pages; i++)
		model->kregion_of[kregion->first + i] = 0;
	uncharge(model, kregion->pages);

	return true;
}

static void region_remove(struct container *container, struct region *region)
{
	unsigned int i;

	for (i = 0; i < region->pages; i++)
		container->region_of[region->first + i] = 0;
	region->pages = 0;
}

/* Frees orphans with no page mapped. Returns whether there were any. */
static bool orphans_put(struct model *model)
{
	bool some = false;
	unsigned int i;

	for (i = 0; i < ARENA_PAGES; i++) {
		while (model->orphans[i] && !model->kregions[i].mapped) {
			kregion_put(model, i);
			model->orphans[i]--;
			some = true;
		}
	}

	return some;
}

/* Windows */

static unsigned int log2_of(__u64 n)
{
	return 63 - __builtin_clzll(n);
}

static bool window_shape(unsigned int page_shift, __u64 size,
			 unsigned int levels, __u64 *entries)
{
	if (!size || (size & (size - 1)))
		return false;
	if (page_shift >= 64 || !(PAGE_SIZES & BIT_ULL(page_shift)))
		return false;
	if (!levels || levels > 5)
		return false;
	*entries = size >> page_shift;
	if (!*entries)
		return false;
	if (*entries < LEAST_ENTRIES)
		*entries = LEAST_ENTRIES;

	return vfio_levels_fit(page_shift, log2_of(*entries), levels);
}

static int window_create(struct model *model, struct container *container,
			 unsigned int page_shift, __u64 size,
			 unsigned int levels)
{
	struct window *window;
	unsigned int number;
	__u64 entries, pages;

	for (number = 0; number < machine.windows; number++)
		if (!container->windows[number].present)
			break;
	if (number == machine.windows)
		return -ENOSPC;
	if (!window_shape(page_shift, size, levels, &entries))
		return -EINVAL;
	if (!(machine.page_sizes & BIT_ULL(page_shift)))
		return -EINVAL;
	/* For @size; a part of a level is charged as a whole level. */
	pages = vfio_window_charge(log2_of(size >> page_shift), levels);
	if (!charge(model, pages))
		return -ENOMEM;

	window = &container->windows[number];
	*window = (struct window) {
		.present = true,
		.start = number ? WINDOW1_START : 0,
		.page_shift = page_shift,
		.entries = entries,
		.charge = pages,
		.directory = -1,
	};
	model->created = true;

	return number;
}

static void window_remove(struct model *model, struct container *container,
			  struct window *window)
{
	window_clear(model, container, window, 0, ~0ULL);
	uncharge(model, window->charge);
	window->present = false;
}

static int default_window(struct model *model, struct container *container)
{
	int ret;

	if (!container->pending)
		return 0;
	ret = window_create(model, container, 12, machine.dma32_size, 1);
	if (ret < 0)
		return ret;
	container->pending = false;

	return 0;
}

static __u64 window_last(const struct window *window)
{
	return window->start + (window->entries << window->page_shift) - 1;
}

static struct window *window_at(struct container *container, __u64 iova)
{
	unsigned int i;

	for (i = 0; i < WINDOWS; i++) {
		struct window *window = &container->windows[i];

		if (window->present && iova >= window->start &&
		    iova <= window_last(window))
			return window;
	}

	return NULL;
}

/* Containers */

static void container_release(struct model *model, struct container *container)
{
	unsigned int i;

	for (i = 0; i < WINDOWS; i++)
		if (container->windows[i].present)
			window_remove(model, container, &container->windows[i]);
	uncharge(model, container->enable_charge);

	for (i = 0; i < ARENA_PAGES; i++) {
		struct region *region = &container->regions[i];

		if (!region->pages)
			continue;
		if (!kregion_put(model, region->kregion))
			model->orphans[region->kregion]++;
		region_remove(container, region);
	}

	container->version = 0;
	container->claimed = false;
	container->enabled = false;
	container->pending = false;
	container->enable_charge = 0;
}

/* Results */

static int args_head(const struct call *call, size_t size, __u32 flags)
{
	if (call->readable < size)
		return -EFAULT;
	if (call->args.head.argsz < size || (call->args.head.flags & ~flags))
		return -EINVAL;

	return 0;
}

static int extension(unsigned long value)
{
	switch (value) {
	case VFIO_SPAPR_TCE_IOMMU:
	case VFIO_SPAPR_TCE_v2_IOMMU:
		return 1;
	case VFIO_EEH:
		return machine.eeh;
	default:
		return 0;
	}
}

static int set_iommu(struct container *container, unsigned long value)
{
	if (container->version || !container->groups)
		return -EINVAL;
	switch (value) {
	case VFIO_SPAPR_TCE_IOMMU:
		if (container->groups > 1)
			return -EBUSY;
		container->version = 1;
		break;
	case VFIO_SPAPR_TCE_v2_IOMMU:
		container->version = 2;
		break;
	case VFIO_EEH:
		return machine.eeh ? -EINVAL : -ENODEV;
	default:
		return -ENODEV;
	}
	container->pending = true;

	return 0;
}

static int get_info(struct container *container, struct call *call)
{
	struct vfio_iommu_spapr_tce_info *info = &call->want_args.info;
	size_t size = offsetof(struct vfio_iommu_spapr_tce_info, ddw);
	size_t full = sizeof(*info);
	int ret = args_head(call, size, ~0U);

	if (ret)
		return ret;
	if (call->args.info.argsz >= full)
		size = full;
	if (call->read_only || call->readable < size)
		return -EFAULT;

	info->flags = 0;
	info->dma32_window_start = 0;
	info->dma32_window_size = machine.dma32_size;
	if (size == full)
		memset(&info->ddw, 0, sizeof(info->ddw));
	if (container->version == 1)
		return 0;
	info->flags = VFIO_IOMMU_SPAPR_INFO_DDW;
	if (size == full) {
		info->ddw.pgsizes = machine.page_sizes;
		info->ddw.max_dynamic_windows_supported = machine.windows;
		info->ddw.levels = machine.levels;
	}

	return 0;
}

static int enable(struct model *model, struct container *container)
{
	__u64 pages = machine.dma32_size / machine.page;

	if (container->enabled)
		return -EBUSY;
	container->claimed = true;
	if (!charge(model, pages))
		return -ENOMEM;
	container->enable_charge = pages;
	container->enabled = true;

	return 0;
}

static int disable(struct model *model, struct container *container)
{
	unsigned int i;

	for (i = 0; i < WINDOWS; i++)
		window_clear(model, container, &container->windows[i], 0,
			     ~0ULL);
	uncharge(model, container->enable_charge);
	container->enable_charge = 0;
	container->enabled = false;

	return 0;
}

/* The pages of a range; false if it is not all in the arena. */
static bool arena_range(__u64 address, __u64 size, unsigned int *first,
			unsigned int *pages)
{
	__u64 bytes = ARENA_PAGES * machine.page;

	if (address < ARENA || address - ARENA >= bytes ||
	    size > bytes - (address - ARENA))
		return false;
	*first = (address - ARENA) / machine.page;
	*pages = (address - ARENA + size - 1) / machine.page - *first + 1;

	return true;
}

static bool arena_writable(unsigned int first, unsigned int pages)
{
	unsigned int i;

	for (i = 0; i < pages; i++)
		if (arena[first + i] != PAGE_NORMAL)
			return false;

	return true;
}

/* Limited by the alignment of the region and by the size of its first page. */
static unsigned int largest_page(unsigned int first, unsigned int pages)
{
	unsigned int most = first < machine.huge_pages ?
			    log2_of(machine.huge_pages) : 0;
	unsigned int aligned = __builtin_ctz(first | pages);

	return machine.page_shift + (aligned < most ? aligned : most);
}

static int kregion_get(struct model *model, __u64 address, __u64 size)
{
	unsigned int first, pages, i;
	struct kregion *kregion;
	bool there;

	there = arena_range(address, size, &first, &pages);
	if (there && model->kregion_of[first] == first + 1 &&
	    model->kregions[first].pages == pages) {
		model->kregions[first].used++;
		return first;
	}

	if (size / machine.page > machine.region_pages)
		return -ENOMEM;
	if (!charge(model, size / machine.page))
		return -ENOMEM;
	if (!there || !arena_writable(first, pages)) {
		uncharge(model, size / machine.page);
		return -EFAULT;
	}
	for (i = 0; i < pages; i++) {
		if (!model->kregion_of[first + i])
			continue;
		uncharge(model, pages);
		return -EINVAL;
	}

	kregion = &model->kregions[first];
	kregion->used = 1;
	kregion->mapped = 0;
	kregion->first = first;
	kregion->pages = pages;
	kregion->page_shift = largest_page(first, pages);
	kregion->pfn[0] = 0;
	for (i = 0; i < pages; i++)
		model->kregion_of[first + i] = first + 1;

	return first;
}

static int do_register(struct model *model, struct container *container,
		       struct call *call)
{
	const struct vfio_iommu_spapr_register_memory *args =
		&call->args.memory;
	__u64 mask = machine.page - 1;
	struct region *region;
	unsigned int i;
	int ret;

	ret = args_head(call, sizeof(*args), 0);
	if (ret)
		return ret;
	container->claimed = true;
	if (!args->size || (args->vaddr & mask) || (args->size & mask) ||
	    args->size - 1 > ~args->vaddr)
		return -EINVAL;
	ret = kregion_get(model, args->vaddr, args->size);
	if (ret < 0)
		return ret;

	region = &container->regions[ret];
	if (region->pages) {
		kregion_put(model, ret);
		return -EBUSY;
	}
	region->first = ret;
	region->pages = model->kregions[ret].pages;
	region->kregion = ret;
	region->mapped = 0;
	for (i = 0; i < region->pages; i++)
		container->region_of[region->first + i] = ret + 1;
	container->enabled = true;

	return 0;
}

static int do_unregister(struct model *model, struct container *container,
			 struct call *call)
{
	const struct vfio_iommu_spapr_register_memory *args =
		&call->args.memory;
	__u64 mask = machine.page - 1;
	struct region *region;
	unsigned int first, pages;
	int ret;

	if (!container->claimed)
		return -EPERM;
	ret = args_head(call, sizeof(*args), 0);
	if (ret)
		return ret;
	if ((args->vaddr & mask) || (args->size & mask))
		return -EINVAL;
	if (!args->size ||
	    !arena_range(args->vaddr, args->size, &first, &pages))
		return -ENOENT;
	region = &container->regions[first];
	if (region->pages != pages)
		return -ENOENT;
	if (region->mapped || !kregion_put(model, region->kregion))
		return -EBUSY;
	/*
	 * A work item drops the registration of a released container even while
	 * pages are mapped, once a container has registered the region again.
	 * If it has done so before this call, this is the last registration.
	 */
	if (model->orphans[region->kregion] &&
	    model->kregions[region->kregion].mapped)
		call->may_fail = -EBUSY;
	region_remove(container, region);

	return 0;
}

/* The work item has dropped the orphan's registration before the call. */
static void undo_unregister(struct model *model, struct container *container,
			    const struct call *call)
{
	unsigned int first = (call->args.memory.vaddr - ARENA) / machine.page,
		     i;
	struct region *region = &container->regions[first];

	region->pages = call->args.memory.size / machine.page;
	for (i = 0; i < region->pages; i++)
		container->region_of[first + i] = 1 + first;
	model->kregions[region->kregion].used +=
		1 - model->orphans[region->kregion];
	model->orphans[region->kregion] = 0;
}

/* The checks of the range that MAP and UNMAP have in common. */
static int dma_range(struct model *model, struct container *container,
		     __u64 iova, __u64 size, struct window **window)
{
	__u64 mask;
	int ret;

	ret = default_window(model, container);
	if (ret)
		return ret;
	*window = window_at(container, iova);
	if (!*window)
		return -ENXIO;
	mask = BIT_ULL((*window)->page_shift) - 1;
	if (!size || (iova & mask) || (size & mask) ||
	    size - 1 > window_last(*window) - iova)
		return -EINVAL;

	return 0;
}

/* 0 if MAP of version 1 can pin the pages, otherwise its error. */
static int pin_error(__u64 address, __u64 size, bool write)
{
	unsigned int first, pages, i;

	if (!arena_range(address, size, &first, &pages))
		return -EFAULT;
	for (i = 0; i < pages; i++) {
		enum page_kind kind = arena[first + i];

		if (kind != PAGE_NORMAL && (write || kind != PAGE_READ_ONLY))
			return -EFAULT;
	}

	return 0;
}

/* Whether an IOMMU page lies in the huge page and in one region. */
static bool contained(const struct model *model, unsigned int page,
		      unsigned int page_shift)
{
	unsigned int pages = 1U << (page_shift - machine.page_shift), i;
	unsigned int number = model->kregion_of[page];

	if (model->kregions[number - 1].page_shift < page_shift ||
	    page + pages > machine.huge_pages)
		return false;
	for (i = 1; i < pages; i++)
		if (model->kregion_of[page + i] != number)
			return false;

	return true;
}

/*
 * 0 if all pages are registered, by any container, and no IOMMU page is larger
 * than the page of memory that it maps; otherwise the error of MAP.
 */
static int map_error(const struct model *model, __u64 address, __u64 size,
		     unsigned int page_shift)
{
	unsigned int first, pages, i, each = 1;

	if (!arena_range(address, size, &first, &pages))
		return -EINVAL;
	if (page_shift > machine.page_shift)
		each <<= page_shift - machine.page_shift;
	for (i = 0; i < pages; i += each) {
		if (!model->kregion_of[first + i])
			return -EINVAL;
		if (each == 1)
			continue;
		if (!contained(model, first + i, page_shift)) {
			large_refused++;
			return -EINVAL;
		}
		large_mapped++;
	}

	return 0;
}

static int do_map(struct model *model, struct container *container,
		  struct call *call)
{
	const struct vfio_iommu_type1_dma_map *args = &call->args.map;
	struct window *window;
	__u64 i, first, mask;
	int ret;

	if (!container->enabled)
		return -EPERM;
	ret = args_head(call, sizeof(*args), MAP_BOTH);
	if (ret)
		return ret;
	if (!args->flags)
		return -EINVAL;
	ret = dma_range(model, container, args->iova, args->size, &window);
	if (ret)
		return ret;
	mask = BIT_ULL(window->page_shift) - 1;
	if ((args->vaddr & mask) ||
	    args->size - 1 > ~args->vaddr)
		return -EINVAL;

	if (container->version == 1)
		ret = pin_error(args->vaddr, args->size,
				args->flags & MAP_WRITE);
	else
		ret = map_error(model, args->vaddr, args->size,
				window->page_shift);
	if (ret || model->dry)
		return ret;

	first = (args->iova - window->start) >> window->page_shift;
	for (i = 0; i < args->size >> window->page_shift; i++) {
		__u64 ua = args->vaddr + (i << window->page_shift);
		unsigned int page = (ua - ARENA) / machine.page;
		struct entry entry = {
			.tce = ENTRY_READ,
			.ua = ua,
		};

		/* Write permission implies read. */
		if (args->flags & MAP_WRITE)
			entry.tce |= ENTRY_WRITE;
		if (container->version == 2) {
			struct kregion *kregion =
				&model->kregions[model->kregion_of[page] - 1];

			entry.tce |= kregion->pfn[page - kregion->first] *
				     machine.page + ua % machine.page;
			entry.owner = container->region_of[page] ?
				      (int)container->region_of[page] :
				      -(int)model->kregion_of[page];
		}
		entry_set(model, container, window, first + i, &entry);
	}

	return 0;
}

static int do_unmap(struct model *model, struct container *container,
		    struct call *call)
{
	const struct vfio_iommu_type1_dma_unmap *args = &call->args.unmap;
	struct window *window;
	__u64 first;
	int ret;

	if (!container->enabled)
		return -EPERM;
	ret = args_head(call, sizeof(*args), 0);
	if (ret)
		return ret;
	ret = dma_range(model, container, args->iova, args->size, &window);
	if (ret || model->dry)
		return ret;
	first = (args->iova - window->start) >> window->page_shift;
	window_clear(model, container, window, first,
		     first + (args->size >> window->page_shift) - 1);

	return 0;
}

static int do_create(struct model *model, struct container *container,
		     struct call *call)
{
	const struct vfio_iommu_spapr_tce_create *args = &call->args.create;
	int ret;

	ret = args_head(call, sizeof(*args), 0);
	if (ret)
		return ret;
	container->claimed = true;
	ret = default_window(model, container);
	if (ret)
		return ret;
	ret = window_create(model, container, args->page_shift,
			    args->window_size, args->levels);
	if (ret < 0)
		return ret;

	if (call->read_only) {
		window_remove(model, container, &container->windows[ret]);
		return -EFAULT;
	}
	call->want_args.create.start_addr = container->windows[ret].start;

	return 0;
}

static int do_remove(struct model *model, struct container *container,
		     struct call *call)
{
	__u64 start = call->args.remove.start_addr;
	unsigned int i;
	int ret;

	ret = args_head(call, sizeof(call->args.remove), 0);
	if (ret)
		return ret;
	container->claimed = true;
	if (container->pending && !start) {
		container->pending = false;
		return 0;
	}
	for (i = 0; i < WINDOWS; i++) {
		struct window *window = &container->windows[i];

		if (!window->present || window->start != start)
			continue;
		window_remove(model, container, window);
		return 0;
	}

	return -EINVAL;
}

/* For a PE that is not frozen; resets are not requested. */
static int do_eeh(const struct call *call)
{
	const struct vfio_eeh_pe_op *args = &call->args.eeh;
	int ret;

	ret = args_head(call, offsetof(struct vfio_eeh_pe_op, op) +
			sizeof(args->op), 0);
	if (ret)
		return ret;
	if (args->op == VFIO_EEH_PE_INJECT_ERR) {
		size_t size = sizeof(*args);

		if (args->argsz < size)
			return -EINVAL;
		if (call->readable < size)
			return -EFAULT;
		if (!machine.eeh)
			return -ENODEV;
		if (args->err.func > EEH_ERR_FUNC_MAX)
			return -EINVAL;
		return args->err.type > EEH_ERR_TYPE_64 ? -ERANGE : 0;
	}
	if (!machine.eeh)
		return -ENODEV;

	return args->op > VFIO_EEH_PE_INJECT_ERR ? -EINVAL : 0;
}

static int backend_call(struct model *model, struct container *container,
			struct call *call)
{
	bool has = call->op == OP_ENABLE || call->op == OP_DISABLE ?
		   container->version == 1 :
		   call->op == OP_REGISTER || call->op == OP_UNREGISTER ||
		   call->op == OP_CREATE || call->op == OP_REMOVE ?
		   container->version == 2 : call->op != OP_UNKNOWN;

	if (!container->version)
		return -EINVAL;
	if (!has)
		return -ENOTTY;
	if (call->foreign && container->claimed)
		return -EPERM;

	switch (call->op) {
	case OP_GET_INFO:
		return get_info(container, call);
	case OP_ENABLE:
		return enable(model, container);
	case OP_DISABLE:
		return disable(model, container);
	case OP_REGISTER:
		return do_register(model, container, call);
	case OP_UNREGISTER:
		return do_unregister(model, container, call);
	case OP_MAP:
		return do_map(model, container, call);
	case OP_UNMAP:
		return do_unmap(model, container, call);
	case OP_CREATE:
		return do_create(model, container, call);
	case OP_REMOVE:
		return do_remove(model, container, call);
	default:
		return do_eeh(call);
	}
}

static int set_container(struct model *model, struct call *call)
{
	struct container *container = &model->containers[call->container];

	if (call->readable < sizeof(int))
		return -EFAULT;
	if ((int)call->value < 0)
		return -EBADF;
	if (model->group_in[call->group] >= 0)
		return -EINVAL;
	if ((int)call->value != container->fd)
		return -EBADFD;
	if (container->version == 1 && container->groups)
		return -EBUSY;
	model->group_in[call->group] = call->container;
	container->groups++;

	return 0;
}

static int unset_container(struct model *model, unsigned int group)
{
	struct container *container;

	if (model->group_in[group] < 0)
		return -EINVAL;
	container = &model->containers[model->group_in[group]];
	model->group_in[group] = -1;
	if (!--container->groups && container->version)
		container_release(model, container);

	return 0;
}

void model_call(struct model *model, struct call *call)
{
	struct container *container = &model->containers[call->container];

	model->room = call->room;
	model->created = false;
	call->want_args = call->args;
	call->may_fail = 0;

	switch (call->op) {
	case OP_API_VERSION:
		call->want = VFIO_API_VERSION;
		break;
	case OP_CHECK_EXTENSION:
		call->want = extension(call->value);
		break;
	case OP_SET_IOMMU:
		call->want = set_iommu(container, call->value);
		break;
	case OP_SET_CONTAINER:
		call->want = set_container(model, call);
		break;
	case OP_UNSET_CONTAINER:
		call->want = unset_container(model, call->group);
		break;
	case OP_OPEN:
	case OP_CLOSE:
		call->want = 0;
		break;
	case OP_ARENA:
		arena[call->value] = call->kind;
		call->want = 0;
		break;
	default:
		call->want = backend_call(model, container, call);
	}
	model->orphans_freed = orphans_put(model);
}

/* Sets the addresses of pages that MAP of version 1 has pinned. */
static void locate_pinned(struct container *container, const struct call *call,
			  void (*locate)(unsigned int first, unsigned int pages,
					 __u64 *pfn))
{
	const struct vfio_iommu_type1_dma_map *args = &call->args.map;
	struct window *window = window_at(container, args->iova);
	__u64 first = (args->iova - window->start) >> window->page_shift;
	__u64 pfn[ARENA_MAX], i;
	unsigned int page, pages;

	if (!arena_range(args->vaddr, args->size, &page, &pages))
		return;
	locate(page, pages, pfn);
	for (i = 0; i < args->size >> window->page_shift; i++) {
		struct entry *entry = window_entry(window, first + i);
		unsigned int at = (entry->ua - ARENA) / machine.page - page;

		entry->tce |= pfn[at] * machine.page +
			      entry->ua % machine.page;
	}
}

void model_done(struct model *model, struct call *call,
		void (*locate)(unsigned int first, unsigned int pages,
			       __u64 *pfn))
{
	struct container *container = &model->containers[call->container];

	if (call->may_fail && call->got == call->may_fail) {
		undo_unregister(model, container, call);
		call->want = call->got;
	}
	if (call->want)
		return;

	if (call->op == OP_REGISTER) {
		unsigned int first = (call->args.memory.vaddr - ARENA) /
				     machine.page;
		struct kregion *kregion = &model->kregions[first];

		/* Only the first registration of the region pins its pages. */
		if (!kregion->pfn[0])
			locate(first, kregion->pages, kregion->pfn);
	}
	if (call->op == OP_MAP && container->version == 1)
		locate_pinned(container, call, locate);
}

void model_init(struct model *model)
{
	unsigned int i;

	memset(model, 0, sizeof(*model));
	for (i = 0; i < CONTAINERS; i++)
		model->containers[i].fd = -1;
	for (i = 0; i < GROUPS; i++) {
		model->group_in[i] = -1;
		model->group_fds[i] = -1;
	}
	model->room = UNLIMITED;
}

void model_free(struct model *model)
{
	unsigned int i, j;

	for (i = 0; i < CONTAINERS; i++)
		for (j = 0; j < WINDOWS; j++)
			window_clear(model, &model->containers[i],
				     &model->containers[i].windows[j], 0,
				     ~0ULL);
}
