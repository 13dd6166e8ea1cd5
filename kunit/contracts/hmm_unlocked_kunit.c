// SPDX-License-Identifier: GPL-2.0
/*
 * What hmm_range_fault_unlocked_timeout() of Linux 7.3 promises beyond
 * hmm_range_fault(): the comment above it and "Address space mirroring" of
 * Documentation/mm/hmm.rst. That it says the same of every kind of entry is in
 * hmm_flags_kunit.c.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/oom.h>
#include <linux/sched/signal.h>

#include "../user.h"
#include "hmm_probe.h"
#include "hmm_special.h"

#define RW (PROT_READ | PROT_WRITE)

static struct hmm_probe *unlocked_get(struct kunit *test, unsigned long nr)
{
	struct hmm_probe *probe;

	hmm_probe_requires_unlocked(test);
	probe = hmm_probe_get(test, nr);
	probe->unlocked = true;

	return probe;
}

/* What a handler does that has to wait for something. */
static vm_fault_t drop_lock(struct vm_fault *vmf)
{
	mmap_read_unlock(vmf->vma->vm_mm);

	return VM_FAULT_RETRY;
}

/* Maps the page by itself, for a handler that returns without the lock. */
static vm_fault_t drop_lock_when_done(struct hmm_special *special,
				      struct vm_fault *vmf)
{
	if (vm_insert_page(vmf->vma, vmf->address, special->page))
		return VM_FAULT_SIGBUS;
	mmap_read_unlock(vmf->vma->vm_mm);

	return VM_FAULT_NOPAGE | VM_FAULT_COMPLETED;
}

static vm_fault_t fault_retries(struct hmm_special *special,
				struct vm_fault *vmf)
{
	return special->faults < 3 ? drop_lock(vmf) :
				     hmm_special_page(special, vmf);
}

static vm_fault_t fault_completes(struct hmm_special *special,
				  struct vm_fault *vmf)
{
	return drop_lock_when_done(special, vmf);
}

struct dropper {
	const char *name;
	hmm_special_fault_t fault;
	vm_flags_t flags;
	unsigned int faults; /* of a range of two pages */
};

static const struct dropper dropper_rows[] = {
	{ "keeps_it", NULL, 0, 2 },
	{ "retries", fault_retries, 0, 4 },
	{ "completes", fault_completes, VM_MIXEDMAP, 2 },
};

KUNIT_ARRAY_PARAM_DESC(dropper, dropper_rows, name);

static void expect_free_lock(struct kunit *test)
{
	KUNIT_EXPECT_FALSE_MSG(test, rwsem_is_locked(&current->mm->mmap_lock),
			       "mmap_lock is still held");
}

static void expect_fresh(struct kunit *test, struct hmm_probe *probe)
{
	KUNIT_EXPECT_FALSE_MSG(test,
			       mmu_interval_read_retry(&probe->notifier,
						       probe->range.notifier_seq),
			       "the sequence is not that of the answer");
}

/*
 * 7.3, "mm/hmm: move page fault handling out of walk callbacks" and "mm/hmm:
 * add hmm_range_fault_unlocked_timeout()" (c10ed1c5cb4c and cf5190133132 before
 * they were merged): the handler may drop mmap_lock, before it is done or
 * after. The call may be killed and is not of this process. B35.
 */
static void handler_may_drop_the_lock(struct kunit *test)
{
	const struct dropper *row = test->param_value;
	const unsigned int want = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE |
				  FAULT_FLAG_REMOTE;
	struct hmm_probe *probe = unlocked_get(test, 4);
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = dmirror_user_map(test, 4, RW);
	int ret;

	special->fault = row->fault;
	special->flags = row->flags;
	hmm_special_map(test, special, addr + PAGE_SIZE, 2, RW);
	dmirror_user_fill(test, addr, 1, 1);
	dmirror_user_fill(test, addr + 3 * PAGE_SIZE, 1, 1);
	probe->range.default_flags = HMM_READ;
	ret = hmm_probe_ask(probe, addr, 4);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, row->name);
	expect_free_lock(test);
	expect_fresh(test, probe);
	KUNIT_EXPECT_EQ_MSG(test, special->faults, row->faults, "faults");
	KUNIT_EXPECT_EQ_MSG(test, special->seen & want, want,
			    "flags of the fault: 0x%x", special->seen);
	hmm_probe_expect(test, probe, addr, "wwww", row->name);
}

/* How often the handlers below invalidate, or drop the lock. */
#define TIMES 5

static vm_fault_t fault_zaps(struct hmm_special *special, struct vm_fault *vmf)
{
	if (special->faults <= TIMES)
		hmm_special_zap(special);

	return hmm_special_page(special, vmf);
}

/* "or the range is invalidated, the function refreshes notifier_seq" */
static void invalidated_range_is_walked_again(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 1);
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = hmm_special_map(test, special, 0, 1, RW);
	unsigned int before = probe->invalidations;
	int ret;

	special->fault = fault_zaps;
	probe->range.default_flags = HMM_READ;
	ret = hmm_probe_ask(probe, addr, 1);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "fault that invalidates");
	/* Each of them maps the page, which is all that the range needs. */
	KUNIT_EXPECT_GE_MSG(test, probe->invalidations - before, 1U,
			    "invalidations");
	expect_free_lock(test);
	expect_fresh(test, probe);
	hmm_probe_expect(test, probe, addr, "w", "after all");
}

static vm_fault_t fault_never_settles(struct hmm_special *special,
				      struct vm_fault *vmf)
{
	hmm_special_zap(special);
	/* Should the call not end by itself, the case does. */
	if (special->faults > 1000000)
		return VM_FAULT_SIGBUS;

	return VM_FAULT_NOPAGE;
}

/* "returns -EBUSY if the retry budget is exhausted" */
static void timeout_is_a_limit(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 1);
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = hmm_special_map(test, special, 0, 1, RW);
	int ret;

	special->fault = fault_never_settles;
	probe->timeout = 1;
	probe->range.default_flags = HMM_READ;
	ret = hmm_probe_ask(probe, addr, 1);
	DMIRROR_EXPECT_ERRNO(test, ret, -EBUSY, "range that never settles");
	KUNIT_EXPECT_GT_MSG(test, special->faults, 1U, "tries");
	expect_free_lock(test);
	hmm_probe_expect_input(test, probe, 0, 0, "after the timeout");
}

static bool is_past(void *data)
{
	return time_after_eq(jiffies, *(unsigned long *)data);
}

static vm_fault_t fault_takes_its_time(struct hmm_special *special,
				       struct vm_fault *vmf)
{
	unsigned long then = jiffies + 2;

	if (special->faults > 1)
		return hmm_special_page(special, vmf);
	/* Longer than the timeout, but that is not what it is about. */
	dmirror_wait_for(is_past, &then);

	return drop_lock(vmf);
}

/* "a caller policy limit for repeated mmu-notifier invalidation retries" */
static void timeout_is_none_for_faults(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 1);
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = hmm_special_map(test, special, 0, 1, RW);
	int ret;

	special->fault = fault_takes_its_time;
	probe->timeout = 1;
	probe->range.default_flags = HMM_READ;
	ret = hmm_probe_ask(probe, addr, 1);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "slow fault without the lock");
	KUNIT_EXPECT_EQ_MSG(test, special->faults, 2U, "tries");
	hmm_probe_expect(test, probe, addr, "w", "after the slow fault");
}

static vm_fault_t fault_unmaps(struct hmm_special *special,
			       struct vm_fault *vmf)
{
	vm_fault_t ret = drop_lock(vmf);

	vm_munmap(special->addr, special->nr << PAGE_SHIFT);

	return ret;
}

/* While the lock is dropped even the VMA can go: then there is none. */
static void mapping_may_go_while_the_lock_is_dropped(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 2);
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = dmirror_user_map(test, 2, RW);
	int ret;

	special->fault = fault_unmaps;
	hmm_special_map(test, special, addr + PAGE_SIZE, 1, RW);
	dmirror_user_fill(test, addr, 1, 1);
	probe->range.default_flags = HMM_READ;
	ret = hmm_probe_ask(probe, addr, 2);
	DMIRROR_EXPECT_ERRNO(test, ret, -EFAULT, "mapping that has gone");
	KUNIT_EXPECT_EQ_MSG(test, special->faults, 1U, "faults");
	expect_free_lock(test);
	hmm_probe_expect(test, probe, addr, "w", "before the hole");
	hmm_probe_expect_input(test, probe, 1, 0, "from the hole on");
}

static vm_fault_t fault_kills(struct hmm_special *special, struct vm_fault *vmf)
{
	if (special->faults > 1)
		return hmm_special_page(special, vmf);
	send_sig(SIGKILL, current, 1);

	return drop_lock(vmf);
}

/* "-EINTR is returned if ... a fatal signal is pending during retry handling" */
static void killed_while_the_lock_is_dropped(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 1);
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = hmm_special_map(test, special, 0, 1, RW);
	int ret;

	special->fault = fault_kills;
	probe->range.default_flags = HMM_READ;
	dmirror_killable(test);
	ret = hmm_probe_ask(probe, addr, 1);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR, "killed in a fault");
	KUNIT_EXPECT_EQ_MSG(test, special->faults, 1U, "faults");
	expect_free_lock(test);
	hmm_probe_expect_input(test, probe, 0, 0, "after the signal");
}

static vm_fault_t fault_kills_and_zaps(struct hmm_special *special,
				       struct vm_fault *vmf)
{
	if (special->faults == 1)
		send_sig(SIGKILL, current, 1);
	if (special->faults > TIMES)
		return hmm_special_page(special, vmf);
	hmm_special_zap(special);

	return VM_FAULT_NOPAGE;
}

/*
 * The same, where it is invalidations that make it try again. Up to 7.3 the
 * signal is looked for only after a fault that dropped the lock: with timeout
 * 0, and a range that does not settle, the thread cannot be killed.
 */
static void killed_while_the_range_is_invalidated(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 1);
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = hmm_special_map(test, special, 0, 1, RW);
	int ret;

	special->fault = fault_kills_and_zaps;
	probe->range.default_flags = HMM_READ;
	dmirror_killable(test);
	ret = hmm_probe_ask(probe, addr, 1);
	dmirror_unkill(test);
	if (!ret && special->faults > TIMES)
		DMIRROR_KNOWN_DEFECT(test,
				     "killed in hmm_range_fault_unlocked_timeout()");
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR, "killed between two tries");
	KUNIT_EXPECT_EQ_MSG(test, special->faults, 1U, "faults");
	hmm_probe_expect_input(test, probe, 0, 0, "after the signal");
}

static void hold_for_writing(void *mm)
{
	mmap_write_lock(mm);
}

static void let_go(void *mm)
{
	mmap_write_unlock(mm);
}

/* "-EINTR is returned if mmap_lock acquisition is interrupted" */
static void killed_while_it_waits_for_the_lock(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 1);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	struct dmirror_holder holder = {
		.lock = hold_for_writing,
		.unlock = let_go,
		.arg = current->mm,
	};
	int ret;

	probe->range.default_flags = HMM_READ;
	dmirror_hold(test, &holder);
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	ret = hmm_probe_ask(probe, addr, 1);
	dmirror_unkill(test);
	dmirror_unhold(&holder);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR, "killed while it waits");
	expect_free_lock(test);
	hmm_probe_expect_input(test, probe, 0, 0, "after the signal");
}

/* The mm whose memory the OOM reaper takes is not to be faulted into. */
static void reaped_mm_is_refused(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 1);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	struct mm_struct *mm = current->mm;
	int ret;

	dmirror_user_fill(test, addr, 1, 1);
	probe->range.default_flags = HMM_READ;
	mm_flags_set(MMF_UNSTABLE, mm);
	ret = hmm_probe_ask(probe, addr, 1);
	mm_flags_clear(MMF_UNSTABLE, mm);
	DMIRROR_EXPECT_ERRNO(test, ret, -EFAULT, "mm of an OOM victim");
	expect_free_lock(test);
	hmm_probe_expect_input(test, probe, 0, 0, "mm of an OOM victim");
}

static vm_fault_t fault_unmaps_neighbour(struct hmm_special *special,
					 struct vm_fault *vmf)
{
	vm_fault_t ret;

	if (special->faults > 1)
		return hmm_special_page(special, vmf);
	ret = drop_lock(vmf);
	vm_munmap(special->addr - PAGE_SIZE, PAGE_SIZE);

	return ret;
}

/*
 * hmm.h: "0 - Return the current state of the page, do not fault it", which is
 * HMM_PFN_ERROR of a page that has been unmapped. Up to 7.3 the new walk takes
 * the first one's output for input: HMM_PFN_VALID is HMM_PFN_REQ_FAULT.
 */
static void second_walk_asks_for_what_the_first_did(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 2);
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = dmirror_user_map(test, 2, RW);
	int ret;

	special->fault = fault_unmaps_neighbour;
	hmm_special_map(test, special, addr + PAGE_SIZE, 1, RW);
	dmirror_user_fill(test, addr, 1, 1);
	probe->range.pfn_flags_mask = ULONG_MAX;
	probe->pfns[1] = HMM_READ;
	ret = hmm_probe_ask(probe, addr, 2);
	if (ret == -EFAULT)
		DMIRROR_KNOWN_DEFECT(test,
				     "requests of hmm_range_fault_unlocked_timeout()");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "request of the second page only");
	hmm_probe_expect(test, probe, addr, "Ew", "after the second walk");
}

static vm_fault_t fault_protects_neighbour(struct hmm_special *special,
					   struct vm_fault *vmf)
{
	vm_fault_t ret;

	if (special->faults > 1)
		return hmm_special_page(special, vmf);
	ret = drop_lock(vmf);
	user_mprotect(special->addr - PAGE_SIZE, PAGE_SIZE, PROT_READ);

	return ret;
}

/* The same of a page that is asked to be readable, and was writable. */
static void second_walk_asks_for_no_more_than_the_first(struct kunit *test)
{
	struct hmm_probe *probe = unlocked_get(test, 2);
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = dmirror_user_map(test, 2, RW);
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	special->fault = fault_protects_neighbour;
	hmm_special_map(test, special, addr + PAGE_SIZE, 1, RW);
	dmirror_user_fill(test, addr, 1, 1);
	probe->range.pfn_flags_mask = ULONG_MAX;
	hmm_probe_fill(probe, HMM_READ);
	ret = hmm_probe_ask(probe, addr, 2);
	if (ret == -EPERM)
		DMIRROR_KNOWN_DEFECT(test,
				     "requests of hmm_range_fault_unlocked_timeout()");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "read request of both");
	hmm_probe_expect(test, probe, addr, "rw", "after the second walk");
}

static struct kunit_case hmm_unlocked_cases[] = {
	KUNIT_CASE_PARAM(handler_may_drop_the_lock, dropper_gen_params),
	KUNIT_CASE(invalidated_range_is_walked_again),
	KUNIT_CASE(timeout_is_a_limit),
	KUNIT_CASE(timeout_is_none_for_faults),
	KUNIT_CASE(mapping_may_go_while_the_lock_is_dropped),
	KUNIT_CASE(killed_while_the_lock_is_dropped),
	KUNIT_CASE(killed_while_the_range_is_invalidated),
	KUNIT_CASE(killed_while_it_waits_for_the_lock),
	KUNIT_CASE(reaped_mm_is_refused),
	KUNIT_CASE(second_walk_asks_for_what_the_first_did),
	KUNIT_CASE(second_walk_asks_for_no_more_than_the_first),
	{}
};

DMIRROR_SUITE_AS(hmm_unlocked, dmirror_case_init_mm, hmm_unlocked_cases);
