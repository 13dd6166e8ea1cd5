// SPDX-License-Identifier: GPL-2.0
/*
 * Real pages of a real mm to device-private memory and back: by CPU fault, on
 * request, by eviction. Data, permissions, reference counts, mm counters and
 * the device's books after every step.
 */
#include "mirror_fixture.h"

#include <kunit/static_stub.h>
#include <linux/mman.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/uapi.h"
#include "bench.h"
#include "private_devmem.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

#define DEV_W (HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_WRITE)
#define DEV_R (HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_READ)

/* Pages of most cases: more than one batch. */
#define NR 80UL

static void to_device_and_back_by_cpu_fault(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct dmirror_devmem_stats stats;
	unsigned long pfn;

	bench_expect_anon(test, NR, "before");
	bench_to_device(test, &bench, bench.addr, 64);
	pfn = dmirror_first_pfn(bench.devmem);
	bench_expect_out(test, &bench, 64, "after migration");
	bench_expect_all(test, &bench, bench.addr, 64, DEV_W, "after migration");
	bench_expect_at_rest(test, &bench, bench.addr, 64, true, "on the device");
	bench_expect_anon(test, NR, "after migration");

	dmirror_user_check(test, bench.addr, NR, 1, "read back by the CPU");
	bench_expect_out(test, &bench, 0, "after the CPU read every page");
	bench_expect_all(test, &bench, bench.addr, 64, HMM_DMIRROR_PROT_WRITE,
			 "after the CPU read every page");
	bench_expect_at_rest(test, &bench, bench.addr, 64, false, "back in memory");
	bench_expect_anon(test, NR, "after the way back");
	dmirror_devmem_stats(bench.devmem, &stats);
	KUNIT_EXPECT_EQ_MSG(test, stats.allocs, 64UL, "device pages taken");
	KUNIT_EXPECT_EQ_MSG(test, stats.frees, 64UL, "device pages freed");
	KUNIT_EXPECT_EQ_MSG(test, stats.blocks, 0UL, "backing blocks left");

	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(bench.devmem), 0,
			     "removal of the pagemap");
	dmirror_expect_pagemap_gone(test, pfn, PRIVATE_CHUNK);
	dmirror_user_check(test, bench.addr, NR, 1, "after the removal");
}

static void cpu_write_brings_one_page_back(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_device(test, &bench, bench.addr, 8);
	dmirror_user_fill(test, bench.addr + 3 * PAGE_SIZE, 1, 5);
	bench_expect_out(test, &bench, 7, "after a CPU write to page 3");
	dmirror_user_check(test, bench.addr + 3 * PAGE_SIZE, 1, 5,
			   "the page written to");
	bench_expect_out(test, &bench, 7, "after reading page 3");
	dmirror_user_check(test, bench.addr, 3, 1, "before the page written to");
	bench_expect_out(test, &bench, 4, "after reading pages 0 to 2");
}

static void to_device_and_back_on_request(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_device(test, &bench, bench.addr, NR);
	bench_to_ram(test, &bench, bench.addr, NR, NR);
	bench_expect_out(test, &bench, 0, "after the request");
	bench_expect_all(test, &bench, bench.addr, NR, HMM_DMIRROR_PROT_WRITE,
			 "after the request");
	dmirror_user_check(test, bench.addr, NR, 1, "after the request");
}

static void to_ram_moves_nothing_that_is_there(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_ram(test, &bench, bench.addr, NR, 0);
	bench_to_device(test, &bench, bench.addr + 2 * PAGE_SIZE, 3);
	bench_to_ram(test, &bench, bench.addr, NR, 3);
	dmirror_user_check(test, bench.addr, NR, 1, "afterwards");
}

static void to_device_twice(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_device(test, &bench, bench.addr, 8);
	bench_to_device_part(test, &bench, bench.addr, 8, 0);
	bench_expect_out(test, &bench, 8, "after the second migration");
	dmirror_user_check(test, bench.addr, 8, 1, "after the second migration");
}

static void eviction_brings_everything_back(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_device(test, &bench, bench.addr, NR);
	bench_evict(test, &bench);
	bench_expect_all(test, &bench, bench.addr, NR, HMM_DMIRROR_PROT_WRITE,
			 "after eviction");
	dmirror_user_check(test, bench.addr, NR, 1, "after eviction");
}

/* A page that somebody holds stays, the others go, and that is told. */
static void eviction_tells_what_it_left(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long left = 9;
	struct page *page;

	bench_to_device(test, &bench, bench.addr, 4);
	dmirror_cpu_pages(test, bench.mirror, bench.addr + PAGE_SIZE, &page, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	get_page(page);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_evict(bench.devmem, &left),
			     -EBUSY, "eviction with a page held");
	KUNIT_EXPECT_EQ(test, left, 1UL);
	put_page(page);
	dmirror_user_check(test, bench.addr, 4, 1, "after the eviction");
	bench_expect_out(test, &bench, 0, "after the CPU read the page");
}

static void device_works_on_its_own_memory(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_device_read(test, bench.mirror, bench.addr, NR, 1,
			    "on the device");
	dmirror_device_write(test, bench.mirror, bench.addr, NR, 2,
			     "on the device");
	bench_expect_out(test, &bench, NR, "after the device's accesses");
	dmirror_user_check(test, bench.addr, NR, 2,
			   "after the device wrote to its own memory");
	bench_expect_out(test, &bench, 0, "after the CPU read every page");
	dmirror_device_read(test, bench.mirror, bench.addr, NR, 2,
			    "after the pages went home");
}

/* A device access after an invalidation: test_hmm oopses here. */
static void device_reads_after_mprotect(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	DMIRROR_REQUIRES_BUILTIN(test);
	bench_to_device(test, &bench, bench.addr, 8);
	dmirror_device_write(test, bench.mirror, bench.addr, 8, 3,
			     "on the device");
	dmirror_user_protect(test, bench.addr, 8, PROT_READ);
	bench_expect_all(test, &bench, bench.addr, 8, DEV_R, "after mprotect");
	dmirror_device_read(test, bench.mirror, bench.addr, 8, 3,
			    "after mprotect(PROT_READ)");
	dmirror_user_check(test, bench.addr, 8, 3, "after mprotect(PROT_READ)");
}

static void migration_clears_old_entries(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	dmirror_device_write(test, bench.mirror, bench.addr, 8, 4, "before");
	dmirror_expect_pt(test, bench.mirror, bench.addr, "wwwwwwww", "before");
	bench_to_device(test, &bench, bench.addr + 2 * PAGE_SIZE, 4);
	dmirror_expect_pt(test, bench.mirror, bench.addr, "ww----ww",
			  "after pages 2 to 5 went to the device");
	dmirror_device_read(test, bench.mirror, bench.addr, 8, 4,
			    "after pages 2 to 5 went to the device");
	dmirror_user_touch(test, bench.addr + 3 * PAGE_SIZE, 1);
	dmirror_expect_pt(test, bench.mirror, bench.addr, "www-wwww",
			  "after page 3 went home");
}

static void untouched_pages_become_device_zeroes(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long addr = dmirror_user_map(test, 8, RW);

	dmirror_user_touch(test, addr, 2);
	bench_to_device(test, &bench, addr, 8);
	bench_expect_out(test, &bench, 8, "after migration of holes");
	bench_expect_anon(test, NR + 8, "after migration of holes");
	bench_expect_all(test, &bench, addr, 8, DEV_W, "after migration of holes");
	dmirror_device_read(test, bench.mirror, addr, 8, 0, "on the device");
	dmirror_user_fill(test, addr + PAGE_SIZE, 1, 6);
	dmirror_user_check(test, addr, 1, 0, "beside a CPU write");
	dmirror_user_check(test, addr + PAGE_SIZE, 1, 6, "after a CPU write");
	dmirror_user_check(test, addr + 2 * PAGE_SIZE, 6, 0,
			   "beside a CPU write");
}

static void read_only_stays_read_only(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	u8 __user *first = (u8 __user *)bench.addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	dmirror_user_protect(test, bench.addr, 4, PROT_READ);
	bench_to_device(test, &bench, bench.addr, 4);
	bench_expect_all(test, &bench, bench.addr, 4, DEV_R, "on the device");
	dmirror_user_check(test, bench.addr, 4, 1, "read by the CPU");
	bench_expect_all(test, &bench, bench.addr, 4, HMM_DMIRROR_PROT_READ,
			 "back in memory");
	KUNIT_EXPECT_EQ_MSG(test, put_user(1, first), -EFAULT,
			    "the CPU can write to a read-only page");
}

static void part_of_a_mapping(struct kunit *test)
{
	static const u8 want[] = {
		HMM_DMIRROR_PROT_WRITE, DEV_W, DEV_W, HMM_DMIRROR_PROT_WRITE,
	};
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_device(test, &bench, bench.addr + PAGE_SIZE, 2);
	dmirror_expect_snapshot(test, bench.mirror, bench.addr, want, 4,
				"after migration of pages 1 and 2");
	dmirror_user_check(test, bench.addr, NR, 1, "afterwards");
}

static void several_mappings(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	DMIRROR_REQUIRES_BUILTIN(test);
	dmirror_user_protect(test, bench.addr + 10 * PAGE_SIZE, 10, PROT_READ);
	bench_to_device(test, &bench, bench.addr, NR);
	bench_expect_all(test, &bench, bench.addr, 10, DEV_W, "first mapping");
	bench_expect_all(test, &bench, bench.addr + 10 * PAGE_SIZE, 10, DEV_R,
			 "second mapping");
	bench_expect_all(test, &bench, bench.addr + 20 * PAGE_SIZE, 10, DEV_W,
			 "third mapping");
	dmirror_user_check(test, bench.addr, NR, 1, "afterwards");
}

static void stops_at_a_hole_and_tells(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long moved = 99;

	dmirror_user_unmap(test, bench.addr + 5 * PAGE_SIZE, 1);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror,
							     bench.addr, 10,
							     &moved),
			     -EINVAL, "migration with a hole at page 5");
	KUNIT_EXPECT_EQ_MSG(test, moved, 5UL, "pages before the hole");
	bench_expect_out(test, &bench, 5, "after the failure");
	dmirror_user_check(test, bench.addr, 5, 1, "before the hole");
}

static void munmap_frees_device_pages(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_device(test, &bench, bench.addr, 16);
	dmirror_user_unmap(test, bench.addr + 4 * PAGE_SIZE, 8);
	bench_expect_out(test, &bench, 8, "after munmap of 8 of 16");
	dmirror_user_check(test, bench.addr, 4, 1, "before the part unmapped");
	dmirror_user_unmap(test, bench.addr, NR);
	bench_expect_out(test, &bench, 0, "after munmap of everything");
	bench_expect_anon(test, 0, "after munmap of everything");
}

static void exit_frees_device_pages(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_device(test, &bench, bench.addr, 16);
	dmirror_user_exit(test);
	bench_expect_out(test, &bench, 0, "after exit_mmap()");
}

static void devices_do_not_touch_each_other(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct dmirror_bench other =
		bench_on(test, dmirror_private_get(test, 0, PRIVATE_CHUNK, 1),
			 bench.addr);

	bench_to_device(test, &bench, bench.addr, 4);
	bench_to_ram(test, &other, other.addr, 4, 0);
	bench_expect_out(test, &bench, 4, "after the other device's migration back");
	/* A foreign private page is no use to a device: it has to come home. */
	dmirror_device_read(test, other.mirror, other.addr, 4, 1,
			    "by the other device");
	bench_expect_out(test, &bench, 0, "after the other device read");
	bench_to_device(test, &other, other.addr, 4);
	bench_expect_out(test, &other, 4, "on the other device");
	dmirror_user_check(test, bench.addr, 4, 1, "afterwards");
}

static void exhausted_device_changes_nothing(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long n = PRIVATE_CHUNK;
	unsigned long big = dmirror_user_map(test, n, RW);
	unsigned long moved = 9;

	bench_to_device(test, &bench, big, n);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror,
							     bench.addr, 1,
							     &moved),
			     -ENOSPC, "migration to a full device");
	KUNIT_EXPECT_EQ(test, moved, 0UL);
	bench_expect_all(test, &bench, bench.addr, 1, HMM_DMIRROR_PROT_WRITE,
			 "after the refusal");
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror, big,
							     n, &moved),
			     0, "migration of what is on the full device");
	KUNIT_EXPECT_EQ(test, moved, 0UL);
	dmirror_user_unmap(test, big, 10);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror,
							     bench.addr, 16,
							     &moved),
			     -ENOSPC, "migration of 16 with room for 10");
	KUNIT_EXPECT_EQ(test, moved, 10UL);
	dmirror_user_check(test, bench.addr, NR, 1, "after partial migration");
	dmirror_user_unmap(test, big, n);
	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_user_check(test, bench.addr, NR, 1, "after room was made");
}

static void failure_of_one_page_leaves_the_others(struct kunit *test)
{
	static const enum dmirror_inject_point points[] = {
		DMIRROR_INJECT_BLOCK_ALLOC, DMIRROR_INJECT_BACKING_ALLOC,
	};
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long moved;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		const char *name = dmirror_inject_name(points[i]);

		dmirror_inject_arm(points[i], 5);
		DMIRROR_EXPECT_ERRNO(test,
				     dmirror_migrate_to_devmem(bench.mirror,
							       bench.addr, 16,
							       &moved),
				     0, name);
		KUNIT_EXPECT_EQ_MSG(test, moved, 15UL, "%s", name);
		bench_expect_all(test, &bench, bench.addr, 4, DEV_W, name);
		bench_expect_all(test, &bench, bench.addr + 4 * PAGE_SIZE, 1,
				 HMM_DMIRROR_PROT_WRITE, name);
		bench_expect_all(test, &bench, bench.addr + 5 * PAGE_SIZE, 11,
				 DEV_W, name);
		dmirror_user_check(test, bench.addr, 16, 1, name);
		bench_expect_out(test, &bench, 0, name);
	}
}

static void failure_before_the_start_changes_nothing(struct kunit *test)
{
	static const enum dmirror_inject_point points[] = {
		DMIRROR_INJECT_ARRAY_ALLOC, DMIRROR_INJECT_CHUNK_ALLOC,
		DMIRROR_INJECT_CHUNK_ADD,
	};
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long moved;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		const char *name = dmirror_inject_name(points[i]);

		moved = 9;
		dmirror_inject_arm(points[i], 1);
		DMIRROR_EXPECT_ERRNO(test,
				     dmirror_migrate_to_devmem(bench.mirror,
							       bench.addr, 4,
							       &moved),
				     -ENOMEM, name);
		KUNIT_EXPECT_FALSE_MSG(test, dmirror_inject_disarm(points[i]),
				       "%s was never reached", name);
		KUNIT_EXPECT_EQ_MSG(test, moved, 0UL, "%s", name);
		bench_expect_all(test, &bench, bench.addr, 4,
				 HMM_DMIRROR_PROT_WRITE, name);
	}
	KUNIT_EXPECT_EQ(test, bench.devmem->stats.reserved, 0UL);
}

/* No system page for the way back: the fault fails, the data stays. */
static void cpu_fault_without_memory(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	bench_to_device(test, &bench, bench.addr, 4);
	dmirror_inject_arm(DMIRROR_INJECT_RAM_ALLOC, 1);
	DMIRROR_EXPECT_ERRNO(test, bench_cpu_fault(bench.addr), -ENOMEM,
			     "CPU fault without memory");
	bench_expect_out(test, &bench, 4, "after a fault without memory");
	bench_expect_at_rest(test, &bench, bench.addr, 4, true,
			     "after a fault without memory");
	dmirror_user_check(test, bench.addr, 4, 1, "with memory again");
}

/* A page that somebody holds cannot come home: the CPU tries for ever. */
static void cpu_fault_of_a_held_page_can_be_killed(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long left;
	struct page *page;
	u8 byte;

	bench_to_device(test, &bench, bench.addr, 4);
	dmirror_cpu_pages(test, bench.mirror, bench.addr, &page, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	get_page(page);
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	left = copy_from_user(&byte, (void __user *)bench.addr, 1);
	dmirror_unkill(test);
	put_page(page);
	KUNIT_EXPECT_EQ_MSG(test, left, 1UL, "bytes not read");
	bench_expect_out(test, &bench, 4, "after the killed fault");
	dmirror_user_check(test, bench.addr, 4, 1, "with the page let go");
}

static void long_migration_can_be_killed(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long moved = 9;
	int ret;

	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	ret = dmirror_migrate_to_devmem(bench.mirror, bench.addr, NR, &moved);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR, "migration when killed");
	KUNIT_EXPECT_LE_MSG(test, moved, 64UL, "pages of one batch at most");
	dmirror_user_check(test, bench.addr, NR, 1, "after the kill");
}

static void mm_lock(void *data)
{
	struct mm_struct *mm = data;

	mmap_write_lock(mm);
}

static void mm_unlock(void *data)
{
	struct mm_struct *mm = data;

	mmap_write_unlock(mm);
}

static void wait_for_the_mm_can_be_killed(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct dmirror_holder holder = {
		.lock = mm_lock, .unlock = mm_unlock,
		.arg = dmirror_fixture(test)->mm,
	};
	unsigned long there = 9, back = 9;
	int to_device, to_ram;

	dmirror_hold(test, &holder);
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	to_device = dmirror_migrate_to_devmem(bench.mirror, bench.addr, NR,
					      &there);
	to_ram = dmirror_migrate_to_ram(bench.mirror, bench.addr, NR, &back);
	dmirror_unkill(test);
	dmirror_unhold(&holder);

	DMIRROR_EXPECT_ERRNO(test, to_device, -EINTR, "to the device");
	DMIRROR_EXPECT_ERRNO(test, to_ram, -EINTR, "to system memory");
	KUNIT_EXPECT_EQ_MSG(test, there, 0UL, "pages that moved there");
	KUNIT_EXPECT_EQ_MSG(test, back, 0UL, "pages that moved back");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->stats.reserved, 0UL,
			    "pages still reserved");
	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_user_check(test, bench.addr, NR, 1, "after the kill");
}

static void eviction_without_memory(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long left = 9;

	bench_to_device(test, &bench, bench.addr, 4);
	dmirror_inject_arm(DMIRROR_INJECT_ARRAY_ALLOC, 1);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_evict(bench.devmem, &left),
			     -ENOMEM, "eviction without memory");
	KUNIT_EXPECT_EQ(test, left, 4UL);
	bench_expect_all(test, &bench, bench.addr, 4, DEV_W, "after the failure");
}

static int setup_refuses(struct migrate_vma *args)
{
	return -EINVAL;
}

static void refused_setup_changes_nothing(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned long left, moved = 9;
	u8 byte;

	kunit_activate_static_stub(test, dmirror_mm_migrate_setup,
				   setup_refuses);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror,
							     bench.addr, 4,
							     &moved),
			     -EINVAL, "migration that core mm refuses");
	kunit_deactivate_static_stub(test, dmirror_mm_migrate_setup);
	KUNIT_EXPECT_EQ(test, moved, 0UL);
	KUNIT_EXPECT_EQ(test, bench.devmem->stats.reserved, 0UL);
	bench_expect_out(test, &bench, 0, "after the refusal");
	bench_to_device(test, &bench, bench.addr, 4);

	/* On the way back it is the CPU's access that fails. */
	kunit_activate_static_stub(test, dmirror_mm_migrate_setup,
				   setup_refuses);
	left = copy_from_user(&byte, (void __user *)bench.addr, 1);
	kunit_deactivate_static_stub(test, dmirror_mm_migrate_setup);
	KUNIT_EXPECT_EQ_MSG(test, left, 1UL, "bytes not read");
	bench_expect_out(test, &bench, 4, "after the refused fault");
	dmirror_user_check(test, bench.addr, 4, 1, "after the refused fault");
}

static void bad_requests_are_refused(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct dmirror_mirror *bare = dmirror_mirror_get(test, NULL);
	unsigned long moved = 9;

	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror,
							     bench.addr + 1, 1,
							     &moved),
			     -EINVAL, "unaligned migration");
	KUNIT_EXPECT_EQ(test, moved, 0UL);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror,
							     bench.addr, 0,
							     &moved),
			     -EINVAL, "migration of no pages");
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_ram(bench.mirror,
							  bench.addr, ULONG_MAX,
							  &moved),
			     -EINVAL, "migration of ULONG_MAX pages");
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bare, bench.addr,
							     1, &moved),
			     -ENODEV, "migration without device memory");
	dmirror_user_exit(test);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror,
							     bench.addr, 1,
							     &moved),
			     -EFAULT, "migration of a dead mm");
	KUNIT_EXPECT_EQ(test, bench.devmem->stats.chunks, 0UL);
}

static struct kunit_case migrate_cases[] = {
	KUNIT_CASE(to_device_and_back_by_cpu_fault),
	KUNIT_CASE(cpu_write_brings_one_page_back),
	KUNIT_CASE(to_device_and_back_on_request),
	KUNIT_CASE(to_ram_moves_nothing_that_is_there),
	KUNIT_CASE(to_device_twice),
	KUNIT_CASE(eviction_brings_everything_back),
	KUNIT_CASE(eviction_tells_what_it_left),
	KUNIT_CASE(device_works_on_its_own_memory),
	KUNIT_CASE(device_reads_after_mprotect),
	KUNIT_CASE(migration_clears_old_entries),
	KUNIT_CASE(untouched_pages_become_device_zeroes),
	KUNIT_CASE(read_only_stays_read_only),
	KUNIT_CASE(part_of_a_mapping),
	KUNIT_CASE(several_mappings),
	KUNIT_CASE(stops_at_a_hole_and_tells),
	KUNIT_CASE(munmap_frees_device_pages),
	KUNIT_CASE(exit_frees_device_pages),
	KUNIT_CASE(devices_do_not_touch_each_other),
	KUNIT_CASE(exhausted_device_changes_nothing),
	KUNIT_CASE(failure_of_one_page_leaves_the_others),
	KUNIT_CASE(failure_before_the_start_changes_nothing),
	KUNIT_CASE(cpu_fault_without_memory),
	KUNIT_CASE(cpu_fault_of_a_held_page_can_be_killed),
	KUNIT_CASE(long_migration_can_be_killed),
	KUNIT_CASE(wait_for_the_mm_can_be_killed),
	KUNIT_CASE(eviction_without_memory),
	KUNIT_CASE(refused_setup_changes_nothing),
	KUNIT_CASE(bad_requests_are_refused),
	{}
};

DMIRROR_SUITE(migrate, dmirror_fixture_init_mm, migrate_cases);
