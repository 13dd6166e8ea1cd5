// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges that somebody watches with userfaultfd: nothing is put there, and
 * nothing is made accessible, behind his back. Documentation/admin-guide/mm/
 * userfaultfd.rst, against migrate_vma_insert_page() ("Check for userfaultfd
 * but do not deliver the fault. Instead, just back off."), the bits that
 * mm/migrate.c and mm/huge_memory.c carry from entry to entry, and mm/hmm.c.
 *
 * With UFFD_FEATURE_SIGBUS an access that would be told fails instead.
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "../uffd.h"
#include "../user.h"
#include "hmm_probe.h"
#include "migrate_large.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM
#define COMPOUND MIGRATE_VMA_SELECT_COMPOUND

#define MISSING UFFDIO_REGISTER_MODE_MISSING
#define WP UFFDIO_REGISTER_MODE_WP
#define RWP UFFDIO_REGISTER_MODE_RWP

#define HOLE MIGRATE_PFN_MIGRATE
#define PAGE_W (MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE | MIGRATE_PFN_WRITE)

static int cpu_reads(unsigned long addr)
{
	u32 got;

	return copy_from_user(&got, (void __user *)addr, sizeof(got)) ?
	       -EFAULT : 0;
}

static int cpu_writes(unsigned long addr)
{
	return put_user(77U, (u32 __user *)addr);
}

/**
 * struct gap - what is in a range whose missing pages are told
 * @name: in the case's name
 * @zero: the CPU has read it before the range was registered
 * @kind: of the device
 */
struct gap {
	const char *name;
	bool zero;
	const struct device_kind *kind;
};

static const struct gap gaps[] = {
	{ "hole_private", false, &device_kinds[0] },
	{ "hole_coherent", false, &device_kinds[1] },
	{ "zero_page_private", true, &device_kinds[0] },
	{ "zero_page_coherent", true, &device_kinds[1] },
};

KUNIT_ARRAY_PARAM_DESC(gap, gaps, name);

/* A device must not fill what user space wants to fill; its neighbours go. */
static void missing_page_is_not_filled(struct kunit *test)
{
	const struct gap *gap = test->param_value;
	unsigned long addr, raw, i;
	struct attempt attempt;
	struct books books;
	struct uffd *uffd;
	struct toy *toy;
	int ret;

	migrate_suite_requires(test);
	toy = toy_get(test, gap->kind->type, TOY_PAGES);
	addr = dmirror_user_map(test, 3, RW);
	stamp_write(test, addr, 1);
	dmirror_user_fill(test, addr + 2 * PAGE_SIZE, 1, 3);
	if (gap->zero)
		dmirror_user_touch(test, addr + PAGE_SIZE, 1);
	uffd = uffd_get(test, addr, 3, MISSING, UFFD_FEATURE_SIGBUS);
	raw = hmm_probe_raw(addr + PAGE_SIZE);
	books = migrate_books(current->mm);

	attempt_init(test, &attempt, toy, addr, 3, SYSTEM);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	/* Selected like any hole: "this can still fail". */
	attempt_expect_src(test, &attempt, attempt.setup, 1, HOLE,
			   "after setup");
	attempt_expect_src(test, &attempt, attempt.pages, 1, 0, "after pages");
	KUNIT_EXPECT_EQ_MSG(test, hmm_probe_raw(addr + PAGE_SIZE), raw,
			    "entry of the page that is missing");
	for (i = 0; i < 3; i += 2)
		KUNIT_EXPECT_EQ_MSG(test,
				    migrate_see(current->mm,
						addr + i * PAGE_SIZE).kind,
				    gap->kind->seen, "page %lu", i);
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 2UL, "device pages in use");
	migrate_expect_books(test, &books, "after the migration");
	DMIRROR_EXPECT_ERRNO(test, cpu_reads(addr + PAGE_SIZE),
			     gap->zero ? 0 : -EFAULT, "access of the CPU");
	DMIRROR_EXPECT_ERRNO(test, uffd_zeropage(uffd, addr + PAGE_SIZE, 1),
			     gap->zero ? -EEXIST : 0, "UFFDIO_ZEROPAGE");
	stamp_check(test, addr, 1, true, "its neighbour");
	dmirror_user_check(test, addr + PAGE_SIZE, 1, 0, "once it is there");
}

/* The same of a hole that a large folio would fill. */
static void missing_large_hole_is_not_filled(struct kunit *test)
{
	struct large large = large_hole(test, RW);
	unsigned long i, left = 0;
	struct attempt attempt;
	struct uffd *uffd;
	struct seen seen;
	int ret;

	uffd = uffd_get(test, large.addr, NR_LARGE, MISSING,
			UFFD_FEATURE_SIGBUS);
	attempt_init(test, &attempt, large.toy, large.addr, NR_LARGE,
		     SYSTEM | COMPOUND);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	attempt_expect_src(test, &attempt, attempt.setup, 0, LARGE_HOLE,
			   "after setup");
	for (i = 0; i < NR_LARGE; i++)
		left += !!(attempt.pages[i] & MIGRATE_PFN_MIGRATE);
	KUNIT_EXPECT_EQ_MSG(test, left, 0UL, "pages that went");
	seen = migrate_see(current->mm, large.addr);
	KUNIT_EXPECT_EQ_MSG(test, seen.kind, SEEN_NOTHING, "what is there");
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, 0UL, "device pages in use");
	DMIRROR_EXPECT_ERRNO(test, cpu_reads(large.addr), -EFAULT,
			     "access of the CPU");
	DMIRROR_EXPECT_ERRNO(test, uffd_zeropage(uffd, large.addr, 1), 0,
			     "UFFDIO_ZEROPAGE");
}

/**
 * struct guarded - a page whose accesses are told, and its way
 * @name: in the case's name
 * @mode: WP or RWP
 * @kind: of the device
 * @moves: it is migrated back, or else the CPU's access brings it home
 * @large: it is a large folio
 */
struct guarded {
	const char *name;
	u64 mode;
	const struct device_kind *kind;
	bool moves;
	bool large;
};

static const struct guarded guardeds[] = {
	{ "write_private", WP, &device_kinds[0] },
	{ "write_private_back", WP, &device_kinds[0], true },
	{ "write_private_large", WP, &device_kinds[0], false, true },
	{ "write_private_large_back", WP, &device_kinds[0], true, true },
	{ "write_coherent", WP, &device_kinds[1] },
	{ "write_coherent_back", WP, &device_kinds[1], true },
	{ "access_private", RWP, &device_kinds[0] },
	{ "access_private_back", RWP, &device_kinds[0], true },
	{ "access_private_large", RWP, &device_kinds[0], false, true },
	{ "access_private_large_back", RWP, &device_kinds[0], true, true },
	{ "access_coherent", RWP, &device_kinds[1] },
	{ "access_coherent_back", RWP, &device_kinds[1], true },
};

KUNIT_ARRAY_PARAM_DESC(guarded, guardeds, name);

/* No access gets through that user space would not be told of. */
static void expect_guarded(struct kunit *test, unsigned long addr, u64 mode,
			   const char *step)
{
	if (mode == RWP)
		DMIRROR_EXPECT_ERRNO(test, cpu_reads(addr), -EFAULT, step);
	DMIRROR_EXPECT_ERRNO(test, cpu_writes(addr), -EFAULT, step);
}

/* What was protected is protected on the device, and when it is back. */
static void protected_page_stays_protected(struct kunit *test)
{
	const struct guarded *g = test->param_value;
	unsigned long nr = g->large ? NR_LARGE : 1, addr, at;
	struct uffd *uffd;
	struct large large;
	struct toy *toy;
	struct seen seen;

	migrate_suite_requires(test);
	if (g->large) {
		large = large_get(test, SEEN_RAM);
		toy = large.toy;
		addr = large.addr;
	} else {
		toy = toy_get(test, g->kind->type, TOY_PAGES);
		addr = dmirror_user_map(test, 1, RW);
		stamp_write(test, addr, 1);
	}
	at = addr + (nr - 1) * PAGE_SIZE;
	uffd = uffd_get(test, addr, nr, g->mode, UFFD_FEATURE_SIGBUS);
	uffd_protect(test, uffd, addr, nr, true);
	expect_guarded(test, at, g->mode, "before");

	toy_to_device(test, toy, addr, nr);
	seen = migrate_see(current->mm, at);
	KUNIT_EXPECT_EQ_MSG(test, seen.kind, g->kind->seen, "where it is");
	KUNIT_EXPECT_FALSE_MSG(test, seen.write, "writable on the device");
	if (g->moves)
		toy_to_ram(test, toy, addr, nr);
	expect_guarded(test, at, g->mode, "when it has moved");
	expect_guarded(test, addr, g->mode, "the first page");

	uffd_protect(test, uffd, addr, nr, false);
	stamp_check(test, addr, nr, true, "when it is resolved");
	DMIRROR_EXPECT_ERRNO(test, cpu_writes(at), 0, "when it is resolved");
}

/**
 * struct zeroes - a zero page whose accesses are told
 * @name: in the case's name
 * @mode: WP or RWP
 * @kind: of the device
 * @large: it is the huge one
 */
struct zeroes {
	const char *name;
	u64 mode;
	const struct device_kind *kind;
	bool large;
};

static const struct zeroes zeroes_rows[] = {
	{ "write_private", WP, &device_kinds[0] },
	{ "write_private_large", WP, &device_kinds[0], true },
	{ "write_coherent", WP, &device_kinds[1] },
	{ "access_private", RWP, &device_kinds[0] },
	{ "access_coherent", RWP, &device_kinds[1] },
};

KUNIT_ARRAY_PARAM_DESC(zeroes, zeroes_rows, name);

/*
 * A zero page becomes a page of the device, whose entry is made anew. Up to 7.3
 * it is writable, whatever user space has asked to be told.
 */
static void protected_zero_page_stays_protected(struct kunit *test)
{
	const struct zeroes *z = test->param_value;
	unsigned long nr = z->large ? NR_LARGE : 1, addr;
	struct attempt attempt;
	struct uffd *uffd;
	struct large large;
	struct toy *toy;
	int ret;

	migrate_suite_requires(test);
	if (z->large) {
		large = large_hole(test, RW);
		toy = large.toy;
		addr = large.addr;
	} else {
		toy = toy_get(test, z->kind->type, TOY_PAGES);
		addr = dmirror_user_map(test, 1, RW);
	}
	dmirror_user_touch(test, addr, 1);
	KUNIT_ASSERT_EQ(test, migrate_see(current->mm, addr).kind, SEEN_ZERO);
	uffd = uffd_get(test, addr, nr, z->mode, UFFD_FEATURE_SIGBUS);
	uffd_protect(test, uffd, addr, nr, true);
	expect_guarded(test, addr, z->mode, "before");

	attempt_init(test, &attempt, toy, addr, nr, SYSTEM | COMPOUND);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	/* Whether it went is not what matters here. */
	if (!cpu_writes(addr))
		DMIRROR_KNOWN_DEFECT(test,
				     "userfaultfd loses a zero page to a device");
	expect_guarded(test, addr, z->mode, "after the migration");
	uffd_protect(test, uffd, addr, nr, false);
	stamp_check(test, addr, nr, false, "when it is resolved");
}

/* A hole that is protected has a marker, which is not for the device. */
static void protected_hole_is_left_alone(struct kunit *test)
{
	unsigned long addr, raw;
	struct attempt attempt;
	struct uffd *uffd;
	struct toy *toy;
	int ret;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 3, RW);
	dmirror_user_fill(test, addr, 1, 1);
	uffd = uffd_get(test, addr, 3, WP,
			UFFD_FEATURE_SIGBUS | UFFD_FEATURE_WP_UNPOPULATED);
	uffd_protect(test, uffd, addr + PAGE_SIZE, 1, true);
	raw = hmm_probe_raw(addr + PAGE_SIZE);
	KUNIT_ASSERT_NE_MSG(test, raw, 0UL, "marker of a protected hole");

	attempt_init(test, &attempt, toy, addr, 3, SYSTEM);
	ret = attempt_carry_out(&attempt, SEEN_RAM);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	attempt_expect_src(test, &attempt, attempt.setup, 1, 0, "of a marker");
	attempt_expect_src(test, &attempt, attempt.setup, 2, HOLE,
			   "of its neighbour");
	KUNIT_EXPECT_EQ_MSG(test, attempt.cpages, 2UL, "cpages");
	KUNIT_EXPECT_EQ_MSG(test, hmm_probe_raw(addr + PAGE_SIZE), raw,
			    "marker after the migration");
	expect_guarded(test, addr + PAGE_SIZE, WP, "after the migration");
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 2UL, "device pages in use");
	dmirror_user_check(test, addr, 1, 1, "its neighbour");
}

/**
 * struct watched - hmm_range_fault() of a page whose accesses are told
 * @name: in the case's name
 * @mode: of the range
 * @filled: the CPU has written the page
 * @snapshot: the letter without a request; a dot: not asked
 * @read: of a read request, F for -EFAULT
 */
struct watched {
	const char *name;
	u64 mode;
	bool filled;
	char snapshot;
	char read;
};

static const struct watched watcheds[] = {
	{ "missing", MISSING, false, '-', 'F' },
	{ "write_to_a_page", WP, true, 'r', 'r' },
	/*
	 * A marker is not an error, it is to be faulted: B37. The read request
	 * puts a zero page there.
	 */
	{ "write_to_a_hole", WP, false, '-', 'r' },
	/* its snapshot: device_memory_numa.snapshot_of_a_hinted_page_is_0 */
	{ "access_to_a_page", RWP, true, '.', 'F' },
};

KUNIT_ARRAY_PARAM_DESC(watched, watcheds, name);

static void ask(struct kunit *test, struct hmm_probe *probe,
		unsigned long addr, unsigned long flags, char letter,
		const char *step)
{
	char letters[2] = { letter };
	int ret = hmm_probe_run(probe, addr, 1, flags);

	DMIRROR_EXPECT_ERRNO(test, ret, letter == 'F' ? -EFAULT : 0, step);
	if (letter == 'F')
		hmm_probe_expect_input(test, probe, 0, 0, step);
	else if (!ret)
		hmm_probe_expect(test, probe, addr, letters, step);
}

/* A device's fault is told like the CPU's; a snapshot faults nothing. */
static void watched_page_is_asked_for(struct kunit *test)
{
	const struct watched *w = test->param_value;
	u64 features = UFFD_FEATURE_SIGBUS;
	struct hmm_probe *probe;
	struct uffd *uffd;
	unsigned long addr;
	unsigned int way;

	DMIRROR_REQUIRES_BUILTIN(test);
	probe = hmm_probe_get(test, 1);
	addr = dmirror_user_map(test, 2, RW);
	if (w->mode == WP)
		features |= UFFD_FEATURE_WP_UNPOPULATED;
	uffd = uffd_get(test, addr, 1, w->mode, features);
	for (way = 0; way < hmm_probe_ways(); way++) {
		probe->unlocked = way;
		dmirror_user_dontneed(test, addr, 1);
		if (w->filled)
			dmirror_user_fill(test, addr, 1, 1);
		if (w->mode != MISSING)
			uffd_protect(test, uffd, addr, 1, true);
		if (w->snapshot != '.')
			ask(test, probe, addr, 0, w->snapshot, "snapshot");
		ask(test, probe, addr, HMM_READ, w->read, "read request");
		ask(test, probe, addr, HMM_WRITE, 'F', "write request");
		if (w->mode == MISSING)
			uffd_zeropage(uffd, addr, 1);
		else
			uffd_protect(test, uffd, addr, 1, false);
		ask(test, probe, addr, HMM_WRITE, 'w', "when it is resolved");
	}
}

/* Reads until somebody has to be told of a fault, or the asker is done. */
static bool told(struct uffd *uffd, struct hmm_asker *asker,
		 unsigned long *addr)
{
	while (!completion_done(&asker->done)) {
		if (uffd_read(uffd, addr))
			return true;
		/* On one CPU the asker could not run otherwise. */
		cond_resched();
	}

	return false;
}

/* userfaultfd.rst: the faulting thread waits, and finds the page then. */
static void fault_waits_for_its_reader(struct kunit *test)
{
	struct hmm_asker asker = { .npages = 1, .flags = HMM_READ };
	unsigned long address = 0;
	struct uffd *uffd;
	int filled = 0;
	bool waited;

	DMIRROR_REQUIRES_BUILTIN(test);
	hmm_probe_requires_unlocked(test);
	asker.probe = hmm_probe_get(test, 1);
	asker.probe->unlocked = true;
	asker.addr = dmirror_user_map(test, 1, RW);
	uffd = uffd_get(test, asker.addr, 1, MISSING, 0);
	hmm_asker_create(test, &asker);
	wake_up_process(asker.task);
	waited = told(uffd, &asker, &address);
	if (waited)
		filled = uffd_zeropage(uffd, asker.addr, 1);
	hmm_asker_join(&asker);
	KUNIT_EXPECT_TRUE_MSG(test, waited, "the fault is told");
	KUNIT_EXPECT_EQ_MSG(test, address, asker.addr, "address of the fault");
	DMIRROR_EXPECT_ERRNO(test, filled, 0, "UFFDIO_ZEROPAGE");
	DMIRROR_ASSERT_OK(test, asker.ret, "read request");
	hmm_probe_expect(test, asker.probe, asker.addr, "r",
			 "when the page is there");
}

static struct kunit_case userfaultfd_cases[] = {
	KUNIT_CASE_PARAM(missing_page_is_not_filled, gap_gen_params),
	KUNIT_CASE(missing_large_hole_is_not_filled),
	KUNIT_CASE_PARAM(protected_page_stays_protected, guarded_gen_params),
	KUNIT_CASE_PARAM(protected_zero_page_stays_protected,
			 zeroes_gen_params),
	KUNIT_CASE(protected_hole_is_left_alone),
	KUNIT_CASE_PARAM(watched_page_is_asked_for, watched_gen_params),
	KUNIT_CASE(fault_waits_for_its_reader),
	{}
};

DMIRROR_SUITE_AS(device_memory_userfaultfd, dmirror_case_init_mm,
		 userfaultfd_cases);
