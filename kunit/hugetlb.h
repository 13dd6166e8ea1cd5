/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Anonymous memory in huge pages of hugetlbfs. In a suite built as a module
 * there is none.
 */
#ifndef DMIRROR_KUNIT_HUGETLB_H
#define DMIRROR_KUNIT_HUGETLB_H

struct kunit;

/**
 * hugetlb_map - map two huge pages of the default size, RW and private
 * @test: the case; skips where there is no such memory
 *
 * The pool may grow by them, and by one for a copy, until the case ends. Nothing
 * else is near, not even a page table.
 *
 * Return: the address.
 */
unsigned long hugetlb_map(struct kunit *test);

/**
 * hugetlb_map_shared - as hugetlb_map(), but two pages of a file, and shared
 * @test: the case; skips where there is no such memory
 *
 * Return: the address.
 */
unsigned long hugetlb_map_shared(struct kunit *test);

/**
 * hugetlb_map_table - map as much as a table of PMDs maps, RW and shared
 * @test: the case; skips where there is no such memory
 *
 * Aligned to that, and no page is there, nor need there be any.
 *
 * Return: the address.
 */
unsigned long hugetlb_map_table(struct kunit *test);

/**
 * hugetlb_nr - how long a huge page is
 *
 * Return: number of small pages.
 */
unsigned long hugetlb_nr(void);

#endif /* DMIRROR_KUNIT_HUGETLB_H */
