/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A userfaultfd of the case's own: what user space does with its file
 * descriptor, as calls. In a suite built as a module there is none.
 */
#ifndef DMIRROR_KUNIT_UFFD_H
#define DMIRROR_KUNIT_UFFD_H

#include <linux/types.h>
#include <linux/userfaultfd.h>

/* A kernel before 7.3 knows no accesses that are told, only writes. */
#ifndef UFFDIO_REGISTER_MODE_RWP
#define UFFDIO_REGISTER_MODE_RWP 0
#endif

struct kunit;
struct uffd;

/**
 * uffd_get - userfaultfd(), and UFFDIO_REGISTER of a range
 * @test: the case; skips where the kernel has no such mode
 * @addr: page aligned address
 * @npages: number of pages
 * @mode: one of UFFDIO_REGISTER_MODE_*
 * @features: UFFD_FEATURE_*; with UFFD_FEATURE_SIGBUS nobody waits for a reader
 *
 * Asserts that it works. The range is let go of at the case's end.
 *
 * Return: the userfaultfd.
 */
struct uffd *uffd_get(struct kunit *test, unsigned long addr,
		      unsigned long npages, u64 mode, u64 features);

/**
 * uffd_put - give up a userfaultfd before the case's end
 * @test: the case
 * @uffd: from uffd_get()
 *
 * Whoever waits for it is woken, and finds an ordinary mapping.
 */
void uffd_put(struct kunit *test, struct uffd *uffd);

/**
 * uffd_protect - UFFDIO_WRITEPROTECT, or UFFDIO_RWPROTECT if that is the mode
 * @test: the case
 * @uffd: the userfaultfd
 * @addr: page aligned address
 * @npages: number of pages
 * @protect: or else resolve
 *
 * Asserts that it works.
 */
void uffd_protect(struct kunit *test, struct uffd *uffd, unsigned long addr,
		  unsigned long npages, bool protect);

/**
 * uffd_zeropage - UFFDIO_ZEROPAGE
 * @uffd: the userfaultfd
 * @addr: page aligned address
 * @npages: number of pages
 *
 * Return: 0; -EEXIST if there is something.
 */
int uffd_zeropage(struct uffd *uffd, unsigned long addr, unsigned long npages);

/**
 * uffd_copy - UFFDIO_COPY of one page
 * @uffd: the userfaultfd
 * @addr: page aligned address
 * @from: page aligned address of what is to be there, in the same mm
 *
 * Return: 0; -EEXIST if there is something.
 */
int uffd_copy(struct uffd *uffd, unsigned long addr, unsigned long from);

/**
 * uffd_move - UFFDIO_MOVE
 * @uffd: from uffd_get(), of a range in which @dst is
 * @dst: page aligned address; nothing is there
 * @src: page aligned address
 * @npages: number of pages, private ones of one mapping
 *
 * Return: 0 or an errno.
 */
int uffd_move(struct uffd *uffd, unsigned long dst, unsigned long src,
	      unsigned long npages);

/**
 * uffd_read - read a message, if there is one
 * @uffd: the userfaultfd
 * @addr: the address of a page fault
 *
 * Return: whether there was one, of a page fault.
 */
bool uffd_read(struct uffd *uffd, unsigned long *addr);

#endif /* DMIRROR_KUNIT_UFFD_H */
