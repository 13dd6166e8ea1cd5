// SPDX-License-Identifier: GPL-2.0
#include "access.h"

#include <kunit/visibility.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/sched/signal.h>

#include "mirror.h"

/**
 * struct access - one access under way
 * @mirror: through which mirror
 * @addr: first address
 * @npages: length in pages
 * @load_to: buffer of a load, NULL for a store
 * @store_from: buffer of a store, NULL for a load
 */
struct access {
	struct dmirror_mirror *mirror;
	unsigned long addr;
	unsigned long npages;
	void *load_to;
	const void *store_from;
};

static enum dmirror_perm perm_of(const struct access *access)
{
	return access->store_from ? DMIRROR_PERM_WRITE : DMIRROR_PERM_READ;
}

/* Copy from page @done on for as long as there are entries. */
static unsigned long copy_run(const struct access *access, unsigned long done)
{
	struct dmirror_pt *pt = &access->mirror->pt;
	unsigned long vpn = access->addr >> PAGE_SHIFT;

	mutex_lock(&pt->lock);
	for (; done < access->npages; done++) {
		size_t offset = done << PAGE_SHIFT;
		struct page *page;

		page = dmirror_pt_lookup(pt, vpn + done, perm_of(access));
		if (!page)
			break;
		if (access->store_from)
			memcpy_to_page(page, 0, access->store_from + offset,
				       PAGE_SIZE);
		else
			memcpy_from_page(access->load_to + offset, page, 0,
					 PAGE_SIZE);
	}
	mutex_unlock(&pt->lock);

	return done;
}

static int access_run(const struct access *access,
		      struct dmirror_access_result *result)
{
	unsigned long limit = msecs_to_jiffies(DMIRROR_FAULT_TIMEOUT_MS);
	unsigned long deadline = jiffies + limit;
	unsigned long end, done;
	int ret;

	*result = (struct dmirror_access_result){ };
	ret = dmirror_range_check(access->addr, access->npages, &end);
	if (ret)
		return ret;

	for (;;) {
		done = copy_run(access, result->cpages);
		if (done > result->cpages)
			deadline = jiffies + limit;
		result->cpages = done;
		if (done == access->npages)
			return 0;
		/* The last fault failed, and what it did map is copied now. */
		if (ret)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		/* Each fault succeeds and is undone before it is used. */
		if (time_after(jiffies, deadline))
			return -EBUSY;

		result->faults++;
		ret = dmirror_mirror_fault(access->mirror,
					   access->addr + (done << PAGE_SHIFT),
					   end, perm_of(access),
					   DMIRROR_FAULT_TIMEOUT_MS);
	}
}

int dmirror_access_read(struct dmirror_mirror *mirror, unsigned long addr,
			unsigned long npages, void *buf,
			struct dmirror_access_result *result)
{
	const struct access access = {
		.mirror = mirror,
		.addr = addr,
		.npages = npages,
		.load_to = buf,
	};

	return access_run(&access, result);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_access_read);

int dmirror_access_write(struct dmirror_mirror *mirror, unsigned long addr,
			 unsigned long npages, const void *buf,
			 struct dmirror_access_result *result)
{
	const struct access access = {
		.mirror = mirror,
		.addr = addr,
		.npages = npages,
		.store_from = buf,
	};

	return access_run(&access, result);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_access_write);
