// SPDX-License-Identifier: GPL-2.0
#include "migrate_large.h"

/* In this order: Linux 7.2 needs it. */
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/leafops.h>
#include <linux/swapops.h>

#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/uaccess.h>

#include "../user.h"

void stamp_write(struct kunit *test, unsigned long addr, unsigned long npages)
{
	unsigned long i;

	for (i = 0; i < npages; i++) {
		u32 __user *at = (u32 __user *)(addr + i * PAGE_SIZE);

		KUNIT_ASSERT_EQ_MSG(test, put_user((u32)i + 1, at), 0,
				    "page %lu", i);
	}
}

void stamp_check(struct kunit *test, unsigned long addr, unsigned long npages,
		 bool written, const char *step)
{
	unsigned long i;

	for (i = 0; i < npages; i++) {
		u32 __user *at = (u32 __user *)(addr + i * PAGE_SIZE);
		u32 got = U32_MAX, want = written ? i + 1 : 0;
		int ret = get_user(got, at);

		if (!ret && got == want)
			continue;
		KUNIT_FAIL(test,
			   "page %lu of [0x%lx,0x%lx) at 0x%lx %s: got %u (%s) wanted %u",
			   i, addr, addr + npages * PAGE_SIZE,
			   addr + i * PAGE_SIZE, step, got, dmirror_errno(ret),
			   want);
		return;
	}
}

void large_advise(struct kunit *test, unsigned long addr, unsigned long npages,
		  int advice)
{
	DMIRROR_ASSERT_OK(test, user_madvise(addr, npages * PAGE_SIZE, advice),
			  "madvise()");
}

struct large large_hole(struct kunit *test, unsigned long prot)
{
	struct large large;
	unsigned long addr;

	migrate_suite_requires(test);
	DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
	if (!thp_migration_supported())
		kunit_skip(test, "needs migration of large folios");
	large.toy = toy_get(test, MEMORY_DEVICE_PRIVATE, 2 * TOY_PAGES);
	addr = dmirror_user_map(test, 2 * NR_LARGE, prot);
	large.addr = ALIGN(addr, PMD_SIZE);
	if (large.addr > addr)
		dmirror_user_unmap(test, addr, (large.addr - addr) / PAGE_SIZE);
	large_advise(test, large.addr, NR_LARGE, MADV_HUGEPAGE);

	return large;
}

struct large large_get(struct kunit *test, enum seen_kind where)
{
	struct large large = large_hole(test, PROT_READ | PROT_WRITE);
	struct seen seen;

	stamp_write(test, large.addr, NR_LARGE);
	large_advise(test, large.addr, NR_LARGE, MADV_NOHUGEPAGE);
	if (where == SEEN_PRIVATE)
		toy_to_device(test, large.toy, large.addr, NR_LARGE);
	seen = migrate_see_settled(large.addr);
	KUNIT_ASSERT_EQ_MSG(test, seen.kind, where, "before");
	KUNIT_ASSERT_TRUE_MSG(test, seen.huge, "before");

	return large;
}

struct large large_or_small_get(struct kunit *test, bool large,
				enum seen_kind where)
{
	struct large small;

	if (large)
		return large_get(test, where);

	small.toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	small.addr = dmirror_user_map(test, 1, PROT_READ | PROT_WRITE);
	stamp_write(test, small.addr, 1);
	if (where == SEEN_PRIVATE)
		toy_to_device(test, small.toy, small.addr, 1);

	return small;
}

void large_end(struct kunit *test, struct large *large)
{
	dmirror_user_unmap(test, large->addr, NR_LARGE);
	KUNIT_EXPECT_EQ_MSG(test, large->toy->out, 0UL,
			    "device pages in use after munmap()");
}

bool expect_small_page(struct kunit *test, struct large *large,
		       unsigned long i, enum seen_kind kind, const char *step)
{
	unsigned long addr = large->addr + i * PAGE_SIZE;
	struct seen seen = migrate_see(current->mm, addr), want = seen;

	want.kind = kind;
	want.huge = false;
	want.write = true;
	want.exclusive = true;
	want.anon = true;
	want.locked = false;
	want.lru = kind == SEEN_RAM;
	want.order = 0;
	want.refs = 1;
	want.maps = 1;

	return migrate_expect_seen(test, addr, &seen, &want, step);
}

void expect_small(struct kunit *test, struct large *large, unsigned long from,
		  unsigned long to, enum seen_kind kind, const char *step)
{
	unsigned long i;

	user_lru_drain();
	for (i = from; i < to; i++)
		if (!expect_small_page(test, large, i, kind, step))
			return;
}

/* A mapping that ends inside splits the PMD; the folio is not split. */
void large_map_by_ptes(struct kunit *test, struct large *large)
{
	unsigned long addr = large->addr + 9 * PAGE_SIZE;
	struct seen seen;

	large_advise(test, addr, 1, MADV_DONTFORK);
	large_advise(test, addr, 1, MADV_DOFORK);
	seen = migrate_see_settled(large->addr);
	KUNIT_ASSERT_FALSE_MSG(test, seen.huge, "after the mapping was split");
	KUNIT_ASSERT_EQ_MSG(test, seen.order, (unsigned int)PMD_ORDER,
			    "after the mapping was split");
}

#if defined(CONFIG_TRANSPARENT_HUGEPAGE) && !defined(MODULE)

static pmd_t pmd_of_bits(pmd_t pmd, struct vm_area_struct *vma,
			 unsigned int bits)
{
	pmd = bits & BIT_WRITE ? pmd_mkwrite(pmd, vma) : pmd_wrprotect(pmd);
	pmd = bits & BIT_DIRTY ? pmd_mkdirty(pmd) : pmd_mkclean(pmd);
	pmd = bits & BIT_YOUNG ? pmd_mkyoung(pmd) : pmd_mkold(pmd);

	/* What is written to is soft-dirty as well: last. */
	return bits & BIT_SOFT_DIRTY ? pmd_mksoft_dirty(pmd) :
				       pmd_clear_soft_dirty(pmd);
}

static pmd_t leaf_of_bits(pmd_t pmd, unsigned int bits)
{
	unsigned long pfn = softleaf_to_pfn(softleaf_from_pmd(pmd));

	pmd = swp_entry_to_pmd(bits & BIT_WRITE ?
			       make_writable_device_private_entry(pfn) :
			       make_readable_device_private_entry(pfn));

	return bits & BIT_SOFT_DIRTY ? pmd_swp_mksoft_dirty(pmd) : pmd;
}

void large_set_bits(unsigned long addr, unsigned int bits)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	spinlock_t *ptl; /* of the table that has the entry */
	pmd_t *pmdp, pmd;

	mmap_write_lock(mm);
	vma = vma_lookup(mm, addr);
	pmdp = pmd_offset(pud_offset(p4d_offset(pgd_offset(mm, addr), addr),
				     addr), addr);
	ptl = pmd_lock(mm, pmdp);
	pmd = *pmdp;
	if (pmd_present(pmd)) {
		pmd = pmdp_invalidate(vma, addr, pmdp);
		pmd = pmd_of_bits(pmd, vma, bits);
	} else {
		pmd = leaf_of_bits(pmd, bits);
	}
	set_pmd_at(mm, addr, pmdp, pmd);
	spin_unlock(ptl);
	mmap_write_unlock(mm);
}

bool large_leaf_looks_writable(void)
{
	pmd_t pmd = swp_entry_to_pmd(make_readable_device_private_entry(0));

	/* On x86 it is the soft-dirty bit that looks so. */
	return pmd_write(pmd) || pmd_write(pmd_swp_mksoft_dirty(pmd));
}

#else /* !CONFIG_TRANSPARENT_HUGEPAGE || MODULE */

/* The cases skip before they get here. */
void large_set_bits(unsigned long addr, unsigned int bits)
{
}

bool large_leaf_looks_writable(void)
{
	return false;
}

#endif /* CONFIG_TRANSPARENT_HUGEPAGE && !MODULE */

/* A small page for entry @i, of the other kind than @from, with its stamp. */
static bool give_small(struct toy_move *move, unsigned long i,
		       enum seen_kind from)
{
	struct page *src = migrate_pfn_to_page(move->args.src[0]), *page;

	if (from == SEEN_PRIVATE) {
		page = alloc_page(GFP_HIGHUSER_MOVABLE);
		if (!page)
			return false;
		lock_page(page);
		memcpy(page_address(page), toy_data(src + i), PAGE_SIZE);
	} else {
		page = toy_alloc(move->toy, 0);
		if (!page)
			return false;
		if (src)
			memcpy(toy_data(page), page_address(src + i),
			       PAGE_SIZE);
		else
			memset(toy_data(page), 0, PAGE_SIZE);
	}
	move->args.dst[i] = migrate_pfn(page_to_pfn(page)) | MIGRATE_PFN_WRITE;

	return true;
}

bool give_small_pages(struct toy_move *move, enum seen_kind from,
		      bool (*gets)(unsigned long i))
{
	unsigned long i;

	for (i = 0; i < NR_LARGE; i++)
		if ((!gets || gets(i)) && !give_small(move, i, from))
			return false;

	return true;
}
