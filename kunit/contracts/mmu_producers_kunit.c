// SPDX-License-Identifier: GPL-2.0
/*
 * Who tells MMU notifiers, continued: those that take more than a mapping and a
 * call (mmu_events_kunit.c), because a thread of core mm's own does it, or it
 * is done to a file, or with pages that few drivers map.
 */
#include <kunit/resource.h>
#include <linux/fs.h>
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

/* What the twins contain. */
#define TWIN_CONTENTS 0x7175696e7473ULL

/* ksmd looks for twins until told to undo it all. */
static void ksm_stop(void *data)
{
	private_fs_write(data, "kernel/mm/ksm/run", "2");
	private_fs_write(data, "kernel/mm/ksm/run", "0");
}

/*
 * All that was told of the twins: each loses write access, and then one of
 * them, which is ksmd's choice, is replaced. It may have to try either again.
 */
static void expect_twin_events(struct kunit *test, unsigned long first,
			       struct notify_log *log)
{
	unsigned int i, told[2] = {};

	for (i = 0; i < min(log->nr, NOTIFY_NOTES); i++) {
		const struct notify_note *note = &log->note[i];

		if (note->call != NOTIFY_START || note->end <= first ||
		    note->start >= first + 2 * PAGE_SIZE)
			continue;
		told[note->start > first]++;
		if (note->event != MMU_NOTIFY_CLEAR || note->owner ||
		    !note->blockable || note->end != note->start + PAGE_SIZE)
			KUNIT_FAIL(test, "event %u at 0x%lx: want one CLEARed page; the log: %s",
				   i, note->start, notify_log_text(test, log));
	}
	KUNIT_EXPECT_TRUE_MSG(test, told[0] && told[1] && told[0] + told[1] > 2,
			      "twins at 0x%lx: got %u and %u events wanted one each and a third; the log: %s",
			      first, told[0], told[1],
			      notify_log_text(test, log));
}

static bool are_one(void *data)
{
	unsigned long first = *(unsigned long *)data, pfn = core_walk(first);

	return pfn && pfn == core_walk(first + PAGE_SIZE);
}

static void fill_twins(struct kunit *test, unsigned long first)
{
	unsigned long addr;

	for (addr = first; addr < first + 2 * PAGE_SIZE; addr += sizeof(u64))
		KUNIT_ASSERT_EQ(test, put_user(TWIN_CONTENTS,
					       (u64 __user *)addr), 0);
}

/* mm/ksm.c: write_protect_page() for both, replace_page() for one of them. */
static void merged_pages_are_told(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned long addr, first;
	struct vfsmount *sys;
	struct watch *watch;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, KSM);
	sys = private_fs_get(test, "sysfs");
	addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, addr, NR, 1);
	first = addr + TWIN * PAGE_SIZE;
	fill_twins(test, first);
	user_lru_drain();
	watch = watch_get(test, log, &watch_ops);
	DMIRROR_ASSERT_OK(test, user_madvise(addr, NR << PAGE_SHIFT,
					     MADV_MERGEABLE), "MADV_MERGEABLE");

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, ksm_stop, sys),
			0);
	DMIRROR_ASSERT_OK(test, private_fs_write(sys, "kernel/mm/ksm/run", "1"),
			  "ksm/run");
	KUNIT_EXPECT_TRUE_MSG(test, dmirror_wait_for(are_one, &first),
			      "page frames of the twins at 0x%lx after 10 s: got 0x%lx and 0x%lx wanted the same",
			      first, core_walk(first),
			      core_walk(first + PAGE_SIZE));
	/* Until it has done what it told: it reads the mm meanwhile. */
	mmap_write_lock(current->mm);
	mmap_write_unlock(current->mm);
	expect_twin_events(test, first, log);
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

/**
 * struct breakpoint - one at the beginning of a file
 * @consumer: who would be told of a hit
 * @uprobe: for core mm
 */
struct breakpoint {
	struct uprobe_consumer consumer;
	struct uprobe *uprobe;
};

static void breakpoint_clear(void *data)
{
	struct breakpoint *breakpoint = data;

	uprobe_unregister_nosync(breakpoint->uprobe, &breakpoint->consumer);
	uprobe_unregister_sync();
}

static struct breakpoint *breakpoint_set(struct kunit *test, struct file *file)
{
	struct breakpoint *breakpoint;
	struct uprobe *uprobe;

	breakpoint = kunit_kzalloc(test, sizeof(*breakpoint), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, breakpoint);
	breakpoint->consumer.handler = never_hit;
	uprobe = uprobe_register(file_inode(file), 0, 0, &breakpoint->consumer);
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(uprobe), "uprobe_register");
	breakpoint->uprobe = uprobe;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, breakpoint_clear,
							breakpoint), 0);

	return breakpoint;
}

/*
 * kernel/events/uprobes.c: a process gets a page of its own, with a breakpoint,
 * in place of the file's, and the file's page again when that goes.
 */
static void breakpoint_is_told(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct notify_want want = { .event = MMU_NOTIFY_CLEAR };
	struct notify_wants wants = { .want = &want, .nr = 1 };
	struct breakpoint *breakpoint;
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

	breakpoint = breakpoint_set(test, file);
	expect_byte(test, addr, BREAKPOINT, "with a breakpoint");
	notify_expect_told(test, log, NOTIFY_START, &wants, "breakpoint");
	notify_log_clear(log);

	kunit_release_action(test, breakpoint_clear, breakpoint);
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
