/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Migration to device memory and back: the sequences of migrate_vma and
 * migrate_device, whole.
 *
 * Owns: the arrays of a migration while it runs.
 * Lock: takes mmap_lock for reading; folio locks come and go with the
 * sequence. Device memory is reserved before mmap_lock.
 * May call: mm, plan, batch, mirror, devmem, trace.
 *
 * A range is worked on in parts: one large folio, where the range covers one
 * and the device has them, or else a batch of single pages.
 *
 * The mirror page table is not written to: core mm's invalidation takes the
 * old entries away, and the device's next access finds the new place.
 */
#ifndef DMIRROR_MIGRATE_H
#define DMIRROR_MIGRATE_H

#include <linux/mm_types.h>
#include <linux/types.h>

struct dmirror_chunk;
struct dmirror_devmem;
struct dmirror_mirror;
struct vm_fault;

/**
 * dmirror_migrate_to_devmem - move a range to the device
 * @mirror: the mirror; its devmem is the destination
 * @addr: first address, page aligned
 * @npages: number of pages
 * @moved: number of pages that moved, also on error
 *
 * Pages that core mm cannot move now stay where they are, which is no error.
 * A device without room takes what it has room for; of a hole of the size of a
 * large folio all or nothing.
 *
 * Context: process context, may sleep; takes mmap_lock for reading.
 * Return: 0; -EINVAL for a bad range, an address without a VMA, or a VMA that
 * cannot be read or cannot migrate; -ENODEV without device memory; -EFAULT when
 * the mm is gone;
 * -EINTR when killed; -ENOMEM when device memory cannot be had; -ENOSPC when
 * pages stay behind because the device is full;
 * -EOPNOTSUPP where the kernel has no device memory.
 */
int dmirror_migrate_to_devmem(struct dmirror_mirror *mirror,
			      unsigned long addr, unsigned long npages,
			      unsigned long *moved);

/**
 * dmirror_migrate_to_ram - move a range back to system memory
 * @mirror: the mirror; only pages of its devmem move
 * @addr: first address, page aligned
 * @npages: number of pages
 * @moved: number of pages that moved, also on error
 *
 * Context: process context, may sleep; takes mmap_lock for reading.
 * Return: as dmirror_migrate_to_devmem(); a page for which there was no
 * system memory stays and counts as not moved.
 */
int dmirror_migrate_to_ram(struct dmirror_mirror *mirror, unsigned long addr,
			   unsigned long npages, unsigned long *moved);

/**
 * dmirror_migrate_fault - the CPU touched a device-private page
 * @vmf: the fault, vmf->page is the locked device page
 *
 * What the CPU maps as one large folio comes home as one, if there is such a
 * folio to be had, or else page by page, each by a fault of its own.
 *
 * Context: mmap_lock held for reading: do_swap_page() does not come here with
 * the VMA lock alone. Contract: dev_pagemap_ops in include/linux/memremap.h.
 * Return: 0 when the page moved, or when core mm could not move it just now
 * and the access has to be tried again; VM_FAULT_OOM without memory;
 * VM_FAULT_SIGBUS when the migration is not possible at all, or was not and
 * the caller has been killed.
 */
vm_fault_t dmirror_migrate_fault(struct vm_fault *vmf);

/**
 * dmirror_migrate_evict - bring every page of a device home
 * @devmem: the device memory
 * @left: number of pages that are still out, also on error
 *
 * Repeats as long as a pass moves something: core mm only tries for a folio's
 * lock, so one pass may miss a page that is in use right now. A large folio
 * for which there is no large system folio is cut first; not in a module, for
 * which core mm exports no such thing.
 *
 * Context: process context, may sleep; takes chunk_lock, no mmap_lock.
 * Return: 0 when all are home; -EBUSY when some would not move; -ENOMEM.
 */
int dmirror_migrate_evict(struct dmirror_devmem *devmem, unsigned long *left);

/**
 * dmirror_migrate_memory_failure - a page's storage is broken
 * @chunk: where it is; has to stay, which a reference on its pagemap sees to
 * @pfn: the page
 *
 * The page is never handed out again. If it is in use, its folio comes home,
 * as far as it can be read.
 *
 * Context: process context, may sleep; no mmap_lock. Not chunk_lock: the end of
 * a chunk waits under it for the reference that the caller holds.
 * Contract: dev_pagemap_ops in include/linux/memremap.h.
 * Return: 0 if the page is out of service; -EBUSY if it is still in use,
 * because it cannot be read or somebody holds it: then it goes when that ends;
 * -ENOMEM.
 */
int dmirror_migrate_memory_failure(struct dmirror_chunk *chunk,
				   unsigned long pfn);

/**
 * dmirror_migrate_drain - bring every page home and remove all chunks
 * @devmem: the device memory, which may be used again afterwards
 * @killable: give up when killed
 *
 * Context: process context, may sleep; takes chunk_lock, no mmap_lock.
 * Return: 0; -EBUSY when pages would not move, which are then still there;
 * -EINTR when killed; -ENOMEM.
 */
int dmirror_migrate_drain(struct dmirror_devmem *devmem, bool killable);

#endif /* DMIRROR_MIGRATE_H */
