// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that run free on one mm and on two: loads and stores of CPU and
 * device, migration both ways, eviction, mprotect(), exclusive access, fork,
 * all at once, for a number of operations and not for a time. What has to hold
 * whatever the order: a page has one writer, and whoever looks at it finds what
 * that writer stored last or is just storing.
 */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "../drivers/dmirror/exclusive.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
#include "bench.h"
#include "other.h"
#include "private_devmem.h"
#include "user.h"

static unsigned int stress_ops;
module_param(stress_ops, uint, 0644);
MODULE_PARM_DESC(stress_ops,
		 "operations of each thread of a stress case, 0 (default) for a few");

/* One CPU switches where a thread waits only, so that little is gained. */
#define FEW_OPS (IS_ENABLED(CONFIG_SMP) ? 100U : 40U)
#define MANY_OPS (IS_ENABLED(CONFIG_SMP) ? 3000U : 400U)

#define RW (PROT_READ | PROT_WRITE)

/* Threads of each mm; a page's writer is the one that its number says. */
#define THREADS 3U
#define PAGES 12U
#define MMS 2U
#define DEVICES 2U

/**
 * struct writes - what a page may hold
 * @low: the last store that is complete
 * @high: the last one that has begun
 */
struct writes {
	u32 low;
	u32 high;
};

/**
 * struct process - one mm
 * @mm: the mm
 * @addr: PAGES pages
 * @mirror: by device
 * @writes: by page
 */
struct process {
	struct mm_struct *mm;
	unsigned long addr;
	struct dmirror_mirror *mirror[DEVICES];
	struct writes writes[PAGES];
};

/**
 * struct runner - a thread
 * @process: on whose mm
 * @devmem: the devices' memory
 * @rnd: its random numbers
 * @id: which pages it writes
 * @ops: operations that are left
 * @data: a page
 * @task: the thread
 * @done: it is at its end
 * @wrong: what it met first, NULL if all was well
 * @page: where
 * @got: a word of it
 * @low: and what that might have been
 * @high: up to here
 * @error: errno that must not be
 * @no_forks: how often fork() said -ENOMEM
 */
struct runner {
	struct process *process;
	struct dmirror_devmem **devmem;
	struct rnd_state rnd;
	unsigned int id;
	unsigned int ops;
	u64 *data;
	struct task_struct *task;
	struct completion done;
	const char *wrong;
	unsigned int page;
	u64 got;
	u32 low;
	u32 high;
	int error;
	unsigned int no_forks;
};

#define WORDS (PAGE_SIZE / sizeof(u64))

static u64 stamp_of(unsigned int page, u32 write)
{
	return write ? (u64)write << 32 | (page + 1) : 0;
}

static void note(struct runner *runner, const char *wrong, unsigned int page,
		 u64 got, struct writes want)
{
	if (runner->wrong)
		return;
	runner->wrong = wrong;
	runner->page = page;
	runner->got = got;
	runner->low = want.low;
	runner->high = want.high;
}

static void note_error(struct runner *runner, const char *what, int error)
{
	if (!runner->wrong)
		runner->error = error;
	note(runner, what, 0, 0, (struct writes){ });
}

/* Every word has to be of one of the stores in @want. */
static void look(struct runner *runner, unsigned int page, struct writes want,
		 const char *wrong)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++) {
		u64 word = runner->data[i];
		u32 write = word >> 32;

		if (write >= want.low && write <= want.high &&
		    word == stamp_of(page, write))
			continue;
		note(runner, wrong, page, word, want);
		return;
	}
}

static unsigned int below(struct runner *runner, unsigned int limit)
{
	return prandom_u32_state(&runner->rnd) % limit;
}

static unsigned long address(const struct runner *runner, unsigned int page)
{
	return runner->process->addr + ((unsigned long)page << PAGE_SHIFT);
}

/* Its own page, or, to read, one of another thread as well. */
static unsigned int own_page(struct runner *runner)
{
	return below(runner, PAGES / THREADS) * THREADS + runner->id;
}

static struct dmirror_mirror *some_mirror(struct runner *runner)
{
	return runner->process->mirror[below(runner, DEVICES)];
}

static int device_access(struct runner *runner, unsigned int page, bool write)
{
	struct dmirror_mirror *mirror = some_mirror(runner);
	struct dmirror_access_result result;
	unsigned long addr = address(runner, page);

	if (write)
		return dmirror_access_write(mirror, addr, 1, runner->data, NULL,
					    &result);

	return dmirror_access_read(mirror, addr, 1, runner->data, NULL,
				   &result);
}

static int cpu_access(struct runner *runner, unsigned int page, bool write)
{
	void __user *at = (void __user *)address(runner, page);
	unsigned long left;
	u8 byte;

	/* arch/um takes one fault less than it should (kernel-bugs.rst). */
	if (write && copy_from_user(&byte, at, 1))
		return -EFAULT;
	left = write ? copy_to_user(at, runner->data, PAGE_SIZE) :
		       copy_from_user(runner->data, at, PAGE_SIZE);

	return left ? -EFAULT : 0;
}

static void announce(struct writes *writes)
{
	WRITE_ONCE(writes->high, writes->high + 1);
	/* Pairs with begun_stores(): the number is out before any word is. */
	smp_mb();
}

/* What a reader that begins now has to find at least. */
static u32 complete_stores(const struct writes *writes)
{
	/* Pairs with do_write(). */
	return smp_load_acquire(&writes->low);
}

/* What a reader that is at its end may have found at most. */
static u32 begun_stores(const struct writes *writes)
{
	/* Pairs with announce(): first the words were read. */
	smp_rmb();
	return READ_ONCE(writes->high);
}

/* A refused access is mprotect()'s doing; a store may then be half done. */
static void do_write(struct runner *runner)
{
	unsigned int page = own_page(runner);
	struct writes *writes = &runner->process->writes[page];
	bool device = below(runner, 2);
	int ret;

	memset64(runner->data, stamp_of(page, writes->high + 1), WORDS);
	announce(writes);
	ret = device ? device_access(runner, page, true) :
		       cpu_access(runner, page, true);
	if (!ret)
		/* Pairs with complete_stores(): first the words. */
		smp_store_release(&writes->low, writes->high);
	else if (ret != -EFAULT && ret != -EPERM && ret != -EBUSY)
		note_error(runner, "store", ret);
}

static void do_read_own(struct runner *runner)
{
	unsigned int page = own_page(runner);
	bool device = below(runner, 2);
	int ret;

	ret = device ? device_access(runner, page, false) :
		       cpu_access(runner, page, false);
	if (!ret)
		look(runner, page, runner->process->writes[page],
		     device ? "own page, read by the device" :
			      "own page, read by the CPU");
	else if (ret != -EBUSY)
		note_error(runner, "load", ret);
}

static void do_read_any(struct runner *runner)
{
	unsigned int page = below(runner, PAGES);
	struct writes *writes = &runner->process->writes[page];
	bool device = below(runner, 2);
	struct writes want;
	int ret;

	want.low = complete_stores(writes);
	ret = device ? device_access(runner, page, false) :
		       cpu_access(runner, page, false);
	want.high = begun_stores(writes);
	if (!ret)
		look(runner, page, want,
		     device ? "page, read by the device" :
			      "page, read by the CPU");
	else if (ret != -EBUSY)
		note_error(runner, "load", ret);
}

static void do_migrate(struct runner *runner)
{
	struct dmirror_mirror *mirror = some_mirror(runner);
	unsigned int page = below(runner, PAGES);
	unsigned long moved, nr = 1 + below(runner, PAGES - page);
	int ret;

	if (below(runner, 3))
		ret = dmirror_migrate_to_devmem(mirror, address(runner, page),
						nr, &moved);
	else
		ret = dmirror_migrate_to_ram(mirror, address(runner, page), nr,
					     &moved);
	if (ret)
		note_error(runner, "migration", ret);
}

static void do_evict(struct runner *runner)
{
	unsigned long left;
	int ret;

	ret = dmirror_migrate_evict(runner->devmem[below(runner, DEVICES)],
				    &left);
	if (ret && ret != -EBUSY)
		note_error(runner, "eviction", ret);
}

static void do_protect(struct runner *runner)
{
	unsigned int page = below(runner, PAGES);
	unsigned long nr = 1 + below(runner, PAGES - page);
	int ret;

	ret = user_mprotect(address(runner, page), nr << PAGE_SHIFT,
			    below(runner, 3) ? RW : PROT_READ);
	if (ret)
		note_error(runner, "mprotect", ret);
}

static void do_exclusive(struct runner *runner)
{
	unsigned long done;
	int ret;

	ret = dmirror_exclusive_make(some_mirror(runner),
				     address(runner, below(runner, PAGES)), 1,
				     &done);
	if (ret && ret != -EBUSY && ret != -EFAULT)
		note_error(runner, "exclusive access", ret);
}

/**
 * struct inheritance - what a child may see
 * @runner: whose child it is
 * @low: of each page
 * @high: of each page
 */
struct inheritance {
	struct runner *runner;
	u32 low[PAGES];
	u32 high[PAGES];
};

static int child_looks(void *data)
{
	struct inheritance *inheritance = data;
	struct runner *runner = inheritance->runner;
	unsigned int page;

	for (page = 0; page < PAGES; page++) {
		const struct writes want = {
			inheritance->low[page], inheritance->high[page],
		};

		if (cpu_access(runner, page, false))
			return -EFAULT;
		look(runner, page, want, "child's page");
	}

	return 0;
}

/* The child's pages stay as they were at the fork, whoever stores meanwhile. */
static void do_fork(struct runner *runner)
{
	struct inheritance inheritance = { .runner = runner };
	struct process *process = runner->process;
	struct user_child child;
	unsigned int i;
	int ret;

	for (i = 0; i < PAGES; i++)
		inheritance.low[i] = complete_stores(&process->writes[i]);
	ret = user_fork(&child);
	for (i = 0; i < PAGES; i++)
		inheritance.high[i] = begun_stores(&process->writes[i]);
	if (!ret) {
		ret = user_ask(&child, child_looks, &inheritance);
		user_reap(&child);
	}
	/* Judged later: check_forks(). */
	if (ret == -ENOMEM)
		runner->no_forks++;
	else if (ret)
		note_error(runner, "fork", ret);
}

static void do_one(struct runner *runner)
{
	static void (*const doers[])(struct runner *runner) = {
		do_write, do_write, do_write, do_write, do_write,
		do_read_own, do_read_own, do_read_own,
		do_read_any, do_read_any, do_read_any,
		do_migrate, do_migrate, do_migrate, do_migrate, do_migrate,
		do_exclusive, do_exclusive,
		do_protect, do_protect, do_evict,
	};

	/* Rare: nothing else takes as long. */
	if (!below(runner, 64))
		do_fork(runner);
	else
		doers[below(runner, ARRAY_SIZE(doers))](runner);
}

static int run(void *data)
{
	struct runner *runner = data;

	kthread_use_mm(runner->process->mm);
	while (runner->ops && !runner->wrong) {
		runner->ops--;
		do_one(runner);
		cond_resched();
	}
	kthread_unuse_mm(runner->process->mm);
	complete(&runner->done);

	return 0;
}

/**
 * struct field - where the threads run
 * @devmem: the devices' memory
 * @process: the case's mm, and a child's
 * @nr_mms: how many of them
 * @runner: the threads, of one mm after the other
 */
struct field {
	struct dmirror_devmem *devmem[DEVICES];
	struct process process[MMS];
	unsigned int nr_mms;
	struct runner runner[MMS * THREADS];
};

/**
 * struct load - how the threads run
 * @name: in the case's name
 * @coherent: memory of the devices
 * @nr_mms: on how many mms
 */
struct load {
	const char *name;
	bool coherent;
	unsigned int nr_mms;
};

static const struct load loads[] = {
	{ "private_one_mm", false, 1 },
	{ "private_two_mms", false, 2 },
	{ "coherent_one_mm", true, 1 },
	{ "coherent_two_mms", true, 2 },
};

KUNIT_ARRAY_PARAM_DESC(load, loads, name);

static void field_free(void *data)
{
	struct field *field = data;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(field->runner); i++)
		kfree(field->runner[i].data);
	kfree(field);
}

static struct field *field_get(struct kunit *test, const struct load *load)
{
	struct field *field;
	unsigned int i;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	field = kzalloc_obj(*field);
	KUNIT_ASSERT_NOT_NULL(test, field);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, field_free, field), 0);
	field->nr_mms = load->nr_mms;
	for (i = 0; i < DEVICES; i++)
		field->devmem[i] = load->coherent ?
			dmirror_coherent_get(test, i, PRIVATE_CHUNK, 1) :
			dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	for (i = 0; i < ARRAY_SIZE(field->runner); i++) {
		field->runner[i].data = kmalloc(PAGE_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, field->runner[i].data);
	}

	return field;
}

static int note_mm(void *data)
{
	struct mm_struct **mm = data;

	*mm = current->mm;
	mmget(*mm);
	return 0;
}

static int process_begin(struct field *field, struct process *process,
			 struct mm_struct *mm, unsigned long addr)
{
	unsigned int i;

	process->mm = mm;
	process->addr = addr;
	for (i = 0; i < DEVICES; i++) {
		struct dmirror_mirror *mirror;

		/* Both forms of an interval notifier. */
		mirror = dmirror_mirror_create(mm, field->devmem[i], i & 1);
		if (IS_ERR(mirror))
			return PTR_ERR(mirror);
		process->mirror[i] = mirror;
	}

	return 0;
}

static void process_end(struct process *process)
{
	unsigned int i;

	for (i = 0; i < DEVICES; i++)
		dmirror_mirror_destroy(process->mirror[i]);
	if (process->mm)
		mmput(process->mm);
}

static int runner_start(struct kunit *test, struct field *field,
			unsigned int nr, unsigned int ops)
{
	struct runner *runner = &field->runner[nr];
	struct task_struct *task;

	runner->process = &field->process[nr / THREADS];
	runner->devmem = field->devmem;
	runner->id = nr % THREADS;
	runner->ops = ops;
	prandom_seed_state(&runner->rnd,
			   prandom_u32_state(&dmirror_fixture(test)->rnd));
	init_completion(&runner->done);
	task = kthread_create(run, runner, "dmirror_run/%u", nr);
	if (IS_ERR(task))
		return PTR_ERR(task);
	runner->task = get_task_struct(task);

	return 0;
}

/* Nothing here checks: threads run. */
static int run_all(struct kunit *test, struct field *field, unsigned int ops)
{
	unsigned int i, nr = field->nr_mms * THREADS;
	int ret = 0;

	for (i = 0; i < nr && !ret; i++)
		ret = runner_start(test, field, i, ops);
	for (i = 0; i < nr; i++)
		if (field->runner[i].task && !ret)
			wake_up_process(field->runner[i].task);
	for (i = 0; i < nr; i++) {
		if (!field->runner[i].task)
			continue;
		if (!ret)
			wait_for_completion(&field->runner[i].done);
		kthread_stop_put(field->runner[i].task);
	}

	return ret;
}

static int compete(struct kunit *test, struct field *field, unsigned long addr,
		   unsigned int ops)
{
	struct mm_struct *mm = dmirror_fixture(test)->mm;
	struct user_child child;
	bool forked = false;
	unsigned int i;
	int ret = 0;

	mmget(mm);
	ret = process_begin(field, &field->process[0], mm, addr);
	if (!ret && field->nr_mms > 1) {
		ret = user_fork(&child);
		forked = !ret;
	}
	if (forked) {
		user_ask(&child, note_mm, &mm);
		ret = process_begin(field, &field->process[1], mm, addr);
	}
	if (!ret)
		ret = run_all(test, field, ops);
	for (i = 0; i < MMS; i++)
		process_end(&field->process[i]);
	if (forked)
		user_reap(&child);

	return ret;
}

static void check_runners(struct kunit *test, struct field *field)
{
	unsigned int i;

	for (i = 0; i < field->nr_mms * THREADS; i++) {
		const struct runner *runner = &field->runner[i];

		if (!runner->wrong)
			continue;
		KUNIT_FAIL(test,
			   "thread %u, %u operations before its end: %s at 0x%lx (page %u): got 0x%llx (store %u) wanted store %u to %u; error %s",
			   i, runner->ops, runner->wrong,
			   address(runner, runner->page), runner->page,
			   runner->got, (u32)(runner->got >> 32), runner->low,
			   runner->high, dmirror_errno(runner->error));
	}
}

static long touch(struct other *other)
{
	u8 byte;

	return copy_from_user(&byte, (void __user *)other->addr, 1) ? -EFAULT :
								     0;
}

static long take(struct other *other)
{
	unsigned long done;

	return dmirror_exclusive_make(other->data, other->addr, 1, &done);
}

/* The folio of one page that the CPU wrote to, off the lists that wait. */
static struct folio *folio_of(struct kunit *test, struct dmirror_mirror *mirror,
			      unsigned long addr)
{
	struct page *page;

	dmirror_cpu_pages(test, mirror, addr, &page, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);

	return page_folio(page);
}

/**
 * struct meeting - what was seen while the other thread waited
 * @other: the thread
 * @folio: what it waits for
 * @before: references of the folio before
 * @during: while the thread waited
 * @waited: it did
 */
struct meeting {
	struct other *other;
	struct folio *folio;
	int before;
	int during;
	bool waited;
};

/* Nothing but the folio's flag tells that somebody waits. */
static bool waits_or_is_done(void *data)
{
	struct meeting *meeting = data;

	meeting->waited = folio_test_waiters(meeting->folio);

	return meeting->waited || completion_done(&meeting->other->done);
}

/* The other thread begins while the folio is locked by somebody else. */
static void meet(struct meeting *meeting)
{
	meeting->before = folio_ref_count(meeting->folio);
	other_go(meeting->other);
	dmirror_wait_for(waits_or_is_done, meeting);
	meeting->during = folio_ref_count(meeting->folio);
}

static void meet_at_a_locked_folio(struct meeting *meeting)
{
	folio_get(meeting->folio);
	folio_lock(meeting->folio);
	meet(meeting);
	folio_unlock(meeting->folio);
	other_join(meeting->other);
	folio_put(meeting->folio);
}

/*
 * "mm/rmap: avoid -EBUSY from make_device_exclusive()", Linux 6.15: it has to
 * wait its turn. B40.
 */
static void exclusive_access_waits_for_a_locked_folio(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct other other = {
		.mm = dmirror_fixture(test)->mm,
		.fn = take,
		.data = mirror,
	};
	struct meeting meeting = { .other = &other };

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	other.addr = dmirror_user_map(test, 1, RW);
	dmirror_user_fill(test, other.addr, 1, 1);
	meeting.folio = folio_of(test, mirror, other.addr);
	other_create(test, &other);
	meet_at_a_locked_folio(&meeting);
	KUNIT_EXPECT_TRUE_MSG(test, meeting.waited,
			      "nobody waited for the folio's lock");
	DMIRROR_EXPECT_ERRNO(test, other.ret, 0, "exclusive access");
	dmirror_expect_pt(test, mirror, other.addr, "x", "after the wait");
	dmirror_user_check(test, other.addr, 1, 1, "after the wait");
}

/*
 * 7c7b962938dd ("mm: take a page reference when removing device exclusive
 * entries"): who waits for the lock holds the folio. B38.
 */
static void cpu_waits_for_an_exclusive_page_with_a_reference(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct other other = {
		.mm = dmirror_fixture(test)->mm,
		.fn = touch,
	};
	struct meeting meeting = { .other = &other };
	unsigned long done;
	int after;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	other.addr = dmirror_user_map(test, 1, RW);
	dmirror_user_fill(test, other.addr, 1, 1);
	meeting.folio = folio_of(test, mirror, other.addr);
	user_lru_drain();
	DMIRROR_ASSERT_OK(test, dmirror_exclusive_make(mirror, other.addr, 1,
						       &done),
			  "exclusive access");
	other_create(test, &other);
	meet_at_a_locked_folio(&meeting);
	after = folio_ref_count(meeting.folio);
	KUNIT_EXPECT_TRUE_MSG(test, meeting.waited,
			      "nobody waited for the folio's lock");
	KUNIT_EXPECT_EQ_MSG(test, meeting.during, meeting.before + 1,
			    "references while the CPU waits");
	KUNIT_EXPECT_EQ_MSG(test, after, meeting.before - 1,
			    "references afterwards");
	DMIRROR_EXPECT_ERRNO(test, other.ret, 0, "the CPU's load");
	dmirror_expect_pt(test, mirror, other.addr, "-", "after the load");
	dmirror_user_check(test, other.addr, 1, 1, "after the load");
}

static long fork_once(struct other *other)
{
	struct user_child child;
	int ret = user_fork(&child);

	if (!ret)
		user_reap(&child);

	return ret;
}

/*
 * fork() beside an exclusive page whose folio is locked. Its errno; @gave_up:
 * it was -ENOMEM, and nobody waited.
 */
static int fork_beside_a_lock(struct kunit *test, bool *gave_up)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct other other = {
		.mm = dmirror_fixture(test)->mm,
		.fn = fork_once,
	};
	struct meeting meeting = { .other = &other };
	unsigned long done;

	other.addr = dmirror_user_map(test, 1, RW);
	dmirror_user_fill(test, other.addr, 1, 1);
	meeting.folio = folio_of(test, mirror, other.addr);
	DMIRROR_ASSERT_OK(test, dmirror_exclusive_make(mirror, other.addr, 1,
						       &done),
			  "exclusive access");
	other_create(test, &other);
	meet_at_a_locked_folio(&meeting);
	dmirror_user_check(test, other.addr, 1, 1, "after the fork");
	*gave_up = other.ret == -ENOMEM && !meeting.waited;

	return other.ret;
}

/*
 * fork() makes a device-exclusive entry an ordinary one, for which it takes the
 * folio's lock. Up to 7.3 it only tries, and when somebody else has the lock at
 * that moment there is no child: -ENOMEM.
 */
static void fork_waits_for_a_locked_exclusive_page(struct kunit *test)
{
	bool gave_up;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	ret = fork_beside_a_lock(test, &gave_up);
	if (gave_up)
		DMIRROR_KNOWN_DEFECT(test,
				     "fork() beside a locked exclusive page");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "fork");
}

/*
 * A fork() that fails for want of memory is the defect of the case above, on a
 * kernel that has it: asked for on the spot. Whether threads run into it is
 * chance, so that they do not end with it; on any other kernel it is a failure.
 */
static void check_forks(struct kunit *test, const struct field *field)
{
	unsigned int i, no_forks = 0;
	bool gave_up;

	for (i = 0; i < field->nr_mms * THREADS; i++)
		no_forks += field->runner[i].no_forks;
	if (!no_forks)
		return;
	fork_beside_a_lock(test, &gave_up);
	if (gave_up)
		kunit_info(test, "%u forks failed: a known kernel bug, see fork_waits_for_a_locked_exclusive_page\n",
			   no_forks);
	else
		KUNIT_FAIL(test, "%u forks: got -ENOMEM wanted 0", no_forks);
}

static void compete_and_check(struct kunit *test, unsigned int ops)
{
	struct field *field = field_get(test, test->param_value);
	unsigned long addr = dmirror_user_map(test, PAGES, RW);
	unsigned int i;
	int ret;

	kunit_info(test, "%u threads of %u operations\n",
		   field->nr_mms * THREADS, ops);
	ret = compete(test, field, addr, ops);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "start of the threads");
	check_runners(test, field);
	check_forks(test, field);
	dmirror_user_unmap(test, addr, PAGES);
	for (i = 0; i < DEVICES; i++)
		KUNIT_EXPECT_EQ_MSG(test, dmirror_pages_out(field->devmem[i]),
				    0UL, "pages of device %u in use", i);
}

static void pages_keep_what_their_writer_stored(struct kunit *test)
{
	compete_and_check(test, stress_ops ?: FEW_OPS);
}

static void pages_keep_it_for_long(struct kunit *test)
{
	compete_and_check(test, max(stress_ops, MANY_OPS));
}

static int setup_then_meet(struct migrate_vma *args)
{
	struct meeting *meeting =
		dmirror_fixture(kunit_get_current_test())->stub;
	int ret = __dmirror_mm_migrate_setup(args);

	if (ret || !args->cpages)
		return ret;
	meeting->folio = page_folio(migrate_pfn_to_page(args->src[0]));
	meet(meeting);

	return 0;
}

/**
 * struct passage - a migration during which the CPU comes
 * @name: in the case's name
 * @back: on the way back, else on the way to the device
 */
struct passage {
	const char *name;
	bool back;
};

static const struct passage passages[] = {
	{ "to_device", false },
	{ "to_ram", true },
};

KUNIT_ARRAY_PARAM_DESC(passage, passages, name);

/*
 * ffa65753c431 ("mm/migrate.c: rework migration_entry_wait() to not take a
 * pageref"): whoever waits for the end of a migration must not be the reason
 * why it fails. B15.
 */
static void waiting_cpu_does_not_stop_a_migration(struct kunit *test)
{
	const struct passage *passage = test->param_value;
	struct dmirror_bench bench;
	struct other other = {
		.mm = dmirror_fixture(test)->mm,
		.fn = touch,
	};
	struct meeting meeting = { .other = &other };
	unsigned long moved = 9;
	int ret;

	bench.devmem = dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	bench.addr = dmirror_user_map(test, 1, RW);
	dmirror_user_fill(test, bench.addr, 1, 1);
	if (passage->back)
		bench_to_device(test, &bench, bench.addr, 1);
	other.addr = bench.addr;
	other_create(test, &other);
	dmirror_fixture(test)->stub = &meeting;
	kunit_activate_static_stub(test, dmirror_mm_migrate_setup,
				   setup_then_meet);
	if (passage->back)
		ret = dmirror_migrate_to_ram(bench.mirror, bench.addr, 1,
					     &moved);
	else
		ret = dmirror_migrate_to_devmem(bench.mirror, bench.addr, 1,
						&moved);
	kunit_deactivate_static_stub(test, dmirror_mm_migrate_setup);
	if (!meeting.folio)
		other_go(&other);
	other_join(&other);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "migration");
	KUNIT_EXPECT_EQ_MSG(test, moved, 1UL, "pages that moved");
	KUNIT_EXPECT_TRUE_MSG(test, meeting.waited,
			      "nobody waited for the migration");
	KUNIT_EXPECT_EQ_MSG(test, meeting.during, meeting.before,
			    "references while the CPU waits");
	DMIRROR_EXPECT_ERRNO(test, other.ret, 0, "the CPU's load");
	bench_expect_out(test, &bench, 0, "after the CPU's load");
	dmirror_user_check(test, bench.addr, 1, 1, "afterwards");
}

static struct kunit_case stress_cases[] = {
	KUNIT_CASE(exclusive_access_waits_for_a_locked_folio),
	KUNIT_CASE(cpu_waits_for_an_exclusive_page_with_a_reference),
	KUNIT_CASE(fork_waits_for_a_locked_exclusive_page),
	KUNIT_CASE_PARAM(waiting_cpu_does_not_stop_a_migration,
			 passage_gen_params),
	KUNIT_CASE_PARAM(pages_keep_what_their_writer_stored, load_gen_params),
	DMIRROR_CASE_PARAM_SLOW(pages_keep_it_for_long, load_gen_params),
	{}
};

DMIRROR_SUITE(stress, dmirror_fixture_init_mm, stress_cases);
