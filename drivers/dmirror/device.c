// SPDX-License-Identifier: GPL-2.0
#include "device.h"

#include <kunit/visibility.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "inject.h"
#include "migrate.h"

/* How often pages that are held are tried again, in jiffies. */
#define HELD_INTERVAL (HZ / 10)

static void device_release(struct device *dev)
{
	kfree(container_of(dev, struct dmirror_device, dev));
}

static int device_setup(struct dmirror_device *device,
			const struct dmirror_device_config *config)
{
	int ret;

	ret = dev_set_name(&device->dev, "hmm_dmirror%u", config->id);
	if (ret)
		return ret;
	ret = dmirror_devmem_init(&device->devmem, config->ops,
				  config->large_order, config->chunk_pages,
				  config->max_chunks);
	if (ret)
		return ret;
	device->devmem.region = config->region;
	device->two_pass = config->two_pass;

	return config->fops ? dmirror_device_publish(device, config) : 0;
}

int dmirror_device_publish(struct dmirror_device *device,
			   const struct dmirror_device_config *config)
{
	cdev_init(&device->cdev, config->fops);
	device->cdev.owner = config->fops->owner;
	device->dev.devt = config->devt;
	if (dmirror_should_fail(DMIRROR_INJECT_PUBLISH))
		return -ENOMEM;

	return cdev_device_add(&device->cdev, &device->dev);
}

struct dmirror_device *
dmirror_device_create(const struct dmirror_device_config *config)
{
	struct dmirror_device *device = kzalloc_obj(*device);
	int ret;

	if (!device)
		return ERR_PTR(-ENOMEM);

	device_initialize(&device->dev);
	device->dev.release = device_release;
	ret = device_setup(device, config);
	if (ret) {
		put_device(&device->dev);
		return ERR_PTR(ret);
	}

	return device;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_device_create);

void dmirror_device_destroy(struct dmirror_device *device)
{
	bool told = false;
	int ret;

	if (device_is_registered(&device->dev))
		cdev_device_del(&device->cdev, &device->dev);

	for (;;) {
		ret = dmirror_migrate_drain(&device->devmem, false);
		if (!ret)
			break;
		if (!told)
			dev_warn(&device->dev,
				 "waiting for pages that somebody holds (%pe)\n",
				 ERR_PTR(ret));
		told = true;
		schedule_timeout_uninterruptible(HELD_INTERVAL);
	}
	put_device(&device->dev);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_device_destroy);
