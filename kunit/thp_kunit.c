// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios to the device and back: whole, in part, and in single pages
 * where there is no large one. Needs a kernel that can migrate them.
 */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/huge_mm.h>
#include <linux/memremap.h>
#include <linux/mman.h>
#include <linux/uaccess.h>

#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/uapi.h"
#include "bench.h"
#include "private_devmem.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

#define LARGE HMM_DMIRROR_PROT_PMD
#define DEV_W (HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_WRITE)
#define RAM_W HMM_DMIRROR_PROT_WRITE

static unsigned int order_of_case(struct kunit *test)
{
	unsigned int order;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
	order = dmirror_mm_large_order(MEMORY_DEVICE_PRIVATE);
	if (!order)
		kunit_skip(test, "needs migration of large folios");

	return order;
}

static unsigned long nr_of(const struct dmirror_bench *bench)
{
	return 1UL << bench->devmem->large_order;
}

/* A mapping of two large pages' size in which one is aligned and asked for. */
static struct dmirror_bench bench_empty(struct kunit *test)
{
	unsigned int order = order_of_case(test);
	unsigned long size = PAGE_SIZE << order;
	struct dmirror_bench bench;
	unsigned long addr;

	bench.devmem = dmirror_private_get(test, order, 2UL << order, 1);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	addr = dmirror_user_map(test, 2UL << order, RW);
	bench.addr = ALIGN(addr, size);
	DMIRROR_ASSERT_OK(test, user_madvise(bench.addr, size, MADV_HUGEPAGE),
			  "madvise");

	return bench;
}

/* What is there stays large, but khugepaged makes nothing large again. */
static void settle(struct kunit *test, const struct dmirror_bench *bench)
{
	DMIRROR_ASSERT_OK(test, user_madvise(bench->addr,
					     nr_of(bench) << PAGE_SHIFT,
					     MADV_NOHUGEPAGE), "madvise");
}

static void expect_folio(struct kunit *test, const struct dmirror_bench *bench,
			 unsigned int order, bool on_device, const char *step)
{
	struct folio *folio;
	struct page *page;

	dmirror_cpu_pages(test, bench->mirror, bench->addr, &page, 1);
	KUNIT_ASSERT_NOT_NULL_MSG(test, page, "nothing at 0x%lx %s",
				  bench->addr, step);
	folio = page_folio(page);
	KUNIT_EXPECT_EQ_MSG(test, folio_order(folio), order,
			    "order of the folio at 0x%lx %s", bench->addr,
			    step);
	KUNIT_EXPECT_EQ_MSG(test, folio_is_device_private(folio), on_device,
			    "folio at 0x%lx on the device %s", bench->addr,
			    step);
	KUNIT_EXPECT_FALSE_MSG(test, folio_test_locked(folio),
			       "folio at 0x%lx is locked %s", bench->addr,
			       step);
}

/* A pattern counts pages from where it begins: so three of them. */
static void fill_around(struct kunit *test, const struct dmirror_bench *bench,
			unsigned long at, unsigned long npages)
{
	unsigned long end = at + npages;

	dmirror_user_fill(test, bench->addr, at, 1);
	dmirror_user_fill(test, bench->addr + at * PAGE_SIZE, npages, 1);
	dmirror_user_fill(test, bench->addr + end * PAGE_SIZE,
			  nr_of(bench) - end, 1);
}

static void check_around(struct kunit *test, const struct dmirror_bench *bench,
			 unsigned long at, unsigned long npages,
			 const char *step)
{
	unsigned long end = at + npages;

	dmirror_user_check(test, bench->addr, at, 1, step);
	dmirror_user_check(test, bench->addr + end * PAGE_SIZE,
			   nr_of(bench) - end, 1, step);
}

/* In memory, as one large folio, full of pattern 1. */
static struct dmirror_bench bench_get(struct kunit *test)
{
	struct dmirror_bench bench = bench_empty(test);

	dmirror_user_fill(test, bench.addr, nr_of(&bench), 1);
	settle(test, &bench);
	expect_folio(test, &bench, bench.devmem->large_order, false,
		     "before anything was done");

	return bench;
}

/* On the device, as one large folio. */
static struct dmirror_bench bench_out(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long nr = nr_of(&bench);

	bench_to_device(test, &bench, bench.addr, nr);
	expect_folio(test, &bench, bench.devmem->large_order, true,
		     "after the migration");
	bench_expect_all(test, &bench, bench.addr, nr, DEV_W | LARGE,
			 "after the migration");
	bench_expect_out(test, &bench, nr, "after the migration");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->stats.allocs, 1UL,
			    "folios taken for one large one");

	return bench;
}

static void read_one_byte(struct kunit *test, unsigned long addr)
{
	u8 byte;

	KUNIT_EXPECT_EQ_MSG(test, copy_from_user(&byte, (void __user *)addr, 1),
			    0UL, "bytes not read at 0x%lx", addr);
}

static void one_fault_brings_the_whole_home(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long nr = nr_of(&bench);

	bench_expect_anon(test, nr, "on the device");
	read_one_byte(test, bench.addr + 3 * PAGE_SIZE);
	bench_expect_out(test, &bench, 0, "after the CPU read one byte");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->stats.frees, 1UL,
			    "folios that came back");
	expect_folio(test, &bench, bench.devmem->large_order, false,
		     "after the CPU read one byte");
	dmirror_user_check(test, bench.addr, nr, 1, "after the CPU read");
	bench_expect_anon(test, nr, "after the CPU read");
	bench_expect_all(test, &bench, bench.addr, nr, RAM_W | LARGE,
			 "after the CPU read");
}

static void comes_back_whole_on_request(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long nr = nr_of(&bench);

	bench_to_ram(test, &bench, bench.addr, nr, nr);
	bench_expect_out(test, &bench, 0, "after the request");
	expect_folio(test, &bench, bench.devmem->large_order, false,
		     "after the request");
	dmirror_user_check(test, bench.addr, nr, 1, "after the request");
}

static void device_works_on_a_large_folio(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long nr = nr_of(&bench), at = nr / 2 + 5;

	dmirror_device_read(test, bench.mirror, bench.addr, nr, 1,
			    "on its own memory");
	bench_to_ram(test, &bench, bench.addr, nr, nr);
	fill_around(test, &bench, at, 7);
	bench_to_device(test, &bench, bench.addr, nr);
	dmirror_device_write(test, bench.mirror, bench.addr + at * PAGE_SIZE,
			     7, 2, "on its own memory");
	bench_expect_out(test, &bench, nr, "after the device wrote");
	check_around(test, &bench, at, 7, "around what the device wrote");
	dmirror_user_check(test, bench.addr + at * PAGE_SIZE, 7, 2,
			   "what the device wrote");
}

/*
 * hmm_range_fault() has to say which page of the folio is at an address. Up to
 * 7.3 it counts from the folio's first one wherever the range begins.
 */
static void range_inside_a_device_folio_finds_its_pages(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long i, at = 5, head;
	struct page *first, *pages[3];

	dmirror_cpu_pages(test, bench.mirror, bench.addr, &first, 1);
	head = page_to_pfn(first);
	dmirror_cpu_pages(test, bench.mirror, bench.addr + at * PAGE_SIZE,
			  pages, ARRAY_SIZE(pages));
	if (pages[0] == first && pages[1] == first + 1)
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() inside a device folio");
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		KUNIT_ASSERT_NOT_NULL(test, pages[i]);
		KUNIT_EXPECT_EQ_MSG(test, page_to_pfn(pages[i]) - head, at + i,
				    "index in its folio of the page at 0x%lx",
				    bench.addr + (at + i) * PAGE_SIZE);
	}
}

/* A request for a part cuts the folio; the rest stays what and where it is. */
static void part_of_a_system_folio_moves(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long nr = nr_of(&bench), at = nr / 4;

	bench_to_device(test, &bench, bench.addr + at * PAGE_SIZE, 3);
	bench_expect_all(test, &bench, bench.addr, at, RAM_W, "before");
	bench_expect_all(test, &bench, bench.addr + at * PAGE_SIZE, 3, DEV_W,
			 "the part");
	bench_expect_all(test, &bench, bench.addr + (at + 3) * PAGE_SIZE,
			 nr - at - 3, RAM_W, "after");
	bench_expect_out(test, &bench, 3, "after the migration of three");
	dmirror_user_check(test, bench.addr, nr, 1, "afterwards");
}

static void part_of_a_device_folio_comes_back(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long nr = nr_of(&bench), at = nr / 2;

	bench_to_ram(test, &bench, bench.addr + at * PAGE_SIZE, 3, 3);
	bench_expect_out(test, &bench, nr - 3, "after three came back");
	bench_expect_all(test, &bench, bench.addr, at, DEV_W, "before");
	bench_expect_all(test, &bench, bench.addr + at * PAGE_SIZE, 3, RAM_W,
			 "the part");
	dmirror_device_read(test, bench.mirror, bench.addr, nr, 1,
			    "of both parts");
	dmirror_user_check(test, bench.addr, nr, 1, "afterwards");
	bench_expect_out(test, &bench, 0, "afterwards");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->nr_whole, 2UL,
			    "spans that are whole again");
}

static void hole_becomes_a_large_folio_of_zeroes(struct kunit *test)
{
	struct dmirror_bench bench = bench_empty(test);
	unsigned long nr = nr_of(&bench);

	bench_to_device(test, &bench, bench.addr, nr);
	expect_folio(test, &bench, bench.devmem->large_order, true,
		     "never touched");
	dmirror_device_read(test, bench.mirror, bench.addr, nr, 0,
			    "never touched");
	dmirror_user_check(test, bench.addr, nr, 0, "never touched");
}

static void snapshot_knows_the_huge_zero_folio(struct kunit *test)
{
	struct dmirror_bench bench = bench_empty(test);

	read_one_byte(test, bench.addr);
	settle(test, &bench);
	bench_expect_all(test, &bench, bench.addr, nr_of(&bench),
			 HMM_DMIRROR_PROT_ZERO | HMM_DMIRROR_PROT_READ | LARGE,
			 "after the CPU read one byte");
}

static void huge_zero_folio_becomes_one_of_the_device(struct kunit *test)
{
	struct dmirror_bench bench = bench_empty(test);
	unsigned long nr = nr_of(&bench);

	read_one_byte(test, bench.addr);
	settle(test, &bench);
	bench_to_device(test, &bench, bench.addr, nr);
	expect_folio(test, &bench, bench.devmem->large_order, true,
		     "was the zero page");
	dmirror_user_check(test, bench.addr, nr, 0, "was the zero page");
	bench_expect_out(test, &bench, 0, "afterwards");
}

/**
 * struct shortage - why there is no large folio
 * @name: in the case's name
 * @point: what fails, or DMIRROR_INJECT_NR for the flag of the ABI
 */
struct shortage {
	const char *name;
	enum dmirror_inject_point point;
};

static const struct shortage to_device_shortages[] = {
	{ "flag", DMIRROR_INJECT_NR },
	{ "block", DMIRROR_INJECT_BLOCK_ALLOC },
	{ "backing", DMIRROR_INJECT_BACKING_ALLOC },
};

static const struct shortage to_ram_shortages[] = {
	{ "flag", DMIRROR_INJECT_NR },
	{ "ram", DMIRROR_INJECT_RAM_LARGE_ALLOC },
};

KUNIT_ARRAY_PARAM_DESC(to_device_shortage, to_device_shortages, name);
KUNIT_ARRAY_PARAM_DESC(to_ram_shortage, to_ram_shortages, name);

static void arm(struct kunit *test, const struct dmirror_bench *bench)
{
	const struct shortage *shortage = test->param_value;

	if (shortage->point == DMIRROR_INJECT_NR)
		set_bit(DMIRROR_MIRROR_FAIL_LARGE, &bench->mirror->flags);
	else
		dmirror_inject_arm(shortage->point, 1);
}

static void goes_in_pages_without_a_large_one(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long nr = nr_of(&bench);

	arm(test, &bench);
	bench_to_device(test, &bench, bench.addr, nr);
	bench_expect_all(test, &bench, bench.addr, nr, DEV_W, "in pages");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->stats.allocs, nr,
			    "folios taken");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->stats.reserved, 0UL,
			    "pages still reserved");
	dmirror_user_check(test, bench.addr, nr, 1, "afterwards");
}

static void hole_goes_in_pages_without_a_large_one(struct kunit *test)
{
	struct dmirror_bench bench = bench_empty(test);
	unsigned long nr = nr_of(&bench);

	settle(test, &bench);
	arm(test, &bench);
	bench_to_device(test, &bench, bench.addr, nr);
	bench_expect_all(test, &bench, bench.addr, nr, DEV_W, "in pages");
	dmirror_user_check(test, bench.addr, nr, 0, "afterwards");
}

static void comes_in_pages_without_a_large_one(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long nr = nr_of(&bench);

	arm(test, &bench);
	bench_to_ram(test, &bench, bench.addr, nr, nr);
	bench_expect_out(test, &bench, 0, "after the request");
	expect_folio(test, &bench, 0, false, "after the request");
	dmirror_user_check(test, bench.addr, nr, 1, "after the request");
}

/*
 * Core mm cannot split the folio on which it faults on its way, but maps it by
 * pages, so that the next try brings one home and leaves the rest.
 */
static void fault_without_a_large_one_brings_a_page(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long nr = nr_of(&bench);

	dmirror_inject_arm(DMIRROR_INJECT_RAM_LARGE_ALLOC, 1);
	read_one_byte(test, bench.addr);
	bench_expect_out(test, &bench, nr - 1, "after the fault");
	expect_folio(test, &bench, 0, false, "after the fault");
	bench_expect_all(test, &bench, bench.addr + PAGE_SIZE, nr - 1, DEV_W,
			 "the rest");
	dmirror_user_check(test, bench.addr, nr, 1, "after the fault");
	bench_expect_out(test, &bench, 0, "after the CPU read every page");
}

static void fault_without_arrays_changes_nothing(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long nr = nr_of(&bench);

	dmirror_inject_arm(DMIRROR_INJECT_ARRAY_ALLOC, 1);
	DMIRROR_EXPECT_ERRNO(test, bench_cpu_fault(bench.addr), -ENOMEM,
			     "CPU fault without memory for its arrays");
	expect_folio(test, &bench, bench.devmem->large_order, true,
		     "after the fault");
	bench_expect_all(test, &bench, bench.addr, nr, DEV_W | LARGE,
			 "after the fault");
	dmirror_user_check(test, bench.addr, nr, 1, "with memory again");
	bench_expect_out(test, &bench, 0, "with memory again");
}

/* A page that fails in the middle stays; the others have moved. */
static void failure_in_the_middle_leaves_one_page(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long nr = nr_of(&bench);

	set_bit(DMIRROR_MIRROR_FAIL_LARGE, &bench.mirror->flags);
	dmirror_inject_arm(DMIRROR_INJECT_BACKING_ALLOC, 6);
	bench_to_device_part(test, &bench, bench.addr, nr, nr - 1);
	bench_expect_all(test, &bench, bench.addr + 5 * PAGE_SIZE, 1, RAM_W,
			 "the page that failed");
	bench_expect_out(test, &bench, nr - 1, "after the migration");
	dmirror_user_check(test, bench.addr, nr, 1, "afterwards");
}

/* Core mm splits nothing unless its first page has somewhere to go. */
static void first_page_unread_leaves_all(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long nr = nr_of(&bench);

	set_bit(DMIRROR_MIRROR_FAIL_LARGE, &bench.mirror->flags);
	dmirror_inject_arm(DMIRROR_INJECT_COPY, 1);
	bench_to_device_part(test, &bench, bench.addr, nr, 0);
	bench_expect_out(test, &bench, 0, "after the migration");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->stats.reserved, 0UL,
			    "pages still reserved");
	bench_expect_all(test, &bench, bench.addr, nr, RAM_W | LARGE,
			 "after the migration");
	dmirror_user_check(test, bench.addr, nr, 1, "afterwards");
}

/* Of a hole either all pages go or none. */
static void hole_that_fails_in_the_middle_stays_a_hole(struct kunit *test)
{
	struct dmirror_bench bench = bench_empty(test);
	unsigned long nr = nr_of(&bench);

	set_bit(DMIRROR_MIRROR_FAIL_LARGE, &bench.mirror->flags);
	dmirror_inject_arm(DMIRROR_INJECT_BACKING_ALLOC, 6);
	bench_to_device_part(test, &bench, bench.addr, nr, 0);
	bench_expect_out(test, &bench, 0, "after the migration");
	bench_expect_anon(test, 0, "after the migration");
	dmirror_user_check(test, bench.addr, nr, 0, "afterwards");
}

static void eviction_brings_it_home_whole(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);

	bench_evict(test, &bench);
	expect_folio(test, &bench, bench.devmem->large_order, false,
		     "after eviction");
	dmirror_user_check(test, bench.addr, nr_of(&bench), 1,
			   "after eviction");
}

static void eviction_cuts_what_has_no_large_folio(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);

	dmirror_inject_arm(DMIRROR_INJECT_RAM_LARGE_ALLOC, 1);
	bench_evict(test, &bench);
	expect_folio(test, &bench, 0, false, "after eviction");
	dmirror_user_check(test, bench.addr, nr_of(&bench), 1,
			   "after eviction");
}

static void munmap_of_a_part_cuts_the_device_folio(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long nr = nr_of(&bench), at = nr / 2;

	fill_around(test, &bench, at, 4);
	bench_to_device(test, &bench, bench.addr, nr);
	dmirror_user_unmap(test, bench.addr + at * PAGE_SIZE, 4);
	dmirror_device_read(test, bench.mirror, bench.addr, at, 1,
			    "before the part unmapped");
	check_around(test, &bench, at, 4, "around the part unmapped");
	bench_expect_out(test, &bench, 0, "when all the rest came home");
	bench_expect_anon(test, nr - 4, "afterwards");
}

static void mprotect_of_a_part_keeps_the_data(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long nr = nr_of(&bench), at = nr / 2;
	u8 byte = 0;

	dmirror_user_protect(test, bench.addr + at * PAGE_SIZE, 4, PROT_READ);
	dmirror_device_read(test, bench.mirror, bench.addr, nr, 1,
			    "after mprotect of a part");
	KUNIT_EXPECT_EQ_MSG(test, copy_to_user((void __user *)bench.addr +
					       at * PAGE_SIZE, &byte, 1),
			    1UL, "bytes that could not be written");
	dmirror_user_check(test, bench.addr, nr, 1, "after mprotect");
}

static int child_reads(void *data)
{
	const struct dmirror_bench *bench = data;
	u64 word;
	unsigned long i;

	for (i = 0; i < nr_of(bench); i++)
		if (copy_from_user(&word, (void __user *)bench->addr +
				   i * PAGE_SIZE, sizeof(word)))
			return -EFAULT;

	return 0;
}

static void child_brings_it_home_for_both(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);
	unsigned long nr = nr_of(&bench);
	struct user_child child;
	int forked, ret = 0;

	forked = user_fork(&child);
	if (!forked) {
		ret = user_ask(&child, child_reads, &bench);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "what the child did");
	bench_expect_out(test, &bench, 0, "after the child read every page");
	dmirror_user_check(test, bench.addr, nr, 1, "after the child exited");
	dmirror_user_fill(test, bench.addr, nr, 2);
	dmirror_user_check(test, bench.addr, nr, 2, "after the parent wrote");
}

static void exit_frees_it(struct kunit *test)
{
	struct dmirror_bench bench = bench_out(test);

	dmirror_user_exit(test);
	bench_expect_out(test, &bench, 0, "after exit_mmap()");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->nr_whole, 2UL,
			    "spans that are whole");
}

/* Only single pages are left: it goes in as many as there are. */
static void full_device_takes_a_part(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long nr = nr_of(&bench), moved = 0;
	struct dmirror_resv resv = { };

	DMIRROR_ASSERT_OK(test,
			  dmirror_devmem_reserve(bench.devmem, 2 * nr - 10, 0,
						 &resv), "reserve");
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror,
							     bench.addr, nr,
							     &moved),
			     -ENOSPC, "migration with room for ten pages");
	KUNIT_EXPECT_EQ_MSG(test, moved, 10UL, "pages moved");
	dmirror_devmem_unreserve(&resv);
	dmirror_user_check(test, bench.addr, nr, 1, "afterwards");
}

static struct kunit_case thp_cases[] = {
	KUNIT_CASE(one_fault_brings_the_whole_home),
	KUNIT_CASE(comes_back_whole_on_request),
	KUNIT_CASE(device_works_on_a_large_folio),
	KUNIT_CASE(range_inside_a_device_folio_finds_its_pages),
	KUNIT_CASE(part_of_a_system_folio_moves),
	KUNIT_CASE(part_of_a_device_folio_comes_back),
	KUNIT_CASE(hole_becomes_a_large_folio_of_zeroes),
	KUNIT_CASE(snapshot_knows_the_huge_zero_folio),
	KUNIT_CASE(huge_zero_folio_becomes_one_of_the_device),
	KUNIT_CASE_PARAM(goes_in_pages_without_a_large_one,
			 to_device_shortage_gen_params),
	KUNIT_CASE_PARAM(hole_goes_in_pages_without_a_large_one,
			 to_device_shortage_gen_params),
	KUNIT_CASE_PARAM(comes_in_pages_without_a_large_one,
			 to_ram_shortage_gen_params),
	KUNIT_CASE(fault_without_a_large_one_brings_a_page),
	KUNIT_CASE(fault_without_arrays_changes_nothing),
	KUNIT_CASE(failure_in_the_middle_leaves_one_page),
	KUNIT_CASE(first_page_unread_leaves_all),
	KUNIT_CASE(hole_that_fails_in_the_middle_stays_a_hole),
	KUNIT_CASE(eviction_brings_it_home_whole),
	KUNIT_CASE(eviction_cuts_what_has_no_large_folio),
	KUNIT_CASE(munmap_of_a_part_cuts_the_device_folio),
	KUNIT_CASE(mprotect_of_a_part_keeps_the_data),
	KUNIT_CASE(child_brings_it_home_for_both),
	KUNIT_CASE(exit_frees_it),
	KUNIT_CASE(full_device_takes_a_part),
	{}
};

DMIRROR_SUITE(thp, dmirror_fixture_init_mm, thp_cases);
