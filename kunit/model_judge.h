/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Compares the real pages with the shadow, without touching them: what the CPU
 * maps, what the mirrors map, what is in the memory.
 */
#ifndef DMIRROR_KUNIT_MODEL_JUDGE_H
#define DMIRROR_KUNIT_MODEL_JUDGE_H

struct model_env;
struct model_op;
struct model_verdict;

/**
 * model_judge - look at everything, and narrow what the shadow knows
 * @env: the environment
 * @verdict: filled in if something is wrong
 *
 * Context: the case's thread, no lock held.
 */
void model_judge(struct model_env *env, struct model_verdict *verdict);

/**
 * model_judge_data - compare what an operation read
 * @env: the environment; env->data has the pages
 * @op: the operation
 * @nr: number of pages that were read
 * @verdict: filled in if something is wrong
 */
void model_judge_data(struct model_env *env, const struct model_op *op,
		      unsigned int nr, struct model_verdict *verdict);

/**
 * model_judge_moved - compare how many pages a migration says it moved
 * @env: the environment; env->was says where they were
 * @op: the migration, which has been judged
 * @nr: number of pages that it told
 * @verdict: filled in if something is wrong
 */
void model_judge_moved(struct model_env *env, const struct model_op *op,
		       unsigned long nr, struct model_verdict *verdict);

/**
 * model_judge_end - nothing is mapped any more: are the books empty
 * @env: the environment
 * @verdict: filled in if something is wrong
 */
void model_judge_end(struct model_env *env, struct model_verdict *verdict);

#endif /* DMIRROR_KUNIT_MODEL_JUDGE_H */
