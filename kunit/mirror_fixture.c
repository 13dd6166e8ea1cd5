// SPDX-License-Identifier: GPL-2.0
#include "mirror_fixture.h"

#include <kunit/resource.h>
#include <linux/module.h>

#include "../drivers/dmirror/inject.h"
#include "../drivers/dmirror/snapshot.h"

static bool two_pass;
module_param(two_pass, bool, 0444);
MODULE_PARM_DESC(two_pass, "have all suites' mirrors take invalidations in two passes");

static void expect_no_armed_failure(void *data)
{
	struct kunit *test = data;
	unsigned int point;

	for (point = 0; point < DMIRROR_INJECT_NR; point++)
		if (dmirror_inject_disarm(point))
			KUNIT_FAIL(test,
				   "the case armed %s, which was never reached",
				   dmirror_inject_name(point));
}

static int book_armed_failures(struct kunit *test, int ret)
{
	if (ret)
		return ret;

	return kunit_add_action_or_reset(test, expect_no_armed_failure, test);
}

int dmirror_fixture_init(struct kunit *test)
{
	return book_armed_failures(test, dmirror_case_init(test));
}

int dmirror_fixture_init_mm(struct kunit *test)
{
	return book_armed_failures(test, dmirror_case_init_mm(test));
}

bool dmirror_two_pass(struct kunit *test)
{
	return two_pass || dmirror_fixture(test)->two_pass;
}

static void mirror_destroy_action(void *data)
{
	dmirror_mirror_destroy(data);
}

struct dmirror_mirror *dmirror_mirror_of(struct kunit *test,
					 struct mm_struct *mm,
					 struct dmirror_devmem *devmem)
{
	struct dmirror_mirror *mirror =
		dmirror_mirror_create(mm, devmem, dmirror_two_pass(test));

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mirror);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, mirror_destroy_action,
						  mirror), 0);

	return mirror;
}

struct dmirror_mirror *dmirror_mirror_get(struct kunit *test,
					  struct dmirror_devmem *devmem)
{
	return dmirror_mirror_of(test, dmirror_fixture(test)->mm, devmem);
}

void dmirror_mirror_put(struct kunit *test, struct dmirror_mirror *mirror)
{
	kunit_release_action(test, mirror_destroy_action, mirror);
}

static char pt_letter(struct dmirror_mirror *mirror, unsigned long vpn)
{
	if (dmirror_pt_lookup(&mirror->pt, vpn, DMIRROR_PERM_EXCLUSIVE))
		return 'x';
	if (dmirror_pt_lookup(&mirror->pt, vpn, DMIRROR_PERM_WRITE))
		return 'w';
	if (dmirror_pt_lookup(&mirror->pt, vpn, DMIRROR_PERM_READ))
		return 'r';
	return '-';
}

void dmirror_expect_pt(struct kunit *test, struct dmirror_mirror *mirror,
		       unsigned long addr, const char *want, const char *step)
{
	unsigned long i, npages = strlen(want);
	char *got = kunit_kzalloc(test, npages + 1, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, got);

	/* A check must not run under the lock: copy the facts out first. */
	mutex_lock(&mirror->pt.lock);
	for (i = 0; i < npages; i++)
		got[i] = pt_letter(mirror, (addr >> PAGE_SHIFT) + i);
	mutex_unlock(&mirror->pt.lock);

	for (i = 0; i < npages; i++) {
		if (got[i] == want[i])
			continue;
		KUNIT_FAIL(test,
			   "page %lu of [0x%lx,0x%lx) at 0x%lx %s: mirror has '%c' wanted '%c' | got %s | wanted %s",
			   i, addr, addr + (npages << PAGE_SHIFT),
			   addr + (i << PAGE_SHIFT), step, got[i], want[i],
			   got, want);
		break;
	}
	kunit_kfree(test, got);
}

void dmirror_expect_snapshot(struct kunit *test, struct dmirror_mirror *mirror,
			     unsigned long addr, const u8 *want,
			     unsigned long npages, const char *step)
{
	u8 *got = kunit_kzalloc(test, npages, GFP_KERNEL);
	unsigned long i, done;

	KUNIT_ASSERT_NOT_NULL(test, got);
	DMIRROR_ASSERT_OK(test,
			  dmirror_snapshot(mirror, addr, npages, got, &done,
					   DMIRROR_FAULT_TIMEOUT_MS),
			  "snapshot");
	KUNIT_EXPECT_EQ_MSG(test, done, npages, "snapshot of [0x%lx,0x%lx) %s",
			    addr, addr + (npages << PAGE_SHIFT), step);
	for (i = 0; i < npages; i++) {
		if (got[i] == want[i])
			continue;
		KUNIT_FAIL(test,
			   "page %lu of [0x%lx,0x%lx) at 0x%lx %s: snapshot got 0x%02x wanted 0x%02x",
			   i, addr, addr + (npages << PAGE_SHIFT),
			   addr + (i << PAGE_SHIFT), step, got[i], want[i]);
		break;
	}
	kunit_kfree(test, got);
}

void dmirror_device_read(struct kunit *test, struct dmirror_mirror *mirror,
			 unsigned long addr, unsigned long npages, u64 salt,
			 const char *step)
{
	struct dmirror_access_result result;
	void *buf = dmirror_buf(test, npages);

	DMIRROR_ASSERT_OK(test, dmirror_access_read(mirror, addr, npages, buf,
						    NULL, &result), step);
	KUNIT_EXPECT_EQ_MSG(test, result.cpages, npages,
			    "device read of [0x%lx,0x%lx) %s", addr,
			    addr + (npages << PAGE_SHIFT), step);
	dmirror_buf_check(test, buf, addr, npages, salt, step);
}

void dmirror_device_write(struct kunit *test, struct dmirror_mirror *mirror,
			  unsigned long addr, unsigned long npages, u64 salt,
			  const char *step)
{
	struct dmirror_access_result result;
	void *buf = dmirror_buf(test, npages);

	dmirror_buf_fill(buf, npages, salt);
	DMIRROR_ASSERT_OK(test, dmirror_access_write(mirror, addr, npages, buf,
						     NULL, &result), step);
	KUNIT_EXPECT_EQ_MSG(test, result.cpages, npages,
			    "device write of [0x%lx,0x%lx) %s", addr,
			    addr + (npages << PAGE_SHIFT), step);
}

MODULE_DESCRIPTION("KUnit suites for dmirror");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
