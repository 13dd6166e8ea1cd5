// SPDX-License-Identifier: GPL-2.0
#include "migrate_see.h"

/* In this order: Linux 7.2 needs it. */
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/leafops.h>
#include <linux/swapops.h>

#include <linux/pagemap.h>
#include <linux/pgtable.h>

#include "../user.h"
#include "core_mm.h"

const struct device_kind device_kinds[2] = {
	{
		.name = "private",
		.type = MEMORY_DEVICE_PRIVATE,
		.select = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
		.seen = SEEN_PRIVATE,
	}, {
		.name = "coherent",
		.type = MEMORY_DEVICE_COHERENT,
		.select = MIGRATE_VMA_SELECT_DEVICE_COHERENT,
		.seen = SEEN_COHERENT,
	},
};

static void see_folio(struct seen *seen, struct page *page)
{
	struct folio *folio = page_folio(page);

	seen->pfn = page_to_pfn(page);
	seen->anon = folio_test_anon(folio);
	seen->exclusive = seen->anon && PageAnonExclusive(page);
	seen->folio_dirty = folio_test_dirty(folio);
	seen->active = folio_test_active(folio);
	seen->mlocked = folio_test_mlocked(folio);
	seen->locked = folio_test_locked(folio);
	seen->lru = folio_test_lru(folio);
	seen->order = folio_order(folio);
	seen->refs = folio_ref_count(folio);
	seen->maps = folio_mapcount(folio);
}

static bool reads_as_zero(unsigned long pfn)
{
	if (is_zero_pfn(pfn))
		return true;
#ifdef MODULE
	/* The huge one is not for modules, nor are the cases that have it. */
	return false;
#else
	return is_huge_zero_folio(page_folio(pfn_to_page(pfn)));
#endif
}

static void see_present(struct seen *seen, unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	if (reads_as_zero(pfn)) {
		*seen = (struct seen){ .kind = SEEN_ZERO, .huge = seen->huge };
		return;
	}
	seen->kind = is_device_coherent_page(page) ? SEEN_COHERENT : SEEN_RAM;
	see_folio(seen, page);
}

static void see_leaf(struct seen *seen, softleaf_t entry)
{
	if (softleaf_is_device_private(entry)) {
		seen->kind = SEEN_PRIVATE;
		seen->write = softleaf_is_device_private_write(entry);
		see_folio(seen, softleaf_to_page(entry));
	} else if (softleaf_is_migration(entry)) {
		seen->kind = SEEN_MIGRATION;
		seen->write = softleaf_is_migration_write(entry);
		seen->pfn = softleaf_to_pfn(entry);
	} else {
		seen->kind = SEEN_OTHER;
	}
}

static void see_pte(struct seen *seen, pte_t pte)
{
	if (pte_none(pte))
		return;
	if (!pte_present(pte)) {
		seen->soft_dirty = pte_swp_soft_dirty(pte);
		see_leaf(seen, softleaf_from_pte(pte));
		return;
	}
	seen->write = pte_write(pte);
	seen->dirty = pte_dirty(pte);
	seen->young = pte_young(pte);
	seen->soft_dirty = pte_soft_dirty(pte);
	see_present(seen, pte_pfn(pte));
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE

/* Return: false if there is a page table below. */
static bool see_pmd(struct seen *seen, pmd_t pmd, unsigned long addr)
{
	unsigned long at = (addr & ~PMD_MASK) >> PAGE_SHIFT;

	if (pmd_none(pmd))
		return true;
	if (pmd_present(pmd) && !pmd_leaf(pmd))
		return false;
	seen->huge = true;
	if (pmd_present(pmd)) {
		seen->write = pmd_write(pmd);
		seen->dirty = pmd_dirty(pmd);
		seen->young = pmd_young(pmd);
		seen->soft_dirty = pmd_soft_dirty(pmd);
		see_present(seen, pmd_pfn(pmd) + at);
	} else {
		seen->soft_dirty = pmd_swp_soft_dirty(pmd);
		see_leaf(seen, softleaf_from_pmd(pmd));
		if (seen->pfn)
			seen->pfn += at;
	}

	return true;
}

#else /* !CONFIG_TRANSPARENT_HUGEPAGE */

static bool see_pmd(struct seen *seen, pmd_t pmd, unsigned long addr)
{
	return pmd_none(pmd);
}

#endif /* CONFIG_TRANSPARENT_HUGEPAGE */

struct seen migrate_see(struct mm_struct *mm, unsigned long addr)
{
	struct seen seen = { };
	spinlock_t *ptl; /* of the table that has the entry */
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	pgd = pgd_offset(mm, addr);
	if (pgd_none(*pgd))
		return seen;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		return seen;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud))
		return seen;
	pmd = pmd_offset(pud, addr);
	ptl = pmd_lock(mm, pmd);
	if (see_pmd(&seen, *pmd, addr)) {
		spin_unlock(ptl);
		return seen;
	}
	spin_unlock(ptl);

	ptl = pte_lockptr(mm, pmd);
	spin_lock(ptl);
	see_pte(&seen, ptep_get(pte_offset_kernel(pmd, addr)));
	spin_unlock(ptl);

	return seen;
}

struct seen migrate_see_settled(unsigned long addr)
{
	user_lru_drain();

	return migrate_see(current->mm, addr);
}

bool migrate_keeps_dirty_and_young(void)
{
#ifdef MODULE
	return false;
#else
	return migration_entry_supports_ad();
#endif
}

struct seen migrate_seen_back(const struct seen *before)
{
	struct seen want = *before;

	/*
	 * fd35ca3d12cc ("mm/migrate_device.c: copy pte dirty bit to page"):
	 * what is clean is not written to swap before it is taken. B1.
	 */
	want.folio_dirty |= before->dirty;
	if (!migrate_keeps_dirty_and_young()) {
		want.dirty = false;
		want.young = false;
	}

	return want;
}

static const char * const kind_names[] = {
	[SEEN_NOTHING] = "nothing",
	[SEEN_ZERO] = "zero page",
	[SEEN_RAM] = "page",
	[SEEN_PRIVATE] = "private page",
	[SEEN_COHERENT] = "coherent page",
	[SEEN_MIGRATION] = "migration entry",
	[SEEN_OTHER] = "other entry",
};

static const char *describe(const struct seen *seen, char *buf, size_t size)
{
	static const char letters[] = "hwdysxDaALKl";
	const bool bits[] = {
		seen->huge, seen->write, seen->dirty, seen->young,
		seen->soft_dirty, seen->exclusive, seen->folio_dirty,
		seen->anon, seen->active, seen->mlocked, seen->locked,
		seen->lru,
	};
	char flags[sizeof(letters)];
	unsigned int i;

	BUILD_BUG_ON(ARRAY_SIZE(bits) + 1 != sizeof(letters));
	for (i = 0; i < ARRAY_SIZE(bits); i++)
		flags[i] = bits[i] ? letters[i] : '-';
	flags[i] = '\0';
	scnprintf(buf, size, "%s pfn 0x%lx %s order %u refs %d maps %d",
		  kind_names[seen->kind], seen->pfn, flags, seen->order,
		  seen->refs, seen->maps);

	return buf;
}

static bool same(const struct seen *got, const struct seen *want)
{
	return got->kind == want->kind &&
	       (!want->pfn || got->pfn == want->pfn) &&
	       got->huge == want->huge && got->write == want->write &&
	       got->dirty == want->dirty && got->young == want->young &&
	       got->soft_dirty == want->soft_dirty &&
	       got->exclusive == want->exclusive &&
	       got->folio_dirty == want->folio_dirty &&
	       got->anon == want->anon && got->active == want->active &&
	       got->mlocked == want->mlocked && got->locked == want->locked &&
	       got->lru == want->lru && got->order == want->order &&
	       got->refs == want->refs && got->maps == want->maps;
}

bool migrate_expect_seen(struct kunit *test, unsigned long addr,
			 const struct seen *got, const struct seen *want,
			 const char *step)
{
	char is[96], should[96];

	if (same(got, want))
		return true;
	KUNIT_FAIL(test,
		   "0x%lx %s: got %s, wanted %s (flags: huge write dirty young soft-dirty exclusive; folio Dirty anon Active mLocked locKed lru)",
		   addr, step, describe(got, is, sizeof(is)),
		   describe(want, should, sizeof(should)));

	return false;
}

bool migrate_expect_still(struct kunit *test, unsigned long addr,
			  const struct seen *before, const char *step)
{
	struct seen now = migrate_see_settled(addr);

	return migrate_expect_seen(test, addr, &now, before, step);
}

struct books migrate_books(struct mm_struct *mm)
{
	return (struct books){
		.anon = get_mm_counter_sum(mm, MM_ANONPAGES),
		.file = get_mm_counter_sum(mm, MM_FILEPAGES),
		.shmem = get_mm_counter_sum(mm, MM_SHMEMPAGES),
		.swap = get_mm_counter_sum(mm, MM_SWAPENTS),
		.tables = mm_pgtables_bytes(mm),
	};
}

void migrate_expect_books(struct kunit *test, const struct books *want,
			  const char *step)
{
	struct books got = migrate_books(current->mm);

	if (!memcmp(&got, want, sizeof(got)))
		return;
	KUNIT_FAIL(test,
		   "counters of the mm %s: got anon %lu file %lu shmem %lu swap %lu tables %lu, wanted anon %lu file %lu shmem %lu swap %lu tables %lu",
		   step, got.anon, got.file, got.shmem, got.swap, got.tables,
		   want->anon, want->file, want->shmem, want->swap,
		   want->tables);
}

void attempt_init(struct kunit *test, struct attempt *attempt, struct toy *toy,
		  unsigned long addr, unsigned long npages,
		  unsigned long flags)
{
	unsigned long i;

	toy_move_init(test, &attempt->move, toy, addr, npages, flags);
	attempt->setup = kunit_kcalloc(test, 2 * npages, sizeof(unsigned long),
				       GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, attempt->setup);
	attempt->pages = attempt->setup + npages;
	for (i = 0; i < npages; i++) {
		attempt->move.args.src[i] = ULONG_MAX;
		attempt->move.args.dst[i] = ULONG_MAX;
	}
	attempt->move.args.cpages = ULONG_MAX;
	attempt->move.args.npages = ULONG_MAX;
}

int attempt_collect(struct attempt *attempt)
{
	struct migrate_vma *args = &attempt->move.args;
	int ret = toy_collect(&attempt->move);

	attempt->cpages = args->cpages;
	attempt->npages = args->npages;
	attempt->end = args->end;
	if (!ret)
		memcpy(attempt->setup, args->src,
		       attempt->move.nr * sizeof(*args->src));

	return ret;
}

void attempt_pages(struct attempt *attempt)
{
	migrate_vma_pages(&attempt->move.args);
	memcpy(attempt->pages, attempt->move.args.src,
	       attempt->move.nr * sizeof(*attempt->pages));
}

int attempt_abort(struct attempt *attempt)
{
	unsigned int before = core_held();
	int ret = attempt_collect(attempt);

	if (!ret) {
		attempt_pages(attempt);
		toy_finish(&attempt->move);
	}
	attempt->unbalanced = core_held() != before;

	return ret;
}

void attempt_expect_balance(struct kunit *test, const struct attempt *attempt,
			    const char *step)
{
	KUNIT_EXPECT_FALSE_MSG(test, attempt->unbalanced,
			       "locks, RCU or preemption held after [0x%lx,0x%lx) flags 0x%lx %s",
			       attempt->move.args.start, attempt->end,
			       attempt->move.args.flags, step);
}

void attempt_expect_src(struct kunit *test, const struct attempt *attempt,
			const unsigned long *src, unsigned long i,
			unsigned long want, const char *step)
{
	KUNIT_EXPECT_EQ_MSG(test, src[i], want,
			    "src[%lu] of [0x%lx,0x%lx) flags 0x%lx %s: got 0x%lx wanted 0x%lx",
			    i, attempt->move.args.start, attempt->end,
			    attempt->move.args.flags, step, src[i], want);
}

void attempt_choose(struct toy_move *move, enum seen_kind from)
{
	if (from == SEEN_RAM)
		toy_choose_device(move);
	else
		toy_choose_ram(move);
}

int attempt_carry_out(struct attempt *attempt, enum seen_kind from)
{
	unsigned int before = core_held();
	int ret = attempt_collect(attempt);

	if (!ret) {
		attempt_choose(&attempt->move, from);
		attempt_pages(attempt);
		toy_finish(&attempt->move);
	}
	attempt->unbalanced = core_held() != before;

	return ret;
}

void attempt_drop(struct toy_move *move, unsigned long i)
{
	struct page *page = migrate_pfn_to_page(move->args.dst[i]);

	move->args.dst[i] = 0;
	if (!page)
		return;
	folio_unlock(page_folio(page));
	folio_put(page_folio(page));
}

int attempt_fail(struct attempt *attempt, enum failure failure,
		 const struct seen *seen)
{
	struct folio *folio = page_folio(pfn_to_page(seen->pfn));
	unsigned int before = core_held();
	int ret;

	if (failure == FAIL_HELD)
		folio_get(folio);
	ret = attempt_collect(attempt);
	if (ret)
		goto out;
	if (failure != FAIL_NO_DST && failure != FAIL_NO_PAGES)
		attempt_choose(&attempt->move, seen->kind);
	if (failure == FAIL_DST_FREED)
		attempt_drop(&attempt->move, 0);
	if (failure == FAIL_LATE_REFERENCE)
		folio_get(folio);
	if (failure != FAIL_NO_PAGES)
		attempt_pages(attempt);
	toy_finish(&attempt->move);
	if (failure == FAIL_LATE_REFERENCE)
		folio_put(folio);
out:
	if (failure == FAIL_HELD)
		folio_put(folio);
	attempt->unbalanced = core_held() != before;
	return ret;
}
