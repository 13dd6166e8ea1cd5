/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A kind of device memory made of ordinary pages, with tiny chunks: growth,
 * exhaustion and refusal within reach of a test on every kernel.
 *
 * The pages are real, have struct pages in a row, and are never mapped.
 */
#ifndef DMIRROR_KUNIT_FAKE_DEVMEM_H
#define DMIRROR_KUNIT_FAKE_DEVMEM_H

#include "../drivers/dmirror/devmem.h"

struct kunit;

/**
 * struct dmirror_fake - a fake device memory and what it saw
 * @devmem: the device memory
 * @adds: calls of chunk_add that succeeded
 * @dels: calls of chunk_del
 * @preps: calls of folio_prep
 * @error: errno that chunk_add shall return, 0 for success
 */
struct dmirror_fake {
	struct dmirror_devmem devmem;
	unsigned int adds;
	unsigned int dels;
	unsigned int preps;
	int error;
};

/**
 * dmirror_fake_get - make a fake device memory
 * @test: the case, which removes it and expects it to be empty then
 * @large_order: order of large folios
 * @chunk_pages: pages per chunk, a power of two
 * @max_chunks: limit of growth
 *
 * Asserts that it worked.
 *
 * Return: the fake.
 */
struct dmirror_fake *dmirror_fake_get(struct kunit *test,
				      unsigned int large_order,
				      unsigned long chunk_pages,
				      unsigned long max_chunks);

#endif /* DMIRROR_KUNIT_FAKE_DEVMEM_H */
