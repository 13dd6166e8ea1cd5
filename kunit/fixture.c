// SPDX-License-Identifier: GPL-2.0
#include "fixture.h"

#include <kunit/resource.h>
#include <kunit/visibility.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/random.h>
#include <linux/range.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/stringhash.h>
#include <linux/uaccess.h>

#include "user.h"

static unsigned long seed;
module_param(seed, ulong, 0644);
MODULE_PARM_DESC(seed, "seed of the random cases, 0 (default) for a new one");

static unsigned long coherent[2];
static int nr_coherent;
module_param_array(coherent, ulong, &nr_coherent, 0444);
MODULE_PARM_DESC(coherent,
		 "address and size of memory for coherent devices, set aside with memmap=");

/* Bits of TAINT_*, from the one interface that modules have too. */
static unsigned long taint_mask(void)
{
	unsigned long mask = 0;
	unsigned int flag;

	for (flag = 0; flag < TAINT_FLAGS_COUNT; flag++)
		if (test_taint(flag))
			mask |= BIT(flag);

	return mask;
}

const char *dmirror_errno(int err)
{
	static const struct {
		int err;
		const char *name;
	} names[] = {
		{ 0, "0" },
		{ -EPERM, "-EPERM" },
		{ -ENOENT, "-ENOENT" },
		{ -ESRCH, "-ESRCH" },
		{ -EINTR, "-EINTR" },
		{ -EIO, "-EIO" },
		{ -EAGAIN, "-EAGAIN" },
		{ -ENOMEM, "-ENOMEM" },
		{ -EFAULT, "-EFAULT" },
		{ -EBUSY, "-EBUSY" },
		{ -ENODEV, "-ENODEV" },
		{ -ENXIO, "-ENXIO" },
		{ -EINVAL, "-EINVAL" },
		{ -ENOSPC, "-ENOSPC" },
		{ -ERANGE, "-ERANGE" },
		{ -ENODATA, "-ENODATA" },
		{ -EOPNOTSUPP, "-EOPNOTSUPP" },
		{ -EREMOTEIO, "-EREMOTEIO" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].err == err)
			return names[i].name;

	return "?";
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_errno);

int dmirror_suite_init(struct kunit_suite *suite)
{
	if (!seed)
		seed = get_random_u32() | 1;
	kunit_log(KERN_INFO, suite, KUNIT_SUBTEST_INDENT
		  "# dmirror: seed %lu (dmirror_fixture.seed=%lu repeats it)",
		  seed, seed);

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_suite_init);

unsigned long dmirror_seed(void)
{
	return seed;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_seed);

void dmirror_suite_exit(struct kunit_suite *suite)
{
	kunit_log(KERN_INFO, suite, KUNIT_SUBTEST_INDENT
		  "# dmirror: taint 0x%lx", taint_mask());
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_suite_exit);

void dmirror_expect_params(struct kunit *test,
			   const void *(*gen)(struct kunit *test,
					      const void *prev, char *desc),
			   unsigned int want, const char *what)
{
	char desc[KUNIT_PARAM_DESC_SIZE];
	const void *param = NULL;
	unsigned int nr = 0;

	/* One more than wanted is enough of a generator that never ends. */
	while (nr <= want && (param = gen(test, param, desc)))
		nr++;
	KUNIT_EXPECT_EQ_MSG(test, nr, want, "parameters: %s, the last is %s",
			    what, nr ? desc : "none");
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_expect_params);

struct dmirror_fixture *dmirror_fixture(struct kunit *test)
{
	return test->priv;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_fixture);

static void expect_no_new_taint(void *data)
{
	struct kunit *test = data;
	unsigned long new = taint_mask() & ~dmirror_fixture(test)->taint;

	KUNIT_EXPECT_EQ_MSG(test, new, 0UL,
			    "the case tainted the kernel: new bits 0x%lx, see the console above",
			    new);
}

int dmirror_case_init(struct kunit *test)
{
	struct dmirror_fixture *fixture;

	fixture = kunit_kzalloc(test, sizeof(*fixture), GFP_KERNEL);
	if (!fixture)
		return -ENOMEM;

	fixture->taint = taint_mask();
	prandom_seed_state(&fixture->rnd,
			   seed ^ hashlen_string(NULL, test->name));
	test->priv = fixture;

	return kunit_add_action_or_reset(test, expect_no_new_taint, test);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_case_init);

/* More than a machine that is busy with something else takes. */
#define WAIT_TICKS (10 * HZ)

bool dmirror_wait_for(bool (*holds)(void *arg), void *arg)
{
	unsigned int ticks;

	for (ticks = 0; ticks < WAIT_TICKS; ticks++) {
		if (holds(arg))
			return true;
		schedule_timeout_uninterruptible(1);
	}

	return false;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_wait_for);

static bool has_one_user(void *data)
{
	struct mm_struct *mm = data;

	return atomic_read(&mm->mm_users) == 1;
}

/*
 * The dying thread wakes KUnit from mm_release(), shortly before its own
 * mmput(): see that through.
 */
static void last_mmput(void *data)
{
	struct kunit *test = data;
	struct mm_struct *mm = dmirror_fixture(test)->mm;

	if (!mm)
		return;
	KUNIT_EXPECT_TRUE_MSG(test, dmirror_wait_for(has_one_user, mm),
			      "the case leaked references to its mm: got %d users wanted 1",
			      atomic_read(&mm->mm_users));
	mmput(mm);
}

/*
 * kthread_use_mm() takes a reference of the mm_struct, which kunit_attach_mm()
 * leaves to nobody: the thread dies with its mm, and exit_mm() puts a user
 * (Documentation/kernel-bugs.rst). As long as there are users it is one too
 * many, and without it core mm checks its counters when the mm is freed.
 */
static int attach_mm(void)
{
	int ret;

	/* Or an idle CPU that the thread has left could have a reference. */
	migrate_disable();
	ret = kunit_attach_mm();
	if (!ret && atomic_read(&current->mm->mm_count) > 1)
		mmdrop(current->mm);
	migrate_enable();

	return ret;
}

int dmirror_case_init_mm(struct kunit *test)
{
	struct dmirror_fixture *fixture;
	int ret;

	ret = dmirror_case_init(test);
	if (ret)
		return ret;
	ret = attach_mm();
	if (ret)
		return ret;

	fixture = dmirror_fixture(test);
	fixture->mm = current->mm;
	mmget(fixture->mm);
	/* Or khugepaged invalidates what a case has just faulted in. */
	mm_flags_set(MMF_DISABLE_THP_EXCEPT_ADVISED, fixture->mm);

	return kunit_add_action_or_reset(test, last_mmput, test);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_case_init_mm);

void dmirror_killable(struct kunit *test)
{
	allow_kernel_signal(SIGKILL);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_killable);

void dmirror_unkill(struct kunit *test)
{
	flush_signals(current);
	disallow_signal(SIGKILL);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_unkill);

void dmirror_user_exit(struct kunit *test)
{
	struct dmirror_fixture *fixture = dmirror_fixture(test);
	struct mm_struct *mm = fixture->mm;

	/* Of the mm_struct, which attach_mm() has dropped. */
	mmgrab(mm);
	/* The user that exit_mm() would put, then the fixture's. */
	fixture->mm = NULL;
	kthread_unuse_mm(mm);
	mmput(mm);
	mmput(mm);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_exit);

unsigned long dmirror_user_map(struct kunit *test, unsigned long npages,
			       unsigned long prot)
{
	unsigned long addr = vm_mmap(NULL, 0, npages << PAGE_SHIFT, prot,
				     MAP_PRIVATE | MAP_ANONYMOUS, 0);

	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(addr),
			       "mmap of %lu pages: got %pe", npages,
			       (void *)addr);
	KUNIT_ASSERT_NE(test, addr, 0UL);

	return addr;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_map);

unsigned long dmirror_user_map_shared(struct kunit *test, unsigned long npages)
{
	unsigned long addr = vm_mmap(NULL, 0, npages << PAGE_SHIFT,
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, 0);

	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(addr),
			       "mmap of %lu shared pages: got %pe", npages,
			       (void *)addr);

	return addr;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_map_shared);

void dmirror_user_map_over(struct kunit *test, unsigned long addr,
			   unsigned long npages, unsigned long prot)
{
	unsigned long got = vm_mmap(NULL, addr, npages << PAGE_SHIFT, prot,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);

	KUNIT_ASSERT_EQ_MSG(test, got, addr,
			    "mmap of %lu pages at 0x%lx: got %pe", npages, addr,
			    (void *)got);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_map_over);

void dmirror_user_unmap(struct kunit *test, unsigned long addr,
			unsigned long npages)
{
	DMIRROR_ASSERT_OK(test, vm_munmap(addr, npages << PAGE_SHIFT),
			  "munmap");
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_unmap);

void dmirror_user_protect(struct kunit *test, unsigned long addr,
			  unsigned long npages, unsigned long prot)
{
	DMIRROR_ASSERT_OK(test, user_mprotect(addr, npages << PAGE_SHIFT, prot),
			  "mprotect");
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_protect);

void dmirror_user_dontneed(struct kunit *test, unsigned long addr,
			   unsigned long npages)
{
	DMIRROR_ASSERT_OK(test, user_madvise(addr, npages << PAGE_SHIFT,
					     MADV_DONTNEED),
			  "madvise(MADV_DONTNEED)");
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_dontneed);

void dmirror_user_touch(struct kunit *test, unsigned long addr,
			unsigned long npages)
{
	unsigned long i;
	u8 byte;

	for (i = 0; i < npages; i++) {
		void __user *at = (void __user *)(addr + (i << PAGE_SHIFT));

		KUNIT_ASSERT_EQ_MSG(test, copy_from_user(&byte, at, 1), 0UL,
				    "page %lu of [0x%lx,0x%lx): the CPU cannot read it",
				    i, addr, addr + (npages << PAGE_SHIFT));
	}
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_touch);

static u64 pattern_word(u64 salt, unsigned long page, unsigned int word)
{
	if (!salt)
		return 0;

	return salt * 0x9e3779b97f4a7c15ULL + ((u64)page << 32) + word;
}

#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(u64))

static void page_fill(u64 *words, unsigned long page, u64 salt)
{
	unsigned int i;

	for (i = 0; i < WORDS_PER_PAGE; i++)
		words[i] = pattern_word(salt, page, i);
}

/* Expects one page to be right; false ends a loop at the first wrong one. */
static bool page_check(struct kunit *test, const u64 *words, unsigned long addr,
		       unsigned long page, unsigned long npages, u64 salt,
		       const char *step)
{
	unsigned int i;

	for (i = 0; i < WORDS_PER_PAGE; i++) {
		u64 want = pattern_word(salt, page, i);

		if (words[i] == want)
			continue;
		KUNIT_FAIL(test,
			   "page %lu of [0x%lx,0x%lx) at 0x%lx %s: word %u got 0x%llx wanted 0x%llx",
			   page, addr, addr + (npages << PAGE_SHIFT),
			   addr + (page << PAGE_SHIFT), step, i, words[i],
			   want);
		return false;
	}

	return true;
}

void dmirror_user_fill(struct kunit *test, unsigned long addr,
		       unsigned long npages, u64 salt)
{
	u64 *words = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	unsigned long i;

	KUNIT_ASSERT_NOT_NULL(test, words);
	for (i = 0; i < npages; i++) {
		void __user *at = (void __user *)(addr + (i << PAGE_SHIFT));

		page_fill(words, i, salt);
		KUNIT_ASSERT_EQ_MSG(test, copy_to_user(at, words, PAGE_SIZE),
				    0UL,
				    "page %lu of [0x%lx,0x%lx): the CPU cannot write it",
				    i, addr, addr + (npages << PAGE_SHIFT));
	}
	kunit_kfree(test, words);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_fill);

void dmirror_user_check(struct kunit *test, unsigned long addr,
			unsigned long npages, u64 salt, const char *step)
{
	u64 *words = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	unsigned long i;

	KUNIT_ASSERT_NOT_NULL(test, words);
	for (i = 0; i < npages; i++) {
		void __user *at = (void __user *)(addr + (i << PAGE_SHIFT));

		KUNIT_ASSERT_EQ_MSG(test, copy_from_user(words, at, PAGE_SIZE),
				    0UL,
				    "page %lu of [0x%lx,0x%lx) %s: the CPU cannot read it",
				    i, addr, addr + (npages << PAGE_SHIFT),
				    step);
		if (!page_check(test, words, addr, i, npages, salt, step))
			break;
	}
	kunit_kfree(test, words);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_user_check);

static void kvfree_action(void *data)
{
	kvfree(data);
}

void *dmirror_buf(struct kunit *test, unsigned long npages)
{
	void *buf = kvmalloc(npages << PAGE_SHIFT, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, kvfree_action,
							buf), 0);
	memset(buf, 0xa5, npages << PAGE_SHIFT);

	return buf;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_buf);

void dmirror_buf_fill(void *buf, unsigned long npages, u64 salt)
{
	unsigned long i;

	for (i = 0; i < npages; i++)
		page_fill(buf + (i << PAGE_SHIFT), i, salt);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_buf_fill);

void dmirror_buf_check(struct kunit *test, const void *buf, unsigned long addr,
		       unsigned long npages, u64 salt, const char *step)
{
	unsigned long i;

	for (i = 0; i < npages; i++)
		if (!page_check(test, buf + (i << PAGE_SHIFT), addr, i, npages,
				salt, step))
			return;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_buf_check);

struct range dmirror_coherent_region(struct kunit *test, unsigned int part)
{
	unsigned long half = coherent[1] / 2;
	unsigned long start = coherent[0] + part * half;

	if (nr_coherent != ARRAY_SIZE(coherent))
		kunit_skip(test, "needs memmap= and dmirror_fixture.coherent=");

	return (struct range){ start, start + half - 1 };
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_coherent_region);

static int holder_thread(void *data)
{
	struct dmirror_holder *holder = data;

	holder->lock(holder->arg);
	complete(&holder->held);
	wait_for_completion(&holder->release);
	holder->unlock(holder->arg);

	return 0;
}

void dmirror_hold(struct kunit *test, struct dmirror_holder *holder)
{
	init_completion(&holder->held);
	init_completion(&holder->release);
	holder->task = kthread_create(holder_thread, holder, "dmirror_holder");
	KUNIT_ASSERT_FALSE(test, IS_ERR(holder->task));
	get_task_struct(holder->task);
	wake_up_process(holder->task);
	wait_for_completion(&holder->held);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_hold);

void dmirror_unhold(struct dmirror_holder *holder)
{
	complete(&holder->release);
	kthread_stop_put(holder->task);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_unhold);

MODULE_DESCRIPTION("What KUnit suites for heterogeneous memory stand on");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
