// SPDX-License-Identifier: GPL-2.0
#include "devices.h"

#include <kunit/visibility.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/sizes.h>

#include "device.h"
#include "mm.h"
#include "pagemap.h"

/* Memory is added this much at a time, up to so many times. */
#define CHUNK_BYTES SZ_64M
#define MAX_CHUNKS 64UL

/* A device has to be able to hold one large folio. */
static unsigned long chunk_pages(unsigned int large_order)
{
	return max(CHUNK_BYTES >> PAGE_SHIFT, 1UL << large_order);
}

static struct dmirror_device_config
private_config(const struct dmirror_devices_config *config, unsigned int nr)
{
	unsigned int order = dmirror_mm_large_order(MEMORY_DEVICE_PRIVATE);

	return (struct dmirror_device_config){
		.ops = &dmirror_pagemap_private_ops,
		.large_order = order,
		.chunk_pages = chunk_pages(order),
		.max_chunks = MAX_CHUNKS,
		.id = config->first_id + nr,
		.two_pass = config->two_pass,
	};
}

static struct dmirror_device_config
coherent_config(const struct dmirror_devices_config *config, unsigned int nr)
{
	unsigned long start = config->spm_addr[nr - DMIRROR_NR_PRIVATE];
	unsigned long chunk = config->spm_size;

	/* All of it is used: the largest power of two that divides it. */
	if (chunk > CHUNK_BYTES)
		chunk = min(chunk & -chunk, CHUNK_BYTES);

	return (struct dmirror_device_config){
		.ops = &dmirror_pagemap_coherent_ops,
		.large_order = dmirror_mm_large_order(MEMORY_DEVICE_COHERENT),
		.chunk_pages = chunk >> PAGE_SHIFT,
		.max_chunks = chunk ? config->spm_size / chunk : 0,
		.region = { start, start + config->spm_size - 1 },
		.id = config->first_id + nr,
		.two_pass = config->two_pass,
	};
}

/* What was made before an error is for dmirror_devices_destroy(). */
static int create_device(struct dmirror_devices *all,
			 const struct dmirror_devices_config *config,
			 unsigned int nr)
{
	struct dmirror_device_config own;
	struct dmirror_device *device;
	struct resource *claim;

	if (nr < DMIRROR_NR_PRIVATE) {
		own = private_config(config, nr);
	} else {
		own = coherent_config(config, nr);
		claim = dmirror_pagemap_claim(&own.region);
		if (IS_ERR(claim))
			return PTR_ERR(claim);
		all->claims[nr] = claim;
	}
	device = dmirror_device_create(&own);
	if (IS_ERR(device))
		return PTR_ERR(device);

	all->devices[nr] = device;
	return 0;
}

static int create_devices(struct dmirror_devices *all,
			  const struct dmirror_devices_config *config,
			  unsigned int count)
{
	unsigned int nr;
	int ret;

	for (nr = 0; nr < count; nr++) {
		ret = create_device(all, config, nr);
		if (!ret)
			continue;
		pr_err("dmirror: device %u cannot be made (%pe)\n", nr,
		       ERR_PTR(ret));
		return ret;
	}

	return 0;
}

static int publish_devices(struct dmirror_devices *all,
			   const struct dmirror_devices_config *config,
			   unsigned int count)
{
	struct dmirror_device_config own = { .fops = config->fops };
	unsigned int nr;
	int ret;

	for (nr = 0; nr < count; nr++) {
		own.devt = all->first_devt + nr;
		ret = dmirror_device_publish(all->devices[nr], &own);
		if (!ret)
			continue;
		pr_err("dmirror: device %u cannot be opened (%pe)\n", nr,
		       ERR_PTR(ret));
		if (!nr)
			return ret;
	}

	return 0;
}

int dmirror_devices_create(struct dmirror_devices *all,
			   const struct dmirror_devices_config *config)
{
	unsigned int count = DMIRROR_NR_PRIVATE;
	int ret;

	if (config->spm_addr[0] && config->spm_addr[1])
		count = DMIRROR_NR_DEVICES;
	else if (config->spm_addr[0] || config->spm_addr[1])
		pr_warn("dmirror: set spm_addr_dev0 and spm_addr_dev1, or neither: no coherent devices are made\n");

	/* The name in /proc/devices is known to the scripts of test_hmm. */
	ret = alloc_chrdev_region(&all->first_devt, 0, DMIRROR_NR_DEVICES,
				  "HMM_DMIRROR");
	if (ret)
		return ret;

	ret = create_devices(all, config, count);
	if (!ret)
		ret = publish_devices(all, config, count);
	if (ret)
		dmirror_devices_destroy(all);

	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devices_create);

void dmirror_devices_destroy(struct dmirror_devices *all)
{
	unsigned int nr = DMIRROR_NR_DEVICES;

	while (nr--) {
		if (all->devices[nr])
			dmirror_device_destroy(all->devices[nr]);
		if (all->claims[nr])
			dmirror_mm_region_release(all->claims[nr]);
	}
	unregister_chrdev_region(all->first_devt, DMIRROR_NR_DEVICES);
	*all = (struct dmirror_devices){ };
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_devices_destroy);
