/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every suite stands on: a user mm attached to the case, patterns,
 * checks that say page, address, step, got and wanted, and the books of each
 * case. Knows nothing of the driver: mirror_fixture.h adds that.
 *
 * KUnit facts that shaped it (each was tried on a 7.3 kernel):
 * - .init and the case run in one kthread; actions run in a second one after
 *   the first has exited, with current->mm == NULL. So no action gets a
 *   pointer to a local of the case, and there is no .exit.
 * - The first kthread drops its mm while it dies, concurrently with the
 *   second. The fixture holds a user reference of its own and drops it in its
 *   action, so that exit_mmap() always runs there, after everything that was
 *   registered later is gone. dmirror_user_exit() is the other order.
 * - A check that fails allocates, and an assertion does not return: never
 *   under a lock, never in a helper thread.
 */
#ifndef DMIRROR_KUNIT_FIXTURE_H
#define DMIRROR_KUNIT_FIXTURE_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/mm_types.h>
#include <linux/prandom.h>
#include <linux/range.h>

/**
 * struct dmirror_fixture - test->priv of every case
 * @mm: the attached mm, NULL if there is none or it has exited
 * @taint: the kernel's taint when the case began
 * @rnd: random numbers of this case, made from the seed and the case's name
 * @stub: for the replacements of static stubs of the case's suite
 * @two_pass: for the suites of mirrors: the form of their notifiers
 * @coherent_parts: parts of the coherent memory that toy devices of the case have
 */
struct dmirror_fixture {
	struct mm_struct *mm;
	unsigned long taint;
	struct rnd_state rnd;
	void *stub;
	bool two_pass;
	unsigned int coherent_parts;
};

/**
 * dmirror_case_init - .init of a suite that needs no mm
 * @test: the case
 *
 * Return: 0 or an errno, as KUnit wants it.
 */
int dmirror_case_init(struct kunit *test);

/**
 * dmirror_case_init_mm - .init of a suite whose cases have a user mm
 * @test: the case
 *
 * Return: 0 or an errno, as KUnit wants it.
 */
int dmirror_case_init_mm(struct kunit *test);

/**
 * dmirror_suite_init - print the seed
 * @suite: the suite
 *
 * Return: 0.
 */
int dmirror_suite_init(struct kunit_suite *suite);

/**
 * dmirror_suite_exit - print the kernel's taint, for the verdict
 * @suite: the suite
 */
void dmirror_suite_exit(struct kunit_suite *suite);

/*
 * A case with parameters that takes more than a second of emulated x86-64, by
 * which KUnit calls it slow: kunit.filter=speed>slow leaves it out.
 */
#define DMIRROR_CASE_PARAM_SLOW(_case, _gen)				\
	KUNIT_CASE_PARAM_ATTR(_case, _gen, ((struct kunit_attributes){	\
					.speed = KUNIT_SPEED_SLOW }))

/* Defines and registers a suite; _name is its name. */
#define DMIRROR_SUITE_AS(_name, _init, _cases)				\
	static struct kunit_suite _name##_suite = {			\
		.name = #_name,						\
		.suite_init = dmirror_suite_init,			\
		.suite_exit = dmirror_suite_exit,			\
		.init = _init,						\
		.test_cases = _cases,					\
	};								\
	kunit_test_suite(_name##_suite)

/* Skips the case where the kernel lacks a configuration option. */
#define DMIRROR_REQUIRES_CONFIG(test, option)				\
	do {								\
		if (!IS_ENABLED(CONFIG_##option))			\
			kunit_skip(test, "needs CONFIG_" #option);	\
	} while (0)

/*
 * Ends a case that has just seen a defect of this kernel, which it knows:
 * Documentation/kernel-bugs.rst has the write-up. Reported, but not red, unless
 * something else has failed before, which a skip would make forgotten.
 */
#define DMIRROR_KNOWN_DEFECT(test, what)				\
	do {								\
		struct kunit *__test = (test);				\
									\
		if (READ_ONCE(__test->status) != KUNIT_FAILURE)		\
			kunit_skip(__test, "known kernel bug: " what);	\
		kunit_try_catch_throw(&__test->try_catch);		\
	} while (0)

/* Calls that core mm does not export exist in a built-in suite only. */
#ifdef MODULE
#define DMIRROR_REQUIRES_BUILTIN(test)					\
	kunit_skip(test, "needs a suite that is built in")
#else
#define DMIRROR_REQUIRES_BUILTIN(test) ((void)(test))
#endif

/* An errno, by name: got and wanted. @step says what was done. */
#define DMIRROR_EXPECT_ERRNO(test, got, want, step)			\
	do {								\
		int __got = (got), __want = (want);			\
									\
		KUNIT_EXPECT_EQ_MSG(test, __got, __want,		\
				    "%s: got %s wanted %s", step,	\
				    dmirror_errno(__got),		\
				    dmirror_errno(__want));		\
	} while (0)

#define DMIRROR_ASSERT_OK(test, got, step)				\
	do {								\
		int __got = (got);					\
									\
		KUNIT_ASSERT_EQ_MSG(test, __got, 0, "%s: got %s wanted 0", \
				    step, dmirror_errno(__got));	\
	} while (0)

/**
 * dmirror_errno - name of an errno, for messages
 * @err: 0 or a negative errno
 *
 * %pe does the same but for 0, and errname() is not exported.
 *
 * Return: a constant string, "?" for an errno that no suite expects.
 */
const char *dmirror_errno(int err);

/**
 * dmirror_expect_params - count the parameters that a generator makes
 * @test: the case
 * @gen: as for KUNIT_CASE_PARAM(), where it is more than a table
 * @want: how many there have to be
 * @what: of which kind, for the message
 *
 * A generator that ends too early leaves cases out, and nothing else tells.
 */
void dmirror_expect_params(struct kunit *test,
			   const void *(*gen)(struct kunit *test,
					      const void *prev, char *desc),
			   unsigned int want, const char *what);

/**
 * dmirror_seed - what all random numbers of this boot are made from
 * Return: the seed, for messages: dmirror_fixture.seed= repeats it.
 */
unsigned long dmirror_seed(void);

/**
 * dmirror_wait_for - wait for what nothing signals
 * @holds: asked at every tick, for ten seconds at most
 * @arg: its argument
 *
 * For state of core mm that has no completion and no hook: the waiters of a
 * folio, a last mmput(). What can be signalled gets a completion. The caller
 * says in its message what did not happen.
 * Context: process context, sleeps; whatever @holds may be called with.
 * Return: whether it came to hold.
 */
bool dmirror_wait_for(bool (*holds)(void *arg), void *arg);

/* Fixture of the running case. */
struct dmirror_fixture *dmirror_fixture(struct kunit *test);

/**
 * dmirror_user_map - map anonymous private memory
 * @test: the case
 * @npages: number of pages
 * @prot: PROT_* bits
 *
 * Asserts that it worked. The mapping goes away with the mm.
 *
 * Return: its address.
 */
unsigned long dmirror_user_map(struct kunit *test, unsigned long npages,
			       unsigned long prot);

/**
 * dmirror_user_map_shared - map anonymous shared memory: pages of a file
 * @test: the case
 * @npages: number of pages
 *
 * Asserts that it worked. The mapping goes away with the mm.
 *
 * Return: its address.
 */
unsigned long dmirror_user_map_shared(struct kunit *test, unsigned long npages);

/**
 * dmirror_user_map_over - map anonymous private memory at an address
 * @test: the case
 * @addr: page aligned address; what is mapped there is unmapped first
 * @npages: number of pages
 * @prot: PROT_* bits
 *
 * Asserts that it worked.
 */
void dmirror_user_map_over(struct kunit *test, unsigned long addr,
			   unsigned long npages, unsigned long prot);

/**
 * dmirror_user_unmap - munmap()
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages
 *
 * Asserts that it worked.
 */
void dmirror_user_unmap(struct kunit *test, unsigned long addr,
			unsigned long npages);

/**
 * dmirror_user_protect - mprotect(); built-in suites only
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages
 * @prot: PROT_* bits
 *
 * Asserts that it worked.
 */
void dmirror_user_protect(struct kunit *test, unsigned long addr,
			  unsigned long npages, unsigned long prot);

/**
 * dmirror_user_dontneed - madvise(MADV_DONTNEED); built-in suites only
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages
 *
 * Asserts that it worked.
 */
void dmirror_user_dontneed(struct kunit *test, unsigned long addr,
			   unsigned long npages);

/**
 * dmirror_user_touch - read one byte of each page
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages
 *
 * Asserts that it worked.
 */
void dmirror_user_touch(struct kunit *test, unsigned long addr,
			unsigned long npages);

/**
 * dmirror_user_fill - the CPU writes a pattern
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages
 * @salt: tells one pattern from another; each page differs as well
 *
 * Asserts that it worked.
 */
void dmirror_user_fill(struct kunit *test, unsigned long addr,
		       unsigned long npages, u64 salt);

/**
 * dmirror_user_check - the CPU reads a pattern back
 * @test: the case
 * @addr: page aligned address
 * @npages: number of pages
 * @salt: as it was written, 0 for zeroes
 * @step: what was done before, for the message
 *
 * Expects every word to be right and stops at the first that is not.
 */
void dmirror_user_check(struct kunit *test, unsigned long addr,
			unsigned long npages, u64 salt, const char *step);

/**
 * dmirror_killable - let the case's thread be killed
 * @test: the case
 *
 * From now on send_sig(SIGKILL, current, 1) makes fatal_signal_pending() true.
 * dmirror_unkill() has to follow before the next check.
 */
void dmirror_killable(struct kunit *test);

/**
 * dmirror_unkill - forget that the thread was killed
 * @test: the case
 */
void dmirror_unkill(struct kunit *test);

/**
 * dmirror_user_exit - the mm of the case dies now
 * @test: the case; current->mm is NULL afterwards
 */
void dmirror_user_exit(struct kunit *test);

/**
 * dmirror_buf - kernel memory for a device access
 * @test: the case, which frees it
 * @npages: number of pages
 *
 * Asserts that there is memory.
 *
 * Return: the buffer, full of 0xa5.
 */
void *dmirror_buf(struct kunit *test, unsigned long npages);

/**
 * dmirror_buf_fill - write the pattern of dmirror_user_fill() into a buffer
 * @buf: the buffer
 * @npages: number of pages
 * @salt: the pattern
 */
void dmirror_buf_fill(void *buf, unsigned long npages, u64 salt);

/**
 * dmirror_buf_check - compare a buffer with a pattern
 * @test: the case
 * @buf: what was read
 * @addr: where it was read, for the message
 * @npages: number of pages
 * @salt: the pattern, 0 for zeroes
 * @step: what was done before, for the message
 *
 * Expects every word to be right and stops at the first that is not.
 */
void dmirror_buf_check(struct kunit *test, const void *buf, unsigned long addr,
		       unsigned long npages, u64 salt, const char *step);

/**
 * dmirror_coherent_region - memory that a coherent device may use
 * @test: the case, which has it for itself: cases run one after the other
 * @part: 0 or 1: which half of the memory that was left to the suites
 *
 * Skips the case where nothing was left: memmap= on the kernel's command line
 * and dmirror_fixture.coherent=, which says where it is.
 *
 * Return: physical addresses.
 */
struct range dmirror_coherent_region(struct kunit *test, unsigned int part);

/**
 * struct dmirror_holder - a thread that sits on a lock
 * @lock: takes it
 * @unlock: lets go of it
 * @arg: argument of both
 * @held: completed once the thread has the lock
 * @release: completed to make it let go
 * @task: the thread
 */
struct dmirror_holder {
	void (*lock)(void *arg);
	void (*unlock)(void *arg);
	void *arg;
	struct completion held;
	struct completion release;
	struct task_struct *task;
};

/**
 * dmirror_hold - have another thread take a lock
 * @test: the case
 * @holder: lock, unlock and arg are filled in
 *
 * Asserts that there is a thread. Until dmirror_unhold() the case must not
 * assert, nor run a check that can fail.
 */
void dmirror_hold(struct kunit *test, struct dmirror_holder *holder);

/**
 * dmirror_unhold - have it let go
 * @holder: the holder; on return its thread is gone
 */
void dmirror_unhold(struct dmirror_holder *holder);

#endif /* DMIRROR_KUNIT_FIXTURE_H */
