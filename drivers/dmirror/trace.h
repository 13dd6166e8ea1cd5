/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: what a device did and what was done to it, as events of the
 * system "dmirror". They are for looking at a run from outside and the ledger
 * of the tests; nothing in the driver depends on them.
 *
 * Owns: the events.
 * Lock: none; where an event is called under a lock, its comment says so.
 * May call: nothing of the driver.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dmirror

#if !defined(DMIRROR_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define DMIRROR_TRACE_H

#include <linux/tracepoint.h>

/* An invalidation was carried out; under the mirror's update lock. */
TRACE_EVENT(dmirror_invalidate,
	TP_PROTO(const void *mirror, unsigned long start, unsigned long end,
		 unsigned long cleared, bool two_pass),
	TP_ARGS(mirror, start, end, cleared, two_pass),
	TP_STRUCT__entry(
		__field(const void *, mirror)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned long, cleared)
		__field(bool, two_pass)
	),
	TP_fast_assign(
		__entry->mirror = mirror;
		__entry->start = start;
		__entry->end = end;
		__entry->cleared = cleared;
		__entry->two_pass = two_pass;
	),
	TP_printk("mirror=%p vpns=[0x%lx,0x%lx) cleared=%lu passes=%d",
		  __entry->mirror, __entry->start, __entry->end,
		  __entry->cleared, __entry->two_pass ? 2 : 1)
);

/* A fault of the device on part of a range has ended. */
TRACE_EVENT(dmirror_fault,
	TP_PROTO(const void *mirror, unsigned long start, unsigned long end,
		 int perm, int ret),
	TP_ARGS(mirror, start, end, perm, ret),
	TP_STRUCT__entry(
		__field(const void *, mirror)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(int, perm)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->mirror = mirror;
		__entry->start = start;
		__entry->end = end;
		__entry->perm = perm;
		__entry->ret = ret;
	),
	TP_printk("mirror=%p range=[0x%lx,0x%lx) perm=%d ret=%d",
		  __entry->mirror, __entry->start, __entry->end,
		  __entry->perm, __entry->ret)
);

/*
 * A batch of a migration is done: of nr pages so many moved. With mmap_lock
 * held, unless it was an eviction; start is then the first device pfn.
 */
TRACE_EVENT(dmirror_migrate,
	TP_PROTO(const void *devmem, const char *what, unsigned long start,
		 unsigned long nr, unsigned long moved, int ret),
	TP_ARGS(devmem, what, start, nr, moved, ret),
	TP_STRUCT__entry(
		__field(const void *, devmem)
		__string(what, what)
		__field(unsigned long, start)
		__field(unsigned long, nr)
		__field(unsigned long, moved)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->devmem = devmem;
		__assign_str(what);
		__entry->start = start;
		__entry->nr = nr;
		__entry->moved = moved;
		__entry->ret = ret;
	),
	TP_printk("devmem=%p %s start=0x%lx pages=%lu moved=%lu ret=%d",
		  __entry->devmem, __get_str(what), __entry->start,
		  __entry->nr, __entry->moved, __entry->ret)
);

/* An eviction of a whole device is over; left pages would not move. */
TRACE_EVENT(dmirror_evict,
	TP_PROTO(const void *devmem, unsigned long before, unsigned long left),
	TP_ARGS(devmem, before, left),
	TP_STRUCT__entry(
		__field(const void *, devmem)
		__field(unsigned long, before)
		__field(unsigned long, left)
	),
	TP_fast_assign(
		__entry->devmem = devmem;
		__entry->before = before;
		__entry->left = left;
	),
	TP_printk("devmem=%p before=%lu left=%lu", __entry->devmem,
		  __entry->before, __entry->left)
);

/* A chunk was added or removed; under chunk_lock. */
TRACE_EVENT(dmirror_chunk,
	TP_PROTO(const void *devmem, unsigned long first_pfn,
		 unsigned long nr_pages, bool added),
	TP_ARGS(devmem, first_pfn, nr_pages, added),
	TP_STRUCT__entry(
		__field(const void *, devmem)
		__field(unsigned long, first_pfn)
		__field(unsigned long, nr_pages)
		__field(bool, added)
	),
	TP_fast_assign(
		__entry->devmem = devmem;
		__entry->first_pfn = first_pfn;
		__entry->nr_pages = nr_pages;
		__entry->added = added;
	),
	TP_printk("devmem=%p pfns=[0x%lx,0x%lx) %s", __entry->devmem,
		  __entry->first_pfn, __entry->first_pfn + __entry->nr_pages,
		  __entry->added ? "added" : "removed")
);

#endif /* DMIRROR_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
