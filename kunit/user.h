/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls on the case's own mm that core mm does not export. In a suite
 * built as a module they return -EOPNOTSUPP; cases that need them skip there.
 */
#ifndef DMIRROR_KUNIT_USER_H
#define DMIRROR_KUNIT_USER_H

#include <linux/types.h>

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

#endif /* DMIRROR_KUNIT_USER_H */
