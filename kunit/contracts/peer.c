// SPDX-License-Identifier: GPL-2.0
#include "peer.h"

#include <kunit/resource.h>
#include <linux/dma-mapping.h>
#include <linux/mman.h>
#include <linux/pci.h>
#include <linux/topology.h>

#include "hmm_probe.h"

/* Mapped at all, by which way ever. */
#define MAPPED ((unsigned long)HMM_PFN_DMA_MAPPED)

const struct peer_way peer_ways[PEER_WAYS] = {
	{ "bus_address", PCI_P2PDMA_MAP_BUS_ADDR, true,
	  MAPPED | HMM_PFN_P2PDMA_BUS, PEER_BUS_OFFSET },
	{ "host_bridge", PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, true,
	  MAPPED | HMM_PFN_P2PDMA },
	{ "no_way", PCI_P2PDMA_MAP_NOT_SUPPORTED, true },
	/* The device of the case is none of PCI, so no other has a way to it. */
	{ "no_way_is_found", PCI_P2PDMA_MAP_NOT_SUPPORTED, false },
};

static void peer_way_desc(const struct peer_way *way, char *desc)
{
	strscpy(desc, way->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(way, peer_ways, peer_way_desc);

const void *peer_way_gen_params(struct kunit *test, const void *prev,
				char *desc)
{
	return way_gen_params(test, prev, desc);
}

static void peer_folio_free(struct folio *folio)
{
	struct peer *peer = container_of(folio->pgmap, struct peer, pagemap);

	peer->frees++;
}

static const struct dev_pagemap_ops peer_ops = {
	.folio_free = peer_folio_free,
};

struct page *peer_page(const struct peer *peer, unsigned long at)
{
	return pfn_to_page(PHYS_PFN(peer->start) + at);
}

/* The reference that is left is the mapping's. */
static vm_fault_t peer_fault(struct hmm_special *special, struct vm_fault *vmf)
{
	struct page *page = peer_page(special->data, vmf->pgoff);
	int ret;

	set_page_count(page, 1);
	ret = vm_insert_page(vmf->vma, vmf->address, page);
	put_page(page);

	return ret ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
}

static void peer_unmap(void *pagemap)
{
	memunmap_pages(pagemap);
}

/* The mm of the case goes later than the memory. */
static void peer_zap(void *special)
{
	hmm_special_zap(special);
}

static void peer_add(struct kunit *test, struct peer *peer)
{
	struct mem *place = mem_new(test, MEMORY_DEVICE_PCI_P2PDMA, 1);
	void *addr;

	peer->start = place->start;
	peer->provider = &peer->bus;
	peer->bus.bus_offset = PEER_BUS_OFFSET;
	peer->pagemap.type = MEMORY_DEVICE_PCI_P2PDMA;
	peer->pagemap.ops = &peer_ops;
	peer->pagemap.nr_range = 1;
	peer->pagemap.range = mem_range(place, 0, 1);
	addr = memremap_pages(&peer->pagemap, numa_node_id());
	DMIRROR_ASSERT_OK(test, PTR_ERR_OR_ZERO(addr), "memremap_pages");
	DMIRROR_ASSERT_OK(test,
			  kunit_add_action_or_reset(test, peer_unmap,
						    &peer->pagemap),
			  "action");
}

struct peer *peer_get(struct kunit *test)
{
	struct pci_dev *pdev;
	struct peer *peer;

	DMIRROR_REQUIRES_CONFIG(test, PCI_P2PDMA);
	peer = kunit_kzalloc(test, sizeof(*peer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, peer);
	/* Nobody but a search for a way looks at it, and finds none. */
	pdev = kunit_kzalloc(test, sizeof(*pdev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pdev);
	peer->bus.owner = &pdev->dev;
	peer_add(test, peer);

	peer->special = hmm_special_get(test);
	peer->special->flags = VM_MIXEDMAP;
	peer->special->fault = peer_fault;
	peer->special->data = peer;
	peer->addr = hmm_special_map(test, peer->special, 0, PEER_PAGES,
				     PROT_READ | PROT_WRITE);
	DMIRROR_ASSERT_OK(test,
			  kunit_add_action_or_reset(test, peer_zap,
						    peer->special),
			  "action");

	return peer;
}

struct pci_p2pdma_map_state peer_state(struct peer *peer,
				       const struct peer_way *way)
{
	struct pci_p2pdma_map_state state = { };

	if (way->known) {
		state.mem = &peer->bus;
		state.map = way->map;
	}

	return state;
}

struct peer_round peer_go_round(struct peer *peer, const struct peer_way *way,
				struct device *dev, struct hmm_dma_map *map,
				unsigned long idx)
{
	unsigned long *entry = &map->pfn_list[idx];
	struct peer_round round = {
		.phys = hmm_pfn_to_phys(*entry),
		.was = *entry,
		.state = peer_state(peer, way),
	};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		round.addr[i] = hmm_dma_map_pfn(dev, map, idx, &round.state);
		round.entry[i] = *entry;
	}
	for (i = 0; i < 2; i++)
		round.unmapped[i] = hmm_dma_unmap_pfn(dev, map, idx);
	round.left = *entry;

	return round;
}

void peer_expect_round(struct kunit *test, const struct peer *peer,
		       const struct peer_way *way,
		       const struct peer_round *round, unsigned long idx)
{
	unsigned int i;

	KUNIT_EXPECT_EQ_MSG(test, round->phys,
			    page_to_phys(peer_page(peer, idx)),
			    "page %lu, as hmm_range_fault() has it", idx);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ_MSG(test, round->entry[i],
				    round->was | way->flags,
				    "entry of page %lu, mapping %u", idx, i);
	KUNIT_EXPECT_EQ_MSG(test, round->addr[1], round->addr[0],
			    "DMA address of page %lu, mapped again", idx);
	KUNIT_EXPECT_EQ_MSG(test, round->addr[0] == DMA_MAPPING_ERROR,
			    way->flags == 0, "page %lu, no address", idx);
	KUNIT_EXPECT_EQ_MSG(test, round->unmapped[0], way->flags != 0,
			    "page %lu was mapped", idx);
	KUNIT_EXPECT_FALSE_MSG(test, round->unmapped[1],
			       "page %lu was unmapped twice", idx);
	KUNIT_EXPECT_EQ_MSG(test, round->left, round->was,
			    "entry of page %lu, unmapped", idx);
	KUNIT_EXPECT_PTR_EQ_MSG(test, round->state.mem, peer->provider,
				"whose page %lu is", idx);
	KUNIT_EXPECT_EQ_MSG(test, (int)round->state.map, (int)way->map,
			    "way to page %lu", idx);
}
