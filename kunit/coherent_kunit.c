// SPDX-License-Identifier: GPL-2.0
/*
 * Device-coherent memory: the CPU maps it like its own, so that nothing faults
 * and only the device, or an eviction, moves a page.
 */
#include "mirror_fixture.h"

#include <linux/memremap.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/uaccess.h>

#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/uapi.h"
#include "bench.h"
#include "private_devmem.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

#define DEV_W (HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL | HMM_DMIRROR_PROT_WRITE)
#define DEV_R (HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL | HMM_DMIRROR_PROT_READ)
#define REMOTE_W (HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE | HMM_DMIRROR_PROT_WRITE)
#define RAM_W HMM_DMIRROR_PROT_WRITE

/* Pages of most cases: more than one batch. */
#define NR 80UL

static struct dmirror_bench bench_get(struct kunit *test)
{
	struct dmirror_bench bench;

	bench.devmem = dmirror_coherent_get(test, 0, PRIVATE_CHUNK, 2);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	bench.addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, bench.addr, NR, 1);

	return bench;
}

static void page_is_device_coherent(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_coherent_get(test, 0, PRIVATE_CHUNK, 1);
	struct dmirror_resv resv = { };
	struct page *page;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, 1, 0, &resv),
			  "reserve");
	page = dmirror_devmem_alloc(&resv, 0);
	dmirror_devmem_unreserve(&resv);
	KUNIT_ASSERT_NOT_NULL(test, page);

	KUNIT_EXPECT_TRUE(test, is_device_coherent_page(page));
	KUNIT_EXPECT_PTR_EQ(test, page_pgmap(page)->owner, (void *)devmem);
	KUNIT_EXPECT_EQ_MSG(test, (u64)page_to_phys(page),
			    (u64)devmem->region.start,
			    "the first page of the region");
	KUNIT_EXPECT_PTR_EQ_MSG(test, dmirror_devmem_backing(page), page,
				"it is its own storage");
	KUNIT_EXPECT_TRUE_MSG(test, virt_addr_valid(page_address(page)),
			      "the kernel has to have an address for it");
	/* All of it, to the last byte, is memory. */
	memset(page_address(page), 0x5a, PAGE_SIZE);
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0x5a,
					   PAGE_SIZE));
	unlock_page(page);
	put_page(page);
	KUNIT_EXPECT_EQ_MSG(test, dmirror_pages_out(devmem), 0UL,
			    "after the last reference was dropped");
}

static void removal_leaves_nothing(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_coherent_get(test, 0, PRIVATE_CHUNK, 2);
	unsigned long pfn = PHYS_PFN(devmem->region.start);
	unsigned int round;

	for (round = 1; round <= 5; round++) {
		struct dmirror_resv resv = { };

		DMIRROR_ASSERT_OK(test,
				  dmirror_devmem_reserve(devmem,
							 2 * PRIVATE_CHUNK, 0,
							 &resv), "reserve");
		dmirror_devmem_unreserve(&resv);
		KUNIT_EXPECT_TRUE_MSG(test, pfn_valid(pfn + PRIVATE_CHUNK),
				      "the second chunk is not there, round %u",
				      round);
		DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(devmem), 0,
				     "removal");
		dmirror_expect_pagemap_gone(test, pfn, PRIVATE_CHUNK);
		dmirror_expect_pagemap_gone(test, pfn + PRIVATE_CHUNK,
					    PRIVATE_CHUNK);
	}
}

static void region_is_the_limit(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_coherent_get(test, 0, PRIVATE_CHUNK, ULONG_MAX);
	struct dmirror_resv resv = { };
	unsigned long nr;

	devmem->region.end = devmem->region.start +
			     2 * (PRIVATE_CHUNK << PAGE_SHIFT) - 1;
	nr = 2 * PRIVATE_CHUNK;
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, nr + 1, 0,
							  &resv),
			     -ENOSPC, "more than the region");
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, nr, 0, &resv),
			     0, "all of the region");
	dmirror_devmem_unreserve(&resv);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(devmem), 0, "removal");

	devmem->region.start += PAGE_SIZE;
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_reserve(devmem, 1, 0, &resv),
			     -EINVAL, "region that begins at an odd page");
	KUNIT_EXPECT_EQ(test, devmem->stats.chunks, 0UL);
}

static void cpu_works_on_device_pages(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	bench_to_device(test, &bench, bench.addr, NR);
	bench_expect_all(test, &bench, bench.addr, NR, DEV_W, "on the device");
	bench_expect_anon(test, NR, "on the device");
	dmirror_user_check(test, bench.addr, NR, 1, "on the device");
	dmirror_user_fill(test, bench.addr, NR, 2);
	bench_expect_out(test, &bench, NR, "after the CPU wrote");
	dmirror_device_read(test, bench.mirror, bench.addr, NR, 2,
			    "after the CPU wrote");
	dmirror_device_write(test, bench.mirror, bench.addr, NR, 3,
			     "on its own memory");
	dmirror_user_check(test, bench.addr, NR, 3, "after the device wrote");
	bench_expect_out(test, &bench, NR, "after all of it");
}

static void comes_back_on_request(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	bench_to_device(test, &bench, bench.addr, NR);
	bench_to_ram(test, &bench, bench.addr, 10, 10);
	bench_expect_out(test, &bench, NR - 10, "after a part came back");
	bench_expect_all(test, &bench, bench.addr, 10, RAM_W,
			 "the part that came back");
	bench_expect_all(test, &bench, bench.addr + 10 * PAGE_SIZE, NR - 10,
			 DEV_W, "the part that did not");
	bench_to_ram(test, &bench, bench.addr, NR, NR - 10);
	bench_expect_out(test, &bench, 0, "after all came back");
	dmirror_user_check(test, bench.addr, NR, 1, "after all came back");
	bench_expect_anon(test, NR, "after all came back");
}

static void eviction_brings_everything_back(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long left = 9;

	bench_to_device(test, &bench, bench.addr, NR);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_evict(bench.devmem, &left),
			     0, "eviction");
	KUNIT_EXPECT_EQ(test, left, 0UL);
	bench_expect_all(test, &bench, bench.addr, NR, RAM_W, "after eviction");
	dmirror_user_check(test, bench.addr, NR, 1, "after eviction");
}

static void untouched_pages_become_device_zeroes(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long addr = dmirror_user_map(test, NR, RW);

	bench_to_device(test, &bench, addr, NR);
	bench_expect_all(test, &bench, addr, NR, DEV_W, "never touched");
	dmirror_user_check(test, addr, NR, 0, "never touched");
}

static void read_only_stays_read_only(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	u8 byte = 0;

	DMIRROR_REQUIRES_BUILTIN(test);
	dmirror_user_protect(test, bench.addr, NR, PROT_READ);
	bench_to_device(test, &bench, bench.addr, NR);
	bench_expect_all(test, &bench, bench.addr, NR, DEV_R, "on the device");
	KUNIT_EXPECT_EQ_MSG(test, copy_to_user((void __user *)bench.addr, &byte,
					       1),
			    1UL, "bytes that could not be written");
	dmirror_user_check(test, bench.addr, NR, 1, "after the refused write");
}

static void munmap_and_exit_free_device_pages(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	bench_to_device(test, &bench, bench.addr, 16);
	dmirror_user_unmap(test, bench.addr + 4 * PAGE_SIZE, 8);
	bench_expect_out(test, &bench, 8, "after munmap of 8 of 16");
	dmirror_user_check(test, bench.addr, 4, 1, "before the part unmapped");
	dmirror_user_exit(test);
	bench_expect_out(test, &bench, 0, "after exit_mmap()");
}

/* Any device may use another one's coherent memory where it is. */
static void other_device_reads_it_in_place(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	struct dmirror_bench other = { .addr = bench.addr };

	other.devmem = dmirror_coherent_get(test, 1, PRIVATE_CHUNK, 1);
	other.mirror = dmirror_mirror_get(test, other.devmem);
	bench_to_device(test, &bench, bench.addr, 4);
	bench_expect_all(test, &other, bench.addr, 4, REMOTE_W,
			 "seen from the other device");
	dmirror_device_read(test, other.mirror, bench.addr, 4, 1,
			    "by the other device");
	dmirror_device_write(test, other.mirror, bench.addr, 4, 2,
			     "by the other device");
	bench_expect_out(test, &bench, 4, "after the other device wrote");
	bench_to_ram(test, &other, bench.addr, 4, 0);
	dmirror_user_check(test, bench.addr, 4, 2, "afterwards");
}

/* Coherent to private: as system memory it is not, so it has to come home. */
static void private_device_does_not_take_it(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	struct dmirror_bench other = { .addr = bench.addr };
	unsigned long moved = 9;

	other.devmem = dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	other.mirror = dmirror_mirror_get(test, other.devmem);
	bench_to_device(test, &bench, bench.addr, 4);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(other.mirror,
							     bench.addr, 4,
							     &moved),
			     0, "migration from device to device");
	KUNIT_EXPECT_EQ(test, moved, 0UL);
	bench_expect_out(test, &bench, 4, "after the refused migration");
	dmirror_user_check(test, bench.addr, 4, 1, "afterwards");
}

static int child_idle(void *data)
{
	return 0;
}

static void fork_copies_on_write(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	struct user_child child;
	int forked, ret = 0;

	DMIRROR_REQUIRES_BUILTIN(test);
	bench_to_device(test, &bench, bench.addr, 4);
	forked = user_fork(&child);
	if (!forked) {
		ret = user_ask(&child, child_idle, NULL);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "what the child did");
	bench_expect_all(test, &bench, bench.addr, 4, DEV_R, "after a fork");
	dmirror_device_write(test, bench.mirror, bench.addr, 4, 5,
			     "after a fork");
	dmirror_user_check(test, bench.addr, 4, 5, "after the device wrote");
}

static struct kunit_case coherent_cases[] = {
	KUNIT_CASE(page_is_device_coherent),
	KUNIT_CASE(removal_leaves_nothing),
	KUNIT_CASE(region_is_the_limit),
	KUNIT_CASE(cpu_works_on_device_pages),
	KUNIT_CASE(comes_back_on_request),
	KUNIT_CASE(eviction_brings_everything_back),
	KUNIT_CASE(untouched_pages_become_device_zeroes),
	KUNIT_CASE(read_only_stays_read_only),
	KUNIT_CASE(munmap_and_exit_free_device_pages),
	KUNIT_CASE(other_device_reads_it_in_place),
	KUNIT_CASE(private_device_does_not_take_it),
	KUNIT_CASE(fork_copies_on_write),
	{}
};

DMIRROR_SUITE(coherent, dmirror_fixture_init_mm, coherent_cases);
