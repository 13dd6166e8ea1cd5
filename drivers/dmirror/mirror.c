// SPDX-License-Identifier: GPL-2.0
#include "mirror.h"

#include <kunit/visibility.h>
#include <linux/jiffies.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "devmem.h"
#include "inject.h"
#include "mm.h"
#include "trace.h"

int dmirror_range_check(unsigned long addr, unsigned long npages,
			unsigned long *end)
{
	if (!PAGE_ALIGNED(addr) || !npages)
		return -EINVAL;
	if (npages > (ULONG_MAX - addr) >> PAGE_SHIFT)
		return -EINVAL;

	*end = addr + (npages << PAGE_SHIFT);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_range_check);

bool dmirror_mirror_update_lock(struct dmirror_mirror *mirror,
				const struct mmu_notifier_range *range)
{
	if (mmu_notifier_range_blockable(range)) {
		mutex_lock(&mirror->pt.lock);
		return true;
	}
	if (mutex_trylock(&mirror->pt.lock))
		return true;

	atomic_long_inc(&mirror->refused);
	return false;
}

static struct dmirror_mirror *mirror_of(struct mmu_interval_notifier *notifier)
{
	return container_of(notifier, struct dmirror_mirror, notifier);
}

/*
 * Our own wish for a page that we may have an entry of: the CPU alone loses
 * it. Its sequence has to stay for exclusive.c to see others.
 */
static bool is_own_wish(const struct dmirror_mirror *mirror,
			const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_EXCLUSIVE && range->owner == mirror;
}

/* At the end of an mm the range's end is ULONG_MAX: do not wrap. */
static unsigned long end_vpn(const struct mmu_notifier_range *range)
{
	return (range->end >> PAGE_SHIFT) + !PAGE_ALIGNED(range->end);
}

static void clear_locked(struct dmirror_mirror *mirror, unsigned long start,
			 unsigned long end, bool two_pass)
{
	unsigned long cleared;

	lockdep_assert_held(&mirror->pt.lock);

	cleared = dmirror_pt_clear(&mirror->pt, start, end);
	mirror->stats.invalidations++;
	mirror->stats.finishes += two_pass;
	mirror->stats.cleared += cleared;
	trace_dmirror_invalidate(mirror, start, end, cleared, two_pass);
}

static bool mirror_invalidate(struct mmu_interval_notifier *notifier,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct dmirror_mirror *mirror = mirror_of(notifier);

	if (is_own_wish(mirror, range))
		return true;
	if (!dmirror_mirror_update_lock(mirror, range))
		return false;

	mmu_interval_set_seq(notifier, cur_seq);
	clear_locked(mirror, range->start >> PAGE_SHIFT, end_vpn(range), false);
	mutex_unlock(&mirror->pt.lock);

	return true;
}

static const struct mmu_interval_notifier_ops one_pass_ops = {
	.invalidate = mirror_invalidate,
};

/**
 * struct finish - what the first pass leaves to the second
 * @core: core mm's part
 * @start: first virtual page
 * @end: one past the last
 */
struct finish {
	struct mmu_interval_notifier_finish core;
	unsigned long start;
	unsigned long end;
};

/* No reclaim: it is called with the locks of the mm held. */
static struct finish *finish_alloc(const struct mmu_notifier_range *range)
{
	struct finish *finish;

	if (!mmu_notifier_range_blockable(range) ||
	    dmirror_should_fail(DMIRROR_INJECT_FINISH_ALLOC))
		return NULL;
	finish = kmalloc_obj(*finish, GFP_NOWAIT);
	if (!finish)
		return NULL;

	finish->start = range->start >> PAGE_SHIFT;
	finish->end = end_vpn(range);
	return finish;
}

/*
 * The first pass of two: nothing new gets into the table, as the sequence has
 * moved, and what is there is taken away in the second, when the first ones
 * of all other notifiers are done. Without memory, or if it may not sleep
 * later, it does all at once.
 */
static bool mirror_invalidate_start(struct mmu_interval_notifier *notifier,
				    const struct mmu_notifier_range *range,
				    unsigned long cur_seq,
				    struct mmu_interval_notifier_finish **core)
{
	struct dmirror_mirror *mirror = mirror_of(notifier);
	struct finish *finish;

	if (is_own_wish(mirror, range))
		return true;
	finish = finish_alloc(range);
	if (!finish)
		return mirror_invalidate(notifier, range, cur_seq);

	mutex_lock(&mirror->pt.lock);
	mmu_interval_set_seq(notifier, cur_seq);
	mutex_unlock(&mirror->pt.lock);
	*core = &finish->core;

	return true;
}

static void mirror_invalidate_finish(struct mmu_interval_notifier_finish *core)
{
	struct dmirror_mirror *mirror = mirror_of(core->notifier);
	struct finish *finish = container_of(core, struct finish, core);

	mutex_lock(&mirror->pt.lock);
	clear_locked(mirror, finish->start, finish->end, true);
	mutex_unlock(&mirror->pt.lock);
	kfree(finish);
}

static const struct mmu_interval_notifier_ops two_pass_ops = {
	.invalidate_start = mirror_invalidate_start,
	.invalidate_finish = mirror_invalidate_finish,
};

static struct dmirror_mirror *mirror_alloc(struct dmirror_devmem *devmem)
{
	struct dmirror_mirror *mirror;

	if (dmirror_should_fail(DMIRROR_INJECT_MIRROR_ALLOC))
		return NULL;
	mirror = kzalloc_obj(*mirror);
	if (!mirror)
		return NULL;

	dmirror_pt_init(&mirror->pt);
	mirror->devmem = devmem;
	atomic_long_set(&mirror->refused, 0);
	return mirror;
}

static int mirror_register(struct dmirror_mirror *mirror, struct mm_struct *mm,
			   bool two_pass)
{
	if (dmirror_should_fail(DMIRROR_INJECT_NOTIFIER))
		return -ENOMEM;

	return mmu_interval_notifier_insert(&mirror->notifier, mm, 0,
					    ULONG_MAX & PAGE_MASK,
					    two_pass ? &two_pass_ops :
					    &one_pass_ops);
}

struct dmirror_mirror *dmirror_mirror_create(struct mm_struct *mm,
					     struct dmirror_devmem *devmem,
					     bool two_pass)
{
	struct dmirror_mirror *mirror;
	int ret;

	if (!mmget_not_zero(mm))
		return ERR_PTR(-ESRCH);

	ret = -ENOMEM;
	mirror = mirror_alloc(devmem);
	if (!mirror)
		goto out_mmput;
	ret = mirror_register(mirror, mm, two_pass);
	if (ret)
		goto out_free;
	mmput(mm);

	return mirror;

out_free:
	dmirror_pt_destroy(&mirror->pt);
	kfree(mirror);
out_mmput:
	mmput(mm);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mirror_create);

void dmirror_mirror_destroy(struct dmirror_mirror *mirror)
{
	if (!mirror)
		return;

	mmu_interval_notifier_remove(&mirror->notifier);
	dmirror_pt_destroy(&mirror->pt);
	kfree(mirror);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mirror_destroy);

/*
 * Put what hmm_range_fault() found into the table, if it is still true.
 * @readonly is the address of the first page that may not be written to.
 */
static int fault_commit(struct dmirror_mirror *mirror,
			const struct hmm_range *range, unsigned long *readonly)
{
	unsigned long vpn = range->start >> PAGE_SHIFT;
	unsigned long i, nr = (range->end - range->start) >> PAGE_SHIFT;
	int ret = 0;

	*readonly = range->end;
	mutex_lock(&mirror->pt.lock);
	if (mmu_interval_read_retry(range->notifier, range->notifier_seq)) {
		ret = -EBUSY;
		goto out_unlock;
	}

	for (i = 0; i < nr; i++) {
		struct page *page =
			dmirror_mm_entry_page(range->hmm_pfns[i],
					      (vpn + i) << PAGE_SHIFT);
		enum dmirror_perm perm = DMIRROR_PERM_READ;

		if (dmirror_mm_is_secret(page)) {
			ret = -EFAULT;
			goto out_unlock;
		}
		/* Made so since: our own event left the sequence alone. */
		if (dmirror_pt_lookup(&mirror->pt, vpn + i,
				      DMIRROR_PERM_EXCLUSIVE))
			continue;
		if (range->hmm_pfns[i] & HMM_PFN_WRITE)
			perm = DMIRROR_PERM_WRITE;
		else
			*readonly = min(*readonly, (vpn + i) << PAGE_SHIFT);
		/*
		 * Fails only if the slot is gone: an entry that was there at
		 * the reservation was cleared since, or another fault of this
		 * range gave its slots back. The next round reserves anew.
		 */
		/* Private pages here are of our own memory only. */
		ret = dmirror_pt_set(&mirror->pt, vpn + i,
				     dmirror_devmem_storage(page), perm);
		if (ret) {
			ret = -EBUSY;
			goto out_unlock;
		}
	}

out_unlock:
	mutex_unlock(&mirror->pt.lock);
	return ret;
}

/**
 * struct fault - one fault of the device under way
 * @mirror: whose
 * @perm: what for
 * @timeout_ms: how long to try again, per batch
 * @unlocked: core mm takes mmap_lock, and lets handlers drop it
 */
struct fault {
	struct dmirror_mirror *mirror;
	enum dmirror_perm perm;
	unsigned int timeout_ms;
	bool unlocked;
};

/* Private pages of @owner stay where they are. */
static int fault_once(const struct fault *fault, unsigned long start,
		      unsigned long end, void *owner, unsigned long *readonly)
{
	struct dmirror_mirror *mirror = fault->mirror;
	unsigned long pfns[DMIRROR_BATCH] = { };
	struct hmm_range range = {
		.notifier = &mirror->notifier,
		.start = start,
		.end = end,
		.hmm_pfns = pfns,
		.default_flags = HMM_PFN_REQ_FAULT,
		.dev_private_owner = owner,
	};
	int ret;

	if (fault->perm == DMIRROR_PERM_WRITE)
		range.default_flags |= HMM_PFN_REQ_WRITE;

	ret = dmirror_pt_reserve(&mirror->pt, start >> PAGE_SHIFT,
				 end >> PAGE_SHIFT);
	if (ret)
		return ret;

	if (fault->unlocked) {
		ret = dmirror_mm_range_fault_unlocked(&range,
						      fault->timeout_ms);
	} else {
		range.notifier_seq =
			mmu_interval_read_begin(&mirror->notifier);
		ret = dmirror_mm_range_fault(&range);
	}
	if (!ret)
		ret = fault_commit(mirror, &range, readonly);
	dmirror_pt_unreserve(&mirror->pt, start >> PAGE_SHIFT,
			     end >> PAGE_SHIFT);

	return ret;
}

static int fault_try(const struct fault *fault, unsigned long start,
		     unsigned long end)
{
	unsigned long readonly;
	int ret;

	do {
		ret = fault_once(fault, start, end, fault->mirror->devmem,
				 &readonly);
		if (ret || readonly == end ||
		    fault->perm != DMIRROR_PERM_WRITE)
			return ret;
		/*
		 * A private page of our own, after a fork: core mm reports it
		 * as it is, whatever was asked for. To be written to it has to
		 * come home, where it may be copied.
		 */
		ret = fault_once(fault, readonly, readonly + PAGE_SIZE, NULL,
				 &readonly);
		if (!ret)
			ret = dmirror_killed();
	} while (!ret);

	return ret;
}

static int fault_batch(const struct fault *fault, unsigned long start,
		       unsigned long end)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(fault->timeout_ms);
	struct dmirror_mirror *mirror = fault->mirror;
	int ret;

	for (;;) {
		ret = fault_try(fault, start, end);
		if (ret != -EBUSY)
			return ret;

		mutex_lock(&mirror->pt.lock);
		mirror->stats.retries++;
		mutex_unlock(&mirror->pt.lock);
		if (dmirror_killed())
			return -EINTR;
		if (!fault->timeout_ms || time_after(jiffies, deadline))
			return -EBUSY;
		cond_resched();
	}
}

static int fault_range(const struct fault *fault, unsigned long start,
		       unsigned long end)
{
	struct dmirror_mirror *mirror = fault->mirror;
	struct mm_struct *mm = mirror->notifier.mm;
	unsigned long addr, next;
	int ret = 0;

	lockdep_assert_not_held(&mirror->pt.lock);

	mutex_lock(&mirror->pt.lock);
	mirror->stats.faults++;
	mutex_unlock(&mirror->pt.lock);

	if (!mmget_not_zero(mm))
		return -EFAULT;

	for (addr = start; addr < end; addr = next) {
		next = dmirror_batch_end(addr, end);
		ret = fault_batch(fault, addr, next);
		trace_dmirror_fault(mirror, addr, next, fault->perm, ret);
		if (ret || next == end)
			break;
		ret = dmirror_killed();
		if (ret)
			break;
		cond_resched();
	}

	mmput(mm);
	return ret;
}

int dmirror_mirror_fault(struct dmirror_mirror *mirror, unsigned long start,
			 unsigned long end, enum dmirror_perm perm,
			 unsigned int timeout_ms)
{
	const struct fault fault = {
		.mirror = mirror,
		.perm = perm,
		.timeout_ms = timeout_ms,
	};

	return fault_range(&fault, start, end);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mirror_fault);

int dmirror_mirror_fault_unlocked(struct dmirror_mirror *mirror,
				  unsigned long start, unsigned long end,
				  enum dmirror_perm perm,
				  unsigned int timeout_ms)
{
	const struct fault fault = {
		.mirror = mirror,
		.perm = perm,
		.timeout_ms = timeout_ms,
		.unlocked = true,
	};

	return fault_range(&fault, start, end);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mirror_fault_unlocked);

void dmirror_mirror_stats(struct dmirror_mirror *mirror,
			  struct dmirror_mirror_stats *stats)
{
	mutex_lock(&mirror->pt.lock);
	*stats = mirror->stats;
	mutex_unlock(&mirror->pt.lock);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_mirror_stats);
