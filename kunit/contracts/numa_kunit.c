// SPDX-License-Identifier: GPL-2.0
/*
 * Memory policies; and pages whose next access NUMA balancing waits for. The
 * entries of those allow none, and are present. To mm/hmm.c that is a page to be
 * faulted (pte_protnone()), to mm/migrate_device.c a page like any other, which
 * must not lose the access that its mapping allows.
 */
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/sched/sysctl.h>
#include <linux/uaccess.h>

#include "../user.h"
#include "ground.h"
#include "hmm_probe.h"
#include "migrate_large.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM

#define PAGE_R (MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE)

KUNIT_ARRAY_PARAM_DESC(kind, device_kinds, name);

static void requires_hints(struct kunit *test)
{
	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, NUMA_BALANCING);
}

#if defined(CONFIG_NUMA_BALANCING) && !defined(MODULE)

/* What the scheduler's scan does, which leaves threads of the kernel alone. */
static void hint(struct kunit *test, unsigned long addr, unsigned long npages)
{
	struct mm_struct *mm = current->mm;
	int mode = sysctl_numa_balancing_mode;
	struct vm_area_struct *vma;
	unsigned long hinted = 0;

	sysctl_numa_balancing_mode = NUMA_BALANCING_NORMAL;
	mmap_write_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		hinted = change_prot_numa(vma, addr, addr + npages * PAGE_SIZE);
	mmap_write_unlock(mm);
	sysctl_numa_balancing_mode = mode;
	KUNIT_ASSERT_EQ_MSG(test, hinted, npages,
			    "pages of [0x%lx,0x%lx) that were hinted", addr,
			    addr + npages * PAGE_SIZE);
}

static bool is_hinted(unsigned long addr)
{
	return pte_protnone(__pte(hmm_probe_raw(addr)));
}

#else

/* The cases skip before they get here. */
static void hint(struct kunit *test, unsigned long addr, unsigned long npages)
{
}

static bool is_hinted(unsigned long addr)
{
	return false;
}

#endif /* CONFIG_NUMA_BALANCING */

/* Neither 0 nor a page: what is in it is of no use to anybody. */
static bool has_only_a_pfn(unsigned long entry)
{
	return entry && !(entry & (HMM_PFN_VALID | HMM_PFN_ERROR));
}

static void ask(struct kunit *test, struct hmm_probe *probe,
		unsigned long addr, unsigned long npages, unsigned long flags,
		char letter, const char *step)
{
	char *letters = kunit_kzalloc(test, npages + 1, GFP_KERNEL);
	int ret = hmm_probe_run(probe, addr, npages, flags);

	KUNIT_ASSERT_NOT_NULL(test, letters);
	memset(letters, letter, npages);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, step);
	if (!ret)
		hmm_probe_expect(test, probe, addr, letters, step);
}

/*
 * hmm.h: "0 - The page is faultable". Up to 7.3 a snapshot has the page frame
 * number of a page that is not accessible, without any flag.
 */
static void snapshot_of_a_hinted_page_is_0(struct kunit *test)
{
	struct hmm_probe *probe;
	unsigned long addr;
	int ret;

	requires_hints(test);
	probe = hmm_probe_get(test, 1);
	addr = dmirror_user_map(test, 1, RW);
	dmirror_user_fill(test, addr, 1, 1);
	hint(test, addr, 1);
	ret = hmm_probe_run(probe, addr, 1, 0);
	if (!ret && has_only_a_pfn(probe->pfns[0]))
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() of an inaccessible page");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot");
	hmm_probe_expect(test, probe, addr, "-", "hinted page");
}

/* The same of a huge page. */
static void snapshot_of_a_hinted_huge_page_is_0(struct kunit *test)
{
	char *letters = kunit_kzalloc(test, NR_LARGE + 1, GFP_KERNEL);
	struct hmm_probe *probe;
	unsigned long i, bare = 0;
	struct large large;
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, letters);
	requires_hints(test);
	large = large_get(test, SEEN_RAM);
	probe = hmm_probe_get(test, NR_LARGE);
	hint(test, large.addr, NR_LARGE);
	ret = hmm_probe_run(probe, large.addr, NR_LARGE, 0);
	for (i = 0; !ret && i < NR_LARGE; i++)
		bare += has_only_a_pfn(probe->pfns[i]);
	if (bare == NR_LARGE) {
		large_end(test, &large);
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() of an inaccessible huge page");
	}
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot");
	memset(letters, '-', NR_LARGE);
	hmm_probe_expect(test, probe, large.addr, letters, "hinted huge page");
	large_end(test, &large);
}

/* A snapshot leaves the hint alone, a request takes it away. */
static void hinted_page_is_asked_for(struct kunit *test)
{
	static const unsigned long requests[] = { HMM_READ, HMM_WRITE };
	struct hmm_probe *probe;
	unsigned long addr;
	unsigned int i, way;
	int ret;

	requires_hints(test);
	probe = hmm_probe_get(test, 2);
	addr = dmirror_user_map(test, 2, RW);
	dmirror_user_fill(test, addr, 2, 1);
	for (way = 0; way < hmm_probe_ways(); way++) {
		probe->unlocked = way;
		for (i = 0; i < ARRAY_SIZE(requests); i++) {
			hint(test, addr, 2);
			ret = hmm_probe_run(probe, addr, 2, 0);
			DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot");
			KUNIT_EXPECT_FALSE_MSG(test,
					       probe->pfns[0] & HMM_PFN_VALID,
					       "valid while it is hinted");
			KUNIT_EXPECT_TRUE_MSG(test, is_hinted(addr),
					      "hinted after a snapshot");
			ask(test, probe, addr, 1, requests[i], 'w', "request");
			KUNIT_EXPECT_FALSE_MSG(test, is_hinted(addr),
					       "hinted after a request");
			KUNIT_EXPECT_TRUE_MSG(test,
					      is_hinted(addr + PAGE_SIZE),
					      "neighbour is still hinted");
			dmirror_user_touch(test, addr, 2);
		}
	}
	dmirror_user_check(test, addr, 2, 1, "after all of them");
}

/* A huge page has one hint, for all its pages. */
static void hinted_huge_page_is_asked_for(struct kunit *test)
{
	struct hmm_probe *probe;
	struct large large;

	requires_hints(test);
	large = large_get(test, SEEN_RAM);
	probe = hmm_probe_get(test, NR_LARGE);
	hint(test, large.addr, NR_LARGE);
	ask(test, probe, large.addr + 7 * PAGE_SIZE, 3, HMM_READ, 'W',
	    "request of a part");
	ask(test, probe, large.addr, NR_LARGE, 0, 'W', "snapshot afterwards");
	stamp_check(test, large.addr, NR_LARGE, true, "afterwards");
	large_end(test, &large);
}

/* The hint is lost with the page; what the mapping allows is not. */
static void hinted_page_goes_and_comes_back(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct attempt attempt;
	unsigned long addr;
	struct seen seen;
	struct toy *toy;
	int ret;

	requires_hints(test);
	migrate_suite_requires(test);
	toy = toy_get(test, kind->type, TOY_PAGES);
	addr = dmirror_user_map(test, 1, RW);
	stamp_write(test, addr, 1);
	seen = migrate_see_settled(addr);
	hint(test, addr, 1);
	attempt_init(test, &attempt, toy, addr, 1, SYSTEM);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	/* What allows nothing does not allow to write. */
	attempt_expect_src(test, &attempt, attempt.setup, 0,
			   migrate_pfn(seen.pfn) | PAGE_R, "after setup");
	seen = migrate_see(current->mm, addr);
	KUNIT_EXPECT_EQ_MSG(test, seen.kind, kind->seen, "where it is");
	KUNIT_EXPECT_TRUE_MSG(test, seen.exclusive, "is nobody else's");
	KUNIT_EXPECT_FALSE_MSG(test, is_hinted(addr), "hinted on the device");
	stamp_check(test, addr, 1, true, "afterwards");
	dmirror_user_fill(test, addr, 1, 3);
	dmirror_user_check(test, addr, 1, 3, "after a write");
}

/* What does not go can be accessed: nobody waits for ever. */
static void hinted_page_that_stays_is_accessible(struct kunit *test)
{
	struct attempt attempt;
	unsigned long addr;
	struct seen seen;
	struct toy *toy;

	requires_hints(test);
	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 1, RW);
	stamp_write(test, addr, 1);
	seen = migrate_see_settled(addr);
	hint(test, addr, 1);
	attempt_init(test, &attempt, toy, addr, 1, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_abort(&attempt), "collect");
	seen.write = false;
	seen.folio_dirty = true;
	migrate_expect_still(test, addr, &seen, "after nothing moved");
	KUNIT_EXPECT_FALSE_MSG(test, is_hinted(addr), "hinted afterwards");
	stamp_check(test, addr, 1, true, "after nothing moved");
	stamp_write(test, addr, 1);
}

/* The same of a large folio, which goes whole. */
static void hinted_large_folio_goes_and_comes_back(struct kunit *test)
{
	struct attempt attempt;
	struct large large;
	struct seen seen;
	int ret;

	requires_hints(test);
	large = large_get(test, SEEN_RAM);
	seen = migrate_see(current->mm, large.addr);
	hint(test, large.addr, NR_LARGE);
	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | MIGRATE_VMA_SELECT_COMPOUND);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	attempt_expect_src(test, &attempt, attempt.setup, 0,
			   migrate_pfn(seen.pfn) | LARGE_PAGE, "after setup");
	seen = migrate_see(current->mm, large.addr);
	KUNIT_EXPECT_EQ_MSG(test, seen.kind, SEEN_PRIVATE, "where it is");
	KUNIT_EXPECT_TRUE_MSG(test, seen.huge, "whole");
	stamp_check(test, large.addr, NR_LARGE, true, "afterwards");
	stamp_write(test, large.addr, NR_LARGE);
	large_end(test, &large);
}

static const struct policy {
	const char *name;
	unsigned long flags;
} policies[] = {
	{ "bind", 0 },
	{ "strict", MPOL_MF_STRICT },
	{ "move", MPOL_MF_MOVE },
	{ "move_all", MPOL_MF_MOVE_ALL | MPOL_MF_STRICT },
};

/* Every way to look at the pages, for every kind of them. */
#define NR_POLICIES (ARRAY_SIZE(policies) * GROUND_KINDS)

/* A parameter is its number, from 1 on: there is no table of them. */
static const void *policy_gen_params(struct kunit *test, const void *prev,
				     char *desc)
{
	unsigned long nr = (unsigned long)prev;

	if (nr >= NR_POLICIES)
		return NULL;
	scnprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s_%s",
		  policies[nr / GROUND_KINDS].name,
		  ground_kinds[nr % GROUND_KINDS].name);

	return (void *)(nr + 1);
}

static void every_policy_is_tried(struct kunit *test)
{
	dmirror_expect_params(test, policy_gen_params, 16, "flags, kinds");
}

/*
 * A policy is about where pages are allocated; none is moved from a device for
 * it, or found in the wrong place. "mm/mempolicy: skip non-present PMDs when
 * queueing folios": B25.
 */
static void policy_leaves_device_pages_alone(struct kunit *test)
{
	unsigned long nr = (unsigned long)test->param_value - 1;
	unsigned long mask = 1, nodes;
	struct ground ground;
	long ret;

	DMIRROR_REQUIRES_CONFIG(test, NUMA);
	ground = ground_get(test, &ground_kinds[nr % GROUND_KINDS]);
	nodes = dmirror_user_map(test, 1, RW);
	KUNIT_ASSERT_EQ_MSG(test, copy_to_user((void __user *)nodes, &mask,
					       sizeof(mask)), 0UL,
			    "0x%lx: bytes of the mask that were not written",
			    nodes);
	ret = core_mbind(ground.addr, ground.nr << PAGE_SHIFT, MPOL_BIND, nodes,
			 policies[nr / GROUND_KINDS].flags);
	if (ret == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call mbind()");
	dmirror_user_unmap(test, nodes, 1);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "mbind");
	ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
		    "after mbind");
	ground_count(test, &ground, ground.nr, ground.nr, "after mbind");
	KUNIT_EXPECT_EQ_MSG(test, ground.toy->faults, 0U,
			    "0x%lx: got %u faults wanted 0", ground.addr,
			    ground.toy->faults);
	ground_read(test, &ground, 0, ground.nr, 1, "by the CPU");
}

static struct kunit_case numa_cases[] = {
	KUNIT_CASE(snapshot_of_a_hinted_page_is_0),
	KUNIT_CASE(snapshot_of_a_hinted_huge_page_is_0),
	KUNIT_CASE(hinted_page_is_asked_for),
	KUNIT_CASE(hinted_huge_page_is_asked_for),
	KUNIT_CASE_PARAM(hinted_page_goes_and_comes_back, kind_gen_params),
	KUNIT_CASE(hinted_page_that_stays_is_accessible),
	KUNIT_CASE(hinted_large_folio_goes_and_comes_back),
	KUNIT_CASE(every_policy_is_tried),
	KUNIT_CASE_PARAM(policy_leaves_device_pages_alone, policy_gen_params),
	{}
};

DMIRROR_SUITE_AS(device_memory_numa, dmirror_case_init_mm, numa_cases);
