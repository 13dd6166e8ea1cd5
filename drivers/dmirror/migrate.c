// SPDX-License-Identifier: GPL-2.0
#include "migrate.h"

#include <kunit/visibility.h>
#include <linux/mmap_lock.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "devmem.h"
#include "inject.h"
#include "mirror.h"
#include "mm.h"
#include "plan.h"

/**
 * struct arrays - the arrays of one batch
 * @nr: entries in each
 * @src: what core mm found
 * @dst: where it shall go
 * @buf: both; what they are allocated as
 */
struct arrays {
	unsigned long nr;
	unsigned long *src;
	unsigned long *dst;
	unsigned long buf[];
};

/**
 * struct migration - one migration of a range under way
 * @mirror: whose mm and device memory
 * @resv: device pages for the batch at hand; none on the way back
 * @arrays: scratch
 * @flags: which pages core mm selects
 * @moved: pages moved so far
 */
struct migration {
	struct dmirror_mirror *mirror;
	struct dmirror_resv resv;
	struct arrays *arrays;
	unsigned long flags;
	unsigned long moved;
};

static bool is_to_devmem(const struct migration *migration)
{
	return migration->flags & MIGRATE_VMA_SELECT_SYSTEM;
}

static struct arrays *arrays_alloc(unsigned long nr)
{
	struct arrays *arrays;

	if (dmirror_should_fail(DMIRROR_INJECT_ARRAY_ALLOC))
		return NULL;
	arrays = kvzalloc(struct_size(arrays, buf, 2 * nr), GFP_KERNEL);
	if (!arrays)
		return NULL;

	arrays->nr = nr;
	arrays->src = arrays->buf;
	arrays->dst = arrays->buf + nr;
	return arrays;
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

/* Returns true if pages stay behind because the device is full. */
static bool plan_to_devmem(struct migration *migration,
			   const struct dmirror_plan *plan,
			   const struct migrate_vma *args, unsigned long nr)
{
	const struct dmirror_resv *resv = &migration->resv;
	unsigned long had, wanted;

	had = resv->small + (resv->large << plan->devmem->large_order);
	wanted = dmirror_plan_wanted(plan, args->src, nr);
	dmirror_plan_to_devmem(plan, args->src, args->dst, nr);

	return wanted > had;
}

/* The sequence itself, for one part of one VMA. */
static int migrate_part(struct migration *migration,
			struct vm_area_struct *vma, unsigned long start,
			unsigned long end)
{
	struct dmirror_mirror *mirror = migration->mirror;
	unsigned long nr = (end - start) >> PAGE_SHIFT;
	const struct dmirror_plan plan = {
		.devmem = mirror->devmem,
		.resv = &migration->resv,
		.flags = &mirror->flags,
		.holes_writable = vma->vm_flags & VM_WRITE,
		.can_split = true,
	};
	struct migrate_vma args = {
		.vma = vma,
		.src = migration->arrays->src,
		.dst = migration->arrays->dst,
		.start = start,
		.end = end,
		.pgmap_owner = mirror->devmem,
		.flags = migration->flags,
	};
	bool full = false;
	int ret;

	mmap_assert_locked(vma->vm_mm);

	ret = dmirror_mm_migrate_setup(&args);
	if (ret)
		return ret;
	if (is_to_devmem(migration))
		full = plan_to_devmem(migration, &plan, &args, nr);
	else
		dmirror_plan_to_ram(&plan, args.src, args.dst, nr);
	dmirror_mm_migrate_pages(&args);
	migration->moved += dmirror_plan_moved(args.src, args.dst, nr);
	dmirror_mm_migrate_finalize(&args);

	return full ? -ENOSPC : 0;
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
	migration->arrays = arrays_alloc(arrays_nr(migration->mirror->devmem));
	if (!migration->arrays)
		goto out_mmput;

	do {
		ret = migrate_step(migration, addr, end, &addr);
		cond_resched();
		if (!ret && addr < end)
			ret = dmirror_killed();
	} while (!ret && addr < end);
	*moved = migration->moved;
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

static vm_fault_t fault_part(struct vm_fault *vmf, unsigned long *src,
			     unsigned long *dst, unsigned int order)
{
	struct dmirror_devmem *devmem = dmirror_devmem_of(vmf->page);
	unsigned long start = ALIGN_DOWN(vmf->address, PAGE_SIZE << order);
	unsigned long nr = 1UL << order, collected, planned, moved;
	const struct dmirror_plan plan = {
		.devmem = devmem,
		.can_split = true,
		.fault = true,
	};
	struct migrate_vma args = {
		.vma = vmf->vma,
		.src = src,
		.dst = dst,
		.start = start,
		.end = start + (PAGE_SIZE << order),
		.pgmap_owner = devmem,
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
			 (order ? MIGRATE_VMA_SELECT_COMPOUND : 0),
		.fault_page = vmf->page,
	};

	mmap_assert_locked(vmf->vma->vm_mm);

	if (dmirror_mm_migrate_setup(&args))
		return VM_FAULT_SIGBUS;

	collected = dmirror_plan_wanted(&plan, src, nr);
	planned = dmirror_plan_to_ram(&plan, src, dst, nr);
	dmirror_mm_migrate_pages(&args);
	moved = dmirror_plan_moved(src, dst, nr);
	dmirror_mm_migrate_finalize(&args);

	if (collected && !planned)
		return VM_FAULT_OOM;
	/*
	 * Somebody holds the page just now: the access is tried again. A fault
	 * in the kernel's own uaccess looks at no signal between two tries.
	 */
	if (!moved && dmirror_killed())
		return VM_FAULT_SIGBUS;

	return 0;
}

vm_fault_t dmirror_migrate_fault(struct vm_fault *vmf)
{
	unsigned int order = dmirror_mm_fault_order(vmf);
	unsigned long src = 0, dst = 0;
	struct arrays *arrays;
	vm_fault_t ret;

	if (!order)
		return fault_part(vmf, &src, &dst, 0);

	arrays = arrays_alloc(1UL << order);
	if (!arrays)
		return VM_FAULT_OOM;
	ret = fault_part(vmf, arrays->src, arrays->dst, order);
	kvfree(arrays);

	return ret;
}

/**
 * struct eviction - one eviction under way
 * @arrays: scratch
 * @split: large folios that were cut, because there was no large system folio
 */
struct eviction {
	struct arrays *arrays;
	unsigned long split;
};

static void evict_part(struct eviction *eviction, struct dmirror_chunk *chunk,
		       unsigned long pfn, unsigned long nr)
{
	const struct dmirror_plan plan = { .devmem = chunk->devmem };
	unsigned long *src = eviction->arrays->src;
	unsigned long *dst = eviction->arrays->dst;
	unsigned long i, wanted, planned;

	/* Cannot fail: it notes per page what it could not lock. */
	dmirror_mm_device_range(src, pfn, nr);
	wanted = dmirror_plan_wanted(&plan, src, nr);
	planned = dmirror_plan_to_ram(&plan, src, dst, nr);
	dmirror_mm_device_pages(src, dst, nr);
	dmirror_mm_device_finalize(src, dst, nr);

	/* Here core mm, without a VMA, does not split. */
	if (planned == wanted || !chunk->devmem->large_order)
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
		cond_resched();
	}

	return 0;
}

static unsigned long pages_out(struct dmirror_devmem *devmem)
{
	struct dmirror_devmem_stats stats;

	dmirror_devmem_stats(devmem, &stats);
	return stats.total - stats.free;
}

int dmirror_migrate_evict(struct dmirror_devmem *devmem, unsigned long *left)
{
	struct eviction eviction = { };
	unsigned long before;

	*left = pages_out(devmem);
	if (!*left)
		return 0;
	eviction.arrays = arrays_alloc(arrays_nr(devmem));
	if (!eviction.arrays)
		return -ENOMEM;

	do {
		before = *left;
		eviction.split = 0;
		dmirror_devmem_visit_chunks(devmem, evict_chunk, &eviction);
		*left = pages_out(devmem);
	} while (*left && (*left < before || eviction.split));
	kvfree(eviction.arrays);

	return *left ? -EBUSY : 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_evict);

int dmirror_migrate_drain(struct dmirror_devmem *devmem)
{
	unsigned long left;
	int ret;

	/* What is taken between the two is brought home by the next round. */
	do {
		ret = dmirror_migrate_evict(devmem, &left);
		if (!ret)
			ret = dmirror_devmem_fini(devmem);
		else if (ret == -EBUSY)
			return ret;
		if (ret && dmirror_killed())
			return -EINTR;
		cond_resched();
	} while (ret == -EBUSY);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_drain);
