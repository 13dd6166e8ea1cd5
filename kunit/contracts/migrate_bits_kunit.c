// SPDX-License-Identifier: GPL-2.0
/*
 * Bits of an entry that are user space's: soft-dirty
 * (Documentation/admin-guide/mm/soft-dirty.rst) and the one of userfaultfd.
 * mm/migrate_device.c, mm/migrate.c and mm/huge_memory.c carry them from a page
 * to its migration entry, to the device's entry, and back; every test of one of
 * these bits there has its row here.
 *
 * Not promised: soft-dirty across fork() and mprotect() of private memory
 * (copy_nonpresent_pte() says why), nor that only writes set it.
 */
/* In this order: Linux 7.2 needs it. */
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/leafops.h>
#include <linux/swapops.h>

#include <linux/mman.h>
#include <linux/pgtable.h>
#include <asm/tlbflush.h>

#include "../user.h"
#include "migrate_large.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM

#define BIT_SOFT BIT(0)
#define BIT_UFFD BIT(1)
#define NR_BITS (BIT_SOFT | BIT_UFFD)

/* What 7.3 has given other names. */
#ifdef MM_HAVE_UFFD_WP_NAMES
#define pte_uffd pte_uffd_wp
#define pte_mkuffd pte_mkuffd_wp
#define pte_swp_uffd pte_swp_uffd_wp
#define pte_swp_mkuffd pte_swp_mkuffd_wp
#define pmd_uffd pmd_uffd_wp
#define pmd_mkuffd pmd_mkuffd_wp
#define pmd_swp_uffd pmd_swp_uffd_wp
#define pmd_swp_mkuffd pmd_swp_mkuffd_wp
#endif

#ifndef MODULE

/* A private entry gets bits more; it stays as writable as it was. */
static pte_t leaf_of_bits(pte_t pte, unsigned int bits)
{
	if (bits & BIT_UFFD)
		pte = pte_swp_mkuffd(pte);

	return bits & BIT_SOFT ? pte_swp_mksoft_dirty(pte) : pte;
}

static pte_t pte_of_bits(pte_t pte, unsigned int bits)
{
	if (!pte_present(pte))
		return leaf_of_bits(pte, bits);
	/* What is watched for writes cannot be written to. */
	if (bits & BIT_UFFD)
		pte = pte_mkuffd(pte_wrprotect(pte));

	return bits & BIT_SOFT ? pte_mksoft_dirty(pte) :
				 pte_clear_soft_dirty(pte);
}

static unsigned int bits_of_pte(pte_t pte)
{
	bool soft, uffd;

	if (pte_present(pte)) {
		soft = pte_soft_dirty(pte);
		uffd = pte_uffd(pte);
	} else {
		soft = pte_swp_soft_dirty(pte);
		uffd = pte_swp_uffd(pte);
	}

	return (soft ? BIT_SOFT : 0) | (uffd ? BIT_UFFD : 0);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE

static pmd_t large_leaf_of_bits(pmd_t pmd, unsigned int bits)
{
	if (bits & BIT_UFFD)
		pmd = pmd_swp_mkuffd(pmd);

	return bits & BIT_SOFT ? pmd_swp_mksoft_dirty(pmd) : pmd;
}

static pmd_t pmd_of_bits(pmd_t pmd, unsigned int bits)
{
	if (bits & BIT_UFFD)
		pmd = pmd_mkuffd(pmd_wrprotect(pmd));

	return bits & BIT_SOFT ? pmd_mksoft_dirty(pmd) :
				 pmd_clear_soft_dirty(pmd);
}

static unsigned int bits_of_pmd(pmd_t pmd)
{
	bool soft, uffd;

	if (pmd_present(pmd)) {
		soft = pmd_soft_dirty(pmd);
		uffd = pmd_uffd(pmd);
	} else {
		soft = pmd_swp_soft_dirty(pmd);
		uffd = pmd_swp_uffd(pmd);
	}

	return (soft ? BIT_SOFT : 0) | (uffd ? BIT_UFFD : 0);
}

static bool is_table(pmd_t pmd)
{
	return pmd_present(pmd) && !pmd_leaf(pmd);
}

static void set_pmd_bits(struct vm_area_struct *vma, unsigned long addr,
			 pmd_t *pmdp, unsigned int bits)
{
	spinlock_t *ptl = pmd_lock(vma->vm_mm, pmdp);
	pmd_t pmd = *pmdp;

	if (pmd_present(pmd)) {
		pmd = pmdp_invalidate(vma, addr, pmdp);
		pmd = pmd_of_bits(pmd, bits);
	} else {
		pmd = large_leaf_of_bits(pmd, bits);
	}
	set_pmd_at(vma->vm_mm, addr, pmdp, pmd);
	spin_unlock(ptl);
}

#else /* !CONFIG_TRANSPARENT_HUGEPAGE */

static unsigned int bits_of_pmd(pmd_t pmd)
{
	return 0;
}

static bool is_table(pmd_t pmd)
{
	return true;
}

static void set_pmd_bits(struct vm_area_struct *vma, unsigned long addr,
			 pmd_t *pmdp, unsigned int bits)
{
}

#endif /* CONFIG_TRANSPARENT_HUGEPAGE */

static pmd_t *pmd_of(struct mm_struct *mm, unsigned long addr)
{
	return pmd_offset(pud_offset(p4d_offset(pgd_offset(mm, addr), addr),
				     addr), addr);
}

static void set_pte_bits(struct vm_area_struct *vma, unsigned long addr,
			 pmd_t *pmdp, unsigned int bits)
{
	struct mm_struct *mm = vma->vm_mm;
	spinlock_t *ptl = pte_lockptr(mm, pmdp);
	pte_t *ptep, pte;

	spin_lock(ptl);
	ptep = pte_offset_kernel(pmdp, addr);
	pte = ptep_get_and_clear(mm, addr, ptep);
	set_pte_at(mm, addr, ptep, pte_of_bits(pte, bits));
	flush_tlb_page(vma, addr);
	spin_unlock(ptl);
}

/* Give the entry of a page other bits, and one of a private page more. */
static void set_bits(unsigned long addr, unsigned int bits)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	pmd_t *pmd;

	mmap_write_lock(mm);
	vma = vma_lookup(mm, addr);
	pmd = pmd_of(mm, addr);
	if (is_table(*pmd))
		set_pte_bits(vma, addr, pmd, bits);
	else
		set_pmd_bits(vma, addr, pmd, bits);
	mmap_write_unlock(mm);
}

/* Nobody else changes the entry. */
static unsigned int get_bits(unsigned long addr)
{
	pmd_t *pmd = pmd_of(current->mm, addr);

	if (!is_table(*pmd))
		return bits_of_pmd(*pmd);

	return bits_of_pte(ptep_get(pte_offset_kernel(pmd, addr)));
}

#else /* MODULE */

/* The cases skip before they get here. */
static void set_bits(unsigned long addr, unsigned int bits)
{
}

static unsigned int get_bits(unsigned long addr)
{
	return 0;
}

#endif /* MODULE */

/* Skips where entries have no room for the bits. */
static void requires_bits(struct kunit *test)
{
	migrate_suite_requires(test);
	DMIRROR_REQUIRES_CONFIG(test, MEM_SOFT_DIRTY);
	DMIRROR_REQUIRES_CONFIG(test, HAVE_ARCH_USERFAULTFD_WP);
}

static void expect_bits(struct kunit *test, unsigned long addr,
			unsigned int want, const char *step)
{
	unsigned int got = get_bits(addr);

	KUNIT_EXPECT_EQ_MSG(test, got, want,
			    "0x%lx %s: got%s%s, wanted%s%s", addr, step,
			    got & BIT_SOFT ? " soft-dirty" : "",
			    got & BIT_UFFD ? " uffd" : "",
			    want & BIT_SOFT ? " soft-dirty" : "",
			    want & BIT_UFFD ? " uffd" : "");
}

/**
 * enum way - what happens to a page
 * @WAY_STAY: its migration comes to nothing
 * @WAY_BACK: it goes to the device, and is migrated back
 * @WAY_FAULT: it goes to the device, and the CPU reads it
 * @WAY_STAY_OUT: it goes to the device, and a migration back comes to nothing
 * @WAY_EVICT: it goes to the device, and is evicted
 */
enum way {
	WAY_STAY,
	WAY_BACK,
	WAY_FAULT,
	WAY_STAY_OUT,
	WAY_EVICT,
};

/**
 * struct trip - a page's way, as a parameter of cases
 * @name: in the case's name
 * @kind: of the device
 * @way: what happens
 */
struct trip {
	const char *name;
	const struct device_kind *kind;
	enum way way;
};

static const struct trip trips[] = {
	{ "stays", &device_kinds[0], WAY_STAY },
	{ "private_and_back", &device_kinds[0], WAY_BACK },
	{ "private_and_faulted", &device_kinds[0], WAY_FAULT },
	{ "private_and_stays", &device_kinds[0], WAY_STAY_OUT },
	{ "private_and_evicted", &device_kinds[0], WAY_EVICT },
	{ "coherent_and_back", &device_kinds[1], WAY_BACK },
	{ "coherent_and_stays", &device_kinds[1], WAY_STAY_OUT },
	{ "coherent_and_evicted", &device_kinds[1], WAY_EVICT },
};

KUNIT_ARRAY_PARAM_DESC(trip, trips, name);

static void stay(struct kunit *test, struct toy *toy, unsigned long addr,
		 unsigned long npages, unsigned long flags)
{
	struct attempt attempt;

	attempt_init(test, &attempt, toy, addr, npages, flags);
	DMIRROR_ASSERT_OK(test, attempt_abort(&attempt), "collect");
	KUNIT_ASSERT_NE_MSG(test, attempt.cpages, 0UL, "pages collected");
}

/* All but the way to the device. */
static void travel(struct kunit *test, struct toy *toy, unsigned long addr,
		   unsigned long npages, unsigned long flags, enum way way)
{
	switch (way) {
	case WAY_STAY:
	case WAY_STAY_OUT:
		stay(test, toy, addr, npages, flags);
		break;
	case WAY_BACK:
		toy_to_ram(test, toy, addr, npages);
		break;
	case WAY_FAULT:
		dmirror_user_touch(test, addr, npages);
		break;
	case WAY_EVICT:
		KUNIT_ASSERT_EQ(test, toy_evict(toy), 0UL);
		break;
	}
}

/*
 * ad7df764b7e1 ("mm/rmap: fixup copying of soft dirty and uffd ptes"): an entry
 * that is not present has them elsewhere. Each page keeps its own bits, with
 * any others beside it. B5.
 */
static void bits_follow_the_page(struct kunit *test)
{
	const struct trip *trip = test->param_value;
	struct toy *toy;
	unsigned long addr, i;

	requires_bits(test);
	toy = toy_get(test, trip->kind->type, TOY_PAGES);
	addr = dmirror_user_map(test, NR_BITS + 1, RW);
	stamp_write(test, addr, NR_BITS + 1);
	for (i = 0; i <= NR_BITS; i++)
		set_bits(addr + i * PAGE_SIZE, i);
	for (i = 0; i <= NR_BITS; i++)
		expect_bits(test, addr + i * PAGE_SIZE, i, "before");
	if (trip->way != WAY_STAY) {
		toy_to_device(test, toy, addr, NR_BITS + 1);
		for (i = 0; i <= NR_BITS; i++)
			expect_bits(test, addr + i * PAGE_SIZE, i,
				    "on the device");
	}
	travel(test, toy, addr, NR_BITS + 1, trip->kind->select |
	       (trip->way == WAY_STAY ? SYSTEM : 0), trip->way);
	for (i = 0; i <= NR_BITS; i++)
		expect_bits(test, addr + i * PAGE_SIZE, i, trip->name);
	stamp_check(test, addr, NR_BITS + 1, true, trip->name);
}

static int bits_of_child(void *data)
{
	return get_bits(*(unsigned long *)data);
}

/* A second mapping has bits of its own: try_to_migrate() carries these. */
static void bits_of_a_second_mapping_follow(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	int forked, theirs[2] = { -1, -1 }, ret = 0;
	unsigned int parents = 0;
	struct user_child child;
	struct toy_move move;
	unsigned long addr;
	struct toy *toy;

	requires_bits(test);
	toy = toy_get(test, kind->type, TOY_PAGES);
	addr = dmirror_user_map(test, 1, RW);
	stamp_write(test, addr, 1);
	/* The child's is a copy, without the bit of userfaultfd. */
	set_bits(addr, BIT_SOFT);
	toy_move_init(test, &move, toy, addr, 1, SYSTEM);
	forked = user_fork(&child);
	if (!forked) {
		theirs[0] = user_ask(&child, bits_of_child, &addr);
		set_bits(addr, BIT_UFFD);
		ret = toy_collect(&move);
		if (!ret) {
			toy_choose_device(&move);
			toy_pages(&move);
			toy_finish(&move);
		}
		parents = get_bits(addr);
		theirs[1] = user_ask(&child, bits_of_child, &addr);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_ASSERT_OK(test, ret, "collect");
	KUNIT_EXPECT_EQ_MSG(test, migrate_see(current->mm, addr).kind,
			    kind->seen, "where it is");
	KUNIT_EXPECT_EQ_MSG(test, parents, (unsigned int)BIT_UFFD,
			    "bits of the parent's entry");
	KUNIT_EXPECT_EQ_MSG(test, theirs[1], theirs[0],
			    "bits of the child's entry");
	KUNIT_EXPECT_EQ_MSG(test, theirs[0], (int)BIT_SOFT,
			    "bits of the child's entry before");
}

KUNIT_ARRAY_PARAM_DESC(kind, device_kinds, name);

/**
 * enum cut - where a large folio is cut
 * @CUT_NOT: nowhere
 * @CUT_MAPPING: the mapping is, when it is on the device
 * @CUT_GOING: on its way to the device, into small pages
 * @CUT_COMING: on its way back
 */
enum cut {
	CUT_NOT,
	CUT_MAPPING,
	CUT_GOING,
	CUT_COMING,
};

/**
 * struct tour - a large folio's way
 * @name: in the case's name
 * @cut: where it is cut
 * @way: what happens to it otherwise
 */
struct tour {
	const char *name;
	enum cut cut;
	enum way way;
};

static const struct tour tours[] = {
	{ "stays", CUT_NOT, WAY_STAY },
	{ "back", CUT_NOT, WAY_BACK },
	{ "faulted", CUT_NOT, WAY_FAULT },
	{ "stays_out", CUT_NOT, WAY_STAY_OUT },
	{ "evicted", CUT_NOT, WAY_EVICT },
	{ "in_ptes", CUT_MAPPING, WAY_BACK },
	{ "in_ptes_evicted", CUT_MAPPING, WAY_EVICT },
	{ "cut_going", CUT_GOING, WAY_BACK },
	{ "cut_coming", CUT_COMING, WAY_BACK },
};

KUNIT_ARRAY_PARAM_DESC(tour, tours, name);

/*
 * All pages have the bits; a soft-dirty bit more is no harm, and an entry that
 * is made dirty gets it.
 */
static void expect_large_bits(struct kunit *test, struct large *large,
			      unsigned int want, const char *step)
{
	unsigned long i, addr;

	for (i = 0; i < NR_LARGE; i++) {
		addr = large->addr + i * PAGE_SIZE;
		if ((get_bits(addr) & ~BIT_SOFT) == (want & ~BIT_SOFT) &&
		    (get_bits(addr) & want) == want)
			continue;
		expect_bits(test, addr, want, step);
		return;
	}
}

static void migrate_in_pieces(struct kunit *test, struct large *large,
			      enum seen_kind from, unsigned long flags)
{
	bool given = false;
	struct toy_move move;
	int ret;

	toy_move_init(test, &move, large->toy, large->addr, NR_LARGE, flags);
	ret = toy_collect(&move);
	if (!ret) {
		given = give_small_pages(&move, from, NULL);
		toy_pages(&move);
		toy_finish(&move);
	}
	DMIRROR_ASSERT_OK(test, ret, "collect");
	KUNIT_ASSERT_TRUE_MSG(test, given, "a small page for each");
}

static void send_large(struct kunit *test, const struct tour *tour,
		       unsigned int bits)
{
	unsigned long flags = MIGRATE_VMA_SELECT_COMPOUND;
	struct large large;

	large = large_get(test, SEEN_RAM);
	set_bits(large.addr, bits);
	expect_bits(test, large.addr, bits, "before");
	flags |= tour->way == WAY_STAY ? SYSTEM :
					 MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
	if (tour->cut == CUT_GOING)
		migrate_in_pieces(test, &large, SEEN_RAM,
				  SYSTEM | MIGRATE_VMA_SELECT_COMPOUND);
	else if (tour->way != WAY_STAY)
		toy_to_device(test, large.toy, large.addr, NR_LARGE);
	if (large.toy->out)
		expect_large_bits(test, &large, bits, "on the device");
	if (tour->cut == CUT_MAPPING) {
		large_map_by_ptes(test, &large);
		expect_large_bits(test, &large, bits, "mapped by PTEs");
	}
	if (tour->cut == CUT_COMING)
		migrate_in_pieces(test, &large, SEEN_PRIVATE,
				  MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
				  MIGRATE_VMA_SELECT_COMPOUND);
	else
		travel(test, large.toy, large.addr, NR_LARGE, flags, tour->way);
	expect_large_bits(test, &large, bits, tour->name);
	stamp_check(test, large.addr, NR_LARGE, true, tour->name);
	large_end(test, &large);
}

/* The bits of a PMD are the bits of all its pages, when they are cut too. */
static void bits_follow_a_large_folio(struct kunit *test)
{
	unsigned int bits;

	requires_bits(test);
	for (bits = 0; bits <= NR_BITS; bits++)
		send_large(test, test->param_value, bits);
}

/**
 * struct denial - private memory that may not be written to any more
 * @name: in the case's name
 * @large: it is a large folio
 * @from: first page for which it is so
 * @to: the page behind the last one
 */
struct denial {
	const char *name;
	bool large;
	unsigned long from;
	unsigned long to;
};

static const struct denial denials[] = {
	{ "page", false, 0, 1 },
	{ "folio", true, 0, NR_LARGE },
	{ "part_of_folio", true, 1, 3 },
};

KUNIT_ARRAY_PARAM_DESC(denial, denials, name);

static void expect_denied(struct kunit *test, unsigned long addr, bool denied,
			  unsigned int bits, const char *step)
{
	struct seen seen = migrate_see(current->mm, addr);

	KUNIT_EXPECT_EQ_MSG(test, seen.kind, SEEN_PRIVATE, "0x%lx %s", addr,
			    step);
	KUNIT_EXPECT_EQ_MSG(test, seen.write, !denied, "0x%lx %s: writable",
			    addr, step);
	/* Whether it is soft-dirty is not promised. */
	KUNIT_EXPECT_EQ_MSG(test, get_bits(addr) & BIT_UFFD, bits & BIT_UFFD,
			    "0x%lx %s: bit of userfaultfd", addr, step);
}

/*
 * An entry that can be written to should not have userfaultfd's bit, and
 * CONFIG_PAGE_TABLE_CHECK warns of it (PAGEMAP_SCAN makes some, which is a known
 * bug): here it is what shows whether the bit is kept.
 */
static void set_odd_bits(struct kunit *test, unsigned long addr,
			 unsigned int bits)
{
	kunit_warning_suppress(test) {
		set_bits(addr, bits);
	}
}

/* Splits what is large, and each part is such an entry for a moment. */
static int deny_writing(struct kunit *test, unsigned long from, size_t len)
{
	int ret = -EINVAL;

	kunit_warning_suppress(test) {
		ret = user_mprotect(from, len, PROT_READ);
	}

	return ret;
}

/*
 * "mm/huge_memory: preserve pmd_swp_uffd_wp on device-private PMD downgrade",
 * which fixes 368076f52ebe: B24. mprotect() takes away the right to write, not
 * what userfaultfd has asked for.
 */
static void read_only_entry_keeps_the_uffd_bit(struct kunit *test)
{
	const struct denial *denial = test->param_value;
	unsigned long nr = denial->large ? NR_LARGE : 1, addr, from, len;
	struct large large;
	struct toy *toy;
	unsigned int bits;

	migrate_suite_requires(test);
	DMIRROR_REQUIRES_CONFIG(test, HAVE_ARCH_USERFAULTFD_WP);
	for (bits = 0; bits <= NR_BITS; bits++) {
		large = large_or_small_get(test, denial->large, SEEN_PRIVATE);
		toy = large.toy;
		addr = large.addr;
		from = addr + denial->from * PAGE_SIZE;
		len = (denial->to - denial->from) * PAGE_SIZE;
		set_odd_bits(test, addr, bits);
		expect_denied(test, addr, false, bits, "before");

		DMIRROR_ASSERT_OK(test, deny_writing(test, from, len),
				  "mprotect(PROT_READ)");
		expect_denied(test, from, true, bits, "after PROT_READ");
		if (denial->from)
			expect_denied(test, addr, false, bits,
				      "beside PROT_READ");
		DMIRROR_ASSERT_OK(test, user_mprotect(from, len, RW),
				  "mprotect(PROT_WRITE)");
		expect_denied(test, from, true, bits, "after PROT_WRITE");
		dmirror_user_unmap(test, addr, nr);
		toy_put(test, toy);
	}
}

static struct kunit_case migrate_bits_cases[] = {
	KUNIT_CASE_PARAM(bits_follow_the_page, trip_gen_params),
	KUNIT_CASE_PARAM(bits_of_a_second_mapping_follow, kind_gen_params),
	DMIRROR_CASE_PARAM_SLOW(bits_follow_a_large_folio, tour_gen_params),
	KUNIT_CASE_PARAM(read_only_entry_keeps_the_uffd_bit, denial_gen_params),
	{}
};

DMIRROR_SUITE_AS(migrate_bits, dmirror_case_init_mm, migrate_bits_cases);
