/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Snapshots: what the CPU page tables say about a range, one byte per page.
 *
 * Owns: an interval notifier of its own for the time of one snapshot, so that
 * only invalidations of that very range make it start anew.
 * Lock: pt.lock of the mirror covers that notifier's sequence number.
 * May call: mm, mirror, devmem.
 */
#ifndef DMIRROR_SNAPSHOT_H
#define DMIRROR_SNAPSHOT_H

#include <linux/types.h>

struct dmirror_devmem;
struct dmirror_mirror;
struct page;

/**
 * enum dmirror_place - where a page is, seen from one device
 * @DMIRROR_PLACE_SYSTEM: system memory
 * @DMIRROR_PLACE_ZERO: a zero page
 * @DMIRROR_PLACE_PRIVATE_LOCAL: private memory of this device
 * @DMIRROR_PLACE_PRIVATE_REMOTE: private memory of another device
 * @DMIRROR_PLACE_COHERENT_LOCAL: coherent memory of this device
 * @DMIRROR_PLACE_COHERENT_REMOTE: coherent memory of another device
 */
enum dmirror_place {
	DMIRROR_PLACE_SYSTEM,
	DMIRROR_PLACE_ZERO,
	DMIRROR_PLACE_PRIVATE_LOCAL,
	DMIRROR_PLACE_PRIVATE_REMOTE,
	DMIRROR_PLACE_COHERENT_LOCAL,
	DMIRROR_PLACE_COHERENT_REMOTE,
};

/**
 * dmirror_snapshot_place - where is this page
 * @page: a page that hmm_range_fault() returned
 * @devmem: the device's own memory, or NULL
 *
 * Context: any; the page has to stay, so pt.lock and a valid sequence.
 * Return: the place.
 */
enum dmirror_place dmirror_snapshot_place(struct page *page,
					  const struct dmirror_devmem *devmem);

/**
 * dmirror_snapshot_encode - the ABI's byte for one page
 * @hmm_pfn: what hmm_range_fault() returned
 * @place: where the page is; ignored unless @hmm_pfn is valid
 *
 * Context: any; pure.
 * Return: HMM_DMIRROR_PROT_* bits.
 */
u8 dmirror_snapshot_encode(unsigned long hmm_pfn, enum dmirror_place place);

/**
 * dmirror_snapshot - look at a range without faulting anything in
 * @mirror: the mirror
 * @addr: first address, page aligned
 * @npages: number of pages
 * @bytes: @npages bytes to fill
 * @done: number of bytes that are true, also on error
 * @timeout_ms: how long to try again when invalidations interfere, for each
 *	64 pages; 0 tries once
 *
 * Each 64 pages are consistent in themselves.
 *
 * Context: process context, may sleep; mmap_lock and pt.lock not held.
 * Return: 0; -EINVAL for a bad range; -EFAULT when the mm is gone; -EBUSY when
 * the time is over; -EINTR when killed; -ENOMEM.
 */
int dmirror_snapshot(struct dmirror_mirror *mirror, unsigned long addr,
		     unsigned long npages, u8 *bytes, unsigned long *done,
		     unsigned int timeout_ms);

#endif /* DMIRROR_SNAPSHOT_H */
