// SPDX-License-Identifier: GPL-2.0
/*
 * Entries that map a page although they are not present, device-exclusive and
 * device-private ones: what mm/rmap.c does with them, and where
 * page_vma_mapped_walk() of mm/page_vma_mapped.c finds them. They are counted
 * as mappings, become migration entries and come back, and are found for their
 * own folio, everywhere it is, and for no other.
 */
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/uaccess.h>

#include "../user.h"
#include "core_mm.h"
#include "migrate_large.h"

#define RW (PROT_READ | PROT_WRITE)

#define PRIVATE MIGRATE_VMA_SELECT_DEVICE_PRIVATE
#define COMPOUND MIGRATE_VMA_SELECT_COMPOUND

/* Which page of a large folio becomes exclusive. */
#define AT 5UL

/**
 * struct size - of the folios of a case
 * @name: in the case's name
 * @large: what a PMD maps, or else a page
 */
struct size {
	const char *name;
	bool large;
};

static const struct size sizes[] = {
	{ "small", false },
	{ "large", true },
};

KUNIT_ARRAY_PARAM_DESC(size, sizes, name);

/* The folio at an address, which is locked then, and has a reference more. */
static struct folio *make_exclusive(struct kunit *test, unsigned long addr)
{
	struct folio *folio = NULL;
	struct page *page;

	mmap_read_lock(current->mm);
	page = make_device_exclusive(current->mm, addr, test, &folio);
	mmap_read_unlock(current->mm);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(page),
			       "make_device_exclusive() of 0x%lx: got %pe",
			       addr, page);

	return folio;
}

static void let_go(struct folio *folio)
{
	folio_unlock(folio);
	folio_put(folio);
}

/**
 * struct stage - what there is of a folio after a step
 * @kind: of the entry that was made exclusive
 * @maps: mappings of the folio
 */
struct stage {
	enum seen_kind kind;
	int maps;
};

static struct stage stage_of(struct folio *folio, unsigned long addr)
{
	return (struct stage){
		.kind = migrate_see(current->mm, addr).kind,
		.maps = folio_mapcount(folio),
	};
}

static void expect_stage(struct kunit *test, unsigned long addr,
			 const struct stage *got, enum seen_kind kind,
			 unsigned long maps, const char *step)
{
	KUNIT_EXPECT_TRUE_MSG(test, got->kind == kind &&
			      got->maps == (int)maps,
			      "0x%lx %s: got entry %d, %d mappings, wanted entry %d, %lu mappings",
			      addr, step, got->kind, got->maps, kind, maps);
}

/* What becomes of a page that was exclusive, and was then migrated nowhere. */
static void expect_restored(struct kunit *test, unsigned long addr,
			    const struct seen *before, unsigned long nr)
{
	struct seen after = migrate_see_settled(addr), want = *before;

	/* "considered "clean" and "old"", and not writable without a fault */
	want.folio_dirty |= before->dirty;
	want.write = false;
	want.dirty = false;
	want.young = false;
	want.huge = false;
	want.exclusive = true;
	want.refs = nr;
	want.maps = nr;
	/* It was looked up. */
	want.active = after.active;
	migrate_expect_seen(test, addr, &after, &want, "when it is back");
}

/*
 * "mm/rmap: handle device-exclusive entries correctly in try_to_migrate_one()"
 * and "mm/page_vma_mapped: device-exclusive entries", of the series that fixes
 * b756a3b5e7ea: B39. Such an entry is a mapping, which can be migrated.
 */
static void exclusive_entry_migrates_like_a_page(struct kunit *test)
{
	const struct size *size = test->param_value;
	unsigned long nr = size->large ? NR_LARGE : 1, addr, at;
	struct stage exclusive, unmapped, back;
	struct seen before;
	struct folio *folio;
	struct books books;

	migrate_suite_requires(test);
	addr = size->large ? large_get(test, SEEN_RAM).addr :
			     dmirror_user_map(test, 1, RW);
	stamp_write(test, addr, nr);
	at = addr + (size->large ? AT * PAGE_SIZE : 0);
	before = migrate_see_settled(at);
	books = migrate_books(current->mm);

	folio = make_exclusive(test, at);
	exclusive = stage_of(folio, at);
	core_unmap_to_migrate(folio);
	unmapped = stage_of(folio, at);
	core_map_again(folio);
	back = stage_of(folio, at);
	let_go(folio);

	expect_stage(test, at, &exclusive, SEEN_OTHER, nr, "when exclusive");
	expect_stage(test, at, &unmapped, SEEN_MIGRATION, 0,
		     "after try_to_migrate()");
	expect_stage(test, at, &back, SEEN_RAM, nr,
		     "after remove_migration_ptes()");
	expect_restored(test, at, &before, nr);
	migrate_expect_books(test, &books, "when it is back");
	stamp_check(test, addr, nr, true, "when it is back");
	KUNIT_EXPECT_EQ_MSG(test, put_user(77U, (u32 __user *)at), 0,
			    "0x%lx: write of the CPU", at);
}

/**
 * struct fate - of a page that may be freed, and was made exclusive
 * @name: in the case's name
 * @dirty: it has been written to since
 */
struct fate {
	const char *name;
	bool dirty;
};

static const struct fate fates[] = {
	{ "clean", false },
	{ "dirty", true },
};

KUNIT_ARRAY_PARAM_DESC(fate, fates, name);

/*
 * "mm/rmap: handle device-exclusive entries correctly in try_to_unmap_one()",
 * of the series that fixes b756a3b5e7ea: B39. After MADV_FREE what is clean is
 * dropped, and what is dirty is not, as if a page table mapped it.
 */
static void exclusive_entry_is_unmapped_like_a_page(struct kunit *test)
{
	const struct fate *fate = test->param_value;
	struct stage exclusive, unmapped;
	bool swapbacked[2];
	struct books books;
	unsigned long addr;
	struct folio *folio;

	migrate_suite_requires(test);
	addr = dmirror_user_map(test, 1, RW);
	stamp_write(test, addr, 1);
	user_lru_drain();
	large_advise(test, addr, 1, MADV_FREE);
	user_lru_drain();
	books = migrate_books(current->mm);

	folio = make_exclusive(test, addr);
	exclusive = stage_of(folio, addr);
	swapbacked[0] = folio_test_swapbacked(folio);
	/* The lookup was for writing. */
	if (!fate->dirty)
		folio_test_clear_dirty(folio);
	core_unmap_locked(folio);
	unmapped = stage_of(folio, addr);
	swapbacked[1] = folio_test_swapbacked(folio);
	/* Reclaim has it off the LRU, where it would be on the wrong list. */
	if (swapbacked[1] && !swapbacked[0])
		folio_clear_swapbacked(folio);
	let_go(folio);

	expect_stage(test, addr, &exclusive, SEEN_OTHER, 1, "when exclusive");
	KUNIT_EXPECT_FALSE_MSG(test, swapbacked[0],
			       "0x%lx when exclusive: swapbacked", addr);
	if (fate->dirty)
		expect_stage(test, addr, &unmapped, SEEN_OTHER, 1,
			     "after try_to_unmap()");
	else
		expect_stage(test, addr, &unmapped, SEEN_NOTHING, 0,
			     "after try_to_unmap()");
	KUNIT_EXPECT_EQ_MSG(test, swapbacked[1], fate->dirty,
			    "0x%lx after try_to_unmap(): swapbacked", addr);
	books.anon -= !fate->dirty;
	migrate_expect_books(test, &books, "after try_to_unmap()");
	stamp_check(test, addr, 1, fate->dirty, "after try_to_unmap()");
}

/**
 * struct hunt - what page_vma_mapped_walk() found
 * @found: something
 * @by_pmd: which a PMD maps
 * @at: where
 * @held: the table's lock, or anything else, is held afterwards
 */
struct hunt {
	bool found;
	bool by_pmd;
	unsigned long at;
	bool held;
};

#ifndef MODULE

/* mmap_lock is held; @home is where the folio is, @addr where it is sought. */
static struct hunt hunt_for(struct folio *folio, unsigned long home,
			    unsigned long addr, unsigned int flags)
{
	struct vm_area_struct *vma = vma_lookup(current->mm, addr);
	DEFINE_FOLIO_VMA_WALK(pvmw, folio, vma, addr, flags);
	unsigned int before = core_held();
	struct hunt hunt = { };

	/* The walk ends where a folio that begins at @addr would. */
	pvmw.pgoff -= home >> PAGE_SHIFT;
	pvmw.pgoff += addr >> PAGE_SHIFT;
	hunt.found = page_vma_mapped_walk(&pvmw);
	if (hunt.found) {
		hunt.by_pmd = !pvmw.pte;
		hunt.at = pvmw.address;
		page_vma_mapped_walk_done(&pvmw);
	}
	hunt.held = core_held() != before;
	hunt.held |= !core_unlocked(addr);

	return hunt;
}

static const unsigned int hunt_flags[] = { 0, PVMW_SYNC, PVMW_MIGRATION };

#else /* MODULE */

/* The cases skip before they get here. */
static struct hunt hunt_for(struct folio *folio, unsigned long home,
			    unsigned long addr, unsigned int flags)
{
	return (struct hunt){ };
}

static const unsigned int hunt_flags[] = { 0 };

#define PVMW_MIGRATION 0

#endif /* MODULE */

#define NR_FLAGS ARRAY_SIZE(hunt_flags)

/**
 * struct hunts - two folios, each of which is sought where each of them is
 * @folios: the folios
 * @homes: where they are
 * @got: by folio, by place and by flags
 */
struct hunts {
	struct folio *folios[2];
	unsigned long homes[2];
	struct hunt got[2][2][NR_FLAGS];
};

static void hunt_all(struct hunts *hunts)
{
	unsigned int who, where, how;

	for (who = 0; who < 2; who++)
		for (where = 0; where < 2; where++)
			for (how = 0; how < NR_FLAGS; how++)
				hunts->got[who][where][how] =
					hunt_for(hunts->folios[who],
						 hunts->homes[who],
						 hunts->homes[where],
						 hunt_flags[how]);
}

static void expect_hunts(struct kunit *test, const struct hunts *hunts,
			 bool large, bool moving, const char *step)
{
	unsigned int i;

	for (i = 0; i < 4 * NR_FLAGS; i++) {
		unsigned int who = i & 1, where = i >> 1 & 1, how = i >> 2;
		const struct hunt *got = &hunts->got[who][where][how];
		struct hunt want = { };

		if (who == where &&
		    moving == !!(hunt_flags[how] & PVMW_MIGRATION))
			want = (struct hunt){ true, large,
					      hunts->homes[where] };
		KUNIT_EXPECT_TRUE_MSG(test, got->found == want.found &&
				      got->by_pmd == want.by_pmd &&
				      got->at == want.at && !got->held,
				      "folio of 0x%lx at 0x%lx with flags 0x%x %s: got found %d by PMD %d at 0x%lx held %d, wanted %d %d 0x%lx 0",
				      hunts->homes[who], hunts->homes[where],
				      hunt_flags[how], step, got->found,
				      got->by_pmd, got->at, got->held,
				      want.found, want.by_pmd, want.at);
	}
}

/* Two private folios of a mapping. */
static struct toy *two_folios(struct kunit *test, bool large,
			      struct hunts *hunts)
{
	unsigned long nr = large ? NR_LARGE : 1, addr, i;
	struct toy *toy;

	migrate_suite_requires(test);
	if (large) {
		toy = large_hole(test, RW).toy;
		addr = ALIGN(dmirror_user_map(test, 3 * nr, RW), PMD_SIZE);
		large_advise(test, addr, 2 * nr, MADV_HUGEPAGE);
	} else {
		toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
		addr = dmirror_user_map(test, 2, RW);
	}
	stamp_write(test, addr, 2 * nr);
	if (large)
		large_advise(test, addr, 2 * nr, MADV_NOHUGEPAGE);
	toy_to_device(test, toy, addr, 2 * nr);
	for (i = 0; i < 2; i++) {
		struct seen seen;

		hunts->homes[i] = addr + i * nr * PAGE_SIZE;
		seen = migrate_see(current->mm, hunts->homes[i]);
		KUNIT_ASSERT_EQ_MSG(test, seen.kind, SEEN_PRIVATE, "folio %lu",
				    i);
		KUNIT_ASSERT_EQ_MSG(test, seen.huge, large, "folio %lu", i);
		hunts->folios[i] = page_folio(pfn_to_page(seen.pfn));
	}

	return toy;
}

/*
 * "mm/page_vma_mapped: fix device-private PMD handling", which fixes
 * 65edfda6f3f2: B23. A private entry is found for its own folio, not for
 * another, and is no migration entry; afterwards nothing is locked.
 */
static void private_entry_is_found_for_its_folio_alone(struct kunit *test)
{
	const struct size *size = test->param_value;
	unsigned long nr = size->large ? NR_LARGE : 1;
	struct hunts *rest, *moving;
	struct attempt attempt;
	struct toy *toy;
	int ret;

	rest = kunit_kcalloc(test, 2, sizeof(*rest), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, rest);
	moving = rest + 1;
	toy = two_folios(test, size->large, rest);
	*moving = *rest;
	mmap_read_lock(current->mm);
	hunt_all(rest);
	mmap_read_unlock(current->mm);
	attempt_init(test, &attempt, toy, rest->homes[0], 2 * nr,
		     PRIVATE | COMPOUND);
	ret = attempt_collect(&attempt);
	if (!ret) {
		hunt_all(moving);
		toy_finish(&attempt.move);
	}
	DMIRROR_ASSERT_OK(test, ret, "collect");

	expect_hunts(test, rest, size->large, false, "at rest");
	expect_hunts(test, moving, size->large, true, "during a migration");
	stamp_check(test, rest->homes[0], 2 * nr, true, "at the end");
}

/**
 * struct foreign - what lies in front of a part of a folio
 * @name: in the case's name
 * @kind: of the large folio
 */
struct foreign {
	const char *name;
	enum seen_kind kind;
};

static const struct foreign foreigns[] = {
	{ "ram", SEEN_RAM },
	{ "private", SEEN_PRIVATE },
};

KUNIT_ARRAY_PARAM_DESC(foreign, foreigns, name);

/*
 * Moves three times what a PMD maps to half way between two PMDs, where the
 * private folio in the middle of it is mapped by two tables; the first of them
 * gives way to a large folio then. Each half of the private one has stamps.
 */
static unsigned long make_foreign(struct kunit *test, struct toy *toy,
				  enum seen_kind kind)
{
	unsigned long from, to, slot;
	struct seen seen;
	long got;

	from = ALIGN(dmirror_user_map(test, 4 * NR_LARGE, RW), PMD_SIZE);
	to = ALIGN(dmirror_user_map(test, 5 * NR_LARGE, RW), PMD_SIZE) +
	     PMD_SIZE / 2;
	slot = to + PMD_SIZE / 2;
	large_advise(test, from, 3 * NR_LARGE, MADV_HUGEPAGE);
	stamp_write(test, from + PMD_SIZE, NR_LARGE / 2);
	stamp_write(test, from + PMD_SIZE + PMD_SIZE / 2, NR_LARGE / 2);
	large_advise(test, from, 3 * NR_LARGE, MADV_NOHUGEPAGE);
	toy_to_device(test, toy, from + PMD_SIZE, NR_LARGE);
	seen = migrate_see(current->mm, from + PMD_SIZE);
	KUNIT_ASSERT_TRUE(test, seen.kind == SEEN_PRIVATE && seen.huge);

	got = core_mremap(from, 3 * PMD_SIZE, 3 * PMD_SIZE,
			  MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (got == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call mremap()");
	KUNIT_ASSERT_EQ(test, got, (long)to);
	large_advise(test, slot, NR_LARGE, MADV_DONTNEED);
	stamp_write(test, slot, NR_LARGE);
	large_advise(test, to, 3 * NR_LARGE, MADV_HUGEPAGE);
	large_advise(test, slot, NR_LARGE, MADV_COLLAPSE);
	large_advise(test, to, 3 * NR_LARGE, MADV_NOHUGEPAGE);
	if (kind == SEEN_PRIVATE)
		toy_to_device(test, toy, slot, NR_LARGE);
	seen = migrate_see(current->mm, slot);
	KUNIT_ASSERT_TRUE(test, seen.kind == kind && seen.huge);
	seen = migrate_see(current->mm, slot + PMD_SIZE);
	KUNIT_ASSERT_TRUE(test, seen.kind == SEEN_PRIVATE && !seen.huge);
	KUNIT_ASSERT_EQ(test, seen.maps, (int)(NR_LARGE / 2));

	return slot;
}

/*
 * "mm/page_vma_mapped: fix device-private PMD handling", which fixes
 * 65edfda6f3f2: B23. Up to 7.2 the PMD of another folio ends the walk, and what
 * page tables map behind it can neither be migrated nor come home.
 */
static void page_behind_a_foreign_pmd_comes_home(struct kunit *test)
{
	const struct foreign *foreign = test->param_value;
	struct large large = large_hole(test, RW);
	unsigned long slot, left, start;
	struct seen seen;

	slot = make_foreign(test, large.toy, foreign->kind);
	start = slot - PMD_SIZE / 2;
	left = toy_evict(large.toy);
	if (left) {
		/* The CPU would wait for ever. */
		dmirror_user_unmap(test, start, 3 * NR_LARGE);
		if (left == NR_LARGE)
			DMIRROR_KNOWN_DEFECT(test,
					     "page_vma_mapped_walk() ends at a foreign PMD");
	}
	KUNIT_ASSERT_EQ_MSG(test, left, 0UL,
			    "device pages in use after the eviction of 0x%lx",
			    slot + PMD_SIZE);
	seen = migrate_see_settled(slot + PMD_SIZE);
	KUNIT_EXPECT_EQ_MSG(test, seen.kind, SEEN_RAM, "0x%lx",
			    slot + PMD_SIZE);
	KUNIT_EXPECT_EQ_MSG(test, seen.maps, (int)(NR_LARGE / 2), "0x%lx",
			    slot + PMD_SIZE);
	stamp_check(test, slot + PMD_SIZE, NR_LARGE / 2, true,
		    "behind the foreign PMD, at home");
	stamp_check(test, slot, NR_LARGE, true, "by the foreign PMD");
	dmirror_user_unmap(test, start, 3 * NR_LARGE);
}

static struct kunit_case rmap_cases[] = {
	KUNIT_CASE_PARAM(exclusive_entry_migrates_like_a_page, size_gen_params),
	KUNIT_CASE_PARAM(exclusive_entry_is_unmapped_like_a_page,
			 fate_gen_params),
	KUNIT_CASE_PARAM(private_entry_is_found_for_its_folio_alone,
			 size_gen_params),
	KUNIT_CASE_PARAM(page_behind_a_foreign_pmd_comes_home,
			 foreign_gen_params),
	{}
};

DMIRROR_SUITE_AS(device_memory_rmap, dmirror_case_init_mm, rmap_cases);
