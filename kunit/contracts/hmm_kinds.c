// SPDX-License-Identifier: GPL-2.0
#include "hmm_kinds.h"

#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/rmap.h>
#include <linux/swap.h>

/* Before 7.3 it does not bring what it needs. */
#include <linux/leafops.h>

#include "../user.h"
#include "hmm_probe.h"
#include "hmm_special.h"
#include "toy.h"

#define RW (PROT_READ | PROT_WRITE)

/* No page table is there, unless a neighbour has one. */
static unsigned long make_none(struct kunit *test, struct hmm_bench *bench)
{
	return dmirror_user_map(test, 1, RW);
}

static unsigned long make_read_only_none(struct kunit *test,
					 struct hmm_bench *bench)
{
	return dmirror_user_map(test, 1, PROT_READ);
}

/* The CPU read it, and has the zero page. */
static unsigned long make_zero(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr = make_none(test, bench);

	dmirror_user_touch(test, addr, 1);

	return addr;
}

static unsigned long make_read_only_zero(struct kunit *test,
					 struct hmm_bench *bench)
{
	unsigned long addr = make_read_only_none(test, bench);

	dmirror_user_touch(test, addr, 1);

	return addr;
}

static unsigned long make_dirty(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr = make_none(test, bench);

	dmirror_user_fill(test, addr, 1, 1);

	return addr;
}

/* A hole with a page table: the page was there and has been dropped. */
static unsigned long make_dropped(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = make_dirty(test, bench);
	dmirror_user_dontneed(test, addr, 1);

	return addr;
}

/* MADV_FREE: still writable, no longer dirty. */
static unsigned long make_clean(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = make_dirty(test, bench);
	DMIRROR_ASSERT_OK(test, user_madvise(addr, PAGE_SIZE, MADV_FREE),
			  "madvise(MADV_FREE)");

	return addr;
}

/* A child had it too: copy-on-write is still to come. */
static unsigned long make_cow(struct kunit *test, struct hmm_bench *bench)
{
	struct user_child child = { };
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = make_dirty(test, bench);
	DMIRROR_ASSERT_OK(test, user_fork(&child), "fork");
	user_reap(&child);

	return addr;
}

static unsigned long make_protected(struct kunit *test,
				    struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = make_dirty(test, bench);
	dmirror_user_protect(test, addr, 1, PROT_READ);

	return addr;
}

static unsigned long make_prot_none(struct kunit *test,
				    struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = make_dirty(test, bench);
	dmirror_user_protect(test, addr, 1, PROT_NONE);

	return addr;
}

static unsigned long make_prot_none_none(struct kunit *test,
					 struct hmm_bench *bench)
{
	return dmirror_user_map(test, 1, PROT_NONE);
}

/* A page of a file that the CPU has only read: writable, and clean. */
static unsigned long make_shared_read(struct kunit *test,
				      struct hmm_bench *bench)
{
	unsigned long addr = dmirror_user_map_shared(test, 1);

	dmirror_user_touch(test, addr, 1);

	return addr;
}

static unsigned long make_shared_written(struct kunit *test,
					 struct hmm_bench *bench)
{
	unsigned long addr = dmirror_user_map_shared(test, 1);

	dmirror_user_fill(test, addr, 1, 1);

	return addr;
}

/* What is left of a page whose memory broke, or that could not be moved. */
static unsigned long make_poison(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr = make_zero(test, bench);

	hmm_probe_set_raw(test, addr, make_pte_marker(PTE_MARKER_POISONED));

	return addr;
}

static unsigned long make_guard(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = make_dirty(test, bench);
	DMIRROR_ASSERT_OK(test, user_madvise(addr, PAGE_SIZE,
					     MADV_GUARD_INSTALL),
			  "madvise(MADV_GUARD_INSTALL)");

	return addr;
}

static unsigned long make_hole(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr = make_dirty(test, bench);

	dmirror_user_unmap(test, addr, 1);

	return addr;
}

static unsigned long make_special(struct kunit *test, vm_flags_t flags,
				  unsigned long prot)
{
	struct hmm_special *special = hmm_special_get(test);

	special->flags = flags;

	return hmm_special_map(test, special, 0, 1, prot);
}

static unsigned long make_pfnmap(struct kunit *test, struct hmm_bench *bench)
{
	return make_special(test, VM_PFNMAP, RW);
}

static unsigned long make_io(struct kunit *test, struct hmm_bench *bench)
{
	return make_special(test, VM_IO, RW);
}

/*
 * 87c01d57fa23 ("mm/hmm.c: allow VM_MIXEDMAP to work with hmm_range_fault"):
 * that is no reason to refuse, its pages are pages. B32.
 */
static unsigned long make_mixed_page(struct kunit *test,
				     struct hmm_bench *bench)
{
	unsigned long addr = make_special(test, VM_MIXEDMAP, RW);

	dmirror_user_fill(test, addr, 1, 1);

	return addr;
}

static vm_fault_t fault_pfn(struct hmm_special *special, struct vm_fault *vmf)
{
	unsigned long pfn = page_to_pfn(special->page);

	/* Where no entry can be marked special, it has to have no page. */
	if (!IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL))
		pfn = 1UL << 28;

	return vmf_insert_mixed(vmf->vma, vmf->address, pfn);
}

/*
 * 405506274922 ("mm/hmm: add missing call to hmm_pte_need_fault in
 * HMM_PFN_SPECIAL handling"). B33.
 */
static unsigned long make_mixed_pfn(struct kunit *test,
				    struct hmm_bench *bench)
{
	struct hmm_special *special = hmm_special_get(test);
	unsigned long addr;
	vm_fault_t ret;

	special->flags = VM_MIXEDMAP;
	special->fault = fault_pfn;
	addr = hmm_special_map(test, special, 0, 1, RW);
	mmap_read_lock(current->mm);
	ret = handle_mm_fault(vma_lookup(current->mm, addr), addr,
			      FAULT_FLAG_REMOTE, NULL);
	mmap_read_unlock(current->mm);
	KUNIT_ASSERT_EQ_MSG(test, ret & VM_FAULT_ERROR, 0U, "special page");

	return addr;
}

static struct toy *device(struct kunit *test, struct hmm_bench *bench,
			  enum memory_type type)
{
	if (!bench->toy)
		bench->toy = toy_get(test, type, TOY_PAGES);

	return bench->toy;
}

static unsigned long make_own(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = make_dirty(test, bench);
	toy_to_device(test, device(test, bench, MEMORY_DEVICE_PRIVATE), addr,
		      1);
	bench->probe->range.dev_private_owner = bench->toy;

	return addr;
}

static unsigned long make_own_protected(struct kunit *test,
					struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = make_own(test, bench);
	dmirror_user_protect(test, addr, 1, PROT_READ);

	return addr;
}

/*
 * 8a295dbbaf72 ("mm/hmm: fault non-owner device private entries"): what belongs
 * to another device is faulted, and no error. B31.
 */
static unsigned long make_foreign(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = make_own(test, bench);
	bench->probe->range.dev_private_owner = bench;

	return addr;
}

/* Without an owner nothing is one's own. */
static unsigned long make_nobodys(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = make_own(test, bench);
	bench->probe->range.dev_private_owner = NULL;

	return addr;
}

static unsigned long make_foreign_protected(struct kunit *test,
					    struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = make_foreign(test, bench);
	dmirror_user_protect(test, addr, 1, PROT_READ);

	return addr;
}

/* The CPU maps it: whose it is makes no difference. */
static unsigned long make_coherent(struct kunit *test, struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = make_dirty(test, bench);
	toy_to_device(test, device(test, bench, MEMORY_DEVICE_COHERENT), addr,
		      1);

	return addr;
}

static int exclude(unsigned long addr, void *owner)
{
	struct mm_struct *mm = current->mm;
	struct folio *folio = NULL;
	struct page *page;

	mmap_read_lock(mm);
	page = make_device_exclusive(mm, addr, owner, &folio);
	mmap_read_unlock(mm);
	if (IS_ERR(page))
		return PTR_ERR(page);
	folio_unlock(folio);
	folio_put(folio);

	return 0;
}

/* Not valid for anybody, the device that has it included. */
static unsigned long make_exclusive(struct kunit *test,
				    struct hmm_bench *bench)
{
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	addr = make_dirty(test, bench);
	bench->probe->range.dev_private_owner = bench;
	DMIRROR_ASSERT_OK(test, exclude(addr, bench), "make_device_exclusive");

	return addr;
}

/*
 * The write request of own_protected is a known kernel bug that another case
 * has: dmirror_fork.write_request_finds_a_writable_page. The snapshots of
 * poison and guard are one of hmm_flags.dead_entry_is_an_error.
 */
const struct hmm_kind hmm_kinds[] = {
	{ "none", make_none, '-', 'r', 'w', true },
	{ "dropped", make_dropped, '-', 'r', 'w', true },
	{ "read_only_none", make_read_only_none, '-', 'r', 'P', true },
	{ "zero", make_zero, 'r', 'r', 'w', true },
	{ "read_only_zero", make_read_only_zero, 'r', 'r', 'P', true },
	{ "dirty", make_dirty, 'w', 'w', 'w', true },
	{ "clean", make_clean, 'w', 'w', 'w' },
	{ "cow", make_cow, 'r', 'r', 'w' },
	{ "protected", make_protected, 'r', 'r', 'P', true },
	{ "prot_none", make_prot_none, 'E', 'F', 'F', true },
	{ "prot_none_none", make_prot_none_none, 'E', 'F', 'F', true },
	{ "shared_read", make_shared_read, 'w', 'w', 'w' },
	{ "shared_written", make_shared_written, 'w', 'w', 'w' },
	{ "hole", make_hole, 'E', 'F', 'F', true },
	{ "poison", make_poison, '.', 'F', 'F', true },
	{ "guard", make_guard, '.', 'F', 'F', true },
	{ "pfnmap", make_pfnmap, 'E', 'F', 'F' },
	{ "io", make_io, 'E', 'F', 'F' },
	{ "mixed_page", make_mixed_page, 'w', 'w', 'w' },
	{ "mixed_pfn", make_mixed_pfn, 'E', 'F', 'F' },
	{ "own", make_own, 'w', 'w', 'w' },
	{ "own_protected", make_own_protected, 'r', 'r', '.' },
	{ "foreign", make_foreign, '-', 'w', 'w' },
	{ "nobodys", make_nobodys, '-', 'w', 'w' },
	{ "foreign_protected", make_foreign_protected, '-', 'r', 'P' },
	{ "coherent", make_coherent, 'w', 'w', 'w' },
	{ "exclusive", make_exclusive, '-', 'w', 'w' },
};

const unsigned int hmm_nr_kinds = ARRAY_SIZE(hmm_kinds);
