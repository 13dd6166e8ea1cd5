/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Another thread of the case's process, which does one thing while the case
 * looks on.
 */
#ifndef DMIRROR_OTHER_H
#define DMIRROR_OTHER_H

#include <linux/completion.h>
#include <linux/mm_types.h>

struct kunit;
struct task_struct;

/**
 * struct other - another thread with the case's mm
 * @mm: the mm
 * @fn: what it does, once; must not check, only note
 * @addr: address that @fn is about
 * @nr: number of pages
 * @data: whatever else @fn needs
 * @ret: what came of it
 * @done: it has been done
 * @task: the thread
 */
struct other {
	struct mm_struct *mm;
	long (*fn)(struct other *other);
	unsigned long addr;
	unsigned long nr;
	void *data;
	long ret;
	struct completion done;
	struct task_struct *task;
};

/**
 * other_create - make the thread, which does not run yet
 * @test: the case
 * @other: mm and fn are filled in
 *
 * Asserts that there is one. other_go() and other_join() have to follow.
 */
void other_create(struct kunit *test, struct other *other);

/**
 * other_go - let it run
 * @other: from other_create(); until other_join() the case must not assert
 */
void other_go(struct other *other);

/**
 * other_start - other_create() and other_go()
 * @test: the case
 * @other: mm and fn are filled in
 */
void other_start(struct kunit *test, struct other *other);

/**
 * other_join - wait until it is done
 * @other: its thread is gone on return
 */
void other_join(struct other *other);

#endif /* DMIRROR_OTHER_H */
