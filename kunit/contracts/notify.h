/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Subscribers that write down what core mm tells them, for the suites about
 * MMU notifiers: a watch is a classic mmu_notifier, a span is an interval
 * notifier. Several of both can write into one log, which then has the order.
 *
 * Nothing here checks: a log is looked at when the calls are over.
 */
#ifndef CONTRACTS_NOTIFY_H
#define CONTRACTS_NOTIFY_H

#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>

#include "../fixture.h"

/**
 * enum notify_call - which operation was called
 * @NOTIFY_START: invalidate_range_start of a watch
 * @NOTIFY_END: invalidate_range_end of a watch
 * @NOTIFY_RELEASE: release of a watch
 * @NOTIFY_CLEAR_FLUSH_YOUNG: clear_flush_young of a watch
 * @NOTIFY_CLEAR_YOUNG: clear_young of a watch
 * @NOTIFY_TEST_YOUNG: test_young of a watch
 * @NOTIFY_TLBS: arch_invalidate_secondary_tlbs of a watch
 * @NOTIFY_SPAN: invalidate or invalidate_start of a span
 * @NOTIFY_FINISH: invalidate_finish of a span
 */
enum notify_call {
	NOTIFY_START,
	NOTIFY_END,
	NOTIFY_RELEASE,
	NOTIFY_CLEAR_FLUSH_YOUNG,
	NOTIFY_CLEAR_YOUNG,
	NOTIFY_TEST_YOUNG,
	NOTIFY_TLBS,
	NOTIFY_SPAN,
	NOTIFY_FINISH,
};

/**
 * struct notify_note - one call
 * @call: which
 * @who: the watch or span that was called
 * @mm: whose memory
 * @event: reason, of calls that get a range
 * @blockable: whether it may sleep, of calls that get a range
 * @start: first address
 * @end: end of the addresses
 * @owner: only means something with some events
 * @seq: sequence number, of NOTIFY_SPAN
 */
struct notify_note {
	enum notify_call call;
	const void *who;
	struct mm_struct *mm;
	enum mmu_notifier_event event;
	bool blockable;
	unsigned long start;
	unsigned long end;
	void *owner;
	unsigned long seq;
};

#define NOTIFY_NOTES 48

/**
 * struct notify_log - what was told, in order
 * @lock: guards the rest
 * @nr: number of calls, of which the first NOTIFY_NOTES are kept
 * @note: the calls
 */
struct notify_log {
	spinlock_t lock; /* guards the rest */
	unsigned int nr;
	struct notify_note note[NOTIFY_NOTES];
};

/**
 * notify_log_get - make a log
 * @test: the case, which frees it
 *
 * Return: an empty log.
 */
struct notify_log *notify_log_get(struct kunit *test);

/**
 * notify_log_clear - forget what was told
 * @log: the log
 */
void notify_log_clear(struct notify_log *log);

/**
 * notify_log_count - how often something was called
 * @log: the log
 * @call: which operation
 * @who: of whom; NULL for all
 *
 * Return: the number of notes that fit.
 */
unsigned int notify_log_count(struct notify_log *log, enum notify_call call,
			      const void *who);

/**
 * notify_log_find - the first call of a kind
 * @log: the log
 * @call: which operation
 * @who: of whom; NULL for anybody
 *
 * Return: the note, NULL if there was no such call.
 */
const struct notify_note *notify_log_find(struct notify_log *log,
					  enum notify_call call,
					  const void *who);

/**
 * notify_log_text - the whole log in words, for messages
 * @test: the case, which frees it
 * @log: the log
 *
 * Return: a string.
 */
const char *notify_log_text(struct kunit *test, struct notify_log *log);

/**
 * notify_expect_count - expect a number of calls
 * @test: the case
 * @log: the log
 * @call: which operation
 * @who: of whom; NULL for all
 * @want: how many
 * @step: what was done before, for the message
 */
void notify_expect_count(struct kunit *test, struct notify_log *log,
			 enum notify_call call, const void *who,
			 unsigned int want, const char *step);

/**
 * notify_expect_pairs - expect that each end has had its start
 * @test: the case
 * @log: the log
 * @who: a watch
 * @step: what was done before, for the message
 *
 * The ranges have to be the same ones; ranges may nest.
 */
void notify_expect_pairs(struct kunit *test, struct notify_log *log,
			 const void *who, const char *step);

/**
 * struct notify_want - a call with a range, as it has to come
 * @event: the reason
 * @start: first address
 * @end: end of the addresses, 0 for any
 * @owner: the owner
 * @nonblock: it may not sleep
 */
struct notify_want {
	enum mmu_notifier_event event;
	unsigned long start;
	unsigned long end;
	void *owner;
	bool nonblock;
};

/**
 * struct notify_wants - all that has to be said about some addresses
 * @want: the calls, in order
 * @nr: how many
 * @start: first address
 * @end: end of the addresses
 * @others_too: more may be said in between
 */
struct notify_wants {
	const struct notify_want *want;
	unsigned int nr;
	unsigned long start;
	unsigned long end;
	bool others_too;
};

/**
 * notify_expect_told - expect calls about current->mm, and no other ones
 * @test: the case
 * @log: the log
 * @call: NOTIFY_START or NOTIFY_SPAN
 * @wants: the calls
 * @step: what was done before, for the message
 *
 * Context: process context.
 */
void notify_expect_told(struct kunit *test, struct notify_log *log,
			enum notify_call call, const struct notify_wants *wants,
			const char *step);

/**
 * notify_event_name - name of an event, for messages
 * @event: the event
 *
 * Return: a constant string.
 */
const char *notify_event_name(enum mmu_notifier_event event);

/**
 * struct watch - a classic subscriber
 * @mn: the subscription
 * @mm: what it is subscribed to
 * @log: where it writes
 * @young: what the questions about young pages are answered with
 * @refuse: what a start that may not sleep is answered with, 0 or an errno
 * @anonymous: anonymous pages of the mm when it was released
 * @on_start: called by a start after the note was made, or NULL
 * @on_release: called by release after the note was made, or NULL
 * @arg: for those two
 */
struct watch {
	struct mmu_notifier mn;
	struct mm_struct *mm;
	struct notify_log *log;
	bool young;
	int refuse;
	unsigned long anonymous;
	void (*on_start)(struct watch *watch);
	void (*on_release)(struct watch *watch);
	void *arg;
};

/* Everything but the secondary TLBs, which exclude start and end. */
extern const struct mmu_notifier_ops watch_ops;
/* As above, without an end: a start that refuses must not have one. */
extern const struct mmu_notifier_ops watch_refusing_ops;
/* The secondary TLBs and nothing else. */
extern const struct mmu_notifier_ops watch_tlbs_ops;
/* All operations are optional. */
extern const struct mmu_notifier_ops watch_deaf_ops;

/**
 * watch_new - make a classic subscriber that is not registered
 * @test: the case, which frees it
 * @log: where it writes
 * @ops: one of the above
 *
 * Return: the subscriber.
 */
struct watch *watch_new(struct kunit *test, struct notify_log *log,
			const struct mmu_notifier_ops *ops);

/**
 * watch_get - make a classic subscriber of current->mm
 * @test: the case, at whose end it is unregistered
 * @log: where it writes
 * @ops: one of the above
 *
 * Asserts that it worked.
 *
 * Return: the subscriber.
 */
struct watch *watch_get(struct kunit *test, struct notify_log *log,
			const struct mmu_notifier_ops *ops);

/**
 * watch_put - unregister before the case ends
 * @test: the case
 * @watch: the subscriber
 */
void watch_put(struct kunit *test, struct watch *watch);

struct span;

/**
 * struct span_finish - what a span in two passes hands on to the second one
 * @base: for core mm
 * @span: the span
 * @start: of the range
 * @end: of the range
 */
struct span_finish {
	struct mmu_interval_notifier_finish base;
	struct span *span;
	unsigned long start;
	unsigned long end;
};

/**
 * struct span - an interval notifier
 * @sub: the subscription
 * @log: where it writes
 * @lock: the user's lock of the collision-retry scheme
 * @refuse: refuse what may not sleep
 * @refuse_all: refuse what may sleep as well, which nobody may
 * @one_pass: ask for no second pass although there are two
 * @finish_was_set: *finish was not NULL at entry
 * @finish: of the pass that is running
 */
struct span {
	struct mmu_interval_notifier sub;
	struct notify_log *log;
	spinlock_t lock; /* the user's lock */
	bool refuse;
	bool refuse_all;
	bool one_pass;
	bool finish_was_set;
	struct span_finish finish;
};

/* One pass. */
extern const struct mmu_interval_notifier_ops span_ops;
/* Two passes, if the span wants. */
extern const struct mmu_interval_notifier_ops span_two_pass_ops;

/**
 * span_new - make an interval notifier that is not inserted
 * @test: the case, which frees it
 * @log: where it writes
 *
 * Return: the notifier.
 */
struct span *span_new(struct kunit *test, struct notify_log *log);

/**
 * span_get - make an interval notifier of current->mm
 * @test: the case, at whose end it is removed
 * @log: where it writes
 * @ops: one of the above
 * @start: first address
 * @len: length in bytes
 *
 * Asserts that it worked.
 *
 * Return: the notifier.
 */
struct span *span_get(struct kunit *test, struct notify_log *log,
		      const struct mmu_interval_notifier_ops *ops,
		      unsigned long start, unsigned long len);

/**
 * span_own - have the case remove a notifier that it has inserted itself
 * @test: the case
 * @span: the notifier
 */
void span_own(struct kunit *test, struct span *span);

/**
 * span_put - remove before the case ends
 * @test: the case
 * @span: the notifier
 */
void span_put(struct kunit *test, struct span *span);

/**
 * span_retry - mmu_interval_read_retry() under the user's lock
 * @span: the notifier
 * @seq: from mmu_interval_read_begin()
 *
 * Return: whether there was a collision.
 */
bool span_retry(struct span *span, unsigned long seq);

/**
 * notify_range - a range of current->mm
 * @start: first address
 * @end: end of the addresses
 *
 * Return: the range, with event MMU_NOTIFY_CLEAR.
 */
struct mmu_notifier_range notify_range(unsigned long start, unsigned long end);

/*
 * What core mm calls around its changes; not exported. In a module they do
 * nothing and return -EOPNOTSUPP or false: DMIRROR_REQUIRES_BUILTIN() first.
 */
void notify_start(struct mmu_notifier_range *range);
int notify_start_nonblock(struct mmu_notifier_range *range);
void notify_end(struct mmu_notifier_range *range);
bool notify_clear_flush_young(unsigned long start, unsigned long end);
bool notify_clear_young(unsigned long start, unsigned long end);
bool notify_test_young(unsigned long addr);
void notify_tlbs(unsigned long start, unsigned long end);

/**
 * struct invalidation - an invalidation that another thread runs
 * @holder: the thread
 * @range: what it invalidates
 * @ended: it is about to end; written before the end, read after a wait for it
 *
 * dmirror_hold() starts it; completing holder.release ends it.
 */
struct invalidation {
	struct dmirror_holder holder;
	struct mmu_notifier_range range;
	bool ended;
};

/**
 * invalidation_init - prepare an invalidation in another thread
 * @inv: to be filled in
 * @start: first address
 * @end: end of the addresses
 */
void invalidation_init(struct invalidation *inv, unsigned long start,
		       unsigned long end);

#endif /* CONTRACTS_NOTIFY_H */
