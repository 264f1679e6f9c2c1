/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The trace of a heap: which block was allocated where. */
#ifndef _PYML_TRACE_H
#define _PYML_TRACE_H

#include "cache.h"
#include "intern.h"

#define PYML_WORDS_A_PAGE	(PYML_PAGE / sizeof(__u32))

/* pyml_trace.pages[] */
enum { PYML_PAGE_UNKNOWN, PYML_PAGE_THERE, PYML_PAGE_REFUSED };

/**
 * struct pyml_trace - the trace of a heap
 * @generation: the last one that was begun
 * @mode: PYMALLOC_TRACE_*
 * @interval: mean bytes between samples
 * @words: where the blocks' words are mapped
 * @pages: for each page of @words whether it is there
 * @shift: of an offset in the window, to get the number of its word: a block has one, but in
 *	a trace of growth a pool has
 * @tables: where the table is mapped, and where that of the trace before was
 * @table: which of the two it is
 * @pid: the process that has begun it; a child of fork() begins anew
 * @heap: the heap
 * @tracer: the table of sites
 */
struct pyml_trace {
	__u32 generation;
	__u32 mode;
	__u64 interval;
	__u32 *words;
	__u8 *pages;
	unsigned int shift;
	char *tables[2];
	unsigned int table;
	pid_t pid;
	struct pymalloc_heap *heap;
	struct pyml_tracer tracer;
};

#pragma GCC visibility push(hidden)

int pyml_trace_renew(struct pymalloc_heap *heap);
bool pyml_trace_has_page(struct pyml_trace *trace, size_t page);
void pyml_trace_filled(struct pyml_cache *cache, void **objects, size_t count);
void pyml_trace_run(struct pymalloc_heap *heap, void *object);
void pyml_trace_freed(struct pymalloc_heap *heap, const void *object);
void pyml_trace_inherit(struct pymalloc_heap *heap);
void pyml_trace_end(struct pymalloc_heap *heap);

#pragma GCC visibility pop

/* Where in the pages of words that of a block is. */
static inline size_t pyml_trace_word(const struct pyml_trace *trace, const void *object)
{
	return pymalloc_offset(&trace->heap->view, object) >> trace->shift;
}

/**
 * pyml_trace_set() - say which site a block has
 * @trace: its heap's trace
 * @object: the block
 * @site: the site
 */
static inline void pyml_trace_set(struct pyml_trace *trace, const void *object, __u32 site)
{
	size_t word = pyml_trace_word(trace, object);
	size_t page = word / PYML_WORDS_A_PAGE;

	if (likely(trace->pages[page] == PYML_PAGE_THERE) || pyml_trace_has_page(trace, page))
		__atomic_store_n(&trace->words[word], site, __ATOMIC_RELAXED);
}

#endif /* _PYML_TRACE_H */
