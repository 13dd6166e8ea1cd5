// SPDX-License-Identifier: GPL-2.0
#include "hmm_probe.h"

#include <kunit/resource.h>
#include <linux/kthread.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/page-flags.h>
#include <linux/pgtable.h>
#include <linux/slab.h>
#include <linux/swap.h>

/* Before 7.3 it does not bring what it needs. */
#include <linux/leafops.h>

#include "core_mm.h"

/* How often a driver tries again before it takes -EBUSY for an answer. */
#define TRIES 100

static bool probe_invalidate(struct mmu_interval_notifier *notifier,
			     const struct mmu_notifier_range *range,
			     unsigned long seq)
{
	struct hmm_probe *probe = container_of(notifier, struct hmm_probe,
					       notifier);

	spin_lock(&probe->lock);
	mmu_interval_set_seq(notifier, seq);
	probe->invalidations++;
	spin_unlock(&probe->lock);

	return true;
}

static const struct mmu_interval_notifier_ops probe_ops = {
	.invalidate = probe_invalidate,
};

static void probe_end(void *data)
{
	struct hmm_probe *probe = data;

	mmu_interval_notifier_remove(&probe->notifier);
}

static struct hmm_probe *probe_get(struct kunit *test, unsigned long start,
				   unsigned long length, unsigned long nr)
{
	struct hmm_probe *probe = kunit_kzalloc(test, sizeof(*probe),
						GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, probe);
	probe->pfns = kunit_kcalloc(test, 2 * nr + 2, sizeof(*probe->pfns),
				    GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, probe->pfns);
	probe->pfns++;
	probe->asked = probe->pfns + nr + 1;
	probe->pfns[-1] = HMM_PROBE_GUARD;
	probe->pfns[nr] = HMM_PROBE_GUARD;
	probe->nr = nr;
	spin_lock_init(&probe->lock);
	probe->range.notifier = &probe->notifier;
	probe->range.hmm_pfns = probe->pfns;

	DMIRROR_ASSERT_OK(test,
			  mmu_interval_notifier_insert(&probe->notifier,
						       current->mm, start,
						       length, &probe_ops),
			  "mmu_interval_notifier_insert");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, probe_end, probe),
			0);

	return probe;
}

struct hmm_probe *hmm_probe_get(struct kunit *test, unsigned long nr)
{
	return probe_get(test, 0, ULONG_MAX, nr);
}

struct hmm_probe *hmm_probe_get_at(struct kunit *test, unsigned long addr,
				   unsigned long nr)
{
	return probe_get(test, addr, nr << PAGE_SHIFT, nr);
}

#ifdef HMM_HAVE_RANGE_FAULT_UNLOCKED

unsigned int hmm_probe_ways(void)
{
	return 2;
}

static int ask_unlocked(struct hmm_probe *probe)
{
	return hmm_range_fault_unlocked_timeout(&probe->range, probe->timeout);
}

#else

unsigned int hmm_probe_ways(void)
{
	return 1;
}

static int ask_unlocked(struct hmm_probe *probe)
{
	return -EOPNOTSUPP;
}

#endif /* HMM_HAVE_RANGE_FAULT_UNLOCKED */

void hmm_probe_fill(struct hmm_probe *probe, unsigned long value)
{
	unsigned long i;

	for (i = 0; i < probe->nr; i++)
		probe->pfns[i] = value;
}

static void set_range(struct hmm_probe *probe, unsigned long addr,
		      unsigned long npages)
{
	probe->range.start = addr;
	probe->range.end = addr + (npages << PAGE_SHIFT);
}

/*
 * 5.7, "mm/hmm: add missing unmaps of the ptep during hmm_vma_handle_pte()",
 * B34: each answer of each case is asked for what the thread holds afterwards.
 */
int hmm_probe_held(struct hmm_probe *probe, unsigned long addr,
		   unsigned long npages)
{
	unsigned int before = core_held();
	int ret;

	set_range(probe, addr, npages);
	ret = hmm_range_fault(&probe->range);
	if (core_held() != before)
		probe->unbalanced = true;

	return ret;
}

int hmm_probe_ask(struct hmm_probe *probe, unsigned long addr,
		  unsigned long npages)
{
	struct mm_struct *mm = probe->notifier.mm;
	unsigned int before = core_held();
	int ret;

	set_range(probe, addr, npages);
	if (probe->unlocked) {
		ret = ask_unlocked(probe);
		if (core_held() != before)
			probe->unbalanced = true;
		return ret;
	}

	probe->range.notifier_seq = mmu_interval_read_begin(&probe->notifier);
	mmap_read_lock(mm);
	ret = hmm_probe_held(probe, addr, npages);
	mmap_read_unlock(mm);

	return ret;
}

int hmm_probe_insist(struct hmm_probe *probe, unsigned long addr,
		     unsigned long npages)
{
	size_t size = probe->nr * sizeof(*probe->pfns);
	bool late;
	int ret;

	memcpy(probe->asked, probe->pfns, size);
	for (probe->retries = 0; probe->retries < TRIES; probe->retries++) {
		memcpy(probe->pfns, probe->asked, size);
		ret = hmm_probe_ask(probe, addr, npages);
		if (ret == -EBUSY)
			continue;
		spin_lock(&probe->lock);
		late = mmu_interval_read_retry(&probe->notifier,
					       probe->range.notifier_seq);
		spin_unlock(&probe->lock);
		if (ret || !late)
			return ret;
	}

	return -EBUSY;
}

int hmm_probe_run(struct hmm_probe *probe, unsigned long addr,
		  unsigned long npages, unsigned long flags)
{
	probe->range.default_flags = flags;
	probe->range.pfn_flags_mask = 0;
	hmm_probe_fill(probe, 0);

	return hmm_probe_insist(probe, addr, npages);
}

char hmm_probe_letter(unsigned long entry)
{
	bool write = entry & HMM_PFN_WRITE;

	entry &= ~HMM_STICKY;
	if (!entry)
		return '-';
	if (entry == HMM_PFN_ERROR)
		return 'E';
	if (!(entry & HMM_PFN_VALID) || entry & HMM_PFN_ERROR)
		return '?';
	if (hmm_pfn_to_map_order(entry))
		return write ? 'W' : 'R';

	return write ? 'w' : 'r';
}

static unsigned long valid(unsigned long pfn, bool write, unsigned long order)
{
	return pfn | HMM_PFN_VALID | (write ? HMM_PFN_WRITE : 0) |
	       order << HMM_PFN_ORDER_SHIFT;
}

static bool is_own(softleaf_t entry, void *owner)
{
	return softleaf_is_device_private(entry) &&
	       page_pgmap(softleaf_to_page(entry))->owner == owner;
}

/* No struct page stands behind it; the zero page has one. */
static bool is_special(unsigned long pfn, bool special)
{
	return !is_zero_pfn(pfn) && (special || !pfn_valid(pfn));
}

static unsigned long truth_of_pte(pte_t pte, void *owner)
{
	softleaf_t entry;

	if (pte_none(pte))
		return 0;
	if (pte_present(pte)) {
		if (pte_protnone(pte))
			return 0;
		if (is_special(pte_pfn(pte), pte_special(pte)))
			return HMM_PFN_ERROR;
		return valid(pte_pfn(pte), pte_write(pte), 0);
	}

	entry = softleaf_from_pte(pte);
	if (is_own(entry, owner))
		return valid(softleaf_to_pfn(entry),
			     softleaf_is_device_private_write(entry), 0);
	if (softleaf_is_hwpoison(entry) || softleaf_is_poison_marker(entry) ||
	    softleaf_is_guard_marker(entry))
		return HMM_PFN_ERROR;

	return 0;
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE

/* A module cannot know; the cases that have huge pages are built-in. */
static bool is_zero(pmd_t pmd)
{
#ifdef MODULE
	return false;
#else
	return is_huge_zero_pmd(pmd);
#endif
}

static unsigned long truth_of_pmd(pmd_t pmd, unsigned long addr, void *owner)
{
	unsigned long at = (addr & ~PMD_MASK) >> PAGE_SHIFT;
	softleaf_t entry;

	if (pmd_present(pmd)) {
		if (pmd_protnone(pmd))
			return 0;
		/* The huge zero folio is marked special too, but has pages. */
		if (pmd_special(pmd) && !is_zero(pmd))
			return HMM_PFN_ERROR;
		return valid(pmd_pfn(pmd) + at, pmd_write(pmd), PMD_ORDER);
	}

	entry = softleaf_from_pmd(pmd);
	if (!is_own(entry, owner))
		return 0;

	return valid(softleaf_to_pfn(entry) + at,
		     softleaf_is_device_private_write(entry), PMD_ORDER);
}

#else

static unsigned long truth_of_pmd(pmd_t pmd, unsigned long addr, void *owner)
{
	return 0;
}

#endif /* CONFIG_TRANSPARENT_HUGEPAGE */

static pud_t *find_pud(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;

	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);

	return p4d_none(*p4d) ? NULL : pud_offset(p4d, addr);
}

static pmd_t *find_pmd(struct mm_struct *mm, unsigned long addr)
{
	pud_t *pud = find_pud(mm, addr);

	if (!pud || pud_none(*pud) || pud_leaf(*pud))
		return NULL;

	return pmd_offset(pud, addr);
}

/* A table is under this entry, and no huge page or what stands for one. */
static bool has_table(pmd_t pmd)
{
	return pmd_present(pmd) && !pmd_leaf(pmd);
}

unsigned long hmm_probe_truth(struct mm_struct *mm, unsigned long addr,
			      void *owner)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);
	pud_t *pud = find_pud(mm, addr);
	pmd_t *pmd = find_pmd(mm, addr);

	if (!vma || vma->vm_flags & (VM_IO | VM_PFNMAP) ||
	    !(vma->vm_flags & VM_READ))
		return HMM_PFN_ERROR;
	/* Of the huge ones of this size the suites make special ones only. */
	if (pud && !pud_none(*pud) && pud_leaf(*pud))
		return HMM_PFN_ERROR;
	if (!pmd || pmd_none(*pmd))
		return 0;
	if (!has_table(*pmd))
		return truth_of_pmd(*pmd, addr, owner);

	return truth_of_pte(ptep_get(pte_offset_kernel(pmd, addr)), owner);
}

unsigned long hmm_probe_raw(unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	unsigned long raw = 0;
	pmd_t *pmd;

	mmap_read_lock(mm);
	pmd = find_pmd(mm, addr);
	if (pmd && has_table(*pmd))
		raw = pte_val(ptep_get(pte_offset_kernel(pmd, addr)));
	else if (pmd)
		raw = pmd_val(*pmd);
	mmap_read_unlock(mm);

	return raw;
}

void hmm_probe_set_raw(struct kunit *test, unsigned long addr, pte_t pte)
{
	struct mm_struct *mm = current->mm;
	bool found;
	pmd_t *pmd;

	mmap_write_lock(mm);
	pmd = find_pmd(mm, addr);
	found = pmd && has_table(*pmd);
	if (found)
		set_pte_at(mm, addr, pte_offset_kernel(pmd, addr), pte);
	mmap_write_unlock(mm);
	KUNIT_ASSERT_TRUE_MSG(test, found, "no page table at 0x%lx", addr);
}

bool hmm_probe_swap_pmd(unsigned long addr, pmd_t *pmd)
{
	struct mm_struct *mm = current->mm;
	pmd_t *pmdp, was;
	spinlock_t *ptl; /* of the page table */

	mmap_read_lock(mm);
	pmdp = find_pmd(mm, addr);
	if (pmdp) {
		ptl = pmd_lock(mm, pmdp);
		was = *pmdp;
		set_pmd(pmdp, *pmd);
		*pmd = was;
		spin_unlock(ptl);
	}
	mmap_read_unlock(mm);

	return pmdp;
}

#ifdef _PAGE_RW

bool hmm_probe_spoil(unsigned long addr, bool bad)
{
	struct mm_struct *mm = current->mm;
	bool done = false;
	pmd_t *pmd;

	mmap_write_lock(mm);
	pmd = find_pmd(mm, addr);
	if (pmd && has_table(*pmd)) {
		/* Every table is writable: what is not is no table. */
		set_pmd(pmd, __pmd(bad ? pmd_val(*pmd) & ~_PAGE_RW :
					 pmd_val(*pmd) | _PAGE_RW));
		done = pmd_bad(*pmd) == bad;
	}
	mmap_write_unlock(mm);

	return done;
}

#else

bool hmm_probe_spoil(unsigned long addr, bool bad)
{
	return false;
}

#endif /* _PAGE_RW */

static void expect_whole(struct kunit *test, struct hmm_probe *probe,
			 const char *step)
{
	KUNIT_EXPECT_EQ_MSG(test, probe->pfns[-1], HMM_PROBE_GUARD,
			    "the entry before the array, %s", step);
	KUNIT_EXPECT_EQ_MSG(test, probe->pfns[probe->nr], HMM_PROBE_GUARD,
			    "the entry after the array, %s", step);
	KUNIT_EXPECT_FALSE_MSG(test, probe->unbalanced,
			       "locks or RCU are held differently after the call, %s",
			       step);
}

void hmm_probe_expect(struct kunit *test, struct hmm_probe *probe,
		      unsigned long addr, const char *letters,
		      const char *step)
{
	struct mm_struct *mm = probe->notifier.mm;
	unsigned long i, got, want;

	for (i = 0; letters[i]; i++) {
		unsigned long at = addr + (i << PAGE_SHIFT);

		got = probe->pfns[i] & ~HMM_STICKY;
		mmap_read_lock(mm);
		want = hmm_probe_truth(mm, at, probe->range.dev_private_owner);
		mmap_read_unlock(mm);
		if (hmm_probe_letter(got) == letters[i] && got == want)
			continue;
		KUNIT_FAIL(test,
			   "page %lu at 0x%lx %s: got %c (0x%lx) wanted %c, the page tables say %c (0x%lx)",
			   i, at, step, hmm_probe_letter(got), got, letters[i],
			   hmm_probe_letter(want), want);
		break;
	}
	expect_whole(test, probe, step);
}

void hmm_probe_expect_input(struct kunit *test, struct hmm_probe *probe,
			    unsigned long from, unsigned long value,
			    const char *step)
{
	unsigned long i;

	for (i = from; i < probe->nr; i++) {
		if (probe->pfns[i] == value)
			continue;
		KUNIT_FAIL(test,
			   "entry %lu of %lu %s: got 0x%lx, which was 0x%lx before",
			   i, probe->nr, step, probe->pfns[i], value);
		break;
	}
	expect_whole(test, probe, step);
}

static int asker_thread(void *data)
{
	struct hmm_asker *asker = data;

	asker->ret = hmm_probe_run(asker->probe, asker->addr, asker->npages,
				   asker->flags);
	complete(&asker->done);

	return 0;
}

void hmm_asker_create(struct kunit *test, struct hmm_asker *asker)
{
	init_completion(&asker->done);
	asker->task = kthread_create(asker_thread, asker, "hmm_asker");
	KUNIT_ASSERT_FALSE(test, IS_ERR(asker->task));
}

void hmm_asker_cancel(struct hmm_asker *asker)
{
	kthread_stop(asker->task);
}

/* Nothing else tells when a thread begins to wait. */
static bool has_waiters(void *data)
{
	return folio_test_waiters((struct folio *)data);
}

bool hmm_asker_start(struct hmm_asker *asker, struct folio *folio)
{
	wake_up_process(asker->task);

	return dmirror_wait_for(has_waiters, folio);
}

void hmm_asker_join(struct hmm_asker *asker)
{
	wait_for_completion(&asker->done);
}
