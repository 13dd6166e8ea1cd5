/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A toy device: the least that owns device memory. The suites of this
 * directory hold core mm to its promises with it, so it depends on nothing of
 * the dmirror driver, hides nothing, and lets a case stop between any two
 * steps of a migration.
 *
 * Between toy_collect() and toy_finish() folio locks and mmap_lock are held:
 * note, and check afterwards.
 */
#ifndef CONTRACTS_TOY_H
#define CONTRACTS_TOY_H

#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm_types.h>
#include <linux/spinlock.h>

#include "../fixture.h"
#include "absent.h"

/* Pages of the smallest memory that memremap_pages() takes. */
#define TOY_PAGES ((2UL << 20) >> PAGE_SHIFT)

/**
 * struct toy - a toy device
 * @pagemap: its memory; the owner is the toy itself
 * @res: the addresses of private memory
 * @first_pfn: the first page
 * @nr: number of pages
 * @lock: guards the rest
 * @used: one bit per page that is out
 * @out: number of those
 * @frees: calls of folio_free()
 * @freed_order: order of the folio of the last one
 * @freed_exclusive: pages that were PageAnonExclusive() in folio_free()
 * @freed_mapped: calls of folio_free() with a mapping left in the folio
 * @splits: calls of folio_split()
 * @faults: calls of migrate_to_ram()
 * @on_fault: instead of toy_bring_home(), or NULL
 * @data: what private memory stores, @nr pages
 */
struct toy {
	struct dev_pagemap pagemap;
	struct resource *res;
	unsigned long first_pfn;
	unsigned long nr;
	spinlock_t lock; /* guards the rest */
	unsigned long *used;
	unsigned long out;
	unsigned int frees;
	unsigned int freed_order;
	unsigned long freed_exclusive;
	unsigned int freed_mapped;
	unsigned int splits;
	unsigned int faults;
	vm_fault_t (*on_fault)(struct toy *toy, struct vm_fault *vmf);
	void *data;
};

/**
 * toy_get - make a device with memory
 * @test: the case, at whose end everything has to have come back
 * @type: MEMORY_DEVICE_PRIVATE or MEMORY_DEVICE_COHERENT
 * @nr: number of pages, a multiple of TOY_PAGES
 *
 * Skips the case where the kernel, or its command line, has no such memory. At
 * most two coherent ones at a time.
 *
 * Return: the device.
 */
struct toy *toy_get(struct kunit *test, enum memory_type type,
		    unsigned long nr);

/**
 * toy_put - end a device before the case ends
 * @test: the case
 * @toy: the device; expects that no page of it is out
 */
void toy_put(struct kunit *test, struct toy *toy);

/**
 * toy_alloc - take free device pages as one folio
 * @toy: the device
 * @order: of the folio
 *
 * Context: process context; may be called between toy_collect() and
 * toy_finish().
 * Return: its first page, locked and with one reference; NULL if the device is
 * full.
 */
struct page *toy_alloc(struct toy *toy, unsigned int order);

/**
 * toy_of - whose page is it
 * @page: a device page
 *
 * Return: the device.
 */
struct toy *toy_of(struct page *page);

/**
 * toy_data - where the contents of a page are
 * @page: a device page
 *
 * Return: a kernel address.
 */
void *toy_data(struct page *page);

/**
 * toy_exclusive - how many pages are PageAnonExclusive(), anonymous or not
 * @folio: device memory
 *
 * Return: the number.
 */
static inline unsigned long toy_exclusive(struct folio *folio)
{
	unsigned long i, nr = 0;

	for (i = 0; i < folio_nr_pages(folio); i++)
		nr += test_bit(PG_anon_exclusive,
			       &folio_page(folio, i)->flags.f);

	return nr;
}

/**
 * struct toy_move - a migration, step by step
 * @toy: the device
 * @args: what core mm works on
 * @nr: number of entries of src and dst
 */
struct toy_move {
	struct toy *toy;
	struct migrate_vma args;
	unsigned long nr;
};

/**
 * toy_move_init - prepare a migration of a range of the case's mm
 * @test: the case
 * @move: to be filled in
 * @toy: the device; the owner that is told to core mm
 * @addr: page aligned address
 * @npages: number of pages
 * @flags: MIGRATE_VMA_SELECT_*
 *
 * Asserts that there is memory for src and dst.
 */
void toy_move_init(struct kunit *test, struct toy_move *move, struct toy *toy,
		   unsigned long addr, unsigned long npages,
		   unsigned long flags);

/**
 * toy_collect - migrate_vma_setup()
 * @move: the migration
 *
 * Return: 0, when mmap_lock is held for reading and toy_finish() has to
 * follow; or the errno, when nothing is held.
 */
int toy_collect(struct toy_move *move);

/**
 * toy_choose_device - give every page that can move a device page, and copy
 * @move: the migration
 *
 * A large folio gets a large one.
 *
 * Return: number of entries that got none, because the device is full.
 */
unsigned long toy_choose_device(struct toy_move *move);

/**
 * toy_choose_ram - give every page that can move a system page, and copy
 * @move: the migration
 *
 * Return: number of entries that got none.
 */
unsigned long toy_choose_ram(struct toy_move *move);

/**
 * toy_pages - migrate_vma_pages()
 * @move: the migration
 *
 * Return: number of pages that moved.
 */
unsigned long toy_pages(struct toy_move *move);

/**
 * toy_finish - migrate_vma_finalize(), and let go of mmap_lock
 * @move: the migration
 */
void toy_finish(struct toy_move *move);

/**
 * toy_to_device - a whole migration to the device; all pages have to move
 * @test: the case
 * @toy: the device
 * @addr: page aligned address
 * @npages: number of pages
 */
void toy_to_device(struct kunit *test, struct toy *toy, unsigned long addr,
		   unsigned long npages);

/**
 * toy_to_ram - a whole migration back; all pages have to move
 * @test: the case
 * @toy: the device
 * @addr: page aligned address
 * @npages: number of pages
 */
void toy_to_ram(struct kunit *test, struct toy *toy, unsigned long addr,
		unsigned long npages);

/**
 * toy_evict - bring all pages of a device home, whoever maps them
 * @toy: the device
 *
 * Context: process context, mmap_lock not held.
 * Return: number of pages that are still out.
 */
unsigned long toy_evict(struct toy *toy);

/**
 * toy_bring_home - what a toy does for a CPU fault, unless told otherwise
 * @toy: the device
 * @vmf: the fault
 *
 * What the CPU maps as one large folio comes home as one.
 *
 * Return: as migrate_to_ram().
 */
vm_fault_t toy_bring_home(struct toy *toy, struct vm_fault *vmf);

#endif /* CONTRACTS_TOY_H */
