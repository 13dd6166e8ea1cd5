// SPDX-License-Identifier: GPL-2.0
/*
 * What mm/mmu_notifier.c promises to an interval notifier, as written in
 * include/linux/mmu_notifier.h (struct mmu_interval_notifier_ops, the sequence
 * functions) and in the kernel-doc of mmu_interval_notifier_insert(),
 * mmu_interval_notifier_remove() and mmu_interval_read_begin().
 *
 * Most cases run for the notifier in one pass and for both ways to use that
 * in two.
 */
#include <kunit/resource.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "notify.h"

/* Addresses: nothing has to be mapped where nothing is changed. */
#define AT(page) (0x10000000UL + ((unsigned long)(page) << PAGE_SHIFT))
#define LEN(pages) ((unsigned long)(pages) << PAGE_SHIFT)

/**
 * struct form - one way to be a notifier
 * @name: of the row
 * @ops: the operations
 * @one_pass: no second pass although there is one
 * @finishes: whether there is a second call
 */
struct form {
	const char *name;
	const struct mmu_interval_notifier_ops *ops;
	bool one_pass;
	bool finishes;
};

static const struct form forms[] = {
	{ "one_pass", &span_ops, false, false },
	{ "two_passes", &span_two_pass_ops, false, true },
	{ "two_passes_of_which_one_is_used", &span_two_pass_ops, true, false },
};

KUNIT_ARRAY_PARAM_DESC(form, forms, name);

/* A notifier of the form that the case runs for. */
static struct span *form_get(struct kunit *test, struct notify_log *log,
			     unsigned int from, unsigned int pages)
{
	const struct form *form = test->param_value;
	struct span *span = span_get(test, log, form->ops, AT(from),
				     LEN(pages));

	span->one_pass = form->one_pass;

	return span;
}

static struct span *form_new(struct kunit *test, struct notify_log *log)
{
	const struct form *form = test->param_value;
	struct span *span = span_new(test, log);

	span->one_pass = form->one_pass;

	return span;
}

static int form_insert(struct kunit *test, struct span *span, unsigned int from,
		       unsigned int pages)
{
	const struct form *form = test->param_value;

	return mmu_interval_notifier_insert(&span->sub, current->mm, AT(from),
					    LEN(pages), form->ops);
}

/* A whole invalidation. */
static void invalidate(unsigned int from, unsigned int end)
{
	struct mmu_notifier_range range = notify_range(AT(from), AT(end));

	notify_start(&range);
	notify_end(&range);
}

/* Told once, and finished if that was asked for. */
static void expect_told(struct kunit *test, struct notify_log *log,
			struct span *span, unsigned int times, const char *step)
{
	const struct form *form = test->param_value;

	notify_expect_count(test, log, NOTIFY_SPAN, span, times, step);
	notify_expect_count(test, log, NOTIFY_FINISH, span,
			    form->finishes ? times : 0, step);
	KUNIT_EXPECT_FALSE_MSG(test, span->finish_was_set,
			       "%s: *finish was not NULL at entry", step);
}

/**
 * struct place - where a notifier is asked to be
 * @name: of the row
 * @start: first address
 * @len: length in bytes
 * @ret: what is wanted
 * @in: an address that is in it
 */
struct place {
	const char *name;
	unsigned long start;
	unsigned long len;
	int ret;
	unsigned long in;
};

static const struct place places[] = {
	{ "empty", PAGE_SIZE, 0, -EOVERFLOW, 0 },
	{ "empty_at_zero", 0, 0, -EOVERFLOW, 0 },
	{ "wraps_by_a_byte", ULONG_MAX, 2, -EOVERFLOW, 0 },
	{ "wraps_by_a_page", ULONG_MAX - PAGE_SIZE + 1, 2 * PAGE_SIZE,
	  -EOVERFLOW, 0 },
	{ "wraps_around", PAGE_SIZE, ULONG_MAX, -EOVERFLOW, 0 },
	{ "one_byte", PAGE_SIZE + 5, 1, 0, PAGE_SIZE + 5 },
	{ "last_byte", ULONG_MAX, 1, 0, ULONG_MAX },
	{ "last_page", ULONG_MAX - PAGE_SIZE + 1, PAGE_SIZE, 0,
	  ULONG_MAX - 1 },
	{ "everything_but_the_last_byte", 0, ULONG_MAX, 0, ULONG_MAX - 1 },
	{ "lower_half", 0, 1UL << (BITS_PER_LONG - 1), 0, PAGE_SIZE },
};

KUNIT_ARRAY_PARAM_DESC(place, places, name);

/* "-EOVERFLOW" for what has no end; all else is told of what is in it. */
static void insert_takes_every_place_that_is_one(struct kunit *test)
{
	const struct place *place = test->param_value;
	struct notify_log *log = notify_log_get(test);
	struct span *span = span_new(test, log);
	struct mmu_notifier_range range;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	ret = mmu_interval_notifier_insert(&span->sub, current->mm,
					   place->start, place->len, &span_ops);
	if (!ret)
		span_own(test, span);
	DMIRROR_EXPECT_ERRNO(test, ret, place->ret, place->name);

	/* The end of the last byte of all is 0. */
	range = notify_range(place->in, place->in + 1);
	notify_start(&range);
	notify_end(&range);
	notify_expect_count(test, log, NOTIFY_SPAN, span, !place->ret,
			    place->name);
}

/* "called whenever an event that intersects with the given range occurs" */
static void told_of_what_overlaps_and_of_nothing_else(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned int from, end, rounds = 0;
	struct span *span;

	DMIRROR_REQUIRES_BUILTIN(test);
	span = form_get(test, log, 4, 4);
	for (from = 0; from < 12; from++)
		for (end = from + 1; end <= 12; end++, rounds++) {
			bool overlaps = from < 8 && end > 4;

			notify_log_clear(log);
			invalidate(from, end);
			expect_told(test, log, span, overlaps,
				    overlaps ? "a range that overlaps [4,8)" :
				    "a range that does not overlap [4,8)");
			if (!overlaps || !log->nr)
				continue;
			KUNIT_EXPECT_EQ(test, log->note[0].start, AT(from));
			KUNIT_EXPECT_EQ(test, log->note[0].end, AT(end));
			KUNIT_EXPECT_TRUE(test, log->note[0].blockable);
			KUNIT_EXPECT_PTR_EQ(test, log->note[0].mm,
					    current->mm);
		}
	KUNIT_EXPECT_EQ(test, rounds, 78U);
}

/* Apart, adjacent, nested, equal: each is told once, whatever the others do. */
static void each_of_several_is_told_once(struct kunit *test)
{
	static const struct {
		unsigned int from, pages;
	} at[] = {
		{ 0, 2 }, { 2, 2 }, { 0, 8 }, { 2, 2 }, { 6, 1 }, { 3, 4 },
	};
	struct notify_log *log = notify_log_get(test);
	struct span *span[ARRAY_SIZE(at)];
	unsigned int from, i, rounds = 0;

	DMIRROR_REQUIRES_BUILTIN(test);
	for (i = 0; i < ARRAY_SIZE(at); i++)
		span[i] = form_get(test, log, at[i].from, at[i].pages);
	for (from = 0; from < 9; from++, rounds++) {
		notify_log_clear(log);
		invalidate(from, from + 1);
		for (i = 0; i < ARRAY_SIZE(at); i++)
			expect_told(test, log, span[i], at[i].from <= from &&
				    from < at[i].from + at[i].pages,
				    "one page");
	}
	KUNIT_EXPECT_EQ(test, rounds, 9U);
}

/*
 * struct mmu_interval_notifier_ops: the first pass of all notifiers comes
 * before the second one of any, or two passes would be of no use.
 */
static void all_start_before_any_finishes(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned int i;

	DMIRROR_REQUIRES_BUILTIN(test);
	for (i = 0; i < 4; i++)
		span_get(test, log, &span_two_pass_ops, AT(i), LEN(2));
	/* Somebody in one pass in the middle changes nothing. */
	span_get(test, log, &span_ops, AT(2), LEN(1));
	invalidate(0, 8);

	notify_expect_count(test, log, NOTIFY_SPAN, NULL, 5, "one round");
	notify_expect_count(test, log, NOTIFY_FINISH, NULL, 4, "one round");
	for (i = 0; i < min(log->nr, 9U); i++) {
		const struct notify_note *note = &log->note[i];

		KUNIT_EXPECT_EQ_MSG(test, note->call,
				    i < 5 ? NOTIFY_SPAN : NOTIFY_FINISH,
				    "call %u of 9; the log: %s", i,
				    notify_log_text(test, log));
		if (note->call != NOTIFY_FINISH)
			continue;
		/* What the first pass has handed on, and to the same one. */
		KUNIT_EXPECT_NOT_NULL(test, note->who);
		KUNIT_EXPECT_EQ(test, note->start, AT(0));
		KUNIT_EXPECT_EQ(test, note->end, AT(8));
	}
}

/* mmu_interval_read_retry(): true if and only if an invalidation collided. */
static void retry_after_a_collision_only(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct span *span;
	unsigned long seq;

	DMIRROR_REQUIRES_BUILTIN(test);
	span = form_get(test, log, 4, 4);
	/* Some other notifier, or an invalidation would cost nothing. */
	form_get(test, log, 10, 2);

	seq = mmu_interval_read_begin(&span->sub);
	KUNIT_EXPECT_FALSE(test, mmu_interval_check_retry(&span->sub, seq));
	KUNIT_EXPECT_FALSE_MSG(test, span_retry(span, seq), "nothing happened");

	seq = mmu_interval_read_begin(&span->sub);
	invalidate(8, 12);
	KUNIT_EXPECT_FALSE(test, mmu_interval_check_retry(&span->sub, seq));
	KUNIT_EXPECT_FALSE_MSG(test, span_retry(span, seq),
			       "invalidation of the range next to it");

	seq = mmu_interval_read_begin(&span->sub);
	invalidate(7, 8);
	KUNIT_EXPECT_TRUE(test, mmu_interval_check_retry(&span->sub, seq));
	KUNIT_EXPECT_TRUE_MSG(test, span_retry(span, seq),
			      "invalidation of its last page");

	seq = mmu_interval_read_begin(&span->sub);
	KUNIT_EXPECT_FALSE_MSG(test, span_retry(span, seq), "the next try");
}

/* Each of 100 invalidations is a collision, with a new and odd number. */
static void sequence_numbers_are_odd_and_new(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned long seq, last = 0;
	struct span *span;
	unsigned int i;

	DMIRROR_REQUIRES_BUILTIN(test);
	span = form_get(test, log, 0, 1);
	for (i = 0; i < 100; i++) {
		notify_log_clear(log);
		seq = mmu_interval_read_begin(&span->sub);
		invalidate(0, 1);
		KUNIT_ASSERT_EQ(test, notify_log_count(log, NOTIFY_SPAN, span),
				1U);
		KUNIT_EXPECT_EQ_MSG(test, log->note[0].seq & 1, 1UL,
				    "round %u: sequence number 0x%lx", i,
				    log->note[0].seq);
		KUNIT_EXPECT_NE_MSG(test, log->note[0].seq, last, "round %u",
				    i);
		KUNIT_EXPECT_TRUE_MSG(test, span_retry(span, seq), "round %u",
				      i);
		last = log->note[0].seq;
	}
}

/* What mmu_interval_read_begin() has to wait for is over when it returns. */
static void read_begin_waits_for_an_invalidation(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct invalidation inv;
	struct span *span;
	unsigned long seq;
	bool ended, retry;

	DMIRROR_REQUIRES_BUILTIN(test);
	span = form_get(test, log, 4, 4);
	invalidation_init(&inv, AT(5), AT(6));
	dmirror_hold(test, &inv.holder);
	complete(&inv.holder.release);
	seq = mmu_interval_read_begin(&span->sub);
	ended = READ_ONCE(inv.ended);
	retry = span_retry(span, seq);
	dmirror_unhold(&inv.holder);

	KUNIT_EXPECT_TRUE_MSG(test, ended,
			      "mmu_interval_read_begin() returned while its range was invalidated");
	KUNIT_EXPECT_FALSE_MSG(test, retry, "collision after the wait");
}

/* One that begins before the first one ends makes the wait no shorter. */
static void read_begin_waits_for_the_longest(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct invalidation inv;
	struct span *span;
	bool ended;

	DMIRROR_REQUIRES_BUILTIN(test);
	span = form_get(test, log, 4, 4);
	invalidation_init(&inv, AT(4), AT(5));
	dmirror_hold(test, &inv.holder);
	invalidate(0, 2);
	invalidate(7, 9);
	complete(&inv.holder.release);
	mmu_interval_read_begin(&span->sub);
	ended = READ_ONCE(inv.ended);
	dmirror_unhold(&inv.holder);

	KUNIT_EXPECT_TRUE_MSG(test, ended,
			      "mmu_interval_read_begin() returned with the end of another invalidation");
}

/* An invalidation of something else is nothing to wait for. */
static void read_begin_ignores_invalidations_elsewhere(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct mmu_notifier_range range = notify_range(AT(8), AT(12));
	struct span *span;
	unsigned long seq;
	bool retry;

	DMIRROR_REQUIRES_BUILTIN(test);
	span = form_get(test, log, 4, 4);
	form_get(test, log, 8, 4);
	notify_start(&range);
	/* Would not return. */
	seq = mmu_interval_read_begin(&span->sub);
	retry = span_retry(span, seq);
	notify_end(&range);
	KUNIT_EXPECT_FALSE_MSG(test, retry, "invalidation next to it");
	expect_told(test, log, span, 0, "invalidation next to it");
}

/* "must use the normal interval notifier read flow": it waits for the end. */
static void inserted_during_an_invalidation(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	unsigned int with_other, rounds = 0;
	struct span *span[2];
	struct invalidation inv;
	unsigned long seq;
	bool ended, retry;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	/* The tree may not change if the invalidation has found somebody. */
	for (with_other = 0; with_other < 2; with_other++, rounds++) {
		span[with_other] = form_new(test, log);
		if (with_other)
			form_get(test, log, 0, 16);
		else
			/* Somebody far away: the mm has a tree. */
			form_get(test, log, 100, 1);
		invalidation_init(&inv, AT(4), AT(8));
		dmirror_hold(test, &inv.holder);
		ret = form_insert(test, span[with_other], 6, 4);
		complete(&inv.holder.release);
		seq = mmu_interval_read_begin(&span[with_other]->sub);
		ended = READ_ONCE(inv.ended);
		retry = span_retry(span[with_other], seq);
		dmirror_unhold(&inv.holder);

		DMIRROR_ASSERT_OK(test, ret, "insert during an invalidation");
		span_own(test, span[with_other]);
		KUNIT_EXPECT_TRUE_MSG(test, ended,
				      "read before the invalidation ended, %u others",
				      with_other);
		KUNIT_EXPECT_FALSE(test, retry);
		notify_log_clear(log);
		invalidate(9, 10);
		expect_told(test, log, span[with_other], 1,
			    "invalidation after the insert");
	}
	KUNIT_EXPECT_EQ(test, rounds, 2U);
}

/* What is not in the tree yet need not be waited for either. */
static void inserted_and_removed_during_an_invalidation(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct mmu_notifier_range range = notify_range(AT(4), AT(8));
	struct span *span, *stays;
	int ret[2];

	DMIRROR_REQUIRES_BUILTIN(test);
	form_get(test, log, 0, 16);
	span = form_new(test, log);
	stays = form_new(test, log);
	notify_start(&range);
	ret[0] = form_insert(test, span, 6, 4);
	ret[1] = form_insert(test, stays, 6, 4);
	/* Would not return. */
	if (!ret[0])
		mmu_interval_notifier_remove(&span->sub);
	notify_end(&range);

	DMIRROR_ASSERT_OK(test, ret[0], "insert during an invalidation");
	DMIRROR_ASSERT_OK(test, ret[1], "second insert");
	span_own(test, stays);
	notify_log_clear(log);
	invalidate(6, 7);
	expect_told(test, log, span, 0, "invalidation after the remove");
	expect_told(test, log, stays, 1, "invalidation after the insert");
}

/*
 * 319561669a59 ("mm/mmu_notifier.c: fix race in
 * mmu_interval_notifier_remove()"): "Once this returns ops callbacks are no
 * longer running on other CPUs and will not be called in future". B41.
 */
static void remove_waits_for_an_invalidation(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct invalidation inv;
	struct span *span;
	bool ended;

	DMIRROR_REQUIRES_BUILTIN(test);
	span = form_get(test, log, 4, 4);
	invalidation_init(&inv, AT(4), AT(8));
	dmirror_hold(test, &inv.holder);
	complete(&inv.holder.release);
	span_put(test, span);
	ended = READ_ONCE(inv.ended);
	dmirror_unhold(&inv.holder);

	KUNIT_EXPECT_TRUE_MSG(test, ended,
			      "removed while an invalidation could still call it");
	notify_log_clear(log);
	invalidate(4, 8);
	expect_told(test, log, span, 0, "invalidation after the remove");
}

/* A place can be taken again as soon as it was left. */
static void inserted_again_after_remove(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct span *span;
	unsigned int i;

	DMIRROR_REQUIRES_BUILTIN(test);
	span = form_new(test, log);
	for (i = 0; i < 3; i++) {
		DMIRROR_ASSERT_OK(test, form_insert(test, span, 4, 4),
				  "insert");
		span_own(test, span);
		invalidate(4, 5);
		span_put(test, span);
		invalidate(4, 5);
	}
	expect_told(test, log, span, 3, "three times inserted and removed");
}

/*
 * Who may not sleep is refused by any one notifier, wherever it is among the
 * others. Then there is no end, but a refused start must not last either, and
 * whoever has had a first pass gets its second one.
 */
static void refused_start_is_over(struct kunit *test)
{
	const struct form *form = test->param_value;
	unsigned int place, i, rounds = 0;

	DMIRROR_REQUIRES_BUILTIN(test);
	for (place = 0; place < 3; place++, rounds++) {
		struct notify_log *log = notify_log_get(test);
		struct mmu_notifier_range range = notify_range(AT(0), AT(8));
		struct watch *watch = watch_get(test, log, &watch_ops);
		unsigned long seq[3];
		struct span *span[3];
		int ret;

		for (i = 0; i < 3; i++) {
			span[i] = form_get(test, log, i, 2);
			span[i]->refuse = i == place;
			seq[i] = mmu_interval_read_begin(&span[i]->sub);
		}
		ret = notify_start_nonblock(&range);
		if (!ret)
			notify_end(&range);
		DMIRROR_EXPECT_ERRNO(test, ret, -EAGAIN,
				     "start that one refuses");
		notify_expect_count(test, log, NOTIFY_START, watch, 0,
				    "a subscriber after the refusal");
		for (i = 0; i < 3; i++) {
			unsigned int told = notify_log_count(log, NOTIFY_SPAN,
							     span[i]);
			bool wants = told && i != place && form->finishes;

			KUNIT_EXPECT_EQ_MSG(test, span_retry(span[i], seq[i]),
					    told != 0,
					    "notifier %u, refused by %u", i,
					    place);
			notify_expect_count(test, log, NOTIFY_FINISH, span[i],
					    wants, "start that one refuses");
			/* Would not return. */
			mmu_interval_read_begin(&span[i]->sub);
		}
		notify_expect_count(test, log, NOTIFY_SPAN, span[place], 1,
				    "start that one refuses");
		for (i = 0; i < 3; i++)
			span_put(test, span[i]);
		watch_put(test, watch);
	}
	KUNIT_EXPECT_EQ(test, rounds, 3U);
}

/* "Return false only if sleeping was required but [...] blockable is false" */
static void refusal_of_a_blockable_start_warns(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct span *span, *other;
	int warnings = 0;

	DMIRROR_REQUIRES_BUILTIN(test);
	span = form_get(test, log, 0, 2);
	other = form_get(test, log, 1, 2);
	span->refuse_all = true;
	kunit_warning_suppress(test) {
		invalidate(0, 4);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	span->refuse_all = false;

	KUNIT_EXPECT_EQ(test, warnings, 1);
	expect_told(test, log, other, 1, "refusal that does not count");
}

/* Nobody could read the refusal, and the mm is dying: it warns, and goes on. */
static void refusal_of_the_release_warns(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct span *span = form_get(test, log, 0, 2);
	struct span *other = form_get(test, log, 1, 2);
	int warnings = 0;

	span->refuse_all = true;
	kunit_warning_suppress(test) {
		dmirror_user_exit(test);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	KUNIT_EXPECT_EQ(test, warnings, 1);
	expect_told(test, log, other, 1, "exit with a refusal");
}

/* MMU_NOTIFY_RELEASE: "the range is no longer accessible", told to all. */
static void release_comes_when_the_mm_dies(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct span *span[2];
	unsigned long seq[2];
	unsigned int i;

	span[0] = form_get(test, log, 0, 1);
	span[1] = form_get(test, log, 100, 4);
	for (i = 0; i < 2; i++)
		seq[i] = mmu_interval_read_begin(&span[i]->sub);
	dmirror_user_exit(test);

	for (i = 0; i < 2; i++) {
		const struct notify_note *note = notify_log_find(log,
								 NOTIFY_SPAN,
								 span[i]);

		expect_told(test, log, span[i], 1, "exit");
		if (!note)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, note->event, MMU_NOTIFY_RELEASE,
				    "got %s", notify_event_name(note->event));
		KUNIT_EXPECT_EQ(test, note->start, 0UL);
		KUNIT_EXPECT_EQ(test, note->end, ULONG_MAX);
		KUNIT_EXPECT_TRUE(test, note->blockable);
		KUNIT_EXPECT_TRUE_MSG(test, span_retry(span[i], seq[i]),
				      "collision of notifier %u with exit", i);
	}
}

/* The mm that a notifier is of can be read and left after it has died. */
static void read_and_remove_after_the_mm_died(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct span *span = form_get(test, log, 0, 1);
	unsigned long seq;

	dmirror_user_exit(test);
	seq = mmu_interval_read_begin(&span->sub);
	KUNIT_EXPECT_FALSE(test, span_retry(span, seq));
	span_put(test, span);
	expect_told(test, log, span, 1, "exit and remove");
}

/*
 * c9682d10271e ("mm/mmu_notifier: fix mmget() assert in
 * __mmu_interval_notifier_insert"): mm_count was looked at, which the notifiers
 * themselves hold up. B42.
 */
static void insert_into_a_dead_mm_fails(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct mm_struct *mm = current->mm;
	struct span *span = form_get(test, log, 0, 1);
	struct span *late = form_new(test, log);
	int ret = 0, warnings = 0;

	dmirror_user_exit(test);
	kunit_warning_suppress(test) {
		ret = mmu_interval_notifier_insert(&late->sub, mm, AT(0),
						   LEN(1), span->sub.ops);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	DMIRROR_EXPECT_ERRNO(test, ret, -EINVAL, "insert into a dead mm");
	KUNIT_EXPECT_EQ(test, warnings, 1);
}

/* With mmap_lock held, before and after the mm has had a notifier. */
static void insert_under_mmap_lock(struct kunit *test)
{
	const struct form *form = test->param_value;
	struct notify_log *log = notify_log_get(test);
	struct span *span[2];
	unsigned int i;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	for (i = 0; i < 2; i++) {
		span[i] = form_new(test, log);
		mmap_write_lock(current->mm);
		ret = mmu_interval_notifier_insert_locked(&span[i]->sub,
							  current->mm, AT(0),
							  LEN(4), form->ops);
		mmap_write_unlock(current->mm);
		DMIRROR_ASSERT_OK(test, ret, "insert under mmap_lock");
		span_own(test, span[i]);
	}
	invalidate(0, 1);
	for (i = 0; i < 2; i++)
		expect_told(test, log, span[i], 1, "one page");
}

/* Both kinds of subscriber of one mm, whichever came first. */
static void both_kinds_are_told(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct watch *before, *after;
	struct span *span;

	DMIRROR_REQUIRES_BUILTIN(test);
	before = watch_get(test, log, &watch_ops);
	span = form_get(test, log, 0, 4);
	after = watch_get(test, log, &watch_ops);
	invalidate(0, 1);
	expect_told(test, log, span, 1, "one page");
	notify_expect_count(test, log, NOTIFY_START, before, 1, "one page");
	notify_expect_count(test, log, NOTIFY_START, after, 1, "one page");
	notify_expect_pairs(test, log, before, "one page");
}

static void insert_gives_up_when_killed(struct kunit *test)
{
	struct notify_log *log = notify_log_get(test);
	struct span *span = form_new(test, log);
	int ret[2];

	dmirror_user_map(test, 1, PROT_READ);
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	ret[0] = form_insert(test, span, 0, 1);
	mmap_write_lock(current->mm);
	ret[1] = mmu_interval_notifier_insert_locked(&span->sub, current->mm,
						     AT(0), LEN(1), &span_ops);
	mmap_write_unlock(current->mm);
	dmirror_unkill(test);

	DMIRROR_EXPECT_ERRNO(test, ret[0], -EINTR, "insert when killed");
	DMIRROR_EXPECT_ERRNO(test, ret[1], -EINTR,
			     "insert under mmap_lock when killed");
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(current->mm));
}

static struct kunit_case mmu_interval_notifier_cases[] = {
	KUNIT_CASE_PARAM(insert_takes_every_place_that_is_one,
			 place_gen_params),
	KUNIT_CASE_PARAM(told_of_what_overlaps_and_of_nothing_else,
			 form_gen_params),
	KUNIT_CASE_PARAM(each_of_several_is_told_once, form_gen_params),
	KUNIT_CASE(all_start_before_any_finishes),
	KUNIT_CASE_PARAM(retry_after_a_collision_only, form_gen_params),
	KUNIT_CASE_PARAM(sequence_numbers_are_odd_and_new, form_gen_params),
	KUNIT_CASE_PARAM(read_begin_waits_for_an_invalidation,
			 form_gen_params),
	KUNIT_CASE_PARAM(read_begin_waits_for_the_longest, form_gen_params),
	KUNIT_CASE_PARAM(read_begin_ignores_invalidations_elsewhere,
			 form_gen_params),
	KUNIT_CASE_PARAM(inserted_during_an_invalidation, form_gen_params),
	KUNIT_CASE_PARAM(inserted_and_removed_during_an_invalidation,
			 form_gen_params),
	KUNIT_CASE_PARAM(remove_waits_for_an_invalidation, form_gen_params),
	KUNIT_CASE_PARAM(inserted_again_after_remove, form_gen_params),
	KUNIT_CASE_PARAM(refused_start_is_over, form_gen_params),
	KUNIT_CASE_PARAM(refusal_of_a_blockable_start_warns, form_gen_params),
	KUNIT_CASE_PARAM(refusal_of_the_release_warns, form_gen_params),
	KUNIT_CASE_PARAM(release_comes_when_the_mm_dies, form_gen_params),
	KUNIT_CASE_PARAM(read_and_remove_after_the_mm_died, form_gen_params),
	KUNIT_CASE_PARAM(insert_into_a_dead_mm_fails, form_gen_params),
	KUNIT_CASE_PARAM(insert_under_mmap_lock, form_gen_params),
	KUNIT_CASE_PARAM(both_kinds_are_told, form_gen_params),
	KUNIT_CASE_PARAM(insert_gives_up_when_killed, form_gen_params),
	{}
};

DMIRROR_SUITE_AS(mmu_interval_notifier, dmirror_case_init_mm,
		 mmu_interval_notifier_cases);
