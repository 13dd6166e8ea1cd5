// SPDX-License-Identifier: GPL-2.0
/*
 * The memory map of User Mode Linux with SPARSEMEM_VMEMMAP: what core mm asks
 * an architecture for, done with memory of the host.
 */
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sizes.h>
#include <os.h>
#ifdef CONFIG_HAVE_BOOTMEM_INFO_NODE
#include <linux/bootmem_info.h>
#endif
#include "memmap.h"

static_assert(sizeof(struct page) << (MAX_PHYSMEM_BITS - PAGE_SHIFT) <=
	      VMEMMAP_SIZE);
#ifdef CONFIG_KASAN
static_assert(KASAN_SHADOW_END <= VMEMMAP_START);
#endif

int __meminit vmemmap_populate(unsigned long start, unsigned long end, int node,
			       struct vmem_altmap *altmap)
{
	int err;

	/* The memory map cannot lie in device memory: nothing maps that here. */
	if (altmap)
		return -EOPNOTSUPP;

	err = um_memmap_host_map((void *)start, end - start);
	if (!err)
		return 0;

	/* Core mm cannot do without the map of RAM; the log is not shown yet. */
	if (system_state == SYSTEM_BOOTING)
		os_warn("The host refuses %lu KiB at 0x%lx for the memory map (error %d): raise its limits (ulimit -v, vm.overcommit_memory, vm.max_map_count), or build without CONFIG_SPARSEMEM_MANUAL.\n",
			(end - start) / SZ_1K, start, -err);
	else
		pr_err("um_zone_device: the host refuses %lu KiB at 0x%lx for the memory map (%pe)\n",
		       (end - start) / SZ_1K, start, ERR_PTR(err));
	return err;
}

#ifdef CONFIG_MEMORY_HOTPLUG
void __ref vmemmap_free(unsigned long start, unsigned long end,
			struct vmem_altmap *altmap)
{
	int err = um_memmap_host_unmap((void *)start, end - start);

	/* The next one to map it will be told -EEXIST. */
	if (err)
		pr_err("um_zone_device: the host keeps the memory map at 0x%lx (%pe)\n",
		       start, ERR_PTR(err));
}
#endif

#ifdef CONFIG_HAVE_BOOTMEM_INFO_NODE
/*
 * Up to 7.2 selected for X86_64, which User Mode Linux is too. The memory map
 * is not made of pages that could be registered.
 */
void register_page_bootmem_memmap(unsigned long section_nr,
				  struct page *start_page,
				  unsigned long nr_pages)
{
}
#endif
