// SPDX-License-Identifier: GPL-2.0
/*
 * migrate_vma_setup() meets a large folio that page table entries map, and has
 * to cut it in the middle of the collection, while others do something to it.
 * From mm/migrate_device.c: src[] and dst[] have one entry per page of the
 * range; "We rely on folio_trylock() to avoid deadlock between concurrent
 * migrations"; and from include/linux/migrate.h, that the page of a fault is
 * locked and referenced by the fault, which it has to stay when it is cut.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/rwsem.h>
#include <linux/sched.h>

#include "../other.h"
#include "../user.h"
#include "core_mm.h"
#include "migrate_large.h"

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM
#define PRIVATE MIGRATE_VMA_SELECT_DEVICE_PRIVATE

/* The page, of a large folio, that the CPU wants: not its first one. */
#define FAULT_AT 5UL

static const struct device_kind wheres[] = {
	{ .name = "ram", .seen = SEEN_RAM },
	{ .name = "private", .seen = SEEN_PRIVATE },
};

KUNIT_ARRAY_PARAM_DESC(where, wheres, name);

/* A small page first, which is collected, and the rest of a large folio. */
static struct large small_page_and_folio(struct kunit *test)
{
	const struct device_kind *where = test->param_value;
	struct large large = large_get(test, where->seen);
	struct seen small, rest;

	dmirror_user_dontneed(test, large.addr, 1);
	stamp_write(test, large.addr, 1);
	small = migrate_see_settled(large.addr);
	rest = migrate_see_settled(large.addr + PAGE_SIZE);
	KUNIT_ASSERT_EQ_MSG(test, small.order, 0U, "page 0");
	KUNIT_ASSERT_FALSE_MSG(test, rest.huge, "mapping of the rest");
	KUNIT_ASSERT_EQ_MSG(test, rest.order, (unsigned int)PMD_ORDER,
			    "the rest");

	return large;
}

static struct folio *folio_of_page(struct large *large, unsigned long i)
{
	struct seen seen = migrate_see(current->mm,
				       large->addr + i * PAGE_SIZE);

	return page_folio(pfn_to_page(seen.pfn));
}

static long collect(struct other *other)
{
	return attempt_abort(other->data);
}

static struct other collector(struct kunit *test, struct attempt *attempt)
{
	return (struct other){
		.mm = current->mm,
		.fn = collect,
		.data = attempt,
	};
}

/* Does it wait for the lock of @folio, or is it done? */
static bool waits_for_folio(struct other *other, struct folio *folio)
{
	while (!completion_done(&other->done)) {
		if (folio_test_waiters(folio) &&
		    READ_ONCE(other->task->__state) & TASK_UNINTERRUPTIBLE)
			return true;
		cond_resched();
	}

	return false;
}

/*
 * Two migrations, each of which has a folio that the other one wants, must not
 * wait for each other. A thread that waits for one lock with another in its
 * hands is half of that. A large folio stays locked as long as a migration of
 * the whole takes, or a fault on it. C6.
 */
static void locked_folio_is_not_waited_for(struct kunit *test)
{
	struct large large = small_page_and_folio(test);
	struct folio *small = folio_of_page(&large, 0);
	struct folio *folio = folio_of_page(&large, 1);
	struct seen before = migrate_see_settled(large.addr + PAGE_SIZE);
	struct attempt attempt;
	struct other other;
	unsigned long i, taken = 0;
	bool waits, holds;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | PRIVATE);
	other = collector(test, &attempt);
	other_create(test, &other);
	folio_lock(folio);
	other_go(&other);
	waits = waits_for_folio(&other, folio);
	holds = waits && folio_test_locked(small);
	folio_unlock(folio);
	other_join(&other);
	DMIRROR_ASSERT_OK(test, other.ret, "collect");
	for (i = 1; i < NR_LARGE; i++)
		taken += attempt.setup[i] != 0;
	KUNIT_EXPECT_EQ(test, attempt.npages, NR_LARGE);
	KUNIT_EXPECT_EQ_MSG(test, attempt.setup[0] & MIGRATE_PFN_MIGRATE,
			    MIGRATE_PFN_MIGRATE, "src[0]");
	if (!waits) {
		KUNIT_EXPECT_EQ_MSG(test, taken, 0UL,
				    "pages of a locked folio in src[]");
		migrate_expect_still(test, large.addr + PAGE_SIZE, &before,
				     "afterwards");
	}
	stamp_check(test, large.addr, NR_LARGE, true, "afterwards");
	large_end(test, &large);
	if (holds)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() waits for a folio with others locked");
	KUNIT_EXPECT_FALSE_MSG(test, waits, "waits for the locked folio");
}

/* What a migration has collected is neither waited for nor collected again. */
static void migrating_folio_is_left_alone(struct kunit *test)
{
	const struct device_kind *where = test->param_value;
	struct large large = large_get(test, where->seen);
	const unsigned long flags = SYSTEM | PRIVATE |
				    MIGRATE_VMA_SELECT_COMPOUND;
	struct attempt first, second;
	struct other other;
	int ret;

	attempt_init(test, &first, large.toy, large.addr, NR_LARGE, flags);
	attempt_init(test, &second, large.toy, large.addr, NR_LARGE, flags);
	other = collector(test, &second);
	other_create(test, &other);
	ret = attempt_collect(&first);
	other_go(&other);
	other_join(&other);
	if (!ret) {
		attempt_pages(&first);
		toy_finish(&first.move);
	}
	DMIRROR_ASSERT_OK(test, ret, "first collect");
	DMIRROR_ASSERT_OK(test, other.ret, "second collect");
	KUNIT_EXPECT_EQ_MSG(test, first.setup[0] & MIGRATE_PFN_MIGRATE,
			    MIGRATE_PFN_MIGRATE, "src[0] of the first");
	KUNIT_EXPECT_EQ_MSG(test, second.cpages, 0UL, "pages of the second");
	KUNIT_EXPECT_EQ_MSG(test, second.setup[0], 0UL,
			    "src[0] of the second");
	KUNIT_EXPECT_EQ(test, second.npages, NR_LARGE);
	stamp_check(test, large.addr, NR_LARGE, true, "afterwards");
	large_end(test, &large);
}

/* A folio that cannot be cut stays, and what was collected before it goes on. */
static void held_folio_stays_and_the_page_before_it_goes(struct kunit *test)
{
	struct large large = small_page_and_folio(test);
	struct folio *folio = folio_of_page(&large, 1);
	struct seen before = migrate_see_settled(large.addr + PAGE_SIZE);
	struct attempt attempt;
	unsigned long i;
	int ret;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | PRIVATE);
	folio_get(folio);
	ret = attempt_abort(&attempt);
	folio_put(folio);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	KUNIT_EXPECT_EQ(test, attempt.cpages, 1UL);
	KUNIT_EXPECT_EQ(test, attempt.npages, NR_LARGE);
	KUNIT_EXPECT_EQ_MSG(test, attempt.setup[0] & MIGRATE_PFN_MIGRATE,
			    MIGRATE_PFN_MIGRATE, "src[0]");
	for (i = 1; i < NR_LARGE; i++)
		KUNIT_ASSERT_EQ_MSG(test, attempt.setup[i], 0UL, "src[%lu]", i);
	migrate_expect_still(test, large.addr + PAGE_SIZE, &before,
			     "after the refusal");
	stamp_check(test, large.addr, NR_LARGE, true, "after the refusal");
	large_end(test, &large);
}

#ifndef MODULE

static void rmap_lock(void *arg)
{
	struct anon_vma *anon_vma = arg;

	down_write(&anon_vma->root->rwsem);
}

static void rmap_unlock(void *arg)
{
	struct anon_vma *anon_vma = arg;

	up_write(&anon_vma->root->rwsem);
}

static struct anon_vma *rmap_of(unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct anon_vma *anon_vma;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	anon_vma = vma ? vma->anon_vma : NULL;
	mmap_read_unlock(mm);

	return anon_vma;
}

#else

/* The cases skip before they get here. */
static void rmap_lock(void *arg)
{
}

static void rmap_unlock(void *arg)
{
}

static struct anon_vma *rmap_of(unsigned long addr)
{
	return NULL;
}

#endif /* MODULE */

/* Does it wait inside the split of @folio, which it has locked? */
static bool waits_in_split(struct other *other, struct folio *folio)
{
	while (!completion_done(&other->done)) {
		if (folio_test_locked(folio) &&
		    READ_ONCE(other->task->__state) & TASK_UNINTERRUPTIBLE)
			return true;
		cond_resched();
	}

	return false;
}

/*
 * The split waits for whoever walks the reverse mappings. Meanwhile the range
 * is zapped, and its page table with it (CONFIG_PT_RECLAIM). What has been
 * collected is not to be collected a second time as a hole, behind the end of
 * the arrays: those of the case have room for it. C5.
 */
static void zap_during_a_split_stays_within_the_arrays(struct kunit *test)
{
	struct large large = small_page_and_folio(test);
	struct folio *folio = folio_of_page(&large, 1);
	struct dmirror_holder holder = {
		.lock = rmap_lock,
		.unlock = rmap_unlock,
		.arg = rmap_of(large.addr),
	};
	struct attempt attempt;
	struct other other;
	bool waits;
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, holder.arg);
	attempt_init(test, &attempt, large.toy, large.addr, 2 * NR_LARGE,
		     SYSTEM | PRIVATE);
	attempt.move.args.end = large.addr + NR_LARGE * PAGE_SIZE;
	other = collector(test, &attempt);
	other_create(test, &other);
	dmirror_hold(test, &holder);
	other_go(&other);
	waits = waits_in_split(&other, folio);
	ret = user_madvise(large.addr, NR_LARGE * PAGE_SIZE, MADV_DONTNEED);
	dmirror_unhold(&holder);
	other_join(&other);
	DMIRROR_ASSERT_OK(test, ret, "madvise");
	DMIRROR_ASSERT_OK(test, other.ret, "collect");
	KUNIT_EXPECT_TRUE_MSG(test, waits, "the split waits");
	stamp_check(test, large.addr, NR_LARGE, false, "after the zap");
	large_end(test, &large);
	if (attempt.npages > NR_LARGE)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() collects a page twice");
	KUNIT_EXPECT_EQ(test, attempt.npages, NR_LARGE);
}

/**
 * struct cut - a fault on page FAULT_AT, in which the folio is cut
 * @from: the first page that is asked for
 * @nr: how many
 * @zap: zaps the page of the fault before, or NULL
 * @page: the page of the fault
 * @in_setup: migrate_vma_setup() is running
 * @ret: what it returned, or the zap
 * @has_page: the page of the fault was collected
 * @unlocked: pages that were collected without being locked
 * @freed: the page of the fault was freed
 */
static struct cut {
	unsigned long from;
	unsigned long nr;
	struct other *zap;
	struct page *page;
	bool in_setup;
	int ret;
	bool has_page;
	unsigned long unlocked;
	bool freed;
} cut;

static long zap(struct other *other)
{
	return user_madvise(other->addr, other->nr * PAGE_SIZE, MADV_DONTNEED);
}

/* Notes what is not locked, and locks it: core mm is going to unlock it. */
static void look_at_locks(struct toy_move *move)
{
	unsigned long i;

	for (i = 0; i < move->nr; i++) {
		struct page *page = migrate_pfn_to_page(move->args.src[i]);

		if (page == cut.page)
			cut.has_page = true;
		if (page && folio_trylock(page_folio(page)))
			cut.unlocked++;
	}
}

static vm_fault_t cut_in_fault(struct toy *toy, struct vm_fault *vmf)
{
	unsigned long src[16] = { }, dst[16] = { };
	unsigned long addr = vmf->address & PAGE_MASK;
	struct toy_move move = {
		.toy = toy,
		.nr = cut.nr,
		.args = {
			.vma = vmf->vma,
			.src = src,
			.dst = dst,
			.start = addr + (cut.from - FAULT_AT) * PAGE_SIZE,
			.pgmap_owner = toy,
			.flags = PRIVATE,
			.fault_page = vmf->page,
		},
	};

	move.args.end = move.args.start + cut.nr * PAGE_SIZE;
	cut.page = vmf->page;
	toy->on_fault = NULL;
	if (cut.zap) {
		other_go(cut.zap);
		other_join(cut.zap);
		cut.ret = cut.zap->ret;
	}
	cut.in_setup = true;
	if (!cut.ret)
		cut.ret = migrate_vma_setup(&move.args);
	cut.in_setup = false;
	if (cut.ret)
		return VM_FAULT_SIGBUS;
	look_at_locks(&move);
	toy_choose_ram(&move);
	migrate_vma_pages(&move.args);
	migrate_vma_finalize(&move.args);

	return 0;
}

/* One fault on a large private folio that page table entries map. */
static vm_fault_t fault_and_cut(struct kunit *test, struct large *large,
				const struct cut *how)
{
	KUNIT_ASSERT_LE(test, how->nr, 16UL);
	large_map_by_ptes(test, large);
	cut = *how;
	large->toy->on_fault = cut_in_fault;

	return core_fault_once(large->addr + FAULT_AT * PAGE_SIZE, false);
}

/* One fault is enough to bring a page home, wherever in the folio it is. C7. */
static void page_of_the_fault_is_collected(struct kunit *test)
{
	struct large large = large_get(test, SEEN_PRIVATE);
	vm_fault_t ret = fault_and_cut(test, &large, &(struct cut){
		.from = FAULT_AT, .nr = 1,
	});
	struct seen seen = migrate_see_settled(large.addr +
					       FAULT_AT * PAGE_SIZE);

	DMIRROR_EXPECT_ERRNO(test, cut.ret, 0, "collect");
	KUNIT_EXPECT_EQ(test, ret, 0);
	KUNIT_EXPECT_EQ(test, cut.unlocked, 0UL);
	stamp_check(test, large.addr, NR_LARGE, true, "after the fault");
	large_end(test, &large);
	if (!cut.has_page && seen.kind == SEEN_PRIVATE && !seen.order)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() cuts a folio and leaves the page of the fault");
	KUNIT_EXPECT_TRUE_MSG(test, cut.has_page, "collected");
	KUNIT_EXPECT_EQ(test, seen.kind, SEEN_RAM);
}

/* The other pages are not the fault's: each is locked, also the first. C7. */
static void pages_beside_the_fault_are_locked(struct kunit *test)
{
	struct large large = large_get(test, SEEN_PRIVATE);
	vm_fault_t ret = fault_and_cut(test, &large, &(struct cut){
		.from = 0, .nr = 2 * FAULT_AT,
	});

	DMIRROR_EXPECT_ERRNO(test, cut.ret, 0, "collect");
	KUNIT_EXPECT_EQ(test, ret, 0);
	stamp_check(test, large.addr, NR_LARGE, true, "after the fault");
	large_end(test, &large);
	if (cut.unlocked)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() collects a page without locking it");
	KUNIT_EXPECT_TRUE_MSG(test, cut.has_page, "collected");
}

static const struct dev_pagemap_ops *normal_ops;

/*
 * A page that is freed while core mm still works with it would be the end of
 * the kernel. The device hands it out again at once, which it may.
 */
static void keep_page(struct folio *folio)
{
	struct page *page = &folio->page;

	if (!cut.in_setup || page != cut.page) {
		normal_ops->folio_free(folio);
		return;
	}
	cut.freed = true;
	zone_device_folio_init(folio, page_pgmap(page), 0);
	folio_unlock(folio);
}

/*
 * The fault has a reference to its page. When the folio is cut it has to be of
 * the page, and not of the first one of the folio: nobody else may have one,
 * because the page was zapped. C7.
 */
static void page_of_the_fault_is_not_freed(struct kunit *test)
{
	struct large large = large_get(test, SEEN_PRIVATE);
	struct dev_pagemap *pagemap = &large.toy->pagemap;
	struct dev_pagemap_ops ops = *pagemap->ops;
	struct other other = {
		.mm = current->mm,
		.fn = zap,
		.addr = large.addr + FAULT_AT * PAGE_SIZE,
		.nr = 1,
	};
	vm_fault_t ret;

	other_create(test, &other);
	normal_ops = pagemap->ops;
	ops.folio_free = keep_page;
	pagemap->ops = &ops;
	ret = fault_and_cut(test, &large, &(struct cut){
		.from = FAULT_AT, .nr = 3, .zap = &other,
	});
	pagemap->ops = normal_ops;
	if (cut.freed)
		put_page(cut.page);
	DMIRROR_EXPECT_ERRNO(test, cut.ret, 0, "zap, collect");
	KUNIT_EXPECT_EQ(test, ret, 0);
	KUNIT_EXPECT_EQ(test, cut.unlocked, 0UL);
	stamp_check(test, large.addr, FAULT_AT, true, "before the page");
	stamp_check(test, large.addr + FAULT_AT * PAGE_SIZE, 1, false,
		    "the page that was zapped");
	large_end(test, &large);
	if (cut.freed)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() frees the page of the fault");
}

static struct kunit_case migrate_split_cases[] = {
	KUNIT_CASE_PARAM(locked_folio_is_not_waited_for, where_gen_params),
	KUNIT_CASE_PARAM(migrating_folio_is_left_alone, where_gen_params),
	KUNIT_CASE_PARAM(held_folio_stays_and_the_page_before_it_goes,
			 where_gen_params),
	KUNIT_CASE_PARAM(zap_during_a_split_stays_within_the_arrays,
			 where_gen_params),
	KUNIT_CASE(page_of_the_fault_is_collected),
	KUNIT_CASE(pages_beside_the_fault_are_locked),
	KUNIT_CASE(page_of_the_fault_is_not_freed),
	{}
};

DMIRROR_SUITE_AS(migrate_split, dmirror_case_init_mm, migrate_split_cases);
