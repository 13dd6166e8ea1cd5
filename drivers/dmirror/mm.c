// SPDX-License-Identifier: GPL-2.0
#include "mm.h"

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/huge_mm.h>
#include <linux/ioport.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/pgtable.h>
#include <linux/topology.h>

int __dmirror_mm_range_fault(struct hmm_range *range)
{
	struct mm_struct *mm = range->notifier->mm;
	int ret;

	ret = mmap_read_lock_killable(mm);
	if (ret)
		return ret;
	ret = hmm_range_fault(range);
	mmap_read_unlock(mm);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(__dmirror_mm_range_fault);

int dmirror_mm_range_fault(struct hmm_range *range)
{
	KUNIT_STATIC_STUB_REDIRECT(dmirror_mm_range_fault, range);
	return __dmirror_mm_range_fault(range);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_range_fault);

bool dmirror_mm_is_zero_page(struct page *page)
{
	unsigned long pfn = page_to_pfn(page);

	if (is_zero_pfn(pfn))
		return true;
#ifdef MODULE
	/* Core mm does not export its huge zero folio. */
	return false;
#else
	return is_huge_zero_pfn(pfn);
#endif
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_is_zero_page);

#if IS_ENABLED(CONFIG_DEVICE_PRIVATE)

struct resource *__dmirror_mm_region_request(unsigned long size)
{
	return request_free_mem_region(&iomem_resource, size, "dmirror");
}
EXPORT_SYMBOL_IF_KUNIT(__dmirror_mm_region_request);

int __dmirror_mm_pagemap_add(struct dev_pagemap *pagemap)
{
	/* Private memory has no address for the CPU: only the error counts. */
	return PTR_ERR_OR_ZERO(memremap_pages(pagemap, numa_node_id()));
}
EXPORT_SYMBOL_IF_KUNIT(__dmirror_mm_pagemap_add);

void dmirror_mm_pagemap_del(struct dev_pagemap *pagemap)
{
	memunmap_pages(pagemap);
}

void dmirror_mm_folio_init(struct page *page, struct dev_pagemap *pagemap,
			   unsigned int order)
{
	/*
	 * Not page_folio(): what the page was before, the tail of a folio
	 * perhaps, is still written in it.
	 */
	zone_device_folio_init((struct folio *)page, pagemap, order);
}

int __dmirror_mm_migrate_setup(struct migrate_vma *args)
{
	return migrate_vma_setup(args);
}
EXPORT_SYMBOL_IF_KUNIT(__dmirror_mm_migrate_setup);

void dmirror_mm_migrate_pages(struct migrate_vma *args)
{
	migrate_vma_pages(args);
}

void dmirror_mm_migrate_finalize(struct migrate_vma *args)
{
	migrate_vma_finalize(args);
}

int dmirror_mm_device_range(unsigned long *src, unsigned long pfn,
			    unsigned long nr)
{
	return migrate_device_range(src, pfn, nr);
}

void dmirror_mm_device_pages(unsigned long *src, unsigned long *dst,
			     unsigned long nr)
{
	migrate_device_pages(src, dst, nr);
}

void dmirror_mm_device_finalize(unsigned long *src, unsigned long *dst,
				unsigned long nr)
{
	migrate_device_finalize(src, dst, nr);
}

#else /* !CONFIG_DEVICE_PRIVATE */

struct resource *__dmirror_mm_region_request(unsigned long size)
{
	return ERR_PTR(-EOPNOTSUPP);
}
EXPORT_SYMBOL_IF_KUNIT(__dmirror_mm_region_request);

int __dmirror_mm_pagemap_add(struct dev_pagemap *pagemap)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(__dmirror_mm_pagemap_add);

void dmirror_mm_pagemap_del(struct dev_pagemap *pagemap)
{
}

void dmirror_mm_folio_init(struct page *page, struct dev_pagemap *pagemap,
			   unsigned int order)
{
}

int __dmirror_mm_migrate_setup(struct migrate_vma *args)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(__dmirror_mm_migrate_setup);

void dmirror_mm_migrate_pages(struct migrate_vma *args)
{
}

void dmirror_mm_migrate_finalize(struct migrate_vma *args)
{
}

int dmirror_mm_device_range(unsigned long *src, unsigned long pfn,
			    unsigned long nr)
{
	return -EOPNOTSUPP;
}

void dmirror_mm_device_pages(unsigned long *src, unsigned long *dst,
			     unsigned long nr)
{
}

void dmirror_mm_device_finalize(unsigned long *src, unsigned long *dst,
				unsigned long nr)
{
}

#endif /* CONFIG_DEVICE_PRIVATE */

struct resource *dmirror_mm_region_request(unsigned long size)
{
	KUNIT_STATIC_STUB_REDIRECT(dmirror_mm_region_request, size);
	return __dmirror_mm_region_request(size);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_region_request);

void dmirror_mm_region_release(struct resource *res)
{
	release_mem_region(res->start, resource_size(res));
}

int dmirror_mm_pagemap_add(struct dev_pagemap *pagemap)
{
	KUNIT_STATIC_STUB_REDIRECT(dmirror_mm_pagemap_add, pagemap);
	return __dmirror_mm_pagemap_add(pagemap);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_pagemap_add);

int dmirror_mm_migrate_setup(struct migrate_vma *args)
{
	KUNIT_STATIC_STUB_REDIRECT(dmirror_mm_migrate_setup, args);
	return __dmirror_mm_migrate_setup(args);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_migrate_setup);
