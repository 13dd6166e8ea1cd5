// SPDX-License-Identifier: GPL-2.0
/*
 * The driver's tracepoints say what happened: each with its values, in order,
 * and nothing else.
 */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/mman.h>
#include <linux/spinlock.h>

#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/trace.h"
#include "bench.h"
#include "private_devmem.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)
#define ENTRIES 16

/**
 * struct ledger - what the tracepoints said
 * @lock: guards the rest; probes run with preemption off
 * @of: the object whose events are noted
 * @nr: how many there were, also those that had no room
 * @lines: in order, as text
 */
struct ledger {
	spinlock_t lock;
	const void *of;
	unsigned int nr;
	char lines[ENTRIES][80];
};

static __printf(3, 4) void note(struct ledger *ledger, const void *of,
				const char *fmt, ...)
{
	unsigned long flags;
	va_list args;

	if (of != ledger->of)
		return;
	va_start(args, fmt);
	spin_lock_irqsave(&ledger->lock, flags);
	if (ledger->nr < ENTRIES)
		vsnprintf(ledger->lines[ledger->nr], sizeof(ledger->lines[0]),
			  fmt, args);
	ledger->nr++;
	spin_unlock_irqrestore(&ledger->lock, flags);
	va_end(args);
}

static void on_invalidate(void *data, const void *mirror, unsigned long start,
			  unsigned long end, unsigned long cleared,
			  bool two_pass)
{
	note(data, mirror, "invalidate 0x%lx 0x%lx cleared %lu passes %d",
	     start, end, cleared, two_pass ? 2 : 1);
}

static void on_fault(void *data, const void *mirror, unsigned long start,
		     unsigned long end, int perm, int ret)
{
	note(data, mirror, "fault 0x%lx 0x%lx perm %d ret %d", start, end, perm,
	     ret);
}

static void on_migrate(void *data, const void *devmem, const char *what,
		       unsigned long start, unsigned long nr,
		       unsigned long moved, int ret)
{
	note(data, devmem, "migrate %s 0x%lx nr %lu moved %lu ret %d", what,
	     start, nr, moved, ret);
}

static void on_evict(void *data, const void *devmem, unsigned long before,
		     unsigned long left)
{
	note(data, devmem, "evict before %lu left %lu", before, left);
}

static void on_chunk(void *data, const void *devmem, unsigned long first_pfn,
		     unsigned long nr_pages, bool added)
{
	note(data, devmem, "chunk 0x%lx nr %lu added %d", first_pfn, nr_pages,
	     added);
}

static void ledger_end(void *data)
{
	unregister_trace_dmirror_invalidate(on_invalidate, data);
	unregister_trace_dmirror_fault(on_fault, data);
	unregister_trace_dmirror_migrate(on_migrate, data);
	unregister_trace_dmirror_evict(on_evict, data);
	unregister_trace_dmirror_chunk(on_chunk, data);
	/* Nobody is in a probe any more, then it can go. */
	tracepoint_synchronize_unregister();
	kfree(data);
}

static struct ledger *ledger_of(struct kunit *test, const void *of)
{
	struct ledger *ledger;

	DMIRROR_REQUIRES_CONFIG(test, TRACEPOINTS);
	ledger = kzalloc_obj(*ledger);
	KUNIT_ASSERT_NOT_NULL(test, ledger);
	spin_lock_init(&ledger->lock);
	ledger->of = of;
	KUNIT_EXPECT_EQ(test,
			register_trace_dmirror_invalidate(on_invalidate,
							  ledger), 0);
	KUNIT_EXPECT_EQ(test, register_trace_dmirror_fault(on_fault, ledger),
			0);
	KUNIT_EXPECT_EQ(test, register_trace_dmirror_migrate(on_migrate,
							     ledger), 0);
	KUNIT_EXPECT_EQ(test, register_trace_dmirror_evict(on_evict, ledger),
			0);
	KUNIT_EXPECT_EQ(test, register_trace_dmirror_chunk(on_chunk, ledger),
			0);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, ledger_end,
							ledger), 0);

	return ledger;
}

/* Expects the next line, and forgets what was before. */
static __printf(4, 5) void expect_line(struct kunit *test,
				       const struct ledger *ledger,
				       unsigned int at, const char *fmt, ...)
{
	char want[sizeof(ledger->lines[0])];
	va_list args;

	va_start(args, fmt);
	vsnprintf(want, sizeof(want), fmt, args);
	va_end(args);
	if (at >= ledger->nr)
		KUNIT_FAIL(test, "event %u: got none wanted \"%s\"", at, want);
	else
		KUNIT_EXPECT_STREQ_MSG(test, ledger->lines[at], want,
				       "event %u", at);
}

static void expect_no_more(struct kunit *test, const struct ledger *ledger,
			   unsigned int nr)
{
	KUNIT_EXPECT_EQ_MSG(test, ledger->nr, nr, "events; the last is \"%s\"",
			    ledger->nr ?
			    ledger->lines[min(ledger->nr, ENTRIES) - 1] : "");
}

static void migrations_are_told(struct kunit *test)
{
	struct dmirror_bench bench;
	struct ledger *ledger;
	unsigned long left, pfn;

	bench.devmem = dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	ledger = ledger_of(test, bench.devmem);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	bench.addr = dmirror_user_map(test, 4, RW);
	dmirror_user_fill(test, bench.addr, 4, 1);

	bench_to_device(test, &bench, bench.addr, 4);
	pfn = list_first_entry(&bench.devmem->chunks, struct dmirror_chunk,
			       node)->first_pfn;
	expect_line(test, ledger, 0, "chunk 0x%lx nr %lu added 1", pfn,
		    PRIVATE_CHUNK);
	expect_line(test, ledger, 1,
		    "migrate to_devmem 0x%lx nr 4 moved 4 ret 0", bench.addr);
	dmirror_user_check(test, bench.addr, 1, 1, "by the CPU");
	expect_line(test, ledger, 2, "migrate fault 0x%lx nr 1 moved 1 ret 0",
		    bench.addr);
	bench_to_ram(test, &bench, bench.addr, 2, 1);
	expect_line(test, ledger, 3, "migrate to_ram 0x%lx nr 2 moved 1 ret 0",
		    bench.addr);
	expect_no_more(test, ledger, 4);

	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_evict(bench.devmem, &left),
			     0, "eviction");
	expect_line(test, ledger, 4, "migrate evict 0x%lx nr %lu moved 2 ret 0",
		    pfn, DMIRROR_BATCH);
	KUNIT_EXPECT_EQ_MSG(test, ledger->nr, 5 + PRIVATE_CHUNK / DMIRROR_BATCH,
			    "events after the eviction");
	expect_line(test, ledger, ledger->nr - 1, "evict before 2 left 0");
	ledger->nr = 0;
	DMIRROR_EXPECT_ERRNO(test, dmirror_devmem_fini(bench.devmem), 0, "end");
	expect_line(test, ledger, 0, "chunk 0x%lx nr %lu added 0", pfn,
		    PRIVATE_CHUNK);
	expect_no_more(test, ledger, 1);
}

static void faults_and_invalidations_are_told(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	int passes = dmirror_two_pass(test) ? 2 : 1;
	struct ledger *ledger = ledger_of(test, mirror);
	unsigned long addr = dmirror_user_map(test, 4, RW);
	unsigned long vpn = addr >> PAGE_SHIFT;

	dmirror_device_write(test, mirror, addr, 4, 1, "first");
	expect_line(test, ledger, 0, "fault 0x%lx 0x%lx perm %d ret 0", addr,
		    addr + 4 * PAGE_SIZE, DMIRROR_PERM_WRITE);
	dmirror_user_unmap(test, addr + PAGE_SIZE, 2);
	expect_line(test, ledger, 1,
		    "invalidate 0x%lx 0x%lx cleared 2 passes %d", vpn + 1,
		    vpn + 3, passes);
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_mirror_fault(mirror, addr + PAGE_SIZE,
						  addr + 2 * PAGE_SIZE,
						  DMIRROR_PERM_READ, 0),
			     -EFAULT, "fault on nothing");
	expect_line(test, ledger, 2, "fault 0x%lx 0x%lx perm %d ret %d",
		    addr + PAGE_SIZE, addr + 2 * PAGE_SIZE, DMIRROR_PERM_READ,
		    -EFAULT);
	expect_no_more(test, ledger, 3);
}

static struct kunit_case trace_cases[] = {
	KUNIT_CASE(migrations_are_told),
	KUNIT_CASE(faults_and_invalidations_are_told),
	{}
};

DMIRROR_SUITE(trace, dmirror_fixture_init_mm, trace_cases);
