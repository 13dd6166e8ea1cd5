/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Device-exclusive access: the CPU loses its mapping until it touches the page
 * again, so that the device's read-modify-write is atomic.
 *
 * Owns: nothing; an exclusive entry of the mirror page table is the device's
 * claim, and the invalidation that comes before the CPU gets the page back
 * takes it away like any other entry.
 * Lock: mmap_lock for reading, then the folio lock, then pt.lock. The folio's
 * lock keeps the CPU from getting the page back before the entry is there; that
 * it was not dropped instead, the notifier's sequence tells.
 * May call: mm, pt, mirror.
 */
#ifndef DMIRROR_EXCLUSIVE_H
#define DMIRROR_EXCLUSIVE_H

#include <linux/types.h>

struct dmirror_mirror;

/**
 * dmirror_exclusive_make - take exclusive access to a range
 * @mirror: the mirror
 * @addr: first address, page aligned
 * @npages: number of pages
 * @done: number of pages that were made exclusive, also on error
 *
 * Context: process context, may sleep; mmap_lock and pt.lock not held.
 * Return: 0; -EINVAL for a bad range; -EFAULT without a writable mapping or
 * when the mm is gone; -EOPNOTSUPP for anything but anonymous memory, and on
 * kernels without device memory; -EINTR when killed; -EBUSY when invalidations
 * have interfered with one page for DMIRROR_FAULT_TIMEOUT_MS; -ENOMEM.
 * Contract: make_device_exclusive().
 */
int dmirror_exclusive_make(struct dmirror_mirror *mirror, unsigned long addr,
			   unsigned long npages, unsigned long *done);

/**
 * dmirror_exclusive_held - does the device still have exclusive access
 * @mirror: the mirror
 * @addr: first address, page aligned
 * @npages: number of pages
 *
 * Context: process context, may sleep.
 * Return: 1 if any page of the range is exclusive, 0 if none is; -EINVAL for
 * a bad range; -EINTR when killed.
 */
int dmirror_exclusive_held(struct dmirror_mirror *mirror, unsigned long addr,
			   unsigned long npages);

#endif /* DMIRROR_EXCLUSIVE_H */
