// SPDX-License-Identifier: GPL-2.0
/*
 * What include/linux/hmm-dma.h and the comments of the hmm_dma_*() functions
 * in mm/hmm.c promise: the answer of hmm_range_fault() as DMA addresses, on a
 * device without an IOMMU; hmm_iommu is about those with one, hmm_p2pdma about
 * memory of PCI peers.
 */
#include <kunit/device.h>
#include <linux/dma-mapping.h>
#include <linux/hmm-dma.h>
#include <linux/mman.h>
#include <linux/pci-p2pdma.h>
#include <linux/swiotlb.h>

#include "hmm_probe.h"

#define RW (PROT_READ | PROT_WRITE)

#define NR 4UL

/* A device that nobody has told how much of an address it can drive. */
static struct device *raw_device(struct kunit *test)
{
	struct device *dev;

	DMIRROR_REQUIRES_CONFIG(test, HAS_DMA);
	dev = kunit_device_register(test, "hmm_dma");
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(dev), "device: got %pe", dev);

	return dev;
}

static struct device *device(struct kunit *test)
{
	struct device *dev = raw_device(test);

	DMIRROR_ASSERT_OK(test, dma_set_mask_and_coherent(dev,
							  DMA_BIT_MASK(64)),
			  "64 bits of DMA");

	return dev;
}

static struct hmm_dma_map *map_alloc(struct kunit *test, struct device *dev)
{
	struct hmm_dma_map *map = kunit_kzalloc(test, sizeof(*map), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, map);
	DMIRROR_ASSERT_OK(test, hmm_dma_map_alloc(dev, map, NR, PAGE_SIZE),
			  "hmm_dma_map_alloc");

	return map;
}

/* Faults @NR pages into the map's list, as a driver does. */
static int fault_into(struct hmm_probe *probe, struct hmm_dma_map *map,
		      unsigned long addr, unsigned long flags)
{
	struct hmm_range *range = &probe->range;

	range->hmm_pfns = map->pfn_list;
	range->default_flags = flags;

	return hmm_probe_ask(probe, addr, NR);
}

static void map_begins_empty(struct kunit *test)
{
	struct device *dev = device(test);
	struct hmm_dma_map *map = map_alloc(test, dev);
	unsigned long i, used = 0;
	bool list = map->dma_list, need = dma_need_unmap(dev);
	size_t size = map->dma_entry_size;

	for (i = 0; i < NR; i++)
		used += map->pfn_list[i] != 0;
	hmm_dma_map_free(dev, map);
	KUNIT_EXPECT_EQ_MSG(test, used, 0UL, "entries in a new map");
	KUNIT_EXPECT_EQ(test, size, PAGE_SIZE);
	KUNIT_EXPECT_EQ_MSG(test, list, need,
			    "a list of addresses, where unmapping needs it");
}

/* One more entry than what an address space has, or an array can have. */
static void map_without_memory(struct kunit *test)
{
	static const size_t too_many[] = { SIZE_MAX / 16, SIZE_MAX / 4 };
	struct device *dev = device(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(too_many); i++) {
		struct hmm_dma_map map = { };

		DMIRROR_EXPECT_ERRNO(test,
				     hmm_dma_map_alloc(dev, &map, too_many[i],
						       PAGE_SIZE),
				     -ENOMEM, "map for too many entries");
	}
}

/* "ensure no swiotlb buffering happens": such a device is refused. */
static void device_that_needs_bounce_buffers(struct kunit *test)
{
	struct device *dev = device(test);
	struct hmm_dma_map map = { };

	dev->bus_dma_limit = SZ_64K - 1;
	DMIRROR_EXPECT_ERRNO(test, hmm_dma_map_alloc(dev, &map, NR, PAGE_SIZE),
			     -EOPNOTSUPP, "bus that reaches 64 KiB");
	KUNIT_EXPECT_NULL(test, map.pfn_list);
	dev->bus_dma_limit = 0;
	DMIRROR_EXPECT_ERRNO(test, hmm_dma_map_alloc(dev, &map, NR, PAGE_SIZE),
			     0, "bus that reaches everything");
	hmm_dma_map_free(dev, &map);
}

/* And one that may need cache maintenance, as far as anybody knows. */
static void device_that_needs_syncs(struct kunit *test)
{
	struct hmm_dma_map map = { };
	struct device *dev;

	DMIRROR_REQUIRES_CONFIG(test, DMA_NEED_SYNC);
	dev = raw_device(test);
	DMIRROR_EXPECT_ERRNO(test, hmm_dma_map_alloc(dev, &map, NR, PAGE_SIZE),
			     -EOPNOTSUPP, "device without a mask");
	KUNIT_EXPECT_NULL(test, map.pfn_list);
}

/**
 * struct mapped - what was seen of one page
 * @addr: DMA address of the first mapping and of the second
 * @after: the entry after each of them
 * @unmapped: what the first and the second unmapping returned
 * @left: the entry after both
 */
struct mapped {
	dma_addr_t addr[2];
	unsigned long after[2];
	bool unmapped[2];
	unsigned long left;
};

static struct mapped map_twice(struct device *dev, struct hmm_dma_map *map,
			       unsigned long idx)
{
	struct pci_p2pdma_map_state p2p = { };
	struct mapped seen;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		seen.addr[i] = hmm_dma_map_pfn(dev, map, idx, &p2p);
		seen.after[i] = map->pfn_list[idx];
	}
	for (i = 0; i < 2; i++)
		seen.unmapped[i] = hmm_dma_unmap_pfn(dev, map, idx);
	seen.left = map->pfn_list[idx];

	return seen;
}

/*
 * The address is that of the page at the index, a second mapping is the first
 * one, and unmapping says whether there was one.
 */
static void page_is_mapped_and_unmapped_once(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	unsigned long addr = dmirror_user_map(test, NR, RW);
	struct device *dev = device(test);
	struct hmm_dma_map *map = map_alloc(test, dev);
	unsigned long i, was[NR] = { };
	struct mapped seen[NR];
	int ret;

	ret = fault_into(probe, map, addr, HMM_WRITE);
	for (i = 0; i < NR && !ret; i++) {
		was[i] = map->pfn_list[i];
		seen[i] = map_twice(dev, map, i);
	}
	hmm_dma_map_free(dev, map);
	DMIRROR_ASSERT_OK(test, ret, "write request");
	for (i = 0; i < NR; i++) {
		struct mapped *one = &seen[i];

		KUNIT_EXPECT_EQ_MSG(test, one->addr[0],
				    (dma_addr_t)hmm_pfn_to_phys(was[i]),
				    "DMA address of page %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, one->addr[1], one->addr[0],
				    "mapped again: page %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, one->after[0],
				    was[i] | HMM_PFN_DMA_MAPPED,
				    "entry of page %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, one->after[1], one->after[0],
				    "entry of page %lu, mapped again", i);
		KUNIT_EXPECT_TRUE_MSG(test, one->unmapped[0],
				      "page %lu was not mapped", i);
		KUNIT_EXPECT_FALSE_MSG(test, one->unmapped[1],
				       "page %lu was unmapped twice", i);
		KUNIT_EXPECT_EQ_MSG(test, one->left, was[i],
				    "entry of page %lu, unmapped", i);
	}
}

/*
 * hmm.h: HMM_PFN_DMA_MAPPED is preserved, so that a page that is asked for
 * again, to be written to this time, is not mapped a second time.
 */
static void mapping_survives_a_fault(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	unsigned long addr = dmirror_user_map_shared(test, NR);
	struct pci_p2pdma_map_state p2p = { };
	struct device *dev = device(test);
	struct hmm_dma_map *map = map_alloc(test, dev);
	dma_addr_t first, second = 0;
	unsigned long entry = 0, other = 0;
	bool unmapped = false;
	int ret;

	dmirror_user_touch(test, addr, NR);
	ret = fault_into(probe, map, addr, HMM_READ);
	first = ret ? 0 : hmm_dma_map_pfn(dev, map, 1, &p2p);
	if (!ret)
		ret = fault_into(probe, map, addr, HMM_WRITE);
	if (!ret) {
		entry = map->pfn_list[1];
		other = map->pfn_list[2];
		second = hmm_dma_map_pfn(dev, map, 1, &p2p);
		unmapped = hmm_dma_unmap_pfn(dev, map, 1);
	}
	hmm_dma_map_free(dev, map);
	DMIRROR_ASSERT_OK(test, ret, "requests");
	KUNIT_EXPECT_EQ_MSG(test, entry & HMM_STICKY,
			    (unsigned long)HMM_PFN_DMA_MAPPED,
			    "sticky flags of the page that is mapped");
	KUNIT_EXPECT_EQ_MSG(test, other & HMM_STICKY, 0UL,
			    "sticky flags of its neighbour");
	KUNIT_EXPECT_TRUE(test, entry & HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, first, (dma_addr_t)hmm_pfn_to_phys(entry));
	KUNIT_EXPECT_EQ(test, second, first);
	KUNIT_EXPECT_TRUE(test, unmapped);
}

/* An entry is unmapped if it is valid and mapped, however it was mapped. */
static void only_what_is_mapped_is_unmapped(struct kunit *test)
{
	static const struct {
		unsigned long flags;
		bool want;
	} rows[] = {
		{ 0, false },
		{ HMM_PFN_VALID, false },
		{ HMM_PFN_DMA_MAPPED, false },
		{ HMM_PFN_VALID | HMM_PFN_P2PDMA, false },
		{ HMM_PFN_VALID | HMM_PFN_P2PDMA_BUS, false },
		{ HMM_PFN_VALID | HMM_PFN_WRITE | HMM_PFN_DMA_MAPPED |
		  HMM_PFN_P2PDMA_BUS, true },
	};
	struct page *page = alloc_page(GFP_KERNEL);
	struct device *dev = device(test);
	struct hmm_dma_map *map;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, page);
	map = map_alloc(test, dev);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned long in = page_to_pfn(page) | rows[i].flags;
		bool got;

		map->pfn_list[2] = in;
		got = hmm_dma_unmap_pfn(dev, map, 2);
		KUNIT_EXPECT_EQ_MSG(test, got, rows[i].want, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, map->pfn_list[2],
				    got ? in & ~HMM_STICKY : in, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, map->pfn_list[1] | map->pfn_list[3],
				    0UL, "neighbours, row %u", i);
	}
	hmm_dma_map_free(dev, map);
	__free_page(page);
}

/* What goes through the host bridge is mapped as MMIO, and unmapped so. */
static void peer_page_by_the_host_bridge_is_unmapped(struct kunit *test)
{
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	unsigned long addr = dmirror_user_map(test, NR, RW);
	struct pci_p2pdma_map_state p2p = { };
	struct device *dev = device(test);
	struct hmm_dma_map *map = map_alloc(test, dev);
	unsigned long left = 0;
	bool unmapped = false;
	int ret;

	ret = fault_into(probe, map, addr, HMM_WRITE);
	if (!ret) {
		hmm_dma_map_pfn(dev, map, 3, &p2p);
		map->pfn_list[3] |= HMM_PFN_P2PDMA;
		unmapped = hmm_dma_unmap_pfn(dev, map, 3);
		left = map->pfn_list[3];
	}
	hmm_dma_map_free(dev, map);
	DMIRROR_ASSERT_OK(test, ret, "write request");
	KUNIT_EXPECT_TRUE(test, unmapped);
	KUNIT_EXPECT_EQ(test, left & HMM_STICKY, 0UL);
}

/*
 * "dma_alloc_iova() allocates IOVA": the device sees the map as one piece, in
 * which each entry has its place. The case stands in for an IOMMU: a page that
 * is mapped already is not touched.
 */
static void entry_has_its_place_in_the_iova(struct kunit *test)
{
	const dma_addr_t base = 0x12340000;
	struct hmm_dma_map map = { .dma_entry_size = PAGE_SIZE };
	struct pci_p2pdma_map_state p2p = { };
	struct device *dev = device(test);
	unsigned long i, in, pfns[NR];

	DMIRROR_REQUIRES_CONFIG(test, IOMMU_DMA);
	in = page_to_pfn(ZERO_PAGE(0)) | HMM_PFN_VALID | HMM_PFN_DMA_MAPPED;
	map.pfn_list = pfns;
	map.state.addr = base;
	map.state.__size = NR * PAGE_SIZE;
	for (i = 0; i < NR; i++) {
		dma_addr_t got;

		pfns[i] = in;
		got = hmm_dma_map_pfn(dev, &map, i, &p2p);
		KUNIT_EXPECT_EQ_MSG(test, got, base + i * PAGE_SIZE,
				    "entry %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, pfns[i], in, "entry %lu", i);
	}
}

#ifdef CONFIG_SWIOTLB

/* Every mapping of the device goes to a bounce buffer, or else fails. */
static struct io_tlb_mem *bounce(struct kunit *test, struct device *dev,
				 struct io_tlb_mem *mem)
{
	struct io_tlb_mem *was = dev->dma_io_tlb_mem;

	dev->dma_io_tlb_mem = mem;

	return was;
}

static void failed_mapping_leaves_no_flag(struct kunit *test)
{
	struct io_tlb_mem *mem = kunit_kzalloc(test, sizeof(*mem), GFP_KERNEL);
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	unsigned long addr = dmirror_user_map(test, NR, RW);
	struct pci_p2pdma_map_state p2p = { };
	struct device *dev = device(test);
	struct hmm_dma_map *map = map_alloc(test, dev);
	struct io_tlb_mem *was;
	unsigned long before, after;
	bool unmapped;
	dma_addr_t got;
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, mem);
	mem->force_bounce = true;
	ret = fault_into(probe, map, addr, HMM_WRITE);
	map->pfn_list[0] |= HMM_PFN_P2PDMA;
	before = map->pfn_list[0];
	was = bounce(test, dev, mem);
	got = hmm_dma_map_pfn(dev, map, 0, &p2p);
	bounce(test, dev, was);
	after = map->pfn_list[0];
	unmapped = hmm_dma_unmap_pfn(dev, map, 0);
	hmm_dma_map_free(dev, map);
	DMIRROR_ASSERT_OK(test, ret, "write request");
	KUNIT_EXPECT_EQ_MSG(test, got, DMA_MAPPING_ERROR, "DMA address");
	KUNIT_EXPECT_EQ_MSG(test, after, before & ~HMM_STICKY,
			    "entry of the page");
	KUNIT_EXPECT_FALSE_MSG(test, unmapped, "unmapped what was not mapped");
}

#else

static void failed_mapping_leaves_no_flag(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_SWIOTLB");
}

#endif /* CONFIG_SWIOTLB */

static struct kunit_case hmm_dma_cases[] = {
	KUNIT_CASE(map_begins_empty),
	KUNIT_CASE(map_without_memory),
	KUNIT_CASE(device_that_needs_bounce_buffers),
	KUNIT_CASE(device_that_needs_syncs),
	KUNIT_CASE(page_is_mapped_and_unmapped_once),
	KUNIT_CASE(mapping_survives_a_fault),
	KUNIT_CASE(only_what_is_mapped_is_unmapped),
	KUNIT_CASE(peer_page_by_the_host_bridge_is_unmapped),
	KUNIT_CASE(entry_has_its_place_in_the_iova),
	KUNIT_CASE(failed_mapping_leaves_no_flag),
	{}
};

DMIRROR_SUITE_AS(hmm_dma, dmirror_case_init_mm, hmm_dma_cases);
