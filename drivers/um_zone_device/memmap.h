/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host's side of the memory map. Plain C types only: it is included both
 * with the kernel's headers and with the host's.
 */
#ifndef _UM_ZONE_DEVICE_MEMMAP_H
#define _UM_ZONE_DEVICE_MEMMAP_H

/**
 * um_memmap_host_map() - have the host back a part of the memory map
 * @addr:	first address, a multiple of the page size
 * @len:	length in bytes, a multiple of the page size
 *
 * The memory is zeroed, and the host allocates its pages when they are
 * touched. What is mapped there already is never replaced.
 *
 * Context: any in which the host may be called; before the memory allocators
 * are up as well.
 * Return: 0, -EEXIST if something of the host's is mapped there, or the host's
 * error, negative.
 */
int um_memmap_host_map(void *addr, unsigned long len);

/**
 * um_memmap_host_unmap() - give a part of the memory map back to the host
 * @addr:	as for um_memmap_host_map()
 * @len:	as for um_memmap_host_map()
 *
 * Context: any in which the host may be called.
 * Return: 0, or the host's error, negative.
 */
int um_memmap_host_unmap(void *addr, unsigned long len);

#endif /* _UM_ZONE_DEVICE_MEMMAP_H */
