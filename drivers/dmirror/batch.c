// SPDX-License-Identifier: GPL-2.0
#include "batch.h"

#include <kunit/visibility.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "inject.h"
#include "mirror.h"
#include "mm.h"

struct dmirror_arrays *dmirror_arrays_alloc(unsigned long nr)
{
	unsigned long words = 2 * nr + DIV_ROUND_UP(nr, sizeof(long));
	struct dmirror_arrays *arrays;

	if (dmirror_should_fail(DMIRROR_INJECT_ARRAY_ALLOC))
		return NULL;
	arrays = kvzalloc(struct_size(arrays, buf, words), GFP_KERNEL);
	if (!arrays)
		return NULL;

	arrays->nr = nr;
	arrays->src = arrays->buf;
	arrays->dst = arrays->buf + nr;
	arrays->outcome = (u8 *)(arrays->dst + nr);
	return arrays;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_arrays_alloc);

void dmirror_batch_vma(struct dmirror_batch *batch,
		       const struct dmirror_plan *plan,
		       const struct migrate_vma *args, u8 *outcome)
{
	*batch = (struct dmirror_batch){
		.plan = *plan,
		.args = *args,
		.nr = (args->end - args->start) >> PAGE_SHIFT,
		.outcome = outcome,
	};
	memset(outcome, DMIRROR_OUTCOME_STAYED, batch->nr);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_batch_vma);

void dmirror_batch_device(struct dmirror_batch *batch,
			  const struct dmirror_plan *plan, unsigned long pfn,
			  unsigned long nr, struct dmirror_arrays *arrays)
{
	*batch = (struct dmirror_batch){
		.plan = *plan,
		.args.src = arrays->src,
		.args.dst = arrays->dst,
		.pfn = pfn,
		.nr = nr,
		.outcome = arrays->outcome,
	};
	memset(arrays->outcome, DMIRROR_OUTCOME_STAYED, nr);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_batch_device);

void dmirror_batch_pfns(struct dmirror_batch *batch,
			const struct dmirror_plan *plan, unsigned long nr,
			struct dmirror_arrays *arrays)
{
	dmirror_batch_device(batch, plan, 0, nr, arrays);
	batch->listed = true;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_batch_pfns);

/*
 * Says of each page that had the outcome @from whether it can still move: @yes
 * if so, else @no. A large destination stands for all of its source's pages.
 */
static void decide(struct dmirror_batch *batch, u8 from, u8 yes, u8 no)
{
	const unsigned long *src = batch->args.src, *dst = batch->args.dst;
	unsigned long i, j, n;

	for (i = 0; i < batch->nr; i += n) {
		bool offered = src[i] & MIGRATE_PFN_MIGRATE;
		bool whole = dst[i] & MIGRATE_PFN_COMPOUND;

		n = dmirror_plan_entry_pages(&batch->plan, src + i,
					     batch->nr - i);
		for (j = i; j < i + n; j++) {
			if (batch->outcome[j] != from)
				continue;
			batch->outcome[j] = offered && (whole || dst[j]) ?
					    yes : no;
		}
	}
}

/* Before there are destinations: what core mm offers, if it is of use. */
static void note_offers(struct dmirror_batch *batch)
{
	const unsigned long *src = batch->args.src;
	unsigned long i, n;

	for (i = 0; i < batch->nr; i += n) {
		n = dmirror_plan_entry_pages(&batch->plan, src + i,
					     batch->nr - i);
		if (dmirror_plan_wants(&batch->plan, src[i]))
			memset(batch->outcome + i, DMIRROR_OUTCOME_WANTED, n);
	}
}

static int collect(struct dmirror_batch *batch)
{
	int ret = 0;

	/* Without a VMA it notes per page what it could not lock. */
	if (batch->args.vma)
		ret = dmirror_mm_migrate_setup(&batch->args);
	else if (batch->listed)
		dmirror_mm_device_pfns(batch->args.src, batch->nr);
	else
		dmirror_mm_device_range(batch->args.src, batch->pfn, batch->nr);
	if (ret) {
		batch->state = DMIRROR_BATCH_DONE;
		return ret;
	}

	memset(batch->args.dst, 0, batch->nr * sizeof(*batch->args.dst));
	note_offers(batch);
	batch->state = DMIRROR_BATCH_COLLECTED;
	return 0;
}

static void choose(struct dmirror_batch *batch)
{
	if (batch->plan.resv)
		dmirror_plan_to_devmem(&batch->plan, batch->args.src,
				       batch->args.dst, batch->nr);
	else
		dmirror_plan_to_ram(&batch->plan, batch->args.src,
				    batch->args.dst, batch->nr);
	decide(batch, DMIRROR_OUTCOME_WANTED, DMIRROR_OUTCOME_WANTED,
	       DMIRROR_OUTCOME_NO_MEMORY);
	batch->state = DMIRROR_BATCH_PLANNED;
}

static void copy(struct dmirror_batch *batch)
{
	dmirror_plan_copy(&batch->plan, batch->args.src, batch->args.dst,
			  batch->nr);
	decide(batch, DMIRROR_OUTCOME_WANTED, DMIRROR_OUTCOME_WANTED,
	       DMIRROR_OUTCOME_UNREADABLE);
	batch->state = DMIRROR_BATCH_COPIED;
}

static void place(struct dmirror_batch *batch)
{
	if (batch->args.vma)
		dmirror_mm_migrate_pages(&batch->args);
	else
		dmirror_mm_device_pages(batch->args.src, batch->args.dst,
					batch->nr);
	decide(batch, DMIRROR_OUTCOME_WANTED, DMIRROR_OUTCOME_MOVED,
	       DMIRROR_OUTCOME_REFUSED);
	batch->state = DMIRROR_BATCH_PLACED;
}

static void finalize(struct dmirror_batch *batch)
{
	if (batch->args.vma)
		dmirror_mm_migrate_finalize(&batch->args);
	else
		dmirror_mm_device_finalize(batch->args.src, batch->args.dst,
					   batch->nr);
	batch->state = DMIRROR_BATCH_DONE;
}

int dmirror_batch_step(struct dmirror_batch *batch)
{
	if (batch->args.vma)
		mmap_assert_locked(batch->args.vma->vm_mm);

	switch (batch->state) {
	case DMIRROR_BATCH_NEW:
		return collect(batch);
	case DMIRROR_BATCH_COLLECTED:
		choose(batch);
		break;
	case DMIRROR_BATCH_PLANNED:
		copy(batch);
		break;
	case DMIRROR_BATCH_COPIED:
		place(batch);
		break;
	case DMIRROR_BATCH_PLACED:
	case DMIRROR_BATCH_ABORTED:
		finalize(batch);
		break;
	case DMIRROR_BATCH_DONE:
		break;
	}

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_batch_step);

void dmirror_batch_abort(struct dmirror_batch *batch)
{
	if (batch->state == DMIRROR_BATCH_NEW ||
	    batch->state > DMIRROR_BATCH_COPIED)
		return;

	dmirror_plan_drop(batch->args.dst, batch->nr);
	decide(batch, DMIRROR_OUTCOME_WANTED, DMIRROR_OUTCOME_WANTED,
	       DMIRROR_OUTCOME_ABORTED);
	batch->state = DMIRROR_BATCH_ABORTED;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_batch_abort);

int dmirror_batch_run(struct dmirror_batch *batch, bool killable)
{
	int ret = 0;

	while (!ret && batch->state != DMIRROR_BATCH_DONE) {
		/* The copy is what takes its time. */
		if (batch->state == DMIRROR_BATCH_PLANNED && killable &&
		    dmirror_killed()) {
			dmirror_batch_abort(batch);
			finalize(batch);
			return -EINTR;
		}
		ret = dmirror_batch_step(batch);
	}

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_batch_run);

unsigned long dmirror_batch_count(const struct dmirror_batch *batch,
				  enum dmirror_outcome outcome)
{
	unsigned long i, nr = 0;

	for (i = 0; i < batch->nr; i++)
		nr += batch->outcome[i] == outcome;

	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_batch_count);
