/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A file system that is mounted for a case alone, where nobody else sees it: a
 * kernel that runs KUnit at boot has no /proc, no /sys and no place for a file.
 */
#ifndef CONTRACTS_PRIVATE_FS_H
#define CONTRACTS_PRIVATE_FS_H

struct file;
struct kunit;
struct vfsmount;

/**
 * private_fs_get - mount a file system
 * @test: the case, at whose end it is unmounted
 * @type: its name, as in /proc/filesystems
 *
 * Asserts that it works. Built-in suites only.
 *
 * Context: process context, may sleep.
 * Return: the mount.
 */
struct vfsmount *private_fs_get(struct kunit *test, const char *type);

/**
 * private_fs_open - open a file, and create it if O_CREAT says so
 * @mnt: from private_fs_get()
 * @name: from the root of @mnt on, without a leading slash
 * @flags: O_*
 *
 * Context: process context, may sleep.
 * Return: the file, which private_fs_close() closes, or an errno.
 */
struct file *private_fs_open(struct vfsmount *mnt, const char *name, int flags);

/**
 * private_fs_close - close a file, now and not later
 * @file: from private_fs_open()
 *
 * Context: process context, may sleep.
 */
void private_fs_close(struct file *file);

/**
 * private_fs_write - write a string to a file of kernfs, such as sysfs
 * @mnt: from private_fs_get()
 * @name: of the file
 * @what: the string
 *
 * Context: process context, may sleep.
 * Return: 0 or an errno.
 */
int private_fs_write(struct vfsmount *mnt, const char *name, const char *what);

#endif /* CONTRACTS_PRIVATE_FS_H */
