// SPDX-License-Identifier: GPL-2.0
/* Operations: made at random, put into words, and as few of them as fail. */
#include "model.h"

#include <linux/kernel.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "../drivers/dmirror/inject.h"

/* What fails in the work on pages: a walk needs its mirrors. */
#define NR_POINTS DMIRROR_INJECT_MIRROR_ALLOC

static const struct {
	const char *name;
	unsigned int weight;
} kinds[MODEL_KINDS] = {
	[MODEL_CPU_READ] = { "read", 10 },
	[MODEL_CPU_WRITE] = { "write", 14 },
	[MODEL_DEV_READ] = { "dev_read", 10 },
	[MODEL_DEV_WRITE] = { "dev_write", 12 },
	[MODEL_TO_DEV] = { "to_dev", 16 },
	[MODEL_TO_RAM] = { "to_ram", 6 },
	[MODEL_EVICT] = { "evict", 2 },
	[MODEL_EXCLUSIVE] = { "exclusive", 6 },
	[MODEL_PROTECT] = { "protect", 9 },
	[MODEL_UNMAP] = { "unmap", 2 },
	[MODEL_MAP] = { "map", 4 },
	[MODEL_REMAP] = { "remap", 5 },
	[MODEL_DONTNEED] = { "dontneed", 2 },
	[MODEL_FREE] = { "free", 4 },
	[MODEL_PAGEOUT] = { "pageout", 4 },
	[MODEL_COLLAPSE] = { "collapse", 2 },
	[MODEL_SPLIT] = { "split", 10 },
	[MODEL_FORK] = { "fork", 3 },
	[MODEL_EXIT] = { "exit", 2 },
};

static unsigned int below(struct rnd_state *rnd, unsigned int limit)
{
	return prandom_u32_state(rnd) % limit;
}

/* What is about large folios is idle without them, and matters with them. */
static unsigned int weight_of(const struct model_config *config,
			      enum model_kind kind)
{
	if (kind != MODEL_SPLIT && kind != MODEL_COLLAPSE)
		return kinds[kind].weight;

	return model_is_lax(config) ? kinds[kind].weight : 0;
}

static enum model_kind kind_at_random(const struct model_config *config,
				      struct rnd_state *rnd)
{
	unsigned int i, sum = 0, at;

	for (i = 0; i < MODEL_KINDS; i++)
		sum += weight_of(config, i);
	at = below(rnd, sum);
	for (i = 0; at >= weight_of(config, i); i++)
		at -= weight_of(config, i);

	return i;
}

/* Short ranges mostly; where there are large folios, often whole ones. */
static unsigned int length_at_random(const struct model_config *config,
				     struct rnd_state *rnd)
{
	if (config->span > 1 && !below(rnd, 3))
		return config->span;
	if (!below(rnd, 8))
		return 1 + below(rnd, config->npages);

	return 1 + below(rnd, 4);
}

/* Anywhere; where there are large folios, often where one begins. */
static unsigned int page_at_random(const struct model_config *config,
				   struct rnd_state *rnd)
{
	unsigned int page = below(rnd, config->npages);

	if (config->span > 1 && below(rnd, 3))
		return round_down(page, config->span);

	return page;
}

static void op_at_random(const struct model_config *config,
			 struct rnd_state *rnd, struct model_op *op)
{
	unsigned int length = length_at_random(config, rnd);

	op->kind = kind_at_random(config, rnd);
	op->child = !below(rnd, 4) && op->kind < MODEL_FORK;
	op->mirror = below(rnd, MODEL_MIRRORS);
	op->prot = below(rnd, 6);
	op->prot = min_t(unsigned int, op->prot, MODEL_PROT_WRITE);
	op->page = page_at_random(config, rnd);
	op->nr = min(length, config->npages - op->page);
	op->to = page_at_random(config, rnd);
	op->to = min_t(unsigned int, op->to, config->npages - op->nr);
	op->fail = below(rnd, 16 * NR_POINTS);
	if (op->fail >= NR_POINTS)
		op->fail = MODEL_NO_FAILURE;
	op->nth = 1 + below(rnd, 4);
	op->hold = !below(rnd, 12);
	op->keep = !below(rnd, 4);
}

void model_generate(const struct model_config *config, struct rnd_state *rnd,
		    struct model_op *ops, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		/* Padding as well: lists are compared. */
		memset(&ops[i], 0, sizeof(ops[i]));
		ops[i].id = i;
		op_at_random(config, rnd, &ops[i]);
	}
}

static bool uses_mirror(const struct model_op *op)
{
	return op->kind >= MODEL_DEV_READ && op->kind <= MODEL_EXCLUSIVE;
}

const char *model_describe(const struct model_op *op, char *buf, size_t size)
{
	static const char * const prots[] = { " none", " r", " rw" };
	size_t at;

	at = scnprintf(buf, size, "%u:%s%s", op->id, op->child ? "child." : "",
		       kinds[op->kind].name);
	if (uses_mirror(op))
		at += scnprintf(buf + at, size - at, " m%u", op->mirror);
	if (op->kind < MODEL_FORK && op->kind != MODEL_EVICT)
		at += scnprintf(buf + at, size - at, " [%u,%u)", op->page,
				op->page + op->nr);
	if (op->kind == MODEL_REMAP)
		at += scnprintf(buf + at, size - at, " to %u%s", op->to,
				op->keep ? " keep" : "");
	if (op->kind == MODEL_PROTECT || op->kind == MODEL_MAP)
		at += scnprintf(buf + at, size - at, "%s", prots[op->prot]);
	if (op->hold && op->kind >= MODEL_TO_DEV && op->kind <= MODEL_EVICT)
		at += scnprintf(buf + at, size - at, " held %u",
				op->page + op->nr / 2);
	if (op->fail != MODEL_NO_FAILURE)
		scnprintf(buf + at, size - at, " fail %s/%u",
			  dmirror_inject_name(op->fail), op->nth);

	return buf;
}

/**
 * struct shrinking - a search for a short list
 * @ops: the shortest one that fails so far
 * @nr: its length
 * @scratch: the one that is tried
 * @fails: tries a list
 * @arg: handed to @fails
 * @tries: calls of @fails that are left
 */
struct shrinking {
	struct model_op *ops;
	unsigned int nr;
	struct model_op *scratch;
	model_fails_fn fails;
	void *arg;
	unsigned int tries;
};

static bool fails(struct shrinking *shrinking, unsigned int nr)
{
	if (!shrinking->tries)
		return false;
	shrinking->tries--;

	return shrinking->fails(shrinking->scratch, nr, shrinking->arg);
}

/* Leave out one part; true if what remains still fails. */
static bool leave_out(struct shrinking *shrinking, unsigned int from,
		      unsigned int len)
{
	struct model_op *ops = shrinking->ops, *scratch = shrinking->scratch;
	unsigned int rest = shrinking->nr - len;

	memcpy(scratch, ops, from * sizeof(*ops));
	memcpy(scratch + from, ops + from + len,
	       (rest - from) * sizeof(*ops));
	if (!fails(shrinking, rest))
		return false;

	memcpy(ops, scratch, rest * sizeof(*ops));
	shrinking->nr = rest;
	return true;
}

/* All parts of one length, from the end: what comes last matters least often. */
static bool leave_out_parts(struct shrinking *shrinking, unsigned int len)
{
	unsigned int end = shrinking->nr;
	bool any = false;

	while (end) {
		unsigned int part = min(len, end);

		if (part < shrinking->nr)
			any |= leave_out(shrinking, end - part, part);
		end -= part;
	}

	return any;
}

static bool replace(struct shrinking *shrinking, unsigned int at,
		    struct model_op op)
{
	memcpy(shrinking->scratch, shrinking->ops,
	       shrinking->nr * sizeof(op));
	if (!memcmp(&shrinking->ops[at], &op, sizeof(op)))
		return false;
	shrinking->scratch[at] = op;
	if (!fails(shrinking, shrinking->nr))
		return false;

	shrinking->ops[at] = op;
	return true;
}

static void simplify(struct shrinking *shrinking, unsigned int at)
{
	struct model_op op = shrinking->ops[at];

	op.fail = MODEL_NO_FAILURE;
	replace(shrinking, at, op);
	op = shrinking->ops[at];
	op.hold = false;
	replace(shrinking, at, op);
	op = shrinking->ops[at];
	op.keep = false;
	replace(shrinking, at, op);
	op = shrinking->ops[at];
	op.mirror = 0;
	replace(shrinking, at, op);

	/* Shorter from behind, then from the front. */
	op = shrinking->ops[at];
	op.nr = 1;
	if (replace(shrinking, at, op))
		return;
	do {
		op = shrinking->ops[at];
		op.nr -= op.nr / 2;
	} while (replace(shrinking, at, op));
	do {
		op = shrinking->ops[at];
		op.page += op.nr / 2;
		op.nr -= op.nr / 2;
	} while (replace(shrinking, at, op));
}

unsigned int model_shrink(struct model_op *ops, unsigned int nr,
			  struct model_op *scratch, model_fails_fn fails,
			  void *arg, unsigned int tries)
{
	struct shrinking shrinking = {
		.ops = ops,
		.nr = nr,
		.scratch = scratch,
		.fails = fails,
		.arg = arg,
		.tries = tries,
	};
	unsigned int len, i;

	for (len = nr / 2; len > 1; len /= 2)
		leave_out_parts(&shrinking, len);
	while (leave_out_parts(&shrinking, 1))
		;
	for (i = 0; i < shrinking.nr; i++)
		simplify(&shrinking, i);
	while (leave_out_parts(&shrinking, 1))
		;

	return shrinking.nr;
}
