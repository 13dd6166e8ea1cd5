// SPDX-License-Identifier: GPL-2.0
/*
 * The file: every command as a process gives it, what it tells when it works,
 * when it works in part and when it does not.
 */
#include "mirror_fixture.h"

#include <kunit/static_stub.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <uapi/asm/ioctls.h>

#include "../drivers/dmirror/device.h"
#include "../drivers/dmirror/fops.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/pagemap.h"
#include "device_file.h"
#include "private_devmem.h"
#include "race.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

#define DEV_W (HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_WRITE)

/* Pages of most cases: two whole windows and a part of a third. */
#define NR 150UL

/* A window, the driver's own: what a command works on at once. */
#define WINDOW DMIRROR_BATCH

/* What is in the fields that a command has to set. */
#define GARBAGE 0x5a5a5a5aULL

/**
 * struct bench - what most cases work on
 * @devmem: device-private memory, or NULL
 * @mirror: mirror of the case's mm
 * @addr: NR pages, mapped RW and untouched
 * @buf: NR pages for the command's data
 */
struct bench {
	struct dmirror_devmem *devmem;
	struct dmirror_mirror *mirror;
	unsigned long addr;
	unsigned long buf;
};

static struct bench bench_on(struct kunit *test, struct dmirror_devmem *devmem)
{
	return (struct bench){
		.devmem = devmem,
		.mirror = dmirror_mirror_get(test, devmem),
		.addr = dmirror_user_map(test, NR, RW),
		.buf = dmirror_user_map(test, NR, RW),
	};
}

/* Without device memory: what runs on every kernel. */
static struct bench bench_get(struct kunit *test)
{
	return bench_on(test, NULL);
}

/* With device memory, and the range full of pattern 1. */
static struct bench bench_get_private(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	struct bench bench = bench_on(test, devmem);

	dmirror_user_fill(test, bench.addr, NR, 1);

	return bench;
}

/* Commands that work on a range. */
static const struct {
	unsigned int command;
	const char *name;
} ranged[] = {
	{ HMM_DMIRROR_READ, "READ" },
	{ HMM_DMIRROR_WRITE, "WRITE" },
	{ HMM_DMIRROR_MIGRATE_TO_DEV, "MIGRATE_TO_DEV" },
	{ HMM_DMIRROR_MIGRATE_TO_SYS, "MIGRATE_TO_SYS" },
	{ HMM_DMIRROR_SNAPSHOT, "SNAPSHOT" },
	{ HMM_DMIRROR_EXCLUSIVE, "EXCLUSIVE" },
	{ HMM_DMIRROR_CHECK_EXCLUSIVE, "CHECK_EXCLUSIVE" },
	{ HMM_DMIRROR_READ_UNLOCKED, "READ_UNLOCKED" },
};

static struct hmm_dmirror_cmd cmd_of(const struct bench *bench,
				     unsigned long npages)
{
	return (struct hmm_dmirror_cmd){
		.addr = bench->addr,
		.ptr = bench->buf,
		.npages = npages,
		.cpages = GARBAGE,
		.faults = GARBAGE,
	};
}

/* Carries out a command and expects it to return @want, with @cpages done. */
static void expect_command(struct kunit *test, const struct bench *bench,
			   unsigned int command, struct hmm_dmirror_cmd *cmd,
			   int want, unsigned long cpages, const char *step)
{
	DMIRROR_EXPECT_ERRNO(test, dmirror_fops_command(bench->mirror, command,
							cmd), want, step);
	KUNIT_EXPECT_EQ_MSG(test, cmd->cpages, cpages,
			    "%s of [0x%llx,+%llu pages): pages done", step,
			    cmd->addr, cmd->npages);
}

/* The same for @npages of the bench, all of which has to work. */
static void expect_done(struct kunit *test, const struct bench *bench,
			unsigned int command, unsigned long npages,
			unsigned long faults, const char *step)
{
	struct hmm_dmirror_cmd cmd = cmd_of(bench, npages);

	expect_command(test, bench, command, &cmd, 0, npages, step);
	KUNIT_EXPECT_EQ_MSG(test, cmd.faults, faults, "%s: faults", step);
}

static void expect_out(struct kunit *test, const struct bench *bench,
		       unsigned long want, const char *step)
{
	KUNIT_EXPECT_EQ_MSG(test, dmirror_pages_out(bench->devmem), want,
			    "device pages in use %s", step);
}

static void to_device(struct kunit *test, const struct bench *bench)
{
	struct hmm_dmirror_cmd cmd = cmd_of(bench, NR);

	DMIRROR_ASSERT_OK(test, dmirror_fops_command(bench->mirror,
						     HMM_DMIRROR_MIGRATE_TO_DEV,
						     &cmd),
			  "migration to the device");
	expect_out(test, bench, NR, "after migration to the device");
}

/* Takes one page of the range away, so that it has a hole there. */
static void punch(struct kunit *test, unsigned long addr, unsigned long page)
{
	dmirror_user_unmap(test, addr + (page << PAGE_SHIFT), 1);
}

/* Carries out a command while a page of the range has a reference more. */
static int command_with_page_held(struct kunit *test, const struct bench *bench,
				  unsigned int command,
				  struct hmm_dmirror_cmd *cmd,
				  unsigned long page_nr)
{
	struct page *page;
	int ret;

	dmirror_cpu_pages(test, bench->mirror,
			  bench->addr + (page_nr << PAGE_SHIFT), &page, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	get_page(page);
	ret = dmirror_fops_command(bench->mirror, command, cmd);
	put_page(page);

	return ret;
}

static void written_and_read_in_every_length(struct kunit *test)
{
	static const unsigned long lengths[] = {
		1, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW, NR,
	};
	struct bench bench = bench_get(test);
	unsigned int i;

	bench.buf = dmirror_user_map(test, NR + 1, RW);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		unsigned long n = lengths[i];

		bench.addr = dmirror_user_map(test, n, RW);
		dmirror_user_fill(test, bench.buf, NR, 2 + i);
		expect_done(test, &bench, HMM_DMIRROR_WRITE, n, 1, "WRITE");
		dmirror_user_check(test, bench.addr, n, 2 + i, "after WRITE");
		dmirror_user_fill(test, bench.buf, n, 1);
		dmirror_user_fill(test, bench.buf + n * PAGE_SIZE, 1, 1);
		expect_done(test, &bench, HMM_DMIRROR_READ, n, 0, "READ");
		dmirror_user_check(test, bench.buf, n, 2 + i, "after READ");
		dmirror_user_check(test, bench.buf + n * PAGE_SIZE, 1, 1,
				   "behind what was read");
	}
}

/* However long a fresh range is: hmm-tests rely on it. */
static void fresh_range_takes_one_fault(struct kunit *test)
{
	struct bench bench = bench_get(test);

	expect_done(test, &bench, HMM_DMIRROR_READ, NR, 1, "first READ");
	expect_done(test, &bench, HMM_DMIRROR_READ, NR, 0, "second READ");
	dmirror_user_check(test, bench.buf, NR, 0, "after READ");
	dmirror_user_fill(test, bench.buf, NR, 2);
	expect_done(test, &bench, HMM_DMIRROR_WRITE, NR, 1, "first WRITE");
	expect_done(test, &bench, HMM_DMIRROR_WRITE, NR, 0, "second WRITE");
	dmirror_user_check(test, bench.addr, NR, 2, "after WRITE");
}

static void unlocked_read_does_the_same(struct kunit *test)
{
	struct bench bench = bench_get(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);
	struct dmirror_race race = { };
	long ret;

	dmirror_user_fill(test, bench.addr, NR, 1);
	dmirror_race_with(test, &race);
	ret = dmirror_fops_command(bench.mirror, HMM_DMIRROR_READ_UNLOCKED,
				   &cmd);
	if (ret == -EOPNOTSUPP)
		kunit_skip(test, "needs hmm_range_fault_unlocked_timeout()");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "first READ_UNLOCKED");
	KUNIT_EXPECT_EQ(test, cmd.cpages, NR);
	KUNIT_EXPECT_EQ_MSG(test, cmd.faults, 1ULL, "faults");
	dmirror_user_check(test, bench.buf, NR, 1, "after READ_UNLOCKED");
	expect_done(test, &bench, HMM_DMIRROR_READ_UNLOCKED, NR, 0,
		    "second READ_UNLOCKED");

	/* Errors come through as well. */
	punch(test, bench.addr, NR - 1);
	expect_command(test, &bench, HMM_DMIRROR_READ_UNLOCKED, &cmd, -EFAULT,
		       NR - 1, "READ_UNLOCKED with a hole at the end");
	/* Not by way of the function that holds mmap_lock. */
	dmirror_race_done(test, &race, 0);
}

/* What was done before the hole is told: what has no entry yet in batches. */
static void hole_in_the_range_is_told(struct kunit *test)
{
	const unsigned long hole = 2 * WINDOW + 5;
	struct bench bench = bench_get(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);

	dmirror_user_fill(test, bench.addr, NR, 1);
	punch(test, bench.addr, hole);
	expect_command(test, &bench, HMM_DMIRROR_READ, &cmd, -EFAULT,
		       2 * WINDOW, "READ with a hole in the third window");
	KUNIT_EXPECT_GT_MSG(test, cmd.faults, 0ULL, "faults");
	dmirror_user_check(test, bench.buf, 2 * WINDOW, 1,
			   "after a READ that failed later");
	dmirror_user_check(test, bench.buf + 2 * WINDOW * PAGE_SIZE, 1, 0,
			   "behind what was told");

	expect_done(test, &bench, HMM_DMIRROR_READ, hole, 1, "short READ");
	expect_command(test, &bench, HMM_DMIRROR_READ, &cmd, -EFAULT, hole,
		       "READ with entries up to the hole");
	dmirror_user_check(test, bench.buf, hole, 1,
			   "after a READ that failed later");
	dmirror_user_fill(test, bench.buf, NR, 2);
	expect_command(test, &bench, HMM_DMIRROR_WRITE, &cmd, -EFAULT, hole,
		       "WRITE with entries up to the hole");
	dmirror_user_check(test, bench.addr, hole, 2,
			   "after a WRITE that failed later");
}

/* The range is whole, the user's buffer has a hole in the second window. */
static void hole_in_the_buffer_is_told(struct kunit *test)
{
	struct bench bench = bench_get(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);

	dmirror_user_fill(test, bench.addr, NR, 1);
	dmirror_user_fill(test, bench.buf, NR, 2);
	punch(test, bench.buf, WINDOW + 6);
	expect_command(test, &bench, HMM_DMIRROR_READ, &cmd, -EFAULT, WINDOW,
		       "READ into a buffer with a hole");
	dmirror_user_check(test, bench.buf, WINDOW, 1, "after the READ");

	dmirror_user_fill(test, bench.buf, WINDOW, 2);
	expect_command(test, &bench, HMM_DMIRROR_WRITE, &cmd, -EFAULT, WINDOW,
		       "WRITE from a buffer with a hole");
	dmirror_user_check(test, bench.addr, WINDOW, 2, "after the WRITE");
	dmirror_device_read(test, bench.mirror, bench.addr, WINDOW, 2,
			    "after the WRITE");
}

static void buffer_that_is_no_buffer(struct kunit *test)
{
	struct bench bench = bench_get(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);

	dmirror_user_fill(test, bench.addr, NR, 1);
	cmd.ptr = 0;
	expect_command(test, &bench, HMM_DMIRROR_READ, &cmd, -EFAULT, 0,
		       "READ to nowhere");
	expect_command(test, &bench, HMM_DMIRROR_WRITE, &cmd, -EFAULT, 0,
		       "WRITE from nowhere");
	expect_command(test, &bench, HMM_DMIRROR_SNAPSHOT, &cmd, -EFAULT, 0,
		       "SNAPSHOT to nowhere");
	cmd.ptr = U64_MAX & PAGE_MASK;
	expect_command(test, &bench, HMM_DMIRROR_READ, &cmd, -EFAULT, 0,
		       "READ to the last page of the address space");
	expect_command(test, &bench, HMM_DMIRROR_WRITE, &cmd, -EFAULT, 0,
		       "WRITE from the last page of the address space");
	dmirror_user_check(test, bench.addr, NR, 1, "after the failures");
}

/* The migration is done by then, and that is what is told. */
static void migration_into_no_buffer(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);

	cmd.ptr = 0;
	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd, -EFAULT,
		       NR, "MIGRATE_TO_DEV to nowhere");
	expect_out(test, &bench, NR, "after MIGRATE_TO_DEV to nowhere");
	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_SYS, &cmd, 0, NR,
		       "MIGRATE_TO_SYS, which needs no buffer");
	cmd.ptr = U64_MAX & PAGE_MASK;
	expect_command(test, &bench, HMM_DMIRROR_EXCLUSIVE, &cmd, -EFAULT, NR,
		       "EXCLUSIVE to the last page of the address space");
	dmirror_user_check(test, bench.addr, NR, 1, "after the failures");
}

static void write_to_read_only_is_refused(struct kunit *test)
{
	struct bench bench = bench_get(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, 4);

	cmd.addr = dmirror_user_map(test, 4, PROT_READ);
	dmirror_user_fill(test, bench.buf, 4, 2);
	expect_command(test, &bench, HMM_DMIRROR_WRITE, &cmd, -EPERM, 0,
		       "WRITE to a read-only mapping");
	dmirror_user_check(test, cmd.addr, 4, 0, "after the refusal");
}

static void unknown_commands_are_refused(struct kunit *test)
{
	static const unsigned int commands[] = {
		0, UINT_MAX, HMM_DMIRROR_READ_UNLOCKED + 1,
		/* The right number with no argument, and of a smaller one. */
		_IO('H', 0x00), _IOWR('H', 0x00, __u64),
		_IOWR('h', 0x00, struct hmm_dmirror_cmd),
	};
	struct bench bench = bench_get(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		struct hmm_dmirror_cmd cmd = cmd_of(&bench, 1);

		KUNIT_EXPECT_EQ_MSG(test,
				    dmirror_fops_command(bench.mirror,
							 commands[i], &cmd),
				    -EINVAL, "command 0x%x", commands[i]);
		KUNIT_EXPECT_EQ_MSG(test, cmd.cpages | cmd.faults, 0ULL,
				    "command 0x%x: pages or faults",
				    commands[i]);
	}
}

/**
 * struct unusable - what a command says of a mapping that cannot be used
 * @command: the command
 * @want: what it returns
 * @cpages: the pages it has done
 */
struct unusable {
	unsigned int command;
	int want;
	unsigned long cpages;
};

/* In the order of ranged[]. A snapshot tells it in its bytes. */
static const struct unusable unusables[] = {
	{ HMM_DMIRROR_READ, -EFAULT, 0 },
	{ HMM_DMIRROR_WRITE, -EFAULT, 0 },
	{ HMM_DMIRROR_MIGRATE_TO_DEV, -EINVAL, 0 },
	{ HMM_DMIRROR_MIGRATE_TO_SYS, -EINVAL, 0 },
	{ HMM_DMIRROR_SNAPSHOT, 0, 4 },
	{ HMM_DMIRROR_EXCLUSIVE, -EFAULT, 0 },
	{ HMM_DMIRROR_CHECK_EXCLUSIVE, 0, 0 },
	{ HMM_DMIRROR_READ_UNLOCKED, -EFAULT, 0 },
};

static_assert(ARRAY_SIZE(unusables) == ARRAY_SIZE(ranged));

static void expect_unusable(struct kunit *test, const struct bench *bench,
			    unsigned long addr, const char *what)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(unusables); i++) {
		struct hmm_dmirror_cmd cmd = cmd_of(bench, 4);
		long ret;

		KUNIT_ASSERT_EQ(test, unusables[i].command, ranged[i].command);
		cmd.addr = addr;
		ret = dmirror_fops_command(bench->mirror, unusables[i].command,
					   &cmd);
		/* Before 7.3. */
		if (ret == -EOPNOTSUPP &&
		    unusables[i].command == HMM_DMIRROR_READ_UNLOCKED)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, ret, unusables[i].want, "%s of %s",
				    ranged[i].name, what);
		KUNIT_EXPECT_EQ_MSG(test, cmd.cpages, unusables[i].cpages,
				    "%s of %s: pages done", ranged[i].name,
				    what);
	}
}

static void unusable_mappings_are_told(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	unsigned long none = dmirror_user_map(test, 4, PROT_NONE);

	dmirror_user_fill(test, bench.buf, NR, 2);
	dmirror_user_unmap(test, bench.addr + 8 * PAGE_SIZE, 4);
	expect_unusable(test, &bench, bench.addr + 8 * PAGE_SIZE, "a hole");
	expect_unusable(test, &bench, none, "PROT_NONE");
	expect_out(test, &bench, 0, "after the refusals");
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&bench.mirror->pt.entries),
			      "the refusals left entries or slots");
	dmirror_user_check(test, bench.addr, 8, 1, "before the hole");
}

/* Three mappings in a row, each with a window that it shares with the next. */
static void ranges_over_several_mappings(struct kunit *test)
{
	struct bench bench = bench_get_private(test);

	/* Executable, for nothing but to be told from its neighbours. */
	dmirror_user_map_over(test, bench.addr + 50 * PAGE_SIZE, 50,
			      RW | PROT_EXEC);
	dmirror_user_fill(test, bench.addr, NR, 1);
	expect_done(test, &bench, HMM_DMIRROR_READ, NR, 1, "READ");
	dmirror_user_check(test, bench.buf, NR, 1, "after READ");
	expect_done(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, NR, 0,
		    "MIGRATE_TO_DEV");
	expect_out(test, &bench, NR, "after MIGRATE_TO_DEV");
	expect_done(test, &bench, HMM_DMIRROR_SNAPSHOT, NR, 0, "SNAPSHOT");
	expect_done(test, &bench, HMM_DMIRROR_MIGRATE_TO_SYS, NR, 0,
		    "MIGRATE_TO_SYS");
	expect_out(test, &bench, 0, "after MIGRATE_TO_SYS");
	expect_done(test, &bench, HMM_DMIRROR_EXCLUSIVE, NR, 0, "EXCLUSIVE");
	dmirror_user_fill(test, bench.buf, NR, 2);
	expect_done(test, &bench, HMM_DMIRROR_WRITE, NR, 0, "WRITE");
	dmirror_user_check(test, bench.addr, NR, 2, "after WRITE");
}

static void expect_bad_range(struct kunit *test, const struct bench *bench,
			     unsigned int nr, u64 addr, u64 npages,
			     const char *step)
{
	struct hmm_dmirror_cmd cmd = cmd_of(bench, 0);
	int ret;

	cmd.addr = addr;
	cmd.npages = npages;
	ret = dmirror_fops_command(bench->mirror, ranged[nr].command, &cmd);
	KUNIT_EXPECT_EQ_MSG(test, ret, -EINVAL, "%s: %s", ranged[nr].name,
			    step);
	KUNIT_EXPECT_EQ_MSG(test, cmd.cpages | cmd.faults, 0ULL,
			    "%s: %s: pages or faults", ranged[nr].name, step);
}

static void bad_ranges_are_refused(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	const struct {
		const char *name;
		u64 addr, npages;
	} rows[] = {
		{ "unaligned", bench.addr + 8, 1 },
		{ "no pages", bench.addr, 0 },
		{ "U64_MAX pages", bench.addr, U64_MAX },
		{ "a size that wraps to nothing", bench.addr,
		  1ULL << (64 - PAGE_SHIFT) },
		{ "a size that wraps to one page", bench.addr,
		  (1ULL << (64 - PAGE_SHIFT)) + 1 },
		{ "an end that wraps", U64_MAX & PAGE_MASK, 2 },
		{ "an unaligned end of everything", U64_MAX, 1 },
	};
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		for (j = 0; j < ARRAY_SIZE(ranged); j++)
			expect_bad_range(test, &bench, j, rows[i].addr,
					 rows[i].npages, rows[i].name);
	expect_out(test, &bench, 0, "after the refusals");
	dmirror_user_check(test, bench.addr, NR, 1, "after the refusals");
}

/*
 * Far more than is mapped, far more than there is memory: what is done takes
 * no more than what is there.
 */
static void huge_range_over_a_small_mapping(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	const struct {
		unsigned int command;
		int want;
		unsigned long cpages;
		const char *name;
	} rows[] = {
		{ HMM_DMIRROR_READ, -EFAULT, WINDOW, "READ" },
		{ HMM_DMIRROR_WRITE, -EFAULT, WINDOW, "WRITE" },
		{ HMM_DMIRROR_EXCLUSIVE, -EFAULT, 70, "EXCLUSIVE" },
		{ HMM_DMIRROR_MIGRATE_TO_DEV, -EINVAL, 70, "MIGRATE_TO_DEV" },
		{ HMM_DMIRROR_MIGRATE_TO_SYS, -EINVAL, 70, "MIGRATE_TO_SYS" },
	};
	unsigned int i;

	dmirror_user_fill(test, bench.buf, NR, 2);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct hmm_dmirror_cmd cmd = cmd_of(&bench, 0);

		/* Fresh, so that it is in memory; with a hole behind it. */
		cmd.addr = dmirror_user_map(test, NR, RW);
		dmirror_user_fill(test, cmd.addr, 70, 2);
		dmirror_user_unmap(test, cmd.addr + 70 * PAGE_SIZE, NR - 70);
		cmd.npages = (ULONG_MAX - cmd.addr) >> PAGE_SHIFT;
		if (rows[i].command == HMM_DMIRROR_MIGRATE_TO_SYS) {
			struct hmm_dmirror_cmd there = cmd;

			there.npages = 70;
			expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV,
				       &there, 0, 70, "MIGRATE_TO_DEV of 70");
		}
		expect_command(test, &bench, rows[i].command, &cmd,
			       rows[i].want, rows[i].cpages, rows[i].name);
		dmirror_user_check(test, cmd.addr, 70, 2, rows[i].name);
		dmirror_user_unmap(test, cmd.addr, 70);
	}
}

/*
 * Nor does a buffer that ends cost more memory than what one fault may bring
 * in, however long the range is.
 */
static void fault_ahead_has_a_limit(struct kunit *test)
{
	static const unsigned int commands[] = {
		HMM_DMIRROR_READ, HMM_DMIRROR_WRITE,
	};
	struct bench bench = bench_get(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		struct hmm_dmirror_cmd cmd = cmd_of(&bench, 4096 + WINDOW);

		cmd.addr = dmirror_user_map(test, 4096 + WINDOW, RW);
		/* One window of a buffer. */
		punch(test, bench.buf, WINDOW);
		expect_command(test, &bench, commands[i], &cmd, -EFAULT, WINDOW,
			       "range of 4160 pages");
		KUNIT_EXPECT_LE_MSG(test, bench.mirror->pt.nr, 4096UL,
				    "pages that the device has mapped");
		dmirror_user_unmap(test, cmd.addr, 4096 + WINDOW);
		dmirror_user_map_over(test, bench.buf, NR, RW);
	}
}

/* A snapshot goes on where nothing is mapped: the buffer is what ends it. */
static void huge_snapshot_ends_with_the_buffer(struct kunit *test)
{
	struct bench bench = bench_get(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, 0);

	cmd.npages = (ULONG_MAX - cmd.addr) >> PAGE_SHIFT;
	punch(test, bench.buf, 1);
	expect_command(test, &bench, HMM_DMIRROR_SNAPSHOT, &cmd, -EFAULT,
		       PAGE_SIZE, "SNAPSHOT into one page");
	cmd = cmd_of(&bench, 0);
	cmd.npages = (ULONG_MAX - cmd.addr) >> PAGE_SHIFT;
	expect_command(test, &bench, HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd, 0, 0,
		       "CHECK_EXCLUSIVE of everything");
}

static void flags_are_set_and_cleared(struct kunit *test)
{
	struct bench bench = bench_get(test);
	/* The address is none, and does not have to be one. */
	struct hmm_dmirror_cmd cmd = { .addr = 8 };

	cmd.npages = HMM_DMIRROR_FLAG_FAIL_ALLOC;
	expect_command(test, &bench, HMM_DMIRROR_FLAGS, &cmd, 0, 0,
		       "FLAGS with FAIL_ALLOC");
	KUNIT_EXPECT_EQ(test, bench.mirror->flags,
			BIT(DMIRROR_MIRROR_FAIL_LARGE));
	cmd.npages = HMM_DMIRROR_FLAG_FAIL_ALLOC << 1;
	expect_command(test, &bench, HMM_DMIRROR_FLAGS, &cmd, -EINVAL, 0,
		       "FLAGS with an unknown flag");
	cmd.npages = BIT_ULL(63);
	expect_command(test, &bench, HMM_DMIRROR_FLAGS, &cmd, -EINVAL, 0,
		       "FLAGS with the highest flag");
	KUNIT_EXPECT_EQ_MSG(test, bench.mirror->flags,
			    BIT(DMIRROR_MIRROR_FAIL_LARGE),
			    "flags after the refusals");
	cmd.npages = 0;
	expect_command(test, &bench, HMM_DMIRROR_FLAGS, &cmd, 0, 0,
		       "FLAGS with none");
	KUNIT_EXPECT_EQ(test, bench.mirror->flags, 0UL);
}

static void migrated_to_the_device_with_data(struct kunit *test)
{
	struct bench bench = bench_get_private(test);

	expect_done(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, NR, 0,
		    "MIGRATE_TO_DEV");
	expect_out(test, &bench, NR, "after MIGRATE_TO_DEV");
	dmirror_user_check(test, bench.buf, NR, 1, "after MIGRATE_TO_DEV");

	/* All of it is there already, which is what was asked for. */
	dmirror_device_write(test, bench.mirror, bench.addr, NR, 3,
			     "on the device");
	expect_done(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, NR, 0,
		    "second MIGRATE_TO_DEV");
	expect_out(test, &bench, NR, "after the second MIGRATE_TO_DEV");
	dmirror_user_check(test, bench.buf, NR, 3,
			   "after the second MIGRATE_TO_DEV");
	dmirror_user_check(test, bench.addr, NR, 3, "after the CPU read all");
	expect_out(test, &bench, 0, "after the CPU read all");
}

static void migrated_back_on_request(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);

	to_device(test, &bench);
	dmirror_user_touch(test, bench.addr + 5 * PAGE_SIZE, 2);
	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_SYS, &cmd, 0,
		       NR - 2, "MIGRATE_TO_SYS of all but two");
	KUNIT_EXPECT_EQ_MSG(test, cmd.faults, 0ULL, "faults");
	expect_out(test, &bench, 0, "after MIGRATE_TO_SYS");
	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_SYS, &cmd, 0, 0,
		       "second MIGRATE_TO_SYS");
	dmirror_user_check(test, bench.addr, NR, 1, "after MIGRATE_TO_SYS");
}

static void page_that_does_not_go_is_told(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);

	DMIRROR_EXPECT_ERRNO(test,
			     command_with_page_held(test, &bench,
						    HMM_DMIRROR_MIGRATE_TO_DEV,
						    &cmd, WINDOW + 6),
			     -ENOENT, "MIGRATE_TO_DEV with a page held");
	KUNIT_EXPECT_EQ_MSG(test, cmd.cpages, (u64)WINDOW + 6,
			    "pages before that page");
	expect_out(test, &bench, NR - 1, "after MIGRATE_TO_DEV");
	dmirror_user_check(test, bench.buf, WINDOW + 6, 1,
			   "after MIGRATE_TO_DEV");
	to_device(test, &bench);
	dmirror_user_check(test, bench.addr, NR, 1, "after both migrations");
}

static void shared_memory_does_not_go(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, 4);

	cmd.addr = dmirror_user_map_shared(test, 4);
	dmirror_user_fill(test, cmd.addr, 4, 2);
	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd, -ENOENT,
		       0, "MIGRATE_TO_DEV of shared memory");
	expect_out(test, &bench, 0, "after the refusal");
	dmirror_user_check(test, cmd.addr, 4, 2, "after the refusal");
}

/* Another device's page is on a device, but not on ours. */
static void foreign_device_pages_are_not_there(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct bench other = bench;
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, 4);

	other.devmem = dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	other.mirror = dmirror_mirror_get(test, other.devmem);
	to_device(test, &bench);
	expect_command(test, &other, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd, -ENOENT,
		       0, "MIGRATE_TO_DEV of another device's pages");
	expect_out(test, &bench, NR, "after the other device's migration");
	expect_command(test, &other, HMM_DMIRROR_MIGRATE_TO_SYS, &cmd, 0, 0,
		       "MIGRATE_TO_SYS of another device's pages");
	dmirror_user_check(test, bench.addr, NR, 1, "afterwards");
}

static void migration_of_what_cannot_be_read(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);
	unsigned long none = dmirror_user_map(test, 4, PROT_NONE);

	punch(test, bench.addr, 70);
	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd, -EINVAL,
		       70, "MIGRATE_TO_DEV with a hole at page 70");
	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_SYS, &cmd, -EINVAL,
		       70, "MIGRATE_TO_SYS with a hole at page 70");
	dmirror_user_check(test, bench.addr, 70, 1, "before the hole");
	cmd = cmd_of(&bench, 4);
	cmd.addr = none;
	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd, -EINVAL,
		       0, "MIGRATE_TO_DEV of PROT_NONE");
}

static void migration_without_device_memory(struct kunit *test)
{
	struct bench bench = bench_get(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, 4);

	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd, -ENODEV,
		       0, "MIGRATE_TO_DEV");
	expect_command(test, &bench, HMM_DMIRROR_MIGRATE_TO_SYS, &cmd, -ENODEV,
		       0, "MIGRATE_TO_SYS");
	expect_command(test, &bench, HMM_DMIRROR_RELEASE, &cmd, -ENODEV, 0,
		       "RELEASE");
}

static void release_brings_everything_home(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, 0);
	unsigned long pfn;

	to_device(test, &bench);
	dmirror_device_write(test, bench.mirror, bench.addr, NR, 2,
			     "on the device");
	pfn = dmirror_first_pfn(bench.devmem);
	expect_command(test, &bench, HMM_DMIRROR_RELEASE, &cmd, 0, 0,
		       "RELEASE");
	expect_out(test, &bench, 0, "after RELEASE");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->stats.chunks, 0UL, "chunks");
	dmirror_expect_pagemap_gone(test, pfn, PRIVATE_CHUNK);
	dmirror_user_check(test, bench.addr, NR, 2, "after RELEASE");

	/* The file and its device are as good as new. */
	expect_done(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, NR, 0,
		    "MIGRATE_TO_DEV after RELEASE");
	dmirror_user_check(test, bench.buf, NR, 2, "after RELEASE");
	expect_command(test, &bench, HMM_DMIRROR_RELEASE, &cmd, 0, 0,
		       "second RELEASE");
	dmirror_user_check(test, bench.addr, NR, 2, "after both");
}

static void release_tells_of_a_held_page(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, 0);

	to_device(test, &bench);
	DMIRROR_EXPECT_ERRNO(test,
			     command_with_page_held(test, &bench,
						    HMM_DMIRROR_RELEASE, &cmd,
						    3),
			     -EBUSY, "RELEASE with a page held");
	expect_out(test, &bench, 1, "after RELEASE");
	expect_command(test, &bench, HMM_DMIRROR_RELEASE, &cmd, 0, 0,
		       "RELEASE with the page let go");
	dmirror_user_check(test, bench.addr, NR, 1, "after RELEASE");
}

/*
 * What is promised keeps RELEASE trying, until its caller is killed, who brings
 * no more home than what was under way.
 */
static void release_can_be_killed(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, 0);
	struct dmirror_resv resv = { };
	int ret;

	to_device(test, &bench);
	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(bench.devmem, 1, 0,
						       &resv), "reserve");
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	ret = dmirror_fops_command(bench.mirror, HMM_DMIRROR_RELEASE, &cmd);
	dmirror_unkill(test);
	dmirror_devmem_unreserve(&resv);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR, "RELEASE when killed");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->stats.chunks, 1UL,
			    "chunks after the kill");
	expect_out(test, &bench, NR - WINDOW, "after the kill");
	dmirror_user_check(test, bench.addr, NR, 1, "after the kill");
	expect_command(test, &bench, HMM_DMIRROR_RELEASE, &cmd, 0, 0,
		       "RELEASE with the promise given back");
}

/**
 * struct release - a RELEASE by another thread while pages migrate
 * @notifier: on a page of the device: that it comes home is the first sign
 * @mirror: of the file
 * @go: completed when the migration is under way
 * @begun: completed when the eviction is
 * @task: the thread
 * @ret: what RELEASE returned
 */
struct release {
	struct mmu_interval_notifier notifier;
	struct dmirror_mirror *mirror;
	struct completion go;
	struct completion begun;
	struct task_struct *task;
	long ret;
};

static bool release_begins(struct mmu_interval_notifier *notifier,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq)
{
	mmu_interval_set_seq(notifier, cur_seq);
	complete_all(&container_of(notifier, struct release, notifier)->begun);

	return true;
}

static const struct mmu_interval_notifier_ops release_ops = {
	.invalidate = release_begins,
};

static int releaser(void *data)
{
	struct release *release = data;
	struct hmm_dmirror_cmd cmd = { };

	wait_for_completion(&release->go);
	release->ret = dmirror_fops_command(release->mirror,
					    HMM_DMIRROR_RELEASE, &cmd);

	return 0;
}

/* Core mm's part is done, the device's pages are promised and not taken. */
static int setup_then_release(struct migrate_vma *args)
{
	struct release *release =
		dmirror_fixture(kunit_get_current_test())->stub;
	int ret = __dmirror_mm_migrate_setup(args);

	complete(&release->go);
	wait_for_completion(&release->begun);

	return ret;
}

static struct release *release_start(struct kunit *test,
				     const struct bench *bench,
				     unsigned long addr)
{
	struct release *release = kunit_kzalloc(test, sizeof(*release),
						GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, release);
	release->mirror = bench->mirror;
	init_completion(&release->go);
	init_completion(&release->begun);
	DMIRROR_ASSERT_OK(test,
			  mmu_interval_notifier_insert(&release->notifier,
						       current->mm, addr,
						       PAGE_SIZE, &release_ops),
			  "interval notifier");
	release->task = kthread_create(releaser, release,
				       "dmirror_release");
	if (IS_ERR(release->task))
		mmu_interval_notifier_remove(&release->notifier);
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(release->task), "thread");
	get_task_struct(release->task);
	wake_up_process(release->task);
	dmirror_fixture(test)->stub = release;
	kunit_activate_static_stub(test, dmirror_mm_migrate_setup,
				   setup_then_release);

	return release;
}

/* Also of a migration that never came to the stub. */
static void release_stop(struct kunit *test, struct release *release)
{
	kunit_deactivate_static_stub(test, dmirror_mm_migrate_setup);
	complete(&release->go);
	kthread_stop_put(release->task);
	mmu_interval_notifier_remove(&release->notifier);
}

/*
 * RELEASE evicts what it finds, and has to leave the memory there for what the
 * other thread was promised. Of pages that it meets on their way it may say
 * that they are held; else it brings them home as well.
 */
static void release_during_a_migration(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, 0);
	unsigned long moved = 9;
	struct release *release;
	int ret;

	DMIRROR_ASSERT_OK(test,
			  dmirror_migrate_to_devmem(bench.mirror, bench.addr, 1,
						    &moved),
			  "migration of the first page");
	release = release_start(test, &bench, bench.addr);
	ret = dmirror_migrate_to_devmem(bench.mirror, bench.addr + PAGE_SIZE,
					WINDOW, &moved);
	release_stop(test, release);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "migration during RELEASE");
	KUNIT_EXPECT_EQ_MSG(test, moved, WINDOW, "pages that moved");
	if (release->ret != -EBUSY)
		DMIRROR_EXPECT_ERRNO(test, release->ret, 0,
				     "RELEASE during migration");
	KUNIT_EXPECT_EQ_MSG(test, bench.devmem->stats.chunks,
			    release->ret ? 1UL : 0UL,
			    "chunks after RELEASE said %s",
			    dmirror_errno(release->ret));
	dmirror_device_read(test, bench.mirror, bench.addr, NR, 1,
			    "after both");
	expect_command(test, &bench, HMM_DMIRROR_RELEASE, &cmd, 0, 0,
		       "RELEASE with nobody in the way");
	expect_out(test, &bench, 0, "after all of it");
	dmirror_user_check(test, bench.addr, NR, 1, "after all of it");
}

static void exclusive_with_data(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);

	expect_command(test, &bench, HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd, 0, 0,
		       "CHECK_EXCLUSIVE before");
	expect_done(test, &bench, HMM_DMIRROR_EXCLUSIVE, NR, 0, "EXCLUSIVE");
	dmirror_user_check(test, bench.buf, NR, 1, "after EXCLUSIVE");
	expect_command(test, &bench, HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd, -EPERM,
		       0, "CHECK_EXCLUSIVE after");
	dmirror_user_fill(test, bench.buf, NR, 2);
	expect_done(test, &bench, HMM_DMIRROR_WRITE, NR, 0, "WRITE");
	expect_command(test, &bench, HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd, -EPERM,
		       0, "CHECK_EXCLUSIVE after WRITE");

	/* One page of many is enough for the answer. */
	dmirror_user_check(test, bench.addr, NR - 1, 2, "after WRITE");
	expect_command(test, &bench, HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd, -EPERM,
		       0, "CHECK_EXCLUSIVE of a range with one page");
	dmirror_user_touch(test, bench.addr + (NR - 1) * PAGE_SIZE, 1);
	expect_command(test, &bench, HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd, 0, 0,
		       "CHECK_EXCLUSIVE after the CPU read all");
}

static void exclusive_in_part_is_told(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);

	punch(test, bench.addr, 70);
	expect_command(test, &bench, HMM_DMIRROR_EXCLUSIVE, &cmd, -EFAULT, 70,
		       "EXCLUSIVE with a hole at page 70");
	KUNIT_EXPECT_EQ_MSG(test, cmd.faults, 0ULL, "faults");
	dmirror_user_check(test, bench.buf, 1, 0, "after a failure");
	cmd = cmd_of(&bench, NR);
	expect_command(test, &bench, HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd, -EPERM,
		       0, "CHECK_EXCLUSIVE over the hole");
	cmd.addr = dmirror_user_map_shared(test, NR);
	expect_command(test, &bench, HMM_DMIRROR_EXCLUSIVE, &cmd, -EOPNOTSUPP,
		       0, "EXCLUSIVE of shared memory");
}

static void snapshot_bytes(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR + 1);
	u8 *want = kunit_kzalloc(test, NR + 1, GFP_KERNEL);
	u8 *got = kunit_kzalloc(test, NR + 1, GFP_KERNEL);
	unsigned long i;

	KUNIT_ASSERT_NOT_NULL(test, want);
	KUNIT_ASSERT_NOT_NULL(test, got);
	/* The device's, a hole, an untouched one, and ordinary ones behind. */
	to_device(test, &bench);
	memset(want, DEV_W, NR);
	dmirror_user_map_over(test, bench.addr + 60 * PAGE_SIZE, 2, RW);
	dmirror_user_touch(test, bench.addr + 60 * PAGE_SIZE, 1);
	want[60] = HMM_DMIRROR_PROT_ZERO | HMM_DMIRROR_PROT_READ;
	want[61] = HMM_DMIRROR_PROT_NONE;
	punch(test, bench.addr, 70);
	want[70] = HMM_DMIRROR_PROT_ERROR;
	dmirror_user_touch(test, bench.addr + 128 * PAGE_SIZE, NR - 128);
	memset(want + 128, HMM_DMIRROR_PROT_WRITE, NR - 128);
	/* A byte more in the buffer than there are pages: it has to stay. */
	want[NR] = 0xa5;
	KUNIT_ASSERT_EQ(test, put_user(0xa5, (u8 __user *)bench.buf + NR), 0);

	cmd.npages = NR;
	expect_command(test, &bench, HMM_DMIRROR_SNAPSHOT, &cmd, 0, NR,
		       "SNAPSHOT");
	KUNIT_EXPECT_EQ_MSG(test, cmd.faults, 0ULL, "faults");
	KUNIT_ASSERT_EQ(test, copy_from_user(got, (void __user *)bench.buf,
					     NR + 1), 0UL);
	for (i = 0; i <= NR; i++) {
		KUNIT_EXPECT_EQ_MSG(test, got[i], want[i],
				    "page %lu at 0x%lx: got 0x%02x wanted 0x%02x",
				    i, bench.addr + (i << PAGE_SHIFT), got[i],
				    want[i]);
		if (got[i] != want[i])
			break;
	}
}

static void snapshot_buffer_that_ends_is_told(struct kunit *test)
{
	struct bench bench = bench_get(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);

	/* Room for one window and a half. */
	punch(test, bench.buf, 1);
	cmd.ptr = bench.buf + PAGE_SIZE - WINDOW - WINDOW / 2;
	expect_command(test, &bench, HMM_DMIRROR_SNAPSHOT, &cmd, -EFAULT,
		       WINDOW, "SNAPSHOT into a buffer that ends");
}

/* Between two windows nothing else asks for the signal in a snapshot. */
static void long_commands_can_be_killed(struct kunit *test)
{
	struct bench bench = bench_get(test);
	struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_kill, .times = 1,
	};
	int snapshot, read;

	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	snapshot = dmirror_fops_command(bench.mirror, HMM_DMIRROR_SNAPSHOT,
					&cmd);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, snapshot, -EINTR, "SNAPSHOT when killed");
	KUNIT_EXPECT_EQ_MSG(test, cmd.cpages, (u64)WINDOW,
			    "pages of one window");

	dmirror_race_with(test, &race);
	cmd = cmd_of(&bench, NR);
	dmirror_killable(test);
	read = dmirror_fops_command(bench.mirror, HMM_DMIRROR_READ, &cmd);
	dmirror_unkill(test);
	dmirror_race_done(test, &race, 1);
	DMIRROR_EXPECT_ERRNO(test, read, -EINTR, "READ when killed");
	KUNIT_EXPECT_EQ_MSG(test, cmd.cpages, (u64)WINDOW,
			    "pages of one window");
	KUNIT_EXPECT_EQ_MSG(test, cmd.faults, 1ULL, "faults");
}

/**
 * struct killed - what is left of a command whose caller is dead when it begins
 * @command: the command
 * @want: what it returns
 * @cpages: the pages it has done
 */
struct killed {
	unsigned int command;
	int want;
	unsigned long cpages;
};

/*
 * In the order of ranged[]. A window is what the one does that has no reason to
 * wait, nor to fault, before it looks; a migration gives up before it copies.
 */
static const struct killed kills[] = {
	{ HMM_DMIRROR_READ, -EINTR, 0 },
	{ HMM_DMIRROR_WRITE, -EINTR, 0 },
	{ HMM_DMIRROR_MIGRATE_TO_DEV, -EINTR, 0 },
	{ HMM_DMIRROR_MIGRATE_TO_SYS, -EINTR, 0 },
	{ HMM_DMIRROR_SNAPSHOT, -EINTR, WINDOW },
	{ HMM_DMIRROR_EXCLUSIVE, -EINTR, 0 },
	{ HMM_DMIRROR_CHECK_EXCLUSIVE, 0, 0 },
	{ HMM_DMIRROR_READ_UNLOCKED, -EINTR, 0 },
};

static_assert(ARRAY_SIZE(kills) == ARRAY_SIZE(ranged));

static void every_command_can_be_killed(struct kunit *test)
{
	struct bench bench = bench_get_private(test);
	unsigned int i;

	dmirror_user_fill(test, bench.buf, NR, 1);
	for (i = 0; i < ARRAY_SIZE(kills); i++) {
		struct hmm_dmirror_cmd cmd = cmd_of(&bench, NR);
		int ret;

		KUNIT_ASSERT_EQ(test, kills[i].command, ranged[i].command);
		if (kills[i].command == HMM_DMIRROR_MIGRATE_TO_SYS)
			to_device(test, &bench);
		dmirror_killable(test);
		send_sig(SIGKILL, current, 1);
		ret = dmirror_fops_command(bench.mirror, kills[i].command,
					   &cmd);
		dmirror_unkill(test);
		KUNIT_EXPECT_EQ_MSG(test, ret, kills[i].want, "%s when killed",
				    ranged[i].name);
		KUNIT_EXPECT_EQ_MSG(test, cmd.cpages, kills[i].cpages,
				    "%s when killed: pages done",
				    ranged[i].name);
		dmirror_user_check(test, bench.addr, NR, 1, ranged[i].name);
	}
}

/* The file outlives the mm, in a child that inherited it for example. */
static void dead_mm_is_told(struct kunit *test)
{
	static const unsigned int commands[] = {
		HMM_DMIRROR_READ, HMM_DMIRROR_READ_UNLOCKED, HMM_DMIRROR_WRITE,
		HMM_DMIRROR_SNAPSHOT, HMM_DMIRROR_EXCLUSIVE,
		HMM_DMIRROR_MIGRATE_TO_DEV, HMM_DMIRROR_MIGRATE_TO_SYS,
	};
	struct bench bench = bench_get_private(test);
	struct mm_struct *mm = mm_alloc();
	struct hmm_dmirror_cmd cmd;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, mm);
	bench.mirror = dmirror_mirror_of(test, mm, bench.devmem);
	mmput(mm);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		cmd = cmd_of(&bench, NR);
		KUNIT_EXPECT_EQ_MSG(test,
				    dmirror_fops_command(bench.mirror,
							 commands[i], &cmd),
				    -EFAULT, "command 0x%x", commands[i]);
		KUNIT_EXPECT_EQ_MSG(test, cmd.cpages, 0ULL,
				    "command 0x%x: pages", commands[i]);
	}
	cmd = cmd_of(&bench, NR);
	expect_command(test, &bench, HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd, 0, 0,
		       "CHECK_EXCLUSIVE");
	expect_command(test, &bench, HMM_DMIRROR_RELEASE, &cmd, 0, 0,
		       "RELEASE");
	dmirror_user_check(test, bench.addr, NR, 1, "in the caller's mm");
}

static void use_mm(struct mm_struct *mm)
{
	struct mm_struct *old = current->mm;

	/* kthread_unuse_mm() drops what the fixture has: see attach_mm(). */
	mmgrab(old);
	kthread_unuse_mm(old);
	kthread_use_mm(mm);
	/* And what this one takes is as many too many at the end. */
	mmdrop(mm);
}

/* The range is in the mm that was opened, the buffer in the caller's. */
static void file_of_another_process(struct kunit *test)
{
	struct bench bench = bench_get(test);
	struct mm_struct *mm = mm_alloc();

	KUNIT_ASSERT_NOT_NULL(test, mm);
	dmirror_user_fill(test, bench.addr, NR, 1);
	/* The same address in both, so that each mistake is seen. */
	bench.buf = bench.addr;
	use_mm(mm);
	dmirror_user_map_over(test, bench.buf, NR, RW);
	dmirror_user_fill(test, bench.buf, NR, 2);
	expect_done(test, &bench, HMM_DMIRROR_READ, NR, 1, "READ");
	dmirror_user_check(test, bench.buf, NR, 1, "in the caller's mm");
	dmirror_user_fill(test, bench.buf, NR, 3);
	expect_done(test, &bench, HMM_DMIRROR_WRITE, NR, 0, "WRITE");
	dmirror_user_fill(test, bench.buf, NR, 4);
	use_mm(dmirror_fixture(test)->mm);
	mmput(mm);
	dmirror_user_check(test, bench.addr, NR, 3, "in the file's mm");
}

/**
 * struct own - a file of the case's own device
 * @device: the device
 * @file: the file
 * @addr: 4 pages, mapped RW; the last one is for the command
 */
struct own {
	struct dmirror_device *device;
	struct file *file;
	unsigned long addr;
};

static struct own own_get(struct kunit *test)
{
	const struct dmirror_device_config config = {
		.ops = &dmirror_pagemap_private_ops,
		.chunk_pages = PRIVATE_CHUNK,
		.max_chunks = 1,
		.id = DMIRROR_TEST_ID,
		.devt = dmirror_devt_get(test),
		.fops = &dmirror_fops,
	};
	struct own own = {
		.device = dmirror_device_get(test, &config),
		.file = dmirror_file_open(test, config.devt),
		.addr = dmirror_user_map(test, 4, RW),
	};

	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(own.file), "open");

	return own;
}

/* A system call's way: the command is in user memory. */
static long own_ioctl(struct kunit *test, const struct own *own,
		      unsigned int command, struct hmm_dmirror_cmd *cmd)
{
	void __user *uarg = (void __user *)(own->addr + 3 * PAGE_SIZE);
	long ret;

	KUNIT_ASSERT_EQ(test, copy_to_user(uarg, cmd, sizeof(*cmd)), 0UL);
	ret = own->file->f_op->unlocked_ioctl(own->file, command,
					      (unsigned long)uarg);
	KUNIT_ASSERT_EQ(test, copy_from_user(cmd, uarg, sizeof(*cmd)), 0UL);

	return ret;
}

static void open_makes_a_mirror_of_the_caller(struct kunit *test)
{
	struct own own = own_get(test);
	struct dmirror_mirror *mirror = own.file->private_data;
	struct file *second;

	KUNIT_ASSERT_NOT_NULL(test, mirror);
	KUNIT_EXPECT_PTR_EQ(test, mirror->notifier.mm, current->mm);
	KUNIT_EXPECT_PTR_EQ(test, mirror->devmem, &own.device->devmem);
	second = dmirror_file_open(test, own.device->dev.devt);
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(second), "second open");
	KUNIT_EXPECT_PTR_NE_MSG(test, second->private_data,
				own.file->private_data,
				"two files share a mirror");
	dmirror_file_close(test, second);
	dmirror_device_write(test, mirror, own.addr, 3, 2,
			     "after the other file was closed");
	dmirror_user_check(test, own.addr, 3, 2, "through the first file");
}

static void ioctl_tells_also_when_it_fails(struct kunit *test)
{
	struct own own = own_get(test);
	struct hmm_dmirror_cmd cmd = {
		.addr = own.addr, .ptr = own.addr + PAGE_SIZE, .npages = 1,
		.cpages = GARBAGE, .faults = GARBAGE,
	};
	const struct hmm_dmirror_cmd sent = cmd;

	dmirror_user_fill(test, own.addr + PAGE_SIZE, 1, 2);
	DMIRROR_EXPECT_ERRNO(test, own_ioctl(test, &own, HMM_DMIRROR_WRITE,
					     &cmd), 0, "WRITE");
	KUNIT_EXPECT_EQ(test, cmd.cpages, 1ULL);
	KUNIT_EXPECT_EQ(test, cmd.faults, 1ULL);
	KUNIT_EXPECT_EQ(test, cmd.addr, sent.addr);
	KUNIT_EXPECT_EQ(test, cmd.ptr, sent.ptr);
	KUNIT_EXPECT_EQ(test, cmd.npages, sent.npages);
	dmirror_user_check(test, own.addr, 1, 2, "after WRITE");

	/* One window works, behind it is a hole. */
	cmd = sent;
	cmd.npages = WINDOW + 1;
	cmd.addr = dmirror_user_map(test, WINDOW + 1, RW);
	cmd.ptr = dmirror_user_map(test, WINDOW + 1, RW);
	punch(test, cmd.addr, WINDOW);
	DMIRROR_EXPECT_ERRNO(test, own_ioctl(test, &own, HMM_DMIRROR_READ,
					     &cmd),
			     -EFAULT, "READ with a hole");
	KUNIT_EXPECT_EQ_MSG(test, cmd.cpages, (u64)WINDOW,
			    "pages told by a READ that failed");
}

/* isatty() and the like ask every file: what they point to is not a command. */
static void foreign_ioctls_touch_nothing(struct kunit *test)
{
	static const unsigned int commands[] = {
		0, TCGETS, FIONREAD, HMM_DMIRROR_READ_UNLOCKED + 1,
		_IOR('H', 0x00, struct hmm_dmirror_cmd), _IO('H', 0x00),
		_IOWR('H', 0x00, __u64), _IOWR('h', 0x00, struct hmm_dmirror_cmd),
	};
	struct own own = own_get(test);
	unsigned int i;

	dmirror_user_fill(test, own.addr, 1, 3);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		const unsigned long args[] = { own.addr, 0 };
		unsigned int j;

		for (j = 0; j < ARRAY_SIZE(args); j++) {
			long ret = own.file->f_op->unlocked_ioctl(own.file,
								  commands[i],
								  args[j]);

			KUNIT_EXPECT_EQ_MSG(test, ret, -EINVAL,
					    "command 0x%x of 0x%lx",
					    commands[i], args[j]);
		}
		dmirror_user_check(test, own.addr, 1, 3, "after the refusal");
	}
}

static long own_write(const struct own *own, unsigned long arg)
{
	return own->file->f_op->unlocked_ioctl(own->file, HMM_DMIRROR_WRITE,
					       arg);
}

static void ioctl_with_a_bad_command_pointer(struct kunit *test)
{
	struct own own = own_get(test);
	unsigned long page = own.addr + 3 * PAGE_SIZE;
	struct hmm_dmirror_cmd cmd = {
		.addr = own.addr, .ptr = own.addr + PAGE_SIZE, .npages = 1,
	};
	const struct {
		const char *name;
		unsigned long arg;
	} rows[] = {
		{ "none", 0 },
		{ "beyond the address space", ULONG_MAX - 8 },
		{ "half of it unmapped", own.addr + 4 * PAGE_SIZE - 8 },
	};
	unsigned int i;

	dmirror_user_map_over(test, own.addr + 4 * PAGE_SIZE, 1, RW);
	dmirror_user_unmap(test, own.addr + 4 * PAGE_SIZE, 1);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		KUNIT_EXPECT_EQ_MSG(test, own_write(&own, rows[i].arg),
				    -EFAULT, "command pointer: %s",
				    rows[i].name);

	/* It can be read, so it is carried out, but nothing can be told. */
	DMIRROR_REQUIRES_BUILTIN(test);
	dmirror_user_fill(test, own.addr + PAGE_SIZE, 1, 2);
	KUNIT_ASSERT_EQ(test, copy_to_user((void __user *)page, &cmd,
					   sizeof(cmd)), 0UL);
	dmirror_user_protect(test, page, 1, PROT_READ);
	DMIRROR_EXPECT_ERRNO(test, own_write(&own, page), -EFAULT,
			     "WRITE by a read-only command");
	dmirror_user_check(test, own.addr, 1, 2,
			   "after WRITE by a read-only command");
}

static unsigned long map_file(const struct own *own, unsigned long npages)
{
	return vm_mmap(own->file, 0, npages << PAGE_SHIFT, RW, MAP_PRIVATE, 0);
}

static void mmap_gives_zeroed_pages(struct kunit *test)
{
	static const u8 want[] = {
		HMM_DMIRROR_PROT_READ, HMM_DMIRROR_PROT_READ,
		HMM_DMIRROR_PROT_WRITE,
	};
	struct own own = own_get(test);
	struct dmirror_mirror *mirror = own.file->private_data;
	unsigned long addr = dmirror_user_map(test, NR, RW);

	/* Pages full of something else, for the allocator to hand out. */
	dmirror_user_fill(test, addr, NR, 1);
	dmirror_user_unmap(test, addr, NR);
	addr = map_file(&own, 3);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(addr),
			       "mmap of the file: got %pe", (void *)addr);
	dmirror_user_check(test, addr, 3, 0, "in a new mapping of the file");
	dmirror_user_fill(test, addr + 2 * PAGE_SIZE, 1, 2);
	dmirror_expect_snapshot(test, mirror, addr, want, 3,
				"with its last page written");
	dmirror_device_read(test, mirror, addr, 2, 0, "of driver's pages");
	dmirror_device_write(test, mirror, addr, 3, 3, "to driver's pages");
	dmirror_user_check(test, addr, 3, 3, "after the device wrote");
	dmirror_user_unmap(test, addr, 3);
}

static void mmap_has_a_limit(struct kunit *test)
{
	struct own own = own_get(test);
	unsigned long addr;

	DMIRROR_EXPECT_ERRNO(test, map_file(&own, 4097), -EINVAL,
			     "mmap of 4097 pages");
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	addr = map_file(&own, 3);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, addr, -EINTR, "mmap when killed");
	addr = map_file(&own, 4096);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(addr),
			       "mmap of 4096 pages: got %pe", (void *)addr);
	dmirror_user_unmap(test, addr, 4096);
}

static struct kunit_case fops_cases[] = {
	KUNIT_CASE(written_and_read_in_every_length),
	KUNIT_CASE(fresh_range_takes_one_fault),
	KUNIT_CASE(unlocked_read_does_the_same),
	KUNIT_CASE(hole_in_the_range_is_told),
	KUNIT_CASE(hole_in_the_buffer_is_told),
	KUNIT_CASE(buffer_that_is_no_buffer),
	KUNIT_CASE(migration_into_no_buffer),
	KUNIT_CASE(write_to_read_only_is_refused),
	KUNIT_CASE(unknown_commands_are_refused),
	KUNIT_CASE(unusable_mappings_are_told),
	KUNIT_CASE(ranges_over_several_mappings),
	KUNIT_CASE(bad_ranges_are_refused),
	KUNIT_CASE(huge_range_over_a_small_mapping),
	KUNIT_CASE(fault_ahead_has_a_limit),
	KUNIT_CASE(huge_snapshot_ends_with_the_buffer),
	KUNIT_CASE(flags_are_set_and_cleared),
	KUNIT_CASE(migrated_to_the_device_with_data),
	KUNIT_CASE(migrated_back_on_request),
	KUNIT_CASE(page_that_does_not_go_is_told),
	KUNIT_CASE(shared_memory_does_not_go),
	KUNIT_CASE(foreign_device_pages_are_not_there),
	KUNIT_CASE(migration_of_what_cannot_be_read),
	KUNIT_CASE(migration_without_device_memory),
	KUNIT_CASE(release_brings_everything_home),
	KUNIT_CASE(release_tells_of_a_held_page),
	KUNIT_CASE(release_can_be_killed),
	KUNIT_CASE(release_during_a_migration),
	KUNIT_CASE(exclusive_with_data),
	KUNIT_CASE(exclusive_in_part_is_told),
	KUNIT_CASE(snapshot_bytes),
	KUNIT_CASE(snapshot_buffer_that_ends_is_told),
	KUNIT_CASE(long_commands_can_be_killed),
	KUNIT_CASE(every_command_can_be_killed),
	KUNIT_CASE(dead_mm_is_told),
	KUNIT_CASE(file_of_another_process),
	KUNIT_CASE(open_makes_a_mirror_of_the_caller),
	KUNIT_CASE(ioctl_tells_also_when_it_fails),
	KUNIT_CASE(foreign_ioctls_touch_nothing),
	KUNIT_CASE(ioctl_with_a_bad_command_pointer),
	KUNIT_CASE(mmap_gives_zeroed_pages),
	KUNIT_CASE(mmap_has_a_limit),
	{}
};

DMIRROR_SUITE(fops, dmirror_fixture_init_mm, fops_cases);
