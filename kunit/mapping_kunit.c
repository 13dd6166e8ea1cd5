// SPDX-License-Identifier: GPL-2.0
/*
 * What is behind a mapping beside anonymous memory: the pages of a file, mapped
 * private or shared, and a driver's own pages.
 */
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/shmem_fs.h>

#include "../drivers/dmirror/device.h"
#include "../drivers/dmirror/fops.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/pagemap.h"
#include "../drivers/dmirror/uapi.h"
#include "bench.h"
#include "device_file.h"
#include "private_devmem.h"

#define RW (PROT_READ | PROT_WRITE)
#define NR 8UL

static void fput_action(void *data)
{
	fput(data);
	/* A kernel thread's last fput() is carried out later, by a worker. */
	flush_delayed_fput();
}

static unsigned long map_file(struct kunit *test, struct file *file,
			      unsigned long flags)
{
	unsigned long addr = vm_mmap(file, 0, NR << PAGE_SHIFT, RW, flags, 0);

	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(addr), "mmap: got %pe",
			       (void *)addr);

	return addr;
}

/* A file in memory may have no read() nor write(): by another mapping. */
static void write_file(struct kunit *test, struct file *file, u64 salt)
{
	unsigned long addr = map_file(test, file, MAP_SHARED);

	dmirror_user_fill(test, addr, NR, salt);
	dmirror_user_unmap(test, addr, NR);
}

static void expect_file(struct kunit *test, struct file *file, u64 salt,
			const char *step)
{
	unsigned long addr = map_file(test, file, MAP_SHARED);

	dmirror_user_check(test, addr, NR, salt, step);
	dmirror_user_unmap(test, addr, NR);
}

/* A file in memory, with pattern @salt in it. */
static struct file *file_of(struct kunit *test, u64 salt)
{
	struct file *file = shmem_file_setup("dmirror", NR << PAGE_SHIFT,
					     EMPTY_VMA_FLAGS);

	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(file), "file");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, fput_action,
							file), 0);
	write_file(test, file, salt);

	return file;
}

static const struct share {
	const char *name;
	unsigned long flags;
} shares[] = {
	{ "private", MAP_PRIVATE },
	{ "shared", MAP_SHARED },
};

KUNIT_ARRAY_PARAM_DESC(share, shares, name);

static unsigned long flags_of(struct kunit *test)
{
	const struct share *share = test->param_value;

	return share->flags;
}

/* hmm-tests' file_read. */
static void device_reads_a_file(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct file *file = file_of(test, 1);
	unsigned long addr = map_file(test, file, flags_of(test));

	dmirror_device_read(test, mirror, addr, NR, 1, "what is in the file");
	dmirror_user_check(test, addr, NR, 1, "by the CPU as well");
}

/* hmm-tests' file_write: what is private does not reach the file. */
static void device_writes_to_a_file(struct kunit *test)
{
	bool shared = flags_of(test) == MAP_SHARED;
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct file *file = file_of(test, 1);
	unsigned long addr = map_file(test, file, flags_of(test));

	dmirror_device_write(test, mirror, addr, NR, 2, "to the mapping");
	dmirror_user_check(test, addr, NR, 2, "after the device wrote");
	expect_file(test, file, shared ? 2 : 1, "after the device wrote");
}

/* A write to the file by other means is seen at once. */
static void device_sees_what_is_written_to_the_file(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct file *file = file_of(test, 1);
	unsigned long addr = map_file(test, file, MAP_SHARED);

	dmirror_device_read(test, mirror, addr, NR, 1, "before");
	write_file(test, file, 3);
	dmirror_device_read(test, mirror, addr, NR, 3, "after the write");
}

/*
 * A file that gets shorter takes the device's entries of its end with it. Shared
 * pages of a file in memory are writable from the first read on.
 */
static void truncation_takes_entries_away(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	struct file *file = file_of(test, 1);
	unsigned long addr = map_file(test, file, MAP_SHARED);

	dmirror_device_read(test, mirror, addr, NR, 1, "before");
	dmirror_expect_pt(test, mirror, addr, "wwwwwwww", "before");
	DMIRROR_ASSERT_OK(test, vfs_truncate(&file->f_path, 3 << PAGE_SHIFT),
			  "truncate");
	dmirror_expect_pt(test, mirror, addr, "www-----", "after truncate");
	DMIRROR_EXPECT_ERRNO(test,
			     dmirror_mirror_fault(mirror,
						  addr + 3 * PAGE_SIZE,
						  addr + 4 * PAGE_SIZE,
						  DMIRROR_PERM_READ,
						  DMIRROR_FAULT_TIMEOUT_MS),
			     -EFAULT, "fault behind the end of the file");
}

static struct dmirror_bench bench_get(struct kunit *test, unsigned long addr)
{
	struct dmirror_bench bench;

	bench.devmem = dmirror_private_get(test, 0, PRIVATE_CHUNK, 1);
	bench.mirror = dmirror_mirror_get(test, bench.devmem);
	bench.addr = addr;

	return bench;
}

/* hmm-tests' migrate_file_private: what was written to is anonymous. */
static void own_copies_of_file_pages_migrate(struct kunit *test)
{
	struct file *file = file_of(test, 1);
	unsigned long addr = map_file(test, file, MAP_PRIVATE);
	struct dmirror_bench bench = bench_get(test, addr);

	dmirror_user_fill(test, addr, NR, 2);
	bench_to_device(test, &bench, addr, NR);
	bench_expect_out(test, &bench, NR, "after migration");
	dmirror_device_read(test, bench.mirror, addr, NR, 2, "on the device");
	dmirror_user_check(test, addr, NR, 2, "back by the CPU");
	bench_expect_out(test, &bench, 0, "at the end");
	expect_file(test, file, 1, "at the end");
}

/* Pages of the file itself stay where they are, and are told as not moved. */
static void pages_of_the_file_stay(struct kunit *test)
{
	struct file *file = file_of(test, 1);
	unsigned long addr = map_file(test, file, flags_of(test));
	struct dmirror_bench bench = bench_get(test, addr);
	unsigned long moved = 9;

	dmirror_user_touch(test, addr, NR);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(bench.mirror, addr,
							     NR, &moved),
			     0, "migration of a file's pages");
	KUNIT_EXPECT_EQ(test, moved, 0UL);
	bench_expect_out(test, &bench, 0, "after the migration");
	dmirror_user_check(test, addr, NR, 1, "after the migration");
	expect_file(test, file, 1, "after the migration");
}

/* hmm-tests' mixedmap: a driver's own pages, mapped by its mmap(). */
static void drivers_own_pages(struct kunit *test)
{
	struct dmirror_device_config config = {
		.ops = &dmirror_pagemap_private_ops,
		.chunk_pages = PRIVATE_CHUNK,
		.max_chunks = 1,
		.id = DMIRROR_TEST_ID,
		.fops = &dmirror_fops,
	};
	struct dmirror_mirror *mirror;
	unsigned long addr, moved = 9;
	struct file *file;
	u8 want[NR];

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	config.devt = dmirror_devt_get(test);
	dmirror_device_get(test, &config);
	file = dmirror_file_open(test, config.devt);
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(file), "open");
	mirror = file->private_data;
	addr = map_file(test, file, MAP_PRIVATE);
	memset(want, HMM_DMIRROR_PROT_READ, NR);
	dmirror_expect_snapshot(test, mirror, addr, want, NR, "as mapped");
	dmirror_device_read(test, mirror, addr, NR, 0, "as mapped");
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(mirror, addr, NR,
							     &moved),
			     -EINVAL, "migration of a special mapping");
	KUNIT_EXPECT_EQ(test, moved, 0UL);
	dmirror_device_write(test, mirror, addr, NR, 2, "copies of them");
	dmirror_user_check(test, addr, NR, 2, "after the device wrote");
}

static struct kunit_case mapping_cases[] = {
	KUNIT_CASE_PARAM(device_reads_a_file, share_gen_params),
	KUNIT_CASE_PARAM(device_writes_to_a_file, share_gen_params),
	KUNIT_CASE(device_sees_what_is_written_to_the_file),
	KUNIT_CASE(truncation_takes_entries_away),
	KUNIT_CASE(own_copies_of_file_pages_migrate),
	KUNIT_CASE_PARAM(pages_of_the_file_stay, share_gen_params),
	KUNIT_CASE(drivers_own_pages),
	{}
};

DMIRROR_SUITE(mapping, dmirror_fixture_init_mm, mapping_cases);
