/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's edu device: it has a buffer of 4 KiB and a DMA engine between that and
 * memory. Nothing but DMA reaches the buffer, so there is a page of memory, the
 * stage, that stays mapped and through which the buffer is loaded and looked
 * at.
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

/* One transfer, to its end: the device reads memory, or writes it. */
void edu_read(struct vfio *vfio, __u64 iova);
void edu_write(struct vfio *vfio, __u64 iova);

/*
 * Whether the device, at @iova, reads and writes what is at @memory. Each time
 * with data that was never there before, so that a "no" means that nothing came
 * through, neither to the device nor to the memory.
 */
bool edu_reads(struct vfio *vfio, __u64 iova, unsigned char *memory);
bool edu_writes(struct vfio *vfio, __u64 iova, unsigned char *memory);

/* Whether new data gets from @from at @from_iova to @to at @to_iova. */
bool edu_copies(struct vfio *vfio, __u64 from_iova, unsigned char *from,
		__u64 to_iova, unsigned char *to);

/* EDU_BYTES of data that belong to @seed, and whether they are there. */
void edu_fill(unsigned char *memory, unsigned int seed);
bool edu_filled(const unsigned char *memory, unsigned int seed);

/* A seed that was not used before. */
unsigned int edu_seed(void);

#endif /* E2E_EDU_H */
