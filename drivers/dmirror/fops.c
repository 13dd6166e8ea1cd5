// SPDX-License-Identifier: GPL-2.0
#include "fops.h"

#include <kunit/visibility.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "access.h"
#include "device.h"
#include "exclusive.h"
#include "migrate.h"
#include "mirror.h"
#include "snapshot.h"

/* Pages that go through kernel memory at once, whatever a user asks for. */
#define WINDOW DMIRROR_BATCH

/*
 * Pages that one fault of the device brings in before the first of them is
 * copied: all of a range that is not longer, so that "faults" says 1.
 */
#define AHEAD_MAX 4096UL

/* Kernel pages that one mmap() may take. */
#define MMAP_MAX_PAGES 4096UL

/**
 * struct window - the part of a command that is under way
 * @mirror: the file's mirror
 * @cmd: the command, whose cpages is what was done so far
 * @buf: WINDOW pages
 */
struct window {
	struct dmirror_mirror *mirror;
	struct hmm_dmirror_cmd *cmd;
	void *buf;
};

static unsigned long window_pages(const struct hmm_dmirror_cmd *cmd)
{
	return min(cmd->npages - cmd->cpages, WINDOW);
}

static unsigned long window_ahead(const struct hmm_dmirror_cmd *cmd)
{
	return min(cmd->npages - cmd->cpages, AHEAD_MAX);
}

static unsigned long window_addr(const struct hmm_dmirror_cmd *cmd)
{
	return cmd->addr + (cmd->cpages << PAGE_SHIFT);
}

static void __user *window_ptr(const struct hmm_dmirror_cmd *cmd)
{
	return u64_to_user_ptr(cmd->ptr) + (cmd->cpages << PAGE_SHIFT);
}

static int read_part(struct window *window, unsigned long npages,
		     unsigned long ahead, bool unlocked)
{
	struct hmm_dmirror_cmd *cmd = window->cmd;
	const struct dmirror_access_opts opts = {
		.ahead = ahead,
		.unlocked = unlocked,
	};
	struct dmirror_access_result result;
	int ret;

	ret = dmirror_access_read(window->mirror, window_addr(cmd), npages,
				  window->buf, &opts, &result);
	cmd->faults += result.faults;
	if (copy_to_user(window_ptr(cmd), window->buf,
			 result.cpages << PAGE_SHIFT))
		return -EFAULT;
	cmd->cpages += result.cpages;

	return ret;
}

static int read_window_locked(struct window *window)
{
	return read_part(window, window_pages(window->cmd),
			 window_ahead(window->cmd), false);
}

static int read_window_unlocked(struct window *window)
{
	return read_part(window, window_pages(window->cmd),
			 window_ahead(window->cmd), true);
}

/*
 * A page that the CPU has taken back is faulted, and that must not end the
 * exclusivity of those behind it.
 */
static int read_one_page(struct window *window)
{
	return read_part(window, 1, 0, false);
}

static int write_window(struct window *window)
{
	struct hmm_dmirror_cmd *cmd = window->cmd;
	unsigned long npages = window_pages(cmd);
	const struct dmirror_access_opts opts = { .ahead = window_ahead(cmd) };
	struct dmirror_access_result result;
	int ret;

	if (copy_from_user(window->buf, window_ptr(cmd), npages << PAGE_SHIFT))
		return -EFAULT;
	ret = dmirror_access_write(window->mirror, window_addr(cmd), npages,
				   window->buf, &opts, &result);
	cmd->faults += result.faults;
	cmd->cpages += result.cpages;

	return ret;
}

static int snapshot_window(struct window *window)
{
	struct hmm_dmirror_cmd *cmd = window->cmd;
	unsigned long done = 0;
	int ret;

	ret = dmirror_snapshot(window->mirror, window_addr(cmd),
			       window_pages(cmd), window->buf, &done,
			       DMIRROR_FAULT_TIMEOUT_MS);
	if (copy_to_user(u64_to_user_ptr(cmd->ptr) + cmd->cpages, window->buf,
			 done))
		return -EFAULT;
	cmd->cpages += done;

	return ret;
}

static bool is_local(u8 byte)
{
	/* Both bits of the other place are in those of its remote twin. */
	switch (byte & 0xf0) {
	case HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL:
	case HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL:
		return true;
	default:
		return false;
	}
}

/* As read_window_locked(), up to what is not in the device's own memory. */
static int verify_window(struct window *window)
{
	unsigned long addr = window_addr(window->cmd);
	unsigned long i, done, npages = window_pages(window->cmd);
	u8 bytes[WINDOW];
	int ret;

	ret = dmirror_snapshot(window->mirror, addr, npages, bytes, &done,
			       DMIRROR_FAULT_TIMEOUT_MS);
	if (ret)
		return ret;
	for (i = 0; i < npages && is_local(bytes[i]); i++)
		;
	if (i == npages)
		return read_window_locked(window);

	ret = i ? read_part(window, i, 0, false) : 0;
	return ret ?: -ENOENT;
}

static int run_windows(struct dmirror_mirror *mirror,
		       struct hmm_dmirror_cmd *cmd,
		       int (*work)(struct window *window))
{
	struct window window = { .mirror = mirror, .cmd = cmd };
	unsigned long end;
	int ret;

	ret = dmirror_range_check(cmd->addr, cmd->npages, &end);
	if (ret)
		return ret;
	window.buf = kvmalloc(WINDOW << PAGE_SHIFT, GFP_KERNEL_ACCOUNT);
	if (!window.buf)
		return -ENOMEM;

	do {
		ret = work(&window);
		if (!ret && cmd->cpages < cmd->npages)
			ret = dmirror_killed();
	} while (!ret && cmd->cpages < cmd->npages);
	kvfree(window.buf);

	return ret;
}

static int to_device(struct dmirror_mirror *mirror, struct hmm_dmirror_cmd *cmd)
{
	unsigned long moved;
	int ret;

	ret = dmirror_migrate_to_devmem(mirror, cmd->addr, cmd->npages,
					&moved);
	if (ret) {
		cmd->cpages = moved;
		return ret;
	}

	/* The faults are those of the device on its own pages: not told. */
	ret = run_windows(mirror, cmd, verify_window);
	cmd->faults = 0;
	if (ret && ret != -ENOENT)
		cmd->cpages = moved;
	return ret;
}

static int to_system(struct dmirror_mirror *mirror, struct hmm_dmirror_cmd *cmd)
{
	unsigned long moved;
	int ret;

	ret = dmirror_migrate_to_ram(mirror, cmd->addr, cmd->npages, &moved);
	cmd->cpages = moved;

	return ret;
}

static int make_exclusive(struct dmirror_mirror *mirror,
			  struct hmm_dmirror_cmd *cmd)
{
	unsigned long done;
	int ret;

	ret = dmirror_exclusive_make(mirror, cmd->addr, cmd->npages, &done);
	if (ret) {
		cmd->cpages = done;
		return ret;
	}

	ret = run_windows(mirror, cmd, read_one_page);
	if (ret)
		cmd->cpages = done;
	return ret;
}

static int check_exclusive(struct dmirror_mirror *mirror,
			   const struct hmm_dmirror_cmd *cmd)
{
	int ret = dmirror_exclusive_held(mirror, cmd->addr, cmd->npages);

	return ret > 0 ? -EPERM : ret;
}

static int set_flags(struct dmirror_mirror *mirror,
		     const struct hmm_dmirror_cmd *cmd)
{
	if (cmd->npages & ~HMM_DMIRROR_FLAG_FAIL_ALLOC)
		return -EINVAL;

	assign_bit(DMIRROR_MIRROR_FAIL_LARGE, &mirror->flags,
		   cmd->npages & HMM_DMIRROR_FLAG_FAIL_ALLOC);
	return 0;
}

long dmirror_fops_command(struct dmirror_mirror *mirror, unsigned int command,
			  struct hmm_dmirror_cmd *cmd)
{
	cmd->cpages = 0;
	cmd->faults = 0;

	/* The fields have 64 bits everywhere, addresses perhaps not. */
	if (cmd->addr != (unsigned long)cmd->addr ||
	    cmd->npages != (unsigned long)cmd->npages)
		return -EINVAL;

	switch (command) {
	case HMM_DMIRROR_READ:
		return run_windows(mirror, cmd, read_window_locked);
	case HMM_DMIRROR_READ_UNLOCKED:
		return run_windows(mirror, cmd, read_window_unlocked);
	case HMM_DMIRROR_WRITE:
		return run_windows(mirror, cmd, write_window);
	case HMM_DMIRROR_SNAPSHOT:
		return run_windows(mirror, cmd, snapshot_window);
	case HMM_DMIRROR_MIGRATE_TO_DEV:
		return to_device(mirror, cmd);
	case HMM_DMIRROR_MIGRATE_TO_SYS:
		return to_system(mirror, cmd);
	case HMM_DMIRROR_EXCLUSIVE:
		return make_exclusive(mirror, cmd);
	case HMM_DMIRROR_CHECK_EXCLUSIVE:
		return check_exclusive(mirror, cmd);
	case HMM_DMIRROR_RELEASE:
		return mirror->devmem ?
			dmirror_migrate_drain(mirror->devmem, true) : -ENODEV;
	case HMM_DMIRROR_FLAGS:
		return set_flags(mirror, cmd);
	default:
		return -EINVAL;
	}
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_fops_command);

/*
 * Others come here too: what isatty() asks any file, and what the VFS hands on.
 * Their arguments are not ours to read or to write.
 */
static bool is_command(unsigned int command)
{
	return _IOC_NR(command) <= _IOC_NR(HMM_DMIRROR_READ_UNLOCKED) &&
	       command == _IOWR('H', _IOC_NR(command), struct hmm_dmirror_cmd);
}

static long fops_ioctl(struct file *file, unsigned int command,
		       unsigned long arg)
{
	void __user *uarg = (void __user *)arg;
	struct hmm_dmirror_cmd cmd;
	long ret;

	if (!is_command(command))
		return -EINVAL;
	if (copy_from_user(&cmd, uarg, sizeof(cmd)))
		return -EFAULT;
	ret = dmirror_fops_command(file->private_data, command, &cmd);
	if (copy_to_user(uarg, &cmd, sizeof(cmd)))
		return -EFAULT;

	return ret;
}

static int fops_open(struct inode *inode, struct file *file)
{
	struct dmirror_device *device =
		container_of(inode->i_cdev, struct dmirror_device, cdev);
	struct dmirror_mirror *mirror;

	mirror = dmirror_mirror_create(current->mm, &device->devmem,
				       device->two_pass);
	if (IS_ERR(mirror))
		return PTR_ERR(mirror);

	file->private_data = mirror;
	return nonseekable_open(inode, file);
}

static int fops_release(struct inode *inode, struct file *file)
{
	dmirror_mirror_destroy(file->private_data);
	return 0;
}

/* Kernel pages that are mapped at once: what a driver's own buffers are. */
static int fops_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long addr;
	struct page *page;
	int ret;

	if (vma_pages(vma) > MMAP_MAX_PAGES)
		return -EINVAL;

	for (addr = vma->vm_start; addr < vma->vm_end; addr += PAGE_SIZE) {
		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!page)
			return -ENOMEM;
		ret = vm_insert_page(vma, addr, page);
		/* The mapping, if it is there, has a reference of its own. */
		put_page(page);
		if (!ret)
			ret = dmirror_killed();
		if (ret)
			return ret;
	}

	return 0;
}

const struct file_operations dmirror_fops = {
	.owner = THIS_MODULE,
	.open = fops_open,
	.release = fops_release,
	.unlocked_ioctl = fops_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = fops_mmap,
};
EXPORT_SYMBOL_IF_KUNIT(dmirror_fops);
