// SPDX-License-Identifier: GPL-2.0
/*
 * Arguments of migrate_vma_setup(): what it refuses, as its comment and that
 * of struct migrate_vma have it. mm/migrate_device.c, include/linux/migrate.h.
 *
 * Mappings of hugetlbfs are in hmm_hugetlb_kunit.c.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>

#include "hmm_special.h"
#include "migrate_see.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM

/*
 * migrate.h: "must be big enough for (end - start) >> PAGE_SHIFT entries". The
 * addresses are rounded down, which may make the range longer by a page.
 */
static void unaligned_range_stays_within_the_arrays(struct kunit *test)
{
	unsigned long addr, *src, *dst;
	struct toy_move move;
	struct toy *toy;
	int ret;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 2, RW);
	dmirror_user_fill(test, addr, 2, 1);
	toy_move_init(test, &move, toy, addr, 2, SYSTEM);
	src = move.args.src;
	dst = move.args.dst;
	src[1] = ULONG_MAX;
	dst[1] = ULONG_MAX;
	/* One page and one byte: one entry. */
	move.args.start = addr + PAGE_SIZE - 1;
	ret = toy_collect(&move);
	if (!ret) {
		migrate_vma_pages(&move.args);
		toy_finish(&move);
	}
	if (!ret && (src[1] != ULONG_MAX || dst[1] != ULONG_MAX))
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() of an unaligned range");
	KUNIT_EXPECT_EQ_MSG(test, src[1], ULONG_MAX, "behind the end of src[]");
	KUNIT_EXPECT_EQ_MSG(test, dst[1], ULONG_MAX, "behind the end of dst[]");
}

/*
 * The number of pages is unsigned, so that an end before the start is very many.
 * Up to 7.3 src[] is cleared for as many, far beyond its end, which the kernel
 * does not survive: there the case does not go on.
 */
static void end_before_the_start_is_refused(struct kunit *test)
{
	struct toy_move move;
	unsigned long addr;
	struct toy *toy;
	int ret;

	migrate_suite_requires(test);
#ifdef END_BEFORE_START_DIES
	DMIRROR_KNOWN_DEFECT(test,
			     "migrate_vma_setup() of an end before the start");
#endif
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 3, RW);
	dmirror_user_fill(test, addr, 3, 1);
	toy_move_init(test, &move, toy, addr, 3, SYSTEM);
	/* Both are inside the mapping, or that would be the reason. */
	move.args.start = addr + 2 * PAGE_SIZE;
	move.args.end = addr + PAGE_SIZE;
	ret = toy_collect(&move);
	if (!ret)
		toy_finish(&move);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINVAL, "end before the start");
	dmirror_user_check(test, addr, 3, 1, "after the refusal");
}

/* Bits below the page are ignored where they do not matter. */
static void unaligned_addresses_are_rounded_down(struct kunit *test)
{
	struct attempt attempt;
	unsigned long addr;
	struct toy *toy;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 2, RW);
	attempt_init(test, &attempt, toy, addr, 2, SYSTEM);
	attempt.move.args.start += 123;
	attempt.move.args.end += 123;
	/* Not mapped, but rounded down it is the end. */
	DMIRROR_EXPECT_ERRNO(test, attempt_abort(&attempt), 0, "collect");
	KUNIT_EXPECT_EQ(test, attempt.move.args.start, addr);
	KUNIT_EXPECT_EQ(test, attempt.end, addr + 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, attempt.npages, 2UL);
}

/**
 * struct refusal - arguments that migrate_vma_setup() must not take
 * @name: in the case's name
 * @spoil: makes one of them wrong; the VMA has four pages, the range the
 *	second and third of them
 * @vm_flag: for the VMA to have
 */
struct refusal {
	const char *name;
	void (*spoil)(struct migrate_vma *args);
	vm_flags_t vm_flag;
};

static void no_vma(struct migrate_vma *args)
{
	args->vma = NULL;
}

static void empty_range(struct migrate_vma *args)
{
	args->end = args->start;
}

static void less_than_a_page(struct migrate_vma *args)
{
	args->end = args->start + PAGE_SIZE - 1;
}

static void start_before_vma(struct migrate_vma *args)
{
	args->start = args->vma->vm_start - PAGE_SIZE;
}

static void start_behind_vma(struct migrate_vma *args)
{
	args->start = args->vma->vm_end;
	args->end = args->start + PAGE_SIZE;
}

static void range_before_vma(struct migrate_vma *args)
{
	args->start = args->vma->vm_start - 2 * PAGE_SIZE;
	args->end = args->vma->vm_start;
}

static void end_behind_vma(struct migrate_vma *args)
{
	args->end = args->vma->vm_end + PAGE_SIZE;
}

static void no_src(struct migrate_vma *args)
{
	args->src = NULL;
}

static void no_dst(struct migrate_vma *args)
{
	args->dst = NULL;
}

static void fault_page_of_ram(struct migrate_vma *args)
{
	args->fault_page = pfn_to_page(migrate_see(args->vma->vm_mm,
						   args->start).pfn);
}

/* The device's page is at the end of the VMA, and is not locked. */
static void fault_page_not_locked(struct migrate_vma *args)
{
	args->fault_page = pfn_to_page(migrate_see(args->vma->vm_mm,
						   args->vma->vm_end -
						   PAGE_SIZE).pfn);
}

static void nothing(struct migrate_vma *args)
{
}

/*
 * An end before the start is not among them: the difference is unsigned, so
 * that kernels up to 7.3 take it for 2^52 pages and clear that many entries.
 */
static const struct refusal refusals[] = {
	{ "no_vma", no_vma },
	{ "empty_range", empty_range },
	{ "less_than_a_page", less_than_a_page },
	{ "start_before_vma", start_before_vma },
	{ "start_behind_vma", start_behind_vma },
	{ "range_before_vma", range_before_vma },
	{ "end_behind_vma", end_behind_vma },
	{ "no_src", no_src },
	{ "no_dst", no_dst },
	{ "fault_page_of_ram", fault_page_of_ram },
	{ "fault_page_not_locked", fault_page_not_locked },
	/* VM_SPECIAL is all of these. */
	{ "vm_io", nothing, VM_IO },
	{ "vm_dontexpand", nothing, VM_DONTEXPAND },
	{ "vm_pfnmap", nothing, VM_PFNMAP },
	{ "vm_mixedmap", nothing, VM_MIXEDMAP },
};

KUNIT_ARRAY_PARAM_DESC(refusal, refusals, name);

/* As toy_collect(), with the arguments spoiled and the VMA's flags changed. */
static int collect_spoiled(struct toy_move *move, const struct refusal *refusal)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int ret;

	mmap_write_lock(mm);
	vma = vma_lookup(mm, move->args.start);
	if (refusal->vm_flag)
		vm_flags_set(vma, refusal->vm_flag);
	move->args.vma = vma;
	refusal->spoil(&move->args);
	ret = migrate_vma_setup(&move->args);
	if (!ret)
		migrate_vma_finalize(&move->args);
	if (refusal->vm_flag)
		vm_flags_clear(vma, refusal->vm_flag);
	mmap_write_unlock(mm);

	return ret;
}

static void bad_arguments_are_refused(struct kunit *test)
{
	const struct refusal *refusal = test->param_value;
	unsigned long addr, i;
	struct toy_move move;
	struct seen seen[4];
	struct toy *toy;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 4, RW);
	dmirror_user_fill(test, addr, 4, 1);
	toy_to_device(test, toy, addr + 3 * PAGE_SIZE, 1);
	for (i = 0; i < 4; i++)
		seen[i] = migrate_see_settled(addr + i * PAGE_SIZE);
	toy_move_init(test, &move, toy, addr + PAGE_SIZE, 2, SYSTEM);
	DMIRROR_EXPECT_ERRNO(test, collect_spoiled(&move, refusal), -EINVAL,
			     "migrate_vma_setup()");
	for (i = 0; i < 4; i++)
		migrate_expect_still(test, addr + i * PAGE_SIZE, &seen[i],
				     "after the refusal");
}

/* What vma_is_dax() goes by: the pages of such a file are the file itself. */
static void file_in_memory_is_refused(struct kunit *test)
{
	struct hmm_special *special;
	struct toy_move move;
	struct inode *inode;
	struct toy *toy;
	int as_dax, ret;

	migrate_suite_requires(test);
	DMIRROR_REQUIRES_CONFIG(test, FS_DAX);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	special = hmm_special_get(test);
	hmm_special_map(test, special, 0, 2, RW);
	dmirror_user_touch(test, special->addr, 2);
	toy_move_init(test, &move, toy, special->addr, 2, SYSTEM);
	inode = file_inode(special->file);
	inode->i_flags |= S_DAX;
	as_dax = toy_collect(&move);
	if (!as_dax)
		toy_finish(&move);
	inode->i_flags &= ~S_DAX;
	ret = toy_collect(&move);
	if (!ret)
		toy_finish(&move);
	DMIRROR_EXPECT_ERRNO(test, as_dax, -EINVAL, "mapping of DAX");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "the same without DAX");
}

static struct kunit_case migrate_args_cases[] = {
	KUNIT_CASE(unaligned_addresses_are_rounded_down),
	KUNIT_CASE(unaligned_range_stays_within_the_arrays),
	KUNIT_CASE(end_before_the_start_is_refused),
	KUNIT_CASE_PARAM(bad_arguments_are_refused, refusal_gen_params),
	KUNIT_CASE(file_in_memory_is_refused),
	{}
};

DMIRROR_SUITE_AS(migrate_args, dmirror_case_init_mm, migrate_args_cases);
