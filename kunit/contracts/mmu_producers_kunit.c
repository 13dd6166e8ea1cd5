// SPDX-License-Identifier: GPL-2.0
/*
 * Who tells MMU notifiers, continued: those that take more than a mapping and a
 * call (mmu_events_kunit.c), because a thread of core mm's own does it, or it is
 * done to a file, or with pages that few drivers map.
 */
#include <kunit/resource.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/mman.h>
#include <linux/uaccess.h>
#include <linux/uprobes.h>

#include "../user.h"
#include "core_mm.h"
#include "hmm_special.h"
#include "notify.h"
#include "private_fs.h"

#define RW (PROT_READ | PROT_WRITE)

/* Pages of the mapping, of which the middle ones have the same contents. */
#define NR 4UL
#define TWIN 1UL

/* What is told of the twins: each loses write access, and one is replaced. */
#define TWIN_EVENTS 3

/**
 * struct merge - two pages that ksmd makes one
 * @first: address of the first one
 * @told: number of invalidations of either
 * @done: there were TWIN_EVENTS
 */
struct merge {
	unsigned long first;
	unsigned int told;
	struct completion done;
};

/* Called by ksmd, which is the only one to change the pages. */
static void count_twins(struct watch *watch)
{
	struct merge *merge = watch->arg;
	struct notify_log *log = watch->log;
	const struct notify_note *note;

	note = &log->note[min(log->nr, NOTIFY_NOTES) - 1];
	if (note->start >= merge->first + 2 * PAGE_SIZE ||
	    note->end <= merge->first)
		return;
	if (++merge->told == TWIN_EVENTS)
		complete(&merge->done);
}

/* ksmd looks for twins until told to undo it all. */
static void ksm_stop(void *data)
{
	private_fs_write(data, "kernel/mm/ksm/run", "2");
	private_fs_write(data, "kernel/mm/ksm/run", "0");
}

/* All that was told of the twins: which of them is replaced is ksmd's choice. */
static void expect_twin_events(struct kunit *test, const struct merge *merge,
			       struct notify_log *log)
{
	const unsigned long end = merge->first + 2 * PAGE_SIZE;
	unsigned int i, of_first = 0, of_all = 0;

	for (i = 0; i < min(log->nr, NOTIFY_NOTES); i++) {
		const struct notify_note *note = &log->note[i];

		if (note->call != NOTIFY_START || note->start >= end ||
		    note->end <= merge->first)
			continue;
		of_all++;
		of_first += note->start == merge->first;
		if (note->event != MMU_NOTIFY_CLEAR || note->owner ||
		    !note->blockable || note->end != note->start + PAGE_SIZE)
			KUNIT_FAIL(test, "event %u at 0x%lx: want one CLEARed page; the log: %s",
				   of_all, merge->first,
				   notify_log_text(test, log));
	}
	KUNIT_EXPECT_EQ_MSG(test, of_all, TWIN_EVENTS, "events; the log: %s",
			    notify_log_text(test, log));
	KUNIT_EXPECT_TRUE_MSG(test, of_first == 1 || of_first == 2,
			      "%u of the events are about the page at 0x%lx; the log: %s",
			      of_first, merge->first,
			      notify_log_text(test, log));
}

static void expect_merged(struct kunit *test, unsigned long first)
{
	unsigned long one = core_walk(first);
	unsigned long other = core_walk(first + PAGE_SIZE);

	KUNIT_EXPECT_NE(test, one, 0UL);
	KUNIT_EXPECT_EQ_MSG(test, one, other,
			    "page frames of the twins at 0x%lx: 0x%lx and 0x%lx",
			    first, one, other);
}

static void fill_twins(struct kunit *test, unsigned long first)
{
	unsigned long addr;

	for (addr = first; addr < first + 2 * PAGE_SIZE; addr += sizeof(u64))
		KUNIT_ASSERT_EQ(test, put_user(TWIN_EVENTS,
					       (u64 __user *)addr), 0);
}

/* mm/ksm.c: write_protect_page() for both, replace_page() for one of them. */
static void merged_pages_are_told(struct kunit *test)
{
	struct merge *merge = kunit_kzalloc(test, sizeof(*merge), GFP_KERNEL);
	struct notify_log *log = notify_log_get(test);
	struct vfsmount *sys;
	struct watch *watch;
	unsigned long addr;

	KUNIT_ASSERT_NOT_NULL(test, merge);
	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, KSM);
	sys = private_fs_get(test, "sysfs");
	addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, addr, NR, 1);
	merge->first = addr + TWIN * PAGE_SIZE;
	fill_twins(test, merge->first);
	init_completion(&merge->done);
	user_lru_drain();
	watch = watch_get(test, log, &watch_ops);
	watch->arg = merge;
	watch->on_start = count_twins;
	DMIRROR_ASSERT_OK(test, user_madvise(addr, NR << PAGE_SHIFT,
					     MADV_MERGEABLE), "MADV_MERGEABLE");

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, ksm_stop, sys),
			0);
	DMIRROR_ASSERT_OK(test, private_fs_write(sys, "kernel/mm/ksm/run", "1"),
			  "ksm/run");
	wait_for_completion_timeout(&merge->done, 10 * HZ);
	/* Until it has done what it told: it reads the mm meanwhile. */
	mmap_write_lock(current->mm);
	watch->on_start = NULL;
	mmap_write_unlock(current->mm);

	expect_twin_events(test, merge, log);
	expect_merged(test, merge->first);
	kunit_release_action(test, ksm_stop, sys);
	notify_expect_pairs(test, log, watch, "merged and parted");
}

/* One byte that does nothing, and can be replaced by a breakpoint. */
#define NOP 0x90
#define BREAKPOINT 0xcc

static void close_text(void *data)
{
	private_fs_close(data);
}

/* A page of a program, mapped as a process would that executes it. */
static struct file *map_text(struct kunit *test, unsigned long *addr)
{
	struct vfsmount *mnt = private_fs_get(test, "ramfs");
	struct file *file = private_fs_open(mnt, "text", O_RDWR | O_CREAT);
	u8 *text = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	loff_t pos = 0;

	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(file), "file");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, close_text, file),
			0);
	KUNIT_ASSERT_NOT_NULL(test, text);
	memset(text, NOP, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, kernel_write(file, text, PAGE_SIZE, &pos),
			(ssize_t)PAGE_SIZE);
	*addr = vm_mmap(file, 0, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE,
			0);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(*addr), "mmap: got %pe",
			       (void *)*addr);

	return file;
}

static void expect_byte(struct kunit *test, unsigned long addr, u8 want,
			const char *step)
{
	u8 got = 0;

	KUNIT_EXPECT_EQ(test, get_user(got, (u8 __user *)addr), 0);
	KUNIT_EXPECT_EQ_MSG(test, got, want,
			    "byte at 0x%lx %s: got 0x%02x wanted 0x%02x", addr,
			    step, got, want);
}

static int never_hit(struct uprobe_consumer *self, struct pt_regs *regs,
		     __u64 *data)
{
	return 0;
}

/*
 * kernel/events/uprobes.c: a process gets a page of its own, with a breakpoint,
 * in place of the file's, and the file's page again when that goes.
 */
static void breakpoint_is_told(struct kunit *test)
{
	struct uprobe_consumer consumer = { .handler = never_hit };
	struct notify_log *log = notify_log_get(test);
	struct notify_want want = { .event = MMU_NOTIFY_CLEAR };
	struct notify_wants wants = { .want = &want, .nr = 1 };
	struct uprobe *uprobe;
	struct watch *watch;
	unsigned long addr;
	struct file *file;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, X86_64);
	DMIRROR_REQUIRES_CONFIG(test, UPROBES);
	file = map_text(test, &addr);
	expect_byte(test, addr, NOP, "of the file");
	wants.start = addr;
	wants.end = addr + PAGE_SIZE;
	want.start = wants.start;
	want.end = wants.end;
	watch = watch_get(test, log, &watch_ops);

	uprobe = uprobe_register(file_inode(file), 0, 0, &consumer);
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(uprobe), "uprobe_register");
	expect_byte(test, addr, BREAKPOINT, "with a breakpoint");
	notify_expect_told(test, log, NOTIFY_START, &wants, "breakpoint");
	notify_log_clear(log);

	uprobe_unregister_nosync(uprobe, &consumer);
	uprobe_unregister_sync();
	expect_byte(test, addr, NOP, "after the breakpoint");
	notify_expect_told(test, log, NOTIFY_START, &wants,
			   "end of the breakpoint");
	notify_expect_pairs(test, log, watch, "breakpoint");
}

/* mm/huge_memory.c: a part of a PUD goes, and the PUD with it. */
static void part_of_a_pud_is_told(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct notify_want want[] = {
		{ .event = MMU_NOTIFY_CLEAR },
		{ .event = MMU_NOTIFY_CLEAR },
	};
	struct notify_wants wants = { .want = want, .nr = ARRAY_SIZE(want) };
	struct hmm_special *special;
	struct watch *watch;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, TRANSPARENT_HUGEPAGE);
	special = hmm_special_get_huge(test, PUD_SHIFT - PAGE_SHIFT, PROT_READ);
	KUNIT_ASSERT_EQ(test, core_fault_once(special->addr, false) &
			VM_FAULT_ERROR, 0U);
	KUNIT_ASSERT_EQ_MSG(test, special->faults, 1U, "huge faults");
	wants.start = special->addr;
	wants.end = special->addr + PUD_SIZE;
	want[0].start = wants.start;
	want[0].end = wants.start + PMD_SIZE;
	want[1].start = wants.start;
	want[1].end = wants.end;
	watch = watch_get(test, log, &watch_ops);

	unmap_mapping_range(special->file->f_mapping, 0, PMD_SIZE, 1);
	notify_expect_told(test, log, NOTIFY_START, &wants, "zap of a part");
	notify_expect_pairs(test, log, watch, "zap of a part");
}

static struct kunit_case mmu_notifier_producers_cases[] = {
	KUNIT_CASE(merged_pages_are_told),
	KUNIT_CASE(breakpoint_is_told),
	KUNIT_CASE(part_of_a_pud_is_told),
	{}
};

DMIRROR_SUITE_AS(mmu_notifier_producers, dmirror_case_init_mm,
		 mmu_notifier_producers_cases);
