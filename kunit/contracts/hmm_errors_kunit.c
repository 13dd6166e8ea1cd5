// SPDX-License-Identifier: GPL-2.0
/*
 * How hmm_range_fault() fails, from the comment above it, and what it waits
 * for: -EINVAL, -ENOMEM, -EPERM, -EFAULT, -EBUSY, and migrations. -EPERM and
 * -EFAULT of every kind of entry are in hmm_flags_kunit.c.
 */
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>

#include "core_mm.h"
#include "hmm_probe.h"
#include "hmm_special.h"
#include "mem.h"
#include "toy.h"

#define RW (PROT_READ | PROT_WRITE)

/* What nobody may touch: no flag of it is one of input. */
#define INPUT 0x1234UL

static void range_without_a_page_is_invalid(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, 2);
	unsigned long addr = dmirror_user_map(test, 2, RW);
	unsigned int way;

	for (way = 0; way < hmm_probe_ways(); way++) {
		probe->unlocked = way;
		hmm_probe_fill(probe, INPUT);
		DMIRROR_EXPECT_ERRNO(test, hmm_probe_ask(probe, addr, 0),
				     -EINVAL, "empty range");
		DMIRROR_EXPECT_ERRNO(test, hmm_probe_ask(probe, addr, -1UL),
				     -EINVAL, "range that ends before it begins");
		hmm_probe_expect_input(test, probe, 0, INPUT, "no range");
	}
}

struct failure {
	const char *name;
	vm_fault_t fault;
	int want;
};

/* The fault handler's word; before 7.3 all errors of one were -EFAULT. */
#ifdef HMM_HAVE_RANGE_FAULT_UNLOCKED
#define NO_MEMORY (-ENOMEM)
#else
#define NO_MEMORY (-EFAULT)
#endif

static const struct failure failure_rows[] = {
	{ "oom", VM_FAULT_OOM, NO_MEMORY },
	{ "sigbus", VM_FAULT_SIGBUS, -EFAULT },
	{ "sigsegv", VM_FAULT_SIGSEGV, -EFAULT },
	{ "hwpoison", VM_FAULT_HWPOISON, -EFAULT },
	{ "hwpoison_large", VM_FAULT_HWPOISON_LARGE | VM_FAULT_SET_HINDEX(1),
	  -EFAULT },
};

KUNIT_ARRAY_PARAM_DESC(failure, failure_rows, name);

static vm_fault_t fault_fails(struct hmm_special *special, struct vm_fault *vmf)
{
	const struct failure *row = special->data;

	return row->fault;
}

static void failed_fault_is_told(struct kunit *test)
{
	const struct failure *row = test->param_value;
	struct hmm_special *special = hmm_special_get(test);
	struct hmm_probe *probe = hmm_probe_get(test, 2);
	unsigned int way;
	unsigned long addr;

	special->fault = fault_fails;
	special->data = (void *)row;
	addr = hmm_special_map(test, special, 0, 2, RW);
	for (way = 0; way < hmm_probe_ways(); way++) {
		probe->unlocked = way;
		special->faults = 0;
		DMIRROR_EXPECT_ERRNO(test, hmm_probe_run(probe, addr, 2, 0), 0,
				     "snapshot");
		KUNIT_EXPECT_EQ_MSG(test, special->faults, 0U,
				    "faults of a snapshot");
		DMIRROR_EXPECT_ERRNO(test, hmm_probe_run(probe, addr, 2,
							 HMM_READ),
				     row->want, row->name);
		hmm_probe_expect_input(test, probe, 0, 0, row->name);
		KUNIT_EXPECT_EQ_MSG(test, special->faults, 1U,
				    "faults of a request");
	}
}

static vm_fault_t fault_retries(struct hmm_special *special,
				struct vm_fault *vmf)
{
	return VM_FAULT_RETRY;
}

/*
 * hmm_range_fault() does not let a fault handler drop mmap_lock. One that says
 * that it has done so is broken; the lock is still the caller's, and the range
 * is told to be busy.
 */
static void handler_that_must_not_retry_is_told(struct kunit *test)
{
	struct hmm_special *special = hmm_special_get(test);
	struct hmm_probe *probe = hmm_probe_get(test, 2);
	int ret = 0, warnings = 0;
	unsigned long addr;

	/* Before 7.3 it asked such a handler again and again. */
	hmm_probe_requires_unlocked(test);
	special->fault = fault_retries;
	addr = hmm_special_map(test, special, 0, 2, RW);
	probe->range.default_flags = HMM_READ;
	hmm_probe_fill(probe, 0);
	kunit_warning_suppress(test) {
		ret = hmm_probe_ask(probe, addr, 2);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	DMIRROR_EXPECT_ERRNO(test, ret, -EBUSY, "handler that retries");
	mem_expect_once(test, warnings, "a handler that retries");
	hmm_probe_expect_input(test, probe, 0, 0, "handler that retries");
	KUNIT_EXPECT_EQ_MSG(test, special->faults, 1U, "faults");
	KUNIT_EXPECT_EQ_MSG(test, special->seen & FAULT_FLAG_ALLOW_RETRY, 0U,
			    "the handler was allowed to");
}

struct bad_page {
	const char *name;
	unsigned long prot; /* of the page in the middle, -1 for a hole */
	unsigned long flags;
	const char *before;
	int want;
};

static const struct bad_page bad_page_rows[] = {
	{ "hole", -1UL, HMM_READ, "rr", -EFAULT },
	{ "hole_for_writing", -1UL, HMM_WRITE, "ww", -EFAULT },
	{ "no_access", PROT_NONE, HMM_READ, "rr", -EFAULT },
	{ "read_only", PROT_READ, HMM_WRITE, "ww", -EPERM },
};

KUNIT_ARRAY_PARAM_DESC(bad_page, bad_page_rows, name);

/*
 * 5.7, "mm/hmm: do not set pfns when returning an error code": what comes
 * before the page that fails is output, the rest is as it was. B33.
 */
static void entries_from_the_failure_on_are_input(struct kunit *test)
{
	const struct bad_page *row = test->param_value;
	struct hmm_probe *probe = hmm_probe_get(test, 5);
	unsigned long addr = dmirror_user_map(test, 5, RW);
	unsigned long bad = addr + 2 * PAGE_SIZE;
	unsigned int way;
	int ret;

	for (way = 0; way < hmm_probe_ways(); way++) {
		dmirror_user_map_over(test, addr, 5, RW);
		dmirror_user_fill(test, addr + 3 * PAGE_SIZE, 2, 1);
		if (row->prot == -1UL)
			dmirror_user_unmap(test, bad, 1);
		else
			dmirror_user_map_over(test, bad, 1, row->prot);
		probe->unlocked = way;
		probe->range.default_flags = row->flags;
		hmm_probe_fill(probe, INPUT);
		ret = hmm_probe_ask(probe, addr, 5);
		DMIRROR_EXPECT_ERRNO(test, ret, row->want, row->name);
		hmm_probe_expect(test, probe, addr, row->before,
				 "before the failure");
		hmm_probe_expect_input(test, probe, 2, INPUT, row->name);
	}
}

/* A driver may not be told of a page what has changed since it began. */
static void old_sequence_is_busy(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, 2);
	unsigned long addr = dmirror_user_map(test, 4, RW);
	struct mm_struct *mm = current->mm;
	int ret;

	dmirror_user_fill(test, addr, 4, 1);
	probe->range.notifier_seq = mmu_interval_read_begin(&probe->notifier);
	dmirror_user_unmap(test, addr + 3 * PAGE_SIZE, 1);
	hmm_probe_fill(probe, INPUT);
	mmap_read_lock(mm);
	ret = hmm_probe_held(probe, addr, 2);
	mmap_read_unlock(mm);
	DMIRROR_EXPECT_ERRNO(test, ret, -EBUSY, "after an invalidation");
	hmm_probe_expect_input(test, probe, 0, INPUT, "after an invalidation");
	ret = hmm_probe_ask(probe, addr, 2);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "with a new sequence");
	hmm_probe_expect(test, probe, addr, "ww", "with a new sequence");
}

/* What happens beside the notifier's addresses does not disturb. */
static void invalidation_elsewhere_is_none(struct kunit *test)
{
	unsigned long addr = dmirror_user_map(test, 4, RW);
	struct hmm_probe *probe = hmm_probe_get_at(test, addr, 2);
	struct mm_struct *mm = current->mm;
	int ret;

	dmirror_user_fill(test, addr, 4, 1);
	probe->range.notifier_seq = mmu_interval_read_begin(&probe->notifier);
	dmirror_user_unmap(test, addr + 2 * PAGE_SIZE, 2);
	mmap_read_lock(mm);
	ret = hmm_probe_held(probe, addr, 2);
	mmap_read_unlock(mm);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "after an invalidation elsewhere");
	hmm_probe_expect(test, probe, addr, "ww", "invalidation elsewhere");
}

static vm_fault_t fault_zaps_once(struct hmm_special *special,
				  struct vm_fault *vmf)
{
	if (special->faults == 1)
		hmm_special_zap(special);

	return hmm_special_page(special, vmf);
}

/* An invalidation by the fault itself is one as well. */
static void invalidation_by_a_fault_is_busy(struct kunit *test)
{
	struct hmm_special *special = hmm_special_get(test);
	struct hmm_probe *probe = hmm_probe_get(test, 3);
	unsigned long addr = dmirror_user_map(test, 3, RW);

	special->fault = fault_zaps_once;
	hmm_special_map(test, special, addr + PAGE_SIZE, 2, RW);
	dmirror_user_fill(test, addr, 1, 1);
	probe->range.default_flags = HMM_READ;
	hmm_probe_fill(probe, INPUT);
	DMIRROR_EXPECT_ERRNO(test, hmm_probe_ask(probe, addr, 3), -EBUSY,
			     "fault that invalidates");
	hmm_probe_expect(test, probe, addr, "w", "before the fault");
	hmm_probe_expect_input(test, probe, 1, INPUT, "from the fault on");
	DMIRROR_EXPECT_ERRNO(test, hmm_probe_run(probe, addr, 3, HMM_READ), 0,
			     "next try");
	hmm_probe_expect(test, probe, addr, "www", "after the next try");
}

/*
 * 7.3, "mm/hmm: move page fault handling out of walk callbacks" (c10ed1c5cb4c
 * before it was merged): with mmap_lock held, no handler is told that it may
 * drop it. B35.
 */
static void held_lock_is_no_handlers_to_drop(struct kunit *test)
{
	struct hmm_special *special = hmm_special_get(test);
	struct hmm_probe *probe = hmm_probe_get(test, 1);
	unsigned long addr = hmm_special_map(test, special, 0, 1, RW);
	int ret;

	ret = hmm_probe_run(probe, addr, 1, HMM_READ);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "read request");
	KUNIT_EXPECT_EQ_MSG(test, special->faults, 1U, "faults");
	KUNIT_EXPECT_EQ_MSG(test, special->seen &
			    (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_WRITE |
			     FAULT_FLAG_USER | FAULT_FLAG_REMOTE),
			    (unsigned int)FAULT_FLAG_REMOTE,
			    "flags of a read fault: 0x%x", special->seen);
	hmm_special_zap(special);
	ret = hmm_probe_run(probe, addr, 1, HMM_WRITE);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "write request");
	KUNIT_EXPECT_EQ_MSG(test, special->seen &
			    (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_WRITE),
			    (unsigned int)FAULT_FLAG_WRITE,
			    "flags of a write fault: 0x%x", special->seen);
}

static unsigned long map_secret(struct kunit *test)
{
	unsigned long addr;
	struct file *file;
	long fd;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, SECRETMEM);
	fd = core_memfd_secret(PAGE_SIZE);
	if (fd == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call memfd_secret()");
	KUNIT_ASSERT_GE_MSG(test, fd, 0L, "memfd_secret(): got %s",
			    dmirror_errno(fd));
	file = fget(fd);
	/* Threads of the kernel share their table of files. */
	close_fd(fd);
	KUNIT_ASSERT_NOT_NULL(test, file);
	addr = vm_mmap(file, 0, PAGE_SIZE, RW, MAP_SHARED, 0);
	/* A thread of the kernel would close it later than the mm dies. */
	__fput_sync(file);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(addr), "mmap: got %pe",
			       (void *)addr);

	return addr;
}

/*
 * What memfd_secret() gives is for the process alone: get_user_pages() refuses
 * it, and the kernel has no mapping of it that a driver could copy by. Up to
 * 7.3 hmm_range_fault() hands it out like anything else.
 */
static void secret_memory_is_an_error(struct kunit *test)
{
	unsigned long addr = map_secret(test);
	struct hmm_probe *probe = hmm_probe_get(test, 1);
	struct page *page;
	int snapshot, fault, gup;

	gup = get_user_pages_fast(addr, 1, 0, &page);
	if (gup == 1)
		put_page(page);
	snapshot = hmm_probe_run(probe, addr, 1, 0);
	KUNIT_EXPECT_TRUE_MSG(test, snapshot ||
			      !(probe->pfns[0] & HMM_PFN_VALID),
			      "entry of a snapshot: got 0x%lx", probe->pfns[0]);
	fault = hmm_probe_run(probe, addr, 1, HMM_READ);
	DMIRROR_EXPECT_ERRNO(test, gup, -EFAULT, "get_user_pages_fast()");
	DMIRROR_EXPECT_ERRNO(test, snapshot, 0, "snapshot");
	if (!fault && hmm_probe_letter(probe->pfns[0]) == 'w')
		DMIRROR_KNOWN_DEFECT(test, "hmm_range_fault() of secret memory");
	DMIRROR_EXPECT_ERRNO(test, fault, -EFAULT, "read request");
	dmirror_user_unmap(test, addr, 1);
}

struct way_out {
	const char *name;
	bool moves;
	bool unlocked;
};

static const struct way_out way_out_rows[] = {
	{ "stays", false, false },
	{ "moves", true, false },
	{ "stays_unlocked", false, true },
	{ "moves_unlocked", true, true },
};

KUNIT_ARRAY_PARAM_DESC(way_out, way_out_rows, name);

static struct folio *migrating(const struct toy_move *move)
{
	return page_folio(migrate_pfn_to_page(*move->args.src));
}

/* While a page migrates a snapshot has nothing of it and a request waits. */
static void request_waits_for_a_migration(struct kunit *test)
{
	const struct way_out *row = test->param_value;
	unsigned long addr, during;
	struct hmm_probe *probe;
	struct hmm_asker asker;
	struct toy_move move;
	struct toy *toy;
	bool waited;
	int ret;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	if (row->unlocked)
		hmm_probe_requires_unlocked(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	probe = hmm_probe_get(test, 1);
	probe->range.dev_private_owner = toy;
	addr = dmirror_user_map(test, 1, RW);
	dmirror_user_fill(test, addr, 1, 1);
	toy_move_init(test, &move, toy, addr, 1, MIGRATE_VMA_SELECT_SYSTEM);
	asker = (struct hmm_asker){ probe, addr, 1, HMM_READ };
	hmm_asker_create(test, &asker);
	ret = toy_collect(&move);
	if (ret)
		hmm_asker_cancel(&asker);
	DMIRROR_ASSERT_OK(test, ret, "collect");
	probe->range.notifier_seq = mmu_interval_read_begin(&probe->notifier);
	ret = hmm_probe_held(probe, addr, 1);
	during = probe->pfns[0];
	probe->unlocked = row->unlocked;
	waited = hmm_asker_start(&asker, migrating(&move));
	if (row->moves)
		toy_choose_device(&move);
	toy_pages(&move);
	toy_finish(&move);
	hmm_asker_join(&asker);

	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot during the migration");
	KUNIT_EXPECT_EQ_MSG(test, hmm_probe_letter(during), '-',
			    "entry during the migration: 0x%lx", during);
	KUNIT_EXPECT_TRUE_MSG(test, waited, "nobody waits for the migration");
	DMIRROR_EXPECT_ERRNO(test, asker.ret, 0, "read request");
	hmm_probe_expect(test, probe, addr, "w", "after the migration");
	KUNIT_EXPECT_EQ(test, toy->out, (unsigned long)row->moves);
	KUNIT_EXPECT_EQ_MSG(test, toy->faults, 0U, "faults of the own page");
}

static struct kunit_case hmm_errors_cases[] = {
	KUNIT_CASE(range_without_a_page_is_invalid),
	KUNIT_CASE_PARAM(failed_fault_is_told, failure_gen_params),
	KUNIT_CASE(handler_that_must_not_retry_is_told),
	KUNIT_CASE_PARAM(entries_from_the_failure_on_are_input,
			 bad_page_gen_params),
	KUNIT_CASE(old_sequence_is_busy),
	KUNIT_CASE(invalidation_elsewhere_is_none),
	KUNIT_CASE(invalidation_by_a_fault_is_busy),
	KUNIT_CASE(held_lock_is_no_handlers_to_drop),
	KUNIT_CASE(secret_memory_is_an_error),
	KUNIT_CASE_PARAM(request_waits_for_a_migration, way_out_gen_params),
	{}
};

DMIRROR_SUITE_AS(hmm_errors, dmirror_case_init_mm, hmm_errors_cases);
