// SPDX-License-Identifier: GPL-2.0
#include "device_file.h"

#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/anon_inodes.h>
#include <linux/cdev.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/path.h>

#include "../drivers/dmirror/device.h"
#include "mirror_fixture.h"

static void device_destroy_action(void *data)
{
	dmirror_device_destroy(data);
}

struct dmirror_device *
dmirror_device_get(struct kunit *test,
		   const struct dmirror_device_config *config)
{
	struct dmirror_device *device = dmirror_device_create(config);

	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(device), "device");
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, device_destroy_action,
						  device), 0);

	return device;
}

void dmirror_device_put(struct kunit *test, struct dmirror_device *device)
{
	kunit_release_action(test, device_destroy_action, device);
}

static void devt_put(void *data)
{
	unregister_chrdev_region((dev_t)(unsigned long)data, 1);
}

dev_t dmirror_devt_get(struct kunit *test)
{
	dev_t devt;

	DMIRROR_ASSERT_OK(test, alloc_chrdev_region(&devt, 0, 1,
						    "dmirror_kunit"),
			  "device number");
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, devt_put,
						  (void *)(unsigned long)devt),
			0);

	return devt;
}

/* A file whose inode is the number's, and which is not open yet. */
static struct file *devt_file(struct vfsmount *mnt, dev_t devt)
{
	struct inode *inode = new_inode(mnt->mnt_sb);
	struct file *file;

	if (!inode)
		return ERR_PTR(-ENOMEM);
	init_special_inode(inode, S_IFCHR | 0600, devt);
	file = alloc_file_pseudo(inode, mnt, "dmirror_kunit", O_RDWR,
				 inode->i_fop);
	if (IS_ERR(file))
		iput(inode);

	return file;
}

static struct file *devt_open(dev_t devt)
{
	static const struct file_operations no_fops;
	struct file *anon, *file;
	int ret;

	/* Only for its mount: any that needs no path will do. */
	anon = anon_inode_getfile("dmirror_kunit", &no_fops, NULL, O_RDWR);
	if (IS_ERR(anon))
		return anon;
	file = devt_file(anon->f_path.mnt, devt);
	fput(anon);
	if (IS_ERR(file))
		return file;

	ret = file->f_op->open(file_inode(file), file);
	if (!ret)
		return file;
	/*
	 * An open that failed late has given the number's reference back, which
	 * the last fput() of an open file would do once more: it is none.
	 */
	if (file_inode(file)->i_cdev) {
		fops_put(file->f_op);
		path_put(&file->f_path);
		file->f_mode &= ~FMODE_OPENED;
	}
	fput(file);

	return ERR_PTR(ret);
}

static void file_close_action(void *data)
{
	fput(data);
	/* A kernel thread's last fput() is carried out later, by a worker. */
	flush_delayed_fput();
}

struct file *dmirror_file_open(struct kunit *test, dev_t devt)
{
	struct file *file = devt_open(devt);

	if (!IS_ERR(file))
		KUNIT_ASSERT_EQ(test,
				kunit_add_action_or_reset(test,
							  file_close_action,
							  file), 0);

	return file;
}

void dmirror_file_close(struct kunit *test, struct file *file)
{
	kunit_release_action(test, file_close_action, file);
}
