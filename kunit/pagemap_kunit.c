// SPDX-License-Identifier: GPL-2.0
/* Real device-private memory: chunks come and go, and leave nothing behind. */
#include "mirror_fixture.h"

#include <kunit/static_stub.h>
#include <linux/ioport.h>
#include <linux/log2.h>
#include <linux/memremap.h>
#include <linux/pagemap.h>
#include <linux/sizes.h>

#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/pagemap.h"
#include "../drivers/dmirror/snapshot.h"
#include "private_devmem.h"

static struct page *one_page(struct kunit *test, struct dmirror_devmem *devmem)
{
	struct dmirror_resv resv = { };
	struct page *page;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, 1, 0, &resv),
			  "reserve");
	page = dmirror_devmem_alloc(&resv, 0);
	dmirror_devmem_unreserve(&resv);
	KUNIT_ASSERT_NOT_NULL(test, page);

	return page;
}

static void drop(struct page *page)
{
	unlock_page(page);
	put_page(page);
}

static void page_is_device_private(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct page *page = one_page(test, devmem);

	KUNIT_EXPECT_TRUE(test, is_device_private_page(page));
	KUNIT_EXPECT_PTR_EQ(test, page_pgmap(page)->owner, (void *)devmem);
	KUNIT_EXPECT_TRUE(test, PageLocked(page));
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	KUNIT_EXPECT_PTR_EQ(test, dmirror_devmem_of(page), devmem);
	KUNIT_EXPECT_FALSE_MSG(test,
			       is_zone_device_page(dmirror_devmem_backing(page)),
			       "the storage has to be system memory");
	KUNIT_EXPECT_EQ(test, dmirror_pages_out(devmem), 1UL);
	KUNIT_EXPECT_EQ_MSG(test,
			    region_intersects(page_to_phys(page), PAGE_SIZE, 0,
					      IORES_DESC_DEVICE_PRIVATE_MEMORY),
			    REGION_INTERSECTS, "the resource is not known");
	drop(page);
	KUNIT_EXPECT_EQ_MSG(test, dmirror_pages_out(devmem), 0UL,
			    "after the last reference was dropped");
}

/* hmm_range_fault() never shows it to another device: a safeguard only. */
static void other_device_knows_that_it_is_not_its_own(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct dmirror_devmem *other =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct page *page = one_page(test, devmem);

	KUNIT_EXPECT_EQ(test, dmirror_snapshot_place(page, devmem),
			DMIRROR_PLACE_PRIVATE_LOCAL);
	KUNIT_EXPECT_EQ(test, dmirror_snapshot_place(page, other),
			DMIRROR_PLACE_PRIVATE_REMOTE);
	drop(page);
}

/* Each page of a large folio has its own page of the storage. */
static void large_folio_has_storage_by_page(struct kunit *test)
{
	unsigned int order = ilog2(PRIVATE_CHUNK);
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, order, PRIVATE_CHUNK, 1);
	struct dmirror_resv resv = { };
	struct dmirror_block *block;
	unsigned long i;
	struct page *page;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, 1, order, &resv),
			  "reserve");
	page = dmirror_devmem_alloc(&resv, order);
	dmirror_devmem_unreserve(&resv);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, folio_order(page_folio(page)), order);
	KUNIT_EXPECT_TRUE(test, folio_test_locked(page_folio(page)));
	block = page->zone_device_data;
	for (i = 0; i < PRIVATE_CHUNK; i++) {
		struct page *storage = dmirror_devmem_backing(page + i);

		KUNIT_EXPECT_EQ_MSG(test, page_to_pfn(storage) -
				    folio_pfn(block->backing), i,
				    "page %lu of the folio", i);
		if (page_to_pfn(storage) - folio_pfn(block->backing) != i)
			break;
	}
	drop(page);
	KUNIT_EXPECT_EQ_MSG(test, dmirror_pages_out(devmem), 0UL,
			    "after the last reference was dropped");
	KUNIT_EXPECT_EQ_MSG(test, devmem->nr_whole, 1UL,
			    "folios that are whole again");
}

static void freed_page_is_handed_out_again(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	unsigned int round;

	for (round = 0; round < 3 * PRIVATE_CHUNK; round++) {
		struct page *page = one_page(test, devmem);

		KUNIT_ASSERT_EQ_MSG(test, page_ref_count(page), 1, "round %u",
				    round);
		drop(page);
	}
	KUNIT_EXPECT_EQ(test, devmem->stats.chunks, 1UL);
	KUNIT_EXPECT_EQ(test, devmem->stats.frees, 3 * PRIVATE_CHUNK);
	KUNIT_EXPECT_EQ(test, devmem->stats.blocks, 0UL);
}

static void removal_leaves_nothing(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	unsigned int round;

	for (round = 1; round <= 10; round++) {
		struct page *page = one_page(test, devmem);
		unsigned long pfn = page_to_pfn(page);

		drop(page);
		DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(devmem), 0,
				     "removal");
		dmirror_expect_pagemap_gone(test, pfn, PRIVATE_CHUNK);
	}
}

static void chunks_do_not_overlap(struct kunit *test)
{
	struct dmirror_devmem *one =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 2);
	struct dmirror_devmem *two =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 2);
	struct dmirror_devmem *all[] = { one, two };
	unsigned long first[4];
	unsigned int i, j, nr = 0;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		struct dmirror_resv resv = { };
		struct dmirror_chunk *chunk;

		DMIRROR_ASSERT_OK(test,
				  dmirror_devmem_reserve(all[i],
							 2 * PRIVATE_CHUNK, 0,
							 &resv), "reserve");
		dmirror_devmem_unreserve(&resv);
		list_for_each_entry(chunk, &all[i]->chunks, node)
			if (nr < ARRAY_SIZE(first))
				first[nr++] = chunk->first_pfn;
	}
	KUNIT_ASSERT_EQ(test, nr, ARRAY_SIZE(first));
	for (i = 0; i < nr; i++)
		for (j = 0; j < i; j++)
			KUNIT_EXPECT_GE_MSG(test,
					    max(first[i], first[j]) -
					    min(first[i], first[j]),
					    PRIVATE_CHUNK, "chunks %u and %u",
					    j, i);
}

/* Without CONFIG_DEVICE_PRIVATE the kind refuses, and says why. */
static void kernel_without_device_memory(struct kunit *test)
{
	struct dmirror_resv resv = { };
	struct dmirror_devmem devmem;

	if (IS_ENABLED(CONFIG_DEVICE_PRIVATE))
		kunit_skip(test, "needs CONFIG_DEVICE_PRIVATE=n");
	DMIRROR_ASSERT_OK(test,
			  dmirror_devmem_init(&devmem,
					      &dmirror_pagemap_private_ops, 0,
					      PRIVATE_CHUNK, 1), "init");
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(&devmem, 1, 0, &resv),
			     -EOPNOTSUPP, "reserve without device memory");
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(&devmem), 0, "fini");
}

static struct resource *no_region(unsigned long size)
{
	return ERR_PTR(-ERANGE);
}

static void refused_region_is_told(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct dmirror_resv resv = { };

	kunit_activate_static_stub(test, dmirror_mm_region_request, no_region);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, 1, 0, &resv),
			     -ERANGE, "reserve without a region");
	kunit_deactivate_static_stub(test, dmirror_mm_region_request);
	KUNIT_EXPECT_EQ(test, devmem->stats.chunks, 0UL);
}

/* Where the refused pagemap would have been. */
static unsigned long refused_pfn;

static int no_pagemap(struct dev_pagemap *pagemap)
{
	refused_pfn = PHYS_PFN(pagemap->range.start);
	return -ENOMEM;
}

/**
 * struct claim_row - a place for coherent memory
 * @name: as in the results
 * @start: bytes from the beginning of the memory that was left to the suites
 * @end: the same; both are inside
 * @want: what the claim comes to
 */
struct claim_row {
	const char *name;
	u64 start;
	u64 end;
	int want;
};

static const struct claim_row claim_rows[] = {
	{ "one_byte_too_long", 0, SZ_2M, -EINVAL },
	{ "one_page_too_late", SZ_4K, SZ_4M + SZ_4K - 1, -EINVAL },
	{ "half_a_subsection", 0, SZ_1M - 1, -EINVAL },
	{ "empty", 0, -1ULL, -EINVAL },
	{ "wraps", SZ_2M, SZ_1M, -EINVAL },
	{ "smallest", SZ_2M, SZ_4M - 1, 0 },
	{ "longer", 0, SZ_8M - 1, 0 },
};

KUNIT_ARRAY_PARAM_DESC(claim, claim_rows, name);

static void place_of_coherent_memory_is_checked(struct kunit *test)
{
	const struct claim_row *row = test->param_value;
	struct resource *claim;
	struct range region;
	u64 base;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	base = dmirror_coherent_region(test, 0).start;
	region = (struct range){ base + row->start, base + row->end };
	claim = dmirror_pagemap_claim(&region);
	DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(claim), row->want, "claim");
	if (IS_ERR(claim))
		return;
	KUNIT_EXPECT_EQ(test, (u64)claim->start, (u64)region.start);
	KUNIT_EXPECT_EQ(test, (u64)claim->end, (u64)region.end);
	dmirror_mm_region_release(claim);
}

/* Two devices at one place, in part: the second cannot be. */
static void place_of_coherent_memory_is_taken_once(struct kunit *test)
{
	struct resource *claim, *second;
	struct range region, other;
	unsigned int round;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	region = dmirror_coherent_region(test, 0);
	other = (struct range){ region.start + SZ_2M, region.end };
	region.end = region.start + SZ_4M - 1;
	for (round = 1; round <= 2; round++) {
		claim = dmirror_pagemap_claim(&region);
		DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(claim), "first claim");
		second = dmirror_pagemap_claim(&other);
		if (!IS_ERR(second))
			dmirror_mm_region_release(second);
		dmirror_mm_region_release(claim);
		DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(second), -EBUSY,
				     "claim of a part of it");
	}
}

static void coherent_memory_is_never_ram(struct kunit *test)
{
	u64 used = ALIGN_DOWN(__pa(dmirror_fixture(test)), SZ_2M);
	struct range region = { used, used + SZ_2M - 1 };
	struct resource *claim;

	if (region_intersects(region.start, SZ_2M, IORESOURCE_SYSTEM_RAM,
			      IORES_DESC_NONE) == REGION_DISJOINT)
		kunit_skip(test, "needs an architecture that lists its RAM");
	claim = dmirror_pagemap_claim(&region);
	DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(claim), -EBUSY,
			     "claim of memory in use");
	if (!IS_ERR(claim))
		dmirror_mm_region_release(claim);
}

static void refused_pagemap_gives_its_region_back(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct dmirror_resv resv = { };

	refused_pfn = 0;
	kunit_activate_static_stub(test, dmirror_mm_pagemap_add, no_pagemap);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, 1, 0, &resv),
			     -ENOMEM, "reserve without a pagemap");
	kunit_deactivate_static_stub(test, dmirror_mm_pagemap_add);
	KUNIT_ASSERT_NE(test, refused_pfn, 0UL);
	dmirror_expect_pagemap_gone(test, refused_pfn, PRIVATE_CHUNK);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, 1, 0, &resv),
			     0, "reserve with no failure");
	dmirror_devmem_unreserve(&resv);
}

static void odd_chunk_is_refused(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK / 2, 1);
	struct dmirror_resv resv = { };

	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, 1, 0, &resv),
			     -EINVAL, "chunk of half a sub-section");
	KUNIT_EXPECT_EQ(test, devmem->stats.chunks, 0UL);
}

static struct kunit_case pagemap_cases[] = {
	KUNIT_CASE(page_is_device_private),
	KUNIT_CASE(large_folio_has_storage_by_page),
	KUNIT_CASE(freed_page_is_handed_out_again),
	KUNIT_CASE(removal_leaves_nothing),
	KUNIT_CASE(chunks_do_not_overlap),
	KUNIT_CASE(other_device_knows_that_it_is_not_its_own),
	KUNIT_CASE_PARAM(place_of_coherent_memory_is_checked,
			 claim_gen_params),
	KUNIT_CASE(place_of_coherent_memory_is_taken_once),
	KUNIT_CASE(coherent_memory_is_never_ram),
	KUNIT_CASE(refused_region_is_told),
	KUNIT_CASE(refused_pagemap_gives_its_region_back),
	KUNIT_CASE(odd_chunk_is_refused),
	KUNIT_CASE(kernel_without_device_memory),
	{}
};

DMIRROR_SUITE(pagemap, dmirror_fixture_init, pagemap_cases);
