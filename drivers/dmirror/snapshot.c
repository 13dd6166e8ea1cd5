// SPDX-License-Identifier: GPL-2.0
#include "snapshot.h"

#include <kunit/visibility.h>
#include <linux/jiffies.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>

#include "devmem.h"
#include "mirror.h"
#include "mm.h"
#include "uapi.h"

/**
 * struct snapshot - one batch of a snapshot under way
 * @notifier: registered for the batch's range
 * @mirror: whose pt.lock covers the notifier's sequence number
 */
struct snapshot {
	struct mmu_interval_notifier notifier;
	struct dmirror_mirror *mirror;
};

enum dmirror_place dmirror_snapshot_place(struct page *page,
					  const struct dmirror_devmem *devmem)
{
	if (is_device_private_page(page)) {
		if (page_pgmap(page)->owner == devmem)
			return DMIRROR_PLACE_PRIVATE_LOCAL;
		return DMIRROR_PLACE_PRIVATE_REMOTE;
	}
	if (is_device_coherent_page(page)) {
		if (page_pgmap(page)->owner == devmem)
			return DMIRROR_PLACE_COHERENT_LOCAL;
		return DMIRROR_PLACE_COHERENT_REMOTE;
	}
	if (dmirror_mm_is_zero_page(page))
		return DMIRROR_PLACE_ZERO;

	return DMIRROR_PLACE_SYSTEM;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_snapshot_place);

u8 dmirror_snapshot_encode(unsigned long hmm_pfn, enum dmirror_place place)
{
	static const u8 places[] = {
		[DMIRROR_PLACE_SYSTEM] = HMM_DMIRROR_PROT_NONE,
		[DMIRROR_PLACE_ZERO] = HMM_DMIRROR_PROT_ZERO,
		[DMIRROR_PLACE_PRIVATE_LOCAL] =
			HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL,
		[DMIRROR_PLACE_PRIVATE_REMOTE] =
			HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE,
		[DMIRROR_PLACE_COHERENT_LOCAL] =
			HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL,
		[DMIRROR_PLACE_COHERENT_REMOTE] =
			HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE,
	};
	unsigned int shift = hmm_pfn_to_map_order(hmm_pfn) + PAGE_SHIFT;
	u8 byte;

	if (hmm_pfn & HMM_PFN_ERROR)
		return HMM_DMIRROR_PROT_ERROR;
	if (!(hmm_pfn & HMM_PFN_VALID))
		return HMM_DMIRROR_PROT_NONE;

	byte = places[place];
	byte |= hmm_pfn & HMM_PFN_WRITE ? HMM_DMIRROR_PROT_WRITE :
					  HMM_DMIRROR_PROT_READ;
	if (shift == PMD_SHIFT)
		byte |= HMM_DMIRROR_PROT_PMD;
	else if (shift == PUD_SHIFT)
		byte |= HMM_DMIRROR_PROT_PUD;

	return byte;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_snapshot_encode);

static bool snapshot_invalidate(struct mmu_interval_notifier *notifier,
				const struct mmu_notifier_range *range,
				unsigned long cur_seq)
{
	struct snapshot *snapshot =
		container_of(notifier, struct snapshot, notifier);
	struct dmirror_mirror *mirror = snapshot->mirror;

	if (!dmirror_mirror_update_lock(mirror, range))
		return false;

	mmu_interval_set_seq(notifier, cur_seq);
	mutex_unlock(&mirror->pt.lock);

	return true;
}

static const struct mmu_interval_notifier_ops snapshot_notifier_ops = {
	.invalidate = snapshot_invalidate,
};

static void encode_range(struct dmirror_mirror *mirror,
			 const struct hmm_range *range, u8 *bytes)
{
	unsigned long i, nr = (range->end - range->start) >> PAGE_SHIFT;

	lockdep_assert_held(&mirror->pt.lock);

	for (i = 0; i < nr; i++) {
		unsigned long hmm_pfn = range->hmm_pfns[i];
		enum dmirror_place place = DMIRROR_PLACE_SYSTEM;

		if (hmm_pfn & HMM_PFN_VALID)
			place = dmirror_snapshot_place(hmm_pfn_to_page(hmm_pfn),
						       mirror->devmem);
		bytes[i] = dmirror_snapshot_encode(hmm_pfn, place);
	}
}

static int snapshot_once(struct snapshot *snapshot, unsigned long start,
			 unsigned long end, u8 *bytes)
{
	struct dmirror_mirror *mirror = snapshot->mirror;
	unsigned long pfns[DMIRROR_BATCH] = { };
	struct hmm_range range = {
		.notifier = &snapshot->notifier,
		.start = start,
		.end = end,
		.hmm_pfns = pfns,
		.dev_private_owner = mirror->devmem,
	};
	int ret;

	range.notifier_seq = mmu_interval_read_begin(range.notifier);
	ret = dmirror_mm_range_fault(&range);
	if (ret)
		return ret;

	mutex_lock(&mirror->pt.lock);
	if (mmu_interval_read_retry(range.notifier, range.notifier_seq))
		ret = -EBUSY;
	else
		encode_range(mirror, &range, bytes);
	mutex_unlock(&mirror->pt.lock);

	return ret;
}

static int snapshot_batch(struct dmirror_mirror *mirror, unsigned long start,
			  unsigned long end, u8 *bytes, unsigned int timeout_ms)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(timeout_ms);
	struct snapshot snapshot = { .mirror = mirror };
	int ret;

	ret = mmu_interval_notifier_insert(&snapshot.notifier,
					   mirror->notifier.mm, start,
					   end - start, &snapshot_notifier_ops);
	if (ret)
		return ret;

	for (;;) {
		ret = snapshot_once(&snapshot, start, end, bytes);
		if (ret != -EBUSY)
			break;
		if (dmirror_killed()) {
			ret = -EINTR;
			break;
		}
		if (!timeout_ms || time_after(jiffies, deadline))
			break;
		cond_resched();
	}
	mmu_interval_notifier_remove(&snapshot.notifier);

	return ret;
}

int dmirror_snapshot(struct dmirror_mirror *mirror, unsigned long addr,
		     unsigned long npages, u8 *bytes, unsigned long *done,
		     unsigned int timeout_ms)
{
	struct mm_struct *mm = mirror->notifier.mm;
	unsigned long end, next;
	int ret;

	*done = 0;
	ret = dmirror_range_check(addr, npages, &end);
	if (ret)
		return ret;
	if (!mmget_not_zero(mm))
		return -EFAULT;

	while (addr < end) {
		next = dmirror_batch_end(addr, end);
		ret = snapshot_batch(mirror, addr, next, bytes + *done,
				     timeout_ms);
		if (ret)
			break;
		*done += (next - addr) >> PAGE_SHIFT;
		addr = next;
		ret = addr < end ? dmirror_killed() : 0;
		if (ret)
			break;
		cond_resched();
	}

	mmput(mm);
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_snapshot);
