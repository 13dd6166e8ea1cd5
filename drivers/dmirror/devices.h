/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The devices that the module's parameters ask for.
 *
 * Owns: the devices, their numbers, and the place of coherent memory.
 * Lock: none; one thread makes them and ends them.
 * May call: mm, pagemap, device.
 */
#ifndef DMIRROR_DEVICES_H
#define DMIRROR_DEVICES_H

#include <linux/types.h>

struct dmirror_device;
struct file_operations;
struct resource;

#define DMIRROR_NR_PRIVATE 2U
#define DMIRROR_NR_COHERENT 2U
#define DMIRROR_NR_DEVICES (DMIRROR_NR_PRIVATE + DMIRROR_NR_COHERENT)

/**
 * struct dmirror_devices_config - what devices there shall be
 * @spm_addr: physical address of each coherent device's memory; if any is 0
 *	there are no coherent devices
 * @spm_size: bytes of memory of each coherent device
 * @two_pass: see struct dmirror_device
 * @first_id: number of the first, part of its name
 * @fops: their file operations
 */
struct dmirror_devices_config {
	unsigned long spm_addr[DMIRROR_NR_COHERENT];
	unsigned long spm_size;
	bool two_pass;
	unsigned int first_id;
	const struct file_operations *fops;
};

/**
 * struct dmirror_devices - all devices: first the private, then the coherent
 * @devices: NULL for one that is not there
 * @claims: what keeps others from a coherent device's memory
 * @first_devt: device number of the first; the others follow
 */
struct dmirror_devices {
	struct dmirror_device *devices[DMIRROR_NR_DEVICES];
	struct resource *claims[DMIRROR_NR_DEVICES];
	dev_t first_devt;
};

/**
 * dmirror_devices_create - make the devices, and let them be opened
 * @all: empty; as empty as before after an error
 * @config: what devices
 *
 * A device that is there can be open, and then nothing takes it away but the
 * end of the module, which its file prevents. So what comes after the first
 * one may not be opened, which is told, but not all of them fail with it.
 *
 * Context: process context, may sleep.
 * Return: 0, or the first error of dmirror_pagemap_claim(), of
 * dmirror_device_create(), of dmirror_device_publish() for the first device,
 * or of the allocation of their numbers.
 */
int dmirror_devices_create(struct dmirror_devices *all,
			   const struct dmirror_devices_config *config);

/**
 * dmirror_devices_destroy - end them; see dmirror_device_destroy()
 * @all: from dmirror_devices_create(); empty afterwards
 *
 * Context: process context, may sleep.
 */
void dmirror_devices_destroy(struct dmirror_devices *all);

#endif /* DMIRROR_DEVICES_H */
