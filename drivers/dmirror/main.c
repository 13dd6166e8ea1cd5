// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

MODULE_DESCRIPTION("Heterogeneous-memory test device");
MODULE_LICENSE("GPL");
