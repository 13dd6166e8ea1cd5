// SPDX-License-Identifier: GPL-2.0
#include "model_user.h"

#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/syscalls.h>

#ifdef MODULE

static long remap(unsigned long from, size_t len, unsigned long to,
		  unsigned long flags)
{
	return -EOPNOTSUPP;
}

int model_user_split(struct page *page)
{
	put_page(page);

	return -EOPNOTSUPP;
}

#else

#if !defined(CONFIG_ARCH_HAS_SYSCALL_WRAPPER)

static long remap(unsigned long from, size_t len, unsigned long to,
		  unsigned long flags)
{
	return sys_mremap(from, len, len, flags, to);
}

#elif defined(CONFIG_X86_64)

#include <asm/syscall.h>
#include <asm/unistd.h>

static long remap(unsigned long from, size_t len, unsigned long to,
		  unsigned long flags)
{
	const struct pt_regs regs = {
		.di = from, .si = len, .dx = len, .r10 = flags, .r8 = to,
	};

	return sys_call_table[__NR_mremap](&regs);
}

#else

static long remap(unsigned long from, size_t len, unsigned long to,
		  unsigned long flags)
{
	return -EOPNOTSUPP;
}

#endif

int model_user_split(struct page *page)
{
	struct folio *folio = page_folio(page);
	int ret = 0;

	folio_lock(folio);
	if (folio_test_large(folio))
		ret = split_huge_page(page);
	/* The page's part is the one that stays locked, and referenced. */
	folio = page_folio(page);
	folio_unlock(folio);
	folio_put(folio);

	return ret;
}

#endif /* MODULE */

int model_user_remap(unsigned long from, size_t len, unsigned long to,
		     bool keep)
{
	unsigned long flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	long ret = remap(from, len, to, flags | (keep ? MREMAP_DONTUNMAP : 0));

	return ret == to ? 0 : ret;
}
