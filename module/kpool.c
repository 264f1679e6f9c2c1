// SPDX-License-Identifier: GPL-2.0
/*
 * Pools of another module's heap: who has them, and how they come and go.
 *
 * A block is allocated and freed by one atomic operation on the bitmap of its pool, whoever
 * has the pool, in any context: there is no magazine in between, so that a block's state
 * is always exact.  A CPU has one pool of each class, of which it allocates.  That only
 * keeps CPUs apart: a task that has been moved, or an interrupt, may use another CPU's pool.
 *
 * A pool that nobody has is in a list of its class if it has a free block; the first free
 * puts it there.  Those that are listed serve before new ones are taken: so sparse pools
 * become empty.  Pools without blocks go back to the core some time later.
 *
 * All this happens with preemption off.  So a grace period of RCU lies between the last use
 * of a pool and its return to the core, and between that of a record and its end.
 */
#include <linux/kmemleak.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/topology.h>

#include "kpage.h"
#include "kpool.h"
#include "service_heap.h"

/* Pools without blocks go back so long after one was put into a list. */
#define KPOOL_DELAY	HZ

/* So many listed pools are looked at before others may take the lock. */
#define KPOOL_BATCH	32

const char pym_kpage_name[8] __aligned(8) = "pymalloc";

static struct pym_klist *kpool_list(struct pymalloc_kheap *kheap, unsigned int node, u32 number)
{
	return &kheap->lists[node * (PYMALLOC_NR_CLASSES + 1) + number];
}

static struct pym_klist *kpool_list_of(struct pymalloc_kheap *kheap, const struct pym_pool *pool)
{
	return kpool_list(kheap, page_to_nid(pool->page), pool->class);
}

static bool kpool_has_free(const struct pym_pool *pool)
{
	unsigned int word;

	for (word = 0; word < 1U << pool->order; word++)
		if (READ_ONCE(pool->free[word]))
			return true;
	return false;
}

static void kpool_list_locked(struct pymalloc_kheap *kheap, struct pym_pool *pool)
{
	struct pym_klist *list = kpool_list_of(kheap, pool);

	WRITE_ONCE(pool->tenancy, PYM_KPOOL_LISTED);
	list_add(&pool->link, &list->pools);
	WRITE_ONCE(list->nr, list->nr + 1);
}

static void kpool_unlist_locked(struct pym_klist *list, struct pym_pool *pool)
{
	WRITE_ONCE(pool->tenancy, PYM_KPOOL_HELD);
	list_del_init(&pool->link);
	WRITE_ONCE(list->nr, list->nr - 1);
}

/* Preemption is off, or the heap has not ended: its end waits for this. */
static void kpool_arm(struct pymalloc_kheap *kheap)
{
	if (!READ_ONCE(kheap->ended) && !delayed_work_pending(&kheap->work))
		queue_delayed_work(system_unbound_wq, &kheap->work, KPOOL_DELAY);
}

/**
 * pym_kpool_put() - leave a pool to whoever needs a block
 * @kheap: the heap
 * @pool: the pool, which the caller holds
 *
 * Context: Any.
 */
void pym_kpool_put(struct pymalloc_kheap *kheap, struct pym_pool *pool)
{
	struct pym_kclass *class = &kheap->classes[pool->class];
	unsigned long flags;

	raw_spin_lock_irqsave(&class->lock, flags);
	WRITE_ONCE(pool->tenancy, PYM_KPOOL_FULL);
	/* Pairs with the atomic operation in pym_kpool_give(): one of both sees the other. */
	smp_mb();
	if (kpool_has_free(pool))
		kpool_list_locked(kheap, pool);
	raw_spin_unlock_irqrestore(&class->lock, flags);
	kpool_arm(kheap);
}

/**
 * pym_kpool_freed() - a block of a pool has been freed that nobody has, or that is closed
 * @kheap: the heap
 * @pool: the pool
 * @number: its class, when the block was freed
 * @word: the word of its bitmap, and
 * @mask: the bits of it that have just been set
 *
 * Context: Any.  Preemption is off.
 * Return: those of the bits whose blocks were not allocated.
 */
unsigned long pym_kpool_freed(struct pymalloc_kheap *kheap, struct pym_pool *pool,
			      u32 number, unsigned int word, unsigned long mask)
{
	struct pym_kclass *class = &kheap->classes[number];
	unsigned long bad = 0;
	unsigned long flags;

	raw_spin_lock_irqsave(&class->lock, flags);
	if (pool->tenancy == PYM_KPOOL_FULL && kpool_has_free(pool))
		kpool_list_locked(kheap, pool);
	else if (pool->tenancy == PYM_KPOOL_CLOSED)
		/* Who has closed it has taken all bits: those that are set came later. */
		bad = atomic_long_fetch_andnot(mask, (atomic_long_t *)&pool->free[word]) & mask;
	raw_spin_unlock_irqrestore(&class->lock, flags);
	if (bad)
		this_cpu_sub(kheap->cpu->frees[number], hweight64(bad));
	if (bad != mask)
		kpool_arm(kheap);
	return bad;
}

/**
 * pym_kpool_take_many() - allocate blocks of a pool
 * @pool: the pool
 * @number: its class
 * @objects: out: the blocks
 * @nr: how many are wanted
 *
 * Context: Any.
 * Return: how many there were.
 */
unsigned int pym_kpool_take_many(struct pym_pool *pool, u32 number, void **objects,
				 unsigned int nr)
{
	const unsigned int size = number * PYMALLOC_BLOCK_MIN;
	void *start = page_address(pool->page);
	unsigned int word, done = 0;

	for (word = 0; word < 1U << pool->order && done < nr; word++, start += 64 * size) {
		unsigned long bits = READ_ONCE(pool->free[word]), grab;

		do {
			grab = bits;
			if (hweight64(bits) > nr - done)
				grab = pym_lowest_bits(bits, nr - done);
		} while (grab && !try_cmpxchg(&pool->free[word], &bits, bits & ~grab));
		for (; grab; grab &= grab - 1)
			objects[done++] = start + __ffs(grab) * size;
	}
	return done;
}

/* Take a listed pool of a node.  Returns NULL if there is none. */
static struct pym_pool *kpool_take_listed(struct pymalloc_kheap *kheap, unsigned int node,
					  u32 number)
{
	struct pym_klist *list = kpool_list(kheap, node, number);
	struct pym_pool *pool = NULL;
	unsigned long flags;

	if (!READ_ONCE(list->nr))
		return NULL;
	raw_spin_lock_irqsave(&kheap->classes[number].lock, flags);
	if (list->nr) {
		pool = list_first_entry(&list->pools, struct pym_pool, link);
		kpool_unlist_locked(list, pool);
	}
	raw_spin_unlock_irqrestore(&kheap->classes[number].lock, flags);
	return pool;
}

/* A page comes to the heap. */
static void kpool_welcome(const struct pymalloc_kheap *kheap, const struct pym_pool *pool,
			  gfp_t gfp)
{
	void *object = page_address(pool->page);
	unsigned int offset, size = pool->class * PYMALLOC_BLOCK_MIN;

	/* It is no leak itself, but what objects point to is none, either. */
	kmemleak_alloc(object, PAGE_SIZE, 0, gfp);
	for (offset = 0; kheap->ctor && offset < kheap->classes[pool->class].end; offset += size)
		kheap->ctor(object + offset);
}

static void kpool_name(struct pymalloc_kheap *kheap, struct pym_pool *pool, gfp_t gfp)
{
	if (!pym_kpage_is_named(pool->page))
		kpool_welcome(kheap, pool, gfp);
	pym_kpage_set_name(pool->page, kheap, pool);
}

/**
 * pym_kpool_page_goes() - a page is about to leave its heap
 * @page: the page, which may have no name yet
 *
 * Context: Any.
 */
void pym_kpool_page_goes(struct page *page)
{
	if (pym_kpage_is_named(page))
		kmemleak_free(page_address(page));
	pym_kpage_unname(page);
}

/**
 * pym_kpool_fresh() - a pool with no block in use, from the core
 * @kheap: the heap
 * @number: the class
 *
 * Memory is reclaimed for it, but not by file systems or block devices, whose locks the
 * caller may hold.
 *
 * Context: Sleeps.
 * Return: the pool, which the caller holds; or NULL.
 */
struct pym_pool *pym_kpool_fresh(struct pymalloc_kheap *kheap, u32 number)
{
	struct mem_cgroup *memcg = set_active_memcg(kheap->sheap->memcg);
	unsigned int flags = memalloc_noio_save();
	struct pym_pool *pool;
	int err;

	pool = pym_whole_take(kheap->heap, number, &err);
	memalloc_noio_restore(flags);
	set_active_memcg(memcg);
	if (pool)
		kpool_name(kheap, pool, GFP_KERNEL);
	return pool;
}

/* The same where nothing may be waited for: the pool gets its place in the window later. */
static struct pym_pool *kpool_orphan(struct pymalloc_kheap *kheap, u32 number, gfp_t gfp)
{
	struct mem_cgroup *memcg = set_active_memcg(kheap->sheap->memcg);
	struct pym_pool *pool;

	pool = pym_whole_make(kheap->heap, number, gfp | __GFP_ACCOUNT | __GFP_NOWARN,
			      atomic_inc_return(&kheap->nr_orphans));
	set_active_memcg(memcg);
	if (!pool) {
		atomic_dec(&kheap->nr_orphans);
		return NULL;
	}
	kpool_name(kheap, pool, gfp);
	llist_add(pym_kpage_node(pool->page), &kheap->orphans);
	mod_delayed_work(system_unbound_wq, &kheap->work, 0);
	return pool;
}

/**
 * pym_kpool_next() - a pool with a free block that nobody else has
 * @kheap: the heap
 * @number: the class
 * @gfp: how memory may be allocated
 *
 * One of the caller's node comes first, then a new one, then one of another node.
 *
 * Context: Any that @gfp allows.
 * Return: the pool, which the caller holds; or NULL.  Others may still take its blocks.
 */
struct pym_pool *pym_kpool_next(struct pymalloc_kheap *kheap, u32 number, gfp_t gfp)
{
	struct pym_pool *pool = kpool_take_listed(kheap, numa_mem_id(), number);
	unsigned int node;

	if (!pool && gfpflags_allow_blocking(gfp))
		pool = pym_kpool_fresh(kheap, number);
	else if (!pool)
		pool = kpool_orphan(kheap, number, gfp);
	for (node = 0; !pool && node < nr_node_ids; node++)
		pool = kpool_take_listed(kheap, node, number);
	return pool;
}

static struct llist_node *kpool_adopt(struct pymalloc_kheap *kheap, struct llist_node *node)
{
	struct pym_pool *pool = pym_kpage_orphan(node);
	struct llist_node *next = node->next;

	WRITE_ONCE(pool->page->private, 0);
	if (pym_whole_adopt(kheap->heap, pool))
		llist_add(node, &kheap->orphans);
	else
		atomic_dec(&kheap->nr_orphans);
	return next;
}

/**
 * pym_kpools_adopt() - give pools that were made where nobody may wait a place
 * @kheap: the heap
 *
 * Context: Sleeps.  Not by two tasks at once.
 */
void pym_kpools_adopt(struct pymalloc_kheap *kheap)
{
	struct mem_cgroup *memcg = set_active_memcg(kheap->sheap->memcg);
	struct llist_node *node = llist_del_all(&kheap->orphans);

	while (node)
		node = kpool_adopt(kheap, node);
	set_active_memcg(memcg);
}

/**
 * pym_kpools_discard() - free pools that have not got a place
 * @kheap: the heap, which nobody uses any more: no object is in use
 *
 * Context: Any.
 */
void pym_kpools_discard(struct pymalloc_kheap *kheap)
{
	struct llist_node *node = llist_del_all(&kheap->orphans), *next;

	for (; node; node = next) {
		struct pym_pool *pool = pym_kpage_orphan(node);

		next = node->next;
		WRITE_ONCE(pool->page->private, 0);
		pym_kpool_page_goes(pool->page);
		atomic_dec(&kheap->nr_orphans);
		pym_whole_discard(pool);
	}
}

/**
 * pym_kpools_let_go() - take from all CPUs the pools that they allocate from
 * @kheap: the heap
 *
 * Context: Any.
 */
void pym_kpools_let_go(struct pymalloc_kheap *kheap)
{
	struct pym_pool *pool;
	int cpu, number;

	for_each_possible_cpu(cpu)
		for (number = 1; number <= PYMALLOC_NR_CLASSES; number++) {
			pool = xchg(&per_cpu_ptr(kheap->cpu, cpu)->pools[number], NULL);
			if (pool)
				pym_kpool_put(kheap, pool);
		}
}

/* The bits of a word of a bitmap that stand for blocks. */
static unsigned long kpool_word_mask(unsigned int capacity, unsigned int word)
{
	return pym_bits(0, clamp_t(int, capacity - word * 64, 0, 64));
}

/* Take all blocks of a pool, so that nobody can allocate one.  Returns false if one is in use. */
static bool kpool_close(const struct pymalloc_kheap *kheap, struct pym_pool *pool)
{
	unsigned int capacity = kheap->heap->classes[pool->class].capacity, word;
	unsigned long mask;

	for (word = 0; word * 64 < capacity; word++)
		if (READ_ONCE(pool->free[word]) != kpool_word_mask(capacity, word))
			return false;
	WRITE_ONCE(pool->tenancy, PYM_KPOOL_CLOSED);
	for (word = 0; word * 64 < capacity; word++) {
		mask = kpool_word_mask(capacity, word);
		if (cmpxchg(&pool->free[word], mask, 0) != mask)
			goto reopen;
	}
	return true;

reopen:
	/* A bit that is set already is that of a double free, which is about to be found. */
	while (word--)
		atomic_long_or(kpool_word_mask(capacity, word), (atomic_long_t *)&pool->free[word]);
	WRITE_ONCE(pool->tenancy, PYM_KPOOL_LISTED);
	return false;
}

/* Close listed pools that have no block.  Returns false if all of the list have been seen. */
static bool kpool_close_some(struct pymalloc_kheap *kheap, struct pym_klist *list, u32 number,
			     unsigned int *left, struct list_head *closed)
{
	struct pym_kclass *class = &kheap->classes[number];
	struct pym_pool *pool;
	unsigned long flags;
	unsigned int seen;

	raw_spin_lock_irqsave(&class->lock, flags);
	*left = min(*left, list->nr);
	for (seen = 0; seen < KPOOL_BATCH && *left; seen++, (*left)--) {
		pool = list_last_entry(&list->pools, struct pym_pool, link);
		if (pym_whole_has_place(pool) && kpool_close(kheap, pool)) {
			list_move(&pool->link, closed);
			WRITE_ONCE(list->nr, list->nr - 1);
		} else {
			list_move(&pool->link, &list->pools);
		}
	}
	raw_spin_unlock_irqrestore(&class->lock, flags);
	return *left;
}

static void kpool_close_listed(struct pymalloc_kheap *kheap, struct list_head *closed)
{
	unsigned int node, left;
	u32 number;

	for (node = 0; node < nr_node_ids; node++)
		for (number = 1; number <= PYMALLOC_NR_CLASSES; number++) {
			struct pym_klist *list = kpool_list(kheap, node, number);

			left = READ_ONCE(list->nr);
			while (left && kpool_close_some(kheap, list, number, &left, closed))
				;
		}
}

/**
 * pym_kpools_flush_gated() - give pools without blocks back to the core
 * @kheap: the heap
 *
 * A CPU may just be looking for a free block in a pool that has been closed: so they are
 * given back after a grace period of RCU.  Type-safe memory needs the same.
 *
 * Context: Sleeps.  Holds the heap's gate for reading.
 */
void pym_kpools_flush_gated(struct pymalloc_kheap *kheap)
{
	LIST_HEAD(closed);

	kpool_close_listed(kheap, &closed);
	if (list_empty(&closed))
		return;
	synchronize_rcu();
	pym_whole_give_gated(kheap->heap, &closed);
}
