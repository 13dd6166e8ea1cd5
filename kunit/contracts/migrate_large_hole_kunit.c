// SPDX-License-Identifier: GPL-2.0
/*
 * Large holes, faults of the CPU on large folios of a device, and large folios
 * of coherent memory, through migrate_vma_setup(), _pages() and _finalize().
 * From mm/migrate_device.c and include/linux/migrate.h.
 *
 * Not here: a large hole for which there are small pages, but not for each of
 * its pages. Kernels up to 7.3 look into the page that is missing, and oops.
 */
#include <linux/highmem.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>

#include "../user.h"
#include "core_mm.h"
#include "mem.h"
#include "migrate_large.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM
#define PRIVATE MIGRATE_VMA_SELECT_DEVICE_PRIVATE
#define COHERENT MIGRATE_VMA_SELECT_DEVICE_COHERENT
#define COMPOUND MIGRATE_VMA_SELECT_COMPOUND

/**
 * struct hole - a large hole
 * @name: in the case's name
 * @zero: not a hole, but the huge zero page
 * @read_only: the mapping is
 * @small: it gets small pages
 */
struct hole {
	const char *name;
	bool zero;
	bool read_only;
	bool small;
};

static const struct hole holes[] = {
	{ "hole" },
	{ "hole_read_only", .read_only = true },
	{ "hole_by_small_pages", .small = true },
	{ "hole_by_small_pages_read_only", .small = true, .read_only = true },
	{ "zero_page", .zero = true },
	{ "zero_page_read_only", .zero = true, .read_only = true },
	{ "zero_page_by_small_pages", .zero = true, .small = true },
};

KUNIT_ARRAY_PARAM_DESC(hole, holes, name);

static struct large large_hole_get(struct kunit *test, const struct hole *hole)
{
	struct large large = large_hole(test, hole->read_only ? PROT_READ : RW);

	if (hole->zero)
		dmirror_user_touch(test, large.addr, 1);
	KUNIT_ASSERT_EQ(test, migrate_see(current->mm, large.addr).kind,
			hole->zero ? SEEN_ZERO : SEEN_NOTHING);
	KUNIT_ASSERT_EQ(test, migrate_see(current->mm, large.addr).huge,
			hole->zero);

	return large;
}

static void hole_gets_large_or_small_pages(struct kunit *test)
{
	const struct hole *hole = test->param_value;
	struct large large = large_hole_get(test, hole);
	struct attempt attempt;
	struct seen got, want;
	bool given = true;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	if (hole->small)
		given = give_small_pages(&attempt.move, SEEN_NOTHING, NULL);
	else
		toy_choose_device(&attempt.move);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	KUNIT_ASSERT_TRUE(test, given);
	attempt_expect_src(test, &attempt, attempt.setup, 0, LARGE_HOLE,
			   "after setup");
	KUNIT_EXPECT_EQ_MSG(test, attempt.setup[1], 0UL, "src[1] after setup");
	KUNIT_EXPECT_EQ(test, attempt.cpages, 1UL);
	KUNIT_EXPECT_EQ(test, attempt.npages, NR_LARGE);
	KUNIT_EXPECT_TRUE(test, attempt.pages[0] & MIGRATE_PFN_MIGRATE);
	got = migrate_see_settled(large.addr);
	want = (struct seen){
		.kind = SEEN_PRIVATE,
		.huge = !hole->small,
		.write = !hole->read_only,
		/* device_memory_proc.filled_hole_is_soft_dirty() */
		.soft_dirty = got.soft_dirty,
		.exclusive = true,
		.anon = true,
		.order = hole->small ? 0 : PMD_ORDER,
		.refs = 1,
		.maps = 1,
	};
	migrate_expect_seen(test, large.addr, &got, &want, "where a hole was");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, NR_LARGE,
			    "device pages in use");
	KUNIT_EXPECT_EQ(test, migrate_books(current->mm).anon, NR_LARGE);
	stamp_check(test, large.addr, NR_LARGE, false, "where a hole was");
	large_end(test, &large);
}

/*
 * 44af0b45d58d ("mm/migrate_device: return number of migrating pages in
 * args->cpages"): holes are counted, or the driver thinks that it has nothing
 * to do. B7.
 */
static void hole_without_a_page_stays(struct kunit *test)
{
	const struct hole *hole = test->param_value;
	struct large large = large_hole_get(test, hole);
	struct seen before = migrate_see_settled(large.addr);
	struct attempt attempt;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | (hole->small ? 0 : COMPOUND));
	DMIRROR_ASSERT_OK(test, attempt_abort(&attempt), "collect");
	attempt_expect_balance(test, &attempt, "that was aborted");
	KUNIT_EXPECT_EQ_MSG(test, attempt.cpages, hole->small ? NR_LARGE : 1UL,
			    "cpages of a hole");
	KUNIT_EXPECT_EQ(test, attempt.npages, NR_LARGE);
	attempt_expect_src(test, &attempt, attempt.setup, 0, hole->small ?
			   MIGRATE_PFN_MIGRATE : LARGE_HOLE, "after setup");
	attempt_expect_src(test, &attempt, attempt.setup, NR_LARGE - 1,
			   hole->small ? MIGRATE_PFN_MIGRATE : 0,
			   "after setup");
	migrate_expect_still(test, large.addr, &before, "without a page");
	KUNIT_EXPECT_EQ(test, migrate_books(current->mm).anon, 0UL);
	large_end(test, &large);
}

/* The CPU faults while the caller of migrate_vma_setup() has mmap_lock. */
static bool cpu_faults(struct toy_move *move, unsigned long i)
{
	unsigned int flags = FAULT_FLAG_DEFAULT & ~FAULT_FLAG_ALLOW_RETRY;

	return !(handle_mm_fault(move->args.vma,
				 move->args.start + i * PAGE_SIZE,
				 flags | FAULT_FLAG_WRITE, NULL) &
		 VM_FAULT_ERROR);
}

/* Rounds of a race: more than what is lost in per-CPU counters. */
#define ROUNDS 300UL

/*
 * 2c6f81d58741 ("mm/migrate_device: fix pgtable leak in
 * migrate_vma_insert_huge_pmd_page"): a page of the hole is there when the
 * large one comes, and the page table that was made for it has to go. B10.
 */
static void filled_hole_gets_no_large_page(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	bool faulted = true, given = true, moved = false;
	unsigned long i, tables, leaked;
	struct attempt attempt;
	struct seen winner;
	struct page *page;

	large_advise(test, large.addr, NR_LARGE, MADV_NOHUGEPAGE);
	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	rcu_barrier();
	tables = global_node_page_state(NR_PAGETABLE);
	for (i = 0; i < ROUNDS; i++) {
		attempt.move.args.end = large.addr + NR_LARGE * PAGE_SIZE;
		if (attempt_collect(&attempt))
			break;
		page = toy_alloc(large.toy, PMD_ORDER);
		given &= !!page;
		if (page)
			attempt.move.args.dst[0] =
				migrate_pfn(page_to_pfn(page)) |
				MIGRATE_PFN_COMPOUND;
		faulted &= cpu_faults(&attempt.move, 7);
		attempt_pages(&attempt);
		toy_finish(&attempt.move);
		moved |= attempt.pages[0] & MIGRATE_PFN_MIGRATE;
		winner = migrate_see(current->mm, large.addr + 7 * PAGE_SIZE);
		dmirror_user_unmap(test, large.addr, NR_LARGE);
		dmirror_user_map_over(test, large.addr, NR_LARGE, RW);
		large_advise(test, large.addr, NR_LARGE, MADV_NOHUGEPAGE);
	}
	/* Those of munmap() are freed by RCU. */
	rcu_barrier();
	leaked = global_node_page_state(NR_PAGETABLE) - tables;
	KUNIT_EXPECT_EQ_MSG(test, i, ROUNDS, "rounds");
	KUNIT_ASSERT_TRUE(test, given && faulted);
	KUNIT_EXPECT_FALSE_MSG(test, moved, "a large page over a small one");
	KUNIT_EXPECT_EQ(test, winner.kind, SEEN_RAM);
	KUNIT_EXPECT_LT_MSG(test, (long)leaked, (long)ROUNDS / 2,
			    "page tables that were not freed");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, 0UL, "device pages in use");
	KUNIT_EXPECT_EQ(test, migrate_books(current->mm).anon, 0UL);
	large_end(test, &large);
}

/* Small pages go around the one that the CPU was faster with. */
static void small_pages_fill_the_rest_of_a_hole(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	struct attempt attempt;
	bool given, faulted;
	struct seen seen;

	large_advise(test, large.addr, NR_LARGE, MADV_NOHUGEPAGE);
	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_small_pages(&attempt.move, SEEN_NOTHING, NULL);
	faulted = cpu_faults(&attempt.move, 7);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	KUNIT_ASSERT_TRUE(test, given && faulted);
	KUNIT_EXPECT_EQ_MSG(test, attempt.pages[7] & MIGRATE_PFN_MIGRATE, 0UL,
			    "src[7]");
	seen = migrate_see_settled(large.addr + 7 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, seen.kind, SEEN_RAM);
	expect_small(test, &large, 0, 7, SEEN_PRIVATE, "before the page");
	expect_small(test, &large, 8, NR_LARGE, SEEN_PRIVATE,
		     "behind the page");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, NR_LARGE - 1,
			    "device pages in use");
	large_end(test, &large);
}

#define LEFT_OUT 7UL

static bool is_not_left_out(unsigned long i)
{
	return i != LEFT_OUT;
}

/*
 * "the caller does not have to migrate all the pages": what gets none stays a
 * hole. Up to 7.3 a folio is looked for where there is none, which the kernel
 * does not survive: there the case does not go on.
 */
static void small_pages_for_a_part_of_a_hole(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	struct attempt attempt;
	struct seen seen;
	bool given;

#ifdef PART_OF_A_HOLE_DIES
	DMIRROR_KNOWN_DEFECT(test, "small pages for a part of a large hole");
#endif
	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_small_pages(&attempt.move, SEEN_NOTHING, is_not_left_out);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	KUNIT_ASSERT_TRUE_MSG(test, given, "0x%lx: no device pages for it",
			      large.addr);
	KUNIT_EXPECT_EQ_MSG(test, attempt.pages[LEFT_OUT] & MIGRATE_PFN_MIGRATE,
			    0UL, "src[%lu]: got 0x%lx wanted it not migrating",
			    LEFT_OUT, attempt.pages[LEFT_OUT]);
	seen = migrate_see_settled(large.addr + LEFT_OUT * PAGE_SIZE);
	KUNIT_EXPECT_EQ_MSG(test, seen.kind, SEEN_NOTHING,
			    "page %lu at 0x%lx, which got no page: got %d wanted a hole",
			    LEFT_OUT, large.addr + LEFT_OUT * PAGE_SIZE,
			    seen.kind);
	expect_small(test, &large, 0, LEFT_OUT, SEEN_PRIVATE,
		     "before the page");
	expect_small(test, &large, LEFT_OUT + 1, NR_LARGE, SEEN_PRIVATE,
		     "behind the page");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, NR_LARGE - 1,
			    "0x%lx: got %lu device pages in use wanted %lu",
			    large.addr, large.toy->out, NR_LARGE - 1);
	large_end(test, &large);
}

/* The CPU was faster with a huge page: no small one takes a part of it. */
static void huge_page_in_a_hole_is_not_replaced(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	unsigned long i, moved = 0;
	struct attempt attempt;
	bool given, faulted;
	struct seen seen;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE, SYSTEM);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_small_pages(&attempt.move, SEEN_NOTHING, NULL);
	faulted = cpu_faults(&attempt.move, 7);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	KUNIT_ASSERT_TRUE(test, given && faulted);
	for (i = 0; i < NR_LARGE; i++)
		moved += !!(attempt.pages[i] & MIGRATE_PFN_MIGRATE);
	KUNIT_EXPECT_EQ_MSG(test, moved, 0UL, "pages in place of a huge one");
	seen = migrate_see_settled(large.addr + 7 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, seen.kind, SEEN_RAM);
	KUNIT_EXPECT_TRUE_MSG(test, seen.huge, "mapped by a PMD");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, 0UL, "device pages in use");
	KUNIT_EXPECT_EQ(test, migrate_books(current->mm).anon, NR_LARGE);
	large_end(test, &large);
}

/* A large page for a large hole, locked and with one reference. */
static void give_large(struct toy_move *move, struct page *page)
{
	move->args.dst[0] = migrate_pfn(page_to_pfn(page)) |
			    MIGRATE_PFN_COMPOUND | MIGRATE_PFN_WRITE;
}

/* Return: as toy_collect(); @free is whether the PMD's lock is, afterwards. */
static int offer_large(struct attempt *attempt, struct folio *folio, bool *free)
{
	int ret = attempt_collect(attempt);

	if (ret)
		return ret;
	folio_lock(folio);
	give_large(&attempt->move, &folio->page);
	attempt_pages(attempt);
	*free = core_unlocked(attempt->move.args.start);
	toy_finish(&attempt->move);

	return 0;
}

static void expect_refused(struct kunit *test, const struct attempt *attempt,
			   const struct folio *folio, bool free)
{
	unsigned long addr = attempt->move.args.start, i;

	attempt_expect_src(test, attempt, attempt->setup, 0, LARGE_HOLE,
			   "after setup");
	for (i = 0; i < NR_LARGE; i++)
		if (attempt->pages[i] & MIGRATE_PFN_MIGRATE)
			break;
	KUNIT_EXPECT_EQ_MSG(test, i, NR_LARGE, "0x%lx went to the folio",
			    addr + i * PAGE_SIZE);
	KUNIT_EXPECT_TRUE_MSG(test, free, "0x%lx: the PMD's lock is held",
			      addr);
	KUNIT_EXPECT_EQ_MSG(test, migrate_see(current->mm, addr).kind,
			    SEEN_NOTHING, "0x%lx", addr);
	KUNIT_EXPECT_EQ_MSG(test, folio_ref_count(folio), 1,
			    "references of the folio");
	KUNIT_EXPECT_FALSE_MSG(test, folio_test_locked(folio), "the folio");
	KUNIT_EXPECT_EQ_MSG(test, folio_order(folio), (unsigned int)PMD_ORDER,
			    "order of the folio");
#ifdef CONFIG_MEMCG
	KUNIT_EXPECT_EQ_MSG(test, folio->memcg_data, 0UL,
			    "memory cgroup of the folio");
#endif
}

/*
 * No destination: a folio of other device memory than private and coherent. It
 * goes back to where it came from, uncharged.
 */
static void hole_gets_no_folio_of_another_kind(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	struct mem *mem = mem_new(test, MEMORY_DEVICE_GENERIC, 1);
	struct books books = { };
	struct attempt attempt;
	struct folio *folio;
	unsigned int round;
	bool free = false;

	if (MEM_UNIT_PAGES != NR_LARGE)
		kunit_skip(test, "needs memory as large as what a PMD maps");
	mem->pagemap.vmemmap_shift = PMD_ORDER;
	DMIRROR_ASSERT_OK(test, mem_add(mem), "memremap_pages");
	folio = page_folio(mem_page(mem, 0));
	/* The first time there may be no table of PMDs yet, which stays. */
	for (round = 0; round < 2; round++) {
		attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
			     SYSTEM | COMPOUND);
		DMIRROR_ASSERT_OK(test, offer_large(&attempt, folio, &free),
				  "collect");
		expect_refused(test, &attempt, folio, free);
		if (round)
			migrate_expect_books(test, &books, "the second time");
		books = migrate_books(current->mm);
	}
	mem_del(mem);
	stamp_check(test, large.addr, NR_LARGE, false, "afterwards");
	large_end(test, &large);
}

/* System memory for a large hole: as if the CPU had asked for it. */
static void hole_gets_a_large_page_of_ram(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	struct seen seen, want = {
		.kind = SEEN_RAM, .huge = true, .write = true, .dirty = true,
		.exclusive = true, .anon = true, .lru = true,
		.order = PMD_ORDER, .refs = 1, .maps = 1,
	};
	struct books books = migrate_books(current->mm);
	struct folio *folio = NULL;
	struct attempt attempt;
	unsigned long i;
	int ret;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	ret = attempt_collect(&attempt);
	if (!ret) {
		folio = folio_alloc(GFP_HIGHUSER_MOVABLE, PMD_ORDER);
		for (i = 0; folio && i < NR_LARGE; i++)
			memset_page(folio_page(folio, i), 0, 0, PAGE_SIZE);
		if (folio) {
			folio_lock(folio);
			want.pfn = folio_pfn(folio);
			give_large(&attempt.move, &folio->page);
		}
		attempt_pages(&attempt);
		toy_finish(&attempt.move);
	}
	DMIRROR_ASSERT_OK(test, ret, "collect");
	KUNIT_ASSERT_NOT_NULL(test, folio);

	seen = migrate_see_settled(large.addr);
	/* What a new entry is besides is the architecture's. */
	want.young = seen.young;
	want.soft_dirty = seen.soft_dirty;
	want.folio_dirty = seen.folio_dirty;
	want.active = seen.active;
	migrate_expect_seen(test, large.addr, &seen, &want, "in the hole");
	books.anon += NR_LARGE;
	books.tables = migrate_books(current->mm).tables;
	migrate_expect_books(test, &books, "with the page");
	stamp_check(test, large.addr, NR_LARGE, false, "in the hole");
	stamp_write(test, large.addr, NR_LARGE);
	toy_to_device(test, large.toy, large.addr, NR_LARGE);
	stamp_check(test, large.addr, NR_LARGE, true, "after it moved");
	large_end(test, &large);
}

/*
 * 63451de16e0a ("mm/migrate_device: fix spinlock leak in
 * migrate_vma_insert_huge_pmd_page"): nothing is inserted, no lock is kept. B9.
 */
static void unstable_mm_gets_no_large_page(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	struct attempt attempt;
	bool free;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	toy_choose_device(&attempt.move);
	mm_flags_set(MMF_UNSTABLE, current->mm);
	attempt_pages(&attempt);
	mm_flags_clear(MMF_UNSTABLE, current->mm);
	free = core_unlocked(large.addr);
	toy_finish(&attempt.move);
	KUNIT_EXPECT_TRUE_MSG(test, free, "the PMD's lock is still held");
	KUNIT_EXPECT_EQ(test, attempt.pages[0] & MIGRATE_PFN_MIGRATE, 0UL);
	KUNIT_EXPECT_EQ(test, migrate_see(current->mm, large.addr).kind,
			SEEN_NOTHING);
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, 0UL, "device pages in use");
	large_end(test, &large);
}

/*
 * "pmd_none() [...] we do set MIGRATE_PFN_MIGRATE": of each PMD, and it makes
 * no difference whether there is a table of PMDs already. Up to 7.3 a range
 * without one is a single hole, of which only the beginning is selected.
 */
static void every_large_hole_is_selected(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	/* That large only if nothing has to be set aside for writing. */
	unsigned long area = dmirror_user_map(test, PUD_SIZE / PAGE_SIZE * 2,
					      PROT_READ);
	unsigned long addr = ALIGN(area, PUD_SIZE), i;
	struct attempt fresh, table;

	attempt_init(test, &fresh, large.toy, addr, 3 * NR_LARGE,
		     SYSTEM | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_abort(&fresh), "collect");
	/* A page far behind makes the table. */
	dmirror_user_touch(test, addr + 9 * PMD_SIZE, 1);
	attempt_init(test, &table, large.toy, addr, 3 * NR_LARGE,
		     SYSTEM | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_abort(&table), "collect");
	for (i = 0; i < 3; i++)
		attempt_expect_src(test, &table, table.setup, i * NR_LARGE,
				   LARGE_HOLE, "with a table");
	KUNIT_EXPECT_EQ(test, table.cpages, 3UL);
	dmirror_user_unmap(test, area, PUD_SIZE / PAGE_SIZE * 2);
	large_end(test, &large);
	if (fresh.setup[0] == LARGE_HOLE && !fresh.setup[NR_LARGE])
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() of several large holes");
	for (i = 0; i < 3; i++)
		attempt_expect_src(test, &fresh, fresh.setup, i * NR_LARGE,
				   LARGE_HOLE, "without a table");
	KUNIT_EXPECT_EQ(test, fresh.cpages, 3UL);
}

/**
 * struct visit - what happened in the fault of a driver
 * @flags: MIGRATE_VMA_SELECT_* that it tries first
 * @tried: cpages of that, ULONG_MAX before
 * @ret: of migrate_vma_setup()
 */
struct visit {
	unsigned long flags;
	unsigned long tried;
	int ret;
};

/* One fault at a time, in one thread. */
static struct visit *visit;

/* Tries to bring home the one page that the CPU wants, else everything. */
static vm_fault_t bring_one_home(struct toy *toy, struct vm_fault *vmf)
{
	unsigned long src = 0, dst = 0;
	struct toy_move move = {
		.toy = toy,
		.nr = 1,
		.args = {
			.vma = vmf->vma,
			.src = &src,
			.dst = &dst,
			.start = vmf->address & PAGE_MASK,
			.end = (vmf->address & PAGE_MASK) + PAGE_SIZE,
			.pgmap_owner = toy,
			.flags = visit->flags,
			.fault_page = vmf->page,
		},
	};

	visit->ret = migrate_vma_setup(&move.args);
	if (visit->ret)
		return VM_FAULT_SIGBUS;
	visit->tried = move.args.cpages;
	toy_choose_ram(&move);
	migrate_vma_pages(&move.args);
	migrate_vma_finalize(&move.args);
	if (visit->tried)
		return 0;

	return toy_bring_home(toy, vmf);
}

/*
 * "fault_page: set to vmf->page if this is being called to migrate a page as
 * part of a migrate_to_ram() callback". Up to 7.3 it moves only if the driver
 * asks for large folios too; one that does not can do nothing about the fault.
 * C4.
 */
static void fault_on_a_large_folio_brings_one_page_home(struct kunit *test)
{
	struct large large = large_get(test, SEEN_PRIVATE);
	struct visit notes = { .flags = PRIVATE, .tried = ULONG_MAX };
	u32 word = 0;
	int ret;

	visit = &notes;
	large.toy->on_fault = bring_one_home;
	ret = get_user(word, (u32 __user *)(large.addr + 5 * PAGE_SIZE));
	large.toy->on_fault = NULL;
	visit = NULL;
	KUNIT_EXPECT_EQ(test, ret, 0);
	KUNIT_EXPECT_EQ(test, word, 6U);
	DMIRROR_EXPECT_ERRNO(test, notes.ret, 0, "setup in the fault");
	stamp_check(test, large.addr, NR_LARGE, true, "after the fault");
	large_end(test, &large);
	if (!notes.tried)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() of one page in a fault on a large folio");
	KUNIT_EXPECT_EQ_MSG(test, notes.tried, 1UL, "cpages in the fault");
}

/* The same of a folio that page table entries map: there it is cut. */
static void fault_by_pte_brings_one_page_home(struct kunit *test)
{
	struct large large = large_get(test, SEEN_PRIVATE);
	struct visit notes = { .flags = PRIVATE, .tried = ULONG_MAX };
	unsigned long at[] = { 0, 5, NR_LARGE - 1 }, i;
	u32 word;

	large_map_by_ptes(test, &large);
	visit = &notes;
	large.toy->on_fault = bring_one_home;
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		u32 __user *from = (u32 __user *)(large.addr +
						  at[i] * PAGE_SIZE);

		notes.tried = ULONG_MAX;
		KUNIT_EXPECT_EQ(test, get_user(word, from), 0);
		KUNIT_EXPECT_EQ(test, (unsigned long)word, at[i] + 1);
		KUNIT_EXPECT_EQ_MSG(test, notes.tried, 1UL,
				    "cpages in the fault at page %lu", at[i]);
		expect_small(test, &large, at[i], at[i] + 1, SEEN_RAM,
			     "after the fault");
	}
	visit = NULL;
	large.toy->on_fault = NULL;
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, NR_LARGE - 3,
			    "device pages in use");
	expect_small(test, &large, 1, 5, SEEN_PRIVATE, "after the faults");
	expect_small(test, &large, 6, NR_LARGE - 1, SEEN_PRIVATE,
		     "after the faults");
	stamp_check(test, large.addr, NR_LARGE, true, "after the faults");
	large_end(test, &large);
}

/* A large coherent folio in a hole, as migrate_vma_pages() allows it. */
static struct toy *coherent_large(struct kunit *test, struct large *large)
{
	struct toy *toy = toy_get(test, MEMORY_DEVICE_COHERENT, 2 * TOY_PAGES);
	struct attempt attempt;
	struct seen seen;

	attempt_init(test, &attempt, toy, large->addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	toy_choose_device(&attempt.move);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	seen = migrate_see_settled(large->addr);
	KUNIT_ASSERT_EQ(test, seen.kind, SEEN_COHERENT);
	KUNIT_ASSERT_TRUE(test, seen.huge);

	return toy;
}

/*
 * MIGRATE_VMA_SELECT_DEVICE_COHERENT selects the owner's pages, and
 * MIGRATE_VMA_SELECT_SYSTEM those of nobody's device, of any size. Up to 7.3 a
 * PMD is system memory, and belongs to everybody.
 */
static void coherent_folio_is_selected_by_flag_and_owner(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	struct toy *toy = coherent_large(test, &large);
	struct attempt ours, system;
	struct seen before;

	stamp_write(test, large.addr, NR_LARGE);
	before = migrate_see_settled(large.addr);
	attempt_init(test, &ours, toy, large.addr, NR_LARGE,
		     COHERENT | COMPOUND);
	DMIRROR_EXPECT_ERRNO(test, attempt_abort(&ours), 0, "collect");
	attempt_init(test, &system, large.toy, large.addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	DMIRROR_EXPECT_ERRNO(test, attempt_abort(&system), 0, "collect");
	before.folio_dirty |= before.dirty;
	migrate_expect_still(test, large.addr, &before, "after nothing moved");
	stamp_check(test, large.addr, NR_LARGE, true, "after nothing moved");
	large_end(test, &large);
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 0UL, "coherent pages in use");
	if (!ours.setup[0] || system.setup[0])
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() of a large coherent folio");
	attempt_expect_src(test, &ours, ours.setup, 0,
			   migrate_pfn(before.pfn) | LARGE_PAGE_W,
			   "with flag and owner");
	attempt_expect_src(test, &system, system.setup, 0, 0, "without");
}

static struct kunit_case migrate_large_hole_cases[] = {
	KUNIT_CASE_PARAM(hole_gets_large_or_small_pages, hole_gen_params),
	KUNIT_CASE_PARAM(hole_without_a_page_stays, hole_gen_params),
	KUNIT_CASE(filled_hole_gets_no_large_page),
	KUNIT_CASE(small_pages_fill_the_rest_of_a_hole),
	KUNIT_CASE(small_pages_for_a_part_of_a_hole),
	KUNIT_CASE(huge_page_in_a_hole_is_not_replaced),
	KUNIT_CASE(hole_gets_no_folio_of_another_kind),
	KUNIT_CASE(hole_gets_a_large_page_of_ram),
	KUNIT_CASE(unstable_mm_gets_no_large_page),
	KUNIT_CASE(every_large_hole_is_selected),
	KUNIT_CASE(fault_on_a_large_folio_brings_one_page_home),
	KUNIT_CASE(fault_by_pte_brings_one_page_home),
	KUNIT_CASE(coherent_folio_is_selected_by_flag_and_owner),
	{}
};

DMIRROR_SUITE_AS(migrate_large_hole, dmirror_case_init_mm,
		 migrate_large_hole_cases);
