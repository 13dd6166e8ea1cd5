// SPDX-License-Identifier: GPL-2.0
/*
 * What hmm_range_fault() says of a page: the output of include/linux/hmm.h and
 * "Address space mirroring" of Documentation/mm/hmm.rst, for every kind of
 * entry that mm/hmm.c tells apart and for every part of a range. Huge pages
 * are in hmm_huge_kunit.c, requests of single pages in hmm_requests_kunit.c.
 */
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/swap.h>

/* Before 7.3 it does not bring what it needs. */
#include <linux/leafops.h>

#include "hmm_kinds.h"
#include "hmm_probe.h"
#include "hmm_special.h"
#include "toy.h"

#define RW (PROT_READ | PROT_WRITE)

static const void *kind_gen_params(struct kunit *test, const void *prev,
				   char *desc)
{
	const struct hmm_kind *kind = prev ? prev + sizeof(*kind) : hmm_kinds;

	if (kind == hmm_kinds + hmm_nr_kinds)
		return NULL;
	strscpy(desc, kind->name, KUNIT_PARAM_DESC_SIZE);

	return kind;
}

static void every_kind_is_asked_for(struct kunit *test)
{
	dmirror_expect_params(test, kind_gen_params, 27, "kinds of an entry");
}

static int errno_of(char letter)
{
	return letter == 'F' ? -EFAULT : letter == 'P' ? -EPERM : 0;
}

/* One page of a kind, one request, and the answer that @want stands for. */
static void ask_kind(struct kunit *test, struct hmm_bench *bench,
		     unsigned long flags, char want, const char *step)
{
	const struct hmm_kind *kind = test->param_value;
	struct hmm_probe *probe = bench->probe;
	char letters[2] = { want };
	unsigned long addr, before, after;
	int ret;

	if (want == '.')
		return;
	addr = kind->make(test, bench);
	before = hmm_probe_raw(addr);
	ret = hmm_probe_run(probe, addr, 1, flags);
	after = hmm_probe_raw(addr);
	if (!(flags & HMM_PFN_REQ_FAULT) || ret)
		KUNIT_EXPECT_EQ_MSG(test, after, before,
				    "entry of the CPU at 0x%lx, %s: changed",
				    addr, step);
	DMIRROR_EXPECT_ERRNO(test, ret, errno_of(want), step);
	if (errno_of(want))
		hmm_probe_expect_input(test, probe, 0, 0, step);
	else if (!ret)
		hmm_probe_expect(test, probe, addr, letters, step);
}

/* Both ways to ask say the same of a page, and a snapshot changes nothing. */
static void entry_is_told_as_it_is(struct kunit *test)
{
	const struct hmm_kind *kind = test->param_value;
	struct hmm_bench bench = { .probe = hmm_probe_get(test, 1) };
	unsigned int way;

	for (way = 0; way < hmm_probe_ways(); way++) {
		bench.probe->unlocked = way;
		ask_kind(test, &bench, 0, kind->snapshot,
			 way ? "unlocked snapshot" : "snapshot");
		ask_kind(test, &bench, HMM_READ, kind->read,
			 way ? "unlocked read request" : "read request");
		ask_kind(test, &bench, HMM_WRITE, kind->write,
			 way ? "unlocked write request" : "write request");
		ask_kind(test, &bench, HMM_PFN_REQ_WRITE, kind->snapshot,
			 way ? "unlocked write request without a fault" :
			 "write request without a fault");
	}
}

/* In swap, as far as the entry tells: a fault would look for its swap file. */
static void swapped_page_is_faultable(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, 1);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	int ret;

	dmirror_user_touch(test, addr, 1);
	hmm_probe_set_raw(test, addr, softleaf_to_pte(swp_entry(0, 1)));
	ret = hmm_probe_run(probe, addr, 1, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot of a swap entry");
	hmm_probe_expect(test, probe, addr, "-", "of a swap entry");
	hmm_probe_set_raw(test, addr, __pte(0));
}

/*
 * hmm.h: "HMM_PFN_ERROR - accessing the pfn is impossible and the device
 * should fail. ie poisoned memory, ...", and 0 is for what "is faultable and a
 * future call with HMM_PFN_REQ_FAULT could succeed". Up to 7.3 a snapshot says
 * 0 of an entry that every fault refuses.
 */
static void dead_entry_is_an_error(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, 1);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	int snapshot, fault;
	char letter;

	dmirror_user_touch(test, addr, 1);
	hmm_probe_set_raw(test, addr, make_pte_marker(PTE_MARKER_POISONED));
	fault = hmm_probe_run(probe, addr, 1, HMM_READ);
	snapshot = hmm_probe_run(probe, addr, 1, 0);
	letter = hmm_probe_letter(probe->pfns[0]);
	DMIRROR_EXPECT_ERRNO(test, fault, -EFAULT, "read request");
	DMIRROR_EXPECT_ERRNO(test, snapshot, 0, "snapshot");
	if (!snapshot && letter == '-')
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() of poisoned memory");
	hmm_probe_expect(test, probe, addr, "E", "of a poisoned page");
}

/* An entry that leads nowhere is no hole that a fault could fill. */
static void broken_page_table_is_an_error(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, 2);
	unsigned long addr = dmirror_user_map(test, 2, RW);
	int snapshot, fault;
	char letter;
	bool good;

	dmirror_user_fill(test, addr, 1, 1);
	if (!hmm_probe_spoil(addr, true))
		kunit_skip(test, "needs page tables that can be spoiled");
	fault = hmm_probe_run(probe, addr, 1, HMM_READ);
	snapshot = hmm_probe_run(probe, addr, 1, 0);
	letter = hmm_probe_letter(probe->pfns[0]);
	good = hmm_probe_spoil(addr, false);
	DMIRROR_EXPECT_ERRNO(test, fault, -EFAULT, "read request");
	DMIRROR_EXPECT_ERRNO(test, snapshot, 0, "snapshot");
	KUNIT_EXPECT_EQ_MSG(test, letter, 'E', "page of a bad table");
	KUNIT_EXPECT_TRUE(test, good);
	DMIRROR_EXPECT_ERRNO(test, hmm_probe_run(probe, addr, 2, 0), 0,
			     "snapshot when it is mended");
	hmm_probe_expect(test, probe, addr, "w-", "when it is mended");
}

/* Everything that can be neighbours; the letters are those of a snapshot. */
#define MIXED "-rwwrEErEw-E"

static unsigned long map_mixed(struct kunit *test)
{
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr = dmirror_user_map(test, strlen(MIXED), RW);

	special->flags = VM_PFNMAP;
	dmirror_user_touch(test, addr + PAGE_SIZE, 1);
	dmirror_user_fill(test, addr + 2 * PAGE_SIZE, 2, 1);
	dmirror_user_map_over(test, addr + 4 * PAGE_SIZE, 1, PROT_READ);
	dmirror_user_touch(test, addr + 4 * PAGE_SIZE, 1);
	dmirror_user_unmap(test, addr + 5 * PAGE_SIZE, 2);
	dmirror_user_touch(test, addr + 7 * PAGE_SIZE, 1);
	dmirror_user_map_over(test, addr + 8 * PAGE_SIZE, 1, PROT_NONE);
	dmirror_user_fill(test, addr + 9 * PAGE_SIZE, 1, 2);
	hmm_special_map(test, special, addr + 11 * PAGE_SIZE, 1, RW);

	return addr;
}

/*
 * bd5d3587b218 ("mm/hmm: return error for non-vma snapshots"): holes and
 * PROT_NONE are errors, no gaps in the answer. B33. An entry of the answer is
 * that of its page, wherever the range begins.
 */
static void every_part_of_a_mixed_range(struct kunit *test)
{
	unsigned long first, end, n = strlen(MIXED), ranges = 0;
	struct hmm_probe *probe = hmm_probe_get(test, n);
	unsigned long addr = map_mixed(test);

	for (first = 0; first < n; first++) {
		for (end = first + 1; end <= n; end++) {
			char letters[sizeof(MIXED)] = { };
			unsigned long at = addr + first * PAGE_SIZE;
			char step[40];
			int ret;

			memcpy(letters, MIXED + first, end - first);
			snprintf(step, sizeof(step), "pages [%lu,%lu)", first,
				 end);
			ret = hmm_probe_run(probe, at, end - first, 0);
			DMIRROR_EXPECT_ERRNO(test, ret, 0, step);
			hmm_probe_expect(test, probe, at, letters, step);
			hmm_probe_expect_input(test, probe, end - first, 0,
					       step);
			ranges++;
		}
	}
	KUNIT_EXPECT_EQ(test, ranges, n * (n + 1) / 2);
}

/* Pages on either side of where one page table ends and the next begins. */
#define SIDE 4UL

struct tables {
	const char *name;
	const char *letters; /* of the 2 * SIDE pages */
};

static const struct tables tables_rows[] = {
	{ "no_tables", "--------" },
	{ "table_before", "-w-w----" },
	{ "table_after", "-----ww-" },
	{ "two_tables", "w--ww--w" },
};

KUNIT_ARRAY_PARAM_DESC(tables, tables_rows, name);

/* Where there is no table, a hole is longer than the page at hand. */
static void ranges_across_page_tables(struct kunit *test)
{
	const struct tables *row = test->param_value;
	struct hmm_probe *probe = hmm_probe_get(test, 2 * SIDE);
	unsigned long addr = dmirror_user_map(test, 4 * PTRS_PER_PTE, RW);
	unsigned long i, first, end;

	addr = ALIGN(addr + PMD_SIZE, PMD_SIZE) - SIDE * PAGE_SIZE;
	for (i = 0; i < 2 * SIDE; i++)
		if (row->letters[i] == 'w')
			dmirror_user_fill(test, addr + i * PAGE_SIZE, 1, 1);
	for (first = 0; first < SIDE; first++) {
		for (end = SIDE; end <= 2 * SIDE; end++) {
			unsigned long at = addr + first * PAGE_SIZE;
			char letters[2 * SIDE + 1] = { };
			int ret;

			memcpy(letters, row->letters + first, end - first);
			ret = hmm_probe_run(probe, at, end - first, 0);
			DMIRROR_EXPECT_ERRNO(test, ret, 0, row->name);
			hmm_probe_expect(test, probe, at, letters, row->name);
		}
	}
	DMIRROR_EXPECT_ERRNO(test, hmm_probe_run(probe, addr, 2 * SIDE,
						 HMM_WRITE), 0, row->name);
	hmm_probe_expect(test, probe, addr, "wwwwwwww", "after write requests");
}

/* hmm.h: "sticky flags, carried from input to output"; nothing else is. */
static void sticky_flags_and_nothing_else_are_kept(struct kunit *test)
{
	static const unsigned long sticky[] = {
		HMM_PFN_DMA_MAPPED, HMM_PFN_P2PDMA, HMM_PFN_P2PDMA_BUS,
	};
	unsigned long i, in, bits, n = strlen(MIXED);
	struct hmm_probe *probe = hmm_probe_get(test, n);
	unsigned long addr = map_mixed(test);
	int ret;

	for (bits = 0; bits < 16; bits++) {
		/* The last bit: everything else that can be in an entry. */
		in = bits & 8 ? ~HMM_STICKY : 0;
		for (i = 0; i < ARRAY_SIZE(sticky); i++)
			if (bits & BIT(i))
				in |= sticky[i];
		hmm_probe_fill(probe, in);
		ret = hmm_probe_ask(probe, addr, n);
		DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot");
		hmm_probe_expect(test, probe, addr, MIXED, "of a mixed range");
		for (i = 0; i < n; i++)
			KUNIT_EXPECT_EQ_MSG(test, probe->pfns[i] & HMM_STICKY,
					    in & HMM_STICKY,
					    "sticky flags of page %lu, 0x%lx before",
					    i, in);
	}
}

/* They are kept across a fault as well. */
static void sticky_flags_survive_a_fault(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, 3);
	unsigned long addr = dmirror_user_map(test, 3, RW);
	unsigned int way, i;
	int ret;

	for (way = 0; way < hmm_probe_ways(); way++) {
		dmirror_user_map_over(test, addr, 3, RW);
		probe->unlocked = way;
		probe->range.default_flags = HMM_WRITE;
		hmm_probe_fill(probe, HMM_PFN_DMA_MAPPED);
		ret = hmm_probe_ask(probe, addr, 3);
		DMIRROR_EXPECT_ERRNO(test, ret, 0, "write request");
		hmm_probe_expect(test, probe, addr, "www", "after the fault");
		for (i = 0; i < 3; i++)
			KUNIT_EXPECT_EQ_MSG(test, probe->pfns[i] & HMM_STICKY,
					    (unsigned long)HMM_PFN_DMA_MAPPED,
					    "sticky flags of page %u", i);
	}
}

/* The page tables far from each other: every level of them has its holes. */
static void holes_of_every_level(struct kunit *test)
{
	const unsigned long nr = 3 * PTRS_PER_PTE, at = PTRS_PER_PTE;
	struct hmm_probe *probe = hmm_probe_get(test, nr);
	unsigned long addr = dmirror_user_map(test, 4 * PTRS_PER_PTE, RW);
	unsigned long i;
	char *letters;
	int ret;

	letters = kunit_kzalloc(test, nr + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, letters);
	addr = ALIGN(addr, PMD_SIZE);
	dmirror_user_fill(test, addr + PMD_SIZE, 1, 1);
	ret = hmm_probe_run(probe, addr, nr, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot of three page tables");
	for (i = 0; i < nr; i++)
		letters[i] = i == at ? 'w' : '-';
	hmm_probe_expect(test, probe, addr, letters, "of three page tables");
	/* Nothing at all is below the first address of the mm. */
	ret = hmm_probe_run(probe, 0, 4, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot at address 0");
	hmm_probe_expect(test, probe, 0, "EEEE", "at address 0");
	ret = hmm_probe_run(probe, TASK_SIZE - 2 * PAGE_SIZE, 2, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot of the last addresses");
	hmm_probe_expect(test, probe, TASK_SIZE - 2 * PAGE_SIZE, "EE",
			 "at the last addresses");
}

static struct kunit_case hmm_flags_cases[] = {
	KUNIT_CASE(every_kind_is_asked_for),
	KUNIT_CASE_PARAM(entry_is_told_as_it_is, kind_gen_params),
	KUNIT_CASE(swapped_page_is_faultable),
	KUNIT_CASE(dead_entry_is_an_error),
	KUNIT_CASE(broken_page_table_is_an_error),
	KUNIT_CASE(every_part_of_a_mixed_range),
	KUNIT_CASE_PARAM(ranges_across_page_tables, tables_gen_params),
	KUNIT_CASE(holes_of_every_level),
	KUNIT_CASE(sticky_flags_and_nothing_else_are_kept),
	KUNIT_CASE(sticky_flags_survive_a_fault),
	{}
};

DMIRROR_SUITE_AS(hmm_flags, dmirror_case_init_mm, hmm_flags_cases);
