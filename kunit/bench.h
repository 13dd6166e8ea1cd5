/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a case about migration works on, and the checks they share.
 */
#ifndef DMIRROR_KUNIT_BENCH_H
#define DMIRROR_KUNIT_BENCH_H

#include <linux/types.h>

struct dmirror_devmem;
struct dmirror_mirror;
struct kunit;

/**
 * struct dmirror_bench - a device, a mirror on it, and a mapping
 * @devmem: the device's memory
 * @mirror: mirror of the case's mm, on @devmem
 * @addr: a mapping of the case's mm
 */
struct dmirror_bench {
	struct dmirror_devmem *devmem;
	struct dmirror_mirror *mirror;
	unsigned long addr;
};

/**
 * bench_to_device - migrate to the device; all of it has to go
 * @test: the case
 * @bench: the bench
 * @addr: page aligned address
 * @npages: number of pages
 */
void bench_to_device(struct kunit *test, const struct dmirror_bench *bench,
		     unsigned long addr, unsigned long npages);

/**
 * bench_to_ram - migrate back on request
 * @test: the case
 * @bench: the bench
 * @addr: page aligned address
 * @npages: number of pages
 * @want: how many of them have to move
 */
void bench_to_ram(struct kunit *test, const struct dmirror_bench *bench,
		  unsigned long addr, unsigned long npages,
		  unsigned long want);

/**
 * bench_expect_all - take a snapshot in which all pages have to be the same
 * @test: the case
 * @bench: the bench
 * @addr: page aligned address
 * @npages: number of pages
 * @byte: HMM_DMIRROR_PROT_* of each
 * @step: what was done before, for the message
 */
void bench_expect_all(struct kunit *test, const struct dmirror_bench *bench,
		      unsigned long addr, unsigned long npages, u8 byte,
		      const char *step);

/**
 * bench_expect_out - count the device pages in use
 * @test: the case
 * @bench: the bench
 * @want: how many there have to be
 * @step: what was done before, for the message
 */
void bench_expect_out(struct kunit *test, const struct dmirror_bench *bench,
		      unsigned long want, const char *step);

/**
 * bench_expect_at_rest - one mapping, one reference, anonymous, unlocked
 * @test: the case
 * @bench: the bench
 * @addr: page aligned address
 * @npages: number of pages, all of small folios
 * @on_device: whether they have to be the device's private pages
 * @step: what was done before, for the message
 */
void bench_expect_at_rest(struct kunit *test,
			  const struct dmirror_bench *bench,
			  unsigned long addr, unsigned long npages,
			  bool on_device, const char *step);

/**
 * bench_expect_anon - read the mm's count of anonymous pages
 * @test: the case
 * @want: what it has to be
 * @step: what was done before, for the message
 */
void bench_expect_anon(struct kunit *test, unsigned long want,
		       const char *step);

#endif /* DMIRROR_KUNIT_BENCH_H */
