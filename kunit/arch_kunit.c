// SPDX-License-Identifier: GPL-2.0
/*
 * What everything else here stands on and an architecture provides: page table
 * entries set in a row, the kernel's own access to a process's memory, and the
 * memory map of User Mode Linux.
 */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pgtable.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/pagemap.h"
#include "private_devmem.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

#define MAX_SET 8U

static void free_pages_action(void *data)
{
	__free_pages(data, ilog2(MAX_SET));
}

static void free_table_action(void *data)
{
	free_page((unsigned long)data);
}

static unsigned long user_addr(unsigned int i)
{
	return PMD_SIZE + i * PAGE_SIZE;
}

/* Sets @nr entries of an empty table, notes their pfns, empties it again. */
static void set_and_read(struct mm_struct *mm, pte_t *table, unsigned long pfn,
			 unsigned int nr, unsigned long *pfns, bool *beyond)
{
	unsigned int i;

	set_ptes(mm, user_addr(0), table, pfn_pte(pfn, PAGE_READONLY), nr);
	*beyond = !pte_none(ptep_get(table + nr));
	for (i = 0; i < nr; i++) {
		pfns[i] = pte_pfn(ptep_get(table + i));
		ptep_get_and_clear(mm, user_addr(i), table + i);
	}
}

/*
 * Up to 7.3 arch/um advances by as many pages as are still to be set. Of three
 * or more entries the second is the first to be wrong.
 */
static bool is_um_set_ptes_bug(unsigned long pfn, unsigned int nr,
			       const unsigned long *pfns)
{
	return IS_ENABLED(CONFIG_UML) && nr >= 3 && pfns[1] == pfn + nr - 1;
}

static void set_ptes_maps_consecutive_pages(struct kunit *test)
{
	struct mm_struct *mm = dmirror_fixture(test)->mm;
	unsigned long pfns[MAX_SET], pfn;
	unsigned int nr, i;
	struct page *pages;
	bool beyond;
	pte_t *table;

	table = (pte_t *)get_zeroed_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, table);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_table_action,
							table), 0);
	pages = alloc_pages(GFP_KERNEL, ilog2(MAX_SET));
	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_pages_action,
							pages), 0);
	pfn = page_to_pfn(pages);

	for (nr = 1; nr <= MAX_SET; nr++) {
		set_and_read(mm, table, pfn, nr, pfns, &beyond);
		KUNIT_EXPECT_FALSE_MSG(test, beyond,
				       "set_ptes() of %u: entry %u is set too",
				       nr, nr);
		if (is_um_set_ptes_bug(pfn, nr, pfns))
			DMIRROR_KNOWN_DEFECT(test, "arch/um set_ptes()");
		for (i = 0; i < nr; i++)
			KUNIT_ASSERT_EQ_MSG(test, pfns[i], pfn + i,
					    "set_ptes() of %u: entry %u", nr,
					    i);
	}
}

/* Up to 7.3 copy_from_user() of User Mode Linux takes present for readable. */
static void kernel_does_not_read_prot_none(struct kunit *test)
{
	unsigned long addr = dmirror_user_map(test, 1, RW), left;
	u8 byte;

	DMIRROR_REQUIRES_BUILTIN(test);
	dmirror_user_fill(test, addr, 1, 1);
	dmirror_user_protect(test, addr, 1, PROT_NONE);
	left = copy_from_user(&byte, (void __user *)addr, 1);
	if (IS_ENABLED(CONFIG_UML) && !left)
		DMIRROR_KNOWN_DEFECT(test, "arch/um reads PROT_NONE");
	KUNIT_EXPECT_EQ_MSG(test, left, 1UL, "bytes that could not be read");
}

/*
 * MADV_FREE leaves clean pages, which reclaim may drop until somebody writes.
 * Up to 7.3 copy_to_user() of User Mode Linux does not mark them.
 */
static void kernel_dirties_what_it_writes(struct kunit *test)
{
	unsigned long addr = dmirror_user_map(test, 4, RW), i;
	u8 in = 0x5a, out[4] = { };

	DMIRROR_REQUIRES_BUILTIN(test);
	dmirror_user_fill(test, addr, 4, 1);
	DMIRROR_ASSERT_OK(test, user_lru_drain(), "drain");
	DMIRROR_ASSERT_OK(test, user_madvise(addr, 4 * PAGE_SIZE, MADV_FREE),
			  "madvise(MADV_FREE)");
	DMIRROR_ASSERT_OK(test, user_lru_drain(), "drain");
	for (i = 0; i < 4; i++)
		KUNIT_ASSERT_EQ(test,
				copy_to_user((void __user *)addr +
					     i * PAGE_SIZE, &in, 1), 0UL);
	DMIRROR_ASSERT_OK(test, user_madvise(addr, 4 * PAGE_SIZE, MADV_PAGEOUT),
			  "madvise(MADV_PAGEOUT)");
	for (i = 0; i < 4; i++)
		KUNIT_ASSERT_EQ(test,
				copy_from_user(out + i, (void __user *)addr +
					       i * PAGE_SIZE, 1), 0UL);
	if (IS_ENABLED(CONFIG_UML) && !memchr_inv(out, 0, sizeof(out)))
		DMIRROR_KNOWN_DEFECT(test, "arch/um writes to clean pages");
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ_MSG(test, out[i], in, "page %lu at 0x%lx", i,
				    addr + i * PAGE_SIZE);
}

#if IS_ENABLED(CONFIG_UM_ZONE_DEVICE) && IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP)

#include "../drivers/um_zone_device/memmap.h"

static void um_unmap_action(void *data)
{
	um_memmap_host_unmap(data, PAGE_SIZE);
}

static void um_host_mapping_is_never_replaced(struct kunit *test)
{
	/* Above the memory map there is nothing. */
	u8 *addr = (u8 *)(VMEMMAP_START + VMEMMAP_SIZE);

	DMIRROR_ASSERT_OK(test, um_memmap_host_map(addr, PAGE_SIZE), "map");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, um_unmap_action,
							addr), 0);
	KUNIT_EXPECT_EQ(test, *addr, 0);
	*addr = 0x5a;
	DMIRROR_EXPECT_ERRNO(test, um_memmap_host_map(addr, PAGE_SIZE), -EEXIST,
			     "map what is mapped");
	KUNIT_EXPECT_EQ_MSG(test, *addr, 0x5a, "after the refusal");
	DMIRROR_EXPECT_ERRNO(test, um_memmap_host_unmap(addr, PAGE_SIZE), 0,
			     "unmap");
	DMIRROR_ASSERT_OK(test, um_memmap_host_map(addr, PAGE_SIZE),
			  "map again");
	KUNIT_EXPECT_EQ_MSG(test, *addr, 0, "mapped anew");
}

/* Something of the host's is where the memory map would go. */
static int host_is_in_the_way(struct dev_pagemap *pagemap)
{
	void *map = pfn_to_page(PHYS_PFN(pagemap->range.start));
	int ret;

	ret = um_memmap_host_map(map, PAGE_SIZE);
	if (ret)
		return ret;
	ret = __dmirror_mm_pagemap_add(pagemap);
	um_memmap_host_unmap(map, PAGE_SIZE);

	return ret;
}

static void um_refused_memory_map_is_told(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct dmirror_resv resv = { };

	kunit_activate_static_stub(test, dmirror_mm_pagemap_add,
				   host_is_in_the_way);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, 1, 0, &resv),
			     -ENOMEM, "chunk whose memory map is refused");
	kunit_deactivate_static_stub(test, dmirror_mm_pagemap_add);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, 1, 0, &resv),
			     0, "chunk with nothing in the way");
	dmirror_devmem_unreserve(&resv);
}

static void um_adds_only_what_memmap_left(struct kunit *test)
{
	/* Where the fixture is, is memory in use. */
	unsigned long used = ALIGN_DOWN(__pa(dmirror_fixture(test)), SZ_2M);
	struct dmirror_resv resv = { };
	struct dmirror_devmem devmem;

	DMIRROR_ASSERT_OK(test,
			  dmirror_devmem_init(&devmem,
					      &dmirror_pagemap_coherent_ops, 0,
					      PRIVATE_CHUNK, 1), "init");
	devmem.region = (struct range){ used, used + SZ_2M - 1 };
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(&devmem, 1, 0, &resv),
			     -EINVAL, "coherent memory that is RAM");
	devmem.region = (struct range){ SZ_1T / 2, SZ_1T / 2 + SZ_2M - 1 };
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(&devmem, 1, 0, &resv),
			     -EINVAL, "coherent memory beyond RAM");
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(&devmem), 0, "fini");
}

#else

static void um_host_mapping_is_never_replaced(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_UM_ZONE_DEVICE");
}

static void um_refused_memory_map_is_told(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_UM_ZONE_DEVICE");
}

static void um_adds_only_what_memmap_left(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_UM_ZONE_DEVICE");
}

#endif /* CONFIG_UM_ZONE_DEVICE && CONFIG_SPARSEMEM_VMEMMAP */

static struct kunit_case arch_cases[] = {
	KUNIT_CASE(set_ptes_maps_consecutive_pages),
	KUNIT_CASE(kernel_does_not_read_prot_none),
	KUNIT_CASE(kernel_dirties_what_it_writes),
	KUNIT_CASE(um_host_mapping_is_never_replaced),
	KUNIT_CASE(um_refused_memory_map_is_told),
	KUNIT_CASE(um_adds_only_what_memmap_left),
	{}
};

DMIRROR_SUITE(arch, dmirror_fixture_init_mm, arch_cases);
