// SPDX-License-Identifier: GPL-2.0
/*
 * What does not migrate goes back exactly as it was, and what does leaves
 * nothing behind: migrate_device_unmap(), migrate_vma_pages() and
 * migrate_vma_finalize() of mm/migrate_device.c, and steps 2 to 6 of
 * Documentation/mm/hmm.rst, at every step at which a driver may stop.
 */
/* In this order: Linux 7.2 needs it. */
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/leafops.h>
#include <linux/swapops.h>

#include <linux/mman.h>
#include <linux/pgtable.h>
#include <asm/tlbflush.h>

#include "../user.h"
#include "migrate_see.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM

KUNIT_ARRAY_PARAM_DESC(kind, device_kinds, name);

/* Bits of a page table entry that a migration has to keep. */
#define BIT_WRITE BIT(0)
#define BIT_DIRTY BIT(1)
#define BIT_YOUNG BIT(2)
#define BIT_SOFT BIT(3)

#ifndef MODULE

static pte_t pte_of_bits(pte_t pte, struct vm_area_struct *vma,
			 unsigned int bits)
{
	pte = bits & BIT_WRITE ? pte_mkwrite(pte, vma) : pte_wrprotect(pte);
	pte = bits & BIT_DIRTY ? pte_mkdirty(pte) : pte_mkclean(pte);
	pte = bits & BIT_YOUNG ? pte_mkyoung(pte) : pte_mkold(pte);

	/* Making it dirty made it soft-dirty as well. */
	return bits & BIT_SOFT ? pte_mksoft_dirty(pte) :
				 pte_clear_soft_dirty(pte);
}

/* Private pages have a bit for writing and, somewhere else, soft-dirty. */
static pte_t leaf_of_bits(pte_t pte, unsigned int bits)
{
	unsigned long offset = softleaf_to_pfn(softleaf_from_pte(pte));

	pte = swp_entry_to_pte(bits & BIT_WRITE ?
			       make_writable_device_private_entry(offset) :
			       make_readable_device_private_entry(offset));

	return bits & BIT_SOFT ? pte_swp_mksoft_dirty(pte) : pte;
}

/* Give the entry of an exclusive page other bits. */
static void set_bits(unsigned long addr, unsigned int bits)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	spinlock_t *ptl; /* of the table that has the entry */
	pmd_t *pmd;
	pte_t *ptep, pte;

	mmap_write_lock(mm);
	vma = vma_lookup(mm, addr);
	pmd = pmd_offset(pud_offset(p4d_offset(pgd_offset(mm, addr), addr),
				    addr), addr);
	ptl = pte_lockptr(mm, pmd);
	spin_lock(ptl);
	ptep = pte_offset_kernel(pmd, addr);
	pte = ptep_get(ptep);
	if (pte_present(pte)) {
		pte = ptep_get_and_clear(mm, addr, ptep);
		pte = pte_of_bits(pte, vma, bits);
	} else {
		pte = leaf_of_bits(pte, bits);
	}
	set_pte_at(mm, addr, ptep, pte);
	flush_tlb_page(vma, addr);
	spin_unlock(ptl);
	mmap_write_unlock(mm);
}

#else /* MODULE */

/* The cases skip before they get here. */
static void set_bits(unsigned long addr, unsigned int bits)
{
}

#endif /* MODULE */

/**
 * struct restore - a page that comes back, and why
 * @name: in the case's name
 * @where: kind of the page
 * @failure: why
 */
struct restore {
	const char *name;
	enum seen_kind where;
	enum failure failure;
};

static const struct restore restores[] = {
	/* "Pinned pages are restored because we cannot migrate them" */
	{ "held_ram", SEEN_RAM, FAIL_HELD },
	{ "held_private", SEEN_PRIVATE, FAIL_HELD },
	{ "held_coherent", SEEN_COHERENT, FAIL_HELD },
	/* finalize is due after setup, pages is not */
	{ "no_pages_ram", SEEN_RAM, FAIL_NO_PAGES },
	{ "no_pages_private", SEEN_PRIVATE, FAIL_NO_PAGES },
	{ "no_pages_coherent", SEEN_COHERENT, FAIL_NO_PAGES },
	/* "can also choose to skip migrating a page by not filling in dst" */
	{ "no_dst_ram", SEEN_RAM, FAIL_NO_DST },
	{ "no_dst_private", SEEN_PRIVATE, FAIL_NO_DST },
	{ "no_dst_coherent", SEEN_COHERENT, FAIL_NO_DST },
	/* it may also change its mind */
	{ "dst_freed_ram", SEEN_RAM, FAIL_DST_FREED },
	{ "dst_freed_private", SEEN_PRIVATE, FAIL_DST_FREED },
	{ "dst_freed_coherent", SEEN_COHERENT, FAIL_DST_FREED },
	/* "if it fails to migrate the struct page information [...]" */
	{ "late_reference_ram", SEEN_RAM, FAIL_LATE_REFERENCE },
	{ "late_reference_private", SEEN_PRIVATE, FAIL_LATE_REFERENCE },
	{ "late_reference_coherent", SEEN_COHERENT, FAIL_LATE_REFERENCE },
};

KUNIT_ARRAY_PARAM_DESC(restore, restores, name);

/**
 * struct subject - pages that a migration is tried on
 * @toy: the device
 * @addr: where they are mapped
 * @select: MIGRATE_VMA_SELECT_* for pages of their kind
 * @where: their kind
 */
struct subject {
	struct toy *toy;
	unsigned long addr;
	unsigned long select;
	enum seen_kind where;
};

/* @npages pages of pattern 1; those of RAM can go to a private device. */
static struct subject subject_get(struct kunit *test, enum seen_kind where,
				  unsigned long npages)
{
	bool coherent = where == SEEN_COHERENT;
	struct subject subject = {
		.where = where,
		.select = where == SEEN_RAM ? SYSTEM :
			  device_kinds[coherent].select,
	};

	migrate_suite_requires(test);
	subject.toy = toy_get(test, device_kinds[coherent].type, TOY_PAGES);
	subject.addr = dmirror_user_map(test, npages, RW);
	dmirror_user_fill(test, subject.addr, npages, 1);
	if (where != SEEN_RAM)
		toy_to_device(test, subject.toy, subject.addr, npages);

	return subject;
}

/* A destination for all that can move: away from where it is. */
static void choose(struct subject *subject, struct toy_move *move)
{
	attempt_choose(move, subject->where);
}

/* All entries that a page of the kind can have, and every way to fail. */
static void entry_comes_back_as_it_was(struct kunit *test)
{
	const struct restore *restore = test->param_value;
	struct subject subject = subject_get(test, restore->where, 1);
	bool is_private = restore->where == SEEN_PRIVATE;
	struct books books = migrate_books(current->mm);
	unsigned long out = subject.toy->out;
	struct seen before, want;
	struct attempt attempt;
	unsigned int bits;
	char step[64];

	for (bits = 0; bits < 16; bits++) {
		if (is_private && bits & (BIT_DIRTY | BIT_YOUNG))
			continue;
		scnprintf(step, sizeof(step), "entry%s%s%s%s",
			  bits & BIT_WRITE ? " write" : "",
			  bits & BIT_DIRTY ? " dirty" : "",
			  bits & BIT_YOUNG ? " young" : "",
			  bits & BIT_SOFT ? " soft-dirty" : "");
		set_bits(subject.addr, bits);
		before = migrate_see_settled(subject.addr);
		want = migrate_seen_back(&before);
		attempt_init(test, &attempt, subject.toy, subject.addr, 1,
			     subject.select);
		DMIRROR_EXPECT_ERRNO(test,
				     attempt_fail(&attempt, restore->failure,
						  &before),
				     0, step);
		attempt_expect_balance(test, &attempt, step);
		if (!migrate_expect_still(test, subject.addr, &want, step))
			break;
		KUNIT_EXPECT_EQ_MSG(test, subject.toy->out, out,
				    "device pages in use, %s", step);
	}
	migrate_expect_books(test, &books, "after all of them");
	/* Where the bits are lost, so is the permission that was taken away. */
	set_bits(subject.addr, BIT_WRITE | BIT_YOUNG | BIT_DIRTY);
	dmirror_user_check(test, subject.addr, 1, 1, "after all of them");
}

/*
 * fd35ca3d12cc ("mm/migrate_device.c: copy pte dirty bit to page"): a dirty
 * page stays dirty, wherever it goes. B1.
 */
static void moved_page_keeps_what_the_entry_said(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct subject subject = subject_get(test, SEEN_RAM, 1);
	bool is_private = kind->type == MEMORY_DEVICE_PRIVATE;
	struct seen before, want, got;
	struct toy *toy = subject.toy;
	unsigned int bits, done = 0;

	if (!is_private)
		toy = toy_get(test, kind->type, TOY_PAGES);
	for (bits = 0; bits < 16; bits++) {
		dmirror_user_unmap(test, subject.addr, 1);
		dmirror_user_map_over(test, subject.addr, 1, RW);
		dmirror_user_fill(test, subject.addr, 1, 1);
		set_bits(subject.addr, bits);
		before = migrate_see_settled(subject.addr);
		want = migrate_seen_back(&before);
		want.kind = kind->seen;
		want.pfn = 0;
		want.lru = false;
		want.dirty &= !is_private;
		want.young &= !is_private;
		toy_to_device(test, toy, subject.addr, 1);
		got = migrate_see_settled(subject.addr);
		if (!migrate_expect_seen(test, subject.addr, &got, &want,
					 "on the device"))
			break;
		done++;
	}
	KUNIT_EXPECT_EQ_MSG(test, done, 16U, "entries tried");
	set_bits(subject.addr, BIT_WRITE | BIT_YOUNG | BIT_DIRTY);
}

/* Four pages; of which those have a destination is a subset. */
#define NR 4UL

/* One migration of a subset. Its pages of a device are let go afterwards. */
static void move_subset(struct kunit *test, struct subject *subject,
			unsigned int subset)
{
	struct seen before[NR], after;
	struct attempt attempt;
	unsigned long i;

	for (i = 0; i < NR; i++)
		before[i] = migrate_see_settled(subject->addr + i * PAGE_SIZE);
	attempt_init(test, &attempt, subject->toy, subject->addr, NR,
		     subject->select);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	choose(subject, &attempt.move);
	for (i = 0; i < NR; i++)
		if (!(subset & BIT(i)))
			attempt_drop(&attempt.move, i);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	KUNIT_EXPECT_EQ_MSG(test, attempt.cpages, NR, "cpages");

	for (i = 0; i < NR; i++) {
		unsigned long addr = subject->addr + i * PAGE_SIZE;
		unsigned long src = migrate_pfn(before[i].pfn) |
				    MIGRATE_PFN_WRITE | MIGRATE_PFN_MIGRATE;

		attempt_expect_src(test, &attempt, attempt.setup, i, src,
				   "after setup");
		if (!(subset & BIT(i)))
			src &= ~MIGRATE_PFN_MIGRATE;
		attempt_expect_src(test, &attempt, attempt.pages, i, src,
				   "after pages");
		after = migrate_see_settled(addr);
		KUNIT_EXPECT_EQ_MSG(test, after.pfn != before[i].pfn,
				    !!(subset & BIT(i)),
				    "page %lu of subset 0x%x moved", i, subset);
		before[i].folio_dirty = true;
		if (!(subset & BIT(i)))
			migrate_expect_seen(test, addr, &after, &before[i],
					    "not of the subset");
	}
	dmirror_user_check(test, subject->addr, NR, 1, "after a subset moved");
}

static const struct restore homes[] = {
	{ "from_ram", SEEN_RAM },
	{ "from_private", SEEN_PRIVATE },
	{ "from_coherent", SEEN_COHERENT },
};

KUNIT_ARRAY_PARAM_DESC(home, homes, name);

/* Every subset of a range may have a destination, the others stay. */
static void any_subset_moves(struct kunit *test)
{
	const struct restore *home = test->param_value;
	struct subject subject = subject_get(test, home->where, NR);
	struct books books = migrate_books(current->mm);
	unsigned int subset;

	for (subset = 0; subset < 1 << NR; subset++) {
		move_subset(test, &subject, subset);
		migrate_expect_books(test, &books, "after a subset moved");
		/* Back to where they were, by the CPU or by an eviction. */
		KUNIT_EXPECT_EQ(test, toy_evict(subject.toy), 0UL);
		if (home->where != SEEN_RAM)
			toy_to_device(test, subject.toy, subject.addr, NR);
	}
}

/*
 * 41cddf83d8b0 ("mm/migrate_device: don't add folio to be freed to LRU in
 * migrate_device_finalize()"): the source is free. The moved page is unlocked,
 * has one reference and one mapping, and is on the LRU if it is the system's.
 * B14.
 */
static void source_is_freed_and_not_put_on_the_lru(struct kunit *test)
{
	const struct restore *home = test->param_value;
	struct subject subject = subject_get(test, home->where, 1);
	struct seen before = migrate_see_settled(subject.addr), after, want;
	struct folio *src = page_folio(pfn_to_page(before.pfn));
	struct attempt attempt;
	bool lru, locked;
	int refs, maps;

	attempt_init(test, &attempt, subject.toy, subject.addr, 1,
		     subject.select);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	choose(&subject, &attempt.move);
	attempt_pages(&attempt);
	/* Late enough to be no reason to fail. */
	folio_get(src);
	toy_finish(&attempt.move);
	after = migrate_see_settled(subject.addr);
	lru = folio_test_lru(src);
	locked = folio_test_locked(src);
	refs = folio_ref_count(src);
	maps = folio_mapcount(src);
	folio_put(src);

	KUNIT_EXPECT_FALSE_MSG(test, lru, "the source is on the LRU");
	KUNIT_EXPECT_FALSE_MSG(test, locked, "the source is locked");
	KUNIT_EXPECT_EQ_MSG(test, refs, 1, "references to the source");
	KUNIT_EXPECT_EQ_MSG(test, maps, 0, "mappings of the source");
	want = before;
	want.pfn = 0;
	want.kind = home->where == SEEN_RAM ? SEEN_PRIVATE : SEEN_RAM;
	want.lru = want.kind == SEEN_RAM;
	want.folio_dirty = true;
	want.dirty = after.dirty;
	want.young = after.young;
	migrate_expect_seen(test, subject.addr, &after, &want,
			    "after it moved");
	KUNIT_EXPECT_EQ_MSG(test, subject.toy->out,
			    home->where == SEEN_RAM ? 1UL : 0UL,
			    "device pages in use");
}

/* What the LRU knows of a page goes with it. */
static void active_page_stays_active(struct kunit *test)
{
	struct subject subject = subject_get(test, SEEN_RAM, 1);
	struct seen seen = migrate_see_settled(subject.addr);
	struct folio *folio = page_folio(pfn_to_page(seen.pfn));

	while (!folio_test_active(folio) && seen.refs++ < 8) {
		folio_mark_accessed(folio);
		user_lru_drain();
	}
	seen = migrate_see_settled(subject.addr);
	KUNIT_ASSERT_TRUE_MSG(test, seen.active, "before");
	toy_to_device(test, subject.toy, subject.addr, 1);
	KUNIT_EXPECT_TRUE(test, migrate_see_settled(subject.addr).active);
	toy_to_ram(test, subject.toy, subject.addr, 1);
	KUNIT_EXPECT_TRUE(test, migrate_see_settled(subject.addr).active);
}

/* mlock() is of the mapping: no page of it is forgotten, nor counted twice. */
static void locked_memory_stays_locked(struct kunit *test)
{
	unsigned long addr, mlocked;
	struct toy *toy;
	struct seen seen;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = vm_mmap(NULL, 0, PAGE_SIZE, RW,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	user_lru_drain();
	mlocked = global_zone_page_state(NR_MLOCK);
	dmirror_user_fill(test, addr, 1, 1);
	seen = migrate_see_settled(addr);
	KUNIT_ASSERT_TRUE_MSG(test, seen.mlocked, "before");
	toy_to_device(test, toy, addr, 1);
	toy_to_ram(test, toy, addr, 1);
	seen = migrate_see_settled(addr);
	KUNIT_EXPECT_TRUE_MSG(test, seen.mlocked, "after it came home");
	KUNIT_EXPECT_EQ(test, global_zone_page_state(NR_MLOCK), mlocked);
	dmirror_user_check(test, addr, 1, 1, "after it came home");
}

static void expect_clean(struct kunit *test, unsigned long addr,
			 enum seen_kind where, const char *step)
{
	unsigned long i;

	for (i = 0; i < NR; i++) {
		struct seen seen = migrate_see_settled(addr + i * PAGE_SIZE);

		KUNIT_EXPECT_EQ_MSG(test, seen.kind, where, "page %lu %s", i,
				    step);
		KUNIT_EXPECT_FALSE_MSG(test, seen.folio_dirty,
				       "page %lu is dirty %s", i, step);
		KUNIT_EXPECT_FALSE_MSG(test, seen.dirty,
				       "entry of page %lu is dirty %s", i,
				       step);
	}
}

/*
 * 63867c82d0c0 ("mm: migrate_device: fix pte_pfn/pte_dirty called on non-present
 * PTE"): a clean page of a device has nothing that could make one dirty, neither
 * on its way home nor if it does not get there. Several pages: it is a bit of
 * their page frame number that was taken for another. B4.
 */
static void clean_device_page_comes_home_clean(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct attempt attempt;
	unsigned long addr, i;
	struct toy *toy;

	migrate_suite_requires(test);
	toy = toy_get(test, kind->type, TOY_PAGES);
	addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, addr, NR, 1);
	toy_to_device(test, toy, addr, NR);
	for (i = 0; i < NR; i++) {
		struct seen seen;

		set_bits(addr + i * PAGE_SIZE, BIT_WRITE);
		seen = migrate_see_settled(addr + i * PAGE_SIZE);
		ClearPageDirty(pfn_to_page(seen.pfn));
	}
	expect_clean(test, addr, kind->seen, "before");

	attempt_init(test, &attempt, toy, addr, NR, kind->select);
	DMIRROR_ASSERT_OK(test, attempt_abort(&attempt), "collect");
	expect_clean(test, addr, kind->seen,
		     "after a migration that did nothing");

	attempt_init(test, &attempt, toy, addr, NR, kind->select);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	attempt_choose(&attempt.move, kind->seen);
	/* The toy makes them dirty, as drivers should: then nothing is seen. */
	for (i = 0; i < NR; i++) {
		struct page *page =
			migrate_pfn_to_page(attempt.move.args.dst[i]);

		if (page)
			ClearPageDirty(page);
	}
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	expect_clean(test, addr, SEEN_RAM, "at home");
	dmirror_user_check(test, addr, NR, 1, "at home");
}

/*
 * "Isolate pages from the LRU": what somebody else has isolated stays, and his
 * it is; the page beside it goes.
 */
static void page_off_the_lru_stays(struct kunit *test)
{
	struct attempt attempt;
	struct seen before[2], off, want;
	struct folio *folio;
	unsigned long addr;
	struct toy *toy;
	int ret;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 2, RW);
	dmirror_user_fill(test, addr, 2, 1);
	before[0] = migrate_see_settled(addr);
	before[1] = migrate_see_settled(addr + PAGE_SIZE);
	folio = page_folio(pfn_to_page(before[0].pfn));
	KUNIT_ASSERT_TRUE_MSG(test, before[0].lru, "0x%lx before", addr);
	attempt_init(test, &attempt, toy, addr, 2, SYSTEM);

	folio_clear_lru(folio);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	off = migrate_see(current->mm, addr);
	folio_set_lru(folio);

	DMIRROR_ASSERT_OK(test, ret, "collect");
	attempt_expect_balance(test, &attempt, "with a page off the LRU");
	KUNIT_EXPECT_EQ_MSG(test, attempt.cpages, 1UL, "pages collected");
	attempt_expect_src(test, &attempt, attempt.setup, 0, 0, "after setup");
	attempt_expect_src(test, &attempt, attempt.setup, 1,
			   migrate_pfn(before[1].pfn) | MIGRATE_PFN_MIGRATE |
			   MIGRATE_PFN_WRITE, "after setup");
	want = migrate_seen_back(&before[0]);
	want.lru = false;
	migrate_expect_seen(test, addr, &off, &want, "off the LRU");
	want.lru = true;
	migrate_expect_still(test, addr, &want, "on the LRU again");
	KUNIT_EXPECT_EQ_MSG(test,
			    migrate_see(current->mm, addr + PAGE_SIZE).kind,
			    SEEN_PRIVATE, "0x%lx, beside it", addr + PAGE_SIZE);
	dmirror_user_check(test, addr, 2, 1, "at the end");
}

static struct kunit_case migrate_unmap_cases[] = {
	KUNIT_CASE_PARAM(entry_comes_back_as_it_was, restore_gen_params),
	KUNIT_CASE_PARAM(moved_page_keeps_what_the_entry_said, kind_gen_params),
	KUNIT_CASE_PARAM(any_subset_moves, home_gen_params),
	KUNIT_CASE_PARAM(source_is_freed_and_not_put_on_the_lru,
			 home_gen_params),
	KUNIT_CASE(page_off_the_lru_stays),
	KUNIT_CASE(active_page_stays_active),
	KUNIT_CASE(locked_memory_stays_locked),
	KUNIT_CASE_PARAM(clean_device_page_comes_home_clean, kind_gen_params),
	{}
};

DMIRROR_SUITE_AS(migrate_unmap, dmirror_case_init_mm, migrate_unmap_cases);
