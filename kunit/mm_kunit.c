// SPDX-License-Identifier: GPL-2.0
/* The seam to core mm: what each wrapper adds, and what it must not change. */
#include "mirror_fixture.h"

#include <linux/hmm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/pgtable.h>
#include <linux/sched/signal.h>

#include "../drivers/dmirror/mm.h"

static void zero_page_is_recognised(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	bool ours;

	KUNIT_ASSERT_NOT_NULL(test, page);
	ours = dmirror_mm_is_zero_page(page);
	__free_page(page);
	KUNIT_EXPECT_FALSE_MSG(test, ours,
			       "a page full of zeroes is not the zero page");
	KUNIT_EXPECT_TRUE(test, dmirror_mm_is_zero_page(ZERO_PAGE(0)));
}

static void range_fault_holds_mmap_lock_inside_only(struct kunit *test)
{
	struct mm_struct *mm = dmirror_fixture(test)->mm;
	unsigned long addr = dmirror_user_map(test, 1, PROT_READ | PROT_WRITE);
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long pfn = 0;
	struct hmm_range range = {
		.notifier = &mirror->notifier,
		.start = addr,
		.end = addr + PAGE_SIZE,
		.hmm_pfns = &pfn,
		.default_flags = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE,
	};

	range.notifier_seq = mmu_interval_read_begin(range.notifier);
	DMIRROR_EXPECT_ERRNO(test, dmirror_mm_range_fault(&range), 0,
			     "range fault without mmap_lock");
	KUNIT_EXPECT_FALSE_MSG(test, rwsem_is_locked(&mm->mmap_lock),
			       "mmap_lock is still held");
	KUNIT_EXPECT_EQ(test, pfn & (HMM_PFN_VALID | HMM_PFN_WRITE),
			HMM_PFN_VALID | HMM_PFN_WRITE);
}

static void range_fault_refuses_an_old_sequence(struct kunit *test)
{
	unsigned long addr = dmirror_user_map(test, 2, PROT_READ);
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long pfn = 0;
	struct hmm_range range = {
		.notifier = &mirror->notifier,
		.start = addr,
		.end = addr + PAGE_SIZE,
		.hmm_pfns = &pfn,
		.default_flags = HMM_PFN_REQ_FAULT,
	};

	range.notifier_seq = mmu_interval_read_begin(range.notifier);
	dmirror_user_unmap(test, addr + PAGE_SIZE, 1);
	DMIRROR_EXPECT_ERRNO(test, dmirror_mm_range_fault(&range), -EBUSY,
			     "range fault after an invalidation");
	range.notifier_seq = mmu_interval_read_begin(range.notifier);
	DMIRROR_EXPECT_ERRNO(test, dmirror_mm_range_fault(&range), 0,
			     "range fault with a new sequence");
}

static void mmap_lock_take(void *data)
{
	mmap_write_lock((struct mm_struct *)data);
}

static void mmap_lock_drop(void *data)
{
	mmap_write_unlock((struct mm_struct *)data);
}

static void range_fault_can_be_killed(struct kunit *test)
{
	struct mm_struct *mm = dmirror_fixture(test)->mm;
	unsigned long addr = dmirror_user_map(test, 1, PROT_READ);
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct dmirror_holder writer = {
		.lock = mmap_lock_take, .unlock = mmap_lock_drop, .arg = mm,
	};
	unsigned long pfn = 0;
	struct hmm_range range = {
		.notifier = &mirror->notifier,
		.start = addr,
		.end = addr + PAGE_SIZE,
		.hmm_pfns = &pfn,
	};
	int ret;

	range.notifier_seq = mmu_interval_read_begin(range.notifier);
	/* A writer in the way, so that the lock has to be waited for. */
	dmirror_hold(test, &writer);
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	ret = -ENODATA;
	if (fatal_signal_pending(current))
		ret = dmirror_mm_range_fault(&range);
	dmirror_unkill(test);
	dmirror_unhold(&writer);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR,
			     "range fault of a killed thread");
}

static struct kunit_case mm_cases[] = {
	KUNIT_CASE(zero_page_is_recognised),
	KUNIT_CASE(range_fault_holds_mmap_lock_inside_only),
	KUNIT_CASE(range_fault_refuses_an_old_sequence),
	KUNIT_CASE(range_fault_can_be_killed),
	{}
};

DMIRROR_SUITE(mm, dmirror_fixture_init_mm, mm_cases);
