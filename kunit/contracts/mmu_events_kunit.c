// SPDX-License-Identifier: GPL-2.0
/*
 * Who in mm tells MMU notifiers what: enum mmu_notifier_event in
 * include/linux/mmu_notifier.h. Each row of the table is one way to change
 * what a process maps, and the starts that a subscriber has to see for it.
 * Each start needs its end, and interval notifiers have to be told the same.
 */
#include <kunit/resource.h>
#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>

#include "../uffd.h"
#include "../user.h"
#include "core_mm.h"
#include "notify.h"
#include "procfs.h"
#include "swapdev.h"
#include "toy.h"

#define RW (PROT_READ | PROT_WRITE)

/* Pages of the mapping, and in it the part that is changed. */
#define NR 8UL
#define FROM 2UL
#define END 5UL

/* Pages of a huge page, for rows that have one. */
#define HUGE (PMD_SIZE >> PAGE_SHIFT)

/* Where a range ends with the mapping of the row. */
#define ALL ULONG_MAX

/**
 * enum stage_kind - what is there when a row begins
 * @STAGE_FILLED: NR private pages, written to
 * @STAGE_UNTOUCHED: room for NR private pages
 * @STAGE_READ: NR times the zero page
 * @STAGE_SHARED: NR shared pages, written to
 * @STAGE_FORKED: as STAGE_FILLED, but a child has them too
 * @STAGE_ON_DEVICE: as STAGE_FILLED, but [FROM,END) is on a device
 * @STAGE_EXCLUSIVE: as STAGE_FILLED, but page FROM is exclusive to a device
 * @STAGE_HUGE_PAGE: one huge page, written to
 * @STAGE_HUGE_ZERO: the huge zero page
 * @STAGE_HUGE_SMALL: small pages where a huge one would fit
 * @STAGE_HUGE_FORKED: as STAGE_HUGE_PAGE, but a child has it too
 * @STAGE_HUGE_UNTOUCHED: room for a huge page
 * @STAGE_HUGE_ON_DEVICE: as STAGE_HUGE_PAGE, but on the device
 * @STAGE_HUGE_SHARED: a place for a huge page of a file, page 0 written to
 * @STAGE_HUGE_SHARED_SMALL: a huge page of a file, mapped as small ones
 */
enum stage_kind {
	STAGE_FILLED,
	STAGE_UNTOUCHED,
	STAGE_READ,
	STAGE_SHARED,
	STAGE_FORKED,
	STAGE_ON_DEVICE,
	STAGE_EXCLUSIVE,
	STAGE_HUGE_PAGE,
	STAGE_HUGE_ZERO,
	STAGE_HUGE_SMALL,
	STAGE_HUGE_FORKED,
	STAGE_HUGE_UNTOUCHED,
	STAGE_HUGE_ON_DEVICE,
	STAGE_HUGE_SHARED,
	STAGE_HUGE_SHARED_SMALL,
};

/**
 * struct stage - the mapping of a row
 * @test: the case
 * @addr: where it is
 * @toy: the device, if the row has one
 * @elsewhere: where the row moves to
 * @uffd: of @elsewhere, if it is moved by that
 * @proc: a /proc, if the row has one
 * @child: of STAGE_FORKED and STAGE_HUGE_FORKED
 * @forked: the child is there
 */
struct stage {
	struct kunit *test;
	unsigned long addr;
	struct toy *toy;
	unsigned long elsewhere;
	struct uffd *uffd;
	struct procfs *proc;
	struct user_child child;
	bool forked;
};

static unsigned long at(const struct stage *stage, unsigned long page)
{
	return stage->addr + (page << PAGE_SHIFT);
}

static int do_unmap(struct stage *stage)
{
	return vm_munmap(at(stage, FROM), (END - FROM) << PAGE_SHIFT);
}

static int do_map_over(struct stage *stage)
{
	unsigned long got = vm_mmap(NULL, at(stage, FROM),
				    (END - FROM) << PAGE_SHIFT, RW,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);

	return got == at(stage, FROM) ? 0 : (int)got;
}

static int do_protect(struct stage *stage)
{
	return user_mprotect(at(stage, FROM), (END - FROM) << PAGE_SHIFT,
			     PROT_READ);
}

static int advise(struct stage *stage, int advice)
{
	return user_madvise(at(stage, FROM), (END - FROM) << PAGE_SHIFT,
			    advice);
}

static int do_dontneed(struct stage *stage)
{
	return advise(stage, MADV_DONTNEED);
}

static int do_free(struct stage *stage)
{
	return advise(stage, MADV_FREE);
}

static int do_cold(struct stage *stage)
{
	return advise(stage, MADV_COLD);
}

static int do_guard(struct stage *stage)
{
	return advise(stage, MADV_GUARD_INSTALL);
}

static int do_populate(struct stage *stage)
{
	return advise(stage, MADV_POPULATE_WRITE);
}

/* The file behind the mapping, which keeps it. */
static struct address_space *mapping_of(struct stage *stage)
{
	struct address_space *mapping;
	struct vm_area_struct *vma;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, stage->addr);
	mapping = vma && vma->vm_file ? vma->vm_file->f_mapping : NULL;
	mmap_read_unlock(current->mm);

	return mapping;
}

/* What a file system does before it takes pages out of a file. */
static int do_punch(struct stage *stage)
{
	struct address_space *mapping = mapping_of(stage);

	if (mapping)
		unmap_mapping_range(mapping, FROM << PAGE_SHIFT,
				    (END - FROM) << PAGE_SHIFT, 0);

	return mapping ? 0 : -EFAULT;
}

static int do_collapse(struct stage *stage)
{
	return user_madvise(stage->addr, PMD_SIZE, MADV_COLLAPSE);
}

/* What a graphics driver does to learn which pages of a file are written to. */
static int do_write_protect(struct stage *stage)
{
	struct address_space *mapping = mapping_of(stage);

	if (!mapping)
		return -EFAULT;
	if (wp_shared_mapping_range(mapping, FROM, END - FROM) != END - FROM)
		return -EBUSY;

	return 0;
}

static int do_clean_and_record(struct stage *stage)
{
	struct address_space *mapping = mapping_of(stage);
	pgoff_t first = END - FROM, end = 0;
	DECLARE_BITMAP(dirty, END - FROM);

	if (!mapping)
		return -EFAULT;
	bitmap_zero(dirty, END - FROM);
	clean_record_shared_mapping_range(mapping, FROM, END - FROM, FROM,
					  dirty, &first, &end);

	return bitmap_full(dirty, END - FROM) ? 0 : -EBUSY;
}

static int do_clear_referenced(struct stage *stage)
{
	return procfs_write(stage->proc, "clear_refs", "1");
}

static int do_clear_soft_dirty(struct stage *stage)
{
	return procfs_write(stage->proc, "clear_refs", "4");
}

static int scan(struct stage *stage, u64 flags)
{
	struct pm_scan_arg arg = {
		.flags = flags,
		.start = at(stage, FROM),
		.end = at(stage, END),
		.category_mask = PAGE_IS_WRITTEN,
	};

	return procfs_scan(stage->proc, &arg, NULL);
}

static int do_scan(struct stage *stage)
{
	return scan(stage, 0);
}

static int do_scan_and_protect(struct stage *stage)
{
	return scan(stage, PM_SCAN_WP_MATCHING);
}

/* One byte at page FROM, by the CPU. */
static int do_write(struct stage *stage)
{
	u8 byte = 1;

	return copy_to_user((void __user *)at(stage, FROM), &byte, 1) ?
	       -EFAULT : 0;
}

static int do_read(struct stage *stage)
{
	u8 byte;

	return copy_from_user(&byte, (void __user *)at(stage, FROM), 1) ?
	       -EFAULT : 0;
}

static int do_fork(struct stage *stage)
{
	int ret = user_fork(&stage->child);

	if (!ret)
		user_reap(&stage->child);

	return ret;
}

static int unmap_in_child(void *data)
{
	return do_unmap(data);
}

static int do_unmap_in_child(struct stage *stage)
{
	return user_ask(&stage->child, unmap_in_child, stage);
}

static int do_move(struct stage *stage)
{
	long got = core_mremap(at(stage, FROM), (END - FROM) << PAGE_SHIFT,
			       (END - FROM) << PAGE_SHIFT,
			       MREMAP_MAYMOVE | MREMAP_FIXED,
			       stage->elsewhere);

	return got == stage->elsewhere ? 0 : (int)got;
}

static struct folio *folio_of(struct stage *stage)
{
	struct page *page;

	if (get_user_pages_fast(at(stage, FROM), 1, 0, &page) != 1)
		return NULL;

	return page_folio(page);
}

/* What a file system does before it writes a page back. */
static int do_clean(struct stage *stage)
{
	struct folio *folio = folio_of(stage);

	if (!folio)
		return -EFAULT;
	folio_lock(folio);
	folio_mkclean(folio);
	folio_unlock(folio);
	folio_put(folio);

	return 0;
}

static int do_uffd_move(struct stage *stage)
{
	return uffd_move(stage->uffd, stage->elsewhere, at(stage, FROM),
			 END - FROM);
}

static int do_uffd_move_huge(struct stage *stage)
{
	return uffd_move(stage->uffd, stage->elsewhere, stage->addr, HUGE);
}

/* Reclaim, once it has found that nobody uses the page. */
static int do_reclaim(struct stage *stage)
{
	struct folio *folio = folio_of(stage);
	int left;

	if (!folio)
		return -EFAULT;
	left = core_unmap(folio);
	folio_put(folio);

	return left ? -EBUSY : 0;
}

static int do_swap_out(struct stage *stage)
{
	swapdev_out(stage->test, at(stage, FROM), 1);

	return 0;
}

static int do_reap(struct stage *stage)
{
	return core_reap(stage->addr);
}

static int do_to_device(struct stage *stage)
{
	toy_to_device(stage->test, stage->toy, at(stage, FROM), END - FROM);

	return 0;
}

static int do_huge_to_device(struct stage *stage)
{
	toy_to_device(stage->test, stage->toy, stage->addr, HUGE);

	return 0;
}

static int do_huge_to_ram(struct stage *stage)
{
	toy_to_ram(stage->test, stage->toy, stage->addr, HUGE);

	return 0;
}

static int do_to_ram(struct stage *stage)
{
	toy_to_ram(stage->test, stage->toy, at(stage, FROM), END - FROM);

	return 0;
}

static int do_evict(struct stage *stage)
{
	return toy_evict(stage->toy) ? -EBUSY : 0;
}

static int do_exclusive(struct stage *stage)
{
#if IS_ENABLED(CONFIG_DEVICE_PRIVATE)
	struct folio *folio;
	struct page *page;

	mmap_read_lock(current->mm);
	page = make_device_exclusive(current->mm, at(stage, FROM), stage->toy,
				     &folio);
	mmap_read_unlock(current->mm);
	if (IS_ERR(page))
		return PTR_ERR(page);
	folio_unlock(folio);
	folio_put(folio);
#endif
	return 0;
}

/**
 * struct event - a start that has to come
 * @event: the reason
 * @from: first page
 * @end: the page after the last one, or ALL
 * @owned: the owner is the device; else there is none
 * @nonblock: nobody may sleep
 * @whole: of the whole mm, wherever @from and @end are
 */
struct event {
	enum mmu_notifier_event event;
	unsigned long from;
	unsigned long end;
	bool owned;
	bool nonblock;
	bool whole;
};

/**
 * struct producer - a way to change what is mapped
 * @name: of the row
 * @kind: what is there before
 * @act: the change; returns 0 or an errno
 * @nr: number of events
 * @events: in order
 * @others_too: other events of the huge page may come in between
 */
struct producer {
	const char *name;
	enum stage_kind kind;
	int (*act)(struct stage *stage);
	unsigned int nr;
	struct event events[3];
	bool others_too;
};

static const struct producer producers[] = {
	{ "munmap", STAGE_FILLED, do_unmap,
	  1, { { MMU_NOTIFY_UNMAP, FROM, END } } },
	{ "munmap_of_nothing", STAGE_UNTOUCHED, do_unmap,
	  1, { { MMU_NOTIFY_UNMAP, FROM, END } } },
	{ "munmap_of_shared_pages", STAGE_SHARED, do_unmap,
	  1, { { MMU_NOTIFY_UNMAP, FROM, END } } },
	{ "mmap_over_pages", STAGE_FILLED, do_map_over,
	  1, { { MMU_NOTIFY_UNMAP, FROM, END } } },
	/* Away from here, and then the old place is unmapped. */
	{ "mremap", STAGE_FILLED, do_move,
	  2, { { MMU_NOTIFY_UNMAP, FROM, END },
	       { MMU_NOTIFY_UNMAP, FROM, END } } },
	{ "mprotect", STAGE_FILLED, do_protect,
	  1, { { MMU_NOTIFY_PROTECTION_VMA, FROM, END } } },
	{ "mprotect_of_shared_pages", STAGE_SHARED, do_protect,
	  1, { { MMU_NOTIFY_PROTECTION_VMA, FROM, END } } },
	{ "madv_dontneed", STAGE_FILLED, do_dontneed,
	  1, { { MMU_NOTIFY_CLEAR, FROM, END } } },
	{ "madv_dontneed_of_shared_pages", STAGE_SHARED, do_dontneed,
	  1, { { MMU_NOTIFY_CLEAR, FROM, END } } },
	{ "madv_free", STAGE_FILLED, do_free,
	  1, { { MMU_NOTIFY_CLEAR, FROM, END } } },
	{ "madv_guard_install", STAGE_FILLED, do_guard,
	  1, { { MMU_NOTIFY_CLEAR, FROM, END } } },
	{ "unmap_mapping_range", STAGE_SHARED, do_punch,
	  1, { { MMU_NOTIFY_CLEAR, FROM, END } } },
	{ "madv_cold", STAGE_FILLED, do_cold },
	{ "madv_populate_write", STAGE_UNTOUCHED, do_populate },
	{ "first_read", STAGE_UNTOUCHED, do_read },
	{ "first_write", STAGE_UNTOUCHED, do_write },
	{ "read", STAGE_FILLED, do_read },
	{ "write", STAGE_FILLED, do_write },
	/* The zero page is replaced, which a device may have mapped. */
	{ "write_to_the_zero_page", STAGE_READ, do_write,
	  1, { { MMU_NOTIFY_CLEAR, FROM, FROM + 1 } } },
	{ "folio_mkclean", STAGE_SHARED, do_clean,
	  1, { { MMU_NOTIFY_PROTECTION_PAGE, FROM, FROM + 1 } } },
	/* Private pages become read-only in the parent; shared ones do not. */
	{ "fork", STAGE_FILLED, do_fork,
	  1, { { MMU_NOTIFY_PROTECTION_PAGE, 0, ALL } } },
	{ "fork_with_shared_pages", STAGE_SHARED, do_fork },
	{ "copy_on_write", STAGE_FORKED, do_write,
	  1, { { MMU_NOTIFY_CLEAR, FROM, FROM + 1 } } },
	{ "read_after_fork", STAGE_FORKED, do_read },
	/* The child's mm is another one. */
	{ "munmap_in_the_child", STAGE_FORKED, do_unmap_in_child },

	/* The destination has had nothing that anybody could have mapped. */
	{ "uffdio_move", STAGE_FILLED, do_uffd_move,
	  1, { { MMU_NOTIFY_CLEAR, FROM, END } } },
	{ "reclaim_of_a_shared_page", STAGE_SHARED, do_reclaim,
	  1, { { MMU_NOTIFY_CLEAR, FROM, FROM + 1 } } },
	{ "swap_out", STAGE_FILLED, do_swap_out,
	  1, { { MMU_NOTIFY_CLEAR, FROM, FROM + 1 } } },
	/* Not of what the CPU has used, of which nobody else is told here. */
	{ "clear_refs", STAGE_FILLED, do_clear_referenced },
	{ "clear_refs_of_soft_dirty_bits", STAGE_FILLED, do_clear_soft_dirty,
	  1, { { MMU_NOTIFY_SOFT_DIRTY, .whole = true } } },
	{ "pagemap_scan", STAGE_FILLED, do_scan },
	{ "pagemap_scan_that_protects", STAGE_FILLED, do_scan_and_protect,
	  1, { { MMU_NOTIFY_PROTECTION_VMA, FROM, END } } },
	{ "wp_shared_mapping_range", STAGE_SHARED, do_write_protect,
	  1, { { MMU_NOTIFY_PROTECTION_PAGE, FROM, END } } },
	{ "clean_record_shared_mapping_range", STAGE_SHARED,
	  do_clean_and_record,
	  1, { { MMU_NOTIFY_PROTECTION_PAGE, FROM, END } } },
	/* The only one that may not wait, nor let anybody else wait. */
	{ "oom_reaper", STAGE_FILLED, do_reap,
	  1, { { MMU_NOTIFY_CLEAR, 0, ALL, .nonblock = true } } },

	{ "to_the_device", STAGE_FILLED, do_to_device,
	  1, { { MMU_NOTIFY_MIGRATE, FROM, END, true } } },
	/* When collected, and once more when a page is put into the hole. */
	{ "holes_to_the_device", STAGE_UNTOUCHED, do_to_device,
	  2, { { MMU_NOTIFY_MIGRATE, FROM, END, true },
	       { MMU_NOTIFY_MIGRATE, FROM, END, true } } },
	{ "to_the_device_after_fork", STAGE_FORKED, do_to_device,
	  1, { { MMU_NOTIFY_MIGRATE, FROM, END, true } }, true },
	{ "back_from_the_device", STAGE_ON_DEVICE, do_to_ram,
	  1, { { MMU_NOTIFY_MIGRATE, FROM, END, true } } },
	{ "fault_on_the_device", STAGE_ON_DEVICE, do_read,
	  1, { { MMU_NOTIFY_MIGRATE, FROM, FROM + 1, true } } },
	/* Page by page, and found from the page: no owner is known. */
	{ "eviction_from_the_device", STAGE_ON_DEVICE, do_evict,
	  3, { { MMU_NOTIFY_CLEAR, FROM, FROM + 1 },
	       { MMU_NOTIFY_CLEAR, FROM + 1, FROM + 2 },
	       { MMU_NOTIFY_CLEAR, FROM + 2, END } } },
	{ "munmap_on_the_device", STAGE_ON_DEVICE, do_unmap,
	  1, { { MMU_NOTIFY_UNMAP, FROM, END } } },
	{ "exclusive", STAGE_FILLED, do_exclusive,
	  1, { { MMU_NOTIFY_EXCLUSIVE, FROM, FROM + 1, true } } },
	{ "end_of_exclusive", STAGE_EXCLUSIVE, do_read,
	  1, { { MMU_NOTIFY_CLEAR, FROM, FROM + 1 } } },

	{ "collapse", STAGE_HUGE_SMALL, do_collapse,
	  1, { { MMU_NOTIFY_CLEAR, 0, HUGE } } },
	/* Its small page goes first, and then what may map it. */
	{ "collapse_of_a_file", STAGE_HUGE_SHARED, do_collapse,
	  1, { { MMU_NOTIFY_CLEAR, 0, HUGE } }, true },
	{ "collapse_of_a_huge_page_of_a_file",
	  STAGE_HUGE_SHARED_SMALL, do_collapse,
	  1, { { MMU_NOTIFY_CLEAR, 0, HUGE } } },
	{ "uffdio_move_of_a_huge_page", STAGE_HUGE_PAGE, do_uffd_move_huge,
	  1, { { MMU_NOTIFY_CLEAR, 0, HUGE } } },
	{ "write_to_the_huge_zero_page", STAGE_HUGE_ZERO, do_write,
	  1, { { MMU_NOTIFY_CLEAR, 0, HUGE } } },
	/* A part of a huge page: it is split, which is a change of all of it. */
	{ "munmap_in_a_huge_page", STAGE_HUGE_PAGE, do_unmap,
	  2, { { MMU_NOTIFY_CLEAR, 0, HUGE },
	       { MMU_NOTIFY_UNMAP, FROM, END } }, true },
	{ "mprotect_in_a_huge_page", STAGE_HUGE_PAGE, do_protect,
	  2, { { MMU_NOTIFY_CLEAR, 0, HUGE },
	       { MMU_NOTIFY_PROTECTION_VMA, FROM, END } }, true },
	{ "madv_dontneed_in_a_huge_page", STAGE_HUGE_PAGE, do_dontneed,
	  2, { { MMU_NOTIFY_CLEAR, FROM, END },
	       { MMU_NOTIFY_CLEAR, 0, HUGE } }, true },
	{ "fork_with_a_huge_page", STAGE_HUGE_PAGE, do_fork,
	  1, { { MMU_NOTIFY_PROTECTION_PAGE, 0, ALL } } },
	{ "copy_on_write_in_a_huge_page", STAGE_HUGE_FORKED, do_write,
	  2, { { MMU_NOTIFY_CLEAR, 0, HUGE },
	       { MMU_NOTIFY_CLEAR, FROM, FROM + 1 } }, true },
	{ "huge_page_to_the_device", STAGE_HUGE_PAGE, do_huge_to_device,
	  1, { { MMU_NOTIFY_MIGRATE, 0, HUGE, true } } },
	{ "huge_hole_to_the_device", STAGE_HUGE_UNTOUCHED, do_huge_to_device,
	  2, { { MMU_NOTIFY_MIGRATE, 0, HUGE, true },
	       { MMU_NOTIFY_MIGRATE, 0, HUGE, true } } },
	{ "huge_page_back_from_the_device", STAGE_HUGE_ON_DEVICE,
	  do_huge_to_ram,
	  1, { { MMU_NOTIFY_MIGRATE, 0, HUGE, true } } },
};

KUNIT_ARRAY_PARAM_DESC(producer, producers, name);

static bool has_toy(const struct producer *row)
{
	return row->act == do_to_device || row->act == do_huge_to_device ||
	       row->act == do_exclusive || row->kind == STAGE_ON_DEVICE ||
	       row->kind == STAGE_EXCLUSIVE || row->kind == STAGE_HUGE_ON_DEVICE;
}

static bool is_huge(const struct producer *row)
{
	return row->kind >= STAGE_HUGE_PAGE;
}

static bool has_proc(const struct producer *row)
{
	return row->act == do_clear_referenced ||
	       row->act == do_clear_soft_dirty || row->act == do_scan ||
	       row->act == do_scan_and_protect;
}

static void stage_requires(struct kunit *test, const struct producer *row)
{
	DMIRROR_REQUIRES_BUILTIN(test);
	if (is_huge(row))
		DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
}

/* An aligned place for a huge page, in the middle of nothing else. */
static unsigned long map_huge(struct kunit *test, bool shared)
{
	unsigned long addr = ALIGN(dmirror_user_map(test, 2 * HUGE, RW),
				   PMD_SIZE), got;

	if (!shared)
		return addr;
	got = vm_mmap(NULL, addr, PMD_SIZE, RW,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, 0);
	KUNIT_ASSERT_EQ_MSG(test, got, addr, "mmap of a huge page of a file");

	return addr;
}

/* While one page has other permissions no PMD can map them all. */
static void map_file_in_small_pages(struct kunit *test, struct stage *stage)
{
	DMIRROR_ASSERT_OK(test, do_collapse(stage), "MADV_COLLAPSE");
	dmirror_user_protect(test, stage->addr, 1, PROT_READ);
	dmirror_user_touch(test, stage->addr, HUGE);
	dmirror_user_protect(test, stage->addr, 1, RW);
}

/* As stage->kind wants it. */
static void stage_map_huge(struct kunit *test, struct stage *stage,
			   enum stage_kind kind)
{
	bool shared = kind == STAGE_HUGE_SHARED ||
		      kind == STAGE_HUGE_SHARED_SMALL;

	stage->addr = map_huge(test, shared);
	if (shared)
		dmirror_user_fill(test, stage->addr, 1, 1);
	if (kind == STAGE_HUGE_SHARED_SMALL)
		map_file_in_small_pages(test, stage);
	if (shared)
		return;
	if (kind == STAGE_HUGE_SMALL) {
		dmirror_user_fill(test, stage->addr, HUGE, 1);
		return;
	}
	DMIRROR_ASSERT_OK(test, user_madvise(stage->addr, PMD_SIZE,
					     MADV_HUGEPAGE), "MADV_HUGEPAGE");
	if (kind == STAGE_HUGE_ZERO)
		dmirror_user_touch(test, stage->addr, 1);
	else if (kind != STAGE_HUGE_UNTOUCHED)
		dmirror_user_fill(test, stage->addr, 1, 1);
}

static void stage_map(struct kunit *test, struct stage *stage,
		      enum stage_kind kind)
{
	stage->addr = kind == STAGE_SHARED ? dmirror_user_map_shared(test, NR) :
		      dmirror_user_map(test, NR, RW);
	if (kind == STAGE_READ)
		dmirror_user_touch(test, stage->addr, NR);
	else if (kind != STAGE_UNTOUCHED)
		dmirror_user_fill(test, stage->addr, NR, 1);
}

static void stage_set_elsewhere(struct kunit *test, struct stage *stage,
				const struct producer *row)
{
	bool huge = row->act == do_uffd_move_huge;

	if (row->act == do_move || row->act == do_uffd_move)
		stage->elsewhere = dmirror_user_map(test, NR, RW);
	else if (huge)
		stage->elsewhere = map_huge(test, false);
	if (huge || row->act == do_uffd_move)
		stage->uffd = uffd_get(test, stage->elsewhere, huge ? HUGE : NR,
				       UFFDIO_REGISTER_MODE_MISSING,
				       UFFD_FEATURE_MOVE);
	if (row->act == do_swap_out)
		swapdev_get(test);
	if (has_proc(row))
		stage->proc = procfs_get(test);
}

static void stage_set(struct kunit *test, struct stage *stage,
		      const struct producer *row)
{
	stage_requires(test, row);
	stage->test = test;
	if (has_toy(row))
		stage->toy = toy_get(test, MEMORY_DEVICE_PRIVATE,
				     2 * TOY_PAGES);
	if (is_huge(row))
		stage_map_huge(test, stage, row->kind);
	else
		stage_map(test, stage, row->kind);
	/* Not before: it would be the same VMA, which fork() tells as one. */
	stage_set_elsewhere(test, stage, row);
	if (row->kind == STAGE_ON_DEVICE)
		do_to_device(stage);
	if (row->kind == STAGE_HUGE_ON_DEVICE)
		do_huge_to_device(stage);
	if (row->kind == STAGE_EXCLUSIVE)
		DMIRROR_ASSERT_OK(test, do_exclusive(stage), "exclusive");
	user_lru_drain();
}

static struct notify_want want_of(const struct stage *stage,
				  const struct event *event)
{
	struct notify_want want = {
		.event = event->event,
		.start = event->whole ? 0 : at(stage, event->from),
		.end = event->end == ALL ? 0 : at(stage, event->end),
		.owner = event->owned ? stage->toy : NULL,
		.nonblock = event->nonblock,
	};

	if (event->whole)
		want.end = ULONG_MAX;

	return want;
}

/* All that was said about the mapping, by the kind of subscriber. */
static void expect_events(struct kunit *test, const struct producer *row,
			  const struct stage *stage, struct notify_log *log,
			  enum notify_call call)
{
	struct notify_want want[ARRAY_SIZE(row->events)];
	struct notify_wants wants = {
		.want = want,
		.nr = row->nr,
		.start = stage->addr,
		.end = at(stage, is_huge(row) ? HUGE : NR),
		.others_too = row->others_too,
	};
	unsigned int i;

	for (i = 0; i < row->nr; i++)
		want[i] = want_of(stage, &row->events[i]);
	notify_expect_told(test, log, call, &wants, row->name);
}

static void subscribers_are_told(struct kunit *test)
{
	const struct producer *row = test->param_value;
	struct notify_log *classic = notify_log_get(test);
	struct notify_log *spans = notify_log_get(test);
	struct stage *stage = kunit_kzalloc(test, sizeof(*stage), GFP_KERNEL);
	struct watch *watch;
	int ret, forked = 0;

	KUNIT_ASSERT_NOT_NULL(test, stage);
	stage_set(test, stage, row);
	watch = watch_get(test, classic, &watch_ops);
	span_get(test, spans, &span_ops, stage->addr,
		 is_huge(row) ? PMD_SIZE : NR << PAGE_SHIFT);
	if (row->kind == STAGE_FORKED || row->kind == STAGE_HUGE_FORKED) {
		forked = user_fork(&stage->child);
		DMIRROR_ASSERT_OK(test, forked, "fork");
		stage->forked = true;
	}
	notify_log_clear(classic);
	notify_log_clear(spans);

	ret = row->act(stage);
	if (stage->forked)
		user_reap(&stage->child);

	DMIRROR_EXPECT_ERRNO(test, ret, 0, row->name);
	notify_expect_pairs(test, classic, watch, row->name);
	expect_events(test, row, stage, classic, NOTIFY_START);
	expect_events(test, row, stage, spans, NOTIFY_SPAN);
	/* A toy device cannot evict a huge page. */
	if (has_toy(row) && is_huge(row))
		dmirror_user_unmap(test, stage->addr, HUGE);
}

/* Page tables of a range that begins at 0 are a range like any other. */
static void mprotect_at_zero_is_ended(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct mmu_notifier_range range = notify_range(0, 4 * PAGE_SIZE);
	struct watch *watch;
	unsigned long got;
	unsigned int open;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	got = vm_mmap(NULL, 0, 4 * PAGE_SIZE, RW,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);
	if (got)
		kunit_skip(test, "needs a mapping at address 0");
	dmirror_user_fill(test, PAGE_SIZE, 3, 1);
	watch = watch_get(test, log, &watch_ops);
	ret = user_mprotect(0, 4 * PAGE_SIZE, PROT_READ);
	open = notify_log_count(log, NOTIFY_START, watch) -
	       notify_log_count(log, NOTIFY_END, watch);

	DMIRROR_EXPECT_ERRNO(test, ret, 0, "mprotect");
	KUNIT_EXPECT_NOT_NULL(test, notify_log_find(log, NOTIFY_START, watch));
	if (open == 1) {
		notify_end(&range);
		DMIRROR_KNOWN_DEFECT(test, "mprotect() at 0 leaves an invalidation open");
	}
	notify_expect_pairs(test, log, watch, "mprotect");
}

/*
 * mmu_notifier.h: a start that may not sleep "should return -EAGAIN". The OOM
 * reaper leaves the mapping alone then, and comes again.
 */
static void reaper_gives_up_when_refused(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned long addr = dmirror_user_map(test, NR, RW);
	struct watch *watch;
	int refused, ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	dmirror_user_fill(test, addr, NR, 1);
	watch = watch_get(test, log, &watch_refusing_ops);
	watch->refuse = -EAGAIN;
	refused = core_reap(addr);
	watch->refuse = 0;
	DMIRROR_EXPECT_ERRNO(test, refused, -EBUSY, "reaper that is refused");
	notify_expect_count(test, log, NOTIFY_START, watch, 1, "refusal");
	dmirror_user_check(test, addr, NR, 1, "after the refusal");

	ret = core_reap(addr);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "reaper that comes again");
	notify_expect_count(test, log, NOTIFY_START, watch, 2, "second time");
	dmirror_user_check(test, addr, NR, 0, "after the reaper");
}

/* First the release, so that nobody looks at pages that are then unmapped. */
static void exit_unmaps_after_the_release(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned long addr = dmirror_user_map(test, NR, RW);
	struct watch *watch;
	struct span *span;

	dmirror_user_fill(test, addr, NR, 1);
	span = span_get(test, log, &span_ops, addr, NR << PAGE_SHIFT);
	watch = watch_get(test, log, &watch_ops);
	dmirror_user_exit(test);

	notify_expect_count(test, log, NOTIFY_SPAN, span, 2, "exit");
	notify_expect_count(test, log, NOTIFY_RELEASE, watch, 1, "exit");
	KUNIT_ASSERT_EQ_MSG(test, log->nr, 3U, "the log: %s",
			    notify_log_text(test, log));
	KUNIT_EXPECT_EQ(test, log->note[0].event, MMU_NOTIFY_RELEASE);
	KUNIT_EXPECT_EQ(test, log->note[1].call, NOTIFY_RELEASE);
	KUNIT_EXPECT_EQ(test, log->note[2].event, MMU_NOTIFY_UNMAP);
	KUNIT_EXPECT_LE(test, log->note[2].start, addr);
	KUNIT_EXPECT_GE(test, log->note[2].end, addr + (NR << PAGE_SHIFT));
}

#ifdef MODULE
static int referenced(struct folio *folio)
{
	return -EOPNOTSUPP;
}
#else
static int referenced(struct folio *folio)
{
	vma_flags_t flags;

	/* Up to 7.2 a vm_flags_t, which is not larger. */
	return folio_referenced(folio, 0, NULL, (void *)&flags);
}
#endif

/* Reclaim asks who has used a page, and believes each of them. */
static void reclaim_asks_whether_a_page_is_young(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned long addr = dmirror_user_map(test, NR, RW);
	struct stage stage = { .addr = addr };
	const struct notify_note *note;
	int cleared, unused, used;
	struct watch *watch;
	struct folio *folio;

	DMIRROR_REQUIRES_BUILTIN(test);
	if (IS_ENABLED(CONFIG_LRU_GEN_ENABLED))
		kunit_skip(test, "needs !CONFIG_LRU_GEN_ENABLED");
	dmirror_user_fill(test, addr, NR, 1);
	user_lru_drain();
	watch = watch_get(test, log, &watch_ops);
	folio = folio_of(&stage);
	KUNIT_ASSERT_NOT_NULL(test, folio);
	cleared = referenced(folio);
	unused = referenced(folio);
	notify_log_clear(log);
	watch->young = true;
	used = referenced(folio);
	folio_put(folio);

	KUNIT_EXPECT_GT_MSG(test, cleared, 0, "used by the CPU");
	KUNIT_EXPECT_EQ_MSG(test, unused, 0, "used by nobody");
	KUNIT_EXPECT_GT_MSG(test, used, 0, "used by the subscriber");
	notify_expect_count(test, log, NOTIFY_CLEAR_FLUSH_YOUNG, watch, 1,
			    "reclaim");
	note = notify_log_find(log, NOTIFY_CLEAR_FLUSH_YOUNG, watch);
	if (!note)
		return;
	KUNIT_EXPECT_EQ(test, note->start, at(&stage, FROM));
	KUNIT_EXPECT_EQ(test, note->end, at(&stage, FROM + 1));
}

/* "whenever invalidating a TLB entry", where there is an architecture for it */
static void tlb_flush_reaches_secondary_tlbs(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct stage stage = { .addr = dmirror_user_map(test, NR, RW) };
	unsigned int i, covers = 0;

	DMIRROR_REQUIRES_BUILTIN(test);
	if (!IS_ENABLED(CONFIG_X86_64) || IS_ENABLED(CONFIG_UML))
		kunit_skip(test, "needs CONFIG_X86_64");
	dmirror_user_fill(test, stage.addr, NR, 1);
	watch_get(test, log, &watch_tlbs_ops);
	DMIRROR_EXPECT_ERRNO(test, do_protect(&stage), 0, "mprotect");
	for (i = 0; i < min(log->nr, NOTIFY_NOTES); i++)
		covers += log->note[i].start <= at(&stage, FROM) &&
			  log->note[i].end >= at(&stage, END);
	KUNIT_EXPECT_GE_MSG(test, covers, 1U, "the log: %s",
			    notify_log_text(test, log));
}

static struct kunit_case mmu_notifier_events_cases[] = {
	KUNIT_CASE_PARAM(subscribers_are_told, producer_gen_params),
	KUNIT_CASE(mprotect_at_zero_is_ended),
	KUNIT_CASE(reaper_gives_up_when_refused),
	KUNIT_CASE(exit_unmaps_after_the_release),
	KUNIT_CASE(reclaim_asks_whether_a_page_is_young),
	KUNIT_CASE(tlb_flush_reaches_secondary_tlbs),
	{}
};

DMIRROR_SUITE_AS(mmu_notifier_events, dmirror_case_init_mm,
		 mmu_notifier_events_cases);
