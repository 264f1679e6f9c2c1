// SPDX-License-Identifier: GPL-2.0
/*
 * The proof that the counts of a shared heap are right: each is the number of clients, entries of
 * inboxes and names that need the block.
 *
 * It goes piece by piece.  In each piece what inboxes and names need is taken off the counts, so
 * that only clients are left, and put back afterwards: it needs no memory.
 */
#include <linux/bitmap.h>
#include <linux/sched/signal.h>

#include "family.h"
#include "service_heap.h"
#include "sharer.h"
#include "sharer_check.h"

/*
 * Pools with counts that are looked at with the lock held: so many, and one more for so many
 * entries of inboxes and names, all of which are visited for each piece.
 */
#define PIECE_POOLS	32
#define PIECE_ENTRIES	64

/**
 * struct piece - a part of the window
 * @shared: the heap's
 * @verdict: what has been found
 * @from: the first pool
 * @to: the last one
 * @sign: what is added to counts
 */
struct piece {
	struct pym_shared *shared;
	struct pym_verdict *verdict;
	unsigned long from;
	unsigned long to;
	int sign;
};

static void piece_expect(struct piece *piece, bool ok, u64 ref, const char *message)
{
	if (!ok)
		pym_contradict(piece->verdict, ref, message);
}

/* Something needs a block beside those who hold it. */
static void piece_visit(u64 ref, void *data)
{
	struct pym_place place = {};
	struct piece *piece = data;
	u64 number = ref >> PYM_POOL_SHIFT;

	if (number < piece->from || number > piece->to)
		return;
	/* The count may be 0 meanwhile: then it is found as free. */
	if (pym_count_find(&piece->shared->refs, ref, &place) == PYMALLOC_REF_OK ||
	    (place.counts && piece->sign > 0))
		pym_count_at(&place)->needs += piece->sign;
	else
		piece_expect(piece, false, ref, "what is needed has no count");
}

static void piece_visit_all(struct piece *piece, int sign)
{
	struct pym_sharer *sharer;
	unsigned long number;

	piece->sign = sign;
	xa_for_each(&piece->shared->numbers, number, sharer)
		pym_inbox_visit(&sharer->holder, piece_visit, piece);
	pym_roots_visit(&piece->shared->roots, piece_visit, piece);
}

/* Take those who hold blocks of a pool off its counts, or put them back. */
static void count_holders(struct pym_shared *shared, struct pym_counts *counts, int sign)
{
	const unsigned long *bits;
	struct pym_sharer *sharer;
	unsigned long number;
	unsigned int i;

	xa_for_each(&shared->numbers, number, sharer) {
		bits = pym_holder_bits(&sharer->holder, counts->number);
		if (!bits)
			continue;
		for_each_set_bit(i, bits, counts->capacity)
			counts->blocks[i].needs += sign;
	}
}

static void check_counts(struct piece *piece, struct pym_counts *counts)
{
	struct pym_heap *heap = piece->shared->refs.heap;
	unsigned int i;

	count_holders(piece->shared, counts, -1);
	for (i = 0; i < counts->capacity; i++)
		piece_expect(piece, !counts->blocks[i].needs, pym_count_ref(counts, i),
			     "a count is not the number of those who need the block");
	count_holders(piece->shared, counts, 1);
	for (i = 0; i < counts->capacity; i++)
		piece_expect(piece, !counts->blocks[i].needs ||
			     pym_usable(heap, pym_count_ref(counts, i)), pym_count_ref(counts, i),
			     "somebody holds a block that is not allocated");
}

static void piece_check(struct piece *piece)
{
	struct pym_counts *counts;
	unsigned long number;

	piece_visit_all(piece, -1);
	xa_for_each_range(&piece->shared->refs.pools, number, counts, piece->from, piece->to)
		check_counts(piece, counts);
	piece_visit_all(piece, 1);
}

static unsigned long piece_size(const struct piece *piece)
{
	u64 entries = piece->shared->roots.nr;
	unsigned long number, clients = 0;
	struct pym_sharer *sharer;

	xa_for_each(&piece->shared->numbers, number, sharer) {
		entries += sharer->holder.nr_inbox;
		clients++;
	}
	/* All clients are asked for each pool. */
	return PIECE_POOLS + entries / max_t(unsigned long, PIECE_ENTRIES, clients);
}

/* Find the end of a piece.  Returns false if nothing is left. */
static bool piece_end(struct piece *piece)
{
	unsigned long number, nr = 0, size = piece_size(piece);
	struct pym_counts *counts;

	xa_for_each_start(&piece->shared->refs.pools, number, counts, piece->from) {
		piece->to = number;
		if (++nr == size)
			break;
	}
	return nr;
}

static void check_total(struct piece *piece)
{
	struct pym_shared *shared = piece->shared;
	u64 total = shared->roots.nr;
	struct pym_sharer *sharer;
	unsigned long number;

	xa_for_each(&shared->numbers, number, sharer)
		total += sharer->holder.nr + sharer->holder.nr_inbox;
	piece_expect(piece, total == shared->refs.total, 0,
		     "the sum of counts is not the number of needs");
}

/**
 * pym_sharer_check() - prove that the counts of a shared heap are right
 * @sheap: the heap, which may be in use meanwhile
 * @verdict: what has been found is added to it
 *
 * Context: Sleeps.
 * Return: 0; or -EINTR (the caller is being killed).
 */
int pym_sharer_check(struct pym_service_heap *sheap, struct pym_verdict *verdict)
{
	struct piece piece = { .shared = pym_shared_of(sheap), .verdict = verdict };
	struct mutex *lock = &piece.shared->refs.lock;
	bool more = true;

	mutex_lock(lock);
	check_total(&piece);
	mutex_unlock(lock);
	while (more) {
		mutex_lock(lock);
		more = piece_end(&piece);
		if (more)
			piece_check(&piece);
		mutex_unlock(lock);
		piece.from = piece.to + 1;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}
