// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sys/mman.h>
#include "memmap.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

int um_memmap_host_map(void *addr, unsigned long len)
{
	void *got = mmap(addr, len, PROT_READ | PROT_WRITE,
			 MAP_FIXED_NOREPLACE | MAP_ANONYMOUS | MAP_PRIVATE |
			 MAP_NORESERVE, -1, 0);
	int err;

	if (got == MAP_FAILED)
		return -errno;
	if (got != addr) {
		/* Hosts before 4.17 take the address for a hint. */
		munmap(got, len);
		return -EEXIST;
	}

	/* Neither in the host's core dumps nor in the processes UML makes. */
	if (madvise(addr, len, MADV_DONTDUMP) ||
	    madvise(addr, len, MADV_DONTFORK)) {
		err = -errno;
		munmap(addr, len);
		return err;
	}
	return 0;
}

int um_memmap_host_unmap(void *addr, unsigned long len)
{
	return munmap(addr, len) ? -errno : 0;
}
