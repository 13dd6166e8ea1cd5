/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What core mm does not export: system calls on the case's own mm and the
 * notifier calls that core mm makes around its own changes. In a suite built
 * as a module they return -EOPNOTSUPP; cases that need them skip there.
 */
#ifndef DMIRROR_KUNIT_USER_H
#define DMIRROR_KUNIT_USER_H

#include <linux/types.h>

struct mmu_notifier_range;

/**
 * user_mprotect - what mprotect() does to current->mm
 * @start: page aligned address
 * @len: length in bytes, page aligned
 * @prot: PROT_* bits
 *
 * Context: process context, may sleep; takes mmap_lock for writing.
 * Return: 0; -ENOMEM where nothing is mapped; the errors of mprotect_fixup().
 */
int user_mprotect(unsigned long start, size_t len, unsigned long prot);

/**
 * user_madvise - what madvise() does to current->mm
 * @start: page aligned address
 * @len: length in bytes
 * @advice: MADV_*
 *
 * Context: process context, may sleep; takes mmap_lock.
 * Return: 0 or the error of do_madvise().
 */
int user_madvise(unsigned long start, size_t len, int advice);

/**
 * user_invalidate_nonblock - a whole invalidation that may not sleep
 * @range: the range
 *
 * Context: process context.
 * Return: 0, or -EAGAIN if a notifier refused.
 */
int user_invalidate_nonblock(struct mmu_notifier_range *range);

/**
 * user_lru_drain - let go of the references that wait for the LRU
 *
 * Context: process context, may sleep.
 * Return: 0.
 */
int user_lru_drain(void);

#endif /* DMIRROR_KUNIT_USER_H */
