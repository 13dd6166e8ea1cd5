// SPDX-License-Identifier: GPL-2.0
/*
 * What mremap() promises to an mm with device pages: move_ptes() of
 * mm/mremap.c and move_huge_pmd() of mm/huge_memory.c. Entries go to the new
 * place as they are, none is left in the old one, nothing is copied, and the
 * rmap finds the pages where they are now.
 */
#include <linux/mm.h>
#include <linux/mman.h>

#include "../user.h"
#include "ground.h"

#define NR_PART (GROUND_TO - GROUND_FROM)

static const struct core_sight nothing;

static struct ground ground_of_case(struct kunit *test)
{
	return ground_get(test, test->param_value);
}

/* Room for two grounds, aligned like the one that is to move, plus a shift. */
static unsigned long target_of_case(struct kunit *test,
				    const struct ground *ground,
				    unsigned long shift)
{
	unsigned long area = dmirror_user_map(test, 4 * ground->nr,
					      PROT_READ | PROT_WRITE);

	return ALIGN(area, ground->nr << PAGE_SHIFT) + (shift << PAGE_SHIFT);
}

/* Asserts that pages [@from, @to) went to @addr; returns the ground there. */
static struct ground moved(struct kunit *test, const struct ground *ground,
			   unsigned long from, unsigned long to,
			   unsigned long new_nr, unsigned long flags,
			   unsigned long addr)
{
	struct ground there = *ground;
	long got;

	got = core_mremap(ground_at(ground, from), (to - from) << PAGE_SHIFT,
			  new_nr << PAGE_SHIFT,
			  MREMAP_MAYMOVE | MREMAP_FIXED | flags, addr);
	if (got == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call mremap()");
	KUNIT_ASSERT_EQ_MSG(test, got, (long)addr, "mremap to 0x%lx", addr);
	/* So that pages have the numbers that their contents have. */
	there.addr = addr - (from << PAGE_SHIFT);

	return there;
}

static struct core_sight touched(const struct ground *ground)
{
	return ground_private(ground) ? ground_home(ground) :
					ground_out(ground);
}

static struct core_sight by_pte(const struct ground *ground)
{
	struct core_sight sight = ground_out(ground);

	sight.large = false;
	sight.refs = ground->kind->large ? ground->nr : 1;
	sight.maps = sight.refs;

	return sight;
}

static void whole_moves_as_it_is(struct kunit *test)
{
	struct ground ground = ground_of_case(test), there;

	there = moved(test, &ground, 0, ground.nr, ground.nr, 0,
		      target_of_case(test, &ground, 0));
	ground_look(test, &there, 0, ground.nr, ground_out(&ground),
		    "in the new place");
	ground_count(test, &ground, ground.nr, ground.nr, "after mremap");
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 0U);
	ground_look(test, &ground, 0, ground.nr, nothing, "in the old place");
	ground_read(test, &there, 0, ground.nr, 1, "in the new place");
	ground_look(test, &there, 0, ground.nr, touched(&ground),
		    "in the new place, after a load");
}

/* A part of a PMD takes a split PMD, but no split folio. */
static void part_moves_alone(struct kunit *test)
{
	struct ground ground = ground_of_case(test), there;

	there = moved(test, &ground, GROUND_FROM, GROUND_TO, NR_PART, 0,
		      target_of_case(test, &ground, 0));
	KUNIT_EXPECT_EQ(test, ground.toy->splits, 0U);
	ground_look(test, &there, GROUND_FROM, GROUND_TO, by_pte(&ground),
		    "in the new place");
	ground_look(test, &ground, 0, GROUND_FROM, by_pte(&ground),
		    "beside the old place");
	ground_look(test, &ground, GROUND_FROM, GROUND_TO, nothing,
		    "in the old place");
	ground_look(test, &ground, GROUND_TO, ground.nr, by_pte(&ground),
		    "beside the old place");
	ground_count(test, &ground, ground.nr, ground.nr, "after mremap");
	ground_read(test, &there, GROUND_FROM, GROUND_TO, 1,
		    "in the new place");
	ground_read(test, &ground, 0, GROUND_FROM, 1, "beside the old place");
	ground_read(test, &ground, GROUND_TO, ground.nr, 1,
		    "beside the old place");
	ground_count(test, &ground, ground.nr,
		     ground_private(&ground) ? 0 : ground.nr, "after loads");
}

/* Where no PMD fits, there are PTEs. */
static void unaligned_place_takes_single_pages(struct kunit *test)
{
	struct ground ground = ground_of_case(test), there;

	there = moved(test, &ground, 0, ground.nr, ground.nr, 0,
		      target_of_case(test, &ground, 1));
	ground_look(test, &there, 0, ground.nr, by_pte(&ground),
		    "in the new place");
	ground_look(test, &ground, 0, ground.nr, nothing, "in the old place");
	ground_read(test, &there, 0, ground.nr, 1, "in the new place");
	ground_write(test, &there, 0, ground.nr, 2, "in the new place");
	ground_count(test, &ground, ground.nr,
		     ground_private(&ground) ? 0 : ground.nr, "after stores");
}

static void larger_place_begins_with_the_pages(struct kunit *test)
{
	struct ground ground = ground_of_case(test), there;
	unsigned long nr = ground.nr;

	there = moved(test, &ground, 0, nr, 2 * nr, 0,
		      target_of_case(test, &ground, 0));
	ground_look(test, &there, 0, nr, ground_out(&ground),
		    "in the new place");
	ground_look(test, &there, nr, 2 * nr, nothing, "behind it");
	ground_count(test, &ground, nr, nr, "after mremap");
	ground_read(test, &there, nr, 2 * nr, 0, "behind it");
	ground_read(test, &there, 0, nr, 1, "in the new place");
}

/*
 * What is cut off goes back to the device; of a folio that is mapped in part,
 * nothing does before the rest goes, or is split.
 */
static void smaller_place_gives_back(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight rest = by_pte(&ground);
	unsigned long half = ground.nr / 2;
	long got;

	got = core_mremap(ground.addr, ground.nr << PAGE_SHIFT,
			  half << PAGE_SHIFT, 0, 0);
	if (got == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call mremap()");
	KUNIT_ASSERT_EQ(test, got, (long)ground.addr);
	if (ground.kind->large) {
		rest.refs = half;
		rest.maps = half;
	}
	ground_look(test, &ground, 0, half, rest, "in front of the cut");
	ground_look(test, &ground, half, ground.nr, nothing, "behind the cut");
	ground_count(test, &ground, half,
		     ground.kind->large ? ground.nr : half, "after mremap");
	ground_read(test, &ground, 0, half, 1, "in front of the cut");
	ground_count(test, &ground, half, ground_private(&ground) ? 0 : half,
		     "after loads");
}

/* What was in the place is unmapped, and back on its device. */
static void device_pages_make_room(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct ground other = ground_of_case(test), there;

	there = moved(test, &ground, 0, ground.nr, ground.nr, 0, other.addr);
	KUNIT_EXPECT_EQ(test, other.toy->out, 0UL);
	ground_look(test, &there, 0, ground.nr, ground_out(&ground),
		    "in the new place");
	ground_count(test, &ground, ground.nr, ground.nr, "after mremap");
	ground_read(test, &there, 0, ground.nr, 1, "in the new place");
}

/* MREMAP_DONTUNMAP: the old mapping is there, and empty. */
static void mapping_is_left_empty(struct kunit *test)
{
	struct ground ground = ground_of_case(test), there;

	there = moved(test, &ground, 0, ground.nr, ground.nr, MREMAP_DONTUNMAP,
		      target_of_case(test, &ground, 0));
	ground_look(test, &there, 0, ground.nr, ground_out(&ground),
		    "in the new place");
	ground_look(test, &ground, 0, ground.nr, nothing, "in the old place");
	ground_count(test, &ground, ground.nr, ground.nr, "after mremap");
	ground_read(test, &ground, 0, ground.nr, 0, "in the old place");
	ground_read(test, &there, 0, ground.nr, 1, "in the new place");
}

/* Migration entries move too: the page turns up in the new place. */
static void moves_during_an_eviction(struct kunit *test)
{
	struct ground ground = ground_of_case(test), there = ground;
	struct core_view view;
	struct toy_move move;
	long got;
	int done;

	there.addr = target_of_case(test, &ground, 0);
	ground_evict_init(test, &ground, &move);
	ground_evict_begin(&ground, &move);
	got = core_mremap(ground.addr, ground.nr << PAGE_SHIFT,
			  ground.nr << PAGE_SHIFT,
			  MREMAP_MAYMOVE | MREMAP_FIXED, there.addr);
	core_look(&view, ground.mm, there.addr, ground.nr);
	done = ground_evict_finish(&move);
	if (got == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call mremap()");
	KUNIT_ASSERT_EQ(test, got, (long)there.addr);
	DMIRROR_EXPECT_ERRNO(test, done, 0, "end of the eviction");
	KUNIT_EXPECT_EQ(test, view.same, ground.nr);
	KUNIT_EXPECT_EQ(test, view.first.place, CORE_MIGRATING);
	KUNIT_EXPECT_EQ(test, view.first.large, ground.kind->large);
	ground_look(test, &there, 0, ground.nr, ground_home(&ground),
		    "in the new place");
	ground_look(test, &ground, 0, ground.nr, nothing, "in the old place");
	ground_read(test, &there, 0, ground.nr, 1, "in the new place");
	ground_count(test, &ground, ground.nr, 0, "after the eviction");
}

/* The rmap knows the new place, also of pages that were cut off a PMD. */
static void eviction_finds_the_new_place(struct kunit *test)
{
	struct ground ground = ground_of_case(test), there;
	struct core_sight home = by_pte(&ground);

	there = moved(test, &ground, GROUND_FROM, GROUND_TO, NR_PART, 0,
		      target_of_case(test, &ground, 0));
	KUNIT_EXPECT_EQ(test, toy_evict(ground.toy), 0UL);
	home.place = CORE_RAM;
	ground_look(test, &there, GROUND_FROM, GROUND_TO, home,
		    "in the new place");
	ground_look(test, &ground, GROUND_TO, ground.nr, home,
		    "beside the old place");
	ground_read(test, &there, GROUND_FROM, GROUND_TO, 1,
		    "in the new place");
	ground_read(test, &ground, GROUND_TO, ground.nr, 1,
		    "beside the old place");
	ground_count(test, &ground, ground.nr, 0, "after the eviction");
}

/*
 * "mm/page_vma_mapped: fix device-private PMD handling", which fixes
 * 65edfda6f3f2: B23. It finds all of a folio that two page tables map.
 */
static void eviction_finds_both_tables(struct kunit *test)
{
	struct ground ground = ground_of_case(test), there;
	struct core_sight home = by_pte(&ground);

	there = moved(test, &ground, 0, ground.nr, ground.nr, 0,
		      target_of_case(test, &ground, ground.nr / 2));
	KUNIT_EXPECT_EQ_MSG(test, toy_evict(ground.toy), 0UL,
			    "device pages in use after the eviction");
	home.place = CORE_RAM;
	ground_look(test, &there, 0, ground.nr, home, "after the eviction");
	ground_count(test, &ground, ground.nr, 0, "after the eviction");
	ground_read(test, &there, 0, ground.nr, 1, "after the eviction");
}

static struct kunit_case mremap_cases[] = {
	KUNIT_CASE_PARAM(whole_moves_as_it_is, ground_every_kind),
	KUNIT_CASE_PARAM(part_moves_alone, ground_every_kind),
	KUNIT_CASE_PARAM(unaligned_place_takes_single_pages, ground_every_kind),
	KUNIT_CASE_PARAM(larger_place_begins_with_the_pages, ground_every_kind),
	KUNIT_CASE_PARAM(smaller_place_gives_back, ground_common_kinds),
	KUNIT_CASE_PARAM(device_pages_make_room, ground_every_kind),
	KUNIT_CASE_PARAM(mapping_is_left_empty, ground_every_kind),
	KUNIT_CASE_PARAM(moves_during_an_eviction, ground_every_kind),
	KUNIT_CASE_PARAM(eviction_finds_the_new_place, ground_every_kind),
	KUNIT_CASE_PARAM(eviction_finds_both_tables, ground_every_kind),
	{}
};

DMIRROR_SUITE_AS(device_memory_mremap, dmirror_case_init_mm, mremap_cases);
