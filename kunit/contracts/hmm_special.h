/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A mapping of a file that is nobody else's, with the flags and the fault
 * handler that a case wants.
 */
#ifndef CONTRACTS_HMM_SPECIAL_H
#define CONTRACTS_HMM_SPECIAL_H

#include <linux/mm_types.h>

struct file;
struct hmm_special;
struct kunit;
struct vm_fault;

/**
 * typedef hmm_special_fault_t - a fault handler of a case
 * @special: whose mapping
 * @vmf: the fault; the handler must not check, only note
 *
 * Return: VM_FAULT_*
 */
typedef vm_fault_t (*hmm_special_fault_t)(struct hmm_special *special,
					  struct vm_fault *vmf);

/**
 * struct hmm_special - a mapping
 * @flags: what the file adds to the flags of its VMAs
 * @fault: the handler; NULL for hmm_special_page()
 * @huge_fault: the handler of huge pages, or NULL
 * @order: the only order that @huge_fault is called for
 * @page: the page of every address of it
 * @file: the file
 * @addr: where it was mapped last
 * @nr: how long, in pages
 * @faults: number of calls of @fault and @huge_fault
 * @seen: FAULT_FLAG_* of the last one
 * @data: for the case
 */
struct hmm_special {
	vm_flags_t flags;
	hmm_special_fault_t fault;
	hmm_special_fault_t huge_fault;
	unsigned int order;
	struct page *page;
	struct file *file;
	unsigned long addr;
	unsigned long nr;
	unsigned int faults;
	unsigned int seen;
	void *data;
};

/**
 * hmm_special_get - a file with a page, not mapped yet
 * @test: the case
 *
 * Asserts that it works.
 *
 * Return: the mapping to be; flags and handlers are for the case to fill in.
 */
struct hmm_special *hmm_special_get(struct kunit *test);

/**
 * hmm_special_get_huge - a mapping for one huge page that has no struct page
 * @test: the case; skips where there is no such thing
 * @order: of the page, which is that of a PMD or a PUD
 * @prot: PROT_* bits
 *
 * Asserts that it works. Each fault maps the page, for reading.
 *
 * Context: process context, may sleep.
 * Return: the mapping, aligned to the page.
 */
struct hmm_special *hmm_special_get_huge(struct kunit *test, unsigned int order,
					 unsigned long prot);

/**
 * hmm_special_pfn - page frame of hmm_special_get_huge()
 * @special: the mapping
 *
 * Return: the page frame number.
 */
unsigned long hmm_special_pfn(const struct hmm_special *special);

/**
 * hmm_special_map - map it
 * @test: the case
 * @special: the mapping
 * @addr: where, or 0 for anywhere; what is mapped there is unmapped first
 * @npages: how long
 * @prot: PROT_* bits
 *
 * Asserts that it works.
 *
 * Return: its address.
 */
unsigned long hmm_special_map(struct kunit *test, struct hmm_special *special,
			      unsigned long addr, unsigned long npages,
			      unsigned long prot);

/**
 * hmm_special_page - the handler that maps the mapping's page
 * @special: the mapping
 * @vmf: the fault
 *
 * Return: what a fault handler returns.
 */
vm_fault_t hmm_special_page(struct hmm_special *special, struct vm_fault *vmf);

/**
 * hmm_special_zap - take all pages out again, as a driver does
 * @special: the mapping
 *
 * Context: process context; a fault handler may call it.
 */
void hmm_special_zap(struct hmm_special *special);

#endif /* CONTRACTS_HMM_SPECIAL_H */
