// SPDX-License-Identifier: GPL-2.0
/*
 * Device-coherent memory: the CPU maps it like its own, so that nothing faults
 * and only the device, or an eviction, moves a page.
 */
#include "mirror_fixture.h"

#include <linux/memremap.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/uaccess.h>

#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
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
	struct dmirror_bench bench = bench_get_coherent(test, NR);

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
	struct dmirror_bench bench = bench_get_coherent(test, NR);

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
	struct dmirror_bench bench = bench_get_coherent(test, NR);

	bench_to_device(test, &bench, bench.addr, NR);
	bench_evict(test, &bench);
	bench_expect_all(test, &bench, bench.addr, NR, RAM_W, "after eviction");
	dmirror_user_check(test, bench.addr, NR, 1, "after eviction");
}

static void held_page_stays_until_it_is_let_go(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_coherent(test, NR);
	unsigned long left = 9;
	struct page *page;
	int ret;

	bench_to_device(test, &bench, bench.addr, 4);
	dmirror_cpu_pages(test, bench.mirror, bench.addr + PAGE_SIZE, &page, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	get_page(page);
	ret = dmirror_migrate_evict(bench.devmem, &left);
	put_page(page);
	DMIRROR_EXPECT_ERRNO(test, ret, -EBUSY, "eviction with a page held");
	KUNIT_EXPECT_EQ_MSG(test, left, 1UL, "pages that the eviction left");
	bench_expect_all(test, &bench, bench.addr + PAGE_SIZE, 1, DEV_W,
			 "the page held");
	dmirror_user_check(test, bench.addr, 4, 1, "after the eviction");
	bench_evict(test, &bench);
	dmirror_user_check(test, bench.addr, 4, 1, "with the page let go");
}

/*
 * Core mm finds a large coherent folio only where system memory is asked for:
 * what went as one would not come back on request.
 */
static void large_folio_goes_and_comes_in_pages(struct kunit *test)
{
	const unsigned long nr = PMD_SIZE >> PAGE_SHIFT;
	struct dmirror_bench bench;
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	bench = bench_get_coherent(test, 1);
	DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
	KUNIT_EXPECT_EQ_MSG(test,
			    dmirror_mm_large_order(MEMORY_DEVICE_COHERENT), 0U,
			    "order of a coherent device's large folios");
	addr = ALIGN(dmirror_user_map(test, 2 * nr, RW), PMD_SIZE);
	DMIRROR_ASSERT_OK(test, user_madvise(addr, PMD_SIZE, MADV_HUGEPAGE),
			  "madvise");
	dmirror_user_fill(test, addr, nr, 1);
	DMIRROR_ASSERT_OK(test, user_madvise(addr, PMD_SIZE, MADV_NOHUGEPAGE),
			  "madvise");
	bench_expect_all(test, &bench, addr, nr, RAM_W | HMM_DMIRROR_PROT_PMD,
			 "before");
	bench_to_device(test, &bench, addr, nr);
	bench_expect_all(test, &bench, addr, nr, DEV_W, "on the device");
	bench_to_ram(test, &bench, addr, nr, nr);
	bench_expect_all(test, &bench, addr, nr, RAM_W, "after the request");
	dmirror_user_check(test, addr, nr, 1, "after the request");
}

static void untouched_pages_become_device_zeroes(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_coherent(test, NR);
	unsigned long addr = dmirror_user_map(test, NR, RW);

	/* So that there is something else in the pages that are taken next. */
	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_user_unmap(test, bench.addr, NR);
	bench_to_device(test, &bench, addr, NR);
	bench_expect_all(test, &bench, addr, NR, DEV_W, "never touched");
	dmirror_user_check(test, addr, NR, 0, "never touched");
}

static void read_only_stays_read_only(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_coherent(test, NR);
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
	struct dmirror_bench bench = bench_get_coherent(test, NR);

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
	struct dmirror_bench bench = bench_get_coherent(test, NR);
	struct dmirror_bench other =
		bench_on(test, dmirror_coherent_get(test, 1, PRIVATE_CHUNK, 1),
			 bench.addr);

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
	struct dmirror_bench bench = bench_get_coherent(test, NR);
	struct dmirror_bench other =
		bench_on(test, dmirror_private_get(test, 0, PRIVATE_CHUNK, 1),
			 bench.addr);

	bench_to_device(test, &bench, bench.addr, 4);
	bench_to_device_part(test, &other, bench.addr, 4, 0);
	bench_expect_out(test, &bench, 4, "after the refused migration");
	dmirror_user_check(test, bench.addr, 4, 1, "afterwards");
}

/**
 * struct sight - what a process sees
 * @addr: 4 pages
 * @words: the first word of each
 */
struct sight {
	unsigned long addr;
	u64 words[4];
};

static int child_looks(void *data)
{
	struct sight *sight = data;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sight->words); i++)
		if (copy_from_user(&sight->words[i], (void __user *)sight->addr +
				   i * PAGE_SIZE, sizeof(u64)))
			return -EFAULT;

	return 0;
}

/* A store of the device is one of the parent, to a page of both. */
static void fork_copies_on_write(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_coherent(test, NR);
	struct sight sight = { .addr = bench.addr };
	u64 *buf = dmirror_buf(test, 4);
	struct dmirror_access_result result;
	int forked, wrote = 0, looked = 0;
	struct user_child child;
	unsigned int i;

	DMIRROR_REQUIRES_BUILTIN(test);
	bench_to_device(test, &bench, bench.addr, 4);
	dmirror_buf_fill(buf, 4, 5);
	forked = user_fork(&child);
	if (!forked) {
		wrote = dmirror_access_write(bench.mirror, bench.addr, 4, buf,
					     NULL, &result);
		looked = user_ask(&child, child_looks, &sight);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_EXPECT_ERRNO(test, wrote, 0, "device write after a fork");
	DMIRROR_EXPECT_ERRNO(test, looked, 0, "what the child did");
	dmirror_buf_fill(buf, 4, 1);
	for (i = 0; i < ARRAY_SIZE(sight.words); i++)
		KUNIT_EXPECT_EQ_MSG(test, sight.words[i],
				    buf[i * PAGE_SIZE / sizeof(u64)],
				    "first word of page %u that the child sees",
				    i);
	dmirror_user_check(test, bench.addr, 4, 5, "after the device wrote");
}

static void fork_leaves_pages_on_the_device(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_coherent(test, NR);
	struct user_child child;
	int forked;

	DMIRROR_REQUIRES_BUILTIN(test);
	bench_to_device(test, &bench, bench.addr, 4);
	forked = user_fork(&child);
	if (!forked)
		user_reap(&child);
	DMIRROR_ASSERT_OK(test, forked, "fork");
	bench_expect_all(test, &bench, bench.addr, 4, DEV_R,
			 "after the child exited");
	bench_expect_out(test, &bench, 4, "after the child exited");
	dmirror_user_check(test, bench.addr, 4, 1, "after the child exited");
}

static struct kunit_case coherent_cases[] = {
	KUNIT_CASE(page_is_device_coherent),
	KUNIT_CASE(removal_leaves_nothing),
	KUNIT_CASE(region_is_the_limit),
	KUNIT_CASE(cpu_works_on_device_pages),
	KUNIT_CASE(comes_back_on_request),
	KUNIT_CASE(eviction_brings_everything_back),
	KUNIT_CASE(held_page_stays_until_it_is_let_go),
	KUNIT_CASE(large_folio_goes_and_comes_in_pages),
	KUNIT_CASE(untouched_pages_become_device_zeroes),
	KUNIT_CASE(read_only_stays_read_only),
	KUNIT_CASE(munmap_and_exit_free_device_pages),
	KUNIT_CASE(other_device_reads_it_in_place),
	KUNIT_CASE(private_device_does_not_take_it),
	KUNIT_CASE(fork_leaves_pages_on_the_device),
	KUNIT_CASE(fork_copies_on_write),
	{}
};

DMIRROR_SUITE(coherent, dmirror_fixture_init_mm, coherent_cases);
