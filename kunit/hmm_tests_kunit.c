// SPDX-License-Identifier: GPL-2.0
/*
 * Scenarios of tools/testing/selftests/mm/hmm-tests.c which no other suite has
 * as they are: Documentation/hmm-tests.rst has the pairs. Each comment names
 * the scenario.
 */
#include "mirror_fixture.h"

#include <linux/huge_mm.h>
#include <linux/memremap.h>
#include <linux/mman.h>

#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/uapi.h"
#include "bench.h"
#include "hugetlb.h"
#include "model_user.h"
#include "other.h"
#include "private_devmem.h"
#include "race.h"
#include "uffd.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

static void expect_read(struct kunit *test, struct dmirror_mirror *mirror,
			unsigned long addr, unsigned long npages,
			const char *step)
{
	struct dmirror_access_result result;
	void *buf = dmirror_buf(test, npages);

	DMIRROR_EXPECT_ERRNO(test, dmirror_access_read(mirror, addr, npages,
						       buf, NULL, &result),
			     0, step);
	KUNIT_EXPECT_EQ_MSG(test, result.cpages, npages, "pages, %s", step);
	KUNIT_EXPECT_EQ_MSG(test, result.faults, 1UL, "faults, %s", step);
	dmirror_buf_check(test, buf, addr, npages, 1, step);
}

/*
 * double_map: two devices read what is read-only, then it migrates to the
 * second one, and the first one reads it again.
 */
static void pages_of_one_device_are_read_by_another(struct kunit *test)
{
	struct dmirror_bench one, two;

	DMIRROR_REQUIRES_BUILTIN(test);
	one = bench_get_private(test, 6);
	two = bench_on(test, dmirror_private_get(test, 0, PRIVATE_CHUNK, 1),
		       one.addr);
	dmirror_user_protect(test, one.addr, 6, PROT_READ);
	expect_read(test, one.mirror, one.addr, 6, "read by device 0");
	expect_read(test, two.mirror, one.addr, 6, "read by device 1");
	bench_to_device(test, &two, one.addr, 6);
	dmirror_expect_pt(test, one.mirror, one.addr, "------",
			  "of device 0, when they are on device 1");
	expect_read(test, one.mirror, one.addr, 6,
		    "read by device 0 of what was on device 1");
	bench_expect_out(test, &two, 0, "after device 0 read");
	bench_expect_out(test, &one, 0, "after device 0 read");
	dmirror_expect_pt(test, one.mirror, one.addr, "rrrrrr",
			  "of device 0, after the read");
	dmirror_user_check(test, one.addr, 6, 1, "afterwards");
}

static void expect_no_migration(struct kunit *test,
				const struct dmirror_bench *bench,
				unsigned long addr, unsigned long npages,
				const char *step)
{
	unsigned long moved = 99;
	int ret = dmirror_migrate_to_devmem(bench->mirror, addr, npages,
					    &moved);

	DMIRROR_EXPECT_ERRNO(test, ret, -EINVAL, step);
	KUNIT_EXPECT_EQ_MSG(test, moved, 0UL,
			    "0x%lx, %s: got %lu pages moved wanted 0", addr,
			    step, moved);
	bench_expect_out(test, bench, 0, step);
}

/*
 * migrate_mixed: what cannot be read, a hole, a zero page, a read-only page and
 * two ordinary ones, of which one is on another device then.
 */
static void mixed_pages_on_two_devices(struct kunit *test)
{
	struct dmirror_bench one, two;
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	one = bench_get_private(test, 6);
	two = bench_on(test, dmirror_private_get(test, 0, PRIVATE_CHUNK, 1),
		       one.addr);
	addr = one.addr;
	dmirror_user_map_over(test, addr, 6, PROT_NONE);
	expect_no_migration(test, &two, addr, 6, "what cannot be read");
	dmirror_user_unmap(test, addr + PAGE_SIZE, 1);
	expect_no_migration(test, &two, addr, 3, "a hole");

	addr += 2 * PAGE_SIZE;
	dmirror_user_protect(test, addr, 4, RW);
	dmirror_user_fill(test, addr + PAGE_SIZE, 3, 1);
	dmirror_user_protect(test, addr, 2, PROT_READ);
	dmirror_user_touch(test, addr, 1);
	bench_to_device(test, &two, addr, 4);
	bench_expect_out(test, &two, 4, "of four kinds");
	bench_to_device_part(test, &one, addr + 3 * PAGE_SIZE, 1, 0);
	bench_expect_out(test, &two, 4, "after another device wanted one");
	dmirror_user_check(test, addr, 1, 0, "the zero page");
	dmirror_user_check(test, addr + PAGE_SIZE, 3, 1, "the others");
	bench_expect_out(test, &two, 0, "after the CPU read all");
}

/**
 * struct untouched - memory that nobody has used yet
 * @name: in the case's name
 * @large: it is to be one huge page
 * @map: maps it
 * @nr: how many pages of it are used
 */
struct untouched {
	const char *name;
	bool large;
	unsigned long (*map)(struct kunit *test);
	unsigned long (*nr)(void);
};

#define UNTOUCHED 8UL

static unsigned long small_nr(void)
{
	return UNTOUCHED;
}

static unsigned long small_map(struct kunit *test)
{
	return dmirror_user_map(test, UNTOUCHED, RW);
}

static unsigned long huge_nr(void)
{
	return 1UL << PMD_ORDER;
}

static unsigned long huge_map(struct kunit *test)
{
	unsigned long size = PAGE_SIZE << PMD_ORDER, addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ||
	    !thp_migration_supported())
		kunit_skip(test, "needs huge pages");
	addr = ALIGN(dmirror_user_map(test, 2 * huge_nr(), RW), size);
	DMIRROR_ASSERT_OK(test, user_madvise(addr, size, MADV_HUGEPAGE),
			  "madvise(MADV_HUGEPAGE)");

	return addr;
}

static const struct untouched untouched[] = {
	{ "small_pages", false, small_map, small_nr },
	{ "huge_page", true, huge_map, huge_nr },
	{ "hugetlb_page", true, hugetlb_map, hugetlb_nr },
};

KUNIT_ARRAY_PARAM_DESC(untouched, untouched, name);

static u8 prot_of_size(unsigned long npages)
{
	return npages << PAGE_SHIFT == PUD_SIZE ? HMM_DMIRROR_PROT_PUD :
						  HMM_DMIRROR_PROT_PMD;
}

/*
 * anon_write, anon_write_huge and anon_write_hugetlbfs: the device's store is
 * the first that is heard of the memory.
 */
static void device_writes_where_nothing_was(struct kunit *test)
{
	const struct untouched *memory = test->param_value;
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = memory->map(test), nr = memory->nr();
	u8 *want = kunit_kmalloc(test, nr, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, want);
	memset(want, HMM_DMIRROR_PROT_NONE, nr);
	dmirror_expect_snapshot(test, mirror, addr, want, nr, "untouched");
	dmirror_device_write(test, mirror, addr, nr, 2, "where nothing was");
	memset(want, HMM_DMIRROR_PROT_WRITE |
	       (memory->large ? prot_of_size(nr) : 0), nr);
	dmirror_expect_snapshot(test, mirror, addr, want, nr,
				"after the device wrote");
	dmirror_user_check(test, addr, nr, 2, "what the device wrote");
}

/* Pages of a read that goes on in batches of 64. */
#define LONG_READ 200UL

/**
 * struct teardown - munmap() while a device reads
 * @name: in the case's name
 * @first: first page that goes; all behind it go too
 * @call: in which call of hmm_range_fault(), from 0
 * @pages: how many are read all the same
 */
struct teardown {
	const char *name;
	unsigned long first;
	unsigned int call;
	unsigned long pages;
};

static const struct teardown teardowns[] = {
	{ "all_in_the_first_batch", 0, 0, 0 },
	{ "all_in_the_second_batch", 0, 1, 0 },
	{ "all_in_the_last_batch", 0, 3, 0 },
	{ "second_half_in_the_first_batch", 128, 0, 128 },
	{ "second_half_in_the_last_batch", 128, 3, 128 },
	{ "last_page_in_the_last_batch", LONG_READ - 1, 3, 192 },
};

KUNIT_ARRAY_PARAM_DESC(teardown, teardowns, name);

/* The end of the range that is read; of the case that runs. */
static unsigned long teardown_end;

static int unmap_to_the_end(unsigned long addr)
{
	return vm_munmap(addr, teardown_end - addr);
}

/*
 * anon_teardown: munmap() of what a device reads. What it has read is right, and
 * it reads nothing that is gone.
 */
static void unmap_during_a_read(struct kunit *test)
{
	const struct teardown *teardown = test->param_value;
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, LONG_READ, RW);
	struct dmirror_race race = {
		.disturb = unmap_to_the_end,
		.addr = addr + teardown->first * PAGE_SIZE,
		.from = teardown->call,
		.times = 1,
	};
	void *buf = dmirror_buf(test, LONG_READ);
	struct dmirror_access_result result;
	int ret;

	dmirror_user_fill(test, addr, LONG_READ, 1);
	teardown_end = addr + LONG_READ * PAGE_SIZE;
	dmirror_race_with(test, &race);
	ret = dmirror_access_read(mirror, addr, LONG_READ, buf, NULL, &result);
	DMIRROR_EXPECT_ERRNO(test, race.error, 0, "munmap");
	KUNIT_EXPECT_EQ_MSG(test, race.times, 0U, "munmap that is to come");
	DMIRROR_EXPECT_ERRNO(test, ret, -EFAULT, "read");
	KUNIT_EXPECT_EQ_MSG(test, result.cpages, teardown->pages, "pages read");
	dmirror_buf_check(test, buf, addr, result.cpages, 1,
			  "before what is gone");
	KUNIT_EXPECT_EQ_MSG(test,
			    *((u8 *)buf + (result.cpages << PAGE_SHIFT)), 0xa5,
			    "first byte of the page behind what was read");
}

/* Of a range, of which any quarter may go. */
#define QUARTERS 4

/* A quarter of a small range. */
#define SMALL_QUARTER 8UL

/**
 * struct area - a range on the device, in quarters with a pattern of each
 * @bench: the device, and the range's address
 * @quarter: pages of a quarter
 * @large: it is one large folio
 */
struct area {
	struct dmirror_bench bench;
	unsigned long quarter;
	bool large;
};

static unsigned long area_size(const struct area *area)
{
	return QUARTERS * area->quarter * PAGE_SIZE;
}

static unsigned int order_of(struct kunit *test, bool large)
{
	unsigned int order;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	if (!large)
		return 0;
	DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
	order = dmirror_mm_large_order(MEMORY_DEVICE_PRIVATE);
	if (!order)
		kunit_skip(test, "needs migration of large folios");

	return order;
}

/* In system memory, with room for three more behind it. */
static struct area area_get(struct kunit *test, bool large)
{
	struct area area = { .large = large };
	unsigned int order = order_of(test, large), i;
	unsigned long chunk = max(PRIVATE_CHUNK, 2UL << order);

	area.quarter = large ? (1UL << order) / QUARTERS : SMALL_QUARTER;
	area.bench.devmem = dmirror_private_get(test, order, chunk, 1);
	area.bench.mirror = dmirror_mirror_get(test, area.bench.devmem);
	area.bench.addr = ALIGN(dmirror_user_map(test, 5 * QUARTERS *
						 area.quarter, RW),
				area_size(&area));
	if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		DMIRROR_ASSERT_OK(test,
				  user_madvise(area.bench.addr,
					       area_size(&area), large ?
					       MADV_HUGEPAGE : MADV_NOHUGEPAGE),
				  "madvise");
	for (i = 0; i < QUARTERS; i++)
		dmirror_user_fill(test, area.bench.addr +
				  i * area.quarter * PAGE_SIZE, area.quarter,
				  i + 1);

	return area;
}

static void area_to_device(struct kunit *test, const struct area *area,
			   unsigned long addr)
{
	unsigned long nr = QUARTERS * area->quarter;
	struct page *page;

	bench_to_device(test, &area->bench, addr, nr);
	bench_expect_out(test, &area->bench, nr, "on the device");
	if (!area->large || !IS_ALIGNED(addr, area_size(area)))
		return;
	dmirror_cpu_pages(test, area->bench.mirror, addr, &page, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ_MSG(test, folio_order(page_folio(page)),
			    area->bench.devmem->large_order,
			    "order of the folio at 0x%lx", addr);
}

static void area_check(struct kunit *test, const struct area *area,
		       unsigned long addr, unsigned int quarter,
		       const char *step)
{
	dmirror_user_check(test, addr + quarter * area->quarter * PAGE_SIZE,
			   area->quarter, quarter + 1, step);
}

/**
 * struct half - half of a range is unmapped
 * @name: in the case's name
 * @large: of one large folio
 * @first: first quarter that goes; the next one goes too
 */
struct half {
	const char *name;
	bool large;
	unsigned int first;
};

static const struct half halves[] = {
	{ "small_first", false, 0 },
	{ "small_middle", false, 1 },
	{ "small_last", false, 2 },
	{ "large_first", true, 0 },
	{ "large_middle", true, 1 },
	{ "large_last", true, 2 },
};

KUNIT_ARRAY_PARAM_DESC(half, halves, name);

/* migrate_partial_unmap_fault: what is left comes home, page by page. */
static void half_is_unmapped_on_the_device(struct kunit *test)
{
	const struct half *half = test->param_value;
	struct area area = area_get(test, half->large);
	unsigned long size = area_size(&area);
	unsigned int i;

	area_to_device(test, &area, area.bench.addr);
	dmirror_user_unmap(test, area.bench.addr + half->first * size /
			   QUARTERS, 2 * area.quarter);
	bench_expect_anon(test, 2 * area.quarter, "after munmap of a half");
	for (i = 0; i < QUARTERS; i++)
		if (i < half->first || i > half->first + 1)
			area_check(test, &area, area.bench.addr, i,
				   "beside what was unmapped");
	bench_expect_out(test, &area.bench, 0, "after the CPU read the rest");
	bench_expect_anon(test, 2 * area.quarter, "afterwards");
}

/* Every order of the two, with and without MREMAP_DONTUNMAP. */
#define REMAP_OFFSETS 3
#define NR_REMAPS (2 * 2 * 2 * REMAP_OFFSETS)

/**
 * struct remap - a parameter
 * @large: of one large folio
 * @before: mremap() comes first, and then the migration
 * @keep: the old mapping stays, and is empty
 * @quarters: the new place is so much further than the next aligned one
 */
struct remap {
	bool large;
	bool before;
	bool keep;
	unsigned int quarters;
};

/* A parameter is its number, from 1 on: there is no table of them. */
static struct remap remap_nr(unsigned long nr)
{
	nr--;
	return (struct remap){
		.large = nr / (4 * REMAP_OFFSETS),
		.before = nr / (2 * REMAP_OFFSETS) % 2,
		.keep = nr / REMAP_OFFSETS % 2,
		.quarters = nr % REMAP_OFFSETS,
	};
}

static const void *remap_gen_params(struct kunit *test, const void *prev,
				    char *desc)
{
	unsigned long nr = (unsigned long)prev + 1;
	struct remap remap = remap_nr(nr);

	if (nr > NR_REMAPS)
		return NULL;
	scnprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s_%s%s_quarter_%u",
		  remap.large ? "large" : "small",
		  remap.before ? "before_it_goes" : "on_the_device",
		  remap.keep ? "_kept" : "", remap.quarters);

	return (void *)nr;
}

static void every_remap_is_tried(struct kunit *test)
{
	dmirror_expect_params(test, remap_gen_params, 24,
			      "sizes, orders, kept or not, offsets");
}

/* migrate_remap_fault: mremap() before or after the migration to the device. */
static void remapped_range_comes_home(struct kunit *test)
{
	struct remap remap = remap_nr((unsigned long)test->param_value);
	struct area area = area_get(test, remap.large);
	unsigned long size = area_size(&area), from = area.bench.addr, to;
	unsigned int i;
	int ret;

	to = from + size + remap.quarters * size / QUARTERS;
	if (!remap.before)
		area_to_device(test, &area, from);
	ret = model_user_remap(from, size, to, remap.keep);
	if (ret == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call mremap()");
	DMIRROR_ASSERT_OK(test, ret, "mremap");
	if (remap.before)
		area_to_device(test, &area, to);
	bench_expect_out(test, &area.bench, QUARTERS * area.quarter,
			 "after both");
	for (i = 0; i < QUARTERS; i++)
		area_check(test, &area, to, i, "in the new place");
	bench_expect_out(test, &area.bench, 0, "after the CPU read it");
	if (remap.keep)
		dmirror_user_check(test, from, QUARTERS * area.quarter, 0,
				   "in the old place");
}

/* Pages that are read, and that somebody has to put there. */
#define MISSING 4UL

static long read_unlocked(struct other *other)
{
	const struct dmirror_access_opts opts = { .unlocked = true };
	struct dmirror_access_result result;
	void **args = other->data;
	int ret;

	ret = dmirror_access_read(args[0], other->addr, other->nr, args[1],
				  &opts, &result);

	return ret ?: result.cpages;
}

/* How long the reader may take to ask for the next page. */
#define READER_TICKS (10 * HZ)

/*
 * Fills what the reader is waiting for, until it is done; if that fails, it has
 * to be woken by other means.
 */
static unsigned int fill_for(struct other *reader, struct uffd *uffd,
			     unsigned long from, int *error)
{
	unsigned long addr, deadline = jiffies + READER_TICKS;
	unsigned int filled = 0;

	while (!*error && !completion_done(&reader->done)) {
		if (uffd_read(uffd, &addr)) {
			addr &= PAGE_MASK;
			*error = uffd_copy(uffd, addr, from +
					   (addr - reader->addr));
			filled++;
			deadline = jiffies + READER_TICKS;
		} else if (time_after(jiffies, deadline)) {
			*error = -ETIME;
		}
		/* On one CPU the reader could not run otherwise. */
		cond_resched();
	}

	return filled;
}

/* userfaultfd_read: each page of a read is put there by UFFDIO_COPY. */
static void pages_come_from_userfaultfd(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	void *buf = dmirror_buf(test, MISSING);
	void *args[] = { mirror, buf };
	struct other reader = {
		.mm = dmirror_fixture(test)->mm,
		.fn = read_unlocked,
		.nr = MISSING,
		.data = args,
	};
	unsigned long from = dmirror_user_map(test, MISSING, RW);
	unsigned int filled;
	struct uffd *uffd;
	int error = 0;

	dmirror_user_fill(test, from, MISSING, 0xab);
	reader.addr = dmirror_user_map(test, MISSING, RW);
	uffd = uffd_get(test, reader.addr, MISSING,
			UFFDIO_REGISTER_MODE_MISSING, 0);
	other_start(test, &reader);
	filled = fill_for(&reader, uffd, from, &error);
	if (error)
		uffd_put(test, uffd);
	other_join(&reader);
	if (reader.ret == -EOPNOTSUPP)
		kunit_skip(test, "needs hmm_range_fault_unlocked_timeout()");
	DMIRROR_EXPECT_ERRNO(test, error, 0, "UFFDIO_COPY");
	KUNIT_EXPECT_EQ_MSG(test, filled, (unsigned int)MISSING,
			    "pages filled");
	KUNIT_ASSERT_EQ_MSG(test, reader.ret, (long)MISSING,
			    "pages that the device read, or errno");
	dmirror_buf_check(test, buf, reader.addr, MISSING, 0xab,
			  "what the device read");
	dmirror_user_check(test, reader.addr, MISSING, 0xab,
			   "what the CPU reads");
}

/* compound: a snapshot of a huge page of hugetlbfs, writable and read-only. */
static void snapshot_of_a_hugetlb_page(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = hugetlb_map(test), nr = hugetlb_nr();
	u8 level = prot_of_size(nr);
	u8 *want = kunit_kmalloc(test, nr, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, want);
	dmirror_user_fill(test, addr, nr, 1);
	memset(want, HMM_DMIRROR_PROT_WRITE | level, nr);
	dmirror_expect_snapshot(test, mirror, addr, want, nr,
				"when the CPU wrote to it");
	dmirror_user_protect(test, addr, nr, PROT_READ);
	memset(want, HMM_DMIRROR_PROT_READ | level, nr);
	dmirror_expect_snapshot(test, mirror, addr, want, nr,
				"after mprotect(PROT_READ)");
	dmirror_device_read(test, mirror, addr, nr, 1, "of the huge page");
}

static struct kunit_case hmm_tests_cases[] = {
	KUNIT_CASE(pages_of_one_device_are_read_by_another),
	KUNIT_CASE(mixed_pages_on_two_devices),
	KUNIT_CASE_PARAM(device_writes_where_nothing_was, untouched_gen_params),
	KUNIT_CASE_PARAM(unmap_during_a_read, teardown_gen_params),
	KUNIT_CASE_PARAM(half_is_unmapped_on_the_device, half_gen_params),
	KUNIT_CASE(every_remap_is_tried),
	KUNIT_CASE_PARAM(remapped_range_comes_home, remap_gen_params),
	KUNIT_CASE(pages_come_from_userfaultfd),
	KUNIT_CASE(snapshot_of_a_hugetlb_page),
	{}
};

DMIRROR_SUITE(hmm_tests, dmirror_fixture_init_mm, hmm_tests_cases);
