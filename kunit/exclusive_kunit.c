// SPDX-License-Identifier: GPL-2.0
/*
 * Device-exclusive access: who gets it, what it is good for, and everything
 * that takes it away again.
 */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/page-flags.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "../drivers/dmirror/exclusive.h"
#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/uapi.h"
#include "private_devmem.h"
#include "race.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

/* Pages of most cases, and all of them exclusive. */
#define NR 8UL
#define ALL_X "xxxxxxxx"
#define NONE_X "--------"

/* NR pages, mapped RW and full of pattern 1. */
static unsigned long filled(struct kunit *test)
{
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, addr, NR, 1);

	return addr;
}

static void make(struct kunit *test, struct dmirror_mirror *mirror,
		 unsigned long addr, unsigned long npages)
{
	unsigned long done = ULONG_MAX;

	DMIRROR_ASSERT_OK(test, dmirror_exclusive_make(mirror, addr, npages,
						       &done),
			  "making pages exclusive");
	KUNIT_EXPECT_EQ_MSG(test, done, npages,
			    "pages of [0x%lx,0x%lx) made exclusive", addr,
			    addr + (npages << PAGE_SHIFT));
}

/* NR pages of pattern 1, exclusive. */
static unsigned long exclusive_range(struct kunit *test,
				     struct dmirror_mirror *mirror)
{
	unsigned long addr = filled(test);

	make(test, mirror, addr, NR);
	dmirror_expect_pt(test, mirror, addr, ALL_X, "when just made");

	return addr;
}

static void expect_refused(struct kunit *test, struct dmirror_mirror *mirror,
			   unsigned long addr, unsigned long npages, int want,
			   const char *step)
{
	unsigned long done = ULONG_MAX;

	DMIRROR_EXPECT_ERRNO(test, dmirror_exclusive_make(mirror, addr, npages,
							  &done), want, step);
	KUNIT_EXPECT_EQ_MSG(test, done, 0UL, "pages made exclusive: %s", step);
}

static void expect_held(struct kunit *test, struct dmirror_mirror *mirror,
			unsigned long addr, unsigned long npages, int want,
			const char *step)
{
	KUNIT_EXPECT_EQ_MSG(test, dmirror_exclusive_held(mirror, addr, npages),
			    want, "[0x%lx,0x%lx) is held %s", addr,
			    addr + (npages << PAGE_SHIFT), step);
}

static unsigned long faults(struct dmirror_mirror *mirror)
{
	struct dmirror_mirror_stats stats;

	dmirror_mirror_stats(mirror, &stats);
	return stats.faults;
}

static void device_works_on_its_exclusive_pages(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = exclusive_range(test, mirror);
	unsigned long before = faults(mirror);

	dmirror_device_read(test, mirror, addr, NR, 1, "when just made");
	dmirror_device_write(test, mirror, addr, NR, 2, "when just made");
	dmirror_device_read(test, mirror, addr, NR, 2, "after a store");
	KUNIT_EXPECT_EQ_MSG(test, faults(mirror) - before, 0UL,
			    "faults on exclusive pages");
	expect_held(test, mirror, addr, NR, 1, "after the device's accesses");
	dmirror_user_check(test, addr, NR, 2, "after the device's stores");
	expect_held(test, mirror, addr, NR, 0, "after the CPU read all");
	dmirror_expect_pt(test, mirror, addr, NONE_X, "after the CPU read all");
	dmirror_device_read(test, mirror, addr, NR, 2, "after the CPU read");
}

static void cpu_read_takes_one_page_back(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = exclusive_range(test, mirror);

	dmirror_device_write(test, mirror, addr, NR, 2, "when just made");
	dmirror_user_touch(test, addr + 3 * PAGE_SIZE, 1);
	dmirror_expect_pt(test, mirror, addr, "xxx-xxxx",
			  "after the CPU read page 3");
	expect_held(test, mirror, addr, 3, 1, "before the page read");
	expect_held(test, mirror, addr + 3 * PAGE_SIZE, 1, 0,
		    "where the CPU read");
	expect_held(test, mirror, addr + 4 * PAGE_SIZE, 4, 1,
		    "behind the page read");
	dmirror_user_check(test, addr, NR, 2, "after the device's stores");
}

static void cpu_write_takes_one_page_back(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = exclusive_range(test, mirror);

	dmirror_user_fill(test, addr + 3 * PAGE_SIZE, 1, 5);
	dmirror_expect_pt(test, mirror, addr, "xxx-xxxx",
			  "after the CPU wrote page 3");
	dmirror_device_read(test, mirror, addr + 3 * PAGE_SIZE, 1, 5,
			    "after the CPU wrote page 3");
	dmirror_device_read(test, mirror, addr, 3, 1,
			    "before the page written");
	expect_held(test, mirror, addr, 3, 1, "after the device's reads");
}

static void mprotect_takes_it_back(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct dmirror_access_result result;
	void *buf = dmirror_buf(test, 2);
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = exclusive_range(test, mirror);
	dmirror_device_write(test, mirror, addr, NR, 2, "when just made");
	dmirror_user_protect(test, addr, 2, PROT_READ);
	dmirror_expect_pt(test, mirror, addr, "--xxxxxx",
			  "after mprotect(PROT_READ) of pages 0 and 1");
	DMIRROR_EXPECT_ERRNO(test, dmirror_access_write(mirror, addr, 2, buf,
							NULL, &result),
			     -EPERM, "device write after mprotect(PROT_READ)");
	KUNIT_EXPECT_EQ_MSG(test, result.cpages, 0UL, "pages written");
	expect_refused(test, mirror, addr, 2, -EFAULT,
		       "exclusive access after mprotect(PROT_READ)");
	dmirror_user_check(test, addr, NR, 2, "after the refusals");
	dmirror_user_protect(test, addr, 2, RW);
	make(test, mirror, addr, 2);
	dmirror_device_write(test, mirror, addr, NR, 3, "after mprotect(RW)");
	dmirror_user_check(test, addr, NR, 3, "after mprotect(RW)");
}

static void munmap_takes_it_back(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = exclusive_range(test, mirror);

	dmirror_user_unmap(test, addr + 2 * PAGE_SIZE, 3);
	dmirror_expect_pt(test, mirror, addr, "xx---xxx",
			  "after munmap of pages 2 to 4");
	dmirror_user_map_over(test, addr + 2 * PAGE_SIZE, 3, RW);
	dmirror_user_check(test, addr + 2 * PAGE_SIZE, 3, 0,
			   "in a new mapping");
	dmirror_user_check(test, addr, 2, 1, "before the part unmapped");
}

static void dontneed_takes_it_back(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = exclusive_range(test, mirror);
	dmirror_user_dontneed(test, addr + 2 * PAGE_SIZE, 3);
	dmirror_expect_pt(test, mirror, addr, "xx---xxx",
			  "after MADV_DONTNEED of pages 2 to 4");
	dmirror_device_read(test, mirror, addr + 2 * PAGE_SIZE, 3, 0,
			    "after MADV_DONTNEED");
	dmirror_user_check(test, addr, 2, 1, "before the part dropped");
}

static void exit_takes_it_back(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = exclusive_range(test, mirror);

	dmirror_user_exit(test);
	dmirror_expect_pt(test, mirror, addr, NONE_X, "after exit_mmap()");
	expect_held(test, mirror, addr, NR, 0, "after exit_mmap()");
	expect_refused(test, mirror, addr, NR, -EFAULT,
		       "exclusive access to a dead mm");
}

static void what_happens_elsewhere_does_no_harm(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = exclusive_range(test, mirror);
	unsigned long other = dmirror_user_map(test, 4, RW);

	dmirror_user_fill(test, other, 4, 4);
	dmirror_device_write(test, mirror, other, 4, 5, "elsewhere");
	dmirror_user_unmap(test, other, 2);
	dmirror_user_unmap(test, addr + (NR - 1) * PAGE_SIZE, 1);
	dmirror_user_map_over(test, addr + (NR - 1) * PAGE_SIZE, 1, RW);
	dmirror_user_fill(test, addr + (NR - 1) * PAGE_SIZE, 1, 6);
	dmirror_expect_pt(test, mirror, addr, "xxxxxxx-",
			  "after munmap and stores elsewhere");
}

/* A look at the page tables is no access. */
static void snapshot_does_not_take_it_back(struct kunit *test)
{
	static const u8 want[NR] = { };
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = exclusive_range(test, mirror);

	dmirror_expect_snapshot(test, mirror, addr, want, NR,
				"of pages that the CPU may not use");
	dmirror_expect_pt(test, mirror, addr, ALL_X, "after a snapshot");
}

static void making_it_twice_changes_nothing(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = exclusive_range(test, mirror);

	dmirror_device_write(test, mirror, addr, NR, 2, "when just made");
	make(test, mirror, addr + 2 * PAGE_SIZE, 4);
	dmirror_expect_pt(test, mirror, addr, ALL_X,
			  "after pages 2 to 5 were made exclusive again");
	dmirror_device_read(test, mirror, addr, NR, 2, "when made twice");
	dmirror_user_check(test, addr, NR, 2, "when made twice");
}

static void ordinary_entries_become_exclusive(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = filled(test);

	dmirror_device_read(test, mirror, addr, NR, 1, "before");
	dmirror_expect_pt(test, mirror, addr, "wwwwwwww", "before");
	expect_held(test, mirror, addr, NR, 0, "by ordinary entries");
	make(test, mirror, addr + PAGE_SIZE, 3);
	dmirror_expect_pt(test, mirror, addr, "wxxxwwww",
			  "after pages 1 to 3 were made exclusive");
	expect_held(test, mirror, addr, NR, 1, "by three of its pages");
	KUNIT_EXPECT_EQ_MSG(test, mirror->pt.nr, NR, "entries");
}

static void untouched_pages_become_exclusive_zeroes(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = dmirror_user_map(test, NR, RW);
	/* One was read, so that the zero page is there, and mirrored. */
	dmirror_device_read(test, mirror, addr, 1, 0, "of untouched memory");
	make(test, mirror, addr, NR);
	dmirror_expect_pt(test, mirror, addr, ALL_X, "when just made");
	dmirror_device_read(test, mirror, addr, NR, 0, "when just made");
	dmirror_device_write(test, mirror, addr, 1, 2, "to the first page");
	dmirror_user_check(test, addr, 1, 2, "written by the device");
	dmirror_user_check(test, addr + PAGE_SIZE, NR - 1, 0,
			   "beside the page written to");
}

static void longer_than_a_batch(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr, before;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = dmirror_user_map(test, 150, RW);
	dmirror_user_fill(test, addr, 150, 1);
	make(test, mirror, addr, 150);
	before = faults(mirror);
	KUNIT_EXPECT_EQ_MSG(test, mirror->pt.nr, 150UL, "entries");
	dmirror_device_write(test, mirror, addr, 150, 2, "when just made");
	KUNIT_EXPECT_EQ_MSG(test, faults(mirror) - before, 0UL,
			    "faults on exclusive pages");
	dmirror_user_check(test, addr, 150, 2, "after the device's stores");
	KUNIT_EXPECT_EQ_MSG(test, mirror->pt.nr, 0UL,
			    "entries after the CPU read all");
}

static void mirrors_take_it_from_each_other(struct kunit *test)
{
	struct dmirror_mirror *one = dmirror_mirror_get(test, NULL);
	struct dmirror_mirror *two = dmirror_mirror_get(test, NULL);
	unsigned long addr = exclusive_range(test, one);

	dmirror_device_write(test, one, addr, NR, 2, "by the first device");
	make(test, two, addr, 3);
	dmirror_expect_pt(test, one, addr, "---xxxxx",
			  "in the first after the second took pages 0 to 2");
	dmirror_expect_pt(test, two, addr, "xxx-----", "in the second");
	dmirror_device_read(test, two, addr, 3, 2, "by the second device");
	dmirror_device_write(test, two, addr, 3, 3, "by the second device");

	/* An ordinary access is enough to end the other's exclusive one. */
	dmirror_device_read(test, one, addr, 3, 3, "by the first device");
	expect_held(test, two, addr, NR, 0, "after the first device read");
}

static void device_pages_come_home_first(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, devmem);
	struct dmirror_mirror *other = dmirror_mirror_get(test, NULL);
	unsigned long moved, addr = filled(test);

	DMIRROR_ASSERT_OK(test, dmirror_migrate_to_devmem(mirror, addr, 4,
							  &moved),
			  "migration to the device");
	KUNIT_EXPECT_EQ_MSG(test, moved, 4UL, "pages that moved");
	dmirror_device_write(test, mirror, addr, NR, 2, "on the device");
	make(test, mirror, addr, NR);
	KUNIT_EXPECT_EQ_MSG(test, dmirror_pages_out(devmem), 0UL,
			    "device pages in use");
	dmirror_expect_pt(test, mirror, addr, ALL_X, "when just made");
	dmirror_device_read(test, mirror, addr, NR, 2, "when just made");
	dmirror_user_check(test, addr, NR, 2, "after the CPU took it back");

	/* The same for another device, to which they are foreign. */
	DMIRROR_ASSERT_OK(test, dmirror_migrate_to_devmem(mirror, addr, 4,
							  &moved),
			  "migration to the device");
	make(test, other, addr, NR);
	KUNIT_EXPECT_EQ_MSG(test, dmirror_pages_out(devmem), 0UL,
			    "device pages in use");
	dmirror_device_read(test, other, addr, NR, 2, "by the other device");
}

/* Core mm does not migrate what it does not map, and nothing is lost. */
static void exclusive_pages_do_not_migrate(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, devmem);
	unsigned long moved = 9, addr = filled(test);

	make(test, mirror, addr, 4);
	dmirror_device_write(test, mirror, addr, NR, 2, "before migration");
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(mirror, addr, NR,
							     &moved),
			     0, "migration of exclusive and other pages");
	KUNIT_EXPECT_EQ_MSG(test, moved, 4UL, "pages that moved");
	dmirror_device_read(test, mirror, addr, NR, 2, "after migration");
	dmirror_user_check(test, addr, NR, 2, "after migration");
}

/**
 * struct refusal_row - a mapping that nobody can have for himself
 * @name: as in the messages
 * @prot: its protection
 * @hole: there is no mapping at all
 */
struct refusal_row {
	const char *name;
	unsigned long prot;
	bool hole;
};

static const struct refusal_row refusal_rows[] = {
	{ "hole", PROT_NONE, true },
	{ "none", PROT_NONE },
	{ "read", PROT_READ },
	{ "read_exec", PROT_READ | PROT_EXEC },
};

KUNIT_ARRAY_PARAM_DESC(refusal, refusal_rows, name);

static void only_writable_mappings(struct kunit *test)
{
	const struct refusal_row *row = test->param_value;
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = dmirror_user_map(test, 2, row->prot);
	if (row->hole)
		dmirror_user_unmap(test, addr, 2);
	expect_refused(test, mirror, addr, 2, -EFAULT, row->name);
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&mirror->pt.entries),
			      "%s: a refusal left slots", row->name);
}

static void only_anonymous_memory(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = dmirror_user_map_shared(test, NR);
	dmirror_user_fill(test, addr, NR, 1);
	expect_refused(test, mirror, addr, NR, -EOPNOTSUPP,
		       "exclusive access to shared memory");
	dmirror_expect_pt(test, mirror, addr, NONE_X, "after the refusal");
	dmirror_device_write(test, mirror, addr, NR, 2, "after the refusal");
	dmirror_user_check(test, addr, NR, 2, "after the refusal");
}

static void bad_ranges_are_refused(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	const struct {
		const char *name;
		unsigned long addr, npages;
	} rows[] = {
		{ "unaligned", addr + 8, 1 },
		{ "no pages", addr, 0 },
		{ "ULONG_MAX pages", addr, ULONG_MAX },
		{ "a size that wraps to one page", addr,
		  (1UL << (BITS_PER_LONG - PAGE_SHIFT)) + 1 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		expect_refused(test, mirror, rows[i].addr, rows[i].npages,
			       -EINVAL, rows[i].name);
		DMIRROR_EXPECT_ERRNO(test,
				     dmirror_exclusive_held(mirror,
							    rows[i].addr,
							    rows[i].npages),
				     -EINVAL, rows[i].name);
	}
}

/*
 * A look at a long table lets others have the lock in between, misses nothing
 * for it, and ends when it is no longer wanted.
 */
static void long_table_is_looked_at_in_parts(struct kunit *test)
{
	const unsigned long nr = 2 * DMIRROR_PT_WALK + 1, size = nr << PAGE_SHIFT;
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long done, addr = dmirror_user_map(test, nr, RW);
	int killed;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	DMIRROR_ASSERT_OK(test,
			  dmirror_mirror_fault(mirror, addr, addr + size,
					       DMIRROR_PERM_READ,
					       DMIRROR_FAULT_TIMEOUT_MS),
			  "fault");
	DMIRROR_EXPECT_ERRNO(test, dmirror_exclusive_held(mirror, addr, nr), 0,
			     "look at entries of which none is exclusive");
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	killed = dmirror_exclusive_held(mirror, addr, nr);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, killed, -EINTR, "look when killed");
	DMIRROR_ASSERT_OK(test,
			  dmirror_exclusive_make(mirror,
						 addr + size - PAGE_SIZE, 1,
						 &done),
			  "exclusive access to the last page");
	KUNIT_EXPECT_EQ_MSG(test, dmirror_exclusive_held(mirror, addr, nr), 1,
			    "the last of %lu pages is exclusive", nr);
	KUNIT_EXPECT_EQ_MSG(test, dmirror_exclusive_held(mirror, addr, nr - 1),
			    0, "%lu pages before it", nr - 1);
}

static void failure_in_the_middle_is_told(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long done = 99, addr = filled(test);

	dmirror_user_unmap(test, addr + 5 * PAGE_SIZE, 1);
	DMIRROR_EXPECT_ERRNO(test, dmirror_exclusive_make(mirror, addr, NR,
							  &done),
			     -EFAULT, "exclusive access with a hole at page 5");
	KUNIT_EXPECT_EQ_MSG(test, done, 5UL, "pages made exclusive");
	dmirror_expect_pt(test, mirror, addr, "xxxxx---", "after the failure");
	dmirror_device_write(test, mirror, addr, 5, 2, "after the failure");
	dmirror_user_check(test, addr, 5, 2, "before the hole");
}

/* What the device did not get the CPU still has. */
static void failed_allocation_is_told(struct kunit *test)
{
	static const enum dmirror_inject_point points[] = {
		DMIRROR_INJECT_PT_RESERVE, DMIRROR_INJECT_PT_SET,
	};
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = filled(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		const char *name = dmirror_inject_name(points[i]);
		unsigned long done = 99;

		dmirror_inject_arm(points[i], 4);
		DMIRROR_EXPECT_ERRNO(test,
				     dmirror_exclusive_make(mirror, addr, NR,
							    &done),
				     -ENOMEM, name);
		KUNIT_EXPECT_FALSE_MSG(test, dmirror_inject_disarm(points[i]),
				       "%s was never reached", name);
		KUNIT_EXPECT_EQ_MSG(test, done, 3UL, "%s", name);
		dmirror_expect_pt(test, mirror, addr, "xxx-----", name);
		dmirror_user_check(test, addr, NR, 1, name);
		KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&mirror->pt.entries),
				      "%s: the failure left slots", name);
	}
}

/**
 * struct killer - kills the thread that makes a page exclusive
 * @notifier: on the range
 * @nth: at which page, counted from 1
 * @calls: pages so far
 */
struct killer {
	struct mmu_interval_notifier notifier;
	unsigned int nth;
	unsigned int calls;
};

static bool killer_invalidate(struct mmu_interval_notifier *notifier,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct killer *killer = container_of(notifier, struct killer, notifier);

	mmu_interval_set_seq(notifier, cur_seq);
	if (range->event == MMU_NOTIFY_EXCLUSIVE &&
	    ++killer->calls == killer->nth)
		send_sig(SIGKILL, current, 1);

	return true;
}

static const struct mmu_interval_notifier_ops killer_ops = {
	.invalidate = killer_invalidate,
};

static int make_and_be_killed(struct kunit *test, struct dmirror_mirror *mirror,
			      unsigned long addr, unsigned int nth,
			      unsigned long *done)
{
	struct killer *killer = kunit_kzalloc(test, sizeof(*killer),
					      GFP_KERNEL);
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, killer);
	killer->nth = nth;
	DMIRROR_ASSERT_OK(test,
			  mmu_interval_notifier_insert(&killer->notifier,
						       mirror->notifier.mm,
						       addr, NR << PAGE_SHIFT,
						       &killer_ops),
			  "interval notifier");
	dmirror_killable(test);
	ret = dmirror_exclusive_make(mirror, addr, NR, done);
	dmirror_unkill(test);
	mmu_interval_notifier_remove(&killer->notifier);
	KUNIT_EXPECT_EQ_MSG(test, killer->calls, nth,
			    "pages on which work was begun");

	return ret;
}

static void making_it_can_be_killed(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long done = 99, addr = filled(test);

	DMIRROR_EXPECT_ERRNO(test, make_and_be_killed(test, mirror, addr, 3,
						      &done),
			     -EINTR, "exclusive access, killed at page 2");
	KUNIT_EXPECT_EQ_MSG(test, done, 3UL, "pages made exclusive");
	dmirror_expect_pt(test, mirror, addr, "xxx-----", "after the kill");
	dmirror_user_check(test, addr, NR, 1, "after the kill");

	/* Too late to make a difference. */
	DMIRROR_EXPECT_ERRNO(test, make_and_be_killed(test, mirror, addr, NR,
						      &done),
			     0, "exclusive access, killed at the last page");
	KUNIT_EXPECT_EQ_MSG(test, done, NR, "pages made exclusive");
	dmirror_expect_pt(test, mirror, addr, ALL_X, "after the late kill");
}

/* Forget what is written in exclusive pages, as a write-back would. */
static void undirty(struct kunit *test, struct dmirror_mirror *mirror,
		    unsigned long addr)
{
	unsigned long i, cleaned = 0;

	mutex_lock(&mirror->pt.lock);
	for (i = 0; i < NR; i++) {
		struct page *page =
			dmirror_pt_lookup(&mirror->pt, (addr >> PAGE_SHIFT) + i,
					  DMIRROR_PERM_EXCLUSIVE);

		if (page && folio_test_clear_dirty(page_folio(page)))
			cleaned++;
	}
	mutex_unlock(&mirror->pt.lock);
	KUNIT_ASSERT_EQ_MSG(test, cleaned, NR, "exclusive pages made clean");
}

/*
 * Core mm takes an exclusive page for clean, and gives the CPU a clean entry
 * back: only the device can say that it is worth keeping.
 */
static void reclaim_keeps_what_the_device_wrote(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr, before;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = filled(test);
	DMIRROR_ASSERT_OK(test, user_lru_drain(), "drain");
	DMIRROR_ASSERT_OK(test, user_madvise(addr, NR * PAGE_SIZE, MADV_FREE),
			  "madvise(MADV_FREE)");
	DMIRROR_ASSERT_OK(test, user_lru_drain(), "drain");
	make(test, mirror, addr, NR);
	undirty(test, mirror, addr);
	before = faults(mirror);
	dmirror_device_write(test, mirror, addr, 4, 2, "when just made");
	KUNIT_EXPECT_EQ_MSG(test, faults(mirror) - before, 0UL,
			    "faults on exclusive pages");
	dmirror_user_touch(test, addr, NR);
	DMIRROR_ASSERT_OK(test, user_madvise(addr, NR * PAGE_SIZE,
					     MADV_PAGEOUT),
			  "madvise(MADV_PAGEOUT)");
	dmirror_user_check(test, addr, 4, 2,
			   "after exclusive stores and MADV_PAGEOUT");
	/* The control: reclaim did take what nobody wrote to. */
	dmirror_user_check(test, addr + 4 * PAGE_SIZE, 4, 0,
			   "after MADV_FREE and MADV_PAGEOUT");
}

/**
 * struct zapper - drops a page that core mm has just made exclusive
 * @notifier: tells when
 * @mm: the mm
 * @addr: the page
 * @times: how often it is done
 * @go: completed when it is time
 * @gone: completed when the page is gone
 * @task: the thread that drops it, for the caller holds mmap_lock
 * @error: what madvise() returned
 */
struct zapper {
	struct mmu_notifier notifier;
	struct mm_struct *mm;
	unsigned long addr;
	unsigned int times;
	struct completion go;
	struct completion gone;
	struct task_struct *task;
	int error;
};

static int zapper_thread(void *data)
{
	struct zapper *zapper = data;

	wait_for_completion(&zapper->go);
	if (!zapper->times)
		return 0;
	kthread_use_mm(zapper->mm);
	zapper->error = user_madvise(zapper->addr, PAGE_SIZE, MADV_DONTNEED);
	kthread_unuse_mm(zapper->mm);
	zapper->times--;
	complete(&zapper->gone);

	return 0;
}

/* The exclusive entry is there, its folio is locked; the device has nothing. */
static void zapper_range_end(struct mmu_notifier *notifier,
			     const struct mmu_notifier_range *range)
{
	struct zapper *zapper = container_of(notifier, struct zapper, notifier);

	if (range->event != MMU_NOTIFY_EXCLUSIVE || !zapper->times)
		return;
	complete(&zapper->go);
	wait_for_completion(&zapper->gone);
}

static const struct mmu_notifier_ops zapper_ops = {
	.invalidate_range_end = zapper_range_end,
};

static void zapper_unregister(void *data)
{
	struct zapper *zapper = data;

	mmu_notifier_unregister(&zapper->notifier, zapper->mm);
}

static struct zapper *zapper_start(struct kunit *test, unsigned long addr)
{
	struct zapper *zapper = kunit_kzalloc(test, sizeof(*zapper),
					      GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, zapper);
	zapper->notifier.ops = &zapper_ops;
	zapper->mm = dmirror_fixture(test)->mm;
	zapper->addr = addr;
	zapper->times = 1;
	init_completion(&zapper->go);
	init_completion(&zapper->gone);
	DMIRROR_ASSERT_OK(test, mmu_notifier_register(&zapper->notifier,
						      zapper->mm),
			  "notifier");
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, zapper_unregister,
						  zapper), 0);
	zapper->task = kthread_create(zapper_thread, zapper, "dmirror_zapper");
	KUNIT_ASSERT_FALSE(test, IS_ERR(zapper->task));
	get_task_struct(zapper->task);
	wake_up_process(zapper->task);

	return zapper;
}

/* Returns how often it did not come to it. */
static unsigned int zapper_stop(struct zapper *zapper)
{
	unsigned int left = zapper->times;

	if (left) {
		zapper->times = 0;
		complete(&zapper->go);
	}
	kthread_stop_put(zapper->task);

	return left;
}

/* Return: as dmirror_exclusive_make() of a page that is dropped meanwhile. */
static int make_while_dropped(struct kunit *test, struct dmirror_mirror *mirror,
			      unsigned long addr, unsigned long *done)
{
	struct zapper *zapper = zapper_start(test, addr);
	unsigned int left;
	int ret;

	ret = dmirror_exclusive_make(mirror, addr, 1, done);
	left = zapper_stop(zapper);
	DMIRROR_EXPECT_ERRNO(test, zapper->error, 0, "the drop itself");
	KUNIT_EXPECT_EQ_MSG(test, left, 0U, "drops that did not happen");

	return ret;
}

/*
 * The folio's lock keeps out the CPU's fault, not MADV_DONTNEED, and mmap_lock
 * is held for reading on both sides: a page that goes away before the device
 * has its entry must not leave one.
 */
static void page_dropped_before_the_device_has_it(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr, done = 99;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = filled(test);
	ret = make_while_dropped(test, mirror, addr + 2 * PAGE_SIZE, &done);
	DMIRROR_EXPECT_ERRNO(test, ret, 0,
			     "exclusive access, dropped in the middle");
	KUNIT_EXPECT_EQ_MSG(test, done, 1UL, "pages made exclusive");
	dmirror_device_read(test, mirror, addr + 2 * PAGE_SIZE, 1, 0,
			    "after MADV_DONTNEED in the middle");
	dmirror_device_write(test, mirror, addr + 2 * PAGE_SIZE, 1, 3,
			     "after MADV_DONTNEED in the middle");
	dmirror_user_check(test, addr + 2 * PAGE_SIZE, 1, 3,
			   "after the device wrote");
}

/* Dropped, so that it has to be tried again, and not to be had any more. */
static void page_dropped_and_protected_meanwhile(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_protect, .times = 1,
	};
	unsigned long addr, done = 99;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = filled(test) + 2 * PAGE_SIZE;
	race.addr = addr;
	dmirror_race_with(test, &race);
	ret = make_while_dropped(test, mirror, addr, &done);
	DMIRROR_EXPECT_ERRNO(test, race.error, 0, "mprotect() itself");
	KUNIT_EXPECT_EQ_MSG(test, race.times, 0U,
			    "mprotect() that did not happen");
	DMIRROR_EXPECT_ERRNO(test, ret, -EFAULT,
			     "exclusive access, protected in the middle");
	KUNIT_EXPECT_EQ_MSG(test, done, 0UL, "pages made exclusive");
	dmirror_expect_pt(test, mirror, addr, "-", "after the refusal");
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&mirror->pt.entries),
			      "the refusal left slots");
}

/* Between two tries nothing else asks for the signal. */
static void killed_between_two_tries(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_kill, .times = 1,
	};
	unsigned long addr, done = 99;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = filled(test) + 2 * PAGE_SIZE;
	dmirror_race_with(test, &race);
	dmirror_killable(test);
	ret = make_while_dropped(test, mirror, addr, &done);
	dmirror_unkill(test);
	KUNIT_EXPECT_EQ_MSG(test, race.times, 0U, "kills that did not happen");
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR,
			     "exclusive access, killed in the middle");
	KUNIT_EXPECT_EQ_MSG(test, done, 0UL, "pages made exclusive");
}

static void kernel_without_device_memory(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	if (IS_ENABLED(CONFIG_DEVICE_PRIVATE))
		kunit_skip(test, "needs CONFIG_DEVICE_PRIVATE=n");
	addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, addr, NR, 1);
	expect_refused(test, mirror, addr, NR, -EOPNOTSUPP,
		       "exclusive access without device memory");
	expect_held(test, mirror, addr, NR, 0, "after the refusal");
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&mirror->pt.entries),
			      "the refusal left slots");
}

/* For disturb_make(), which gets an address only. */
static struct dmirror_mirror *claimant;

static int disturb_make(unsigned long addr)
{
	unsigned long done;

	return dmirror_exclusive_make(claimant, addr, 1, &done);
}

/* Another thread's fault has seen the page, and enters it too late. */
static void fault_under_way_keeps_the_claim(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = filled(test);
	struct dmirror_race race = {
		.disturb = disturb_make, .addr = addr + PAGE_SIZE, .times = 1,
	};

	claimant = mirror;
	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_mirror_fault(mirror, addr,
						  addr + 3 * PAGE_SIZE,
						  DMIRROR_PERM_READ, 0),
			     0, "fault with a claim in the middle");
	dmirror_race_done(test, &race, 1);
	dmirror_expect_pt(test, mirror, addr, "wxw",
			  "after a fault with a claim to page 1 in the middle");
	expect_held(test, mirror, addr + PAGE_SIZE, 1, 1, "after the fault");
}

static struct kunit_case exclusive_cases[] = {
	KUNIT_CASE(device_works_on_its_exclusive_pages),
	KUNIT_CASE(cpu_read_takes_one_page_back),
	KUNIT_CASE(cpu_write_takes_one_page_back),
	KUNIT_CASE(mprotect_takes_it_back),
	KUNIT_CASE(munmap_takes_it_back),
	KUNIT_CASE(dontneed_takes_it_back),
	KUNIT_CASE(exit_takes_it_back),
	KUNIT_CASE(what_happens_elsewhere_does_no_harm),
	KUNIT_CASE(snapshot_does_not_take_it_back),
	KUNIT_CASE(making_it_twice_changes_nothing),
	KUNIT_CASE(ordinary_entries_become_exclusive),
	KUNIT_CASE(untouched_pages_become_exclusive_zeroes),
	KUNIT_CASE(longer_than_a_batch),
	KUNIT_CASE(mirrors_take_it_from_each_other),
	KUNIT_CASE(device_pages_come_home_first),
	KUNIT_CASE(exclusive_pages_do_not_migrate),
	KUNIT_CASE_PARAM(only_writable_mappings, refusal_gen_params),
	KUNIT_CASE(only_anonymous_memory),
	KUNIT_CASE(bad_ranges_are_refused),
	KUNIT_CASE(long_table_is_looked_at_in_parts),
	KUNIT_CASE(failure_in_the_middle_is_told),
	KUNIT_CASE(failed_allocation_is_told),
	KUNIT_CASE(making_it_can_be_killed),
	KUNIT_CASE(reclaim_keeps_what_the_device_wrote),
	KUNIT_CASE(page_dropped_before_the_device_has_it),
	KUNIT_CASE(page_dropped_and_protected_meanwhile),
	KUNIT_CASE(killed_between_two_tries),
	KUNIT_CASE(fault_under_way_keeps_the_claim),
	KUNIT_CASE(kernel_without_device_memory),
	{}
};

DMIRROR_SUITE(exclusive, dmirror_fixture_init_mm, exclusive_cases);
