// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios through migrate_vma_setup(), _pages() and _finalize(): whole
 * (MIGRATE_PFN_COMPOUND), in part, in pieces, and back. From
 * mm/migrate_device.c and include/linux/migrate.h.
 */
#include <linux/memcontrol.h>
#include <linux/mman.h>
#include <linux/rcupdate.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

#include "../user.h"
#include "core_mm.h"
#include "migrate_large.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM
#define PRIVATE MIGRATE_VMA_SELECT_DEVICE_PRIVATE
#define COMPOUND MIGRATE_VMA_SELECT_COMPOUND

static const struct device_kind wheres[] = {
	{ .name = "ram", .seen = SEEN_RAM, .select = SYSTEM },
	{ .name = "private", .seen = SEEN_PRIVATE, .select = PRIVATE },
};

KUNIT_ARRAY_PARAM_DESC(where, wheres, name);

/* A large folio is one entry, and stays one on the way. */
static void whole_folio_moves(struct kunit *test)
{
	const struct device_kind *where = test->param_value;
	struct large large = large_get(test, where->seen);
	struct seen before = migrate_see_settled(large.addr), after, want;
	struct books books = migrate_books(current->mm);
	struct attempt attempt;
	unsigned long i;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     where->select | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_carry_out(&attempt, where->seen),
			  "collect");
	after = migrate_see_settled(large.addr);

	KUNIT_EXPECT_EQ(test, attempt.cpages, 1UL);
	KUNIT_EXPECT_EQ(test, attempt.npages, NR_LARGE);
	attempt_expect_src(test, &attempt, attempt.setup, 0,
			   migrate_pfn(before.pfn) | LARGE_PAGE_W,
			   "after setup");
	attempt_expect_src(test, &attempt, attempt.pages, 0,
			   migrate_pfn(before.pfn) | LARGE_PAGE_W,
			   "after pages");
	for (i = 1; i < NR_LARGE; i++)
		KUNIT_ASSERT_EQ_MSG(test, attempt.setup[i], 0UL, "src[%lu]", i);
	want = before;
	want.pfn = 0;
	want.kind = where->seen == SEEN_RAM ? SEEN_PRIVATE : SEEN_RAM;
	want.lru = want.kind == SEEN_RAM;
	want.folio_dirty = true;
	want.dirty = want.kind == SEEN_RAM && after.dirty;
	want.young = want.kind == SEEN_RAM && after.young;
	migrate_expect_seen(test, large.addr, &after, &want, "after it moved");
	migrate_expect_books(test, &books, "after it moved");
	stamp_check(test, large.addr, NR_LARGE, true, "after it moved");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->splits, 0U, "splits");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->freed_order,
			    (unsigned int)PMD_ORDER, "order of what was freed");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->frees, 1U, "folios freed");
	migrate_expect_books(test, &books, "after it came home");
	large_end(test, &large);
}

/**
 * struct charge - memory, and how it is moved
 * @name: in the case's name
 * @large: a large folio
 * @fault: the CPU brings it home
 */
struct charge {
	const char *name;
	bool large;
	bool fault;
};

static const struct charge charges[] = {
	{ "small_back", false, false },
	{ "small_faulted", false, true },
	{ "large_back", true, false },
	{ "large_faulted", true, true },
};

KUNIT_ARRAY_PARAM_DESC(charge, charges, name);

/* Whom the page at an address is charged to. */
static struct mem_cgroup *charged(unsigned long addr, struct seen *seen)
{
	struct mem_cgroup *memcg;

	*seen = migrate_see_settled(addr);
	if (seen->kind != SEEN_RAM && seen->kind != SEEN_PRIVATE)
		return NULL;
	/* It is compared only, and will not go away. */
	rcu_read_lock();
	memcg = folio_memcg(page_folio(pfn_to_page(seen->pfn)));
	rcu_read_unlock();

	return memcg;
}

/* The charge goes with the page, to the device too, and comes back: C3. */
static void memory_cgroup_goes_along(struct kunit *test)
{
	const struct charge *charge = test->param_value;
	unsigned long nr = charge->large ? NR_LARGE : 1, addr;
	struct mem_cgroup *before, *out, *home;
	struct seen seen[3];
	struct large large;
	struct toy *toy;

	migrate_suite_requires(test);
	DMIRROR_REQUIRES_CONFIG(test, MEMCG);
	large = large_or_small_get(test, charge->large, SEEN_RAM);
	toy = large.toy;
	addr = large.addr;
	before = charged(addr, &seen[0]);
	toy_to_device(test, toy, addr, nr);
	out = charged(addr, &seen[1]);
	if (charge->fault)
		stamp_check(test, addr, nr, true, "on the device");
	else
		toy_to_ram(test, toy, addr, nr);
	home = charged(addr, &seen[2]);
	KUNIT_EXPECT_EQ_MSG(test, seen[1].kind, SEEN_PRIVATE, "0x%lx", addr);
	KUNIT_EXPECT_EQ_MSG(test, seen[2].kind, SEEN_RAM, "0x%lx", addr);
	KUNIT_EXPECT_NOT_NULL_MSG(test, before, "0x%lx: in system memory",
				  addr);
	KUNIT_EXPECT_PTR_EQ_MSG(test, out, before, "0x%lx: on the device",
				addr);
	KUNIT_EXPECT_PTR_EQ_MSG(test, home, before, "0x%lx: at home", addr);
}

/**
 * struct restore - a large folio that comes back, and why
 * @name: in the case's name
 * @where: kind of the folio
 * @failure: why
 */
struct restore {
	const char *name;
	enum seen_kind where;
	enum failure failure;
};

static const struct restore restores[] = {
	{ "held_ram", SEEN_RAM, FAIL_HELD },
	{ "held_private", SEEN_PRIVATE, FAIL_HELD },
	{ "no_pages_ram", SEEN_RAM, FAIL_NO_PAGES },
	{ "no_pages_private", SEEN_PRIVATE, FAIL_NO_PAGES },
	{ "no_dst_ram", SEEN_RAM, FAIL_NO_DST },
	{ "no_dst_private", SEEN_PRIVATE, FAIL_NO_DST },
	{ "dst_freed_ram", SEEN_RAM, FAIL_DST_FREED },
	{ "dst_freed_private", SEEN_PRIVATE, FAIL_DST_FREED },
	{ "late_reference_ram", SEEN_RAM, FAIL_LATE_REFERENCE },
	{ "late_reference_private", SEEN_PRIVATE, FAIL_LATE_REFERENCE },
};

KUNIT_ARRAY_PARAM_DESC(restore, restores, name);

/* Bits that entries may have, of the kernel and of the kind of page. */
static bool bits_exist(unsigned int bits, bool is_private)
{
	if (is_private && bits & (BIT_DIRTY | BIT_YOUNG))
		return false;

	return IS_ENABLED(CONFIG_MEM_SOFT_DIRTY) || !(bits & BIT_SOFT_DIRTY);
}

/*
 * A large entry too. Lorenzo Stoakes' fix of set_pmd_migration_entry(), which
 * fixes 65edfda6f3f2: B22, is about an entry that can be written to because its
 * soft-dirty bit was taken for that.
 */
static void entry_comes_back_as_it_was(struct kunit *test)
{
	const struct restore *restore = test->param_value;
	struct large large = large_get(test, restore->where);
	bool is_private = restore->where == SEEN_PRIVATE;
	struct books books = migrate_books(current->mm);
	struct seen before, after, want;
	struct attempt attempt;
	unsigned int bits;
	char step[64];

	for (bits = 0; bits <= LARGE_BITS; bits++) {
		if (!bits_exist(bits, is_private))
			continue;
		scnprintf(step, sizeof(step), "huge entry%s%s%s%s",
			  bits & BIT_WRITE ? " write" : "",
			  bits & BIT_DIRTY ? " dirty" : "",
			  bits & BIT_YOUNG ? " young" : "",
			  bits & BIT_SOFT_DIRTY ? " soft-dirty" : "");
		large_set_bits(large.addr, bits);
		before = migrate_see_settled(large.addr);
		want = migrate_seen_back(&before);
		attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
			     (is_private ? PRIVATE : SYSTEM) | COMPOUND);
		DMIRROR_EXPECT_ERRNO(test,
				     attempt_fail(&attempt, restore->failure,
						  &before),
				     0, step);
		attempt_expect_balance(test, &attempt, step);
		after = migrate_see_settled(large.addr);
		/* What is made dirty may become soft-dirty: that is no harm. */
		want.soft_dirty |= before.dirty && after.soft_dirty;
		if (!migrate_expect_seen(test, large.addr, &after, &want, step))
			break;
	}
	migrate_expect_books(test, &books, "after all of them");
	large_set_bits(large.addr, LARGE_BITS);
	stamp_check(test, large.addr, NR_LARGE, true, "after all of them");
	large_end(test, &large);
}

/*
 * And to the other side and back: what may not be written to may not be then,
 * whatever the soft-dirty bit says. The same fix, of 65edfda6f3f2: B22.
 */
static void entry_is_as_writable_elsewhere(struct kunit *test)
{
	const struct device_kind *where = test->param_value;
	struct large large = large_get(test, where->seen);
	struct attempt attempt;
	struct seen after;
	unsigned int bits;
	char step[48];
	bool out;

	out = where->seen == SEEN_PRIVATE;
	for (bits = 0; bits <= LARGE_BITS; bits++) {
		bool write = bits & BIT_WRITE;

		if (!bits_exist(bits, true))
			continue;
		scnprintf(step, sizeof(step), "huge entry%s%s, moved",
			  write ? " write" : "",
			  bits & BIT_SOFT_DIRTY ? " soft-dirty" : "");
		large_set_bits(large.addr, bits);
		attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
			     (out ? PRIVATE : SYSTEM) | COMPOUND);
		DMIRROR_ASSERT_OK(test,
				  attempt_carry_out(&attempt, out ?
						    SEEN_PRIVATE : SEEN_RAM),
				  step);
		out = !out;
		after = migrate_see_settled(large.addr);
		KUNIT_EXPECT_EQ_MSG(test,
				    attempt.setup[0] & MIGRATE_PFN_WRITE,
				    write ? MIGRATE_PFN_WRITE : 0UL,
				    "src[0] of 0x%lx %s", large.addr, step);
		KUNIT_EXPECT_TRUE_MSG(test, after.huge && after.exclusive &&
				      after.write == write &&
				      after.soft_dirty ==
				      !!(bits & BIT_SOFT_DIRTY) &&
				      after.kind == (out ? SEEN_PRIVATE :
							   SEEN_RAM),
				      "0x%lx %s: got huge %d exclusive %d write %d soft-dirty %d, wanted 1 1 %d %d",
				      large.addr, step, after.huge,
				      after.exclusive, after.write,
				      after.soft_dirty, write,
				      !!(bits & BIT_SOFT_DIRTY));
	}
	large_set_bits(large.addr, BIT_WRITE);
	stamp_check(test, large.addr, NR_LARGE, true, "at the end");
	large_end(test, &large);
}

/*
 * "mm/migrate_device: fix double unlock", which fixes a30b48bf1b24: B11. What is
 * on its way already is left out, and its lock is free.
 */
static void folio_on_its_way_is_left_out(struct kunit *test)
{
	const struct device_kind *where = test->param_value;
	struct large large = large_get(test, where->seen);
	struct seen before = migrate_see_settled(large.addr);
	struct books books = migrate_books(current->mm);
	struct attempt first, second;
	unsigned int held[2];
	struct seen moving;
	int ret, again = 0;
	bool free = true;

	attempt_init(test, &first, large.toy, large.addr, NR_LARGE,
		     where->select | COMPOUND);
	attempt_init(test, &second, large.toy, large.addr, NR_LARGE,
		     SYSTEM | PRIVATE | COMPOUND);
	ret = attempt_collect(&first);
	if (!ret) {
		second.move.args.vma = first.move.args.vma;
		held[0] = core_held();
		again = migrate_vma_setup(&second.move.args);
		held[1] = core_held();
		free = core_unlocked(large.addr);
		moving = migrate_see(current->mm, large.addr);
		memcpy(second.setup, second.move.args.src,
		       NR_LARGE * sizeof(*second.setup));
		second.cpages = second.move.args.cpages;
		second.end = second.move.args.end;
		toy_finish(&first.move);
	}
	DMIRROR_ASSERT_OK(test, ret, "the first migrate_vma_setup()");
	DMIRROR_EXPECT_ERRNO(test, again, 0, "the second migrate_vma_setup()");
	KUNIT_EXPECT_EQ_MSG(test, held[1], held[0],
			    "locks and preemption after the second one");
	KUNIT_EXPECT_TRUE_MSG(test, free, "0x%lx: the PMD's lock is held",
			      large.addr);
	KUNIT_EXPECT_EQ_MSG(test, second.cpages, 0UL,
			    "pages of the second one");
	attempt_expect_src(test, &second, second.setup, 0, 0,
			   "after the second setup");
	KUNIT_EXPECT_EQ_MSG(test, moving.kind, SEEN_MIGRATION, "0x%lx",
			    large.addr);
	before = migrate_seen_back(&before);
	migrate_expect_still(test, large.addr, &before, "at the end");
	migrate_expect_books(test, &books, "at the end");
	stamp_check(test, large.addr, NR_LARGE, true, "at the end");
	large_end(test, &large);
}

/* What somebody else has taken off the LRU stays, and his it is. */
static void folio_off_the_lru_stays(struct kunit *test)
{
	struct large large = large_get(test, SEEN_RAM);
	struct seen before = migrate_see_settled(large.addr), off, want;
	struct folio *folio = page_folio(pfn_to_page(before.pfn));
	struct books books = migrate_books(current->mm);
	struct attempt attempt;
	int ret;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	KUNIT_ASSERT_TRUE_MSG(test, before.lru, "0x%lx before", large.addr);
	folio_clear_lru(folio);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	off = migrate_see(current->mm, large.addr);
	folio_set_lru(folio);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	attempt_expect_balance(test, &attempt, "off the LRU");
	KUNIT_EXPECT_EQ_MSG(test, attempt.cpages, 0UL, "pages collected");
	attempt_expect_src(test, &attempt, attempt.setup, 0, 0, "after setup");
	want = migrate_seen_back(&before);
	want.lru = false;
	migrate_expect_seen(test, large.addr, &off, &want, "off the LRU");
	want.lru = true;
	migrate_expect_still(test, large.addr, &want, "on the LRU again");
	migrate_expect_books(test, &books, "on the LRU again");
	stamp_check(test, large.addr, NR_LARGE, true, "on the LRU again");
	large_end(test, &large);
}

/**
 * struct leftover - a folio of the device that is unmapped
 * @name: in the case's name
 * @by_ptes: page table entries map it
 * @parts: how many times
 */
struct leftover {
	const char *name;
	bool by_ptes;
	unsigned long parts;
};

static const struct leftover leftovers[] = {
	{ "by_pmd", false, 1 },
	{ "by_ptes", true, 1 },
	{ "in_parts", true, 4 },
};

KUNIT_ARRAY_PARAM_DESC(leftover, leftovers, name);

/*
 * "mm/hmm: fix ZONE_DEVICE anon page mapping reuse": 7ab0ad0e74f8, B30. Nothing
 * of the mapping is left in any of the pages that folio_free() gets.
 */
static void unmapped_folio_is_clean(struct kunit *test)
{
	const struct leftover *leftover = test->param_value;
	struct large large = large_get(test, SEEN_PRIVATE);
	unsigned long i, nr = NR_LARGE / leftover->parts;

	if (leftover->by_ptes)
		large_map_by_ptes(test, &large);
	for (i = 0; i < leftover->parts; i++) {
		KUNIT_EXPECT_EQ_MSG(test, large.toy->frees, 0U,
				    "folios freed before page %lu", i * nr);
		dmirror_user_unmap(test, large.addr + i * nr * PAGE_SIZE, nr);
	}
	KUNIT_EXPECT_EQ_MSG(test, large.toy->frees, 1U, "folios freed");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->freed_order,
			    (unsigned int)PMD_ORDER, "order of what was freed");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->freed_exclusive, 0UL,
			    "pages with PageAnonExclusive() in folio_free()");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->freed_mapped, 0U,
			    "folios with a mapping in folio_free()");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, 0UL, "device pages in use");
}

/* Without MIGRATE_VMA_SELECT_COMPOUND there are small pages only. */
static void whole_folio_moves_in_pages(struct kunit *test)
{
	const struct device_kind *where = test->param_value;
	struct large large = large_get(test, where->seen);
	struct seen before = migrate_see_settled(large.addr);
	struct books books = migrate_books(current->mm);
	struct attempt attempt;
	unsigned long i;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     where->select);
	DMIRROR_ASSERT_OK(test, attempt_carry_out(&attempt, where->seen),
			  "collect");
	KUNIT_EXPECT_EQ(test, attempt.cpages, NR_LARGE);
	for (i = 0; i < NR_LARGE; i++)
		KUNIT_ASSERT_EQ_MSG(test, attempt.setup[i],
				    migrate_pfn(before.pfn + i) |
				    MIGRATE_PFN_MIGRATE | MIGRATE_PFN_WRITE,
				    "src[%lu]", i);
	expect_small(test, &large, 0, NR_LARGE, where->seen == SEEN_RAM ?
		     SEEN_PRIVATE : SEEN_RAM, "after they moved");
	migrate_expect_books(test, &books, "after they moved");
	stamp_check(test, large.addr, NR_LARGE, true, "after they moved");
	large_end(test, &large);
}

/**
 * struct part - some pages of a large folio
 * @name: in the case's name
 * @where: kind of the folio
 * @at: the first
 * @nr: how many
 * @by_ptes: page table entries map the folio
 */
struct part {
	const char *name;
	enum seen_kind where;
	unsigned long at;
	unsigned long nr;
	bool by_ptes;
};

static const struct part parts[] = {
	{ "first_of_ram", SEEN_RAM, 0, 1 },
	{ "middle_of_ram", SEEN_RAM, 5, 3 },
	{ "last_of_ram", SEEN_RAM, NR_LARGE - 1, 1 },
	{ "all_but_first_of_ram", SEEN_RAM, 1, NR_LARGE - 1 },
	{ "first_of_private", SEEN_PRIVATE, 0, 1 },
	{ "middle_of_private", SEEN_PRIVATE, 5, 3 },
	{ "last_of_private", SEEN_PRIVATE, NR_LARGE - 1, 1 },
	{ "all_but_first_of_private", SEEN_PRIVATE, 1, NR_LARGE - 1 },
	/*
	 * 022a12deda53 ("mm/migrate_device: handle partially mapped folios
	 * during collection"): B20. "mm/migrate_device: pin large folios before
	 * splitting": the count of references, B13.
	 */
	{ "middle_of_ram_by_ptes", SEEN_RAM, 5, 3, true },
	{ "all_of_ram_by_ptes", SEEN_RAM, 0, NR_LARGE, true },
	{ "middle_of_private_by_ptes", SEEN_PRIVATE, 5, 3, true },
	{ "all_of_private_by_ptes", SEEN_PRIVATE, 0, NR_LARGE, true },
};

KUNIT_ARRAY_PARAM_DESC(part, parts, name);

/* The part moves, the folio is cut, and the rest is where it was. */
static void part_of_a_folio_moves(struct kunit *test)
{
	const struct part *part = test->param_value;
	struct large large = large_get(test, part->where);
	struct books books = migrate_books(current->mm);
	bool home = part->where == SEEN_PRIVATE;
	unsigned long end = part->at + part->nr;
	struct attempt attempt;

	if (part->by_ptes)
		large_map_by_ptes(test, &large);
	attempt_init(test, &attempt, large.toy,
		     large.addr + part->at * PAGE_SIZE, part->nr,
		     (home ? PRIVATE : SYSTEM) | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_carry_out(&attempt, part->where),
			  "collect");

	KUNIT_EXPECT_EQ(test, attempt.cpages, part->nr);
	KUNIT_EXPECT_EQ(test, attempt.npages, part->nr);
	expect_small(test, &large, 0, part->at, part->where, "before");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out,
			    home ? NR_LARGE - part->nr : part->nr,
			    "device pages in use");
	migrate_expect_books(test, &books, "after a part moved");
	expect_small(test, &large, end, NR_LARGE, part->where, "behind");
	expect_small(test, &large, part->at, end, home ? SEEN_RAM :
		     SEEN_PRIVATE, "the part");
	stamp_check(test, large.addr, NR_LARGE, true, "after a part moved");
	large_end(test, &large);
}

/* From the middle of one folio to the middle of the next. */
static void range_across_two_folios_moves(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	unsigned long addr = dmirror_user_map(test, 3 * NR_LARGE, RW);
	struct attempt attempt;
	struct seen seen;

	addr = ALIGN(addr, PMD_SIZE);
	large_advise(test, addr, 2 * NR_LARGE, MADV_HUGEPAGE);
	stamp_write(test, addr, 2 * NR_LARGE);
	large_advise(test, addr, 2 * NR_LARGE, MADV_NOHUGEPAGE);
	KUNIT_ASSERT_TRUE(test, migrate_see(current->mm, addr).huge);
	KUNIT_ASSERT_TRUE(test, migrate_see(current->mm,
					    addr + NR_LARGE * PAGE_SIZE).huge);
	attempt_init(test, &attempt, large.toy, addr + PMD_SIZE / 2, NR_LARGE,
		     SYSTEM | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	toy_choose_device(&attempt.move);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	KUNIT_EXPECT_EQ(test, attempt.cpages, NR_LARGE);
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, NR_LARGE,
			    "device pages in use");
	seen = migrate_see_settled(addr + PMD_SIZE / 2 - PAGE_SIZE);
	KUNIT_EXPECT_EQ_MSG(test, seen.kind, SEEN_RAM, "before the range");
	seen = migrate_see_settled(addr + PMD_SIZE + PMD_SIZE / 2);
	KUNIT_EXPECT_EQ_MSG(test, seen.kind, SEEN_RAM, "behind the range");
	stamp_check(test, addr, 2 * NR_LARGE, true, "after the middle moved");
	dmirror_user_unmap(test, addr, 2 * NR_LARGE);
	large_end(test, &large);
}

static const struct part held_parts[] = {
	{ "ram", SEEN_RAM, 5, 3 },
	{ "private", SEEN_PRIVATE, 5, 3 },
	{ "ram_by_ptes", SEEN_RAM, 5, 3, true },
	{ "private_by_ptes", SEEN_PRIVATE, 5, 3, true },
};

KUNIT_ARRAY_PARAM_DESC(held_part, held_parts, name);

/* A folio that cannot be cut, because somebody holds it, stays as it is. */
static void part_of_a_held_folio_stays(struct kunit *test)
{
	const struct part *part = test->param_value;
	struct large large = large_get(test, part->where);
	struct attempt attempt;
	struct folio *folio;
	struct seen before;
	unsigned long i;
	int ret;

	if (part->by_ptes)
		large_map_by_ptes(test, &large);
	before = migrate_see_settled(large.addr);
	folio = page_folio(pfn_to_page(before.pfn));
	attempt_init(test, &attempt, large.toy,
		     large.addr + part->at * PAGE_SIZE, part->nr,
		     part->where == SEEN_PRIVATE ? PRIVATE : SYSTEM);
	folio_get(folio);
	ret = attempt_abort(&attempt);
	folio_put(folio);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	attempt_expect_balance(test, &attempt, "part of a held folio");
	KUNIT_EXPECT_EQ(test, attempt.cpages, 0UL);
	KUNIT_EXPECT_EQ(test, attempt.npages, part->nr);
	for (i = 0; i < part->nr; i++)
		KUNIT_ASSERT_EQ_MSG(test, attempt.setup[i], 0UL, "src[%lu]", i);
	migrate_expect_still(test, large.addr, &before, "after the refusal");
	stamp_check(test, large.addr, NR_LARGE, true, "after the refusal");
	large_end(test, &large);
}

/**
 * struct choice - which pages of a large folio get a small page
 * @name: in the case's name
 * @from: where the folio is
 * @gets: does page @i?
 */
struct choice {
	const char *name;
	enum seen_kind from;
	bool (*gets)(unsigned long i);
};

static bool all(unsigned long i)
{
	return true;
}

static bool first_only(unsigned long i)
{
	return !i;
}

static bool all_but_first(unsigned long i)
{
	return i;
}

static bool every_other(unsigned long i)
{
	return !(i & 1);
}

static const struct choice choices[] = {
	{ "ram_all", SEEN_RAM, all },
	{ "ram_first_only", SEEN_RAM, first_only },
	{ "ram_all_but_first", SEEN_RAM, all_but_first },
	{ "ram_every_other", SEEN_RAM, every_other },
	{ "private_all", SEEN_PRIVATE, all },
	{ "private_first_only", SEEN_PRIVATE, first_only },
	{ "private_all_but_first", SEEN_PRIVATE, all_but_first },
	{ "private_every_other", SEEN_PRIVATE, every_other },
};

KUNIT_ARRAY_PARAM_DESC(choice, choices, name);

/*
 * ec0abae6dcdf ("mm/thp: fix __split_huge_pmd_locked() for migration PMD") and
 * 9d84604b845c, its correction: "the device or the CPU can refuse to migrate
 * THP pages", and then the migration entry itself is split. B27.
 */
static void folio_is_cut_for_small_pages(struct kunit *test)
{
	const struct choice *choice = test->param_value;
	struct large large = large_get(test, choice->from);
	struct seen before = migrate_see_settled(large.addr);
	struct books books = migrate_books(current->mm);
	bool home = choice->from == SEEN_PRIVATE, given;
	struct attempt attempt;
	unsigned long i, wrong = NR_LARGE;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     (home ? PRIVATE : SYSTEM) | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_small_pages(&attempt.move, choice->from,
				 choice->gets);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	KUNIT_ASSERT_TRUE(test, given);
	if (!choice->gets(0)) {
		/* It is the first entry that speaks for the folio. */
		before.folio_dirty = true;
		migrate_expect_still(test, large.addr, &before, "still whole");
		goto out;
	}
	user_lru_drain();
	for (i = 0; i < NR_LARGE; i++) {
		bool moved = attempt.pages[i] & MIGRATE_PFN_MIGRATE;

		if (moved != choice->gets(i) && wrong == NR_LARGE)
			wrong = i;
		if (!expect_small_page(test, &large, i,
				       home == choice->gets(i) ? SEEN_RAM :
				       SEEN_PRIVATE, "after it was cut"))
			break;
	}
	KUNIT_EXPECT_EQ_MSG(test, wrong, NR_LARGE,
			    "src[%lu], of 0x%lx, after it was cut: got 0x%lx",
			    wrong, large.addr + wrong * PAGE_SIZE,
			    wrong < NR_LARGE ? attempt.pages[wrong] : 0);
out:
	migrate_expect_books(test, &books, "afterwards");
	stamp_check(test, large.addr, NR_LARGE, true, "afterwards");
	large_end(test, &large);
}

/* Held since, it cannot be cut: it comes back, in one piece. */
static void folio_that_cannot_be_cut_comes_back(struct kunit *test)
{
	const struct device_kind *where = test->param_value;
	struct large large = large_get(test, where->seen);
	struct seen before = migrate_see_settled(large.addr);
	struct folio *folio = page_folio(pfn_to_page(before.pfn));
	struct books books = migrate_books(current->mm);
	struct attempt attempt;
	unsigned long i;
	bool given;

	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     where->select | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	given = give_small_pages(&attempt.move, where->seen, NULL);
	folio_get(folio);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	folio_put(folio);
	KUNIT_ASSERT_TRUE(test, given);
	for (i = 0; i < NR_LARGE; i++)
		KUNIT_ASSERT_EQ_MSG(test, attempt.pages[i] &
				    MIGRATE_PFN_MIGRATE, 0UL, "src[%lu]", i);
	before.huge = false;
	before.refs = NR_LARGE;
	before.maps = NR_LARGE;
	before.folio_dirty = true;
	migrate_expect_still(test, large.addr, &before, "after the refusal");
	migrate_expect_books(test, &books, "after the refusal");
	stamp_check(test, large.addr, NR_LARGE, true, "after the refusal");
	large_end(test, &large);
}

/* Does mem_cgroup_migrate() find folios of different sizes, and die of it? */
static bool dies_of_refused_folio(void)
{
#ifdef MIGRATES_REFUSED_FOLIOS
	return IS_ENABLED(CONFIG_MEMCG) && IS_ENABLED(CONFIG_DEBUG_VM);
#else
	return false;
#endif
}

/*
 * A large page for a small one is no destination: the source has to stay as
 * it was. Up to 7.3 it stays where it was, but what the LRU knew of it is gone,
 * and the memory cgroup too, if not all the kernel: C3.
 */
static void large_page_for_a_small_one_is_refused(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	unsigned long addr = dmirror_user_map(test, 1, RW), tries;
	struct attempt attempt;
	struct seen before;
	struct folio *folio;
	struct page *page;

	if (dies_of_refused_folio())
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_pages() of a small page to a large one");
	stamp_write(test, addr, 1);
	before = migrate_see_settled(addr);
	folio = page_folio(pfn_to_page(before.pfn));
	for (tries = 0; tries < 8 && !folio_test_active(folio); tries++) {
		folio_mark_accessed(folio);
		user_lru_drain();
	}
	before = migrate_see_settled(addr);
	attempt_init(test, &attempt, large.toy, addr, 1, SYSTEM | COMPOUND);
	DMIRROR_ASSERT_OK(test, attempt_collect(&attempt), "collect");
	page = toy_alloc(large.toy, PMD_ORDER);
	if (page)
		attempt.move.args.dst[0] = migrate_pfn(page_to_pfn(page)) |
					   MIGRATE_PFN_COMPOUND;
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_TRUE_MSG(test, before.active, "before");
	attempt_expect_src(test, &attempt, attempt.pages, 0,
			   migrate_pfn(before.pfn) | MIGRATE_PFN_WRITE,
			   "after pages");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, 0UL, "device pages in use");
	stamp_check(test, addr, 1, true, "after the refusal");
	if (!migrate_see_settled(addr).active)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_pages() of a small page to a large one");
	before.folio_dirty |= before.dirty;
	migrate_expect_still(test, addr, &before, "after the refusal");
}

/* What a child does with the area: it reads all stamps. */
static int read_stamps(void *data)
{
	struct large *large = data;
	unsigned long i;
	u32 got;

	for (i = 0; i < NR_LARGE; i++) {
		if (get_user(got, (u32 __user *)(large->addr + i * PAGE_SIZE)))
			return -EFAULT;
		if (got != i + 1)
			return -EIO;
	}

	return 0;
}

/* A whole migration; @warnings is how often core mm has warned. */
static int move_and_count_warnings(struct kunit *test, struct attempt *attempt,
				   enum seen_kind from, int *warnings)
{
	int ret = -EINVAL;

	kunit_warning_suppress(test) {
		ret = attempt_carry_out(attempt, from);
		*warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}

	return ret;
}

/* Linux 7.2 does not warn, it dies: there the case does not go on. */
static bool dies_of_read_only_leaf(enum seen_kind from)
{
#ifdef REMOVE_MIGRATION_PMD_DIES
	return from == SEEN_RAM && large_leaf_looks_writable();
#else
	return false;
#endif
}

/* "unmapped from the process": from both, and for both it is elsewhere. */
static void shared_folio_moves_for_both(struct kunit *test)
{
	const struct device_kind *where = test->param_value;
	struct large large = large_get(test, where->seen);
	int forked, ret = -EINVAL, child_ret = -EINVAL, warnings = 0;
	struct seen before, after;
	struct user_child child;
	struct attempt attempt;

	if (dies_of_read_only_leaf(where->seen)) {
		large_end(test, &large);
		DMIRROR_KNOWN_DEFECT(test,
				     "remove_migration_pmd() of a read-only private PMD");
	}
	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     where->select | COMPOUND);
	forked = user_fork(&child);
	if (!forked) {
		before = migrate_see_settled(large.addr);
		ret = move_and_count_warnings(test, &attempt, where->seen,
					      &warnings);
		after = migrate_see_settled(large.addr);
		child_ret = user_ask(&child, read_stamps, &large);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_ASSERT_OK(test, ret, "collect");
	DMIRROR_EXPECT_ERRNO(test, child_ret, 0, "what the child read");
	KUNIT_EXPECT_EQ_MSG(test, before.maps, 2, "mappings after a fork");
	attempt_expect_src(test, &attempt, attempt.setup, 0,
			   migrate_pfn(before.pfn) | LARGE_PAGE, "after setup");
	KUNIT_EXPECT_EQ_MSG(test, after.kind, where->seen == SEEN_RAM ?
			    SEEN_PRIVATE : SEEN_RAM, "after it moved");
	KUNIT_EXPECT_EQ_MSG(test, after.maps, 2, "after it moved");
	KUNIT_EXPECT_FALSE_MSG(test, after.write, "after it moved");
	KUNIT_EXPECT_FALSE_MSG(test, after.exclusive, "after it moved");
	KUNIT_EXPECT_TRUE_MSG(test, after.huge, "after it moved");
	stamp_check(test, large.addr, NR_LARGE, true, "after the child");
	large_end(test, &large);
	/* One for each mapping whose entry is soft-dirty. */
	if (warnings && warnings <= before.maps && where->seen == SEEN_RAM &&
	    large_leaf_looks_writable())
		DMIRROR_KNOWN_DEFECT(test,
				     "remove_migration_pmd() of a read-only private PMD");
	KUNIT_EXPECT_EQ_MSG(test, warnings, 0, "warnings of core mm");
}

/**
 * struct alone - a large folio that is not to be selected
 * @name: in the case's name
 * @where: it is
 * @flags: MIGRATE_VMA_SELECT_*, besides COMPOUND
 * @other: who asks is not its owner
 * @locked: somebody has it locked
 * @pinned: somebody has pinned a page of it
 */
struct alone {
	const char *name;
	enum seen_kind where;
	unsigned long flags;
	bool other;
	bool locked;
	bool pinned;
};

static const struct alone alones[] = {
	{ "ram_without_its_flag", SEEN_RAM, PRIVATE },
	{ "private_without_its_flag", SEEN_PRIVATE, SYSTEM },
	{ "private_of_another", SEEN_PRIVATE, SYSTEM | PRIVATE, .other = true },
	{ "ram_locked", SEEN_RAM, SYSTEM | PRIVATE, .locked = true },
	{ "private_locked", SEEN_PRIVATE, SYSTEM | PRIVATE, .locked = true },
	{ "ram_pinned", SEEN_RAM, SYSTEM | PRIVATE, .pinned = true },
};

KUNIT_ARRAY_PARAM_DESC(alone, alones, name);

/* What is not selected is not unmapped, not cut and not waited for. */
static void folio_is_left_alone(struct kunit *test)
{
	const struct alone *alone = test->param_value;
	struct large large = large_get(test, alone->where);
	struct attempt attempt;
	struct page *page;
	struct folio *folio;
	struct seen before;
	unsigned long i;
	int ret;

	if (alone->pinned)
		KUNIT_ASSERT_EQ(test, pin_user_pages_fast(large.addr, 1,
							  FOLL_WRITE, &page),
				1);
	before = migrate_see_settled(large.addr);
	folio = page_folio(pfn_to_page(before.pfn));
	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     alone->flags | COMPOUND);
	if (alone->other)
		attempt.move.args.pgmap_owner = &attempt;
	if (alone->locked)
		folio_lock(folio);
	ret = attempt_abort(&attempt);
	if (alone->locked)
		folio_unlock(folio);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "collect");
	KUNIT_EXPECT_EQ(test, attempt.cpages, 0UL);
	KUNIT_EXPECT_EQ(test, attempt.npages, NR_LARGE);
	for (i = 0; i < NR_LARGE; i++)
		attempt_expect_src(test, &attempt, attempt.setup, i, 0,
				   "after setup");
	migrate_expect_still(test, large.addr, &before, "after nothing moved");
	if (alone->pinned)
		unpin_user_page(page);
	stamp_check(test, large.addr, NR_LARGE, true, "after nothing moved");
	large_end(test, &large);
}

static struct kunit_case migrate_large_cases[] = {
	KUNIT_CASE_PARAM(whole_folio_moves, where_gen_params),
	KUNIT_CASE_PARAM(memory_cgroup_goes_along, charge_gen_params),
	KUNIT_CASE_PARAM(entry_comes_back_as_it_was, restore_gen_params),
	KUNIT_CASE_PARAM(entry_is_as_writable_elsewhere, where_gen_params),
	KUNIT_CASE_PARAM(folio_on_its_way_is_left_out, where_gen_params),
	KUNIT_CASE(folio_off_the_lru_stays),
	KUNIT_CASE_PARAM(unmapped_folio_is_clean, leftover_gen_params),
	KUNIT_CASE_PARAM(whole_folio_moves_in_pages, where_gen_params),
	KUNIT_CASE_PARAM(part_of_a_folio_moves, part_gen_params),
	KUNIT_CASE(range_across_two_folios_moves),
	KUNIT_CASE_PARAM(part_of_a_held_folio_stays, held_part_gen_params),
	KUNIT_CASE_PARAM(folio_is_cut_for_small_pages, choice_gen_params),
	KUNIT_CASE_PARAM(folio_that_cannot_be_cut_comes_back, where_gen_params),
	KUNIT_CASE(large_page_for_a_small_one_is_refused),
	KUNIT_CASE_PARAM(shared_folio_moves_for_both, where_gen_params),
	KUNIT_CASE_PARAM(folio_is_left_alone, alone_gen_params),
	{}
};

DMIRROR_SUITE_AS(migrate_large, dmirror_case_init_mm, migrate_large_cases);
