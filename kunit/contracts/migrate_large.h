/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An area as large as what a PMD maps, with a large folio or a hole in it, for
 * the migrate suites that are about these.
 */
#ifndef CONTRACTS_MIGRATE_LARGE_H
#define CONTRACTS_MIGRATE_LARGE_H

#include <linux/mm.h>
#include <linux/pgtable.h>

#include "migrate_see.h"

/* Pages that a PMD maps. */
#define NR_LARGE BIT(PMD_ORDER)

/* What src[] says of a large hole, and of a large folio. */
#define LARGE_HOLE (MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND)
#define LARGE_PAGE (MIGRATE_PFN_VALID | LARGE_HOLE)
#define LARGE_PAGE_W (LARGE_PAGE | MIGRATE_PFN_WRITE)

/* Bits of an entry, for large_set_bits(). */
#define BIT_WRITE BIT(0)
#define BIT_DIRTY BIT(1)
#define BIT_YOUNG BIT(2)
#define BIT_SOFT_DIRTY BIT(3)
#define LARGE_BITS (BIT_WRITE | BIT_DIRTY | BIT_YOUNG | BIT_SOFT_DIRTY)

/**
 * struct large - an area as large as what a PMD maps
 * @toy: a private device with room for two large folios
 * @addr: aligned; before it there is at least a page that is not mapped
 */
struct large {
	struct toy *toy;
	unsigned long addr;
};

/**
 * large_hole - an area that was never touched, for large pages
 * @test: the case; skips where large folios cannot migrate
 * @prot: PROT_* bits
 *
 * Return: the area.
 */
struct large large_hole(struct kunit *test, unsigned long prot);

/**
 * large_get - a large folio, with a stamp in each of its pages
 * @test: the case; skips where large folios cannot migrate
 * @where: SEEN_RAM or SEEN_PRIVATE
 *
 * Nobody makes a large folio of its pages again.
 *
 * Return: the area that it fills.
 */
struct large large_get(struct kunit *test, enum seen_kind where);

/**
 * large_or_small_get - a large folio or a single page, with its stamps
 * @test: the case; skips where large folios cannot migrate, if it is one
 * @large: which of them
 * @where: SEEN_RAM or SEEN_PRIVATE
 *
 * Return: the area that it fills; large_end() is for large folios only.
 */
struct large large_or_small_get(struct kunit *test, bool large,
				enum seen_kind where);

/**
 * large_end - unmap the area
 * @test: the case
 * @large: the area; expects that its device's memory is free then
 */
void large_end(struct kunit *test, struct large *large);

/**
 * large_advise - madvise()
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages
 * @advice: MADV_*
 *
 * Asserts that it worked.
 */
void large_advise(struct kunit *test, unsigned long addr, unsigned long npages,
		  int advice);

/**
 * large_map_by_ptes - split the PMD that maps the folio, but not the folio
 * @test: the case
 * @large: from large_get()
 */
void large_map_by_ptes(struct kunit *test, struct large *large);

/**
 * large_set_bits - give the entry of an exclusive large folio other bits
 * @addr: aligned address
 * @bits: BIT_*
 */
void large_set_bits(unsigned long addr, unsigned int bits);

/**
 * large_leaf_looks_writable - does pmd_write() take a private entry for what
 * it is not?
 *
 * It may only be asked about entries that are present. Where it says that a
 * read-only private one is writable, remove_migration_pmd() of kernels up to
 * 7.3 warns about such an entry of a page that is shared.
 *
 * Return: true if it does.
 */
bool large_leaf_looks_writable(void);

/**
 * stamp_write - one word per page says which it is
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages
 */
void stamp_write(struct kunit *test, unsigned long addr, unsigned long npages);

/**
 * stamp_check - read the stamps back
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages
 * @written: false: there must be zeroes
 * @step: what was done before, for the message
 */
void stamp_check(struct kunit *test, unsigned long addr, unsigned long npages,
		 bool written, const char *step);

/**
 * expect_small_page - check that a page is small, at rest and mapped once
 * @test: the case
 * @large: the area
 * @i: which page of it
 * @kind: what it has to be
 * @step: what was done before, for the message
 *
 * Return: true if it is.
 */
bool expect_small_page(struct kunit *test, struct large *large,
		       unsigned long i, enum seen_kind kind, const char *step);

/**
 * expect_small - the same of several pages, up to the first that is not
 * @test: the case
 * @large: the area
 * @from: the first page
 * @to: behind the last page
 * @kind: what they have to be
 * @step: what was done before, for the message
 */
void expect_small(struct kunit *test, struct large *large, unsigned long from,
		  unsigned long to, enum seen_kind kind, const char *step);

/**
 * give_small_pages - small destinations for the pages of a large folio or hole
 * @move: the migration of NR_LARGE pages
 * @from: where they are; those that are not on the device go there
 * @gets: does page @i get one? NULL for all
 *
 * Return: false if there was not one for each.
 */
bool give_small_pages(struct toy_move *move, enum seen_kind from,
		      bool (*gets)(unsigned long i));

#endif /* CONTRACTS_MIGRATE_LARGE_H */
