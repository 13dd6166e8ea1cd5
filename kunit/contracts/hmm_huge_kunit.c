// SPDX-License-Identifier: GPL-2.0
/*
 * What hmm_range_fault() says of huge pages, whole and in part:
 * hmm_pfn_to_map_order() of include/linux/hmm.h, and the flags of
 * hmm_flags_kunit.c for PMDs and PUDs. Pages of hugetlbfs are in
 * hmm_hugetlb_kunit.c.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/swap.h>

/* Before 7.3 it does not bring what it needs. */
#include <linux/leafops.h>
#include <linux/swapops.h>

#include "../user.h"
#include "hmm_probe.h"
#include "hmm_special.h"
#include "toy.h"

#define RW (PROT_READ | PROT_WRITE)

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
#define HUGE_NR ((unsigned long)HPAGE_PMD_NR)
#else
#define HUGE_NR 512UL /* never used */
#endif

/* Room for a huge page, with small ones before and after it. */
#define AROUND 4UL

/**
 * struct huge - a huge page and its surroundings
 * @probe: who asks
 * @addr: of the huge page
 * @letters: of its pages
 */
struct huge {
	struct hmm_probe *probe;
	unsigned long addr;
	char *letters;
};

static void requires_huge(struct kunit *test)
{
	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
}

/* Nothing is mapped yet, but what will be there is going to be huge. */
static struct huge huge_get(struct kunit *test)
{
	struct huge huge;

	requires_huge(test);
	huge.probe = hmm_probe_get(test, HUGE_NR + 2 * AROUND);
	huge.addr = dmirror_user_map(test, 3 * HUGE_NR, RW);
	huge.addr = ALIGN(huge.addr + PAGE_SIZE, PMD_SIZE);
	huge.letters = kunit_kzalloc(test, HUGE_NR + 2 * AROUND + 1,
				     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, huge.letters);
	DMIRROR_ASSERT_OK(test, user_madvise(huge.addr, PMD_SIZE,
					     MADV_HUGEPAGE), "madvise");

	return huge;
}

static struct huge huge_written(struct kunit *test)
{
	struct huge huge = huge_get(test);

	dmirror_user_fill(test, huge.addr, HUGE_NR, 1);

	return huge;
}

/* Asks for @npages, from page @at of the huge page on; all are @letter. */
static void ask(struct kunit *test, struct huge *huge, long at,
		unsigned long npages, unsigned long flags, char letter,
		const char *step)
{
	unsigned long addr = huge->addr + at * PAGE_SIZE;
	int ret = hmm_probe_run(huge->probe, addr, npages, flags);

	DMIRROR_EXPECT_ERRNO(test, ret, 0, step);
	memset(huge->letters, letter, npages);
	huge->letters[npages] = 0;
	if (!ret)
		hmm_probe_expect(test, huge->probe, addr, huge->letters, step);
}

/* Ranges of a huge page: all of it, its ends, and parts in the middle. */
static void ask_parts(struct kunit *test, struct huge *huge,
		      unsigned long flags, char letter, const char *step)
{
	static const struct {
		long at, npages; /* counted from the end where negative */
	} parts[] = {
		{ 0, 0 }, { 0, 1 }, { 1, 1 }, { 5, 3 }, { 0, -1 }, { 1, -1 },
		{ -1, 1 }, { -7, 7 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		long at = parts[i].at, npages = parts[i].npages;

		if (at < 0)
			at += HUGE_NR;
		if (npages <= 0)
			npages += HUGE_NR - at;
		ask(test, huge, at, npages, flags, letter, step);
	}
}

/* Every part has the flags and the order of the whole, and its own pages. */
static void parts_of_a_huge_page(struct kunit *test)
{
	struct huge huge = huge_written(test);
	unsigned int way;

	for (way = 0; way < hmm_probe_ways(); way++) {
		huge.probe->unlocked = way;
		ask_parts(test, &huge, 0, 'W', "snapshot");
		ask_parts(test, &huge, HMM_READ, 'W', "read request");
		ask_parts(test, &huge, HMM_WRITE, 'W', "write request");
	}
	KUNIT_EXPECT_EQ(test, hmm_pfn_to_map_order(huge.probe->pfns[0]),
			(unsigned int)PMD_ORDER);
}

/* A range begins before it, or ends after it. */
static void huge_page_among_small_ones(struct kunit *test)
{
	struct huge huge = huge_written(test);
	unsigned long from = huge.addr - AROUND * PAGE_SIZE;
	unsigned long n = HUGE_NR + 2 * AROUND;
	int ret;

	dmirror_user_fill(test, from, AROUND, 2);
	dmirror_user_touch(test, huge.addr + PMD_SIZE, AROUND - 1);
	memset(huge.letters, 'w', AROUND);
	memset(huge.letters + AROUND, 'W', HUGE_NR);
	memset(huge.letters + AROUND + HUGE_NR, 'r', AROUND - 1);
	huge.letters[n - 1] = '-';
	ret = hmm_probe_run(huge.probe, from, n, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot");
	hmm_probe_expect(test, huge.probe, from, huge.letters,
			 "around a huge page");
}

static void huge_page_that_is_read_only(struct kunit *test)
{
	struct huge huge = huge_written(test);
	int ret;

	dmirror_user_protect(test, huge.addr, HUGE_NR, PROT_READ);
	ask_parts(test, &huge, 0, 'R', "snapshot");
	ask_parts(test, &huge, HMM_READ, 'R', "read request");
	hmm_probe_fill(huge.probe, 0);
	ret = hmm_probe_run(huge.probe, huge.addr + 5 * PAGE_SIZE, 3,
			    HMM_WRITE);
	DMIRROR_EXPECT_ERRNO(test, ret, -EPERM, "write request");
	hmm_probe_expect_input(test, huge.probe, 0, 0, "after the refusal");
}

/* After a fork a write request copies; what it copies is for core mm to say. */
static void huge_page_to_be_copied_on_write(struct kunit *test)
{
	struct huge huge = huge_written(test);
	struct user_child child = { };
	unsigned long i;
	int ret;

	DMIRROR_ASSERT_OK(test, user_fork(&child), "fork");
	user_reap(&child);
	ask_parts(test, &huge, 0, 'R', "snapshot after a fork");
	ask_parts(test, &huge, HMM_READ, 'R', "read request after a fork");
	ret = hmm_probe_run(huge.probe, huge.addr, HUGE_NR, HMM_WRITE);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "write request after a fork");
	for (i = 0; i < HUGE_NR; i++)
		huge.letters[i] = hmm_probe_letter(huge.probe->pfns[i]) == 'W' ?
				  'W' : 'w';
	huge.letters[HUGE_NR] = 0;
	hmm_probe_expect(test, huge.probe, huge.addr, huge.letters,
			 "after the write request");
	dmirror_user_check(test, huge.addr, HUGE_NR, 1, "after the copy");
}

/* The huge zero folio is a page like the zero page. */
static void huge_zero_page_is_readable(struct kunit *test)
{
	struct huge huge = huge_get(test);

	dmirror_user_touch(test, huge.addr, 1);
	ask_parts(test, &huge, 0, 'R', "snapshot");
	ask_parts(test, &huge, HMM_READ, 'R', "read request");
}

/* A hole, of which a fault makes a huge page. */
static void hole_becomes_a_huge_page(struct kunit *test)
{
	struct huge huge = huge_get(test);

	ask_parts(test, &huge, 0, '-', "snapshot of a hole");
	ask(test, &huge, 5, 1, HMM_WRITE, 'W', "write request of a page");
	ask(test, &huge, 0, HUGE_NR, 0, 'W', "snapshot");
}

/* Half a huge page that is gone: the other half is small pages. */
static void huge_page_that_was_cut(struct kunit *test)
{
	struct huge huge = huge_written(test);

	dmirror_user_unmap(test, huge.addr, HUGE_NR / 2);
	ask(test, &huge, 0, HUGE_NR / 2, 0, 'E', "the half that is unmapped");
	ask(test, &huge, HUGE_NR / 2, HUGE_NR / 2, 0, 'w', "the other half");
}

static void toy_large(struct kunit *test, struct huge *huge, struct toy **toy)
{
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	*toy = toy_get(test, MEMORY_DEVICE_PRIVATE, 2 * TOY_PAGES);
	*huge = huge_written(test);
	toy_to_device(test, *toy, huge->addr, HUGE_NR);
	huge->probe->range.dev_private_owner = *toy;
}

/*
 * 10b9feee2d0d ("mm/hmm: populate PFNs from PMD swap entry"): one's own large
 * folio is told page by page. B36. Ranges that begin inside have the next case.
 */
static void large_device_folio_of_ones_own(struct kunit *test)
{
	struct huge huge;
	struct toy *toy;

	requires_huge(test);
	toy_large(test, &huge, &toy);
	ask(test, &huge, 0, HUGE_NR, 0, 'W', "snapshot");
	ask(test, &huge, 0, 7, 0, 'W', "snapshot of the first seven");
	ask(test, &huge, 0, HUGE_NR, HMM_READ, 'W', "read request");
	ask(test, &huge, 0, HUGE_NR, HMM_WRITE, 'W', "write request");
	KUNIT_EXPECT_EQ_MSG(test, toy->out, HUGE_NR, "device pages in use");
	KUNIT_EXPECT_EQ_MSG(test, toy->faults, 0U, "faults of own pages");
	dmirror_user_protect(test, huge.addr, HUGE_NR, PROT_READ);
	ask(test, &huge, 0, HUGE_NR, 0, 'R', "snapshot when read-only");
	dmirror_user_protect(test, huge.addr, HUGE_NR, RW);
	dmirror_user_check(test, huge.addr, HUGE_NR, 1, "after all");
}

/*
 * hmm.h: the entry of a page has its page frame, wherever in the folio a range
 * begins. Up to 7.3 the count begins with the folio's first one all the same.
 */
static void range_inside_a_large_folio_of_ones_own(struct kunit *test)
{
	const unsigned long at = 5, nr = 3;
	unsigned long pfn, i, wrong = 0;
	struct huge huge;
	struct toy *toy;
	int ret;

	requires_huge(test);
	toy_large(test, &huge, &toy);
	ret = hmm_probe_run(huge.probe, huge.addr, 1, 0);
	DMIRROR_ASSERT_OK(test, ret, "snapshot of the first page");
	pfn = huge.probe->pfns[0];
	ret = hmm_probe_run(huge.probe, huge.addr + at * PAGE_SIZE, nr, 0);
	DMIRROR_ASSERT_OK(test, ret, "snapshot from page 5 on");
	for (i = 0; i < nr; i++)
		wrong += huge.probe->pfns[i] == pfn + i;
	if (wrong != nr)
		ask_parts(test, &huge, 0, 'W', "snapshot of a part");
	KUNIT_EXPECT_EQ_MSG(test, toy->faults, 0U, "faults of own pages");
	dmirror_user_check(test, huge.addr, HUGE_NR, 1, "after all");
	if (wrong == nr)
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() inside a device folio");
}

/*
 * hmm.h: "0 - The page is faultable", which another device's page is: a request
 * brings it home. The PTE of a small one is told so. Up to 7.3 the PMD of a
 * large one is HMM_PFN_ERROR, "accessing the pfn is impossible".
 */
static void large_device_folio_of_another(struct kunit *test)
{
	unsigned long i, errors = 0;
	struct huge huge;
	struct toy *toy;
	int ret;

	requires_huge(test);
	toy_large(test, &huge, &toy);
	huge.probe->range.dev_private_owner = &huge;
	ret = hmm_probe_run(huge.probe, huge.addr, HUGE_NR, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot");
	for (i = 0; i < HUGE_NR; i++)
		if (hmm_probe_letter(huge.probe->pfns[i]) == 'E')
			errors++;
	if (!errors)
		ask_parts(test, &huge, 0, '-', "snapshot");
	KUNIT_EXPECT_EQ_MSG(test, toy->faults, 0U, "faults of a snapshot");
	ask(test, &huge, 5, 3, HMM_WRITE, 'W', "write request of a part");
	KUNIT_EXPECT_EQ_MSG(test, toy->faults, 1U, "faults of a request");
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 0UL, "device pages in use");
	dmirror_user_check(test, huge.addr, HUGE_NR, 1, "after the requests");
	if (errors == HUGE_NR)
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() of another's large folio");
	KUNIT_EXPECT_EQ_MSG(test, errors, 0UL, "pages told to be errors");
}

/* While it migrates, a snapshot has nothing of it and a request waits. */
static void request_waits_for_a_large_migration(struct kunit *test)
{
	struct huge huge = huge_written(test);
	struct hmm_probe *probe = huge.probe;
	unsigned long i, nothing = 0;
	struct hmm_asker asker;
	struct toy_move move;
	struct folio *folio;
	struct toy *toy;
	bool waited;
	int ret;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, 2 * TOY_PAGES);
	toy_move_init(test, &move, toy, huge.addr, HUGE_NR,
		      MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND);
	asker = (struct hmm_asker){ probe, huge.addr, HUGE_NR, HMM_WRITE };
	hmm_asker_create(test, &asker);
	ret = toy_collect(&move);
	if (ret)
		hmm_asker_cancel(&asker);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	folio = page_folio(migrate_pfn_to_page(*move.args.src));
	probe->range.notifier_seq = mmu_interval_read_begin(&probe->notifier);
	hmm_probe_fill(probe, 0x1234);
	ret = hmm_probe_held(probe, huge.addr, HUGE_NR);
	for (i = 0; i < HUGE_NR; i++)
		nothing += !probe->pfns[i];
	waited = hmm_asker_start(&asker, folio);
	toy_pages(&move);
	toy_finish(&move);
	hmm_asker_join(&asker);

	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot during the migration");
	KUNIT_EXPECT_EQ_MSG(test, nothing, HUGE_NR,
			    "pages that a snapshot has nothing of");
	KUNIT_EXPECT_TRUE_MSG(test, waited, "nobody waits for the migration");
	DMIRROR_EXPECT_ERRNO(test, asker.ret, 0, "write request");
	memset(huge.letters, 'W', HUGE_NR);
	hmm_probe_expect(test, probe, huge.addr, huge.letters,
			 "after the migration");
}

/**
 * struct odd - what was seen of a huge page whose entry stands for no page
 * @there: the entry could be put there
 * @ret: of a snapshot and of a request
 * @errors: pages that the snapshot told to be errors
 * @collect: what migrate_vma_setup() returned
 * @warnings: of it
 * @collected: entries of its src
 * @moved: pages that were to be moved
 */
struct odd {
	bool there;
	int ret[2];
	unsigned long errors;
	int collect;
	int warnings;
	unsigned long collected;
	unsigned long moved;
};

/* Nothing of this checks: the page table is not what it should be. */
static struct odd look_at_odd_entry(struct kunit *test, struct huge *huge,
				    struct toy_move *move, pmd_t pmd)
{
	struct hmm_probe *probe = huge->probe;
	struct odd odd = { };
	unsigned long i;

	odd.there = hmm_probe_swap_pmd(huge->addr, &pmd);
	if (!odd.there)
		return odd;
	odd.ret[0] = hmm_probe_run(probe, huge->addr, HUGE_NR, 0);
	for (i = 0; i < HUGE_NR; i++)
		odd.errors += hmm_probe_letter(probe->pfns[i]) == 'E';
	odd.ret[1] = hmm_probe_run(probe, huge->addr, HUGE_NR, HMM_READ);
	kunit_warning_suppress(test) {
		odd.collect = toy_collect(move);
		odd.warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	if (!odd.collect) {
		for (i = 0; i < move->nr; i++)
			odd.collected += move->args.src[i] != 0;
		odd.moved = move->args.cpages;
		toy_finish(move);
	}
	hmm_probe_swap_pmd(huge->addr, &pmd);

	return odd;
}

/*
 * "mm/migrate_device: move softleaf_to_folio() inside device-private branch"
 * (317e878de1a7): an entry of this size that is neither present nor of a
 * migration or of private memory has no folio, which up to 7.2 was looked up
 * all the same; with CONFIG_DEBUG_VM that warns. Core mm makes no such entry
 * yet, so the case does. What mm/huge_memory.c makes of one is not to be seen
 * ("move softleaf_to_folio() inside migration branch", 78745efbcd17): it warns
 * of each. B12.
 */
static void huge_entry_without_a_page_is_an_error(struct kunit *test)
{
	struct huge huge = huge_written(test);
	struct toy_move move;
	struct toy *toy;
	struct odd odd;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, 2 * TOY_PAGES);
	toy_move_init(test, &move, toy, huge.addr, HUGE_NR,
		      MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND |
		      MIGRATE_VMA_SELECT_DEVICE_PRIVATE);
	huge.probe->range.dev_private_owner = toy;
	odd = look_at_odd_entry(test, &huge, &move,
				swp_entry_to_pmd(make_poisoned_swp_entry()));
	KUNIT_ASSERT_TRUE_MSG(test, odd.there, "no PMD at 0x%lx", huge.addr);
	DMIRROR_EXPECT_ERRNO(test, odd.ret[0], 0, "snapshot");
	KUNIT_EXPECT_EQ_MSG(test, odd.errors, HUGE_NR,
			    "pages at 0x%lx that are told to be errors",
			    huge.addr);
	DMIRROR_EXPECT_ERRNO(test, odd.ret[1], -EFAULT, "read request");
	DMIRROR_EXPECT_ERRNO(test, odd.collect, 0, "migrate_vma_setup");
	KUNIT_EXPECT_EQ_MSG(test, odd.collected, 0UL,
			    "pages at 0x%lx that were collected", huge.addr);
	KUNIT_EXPECT_EQ_MSG(test, odd.moved, 0UL,
			    "pages at 0x%lx that were to be moved", huge.addr);
	ask(test, &huge, 0, HUGE_NR, 0, 'W', "snapshot afterwards");
	dmirror_user_check(test, huge.addr, HUGE_NR, 1, "afterwards");
	/* A kernel with one way to ask is one before 7.3. */
	if (odd.warnings && hmm_probe_ways() < 2)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() of an entry without a page");
	KUNIT_EXPECT_EQ_MSG(test, odd.warnings, 0,
			    "warnings about the entry at 0x%lx", huge.addr);
}

static const struct special_row {
	const char *name;
	unsigned int order;
} special_rows[] = {
	{ "pmd", PMD_SHIFT - PAGE_SHIFT },
	{ "pud", PUD_SHIFT - PAGE_SHIFT },
};

KUNIT_ARRAY_PARAM_DESC(special, special_rows, name);

static struct hmm_special *special_huge(struct kunit *test, unsigned long prot)
{
	const struct special_row *row = test->param_value;

	requires_huge(test);

	return hmm_special_get_huge(test, row->order, prot);
}

/*
 * hmm.h: HMM_PFN_ERROR is for "special pages" too, and the entry of a single
 * one in such a mapping is told so. Up to 7.3 a PMD or PUD is not looked at:
 * the caller gets a page for what has none.
 */
static void special_huge_page_is_an_error(struct kunit *test)
{
	struct hmm_special *special = special_huge(test, RW);
	struct hmm_probe *probe = hmm_probe_get(test, 2);
	unsigned long addr = special->addr + PAGE_SIZE;
	unsigned long wrong;
	int fault, ret;

	ret = hmm_probe_run(probe, addr, 2, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot of the hole");
	hmm_probe_expect(test, probe, addr, "--", "of the hole");
	fault = hmm_probe_run(probe, addr, 2, HMM_READ);
	ret = hmm_probe_run(probe, addr, 2, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot");
	KUNIT_EXPECT_EQ_MSG(test, special->faults, 1U, "huge faults");
	wrong = hmm_special_pfn(special) + 1 + HMM_PFN_VALID + HMM_PFN_WRITE +
		((unsigned long)special->order << HMM_PFN_ORDER_SHIFT);
	if (!ret && !fault && probe->pfns[0] == wrong &&
	    probe->pfns[1] == wrong + 1)
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() of special huge pages");
	DMIRROR_EXPECT_ERRNO(test, fault, -EFAULT, "read request");
	hmm_probe_expect(test, probe, addr, "EE", "of a special huge page");
}

/* Special or not: what is mapped to be read is not to be written. */
static void special_huge_page_for_writing(struct kunit *test)
{
	struct hmm_special *special = special_huge(test, PROT_READ);
	struct hmm_probe *probe = hmm_probe_get(test, 2);
	unsigned long addr = special->addr + PAGE_SIZE;
	int ret;

	ret = hmm_probe_run(probe, addr, 2, HMM_READ);
	KUNIT_EXPECT_TRUE_MSG(test, !ret || ret == -EFAULT,
			      "read request: got %d", ret);
	KUNIT_EXPECT_EQ_MSG(test, special->faults, 1U, "huge faults");
	ret = hmm_probe_run(probe, addr, 2, HMM_WRITE);
	DMIRROR_EXPECT_ERRNO(test, ret, -EPERM, "write request");
	hmm_probe_expect_input(test, probe, 0, 0, "after the refusal");
}

static struct kunit_case hmm_huge_cases[] = {
	KUNIT_CASE(parts_of_a_huge_page),
	KUNIT_CASE(huge_page_among_small_ones),
	KUNIT_CASE(huge_page_that_is_read_only),
	KUNIT_CASE(huge_page_to_be_copied_on_write),
	KUNIT_CASE(huge_zero_page_is_readable),
	KUNIT_CASE(hole_becomes_a_huge_page),
	KUNIT_CASE(huge_page_that_was_cut),
	KUNIT_CASE(large_device_folio_of_ones_own),
	KUNIT_CASE(range_inside_a_large_folio_of_ones_own),
	KUNIT_CASE(large_device_folio_of_another),
	KUNIT_CASE(request_waits_for_a_large_migration),
	KUNIT_CASE(huge_entry_without_a_page_is_an_error),
	KUNIT_CASE_PARAM(special_huge_page_is_an_error, special_gen_params),
	KUNIT_CASE_PARAM(special_huge_page_for_writing, special_gen_params),
	{}
};

DMIRROR_SUITE_AS(hmm_huge, dmirror_case_init_mm, hmm_huge_cases);
