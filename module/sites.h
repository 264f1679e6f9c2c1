/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sites: pages in which a heap's library says where its blocks were allocated, and how it
 * is asked to do so.
 */
#ifndef PYM_SITES_H
#define PYM_SITES_H

#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/pymalloc.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct pym_block_info;
struct pym_service_heap;
struct vm_fault;

/**
 * struct pym_sites - the sites of a heap
 * @pages: the pages by their number in the file, from PYMALLOC_SITES_OFFSET on.  The lock
 *	in it is held to look one up with a reference
 * @sink: what is mapped where there is no page
 * @sunk: it has been mapped, and may still be
 * @lock: held to change what follows
 * @mode: PYMALLOC_TRACE_*
 * @python_frames: as in struct pymalloc_trace
 * @native_frames: the same
 * @generation: how often the trace has been set
 * @begun: the last generation that the library has begun with
 * @pool_words: the library has begun with a trace in which each pool has a word
 * @interval: as in struct pymalloc_trace
 * @mark: the same
 *
 * What the pages say is the process's: the module only hands it out.
 */
struct pym_sites {
	struct xarray pages;
	struct page *sink;
	bool sunk;
	/* Protects what follows against changes. */
	struct mutex lock;
	u32 mode;
	u32 python_frames;
	u32 native_frames;
	u32 generation;
	u32 begun;
	bool pool_words;
	u64 interval;
	u64 mark;
};

/* Bytes of the file in which pages of sites may be: a word each 8 bytes of a window. */
#define PYM_SITES_BYTES	(PYMALLOC_WORDS_OFFSET - PYMALLOC_SITES_OFFSET + \
			 PYMALLOC_WINDOW_MAX / PYMALLOC_BLOCK_MIN * sizeof(u32))

struct pym_sites *pym_sites_get(struct pym_service_heap *sheap);
struct pym_sites *pym_sites_of(struct pym_service_heap *sheap);
int pym_sites_add(struct pym_service_heap *sheap, unsigned long first, unsigned long nr,
		  unsigned long *done);
void pym_sites_label(struct pym_sites *sites, u32 alignment, struct pym_block_info *blocks,
		     unsigned int nr);
bool pym_sites_sunk(struct pym_sites *sites);
void pym_sites_unlink(struct pym_sites *sites, struct list_head *gone);
void pym_sites_free_pages(struct pym_service_heap *sheap, struct list_head *gone);
struct page *pym_sites_page(struct pym_sites *sites, unsigned long number);
int pym_sites_clone(struct pym_service_heap *sheap, struct pym_service_heap *child);
void pym_sites_destroy(struct pym_service_heap *sheap);
vm_fault_t pym_sites_fault(struct vm_fault *vmf);

#endif /* PYM_SITES_H */
