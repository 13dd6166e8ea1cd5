// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a page of device memory, for each type that there is:
 * free_zone_device_folio(), zone_device_page_init() and memunmap_pages() in
 * mm/memremap.c, enum memory_type, struct dev_pagemap_ops and the questions
 * that include/linux/memremap.h answers about a page.
 */
#include <kunit/resource.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/wait_bit.h>

#include "mem.h"

static void mem_type_desc(const struct mem_type *type, char *desc)
{
	strscpy(desc, type->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(mem_type, mem_types, mem_type_desc);

/* Those whose pages a driver hands out with zone_device_folio_init(). */
static const struct mem_type *const device_types[] = {
	&mem_types[0], &mem_types[1],
};

static void device_type_desc(const struct mem_type *const *type, char *desc)
{
	strscpy(desc, (*type)->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(device_type, device_types, device_type_desc);

static const struct mem_type *device_type(struct kunit *test)
{
	return *(const struct mem_type *const *)test->param_value;
}

static void expect_page(struct kunit *test, const struct mem_type *type,
			struct mem *mem, unsigned long at)
{
	struct page *page = mem_page(mem, at);
	struct folio *folio = page_folio(page);
	enum memory_type t = type->type;

	KUNIT_EXPECT_TRUE_MSG(test, is_zone_device_page(page), "page %lu", at);
	KUNIT_EXPECT_TRUE_MSG(test, folio_is_zone_device(folio), "page %lu",
			      at);
	KUNIT_EXPECT_PTR_EQ_MSG(test, page_pgmap(page), &mem->pagemap,
				"page %lu", at);
	KUNIT_EXPECT_EQ_MSG(test, page_ref_count(page), type->initial,
			    "references of page %lu", at);
	KUNIT_EXPECT_EQ_MSG(test, page_to_pfn(page), mem_pfn(mem, at),
			    "page %lu", at);
	KUNIT_EXPECT_PTR_EQ_MSG(test, mem_owner(mem, at), &mem->pagemap,
				"page %lu", at);

	KUNIT_EXPECT_EQ(test, is_device_private_page(page),
			t == MEMORY_DEVICE_PRIVATE);
	KUNIT_EXPECT_EQ(test, folio_is_device_private(folio),
			t == MEMORY_DEVICE_PRIVATE);
	KUNIT_EXPECT_EQ(test, is_device_coherent_page(page),
			t == MEMORY_DEVICE_COHERENT);
	KUNIT_EXPECT_EQ(test, folio_is_device_coherent(folio),
			t == MEMORY_DEVICE_COHERENT);
	KUNIT_EXPECT_EQ(test, is_fsdax_page(page), t == MEMORY_DEVICE_FS_DAX);
	KUNIT_EXPECT_EQ(test, folio_is_fsdax(folio),
			t == MEMORY_DEVICE_FS_DAX);
	KUNIT_EXPECT_EQ(test, is_pci_p2pdma_page(page),
			IS_ENABLED(CONFIG_PCI_P2PDMA) &&
			t == MEMORY_DEVICE_PCI_P2PDMA);
	KUNIT_EXPECT_EQ(test, folio_is_pci_p2pdma(folio),
			IS_ENABLED(CONFIG_PCI_P2PDMA) &&
			t == MEMORY_DEVICE_PCI_P2PDMA);
}

/* A new page knows whose it is and of what type, and is of no other. */
static void page_says_what_it_is(struct kunit *test)
{
	const struct mem_type *type = test->param_value;
	struct mem *mem = mem_get(test, type->type, 1);

	expect_page(test, type, mem, 0);
	expect_page(test, type, mem, MEM_UNIT_PAGES / 2);
	expect_page(test, type, mem, MEM_UNIT_PAGES - 1);
	KUNIT_EXPECT_EQ(test, mem->frees, 0U);
}

static void system_page_is_no_device_page(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_FALSE(test, is_zone_device_page(page));
	KUNIT_EXPECT_FALSE(test, is_device_private_page(page));
	KUNIT_EXPECT_FALSE(test, is_device_coherent_page(page));
	KUNIT_EXPECT_FALSE(test, is_fsdax_page(page));
	KUNIT_EXPECT_FALSE(test, is_pci_p2pdma_page(page));
	KUNIT_EXPECT_NULL(test, get_dev_pagemap(page_to_pfn(page)));
	__free_page(page);
}

/* Wakes nobody, but is told who was woken. */
struct listener {
	struct wait_bit_queue_entry entry;
	unsigned int woken;
};

static int listener_woken(struct wait_queue_entry *wq_entry, unsigned int mode,
			  int sync, void *key)
{
	struct listener *listener = container_of(wq_entry, struct listener,
						 entry.wq_entry);
	struct wait_bit_key *bit_key = key;

	if (bit_key->flags == listener->entry.key.flags)
		listener->woken++;

	return 0;
}

/* The last reference of a page that somebody had, and who waits for that. */
static unsigned int put_last(struct page *page)
{
	wait_queue_head_t *queue = __var_waitqueue(page);
	struct listener listener = { };

	init_wait_var_entry(&listener.entry, page, 0);
	listener.entry.wq_entry.func = listener_woken;
	add_wait_queue(queue, &listener.entry.wq_entry);
	put_page(page);
	remove_wait_queue(queue, &listener.entry.wq_entry);

	return listener.woken;
}

/*
 * enum memory_type and struct dev_pagemap_ops: folio_free() is called where
 * there is a driver that allocates; "a wakeup event whenever a page is unpinned
 * and becomes idle" for FS DAX; generic pages are never free.
 */
static void last_reference_does_what_the_type_says(struct kunit *test)
{
	const struct mem_type *type = test->param_value;
	struct mem *mem = mem_get(test, type->type, 1);
	bool frees = type->type != MEMORY_DEVICE_FS_DAX &&
		     type->type != MEMORY_DEVICE_GENERIC;
	struct page *page = mem_page(mem, 3);
	unsigned int woken, i;

	for (i = 1; i <= 2; i++) {
		if (type->takes_pages) {
			zone_device_folio_init((struct folio *)page,
					       &mem->pagemap, 0);
			unlock_page(page);
		} else if (!type->initial) {
			set_page_count(page, 1);
		}
		get_page(page);
		/* What a mapping leaves behind. */
		if (frees) {
			page->mapping = (void *)(0x10 | FOLIO_MAPPING_ANON);
			SetPageAnonExclusive(page);
		}
		put_page(page);
		KUNIT_EXPECT_EQ_MSG(test, mem->frees, frees ? i - 1 : 0,
				    "freed with a reference left");
		woken = put_last(page);

		KUNIT_EXPECT_EQ_MSG(test, mem->frees, frees ? i : 0,
				    "calls of folio_free in round %u", i);
		KUNIT_EXPECT_EQ_MSG(test, woken,
				    type->type == MEMORY_DEVICE_FS_DAX,
				    "wake-ups in round %u", i);
		KUNIT_EXPECT_EQ_MSG(test, page_ref_count(page), type->initial,
				    "references after the last one, round %u",
				    i);
		if (!frees)
			continue;
		KUNIT_EXPECT_PTR_EQ(test, mem->freed, (struct folio *)page);
		KUNIT_EXPECT_EQ(test, mem->freed_order, 0U);
		KUNIT_EXPECT_EQ(test, mem->freed_count, 0);
		KUNIT_EXPECT_NULL_MSG(test, mem->freed_mapping,
				      "stale mapping in folio_free");
		/* "fix ZONE_DEVICE anon page mapping reuse": 7ab0ad0e74f8, B30 */
		KUNIT_EXPECT_EQ_MSG(test, mem->freed_exclusive, 0UL,
				    "PageAnonExclusive() in folio_free, round %u",
				    i);
	}
}

/* Takes a folio as a driver does, from whatever was left in its pages. */
static struct folio *take(struct mem *mem, unsigned long at, unsigned int order)
{
	struct folio *folio = (struct folio *)mem_page(mem, at);

	zone_device_folio_init(folio, &mem->pagemap, order);

	return folio;
}

/* The state that zone_device_folio_init() promises, whatever was before. */
static bool folio_is_new(struct kunit *test, struct mem *mem,
			 struct folio *folio, unsigned int order,
			 const char *step)
{
	unsigned long i;
	bool ok = folio_order(folio) == order && folio_test_locked(folio) &&
		  folio_ref_count(folio) == 1 && folio_mapcount(folio) == 0 &&
		  folio_nr_pages(folio) == 1UL << order && !folio->mapping &&
		  folio->pgmap == &mem->pagemap;

	if (!ok) {
		KUNIT_FAIL(test,
			   "folio at page %lu %s: got order %u locked %d refs %d maps %d mapping %d, wanted %u 1 1 0 0",
			   folio_pfn(folio) - mem_pfn(mem, 0), step,
			   folio_order(folio), folio_test_locked(folio),
			   folio_ref_count(folio), folio_mapcount(folio),
			   !!folio->mapping, order);
		return false;
	}
	for (i = 0; i < 1UL << order; i++) {
		struct page *page = folio_page(folio, i);

		if (page_folio(page) == folio && page_pgmap(page) ==
		    &mem->pagemap && (!i || !page_ref_count(page)))
			continue;
		KUNIT_FAIL(test,
			   "page %lu of the folio at page %lu %s: belongs to the folio at page %ld, %d references",
			   i, folio_pfn(folio) - mem_pfn(mem, 0), step,
			   (long)(page_to_pfn(&page_folio(page)->page) -
				  mem_pfn(mem, 0)), page_ref_count(page));
		return false;
	}

	return true;
}

static void give(struct folio *folio)
{
	folio_unlock(folio);
	folio_put(folio);
}

/*
 * 12b2285bf3d1 ("mm/zone_device: reinitialize large zone device private
 * folios"): what a folio of one order leaves in its pages must not be seen in
 * folios of another order: all pairs, and for the second one all folios of the
 * place. B29.
 */
static void folio_is_as_good_as_new(struct kunit *test)
{
	static const unsigned int orders[] = { 0, 1, 2, 4, 9 };
	struct mem *mem = mem_get(test, device_type(test)->type, 1);
	unsigned int was, is, pairs = 0, frees = 0;
	struct folio *folio;
	unsigned long at;

	for (was = 0; was < ARRAY_SIZE(orders); was++)
		for (is = 0; is < ARRAY_SIZE(orders); is++, pairs++) {
			folio = take(mem, 0, orders[was]);
			if (!folio_is_new(test, mem, folio, orders[was],
					  "at first"))
				return;
			give(folio);
			frees++;
			KUNIT_EXPECT_EQ(test, mem->freed_order, orders[was]);

			for (at = 0; at < MEM_UNIT_PAGES;
			     at += 1UL << orders[is], frees++) {
				folio = take(mem, at, orders[is]);
				if (!folio_is_new(test, mem, folio, orders[is],
						  "where another was"))
					return;
				give(folio);
			}
			KUNIT_ASSERT_EQ_MSG(test, mem->frees, frees,
					    "calls of folio_free, order %u after %u",
					    orders[is], orders[was]);
		}
	KUNIT_EXPECT_EQ(test, pairs, 25U);
}

/**
 * struct legacy - what folio_free() makes of a folio
 * @name: of the row
 * @other: it is given to another pagemap
 * @was: its order
 * @is: its order then
 */
struct legacy {
	const char *name;
	bool other;
	unsigned int was;
	unsigned int is;
};

static const struct legacy legacies[] = {
	{ "same_0_to_0", false, 0, 0 },
	{ "same_0_to_9", false, 0, 9 },
	{ "same_9_to_0", false, 9, 0 },
	{ "same_9_to_9", false, 9, 9 },
	{ "other_0_to_0", true, 0, 0 },
	{ "other_0_to_9", true, 0, 9 },
	{ "other_9_to_0", true, 9, 0 },
	{ "other_9_to_9", true, 9, 9 },
};

KUNIT_ARRAY_PARAM_DESC(legacy, legacies, name);

/* Or it would never be removed. */
static void expect_refs(struct kunit *test, struct mem *mem, long got,
			long want, const char *whose, const char *step)
{
	KUNIT_EXPECT_EQ_MSG(test, got, want,
			    "references to the %s pagemap %s: got %ld wanted %ld",
			    whose, step, got, want);
	mem_refs_repair(mem, want - got);
}

/*
 * "mm/zone_device: do not touch device folio after calling ->folio_free()",
 * which fixes d245f9b4ab80: B28. The folio is the driver's again, which may make
 * another of it, at once: both pagemaps have to get back what is theirs.
 */
static void freed_folio_is_the_drivers(struct kunit *test)
{
	const struct legacy *legacy = test->param_value;
	struct mem *mem = mem_get(test, MEMORY_DEVICE_PRIVATE, 1);
	struct mem *other = mem_get(test, MEMORY_DEVICE_PRIVATE, 1);
	struct mem *heir = legacy->other ? other : mem;
	long used = 1L << legacy->is, got[2][2];
	struct folio *folio;
	unsigned int order;
	bool is_heirs;

	folio = take(mem, 0, legacy->was);
	mem->heir = heir;
	mem->heir_order = legacy->is;
	give(folio);
	got[0][0] = mem_refs(mem);
	got[0][1] = mem_refs(other);
	order = folio_order(folio);
	is_heirs = folio->pgmap == &heir->pagemap;
	give(folio);
	got[1][0] = mem_refs(mem);
	got[1][1] = mem_refs(other);

	KUNIT_EXPECT_EQ_MSG(test, order, legacy->is, "order of the new folio");
	KUNIT_EXPECT_TRUE_MSG(test, is_heirs, "pagemap of the new folio");
	KUNIT_EXPECT_EQ_MSG(test, mem->frees, legacy->other ? 1U : 2U,
			    "calls of folio_free of the first pagemap");
	KUNIT_EXPECT_EQ_MSG(test, other->frees, legacy->other ? 1U : 0U,
			    "calls of folio_free of the second pagemap");
	KUNIT_EXPECT_EQ_MSG(test, got[0][0], legacy->other ? 0 : used,
			    "references to the first pagemap, of a new folio");
	KUNIT_EXPECT_EQ_MSG(test, got[0][1], legacy->other ? used : 0,
			    "references to the second pagemap, of a new folio");
	expect_refs(test, mem, got[1][0], 0, "first", "at the end");
	expect_refs(test, other, got[1][1], 0, "second", "at the end");
	mem_del(mem);
	mem_del(other);
	KUNIT_EXPECT_NULL(test, mem_owner(mem, 0));
	KUNIT_EXPECT_NULL(test, mem_owner(other, 0));
}

/* Only a folio of some size can be mapped as one. */
static void large_folio_can_be_mapped_as_one(struct kunit *test)
{
	struct mem *mem = mem_get(test, device_type(test)->type, 1);
	struct folio *folio = take(mem, 0, 4);
	bool large = folio_test_large_rmappable(folio);
	bool small;

	give(folio);
	folio = take(mem, 0, 0);
	small = folio_test_large(folio);
	give(folio);
	KUNIT_EXPECT_EQ(test, large,
			(bool)IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE));
	KUNIT_EXPECT_FALSE(test, small);
}

/* The field is the driver's while the page is. */
static void zone_device_data_is_the_drivers(struct kunit *test)
{
	struct mem *mem = mem_get(test, MEMORY_DEVICE_PRIVATE, 1);
	struct folio *folio = take(mem, 1, 0);
	void *before, *after, *of_page;

	before = folio_zone_device_data(folio);
	folio_set_zone_device_data(folio, mem);
	after = folio_zone_device_data(folio);
	of_page = folio_page(folio, 0)->zone_device_data;
	folio_set_zone_device_data(folio, NULL);
	give(folio);
	KUNIT_EXPECT_NULL(test, before);
	KUNIT_EXPECT_PTR_EQ(test, after, (void *)mem);
	KUNIT_EXPECT_PTR_EQ(test, of_page, (void *)mem);
}

/**
 * struct guest - a thread that keeps device memory from going away
 * @holder: the thread
 * @mem: the memory
 * @folio: what it has; NULL for a reference to the pagemap alone
 * @pagemap: the reference
 * @found: what get_dev_pagemap() gives while the removal waits
 * @begun: the removal has
 * @left: it is about to let go
 */
struct guest {
	struct dmirror_holder holder;
	struct mem *mem;
	struct folio *folio;
	struct dev_pagemap *pagemap;
	struct dev_pagemap *found;
	bool begun;
	bool left;
};

static void guest_enter(void *data)
{
	struct guest *guest = data;

	if (guest->folio)
		return;
	guest->pagemap = get_dev_pagemap(mem_pfn(guest->mem, 1));
}

/* Who removes the memory says so, and then waits. */
static bool removal_has_begun(void *data)
{
	struct guest *guest = data;

	return percpu_ref_is_dying(&guest->mem->pagemap.ref);
}

static void guest_leave(void *data)
{
	struct guest *guest = data;

	guest->begun = dmirror_wait_for(removal_has_begun, guest);
	guest->found = mem_owner(guest->mem, 1);
	WRITE_ONCE(guest->left, true);
	if (guest->folio)
		give(guest->folio);
	put_dev_pagemap(guest->pagemap);
}

static void removal_with_guest(struct kunit *test, struct guest *guest)
{
	bool left;

	guest->holder.lock = guest_enter;
	guest->holder.unlock = guest_leave;
	guest->holder.arg = guest;
	dmirror_hold(test, &guest->holder);
	complete(&guest->holder.release);
	mem_del(guest->mem);
	left = READ_ONCE(guest->left);
	dmirror_unhold(&guest->holder);

	KUNIT_EXPECT_TRUE_MSG(test, guest->begun,
			      "memunmap_pages() does not begin");
	KUNIT_EXPECT_TRUE_MSG(test, left,
			      "memunmap_pages() returned before the last one let go");
	KUNIT_EXPECT_NULL_MSG(test, guest->found,
			      "get_dev_pagemap() while the removal waits");
	KUNIT_EXPECT_NULL_MSG(test, mem_owner(guest->mem, 1),
			      "get_dev_pagemap() after the removal");
}

/* struct dev_pagemap: "@ref: reference count that pins the mapping" */
static void removal_waits_for_a_reference(struct kunit *test)
{
	const struct mem_type *type = test->param_value;
	struct guest guest = { .mem = mem_get(test, type->type, 1) };

	removal_with_guest(test, &guest);
	KUNIT_EXPECT_PTR_EQ(test, guest.pagemap, &guest.mem->pagemap);
}

/* No page that somebody has goes away, of whatever order. */
static void removal_waits_for_a_page(struct kunit *test)
{
	static const unsigned int orders[] = { 0, 9 };
	const struct mem_type *type = device_type(test);
	struct mem *mem = mem_new(test, type->type, 1);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		struct guest guest = { .mem = mem };

		DMIRROR_ASSERT_OK(test, mem_add(mem), "memremap_pages");
		guest.folio = take(mem, 0, orders[i]);
		removal_with_guest(test, &guest);
		KUNIT_EXPECT_EQ(test, mem->frees, i + 1);
	}
}

/* @vmemmap_shift: "set up compound struct pages of the requested order" */
static void vmemmap_shift_makes_large_folios(struct kunit *test)
{
	static const unsigned int shifts[] = { 1, 4, 9 };
	const struct mem_type *type = &mem_types[3];
	struct mem *mem = mem_new(test, MEMORY_DEVICE_GENERIC, 1);
	unsigned int i, rounds = 0;
	unsigned long at;

	for (i = 0; i < ARRAY_SIZE(shifts); i++, rounds++) {
		unsigned long nr = 1UL << shifts[i];

		mem->pagemap.vmemmap_shift = shifts[i];
		KUNIT_EXPECT_EQ(test, pgmap_vmemmap_nr(&mem->pagemap), nr);
		DMIRROR_ASSERT_OK(test, mem_add(mem), "memremap_pages");
		for (at = 0; at < MEM_UNIT_PAGES; at++) {
			struct page *page = mem_page(mem, at);

			if (page_folio(page) != (struct folio *)
			    mem_page(mem, at & ~(nr - 1)))
				break;
			if (folio_order(page_folio(page)) != shifts[i] ||
			    folio_ref_count(page_folio(page)) != type->initial)
				break;
		}
		KUNIT_EXPECT_EQ_MSG(test, at, MEM_UNIT_PAGES,
				    "first page that is not part of a folio of order %u",
				    shifts[i]);
		/* The last reference of a whole folio. */
		put_page(mem_page(mem, nr - 1));
		KUNIT_EXPECT_EQ(test, page_ref_count(mem_page(mem, 0)), 1);
		mem_del(mem);
	}
	KUNIT_EXPECT_EQ(test, rounds, 3U);
}

static void no_split(struct folio *head, struct folio *tail)
{
}

/* Where there is no folio_split(), core mm does the least that is needed. */
static void split_is_told_to_the_driver_or_done(struct kunit *test)
{
	static const struct dev_pagemap_ops split_ops = {
		.folio_split = no_split,
	};
	struct mem *mem = mem_get(test, MEMORY_DEVICE_PRIVATE, 1);
	struct address_space *mapping = (void *)0x10;
	struct dev_pagemap *pagemap[2];
	struct address_space *got[2];
	struct folio *head, *tail;
	unsigned int i;

	head = take(mem, 0, 0);
	tail = take(mem, 1, 0);
	head->mapping = mapping;
	for (i = 0; i < 2; i++) {
		mem->pagemap.ops = i ? &split_ops : &mem_ops;
		tail->pgmap = NULL;
		tail->mapping = NULL;
		zone_device_private_split_cb(head, tail);
		/* "All have been told": nothing to be done for that. */
		zone_device_private_split_cb(head, NULL);
		pagemap[i] = tail->pgmap;
		got[i] = tail->mapping;
	}
	mem->pagemap.ops = &mem_ops;
	head->mapping = NULL;
	tail->mapping = NULL;
	tail->pgmap = &mem->pagemap;
	give(head);
	give(tail);

	KUNIT_EXPECT_PTR_EQ(test, pagemap[0], &mem->pagemap);
	KUNIT_EXPECT_PTR_EQ(test, got[0], mapping);
	KUNIT_EXPECT_NULL_MSG(test, pagemap[1], "left to folio_split()");
	KUNIT_EXPECT_NULL_MSG(test, got[1], "left to folio_split()");
}

/* A driver without folio_free() cannot be told: the folio is lost. */
static void free_without_folio_free_warns(struct kunit *test)
{
	struct mem *mem = mem_get(test, MEMORY_DEVICE_PCI_P2PDMA, 1);
	struct page *page = mem_page(mem, 0);
	int count = -1, warnings = 0;

	mem->pagemap.ops = NULL;
	kunit_warning_suppress(test) {
		set_page_count(page, 1);
		put_page(page);
		count = page_ref_count(page);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	mem->pagemap.ops = &mem_ops;
	mem_expect_once(test, warnings, "a page that cannot be given back");
	KUNIT_EXPECT_EQ(test, count, 0);
	KUNIT_EXPECT_EQ(test, mem->frees, 0U);
}

static int failure_told(struct dev_pagemap *pgmap, unsigned long pfn,
			unsigned long nr_pages, int flags)
{
	return 0;
}

/* "When this is not implemented [...]" is what it looks like. */
static void memory_failure_is_optional(struct kunit *test)
{
	static const struct dev_pagemap_ops ops = {
		.memory_failure = failure_told,
	};
	struct dev_pagemap pagemap = { };

	KUNIT_EXPECT_FALSE(test, pgmap_has_memory_failure(&pagemap));
	pagemap.ops = &mem_ops;
	KUNIT_EXPECT_FALSE(test, pgmap_has_memory_failure(&pagemap));
	pagemap.ops = &ops;
	KUNIT_EXPECT_TRUE(test, pgmap_has_memory_failure(&pagemap));
}

static struct kunit_case memremap_pages_cases[] = {
	KUNIT_CASE_PARAM(page_says_what_it_is, mem_type_gen_params),
	KUNIT_CASE(system_page_is_no_device_page),
	KUNIT_CASE_PARAM(last_reference_does_what_the_type_says,
			 mem_type_gen_params),
	KUNIT_CASE_PARAM(folio_is_as_good_as_new, device_type_gen_params),
	KUNIT_CASE_PARAM(freed_folio_is_the_drivers, legacy_gen_params),
	KUNIT_CASE_PARAM(large_folio_can_be_mapped_as_one,
			 device_type_gen_params),
	KUNIT_CASE(zone_device_data_is_the_drivers),
	KUNIT_CASE_PARAM(removal_waits_for_a_reference, mem_type_gen_params),
	KUNIT_CASE_PARAM(removal_waits_for_a_page, device_type_gen_params),
	KUNIT_CASE(vmemmap_shift_makes_large_folios),
	KUNIT_CASE(split_is_told_to_the_driver_or_done),
	KUNIT_CASE(free_without_folio_free_warns),
	KUNIT_CASE(memory_failure_is_optional),
	{}
};

DMIRROR_SUITE_AS(memremap_pages, dmirror_case_init, memremap_pages_cases);
