/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What core mm does not export: system calls on the case's own mm and the
 * notifier calls that core mm makes around its own changes. In a suite built
 * as a module they return -EOPNOTSUPP; cases that need them skip there.
 */
#ifndef DMIRROR_KUNIT_USER_H
#define DMIRROR_KUNIT_USER_H

#include <linux/completion.h>
#include <linux/types.h>

struct mmu_notifier_range;

/**
 * user_mprotect - what mprotect() does to current->mm
 * @start: page aligned address
 * @len: length in bytes, page aligned
 * @prot: PROT_* bits
 *
 * Context: process context, may sleep; takes mmap_lock for writing.
 * Return: 0; -ENOMEM where nothing is mapped; the errors of mprotect_fixup().
 */
int user_mprotect(unsigned long start, size_t len, unsigned long prot);

/**
 * user_madvise - what madvise() does to current->mm
 * @start: page aligned address
 * @len: length in bytes
 * @advice: MADV_*
 *
 * Context: process context, may sleep; takes mmap_lock.
 * Return: 0 or the error of do_madvise().
 */
int user_madvise(unsigned long start, size_t len, int advice);

/**
 * user_invalidate_nonblock - a whole invalidation that may not sleep
 * @range: the range
 *
 * Context: process context.
 * Return: 0, or -EAGAIN if a notifier refused.
 */
int user_invalidate_nonblock(struct mmu_notifier_range *range);

/**
 * user_lru_drain - let go of the references that wait for the LRU
 *
 * Context: process context, may sleep.
 * Return: 0.
 */
int user_lru_drain(void);

/**
 * struct user_child - a child of the case; filled in by user_fork() or
 *	user_share()
 * @pid: the child
 * @fn: what it is asked to do, NULL to exit
 * @arg: the argument of @fn
 * @ret: what @fn returned
 * @go: @fn is there to be done
 * @done: it is done
 */
struct user_child {
	pid_t pid;
	int (*fn)(void *arg);
	void *arg;
	int ret;
	struct completion go;
	struct completion done;
};

/**
 * user_fork - fork() the case
 * @child: has to live until user_reap()
 *
 * The child has a copy of the case's mm and waits for user_ask(). Until
 * user_reap() the case must not assert.
 *
 * Context: the case's thread, with current->mm.
 * Return: 0, when user_reap() has to follow; or the error of kernel_clone().
 */
int user_fork(struct user_child *child);

/**
 * user_share - a process that has the case's mm as its own
 * @child: has to live until user_reap()
 *
 * The case is a thread of the kernel, which borrows its mm: no process has it,
 * for /proc. This one does. It waits for user_ask(); until user_reap() the case
 * must not assert.
 *
 * Context: the case's thread, with current->mm.
 * Return: 0, when user_reap() has to follow; or the error of kernel_clone().
 */
int user_share(struct user_child *child);

/**
 * user_ask - have the child do something, and wait for it
 * @child: the child
 * @fn: runs in the child, with its mm as current->mm; must not check, only note
 * @arg: its argument
 *
 * Return: what @fn returned.
 */
int user_ask(struct user_child *child, int (*fn)(void *arg), void *arg);

/**
 * user_reap - let the child exit, and wait until it has no mm any more
 * @child: the child
 *
 * Context: the thread that forked it.
 */
void user_reap(struct user_child *child);

#endif /* DMIRROR_KUNIT_USER_H */
