// SPDX-License-Identifier: GPL-2.0
/*
 * There and back, as a driver does it: mm/migrate_device.c,
 * include/linux/migrate.h and Documentation/mm/hmm.rst. What each step
 * promises is in the suites migrate_args, migrate_collect, migrate_unmap,
 * migrate_insert, migrate_large, migrate_large_hole and migrate_device_range.
 */
#include <linux/mman.h>
#include <linux/module.h>

#include "toy.h"

/* There and back again, with what was written. */
static void private_pages_go_and_come_back(struct kunit *test)
{
	struct toy *toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	unsigned long addr = dmirror_user_map(test, 4, PROT_READ | PROT_WRITE);

	dmirror_user_fill(test, addr, 4, 1);
	toy_to_device(test, toy, addr, 4);
	KUNIT_EXPECT_EQ(test, toy->out, 4UL);
	dmirror_user_check(test, addr, 2, 1, "after the CPU faulted");
	KUNIT_EXPECT_EQ(test, toy->faults, 2U);
	KUNIT_EXPECT_EQ(test, toy->out, 2UL);
	toy_to_ram(test, toy, addr + 2 * PAGE_SIZE, 2);
	dmirror_user_check(test, addr, 4, 1, "after the way back");
	KUNIT_EXPECT_EQ(test, toy->out, 0UL);
	KUNIT_EXPECT_EQ(test, toy->frees, 4U);
}

static void coherent_pages_go_and_come_back(struct kunit *test)
{
	struct toy *toy = toy_get(test, MEMORY_DEVICE_COHERENT, TOY_PAGES);
	unsigned long addr = dmirror_user_map(test, 4, PROT_READ | PROT_WRITE);

	dmirror_user_fill(test, addr, 4, 1);
	toy_to_device(test, toy, addr, 4);
	KUNIT_EXPECT_EQ(test, toy->out, 4UL);
	dmirror_user_check(test, addr, 4, 1, "on the device");
	dmirror_user_fill(test, addr, 4, 2);
	toy_to_ram(test, toy, addr, 4);
	dmirror_user_check(test, addr, 4, 2, "after the way back");
	KUNIT_EXPECT_EQ(test, toy->out, 0UL);
}

static struct kunit_case migrate_device_cases[] = {
	KUNIT_CASE(private_pages_go_and_come_back),
	KUNIT_CASE(coherent_pages_go_and_come_back),
	{}
};

DMIRROR_SUITE_AS(migrate_device, dmirror_case_init_mm, migrate_device_cases);

MODULE_DESCRIPTION("KUnit suites for heterogeneous memory");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
