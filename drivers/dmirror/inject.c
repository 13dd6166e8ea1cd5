// SPDX-License-Identifier: GPL-2.0
#include "inject.h"

#include <kunit/visibility.h>
#include <linux/atomic.h>
#include <linux/kernel.h>

/* Passes left until the failure; 0 is disarmed. */
static atomic_t countdown[DMIRROR_INJECT_NR];

static const char * const names[DMIRROR_INJECT_NR] = {
	[DMIRROR_INJECT_PT_RESERVE] = "pt_reserve",
	[DMIRROR_INJECT_PT_SET] = "pt_set",
	[DMIRROR_INJECT_CHUNK_ALLOC] = "chunk_alloc",
	[DMIRROR_INJECT_CHUNK_BITS] = "chunk_bits",
	[DMIRROR_INJECT_CHUNK_ADD] = "chunk_add",
	[DMIRROR_INJECT_BLOCK_ALLOC] = "block_alloc",
	[DMIRROR_INJECT_BACKING_ALLOC] = "backing_alloc",
	[DMIRROR_INJECT_RAM_ALLOC] = "ram_alloc",
	[DMIRROR_INJECT_RAM_LARGE_ALLOC] = "ram_large_alloc",
	[DMIRROR_INJECT_ARRAY_ALLOC] = "array_alloc",
	[DMIRROR_INJECT_COPY] = "copy",
	[DMIRROR_INJECT_FINISH_ALLOC] = "finish_alloc",
	[DMIRROR_INJECT_MIRROR_ALLOC] = "mirror_alloc",
	[DMIRROR_INJECT_NOTIFIER] = "notifier",
	[DMIRROR_INJECT_PUBLISH] = "publish",
};

bool dmirror_should_fail(enum dmirror_inject_point point)
{
	/* Never below zero, so a disarmed point stays disarmed. */
	return atomic_dec_if_positive(&countdown[point]) == 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_should_fail);

void dmirror_inject_arm(enum dmirror_inject_point point, unsigned int nth)
{
	atomic_set(&countdown[point], nth);
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_inject_arm);

bool dmirror_inject_disarm(enum dmirror_inject_point point)
{
	return atomic_xchg(&countdown[point], 0) > 0;
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_inject_disarm);

const char *dmirror_inject_name(enum dmirror_inject_point point)
{
	return point < DMIRROR_INJECT_NR ? names[point] : "?";
}
EXPORT_SYMBOL_IF_KUNIT(dmirror_inject_name);
