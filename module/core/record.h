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

/* At most 2 to the power of this many records are allocated together. */
#define PYM_SHEET_SHIFT_MAX	4

/**
 * struct pym_sheet - records that have been allocated together
 * @live: a bit for each of them that has not been retired
 * @order: the bitmap of each has 2 to the power of @order words
 * @shift: there are 2 to the power of @shift of them
 *
 * The records follow.  Those that are live belong to pools of one arena.
 */
struct pym_sheet {
	atomic_t live;
	u16 order;
	u16 shift;
};

int pym_record_caches_init(void);
void pym_record_caches_exit(void);
int pym_records_new(struct pym_heap *heap, unsigned int order, struct pym_pool **pools,
		    unsigned int nr);
struct pym_pool *pym_record_make(unsigned int order, gfp_t gfp);
void pym_record_unmake(struct pym_pool *pool);
void pym_record_charge(struct pym_heap *heap, struct pym_pool *pool);
void pym_record_copy(struct pym_pool *to, const struct pym_pool *from);
void pym_record_retire(struct pym_heap *heap, struct pym_pool *pool);
unsigned long pym_sheet_bytes(unsigned int order, unsigned int shift);

static inline size_t pym_record_size(unsigned int order)
{
	return sizeof(struct pym_pool) + (sizeof(unsigned long) << order);
}

/* The sheet of a record. */
static inline struct pym_sheet *pym_sheet_of(const struct pym_pool *pool)
{
	return (struct pym_sheet *)((char *)pool - pool->place * pym_record_size(pool->order)) - 1;
}

#endif /* PYM_RECORD_H */
