// SPDX-License-Identifier: GPL-2.0
/*
 * A mirror against a real mm: faults, every way to lose an entry, races made
 * by stopping between hmm_range_fault() and the update lock, and the ends of
 * an mm.
 */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>

#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/mm.h"
#include "private_devmem.h"
#include "race.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

static int fault(struct dmirror_mirror *mirror, unsigned long addr,
		 unsigned long npages, enum dmirror_perm perm)
{
	return dmirror_mirror_fault(mirror, addr,
				    addr + (npages << PAGE_SHIFT), perm,
				    DMIRROR_FAULT_TIMEOUT_MS);
}

/* Maps, writes and faults @npages for writing: all are 'w' in the mirror. */
static unsigned long mirrored(struct kunit *test, struct dmirror_mirror *mirror,
			      unsigned long npages)
{
	unsigned long addr = dmirror_user_map(test, npages, RW);

	dmirror_user_fill(test, addr, npages, 1);
	DMIRROR_ASSERT_OK(test, fault(mirror, addr, npages, DMIRROR_PERM_WRITE),
			  "fault");

	return addr;
}

static void range_check_rejects_bad_ranges(struct kunit *test)
{
	static const struct {
		unsigned long addr, npages;
		int want;
	} rows[] = {
		{ 0x10000, 1, 0 },
		{ 0x10000, 0, -EINVAL },
		{ 0x10001, 1, -EINVAL },
		{ 0x10000 + PAGE_SIZE / 2, 1, -EINVAL },
		{ 0x10000, ULONG_MAX, -EINVAL },
		{ 0x10000, 1UL << (BITS_PER_LONG - PAGE_SHIFT), -EINVAL },
		{ 0x10000, (1UL << (BITS_PER_LONG - PAGE_SHIFT)) + 1, -EINVAL },
		{ ULONG_MAX & PAGE_MASK, 1, -EINVAL },
		{ (ULONG_MAX & PAGE_MASK) - PAGE_SIZE, 1, 0 },
		{ (ULONG_MAX & PAGE_MASK) - PAGE_SIZE, 2, -EINVAL },
	};
	unsigned long end;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int ret = dmirror_range_check(rows[i].addr, rows[i].npages,
					      &end);

		KUNIT_EXPECT_EQ_MSG(test, ret, rows[i].want,
				    "row %u: 0x%lx and 0x%lx pages: got %s wanted %s",
				    i, rows[i].addr, rows[i].npages,
				    dmirror_errno(ret),
				    dmirror_errno(rows[i].want));
		if (!ret)
			KUNIT_EXPECT_EQ(test, end, rows[i].addr +
					rows[i].npages * PAGE_SIZE);
	}
}

static void fault_maps_what_the_cpu_maps(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long rw = dmirror_user_map(test, 4, RW);
	unsigned long ro = dmirror_user_map(test, 2, PROT_READ);

	dmirror_user_fill(test, rw + PAGE_SIZE, 1, 1);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, rw, 3, DMIRROR_PERM_READ), 0,
			     "read fault");
	dmirror_expect_pt(test, mirror, rw, "rwr-", "after a read fault of 3");
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, rw, 4, DMIRROR_PERM_WRITE), 0,
			     "write fault");
	dmirror_expect_pt(test, mirror, rw, "wwww", "after a write fault of 4");
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, ro, 2, DMIRROR_PERM_READ), 0,
			     "read fault of a read-only mapping");
	dmirror_expect_pt(test, mirror, ro, "rr", "after a read fault");
}

static void fault_uses_the_pages_of_the_cpu(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long i, addr = mirrored(test, mirror, 4);
	struct page *got[4], *want[4];

	dmirror_cpu_pages(test, mirror, addr, want, 4);
	mutex_lock(&mirror->pt.lock);
	for (i = 0; i < 4; i++)
		got[i] = dmirror_pt_lookup(&mirror->pt,
					   (addr >> PAGE_SHIFT) + i,
					   DMIRROR_PERM_WRITE);
	mutex_unlock(&mirror->pt.lock);
	for (i = 0; i < 4; i++) {
		KUNIT_ASSERT_NOT_NULL_MSG(test, got[i], "page %lu", i);
		KUNIT_ASSERT_NOT_NULL_MSG(test, want[i], "page %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, page_to_pfn(got[i]),
				    page_to_pfn(want[i]),
				    "pfn of page %lu of [0x%lx,0x%lx)", i, addr,
				    addr + 4 * PAGE_SIZE);
	}
}

static void faults_longer_than_a_batch(struct kunit *test)
{
	static const unsigned long lengths[] = { 63, 64, 65, 127, 128, 130 };
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		unsigned long n = lengths[i];
		unsigned long addr = dmirror_user_map(test, n + 1, RW);
		char *want = kunit_kzalloc(test, n + 2, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, want);
		memset(want, 'w', n);
		want[n] = '-';
		DMIRROR_EXPECT_ERRNO(test,
				     fault(mirror, addr, n, DMIRROR_PERM_WRITE),
				     0, "write fault");
		dmirror_expect_pt(test, mirror, addr, want, "after the fault");
	}
}

static void fault_errors(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long rw = dmirror_user_map(test, 6, RW);
	unsigned long ro = dmirror_user_map(test, 1, PROT_READ);
	unsigned long none = dmirror_user_map(test, 1, PROT_NONE);

	dmirror_user_unmap(test, rw + 2 * PAGE_SIZE, 2);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, rw, 6, DMIRROR_PERM_READ),
			     -EFAULT, "fault over a hole");
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, ro, 1, DMIRROR_PERM_WRITE),
			     -EPERM, "write fault of a read-only mapping");
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, none, 1, DMIRROR_PERM_READ),
			     -EFAULT, "read fault of PROT_NONE");
	dmirror_expect_pt(test, mirror, ro, "-", "after a refused write fault");
	dmirror_expect_pt(test, mirror, none, "-", "after a refused fault");
}

static void fault_failure_leaves_no_slot(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 4, RW);
	unsigned int nth;

	for (nth = 1; nth <= 4; nth++) {
		dmirror_inject_arm(DMIRROR_INJECT_PT_RESERVE, nth);
		DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 4,
						 DMIRROR_PERM_WRITE), -ENOMEM,
				     "fault with a slot failing");
		KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&mirror->pt.entries),
				      "slot %u failed", nth);
	}
	dmirror_user_unmap(test, addr + PAGE_SIZE, 1);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 4, DMIRROR_PERM_WRITE),
			     -EFAULT, "fault over a hole");
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&mirror->pt.entries),
			      "a refused fault left slots");
}

/* A slot that an invalidation took away is reserved anew. */
static void lost_slot_is_retried(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 4, RW);
	struct dmirror_mirror_stats stats;

	dmirror_inject_arm(DMIRROR_INJECT_PT_SET, 3);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 4, DMIRROR_PERM_WRITE),
			     0, "fault with a set failing once");
	KUNIT_EXPECT_FALSE(test, dmirror_inject_disarm(DMIRROR_INJECT_PT_SET));
	dmirror_mirror_stats(mirror, &stats);
	KUNIT_EXPECT_EQ(test, stats.retries, 1UL);
	dmirror_expect_pt(test, mirror, addr, "wwww", "after the retry");
}

static void munmap_clears_its_range(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = mirrored(test, mirror, 8);

	dmirror_user_unmap(test, addr + 2 * PAGE_SIZE, 3);
	dmirror_expect_pt(test, mirror, addr, "ww---www",
			  "after munmap of pages 2 to 4");
}

static void mapping_over_clears_its_range(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = mirrored(test, mirror, 8);

	dmirror_user_map_over(test, addr + 5 * PAGE_SIZE, 2, RW);
	dmirror_expect_pt(test, mirror, addr, "wwwww--w",
			  "after mmap(MAP_FIXED) over pages 5 and 6");
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 8, DMIRROR_PERM_READ), 0,
			     "read fault");
	dmirror_expect_pt(test, mirror, addr, "wwwwwrrw",
			  "after a read fault of the new pages");
}

static void dontneed_clears_its_range(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = mirrored(test, mirror, 4);
	dmirror_user_dontneed(test, addr + PAGE_SIZE, 2);
	dmirror_expect_pt(test, mirror, addr, "w--w",
			  "after MADV_DONTNEED of pages 1 and 2");
}

static void mprotect_clears_its_range(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = mirrored(test, mirror, 4);
	dmirror_user_protect(test, addr, 2, PROT_READ);
	dmirror_expect_pt(test, mirror, addr, "--ww",
			  "after mprotect(PROT_READ) of pages 0 and 1");
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 2, DMIRROR_PERM_WRITE),
			     -EPERM, "write fault of a protected page");
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 4, DMIRROR_PERM_READ), 0,
			     "read fault");
	dmirror_expect_pt(test, mirror, addr, "rrww", "after a read fault");
	dmirror_user_protect(test, addr, 2, RW);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 2, DMIRROR_PERM_WRITE),
			     0, "write fault after mprotect(RW)");
	dmirror_expect_pt(test, mirror, addr, "wwww", "after a write fault");
}

/* The CPU replaces the zero page: the device must not go on reading it. */
static void copy_on_write_clears_the_old_page(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 3, RW);

	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 3, DMIRROR_PERM_READ), 0,
			     "read fault");
	dmirror_expect_pt(test, mirror, addr, "rrr", "after a read fault");
	dmirror_user_fill(test, addr + PAGE_SIZE, 1, 7);
	dmirror_expect_pt(test, mirror, addr, "r-r",
			  "after the CPU wrote to page 1");
}

static void mirrors_of_one_mm_are_independent(struct kunit *test)
{
	struct dmirror_mirror *one = dmirror_mirror_get(test, NULL);
	struct dmirror_mirror *two =
		dmirror_mirror_create(one->notifier.mm, NULL,
				      dmirror_two_pass(test));
	unsigned long addr = mirrored(test, one, 4);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, two);
	DMIRROR_EXPECT_ERRNO(test, fault(two, addr, 2, DMIRROR_PERM_READ), 0,
			     "read fault through the second mirror");
	dmirror_expect_pt(test, two, addr, "ww--", "in the second mirror");
	dmirror_user_unmap(test, addr, 1);
	dmirror_expect_pt(test, one, addr, "-www", "in the first after munmap");
	dmirror_expect_pt(test, two, addr, "-w--", "in the second after munmap");
	dmirror_mirror_destroy(two);
	dmirror_user_unmap(test, addr + PAGE_SIZE, 1);
	dmirror_expect_pt(test, one, addr, "--ww",
			  "in the first after the second is gone");
}

/* Hand-made ranges straight into the callback: their bounds. */
static bool invalidate(struct dmirror_mirror *mirror, unsigned long start,
		       unsigned long end, unsigned int flags)
{
	const struct mmu_interval_notifier_ops *ops = mirror->notifier.ops;
	unsigned long seq = mirror->notifier.invalidate_seq;
	struct mmu_interval_notifier_finish *finish = NULL;
	struct mmu_notifier_range range;
	bool done;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, flags,
				mirror->notifier.mm, start, end);

	/* The sequence stays: core mm knows nothing of this invalidation. */
	if (ops->invalidate)
		return ops->invalidate(&mirror->notifier, &range, seq);
	done = ops->invalidate_start(&mirror->notifier, &range, seq, &finish);
	if (finish) {
		finish->notifier = &mirror->notifier;
		ops->invalidate_finish(finish);
	}

	return done;
}

static void invalidation_is_exact(struct kunit *test)
{
	static const struct {
		unsigned long start, end;
		const char *left;
	} rows[] = {
		{ 0, 1, "-www" }, { 3, 4, "www-" }, { 1, 3, "w--w" },
		{ 0, 4, "----" }, { 4, 8, "wwww" }, { 2, 2, "wwww" },
	};
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned long addr = mirrored(test, mirror, 4);

		KUNIT_EXPECT_TRUE(test,
				  invalidate(mirror,
					     addr + rows[i].start * PAGE_SIZE,
					     addr + rows[i].end * PAGE_SIZE,
					     MMU_NOTIFIER_RANGE_BLOCKABLE));
		dmirror_expect_pt(test, mirror, addr, rows[i].left,
				  "after a hand-made invalidation");
	}
}

static void invalidation_of_everything(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = mirrored(test, mirror, 4);

	KUNIT_EXPECT_TRUE(test, invalidate(mirror, 0, ULONG_MAX,
					   MMU_NOTIFIER_RANGE_BLOCKABLE));
	dmirror_expect_pt(test, mirror, addr, "----",
			  "after invalidation of [0,ULONG_MAX)");
	KUNIT_EXPECT_EQ(test, mirror->pt.nr, 0UL);
}

static void partial_pages_are_rounded_out(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = mirrored(test, mirror, 4);

	KUNIT_EXPECT_TRUE(test, invalidate(mirror, addr + PAGE_SIZE + 1,
					   addr + 2 * PAGE_SIZE + 1,
					   MMU_NOTIFIER_RANGE_BLOCKABLE));
	dmirror_expect_pt(test, mirror, addr, "w--w",
			  "after invalidation of a part of pages 1 and 2");
}

static void update_lock(void *data)
{
	struct dmirror_mirror *mirror = data;

	mutex_lock(&mirror->pt.lock);
}

static void update_unlock(void *data)
{
	struct dmirror_mirror *mirror = data;

	mutex_unlock(&mirror->pt.lock);
}

/* An invalidation that may not sleep is refused, by core mm's own path. */
static void non_blockable_invalidation_is_refused(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct dmirror_holder holder = {
		.lock = update_lock, .unlock = update_unlock, .arg = mirror,
	};
	struct mmu_notifier_range range;
	unsigned long addr;
	int held, free;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = mirrored(test, mirror, 2);
	dmirror_hold(test, &holder);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0,
				mirror->notifier.mm, addr, addr + PAGE_SIZE);
	held = user_invalidate_nonblock(&range);
	dmirror_unhold(&holder);

	DMIRROR_EXPECT_ERRNO(test, held, -EAGAIN,
			     "non-blockable invalidation with the lock held");
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mirror->refused), 1L);
	dmirror_expect_pt(test, mirror, addr, "ww", "after the refusal");

	free = user_invalidate_nonblock(&range);
	DMIRROR_EXPECT_ERRNO(test, free, 0,
			     "non-blockable invalidation with the lock free");
	dmirror_expect_pt(test, mirror, addr, "-w", "after the invalidation");
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 2, DMIRROR_PERM_WRITE),
			     0, "fault after the refusal and the invalidation");
}

/**
 * struct witness - an interval notifier that looks at a mirror
 * @notifier: after the mirror's own, as it begins later
 * @mirror: the mirror
 * @calls: invalidations it was told of
 * @entries: entries of the mirror at the first of them
 */
struct witness {
	struct mmu_interval_notifier notifier;
	struct dmirror_mirror *mirror;
	unsigned int calls;
	unsigned long entries;
};

static bool witness_invalidate(struct mmu_interval_notifier *notifier,
			       const struct mmu_notifier_range *range,
			       unsigned long cur_seq)
{
	struct witness *witness =
		container_of(notifier, struct witness, notifier);

	mmu_interval_set_seq(notifier, cur_seq);
	mutex_lock(&witness->mirror->pt.lock);
	if (!witness->calls++)
		witness->entries = witness->mirror->pt.nr;
	mutex_unlock(&witness->mirror->pt.lock);

	return true;
}

static const struct mmu_interval_notifier_ops witness_ops = {
	.invalidate = witness_invalidate,
};

static struct witness *witness_get(struct kunit *test,
				   struct dmirror_mirror *mirror,
				   unsigned long addr)
{
	struct witness *witness =
		kunit_kzalloc(test, sizeof(*witness), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, witness);
	witness->mirror = mirror;
	DMIRROR_ASSERT_OK(test,
			  mmu_interval_notifier_insert(&witness->notifier,
						       mirror->notifier.mm,
						       addr, PAGE_SIZE,
						       &witness_ops),
			  "second notifier");

	return witness;
}

/* With two passes the entries go in the second, after all other notifiers. */
static void entries_go_in_the_last_pass(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	bool two_pass = dmirror_two_pass(test);
	unsigned long addr = mirrored(test, mirror, 4);
	struct witness *witness = witness_get(test, mirror, addr);
	struct dmirror_mirror_stats stats;

	dmirror_user_unmap(test, addr, 3);
	mmu_interval_notifier_remove(&witness->notifier);
	KUNIT_EXPECT_EQ_MSG(test, witness->calls, 1U,
			    "invalidations that the other notifier saw");
	KUNIT_EXPECT_EQ_MSG(test, witness->entries, two_pass ? 4UL : 1UL,
			    "entries while the other notifier was told");
	dmirror_expect_pt(test, mirror, addr, "---w", "after munmap");
	dmirror_mirror_stats(mirror, &stats);
	KUNIT_EXPECT_EQ(test, stats.finishes, two_pass ? 1UL : 0UL);
}

/* Without memory for the note between the passes it is all done at once. */
static void without_memory_one_pass_does_it(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = mirrored(test, mirror, 4);
	struct witness *witness = witness_get(test, mirror, addr);
	struct dmirror_mirror_stats stats;

	if (dmirror_two_pass(test))
		dmirror_inject_arm(DMIRROR_INJECT_FINISH_ALLOC, 1);
	dmirror_user_unmap(test, addr, 3);
	mmu_interval_notifier_remove(&witness->notifier);
	KUNIT_EXPECT_EQ_MSG(test, witness->entries, 1UL,
			    "entries while the other notifier was told");
	dmirror_expect_pt(test, mirror, addr, "---w", "after munmap");
	dmirror_mirror_stats(mirror, &stats);
	KUNIT_EXPECT_EQ(test, stats.finishes, 0UL);
	KUNIT_EXPECT_EQ(test, stats.invalidations, 1UL);
}

static void unmap_during_fault(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 3, RW);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_unmap, .addr = addr + PAGE_SIZE,
		.times = 1,
	};

	dmirror_user_fill(test, addr, 3, 1);
	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 3, DMIRROR_PERM_WRITE),
			     -EFAULT, "fault with munmap in the middle");
	dmirror_race_done(test, &race, 2);
	dmirror_expect_pt(test, mirror, addr, "---",
			  "after a fault that lost to munmap of page 1");
}

static void replacement_during_fault(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 3, RW);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_replace, .addr = addr + PAGE_SIZE,
		.times = 1,
	};
	struct dmirror_mirror_stats stats;

	dmirror_user_fill(test, addr, 3, 1);
	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 3, DMIRROR_PERM_READ), 0,
			     "fault with a page replaced in the middle");
	dmirror_race_done(test, &race, 2);
	dmirror_mirror_stats(mirror, &stats);
	KUNIT_EXPECT_EQ(test, stats.retries, 1UL);
	dmirror_expect_pt(test, mirror, addr, "wrw",
			  "after a fault in which page 1 was replaced");
	dmirror_device_read(test, mirror, addr + PAGE_SIZE, 1, 0,
			    "after page 1 was replaced by a new one");
}

static void protection_during_fault(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_protect, .times = 1,
	};
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = dmirror_user_map(test, 3, RW);
	race.addr = addr + PAGE_SIZE;
	dmirror_user_fill(test, addr, 3, 1);
	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 3, DMIRROR_PERM_WRITE),
			     -EPERM, "fault with mprotect in the middle");
	dmirror_expect_pt(test, mirror, addr, "---",
			  "after a fault that lost to mprotect of page 1");
}

static void invalidation_elsewhere_does_no_harm(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 2, RW);
	unsigned long other = mirrored(test, mirror, 3);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_unmap, .addr = other + PAGE_SIZE,
		.times = 1,
	};

	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 2, DMIRROR_PERM_WRITE),
			     0, "fault with munmap elsewhere in the middle");
	dmirror_expect_pt(test, mirror, addr, "ww", "after the fault");
	dmirror_expect_pt(test, mirror, other, "w-w", "where munmap was");
}

static void fault_gives_up_in_time(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 3, RW);
	unsigned long end = addr + 3 * PAGE_SIZE;
	struct dmirror_race race = {
		.disturb = dmirror_disturb_replace, .addr = addr + PAGE_SIZE,
		.times = UINT_MAX,
	};
	struct dmirror_mirror_stats stats;

	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_mirror_fault(mirror, addr, end,
						  DMIRROR_PERM_READ, 0),
			     -EBUSY, "fault with no time");
	dmirror_race_done(test, &race, 1);
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_mirror_fault(mirror, addr, end,
						  DMIRROR_PERM_READ, 20),
			     -EBUSY, "fault that never finds a quiet moment");
	KUNIT_EXPECT_GE_MSG(test, race.calls, 2U, "calls with some time");
	dmirror_mirror_stats(mirror, &stats);
	KUNIT_EXPECT_EQ(test, stats.retries, (unsigned long)race.calls);
	dmirror_expect_pt(test, mirror, addr, "---", "after giving up");
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&mirror->pt.entries),
			      "giving up left slots");
}

static void fault_can_be_killed(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 3, RW);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_replace_and_kill,
		.addr = addr + PAGE_SIZE, .times = 1,
	};
	int ret;

	dmirror_race_with(test, &race);
	dmirror_killable(test);
	ret = fault(mirror, addr, 3, DMIRROR_PERM_READ);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR, "fault of a killed thread");
	dmirror_race_done(test, &race, 1);
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&mirror->pt.entries),
			      "a killed fault left slots");
}

static void long_fault_can_be_killed(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 200, RW);
	struct dmirror_race race = { .disturb = dmirror_disturb_kill, .times = 1 };
	int ret;

	dmirror_race_with(test, &race);
	dmirror_killable(test);
	ret = fault(mirror, addr, 200, DMIRROR_PERM_READ);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR,
			     "fault killed in its first batch");
	dmirror_race_done(test, &race, 1);
}

static void mm_dies_under_the_mirror(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = mirrored(test, mirror, 3);

	dmirror_user_exit(test);
	dmirror_expect_pt(test, mirror, addr, "---", "after exit_mmap()");
	KUNIT_EXPECT_EQ(test, mirror->pt.nr, 0UL);
	DMIRROR_EXPECT_ERRNO(test, fault(mirror, addr, 3, DMIRROR_PERM_READ),
			     -EFAULT, "fault of a dead mm");
}

static void dead_mm_is_not_mirrored(struct kunit *test)
{
	struct mm_struct *mm = dmirror_fixture(test)->mm;
	struct dmirror_mirror *mirror;

	mmgrab(mm);
	dmirror_user_exit(test);
	mirror = dmirror_mirror_create(mm, NULL, dmirror_two_pass(test));
	mmdrop(mm);
	DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(mirror), -ESRCH,
			     "mirror of a dead mm");
	if (!IS_ERR(mirror))
		dmirror_mirror_destroy(mirror);
}

static void failed_creation_leaves_nothing(struct kunit *test)
{
	static const enum dmirror_inject_point points[] = {
		DMIRROR_INJECT_MIRROR_ALLOC, DMIRROR_INJECT_NOTIFIER,
	};
	struct mm_struct *mm = dmirror_fixture(test)->mm;
	int users = atomic_read(&mm->mm_users);
	struct dmirror_mirror *mirror;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		const char *name = dmirror_inject_name(points[i]);

		dmirror_inject_arm(points[i], 1);
		mirror = dmirror_mirror_create(mm, NULL,
					       dmirror_two_pass(test));
		DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(mirror), -ENOMEM,
				     name);
		KUNIT_EXPECT_FALSE_MSG(test, dmirror_inject_disarm(points[i]),
				       "%s was never reached", name);
		if (!IS_ERR(mirror))
			dmirror_mirror_destroy(mirror);
	}
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&mm->mm_users), users,
			    "users of the mm after the failures");
	mirrored(test, dmirror_mirror_get(test, NULL), 3);
}

static void destroy_lets_the_mm_live(struct kunit *test)
{
	struct dmirror_mirror *mirror;
	unsigned long addr = dmirror_user_map(test, 3, RW);
	unsigned int round;

	for (round = 1; round <= 3; round++) {
		mirror = dmirror_mirror_create(dmirror_fixture(test)->mm, NULL,
					       dmirror_two_pass(test));
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mirror);
		dmirror_device_write(test, mirror, addr, 3, round, "write");
		dmirror_mirror_destroy(mirror);
		dmirror_user_check(test, addr, 3, round,
				   "after the mirror is gone");
	}
	dmirror_mirror_destroy(NULL);
}

/* Every case with each form of core mm's interval notifiers. */
static const struct form {
	const char *name;
	bool two_pass;
} forms[] = {
	{ "one_pass", false },
	{ "two_pass", true },
};

KUNIT_ARRAY_PARAM_DESC(form, forms, name);

static int mirror_init(struct kunit *test)
{
	const struct form *form = test->param_value;
	int ret = dmirror_fixture_init_mm(test);

	if (!ret)
		dmirror_fixture(test)->two_pass = form->two_pass;

	return ret;
}

static struct kunit_case mirror_cases[] = {
	KUNIT_CASE_PARAM(range_check_rejects_bad_ranges, form_gen_params),
	KUNIT_CASE_PARAM(fault_maps_what_the_cpu_maps, form_gen_params),
	KUNIT_CASE_PARAM(fault_uses_the_pages_of_the_cpu, form_gen_params),
	KUNIT_CASE_PARAM(faults_longer_than_a_batch, form_gen_params),
	KUNIT_CASE_PARAM(fault_errors, form_gen_params),
	KUNIT_CASE_PARAM(fault_failure_leaves_no_slot, form_gen_params),
	KUNIT_CASE_PARAM(lost_slot_is_retried, form_gen_params),
	KUNIT_CASE_PARAM(munmap_clears_its_range, form_gen_params),
	KUNIT_CASE_PARAM(mapping_over_clears_its_range, form_gen_params),
	KUNIT_CASE_PARAM(dontneed_clears_its_range, form_gen_params),
	KUNIT_CASE_PARAM(mprotect_clears_its_range, form_gen_params),
	KUNIT_CASE_PARAM(copy_on_write_clears_the_old_page, form_gen_params),
	KUNIT_CASE_PARAM(mirrors_of_one_mm_are_independent, form_gen_params),
	KUNIT_CASE_PARAM(invalidation_is_exact, form_gen_params),
	KUNIT_CASE_PARAM(invalidation_of_everything, form_gen_params),
	KUNIT_CASE_PARAM(partial_pages_are_rounded_out, form_gen_params),
	KUNIT_CASE_PARAM(non_blockable_invalidation_is_refused,
			 form_gen_params),
	KUNIT_CASE_PARAM(entries_go_in_the_last_pass, form_gen_params),
	KUNIT_CASE_PARAM(without_memory_one_pass_does_it, form_gen_params),
	KUNIT_CASE_PARAM(unmap_during_fault, form_gen_params),
	KUNIT_CASE_PARAM(replacement_during_fault, form_gen_params),
	KUNIT_CASE_PARAM(protection_during_fault, form_gen_params),
	KUNIT_CASE_PARAM(invalidation_elsewhere_does_no_harm, form_gen_params),
	KUNIT_CASE_PARAM(fault_gives_up_in_time, form_gen_params),
	KUNIT_CASE_PARAM(fault_can_be_killed, form_gen_params),
	KUNIT_CASE_PARAM(long_fault_can_be_killed, form_gen_params),
	KUNIT_CASE_PARAM(mm_dies_under_the_mirror, form_gen_params),
	KUNIT_CASE_PARAM(dead_mm_is_not_mirrored, form_gen_params),
	KUNIT_CASE_PARAM(failed_creation_leaves_nothing, form_gen_params),
	KUNIT_CASE_PARAM(destroy_lets_the_mm_live, form_gen_params),
	{}
};

DMIRROR_SUITE(mirror, mirror_init, mirror_cases);
