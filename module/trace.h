/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: every change of state that is not on the library's fast path.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pymalloc

#if !defined(PYM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define PYM_TRACE_H

#include <linux/sched.h>
#include <linux/tracepoint.h>

/* The name of a command, its bytes escaped. */
#define PYM_TRACE_COMM	(4 * TASK_COMM_LEN)

TRACE_EVENT(heap_create,
	TP_PROTO(u64 heap, u64 window, u64 limit),
	TP_ARGS(heap, window, limit),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, window)
		__field(u64, limit)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->window = window;
		__entry->limit = limit;
	),
	TP_printk("heap=%llu window=%llu limit=%llu",
		  __entry->heap, __entry->window, __entry->limit)
);

TRACE_EVENT(heap_check,
	TP_PROTO(u64 heap, u64 errors),
	TP_ARGS(heap, errors),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, errors)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->errors = errors;
	),
	TP_printk("heap=%llu errors=%llu", __entry->heap, __entry->errors)
);

TRACE_EVENT(heap_destroy,
	TP_PROTO(u64 heap, const char *comm, u64 allocs, u64 frees, u64 peak, u64 calls),
	TP_ARGS(heap, comm, allocs, frees, peak, calls),
	TP_STRUCT__entry(
		__field(u64, heap)
		__array(char, comm, PYM_TRACE_COMM)
		__field(u64, allocs)
		__field(u64, frees)
		__field(u64, peak)
		__field(u64, calls)
	),
	TP_fast_assign(
		__entry->heap = heap;
		strscpy(__entry->comm, comm, PYM_TRACE_COMM);
		__entry->allocs = allocs;
		__entry->frees = frees;
		__entry->peak = peak;
		__entry->calls = calls;
	),
	TP_printk("heap=%llu comm=%s allocs=%llu frees=%llu peak=%llu calls=%llu",
		  __entry->heap, __entry->comm, __entry->allocs, __entry->frees,
		  __entry->peak, __entry->calls)
);

DECLARE_EVENT_CLASS(heap_dead,
	TP_PROTO(u64 heap, u64 bytes),
	TP_ARGS(heap, bytes),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->bytes = bytes;
	),
	TP_printk("heap=%llu bytes=%llu", __entry->heap, __entry->bytes)
);

DEFINE_EVENT(heap_dead, heap_keep,
	TP_PROTO(u64 heap, u64 bytes),
	TP_ARGS(heap, bytes)
);

DEFINE_EVENT(heap_dead, heap_forget,
	TP_PROTO(u64 heap, u64 bytes),
	TP_ARGS(heap, bytes)
);

TRACE_EVENT(arena_new,
	TP_PROTO(u64 heap, u64 offset, bool runs),
	TP_ARGS(heap, offset, runs),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, offset)
		__field(bool, runs)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->offset = offset;
		__entry->runs = runs;
	),
	TP_printk("heap=%llu offset=0x%llx runs=%d",
		  __entry->heap, __entry->offset, __entry->runs)
);

TRACE_EVENT(pool_new,
	TP_PROTO(u64 heap, u64 offset, u32 size),
	TP_ARGS(heap, offset, size),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, offset)
		__field(u32, size)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->offset = offset;
		__entry->size = size;
	),
	TP_printk("heap=%llu offset=0x%llx size=%u",
		  __entry->heap, __entry->offset, __entry->size)
);

DECLARE_EVENT_CLASS(pymalloc_place,
	TP_PROTO(u64 heap, u64 offset),
	TP_ARGS(heap, offset),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, offset)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->offset = offset;
	),
	TP_printk("heap=%llu offset=0x%llx", __entry->heap, __entry->offset)
);

DEFINE_EVENT(pymalloc_place, arena_free,
	TP_PROTO(u64 heap, u64 offset),
	TP_ARGS(heap, offset)
);

DEFINE_EVENT(pymalloc_place, pool_free,
	TP_PROTO(u64 heap, u64 offset),
	TP_ARGS(heap, offset)
);

DECLARE_EVENT_CLASS(pymalloc_pages,
	TP_PROTO(u64 heap, u64 pages),
	TP_ARGS(heap, pages),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, pages)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->pages = pages;
	),
	TP_printk("heap=%llu pages=%llu", __entry->heap, __entry->pages)
);

DEFINE_EVENT(pymalloc_pages, heap_decay,
	TP_PROTO(u64 heap, u64 pages),
	TP_ARGS(heap, pages)
);

DEFINE_EVENT(pymalloc_pages, heap_shrink,
	TP_PROTO(u64 heap, u64 pages),
	TP_ARGS(heap, pages)
);

TRACE_EVENT(heap_steal,
	TP_PROTO(u64 heap, u64 blocks),
	TP_ARGS(heap, blocks),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, blocks)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->blocks = blocks;
	),
	TP_printk("heap=%llu blocks=%llu", __entry->heap, __entry->blocks)
);

TRACE_EVENT(heap_mesh,
	TP_PROTO(u64 heap, u64 pages, u64 frames, u64 bytes, u64 pinned),
	TP_ARGS(heap, pages, frames, bytes, pinned),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, pages)
		__field(u64, frames)
		__field(u64, bytes)
		__field(u64, pinned)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->pages = pages;
		__entry->frames = frames;
		__entry->bytes = bytes;
		__entry->pinned = pinned;
	),
	TP_printk("heap=%llu pages=%llu frames=%llu bytes=%llu pinned=%llu",
		  __entry->heap, __entry->pages, __entry->frames, __entry->bytes,
		  __entry->pinned)
);

TRACE_EVENT(alloc_batch,
	TP_PROTO(u64 heap, u64 size, u32 count, u32 done),
	TP_ARGS(heap, size, count, done),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, size)
		__field(u32, count)
		__field(u32, done)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->size = size;
		__entry->count = count;
		__entry->done = done;
	),
	TP_printk("heap=%llu size=%llu count=%u done=%u",
		  __entry->heap, __entry->size, __entry->count, __entry->done)
);

TRACE_EVENT(free_batch,
	TP_PROTO(u64 heap, u32 count, u32 bad),
	TP_ARGS(heap, count, bad),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u32, count)
		__field(u32, bad)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->count = count;
		__entry->bad = bad;
	),
	TP_printk("heap=%llu count=%u bad=%u",
		  __entry->heap, __entry->count, __entry->bad)
);

TRACE_EVENT(client_join,
	TP_PROTO(u64 heap, u32 client, int pid),
	TP_ARGS(heap, client, pid),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u32, client)
		__field(int, pid)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->client = client;
		__entry->pid = pid;
	),
	TP_printk("heap=%llu client=%u pid=%d", __entry->heap, __entry->client, __entry->pid)
);

TRACE_EVENT(client_leave,
	TP_PROTO(u64 heap, u32 client, int pid, u64 holds),
	TP_ARGS(heap, client, pid, holds),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, holds)
		__field(u32, client)
		__field(int, pid)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->holds = holds;
		__entry->client = client;
		__entry->pid = pid;
	),
	TP_printk("heap=%llu client=%u pid=%d holds=%llu",
		  __entry->heap, __entry->client, __entry->pid, __entry->holds)
);

#endif /* PYM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
