/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model of what a process and its devices do with a few pages: operations,
 * and a shadow of each page that knows what it has to hold, where it may be
 * and who may use it. Pure: nothing here touches an mm. model_exec.h does the
 * operations, model_judge.h compares.
 *
 * What a page holds is known exactly, always. Where it is the kernel has some
 * say in, so a place is a set, which an operation widens or moves and which
 * every look at the real page narrows again.
 */
#ifndef DMIRROR_KUNIT_MODEL_H
#define DMIRROR_KUNIT_MODEL_H

#include <linux/bits.h>
#include <linux/prandom.h>
#include <linux/types.h>

/* The case's own mm, and that of a forked child. */
#define MODEL_MMS 2
#define MODEL_DEVICES 2
/* Of each mm: two of the first device, one of the second. */
#define MODEL_MIRRORS 3

/* A failure point number that stands for no failure. */
#define MODEL_NO_FAILURE 0xff

/**
 * enum model_kind - operations
 * @MODEL_CPU_READ: the CPU reads
 * @MODEL_CPU_WRITE: the CPU writes
 * @MODEL_DEV_READ: the device reads, through a mirror
 * @MODEL_DEV_WRITE: the device writes
 * @MODEL_TO_DEV: migrate to the mirror's device
 * @MODEL_TO_RAM: migrate back from it
 * @MODEL_EVICT: everything of the mirror's device comes home
 * @MODEL_EXCLUSIVE: the mirror takes pages for itself alone
 * @MODEL_PROTECT: mprotect()
 * @MODEL_UNMAP: munmap()
 * @MODEL_MAP: mmap() over whatever is there
 * @MODEL_REMAP: mremap() to another place of the window
 * @MODEL_DONTNEED: madvise(MADV_DONTNEED)
 * @MODEL_FREE: madvise(MADV_FREE)
 * @MODEL_PAGEOUT: madvise(MADV_PAGEOUT), without swap
 * @MODEL_COLLAPSE: madvise(MADV_COLLAPSE)
 * @MODEL_SPLIT: split the folio that a page is in
 * @MODEL_FORK: fork(), if there is no child
 * @MODEL_EXIT: the child exits
 * @MODEL_KINDS: number of operations
 */
enum model_kind {
	MODEL_CPU_READ,
	MODEL_CPU_WRITE,
	MODEL_DEV_READ,
	MODEL_DEV_WRITE,
	MODEL_TO_DEV,
	MODEL_TO_RAM,
	MODEL_EVICT,
	MODEL_EXCLUSIVE,
	MODEL_PROTECT,
	MODEL_UNMAP,
	MODEL_MAP,
	MODEL_REMAP,
	MODEL_DONTNEED,
	MODEL_FREE,
	MODEL_PAGEOUT,
	MODEL_COLLAPSE,
	MODEL_SPLIT,
	MODEL_FORK,
	MODEL_EXIT,
	MODEL_KINDS,
};

/* Protections: one implies the one before. */
enum model_prot {
	MODEL_PROT_NONE,
	MODEL_PROT_READ,
	MODEL_PROT_WRITE,
};

/* Places, as bits of a set. */
enum {
	/* Nothing is there yet. */
	MODEL_NONE = BIT(0),
	/* The zero page. */
	MODEL_ZERO = BIT(1),
	MODEL_SYSTEM = BIT(2),
	/* System memory, and the CPU has no access until it asks for it. */
	MODEL_EXCLUSIVE_PAGE = BIT(3),
	/* Memory of device 0; that of device 1 is the next bit. */
	MODEL_DEVICE = BIT(4),
};

/**
 * struct model_op - one operation
 * @id: its number in the walk, for stamps and messages
 * @kind: enum model_kind
 * @child: the child does it
 * @mirror: which mirror
 * @prot: the new protection
 * @page: first page
 * @nr: number of pages
 * @to: first page of where MODEL_REMAP goes
 * @fail: enum dmirror_inject_point that fails meanwhile, or MODEL_NO_FAILURE
 * @nth: at which pass
 * @hold: somebody holds the page in the middle meanwhile, so it cannot migrate
 * @keep: MODEL_REMAP leaves an empty mapping behind; MODEL_EXIT ends the
 *	child's mirrors before its mm
 */
struct model_op {
	u32 id;
	u8 kind;
	u8 child;
	u8 mirror;
	u8 prot;
	u16 page;
	u16 nr;
	u16 to;
	u8 fail;
	u8 nth;
	bool hold;
	bool keep;
};

/**
 * struct model_config - what is walked over
 * @npages: pages in the window, a multiple of @span
 * @span: pages of a large folio, 1 if there are none
 * @coherent: the devices' memory is coherent, else private
 * @lazy_free: MODEL_FREE and MODEL_PAGEOUT may be walked
 * @avoid_shared_large: nothing migrates as long as there is a child, because
 *	the kernel warns (kernel-bugs.rst: remove_migration_pmd())
 * @lax_cpu: the CPU reads what is PROT_NONE, and takes a fault less than it
 *	should (kernel-bugs.rst: arch/um)
 */
struct model_config {
	unsigned int npages;
	unsigned int span;
	bool coherent;
	bool lazy_free;
	bool avoid_shared_large;
	bool lax_cpu;
};

/**
 * struct model_page - what is known of one page of one mm
 * @stamp: what it holds, 0 for zeroes
 * @peer: 1 + number of the page of the other mm with which it shares memory
 * @peer_unsure: or did, before something went wrong half way
 * @places: where it may be
 * @prot: enum model_prot
 * @mapped: there is a mapping
 * @lazy: the kernel may make it zero
 * @writable: was seen writable by the CPU at the last look
 * @exclusive: 1 + mirror that may have it for itself
 * @exclusive_sure: and does
 * @claimant: 1 + mirror that tried last: what it maps it may keep meanwhile
 */
struct model_page {
	u64 stamp;
	u16 peer;
	bool peer_unsure;
	u8 places;
	u8 prot;
	bool mapped;
	bool lazy;
	bool writable;
	u8 exclusive;
	bool exclusive_sure;
	u8 claimant;
};

/**
 * struct model - the shadow
 * @config: what is walked over
 * @pages: by mm; the child's mean nothing without a child
 * @child: there is one
 */
struct model {
	const struct model_config *config;
	struct model_page *pages[MODEL_MMS];
	bool child;
};

/**
 * struct model_result - what an operation said
 * @ret: 0 or an errno
 * @done: pages that it says it did
 */
struct model_result {
	int ret;
	unsigned long done;
};

/**
 * struct model_verdict - the first thing that is wrong
 * @check: which check found it; NULL as long as nothing is wrong
 * @text: page, address, got and wanted
 */
struct model_verdict {
	const char *check;
	char text[200];
};

/**
 * model_device - the device of a mirror
 * @mirror: number of the mirror
 *
 * Return: number of the device.
 */
static inline unsigned int model_device(unsigned int mirror)
{
	return mirror == MODEL_MIRRORS - 1;
}

/**
 * model_stamp - what an operation writes to a page
 * @op: the operation
 * @page: number of the page
 *
 * Return: a word that no other operation and no other page gets, never 0.
 */
static inline u64 model_stamp(const struct model_op *op, unsigned int page)
{
	return ((u64)op->id + 1) << 32 | (op->child ? BIT(31) : 0) | page;
}

/**
 * model_is_lax - are places known by large folio only
 * @config: what is walked over
 *
 * Return: true if there are large folios.
 */
static inline bool model_is_lax(const struct model_config *config)
{
	return config->span > 1;
}

/**
 * model_complain - say what is wrong, if nothing was so far
 * @verdict: filled in
 * @check: which check found it
 * @fmt: the rest, as for printf()
 */
__printf(3, 4)
void model_complain(struct model_verdict *verdict, const char *check,
		    const char *fmt, ...);

/**
 * model_generate - make operations at random
 * @config: what they work on
 * @rnd: where the numbers come from; nothing else has an influence
 * @ops: to be filled
 * @nr: number of operations
 */
void model_generate(const struct model_config *config, struct rnd_state *rnd,
		    struct model_op *ops, unsigned int nr);

/**
 * model_describe - an operation in a few words
 * @op: the operation
 * @buf: to be filled
 * @size: of @buf
 *
 * Return: @buf.
 */
const char *model_describe(const struct model_op *op, char *buf, size_t size);

/**
 * model_start - the window is mapped, for writing, and nothing was done yet
 * @model: config and pages are set
 */
void model_start(struct model *model);

/**
 * model_is_idle - does an operation do nothing, as things are
 * @model: the shadow
 * @op: the operation
 *
 * Return: true for the child's operations without a child, and the like.
 */
bool model_is_idle(const struct model *model, const struct model_op *op);

/**
 * model_run - count the pages at the front of a range that allow something
 * @model: the shadow
 * @op: the operation, of which the range and the mm matter
 * @prot: what they have to allow
 *
 * Return: number of pages.
 */
unsigned int model_run(const struct model *model, const struct model_op *op,
		       enum model_prot prot);

/**
 * model_apply - what an operation does to the shadow
 * @model: the shadow
 * @op: the operation
 * @result: what it said
 * @verdict: filled in if it may not say that
 */
void model_apply(struct model *model, const struct model_op *op,
		 const struct model_result *result,
		 struct model_verdict *verdict);

typedef bool (*model_fails_fn)(const struct model_op *ops, unsigned int nr,
			       void *arg);

/**
 * model_shrink - find a short list that still fails
 * @ops: a list that fails, replaced by the short one
 * @nr: its length
 * @scratch: as long as @ops
 * @fails: tries a list
 * @arg: handed to @fails
 * @tries: most calls of @fails
 *
 * Delta debugging: parts are left out, then single operations, and at last the
 * ones that remain are made simpler.
 *
 * Return: the new length.
 */
unsigned int model_shrink(struct model_op *ops, unsigned int nr,
			  struct model_op *scratch, model_fails_fn fails,
			  void *arg, unsigned int tries);

#endif /* DMIRROR_KUNIT_MODEL_H */
