/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mirror page table: virtual page number -> struct page and permission.
 *
 * Owns: the entries. It holds no reference on the pages: the MMU interval
 * notifier of the mirror promises to clear an entry before its page goes away.
 * Lock: pt->lock, a mutex, is the "driver update lock" that
 * Documentation/mm/hmm.rst asks for: it covers every entry and the sequence
 * number that mmu_interval_read_retry() compares.
 * May call: inject.
 *
 * Addresses are virtual page numbers (address >> PAGE_SHIFT). Ranges are
 * half-open, [start, end).
 */
#ifndef DMIRROR_PT_H
#define DMIRROR_PT_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct page;

/* Entries that one look at a range goes through. */
#define DMIRROR_PT_WALK 1024UL

/**
 * enum dmirror_perm - what an entry allows the device
 * @DMIRROR_PERM_READ: loads
 * @DMIRROR_PERM_WRITE: loads and stores
 * @DMIRROR_PERM_EXCLUSIVE: loads and stores while the CPU has no access: the
 *	device's atomic operations. Two is no tag that an XArray could hold.
 */
enum dmirror_perm {
	DMIRROR_PERM_READ = 0,
	DMIRROR_PERM_WRITE = 1,
	DMIRROR_PERM_EXCLUSIVE = 3,
};

/**
 * struct dmirror_pt - a mirror page table
 * @lock: the update lock; taken inside an invalidation, so nothing that
 *	reclaims may be allocated under it (lockdep knows)
 * @entries: tagged page pointers by virtual page number
 * @nr: number of entries set, reserved slots not counted
 */
struct dmirror_pt {
	struct mutex lock;
	struct xarray entries;
	unsigned long nr;
};

/**
 * dmirror_pt_init - make an empty table
 * @pt: the table
 *
 * Teaches lockdep that @pt->lock is taken during reclaim, so that the first
 * GFP_KERNEL allocation under it is reported, not the first deadlock.
 *
 * Context: process context, may sleep.
 */
void dmirror_pt_init(struct dmirror_pt *pt);

/**
 * dmirror_pt_destroy - free a table and all it holds
 * @pt: the table; nobody else may use it any more
 *
 * Context: process context, may sleep.
 */
void dmirror_pt_destroy(struct dmirror_pt *pt);

/**
 * dmirror_pt_reserve - allocate slots ahead of dmirror_pt_set()
 * @pt: the table
 * @start: first virtual page number
 * @end: one past the last
 *
 * Slots that are set already are left alone. On failure no slot stays
 * reserved by this call unless another caller reserved it too.
 *
 * Context: process context, may sleep and reclaim; @pt->lock must not be held.
 * Return: 0, or -ENOMEM.
 */
int dmirror_pt_reserve(struct dmirror_pt *pt, unsigned long start,
		       unsigned long end);

/**
 * dmirror_pt_unreserve - give back the slots that were not filled
 * @pt: the table
 * @start: first virtual page number
 * @end: one past the last
 *
 * Context: process context; @pt->lock must not be held.
 */
void dmirror_pt_unreserve(struct dmirror_pt *pt, unsigned long start,
			  unsigned long end);

/**
 * dmirror_pt_set - map one page
 * @pt: the table, @pt->lock held
 * @vpn: virtual page number
 * @page: page the device shall use there
 * @perm: what it may do
 *
 * Replaces an entry that is there. Does not reclaim: without a slot from
 * dmirror_pt_reserve() the allocation may fail.
 *
 * Context: @pt->lock held.
 * Return: 0, or -ENOMEM.
 */
int dmirror_pt_set(struct dmirror_pt *pt, unsigned long vpn, struct page *page,
		   enum dmirror_perm perm);

/**
 * dmirror_pt_lookup - find the page the device may use
 * @pt: the table, @pt->lock held
 * @vpn: virtual page number
 * @perm: what the device is about to do
 *
 * Context: @pt->lock held; the page is only valid until it is dropped.
 * Return: the page, or NULL if there is none or @perm is not allowed.
 */
struct page *dmirror_pt_lookup(struct dmirror_pt *pt, unsigned long vpn,
			       enum dmirror_perm perm);

/**
 * dmirror_pt_any_exclusive - is there an exclusive entry
 * @pt: the table, @pt->lock held
 * @start: first virtual page number; on return where to go on, @end if all
 *	were looked at
 * @end: one past the last
 *
 * Looks at DMIRROR_PT_WALK entries at most, so that nobody waits for the lock
 * for long.
 *
 * Context: @pt->lock held.
 * Return: true if a page of those is DMIRROR_PERM_EXCLUSIVE.
 */
bool dmirror_pt_any_exclusive(struct dmirror_pt *pt, unsigned long *start,
			      unsigned long end);

/**
 * dmirror_pt_clear - forget a range
 * @pt: the table, @pt->lock held
 * @start: first virtual page number
 * @end: one past the last; the entry at @end stays
 *
 * Context: @pt->lock held, does not allocate.
 * Return: number of entries cleared.
 */
unsigned long dmirror_pt_clear(struct dmirror_pt *pt, unsigned long start,
			       unsigned long end);

#endif /* DMIRROR_PT_H */
