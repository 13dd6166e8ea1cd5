// SPDX-License-Identifier: GPL-2.0
#include "ground.h"

#include <kunit/resource.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../user.h"

const struct ground_kind ground_kinds[GROUND_KINDS] = {
	[GROUND_PRIVATE_PAGES] = {
		"private_pages", MEMORY_DEVICE_PRIVATE, false
	},
	[GROUND_PRIVATE_FOLIO] = {
		"private_folio", MEMORY_DEVICE_PRIVATE, true
	},
	[GROUND_COHERENT_PAGES] = {
		"coherent_pages", MEMORY_DEVICE_COHERENT, false
	},
	[GROUND_COHERENT_FOLIO] = {
		"coherent_folio", MEMORY_DEVICE_COHERENT, true
	},
};

static const void *next_kind(const void *prev, char *desc, unsigned int nr)
{
	const struct ground_kind *kind = prev ? prev + sizeof(*kind) :
					       ground_kinds;

	if (kind >= ground_kinds + nr)
		return NULL;
	strscpy(desc, kind->name, KUNIT_PARAM_DESC_SIZE);

	return kind;
}

const void *ground_every_kind(struct kunit *test, const void *prev, char *desc)
{
	return next_kind(prev, desc, GROUND_KINDS);
}

const void *ground_common_kinds(struct kunit *test, const void *prev,
				char *desc)
{
	return next_kind(prev, desc, GROUND_COHERENT_FOLIO);
}

const void *ground_private_kinds(struct kunit *test, const void *prev,
				 char *desc)
{
	return next_kind(prev, desc, GROUND_COHERENT_PAGES);
}

#if IS_ENABLED(CONFIG_DEVICE_PRIVATE)

static bool large_folios_migrate(void)
{
	return IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) &&
	       thp_migration_supported();
}

/* A mapping of its own, aligned, that asks for a huge page if it wants one. */
static unsigned long map_aligned(struct kunit *test, unsigned long nr,
				 bool large)
{
	unsigned long size = nr << PAGE_SHIFT;
	unsigned long all = dmirror_user_map(test, 2 * nr + 2,
					     PROT_READ | PROT_WRITE);
	unsigned long end = all + 2 * size + 2 * PAGE_SIZE;
	unsigned long addr = ALIGN(all + PAGE_SIZE, size);

	dmirror_user_unmap(test, all, (addr - all) >> PAGE_SHIFT);
	dmirror_user_unmap(test, addr + size, (end - addr - size) >> PAGE_SHIFT);
	if (large)
		DMIRROR_ASSERT_OK(test, user_madvise(addr, size, MADV_HUGEPAGE),
				  "madvise(MADV_HUGEPAGE)");

	return addr;
}

struct ground ground_get(struct kunit *test, const struct ground_kind *kind)
{
	struct ground ground = { .kind = kind, .mm = current->mm };

	DMIRROR_REQUIRES_BUILTIN(test);
	if (kind->large && !large_folios_migrate())
		kunit_skip(test, "needs migration of large folios");
	ground.nr = kind->large ? 1UL << PMD_ORDER : GROUND_PAGES;
	ground.toy = toy_get(test, kind->type,
			     kind->large ? 2UL << PMD_ORDER : TOY_PAGES);
	ground.toy->on_fault = toy_bring_home;
	ground.rss = get_mm_counter_sum(ground.mm, MM_ANONPAGES);
	ground.addr = map_aligned(test, ground.nr, kind->large);
	ground_write(test, &ground, 0, ground.nr, 1, "at first");
	/* It stays large, but khugepaged makes nothing large again. */
	if (kind->large)
		DMIRROR_ASSERT_OK(test, user_madvise(ground.addr, ground.nr <<
						     PAGE_SHIFT,
						     MADV_NOHUGEPAGE),
				  "madvise(MADV_NOHUGEPAGE)");
	toy_to_device(test, ground.toy, ground.addr, ground.nr);
	ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
		    "at first");
	ground_count(test, &ground, ground.nr, ground.nr, "at first");

	return ground;
}

static int evict(const struct ground *ground)
{
	return toy_evict(ground->toy) ? -EAGAIN : 0;
}

void ground_evict_begin(const struct ground *ground, struct toy_move *move)
{
	migrate_device_range(move->args.src, ground->toy->first_pfn, move->nr);
}

int ground_evict_finish(struct toy_move *move)
{
	unsigned long i;
	int ret = 0;

	if (toy_choose_ram(move))
		ret = -ENOMEM;
	migrate_device_pages(move->args.src, move->args.dst, move->nr);
	for (i = 0; i < move->nr; i++)
		if (move->args.dst[i] &&
		    !(move->args.src[i] & MIGRATE_PFN_MIGRATE))
			ret = -EAGAIN;
	migrate_device_finalize(move->args.src, move->args.dst, move->nr);

	return ret;
}

void ground_evict_init(struct kunit *test, const struct ground *ground,
		       struct toy_move *move)
{
	toy_move_init(test, move, ground->toy, ground->addr, ground->nr, 0);
}

#else /* !CONFIG_DEVICE_PRIVATE */

struct ground ground_get(struct kunit *test, const struct ground_kind *kind)
{
	kunit_skip(test, "needs CONFIG_DEVICE_PRIVATE");
}

static int evict(const struct ground *ground)
{
	return -EOPNOTSUPP;
}

int ground_evict_finish(struct toy_move *move)
{
	return -EOPNOTSUPP;
}

void ground_evict_begin(const struct ground *ground, struct toy_move *move)
{
}

void ground_evict_init(struct kunit *test, const struct ground *ground,
		       struct toy_move *move)
{
}

#endif /* CONFIG_DEVICE_PRIVATE */

struct core_sight ground_out(const struct ground *ground)
{
	return (struct core_sight){
		.place = CORE_DEVICE,
		.large = ground->kind->large,
		.write = true,
		.exclusive = true,
		.order = ground->kind->large ? PMD_ORDER : 0,
		.refs = 1,
		.maps = 1,
	};
}

struct core_sight ground_home(const struct ground *ground)
{
	struct core_sight sight = ground_out(ground);

	sight.place = CORE_RAM;
	return sight;
}

/* Not the fixture's, which knows nothing of parts. */
static u64 word_of(u64 salt, unsigned long page, unsigned int word)
{
	return salt ? salt << 48 | (u64)page << 16 | word : 0;
}

#define WORDS (PAGE_SIZE / sizeof(u64))

static int read_page(struct ground_act *act, unsigned long page, u64 *words)
{
	unsigned int i;

	if (copy_from_user(words, (void __user *)ground_at(act->ground, page),
			   PAGE_SIZE))
		return -EFAULT;
	for (i = 0; i < WORDS; i++)
		if (words[i] != word_of(act->salt, page, i))
			break;
	if (i < WORDS && act->wrong == act->to) {
		act->wrong = page;
		act->got = words[i];
	}

	return 0;
}

/*
 * A fault for writing, then the store: it must not take what is there for
 * reading only, as copy_to_user() does on User Mode Linux.
 */
static int write_page(struct ground_act *act, unsigned long page, u64 *words)
{
	unsigned long addr = ground_at(act->ground, page);
	struct page *there;
	unsigned int i;
	long got;

	got = get_user_pages_unlocked(addr, 1, &there, FOLL_WRITE);
	if (got != 1)
		return got < 0 ? got : -EFAULT;
	put_page(there);
	for (i = 0; i < WORDS; i++)
		words[i] = word_of(act->salt, page, i);

	return copy_to_user((void __user *)addr, words, PAGE_SIZE) ? -EFAULT :
								     0;
}

static int touch_pages(struct ground_act *act)
{
	u64 *words = kmalloc(PAGE_SIZE, GFP_KERNEL);
	unsigned long page;
	int ret = 0;

	if (!words)
		return -ENOMEM;
	act->wrong = act->to;
	for (page = act->from; page < act->to && !ret; page++)
		ret = act->what == GROUND_WRITE ?
		      write_page(act, page, words) :
		      read_page(act, page, words);
	kfree(words);

	return ret;
}

static int note_rss(struct ground_act *act)
{
	act->got = get_mm_counter_sum(current->mm, MM_ANONPAGES) -
		   act->ground->rss;
	return 0;
}

static int pin_pages(struct ground_act *act)
{
	unsigned long page;
	struct page *there;
	long got;

	for (page = act->from; page < act->to; page++) {
		got = pin_user_pages_fast(ground_at(act->ground, page), 1,
					  FOLL_LONGTERM, &there);
		if (got != 1)
			return got < 0 ? got : -EFAULT;
		act->got += is_zone_device_page(there);
		unpin_user_page(there);
	}

	return 0;
}

/* Whoever runs it: no checks here. */
static int do_act(void *data)
{
	struct ground_act *act = data;
	unsigned long addr = ground_at(act->ground, act->from);
	unsigned long nr = act->to - act->from;

	switch (act->what) {
	case GROUND_READ:
	case GROUND_WRITE:
		return touch_pages(act);
	case GROUND_LOOK:
		core_look(&act->view, current->mm, addr, nr);
		return 0;
	case GROUND_UNMAP:
		return vm_munmap(addr, nr << PAGE_SHIFT);
	case GROUND_RSS:
		return note_rss(act);
	case GROUND_EVICT:
		return evict(act->ground);
	case GROUND_FINISH:
		return ground_evict_finish(act->move);
	case GROUND_KILL:
		send_sig(SIGKILL, current, 1);
		/* Whether this works or not is nobody's promise. */
		touch_pages(act);
		act->wrong = act->to;
		return 0;
	case GROUND_PIN:
		return pin_pages(act);
	case GROUND_EXIT:
		break;
	}

	return -EINVAL;
}

static const char *const whats[] = {
	[GROUND_READ] = "reads",
	[GROUND_WRITE] = "writes",
	[GROUND_LOOK] = "looks",
	[GROUND_UNMAP] = "unmaps",
	[GROUND_RSS] = "counts",
	[GROUND_EVICT] = "evicts",
	[GROUND_FINISH] = "ends the eviction",
	[GROUND_KILL] = "is killed",
	[GROUND_PIN] = "pins",
	[GROUND_EXIT] = "exits",
};

static const char *const places[] = {
	[CORE_NOTHING] = "nothing",
	[CORE_RAM] = "ram",
	[CORE_DEVICE] = "device",
	[CORE_MIGRATING] = "migrating",
	[CORE_OTHER] = "other",
};

#define DESCRIPTION 64

static const char *describe(const struct core_sight *sight, char *buf)
{
	scnprintf(buf, DESCRIPTION, "%s%s%s%s order %u refs %d maps %d",
		  places[sight->place], sight->large ? " by PMD" : "",
		  sight->write ? " rw" : " ro",
		  sight->exclusive ? " exclusive" : "", sight->order,
		  sight->refs, sight->maps);

	return buf;
}

static bool as_wanted(const struct core_sight *got,
		      const struct core_sight *want)
{
	return got->place == want->place && got->large == want->large &&
	       got->write == want->write && got->exclusive == want->exclusive &&
	       got->order == want->order && got->refs == want->refs &&
	       got->maps == want->maps;
}

static void judge_look(struct kunit *test, const struct ground_act *act,
		       const char *step)
{
	const struct core_view *view = &act->view;
	const struct core_sight *got = &view->first, *want = &act->want;
	char is[DESCRIPTION], should_be[DESCRIPTION];
	unsigned long page = 0;

	if (as_wanted(got, want)) {
		if (view->same == view->nr)
			return;
		page = view->same;
		got = &view->other;
	}
	KUNIT_FAIL(test,
		   "page %lu of %lu at 0x%lx %s, %s looks: got %s wanted %s",
		   page + act->from, act->ground->nr,
		   view->addr + (page << PAGE_SHIFT), step,
		   act->child ? "child" : "parent", describe(got, is),
		   describe(want, should_be));
}

static void judge(struct kunit *test, const struct ground_act *act,
		  const char *step)
{
	const char *who = act->child ? "child" : "parent";

	KUNIT_EXPECT_EQ_MSG(test, act->ret, 0, "%s, %s %s: got %s wanted 0",
			    step, who, whats[act->what],
			    dmirror_errno(act->ret));
	if (act->ret)
		return;
	if (act->what == GROUND_LOOK)
		judge_look(test, act, step);
	if (act->what == GROUND_READ)
		KUNIT_EXPECT_EQ_MSG(test, act->wrong, act->to,
				    "page %lu of %lu at 0x%lx %s, %s reads: first wrong word 0x%llx, wanted pattern %llu",
				    act->wrong, act->ground->nr,
				    ground_at(act->ground, act->wrong), step,
				    who, act->got, act->salt);
	if (act->what == GROUND_RSS)
		KUNIT_EXPECT_EQ_MSG(test, act->got, act->salt,
				    "%s, anonymous pages of the %s: got %lld wanted %llu",
				    step, who, act->got, act->salt);
}

void ground_judge(struct kunit *test, const struct ground *ground,
		  struct ground_act *act, const char *step)
{
	act->ground = ground;
	judge(test, act, step);
}

void ground_act(struct kunit *test, const struct ground *ground,
		struct ground_act *act, const char *step)
{
	act->ground = ground;
	act->ret = do_act(act);
	judge(test, act, step);
}

void ground_read(struct kunit *test, const struct ground *ground,
		 unsigned long from, unsigned long to, u64 salt,
		 const char *step)
{
	ground_act(test, ground, &(struct ground_act){
		.what = GROUND_READ, .from = from, .to = to, .salt = salt,
	}, step);
}

void ground_write(struct kunit *test, const struct ground *ground,
		  unsigned long from, unsigned long to, u64 salt,
		  const char *step)
{
	ground_act(test, ground, &(struct ground_act){
		.what = GROUND_WRITE, .from = from, .to = to, .salt = salt,
	}, step);
}

void ground_look(struct kunit *test, const struct ground *ground,
		 unsigned long from, unsigned long to, struct core_sight want,
		 const char *step)
{
	ground_act(test, ground, &(struct ground_act){
		.what = GROUND_LOOK, .from = from, .to = to, .want = want,
	}, step);
}

void ground_count(struct kunit *test, const struct ground *ground,
		  unsigned long rss, unsigned long out, const char *step)
{
	ground_act(test, ground, &(struct ground_act){
		.what = GROUND_RSS, .salt = rss,
	}, step);
	KUNIT_EXPECT_EQ_MSG(test, ground->toy->out, out,
			    "pages of the device that are out %s", step);
}

void ground_play(struct kunit *test, const struct ground *ground,
		 struct toy_move *move, struct ground_act *acts,
		 unsigned int nr)
{
	struct user_child child;
	bool alive = true;
	unsigned int i;
	char step[32];
	int forked;

	forked = user_fork(&child);
	for (i = 0; !forked && i < nr; i++) {
		acts[i].ground = ground;
		acts[i].move = move;
		if (acts[i].what == GROUND_EXIT && alive) {
			user_reap(&child);
			alive = false;
		} else if (!acts[i].child) {
			acts[i].ret = do_act(&acts[i]);
		} else if (alive) {
			acts[i].ret = user_ask(&child, do_act, &acts[i]);
		} else {
			acts[i].ret = -ESRCH;
		}
	}
	if (forked && move)
		ground_evict_finish(move);
	if (!forked && alive)
		user_reap(&child);
	DMIRROR_ASSERT_OK(test, forked, "fork");
	for (i = 0; i < nr; i++) {
		scnprintf(step, sizeof(step), "in act %u after fork", i);
		judge(test, &acts[i], step);
	}
}
