/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites about core mm need and core mm does not export: a look at
 * the page tables, which no driver has, and system calls that ../user.h lacks.
 * In a suite built as a module nothing is seen and the calls return
 * -EOPNOTSUPP; cases that need them skip there.
 */
#ifndef CONTRACTS_CORE_MM_H
#define CONTRACTS_CORE_MM_H

#include <linux/completion.h>
#include <linux/mm_types.h>
#include <linux/types.h>

struct task_struct;
struct vm_area_struct;

#ifndef MODULE
/* Of mm/internal.h, which nobody outside mm/ can include. */
int zap_vma_for_reaping(struct vm_area_struct *vma);
#endif

/**
 * enum core_place - where a page is
 * @CORE_NOTHING: no entry
 * @CORE_RAM: system memory
 * @CORE_DEVICE: device memory, private or coherent
 * @CORE_MIGRATING: a migration entry
 * @CORE_OTHER: anything else, such as a zero page or a swap entry
 */
enum core_place {
	CORE_NOTHING,
	CORE_RAM,
	CORE_DEVICE,
	CORE_MIGRATING,
	CORE_OTHER,
};

/**
 * struct core_sight - one page, as its page table has it
 * @place: where it is
 * @large: it is mapped by a PMD
 * @write: the entry lets the owner write
 * @exclusive: PageAnonExclusive(), as far as an entry has it: of the first page
 *	of a PMD
 * @order: of the folio
 * @refs: references of the folio, after the LRU caches were drained
 * @maps: mappings of the folio
 */
struct core_sight {
	enum core_place place;
	bool large;
	bool write;
	bool exclusive;
	unsigned int order;
	int refs;
	int maps;
};

/**
 * struct core_view - what was seen of a range
 * @addr: where it begins
 * @nr: number of pages
 * @same: number of pages that look like the first one, from there
 * @first: the first one
 * @other: the first one that looks different, if @same is less than @nr
 */
struct core_view {
	unsigned long addr;
	unsigned long nr;
	unsigned long same;
	struct core_sight first;
	struct core_sight other;
};

/**
 * core_look - look at a range of an mm
 * @view: to be filled in; nothing is checked
 * @mm: the mm
 * @addr: page aligned address
 * @nr: number of pages
 *
 * Context: process context, may sleep; takes mmap_lock for reading.
 */
void core_look(struct core_view *view, struct mm_struct *mm,
	       unsigned long addr, unsigned long nr);

/**
 * core_mremap - what mremap() does to current->mm
 * @addr: page aligned address
 * @old_len: length in bytes
 * @new_len: length in bytes
 * @flags: MREMAP_*
 * @new_addr: with MREMAP_FIXED, or a hint
 *
 * Return: the new address or an errno.
 */
long core_mremap(unsigned long addr, size_t old_len, size_t new_len,
		 unsigned long flags, unsigned long new_addr);

/**
 * core_mlock - what mlock() and munlock() do to current->mm
 * @addr: page aligned address
 * @len: length in bytes
 * @lock: mlock(), else munlock()
 *
 * Return: 0 or an errno.
 */
long core_mlock(unsigned long addr, size_t len, bool lock);

/**
 * core_mincore - what mincore() does to current->mm
 * @addr: page aligned address
 * @len: length in bytes
 * @vec: where user space gets the answer, one byte for each page
 *
 * Return: 0 or an errno.
 */
long core_mincore(unsigned long addr, size_t len, unsigned long vec);

/**
 * core_mbind - what mbind() does to current->mm
 * @addr: page aligned address
 * @len: length in bytes
 * @mode: MPOL_*
 * @nodes: where user space has the mask of nodes, a word
 * @flags: MPOL_MF_*
 *
 * Return: 0 or an errno.
 */
long core_mbind(unsigned long addr, size_t len, int mode, unsigned long nodes,
		unsigned long flags);

/**
 * core_mknod - what mknod() does
 * @path: where current->mm has the name
 * @mode: S_IFBLK or such, and permissions
 * @dev: of the device, as user space writes it
 *
 * Return: 0 or an errno.
 */
long core_mknod(unsigned long path, umode_t mode, unsigned int dev);

/**
 * core_unlink - what unlink() does
 * @path: where current->mm has the name
 *
 * Return: 0 or an errno.
 */
long core_unlink(unsigned long path);

/**
 * core_swapon - what swapon() does
 * @path: where current->mm has the name
 *
 * Return: 0 or an errno.
 */
long core_swapon(unsigned long path);

/**
 * core_swapoff - what swapoff() does
 * @path: where current->mm has the name
 *
 * Return: 0 or an errno.
 */
long core_swapoff(unsigned long path);

/**
 * core_memfd_secret - a file of secret memory, as memfd_secret() makes it
 * @size: length in bytes
 *
 * Return: a file descriptor or an errno.
 */
long core_memfd_secret(size_t size);

/**
 * core_reap - what the OOM reaper does to a mapping of its victim
 * @addr: an address of it, in current->mm
 *
 * Context: process context; takes mmap_lock for reading.
 * Return: 0 or an errno.
 */
int core_reap(unsigned long addr);

/**
 * core_unmap - what reclaim does to a page before it frees it
 * @folio: an unlocked folio, of which the caller has a reference
 *
 * Return: number of mappings that are left, or an errno.
 */
int core_unmap(struct folio *folio);

/**
 * core_access - what access_remote_vm() does, which ptrace() uses
 * @mm: the mm
 * @addr: any address
 * @buf: kernel memory
 * @len: length in bytes
 * @write: to the mm, else from it
 *
 * Return: number of bytes.
 */
int core_access(struct mm_struct *mm, unsigned long addr, void *buf, int len,
		bool write);

/**
 * core_walk - what folio_walk_start() finds in current->mm
 * @addr: the address
 *
 * Return: the page frame of the page, 0 if it finds none.
 */
unsigned long core_walk(unsigned long addr);

/**
 * core_pledge - count one mapping more of a locked anonymous folio
 * @folio: the folio, which gets a reference more as well
 * @addr: where current->mm would have it
 *
 * Context: process context, may sleep; takes mmap_lock for reading.
 */
void core_pledge(struct folio *folio, unsigned long addr);

/**
 * core_redeem - take back what core_pledge() did
 * @folio: the folio
 * @addr: as it was then
 *
 * Context: process context, may sleep; takes mmap_lock for reading.
 */
void core_redeem(struct folio *folio, unsigned long addr);

/**
 * core_unmap_to_migrate - try_to_migrate()
 * @folio: a locked folio of which the caller has a reference
 */
void core_unmap_to_migrate(struct folio *folio);

/**
 * core_map_again - remove_migration_ptes(), to where it was
 * @folio: what core_unmap_to_migrate() has unmapped
 */
void core_map_again(struct folio *folio);

/**
 * core_unmap_locked - try_to_unmap(), as reclaim does
 * @folio: a locked folio of which the caller has a reference
 */
void core_unmap_locked(struct folio *folio);

/**
 * core_unmap_poisoned - try_to_unmap(), as memory_failure() does
 * @folio: a locked folio that is marked, of which the caller has a reference
 *
 * Context: process context, may sleep.
 */
void core_unmap_poisoned(struct folio *folio);

/**
 * core_unlocked - is the lock of an entry of current->mm free?
 * @addr: the address of a page; there are tables down to that of the PMDs
 *
 * If it is not, it is let go of, because whoever has it will not.
 *
 * Return: whether it was, as far as this kernel knows: one that is for a single
 * CPU may have no locks.
 */
bool core_unlocked(unsigned long addr);

/**
 * core_queued - is a folio in the queue of those to be split later?
 * @folio: a large folio
 *
 * Return: whether it is.
 */
bool core_queued(struct folio *folio);

/**
 * core_fault_once - one page fault of current->mm, not repeated
 * @addr: the address
 * @write: for writing
 *
 * Context: process context, may sleep; takes mmap_lock for reading.
 * Return: what handle_mm_fault() returned.
 */
vm_fault_t core_fault_once(unsigned long addr, bool write);

/**
 * core_held - what the caller holds that does not let it sleep
 *
 * A spinlock, a mapped page table or a reader of RCU, as far as the kernel
 * counts them.
 *
 * Return: a number that has to be the same before and after any call.
 */
unsigned int core_held(void);

/**
 * core_waits_or_done - let another thread run until it is done, or waits
 * @task: the thread, of which the caller holds a reference
 * @done: completed by the thread at its end
 *
 * Return: whether it waits.
 */
bool core_waits_or_done(struct task_struct *task, struct completion *done);

#endif /* CONTRACTS_CORE_MM_H */
