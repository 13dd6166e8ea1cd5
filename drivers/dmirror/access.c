// SPDX-License-Identifier: GPL-2.0
#include "access.h"

#include <kunit/visibility.h>
#include <linux/highmem.h>
#include <linux/mm.h>

#include "mirror.h"

/**
 * struct access - one access under way
 * @mirror: through which mirror
 * @addr: first address
 * @npages: length in pages
 * @load_to: buffer of a load, NULL for a store
 * @store_from: buffer of a store, NULL for a load
 * @opts: options
 */
struct access {
	struct dmirror_mirror *mirror;
	unsigned long addr;
	unsigned long npages;
	void *load_to;
	const void *store_from;
	struct dmirror_access_opts opts;
};

static enum dmirror_perm perm_of(const struct access *access)
{
	return access->store_from ? DMIRROR_PERM_WRITE : DMIRROR_PERM_READ;
}

/* Faults in a row that were undone before anything could be copied. */
#define FRUITLESS_MAX 100

static void copy_page_to_or_from(const struct access *access, struct page *page,
				 unsigned long nr)
{
	size_t offset = nr << PAGE_SHIFT;

	if (!access->store_from) {
		memcpy_from_page(access->load_to + offset, page, 0, PAGE_SIZE);
		return;
	}
	memcpy_to_page(page, 0, access->store_from + offset, PAGE_SIZE);
	/*
	 * The CPU's entry may be writable and clean (after a swap-in by a
	 * read, MADV_FREE), and only the CPU would dirty it: without this,
	 * reclaim drops what the device wrote.
	 */
	set_page_dirty(page);
}

/* Copy from page @done on for as long as there are entries, one batch. */
static unsigned long copy_run(const struct access *access, unsigned long done)
{
	struct dmirror_pt *pt = &access->mirror->pt;
	unsigned long vpn = access->addr >> PAGE_SHIFT;
	unsigned long end = min(access->npages, done + DMIRROR_BATCH);

	mutex_lock(&pt->lock);
	for (; done < end; done++) {
		struct page *page;

		page = dmirror_pt_lookup(pt, vpn + done, perm_of(access));
		if (!page)
			break;
		copy_page_to_or_from(access, page, done);
	}
	mutex_unlock(&pt->lock);

	return done;
}

static int access_fault(const struct access *access, unsigned long done)
{
	unsigned long npages = max(access->npages, access->opts.ahead);
	unsigned long start = access->addr + (done << PAGE_SHIFT);
	unsigned long end = access->addr + (npages << PAGE_SHIFT);

	if (access->opts.unlocked)
		return dmirror_mirror_fault_unlocked(access->mirror, start, end,
						     perm_of(access),
						     DMIRROR_FAULT_TIMEOUT_MS);

	return dmirror_mirror_fault(access->mirror, start, end,
				    perm_of(access), DMIRROR_FAULT_TIMEOUT_MS);
}

static int access_run(const struct access *access,
		      struct dmirror_access_result *result)
{
	unsigned int fruitless = 0;
	unsigned long end, done;
	int ret, killed;

	*result = (struct dmirror_access_result){ };
	ret = dmirror_range_check(access->addr, access->npages, &end);
	if (!ret && access->opts.ahead)
		ret = dmirror_range_check(access->addr, access->opts.ahead,
					  &end);
	if (ret)
		return ret;

	for (;;) {
		done = copy_run(access, result->cpages);
		if (done == access->npages) {
			result->cpages = done;
			return 0;
		}
		killed = dmirror_killed();
		if (killed) {
			result->cpages = done;
			return killed;
		}
		if (done > result->cpages) {
			result->cpages = done;
			fruitless = 0;
			cond_resched();
			continue;
		}
		/* The last fault failed, and what it did map is copied now. */
		if (ret)
			return ret;
		if (fruitless++ == FRUITLESS_MAX)
			return -EBUSY;

		result->faults++;
		ret = access_fault(access, done);
	}
}

int dmirror_access_read(struct dmirror_mirror *mirror, unsigned long addr,
			unsigned long npages, void *buf,
			const struct dmirror_access_opts *opts,
			struct dmirror_access_result *result)
{
	const struct access access = {
		.mirror = mirror,
		.addr = addr,
		.npages = npages,
		.load_to = buf,
		.opts = opts ? *opts : (struct dmirror_access_opts){ },
	};

	return access_run(&access, result);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_access_read);

int dmirror_access_write(struct dmirror_mirror *mirror, unsigned long addr,
			 unsigned long npages, const void *buf,
			 const struct dmirror_access_opts *opts,
			 struct dmirror_access_result *result)
{
	const struct access access = {
		.mirror = mirror,
		.addr = addr,
		.npages = npages,
		.store_from = buf,
		.opts = opts ? *opts : (struct dmirror_access_opts){ },
	};

	return access_run(&access, result);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_access_write);
