// SPDX-License-Identifier: GPL-2.0
/*
 * What /proc/PID says of device pages, and does to them: fs/proc/task_mmu.c, as
 * Documentation/filesystems/proc.rst has it, and pagemap.rst and soft-dirty.rst
 * in Documentation/admin-guide/mm/. A private page is none that the CPU can
 * use, so it is told to be in swap; but it is somebody's memory, and is counted
 * as such, whether a PTE or a PMD maps it.
 */
#include <linux/bitfield.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/swap.h>

#include "../uffd.h"
#include "../user.h"
#include "ground.h"
#include "hmm_probe.h"
#include "migrate_large.h"
#include "procfs.h"

#define RW (PROT_READ | PROT_WRITE)

/* Entries of pagemap, as its documentation numbers their bits. */
#define ENTRY_SOFT_DIRTY BIT_ULL(55)
#define ENTRY_FILE BIT_ULL(61)
#define ENTRY_SWAP BIT_ULL(62)
#define ENTRY_PRESENT BIT_ULL(63)
#define ENTRY_WHERE (ENTRY_FILE | ENTRY_SWAP | ENTRY_PRESENT)
#define ENTRY_PFN GENMASK_ULL(54, 0)
#define ENTRY_OFFSET GENMASK_ULL(54, 5)

static struct ground ground_of_case(struct kunit *test)
{
	return ground_get(test, test->param_value);
}

static u64 *entries_of(struct kunit *test, struct procfs *proc,
		       unsigned long addr, unsigned long nr)
{
	u64 *entries = kunit_kcalloc(test, nr, sizeof(*entries), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, entries);
	DMIRROR_ASSERT_OK(test, procfs_pagemap(proc, addr, nr, entries),
			  "read of pagemap");

	return entries;
}

/* B26: "do not warn on seeing non-migration pmd entry" is this read, too. */
static void pagemap_tells_where_pages_are(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct procfs *proc = procfs_get(test);
	u64 *entries = entries_of(test, proc, ground.addr, ground.nr);
	bool private = ground_private(&ground);
	unsigned long i, pfn, got;
	u64 where = private ? ENTRY_SWAP : ENTRY_PRESENT;

	for (i = 0; i < ground.nr; i++) {
		pfn = migrate_see(current->mm, ground_at(&ground, i)).pfn;
		got = private ? FIELD_GET(ENTRY_OFFSET, entries[i]) :
				FIELD_GET(ENTRY_PFN, entries[i]);
		if ((entries[i] & ENTRY_WHERE) == where && got == pfn)
			continue;
		KUNIT_FAIL(test, "page %lu at 0x%lx: got 0x%llx, wanted flags 0x%llx, frame 0x%lx",
			   i, ground_at(&ground, i), entries[i], where, pfn);
		break;
	}
	ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
		    "after pagemap was read");
	ground_read(test, &ground, 0, ground.nr, 1, "by the CPU");
	entries = entries_of(test, proc, ground.addr, 1);
	KUNIT_EXPECT_EQ_MSG(test, entries[0] & ENTRY_WHERE, ENTRY_PRESENT,
			    "page 0 at 0x%lx after the CPU used it",
			    ground.addr);
}

/* Where a kernel has the file; it is read for what a walk might warn of. */
static void read_text(struct kunit *test, struct procfs *proc, const char *name)
{
	KUNIT_EXPECT_NE_MSG(test, *procfs_text(test, proc, name), 0,
			    "/proc/PID/%s is empty", name);
}

static void expect_bytes(struct kunit *test, unsigned long got,
			 unsigned long want, const char *line)
{
	KUNIT_EXPECT_EQ_MSG(test, got, want,
			    "%s on the device: got %lu wanted %lu bytes", line,
			    got, want);
}

static void smaps_counts_pages_as_their_owners(struct kunit *test)
{
	struct ground ground = ground_of_case(test);
	struct procfs *proc = procfs_get(test);
	struct procfs_smap smap = procfs_smaps(test, proc, ground.addr);
	unsigned long size = ground.nr << PAGE_SHIFT;

	expect_bytes(test, smap.rss, size, "Rss");
	expect_bytes(test, smap.pss, size, "Pss");
	expect_bytes(test, smap.anonymous, size, "Anonymous");
	expect_bytes(test, smap.huge, ground.kind->large ? size : 0,
		     "AnonHugePages");
	expect_bytes(test, smap.swap, 0, "Swap");
	read_text(test, proc, "smaps_rollup");
	if (IS_ENABLED(CONFIG_NUMA))
		read_text(test, proc, "numa_maps");
	ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
		    "after smaps was read");
	if (ground.kind->large && ground_private(&ground) &&
	    !smap.private && smap.shared == size)
		DMIRROR_KNOWN_DEFECT(test,
				     "smaps of a large private folio that is nobody else's");
	expect_bytes(test, smap.private, size, "Private_*");
	expect_bytes(test, smap.shared, 0, "Shared_*");
}

/* What the CPU has used is asked of pages that it can use. */
static void clear_refs_leaves_pages_alone(struct kunit *test)
{
	static const char *const what[] = { "1", "2", "3" };
	struct ground ground = ground_of_case(test);
	struct procfs *proc = procfs_get(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(what); i++)
		DMIRROR_ASSERT_OK(test, procfs_write(proc, "clear_refs",
						     what[i]), what[i]);
	ground_look(test, &ground, 0, ground.nr, ground_out(&ground),
		    "after clear_refs");
	ground_read(test, &ground, 0, ground.nr, 1, "by the CPU");
}

static unsigned long soft_dirty(struct kunit *test, struct procfs *proc,
				unsigned long addr, unsigned long nr)
{
	u64 *entries = entries_of(test, proc, addr, nr);
	unsigned long i, dirty = 0;

	for (i = 0; i < nr; i++)
		dirty += !!(entries[i] & ENTRY_SOFT_DIRTY);

	return dirty;
}

/* Nothing is soft-dirty from here on, and everything where it was. */
static void clear_soft_dirty(struct kunit *test, struct procfs *proc,
			     const struct ground *ground)
{
	unsigned long dirty;

	DMIRROR_ASSERT_OK(test, procfs_write(proc, "clear_refs", "4"),
			  "clear_refs");
	dirty = soft_dirty(test, proc, ground->addr, ground->nr);
	KUNIT_EXPECT_EQ_MSG(test, ground->toy->out, ground->nr,
			    "0x%lx after clear_refs: got %lu pages on the device wanted %lu",
			    ground->addr, ground->toy->out, ground->nr);
	if (ground->kind->large && ground_private(ground) &&
	    dirty == ground->nr)
		DMIRROR_KNOWN_DEFECT(test,
				     "clear_refs of a large private folio");
	KUNIT_ASSERT_EQ_MSG(test, dirty, 0UL,
			    "0x%lx after clear_refs: got %lu soft-dirty pages wanted 0",
			    ground->addr, dirty);
}

/* soft-dirty.rst: "by writing "4" into the /proc/PID/clear_refs file". */
static void clear_refs_clears_soft_dirty(struct kunit *test)
{
	struct ground ground;

	DMIRROR_REQUIRES_CONFIG(test, MEM_SOFT_DIRTY);
	ground = ground_of_case(test);
	clear_soft_dirty(test, procfs_get(test), &ground);
}

/*
 * soft-dirty.rst: "when the task tries to modify a page at some virtual address
 * the #PF occurs and the kernel sets the soft-dirty bit on the respective PTE".
 * Also if that brings the page home first.
 */
static void write_after_clear_refs_is_soft_dirty(struct kunit *test)
{
	struct ground ground;
	struct procfs *proc;
	unsigned long dirty;

	DMIRROR_REQUIRES_CONFIG(test, MEM_SOFT_DIRTY);
	ground = ground_of_case(test);
	proc = procfs_get(test);
	clear_soft_dirty(test, proc, &ground);
	dmirror_user_fill(test, ground.addr, 1, 2);
	dirty = soft_dirty(test, proc, ground.addr, 1);
	dmirror_user_check(test, ground.addr, 1, 2, "page 0");
	ground_read(test, &ground, 1, ground.nr, 1, "the others");
	if (ground_private(&ground) && !dirty)
		DMIRROR_KNOWN_DEFECT(test,
				     "a write to a private page after clear_refs");
	KUNIT_EXPECT_EQ_MSG(test, dirty, 1UL,
			    "page 0 at 0x%lx after the CPU wrote to it: soft-dirty got %lu wanted 1",
			    ground.addr, dirty);
}

/* Is a device told that it can write to the first page, if it wants to? */
static bool device_can_write(struct kunit *test, const struct ground *ground)
{
	struct hmm_probe *probe = hmm_probe_get(test, 1);
	int ret;

	probe->range.dev_private_owner = ground->toy;
	ret = hmm_probe_run(probe, ground->addr, 1, HMM_WRITE);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "write request for page 0");

	return !ret && (probe->pfns[0] & HMM_PFN_WRITE);
}

/* hmm_range_fault() does for a device what a page fault does for the CPU. */
static void device_write_after_clear_refs_is_soft_dirty(struct kunit *test)
{
	struct ground ground;
	struct procfs *proc;
	unsigned long dirty;
	bool told;

	DMIRROR_REQUIRES_CONFIG(test, MEM_SOFT_DIRTY);
	ground = ground_of_case(test);
	proc = procfs_get(test);
	clear_soft_dirty(test, proc, &ground);
	told = device_can_write(test, &ground);
	dirty = soft_dirty(test, proc, ground.addr, 1);
	ground_read(test, &ground, 0, ground.nr, 1, "by the CPU");
	if (ground_private(&ground) && told && !dirty)
		DMIRROR_KNOWN_DEFECT(test,
				     "a write to a private page after clear_refs");
	if (ground_private(&ground) && !told && !dirty)
		DMIRROR_KNOWN_DEFECT(test, "hmm_range_fault() for writing");
	KUNIT_EXPECT_TRUE_MSG(test, told && dirty == 1,
			      "page 0 at 0x%lx after a device wanted to write: got %d, soft-dirty %lu, wanted that it can, 1",
			      ground.addr, told, dirty);
}

/* All was migrating in @view, and none is on the device any more. */
static void expect_evicted(struct kunit *test, const struct ground *ground,
			   const struct core_view *view)
{
	KUNIT_EXPECT_TRUE_MSG(test, view->first.place == CORE_MIGRATING &&
			      view->same == view->nr,
			      "0x%lx during the eviction: got %lu pages alike, migrating %d, wanted %lu that migrate",
			      view->addr, view->same,
			      view->first.place == CORE_MIGRATING, view->nr);
	KUNIT_EXPECT_EQ_MSG(test, ground->toy->out, 0UL,
			    "0x%lx after the eviction: got %lu pages on the device wanted 0",
			    ground->addr, ground->toy->out);
}

/*
 * A migration entry becomes what it says, whatever clear_refs has meant to
 * watch meanwhile. Evictions hold no mmap_lock, nor does compaction.
 * (A dirty huge page is soft-dirty after any migration, remove_migration_pmd()
 * says: there is nothing to see with a coherent folio.)
 */
static void write_after_an_eviction_is_soft_dirty(struct kunit *test)
{
	struct core_view view;
	struct toy_move move;
	struct ground ground;
	struct procfs *proc;
	unsigned long dirty;
	int cleared;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, MEM_SOFT_DIRTY);
	ground = ground_of_case(test);
	proc = procfs_get(test);
	ground_evict_init(test, &ground, &move);
	ground_evict_begin(&ground, &move);
	core_look(&view, ground.mm, ground.addr, ground.nr);
	cleared = procfs_write(proc, "clear_refs", "4");
	DMIRROR_EXPECT_ERRNO(test, ground_evict_finish(&move), 0, "eviction");
	DMIRROR_ASSERT_OK(test, cleared, "clear_refs during the eviction");
	expect_evicted(test, &ground, &view);
	dirty = soft_dirty(test, proc, ground.addr, ground.nr);
	KUNIT_EXPECT_EQ_MSG(test, dirty, 0UL,
			    "0x%lx before the CPU wrote: got %lu soft-dirty pages wanted 0",
			    ground.addr, dirty);

	/* By the CPU itself: get_user_pages() marks a huge page. */
	dmirror_user_fill(test, ground.addr, ground.nr, 2);
	dirty = soft_dirty(test, proc, ground.addr, ground.nr);
	dmirror_user_check(test, ground.addr, ground.nr, 2,
			   "after the eviction");
	if (!dirty)
		DMIRROR_KNOWN_DEFECT(test,
				     "a write to a page that was migrating during clear_refs");
	KUNIT_EXPECT_EQ_MSG(test, dirty, ground.nr,
			    "0x%lx after the CPU wrote: got %lu soft-dirty pages wanted %lu",
			    ground.addr, dirty, ground.nr);
}

static const struct hole {
	const char *name;
	enum memory_type type;
	bool large;
	bool zero_page; /* is mapped there */
	int prot;
} holes[] = {
	{ "private_page", MEMORY_DEVICE_PRIVATE, false, false, RW },
	{ "private_folio", MEMORY_DEVICE_PRIVATE, true, false, RW },
	{ "private_for_zero_page", MEMORY_DEVICE_PRIVATE, false, true, RW },
	{ "private_read_only", MEMORY_DEVICE_PRIVATE, false, false, PROT_READ },
	{ "coherent_page", MEMORY_DEVICE_COHERENT, false, false, RW },
	{ "coherent_for_zero_page", MEMORY_DEVICE_COHERENT, false, true, RW },
	{ "coherent_read_only", MEMORY_DEVICE_COHERENT, false, false,
	  PROT_READ },
};

KUNIT_ARRAY_PARAM_DESC(hole, holes, name);

static struct large hole_of_case(struct kunit *test, struct procfs **proc,
				 unsigned long *nr)
{
	const struct hole *hole = test->param_value;
	struct large large;

	*nr = hole->large ? NR_LARGE : 1;
	if (hole->large) {
		large = large_hole(test, hole->prot);
	} else {
		large.toy = toy_get(test, hole->type, TOY_PAGES);
		large.addr = dmirror_user_map(test, *nr, hole->prot);
	}
	if (hole->zero_page)
		dmirror_user_check(test, large.addr, *nr, 0, "untouched");
	*proc = procfs_get(test);
	DMIRROR_ASSERT_OK(test, procfs_write(*proc, "clear_refs", "4"),
			  "clear_refs");
	KUNIT_ASSERT_EQ_MSG(test, soft_dirty(test, *proc, large.addr, *nr), 0UL,
			    "0x%lx after clear_refs: soft-dirty, %lu pages of a hole",
			    large.addr, *nr);

	return large;
}

/*
 * soft-dirty.rst: "new memory regions" are soft-dirty, for there is something
 * that nobody has saved. So is what a device puts where nothing was.
 */
static void filled_hole_is_soft_dirty(struct kunit *test)
{
	const struct hole *hole = test->param_value;
	bool rw = hole->prot & PROT_WRITE;
	unsigned long nr, filled, written;
	struct large large;
	struct procfs *proc;

	DMIRROR_REQUIRES_CONFIG(test, MEM_SOFT_DIRTY);
	large = hole_of_case(test, &proc, &nr);
	toy_to_device(test, large.toy, large.addr, nr);
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, nr,
			    "hole at 0x%lx: got %lu pages of the device wanted %lu",
			    large.addr, large.toy->out, nr);
	filled = soft_dirty(test, proc, large.addr, nr);
	if (rw)
		dmirror_user_fill(test, large.addr, nr, 1);
	dmirror_user_check(test, large.addr, nr, rw, "by the CPU");
	written = soft_dirty(test, proc, large.addr, nr);
	dmirror_user_unmap(test, large.addr, nr);
	if ((hole->type == MEMORY_DEVICE_PRIVATE || !rw) && !filled && !written)
		DMIRROR_KNOWN_DEFECT(test,
				     "a hole that a device fills is not soft-dirty");
	KUNIT_EXPECT_TRUE_MSG(test, filled == nr && written == nr,
			      "0x%lx, soft-dirty pages: got %lu on the device and %lu after the CPU used them, wanted %lu",
			      large.addr, filled, written, nr);
}

static const struct size {
	const char *name;
	bool large;
} sizes[] = {
	{ "page", false },
	{ "folio", true },
};

KUNIT_ARRAY_PARAM_DESC(size, sizes, name);

/*
 * move_ptes() and move_huge_pmd(): whoever saves what has changed since has the
 * contents under the old address, and has to save them under the new one.
 */
static void moved_pages_are_soft_dirty(struct kunit *test)
{
	const struct size *size = test->param_value;
	unsigned long nr = size->large ? NR_LARGE : 1, to, dirty;
	struct procfs *proc;
	struct large large;

	DMIRROR_REQUIRES_CONFIG(test, MEM_SOFT_DIRTY);
	large = large_or_small_get(test, size->large, SEEN_RAM);
	proc = procfs_get(test);
	to = ALIGN(dmirror_user_map(test, 2 * nr, RW), nr << PAGE_SHIFT);
	DMIRROR_ASSERT_OK(test, procfs_write(proc, "clear_refs", "4"),
			  "clear_refs");
	toy_to_device(test, large.toy, large.addr, nr);
	KUNIT_ASSERT_EQ_MSG(test, soft_dirty(test, proc, large.addr, nr), 0UL,
			    "soft-dirty pages at 0x%lx on the device",
			    large.addr);

	KUNIT_ASSERT_EQ(test, core_mremap(large.addr, nr << PAGE_SHIFT,
					  nr << PAGE_SHIFT, MREMAP_MAYMOVE |
					  MREMAP_FIXED, to), (long)to);
	KUNIT_EXPECT_EQ_MSG(test, large.toy->out, nr,
			    "pages on the device after mremap");
	dirty = soft_dirty(test, proc, to, nr);
	dmirror_user_unmap(test, to, nr);
	if (size->large && !dirty)
		DMIRROR_KNOWN_DEFECT(test,
				     "mremap() of a large private folio is not soft-dirty");
	KUNIT_EXPECT_EQ_MSG(test, dirty, nr,
			    "0x%lx after mremap: got %lu soft-dirty pages wanted %lu",
			    to, dirty, nr);
}

/* What was written to since, which is protected again if @flags say so. */
static long scan(struct procfs *proc, const struct ground *ground, u64 flags,
		 struct page_region *regions)
{
	struct pm_scan_arg arg = {
		.flags = flags,
		.start = ground->addr,
		.end = ground_at(ground, ground->nr),
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};

	return procfs_scan(proc, &arg, regions);
}

static void expect_scan(struct kunit *test, struct procfs *proc,
			const struct ground *ground, unsigned long to,
			const char *step)
{
	struct page_region regions[PROCFS_REGIONS] = {};
	long got = scan(proc, ground,
			PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, regions);
	long want = to ? 1 : 0;

	KUNIT_EXPECT_EQ_MSG(test, got, want,
			    "0x%lx, %s: got %ld regions that were written to wanted %ld",
			    ground->addr, step, got, want);
	if (got < 1)
		return;
	KUNIT_EXPECT_TRUE_MSG(test, regions[0].start == ground->addr &&
			      regions[0].end == ground_at(ground, to),
			      "first region, %s: got 0x%llx-0x%llx wanted 0x%lx-0x%lx",
			      step, regions[0].start, regions[0].end,
			      ground->addr, ground_at(ground, to));
}

/* Is all of it told to be written to? */
static bool all_is_written(struct procfs *proc, const struct ground *ground)
{
	struct page_region regions[PROCFS_REGIONS] = {};

	return scan(proc, ground, 0, regions) == 1 &&
	       regions[0].start == ground->addr &&
	       regions[0].end == ground_at(ground, ground->nr);
}

/*
 * The mode of userfaultfd that PM_SCAN_WP_MATCHING is for, and the first scan,
 * which finds and protects all. Can it still be written to without a fault?
 */
static bool first_scan(struct kunit *test, struct procfs *proc,
		       const struct ground *ground)
{
	struct core_view view;
	int warned = 0;

	uffd_get(test, ground->addr, ground->nr, UFFDIO_REGISTER_MODE_WP,
		 UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	/* page_table_check warns of what is protected and can be written to. */
	kunit_warning_suppress(test) {
		expect_scan(test, proc, ground, ground->nr, "first scan");
		warned = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	core_look(&view, ground->mm, ground->addr, ground->nr);
	if (!view.first.write)
		KUNIT_EXPECT_EQ_MSG(test, warned, 0,
				    "0x%lx, first scan: got %d warnings wanted 0",
				    ground->addr, warned);
	KUNIT_EXPECT_EQ_MSG(test, view.same, view.nr,
			    "0x%lx after the first scan: got %lu pages like the first wanted %lu",
			    ground->addr, view.same, view.nr);
	KUNIT_EXPECT_TRUE_MSG(test, view.first.place == CORE_DEVICE,
			      "page 0 at 0x%lx after the first scan: got elsewhere wanted on the device",
			      ground->addr);

	return view.first.write;
}

/* Writes to the first page, and reads the others. */
static void expect_one_written(struct kunit *test, struct procfs *proc,
			       const struct ground *ground)
{
	expect_scan(test, proc, ground, 0, "nothing was written");
	ground_write(test, ground, 0, 1, 2, "page 0");
	expect_scan(test, proc, ground, 1, "page 0 was written to");
	expect_scan(test, proc, ground, 0, "nothing was written since");
	ground_read(test, ground, 1, ground->nr, 1, "the others");
}

/*
 * pagemap.rst: "PM_SCAN_WP_MATCHING" and userfaultfd's asynchronous mode find
 * what was written to since the last scan.
 */
static void scan_finds_what_was_written(struct kunit *test)
{
	struct ground ground;
	struct procfs *proc;
	bool writable;

	DMIRROR_REQUIRES_CONFIG(test, HAVE_ARCH_USERFAULTFD_WP);
	ground = ground_of_case(test);
	proc = procfs_get(test);
	writable = first_scan(test, proc, &ground);
	if (ground.kind->large && writable && all_is_written(proc, &ground))
		DMIRROR_KNOWN_DEFECT(test,
				     "PAGEMAP_SCAN does not protect a large private folio");
	if (!writable) {
		expect_one_written(test, proc, &ground);
		return;
	}
	/* The defect that scan_takes_the_right_to_write() is about. */
	kunit_warning_suppress(test) {
		expect_one_written(test, proc, &ground);
	}
}

/* The entry must be read-only itself: hmm_range_fault() looks at no more. */
static void scan_takes_the_right_to_write(struct kunit *test)
{
	struct ground ground;
	struct procfs *proc;
	bool writable;

	DMIRROR_REQUIRES_CONFIG(test, HAVE_ARCH_USERFAULTFD_WP);
	ground = ground_of_case(test);
	proc = procfs_get(test);
	writable = first_scan(test, proc, &ground);
	if (writable) {
		kunit_warning_suppress(test) {
			ground_read(test, &ground, 0, ground.nr, 1,
				    "by the CPU");
		}
	} else {
		ground_read(test, &ground, 0, ground.nr, 1, "by the CPU");
	}
	if (writable && all_is_written(proc, &ground))
		DMIRROR_KNOWN_DEFECT(test,
				     "PAGEMAP_SCAN leaves private pages writable");
	KUNIT_EXPECT_FALSE_MSG(test, writable,
			       "0x%lx after the first scan: an entry that can be written to",
			       ground.addr);
	expect_scan(test, proc, &ground, 0, "the CPU has read");
}

/* The same for a device that writes. */
static void scan_finds_what_a_device_writes(struct kunit *test)
{
	struct page_region regions[PROCFS_REGIONS] = {};
	struct ground ground;
	struct procfs *proc;
	bool writable, told;

	DMIRROR_REQUIRES_CONFIG(test, HAVE_ARCH_USERFAULTFD_WP);
	ground = ground_of_case(test);
	proc = procfs_get(test);
	writable = first_scan(test, proc, &ground);
	if (ground.kind->large && writable && all_is_written(proc, &ground))
		DMIRROR_KNOWN_DEFECT(test,
				     "PAGEMAP_SCAN does not protect a large private folio");
	told = device_can_write(test, &ground);
	if (writable && told && !scan(proc, &ground, 0, regions))
		DMIRROR_KNOWN_DEFECT(test,
				     "PAGEMAP_SCAN leaves private pages writable");
	if (!writable && !told && !scan(proc, &ground, 0, regions))
		DMIRROR_KNOWN_DEFECT(test, "hmm_range_fault() for writing");
	KUNIT_EXPECT_TRUE_MSG(test, told,
			      "page 0 at 0x%lx: a device that wants to write is not told that it can",
			      ground.addr);
	expect_scan(test, proc, &ground, 1, "a device can write to page 0");
	ground_read(test, &ground, 0, ground.nr, 1, "by the CPU");
}

static struct kunit_case device_memory_proc_cases[] = {
	KUNIT_CASE_PARAM(pagemap_tells_where_pages_are, ground_every_kind),
	KUNIT_CASE_PARAM(smaps_counts_pages_as_their_owners, ground_every_kind),
	KUNIT_CASE_PARAM(clear_refs_leaves_pages_alone, ground_every_kind),
	KUNIT_CASE_PARAM(clear_refs_clears_soft_dirty, ground_every_kind),
	KUNIT_CASE_PARAM(write_after_clear_refs_is_soft_dirty,
			 ground_every_kind),
	KUNIT_CASE_PARAM(device_write_after_clear_refs_is_soft_dirty,
			 ground_every_kind),
	KUNIT_CASE_PARAM(write_after_an_eviction_is_soft_dirty,
			 ground_common_kinds),
	KUNIT_CASE_PARAM(filled_hole_is_soft_dirty, hole_gen_params),
	KUNIT_CASE_PARAM(moved_pages_are_soft_dirty, size_gen_params),
	KUNIT_CASE_PARAM(scan_finds_what_was_written, ground_private_kinds),
	KUNIT_CASE_PARAM(scan_takes_the_right_to_write, ground_private_kinds),
	KUNIT_CASE_PARAM(scan_finds_what_a_device_writes, ground_private_kinds),
	{}
};

DMIRROR_SUITE_AS(device_memory_proc, dmirror_case_init_mm,
		 device_memory_proc_cases);
