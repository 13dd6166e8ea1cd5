// SPDX-License-Identifier: GPL-2.0
#include "devmem.h"

#include <kunit/visibility.h>
#include <linux/bitmap.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "inject.h"
#include "trace.h"

/*
 * What is promised to reservations can always be kept:
 *
 *	nr_whole >= resv_large
 *	nr_partial + (nr_whole - resv_large) * span_pages >= resv_small
 *
 * A small allocation takes from the cut spans first. It cuts a whole one only
 * when no cut span has a free page, and then the second line says that there
 * is a whole span beyond those promised as large ones.
 */

static unsigned long span_pages(const struct dmirror_devmem *devmem)
{
	return 1UL << devmem->large_order;
}

static struct dmirror_span *span_of(struct dmirror_chunk *chunk,
				    unsigned long pfn)
{
	return &chunk->spans[(pfn - chunk->first_pfn) >>
			     chunk->devmem->large_order];
}

/* A folio's block hangs on its first page. */
static struct dmirror_block *block_of(struct page *page)
{
	return page_folio(page)->page.zone_device_data;
}

/* Index of a span's first page in its chunk. */
static unsigned long span_first(const struct dmirror_span *span)
{
	return (unsigned long)(span - span->chunk->spans)
		<< span->chunk->devmem->large_order;
}

int dmirror_devmem_init(struct dmirror_devmem *devmem,
			const struct dmirror_devmem_ops *ops,
			unsigned int large_order, unsigned long chunk_pages,
			unsigned long max_chunks)
{
	memset(devmem, 0, sizeof(*devmem));
	if (!chunk_pages || !IS_ALIGNED(chunk_pages, 1UL << large_order))
		return -EINVAL;

	devmem->ops = ops;
	devmem->large_order = large_order;
	devmem->chunk_pages = chunk_pages;
	devmem->max_chunks = max_chunks;
	mutex_init(&devmem->chunk_lock);
	INIT_LIST_HEAD(&devmem->chunks);
	spin_lock_init(&devmem->lock);
	INIT_LIST_HEAD(&devmem->whole);
	INIT_LIST_HEAD(&devmem->partial);

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_init);

static void chunk_free(struct dmirror_chunk *chunk)
{
	if (!chunk)
		return;
	bitmap_free(chunk->retired);
	bitmap_free(chunk->bad);
	bitmap_free(chunk->free);
	kvfree(chunk);
}

static unsigned long *bits_alloc(const struct dmirror_chunk *chunk)
{
	if (dmirror_should_fail(DMIRROR_INJECT_CHUNK_BITS))
		return NULL;

	return bitmap_zalloc(chunk->nr_pages, GFP_KERNEL);
}

static struct dmirror_chunk *chunk_alloc(struct dmirror_devmem *devmem)
{
	unsigned long nr = devmem->chunk_pages >> devmem->large_order;
	struct dmirror_chunk *chunk;

	if (dmirror_should_fail(DMIRROR_INJECT_CHUNK_ALLOC))
		return NULL;

	chunk = kvzalloc(struct_size(chunk, spans, nr), GFP_KERNEL);
	if (!chunk)
		return NULL;

	chunk->devmem = devmem;
	chunk->nr_pages = devmem->chunk_pages;
	chunk->free = bits_alloc(chunk);
	chunk->bad = bits_alloc(chunk);
	chunk->retired = bits_alloc(chunk);
	if (!chunk->free || !chunk->bad || !chunk->retired) {
		chunk_free(chunk);
		return NULL;
	}

	return chunk;
}

static int chunk_add(struct dmirror_devmem *devmem)
{
	struct dmirror_chunk *chunk;
	int ret = -ENOMEM;

	lockdep_assert_held(&devmem->chunk_lock);

	if (devmem->stats.chunks >= devmem->max_chunks)
		return -ENOSPC;

	chunk = chunk_alloc(devmem);
	if (!chunk)
		return -ENOMEM;
	if (!dmirror_should_fail(DMIRROR_INJECT_CHUNK_ADD))
		ret = devmem->ops->chunk_add(chunk, chunk->nr_pages);
	if (ret) {
		chunk_free(chunk);
		return ret;
	}

	/* The spans stay untouched until they are needed: O(1). */
	spin_lock_irq(&devmem->lock);
	list_add_tail(&chunk->node, &devmem->chunks);
	devmem->nr_whole += chunk->nr_pages >> devmem->large_order;
	devmem->stats.chunks++;
	devmem->stats.total += chunk->nr_pages;
	devmem->stats.free += chunk->nr_pages;
	spin_unlock_irq(&devmem->lock);
	trace_dmirror_chunk(devmem, chunk->first_pfn, chunk->nr_pages, true);

	return 0;
}

int dmirror_devmem_fini(struct dmirror_devmem *devmem)
{
	struct dmirror_chunk *chunk, *next;
	LIST_HEAD(gone);

	mutex_lock(&devmem->chunk_lock);
	spin_lock_irq(&devmem->lock);
	if (devmem->stats.free + devmem->stats.retired != devmem->stats.total ||
	    devmem->stats.reserved) {
		spin_unlock_irq(&devmem->lock);
		mutex_unlock(&devmem->chunk_lock);
		return -EBUSY;
	}
	list_splice_init(&devmem->chunks, &gone);
	list_for_each_entry(chunk, &gone, node)
		chunk->gone = true;
	INIT_LIST_HEAD(&devmem->whole);
	INIT_LIST_HEAD(&devmem->partial);
	devmem->nr_whole = 0;
	devmem->nr_partial = 0;
	devmem->stats.chunks = 0;
	devmem->stats.total = 0;
	devmem->stats.free = 0;
	devmem->stats.retired = 0;
	spin_unlock_irq(&devmem->lock);

	list_for_each_entry_safe(chunk, next, &gone, node) {
		trace_dmirror_chunk(devmem, chunk->first_pfn, chunk->nr_pages,
				    false);
		devmem->ops->chunk_del(chunk);
		chunk_free(chunk);
	}
	mutex_unlock(&devmem->chunk_lock);

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_fini);

/* Promise @nr folios if they are there. */
static bool resv_take(struct dmirror_devmem *devmem, unsigned long nr,
		      unsigned int order, struct dmirror_resv *resv)
{
	unsigned long large = order ? nr : 0, small = order ? 0 : nr;
	unsigned long want_large, want_small, spare;

	lockdep_assert_held(&devmem->lock);

	want_large = devmem->resv_large + large;
	want_small = devmem->resv_small + small;
	if (devmem->nr_whole < want_large)
		return false;
	spare = (devmem->nr_whole - want_large) * span_pages(devmem);
	if (devmem->nr_partial + spare < want_small)
		return false;

	devmem->resv_large = want_large;
	devmem->resv_small = want_small;
	devmem->stats.reserved += nr << order;
	resv->devmem = devmem;
	resv->large += large;
	resv->small += small;

	return true;
}

/* How many single pages could be promised now. */
static unsigned long resv_spare(struct dmirror_devmem *devmem)
{
	lockdep_assert_held(&devmem->lock);

	return devmem->nr_partial - devmem->resv_small +
	       (devmem->nr_whole - devmem->resv_large) * span_pages(devmem);
}

static int reserve_locked(struct dmirror_devmem *devmem, unsigned long nr,
			  unsigned int order, struct dmirror_resv *resv)
{
	bool done;
	int ret;

	lockdep_assert_held(&devmem->chunk_lock);

	for (;;) {
		spin_lock_irq(&devmem->lock);
		done = resv_take(devmem, nr, order, resv);
		spin_unlock_irq(&devmem->lock);
		if (done)
			return 0;
		ret = chunk_add(devmem);
		if (ret)
			return ret;
	}
}

int dmirror_devmem_reserve(struct dmirror_devmem *devmem, unsigned long nr,
			   unsigned int order, struct dmirror_resv *resv)
{
	int ret;

	if (order && order != devmem->large_order)
		return -EINVAL;
	if (resv->devmem && resv->devmem != devmem)
		return -EINVAL;
	/* More than there can ever be: refuse before growing for nothing. */
	if (nr && (nr - 1) / (devmem->chunk_pages >> order) >=
		  devmem->max_chunks)
		return -ENOSPC;

	mutex_lock(&devmem->chunk_lock);
	ret = reserve_locked(devmem, nr, order, resv);
	mutex_unlock(&devmem->chunk_lock);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_reserve);

int dmirror_devmem_reserve_some(struct dmirror_devmem *devmem,
				unsigned long nr, struct dmirror_resv *resv)
{
	int ret;

	if (resv->devmem && resv->devmem != devmem)
		return -EINVAL;

	mutex_lock(&devmem->chunk_lock);
	ret = reserve_locked(devmem, nr, 0, resv);
	if (ret == -ENOSPC) {
		spin_lock_irq(&devmem->lock);
		nr = min(nr, resv_spare(devmem));
		ret = resv_take(devmem, nr, 0, resv) ? 0 : -ENOSPC;
		spin_unlock_irq(&devmem->lock);
	}
	mutex_unlock(&devmem->chunk_lock);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_reserve_some);

void dmirror_devmem_unreserve(struct dmirror_resv *resv)
{
	struct dmirror_devmem *devmem = resv->devmem;
	unsigned long flags;

	if (!devmem)
		return;

	spin_lock_irqsave(&devmem->lock, flags);
	devmem->resv_large -= resv->large;
	devmem->resv_small -= resv->small;
	devmem->stats.reserved -= resv->small +
				  (resv->large << devmem->large_order);
	spin_unlock_irqrestore(&devmem->lock, flags);
	*resv = (struct dmirror_resv){ };
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_unreserve);

bool dmirror_devmem_break(struct dmirror_resv *resv)
{
	struct dmirror_devmem *devmem = resv->devmem;

	if (!devmem || !resv->large)
		return false;

	spin_lock_irq(&devmem->lock);
	devmem->resv_large--;
	devmem->resv_small += span_pages(devmem);
	spin_unlock_irq(&devmem->lock);
	resv->large--;
	resv->small += span_pages(devmem);

	return true;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_break);

/* The next span that no list has seen yet; it is on none. */
static struct dmirror_span *span_first_use(struct dmirror_chunk *chunk)
{
	struct dmirror_span *span = &chunk->spans[chunk->nr_used++];

	lockdep_assert_held(&chunk->devmem->lock);

	INIT_LIST_HEAD(&span->node);
	span->chunk = chunk;
	span->nr_free = span_pages(chunk->devmem);

	return span;
}

/* A whole free span off its list, or one that no list has seen yet. */
static struct dmirror_span *span_take(struct dmirror_devmem *devmem)
{
	struct dmirror_chunk *chunk;
	struct dmirror_span *span;

	lockdep_assert_held(&devmem->lock);

	devmem->nr_whole--;
	span = list_first_entry_or_null(&devmem->whole, struct dmirror_span,
					node);
	if (span) {
		list_del_init(&span->node);
		return span;
	}

	list_for_each_entry_reverse(chunk, &devmem->chunks, node)
		if (chunk->nr_used << devmem->large_order != chunk->nr_pages)
			return span_first_use(chunk);

	/* The promise of the comment at the top of this file was broken. */
	WARN_ON_ONCE(1);
	devmem->nr_whole++;
	return NULL;
}

/* A whole span, on no list any more, becomes one of single pages. */
static void span_cut(struct dmirror_devmem *devmem, struct dmirror_span *span)
{
	lockdep_assert_held(&devmem->lock);

	bitmap_set(span->chunk->free, span_first(span), span->nr_free);
	devmem->nr_partial += span->nr_free;
	list_add(&span->node, &devmem->partial);
}

static struct page *take_large(struct dmirror_devmem *devmem,
			       struct dmirror_span **from)
{
	struct dmirror_span *span;

	lockdep_assert_held(&devmem->lock);

	span = span_take(devmem);
	if (!span)
		return NULL;
	span->nr_free = 0;
	*from = span;

	return pfn_to_page(span->chunk->first_pfn + span_first(span));
}

/* One free page, by its number in the chunk, out of a cut span. */
static void page_take(struct dmirror_devmem *devmem, struct dmirror_span *span,
		      unsigned long bit)
{
	lockdep_assert_held(&devmem->lock);

	__clear_bit(bit, span->chunk->free);
	devmem->nr_partial--;
	if (!--span->nr_free)
		list_del_init(&span->node);
}

static struct page *take_small(struct dmirror_devmem *devmem,
			       struct dmirror_span **from)
{
	unsigned long first, bit;
	struct dmirror_span *span;

	lockdep_assert_held(&devmem->lock);

	span = list_first_entry_or_null(&devmem->partial, struct dmirror_span,
					node);
	if (!span) {
		span = span_take(devmem);
		if (!span)
			return NULL;
		span_cut(devmem, span);
	}

	first = span_first(span);
	bit = find_next_bit(span->chunk->free, first + span_pages(devmem),
			    first);
	page_take(devmem, span, bit);
	*from = span;

	return pfn_to_page(span->chunk->first_pfn + bit);
}

static void put_large(struct dmirror_devmem *devmem, struct dmirror_span *span)
{
	lockdep_assert_held(&devmem->lock);

	span->nr_free = span_pages(devmem);
	list_add(&span->node, &devmem->whole);
	devmem->nr_whole++;
}

static void put_small(struct dmirror_devmem *devmem, struct dmirror_span *span,
		      unsigned long pfn, unsigned long nr)
{
	struct dmirror_chunk *chunk = span->chunk;

	lockdep_assert_held(&devmem->lock);

	bitmap_set(chunk->free, pfn - chunk->first_pfn, nr);
	devmem->nr_partial += nr;
	if (!span->nr_free)
		list_add(&span->node, &devmem->partial);
	span->nr_free += nr;
	if (span->nr_free < span_pages(devmem))
		return;

	/* All of it is free: it can be large again. */
	bitmap_clear(chunk->free, span_first(span), span->nr_free);
	devmem->nr_partial -= span->nr_free;
	list_move(&span->node, &devmem->whole);
	devmem->nr_whole++;
}

/* Pages that went bad while they were out stay out, for good. */
static void put_good_pages(struct dmirror_devmem *devmem,
			   struct dmirror_span *span, unsigned long pfn,
			   unsigned long nr)
{
	unsigned long first = pfn - span->chunk->first_pfn, bit;

	lockdep_assert_held(&devmem->lock);

	for (bit = first; bit < first + nr; bit++) {
		if (test_bit(bit, span->chunk->bad)) {
			__set_bit(bit, span->chunk->retired);
			devmem->stats.retired++;
			continue;
		}
		put_small(devmem, span, span->chunk->first_pfn + bit, 1);
		devmem->stats.free++;
	}
}

static void put_pages(struct dmirror_devmem *devmem, struct dmirror_span *span,
		      unsigned long pfn, unsigned int order)
{
	struct dmirror_chunk *chunk = span->chunk;
	unsigned long first = pfn - chunk->first_pfn, nr = 1UL << order;

	lockdep_assert_held(&devmem->lock);

	if (find_next_bit(chunk->bad, first + nr, first) < first + nr) {
		put_good_pages(devmem, span, pfn, nr);
		return;
	}

	/* Less than a span is a part of one that was split. */
	if (order && order == devmem->large_order)
		put_large(devmem, span);
	else
		put_small(devmem, span, pfn, nr);
	devmem->stats.free += nr;
}

/* Can a page be taken away without breaking a promise. */
static bool can_spare(struct dmirror_devmem *devmem, bool whole)
{
	unsigned long nr_whole = devmem->nr_whole - whole;
	unsigned long nr_partial = devmem->nr_partial - 1;

	lockdep_assert_held(&devmem->lock);

	if (whole)
		nr_partial += span_pages(devmem);
	if (nr_whole < devmem->resv_large)
		return false;

	return nr_partial + (nr_whole - devmem->resv_large) *
			    span_pages(devmem) >= devmem->resv_small;
}

/* A free page out of its span, if there is one to spare. */
static bool retire_free(struct dmirror_devmem *devmem,
			struct dmirror_chunk *chunk, unsigned long bit)
{
	unsigned long nr = bit >> devmem->large_order;
	struct dmirror_span *span = &chunk->spans[nr];
	bool whole;

	lockdep_assert_held(&devmem->lock);

	while (chunk->nr_used <= nr) {
		struct dmirror_span *new = span_first_use(chunk);

		list_add_tail(&new->node, &devmem->whole);
	}
	whole = span->nr_free == span_pages(devmem);
	if ((!whole && !test_bit(bit, chunk->free)) || !can_spare(devmem, whole))
		return false;

	if (whole) {
		list_del_init(&span->node);
		devmem->nr_whole--;
		span_cut(devmem, span);
	}
	page_take(devmem, span, bit);
	__set_bit(bit, chunk->retired);
	devmem->stats.free--;
	devmem->stats.retired++;

	return true;
}

int dmirror_devmem_retire(struct dmirror_chunk *chunk, unsigned long pfn)
{
	struct dmirror_devmem *devmem = chunk->devmem;
	unsigned long bit = pfn - chunk->first_pfn;
	bool done;

	spin_lock_irq(&devmem->lock);
	__set_bit(bit, chunk->bad);
	/* Of a chunk that is about to go no list has a page any more. */
	done = chunk->gone || test_bit(bit, chunk->retired) ||
	       retire_free(devmem, chunk, bit);
	spin_unlock_irq(&devmem->lock);

	return done ? 0 : -EBUSY;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_retire);

unsigned long dmirror_devmem_usable(struct dmirror_chunk *chunk,
				    unsigned long pfn, unsigned long nr,
				    unsigned long *pfns)
{
	struct dmirror_devmem *devmem = chunk->devmem;
	unsigned long i, found = 0;

	spin_lock_irq(&devmem->lock);
	for (i = pfn; i < pfn + nr; i++)
		if (!test_bit(i - chunk->first_pfn, chunk->retired))
			pfns[found++] = i;
	spin_unlock_irq(&devmem->lock);

	return found;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_usable);

static struct dmirror_block *block_alloc(const struct dmirror_devmem *devmem,
					 unsigned int order)
{
	struct dmirror_block *block;

	if (dmirror_should_fail(DMIRROR_INJECT_BLOCK_ALLOC))
		return NULL;
	block = kzalloc_obj(*block);
	if (!block)
		return NULL;

	refcount_set(&block->ref, 1);
	if (!devmem->ops->backed)
		return block;

	if (!dmirror_should_fail(DMIRROR_INJECT_BACKING_ALLOC))
		block->backing = folio_alloc(GFP_HIGHUSER | __GFP_NOWARN,
					     order);
	if (!block->backing) {
		kfree(block);
		return NULL;
	}

	return block;
}

static void block_free(struct dmirror_block *block)
{
	if (block->backing)
		folio_put(block->backing);
	kfree(block);
}

struct page *dmirror_devmem_alloc(struct dmirror_resv *resv, unsigned int order)
{
	struct dmirror_devmem *devmem = resv->devmem;
	unsigned long *left = order ? &resv->large : &resv->small;
	struct dmirror_block *block;
	struct dmirror_span *span;
	struct page *page;

	if (!devmem || !*left || (order && order != devmem->large_order))
		return NULL;

	block = block_alloc(devmem, order);
	if (!block)
		return NULL;

	spin_lock_irq(&devmem->lock);
	page = order ? take_large(devmem, &span) : take_small(devmem, &span);
	if (page) {
		--*left;
		if (order)
			devmem->resv_large--;
		else
			devmem->resv_small--;
		devmem->stats.reserved -= 1UL << order;
		devmem->stats.free -= 1UL << order;
		devmem->stats.blocks++;
		devmem->stats.allocs++;
	}
	spin_unlock_irq(&devmem->lock);
	if (!page) {
		block_free(block);
		return NULL;
	}

	block->chunk = span->chunk;
	block->first_pfn = page_to_pfn(page);
	/* First: an eviction may look at it as soon as it has a reference. */
	page->zone_device_data = block;
	/* Pairs with the atomic operation by which that takes a reference. */
	smp_wmb();
	devmem->ops->folio_prep(span->chunk, page, order);

	return page;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_alloc);

void dmirror_devmem_free(struct page *page, unsigned int order)
{
	struct dmirror_block *block = page->zone_device_data;
	struct dmirror_chunk *chunk = block->chunk;
	struct dmirror_devmem *devmem = chunk->devmem;
	unsigned long pfn = page_to_pfn(page);
	bool last = refcount_dec_and_test(&block->ref);
	unsigned long flags;

	page->zone_device_data = NULL;
	spin_lock_irqsave(&devmem->lock, flags);
	put_pages(devmem, span_of(chunk, pfn), pfn, order);
	devmem->stats.frees++;
	if (last)
		devmem->stats.blocks--;
	spin_unlock_irqrestore(&devmem->lock, flags);
	if (last)
		block_free(block);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_free);

void dmirror_devmem_split(struct page *head, struct page *tail)
{
	struct dmirror_block *block = head->zone_device_data;

	refcount_inc(&block->ref);
	tail->zone_device_data = block;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_split);

struct page *dmirror_devmem_backing(struct page *page)
{
	struct dmirror_block *block = block_of(page);

	if (!block->backing)
		return page;

	return folio_page(block->backing, page_to_pfn(page) - block->first_pfn);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_backing);

struct page *dmirror_devmem_storage(struct page *page)
{
	if (is_device_private_page(page))
		return dmirror_devmem_backing(page);

	return page;
}

struct dmirror_devmem *dmirror_devmem_of(struct page *page)
{
	return block_of(page)->chunk->devmem;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_of);

int dmirror_devmem_visit_chunks(struct dmirror_devmem *devmem,
				dmirror_chunk_fn fn, void *arg)
{
	struct dmirror_chunk *chunk;
	int ret = 0;

	mutex_lock(&devmem->chunk_lock);
	list_for_each_entry(chunk, &devmem->chunks, node) {
		ret = fn(chunk, arg);
		if (ret)
			break;
	}
	mutex_unlock(&devmem->chunk_lock);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_visit_chunks);

void dmirror_devmem_stats(struct dmirror_devmem *devmem,
			  struct dmirror_devmem_stats *stats)
{
	unsigned long flags;

	spin_lock_irqsave(&devmem->lock, flags);
	*stats = devmem->stats;
	spin_unlock_irqrestore(&devmem->lock, flags);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devmem_stats);
