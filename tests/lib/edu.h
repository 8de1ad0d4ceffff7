/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's edu device: a buffer of 4 KiB, and a DMA engine that copies between
 * the buffer and memory. The CPU cannot access the buffer. Tests fill and read
 * it through the stage, a page of memory that stays mapped.
 */
#ifndef E2E_EDU_H
#define E2E_EDU_H

#include <linux/types.h>
#include <stdbool.h>

#include "vfio.h"

/* Bytes of a test transfer; less than any IOMMU page. */
#define EDU_BYTES	1024

/* Starts the device, registers memory for the stage and maps it at @iova. */
void edu_stage(struct vfio *vfio, __u64 iova);

/* One complete transfer: the device reads memory, or writes it. */
void edu_read(struct vfio *vfio, __u64 iova);
void edu_write(struct vfio *vfio, __u64 iova);

/*
 * Whether the device reads @memory from @iova, or writes it there. Each call
 * uses new data, so false means that no data was transferred.
 */
bool edu_reads(struct vfio *vfio, __u64 iova, unsigned char *memory);
bool edu_writes(struct vfio *vfio, __u64 iova, unsigned char *memory);

/* Whether it does both, or neither. */
bool edu_works(struct vfio *vfio, __u64 iova, unsigned char *memory);
bool edu_is_blocked(struct vfio *vfio, __u64 iova, unsigned char *memory);

/* Whether the device copies new data from @from to @to. */
bool edu_copies(struct vfio *vfio, __u64 from_iova, unsigned char *from,
		__u64 to_iova, unsigned char *to);

/* Fills EDU_BYTES with the data of @seed; whether @memory has these data. */
void edu_fill(unsigned char *memory, unsigned int seed);
bool edu_matches(const unsigned char *memory, unsigned int seed);

/* A seed that was not used before. */
unsigned int edu_seed(void);

#endif /* E2E_EDU_H */
