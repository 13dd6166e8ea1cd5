// SPDX-License-Identifier: GPL-2.0
/*
 * Random walks: hundreds of operations on a few pages of a process, its child
 * and two devices, each compared with a model of what has to come of it. A walk
 * that goes wrong is tried again with ever fewer operations, and the shortest
 * list is printed. Documentation/model.rst says how to read it.
 */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/migrate.h"
#include "bench.h"
#include "model_exec.h"
#include "model_judge.h"
#include "private_devmem.h"
#include "user.h"

static unsigned int ops;
module_param(ops, uint, 0644);
MODULE_PARM_DESC(ops, "operations of each random walk, 0 (default) for a few");

static bool trace;
module_param(trace, bool, 0644);
MODULE_PARM_DESC(trace, "print each operation of the random walks beforehand");

/* Operations of a walk, if it is not asked for more. */
#define WALK 150U

/* An operation on large folios takes as long as this many others. */
#define LARGE_COST 10U

/* Operations of one that every run has time for, and on large folios. */
#define SHORT_WALK 30U
#define SHORT_LARGE_WALK 8U

/* A longer walk is one of many of this length, each from the beginning. */
#define ROUND 1000U

/* How often a walk that went wrong is tried again. */
#define TRIES 3000U
#define TRIES_LARGE 300U

/* Pages of the window without large folios, and room on the second device. */
#define WINDOW 12U
#define LITTLE_ROOM 5UL

/**
 * struct terrain - what is walked over
 * @name: in the case's name
 * @coherent: memory of the devices
 * @large: with large folios
 */
struct terrain {
	const char *name;
	bool coherent;
	bool large;
};

static const struct terrain terrains[] = {
	{ "private", false, false },
	{ "private_large", false, true },
	{ "coherent", true, false },
	{ "coherent_large", true, true },
};

KUNIT_ARRAY_PARAM_DESC(terrain, terrains, name);

static unsigned int large_order(const struct terrain *terrain)
{
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	return terrain->large ? HPAGE_PMD_ORDER : 0;
#else
	return 0;
#endif
}

/* User Mode Linux without the patches of tier um-full, see kernel-bugs.rst. */
static bool is_plain_uml(void)
{
	return IS_ENABLED(CONFIG_UML) &&
	       !IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE);
}

/*
 * remove_migration_pmd() asks pmd_write() about an entry of private memory,
 * for which that bit means something else, and warns: see kernel-bugs.rst.
 */
static bool large_leaf_looks_writable(void)
{
#if defined(CONFIG_TRANSPARENT_HUGEPAGE) && defined(CONFIG_DEVICE_PRIVATE)
	pmd_t pmd = swp_entry_to_pmd(make_readable_device_private_entry(0));

	/* On x86 it is the soft-dirty bit that looks so. */
	return pmd_write(pmd) || pmd_write(pmd_swp_mksoft_dirty(pmd));
#else
	return false;
#endif
}

static int idle(void *data)
{
	return 0;
}

/* A large folio that two processes share goes to the device. */
static int count_warnings(struct kunit *test, struct dmirror_bench *bench,
			  unsigned long nr, int *warnings)
{
	struct user_child child;
	unsigned long moved;
	int ret = user_fork(&child);

	if (ret)
		return ret;
	user_ask(&child, idle, NULL);
	kunit_warning_suppress(test) {
		ret = dmirror_migrate_to_devmem(bench->mirror, bench->addr, nr,
						&moved);
		*warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	user_reap(&child);

	return ret;
}

/*
 * Does this kernel warn about it? Asked of the kernel, as
 * migrate_large.shared_folio_moves_for_both does: one that is mended walks on.
 */
static bool shared_large_warns(struct kunit *test, unsigned int order)
{
	unsigned long nr = 1UL << order, size = nr << PAGE_SHIFT, area;
	struct dmirror_bench bench;
	int ret, warnings = 0;

	if (!large_leaf_looks_writable() ||
	    __is_defined(REMOVE_MIGRATION_PMD_DIES))
		return large_leaf_looks_writable();
	area = dmirror_user_map(test, 2 * nr, PROT_READ | PROT_WRITE);
	bench.devmem = dmirror_private_get(test, order, 2 * nr, 1);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	bench.addr = ALIGN(area, size);
	DMIRROR_ASSERT_OK(test, user_madvise(bench.addr, size, MADV_HUGEPAGE),
			  "madvise");
	dmirror_user_fill(test, bench.addr, nr, 1);
	ret = count_warnings(test, &bench, nr, &warnings);
	DMIRROR_ASSERT_OK(test, ret, "migration of what two share");
	dmirror_mirror_put(test, bench.mirror);
	dmirror_user_unmap(test, area, 2 * nr);

	return warnings;
}

static struct model_config config_of(const struct terrain *terrain)
{
	unsigned int order = large_order(terrain);

	return (struct model_config){
		.npages = order ? 2U << order : WINDOW,
		.span = 1U << order,
		.coherent = terrain->coherent,
		.lazy_free = !is_plain_uml(),
		.lax_cpu = is_plain_uml(),
	};
}

/**
 * struct filler - memory of a device that a walk does not get
 * @resv: a reservation, which nobody uses
 */
struct filler {
	struct dmirror_resv resv;
};

static void filler_put(void *data)
{
	struct filler *filler = data;

	dmirror_devmem_unreserve(&filler->resv);
	kfree(filler);
}

static void leave_room(struct kunit *test, struct dmirror_devmem *devmem,
		       unsigned long nr)
{
	struct filler *filler = kzalloc_obj(*filler);

	KUNIT_ASSERT_NOT_NULL(test, filler);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, filler_put, filler),
			0);
	DMIRROR_ASSERT_OK(test,
			  dmirror_devmem_reserve(devmem,
						 devmem->chunk_pages - nr, 0,
						 &filler->resv),
			  "reservation of all but a little");
}

static struct model_env *walker(struct kunit *test,
				const struct terrain *terrain)
{
	struct model_config config = config_of(terrain);
	struct model_env *env;
	unsigned long chunk;
	unsigned int i, order = large_order(terrain);

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	if (terrain->large)
		DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
	if (terrain->large && !thp_migration_supported())
		kunit_skip(test, "needs migration of large folios");

	config.avoid_shared_large = order && !terrain->coherent &&
				    shared_large_warns(test, order);
	env = model_env_get(test, &config);
	env->trace = trace;
	for (i = 0; i < MODEL_DEVICES; i++) {
		/* Room for both mms' pages on the first, for less on the other. */
		chunk = max_t(unsigned long, PRIVATE_CHUNK,
			      (i ? 1 : 2) * config.npages);
		if (terrain->coherent)
			env->devmem[i] = dmirror_coherent_get(test, i, chunk,
							      1);
		else
			env->devmem[i] = dmirror_private_get(test, order,
							     chunk, 1);
	}
	if (!terrain->large)
		leave_room(test, env->devmem[1], LITTLE_ROOM);

	return env;
}

static void kvfree_action(void *data)
{
	kvfree(data);
}

static struct model_op *list_get(struct kunit *test, unsigned int nr)
{
	struct model_op *list = kvcalloc(nr, sizeof(*list), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, list);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, kvfree_action,
							list), 0);

	return list;
}

/**
 * struct failure - a walk that goes wrong
 * @env: where
 * @outcome: of the last try
 * @check: which check has to find it; another one is another failure
 */
struct failure {
	struct model_env *env;
	struct model_outcome outcome;
	const char *check;
};

static bool fails_again(const struct model_op *list, unsigned int nr, void *arg)
{
	struct failure *failure = arg;

	model_walk(failure->env, list, nr, &failure->outcome);
	return failure->outcome.verdict.check == failure->check;
}

/* One operation a line, and all of them in the message as far as they fit. */
static void tell(struct kunit *test, struct failure *failure,
		 const struct model_op *list, unsigned int nr)
{
	char buf[80], *all = kunit_kzalloc(test, 600, GFP_KERNEL);
	size_t at = 0;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, all);
	for (i = 0; i < nr; i++) {
		model_describe(&list[i], buf, sizeof(buf));
		kunit_err(test, "walk: %s\n", buf);
		at += scnprintf(all + at, 600 - at, "%s%s", i ? "; " : "", buf);
	}
	if (failure->outcome.verdict.check)
		KUNIT_FAIL(test,
			   "%s: %s | seed %lu, %u operations, the last fails: %s",
			   failure->outcome.verdict.check,
			   failure->outcome.verdict.text, dmirror_seed(), nr,
			   all);
}

static void investigate(struct kunit *test, struct model_env *env,
			const struct model_outcome *outcome,
			struct model_op *list)
{
	struct failure failure = {
		.env = env, .check = outcome->verdict.check,
	};
	struct model_op *scratch = list_get(test, outcome->steps);
	unsigned int nr;

	/* First of all: the tries may take the kernel down. */
	kunit_err(test, "walk: seed %lu, step %u: %s: %s\n", dmirror_seed(),
		  outcome->steps - 1, outcome->verdict.check,
		  outcome->verdict.text);
	if (!fails_again(list, outcome->steps, &failure)) {
		KUNIT_FAIL(test,
			   "%s: %s | seed %lu, not so when the %u operations are repeated",
			   outcome->verdict.check, outcome->verdict.text,
			   dmirror_seed(), outcome->steps);
		return;
	}
	nr = model_shrink(list, outcome->steps, scratch, fails_again, &failure,
			  model_is_lax(&env->config) ? TRIES_LARGE : TRIES);
	fails_again(list, nr, &failure);
	tell(test, &failure, list, nr);
}

/* A walk over the terrain of the case, of @left operations, or @large ones. */
static void walk(struct kunit *test, unsigned int left, unsigned int large)
{
	const struct terrain *terrain = test->param_value;
	struct rnd_state *rnd = &dmirror_fixture(test)->rnd;
	struct model_env *env = walker(test, terrain);
	struct model_outcome outcome = { };
	struct model_op *list;
	unsigned int nr;

	if (model_is_lax(&env->config))
		left = large;
	nr = min(left, ROUND);
	list = list_get(test, nr);
	/* Not the same walk on each. */
	prandom_seed_state(rnd, prandom_u32_state(rnd) + (terrain - terrains));
	kunit_info(test, "%u operations\n", left);
	for (; left && !outcome.verdict.check; left -= nr) {
		nr = min(left, nr);
		model_generate(&env->config, rnd, list, nr);
		model_walk(env, list, nr, &outcome);
	}
	if (outcome.verdict.check)
		investigate(test, env, &outcome, list);
}

static void walk_agrees_with_the_model(struct kunit *test)
{
	unsigned int left = ops ?: WALK;

	walk(test, left, DIV_ROUND_UP(left, LARGE_COST));
}

static void short_walk_agrees_with_the_model(struct kunit *test)
{
	walk(test, SHORT_WALK, SHORT_LARGE_WALK);
}

/* The same seed, the same walk: or else a seed would be of no use. */
static void same_seed_makes_the_same_walk(struct kunit *test)
{
	const struct model_config config = config_of(&terrains[0]);
	struct model_op *list = list_get(test, 2 * ROUND);
	struct rnd_state rnd = dmirror_fixture(test)->rnd;
	struct rnd_state again = rnd;
	unsigned int i;

	model_generate(&config, &rnd, list, ROUND);
	model_generate(&config, &again, list + ROUND, ROUND);
	for (i = 0; i < ROUND; i++)
		if (memcmp(&list[i], &list[ROUND + i], sizeof(*list)))
			break;
	KUNIT_EXPECT_EQ_MSG(test, i, ROUND, "first operation that differs");
	model_generate(&config, &rnd, list + ROUND, ROUND);
	KUNIT_EXPECT_NE_MSG(test, memcmp(list, list + ROUND,
					 ROUND * sizeof(*list)), 0,
			    "another walk with the next numbers");
}

/* A made up failure: it takes three operations, in this order. */
static bool needs_three(const struct model_op *list, unsigned int nr, void *arg)
{
	static const u32 needed[] = { 17, 300, 301 };
	unsigned int *tries = arg, i, found = 0;

	++*tries;
	for (i = 0; i < nr && found < ARRAY_SIZE(needed); i++)
		found += list[i].id == needed[found];

	return found == ARRAY_SIZE(needed);
}

static void failing_walk_is_shortened(struct kunit *test)
{
	const struct model_config config = config_of(&terrains[0]);
	struct model_op *list = list_get(test, 2 * ROUND);
	unsigned int i, nr, tries = 0;

	model_generate(&config, &dmirror_fixture(test)->rnd, list, ROUND);
	nr = model_shrink(list, ROUND, list + ROUND, needs_three, &tries,
			  TRIES);
	KUNIT_ASSERT_EQ_MSG(test, nr, 3U, "operations that are left");
	KUNIT_EXPECT_EQ(test, list[0].id, 17U);
	KUNIT_EXPECT_EQ(test, list[1].id, 300U);
	KUNIT_EXPECT_EQ(test, list[2].id, 301U);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ_MSG(test, list[i].nr, 1, "pages of operation %u",
				    list[i].id);
	KUNIT_EXPECT_LT_MSG(test, tries, 200U, "tries it took");
}

/**
 * struct known - a short walk, by hand
 * @name: in the case's name
 * @nr: operations of it
 * @list: the operations
 */
struct known {
	const char *name;
	unsigned int nr;
	struct model_op list[6];
};

#define OP(_id, _kind, _page, _nr, ...) {				\
	.id = _id, .kind = _kind, .page = _page, .nr = _nr,		\
	.fail = MODEL_NO_FAILURE, __VA_ARGS__				\
}

#define FAILING_OP(_id, _kind, _page, _nr, _fail, _nth) {		\
	.id = _id, .kind = _kind, .page = _page, .nr = _nr,		\
	.fail = _fail, .nth = _nth					\
}

/* What random walks have met, and a shadow that knew less took for wrong. */
static const struct known knowns[] = {
	{ "child_takes_what_both_had_on_the_device", 4, {
		OP(0, MODEL_EXCLUSIVE, 0, 1),
		OP(1, MODEL_FORK, 0, 1),
		OP(2, MODEL_TO_DEV, 0, 1),
		OP(3, MODEL_EXCLUSIVE, 0, 1, .child = 1),
	} },
	{ "refused_store_has_copied_what_came_before", 5, {
		OP(0, MODEL_MAP, 2, 1, .prot = MODEL_PROT_READ),
		OP(1, MODEL_CPU_WRITE, 5, 1),
		OP(2, MODEL_FORK, 0, 1),
		OP(3, MODEL_DEV_WRITE, 2, 4),
		OP(4, MODEL_TO_DEV, 5, 2),
	} },
	{ "claim_without_room_for_its_entry", 3, {
		OP(0, MODEL_DEV_READ, 7, 1),
		FAILING_OP(1, MODEL_EXCLUSIVE, 7, 1, DMIRROR_INJECT_PT_SET, 2),
		OP(2, MODEL_DEV_WRITE, 7, 1),
	} },
	{ "migration_looks_where_the_page_may_have_been", 6, {
		OP(0, MODEL_CPU_WRITE, 8, 1),
		OP(1, MODEL_REMAP, 5, 1, .to = 4),
		OP(2, MODEL_MAP, 5, 1, .prot = MODEL_PROT_WRITE),
		OP(3, MODEL_CPU_WRITE, 5, 2),
		OP(4, MODEL_TO_DEV, 5, 1),
		OP(5, MODEL_EXCLUSIVE, 4, 2),
	} },
	{ "reclaim_keeps_what_the_device_stored", 4, {
		OP(0, MODEL_CPU_WRITE, 3, 1),
		OP(1, MODEL_FREE, 3, 1),
		OP(2, MODEL_DEV_WRITE, 3, 1),
		OP(3, MODEL_PAGEOUT, 3, 1),
	} },
	{ "gap_of_a_move_leaves_what_is_there", 4, {
		OP(0, MODEL_CPU_WRITE, 0, 12),
		OP(1, MODEL_UNMAP, 1, 1),
		OP(2, MODEL_TO_DEV, 2, 2),
		OP(3, MODEL_REMAP, 0, 4, .to = 6),
	} },
};

KUNIT_ARRAY_PARAM_DESC(known, knowns, name);

static void known_walk(struct kunit *test)
{
	const struct known *known = test->param_value;
	struct model_env *env = walker(test, &terrains[0]);
	struct model_outcome outcome;

	model_walk(env, known->list, known->nr, &outcome);
	KUNIT_EXPECT_NULL_MSG(test, outcome.verdict.check, "step %u: %s: %s",
			      outcome.steps - 1, outcome.verdict.check,
			      outcome.verdict.text);
}

/**
 * struct lie - something that the memory does not hold to
 * @name: in the case's name
 * @tell: makes the shadow believe it; returns the check that has to find it
 */
struct lie {
	const char *name;
	const char *(*tell)(struct model_page *page);
};

static const char *lie_contents(struct model_page *page)
{
	page->stamp++;
	return "contents";
}

static const char *lie_place(struct model_page *page)
{
	page->places = MODEL_DEVICE << 1;
	return "place";
}

static const char *lie_permission(struct model_page *page)
{
	page->prot = MODEL_PROT_READ;
	return "permission";
}

static const char *lie_mapping(struct model_page *page)
{
	page->mapped = false;
	return "access";
}

static const char *lie_exclusive(struct model_page *page)
{
	page->exclusive = 2;
	page->exclusive_sure = true;
	return "exclusive";
}

static const struct lie lies[] = {
	{ "contents", lie_contents },
	{ "place", lie_place },
	{ "permission", lie_permission },
	{ "mapping", lie_mapping },
	{ "exclusive", lie_exclusive },
};

KUNIT_ARRAY_PARAM_DESC(lie, lies, name);

/*
 * The shadow is made to believe something of one page that is not so, which is
 * as good as memory that is wrong: one look has to find it.
 */
static void difference_is_seen(struct kunit *test)
{
	const struct lie *lie = test->param_value;
	struct model_env *env = walker(test, &terrains[0]);
	const struct model_op list[] = {
		OP(0, MODEL_CPU_WRITE, 2, 3),
		OP(1, MODEL_TO_DEV, 2, 3),
	};
	struct model_outcome outcome;
	const char *want;

	model_walk_begin(env, &outcome);
	model_walk_on(env, list, ARRAY_SIZE(list), &outcome);
	KUNIT_EXPECT_NULL_MSG(test, outcome.verdict.check, "%s",
			      outcome.verdict.text);
	want = lie->tell(&env->model.pages[0][3]);
	model_judge(env, &outcome.verdict);
	model_walk_end(env, &outcome);
	KUNIT_ASSERT_NOT_NULL_MSG(test, outcome.verdict.check,
				  "nothing was seen");
	KUNIT_EXPECT_STREQ_MSG(test, outcome.verdict.check, want, "%s",
			       outcome.verdict.text);
	KUNIT_EXPECT_TRUE_MSG(test,
			      strstarts(outcome.verdict.text, "page 3 at 0x"),
			      "it said: %s", outcome.verdict.text);
}

/*
 * hmm.h: a device's own private pages are reported as they are. Up to 7.3 a
 * page that is missing has all that follow it in its page table faulted in as
 * well, and so brought home.
 */
static void own_pages_stay_beside_a_missing_one(struct kunit *test)
{
	struct dmirror_bench bench;

	DMIRROR_REQUIRES_BUILTIN(test);
	bench.devmem = dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	bench.addr = dmirror_user_map(test, 4, PROT_READ | PROT_WRITE);
	dmirror_user_fill(test, bench.addr + PAGE_SIZE, 3, 1);
	bench_to_device(test, &bench, bench.addr + PAGE_SIZE, 3);
	dmirror_device_read(test, bench.mirror, bench.addr, 1, 0,
			    "that was never touched");
	bench_expect_out(test, &bench, 3, "after a read beside them");
	dmirror_user_dontneed(test, bench.addr, 1);
	DMIRROR_ASSERT_OK(test, dmirror_mirror_fault(bench.mirror, bench.addr,
						     bench.addr + 4 * PAGE_SIZE,
						     DMIRROR_PERM_READ,
						     DMIRROR_FAULT_TIMEOUT_MS),
			  "fault of a missing page and three on the device");
	if (!dmirror_pages_out(bench.devmem))
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() behind a missing page");
	bench_expect_out(test, &bench, 3, "after the fault");
}

static struct kunit_case model_cases[] = {
	KUNIT_CASE(same_seed_makes_the_same_walk),
	KUNIT_CASE(failing_walk_is_shortened),
	KUNIT_CASE_PARAM(difference_is_seen, lie_gen_params),
	KUNIT_CASE_PARAM(known_walk, known_gen_params),
	KUNIT_CASE_PARAM(short_walk_agrees_with_the_model, terrain_gen_params),
	DMIRROR_CASE_PARAM_SLOW(walk_agrees_with_the_model, terrain_gen_params),
	KUNIT_CASE(own_pages_stay_beside_a_missing_one),
	{}
};

DMIRROR_SUITE(model, dmirror_fixture_init_mm, model_cases);
