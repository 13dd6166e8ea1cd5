// SPDX-License-Identifier: GPL-2.0
#include "mm.h"

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/ioport.h>
#include <linux/jiffies.h>
#include <linux/magic.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/rmap.h>
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

int dmirror_mm_range_fault_unlocked(struct hmm_range *range,
				    unsigned int timeout_ms)
{
#ifdef DMIRROR_HAVE_RANGE_FAULT_UNLOCKED
	return hmm_range_fault_unlocked_timeout(range,
						msecs_to_jiffies(timeout_ms));
#else
	return -EOPNOTSUPP;
#endif
}

struct page *dmirror_mm_entry_page(unsigned long hmm_pfn, unsigned long addr)
{
	struct page *page = hmm_pfn_to_page(hmm_pfn);
	unsigned long nr = 1UL << hmm_pfn_to_map_order(hmm_pfn);
	struct folio *folio = page_folio(page);

	if (!is_device_private_page(page) || folio_nr_pages(folio) != nr)
		return page;

	return folio_page(folio, (addr >> PAGE_SHIFT) & (nr - 1));
}

bool dmirror_mm_is_secret(struct page *page)
{
	struct folio *folio = page_folio(page);
	struct address_space *mapping;

	if (folio_is_zone_device(folio) || folio_test_anon(folio))
		return false;

	/* secretmem_mapping() needs what is not there for a module. */
	mapping = folio_mapping(folio);
	return mapping && mapping->host &&
	       mapping->host->i_sb->s_magic == SECRETMEM_MAGIC;
}

struct page *dmirror_mm_make_exclusive(struct mm_struct *mm,
				       unsigned long addr, void *owner,
				       struct folio **folio)
{
#if IS_ENABLED(CONFIG_DEVICE_PRIVATE)
	return make_device_exclusive(mm, addr, owner, folio);
#else
	return ERR_PTR(-EOPNOTSUPP);
#endif
}

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

static struct resource *free_region(unsigned long size)
{
	return request_free_mem_region(&iomem_resource, size, DMIRROR_REGION_NAME);
}

int __dmirror_mm_pagemap_add(struct dev_pagemap *pagemap)
{
	/* The address, if the memory has one, is page_address()'s: no need. */
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

#ifdef CONFIG_TRANSPARENT_HUGEPAGE

unsigned int dmirror_mm_large_order(enum memory_type type)
{
	/*
	 * Core mm finds a large coherent folio, which the CPU maps as it does
	 * system memory, only where system memory is asked for: it could not
	 * come back.
	 */
	if (type != MEMORY_DEVICE_PRIVATE || !thp_migration_supported())
		return 0;

	return HPAGE_PMD_ORDER;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_large_order);

#else

unsigned int dmirror_mm_large_order(enum memory_type type)
{
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_large_order);

#endif /* CONFIG_TRANSPARENT_HUGEPAGE */

bool dmirror_mm_folio_split(struct page *page)
{
#if defined(CONFIG_TRANSPARENT_HUGEPAGE) && !defined(MODULE)
	struct folio *folio = folio_get_nontail_page(page);
	bool done = false;

	if (!folio)
		return false;
	if (folio_test_large(folio) && folio_trylock(folio)) {
		done = !split_folio(folio);
		folio_unlock(folio);
	}
	folio_put(folio);

	return done;
#else
	/* Core mm does not export it. */
	return false;
#endif
}

unsigned int dmirror_mm_fault_order(const struct vm_fault *vmf)
{
	return vmf->pte ? 0 : folio_order(page_folio(vmf->page));
}

int dmirror_mm_device_range(unsigned long *src, unsigned long pfn,
			    unsigned long nr)
{
	return migrate_device_range(src, pfn, nr);
}

int dmirror_mm_device_pfns(unsigned long *src, unsigned long nr)
{
	return migrate_device_pfns(src, nr);
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

static struct resource *free_region(unsigned long size)
{
	return ERR_PTR(-EOPNOTSUPP);
}

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

unsigned int dmirror_mm_large_order(enum memory_type type)
{
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_large_order);

unsigned int dmirror_mm_fault_order(const struct vm_fault *vmf)
{
	return 0;
}

bool dmirror_mm_folio_split(struct page *page)
{
	return false;
}

int dmirror_mm_device_range(unsigned long *src, unsigned long pfn,
			    unsigned long nr)
{
	return -EOPNOTSUPP;
}

int dmirror_mm_device_pfns(unsigned long *src, unsigned long nr)
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
	return free_region(size);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_region_request);

struct resource *dmirror_mm_region_claim(const struct range *region)
{
	struct resource *res = request_mem_region(region->start,
						  range_len(region),
						  DMIRROR_REGION_NAME);

	return res ?: ERR_PTR(-EBUSY);
}

void dmirror_mm_region_release(struct resource *res)
{
	release_mem_region(res->start, resource_size(res));
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mm_region_release);

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
