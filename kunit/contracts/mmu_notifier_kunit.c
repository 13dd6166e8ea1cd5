// SPDX-License-Identifier: GPL-2.0
/*
 * What mm/mmu_notifier.c promises to a classic subscriber, as written in
 * include/linux/mmu_notifier.h (struct mmu_notifier_ops, struct mmu_notifier)
 * and in the kernel-doc of the functions. What the rest of mm tells it and
 * when is in mmu_events_kunit.c, interval notifiers are in
 * mmu_interval_kunit.c.
 */
#include <kunit/resource.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "notify.h"

/* Addresses: nothing has to be mapped where nothing is changed. */
#define AT(page) (0x10000000UL + ((unsigned long)(page) << PAGE_SHIFT))

static void expect_note(struct kunit *test, struct notify_log *log,
			enum notify_call call, const struct watch *watch,
			unsigned long start, unsigned long end)
{
	const struct notify_note *note = notify_log_find(log, call, watch);

	notify_expect_count(test, log, call, watch, 1, "after one call");
	if (!note)
		return;
	KUNIT_EXPECT_PTR_EQ(test, note->mm, watch->mm);
	KUNIT_EXPECT_EQ(test, note->start, start);
	KUNIT_EXPECT_EQ(test, note->end, end);
}

static void every_call_reaches_every_subscriber(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct watch *watch[2], *tlbs[2];
	struct mmu_notifier_range range = notify_range(AT(1), AT(3));
	unsigned int i;

	DMIRROR_REQUIRES_BUILTIN(test);
	for (i = 0; i < 2; i++) {
		watch[i] = watch_get(test, log, &watch_ops);
		tlbs[i] = watch_get(test, log, &watch_tlbs_ops);
		watch_get(test, log, &watch_deaf_ops);
	}

	notify_start(&range);
	notify_end(&range);
	notify_clear_flush_young(AT(1), AT(2));
	notify_clear_young(AT(3), AT(4));
	notify_test_young(AT(5));
	notify_tlbs(AT(6), AT(8));

	for (i = 0; i < 2; i++) {
		expect_note(test, log, NOTIFY_START, watch[i], AT(1), AT(3));
		expect_note(test, log, NOTIFY_END, watch[i], AT(1), AT(3));
		expect_note(test, log, NOTIFY_CLEAR_FLUSH_YOUNG, watch[i],
			    AT(1), AT(2));
		expect_note(test, log, NOTIFY_CLEAR_YOUNG, watch[i], AT(3),
			    AT(4));
		expect_note(test, log, NOTIFY_TEST_YOUNG, watch[i], AT(5),
			    AT(5));
		expect_note(test, log, NOTIFY_TLBS, tlbs[i], AT(6), AT(8));
	}
	KUNIT_EXPECT_EQ_MSG(test, log->nr, 12U, "the log: %s",
			    notify_log_text(test, log));
}

/* An mm whose subscribers have all gone is like one that never had any. */
static void nobody_is_told_after_unregister(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct watch *watch = watch_get(test, log, &watch_ops);
	struct mmu_notifier_range range = notify_range(AT(1), AT(3));

	DMIRROR_REQUIRES_BUILTIN(test);
	KUNIT_EXPECT_TRUE(test, mm_has_notifiers(current->mm));
	watch_put(test, watch);
	notify_log_clear(log);

	notify_start(&range);
	notify_end(&range);
	DMIRROR_EXPECT_ERRNO(test, notify_start_nonblock(&range), 0,
			     "non-blockable start without subscribers");
	notify_end(&range);
	KUNIT_EXPECT_FALSE(test, notify_clear_flush_young(AT(1), AT(2)));
	KUNIT_EXPECT_FALSE(test, notify_clear_young(AT(1), AT(2)));
	KUNIT_EXPECT_FALSE(test, notify_test_young(AT(1)));
	notify_tlbs(AT(1), AT(2));
	KUNIT_EXPECT_EQ_MSG(test, log->nr, 0U, "the log: %s",
			    notify_log_text(test, log));
}

/* The flag that a subscriber sees is this caller's, not the last one's. */
static void blockable_says_whether_it_may_sleep(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct mmu_notifier_range range = notify_range(AT(1), AT(3));
	unsigned int i;

	DMIRROR_REQUIRES_BUILTIN(test);
	watch_get(test, log, &watch_ops);
	notify_start(&range);
	notify_end(&range);
	DMIRROR_EXPECT_ERRNO(test, notify_start_nonblock(&range), 0,
			     "non-blockable start");
	notify_end(&range);
	notify_start(&range);
	notify_end(&range);

	KUNIT_ASSERT_EQ(test, log->nr, 6U);
	for (i = 0; i < 6; i++)
		KUNIT_EXPECT_EQ_MSG(test, log->note[i].blockable, i / 2 != 1,
				    "call %u of 6", i);
}

/* One young answer is enough; clearing asks everybody all the same. */
static void young_if_any_subscriber_says_so(struct kunit *test)
{
	static const struct {
		const char *name;
		enum notify_call call;
		bool ask_all;
	} ops[] = {
		{ "clear_flush_young", NOTIFY_CLEAR_FLUSH_YOUNG, true },
		{ "clear_young", NOTIFY_CLEAR_YOUNG, true },
		{ "test_young", NOTIFY_TEST_YOUNG, false },
	};
	struct notify_log *log = notify_log_get(test);
	unsigned int op, answers, asked, i, cases = 0;
	struct watch *watch[3];
	bool young;

	DMIRROR_REQUIRES_BUILTIN(test);
	for (i = 0; i < 3; i++)
		watch[i] = watch_get(test, log, &watch_ops);

	for (op = 0; op < ARRAY_SIZE(ops); op++)
		for (answers = 0; answers < 8; answers++, cases++) {
			for (i = 0; i < 3; i++)
				watch[i]->young = answers & BIT(i);
			notify_log_clear(log);
			if (!op)
				young = notify_clear_flush_young(AT(1), AT(2));
			else if (op == 1)
				young = notify_clear_young(AT(1), AT(2));
			else
				young = notify_test_young(AT(1));
			asked = notify_log_count(log, ops[op].call, NULL);

			KUNIT_EXPECT_EQ_MSG(test, young, !!answers,
					    "%s with answers 0x%x",
					    ops[op].name, answers);
			if (ops[op].ask_all || !answers)
				KUNIT_EXPECT_EQ_MSG(test, asked, 3U,
						    "asked by %s with answers 0x%x",
						    ops[op].name, answers);
		}
	KUNIT_EXPECT_EQ(test, cases, 24U);
}

/*
 * c2655835fd8c ("mm/mmu_notifiers: ensure range_end() is paired with
 * range_start()"): who refuses comes before, between or after those who do not.
 * B42.
 */
static void refused_start_is_ended_for_the_others(struct kunit *test)
{
	struct mmu_notifier_range range;
	unsigned int place, i;

	DMIRROR_REQUIRES_BUILTIN(test);
	for (place = 0; place < 3; place++) {
		struct notify_log *log = notify_log_get(test);
		struct watch *watch[3];

		for (i = 0; i < 3; i++) {
			watch[i] = watch_get(test, log, i == place ?
					     &watch_refusing_ops : &watch_ops);
			watch[i]->refuse = i == place ? -EAGAIN : 0;
		}
		range = notify_range(AT(1), AT(3));
		DMIRROR_EXPECT_ERRNO(test, notify_start_nonblock(&range),
				     -EAGAIN, "start that one refuses");

		notify_expect_count(test, log, NOTIFY_START, watch[place], 1,
				    "refused");
		for (i = 0; i < 3; i++) {
			if (i == place)
				continue;
			KUNIT_EXPECT_EQ_MSG(test,
					    notify_log_count(log, NOTIFY_START,
							     watch[i]),
					    notify_log_count(log, NOTIFY_END,
							     watch[i]),
					    "subscriber %u, refused by %u: the log: %s",
					    i, place,
					    notify_log_text(test, log));
			notify_expect_pairs(test, log, watch[i],
					    "start that one refuses");
		}
		for (i = 0; i < 3; i++)
			watch_put(test, watch[i]);
	}
}

/* Whoever refuses only what may not sleep is not in the way of the rest. */
static void refusal_does_not_last(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct mmu_notifier_range range = notify_range(AT(1), AT(3));
	struct watch *watch;

	DMIRROR_REQUIRES_BUILTIN(test);
	watch = watch_get(test, log, &watch_ops);
	watch_get(test, log, &watch_refusing_ops)->refuse = 0;
	DMIRROR_EXPECT_ERRNO(test, notify_start_nonblock(&range), 0,
			     "start that nobody refuses");
	notify_end(&range);
	notify_start(&range);
	notify_end(&range);
	notify_expect_count(test, log, NOTIFY_END, watch, 2, "two rounds");
	notify_expect_pairs(test, log, watch, "two rounds");
}

/**
 * struct wrong_refusal - a start that breaks the rules of refusing
 * @name: of the row
 * @ops: what is registered
 * @blockable: the start may sleep
 * @refuse: the answer
 */
struct wrong_refusal {
	const char *name;
	const struct mmu_notifier_ops *ops;
	bool blockable;
	int refuse;
};

static const struct wrong_refusal wrong_refusals[] = {
	{ "when_it_may_sleep", &watch_refusing_ops, true, -EAGAIN },
	{ "with_another_errno", &watch_refusing_ops, false, -EIO },
	{ "with_an_end_of_its_own", &watch_ops, false, -EAGAIN },
};

KUNIT_ARRAY_PARAM_DESC(wrong_refusal, wrong_refusals, name);

/* "has to return with -EAGAIN", "not allowed to implement invalidate_range_end" */
static void wrong_refusal_warns(struct kunit *test)
{
	const struct wrong_refusal *row = test->param_value;
	struct notify_log *log = notify_log_get(test);
	struct mmu_notifier_range range = notify_range(AT(1), AT(3));
	struct watch *watch;
	int warnings = 0;

	DMIRROR_REQUIRES_BUILTIN(test);
	watch = watch_get(test, log, row->ops);
	watch->refuse = row->refuse;
	kunit_warning_suppress(test) {
		if (row->blockable)
			notify_start(&range);
		else if (!notify_start_nonblock(&range))
			notify_end(&range);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	KUNIT_EXPECT_EQ_MSG(test, warnings, 1, "warnings about a start refused %s",
			    row->name);
}

/*
 * A refused start must leave no trace: who reads an interval waits for ever
 * else, for nobody may end what was refused. An invalidation that was ended
 * has another sequence number than the next one. C8.
 */
static void refused_start_is_ended_for_intervals(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct mmu_notifier_range range = notify_range(AT(1), AT(3));
	unsigned long first, second;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	span_get(test, log, &span_ops, AT(0), PAGE_SIZE * 8);
	watch_get(test, log, &watch_refusing_ops)->refuse = -EAGAIN;

	ret = notify_start_nonblock(&range);
	DMIRROR_EXPECT_ERRNO(test, ret, -EAGAIN, "start that one refuses");
	KUNIT_ASSERT_EQ(test, notify_log_count(log, NOTIFY_SPAN, NULL), 1U);
	first = log->note[0].seq;
	notify_log_clear(log);

	range = notify_range(AT(1), AT(3));
	ret = notify_start_nonblock(&range);
	DMIRROR_EXPECT_ERRNO(test, ret, -EAGAIN, "the same again");
	KUNIT_ASSERT_EQ(test, notify_log_count(log, NOTIFY_SPAN, NULL), 1U);
	second = log->note[0].seq;

	if (first == second) {
		/* End both, or the notifier can never be removed. */
		notify_end(&range);
		notify_end(&range);
		DMIRROR_KNOWN_DEFECT(test, "a refused start stays open for intervals");
	}
}

/* release comes once, before pages are freed, and nothing comes after it. */
static void release_comes_once_when_the_mm_dies(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct watch *watch = watch_get(test, log, &watch_ops);
	unsigned long addr = dmirror_user_map(test, 4, PROT_READ | PROT_WRITE);

	dmirror_user_fill(test, addr, 4, 1);
	dmirror_user_exit(test);
	notify_expect_count(test, log, NOTIFY_RELEASE, watch, 1, "exit");
	KUNIT_EXPECT_EQ_MSG(test, watch->anonymous, 4UL,
			    "pages that were there when release was called");
	KUNIT_EXPECT_EQ_MSG(test, log->nr, 1U, "the log: %s",
			    notify_log_text(test, log));

	watch_put(test, watch);
	notify_expect_count(test, log, NOTIFY_RELEASE, watch, 1,
			    "unregister after exit");
}

static void release_comes_with_unregister(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct watch *first = watch_get(test, log, &watch_ops);
	struct watch *other = watch_get(test, log, &watch_ops);

	watch_put(test, first);
	notify_expect_count(test, log, NOTIFY_RELEASE, first, 1, "unregister");
	notify_expect_count(test, log, NOTIFY_RELEASE, other, 0,
			    "unregister of another one");
	dmirror_user_exit(test);
	notify_expect_count(test, log, NOTIFY_RELEASE, first, 1,
			    "exit after unregister");
	notify_expect_count(test, log, NOTIFY_RELEASE, other, 1, "exit");
}

/* "only after mmu_notifier_unregister returned [...] can't run anymore" */
struct slow_start {
	struct dmirror_holder holder;
	struct mmu_notifier_range range;
	bool ended;
};

static void slow_start_waits(struct watch *watch)
{
	struct slow_start *slow = watch->arg;

	complete(&slow->holder.held);
	wait_for_completion(&slow->holder.release);
	WRITE_ONCE(slow->ended, true);
}

static void slow_start_run(void *data)
{
	struct slow_start *slow = data;

	notify_start(&slow->range);
}

static void slow_start_end(void *data)
{
}

static void unregister_waits_for_calls_that_run(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct watch *watch = watch_get(test, log, &watch_ops);
	struct slow_start slow = {
		.holder = {
			.lock = slow_start_run,
			.unlock = slow_start_end,
			.arg = &slow,
		},
		.range = notify_range(AT(1), AT(3)),
	};
	bool ended;

	DMIRROR_REQUIRES_BUILTIN(test);
	watch->on_start = slow_start_waits;
	watch->arg = &slow;
	dmirror_hold(test, &slow.holder);
	complete(&slow.holder.release);
	watch_put(test, watch);
	ended = READ_ONCE(slow.ended);
	dmirror_unhold(&slow.holder);

	KUNIT_EXPECT_TRUE_MSG(test, ended,
			      "unregistered while invalidate_range_start ran");
}

/* A killed thread need not wait for all locks, and then nothing is left. */
static void register_gives_up_when_killed(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct watch *watch = watch_new(test, log, &watch_ops);
	int ret;

	dmirror_user_map(test, 1, PROT_READ);
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	ret = mmu_notifier_register(&watch->mn, current->mm);
	dmirror_unkill(test);

	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR, "register when killed");
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(current->mm));
}

static const struct mmu_notifier_ops start_and_tlbs_ops = {
	.invalidate_range_start = (void *)1,
	.arch_invalidate_secondary_tlbs = (void *)1,
};

static const struct mmu_notifier_ops end_and_tlbs_ops = {
	.invalidate_range_end = (void *)1,
	.arch_invalidate_secondary_tlbs = (void *)1,
};

/* "should not be implemented as invalidate_secondary_tlbs() already catches" */
static void register_refuses_tlbs_with_start_or_end(struct kunit *test)
{
	static const struct mmu_notifier_ops *ops[] = {
		&start_and_tlbs_ops, &end_and_tlbs_ops,
	};
	struct notify_log *log = notify_log_get(test);
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		struct watch *watch = watch_new(test, log, ops[i]);

		kunit_warning_suppress(test)
			ret = mmu_notifier_register(&watch->mn, current->mm);
		DMIRROR_EXPECT_ERRNO(test, ret, -EINVAL, i ?
				     "TLBs with invalidate_range_end" :
				     "TLBs with invalidate_range_start");
	}
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(current->mm));
}

static struct kunit_case mmu_notifier_cases[] = {
	KUNIT_CASE(every_call_reaches_every_subscriber),
	KUNIT_CASE(nobody_is_told_after_unregister),
	KUNIT_CASE(blockable_says_whether_it_may_sleep),
	KUNIT_CASE(young_if_any_subscriber_says_so),
	KUNIT_CASE(refused_start_is_ended_for_the_others),
	KUNIT_CASE(refusal_does_not_last),
	KUNIT_CASE_PARAM(wrong_refusal_warns, wrong_refusal_gen_params),
	KUNIT_CASE(refused_start_is_ended_for_intervals),
	KUNIT_CASE(release_comes_once_when_the_mm_dies),
	KUNIT_CASE(release_comes_with_unregister),
	KUNIT_CASE(unregister_waits_for_calls_that_run),
	KUNIT_CASE(register_gives_up_when_killed),
	KUNIT_CASE(register_refuses_tlbs_with_start_or_end),
	{}
};

DMIRROR_SUITE_AS(mmu_notifier, dmirror_case_init_mm, mmu_notifier_cases);
