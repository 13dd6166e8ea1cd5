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
 * bench_on - a bench on a device memory and a mapping that are there
 * @test: the case, which destroys the mirror
 * @devmem: the device's memory
 * @addr: the mapping
 *
 * Two of them on one mapping are two devices, or two files of one.
 *
 * Return: the bench.
 */
struct dmirror_bench bench_on(struct kunit *test, struct dmirror_devmem *devmem,
			      unsigned long addr);

/**
 * bench_get_private - a bench on device-private memory of single pages
 * @test: the case, skipped where the kernel has no such memory
 * @npages: length of the mapping, RW and full of pattern 1
 *
 * Return: the bench.
 */
struct dmirror_bench bench_get_private(struct kunit *test,
				       unsigned long npages);

/**
 * bench_get_coherent - a bench on device-coherent memory
 * @test: the case, skipped where nothing was left for such memory
 * @npages: length of the mapping, RW and full of pattern 1
 *
 * Return: the bench.
 */
struct dmirror_bench bench_get_coherent(struct kunit *test,
					unsigned long npages);

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
 * bench_to_device_part - migrate to the device, where not all of it can go
 * @test: the case
 * @bench: the bench
 * @addr: page aligned address
 * @npages: number of pages
 * @want: how many of them have to move
 */
void bench_to_device_part(struct kunit *test, const struct dmirror_bench *bench,
			  unsigned long addr, unsigned long npages,
			  unsigned long want);

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
 * bench_to_ram_part - migrate back, where not all of it can
 * @test: the case
 * @bench: the bench
 * @addr: page aligned address
 * @npages: number of pages
 * @error: what dmirror_migrate_to_ram() has to return
 * @want: how many of them have to move
 */
void bench_to_ram_part(struct kunit *test, const struct dmirror_bench *bench,
		       unsigned long addr, unsigned long npages, int error,
		       unsigned long want);

/**
 * bench_evict - evict; everything has to come home
 * @test: the case
 * @bench: the bench
 */
void bench_evict(struct kunit *test, const struct dmirror_bench *bench);

/**
 * bench_cpu_fault - fault as the CPU does when it reads
 * @addr: page aligned address of current->mm
 *
 * Tells what the fault came to, where an access of the kernel's own would be
 * tried again, or not, as the architecture has it.
 *
 * Context: process context, may sleep; takes mmap_lock.
 * Return: 0; -ENOMEM for VM_FAULT_OOM; -EFAULT for VM_FAULT_SIGBUS.
 */
int bench_cpu_fault(unsigned long addr);

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
