/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Real device memory for a case, small and gone at its end.
 */
#ifndef DMIRROR_KUNIT_PRIVATE_DEVMEM_H
#define DMIRROR_KUNIT_PRIVATE_DEVMEM_H

#include "../drivers/dmirror/devmem.h"

struct dmirror_mirror;
struct kunit;

/* Pages of the smallest chunk that memremap_pages() takes. */
#define PRIVATE_CHUNK ((2UL << 20) >> PAGE_SHIFT)

/**
 * dmirror_private_get - make a device-private memory
 * @test: the case, which evicts and removes it
 * @large_order: order of large folios, 0 for none
 * @chunk_pages: pages per chunk, a multiple of PRIVATE_CHUNK
 * @max_chunks: limit of growth
 *
 * Skips the case where the kernel has no device-private memory. At the end
 * everything has to come home, and every chunk to go away.
 *
 * Return: the device memory.
 */
struct dmirror_devmem *dmirror_private_get(struct kunit *test,
					   unsigned int large_order,
					   unsigned long chunk_pages,
					   unsigned long max_chunks);

/**
 * dmirror_coherent_get - make a device-coherent memory
 * @test: the case, which evicts and removes it
 * @part: 0 or 1: which half of the memory that was left to the suites
 * @chunk_pages: pages per chunk, a multiple of PRIVATE_CHUNK
 * @max_chunks: limit of growth
 *
 * Skips the case where nothing was left: memmap= on the kernel's command line
 * and dmirror_fixture.coherent=, which says where it is.
 *
 * Return: the device memory.
 */
struct dmirror_devmem *dmirror_coherent_get(struct kunit *test,
					    unsigned int part,
					    unsigned long chunk_pages,
					    unsigned long max_chunks);

/**
 * dmirror_pages_out - how many device pages are in use
 * @devmem: the device memory
 *
 * Return: number of pages.
 */
unsigned long dmirror_pages_out(struct dmirror_devmem *devmem);

/**
 * dmirror_first_pfn - where the first chunk is
 * @devmem: the device memory, with at least one chunk
 *
 * Return: the page frame of its first page.
 */
unsigned long dmirror_first_pfn(const struct dmirror_devmem *devmem);

/**
 * dmirror_cpu_pages - what the CPU page tables map
 * @test: the case
 * @mirror: a mirror of the case's mm; its device's private pages are shown
 * @addr: page aligned address
 * @pages: @npages entries to fill, NULL where nothing is mapped
 * @npages: number of pages
 *
 * Asserts that it worked. Takes no reference.
 */
void dmirror_cpu_pages(struct kunit *test, struct dmirror_mirror *mirror,
		       unsigned long addr, struct page **pages,
		       unsigned long npages);

/**
 * dmirror_expect_pagemap_gone - a removed chunk left nothing behind
 * @test: the case
 * @first_pfn: its first page
 * @nr_pages: its length
 *
 * Expects that there is no pagemap, no struct page and, of private memory, no
 * resource.
 */
void dmirror_expect_pagemap_gone(struct kunit *test, unsigned long first_pfn,
				 unsigned long nr_pages);

#endif /* DMIRROR_KUNIT_PRIVATE_DEVMEM_H */
