/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pools of another module's heap, and their blocks: see kpool.c.
 */
#ifndef PYM_KPOOL_H
#define PYM_KPOOL_H

#include <linux/bitops.h>
#include <linux/mm.h>

#include "core/block.h"
#include "kheap_types.h"

unsigned int pym_kpool_take_many(struct pym_pool *pool, u32 number, void **objects,
				 unsigned int nr);
struct pym_pool *pym_kpool_next(struct pymalloc_kheap *kheap, u32 number, gfp_t gfp);
struct pym_pool *pym_kpool_fresh(struct pymalloc_kheap *kheap, u32 number);
void pym_kpool_put(struct pymalloc_kheap *kheap, struct pym_pool *pool);
unsigned long pym_kpool_freed(struct pymalloc_kheap *kheap, struct pym_pool *pool,
			      u32 number, unsigned int word, unsigned long mask);
void pym_kpool_page_goes(struct page *page);
void pym_kpools_adopt(struct pymalloc_kheap *kheap);
void pym_kpools_discard(struct pymalloc_kheap *kheap);
void pym_kpools_let_go(struct pymalloc_kheap *kheap);
void pym_kpools_flush_gated(struct pymalloc_kheap *kheap);

/*
 * Allocate the first free block of a pool.  Others may take and free blocks of it meanwhile.
 * Returns NULL if it has none.
 */
static __always_inline void *pym_kpool_take(struct pym_pool *pool, u32 number)
{
	unsigned int word, bit;
	unsigned long bits;

	for (word = 0; word < 1U << pool->order; word++)
		while ((bits = READ_ONCE(pool->free[word]))) {
			bit = __ffs(bits);
			if (likely(test_and_clear_bit(bit, &pool->free[word])))
				return page_address(pool->page) +
				       (word * BITS_PER_LONG + bit) * number * PYMALLOC_BLOCK_MIN;
		}
	return NULL;
}

/*
 * Free a block.  Returns PYMALLOC_REF_OK, or what is wrong with the address: then nothing has
 * changed.
 *
 * Context: Preemption is off.
 */
static __always_inline enum pymalloc_ref_status
pym_kpool_give(struct pymalloc_kheap *kheap, struct pym_pool *pool, const void *object)
{
	const u32 number = READ_ONCE(pool->class);
	const struct pym_kclass *class = &kheap->classes[number];
	const u32 offset = offset_in_page(object), inverse = class->inverse;
	const u64 position = pym_block_position(inverse, offset);

	if (unlikely((u32)position >= inverse || offset >= class->end))
		return number ? PYMALLOC_REF_MISALIGNED : PYMALLOC_REF_FREE;
	if (unlikely(test_and_set_bit(position >> 32, pool->free)))
		return PYMALLOC_REF_FREE;
	this_cpu_inc(kheap->cpu->frees[number]);
	/* A full barrier lies between the two: pairs with that in pym_kpool_put(). */
	if (unlikely(READ_ONCE(pool->tenancy) >= PYM_KPOOL_FULL))
		return pym_kpool_freed(kheap, pool, number, (position >> 32) / BITS_PER_LONG,
				       BIT((position >> 32) % BITS_PER_LONG)) ?
			PYMALLOC_REF_FREE : PYMALLOC_REF_OK;
	return PYMALLOC_REF_OK;
}

#endif /* PYM_KPOOL_H */
