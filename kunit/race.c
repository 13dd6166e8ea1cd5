// SPDX-License-Identifier: GPL-2.0
#include "race.h"

#include <kunit/static_stub.h>
#include <linux/hmm.h>
#include <linux/mman.h>
#include <linux/sched/signal.h>

#include "../drivers/dmirror/mm.h"
#include "mirror_fixture.h"
#include "user.h"

static int range_fault_then_disturb(struct hmm_range *range)
{
	struct dmirror_race *race =
		dmirror_fixture(kunit_get_current_test())->stub;
	int ret = __dmirror_mm_range_fault(range);
	unsigned int call = race->calls++;
	int error;

	race->start = range->start;
	if (!race->disturb || !race->times || call < race->from)
		return ret;
	if (race->every && (call - race->from) % race->every)
		return ret;

	race->times--;
	error = race->disturb(race->addr);
	if (!race->error)
		race->error = error;

	return ret;
}

void dmirror_race_with(struct kunit *test, struct dmirror_race *race)
{
	dmirror_fixture(test)->stub = race;
	kunit_activate_static_stub(test, dmirror_mm_range_fault,
				   range_fault_then_disturb);
}

void dmirror_race_done(struct kunit *test, const struct dmirror_race *race,
		       unsigned int calls)
{
	DMIRROR_EXPECT_ERRNO(test, race->error, 0, "the mischief itself");
	KUNIT_EXPECT_EQ_MSG(test, race->calls, calls,
			    "calls of hmm_range_fault()");
}

int dmirror_disturb_unmap(unsigned long addr)
{
	return vm_munmap(addr, PAGE_SIZE);
}

int dmirror_disturb_replace(unsigned long addr)
{
	unsigned long got = vm_mmap(NULL, addr, PAGE_SIZE,
				    PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);

	return got == addr ? 0 : -ENOMEM;
}

int dmirror_disturb_protect(unsigned long addr)
{
	return user_mprotect(addr, PAGE_SIZE, PROT_READ);
}

int dmirror_disturb_kill(unsigned long addr)
{
	send_sig(SIGKILL, current, 1);

	return 0;
}

int dmirror_disturb_replace_and_kill(unsigned long addr)
{
	dmirror_disturb_kill(addr);

	return dmirror_disturb_replace(addr);
}
