// SPDX-License-Identifier: GPL-2.0
/*
 * How the operations of a pagemap are called for pages that a process has:
 * struct dev_pagemap_ops in include/linux/memremap.h. What migrate_to_ram()
 * may return and finds, in which order folio_split() is told of the parts of a
 * large folio, and that pages which came back are as good as new for the next
 * process.
 */
#include <kunit/resource.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#include "../user.h"
#include "mem.h"
#include "toy.h"

#define RW (PROT_READ | PROT_WRITE)

/* Pages of a huge page. */
#define HUGE (PMD_SIZE >> PAGE_SHIFT)

#define NR 4UL

/* An aligned place for a huge page, written to, and on the device. */
static unsigned long huge_on_device(struct kunit *test, struct toy *toy,
				    u64 salt)
{
	unsigned long addr = ALIGN(dmirror_user_map(test, 2 * HUGE, RW),
				   PMD_SIZE);

	DMIRROR_ASSERT_OK(test, user_madvise(addr, PMD_SIZE, MADV_HUGEPAGE),
			  "MADV_HUGEPAGE");
	dmirror_user_fill(test, addr, HUGE, salt);
	user_lru_drain();
	toy_to_device(test, toy, addr, HUGE);

	return addr;
}

static struct toy *huge_toy(struct kunit *test)
{
	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);

	return toy_get(test, MEMORY_DEVICE_PRIVATE, 2 * TOY_PAGES);
}

/* The operations of a toy device, to be changed. */
static struct dev_pagemap_ops *ops_copy(struct kunit *test,
					const struct dev_pagemap_ops *from)
{
	struct dev_pagemap_ops *ops = kunit_kmalloc(test, sizeof(*ops),
						    GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ops);
	*ops = *from;

	return ops;
}

/**
 * struct answer - what migrate_to_ram() returns
 * @name: of the row
 * @ret: the code
 * @huge: for a huge page
 * @unlocks: it lets go of mmap_lock
 */
struct answer {
	const char *name;
	vm_fault_t ret;
	bool huge;
	bool unlocks;
};

static const struct answer answers[] = {
	{ "nothing_done", 0 },
	{ "sigbus", VM_FAULT_SIGBUS },
	{ "oom", VM_FAULT_OOM },
	{ "hwpoison", VM_FAULT_HWPOISON },
	{ "retry", VM_FAULT_RETRY, false, true },
	{ "nothing_done_for_a_huge_page", 0, true },
	{ "sigbus_for_a_huge_page", VM_FAULT_SIGBUS, true },
	{ "oom_for_a_huge_page", VM_FAULT_OOM, true },
	{ "hwpoison_for_a_huge_page", VM_FAULT_HWPOISON, true },
	{ "retry_for_a_huge_page", VM_FAULT_RETRY, true, true },
};

KUNIT_ARRAY_PARAM_DESC(answer, answers, name);

/* What migrate_to_ram() found; of the case that runs. */
static struct {
	const struct answer *answer;
	unsigned long address;
	struct page *page;
	bool locked;
	int refs;
	int maps;
} seen;

static vm_fault_t give_answer(struct toy *toy, struct vm_fault *vmf)
{
	struct folio *folio = page_folio(vmf->page);

	seen.address = vmf->address;
	seen.page = vmf->page;
	seen.locked = folio_test_locked(folio);
	seen.refs = folio_ref_count(folio);
	seen.maps = folio_mapcount(folio);
	if (seen.answer->unlocks)
		mmap_read_unlock(vmf->vma->vm_mm);

	return seen.answer->ret;
}

/* A read fault, as the architecture's handler does it. */
static vm_fault_t fault_on(unsigned long addr, bool unlocks)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	vm_fault_t ret = VM_FAULT_SIGSEGV;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		ret = handle_mm_fault(vma, addr, FAULT_FLAG_DEFAULT, NULL);
	if (!unlocks || !(ret & VM_FAULT_RETRY))
		mmap_read_unlock(mm);

	return ret;
}

/*
 * 4a955bed882e ("mm/memory: return vm_fault_t result from migrate_to_ram()
 * callback"), B17, and 16ce101db85d ("mm/memory.c: fix race when faulting a
 * device private page"), B16:
 * the driver has the page to itself, its answer is the answer to the fault, and
 * whatever that is, the page is left as it was.
 */
static void answer_of_migrate_to_ram_is_passed_on(struct kunit *test)
{
	const struct answer *row = test->param_value;
	struct toy *toy = row->huge ? huge_toy(test) :
			  toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	unsigned long addr, out;
	struct folio *folio;
	vm_fault_t ret;

	if (row->huge) {
		addr = huge_on_device(test, toy, 1);
	} else {
		addr = dmirror_user_map(test, 1, RW);
		dmirror_user_fill(test, addr, 1, 1);
		toy_to_device(test, toy, addr, 1);
	}
	folio = page_folio(pfn_to_page(toy->first_pfn));
	seen = (typeof(seen)){ .answer = row };
	toy->on_fault = give_answer;
	ret = fault_on(addr, row->unlocks);
	toy->on_fault = NULL;
	out = toy->out;

	KUNIT_EXPECT_EQ_MSG(test, ret & (VM_FAULT_ERROR | VM_FAULT_RETRY),
			    row->ret, "answer to the fault, all of it 0x%x",
			    ret);
	KUNIT_EXPECT_EQ_MSG(test, toy->faults, 1U, "calls of migrate_to_ram");
	KUNIT_EXPECT_EQ(test, seen.address & PAGE_MASK, addr);
	KUNIT_EXPECT_PTR_EQ(test, seen.page, &folio->page);
	KUNIT_EXPECT_TRUE_MSG(test, seen.locked, "locked in migrate_to_ram");
	KUNIT_EXPECT_EQ_MSG(test, seen.maps, 1, "maps in migrate_to_ram");
	KUNIT_EXPECT_EQ_MSG(test, seen.refs, 2,
			    "references in migrate_to_ram: the map, the fault");
	KUNIT_EXPECT_EQ_MSG(test, out, row->huge ? HUGE : 1UL, "pages out");
	KUNIT_EXPECT_EQ_MSG(test, folio_ref_count(folio), 1,
			    "references after the fault");
	KUNIT_EXPECT_FALSE_MSG(test, folio_test_locked(folio),
			       "locked after the fault");
	toy_to_ram(test, toy, addr, row->huge ? HUGE : 1);
	dmirror_user_check(test, addr, row->huge ? HUGE : 1, 1,
			   "after the faults that failed");
}

/* The process is told that its page is lost. */
static void access_fails_when_migrate_to_ram_does(struct kunit *test)
{
	static const struct answer sigbus = { .ret = VM_FAULT_SIGBUS };
	struct toy *toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	unsigned long addr = dmirror_user_map(test, 1, RW), left;
	u8 byte = 0;

	dmirror_user_fill(test, addr, 1, 1);
	toy_to_device(test, toy, addr, 1);
	seen = (typeof(seen)){ .answer = &sigbus };
	toy->on_fault = give_answer;
	left = copy_from_user(&byte, (void __user *)addr, 1);
	toy->on_fault = NULL;
	KUNIT_EXPECT_EQ(test, left, 1UL);
	KUNIT_EXPECT_EQ(test, toy->faults, 1U);
	dmirror_user_check(test, addr, 1, 1, "when the device can again");
}

/* What folio_split() was told; of the case that runs. */
static struct {
	void (*split)(struct folio *head, struct folio *tail);
	struct folio *head;
	unsigned int calls;
	unsigned int ends;
	unsigned int wrong;
	unsigned long next;
} told;

/* Called with interrupts off: notes only. */
static void note_split(struct folio *head, struct folio *tail)
{
	if (!told.head) {
		told.head = head;
		told.next = folio_pfn(head) + 1;
	}
	told.calls++;
	/* All parts in the order of their addresses, and then the end. */
	if (head != told.head || told.ends)
		told.wrong++;
	else if (!tail)
		told.ends++;
	else if (folio_pfn(tail) != told.next++)
		told.wrong++;
	told.split(head, tail);
}

/* One page of a large folio goes home: the driver is told of each part once. */
static void folio_split_is_told_of_each_part(struct kunit *test)
{
	struct toy *toy = huge_toy(test);
	const struct dev_pagemap_ops *was = toy->pagemap.ops;
	struct dev_pagemap_ops *ops = ops_copy(test, was);
	unsigned long addr, i, out, large = 0;

	addr = huge_on_device(test, toy, 1);
	told = (typeof(told)){ .split = was->folio_split };
	ops->folio_split = note_split;
	toy->pagemap.ops = ops;
	toy_to_ram(test, toy, addr + 3 * PAGE_SIZE, 1);
	toy->pagemap.ops = was;
	out = toy->out;
	for (i = 0; i < HUGE; i++)
		large += PageCompound(pfn_to_page(toy->first_pfn + i));

	KUNIT_EXPECT_EQ_MSG(test, told.wrong, 0U,
			    "calls out of order, of %u", told.calls);
	KUNIT_EXPECT_EQ_MSG(test, told.calls, (unsigned int)HUGE,
			    "one call for each part but the first, and the end");
	KUNIT_EXPECT_EQ_MSG(test, told.ends, 1U, "calls for the end");
	KUNIT_EXPECT_EQ_MSG(test, out, HUGE - 1, "pages out");
	KUNIT_EXPECT_EQ_MSG(test, large, 0UL, "pages that are still large");
	dmirror_user_check(test, addr, HUGE, 1, "after the split");
	KUNIT_EXPECT_EQ(test, toy->out, 0UL);
}

/* A mapping, its order and its owner are forgotten with the last reference. */
static void small_pages_where_a_huge_one_was(struct kunit *test)
{
	struct toy *toy = huge_toy(test);
	unsigned long addr = huge_on_device(test, toy, 1), small, first;

	first = toy->first_pfn;
	KUNIT_EXPECT_EQ(test, folio_order(page_folio(pfn_to_page(first))),
			(unsigned int)PMD_ORDER);
	dmirror_user_unmap(test, addr, HUGE);
	KUNIT_EXPECT_EQ(test, toy->out, 0UL);
	KUNIT_EXPECT_EQ(test, toy->frees, 1U);
	KUNIT_EXPECT_EQ(test, toy->freed_order, (unsigned int)PMD_ORDER);

	small = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, small, NR, 2);
	toy_to_device(test, toy, small, NR);
	KUNIT_EXPECT_EQ(test, toy->out, NR);
	KUNIT_EXPECT_EQ(test, folio_order(page_folio(pfn_to_page(first))), 0U);
	dmirror_user_check(test, small, NR, 2, "where a huge page was");
	KUNIT_EXPECT_EQ(test, toy->out, 0UL);
	KUNIT_EXPECT_EQ(test, toy->frees, 1U + (unsigned int)NR);
	KUNIT_EXPECT_EQ(test, toy->freed_order, 0U);
}

static void huge_page_where_small_ones_were(struct kunit *test)
{
	struct toy *toy = huge_toy(test);
	unsigned long small = dmirror_user_map(test, NR, RW), addr;

	dmirror_user_fill(test, small, NR, 2);
	toy_to_device(test, toy, small, NR);
	dmirror_user_check(test, small, NR, 2, "before");
	dmirror_user_unmap(test, small, NR);
	addr = huge_on_device(test, toy, 1);
	toy_to_ram(test, toy, addr, HUGE);
	dmirror_user_check(test, addr, HUGE, 1, "where small pages were");
	KUNIT_EXPECT_EQ(test, toy->out, 0UL);
}

#if IS_ENABLED(CONFIG_MEMORY_FAILURE) && !defined(MODULE)

/* What memory_failure() told the driver; of the case that runs. */
static struct {
	int ret;
	unsigned int calls;
	struct dev_pagemap *pagemap;
	unsigned long pfn;
	unsigned long nr;
} failed;

static int note_failure(struct dev_pagemap *pagemap, unsigned long pfn,
			unsigned long nr, int flags)
{
	failed.calls++;
	failed.pagemap = pagemap;
	failed.pfn = pfn;
	failed.nr = nr;

	return failed.ret;
}

static void fail_page(struct kunit *test, struct toy *toy)
{
	static const int rets[] = { 0, -EBUSY };
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(rets); i++) {
		failed = (typeof(failed)){ .ret = rets[i] };
		ret = memory_failure(toy->first_pfn, MF_SW_SIMULATED);
		DMIRROR_EXPECT_ERRNO(test, ret, rets[i], "memory_failure");
		KUNIT_EXPECT_EQ(test, failed.calls, 1U);
		KUNIT_EXPECT_PTR_EQ(test, failed.pagemap, &toy->pagemap);
		KUNIT_EXPECT_EQ(test, failed.pfn, toy->first_pfn);
		KUNIT_EXPECT_EQ(test, failed.nr, 1UL);
	}
}

/* "Handle the memory failure happens on a range of pfns" */
static void memory_failure_is_told_to_the_driver(struct kunit *test)
{
	struct toy *toy = toy_get(test, MEMORY_DEVICE_COHERENT, TOY_PAGES);
	const struct dev_pagemap_ops *was = toy->pagemap.ops;
	struct dev_pagemap_ops *ops = ops_copy(test, was);
	unsigned long addr = dmirror_user_map(test, 1, RW);

	dmirror_user_fill(test, addr, 1, 1);
	toy_to_device(test, toy, addr, 1);
	ops->memory_failure = note_failure;
	toy->pagemap.ops = ops;
	fail_page(test, toy);
	toy->pagemap.ops = was;
	dmirror_user_check(test, addr, 1, 1, "after what the driver repaired");
}

/* The ways in which a driver can leave it to core mm. */
static const struct dev_pagemap_ops *const leave_it[] = {
	&(const struct dev_pagemap_ops){ },
	&(const struct dev_pagemap_ops){ .memory_failure = note_failure },
};

#define NR_LEFT ARRAY_SIZE(leave_it)

/* An inode like that of a file in memory of a type, with a mapping. */
static struct inode *file_inode_new(struct kunit *test, unsigned int flags,
				    umode_t mode)
{
	struct inode *inode = kunit_kzalloc(test, sizeof(*inode), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, inode);
	address_space_init_once(&inode->i_data);
	inode->i_data.host = inode;
	inode->i_mapping = &inode->i_data;
	inode->i_flags = flags;
	inode->i_mode = mode;

	return inode;
}

/* Fails a page of a pagemap with each of leave_it, and says what came of it. */
static void fail_and_leave(struct dev_pagemap *pagemap, unsigned long pfn,
			   int *ret)
{
	const struct dev_pagemap_ops *was = pagemap->ops;
	unsigned int i;

	for (i = 0; i < NR_LEFT; i++) {
		failed = (typeof(failed)){ .ret = -EOPNOTSUPP };
		pagemap->ops = leave_it[i];
		ret[i] = memory_failure(pfn, MF_SW_SIMULATED);
		pagemap->ops = was;
	}
}

/*
 * memremap.h: "When this is not implemented, or it returns -EOPNOTSUPP, the
 * caller will fall back to a common handler", which signals those who map the
 * page. What it goes by is the mapping of the file that the page belongs to,
 * of a device in this case.
 */
static void memory_failure_is_handled_without_the_driver(struct kunit *test)
{
	struct mem *mem = mem_get(test, MEMORY_DEVICE_GENERIC, 1);
	struct page *page = mem_page(mem, 5);
	struct inode *inode;
	int ret[NR_LEFT];
	unsigned int i;
	bool poisoned;

	DMIRROR_REQUIRES_CONFIG(test, FS_DAX);
	inode = file_inode_new(test, S_DAX, S_IFCHR);
	page->mapping = &inode->i_data;
	fail_and_leave(&mem->pagemap, page_to_pfn(page), ret);
	page->mapping = NULL;
	poisoned = PageHWPoison(page);
	ClearPageHWPoison(page);
	for (i = 0; i < NR_LEFT; i++)
		DMIRROR_EXPECT_ERRNO(test, ret[i], 0,
				     i ? "operation that cannot" :
				     "no operation");
	KUNIT_EXPECT_EQ_MSG(test, failed.calls, 1U, "calls of the operation");
	KUNIT_EXPECT_TRUE_MSG(test, poisoned, "page 5 is marked");
}

/* What the handler would find if it took anonymous memory for a file's. */
static struct address_space *anon_mapping(struct kunit *test)
{
	struct inode *inode = file_inode_new(test, 0, S_IFREG);
	void *trap = kunit_kzalloc(test, sizeof(struct address_space) + 1,
				   GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, trap);
	trap += FOLIO_MAPPING_ANON;
	put_unaligned((unsigned long)inode,
		      (unsigned long *)(trap + offsetof(struct address_space,
							host)));

	return trap;
}

/*
 * The handler of core mm does nothing for memory of this type: -ENXIO. Up to
 * 7.3 it looks at the mapping before it looks at the type, and takes an
 * anonymous one for a file's: the pages of a process would crash it, so the
 * case has a page with a mapping that looks like one.
 */
static void memory_failure_of_coherent_memory_has_no_help(struct kunit *test)
{
	struct toy *toy = toy_get(test, MEMORY_DEVICE_COHERENT, TOY_PAGES);
	struct address_space *anon = anon_mapping(test);
	struct page *page = toy_alloc(toy, 0);
	int nobody[NR_LEFT], somebody[NR_LEFT];
	unsigned int i, busy = 0;

	KUNIT_ASSERT_NOT_NULL(test, page);
	/* Without FS DAX it would not even ask for NULL. */
	if (IS_ENABLED(CONFIG_FS_DAX))
		fail_and_leave(&toy->pagemap, page_to_pfn(page), nobody);
	page->mapping = anon;
	fail_and_leave(&toy->pagemap, page_to_pfn(page), somebody);
	page->mapping = NULL;
	unlock_page(page);
	put_page(page);
	for (i = 0; i < NR_LEFT; i++) {
		if (!IS_ENABLED(CONFIG_FS_DAX))
			nobody[i] = somebody[i];
		busy += (nobody[i] == -EBUSY) + (somebody[i] == -EBUSY);
	}
	if (busy == 2 * NR_LEFT)
		DMIRROR_KNOWN_DEFECT(test, "memory_failure() of coherent memory");
	for (i = 0; i < NR_LEFT; i++) {
		DMIRROR_EXPECT_ERRNO(test, nobody[i], -ENXIO, "page of nobody");
		DMIRROR_EXPECT_ERRNO(test, somebody[i], -ENXIO, "page of somebody");
	}
}

#else

static void memory_failure_is_told_to_the_driver(struct kunit *test)
{
	DMIRROR_REQUIRES_BUILTIN(test);
	kunit_skip(test, "needs CONFIG_MEMORY_FAILURE");
}

static void memory_failure_is_handled_without_the_driver(struct kunit *test)
{
	DMIRROR_REQUIRES_BUILTIN(test);
	kunit_skip(test, "needs CONFIG_MEMORY_FAILURE");
}

static void memory_failure_of_coherent_memory_has_no_help(struct kunit *test)
{
	DMIRROR_REQUIRES_BUILTIN(test);
	kunit_skip(test, "needs CONFIG_MEMORY_FAILURE");
}

#endif

static struct kunit_case memremap_fault_cases[] = {
	KUNIT_CASE_PARAM(answer_of_migrate_to_ram_is_passed_on,
			 answer_gen_params),
	KUNIT_CASE(access_fails_when_migrate_to_ram_does),
	KUNIT_CASE(folio_split_is_told_of_each_part),
	KUNIT_CASE(small_pages_where_a_huge_one_was),
	KUNIT_CASE(huge_page_where_small_ones_were),
	KUNIT_CASE(memory_failure_is_told_to_the_driver),
	KUNIT_CASE(memory_failure_is_handled_without_the_driver),
	KUNIT_CASE(memory_failure_of_coherent_memory_has_no_help),
	{}
};

DMIRROR_SUITE_AS(memremap_fault, dmirror_case_init_mm, memremap_fault_cases);
