// SPDX-License-Identifier: GPL-2.0
#include "user.h"

#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/sched.h>
#include <asm/tlb.h>

#ifdef MODULE

int user_mprotect(unsigned long start, size_t len, unsigned long prot)
{
	return -EOPNOTSUPP;
}

int user_madvise(unsigned long start, size_t len, int advice)
{
	return -EOPNOTSUPP;
}

#else

int user_mprotect(unsigned long start, size_t len, unsigned long prot)
{
	struct mm_struct *mm = current->mm;
	unsigned long end = start + len, from = start;
	struct vm_area_struct *vma, *prev;
	struct vma_iterator vmi;
	struct mmu_gather tlb;
	int ret = -ENOMEM;

	mmap_write_lock(mm);
	vma_iter_init(&vmi, mm, start);
	vma = vma_find(&vmi, end);
	if (!vma || vma->vm_start > start)
		goto out_unlock;
	/* mprotect_fixup() may merge with the VMA before the range. */
	prev = vma_prev(&vmi);
	if (start > vma->vm_start)
		prev = vma;

	tlb_gather_mmu(&tlb, mm);
	for_each_vma_range(vmi, vma, end) {
		vm_flags_t flags = vma->vm_flags & ~VM_ACCESS_FLAGS;
		unsigned long to = min(vma->vm_end, end);

		if (vma->vm_start > from) {
			ret = -ENOMEM;
			break;
		}
		flags |= calc_vm_prot_bits(prot, 0);
		ret = mprotect_fixup(&vmi, &tlb, vma, &prev, from, to, flags);
		if (ret)
			break;
		from = to;
	}
	tlb_finish_mmu(&tlb);
	if (!ret && from < end)
		ret = -ENOMEM;
out_unlock:
	mmap_write_unlock(mm);
	return ret;
}

int user_madvise(unsigned long start, size_t len, int advice)
{
	return do_madvise(current->mm, start, len, advice);
}

#endif /* MODULE */
