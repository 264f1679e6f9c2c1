/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Records: the memory of struct pym_pool.  See record.c.
 */
#ifndef PYM_RECORD_H
#define PYM_RECORD_H

#include "types.h"

/* A bitmap has 1, 2, 4 or 8 words: enough for all blocks of a pool of any class. */
#define PYM_RECORD_ORDERS	4

/* A run's pages have no blocks. */
#define PYM_RECORD_OF_RUN	0

int pym_record_caches_init(void);
void pym_record_caches_exit(void);
int pym_records_new(struct pym_heap *heap, unsigned int order, struct pym_pool **pools,
		    unsigned int nr);
void pym_records_delete(struct pym_heap *heap, struct pym_pool **pools, unsigned int nr);
void pym_records_retire(struct pym_heap *heap, struct pym_pool *gone);

static inline size_t pym_record_size(unsigned int order)
{
	return sizeof(struct pym_pool) + (sizeof(unsigned long) << order);
}

/* What a record takes: as many as fit into a page, which is a slab of order 0, share it. */
static inline unsigned long pym_record_bytes(unsigned int order)
{
	return PYMALLOC_POOL_SIZE / (PYMALLOC_POOL_SIZE / pym_record_size(order));
}

#endif /* PYM_RECORD_H */
