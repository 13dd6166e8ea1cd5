// SPDX-License-Identifier: GPL-2.0
/*
 * What fork() promises to an mm with device pages, and to its child:
 * copy_nonpresent_pte() and copy_present_ptes() of mm/memory.c, copy_huge_pmd()
 * of mm/huge_memory.c, the rmap of include/linux/rmap.h, and
 * Documentation/mm/hmm.rst: device memory is "like any other memory" to
 * everything but the CPU's loads and stores.
 */
#include <linux/mm.h>
#include <linux/mman.h>

#include "../user.h"
#include "ground.h"

/* Who acts, what it does, and to which pages. */
#define ACT(_child, _what, _from, _to, ...)				\
	{ .child = (_child), .what = (_what), .from = (_from),	\
	  .to = (_to), ##__VA_ARGS__ }
#define PARENT(_what, _from, _to, ...)					\
	ACT(false, _what, _from, _to, ##__VA_ARGS__)
#define CHILD(_what, _from, _to, ...)					\
	ACT(true, _what, _from, _to, ##__VA_ARGS__)
#define CHILD_EXITS ACT(true, GROUND_EXIT, 0, 0)

static struct ground ground_of_case(struct kunit *test)
{
	return ground_get(test, test->param_value);
}

/* As two processes share a page: both read-only, with a reference each. */
static struct core_sight shared(struct core_sight sight)
{
	sight.write = false;
	sight.exclusive = false;
	sight.refs++;
	sight.maps++;

	return sight;
}

/* As it is left to one of them after the other let go of it. */
static struct core_sight left(struct core_sight sight)
{
	sight.write = false;
	sight.exclusive = false;

	return sight;
}

/* A private page comes home when the CPU touches it, a coherent one stays. */
static struct core_sight touched(const struct ground *ground)
{
	return ground_private(ground) ? ground_home(ground) :
					ground_out(ground);
}

static unsigned long out_after_touch(const struct ground *ground)
{
	return ground_private(ground) ? 0 : ground->nr;
}

/* A page that the writer got for itself. */
static const struct core_sight own_copy = {
	.place = CORE_RAM, .write = true, .exclusive = true, .refs = 1,
	.maps = 1,
};

/*
 * Both get an entry of the same kind: no copy is made, and a PMD is not split.
 * Nobody may write any more, and the page is not exclusive.
 */
static void fork_shares_what_is_on_the_device(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight both = shared(ground_out(&ground));
	struct ground_act acts[] = {
		PARENT(GROUND_LOOK, 0, ground.nr, .want = both),
		CHILD(GROUND_LOOK, 0, ground.nr, .want = both),
		PARENT(GROUND_RSS, 0, 0, .salt = ground.nr),
		CHILD(GROUND_RSS, 0, 0, .salt = ground.nr),
		CHILD_EXITS,
		PARENT(GROUND_LOOK, 0, ground.nr, .want = left(ground_out(&ground))),
	};

	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, ground.nr, ground.nr, "at the end");
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 0U);
	KUNIT_EXPECT_EQ(test, ground.toy->frees, 0U);
}

/* A page that comes home does so for both, as the same page. */
static void child_reads_what_the_parent_wrote(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight both = shared(touched(&ground));
	struct ground_act acts[] = {
		CHILD(GROUND_READ, 0, ground.nr, .salt = 1),
		CHILD(GROUND_LOOK, 0, ground.nr, .want = both),
		PARENT(GROUND_LOOK, 0, ground.nr, .want = both),
		PARENT(GROUND_READ, 0, ground.nr, .salt = 1),
		CHILD(GROUND_RSS, 0, 0, .salt = ground.nr),
	};

	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, ground.nr, out_after_touch(&ground),
		     "at the end");
}

/*
 * Copy-on-write, whoever writes first: the writer gets pages of its own, the
 * other keeps what it had, wherever it is.
 */
static void play_writer(struct kunit *test, bool child)
{
	struct ground ground = ground_of_case(test);
	struct core_sight rest = shared(touched(&ground)), other = rest;
	unsigned long nr = GROUND_TO - GROUND_FROM;
	struct ground_act acts[] = {
		ACT(child, GROUND_WRITE, GROUND_FROM, GROUND_TO, .salt = 2),
		ACT(child, GROUND_LOOK, GROUND_FROM, GROUND_TO, .want = own_copy),
		ACT(!child, GROUND_LOOK, GROUND_FROM, GROUND_TO, .want = other),
		ACT(!child, GROUND_READ, 0, ground.nr, .salt = 1),
		ACT(child, GROUND_READ, 0, GROUND_FROM, .salt = 1),
		ACT(child, GROUND_READ, GROUND_FROM, GROUND_TO, .salt = 2),
		ACT(child, GROUND_READ, GROUND_TO, ground.nr, .salt = 1),
		ACT(child, GROUND_LOOK, GROUND_TO, ground.nr, .want = rest),
		PARENT(GROUND_RSS, 0, 0, .salt = ground.nr),
		CHILD(GROUND_RSS, 0, 0, .salt = ground.nr),
	};

	if (ground.kind->large) {
		/* The PMD of the writer is split, the folio is not. */
		other.refs = ground.nr - nr + 1;
		other.maps = ground.nr - nr + 1;
		rest = other;
		rest.large = false;
		acts[7].want = rest;
	} else {
		other.refs = 1;
		other.maps = 1;
	}
	acts[2].want = other;
	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_read(test, &ground, GROUND_FROM, GROUND_TO, child ? 1 : 2,
		    "at the end");
}

static void child_writes_to_a_copy(struct kunit *test)
{
	play_writer(test, true);
}

static void parent_writes_to_a_copy(struct kunit *test)
{
	play_writer(test, false);
}

/*
 * The last one that maps a page may have it: nothing is copied. Coherent pages
 * even stay on the device.
 */
static void survivor_writes_without_a_copy(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct ground_act acts[] = {
		CHILD_EXITS,
		PARENT(GROUND_LOOK, 0, ground.nr, .want = left(ground_out(&ground))),
		PARENT(GROUND_WRITE, 0, ground.nr, .salt = 2),
		PARENT(GROUND_LOOK, 0, ground.nr, .want = touched(&ground)),
		PARENT(GROUND_READ, 0, ground.nr, .salt = 2),
	};

	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, ground.nr, out_after_touch(&ground),
		     "at the end");
}

/* The child lives on with what only it has, and its exit gives it back. */
static void parent_unmaps_first(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct ground_act acts[] = {
		PARENT(GROUND_UNMAP, 0, ground.nr),
		CHILD(GROUND_LOOK, 0, ground.nr, .want = left(ground_out(&ground))),
		CHILD(GROUND_READ, 0, ground.nr, .salt = 1),
		CHILD(GROUND_RSS, 0, 0, .salt = ground.nr),
		CHILD(GROUND_WRITE, 0, ground.nr, .salt = 2),
		CHILD(GROUND_LOOK, 0, ground.nr, .want = touched(&ground)),
		CHILD_EXITS,
		PARENT(GROUND_RSS, 0, 0, .salt = 0),
	};

	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, 0, 0, "at the end");
}

/* All of it is out when the last of the two is gone. */
static void both_let_go_without_a_touch(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct ground_act acts[] = {
		PARENT(GROUND_UNMAP, 0, ground.nr),
		CHILD(GROUND_RSS, 0, 0, .salt = ground.nr),
		CHILD_EXITS,
	};

	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, 0, 0, "at the end");
	KUNIT_EXPECT_EQ_MSG(test, ground.toy->frees,
			    ground.kind->large ? 1U : (u32)GROUND_PAGES,
			    "folios that the device got back");
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 0U);
}

/* A part of a PMD of the child goes: its PMD is split, the parent's is not. */
static void child_unmaps_a_part(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight both = shared(ground_out(&ground));
	struct core_sight gone = left(ground_out(&ground)), rest = both;
	struct ground_act acts[] = {
		CHILD(GROUND_UNMAP, GROUND_FROM, GROUND_TO),
		CHILD(GROUND_RSS, 0, 0,
		      .salt = ground.nr - (GROUND_TO - GROUND_FROM)),
		CHILD(GROUND_LOOK, GROUND_FROM, GROUND_TO),
		CHILD(GROUND_LOOK, GROUND_TO, ground.nr, .want = rest),
		PARENT(GROUND_LOOK, GROUND_FROM, GROUND_TO, .want = gone),
		CHILD(GROUND_READ, GROUND_TO, ground.nr, .salt = 1),
		PARENT(GROUND_READ, 0, ground.nr, .salt = 1),
		CHILD_EXITS,
		PARENT(GROUND_WRITE, 0, ground.nr, .salt = 2),
	};

	if (ground.kind->large) {
		gone.refs = 1 + ground.nr - (GROUND_TO - GROUND_FROM);
		gone.maps = gone.refs;
		rest = gone;
		rest.large = false;
		acts[3].want = rest;
		acts[4].want = gone;
	}
	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_read(test, &ground, 0, ground.nr, 2, "at the end");
	ground_count(test, &ground, ground.nr, out_after_touch(&ground),
		     "at the end");
}

/* What was read-only before is shared all the same. */
static void read_only_memory_is_shared(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight both = shared(ground_out(&ground));
	struct ground_act acts[] = {
		PARENT(GROUND_LOOK, 0, ground.nr, .want = both),
		CHILD(GROUND_LOOK, 0, ground.nr, .want = both),
		CHILD(GROUND_READ, 0, ground.nr, .salt = 1),
		PARENT(GROUND_READ, 0, ground.nr, .salt = 1),
		CHILD_EXITS,
		PARENT(GROUND_LOOK, 0, ground.nr, .want = left(touched(&ground))),
	};

	dmirror_user_protect(test, ground.addr, ground.nr, PROT_READ);
	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, ground.nr, out_after_touch(&ground),
		     "at the end");
}

/* Pages of two processes come home for both of them. */
static void eviction_serves_both(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight both = shared(ground_home(&ground));
	struct ground_act acts[] = {
		PARENT(GROUND_EVICT, 0, 0),
		PARENT(GROUND_LOOK, 0, ground.nr, .want = both),
		CHILD(GROUND_LOOK, 0, ground.nr, .want = both),
		CHILD(GROUND_READ, 0, ground.nr, .salt = 1),
		CHILD(GROUND_WRITE, GROUND_FROM, GROUND_TO, .salt = 2),
		PARENT(GROUND_READ, 0, ground.nr, .salt = 1),
	};

	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, ground.nr, 0, "at the end");
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 0U);
}

/* Begins an eviction; ground_play() finishes it. */
static void play_evicted(struct kunit *test, const struct ground *ground,
			 struct ground_act *acts, unsigned int nr)
{
	struct toy_move move;

	ground_evict_init(test, ground, &move);
	ground_evict_begin(ground, &move);
	ground_play(test, ground, &move, acts, nr);
}

/*
 * Migration entries are copied like what they stand for: both are read-only
 * afterwards, and the page turns up in both.
 */
static void fork_during_an_eviction(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight both = shared(ground_home(&ground));
	struct core_sight moving = {
		.place = CORE_MIGRATING,
		.large = both.large,
		.order = both.order,
	};
	struct ground_act acts[] = {
		PARENT(GROUND_LOOK, 0, ground.nr, .want = moving),
		CHILD(GROUND_LOOK, 0, ground.nr, .want = moving),
		CHILD(GROUND_RSS, 0, 0, .salt = ground.nr),
		PARENT(GROUND_FINISH, 0, 0),
		PARENT(GROUND_LOOK, 0, ground.nr, .want = both),
		CHILD(GROUND_LOOK, 0, ground.nr, .want = both),
		CHILD(GROUND_WRITE, GROUND_FROM, GROUND_TO, .salt = 2),
		PARENT(GROUND_READ, 0, ground.nr, .salt = 1),
	};

	play_evicted(test, &ground, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, ground.nr, 0, "at the end");
}

/*
 * One of the two lets go of its migration entries; the other gets the page.
 * Not for a private folio, which would not survive it on all kernels: see
 * zap_during_an_eviction of suite device_memory_madvise.
 */
static void child_exits_during_an_eviction(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct ground_act acts[] = {
		CHILD(GROUND_RSS, 0, 0, .salt = ground.nr),
		CHILD_EXITS,
		PARENT(GROUND_FINISH, 0, 0),
		PARENT(GROUND_LOOK, 0, ground.nr, .want = left(ground_home(&ground))),
		PARENT(GROUND_READ, 0, ground.nr, .salt = 1),
		PARENT(GROUND_WRITE, 0, ground.nr, .salt = 2),
		PARENT(GROUND_LOOK, 0, ground.nr, .want = ground_home(&ground)),
	};

	play_evicted(test, &ground, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, ground.nr, 0, "at the end");
}

/* A killed process gives back all that it has on the device. */
static void killed_child_gives_back(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct ground_act acts[] = {
		PARENT(GROUND_UNMAP, 0, ground.nr),
		CHILD(GROUND_KILL, GROUND_FROM, GROUND_TO),
		CHILD_EXITS,
	};

	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	ground_count(test, &ground, 0, 0, "after the child was killed");
}

/*
 * folio_try_dup_anon_rmap_ptes(): a page that may be pinned is not shared.
 * The child gets a copy at once, in system memory; the parent keeps the page
 * that is pinned, and may write to it. A PMD is split for that.
 */
static void fork_copies_pinned_pages(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	unsigned long nr = GROUND_TO - GROUND_FROM;
	struct page *pages[GROUND_TO - GROUND_FROM];
	struct core_sight kept = ground_out(&ground);
	struct ground_act acts[] = {
		CHILD(GROUND_LOOK, GROUND_FROM, GROUND_TO, .want = own_copy),
		CHILD(GROUND_READ, 0, ground.nr, .salt = 1),
		CHILD(GROUND_RSS, 0, 0, .salt = ground.nr),
		PARENT(GROUND_WRITE, GROUND_FROM, GROUND_TO, .salt = 2),
		CHILD(GROUND_READ, 0, ground.nr, .salt = 1),
	};
	long pinned;

	pinned = pin_user_pages_fast(ground_at(&ground, GROUND_FROM), nr,
				     FOLL_WRITE, pages);
	KUNIT_ASSERT_EQ(test, pinned, (long)nr);
	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	unpin_user_pages(pages, nr);
	if (ground.kind->large) {
		kept.large = false;
		kept.refs = ground.nr;
		kept.maps = ground.nr;
	}
	ground_look(test, &ground, GROUND_FROM, GROUND_TO, kept, "at the end");
	ground_read(test, &ground, GROUND_FROM, GROUND_TO, 2, "at the end");
	ground_count(test, &ground, ground.nr, ground.nr, "at the end");
}

/*
 * A page of two processes is not had for long either: whoever wants it gets a
 * copy that is his alone, in system memory.
 */
static void longterm_pin_unshares(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight own = own_copy, other = left(ground_out(&ground));
	struct ground_act acts[] = {
		PARENT(GROUND_PIN, GROUND_FROM, GROUND_TO),
		PARENT(GROUND_LOOK, GROUND_FROM, GROUND_TO, .want = own),
		CHILD(GROUND_LOOK, GROUND_FROM, GROUND_TO, .want = other),
		CHILD(GROUND_WRITE, GROUND_FROM, GROUND_TO, .salt = 2),
		PARENT(GROUND_READ, 0, ground.nr, .salt = 1),
		CHILD(GROUND_READ, GROUND_FROM, GROUND_TO, .salt = 2),
	};

	own.write = false;
	acts[1].want = own;
	ground_play(test, &ground, NULL, acts, ARRAY_SIZE(acts));
	KUNIT_EXPECT_EQ_MSG(test, acts[0].got, 0ULL,
			    "pages of the device that were pinned");
	ground_count(test, &ground, ground.nr, ground.nr - 2, "at the end");
}

static const void *small_coherent(struct kunit *test, const void *prev,
				  char *desc)
{
	const struct ground_kind *kind = &ground_kinds[GROUND_COHERENT_PAGES];

	if (prev)
		return NULL;
	strscpy(desc, kind->name, KUNIT_PARAM_DESC_SIZE);

	return kind;
}

/* Private pages cannot be pinned; that is the coherent kinds. */
static const void *pinnable_kinds(struct kunit *test, const void *prev,
				  char *desc)
{
	const struct ground_kind *kind = prev;

	do {
		kind = ground_every_kind(test, kind, desc);
	} while (kind && kind->type != MEMORY_DEVICE_COHERENT);

	return kind;
}

static const void *robust_kinds(struct kunit *test, const void *prev,
				char *desc)
{
	const struct ground_kind *kind = ground_every_kind(test, prev, desc);

	if (kind && kind->large && kind->type == MEMORY_DEVICE_PRIVATE)
		kind = ground_every_kind(test, kind, desc);

	return kind;
}

/* Of this suite, and those of ground.h, which other suites have too. */
static void every_kind_is_tried(struct kunit *test)
{
	dmirror_expect_params(test, ground_every_kind, 4, "kinds of memory");
	dmirror_expect_params(test, ground_common_kinds, 3, "common kinds");
	dmirror_expect_params(test, ground_private_kinds, 2, "private kinds");
	dmirror_expect_params(test, small_coherent, 1, "small coherent kinds");
	dmirror_expect_params(test, pinnable_kinds, 2, "kinds to be pinned");
	dmirror_expect_params(test, robust_kinds, 3, "robust kinds");
}

static struct kunit_case fork_cases[] = {
	KUNIT_CASE(every_kind_is_tried),
	KUNIT_CASE_PARAM(fork_shares_what_is_on_the_device, ground_every_kind),
	KUNIT_CASE_PARAM(child_reads_what_the_parent_wrote, ground_every_kind),
	KUNIT_CASE_PARAM(child_writes_to_a_copy, ground_every_kind),
	KUNIT_CASE_PARAM(parent_writes_to_a_copy, ground_every_kind),
	KUNIT_CASE_PARAM(survivor_writes_without_a_copy, ground_every_kind),
	KUNIT_CASE_PARAM(parent_unmaps_first, ground_every_kind),
	KUNIT_CASE_PARAM(both_let_go_without_a_touch, ground_every_kind),
	KUNIT_CASE_PARAM(child_unmaps_a_part, ground_every_kind),
	KUNIT_CASE_PARAM(read_only_memory_is_shared, ground_every_kind),
	KUNIT_CASE_PARAM(eviction_serves_both, ground_every_kind),
	KUNIT_CASE_PARAM(fork_during_an_eviction, ground_every_kind),
	KUNIT_CASE_PARAM(child_exits_during_an_eviction, robust_kinds),
	KUNIT_CASE_PARAM(killed_child_gives_back, ground_every_kind),
	KUNIT_CASE_PARAM(fork_copies_pinned_pages, pinnable_kinds),
	KUNIT_CASE_PARAM(longterm_pin_unshares, small_coherent),
	{}
};

DMIRROR_SUITE_AS(device_memory_fork, dmirror_case_init_mm, fork_cases);
