// SPDX-License-Identifier: GPL-2.0
#include "private_devmem.h"

#include <kunit/resource.h>
#include <kunit/test-bug.h>
#include <linux/hmm.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/mmap_lock.h>
#include <linux/slab.h>

#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/pagemap.h"
#include "mirror_fixture.h"

unsigned long dmirror_pages_out(struct dmirror_devmem *devmem)
{
	struct dmirror_devmem_stats stats;

	dmirror_devmem_stats(devmem, &stats);
	return stats.total - stats.free - stats.retired;
}

unsigned long dmirror_first_pfn(const struct dmirror_devmem *devmem)
{
	return list_first_entry(&devmem->chunks, struct dmirror_chunk,
				node)->first_pfn;
}

static void private_put(void *data)
{
	struct kunit *test = kunit_get_current_test();
	struct dmirror_devmem *devmem = data;
	unsigned long left = 0;
	int ret;

	ret = dmirror_migrate_evict(devmem, &left);
	KUNIT_EXPECT_EQ_MSG(test, ret, 0, "eviction left %lu pages out", left);
	ret = dmirror_devmem_fini(devmem);
	KUNIT_EXPECT_EQ_MSG(test, ret, 0,
			    "%lu pages are still out and %lu reserved",
			    dmirror_pages_out(devmem), devmem->stats.reserved);
	/* Pages that are out will still come back to it: better a leak. */
	if (!ret)
		kfree(devmem);
}

static struct dmirror_devmem *devmem_get(struct kunit *test,
					 const struct dmirror_devmem_ops *ops,
					 unsigned int large_order,
					 unsigned long chunk_pages,
					 unsigned long max_chunks)
{
	struct dmirror_devmem *devmem;
	int ret;

	/* Not the case's memory: it goes when its last page has come home. */
	devmem = kzalloc_obj(*devmem);
	KUNIT_ASSERT_NOT_NULL(test, devmem);
	ret = dmirror_devmem_init(devmem, ops, large_order, chunk_pages,
				  max_chunks);
	if (ret)
		kfree(devmem);
	DMIRROR_ASSERT_OK(test, ret, "device memory");
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, private_put, devmem),
			0);

	return devmem;
}

struct dmirror_devmem *dmirror_private_get(struct kunit *test,
					   unsigned int large_order,
					   unsigned long chunk_pages,
					   unsigned long max_chunks)
{
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);

	return devmem_get(test, &dmirror_pagemap_private_ops, large_order,
			  chunk_pages, max_chunks);
}

struct dmirror_devmem *dmirror_coherent_get(struct kunit *test,
					    unsigned int part,
					    unsigned long chunk_pages,
					    unsigned long max_chunks)
{
	struct dmirror_devmem *devmem;
	struct range region;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	region = dmirror_coherent_region(test, part);

	devmem = devmem_get(test, &dmirror_pagemap_coherent_ops, 0,
			    chunk_pages, max_chunks);
	devmem->region = region;

	return devmem;
}

void dmirror_cpu_pages(struct kunit *test, struct dmirror_mirror *mirror,
		       unsigned long addr, struct page **pages,
		       unsigned long npages)
{
	struct mm_struct *mm = mirror->notifier.mm;
	struct hmm_range range = {
		.notifier = &mirror->notifier,
		.start = addr,
		.end = addr + (npages << PAGE_SHIFT),
		.dev_private_owner = mirror->devmem,
	};
	unsigned long i;
	int ret;

	range.hmm_pfns = kunit_kcalloc(test, npages, sizeof(unsigned long),
				       GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, range.hmm_pfns);
	do {
		range.notifier_seq = mmu_interval_read_begin(range.notifier);
		mmap_read_lock(mm);
		ret = hmm_range_fault(&range);
		mmap_read_unlock(mm);
	} while (ret == -EBUSY);
	DMIRROR_ASSERT_OK(test, ret, "walk of the CPU page tables");
	for (i = 0; i < npages; i++) {
		pages[i] = NULL;
		if (range.hmm_pfns[i] & HMM_PFN_VALID)
			pages[i] = hmm_pfn_to_page(range.hmm_pfns[i]);
	}
	kunit_kfree(test, range.hmm_pfns);
}

void dmirror_expect_pagemap_gone(struct kunit *test, unsigned long first_pfn,
				 unsigned long nr_pages)
{
	struct dev_pagemap *pagemap = get_dev_pagemap(first_pfn);

	if (pagemap)
		put_dev_pagemap(pagemap);
	KUNIT_EXPECT_NULL_MSG(test, pagemap, "pfn 0x%lx still has a pagemap",
			      first_pfn);
	KUNIT_EXPECT_FALSE_MSG(test, pfn_valid(first_pfn),
			       "pfn 0x%lx still has a struct page", first_pfn);
	KUNIT_EXPECT_FALSE_MSG(test, pfn_valid(first_pfn + nr_pages - 1),
			       "pfn 0x%lx still has a struct page",
			       first_pfn + nr_pages - 1);
	KUNIT_EXPECT_EQ_MSG(test,
			    region_intersects(PFN_PHYS(first_pfn),
					      nr_pages << PAGE_SHIFT, 0,
					      IORES_DESC_DEVICE_PRIVATE_MEMORY),
			    REGION_DISJOINT,
			    "the resource at 0x%llx is still there",
			    (u64)PFN_PHYS(first_pfn));
}
