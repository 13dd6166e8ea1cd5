// SPDX-License-Identifier: GPL-2.0
#include "private_fs.h"

#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mount.h>

#include "../fixture.h"

#ifdef MODULE

struct vfsmount *private_fs_get(struct kunit *test, const char *type)
{
	DMIRROR_REQUIRES_BUILTIN(test);

	return NULL;
}

struct file *private_fs_open(struct vfsmount *mnt, const char *name, int flags)
{
	return ERR_PTR(-EOPNOTSUPP);
}

void private_fs_close(struct file *file)
{
}

int private_fs_write(struct vfsmount *mnt, const char *name, const char *what)
{
	return -EOPNOTSUPP;
}

#else

static void private_fs_put(void *data)
{
	kern_unmount(data);
}

struct vfsmount *private_fs_get(struct kunit *test, const char *type)
{
	struct file_system_type *fs = get_fs_type(type);
	struct vfsmount *mnt;

	KUNIT_ASSERT_NOT_NULL_MSG(test, fs, "no file system is called %s",
				  type);
	mnt = kern_mount(fs);
	put_filesystem(fs);
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(mnt), "mount");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, private_fs_put,
							mnt), 0);

	return mnt;
}

struct file *private_fs_open(struct vfsmount *mnt, const char *name, int flags)
{
	return file_open_root_mnt(mnt, name, flags, 0700);
}

void private_fs_close(struct file *file)
{
	/* A thread of the kernel would leave it to a worker. */
	__fput_sync(file);
}

int private_fs_write(struct vfsmount *mnt, const char *name, const char *what)
{
	struct file *file = private_fs_open(mnt, name, O_WRONLY);
	loff_t pos = 0;
	ssize_t ret;

	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = kernel_write(file, what, strlen(what), &pos);
	private_fs_close(file);
	if (ret < 0)
		return ret;

	return ret == strlen(what) ? 0 : -EIO;
}

#endif /* MODULE */
