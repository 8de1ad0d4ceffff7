// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fuzzer for the ioctls of containers and groups. The calls of one thread are
 * compared with a model: the result of each call, and at random intervals the
 * charges, the tables (by debugfs) and the memory that the device reaches by
 * DMA. For threads that use ranges of their own in one container, the results
 * are compared too, and in the end the charges and the tables. Threads that
 * make any calls to the same containers must get documented results, and it
 * must be possible to release everything afterwards.
 *
 * Environment: FUZZ_SECONDS, for all parts (60), or FUZZ_ROUNDS, for each part;
 * FUZZ_SEED, of the first round; FUZZ_PARTS, a list of "one", "own", "conflict"
 * and "replay", separated by commas. A finding in one thread is reproduced by
 * its seed with FUZZ_ROUNDS=1 FUZZ_PARTS=one.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "edu.h"
#include "fuse.h"
#include "grammar.h"
#include "model.h"
#include "observe.h"
#include "perform.h"
#include "random.h"
#include "state.h"
#include "tap.h"
#include "vfio.h"

/* Calls of a round, and average number of calls between two comparisons. */
#define ROUND_CALLS		4000
#define COMPARE_EVERY		150
/* One in so many rounds checks DMA of the device, which takes a second. */
#define DEVICE_EVERY		20
/* Rounds between two checks of the state, which take a grace period. */
#define CHECK_STATE_EVERY	10

#define THREADS		4
/* If no call returns for so many seconds, a call is assumed to hang. */
#define HANG_SECONDS	120

/*
 * Pages of the arena that all threads use; each thread has a share of the
 * others.
 */
#define SHARED		16
#define OWN		((ARENA_PAGES - SHARED) / THREADS)

/* Bus addresses of 32-bit MSIs. */
#define MSI32		0xffff0000ULL
#define MSI32_END	0x100000000ULL

/* Number of calls that are shown with a finding. */
#define LOG		40

static struct share whole_arena;

/**
 * struct worker - a thread that makes calls
 * @model: its model
 * @scratch: memory for arguments
 * @random: state of the random numbers
 * @grammar: the calls that it may make
 * @share: part of the arena that it registers memory in
 * @log: its last calls
 * @calls: number of its calls
 * @refused: number of its calls that failed
 * @digest: hash of all calls and results
 * @found: there was a finding, which has been shown
 */
struct worker {
	struct model model;
	struct scratch scratch;
	struct random random;
	enum grammar grammar;
	struct share share;
	struct call log[LOG];
	unsigned long calls;
	unsigned long refused;
	__u64 digest;
	bool found;
};

static struct worker single, threads[THREADS];
static unsigned long seconds = 60, max_rounds;
static __u64 first_seed, running_seed;
static int group_fds[GROUPS];
static unsigned int groups;
static pthread_mutex_t show_lock = PTHREAD_MUTEX_INITIALIZER;

/* Findings */

static void show_log(const struct worker *worker)
{
	unsigned long i = worker->calls > LOG ? worker->calls - LOG : 0;
	char text[400];

	tap_diag("the last calls:");
	for (; i < worker->calls; i++) {
		grammar_describe(&worker->log[i % LOG], text, sizeof(text));
		tap_diag("  %s", text);
	}
}

static __attribute__((__format__(__printf__, 2, 3)))
void finding(struct worker *worker, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);

	pthread_mutex_lock(&show_lock);
	tap_diag("FOUND after %lu calls of the round: %s", worker->calls, text);
	show_log(worker);
	pthread_mutex_unlock(&show_lock);
	worker->found = true;
}

/* Reports a hang; the call that hangs is the last one of its thread. */
static void *watch(void *unused)
{
	unsigned long before;
	unsigned int i;

	do {
		before = perform_count();
		sleep(HANG_SECONDS);
	} while (perform_count() != before);

	tap_diag("FOUND: a call does not return. FUZZ_SEED=%#llx",
		 running_seed);
	show_log(&single);
	for (i = 0; i < THREADS; i++)
		show_log(&threads[i]);
	tap_bail("no call has returned for %d s", HANG_SECONDS);

	return unused;
}

static const char *error_name(int ret)
{
	const char *name = ret < 0 ? strerrorname_np(-ret) : NULL;

	return name ?: ret ? "positive" : "0";
}

/* Calls, compared with the model */

static void add_digest(struct worker *worker, const struct call *call)
{
	const unsigned char *bytes = (const unsigned char *)&call->args;
	__u64 digest = worker->digest;
	size_t i;

	for (i = 0; i < sizeof(call->args); i++)
		digest = (digest ^ bytes[i]) * 0x100000001b3ULL;
	digest = (digest ^ call->op) * 0x100000001b3ULL;
	digest = (digest ^ (unsigned int)call->got) * 0x100000001b3ULL;
	worker->digest = digest;
}

/* A call that fails must not change its argument. */
static bool args_match(const struct call *call, const union args *after)
{
	if (call->op == OP_GET_INFO && call->want)
		return true;

	return !memcmp(after, &call->want_args, call->readable);
}

static void new_windows(struct worker *worker, unsigned int number)
{
	struct container *container = &worker->model.containers[number];
	unsigned int i;

	for (i = 0; i < WINDOWS; i++)
		if (container->windows[i].present &&
		    container->windows[i].directory < 0)
			grammar_spots(&worker->random, &container->windows[i]);
	observe_new_windows(container);
}

/*
 * If mmap_lock was held, or the container was released, a work item of the
 * module lowers locked_vm, soon after the call.
 */
#define LOCKED_POLLS	3000
#define LOCKED_US	10000

static bool wait_for_locked(__u64 want)
{
	unsigned int polls;

	for (polls = 0; polls < LOCKED_POLLS && state_locked() != want; polls++)
		usleep(LOCKED_US);

	return state_locked() == want;
}

static void step(struct worker *worker, struct call *call)
{
	struct call *log = &worker->log[worker->calls++ % LOG];
	union args after;

	model_call(&worker->model, call);
	*log = *call;
	perform(&worker->model, &worker->scratch, call, &after);
	model_done(&worker->model, call, observe_pages);
	*log = *call;
	worker->refused += call->got < 0;
	add_digest(worker, call);

	if (call->got != call->want)
		finding(worker, "the result is %s, expected %s",
			error_name(call->got), error_name(call->want));
	else if (!args_match(call, &after))
		finding(worker, "the argument after the call is wrong");
	if (worker->model.created && !worker->found)
		new_windows(worker, call->container);
	/* Checked before the region can be registered again. */
	if (worker == &single && worker->model.orphans_freed &&
	    !worker->found && !wait_for_locked(worker->model.locked))
		finding(worker,
			"a region of a released container stays charged");
}

/*
 * A call at the beginning or end of a round, which the grammar does not choose.
 */
static void do_step(struct worker *worker, enum operation op,
		    unsigned int container, unsigned int group,
		    unsigned long value, size_t readable)
{
	struct call call = {
		.op = op,
		.container = container,
		.group = group,
		.value = value,
		.readable = readable,
		.room = UNLIMITED,
	};

	step(worker, &call);
}

static void step_args(struct worker *worker, enum operation op,
		      unsigned int container, const void *args, size_t size)
{
	struct call call = {
		.op = op,
		.container = container,
		.readable = size,
		.room = UNLIMITED,
	};

	memcpy(&call.args, args, size);
	step(worker, &call);
}

static void step_unmap(struct worker *worker, unsigned int container,
		       const struct window *window)
{
	struct vfio_iommu_type1_dma_unmap args = {
		.argsz = sizeof(args),
		.iova = window->start,
		.size = window->entries << window->page_shift,
	};

	step_args(worker, OP_UNMAP, container, &args, sizeof(args));
}

static void step_memory(struct worker *worker, enum operation op,
			unsigned int container, unsigned int first,
			unsigned int pages)
{
	struct vfio_iommu_spapr_register_memory args = {
		.argsz = sizeof(args),
		.vaddr = ARENA + first * machine.page,
		.size = pages * machine.page,
	};

	step_args(worker, op, container, &args, sizeof(args));
}

static void step_create(struct worker *worker, unsigned int container,
			unsigned int page_shift, __u64 size,
			unsigned int levels)
{
	struct vfio_iommu_spapr_tce_create args = {
		.argsz = sizeof(args),
		.page_shift = page_shift,
		.window_size = size,
		.levels = levels,
	};

	step_args(worker, OP_CREATE, container, &args, sizeof(args));
}

static void step_remove(struct worker *worker, unsigned int container,
			__u64 start)
{
	struct vfio_iommu_spapr_tce_remove args = {
		.argsz = sizeof(args),
		.start_addr = start,
	};

	step_args(worker, OP_REMOVE, container, &args, sizeof(args));
}

/* Comparisons */

static void compare(struct worker *worker)
{
	unsigned int i, j;
	char why[200];

	if (!wait_for_locked(worker->model.locked)) {
		finding(worker, "%llu kernel pages are charged, expected %llu",
			state_locked(), worker->model.locked);
		return;
	}
	for (i = 0; i < CONTAINERS; i++) {
		for (j = 0; j < WINDOWS; j++) {
			const struct window *window =
				&worker->model.containers[i].windows[j];

			if (!window->present ||
			    observe_window(&window, 1, why, sizeof(why)))
				continue;
			finding(worker, "container %u: %s", i, why);
			return;
		}
	}
}

/* An entry for a check of DMA. */
struct target {
	__u64 iova;
	unsigned char *memory;
	const struct entry *entry;
};

/*
 * Whether a device can reach the page at @iova: on PowerNV the PHB takes
 * accesses to these addresses for 32-bit MSIs, and does not translate them.
 */
static bool reached(__u64 iova)
{
	return vfio_is_guest() || iova < MSI32 || iova >= MSI32_END;
}

/* Whether the page is still the one that was pinned, and can be written. */
static bool entry_usable(const struct entry *entry)
{
	unsigned int page = (entry->ua - ARENA) / machine.page;
	__u64 pfn;

	if (arena[page] != PAGE_NORMAL)
		return false;
	observe_pages(page, 1, &pfn);

	return entry->tce / machine.page == pfn;
}

/* Chooses an entry with all permissions of @perm and none of @not_perm. */
static bool pick_target(struct worker *worker,
			const struct container *container, unsigned int perm,
			unsigned int not_perm, struct target *target)
{
	unsigned int seen = 0, i, j, k;
	const struct chunk *chunk;

	for (i = 0; i < WINDOWS; i++) {
		const struct window *window = &container->windows[i];

		for (j = 0; window->present && j < CHUNK_HASH; j++)
			for (chunk = window->chunks[j]; chunk;
			     chunk = chunk->next)
				for (k = 0; k < CHUNK_ENTRIES; k++) {
					const struct entry *entry =
						&chunk->entries[k];
					__u64 iova = window->start +
						((chunk->base + k) <<
						 window->page_shift);

					if ((entry->tce & perm) != perm ||
					    (entry->tce & not_perm) ||
					    !reached(iova) ||
					    !random_one_in(&worker->random,
							   ++seen) ||
					    !entry_usable(entry))
						continue;
					*target = (struct target) {
						.iova = iova,
						.memory = (void *)entry->ua,
						.entry = entry,
					};
				}
	}

	return target->entry;
}

/* Chooses an entry that was cleared and has not been set again. */
static bool pick_cleared(const struct container *container,
			 struct target *target)
{
	unsigned int i;

	for (i = 0; i < WINDOWS; i++) {
		const struct window *window = &container->windows[i];

		if (!window->present || !window->cleared.tce ||
		    window_entry(window, window->cleared_index) ||
		    !entry_usable(&window->cleared))
			continue;
		*target = (struct target) {
			.iova = window->start +
				(window->cleared_index << window->page_shift),
			.memory = (void *)window->cleared.ua,
			.entry = &window->cleared,
		};
		return true;
	}

	return false;
}

/*
 * The buffer of the device is checked by letting it write to a page, so the
 * first check is that this works.
 */
static void check_dma(struct worker *worker, struct vfio *device,
		      const struct container *container)
{
	struct target out = { 0 }, in = { 0 }, read_only = { 0 },
		      cleared = { 0 };
	unsigned int seed = edu_seed(), other = edu_seed();

	if (!pick_target(worker, container, 3, 0, &out) ||
	    !pick_target(worker, container, 1, 0, &in))
		return;

	edu_fill(in.memory, seed);
	edu_read(device, in.iova);
	edu_fill(out.memory, other);
	edu_write(device, out.iova);
	if (!edu_matches(out.memory, seed)) {
		finding(worker,
			"the device does not get data from %#llx to %#llx",
			in.iova, out.iova);
		return;
	}

	if (pick_target(worker, container, 1, 2, &read_only)) {
		edu_fill(read_only.memory, other);
		edu_write(device, read_only.iova);
		if (!edu_matches(read_only.memory, other))
			finding(worker,
				"the device writes to %#llx, mapped read-only",
				read_only.iova);
	}

	if (!pick_cleared(container, &cleared))
		return;
	other = edu_seed();
	edu_fill(cleared.memory, other);
	edu_write(device, cleared.iova);
	if (!edu_matches(cleared.memory, other))
		finding(worker, "the device writes to %#llx, not mapped",
			cleared.iova);
	edu_read(device, cleared.iova);
	edu_write(device, out.iova);
	if (edu_matches(out.memory, other))
		finding(worker, "the device reads from %#llx, not mapped",
			cleared.iova);
}

static void check_device(struct worker *worker)
{
	unsigned int group = random_below(&worker->random, groups);
	int number = worker->model.group_in[group];
	const struct container *container;
	struct vfio device = {
		.number = group,
		.container = -1,
		.group = group_fds[group],
		.device = -1,
	};

	if (number < 0)
		return;
	container = &worker->model.containers[number];
	if (!container->version)
		return;
	vfio_start_device(&device);
	check_dma(worker, &device, container);
	device.group = -1;
	vfio_detach(&device);
}

/* Rounds */

static __u64 round_seed(unsigned long round)
{
	struct random random = { .state = first_seed + round };

	return round ? random_next(&random) : first_seed;
}

static void begin_round(struct worker *worker, __u64 seed)
{
	unsigned int i;

	worker->random.state = seed;
	worker->calls = 0;
	worker->digest = 0;
	worker->found = false;
	model_init(&worker->model);
	for (i = 0; i < groups; i++)
		worker->model.group_fds[i] = group_fds[i];
	for (i = groups; i < GROUPS; i++)
		worker->model.group_fds[i] = group_fds[0];
	for (i = 0; i < ARENA_PAGES; i++) {
		struct call call = { .op = OP_ARENA, .value = i };
		union args after;

		if (arena[i] != PAGE_NORMAL)
			perform(&worker->model, &worker->scratch, &call,
				&after);
		arena[i] = PAGE_NORMAL;
	}
}

static void open_container(struct worker *worker, unsigned int container,
			   unsigned int group, unsigned long version)
{
	do_step(worker, OP_OPEN, container, 0, 0, 0);
	do_step(worker, OP_SET_CONTAINER, container, group,
		worker->model.containers[container].fd, sizeof(int));
	do_step(worker, OP_SET_IOMMU, container, 0, version, 0);
}

/* Unmaps, unregisters and removes everything, by one call each. */
static void release_all(struct worker *worker, unsigned int number)
{
	struct container *container = &worker->model.containers[number];
	unsigned int i;

	if (container->fd < 0 || !container->version)
		return;
	for (i = 0; i < WINDOWS && !worker->found; i++)
		if (container->windows[i].present && container->enabled)
			step_unmap(worker, number, &container->windows[i]);
	for (i = 0; i < ARENA_PAGES && !worker->found; i++)
		if (container->regions[i].pages)
			step_memory(worker, OP_UNREGISTER, number, i,
				    container->regions[i].pages);
	if (container->version == 1)
		do_step(worker, OP_DISABLE, number, 0, 0, 0);
	for (i = 0; i < WINDOWS && !worker->found; i++)
		if (container->version == 2 && container->windows[i].present)
			step_remove(worker, number,
				    container->windows[i].start);
}

/* Closes everything for the next round, even after a finding. */
static void end_round(struct worker *worker)
{
	struct model *model = &worker->model;
	unsigned int i;

	if (!worker->found && random_below(&worker->random, 3))
		for (i = 0; i < CONTAINERS; i++)
			release_all(worker, i);
	for (i = 0; i < CONTAINERS; i++)
		if (model->containers[i].fd >= 0)
			do_step(worker, OP_CLOSE, i, 0, 0, 0);
	for (i = 0; i < GROUPS; i++)
		if (model->group_in[i] >= 0)
			do_step(worker, OP_UNSET_CONTAINER,
				model->group_in[i], i, 0, 0);
	if (!worker->found)
		compare(worker);
	model_free(model);
}

static void round_single(struct worker *worker, __u64 seed)
{
	unsigned int device, i;
	struct call call;

	begin_round(worker, seed);
	open_container(worker, 0, 0, random_one_in(&worker->random, 5) ?
		       VFIO_SPAPR_TCE_IOMMU : VFIO_SPAPR_TCE_v2_IOMMU);
	if (groups > 1 && random_one_in(&worker->random, 2))
		open_container(worker, 1, 1, VFIO_SPAPR_TCE_v2_IOMMU);
	device = random_one_in(&worker->random, DEVICE_EVERY) ?
		 random_below(&worker->random, ROUND_CALLS) : ROUND_CALLS;
	for (i = 0; i < ROUND_CALLS && !worker->found; i++) {
		grammar_call(&worker->random, &worker->model, GRAMMAR_ALL,
			     &whole_arena, &call);
		if (groups < 2)
			call.group = 0;
		step(worker, &call);
		if (!worker->found &&
		    random_one_in(&worker->random, COMPARE_EVERY))
			compare(worker);
		if (!worker->found && i == device)
			check_device(worker);
	}
	end_round(worker);
}

/* Threads that use ranges of their own */

/*
 * The result would depend on memory that other threads register or unregister.
 */
static bool memory_of_others(const struct worker *worker,
			     const struct call *call)
{
	__u64 vaddr, size, first, last;

	switch (call->op) {
	case OP_MAP:
		vaddr = call->args.map.vaddr;
		size = call->args.map.size;
		break;
	case OP_REGISTER:
	case OP_UNREGISTER:
		vaddr = call->args.memory.vaddr;
		size = call->args.memory.size;
		break;
	default:
		return false;
	}
	/* Memory beyond the arena is refused in any case. */
	if (vaddr < ARENA || vaddr - ARENA >= ARENA_PAGES * machine.page ||
	    !size || size > ARENA_PAGES * machine.page - (vaddr - ARENA))
		return false;
	first = (vaddr - ARENA) / machine.page;
	last = (vaddr - ARENA + size - 1) / machine.page;
	if (last < SHARED)
		return call->op != OP_MAP;

	return first < worker->share.first ||
	       last >= worker->share.first + worker->share.pages;
}

/* A call that would succeed in ranges of other threads. */
static bool range_of_others(struct worker *worker, const struct call *call)
{
	struct call dry = *call;

	if (grammar_confined(&worker->model, call))
		return false;
	worker->model.dry = true;
	model_call(&worker->model, &dry);
	worker->model.dry = false;

	return !dry.want;
}

static void *run_own(void *data)
{
	struct worker *worker = data;
	struct call call;
	unsigned int i;

	for (i = 0; i < ROUND_CALLS && !worker->found; i++) {
		do {
			grammar_call(&worker->random, &worker->model,
				     GRAMMAR_OWN, &worker->share, &call);
		} while (memory_of_others(worker, &call) ||
			 range_of_others(worker, &call));
		step(worker, &call);
	}

	return NULL;
}

/* The spots of the threads are adjacent, in the same leaves. */
static void own_spots(struct window *window, unsigned int thread)
{
	__u64 length = 40 * (machine.page >> window->page_shift ?: 1);
	unsigned int i;

	for (i = 0; i < SPOTS; i++) {
		__u64 base = window->entries / SPOTS * i + 412;

		if (!i)
			base = 0;
		else if (i == 1)
			base = window->entries - THREADS * length;
		window->spots[i].base = base + thread * length;
		window->spots[i].length = length;
	}
}

static void start_threads(void *(*run)(void *data))
{
	pthread_t ids[THREADS];
	unsigned int i;
	int ret;

	for (i = 0; i < THREADS; i++) {
		ret = pthread_create(&ids[i], NULL, run, &threads[i]);
		if (ret)
			tap_bail("pthread_create: %s", strerror(ret));
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
}

static void compare_own(struct worker *worker)
{
	__u64 want = worker->model.locked;
	const struct window *windows[THREADS];
	unsigned int i, j;
	char why[200];

	for (i = 0; i < THREADS; i++)
		want += threads[i].model.locked - worker->model.locked;
	if (!wait_for_locked(want))
		finding(worker, "%llu kernel pages are charged, expected %llu",
			state_locked(), want);
	for (i = 0; i < WINDOWS; i++) {
		for (j = 0; j < THREADS; j++)
			windows[j] = &threads[j].model.containers[0].windows[i];
		if (!observe_window(windows, THREADS, why, sizeof(why)))
			finding(worker, "%s", why);
	}
}

static void round_own(struct worker *worker, __u64 seed)
{
	unsigned int i, j;

	begin_round(worker, seed);
	open_container(worker, 0, 0, VFIO_SPAPR_TCE_v2_IOMMU);
	if (groups > 1)
		do_step(worker, OP_SET_CONTAINER, 0, 1,
			worker->model.containers[0].fd, sizeof(int));
	step_remove(worker, 0, 0);
	step_create(worker, 0, 12, BIT_ULL(40),
		    2 + random_below(&worker->random, 4));
	step_create(worker, 0, machine.page_shift, BIT_ULL(44),
		    2 + random_below(&worker->random, 3));
	for (i = 0; i < SHARED; i += 4)
		step_memory(worker, OP_REGISTER, 0, i, 4);

	for (i = 0; i < THREADS; i++) {
		struct container *container = &threads[i].model.containers[0];

		threads[i].model = worker->model;
		threads[i].random.state = random_next(&worker->random);
		threads[i].share.first = SHARED + i * OWN;
		threads[i].share.pages = OWN;
		threads[i].calls = 0;
		threads[i].found = worker->found;
		for (j = 0; j < WINDOWS; j++)
			own_spots(&container->windows[j], i);
	}
	start_threads(run_own);
	for (i = 0; i < THREADS; i++)
		worker->found |= threads[i].found;
	if (!worker->found)
		compare_own(worker);

	/* Each thread's model has what the thread has mapped and registered. */
	for (i = 0; i < THREADS && !worker->found; i++) {
		const struct container *container =
			&threads[i].model.containers[0];

		for (j = 0; j < WINDOWS; j++) {
			struct window window = container->windows[j];
			unsigned int k;

			for (k = 0; k < SPOTS; k++) {
				struct vfio_iommu_type1_dma_unmap args = {
					.argsz = sizeof(args),
					.iova = window.start +
						(window.spots[k].base <<
						 window.page_shift),
					.size = window.spots[k].length <<
						window.page_shift,
				};

				step_args(&threads[i], OP_UNMAP, 0, &args,
					  sizeof(args));
			}
		}
		for (j = SHARED; j < ARENA_PAGES; j++)
			if (container->regions[j].pages)
				step_memory(&threads[i], OP_UNREGISTER, 0, j,
					    container->regions[j].pages);
		worker->found |= threads[i].found;
	}
	for (i = 0; i < THREADS; i++) {
		worker->calls += threads[i].calls;
		model_free(&threads[i].model);
	}
	end_round(worker);
}

/* Threads that make any calls */

static void *run_conflict(void *data)
{
	struct worker *worker = data;
	struct call call, *log;
	union args after;
	unsigned int i;

	for (i = 0; i < ROUND_CALLS && !worker->found; i++) {
		grammar_call(&worker->random, &worker->model, GRAMMAR_CONFLICT,
			     &whole_arena, &call);
		if (groups < 2)
			call.group = 0;
		log = &worker->log[worker->calls++ % LOG];
		*log = call;
		perform(&worker->model, &worker->scratch, &call, &after);
		*log = call;
		worker->refused += call.got < 0;
		if (!grammar_documented(&call))
			finding(worker,
				"the result is %s, which is not documented",
				error_name(call.got));
	}

	return NULL;
}

/* A guess of the containers' state; the real one depends on all threads. */
static void assume_state(struct worker *worker)
{
	unsigned int i, j;

	for (i = 0; i < 2; i++) {
		struct container *container = &worker->model.containers[i];

		container->version = 2;
		for (j = 0; j < WINDOWS; j++) {
			struct window *window = &container->windows[j];
			bool small = random_one_in(&worker->random, 2);

			*window = (struct window) {
				.present = true,
				.start = j ? WINDOW1_START : 0,
				.page_shift = small ? 12 : 16,
				.entries = BIT_ULL(19),
			};
			grammar_spots(&worker->random, window);
		}
		for (j = 0; j < ARENA_PAGES; j += 4) {
			container->regions[j].pages = 4;
			container->regions[j].first = j;
		}
	}
}

/* Expects that no pages are in use, now that nothing is mapped. */
static void unregister_all(struct worker *worker, int fd)
{
	unsigned int first, pages;
	int ret;

	for (first = 0; first < ARENA_PAGES; first++) {
		void *memory = (void *)(ARENA + first * machine.page);

		for (pages = 1; pages <= ARENA_PAGES - first; pages++) {
			ret = vfio_unregister(fd, memory, pages * machine.page);
			if (ret == -EBUSY)
				finding(worker, "%u pages from %u stay in use",
					pages, first);
		}
	}
}

/* Everything can be released, and then nothing stays charged. */
static void release_everything(struct worker *worker)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		int fd = worker->model.containers[i].fd;

		vfio_remove(fd, 0);
		vfio_remove(fd, WINDOW1_START);
		vfio_ioctl(fd, VFIO_IOMMU_DISABLE, NULL);
	}
	for (i = 0; i < 2; i++) {
		int fd = worker->model.containers[i].fd;

		unregister_all(worker, fd);
		vfio_remove(fd, 0);
		vfio_remove(fd, WINDOW1_START);
	}
	/* The default windows of version 1 are released with the containers. */
	for (i = 0; i < groups; i++)
		vfio_ioctl(group_fds[i], VFIO_GROUP_UNSET_CONTAINER, NULL);
	for (i = 0; i < 2; i++)
		close(worker->model.containers[i].fd);
	if (!wait_for_locked(0))
		finding(worker, "%llu kernel pages stay charged",
			state_locked());
}

static void round_conflict(struct worker *worker, __u64 seed)
{
	unsigned int i;

	begin_round(worker, seed);
	for (i = 0; i < 2; i++)
		worker->model.containers[i].fd = vfio_open_container();
	assume_state(worker);
	for (i = 0; i < THREADS; i++) {
		threads[i].model = worker->model;
		threads[i].random.state = random_next(&worker->random);
		threads[i].calls = 0;
		threads[i].found = false;
	}
	start_threads(run_conflict);
	for (i = 0; i < THREADS; i++) {
		worker->found |= threads[i].found;
		worker->calls += threads[i].calls;
	}
	release_everything(worker);
}

/* Tests */

static unsigned long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);

	return ts.tv_sec;
}

static unsigned long total_refused(void)
{
	unsigned long refused = single.refused;
	unsigned int i;

	for (i = 0; i < THREADS; i++)
		refused += threads[i].refused;

	return refused;
}

/* Runs rounds for @percent of FUZZ_SECONDS. */
static void run_rounds(void (*run)(struct worker *worker, __u64 seed),
		       unsigned int percent)
{
	unsigned long until = now() + (seconds * percent + 99) / 100, round;
	unsigned long before = perform_count(), refused = total_refused();
	struct state clean = state_now();
	__u64 seed = first_seed;

	for (round = 0; max_rounds ? round < max_rounds : now() < until;
	     round++) {
		seed = round_seed(round);
		running_seed = seed;
		run(&single, seed);
		if (single.found)
			break;
		if (round % CHECK_STATE_EVERY == CHECK_STATE_EVERY - 1 &&
		    !CHECK_STATE(&clean))
			break;
	}
	CHECK(!single.found);
	CHECK_STATE(&clean);
	tap_diag("seed %#llx: %lu rounds, %lu ioctls, %lu of them failed",
		 first_seed, round, perform_count() - before,
		 total_refused() - refused);
	if (machine.huge_pages)
		tap_diag("large IOMMU pages: %lu mapped, %lu refused",
			 large_mapped, large_refused);
	if (round < max_rounds || (!max_rounds && now() < until))
		tap_diag("reproduce the finding with FUZZ_SEED=%#llx",
			 seed);
}

static void test_single(void)
{
	run_rounds(round_single, 60);
}

static void test_replay(void)
{
	__u64 digest, seed = round_seed(1);

	round_single(&single, seed);
	digest = single.digest;
	CHECK(!single.found);
	round_single(&single, seed);
	CHECK(single.digest == digest);
	round_single(&single, seed + 1);
	CHECK(single.digest != digest);
}

static void test_own(void)
{
	run_rounds(round_own, 20);
}

static void test_conflict(void)
{
	run_rounds(round_conflict, 20);
}

/* The arena gets a huge page, unless that has too many kernel pages. */
static void probe_huge_pages(void)
{
	__u64 larger = machine.page_sizes & -(machine.page << 1);
	unsigned int shift = vfio_huge_shift();

	if (shift <= machine.page_shift || !larger ||
	    1U << (shift - machine.page_shift) > HUGE_PAGES_MAX)
		return;
	machine.huge_pages = 1U << (shift - machine.page_shift);
	machine.large_shift = __builtin_ctzll(larger);
	tap_diag("the arena begins with a huge page of %u kernel pages",
		 machine.huge_pages);
}

/* The largest region, as docs/INTERFACE.md says. */
static __u64 most_pages(void)
{
	struct sysinfo system;
	__u64 memory, most;

	sysinfo(&system);
	memory = (__u64)system.totalram * system.mem_unit / machine.page;
	most = 8 * memory < BIT_ULL(27) ? 8 * memory : BIT_ULL(27);

	return memory > most ? memory : most;
}

static void probe_machine(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct vfio vfio;
	int ret;

	machine.page = vfio_page_size();
	machine.page_shift = vfio_page_shift();
	machine.region_pages = most_pages();

	vfio_open(&vfio);
	ret = vfio_info(vfio.container, &info);
	if (ret)
		tap_bail("GET_INFO: %s", strerror(-ret));
	machine.dma32_size = info.dma32_window_size;
	machine.page_sizes = info.ddw.pgsizes;
	machine.windows = info.ddw.max_dynamic_windows_supported;
	machine.levels = info.ddw.levels;
	machine.eeh = vfio_ioctl(vfio.container, VFIO_CHECK_EXTENSION,
				 (void *)VFIO_EEH) > 0;
	vfio_close(&vfio);
	probe_huge_pages();
	whole_arena.pages = ARENA_PAGES;

	while (groups < GROUPS && vfio_have_device(groups)) {
		group_fds[groups] = vfio_open_group(groups);
		if (group_fds[groups] < 0)
			tap_bail("group: %s", strerror(-group_fds[groups]));
		groups++;
	}
}

static bool part_selected(const char *part)
{
	const char *parts = getenv("FUZZ_PARTS");

	return !parts || strstr(parts, part);
}

static void map_arena(__u64 address, size_t size, int flags)
{
	if (mmap((void *)address, size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
		 MAP_POPULATE | flags, -1, 0) != (void *)address)
		tap_bail("the arena: %s", strerror(errno));
}

static void setup(void)
{
	const char *text;
	pthread_t id;
	unsigned int i;

	probe_machine();
	if (machine.huge_pages)
		map_arena(ARENA, machine.huge_pages * machine.page,
			  MAP_HUGETLB);
	map_arena(BORDER, ORDINARY_PAGES * machine.page, 0);
	observe_init();
	scratch_init(&single.scratch, 0);
	for (i = 0; i < THREADS; i++)
		scratch_init(&threads[i].scratch, 1 + i);
	if (fuse_available()) {
		fuse_start(FUSE_UNLOCKED);
		fuse_answer();
	}

	text = getenv("FUZZ_SECONDS");
	if (text)
		seconds = strtoul(text, NULL, 0);
	text = getenv("FUZZ_ROUNDS");
	if (text)
		max_rounds = strtoul(text, NULL, 0);
	text = getenv("FUZZ_SEED");
	if (text)
		first_seed = strtoull(text, NULL, 0);
	else if (getrandom(&first_seed, sizeof(first_seed), 0) < 0)
		tap_bail("getrandom: %s", strerror(errno));
	if (pthread_create(&id, NULL, watch, NULL))
		tap_bail("pthread_create");
}

int main(void)
{
	int ret;

	if (vfio_is_guest())
		tap_bail("the model is for PowerNV");
	setup();
	state_watch();

	if (part_selected("one"))
		tap_test("one thread: results, tables and DMA match the model",
			 test_single);
	if (part_selected("replay"))
		tap_test("the same seed makes the same calls", test_replay);
	if (part_selected("own"))
		tap_test("threads with ranges of their own match the model",
			 test_own);
	if (part_selected("conflict"))
		tap_test("conflicting threads: documented results, no leaks",
			 test_conflict);

	ret = tap_main();
	/*
	 * Stop FUSE before exit(): the process that answers is killed when the
	 * main thread exits. If other threads exit later, they close the file
	 * after that, and close() would wait for an answer.
	 */
	if (fuse_available())
		fuse_stop();

	return ret;
}
