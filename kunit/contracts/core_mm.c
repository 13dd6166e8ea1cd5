// SPDX-License-Identifier: GPL-2.0
#include "core_mm.h"

#include <linux/errno.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pgtable.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

vm_fault_t core_fault_once(unsigned long addr, bool write)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	vm_fault_t ret = VM_FAULT_SIGSEGV;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		ret = handle_mm_fault(vma, addr, write ? FAULT_FLAG_WRITE : 0,
				      NULL);
	mmap_read_unlock(mm);

	return ret;
}

unsigned int core_held(void)
{
	unsigned int held = preempt_count() + rcu_preempt_depth();

#ifdef CONFIG_LOCKDEP
	held += current->lockdep_depth;
#endif
	return held;
}

bool core_waits_or_done(struct task_struct *task, struct completion *done)
{
	while (!completion_done(done)) {
		/* Killable or not. */
		if (READ_ONCE(task->__state) & TASK_UNINTERRUPTIBLE)
			return true;
		/* On one CPU it could not run otherwise. */
		cond_resched();
	}

	return false;
}

bool core_unlocked(unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	spinlock_t *ptl; /* of the table that has the entry */
	unsigned int tries;
	pmd_t *pmd;
	bool free;

	pmd = pmd_offset(pud_offset(p4d_offset(pgd_offset(mm, addr), addr),
				    addr), addr);
	/* Anything but a table is an entry of the table above. */
	ptl = pmd_present(*pmd) && !pmd_leaf(*pmd) ? pte_lockptr(mm, pmd) :
						     pmd_lockptr(mm, pmd);
	/* Somebody else may have it for a moment. */
	for (tries = 0, free = false; !free && tries < 100000; tries++) {
		free = spin_trylock(ptl);
		cpu_relax();
	}
	spin_unlock(ptl);

	return free;
}

bool core_queued(struct folio *folio)
{
	return folio_test_large(folio) && !list_empty(&folio->_deferred_list);
}

#ifdef MODULE

int core_access(struct mm_struct *mm, unsigned long addr, void *buf, int len,
		bool write)
{
	return -EOPNOTSUPP;
}

unsigned long core_walk(unsigned long addr)
{
	return 0;
}

int core_reap(unsigned long addr)
{
	return -EOPNOTSUPP;
}

int core_unmap(struct folio *folio)
{
	return -EOPNOTSUPP;
}

void core_pledge(struct folio *folio, unsigned long addr)
{
}

void core_redeem(struct folio *folio, unsigned long addr)
{
}

void core_unmap_to_migrate(struct folio *folio)
{
}

void core_map_again(struct folio *folio)
{
}

void core_unmap_locked(struct folio *folio)
{
}

void core_unmap_poisoned(struct folio *folio)
{
}

void core_look(struct core_view *view, struct mm_struct *mm,
	       unsigned long addr, unsigned long nr)
{
	*view = (struct core_view){ .addr = addr, .nr = nr };
}

long core_mremap(unsigned long addr, size_t old_len, size_t new_len,
		 unsigned long flags, unsigned long new_addr)
{
	return -EOPNOTSUPP;
}

long core_mlock(unsigned long addr, size_t len, bool lock)
{
	return -EOPNOTSUPP;
}

long core_mincore(unsigned long addr, size_t len, unsigned long vec)
{
	return -EOPNOTSUPP;
}

long core_mbind(unsigned long addr, size_t len, int mode, unsigned long nodes,
		unsigned long flags)
{
	return -EOPNOTSUPP;
}

long core_mknod(unsigned long path, umode_t mode, unsigned int dev)
{
	return -EOPNOTSUPP;
}

long core_unlink(unsigned long path)
{
	return -EOPNOTSUPP;
}

long core_swapon(unsigned long path)
{
	return -EOPNOTSUPP;
}

long core_swapoff(unsigned long path)
{
	return -EOPNOTSUPP;
}

long core_memfd_secret(size_t size)
{
	return -EOPNOTSUPP;
}

#else

#include <linux/fcntl.h>
#include <linux/fdtable.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/swap.h>
#include <linux/syscalls.h>
#include <asm/syscall.h>
#include <asm/unistd.h>
/* Behind swap.h, which it needs up to 7.2. */
#include <linux/leafops.h>

/* What there is to see of a page whose page table is locked. */
static void look_at_page(struct core_sight *sight, struct page *page)
{
	struct folio *folio = page_folio(page);

	sight->place = folio_is_zone_device(folio) ? CORE_DEVICE : CORE_RAM;
	sight->exclusive = folio_test_anon(folio) && PageAnonExclusive(page);
	sight->order = folio_order(folio);
	sight->refs = folio_ref_count(folio);
	sight->maps = folio_mapcount(folio);
}

static void look_at_leaf(struct core_sight *sight, softleaf_t entry)
{
	sight->place = CORE_OTHER;
	if (softleaf_is_device_private(entry)) {
		look_at_page(sight, softleaf_to_page(entry));
		sight->write = softleaf_is_device_private_write(entry);
	} else if (softleaf_is_migration(entry)) {
		sight->place = CORE_MIGRATING;
		sight->write = softleaf_is_migration_write(entry);
		sight->exclusive = softleaf_is_migration_read_exclusive(entry);
		sight->order = folio_order(softleaf_to_folio(entry));
	}
}

/* Is there an entry instead of a page table? Then it is looked at. */
static bool look_at_pmd(struct core_sight *sight, struct mm_struct *mm,
			pmd_t *pmdp)
{
	spinlock_t *ptl = pmd_lock(mm, pmdp);
	pmd_t pmd = pmdp_get(pmdp);
	bool leaf = !pmd_none(pmd) && (!pmd_present(pmd) || pmd_leaf(pmd));

	if (!leaf)
		goto out_unlock;
	sight->large = true;
	if (!pmd_present(pmd)) {
		look_at_leaf(sight, softleaf_from_pmd(pmd));
	} else if (is_huge_zero_pmd(pmd)) {
		sight->place = CORE_OTHER;
	} else {
		look_at_page(sight, pmd_page(pmd));
		sight->write = pmd_write(pmd);
	}
out_unlock:
	spin_unlock(ptl);
	return leaf;
}

static void look_at_pte(struct core_sight *sight, struct mm_struct *mm,
			pmd_t *pmdp, unsigned long addr)
{
	spinlock_t *ptl; /* of the page table */
	pte_t *ptep, pte;

	ptep = pte_offset_map_lock(mm, pmdp, addr, &ptl);
	if (!ptep)
		return;
	pte = ptep_get(ptep);
	if (pte_present(pte) && is_zero_pfn(pte_pfn(pte))) {
		sight->place = CORE_OTHER;
	} else if (pte_present(pte)) {
		look_at_page(sight, pte_page(pte));
		sight->write = pte_write(pte);
	} else if (!pte_none(pte)) {
		look_at_leaf(sight, softleaf_from_pte(pte));
	}
	pte_unmap_unlock(ptep, ptl);
}

static struct core_sight look_at(struct mm_struct *mm, unsigned long addr)
{
	struct core_sight sight = { .place = CORE_NOTHING };
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	if (pgd_none(*pgd))
		return sight;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		return sight;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud))
		return sight;
	pmd = pmd_offset(pud, addr);
	if (pmd_none(pmdp_get(pmd)))
		return sight;
	if (!look_at_pmd(&sight, mm, pmd))
		look_at_pte(&sight, mm, pmd, addr);

	return sight;
}

static bool sights_same(const struct core_sight *a, const struct core_sight *b)
{
	return a->place == b->place && a->large == b->large &&
	       a->write == b->write && a->exclusive == b->exclusive &&
	       a->order == b->order && a->refs == b->refs &&
	       a->maps == b->maps;
}

void core_look(struct core_view *view, struct mm_struct *mm,
	       unsigned long addr, unsigned long nr)
{
	*view = (struct core_view){ .addr = addr, .nr = nr };
	/* Or else pages on their way to the LRU have a reference more. */
	lru_add_drain_all();
	mmap_read_lock(mm);
	for (; view->same < nr; view->same++) {
		view->other = look_at(mm, addr + (view->same << PAGE_SHIFT));
		if (!view->same)
			view->first = view->other;
		else if (!sights_same(&view->first, &view->other))
			break;
	}
	mmap_read_unlock(mm);
}

int core_access(struct mm_struct *mm, unsigned long addr, void *buf, int len,
		bool write)
{
	return access_remote_vm(mm, addr, buf, len, write ? FOLL_WRITE : 0);
}

unsigned long core_walk(unsigned long addr)
{
	struct vm_area_struct *vma;
	unsigned long pfn = 0;
	struct folio_walk fw;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, addr);
	if (vma && folio_walk_start(&fw, vma, addr, 0)) {
		pfn = page_to_pfn(fw.page);
		folio_walk_end(&fw, vma);
	}
	mmap_read_unlock(current->mm);

	return pfn;
}

int core_reap(unsigned long addr)
{
	struct vm_area_struct *vma;
	int ret = -EFAULT;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, addr);
	if (vma)
		ret = zap_vma_for_reaping(vma);
	mmap_read_unlock(current->mm);

	return ret;
}

int core_unmap(struct folio *folio)
{
	int left;

	folio_lock(folio);
	core_unmap_locked(folio);
	left = folio_mapcount(folio);
	folio_unlock(folio);

	return left;
}

void core_pledge(struct folio *folio, unsigned long addr)
{
	struct vm_area_struct *vma;

	folio_get(folio);
	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, addr);
	if (folio_test_large(folio))
		folio_add_anon_rmap_pmd(folio, &folio->page, vma, addr,
					RMAP_NONE);
	else
		folio_add_anon_rmap_pte(folio, &folio->page, vma, addr,
					RMAP_NONE);
	mmap_read_unlock(current->mm);
}

void core_redeem(struct folio *folio, unsigned long addr)
{
	struct vm_area_struct *vma;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, addr);
	if (folio_test_large(folio))
		folio_remove_rmap_pmd(folio, &folio->page, vma);
	else
		folio_remove_rmap_pte(folio, &folio->page, vma);
	mmap_read_unlock(current->mm);
	folio_put(folio);
}

void core_unmap_to_migrate(struct folio *folio)
{
	try_to_migrate(folio, 0);
}

void core_map_again(struct folio *folio)
{
	/* A kernel without it never gets here. */
#ifdef CONFIG_MIGRATION
	remove_migration_ptes(folio, folio, 0);
#endif
}

void core_unmap_locked(struct folio *folio)
{
	try_to_unmap(folio, 0);
}

void core_unmap_poisoned(struct folio *folio)
{
	try_to_unmap(folio, TTU_HWPOISON);
}

#ifdef CONFIG_ARCH_HAS_SYSCALL_WRAPPER

#ifdef CONFIG_X86_64

static long call(unsigned int nr, unsigned long a, unsigned long b,
		 unsigned long c, unsigned long d, unsigned long e,
		 unsigned long f)
{
	struct pt_regs regs = {
		.di = a, .si = b, .dx = c, .r10 = d, .r8 = e, .r9 = f,
	};

	return sys_call_table[nr](&regs);
}

#else

/* How other architectures pass arguments has nobody looked up. */
static long call(unsigned int nr, unsigned long a, unsigned long b,
		 unsigned long c, unsigned long d, unsigned long e,
		 unsigned long f)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_X86_64 */

long core_mremap(unsigned long addr, size_t old_len, size_t new_len,
		 unsigned long flags, unsigned long new_addr)
{
	return call(__NR_mremap, addr, old_len, new_len, flags, new_addr, 0);
}

long core_mlock(unsigned long addr, size_t len, bool lock)
{
	return lock ? call(__NR_mlock, addr, len, 0, 0, 0, 0) :
		      call(__NR_munlock, addr, len, 0, 0, 0, 0);
}

long core_mincore(unsigned long addr, size_t len, unsigned long vec)
{
	return call(__NR_mincore, addr, len, vec, 0, 0, 0);
}

long core_mbind(unsigned long addr, size_t len, int mode, unsigned long nodes,
		unsigned long flags)
{
	/* maxnode is one more than there are bits. */
	return call(__NR_mbind, addr, len, mode, nodes, BITS_PER_LONG + 1,
		    flags);
}

long core_mknod(unsigned long path, umode_t mode, unsigned int dev)
{
	return call(__NR_mknodat, AT_FDCWD, path, mode, dev, 0, 0);
}

long core_unlink(unsigned long path)
{
	return call(__NR_unlinkat, AT_FDCWD, path, 0, 0, 0, 0);
}

long core_swapon(unsigned long path)
{
	return call(__NR_swapon, path, 0, 0, 0, 0, 0);
}

long core_swapoff(unsigned long path)
{
	return call(__NR_swapoff, path, 0, 0, 0, 0, 0);
}

#ifdef __NR_memfd_secret

long core_memfd_secret(size_t size)
{
	long ret, fd = call(__NR_memfd_secret, 0, 0, 0, 0, 0, 0);

	if (fd < 0)
		return fd;
	ret = call(__NR_ftruncate, fd, size, 0, 0, 0, 0);
	if (!ret)
		return fd;
	close_fd(fd);

	return ret;
}

#else

long core_memfd_secret(size_t size)
{
	return -EOPNOTSUPP;
}

#endif

#else

long core_mremap(unsigned long addr, size_t old_len, size_t new_len,
		 unsigned long flags, unsigned long new_addr)
{
	return sys_mremap(addr, old_len, new_len, flags, new_addr);
}

long core_mlock(unsigned long addr, size_t len, bool lock)
{
	return lock ? sys_mlock(addr, len) : sys_munlock(addr, len);
}

long core_mincore(unsigned long addr, size_t len, unsigned long vec)
{
	return sys_mincore(addr, len, (unsigned char __user *)vec);
}

long core_mbind(unsigned long addr, size_t len, int mode, unsigned long nodes,
		unsigned long flags)
{
	return sys_mbind(addr, len, mode, (unsigned long __user *)nodes,
			 BITS_PER_LONG + 1, flags);
}

long core_mknod(unsigned long path, umode_t mode, unsigned int dev)
{
	return sys_mknodat(AT_FDCWD, (const char __user *)path, mode, dev);
}

long core_unlink(unsigned long path)
{
	return sys_unlinkat(AT_FDCWD, (const char __user *)path, 0);
}

long core_swapon(unsigned long path)
{
	return sys_swapon((const char __user *)path, 0);
}

long core_swapoff(unsigned long path)
{
	return sys_swapoff((const char __user *)path);
}

/* Without wrappers of system calls only Loongarch has it: nobody has tried. */
long core_memfd_secret(size_t size)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_ARCH_HAS_SYSCALL_WRAPPER */

#endif /* MODULE */
