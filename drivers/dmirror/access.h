/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device's loads and stores, on kernel buffers.
 *
 * Owns: nothing.
 * Lock: pt.lock of the mirror around each run of copies.
 * May call: mirror, pt.
 */
#ifndef DMIRROR_ACCESS_H
#define DMIRROR_ACCESS_H

#include <linux/types.h>

struct dmirror_mirror;

/**
 * struct dmirror_access_result - what an access did, also when it failed
 * @cpages: pages copied, from the start of the range without a gap
 * @faults: device page faults taken, each for all of the range still ahead
 */
struct dmirror_access_result {
	unsigned long cpages;
	unsigned long faults;
};

/**
 * struct dmirror_access_opts - what an access may be told
 * @ahead: pages from its start that a fault shall cover, if more than its own:
 *	for an access that is a part of a longer one
 * @unlocked: a fault may drop mmap_lock (dmirror_mirror_fault_unlocked())
 */
struct dmirror_access_opts {
	unsigned long ahead;
	bool unlocked;
};

/**
 * dmirror_access_read - the device loads from the mirrored mm
 * @mirror: the mirror
 * @addr: first address, page aligned
 * @npages: number of pages
 * @buf: @npages pages of kernel memory to fill
 * @opts: options, or NULL
 * @result: filled in always
 *
 * Context: process context, may sleep; mmap_lock and pt.lock not held.
 * Return: 0; -EINVAL for a bad range; -EINTR when killed; -EBUSY also when a
 * hundred faults in a row were undone before they could be used; else the
 * errors of dmirror_mirror_fault(). That faults in batches of 64 pages, so up
 * to 63 pages before the failing one are not copied either; result->cpages
 * tells.
 */
int dmirror_access_read(struct dmirror_mirror *mirror, unsigned long addr,
			unsigned long npages, void *buf,
			const struct dmirror_access_opts *opts,
			struct dmirror_access_result *result);

/**
 * dmirror_access_write - the device stores to the mirrored mm, and dirties it
 * @mirror: the mirror
 * @addr: first address, page aligned
 * @npages: number of pages
 * @buf: @npages pages of kernel memory to store
 * @opts: options, or NULL
 * @result: filled in always
 *
 * Context: as dmirror_access_read().
 * Return: as dmirror_access_read(), and -EPERM where the mapping is read-only.
 */
int dmirror_access_write(struct dmirror_mirror *mirror, unsigned long addr,
			 unsigned long npages, const void *buf,
			 const struct dmirror_access_opts *opts,
			 struct dmirror_access_result *result);

#endif /* DMIRROR_ACCESS_H */
