// SPDX-License-Identifier: GPL-2.0
/*
 * What include/linux/hmm.h (HMM_PFN_P2PDMA, HMM_PFN_P2PDMA_BUS), the comments
 * of the hmm_dma_*() functions in mm/hmm.c and Documentation/driver-api/pci/
 * p2pdma.rst promise about memory of a PCI device that other devices reach:
 * hmm_range_fault() finds it, hmm_dma_map_pfn() goes the way that there is, and
 * mm/gup.c keeps it from those who have not asked for it. The device is one
 * without an IOMMU; hmm_iommu has the same cases behind one.
 */
#include <kunit/device.h>
#include <linux/dma-mapping.h>

#include "hmm_probe.h"
#include "peer.h"

#define NR PEER_PAGES

static struct device *client(struct kunit *test)
{
	struct device *dev;

	DMIRROR_REQUIRES_CONFIG(test, HAS_DMA);
	dev = kunit_device_register(test, "hmm_p2pdma");
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(dev),
			       "kunit_device_register: got %pe", dev);
	DMIRROR_ASSERT_OK(test, dma_set_mask_and_coherent(dev,
							  DMA_BIT_MASK(64)),
			  "64 bits of DMA");

	return dev;
}

/*
 * "mm/hmm.c: allow VM_MIXEDMAP to work with hmm_range_fault" (87c01d57fa23):
 * the mapping of a driver that has pages for it, device memory in this case.
 */
static void pages_of_a_peer_are_found(struct kunit *test)
{
	struct peer *peer = peer_get(test);
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	unsigned long i;
	int ret;

	ret = hmm_probe_run(probe, peer->addr, NR, 0);
	DMIRROR_EXPECT_ERRNO(test, ret, 0, "snapshot");
	hmm_probe_expect(test, probe, peer->addr, "----", "before a fault");
	KUNIT_EXPECT_EQ_MSG(test, peer->special->faults, 0U, "faults");

	ret = hmm_probe_run(probe, peer->addr, NR, HMM_WRITE);
	DMIRROR_ASSERT_OK(test, ret, "write request");
	hmm_probe_expect(test, probe, peer->addr, "wwww", "after a request");
	for (i = 0; i < NR; i++) {
		struct page *page = hmm_pfn_to_page(probe->pfns[i]);

		KUNIT_EXPECT_PTR_EQ_MSG(test, page, peer_page(peer, i),
					"page %lu", i);
		KUNIT_EXPECT_TRUE_MSG(test, is_pci_p2pdma_page(page),
				      "page %lu", i);
		KUNIT_EXPECT_TRUE_MSG(test,
				      folio_is_pci_p2pdma(page_folio(page)),
				      "page %lu", i);
	}
	KUNIT_EXPECT_EQ(test, peer->frees, 0U);
	hmm_special_zap(peer->special);
	KUNIT_EXPECT_EQ_MSG(test, peer->frees, (unsigned int)NR,
			    "pages that went back when the mapping did");
}

/* A request for writing of all pages, into a map. */
static int fault_into(struct hmm_probe *probe, struct hmm_dma_map *map,
		      unsigned long addr)
{
	probe->range.hmm_pfns = map->pfn_list;
	probe->range.default_flags = HMM_WRITE;

	return hmm_probe_ask(probe, addr, NR);
}

/*
 * hmm.h: "Bus mapped P2P transfer" has the address on the bus and no mapping
 * that would have to go, what passes the host bridge is mapped, and where there
 * is no way, nothing is.
 */
static void page_goes_the_way_that_there_is(struct kunit *test)
{
	const struct peer_way *way = test->param_value;
	struct peer *peer = peer_get(test);
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	struct device *dev = client(test);
	struct peer_round round[NR];
	struct hmm_dma_map map = { };
	unsigned long i;
	int ret;

	DMIRROR_ASSERT_OK(test, hmm_dma_map_alloc(dev, &map, NR, PAGE_SIZE),
			  "hmm_dma_map_alloc");
	ret = fault_into(probe, &map, peer->addr);
	for (i = 0; i < NR && !ret; i++)
		round[i] = peer_go_round(peer, way, dev, &map, i);
	hmm_dma_map_free(dev, &map);
	DMIRROR_ASSERT_OK(test, ret, "write request");
	for (i = 0; i < NR; i++) {
		peer_expect_round(test, peer, way, &round[i], i);
		if (way->flags)
			KUNIT_EXPECT_EQ_MSG(test, round[i].addr[0],
					    round[i].phys + way->offset,
					    "DMA address of page %lu", i);
	}
}

/* hmm.h: the flags are preserved, so that the unmapping knows the way. */
static void way_survives_a_fault(struct kunit *test)
{
	const struct peer_way *way = test->param_value;
	struct peer *peer = peer_get(test);
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	struct pci_p2pdma_map_state state = peer_state(peer, way);
	struct device *dev = client(test);
	unsigned long before = 0, after = 0, other = 0;
	struct hmm_dma_map map = { };
	bool unmapped = false;
	int ret;

	DMIRROR_ASSERT_OK(test, hmm_dma_map_alloc(dev, &map, NR, PAGE_SIZE),
			  "hmm_dma_map_alloc");
	ret = fault_into(probe, &map, peer->addr);
	if (!ret) {
		hmm_dma_map_pfn(dev, &map, 1, &state);
		before = map.pfn_list[1];
		ret = fault_into(probe, &map, peer->addr);
		after = map.pfn_list[1];
		other = map.pfn_list[2];
		unmapped = hmm_dma_unmap_pfn(dev, &map, 1);
	}
	hmm_dma_map_free(dev, &map);
	DMIRROR_ASSERT_OK(test, ret, "requests");
	KUNIT_EXPECT_EQ_MSG(test, after & HMM_STICKY, way->flags,
			    "sticky flags of page 1");
	KUNIT_EXPECT_EQ_MSG(test, after, before, "entry of page 1");
	KUNIT_EXPECT_EQ_MSG(test, other & HMM_STICKY, 0UL,
			    "sticky flags of page 2, which is not mapped");
	KUNIT_EXPECT_EQ_MSG(test, unmapped, way->flags != 0,
			    "page 1 was mapped");
}

/* A page of RAM in between needs no way, and does not change what is known. */
static void page_of_ram_goes_no_way(struct kunit *test)
{
	const struct peer_way *way = test->param_value;
	struct peer *peer = peer_get(test);
	struct pci_p2pdma_map_state state = peer_state(peer, way);
	struct pci_p2pdma_map_state was = state;
	struct device *dev = client(test);
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned long in, out;
	struct hmm_dma_map map = { };
	bool unmapped;
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, page);
	ret = hmm_dma_map_alloc(dev, &map, NR, PAGE_SIZE);
	if (ret)
		__free_page(page);
	DMIRROR_ASSERT_OK(test, ret, "hmm_dma_map_alloc");
	in = page_to_pfn(page) | HMM_PFN_VALID | HMM_PFN_WRITE;
	map.pfn_list[0] = in;
	hmm_dma_map_pfn(dev, &map, 0, &state);
	out = map.pfn_list[0];
	unmapped = hmm_dma_unmap_pfn(dev, &map, 0);
	hmm_dma_map_free(dev, &map);
	__free_page(page);
	KUNIT_EXPECT_EQ_MSG(test, out, in | HMM_PFN_DMA_MAPPED, "entry");
	KUNIT_EXPECT_TRUE(test, unmapped);
	KUNIT_EXPECT_PTR_EQ(test, state.mem, was.mem);
	KUNIT_EXPECT_EQ(test, (int)state.map, (int)was.map);
}

/* p2pdma.rst: FOLL_PCI_P2PDMA is for those who know what they may not do. */
static void gup_needs_to_be_asked(struct kunit *test)
{
	struct peer *peer = peer_get(test);
	struct page *pages[NR] = { };
	unsigned long i;
	long got[2];

	got[0] = get_user_pages_unlocked(peer->addr, NR, pages, FOLL_WRITE);
	for (i = 0; got[0] > 0 && i < got[0]; i++)
		put_page(pages[i]);
	got[1] = get_user_pages_unlocked(peer->addr, NR, pages,
					 FOLL_WRITE | FOLL_PCI_P2PDMA);
	for (i = 0; got[1] > 0 && i < got[1]; i++)
		put_page(pages[i]);
	DMIRROR_EXPECT_ERRNO(test, got[0], -EREMOTEIO, "without the flag");
	KUNIT_ASSERT_EQ_MSG(test, got[1], (long)NR, "pages with the flag");
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_PTR_EQ_MSG(test, pages[i], peer_page(peer, i),
					"page %lu", i);
	KUNIT_EXPECT_EQ_MSG(test, peer->frees, 0U,
			    "pages that went though they are mapped");
}

static struct kunit_case hmm_p2pdma_cases[] = {
	KUNIT_CASE(pages_of_a_peer_are_found),
	KUNIT_CASE_PARAM(page_goes_the_way_that_there_is, peer_way_gen_params),
	KUNIT_CASE_PARAM(way_survives_a_fault, peer_way_gen_params),
	KUNIT_CASE_PARAM(page_of_ram_goes_no_way, peer_way_gen_params),
	KUNIT_CASE(gup_needs_to_be_asked),
	{}
};

DMIRROR_SUITE_AS(hmm_p2pdma, dmirror_case_init_mm, hmm_p2pdma_cases);
