// SPDX-License-Identifier: GPL-2.0
/* The mirror page table alone: no mm, pages that are only addresses. */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/mm.h>

#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/pt.h"

#define LAST_VPN (ULONG_MAX >> PAGE_SHIFT)

static void pt_destroy_action(void *data)
{
	dmirror_pt_destroy(data);
}

static struct dmirror_pt *pt_get(struct kunit *test)
{
	struct dmirror_pt *pt = kunit_kzalloc(test, sizeof(*pt), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pt);
	dmirror_pt_init(pt);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, pt_destroy_action, pt),
			0);

	return pt;
}

/* The table never looks into a page: any of the memory map's will do. */
static struct page *page_nr(unsigned long nr)
{
	return virt_to_page((void *)PAGE_OFFSET) + nr;
}

static int pt_set(struct dmirror_pt *pt, unsigned long vpn, struct page *page,
		  enum dmirror_perm perm)
{
	int ret;

	mutex_lock(&pt->lock);
	ret = dmirror_pt_set(pt, vpn, page, perm);
	mutex_unlock(&pt->lock);

	return ret;
}

static struct page *pt_lookup(struct dmirror_pt *pt, unsigned long vpn,
			      enum dmirror_perm perm)
{
	struct page *page;

	mutex_lock(&pt->lock);
	page = dmirror_pt_lookup(pt, vpn, perm);
	mutex_unlock(&pt->lock);

	return page;
}

static unsigned long pt_clear(struct dmirror_pt *pt, unsigned long start,
			      unsigned long end)
{
	unsigned long cleared;

	mutex_lock(&pt->lock);
	cleared = dmirror_pt_clear(pt, start, end);
	mutex_unlock(&pt->lock);

	return cleared;
}

static void lookup_respects_permission(struct kunit *test)
{
	static const struct {
		enum dmirror_perm has, asks;
		bool found;
	} rows[] = {
		{ DMIRROR_PERM_READ, DMIRROR_PERM_READ, true },
		{ DMIRROR_PERM_READ, DMIRROR_PERM_WRITE, false },
		{ DMIRROR_PERM_WRITE, DMIRROR_PERM_READ, true },
		{ DMIRROR_PERM_WRITE, DMIRROR_PERM_WRITE, true },
	};
	struct dmirror_pt *pt = pt_get(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct page *want = rows[i].found ? page_nr(i) : NULL;

		DMIRROR_ASSERT_OK(test, pt_set(pt, i, page_nr(i), rows[i].has),
				  "set");
		KUNIT_EXPECT_PTR_EQ_MSG(test, pt_lookup(pt, i, rows[i].asks),
					want, "page %u: has %d asked %d", i,
					rows[i].has, rows[i].asks);
	}
	KUNIT_EXPECT_EQ(test, pt->nr, ARRAY_SIZE(rows));
}

static void lookup_misses_what_was_never_set(struct kunit *test)
{
	struct dmirror_pt *pt = pt_get(test);

	DMIRROR_ASSERT_OK(test, pt_set(pt, 100, page_nr(1), DMIRROR_PERM_WRITE),
			  "set");
	KUNIT_EXPECT_NULL(test, pt_lookup(pt, 99, DMIRROR_PERM_READ));
	KUNIT_EXPECT_NULL(test, pt_lookup(pt, 101, DMIRROR_PERM_READ));
	KUNIT_EXPECT_NULL(test, pt_lookup(pt, 0, DMIRROR_PERM_READ));
	KUNIT_EXPECT_NULL(test, pt_lookup(pt, LAST_VPN, DMIRROR_PERM_READ));
}

static void set_replaces(struct kunit *test)
{
	struct dmirror_pt *pt = pt_get(test);

	DMIRROR_ASSERT_OK(test, pt_set(pt, 7, page_nr(1), DMIRROR_PERM_WRITE),
			  "first set");
	DMIRROR_ASSERT_OK(test, pt_set(pt, 7, page_nr(2), DMIRROR_PERM_READ),
			  "second set");
	KUNIT_EXPECT_PTR_EQ(test, pt_lookup(pt, 7, DMIRROR_PERM_READ),
			    page_nr(2));
	KUNIT_EXPECT_NULL_MSG(test, pt_lookup(pt, 7, DMIRROR_PERM_WRITE),
			      "the write permission of the first set is left");
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
}

/* A range ends before its end: test_hmm drops one entry too many. */
static void clear_is_half_open(struct kunit *test)
{
	static const struct {
		unsigned long start, end, cleared;
		const char *left;
	} rows[] = {
		{ 10, 18, 8, "--------" }, { 10, 11, 1, "-xxxxxxx" },
		{ 17, 18, 1, "xxxxxxx-" }, { 12, 15, 3, "xx---xxx" },
		{ 0, 10, 0, "xxxxxxxx" }, { 18, LAST_VPN, 0, "xxxxxxxx" },
		{ 0, LAST_VPN + 1, 8, "--------" }, { 0, 12, 2, "--xxxxxx" },
		{ 12, 12, 0, "xxxxxxxx" }, { 13, 12, 0, "xxxxxxxx" },
		{ 0, 0, 0, "xxxxxxxx" },
	};
	unsigned int row, i;

	for (row = 0; row < ARRAY_SIZE(rows); row++) {
		struct dmirror_pt *pt = pt_get(test);

		for (i = 0; i < 8; i++)
			DMIRROR_ASSERT_OK(test, pt_set(pt, 10 + i, page_nr(i),
						       DMIRROR_PERM_READ),
					  "set");
		KUNIT_EXPECT_EQ_MSG(test,
				    pt_clear(pt, rows[row].start,
					     rows[row].end),
				    rows[row].cleared, "clear [%lu,%lu)",
				    rows[row].start, rows[row].end);
		for (i = 0; i < 8; i++)
			KUNIT_EXPECT_EQ_MSG(test, rows[row].left[i] == 'x',
					    !!pt_lookup(pt, 10 + i,
							DMIRROR_PERM_READ),
					    "page %u after clear [%lu,%lu) of [10,18)",
					    10 + i, rows[row].start,
					    rows[row].end);
		KUNIT_EXPECT_EQ(test, pt->nr, 8 - rows[row].cleared);
	}
}

static void last_page_of_the_address_space(struct kunit *test)
{
	struct dmirror_pt *pt = pt_get(test);

	DMIRROR_ASSERT_OK(test,
			  pt_set(pt, LAST_VPN, page_nr(3), DMIRROR_PERM_READ),
			  "set");
	KUNIT_EXPECT_EQ(test, pt_clear(pt, 0, LAST_VPN), 0);
	KUNIT_EXPECT_PTR_EQ(test, pt_lookup(pt, LAST_VPN, DMIRROR_PERM_READ),
			    page_nr(3));
	KUNIT_EXPECT_EQ(test, pt_clear(pt, LAST_VPN, LAST_VPN + 1), 1);
}

static void reserve_reads_as_nothing(struct kunit *test)
{
	struct dmirror_pt *pt = pt_get(test);
	unsigned long vpn;

	DMIRROR_ASSERT_OK(test, pt_set(pt, 65, page_nr(1), DMIRROR_PERM_WRITE),
			  "set");
	DMIRROR_ASSERT_OK(test, dmirror_pt_reserve(pt, 60, 70), "reserve");
	for (vpn = 60; vpn < 70; vpn++)
		KUNIT_EXPECT_EQ_MSG(test, vpn == 65,
				    !!pt_lookup(pt, vpn, DMIRROR_PERM_READ),
				    "page %lu of [60,70) after reserve", vpn);
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
	KUNIT_EXPECT_EQ_MSG(test, pt_clear(pt, 60, 65), 0,
			    "reserved slots were counted as entries");

	DMIRROR_ASSERT_OK(test, pt_set(pt, 61, page_nr(2), DMIRROR_PERM_READ),
			  "set of a reserved slot");
	KUNIT_EXPECT_EQ(test, pt->nr, 2);
	dmirror_pt_unreserve(pt, 60, 70);
	KUNIT_EXPECT_PTR_EQ_MSG(test, pt_lookup(pt, 61, DMIRROR_PERM_READ),
				page_nr(2), "unreserve took a filled slot");
	KUNIT_EXPECT_EQ(test, pt_clear(pt, 60, 70), 2);
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&pt->entries),
			      "slots are left after unreserve and clear");
}

static void reserve_failure_leaves_nothing(struct kunit *test)
{
	struct dmirror_pt *pt = pt_get(test);
	unsigned int nth;

	for (nth = 1; nth <= 8; nth++) {
		dmirror_inject_arm(DMIRROR_INJECT_PT_RESERVE, nth);
		DMIRROR_EXPECT_ERRNO(test, dmirror_pt_reserve(pt, 60, 68),
				     -ENOMEM, "reserve with a failure");
		KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&pt->entries),
				      "slots are left when slot %u failed",
				      nth);
	}
	dmirror_inject_arm(DMIRROR_INJECT_PT_RESERVE, 9);
	DMIRROR_EXPECT_ERRNO(test, dmirror_pt_reserve(pt, 60, 68), 0,
			     "reserve of 8 with the 9th armed");
	KUNIT_EXPECT_TRUE(test,
			  dmirror_inject_disarm(DMIRROR_INJECT_PT_RESERVE));
}

static void set_failure_changes_nothing(struct kunit *test)
{
	struct dmirror_pt *pt = pt_get(test);

	DMIRROR_ASSERT_OK(test, pt_set(pt, 5, page_nr(1), DMIRROR_PERM_READ),
			  "set");
	dmirror_inject_arm(DMIRROR_INJECT_PT_SET, 1);
	DMIRROR_EXPECT_ERRNO(test,
			     pt_set(pt, 5, page_nr(2), DMIRROR_PERM_WRITE),
			     -ENOMEM, "set with a failure");
	KUNIT_EXPECT_PTR_EQ(test, pt_lookup(pt, 5, DMIRROR_PERM_READ),
			    page_nr(1));
	KUNIT_EXPECT_NULL(test, pt_lookup(pt, 5, DMIRROR_PERM_WRITE));
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
}

/* A random walk against an array that says what has to be there. */
#define WALK_PAGES 192
#define WALK_STEPS 2000

struct shadow {
	struct page *page[WALK_PAGES];
	enum dmirror_perm perm[WALK_PAGES];
};

/* For messages: the number that page_nr() made the page from, or -1. */
static long page_index(struct page *page)
{
	return page ? page - page_nr(0) : -1;
}

static bool shadow_matches(struct kunit *test, struct dmirror_pt *pt,
			   const struct shadow *shadow, unsigned int step)
{
	unsigned long i, nr = 0;

	for (i = 0; i < WALK_PAGES; i++) {
		struct page *readable = shadow->page[i];
		struct page *writable = NULL;

		if (shadow->perm[i] == DMIRROR_PERM_WRITE)
			writable = readable;
		nr += !!readable;
		if (pt_lookup(pt, i, DMIRROR_PERM_READ) == readable &&
		    pt_lookup(pt, i, DMIRROR_PERM_WRITE) == writable)
			continue;
		KUNIT_FAIL(test,
			   "page %lu after step %u: got %ld to read and %ld to write, wanted %ld and %ld",
			   i, step,
			   page_index(pt_lookup(pt, i, DMIRROR_PERM_READ)),
			   page_index(pt_lookup(pt, i, DMIRROR_PERM_WRITE)),
			   page_index(readable), page_index(writable));
		return false;
	}
	KUNIT_EXPECT_EQ_MSG(test, pt->nr, nr, "entries after step %u", step);

	return pt->nr == nr;
}

static void random_walk(struct kunit *test)
{
	struct rnd_state *rnd = &dmirror_fixture(test)->rnd;
	struct dmirror_pt *pt = pt_get(test);
	struct shadow *shadow;
	unsigned int step;

	shadow = kunit_kzalloc(test, sizeof(*shadow), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, shadow);

	for (step = 0; step < WALK_STEPS; step++) {
		unsigned long a = prandom_u32_state(rnd) % WALK_PAGES;
		unsigned long len = prandom_u32_state(rnd) % 17;
		unsigned long i, b = min(a + len, (unsigned long)WALK_PAGES);

		switch (prandom_u32_state(rnd) % 4) {
		case 0:
			pt_clear(pt, a, b);
			for (i = a; i < b; i++) {
				shadow->page[i] = NULL;
				shadow->perm[i] = DMIRROR_PERM_READ;
			}
			break;
		case 1:
			DMIRROR_ASSERT_OK(test, dmirror_pt_reserve(pt, a, b),
					  "reserve");
			break;
		case 2:
			dmirror_pt_unreserve(pt, a, b);
			break;
		default:
			shadow->page[a] = page_nr(step % 64);
			shadow->perm[a] = step & 1;
			DMIRROR_ASSERT_OK(test,
					  pt_set(pt, a, shadow->page[a],
						 shadow->perm[a]), "set");
		}
		if (step % 50 == 0 && !shadow_matches(test, pt, shadow, step))
			return;
	}
	shadow_matches(test, pt, shadow, step);
	pt_clear(pt, 0, WALK_PAGES);
	dmirror_pt_unreserve(pt, 0, WALK_PAGES);
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&pt->entries),
			      "slots are left after the walk");
}

/* It grows with what a user asks for, so it is on his account. */
static void table_is_accounted(struct kunit *test)
{
	struct dmirror_pt *pt = pt_get(test);

	KUNIT_EXPECT_TRUE_MSG(test, pt->entries.xa_flags & XA_FLAGS_ACCOUNT,
			      "flags of the XArray: got 0x%x",
			      pt->entries.xa_flags);
}

static struct kunit_case pt_cases[] = {
	KUNIT_CASE(table_is_accounted),
	KUNIT_CASE(lookup_respects_permission),
	KUNIT_CASE(lookup_misses_what_was_never_set),
	KUNIT_CASE(set_replaces),
	KUNIT_CASE(clear_is_half_open),
	KUNIT_CASE(last_page_of_the_address_space),
	KUNIT_CASE(reserve_reads_as_nothing),
	KUNIT_CASE(reserve_failure_leaves_nothing),
	KUNIT_CASE(set_failure_changes_nothing),
	KUNIT_CASE(random_walk),
	{}
};

DMIRROR_SUITE(pt, dmirror_fixture_init, pt_cases);
