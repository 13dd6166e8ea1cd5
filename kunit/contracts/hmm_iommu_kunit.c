// SPDX-License-Identifier: GPL-2.0
/*
 * What hmm_dma is about: the answer of hmm_range_fault() behind an IOMMU. From
 * include/linux/hmm-dma.h, the comments of the hmm_dma_*() functions in
 * mm/hmm.c and Documentation/core-api/dma-api.rst (dma_iova_*()). The IOMMU is
 * a table of the suite's own, registered with the IOMMU core for one platform
 * device, so everything between mm/hmm.c and the table is the kernel's.
 */
#include <kunit/platform_device.h>
#include <kunit/resource.h>
#include <linux/dma-mapping.h>
#include <linux/hmm-dma.h>
#include <linux/iommu.h>
#include <linux/mman.h>
#include <linux/pci-p2pdma.h>
#include <linux/platform_device.h>

#include "hmm_probe.h"
#include "peer.h"

#define RW (PROT_READ | PROT_WRITE)

#define NR 4UL

/* Pages of the I/O address space; the first one is never used. */
#define IOVA_PAGES 256UL

/* So few that there are NR pages, but not NR in one piece at their place. */
#define IOVA_PAGES_SHORT (NR + 2)

#if IS_ENABLED(CONFIG_IOMMU_DMA)

/**
 * struct table - the IOMMU
 * @core: what the IOMMU core knows of it
 * @dev: the one device behind it
 * @npages: pages of its I/O address space
 * @to: where each of them leads to, 0 for nowhere
 * @prot: IOMMU_* of each
 * @maps: calls of map_pages()
 * @unmaps: calls of unmap_pages()
 * @map_error: what map_pages() returns
 * @sync_error: what iotlb_sync_map() returns
 */
static struct table {
	struct iommu_device core;
	struct device *dev;
	unsigned long npages;
	phys_addr_t to[IOVA_PAGES];
	int prot[IOVA_PAGES];
	unsigned int maps;
	unsigned int unmaps;
	int map_error;
	int sync_error;
} table;

static int table_attach(struct iommu_domain *domain, struct device *dev,
			struct iommu_domain *old)
{
	return 0;
}

static int table_map(struct iommu_domain *domain, unsigned long iova,
		     phys_addr_t paddr, size_t pgsize, size_t pgcount, int prot,
		     gfp_t gfp, size_t *mapped)
{
	unsigned long at = iova / PAGE_SIZE, i;

	table.maps++;
	if (table.map_error)
		return table.map_error;
	if (pgsize != PAGE_SIZE || at + pgcount > table.npages)
		return -ERANGE;
	for (i = 0; i < pgcount; i++) {
		if (table.to[at + i])
			return -EADDRINUSE;
		table.to[at + i] = paddr + i * PAGE_SIZE;
		table.prot[at + i] = prot;
		*mapped += PAGE_SIZE;
	}

	return 0;
}

static size_t table_unmap(struct iommu_domain *domain, unsigned long iova,
			  size_t pgsize, size_t pgcount,
			  struct iommu_iotlb_gather *gather)
{
	unsigned long at = iova / PAGE_SIZE, i;

	table.unmaps++;
	if (pgsize != PAGE_SIZE || at + pgcount > table.npages)
		return 0;
	for (i = 0; i < pgcount; i++)
		table.to[at + i] = 0;

	return pgcount * PAGE_SIZE;
}

static int table_sync_map(struct iommu_domain *domain, unsigned long iova,
			  size_t size)
{
	return table.sync_error;
}

static phys_addr_t table_lookup(struct iommu_domain *domain, dma_addr_t iova)
{
	unsigned long at = iova / PAGE_SIZE;

	if (at >= table.npages || !table.to[at])
		return 0;

	return table.to[at] + offset_in_page(iova);
}

static void table_free(struct iommu_domain *domain)
{
	kfree(domain);
}

static const struct iommu_domain_ops table_domain_ops = {
	.attach_dev = table_attach,
	.map_pages = table_map,
	.unmap_pages = table_unmap,
	.iotlb_sync_map = table_sync_map,
	.iova_to_phys = table_lookup,
	.free = table_free,
};

static struct iommu_domain *table_domain(struct device *dev)
{
	struct iommu_domain *domain = kzalloc_obj(*domain);

	if (!domain)
		return NULL;
	domain->pgsize_bitmap = PAGE_SIZE;
	domain->geometry.aperture_end = table.npages * PAGE_SIZE - 1;
	domain->geometry.force_aperture = true;

	return domain;
}

/* Asked about every platform device that there is. */
static struct iommu_device *table_probe(struct device *dev)
{
	return dev == table.dev ? &table.core : ERR_PTR(-ENODEV);
}

static const struct iommu_ops table_ops = {
	.domain_alloc_paging = table_domain,
	.probe_device = table_probe,
	.device_group = generic_device_group,
	.default_domain_ops = &table_domain_ops,
	.owner = THIS_MODULE,
};

static void table_sysfs_remove(void *core)
{
	iommu_device_sysfs_remove(core);
}

static void table_unregister(void *core)
{
	iommu_device_unregister(core);
}

static unsigned long table_used(void)
{
	unsigned long i, used = 0;

	for (i = 0; i < table.npages; i++)
		used += table.to[i] != 0;

	return used;
}

/* A device behind the table, which is empty. */
static struct device *behind_table(struct kunit *test, unsigned long npages)
{
	struct platform_device *pdev;
	int ret;

	table = (struct table){ .npages = npages };
	ret = iommu_device_sysfs_add(&table.core, NULL, NULL, "hmm_iommu");
	DMIRROR_ASSERT_OK(test, ret, "iommu_device_sysfs_add");
	ret = kunit_add_action_or_reset(test, table_sysfs_remove, &table.core);
	DMIRROR_ASSERT_OK(test, ret, "action");
	ret = iommu_device_register(&table.core, &table_ops, NULL);
	DMIRROR_ASSERT_OK(test, ret, "iommu_device_register");
	ret = kunit_add_action_or_reset(test, table_unregister, &table.core);
	DMIRROR_ASSERT_OK(test, ret, "action");

	pdev = kunit_platform_device_alloc(test, "hmm_iommu",
					   PLATFORM_DEVID_NONE);
	KUNIT_ASSERT_NOT_NULL(test, pdev);
	table.dev = &pdev->dev;
	DMIRROR_ASSERT_OK(test, kunit_platform_device_add(test, pdev),
			  "platform device");
	KUNIT_ASSERT_TRUE_MSG(test, device_iommu_mapped(&pdev->dev),
			      "the device is behind the table");
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	DMIRROR_ASSERT_OK(test, ret, "64 bits of DMA");

	return &pdev->dev;
}

/**
 * struct bench - an area of the case and a map of it
 * @dev: the device
 * @map: the map, which bench_end() frees
 * @phys: the pages
 */
struct bench {
	struct device *dev;
	struct hmm_dma_map map;
	phys_addr_t phys[NR];
};

/* Until bench_end() the case must not assert. */
static struct bench bench_get_at(struct kunit *test, unsigned long npages,
				 unsigned long addr)
{
	struct hmm_probe *probe = hmm_probe_get(test, NR);
	struct bench bench = { .dev = behind_table(test, npages) };
	unsigned long i;
	struct hmm_dma_map *map = &bench.map;
	int ret;

	DMIRROR_ASSERT_OK(test, hmm_dma_map_alloc(bench.dev, map, NR,
						  PAGE_SIZE),
			  "hmm_dma_map_alloc");
	probe->range.hmm_pfns = map->pfn_list;
	probe->range.default_flags = HMM_WRITE;
	ret = hmm_probe_ask(probe, addr, NR);
	if (ret)
		hmm_dma_map_free(bench.dev, map);
	DMIRROR_ASSERT_OK(test, ret, "write request");
	for (i = 0; i < NR; i++)
		bench.phys[i] = hmm_pfn_to_phys(map->pfn_list[i]);

	return bench;
}

static struct bench bench_get(struct kunit *test, unsigned long npages)
{
	return bench_get_at(test, npages, dmirror_user_map(test, NR, RW));
}

static void bench_end(struct bench *bench)
{
	hmm_dma_map_free(bench->dev, &bench->map);
}

/**
 * struct round - what was seen of a page that was mapped, mapped again,
 * unmapped and unmapped again
 * @addr: DMA address of each mapping
 * @maps: calls of map_pages() so far, after each
 * @to: where the address led to, after each
 * @prot: what may be done there
 * @unmapped: what the unmappings returned
 * @left: where the address led to afterwards
 * @entry: of the page afterwards
 */
struct round {
	dma_addr_t addr[2];
	unsigned int maps[2];
	phys_addr_t to[2];
	int prot;
	bool unmapped[2];
	phys_addr_t left;
	unsigned long entry;
};

static struct round go_round(struct bench *bench, unsigned long i)
{
	struct pci_p2pdma_map_state p2p = { };
	struct round round;
	unsigned int n;

	for (n = 0; n < 2; n++) {
		round.addr[n] = hmm_dma_map_pfn(bench->dev, &bench->map, i,
						&p2p);
		round.maps[n] = table.maps;
		round.to[n] = table_lookup(NULL, round.addr[n]);
	}
	n = min(round.addr[0] / PAGE_SIZE, IOVA_PAGES - 1);
	round.prot = table.prot[n];
	for (n = 0; n < 2; n++)
		round.unmapped[n] = hmm_dma_unmap_pfn(bench->dev, &bench->map,
						      i);
	round.left = table_lookup(NULL, round.addr[0]);
	round.entry = bench->map.pfn_list[i];

	return round;
}

static void expect_round(struct kunit *test, const struct bench *bench,
			 const struct round *round, unsigned long i)
{
	KUNIT_EXPECT_EQ_MSG(test, round->to[0], bench->phys[i],
			    "where the address of page %lu, 0x%llx, leads to",
			    i, (u64)round->addr[0]);
	KUNIT_EXPECT_EQ_MSG(test, round->prot & (IOMMU_READ | IOMMU_WRITE),
			    IOMMU_READ | IOMMU_WRITE, "page %lu", i);
	KUNIT_EXPECT_EQ_MSG(test, round->addr[1], round->addr[0],
			    "mapped again: page %lu", i);
	KUNIT_EXPECT_EQ_MSG(test, round->maps[1], round->maps[0],
			    "mapped again: page %lu", i);
	KUNIT_EXPECT_TRUE_MSG(test, round->unmapped[0],
			      "page %lu was not mapped", i);
	KUNIT_EXPECT_FALSE_MSG(test, round->unmapped[1],
			       "page %lu was unmapped twice", i);
	KUNIT_EXPECT_EQ_MSG(test, round->left, (phys_addr_t)0,
			    "where page %lu leads to, unmapped", i);
	KUNIT_EXPECT_EQ_MSG(test, round->entry & HMM_STICKY, 0UL,
			    "sticky flags of page %lu, unmapped", i);
}

/* "dma_alloc_iova() allocates IOVA": one piece, each entry at its place. */
static void map_is_one_piece_of_iova(struct kunit *test)
{
	struct bench bench = bench_get(test, IOVA_PAGES);
	dma_addr_t base = bench.map.state.addr;
	bool list = bench.map.dma_list;
	struct round round[NR];
	unsigned long i, used;

	for (i = 0; i < NR; i++)
		round[i] = go_round(&bench, i);
	used = table_used();
	bench_end(&bench);
	KUNIT_EXPECT_NE(test, base, (dma_addr_t)0);
	KUNIT_EXPECT_FALSE_MSG(test, list, "a list of addresses");
	KUNIT_EXPECT_EQ_MSG(test, used, 0UL, "pages of IOVA in use");
	for (i = 0; i < NR; i++) {
		KUNIT_EXPECT_EQ_MSG(test, round[i].addr[0],
				    base + i * PAGE_SIZE, "page %lu", i);
		expect_round(test, &bench, &round[i], i);
	}
}

/* More than the I/O address space has, one after the other. */
static void iova_is_given_back(struct kunit *test)
{
	struct device *dev = behind_table(test, IOVA_PAGES);
	unsigned long i, nr = IOVA_PAGES / 4, short_of = 0;

	for (i = 0; i < 16; i++) {
		struct hmm_dma_map map = { };
		int ret = hmm_dma_map_alloc(dev, &map, nr, PAGE_SIZE);

		DMIRROR_ASSERT_OK(test, ret, "hmm_dma_map_alloc");
		short_of += map.state.addr == 0;
		hmm_dma_map_free(dev, &map);
	}
	KUNIT_EXPECT_EQ_MSG(test, short_of, 0UL, "maps without IOVA");
}

/* No room in one piece: each page has an address, and the map keeps it. */
static void addresses_are_kept_without_iova(struct kunit *test)
{
	struct bench bench = bench_get(test, IOVA_PAGES_SHORT);
	dma_addr_t base = bench.map.state.addr, kept[NR] = { };
	bool list = bench.map.dma_list;
	struct round round[NR];
	unsigned long i, used;

	for (i = 0; i < NR; i++) {
		round[i] = go_round(&bench, i);
		if (list)
			kept[i] = bench.map.dma_list[i];
	}
	used = table_used();
	bench_end(&bench);
	KUNIT_ASSERT_EQ_MSG(test, base, (dma_addr_t)0, "IOVA in one piece");
	KUNIT_ASSERT_TRUE_MSG(test, list, "a list of addresses");
	KUNIT_EXPECT_EQ_MSG(test, used, 0UL, "pages of IOVA in use");
	for (i = 0; i < NR; i++) {
		KUNIT_EXPECT_EQ_MSG(test, kept[i], round[i].addr[0],
				    "page %lu", i);
		expect_round(test, &bench, &round[i], i);
	}
}

/**
 * struct fault_row - an IOMMU that fails
 * @name: in the case's name
 * @npages: of its I/O address space
 * @map_error: what map_pages() returns
 * @sync_error: what iotlb_sync_map() returns
 */
struct fault_row {
	const char *name;
	unsigned long npages;
	int map_error;
	int sync_error;
};

static const struct fault_row fault_rows[] = {
	{ "link", IOVA_PAGES, .map_error = -ENOMEM },
	{ "sync", IOVA_PAGES, .sync_error = -EIO },
	{ "page_alone", IOVA_PAGES_SHORT, .map_error = -ENOMEM },
};

/* The device reaches nothing then, and nothing is left of the attempt. */
static void failed_mapping_is_undone(struct kunit *test)
{
	const struct fault_row *row = test->param_value;
	struct bench bench = bench_get(test, row->npages);
	struct pci_p2pdma_map_state p2p = { };
	unsigned long *entry = &bench.map.pfn_list[1];
	unsigned long before, after, used;
	unsigned int maps;
	dma_addr_t got;
	bool unmapped;
	struct round round;

	*entry |= HMM_PFN_P2PDMA;
	before = *entry;
	table.map_error = row->map_error;
	table.sync_error = row->sync_error;
	got = hmm_dma_map_pfn(bench.dev, &bench.map, 1, &p2p);
	table.map_error = 0;
	table.sync_error = 0;
	maps = table.maps;
	after = *entry;
	used = table_used();
	unmapped = hmm_dma_unmap_pfn(bench.dev, &bench.map, 1);
	round = go_round(&bench, 1);
	bench_end(&bench);
	KUNIT_EXPECT_EQ_MSG(test, got, DMA_MAPPING_ERROR, "DMA address");
	KUNIT_EXPECT_EQ_MSG(test, maps, 1U, "attempts");
	KUNIT_EXPECT_EQ_MSG(test, after, before & ~HMM_STICKY, "entry");
	KUNIT_EXPECT_EQ_MSG(test, used, 0UL, "pages of IOVA in use");
	KUNIT_EXPECT_FALSE_MSG(test, unmapped, "unmapped what was not mapped");
	expect_round(test, &bench, &round, 1);
}

/* How often an address on the way to a peer was put into the table. */
static unsigned int table_rounds(const struct peer_way *way)
{
	return way->map == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
}

/*
 * hmm.h: what passes the host bridge is memory of a device to the IOMMU, and
 * leaves it again. A transfer on the bus does not come by, so that there is
 * nothing to be mapped or unmapped.
 */
static void peer_page_goes_its_way(struct kunit *test)
{
	const struct peer_way *way = test->param_value;
	struct peer *peer = peer_get(test);
	struct bench bench = bench_get_at(test, IOVA_PAGES, peer->addr);
	dma_addr_t base = bench.map.state.addr;
	struct peer_round round[NR];
	unsigned int maps, unmaps;
	unsigned long i, used;
	int prot[NR];

	for (i = 0; i < NR; i++) {
		round[i] = peer_go_round(peer, way, bench.dev, &bench.map, i);
		prot[i] = table.prot[base / PAGE_SIZE + i];
	}
	maps = table.maps;
	unmaps = table.unmaps;
	used = table_used();
	bench_end(&bench);
	KUNIT_EXPECT_EQ_MSG(test, maps, NR * table_rounds(way), "mappings");
	KUNIT_EXPECT_EQ_MSG(test, unmaps, NR * table_rounds(way), "unmappings");
	KUNIT_EXPECT_EQ_MSG(test, used, 0UL, "pages of IOVA in use");
	for (i = 0; i < NR; i++) {
		peer_expect_round(test, peer, way, &round[i], i);
		if (table_rounds(way)) {
			KUNIT_EXPECT_EQ_MSG(test, round[i].addr[0],
					    base + i * PAGE_SIZE, "page %lu",
					    i);
			KUNIT_EXPECT_TRUE_MSG(test, prot[i] & IOMMU_MMIO,
					      "page %lu is no RAM", i);
		} else if (way->flags) {
			KUNIT_EXPECT_EQ_MSG(test, round[i].addr[0],
					    round[i].phys + way->offset,
					    "DMA address of page %lu", i);
		}
	}
}

/* An IOMMU that fails leaves no flag of a peer in the entry either. */
static void failed_mapping_of_a_peer_is_undone(struct kunit *test)
{
	const struct peer_way *way = &peer_ways[1];
	struct peer *peer = peer_get(test);
	struct bench bench = bench_get_at(test, IOVA_PAGES, peer->addr);
	struct pci_p2pdma_map_state state = peer_state(peer, way);
	unsigned long *entry = &bench.map.pfn_list[1], was = *entry, after;
	struct peer_round round;
	dma_addr_t got;

	table.map_error = -ENOMEM;
	got = hmm_dma_map_pfn(bench.dev, &bench.map, 1, &state);
	table.map_error = 0;
	after = *entry;
	round = peer_go_round(peer, way, bench.dev, &bench.map, 1);
	bench_end(&bench);
	KUNIT_EXPECT_EQ_MSG(test, got, DMA_MAPPING_ERROR, "DMA address");
	KUNIT_EXPECT_EQ_MSG(test, after, was, "entry of page 1");
	peer_expect_round(test, peer, way, &round, 1);
}

/* What is no peer's is RAM to the IOMMU. */
static void page_of_ram_is_no_mmio(struct kunit *test)
{
	struct bench bench = bench_get(test, IOVA_PAGES);
	struct round round = go_round(&bench, 2);

	bench_end(&bench);
	expect_round(test, &bench, &round, 2);
	KUNIT_EXPECT_FALSE_MSG(test, round.prot & IOMMU_MMIO, "page 2 is RAM");
}

#else /* !CONFIG_IOMMU_DMA */

struct fault_row {
	const char *name;
};

static const struct fault_row fault_rows[] = {
	{ "link" }, { "sync" }, { "page_alone" },
};

static void map_is_one_piece_of_iova(struct kunit *test)
{
	DMIRROR_REQUIRES_CONFIG(test, IOMMU_DMA);
}

static void iova_is_given_back(struct kunit *test)
{
	DMIRROR_REQUIRES_CONFIG(test, IOMMU_DMA);
}

static void addresses_are_kept_without_iova(struct kunit *test)
{
	DMIRROR_REQUIRES_CONFIG(test, IOMMU_DMA);
}

static void failed_mapping_is_undone(struct kunit *test)
{
	DMIRROR_REQUIRES_CONFIG(test, IOMMU_DMA);
}

static void peer_page_goes_its_way(struct kunit *test)
{
	DMIRROR_REQUIRES_CONFIG(test, IOMMU_DMA);
}

static void failed_mapping_of_a_peer_is_undone(struct kunit *test)
{
	DMIRROR_REQUIRES_CONFIG(test, IOMMU_DMA);
}

static void page_of_ram_is_no_mmio(struct kunit *test)
{
	DMIRROR_REQUIRES_CONFIG(test, IOMMU_DMA);
}

#endif /* CONFIG_IOMMU_DMA */

KUNIT_ARRAY_PARAM_DESC(fault_row, fault_rows, name);

static struct kunit_case hmm_iommu_cases[] = {
	KUNIT_CASE(map_is_one_piece_of_iova),
	KUNIT_CASE(iova_is_given_back),
	KUNIT_CASE(addresses_are_kept_without_iova),
	KUNIT_CASE_PARAM(failed_mapping_is_undone, fault_row_gen_params),
	KUNIT_CASE_PARAM(peer_page_goes_its_way, peer_way_gen_params),
	KUNIT_CASE(failed_mapping_of_a_peer_is_undone),
	KUNIT_CASE(page_of_ram_is_no_mmio),
	{}
};

DMIRROR_SUITE_AS(hmm_iommu, dmirror_case_init_mm, hmm_iommu_cases);
