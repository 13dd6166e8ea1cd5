// SPDX-License-Identifier: GPL-2.0
/*
 * What lib/test_hmm.c of Linux 7.3 does wrong and no other suite shows that
 * this driver does not. Documentation/differences.rst has the rows.
 */
#include "mirror_fixture.h"

#include <kunit/static_stub.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mman.h>
#include <linux/moduleparam.h>
#include <linux/pagemap.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "../drivers/dmirror/fops.h"
#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/plan.h"
#include "../drivers/dmirror/uapi.h"
#include "bench.h"
#include "private_devmem.h"
#include "race.h"
#include "user.h"

#define RW (PROT_READ | PROT_WRITE)

#define DEV_W (HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_WRITE)
#define RAM_W HMM_DMIRROR_PROT_WRITE

/* Pages of most cases. */
#define NR 16UL

/*
 * Rows 1 and 2: two files of one device. The second one reads pages that the
 * first one has moved, and hears of each further move.
 */
static void second_file_follows_the_pages(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct dmirror_mirror *second =
		dmirror_mirror_get(test, bench.devmem);

	dmirror_device_read(test, second, bench.addr, NR, 1, "before");
	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_device_read(test, second, bench.addr, NR, 1,
			    "by the second file on the device");
	dmirror_device_write(test, second, bench.addr, NR, 2,
			     "by the second file on the device");
	bench_expect_out(test, &bench, NR, "after the second file's accesses");

	bench_to_ram(test, &bench, bench.addr, NR, NR);
	dmirror_user_check(test, bench.addr, NR, 2, "after the way back");
	dmirror_user_fill(test, bench.addr, NR, 3);
	dmirror_device_read(test, second, bench.addr, NR, 3,
			    "by the second file after the way back");
	dmirror_device_write(test, second, bench.addr, NR, 4,
			     "by the second file after the way back");
	dmirror_user_check(test, bench.addr, NR, 4,
			   "after the second file's stores");
}

/**
 * struct move - a page that moves while a fault is under way
 * @mirror: who moves it
 * @addr: the page
 * @fn: where to
 */
struct move {
	struct dmirror_mirror *mirror;
	unsigned long addr;
	int (*fn)(struct dmirror_mirror *mirror, unsigned long addr,
		  unsigned long npages, unsigned long *moved);
};

/* For struct dmirror_race, which hands over a number. */
static int disturb_move(unsigned long move_addr)
{
	const struct move *move = (const struct move *)move_addr;
	unsigned long moved;
	int ret = move->fn(move->mirror, move->addr, 1, &moved);

	if (!ret && moved != 1)
		ret = -ENOENT;

	return ret;
}

static void write_while_it_moves(struct kunit *test,
				 const struct dmirror_bench *bench,
				 const struct move *move, u64 salt,
				 const char *step)
{
	struct dmirror_race race = {
		.disturb = disturb_move, .addr = (unsigned long)move,
		.times = 1,
	};

	dmirror_race_with(test, &race);
	dmirror_device_write(test, bench->mirror, bench->addr, NR, salt, step);
	dmirror_race_done(test, &race, 2);
	kunit_deactivate_static_stub(test, dmirror_mm_range_fault);
}

/* Row 2: the page that the fault has found is somebody else's by now. */
static void page_moves_during_a_fault(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct move move = {
		.mirror = bench.mirror,
		.addr = bench.addr + 3 * PAGE_SIZE,
		.fn = dmirror_migrate_to_devmem,
	};

	write_while_it_moves(test, &bench, &move, 2,
			     "while page 3 went to the device");
	bench_expect_out(test, &bench, 1, "after page 3 went to the device");
	dmirror_user_check(test, bench.addr, NR, 2,
			   "after a store while page 3 went to the device");

	bench_to_device(test, &bench, bench.addr, NR);
	move.fn = dmirror_migrate_to_ram;
	write_while_it_moves(test, &bench, &move, 3, "while page 3 came back");
	bench_expect_out(test, &bench, NR - 1, "after page 3 came back");
	dmirror_user_check(test, bench.addr, NR, 3,
			   "after a store while page 3 came back");
}

/**
 * struct look - what the device could reach when pages were about to be copied
 * @mirror: whose entries
 * @calls: how often there was a look
 * @entries: entries of the pages about to be copied, of all looks
 */
struct look {
	struct dmirror_mirror *mirror;
	unsigned int calls;
	unsigned int entries;
};

/* Runs between core mm's part of a migration and the copy. */
static int setup_then_look(struct migrate_vma *args)
{
	struct look *look = dmirror_fixture(kunit_get_current_test())->stub;
	struct dmirror_pt *pt = &look->mirror->pt;
	int ret = __dmirror_mm_migrate_setup(args);
	unsigned long addr;

	look->calls++;
	mutex_lock(&pt->lock);
	for (addr = args->start; addr < args->end; addr += PAGE_SIZE)
		if (dmirror_pt_lookup(pt, addr >> PAGE_SHIFT,
				      DMIRROR_PERM_READ))
			look->entries++;
	mutex_unlock(&pt->lock);

	return ret;
}

static void expect_look(struct kunit *test, struct look *look,
			unsigned int calls, const char *step)
{
	KUNIT_EXPECT_EQ_MSG(test, look->calls, calls, "migrations %s", step);
	KUNIT_EXPECT_EQ_MSG(test, look->entries, 0U,
			    "pages that the device could reach while they were copied %s",
			    step);
	look->calls = 0;
	look->entries = 0;
}

/*
 * Row 3: a store of the device is in the copy, or comes after it and finds no
 * entry. There is no third place for it to get lost in.
 */
static void device_has_no_entry_during_a_copy(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct look look = { .mirror = bench.mirror };

	dmirror_fixture(test)->stub = &look;
	kunit_activate_static_stub(test, dmirror_mm_migrate_setup,
				   setup_then_look);
	dmirror_device_write(test, bench.mirror, bench.addr, NR, 2, "before");
	bench_to_device(test, &bench, bench.addr, NR);
	expect_look(test, &look, 1, "to the device");

	dmirror_device_write(test, bench.mirror, bench.addr, NR, 3,
			     "on the device");
	dmirror_user_check(test, bench.addr, NR / 2, 3, "after CPU faults");
	expect_look(test, &look, NR / 2, "by CPU faults");

	bench_to_ram(test, &bench, bench.addr, NR, NR / 2);
	expect_look(test, &look, 1, "back on request");
	kunit_deactivate_static_stub(test, dmirror_mm_migrate_setup);
	dmirror_user_check(test, bench.addr, NR, 3, "after all of it");
}

/* Row 4: the pages before and after it come home, and so does it later. */
static void way_back_without_memory_for_one(struct kunit *test)
{
	static const unsigned int nths[] = { 1, 5, NR };
	struct dmirror_bench bench = bench_get_private(test, NR);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nths); i++) {
		unsigned long at = bench.addr +
				   ((nths[i] - 1UL) << PAGE_SHIFT);

		bench_to_device(test, &bench, bench.addr, NR);
		dmirror_inject_arm(DMIRROR_INJECT_RAM_ALLOC, nths[i]);
		bench_to_ram_part(test, &bench, bench.addr, NR, -ENOMEM,
				  NR - 1);
		bench_expect_out(test, &bench, 1, "after the failure");
		bench_expect_all(test, &bench, at, 1, DEV_W, "that failed");
		bench_expect_at_rest(test, &bench, at, 1, true, "that failed");
		bench_to_ram(test, &bench, bench.addr, NR, 1);
		bench_expect_all(test, &bench, bench.addr, NR, RAM_W,
				 "with memory again");
		bench_expect_at_rest(test, &bench, bench.addr, NR, false,
				     "with memory again");
		dmirror_user_check(test, bench.addr, NR, 1,
				   "with memory again");
	}
}

/* A folio of 4 pages, and what a call meets beside it. */
#define ORDER 2U
#define LARGE BIT(ORDER)

/**
 * struct entry - an entry of src[] that is not the tail of another
 * @at: its index
 * @order: of its folio
 * @goes: it is to be migrated
 */
struct entry {
	unsigned long at;
	unsigned int order;
	bool goes;
};

static const struct entry mixed[] = {
	{ 0, 0, true }, { 1, ORDER, true }, { 1 + LARGE, 0, false },
	{ 2 + LARGE, 0, true }, { 3 + LARGE, ORDER, true },
	{ 3 + 2 * LARGE, 0, true },
};

#define MIXED_NR (4 + 2 * LARGE)
#define MIXED_GOES (MIXED_NR - 1)

static void mixed_fill(struct kunit *test, struct dmirror_devmem *devmem,
		       unsigned long *src)
{
	struct dmirror_resv resv = { };
	unsigned long i, j;

	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, 2, ORDER, &resv),
			  "reserve two large folios");
	DMIRROR_ASSERT_OK(test, dmirror_devmem_reserve(devmem, 4, 0, &resv),
			  "reserve four pages");
	memset(src, 0, MIXED_NR * sizeof(*src));
	for (i = 0; i < ARRAY_SIZE(mixed); i++) {
		const struct entry *entry = &mixed[i];
		struct page *page = dmirror_devmem_alloc(&resv, entry->order);

		KUNIT_ASSERT_NOT_NULL(test, page);
		src[entry->at] = migrate_pfn(page_to_pfn(page));
		if (entry->goes)
			src[entry->at] |= MIGRATE_PFN_MIGRATE;
		if (entry->order)
			src[entry->at] |= MIGRATE_PFN_COMPOUND;
		for (j = 0; j < 1UL << entry->order; j++)
			memset_page(dmirror_devmem_backing(page + j), 0,
				    entry->at + j + 1, PAGE_SIZE);
	}
	dmirror_devmem_unreserve(&resv);
}

static void mixed_check(struct kunit *test, const struct entry *entry,
			const unsigned long *dst)
{
	struct page *page = migrate_pfn_to_page(dst[entry->at]);
	unsigned long i;

	KUNIT_EXPECT_EQ_MSG(test, !!page, entry->goes, "entry %lu: dst 0x%lx",
			    entry->at, dst[entry->at]);
	if (!page)
		return;
	KUNIT_EXPECT_EQ_MSG(test, folio_order(page_folio(page)), entry->order,
			    "order of entry %lu", entry->at);
	for (i = 0; i < folio_nr_pages(page_folio(page)); i++) {
		u8 want = entry->at + i + 1, got;

		memcpy_from_page(&got, page + i, PAGE_SIZE - 1, 1);
		KUNIT_EXPECT_EQ_MSG(test, got, want, "page %lu of entry %lu",
				    i, entry->at);
		if (i)
			KUNIT_EXPECT_EQ_MSG(test, dst[entry->at + i], 0UL,
					    "tail %lu of entry %lu", i,
					    entry->at);
	}
}

static void drop(unsigned long entry)
{
	struct page *page = migrate_pfn_to_page(entry);

	if (!page)
		return;
	unlock_page(page);
	put_page(page);
}

/* Row 5: what is skipped is as long as it is, not as what came before it. */
static void one_call_with_folios_of_all_sizes(struct kunit *test)
{
	struct dmirror_devmem *devmem =
		dmirror_private_get(test, ORDER, PRIVATE_CHUNK, 1);
	const struct dmirror_plan plan = { .devmem = devmem };
	unsigned long src[MIXED_NR], dst[MIXED_NR];
	unsigned long i;

	mixed_fill(test, devmem, src);
	KUNIT_EXPECT_EQ(test, dmirror_plan_to_ram(&plan, src, dst, MIXED_NR),
			MIXED_GOES);
	dmirror_plan_copy(&plan, src, dst, MIXED_NR);
	for (i = 0; i < ARRAY_SIZE(mixed); i++)
		mixed_check(test, &mixed[i], dst);
	for (i = 0; i < MIXED_NR; i++) {
		drop(dst[i]);
		drop(src[i]);
	}
	KUNIT_EXPECT_EQ(test, dmirror_pages_out(devmem), 0UL);
}

/*
 * Row 19: an invalidation between the migration and the look at its result
 * leaves the pages where they are, so the command has done its work.
 */
static void invalidation_does_not_fail_a_migration(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct hmm_dmirror_cmd cmd = {
		.addr = bench.addr,
		.ptr = dmirror_user_map(test, NR, RW),
		.npages = NR,
	};
	struct dmirror_race race = {
		.disturb = dmirror_disturb_protect,
		.addr = bench.addr + 3 * PAGE_SIZE, .times = 1,
	};

	DMIRROR_REQUIRES_BUILTIN(test);
	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_fops_command(bench.mirror,
						  HMM_DMIRROR_MIGRATE_TO_DEV,
						  &cmd),
			     0, "MIGRATE_TO_DEV with mprotect behind it");
	/* The snapshot, once more, and the fault of the device's read. */
	dmirror_race_done(test, &race, 3);
	KUNIT_EXPECT_EQ(test, cmd.cpages, (u64)NR);
	bench_expect_out(test, &bench, NR, "after MIGRATE_TO_DEV");
	dmirror_user_check(test, cmd.ptr, NR, 1, "after MIGRATE_TO_DEV");
}

/* For struct dmirror_race. */
static int disturb_touch(unsigned long addr)
{
	u8 byte;

	return copy_from_user(&byte, (void __user *)addr, 1) ? -EFAULT : 0;
}

/*
 * Row 19: the CPU takes a page back before the command has read it. It comes
 * to that while the last page, which is on the device, is brought home.
 */
static void cpu_access_does_not_fail_an_exclusive_command(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct hmm_dmirror_cmd cmd = {
		.addr = bench.addr,
		.ptr = dmirror_user_map(test, NR, RW),
		.npages = NR,
	};
	struct dmirror_race race = {
		.disturb = disturb_touch,
		.addr = bench.addr + 3 * PAGE_SIZE, .times = 1,
	};

	bench_to_device(test, &bench, bench.addr + (NR - 1) * PAGE_SIZE, 1);
	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_fops_command(bench.mirror,
						  HMM_DMIRROR_EXCLUSIVE, &cmd),
			     0, "EXCLUSIVE with a CPU access in the middle");
	DMIRROR_EXPECT_ERRNO(test, race.error, 0, "the access itself");
	KUNIT_EXPECT_EQ_MSG(test, race.times, 0U, "accesses not made");
	KUNIT_EXPECT_EQ_MSG(test, cmd.cpages, (u64)NR, "pages read");
	KUNIT_EXPECT_EQ_MSG(test, cmd.faults, 1ULL,
			    "faults: for the page that was lost");
	dmirror_expect_pt(test, bench.mirror, bench.addr, "xxxwxxxxxxxxxxxx",
			  "after EXCLUSIVE");
	dmirror_user_check(test, cmd.ptr, NR, 1, "after EXCLUSIVE");
}

/* Row 22: neither shown as what it is not, nor brought home by the look. */
static void foreign_private_page_is_no_page(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct dmirror_bench other =
		bench_on(test, dmirror_private_get(test, 0, PRIVATE_CHUNK, 1),
			 bench.addr);

	bench_to_device(test, &bench, bench.addr, NR);
	bench_expect_all(test, &other, other.addr, NR, HMM_DMIRROR_PROT_NONE,
			 "by the other device");
	bench_expect_out(test, &bench, NR, "after the other device's snapshot");
	bench_expect_all(test, &bench, bench.addr, NR, DEV_W,
			 "by the device itself");
}

static void command(struct kunit *test, const struct dmirror_bench *bench,
		    unsigned int number, u64 npages, const char *step)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = bench->addr, .ptr = bench->addr, .npages = npages,
	};

	DMIRROR_EXPECT_ERRNO(test, dmirror_fops_command(bench->mirror, number,
							&cmd), 0, step);
}

/*
 * Row 23: it waits for a large folio that its own file asks for. Neither
 * single pages nor a CPU fault nor an eviction take it away.
 */
static void fail_alloc_waits_for_a_large_folio(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);

	command(test, &bench, HMM_DMIRROR_FLAGS, HMM_DMIRROR_FLAG_FAIL_ALLOC,
		"FLAGS with FAIL_ALLOC");
	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_user_touch(test, bench.addr, 1);
	bench_expect_out(test, &bench, NR - 1, "after a CPU fault");
	bench_to_ram(test, &bench, bench.addr, NR / 2, NR / 2 - 1);
	bench_evict(test, &bench);
	KUNIT_EXPECT_EQ_MSG(test, bench.mirror->flags,
			    BIT(DMIRROR_MIRROR_FAIL_LARGE),
			    "the flag after all of it");
	command(test, &bench, HMM_DMIRROR_FLAGS, 0, "FLAGS with none");
	KUNIT_EXPECT_EQ(test, bench.mirror->flags, 0UL);
	dmirror_user_check(test, bench.addr, NR, 1, "after all of it");
}

/* Maps nothing, and takes the range back from whoever asks for it. */
static vm_fault_t restless_fault(struct vm_fault *vmf)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, vmf->vma->vm_mm,
				vmf->address, vmf->address + PAGE_SIZE);
	user_invalidate_nonblock(&range);

	return VM_FAULT_NOPAGE;
}

static const struct vm_operations_struct restless_vm_ops = {
	.fault = restless_fault,
};

static int restless_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &restless_vm_ops;

	return 0;
}

static const struct file_operations restless_fops = {
	.mmap = restless_mmap,
};

static unsigned long restless_map(struct kunit *test)
{
	struct file *file = anon_inode_getfile("dmirror_kunit", &restless_fops,
					       NULL, O_RDWR);
	unsigned long addr;

	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(file), "file");
	addr = vm_mmap(file, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, 0);
	fput(file);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(addr), "mmap: got %pe",
			       (void *)addr);

	return addr;
}

/* Row 14: where core mm tries again by itself, it is told for how long. */
static void unlocked_fault_gives_up_in_time(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;
	int ret;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = restless_map(test);
	ret = dmirror_mirror_fault_unlocked(mirror, addr, addr + PAGE_SIZE,
					    DMIRROR_PERM_READ, 20);
	if (ret == -EOPNOTSUPP)
		kunit_skip(test, "needs hmm_range_fault_unlocked_timeout()");
	DMIRROR_EXPECT_ERRNO(test, ret, -EBUSY,
			     "fault that never finds a quiet moment");
	KUNIT_EXPECT_TRUE_MSG(test, xa_empty(&mirror->pt.entries),
			      "giving up left slots");
}

/**
 * struct input - what hmm_range_fault() was handed in hmm_pfns[]
 * @calls: how often it was called
 * @bits: all bits of all entries of all calls
 */
struct input {
	unsigned int calls;
	unsigned long bits;
};

/* Asks for another round each first time, so that an array could be reused. */
static int note_input(struct hmm_range *range)
{
	struct input *input = dmirror_fixture(kunit_get_current_test())->stub;
	unsigned long i, nr = (range->end - range->start) >> PAGE_SHIFT;
	int ret;

	for (i = 0; i < nr; i++)
		input->bits |= range->hmm_pfns[i];
	ret = __dmirror_mm_range_fault(range);
	if (!ret && !(input->calls++ & 1))
		ret = -EBUSY;

	return ret;
}

/* Row 28: core mm keeps some bits of what it is handed. */
static void range_faults_begin_with_empty_entries(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 2 * DMIRROR_BATCH, RW);
	struct input input = { };
	u8 want[DMIRROR_BATCH];

	dmirror_user_fill(test, addr, 2 * DMIRROR_BATCH, 1);
	dmirror_fixture(test)->stub = &input;
	kunit_activate_static_stub(test, dmirror_mm_range_fault, note_input);
	dmirror_device_read(test, mirror, addr, 2 * DMIRROR_BATCH, 1,
			    "with each fault done twice");
	KUNIT_EXPECT_EQ_MSG(test, input.calls, 4U, "calls of the faults");
	KUNIT_EXPECT_EQ_MSG(test, input.bits, 0UL, "bits handed to the faults");

	memset(want, RAM_W, sizeof(want));
	dmirror_expect_snapshot(test, mirror, addr, want, sizeof(want),
				"done twice");
	KUNIT_EXPECT_EQ_MSG(test, input.calls, 6U, "calls of the snapshot");
	KUNIT_EXPECT_EQ_MSG(test, input.bits, 0UL,
			    "bits handed to the snapshot");
	kunit_deactivate_static_stub(test, dmirror_mm_range_fault);
}

/* Row 29: each counter is told, and says what happened. */
static void counters_say_what_happened(struct kunit *test)
{
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct dmirror_devmem_stats devmem;
	struct dmirror_mirror_stats mirror;

	/* One of the pages was never there: no source, one folio all the same. */
	dmirror_user_map_over(test, bench.addr, 1, RW);
	dmirror_mirror_stats(bench.mirror, &mirror);
	KUNIT_EXPECT_EQ(test, mirror.faults, 0UL);
	dmirror_device_write(test, bench.mirror, bench.addr + PAGE_SIZE, NR - 1,
			     2, "before");
	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_devmem_stats(bench.devmem, &devmem);
	KUNIT_EXPECT_EQ(test, devmem.chunks, 1UL);
	KUNIT_EXPECT_EQ(test, devmem.total, PRIVATE_CHUNK);
	KUNIT_EXPECT_EQ(test, devmem.free, PRIVATE_CHUNK - NR);
	KUNIT_EXPECT_EQ(test, devmem.reserved, 0UL);
	KUNIT_EXPECT_EQ(test, devmem.blocks, NR);
	KUNIT_EXPECT_EQ(test, devmem.allocs, NR);
	KUNIT_EXPECT_EQ(test, devmem.frees, 0UL);

	dmirror_user_touch(test, bench.addr, 4);
	dmirror_devmem_stats(bench.devmem, &devmem);
	KUNIT_EXPECT_EQ(test, devmem.free, PRIVATE_CHUNK - NR + 4);
	KUNIT_EXPECT_EQ(test, devmem.blocks, NR - 4);
	KUNIT_EXPECT_EQ(test, devmem.frees, 4UL);

	dmirror_mirror_stats(bench.mirror, &mirror);
	KUNIT_EXPECT_EQ(test, mirror.faults, 1UL);
	KUNIT_EXPECT_EQ(test, mirror.retries, 0UL);
	KUNIT_EXPECT_EQ_MSG(test, mirror.cleared, NR - 1,
			    "entries taken away: those of the device's store");
	KUNIT_EXPECT_GE_MSG(test, mirror.invalidations, 1UL + 1 + 4,
			    "invalidations: mmap, migration, CPU faults");
	KUNIT_EXPECT_EQ(test, atomic_long_read(&bench.mirror->refused), 0L);
}

/**
 * struct depth - how much stack the driver has used when it calls core mm
 * @from: where the case's own frame is
 * @most: the most that was seen, in bytes
 * @calls: how often it was looked at
 */
struct depth {
	unsigned long from;
	unsigned long most;
	unsigned int calls;
};

static void note_depth(void)
{
	struct depth *depth = dmirror_fixture(kunit_get_current_test())->stub;
	unsigned long here = (unsigned long)__builtin_frame_address(0);

	depth->most = max(depth->most, depth->from - here);
	depth->calls++;
}

static int note_depth_of_fault(struct hmm_range *range)
{
	note_depth();

	return __dmirror_mm_range_fault(range);
}

static int note_depth_of_setup(struct migrate_vma *args)
{
	note_depth();

	return __dmirror_mm_migrate_setup(args);
}

/* Row 39: the most that a command needs until it calls core mm. */
static void commands_are_light_on_the_stack(struct kunit *test)
{
	static const unsigned int commands[] = {
		HMM_DMIRROR_READ, HMM_DMIRROR_WRITE, HMM_DMIRROR_MIGRATE_TO_DEV,
		HMM_DMIRROR_SNAPSHOT, HMM_DMIRROR_MIGRATE_TO_SYS,
	};
	struct dmirror_bench bench = bench_get_private(test, NR);
	struct depth depth = {
		.from = (unsigned long)__builtin_frame_address(0),
	};
	unsigned int i;

	dmirror_fixture(test)->stub = &depth;
	kunit_activate_static_stub(test, dmirror_mm_range_fault,
				   note_depth_of_fault);
	kunit_activate_static_stub(test, dmirror_mm_migrate_setup,
				   note_depth_of_setup);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		command(test, &bench, commands[i], NR, "command");
	/* By CPU faults, which come on top of what is on the stack by then. */
	command(test, &bench, HMM_DMIRROR_MIGRATE_TO_DEV, NR, "command");
	dmirror_user_touch(test, bench.addr, NR);
	kunit_deactivate_static_stub(test, dmirror_mm_range_fault);
	kunit_deactivate_static_stub(test, dmirror_mm_migrate_setup);
	KUNIT_EXPECT_GE_MSG(test, depth.calls, ARRAY_SIZE(commands) + NR,
			    "looks");
	KUNIT_EXPECT_LE_MSG(test, depth.most, THREAD_SIZE / 4,
			    "bytes of %lu on the stack", THREAD_SIZE);
}

/* Row 30: of the type that they have, and as they are from the start. */
static void parameters_cannot_be_changed_later(struct kunit *test)
{
#ifdef MODULE
	DMIRROR_REQUIRES_BUILTIN(test);
#else
	const struct kernel_param_ops *want;
	const struct kernel_param *param;
	unsigned int nr = 0;

	for (param = __start___param; param < __stop___param; param++) {
		if (!strstarts(param->name, "dmirror."))
			continue;
		nr++;
		want = strcmp(param->name, "dmirror.two_pass") ?
		       &param_ops_ulong : &param_ops_bool;
		KUNIT_EXPECT_EQ_MSG(test, param->perm, 0444, "%s",
				    param->name);
		KUNIT_EXPECT_PTR_EQ_MSG(test, param->ops, want, "type of %s",
					param->name);
	}
	KUNIT_EXPECT_EQ_MSG(test, nr, 4U, "parameters of the driver");
#endif
}

static struct kunit_case defects_cases[] = {
	KUNIT_CASE(second_file_follows_the_pages),
	KUNIT_CASE(page_moves_during_a_fault),
	KUNIT_CASE(device_has_no_entry_during_a_copy),
	KUNIT_CASE(way_back_without_memory_for_one),
	KUNIT_CASE(one_call_with_folios_of_all_sizes),
	KUNIT_CASE(invalidation_does_not_fail_a_migration),
	KUNIT_CASE(cpu_access_does_not_fail_an_exclusive_command),
	KUNIT_CASE(foreign_private_page_is_no_page),
	KUNIT_CASE(fail_alloc_waits_for_a_large_folio),
	KUNIT_CASE(unlocked_fault_gives_up_in_time),
	KUNIT_CASE(range_faults_begin_with_empty_entries),
	KUNIT_CASE(counters_say_what_happened),
	KUNIT_CASE(commands_are_light_on_the_stack),
	KUNIT_CASE(parameters_cannot_be_changed_later),
	{}
};

DMIRROR_SUITE(defects, dmirror_fixture_init_mm, defects_cases);
