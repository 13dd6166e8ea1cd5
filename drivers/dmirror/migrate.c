// SPDX-License-Identifier: GPL-2.0
#include "migrate.h"

#include <kunit/visibility.h>
#include <linux/mmap_lock.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "batch.h"
#include "devmem.h"
#include "mirror.h"
#include "mm.h"
#include "plan.h"
#include "trace.h"

/**
 * struct migration - one migration of a range under way
 * @mirror: whose mm and device memory
 * @resv: device pages for the batch at hand; none on the way back
 * @arrays: scratch
 * @flags: which pages core mm selects
 * @moved: pages moved so far
 * @no_memory: pages that stay because there was no system memory for them
 */
struct migration {
	struct dmirror_mirror *mirror;
	struct dmirror_resv resv;
	struct dmirror_arrays *arrays;
	unsigned long flags;
	unsigned long moved;
	unsigned long no_memory;
};

static bool is_to_devmem(const struct migration *migration)
{
	return migration->flags & MIGRATE_VMA_SELECT_SYSTEM;
}

/* Entries that the largest part of a range needs. */
static unsigned long arrays_nr(const struct dmirror_devmem *devmem)
{
	return max(DMIRROR_BATCH, 1UL << devmem->large_order);
}

/* Which pages of a device core mm selects, and whether as a whole. */
static unsigned long select_compound(const struct dmirror_devmem *devmem)
{
	return devmem->large_order ? MIGRATE_VMA_SELECT_COMPOUND : 0;
}

/*
 * Where the part that begins at @start ends: one large folio if it could be
 * one, else a batch that does not reach into the next.
 */
static unsigned long part_end(const struct dmirror_devmem *devmem,
			      unsigned long start, unsigned long end)
{
	unsigned long span = PAGE_SIZE << devmem->large_order;
	unsigned long in_span = span - (start & (span - 1));

	if (!devmem->large_order)
		return dmirror_batch_end(start, end);
	if (in_span == span && end - start >= span)
		return start + span;

	return min(dmirror_batch_end(start, end),
		   start + min(in_span, end - start));
}

/* Before mmap_lock; on a full device what is left, which may be nothing. */
static int reserve(struct migration *migration, unsigned long nr)
{
	struct dmirror_devmem *devmem = migration->mirror->devmem;
	int ret = -ENOSPC;

	if (devmem->large_order && nr == 1UL << devmem->large_order)
		ret = dmirror_devmem_reserve(devmem, 1, devmem->large_order,
					     &migration->resv);
	if (ret == -ENOSPC)
		ret = dmirror_devmem_reserve_some(devmem, nr,
						  &migration->resv);

	return ret;
}

/* The sequence itself, for one part of one VMA. */
static int migrate_part(struct migration *migration,
			struct vm_area_struct *vma, unsigned long start,
			unsigned long end)
{
	const struct dmirror_resv *resv = &migration->resv;
	struct dmirror_mirror *mirror = migration->mirror;
	const struct dmirror_plan plan = {
		.devmem = mirror->devmem,
		.resv = is_to_devmem(migration) ? &migration->resv : NULL,
		.flags = &mirror->flags,
		.vma = vma,
		.start = start,
		.holes_writable = vma->vm_flags & VM_WRITE,
		.can_split = true,
	};
	const struct migrate_vma args = {
		.vma = vma,
		.src = migration->arrays->src,
		.dst = migration->arrays->dst,
		.start = start,
		.end = end,
		.pgmap_owner = mirror->devmem,
		.flags = migration->flags,
	};
	struct dmirror_batch batch;
	unsigned long had, offered, moved;
	int ret;

	had = resv->small + (resv->large << mirror->devmem->large_order);
	dmirror_batch_vma(&batch, &plan, &args, migration->arrays->outcome);
	ret = dmirror_batch_run(&batch, true);
	moved = dmirror_batch_count(&batch, DMIRROR_OUTCOME_MOVED);
	migration->moved += moved;
	trace_dmirror_migrate(mirror->devmem,
			      is_to_devmem(migration) ? "to_devmem" : "to_ram",
			      start, batch.nr, moved, ret);
	if (ret)
		return ret;
	if (!is_to_devmem(migration)) {
		migration->no_memory +=
			dmirror_batch_count(&batch, DMIRROR_OUTCOME_NO_MEMORY);
		return 0;
	}

	offered = batch.nr - dmirror_batch_count(&batch, DMIRROR_OUTCOME_STAYED);
	return offered > had ? -ENOSPC : 0;
}

/* The part of [@start, @end) that one VMA and one batch cover. */
static int migrate_step(struct migration *migration, unsigned long start,
			unsigned long end, unsigned long *next)
{
	struct mm_struct *mm = migration->mirror->notifier.mm;
	struct vm_area_struct *vma;
	int ret;

	end = part_end(migration->mirror->devmem, start, end);

	if (is_to_devmem(migration)) {
		ret = reserve(migration, (end - start) >> PAGE_SHIFT);
		if (ret)
			return ret;
	}

	ret = mmap_read_lock_killable(mm);
	if (ret)
		goto out_unreserve;
	ret = -EINVAL;
	vma = vma_lookup(mm, start);
	if (vma && vma->vm_flags & VM_READ) {
		*next = min(end, vma->vm_end);
		ret = migrate_part(migration, vma, start, *next);
	}
	mmap_read_unlock(mm);
out_unreserve:
	dmirror_devmem_unreserve(&migration->resv);
	return ret;
}

static int migrate_range(struct migration *migration, unsigned long addr,
			 unsigned long npages, unsigned long *moved)
{
	struct mm_struct *mm = migration->mirror->notifier.mm;
	unsigned long end;
	int ret;

	*moved = 0;
	ret = dmirror_range_check(addr, npages, &end);
	if (ret)
		return ret;
	if (!mmget_not_zero(mm))
		return -EFAULT;

	ret = -ENOMEM;
	migration->arrays =
		dmirror_arrays_alloc(arrays_nr(migration->mirror->devmem));
	if (!migration->arrays)
		goto out_mmput;

	do {
		ret = migrate_step(migration, addr, end, &addr);
		cond_resched();
		if (!ret && addr < end)
			ret = dmirror_killed();
	} while (!ret && addr < end);
	*moved = migration->moved;
	/* For some there was none: the others have come home all the same. */
	if (!ret && migration->no_memory)
		ret = -ENOMEM;
	kvfree(migration->arrays);
out_mmput:
	mmput(mm);
	return ret;
}

int dmirror_migrate_to_devmem(struct dmirror_mirror *mirror,
			      unsigned long addr, unsigned long npages,
			      unsigned long *moved)
{
	struct migration migration = { .mirror = mirror };

	*moved = 0;
	if (!mirror->devmem)
		return -ENODEV;
	migration.flags = MIGRATE_VMA_SELECT_SYSTEM |
			  select_compound(mirror->devmem);

	return migrate_range(&migration, addr, npages, moved);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_to_devmem);

int dmirror_migrate_to_ram(struct dmirror_mirror *mirror, unsigned long addr,
			   unsigned long npages, unsigned long *moved)
{
	struct migration migration = { .mirror = mirror };

	*moved = 0;
	if (!mirror->devmem)
		return -ENODEV;
	migration.flags = mirror->devmem->ops->select |
			  select_compound(mirror->devmem);

	return migrate_range(&migration, addr, npages, moved);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_to_ram);

/* What the CPU's fault gets when the page that it wants has not moved. */
static vm_fault_t fault_result(const struct dmirror_batch *batch)
{
	/* Where there are no memory failures nobody knows VM_FAULT_HWPOISON. */
	if (dmirror_batch_count(batch, DMIRROR_OUTCOME_UNREADABLE))
		return IS_ENABLED(CONFIG_MEMORY_FAILURE) ? VM_FAULT_HWPOISON :
		       VM_FAULT_SIGBUS;
	if (dmirror_batch_count(batch, DMIRROR_OUTCOME_NO_MEMORY) &&
	    !dmirror_batch_count(batch, DMIRROR_OUTCOME_REFUSED))
		return VM_FAULT_OOM;
	/*
	 * Somebody holds the page just now: the access is tried again. A fault
	 * in the kernel's own uaccess looks at no signal between two tries.
	 */
	return dmirror_killed() ? VM_FAULT_SIGBUS : 0;
}

static vm_fault_t fault_part(struct vm_fault *vmf,
			     const struct dmirror_arrays *arrays,
			     unsigned int order)
{
	struct dmirror_devmem *devmem = dmirror_devmem_of(vmf->page);
	unsigned long start = ALIGN_DOWN(vmf->address, PAGE_SIZE << order);
	const struct dmirror_plan plan = {
		.devmem = devmem,
		.vma = vmf->vma,
		.start = start,
		.can_split = true,
		.fault = true,
	};
	const struct migrate_vma args = {
		.vma = vmf->vma,
		.src = arrays->src,
		.dst = arrays->dst,
		.start = start,
		.end = start + (PAGE_SIZE << order),
		.pgmap_owner = devmem,
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
			 (order ? MIGRATE_VMA_SELECT_COMPOUND : 0),
		.fault_page = vmf->page,
	};
	struct dmirror_batch batch;
	unsigned long moved;
	int ret;

	dmirror_batch_vma(&batch, &plan, &args, arrays->outcome);
	/* Not killable: what the CPU waits for is worth a copy. */
	ret = dmirror_batch_run(&batch, false);
	moved = dmirror_batch_count(&batch, DMIRROR_OUTCOME_MOVED);
	trace_dmirror_migrate(devmem, "fault", start, batch.nr, moved, ret);
	if (ret)
		return VM_FAULT_SIGBUS;

	return moved ? 0 : fault_result(&batch);
}

vm_fault_t dmirror_migrate_fault(struct vm_fault *vmf)
{
	unsigned int order = dmirror_mm_fault_order(vmf);
	unsigned long src = 0, dst = 0;
	u8 outcome = 0;
	const struct dmirror_arrays one = {
		.nr = 1,
		.src = &src,
		.dst = &dst,
		.outcome = &outcome,
	};
	struct dmirror_arrays *arrays;
	vm_fault_t ret;

	if (!order)
		return fault_part(vmf, &one, 0);

	arrays = dmirror_arrays_alloc(1UL << order);
	if (!arrays)
		return VM_FAULT_OOM;
	ret = fault_part(vmf, arrays, order);
	kvfree(arrays);

	return ret;
}

/**
 * struct eviction - one eviction under way
 * @arrays: scratch
 * @split: large folios that were cut, because there was no large system folio
 * @killable: give up when killed
 */
struct eviction {
	struct dmirror_arrays *arrays;
	unsigned long split;
	bool killable;
};

/*
 * Where a page is retired, no folio is large, but what is left of the last one
 * in the struct pages of those that are out of service is still there for
 * migrate_device_range() to stumble over: name the others one by one.
 */
static void evict_begin(struct eviction *eviction, struct dmirror_chunk *chunk,
			unsigned long pfn, unsigned long nr,
			struct dmirror_batch *batch)
{
	const struct dmirror_plan plan = { .devmem = chunk->devmem };
	struct dmirror_arrays *arrays = eviction->arrays;
	unsigned long listed;

	listed = dmirror_devmem_usable(chunk, pfn, nr, arrays->src);
	if (listed == nr && nr > 1)
		dmirror_batch_device(batch, &plan, pfn, nr, arrays);
	else
		dmirror_batch_pfns(batch, &plan, listed, arrays);
}

static void evict_part(struct eviction *eviction, struct dmirror_chunk *chunk,
		       unsigned long pfn, unsigned long nr)
{
	struct dmirror_batch batch;
	unsigned long i;

	evict_begin(eviction, chunk, pfn, nr, &batch);
	dmirror_batch_run(&batch, false);
	trace_dmirror_migrate(chunk->devmem, "evict", pfn, nr,
			      dmirror_batch_count(&batch,
						  DMIRROR_OUTCOME_MOVED), 0);

	/* Here core mm, without a VMA, does not split. */
	if (!chunk->devmem->large_order ||
	    !dmirror_batch_count(&batch, DMIRROR_OUTCOME_NO_MEMORY))
		return;
	for (i = 0; i < nr; i += 1UL << chunk->devmem->large_order)
		eviction->split += dmirror_mm_folio_split(pfn_to_page(pfn + i));
}

static int evict_chunk(struct dmirror_chunk *chunk, void *arg)
{
	unsigned long pfn = chunk->first_pfn;
	unsigned long end = pfn + chunk->nr_pages;
	struct eviction *eviction = arg;
	unsigned long nr;

	/* The arrays hold whole spans, so no part cuts a large folio. */
	for (; pfn < end; pfn += nr) {
		nr = min(end - pfn, eviction->arrays->nr);
		evict_part(eviction, chunk, pfn, nr);
		if (eviction->killable && dmirror_killed())
			return -EINTR;
		cond_resched();
	}

	return 0;
}

static unsigned long pages_out(struct dmirror_devmem *devmem)
{
	struct dmirror_devmem_stats stats;

	dmirror_devmem_stats(devmem, &stats);
	return stats.total - stats.free - stats.retired;
}

static int evict(struct dmirror_devmem *devmem, bool killable,
		 unsigned long *left)
{
	struct eviction eviction = { .killable = killable };
	unsigned long first = pages_out(devmem), before;
	int ret;

	*left = first;
	if (!first)
		return 0;
	eviction.arrays = dmirror_arrays_alloc(arrays_nr(devmem));
	if (!eviction.arrays)
		return -ENOMEM;

	do {
		before = *left;
		eviction.split = 0;
		ret = dmirror_devmem_visit_chunks(devmem, evict_chunk,
						  &eviction);
		*left = pages_out(devmem);
	} while (!ret && *left && (*left < before || eviction.split));
	kvfree(eviction.arrays);
	trace_dmirror_evict(devmem, first, *left);

	if (!*left)
		return 0;
	return ret ?: -EBUSY;
}

int dmirror_migrate_evict(struct dmirror_devmem *devmem, unsigned long *left)
{
	return evict(devmem, false, left);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_evict);

/*
 * Whoever uses the page gets another one with what can still be read, and is
 * not killed.
 */
int dmirror_migrate_memory_failure(struct dmirror_chunk *chunk,
				   unsigned long pfn)
{
	unsigned long nr = 1UL << chunk->devmem->large_order;
	unsigned long first;
	struct eviction eviction = { };
	int ret;

	ret = dmirror_devmem_retire(chunk, pfn);
	if (!ret)
		return 0;
	eviction.arrays = dmirror_arrays_alloc(nr);
	if (!eviction.arrays)
		return -ENOMEM;

	first = chunk->first_pfn + ALIGN_DOWN(pfn - chunk->first_pfn, nr);
	do {
		eviction.split = 0;
		/* The large folio that it is a part of, or nothing else. */
		if (PageCompound(pfn_to_page(pfn)))
			evict_part(&eviction, chunk, first, nr);
		else
			evict_part(&eviction, chunk, pfn, 1);
		ret = dmirror_devmem_retire(chunk, pfn);
	} while (ret && eviction.split);
	kvfree(eviction.arrays);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_memory_failure);

int dmirror_migrate_drain(struct dmirror_devmem *devmem, bool killable)
{
	unsigned long left;
	int ret;

	/* What is taken between the two is brought home by the next round. */
	do {
		ret = evict(devmem, killable, &left);
		if (!ret)
			ret = dmirror_devmem_fini(devmem);
		else if (ret == -EBUSY)
			return ret;
		if (ret && killable && dmirror_killed())
			return -EINTR;
		cond_resched();
	} while (ret == -EBUSY);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_drain);
