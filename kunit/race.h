/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Races made to order: something happens between hmm_range_fault() and the
 * update lock, in exactly the calls that a case names.
 */
#ifndef DMIRROR_KUNIT_RACE_H
#define DMIRROR_KUNIT_RACE_H

#include <linux/types.h>

struct kunit;

/**
 * struct dmirror_race - what happens after hmm_range_fault() has returned
 * @disturb: the mischief, NULL for none; returns an errno, because it must not
 *	assert: references are held meanwhile
 * @addr: its argument
 * @from: in which call it is done first, counted from 0
 * @every: in each how manieth call from there; 0 is every call
 * @times: in how many calls
 * @calls: how often hmm_range_fault() was called
 * @start: where its last range began
 * @error: the first error of the mischief itself
 */
struct dmirror_race {
	int (*disturb)(unsigned long addr);
	unsigned long addr;
	unsigned int from;
	unsigned int every;
	unsigned int times;
	unsigned int calls;
	unsigned long start;
	int error;
};

/**
 * dmirror_race_with - let it happen from now on
 * @test: the case, at whose end it stops
 * @race: what happens; has to outlive the calls
 */
void dmirror_race_with(struct kunit *test, struct dmirror_race *race);

/**
 * dmirror_race_done - expect that it happened as it was meant
 * @test: the case
 * @race: what happened
 * @calls: how often hmm_range_fault() has to have been called
 */
void dmirror_race_done(struct kunit *test, const struct dmirror_race *race,
		       unsigned int calls);

/**
 * dmirror_disturb_unmap - munmap() one page of current->mm
 * @addr: its address
 *
 * Return: 0 or an errno.
 */
int dmirror_disturb_unmap(unsigned long addr);

/**
 * dmirror_disturb_replace - map a new page over one of current->mm
 * @addr: its address
 *
 * Return: 0 or an errno.
 */
int dmirror_disturb_replace(unsigned long addr);

/**
 * dmirror_disturb_protect - mprotect(PROT_READ) one page of current->mm
 * @addr: its address
 *
 * Return: 0 or an errno; -EOPNOTSUPP in a module.
 */
int dmirror_disturb_protect(unsigned long addr);

/**
 * dmirror_disturb_kill - send current a SIGKILL, see dmirror_killable()
 * @addr: ignored
 *
 * Return: 0.
 */
int dmirror_disturb_kill(unsigned long addr);

/**
 * dmirror_disturb_replace_and_kill - both
 * @addr: of the page to replace
 *
 * Return: 0 or an errno.
 */
int dmirror_disturb_replace_and_kill(unsigned long addr);

#endif /* DMIRROR_KUNIT_RACE_H */
