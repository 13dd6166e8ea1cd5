// SPDX-License-Identifier: GPL-2.0
/*
 * migrate_vma_pages(): pages for holes, races with the CPU, destinations that
 * it must not take, and what MMU notifiers are told. From mm/migrate_device.c,
 * include/linux/migrate.h and steps 2 to 5 of Documentation/mm/hmm.rst.
 *
 * Not here: holes of an area with a userfaultfd, and a memory cgroup that is
 * full, because no configuration of the tiers has them.
 */
#include <kunit/resource.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>

#include "../user.h"
#include "migrate_see.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM
#define SELECT_ALL (SYSTEM | MIGRATE_VMA_SELECT_DEVICE_PRIVATE |	\
		    MIGRATE_VMA_SELECT_DEVICE_COHERENT)

KUNIT_ARRAY_PARAM_DESC(kind, device_kinds, name);

/**
 * struct place - where a page is, or is to go
 * @name: in the case's name
 * @seen: which kind of memory
 */
struct place {
	const char *name;
	enum seen_kind seen;
};

static struct toy *toy_of_place(struct kunit *test, enum seen_kind seen)
{
	migrate_suite_requires(test);
	if (seen == SEEN_COHERENT)
		return toy_get(test, MEMORY_DEVICE_COHERENT, TOY_PAGES);

	/* To system memory: any device will do. */
	return toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
}

/* A locked page of zeroes of the kind, with one reference; or NULL. */
static struct page *new_page(struct toy *toy, enum seen_kind seen)
{
	struct page *page;

	if (seen != SEEN_RAM) {
		page = toy_alloc(toy, 0);
		if (page)
			memset(toy_data(page), 0, PAGE_SIZE);
		return page;
	}
	page = alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_ZERO);
	if (page)
		lock_page(page);

	return page;
}

/* Gives entry @i a page of its own. False: there is none. */
static bool give_page(struct toy_move *move, unsigned long i,
		      enum seen_kind seen)
{
	struct page *page = new_page(move->toy, seen);

	if (page)
		move->args.dst[i] = migrate_pfn(page_to_pfn(page));

	return page;
}

/**
 * struct hole - a hole that is given a page
 * @name: in the case's name
 * @seen: kind of the page
 * @zero: not a hole, but the zero page
 * @read_only: the mapping is
 */
struct hole {
	const char *name;
	enum seen_kind seen;
	bool zero;
	bool read_only;
};

static const struct hole holes[] = {
	{ "private", SEEN_PRIVATE },
	{ "private_read_only", SEEN_PRIVATE, .read_only = true },
	{ "private_for_zero_page", SEEN_PRIVATE, .zero = true },
	{ "private_for_zero_page_read_only", SEEN_PRIVATE, .zero = true,
	  .read_only = true },
	{ "coherent", SEEN_COHERENT },
	{ "coherent_read_only", SEEN_COHERENT, .read_only = true },
	{ "coherent_for_zero_page", SEEN_COHERENT, .zero = true },
	{ "coherent_for_zero_page_read_only", SEEN_COHERENT, .zero = true,
	  .read_only = true },
	{ "ram", SEEN_RAM },
	{ "ram_read_only", SEEN_RAM, .read_only = true },
	{ "ram_for_zero_page", SEEN_RAM, .zero = true },
	{ "ram_for_zero_page_read_only", SEEN_RAM, .zero = true,
	  .read_only = true },
};

KUNIT_ARRAY_PARAM_DESC(hole, holes, name);

/* Those that the CPU can fill. */
static const struct hole races[] = {
	{ "private", SEEN_PRIVATE },
	{ "private_for_zero_page", SEEN_PRIVATE, .zero = true },
	{ "coherent", SEEN_COHERENT },
	{ "coherent_for_zero_page", SEEN_COHERENT, .zero = true },
	{ "ram", SEEN_RAM },
	{ "ram_for_zero_page", SEEN_RAM, .zero = true },
};

KUNIT_ARRAY_PARAM_DESC(race, races, name);

/* A hole, or a zero page, of one page. */
static unsigned long hole_get(struct kunit *test, const struct hole *hole)
{
	unsigned long prot = hole->read_only ? PROT_READ : RW;
	unsigned long addr = dmirror_user_map(test, 1, prot);

	if (hole->zero)
		dmirror_user_touch(test, addr, 1);

	return addr;
}

/* "where the newly allocated page is inserted into the CPU's page table" */
static void hole_gets_the_page(struct kunit *test)
{
	const struct hole *hole = test->param_value;
	struct toy *toy = toy_of_place(test, hole->seen);
	unsigned long addr = hole_get(test, hole);
	struct books books = migrate_books(current->mm);
	bool present = hole->seen != SEEN_PRIVATE, given;
	struct attempt attempt;
	struct seen got, want;

	attempt_init(test, &attempt, toy, addr, 1, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_page(&attempt.move, 0, hole->seen);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	got = migrate_see_settled(addr);

	KUNIT_ASSERT_TRUE(test, given);
	attempt_expect_src(test, &attempt, attempt.pages, 0,
			   MIGRATE_PFN_MIGRATE, "after pages");
	want = (struct seen){
		.kind = hole->seen,
		.write = !hole->read_only,
		/* The permission comes with the dirty bit, as of a fault. */
		.dirty = present && !hole->read_only,
		.young = got.young,
		.soft_dirty = got.soft_dirty,
		.exclusive = true,
		.anon = true,
		.lru = hole->seen == SEEN_RAM,
		.refs = 1,
		.maps = 1,
	};
	migrate_expect_seen(test, addr, &got, &want, "where a hole was");
	books.anon++;
	/* A hole may have no tables. */
	books.tables = migrate_books(current->mm).tables;
	migrate_expect_books(test, &books, "where a hole was");
	KUNIT_EXPECT_EQ_MSG(test, toy->out, hole->seen == SEEN_RAM ? 0UL : 1UL,
			    "device pages in use");
	dmirror_user_check(test, addr, 1, 0, "where a hole was");
}

/* "can also choose to skip migrating a page" */
static void hole_without_a_page_stays(struct kunit *test)
{
	const struct hole *hole = test->param_value;
	struct toy *toy = toy_of_place(test, hole->seen);
	unsigned long addr = hole_get(test, hole);
	struct books books = migrate_books(current->mm);
	struct seen before = migrate_see_settled(addr);
	struct attempt attempt;

	attempt_init(test, &attempt, toy, addr, 1, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_abort(&attempt), "collect");
	attempt_expect_balance(test, &attempt, "that was aborted");
	attempt_expect_src(test, &attempt, attempt.pages, 0, 0, "after pages");
	migrate_expect_still(test, addr, &before, "without a page for it");
	migrate_expect_books(test, &books, "without a page for it");
}

/* The CPU faults while the caller of migrate_vma_setup() has mmap_lock. */
static bool cpu_faults(struct toy_move *move, unsigned long i, bool write)
{
	unsigned int flags = FAULT_FLAG_DEFAULT & ~FAULT_FLAG_ALLOW_RETRY;

	return !(handle_mm_fault(move->args.vma,
				 move->args.start + i * PAGE_SIZE,
				 flags | (write ? FAULT_FLAG_WRITE : 0),
				 NULL) & VM_FAULT_ERROR);
}

/*
 * "This can fail if a CPU thread faults on the same page [...] only one of the
 * new pages will be inserted. [...] MIGRATE_PFN_MIGRATE is cleared".
 */
static void hole_that_was_filled_meanwhile_stays_filled(struct kunit *test)
{
	const struct hole *hole = test->param_value;
	struct toy *toy = toy_of_place(test, hole->seen);
	unsigned long addr = hole_get(test, hole);
	struct seen winner, after;
	struct attempt attempt;
	bool given, faulted;

	attempt_init(test, &attempt, toy, addr, 1, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_page(&attempt.move, 0, hole->seen);
	faulted = cpu_faults(&attempt.move, 0, true);
	winner = migrate_see(current->mm, addr);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	after = migrate_see_settled(addr);

	KUNIT_ASSERT_TRUE(test, given && faulted);
	attempt_expect_src(test, &attempt, attempt.pages, 0, 0, "after pages");
	KUNIT_EXPECT_EQ(test, winner.kind, SEEN_RAM);
	/* Which was on its way to the LRU when it was seen. */
	winner.refs = 1;
	winner.lru = true;
	migrate_expect_seen(test, addr, &after, &winner, "after the race");
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 0UL, "device pages in use");
	KUNIT_EXPECT_EQ(test, migrate_books(current->mm).anon, 1UL);
}

/* The zero page is a hole still. */
static void hole_that_was_read_meanwhile_gets_the_page(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct toy *toy = toy_of_place(test, kind->seen);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	struct attempt attempt;
	bool given, faulted;
	struct seen during, after;

	attempt_init(test, &attempt, toy, addr, 1, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_page(&attempt.move, 0, kind->seen);
	faulted = cpu_faults(&attempt.move, 0, false);
	during = migrate_see(current->mm, addr);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	after = migrate_see_settled(addr);
	KUNIT_ASSERT_TRUE(test, given && faulted);
	KUNIT_EXPECT_EQ(test, during.kind, SEEN_ZERO);
	KUNIT_EXPECT_EQ(test, after.kind, kind->seen);
	attempt_expect_src(test, &attempt, attempt.pages, 0,
			   MIGRATE_PFN_MIGRATE, "after pages");
}

/* What the OOM reaper has been at is not filled again. */
static void unstable_mm_gets_no_pages(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct toy *toy = toy_of_place(test, kind->seen);
	unsigned long addr = dmirror_user_map(test, 2, RW);
	struct attempt attempt;
	struct seen after;
	bool given;

	dmirror_user_touch(test, addr + PAGE_SIZE, 1);
	attempt_init(test, &attempt, toy, addr, 2, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_page(&attempt.move, 0, kind->seen) &&
		give_page(&attempt.move, 1, kind->seen);
	mm_flags_set(MMF_UNSTABLE, current->mm);
	attempt_pages(&attempt);
	mm_flags_clear(MMF_UNSTABLE, current->mm);
	toy_finish(&attempt.move);
	after = migrate_see_settled(addr);
	KUNIT_ASSERT_TRUE(test, given);
	KUNIT_EXPECT_EQ(test, after.kind, SEEN_NOTHING);
	KUNIT_EXPECT_EQ(test, migrate_see_settled(addr + PAGE_SIZE).kind,
			SEEN_ZERO);
	attempt_expect_src(test, &attempt, attempt.pages, 0, 0, "after pages");
	attempt_expect_src(test, &attempt, attempt.pages, 1, 0, "after pages");
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 0UL, "device pages in use");
}

/**
 * struct route - from where to where
 * @name: in the case's name
 * @from: a kind of memory
 * @to: a kind of memory
 */
struct route {
	const char *name;
	enum seen_kind from;
	enum seen_kind to;
};

static const struct route routes[] = {
	{ "ram_to_ram", SEEN_RAM, SEEN_RAM },
	{ "ram_to_private", SEEN_RAM, SEEN_PRIVATE },
	{ "ram_to_coherent", SEEN_RAM, SEEN_COHERENT },
	{ "private_to_ram", SEEN_PRIVATE, SEEN_RAM },
	{ "private_to_private", SEEN_PRIVATE, SEEN_PRIVATE },
	{ "private_to_coherent", SEEN_PRIVATE, SEEN_COHERENT },
	{ "coherent_to_ram", SEEN_COHERENT, SEEN_RAM },
	{ "coherent_to_private", SEEN_COHERENT, SEEN_PRIVATE },
	{ "coherent_to_coherent", SEEN_COHERENT, SEEN_COHERENT },
};

KUNIT_ARRAY_PARAM_DESC(route, routes, name);

static void copy_page_data(struct page *to, struct page *from)
{
	void *dst = is_zone_device_page(to) ? toy_data(to) : page_address(to);
	void *src = is_zone_device_page(from) ? toy_data(from) :
						page_address(from);

	memcpy(dst, src, PAGE_SIZE);
}

/* "copy device private memory to system memory or another device's page" */
static void page_moves_from_any_memory_to_any(struct kunit *test)
{
	const struct route *route = test->param_value;
	struct toy *from = toy_of_place(test, route->from);
	struct toy *to = toy_of_place(test, route->to);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	struct seen before, after, want;
	struct attempt attempt;
	struct books books;
	struct page *page;

	dmirror_user_fill(test, addr, 1, 1);
	if (route->from != SEEN_RAM)
		toy_to_device(test, from, addr, 1);
	books = migrate_books(current->mm);
	before = migrate_see_settled(addr);
	attempt_init(test, &attempt, from, addr, 1, SELECT_ALL);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	page = new_page(to, route->to);
	if (page) {
		copy_page_data(page, pfn_to_page(before.pfn));
		attempt.move.args.dst[0] = migrate_pfn(page_to_pfn(page));
	}
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	after = migrate_see_settled(addr);

	KUNIT_ASSERT_NOT_NULL(test, page);
	want = before;
	want.pfn = page_to_pfn(page);
	want.kind = route->to;
	want.lru = route->to == SEEN_RAM;
	/* An entry of private memory has neither. */
	want.dirty = route->to != SEEN_PRIVATE && after.dirty;
	want.young = route->to != SEEN_PRIVATE && after.young;
	want.folio_dirty |= before.dirty;
	migrate_expect_seen(test, addr, &after, &want, "after it moved");
	migrate_expect_books(test, &books, "after it moved");
	KUNIT_EXPECT_EQ_MSG(test, from->out,
			    route->from == route->to && from == to ? 1UL : 0UL,
			    "pages of the first device");
	KUNIT_EXPECT_EQ_MSG(test, to->out, route->to == SEEN_RAM ? 0UL : 1UL,
			    "pages of the second device");
	dmirror_user_check(test, addr, 1, 1, "after it moved");
}

/* "For now only support anonymous memory migrating to device" memory. */
static void shared_memory_does_not_go_to_a_device(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct toy *toy = toy_of_place(test, kind->seen);
	unsigned long addr = dmirror_user_map_shared(test, 2);
	struct books books;
	struct attempt attempt;
	struct seen before;

	dmirror_user_fill(test, addr, 1, 1);
	before = migrate_see_settled(addr);
	books = migrate_books(current->mm);
	attempt_init(test, &attempt, toy, addr, 2, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	toy_choose_device(&attempt.move);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	attempt_expect_src(test, &attempt, attempt.pages, 0,
			   migrate_pfn(before.pfn) | MIGRATE_PFN_WRITE,
			   "after pages");
	before.folio_dirty |= before.dirty;
	migrate_expect_still(test, addr, &before, "after the refusal");
	migrate_expect_books(test, &books, "after the refusal");
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 0UL, "device pages in use");
	dmirror_user_check(test, addr, 1, 1, "after the refusal");
}

/* Not even where somebody has given a hole of it a page. */
static void hole_of_shared_memory_gets_no_page(struct kunit *test)
{
	struct toy *toy = toy_of_place(test, SEEN_PRIVATE);
	unsigned long addr = dmirror_user_map_shared(test, 1);
	struct attempt attempt;
	struct seen after;
	bool given;

	attempt_init(test, &attempt, toy, addr, 1, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_page(&attempt.move, 0, SEEN_PRIVATE);
	/* The caller must not do this. */
	attempt.move.args.src[0] = MIGRATE_PFN_MIGRATE;
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	after = migrate_see_settled(addr);
	KUNIT_ASSERT_TRUE(test, given);
	attempt_expect_src(test, &attempt, attempt.pages, 0, 0, "after pages");
	KUNIT_EXPECT_EQ(test, after.kind, SEEN_NOTHING);
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 0UL, "device pages in use");
}

static void generic_end(void *data)
{
	memunmap_pages(data);
}

/* Memory of a device of a kind that cannot be migrated to. */
static struct page *generic_page(struct kunit *test)
{
	struct range region = dmirror_coherent_region(test, 0);
	struct dev_pagemap *pagemap;
	void *addr;

	pagemap = kunit_kzalloc(test, sizeof(*pagemap), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pagemap);
	pagemap->type = MEMORY_DEVICE_GENERIC;
	pagemap->range.start = region.start;
	pagemap->range.end = region.start + (TOY_PAGES << PAGE_SHIFT) - 1;
	pagemap->nr_range = 1;
	addr = memremap_pages(pagemap, numa_node_id());
	KUNIT_ASSERT_FALSE(test, IS_ERR(addr));
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, generic_end,
							pagemap), 0);

	return pfn_to_page(PHYS_PFN(region.start));
}

/* "Other types of ZONE_DEVICE page are not supported." */
static void page_of_another_kind_of_device_is_refused(struct kunit *test)
{
	struct toy *toy = toy_of_place(test, SEEN_PRIVATE);
	struct page *generic = generic_page(test);
	unsigned long i, addr = dmirror_user_map(test, 2, RW);
	struct attempt attempt;
	struct seen before[2];
	int refs;

	dmirror_user_fill(test, addr, 1, 1);
	for (i = 0; i < 2; i++)
		before[i] = migrate_see_settled(addr + i * PAGE_SIZE);
	refs = page_ref_count(generic);
	attempt_init(test, &attempt, toy, addr, 2, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	for (i = 0; i < 2; i++) {
		lock_page(generic + i);
		attempt.move.args.dst[i] = migrate_pfn(page_to_pfn(generic) +
						       i);
	}
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	before[0].folio_dirty |= before[0].dirty;
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_FALSE_MSG(test, attempt.pages[i] &
				       MIGRATE_PFN_MIGRATE, "entry %lu", i);
		migrate_expect_still(test, addr + i * PAGE_SIZE, &before[i],
				     "after the refusal");
		KUNIT_EXPECT_EQ(test, page_ref_count(generic + i), refs);
		KUNIT_EXPECT_FALSE(test, PageLocked(generic + i));
	}
	dmirror_user_check(test, addr, 1, 1, "after the refusal");
}

/**
 * struct witness - an MMU notifier that writes down what it is told
 * @notifier: its registration
 * @events: of invalidate_range_start()
 * @nr: number of those
 * @open: calls of invalidate_range_start() without their end
 * @unmatched: ends that were not those of the last start
 */
struct witness {
	struct mmu_notifier notifier;
	struct mmu_notifier_range events[8];
	unsigned int nr;
	int open;
	unsigned int unmatched;
};

static int witness_start(struct mmu_notifier *notifier,
			 const struct mmu_notifier_range *range)
{
	struct witness *witness = container_of(notifier, struct witness,
					       notifier);

	if (witness->nr < ARRAY_SIZE(witness->events))
		witness->events[witness->nr] = *range;
	witness->nr++;
	witness->open++;

	return 0;
}

static void witness_end(struct mmu_notifier *notifier,
			const struct mmu_notifier_range *range)
{
	struct witness *witness = container_of(notifier, struct witness,
					       notifier);
	unsigned int last = min(witness->nr, ARRAY_SIZE(witness->events)) - 1;

	witness->open--;
	if (range->start != witness->events[last].start ||
	    range->end != witness->events[last].end)
		witness->unmatched++;
}

static const struct mmu_notifier_ops witness_ops = {
	.invalidate_range_start = witness_start,
	.invalidate_range_end = witness_end,
};

static void expect_event(struct kunit *test, const struct witness *witness,
			 unsigned int i, unsigned long start,
			 unsigned long end, struct toy *owner)
{
	const struct mmu_notifier_range *event = &witness->events[i];

	KUNIT_EXPECT_EQ_MSG(test, event->event, MMU_NOTIFY_MIGRATE,
			    "event %u", i);
	KUNIT_EXPECT_EQ_MSG(test, event->start, start, "start of event %u", i);
	KUNIT_EXPECT_EQ_MSG(test, event->end, end, "end of event %u", i);
	KUNIT_EXPECT_PTR_EQ_MSG(test, event->owner, (void *)owner,
				"owner of event %u", i);
}

/*
 * A migration of four pages, of which @filled are there. Notes in @collected
 * how many events the first step had.
 */
static void witness_migration(struct kunit *test, struct witness *witness,
			      struct toy *toy, unsigned long addr,
			      unsigned int filled, unsigned int *collected)
{
	struct attempt attempt;
	unsigned int i;
	int ret;

	for (i = 0; i < 4; i++)
		if (filled & BIT(i))
			dmirror_user_fill(test, addr + i * PAGE_SIZE, 1, 1);
	attempt_init(test, &attempt, toy, addr, 4, SYSTEM);
	witness->nr = 0;
	ret = attempt_collect(&attempt);
	*collected = witness->nr;
	if (!ret) {
		toy_choose_device(&attempt.move);
		attempt_pages(&attempt);
		toy_finish(&attempt.move);
	}
	DMIRROR_ASSERT_OK(test, ret, "collect");
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 4UL, "device pages in use");
}

static void witness_end_action(void *data)
{
	struct witness *witness = data;

	mmu_notifier_unregister(&witness->notifier, witness->notifier.mm);
}

static struct witness *witness_get(struct kunit *test)
{
	struct witness *witness;

	witness = kunit_kzalloc(test, sizeof(*witness), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, witness);
	witness->notifier.ops = &witness_ops;
	DMIRROR_ASSERT_OK(test, mmu_notifier_register(&witness->notifier,
						      current->mm),
			  "mmu_notifier_register()");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test,
							witness_end_action,
							witness), 0);

	return witness;
}

/*
 * "passed a range with the event MMU_NOTIFY_MIGRATE and the owner", once for
 * what is mapped, and once more from the first hole that gets a page.
 */
static void notifiers_hear_of_pages_and_of_holes(struct kunit *test)
{
	unsigned int filled, collected, hole, want, done = 0;
	struct toy *toy = toy_of_place(test, SEEN_PRIVATE);
	struct witness *witness = witness_get(test);

	for (filled = 0; filled < 16; filled++, done++) {
		unsigned long addr = dmirror_user_map(test, 4, RW);
		unsigned long end = addr + 4 * PAGE_SIZE;

		witness_migration(test, witness, toy, addr, filled,
				  &collected);
		KUNIT_EXPECT_EQ_MSG(test, collected, 1U,
				    "events of setup, pages 0x%x", filled);
		want = filled == 0xf ? 1 : 2;
		KUNIT_EXPECT_EQ_MSG(test, witness->nr, want,
				    "events of all steps, pages 0x%x", filled);
		KUNIT_EXPECT_EQ_MSG(test, witness->open, 0, "open ranges");
		KUNIT_EXPECT_EQ_MSG(test, witness->unmatched, 0U, "ends");
		expect_event(test, witness, 0, addr, end, toy);
		hole = ffz(filled);
		if (want == 2)
			expect_event(test, witness, 1, addr + hole * PAGE_SIZE,
				     end, toy);
		dmirror_user_unmap(test, addr, 4);
	}
	KUNIT_EXPECT_EQ_MSG(test, done, 16U, "ranges tried");
}

static struct kunit_case migrate_insert_cases[] = {
	KUNIT_CASE_PARAM(hole_gets_the_page, hole_gen_params),
	KUNIT_CASE_PARAM(hole_without_a_page_stays, hole_gen_params),
	KUNIT_CASE_PARAM(hole_that_was_filled_meanwhile_stays_filled,
			 race_gen_params),
	KUNIT_CASE_PARAM(hole_that_was_read_meanwhile_gets_the_page,
			 kind_gen_params),
	KUNIT_CASE_PARAM(unstable_mm_gets_no_pages, kind_gen_params),
	KUNIT_CASE_PARAM(page_moves_from_any_memory_to_any, route_gen_params),
	KUNIT_CASE_PARAM(shared_memory_does_not_go_to_a_device,
			 kind_gen_params),
	KUNIT_CASE(hole_of_shared_memory_gets_no_page),
	KUNIT_CASE(page_of_another_kind_of_device_is_refused),
	KUNIT_CASE(notifiers_hear_of_pages_and_of_holes),
	{}
};

DMIRROR_SUITE_AS(migrate_insert, dmirror_case_init_mm, migrate_insert_cases);
