/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Named failure points.
 *
 * Owns: one countdown per point.
 * Lock: none, the countdowns are atomic.
 * May call: nothing of the driver.
 *
 * Every allocation and every refusal of core mm that the driver has to live
 * with is a point. A test arms one ("fail the third one from now"), runs the
 * operation and looks at what is left behind. Without CONFIG_DMIRROR_INJECT
 * the question compiles to false.
 */
#ifndef DMIRROR_INJECT_H
#define DMIRROR_INJECT_H

#include <linux/types.h>

/**
 * enum dmirror_inject_point - where a failure can be asked for
 * @DMIRROR_INJECT_PT_RESERVE: slots of the mirror page table, outside the
 *	update lock
 * @DMIRROR_INJECT_PT_SET: a slot that went away again before it was filled
 * @DMIRROR_INJECT_CHUNK_ALLOC: the descriptor of a chunk of device memory
 * @DMIRROR_INJECT_CHUNK_BITS: one of a chunk's bitmaps
 * @DMIRROR_INJECT_CHUNK_ADD: the memory kind's own part of adding a chunk
 * @DMIRROR_INJECT_BLOCK_ALLOC: the descriptor of a backing block
 * @DMIRROR_INJECT_BACKING_ALLOC: the folio that stands for device storage
 * @DMIRROR_INJECT_RAM_ALLOC: a system page to migrate a device page to
 * @DMIRROR_INJECT_RAM_LARGE_ALLOC: a large system folio for a large device one
 * @DMIRROR_INJECT_ARRAY_ALLOC: the arrays of a migration
 * @DMIRROR_INJECT_COPY: a page that cannot be read, as after a memory error
 * @DMIRROR_INJECT_FINISH_ALLOC: the note between the two passes of an
 *	invalidation
 * @DMIRROR_INJECT_MIRROR_ALLOC: the descriptor of a mirror
 * @DMIRROR_INJECT_NOTIFIER: core mm's part of a mirror
 * @DMIRROR_INJECT_PUBLISH: the driver core's part of letting a device be opened
 * @DMIRROR_INJECT_NR: number of points
 *
 * First those in the work on pages; from @DMIRROR_INJECT_MIRROR_ALLOC on, those
 * in the making of mirrors and devices.
 */
enum dmirror_inject_point {
	DMIRROR_INJECT_PT_RESERVE,
	DMIRROR_INJECT_PT_SET,
	DMIRROR_INJECT_CHUNK_ALLOC,
	DMIRROR_INJECT_CHUNK_BITS,
	DMIRROR_INJECT_CHUNK_ADD,
	DMIRROR_INJECT_BLOCK_ALLOC,
	DMIRROR_INJECT_BACKING_ALLOC,
	DMIRROR_INJECT_RAM_ALLOC,
	DMIRROR_INJECT_RAM_LARGE_ALLOC,
	DMIRROR_INJECT_ARRAY_ALLOC,
	DMIRROR_INJECT_COPY,
	DMIRROR_INJECT_FINISH_ALLOC,
	DMIRROR_INJECT_MIRROR_ALLOC,
	DMIRROR_INJECT_NOTIFIER,
	DMIRROR_INJECT_PUBLISH,
	DMIRROR_INJECT_NR,
};

#if IS_ENABLED(CONFIG_DMIRROR_INJECT)

/**
 * dmirror_should_fail - ask whether the step at hand has to fail
 * @point: the step
 *
 * Context: any, does not sleep.
 * Return: true once, when the countdown of an armed point reaches its end.
 */
bool dmirror_should_fail(enum dmirror_inject_point point);

/**
 * dmirror_inject_arm - make a point fail once
 * @point: the step
 * @nth: which one of its next passes fails, counted from 1
 *
 * Context: any, does not sleep.
 */
void dmirror_inject_arm(enum dmirror_inject_point point, unsigned int nth);

/**
 * dmirror_inject_disarm - take back what was armed and not used up
 * @point: the step
 *
 * Context: any, does not sleep.
 * Return: true if the point was still armed, so its failure never happened.
 */
bool dmirror_inject_disarm(enum dmirror_inject_point point);

/**
 * dmirror_inject_name - name of a point, for messages
 * @point: the step
 *
 * Context: any.
 * Return: a constant string, "?" for a number that is no point.
 */
const char *dmirror_inject_name(enum dmirror_inject_point point);

#else

static inline bool dmirror_should_fail(enum dmirror_inject_point point)
{
	return false;
}

#endif /* CONFIG_DMIRROR_INJECT */

#endif /* DMIRROR_INJECT_H */
