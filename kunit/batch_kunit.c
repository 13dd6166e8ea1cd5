// SPDX-License-Identifier: GPL-2.0
/*
 * The state machine of a migration: each step by itself, each way out of it,
 * and what is said of each page. Nothing is checked while a batch holds
 * mmap_lock and folio locks: what was seen is noted.
 */
#include "mirror_fixture.h"

#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "../drivers/dmirror/batch.h"
#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/uapi.h"
#include "bench.h"
#include "private_devmem.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)
#define NR 8UL

#define DEV_W (HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_WRITE)
#define RAM_W HMM_DMIRROR_PROT_WRITE

/* One letter per outcome, in the order of enum dmirror_outcome. */
static const char letters[] = "-wnuarm";

static_assert(sizeof(letters) == DMIRROR_OUTCOME_NR + 1);

/**
 * struct ride - a batch and what was noted of it
 * @bench: the bench
 * @to_devmem: which way
 * @resv: device memory, on the way there
 * @arrays: the batch's arrays
 * @batch: the batch
 * @error: what the first step returned
 * @states: the states it went through
 * @nr_states: how many
 * @seen: the outcomes at each of them
 */
struct ride {
	struct dmirror_bench bench;
	bool to_devmem;
	struct dmirror_resv resv;
	struct dmirror_arrays *arrays;
	struct dmirror_batch batch;
	int error;
	enum dmirror_batch_state states[8];
	unsigned int nr_states;
	char seen[8][NR + 1];
};

static struct dmirror_bench bench_get(struct kunit *test)
{
	struct dmirror_bench bench;

	bench.devmem = dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	bench.addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, bench.addr, NR, 1);

	return bench;
}

static struct ride *ride_get(struct kunit *test, bool to_devmem)
{
	struct ride *ride = kunit_kzalloc(test, sizeof(*ride), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ride);
	ride->bench = bench_get(test);
	ride->to_devmem = to_devmem;
	if (!to_devmem)
		bench_to_device(test, &ride->bench, ride->bench.addr, NR);

	return ride;
}

static void note(struct ride *ride)
{
	unsigned int at = ride->nr_states++;
	unsigned long i;

	ride->states[at] = ride->batch.state;
	for (i = 0; i < ride->batch.nr; i++)
		ride->seen[at][i] = letters[ride->batch.outcome[i]];
}

/* Asserts nothing any more until ride_end(). */
static void ride_begin(struct kunit *test, struct ride *ride)
{
	struct dmirror_bench *bench = &ride->bench;
	struct mm_struct *mm = current->mm;
	const struct dmirror_plan plan = {
		.devmem = bench->devmem,
		.resv = ride->to_devmem ? &ride->resv : NULL,
		.flags = &bench->mirror->flags,
		.holes_writable = true,
		.can_split = true,
	};
	struct migrate_vma args = {
		.start = bench->addr,
		.end = bench->addr + (NR << PAGE_SHIFT),
		.pgmap_owner = bench->devmem,
		.flags = ride->to_devmem ? MIGRATE_VMA_SELECT_SYSTEM :
			 MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
	};

	if (ride->to_devmem)
		DMIRROR_ASSERT_OK(test,
				  dmirror_devmem_reserve(bench->devmem, NR, 0,
							 &ride->resv),
				  "reserve");
	ride->arrays = dmirror_arrays_alloc(NR);
	KUNIT_ASSERT_NOT_NULL(test, ride->arrays);
	args.src = ride->arrays->src;
	args.dst = ride->arrays->dst;

	mmap_read_lock(mm);
	args.vma = vma_lookup(mm, bench->addr);
	dmirror_batch_vma(&ride->batch, &plan, &args, ride->arrays->outcome);
	note(ride);
}

static void ride_on(struct ride *ride, enum dmirror_batch_state until)
{
	while (!ride->error && ride->batch.state != until &&
	       ride->batch.state != DMIRROR_BATCH_DONE) {
		ride->error = dmirror_batch_step(&ride->batch);
		note(ride);
	}
}

static void ride_end(struct ride *ride)
{
	ride_on(ride, DMIRROR_BATCH_DONE);
	mmap_read_unlock(current->mm);
	dmirror_devmem_unreserve(&ride->resv);
	kvfree(ride->arrays);
}

/* The state and the outcomes at the @at-th stop. */
static void expect_seen(struct kunit *test, const struct ride *ride,
			unsigned int at, enum dmirror_batch_state state,
			const char *want)
{
	KUNIT_EXPECT_EQ_MSG(test, ride->states[at], state, "state at stop %u",
			    at);
	KUNIT_EXPECT_STREQ_MSG(test, ride->seen[at], want,
			       "outcomes of [0x%lx,0x%lx) at stop %u",
			       ride->bench.addr,
			       ride->bench.addr + (NR << PAGE_SHIFT), at);
}

static void expect_where(struct kunit *test, const struct ride *ride,
			 unsigned long first, unsigned long nr, bool on_device,
			 const char *step)
{
	unsigned long addr = ride->bench.addr + (first << PAGE_SHIFT);

	bench_expect_all(test, &ride->bench, addr, nr,
			 on_device ? DEV_W : RAM_W, step);
	bench_expect_at_rest(test, &ride->bench, addr, nr, on_device, step);
}

static const struct way {
	const char *name;
	bool to_devmem;
} ways[] = {
	{ "to_device", true },
	{ "to_ram", false },
};

KUNIT_ARRAY_PARAM_DESC(way, ways, name);

static bool way_of(struct kunit *test)
{
	const struct way *way = test->param_value;

	return way->to_devmem;
}

static void goes_through_every_state(struct kunit *test)
{
	bool to_devmem = way_of(test);
	struct ride *ride = ride_get(test, to_devmem);

	ride_begin(test, ride);
	ride_end(ride);
	KUNIT_EXPECT_EQ(test, ride->error, 0);
	KUNIT_EXPECT_EQ(test, ride->nr_states, 6U);
	expect_seen(test, ride, 0, DMIRROR_BATCH_NEW, "--------");
	expect_seen(test, ride, 1, DMIRROR_BATCH_COLLECTED, "wwwwwwww");
	expect_seen(test, ride, 2, DMIRROR_BATCH_PLANNED, "wwwwwwww");
	expect_seen(test, ride, 3, DMIRROR_BATCH_COPIED, "wwwwwwww");
	expect_seen(test, ride, 4, DMIRROR_BATCH_PLACED, "mmmmmmmm");
	expect_seen(test, ride, 5, DMIRROR_BATCH_DONE, "mmmmmmmm");
	expect_where(test, ride, 0, NR, to_devmem, "after the batch");
	bench_expect_out(test, &ride->bench, to_devmem ? NR : 0,
			 "after the batch");
	dmirror_user_check(test, ride->bench.addr, NR, 1, "after the batch");
}

static void what_cannot_be_collected_is_done_at_once(struct kunit *test)
{
	struct ride *ride = ride_get(test, way_of(test));

	ride_begin(test, ride);
	/* Core mm wants at least one page. */
	ride->batch.args.end = ride->batch.args.start;
	ride_end(ride);
	DMIRROR_EXPECT_ERRNO(test, ride->error, -EINVAL, "first step");
	KUNIT_EXPECT_EQ(test, ride->nr_states, 2U);
	expect_seen(test, ride, 1, DMIRROR_BATCH_DONE, "--------");
	expect_where(test, ride, 0, NR, !ride->to_devmem, "after the refusal");
}

static void given_up_everything_is_as_it_was(struct kunit *test)
{
	bool to_devmem = way_of(test);
	enum dmirror_batch_state state;

	for (state = DMIRROR_BATCH_NEW; state <= DMIRROR_BATCH_COPIED;
	     state++) {
		struct ride *ride = ride_get(test, to_devmem);
		bool held = state != DMIRROR_BATCH_NEW;

		ride_begin(test, ride);
		ride_on(ride, state);
		dmirror_batch_abort(&ride->batch);
		note(ride);
		if (!held)
			ride->batch.state = DMIRROR_BATCH_DONE;
		ride_end(ride);
		KUNIT_EXPECT_EQ_MSG(test, ride->error, 0, "state %u", state);
		expect_seen(test, ride, state + 1,
			    held ? DMIRROR_BATCH_ABORTED : DMIRROR_BATCH_NEW,
			    held ? "aaaaaaaa" : "--------");
		if (held)
			expect_seen(test, ride, state + 2, DMIRROR_BATCH_DONE,
				    "aaaaaaaa");
		expect_where(test, ride, 0, NR, !to_devmem, "after giving up");
		bench_expect_out(test, &ride->bench, to_devmem ? 0 : NR,
				 "after giving up");
		dmirror_user_check(test, ride->bench.addr, NR, 1,
				   "after giving up");
	}
}

static void too_late_to_give_up(struct kunit *test)
{
	bool to_devmem = way_of(test);
	struct ride *ride = ride_get(test, to_devmem);

	ride_begin(test, ride);
	ride_on(ride, DMIRROR_BATCH_PLACED);
	dmirror_batch_abort(&ride->batch);
	note(ride);
	ride_end(ride);
	expect_seen(test, ride, 5, DMIRROR_BATCH_PLACED, "mmmmmmmm");
	expect_where(test, ride, 0, NR, to_devmem, "after the batch");
	dmirror_user_check(test, ride->bench.addr, NR, 1, "after the batch");
}

/* "wwwwwwww" with another letter at one place. */
static const char *all_but(char *text, char all, unsigned long at, char other)
{
	memset(text, all, NR);
	text[at] = other;
	text[NR] = '\0';

	return text;
}

/*
 * One page after the other has a failure at a point that each page passes once:
 * from the state @stop on its outcome is @letter, and it stays.
 */
static void one_page_fails(struct kunit *test, enum dmirror_inject_point point,
			   enum dmirror_batch_state stop, char letter)
{
	bool to_devmem = way_of(test);
	char text[NR + 1];
	unsigned long i;

	for (i = 0; i < NR; i++) {
		struct ride *ride = ride_get(test, to_devmem);
		unsigned long addr = ride->bench.addr;

		dmirror_inject_arm(point, i + 1);
		ride_begin(test, ride);
		ride_end(ride);
		expect_seen(test, ride, stop - 1, stop - 1, "wwwwwwww");
		expect_seen(test, ride, stop, stop,
			    all_but(text, 'w', i, letter));
		expect_seen(test, ride, 5, DMIRROR_BATCH_DONE,
			    all_but(text, 'm', i, letter));
		expect_where(test, ride, i, 1, !to_devmem, "that failed");
		bench_expect_out(test, &ride->bench, to_devmem ? NR - 1 : 1,
				 "but for one that failed");
		dmirror_user_check(test, addr, NR, 1, "after the batch");
	}
}

static void one_page_without_memory(struct kunit *test)
{
	one_page_fails(test, way_of(test) ? DMIRROR_INJECT_BACKING_ALLOC :
		       DMIRROR_INJECT_RAM_ALLOC, DMIRROR_BATCH_PLANNED, 'n');
}

static void one_page_that_cannot_be_read(struct kunit *test)
{
	one_page_fails(test, DMIRROR_INJECT_COPY, DMIRROR_BATCH_COPIED, 'u');
}

static void a_page_held_since_is_refused(struct kunit *test)
{
	bool to_devmem = way_of(test);
	struct ride *ride = ride_get(test, to_devmem);
	struct page *held;

	ride_begin(test, ride);
	ride_on(ride, DMIRROR_BATCH_PLANNED);
	held = migrate_pfn_to_page(ride->batch.args.src[3]);
	get_page(held);
	ride_on(ride, DMIRROR_BATCH_PLACED);
	put_page(held);
	ride_end(ride);
	expect_seen(test, ride, 3, DMIRROR_BATCH_COPIED, "wwwwwwww");
	expect_seen(test, ride, 4, DMIRROR_BATCH_PLACED, "mmmrmmmm");
	expect_seen(test, ride, 5, DMIRROR_BATCH_DONE, "mmmrmmmm");
	expect_where(test, ride, 3, 1, !to_devmem, "held");
	dmirror_user_check(test, ride->bench.addr, NR, 1, "after the batch");
}

/*
 * Core mm counts the references of a system page at once, but of a device's,
 * being off by one there, only when it places them (kernel-bugs.rst).
 */
static void a_page_held_before_stays(struct kunit *test)
{
	bool to_devmem = way_of(test);
	struct ride *ride = ride_get(test, to_devmem);
	struct page *page;
	bool late;

	dmirror_cpu_pages(test, ride->bench.mirror,
			  ride->bench.addr + 5 * PAGE_SIZE, &page, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	get_page(page);
	ride_begin(test, ride);
	ride_end(ride);
	put_page(page);
	late = ride->seen[1][5] == 'w';
	KUNIT_EXPECT_FALSE_MSG(test, to_devmem && late,
			       "a system page that is held was offered");
	expect_seen(test, ride, 1, DMIRROR_BATCH_COLLECTED,
		    late ? "wwwwwwww" : "wwwww-ww");
	expect_seen(test, ride, 5, DMIRROR_BATCH_DONE,
		    late ? "mmmmmrmm" : "mmmmm-mm");
	expect_where(test, ride, 5, 1, !to_devmem, "held");
	dmirror_user_check(test, ride->bench.addr, NR, 1, "after the batch");
}

static void killed_before_the_copy_it_gives_up(struct kunit *test)
{
	bool to_devmem = way_of(test);
	struct ride *ride = ride_get(test, to_devmem);

	ride_begin(test, ride);
	ride_on(ride, DMIRROR_BATCH_PLANNED);
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	ride->error = dmirror_batch_run(&ride->batch, true);
	dmirror_unkill(test);
	note(ride);
	ride_end(ride);
	DMIRROR_EXPECT_ERRNO(test, ride->error, -EINTR, "killed");
	expect_seen(test, ride, 3, DMIRROR_BATCH_DONE, "aaaaaaaa");
	expect_where(test, ride, 0, NR, !to_devmem, "after the kill");
	dmirror_user_check(test, ride->bench.addr, NR, 1, "after the kill");
}

/* The outcome of holes, gaps in what is there, and pages elsewhere. */
static void only_what_is_there_is_offered(struct kunit *test)
{
	bool to_devmem = way_of(test);
	struct ride *ride = ride_get(test, to_devmem);
	struct dmirror_bench *bench = &ride->bench;

	DMIRROR_REQUIRES_BUILTIN(test);
	/* 0 is on the other side, 1 is a hole. */
	if (to_devmem)
		bench_to_device(test, bench, bench->addr, 1);
	else
		bench_to_ram(test, bench, bench->addr, 1, 1);
	dmirror_user_dontneed(test, bench->addr + PAGE_SIZE, 1);
	ride_begin(test, ride);
	ride_end(ride);
	/* A hole becomes a device page, but no system page. */
	expect_seen(test, ride, 5, DMIRROR_BATCH_DONE,
		    to_devmem ? "-mmmmmmm" : "--mmmmmm");
	expect_where(test, ride, 2, NR - 2, to_devmem, "after the batch");
	dmirror_user_check(test, bench->addr + PAGE_SIZE, 1, 0, "the hole");
}

/* Cannot be read by the CPU's fault: a SIGBUS, and the page stays. */
static void cpu_fault_on_an_unreadable_page(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long left;
	u8 byte;

	bench_to_device(test, &bench, bench.addr, 2);
	dmirror_inject_arm(DMIRROR_INJECT_COPY, 1);
	left = copy_from_user(&byte, (void __user *)bench.addr, 1);
	KUNIT_EXPECT_EQ_MSG(test, left, 1UL, "bytes not read");
	bench_expect_out(test, &bench, 2, "after the fault");
	bench_expect_at_rest(test, &bench, bench.addr, 2, true,
			     "after the fault");
	dmirror_user_check(test, bench.addr, NR, 1, "readable again");
}

static void eviction_leaves_what_it_cannot_read(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	unsigned long left;

	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_inject_arm(DMIRROR_INJECT_COPY, 3);
	/* The second round reads it. */
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_evict(bench.devmem, &left),
			     0, "eviction");
	KUNIT_EXPECT_EQ(test, left, 0UL);
	dmirror_user_check(test, bench.addr, NR, 1, "after the eviction");
}

static struct kunit_case batch_cases[] = {
	KUNIT_CASE_PARAM(goes_through_every_state, way_gen_params),
	KUNIT_CASE_PARAM(what_cannot_be_collected_is_done_at_once,
			 way_gen_params),
	KUNIT_CASE_PARAM(given_up_everything_is_as_it_was, way_gen_params),
	KUNIT_CASE_PARAM(too_late_to_give_up, way_gen_params),
	KUNIT_CASE_PARAM(one_page_without_memory, way_gen_params),
	KUNIT_CASE_PARAM(one_page_that_cannot_be_read, way_gen_params),
	KUNIT_CASE_PARAM(a_page_held_since_is_refused, way_gen_params),
	KUNIT_CASE_PARAM(a_page_held_before_stays, way_gen_params),
	KUNIT_CASE_PARAM(killed_before_the_copy_it_gives_up, way_gen_params),
	KUNIT_CASE_PARAM(only_what_is_there_is_offered, way_gen_params),
	KUNIT_CASE(cpu_fault_on_an_unreadable_page),
	KUNIT_CASE(eviction_leaves_what_it_cannot_read),
	{}
};

DMIRROR_SUITE(batch, dmirror_fixture_init_mm, batch_cases);
