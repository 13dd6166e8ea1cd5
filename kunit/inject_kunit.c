// SPDX-License-Identifier: GPL-2.0
/*
 * Failures on request. Every other suite relies on them: a point that never
 * fails, or fails twice, makes cases green that have looked at nothing.
 */
#include "mirror_fixture.h"

#include <linux/string.h>

#include "../drivers/dmirror/inject.h"

/* Passes that are looked at, and how late a failure may be. */
#define PASSES 6U

/* Passes until the failure, counted from 1; 0 if none of them fails. */
static unsigned int pass_that_fails(enum dmirror_inject_point point)
{
	unsigned int pass, found = 0;

	for (pass = 1; pass <= PASSES; pass++)
		if (dmirror_should_fail(point))
			found = found ? UINT_MAX : pass;

	return found;
}

static void nothing_fails_unasked(struct kunit *test)
{
	unsigned int point;

	for (point = 0; point < DMIRROR_INJECT_NR; point++) {
		KUNIT_EXPECT_EQ_MSG(test, pass_that_fails(point), 0U,
				    "pass of %s that fails, never armed",
				    dmirror_inject_name(point));
		KUNIT_EXPECT_FALSE_MSG(test, dmirror_inject_disarm(point),
				       "%s was armed", dmirror_inject_name(point));
	}
}

/* Of each point each pass, and no other one, and no second time. */
static void asked_pass_fails_once(struct kunit *test)
{
	unsigned int point, nth, tries = 0;

	for (point = 0; point < DMIRROR_INJECT_NR; point++)
		for (nth = 1; nth <= PASSES; nth++, tries++) {
			dmirror_inject_arm(point, nth);
			KUNIT_EXPECT_EQ_MSG(test, pass_that_fails(point), nth,
					    "pass of %s that fails",
					    dmirror_inject_name(point));
			KUNIT_EXPECT_EQ_MSG(test, pass_that_fails(point), 0U,
					    "another one of %s, after pass %u",
					    dmirror_inject_name(point), nth);
		}
	KUNIT_EXPECT_EQ_MSG(test, tries, 90U, "15 points, 6 passes");
}

/* Each has a countdown of its own. */
static void other_points_do_not_count(struct kunit *test)
{
	unsigned int point, other;

	for (point = 0; point < DMIRROR_INJECT_NR; point++) {
		unsigned int failed = 0;

		dmirror_inject_arm(point, 2);
		for (other = 0; other < DMIRROR_INJECT_NR; other++)
			if (other != point)
				failed += pass_that_fails(other) != 0;
		KUNIT_EXPECT_EQ_MSG(test, failed, 0U, "points beside %s",
				    dmirror_inject_name(point));
		KUNIT_EXPECT_EQ_MSG(test, pass_that_fails(point), 2U,
				    "pass of %s after the others",
				    dmirror_inject_name(point));
	}
}

/* The last word counts, from where it was said. */
static void armed_again_it_begins_anew(struct kunit *test)
{
	const enum dmirror_inject_point point = DMIRROR_INJECT_COPY;

	dmirror_inject_arm(point, 3);
	KUNIT_EXPECT_FALSE(test, dmirror_should_fail(point));
	dmirror_inject_arm(point, 4);
	KUNIT_EXPECT_EQ_MSG(test, pass_that_fails(point), 4U,
			    "after a later one was asked for");
	dmirror_inject_arm(point, 5);
	dmirror_inject_arm(point, 1);
	KUNIT_EXPECT_EQ_MSG(test, pass_that_fails(point), 1U,
			    "after an earlier one was asked for");
	dmirror_inject_arm(point, 2);
	dmirror_inject_arm(point, 0);
	KUNIT_EXPECT_EQ_MSG(test, pass_that_fails(point), 0U,
			    "after the 0th was asked for, which is none");
}

/* It says whether there was something to take back, and takes it back. */
static void disarmed_it_does_not_fail(struct kunit *test)
{
	unsigned int point;

	for (point = 0; point < DMIRROR_INJECT_NR; point++) {
		const char *name = dmirror_inject_name(point);

		dmirror_inject_arm(point, 2);
		KUNIT_EXPECT_FALSE_MSG(test, dmirror_should_fail(point),
				       "first pass of %s", name);
		KUNIT_EXPECT_TRUE_MSG(test, dmirror_inject_disarm(point),
				      "%s was armed", name);
		KUNIT_EXPECT_EQ_MSG(test, pass_that_fails(point), 0U,
				    "pass of %s that fails, disarmed", name);
		KUNIT_EXPECT_FALSE_MSG(test, dmirror_inject_disarm(point),
				       "%s was armed twice", name);
		dmirror_inject_arm(point, 1);
		KUNIT_EXPECT_TRUE_MSG(test, dmirror_should_fail(point),
				      "only pass of %s", name);
		KUNIT_EXPECT_FALSE_MSG(test, dmirror_inject_disarm(point),
				       "%s was armed when it had failed", name);
	}
}

/* Messages name a point, and only one. */
static void every_point_has_a_name(struct kunit *test)
{
	unsigned int point, other;

	for (point = 0; point < DMIRROR_INJECT_NR; point++) {
		const char *name = dmirror_inject_name(point);

		KUNIT_ASSERT_NOT_NULL_MSG(test, name, "point %u", point);
		KUNIT_EXPECT_GT_MSG(test, strlen(name), 1UL, "name of point %u",
				    point);
		for (other = 0; other < point; other++)
			KUNIT_EXPECT_STRNEQ_MSG(test, name,
						dmirror_inject_name(other),
						"points %u and %u", point,
						other);
	}
	KUNIT_EXPECT_STREQ(test, dmirror_inject_name(DMIRROR_INJECT_NR), "?");
	KUNIT_EXPECT_STREQ(test, dmirror_inject_name(DMIRROR_INJECT_NR + 100),
			   "?");
	KUNIT_EXPECT_STREQ(test, dmirror_inject_name(-1), "?");
}

static struct kunit_case inject_cases[] = {
	KUNIT_CASE(nothing_fails_unasked),
	KUNIT_CASE(asked_pass_fails_once),
	KUNIT_CASE(other_points_do_not_count),
	KUNIT_CASE(armed_again_it_begins_anew),
	KUNIT_CASE(disarmed_it_does_not_fail),
	KUNIT_CASE(every_point_has_a_name),
	{}
};

DMIRROR_SUITE(inject, dmirror_fixture_init, inject_cases);
