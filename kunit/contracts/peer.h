/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory of a PCI device that others may reach by DMA, without the PCI device:
 * what mm/hmm.c and drivers/pci/p2pdma.c look at is a pagemap of that type and
 * what the caller already knows about the way to it, and a case can make both.
 * A process has the pages by a mapping of a file, as p2pmem_alloc_mmap() makes
 * it.
 */
#ifndef CONTRACTS_PEER_H
#define CONTRACTS_PEER_H

#include <linux/hmm-dma.h>
#include <linux/memremap.h>
#include <linux/pci-p2pdma.h>

#include "hmm_special.h"
#include "mem.h"

/* Pages of the mapping. */
#define PEER_PAGES 4UL

/* How far the address on the bus is from that of the CPU. */
#define PEER_BUS_OFFSET 0x7700000000ULL

/**
 * struct peer - the memory
 * @pagemap: its pagemap
 * @provider: what the pagemap belongs to. drivers/pci/p2pdma.c goes from a
 *	pagemap to its provider by a struct pci_p2pdma_pagemap of its own, in
 *	which they have these two places; so it is in 7.2 and in 7.3
 * @bus: the provider
 * @special: the mapping
 * @addr: its address
 * @start: first address of the memory
 * @frees: pages that have gone back
 */
struct peer {
	struct dev_pagemap pagemap;
	struct p2pdma_provider *provider;
	struct p2pdma_provider bus;
	struct hmm_special *special;
	unsigned long addr;
	u64 start;
	unsigned int frees;
};

/**
 * peer_get - make memory of a peer, and map PEER_PAGES of it
 * @test: the case, at whose end the mapping is emptied
 *
 * Skips the case where the kernel has no such memory, or its command line left
 * none. Asserts that it works.
 *
 * Return: the memory.
 */
struct peer *peer_get(struct kunit *test);

/**
 * peer_page - a page of the mapping
 * @peer: the memory
 * @at: which one
 *
 * Return: the page.
 */
struct page *peer_page(const struct peer *peer, unsigned long at);

/**
 * struct peer_way - a way to a peer, and what hmm_dma_map_pfn() makes of it
 * @name: in the case's name
 * @map: the way
 * @known: the caller knows it; else drivers/pci/p2pdma.c is asked
 * @flags: what the entry gets
 * @offset: from the CPU's address to the device's, on a device without IOMMU
 */
struct peer_way {
	const char *name;
	enum pci_p2pdma_map_type map;
	bool known;
	unsigned long flags;
	u64 offset;
};

#define PEER_WAYS 4
extern const struct peer_way peer_ways[PEER_WAYS];

/**
 * peer_way_gen_params - the ways as parameters
 * @test: the case
 * @prev: the last one, or NULL
 * @desc: room for its name
 *
 * Return: the next one, or NULL.
 */
const void *peer_way_gen_params(struct kunit *test, const void *prev,
				char *desc);

/**
 * struct peer_round - what was seen of a page that was mapped twice, and
 * unmapped twice
 * @phys: where the CPU has the page
 * @was: its entry before
 * @addr: the DMA address of each mapping
 * @entry: the entry after each
 * @unmapped: what each unmapping returned
 * @left: the entry afterwards
 * @state: what the caller knows at the end
 */
struct peer_round {
	phys_addr_t phys;
	unsigned long was;
	dma_addr_t addr[2];
	unsigned long entry[2];
	bool unmapped[2];
	unsigned long left;
	struct pci_p2pdma_map_state state;
};

/**
 * peer_state - what a caller knows before the first page
 * @peer: the memory
 * @way: the way to it
 *
 * Return: the state.
 */
struct pci_p2pdma_map_state peer_state(struct peer *peer,
				       const struct peer_way *way);

/**
 * peer_go_round - map a page twice, and unmap it twice
 * @peer: the memory
 * @way: the way to it
 * @dev: the device that wants it
 * @map: what hmm_range_fault() filled in
 * @idx: which entry
 *
 * Checks nothing.
 *
 * Return: what was seen.
 */
struct peer_round peer_go_round(struct peer *peer, const struct peer_way *way,
				struct device *dev, struct hmm_dma_map *map,
				unsigned long idx);

/**
 * peer_expect_round - everything but the address, which the device decides
 * @test: the case
 * @peer: the memory
 * @way: the way to it
 * @round: what was seen
 * @idx: of which page
 */
void peer_expect_round(struct kunit *test, const struct peer *peer,
		       const struct peer_way *way,
		       const struct peer_round *round, unsigned long idx);

#endif /* CONTRACTS_PEER_H */
