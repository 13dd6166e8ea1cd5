/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A device: its memory, its number, its character device.
 *
 * Owns: the device memory, for as long as the device lives. Mirrors belong to
 * the files that were opened; they need the device's memory, and an open file
 * holds the device.
 * Lock: none of its own; creation and destruction are the owner's.
 * May call: devmem, migrate.
 */
#ifndef DMIRROR_DEVICE_H
#define DMIRROR_DEVICE_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/range.h>

#include "devmem.h"

/**
 * struct dmirror_device - a device
 * @dev: the driver core's part, which counts references
 * @cdev: the character device, unused without file operations
 * @devmem: the device's own memory
 * @two_pass: whether mirrors of its files take invalidations in two passes
 */
struct dmirror_device {
	struct device dev;
	struct cdev cdev;
	struct dmirror_devmem devmem;
	bool two_pass;
};

/**
 * struct dmirror_device_config - what a device shall be like
 * @ops: the kind of memory
 * @large_order: order of its large folios, 0 for none
 * @chunk_pages: pages that are added at once
 * @max_chunks: limit of growth
 * @region: where the memory is, if the kind has a fixed place
 * @id: its number, part of its name
 * @two_pass: see struct dmirror_device
 * @devt: its device number; unused without @fops
 * @fops: file operations, or NULL for a device that nobody can open yet
 */
struct dmirror_device_config {
	const struct dmirror_devmem_ops *ops;
	unsigned int large_order;
	unsigned long chunk_pages;
	unsigned long max_chunks;
	struct range region;
	unsigned int id;
	bool two_pass;
	dev_t devt;
	const struct file_operations *fops;
};

/**
 * dmirror_device_create - make a device
 * @config: what it shall be like
 *
 * With file operations it can be opened as soon as this returns, or before.
 * No memory is added until it is asked for.
 *
 * Context: process context, may sleep.
 * Return: the device, or an ERR_PTR(): -EINVAL for a bad size of its chunks,
 * -ENOMEM, or the driver core's error.
 */
struct dmirror_device *
dmirror_device_create(const struct dmirror_device_config *config);

/**
 * dmirror_device_publish - let a device be opened
 * @device: a device that was created without file operations
 * @config: devt and fops are used
 *
 * From here on a file of it may be open, so that only its users can end it.
 *
 * Context: process context, may sleep.
 * Return: 0, -ENOMEM, or the driver core's error.
 */
int dmirror_device_publish(struct dmirror_device *device,
			   const struct dmirror_device_config *config);

/**
 * dmirror_device_destroy - end a device
 * @device: the device; no file of it is open, no mirror of it is left
 *
 * Brings every page home first. Waits, and says so, for pages that cannot
 * come home because somebody holds them: they have nowhere else to go.
 *
 * Context: process context, may sleep.
 */
void dmirror_device_destroy(struct dmirror_device *device);

#endif /* DMIRROR_DEVICE_H */
