// SPDX-License-Identifier: GPL-2.0
/* The module: its parameters, and the devices they ask for. */
#include <linux/cdev.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "device.h"
#include "fops.h"
#include "mm.h"
#include "pagemap.h"

#define NR_DEVICES 4U
#define NR_PRIVATE 2U

/* Memory is added this much at a time, up to so many times. */
#define CHUNK_BYTES SZ_64M
#define MAX_CHUNKS 64UL

static unsigned long spm_addr_dev0;
module_param(spm_addr_dev0, ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev0,
		 "Physical address of the first coherent device's memory; 0 for no coherent devices");

static unsigned long spm_addr_dev1;
module_param(spm_addr_dev1, ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev1,
		 "Physical address of the second coherent device's memory");

static unsigned long spm_size = SZ_256M;
module_param(spm_size, ulong, 0444);
MODULE_PARM_DESC(spm_size, "Bytes of memory of each coherent device");

static bool two_pass;
module_param(two_pass, bool, 0444);
MODULE_PARM_DESC(two_pass,
		 "Take invalidations in core mm's two passes instead of one");

static struct dmirror_device *devices[NR_DEVICES];
static dev_t first_devt;

static struct dmirror_device_config private_config(unsigned int id)
{
	return (struct dmirror_device_config){
		.ops = &dmirror_pagemap_private_ops,
		.large_order = dmirror_mm_large_order(MEMORY_DEVICE_PRIVATE),
		.chunk_pages = CHUNK_BYTES >> PAGE_SHIFT,
		.max_chunks = MAX_CHUNKS,
		.id = id,
	};
}

static struct dmirror_device_config coherent_config(unsigned int id)
{
	unsigned long start = id == NR_PRIVATE ? spm_addr_dev0 : spm_addr_dev1;
	unsigned long chunk = min(spm_size, CHUNK_BYTES);

	return (struct dmirror_device_config){
		.ops = &dmirror_pagemap_coherent_ops,
		.large_order = dmirror_mm_large_order(MEMORY_DEVICE_COHERENT),
		.chunk_pages = chunk >> PAGE_SHIFT,
		.max_chunks = chunk ? spm_size / chunk : 0,
		.region = { start, start + spm_size - 1 },
		.id = id,
	};
}

static int create_device(unsigned int id)
{
	struct dmirror_device_config config;
	struct dmirror_device *device;

	config = id < NR_PRIVATE ? private_config(id) : coherent_config(id);
	config.two_pass = two_pass;
	device = dmirror_device_create(&config);
	if (IS_ERR(device))
		return PTR_ERR(device);

	devices[id] = device;
	return 0;
}

static int publish_device(unsigned int id)
{
	const struct dmirror_device_config config = {
		.devt = MKDEV(MAJOR(first_devt), id),
		.fops = &dmirror_fops,
	};

	return dmirror_device_publish(devices[id], &config);
}

static void destroy_devices(void)
{
	unsigned int id = NR_DEVICES;

	while (id--)
		if (devices[id])
			dmirror_device_destroy(devices[id]);
}

/*
 * A device that is there can be open, and then nothing takes it away but the
 * end of the module, which its file prevents. So what comes after the first
 * one may fail, but not all of the module with it.
 */
static int __init publish_devices(unsigned int nr)
{
	unsigned int id;
	int ret;

	for (id = 0; id < nr; id++) {
		ret = publish_device(id);
		if (!ret)
			continue;
		pr_err("dmirror: device %u cannot be opened (%pe)\n", id,
		       ERR_PTR(ret));
		if (!id)
			return ret;
	}

	return 0;
}

static int __init create_devices(unsigned int nr)
{
	unsigned int id;
	int ret;

	for (id = 0; id < nr; id++) {
		ret = create_device(id);
		if (!ret)
			continue;
		pr_err("dmirror: device %u cannot be made (%pe)\n", id,
		       ERR_PTR(ret));
		return ret;
	}

	return 0;
}

static int __init dmirror_init(void)
{
	unsigned int nr = NR_PRIVATE;
	int ret;

	if (spm_addr_dev0 && spm_addr_dev1)
		nr = NR_DEVICES;
	else if (spm_addr_dev0 || spm_addr_dev1)
		pr_warn("dmirror: set spm_addr_dev0 and spm_addr_dev1, or neither: no coherent devices are made\n");

	/* The name in /proc/devices is known to the scripts of test_hmm. */
	ret = alloc_chrdev_region(&first_devt, 0, NR_DEVICES, "HMM_DMIRROR");
	if (ret)
		return ret;

	ret = create_devices(nr);
	if (!ret)
		ret = publish_devices(nr);
	if (ret) {
		destroy_devices();
		unregister_chrdev_region(first_devt, NR_DEVICES);
	}

	return ret;
}
module_init(dmirror_init);

static void __exit dmirror_exit(void)
{
	destroy_devices();
	unregister_chrdev_region(first_devt, NR_DEVICES);
}
module_exit(dmirror_exit);

MODULE_DESCRIPTION("Heterogeneous-memory test device");
MODULE_LICENSE("GPL");
