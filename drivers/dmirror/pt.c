// SPDX-License-Identifier: GPL-2.0
#include "pt.h"

#include <kunit/visibility.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "inject.h"

/*
 * The permission lives in the pointer's low bits as an XArray pointer tag
 * (0, 1 and 3 are possible); a reserved slot is the XArray's zero entry and
 * reads as NULL.
 */
static void *entry_make(struct page *page, enum dmirror_perm perm)
{
	return xa_tag_pointer(page, perm);
}

static enum dmirror_perm entry_perm(void *entry)
{
	return xa_pointer_tag(entry);
}

void dmirror_pt_init(struct dmirror_pt *pt)
{
	mutex_init(&pt->lock);
	xa_init_flags(&pt->entries, XA_FLAGS_ACCOUNT);
	pt->nr = 0;

	fs_reclaim_acquire(GFP_KERNEL);
	might_lock(&pt->lock);
	fs_reclaim_release(GFP_KERNEL);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_pt_init);

void dmirror_pt_destroy(struct dmirror_pt *pt)
{
	xa_destroy(&pt->entries);
	mutex_destroy(&pt->lock);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_pt_destroy);

void dmirror_pt_unreserve(struct dmirror_pt *pt, unsigned long start,
			  unsigned long end)
{
	unsigned long vpn;

	/* Erases zero entries only, never one that was filled meanwhile. */
	for (vpn = start; vpn < end; vpn++)
		xa_release(&pt->entries, vpn);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_pt_unreserve);

int dmirror_pt_reserve(struct dmirror_pt *pt, unsigned long start,
		       unsigned long end)
{
	unsigned long vpn;
	int ret;

	lockdep_assert_not_held(&pt->lock);

	for (vpn = start; vpn < end; vpn++) {
		ret = -ENOMEM;
		if (!dmirror_should_fail(DMIRROR_INJECT_PT_RESERVE))
			ret = xa_reserve(&pt->entries, vpn, GFP_KERNEL);
		if (ret) {
			dmirror_pt_unreserve(pt, start, vpn);
			return ret;
		}
	}

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_pt_reserve);

int dmirror_pt_set(struct dmirror_pt *pt, unsigned long vpn, struct page *page,
		   enum dmirror_perm perm)
{
	void *old = XA_ERROR(-ENOMEM);

	lockdep_assert_held(&pt->lock);

	if (!dmirror_should_fail(DMIRROR_INJECT_PT_SET))
		old = xa_store(&pt->entries, vpn, entry_make(page, perm),
			       GFP_NOWAIT | __GFP_NOWARN);
	if (xa_is_err(old))
		return xa_err(old);
	if (!old)
		pt->nr++;

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_pt_set);

struct page *dmirror_pt_lookup(struct dmirror_pt *pt, unsigned long vpn,
			       enum dmirror_perm perm)
{
	void *entry;

	lockdep_assert_held(&pt->lock);

	entry = xa_load(&pt->entries, vpn);
	if (!entry || entry_perm(entry) < perm)
		return NULL;

	return xa_untag_pointer(entry);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_pt_lookup);

bool dmirror_pt_any_exclusive(struct dmirror_pt *pt, unsigned long *start,
			      unsigned long end)
{
	unsigned long vpn, left = DMIRROR_PT_WALK, from = *start;
	void *entry;

	lockdep_assert_held(&pt->lock);

	*start = end;
	if (from >= end)
		return false;

	xa_for_each_range(&pt->entries, vpn, entry, from, end - 1) {
		if (entry_perm(entry) == DMIRROR_PERM_EXCLUSIVE)
			return true;
		if (!--left) {
			*start = vpn + 1;
			break;
		}
	}

	return false;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_pt_any_exclusive);

unsigned long dmirror_pt_clear(struct dmirror_pt *pt, unsigned long start,
			       unsigned long end)
{
	unsigned long vpn, cleared = 0;
	void *entry;

	lockdep_assert_held(&pt->lock);

	if (start >= end)
		return 0;

	/* The XArray's range is inclusive: the one place that converts. */
	xa_for_each_range(&pt->entries, vpn, entry, start, end - 1) {
		xa_erase(&pt->entries, vpn);
		cleared++;
	}
	pt->nr -= cleared;

	return cleared;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_pt_clear);
