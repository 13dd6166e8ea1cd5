/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites of the driver add to the fixture: mirrors, accesses of the
 * device, and the book of armed failures.
 */
#ifndef DMIRROR_KUNIT_MIRROR_FIXTURE_H
#define DMIRROR_KUNIT_MIRROR_FIXTURE_H

#include "../drivers/dmirror/access.h"
#include "../drivers/dmirror/mirror.h"
#include "fixture.h"

struct dmirror_devmem;

/**
 * dmirror_fixture_init - .init of a suite that needs no mm
 * @test: the case
 *
 * At its end a case must have used up every failure that it armed.
 *
 * Return: 0 or an errno, as KUnit wants it.
 */
int dmirror_fixture_init(struct kunit *test);

/**
 * dmirror_fixture_init_mm - .init of a suite whose cases have a user mm
 * @test: the case
 *
 * Return: 0 or an errno, as KUnit wants it.
 */
int dmirror_fixture_init_mm(struct kunit *test);

/**
 * dmirror_two_pass - which form of notifier the mirrors of a case have
 * @test: the case
 *
 * Return: true if they take invalidations in two passes.
 */
bool dmirror_two_pass(struct kunit *test);

/* Defines and registers the suite dmirror_<name>. */
#define DMIRROR_SUITE(_name, _init, _cases)				\
	DMIRROR_SUITE_AS(dmirror_##_name, _init, _cases)

/**
 * dmirror_mirror_get - mirror the case's mm
 * @test: the case, which destroys the mirror
 * @devmem: the device's own memory, or NULL
 *
 * Asserts that it worked.
 *
 * Return: the mirror.
 */
struct dmirror_mirror *dmirror_mirror_get(struct kunit *test,
					  struct dmirror_devmem *devmem);

/**
 * dmirror_mirror_of - mirror an mm, also another than the case's
 * @test: the case, which destroys the mirror
 * @mm: the mm
 * @devmem: the device's own memory, or NULL
 *
 * Asserts that it worked.
 *
 * Return: the mirror.
 */
struct dmirror_mirror *dmirror_mirror_of(struct kunit *test,
					 struct mm_struct *mm,
					 struct dmirror_devmem *devmem);

/**
 * dmirror_mirror_put - end a mirror before the case ends
 * @test: the case
 * @mirror: from dmirror_mirror_get() or dmirror_mirror_of()
 */
void dmirror_mirror_put(struct kunit *test, struct dmirror_mirror *mirror);

/**
 * dmirror_expect_pt - compare a part of the mirror page table
 * @test: the case
 * @mirror: the mirror
 * @addr: page aligned address
 * @want: one letter per page: '-' no entry, 'r' loads, 'w' loads and stores,
 *	'x' both, with no access for the CPU
 * @step: what was done before, for the message
 */
void dmirror_expect_pt(struct kunit *test, struct dmirror_mirror *mirror,
		       unsigned long addr, const char *want, const char *step);

/**
 * dmirror_expect_snapshot - take a snapshot and compare it
 * @test: the case
 * @mirror: the mirror
 * @addr: page aligned address
 * @want: one byte of HMM_DMIRROR_PROT_* per page
 * @npages: number of pages
 * @step: what was done before, for the message
 */
void dmirror_expect_snapshot(struct kunit *test, struct dmirror_mirror *mirror,
			     unsigned long addr, const u8 *want,
			     unsigned long npages, const char *step);

/**
 * dmirror_device_read - the device loads, and all has to be well
 * @test: the case
 * @mirror: the mirror
 * @addr: page aligned address
 * @npages: number of pages
 * @salt: the pattern it has to find, 0 for zeroes
 * @step: what was done before, for the message
 */
void dmirror_device_read(struct kunit *test, struct dmirror_mirror *mirror,
			 unsigned long addr, unsigned long npages, u64 salt,
			 const char *step);

/**
 * dmirror_device_write - the device stores a pattern, and all has to be well
 * @test: the case
 * @mirror: the mirror
 * @addr: page aligned address
 * @npages: number of pages
 * @salt: the pattern
 * @step: what was done before, for the message
 */
void dmirror_device_write(struct kunit *test, struct dmirror_mirror *mirror,
			  unsigned long addr, unsigned long npages, u64 salt,
			  const char *step);

#endif /* DMIRROR_KUNIT_MIRROR_FIXTURE_H */
