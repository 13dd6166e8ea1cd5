// SPDX-License-Identifier: GPL-2.0
/*
 * What mm/gup.c promises about device pages, with mm/memory.c and
 * do_huge_pmd_device_private() of mm/huge_memory.c behind it, and
 * Documentation/core-api/pin_user_pages.rst: private memory comes home to
 * whoever wants it, coherent memory may be had where it is, but not for long,
 * and what somebody has does not move.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>

#include "../user.h"
#include "ground.h"

#define NR_PART (GROUND_TO - GROUND_FROM)

static struct ground ground_of_case(struct kunit *test)
{
	return ground_get(test, test->param_value);
}

/* The ways to get at pages of current->mm; each returns their number. */

static long get_fast(unsigned long addr, struct page **pages)
{
	return get_user_pages_fast(addr, NR_PART, 0, pages);
}

static long get_unlocked(unsigned long addr, struct page **pages)
{
	return get_user_pages_unlocked(addr, NR_PART, pages, FOLL_WRITE);
}

static long pin_fast(unsigned long addr, struct page **pages)
{
	return pin_user_pages_fast(addr, NR_PART, FOLL_WRITE, pages);
}

static long pin_remote(unsigned long addr, struct page **pages)
{
	struct mm_struct *mm = current->mm;
	int locked = 1;
	long got;

	mmap_read_lock(mm);
	got = pin_user_pages_remote(mm, addr, NR_PART, 0, pages, &locked);
	if (locked)
		mmap_read_unlock(mm);

	return got;
}

static long pin_long(unsigned long addr, struct page **pages)
{
	return pin_user_pages_fast(addr, NR_PART, FOLL_WRITE | FOLL_LONGTERM,
				   pages);
}

/**
 * struct way - how to get at pages
 * @name: in the case's name
 * @get: does it
 * @pinned: they are to be given back with unpin_user_pages()
 * @stays: coherent pages stay where they are
 */
static const struct way {
	const char *name;
	long (*get)(unsigned long addr, struct page **pages);
	bool pinned;
	bool stays;
} ways[] = {
	{ "get_fast", get_fast, false, true },
	{ "get_for_writing", get_unlocked, false, true },
	{ "pin_fast", pin_fast, true, true },
	{ "pin_remote", pin_remote, true, true },
	{ "pin_longterm", pin_long, true, false },
};

#define NR_TRIED (ARRAY_SIZE(ways) * GROUND_KINDS)

/**
 * struct tried - a parameter
 * @way: how
 * @kind: what
 */
struct tried {
	const struct way *way;
	const struct ground_kind *kind;
};

/* A parameter is its number, from 1 on. */
static struct tried tried_nr(unsigned long nr)
{
	nr--;
	return (struct tried){
		.way = &ways[nr / GROUND_KINDS],
		.kind = &ground_kinds[nr % GROUND_KINDS],
	};
}

/* longterm_pin_brings_a_large_folio_home() has that. */
static bool has_its_own_case(const struct tried *tried)
{
	return !tried->way->stays && tried->kind->large &&
	       tried->kind->type == MEMORY_DEVICE_COHERENT;
}

static const void *tried_gen_params(struct kunit *test, const void *prev,
				    char *desc)
{
	unsigned long nr = (unsigned long)prev;
	struct tried tried;

	do {
		if (++nr > NR_TRIED)
			return NULL;
		tried = tried_nr(nr);
	} while (has_its_own_case(&tried));
	scnprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s_of_%s", tried.way->name,
		  tried.kind->name);

	return (void *)nr;
}

static void every_way_is_tried(struct kunit *test)
{
	/* But for one that has a case of its own. */
	dmirror_expect_params(test, tried_gen_params, 19, "5 ways, 4 kinds");
}

static void give_back(struct page **pages, bool pinned)
{
	unsigned int i;

	if (pinned) {
		unpin_user_pages(pages, NR_PART);
		return;
	}
	for (i = 0; i < NR_PART; i++)
		put_page(pages[i]);
}

static unsigned int on_device(struct page **pages)
{
	unsigned int i, nr = 0;

	for (i = 0; i < NR_PART; i++)
		nr += is_zone_device_page(pages[i]);

	return nr;
}

/* How many of the pages of the part go to the device, or come home. */
static unsigned long migrate_part(struct kunit *test,
				  const struct ground *ground, bool out)
{
	struct toy_move move;
	unsigned long moved;

	toy_move_init(test, &move, ground->toy, ground_at(ground, GROUND_FROM),
		      NR_PART, out ? MIGRATE_VMA_SELECT_SYSTEM :
				     MIGRATE_VMA_SELECT_DEVICE_COHERENT);
	DMIRROR_ASSERT_OK(test, toy_collect(&move), "collect");
	if (out)
		toy_choose_device(&move);
	else
		toy_choose_ram(&move);
	moved = toy_pages(&move);
	toy_finish(&move);

	return moved;
}

/*
 * Where the pages are that somebody gets, that they do not move as long as he
 * has them, and do so afterwards.
 */
static void pages_are_had(struct kunit *test)
{
	struct tried tried = tried_nr((unsigned long)test->param_value);
	struct ground ground = ground_get(test, tried.kind);
	bool stays = tried.way->stays && !ground_private(&ground);
	struct page *pages[NR_PART];
	unsigned long moved;
	unsigned int there;
	long got;

	got = tried.way->get(ground_at(&ground, GROUND_FROM), pages);
	KUNIT_ASSERT_EQ_MSG(test, got, (long)NR_PART, "pages had by %s",
			    tried.way->name);
	there = on_device(pages);
	moved = migrate_part(test, &ground, !stays);
	give_back(pages, tried.way->pinned);
	KUNIT_EXPECT_EQ_MSG(test, there, stays ? (u32)NR_PART : 0U,
			    "pages had on the device");
	KUNIT_EXPECT_EQ_MSG(test, moved, 0UL, "pages that moved though had");
	ground_read(test, &ground, 0, ground.nr, 1, "at the end");
	/* One that the CPU maps by a PMD is not found, see toy_evict(). */
	if (stays)
		toy_evict(ground.toy);
	else if (!ground.kind->large)
		KUNIT_EXPECT_EQ(test, migrate_part(test, &ground, true),
				NR_PART);
	ground_read(test, &ground, 0, ground.nr, 1, "after it moved");
	if (stays)
		ground_count(test, &ground, ground.nr, 0, "after it moved");
}

/* Somebody of whom core mm knows nothing has the page: it cannot be moved. */
static void longterm_pin_fails_for_a_page_in_use(struct kunit *test)
{
	struct ground ground = ground_get(test,
					  &ground_kinds[GROUND_COHERENT_PAGES]);
	struct core_sight used = ground_out(&ground);
	struct page *page, *pages[NR_PART];
	unsigned int users;
	long got;

	page = pfn_to_page(ground.toy->first_pfn + GROUND_FROM);
	for (users = 1; users <= 2; users++) {
		get_page(page);
		used.refs++;
		got = pin_long(ground_at(&ground, GROUND_FROM), pages);
		if (got == NR_PART)
			unpin_user_pages(pages, NR_PART);
		DMIRROR_EXPECT_ERRNO(test, got, -EBUSY, "pin of a page in use");
		ground_look(test, &ground, GROUND_FROM, GROUND_FROM + 1, used,
			    "after a pin that failed");
	}
	for (; users > 1; users--)
		put_page(page);
	ground_read(test, &ground, 0, ground.nr, 1, "after pins that failed");
	got = pin_long(ground_at(&ground, GROUND_FROM), pages);
	KUNIT_ASSERT_EQ(test, got, (long)NR_PART);
	KUNIT_EXPECT_EQ(test, on_device(pages), 0U);
	unpin_user_pages(pages, NR_PART);
	ground_look(test, &ground, GROUND_FROM, GROUND_TO, ground_home(&ground),
		    "after the pin");
	ground_read(test, &ground, 0, ground.nr, 1, "after the pin");
	ground_count(test, &ground, ground.nr, ground.nr - NR_PART,
		     "after the pin");
}

/*
 * Up to 7.3 migrate_device_coherent_folio() warns of large folios and gives it
 * up.
 */
static void longterm_pin_brings_a_large_folio_home(struct kunit *test)
{
	struct ground ground = ground_get(test,
					  &ground_kinds[GROUND_COHERENT_FOLIO]);
	struct page *pages[NR_PART];
	unsigned int there = 0;
	int warnings = 0;
	long got = 0;

	kunit_warning_suppress(test) {
		got = pin_long(ground_at(&ground, GROUND_FROM), pages);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	if (got == NR_PART)
		there = on_device(pages);
	if (got > 0)
		unpin_user_pages(pages, got);
	ground_read(test, &ground, 0, ground.nr, 1, "after the pin");
	if (got == -EBUSY) {
		ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
			    "after a pin that failed");
		DMIRROR_KNOWN_DEFECT(test,
				     "a long pin of a large coherent folio");
	}
	KUNIT_EXPECT_EQ_MSG(test, got, (long)NR_PART,
			    "0x%lx: got %ld pages pinned wanted %lu",
			    ground_at(&ground, GROUND_FROM), got,
			    (unsigned long)NR_PART);
	KUNIT_EXPECT_EQ_MSG(test, warnings, 0,
			    "0x%lx: got %d warnings wanted 0",
			    ground_at(&ground, GROUND_FROM), warnings);
	KUNIT_EXPECT_EQ_MSG(test, there, 0U,
			    "0x%lx: got %u pages pinned on the device wanted 0",
			    ground_at(&ground, GROUND_FROM), there);
	ground_look(test, &ground, 0, ground.nr, ground_home(&ground),
		    "after the pin");
	ground_count(test, &ground, ground.nr, 0, "after the pin");
}

/* As ptrace() and /proc/pid/mem do it. */
static void other_processes_reach_device_pages(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	u64 *words = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	unsigned long addr = ground_at(&ground, GROUND_FROM);

	KUNIT_ASSERT_NOT_NULL(test, words);
	KUNIT_EXPECT_EQ(test, core_access(ground.mm, addr, words, PAGE_SIZE,
					  false), (int)PAGE_SIZE);
	/* What is there on the next page, to be found on this one then. */
	KUNIT_EXPECT_EQ(test, core_access(ground.mm, addr + PAGE_SIZE, words,
					  PAGE_SIZE, true), (int)PAGE_SIZE);
	memset(words, 0, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, core_access(ground.mm, addr + PAGE_SIZE, words,
					  PAGE_SIZE, false), (int)PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, core_access(ground.mm, addr, words + 1,
					  PAGE_SIZE - 8, false),
			(int)PAGE_SIZE - 8);
	KUNIT_EXPECT_EQ_MSG(test, words[0], words[1],
			    "first words of two equal pages");
	ground_read(test, &ground, 0, GROUND_TO - 1, 1, "at the end");
	ground_read(test, &ground, GROUND_TO, ground.nr, 1, "at the end");
	ground_count(test, &ground, ground.nr,
		     ground_private(&ground) ? 0 : ground.nr, "at the end");
}

/* Nothing is brought home for somebody who must not fault. */
static void fast_only_does_not_fault(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct page *pages[NR_PART];
	int got;

	got = get_user_pages_fast_only(ground_at(&ground, GROUND_FROM),
				       NR_PART, 0, pages);
	KUNIT_EXPECT_EQ(test, got, 0);
	ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
		    "at the end");
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 0U);
}

/* Who looks at pages, and does not fault, finds what the CPU can access. */
static void walk_finds_what_the_cpu_reaches(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	unsigned long want = ground_private(&ground) ? 0 :
			     ground.toy->first_pfn + GROUND_FROM;

	KUNIT_EXPECT_EQ(test, core_walk(ground_at(&ground, GROUND_FROM)),
			want);
	ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
		    "at the end");
}

/**
 * struct refusal - what a device answers to a fault
 * @name: in the case's name
 * @answer: it returns
 * @err: what that means to who wants the page
 */
static const struct refusal {
	const char *name;
	vm_fault_t answer;
	int err;
} refusals[] = {
	{ "sigbus", VM_FAULT_SIGBUS, -EFAULT },
	{ "sigsegv", VM_FAULT_SIGSEGV, -EFAULT },
	{ "oom", VM_FAULT_OOM, -ENOMEM },
	{ "hwpoison", VM_FAULT_HWPOISON, -EFAULT },
};

#define NR_REFUSED (ARRAY_SIZE(refusals) * 2)

/* What the device of the running case answers. */
static vm_fault_t answer;

static vm_fault_t refuse(struct toy *toy, struct vm_fault *vmf)
{
	return answer;
}

/* A parameter is its number, from 1 on: a refusal and a private kind. */
static const void *refused_gen_params(struct kunit *test, const void *prev,
				      char *desc)
{
	unsigned long nr = (unsigned long)prev;

	if (nr == NR_REFUSED)
		return NULL;
	scnprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s_of_%s",
		  refusals[nr / 2].name, ground_kinds[nr % 2].name);

	return (void *)(nr + 1);
}

static void every_refusal_is_tried(struct kunit *test)
{
	dmirror_expect_params(test, refused_gen_params, 8,
			      "4 answers, 2 private kinds");
}

/*
 * "mm/memory: return vm_fault_t result from migrate_to_ram() callback": what
 * the device says of a fault is told to who had it, and the page stays.
 */
static void refusal_is_told(struct kunit *test)
{
	unsigned long nr = (unsigned long)test->param_value - 1;
	const struct refusal *refusal = &refusals[nr / 2];
	struct ground ground = ground_get(test, &ground_kinds[nr % 2]);
	vm_fault_t (*normal)(struct toy *toy, struct vm_fault *vmf);
	unsigned long addr = ground_at(&ground, GROUND_FROM);
	struct page *pages[NR_PART];
	long got = refusal->err;
	vm_fault_t fault;

	normal = ground.toy->on_fault;
	answer = refusal->answer;
	ground.toy->on_fault = refuse;
	fault = core_fault_once(addr, false);
	/* If it is not told, this would try for ever. */
	if (fault & VM_FAULT_ERROR)
		got = get_unlocked(addr, pages);
	ground.toy->on_fault = normal;
	KUNIT_EXPECT_EQ_MSG(test, fault & VM_FAULT_ERROR, refusal->answer,
			    "what handle_mm_fault() returned");
	DMIRROR_EXPECT_ERRNO(test, got, refusal->err, "get_user_pages");
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 2U);
	ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
		    "after the refusal");
	ground_read(test, &ground, 0, ground.nr, 1, "at the end");
}

static struct kunit_case gup_cases[] = {
	KUNIT_CASE(every_way_is_tried),
	KUNIT_CASE_PARAM(pages_are_had, tried_gen_params),
	KUNIT_CASE(longterm_pin_fails_for_a_page_in_use),
	KUNIT_CASE(longterm_pin_brings_a_large_folio_home),
	KUNIT_CASE_PARAM(other_processes_reach_device_pages, ground_every_kind),
	KUNIT_CASE_PARAM(fast_only_does_not_fault, ground_private_kinds),
	KUNIT_CASE_PARAM(walk_finds_what_the_cpu_reaches, ground_every_kind),
	KUNIT_CASE(every_refusal_is_tried),
	KUNIT_CASE_PARAM(refusal_is_told, refused_gen_params),
	{}
};

DMIRROR_SUITE_AS(device_memory_gup, dmirror_case_init_mm, gup_cases);
