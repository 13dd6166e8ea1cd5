// SPDX-License-Identifier: GPL-2.0
/*
 * Device pages whose storage is broken: out of service for good, at once or
 * when they come back, and who uses one gets what can still be read of it.
 */
#include "mirror_fixture.h"

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mman.h>

#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
#include "bench.h"
#include "fake_devmem.h"
#include "private_devmem.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)
#define NR 8UL

/* The fake memory: one chunk of four spans. */
#define ORDER 2
#define CHUNK 16UL

static struct dmirror_chunk *first_chunk(struct dmirror_devmem *devmem)
{
	return list_first_entry(&devmem->chunks, struct dmirror_chunk, node);
}

static struct page *take(struct kunit *test, struct dmirror_devmem *devmem,
			 unsigned int order)
{
	struct dmirror_resv resv = { };
	struct page *page;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, 1, order, &resv),
			  "reserve");
	page = dmirror_devmem_alloc(&resv, order);
	dmirror_devmem_unreserve(&resv);
	KUNIT_ASSERT_NOT_NULL(test, page);

	return page;
}

static void expect_books(struct kunit *test, struct dmirror_devmem *devmem,
			 unsigned long free, unsigned long retired,
			 const char *step)
{
	struct dmirror_devmem_stats stats;

	dmirror_devmem_stats(devmem, &stats);
	KUNIT_EXPECT_EQ_MSG(test, stats.free, free, "free pages %s", step);
	KUNIT_EXPECT_EQ_MSG(test, stats.retired, retired, "retired pages %s",
			    step);
}

/* Hands out all that there is: @bad is not among it. */
static void expect_never_handed_out(struct kunit *test,
				    struct dmirror_devmem *devmem,
				    unsigned long bad, unsigned long want)
{
	struct page *pages[CHUNK];
	struct dmirror_resv resv = { };
	unsigned long nr = 0;
	bool seen = false;

	DMIRROR_ASSERT_OK(test,
			  dmirror_devmem_reserve_some(devmem, CHUNK, &resv),
			  "reserve");
	while (nr < CHUNK && resv.small) {
		pages[nr] = dmirror_devmem_alloc(&resv, 0);
		if (!pages[nr])
			break;
		seen |= page_to_pfn(pages[nr++]) == bad;
	}
	dmirror_devmem_unreserve(&resv);
	KUNIT_EXPECT_EQ_MSG(test, nr, want, "pages that could be had");
	KUNIT_EXPECT_FALSE_MSG(test, seen, "pfn 0x%lx was handed out", bad);
	while (nr--)
		dmirror_devmem_free(pages[nr], 0);
}

static const struct used {
	const char *name;
	int order;
} useds[] = {
	{ "never_used", -1 },
	{ "used_in_pages", 0 },
	{ "used_as_large", ORDER },
};

KUNIT_ARRAY_PARAM_DESC(used, useds, name);

/* Every place in a chunk, of which the first span was used before, or none. */
static void free_page_retires_at_once(struct kunit *test)
{
	const struct used *used = test->param_value;
	/* The first span is cut and has a page out: not it. */
	unsigned long i = used->order < 0 ? 1UL << ORDER : 0;

	for (; i < CHUNK; i++) {
		struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK,
							     1);
		struct dmirror_devmem *devmem = &fake->devmem;
		struct page *page = take(test, devmem, max(used->order, 0));
		unsigned long bad = first_chunk(devmem)->first_pfn + i;

		if (used->order >= 0)
			dmirror_devmem_free(page, used->order);
		DMIRROR_EXPECT_ERRNO(test,
				     dmirror_devmem_retire(first_chunk(devmem),
							   bad),
				     0, "memory failure of a free page");
		if (used->order < 0)
			dmirror_devmem_free(page, 0);
		expect_books(test, devmem, CHUNK - 1, 1, "after the failure");
		expect_never_handed_out(test, devmem, bad, CHUNK - 1);
		expect_books(test, devmem, CHUNK - 1, 1, "at the end");
	}
}

static void used_page_retires_when_it_comes_back(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		&dmirror_fake_get(test, ORDER, CHUNK, 1)->devmem;
	struct page *page = take(test, devmem, 0);
	unsigned long bad = page_to_pfn(page);
	unsigned int round;

	for (round = 0; round < 2; round++)
		DMIRROR_EXPECT_ERRNO(test,
				     dmirror_devmem_retire(first_chunk(devmem),
							   bad),
				     -EBUSY, "memory failure of a used page");
	expect_books(test, devmem, CHUNK - 1, 0, "while it is used");
	dmirror_devmem_free(page, 0);
	expect_books(test, devmem, CHUNK - 1, 1, "when it came back");
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_retire(first_chunk(devmem),
							 bad),
			     0, "told again");
	expect_books(test, devmem, CHUNK - 1, 1, "when told again");
	expect_never_handed_out(test, devmem, bad, CHUNK - 1);
}

static void part_of_a_large_folio_retires_alone(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		&dmirror_fake_get(test, ORDER, CHUNK, 1)->devmem;
	const unsigned long whole = CHUNK >> ORDER;
	struct dmirror_resv resv = { };
	struct page *page = take(test, devmem, ORDER);
	unsigned long bad = page_to_pfn(page) + 2;

	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_retire(first_chunk(devmem),
							 bad),
			     -EBUSY, "memory failure of a part in use");
	dmirror_devmem_free(page, ORDER);
	expect_books(test, devmem, CHUNK - 1, 1, "when it came back");
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, whole, ORDER,
							  &resv),
			     -ENOSPC, "reserve of all large folios");
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, whole - 1,
							  ORDER, &resv),
			     0, "reserve of the others");
	dmirror_devmem_unreserve(&resv);
	expect_never_handed_out(test, devmem, bad, CHUNK - 1);
}

/* What was promised is handed out, and retires when it comes back. */
static void promises_are_kept(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		&dmirror_fake_get(test, ORDER, CHUNK, 1)->devmem;
	struct dmirror_resv resv = { };
	struct page *page;
	unsigned long bad;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, CHUNK >> ORDER,
						       ORDER, &resv),
			  "reserve of everything");
	bad = first_chunk(devmem)->first_pfn;
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_retire(first_chunk(devmem),
							 bad),
			     -EBUSY, "memory failure of a promised page");
	while (resv.large) {
		page = dmirror_devmem_alloc(&resv, ORDER);
		KUNIT_ASSERT_NOT_NULL(test, page);
		dmirror_devmem_free(page, ORDER);
	}
	expect_books(test, devmem, CHUNK - 1, 1, "after the promises");
	expect_never_handed_out(test, devmem, bad, CHUNK - 1);
}

static void memory_with_retired_pages_can_end(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct dmirror_devmem *devmem = &fake->devmem;
	struct page *page = take(test, devmem, 0);

	dmirror_devmem_retire(first_chunk(devmem), page_to_pfn(page));
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(devmem), -EBUSY,
			     "end with the page out");
	dmirror_devmem_free(page, 0);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(devmem), 0, "end");
	KUNIT_EXPECT_EQ(test, fake->dels, 1U);
	expect_books(test, devmem, 0, 0, "after the end");
	dmirror_devmem_free(take(test, devmem, ORDER), ORDER);
	expect_books(test, devmem, CHUNK, 0, "in the next life");
}

static const struct kind {
	const char *name;
	enum memory_type type;
} kinds[] = {
	{ "private", MEMORY_DEVICE_PRIVATE },
	{ "coherent", MEMORY_DEVICE_COHERENT },
};

KUNIT_ARRAY_PARAM_DESC(kind, kinds, name);

/* NR pages with pattern 1, on the device. */
static struct dmirror_bench bench_get(struct kunit *test)
{
	const struct kind *kind = test->param_value;
	struct dmirror_bench bench;

	if (kind->type == MEMORY_DEVICE_PRIVATE)
		bench.devmem = dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	else
		bench.devmem = dmirror_coherent_get(test, 0, PRIVATE_CHUNK, 1);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	bench.addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, bench.addr, NR, 1);
	bench_to_device(test, &bench, bench.addr, NR);

	return bench;
}

static struct page *page_at(struct kunit *test,
			    const struct dmirror_bench *bench, unsigned long i)
{
	struct page *page;

	dmirror_cpu_pages(test, bench->mirror, bench->addr + (i << PAGE_SHIFT),
			  &page, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);

	return page;
}

/* As core mm calls it; the page itself may come home meanwhile. */
static int fail_page(const struct dmirror_bench *bench, struct page *page,
		     unsigned long nr)
{
	struct dev_pagemap *pagemap = &first_chunk(bench->devmem)->pagemap;

	return pagemap->ops->memory_failure(pagemap, page_to_pfn(page), nr, 0);
}

static void page_in_use_comes_home(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	struct page *page = page_at(test, &bench, 3);

	DMIRROR_EXPECT_ERRNO(test, fail_page(&bench, page, 1), 0,
			     "memory failure");
	bench_expect_out(test, &bench, NR - 1, "after the failure");
	expect_books(test, bench.devmem, PRIVATE_CHUNK - NR, 1,
		     "after the failure");
	KUNIT_EXPECT_FALSE_MSG(test,
			       is_zone_device_page(page_at(test, &bench, 3)),
			       "page 3 is still the device's");
	dmirror_user_check(test, bench.addr, NR, 1, "after the failure");
}

static void several_pages_come_home(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	struct page *first = page_at(test, &bench, 0), *page;
	unsigned long i;

	/* A run, however the device handed its pages out. */
	for (i = 1; i < NR; i++) {
		page = page_at(test, &bench, i);
		if (page_to_pfn(page) < page_to_pfn(first))
			first = page;
	}
	DMIRROR_EXPECT_ERRNO(test, fail_page(&bench, first, NR), 0,
			     "memory failure of all");
	bench_expect_out(test, &bench, 0, "after the failure");
	expect_books(test, bench.devmem, PRIVATE_CHUNK - NR, NR,
		     "after the failure");
	dmirror_user_check(test, bench.addr, NR, 1, "after the failure");
}

static void held_page_retires_later(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	struct page *page = page_at(test, &bench, 3);
	int ret;

	get_page(page);
	ret = fail_page(&bench, page, 1);
	put_page(page);
	DMIRROR_EXPECT_ERRNO(test, ret, -EBUSY, "memory failure of a held page");
	expect_books(test, bench.devmem, PRIVATE_CHUNK - NR, 0, "while held");
	bench_to_ram(test, &bench, bench.addr, NR, NR);
	expect_books(test, bench.devmem, PRIVATE_CHUNK - 1, 1,
		     "when it came home");
	dmirror_user_check(test, bench.addr, NR, 1, "at the end");
}

static void unreadable_page_stays(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	struct page *page = page_at(test, &bench, 3);

	dmirror_inject_arm(DMIRROR_INJECT_COPY, 1);
	DMIRROR_EXPECT_ERRNO(test, fail_page(&bench, page, 1), -EBUSY,
			     "memory failure of a page that cannot be read");
	bench_expect_out(test, &bench, NR, "after the failure");
	dmirror_user_unmap(test, bench.addr + 3 * PAGE_SIZE, 1);
	expect_books(test, bench.devmem, PRIVATE_CHUNK - NR, 1,
		     "when it was unmapped");
}

/* The way of core mm itself, from a physical address. */
static void core_mm_asks_the_driver(struct kunit *test)
{
#if IS_ENABLED(CONFIG_MEMORY_FAILURE)
	struct dmirror_bench bench = bench_get(test);
	struct page *page = page_at(test, &bench, 3);

	DMIRROR_EXPECT_ERRNO(test, memory_failure(page_to_pfn(page),
						  MF_SW_SIMULATED),
			     0, "memory_failure()");
	bench_expect_out(test, &bench, NR - 1, "after the failure");
	expect_books(test, bench.devmem, PRIVATE_CHUNK - NR, 1,
		     "after the failure");
	dmirror_user_check(test, bench.addr, NR, 1, "after the failure");
#else
	DMIRROR_REQUIRES_CONFIG(test, MEMORY_FAILURE);
#endif
}

/* One chunk of one span, and a huge page with pattern 1 that may go there. */
static struct dmirror_bench large_bench_get(struct kunit *test)
{
	unsigned int order = dmirror_mm_large_order(MEMORY_DEVICE_PRIVATE);
	unsigned long nr = 1UL << order;
	struct dmirror_bench bench;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
	if (!order)
		kunit_skip(test, "needs migration of large folios");

	bench.devmem = dmirror_private_get(test, order, nr, 1);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	bench.addr = ALIGN(dmirror_user_map(test, 2 * nr, RW), nr << PAGE_SHIFT);
	DMIRROR_ASSERT_OK(test, user_madvise(bench.addr, nr << PAGE_SHIFT,
					     MADV_HUGEPAGE), "madvise");
	dmirror_user_fill(test, bench.addr, nr, 1);

	return bench;
}

static void large_folio_comes_home_for_one_page(struct kunit *test)
{
	struct dmirror_bench bench = large_bench_get(test);
	unsigned int order = bench.devmem->large_order;
	unsigned long nr = 1UL << order;
	struct page *page;

	bench_to_device(test, &bench, bench.addr, nr);
	page = page_at(test, &bench, 0);
	KUNIT_ASSERT_EQ(test, folio_order(page_folio(page)), order);

	DMIRROR_EXPECT_ERRNO(test, fail_page(&bench, page + 7, 1), 0,
			     "memory failure of page 7");
	bench_expect_out(test, &bench, 0, "after the failure");
	expect_books(test, bench.devmem, nr - 1, 1, "after the failure");
	dmirror_user_check(test, bench.addr, nr, 1, "after the failure");
}

/* One of the pages of a cut span: its neighbours are as good as ever. */
static void failure_of_a_small_page_moves_no_other(struct kunit *test)
{
	struct dmirror_bench bench = large_bench_get(test);
	unsigned long nr = 1UL << bench.devmem->large_order, out = NR;
	struct page *page;

	bench_to_device(test, &bench, bench.addr, out);
	page = page_at(test, &bench, 3);
	DMIRROR_EXPECT_ERRNO(test, fail_page(&bench, page, 1), 0,
			     "memory failure of page 3");
	bench_expect_out(test, &bench, out - 1, "after the failure");
	expect_books(test, bench.devmem, nr - out, 1, "after the failure");
	dmirror_user_check(test, bench.addr, out, 1, "after the failure");
}

/*
 * What a large folio leaves in the struct page of its first page stays there
 * when that is out of service: an eviction must not take it for a folio.
 */
static void eviction_passes_a_retired_head(struct kunit *test)
{
	struct dmirror_bench bench = large_bench_get(test);
	unsigned long nr = 1UL << bench.devmem->large_order, left = 0;
	struct page *head;

	dmirror_user_fill(test, bench.addr, nr, 1);
	bench_to_device(test, &bench, bench.addr, nr);
	head = page_at(test, &bench, 0);
	KUNIT_ASSERT_EQ(test, folio_order(page_folio(head)),
			bench.devmem->large_order);
	bench_to_ram(test, &bench, bench.addr, nr, nr);
	DMIRROR_EXPECT_ERRNO(test, fail_page(&bench, head, 1), 0,
			     "memory failure of the head");
	bench_to_device(test, &bench, bench.addr, NR);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_evict(bench.devmem, &left),
			     0, "eviction");
	KUNIT_EXPECT_EQ_MSG(test, left, 0UL, "pages left by the eviction");
	bench_expect_out(test, &bench, 0, "after the eviction");
	dmirror_user_check(test, bench.addr, nr, 1, "after the eviction");
}

static struct kunit_case memory_failure_cases[] = {
	KUNIT_CASE_PARAM(free_page_retires_at_once, used_gen_params),
	KUNIT_CASE(used_page_retires_when_it_comes_back),
	KUNIT_CASE(part_of_a_large_folio_retires_alone),
	KUNIT_CASE(promises_are_kept),
	KUNIT_CASE(memory_with_retired_pages_can_end),
	KUNIT_CASE_PARAM(page_in_use_comes_home, kind_gen_params),
	KUNIT_CASE_PARAM(several_pages_come_home, kind_gen_params),
	KUNIT_CASE_PARAM(held_page_retires_later, kind_gen_params),
	KUNIT_CASE_PARAM(unreadable_page_stays, kind_gen_params),
	KUNIT_CASE_PARAM(core_mm_asks_the_driver, kind_gen_params),
	KUNIT_CASE(large_folio_comes_home_for_one_page),
	KUNIT_CASE(failure_of_a_small_page_moves_no_other),
	KUNIT_CASE(eviction_passes_a_retired_head),
	{}
};

DMIRROR_SUITE(memory_failure, dmirror_fixture_init_mm, memory_failure_cases);
