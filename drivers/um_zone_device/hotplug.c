// SPDX-License-Identifier: GPL-2.0
/*
 * Memory hotplug for User Mode Linux, as far as device memory needs it.
 *
 * Device-private memory has no address that the CPU could use: core mm only
 * adds struct pages for it, and asks nothing of the architecture. Memory that
 * the CPU can use must lie in the file that is UML's physical memory, because
 * the host maps it from there into UML's processes. So what "memmap=" names is
 * set aside at boot and taken out of RAM, as if it had been unplugged, and
 * this is all that can be added again.
 */
#include <linux/init.h>
#include <linux/kasan.h>
#include <linux/kernel.h>
#include <linux/memblock.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/printk.h>
#include <linux/range.h>
#include <linux/string.h>
#include <asm/tlbflush.h>
#include <as-layout.h>
#include <init.h>
#include <mem_user.h>
#include <os.h>
#include "memmap.h"

#define SECTION_SIZE	BIT(SECTION_SIZE_BITS)

/* Written by "memmap=" and unplug_ranges() at boot, read-only afterwards. */
static struct range ranges[4] __ro_after_init;
static unsigned int nr_ranges __ro_after_init;

static int __init memmap_setup(char *line, int *add)
{
	unsigned long long size, start;
	char *end = line;

	*add = 0;
	size = memparse(line, &end);
	start = *end == '$' ? memparse(end + 1, &end) : 0;
	if (*end || !size || !start || start + size - 1 < start) {
		os_warn("memmap=%s is ignored: write memmap=SIZE$ADDRESS, as in memmap=64M$512M.\n",
			line);
		return 0;
	}
	if (!IS_ALIGNED(size | start, SECTION_SIZE)) {
		os_warn("memmap=%s is ignored: size and address must be multiples of %lu MiB.\n",
			line, SECTION_SIZE >> 20);
		return 0;
	}
	if (nr_ranges == ARRAY_SIZE(ranges)) {
		os_warn("memmap=%s is ignored: there are %zu of them already.\n",
			line, ARRAY_SIZE(ranges));
		return 0;
	}
	ranges[nr_ranges++] = (struct range){ start, start + size - 1 };
	/* Before there is RAM, so that nothing is ever allocated there. */
	memblock_reserve(start, size);
	return 0;
}

__uml_setup("memmap=", memmap_setup,
	    "memmap=<size>$<address>\n"
	    "    Leave this part of the physical memory to drivers of device memory.\n"
	    "    Both are multiples of 8M and lie within mem=, above the kernel.\n"
	    "    Can be given up to four times.\n\n");

static bool __init range_fits(const struct range *range, unsigned int index)
{
	unsigned long pfn;
	unsigned int i;

	/* Below is the kernel's image, which was reserved in the same way. */
	if (range->start < __pa(uml_reserved) ||
	    range->end >= round_down(physmem_size, SECTION_SIZE))
		return false;
	for (i = 0; i < index; i++)
		if (range_overlaps(&ranges[i], range))
			return false;
	/* UML frees what it had reserved behind its brk: perhaps ours, too. */
	for (pfn = PHYS_PFN(range->start); pfn <= PHYS_PFN(range->end); pfn++)
		if (!PageReserved(pfn_to_page(pfn)))
			return false;
	return true;
}

#ifdef CONFIG_MEMORY_HOTREMOVE
/* Take a range of RAM, of which no page was ever free, out of its zone. */
static void __init unplug_range(const struct range *range)
{
	unsigned long pfn = PHYS_PFN(range->start);
	unsigned long nr = PHYS_PFN(range_len(range));
	struct page *page = pfn_to_page(pfn);

	mem_hotplug_begin();
	adjust_present_page_count(page, NULL, -(long)nr);
	remove_pfn_range_from_zone(page_zone(page), pfn, nr);
	__remove_pages(pfn, nr, NULL, NULL);
	mem_hotplug_done();
}
#else
static void __init unplug_range(const struct range *range)
{
}
#endif

/*
 * Early, that is before a memory block device exists for every part of RAM,
 * and before there is a second CPU.
 */
static int __init unplug_ranges(void)
{
	unsigned int i, kept = 0;

	for (i = 0; i < nr_ranges; i++) {
		struct range range = ranges[i];

		if (!range_fits(&range, kept)) {
			pr_err("um_zone_device: memmap=%lluM$%lluM cannot be left to drivers: choose an address well above %lluM, and stay below %lluM\n",
			       range_len(&range) >> 20, range.start >> 20,
			       (u64)__pa(uml_reserved) >> 20,
			       (u64)physmem_size >> 20);
			continue;
		}
		unplug_range(&range);
		ranges[kept++] = range;
		pr_info("um_zone_device: %lluM$%lluM is left to drivers\n",
			range_len(&range) >> 20, range.start >> 20);
	}
	nr_ranges = kept;
	return 0;
}
early_initcall(unplug_ranges);

/*
 * From the first to the last of what was left to drivers. With KASAN the first
 * alone: whatever lies in between is in use, and core mm asks this before, but
 * arch_add_memory() only after it has done away with the shadow.
 */
struct range arch_get_mappable_range(void)
{
	struct range all = { ULONG_MAX, 0 };
	unsigned int i;

	for (i = 0; i < nr_ranges; i++) {
		all.start = min(all.start, ranges[i].start);
		all.end = max(all.end, ranges[i].end);
		if (IS_ENABLED(CONFIG_KASAN))
			break;
	}

	return all;
}

#ifdef CONFIG_KASAN
/*
 * Core mm maps one page of zeroes as the shadow of memory that is added. Here
 * the shadow is the host's memory and has been there since the boot: take that
 * page away, and have new memory in its place.
 */
static int renew_shadow(u64 start, u64 size)
{
	void *shadow = kasan_mem_to_shadow(__va(start));
	unsigned long len = size >> KASAN_SHADOW_SCALE_SHIFT;

	kasan_remove_zero_shadow(__va(start), size);
	um_tlb_sync(&init_mm);
	um_memmap_host_unmap(shadow, len);

	return um_memmap_host_map(shadow, len);
}
#else
static int renew_shadow(u64 start, u64 size)
{
	return 0;
}
#endif

int arch_add_memory(int nid, u64 start, u64 size, struct mhp_params *params)
{
	const struct range range = { start, start + size - 1 };
	unsigned int i;
	int err;

	for (i = 0; i < nr_ranges; i++) {
		if (!range_contains(&ranges[i], &range))
			continue;
		err = renew_shadow(start, size);
		return err ? err : __add_pages(nid, PHYS_PFN(start),
					       PHYS_PFN(size), params);
	}
	pr_err("um_zone_device: %#llx-%#llx was not left to drivers by memmap=\n",
	       range.start, range.end);
	return -EINVAL;
}

#ifdef CONFIG_MEMORY_HOTREMOVE
void arch_remove_memory(u64 start, u64 size, struct vmem_altmap *altmap,
			struct dev_pagemap *pgmap)
{
	__remove_pages(PHYS_PFN(start), PHYS_PFN(size), altmap, pgmap);
}
#endif
