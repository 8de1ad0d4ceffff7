// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chooses the calls. Contract: grammar.h.
 */

#define _GNU_SOURCE

#include <asm/eeh.h>
#include <errno.h>
#include <string.h>

#include "grammar.h"
#include "tap.h"
#include "vfio.h"

/* One in LATE calls has its argument on FUSE, which takes long. */
#define LATE	64

/*
 * Pages at the end of the arena. With huge pages most small regions, and all
 * changes of pages, are there; the other pages are left to large regions.
 */
#define SMALL_PAGES	(ORDINARY_PAGES / 3)

/* One in WRONG calls is invalid in some way. */
#define WRONG		7

static const char *const names[OPERATIONS] = {
	[OP_API_VERSION] = "GET_API_VERSION",
	[OP_CHECK_EXTENSION] = "CHECK_EXTENSION",
	[OP_SET_IOMMU] = "SET_IOMMU",
	[OP_GET_INFO] = "GET_INFO",
	[OP_ENABLE] = "ENABLE",
	[OP_DISABLE] = "DISABLE",
	[OP_REGISTER] = "REGISTER_MEMORY",
	[OP_UNREGISTER] = "UNREGISTER_MEMORY",
	[OP_MAP] = "MAP_DMA",
	[OP_UNMAP] = "UNMAP_DMA",
	[OP_CREATE] = "TCE_CREATE",
	[OP_REMOVE] = "TCE_REMOVE",
	[OP_EEH] = "EEH_PE_OP",
	[OP_UNKNOWN] = "unknown ioctl",
	[OP_SET_CONTAINER] = "SET_CONTAINER",
	[OP_UNSET_CONTAINER] = "UNSET_CONTAINER",
	[OP_OPEN] = "open",
	[OP_CLOSE] = "close",
	[OP_ARENA] = "arena",
};

/* Relative frequency of each call, to a container with a backend. */
static const unsigned int weights[OPERATIONS] = {
	[OP_API_VERSION] = 4,
	[OP_CHECK_EXTENSION] = 10,
	[OP_SET_IOMMU] = 3,
	[OP_GET_INFO] = 20,
	[OP_ENABLE] = 12,
	[OP_DISABLE] = 6,
	[OP_REGISTER] = 110,
	[OP_UNREGISTER] = 80,
	[OP_MAP] = 420,
	[OP_UNMAP] = 240,
	[OP_CREATE] = 20,
	[OP_REMOVE] = 9,
	[OP_EEH] = 8,
	[OP_UNKNOWN] = 4,
	[OP_SET_CONTAINER] = 3,
	[OP_UNSET_CONTAINER] = 1,
	[OP_OPEN] = 2,
	[OP_CLOSE] = 1,
	[OP_ARENA] = 6,
};

/* The same for a container without a backend. */
static const unsigned int weights_early[OPERATIONS] = {
	[OP_API_VERSION] = 2,
	[OP_CHECK_EXTENSION] = 4,
	[OP_SET_IOMMU] = 40,
	[OP_GET_INFO] = 2,
	[OP_REGISTER] = 2,
	[OP_MAP] = 2,
	[OP_CREATE] = 2,
	[OP_UNKNOWN] = 2,
	[OP_SET_CONTAINER] = 40,
	[OP_UNSET_CONTAINER] = 1,
	[OP_OPEN] = 2,
	[OP_CLOSE] = 2,
};

/* The same for GRAMMAR_OWN. */
static const unsigned int weights_own[OPERATIONS] = {
	[OP_API_VERSION] = 1,
	[OP_CHECK_EXTENSION] = 2,
	[OP_GET_INFO] = 5,
	[OP_REGISTER] = 60,
	[OP_UNREGISTER] = 50,
	[OP_MAP] = 500,
	[OP_UNMAP] = 300,
	[OP_UNKNOWN] = 1,
};

/* The same for GRAMMAR_CONFLICT. */
static const unsigned int weights_conflict[OPERATIONS] = {
	[OP_API_VERSION] = 2,
	[OP_CHECK_EXTENSION] = 5,
	[OP_SET_IOMMU] = 40,
	[OP_GET_INFO] = 20,
	[OP_ENABLE] = 12,
	[OP_DISABLE] = 6,
	[OP_REGISTER] = 110,
	[OP_UNREGISTER] = 80,
	[OP_MAP] = 400,
	[OP_UNMAP] = 200,
	[OP_CREATE] = 30,
	[OP_REMOVE] = 5,
	[OP_EEH] = 4,
	[OP_UNKNOWN] = 2,
	[OP_SET_CONTAINER] = 40,
	[OP_UNSET_CONTAINER] = 1,
};

static const __u64 boundaries[] = {
	0,
	1,
	511,
	512,
	4095,
	4096,
	8192,
	0xffff,
	0x10000,
	0x20000,
	1 << 20,
	BIT_ULL(31) - 0x10000,
	BIT_ULL(31) - 4096,
	BIT_ULL(31),
	BIT_ULL(31) + 0x10000,
	BIT_ULL(32) - 1,
	BIT_ULL(32),
	BIT_ULL(40),
	BIT_ULL(46),
	BIT_ULL(47),
	BIT_ULL(55),
	WINDOW1_START - 0x10000,
	WINDOW1_START,
	WINDOW1_START + BIT_ULL(40),
	BIT_ULL(60),
	BIT_ULL(63) - 1,
	BIT_ULL(63),
	0xc000000000000000ULL,
	-0x20000ULL,
	-0x10000ULL,
	-4096ULL,
	-1ULL,
};

static __u64 boundary(struct random *random)
{
	__u64 value = boundaries[random_below(random, ARRAY_SIZE(boundaries))];

	return random_one_in(random, 4) ?
	       value + (random_below(random, 3) - 1) * machine.page : value;
}

static enum operation pick(struct random *random, const unsigned int *from)
{
	unsigned int total = 0, i, at;

	for (i = 0; i < OPERATIONS; i++)
		total += from[i];
	at = random_below(random, total);
	for (i = 0; at >= from[i]; i++)
		at -= from[i];

	return i;
}

/* Windows */

static void spot_add(struct window *window, unsigned int *n, __u64 base,
		     __u64 length)
{
	if (base >= window->entries)
		return;
	if (length > window->entries - base)
		length = window->entries - base;
	window->spots[(*n)++] = (struct spot) { base, length };
}

void grammar_spots(struct random *random, struct window *window)
{
	__u64 per_page = machine.page >> window->page_shift ?: 1;
	__u64 length = 64 * per_page;
	unsigned int n = 0;

	spot_add(window, &n, 0, length);
	spot_add(window, &n, window->entries - length / 2, length);
	/*
	 * Around the end of a leaf, and of the range of an entry two levels
	 * above.
	 */
	spot_add(window, &n, 512 - 4, length);
	spot_add(window, &n, BIT_ULL(18) - 4, length);
	spot_add(window, &n, window->entries / 2 - 16, length);
	while (n < SPOTS)
		spot_add(window, &n, random_next(random) % window->entries,
			 length);
}

static const struct window *some_window(struct random *random,
					const struct container *container)
{
	unsigned int number = random_below(random, WINDOWS), i;

	for (i = 0; i < WINDOWS; i++) {
		const struct window *window =
			&container->windows[(number + i) % WINDOWS];

		if (window->present)
			return window;
	}

	return NULL;
}

/* A number of kernel pages, mostly a small one. */
static unsigned int some_pages(struct random *random)
{
	if (random_one_in(random, 12))
		return 1 + random_below(random, ARENA_PAGES);

	return 1 + random_below(random, random_one_in(random, 3) ? 8 : 2);
}

/* A range in a spot of the window. */
static void some_range(struct random *random, const struct window *window,
		       enum grammar grammar, __u64 *iova, __u64 *size)
{
	const struct spot *spot = &window->spots[random_below(random, SPOTS)];
	__u64 per_page = machine.page >> window->page_shift ?: 1;
	__u64 at = random_below(random, spot->length);
	__u64 count = some_pages(random);

	/* Aligned kernel pages, or IOMMU pages at any place. */
	if (random_one_in(random, 2)) {
		at -= at % per_page;
		count *= per_page;
	}
	if (grammar == GRAMMAR_OWN && count > spot->length - at)
		count = spot->length - at;
	*iova = window->start + ((spot->base + at) << window->page_shift);
	*size = count << window->page_shift;
}

/* Memory */

static const struct region *some_region(struct random *random,
					const struct container *container)
{
	unsigned int number = random_below(random, ARENA_PAGES), i;

	for (i = 0; i < ARENA_PAGES; i++) {
		const struct region *region =
			&container->regions[(number + i) % ARENA_PAGES];

		if (region->pages)
			return region;
	}

	return NULL;
}

/* Memory for a MAP of @size bytes; reduces @size to what is registered. */
static __u64 some_memory(struct random *random,
			 const struct container *container,
			 unsigned int page_shift, __u64 *size)
{
	const struct region *region = some_region(random, container);
	__u64 offset = 0, bytes;

	if (!region || random_one_in(random, 10))
		return ARENA + random_below(random, ARENA_PAGES) * machine.page;

	bytes = region->pages * machine.page;
	/* Sometimes beyond the end of the region. */
	if (*size > bytes && !random_one_in(random, 6))
		*size = bytes;
	if (*size < bytes)
		offset = random_next(random) % (bytes - *size + 1);
	/* Mostly aligned to the IOMMU page, if the region is. */
	if (machine.huge_pages && !random_one_in(random, 6))
		offset -= offset % BIT_ULL(page_shift);
	offset -= offset % BIT_ULL(page_shift < machine.page_shift ?
				   page_shift : machine.page_shift);

	return ARENA + region->first * machine.page + offset;
}

/* Calls */

static void call_map(struct random *random, const struct container *container,
		     enum grammar grammar, struct call *call)
{
	const struct window *window = some_window(random, container);
	struct vfio_iommu_type1_dma_map *map = &call->args.map;
	unsigned int page_shift = window ? window->page_shift : 12;

	map->argsz = sizeof(*map);
	map->flags = 1 + random_below(random, 3);
	if (window) {
		some_range(random, window, grammar, &map->iova, &map->size);
	} else {
		map->iova = boundary(random) & ~0xffffULL;
		map->size = machine.page;
	}
	map->vaddr = some_memory(random, container, page_shift, &map->size);

	if (!random_one_in(random, WRONG))
		return;
	switch (random_below(random, 8)) {
	case 0:
		map->iova = boundary(random);
		break;
	case 1:
		map->size = boundary(random);
		break;
	case 2:
		map->vaddr = boundary(random);
		break;
	case 3:
		map->iova += 1 << random_below(random, 20);
		break;
	case 4:
		map->size += 1 << random_below(random, 20);
		break;
	case 5:
		map->vaddr += 1 << random_below(random, 20);
		break;
	case 6:
		map->flags = random_one_in(random, 2) ? 0 :
			     1U << random_below(random, 32);
		break;
	default:
		map->size = -map->iova + boundary(random);
	}
}

static void call_unmap(struct random *random, const struct container *container,
		       enum grammar grammar, struct call *call)
{
	const struct window *window = some_window(random, container);
	struct vfio_iommu_type1_dma_unmap *unmap = &call->args.unmap;

	unmap->argsz = sizeof(*unmap);
	if (window) {
		some_range(random, window, grammar, &unmap->iova, &unmap->size);
		/* The whole window, or from some place to its end. */
		if (grammar != GRAMMAR_OWN && random_one_in(random, 20)) {
			if (random_one_in(random, 2))
				unmap->iova = window->start;
			unmap->size = window->start - unmap->iova +
				      (window->entries << window->page_shift);
		}
	} else {
		unmap->iova = boundary(random) & ~0xffffULL;
		unmap->size = machine.page;
	}

	if (!random_one_in(random, WRONG))
		return;
	switch (random_below(random, 5)) {
	case 0:
		unmap->iova = boundary(random);
		break;
	case 1:
		unmap->size = boundary(random);
		break;
	case 2:
		unmap->iova += 1 << random_below(random, 20);
		break;
	case 3:
		unmap->flags = 1U << random_below(random, 32);
		break;
	default:
		unmap->size = -unmap->iova + boundary(random);
	}
}

/*
 * Chooses, in half of the cases, memory that large IOMMU pages can map; in half
 * of these the last of them is after the end of the huge page. In the other
 * cases only @first changes, mostly to one of the last SMALL_PAGES.
 */
static void large_region(struct random *random, unsigned int *first,
			 unsigned int *pages)
{
	unsigned int unit = 1U << (machine.large_shift - machine.page_shift);
	unsigned int units = 1 + random_below(random, 3);

	if (random_one_in(random, 2)) {
		if (!random_one_in(random, 4))
			*first = ARENA_PAGES - 1 - *first % SMALL_PAGES;
		return;
	}
	*first -= *first % unit;
	*pages = units * unit;
	if (random_one_in(random, 2))
		*first = machine.huge_pages - (units - 1) * unit;
}

static void call_register(struct random *random,
			  const struct container *container,
			  enum grammar grammar, const struct share *share,
			  struct call *call)
{
	struct vfio_iommu_spapr_register_memory *memory = &call->args.memory;
	const struct region *region = some_region(random, container);
	unsigned int first = share->first + random_below(random, share->pages);
	unsigned int pages = some_pages(random);

	if (machine.huge_pages && grammar != GRAMMAR_OWN)
		large_region(random, &first, &pages);
	if (pages > share->first + share->pages - first)
		pages = share->first + share->pages - first;
	/* A region that another call is likely to name, too. */
	if ((grammar == GRAMMAR_CONFLICT || call->op == OP_UNREGISTER) &&
	    region && !random_one_in(random, 6) &&
	    region->first >= share->first &&
	    region->first < share->first + share->pages) {
		first = region->first;
		pages = region->pages;
	}
	memory->argsz = sizeof(*memory);
	memory->vaddr = ARENA + first * machine.page;
	memory->size = pages * machine.page;

	if (!random_one_in(random, WRONG))
		return;
	switch (random_below(random, 5)) {
	case 0:
		memory->vaddr = boundary(random);
		break;
	case 1:
		memory->size = boundary(random);
		break;
	case 2:
		memory->vaddr += 1 << random_below(random, 16);
		break;
	case 3:
		memory->size += 1 << random_below(random, 16);
		break;
	default:
		memory->flags = 1U << random_below(random, 32);
	}
}

static void call_create(struct random *random, enum grammar grammar,
			struct call *call)
{
	static const unsigned int often[] = { 12, 12, 16, 16, 16, 21, 30 };
	static const unsigned int rare[] = {
		0, 11, 13, 15, 24, 28, 31, 63, 64, 76, 0x80000010, ~0U
	};
	struct vfio_iommu_spapr_tce_create *create = &call->args.create;

	create->argsz = sizeof(*create);
	create->page_shift = random_one_in(random, 8) ?
			     rare[random_below(random, ARRAY_SIZE(rare))] :
			     often[random_below(random, ARRAY_SIZE(often))];
	if (machine.huge_pages && random_one_in(random, 3))
		create->page_shift = machine.large_shift;
	create->window_size = BIT_ULL((create->page_shift +
				       (random_one_in(random, 6) ?
					random_below(random, 12) :
					9 + random_below(random, 28))) % 64);
	create->levels = 1 + random_below(random, 5);
	create->start_addr = 0x5555;
	/* The window that assume_state() assumes. */
	if (grammar == GRAMMAR_CONFLICT && !random_one_in(random, 4)) {
		create->page_shift = often[random_below(random, 4)];
		create->window_size = BIT_ULL(create->page_shift + 19);
		create->levels = 2 + random_below(random, 2);
	}

	if (random_one_in(random, WRONG)) {
		switch (random_below(random, 4)) {
		case 0:
			create->window_size = boundary(random);
			break;
		case 1:
			create->window_size +=
				BIT_ULL(random_below(random, 64));
			break;
		case 2:
			create->levels = random_one_in(random, 2) ? 0 :
					 6 + random_next(random);
			break;
		default:
			create->flags = 1U << random_below(random, 32);
		}
	}
}

static void call_remove(struct random *random,
			const struct container *container, struct call *call)
{
	const struct window *window = some_window(random, container);
	struct vfio_iommu_spapr_tce_remove *remove = &call->args.remove;

	remove->argsz = sizeof(*remove);
	remove->start_addr = window && !random_one_in(random, 4) ?
			     window->start : boundary(random);
	if (random_one_in(random, 2 * WRONG))
		remove->flags = 1U << random_below(random, 32);
}

static void call_eeh(struct random *random, struct call *call)
{
	static const unsigned int harmless[] = {
		VFIO_EEH_PE_DISABLE, VFIO_EEH_PE_ENABLE,
		VFIO_EEH_PE_UNFREEZE_IO, VFIO_EEH_PE_UNFREEZE_DMA,
		VFIO_EEH_PE_GET_STATE, VFIO_EEH_PE_CONFIGURE,
	};
	struct vfio_eeh_pe_op *eeh = &call->args.eeh;

	eeh->argsz = sizeof(*eeh);
	switch (random_below(random, 4)) {
	case 0:
		eeh->op = VFIO_EEH_PE_INJECT_ERR + 1 + random_below(random, 9);
		break;
	case 1:
		eeh->op = VFIO_EEH_PE_INJECT_ERR;
		if (random_one_in(random, 2)) {
			eeh->err.type = EEH_ERR_TYPE_64 + 1 +
					random_below(random, 99);
			eeh->err.func = EEH_ERR_FUNC_LD_CFG_ADDR;
		} else {
			eeh->err.func = EEH_ERR_FUNC_MAX + 1 +
					random_below(random, 99);
		}
		break;
	default:
		eeh->op = harmless[random_below(random, ARRAY_SIZE(harmless))];
	}
	if (random_one_in(random, WRONG))
		eeh->flags = 1U << random_below(random, 32);
}

static size_t args_size(enum operation op)
{
	switch (op) {
	case OP_GET_INFO:
		return sizeof(struct vfio_iommu_spapr_tce_info);
	case OP_REGISTER:
	case OP_UNREGISTER:
		return sizeof(struct vfio_iommu_spapr_register_memory);
	case OP_MAP:
		return sizeof(struct vfio_iommu_type1_dma_map);
	case OP_UNMAP:
		return sizeof(struct vfio_iommu_type1_dma_unmap);
	case OP_CREATE:
		return sizeof(struct vfio_iommu_spapr_tce_create);
	case OP_REMOVE:
		return sizeof(struct vfio_iommu_spapr_tce_remove);
	case OP_EEH:
		return sizeof(struct vfio_eeh_pe_op);
	case OP_SET_CONTAINER:
		return sizeof(int);
	default:
		return 0;
	}
}

/* Errors of the argument as a whole. */
static void wrong_args(struct random *random, struct call *call)
{
	size_t size = args_size(call->op);

	call->readable = size;
	if (!size)
		return;
	call->late = random_one_in(random, LATE);
	if (!random_one_in(random, 3 * WRONG))
		return;
	switch (random_below(random, 4)) {
	case 0:
		call->readable = random_below(random, size);
		break;
	case 1:
		call->readable = 0;
		break;
	case 2:
		call->read_only = true;
		break;
	default:
		if (call->op == OP_SET_CONTAINER)
			break;
		call->args.head.argsz = random_one_in(random, 2) ?
					random_below(random, 2 * size) :
					random_next(random);
	}
}

static int some_open(struct random *random, const struct model *model)
{
	unsigned int number = random_below(random, CONTAINERS), i;
	int other = -1;

	for (i = 0; i < CONTAINERS; i++) {
		unsigned int at = (number + i) % CONTAINERS;

		if (model->containers[at].fd < 0)
			continue;
		other = at;
		/* Prefer a container with a backend. */
		if (model->containers[at].version)
			return at;
	}

	return other;
}

static void pick_container(struct random *random, const struct model *model,
			   struct call *call)
{
	int container = random_one_in(random, 12) ?
			(int)random_below(random, CONTAINERS) :
			some_open(random, model);

	if (container < 0 || model->containers[container].fd < 0)
		container = some_open(random, model);
	if (container < 0) {
		call->op = OP_OPEN;
		return;
	}
	call->container = container;
}

static void pick_operation(struct random *random, const struct model *model,
			   enum grammar grammar, struct call *call)
{
	const unsigned int *from = weights;

	if (grammar == GRAMMAR_OWN)
		from = weights_own;
	else if (grammar == GRAMMAR_CONFLICT)
		from = weights_conflict;
	else if (!model->containers[call->container].version)
		from = weights_early;
	call->op = pick(random, from);
}

/* Chooses a number that no container has, if there is one. */
static void pick_free(const struct model *model, struct call *call)
{
	unsigned int i;

	for (i = 0; i < CONTAINERS; i++) {
		if (model->containers[i].fd >= 0 || model->containers[i].groups)
			continue;
		call->container = i;
		return;
	}
	call->op = OP_API_VERSION;
}

static void call_group(struct random *random, const struct model *model,
		       enum grammar grammar, struct call *call)
{
	const struct container *container = &model->containers[call->container];

	call->group = random_below(random, GROUPS);
	if (call->op == OP_UNSET_CONTAINER)
		return;
	/* So that in most cases each container has a group. */
	if (grammar == GRAMMAR_CONFLICT && !random_one_in(random, 4))
		call->group = call->container % GROUPS;
	/* Prefer a group that is in no container. */
	if (grammar != GRAMMAR_CONFLICT && model->group_in[call->group] >= 0)
		call->group = (call->group + 1) % GROUPS;
	call->value = container->fd;
	if (random_one_in(random, WRONG))
		call->value = random_one_in(random, 2) ? -1 : 0;
}

/*
 * Calls that charge memory, except UNMAP_DMA, which does so only if it creates
 * the default window.
 */
static bool charges(enum operation op)
{
	return op == OP_REGISTER || op == OP_CREATE || op == OP_MAP ||
	       op == OP_ENABLE;
}

static void rare_circumstances(struct random *random, const struct model *model,
			       struct call *call)
{
	if (charges(call->op) && random_one_in(random, 40))
		call->room = random_one_in(random, 2) ?
			     random_below(random, 4) :
			     BIT_ULL(random_below(random, 24));
	if (call->op < OP_SET_CONTAINER && call->op > OP_SET_IOMMU &&
	    model->containers[call->container].claimed &&
	    random_one_in(random, 1000))
		call->foreign = true;
}

void grammar_call(struct random *random, const struct model *model,
		  enum grammar grammar, const struct share *share,
		  struct call *call)
{
	static const unsigned long extensions[] = {
		VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU, VFIO_EEH,
	};
	const struct container *container;

	*call = (struct call) { .room = UNLIMITED };
	pick_container(random, model, call);
	if (call->op != OP_OPEN)
		pick_operation(random, model, grammar, call);
	container = &model->containers[call->container];

	switch (call->op) {
	case OP_CHECK_EXTENSION:
		call->value = random_one_in(random, 3) ? boundary(random) :
			      extensions[random_below(random, 3)];
		break;
	case OP_SET_IOMMU:
		call->value = random_one_in(random, WRONG) ? boundary(random) :
			      extensions[random_below(random, 8) < 5 ? 1 :
					 random_below(random, 3)];
		break;
	case OP_GET_INFO:
		call->args.info.argsz = sizeof(call->args.info);
		call->args.info.flags = random_next(random);
		break;
	case OP_REGISTER:
	case OP_UNREGISTER:
		call_register(random, container, grammar, share, call);
		break;
	case OP_MAP:
		call_map(random, container, grammar, call);
		break;
	case OP_UNMAP:
		call_unmap(random, container, grammar, call);
		break;
	case OP_CREATE:
		call_create(random, grammar, call);
		break;
	case OP_REMOVE:
		call_remove(random, container, call);
		break;
	case OP_EEH:
		call_eeh(random, call);
		break;
	case OP_UNKNOWN:
		/* A number of VFIO that this backend does not use. */
		call->value = _IO(VFIO_TYPE, VFIO_BASE + 30 +
				  random_below(random, 60));
		break;
	case OP_SET_CONTAINER:
	case OP_UNSET_CONTAINER:
		call_group(random, model, grammar, call);
		break;
	case OP_OPEN:
		pick_free(model, call);
		break;
	case OP_ARENA:
		call->value =
			machine.huge_pages ?
				ARENA_PAGES - 1 -
					random_below(random, SMALL_PAGES) :
				random_below(random, ARENA_PAGES);
		call->kind = random_one_in(random, 3) ?
			     random_below(random, 4) : PAGE_NORMAL;
		break;
	default:
		break;
	}
	wrong_args(random, call);
	if (grammar == GRAMMAR_ALL)
		rare_circumstances(random, model, call);
}

bool grammar_confined(const struct model *model, const struct call *call)
{
	const struct container *container = &model->containers[call->container];
	__u64 iova = call->op == OP_MAP ? call->args.map.iova :
		     call->args.unmap.iova;
	__u64 size = call->op == OP_MAP ? call->args.map.size :
		     call->args.unmap.size;
	unsigned int i, j;

	if (call->op != OP_MAP && call->op != OP_UNMAP)
		return true;
	for (i = 0; i < WINDOWS; i++) {
		const struct window *window = &container->windows[i];

		for (j = 0; window->present && j < SPOTS; j++) {
			const struct spot *spot = &window->spots[j];
			__u64 first = window->start +
				      (spot->base << window->page_shift);
			__u64 bytes = spot->length << window->page_shift;

			if (iova >= first && iova - first < bytes &&
			    size <= bytes - (iova - first))
				return true;
		}
	}

	return false;
}

static void describe_args(const struct call *call, char *text, size_t size)
{
	const union args *args = &call->args;

	switch (call->op) {
	case OP_GET_INFO:
		break;
	case OP_REGISTER:
	case OP_UNREGISTER:
		snprintf(text, size, " vaddr %#llx size %#llx",
			 args->memory.vaddr, args->memory.size);
		return;
	case OP_MAP:
		snprintf(text, size, " vaddr %#llx iova %#llx size %#llx",
			 args->map.vaddr, args->map.iova, args->map.size);
		return;
	case OP_UNMAP:
		snprintf(text, size, " iova %#llx size %#llx", args->unmap.iova,
			 args->unmap.size);
		return;
	case OP_CREATE:
		snprintf(text, size,
			 " page_shift %u window_size %#llx levels %u",
			 args->create.page_shift, args->create.window_size,
			 args->create.levels);
		return;
	case OP_REMOVE:
		snprintf(text, size, " start_addr %#llx",
			 args->remove.start_addr);
		return;
	case OP_EEH:
		snprintf(text, size, " op %u type %u func %u", args->eeh.op,
			 args->eeh.err.type, args->eeh.err.func);
		return;
	case OP_SET_CONTAINER:
	case OP_UNSET_CONTAINER:
		snprintf(text, size, " group %u fd %d", call->group,
			 (int)call->value);
		return;
	case OP_ARENA:
		snprintf(text, size, " page %lu kind %u", call->value,
			 call->kind);
		return;
	default:
		snprintf(text, size, " %#lx", call->value);
		return;
	}
	text[0] = '\0';
}

void grammar_describe(const struct call *call, char *text, size_t size)
{
	char args[120], head[60] = "", rare[80] = "";
	const char *error = call->got < 0 ? strerrorname_np(-call->got) : NULL;

	describe_args(call, args, sizeof(args));
	if (args_size(call->op) && call->op != OP_SET_CONTAINER)
		snprintf(head, sizeof(head), " argsz %u flags %#x",
			 call->args.head.argsz, call->args.head.flags);
	if (call->readable < args_size(call->op) || call->read_only ||
	    call->foreign || call->room != UNLIMITED)
		snprintf(rare, sizeof(rare),
			 " (%zu bytes readable%s%s, room %lld)", call->readable,
			 call->read_only ? ", read-only" : "",
			 call->foreign ? ", another process" : "",
			 (long long)call->room);
	if (error)
		snprintf(text, size, "container %u: %s%s%s%s = -%s",
			 call->container, names[call->op], head, args, rare,
			 error);
	else
		snprintf(text, size, "container %u: %s%s%s%s = %d",
			 call->container, names[call->op], head, args, rare,
			 call->got);
}

/*
 * EINVAL and ENODEV are possible even with valid arguments: the container loses
 * its last group, or has lost it. ENOMEM is possible for all calls that charge.
 */
bool grammar_documented(const struct call *call)
{
	static const int answers[OPERATIONS][8] = {
		[OP_SET_IOMMU] = { EBUSY },
		[OP_GET_INFO] = { EFAULT, ENXIO },
		[OP_ENABLE] = { ENOTTY, EBUSY, ENOMEM },
		[OP_DISABLE] = { ENOTTY },
		[OP_REGISTER] = { ENOTTY, EFAULT, ENOMEM, EBUSY },
		[OP_UNREGISTER] = { ENOTTY, EFAULT, EPERM, ENOENT, EBUSY },
		[OP_MAP] = { EFAULT, EPERM, ENXIO, ENOMEM },
		[OP_UNMAP] = { EFAULT, EPERM, ENXIO, ENOMEM },
		[OP_CREATE] = { ENOTTY, EFAULT, ENXIO, ENOSPC, ENOMEM },
		[OP_REMOVE] = { ENOTTY, EFAULT, ENXIO },
		[OP_EEH] = { EFAULT, ERANGE },
		[OP_UNKNOWN] = { ENOTTY },
		[OP_SET_CONTAINER] = { EFAULT, EBADF, EBADFD, EBUSY },
	};
	const int *answer = answers[call->op];

	if (call->op == OP_CHECK_EXTENSION)
		return call->got == 0 || call->got == 1;
	if (call->op == OP_UNKNOWN && !call->got)
		return false;
	if (!call->got)
		return true;
	if (call->op == OP_API_VERSION)
		return false;
	if (call->got == -EINVAL)
		return true;
	if (call->got == -ENODEV)
		return call->op != OP_SET_CONTAINER &&
		       call->op != OP_UNSET_CONTAINER;
	for (; *answer; answer++)
		if (call->got == -*answer)
			return true;

	return false;
}
