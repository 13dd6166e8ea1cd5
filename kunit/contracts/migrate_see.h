/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the migrate suites look at: the page table entry and the folio at an
 * address, the counters of an mm, and what core mm wrote into src[] after each
 * step of a migration. All of it is noted first and checked later, because
 * most of it can only be seen while locks are held.
 */
#ifndef CONTRACTS_MIGRATE_SEE_H
#define CONTRACTS_MIGRATE_SEE_H

#include "toy.h"

/**
 * enum seen_kind - what a page table entry is
 * @SEEN_NOTHING: none
 * @SEEN_ZERO: the zero page, or the huge one
 * @SEEN_RAM: a page of system memory
 * @SEEN_PRIVATE: a device-private page
 * @SEEN_COHERENT: a device-coherent page
 * @SEEN_MIGRATION: a migration entry
 * @SEEN_OTHER: anything else
 */
enum seen_kind {
	SEEN_NOTHING,
	SEEN_ZERO,
	SEEN_RAM,
	SEEN_PRIVATE,
	SEEN_COHERENT,
	SEEN_MIGRATION,
	SEEN_OTHER,
};

/**
 * struct seen - what is at an address of an mm
 * @kind: of the entry; the rest is 0 for SEEN_NOTHING, SEEN_ZERO, SEEN_OTHER
 * @huge: the entry is a PMD
 * @pfn: the page
 * @write: the entry allows to write
 * @dirty: of the entry
 * @young: of the entry
 * @soft_dirty: of the entry
 * @exclusive: PageAnonExclusive()
 * @folio_dirty: folio_test_dirty()
 * @anon: folio_test_anon()
 * @active: folio_test_active()
 * @mlocked: folio_test_mlocked()
 * @locked: folio_test_locked()
 * @order: of the folio
 * @refs: references to the folio
 * @maps: mappings of the folio
 * @lru: the folio is on the LRU
 */
struct seen {
	enum seen_kind kind;
	unsigned long pfn;
	bool huge;
	bool write;
	bool dirty;
	bool young;
	bool soft_dirty;
	bool exclusive;
	bool folio_dirty;
	bool anon;
	bool active;
	bool mlocked;
	bool locked;
	bool lru;
	unsigned int order;
	int refs;
	int maps;
};

/**
 * migrate_see - look at an address
 * @mm: nobody else changes it, or mmap_lock is held
 * @addr: page aligned address
 *
 * Return: what is there. Of a page that waits for the LRU, @refs and @lru are
 * those of the moment: migrate_see_settled() waits until it is there.
 */
struct seen migrate_see(struct mm_struct *mm, unsigned long addr);

/**
 * migrate_see_settled - look at an address of current->mm, at rest
 * @addr: page aligned address
 *
 * Context: process context, may sleep; no folio locked.
 * Return: what is there.
 */
struct seen migrate_see_settled(unsigned long addr);

/**
 * migrate_keeps_dirty_and_young - do migration entries have room for these?
 *
 * Return: false, also in a module, if they are lost.
 */
bool migrate_keeps_dirty_and_young(void);

/**
 * migrate_seen_back - what a page has to be after a migration that failed
 * @before: what it was
 *
 * Return: the same but for what a migration may change.
 */
struct seen migrate_seen_back(const struct seen *before);

/**
 * migrate_expect_seen - check what was at an address
 * @test: the case
 * @addr: the address, for the message
 * @got: what was there
 * @want: what had to be; a @pfn of 0 stands for any page
 * @step: what was done before, for the message
 *
 * Return: true if it is as it has to be.
 */
bool migrate_expect_seen(struct kunit *test, unsigned long addr,
			 const struct seen *got, const struct seen *want,
			 const char *step);

/**
 * migrate_expect_still - what is at an address has to be what was there
 * @test: the case
 * @addr: page aligned address of current->mm
 * @before: what migrate_see_settled() had seen
 * @step: what was done since, for the message
 *
 * Return: true if it is.
 */
bool migrate_expect_still(struct kunit *test, unsigned long addr,
			  const struct seen *before, const char *step);

/**
 * struct books - what an mm and a device have been charged with
 * @anon: MM_ANONPAGES
 * @file: MM_FILEPAGES
 * @shmem: MM_SHMEMPAGES
 * @swap: MM_SWAPENTS
 * @tables: bytes of page tables
 */
struct books {
	unsigned long anon;
	unsigned long file;
	unsigned long shmem;
	unsigned long swap;
	unsigned long tables;
};

/**
 * migrate_books - note the counters of an mm
 * @mm: the mm
 *
 * Return: exact values.
 */
struct books migrate_books(struct mm_struct *mm);

/**
 * migrate_expect_books - check the counters of current->mm
 * @test: the case
 * @want: what they have to be
 * @step: what was done before, for the message
 */
void migrate_expect_books(struct kunit *test, const struct books *want,
			  const char *step);

/**
 * struct attempt - a migration of which every step is noted
 * @move: the migration
 * @setup: src[] after migrate_vma_setup()
 * @pages: src[] after migrate_vma_pages()
 * @cpages: what migrate_vma_setup() said
 * @npages: what migrate_vma_setup() said
 * @end: what migrate_vma_setup() said
 * @unbalanced: other locks are held after it than before, or RCU, or a
 *	preemption count
 */
struct attempt {
	struct toy_move move;
	unsigned long *setup;
	unsigned long *pages;
	unsigned long cpages;
	unsigned long npages;
	unsigned long end;
	bool unbalanced;
};

/**
 * attempt_init - prepare a migration
 * @test: the case
 * @attempt: to be filled in
 * @toy: the device; the owner that is told to core mm
 * @addr: page aligned address
 * @npages: number of pages
 * @flags: MIGRATE_VMA_SELECT_*
 *
 * Asserts that there is memory. Everything that migrate_vma_setup() has to
 * write is filled with something else first.
 */
void attempt_init(struct kunit *test, struct attempt *attempt, struct toy *toy,
		  unsigned long addr, unsigned long npages,
		  unsigned long flags);

/**
 * attempt_collect - toy_collect(), noted
 * @attempt: the migration
 *
 * Return: as toy_collect().
 */
int attempt_collect(struct attempt *attempt);

/**
 * attempt_pages - migrate_vma_pages(), noted
 * @attempt: the migration
 */
void attempt_pages(struct attempt *attempt);

/**
 * attempt_abort - a migration for which there is no memory at all
 * @attempt: from attempt_init()
 *
 * Return: as toy_collect(); nothing is held on return.
 */
int attempt_abort(struct attempt *attempt);

/**
 * enum failure - how a migration comes to nothing
 * @FAIL_HELD: somebody else has a reference
 * @FAIL_NO_PAGES: migrate_vma_pages() is not called
 * @FAIL_NO_DST: no page has a destination
 * @FAIL_DST_FREED: the first one had, and has none any more
 * @FAIL_LATE_REFERENCE: somebody takes a reference after migrate_vma_setup()
 */
enum failure {
	FAIL_HELD,
	FAIL_NO_PAGES,
	FAIL_NO_DST,
	FAIL_DST_FREED,
	FAIL_LATE_REFERENCE,
};

/**
 * attempt_choose - give all that can move a destination, and copy
 * @move: the migration
 * @from: where the pages are: those of RAM go to the device, others to RAM
 */
void attempt_choose(struct toy_move *move, enum seen_kind from);

/**
 * attempt_carry_out - a migration from the beginning to its end
 * @attempt: from attempt_init()
 * @from: as for attempt_choose()
 *
 * Return: as toy_collect(); nothing is held on return.
 */
int attempt_carry_out(struct attempt *attempt, enum seen_kind from);

/**
 * attempt_drop - let go of a destination
 * @move: the migration
 * @i: which entry
 */
void attempt_drop(struct toy_move *move, unsigned long i);

/**
 * attempt_fail - a migration that comes to nothing
 * @attempt: from attempt_init()
 * @failure: why
 * @seen: its first page
 *
 * Return: as toy_collect(); nothing is held on return.
 */
int attempt_fail(struct attempt *attempt, enum failure failure,
		 const struct seen *seen);

/**
 * attempt_expect_balance - check that nothing is held that was not before
 * @test: the case
 * @attempt: a migration that was carried out, aborted or has failed
 * @step: what it was, for the message
 */
void attempt_expect_balance(struct kunit *test, const struct attempt *attempt,
			    const char *step);

/**
 * attempt_expect_src - check one entry of src[]
 * @test: the case
 * @attempt: the migration
 * @src: @attempt->setup or @attempt->pages
 * @i: which entry
 * @want: what it has to be
 * @step: which step wrote it, for the message
 */
void attempt_expect_src(struct kunit *test, const struct attempt *attempt,
			const unsigned long *src, unsigned long i,
			unsigned long want, const char *step);

/**
 * struct device_kind - a kind of device memory, as a parameter of cases
 * @name: in the case's name
 * @type: for toy_get()
 * @select: MIGRATE_VMA_SELECT_*
 * @seen: what its pages are for migrate_see()
 */
struct device_kind {
	const char *name;
	enum memory_type type;
	unsigned long select;
	enum seen_kind seen;
};

extern const struct device_kind device_kinds[2];

/**
 * migrate_suite_requires - skip a case where it cannot run
 * @test: the case
 *
 * A settled LRU, mprotect() and such are not for modules.
 */
static inline void migrate_suite_requires(struct kunit *test)
{
	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
}

#endif /* CONTRACTS_MIGRATE_SEE_H */
