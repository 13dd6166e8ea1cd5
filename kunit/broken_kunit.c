// SPDX-License-Identifier: GPL-2.0
/*
 * Cases that break the kernel on purpose. Each is a green for plain kunit.py
 * or the end of the run; the tests of the verdict boot them one by one and
 * expect red for the right reason.
 *
 * The fixture's own taint check is left out, because it would turn a WARN red
 * by itself: here it is the tool that has to see it.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/mutex.h>
#include <linux/panic.h>
#include <linux/reboot.h>
#include <linux/spinlock.h>

#include "mirror_fixture.h"

static void passes(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, true);
}

static void warns(struct kunit *test)
{
	WARN(1, "a warning on purpose");
}

static void taints(struct kunit *test)
{
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
}

static void sleeps_while_atomic(struct kunit *test)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	might_sleep();
	spin_unlock(&lock);
}

/* The two orders of two locks: only lockdep can tell. */
static void inverts_lock_order(struct kunit *test)
{
	static DEFINE_MUTEX(one);
	static DEFINE_MUTEX(two);

	mutex_lock(&one);
	mutex_lock(&two);
	mutex_unlock(&two);
	mutex_unlock(&one);
	mutex_lock(&two);
	mutex_lock(&one);
	mutex_unlock(&one);
	mutex_unlock(&two);
}

static void fails(struct kunit *test)
{
	KUNIT_FAIL(test, "a failure on purpose");
}

static void skips(struct kunit *test)
{
	kunit_skip(test, "a skip on purpose");
}

static void oopses(struct kunit *test)
{
	unsigned long *nowhere = (unsigned long *)8;

	WRITE_ONCE(*nowhere, 1);
}

/* Nobody completes it, and no signal or kthread_stop() ends the wait. */
static void hangs(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(never);

	wait_for_completion(&never);
}

static void panics(struct kunit *test)
{
	panic("a panic on purpose");
}

static void powers_off(struct kunit *test)
{
	kernel_halt();
}

static void passes_again(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, true);
}

static struct kunit_case broken_cases[] = {
	KUNIT_CASE(passes),
	KUNIT_CASE(warns),
	KUNIT_CASE(taints),
	KUNIT_CASE(sleeps_while_atomic),
	KUNIT_CASE(inverts_lock_order),
	KUNIT_CASE(fails),
	KUNIT_CASE(skips),
	KUNIT_CASE(oopses),
	KUNIT_CASE(hangs),
	KUNIT_CASE(panics),
	KUNIT_CASE(powers_off),
	KUNIT_CASE(passes_again),
	{}
};

DMIRROR_SUITE(broken, NULL, broken_cases);
