/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Device memory of any type with nothing around it, for the suites about
 * memremap: a case fills in a pagemap, maps it, and takes pages by hand. Unlike
 * a toy device (toy.h) it hides no step and owns no page.
 */
#ifndef CONTRACTS_MEM_H
#define CONTRACTS_MEM_H

#include <linux/memremap.h>
#include <linux/mm.h>

#include "../fixture.h"
#include "absent.h"

/* What memremap_pages() takes is a multiple of this. */
#define MEM_UNIT (2UL << 20)
#define MEM_UNIT_PAGES (MEM_UNIT >> PAGE_SHIFT)

/* Most ranges of one pagemap. */
#define MEM_RANGES 3

/**
 * struct mem_type - a type of device memory
 * @name: of the row
 * @type: the type
 * @initial: reference count of a page that nobody has
 * @takes_pages: a page in use is a reference to the pagemap
 */
struct mem_type {
	const char *name;
	enum memory_type type;
	int initial;
	bool takes_pages;
};

#define MEM_TYPES 5
extern const struct mem_type mem_types[MEM_TYPES];

/**
 * struct mem - a place for device memory, and what happened there
 * @start: first address
 * @size: length in bytes
 * @res: the resource, of private memory
 * @mapped: memremap_pages() has succeeded
 * @frees: calls of folio_free()
 * @freed: folio of the last one
 * @freed_order: its order then
 * @freed_count: its reference count then
 * @freed_mapping: its mapping then
 * @freed_exclusive: how many of its pages were PageAnonExclusive() then
 * @heir: who takes the pages in folio_free(), as a driver may; once only
 * @heir_order: as a folio of this order
 * @pagemap: to be mapped; the owner is the mem itself. Has room for MEM_RANGES
 */
struct mem {
	u64 start;
	u64 size;
	struct resource *res;
	bool mapped;
	unsigned int frees;
	struct folio *freed;
	unsigned int freed_order;
	int freed_count;
	struct address_space *freed_mapping;
	unsigned long freed_exclusive;
	struct mem *heir;
	unsigned int heir_order;
	struct dev_pagemap pagemap;
};

/* All operations that the types want. */
extern const struct dev_pagemap_ops mem_ops;

/**
 * mem_new - find a place, and fill in a pagemap for all of it
 * @test: the case, which gives back the place and unmaps it if it is mapped
 * @type: of the memory
 * @units: number of MEM_UNIT
 *
 * Skips the case where the kernel, or its command line, has no such memory. At
 * most two places at a time that are not for private memory, or a single one
 * that is larger than a dmirror_coherent_region().
 *
 * Return: the memory, which is not mapped.
 */
struct mem *mem_new(struct kunit *test, enum memory_type type,
		    unsigned int units);

/**
 * mem_fill_in - fill in a pagemap that is not mapped as mem_new() does
 * @mem: the memory
 * @type: of the memory
 */
void mem_fill_in(struct mem *mem, enum memory_type type);

/**
 * mem_add - memremap_pages()
 * @mem: the memory
 *
 * Return: 0 or the errno.
 */
int mem_add(struct mem *mem);

/**
 * mem_del - memunmap_pages(), which waits for pages and references
 * @mem: the memory
 */
void mem_del(struct mem *mem);

/**
 * mem_get - mem_new() and mem_add()
 * @test: the case
 * @type: of the memory
 * @units: number of MEM_UNIT
 *
 * Asserts that it worked.
 *
 * Return: the memory, which is mapped.
 */
struct mem *mem_get(struct kunit *test, enum memory_type type,
		    unsigned int units);

/**
 * mem_range - a part of the place
 * @mem: the memory
 * @from: first unit
 * @units: number of MEM_UNIT
 *
 * Return: physical addresses.
 */
struct range mem_range(const struct mem *mem, unsigned int from,
		       unsigned int units);

/**
 * mem_pfn - a page frame number of the place
 * @mem: the memory
 * @at: number of pages before it
 *
 * Return: the number.
 */
unsigned long mem_pfn(const struct mem *mem, unsigned long at);

/**
 * mem_page - a page of memory that is mapped
 * @mem: the memory
 * @at: number of pages before it
 *
 * Return: the page.
 */
struct page *mem_page(const struct mem *mem, unsigned long at);

/**
 * mem_refs - count the references to a pagemap
 * @mem: memory that is mapped, of which nobody else takes pages meanwhile
 *
 * Return: their number, without that of the mapping itself: pages in use, and
 * get_dev_pagemap().
 */
long mem_refs(struct mem *mem);

/**
 * mem_refs_repair - make the number right, so that the memory can be removed
 * @mem: the memory
 * @by: how many are to be added
 */
void mem_refs_repair(struct mem *mem, long by);

/**
 * mem_owner - whose pages are here, as far as core mm knows
 * @mem: the memory
 * @at: number of pages before it
 *
 * Return: the pagemap, for comparison only; NULL if there is none that lives.
 */
struct dev_pagemap *mem_owner(const struct mem *mem, unsigned long at);

/**
 * mem_expect_once - a WARN_ON_ONCE() or WARN_ONCE() that was suppressed
 * @test: the case
 * @warnings: KUNIT_SUPPRESSED_WARNING_COUNT()
 * @step: what was done, for the message
 *
 * One that is suppressed does not use up the once, but on an architecture
 * without a table of its warnings, such as User Mode Linux.
 */
static inline void mem_expect_once(struct kunit *test, int warnings,
				   const char *step)
{
	if (!warnings && IS_ENABLED(CONFIG_UML))
		return;
	KUNIT_EXPECT_EQ_MSG(test, warnings, 1, "warnings about %s", step);
}

#endif /* CONTRACTS_MEM_H */
