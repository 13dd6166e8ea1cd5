// SPDX-License-Identifier: GPL-2.0
/*
 * What madvise(), munmap() and the exit of an mm promise to device pages:
 * mm/madvise.c, zap_nonpresent_ptes() of mm/memory.c, zap_huge_pmd() and
 * madvise_free_huge_pmd() of mm/huge_memory.c, mm/khugepaged.c, mm/mlock.c and
 * mm/mincore.c. Advice for reclaim passes device pages by, what is zapped goes
 * back to the device, and what a folio still has mapped keeps it.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/uaccess.h>
#include <linux/vmstat.h>

#include "../user.h"
#include "ground.h"

#define NR_PART (GROUND_TO - GROUND_FROM)

static const struct core_sight nothing;

static struct ground ground_of_case(struct kunit *test)
{
	return ground_get(test, test->param_value);
}

static struct core_sight touched(const struct ground *ground)
{
	return ground_private(ground) ? ground_home(ground) :
					ground_out(ground);
}

/* As pages of which @left are still mapped look, by PTEs. */
static struct core_sight by_pte(const struct ground *ground,
				unsigned long left)
{
	struct core_sight sight = ground_out(ground);

	sight.large = false;
	sight.refs = ground->kind->large ? left : 1;
	sight.maps = sight.refs;

	return sight;
}

/**
 * enum effect - what becomes of device pages
 * @STAYS: nothing
 * @MARKS: the same, but what is marked becomes a mapping of its own
 * @GOES: they are zapped
 * @COMES: private ones come home, coherent ones are there already
 */
enum effect {
	STAYS,
	MARKS,
	GOES,
	COMES,
};

static const struct advice {
	const char *name;
	int advice;
	enum effect effect;
} advices[] = {
	{ "dontneed", MADV_DONTNEED, GOES },
	{ "dontneed_locked", MADV_DONTNEED_LOCKED, GOES },
	/*
	 * "mm/huge_memory: skip device-private PMDs in madvise_free_huge_pmd"
	 * and "mm/madvise: skip device-private PMDs in cold and pageout walks":
	 * B25.
	 */
	{ "free", MADV_FREE, STAYS },
	{ "cold", MADV_COLD, STAYS },
	{ "pageout", MADV_PAGEOUT, STAYS },
	{ "willneed", MADV_WILLNEED, STAYS },
	{ "nohugepage", MADV_NOHUGEPAGE, STAYS },
	{ "populate_read", MADV_POPULATE_READ, COMES },
	{ "populate_write", MADV_POPULATE_WRITE, COMES },
	{ "mergeable", MADV_MERGEABLE, MARKS },
	{ "unmergeable", MADV_UNMERGEABLE, STAYS },
};

/* Every advice for every kind, for the whole and for a part. */
#define NR_ADVISED (ARRAY_SIZE(advices) * GROUND_KINDS * 2)

/**
 * struct advised - a parameter
 * @advice: what is said
 * @kind: about what
 * @part: about pages [GROUND_FROM, GROUND_TO) only
 */
struct advised {
	const struct advice *advice;
	const struct ground_kind *kind;
	bool part;
};

/* A parameter is its number, from 1 on: there is no table of them. */
static struct advised advised_nr(unsigned long nr)
{
	nr--;
	return (struct advised){
		.advice = &advices[nr / 2 / GROUND_KINDS],
		.kind = &ground_kinds[nr / 2 % GROUND_KINDS],
		.part = nr % 2,
	};
}

/*
 * Not a coherent folio of which a part goes; unmapped_part_is_not_queued has
 * that.
 */
static bool advised_elsewhere(const struct advised *advised)
{
	return advised->part && advised->advice->effect == GOES &&
	       advised->kind->large &&
	       advised->kind->type == MEMORY_DEVICE_COHERENT;
}

static const void *advised_gen_params(struct kunit *test, const void *prev,
				      char *desc)
{
	unsigned long nr = (unsigned long)prev;
	struct advised advised;

	do {
		if (++nr > NR_ADVISED)
			return NULL;
		advised = advised_nr(nr);
	} while (advised_elsewhere(&advised));
	scnprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s_%s_%s",
		  advised.advice->name, advised.part ? "part_of" : "all",
		  advised.kind->name);

	return (void *)nr;
}

static const void *large_kinds(struct kunit *test, const void *prev, char *desc)
{
	const struct ground_kind *kind = prev;

	do {
		kind = ground_every_kind(test, kind, desc);
	} while (kind && !kind->large);

	return kind;
}

static void every_advice_is_tried(struct kunit *test)
{
	/* But for two that zap a part. */
	dmirror_expect_params(test, advised_gen_params, 86,
			      "11 advices, 4 kinds, all or a part");
	dmirror_expect_params(test, large_kinds, 2, "large kinds");
}

static void expect_gone(struct kunit *test, const struct ground *ground,
			unsigned long from, unsigned long to)
{
	unsigned long left = ground->nr - (to - from);
	/* A folio keeps all its pages as long as it has one mapped. */
	unsigned long out = left && ground->kind->large ? ground->nr : left;

	ground_look(test, ground, from, to, nothing, "what went");
	if (left) {
		ground_look(test, ground, 0, from, by_pte(ground, left),
			    "beside what went");
		ground_look(test, ground, to, ground->nr, by_pte(ground, left),
			    "beside what went");
	}
	ground_count(test, ground, left, out, "after it went");
	ground_read(test, ground, from, to, 0, "what went");
	ground_read(test, ground, 0, from, 1, "beside what went");
	ground_read(test, ground, to, ground->nr, 1, "beside what went");
	ground_write(test, ground, 0, ground->nr, 2, "at the end");
	ground_count(test, ground, ground->nr,
		     ground_private(ground) ? 0 : left, "at the end");
}

static void expect_came(struct kunit *test, const struct ground *ground,
			unsigned long from, unsigned long to)
{
	unsigned long out = ground->nr - (to - from);

	if (ground->kind->large)
		out = 0;
	if (!ground_private(ground))
		out = ground->nr;
	ground_look(test, ground, from, to, touched(ground), "what came");
	ground_count(test, ground, ground->nr, out, "after it came");
	ground_read(test, ground, 0, ground->nr, 1, "after it came");
}

static void expect_stayed(struct kunit *test, const struct ground *ground,
			  struct core_sight look)
{
	ground_look(test, ground, 0, ground->nr, look, "after the advice");
	ground_count(test, ground, ground->nr, ground->nr, "after the advice");
	KUNIT_EXPECT_EQ(test, ground->toy->faults, 0U);
	ground_read(test, ground, 0, ground->nr, 1, "after the advice");
}

/*
 * Linux 7.2 cuts a large coherent folio, which core mm does not know how to,
 * for a part of it; the kernel is not to be trusted afterwards.
 */
static bool cuts_device_folio(const struct advised *advised)
{
#ifdef MADV_FREE_CUTS_DEVICE_FOLIOS
	return advised->part && advised->kind->large &&
	       advised->kind->type == MEMORY_DEVICE_COHERENT &&
	       (advised->advice->advice == MADV_FREE ||
		advised->advice->advice == MADV_COLD ||
		advised->advice->advice == MADV_PAGEOUT);
#else
	return false;
#endif
}

static void advice_is_taken(struct kunit *test)
{
	struct advised advised = advised_nr((unsigned long)test->param_value);
	unsigned long from = advised.part ? GROUND_FROM : 0, to;
	const struct advice *advice = advised.advice;
	struct ground ground;

	if (advice->advice == MADV_NOHUGEPAGE)
		DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
	if (advice->advice == MADV_MERGEABLE ||
	    advice->advice == MADV_UNMERGEABLE)
		DMIRROR_REQUIRES_CONFIG(test, KSM);
	ground = ground_get(test, advised.kind);
	if (cuts_device_folio(&advised))
		DMIRROR_KNOWN_DEFECT(test,
				     "madvise() of a part of a coherent folio");
	to = advised.part ? GROUND_TO : ground.nr;
	DMIRROR_ASSERT_OK(test, user_madvise(ground_at(&ground, from),
					     (to - from) << PAGE_SHIFT,
					     advice->advice), advice->name);
	switch (advice->effect) {
	case STAYS:
		expect_stayed(test, &ground, ground_out(&ground));
		break;
	case MARKS:
		expect_stayed(test, &ground, advised.part ?
			      by_pte(&ground, ground.nr) : ground_out(&ground));
		break;
	case GOES:
		expect_gone(test, &ground, from, to);
		break;
	case COMES:
		expect_came(test, &ground, from, to);
		break;
	}
}

static void unmapped_part_goes_back(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	unsigned long left = ground.nr - NR_PART;

	dmirror_user_unmap(test, ground_at(&ground, GROUND_FROM), NR_PART);
	ground_look(test, &ground, GROUND_FROM, GROUND_TO, nothing,
		    "what was unmapped");
	ground_look(test, &ground, 0, GROUND_FROM, by_pte(&ground, left),
		    "in front of it");
	ground_look(test, &ground, GROUND_TO, ground.nr, by_pte(&ground, left),
		    "behind it");
	ground_count(test, &ground, left,
		     ground.kind->large ? ground.nr : left, "after munmap");
	ground_read(test, &ground, GROUND_TO, ground.nr, 1, "behind it");
	ground_read(test, &ground, 0, GROUND_FROM, 1, "in front of it");
	ground_count(test, &ground, left, ground_private(&ground) ? 0 : left,
		     "after loads");
}

/* In pieces, from the middle: the device gets the folio with the last one. */
static void last_piece_takes_the_folio_along(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	unsigned int folios = ground.kind->large ? 1 : ground.nr;
	unsigned int order = ground_out(&ground).order;
	unsigned long nr = ground.nr;

	dmirror_user_unmap(test, ground_at(&ground, GROUND_FROM), NR_PART);
	dmirror_user_unmap(test, ground_at(&ground, GROUND_TO),
			   nr - GROUND_TO);
	ground_count(test, &ground, GROUND_FROM,
		     ground.kind->large ? nr : GROUND_FROM, "but for a piece");
	dmirror_user_unmap(test, ground.addr, GROUND_FROM);
	ground_count(test, &ground, 0, 0, "after the last piece");
	KUNIT_EXPECT_EQ(test, ground.toy->frees, folios);
	KUNIT_EXPECT_EQ(test, ground.toy->freed_order, order);
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 0U);
}

/* A guard region takes the place of what was there. */
static void guard_sends_pages_back(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	size_t len = ground.nr << PAGE_SHIFT;
	const struct core_sight guard = { .place = CORE_OTHER };
	u8 byte;

	DMIRROR_ASSERT_OK(test, user_madvise(ground.addr, len,
					     MADV_GUARD_INSTALL),
			  "MADV_GUARD_INSTALL");
	ground_look(test, &ground, 0, ground.nr, guard, "under guard");
	ground_count(test, &ground, 0, 0, "under guard");
	KUNIT_EXPECT_EQ(test, copy_from_user(&byte,
					     (void __user *)ground.addr, 1),
			1UL);
	DMIRROR_ASSERT_OK(test, user_madvise(ground.addr, len,
					     MADV_GUARD_REMOVE),
			  "MADV_GUARD_REMOVE");
	ground_read(test, &ground, 0, ground.nr, 0, "after the guard");
}

/* A PMD that maps a device folio is made one of PTEs; the folio is not cut. */
static void split_pmd(struct kunit *test, const struct ground *ground)
{
	unsigned long addr = ground_at(ground, GROUND_FROM);

	dmirror_user_protect(test, addr, NR_PART, PROT_READ);
	dmirror_user_protect(test, addr, NR_PART, PROT_READ | PROT_WRITE);
}

/*
 * "skip zone device folios": a large one that PTEs map is not split when a part
 * of it is advised.
 */
static void advice_does_not_split_a_folio(struct kunit *test)
{
	static const int passing[] = { MADV_FREE, MADV_COLD, MADV_PAGEOUT };
	struct ground ground = ground_of_case(test);
	struct core_sight sight = by_pte(&ground, ground.nr);
	unsigned int i;

	split_pmd(test, &ground);
	/* What was read-only once is not writable again without a fault. */
	sight.write = !ground_private(&ground);
	for (i = 0; i < ARRAY_SIZE(passing); i++) {
		DMIRROR_ASSERT_OK(test,
				  user_madvise(ground_at(&ground, GROUND_FROM),
					       NR_PART << PAGE_SHIFT,
					       passing[i]), "madvise");
		ground_look(test, &ground, GROUND_FROM, GROUND_TO, sight,
			    "after the advice");
	}
	KUNIT_EXPECT_EQ(test, ground.toy->splits, 0U);
	ground_count(test, &ground, ground.nr, ground.nr, "after the advice");
	ground_read(test, &ground, 0, ground.nr, 1, "after the advice");
}

static int collapse(struct kunit *test, const struct ground *ground)
{
	size_t len = ground->nr << PAGE_SHIFT;

	DMIRROR_ASSERT_OK(test, user_madvise(ground->addr, len, MADV_HUGEPAGE),
			  "MADV_HUGEPAGE");
	return user_madvise(ground->addr, len, MADV_COLLAPSE);
}

/*
 * __collapse_huge_page_swapin() faults for what is not present: private pages
 * come home one by one, and become a huge page of system memory.
 */
static void collapse_brings_private_pages_home(struct kunit *test)
{
	struct ground ground = ground_get(test,
					  &ground_kinds[GROUND_PRIVATE_FOLIO]);

	split_pmd(test, &ground);
	DMIRROR_EXPECT_ERRNO(test, collapse(test, &ground), 0,
			     "MADV_COLLAPSE");
	ground_look(test, &ground, 0, ground.nr, ground_home(&ground),
		    "after MADV_COLLAPSE");
	ground_count(test, &ground, ground.nr, 0, "after MADV_COLLAPSE");
	ground_read(test, &ground, 0, ground.nr, 1, "after MADV_COLLAPSE");
}

/* Pages of ZONE_DEVICE that are present are none of khugepaged's business. */
static void collapse_refuses_coherent_pages(struct kunit *test)
{
	struct ground ground = ground_get(test,
					  &ground_kinds[GROUND_COHERENT_FOLIO]);

	split_pmd(test, &ground);
	DMIRROR_EXPECT_ERRNO(test, collapse(test, &ground), -EINVAL,
			     "MADV_COLLAPSE of coherent pages");
	ground_look(test, &ground, 0, ground.nr, by_pte(&ground, ground.nr),
		    "after MADV_COLLAPSE");
	ground_count(test, &ground, ground.nr, ground.nr,
		     "after MADV_COLLAPSE");
	ground_read(test, &ground, 0, ground.nr, 1, "after MADV_COLLAPSE");
}

/*
 * What is large already needs nothing, and is collapsed then; what is not
 * present is nothing to be collapsed.
 */
static void collapse_leaves_a_device_pmd(struct kunit *test)
{
	struct ground ground = ground_of_case(test);

	DMIRROR_EXPECT_ERRNO(test, collapse(test, &ground),
			     ground_private(&ground) ? -EINVAL : 0,
			     "MADV_COLLAPSE of a folio");
	expect_stayed(test, &ground, ground_out(&ground));
}

/*
 * An eviction has replaced the entries when they are zapped. A migration entry
 * holds neither a reference of its folio nor is it counted as a mapping of it.
 *
 * A PMD of a private folio is zapped by what the folio is, and not by what the
 * entry is, up to 7.3: so let there be one mapping more, which nobody but this
 * case may take away.
 */
static void zap_during_an_eviction(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct folio *folio = pfn_folio(ground.toy->first_pfn);
	int ret, done, refs, maps;
	struct toy_move move;

	ground_evict_init(test, &ground, &move);
	ground_evict_begin(&ground, &move);
	core_pledge(folio, ground.addr);
	refs = folio_ref_count(folio);
	maps = folio_mapcount(folio);
	ret = user_madvise(ground.addr, ground.nr << PAGE_SHIFT,
			   MADV_DONTNEED);
	refs -= folio_ref_count(folio);
	maps -= folio_mapcount(folio);
	if (!refs && !maps)
		core_redeem(folio, ground.addr);
	done = ground_evict_finish(&move);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "madvise");
	DMIRROR_EXPECT_ERRNO(test, done, 0, "end of the eviction");
	ground_look(test, &ground, 0, ground.nr, nothing, "at the end");
	ground_count(test, &ground, 0, 0, "at the end");
	ground_read(test, &ground, 0, ground.nr, 0, "at the end");
	if (ground_private(&ground) && ground.kind->large && refs == 1 &&
	    maps == 1)
		DMIRROR_KNOWN_DEFECT(test,
				     "zap_huge_pmd() of a migration entry");
	KUNIT_EXPECT_EQ_MSG(test, refs, 0, "references that the zap took");
	KUNIT_EXPECT_EQ_MSG(test, maps, 0, "mappings that the zap took");
}

/*
 * "Device private folios do not support deferred splitting", nor do coherent
 * ones: nobody takes them off the queue when the device gets them back.
 */
static void unmapped_part_is_not_queued(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	bool queued;

	dmirror_user_unmap(test, ground_at(&ground, GROUND_FROM), NR_PART);
	queued = core_queued(pfn_folio(ground.toy->first_pfn));
	/* Migration takes it off, which its end would not do. */
	KUNIT_EXPECT_EQ(test, toy_evict(ground.toy), 0UL);
	ground_read(test, &ground, GROUND_TO, ground.nr, 1, "at the end");
	if (queued && !ground_private(&ground))
		DMIRROR_KNOWN_DEFECT(test,
				     "deferred split of a coherent folio");
	KUNIT_EXPECT_FALSE(test, queued);
}

/* All goes back with the mm, as it is. */
static void exit_gives_all_back(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	unsigned int folios = ground.kind->large ? 1 : ground.nr;

	dmirror_user_exit(test);
	KUNIT_EXPECT_EQ(test, ground.toy->out, 0UL);
	KUNIT_EXPECT_EQ(test, ground.toy->frees, folios);
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 0U);
}

static void exit_gives_back_what_is_split(struct kunit *test)
{
	struct ground ground = ground_of_case(test);

	split_pmd(test, &ground);
	dmirror_user_exit(test);
	KUNIT_EXPECT_EQ(test, ground.toy->out, 0UL);
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 0U);
}

/*
 * mlock() wants to be able to access the memory: private pages come home.
 * Locked memory migrates like other memory, and nothing stays counted as
 * locked, nor with a reference more.
 */
static void locked_memory_goes_and_comes(struct kunit *test)
{
	unsigned long locked = global_zone_page_state(NR_MLOCK);
	struct ground ground = ground_of_case(test);
	size_t len = ground.nr << PAGE_SHIFT;
	long ret = core_mlock(ground.addr, len, true);

	if (ret == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call mlock()");
	DMIRROR_ASSERT_OK(test, ret, "mlock");
	ground_look(test, &ground, 0, ground.nr, touched(&ground),
		    "after mlock");
	if (ground_private(&ground)) {
		toy_to_device(test, ground.toy, ground.addr, ground.nr);
		ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
			    "out although locked");
	} else {
		/* No reclaim would take them: they need not be locked. */
		KUNIT_EXPECT_EQ(test, global_zone_page_state(NR_MLOCK), locked);
	}
	ground_read(test, &ground, 0, ground.nr, 1, "after mlock");
	ground_count(test, &ground, ground.nr,
		     ground_private(&ground) ? 0 : ground.nr, "after loads");
	DMIRROR_EXPECT_ERRNO(test, core_mlock(ground.addr, len, false), 0,
			     "munlock");
	dmirror_user_unmap(test, ground.addr, ground.nr);
	user_lru_drain();
	ground_count(test, &ground, 0, 0, "after munmap");
	KUNIT_EXPECT_EQ(test, global_zone_page_state(NR_MLOCK), locked);
}

/* It is unmapped, locked, while it is on the device. */
static void locked_memory_goes_back(struct kunit *test)
{
	unsigned long locked = global_zone_page_state(NR_MLOCK);
	struct ground ground = ground_of_case(test);
	long ret = core_mlock(ground.addr, ground.nr << PAGE_SHIFT, true);

	if (ret == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call mlock()");
	DMIRROR_ASSERT_OK(test, ret, "mlock");
	if (ground_private(&ground))
		toy_to_device(test, ground.toy, ground.addr, ground.nr);
	dmirror_user_unmap(test, ground.addr, ground.nr);
	/* Until then a queue of mlock.c may have a reference. */
	user_lru_drain();
	ground_count(test, &ground, 0, 0, "after munmap");
	KUNIT_EXPECT_EQ(test, global_zone_page_state(NR_MLOCK), locked);
}

/* Whether an access would wait for a disk: no, wherever the page is. */
static void mincore_finds_all_in_core(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	unsigned long i, vec = dmirror_user_map(test, 1,
						PROT_READ | PROT_WRITE);
	u8 *got = kunit_kzalloc(test, ground.nr, GFP_KERNEL);
	long ret;

	KUNIT_ASSERT_NOT_NULL(test, got);
	ret = core_mincore(ground.addr, ground.nr << PAGE_SHIFT, vec);
	if (ret == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call mincore()");
	DMIRROR_ASSERT_OK(test, ret, "mincore");
	KUNIT_ASSERT_EQ(test, copy_from_user(got, (void __user *)vec,
					     ground.nr), 0UL);
	for (i = 0; i < ground.nr; i++)
		if (got[i] != 1)
			break;
	KUNIT_EXPECT_EQ_MSG(test, i, ground.nr, "first page not in core");
	KUNIT_EXPECT_EQ(test, ground.toy->faults, 0U);
}

static struct kunit_case madvise_cases[] = {
	KUNIT_CASE(every_advice_is_tried),
	DMIRROR_CASE_PARAM_SLOW(advice_is_taken, advised_gen_params),
	KUNIT_CASE_PARAM(unmapped_part_goes_back, ground_common_kinds),
	KUNIT_CASE_PARAM(last_piece_takes_the_folio_along, ground_common_kinds),
	KUNIT_CASE_PARAM(guard_sends_pages_back, ground_every_kind),
	KUNIT_CASE_PARAM(advice_does_not_split_a_folio, large_kinds),
	KUNIT_CASE(collapse_brings_private_pages_home),
	KUNIT_CASE(collapse_refuses_coherent_pages),
	KUNIT_CASE_PARAM(collapse_leaves_a_device_pmd, large_kinds),
	KUNIT_CASE_PARAM(zap_during_an_eviction, ground_every_kind),
	KUNIT_CASE_PARAM(unmapped_part_is_not_queued, large_kinds),
	KUNIT_CASE_PARAM(exit_gives_all_back, ground_every_kind),
	KUNIT_CASE_PARAM(exit_gives_back_what_is_split, ground_every_kind),
	KUNIT_CASE_PARAM(locked_memory_goes_and_comes, ground_every_kind),
	KUNIT_CASE_PARAM(locked_memory_goes_back, ground_every_kind),
	KUNIT_CASE_PARAM(mincore_finds_all_in_core, ground_every_kind),
	{}
};

DMIRROR_SUITE_AS(device_memory_madvise, dmirror_case_init_mm, madvise_cases);
