/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Device memory: chunks of it, who has which page, and what stands for the
 * storage behind a page that the CPU cannot address.
 *
 * Owns: the chunks, the free spans and pages in them, the backing blocks, the
 * counters.
 * Lock: devmem->chunk_lock, a mutex, covers the list of chunks while one is
 * added or removed; it is outermost and never taken under mmap_lock.
 * devmem->lock, an IRQ-safe spinlock, covers free lists, reservations and
 * counters; it is innermost, because core mm frees device folios from any
 * context.
 * May call: inject, trace. What a kind of memory does differently (private, coherent,
 * the tests' fake) comes in through struct dmirror_devmem_ops.
 *
 * Vocabulary:
 * - chunk: a run of device pages that was added, and will be removed, at once.
 * - span: the 1 << large_order pages, naturally aligned in their chunk, that
 *   either serve one large folio or are cut into single pages. When all pages
 *   of a span are free again it can serve a large folio again.
 * - block: what one allocated folio's zone_device_data points to: the folio of
 *   system memory that stands for the device's storage and the first pfn it
 *   stands for. It is reference counted, one reference per folio, because a
 *   split leaves several folios on one block.
 * - reservation: pages set aside for one caller before it takes mmap_lock, so
 *   that no chunk is ever added under it.
 */
#ifndef DMIRROR_DEVMEM_H
#define DMIRROR_DEVMEM_H

#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/mutex.h>
#include <linux/range.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct dmirror_chunk;
struct dmirror_devmem;
struct folio;
struct page;
struct resource;

/**
 * struct dmirror_devmem_ops - what a kind of memory does its own way
 * @chunk_add: make @nr_pages pages with struct page and set chunk->first_pfn;
 *	may sleep, called under chunk_lock. Returns 0 or an errno.
 * @chunk_del: undo @chunk_add; every page is free. May sleep.
 * @folio_prep: hand out a free run of 1 << order pages: on return the folio is
 *	locked and has one reference, and its zone_device_data is as it was.
 *	Does not fail.
 * @backed: true if the CPU cannot address the memory, so that system memory
 *	has to stand for it
 * @select: the MIGRATE_VMA_SELECT_* flag that finds its pages
 */
struct dmirror_devmem_ops {
	int (*chunk_add)(struct dmirror_chunk *chunk, unsigned long nr_pages);
	void (*chunk_del)(struct dmirror_chunk *chunk);
	void (*folio_prep)(struct dmirror_chunk *chunk, struct page *page,
			   unsigned int order);
	bool backed;
	unsigned long select;
};

/**
 * struct dmirror_span - the unit of large allocation
 * @node: on devmem->whole, devmem->partial, or on no list when nothing is free
 * @chunk: the chunk it is part of
 * @nr_free: free pages in it
 */
struct dmirror_span {
	struct list_head node;
	struct dmirror_chunk *chunk;
	unsigned int nr_free;
};

/**
 * struct dmirror_chunk - device memory added at once
 * @node: on devmem->chunks
 * @devmem: whose memory it is
 * @first_pfn: first page, set by ops->chunk_add
 * @nr_pages: number of pages
 * @nr_used: spans handed to the free lists so far; the others were never used
 * @free: one bit per page, set when a page of a cut span is free
 * @bad: one bit per page, set when its storage is broken
 * @retired: one bit per page, set when it is out of service
 * @gone: on no list any more, about to be removed
 * @res: the memory kind's resource, if it has one
 * @pagemap: the memory kind's pagemap, if it has one
 * @spans: nr_pages >> devmem->large_order of them
 */
struct dmirror_chunk {
	struct list_head node;
	struct dmirror_devmem *devmem;
	unsigned long first_pfn;
	unsigned long nr_pages;
	unsigned long nr_used;
	unsigned long *free;
	unsigned long *bad;
	unsigned long *retired;
	bool gone;
	struct resource *res;
	struct dev_pagemap pagemap;
	struct dmirror_span spans[];
};

/**
 * struct dmirror_block - the storage behind one device folio
 * @ref: one per folio that stands on it
 * @chunk: where the folio's pages are
 * @first_pfn: device pfn that the first page of @backing stands for
 * @backing: system memory in place of device memory, NULL if the CPU can
 *	address the device's
 */
struct dmirror_block {
	refcount_t ref;
	struct dmirror_chunk *chunk;
	unsigned long first_pfn;
	struct folio *backing;
};

/**
 * struct dmirror_devmem_stats - a device memory's books, in pages
 * @total: in all chunks
 * @free: not allocated; those promised to reservations are among them
 * @reserved: set aside by reservations and not yet allocated
 * @retired: out of service, as their storage is broken
 * @chunks: number of chunks
 * @blocks: number of live backing blocks
 * @allocs: folios handed out since the start
 * @frees: folios that came back since the start; each part of a split one counts
 */
struct dmirror_devmem_stats {
	unsigned long total;
	unsigned long free;
	unsigned long reserved;
	unsigned long retired;
	unsigned long chunks;
	unsigned long blocks;
	unsigned long allocs;
	unsigned long frees;
};

/**
 * struct dmirror_devmem - one device's memory
 * @ops: the memory kind
 * @large_order: order of a span and so of a large folio; 0 if the kind, the
 *	kernel or the test wants single pages only
 * @chunk_pages: size of a chunk, a multiple of 1 << @large_order
 * @max_chunks: limit of growth
 * @region: physical addresses that the chunks are cut from, one after the
 *	other, if the kind of memory has a fixed place; set after the init
 * @chunk_lock: see above
 * @chunks: all chunks, oldest first; writers hold both locks
 * @lock: see above; covers all below
 * @whole: spans that are free as a whole
 * @partial: spans that are cut and have free pages
 * @nr_whole: spans that could serve a large folio, those never used included
 * @nr_partial: free pages in cut spans
 * @resv_large: folios promised to reservations
 * @resv_small: pages promised to reservations
 * @stats: the books
 */
struct dmirror_devmem {
	const struct dmirror_devmem_ops *ops;
	unsigned int large_order;
	unsigned long chunk_pages;
	unsigned long max_chunks;
	struct range region;

	struct mutex chunk_lock;
	struct list_head chunks;

	spinlock_t lock;
	struct list_head whole;
	struct list_head partial;
	unsigned long nr_whole;
	unsigned long nr_partial;
	unsigned long resv_large;
	unsigned long resv_small;
	struct dmirror_devmem_stats stats;
};

/**
 * struct dmirror_resv - memory set aside for one caller
 * @devmem: whose memory; NULL when nothing is held
 * @small: single pages left
 * @large: large folios left
 */
struct dmirror_resv {
	struct dmirror_devmem *devmem;
	unsigned long small;
	unsigned long large;
};

/**
 * dmirror_devmem_init - make a device memory without any chunk
 * @devmem: the object
 * @ops: the memory kind
 * @large_order: order of large folios, 0 for none
 * @chunk_pages: pages per chunk
 * @max_chunks: most chunks there may be
 *
 * Context: process context, may sleep.
 * Return: 0, or -EINVAL if @chunk_pages is no multiple of 1 << @large_order.
 */
int dmirror_devmem_init(struct dmirror_devmem *devmem,
			const struct dmirror_devmem_ops *ops,
			unsigned int large_order, unsigned long chunk_pages,
			unsigned long max_chunks);

/**
 * dmirror_devmem_fini - remove all chunks
 * @devmem: the object; nobody may reserve from it any more
 *
 * Context: process context, may sleep.
 * Return: 0, or -EBUSY if pages are still out, in which case nothing changed.
 */
int dmirror_devmem_fini(struct dmirror_devmem *devmem);

/**
 * dmirror_devmem_reserve - set memory aside, adding chunks as needed
 * @devmem: the device memory
 * @nr: number of folios
 * @order: 0, or the device's large_order
 * @resv: where to note it; has to be empty, or of the same device memory
 *
 * All or nothing. Has to come before mmap_lock: it may add a chunk.
 *
 * Context: process context, may sleep and reclaim; takes chunk_lock.
 * Return: 0; -ENOSPC at the limit of chunks; -EINVAL for another order; or
 * the error of adding a chunk.
 */
int dmirror_devmem_reserve(struct dmirror_devmem *devmem, unsigned long nr,
			   unsigned int order, struct dmirror_resv *resv);

/**
 * dmirror_devmem_reserve_some - set aside as many single pages as there are
 * @devmem: the device memory
 * @nr: number of pages wanted
 * @resv: where to note them; has to be empty, or of the same device memory
 *
 * As dmirror_devmem_reserve(), but at the limit of growth it takes what is
 * left.
 *
 * Context: as dmirror_devmem_reserve().
 * Return: 0, also if fewer than @nr or none could be had at the limit;
 * -EINVAL; or the error of adding a chunk, when nothing is reserved.
 */
int dmirror_devmem_reserve_some(struct dmirror_devmem *devmem,
				unsigned long nr, struct dmirror_resv *resv);

/**
 * dmirror_devmem_unreserve - give back what is left of a reservation
 * @resv: the reservation, may be empty
 *
 * Context: any.
 */
void dmirror_devmem_unreserve(struct dmirror_resv *resv);

/**
 * dmirror_devmem_break - turn a large folio of a reservation into single pages
 * @resv: the reservation
 *
 * Context: may hold mmap_lock and folio locks.
 * Return: true if there was a large folio.
 */
bool dmirror_devmem_break(struct dmirror_resv *resv);

/**
 * dmirror_devmem_alloc - take a folio out of a reservation
 * @resv: the reservation
 * @order: 0, or the device's large_order
 *
 * If the backing cannot be allocated the reservation keeps the folio.
 *
 * Context: may sleep; mmap_lock and folio locks may be held.
 * Return: first page of a locked folio with one reference; NULL if nothing is
 * left of that order or its backing cannot be had.
 */
struct page *dmirror_devmem_alloc(struct dmirror_resv *resv,
				  unsigned int order);

/**
 * dmirror_devmem_free - take a folio back
 * @page: its first page; no reference is left
 * @order: its order, after a split that of the part
 *
 * Context: any, also with interrupts off: dev_pagemap_ops->folio_free ends up
 * here.
 */
void dmirror_devmem_free(struct page *page, unsigned int order);

/**
 * dmirror_devmem_split - a part of a folio becomes one of its own
 * @head: first page of the folio
 * @tail: first page of the part
 *
 * Both then stand on the same block.
 *
 * Context: any, also with interrupts off: dev_pagemap_ops->folio_split ends up
 * here.
 */
void dmirror_devmem_split(struct page *head, struct page *tail);

/**
 * dmirror_devmem_retire - a page's storage is broken
 * @chunk: where it is
 * @pfn: the page
 *
 * A free page is never handed out again. One that is out, or is promised to a
 * reservation, retires when it comes back the next time.
 *
 * Context: process context, does not sleep.
 * Return: 0 if it is out of service; -EBUSY if it is in use.
 */
int dmirror_devmem_retire(struct dmirror_chunk *chunk, unsigned long pfn);

/**
 * dmirror_devmem_usable - which pages of a range are not out of service
 * @chunk: where they are
 * @pfn: the first one
 * @nr: number of pages
 * @pfns: room for as many page frame numbers
 *
 * Context: process context, does not sleep.
 * Return: how many there are.
 */
unsigned long dmirror_devmem_usable(struct dmirror_chunk *chunk,
				    unsigned long pfn, unsigned long nr,
				    unsigned long *pfns);

/**
 * dmirror_devmem_backing - where a device page's bytes are
 * @page: an allocated device page
 *
 * Context: any; the page has to stay allocated.
 * Return: the page of system memory that stands for it, or @page itself if
 * the CPU can address it.
 */
struct page *dmirror_devmem_backing(struct page *page);

/**
 * dmirror_devmem_storage - where the bytes of any page are
 * @page: a system page, or an allocated device page of this driver
 *
 * Context: any; the page has to stay allocated.
 * Return: dmirror_devmem_backing() of a device-private page, else @page.
 */
struct page *dmirror_devmem_storage(struct page *page);

/**
 * dmirror_devmem_of - whose memory a device page is
 * @page: an allocated device page of this driver
 *
 * Context: any; the page has to stay allocated.
 * Return: the device memory.
 */
struct dmirror_devmem *dmirror_devmem_of(struct page *page);

typedef int (*dmirror_chunk_fn)(struct dmirror_chunk *chunk, void *arg);

/**
 * dmirror_devmem_visit_chunks - visit the chunks, oldest first
 * @devmem: the device memory
 * @fn: called for each chunk; another value than 0 ends the visit
 * @arg: handed to @fn
 *
 * Context: process context, may sleep; @fn runs under chunk_lock, so that
 * no chunk comes or goes meanwhile.
 * Return: 0, or what @fn returned.
 */
int dmirror_devmem_visit_chunks(struct dmirror_devmem *devmem,
				dmirror_chunk_fn fn, void *arg);

/**
 * dmirror_devmem_stats - read the books
 * @devmem: the device memory
 * @stats: where to copy them
 *
 * Context: any.
 */
void dmirror_devmem_stats(struct dmirror_devmem *devmem,
			  struct dmirror_devmem_stats *stats);

#endif /* DMIRROR_DEVMEM_H */
