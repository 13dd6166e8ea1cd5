// SPDX-License-Identifier: GPL-2.0
/*
 * Device memory on a fake kind: chunks of a few pages, so that growth,
 * exhaustion and every list of the allocator are a few calls away.
 */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/highmem.h>
#include <linux/irqflags.h>
#include <linux/mm.h>

#include "../drivers/dmirror/inject.h"
#include "fake_devmem.h"

/* 4 spans of 4 pages in a chunk unless a case says otherwise. */
#define ORDER 2
#define SPAN 4UL
#define CHUNK 16UL

/**
 * struct shape - a device memory to run a case on
 * @name: as in the results
 * @order: order of large folios
 * @chunk: pages per chunk
 * @chunks: limit of growth
 */
struct shape {
	const char *name;
	unsigned int order;
	unsigned long chunk;
	unsigned long chunks;
};

static const struct shape shapes[] = {
	{ "single_pages_only", 0, 8, 3 },
	{ "order_1", 1, 8, 3 },
	{ "order_2", 2, 16, 2 },
	{ "order_4", 4, 64, 2 },
	{ "one_span_per_chunk", 3, 8, 4 },
	{ "pmd_order", 9, 512, 1 },
};

KUNIT_ARRAY_PARAM_DESC(shape, shapes, name);

static struct dmirror_fake *fake_of_shape(struct kunit *test)
{
	const struct shape *shape = test->param_value;

	return dmirror_fake_get(test, shape->order, shape->chunk,
				shape->chunks);
}

/* Expects the books to say what is asked; in pages. */
static void expect_books(struct kunit *test, struct dmirror_fake *fake,
			 unsigned long total, unsigned long free,
			 unsigned long reserved, const char *step)
{
	struct dmirror_devmem_stats stats;

	dmirror_devmem_stats(&fake->devmem, &stats);
	KUNIT_EXPECT_EQ_MSG(test, stats.total, total, "total pages %s", step);
	KUNIT_EXPECT_EQ_MSG(test, stats.free, free, "free pages %s", step);
	KUNIT_EXPECT_EQ_MSG(test, stats.reserved, reserved,
			    "reserved pages %s", step);
	KUNIT_EXPECT_EQ_MSG(test, stats.chunks, (unsigned long)fake->adds,
			    "chunks %s", step);
	KUNIT_EXPECT_EQ_MSG(test, (unsigned long)fake->preps, stats.allocs,
			    "folios handed out %s", step);
}

/* Takes @nr folios and asserts that each is had. */
static void take(struct kunit *test, struct dmirror_fake *fake,
		 struct page **pages, unsigned long nr, unsigned int order)
{
	struct dmirror_resv resv = { };
	unsigned long i;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(&fake->devmem, nr, order,
						       &resv), "reserve");
	for (i = 0; i < nr; i++) {
		pages[i] = dmirror_devmem_alloc(&resv, order);
		KUNIT_EXPECT_NOT_NULL_MSG(test, pages[i],
					  "folio %lu of %lu of order %u", i, nr,
					  order);
	}
	KUNIT_EXPECT_EQ_MSG(test, resv.small + resv.large, 0UL,
			    "left of a reservation that was used up");
	dmirror_devmem_unreserve(&resv);
	for (i = 0; i < nr; i++)
		KUNIT_ASSERT_NOT_NULL(test, pages[i]);
}

static void give(struct page **pages, unsigned long nr, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		dmirror_devmem_free(pages[i], order);
}

static struct page **page_array(struct kunit *test, unsigned long nr)
{
	struct page **pages = kunit_kcalloc(test, nr, sizeof(*pages),
					    GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pages);
	return pages;
}

static void reserve_now(struct kunit *test, struct dmirror_fake *fake,
			unsigned long nr, unsigned int order, int want,
			const char *step)
{
	struct dmirror_resv resv = { };

	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(&fake->devmem, nr,
							  order, &resv),
			     want, step);
	if (want)
		KUNIT_EXPECT_EQ_MSG(test, resv.small + resv.large, 0UL, "%s",
				    step);
	dmirror_devmem_unreserve(&resv);
}

static void init_rejects_odd_chunks(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, 0, 8, 1);
	struct dmirror_devmem devmem;

	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_devmem_init(&devmem, fake->devmem.ops, 2,
						 6, 1),
			     -EINVAL, "chunk of 6 pages with order 2");
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_devmem_init(&devmem, fake->devmem.ops, 0,
						 0, 1),
			     -EINVAL, "chunk of no pages");
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_devmem_init(&devmem, fake->devmem.ops, 3,
						 8, 1),
			     0, "chunk of one span");
}

static void starts_without_memory(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 2);

	expect_books(test, fake, 0, 0, 0, "before the first reservation");
	reserve_now(test, fake, 0, 0, 0, "reserve of nothing");
	expect_books(test, fake, 0, 0, 0, "after reserving nothing");
}

static void grows_chunk_by_chunk(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct dmirror_fake *fake = fake_of_shape(test);
	unsigned long i;

	for (i = 1; i <= shape->chunks; i++) {
		reserve_now(test, fake, (i - 1) * shape->chunk + 1, 0, 0,
			    "reserve of one page more than there is");
		expect_books(test, fake, i * shape->chunk, i * shape->chunk, 0,
			     "after growth");
		reserve_now(test, fake, i * shape->chunk, 0, 0,
			    "reserve of all there is");
		expect_books(test, fake, i * shape->chunk, i * shape->chunk, 0,
			     "after reserving what is there");
	}
}

static void grows_at_once_for_a_large_request(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 5);

	reserve_now(test, fake, 4 * CHUNK + 1, 0, 0, "reserve over five chunks");
	expect_books(test, fake, 5 * CHUNK, 5 * CHUNK, 0, "after growth");
}

static void exhaustion_is_refused(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct dmirror_fake *fake = fake_of_shape(test);
	unsigned long total = shape->chunk * shape->chunks;

	reserve_now(test, fake, total + 1, 0, -ENOSPC, "reserve of too much");
	KUNIT_EXPECT_EQ_MSG(test, fake->adds, 0,
			    "grew for a request that can never be served");
	reserve_now(test, fake, ULONG_MAX, 0, -ENOSPC, "reserve of ULONG_MAX");
	reserve_now(test, fake, ULONG_MAX, shape->order, -ENOSPC,
		    "reserve of ULONG_MAX large folios");
	reserve_now(test, fake, total, 0, 0, "reserve of everything");
	reserve_now(test, fake, total + 1, 0, -ENOSPC,
		    "reserve of too much after growth");
}

static void every_page_once(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct dmirror_fake *fake = fake_of_shape(test);
	unsigned long i, j, nr = shape->chunk * shape->chunks;
	struct page **pages = page_array(test, nr);

	take(test, fake, pages, nr, 0);
	expect_books(test, fake, nr, 0, 0, "with every page out");
	for (i = 0; i < nr; i++) {
		KUNIT_ASSERT_PTR_EQ_MSG(test, dmirror_devmem_of(pages[i]),
					&fake->devmem, "page %lu", i);
		for (j = 0; j < i && nr <= 64; j++)
			KUNIT_ASSERT_PTR_NE_MSG(test, pages[i], pages[j],
						"folios %lu and %lu are one page",
						i, j);
	}
	reserve_now(test, fake, 1, 0, -ENOSPC, "reserve with every page out");
	give(pages, nr, 0);
	expect_books(test, fake, nr, nr, 0, "with every page back");
}

static void large_folios_are_aligned(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct dmirror_fake *fake = fake_of_shape(test);
	unsigned long span = 1UL << shape->order;
	unsigned long i, nr = (shape->chunk * shape->chunks) >> shape->order;
	struct page **pages = page_array(test, nr);

	take(test, fake, pages, nr, shape->order);
	expect_books(test, fake, nr * span, 0, 0, "with every folio out");
	for (i = 0; i < nr; i++) {
		struct dmirror_block *block = pages[i]->zone_device_data;
		unsigned long first = block->chunk->first_pfn;

		KUNIT_EXPECT_EQ_MSG(test, (page_to_pfn(pages[i]) - first) % span,
				    0UL, "folio %lu is not aligned", i);
		KUNIT_EXPECT_EQ_MSG(test, folio_nr_pages(block->backing), span,
				    "backing of folio %lu", i);
	}
	give(pages, nr, shape->order);
	expect_books(test, fake, nr * span, nr * span, 0,
		     "with every folio back");
}

static void every_page_has_storage_of_its_own(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct page **pages = page_array(test, CHUNK);
	struct dmirror_devmem_stats stats;
	unsigned long i;

	take(test, fake, pages, CHUNK, 0);
	dmirror_devmem_stats(&fake->devmem, &stats);
	KUNIT_EXPECT_EQ(test, stats.blocks, CHUNK);
	for (i = 0; i < CHUNK; i++) {
		struct page *backing = dmirror_devmem_backing(pages[i]);

		KUNIT_EXPECT_PTR_NE_MSG(test, backing, pages[i], "page %lu", i);
		memcpy_to_page(backing, 0, (char *)&i, sizeof(i));
	}
	for (i = 0; i < CHUNK; i++) {
		struct page *backing = dmirror_devmem_backing(pages[i]);
		unsigned long got;

		memcpy_from_page((char *)&got, backing, 0, sizeof(got));
		KUNIT_EXPECT_EQ_MSG(test, got, i,
				    "storage of page %lu is shared", i);
	}
	give(pages, CHUNK, 0);
	dmirror_devmem_stats(&fake->devmem, &stats);
	KUNIT_EXPECT_EQ_MSG(test, stats.blocks, 0UL, "blocks after the frees");
	KUNIT_EXPECT_EQ(test, stats.frees, stats.allocs);
}

/* The storage goes with its page: another holder is the last one then. */
static void storage_is_freed_with_its_page(struct kunit *test)
{
	static const unsigned int orders[] = { 0, ORDER };
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		struct page *page;
		struct folio *backing;
		int refs;

		take(test, fake, &page, 1, orders[i]);
		backing = page_folio(dmirror_devmem_backing(page));
		folio_get(backing);
		dmirror_devmem_free(page, orders[i]);
		refs = folio_ref_count(backing);
		folio_put(backing);
		KUNIT_EXPECT_EQ_MSG(test, refs, 1,
				    "references to storage of order %u",
				    orders[i]);
	}
}

static void large_is_cut_into_small(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct page **large = page_array(test, CHUNK / SPAN);
	struct page **small = page_array(test, CHUNK);

	take(test, fake, large, CHUNK / SPAN, ORDER);
	reserve_now(test, fake, 1, 0, -ENOSPC, "reserve with all folios out");
	give(large, CHUNK / SPAN, ORDER);
	take(test, fake, small, CHUNK, 0);
	KUNIT_EXPECT_EQ_MSG(test, fake->adds, 1, "grew instead of cutting");
	give(small, CHUNK, 0);
}

static void small_become_large_again(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct page **small = page_array(test, CHUNK);
	struct page **large = page_array(test, CHUNK / SPAN);
	struct rnd_state *rnd = &dmirror_fixture(test)->rnd;
	unsigned long i, j;

	take(test, fake, small, CHUNK, 0);
	for (i = CHUNK - 1; i > 0; i--) {
		j = prandom_u32_state(rnd) % (i + 1);
		swap(small[i], small[j]);
	}
	for (i = 0; i < CHUNK; i++) {
		dmirror_devmem_free(small[i], 0);
		expect_books(test, fake, CHUNK, i + 1, 0, "while freeing");
	}
	take(test, fake, large, CHUNK / SPAN, ORDER);
	KUNIT_EXPECT_EQ_MSG(test, fake->adds, 1, "grew instead of joining");
	give(large, CHUNK / SPAN, ORDER);
}

static void one_page_out_blocks_its_span_only(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct page **small = page_array(test, CHUNK);
	struct page *kept;

	take(test, fake, small, CHUNK, 0);
	kept = small[5];
	small[5] = small[CHUNK - 1];
	give(small, CHUNK - 1, 0);
	reserve_now(test, fake, CHUNK / SPAN, ORDER, -ENOSPC,
		    "reserve of all spans with one page out");
	reserve_now(test, fake, CHUNK / SPAN - 1, ORDER, 0,
		    "reserve of the other spans");
	reserve_now(test, fake, CHUNK - 1, 0, 0, "reserve of the other pages");
	dmirror_devmem_free(kept, 0);
	reserve_now(test, fake, CHUNK / SPAN, ORDER, 0,
		    "reserve of all spans with every page back");
}

/* What is promised to one caller is there whatever others take. */
static void reservations_are_kept(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct page **small = page_array(test, CHUNK);
	struct dmirror_resv large = { };
	unsigned long nr = CHUNK - SPAN;
	struct page *page;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(&fake->devmem, 1, ORDER,
						       &large),
			  "reserve of one large folio");
	expect_books(test, fake, CHUNK, CHUNK, SPAN, "with one folio promised");
	reserve_now(test, fake, nr + 1, 0, -ENOSPC,
		    "reserve of a page that is promised");
	take(test, fake, small, nr, 0);
	reserve_now(test, fake, 1, 0, -ENOSPC, "reserve of one page more");
	reserve_now(test, fake, 1, ORDER, -ENOSPC, "reserve of one folio more");
	page = dmirror_devmem_alloc(&large, ORDER);
	KUNIT_EXPECT_NOT_NULL_MSG(test, page, "the promise was not kept");
	dmirror_devmem_unreserve(&large);
	if (page)
		dmirror_devmem_free(page, ORDER);
	give(small, nr, 0);
}

static void unreserve_returns_the_rest(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct dmirror_resv resv = { };
	struct page *page;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(&fake->devmem, 2, ORDER,
						       &resv), "reserve large");
	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(&fake->devmem, 3, 0,
						       &resv), "reserve small");
	expect_books(test, fake, CHUNK, CHUNK, 2 * SPAN + 3, "both promised");
	page = dmirror_devmem_alloc(&resv, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	expect_books(test, fake, CHUNK, CHUNK - 1, 2 * SPAN + 2, "one taken");
	dmirror_devmem_unreserve(&resv);
	expect_books(test, fake, CHUNK, CHUNK - 1, 0, "after unreserve");
	KUNIT_EXPECT_NULL(test, resv.devmem);
	dmirror_devmem_unreserve(&resv);
	dmirror_devmem_free(page, 0);
	expect_books(test, fake, CHUNK, CHUNK, 0, "after free");
}

static void alloc_takes_from_its_reservation_only(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct dmirror_resv resv = { };
	struct page *page;

	KUNIT_EXPECT_NULL_MSG(test, dmirror_devmem_alloc(&resv, 0),
			      "alloc from an empty reservation");
	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(&fake->devmem, 1, 0,
						       &resv), "reserve");
	KUNIT_EXPECT_NULL_MSG(test, dmirror_devmem_alloc(&resv, ORDER),
			      "large folio from a small reservation");
	KUNIT_EXPECT_NULL_MSG(test, dmirror_devmem_alloc(&resv, 1),
			      "order that the device has not");
	page = dmirror_devmem_alloc(&resv, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_NULL_MSG(test, dmirror_devmem_alloc(&resv, 0),
			      "second page of a reservation of one");
	dmirror_devmem_free(page, 0);
	expect_books(test, fake, CHUNK, CHUNK, 0, "at the end");
}

static void bad_reservations_are_refused(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct dmirror_fake *other = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct dmirror_resv resv = { };

	reserve_now(test, fake, 1, ORDER + 1, -EINVAL, "order too large");
	reserve_now(test, fake, 1, ORDER - 1, -EINVAL, "order in between");
	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(&fake->devmem, 1, 0,
						       &resv), "reserve");
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(&other->devmem, 1, 0,
							  &resv),
			     -EINVAL, "one reservation for two devices");
	dmirror_devmem_unreserve(&resv);
	KUNIT_EXPECT_EQ(test, other->adds, 0);
}

static void fini_refuses_while_pages_are_out(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 2);
	struct dmirror_resv resv = { };
	struct page *page;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(&fake->devmem, 1, 0,
						       &resv), "reserve");
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(&fake->devmem), -EBUSY,
			     "fini with a page promised");
	page = dmirror_devmem_alloc(&resv, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(&fake->devmem), -EBUSY,
			     "fini with a page out");
	KUNIT_EXPECT_EQ_MSG(test, fake->dels, 0, "a chunk was removed");
	expect_books(test, fake, CHUNK, CHUNK - 1, 0, "after the refusals");
	dmirror_devmem_free(page, 0);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(&fake->devmem), 0,
			     "fini with every page back");
	KUNIT_EXPECT_EQ(test, fake->dels, 1);
	KUNIT_EXPECT_EQ(test, fake->devmem.stats.chunks, 0UL);
	KUNIT_EXPECT_EQ(test, fake->devmem.stats.total, 0UL);
}

static void works_again_after_fini(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct page **large = page_array(test, CHUNK / SPAN);
	unsigned int round;

	for (round = 1; round <= 3; round++) {
		take(test, fake, large, CHUNK / SPAN, ORDER);
		give(large, CHUNK / SPAN, ORDER);
		DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(&fake->devmem),
				     0, "fini");
		KUNIT_EXPECT_EQ_MSG(test, fake->dels, round, "round %u", round);
	}
}

static void failed_growth_changes_nothing(struct kunit *test)
{
	static const struct {
		enum dmirror_inject_point point;
		unsigned int nth;
	} rows[] = {
		{ DMIRROR_INJECT_CHUNK_ALLOC, 1 },
		{ DMIRROR_INJECT_CHUNK_BITS, 1 },
		{ DMIRROR_INJECT_CHUNK_BITS, 2 },
		{ DMIRROR_INJECT_CHUNK_BITS, 3 },
		{ DMIRROR_INJECT_CHUNK_ADD, 1 },
	};
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 2);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *name = dmirror_inject_name(rows[i].point);

		dmirror_inject_arm(rows[i].point, rows[i].nth);
		reserve_now(test, fake, 1, 0, -ENOMEM, name);
		KUNIT_EXPECT_FALSE_MSG(test,
				       dmirror_inject_disarm(rows[i].point),
				       "%s %u was never reached", name,
				       rows[i].nth);
		expect_books(test, fake, 0, 0, 0, name);
	}
	fake->error = -EIO;
	reserve_now(test, fake, 1, 0, -EIO, "chunk_add that returns -EIO");
	expect_books(test, fake, 0, 0, 0, "after -EIO");
	fake->error = 0;
	reserve_now(test, fake, 1, 0, 0, "reserve after the failures");
	expect_books(test, fake, CHUNK, CHUNK, 0, "after the failures");
}

/* The second of two chunks cannot be had: the first stays, usable. */
static void failed_second_chunk_keeps_the_first(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 4);

	dmirror_inject_arm(DMIRROR_INJECT_CHUNK_ADD, 2);
	reserve_now(test, fake, CHUNK + 1, 0, -ENOMEM,
		    "reserve with the second chunk failing");
	expect_books(test, fake, CHUNK, CHUNK, 0, "after the failure");
	reserve_now(test, fake, CHUNK, 0, 0, "reserve of the first chunk");
	reserve_now(test, fake, CHUNK + 1, 0, 0, "reserve with no failure");
	expect_books(test, fake, 2 * CHUNK, 2 * CHUNK, 0, "after growth");
}

static void failed_backing_keeps_the_reservation(struct kunit *test)
{
	static const enum dmirror_inject_point points[] = {
		DMIRROR_INJECT_BLOCK_ALLOC, DMIRROR_INJECT_BACKING_ALLOC,
	};
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct dmirror_resv resv = { };
	struct page *page;
	unsigned int i;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(&fake->devmem, 1, ORDER,
						       &resv), "reserve");
	for (i = 0; i < ARRAY_SIZE(points); i++) {
		const char *name = dmirror_inject_name(points[i]);

		dmirror_inject_arm(points[i], 1);
		KUNIT_EXPECT_NULL_MSG(test, dmirror_devmem_alloc(&resv, ORDER),
				      "alloc with %s failing", name);
		KUNIT_EXPECT_FALSE_MSG(test, dmirror_inject_disarm(points[i]),
				       "%s was never reached", name);
		KUNIT_EXPECT_EQ_MSG(test, resv.large, 1UL, "%s", name);
		expect_books(test, fake, CHUNK, CHUNK, SPAN, name);
	}
	page = dmirror_devmem_alloc(&resv, ORDER);
	KUNIT_ASSERT_NOT_NULL(test, page);
	dmirror_devmem_free(page, ORDER);
	KUNIT_EXPECT_EQ(test, fake->devmem.stats.blocks, 0UL);
}

/* Core mm frees device folios from any context. */
static void free_with_interrupts_off(struct kunit *test)
{
	struct dmirror_fake *fake = dmirror_fake_get(test, ORDER, CHUNK, 1);
	struct page *pages[2];
	unsigned long flags;

	take(test, fake, &pages[0], 1, 0);
	take(test, fake, &pages[1], 1, ORDER);
	local_irq_save(flags);
	dmirror_devmem_free(pages[0], 0);
	dmirror_devmem_free(pages[1], ORDER);
	local_irq_restore(flags);
	expect_books(test, fake, CHUNK, CHUNK, 0, "after the frees");
}

/* A random walk: no page is ever handed out twice, nothing is lost. */
#define WALK_STEPS 3000

struct walk {
	struct dmirror_fake *fake;
	struct page **out;
	unsigned char *order;
	unsigned long nr;
	unsigned long pages_out;
};

static bool walk_overlaps(const struct walk *walk, unsigned long which)
{
	unsigned long a = page_to_pfn(walk->out[which]);
	unsigned long a_end = a + (1UL << walk->order[which]);
	unsigned long i, b;

	for (i = 0; i < walk->nr; i++) {
		if (i == which)
			continue;
		b = page_to_pfn(walk->out[i]);
		if (a < b + (1UL << walk->order[i]) && b < a_end)
			return true;
	}

	return false;
}

static bool walk_take(struct kunit *test, struct walk *walk, unsigned int order,
		      unsigned int step)
{
	struct dmirror_resv resv = { };
	struct page *page;

	if (dmirror_devmem_reserve(&walk->fake->devmem, 1, order, &resv))
		return true;
	page = dmirror_devmem_alloc(&resv, order);
	if (!page) {
		dmirror_devmem_unreserve(&resv);
		KUNIT_FAIL(test, "step %u: reserved order %u, but got nothing",
			   step, order);
		return false;
	}
	walk->out[walk->nr] = page;
	walk->order[walk->nr++] = order;
	walk->pages_out += 1UL << order;
	if (!walk_overlaps(walk, walk->nr - 1))
		return true;
	KUNIT_FAIL(test, "step %u: pfn 0x%lx of order %u is out already", step,
		   page_to_pfn(page), order);
	return false;
}

static void walk_give(struct walk *walk, unsigned long which)
{
	dmirror_devmem_free(walk->out[which], walk->order[which]);
	walk->pages_out -= 1UL << walk->order[which];
	walk->nr--;
	walk->out[which] = walk->out[walk->nr];
	walk->order[which] = walk->order[walk->nr];
}

static void random_walk(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct rnd_state *rnd = &dmirror_fixture(test)->rnd;
	unsigned long most = shape->chunk * shape->chunks;
	struct walk walk = { .fake = fake_of_shape(test) };
	struct dmirror_devmem_stats stats;
	unsigned int step;

	walk.out = page_array(test, most);
	walk.order = kunit_kcalloc(test, most, 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, walk.order);

	for (step = 0; step < WALK_STEPS; step++) {
		u32 dice = prandom_u32_state(rnd);

		/* Phases of mostly taking and of mostly giving. */
		if (dice % 8 < (step / 200 % 2 ? 3 : 5)) {
			if (!walk_take(test, &walk,
				       dice & 0x100 ? shape->order : 0, step))
				break;
		} else if (walk.nr) {
			walk_give(&walk, prandom_u32_state(rnd) % walk.nr);
		}
	}
	dmirror_devmem_stats(&walk.fake->devmem, &stats);
	KUNIT_EXPECT_EQ_MSG(test, stats.total - stats.free, walk.pages_out,
			    "pages out at the end of the walk");
	while (walk.nr)
		walk_give(&walk, 0);
	reserve_now(test, walk.fake, most >> shape->order, shape->order, 0,
		    "reserve of everything as large folios after the walk");
}

static struct kunit_case devmem_cases[] = {
	KUNIT_CASE(init_rejects_odd_chunks),
	KUNIT_CASE(starts_without_memory),
	KUNIT_CASE_PARAM(grows_chunk_by_chunk, shape_gen_params),
	KUNIT_CASE(grows_at_once_for_a_large_request),
	KUNIT_CASE_PARAM(exhaustion_is_refused, shape_gen_params),
	KUNIT_CASE_PARAM(every_page_once, shape_gen_params),
	KUNIT_CASE_PARAM(large_folios_are_aligned, shape_gen_params),
	KUNIT_CASE(every_page_has_storage_of_its_own),
	KUNIT_CASE(storage_is_freed_with_its_page),
	KUNIT_CASE(large_is_cut_into_small),
	KUNIT_CASE(small_become_large_again),
	KUNIT_CASE(one_page_out_blocks_its_span_only),
	KUNIT_CASE(reservations_are_kept),
	KUNIT_CASE(unreserve_returns_the_rest),
	KUNIT_CASE(alloc_takes_from_its_reservation_only),
	KUNIT_CASE(bad_reservations_are_refused),
	KUNIT_CASE(fini_refuses_while_pages_are_out),
	KUNIT_CASE(works_again_after_fini),
	KUNIT_CASE(failed_growth_changes_nothing),
	KUNIT_CASE(failed_second_chunk_keeps_the_first),
	KUNIT_CASE(failed_backing_keeps_the_reservation),
	KUNIT_CASE(free_with_interrupts_off),
	KUNIT_CASE_PARAM(random_walk, shape_gen_params),
	{}
};

DMIRROR_SUITE(devmem, dmirror_fixture_init, devmem_cases);
