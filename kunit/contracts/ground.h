/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the suites about core mm begin: anonymous memory that is on a toy
 * device, all of it, of each kind that there is. And what a case does with it:
 * acts, in one process or in two, which note what they saw and are judged
 * when nothing is held any more.
 */
#ifndef CONTRACTS_GROUND_H
#define CONTRACTS_GROUND_H

#include "core_mm.h"
#include "toy.h"

struct user_child;

/* Pages of a small ground. */
#define GROUND_PAGES 4UL

/* The part of a ground, small or large, to which something special happens. */
#define GROUND_FROM 1UL
#define GROUND_TO 3UL

/**
 * struct ground_kind - what is on the device
 * @name: in the case's name
 * @type: of the memory
 * @large: one folio, mapped by a PMD; else GROUND_PAGES small ones
 */
struct ground_kind {
	const char *name;
	enum memory_type type;
	bool large;
};

/* The kinds, in the order of those that have them all. */
enum {
	GROUND_PRIVATE_PAGES,
	GROUND_PRIVATE_FOLIO,
	GROUND_COHERENT_PAGES,
	GROUND_COHERENT_FOLIO,
	GROUND_KINDS,
};

extern const struct ground_kind ground_kinds[GROUND_KINDS];

/**
 * struct ground - memory of a case, on the device
 * @toy: the device
 * @kind: of its memory
 * @mm: the case's mm
 * @addr: where it is mapped; a mapping of its own
 * @nr: number of pages
 * @rss: of the mm, without it
 */
struct ground {
	struct toy *toy;
	const struct ground_kind *kind;
	struct mm_struct *mm;
	unsigned long addr;
	unsigned long nr;
	unsigned long rss;
};

/* Parameters: every kind; all but the large coherent folio; the private ones. */
const void *ground_every_kind(struct kunit *test, const void *prev,
			      char *desc);
const void *ground_common_kinds(struct kunit *test, const void *prev,
				char *desc);
const void *ground_private_kinds(struct kunit *test, const void *prev,
				 char *desc);

/**
 * ground_get - make a ground, full of pattern 1
 * @test: the case
 * @kind: what is on the device
 *
 * Skips the case where there is no such memory. Asserts that it is all on the
 * device, once mapped, writable and exclusive.
 *
 * Return: the ground.
 */
struct ground ground_get(struct kunit *test, const struct ground_kind *kind);

static inline bool ground_private(const struct ground *ground)
{
	return ground->kind->type == MEMORY_DEVICE_PRIVATE;
}

static inline unsigned long ground_at(const struct ground *ground,
				      unsigned long page)
{
	return ground->addr + (page << PAGE_SHIFT);
}

/**
 * ground_out - what it looks like on the device, as it was in the beginning
 * @ground: the ground
 *
 * Return: what is seen of every page of it.
 */
struct core_sight ground_out(const struct ground *ground);

/**
 * ground_home - what it looks like after it came home as it was
 * @ground: the ground
 *
 * Return: what is seen of every page of it.
 */
struct core_sight ground_home(const struct ground *ground);

/**
 * enum ground_what - what a process does with pages of the ground
 * @GROUND_READ: the CPU reads them, which have to have pattern @salt
 * @GROUND_WRITE: the CPU writes pattern @salt
 * @GROUND_LOOK: they have to look like @want
 * @GROUND_UNMAP: munmap()
 * @GROUND_RSS: the process has to have as many anonymous pages, besides those
 *	that it had before
 * @GROUND_EVICT: the device sends everything home
 * @GROUND_FINISH: an eviction that was begun is ended
 * @GROUND_KILL: it gets SIGKILL, then tries to read them
 * @GROUND_PIN: they are pinned for long, for reading, and let go again; how many
 *	of them are on the device then is @got
 * @GROUND_EXIT: it exits; a child only
 */
enum ground_what {
	GROUND_READ,
	GROUND_WRITE,
	GROUND_LOOK,
	GROUND_UNMAP,
	GROUND_RSS,
	GROUND_EVICT,
	GROUND_FINISH,
	GROUND_KILL,
	GROUND_PIN,
	GROUND_EXIT,
};

/**
 * struct ground_act - one thing that a process does
 * @what: it does
 * @child: the child does it, not the case's own process
 * @from: first page
 * @to: the page behind the last one
 * @salt: the pattern, 0 for zeroes
 * @want: what is to be seen
 * @ground: where
 * @move: the eviction that GROUND_FINISH ends
 * @ret: what came of it
 * @wrong: first page with wrong contents
 * @got: its first word
 * @view: what was seen
 */
struct ground_act {
	enum ground_what what;
	bool child;
	unsigned long from;
	unsigned long to;
	u64 salt;
	struct core_sight want;
	/* The rest is filled in. */
	const struct ground *ground;
	struct toy_move *move;
	int ret;
	unsigned long wrong;
	u64 got;
	struct core_view view;
};

/**
 * ground_act - act in the case's own process, and judge
 * @test: the case
 * @ground: the ground
 * @act: what is to be done
 * @step: what was done before, for the message
 */
void ground_act(struct kunit *test, const struct ground *ground,
		struct ground_act *act, const char *step);

/**
 * ground_judge - judge an act that a case did itself, in its own process
 * @test: the case
 * @ground: the ground
 * @act: what was done, and what came of it
 * @step: what was done before, for the message
 */
void ground_judge(struct kunit *test, const struct ground *ground,
		  struct ground_act *act, const char *step);

/* The four acts that most cases consist of. */
void ground_read(struct kunit *test, const struct ground *ground,
		 unsigned long from, unsigned long to, u64 salt,
		 const char *step);
void ground_write(struct kunit *test, const struct ground *ground,
		  unsigned long from, unsigned long to, u64 salt,
		  const char *step);
void ground_look(struct kunit *test, const struct ground *ground,
		 unsigned long from, unsigned long to, struct core_sight want,
		 const char *step);
/* As many anonymous pages, and as many of the device that are out. */
void ground_count(struct kunit *test, const struct ground *ground,
		  unsigned long rss, unsigned long out, const char *step);

/**
 * ground_play - fork, and let parent and child act one after the other
 * @test: the case
 * @ground: the ground
 * @move: an eviction that was begun before, or NULL
 * @acts: what they do
 * @nr: number of acts
 *
 * The child exits at the latest after the last one. All are judged then.
 */
void ground_play(struct kunit *test, const struct ground *ground,
		 struct toy_move *move, struct ground_act *acts,
		 unsigned int nr);

/**
 * ground_evict_init - prepare an eviction in steps
 * @test: the case
 * @ground: the ground
 * @move: to be filled in
 */
void ground_evict_init(struct kunit *test, const struct ground *ground,
		       struct toy_move *move);

/**
 * ground_evict_begin - replace all entries by migration entries
 * @ground: the ground
 * @move: the eviction
 *
 * The folios are locked until ground_evict_finish(), mmap_lock is not: the
 * case must not assert.
 */
void ground_evict_begin(const struct ground *ground, struct toy_move *move);

/**
 * ground_evict_finish - bring home what has been taken
 * @move: the eviction
 *
 * Return: 0, or -EAGAIN if something did not move.
 */
int ground_evict_finish(struct toy_move *move);

#endif /* CONTRACTS_GROUND_H */
