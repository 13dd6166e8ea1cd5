// SPDX-License-Identifier: GPL-2.0
#include "swapdev.h"

#include <kunit/resource.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/kdev_t.h>
#include <linux/kthread.h>
#include <linux/major.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/swap.h>

/* Before 7.3 it does not bring what it needs. */
#include <linux/leafops.h>

#include "../fixture.h"
#include "../user.h"
#include "core_mm.h"
#include "hmm_probe.h"

/* Pages of it, the header included; a RAM disk has at least so many. */
#define SWAPDEV_PAGES (SZ_4M >> PAGE_SHIFT)

#define NAME "/dmirror_swap"

/* Up to 7.2 the files of init are those of the kernel's threads. */
#ifndef scoped_with_init_fs
#define scoped_with_init_fs()
#endif

/**
 * struct swapdev - swap space
 * @test: the case
 * @mm: of the case
 * @path: where it has the name
 * @before: pages of all swap space that were free without it
 */
struct swapdev {
	struct kunit *test;
	struct mm_struct *mm;
	unsigned long path;
	long before;
};

bool swapdev_is_out(unsigned long addr)
{
	pte_t pte = __pte(hmm_probe_raw(addr));

	return !pte_none(pte) && !pte_present(pte) &&
	       softleaf_is_swap(softleaf_from_pte(pte));
}

void swapdev_out(struct kunit *test, unsigned long addr, unsigned long npages)
{
	unsigned long i;

	user_lru_drain();
	DMIRROR_ASSERT_OK(test, user_madvise(addr, npages << PAGE_SHIFT,
					     MADV_PAGEOUT),
			  "madvise(MADV_PAGEOUT)");
	for (i = 0; i < npages; i++)
		KUNIT_ASSERT_TRUE_MSG(test,
				      swapdev_is_out(addr + (i << PAGE_SHIFT)),
				      "page %lu of [0x%lx,0x%lx) is not swapped out",
				      i, addr, addr + (npages << PAGE_SHIFT));
}

#if defined(CONFIG_SWAP) && !defined(MODULE)

long swapdev_used(const struct swapdev *dev)
{
	return dev->before + SWAPDEV_PAGES - 1 - get_nr_swap_pages();
}

static int write_header(void)
{
	union swap_header *header = kzalloc(PAGE_SIZE, GFP_KERNEL);
	struct file *file;
	loff_t pos = 0;
	ssize_t ret;

	if (!header)
		return -ENOMEM;
	header->info.version = 1;
	header->info.last_page = SWAPDEV_PAGES - 1;
	memcpy(header->magic.magic, "SWAPSPACE2", 10);
	file = filp_open(NAME, O_RDWR, 0);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto out_free;
	}
	ret = kernel_write(file, header, PAGE_SIZE, &pos);
	/* A thread of the kernel closes files later, and swapon() wants it. */
	__fput_sync(file);
out_free:
	kfree(header);
	return ret < 0 ? ret : 0;
}

/**
 * struct opening - swapon(), again and again
 * @path: of the disk
 * @ret: what it said last
 */
struct opening {
	unsigned long path;
	long ret;
};

static bool is_open(void *data)
{
	struct opening *opening = data;

	flush_delayed_fput();
	opening->ret = core_swapon(opening->path);

	return opening->ret != -EBUSY;
}

/*
 * A thread of the kernel closes files later: the disk has no other user once
 * swapoff() of the case before has been seen through.
 */
static long swap_on_when_closed(unsigned long path)
{
	struct opening opening = { .path = path };

	dmirror_wait_for(is_open, &opening);

	return opening.ret;
}

static long swap_on(struct swapdev *dev)
{
	long ret;

	ret = core_mknod(dev->path, S_IFBLK | 0600,
			 new_encode_dev(MKDEV(RAMDISK_MAJOR, 0)));
	if (ret)
		return ret;
	ret = write_header();
	if (!ret)
		ret = swap_on_when_closed(dev->path);
	if (ret)
		core_unlink(dev->path);

	return ret;
}

/* KUnit calls it from another thread than the case's. */
static void swapdev_end(void *data)
{
	struct swapdev *dev = data;
	bool other = !current->mm;
	long off, gone;

	if (other)
		kthread_use_mm(dev->mm);
	scoped_with_init_fs() {
		off = core_swapoff(dev->path);
		gone = core_unlink(dev->path);
	}
	flush_delayed_fput();
	if (other)
		kthread_unuse_mm(dev->mm);
	DMIRROR_EXPECT_ERRNO(dev->test, off, 0, "swapoff()");
	DMIRROR_EXPECT_ERRNO(dev->test, gone, 0, "unlink()");
	KUNIT_EXPECT_EQ_MSG(dev->test, get_nr_swap_pages(), dev->before,
			    "free swap space after swapoff()");
}

struct swapdev *swapdev_get(struct kunit *test)
{
	struct swapdev *dev;
	long ret;

	DMIRROR_REQUIRES_CONFIG(test, BLK_DEV_RAM);
	dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dev);
	dev->test = test;
	dev->mm = current->mm;
	dev->before = get_nr_swap_pages();
	dev->path = dmirror_user_map(test, 1, PROT_READ | PROT_WRITE);
	KUNIT_ASSERT_EQ(test, copy_to_user((void __user *)dev->path, NAME,
					   sizeof(NAME)), 0UL);

	scoped_with_init_fs()
		ret = swap_on(dev);
	DMIRROR_ASSERT_OK(test, ret, "mknod() or swapon()");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, swapdev_end, dev),
			0);

	return dev;
}

void swapdev_put(struct kunit *test, struct swapdev *dev)
{
	kunit_release_action(test, swapdev_end, dev);
}

#else /* !CONFIG_SWAP || MODULE */

long swapdev_used(const struct swapdev *dev)
{
	return 0;
}

struct swapdev *swapdev_get(struct kunit *test)
{
	DMIRROR_REQUIRES_CONFIG(test, SWAP);
	DMIRROR_REQUIRES_BUILTIN(test);

	return NULL;
}

void swapdev_put(struct kunit *test, struct swapdev *dev)
{
}

#endif /* CONFIG_SWAP */
