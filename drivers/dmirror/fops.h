/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The file: open, ioctl, mmap, release. The only unit that knows user
 * pointers.
 *
 * Owns: a mirror per open file. A forked child shares its parent's file and so
 * the mirror of its parent's mm.
 * Lock: none.
 * May call: device, migrate, exclusive, access, snapshot, mirror.
 */
#ifndef DMIRROR_FOPS_H
#define DMIRROR_FOPS_H

#include <linux/fs.h>

#include "uapi.h"

struct dmirror_mirror;

/**
 * dmirror_fops - file operations of the character devices
 *
 * An ioctl reports what it did in cpages and faults also when it fails:
 * EFAULT alone may mean that even that could not be written.
 */
extern const struct file_operations dmirror_fops;

/**
 * dmirror_fops_command - carry out an ioctl
 * @mirror: the file's mirror
 * @command: HMM_DMIRROR_*
 * @cmd: its argument; cpages and faults are set
 *
 * Context: process context of any task: cmd->ptr is an address of current->mm,
 * cmd->addr one of the mirrored mm.
 * Return: 0; -EINVAL for an unknown command, flag or a bad range; -EFAULT for
 * a bad cmd->ptr; for MIGRATE_TO_DEV -ENOENT when a page of the range is not
 * in the device's memory afterwards; for CHECK_EXCLUSIVE -EPERM when a page
 * is; else what the operation returns.
 */
long dmirror_fops_command(struct dmirror_mirror *mirror, unsigned int command,
			  struct hmm_dmirror_cmd *cmd);

#endif /* DMIRROR_FOPS_H */
