// SPDX-License-Identifier: GPL-2.0
#include "hmm_special.h"

#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/pgtable.h>

#include "../fixture.h"

static vm_fault_t special_fault(struct vm_fault *vmf)
{
	struct hmm_special *special = vmf->vma->vm_private_data;

	special->faults++;
	special->seen = vmf->flags;

	return special->fault ? special->fault(special, vmf) :
				hmm_special_page(special, vmf);
}

static vm_fault_t special_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct hmm_special *special = vmf->vma->vm_private_data;

	if (!special->huge_fault || order != special->order)
		return VM_FAULT_FALLBACK;
	special->faults++;
	special->seen = vmf->flags;

	return special->huge_fault(special, vmf);
}

static const struct vm_operations_struct special_vm_ops = {
	.fault = special_fault,
	.huge_fault = special_huge_fault,
};

static int special_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct hmm_special *special = file->private_data;

	vm_flags_set(vma, special->flags);
	vma->vm_ops = &special_vm_ops;
	vma->vm_private_data = special;

	return 0;
}

static const struct file_operations special_fops = {
	.owner = THIS_MODULE,
	.mmap = special_mmap,
};

/* The mappings of the case's mm keep the file until that is gone. */
static void special_put(void *data)
{
	struct hmm_special *special = data;

	fput(special->file);
	put_page(special->page);
}

struct hmm_special *hmm_special_get(struct kunit *test)
{
	struct hmm_special *special = kunit_kzalloc(test, sizeof(*special),
						    GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, special);
	special->page = alloc_page(GFP_HIGHUSER | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, special->page);
	/* An inode of its own, or the zap would reach other files' mappings. */
	special->file = anon_inode_create_getfile("hmm_kunit", &special_fops,
						  special, O_RDWR, NULL);
	if (IS_ERR(special->file))
		put_page(special->page);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(special->file), "file: got %pe",
			       special->file);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, special_put, special),
			0);

	return special;
}

unsigned long hmm_special_map(struct kunit *test, struct hmm_special *special,
			      unsigned long addr, unsigned long npages,
			      unsigned long prot)
{
	special->addr = vm_mmap(special->file, addr, npages << PAGE_SHIFT, prot,
				MAP_SHARED | (addr ? MAP_FIXED : 0), 0);
	special->nr = npages;
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(special->addr),
			       "mmap of %lu special pages: got %pe", npages,
			       (void *)special->addr);

	return special->addr;
}

/*
 * The first addresses above some memory that have no struct page: a mapping of
 * pages that are somebody's would count for CONFIG_PAGE_TABLE_CHECK.
 */
unsigned long hmm_special_pfn(const struct hmm_special *special)
{
	unsigned long nr = 1UL << special->order;
	unsigned long pfn = ALIGN(page_to_pfn(special->page), nr);
	unsigned long i = 0;

	while (i < nr) {
		if (pfn_valid(pfn + i)) {
			pfn += nr;
			i = 0;
		} else {
			i += 1UL << (PMD_SHIFT - PAGE_SHIFT);
		}
	}

	return pfn;
}

#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
static vm_fault_t fault_pmd(struct hmm_special *special, struct vm_fault *vmf)
{
	return vmf_insert_pfn_pmd(vmf, hmm_special_pfn(special), false);
}
#else
#define fault_pmd NULL
#endif

#ifdef CONFIG_ARCH_SUPPORTS_PUD_PFNMAP
static vm_fault_t fault_pud(struct hmm_special *special, struct vm_fault *vmf)
{
	return vmf_insert_pfn_pud(vmf, hmm_special_pfn(special), false);
}
#else
#define fault_pud NULL
#endif

struct hmm_special *hmm_special_get_huge(struct kunit *test, unsigned int order,
					 unsigned long prot)
{
	bool pmd = order == PMD_SHIFT - PAGE_SHIFT;
	unsigned long addr, nr = 1UL << order;
	struct hmm_special *special;

	if (pmd)
		DMIRROR_REQUIRES_CONFIG(test, ARCH_SUPPORTS_PMD_PFNMAP);
	else
		DMIRROR_REQUIRES_CONFIG(test, ARCH_SUPPORTS_PUD_PFNMAP);
	special = hmm_special_get(test);
	special->flags = VM_MIXEDMAP | VM_HUGEPAGE;
	special->huge_fault = pmd ? fault_pmd : fault_pud;
	special->order = order;
	addr = dmirror_user_map(test, 2 * nr, PROT_NONE);
	hmm_special_map(test, special, ALIGN(addr, nr << PAGE_SHIFT), nr,
			prot);

	return special;
}

vm_fault_t hmm_special_page(struct hmm_special *special, struct vm_fault *vmf)
{
	get_page(special->page);
	vmf->page = special->page;

	return 0;
}

void hmm_special_zap(struct hmm_special *special)
{
	unmap_mapping_range(special->file->f_mapping, 0,
			    (loff_t)special->nr << PAGE_SHIFT, 1);
}
