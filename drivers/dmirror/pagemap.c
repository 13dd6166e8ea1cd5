// SPDX-License-Identifier: GPL-2.0
#include "pagemap.h"

#include <kunit/visibility.h>
#include <linux/err.h>
#include <linux/ioport.h>

#include "migrate.h"
#include "mm.h"

static void chunk_folio_free(struct folio *folio)
{
	dmirror_devmem_free(&folio->page, folio_order(folio));
}

/* A null @tail says that all parts have been told. */
static void private_folio_split(struct folio *head, struct folio *tail)
{
	if (!tail)
		return;

	tail->pgmap = head->pgmap;
	tail->page.mapping = head->page.mapping;
	dmirror_devmem_split(&head->page, &tail->page);
}

/* The first error is told, and the others are seen to all the same. */
static int chunk_memory_failure(struct dev_pagemap *pagemap, unsigned long pfn,
				unsigned long nr_pages, int flags)
{
	struct dmirror_chunk *chunk =
		container_of(pagemap, struct dmirror_chunk, pagemap);
	unsigned long i;
	int ret = 0;

	for (i = 0; i < nr_pages; i++) {
		int err = dmirror_migrate_memory_failure(chunk, pfn + i);

		if (!ret)
			ret = err;
	}

	return ret;
}

static const struct dev_pagemap_ops private_pagemap_ops = {
	.folio_free = chunk_folio_free,
	.memory_failure = chunk_memory_failure,
	.migrate_to_ram = dmirror_migrate_fault,
	.folio_split = private_folio_split,
};

static const struct dev_pagemap_ops coherent_pagemap_ops = {
	.folio_free = chunk_folio_free,
	.memory_failure = chunk_memory_failure,
};

static int pagemap_add(struct dmirror_chunk *chunk, resource_size_t start,
		       unsigned long size)
{
	int ret;

	chunk->pagemap.range.start = start;
	chunk->pagemap.range.end = start + size - 1;
	chunk->pagemap.nr_range = 1;
	chunk->pagemap.owner = chunk->devmem;
	ret = dmirror_mm_pagemap_add(&chunk->pagemap);
	if (!ret)
		chunk->first_pfn = PHYS_PFN(start);

	return ret;
}

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
	chunk->pagemap.ops = &private_pagemap_ops;
	ret = pagemap_add(chunk, res->start, size);
	if (ret) {
		dmirror_mm_region_release(res);
		return ret;
	}

	chunk->res = res;
	return 0;
}

static void private_chunk_del(struct dmirror_chunk *chunk)
{
	dmirror_mm_pagemap_del(&chunk->pagemap);
	dmirror_mm_region_release(chunk->res);
}

/* Chunks go all at once, so that their number says where the next one is. */
static int coherent_chunk_add(struct dmirror_chunk *chunk,
			      unsigned long nr_pages)
{
	struct dmirror_devmem *devmem = chunk->devmem;
	unsigned long size = nr_pages << PAGE_SHIFT;
	resource_size_t start;

	lockdep_assert_held(&devmem->chunk_lock);

	if (!IS_ALIGNED(devmem->region.start | size, DMIRROR_PAGEMAP_ALIGN))
		return -EINVAL;
	start = devmem->region.start + devmem->stats.chunks * size;
	if (start + size - 1 > devmem->region.end)
		return -ENOSPC;

	chunk->pagemap.type = MEMORY_DEVICE_COHERENT;
	chunk->pagemap.ops = &coherent_pagemap_ops;
	return pagemap_add(chunk, start, size);
}

static void coherent_chunk_del(struct dmirror_chunk *chunk)
{
	dmirror_mm_pagemap_del(&chunk->pagemap);
}

struct resource *dmirror_pagemap_claim(const struct range *region)
{
	if (region->end < region->start ||
	    !IS_ALIGNED(region->start | range_len(region),
			DMIRROR_PAGEMAP_ALIGN))
		return ERR_PTR(-EINVAL);

	return dmirror_mm_region_claim(region);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_pagemap_claim);

static void chunk_folio_prep(struct dmirror_chunk *chunk, struct page *page,
			     unsigned int order)
{
	dmirror_mm_folio_init(page, &chunk->pagemap, order);
}

const struct dmirror_devmem_ops dmirror_pagemap_private_ops = {
	.chunk_add = private_chunk_add,
	.chunk_del = private_chunk_del,
	.folio_prep = chunk_folio_prep,
	.backed = true,
	.select = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
};
EXPORT_SYMBOL_IF_KUNIT(dmirror_pagemap_private_ops);

const struct dmirror_devmem_ops dmirror_pagemap_coherent_ops = {
	.chunk_add = coherent_chunk_add,
	.chunk_del = coherent_chunk_del,
	.folio_prep = chunk_folio_prep,
	.select = MIGRATE_VMA_SELECT_DEVICE_COHERENT,
};
EXPORT_SYMBOL_IF_KUNIT(dmirror_pagemap_coherent_ops);
