// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of hugetlbfs. hmm_range_fault() has to say of them what it says of
 * other huge pages (hmm_huge_kunit.c), by another way through mm/hmm.c; nothing
 * of them goes to a device (mm/migrate_device.c, mm/rmap.c); and drivers are
 * told when they change (mm/hugetlb.c).
 */
#include <kunit/resource.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/mman.h>
#include <linux/rmap.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

/* Before 7.3 it does not bring what it needs. */
#include <linux/leafops.h>

#include "../hugetlb.h"
#include "../uffd.h"
#include "../user.h"
#include "core_mm.h"
#include "hmm_probe.h"
#include "migrate_see.h"
#include "notify.h"

#define RW (PROT_READ | PROT_WRITE)

#if defined(CONFIG_HUGETLB_PAGE) && !defined(MODULE)

/* Overwrites the entry of a huge page that is not there. */
static void tlb_set_raw(unsigned long addr, pte_t pte)
{
	unsigned long size = huge_page_size(&default_hstate);
	struct mm_struct *mm = current->mm;
	spinlock_t *ptl; /* of the page table */
	pte_t *ptep;

	mmap_write_lock(mm);
	ptep = huge_pte_offset(mm, addr, size);
	if (ptep) {
		ptl = huge_pte_lock(&default_hstate, mm, ptep);
		set_huge_pte_at(mm, addr, ptep, pte, size);
		spin_unlock(ptl);
	}
	mmap_write_unlock(mm);
}

#else

/* The cases skip in hugetlb_map(). */
static void tlb_set_raw(unsigned long addr, pte_t pte)
{
}

#endif /* CONFIG_HUGETLB_PAGE */

/**
 * struct tlb - a mapping of hugetlbfs
 * @test: the case
 * @probe: who asks, for up to one huge page
 * @addr: where it is
 * @nr: small pages of each of its two huge ones
 * @letters: of as many
 */
struct tlb {
	struct kunit *test;
	struct hmm_probe *probe;
	unsigned long addr;
	unsigned long nr;
	char *letters;
};

static struct tlb tlb_get(struct kunit *test)
{
	struct tlb tlb = { .test = test, .addr = hugetlb_map(test) };

	tlb.nr = hugetlb_nr();
	tlb.probe = hmm_probe_get(test, tlb.nr);
	tlb.letters = kunit_kzalloc(test, tlb.nr + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, tlb.letters);

	return tlb;
}

static void ask(struct tlb *tlb, unsigned long at, unsigned long npages,
		unsigned long flags, char letter, const char *step)
{
	unsigned long addr = tlb->addr + at * PAGE_SIZE;
	int ret = hmm_probe_run(tlb->probe, addr, npages, flags);

	DMIRROR_EXPECT_ERRNO(tlb->test, ret, 0, step);
	memset(tlb->letters, letter, npages);
	tlb->letters[npages] = 0;
	if (!ret)
		hmm_probe_expect(tlb->test, tlb->probe, addr, tlb->letters,
				 step);
}

/* How many of the answers are neither of hmm.h's. */
static unsigned long odd_answers(const struct tlb *tlb, unsigned long npages)
{
	unsigned long i, odd = 0;

	for (i = 0; i < npages; i++)
		odd += hmm_probe_letter(tlb->probe->pfns[i]) == '?';

	return odd;
}

/* Flags, order, and the pages of the addresses, from anywhere to anywhere. */
static void every_part_of_a_page(struct kunit *test)
{
	struct tlb tlb = tlb_get(test);
	const unsigned long firsts[] = { 0, 1, tlb.nr / 2, tlb.nr - 1 };
	const unsigned long lengths[] = { 1, 2, tlb.nr / 2, tlb.nr };
	unsigned int way, i, j, parts = 0;

	for (way = 0; way < hmm_probe_ways(); way++) {
		tlb.probe->unlocked = way;
		ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "write request");
		ask(&tlb, tlb.nr, tlb.nr, HMM_WRITE, 'W', "second page");
		for (i = 0; i < ARRAY_SIZE(firsts); i++) {
			for (j = 0; j < ARRAY_SIZE(lengths); j++) {
				ask(&tlb, firsts[i], lengths[j], 0, 'W',
				    "snapshot of a part");
				ask(&tlb, firsts[i], lengths[j], HMM_READ, 'W',
				    "read request of a part");
				KUNIT_EXPECT_EQ(test,
						hmm_pfn_to_map_order(tlb.probe->pfns[0]),
						ilog2(hugetlb_nr()));
				parts++;
			}
		}
	}
	KUNIT_EXPECT_EQ(test, parts, 16 * hmm_probe_ways());
}

/* Where there is no page table yet, a hole is a hole, and can be filled. */
static void untouched_mapping_is_faulted(struct kunit *test)
{
	struct tlb tlb = tlb_get(test);
	unsigned int way;

	for (way = 0; way < hmm_probe_ways(); way++) {
		tlb.probe->unlocked = way;
		dmirror_user_unmap(test, tlb.addr, 2 * tlb.nr);
		hugetlb_map(test);
		ask(&tlb, 3, 5, 0, '-', "snapshot of nothing");
		ask(&tlb, 3, 5, HMM_READ, 'R', "read request");
		ask(&tlb, 7, 2, HMM_WRITE, 'W', "write request");
		ask(&tlb, 0, tlb.nr, 0, 'W', "snapshot of all of it");
		dmirror_user_check(test, tlb.addr, tlb.nr, 0, "what it reads");
	}
}

/* hmm.h: "0 - The page is faultable", without flags and without an order. */
static void page_that_is_gone_is_nothing(struct kunit *test)
{
	struct tlb tlb = tlb_get(test);
	int ret;

	/* Its neighbour keeps the page table. */
	ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "first page");
	ask(&tlb, tlb.nr, tlb.nr, HMM_WRITE, 'W', "second page");
	dmirror_user_dontneed(test, tlb.addr, tlb.nr);
	ret = hmm_probe_run(tlb.probe, tlb.addr, tlb.nr, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot of a page that is gone");
	if (!ret && odd_answers(&tlb, tlb.nr) == tlb.nr)
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() of a hole of hugetlbfs");
	ask(&tlb, 0, tlb.nr, 0, '-', "page that is gone");
	ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "page that is back");
}

/* hmm.h: "The output must have HMM_PFN_VALID", whichever page asks for it. */
static void page_that_is_not_the_first_is_asked_for(struct kunit *test)
{
	struct tlb tlb = tlb_get(test);
	int ret;

	ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "first page");
	dmirror_user_dontneed(test, tlb.addr, tlb.nr);
	hmm_probe_fill(tlb.probe, 0);
	tlb.probe->range.default_flags = 0;
	tlb.probe->range.pfn_flags_mask = ULONG_MAX;
	tlb.probe->pfns[1] = HMM_READ;
	ret = hmm_probe_insist(tlb.probe, tlb.addr, 2);
	if (!ret && !(tlb.probe->pfns[1] & HMM_PFN_VALID))
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() of the second page of a huge one");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "request of the second small page");
	KUNIT_EXPECT_TRUE(test, tlb.probe->pfns[1] & HMM_PFN_VALID);
}

/* "HMM_PFN_ERROR - accessing the pfn is impossible": its memory is broken. */
static void poisoned_page_is_an_error(struct kunit *test)
{
	struct tlb tlb = tlb_get(test);
	int snapshot, fault;

	ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "first page");
	dmirror_user_dontneed(test, tlb.addr, tlb.nr);
	tlb_set_raw(tlb.addr, make_pte_marker(PTE_MARKER_POISONED));
	fault = hmm_probe_run(tlb.probe, tlb.addr, 2, HMM_READ);
	snapshot = hmm_probe_run(tlb.probe, tlb.addr, 2, 0);
	DMIRROR_EXPECT_ERRNO(test, fault, -EFAULT, "read request");
	DMIRROR_EXPECT_ERRNO(test, snapshot, 0, "snapshot");
	if (!snapshot && odd_answers(&tlb, 2) == 2)
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() of a poisoned huge page");
	KUNIT_EXPECT_EQ(test, hmm_probe_letter(tlb.probe->pfns[0]), 'E');
	KUNIT_EXPECT_EQ(test, hmm_probe_letter(tlb.probe->pfns[1]), 'E');
}

static void page_that_is_read_only(struct kunit *test)
{
	struct tlb tlb = tlb_get(test);
	int ret;

	ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "write request");
	dmirror_user_protect(test, tlb.addr, tlb.nr, PROT_READ);
	ask(&tlb, 3, 4, HMM_READ, 'R', "read request");
	ret = hmm_probe_run(tlb.probe, tlb.addr, tlb.nr, HMM_WRITE);
	DMIRROR_EXPECT_ERRNO(test, ret, -EPERM, "write request");
	hmm_probe_expect_input(test, tlb.probe, 0, 0, "after the refusal");
}

static void page_that_is_inaccessible(struct kunit *test)
{
	struct tlb tlb = tlb_get(test);
	int ret;

	ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "write request");
	dmirror_user_protect(test, tlb.addr, tlb.nr, PROT_NONE);
	ask(&tlb, 3, 4, 0, 'E', "snapshot");
	ret = hmm_probe_run(tlb.probe, tlb.addr, tlb.nr, HMM_READ);
	DMIRROR_EXPECT_ERRNO(test, ret, -EFAULT, "read request");
	hmm_probe_expect_input(test, tlb.probe, 0, 0, "after the refusal");
}

/* migrate_vma_setup(): -EINVAL, before it has touched anything. */
static void device_gets_no_page(struct kunit *test)
{
	struct tlb tlb = tlb_get(test);
	unsigned long flags, raw;
	struct attempt attempt;
	struct toy *toy;
	int ret;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "write request");
	raw = hmm_probe_raw(tlb.addr);
	for (flags = 0; flags < 2 * MIGRATE_VMA_SELECT_COMPOUND; flags++) {
		attempt_init(test, &attempt, toy, tlb.addr, tlb.nr, flags);
		ret = attempt_collect(&attempt);
		if (!ret)
			toy_finish(&attempt.move);
		DMIRROR_EXPECT_ERRNO(test, ret, -EINVAL, "collect");
		KUNIT_EXPECT_EQ_MSG(test, attempt.move.args.src[0], ULONG_MAX,
				    "src[0], flags 0x%lx", flags);
	}
	KUNIT_EXPECT_EQ_MSG(test, hmm_probe_raw(tlb.addr), raw,
			    "entry of the CPU");
}

/*
 * bc3fe6805cf0 ("mm/rmap: reject hugetlb folios in
 * folio_make_device_exclusive()"): "GUP + folio_walk" of what it cannot do.
 * B40.
 */
static void device_is_never_alone(struct kunit *test)
{
	struct tlb tlb = tlb_get(test);
	unsigned long raw;
	struct folio *folio;
	struct page *page;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "write request");
	raw = hmm_probe_raw(tlb.addr);
	mmap_read_lock(current->mm);
	page = make_device_exclusive(current->mm, tlb.addr, test, &folio);
	mmap_read_unlock(current->mm);
	KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(page), -EOPNOTSUPP,
			    "make_device_exclusive(): got %pe", page);
	KUNIT_EXPECT_EQ_MSG(test, hmm_probe_raw(tlb.addr), raw,
			    "entry of the CPU");
}

static int change_protection_to_read(unsigned long addr, size_t len)
{
	return user_mprotect(addr, len, PROT_READ);
}

static int change_to_nothing(unsigned long addr, size_t len)
{
	return user_madvise(addr, len, MADV_DONTNEED);
}

static int change_by_unmapping(unsigned long addr, size_t len)
{
	return vm_munmap(addr, len);
}

static int change_by_mapping_over(unsigned long addr, size_t len)
{
	unsigned long got = vm_mmap(NULL, addr, len, RW,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);

	return got == addr ? 0 : (int)got;
}

/* The child does nothing with it. */
static int change_by_forking(unsigned long addr, size_t len)
{
	struct user_child child = { };
	int ret = user_fork(&child);

	if (!ret)
		user_reap(&child);

	return ret;
}

/* To where nothing is, behind the second page. */
static int change_by_moving(unsigned long addr, size_t len)
{
	unsigned long to = addr + 4 * len;
	long got = core_mremap(addr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
			       to);

	return got == to ? 0 : (int)got;
}

/* The child keeps what the parent then writes to. */
static int change_by_copying(unsigned long addr, size_t len)
{
	struct user_child child;
	u8 byte = 1;
	int ret;

	ret = user_fork(&child);
	if (ret)
		return ret;
	ret = copy_to_user((void __user *)addr, &byte, 1) ? -EFAULT : 0;
	user_reap(&child);

	return ret;
}

/* What memory_failure() does to the mappings of a page that it has marked. */
static int change_by_poison(unsigned long addr, size_t len)
{
	struct folio *folio;
	struct page *page;

	if (get_user_pages_fast(addr, 1, 0, &page) != 1)
		return -EFAULT;
	folio = page_folio(page);
	folio_lock(folio);
	folio_set_hwpoison(folio);
	core_unmap_poisoned(folio);
	folio_clear_hwpoison(folio);
	folio_unlock(folio);
	folio_put(folio);

	return 0;
}

#define FIRST BIT(0)

/**
 * struct change - what changes a huge page of hugetlbfs
 * @name: in the case's name
 * @make: does it
 * @events: what a subscriber is told, in order
 * @nr: how many those are
 * @both: which of those are about the second page too
 */
struct change {
	const char *name;
	int (*make)(unsigned long addr, size_t len);
	enum mmu_notifier_event events[2];
	unsigned int nr;
	unsigned int both;
};

static const struct change changes[] = {
	{ "mprotect", change_protection_to_read,
	  { MMU_NOTIFY_PROTECTION_VMA }, 1 },
	{ "madv_dontneed", change_to_nothing, { MMU_NOTIFY_CLEAR }, 1 },
	{ "munmap", change_by_unmapping, { MMU_NOTIFY_UNMAP }, 1 },
	{ "mmap_over", change_by_mapping_over, { MMU_NOTIFY_UNMAP }, 1 },
	{ "fork", change_by_forking, { MMU_NOTIFY_CLEAR }, 1, FIRST },
	{ "copy_on_write", change_by_copying,
	  { MMU_NOTIFY_CLEAR, MMU_NOTIFY_CLEAR }, 2, FIRST },
	{ "poison", change_by_poison, { MMU_NOTIFY_CLEAR }, 1 },
	/* Away from here, and then the old place is unmapped. */
	{ "mremap", change_by_moving, { MMU_NOTIFY_CLEAR, MMU_NOTIFY_UNMAP },
	  2 },
};

KUNIT_ARRAY_PARAM_DESC(change, changes, name);

/* The starts that were about the huge pages, and nothing else. */
static void expect_starts(struct kunit *test, const struct change *change,
			  const struct tlb *tlb, struct notify_log *log)
{
	unsigned long len = tlb->nr * PAGE_SIZE;
	struct notify_want want[ARRAY_SIZE(change->events)] = {};
	struct notify_wants wants = {
		.want = want,
		.nr = change->nr,
		.start = tlb->addr,
		.end = tlb->addr + 2 * len,
	};
	unsigned int i;

	for (i = 0; i < change->nr; i++) {
		want[i].event = change->events[i];
		want[i].start = tlb->addr;
		want[i].end = tlb->addr +
			      (change->both & BIT(i) ? 2 * len : len);
	}
	notify_expect_told(test, log, NOTIFY_START, &wants, change->name);
}

/* Documentation/mm/mmu_notifier.rst: whoever has it mapped is told, once. */
static void change_is_told(struct kunit *test)
{
	const struct change *change = test->param_value;
	struct notify_log *log = notify_log_get(test);
	struct tlb tlb = tlb_get(test);
	struct hmm_probe *first, *second;
	struct watch *watch;

	if (change->make == change_by_poison)
		DMIRROR_REQUIRES_CONFIG(test, MEMORY_FAILURE);
	ask(&tlb, 0, tlb.nr, HMM_WRITE, 'W', "first page");
	ask(&tlb, tlb.nr, tlb.nr, HMM_WRITE, 'W', "second page");
	first = hmm_probe_get_at(test, tlb.addr, tlb.nr);
	second = hmm_probe_get_at(test, tlb.addr + tlb.nr * PAGE_SIZE, tlb.nr);
	watch = watch_get(test, log, &watch_ops);
	DMIRROR_ASSERT_OK(test, change->make(tlb.addr, tlb.nr * PAGE_SIZE),
			  change->name);
	KUNIT_EXPECT_EQ_MSG(test, first->invalidations, change->nr,
			    "who has the page that changes");
	KUNIT_EXPECT_EQ_MSG(test, second->invalidations,
			    hweight32(change->both),
			    "who has its neighbour");
	expect_starts(test, change, &tlb, log);
	notify_expect_pairs(test, log, watch, change->name);
}

/* The file of a mapping, with a reference. */
static struct file *file_of(unsigned long addr)
{
	struct vm_area_struct *vma;
	struct file *file = NULL;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, addr);
	if (vma && vma->vm_file)
		file = get_file(vma->vm_file);
	mmap_read_unlock(current->mm);

	return file;
}

/* A hole in a file is one in all its mappings: unmap_hugepage_range(). */
static void pages_cut_off_a_file_are_told(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned long addr = hugetlb_map_shared(test);
	unsigned long size = hugetlb_nr() << PAGE_SHIFT;
	struct notify_want want = {
		.event = MMU_NOTIFY_CLEAR,
		.start = addr,
		.end = addr + size,
	};
	struct notify_wants wants = {
		.want = &want,
		.nr = 1,
		.start = addr,
		.end = addr + 2 * size,
	};
	struct watch *watch;
	struct file *file;
	int ret;

	dmirror_user_fill(test, addr, hugetlb_nr(), 1);
	dmirror_user_fill(test, addr + size, 1, 2);
	watch = watch_get(test, log, &watch_ops);
	file = file_of(addr);
	KUNIT_ASSERT_NOT_NULL(test, file);
	ret = vfs_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    0, size);
	fput(file);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "hole in the file");
	notify_expect_told(test, log, NOTIFY_START, &wants, "hole in the file");
	notify_expect_pairs(test, log, watch, "hole in the file");
	dmirror_user_check(test, addr, hugetlb_nr(), 0, "after the hole");
	dmirror_user_check(test, addr + size, 1, 2, "behind the hole");
}

/*
 * Two mappings of a file can have a table of PMDs in common. Who watches one of
 * them for faults must not: core mm tells before it parts them, shared or not.
 */
static void parted_tables_are_told(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned long addr = hugetlb_map_table(test);
	struct notify_want want = {
		.event = MMU_NOTIFY_CLEAR,
		.start = addr,
		.end = addr + PUD_SIZE,
	};
	struct notify_wants wants = {
		.want = &want,
		.nr = 1,
		.start = addr,
		.end = addr + PUD_SIZE,
	};
	struct watch *watch = watch_get(test, log, &watch_ops);

	uffd_get(test, addr, PUD_SIZE >> PAGE_SHIFT,
		 UFFDIO_REGISTER_MODE_MINOR, UFFD_FEATURE_MINOR_HUGETLBFS);
	notify_expect_told(test, log, NOTIFY_START, &wants, "uffd");
	notify_expect_pairs(test, log, watch, "uffd");
}

static struct kunit_case hmm_hugetlb_cases[] = {
	KUNIT_CASE(every_part_of_a_page),
	KUNIT_CASE(untouched_mapping_is_faulted),
	KUNIT_CASE(page_that_is_gone_is_nothing),
	KUNIT_CASE(page_that_is_not_the_first_is_asked_for),
	KUNIT_CASE(poisoned_page_is_an_error),
	KUNIT_CASE(page_that_is_read_only),
	KUNIT_CASE(page_that_is_inaccessible),
	KUNIT_CASE(device_gets_no_page),
	KUNIT_CASE(device_is_never_alone),
	KUNIT_CASE_PARAM(change_is_told, change_gen_params),
	KUNIT_CASE(pages_cut_off_a_file_are_told),
	KUNIT_CASE(parted_tables_are_told),
	{}
};

DMIRROR_SUITE_AS(hmm_hugetlb, dmirror_case_init_mm, hmm_hugetlb_cases);
