/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A mirror: the device's view of one mm.
 *
 * Owns: an MMU interval notifier over the whole address space and the mirror
 * page table (pt) that it keeps true.
 * Lock: pt.lock covers the table, the notifier's sequence number and the
 * counters.
 * May call: mm, pt, devmem, inject, trace.
 *
 * Lock order of the driver:
 *
 *	devmem->chunk_lock
 *	mmap_lock (read)
 *	  folio lock
 *	    mirror->pt.lock
 *	      devmem->lock
 *
 * chunk_lock is outermost and never nests with mmap_lock. pt.lock is taken
 * inside invalidations, so nothing under it may reclaim or take mmap_lock.
 *
 * A mirror knows whose device memory is its own (the pagemap owner), never a
 * device, and no page knows a mirror. Every invalidation is honoured, also
 * those of a migration that the device asked for itself: right before fast.
 * Only the one by which a mirror takes a page for itself alone is not.
 */
#ifndef DMIRROR_MIRROR_H
#define DMIRROR_MIRROR_H

#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/signal.h>
#include <linux/types.h>

#include "pt.h"

struct dmirror_devmem;
struct mm_struct;

/**
 * struct dmirror_mirror_stats - what happened to a mirror
 * @invalidations: invalidations that were carried out
 * @finishes: those of them that took two passes
 * @cleared: entries they took away
 * @faults: calls of dmirror_mirror_fault()
 * @retries: times a fault had to start anew because of an invalidation
 */
struct dmirror_mirror_stats {
	unsigned long invalidations;
	unsigned long finishes;
	unsigned long cleared;
	unsigned long faults;
	unsigned long retries;
};

/* Bits of struct dmirror_mirror's flags; changed with atomic bit operations. */
enum {
	/* The next allocation of a large folio for this mirror fails. */
	DMIRROR_MIRROR_FAIL_LARGE,
};

/**
 * struct dmirror_mirror - one mirrored mm
 * @notifier: its interval notifier; notifier.mm is the mm, held by mmgrab
 * @pt: the mirror page table
 * @devmem: the device's own memory, or NULL
 * @flags: DMIRROR_MIRROR_* bits
 * @stats: counters, under @pt.lock
 * @refused: invalidations refused because they were not allowed to sleep
 */
struct dmirror_mirror {
	struct mmu_interval_notifier notifier;
	struct dmirror_pt pt;
	struct dmirror_devmem *devmem;
	unsigned long flags;
	struct dmirror_mirror_stats stats;
	atomic_long_t refused;
};

/* Pages worked on between two looks at signals and the scheduler. */
#define DMIRROR_BATCH 64UL

/**
 * dmirror_batch_end - where the batch that begins at an address ends
 * @addr: its first address
 * @end: end of the whole range
 *
 * Context: any.
 * Return: an address.
 */
static inline unsigned long dmirror_batch_end(unsigned long addr,
					      unsigned long end)
{
	if (end - addr <= DMIRROR_BATCH << PAGE_SHIFT)
		return end;

	return addr + (DMIRROR_BATCH << PAGE_SHIFT);
}

/* How long a fault fights with invalidations unless told otherwise, in ms. */
#define DMIRROR_FAULT_TIMEOUT_MS 1000

/**
 * dmirror_range_check - is this a range the device may be asked to use
 * @addr: first address, in bytes
 * @npages: number of pages
 * @end: on success one past the last address
 *
 * Context: any.
 * Return: 0; -EINVAL if @addr is not page aligned, @npages is 0 or the range
 * wraps.
 */
int dmirror_range_check(unsigned long addr, unsigned long npages,
			unsigned long *end);

/**
 * dmirror_killed - has the caller been killed
 *
 * Asked between the batches of everything that works on a range of the
 * user's choice.
 *
 * Context: process context.
 * Return: 0, or -EINTR.
 */
static inline int dmirror_killed(void)
{
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/**
 * dmirror_mirror_update_lock - take the update lock for an invalidation
 * @mirror: the mirror
 * @range: the invalidation
 *
 * Counts the refusal if it may not wait for the lock.
 *
 * Context: an invalidation callback; may sleep if @range is blockable.
 * Return: true with mirror->pt.lock held; false if the callback has to refuse.
 */
bool dmirror_mirror_update_lock(struct dmirror_mirror *mirror,
				const struct mmu_notifier_range *range);

/**
 * dmirror_mirror_create - mirror an mm
 * @mm: the mm; no reference on its users is kept
 * @devmem: the device's own memory, or NULL; has to live longer
 * @two_pass: which of core mm's two forms of an interval notifier: one call of
 *	invalidate(), or invalidate_start() and invalidate_finish()
 *
 * Context: process context, may sleep; takes mmap_lock for writing.
 * Return: the mirror, or an ERR_PTR(): -ESRCH if the mm has no user left,
 * -ENOMEM.
 */
struct dmirror_mirror *dmirror_mirror_create(struct mm_struct *mm,
					     struct dmirror_devmem *devmem,
					     bool two_pass);

/**
 * dmirror_mirror_destroy - end a mirror
 * @mirror: the mirror, freed; NULL is fine
 *
 * Waits for invalidations that are under way. Migrates nothing back.
 *
 * Context: process context, may sleep; mmap_lock and pt.lock not held.
 */
void dmirror_mirror_destroy(struct dmirror_mirror *mirror);

/**
 * dmirror_mirror_fault - make a range accessible to the device
 * @mirror: the mirror
 * @start: first address, page aligned
 * @end: one past the last, page aligned
 * @perm: what the device wants to do
 * @timeout_ms: how long to try again when invalidations interfere, for each
 *	64 pages; 0 tries once
 *
 * The entries are true when they are made and may be gone when this returns.
 * On an error the part of the range before the failing page may be mapped.
 *
 * Context: process context, may sleep; mmap_lock and pt.lock not held.
 * Return: 0; -EFAULT for an address without a usable mapping or an mm that is
 * gone; -EPERM for a write to a read-only mapping; -EBUSY when the time is
 * over; -EINTR when killed; -ENOMEM. Contract: hmm_range_fault().
 */
int dmirror_mirror_fault(struct dmirror_mirror *mirror, unsigned long start,
			 unsigned long end, enum dmirror_perm perm,
			 unsigned int timeout_ms);

/**
 * dmirror_mirror_fault_unlocked - the same, with core mm's own retries
 * @mirror: the mirror
 * @start: first address, page aligned
 * @end: one past the last, page aligned
 * @perm: what the device wants to do
 * @timeout_ms: how long core mm tries again, for each 64 pages; begins anew
 *	when a fault handler has dropped mmap_lock, and 0 is for ever
 *
 * Works on VMAs whose fault handler drops mmap_lock, as userfaultfd's does.
 *
 * Context, Return: as dmirror_mirror_fault(); -EOPNOTSUPP before Linux 7.3.
 */
int dmirror_mirror_fault_unlocked(struct dmirror_mirror *mirror,
				  unsigned long start, unsigned long end,
				  enum dmirror_perm perm,
				  unsigned int timeout_ms);

/**
 * dmirror_mirror_stats - read the counters
 * @mirror: the mirror
 * @stats: where to copy them
 *
 * Context: process context, may sleep.
 */
void dmirror_mirror_stats(struct dmirror_mirror *mirror,
			  struct dmirror_mirror_stats *stats);

#endif /* DMIRROR_MIRROR_H */
