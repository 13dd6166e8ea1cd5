// SPDX-License-Identifier: GPL-2.0
#include <linux/types.h>

#define CREATE_TRACE_POINTS
#include "trace.h"

EXPORT_TRACEPOINT_SYMBOL_GPL(dmirror_invalidate);
EXPORT_TRACEPOINT_SYMBOL_GPL(dmirror_fault);
EXPORT_TRACEPOINT_SYMBOL_GPL(dmirror_migrate);
EXPORT_TRACEPOINT_SYMBOL_GPL(dmirror_evict);
EXPORT_TRACEPOINT_SYMBOL_GPL(dmirror_chunk);
