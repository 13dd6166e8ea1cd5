// SPDX-License-Identifier: GPL-2.0
#include "exclusive.h"

#include <kunit/visibility.h>
#include <linux/jiffies.h>
#include <linux/mmap_lock.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>

#include "mirror.h"
#include "mm.h"

static int make_locked(struct dmirror_mirror *mirror, unsigned long addr,
		       unsigned long seq)
{
	struct mm_struct *mm = mirror->notifier.mm;
	struct folio *folio;
	struct page *page;
	int ret = -EBUSY;

	mmap_assert_locked(mm);

	page = dmirror_mm_make_exclusive(mm, addr, mirror, &folio);
	if (IS_ERR(page))
		return PTR_ERR(page);

	mutex_lock(&mirror->pt.lock);
	/* The folio's lock keeps the CPU's fault out, not MADV_DONTNEED. */
	if (!mmu_interval_read_retry(&mirror->notifier, seq))
		ret = dmirror_pt_set(&mirror->pt, addr >> PAGE_SHIFT, page,
				     DMIRROR_PERM_EXCLUSIVE);
	mutex_unlock(&mirror->pt.lock);
	folio_unlock(folio);
	folio_put(folio);

	return ret;
}

static int make_once(struct dmirror_mirror *mirror, unsigned long addr)
{
	struct mm_struct *mm = mirror->notifier.mm;
	unsigned long vpn = addr >> PAGE_SHIFT;
	unsigned long seq;
	int ret;

	ret = dmirror_pt_reserve(&mirror->pt, vpn, vpn + 1);
	if (ret)
		return ret;
	seq = mmu_interval_read_begin(&mirror->notifier);
	ret = mmap_read_lock_killable(mm);
	if (!ret) {
		ret = make_locked(mirror, addr, seq);
		mmap_read_unlock(mm);
	}
	dmirror_pt_unreserve(&mirror->pt, vpn, vpn + 1);

	return ret;
}

static int make_one(struct dmirror_mirror *mirror, unsigned long addr)
{
	unsigned long deadline =
		jiffies + msecs_to_jiffies(DMIRROR_FAULT_TIMEOUT_MS);
	int ret;

	for (;;) {
		ret = make_once(mirror, addr);
		if (ret != -EBUSY)
			return ret;
		if (time_after(jiffies, deadline))
			return ret;
		/*
		 * Core mm begins with the CPU's own access, and what that
		 * takes back is an invalidation as well: have it done, so that
		 * the next round finds a page that needs none.
		 */
		ret = dmirror_mirror_fault(mirror, addr, addr + PAGE_SIZE,
					   DMIRROR_PERM_WRITE,
					   DMIRROR_FAULT_TIMEOUT_MS);
		if (ret)
			return ret == -EPERM ? -EFAULT : ret;
		ret = dmirror_killed();
		if (ret)
			return ret;
	}
}

int dmirror_exclusive_make(struct dmirror_mirror *mirror, unsigned long addr,
			   unsigned long npages, unsigned long *done)
{
	struct mm_struct *mm = mirror->notifier.mm;
	unsigned long end;
	int ret;

	*done = 0;
	ret = dmirror_range_check(addr, npages, &end);
	if (ret)
		return ret;
	if (!mmget_not_zero(mm))
		return -EFAULT;

	for (; addr < end; addr += PAGE_SIZE) {
		ret = make_one(mirror, addr);
		if (!ret) {
			++*done;
			ret = *done < npages ? dmirror_killed() : 0;
		}
		if (ret)
			break;
		cond_resched();
	}
	mmput(mm);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_exclusive_make);

int dmirror_exclusive_held(struct dmirror_mirror *mirror, unsigned long addr,
			   unsigned long npages)
{
	unsigned long vpn = addr >> PAGE_SHIFT, end;
	bool held;
	int ret;

	ret = dmirror_range_check(addr, npages, &end);
	if (ret)
		return ret;

	end >>= PAGE_SHIFT;
	for (;;) {
		mutex_lock(&mirror->pt.lock);
		held = dmirror_pt_any_exclusive(&mirror->pt, &vpn, end);
		mutex_unlock(&mirror->pt.lock);
		if (held || vpn == end)
			return held;
		ret = dmirror_killed();
		if (ret)
			return ret;
		cond_resched();
	}
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_exclusive_held);
