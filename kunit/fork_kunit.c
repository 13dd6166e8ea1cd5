// SPDX-License-Identifier: GPL-2.0
/*
 * fork() with pages on the device: what parent and child see of them, and who
 * brings them home.
 */
#include "mirror_fixture.h"

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/memremap.h>
#include <linux/mman.h>
#include <linux/uaccess.h>

#include "../drivers/dmirror/device.h"
#include "../drivers/dmirror/exclusive.h"
#include "../drivers/dmirror/fops.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/pagemap.h"
#include "../drivers/dmirror/uapi.h"
#include "bench.h"
#include "device_file.h"
#include "private_devmem.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

#define DEV_R (HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_READ)

#define NR 16UL

/**
 * struct child_work - what a process does, and what it saw
 * @addr: NR pages
 * @write: it writes pattern @salt, else it reads
 * @direct: it writes without having read before
 * @salt: the pattern
 * @page: first page that was not as it should be, NR if none
 * @got: a word of that page
 */
struct child_work {
	unsigned long addr;
	bool write;
	bool direct;
	u64 salt;
	unsigned long page;
	u64 got;
};

static int write_pages(const struct child_work *work, const void *from)
{
	unsigned long i;
	u8 byte;

	for (i = 0; i < NR && !work->direct; i++)
		if (copy_from_user(&byte, (void __user *)work->addr +
				   (i << PAGE_SHIFT), 1))
			return -EFAULT;
	if (copy_to_user((void __user *)work->addr, from, NR << PAGE_SHIFT))
		return -EFAULT;

	return 0;
}

static int child_fn(void *data)
{
	struct child_work *work = data;
	u64 *buf = kvmalloc(PAGE_SIZE * NR, GFP_KERNEL);
	u64 *want = kvmalloc(PAGE_SIZE * NR, GFP_KERNEL);
	void __user *ptr = (void __user *)work->addr;
	int ret = 0;

	work->page = NR;
	if (!buf || !want) {
		ret = -ENOMEM;
		goto out_free;
	}
	dmirror_buf_fill(want, NR, work->salt);
	if (work->write) {
		ret = write_pages(work, want);
		goto out_free;
	}
	if (copy_from_user(buf, ptr, NR << PAGE_SHIFT)) {
		ret = -EFAULT;
		goto out_free;
	}
	for (work->page = 0; work->page < NR; work->page++) {
		size_t at = work->page << PAGE_SHIFT;

		work->got = buf[at / sizeof(u64)];
		if (memcmp((u8 *)buf + at, (u8 *)want + at, PAGE_SIZE))
			break;
	}
out_free:
	kvfree(want);
	kvfree(buf);
	return ret;
}

static struct dmirror_bench bench_get(struct kunit *test)
{
	struct dmirror_bench bench;

	DMIRROR_REQUIRES_BUILTIN(test);
	bench = bench_get_private(test, NR);
	bench_to_device(test, &bench, bench.addr, NR);

	return bench;
}

/**
 * struct family - what happens between a fork and the child's exit
 * @parent: what the parent does first, NULL for nothing
 * @salt: the pattern that the child reads or writes then
 * @write: it writes
 * @direct: it writes without having read before
 * @idle: it does neither
 */
struct family {
	int (*parent)(const struct dmirror_bench *bench);
	u64 salt;
	bool write;
	bool direct;
	bool idle;
};

static void live(struct kunit *test, const struct dmirror_bench *bench,
		 const struct family *family)
{
	struct child_work work = {
		.addr = bench->addr,
		.write = family->write,
		.direct = family->direct,
		.salt = family->salt,
		.page = NR,
	};
	int forked, parent = 0, worked = 0;
	struct user_child child;

	forked = user_fork(&child);
	if (!forked) {
		if (family->parent)
			parent = family->parent(bench);
		if (!family->idle)
			worked = user_ask(&child, child_fn, &work);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_EXPECT_ERRNO(test, parent, 0, "what the parent did");
	DMIRROR_EXPECT_ERRNO(test, worked, 0, "what the child did");
	KUNIT_EXPECT_EQ_MSG(test, work.page, NR,
			    "the child's first wrong page is at 0x%lx, its first word is 0x%llx",
			    bench->addr + (work.page << PAGE_SHIFT), work.got);
}

static void child_reads_what_is_on_the_device(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	live(test, &bench, &(struct family){ .salt = 1 });
	bench_expect_out(test, &bench, 0, "after the child read every page");
	dmirror_user_check(test, bench.addr, NR, 1, "after the child read");
	bench_expect_anon(test, NR, "after the child read");
}

static void child_writes_its_own_copy(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	live(test, &bench, &(struct family){ .salt = 2, .write = true });
	dmirror_user_check(test, bench.addr, NR, 1, "after the child wrote");
	dmirror_device_read(test, bench.mirror, bench.addr, NR, 1,
			    "after the child wrote");
}

/* Does the parent see its own first page, and the child's behind it? */
static bool is_um_copy_to_user_bug(struct kunit *test,
				   const struct dmirror_bench *bench)
{
	void *want = dmirror_buf(test, NR), *got = dmirror_buf(test, NR);
	void *parents = dmirror_buf(test, 1);

	if (!IS_ENABLED(CONFIG_UML))
		return false;
	dmirror_buf_fill(want, NR, 2);
	dmirror_buf_fill(parents, 1, 1);
	memcpy(want, parents, PAGE_SIZE);

	return !copy_from_user(got, (void __user *)bench->addr,
			       NR << PAGE_SHIFT) &&
	       !memcmp(got, want, NR << PAGE_SHIFT);
}

/*
 * The fault brings the page home, for the child to read; it takes a second one
 * to copy it. Up to 7.3 the kernel of User Mode Linux does not take it.
 */
static void child_writes_to_the_device_page_first(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	live(test, &bench, &(struct family){
		.salt = 2, .write = true, .direct = true,
	});
	if (is_um_copy_to_user_bug(test, &bench))
		DMIRROR_KNOWN_DEFECT(test, "arch/um copy_to_user()");
	dmirror_user_check(test, bench.addr, NR, 1, "after the child wrote");
}

static void idle_child_leaves_pages_on_the_device(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	live(test, &bench, &(struct family){ .idle = true });
	bench_expect_out(test, &bench, NR, "after the child exited");
	/* Copy-on-write stays, as after any fork, until somebody writes. */
	bench_expect_all(test, &bench, bench.addr, NR, DEV_R,
			 "after the child exited");
	bench_expect_at_rest(test, &bench, bench.addr, NR, true,
			     "after the child exited");
	dmirror_user_check(test, bench.addr, NR, 1, "after the child exited");
}

static int parent_writes(const struct dmirror_bench *bench)
{
	const struct child_work work = { .addr = bench->addr };
	void *buf = kvmalloc(NR << PAGE_SHIFT, GFP_KERNEL);
	int ret;

	if (!buf)
		return -ENOMEM;
	dmirror_buf_fill(buf, NR, 3);
	ret = write_pages(&work, buf);
	kvfree(buf);

	return ret;
}

static void child_does_not_see_the_parents_writes(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	live(test, &bench, &(struct family){
		.parent = parent_writes, .salt = 1,
	});
	dmirror_user_check(test, bench.addr, NR, 3, "after the child exited");
	bench_expect_out(test, &bench, 0, "after the child exited");
}

static int device_writes(const struct dmirror_bench *bench)
{
	void *buf = kvmalloc(NR << PAGE_SHIFT, GFP_KERNEL);
	struct dmirror_access_result result;
	int ret;

	if (!buf)
		return -ENOMEM;
	dmirror_buf_fill(buf, NR, 4);
	ret = dmirror_access_write(bench->mirror, bench->addr, NR, buf, NULL,
				   &result);
	kvfree(buf);

	return ret;
}

/* A store of the device is one of the parent: it breaks copy-on-write. */
static void child_does_not_see_the_devices_writes(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	live(test, &bench, &(struct family){
		.parent = device_writes, .salt = 1,
	});
	dmirror_user_check(test, bench.addr, NR, 4, "after the child exited");
}

/**
 * struct childs_device - a device that mirrors a child
 * @addr: NR pages
 * @two_pass: how it takes invalidations
 * @read: what it read there
 * @store: what it writes then
 * @seen: what the child's CPU reads at last
 */
struct childs_device {
	unsigned long addr;
	bool two_pass;
	void *read;
	void *store;
	void *seen;
};

static int open_read_and_write(void *data)
{
	struct childs_device *device = data;
	struct dmirror_access_result result;
	struct dmirror_mirror *mirror;
	int ret;

	mirror = dmirror_mirror_create(current->mm, NULL, device->two_pass);
	if (IS_ERR(mirror))
		return PTR_ERR(mirror);
	ret = dmirror_access_read(mirror, device->addr, NR, device->read, NULL,
				  &result);
	if (!ret)
		ret = dmirror_access_write(mirror, device->addr, NR,
					   device->store, NULL, &result);
	dmirror_mirror_destroy(mirror);
	if (!ret && copy_from_user(device->seen, (void __user *)device->addr,
				   NR << PAGE_SHIFT))
		ret = -EFAULT;

	return ret;
}

static const struct sharing {
	const char *name;
	bool shared;
} sharings[] = {
	{ "private", false },
	{ "shared", true },
};

KUNIT_ARRAY_PARAM_DESC(sharing, sharings, name);

/* The child opens the device for itself: what it writes there is the child's. */
static void childs_device_writes_for_the_child(struct kunit *test)
{
	const struct sharing *sharing = test->param_value;
	struct childs_device device = {
		.two_pass = dmirror_two_pass(test),
		.read = dmirror_buf(test, NR),
		.store = dmirror_buf(test, NR),
		.seen = dmirror_buf(test, NR),
	};
	struct user_child child;
	int forked, wrote = 0;

	DMIRROR_REQUIRES_BUILTIN(test);
	device.addr = sharing->shared ? dmirror_user_map_shared(test, NR) :
					dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, device.addr, NR, 1);
	dmirror_buf_fill(device.store, NR, 2);
	forked = user_fork(&child);
	if (!forked) {
		wrote = user_ask(&child, open_read_and_write, &device);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_EXPECT_ERRNO(test, wrote, 0, "what the child's device did");
	dmirror_buf_check(test, device.read, device.addr, NR, 1,
			  "what the child's device read");
	dmirror_buf_check(test, device.seen, device.addr, NR, 2,
			  "what the child saw of what its device wrote");
	dmirror_user_check(test, device.addr, NR, sharing->shared ? 2 : 1,
			   "by the parent, after the child's device wrote");
}

static const struct turn {
	const char *name;
	bool child_first;
} turns[] = {
	{ "parent_first", false },
	{ "child_first", true },
};

KUNIT_ARRAY_PARAM_DESC(turn, turns, name);

/* What the child does in exclusive_pages_are_copied_on_write(), in order. */
#define WORKS 3

/* Fork takes exclusive access back, and either has pages of its own then. */
static void exclusive_pages_are_copied_on_write(struct kunit *test)
{
	const struct turn *turn = test->param_value;
	struct dmirror_bench bench;
	struct child_work works[WORKS];
	int forked, parent = 0, worked[WORKS + 1] = {};
	struct user_child child;
	unsigned long done = 0;
	unsigned int i;

	DMIRROR_REQUIRES_BUILTIN(test);
	bench = bench_get_private(test, NR);
	for (i = 0; i < WORKS; i++)
		works[i] = (struct child_work){
			.addr = bench.addr,
			.write = i == 1,
			.salt = i ? 2 : 1,
			.page = NR,
		};
	DMIRROR_ASSERT_OK(test, dmirror_exclusive_make(bench.mirror, bench.addr,
						       NR, &done),
			  "making pages exclusive");
	forked = user_fork(&child);
	if (!forked) {
		if (!turn->child_first)
			parent = parent_writes(&bench);
		for (i = 0; i < WORKS; i++)
			worked[i] = user_ask(&child, child_fn, &works[i]);
		if (turn->child_first)
			parent = parent_writes(&bench);
		worked[WORKS] = user_ask(&child, child_fn, &works[WORKS - 1]);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	KUNIT_EXPECT_EQ_MSG(test, done, NR,
			    "0x%lx: got %lu exclusive pages wanted %lu",
			    bench.addr, done, NR);
	DMIRROR_EXPECT_ERRNO(test, parent, 0, "what the parent wrote");
	for (i = 0; i <= WORKS; i++)
		KUNIT_EXPECT_EQ_MSG(test, worked[i], 0,
				    "act %u of the child: got %s wanted 0", i,
				    dmirror_errno(worked[i]));
	for (i = 0; i < WORKS; i++)
		KUNIT_EXPECT_EQ_MSG(test, works[i].page, NR,
				    "act %u: the child's first wrong page is at 0x%lx, its first word is 0x%llx",
				    i, bench.addr +
				    (works[i].page << PAGE_SHIFT),
				    works[i].got);
	KUNIT_EXPECT_EQ_MSG(test, dmirror_exclusive_held(bench.mirror,
							 bench.addr, NR), 0,
			    "0x%lx: is held after fork and writes", bench.addr);
	dmirror_user_check(test, bench.addr, NR, 3, "by the parent");
}

/**
 * struct request - one hmm_range_fault() on behalf of the device
 * @mirror: whose
 * @addr: of one page
 * @pfn: what was asked for and found
 */
struct request {
	struct dmirror_mirror *mirror;
	unsigned long addr;
	unsigned long pfn;
};

static int fault_request(struct request *request)
{
	struct hmm_range range = {
		.notifier = &request->mirror->notifier,
		.start = request->addr,
		.end = request->addr + PAGE_SIZE,
		.hmm_pfns = &request->pfn,
		.default_flags = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE,
		.dev_private_owner = request->mirror->devmem,
	};
	int ret;

	do {
		range.notifier_seq = mmu_interval_read_begin(range.notifier);
		ret = dmirror_mm_range_fault(&range);
	} while (ret == -EBUSY);

	return ret;
}

/*
 * hmm.h: "HMM_PFN_REQ_WRITE - The output must have HMM_PFN_WRITE or
 * hmm_range_fault() will fail". Up to 7.3 it reports a private page of the
 * caller's own as it is, read-only after a fork, and returns 0.
 */
static void write_request_finds_a_writable_page(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	struct request request = { bench.mirror, bench.addr };
	int ret;

	live(test, &bench, &(struct family){ .idle = true });
	bench_expect_all(test, &bench, bench.addr, 1, DEV_R, "after a fork");
	ret = fault_request(&request);
	if (!ret && !(request.pfn & HMM_PFN_WRITE) &&
	    is_device_private_page(hmm_pfn_to_page(request.pfn)))
		DMIRROR_KNOWN_DEFECT(test, "hmm_range_fault() for writing");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "range fault for writing");
	KUNIT_EXPECT_EQ_MSG(test, request.pfn & (HMM_PFN_VALID | HMM_PFN_WRITE),
			    HMM_PFN_VALID | HMM_PFN_WRITE, "pfn 0x%lx",
			    request.pfn);
}

/* What core mm reports as it is has to come home before it is written to. */
static void unlocked_fault_for_writing_brings_it_home(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);
	int ret;

	live(test, &bench, &(struct family){ .idle = true });
	bench_expect_all(test, &bench, bench.addr, NR, DEV_R, "after a fork");
	ret = dmirror_mirror_fault_unlocked(bench.mirror, bench.addr,
					    bench.addr + NR * PAGE_SIZE,
					    DMIRROR_PERM_WRITE,
					    DMIRROR_FAULT_TIMEOUT_MS);
	if (ret == -EOPNOTSUPP)
		kunit_skip(test, "needs hmm_range_fault_unlocked_timeout()");
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "fault for writing");
	bench_expect_out(test, &bench, 0, "after the fault for writing");
	dmirror_device_write(test, bench.mirror, bench.addr, NR, 2,
			     "after the fault for writing");
	dmirror_user_check(test, bench.addr, NR, 2, "after the device wrote");
}

static int migrate_again(const struct dmirror_bench *bench)
{
	unsigned long moved;
	int ret;

	ret = dmirror_migrate_to_ram(bench->mirror, bench->addr, NR, &moved);
	if (!ret)
		ret = dmirror_migrate_to_devmem(bench->mirror, bench->addr, NR,
						&moved);
	return ret ? ret : moved == NR ? 0 : -EAGAIN;
}

/* A page of two processes moves for both of them. */
static void shared_pages_migrate_for_both(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	live(test, &bench, &(struct family){
		.parent = migrate_again, .salt = 1,
	});
	bench_expect_out(test, &bench, 0, "after the child read every page");
	dmirror_user_check(test, bench.addr, NR, 1, "after the child exited");
}

static int evict_all(const struct dmirror_bench *bench)
{
	unsigned long left;

	return dmirror_migrate_evict(bench->devmem, &left);
}

static void eviction_serves_both(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	live(test, &bench, &(struct family){ .parent = evict_all, .salt = 1 });
	bench_expect_out(test, &bench, 0, "after the eviction");
	dmirror_user_check(test, bench.addr, NR, 1, "after the child exited");
	bench_expect_at_rest(test, &bench, bench.addr, NR, false,
			     "after the child exited");
}

/* The device goes on after the child, and the last exit frees its pages. */
static void device_reads_on_after_the_child_exited(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test);

	dmirror_device_read(test, bench.mirror, bench.addr, NR, 1,
			    "before the fork");
	live(test, &bench, &(struct family){ .idle = true });
	dmirror_device_read(test, bench.mirror, bench.addr, NR, 1,
			    "after the child exited");
	bench_expect_out(test, &bench, NR, "after the child exited");
	dmirror_user_exit(test);
	bench_expect_out(test, &bench, 0, "after the parent exited as well");
}

/**
 * struct ending - how the file and the child that came after it end
 * @name: in the case's name
 * @inherited: the child has the file as well, and lets go of it as it exits
 * @parent_first: the parent closes the file before the child does anything
 * @idle: the child touches nothing
 * @write: it writes, else it reads
 */
struct ending {
	const char *name;
	bool inherited;
	bool parent_first;
	bool idle;
	bool write;
};

static const struct ending endings[] = {
	{ "closed_idle_child", false, true, true, false },
	{ "closed_child_reads", false, true, false, false },
	{ "closed_child_writes", false, true, false, true },
	{ "idle_child_closed", false, false, true, false },
	{ "child_reads_closed", false, false, false, false },
	{ "child_writes_closed", false, false, false, true },
	{ "closed_idle_heir", true, true, true, false },
	{ "closed_heir_reads", true, true, false, false },
	{ "closed_heir_writes", true, true, false, true },
	{ "idle_heir_closed", true, false, true, false },
	{ "heir_reads_closed", true, false, false, false },
	{ "heir_writes_closed", true, false, false, true },
};

/* Every combination of the four, but that an idle child does not write. */
static_assert(ARRAY_SIZE(endings) == 2 * 2 * 3);

KUNIT_ARRAY_PARAM_DESC(ending, endings, name);

/* A reference of the child's own: its last fput() happens as it exits. */
static int child_inherits(void *data)
{
	fput(data);

	return 0;
}

static int end_child(struct kunit *test, struct file *file,
		     struct child_work *work)
{
	const struct ending *ending = test->param_value;
	struct user_child child;
	int ret;

	if (ending->inherited)
		get_file(file);
	ret = user_fork(&child);
	if (ret) {
		if (ending->inherited)
			fput(file);
		return ret;
	}
	if (ending->inherited)
		user_ask(&child, child_inherits, file);
	if (ending->parent_first)
		dmirror_file_close(test, file);
	if (!ending->idle)
		ret = user_ask(&child, child_fn, work);
	user_reap(&child);
	if (!ending->parent_first)
		dmirror_file_close(test, file);

	return ret;
}

/* Pages on the device, of two processes, and nobody's file in the end. */
static void file_and_child_end_in_any_order(struct kunit *test)
{
	const struct ending *ending = test->param_value;
	struct dmirror_device_config config = {
		.ops = &dmirror_pagemap_private_ops,
		.chunk_pages = PRIVATE_CHUNK,
		.max_chunks = 1,
		.id = DMIRROR_TEST_ID,
		.fops = &dmirror_fops,
	};
	struct child_work work = {
		.write = ending->write, .salt = ending->write ? 2 : 1,
		.page = NR,
	};
	struct dmirror_device *device;
	struct dmirror_bench bench;
	struct file *file;

	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	config.devt = dmirror_devt_get(test);
	device = dmirror_device_get(test, &config);
	file = dmirror_file_open(test, config.devt);
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(file), "open");
	bench.devmem = &device->devmem;
	bench.mirror = file->private_data;
	bench.addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, bench.addr, NR, 1);
	bench_to_device(test, &bench, bench.addr, NR);

	work.addr = bench.addr;
	DMIRROR_EXPECT_ERRNO(test, end_child(test, file, &work), 0,
			     "fork, and what the child did");
	KUNIT_EXPECT_EQ_MSG(test, work.page, NR,
			    "the child's first wrong page is at 0x%lx, its first word is 0x%llx",
			    bench.addr + (work.page << PAGE_SHIFT), work.got);
	bench_expect_out(test, &bench, ending->idle ? NR : 0,
			 "after the child exited and the file was closed");
	dmirror_user_check(test, bench.addr, 1, 1, "with no file open");
	dmirror_device_put(test, device);
	dmirror_user_check(test, bench.addr, NR, 1, "after the device's end");
}

static struct kunit_case fork_cases[] = {
	KUNIT_CASE(child_reads_what_is_on_the_device),
	KUNIT_CASE(child_writes_its_own_copy),
	KUNIT_CASE(child_writes_to_the_device_page_first),
	KUNIT_CASE(idle_child_leaves_pages_on_the_device),
	KUNIT_CASE(child_does_not_see_the_parents_writes),
	KUNIT_CASE(child_does_not_see_the_devices_writes),
	KUNIT_CASE_PARAM(childs_device_writes_for_the_child,
			 sharing_gen_params),
	KUNIT_CASE_PARAM(exclusive_pages_are_copied_on_write, turn_gen_params),
	KUNIT_CASE(write_request_finds_a_writable_page),
	KUNIT_CASE(unlocked_fault_for_writing_brings_it_home),
	KUNIT_CASE(shared_pages_migrate_for_both),
	KUNIT_CASE(eviction_serves_both),
	KUNIT_CASE(device_reads_on_after_the_child_exited),
	KUNIT_CASE_PARAM(file_and_child_end_in_any_order, ending_gen_params),
	{}
};

DMIRROR_SUITE(fork, dmirror_fixture_init_mm, fork_cases);
