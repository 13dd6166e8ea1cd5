/* SPDX-License-Identifier: GPL-2.0 */
/*
 * More of what core mm does not export, see user.h. In a suite built as a
 * module these return -EOPNOTSUPP.
 */
#ifndef DMIRROR_KUNIT_MODEL_USER_H
#define DMIRROR_KUNIT_MODEL_USER_H

#include <linux/types.h>

struct page;

/**
 * model_user_remap - mremap() of current->mm to a given address
 * @from: page aligned address
 * @len: length in bytes, page aligned; stays the same
 * @to: page aligned address; what is there is unmapped first
 * @keep: MREMAP_DONTUNMAP
 *
 * Context: process context, may sleep; takes mmap_lock for writing.
 * Return: 0 or the error of mremap(); -EOPNOTSUPP on architectures of which
 * nobody has said how a system call is called.
 */
int model_user_remap(unsigned long from, size_t len, unsigned long to,
		     bool keep);

/**
 * model_user_split - split the folio that a page is part of, if it is large
 * @page: the page, of which the caller holds a reference; dropped
 *
 * Context: process context, may sleep.
 * Return: 0, or the error of split_huge_page(): -EAGAIN if somebody else holds it.
 */
int model_user_split(struct page *page);

#endif /* DMIRROR_KUNIT_MODEL_USER_H */
