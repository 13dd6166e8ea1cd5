// SPDX-License-Identifier: GPL-2.0
/* The module: its parameters, and the devices they ask for. */
#include <linux/module.h>
#include <linux/sizes.h>

#include "devices.h"
#include "fops.h"

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

static struct dmirror_devices devices;

static int __init dmirror_init(void)
{
	const struct dmirror_devices_config config = {
		.spm_addr = { spm_addr_dev0, spm_addr_dev1 },
		.spm_size = spm_size,
		.two_pass = two_pass,
		.fops = &dmirror_fops,
	};

	return dmirror_devices_create(&devices, &config);
}
module_init(dmirror_init);

static void __exit dmirror_exit(void)
{
	dmirror_devices_destroy(&devices);
}
module_exit(dmirror_exit);

MODULE_DESCRIPTION("Heterogeneous-memory test device");
MODULE_LICENSE("GPL");
