// SPDX-License-Identifier: GPL-2.0
#include "exclusive.h"

#include <kunit/visibility.h>
#include <linux/mmap_lock.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>

#include "mirror.h"
#include "mm.h"

static int make_locked(struct dmirror_mirror *mirror, unsigned long addr)
{
	struct mm_struct *mm = mirror->notifier.mm;
	struct folio *folio;
	struct page *page;
	int ret;

	mmap_assert_locked(mm);

	page = dmirror_mm_make_exclusive(mm, addr, mirror, &folio);
	if (IS_ERR(page))
		return PTR_ERR(page);

	mutex_lock(&mirror->pt.lock);
	ret = dmirror_pt_set(&mirror->pt, addr >> PAGE_SHIFT, page,
			     DMIRROR_PERM_EXCLUSIVE);
	mutex_unlock(&mirror->pt.lock);
	folio_unlock(folio);
	folio_put(folio);

	return ret;
}

static int make_one(struct dmirror_mirror *mirror, unsigned long addr)
{
	struct mm_struct *mm = mirror->notifier.mm;
	unsigned long vpn = addr >> PAGE_SHIFT;
	int ret;

	ret = dmirror_pt_reserve(&mirror->pt, vpn, vpn + 1);
	if (ret)
		return ret;
	ret = mmap_read_lock_killable(mm);
	if (!ret) {
		ret = make_locked(mirror, addr);
		mmap_read_unlock(mm);
	}
	dmirror_pt_unreserve(&mirror->pt, vpn, vpn + 1);

	return ret;
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
	unsigned long end;
	int ret;

	ret = dmirror_range_check(addr, npages, &end);
	if (ret)
		return ret;

	mutex_lock(&mirror->pt.lock);
	ret = dmirror_pt_any_exclusive(&mirror->pt, addr >> PAGE_SHIFT,
				       end >> PAGE_SHIFT);
	mutex_unlock(&mirror->pt.lock);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_exclusive_held);
