/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every kind of page table entry that hmm_range_fault() tells apart, how to
 * make one, and what has to be said of it.
 */
#ifndef CONTRACTS_HMM_KINDS_H
#define CONTRACTS_HMM_KINDS_H

#include <linux/types.h>

struct hmm_probe;
struct kunit;
struct toy;

/**
 * struct hmm_bench - what the entries are made with
 * @probe: who asks
 * @toy: device of the entries that need one, made by the first
 */
struct hmm_bench {
	struct hmm_probe *probe;
	struct toy *toy;
};

/**
 * struct hmm_kind - a kind of entry
 * @name: its name
 * @make: makes one, returns its address; may skip the case
 * @snapshot: the letter (hmm_probe.h) without a request
 * @read: the letter when asked to be readable, or F for -EFAULT
 * @write: the letter when asked to be writable, or F, or P for -EPERM
 * @cheap: can be made some hundred times
 *
 * A dot in place of a letter: not asked by cases that go through all kinds.
 */
struct hmm_kind {
	const char *name;
	unsigned long (*make)(struct kunit *test, struct hmm_bench *bench);
	char snapshot;
	char read;
	char write;
	bool cheap;
};

extern const struct hmm_kind hmm_kinds[];
extern const unsigned int hmm_nr_kinds;

#endif /* CONTRACTS_HMM_KINDS_H */
