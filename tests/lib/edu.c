// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's edu device. Contract: edu.h.
 */

#include <endian.h>
#include <string.h>
#include <unistd.h>

#include "edu.h"
#include "tap.h"

#define EDU_SOURCE	0x80
#define EDU_TARGET	0x88
#define EDU_COUNT	0x90
#define EDU_COMMAND	0x98

#define EDU_START	1
#define EDU_TO_MEMORY	2

/* The address of the buffer, as the DMA engine sees it. */
#define EDU_BUFFER	0x40000

/* A transfer takes 0.1 s; after 20 s the device is assumed to hang. */
#define EDU_POLLS	10000
#define EDU_POLL_US	2000

/* The registers are big-endian on ppc64, whatever the kernel is. */
static __u64 *edu_register(struct vfio *vfio, unsigned int offset)
{
	return (__u64 *)((char *)vfio->bar + offset);
}

/* An atomic access, so that it is ordered with accesses to memory. */
static void edu_set(struct vfio *vfio, unsigned int offset, __u64 value)
{
	__atomic_store_n(edu_register(vfio, offset), htobe64(value),
			 __ATOMIC_SEQ_CST);
}

static __u64 edu_get(struct vfio *vfio, unsigned int offset)
{
	return be64toh(__atomic_load_n(edu_register(vfio, offset),
				       __ATOMIC_SEQ_CST));
}

static void edu_transfer(struct vfio *vfio, __u64 source, __u64 target,
			 __u64 command)
{
	unsigned int polls;

	edu_set(vfio, EDU_SOURCE, source);
	edu_set(vfio, EDU_TARGET, target);
	edu_set(vfio, EDU_COUNT, EDU_BYTES);
	edu_set(vfio, EDU_COMMAND, command | EDU_START);

	for (polls = 0; polls < EDU_POLLS; polls++) {
		if (!(edu_get(vfio, EDU_COMMAND) & EDU_START))
			return;
		usleep(EDU_POLL_US);
	}
	tap_bail("the device does not finish a transfer");
}

void edu_read(struct vfio *vfio, __u64 iova)
{
	edu_transfer(vfio, iova, EDU_BUFFER, 0);
}

void edu_write(struct vfio *vfio, __u64 iova)
{
	edu_transfer(vfio, EDU_BUFFER, iova, EDU_TO_MEMORY);
}

void edu_stage(struct vfio *vfio, __u64 iova)
{
	size_t size = vfio_page_size();
	int ret;

	if (vfio->device < 0)
		vfio_start_device(vfio);

	vfio->stage = vfio_memory(size);
	vfio->stage_iova = iova;
	ret = vfio_register(vfio->container, vfio->stage, size);
	if (!ret)
		ret = vfio_map(vfio->container, iova, vfio->stage, size,
			       MAP_BOTH);
	if (ret)
		tap_bail("mapping the stage: %s", strerror(-ret));
}

static bool edu_holds(struct vfio *vfio, unsigned int seed)
{
	memset(vfio->stage, 0, EDU_BYTES);
	edu_write(vfio, vfio->stage_iova);

	return edu_matches(vfio->stage, seed);
}

static void edu_load(struct vfio *vfio, unsigned int seed)
{
	edu_fill(vfio->stage, seed);
	edu_read(vfio, vfio->stage_iova);
}

bool edu_reads(struct vfio *vfio, __u64 iova, unsigned char *memory)
{
	unsigned int seed = edu_seed();

	edu_fill(memory, seed);
	edu_read(vfio, iova);

	return edu_holds(vfio, seed);
}

bool edu_writes(struct vfio *vfio, __u64 iova, unsigned char *memory)
{
	unsigned int before = edu_seed(), after = edu_seed();

	edu_fill(memory, before);
	edu_load(vfio, after);
	edu_write(vfio, iova);
	if (edu_matches(memory, after))
		return true;
	/* A refused transfer must not be done in part. */
	CHECK(edu_matches(memory, before));

	return false;
}

bool edu_works(struct vfio *vfio, __u64 iova, unsigned char *memory)
{
	bool reads = edu_reads(vfio, iova, memory);
	bool writes = edu_writes(vfio, iova, memory);

	return reads && writes;
}

bool edu_is_blocked(struct vfio *vfio, __u64 iova, unsigned char *memory)
{
	bool reads = edu_reads(vfio, iova, memory);
	bool writes = edu_writes(vfio, iova, memory);

	return !reads && !writes;
}

bool edu_copies(struct vfio *vfio, __u64 from_iova, unsigned char *from,
		__u64 to_iova, unsigned char *to)
{
	unsigned int seed = edu_seed();

	edu_fill(from, seed);
	memset(to, 0, EDU_BYTES);
	edu_read(vfio, from_iova);
	edu_write(vfio, to_iova);

	return edu_matches(to, seed);
}

/* A word that differs for each seed and each index. */
static __u32 edu_word(unsigned int seed, unsigned int i)
{
	return seed << 16 | i;
}

void edu_fill(unsigned char *memory, unsigned int seed)
{
	__u32 *words = (__u32 *)memory;
	unsigned int i;

	for (i = 0; i < EDU_BYTES / sizeof(*words); i++)
		words[i] = edu_word(seed, i);
}

bool edu_matches(const unsigned char *memory, unsigned int seed)
{
	const __u32 *words = (const __u32 *)memory;
	unsigned int i;

	for (i = 0; i < EDU_BYTES / sizeof(*words); i++)
		if (words[i] != edu_word(seed, i))
			return false;

	return true;
}

unsigned int edu_seed(void)
{
	static unsigned int seed;

	return ++seed;
}
