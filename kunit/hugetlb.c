// SPDX-License-Identifier: GPL-2.0
#include "hugetlb.h"

#include <kunit/resource.h>
#include <kunit/visibility.h>
#include <linux/hugetlb.h>
#include <linux/mman.h>
#include <linux/syscalls.h>

#include "fixture.h"

#if defined(CONFIG_HUGETLB_PAGE) && !defined(MODULE)

/* Where nothing else is. */
#define TLB_ADDR (PUD_SIZE * 64)

static void shrink(void *data)
{
	default_hstate.nr_overcommit_huge_pages = (unsigned long)data;
}

static unsigned long map(struct kunit *test, size_t len, unsigned long flags,
			 const char *what)
{
	unsigned long addr;

	addr = ksys_mmap_pgoff(TLB_ADDR, len, PROT_READ | PROT_WRITE,
			       flags | MAP_ANONYMOUS | MAP_HUGETLB |
			       MAP_FIXED_NOREPLACE, -1, 0);
	if (addr == -ENOMEM)
		kunit_skip(test, "needs memory for %s", what);
	KUNIT_ASSERT_EQ_MSG(test, addr, TLB_ADDR, "mmap: got %pe",
			    (void *)addr);

	return addr;
}

static unsigned long map_two(struct kunit *test, unsigned long flags)
{
	struct hstate *h = &default_hstate;
	unsigned long was = h->nr_overcommit_huge_pages;

	h->nr_overcommit_huge_pages = was + 3;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, shrink,
							(void *)was), 0);

	return map(test, 2 * huge_page_size(h), flags, "two huge pages");
}

unsigned long hugetlb_map(struct kunit *test)
{
	return map_two(test, MAP_PRIVATE);
}
EXPORT_SYMBOL_IF_KUNIT(hugetlb_map);

unsigned long hugetlb_map_shared(struct kunit *test)
{
	return map_two(test, MAP_SHARED);
}
EXPORT_SYMBOL_IF_KUNIT(hugetlb_map_shared);

unsigned long hugetlb_map_table(struct kunit *test)
{
	return map(test, PUD_SIZE, MAP_SHARED | MAP_NORESERVE,
		   "a table of PMDs");
}
EXPORT_SYMBOL_IF_KUNIT(hugetlb_map_table);

unsigned long hugetlb_nr(void)
{
	return pages_per_huge_page(&default_hstate);
}
EXPORT_SYMBOL_IF_KUNIT(hugetlb_nr);

#else

unsigned long hugetlb_map(struct kunit *test)
{
	DMIRROR_REQUIRES_CONFIG(test, HUGETLB_PAGE);
	DMIRROR_REQUIRES_BUILTIN(test);

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(hugetlb_map);

unsigned long hugetlb_map_shared(struct kunit *test)
{
	return hugetlb_map(test);
}
EXPORT_SYMBOL_IF_KUNIT(hugetlb_map_shared);

unsigned long hugetlb_map_table(struct kunit *test)
{
	return hugetlb_map(test);
}
EXPORT_SYMBOL_IF_KUNIT(hugetlb_map_table);

unsigned long hugetlb_nr(void)
{
	return 1;
}
EXPORT_SYMBOL_IF_KUNIT(hugetlb_nr);

#endif /* CONFIG_HUGETLB_PAGE && !MODULE */
