// SPDX-License-Identifier: GPL-2.0
#include "mem.h"

#include <kunit/resource.h>
#include <linux/cpumask.h>
#include <linux/ioport.h>
#include <linux/slab.h>
#include <linux/percpu.h>
#include <linux/percpu-refcount.h>
#include <linux/topology.h>

#include "toy.h"

const struct mem_type mem_types[MEM_TYPES] = {
	{ "private", MEMORY_DEVICE_PRIVATE, 0, true },
	{ "coherent", MEMORY_DEVICE_COHERENT, 0, true },
	{ "fs_dax", MEMORY_DEVICE_FS_DAX, 0, false },
	{ "generic", MEMORY_DEVICE_GENERIC, 1, false },
	{ "pci_p2pdma", MEMORY_DEVICE_PCI_P2PDMA, 0, false },
};

static void mem_folio_free(struct folio *folio)
{
	struct mem *mem = folio->pgmap->owner;

	mem->frees++;
	mem->freed = folio;
	mem->freed_order = folio_order(folio);
	mem->freed_count = folio_ref_count(folio);
	mem->freed_mapping = folio->mapping;
	mem->freed_exclusive = toy_exclusive(folio);
	if (mem->heir) {
		zone_device_folio_init(folio, &mem->heir->pagemap,
				       mem->heir_order);
		mem->heir = NULL;
	}
}

/* Nothing of a mem is ever mapped by a process. */
static vm_fault_t mem_migrate_to_ram(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

const struct dev_pagemap_ops mem_ops = {
	.folio_free = mem_folio_free,
	.migrate_to_ram = mem_migrate_to_ram,
};

int mem_add(struct mem *mem)
{
	int ret = PTR_ERR_OR_ZERO(memremap_pages(&mem->pagemap,
						 numa_node_id()));

	mem->mapped = !ret;

	return ret;
}

void mem_del(struct mem *mem)
{
	if (!mem->mapped)
		return;
	mem->mapped = false;
	memunmap_pages(&mem->pagemap);
}

static void mem_end(void *data)
{
	struct mem *mem = data;

	mem_del(mem);
	if (mem->res)
		release_mem_region(mem->res->start, resource_size(mem->res));
	kfree(mem);
}

static void mem_place_private(struct kunit *test, struct mem *mem)
{
	DMIRROR_REQUIRES_CONFIG(test, DEVICE_PRIVATE);
#ifdef CONFIG_DEVICE_PRIVATE
	mem->res = request_free_mem_region(&iomem_resource, mem->size, "mem");
	if (IS_ERR(mem->res)) {
		int ret = PTR_ERR(mem->res);

		mem->res = NULL;
		DMIRROR_ASSERT_OK(test, ret, "free memory region");
	}
	mem->start = mem->res->start;
#endif
}

static void mem_place(struct kunit *test, struct mem *mem)
{
	struct dmirror_fixture *fixture = dmirror_fixture(test);
	struct range region;

	region = dmirror_coherent_region(test, fixture->coherent_parts++);
	/* What is larger than a part has the next one, too. */
	if (mem->size > range_len(&region))
		region.end = dmirror_coherent_region(test,
						     fixture->coherent_parts++).end;
	KUNIT_ASSERT_LE(test, mem->size, range_len(&region));
	mem->start = region.start;
}

void mem_fill_in(struct mem *mem, enum memory_type type)
{
	memset(&mem->pagemap, 0, sizeof(mem->pagemap));
	mem->pagemap.type = type;
	mem->pagemap.ops = &mem_ops;
	mem->pagemap.owner = mem;
	mem->pagemap.nr_range = 1;
	mem->pagemap.range = (struct range){
		mem->start, mem->start + mem->size - 1
	};
}

struct mem *mem_new(struct kunit *test, enum memory_type type,
		    unsigned int units)
{
	struct mem *mem;

	DMIRROR_REQUIRES_CONFIG(test, ZONE_DEVICE);
	mem = kzalloc(struct_size(mem, pagemap.ranges, MEM_RANGES), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, mem_end, mem), 0);
	mem->size = units * MEM_UNIT;
	if (type == MEMORY_DEVICE_PRIVATE)
		mem_place_private(test, mem);
	else
		mem_place(test, mem);
	mem_fill_in(mem, type);

	return mem;
}

struct mem *mem_get(struct kunit *test, enum memory_type type,
		    unsigned int units)
{
	struct mem *mem = mem_new(test, type, units);

	DMIRROR_ASSERT_OK(test, mem_add(mem), "memremap_pages");

	return mem;
}

struct range mem_range(const struct mem *mem, unsigned int from,
		       unsigned int units)
{
	u64 start = mem->start + from * MEM_UNIT;

	return (struct range){ start, start + units * MEM_UNIT - 1 };
}

unsigned long mem_pfn(const struct mem *mem, unsigned long at)
{
	return PHYS_PFN(mem->start) + at;
}

struct page *mem_page(const struct mem *mem, unsigned long at)
{
	return pfn_to_page(mem_pfn(mem, at));
}

long mem_refs(struct mem *mem)
{
	unsigned long ptr = mem->pagemap.ref.percpu_count_ptr, sum = 0;
	unsigned int cpu;

	/* Every CPU has a number of its own as long as it is not dying. */
	for_each_possible_cpu(cpu)
		sum += *per_cpu_ptr((unsigned long __percpu *)ptr, cpu);

	return sum;
}

void mem_refs_repair(struct mem *mem, long by)
{
	if (by > 0)
		percpu_ref_get_many(&mem->pagemap.ref, by);
	else if (by < 0)
		percpu_ref_put_many(&mem->pagemap.ref, -by);
}

struct dev_pagemap *mem_owner(const struct mem *mem, unsigned long at)
{
	struct dev_pagemap *pagemap = get_dev_pagemap(mem_pfn(mem, at));

	put_dev_pagemap(pagemap);

	return pagemap;
}
