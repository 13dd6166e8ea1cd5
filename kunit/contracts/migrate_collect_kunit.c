// SPDX-License-Identifier: GPL-2.0
/*
 * What migrate_vma_setup() selects, and what it writes into src[], dst[],
 * cpages and npages: mm/migrate_device.c, include/linux/migrate.h and step 2
 * of Documentation/mm/hmm.rst. Every case ends with a migration that does
 * nothing, after which everything has to be as it was.
 *
 * Elsewhere: swap and the swap cache (swap_kunit.c), ranges of userfaultfd
 * (userfaultfd_kunit.c), bits that go with a page (migrate_bits_kunit.c), NUMA
 * hints (numa_kunit.c), hugetlb mappings (hmm_hugetlb_kunit.c), DAX
 * mappings (migrate_args_kunit.c).
 */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/rmap.h>
#include <linux/shmem_fs.h>

#include "../user.h"
#include "migrate_see.h"

#define RW (PROT_READ | PROT_WRITE)

#define SYSTEM MIGRATE_VMA_SELECT_SYSTEM
#define PRIVATE MIGRATE_VMA_SELECT_DEVICE_PRIVATE
#define COHERENT MIGRATE_VMA_SELECT_DEVICE_COHERENT

/* Combinations of the MIGRATE_VMA_SELECT_* flags. */
#define NR_FLAGS (2 * MIGRATE_VMA_SELECT_COMPOUND)

/* Whether src[] names a page, and what else it says. */
#define IS_PAGE MIGRATE_PFN_VALID
#define HOLE MIGRATE_PFN_MIGRATE
#define PAGE_R (IS_PAGE | MIGRATE_PFN_MIGRATE)
#define PAGE_W (PAGE_R | MIGRATE_PFN_WRITE)

/**
 * struct scene - a page that is to be collected, between two ordinary ones
 * @test: the case
 * @toy: the device that asks
 * @other: another device
 * @addr: three pages; it is the second one that matters
 * @page: for the undoing
 */
struct scene {
	struct kunit *test;
	struct toy *toy;
	struct toy *other;
	unsigned long addr;
	struct page *page;
};

/**
 * struct content - what the page is
 * @name: in the case's name
 * @make: makes it so; @addr and its neighbours are mapped and never touched
 * @undo: after the last migration
 * @flags: the MIGRATE_VMA_SELECT_* flag that selects it
 * @always: it is selected whatever the flags are
 * @src: what src[] says when it is selected, 0 if it never is
 * @type: of the memory of both devices
 * @theirs: it is the other device's, so that the owner does not match
 * @shared: of a mapping of shared memory
 */
struct content {
	const char *name;
	void (*make)(struct scene *scene, unsigned long addr);
	void (*undo)(struct scene *scene);
	unsigned long flags;
	bool always;
	unsigned long src;
	enum memory_type type;
	bool theirs;
	bool shared;
};

static void make_nothing(struct scene *scene, unsigned long addr)
{
}

static void make_zero(struct scene *scene, unsigned long addr)
{
	dmirror_user_touch(scene->test, addr, 1);
}

static void make_written(struct scene *scene, unsigned long addr)
{
	dmirror_user_fill(scene->test, addr, 1, 2);
}

/* All three pages, because a range has to be of one VMA. */
static void make_read_only(struct scene *scene, unsigned long addr)
{
	dmirror_user_fill(scene->test, addr, 1, 2);
	dmirror_user_protect(scene->test, scene->addr, 3, PROT_READ);
}

static void make_inaccessible(struct scene *scene, unsigned long addr)
{
	dmirror_user_fill(scene->test, addr, 1, 2);
	dmirror_user_protect(scene->test, scene->addr, 3, PROT_NONE);
}

static void make_ours(struct scene *scene, unsigned long addr)
{
	dmirror_user_fill(scene->test, addr, 1, 2);
	toy_to_device(scene->test, scene->toy, addr, 1);
}

static void make_ours_read_only(struct scene *scene, unsigned long addr)
{
	make_ours(scene, addr);
	dmirror_user_protect(scene->test, scene->addr, 3, PROT_READ);
}

static void make_theirs(struct scene *scene, unsigned long addr)
{
	dmirror_user_fill(scene->test, addr, 1, 2);
	toy_to_device(scene->test, scene->other, addr, 1);
}

static void make_held(struct scene *scene, unsigned long addr)
{
	dmirror_user_fill(scene->test, addr, 1, 2);
	KUNIT_ASSERT_EQ(scene->test,
			get_user_pages_fast(addr, 1, FOLL_WRITE, &scene->page),
			1);
}

static void undo_held(struct scene *scene)
{
	put_page(scene->page);
}

static void make_pinned(struct scene *scene, unsigned long addr)
{
	dmirror_user_fill(scene->test, addr, 1, 2);
	KUNIT_ASSERT_EQ(scene->test,
			pin_user_pages_fast(addr, 1, FOLL_WRITE, &scene->page),
			1);
}

static void undo_pinned(struct scene *scene)
{
	unpin_user_page(scene->page);
}

static void make_locked(struct scene *scene, unsigned long addr)
{
	make_held(scene, addr);
	lock_page(scene->page);
	put_page(scene->page);
}

static void make_locked_ours(struct scene *scene, unsigned long addr)
{
	struct seen seen;

	make_ours(scene, addr);
	seen = migrate_see(current->mm, addr);
	scene->page = pfn_to_page(seen.pfn);
	lock_page(scene->page);
}

static void undo_locked(struct scene *scene)
{
	unlock_page(scene->page);
}

/* The CPU has lost its mapping to a device that wants to be alone. */
static void make_exclusive(struct scene *scene, unsigned long addr)
{
	struct folio *folio;
	struct page *page;

	dmirror_user_fill(scene->test, addr, 1, 2);
	mmap_read_lock(current->mm);
	page = make_device_exclusive(current->mm, addr, scene->toy, &folio);
	mmap_read_unlock(current->mm);
	KUNIT_ASSERT_FALSE(scene->test, IS_ERR(page));
	folio_unlock(folio);
	folio_put(folio);
}

static const struct content contents[] = {
	/* "pte_none() [...] we do set MIGRATE_PFN_MIGRATE" */
	{ "hole", make_nothing, .always = true, .src = HOLE },
	/* "is_zero_pfn() [...] results in a valid zero PFN" */
	{ "zero_page", make_zero, .flags = SYSTEM, .src = HOLE },
	{ "page", make_written, .flags = SYSTEM, .src = PAGE_W },
	{ "read_only_page", make_read_only, .flags = SYSTEM, .src = PAGE_R },
	{ "inaccessible_page", make_inaccessible, .flags = SYSTEM,
	  .src = PAGE_R },
	/* "pages that are pinned [are restored]": any reference does that */
	{ "held_page", make_held, undo_held },
	{ "pinned_page", make_pinned, undo_pinned },
	/* best effort: nothing waits for a lock */
	{ "locked_page", make_locked, undo_locked },
	{ "locked_private_page", make_locked_ours, undo_locked,
	  .type = MEMORY_DEVICE_PRIVATE },
	{ "locked_coherent_page", make_locked_ours, undo_locked,
	  .type = MEMORY_DEVICE_COHERENT },
	{ "exclusive_to_a_device", make_exclusive },
	/* by flag and owner */
	{ "private_page", make_ours, .flags = PRIVATE, .src = PAGE_W,
	  .type = MEMORY_DEVICE_PRIVATE },
	{ "private_read_only_page", make_ours_read_only, .flags = PRIVATE,
	  .src = PAGE_R, .type = MEMORY_DEVICE_PRIVATE },
	{ "private_page_of_another", make_theirs, .flags = PRIVATE,
	  .src = PAGE_W, .type = MEMORY_DEVICE_PRIVATE, .theirs = true },
	{ "coherent_page", make_ours, .flags = COHERENT, .src = PAGE_W,
	  .type = MEMORY_DEVICE_COHERENT },
	{ "coherent_read_only_page", make_ours_read_only, .flags = COHERENT,
	  .src = PAGE_R, .type = MEMORY_DEVICE_COHERENT },
	{ "coherent_page_of_another", make_theirs, .flags = COHERENT,
	  .src = PAGE_W, .type = MEMORY_DEVICE_COHERENT, .theirs = true },
	/* "Only allow populating anonymous memory" */
	{ "hole_of_shared_memory", make_nothing, .shared = true },
	{ "page_of_shared_memory", make_written, .flags = SYSTEM,
	  .src = PAGE_W, .shared = true },
};

KUNIT_ARRAY_PARAM_DESC(content, contents, name);

static struct scene scene_get(struct kunit *test, const struct content *content)
{
	struct scene scene = { .test = test };

	migrate_suite_requires(test);
	if (!content->type)
		scene.toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	else
		scene.toy = toy_get(test, content->type, TOY_PAGES);
	if (content->theirs)
		scene.other = toy_get(test, content->type, TOY_PAGES);
	scene.addr = content->shared ? dmirror_user_map_shared(test, 3) :
				       dmirror_user_map(test, 3, RW);
	dmirror_user_fill(test, scene.addr, 1, 1);
	dmirror_user_fill(test, scene.addr + 2 * PAGE_SIZE, 1, 3);
	content->make(&scene, scene.addr + PAGE_SIZE);

	return scene;
}

/* What src[] has to say of the page in the middle. */
static unsigned long wanted_src(const struct content *content,
				const struct seen *seen, unsigned long flags,
				bool owned)
{
	if (!content->src)
		return 0;
	if (!content->always && !(flags & content->flags))
		return 0;
	if (content->flags & (PRIVATE | COHERENT) && !owned)
		return 0;
	if (content->src & IS_PAGE)
		return migrate_pfn(seen->pfn) | content->src;

	return content->src;
}

/* One migration of three pages that does nothing. */
static void collect_once(struct scene *scene, const struct content *content,
			 const struct seen *seen, unsigned long flags,
			 struct toy *owner)
{
	bool owned = owner == (content->theirs ? scene->other : scene->toy);
	struct kunit *test = scene->test;
	unsigned long i, cpages = 0;
	struct attempt attempt;

	attempt_init(test, &attempt, owner, scene->addr, 3, flags);
	DMIRROR_EXPECT_ERRNO(test, attempt_abort(&attempt), 0, "collect");
	attempt_expect_balance(test, &attempt, "that was aborted");
	for (i = 0; i < 3; i++) {
		unsigned long want = 0;

		if (i == 1)
			want = wanted_src(content, &seen[i], flags, owned);
		else if (flags & SYSTEM)
			want = migrate_pfn(seen[i].pfn) | PAGE_R |
			       (seen[i].write ? MIGRATE_PFN_WRITE : 0);
		cpages += !!want;
		attempt_expect_src(test, &attempt, attempt.setup, i, want,
				   "after setup");
		attempt_expect_src(test, &attempt, attempt.pages, i,
				   want & ~MIGRATE_PFN_MIGRATE,
				   "after pages without any dst");
		KUNIT_EXPECT_EQ_MSG(test, attempt.move.args.dst[i], 0UL,
				    "dst[%lu] after setup, flags 0x%lx", i,
				    flags);
	}
	KUNIT_EXPECT_EQ_MSG(test, attempt.cpages, cpages,
			    "cpages, flags 0x%lx", flags);
	KUNIT_EXPECT_EQ_MSG(test, attempt.npages, 3UL, "npages, flags 0x%lx",
			    flags);
	KUNIT_EXPECT_EQ_MSG(test, attempt.end, scene->addr + 3 * PAGE_SIZE,
			    "end, flags 0x%lx", flags);
}

/* A migration marks what it touches, here once and for all. */
static void touch_by_migration(struct scene *scene, struct seen *seen)
{
	struct attempt attempt;
	unsigned long i;

	attempt_init(scene->test, &attempt, scene->toy, scene->addr, 3,
		     SYSTEM | PRIVATE | COHERENT);
	DMIRROR_EXPECT_ERRNO(scene->test, attempt_abort(&attempt), 0,
			     "collect");
	attempt_expect_balance(scene->test, &attempt, "that was aborted");
	user_lru_drain();
	for (i = 0; i < 3; i++)
		seen[i] = migrate_see(current->mm,
				      scene->addr + i * PAGE_SIZE);
}

/* All combinations of flags, as owner and as another, on every content. */
static void flags_and_owner_select(struct kunit *test)
{
	const struct content *content = test->param_value;
	struct scene scene = scene_get(test, content);
	struct toy *other = scene.other ? scene.other : (void *)test;
	struct books books = migrate_books(current->mm);
	unsigned long flags, done = 0, i;
	struct seen seen[3];

	touch_by_migration(&scene, seen);
	for (flags = 0; flags < NR_FLAGS; flags++) {
		collect_once(&scene, content, seen, flags, scene.toy);
		collect_once(&scene, content, seen, flags, other);
		done += 2;
	}
	KUNIT_EXPECT_EQ_MSG(test, done, 32UL, "combinations tried");
	for (i = 0; i < 3; i++)
		migrate_expect_still(test, scene.addr + i * PAGE_SIZE,
				     &seen[i], "after all of them");
	migrate_expect_books(test, &books, "after all of them");
	if (content->undo)
		content->undo(&scene);
}

/* A range goes over what belongs to several: each entry for itself. */
static void several_owners_in_one_range(struct kunit *test)
{
	struct toy *ours, *theirs, *coherent;
	unsigned long addr, i, flags, cpages;
	struct attempt attempt;
	struct seen seen[5];

	migrate_suite_requires(test);
	ours = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	theirs = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	coherent = toy_get(test, MEMORY_DEVICE_COHERENT, TOY_PAGES);
	addr = dmirror_user_map(test, 5, RW);
	dmirror_user_fill(test, addr, 4, 1);
	toy_to_device(test, ours, addr, 1);
	toy_to_device(test, theirs, addr + PAGE_SIZE, 1);
	toy_to_device(test, coherent, addr + 2 * PAGE_SIZE, 1);
	for (i = 0; i < 5; i++)
		seen[i] = migrate_see_settled(addr + i * PAGE_SIZE);

	for (flags = 0; flags < NR_FLAGS; flags++) {
		unsigned long want[5] = { [4] = HOLE };

		if (flags & PRIVATE)
			want[0] = migrate_pfn(seen[0].pfn) | PAGE_W;
		if (flags & SYSTEM)
			want[3] = migrate_pfn(seen[3].pfn) | PAGE_W;
		cpages = 1 + hweight_long(flags & (PRIVATE | SYSTEM));
		attempt_init(test, &attempt, ours, addr, 5, flags);
		DMIRROR_EXPECT_ERRNO(test, attempt_abort(&attempt), 0,
				     "collect");
		attempt_expect_balance(test, &attempt, "that was aborted");
		for (i = 0; i < 5; i++)
			attempt_expect_src(test, &attempt, attempt.setup, i,
					   want[i], "after setup");
		KUNIT_EXPECT_EQ(test, attempt.cpages, cpages);
	}
}

static int idle(void *data)
{
	return 0;
}

/* "unmapped from the process": from all of them, and none may write. */
static void shared_page_is_selected_read_only(struct kunit *test)
{
	struct seen before, during, after;
	struct user_child child;
	struct attempt attempt;
	unsigned long addr;
	struct toy *toy;
	int forked, ret = 0;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 1, RW);
	dmirror_user_fill(test, addr, 1, 1);
	attempt_init(test, &attempt, toy, addr, 1, SYSTEM);
	forked = user_fork(&child);
	if (!forked) {
		user_ask(&child, idle, NULL);
		before = migrate_see_settled(addr);
		ret = attempt_collect(&attempt);
		if (!ret) {
			during = migrate_see(current->mm, addr);
			attempt_pages(&attempt);
			toy_finish(&attempt.move);
		}
		after = migrate_see_settled(addr);
		user_reap(&child);
	}
	DMIRROR_ASSERT_OK(test, forked, "fork");
	DMIRROR_ASSERT_OK(test, ret, "collect");
	KUNIT_EXPECT_EQ_MSG(test, before.maps, 2, "mappings after a fork");
	attempt_expect_src(test, &attempt, attempt.setup, 0,
			   migrate_pfn(before.pfn) | PAGE_R, "after setup");
	KUNIT_EXPECT_EQ_MSG(test, during.kind, SEEN_MIGRATION,
			    "entry between setup and finalize");
	KUNIT_EXPECT_FALSE(test, during.write);
	/* What was dirty in the entry is dirty in the folio from now on. */
	before.folio_dirty |= before.dirty;
	migrate_expect_seen(test, addr, &after, &before, "after nothing moved");
}

/* What one migration has taken, the next one leaves alone. B11. */
static void page_in_migration_is_not_selected(struct kunit *test)
{
	struct attempt first, second;
	int ret, again = -EINVAL;
	unsigned long addr;
	struct toy *toy;
	unsigned int preempt, i;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 2, RW);
	dmirror_user_fill(test, addr, 2, 1);
	attempt_init(test, &first, toy, addr, 2, SYSTEM);
	attempt_init(test, &second, toy, addr, 2, SYSTEM | PRIVATE | COHERENT);
	preempt = preempt_count();
	ret = attempt_collect(&first);
	if (!ret) {
		/* With the lock that the first one holds. */
		second.move.args.vma = first.move.args.vma;
		again = migrate_vma_setup(&second.move.args);
		if (!again)
			migrate_vma_finalize(&second.move.args);
		attempt_pages(&first);
		toy_finish(&first.move);
	}
	DMIRROR_ASSERT_OK(test, ret, "first collect");
	DMIRROR_EXPECT_ERRNO(test, again, 0, "second collect");
	KUNIT_EXPECT_EQ(test, first.cpages, 2UL);
	KUNIT_EXPECT_EQ(test, second.move.args.cpages, 0UL);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ_MSG(test, second.move.args.src[i], 0UL,
				    "src[%u] of the second", i);
	KUNIT_EXPECT_EQ(test, preempt_count(), preempt);
	dmirror_user_check(test, addr, 2, 1, "after both");
}

/* A reference of somebody else's, as get_user_pages() takes one. */
static void held_device_page_is_not_selected(struct kunit *test)
{
	const struct device_kind *kind = test->param_value;
	struct attempt attempt;
	struct seen before;
	struct page *page;
	unsigned long addr;
	struct toy *toy;
	int ret;

	migrate_suite_requires(test);
	toy = toy_get(test, kind->type, TOY_PAGES);
	addr = dmirror_user_map(test, 1, RW);
	dmirror_user_fill(test, addr, 1, 1);
	toy_to_device(test, toy, addr, 1);
	before = migrate_see_settled(addr);
	page = pfn_to_page(before.pfn);
	get_page(page);
	attempt_init(test, &attempt, toy, addr, 1, kind->select);
	ret = attempt_abort(&attempt);
	put_page(page);

	DMIRROR_ASSERT_OK(test, ret, "collect");
	before.folio_dirty |= before.dirty;
	migrate_expect_still(test, addr, &before, "after nothing moved");
	if (attempt.setup[0] & MIGRATE_PFN_MIGRATE)
		DMIRROR_KNOWN_DEFECT(test,
				     "migrate_vma_setup() of a held device page");
	attempt_expect_src(test, &attempt, attempt.setup, 0, 0, "after setup");
	KUNIT_EXPECT_EQ(test, attempt.cpages, 0UL);
}

/* A page that was written to in a private mapping of a file is anonymous. */
static void private_file_mapping_gives_its_own_pages_only(struct kunit *test)
{
	struct file *file;
	struct attempt attempt;
	unsigned long addr;
	struct seen own;
	struct toy *toy;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	file = shmem_file_setup("toy", 3 * PAGE_SIZE, (vma_flags_t){ });
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	addr = vm_mmap(file, 0, 3 * PAGE_SIZE, RW, MAP_PRIVATE, 0);
	fput(file);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	dmirror_user_fill(test, addr, 1, 1);
	dmirror_user_touch(test, addr + PAGE_SIZE, 1);
	own = migrate_see_settled(addr);
	KUNIT_ASSERT_TRUE(test, own.anon);

	attempt_init(test, &attempt, toy, addr, 3, SYSTEM);
	DMIRROR_EXPECT_ERRNO(test, attempt_collect(&attempt), 0, "collect");
	toy_choose_device(&attempt.move);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	attempt_expect_src(test, &attempt, attempt.setup, 0,
			   migrate_pfn(own.pfn) | PAGE_W, "after setup");
	KUNIT_EXPECT_TRUE_MSG(test, attempt.setup[1] & MIGRATE_PFN_MIGRATE,
			      "the file's page can be collected");
	KUNIT_EXPECT_FALSE_MSG(test, attempt.pages[1] & MIGRATE_PFN_MIGRATE,
			       "but does not go to a device");
	attempt_expect_src(test, &attempt, attempt.setup, 2, 0, "of a hole");
	KUNIT_EXPECT_EQ(test, attempt.cpages, 2UL);
	KUNIT_EXPECT_EQ_MSG(test, toy->out, 1UL, "device pages in use");
	dmirror_user_check(test, addr, 1, 1, "what was written");
	dmirror_user_check(test, addr + PAGE_SIZE, 1, 0, "the file's page");
}

/* Pages beyond the range stay out of it, and the arrays end where they end. */
static void neighbours_are_left_alone(struct kunit *test)
{
	unsigned long addr, start, i;
	struct attempt attempt;
	struct seen seen[4];
	struct toy *toy;

	migrate_suite_requires(test);
	toy = toy_get(test, MEMORY_DEVICE_PRIVATE, TOY_PAGES);
	addr = dmirror_user_map(test, 4, RW);
	dmirror_user_fill(test, addr, 4, 1);
	for (i = 0; i < 4; i++)
		seen[i] = migrate_see_settled(addr + i * PAGE_SIZE);
	start = addr + PAGE_SIZE;
	attempt_init(test, &attempt, toy, start, 2, SYSTEM);
	DMIRROR_EXPECT_ERRNO(test, attempt_collect(&attempt), 0, "collect");
	toy_choose_device(&attempt.move);
	attempt_pages(&attempt);
	toy_finish(&attempt.move);
	KUNIT_EXPECT_EQ(test, attempt.npages, 2UL);
	migrate_expect_still(test, addr, &seen[0], "before the range");
	migrate_expect_still(test, addr + 3 * PAGE_SIZE, &seen[3],
			     "behind the range");
	KUNIT_EXPECT_EQ(test, toy->out, 2UL);
	dmirror_user_check(test, addr, 4, 1, "afterwards");
}

KUNIT_ARRAY_PARAM_DESC(kind, device_kinds, name);

static struct kunit_case migrate_collect_cases[] = {
	KUNIT_CASE_PARAM(flags_and_owner_select, content_gen_params),
	KUNIT_CASE(several_owners_in_one_range),
	KUNIT_CASE(shared_page_is_selected_read_only),
	KUNIT_CASE(page_in_migration_is_not_selected),
	KUNIT_CASE_PARAM(held_device_page_is_not_selected, kind_gen_params),
	KUNIT_CASE(private_file_mapping_gives_its_own_pages_only),
	KUNIT_CASE(neighbours_are_left_alone),
	{}
};

DMIRROR_SUITE_AS(migrate_collect, dmirror_case_init_mm, migrate_collect_cases);
