/* SPDX-License-Identifier: GPL-2.0 */
/*
 * SPARSEMEM for User Mode Linux. The graft puts this file into the tree; the
 * name CONFIG_UM_ZONE_DEVICE in it is how Kconfig recognises it as ours.
 */
#ifndef _ASM_UM_SPARSEMEM_H
#define _ASM_UM_SPARSEMEM_H

#ifdef CONFIG_SPARSEMEM

/*
 * Sections of 8 MiB. UML's virt_addr_valid() asks pfn_valid() only, and that
 * calls all of the last section of RAM valid; VMALLOC_START is the next
 * multiple of 8 MiB, so that no vmalloc address falls into it.
 */
#define SECTION_SIZE_BITS	23

/*
 * RAM begins at 0 and is bounded by the host's; device-private regions are
 * taken from the top. 1 TiB holds both and bounds the memory map to 16 GiB of
 * the host's address space.
 */
#define MAX_PHYSMEM_BITS	40

#ifdef CONFIG_SPARSEMEM_VMEMMAP
/*
 * The memory map is the host's anonymous memory at a fixed address, not mapped
 * through UML's page tables: it works before there are any. KASAN's shadow,
 * which works in the same way, ends where it begins.
 */
#define VMEMMAP_START		0x200000000000UL
#define VMEMMAP_SIZE		(1UL << (MAX_PHYSMEM_BITS - PAGE_SHIFT + 6))
#define vmemmap			((struct page *)VMEMMAP_START)
#endif /* CONFIG_SPARSEMEM_VMEMMAP */

/* UML lacks it, and KASAN's hotplug notifier asks for it. */
#ifndef pfn_to_kaddr
#define pfn_to_kaddr(pfn)	__va((unsigned long)(pfn) << PAGE_SHIFT)
#endif

#endif /* CONFIG_SPARSEMEM */

#endif /* _ASM_UM_SPARSEMEM_H */
