/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Swap space for one case: a RAM disk, from when the case asks for it to the
 * case's end. In a suite built as a module there is none.
 */
#ifndef CONTRACTS_SWAPDEV_H
#define CONTRACTS_SWAPDEV_H

#include <linux/types.h>

struct kunit;
struct swapdev;

/**
 * swapdev_get - swapon()
 * @test: the case; skips where there is no swap, or nothing to swap to
 *
 * Asserts that it works. At the end of the case everything that is still
 * swapped is brought back.
 *
 * Return: the swap space.
 */
struct swapdev *swapdev_get(struct kunit *test);

/**
 * swapdev_put - swapoff() before the case ends
 * @test: the case
 * @dev: the swap space
 *
 * Expects it to work.
 */
void swapdev_put(struct kunit *test, struct swapdev *dev);

/**
 * swapdev_used - how many pages of it are taken
 * @dev: the swap space
 *
 * Return: the number.
 */
long swapdev_used(const struct swapdev *dev);

/**
 * swapdev_out - madvise(MADV_PAGEOUT)
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages of system memory, each of them mapped once
 *
 * Asserts that all of them are swapped out.
 */
void swapdev_out(struct kunit *test, unsigned long addr, unsigned long npages);

/**
 * swapdev_is_out - is there a swap entry?
 * @addr: page aligned address of current->mm
 *
 * Return: whether there is.
 */
bool swapdev_is_out(unsigned long addr);

#endif /* CONTRACTS_SWAPDEV_H */
