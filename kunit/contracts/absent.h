/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a kernel without device memory does not have. Its list of cases is that
 * of every other kernel, so they have to compile there: each is skipped before
 * it gets to one of these.
 */
#ifndef CONTRACTS_ABSENT_H
#define CONTRACTS_ABSENT_H

#include <linux/err.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mmzone.h>
#include <linux/rmap.h>

#ifndef CONFIG_ZONE_DEVICE

static inline void *memremap_pages(struct dev_pagemap *pgmap, int nid)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void memunmap_pages(struct dev_pagemap *pgmap)
{
}

static inline void zone_device_folio_init(struct folio *folio,
					  struct dev_pagemap *pgmap,
					  unsigned int order)
{
}

#endif /* CONFIG_ZONE_DEVICE */

#if !IS_ENABLED(CONFIG_DEVICE_MIGRATION)

/* Declared, but not defined. */
static inline int absent(void)
{
	return -EOPNOTSUPP;
}

#define migrate_vma_setup(args) ((void)(args), absent())
#define migrate_vma_pages(args) ((void)(args))
#define migrate_vma_finalize(args) ((void)(args))
#define migrate_device_range(src, pfn, nr)				\
	((void)(src), (void)(pfn), (void)(nr), absent())
#define migrate_device_pfns(src, nr) ((void)(src), (void)(nr), absent())
#define migrate_device_pages(src, dst, nr)				\
	((void)(src), (void)(dst), (void)(nr))
#define migrate_device_finalize(src, dst, nr)				\
	((void)(src), (void)(dst), (void)(nr))
#define migrate_device_coherent_folio(folio) ((void)(folio), absent())

#endif /* CONFIG_DEVICE_MIGRATION */

#if !IS_ENABLED(CONFIG_DEVICE_PRIVATE)

#define make_device_exclusive(mm, addr, owner, foliop)			\
	((void)(mm), (void)(addr), (void)(owner), (void)(foliop),	\
	 (struct page *)ERR_PTR(-EOPNOTSUPP))

#endif /* CONFIG_DEVICE_PRIVATE */

/* A kernel without SPARSEMEM has no such limit either. */
#ifdef MAX_PHYSMEM_BITS
#define MEM_BEYOND_ALL (1ULL << MAX_PHYSMEM_BITS)
#else
#define MEM_BEYOND_ALL 0ULL
#endif

#endif /* CONTRACTS_ABSENT_H */
