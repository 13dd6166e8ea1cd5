// SPDX-License-Identifier: GPL-2.0
/*
 * What mprotect() promises to an mm with device pages: change_softleaf_pte()
 * of mm/mprotect.c, change_huge_pmd() and __split_huge_pmd() of
 * mm/huge_memory.c. Pages stay where they are, a store that is not allowed
 * does not get through, and one that is allowed again needs no copy.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/uaccess.h>

#include "../user.h"
#include "ground.h"

#define RW (PROT_READ | PROT_WRITE)

#define NR_PART (GROUND_TO - GROUND_FROM)

static struct ground ground_of_case(struct kunit *test)
{
	return ground_get(test, test->param_value);
}

static struct core_sight read_only(struct core_sight sight)
{
	sight.write = false;
	return sight;
}

static struct core_sight touched(const struct ground *ground)
{
	return ground_private(ground) ? ground_home(ground) :
					ground_out(ground);
}

static unsigned long out_after_touch(const struct ground *ground)
{
	return ground_private(ground) ? 0 : ground->nr;
}

/* As the pages of a folio look that is mapped by PTEs. */
static struct core_sight by_pte(const struct ground *ground,
				struct core_sight sight)
{
	sight.large = false;
	sight.refs = ground->kind->large ? ground->nr : 1;
	sight.maps = sight.refs;

	return sight;
}

/* Neither a fault nor pinning gets at a page in a way that is forbidden. */
static void expect_denied(struct kunit *test, const struct ground *ground,
			  unsigned long page, bool write, const char *step)
{
	unsigned long addr = ground_at(ground, page);
	struct page *there = NULL;
	unsigned long left = 1;
	u8 byte = 0;
	long got;

	got = get_user_pages_unlocked(addr, 1, &there, write ? FOLL_WRITE : 0);
	if (got == 1)
		put_page(there);
	DMIRROR_EXPECT_ERRNO(test, got, -EFAULT, step);
	/* The kernel of User Mode Linux goes by what is present. */
	if (!IS_ENABLED(CONFIG_UML) || ground_private(ground))
		left = write ? copy_to_user((void __user *)addr, &byte, 1) :
			       copy_from_user(&byte, (void __user *)addr, 1);
	KUNIT_EXPECT_EQ_MSG(test, left, 1UL, "bytes that were not %s at 0x%lx %s",
			    write ? "written" : "read", addr, step);
	KUNIT_EXPECT_EQ_MSG(test, ground->toy->out, ground->nr,
			    "pages of the device that are out %s", step);
}

static void read_only_pages_stay_and_are_read(struct kunit *test)
{
	struct ground ground = ground_of_case(test);

	dmirror_user_protect(test, ground.addr, ground.nr, PROT_READ);
	ground_look(test, &ground, 0, ground.nr, read_only(ground_out(&ground)),
		    "after PROT_READ");
	expect_denied(test, &ground, 0, true, "a store to PROT_READ");
	ground_read(test, &ground, 0, ground.nr, 1, "after PROT_READ");
	ground_look(test, &ground, 0, ground.nr, read_only(touched(&ground)),
		    "after a load");
	ground_count(test, &ground, ground.nr, out_after_touch(&ground),
		     "after a load");
	dmirror_user_protect(test, ground.addr, ground.nr, RW);
	ground_write(test, &ground, 0, ground.nr, 2, "after PROT_WRITE");
	ground_look(test, &ground, 0, ground.nr, touched(&ground),
		    "after a store");
	ground_read(test, &ground, 0, ground.nr, 2, "after a store");
}

/*
 * A private entry does not get its write bit back, but the page is exclusive
 * still: the first store brings it home and does not copy it.
 */
static void writable_again_needs_no_copy(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight again = ground_out(&ground);

	again.write = !ground_private(&ground);
	dmirror_user_protect(test, ground.addr, ground.nr, PROT_READ);
	dmirror_user_protect(test, ground.addr, ground.nr, RW);
	ground_look(test, &ground, 0, ground.nr, again, "after READ and WRITE");
	ground_write(test, &ground, 0, 1, 2, "after READ and WRITE");
	ground_read(test, &ground, 0, 1, 2, "after a store");
	ground_read(test, &ground, 1, ground.nr, 1, "after a store");
	ground_look(test, &ground, 0, 1, touched(&ground), "after a store");
	ground_write(test, &ground, 1, ground.nr, 2, "after a store");
	ground_look(test, &ground, 0, ground.nr, touched(&ground),
		    "after stores");
	ground_count(test, &ground, ground.nr, out_after_touch(&ground),
		     "after stores");
}

static void no_access_leaves_pages_where_they_are(struct kunit *test)
{
	struct ground ground = ground_of_case(test);

	dmirror_user_protect(test, ground.addr, ground.nr, PROT_NONE);
	ground_look(test, &ground, 0, ground.nr, read_only(ground_out(&ground)),
		    "after PROT_NONE");
	expect_denied(test, &ground, 0, false, "a load from PROT_NONE");
	expect_denied(test, &ground, 0, true, "a store to PROT_NONE");
	ground_count(test, &ground, ground.nr, ground.nr, "after PROT_NONE");
	dmirror_user_protect(test, ground.addr, ground.nr, RW);
	ground_read(test, &ground, 0, ground.nr, 1, "after PROT_WRITE");
	ground_write(test, &ground, 0, ground.nr, 2, "after PROT_WRITE");
	ground_look(test, &ground, 0, ground.nr, touched(&ground),
		    "after a store");
}

/* The mm exits while nothing may be touched: all comes back. */
static void no_access_does_not_keep_pages(struct kunit *test)
{
	struct ground ground = ground_of_case(test);

	dmirror_user_protect(test, ground.addr, ground.nr, PROT_NONE);
	dmirror_user_unmap(test, ground.addr, ground.nr);
	ground_count(test, &ground, 0, 0, "after munmap");
}

/* A PMD is split for it, the folio is not; only the part changes. */
static void part_is_protected_alone(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight other = by_pte(&ground, ground_out(&ground));

	dmirror_user_protect(test, ground_at(&ground, GROUND_FROM), NR_PART,
			     PROT_READ);
	KUNIT_EXPECT_EQ(test, ground.toy->splits, 0U);
	ground_look(test, &ground, 0, GROUND_FROM, other, "after PROT_READ");
	ground_look(test, &ground, GROUND_FROM, GROUND_TO, read_only(other),
		    "after PROT_READ");
	ground_look(test, &ground, GROUND_TO, ground.nr, other,
		    "after PROT_READ");
	expect_denied(test, &ground, GROUND_FROM, true, "a store to PROT_READ");
	ground_read(test, &ground, GROUND_FROM, GROUND_TO, 1,
		    "after PROT_READ");
	ground_count(test, &ground, ground.nr,
		     ground_private(&ground) ? ground.nr - NR_PART : ground.nr,
		     "after loads");
	ground_write(test, &ground, 0, GROUND_FROM, 2, "beside PROT_READ");
	ground_write(test, &ground, GROUND_TO, ground.nr, 2,
		     "beside PROT_READ");
	ground_read(test, &ground, GROUND_FROM, GROUND_TO, 1, "at the end");
	ground_count(test, &ground, ground.nr, out_after_touch(&ground),
		     "at the end");
}

/* The pages of a folio that comes home in pieces are small ones. */
static void part_comes_home_alone(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight small = { CORE_DEVICE, false, true, true, 0, 1, 1 };

	dmirror_user_protect(test, ground_at(&ground, GROUND_FROM), NR_PART,
			     PROT_READ);
	ground_read(test, &ground, GROUND_FROM, GROUND_TO, 1,
		    "after PROT_READ");
	ground_look(test, &ground, 0, GROUND_FROM, small, "beside the part");
	ground_look(test, &ground, GROUND_TO, ground.nr, small,
		    "beside the part");
	small.place = CORE_RAM;
	ground_look(test, &ground, GROUND_FROM, GROUND_TO, read_only(small),
		    "the part");
	KUNIT_EXPECT_EQ_MSG(test, ground.toy->splits,
			    ground.kind->large ? (u32)ground.nr : 0U,
			    "calls of folio_split()");
	ground_read(test, &ground, 0, ground.nr, 1, "at the end");
}

/* A page on the move is protected as well, and may be written to later. */
static void protect_during_an_eviction(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight moving = {
		.place = CORE_MIGRATING,
		.large = ground.kind->large,
		.exclusive = true,
		.order = ground_out(&ground).order,
	};
	struct ground_act look = { GROUND_LOOK, .to = ground.nr };
	struct toy_move move;
	int ret, done;

	ground_evict_init(test, &ground, &move);
	ground_evict_begin(&ground, &move);
	ret = user_mprotect(ground.addr, ground.nr << PAGE_SHIFT, PROT_READ);
	core_look(&look.view, ground.mm, ground.addr, ground.nr);
	done = ground_evict_finish(&move);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "mprotect during an eviction");
	DMIRROR_EXPECT_ERRNO(test, done, 0, "end of the eviction");
	look.want = moving;
	ground_judge(test, &ground, &look, "after PROT_READ");
	ground_look(test, &ground, 0, ground.nr,
		    read_only(ground_home(&ground)), "after the eviction");
	dmirror_user_protect(test, ground.addr, ground.nr, RW);
	ground_read(test, &ground, 0, ground.nr, 1, "after PROT_WRITE");
	ground_write(test, &ground, 0, ground.nr, 2, "after PROT_WRITE");
	ground_look(test, &ground, 0, ground.nr, ground_home(&ground),
		    "after stores");
	ground_count(test, &ground, ground.nr, 0, "after stores");
}

/* A PMD on the move is split like one at rest. */
static void part_is_protected_during_an_eviction(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct core_sight home = by_pte(&ground, ground_home(&ground));
	struct toy_move move;
	int ret, done;

	ground_evict_init(test, &ground, &move);
	ground_evict_begin(&ground, &move);
	ret = user_mprotect(ground_at(&ground, GROUND_FROM),
			    NR_PART << PAGE_SHIFT, PROT_READ);
	done = ground_evict_finish(&move);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "mprotect during an eviction");
	DMIRROR_EXPECT_ERRNO(test, done, 0, "end of the eviction");
	ground_look(test, &ground, 0, GROUND_FROM, home, "after the eviction");
	ground_look(test, &ground, GROUND_FROM, GROUND_TO, read_only(home),
		    "after the eviction");
	ground_look(test, &ground, GROUND_TO, ground.nr, home,
		    "after the eviction");
	ground_read(test, &ground, 0, ground.nr, 1, "after the eviction");
	ground_count(test, &ground, ground.nr, 0, "after the eviction");
}

static struct kunit_case protect_cases[] = {
	KUNIT_CASE_PARAM(read_only_pages_stay_and_are_read, ground_every_kind),
	KUNIT_CASE_PARAM(writable_again_needs_no_copy, ground_every_kind),
	KUNIT_CASE_PARAM(no_access_leaves_pages_where_they_are,
			 ground_every_kind),
	KUNIT_CASE_PARAM(no_access_does_not_keep_pages, ground_every_kind),
	KUNIT_CASE_PARAM(part_is_protected_alone, ground_every_kind),
	KUNIT_CASE_PARAM(part_comes_home_alone, ground_private_kinds),
	KUNIT_CASE_PARAM(protect_during_an_eviction, ground_every_kind),
	KUNIT_CASE_PARAM(part_is_protected_during_an_eviction,
			 ground_every_kind),
	{}
};

DMIRROR_SUITE_AS(device_memory_protect, dmirror_case_init_mm, protect_cases);
