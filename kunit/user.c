// SPDX-License-Identifier: GPL-2.0
#include "user.h"

#include <kunit/visibility.h>
#include <linux/errno.h>

#ifdef MODULE

int user_mprotect(unsigned long start, size_t len, unsigned long prot)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(user_mprotect);

int user_madvise(unsigned long start, size_t len, int advice)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(user_madvise);

int user_invalidate_nonblock(struct mmu_notifier_range *range)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(user_invalidate_nonblock);

int user_lru_drain(void)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(user_lru_drain);

int user_fork(struct user_child *child)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(user_fork);

int user_share(struct user_child *child)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(user_share);

int user_ask(struct user_child *child, int (*fn)(void *arg), void *arg)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(user_ask);

void user_reap(struct user_child *child)
{
}
EXPORT_SYMBOL_IF_KUNIT(user_reap);

#else

#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/swap.h>
#include <asm/tlb.h>

/* The part of [@from, @end) that one VMA covers; *@to is where it ends. */
static int protect_part(struct mmu_gather *tlb, unsigned long from,
			unsigned long end, unsigned long prot,
			unsigned long *to)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma, *prev;
	struct vma_iterator vmi;
	vm_flags_t flags;

	mmap_assert_write_locked(mm);

	vma = find_vma_prev(mm, from, &prev);
	if (!vma || vma->vm_start > from)
		return -ENOMEM;
	if (vma->vm_start < from)
		prev = vma;

	*to = min(vma->vm_end, end);
	flags = (vma->vm_flags & ~VM_ACCESS_FLAGS) | calc_vm_prot_bits(prot, 0);
	vma_iter_init(&vmi, mm, from);
	/* Positions the iterator on the VMA, as mprotect_fixup() wants it. */
	vma_find(&vmi, end);

	return mprotect_fixup(&vmi, tlb, vma, &prev, from, *to, flags);
}

int user_mprotect(unsigned long start, size_t len, unsigned long prot)
{
	unsigned long end = start + len;
	struct mmu_gather tlb;
	int ret = 0;

	mmap_write_lock(current->mm);
	tlb_gather_mmu(&tlb, current->mm);
	while (!ret && start < end)
		ret = protect_part(&tlb, start, end, prot, &start);
	tlb_finish_mmu(&tlb);
	mmap_write_unlock(current->mm);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(user_mprotect);

int user_madvise(unsigned long start, size_t len, int advice)
{
	return do_madvise(current->mm, start, len, advice);
}
EXPORT_SYMBOL_IF_KUNIT(user_madvise);

int user_invalidate_nonblock(struct mmu_notifier_range *range)
{
	int ret = mmu_notifier_invalidate_range_start_nonblock(range);

	if (!ret)
		mmu_notifier_invalidate_range_end(range);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(user_invalidate_nonblock);

int user_lru_drain(void)
{
	lru_add_drain_all();

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(user_lru_drain);

static int child_main(void *data)
{
	struct user_child *child = data;

	for (;;) {
		wait_for_completion(&child->go);
		if (!child->fn)
			break;
		child->ret = child->fn(child->arg);
		complete(&child->done);
	}
	/* There is no user mode to return to. */
	do_exit(0);
}

static int child_start(struct user_child *child, u64 flags)
{
	struct kernel_clone_args args = {
		.flags = flags,
		.fn = child_main,
		.fn_arg = child,
		/* Which the thread of a case ignores: nobody has to wait. */
		.exit_signal = SIGCHLD,
	};

	init_completion(&child->go);
	init_completion(&child->done);
	child->pid = kernel_clone(&args);

	return min(child->pid, 0);
}

int user_fork(struct user_child *child)
{
	return child_start(child, 0);
}
EXPORT_SYMBOL_IF_KUNIT(user_fork);

int user_share(struct user_child *child)
{
	return child_start(child, CLONE_VM);
}
EXPORT_SYMBOL_IF_KUNIT(user_share);

int user_ask(struct user_child *child, int (*fn)(void *arg), void *arg)
{
	child->fn = fn;
	child->arg = arg;
	complete(&child->go);
	wait_for_completion(&child->done);

	return child->ret;
}
EXPORT_SYMBOL_IF_KUNIT(user_ask);

void user_reap(struct user_child *child)
{
	int status;

	child->fn = NULL;
	complete(&child->go);
	/* Ends, with an error, once there is no such child any more. */
	kernel_wait(child->pid, &status);
}
EXPORT_SYMBOL_IF_KUNIT(user_reap);

#endif /* MODULE */
