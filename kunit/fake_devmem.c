// SPDX-License-Identifier: GPL-2.0
#include "fake_devmem.h"

#include <kunit/resource.h>
#include <kunit/test-bug.h>
#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>

static struct dmirror_fake *fake_of(struct dmirror_chunk *chunk)
{
	return container_of(chunk->devmem, struct dmirror_fake, devmem);
}

static int fake_chunk_add(struct dmirror_chunk *chunk, unsigned long nr_pages)
{
	struct dmirror_fake *fake = fake_of(chunk);
	unsigned int order = ilog2(nr_pages);
	struct page *page;

	if (fake->error)
		return fake->error;
	page = alloc_pages(GFP_KERNEL, order);
	if (!page)
		return -ENOMEM;

	split_page(page, order);
	chunk->first_pfn = page_to_pfn(page);
	fake->adds++;
	return 0;
}

static void fake_chunk_del(struct dmirror_chunk *chunk)
{
	unsigned long i;

	for (i = 0; i < chunk->nr_pages; i++)
		__free_page(pfn_to_page(chunk->first_pfn + i));
	fake_of(chunk)->dels++;
}

static void fake_folio_prep(struct dmirror_chunk *chunk, struct page *page,
			    unsigned int order)
{
	fake_of(chunk)->preps++;
}

static const struct dmirror_devmem_ops fake_ops = {
	.chunk_add = fake_chunk_add,
	.chunk_del = fake_chunk_del,
	.folio_prep = fake_folio_prep,
	.backed = true,
};

static void fake_put(void *data)
{
	struct dmirror_fake *fake = data;
	struct kunit *test = kunit_get_current_test();
	int ret = dmirror_devmem_fini(&fake->devmem);

	KUNIT_EXPECT_EQ_MSG(test, ret, 0,
			    "the case left %lu of %lu pages allocated and %lu reserved",
			    fake->devmem.stats.total - fake->devmem.stats.free,
			    fake->devmem.stats.total,
			    fake->devmem.stats.reserved);
	KUNIT_EXPECT_EQ(test, fake->adds, fake->dels);
}

struct dmirror_fake *dmirror_fake_get(struct kunit *test,
				      unsigned int large_order,
				      unsigned long chunk_pages,
				      unsigned long max_chunks)
{
	struct dmirror_fake *fake;

	fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fake);
	KUNIT_ASSERT_EQ(test,
			dmirror_devmem_init(&fake->devmem, &fake_ops,
					    large_order, chunk_pages,
					    max_chunks), 0);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, fake_put, fake),
			0);

	return fake;
}
