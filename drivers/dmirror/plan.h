/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver's part between migrate_vma_setup() and migrate_vma_pages(): work
 * on src[] and dst[] arrays alone.
 *
 * Owns: nothing.
 * Lock: none; the caller holds the locks of the source folios, by way of the
 * setup. Destinations are left locked, as the contract wants.
 * May call: devmem, inject.
 *
 * A page whose destination cannot be had keeps dst[i] == 0: core mm then puts
 * it back where it was, and the others still move. A caller always goes on to
 * migrate_vma_pages() and migrate_vma_finalize(), which take care of every
 * destination that was not used.
 *
 * So far single pages; entries of large folios are left alone.
 */
#ifndef DMIRROR_PLAN_H
#define DMIRROR_PLAN_H

#include <linux/types.h>

struct dmirror_devmem;
struct dmirror_resv;
struct vm_area_struct;

/**
 * dmirror_plan_to_devmem - choose device pages and copy to them
 * @src: from migrate_vma_setup()
 * @dst: as long as @src, to be filled
 * @nr: number of entries
 * @resv: where the device pages come from
 * @holes_writable: whether a page that did not exist may be written to
 *
 * Holes and zero pages become device pages full of zeroes.
 *
 * Context: process context, may sleep; mmap_lock and folio locks held.
 * Return: number of entries with a destination.
 */
unsigned long dmirror_plan_to_devmem(const unsigned long *src,
				     unsigned long *dst, unsigned long nr,
				     struct dmirror_resv *resv,
				     bool holes_writable);

/**
 * dmirror_plan_to_ram - choose system pages and copy to them
 * @src: from migrate_vma_setup() or migrate_device_range()
 * @dst: as long as @src, to be filled
 * @nr: number of entries
 * @devmem: only pages of this device memory are planned
 *
 * Context: process context, may sleep; folio locks held.
 * Return: number of entries with a destination.
 */
unsigned long dmirror_plan_to_ram(const unsigned long *src, unsigned long *dst,
				  unsigned long nr,
				  const struct dmirror_devmem *devmem);

/**
 * dmirror_plan_moved - count what migrate_vma_pages() moved
 * @src: after migrate_vma_pages()
 * @dst: after migrate_vma_pages()
 * @nr: number of entries
 *
 * Context: any; before migrate_vma_finalize().
 * Return: number of pages.
 */
unsigned long dmirror_plan_moved(const unsigned long *src,
				 const unsigned long *dst, unsigned long nr);

#endif /* DMIRROR_PLAN_H */
