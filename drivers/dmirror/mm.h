/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The seam to core mm.
 *
 * Owns: nothing.
 * Lock: none of its own; each call says what core mm wants held.
 * May call: core mm.
 *
 * Every call into a part of mm that a kernel may lack, every #ifdef about one
 * and every difference between kernel versions is here and nowhere else. A
 * test may redirect a function (KUnit static stub); where its replacement has
 * to call through, there is a twin with two underscores. Redirects follow the
 * task that runs a case, so none sits in a function that exit_mmap() can reach.
 */
#ifndef DMIRROR_MM_H
#define DMIRROR_MM_H

#include <linux/hmm.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>

struct resource;

/* What /proc/iomem calls device memory. */
#define DMIRROR_REGION_NAME "dmirror"

/**
 * dmirror_mm_range_fault - hmm_range_fault() with mmap_lock taken inside
 * @range: as for hmm_range_fault(); range->notifier_seq is set by the caller
 *
 * Context: process context, may sleep; mmap_lock must not be held. Contract:
 * mm/hmm.c and Documentation/mm/hmm.rst.
 * Return: 0; -EINTR when killed while waiting for mmap_lock; else the errors
 * of hmm_range_fault(), of which -EBUSY asks for a new sequence number.
 */
int dmirror_mm_range_fault(struct hmm_range *range);
int __dmirror_mm_range_fault(struct hmm_range *range);

/**
 * dmirror_mm_range_fault_unlocked - hmm_range_fault_unlocked_timeout()
 * @range: as there; range->notifier_seq is set by core mm
 * @timeout_ms: how long core mm tries again on its own; 0 is for ever
 *
 * Lets a fault handler drop mmap_lock, which userfaultfd does.
 *
 * Context: as dmirror_mm_range_fault().
 * Return: as there; -EOPNOTSUPP on kernels that do not have it.
 */
int dmirror_mm_range_fault_unlocked(struct hmm_range *range,
				    unsigned int timeout_ms);

/**
 * dmirror_mm_entry_page - the page that hmm_range_fault() found at an address
 * @hmm_pfn: the entry, which is valid
 * @addr: its address
 *
 * What the CPU maps as one large folio is aligned in both address spaces, so
 * that the address says which page it is. The entry does not always: see
 * "hmm_range_fault() inside a device folio" in Documentation/kernel-bugs.rst.
 *
 * Context: as for the entry itself: the sequence has to be valid.
 * Return: the page.
 */
struct page *dmirror_mm_entry_page(unsigned long hmm_pfn, unsigned long addr);

/**
 * dmirror_mm_is_secret - is a page memory that the kernel may not look at
 * @page: a page that is mapped, or locked
 *
 * memfd_secret(2) takes its pages out of the kernel's own page tables.
 * get_user_pages() refuses them, hmm_range_fault() and migrate_vma_setup() do
 * not.
 *
 * Context: any; whatever keeps the page where it is has to be held.
 * Return: true if a copy of it would be an Oops.
 */
bool dmirror_mm_is_secret(struct page *page);

/**
 * dmirror_mm_make_exclusive - make_device_exclusive()
 * @mm: the mm
 * @addr: page aligned address
 * @owner: told to the notifiers of the mm
 * @folio: the folio, locked and referenced, on success
 *
 * Context: process context, may sleep; mmap_lock held for reading.
 * Return: the page, or an ERR_PTR(): -EFAULT without a writable mapping,
 * -EOPNOTSUPP for anything but anonymous memory, -EINTR when killed.
 */
struct page *dmirror_mm_make_exclusive(struct mm_struct *mm,
				       unsigned long addr, void *owner,
				       struct folio **folio);

/**
 * dmirror_mm_is_zero_page - is this a zero page of the kernel
 * @page: any page
 *
 * Context: any.
 * Return: true for the zero page and, unless the driver is a module, for a
 * part of the huge zero folio.
 */
bool dmirror_mm_is_zero_page(struct page *page);

/*
 * Device memory. Where the kernel has none, what can fail fails with
 * -EOPNOTSUPP and the rest, which only follows a success, does nothing.
 */

/**
 * dmirror_mm_region_request - a range of physical addresses nobody uses
 * @size: in bytes
 *
 * Context: process context, may sleep.
 * Return: the resource, or an ERR_PTR().
 */
struct resource *dmirror_mm_region_request(unsigned long size);

/**
 * dmirror_mm_region_claim - a range of physical addresses of the caller's
 * @region: the range
 *
 * Context: process context, may sleep.
 * Return: the resource, or ERR_PTR(-EBUSY) if RAM or another driver's range is
 * in it.
 */
struct resource *dmirror_mm_region_claim(const struct range *region);

/**
 * dmirror_mm_region_release - undo a request or a claim
 * @res: the resource, freed
 *
 * Context: process context, may sleep.
 */
void dmirror_mm_region_release(struct resource *res);

/**
 * dmirror_mm_pagemap_add - give a range struct pages (memremap_pages())
 * @pagemap: filled in; type, range, ops and owner are read
 *
 * Context: process context, may sleep; takes the memory hotplug lock, so
 * mmap_lock must not be held.
 * Return: 0 or the error of memremap_pages().
 */
int dmirror_mm_pagemap_add(struct dev_pagemap *pagemap);
int __dmirror_mm_pagemap_add(struct dev_pagemap *pagemap);

/**
 * dmirror_mm_pagemap_del - undo dmirror_mm_pagemap_add()
 * @pagemap: the same
 *
 * Waits, without a limit, until every page has come back.
 *
 * Context: process context, may sleep.
 */
void dmirror_mm_pagemap_del(struct dev_pagemap *pagemap);

/**
 * dmirror_mm_folio_init - hand out free device pages as one folio
 * @page: the first page
 * @pagemap: where it is
 * @order: of the folio
 *
 * Context: process context: it locks the folio, for which it may wait when an
 * eviction has found it at this moment. On return the folio has one reference.
 */
void dmirror_mm_folio_init(struct page *page, struct dev_pagemap *pagemap,
			   unsigned int order);

/**
 * dmirror_mm_migrate_setup - migrate_vma_setup()
 * @args: as there
 *
 * Context: process context, mmap_lock held for reading.
 * Return: 0 or the error of migrate_vma_setup().
 */
int dmirror_mm_migrate_setup(struct migrate_vma *args);
int __dmirror_mm_migrate_setup(struct migrate_vma *args);

/**
 * dmirror_mm_migrate_pages - migrate_vma_pages()
 * @args: from dmirror_mm_migrate_setup(), args->dst filled in
 *
 * Context: as dmirror_mm_migrate_setup().
 */
void dmirror_mm_migrate_pages(struct migrate_vma *args);

/**
 * dmirror_mm_migrate_finalize - migrate_vma_finalize()
 * @args: from dmirror_mm_migrate_setup(); has to follow every setup that
 *	returned 0
 *
 * Context: as dmirror_mm_migrate_setup().
 */
void dmirror_mm_migrate_finalize(struct migrate_vma *args);

/**
 * dmirror_mm_large_order - how large device folios may be
 * @type: the kind of device memory
 *
 * Context: any.
 * Return: the order of the large folios that core mm migrates to this kind and
 * back; 0 if only single pages.
 */
unsigned int dmirror_mm_large_order(enum memory_type type);

/**
 * dmirror_mm_fault_order - how large the CPU maps the page it faulted on
 * @vmf: as handed to dev_pagemap_ops->migrate_to_ram()
 *
 * Context: that callback.
 * Return: the order; 0 also for a part of a large folio mapped by pages.
 */
unsigned int dmirror_mm_fault_order(const struct vm_fault *vmf);

/**
 * dmirror_mm_folio_split - cut a large device folio into single pages
 * @page: any page; nothing happens unless a large folio begins there
 *
 * Only tries for the folio's lock.
 *
 * Context: process context, may sleep.
 * Return: true if there was one and it was cut.
 */
bool dmirror_mm_folio_split(struct page *page);

/**
 * dmirror_mm_device_range - migrate_device_range()
 * @src: @nr entries to fill
 * @pfn: first device page
 * @nr: number of pages
 *
 * Context: process context, may sleep; no mmap_lock needed.
 * Return: 0 or the error of migrate_device_range().
 */
int dmirror_mm_device_range(unsigned long *src, unsigned long pfn,
			    unsigned long nr);

/**
 * dmirror_mm_device_pfns - migrate_device_pfns()
 * @src: @nr page frame numbers of device pages, replaced by entries
 * @nr: number of pages
 *
 * Context: as dmirror_mm_device_range().
 * Return: 0 or the error of migrate_device_pfns().
 */
int dmirror_mm_device_pfns(unsigned long *src, unsigned long nr);

/**
 * dmirror_mm_device_pages - migrate_device_pages()
 * @src: from dmirror_mm_device_range()
 * @dst: where each page goes, 0 for not at all
 * @nr: number of pages
 *
 * Context: as dmirror_mm_device_range().
 */
void dmirror_mm_device_pages(unsigned long *src, unsigned long *dst,
			     unsigned long nr);

/**
 * dmirror_mm_device_finalize - migrate_device_finalize()
 * @src: from dmirror_mm_device_range()
 * @dst: as given to dmirror_mm_device_pages()
 * @nr: number of pages
 *
 * Context: as dmirror_mm_device_range().
 */
void dmirror_mm_device_finalize(unsigned long *src, unsigned long *dst,
				unsigned long nr);

#endif /* DMIRROR_MM_H */
