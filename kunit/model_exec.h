/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Does the operations of a model on a real mm, its child and two devices, and
 * has each one judged. Nothing here is a check of KUnit's: what is wrong is in
 * the verdict, so that a walk can be tried again and again.
 */
#ifndef DMIRROR_KUNIT_MODEL_EXEC_H
#define DMIRROR_KUNIT_MODEL_EXEC_H

#include "model.h"
#include "user.h"

struct dmirror_devmem;
struct dmirror_mirror;
struct kunit;
struct mm_struct;
struct page;

/**
 * struct model_side - one mm of a walk
 * @mm: the mm, NULL while there is none
 * @mirror: its mirrors
 */
struct model_side {
	struct mm_struct *mm;
	struct dmirror_mirror *mirror[MODEL_MIRRORS];
};

/**
 * struct model_env - what a walk works with
 * @config: what is walked over
 * @devmem: memory of the devices
 * @trace: print each operation before it is done: for a kernel that hangs
 * @base: address of the window
 * @model: the shadow
 * @side: the case's mm, and the child's
 * @kid: the child
 * @data: as many pages as the window has
 * @bytes: a snapshot by each device
 * @pfns: what the CPU maps, as each device may see it
 * @was: places of the pages before the operation at hand
 * @mapped: the page that the CPU maps, by mm and page, or NULL
 */
struct model_env {
	struct model_config config;
	struct dmirror_devmem *devmem[MODEL_DEVICES];
	bool trace;
	unsigned long base;
	struct model model;
	struct model_side side[MODEL_MMS];
	struct user_child kid;
	void *data;
	u8 *bytes[MODEL_DEVICES];
	unsigned long *pfns[MODEL_DEVICES];
	u8 *was;
	struct page **mapped[MODEL_MMS];
};

/**
 * struct model_outcome - what became of a walk
 * @verdict: what is wrong, if anything
 * @steps: operations done, the one that went wrong included
 */
struct model_outcome {
	struct model_verdict verdict;
	unsigned int steps;
};

/**
 * model_env_get - the memory that a walk needs
 * @test: the case, which frees it
 * @config: what is walked over
 *
 * Asserts that there is memory. The devices' memory is left to the caller.
 *
 * Return: the environment.
 */
struct model_env *model_env_get(struct kunit *test,
				const struct model_config *config);

/**
 * model_walk_begin - map a window in current->mm, and mirror it
 * @env: the environment
 * @outcome: begun
 *
 * Context: the case's thread. Until model_walk_end() it must not assert.
 */
void model_walk_begin(struct model_env *env, struct model_outcome *outcome);

/**
 * model_walk_on - do operations, and judge each
 * @env: the environment
 * @ops: the operations
 * @nr: how many
 * @outcome: goes on; the walk ends with the first thing that is wrong
 *
 * Context: the case's thread.
 */
void model_walk_on(struct model_env *env, const struct model_op *ops,
		   unsigned int nr, struct model_outcome *outcome);

/**
 * model_walk_end - the CPU reads everything, and nothing is left
 * @env: the environment
 * @outcome: what a last look finds is added
 *
 * Context: the case's thread.
 */
void model_walk_end(struct model_env *env, struct model_outcome *outcome);

/**
 * model_walk - the three of them
 * @env: the environment
 * @ops: the operations
 * @nr: how many
 * @outcome: filled in
 *
 * Context: the case's thread.
 */
void model_walk(struct model_env *env, const struct model_op *ops,
		unsigned int nr, struct model_outcome *outcome);

/**
 * model_address - address of a page
 * @env: the environment
 * @page: number of the page
 *
 * Return: its address.
 */
static inline unsigned long model_address(const struct model_env *env,
					  unsigned int page)
{
	return env->base + ((unsigned long)page << PAGE_SHIFT);
}

#endif /* DMIRROR_KUNIT_MODEL_EXEC_H */
