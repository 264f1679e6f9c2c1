/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Frames: a physical page, and the heaps that have it.  See frame.c.
 */
#ifndef PYM_FRAME_H
#define PYM_FRAME_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/types.h>

#include "types.h"

/* References to a page that nobody maps, pins or reads: one, that of its pool. */
#define PYM_REFS_AT_REST	1

/* The bits of page->private: see the top of frame.c. */
#define PYM_FRAME_MAYBE_SHARED	BIT(0)
#define PYM_FRAME_HEAP		BIT(1)
#define PYM_FRAME_APART		BIT(32)

struct page *pym_page_at_locked(struct pym_arena *arena, unsigned int index);
unsigned int pym_pages_get(struct pym_heap *heap, u64 offset, struct page **pages,
			   unsigned int nr);
unsigned int pym_pages_same(struct pym_heap *heap, u64 offset, struct page **pages,
			    unsigned int nr);
struct page *pym_page_get(struct pym_heap *heap, u64 offset);
void pym_pages_count_in(struct pym_heap *heap, unsigned int nr);
void pym_frame_pay_locked(struct pym_heap *heap, struct pym_arena *arena,
			  unsigned int index);
void pym_frame_unpay_locked(struct pym_heap *heap, struct pym_arena *arena,
			    unsigned int index);
int pym_page_own(struct pym_heap *heap, u64 offset, const struct pym_mappings *mappings,
		 struct page **fresh);
bool pym_pages_settle(struct pym_heap *heap);
bool pym_pages_are_held(struct pym_heap *heap);
void pym_frame_wait_slow(struct page *page);
void pym_frame_done(struct page *page);

/*
 * Wait until all bytes of a frame are there.  The caller has a reference.  Sleeps.  Returns
 * whether it had to wait: then the frame may have gone from where it was found.
 */
static inline bool pym_frame_wait(struct page *page)
{
	/* Pairs with the barrier in isolate_page() of mesh.c. */
	smp_mb();
	if (!PageLocked(page))
		return false;
	pym_frame_wait_slow(page);
	return true;
}

static inline unsigned long pym_word_heaps(unsigned long word)
{
	return (u32)word / PYM_FRAME_HEAP + 1;
}

static inline unsigned long pym_word_apart(unsigned long word)
{
	return word >> 32;
}

/* How many heaps have the frame. */
static inline unsigned long pym_frame_heaps(const struct page *page)
{
	/*
	 * Pairs with the cmpxchg in pym_frame_put(): a caller that sees the lower count
	 * writes only after the heap that has left has read all that it needed.
	 */
	return pym_word_heaps(smp_load_acquire(&page->private));
}

/*
 * May another heap, or somebody who got a reference from it, see what is written to the
 * frame?  Needs no barrier: only fork() sets this, while it holds the gate for writing
 * and the parent's mappings.
 */
static inline bool pym_frame_maybe_shared(const struct page *page)
{
	return READ_ONCE(page->private);
}

/*
 * One heap more has the frame.  Parent and clone both pay for it apart, or neither does.
 * The cmpxchg orders nothing, and has no partner: other heaps of the family may change
 * the word at the same time.
 */
static inline void pym_frame_share(struct page *page, bool apart)
{
	unsigned long word = READ_ONCE(page->private), joined;

	do {
		joined = word | PYM_FRAME_MAYBE_SHARED;
		/* While there was one owner, the word did not say how that one pays. */
		if (pym_word_heaps(word) == 1)
			joined = PYM_FRAME_MAYBE_SHARED | (apart ? PYM_FRAME_APART : 0);
		joined += PYM_FRAME_HEAP + (apart ? PYM_FRAME_APART : 0);
	} while (!try_cmpxchg(&page->private, &word, joined));
	get_page(page);
}

/*
 * One heap less has the frame; the heap's reference is still there.  Returns whether the
 * caller must uncharge the page: from the heap's user if it was paid for apart, or from
 * the purse if no other heap pays from it.  The cmpxchg pairs with the acquire in
 * pym_frame_heaps(): this heap's reads are done before another one sees the lower count.
 */
static inline bool pym_frame_put(struct page *page, bool apart)
{
	unsigned long word = READ_ONCE(page->private), left, heaps;

	do {
		heaps = pym_word_heaps(word);
		if (heaps == 1)
			return true;
		left = word - PYM_FRAME_HEAP - (apart ? PYM_FRAME_APART : 0);
	} while (!try_cmpxchg(&page->private, &word, left));
	return apart || heaps - pym_word_apart(word) == 1;
}

/*
 * One of the frame's heaps pays for it apart from now on.  Returns whether the caller
 * must uncharge the page from the purse, because no heap pays from that any more.  The
 * cmpxchg orders nothing, and has no partner.
 */
static inline bool pym_frame_pay_apart(struct page *page)
{
	unsigned long word = READ_ONCE(page->private);

	do {
		if (pym_word_heaps(word) == 1)
			return true;
	} while (!try_cmpxchg(&page->private, &word, word + PYM_FRAME_APART));
	return pym_word_heaps(word) - pym_word_apart(word) == 1;
}

#endif /* PYM_FRAME_H */
