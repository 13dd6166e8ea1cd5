// SPDX-License-Identifier: GPL-2.0
#include "procfs.h"

#include <kunit/test.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/pgtable.h>
#include <linux/uaccess.h>

#include "../fixture.h"
#include "../user.h"
#include "private_fs.h"

/* Pages of user memory for what is read: text of smaps, entries of a PMD. */
#define BUF_PAGES 16UL
#define BUF_SIZE (BUF_PAGES << PAGE_SHIFT)

/**
 * struct procfs - a /proc of the case's own
 * @mnt: where it is mounted
 * @buf: BUF_SIZE bytes of user memory
 */
struct procfs {
	struct vfsmount *mnt;
	unsigned long buf;
};

struct procfs *procfs_get(struct kunit *test)
{
	struct procfs *proc = kunit_kzalloc(test, sizeof(*proc), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, proc);
	DMIRROR_REQUIRES_BUILTIN(test);
	DMIRROR_REQUIRES_CONFIG(test, PROC_PAGE_MONITOR);
	proc->mnt = private_fs_get(test, "proc");
	proc->buf = dmirror_user_map(test, BUF_PAGES, PROT_READ | PROT_WRITE);

	return proc;
}

/**
 * struct proc_call - what is done to a file of /proc/PID
 * @proc: which /proc
 * @name: of the file
 * @flags: to open it with
 * @act: does it, in the thread of the case; must not assert
 * @pos: where to read or write
 * @len: how much, in bytes
 * @cmd: of an ioctl()
 */
struct proc_call {
	struct procfs *proc;
	const char *name;
	int flags;
	ssize_t (*act)(struct file *file, struct proc_call *call);
	loff_t pos;
	size_t len;
	unsigned int cmd;
};

/* Only a process has a /proc/PID with pages: there is one for the call. */
static ssize_t proc_call(struct proc_call *call)
{
	struct user_child child;
	struct file *file;
	char path[32];
	ssize_t ret = user_share(&child);

	if (ret)
		return ret;
	snprintf(path, sizeof(path), "%d/%s", child.pid, call->name);
	file = private_fs_open(call->proc->mnt, path, call->flags);
	ret = PTR_ERR_OR_ZERO(file);
	if (!ret) {
		ret = call->act(file, call);
		private_fs_close(file);
	}
	user_reap(&child);

	return ret;
}

#ifdef MODULE

static ssize_t act_write(struct file *file, struct proc_call *call)
{
	return -EOPNOTSUPP;
}

static ssize_t act_read(struct file *file, struct proc_call *call)
{
	return -EOPNOTSUPP;
}

#else

static ssize_t act_write(struct file *file, struct proc_call *call)
{
	return vfs_write(file, (const char __user *)call->proc->buf, call->len,
			 &call->pos);
}

/* As much as there is; a file of text gives a part of it at a time. */
static ssize_t act_read(struct file *file, struct proc_call *call)
{
	size_t got = 0;
	ssize_t ret;

	while (got < call->len) {
		ret = vfs_read(file, (char __user *)call->proc->buf + got,
			       call->len - got, &call->pos);
		if (ret < 0)
			return ret;
		if (!ret)
			break;
		got += ret;
	}

	return got;
}

#endif /* MODULE */

static ssize_t act_ioctl(struct file *file, struct proc_call *call)
{
	return file->f_op->unlocked_ioctl(file, call->cmd, call->proc->buf);
}

int procfs_write(struct procfs *proc, const char *name, const char *what)
{
	struct proc_call call = {
		.proc = proc,
		.name = name,
		.flags = O_WRONLY,
		.act = act_write,
		.len = strlen(what),
	};
	ssize_t ret;

	if (copy_to_user((void __user *)proc->buf, what, call.len))
		return -EFAULT;
	ret = proc_call(&call);
	if (ret < 0)
		return ret;

	return ret == call.len ? 0 : -EIO;
}

const char *procfs_text(struct kunit *test, struct procfs *proc,
			const char *name)
{
	struct proc_call call = {
		.proc = proc,
		.name = name,
		.flags = O_RDONLY,
		.act = act_read,
		.len = BUF_SIZE,
	};
	ssize_t got = proc_call(&call);
	char *text;

	KUNIT_ASSERT_GE_MSG(test, got, (ssize_t)0, "read of /proc/PID/%s: got %s",
			    name, dmirror_errno(got));
	KUNIT_ASSERT_LT_MSG(test, got, (ssize_t)BUF_SIZE,
			    "/proc/PID/%s is longer than the buffer", name);
	text = kunit_kzalloc(test, got + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, text);
	KUNIT_ASSERT_EQ(test, copy_from_user(text, (void __user *)proc->buf,
					     got), 0UL);

	return text;
}

int procfs_pagemap(struct procfs *proc, unsigned long addr, unsigned long nr,
		   u64 *entries)
{
	size_t size = nr * sizeof(*entries);
	struct proc_call call = {
		.proc = proc,
		.name = "pagemap",
		.flags = O_RDONLY,
		.act = act_read,
		.pos = (addr >> PAGE_SHIFT) * sizeof(*entries),
		.len = size,
	};
	ssize_t got;

	if (size > BUF_SIZE)
		return -EINVAL;
	got = proc_call(&call);
	if (got < 0)
		return got;
	if (got != size)
		return -EIO;

	return copy_from_user(entries, (void __user *)proc->buf, size) ?
	       -EFAULT : 0;
}

long procfs_scan(struct procfs *proc, struct pm_scan_arg *arg,
		 struct page_region *regions)
{
	const size_t size = PROCFS_REGIONS * sizeof(*regions);
	struct proc_call call = {
		.proc = proc,
		.name = "pagemap",
		.flags = O_RDONLY,
		.act = act_ioctl,
		.cmd = PAGEMAP_SCAN,
	};
	unsigned long vec = proc->buf + sizeof(*arg);
	long ret;

	arg->size = sizeof(*arg);
	if (regions) {
		arg->vec = vec;
		arg->vec_len = PROCFS_REGIONS;
	}
	if (copy_to_user((void __user *)proc->buf, arg, sizeof(*arg)))
		return -EFAULT;
	ret = proc_call(&call);
	if (copy_from_user(arg, (void __user *)proc->buf, sizeof(*arg)))
		return -EFAULT;
	if (regions && copy_from_user(regions, (void __user *)vec, size))
		return -EFAULT;

	return ret;
}

/* The number of a line "Name:   12 kB" before @end, in bytes. */
static unsigned long smap_number(struct kunit *test, const char *text,
				 const char *end, const char *name)
{
	const char *line = strnstr(text, name, end - text);
	unsigned long kilobytes;

	KUNIT_ASSERT_TRUE_MSG(test, line && sscanf(line + strlen(name), "%lu",
						   &kilobytes) == 1,
			      "no line \"%s 12 kB\" in:%.*s", name + 1,
			      (int)(end - text), text);

	return kilobytes << 10;
}

/* What follows the header of the mapping with @addr, or NULL. */
static const char *smap_find(const char *text, unsigned long addr)
{
	unsigned long start, end;

	for (; text; text = strchr(text, '\n')) {
		if (*text == '\n')
			text++;
		if (sscanf(text, "%lx-%lx ", &start, &end) == 2 &&
		    addr >= start && addr < end)
			return text;
	}

	return NULL;
}

struct procfs_smap procfs_smaps(struct kunit *test, struct procfs *proc,
				unsigned long addr)
{
	const char *text = procfs_text(test, proc, "smaps");
	const char *from = smap_find(text, addr), *end;

	KUNIT_ASSERT_NOT_NULL_MSG(test, from, "no mapping at 0x%lx in smaps:\n%s",
				  addr, text);
	/* The last line of each. */
	end = strstr(from, "\nVmFlags:");
	KUNIT_ASSERT_NOT_NULL_MSG(test, end, "no VmFlags of 0x%lx in smaps",
				  addr);

	return (struct procfs_smap){
		.rss = smap_number(test, from, end, "\nRss:"),
		.pss = smap_number(test, from, end, "\nPss:"),
		.private = smap_number(test, from, end, "\nPrivate_Clean:") +
			   smap_number(test, from, end, "\nPrivate_Dirty:"),
		.shared = smap_number(test, from, end, "\nShared_Clean:") +
			  smap_number(test, from, end, "\nShared_Dirty:"),
		.anonymous = smap_number(test, from, end, "\nAnonymous:"),
		.huge = smap_number(test, from, end, "\nAnonHugePages:"),
		.swap = smap_number(test, from, end, "\nSwap:"),
	};
}
