// SPDX-License-Identifier: GPL-2.0
/*
 * What happens to a private page while one thread's fault brings it home and
 * another thread of the same process wants it as well, or wants to be rid of
 * it: do_swap_page() of mm/memory.c and do_huge_pmd_device_private() of
 * mm/huge_memory.c. The page is locked and referenced while migrate_to_ram()
 * runs, whoever else comes waits, and nothing gets lost or is freed twice.
 */
#include <linux/mm.h>
#include <linux/mman.h>

#include "../other.h"
#include "../user.h"
#include "ground.h"

#define NR_PART (GROUND_TO - GROUND_FROM)

static const struct core_sight nothing;

static struct ground ground_of_case(struct kunit *test)
{
	return ground_get(test, test->param_value);
}

/* other->data is where a fault notes that it holds more, or less, afterwards. */
static long fault(struct other *other)
{
	unsigned int before = core_held();
	long ret = core_fault_once(other->addr, false);

	if (other->data && core_held() != before)
		WRITE_ONCE(*(bool *)other->data, true);

	return ret;
}

static long unmap(struct other *other)
{
	return vm_munmap(other->addr, other->nr << PAGE_SHIFT);
}

/**
 * struct stop - the fault stops in migrate_to_ram()
 * @there: it is there
 * @go: it goes on
 * @normal: and does this then
 * @locked: the folio was locked
 * @refs: references that the folio had
 * @maps: mappings of the folio
 */
static struct stop {
	struct completion there;
	struct completion go;
	vm_fault_t (*normal)(struct toy *toy, struct vm_fault *vmf);
	bool locked;
	int refs;
	int maps;
} stop;

static vm_fault_t stop_in_fault(struct toy *toy, struct vm_fault *vmf)
{
	struct folio *folio = page_folio(vmf->page);

	stop.locked = folio_test_locked(folio);
	stop.refs = folio_ref_count(folio);
	stop.maps = folio_mapcount(folio);
	toy->on_fault = stop.normal;
	complete(&stop.there);
	wait_for_completion(&stop.go);

	return stop.normal(toy, vmf);
}

/* A thread is in the middle of a fault on page GROUND_FROM. */
static void start_a_fault(struct kunit *test, const struct ground *ground,
			  struct other *other)
{
	*other = (struct other){
		.mm = ground->mm,
		.fn = fault,
		.addr = ground_at(ground, GROUND_FROM),
	};
	init_completion(&stop.there);
	init_completion(&stop.go);
	stop.normal = ground->toy->on_fault;
	ground->toy->on_fault = stop_in_fault;
	other_start(test, other);
	wait_for_completion(&stop.there);
}

static void end_the_fault(struct other *other)
{
	complete(&stop.go);
	other_join(other);
}

/*
 * 16ce101db85d ("mm/memory.c: fix race when faulting a device private page"):
 * the page is locked, and has one reference that is the fault's. B16.
 */
static void page_is_held_during_a_fault(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct other first;

	start_a_fault(test, &ground, &first);
	end_the_fault(&first);
	KUNIT_EXPECT_EQ(test, first.ret, 0L);
	KUNIT_EXPECT_TRUE(test, stop.locked);
	KUNIT_EXPECT_EQ(test, stop.refs, 2);
	KUNIT_EXPECT_EQ(test, stop.maps, 1);
	ground_look(test, &ground, GROUND_FROM, GROUND_FROM + 1,
		    ground_home(&ground), "after the fault");
	ground_read(test, &ground, 0, ground.nr, 1, "after the fault");
	ground_count(test, &ground, ground.nr, 0, "after the fault");
}

/*
 * b570f37a2ce4 ("mm: Fix a hmm_range_fault() livelock / starvation problem"):
 * the second fault on a page sleeps until the first one has unlocked it, it
 * does not return to try again. Up to 7.3 the same fault on a PMD does return.
 * B18.
 */
static void second_fault_waits_for_the_first(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct other first, second;
	bool waits;

	start_a_fault(test, &ground, &first);
	second = first;
	second.task = NULL;
	other_start(test, &second);
	waits = core_waits_or_done(second.task, &second.done);
	end_the_fault(&first);
	other_join(&second);
	KUNIT_EXPECT_EQ(test, first.ret, 0L);
	KUNIT_EXPECT_EQ(test, second.ret & VM_FAULT_ERROR, 0L);
	KUNIT_EXPECT_EQ_MSG(test, ground.toy->faults, 1U,
			    "faults that the device was asked about");
	ground_look(test, &ground, GROUND_FROM, GROUND_FROM + 1,
		    ground_home(&ground), "after both faults");
	ground_read(test, &ground, 0, ground.nr, 1, "after both faults");
	ground_count(test, &ground, ground.nr, 0, "after both faults");
	if (!waits && ground.kind->large)
		DMIRROR_KNOWN_DEFECT(test,
				     "do_huge_pmd_device_private() does not wait");
	KUNIT_EXPECT_TRUE_MSG(test, waits,
			      "the second fault waits for the first");
}

/*
 * "mm: fix failure to unmap pte on highmem systems" (in v6.5, for 16ce101db85d):
 * a fault that finds the page locked by somebody else gives back the page table
 * before it waits, which is a reader of RCU. B19.
 */
static void fault_that_waits_holds_nothing(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct page *page = pfn_to_page(ground.toy->first_pfn + GROUND_FROM);
	struct folio *folio = page_folio(page);
	bool unbalanced = false, waits;
	struct other second = {
		.mm = ground.mm,
		.fn = fault,
		.addr = ground_at(&ground, GROUND_FROM),
		.data = &unbalanced,
	};

	other_create(test, &second);
	folio_lock(folio);
	other_go(&second);
	waits = core_waits_or_done(second.task, &second.done);
	folio_unlock(folio);
	other_join(&second);
	KUNIT_EXPECT_FALSE_MSG(test, unbalanced,
			       "page %lu at 0x%lx: the fault holds something afterwards",
			       GROUND_FROM, second.addr);
	KUNIT_EXPECT_EQ(test, second.ret & VM_FAULT_ERROR, 0L);
	ground_read(test, &ground, 0, ground.nr, 1, "after the fault");
	ground_count(test, &ground, ground.nr, 0, "after the fault");
	/* That of a PMD does not wait up to 7.3, of which there is a case above. */
	if (!ground.kind->large)
		KUNIT_EXPECT_TRUE_MSG(test, waits, "the fault waits");
}

/*
 * MADV_DONTNEED needs no more of mmap_lock than the fault does. The page is
 * zapped under it, and goes back to the device when the fault lets go.
 */
static void zap_overtakes_a_fault(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct ground_act look = { GROUND_LOOK, .to = ground.nr };
	unsigned long held = ground.kind->large ? ground.nr : 1, out;
	struct other first;
	int ret;

	start_a_fault(test, &ground, &first);
	ret = user_madvise(ground.addr, ground.nr << PAGE_SHIFT,
			   MADV_DONTNEED);
	core_look(&look.view, ground.mm, ground.addr, ground.nr);
	out = ground.toy->out;
	end_the_fault(&first);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "madvise");
	KUNIT_EXPECT_EQ_MSG(test, out, held, "pages that the fault held");
	KUNIT_EXPECT_EQ(test, first.ret & VM_FAULT_ERROR, 0L);
	ground_judge(test, &ground, &look, "during the fault");
	ground_look(test, &ground, 0, ground.nr, nothing, "after the fault");
	ground_count(test, &ground, 0, 0, "after the fault");
	ground_read(test, &ground, 0, ground.nr, 0, "after the fault");
}

/* Another part of the same folio goes: the PMD is split under the fault. */
static void zap_of_a_part_overtakes_a_fault(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	unsigned long left = ground.nr - GROUND_TO;
	struct other first;
	int ret;

	start_a_fault(test, &ground, &first);
	ret = user_madvise(ground_at(&ground, GROUND_TO), left << PAGE_SHIFT,
			   MADV_DONTNEED);
	end_the_fault(&first);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "madvise");
	KUNIT_EXPECT_EQ(test, first.ret & VM_FAULT_ERROR, 0L);
	ground_look(test, &ground, GROUND_TO, ground.nr, nothing,
		    "after the fault");
	ground_read(test, &ground, 0, GROUND_TO, 1, "after the fault");
	ground_count(test, &ground, GROUND_TO, 0, "after the fault");
	ground_read(test, &ground, GROUND_TO, ground.nr, 0, "after the fault");
}

/* munmap() waits for the fault, and takes what that has brought home. */
static void unmap_waits_for_a_fault(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct other first, second = {
		.mm = ground.mm,
		.fn = unmap,
		.addr = ground.addr,
		.nr = ground.nr,
	};
	bool waits;

	start_a_fault(test, &ground, &first);
	other_start(test, &second);
	waits = core_waits_or_done(second.task, &second.done);
	end_the_fault(&first);
	other_join(&second);
	KUNIT_EXPECT_TRUE(test, waits);
	KUNIT_EXPECT_EQ(test, first.ret & VM_FAULT_ERROR, 0L);
	KUNIT_EXPECT_EQ(test, second.ret, 0L);
	ground_look(test, &ground, 0, ground.nr, nothing, "at the end");
	ground_count(test, &ground, 0, 0, "at the end");
}

/* An eviction finds the page locked, leaves it alone, and finds it later. */
static void eviction_passes_a_fault_by(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	unsigned long held = ground.kind->large ? ground.nr : 1, left;
	struct other first;

	start_a_fault(test, &ground, &first);
	left = toy_evict(ground.toy);
	end_the_fault(&first);
	KUNIT_EXPECT_EQ_MSG(test, left, held, "pages that the fault held");
	KUNIT_EXPECT_EQ(test, first.ret & VM_FAULT_ERROR, 0L);
	ground_count(test, &ground, ground.nr, 0, "after the fault");
	ground_read(test, &ground, 0, ground.nr, 1, "after the fault");
}

static struct kunit_case fault_cases[] = {
	KUNIT_CASE_PARAM(page_is_held_during_a_fault, ground_private_kinds),
	KUNIT_CASE_PARAM(second_fault_waits_for_the_first,
			 ground_private_kinds),
	KUNIT_CASE_PARAM(fault_that_waits_holds_nothing, ground_private_kinds),
	KUNIT_CASE_PARAM(zap_overtakes_a_fault, ground_private_kinds),
	KUNIT_CASE_PARAM(zap_of_a_part_overtakes_a_fault, ground_private_kinds),
	KUNIT_CASE_PARAM(unmap_waits_for_a_fault, ground_private_kinds),
	KUNIT_CASE_PARAM(eviction_passes_a_fault_by, ground_private_kinds),
	{}
};

DMIRROR_SUITE_AS(device_memory_fault, dmirror_case_init_mm, fault_cases);
