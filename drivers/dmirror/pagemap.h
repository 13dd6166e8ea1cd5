/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Real device memory: the kinds that core mm knows.
 *
 * Owns: the dev_pagemap and the resource of each chunk.
 * Lock: none of its own.
 * May call: mm, devmem, migrate.
 */
#ifndef DMIRROR_PAGEMAP_H
#define DMIRROR_PAGEMAP_H

#include "devmem.h"

/*
 * memremap_pages() works in sub-sections of 2 MiB on every architecture that
 * has them: a chunk has to be a multiple of this many bytes.
 */
#define DMIRROR_PAGEMAP_ALIGN (2UL << 20)

/**
 * dmirror_pagemap_private_ops - MEMORY_DEVICE_PRIVATE
 *
 * Each chunk is one dev_pagemap over a range of physical addresses that
 * nobody uses; its owner is the struct dmirror_devmem. A CPU access brings a
 * page home through dmirror_migrate_fault(). Without CONFIG_DEVICE_PRIVATE
 * adding a chunk fails with -EOPNOTSUPP.
 */
extern const struct dmirror_devmem_ops dmirror_pagemap_private_ops;

/**
 * dmirror_pagemap_coherent_ops - MEMORY_DEVICE_COHERENT
 *
 * The chunks are cut from the device memory's region, which has to be memory
 * that the CPU can address and the kernel does not use (memmap= leaves some).
 * The CPU maps these pages like any other, so nothing faults; single pages
 * only. Adding a chunk beyond the region fails with -ENOSPC.
 */
extern const struct dmirror_devmem_ops dmirror_pagemap_coherent_ops;

/**
 * dmirror_pagemap_claim - make sure that coherent memory can be somewhere
 * @region: where, as in the device memory's region
 *
 * memremap_pages() finds out as well, but late, and complains with a stack
 * trace. The claim also keeps other drivers out, and shows in /proc/iomem.
 *
 * Context: process context, may sleep.
 * Return: a resource for dmirror_mm_region_release(), or an ERR_PTR(): -EINVAL
 * if @region is empty, wraps, or is not made of DMIRROR_PAGEMAP_ALIGN bytes;
 * -EBUSY if it is RAM or claimed, in part or as a whole.
 */
struct resource *dmirror_pagemap_claim(const struct range *region);

#endif /* DMIRROR_PAGEMAP_H */
