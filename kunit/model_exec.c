// SPDX-License-Identifier: GPL-2.0
#include "model_exec.h"

#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "../drivers/dmirror/exclusive.h"
#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
#include "mirror_fixture.h"
#include "model_judge.h"
#include "model_user.h"
#include "private_devmem.h"

/* Number of what a walk does at its end. */
#define LAST_ID 999999

/**
 * struct doing - one operation under way
 * @env: the environment
 * @op: the operation
 * @result: what it said
 * @addr: its first address
 * @len: its length in bytes
 */
struct doing {
	struct model_env *env;
	const struct model_op *op;
	struct model_result *result;
	unsigned long addr;
	size_t len;
};

static struct dmirror_mirror *mirror_of(const struct doing *doing)
{
	const struct model_side *side = &doing->env->side[doing->op->child];

	return side->mirror[doing->op->mirror];
}

static void *data_of(const struct doing *doing, unsigned int i)
{
	return doing->env->data + ((size_t)i << PAGE_SHIFT);
}

/* What the operation writes, or something else than what it reads. */
static void fill_data(const struct doing *doing)
{
	const struct model_op *op = doing->op;
	unsigned int i;

	for (i = 0; i < op->nr; i++)
		memset64(data_of(doing, i), model_stamp(op, op->page + i),
			 PAGE_SIZE / sizeof(u64));
}

static int do_cpu(struct doing *doing)
{
	bool write = doing->op->kind == MODEL_CPU_WRITE;
	unsigned long left;
	unsigned int i;

	fill_data(doing);
	for (i = 0; i < doing->op->nr; i++) {
		void __user *at = (void __user *)doing->addr +
				  ((size_t)i << PAGE_SHIFT);
		u8 byte;

		/* arch/um takes one fault less than it should. */
		if (write && doing->env->config.lax_cpu)
			left = copy_from_user(&byte, at, 1);
		if (write)
			left = copy_to_user(at, data_of(doing, i), PAGE_SIZE);
		else
			left = copy_from_user(data_of(doing, i), at, PAGE_SIZE);
		if (left)
			break;
	}
	doing->result->done = i;

	return i < doing->op->nr ? -EFAULT : 0;
}

static int do_device(struct doing *doing)
{
	struct dmirror_access_result result;
	void *data = data_of(doing, 0);
	int ret;

	fill_data(doing);
	if (doing->op->kind == MODEL_DEV_READ)
		ret = dmirror_access_read(mirror_of(doing), doing->addr,
					  doing->op->nr, data, NULL, &result);
	else
		ret = dmirror_access_write(mirror_of(doing), doing->addr,
					   doing->op->nr, data, NULL, &result);
	doing->result->done = result.cpages;

	return ret;
}

/* The page in the middle, as it was seen at the last look. */
static struct page *hold(const struct doing *doing)
{
	const struct model_op *op = doing->op;
	struct page *page;

	page = doing->env->mapped[op->child][op->page + op->nr / 2];
	if (!op->hold || !page)
		return NULL;
	get_page(page);

	return page;
}

static int do_migration(struct doing *doing)
{
	struct dmirror_mirror *mirror = mirror_of(doing);
	struct page *page = hold(doing);
	unsigned long nr = doing->op->nr;
	unsigned long *done = &doing->result->done;
	int ret;

	/*
	 * A page that a CPU has in one of its batches for the LRU is held, and
	 * core mm does not look for all of them.
	 */
	user_lru_drain();
	if (doing->op->kind == MODEL_TO_DEV)
		ret = dmirror_migrate_to_devmem(mirror, doing->addr, nr, done);
	else if (doing->op->kind == MODEL_TO_RAM)
		ret = dmirror_migrate_to_ram(mirror, doing->addr, nr, done);
	else
		ret = dmirror_migrate_evict(mirror->devmem, done);
	if (page)
		put_page(page);

	return ret;
}

static int do_exclusive(struct doing *doing)
{
	return dmirror_exclusive_make(mirror_of(doing), doing->addr,
				      doing->op->nr, &doing->result->done);
}

static unsigned long prot_bits(const struct model_op *op)
{
	static const unsigned long bits[] = {
		[MODEL_PROT_NONE] = PROT_NONE,
		[MODEL_PROT_READ] = PROT_READ,
		[MODEL_PROT_WRITE] = PROT_READ | PROT_WRITE,
	};

	return bits[op->prot];
}

static int do_protect(struct doing *doing)
{
	return user_mprotect(doing->addr, doing->len, prot_bits(doing->op));
}

static int do_unmap(struct doing *doing)
{
	return vm_munmap(doing->addr, doing->len);
}

static int map(const struct model_env *env, unsigned long addr, size_t len,
	       unsigned long prot)
{
	unsigned long got = vm_mmap(NULL, addr, len, prot,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);

	if (IS_ERR_VALUE(got))
		return got;
	if (!model_is_lax(&env->config))
		return 0;

	return user_madvise(addr, len, MADV_HUGEPAGE);
}

static int do_map(struct doing *doing)
{
	return map(doing->env, doing->addr, doing->len, prot_bits(doing->op));
}

static int do_remap(struct doing *doing)
{
	return model_user_remap(doing->addr, doing->len,
				model_address(doing->env, doing->op->to),
				doing->op->keep);
}

static int do_advice(struct doing *doing)
{
	static const int advice[MODEL_KINDS] = {
		[MODEL_DONTNEED] = MADV_DONTNEED,
		[MODEL_FREE] = MADV_FREE,
		[MODEL_PAGEOUT] = MADV_PAGEOUT,
		[MODEL_COLLAPSE] = MADV_COLLAPSE,
	};

	return user_madvise(doing->addr, doing->len, advice[doing->op->kind]);
}

static int do_split(struct doing *doing)
{
	struct page *page = doing->env->mapped[doing->op->child]
					      [doing->op->page];

	if (!page || dmirror_mm_is_zero_page(page))
		return 0;
	get_page(page);

	return model_user_split(page);
}

static int mirrors_make(struct model_env *env, struct model_side *side,
			struct mm_struct *mm)
{
	unsigned int i;

	side->mm = mm;
	mmgrab(mm);
	for (i = 0; i < MODEL_MIRRORS; i++) {
		struct dmirror_mirror *mirror;

		/* Both forms of an interval notifier. */
		mirror = dmirror_mirror_create(mm,
					       env->devmem[model_device(i)],
					       i & 1);
		if (IS_ERR(mirror))
			return PTR_ERR(mirror);
		side->mirror[i] = mirror;
	}

	return 0;
}

static void mirrors_end(struct model_side *side)
{
	unsigned int i;

	for (i = 0; i < MODEL_MIRRORS; i++) {
		dmirror_mirror_destroy(side->mirror[i]);
		side->mirror[i] = NULL;
	}
}

static void side_end(struct model_side *side)
{
	mirrors_end(side);
	if (side->mm)
		mmdrop(side->mm);
	side->mm = NULL;
}

static int note_mm(void *data)
{
	struct mm_struct **mm = data;

	*mm = current->mm;
	return 0;
}

static int do_fork(struct doing *doing)
{
	struct model_env *env = doing->env;
	struct mm_struct *mm;
	int ret;

	ret = user_fork(&env->kid);
	if (ret)
		return ret;

	user_ask(&env->kid, note_mm, &mm);
	ret = mirrors_make(env, &env->side[1], mm);
	if (ret) {
		user_reap(&env->kid);
		side_end(&env->side[1]);
	}

	return ret;
}

static void child_exits(struct model_env *env, bool mirrors_first)
{
	if (!env->side[1].mm)
		return;
	if (mirrors_first)
		mirrors_end(&env->side[1]);
	user_reap(&env->kid);
	side_end(&env->side[1]);
}

static int do_exit_child(struct doing *doing)
{
	child_exits(doing->env, doing->op->keep);

	return 0;
}

static int do_op(void *data)
{
	static int (*const doers[])(struct doing *doing) = {
		[MODEL_CPU_READ] = do_cpu,
		[MODEL_CPU_WRITE] = do_cpu,
		[MODEL_DEV_READ] = do_device,
		[MODEL_DEV_WRITE] = do_device,
		[MODEL_TO_DEV] = do_migration,
		[MODEL_TO_RAM] = do_migration,
		[MODEL_EVICT] = do_migration,
		[MODEL_EXCLUSIVE] = do_exclusive,
		[MODEL_PROTECT] = do_protect,
		[MODEL_UNMAP] = do_unmap,
		[MODEL_MAP] = do_map,
		[MODEL_REMAP] = do_remap,
		[MODEL_DONTNEED] = do_advice,
		[MODEL_FREE] = do_advice,
		[MODEL_PAGEOUT] = do_advice,
		[MODEL_COLLAPSE] = do_advice,
		[MODEL_SPLIT] = do_split,
		[MODEL_FORK] = do_fork,
		[MODEL_EXIT] = do_exit_child,
	};
	struct doing *doing = data;

	return doers[doing->op->kind](doing);
}

/* Each as its own process: what it does to current->mm is the child's. */
static void do_as_who(struct doing *doing)
{
	struct model_env *env = doing->env;

	if (doing->op->child)
		doing->result->ret = user_ask(&env->kid, do_op, doing);
	else
		doing->result->ret = do_op(doing);
}

static bool device_is_full(const struct model_env *env,
			   const struct model_op *op)
{
	struct dmirror_devmem_stats stats;

	dmirror_devmem_stats(env->devmem[model_device(op->mirror)], &stats);

	return stats.free - stats.reserved < op->nr;
}

static void remember_places(struct model_env *env, const struct model_op *op)
{
	unsigned int i;

	for (i = 0; i < op->nr; i++)
		env->was[i] = env->model.pages[op->child][op->page + i].places;
}

static void step(struct model_env *env, const struct model_op *op,
		 struct model_verdict *verdict)
{
	struct model_result result = { };
	struct doing doing = {
		.env = env,
		.op = op,
		.result = &result,
		.addr = model_address(env, op->page),
		.len = (size_t)op->nr << PAGE_SHIFT,
	};
	char buf[80];

	if (model_is_idle(&env->model, op))
		return;
	if (env->trace)
		pr_info("dmirror: walk %s\n",
			model_describe(op, buf, sizeof(buf)));

	remember_places(env, op);
	if (op->fail != MODEL_NO_FAILURE)
		dmirror_inject_arm(op->fail, op->nth);
	do_as_who(&doing);
	if (op->fail != MODEL_NO_FAILURE)
		dmirror_inject_disarm(op->fail);

	if (op->kind == MODEL_CPU_READ || op->kind == MODEL_DEV_READ)
		model_judge_data(env, op, result.done, verdict);
	if (op->kind == MODEL_TO_DEV && result.ret == -ENOSPC &&
	    !device_is_full(env, op))
		model_complain(verdict, "errno", "-ENOSPC and there is room");
	/* Where nobody can call mremap() nothing happens. */
	if (op->kind == MODEL_REMAP && result.ret == -EOPNOTSUPP)
		return;
	model_apply(&env->model, op, &result, verdict);
	if (!verdict->check)
		model_judge(env, verdict);
	if (op->kind == MODEL_TO_DEV || op->kind == MODEL_TO_RAM)
		model_judge_moved(env, op, result.done, verdict);
}

static int begin(struct model_env *env)
{
	size_t len = (size_t)env->config.npages << PAGE_SHIFT;
	size_t align = (size_t)env->config.span << PAGE_SHIFT;
	unsigned long addr, left;
	unsigned int i;

	/* Also what a walk before has left, if that went wrong. */
	for (i = 0; i < MODEL_DEVICES; i++)
		dmirror_migrate_evict(env->devmem[i], &left);
	memset(env->mapped[0], 0, env->config.npages * sizeof(struct page *));

	addr = vm_mmap(NULL, 0, len + align, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(addr))
		return addr;
	vm_munmap(addr, len + align);
	env->base = ALIGN(addr, align);
	model_start(&env->model);

	return map(env, env->base, len, PROT_READ | PROT_WRITE) ?:
	       mirrors_make(env, &env->side[0], current->mm);
}

/* By the CPU, everything that can be read, one mapping after the other. */
static void read_all(struct model_env *env, bool child,
		     struct model_verdict *verdict)
{
	struct model_op op = {
		.id = LAST_ID, .kind = MODEL_CPU_READ, .child = child,
		.fail = MODEL_NO_FAILURE,
	};

	while (op.page < env->config.npages && !verdict->check) {
		op.nr = env->config.npages - op.page;
		op.nr = max(1U, model_run(&env->model, &op, MODEL_PROT_READ));
		step(env, &op, verdict);
		op.page += op.nr;
	}
}

void model_walk_end(struct model_env *env, struct model_outcome *outcome)
{
	struct model_verdict *verdict = &outcome->verdict;

	if (!verdict->check && env->side[1].mm)
		read_all(env, true, verdict);
	child_exits(env, false);
	env->model.child = false;
	if (!verdict->check)
		read_all(env, false, verdict);
	vm_munmap(env->base, (size_t)env->config.npages << PAGE_SHIFT);
	if (!verdict->check)
		model_judge_end(env, verdict);
	side_end(&env->side[0]);
}

void model_walk_begin(struct model_env *env, struct model_outcome *outcome)
{
	int ret;

	*outcome = (struct model_outcome){ };
	ret = begin(env);
	if (ret)
		model_complain(&outcome->verdict, "begin", "%s",
			       dmirror_errno(ret));
}

void model_walk_on(struct model_env *env, const struct model_op *ops,
		   unsigned int nr, struct model_outcome *outcome)
{
	unsigned int i;

	for (i = 0; i < nr && !outcome->verdict.check; i++) {
		step(env, &ops[i], &outcome->verdict);
		outcome->steps++;
		cond_resched();
	}
}

void model_walk(struct model_env *env, const struct model_op *ops,
		unsigned int nr, struct model_outcome *outcome)
{
	model_walk_begin(env, outcome);
	model_walk_on(env, ops, nr, outcome);
	model_walk_end(env, outcome);
}

static void env_free(void *data)
{
	struct model_env *env = data;
	unsigned int i;

	for (i = 0; i < MODEL_MMS; i++) {
		kvfree(env->model.pages[i]);
		kvfree(env->mapped[i]);
	}
	for (i = 0; i < MODEL_DEVICES; i++) {
		kvfree(env->bytes[i]);
		kvfree(env->pfns[i]);
	}
	kvfree(env->was);
	vfree(env->data);
	kfree(env);
}

struct model_env *model_env_get(struct kunit *test,
				const struct model_config *config)
{
	struct model_env *env = kzalloc_obj(*env);
	bool all;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, env);
	env->config = *config;
	env->model.config = &env->config;
	env->data = vmalloc((size_t)config->npages << PAGE_SHIFT);
	env->was = kvcalloc(config->npages, 1, GFP_KERNEL);
	all = env->data && env->was;
	for (i = 0; i < MODEL_MMS; i++) {
		env->model.pages[i] = kvcalloc(config->npages,
					       sizeof(struct model_page),
					       GFP_KERNEL);
		env->mapped[i] = kvcalloc(config->npages,
					  sizeof(struct page *), GFP_KERNEL);
		all = all && env->model.pages[i] && env->mapped[i];
	}
	for (i = 0; i < MODEL_DEVICES; i++) {
		env->bytes[i] = kvcalloc(config->npages, 1, GFP_KERNEL);
		env->pfns[i] = kvcalloc(config->npages, sizeof(unsigned long),
					GFP_KERNEL);
		all = all && env->bytes[i] && env->pfns[i];
	}
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, env_free, env), 0);
	KUNIT_ASSERT_TRUE(test, all);

	return env;
}
