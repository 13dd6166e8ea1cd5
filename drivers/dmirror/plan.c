// SPDX-License-Identifier: GPL-2.0
#include "plan.h"

#include <kunit/visibility.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "devmem.h"
#include "inject.h"

unsigned long dmirror_plan_to_devmem(const unsigned long *src,
				     unsigned long *dst, unsigned long nr,
				     struct dmirror_resv *resv,
				     bool holes_writable)
{
	unsigned long i, planned = 0;

	for (i = 0; i < nr; i++) {
		struct page *from, *to;
		bool writable;

		dst[i] = 0;
		if (!(src[i] & MIGRATE_PFN_MIGRATE) ||
		    src[i] & MIGRATE_PFN_COMPOUND)
			continue;
		to = dmirror_devmem_alloc(resv, 0);
		if (!to)
			continue;

		from = migrate_pfn_to_page(src[i]);
		if (from)
			copy_highpage(dmirror_devmem_backing(to), from);
		else
			clear_highpage(dmirror_devmem_backing(to));

		writable = from ? src[i] & MIGRATE_PFN_WRITE : holes_writable;
		dst[i] = migrate_pfn(page_to_pfn(to));
		if (writable)
			dst[i] |= MIGRATE_PFN_WRITE;
		planned++;
	}

	return planned;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_plan_to_devmem);

static struct page *ram_alloc(void)
{
	if (dmirror_should_fail(DMIRROR_INJECT_RAM_ALLOC))
		return NULL;

	return alloc_page(GFP_HIGHUSER_MOVABLE);
}

unsigned long dmirror_plan_to_ram(const unsigned long *src, unsigned long *dst,
				  unsigned long nr,
				  const struct dmirror_devmem *devmem)
{
	unsigned long i, planned = 0;

	for (i = 0; i < nr; i++) {
		struct page *from = migrate_pfn_to_page(src[i]);
		struct page *to;

		dst[i] = 0;
		if (!from || !(src[i] & MIGRATE_PFN_MIGRATE) ||
		    src[i] & MIGRATE_PFN_COMPOUND)
			continue;
		if (!is_zone_device_page(from) ||
		    page_pgmap(from)->owner != devmem)
			continue;
		to = ram_alloc();
		if (!to)
			continue;

		lock_page(to);
		copy_highpage(to, dmirror_devmem_storage(from));
		/* Nobody knows whether the device wrote to it. */
		set_page_dirty(to);
		dst[i] = migrate_pfn(page_to_pfn(to));
		if (src[i] & MIGRATE_PFN_WRITE)
			dst[i] |= MIGRATE_PFN_WRITE;
		planned++;
	}

	return planned;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_plan_to_ram);

unsigned long dmirror_plan_moved(const unsigned long *src,
				 const unsigned long *dst, unsigned long nr)
{
	unsigned long i, moved = 0;

	for (i = 0; i < nr; i++)
		moved += dst[i] && src[i] & MIGRATE_PFN_MIGRATE;

	return moved;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_plan_moved);
