/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A driver that only looks: an interval notifier, the two ways to ask
 * hmm_range_fault(), and an observer that walks the page tables on its own and
 * says what the answer has to be.
 *
 * Answers are written as letters, one for a page:
 *
 *   -  nothing there, a fault may help      E  never: HMM_PFN_ERROR
 *   r  valid                                R  valid, of a larger mapping
 *   w  valid and writable                   W  the same, of a larger mapping
 *   ?  anything else, which is always wrong
 */
#ifndef CONTRACTS_HMM_PROBE_H
#define CONTRACTS_HMM_PROBE_H

#include <linux/completion.h>
#include <linux/hmm.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>

#include "../fixture.h"

#define HMM_READ	((unsigned long)HMM_PFN_REQ_FAULT)
#define HMM_WRITE	((unsigned long)(HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE))

/* What hmm_range_fault() hands back as it got it. */
#define HMM_STICKY	((unsigned long)(HMM_PFN_DMA_MAPPED | \
					 HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS))

/* The entries before and after the array, which nobody may touch. */
#define HMM_PROBE_GUARD	0x5aa55aa5UL

/**
 * struct hmm_probe - a driver that only looks
 * @notifier: its notifier
 * @lock: the driver's update lock
 * @range: the argument of the next question
 * @pfns: the array of @range, between two guards
 * @asked: what hmm_probe_insist() puts there for every try
 * @nr: its length
 * @invalidations: how often the notifier was told something, guarded by @lock
 * @retries: how often hmm_probe_insist() got -EBUSY or was too late
 * @unlocked: ask hmm_range_fault_unlocked_timeout()
 * @timeout: its second argument
 * @unbalanced: a call came back with another number of locks, or with a
 *	preemption count
 */
struct hmm_probe {
	struct mmu_interval_notifier notifier;
	spinlock_t lock; /* guards the counter and the sequence */
	struct hmm_range range;
	unsigned long *pfns;
	unsigned long *asked;
	unsigned long nr;
	unsigned int invalidations;
	unsigned int retries;
	bool unlocked;
	unsigned long timeout;
	bool unbalanced;
};

/**
 * hmm_probe_get - watch all of the case's mm
 * @test: the case
 * @nr: pages of the longest range that will be asked for
 *
 * Asserts that it works.
 *
 * Return: the probe.
 */
struct hmm_probe *hmm_probe_get(struct kunit *test, unsigned long nr);

/**
 * hmm_probe_get_at - watch a part of the case's mm
 * @test: the case
 * @addr: page aligned address
 * @nr: number of pages
 *
 * Asserts that it works.
 *
 * Return: the probe.
 */
struct hmm_probe *hmm_probe_get_at(struct kunit *test, unsigned long addr,
				   unsigned long nr);

/**
 * hmm_probe_ways - how many ways there are to ask
 *
 * Return: 2, or 1 before Linux 7.3, where hmm_probe.unlocked has to be false.
 */
unsigned int hmm_probe_ways(void);

/**
 * hmm_probe_requires_unlocked - skip on a kernel with one way only
 * @test: the case
 */
static inline void hmm_probe_requires_unlocked(struct kunit *test)
{
	if (hmm_probe_ways() < 2)
		kunit_skip(test, "needs hmm_range_fault_unlocked_timeout()");
}

/**
 * hmm_probe_fill - write the same into every entry of the array
 * @probe: the probe
 * @value: what
 */
void hmm_probe_fill(struct hmm_probe *probe, unsigned long value);

/**
 * hmm_probe_held - ask once while mmap_lock is held, with the range's sequence
 * @probe: the probe; array, flags and mask are used as they are
 * @addr: page aligned address
 * @npages: number of pages
 *
 * Context: mmap_lock is held; checks nothing.
 * Return: what hmm_range_fault() returned.
 */
int hmm_probe_held(struct hmm_probe *probe, unsigned long addr,
		   unsigned long npages);

/**
 * hmm_probe_ask - ask once, with a new sequence
 * @probe: the probe; array, flags and mask are used as they are
 * @addr: page aligned address
 * @npages: number of pages
 *
 * Context: process context, mmap_lock is not held; checks nothing.
 * Return: what core mm returned.
 */
int hmm_probe_ask(struct hmm_probe *probe, unsigned long addr,
		  unsigned long npages);

/**
 * hmm_probe_insist - ask as drivers do, until the answer holds
 * @probe: the probe; each try begins with the array, flags and mask of now
 * @addr: page aligned address
 * @npages: number of pages
 *
 * Context: process context, mmap_lock is not held; checks nothing.
 * Return: what core mm returned; -EBUSY after many tries.
 */
int hmm_probe_insist(struct hmm_probe *probe, unsigned long addr,
		     unsigned long npages);

/**
 * hmm_probe_run - the same for the usual request, one for all pages
 * @probe: the probe; its array begins empty
 * @addr: page aligned address
 * @npages: number of pages
 * @flags: default flags; the mask is 0
 *
 * Context: process context, mmap_lock is not held; checks nothing.
 * Return: what core mm returned; -EBUSY after many tries.
 */
int hmm_probe_run(struct hmm_probe *probe, unsigned long addr,
		  unsigned long npages, unsigned long flags);

/**
 * hmm_probe_letter - an answer as a letter
 * @entry: an entry of the array
 *
 * Return: the letter.
 */
char hmm_probe_letter(unsigned long entry);

/**
 * hmm_probe_truth - the answer that a page deserves, from the page tables
 * @mm: an mm
 * @addr: page aligned address
 * @owner: whose private pages are reported as they are
 *
 * Nothing but the case may change the page tables.
 *
 * Context: mmap_lock is held.
 * Return: the entry, without sticky flags.
 */
unsigned long hmm_probe_truth(struct mm_struct *mm, unsigned long addr,
			      void *owner);

/**
 * hmm_probe_raw - the CPU's entry itself, to see whether it changes
 * @addr: page aligned address of the case's mm
 *
 * Context: process context, mmap_lock is not held.
 * Return: the entry of the lowest level there is, 0 if there is none.
 */
unsigned long hmm_probe_raw(unsigned long addr);

/**
 * hmm_probe_set_raw - overwrite an entry of the page tables by hand
 * @test: the case
 * @addr: an address where nothing or the zero page is mapped
 * @pte: what to put there; nobody counts it
 *
 * Asserts that there is a page table.
 */
void hmm_probe_set_raw(struct kunit *test, unsigned long addr, pte_t pte);

/**
 * hmm_probe_spoil - make the entry of a page table bad, as pmd_bad() has it
 * @addr: an address of it
 * @bad: make it bad, or good again
 *
 * Nobody but hmm_range_fault() may look at it meanwhile.
 *
 * Context: process context, mmap_lock is not held.
 * Return: whether there is a table and the architecture can do it.
 */
bool hmm_probe_spoil(unsigned long addr, bool bad);

/**
 * hmm_probe_swap_pmd - overwrite the entry of a huge page by hand
 * @addr: an address of the huge page
 * @pmd: what to put there, and what was there afterwards; nobody counts either
 *
 * Nobody but who walks the page table may touch the huge page meanwhile.
 *
 * Context: process context, mmap_lock is not held.
 * Return: whether there is such an entry.
 */
bool hmm_probe_swap_pmd(unsigned long addr, pmd_t *pmd);

/**
 * hmm_probe_expect - compare the array with letters and with the page tables
 * @test: the case
 * @probe: after a call that returned 0
 * @addr: where its range begins
 * @letters: one for each page
 * @step: what was done, for the message
 *
 * Expects the guards to be whole too.
 */
void hmm_probe_expect(struct kunit *test, struct hmm_probe *probe,
		      unsigned long addr, const char *letters,
		      const char *step);

/**
 * hmm_probe_expect_input - entries that a failed call must not have touched
 * @test: the case
 * @probe: after the call
 * @from: index of the first one
 * @value: what was in them
 * @step: what was done, for the message
 *
 * Expects the guards to be whole too.
 */
void hmm_probe_expect_input(struct kunit *test, struct hmm_probe *probe,
			    unsigned long from, unsigned long value,
			    const char *step);

/**
 * struct hmm_asker - a thread that asks while the case holds something
 * @probe: with which it calls hmm_probe_run()
 * @addr: page aligned address
 * @npages: number of pages
 * @flags: default flags
 * @ret: what it was told
 * @task: the thread
 * @done: completed afterwards
 */
struct hmm_asker {
	struct hmm_probe *probe;
	unsigned long addr;
	unsigned long npages;
	unsigned long flags;
	int ret;
	struct task_struct *task;
	struct completion done;
};

/**
 * hmm_asker_create - make the thread, which does not run yet
 * @test: the case
 * @asker: probe, addr, npages and flags are filled in
 *
 * Asserts that there is a thread. hmm_asker_cancel() or hmm_asker_start() has
 * to follow.
 */
void hmm_asker_create(struct kunit *test, struct hmm_asker *asker);

/**
 * hmm_asker_cancel - it will not be needed
 * @asker: a thread that has not been started
 */
void hmm_asker_cancel(struct hmm_asker *asker);

/**
 * hmm_asker_start - let it ask, and see it wait
 * @asker: the thread; hmm_asker_join() has to follow
 * @folio: a locked folio, for whose lock nobody waits yet
 *
 * Return: whether somebody waits for the folio; false after ten seconds.
 */
bool hmm_asker_start(struct hmm_asker *asker, struct folio *folio);

/**
 * hmm_asker_join - wait for its answer
 * @asker: the thread
 */
void hmm_asker_join(struct hmm_asker *asker);

#endif /* CONTRACTS_HMM_PROBE_H */
