// SPDX-License-Identifier: GPL-2.0
#include "notify.h"

#include <kunit/resource.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

static const char *const call_names[] = {
	[NOTIFY_START] = "start",
	[NOTIFY_END] = "end",
	[NOTIFY_RELEASE] = "release",
	[NOTIFY_CLEAR_FLUSH_YOUNG] = "clear_flush_young",
	[NOTIFY_CLEAR_YOUNG] = "clear_young",
	[NOTIFY_TEST_YOUNG] = "test_young",
	[NOTIFY_TLBS] = "tlbs",
	[NOTIFY_SPAN] = "span",
	[NOTIFY_FINISH] = "finish",
};

const char *notify_event_name(enum mmu_notifier_event event)
{
	static const char *const names[] = {
		[MMU_NOTIFY_UNMAP] = "UNMAP",
		[MMU_NOTIFY_CLEAR] = "CLEAR",
		[MMU_NOTIFY_PROTECTION_VMA] = "PROTECTION_VMA",
		[MMU_NOTIFY_PROTECTION_PAGE] = "PROTECTION_PAGE",
		[MMU_NOTIFY_SOFT_DIRTY] = "SOFT_DIRTY",
		[MMU_NOTIFY_RELEASE] = "RELEASE",
		[MMU_NOTIFY_MIGRATE] = "MIGRATE",
		[MMU_NOTIFY_EXCLUSIVE] = "EXCLUSIVE",
	};

	return event < ARRAY_SIZE(names) ? names[event] : "?";
}

struct notify_log *notify_log_get(struct kunit *test)
{
	struct notify_log *log = kunit_kzalloc(test, sizeof(*log), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, log);
	spin_lock_init(&log->lock);

	return log;
}

static void log_note(struct notify_log *log, const struct notify_note *note)
{
	unsigned long flags;

	spin_lock_irqsave(&log->lock, flags);
	if (log->nr < NOTIFY_NOTES)
		log->note[log->nr] = *note;
	log->nr++;
	spin_unlock_irqrestore(&log->lock, flags);
}

void notify_log_clear(struct notify_log *log)
{
	unsigned long flags;

	spin_lock_irqsave(&log->lock, flags);
	log->nr = 0;
	spin_unlock_irqrestore(&log->lock, flags);
}

static unsigned int kept(const struct notify_log *log)
{
	return min(log->nr, NOTIFY_NOTES);
}

static bool is_call(const struct notify_note *note, enum notify_call call,
		    const void *who)
{
	return note->call == call && (!who || note->who == who);
}

unsigned int notify_log_count(struct notify_log *log, enum notify_call call,
			      const void *who)
{
	unsigned int i, count = 0;

	for (i = 0; i < kept(log); i++)
		count += is_call(&log->note[i], call, who);

	return count;
}

const struct notify_note *notify_log_find(struct notify_log *log,
					  enum notify_call call,
					  const void *who)
{
	unsigned int i;

	for (i = 0; i < kept(log); i++)
		if (is_call(&log->note[i], call, who))
			return &log->note[i];

	return NULL;
}

/* Room for one note in words. */
#define NOTE_TEXT 80

const char *notify_log_text(struct kunit *test, struct notify_log *log)
{
	size_t size = NOTE_TEXT * (kept(log) + 1), at = 0;
	char *text = kunit_kzalloc(test, size, GFP_KERNEL);
	unsigned int i;

	if (!text)
		return "(no memory for the log)";
	if (!log->nr)
		return "nothing";

	for (i = 0; i < kept(log); i++) {
		const struct notify_note *note = &log->note[i];

		at += scnprintf(text + at, size - at, "%s%s %s [0x%lx,0x%lx)",
				i ? ", " : "", call_names[note->call],
				notify_event_name(note->event), note->start,
				note->end);
	}
	if (log->nr > NOTIFY_NOTES)
		scnprintf(text + at, size - at, ", %u more",
			  log->nr - NOTIFY_NOTES);

	return text;
}

void notify_expect_count(struct kunit *test, struct notify_log *log,
			 enum notify_call call, const void *who,
			 unsigned int want, const char *step)
{
	unsigned int got = notify_log_count(log, call, who);

	KUNIT_EXPECT_EQ_MSG(test, got, want,
			    "%s: got %u calls of %s wanted %u; the log: %s",
			    step, got, call_names[call], want,
			    notify_log_text(test, log));
}

static bool is_wanted(const struct notify_note *note,
		      const struct notify_want *want)
{
	return note->event == want->event && note->start == want->start &&
	       note->end == (want->end ?: note->end) &&
	       note->end > note->start && note->mm == current->mm &&
	       note->owner == want->owner && note->blockable == !want->nonblock;
}

void notify_expect_told(struct kunit *test, struct notify_log *log,
			enum notify_call call, const struct notify_wants *wants,
			const char *step)
{
	const struct notify_want *want = wants->want;
	unsigned int i, found = 0;

	for (i = 0; i < kept(log); i++) {
		const struct notify_note *note = &log->note[i];

		if (note->call != call || note->start >= wants->end ||
		    note->end <= wants->start)
			continue;
		if (found < wants->nr && is_wanted(note, &want[found])) {
			found++;
			continue;
		}
		if (wants->others_too)
			continue;
		KUNIT_FAIL(test, "%s at 0x%lx: %s [0x%lx,0x%lx) is not event %u of %u; the log: %s",
			   step, wants->start, notify_event_name(note->event),
			   note->start, note->end, found + 1, wants->nr,
			   notify_log_text(test, log));
		return;
	}
	if (found < wants->nr)
		KUNIT_FAIL(test, "%s at 0x%lx: no %s from 0x%lx on, event %u of %u; the log: %s",
			   step, wants->start,
			   notify_event_name(want[found].event),
			   want[found].start, found + 1, wants->nr,
			   notify_log_text(test, log));
}

void notify_expect_pairs(struct kunit *test, struct notify_log *log,
			 const void *who, const char *step)
{
	const struct notify_note *open[NOTIFY_NOTES], *note;
	unsigned int i, depth = 0;

	for (i = 0; i < kept(log); i++) {
		note = &log->note[i];
		if (is_call(note, NOTIFY_START, who)) {
			open[depth++] = note;
			continue;
		}
		if (!is_call(note, NOTIFY_END, who))
			continue;
		if (!depth || open[depth - 1]->start != note->start ||
		    open[depth - 1]->end != note->end) {
			KUNIT_FAIL(test, "%s: end [0x%lx,0x%lx) has no start; the log: %s",
				   step, note->start, note->end,
				   notify_log_text(test, log));
			return;
		}
		depth--;
	}
	KUNIT_EXPECT_EQ_MSG(test, depth, 0U,
			    "%s: %u starts have no end; the log: %s", step,
			    depth, notify_log_text(test, log));
}

static struct watch *to_watch(struct mmu_notifier *mn)
{
	return container_of(mn, struct watch, mn);
}

static void note_range(struct watch *watch, enum notify_call call,
		       const struct mmu_notifier_range *range)
{
	log_note(watch->log, &(struct notify_note){
		.call = call,
		.who = watch,
		.mm = range->mm,
		.event = range->event,
		.blockable = mmu_notifier_range_blockable(range),
		.start = range->start,
		.end = range->end,
		.owner = range->owner,
	});
}

static void note_addrs(struct watch *watch, enum notify_call call,
		       struct mm_struct *mm, unsigned long start,
		       unsigned long end)
{
	log_note(watch->log, &(struct notify_note){
		.call = call,
		.who = watch,
		.mm = mm,
		.start = start,
		.end = end,
	});
}

static int watch_start(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	struct watch *watch = to_watch(mn);

	note_range(watch, NOTIFY_START, range);
	if (watch->on_start)
		watch->on_start(watch);

	return mmu_notifier_range_blockable(range) ? 0 : watch->refuse;
}

/* Refuses what may sleep as well, which nobody may. */
static int watch_refuse(struct mmu_notifier *mn,
			const struct mmu_notifier_range *range)
{
	struct watch *watch = to_watch(mn);

	note_range(watch, NOTIFY_START, range);

	return watch->refuse;
}

static void watch_end(struct mmu_notifier *mn,
		      const struct mmu_notifier_range *range)
{
	note_range(to_watch(mn), NOTIFY_END, range);
}

static void watch_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct watch *watch = to_watch(mn);

	watch->anonymous = get_mm_counter_sum(mm, MM_ANONPAGES);
	note_addrs(watch, NOTIFY_RELEASE, mm, 0, 0);
	if (watch->on_release)
		watch->on_release(watch);
}

static bool watch_clear_flush_young(struct mmu_notifier *mn,
				    struct mm_struct *mm, unsigned long start,
				    unsigned long end)
{
	note_addrs(to_watch(mn), NOTIFY_CLEAR_FLUSH_YOUNG, mm, start, end);

	return to_watch(mn)->young;
}

static bool watch_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
			      unsigned long start, unsigned long end)
{
	note_addrs(to_watch(mn), NOTIFY_CLEAR_YOUNG, mm, start, end);

	return to_watch(mn)->young;
}

static bool watch_test_young(struct mmu_notifier *mn, struct mm_struct *mm,
			     unsigned long addr)
{
	note_addrs(to_watch(mn), NOTIFY_TEST_YOUNG, mm, addr, addr);

	return to_watch(mn)->young;
}

static void watch_tlbs(struct mmu_notifier *mn, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	note_addrs(to_watch(mn), NOTIFY_TLBS, mm, start, end);
}

const struct mmu_notifier_ops watch_ops = {
	.release = watch_release,
	.clear_flush_young = watch_clear_flush_young,
	.clear_young = watch_clear_young,
	.test_young = watch_test_young,
	.invalidate_range_start = watch_start,
	.invalidate_range_end = watch_end,
};

const struct mmu_notifier_ops watch_refusing_ops = {
	.invalidate_range_start = watch_refuse,
};

const struct mmu_notifier_ops watch_tlbs_ops = {
	.arch_invalidate_secondary_tlbs = watch_tlbs,
};

const struct mmu_notifier_ops watch_deaf_ops = { };

struct watch *watch_new(struct kunit *test, struct notify_log *log,
			const struct mmu_notifier_ops *ops)
{
	struct watch *watch = kunit_kzalloc(test, sizeof(*watch), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, watch);
	watch->mm = current->mm;
	watch->log = log;
	watch->mn.ops = ops;

	return watch;
}

static void watch_unregister(void *data)
{
	struct watch *watch = data;

	mmu_notifier_unregister(&watch->mn, watch->mm);
}

struct watch *watch_get(struct kunit *test, struct notify_log *log,
			const struct mmu_notifier_ops *ops)
{
	struct watch *watch = watch_new(test, log, ops);

	DMIRROR_ASSERT_OK(test, mmu_notifier_register(&watch->mn, watch->mm),
			  "mmu_notifier_register");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, watch_unregister,
							watch), 0);

	return watch;
}

void watch_put(struct kunit *test, struct watch *watch)
{
	kunit_release_action(test, watch_unregister, watch);
}

static struct span *to_span(struct mmu_interval_notifier *sub)
{
	return container_of(sub, struct span, sub);
}

static bool span_told(struct span *span, const struct mmu_notifier_range *range,
		      unsigned long cur_seq)
{
	spin_lock(&span->lock);
	mmu_interval_set_seq(&span->sub, cur_seq);
	spin_unlock(&span->lock);
	log_note(span->log, &(struct notify_note){
		.call = NOTIFY_SPAN,
		.who = span,
		.mm = range->mm,
		.event = range->event,
		.blockable = mmu_notifier_range_blockable(range),
		.start = range->start,
		.end = range->end,
		.owner = range->owner,
		.seq = cur_seq,
	});

	if (span->refuse_all)
		return false;

	return !span->refuse || mmu_notifier_range_blockable(range);
}

static bool span_invalidate(struct mmu_interval_notifier *sub,
			    const struct mmu_notifier_range *range,
			    unsigned long cur_seq)
{
	return span_told(to_span(sub), range, cur_seq);
}

static bool span_invalidate_start(struct mmu_interval_notifier *sub,
				  const struct mmu_notifier_range *range,
				  unsigned long cur_seq,
				  struct mmu_interval_notifier_finish **finish)
{
	struct span *span = to_span(sub);

	if (*finish)
		span->finish_was_set = true;
	if (!span_told(span, range, cur_seq))
		return false;
	if (span->one_pass)
		return true;
	span->finish = (struct span_finish){
		.span = span, .start = range->start, .end = range->end,
	};
	*finish = &span->finish.base;

	return true;
}

static void span_invalidate_finish(struct mmu_interval_notifier_finish *base)
{
	struct span_finish *finish = container_of(base, struct span_finish,
						  base);
	struct span *span = to_span(base->notifier);

	log_note(span->log, &(struct notify_note){
		.call = NOTIFY_FINISH,
		.who = span == finish->span ? span : NULL,
		.mm = span->sub.mm,
		.start = finish->start,
		.end = finish->end,
	});
}

const struct mmu_interval_notifier_ops span_ops = {
	.invalidate = span_invalidate,
};

const struct mmu_interval_notifier_ops span_two_pass_ops = {
	.invalidate_start = span_invalidate_start,
	.invalidate_finish = span_invalidate_finish,
};

struct span *span_new(struct kunit *test, struct notify_log *log)
{
	struct span *span = kunit_kzalloc(test, sizeof(*span), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, span);
	span->log = log;
	spin_lock_init(&span->lock);

	return span;
}

static void span_remove(void *data)
{
	struct span *span = data;

	mmu_interval_notifier_remove(&span->sub);
}

void span_own(struct kunit *test, struct span *span)
{
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, span_remove,
							span), 0);
}

struct span *span_get(struct kunit *test, struct notify_log *log,
		      const struct mmu_interval_notifier_ops *ops,
		      unsigned long start, unsigned long len)
{
	struct span *span = span_new(test, log);

	DMIRROR_ASSERT_OK(test, mmu_interval_notifier_insert(&span->sub,
							     current->mm,
							     start, len, ops),
			  "mmu_interval_notifier_insert");
	span_own(test, span);

	return span;
}

void span_put(struct kunit *test, struct span *span)
{
	kunit_release_action(test, span_remove, span);
}

bool span_retry(struct span *span, unsigned long seq)
{
	bool retry;

	spin_lock(&span->lock);
	retry = mmu_interval_read_retry(&span->sub, seq);
	spin_unlock(&span->lock);

	return retry;
}

struct mmu_notifier_range notify_range(unsigned long start, unsigned long end)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init_owner(&range, MMU_NOTIFY_CLEAR, 0, current->mm,
				      start, end, NULL);

	return range;
}

#ifdef MODULE

void notify_start(struct mmu_notifier_range *range)
{
}

int notify_start_nonblock(struct mmu_notifier_range *range)
{
	return -EOPNOTSUPP;
}

void notify_end(struct mmu_notifier_range *range)
{
}

bool notify_clear_flush_young(unsigned long start, unsigned long end)
{
	return false;
}

bool notify_clear_young(unsigned long start, unsigned long end)
{
	return false;
}

bool notify_test_young(unsigned long addr)
{
	return false;
}

void notify_tlbs(unsigned long start, unsigned long end)
{
}

#else

void notify_start(struct mmu_notifier_range *range)
{
	mmu_notifier_invalidate_range_start(range);
}

int notify_start_nonblock(struct mmu_notifier_range *range)
{
	return mmu_notifier_invalidate_range_start_nonblock(range);
}

void notify_end(struct mmu_notifier_range *range)
{
	mmu_notifier_invalidate_range_end(range);
}

bool notify_clear_flush_young(unsigned long start, unsigned long end)
{
	return mmu_notifier_clear_flush_young(current->mm, start, end);
}

bool notify_clear_young(unsigned long start, unsigned long end)
{
	return mmu_notifier_clear_young(current->mm, start, end);
}

bool notify_test_young(unsigned long addr)
{
	return mmu_notifier_test_young(current->mm, addr);
}

void notify_tlbs(unsigned long start, unsigned long end)
{
	mmu_notifier_arch_invalidate_secondary_tlbs(current->mm, start, end);
}

#endif /* MODULE */

static void invalidation_start(void *data)
{
	struct invalidation *inv = data;

	notify_start(&inv->range);
}

static void invalidation_end(void *data)
{
	struct invalidation *inv = data;

	WRITE_ONCE(inv->ended, true);
	notify_end(&inv->range);
}

void invalidation_init(struct invalidation *inv, unsigned long start,
		       unsigned long end)
{
	*inv = (struct invalidation){
		.holder = {
			.lock = invalidation_start,
			.unlock = invalidation_end,
			.arg = inv,
		},
		.range = notify_range(start, end),
	};
}
