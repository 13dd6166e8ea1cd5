// SPDX-License-Identifier: GPL-2.0
/*
 * The devices that the module's parameters ask for: what is made, where, and
 * that nothing stays behind when one of them cannot be.
 */
#include "mirror_fixture.h"

#include <linux/err.h>
#include <linux/mman.h>
#include <linux/sizes.h>

#include "../drivers/dmirror/device.h"
#include "../drivers/dmirror/devices.h"
#include "../drivers/dmirror/fops.h"
#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/pagemap.h"
#include "bench.h"
#include "device_file.h"
#include "private_devmem.h"

static struct dmirror_devices_config config_of(void)
{
	return (struct dmirror_devices_config){
		.spm_size = SZ_64M,
		.first_id = DMIRROR_TEST_ID,
		.fops = &dmirror_fops,
	};
}

/* Coherent devices as well, each in a half of what was left to the suites. */
static struct dmirror_devices_config config_coherent(struct kunit *test)
{
	struct dmirror_devices_config config = config_of();
	unsigned int part;

	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
	for (part = 0; part < DMIRROR_NR_COHERENT; part++) {
		struct range region = dmirror_coherent_region(test, part);

		config.spm_addr[part] = region.start;
		config.spm_size = range_len(&region);
	}

	return config;
}

static void devices_put(void *data)
{
	struct dmirror_devices *all = data;

	if (all->devices[0])
		dmirror_devices_destroy(all);
	kfree(all);
}

/* Not made yet. */
static struct dmirror_devices *devices_get(struct kunit *test)
{
	struct dmirror_devices *all = kzalloc_obj(*all);

	KUNIT_ASSERT_NOT_NULL(test, all);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, devices_put, all), 0);

	return all;
}

static void expect_open(struct kunit *test, dev_t first, unsigned int nr,
			int want, const char *step)
{
	struct file *file = dmirror_file_open(test, first + nr);

	KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(file), want,
			    "open of device %u %s: got %s wanted %s", nr, step,
			    dmirror_errno(PTR_ERR_OR_ZERO(file)),
			    dmirror_errno(want));
	if (!IS_ERR(file))
		dmirror_file_close(test, file);
}

/* The first @want devices can be opened, the others are not there. */
static void expect_devices(struct kunit *test,
			   const struct dmirror_devices *all,
			   unsigned int want)
{
	unsigned int nr;

	for (nr = 0; nr < DMIRROR_NR_DEVICES; nr++) {
		KUNIT_EXPECT_EQ_MSG(test, !!all->devices[nr], nr < want,
				    "device %u is there", nr);
		expect_open(test, all->first_devt, nr, nr < want ? 0 : -ENXIO,
			    "when all are made");
	}
}

/* As it was before, and everything can be had again. */
static void expect_nothing(struct kunit *test,
			   const struct dmirror_devices *all,
			   const struct dmirror_devices_config *config)
{
	unsigned int nr, part;

	for (nr = 0; nr < DMIRROR_NR_DEVICES; nr++) {
		KUNIT_EXPECT_NULL_MSG(test, all->devices[nr], "device %u", nr);
		KUNIT_EXPECT_NULL_MSG(test, all->claims[nr], "claim %u", nr);
	}
	for (part = 0; part < DMIRROR_NR_COHERENT; part++) {
		unsigned long start = config->spm_addr[part];
		struct range region = { start, start + config->spm_size - 1 };
		struct resource *claim;

		if (!start)
			continue;
		claim = dmirror_pagemap_claim(&region);
		DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(claim), 0,
				     "claim of what was let go");
		if (!IS_ERR(claim))
			dmirror_mm_region_release(claim);
	}
}

/* How much memory a device grows by, and how much it may have. */
static void expect_size(struct kunit *test, const struct dmirror_devices *all,
			unsigned int nr, u64 chunk, u64 limit)
{
	const struct dmirror_devmem *devmem = &all->devices[nr]->devmem;
	u64 grows = (u64)devmem->chunk_pages << PAGE_SHIFT;

	KUNIT_EXPECT_EQ_MSG(test, grows, chunk, "step of device %u in bytes",
			    nr);
	KUNIT_EXPECT_EQ_MSG(test, grows * devmem->max_chunks, limit,
			    "limit of device %u in bytes", nr);
}

static void private_devices_need_no_parameter(struct kunit *test)
{
	unsigned int order = dmirror_mm_large_order(MEMORY_DEVICE_PRIVATE);
	const u64 step = max_t(u64, SZ_64M, (u64)PAGE_SIZE << order);
	const struct dmirror_devices_config config = config_of();
	struct dmirror_devices *all = devices_get(test);
	unsigned int round;
	dev_t first;

	for (round = 1; round <= 3; round++) {
		DMIRROR_ASSERT_OK(test, dmirror_devices_create(all, &config),
				  "devices");
		expect_devices(test, all, DMIRROR_NR_PRIVATE);
		expect_size(test, all, round % DMIRROR_NR_PRIVATE, step,
			    64 * step);
		first = all->first_devt;
		dmirror_devices_destroy(all);
		expect_open(test, first, 0, -ENXIO, "after the end");
		expect_nothing(test, all, &config);
	}
}

static const struct lone {
	const char *name;
	unsigned int part;
} lones[] = {
	{ "first", 0 },
	{ "second", 1 },
};

KUNIT_ARRAY_PARAM_DESC(lone, lones, name);

static void one_address_makes_no_coherent_device(struct kunit *test)
{
	const struct lone *lone = test->param_value;
	struct dmirror_devices_config config = config_of();
	struct dmirror_devices *all = devices_get(test);

	config.spm_addr[lone->part] = SZ_1G;
	DMIRROR_ASSERT_OK(test, dmirror_devices_create(all, &config),
			  "devices");
	expect_devices(test, all, DMIRROR_NR_PRIVATE);
}

/* Row 17 of differences.rst: none has the other's address. */
static void coherent_devices_are_where_they_were_told(struct kunit *test)
{
	const struct dmirror_devices_config config = config_coherent(test);
	struct dmirror_devices *all = devices_get(test);
	unsigned int part;

	DMIRROR_ASSERT_OK(test, dmirror_devices_create(all, &config),
			  "devices");
	expect_devices(test, all, DMIRROR_NR_DEVICES);
	for (part = 0; part < DMIRROR_NR_COHERENT; part++) {
		unsigned int nr = DMIRROR_NR_PRIVATE + part;
		unsigned long addr = dmirror_user_map(test, 1, PROT_READ |
						      PROT_WRITE);
		struct dmirror_bench bench;

		expect_size(test, all, nr, min(SZ_64M, config.spm_size),
			    config.spm_size);
		dmirror_user_fill(test, addr, 1, 1);
		bench = bench_on(test, &all->devices[nr]->devmem, addr);
		bench_to_device(test, &bench, addr, 1);
		KUNIT_EXPECT_EQ_MSG(test,
				    (u64)PFN_PHYS(dmirror_first_pfn(bench.devmem)),
				    (u64)config.spm_addr[part],
				    "where device %u has its memory", nr);
		bench_expect_out(test, &bench, 1, "on this device");
		dmirror_user_check(test, addr, 1, 1, "on the device");
		dmirror_mirror_put(test, bench.mirror);
	}
	dmirror_devices_destroy(all);
	expect_nothing(test, all, &config);
}

/**
 * struct refusal - parameters with which no device is made
 * @name: as in the results
 * @shift: bytes by which each address differs from a good one
 * @size: bytes, 0 for those of a good one
 * @empty: the size is 0
 * @want: the error
 */
struct refusal {
	const char *name;
	long shift[DMIRROR_NR_COHERENT];
	unsigned long size;
	bool empty;
	int want;
};

static const struct refusal refusals[] = {
	{ "no_memory", .empty = true, .want = -EINVAL },
	{ "odd_size", .size = SZ_2M + SZ_4K, .want = -EINVAL },
	{ "first_is_odd", .shift = { SZ_4K, 0 }, .want = -EINVAL },
	{ "second_is_odd", .shift = { 0, SZ_4K }, .want = -EINVAL },
	{ "one_reaches_into_the_other", .shift = { SZ_2M, 0 },
	  .want = -EBUSY },
};

KUNIT_ARRAY_PARAM_DESC(refusal, refusals, name);

static void refused_parameters_leave_nothing(struct kunit *test)
{
	const struct refusal *refusal = test->param_value;
	const struct dmirror_devices_config good = config_coherent(test);
	struct dmirror_devices_config bad = good;
	struct dmirror_devices *all = devices_get(test);
	unsigned int part;

	for (part = 0; part < DMIRROR_NR_COHERENT; part++)
		bad.spm_addr[part] += refusal->shift[part];
	if (refusal->size || refusal->empty)
		bad.spm_size = refusal->size;
	DMIRROR_EXPECT_ERRNO(test, dmirror_devices_create(all, &bad),
			     refusal->want, refusal->name);
	expect_nothing(test, all, &good);
	DMIRROR_ASSERT_OK(test, dmirror_devices_create(all, &good),
			  "devices after the refusal");
	expect_devices(test, all, DMIRROR_NR_DEVICES);
}

static void first_that_cannot_be_opened_ends_all(struct kunit *test)
{
	const struct dmirror_devices_config config = config_of();
	struct dmirror_devices *all = devices_get(test);

	dmirror_inject_arm(DMIRROR_INJECT_PUBLISH, 1);
	DMIRROR_EXPECT_ERRNO(test, dmirror_devices_create(all, &config),
			     -ENOMEM, "devices of which none can be opened");
	expect_nothing(test, all, &config);
}

static void later_one_that_cannot_be_opened_is_left_out(struct kunit *test)
{
	const struct dmirror_devices_config config = config_of();
	struct dmirror_devices *all = devices_get(test);
	dev_t first;

	dmirror_inject_arm(DMIRROR_INJECT_PUBLISH, 2);
	DMIRROR_ASSERT_OK(test, dmirror_devices_create(all, &config),
			  "devices of which one cannot be opened");
	first = all->first_devt;
	expect_open(test, first, 0, 0, "beside one that cannot be");
	expect_open(test, first, 1, -ENXIO, "that cannot be");
	dmirror_devices_destroy(all);
	expect_open(test, first, 0, -ENXIO, "after the end");
	expect_nothing(test, all, &config);
}

static struct kunit_case devices_cases[] = {
	KUNIT_CASE(private_devices_need_no_parameter),
	KUNIT_CASE_PARAM(one_address_makes_no_coherent_device,
			 lone_gen_params),
	KUNIT_CASE(coherent_devices_are_where_they_were_told),
	KUNIT_CASE_PARAM(refused_parameters_leave_nothing, refusal_gen_params),
	KUNIT_CASE(first_that_cannot_be_opened_ends_all),
	KUNIT_CASE(later_one_that_cannot_be_opened_is_left_out),
	{}
};

DMIRROR_SUITE(devices, dmirror_fixture_init_mm, devices_cases);
