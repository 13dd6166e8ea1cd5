// SPDX-License-Identifier: GPL-2.0
/* Work on src[] and dst[] alone, with real pages and no page table. */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/highmem.h>
#include <linux/migrate.h>
#include <linux/pagemap.h>

#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/plan.h"
#include "fake_devmem.h"
#include "private_devmem.h"

#define NR 6

/* The kinds of device memory that a case runs on. */
static const struct kind {
	const char *name;
	bool fake;
} kinds[] = {
	{ "fake", true },
	{ "private", false },
};

KUNIT_ARRAY_PARAM_DESC(kind, kinds, name);

static struct dmirror_devmem *devmem_of_kind(struct kunit *test)
{
	const struct kind *kind = test->param_value;

	if (kind->fake)
		return &dmirror_fake_get(test, 0, 16, 1)->devmem;

	return dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
}

/* Gives a planned device page back. */
static void drop_device_page(unsigned long dst)
{
	struct page *page = migrate_pfn_to_page(dst);

	if (!page)
		return;
	if (is_device_private_page(page)) {
		unlock_page(page);
		put_page(page);
	} else {
		dmirror_devmem_free(page, 0);
	}
}

static void free_page_action(void *data)
{
	put_page(data);
}

/* A system page full of @byte. */
static struct page *page_of(struct kunit *test, u8 byte)
{
	struct page *page = alloc_page(GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_page_action,
							page), 0);
	memset(page_address(page), byte, PAGE_SIZE);

	return page;
}

static void expect_bytes(struct kunit *test, struct page *page, u8 want,
			 unsigned long which)
{
	const u8 *bytes = kmap_local_page(page);
	const u8 *wrong = memchr_inv(bytes, want, PAGE_SIZE);
	long at = wrong ? wrong - bytes : -1;
	u8 got = wrong ? *wrong : want;

	kunmap_local(bytes);
	if (at >= 0)
		KUNIT_FAIL(test,
			   "page %lu: byte %ld got 0x%02x wanted 0x%02x", which,
			   at, got, want);
}

/**
 * struct source - one entry of src[] and what has to become of it
 * @page: whether there is a source page
 * @flags: MIGRATE_PFN_* beyond MIGRATE_PFN_VALID
 * @planned: whether it gets a destination
 * @writable: whether the destination may be written to, by holes_writable
 */
struct source {
	bool page;
	unsigned long flags;
	bool planned;
	bool writable[2];
};

static const struct source sources[NR] = {
	{ true, MIGRATE_PFN_MIGRATE, true, { false, false } },
	{ true, MIGRATE_PFN_MIGRATE | MIGRATE_PFN_WRITE, true, { true, true } },
	{ true, 0, false },
	{ false, MIGRATE_PFN_MIGRATE, true, { false, true } },
	{ false, 0, false },
	{ true, MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND, false },
};

static void make_sources(struct kunit *test, unsigned long *src)
{
	unsigned long i;

	for (i = 0; i < NR; i++) {
		src[i] = sources[i].flags;
		if (sources[i].page)
			src[i] |= migrate_pfn(page_to_pfn(page_of(test,
								  i + 1)));
	}
}

static unsigned long to_devmem(const unsigned long *src, unsigned long *dst,
			       struct dmirror_resv *resv, bool holes_writable)
{
	const struct dmirror_plan plan = {
		.devmem = resv->devmem,
		.resv = resv,
		.holes_writable = holes_writable,
	};

	unsigned long planned;

	planned = dmirror_plan_to_devmem(&plan, src, dst, NR);
	dmirror_plan_copy(&plan, src, dst, NR);

	return planned;
}

static unsigned long to_ram(const unsigned long *src, unsigned long *dst,
			    unsigned long nr, struct dmirror_devmem *devmem)
{
	const struct dmirror_plan plan = { .devmem = devmem };
	unsigned long planned;

	planned = dmirror_plan_to_ram(&plan, src, dst, nr);
	dmirror_plan_copy(&plan, src, dst, nr);

	return planned;
}

static void expect_planned(struct kunit *test, unsigned long i,
			   unsigned long dst, bool holes_writable)
{
	struct page *page = migrate_pfn_to_page(dst);
	bool writable = dst & MIGRATE_PFN_WRITE;

	KUNIT_EXPECT_EQ_MSG(test, !!page, sources[i].planned,
			    "entry %lu: destination 0x%lx", i, dst);
	if (!page || !sources[i].planned)
		return;
	KUNIT_EXPECT_EQ_MSG(test, writable, sources[i].writable[holes_writable],
			    "entry %lu is writable", i);
	expect_bytes(test, dmirror_devmem_backing(page),
		     sources[i].page ? i + 1 : 0, i);
}

/* Makes it likely that the next pages allocated are not full of zeroes. */
static void dirty_free_pages(void)
{
	struct page *pages[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = alloc_page(GFP_KERNEL);
		if (pages[i])
			memset(page_address(pages[i]), 0x5a, PAGE_SIZE);
	}
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		if (pages[i])
			__free_page(pages[i]);
}

static void to_devmem_by_source_flags(struct kunit *test)
{
	struct dmirror_devmem *devmem = devmem_of_kind(test);
	unsigned long src[NR], dst[NR], i, planned;
	int writable;

	make_sources(test, src);
	for (writable = 0; writable < 2; writable++) {
		struct dmirror_resv resv = { };

		DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, NR, 0,
							       &resv),
				  "reserve");
		dirty_free_pages();
		memset(dst, 0xff, sizeof(dst));
		planned = to_devmem(src, dst, &resv, writable);
		KUNIT_EXPECT_EQ(test, planned, 3UL);
		for (i = 0; i < NR; i++)
			expect_planned(test, i, dst[i], writable);
		for (i = 0; i < NR; i++)
			drop_device_page(dst[i]);
		dmirror_devmem_unreserve(&resv);
	}
	KUNIT_EXPECT_EQ(test, dmirror_pages_out(devmem), 0UL);
}

static void to_devmem_without_memory_for_one(struct kunit *test)
{
	struct dmirror_devmem *devmem = devmem_of_kind(test);
	unsigned long src[NR], dst[NR], i, planned;
	unsigned int nth;

	for (i = 0; i < NR; i++)
		src[i] = MIGRATE_PFN_MIGRATE |
			 migrate_pfn(page_to_pfn(page_of(test, i + 1)));

	for (nth = 1; nth <= NR; nth++) {
		struct dmirror_resv resv = { };

		DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, NR, 0,
							       &resv),
				  "reserve");
		dmirror_inject_arm(DMIRROR_INJECT_BACKING_ALLOC, nth);
		planned = to_devmem(src, dst, &resv, true);
		KUNIT_EXPECT_EQ_MSG(test, planned, NR - 1UL, "failure %u", nth);
		for (i = 0; i < NR; i++)
			KUNIT_EXPECT_EQ_MSG(test, !dst[i], i == nth - 1,
					    "entry %lu with failure %u", i, nth);
		for (i = 0; i < NR; i++)
			drop_device_page(dst[i]);
		dmirror_devmem_unreserve(&resv);
	}
	KUNIT_EXPECT_EQ(test, dmirror_pages_out(devmem), 0UL);
}

static void to_devmem_ends_with_the_reservation(struct kunit *test)
{
	struct dmirror_devmem *devmem = devmem_of_kind(test);
	unsigned long src[NR], dst[NR], i, planned;
	struct dmirror_resv resv = { };

	for (i = 0; i < NR; i++)
		src[i] = MIGRATE_PFN_MIGRATE;
	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, 2, 0, &resv),
			  "reserve");
	planned = to_devmem(src, dst, &resv, true);
	KUNIT_EXPECT_EQ(test, planned, 2UL);
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_EQ_MSG(test, !!dst[i], i < 2, "entry %lu", i);
	for (i = 0; i < NR; i++)
		drop_device_page(dst[i]);
	dmirror_devmem_unreserve(&resv);
}

/* Takes @nr private pages, page i's storage full of i + 1. */
static void device_sources(struct kunit *test, struct dmirror_devmem *devmem,
			   unsigned long *src, unsigned long nr)
{
	struct dmirror_resv resv = { };
	unsigned long i;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, nr, 0, &resv),
			  "reserve");
	for (i = 0; i < nr; i++) {
		struct page *page = dmirror_devmem_alloc(&resv, 0);

		KUNIT_ASSERT_NOT_NULL(test, page);
		memset_page(dmirror_devmem_backing(page), 0, i + 1, PAGE_SIZE);
		src[i] = MIGRATE_PFN_MIGRATE | migrate_pfn(page_to_pfn(page));
	}
	dmirror_devmem_unreserve(&resv);
}

static void drop_ram_page(unsigned long dst)
{
	struct page *page = migrate_pfn_to_page(dst);

	if (!page)
		return;
	unlock_page(page);
	put_page(page);
}

static void to_ram_copies_and_keeps_permission(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	unsigned long src[NR], dst[NR], i, planned;

	device_sources(test, devmem, src, NR);
	src[1] |= MIGRATE_PFN_WRITE;
	src[2] &= ~MIGRATE_PFN_MIGRATE;
	memset(dst, 0xff, sizeof(dst));
	planned = to_ram(src, dst, NR, devmem);
	KUNIT_EXPECT_EQ(test, planned, NR - 1UL);
	for (i = 0; i < NR; i++) {
		struct page *page = migrate_pfn_to_page(dst[i]);

		KUNIT_EXPECT_EQ_MSG(test, !page, i == 2, "entry %lu", i);
		if (!page)
			continue;
		KUNIT_EXPECT_TRUE_MSG(test, PageLocked(page), "entry %lu", i);
		KUNIT_EXPECT_FALSE_MSG(test, is_zone_device_page(page),
				       "entry %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, !!(dst[i] & MIGRATE_PFN_WRITE),
				    i == 1, "entry %lu is writable", i);
		expect_bytes(test, page, i + 1, i);
	}
	for (i = 0; i < NR; i++) {
		drop_ram_page(dst[i]);
		drop_device_page(src[i]);
	}
	KUNIT_EXPECT_EQ(test, dmirror_pages_out(devmem), 0UL);
}

static void to_ram_leaves_foreign_pages(struct kunit *test)
{
	struct dmirror_devmem *ours =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct dmirror_devmem *theirs =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	unsigned long src[3], dst[3], planned;

	device_sources(test, ours, src, 1);
	device_sources(test, theirs, src + 1, 1);
	src[2] = MIGRATE_PFN_MIGRATE |
		 migrate_pfn(page_to_pfn(page_of(test, 1)));
	planned = to_ram(src, dst, 3, ours);
	KUNIT_EXPECT_EQ(test, planned, 1UL);
	KUNIT_EXPECT_NE_MSG(test, dst[0], 0UL, "our page");
	KUNIT_EXPECT_EQ_MSG(test, dst[1], 0UL, "another device's page");
	KUNIT_EXPECT_EQ_MSG(test, dst[2], 0UL, "a system page");
	drop_ram_page(dst[0]);
	drop_device_page(src[0]);
	drop_device_page(src[1]);
}

static void to_ram_without_memory_for_one(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	unsigned long src[NR], dst[NR], i, planned;
	unsigned int nth;

	device_sources(test, devmem, src, NR);
	for (nth = 1; nth <= NR; nth++) {
		dmirror_inject_arm(DMIRROR_INJECT_RAM_ALLOC, nth);
		planned = to_ram(src, dst, NR, devmem);
		KUNIT_EXPECT_EQ_MSG(test, planned, NR - 1UL, "failure %u", nth);
		for (i = 0; i < NR; i++) {
			KUNIT_EXPECT_EQ_MSG(test, !dst[i], i == nth - 1,
					    "entry %lu with failure %u", i, nth);
			drop_ram_page(dst[i]);
		}
	}
	for (i = 0; i < NR; i++)
		drop_device_page(src[i]);
}

static struct kunit_case plan_cases[] = {
	KUNIT_CASE_PARAM(to_devmem_by_source_flags, kind_gen_params),
	KUNIT_CASE_PARAM(to_devmem_without_memory_for_one, kind_gen_params),
	KUNIT_CASE_PARAM(to_devmem_ends_with_the_reservation, kind_gen_params),
	KUNIT_CASE(to_ram_copies_and_keeps_permission),
	KUNIT_CASE(to_ram_leaves_foreign_pages),
	KUNIT_CASE(to_ram_without_memory_for_one),
	{}
};

DMIRROR_SUITE(plan, dmirror_fixture_init, plan_cases);
