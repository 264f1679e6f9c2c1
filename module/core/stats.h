/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Statistics: a heap's figures.
 */
#ifndef PYM_STATS_H
#define PYM_STATS_H

#include "types.h"

/**
 * struct pym_class_stats - the figures of one size class
 * @size: bytes of a block
 * @pools_used: pools of which some blocks are allocated and some are not, and
 *	@pools_meshed
 * @pools_full: pools all of whose blocks are allocated
 * @pools_meshed: pools that have no page of their own, because they share another's
 * @nr_meshed: pages given back by meshing so far
 * @blocks: blocks allocated
 * @blocks_free: blocks handed out and given back
 * @blocks_untouched: blocks never handed out
 * @nr_allocs: blocks allocated so far
 * @nr_frees: blocks freed so far
 */
struct pym_class_stats {
	u32 size;
	u64 pools_used;
	u64 pools_full;
	u64 pools_meshed;
	u64 nr_meshed;
	u64 blocks;
	u64 blocks_free;
	u64 blocks_untouched;
	u64 nr_allocs;
	u64 nr_frees;
};

/**
 * struct pym_stats - the figures of a heap
 * @limit: most bytes of pages and metadata; 0 is no limit
 * @threshold: a notice is sent when the pages reach so many bytes; 0 is never
 * @page_bytes: bytes of its pages
 * @page_bytes_peak: the most that these have been
 * @meta_bytes: bytes of its metadata
 * @arenas: arenas of pools
 * @run_arenas: arenas of runs
 * @pools_used: pools of which some blocks are allocated and some are not
 * @pools_full: pools all of whose blocks are allocated
 * @pools_meshed: pools that have no page of their own, because they share another's
 * @nr_meshed: pages given back by meshing so far
 * @pools_empty: pools without a block that have kept their page
 * @blocks: blocks allocated
 * @block_bytes: their bytes
 * @runs: large objects allocated
 * @run_pages: their pages
 * @nr_allocs: objects allocated so far
 * @nr_frees: objects freed so far
 * @nr_bad_refs: refs refused so far
 * @nr_pages_in: pages taken from the system so far
 * @nr_pages_out: pages given back so far
 */
struct pym_stats {
	u64 limit;
	u64 threshold;
	u64 page_bytes;
	u64 page_bytes_peak;
	u64 meta_bytes;
	u64 arenas;
	u64 run_arenas;
	u64 pools_used;
	u64 pools_full;
	u64 pools_meshed;
	u64 nr_meshed;
	u64 pools_empty;
	u64 blocks;
	u64 block_bytes;
	u64 runs;
	u64 run_pages;
	u64 nr_allocs;
	u64 nr_frees;
	u64 nr_bad_refs;
	u64 nr_pages_in;
	u64 nr_pages_out;
};

void pym_class_stats(struct pym_heap *heap, u32 number, struct pym_class_stats *stats);
void pym_heap_stats(struct pym_heap *heap, struct pym_stats *stats);
u64 pym_block_bytes(const struct pym_heap *heap);
int pym_pages_shared(struct pym_heap *heap, u64 *shared_bytes, u64 *pss_bytes);

#endif /* PYM_STATS_H */
