// SPDX-License-Identifier: GPL-2.0
/*
 * What memremap_pages(), memunmap_pages() and their devm_ forms in
 * mm/memremap.c promise: what they refuse, what is left when they do, and
 * whose memory is whose. include/linux/memremap.h (struct dev_pagemap), the
 * kernel-doc of devm_memremap_pages() and Documentation/mm/memory-model.rst
 * (ZONE_DEVICE). What happens to the pages is in memremap_pages_kunit.c.
 */
#include <kunit/device.h>
#include <kunit/resource.h>
#include <linux/device.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/slab.h>

#include "mem.h"

static const struct dev_pagemap_ops ops_without_folio_free = {
	.migrate_to_ram = (void *)1,
};

static const struct dev_pagemap_ops ops_without_migrate_to_ram = {
	.folio_free = (void *)1,
};

static void no_range(struct mem *mem)
{
	mem->pagemap.nr_range = 0;
}

static void pages_too_large(struct mem *mem)
{
	mem->pagemap.vmemmap_shift = MAX_FOLIO_ORDER + 1;
}

static void no_ops(struct mem *mem)
{
	mem->pagemap.ops = NULL;
}

static void no_folio_free(struct mem *mem)
{
	mem->pagemap.ops = &ops_without_folio_free;
}

static void no_migrate_to_ram(struct mem *mem)
{
	mem->pagemap.ops = &ops_without_migrate_to_ram;
}

static void no_owner(struct mem *mem)
{
	mem->pagemap.owner = NULL;
}

static void start_in_a_unit(struct mem *mem)
{
	mem->pagemap.range.start += PAGE_SIZE;
}

static void end_in_a_unit(struct mem *mem)
{
	mem->pagemap.range.end -= PAGE_SIZE;
}

static void beyond_all_memory(struct mem *mem)
{
	mem->pagemap.range.start = MEM_BEYOND_ALL;
	mem->pagemap.range.end = mem->pagemap.range.start + MEM_UNIT - 1;
}

static void two_ranges_and_altmap(struct mem *mem)
{
	struct range *ranges = mem->pagemap.ranges;

	ranges[0] = mem_range(mem, 0, 1);
	ranges[1] = mem_range(mem, 1, 1);
	mem->pagemap.nr_range = 2;
	mem->pagemap.flags = PGMAP_ALTMAP_VALID;
	mem->pagemap.altmap.base_pfn = mem_pfn(mem, 0);
}

static void altmap_elsewhere(struct mem *mem)
{
	mem->pagemap.flags = PGMAP_ALTMAP_VALID;
	mem->pagemap.altmap.base_pfn = mem_pfn(mem, 1);
}

static void altmap_larger_than_all(struct mem *mem)
{
	mem->pagemap.flags = PGMAP_ALTMAP_VALID;
	mem->pagemap.altmap.base_pfn = mem_pfn(mem, 0);
	mem->pagemap.altmap.free = 2 * MEM_UNIT_PAGES + 1;
}

/**
 * struct mistake - what memremap_pages() has to refuse
 * @name: of the row
 * @type: of the memory
 * @make: makes the mistake
 * @warns: it is the driver's fault, and it is told every time
 */
struct mistake {
	const char *name;
	enum memory_type type;
	void (*make)(struct mem *mem);
	bool warns;
};

static const struct mistake mistakes[] = {
	{ "no_range", MEMORY_DEVICE_PRIVATE, no_range },
	{ "pages_too_large", MEMORY_DEVICE_GENERIC, pages_too_large },
	{ "private_without_ops", MEMORY_DEVICE_PRIVATE, no_ops, true },
	{ "private_without_folio_free", MEMORY_DEVICE_PRIVATE, no_folio_free,
	  true },
	{ "private_without_migrate_to_ram", MEMORY_DEVICE_PRIVATE,
	  no_migrate_to_ram, true },
	{ "private_without_owner", MEMORY_DEVICE_PRIVATE, no_owner, true },
	{ "coherent_without_ops", MEMORY_DEVICE_COHERENT, no_ops, true },
	{ "coherent_without_folio_free", MEMORY_DEVICE_COHERENT, no_folio_free,
	  true },
	{ "coherent_without_owner", MEMORY_DEVICE_COHERENT, no_owner, true },
	{ "start_is_misaligned", MEMORY_DEVICE_PRIVATE, start_in_a_unit, true },
	{ "end_is_misaligned", MEMORY_DEVICE_PRIVATE, end_in_a_unit, true },
	{ "beyond_all_memory", MEMORY_DEVICE_PRIVATE, beyond_all_memory },
	{ "altmap_with_two_ranges", MEMORY_DEVICE_GENERIC,
	  two_ranges_and_altmap },
	{ "altmap_is_elsewhere", MEMORY_DEVICE_GENERIC, altmap_elsewhere },
	{ "altmap_is_larger_than_all", MEMORY_DEVICE_GENERIC,
	  altmap_larger_than_all },
};

KUNIT_ARRAY_PARAM_DESC(mistake, mistakes, name);

/* Up to 7.3 a NULL pointer is followed: there the case does not go on. */
static bool dies_of(const struct mistake *row)
{
#ifdef COHERENT_WITHOUT_OPS_DIES
	return row->type == MEMORY_DEVICE_COHERENT && row->make == no_ops;
#else
	return false;
#endif
}

/* -EINVAL, the pagemap as it was, and the place as free as it was. */
static void mistake_is_refused(struct kunit *test)
{
	const struct mistake *row = test->param_value;
	struct mem *mem = mem_new(test, row->type, 2);
	int ret = 0, warnings = 0, nr_range;

	if (dies_of(row))
		DMIRROR_KNOWN_DEFECT(test,
				     "memremap_pages() of coherent memory without operations");
	row->make(mem);
	nr_range = mem->pagemap.nr_range;
	kunit_warning_suppress(test) {
		ret = mem_add(mem);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	/* UML's memory map cannot lie in the memory, wherever that may be. */
	if (IS_ENABLED(CONFIG_UML) && ret == -ENOMEM &&
	    row->make == two_ranges_and_altmap)
		kunit_skip(test, "needs an altmap, which UML does not have");
	DMIRROR_EXPECT_ERRNO(test, ret, -EINVAL, row->name);
	if (row->warns)
		KUNIT_EXPECT_GE_MSG(test, warnings, 1, "warnings about %s",
				    row->name);
	KUNIT_EXPECT_EQ(test, mem->pagemap.nr_range, nr_range);
	KUNIT_EXPECT_NULL(test, mem_owner(mem, 0));
	KUNIT_EXPECT_NULL(test, mem_owner(mem, MEM_UNIT_PAGES));
	if (!ret)
		return;

	mem_fill_in(mem, row->type);
	DMIRROR_EXPECT_ERRNO(test, mem_add(mem), 0, "the same without mistake");
}

/* "0 is reserved to catch uninitialized type fields" */
static void type_that_is_none_warns(struct kunit *test)
{
	struct mem *mem = mem_new(test, MEMORY_DEVICE_GENERIC, 1);
	int ret = 0, warnings = 0;

	mem->pagemap.type = 0;
	kunit_warning_suppress(test) {
		ret = mem_add(mem);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	KUNIT_EXPECT_EQ_MSG(test, warnings, 1, "warnings; mapping it got %s",
			    dmirror_errno(ret));
}

/* A page of RAM is nobody's device memory. */
static void ram_is_refused(struct kunit *test)
{
	struct mem *mem = mem_new(test, MEMORY_DEVICE_PRIVATE, 1);
	u64 ram = ALIGN_DOWN(virt_to_phys(mem), MEM_UNIT);
	int ret = 0, warnings = 0, want;

	want = region_intersects(ram, MEM_UNIT, IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) == REGION_DISJOINT ?
	       -EEXIST : -ENXIO;
	mem->pagemap.range = (struct range){ ram, ram + MEM_UNIT - 1 };
	kunit_warning_suppress(test) {
		ret = mem_add(mem);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	DMIRROR_EXPECT_ERRNO(test, ret, want, "memory of the kernel");
	if (want == -ENXIO)
		mem_expect_once(test, warnings, "memory of the kernel");
	else
		KUNIT_EXPECT_EQ(test, warnings, 0);
	KUNIT_EXPECT_NULL(test, get_dev_pagemap(PHYS_PFN(ram)));
}

/**
 * struct overlap - two pagemaps in the same place
 * @name: of the row
 * @live: first unit of the one that lives, of two
 * @from: first unit of the other one
 * @units: number of units of the other one
 */
struct overlap {
	const char *name;
	unsigned int live;
	unsigned int from;
	unsigned int units;
};

static const struct overlap overlaps[] = {
	{ "same", 1, 1, 2 },
	{ "begins_inside", 1, 2, 2 },
	{ "ends_inside", 1, 0, 2 },
	{ "inside", 1, 1, 1 },
	{ "around", 1, 0, 4 },
};

KUNIT_ARRAY_PARAM_DESC(overlap, overlaps, name);

/* A second owner is refused, and the first one stays what it is. */
static void overlap_with_a_live_one_is_refused(struct kunit *test)
{
	const struct overlap *row = test->param_value;
	struct mem *live = mem_new(test, MEMORY_DEVICE_PRIVATE, 4);
	struct mem *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	struct dev_pagemap *before, *after;
	int ret = 0;

	KUNIT_ASSERT_NOT_NULL(test, other);
	memcpy(other, live, sizeof(*other));
	live->pagemap.range = mem_range(live, row->live, 2);
	other->pagemap.range = mem_range(live, row->from, row->units);
	DMIRROR_ASSERT_OK(test, mem_add(live), "the first one");
	before = mem_owner(live, MEM_UNIT_PAGES * row->live);
	kunit_warning_suppress(test)
		ret = mem_add(other);
	after = mem_owner(live, MEM_UNIT_PAGES * row->live);
	if (!ret)
		memunmap_pages(&other->pagemap);

	KUNIT_EXPECT_PTR_EQ(test, before, &live->pagemap);
	/* Only its ends are looked at. */
	if (ret == -EEXIST && !after && row->units > 2)
		DMIRROR_KNOWN_DEFECT(test, "a refused pagemap hides the live one in it");
	DMIRROR_EXPECT_ERRNO(test, ret, -ENOMEM, "the second one");
	KUNIT_EXPECT_PTR_EQ(test, after, &live->pagemap);
	KUNIT_EXPECT_PTR_EQ(test, page_pgmap(mem_page(live, MEM_UNIT_PAGES *
						      row->live)),
			    &live->pagemap);
}

/* Documentation/mm/memory-model.rst: 2MB is the granularity, not a section. */
static void neighbours_do_not_disturb_each_other(struct kunit *test)
{
	struct mem *mem = mem_new(test, MEMORY_DEVICE_PRIVATE, 3);
	struct mem *next = kunit_kzalloc(test, sizeof(*next), GFP_KERNEL);
	struct dev_pagemap *got[3];
	int ret[2];

	KUNIT_ASSERT_NOT_NULL(test, next);
	memcpy(next, mem, sizeof(*next));
	mem->pagemap.range = mem_range(mem, 0, 1);
	next->pagemap.range = mem_range(mem, 1, 1);
	ret[0] = mem_add(mem);
	ret[1] = mem_add(next);
	got[0] = mem_owner(mem, MEM_UNIT_PAGES - 1);
	got[1] = mem_owner(mem, MEM_UNIT_PAGES);
	got[2] = mem_owner(mem, 2 * MEM_UNIT_PAGES);
	mem_del(next);

	DMIRROR_EXPECT_ERRNO(test, ret[0], 0, "the first one");
	DMIRROR_EXPECT_ERRNO(test, ret[1], 0, "its neighbour");
	KUNIT_EXPECT_PTR_EQ(test, got[0], &mem->pagemap);
	KUNIT_EXPECT_PTR_EQ(test, got[1], &next->pagemap);
	KUNIT_EXPECT_NULL(test, got[2]);
	KUNIT_EXPECT_PTR_EQ_MSG(test, mem_owner(mem, MEM_UNIT_PAGES - 1),
				&mem->pagemap, "after its neighbour has gone");
	KUNIT_EXPECT_NULL(test, mem_owner(mem, MEM_UNIT_PAGES));
}

static void expect_ranges(struct kunit *test, struct mem *mem,
			  const char *step)
{
	unsigned int unit;

	/* Units 1 and 3 are the gaps. */
	for (unit = 0; unit < 5; unit++) {
		struct dev_pagemap *want = mem->mapped && !(unit & 1) ?
					   &mem->pagemap : NULL;

		KUNIT_EXPECT_PTR_EQ_MSG(test, mem_owner(mem, unit *
							MEM_UNIT_PAGES), want,
					"first page of unit %u %s", unit, step);
		KUNIT_EXPECT_PTR_EQ_MSG(test,
					mem_owner(mem, (unit + 1) *
						  MEM_UNIT_PAGES - 1), want,
					"last page of unit %u %s", unit, step);
	}
}

static void three_ranges(struct mem *mem)
{
	struct range *ranges = mem->pagemap.ranges;

	mem->pagemap.nr_range = 3;
	ranges[0] = mem_range(mem, 0, 1);
	ranges[1] = mem_range(mem, 2, 1);
	ranges[2] = mem_range(mem, 4, 1);
}

static void several_ranges_are_one_pagemap(struct kunit *test)
{
	struct mem *mem = mem_new(test, MEMORY_DEVICE_PRIVATE, 5);

	three_ranges(mem);
	DMIRROR_ASSERT_OK(test, mem_add(mem), "three ranges");
	KUNIT_EXPECT_EQ(test, mem->pagemap.nr_range, 3);
	expect_ranges(test, mem, "when mapped");
	mem_del(mem);
	expect_ranges(test, mem, "when unmapped");
}

/* The ranges before the one that fails are taken back. */
static void failed_range_undoes_those_before(struct kunit *test)
{
	struct mem *mem = mem_new(test, MEMORY_DEVICE_PRIVATE, 5);
	unsigned int bad, rounds = 0;
	int ret;

	for (bad = 0; bad < 3; bad++, rounds++) {
		three_ranges(mem);
		mem->pagemap.ranges[bad].start = MEM_BEYOND_ALL;
		mem->pagemap.ranges[bad].end = MEM_BEYOND_ALL + MEM_UNIT - 1;
		ret = mem_add(mem);
		DMIRROR_EXPECT_ERRNO(test, ret, -EINVAL, "range that fails");
		KUNIT_EXPECT_EQ_MSG(test, mem->pagemap.nr_range, 3,
				    "when range %u fails", bad);
		expect_ranges(test, mem, "when one failed");
	}
	KUNIT_EXPECT_EQ(test, rounds, 3U);

	three_ranges(mem);
	DMIRROR_ASSERT_OK(test, mem_add(mem), "after the failures");
	expect_ranges(test, mem, "after the failures");
}

/* Each type where another one has been. */
static void place_can_be_used_again(struct kunit *test)
{
	struct mem *mem = mem_new(test, MEMORY_DEVICE_GENERIC, 1);
	unsigned int i;

	for (i = 0; i < 2 * MEM_TYPES; i++) {
		const struct mem_type *type = &mem_types[i % MEM_TYPES];

		if (type->type == MEMORY_DEVICE_PRIVATE)
			continue;
		mem->pagemap.type = type->type;
		DMIRROR_ASSERT_OK(test, mem_add(mem), type->name);
		KUNIT_EXPECT_PTR_EQ(test, mem_owner(mem, 0), &mem->pagemap);
		mem_del(mem);
		KUNIT_EXPECT_NULL(test, mem_owner(mem, 0));
	}
}

/* The place of private memory has its name in iomem, until it is released. */
static void region_of_private_memory_is_given_back(struct kunit *test)
{
	struct mem *mem = mem_new(test, MEMORY_DEVICE_PRIVATE, 1);
	int with, without;

	DMIRROR_ASSERT_OK(test, mem_add(mem), "memremap_pages");
	with = region_intersects(mem->start, MEM_UNIT, IORESOURCE_MEM,
				 IORES_DESC_DEVICE_PRIVATE_MEMORY);
	mem_del(mem);
	release_mem_region(mem->res->start, resource_size(mem->res));
	mem->res = NULL;
	without = region_intersects(mem->start, MEM_UNIT, IORESOURCE_MEM,
				    IORES_DESC_DEVICE_PRIVATE_MEMORY);
	KUNIT_EXPECT_EQ(test, with, (int)REGION_INTERSECTS);
	KUNIT_EXPECT_EQ(test, without, (int)REGION_DISJOINT);
}

/*
 * A whole section, so that the memory map of it is no part of another one.
 * Memory maps of less are never taken from an altmap.
 */
static struct mem *section_new(struct kunit *test)
{
#ifdef CONFIG_SPARSEMEM
	const u64 size = PAGES_PER_SECTION << PAGE_SHIFT;
	struct mem *mem;

	mem = mem_new(test, MEMORY_DEVICE_GENERIC, size / MEM_UNIT);
	if (!IS_ALIGNED(mem->start, size))
		kunit_skip(test, "needs dmirror_fixture.coherent= at a section");

	return mem;
#else
	DMIRROR_REQUIRES_CONFIG(test, SPARSEMEM);
	return NULL;
#endif
}

/* Where struct page @at is, if the memory map begins where the memory does. */
static struct page *page_in_memory(struct mem *mem, unsigned long at)
{
	return (struct page *)__va(mem->start) + at;
}

/*
 * struct vmem_altmap: "pre-allocated storage for vmemmap allocations". The
 * memory map of a section is in the first pages of the section itself, as many
 * as it needs, and they are nobody's.
 */
static void expect_altmap(struct kunit *test, struct mem *mem,
			  unsigned long taken)
{
	struct page *page = mem_page(mem, taken + 3);
	unsigned long before, after;

	KUNIT_EXPECT_EQ_MSG(test, mem->pagemap.altmap.alloc, taken,
			    "pages that the memory map takes of the memory");
	before = page_in_memory(mem, taken + 3)->private;
	set_page_private(page, ~before);
	after = page_in_memory(mem, taken + 3)->private;
	set_page_private(page, before);
	KUNIT_EXPECT_EQ_MSG(test, after, ~before,
			    "struct page %lu is not in the memory itself",
			    taken + 3);
	KUNIT_EXPECT_PTR_EQ(test, page_pgmap(mem_page(mem, taken)),
			    &mem->pagemap);
	KUNIT_EXPECT_EQ(test, page_ref_count(mem_page(mem, taken)), 1);
}

static void altmap_takes_the_first_pages(struct kunit *test)
{
	struct mem *mem = section_new(test);
	unsigned long taken = (mem->size >> PAGE_SHIFT) *
			      sizeof(struct page) >> PAGE_SHIFT;
	int ret;

	mem->pagemap.flags = PGMAP_ALTMAP_VALID;
	mem->pagemap.altmap.base_pfn = mem_pfn(mem, 0);
	mem->pagemap.altmap.free = taken;
	KUNIT_EXPECT_PTR_EQ(test, pgmap_altmap(&mem->pagemap),
			    &mem->pagemap.altmap);
	ret = mem_add(mem);
	/* Its memory map cannot lie in the memory, wherever that may be. */
	if (IS_ENABLED(CONFIG_UML)) {
		DMIRROR_EXPECT_ERRNO(test, ret, -ENOMEM, "altmap of UML");
		KUNIT_EXPECT_NULL(test, mem_owner(mem, 0));
		KUNIT_EXPECT_EQ(test, mem->pagemap.nr_range, 1);
	} else {
		DMIRROR_ASSERT_OK(test, ret, "with altmap");
		expect_altmap(test, mem, taken);
	}
	mem_del(mem);
	KUNIT_EXPECT_EQ_MSG(test, mem->pagemap.altmap.alloc, 0UL,
			    "pages of the memory map that were not freed");
	mem->pagemap.flags = 0;
	KUNIT_EXPECT_NULL(test, pgmap_altmap(&mem->pagemap));
	DMIRROR_EXPECT_ERRNO(test, mem_add(mem), 0, "without altmap");
}

/* One page less than the memory map needs: nothing is mapped. */
static void altmap_that_is_too_small_is_refused(struct kunit *test)
{
	struct mem *mem = section_new(test);
	unsigned long taken = (mem->size >> PAGE_SHIFT) *
			      sizeof(struct page) >> PAGE_SHIFT;
	int ret = 0;

	mem->pagemap.flags = PGMAP_ALTMAP_VALID;
	mem->pagemap.altmap.base_pfn = mem_pfn(mem, 0);
	mem->pagemap.altmap.free = taken - 1;
	/* An architecture may wonder about a memory map that cannot be had. */
	kunit_warning_suppress(test)
		ret = mem_add(mem);
	DMIRROR_EXPECT_ERRNO(test, ret, -ENOMEM, "small altmap");
	KUNIT_EXPECT_NULL(test, mem_owner(mem, 0));
	KUNIT_EXPECT_EQ_MSG(test, mem->pagemap.altmap.alloc, 0UL,
			    "pages that are still taken");
	mem->pagemap.flags = 0;
	DMIRROR_EXPECT_ERRNO(test, mem_add(mem), 0, "without altmap");
}

#ifdef MODULE
static bool pfn_valid_of(struct mem *mem, unsigned long at)
{
	return false;
}
#else
static bool pfn_valid_of(struct mem *mem, unsigned long at)
{
	return pgmap_pfn_valid(&mem->pagemap, mem_pfn(mem, at));
}
#endif

/* Pages are those of the ranges, but for what an altmap takes of the first. */
static void page_is_valid_within_the_ranges(struct kunit *test)
{
	const unsigned long unit = MEM_UNIT_PAGES, taken = 24;
	struct mem *mem = mem_new(test, MEMORY_DEVICE_GENERIC, 4);
	unsigned long at, wrong = 0, valid = 0;

	DMIRROR_REQUIRES_BUILTIN(test);
	mem->pagemap.nr_range = 2;
	mem->pagemap.ranges[0] = mem_range(mem, 0, 1);
	mem->pagemap.ranges[1] = mem_range(mem, 2, 1);
	mem->pagemap.flags = PGMAP_ALTMAP_VALID;
	mem->pagemap.altmap.base_pfn = mem_pfn(mem, 0);
	mem->pagemap.altmap.free = taken;
	for (at = 0; at < 4 * unit; at++) {
		bool want = at < unit ? at >= taken :
			    at >= 2 * unit && at < 3 * unit;
		bool got = pfn_valid_of(mem, at);

		valid += got;
		if (got != want && !wrong++)
			KUNIT_FAIL(test, "page %lu of 4 * %lu: got %d wanted %d",
				   at, unit, got, want);
	}
	KUNIT_EXPECT_EQ_MSG(test, valid, 2 * unit - taken, "valid pages");
	mem->pagemap.flags = 0;
	KUNIT_EXPECT_TRUE_MSG(test, pfn_valid_of(mem, 0), "without altmap");
}

/* The same with a device, at whose end the memory goes. */
static void device_takes_its_memory_with_it(struct kunit *test)
{
	struct mem *mem = mem_new(test, MEMORY_DEVICE_PRIVATE, 1);
	struct device *dev = kunit_device_register(test, "memremap");
	unsigned int i;
	void *addr;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	for (i = 0; i < 2; i++) {
		addr = devm_memremap_pages(dev, &mem->pagemap);
		DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(addr),
				  "devm_memremap_pages");
		KUNIT_EXPECT_PTR_EQ(test, mem_owner(mem, 0), &mem->pagemap);
		if (i)
			break;
		devm_memunmap_pages(dev, &mem->pagemap);
		KUNIT_EXPECT_NULL(test, mem_owner(mem, 0));
	}
	kunit_device_unregister(test, dev);
	KUNIT_EXPECT_NULL(test, mem_owner(mem, 0));
}

static void device_is_told_why(struct kunit *test)
{
	struct mem *mem = mem_new(test, MEMORY_DEVICE_PRIVATE, 1);
	struct device *dev = kunit_device_register(test, "memremap");
	void *addr;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	beyond_all_memory(mem);
	addr = devm_memremap_pages(dev, &mem->pagemap);
	DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(addr), -EINVAL,
			     "devm_memremap_pages beyond all memory");
}

/* A granularity that all who want device memory can live with. */
static void compat_align_is_enough_for_memremap_pages(struct kunit *test)
{
	unsigned long align = memremap_compat_align();
	struct mem *mem;

	KUNIT_EXPECT_TRUE(test, is_power_of_2(align));
	KUNIT_EXPECT_GE(test, align, PAGE_SIZE);
	KUNIT_ASSERT_LE(test, align, MEM_UNIT);
	mem = mem_new(test, MEMORY_DEVICE_PRIVATE, 1);
	mem->pagemap.range.end = mem->pagemap.range.start + align - 1;
	DMIRROR_EXPECT_ERRNO(test, mem_add(mem), 0, "one unit of that size");
}

static struct kunit_case memremap_cases[] = {
	KUNIT_CASE_PARAM(mistake_is_refused, mistake_gen_params),
	KUNIT_CASE(type_that_is_none_warns),
	KUNIT_CASE(ram_is_refused),
	KUNIT_CASE_PARAM(overlap_with_a_live_one_is_refused,
			 overlap_gen_params),
	KUNIT_CASE(neighbours_do_not_disturb_each_other),
	KUNIT_CASE(several_ranges_are_one_pagemap),
	KUNIT_CASE(failed_range_undoes_those_before),
	KUNIT_CASE(place_can_be_used_again),
	KUNIT_CASE(region_of_private_memory_is_given_back),
	KUNIT_CASE(altmap_takes_the_first_pages),
	KUNIT_CASE(altmap_that_is_too_small_is_refused),
	KUNIT_CASE(page_is_valid_within_the_ranges),
	KUNIT_CASE(device_takes_its_memory_with_it),
	KUNIT_CASE(device_is_told_why),
	KUNIT_CASE(compat_align_is_enough_for_memremap_pages),
	{}
};

DMIRROR_SUITE_AS(memremap, dmirror_case_init, memremap_cases);
