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
 * A page whose destination cannot be had, or that cannot be read, has
 * dst[i] == 0: core mm then puts it back where it was, and the others still
 * move. batch.h has the order of the steps.
 *
 * An entry with MIGRATE_PFN_COMPOUND stands for a whole large folio, or for a
 * hole of that size, and the entries after it are empty. It gets one large
 * destination. Where there is none it gets single pages, which core mm takes
 * as the wish to split the folio.
 */
#ifndef DMIRROR_PLAN_H
#define DMIRROR_PLAN_H

#include <linux/types.h>

struct dmirror_devmem;
struct dmirror_resv;
struct vm_area_struct;

/**
 * struct dmirror_plan - what a plan is made for
 * @devmem: the device's memory: where pages go, or whose pages come back
 * @resv: device pages set aside, on the way to the device
 * @flags: DMIRROR_MIRROR_* bits of the mirror that asked, or NULL
 * @vma: whose memory policy counts on the way home, or NULL
 * @start: address of the first page in @vma
 * @holes_writable: whether a page that did not exist may be written to
 * @can_split: core mm can split a large folio on its way: it has a VMA
 * @fault: for a CPU fault, which holds a reference of its own: core mm then
 *	only maps the folio by pages, for which one destination is enough
 */
struct dmirror_plan {
	const struct dmirror_devmem *devmem;
	struct dmirror_resv *resv;
	unsigned long *flags;
	struct vm_area_struct *vma;
	unsigned long start;
	bool holes_writable;
	bool can_split;
	bool fault;
};

/**
 * dmirror_plan_entry_pages - how many pages an entry stands for
 * @plan: what for
 * @src: the entry
 * @nr: number of entries from it on
 *
 * Context: any; the source folio is locked.
 * Return: 1, or the size of the large folio or hole, but not more than @nr.
 */
unsigned long dmirror_plan_entry_pages(const struct dmirror_plan *plan,
				       const unsigned long *src,
				       unsigned long nr);

/**
 * dmirror_plan_wants - has an entry a page that shall move
 * @plan: what for
 * @src: the entry
 *
 * Core mm offers holes also on the way back, where they are of no use.
 *
 * Context: any; the source folio is locked.
 * Return: true if core mm offers it and the plan has a use for it.
 */
bool dmirror_plan_wants(const struct dmirror_plan *plan, unsigned long src);

/**
 * dmirror_plan_to_devmem - choose device pages
 * @plan: what for
 * @src: from migrate_vma_setup()
 * @dst: as long as @src, to be filled
 * @nr: number of entries
 *
 * Context: process context, may sleep; mmap_lock and folio locks held.
 * Return: number of pages with a destination.
 */
unsigned long dmirror_plan_to_devmem(const struct dmirror_plan *plan,
				     const unsigned long *src,
				     unsigned long *dst, unsigned long nr);

/**
 * dmirror_plan_to_ram - choose system pages
 * @plan: what for; only pages of its device memory are planned
 * @src: from migrate_vma_setup() or migrate_device_range()
 * @dst: as long as @src, to be filled
 * @nr: number of entries
 *
 * Context: process context, may sleep; folio locks held.
 * Return: number of pages with a destination.
 */
unsigned long dmirror_plan_to_ram(const struct dmirror_plan *plan,
				  const unsigned long *src, unsigned long *dst,
				  unsigned long nr);

/**
 * dmirror_plan_copy - fill the destinations
 * @plan: what for
 * @src: as planned
 * @dst: from dmirror_plan_to_devmem() or dmirror_plan_to_ram()
 * @nr: number of entries
 *
 * Holes and zero pages become device pages full of zeroes. A page that cannot
 * be read (poisoned memory, DMIRROR_INJECT_COPY) loses its destination, with
 * the whole large folio if it is part of one that moves as such.
 *
 * Context: process context, may sleep; folio locks held.
 */
void dmirror_plan_copy(const struct dmirror_plan *plan,
		       const unsigned long *src, unsigned long *dst,
		       unsigned long nr);

/**
 * dmirror_plan_drop - give all destinations back
 * @dst: as planned; empty on return
 * @nr: number of entries
 *
 * Context: process context, may sleep.
 */
void dmirror_plan_drop(unsigned long *dst, unsigned long nr);

#endif /* DMIRROR_PLAN_H */
