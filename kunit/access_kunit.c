// SPDX-License-Identifier: GPL-2.0
/* The device's loads and stores: what the CPU sees of them and the reverse. */
#include "mirror_fixture.h"

#include <linux/mman.h>
#include <linux/sched/signal.h>

#include "race.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

static int read_pages(struct kunit *test, struct dmirror_mirror *mirror,
		      unsigned long addr, unsigned long npages, void **buf,
		      struct dmirror_access_result *result)
{
	*buf = dmirror_buf(test, npages);

	return dmirror_access_read(mirror, addr, npages, *buf, NULL, result);
}

static int write_pages(struct kunit *test, struct dmirror_mirror *mirror,
		       unsigned long addr, unsigned long npages, u64 salt,
		       struct dmirror_access_result *result)
{
	void *buf = dmirror_buf(test, npages);

	dmirror_buf_fill(buf, npages, salt);

	return dmirror_access_write(mirror, addr, npages, buf, NULL, result);
}

static void device_reads_what_the_cpu_wrote(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 16, RW);

	dmirror_user_fill(test, addr, 16, 3);
	dmirror_device_read(test, mirror, addr, 16, 3,
			    "after the CPU wrote once");
	dmirror_user_fill(test, addr, 16, 4);
	dmirror_device_read(test, mirror, addr, 16, 4,
			    "after the CPU wrote again through old entries");
}

static void cpu_reads_what_the_device_wrote(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 16, RW);

	dmirror_device_write(test, mirror, addr, 16, 5, "never touched pages");
	dmirror_user_check(test, addr, 16, 5, "after the device wrote");
	dmirror_device_write(test, mirror, addr, 16, 6, "mapped pages");
	dmirror_user_check(test, addr, 16, 6, "after the device wrote again");
}

static void faults_are_counted(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 200, RW);
	struct dmirror_access_result result;
	void *buf;

	DMIRROR_EXPECT_ERRNO(test, read_pages(test, mirror, addr, 200, &buf,
					      &result), 0, "read");
	KUNIT_EXPECT_EQ(test, result.cpages, 200UL);
	KUNIT_EXPECT_EQ_MSG(test, result.faults, 1UL, "first read");
	DMIRROR_EXPECT_ERRNO(test, read_pages(test, mirror, addr, 200, &buf,
					      &result), 0, "read");
	KUNIT_EXPECT_EQ_MSG(test, result.faults, 0UL, "second read");
	DMIRROR_EXPECT_ERRNO(test, write_pages(test, mirror, addr, 200, 1,
					       &result), 0, "write");
	KUNIT_EXPECT_EQ_MSG(test, result.faults, 1UL,
			    "write after a read of the zero page");
	dmirror_user_unmap(test, addr + 100 * PAGE_SIZE, 1);
	dmirror_user_map_over(test, addr + 100 * PAGE_SIZE, 1, RW);
	DMIRROR_EXPECT_ERRNO(test, read_pages(test, mirror, addr, 200, &buf,
					      &result), 0, "read");
	KUNIT_EXPECT_EQ_MSG(test, result.faults, 1UL,
			    "read after page 100 was replaced");
}

static void untouched_pages_read_as_zero(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 4, RW);

	dmirror_device_read(test, mirror, addr, 4, 0, "of untouched memory");
	dmirror_expect_pt(test, mirror, addr, "rrrr",
			  "after a read of untouched memory");
	dmirror_device_write(test, mirror, addr + PAGE_SIZE, 1, 9,
			     "to a zero page");
	dmirror_expect_pt(test, mirror, addr, "rwrr",
			  "after a write to page 1");
	dmirror_user_check(test, addr, 1, 0, "beside the page written to");
	dmirror_user_check(test, addr + PAGE_SIZE, 1, 9, "written to");
	dmirror_user_check(test, addr + 2 * PAGE_SIZE, 2, 0,
			   "beside the page written to");
}

static void write_after_a_protection_is_lifted(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = dmirror_user_map(test, 2, RW);
	dmirror_user_fill(test, addr, 2, 1);
	dmirror_user_protect(test, addr, 2, PROT_READ);
	dmirror_device_read(test, mirror, addr, 2, 1, "of read-only pages");
	dmirror_expect_pt(test, mirror, addr, "rr", "after the read");
	dmirror_user_protect(test, addr, 2, RW);
	dmirror_device_write(test, mirror, addr, 2, 2, "after mprotect(RW)");
	dmirror_user_check(test, addr, 2, 2, "after the device wrote");
}

static void access_spans_mappings(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = dmirror_user_map(test, 9, RW);
	dmirror_user_fill(test, addr, 9, 4);
	dmirror_user_protect(test, addr + 3 * PAGE_SIZE, 3, PROT_READ);
	dmirror_device_read(test, mirror, addr, 9, 4, "over three mappings");
	dmirror_expect_pt(test, mirror, addr, "wwwrrrwww", "after the read");
}

/* What was done before the failure is told, and is true. */
static void read_up_to_a_hole(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 80, RW);
	struct dmirror_access_result result;
	void *buf;

	dmirror_user_fill(test, addr, 80, 2);
	dmirror_user_unmap(test, addr + 70 * PAGE_SIZE, 1);
	DMIRROR_EXPECT_ERRNO(test, read_pages(test, mirror, addr, 80, &buf,
					      &result),
			     -EFAULT, "read with a hole at page 70");
	/* 64 pages are one batch: the fault of the second failed. */
	KUNIT_EXPECT_EQ(test, result.cpages, 64UL);
	KUNIT_EXPECT_EQ(test, result.faults, 1UL);
	dmirror_buf_check(test, buf, addr, result.cpages, 2,
			  "in a read that failed later");
	KUNIT_EXPECT_EQ_MSG(test, *((u8 *)buf + (64UL << PAGE_SHIFT)), 0xa5,
			    "a page beyond those reported was written to");
}

static void write_to_read_only_is_refused(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 4, PROT_READ);
	struct dmirror_access_result result;

	DMIRROR_EXPECT_ERRNO(test, write_pages(test, mirror, addr, 4, 1,
					       &result),
			     -EPERM, "write to a read-only mapping");
	KUNIT_EXPECT_EQ(test, result.cpages, 0UL);
	dmirror_user_check(test, addr, 4, 0, "after a refused write");
}

static void bad_ranges_are_refused(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	struct dmirror_access_result result = { .cpages = 9, .faults = 9 };
	u8 byte = 0;

	DMIRROR_EXPECT_ERRNO(test, dmirror_access_read(mirror, addr + 8, 1,
						       &byte, NULL, &result),
			     -EINVAL, "unaligned read");
	KUNIT_EXPECT_EQ(test, result.cpages + result.faults, 0UL);
	DMIRROR_EXPECT_ERRNO(test, dmirror_access_read(mirror, addr, 0, &byte,
						       NULL, &result),
			     -EINVAL, "read of no pages");
	DMIRROR_EXPECT_ERRNO(test, dmirror_access_write(mirror, addr, ULONG_MAX,
							&byte, NULL, &result),
			     -EINVAL, "write of ULONG_MAX pages");
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_access_write(mirror, addr,
						  (1UL << (BITS_PER_LONG -
							   PAGE_SHIFT)) + 1,
						  &byte, NULL, &result),
			     -EINVAL, "write whose size wraps to one page");
	KUNIT_EXPECT_EQ(test, mirror->stats.faults, 0UL);
}

static void dead_mm_is_not_accessed(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 2, RW);
	struct dmirror_access_result result;
	void *buf;

	dmirror_device_write(test, mirror, addr, 2, 1, "while the mm lives");
	dmirror_user_exit(test);
	DMIRROR_EXPECT_ERRNO(test, read_pages(test, mirror, addr, 2, &buf,
					      &result),
			     -EFAULT, "read of a dead mm");
	KUNIT_EXPECT_EQ(test, result.cpages, 0UL);
	DMIRROR_EXPECT_ERRNO(test, write_pages(test, mirror, addr, 2, 1,
					       &result),
			     -EFAULT, "write to a dead mm");
	KUNIT_EXPECT_EQ(test, result.cpages, 0UL);
}

static void two_devices_share_memory(struct kunit *test)
{
	struct dmirror_mirror *one = dmirror_mirror_get(test, NULL);
	struct dmirror_mirror *two = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 8, RW);

	dmirror_device_write(test, one, addr, 8, 11, "by the first device");
	dmirror_device_read(test, two, addr, 8, 11, "by the second device");
	dmirror_device_write(test, two, addr, 8, 12, "by the second device");
	dmirror_device_read(test, one, addr, 8, 12, "by the first device");
	dmirror_user_check(test, addr, 8, 12, "after both devices");
}

static void access_after_dontneed(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = dmirror_user_map(test, 4, RW);
	dmirror_device_write(test, mirror, addr, 4, 3, "before");
	dmirror_user_dontneed(test, addr + PAGE_SIZE, 2);
	dmirror_device_read(test, mirror, addr + PAGE_SIZE, 2, 0,
			    "after MADV_DONTNEED");
	dmirror_device_read(test, mirror, addr, 1, 3,
			    "beside MADV_DONTNEED");
}

static void fault_starts_where_the_copy_stopped(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 16, RW);
	struct dmirror_race race = { };

	dmirror_user_fill(test, addr, 16, 3);
	dmirror_device_read(test, mirror, addr, 10, 3, "of the first 10");
	dmirror_race_with(test, &race);
	dmirror_device_read(test, mirror, addr, 16, 3, "of all 16");
	KUNIT_EXPECT_EQ_MSG(test, (race.start - addr) >> PAGE_SHIFT, 10UL,
			    "page at which the fault began");
	dmirror_race_done(test, &race, 1);
}

/* Each fault maps page 0, and loses it while it maps the second batch. */
static void fruitless_faults_come_to_an_end(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 65, RW);
	struct dmirror_access_result result;
	struct dmirror_race race = {
		.disturb = dmirror_disturb_replace, .addr = addr, .from = 1,
		.every = 2, .times = UINT_MAX,
	};
	void *buf;

	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test, read_pages(test, mirror, addr, 65, &buf,
					      &result),
			     -EBUSY, "read that never finds page 0");
	KUNIT_EXPECT_EQ_MSG(test, result.cpages, 0UL, "pages copied");
	KUNIT_EXPECT_EQ_MSG(test, result.faults, 100UL, "faults");
	DMIRROR_EXPECT_ERRNO(test, race.error, 0, "the mischief itself");
}

static void access_can_be_killed(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 200, RW);
	struct dmirror_access_result result;
	struct dmirror_race race = {
		.disturb = dmirror_disturb_kill, .times = 1,
	};
	void *buf = dmirror_buf(test, 200);
	int ret;

	dmirror_race_with(test, &race);
	dmirror_killable(test);
	ret = dmirror_access_read(mirror, addr, 200, buf, NULL, &result);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR, "read of a killed thread");
	dmirror_race_done(test, &race, 1);
	KUNIT_EXPECT_EQ_MSG(test, result.cpages, 64UL,
			    "pages of the batch that was mapped");

	/* All is mapped, so that no fault asks for the signal. */
	dmirror_device_read(test, mirror, addr, 200, 0, "after the kill");
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	ret = dmirror_access_read(mirror, addr, 200, buf, NULL, &result);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR, "read when killed before");
	KUNIT_EXPECT_EQ_MSG(test, result.cpages, 64UL, "pages of one batch");
	KUNIT_EXPECT_EQ_MSG(test, result.faults, 0UL, "faults");
}

/*
 * After MADV_FREE the CPU's entries are writable and clean, and only what
 * wrote to a page can say that it is worth keeping.
 */
static void reclaim_keeps_what_the_device_wrote(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = dmirror_user_map(test, 8, RW);
	dmirror_user_fill(test, addr, 8, 1);
	DMIRROR_ASSERT_OK(test, user_lru_drain(), "drain");
	DMIRROR_ASSERT_OK(test, user_madvise(addr, 8 * PAGE_SIZE, MADV_FREE),
			  "madvise(MADV_FREE)");
	DMIRROR_ASSERT_OK(test, user_lru_drain(), "drain");
	dmirror_device_write(test, mirror, addr, 4, 2, "after MADV_FREE");
	DMIRROR_ASSERT_OK(test, user_madvise(addr, 8 * PAGE_SIZE, MADV_PAGEOUT),
			  "madvise(MADV_PAGEOUT)");
	dmirror_user_check(test, addr, 4, 2, "after MADV_FREE, a device write and MADV_PAGEOUT");
	/* The control: reclaim did take what nobody wrote to. */
	dmirror_user_check(test, addr + 4 * PAGE_SIZE, 4, 0,
			   "after MADV_FREE and MADV_PAGEOUT");
}

static struct kunit_case access_cases[] = {
	KUNIT_CASE(device_reads_what_the_cpu_wrote),
	KUNIT_CASE(cpu_reads_what_the_device_wrote),
	KUNIT_CASE(faults_are_counted),
	KUNIT_CASE(untouched_pages_read_as_zero),
	KUNIT_CASE(write_after_a_protection_is_lifted),
	KUNIT_CASE(access_spans_mappings),
	KUNIT_CASE(read_up_to_a_hole),
	KUNIT_CASE(write_to_read_only_is_refused),
	KUNIT_CASE(bad_ranges_are_refused),
	KUNIT_CASE(dead_mm_is_not_accessed),
	KUNIT_CASE(two_devices_share_memory),
	KUNIT_CASE(access_after_dontneed),
	KUNIT_CASE(fault_starts_where_the_copy_stopped),
	KUNIT_CASE(fruitless_faults_come_to_an_end),
	KUNIT_CASE(access_can_be_killed),
	KUNIT_CASE(reclaim_keeps_what_the_device_wrote),
	{}
};

DMIRROR_SUITE(access, dmirror_fixture_init_mm, access_cases);
