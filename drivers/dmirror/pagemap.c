// SPDX-License-Identifier: GPL-2.0
#include "pagemap.h"

#include <kunit/visibility.h>
#include <linux/err.h>
#include <linux/ioport.h>

#include "migrate.h"
#include "mm.h"

static void private_folio_free(struct folio *folio)
{
	dmirror_devmem_free(&folio->page, folio_order(folio));
}

static const struct dev_pagemap_ops private_pagemap_ops = {
	.folio_free = private_folio_free,
	.migrate_to_ram = dmirror_migrate_fault,
};

static int private_chunk_add(struct dmirror_chunk *chunk,
			     unsigned long nr_pages)
{
	unsigned long size = nr_pages << PAGE_SHIFT;
	struct resource *res;
	int ret;

	if (!IS_ALIGNED(size, DMIRROR_PAGEMAP_ALIGN))
		return -EINVAL;

	res = dmirror_mm_region_request(size);
	if (IS_ERR(res))
		return PTR_ERR(res);

	/* The resource may be larger: its granularity is the architecture's. */
	chunk->pagemap.type = MEMORY_DEVICE_PRIVATE;
	chunk->pagemap.range.start = res->start;
	chunk->pagemap.range.end = res->start + size - 1;
	chunk->pagemap.nr_range = 1;
	chunk->pagemap.ops = &private_pagemap_ops;
	chunk->pagemap.owner = chunk->devmem;
	ret = dmirror_mm_pagemap_add(&chunk->pagemap);
	if (ret) {
		dmirror_mm_region_release(res);
		return ret;
	}

	chunk->res = res;
	chunk->first_pfn = PHYS_PFN(res->start);
	return 0;
}

static void private_chunk_del(struct dmirror_chunk *chunk)
{
	dmirror_mm_pagemap_del(&chunk->pagemap);
	dmirror_mm_region_release(chunk->res);
}

static void private_folio_prep(struct dmirror_chunk *chunk, struct page *page,
			       unsigned int order)
{
	dmirror_mm_folio_init(page, &chunk->pagemap, order);
}

const struct dmirror_devmem_ops dmirror_pagemap_private_ops = {
	.chunk_add = private_chunk_add,
	.chunk_del = private_chunk_del,
	.folio_prep = private_folio_prep,
	.backed = true,
};
EXPORT_SYMBOL_IF_KUNIT(dmirror_pagemap_private_ops);
