/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A batch: some pages on their way between system memory and a device, as a
 * state machine over the sequences of migrate_vma and migrate_device.
 *
 * Owns: nothing; the arrays are the caller's.
 * Lock: the caller holds mmap_lock for reading from the first step to the last,
 * unless the batch has no VMA. Core mm holds the source folios' locks from
 * DMIRROR_BATCH_COLLECTED to DMIRROR_BATCH_DONE.
 * May call: mm, plan, inject.
 *
 *	NEW -> COLLECTED -> PLANNED -> COPIED -> PLACED -> DONE
 *	 |         |           |         |
 *	 |         +-----------+---------+-> ABORTED -----> DONE
 *	 +------------------------------------------------> DONE
 *
 * Each step has one arrow: core mm's setup, the choice of destinations, the
 * copy, core mm's change of the page tables, core mm's finalize. Only the first
 * can fail as a whole, and then there is nothing to undo. What fails later
 * fails page by page, and the outcome of each page says how. There is no step
 * that maps the result for the device: its sequence number has moved since, by
 * the migration itself, so that the device's next access has to ask core mm
 * anyway.
 */
#ifndef DMIRROR_BATCH_H
#define DMIRROR_BATCH_H

#include <linux/migrate.h>
#include <linux/types.h>

#include "plan.h"

/**
 * enum dmirror_batch_state - what has been done
 * @DMIRROR_BATCH_NEW: nothing
 * @DMIRROR_BATCH_COLLECTED: the sources are isolated, unmapped and locked
 * @DMIRROR_BATCH_PLANNED: destinations are chosen
 * @DMIRROR_BATCH_COPIED: and filled
 * @DMIRROR_BATCH_PLACED: and are where the sources were
 * @DMIRROR_BATCH_ABORTED: there are no destinations any more
 * @DMIRROR_BATCH_DONE: nothing is held
 */
enum dmirror_batch_state {
	DMIRROR_BATCH_NEW,
	DMIRROR_BATCH_COLLECTED,
	DMIRROR_BATCH_PLANNED,
	DMIRROR_BATCH_COPIED,
	DMIRROR_BATCH_PLACED,
	DMIRROR_BATCH_ABORTED,
	DMIRROR_BATCH_DONE,
};

/**
 * enum dmirror_outcome - what became of one page
 * @DMIRROR_OUTCOME_STAYED: it is not there, or not of the wanted kind, or core
 *	mm did not offer it, as it is in use
 * @DMIRROR_OUTCOME_WANTED: core mm offered it, and nothing else happened yet
 * @DMIRROR_OUTCOME_NO_MEMORY: there was no destination for it
 * @DMIRROR_OUTCOME_UNREADABLE: it could not be copied
 * @DMIRROR_OUTCOME_ABORTED: the batch was given up
 * @DMIRROR_OUTCOME_REFUSED: core mm put it back
 * @DMIRROR_OUTCOME_MOVED: it moved
 * @DMIRROR_OUTCOME_NR: number of outcomes
 */
enum dmirror_outcome {
	DMIRROR_OUTCOME_STAYED,
	DMIRROR_OUTCOME_WANTED,
	DMIRROR_OUTCOME_NO_MEMORY,
	DMIRROR_OUTCOME_UNREADABLE,
	DMIRROR_OUTCOME_ABORTED,
	DMIRROR_OUTCOME_REFUSED,
	DMIRROR_OUTCOME_MOVED,
	DMIRROR_OUTCOME_NR,
};

/**
 * struct dmirror_batch - one batch
 * @state: how far it is
 * @plan: how destinations are chosen
 * @args: for migrate_vma; args.src and args.dst are used without a VMA, too
 * @pfn: the first device page, without a VMA
 * @listed: args.src names the device pages, without a VMA
 * @nr: number of pages, and of entries in each array
 * @outcome: one enum dmirror_outcome per page
 */
struct dmirror_batch {
	enum dmirror_batch_state state;
	struct dmirror_plan plan;
	struct migrate_vma args;
	unsigned long pfn;
	bool listed;
	unsigned long nr;
	u8 *outcome;
};

/**
 * struct dmirror_arrays - room for the arrays of a batch
 * @nr: entries in each
 * @src: what core mm found
 * @dst: where it shall go
 * @outcome: what became of it
 * @buf: what @src and @dst are allocated as
 */
struct dmirror_arrays {
	unsigned long nr;
	unsigned long *src;
	unsigned long *dst;
	u8 *outcome;
	unsigned long buf[];
};

/**
 * dmirror_arrays_alloc - get room
 * @nr: most entries that a batch will have
 *
 * Context: process context, may sleep.
 * Return: the arrays, for kvfree(); or NULL.
 */
struct dmirror_arrays *dmirror_arrays_alloc(unsigned long nr);

/**
 * dmirror_batch_vma - begin a batch of a VMA's pages
 * @batch: to be filled in
 * @plan: how destinations are chosen; copied
 * @args: vma, start, end, flags, pgmap_owner, fault_page, src and dst as for
 *	migrate_vma_setup(); copied
 * @outcome: room for one entry per page
 *
 * Context: mmap_lock held for reading, until the batch is done.
 */
void dmirror_batch_vma(struct dmirror_batch *batch,
		       const struct dmirror_plan *plan,
		       const struct migrate_vma *args, u8 *outcome);

/**
 * dmirror_batch_device - begin a batch of device pages, whoever maps them
 * @batch: to be filled in
 * @plan: how destinations are chosen; copied
 * @pfn: first device page
 * @nr: number of pages; may not begin or end within a large folio
 * @arrays: room for as many
 *
 * Context: process context, no mmap_lock.
 */
void dmirror_batch_device(struct dmirror_batch *batch,
			  const struct dmirror_plan *plan, unsigned long pfn,
			  unsigned long nr, struct dmirror_arrays *arrays);

/**
 * dmirror_batch_pfns - begin a batch of device pages here and there
 * @batch: to be filled in
 * @plan: how destinations are chosen; copied
 * @nr: number of pages
 * @arrays: room for as many; src has their page frame numbers
 *
 * Context: process context, no mmap_lock.
 */
void dmirror_batch_pfns(struct dmirror_batch *batch,
			const struct dmirror_plan *plan, unsigned long nr,
			struct dmirror_arrays *arrays);

/**
 * dmirror_batch_step - go on to the next state
 * @batch: the batch, not DMIRROR_BATCH_DONE
 *
 * Context: as it was begun; may sleep.
 * Return: 0, or the error of migrate_vma_setup() with which it was done at
 * once.
 */
int dmirror_batch_step(struct dmirror_batch *batch);

/**
 * dmirror_batch_abort - give the batch up
 * @batch: the batch; nothing happens unless it is DMIRROR_BATCH_COLLECTED,
 *	DMIRROR_BATCH_PLANNED or DMIRROR_BATCH_COPIED
 *
 * The pages go back to where they were with the next step.
 *
 * Context: as it was begun; may sleep.
 */
void dmirror_batch_abort(struct dmirror_batch *batch);

/**
 * dmirror_batch_run - go on until the batch is done
 * @batch: the batch
 * @killable: give it up if the caller is killed before the copy
 *
 * Context: as it was begun; may sleep.
 * Return: 0; -EINTR when given up; the error of dmirror_batch_step().
 */
int dmirror_batch_run(struct dmirror_batch *batch, bool killable);

/**
 * dmirror_batch_count - how many pages had an outcome
 * @batch: the batch
 * @outcome: which
 *
 * Context: any.
 * Return: number of pages.
 */
unsigned long dmirror_batch_count(const struct dmirror_batch *batch,
				  enum dmirror_outcome outcome);

#endif /* DMIRROR_BATCH_H */
