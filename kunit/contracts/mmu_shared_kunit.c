// SPDX-License-Identifier: GPL-2.0
/*
 * What mm/mmu_notifier.c promises to those who share a classic subscription:
 * mmu_notifier_get(), mmu_notifier_put(), alloc_notifier and free_notifier, as
 * written in their kernel-doc and in include/linux/mmu_notifier.h.
 */
#include <kunit/resource.h>
#include <linux/mman.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "notify.h"

/**
 * struct shared - a subscription that alloc_notifier made
 * @mn: the subscription
 * @books: of the case
 */
struct shared {
	struct mmu_notifier mn;
	struct shared_books *books;
};

/**
 * struct shared_books - what the operations were asked, of a case
 * @allocs: calls of alloc_notifier
 * @frees: calls of free_notifier
 * @starts: calls of invalidate_range_start
 * @releases: calls of release
 * @freed: what free_notifier was last called for
 * @fail: what alloc_notifier returns, 0 for a new notifier
 * @put_in_release: release puts the subscription
 */
struct shared_books {
	atomic_t allocs;
	atomic_t frees;
	atomic_t starts;
	atomic_t releases;
	struct mmu_notifier *freed;
	int fail;
	bool put_in_release;
};

/* alloc_notifier is told the mm only, and there is one case at a time. */
static struct shared_books books;

static void shared_synchronize(void *data)
{
	mmu_notifier_synchronize();
}

static void books_open(struct kunit *test)
{
	books = (struct shared_books){ };
	/* Whatever happens, free_notifier has been called when the case ends. */
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test,
							shared_synchronize,
							NULL), 0);
}

static struct mmu_notifier *shared_alloc(struct mm_struct *mm)
{
	struct shared *shared;

	atomic_inc(&books.allocs);
	if (books.fail)
		return ERR_PTR(books.fail);
	shared = kzalloc_obj(*shared);
	if (!shared)
		return ERR_PTR(-ENOMEM);
	shared->books = &books;

	return &shared->mn;
}

static void shared_free(struct mmu_notifier *mn)
{
	struct shared *shared = container_of(mn, struct shared, mn);

	shared->books->freed = mn;
	atomic_inc(&shared->books->frees);
	kfree(shared);
}

static int shared_start(struct mmu_notifier *mn,
			const struct mmu_notifier_range *range)
{
	atomic_inc(&container_of(mn, struct shared, mn)->books->starts);

	return 0;
}

static void shared_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct shared *shared = container_of(mn, struct shared, mn);

	atomic_inc(&shared->books->releases);
	if (shared->books->put_in_release)
		mmu_notifier_put(mn);
}

static const struct mmu_notifier_ops shared_ops = {
	.invalidate_range_start = shared_start,
	.release = shared_release,
	.alloc_notifier = shared_alloc,
	.free_notifier = shared_free,
};

/* The same functions: it is the pointer to the table that counts. */
static const struct mmu_notifier_ops shared_other_ops = {
	.invalidate_range_start = shared_start,
	.release = shared_release,
	.alloc_notifier = shared_alloc,
	.free_notifier = shared_free,
};

static void shared_tlbs(struct mmu_notifier *mn, struct mm_struct *mm,
			unsigned long start, unsigned long end)
{
}

/* Cannot be registered. */
static const struct mmu_notifier_ops shared_wrong_ops = {
	.invalidate_range_start = shared_start,
	.arch_invalidate_secondary_tlbs = shared_tlbs,
	.alloc_notifier = shared_alloc,
	.free_notifier = shared_free,
};

static void one_round(void)
{
	struct mmu_notifier_range range = notify_range(PAGE_SIZE,
						       2 * PAGE_SIZE);

	notify_start(&range);
	notify_end(&range);
}

/* "returns an already existing notifier": one for each mm and ops. */
static void get_finds_the_one_with_the_same_ops(struct kunit *test)
{
	struct mmu_notifier *one, *two, *other;

	books_open(test);
	one = mmu_notifier_get(&shared_ops, current->mm);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, one);
	two = mmu_notifier_get(&shared_ops, current->mm);
	other = mmu_notifier_get(&shared_other_ops, current->mm);
	KUNIT_EXPECT_PTR_EQ(test, one, two);
	KUNIT_EXPECT_PTR_NE(test, one, other);
	KUNIT_EXPECT_PTR_EQ(test, one->mm, current->mm);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&books.allocs), 2,
			    "calls of alloc_notifier");

	mmu_notifier_put(one);
	mmu_notifier_put(two);
	mmu_notifier_put(other);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&books.frees), 2,
			    "calls of free_notifier");
	/* "the get/put flow only calls ops->release when the mm is destroyed" */
	KUNIT_EXPECT_EQ(test, atomic_read(&books.releases), 0);
}

/* Called until the last put, and freed after mmu_notifier_synchronize(). */
static void last_put_frees(struct kunit *test)
{
	struct mmu_notifier *mn, *same;
	int frees;

	DMIRROR_REQUIRES_BUILTIN(test);
	books_open(test);
	mn = mmu_notifier_get(&shared_ops, current->mm);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mn);
	same = mmu_notifier_get(&shared_ops, current->mm);
	KUNIT_EXPECT_PTR_EQ(test, same, mn);

	mmu_notifier_put(mn);
	mmu_notifier_synchronize();
	frees = atomic_read(&books.frees);
	one_round();
	KUNIT_EXPECT_EQ_MSG(test, frees, 0, "freed by the first put of two");
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&books.starts), 1,
			    "starts after the first put of two");

	mmu_notifier_put(mn);
	one_round();
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&books.starts), 1,
			    "starts after the last put");
	mmu_notifier_synchronize();
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&books.frees), 1,
			    "freed after synchronize");
	KUNIT_EXPECT_PTR_EQ(test, books.freed, mn);
}

/* One that was put for the last time is not found any more. */
static void get_after_the_last_put_is_a_new_one(struct kunit *test)
{
	struct mmu_notifier *mn;
	unsigned int i;

	books_open(test);
	for (i = 0; i < 3; i++) {
		mn = mmu_notifier_get(&shared_ops, current->mm);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mn);
		mmu_notifier_put(mn);
	}
	mmu_notifier_synchronize();
	KUNIT_EXPECT_EQ(test, atomic_read(&books.allocs), 3);
	KUNIT_EXPECT_EQ(test, atomic_read(&books.frees), 3);
}

/* "This function can be called from the ops->release callback" */
static void release_may_put(struct kunit *test)
{
	struct mmu_notifier *mn;

	books_open(test);
	books.put_in_release = true;
	mn = mmu_notifier_get(&shared_ops, current->mm);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mn);
	dmirror_user_exit(test);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_EQ(test, atomic_read(&books.releases), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&books.frees), 1);
}

/* The subscription pins the mm that it is of, beyond its death. */
static void put_after_the_mm_died(struct kunit *test)
{
	struct mmu_notifier *mn;

	books_open(test);
	mn = mmu_notifier_get(&shared_ops, current->mm);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mn);
	dmirror_user_exit(test);
	KUNIT_EXPECT_EQ(test, atomic_read(&books.releases), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&mn->mm->mm_users), 0);
	mmu_notifier_put(mn);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_EQ(test, atomic_read(&books.frees), 1);
}

static void get_passes_on_a_failed_alloc(struct kunit *test)
{
	struct mmu_notifier *mn;

	books_open(test);
	books.fail = -ENODEV;
	mn = mmu_notifier_get(&shared_ops, current->mm);
	DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(mn), -ENODEV,
			     "get with a failing alloc_notifier");
	KUNIT_EXPECT_EQ(test, atomic_read(&books.frees), 0);
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(current->mm));
}

/* What was allocated and could not be registered is given back. */
static void get_frees_what_cannot_be_registered(struct kunit *test)
{
	struct mmu_notifier *mn = NULL;

	books_open(test);
	kunit_warning_suppress(test)
		mn = mmu_notifier_get(&shared_wrong_ops, current->mm);
	DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(mn), -EINVAL,
			     "get with ops that exclude each other");
	KUNIT_EXPECT_EQ(test, atomic_read(&books.frees), 1);

	dmirror_user_map(test, 1, PROT_READ);
	dmirror_killable(test);
	send_sig(SIGKILL, current, 1);
	mn = mmu_notifier_get(&shared_ops, current->mm);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, PTR_ERR_OR_ZERO(mn), -EINTR,
			     "get when killed");
	KUNIT_EXPECT_EQ(test, atomic_read(&books.frees), 2);
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(current->mm));
}

static void get_refuses_too_many_users(struct kunit *test)
{
	struct mmu_notifier *mn, *one_more;
	unsigned int users;

	books_open(test);
	mn = mmu_notifier_get(&shared_ops, current->mm);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mn);
	/* As if that many had called. */
	mn->users = UINT_MAX;
	one_more = mmu_notifier_get(&shared_ops, current->mm);
	users = mn->users;
	mn->users = 1;
	mmu_notifier_put(mn);

	if (PTR_ERR_OR_ZERO(one_more) != -EOVERFLOW)
		KUNIT_FAIL(test, "user 2^32 got %pe wanted %pe", one_more,
			   ERR_PTR(-EOVERFLOW));
	KUNIT_EXPECT_EQ(test, users, UINT_MAX);
}

static void put_once_too_often_warns(struct kunit *test)
{
	struct mmu_notifier *mn;
	int warnings = 0, frees;

	books_open(test);
	mn = mmu_notifier_get(&shared_ops, current->mm);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mn);
	/* As if it had been put, for it is still there to look at. */
	mn->users = 0;
	kunit_warning_suppress(test) {
		mmu_notifier_put(mn);
		warnings = KUNIT_SUPPRESSED_WARNING_COUNT();
	}
	mmu_notifier_synchronize();
	frees = atomic_read(&books.frees);
	mn->users = 1;
	mmu_notifier_put(mn);

	KUNIT_EXPECT_EQ(test, warnings, 1);
	KUNIT_EXPECT_EQ_MSG(test, frees, 0, "freed by the put that warned");
}

static struct kunit_case mmu_notifier_get_cases[] = {
	KUNIT_CASE(get_finds_the_one_with_the_same_ops),
	KUNIT_CASE(last_put_frees),
	KUNIT_CASE(get_after_the_last_put_is_a_new_one),
	KUNIT_CASE(release_may_put),
	KUNIT_CASE(put_after_the_mm_died),
	KUNIT_CASE(get_passes_on_a_failed_alloc),
	KUNIT_CASE(get_frees_what_cannot_be_registered),
	KUNIT_CASE(get_refuses_too_many_users),
	KUNIT_CASE(put_once_too_often_warns),
	{}
};

DMIRROR_SUITE_AS(mmu_notifier_get, dmirror_case_init_mm,
		 mmu_notifier_get_cases);
