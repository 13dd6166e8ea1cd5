/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ioctl ABI of the heterogeneous-memory test device: the same numbers,
 * sizes and offsets as the kernel's lib/test_hmm_uapi.h, so that unmodified
 * hmm-tests drive this driver. The names of the ABI are kept.
 *
 * Owns: nothing. Lock: none. May call: nothing.
 */
#ifndef DMIRROR_UAPI_H
#define DMIRROR_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct hmm_dmirror_cmd - argument of every ioctl
 * @addr: (in) user address the device reads, writes or migrates, page aligned
 * @ptr: (in) user address that data or snapshot bytes are copied from or to
 * @npages: (in) length of the range, in pages
 * @cpages: (out) number of pages copied or migrated
 * @faults: (out) number of device page faults taken
 */
struct hmm_dmirror_cmd {
	__u64 addr;
	__u64 ptr;
	__u64 npages;
	__u64 cpages;
	__u64 faults;
};

#define HMM_DMIRROR_READ		_IOWR('H', 0x00, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_WRITE		_IOWR('H', 0x01, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_DEV	_IOWR('H', 0x02, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_SYS	_IOWR('H', 0x03, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_SNAPSHOT		_IOWR('H', 0x04, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_EXCLUSIVE		_IOWR('H', 0x05, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_CHECK_EXCLUSIVE	_IOWR('H', 0x06, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_RELEASE		_IOWR('H', 0x07, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_FLAGS		_IOWR('H', 0x08, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_READ_UNLOCKED	_IOWR('H', 0x09, struct hmm_dmirror_cmd)

#define HMM_DMIRROR_FLAG_FAIL_ALLOC	(1ULL << 0)

/*
 * One byte per page from HMM_DMIRROR_SNAPSHOT: where the page is (bits 4 to
 * 6), how large the CPU maps it (bits 2 and 3) and what it allows (bits 0
 * and 1). ERROR stands alone.
 */
enum {
	HMM_DMIRROR_PROT_NONE			= 0x00,
	HMM_DMIRROR_PROT_READ			= 0x01,
	HMM_DMIRROR_PROT_WRITE			= 0x02,
	HMM_DMIRROR_PROT_PMD			= 0x04,
	HMM_DMIRROR_PROT_PUD			= 0x08,
	HMM_DMIRROR_PROT_ZERO			= 0x10,
	HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL	= 0x20,
	HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE	= 0x30,
	HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL	= 0x40,
	HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE	= 0x50,
	HMM_DMIRROR_PROT_ERROR			= 0xFF,
};

/* Kinds of device memory; 0 is kept free to catch a field never set. */
enum {
	HMM_DMIRROR_MEMORY_DEVICE_PRIVATE = 1,
	HMM_DMIRROR_MEMORY_DEVICE_COHERENT,
};

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/stddef.h>

static_assert(sizeof(struct hmm_dmirror_cmd) == 40);
static_assert(offsetof(struct hmm_dmirror_cmd, addr) == 0);
static_assert(offsetof(struct hmm_dmirror_cmd, ptr) == 8);
static_assert(offsetof(struct hmm_dmirror_cmd, npages) == 16);
static_assert(offsetof(struct hmm_dmirror_cmd, cpages) == 24);
static_assert(offsetof(struct hmm_dmirror_cmd, faults) == 32);
static_assert(HMM_DMIRROR_READ == 0xc0284800);
static_assert(HMM_DMIRROR_WRITE == 0xc0284801);
static_assert(HMM_DMIRROR_MIGRATE_TO_DEV == 0xc0284802);
static_assert(HMM_DMIRROR_MIGRATE_TO_SYS == 0xc0284803);
static_assert(HMM_DMIRROR_SNAPSHOT == 0xc0284804);
static_assert(HMM_DMIRROR_EXCLUSIVE == 0xc0284805);
static_assert(HMM_DMIRROR_CHECK_EXCLUSIVE == 0xc0284806);
static_assert(HMM_DMIRROR_RELEASE == 0xc0284807);
static_assert(HMM_DMIRROR_FLAGS == 0xc0284808);
static_assert(HMM_DMIRROR_READ_UNLOCKED == 0xc0284809);
#endif /* __KERNEL__ */

#endif /* DMIRROR_UAPI_H */
