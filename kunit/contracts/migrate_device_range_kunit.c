// SPDX-License-Identifier: GPL-2.0
/*
 * Migration by page frame, whoever maps the pages: migrate_device_range(),
 * migrate_device_pfns(), migrate_device_pages(), migrate_device_finalize() and
 * migrate_device_coherent_folio() of mm/migrate_device.c.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>

#include "../user.h"
#include "core_mm.h"
#include "migrate_large.h"

#define RW (PROT_READ | PROT_WRITE)

/* Pages of most cases. */
#define NR 4UL

#define IN_FLIGHT (MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE)

/**
 * struct way - memory of a device, and how its pages are named
 * @name: in the case's name
 * @kind: of the memory
 * @pfns: by migrate_device_pfns(), else by migrate_device_range()
 */
struct way {
	const char *name;
	const struct device_kind *kind;
	bool pfns;
};

static const struct way ways[] = {
	{ "private_range", &device_kinds[0] },
	{ "private_pfns", &device_kinds[0], .pfns = true },
	{ "coherent_range", &device_kinds[1] },
	{ "coherent_pfns", &device_kinds[1], .pfns = true },
};

KUNIT_ARRAY_PARAM_DESC(way, ways, name);
KUNIT_ARRAY_PARAM_DESC(kind, device_kinds, name);

/**
 * struct eviction - a migration by page frame
 * @toy: the device
 * @addr: NR pages, filled with pattern 1; on the device they are in a row
 * @first: the page frame of the first of them
 * @src: what core mm says
 * @dst: where they are to go
 * @setup: src[] after the first step
 * @pages: src[] after the second step
 */
struct eviction {
	struct toy *toy;
	unsigned long addr;
	unsigned long first;
	unsigned long src[NR];
	unsigned long dst[NR];
	unsigned long setup[NR];
	unsigned long pages[NR];
};

static void eviction_init(struct kunit *test, struct eviction *eviction,
			  enum memory_type type)
{
	migrate_suite_requires(test);
	*eviction = (struct eviction){ };
	eviction->toy = toy_get(test, type, TOY_PAGES);
	eviction->addr = dmirror_user_map(test, NR, RW);
	eviction->first = eviction->toy->first_pfn;
	dmirror_user_fill(test, eviction->addr, NR, 1);
	toy_to_device(test, eviction->toy, eviction->addr, NR);
}

static void evict_collect(struct eviction *eviction, bool pfns)
{
	unsigned long i;

	for (i = 0; i < NR; i++) {
		eviction->src[i] = pfns ? eviction->first + i : ULONG_MAX;
		eviction->dst[i] = 0;
	}
	if (pfns)
		migrate_device_pfns(eviction->src, NR);
	else
		migrate_device_range(eviction->src, eviction->first, NR);
	memcpy(eviction->setup, eviction->src, sizeof(eviction->setup));
}

/* System memory for what is on its way; for the pages of @subset only. */
static void evict_choose(struct eviction *eviction, unsigned long subset)
{
	struct toy_move move = { .toy = eviction->toy, .nr = NR };
	unsigned long i;

	move.args.src = eviction->src;
	move.args.dst = eviction->dst;
	toy_choose_ram(&move);
	for (i = 0; i < NR; i++)
		if (!(subset & BIT(i)))
			attempt_drop(&move, i);
}

static void evict_pages(struct eviction *eviction)
{
	migrate_device_pages(eviction->src, eviction->dst, NR);
	memcpy(eviction->pages, eviction->src, sizeof(eviction->pages));
	migrate_device_finalize(eviction->src, eviction->dst, NR);
}

static void expect_entry(struct kunit *test, const unsigned long *src,
			 unsigned long i, unsigned long want, const char *step)
{
	KUNIT_EXPECT_EQ_MSG(test, src[i], want,
			    "src[%lu] %s: got 0x%lx wanted 0x%lx", i, step,
			    src[i], want);
}

static unsigned long addr_of(const struct eviction *eviction, unsigned long i)
{
	return eviction->addr + i * PAGE_SIZE;
}

/*
 * 1de13ee59225 ("mm/hmm: fix bad subpage pointer in try_to_unmap_one"): the
 * rmap finds the page of a device's entry. B6. Every subset of the pages gets a
 * place to go; the others stay.
 */
static void any_subset_comes_home(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct eviction eviction;
	struct seen before[NR], after;
	unsigned long subset, i, entry;
	struct books books;

	eviction_init(test, &eviction, way->kind->type);
	books = migrate_books(current->mm);
	for (subset = 0; subset < 1 << NR; subset++) {
		for (i = 0; i < NR; i++)
			before[i] = migrate_see_settled(addr_of(&eviction, i));
		evict_collect(&eviction, way->pfns);
		evict_choose(&eviction, subset);
		evict_pages(&eviction);
		KUNIT_EXPECT_EQ_MSG(test, eviction.toy->out,
				    NR - hweight_long(subset),
				    "device pages in use, subset 0x%lx",
				    subset);
		for (i = 0; i < NR; i++) {
			bool moves = subset & BIT(i);

			entry = migrate_pfn(eviction.first + i);
			expect_entry(test, eviction.setup, i, entry | IN_FLIGHT,
				     "after the first step");
			expect_entry(test, eviction.pages, i, moves ?
				     entry | IN_FLIGHT : entry,
				     "after the second step");
			after = migrate_see_settled(addr_of(&eviction, i));
			before[i].folio_dirty |= before[i].dirty;
			if (moves) {
				before[i].kind = SEEN_RAM;
				before[i].pfn = after.pfn;
				before[i].lru = true;
				before[i].folio_dirty = true;
				before[i].dirty = after.dirty;
				before[i].young = after.young;
			}
			migrate_expect_seen(test, addr_of(&eviction, i), &after,
					    &before[i], "after an eviction");
		}
		migrate_expect_books(test, &books, "after an eviction");
		dmirror_user_check(test, eviction.addr, NR, 1, "afterwards");
		/* All home, and out again, to where they were. */
		toy_evict(eviction.toy);
		toy_to_device(test, eviction.toy, eviction.addr, NR);
	}
}

/* "will take a reference and lock any migrating pages that aren't free" */
static void free_pages_are_left_out(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct eviction eviction;
	unsigned long i;

	eviction_init(test, &eviction, way->kind->type);
	toy_to_ram(test, eviction.toy, addr_of(&eviction, 0), 1);
	toy_to_ram(test, eviction.toy, addr_of(&eviction, 2), 1);
	evict_collect(&eviction, way->pfns);
	evict_choose(&eviction, ULONG_MAX);
	evict_pages(&eviction);
	for (i = 0; i < NR; i++) {
		unsigned long want = migrate_pfn(eviction.first + i) |
				     IN_FLIGHT;

		expect_entry(test, eviction.setup, i, i & 1 ? want : 0,
			     "after the first step");
		KUNIT_EXPECT_EQ_MSG(test,
				    page_ref_count(pfn_to_page(eviction.first +
							       i)),
				    0, "references to device page %lu", i);
	}
	KUNIT_EXPECT_EQ(test, eviction.toy->out, 0UL);
	dmirror_user_check(test, eviction.addr, NR, 1, "afterwards");
}

/* Nobody waits for a page that is locked, and nobody unlocks it. */
static void locked_page_is_left_out(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct eviction eviction;
	struct page *page;
	bool locked;
	int refs;

	eviction_init(test, &eviction, way->kind->type);
	page = pfn_to_page(eviction.first + 1);
	lock_page(page);
	evict_collect(&eviction, way->pfns);
	evict_choose(&eviction, ULONG_MAX);
	evict_pages(&eviction);
	locked = PageLocked(page);
	refs = page_ref_count(page);
	unlock_page(page);
	expect_entry(test, eviction.setup, 1, 0, "after the first step");
	KUNIT_EXPECT_TRUE_MSG(test, locked, "is locked still");
	KUNIT_EXPECT_EQ_MSG(test, refs, 1, "references");
	KUNIT_EXPECT_EQ_MSG(test, eviction.toy->out, 1UL,
			    "device pages in use");
	dmirror_user_check(test, eviction.addr, NR, 1, "afterwards");
}

/* "Pinned pages cannot be migrated", and stay as they are. */
static void held_page_stays(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct eviction eviction;
	struct seen before;
	struct page *page;

	eviction_init(test, &eviction, way->kind->type);
	before = migrate_see_settled(addr_of(&eviction, 2));
	page = pfn_to_page(eviction.first + 2);
	get_page(page);
	evict_collect(&eviction, way->pfns);
	evict_choose(&eviction, ULONG_MAX);
	evict_pages(&eviction);
	put_page(page);
	KUNIT_EXPECT_EQ_MSG(test, eviction.pages[2] & MIGRATE_PFN_MIGRATE, 0UL,
			    "src[2] after the second step");
	before.folio_dirty |= before.dirty;
	migrate_expect_still(test, addr_of(&eviction, 2), &before,
			     "after the eviction");
	KUNIT_EXPECT_EQ_MSG(test, eviction.toy->out, 1UL,
			    "device pages in use");
	dmirror_user_check(test, eviction.addr, NR, 1, "afterwards");
}

/* Any order; and what is named twice is taken once. */
static void page_frames_may_be_in_any_order(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	static const unsigned long order[NR] = { 3, 0, 3, 1 };
	struct eviction eviction;
	unsigned long i;

	eviction_init(test, &eviction, kind->type);
	for (i = 0; i < NR; i++)
		eviction.src[i] = eviction.first + order[i];
	migrate_device_pfns(eviction.src, NR);
	memcpy(eviction.setup, eviction.src, sizeof(eviction.setup));
	evict_choose(&eviction, ULONG_MAX);
	evict_pages(&eviction);
	for (i = 0; i < NR; i++)
		expect_entry(test, eviction.setup, i, i == 2 ? 0 :
			     migrate_pfn(eviction.first + order[i]) | IN_FLIGHT,
			     "after the first step");
	KUNIT_EXPECT_EQ_MSG(test, eviction.toy->out, 1UL,
			    "device pages in use");
	KUNIT_EXPECT_EQ(test, migrate_see_settled(addr_of(&eviction, 2)).kind,
			kind->seen);
	dmirror_user_check(test, eviction.addr, NR, 1, "afterwards");
}

static const char * const failure_names[] = {
	[FAIL_HELD] = "held",
	[FAIL_NO_PAGES] = "without migrate_device_pages()",
	[FAIL_NO_DST] = "without destinations",
	[FAIL_DST_FREED] = "with destinations that were freed",
	[FAIL_LATE_REFERENCE] = "held later",
};

static void hold_all(const struct eviction *eviction, bool hold)
{
	unsigned long i;

	for (i = 0; i < NR; i++)
		if (hold)
			get_page(pfn_to_page(eviction->first + i));
		else
			put_page(pfn_to_page(eviction->first + i));
}

/* An eviction that comes to nothing, of all pages. */
static void evict_fail(struct eviction *eviction, bool pfns,
		       enum failure failure)
{
	if (failure == FAIL_HELD)
		hold_all(eviction, true);
	evict_collect(eviction, pfns);
	if (failure != FAIL_NO_DST && failure != FAIL_NO_PAGES)
		evict_choose(eviction, failure == FAIL_DST_FREED ? 0 :
			     ULONG_MAX);
	if (failure == FAIL_LATE_REFERENCE)
		hold_all(eviction, true);
	if (failure == FAIL_NO_PAGES)
		migrate_device_finalize(eviction->src, eviction->dst, NR);
	else
		evict_pages(eviction);
	if (failure == FAIL_HELD || failure == FAIL_LATE_REFERENCE)
		hold_all(eviction, false);
}

/* At every step at which a driver may stop: all of it is where it was. */
static void any_failure_leaves_pages_as_they_were(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct seen before[NR], want;
	struct eviction eviction;
	enum failure failure;
	struct books books;
	unsigned int held;
	unsigned long i;

	eviction_init(test, &eviction, way->kind->type);
	books = migrate_books(current->mm);
	for (failure = 0; failure < ARRAY_SIZE(failure_names); failure++) {
		const char *step = failure_names[failure];

		for (i = 0; i < NR; i++)
			before[i] = migrate_see_settled(addr_of(&eviction, i));
		held = core_held();
		evict_fail(&eviction, way->pfns, failure);
		KUNIT_EXPECT_EQ_MSG(test, core_held(), held,
				    "locks and preemption after an eviction %s",
				    step);
		KUNIT_EXPECT_EQ_MSG(test, eviction.toy->out, NR,
				    "device pages in use after an eviction %s",
				    step);
		for (i = 0; i < NR; i++) {
			want = migrate_seen_back(&before[i]);
			migrate_expect_still(test, addr_of(&eviction, i), &want,
					     step);
		}
		migrate_expect_books(test, &books, step);
		dmirror_buf_check(test, toy_data(pfn_to_page(eviction.first)),
				  eviction.addr, NR, 1, step);
	}
	dmirror_user_check(test, eviction.addr, NR, 1, "at the end");
}

/**
 * struct other_mm - what a child saw
 * @addr: NR pages
 * @seen: of each of them
 * @words: the first one of each of them
 */
struct other_mm {
	unsigned long addr;
	struct seen seen[NR];
	u64 words[NR];
};

static int look_at_all(void *data)
{
	struct other_mm *other = data;
	unsigned long i;

	for (i = 0; i < NR; i++) {
		void __user *at = (void __user *)other->addr + i * PAGE_SIZE;

		other->seen[i] = migrate_see(current->mm,
					     other->addr + i * PAGE_SIZE);
		if (copy_from_user(&other->words[i], at,
				   sizeof(other->words[i])))
			return -EFAULT;
	}

	return 0;
}

/*
 * Pages of two processes, of which the first has given up two pages: all of
 * them come home, for whoever maps them.
 */
static void pages_of_several_mms_come_home(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct other_mm other = { };
	int forked, ret = -EINVAL;
	struct eviction eviction;
	struct user_child child;
	u64 words[NR];
	unsigned long i;

	eviction_init(test, &eviction, way->kind->type);
	other.addr = eviction.addr;
	/* What the child has to see: once at home, then back again. */
	dmirror_user_check(test, eviction.addr, NR, 1, "before");
	DMIRROR_ASSERT_OK(test, look_at_all(&other), "a look at all");
	memcpy(words, other.words, sizeof(words));
	memset(other.words, 0, sizeof(other.words));
	toy_evict(eviction.toy);
	toy_to_device(test, eviction.toy, eviction.addr, NR);
	forked = user_fork(&child);
	if (!forked) {
		vm_munmap(addr_of(&eviction, 2), 2 * PAGE_SIZE);
		evict_collect(&eviction, way->pfns);
		evict_choose(&eviction, ULONG_MAX);
		evict_pages(&eviction);
		user_lru_drain();
		ret = user_ask(&child, look_at_all, &other);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "what the child did");
	KUNIT_EXPECT_EQ_MSG(test, eviction.toy->out, 0UL,
			    "device pages in use");
	for (i = 0; i < NR; i++) {
		struct seen *seen = &other.seen[i];

		KUNIT_EXPECT_EQ_MSG(test, other.words[i], words[i],
				    "first word of page %lu at 0x%lx in the child after the eviction: got 0x%llx wanted 0x%llx",
				    i, addr_of(&eviction, i), other.words[i],
				    words[i]);
		KUNIT_EXPECT_EQ_MSG(test, seen->kind, SEEN_RAM, "page %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, seen->maps, i < 2 ? 2 : 1,
				    "mappings of page %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, seen->refs, i < 2 ? 2 : 1,
				    "references to page %lu", i);
		KUNIT_EXPECT_FALSE_MSG(test, seen->write, "page %lu", i);
	}
	dmirror_user_check(test, eviction.addr, 2, 1, "in the parent");
}

/**
 * struct big - a migration of as many page frames as a case likes
 * @move: the device and the arrays
 * @pages: src[] after migrate_device_pages()
 */
struct big {
	struct toy_move move;
	unsigned long *pages;
};

static void big_init(struct kunit *test, struct big *big, struct toy *toy,
		     unsigned long nr)
{
	toy_move_init(test, &big->move, toy, 0, nr, 0);
	big->pages = kunit_kcalloc(test, nr, sizeof(*big->pages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, big->pages);
}

static void big_finish(struct big *big)
{
	struct migrate_vma *args = &big->move.args;

	migrate_device_pages(args->src, args->dst, big->move.nr);
	memcpy(big->pages, args->src, big->move.nr * sizeof(*big->pages));
	migrate_device_finalize(args->src, args->dst, big->move.nr);
}

/* The first step, for pages in a row. */
static void big_collect(struct big *big, bool pfns, unsigned long first)
{
	unsigned long *src = big->move.args.src, i;

	for (i = 0; i < big->move.nr; i++) {
		src[i] = pfns ? first + i : ULONG_MAX;
		big->move.args.dst[i] = 0;
	}
	if (pfns)
		migrate_device_pfns(src, big->move.nr);
	else
		migrate_device_range(src, first, big->move.nr);
}

/* The first entry that names a page or says anything else. */
static unsigned long first_entry(const struct big *big)
{
	unsigned long i;

	for (i = 0; i < big->move.nr; i++)
		if (big->move.args.src[i])
			break;

	return i;
}

/* One entry for a large folio, however it is named. */
static void large_folio_comes_home_whole(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct large large = large_get(test, SEEN_PRIVATE);
	struct seen before = migrate_see_settled(large.addr), after;
	struct books books = migrate_books(current->mm);
	unsigned long setup[2];
	struct big big;

	big_init(test, &big, large.toy, NR_LARGE);
	big.move.args.src[0] = before.pfn;
	if (way->pfns)
		migrate_device_pfns(big.move.args.src, NR_LARGE);
	else
		migrate_device_range(big.move.args.src, before.pfn, NR_LARGE);
	memcpy(setup, big.move.args.src, sizeof(setup));
	toy_choose_ram(&big.move);
	big_finish(&big);
	after = migrate_see_settled(large.addr);
	expect_entry(test, setup, 0, migrate_pfn(before.pfn) | LARGE_PAGE,
		     "after the first step");
	expect_entry(test, setup, 1, 0, "after the first step");
	before.kind = SEEN_RAM;
	before.pfn = after.pfn;
	before.lru = true;
	before.dirty = after.dirty;
	before.young = after.young;
	migrate_expect_seen(test, large.addr, &after, &before, "at home");
	migrate_expect_books(test, &books, "at home");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, 0UL, "device pages in use");
	stamp_check(test, large.addr, NR_LARGE, true, "at home");
	large_end(test, &large);
}

static const struct way large_ways[] = {
	{ "range", &device_kinds[0] },
	{ "pfns", &device_kinds[0], .pfns = true },
};

KUNIT_ARRAY_PARAM_DESC(large_way, large_ways, name);

/* Where there is no VMA nothing can cut it: it stays. */
static void large_folio_is_not_cut_for_small_pages(struct kunit *test)
{
	struct large large = large_get(test, SEEN_PRIVATE);
	struct seen before = migrate_see_settled(large.addr);
	struct big big;
	bool given;

	big_init(test, &big, large.toy, NR_LARGE);
	migrate_device_range(big.move.args.src, before.pfn, NR_LARGE);
	given = give_small_pages(&big.move, SEEN_PRIVATE, NULL);
	big_finish(&big);
	KUNIT_ASSERT_TRUE(test, given);
	KUNIT_EXPECT_EQ_MSG(test, big.pages[0] & MIGRATE_PFN_MIGRATE, 0UL,
			    "src[0] after the second step");
	migrate_expect_still(test, large.addr, &before, "after the refusal");
	stamp_check(test, large.addr, NR_LARGE, true, "after the refusal");
	large_end(test, &large);
}

/* A range that ends in the middle of a folio leaves it out, and unlocked. */
static void range_that_ends_inside_a_folio_leaves_it(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct large large = large_get(test, SEEN_PRIVATE);
	struct seen before = migrate_see_settled(large.addr);
	unsigned long nr = NR_LARGE - 1, wrong, entry;
	struct big big;

	big_init(test, &big, large.toy, nr);
	big_collect(&big, way->pfns, before.pfn);
	wrong = first_entry(&big);
	entry = wrong < nr ? big.move.args.src[wrong] : 0;
	big_finish(&big);
	KUNIT_EXPECT_EQ_MSG(test, wrong, nr,
			    "src[%lu], of 0x%lx, after the first step: got 0x%lx wanted 0",
			    wrong, large.addr + wrong * PAGE_SIZE, entry);
	migrate_expect_still(test, large.addr, &before, "afterwards");
	stamp_check(test, large.addr, NR_LARGE, true, "afterwards");
	large_end(test, &large);
}

/* As evict_fail(), of the folio that @big is about. */
static void big_fail(struct big *big, bool pfns, struct folio *folio,
		     enum failure failure)
{
	struct migrate_vma *args = &big->move.args;

	if (failure == FAIL_HELD)
		folio_get(folio);
	big_collect(big, pfns, folio_pfn(folio));
	if (failure != FAIL_NO_DST && failure != FAIL_NO_PAGES)
		toy_choose_ram(&big->move);
	if (failure == FAIL_DST_FREED)
		attempt_drop(&big->move, 0);
	if (failure == FAIL_LATE_REFERENCE)
		folio_get(folio);
	if (failure == FAIL_NO_PAGES)
		migrate_device_finalize(args->src, args->dst, big->move.nr);
	else
		big_finish(big);
	if (failure == FAIL_HELD || failure == FAIL_LATE_REFERENCE)
		folio_put(folio);
}

/* The same at every step for a large folio. */
static void any_failure_leaves_a_large_folio_as_it_was(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct large large = large_get(test, SEEN_PRIVATE);
	struct seen before = migrate_see_settled(large.addr);
	struct books books = migrate_books(current->mm);
	enum failure failure;
	unsigned int held;
	struct big big;

	big_init(test, &big, large.toy, NR_LARGE);
	before = migrate_seen_back(&before);
	for (failure = 0; failure < ARRAY_SIZE(failure_names); failure++) {
		const char *step = failure_names[failure];

		held = core_held();
		big_fail(&big, way->pfns,
			 page_folio(pfn_to_page(before.pfn)), failure);
		KUNIT_EXPECT_EQ_MSG(test, core_held(), held,
				    "locks and preemption after an eviction %s",
				    step);
		if (!migrate_expect_still(test, large.addr, &before, step))
			break;
		migrate_expect_books(test, &books, step);
		KUNIT_EXPECT_EQ_MSG(test, large.toy->out, NR_LARGE,
				    "device pages in use after an eviction %s",
				    step);
	}
	stamp_check(test, large.addr, NR_LARGE, true, "at the end");
	large_end(test, &large);
}

/*
 * Nobody waits for a large folio that is locked, nobody unlocks it, and its
 * entry is 0. Up to 7.3 that is MIGRATE_PFN_COMPOUND, of no page. C9.
 */
static void locked_folio_is_left_out(struct kunit *test)
{
	const struct way *way = test->param_value;
	struct large large = large_get(test, SEEN_PRIVATE);
	struct seen before = migrate_see_settled(large.addr);
	struct folio *folio = page_folio(pfn_to_page(before.pfn));
	unsigned long wrong, entry;
	struct big big;
	bool locked;

	big_init(test, &big, large.toy, NR_LARGE);
	folio_lock(folio);
	big_collect(&big, way->pfns, before.pfn);
	wrong = first_entry(&big);
	entry = wrong < NR_LARGE ? big.move.args.src[wrong] : 0;
	toy_choose_ram(&big.move);
	big_finish(&big);
	locked = folio_test_locked(folio);
	folio_unlock(folio);
	KUNIT_EXPECT_TRUE_MSG(test, locked, "0x%lx is locked still",
			      large.addr);
	migrate_expect_still(test, large.addr, &before, "after the eviction");
	stamp_check(test, large.addr, NR_LARGE, true, "after the eviction");
	large_end(test, &large);
	if (!wrong && entry == MIGRATE_PFN_COMPOUND)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_device_range() of a locked large folio");
	KUNIT_EXPECT_EQ_MSG(test, wrong, NR_LARGE,
			    "src[%lu], of 0x%lx, after the first step: got 0x%lx wanted 0",
			    wrong, large.addr + wrong * PAGE_SIZE, entry);
}

/*
 * A range that begins in the middle of a folio leaves that out, and nothing
 * else. Up to 7.3 it skips as many pages as the whole folio has. C9.
 */
static void range_that_begins_inside_a_folio_has_the_rest(struct kunit *test)
{
	struct large large = large_get(test, SEEN_PRIVATE);
	unsigned long addr = dmirror_user_map(test, 2, RW), src[2];
	struct seen first = migrate_see_settled(large.addr), second;
	struct big big;

	dmirror_user_fill(test, addr, 2, 1);
	toy_to_device(test, large.toy, addr, 2);
	second = migrate_see_settled(addr);
	KUNIT_ASSERT_EQ_MSG(test, second.pfn, first.pfn + NR_LARGE,
			    "the page behind the folio");
	big_init(test, &big, large.toy, NR_LARGE + 1);
	migrate_device_range(big.move.args.src, first.pfn + 1, NR_LARGE + 1);
	memcpy(src, &big.move.args.src[NR_LARGE - 1], sizeof(src));
	big_finish(&big);
	migrate_expect_still(test, large.addr, &first, "afterwards");
	dmirror_user_check(test, addr, 2, 1, "afterwards");
	large_end(test, &large);
	if (!src[0] && src[1])
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_device_range() from inside a folio");
	expect_entry(test, src, 0, migrate_pfn(second.pfn) | IN_FLIGHT,
		     "of the first page behind the folio");
	expect_entry(test, src, 1, migrate_pfn(second.pfn + 1) | IN_FLIGHT,
		     "of the second page behind the folio");
}

/*
 * What free pages once were is still written in them, and says nothing about
 * the pages behind. Up to 7.3 a page that is in use where a large folio was is
 * not found, as long as the first page of that has no new use. C9.
 */
static void page_where_a_large_folio_was_is_found(struct kunit *test)
{
	unsigned long addr, entry;
	struct page *page;
	struct toy *toy;
	struct seen seen;
	struct big big;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 1, RW);
	page = toy_alloc(toy, ilog2(TOY_PAGES));
	KUNIT_ASSERT_NOT_NULL(test, page);
	unlock_page(page);
	put_page(page);
	dmirror_user_fill(test, addr, 1, 1);
	/* The device is free to begin with its sixth page. */
	bitmap_set(toy->used, 0, 5);
	toy_to_device(test, toy, addr, 1);
	bitmap_clear(toy->used, 0, 5);
	seen = migrate_see_settled(addr);
	KUNIT_ASSERT_EQ(test, seen.pfn, toy->first_pfn + 5);
	big_init(test, &big, toy, TOY_PAGES);
	migrate_device_range(big.move.args.src, toy->first_pfn, TOY_PAGES);
	entry = big.move.args.src[5];
	big_finish(&big);
	dmirror_user_check(test, addr, 1, 1, "afterwards");
	if (!entry)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_device_range() where a large folio was");
	expect_entry(test, &entry, 0, migrate_pfn(seen.pfn) | IN_FLIGHT,
		     "of the sixth page");
}

/* migrate_device_coherent_folio(), which nothing but a pin calls. */
static void pin_for_long_brings_a_coherent_page_home(struct kunit *test)
{
	struct eviction eviction;
	struct seen before, pinned, after;
	struct page *page;
	long got;

	eviction_init(test, &eviction, MEMORY_DEVICE_COHERENT);
	before = migrate_see_settled(eviction.addr);
	got = pin_user_pages_fast(eviction.addr, 1, FOLL_WRITE | FOLL_LONGTERM,
				  &page);
	KUNIT_ASSERT_EQ(test, got, 1L);
	pinned = migrate_see_settled(eviction.addr);
	unpin_user_page(page);
	after = migrate_see_settled(eviction.addr);
	KUNIT_EXPECT_EQ(test, pinned.kind, SEEN_RAM);
	KUNIT_EXPECT_EQ(test, pinned.pfn, page_to_pfn(page));
	before.kind = SEEN_RAM;
	before.pfn = pinned.pfn;
	before.lru = true;
	/* A pin is an access. */
	before.active = after.active;
	before.folio_dirty = after.folio_dirty;
	before.dirty = after.dirty;
	before.young = after.young;
	migrate_expect_seen(test, eviction.addr, &after, &before,
			    "after the pin");
	KUNIT_EXPECT_EQ_MSG(test, eviction.toy->out, NR - 1,
			    "device pages in use");
	dmirror_user_check(test, eviction.addr, NR, 1, "after the pin");
}

/* "The caller should have a reference [...] dropped on failure" */
static void pin_for_long_of_a_held_coherent_page_fails(struct kunit *test)
{
	struct eviction eviction;
	struct page *page, *held;
	struct seen before;
	long got;

	eviction_init(test, &eviction, MEMORY_DEVICE_COHERENT);
	before = migrate_see_settled(eviction.addr);
	held = pfn_to_page(eviction.first);
	get_page(held);
	got = pin_user_pages_fast(eviction.addr, 1, FOLL_WRITE | FOLL_LONGTERM,
				  &page);
	put_page(held);
	if (got == 1)
		unpin_user_page(page);
	DMIRROR_EXPECT_ERRNO(test, got, -EBUSY, "pin of a held page");
	before.folio_dirty |= before.dirty;
	migrate_expect_still(test, eviction.addr, &before, "after the failure");
	KUNIT_EXPECT_EQ_MSG(test, eviction.toy->out, NR, "device pages in use");
	dmirror_user_check(test, eviction.addr, NR, 1, "after the failure");
}

static struct kunit_case migrate_device_range_cases[] = {
	KUNIT_CASE_PARAM(any_subset_comes_home, way_gen_params),
	KUNIT_CASE_PARAM(free_pages_are_left_out, way_gen_params),
	KUNIT_CASE_PARAM(locked_page_is_left_out, way_gen_params),
	KUNIT_CASE_PARAM(held_page_stays, way_gen_params),
	KUNIT_CASE_PARAM(any_failure_leaves_pages_as_they_were, way_gen_params),
	KUNIT_CASE_PARAM(page_frames_may_be_in_any_order, kind_gen_params),
	KUNIT_CASE_PARAM(pages_of_several_mms_come_home, way_gen_params),
	KUNIT_CASE_PARAM(large_folio_comes_home_whole, large_way_gen_params),
	KUNIT_CASE(large_folio_is_not_cut_for_small_pages),
	KUNIT_CASE_PARAM(range_that_ends_inside_a_folio_leaves_it,
			 large_way_gen_params),
	KUNIT_CASE_PARAM(any_failure_leaves_a_large_folio_as_it_was,
			 large_way_gen_params),
	KUNIT_CASE_PARAM(locked_folio_is_left_out, large_way_gen_params),
	KUNIT_CASE(range_that_begins_inside_a_folio_has_the_rest),
	KUNIT_CASE(page_where_a_large_folio_was_is_found),
	KUNIT_CASE(pin_for_long_brings_a_coherent_page_home),
	KUNIT_CASE(pin_for_long_of_a_held_coherent_page_fails),
	{}
};

DMIRROR_SUITE_AS(migrate_device_range, dmirror_case_init_mm,
		 migrate_device_range_cases);
