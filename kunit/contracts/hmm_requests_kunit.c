// SPDX-License-Identifier: GPL-2.0
/*
 * What hmm_range_fault() may be asked for: the input of include/linux/hmm.h,
 * and "Leverage default_flags and pfn_flags_mask" of Documentation/mm/hmm.rst.
 */
#include <linux/mman.h>

#include "../user.h"
#include "hmm_kinds.h"
#include "hmm_probe.h"
#include "toy.h"

#define RW (PROT_READ | PROT_WRITE)

static const unsigned long requests[] = {
	0, HMM_PFN_REQ_FAULT, HMM_PFN_REQ_WRITE, HMM_WRITE,
};

static const unsigned long masks[] = {
	0, HMM_PFN_REQ_FAULT, HMM_PFN_REQ_WRITE, HMM_WRITE, ULONG_MAX,
};

static const void *cheap_gen_params(struct kunit *test, const void *prev,
				    char *desc)
{
	const struct hmm_kind *kind = prev ? prev + sizeof(*kind) : hmm_kinds;

	while (kind < hmm_kinds + hmm_nr_kinds && !kind->cheap)
		kind++;
	if (kind == hmm_kinds + hmm_nr_kinds)
		return NULL;
	strscpy(desc, kind->name, KUNIT_PARAM_DESC_SIZE);

	return kind;
}

static void every_cheap_kind_is_asked_for(struct kunit *test)
{
	dmirror_expect_params(test, cheap_gen_params, 12,
			      "kinds of an entry for all requests");
}

/* What a page of a kind becomes: its own request counts as far as masked in. */
static char outcome(const struct hmm_kind *kind, unsigned long asked)
{
	if (!(asked & HMM_PFN_REQ_FAULT))
		return kind->snapshot;

	return asked & HMM_PFN_REQ_WRITE ? kind->write : kind->read;
}

static void ask_for(struct kunit *test, struct hmm_bench *bench,
		    unsigned long flags, unsigned long mask, unsigned long in)
{
	const struct hmm_kind *kind = test->param_value;
	char want = outcome(kind, (in & mask) | flags);
	struct hmm_probe *probe = bench->probe;
	char letters[2] = { want }, step[80];
	unsigned long addr;
	int ret;

	if (want == '.')
		return;
	addr = kind->make(test, bench);
	snprintf(step, sizeof(step), "default 0x%lx mask 0x%lx entry 0x%lx",
		 flags >> (BITS_PER_LONG - 2), mask >> (BITS_PER_LONG - 2),
		 in >> (BITS_PER_LONG - 2));
	probe->range.default_flags = flags;
	probe->range.pfn_flags_mask = mask;
	hmm_probe_fill(probe, in);
	ret = hmm_probe_insist(probe, addr, 1);
	DMIRROR_EXPECT_ERRNO(test, ret, want == 'F' ? -EFAULT :
			     want == 'P' ? -EPERM : 0, step);
	if (ret)
		hmm_probe_expect_input(test, probe, 0, in, step);
	else
		hmm_probe_expect(test, probe, addr, letters, step);
	dmirror_user_unmap(test, addr, 1);
}

/* All of default_flags, pfn_flags_mask and the entry together. */
static void every_request_of_a_page(struct kunit *test)
{
	struct hmm_bench bench = { .probe = hmm_probe_get(test, 1) };
	unsigned int flags, mask, in, asked = 0;

	for (flags = 0; flags < ARRAY_SIZE(requests); flags++) {
		for (mask = 0; mask < ARRAY_SIZE(masks); mask++) {
			for (in = 0; in < ARRAY_SIZE(requests); in++) {
				ask_for(test, &bench, requests[flags],
					masks[mask], requests[in]);
				asked++;
			}
		}
	}
	KUNIT_EXPECT_EQ(test, asked, 80U);
}

/* The example of hmm.rst: all readable, and one of them writable. */
static void one_page_of_a_range_for_writing(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, 4);
	unsigned long addr = dmirror_user_map(test, 4, RW);
	unsigned int at, i;
	int ret;

	for (at = 0; at < 4; at++) {
		dmirror_user_map_over(test, addr, 4, RW);
		hmm_probe_fill(probe, 0);
		probe->range.default_flags = HMM_PFN_REQ_FAULT;
		probe->range.pfn_flags_mask = HMM_PFN_REQ_WRITE;
		probe->pfns[at] = HMM_PFN_REQ_WRITE;
		ret = hmm_probe_insist(probe, addr, 4);
		DMIRROR_EXPECT_ERRNO(test, ret, 0, "as in hmm.rst");
		for (i = 0; i < 4; i++)
			KUNIT_EXPECT_TRUE_MSG(test,
					      probe->pfns[i] & HMM_PFN_VALID,
					      "page %u is not valid", i);
		KUNIT_EXPECT_TRUE_MSG(test, probe->pfns[at] & HMM_PFN_WRITE,
				      "page %u is not writable", at);
	}
}

/* A read request of readable pages asks for no write fault of any. */
static void read_requests_leave_copy_on_write_alone(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, 4);
	unsigned long addr = dmirror_user_map(test, 4, RW);
	int ret;

	dmirror_user_touch(test, addr, 3);
	ret = hmm_probe_run(probe, addr, 4, HMM_READ);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "read request");
	hmm_probe_expect(test, probe, addr, "rrrr", "after a read request");
}

/* Pages of the next cases, each with one of the requests of @three. */
#define NR 3

static const unsigned long three[] = { 0, HMM_READ, HMM_WRITE };

/* A request of each page; @with_table: the page table is there already. */
static int ask_each(struct kunit *test, struct hmm_probe *probe,
		    unsigned long addr, bool with_table, unsigned int combo)
{
	unsigned int i;

	dmirror_user_map_over(test, addr, NR + 1, RW);
	if (with_table)
		dmirror_user_touch(test, addr + NR * PAGE_SIZE, 1);
	probe->range.default_flags = 0;
	probe->range.pfn_flags_mask = ULONG_MAX;
	for (i = 0; i < NR; i++, combo /= ARRAY_SIZE(three))
		probe->pfns[i] = three[combo % ARRAY_SIZE(three)];

	return hmm_probe_insist(probe, addr, NR);
}

static unsigned long requested(unsigned int combo, unsigned int page)
{
	while (page--)
		combo /= ARRAY_SIZE(three);

	return three[combo % ARRAY_SIZE(three)];
}

#define COMBOS (ARRAY_SIZE(three) * ARRAY_SIZE(three) * ARRAY_SIZE(three))

/*
 * An address whose page table no neighbour brings along: a whole one belongs
 * to the mapping.
 */
static unsigned long map_alone(struct kunit *test)
{
	unsigned long addr = dmirror_user_map(test, 2 * PTRS_PER_PTE, RW);

	return ALIGN(addr, PMD_SIZE);
}

/* hmm.h: "The output must have HMM_PFN_VALID", or HMM_PFN_WRITE. */
static void each_page_gets_what_it_asked_for(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	unsigned long addr = map_alone(test);
	unsigned int combo, table, i;
	int ret;

	for (table = 0; table < 2; table++) {
		for (combo = 0; combo < COMBOS; combo++) {
			ret = ask_each(test, probe, addr, table, combo);
			DMIRROR_EXPECT_ERRNO(test, ret, 0, "requests of each");
			for (i = 0; i < NR; i++) {
				unsigned long want = requested(combo, i);

				KUNIT_EXPECT_EQ_MSG(test, probe->pfns[i] & want,
						    want,
						    "page %u of combination %u, %s table: got 0x%lx",
						    i, combo,
						    table ? "with a" : "no",
						    probe->pfns[i]);
			}
		}
	}
}

/* Pages that nobody asked for and that have been faulted all the same. */
static unsigned int faulted_unasked(struct hmm_probe *probe, unsigned int combo)
{
	unsigned int i, n = 0;

	for (i = 0; i < NR; i++)
		if (!requested(combo, i) && probe->pfns[i])
			n++;

	return n;
}

/*
 * hmm.h: "0 - Return the current state of the page, do not fault it". Up to 7.3
 * a fault goes on to the end of the page table, or of the hole, for all pages
 * and with what one of them was asked for.
 */
static void page_without_a_request_is_left_alone(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	unsigned long addr = map_alone(test);
	unsigned int combo, table, unasked = 0;
	int ret = 0;

	for (table = 0; table < 2; table++) {
		for (combo = 0; combo < COMBOS && !ret; combo++) {
			ret = ask_each(test, probe, addr, table, combo);
			unasked += faulted_unasked(probe, combo);
		}
	}
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "requests of each page");
	if (!ret && unasked)
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() of pages without a request");
}

/* NR pages of a mapping are on a device, and their first @missing not at all. */
static struct toy *own_pages(struct kunit *test, struct hmm_probe *probe,
			     unsigned long addr, unsigned long missing)
{
	unsigned long from = addr + missing * PAGE_SIZE;
	struct toy *toy;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	dmirror_user_fill(test, from, NR - missing, 1);
	toy_to_device(test, toy, from, NR - missing);
	probe->range.dev_private_owner = toy;

	return toy;
}

static void lose_by_mprotect(struct kunit *test, unsigned long addr)
{
	dmirror_user_protect(test, addr, NR, PROT_READ);
	dmirror_user_protect(test, addr, NR, RW);
}

static void lose_by_protection(struct kunit *test, unsigned long addr)
{
	dmirror_user_protect(test, addr, NR, PROT_READ);
}

static void lose_by_fork(struct kunit *test, unsigned long addr)
{
	struct user_child child = { };

	DMIRROR_ASSERT_OK(test, user_fork(&child), "fork");
	user_reap(&child);
}

/**
 * struct loss - how private pages become pages that are not writable
 * @name: in the case's name
 * @lose: does it
 * @want: what a request for writing is to return
 */
static const struct loss {
	const char *name;
	void (*lose)(struct kunit *test, unsigned long addr);
	int want;
} losses[] = {
	{ "mprotect_and_back", lose_by_mprotect, 0 },
	{ "mprotect", lose_by_protection, -EPERM },
	{ "fork", lose_by_fork, 0 },
};

KUNIT_ARRAY_PARAM_DESC(loss, losses, name);

/* The pages that are reported as they are, and not as they were asked for. */
static unsigned long read_only_on_device(const struct hmm_probe *probe)
{
	unsigned long i, n = 0;

	for (i = 0; i < NR; i++)
		n += hmm_probe_letter(probe->pfns[i]) == 'r' &&
		     is_device_private_page(hmm_pfn_to_page(probe->pfns[i]));

	return n;
}

/*
 * hmm.h: "HMM_PFN_REQ_WRITE - The output must have HMM_PFN_WRITE or
 * hmm_range_fault() will fail". Up to 7.3 a private page of the caller's own is
 * reported as it is, and the call succeeds.
 */
static void write_request_of_own_read_only_pages(struct kunit *test)
{
	const struct loss *loss = test->param_value;
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	unsigned long addr = dmirror_user_map(test, NR, RW);
	struct toy *toy;
	bool ignored;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	toy = own_pages(test, probe, addr, 0);
	loss->lose(test, addr);
	ret = hmm_probe_run(probe, addr, NR, HMM_READ);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "read request");
	hmm_probe_expect(test, probe, addr, "rrr", "read request");
	KUNIT_EXPECT_EQ_MSG(test, toy->faults, 0U, "faults of a read request");
	ret = hmm_probe_run(probe, addr, NR, HMM_WRITE);
	ignored = !ret && read_only_on_device(probe) == NR;
	if (!ignored) {
		DMIRROR_EXPECT_ERRNO(test, ret, loss->want, "write request");
		if (!loss->want)
			hmm_probe_expect(test, probe, addr, "www",
					 "write request");
	}
	dmirror_user_check(test, addr, NR, 1, "after the requests");
	if (ignored)
		DMIRROR_KNOWN_DEFECT(test, "hmm_range_fault() for writing");
}

/*
 * hmm.h: one's own private pages are reported as they are. Up to 7.3 a page
 * that is missing has all that follow it in its page table faulted in as well.
 */
static void own_pages_behind_a_missing_one_stay(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	unsigned long addr = dmirror_user_map(test, NR, RW), out;
	struct toy *toy = own_pages(test, probe, addr, 1);
	int ret;

	ret = hmm_probe_run(probe, addr, NR, HMM_WRITE);
	out = toy->out;
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "write request");
	if (!ret)
		hmm_probe_expect(test, probe, addr, "www", "write request");
	dmirror_user_check(test, addr + PAGE_SIZE, NR - 1, 1,
			   "after the request");
	if (!out)
		DMIRROR_KNOWN_DEFECT(test,
				     "hmm_range_fault() behind a missing page");
	KUNIT_EXPECT_EQ_MSG(test, out, NR - 1, "pages still on the device");
}

static struct kunit_case hmm_requests_cases[] = {
	KUNIT_CASE(every_cheap_kind_is_asked_for),
	KUNIT_CASE_PARAM(every_request_of_a_page, cheap_gen_params),
	KUNIT_CASE(one_page_of_a_range_for_writing),
	KUNIT_CASE(read_requests_leave_copy_on_write_alone),
	KUNIT_CASE(each_page_gets_what_it_asked_for),
	KUNIT_CASE(page_without_a_request_is_left_alone),
	KUNIT_CASE_PARAM(write_request_of_own_read_only_pages, loss_gen_params),
	KUNIT_CASE(own_pages_behind_a_missing_one_stay),
	{}
};

DMIRROR_SUITE_AS(hmm_requests, dmirror_case_init_mm, hmm_requests_cases);
