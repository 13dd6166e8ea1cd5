// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that are swapped out, and pages that are in memory and in swap: what
 * mm/migrate_device.c ("we ignore regular swapped page", "Try to get rid of
 * swap cache if possible") and mm/hmm.c do with them, and what mm/swapfile.c,
 * mm/vmscan.c and mm/madvise.c do with device pages beside them.
 */
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/rmap.h>
#include <linux/uaccess.h>

#include "../user.h"
#include "hmm_probe.h"
#include "migrate_large.h"
#include "swapdev.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM

#define PAGE_R (MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE)
#define PAGE_W (PAGE_R | MIGRATE_PFN_WRITE)

KUNIT_ARRAY_PARAM_DESC(kind, device_kinds, name);

/**
 * struct swapping - swap space, a device, and a few pages
 * @dev: the swap space
 * @toy: the device
 * @addr: the pages, which have stamps
 */
struct swapping {
	struct swapdev *dev;
	struct toy *toy;
	unsigned long addr;
};

static struct swapping swapping_get(struct kunit *test,
				    const struct device_kind *kind,
				    unsigned long npages)
{
	struct swapping s;

	migrate_suite_requires(test);
	s.dev = swapdev_get(test);
	s.toy = toy_get(test, kind->type, TOY_PAGES);
	s.addr = dmirror_user_map(test, npages, RW);
	stamp_write(test, s.addr, npages);

	return s;
}

static unsigned long at(const struct swapping *s, unsigned long page)
{
	return s->addr + page * PAGE_SIZE;
}

static void expect_used(struct kunit *test, const struct swapping *s,
			long want, const char *step)
{
	KUNIT_EXPECT_EQ_MSG(test, swapdev_used(s->dev), want,
			    "pages of the swap space in use %s", step);
}

static bool is_cached(const struct seen *seen)
{
	return seen->kind == SEEN_RAM &&
	       folio_test_swapcache(page_folio(pfn_to_page(seen->pfn)));
}

static int idle(void *data)
{
	return 0;
}

/* The stamp of a page, which may be 0 if it cannot be read. */
static int read_stamp(void *data)
{
	u32 got = 0;

	if (get_user(got, (u32 __user *)*(unsigned long *)data))
		return -EFAULT;

	return got;
}

/*
 * A page that is mapped and in swap: a child had it in swap when it was read,
 * and has gone since. Nobody else needs the swap.
 */
static struct seen make_cached(struct kunit *test, struct swapping *s)
{
	struct user_child child;
	struct seen seen;
	int forked, got = 0;

	swapdev_out(test, s->addr, 1);
	forked = user_fork(&child);
	if (!forked) {
		user_ask(&child, idle, NULL);
		got = read_stamp(&s->addr);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	KUNIT_ASSERT_EQ_MSG(test, got, 1, "stamp of the page");
	seen = migrate_see_settled(s->addr);
	KUNIT_ASSERT_TRUE_MSG(test, is_cached(&seen),
			      "page is not in the swap cache");
	KUNIT_ASSERT_EQ(test, swapdev_used(s->dev), 1L);

	return seen;
}

/* "we ignore regular swapped page": and go on with the next one. */
static void swapped_page_is_left_alone(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	static const char pages[] = "wswhsw";
	unsigned long i, n = strlen(pages), raw[2];
	struct swapping s = swapping_get(test, kind, n);
	struct attempt attempt;
	struct books books;
	int ret;

	dmirror_user_dontneed(test, at(&s, 3), 1);
	swapdev_out(test, at(&s, 1), 1);
	swapdev_out(test, at(&s, 4), 1);
	raw[0] = hmm_probe_raw(at(&s, 1));
	raw[1] = hmm_probe_raw(at(&s, 4));
	books = migrate_books(current->mm);
	attempt_init(test, &attempt, s.toy, s.addr, n, SYSTEM);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	DMIRROR_ASSERT_OK(test, ret, "collect");

	KUNIT_EXPECT_EQ(test, attempt.cpages, 4UL);
	for (i = 0; i < n; i++) {
		bool swapped = pages[i] == 's';

		KUNIT_EXPECT_EQ_MSG(test, !attempt.setup[i], swapped,
				    "src[%lu], of '%c', is 0", i, pages[i]);
		KUNIT_EXPECT_EQ_MSG(test,
				    migrate_see(current->mm, at(&s, i)).kind,
				    swapped ? SEEN_OTHER : kind->seen,
				    "page %lu, '%c', afterwards", i, pages[i]);
	}
	KUNIT_EXPECT_EQ(test, hmm_probe_raw(at(&s, 1)), raw[0]);
	KUNIT_EXPECT_EQ(test, hmm_probe_raw(at(&s, 4)), raw[1]);
	expect_used(test, &s, 2, "after the migration");
	books.anon++;
	migrate_expect_books(test, &books, "after the migration");

	stamp_check(test, s.addr, 3, true, "after the migration");
	dmirror_user_check(test, at(&s, 3), 1, 0, "after the migration");
	KUNIT_EXPECT_EQ(test, read_stamp(&(unsigned long){ at(&s, 4) }), 5);
	KUNIT_EXPECT_EQ(test, read_stamp(&(unsigned long){ at(&s, 5) }), 6);
	expect_used(test, &s, 0, "after all were read");
}

/*
 * "Try to get rid of swap cache if possible": it is, and the slot is free. The
 * mapping has to be looked at afterwards: B21.
 */
static void page_of_the_swap_cache_goes(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct swapping s = swapping_get(test, kind, 1);
	struct seen before = make_cached(test, &s), after;
	struct books books = migrate_books(current->mm);
	struct attempt attempt;
	int ret;

	attempt_init(test, &attempt, s.toy, s.addr, 1, SYSTEM);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	after = migrate_see(current->mm, s.addr);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	attempt_expect_src(test, &attempt, attempt.setup, 0,
			   migrate_pfn(before.pfn) | PAGE_R, "after setup");
	attempt_expect_src(test, &attempt, attempt.pages, 0,
			   migrate_pfn(before.pfn) | PAGE_R, "after pages");
	KUNIT_EXPECT_EQ_MSG(test, after.kind, kind->seen, "where it is");
	KUNIT_EXPECT_EQ_MSG(test, after.refs, 1, "references of the page");
	expect_used(test, &s, 0, "when the page is on the device");
	migrate_expect_books(test, &books, "when the page is on the device");

	stamp_check(test, s.addr, 1, true, "when the page has moved");
	dmirror_user_fill(test, s.addr, 1, 7);
	dmirror_user_check(test, s.addr, 1, 7, "after a write");
}

/* It is not while somebody else has it in swap only: both keep what is theirs. */
static void page_that_another_has_in_swap_stays(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct swapping s = swapping_get(test, kind, 1);
	struct seen before = { }, after, want;
	int forked, theirs = 0, ret = 0;
	struct user_child child;
	struct attempt attempt;
	bool cached = false;
	long used = 0;

	attempt_init(test, &attempt, s.toy, s.addr, 1, SYSTEM);
	swapdev_out(test, s.addr, 1);
	forked = user_fork(&child);
	if (!forked) {
		user_ask(&child, idle, NULL);
		read_stamp(&s.addr);
		before = migrate_see_settled(s.addr);
		ret = attempt_carry_out(&attempt, SEEN_RAM);
		after = migrate_see_settled(s.addr);
		cached = is_cached(&before) && is_cached(&after);
		used = swapdev_used(s.dev);
		theirs = user_ask(&child, read_stamp, &s.addr);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_ASSERT_OK(test, ret, "collect");
	KUNIT_EXPECT_TRUE_MSG(test, cached, "in the swap cache all the time");
	attempt_expect_src(test, &attempt, attempt.setup, 0,
			   migrate_pfn(before.pfn) | PAGE_R, "after setup");
	attempt_expect_src(test, &attempt, attempt.pages, 0,
			   migrate_pfn(before.pfn) | MIGRATE_PFN_VALID,
			   "after pages");
	want = migrate_seen_back(&before);
	migrate_expect_seen(test, s.addr, &after, &want, "after it stayed");
	KUNIT_EXPECT_EQ_MSG(test, used, 1L, "pages of the swap space in use");
	KUNIT_EXPECT_EQ_MSG(test, s.toy->out, 0UL, "device pages in use");
	KUNIT_EXPECT_EQ_MSG(test, theirs, 1, "stamp that the child read");
	stamp_check(test, s.addr, 1, true, "after it stayed");
}

/**
 * struct stay - a page of the swap cache that does not go, and why
 * @name: in the case's name
 * @failure: why
 * @leaves: it is out of the swap cache afterwards
 */
struct stay {
	const char *name;
	enum failure failure;
	bool leaves;
};

static const struct stay stays[] = {
	{ "held", FAIL_HELD },
	{ "no_pages", FAIL_NO_PAGES },
	{ "no_dst", FAIL_NO_DST },
	{ "dst_freed", FAIL_DST_FREED },
	/* found out when the swap cache is gone already */
	{ "late_reference", FAIL_LATE_REFERENCE, true },
};

KUNIT_ARRAY_PARAM_DESC(stay, stays, name);

/* What the swap cache has of it is no reference that keeps a page. */
static void page_of_the_swap_cache_that_fails_is_restored(struct kunit *test)
{
	const struct stay *stay = test->param_value;
	struct swapping s = swapping_get(test, &device_kinds[0], 1);
	struct seen before = make_cached(test, &s), after, want;
	struct attempt attempt;
	int ret;

	attempt_init(test, &attempt, s.toy, s.addr, 1, SYSTEM);
	ret = attempt_fail(&attempt, stay->failure, &before);
	after = migrate_see_settled(s.addr);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	attempt_expect_balance(test, &attempt, stay->name);
	want = migrate_seen_back(&before);
	if (stay->leaves) {
		want.refs--;
		want.folio_dirty = true;
	}
	migrate_expect_seen(test, s.addr, &after, &want, stay->name);
	KUNIT_EXPECT_EQ_MSG(test, is_cached(&after), !stay->leaves,
			    "is in the swap cache");
	expect_used(test, &s, stay->leaves ? 0 : 1, stay->name);
	KUNIT_EXPECT_EQ_MSG(test, s.toy->out, 0UL, "device pages in use");
	stamp_check(test, s.addr, 1, true, stay->name);
}

/**
 * struct question - hmm_range_fault() of a page that is swapped out
 * @name: in the case's name
 * @flags: the request
 * @shared: a child has it in swap, too
 * @letter: what has to be said
 * @used: pages of the swap space in use afterwards
 */
struct question {
	const char *name;
	unsigned long flags;
	bool shared;
	char letter;
	long used;
};

static const struct question questions[] = {
	{ "snapshot", 0, false, '-', 1 },
	{ "read_request", HMM_READ, false, 'w', 0 },
	{ "write_request", HMM_WRITE, false, 'w', 0 },
	{ "snapshot_of_a_shared_one", 0, true, '-', 1 },
	/* it is in the swap cache then */
	{ "read_request_of_a_shared_one", HMM_READ, true, 'r', 1 },
	/* copied: the child's is the one that is in swap */
	{ "write_request_of_a_shared_one", HMM_WRITE, true, 'w', 1 },
};

KUNIT_ARRAY_PARAM_DESC(question, questions, name);

static void ask(struct kunit *test, struct swapping *s,
		struct hmm_probe *probe)
{
	const struct question *q = test->param_value;
	int forked = 0, theirs = 1, ret = 0;
	char letters[2] = { q->letter };
	struct user_child child;
	unsigned long raw;
	long used = 0;

	swapdev_out(test, s->addr, 1);
	if (q->shared)
		forked = user_fork(&child);
	if (!forked) {
		if (q->shared)
			user_ask(&child, idle, NULL);
		raw = hmm_probe_raw(s->addr);
		ret = hmm_probe_run(probe, s->addr, 1, q->flags);
		raw ^= hmm_probe_raw(s->addr);
		used = swapdev_used(s->dev);
	}
	if (!forked && q->shared) {
		theirs = user_ask(&child, read_stamp, &s->addr);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_ASSERT_OK(test, ret, q->name);
	hmm_probe_expect(test, probe, s->addr, letters, q->name);
	KUNIT_EXPECT_EQ_MSG(test, !raw, q->letter == '-',
			    "entry of the CPU is as it was");
	KUNIT_EXPECT_EQ_MSG(test, used, q->used,
			    "pages of the swap space in use");
	KUNIT_EXPECT_EQ_MSG(test, theirs, 1, "stamp that the child read");
	stamp_check(test, s->addr, 1, true, q->name);
}

/* hmm.h: faultable, and there again when a fault was asked for. */
static void swapped_page_is_asked_for(struct kunit *test)
{
	struct swapping s = swapping_get(test, &device_kinds[0], 1);
	struct hmm_probe *probe = hmm_probe_get(test, 1);
	unsigned int way;

	for (way = 0; way < hmm_probe_ways(); way++) {
		probe->unlocked = way;
		stamp_write(test, s.addr, 1);
		ask(test, &s, probe);
	}
}

/* rmap.c: what is swapped out is brought in, and is the device's alone then. */
static void swapped_page_becomes_exclusive(struct kunit *test)
{
	struct swapping s = swapping_get(test, &device_kinds[0], 1);
	struct folio *folio;
	struct page *page;

	swapdev_out(test, s.addr, 1);
	mmap_read_lock(current->mm);
	page = make_device_exclusive(current->mm, s.addr, s.toy, &folio);
	mmap_read_unlock(current->mm);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(page), "got %pe", page);
	folio_unlock(folio);
	folio_put(folio);
	KUNIT_EXPECT_FALSE_MSG(test, swapdev_is_out(s.addr), "swap entry");
	expect_used(test, &s, 0, "when it is exclusive");
	stamp_check(test, s.addr, 1, true, "after it was exclusive");
}

/* The end of the swap space brings in what was there, and nothing else. */
static void swapoff_leaves_device_pages(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct swapping s = swapping_get(test, kind, 4);
	unsigned long i;

	toy_to_device(test, s.toy, at(&s, 0), 1);
	toy_to_device(test, s.toy, at(&s, 2), 1);
	swapdev_out(test, at(&s, 1), 1);
	swapdev_out(test, at(&s, 3), 1);
	swapdev_put(test, s.dev);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ_MSG(test,
				    migrate_see(current->mm, at(&s, i)).kind,
				    i & 1 ? SEEN_RAM : kind->seen,
				    "page %lu after swapoff()", i);
	stamp_check(test, s.addr, 4, true, "after swapoff()");
}

/* Nor does advice about swap move what is not in system memory. */
static void advice_about_swap_leaves_device_pages(struct kunit *test)
{
	static const int advices[] = { MADV_PAGEOUT, MADV_COLD, MADV_WILLNEED };
	const struct device_kind *kind = test->param_value;
	struct swapping s = swapping_get(test, kind, 3);
	unsigned long i;

	toy_to_device(test, s.toy, at(&s, 0), 1);
	toy_to_device(test, s.toy, at(&s, 2), 1);
	swapdev_out(test, at(&s, 1), 1);
	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		large_advise(test, s.addr, 3, advices[i]);
		KUNIT_EXPECT_EQ_MSG(test,
				    migrate_see(current->mm, at(&s, 0)).kind,
				    kind->seen, "first page, advice %d",
				    advices[i]);
		KUNIT_EXPECT_EQ_MSG(test,
				    migrate_see(current->mm, at(&s, 2)).kind,
				    kind->seen, "last page, advice %d",
				    advices[i]);
	}
	expect_used(test, &s, 1, "after the advice");
	stamp_check(test, s.addr, 3, true, "after the advice");
}

/* What came home is an ordinary page: swapped like any other, and not lost. */
static void page_that_came_home_is_swapped(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct swapping s = swapping_get(test, kind, 2);
	struct seen seen;

	/* The second one is born on the device, where it is written. */
	dmirror_user_dontneed(test, at(&s, 1), 1);
	toy_to_device(test, s.toy, s.addr, 2);
	seen = migrate_see(current->mm, at(&s, 1));
	KUNIT_ASSERT_EQ(test, seen.kind, kind->seen);
	dmirror_buf_fill(toy_data(pfn_to_page(seen.pfn)), 1, 5);
	toy_to_ram(test, s.toy, s.addr, 2);
	swapdev_out(test, s.addr, 2);
	expect_used(test, &s, 2, "when both are swapped out");
	stamp_check(test, s.addr, 1, true, "back from swap");
	dmirror_user_check(test, at(&s, 1), 1, 5, "back from swap");
	expect_used(test, &s, 0, "when both are back");
}

static struct kunit_case swap_cases[] = {
	KUNIT_CASE_PARAM(swapped_page_is_left_alone, kind_gen_params),
	KUNIT_CASE_PARAM(page_of_the_swap_cache_goes, kind_gen_params),
	KUNIT_CASE_PARAM(page_that_another_has_in_swap_stays, kind_gen_params),
	KUNIT_CASE_PARAM(page_of_the_swap_cache_that_fails_is_restored,
			 stay_gen_params),
	KUNIT_CASE_PARAM(swapped_page_is_asked_for, question_gen_params),
	KUNIT_CASE(swapped_page_becomes_exclusive),
	KUNIT_CASE_PARAM(swapoff_leaves_device_pages, kind_gen_params),
	KUNIT_CASE_PARAM(advice_about_swap_leaves_device_pages,
			 kind_gen_params),
	KUNIT_CASE_PARAM(page_that_came_home_is_swapped, kind_gen_params),
	{}
};

DMIRROR_SUITE_AS(device_memory_swap, dmirror_case_init_mm, swap_cases);
