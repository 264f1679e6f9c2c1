/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Idle pages: since when the pages of a heap have not been touched.
 */
#ifndef PYM_IDLE_H
#define PYM_IDLE_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct pym_block_info;
struct pym_service_heap;

/**
 * struct pym_idle - since when the pages of a heap have not been touched
 * @lock: held to look for idle pages, to begin with that and to end it
 * @on: the heap looks for idle pages
 * @records: records, by the part of the window that they are about: arrays of a word for
 *	each pool.  0: its page has been touched since the last round, or may have been.  Else
 *	when it was taken out of the page tables: seconds since boot, plus one.  They go
 *	after a grace period
 */
struct pym_idle {
	/* Protects what follows against changes, but words of records. */
	struct mutex lock;
	bool on;
	struct xarray records;
};

unsigned int pym_idle_room(struct pym_service_heap *sheap, u64 offset, unsigned int nr);
unsigned int pym_idle_touch(struct pym_service_heap *sheap, u64 offset, unsigned int nr);
bool pym_idle_is_on(struct pym_service_heap *sheap);
int pym_idle_begin(struct pym_service_heap *sheap);
int pym_idle_end(struct pym_service_heap *sheap);
void pym_idle_round(struct pym_service_heap *sheap);
void pym_idle_label(struct pym_service_heap *sheap, struct pym_block_info *blocks,
		    unsigned int nr);
int pym_idle_clone(struct pym_service_heap *sheap, struct pym_service_heap *child);
void pym_idle_destroy(struct pym_service_heap *sheap);

#endif /* PYM_IDLE_H */
