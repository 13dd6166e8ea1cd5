// SPDX-License-Identifier: GPL-2.0
#include "plan.h"

#include <kunit/visibility.h>
#include <linux/alloc_tag.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "devmem.h"
#include "inject.h"
#include "mirror.h"
#include "mm.h"

unsigned long dmirror_plan_entry_pages(const struct dmirror_plan *plan,
				       const unsigned long *src,
				       unsigned long nr)
{
	struct page *page = migrate_pfn_to_page(*src);

	if (!(*src & MIGRATE_PFN_COMPOUND))
		return 1;
	if (page)
		return min(nr, folio_nr_pages(page_folio(page)));

	/* Core mm offers a large hole only to a device with large folios. */
	return min(nr, 1UL << plan->devmem->large_order);
}

/* HMM_DMIRROR_FLAG_FAIL_ALLOC: the next large folio cannot be had. */
static bool fail_large(const struct dmirror_plan *plan)
{
	return plan->flags &&
	       test_and_clear_bit(DMIRROR_MIRROR_FAIL_LARGE, plan->flags);
}

static void drop(unsigned long *dst)
{
	struct page *page = migrate_pfn_to_page(*dst);

	*dst = 0;
	if (!page)
		return;
	unlock_page(page);
	put_page(page);
}

static unsigned long to_devmem_whole(const struct dmirror_plan *plan,
				     unsigned long *dst, unsigned long nr,
				     unsigned long write)
{
	struct page *to = NULL;

	if (plan->devmem->large_order &&
	    nr == 1UL << plan->devmem->large_order && !fail_large(plan))
		to = dmirror_devmem_alloc(plan->resv,
					  plan->devmem->large_order);
	if (!to)
		return 0;

	*dst = migrate_pfn(page_to_pfn(to)) | MIGRATE_PFN_COMPOUND | write;

	return nr;
}

static unsigned long to_devmem_one(const struct dmirror_plan *plan,
				   unsigned long *dst, unsigned long write)
{
	struct page *to;

	if (!plan->resv->small)
		dmirror_devmem_break(plan->resv);
	to = dmirror_devmem_alloc(plan->resv, 0);
	if (!to)
		return 0;
	*dst = migrate_pfn(page_to_pfn(to)) | write;

	return 1;
}

/*
 * Single pages for a large source. Core mm takes the first destination for
 * the wish to split; it takes none of a hole's for granted, so that a hole
 * gets all of its pages or none.
 */
static unsigned long to_devmem_pieces(const struct dmirror_plan *plan,
				      bool hole, unsigned long *dst,
				      unsigned long nr, unsigned long write)
{
	unsigned long i, planned = 0;

	for (i = 0; i < nr; i++) {
		planned += to_devmem_one(plan, dst + i, write);
		if (!dst[0] || (hole && !dst[i]))
			break;
	}
	if (i == nr)
		return planned;

	while (i--)
		drop(dst + i);
	return 0;
}

bool dmirror_plan_wants(const struct dmirror_plan *plan, unsigned long src)
{
	struct page *page = migrate_pfn_to_page(src);

	if (!(src & MIGRATE_PFN_MIGRATE))
		return false;
	if (plan->resv)
		return !page || !dmirror_mm_is_secret(page);

	return page && is_zone_device_page(page) &&
	       page_pgmap(page)->owner == plan->devmem;
}

unsigned long dmirror_plan_to_devmem(const struct dmirror_plan *plan,
				     const unsigned long *src,
				     unsigned long *dst, unsigned long nr)
{
	unsigned long i, n, got, write, planned = 0;
	struct page *from;
	bool writable;

	memset(dst, 0, nr * sizeof(*dst));
	for (i = 0; i < nr; i += n) {
		n = dmirror_plan_entry_pages(plan, src + i, nr - i);
		if (!dmirror_plan_wants(plan, src[i]))
			continue;

		from = migrate_pfn_to_page(src[i]);
		writable = from ? src[i] & MIGRATE_PFN_WRITE :
				  plan->holes_writable;
		write = writable ? MIGRATE_PFN_WRITE : 0;
		if (!(src[i] & MIGRATE_PFN_COMPOUND)) {
			planned += to_devmem_one(plan, dst + i, write);
			continue;
		}
		got = to_devmem_whole(plan, dst + i, n, write);
		if (!got && plan->can_split)
			got = to_devmem_pieces(plan, !from, dst + i, n, write);
		planned += got;
	}

	return planned;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_plan_to_devmem);

static struct folio *ram_alloc_noprof(const struct dmirror_plan *plan,
				      unsigned long i, unsigned int order)
{
	gfp_t gfp = order ? GFP_TRANSHUGE : GFP_HIGHUSER_MOVABLE;

	if (dmirror_should_fail(order ? DMIRROR_INJECT_RAM_LARGE_ALLOC :
				DMIRROR_INJECT_RAM_ALLOC))
		return NULL;
	if (!plan->vma)
		return folio_alloc_noprof(gfp, order);

	return vma_alloc_folio_noprof(gfp, order, plan->vma,
				      plan->start + (i << PAGE_SHIFT));
}

/* For page @i of the plan, to dst[i]. */
static unsigned long to_ram_folio(const struct dmirror_plan *plan,
				  unsigned long *dst, unsigned long i,
				  unsigned int order, unsigned long flags)
{
	/* One place for allocation profiling, whichever way they come home. */
	struct folio *to = alloc_hooks(ram_alloc_noprof(plan, i, order));

	if (!to)
		return 0;

	folio_lock(to);
	dst[i] = migrate_pfn(folio_pfn(to)) | flags;

	return 1UL << order;
}

static unsigned long to_ram_pieces(const struct dmirror_plan *plan,
				   unsigned long *dst, unsigned long i,
				   unsigned long nr, unsigned long write)
{
	unsigned long end = i + nr, planned = 0;

	for (; i < end; i++) {
		planned += to_ram_folio(plan, dst, i, 0, write);
		/* Without the first one core mm will not split. */
		if (!planned || plan->fault)
			break;
	}

	return planned;
}

unsigned long dmirror_plan_to_ram(const struct dmirror_plan *plan,
				  const unsigned long *src, unsigned long *dst,
				  unsigned long nr)
{
	unsigned long i, n, got, write, planned = 0;
	struct page *from;

	memset(dst, 0, nr * sizeof(*dst));
	for (i = 0; i < nr; i += n) {
		n = dmirror_plan_entry_pages(plan, src + i, nr - i);
		from = migrate_pfn_to_page(src[i]);
		if (!dmirror_plan_wants(plan, src[i]))
			continue;

		write = src[i] & MIGRATE_PFN_WRITE;
		if (!(src[i] & MIGRATE_PFN_COMPOUND)) {
			planned += to_ram_folio(plan, dst, i, 0, write);
			continue;
		}
		got = 0;
		if (!fail_large(plan))
			got = to_ram_folio(plan, dst, i,
					   folio_order(page_folio(from)),
					   MIGRATE_PFN_COMPOUND | write);
		if (!got && plan->can_split)
			got = to_ram_pieces(plan, dst, i, n, write);
		planned += got;
	}

	return planned;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_plan_to_ram);

static int copy_page_to(const struct dmirror_plan *plan, struct page *to,
			struct page *from)
{
	if (plan->resv)
		to = dmirror_devmem_backing(to);
	else
		from = dmirror_devmem_storage(from);
	if (!from) {
		clear_highpage(to);
		return 0;
	}
	if (dmirror_should_fail(DMIRROR_INJECT_COPY))
		return -EHWPOISON;

	/* What cannot be read is left where it is: that is no Oops. */
	return copy_mc_highpage(to, from) ? -EHWPOISON : 0;
}

/* To one destination, which stands for @nr pages. */
static bool copy_to(const struct dmirror_plan *plan, unsigned long *dst,
		    struct page *from, unsigned long nr)
{
	struct page *to = migrate_pfn_to_page(*dst);
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (copy_page_to(plan, to + i, from ? from + i : NULL)) {
			drop(dst);
			return false;
		}
	}
	/* Nobody knows whether the device wrote to it. */
	if (!plan->resv)
		folio_mark_dirty(page_folio(to));

	return true;
}

/* To single pages that stand for a large source. */
static void copy_to_pieces(const struct dmirror_plan *plan, unsigned long *dst,
			   struct page *from, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr && dst[0]; i++)
		if (dst[i])
			copy_to(plan, dst + i, from ? from + i : NULL, 1);
	/* Without the first one core mm will not split. */
	for (i = 1; i < nr && !dst[0]; i++)
		drop(dst + i);
}

void dmirror_plan_copy(const struct dmirror_plan *plan,
		       const unsigned long *src, unsigned long *dst,
		       unsigned long nr)
{
	unsigned long i, n;

	for (i = 0; i < nr; i += n) {
		struct page *from = migrate_pfn_to_page(src[i]);

		n = dmirror_plan_entry_pages(plan, src + i, nr - i);
		if (!dst[i])
			continue;
		if (n == 1 || dst[i] & MIGRATE_PFN_COMPOUND)
			copy_to(plan, dst + i, from, n);
		else
			copy_to_pieces(plan, dst + i, from, n);
		cond_resched();
	}
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_plan_copy);

void dmirror_plan_drop(unsigned long *dst, unsigned long nr)
{
	while (nr--)
		drop(dst + nr);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_plan_drop);
