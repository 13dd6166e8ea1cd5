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
 * @src: what core mm found
 * @dst: where it shall go
 */
struct arrays {
	unsigned long src[DMIRROR_BATCH];
	unsigned long dst[DMIRROR_BATCH];
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

static struct arrays *arrays_alloc(void)
{
	if (dmirror_should_fail(DMIRROR_INJECT_ARRAY_ALLOC))
		return NULL;

	return kzalloc_obj(struct arrays);
}

/* Returns true if pages stay behind because the device is full. */
static bool plan_to_devmem(struct migration *migration,
			   const struct migrate_vma *args)
{
	unsigned long nr = (args->end - args->start) >> PAGE_SHIFT;
	unsigned long i, wanted = 0, had = migration->resv.small;

	for (i = 0; i < nr; i++)
		wanted += args->src[i] & MIGRATE_PFN_MIGRATE &&
			  !(args->src[i] & MIGRATE_PFN_COMPOUND);
	dmirror_plan_to_devmem(args->src, args->dst, nr, &migration->resv,
			       args->vma->vm_flags & VM_WRITE);

	return wanted > had;
}

/* The sequence itself, for one part of one VMA. */
static int migrate_part(struct migration *migration,
			struct vm_area_struct *vma, unsigned long start,
			unsigned long end)
{
	struct arrays *arrays = migration->arrays;
	unsigned long nr = (end - start) >> PAGE_SHIFT;
	bool full = false;
	struct migrate_vma args = {
		.vma = vma,
		.src = arrays->src,
		.dst = arrays->dst,
		.start = start,
		.end = end,
		.pgmap_owner = migration->mirror->devmem,
		.flags = migration->flags,
	};
	int ret;

	mmap_assert_locked(vma->vm_mm);

	ret = dmirror_mm_migrate_setup(&args);
	if (ret)
		return ret;
	if (is_to_devmem(migration))
		full = plan_to_devmem(migration, &args);
	else
		dmirror_plan_to_ram(args.src, args.dst, nr,
				    migration->mirror->devmem);
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

	end = dmirror_batch_end(start, end);

	if (is_to_devmem(migration)) {
		/* On a full device: what is left, perhaps nothing is wanted. */
		ret = dmirror_devmem_reserve_some(migration->mirror->devmem,
						  (end - start) >> PAGE_SHIFT,
						  &migration->resv);
		if (ret)
			return ret;
	}

	ret = mmap_read_lock_killable(mm);
	if (ret)
		goto out_unreserve;
	ret = -EINVAL;
	vma = vma_lookup(mm, start);
	if (vma) {
		*next = min(end, vma->vm_end);
		ret = migrate_part(migration, vma, start, *next);
	}
	mmap_read_unlock(mm);
out_unreserve:
	dmirror_devmem_unreserve(&migration->resv);
	return ret;
}

static int migrate_range(struct dmirror_mirror *mirror, unsigned long addr,
			 unsigned long npages, unsigned long flags,
			 unsigned long *moved)
{
	struct migration migration = { .mirror = mirror, .flags = flags };
	struct mm_struct *mm = mirror->notifier.mm;
	unsigned long end;
	int ret;

	*moved = 0;
	ret = dmirror_range_check(addr, npages, &end);
	if (ret)
		return ret;
	if (!mirror->devmem)
		return -ENODEV;
	if (!mmget_not_zero(mm))
		return -EFAULT;

	ret = -ENOMEM;
	migration.arrays = arrays_alloc();
	if (!migration.arrays)
		goto out_mmput;

	do {
		ret = migrate_step(&migration, addr, end, &addr);
		cond_resched();
		if (!ret && addr < end)
			ret = dmirror_killed();
	} while (!ret && addr < end);
	*moved = migration.moved;
	kfree(migration.arrays);
out_mmput:
	mmput(mm);
	return ret;
}

int dmirror_migrate_to_devmem(struct dmirror_mirror *mirror,
			      unsigned long addr, unsigned long npages,
			      unsigned long *moved)
{
	return migrate_range(mirror, addr, npages, MIGRATE_VMA_SELECT_SYSTEM,
			     moved);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_to_devmem);

int dmirror_migrate_to_ram(struct dmirror_mirror *mirror, unsigned long addr,
			   unsigned long npages, unsigned long *moved)
{
	return migrate_range(mirror, addr, npages,
			     MIGRATE_VMA_SELECT_DEVICE_PRIVATE, moved);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_to_ram);

vm_fault_t dmirror_migrate_fault(struct vm_fault *vmf)
{
	struct dmirror_devmem *devmem = dmirror_devmem_of(vmf->page);
	unsigned long src = 0, dst = 0, planned = 0;
	struct migrate_vma args = {
		.vma = vmf->vma,
		.src = &src,
		.dst = &dst,
		.start = vmf->address & PAGE_MASK,
		.end = (vmf->address & PAGE_MASK) + PAGE_SIZE,
		.pgmap_owner = devmem,
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
		.fault_page = vmf->page,
	};
	bool collected, moved;

	mmap_assert_locked(vmf->vma->vm_mm);

	if (dmirror_mm_migrate_setup(&args))
		return VM_FAULT_SIGBUS;

	collected = src & MIGRATE_PFN_MIGRATE;
	if (collected)
		planned = dmirror_plan_to_ram(&src, &dst, 1, devmem);
	dmirror_mm_migrate_pages(&args);
	moved = dmirror_plan_moved(&src, &dst, 1);
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

static int evict_chunk(struct dmirror_chunk *chunk, void *arg)
{
	unsigned long pfn = chunk->first_pfn;
	unsigned long end = pfn + chunk->nr_pages;
	struct arrays *arrays = arg;
	unsigned long nr;

	for (; pfn < end; pfn += nr) {
		nr = min(end - pfn, DMIRROR_BATCH);
		/* Cannot fail: it notes per page what it could not lock. */
		dmirror_mm_device_range(arrays->src, pfn, nr);
		dmirror_plan_to_ram(arrays->src, arrays->dst, nr,
				    chunk->devmem);
		dmirror_mm_device_pages(arrays->src, arrays->dst, nr);
		dmirror_mm_device_finalize(arrays->src, arrays->dst, nr);
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
	struct arrays *arrays;
	unsigned long before;

	*left = pages_out(devmem);
	if (!*left)
		return 0;
	arrays = arrays_alloc();
	if (!arrays)
		return -ENOMEM;

	do {
		before = *left;
		dmirror_devmem_visit_chunks(devmem, evict_chunk, arrays);
		*left = pages_out(devmem);
	} while (*left && *left < before);
	kfree(arrays);

	return *left ? -EBUSY : 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_migrate_evict);
