// SPDX-License-Identifier: GPL-2.0
/*
 * Devices: what they are made of, and that nothing is left of them, least of
 * all a page of somebody's.
 */
#include "mirror_fixture.h"

#include <linux/device.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>

#include "../drivers/dmirror/device.h"
#include "../drivers/dmirror/fops.h"
#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/migrate.h"
#include "../drivers/dmirror/pagemap.h"
#include "bench.h"
#include "device_file.h"
#include "private_devmem.h"

#define RW (PROT_READ | PROT_WRITE)

/* Pages of most cases: more than one batch. */
#define NR 80UL

static struct dmirror_device_config config_of(unsigned int nr)
{
	return (struct dmirror_device_config){
		.ops = &dmirror_pagemap_private_ops,
		.chunk_pages = PRIVATE_CHUNK,
		.max_chunks = 1,
		.id = DMIRROR_TEST_ID + nr,
	};
}

/* A device, which nobody can open, and NR pages full of pattern 1. */
static struct dmirror_bench bench_get(struct kunit *test, unsigned int nr)
{
	const struct dmirror_device_config config = config_of(nr);
	struct dmirror_device *device;
	unsigned long addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	device = dmirror_device_get(test, &config);
	addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, addr, NR, 1);

	return bench_on(test, &device->devmem, addr);
}

/* The device's end, which no mirror sees. */
static void bench_put(struct kunit *test, struct dmirror_bench *bench)
{
	dmirror_mirror_put(test, bench->mirror);
	dmirror_device_put(test, container_of(bench->devmem,
					      struct dmirror_device, devmem));
}

static void device_is_what_was_asked_for(struct kunit *test)
{
	struct dmirror_device_config config = config_of(3);
	struct dmirror_device *device;

	config.large_order = 4;
	config.max_chunks = 7;
	config.region = (struct range){ 1UL << 30, (2UL << 30) - 1 };
	device = dmirror_device_get(test, &config);
	KUNIT_EXPECT_STREQ(test, dev_name(&device->dev), "hmm_dmirror93");
	KUNIT_EXPECT_PTR_EQ(test, device->devmem.ops, config.ops);
	KUNIT_EXPECT_EQ(test, device->devmem.large_order, 4U);
	KUNIT_EXPECT_EQ(test, device->devmem.chunk_pages, PRIVATE_CHUNK);
	KUNIT_EXPECT_EQ(test, device->devmem.max_chunks, 7UL);
	KUNIT_EXPECT_EQ(test, device->devmem.region.start, config.region.start);
	KUNIT_EXPECT_EQ(test, device->devmem.region.end, config.region.end);
	KUNIT_EXPECT_EQ_MSG(test, device->devmem.stats.chunks, 0UL,
			    "chunks that nobody asked for");
	KUNIT_EXPECT_FALSE_MSG(test, device_is_registered(&device->dev),
			       "a device without file operations is known to the system");
}

static void bad_chunk_size_is_refused(struct kunit *test)
{
	static const struct {
		unsigned int large_order;
		unsigned long chunk_pages;
	} rows[] = {
		{ 0, 0 }, { 4, 8 }, { 4, 17 }, { 9, 1023 },
	};
	struct dmirror_device_config config = config_of(0);
	unsigned int i;

	config.fops = &dmirror_fops;
	config.devt = dmirror_devt_get(test);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dmirror_device *device;

		config.large_order = rows[i].large_order;
		config.chunk_pages = rows[i].chunk_pages;
		device = dmirror_device_create(&config);
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(device), -EINVAL,
				    "chunks of %lu pages with folios of order %u",
				    rows[i].chunk_pages, rows[i].large_order);
		if (!IS_ERR(device))
			dmirror_device_destroy(device);
	}
	DMIRROR_EXPECT_ERRNO(test,
			     PTR_ERR_OR_ZERO(dmirror_file_open(test,
							       config.devt)),
			     -ENXIO, "open of a device that was refused");
}

static void pages_come_home_when_it_ends(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test, 0);
	unsigned long pfn;

	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_device_write(test, bench.mirror, bench.addr, NR, 2,
			     "on the device");
	bench_expect_out(test, &bench, NR, "after the device wrote");
	pfn = dmirror_first_pfn(bench.devmem);
	bench_put(test, &bench);
	dmirror_expect_pagemap_gone(test, pfn, PRIVATE_CHUNK);
	dmirror_user_check(test, bench.addr, NR, 2, "after the device's end");
}

static void mm_ends_before_the_device(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test, 0);
	unsigned long pfn;

	bench_to_device(test, &bench, bench.addr, NR);
	pfn = dmirror_first_pfn(bench.devmem);
	dmirror_user_exit(test);
	bench_put(test, &bench);
	dmirror_expect_pagemap_gone(test, pfn, PRIVATE_CHUNK);
}

/* Its name and its number are free again, each time. */
static void device_comes_and_goes(struct kunit *test)
{
	struct dmirror_device_config config = config_of(0);
	unsigned int round;

	config.devt = dmirror_devt_get(test);
	config.fops = &dmirror_fops;
	for (round = 0; round < 3; round++) {
		struct dmirror_device *device =
			dmirror_device_get(test, &config);
		struct file *file = dmirror_file_open(test, config.devt);

		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(file), 0,
				    "open in round %u", round);
		if (!IS_ERR(file))
			dmirror_file_close(test, file);
		dmirror_device_put(test, device);
		file = dmirror_file_open(test, config.devt);
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(file), -ENXIO,
				    "open after the end in round %u", round);
	}
}

/**
 * struct watch - lets go of a page when the device has tried in vain
 * @notifier: on the page: an eviction takes it from the CPU each time
 * @tries: how often that was
 * @holder: the thread that holds the page
 */
struct watch {
	struct mmu_interval_notifier notifier;
	unsigned int tries;
	struct dmirror_holder holder;
};

/*
 * Of several pages the others move in the first pass, so that there is a
 * second one. A third means that the device did not give up.
 */
#define TRIES 3

static bool watch_invalidate(struct mmu_interval_notifier *notifier,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	struct watch *watch = container_of(notifier, struct watch, notifier);

	mmu_interval_set_seq(notifier, cur_seq);
	if (++watch->tries == TRIES)
		complete(&watch->holder.release);

	return true;
}

static const struct mmu_interval_notifier_ops watch_ops = {
	.invalidate = watch_invalidate,
};

static void page_lock(void *data)
{
	get_page(data);
}

static void page_unlock(void *data)
{
	put_page(data);
}

static void end_waits_for_a_held_page(struct kunit *test)
{
	struct dmirror_bench bench = bench_get(test, 0);
	struct watch *watch = kunit_kzalloc(test, sizeof(*watch), GFP_KERNEL);
	unsigned long pfn;
	struct page *page;

	KUNIT_ASSERT_NOT_NULL(test, watch);
	bench_to_device(test, &bench, bench.addr, 4);
	pfn = dmirror_first_pfn(bench.devmem);
	dmirror_cpu_pages(test, bench.mirror, bench.addr + PAGE_SIZE, &page, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	DMIRROR_ASSERT_OK(test,
			  mmu_interval_notifier_insert(&watch->notifier,
						       current->mm,
						       bench.addr + PAGE_SIZE,
						       PAGE_SIZE, &watch_ops),
			  "interval notifier");
	watch->holder.lock = page_lock;
	watch->holder.unlock = page_unlock;
	watch->holder.arg = page;
	dmirror_hold(test, &watch->holder);
	bench_put(test, &bench);
	dmirror_unhold(&watch->holder);
	mmu_interval_notifier_remove(&watch->notifier);

	KUNIT_EXPECT_GE_MSG(test, watch->tries, TRIES,
			    "tries to bring the held page home");
	dmirror_expect_pagemap_gone(test, pfn, PRIVATE_CHUNK);
	dmirror_user_check(test, bench.addr, 4, 1, "after the device's end");
}

static void devices_do_not_share_memory(struct kunit *test)
{
	struct dmirror_bench one = bench_get(test, 0);
	struct dmirror_bench two = bench_get(test, 1);

	bench_to_device(test, &one, one.addr, NR);
	bench_to_device(test, &two, two.addr, NR);
	dmirror_device_write(test, one.mirror, one.addr, NR, 2,
			     "on the first device");
	dmirror_device_write(test, two.mirror, two.addr, NR, 3,
			     "on the second device");
	KUNIT_EXPECT_NE(test, dmirror_first_pfn(one.devmem), dmirror_first_pfn(two.devmem));
	bench_put(test, &one);
	bench_expect_out(test, &two, NR,
			 "of the second device after the first's end");
	dmirror_device_read(test, two.mirror, two.addr, NR, 3,
			    "after the first device's end");
	dmirror_user_check(test, one.addr, NR, 2,
			   "after the first device's end");
	bench_put(test, &two);
	dmirror_user_check(test, two.addr, NR, 3,
			   "after the second device's end");
}

static void memory_grows_up_to_its_limit(struct kunit *test)
{
	struct dmirror_device_config config = config_of(0);
	const unsigned long room = 2 * PRIVATE_CHUNK;
	struct dmirror_device *device;
	struct dmirror_mirror *mirror;
	unsigned long moved = 9, addr;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	config.max_chunks = 2;
	device = dmirror_device_get(test, &config);
	mirror = dmirror_mirror_get(test, &device->devmem);
	addr = dmirror_user_map(test, room + 10, RW);
	dmirror_user_fill(test, addr, room + 10, 1);
	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_devmem(mirror, addr,
							     room + 10, &moved),
			     -ENOSPC, "migration of more than it has room for");
	KUNIT_EXPECT_EQ_MSG(test, moved, room, "pages that moved");
	KUNIT_EXPECT_EQ_MSG(test, device->devmem.stats.chunks, 2UL, "chunks");
	dmirror_device_read(test, mirror, addr, room + 10, 1,
			    "from the full device and beside it");
	dmirror_mirror_put(test, mirror);
	dmirror_device_put(test, device);
	dmirror_user_check(test, addr, room + 10, 1, "after the device's end");
}

static void file_of_the_device_by_number(struct kunit *test)
{
	struct dmirror_device_config config = config_of(5);
	struct dmirror_device *device;
	struct dmirror_mirror *mirror;
	struct file *file;

	config.devt = dmirror_devt_get(test);
	DMIRROR_EXPECT_ERRNO(test,
			     PTR_ERR_OR_ZERO(dmirror_file_open(test,
							       config.devt)),
			     -ENXIO, "open before there is a device");
	config.fops = &dmirror_fops;
	device = dmirror_device_get(test, &config);
	KUNIT_EXPECT_TRUE(test, device_is_registered(&device->dev));
	KUNIT_EXPECT_EQ(test, device->dev.devt, config.devt);

	file = dmirror_file_open(test, config.devt);
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(file), "open");
	KUNIT_EXPECT_PTR_EQ(test, file->f_op, &dmirror_fops);
	mirror = file->private_data;
	KUNIT_ASSERT_NOT_NULL(test, mirror);
	KUNIT_EXPECT_PTR_EQ_MSG(test, mirror->devmem, &device->devmem,
				"the file's mirror is on other memory");
	dmirror_file_close(test, file);

	dmirror_device_put(test, device);
	DMIRROR_EXPECT_ERRNO(test,
			     PTR_ERR_OR_ZERO(dmirror_file_open(test,
							       config.devt)),
			     -ENXIO, "open after the device's end");
}

static void open_that_fails_leaves_nothing(struct kunit *test)
{
	static const enum dmirror_inject_point points[] = {
		DMIRROR_INJECT_MIRROR_ALLOC, DMIRROR_INJECT_NOTIFIER,
	};
	struct dmirror_device_config config = config_of(0);
	struct file *file;
	unsigned int i;

	config.devt = dmirror_devt_get(test);
	config.fops = &dmirror_fops;
	dmirror_device_get(test, &config);
	for (i = 0; i < ARRAY_SIZE(points); i++) {
		const char *name = dmirror_inject_name(points[i]);

		dmirror_inject_arm(points[i], 1);
		file = dmirror_file_open(test, config.devt);
		DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(file), -ENOMEM,
				     name);
		KUNIT_EXPECT_FALSE_MSG(test, dmirror_inject_disarm(points[i]),
				       "%s was never reached", name);
		file = dmirror_file_open(test, config.devt);
		DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(file), 0,
				     "open with memory again");
	}
}

/* The end of a file moves no page: the device's does. */
static void pages_stay_when_a_file_is_closed(struct kunit *test)
{
	struct dmirror_device_config config = config_of(0);
	struct dmirror_device *device;
	struct dmirror_bench bench;
	struct file *file;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	config.devt = dmirror_devt_get(test);
	config.fops = &dmirror_fops;
	device = dmirror_device_get(test, &config);
	file = dmirror_file_open(test, config.devt);
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(file), "open");
	bench.devmem = &device->devmem;
	bench.mirror = file->private_data;
	bench.addr = dmirror_user_map(test, NR, RW);
	dmirror_user_fill(test, bench.addr, NR, 1);
	bench_to_device(test, &bench, bench.addr, NR);
	dmirror_file_close(test, file);
	bench_expect_out(test, &bench, NR, "after the file was closed");
	dmirror_user_check(test, bench.addr, 1, 1, "with no file open");
	dmirror_device_put(test, device);
	dmirror_user_check(test, bench.addr, NR, 1, "after the device's end");
}

static struct kunit_case device_cases[] = {
	KUNIT_CASE(device_is_what_was_asked_for),
	KUNIT_CASE(bad_chunk_size_is_refused),
	KUNIT_CASE(pages_come_home_when_it_ends),
	KUNIT_CASE(mm_ends_before_the_device),
	KUNIT_CASE(device_comes_and_goes),
	KUNIT_CASE(end_waits_for_a_held_page),
	KUNIT_CASE(devices_do_not_share_memory),
	KUNIT_CASE(memory_grows_up_to_its_limit),
	KUNIT_CASE(file_of_the_device_by_number),
	KUNIT_CASE(open_that_fails_leaves_nothing),
	KUNIT_CASE(pages_stay_when_a_file_is_closed),
	{}
};

DMIRROR_SUITE(device, dmirror_fixture_init_mm, device_cases);
