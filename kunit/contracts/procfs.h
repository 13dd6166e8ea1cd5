/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a process, or somebody who looks after it, learns and does by way of
 * /proc/PID: for the mm of a case. Built-in suites only.
 */
#ifndef CONTRACTS_PROCFS_H
#define CONTRACTS_PROCFS_H

#include <linux/types.h>

struct kunit;
struct page_region;
struct pm_scan_arg;
struct procfs;

/**
 * procfs_get - a /proc of the case's own
 * @test: the case; skips where /proc tells nothing of pages
 *
 * Maps a few pages in the case's mm, for what is read and written.
 *
 * Context: process context, may sleep.
 * Return: the /proc.
 */
struct procfs *procfs_get(struct kunit *test);

/**
 * procfs_write - write to /proc/PID/@name
 * @proc: the /proc
 * @name: of the file
 * @what: a short string
 *
 * Context: process context, may sleep.
 * Return: 0 or an errno.
 */
int procfs_write(struct procfs *proc, const char *name, const char *what);

/**
 * procfs_text - read /proc/PID/@name
 * @test: the case, which frees it
 * @proc: the /proc
 * @name: of a file of text
 *
 * Asserts that it works, and that all of it fits.
 *
 * Context: process context, may sleep.
 * Return: the text.
 */
const char *procfs_text(struct kunit *test, struct procfs *proc,
			const char *name);

/**
 * procfs_pagemap - read the entries of pages from /proc/PID/pagemap
 * @proc: the /proc
 * @addr: page aligned address
 * @nr: number of pages, at most what a PMD maps
 * @entries: as Documentation/admin-guide/mm/pagemap.rst has them
 *
 * Context: process context, may sleep.
 * Return: 0 or an errno.
 */
int procfs_pagemap(struct procfs *proc, unsigned long addr, unsigned long nr,
		   u64 *entries);

/* Regions that a scan can find. */
#define PROCFS_REGIONS 4

/**
 * procfs_scan - PAGEMAP_SCAN
 * @proc: the /proc
 * @arg: the argument; size, and if there are @regions vec and vec_len, are
 *	filled in
 * @regions: PROCFS_REGIONS of them, or NULL
 *
 * Context: process context, may sleep.
 * Return: number of regions that were found, or an errno.
 */
long procfs_scan(struct procfs *proc, struct pm_scan_arg *arg,
		 struct page_region *regions);

/**
 * struct procfs_smap - what smaps says of a mapping, in bytes
 * @rss: Rss
 * @pss: Pss
 * @private: Private_Clean and Private_Dirty
 * @shared: Shared_Clean and Shared_Dirty
 * @anonymous: Anonymous
 * @huge: AnonHugePages
 * @swap: Swap
 */
struct procfs_smap {
	unsigned long rss;
	unsigned long pss;
	unsigned long private;
	unsigned long shared;
	unsigned long anonymous;
	unsigned long huge;
	unsigned long swap;
};

/**
 * procfs_smaps - read what /proc/PID/smaps says of a mapping
 * @test: the case
 * @proc: the /proc
 * @addr: an address of it
 *
 * Asserts that it is there.
 *
 * Context: process context, may sleep.
 * Return: the numbers.
 */
struct procfs_smap procfs_smaps(struct kunit *test, struct procfs *proc,
				unsigned long addr);

#endif /* CONTRACTS_PROCFS_H */
