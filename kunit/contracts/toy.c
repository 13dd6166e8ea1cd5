// SPDX-License-Identifier: GPL-2.0
#include "toy.h"

#include <kunit/resource.h>
#include <kunit/test-bug.h>
#include <linux/bitmap.h>
#include <linux/highmem.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/topology.h>

#if IS_ENABLED(CONFIG_DEVICE_PRIVATE)

struct toy *toy_of(struct page *page)
{
	return page_pgmap(page)->owner;
}

void *toy_data(struct page *page)
{
	struct toy *toy = toy_of(page);

	if (!toy->data)
		return page_address(page);

	return toy->data + ((page_to_pfn(page) - toy->first_pfn) << PAGE_SHIFT);
}

struct page *toy_alloc(struct toy *toy, unsigned int order)
{
	unsigned long nr = 1UL << order, at;
	struct page *page;

	spin_lock(&toy->lock);
	at = bitmap_find_next_zero_area(toy->used, toy->nr, 0, nr, nr - 1);
	if (at < toy->nr) {
		bitmap_set(toy->used, at, nr);
		toy->out += nr;
	}
	spin_unlock(&toy->lock);
	if (at >= toy->nr)
		return NULL;

	/* What the page was before is still written in it: no page_folio(). */
	page = pfn_to_page(toy->first_pfn + at);
	zone_device_folio_init((struct folio *)page, &toy->pagemap, order);

	return page;
}

static void toy_folio_free(struct folio *folio)
{
	struct toy *toy = toy_of(&folio->page);
	unsigned long at = folio_pfn(folio) - toy->first_pfn;
	unsigned long flags;

	spin_lock_irqsave(&toy->lock, flags);
	bitmap_clear(toy->used, at, folio_nr_pages(folio));
	toy->out -= folio_nr_pages(folio);
	toy->frees++;
	toy->freed_order = folio_order(folio);
	toy->freed_exclusive += toy_exclusive(folio);
	toy->freed_mapped += !!folio->mapping;
	spin_unlock_irqrestore(&toy->lock, flags);
}

static void toy_folio_split(struct folio *head, struct folio *tail)
{
	struct toy *toy = toy_of(&head->page);

	spin_lock(&toy->lock);
	toy->splits++;
	spin_unlock(&toy->lock);
	/* The last call has no tail: it says that all have been told. */
	if (!tail)
		return;
	tail->pgmap = head->pgmap;
	tail->page.mapping = head->page.mapping;
}

vm_fault_t toy_bring_home(struct toy *toy, struct vm_fault *vmf)
{
	unsigned int order = vmf->pte ? 0 : folio_order(page_folio(vmf->page));
	unsigned long size = PAGE_SIZE << order;
	unsigned long start = ALIGN_DOWN(vmf->address, size);
	struct toy_move move = {
		.toy = toy,
		.nr = 1UL << order,
		.args = {
			.vma = vmf->vma,
			.start = start,
			.end = start + size,
			.pgmap_owner = toy,
			.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
				 (order ? MIGRATE_VMA_SELECT_COMPOUND : 0),
			.fault_page = vmf->page,
		},
	};
	vm_fault_t ret = VM_FAULT_SIGBUS;

	move.args.src = kvcalloc(2 * move.nr, sizeof(unsigned long),
				 GFP_KERNEL);
	if (!move.args.src)
		return VM_FAULT_OOM;
	move.args.dst = move.args.src + move.nr;
	if (migrate_vma_setup(&move.args))
		goto out_free;
	ret = toy_choose_ram(&move) ? VM_FAULT_OOM : 0;
	migrate_vma_pages(&move.args);
	migrate_vma_finalize(&move.args);
out_free:
	kvfree(move.args.src);
	return ret;
}

static vm_fault_t toy_migrate_to_ram(struct vm_fault *vmf)
{
	struct toy *toy = toy_of(vmf->page);

	spin_lock(&toy->lock);
	toy->faults++;
	spin_unlock(&toy->lock);

	return toy->on_fault ? toy->on_fault(toy, vmf) :
	       toy_bring_home(toy, vmf);
}

static const struct dev_pagemap_ops toy_private_ops = {
	.folio_free = toy_folio_free,
	.folio_split = toy_folio_split,
	.migrate_to_ram = toy_migrate_to_ram,
};

static const struct dev_pagemap_ops toy_coherent_ops = {
	.folio_free = toy_folio_free,
};

unsigned long toy_evict(struct toy *toy)
{
	struct toy_move move = { .toy = toy };
	unsigned long i, pfn, *src;

	src = kvcalloc(2 * toy->nr, sizeof(*src), GFP_KERNEL);
	if (!src)
		return toy->out;
	for (i = 0; i < toy->nr; i += move.nr) {
		move.nr = 1;
		if (!test_bit(i, toy->used))
			continue;
		/* A large folio has to be asked for as a whole. */
		pfn = toy->first_pfn + i;
		move.nr = folio_nr_pages(page_folio(pfn_to_page(pfn)));
		move.args.src = src;
		move.args.dst = src + move.nr;
		memset(src, 0, 2 * move.nr * sizeof(*src));
		migrate_device_range(move.args.src, pfn, move.nr);
		toy_choose_ram(&move);
		migrate_device_pages(move.args.src, move.args.dst, move.nr);
		migrate_device_finalize(move.args.src, move.args.dst, move.nr);
	}
	kvfree(src);

	return toy->out;
}

static void toy_free(struct toy *toy)
{
	kvfree(toy->data);
	bitmap_free(toy->used);
	kfree(toy);
}

/* What is out and has no mapping is nobody's: an eviction would hide it. */
static unsigned long toy_lost(const struct toy *toy)
{
	unsigned long at, lost = 0;

	for_each_set_bit(at, toy->used, toy->nr)
		lost += !folio_mapped(page_folio(pfn_to_page(toy->first_pfn +
							     at)));

	return lost;
}

static void toy_end(void *data)
{
	struct kunit *test = kunit_get_current_test();
	struct toy *toy = data;
	unsigned long lost = toy_lost(toy), left = toy_evict(toy);

	KUNIT_EXPECT_EQ_MSG(test, lost, 0UL,
			    "%lu pages of the toy device are out, and nobody maps them",
			    lost);
	KUNIT_EXPECT_EQ_MSG(test, left, 0UL,
			    "%lu pages of the toy device are still out", left);
	/* It would wait for them for ever: better a leak. */
	if (left)
		return;
	memunmap_pages(&toy->pagemap);
	if (toy->res)
		release_mem_region(toy->res->start, resource_size(toy->res));
	toy_free(toy);
}

static int place_private(struct toy *toy)
{
	/* Not page by page if it can be: User Mode Linux maps each of them. */
	toy->data = kvmalloc(toy->nr << PAGE_SHIFT, GFP_KERNEL);
	if (!toy->data)
		return -ENOMEM;
	toy->res = request_free_mem_region(&iomem_resource,
					   toy->nr << PAGE_SHIFT, "toy");
	if (IS_ERR(toy->res))
		return PTR_ERR(toy->res);

	toy->pagemap.range.start = toy->res->start;
	toy->pagemap.ops = &toy_private_ops;
	return 0;
}

static int toy_setup(struct toy *toy, enum memory_type type,
		     const struct range *region)
{
	int ret;

	toy->used = bitmap_zalloc(toy->nr, GFP_KERNEL);
	if (!toy->used)
		return -ENOMEM;
	if (type == MEMORY_DEVICE_PRIVATE) {
		ret = place_private(toy);
		if (ret)
			return ret;
	} else {
		toy->pagemap.range.start = region->start;
		toy->pagemap.ops = &toy_coherent_ops;
	}

	toy->first_pfn = PHYS_PFN(toy->pagemap.range.start);
	toy->pagemap.range.end = toy->pagemap.range.start +
				 (toy->nr << PAGE_SHIFT) - 1;
	toy->pagemap.nr_range = 1;
	toy->pagemap.type = type;
	toy->pagemap.owner = toy;

	ret = PTR_ERR_OR_ZERO(memremap_pages(&toy->pagemap, numa_node_id()));
	if (ret && toy->res)
		release_mem_region(toy->res->start, resource_size(toy->res));
	return ret;
}

/* Which half of the coherent memory the next device of the case gets. */
static unsigned int coherent_part(struct kunit *test)
{
	struct dmirror_fixture *fixture = dmirror_fixture(test);

	return fixture->coherent_parts++;
}

struct toy *toy_get(struct kunit *test, enum memory_type type,
		    unsigned long nr)
{
	struct range region = { };
	struct toy *toy;
	int ret;

	if (type == MEMORY_DEVICE_COHERENT) {
		region = dmirror_coherent_region(test, coherent_part(test));
		KUNIT_ASSERT_LE(test, nr << PAGE_SHIFT, range_len(&region));
	}

	toy = kzalloc_obj(*toy);
	KUNIT_ASSERT_NOT_NULL(test, toy);
	spin_lock_init(&toy->lock);
	toy->nr = nr;
	ret = toy_setup(toy, type, &region);
	if (ret)
		toy_free(toy);
	DMIRROR_ASSERT_OK(test, ret, "memory of the toy device");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, toy_end, toy), 0);

	return toy;
}

void toy_put(struct kunit *test, struct toy *toy)
{
	kunit_release_action(test, toy_end, toy);
}

void toy_move_init(struct kunit *test, struct toy_move *move, struct toy *toy,
		   unsigned long addr, unsigned long npages,
		   unsigned long flags)
{
	*move = (struct toy_move){
		.toy = toy,
		.nr = npages,
		.args = {
			.start = addr,
			.end = addr + (npages << PAGE_SHIFT),
			.pgmap_owner = toy,
			.flags = flags,
		},
	};
	move->args.src = kunit_kcalloc(test, 2 * npages, sizeof(unsigned long),
				       GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, move->args.src);
	move->args.dst = move->args.src + npages;
}

int toy_collect(struct toy_move *move)
{
	struct mm_struct *mm = current->mm;
	int ret = -EFAULT;

	mmap_read_lock(mm);
	move->args.vma = vma_lookup(mm, move->args.start);
	if (move->args.vma)
		ret = migrate_vma_setup(&move->args);
	if (ret)
		mmap_read_unlock(mm);

	return ret;
}

static void copy_to_device(struct page *to, struct page *from)
{
	if (from)
		memcpy_from_page(toy_data(to), from, 0, PAGE_SIZE);
	else
		memset(toy_data(to), 0, PAGE_SIZE);
}

/* The order of the folio, or hole, that an entry stands for. */
static unsigned int entry_order(unsigned long src)
{
	struct page *page = migrate_pfn_to_page(src);

	if (!(src & MIGRATE_PFN_COMPOUND))
		return 0;

	return page ? folio_order(page_folio(page)) : PMD_ORDER;
}

unsigned long toy_choose_device(struct toy_move *move)
{
	unsigned long i, j, nr, missing = 0;
	unsigned int order;

	for (i = 0; i < move->nr; i += nr) {
		unsigned long src = move->args.src[i];
		struct page *from = migrate_pfn_to_page(src), *to;

		order = entry_order(src);
		nr = 1UL << order;
		if (!(src & MIGRATE_PFN_MIGRATE))
			continue;
		to = toy_alloc(move->toy, order);
		if (!to) {
			missing++;
			continue;
		}
		for (j = 0; j < nr; j++)
			copy_to_device(to + j, from ? from + j : NULL);
		move->args.dst[i] = migrate_pfn(page_to_pfn(to)) |
				    (src & (MIGRATE_PFN_COMPOUND |
					    MIGRATE_PFN_WRITE));
		/* Nothing says for a hole whether it may be written to. */
		if (!from && move->args.vma->vm_flags & VM_WRITE)
			move->args.dst[i] |= MIGRATE_PFN_WRITE;
	}

	return missing;
}

unsigned long toy_choose_ram(struct toy_move *move)
{
	unsigned long i, j, nr, missing = 0;
	unsigned int order;

	for (i = 0; i < move->nr; i += nr) {
		unsigned long src = move->args.src[i];
		struct page *from = migrate_pfn_to_page(src);
		struct folio *to;

		order = entry_order(src);
		nr = 1UL << order;
		if (!(src & MIGRATE_PFN_MIGRATE) || !from)
			continue;
		to = folio_alloc(GFP_HIGHUSER_MOVABLE, order);
		if (!to) {
			missing++;
			continue;
		}
		folio_lock(to);
		for (j = 0; j < nr; j++)
			memcpy_to_page(folio_page(to, j), 0, toy_data(from + j),
				       PAGE_SIZE);
		folio_mark_dirty(to);
		move->args.dst[i] = migrate_pfn(folio_pfn(to)) |
				    (src & (MIGRATE_PFN_COMPOUND |
					    MIGRATE_PFN_WRITE));
	}

	return missing;
}

unsigned long toy_pages(struct toy_move *move)
{
	unsigned long i, moved = 0;

	migrate_vma_pages(&move->args);
	for (i = 0; i < move->nr; i++)
		if (move->args.dst[i] && move->args.src[i] & MIGRATE_PFN_MIGRATE)
			moved += 1UL << entry_order(move->args.dst[i]);

	return moved;
}

void toy_finish(struct toy_move *move)
{
	migrate_vma_finalize(&move->args);
	mmap_read_unlock(current->mm);
}

void toy_to_device(struct kunit *test, struct toy *toy, unsigned long addr,
		   unsigned long npages)
{
	struct toy_move move;
	unsigned long moved;

	toy_move_init(test, &move, toy, addr, npages,
		      MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND);
	DMIRROR_ASSERT_OK(test, toy_collect(&move), "collect");
	toy_choose_device(&move);
	moved = toy_pages(&move);
	toy_finish(&move);
	KUNIT_ASSERT_EQ_MSG(test, moved, npages,
			    "pages of [0x%lx,0x%lx) that went to the device",
			    addr, addr + (npages << PAGE_SHIFT));
}

void toy_to_ram(struct kunit *test, struct toy *toy, unsigned long addr,
		unsigned long npages)
{
	struct toy_move move;
	unsigned long moved;

	toy_move_init(test, &move, toy, addr, npages,
		      (toy->data ? MIGRATE_VMA_SELECT_DEVICE_PRIVATE :
		       MIGRATE_VMA_SELECT_DEVICE_COHERENT) |
		      MIGRATE_VMA_SELECT_COMPOUND);
	DMIRROR_ASSERT_OK(test, toy_collect(&move), "collect");
	toy_choose_ram(&move);
	moved = toy_pages(&move);
	toy_finish(&move);
	KUNIT_ASSERT_EQ_MSG(test, moved, npages,
			    "pages of [0x%lx,0x%lx) that came home", addr,
			    addr + (npages << PAGE_SHIFT));
}

#else /* !CONFIG_DEVICE_PRIVATE */

/* A kernel without device memory skips before it gets to anything else. */
struct toy *toy_get(struct kunit *test, enum memory_type type,
		    unsigned long nr)
{
	kunit_skip(test, "needs CONFIG_DEVICE_PRIVATE");
}

void toy_put(struct kunit *test, struct toy *toy)
{
}

struct page *toy_alloc(struct toy *toy, unsigned int order)
{
	return NULL;
}

struct toy *toy_of(struct page *page)
{
	return NULL;
}

void *toy_data(struct page *page)
{
	return NULL;
}

void toy_move_init(struct kunit *test, struct toy_move *move, struct toy *toy,
		   unsigned long addr, unsigned long npages,
		   unsigned long flags)
{
}

int toy_collect(struct toy_move *move)
{
	return -EOPNOTSUPP;
}

unsigned long toy_choose_device(struct toy_move *move)
{
	return 0;
}

unsigned long toy_choose_ram(struct toy_move *move)
{
	return 0;
}

unsigned long toy_pages(struct toy_move *move)
{
	return 0;
}

void toy_finish(struct toy_move *move)
{
}

void toy_to_device(struct kunit *test, struct toy *toy, unsigned long addr,
		   unsigned long npages)
{
}

void toy_to_ram(struct kunit *test, struct toy *toy, unsigned long addr,
		unsigned long npages)
{
}

unsigned long toy_evict(struct toy *toy)
{
	return 0;
}

vm_fault_t toy_bring_home(struct toy *toy, struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

#endif /* CONFIG_DEVICE_PRIVATE */
