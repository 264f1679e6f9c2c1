// SPDX-License-Identifier: GPL-2.0
/*
 * Objects of other modules' heaps: allocate and free.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bug.h>
#include <linux/instruction_pointer.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kheap_object.h"
#include "kpage.h"
#include "kpool.h"
#include "service_heap.h"

/* Who has allocated an object stands behind it, at the end of its block. */
static unsigned long *object_caller(void *object, u32 number)
{
	return object + number * PYMALLOC_BLOCK_MIN - sizeof(unsigned long);
}

/* The largest blocks have no room for it. */
static bool has_caller(const struct pymalloc_kheap *kheap, u32 number)
{
	return kheap->flags & PYMALLOC_KHEAP_CALLERS && number < PYMALLOC_NR_CLASSES;
}

/**
 * pym_kheap_caller() - who has allocated an object
 * @kheap: the heap
 * @object: the object
 * @number: its class
 *
 * Return: the address of the call; 0 if it is not known.
 */
unsigned long pym_kheap_caller(const struct pymalloc_kheap *kheap, const void *object, u32 number)
{
	return has_caller(kheap, number) ? *object_caller((void *)object, number) : 0;
}

/**
 * pym_kheap_number() - the class that serves a size
 * @kheap: the heap
 * @size: bytes, up to PYMALLOC_KHEAP_MAX
 *
 * Return: its number; 0 if the heap has no objects of this size.
 */
u32 pym_kheap_number(const struct pymalloc_kheap *kheap, size_t size)
{
	u32 number;

	if (size - 1 >= PYMALLOC_BLOCK_MAX || (kheap->object_size && size != kheap->object_size))
		return 0;
	number = ((size + kheap->add) & kheap->mask) / PYMALLOC_BLOCK_MIN;
	return min_t(u32, number, PYMALLOC_NR_CLASSES);
}

static void note_caller(const struct pymalloc_kheap *kheap, void *object, u32 number,
			unsigned long caller)
{
	if (has_caller(kheap, number))
		*object_caller(object, number) = caller;
}

/* Make a pool the one that this CPU allocates from. */
static void pool_install(struct pymalloc_kheap *kheap, struct pym_pool *pool, u32 number)
{
	struct pym_pool *old;

	/* Not this_cpu_xchg(): that is not atomic against xchg() by another CPU. */
	preempt_disable();
	old = xchg(&this_cpu_ptr(kheap->cpu)->pools[number], pool);
	preempt_enable();
	if (old)
		pym_kpool_put(kheap, old);
}

static __always_inline void *take_here(struct pymalloc_kheap *kheap, u32 number)
{
	struct pym_pool *pool;
	void *object;

	preempt_disable();
	pool = this_cpu_read(kheap->cpu->pools[number]);
	object = likely(pool) ? pym_kpool_take(pool, number) : NULL;
	if (likely(object))
		this_cpu_inc(kheap->cpu->allocs[number]);
	preempt_enable();
	return object;
}

/* The pool of this CPU is full, or there is none. */
static noinline void *take_elsewhere(struct pymalloc_kheap *kheap, u32 number, gfp_t gfp)
{
	struct pym_pool *pool;
	void *object = NULL;

	/* Others may take all blocks of a pool that they have known before. */
	while (!object) {
		pool = pym_kpool_next(kheap, number, gfp);
		if (!pool)
			return NULL;
		object = pym_kpool_take(pool, number);
		pool_install(kheap, pool, number);
	}
	this_cpu_inc(kheap->cpu->allocs[number]);
	return object;
}

static __always_inline void *object_take(struct pymalloc_kheap *kheap, u32 number, gfp_t gfp)
{
	void *object = take_here(kheap, number);

	return likely(object) ? object : take_elsewhere(kheap, number, gfp);
}

/* Does a new object have to be cleared?  One that has a constructor never has. */
static bool is_to_be_cleared(const struct pymalloc_kheap *kheap, gfp_t gfp)
{
	return want_init_on_alloc(gfp) && !kheap->ctor;
}

/**
 * pym_kheap_finish() - what is left to do with an object that has just been allocated
 * @kheap: the heap
 * @object: the object
 * @number: its class
 * @gfp: how it was asked for
 * @caller: who allocates it
 *
 * Context: Any.
 */
void pym_kheap_finish(const struct pymalloc_kheap *kheap, void *object, u32 number, gfp_t gfp,
		      unsigned long caller)
{
	if (is_to_be_cleared(kheap, gfp))
		memset(object, 0, number * PYMALLOC_BLOCK_MIN);
	note_caller(kheap, object, number, caller);
}

/* A size that the heap does not have, or a heap whose objects need more than others. */
static noinline void *alloc_special(struct pymalloc_kheap *kheap, size_t size, gfp_t gfp,
				    unsigned long caller)
{
	u32 number = pym_kheap_number(kheap, size);
	void *object;

	if (WARN_ONCE(!number, KBUILD_MODNAME
		      ": an object of %zu bytes is wanted, which heap \"%s\" does not have\n",
		      size, kheap->sheap->name))
		return NULL;
	object = object_take(kheap, number, gfp);
	if (object)
		pym_kheap_finish(kheap, object, number, gfp, caller);
	return object;
}

/**
 * pymalloc_kheap_alloc() - allocate an object
 * @kheap: the heap
 * @size: its bytes, 1 to PYMALLOC_KHEAP_MAX; of a heap of objects of one size that size
 * @gfp: GFP_KERNEL, GFP_ATOMIC and so on, with __GFP_ZERO if it is to be cleared.
 *	__GFP_NOFAIL has no effect.  The page that may be needed is charged to the memory
 *	cgroup of the heap
 *
 * The object is aligned to the heap's alignment, and is cleared, too, if the kernel does so
 * with all objects (init_on_alloc).
 *
 * Context: Any but NMI; sleeps if @gfp allows it.  Takes no lock as long as this CPU's pool
 *	has a free block.
 * Return: the object; or NULL (no memory, or a limit), also for a size that the heap does
 *	not have, which is a bug of the caller, and warned of once.
 */
void *pymalloc_kheap_alloc(struct pymalloc_kheap *kheap, size_t size, gfp_t gfp)
{
	u32 number;
	void *object;

	if (unlikely(size - 1 >= kheap->plain))
		return alloc_special(kheap, size, gfp, _RET_IP_);
	number = ((size + kheap->add) & kheap->mask) / PYMALLOC_BLOCK_MIN;
	object = object_take(kheap, number, gfp);
	if (likely(object) && want_init_on_alloc(gfp))
		memset(object, 0, number * PYMALLOC_BLOCK_MIN);
	return object;
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_alloc);

static unsigned int take_many_here(struct pymalloc_kheap *kheap, u32 number, void **objects,
				   unsigned int nr)
{
	struct pym_pool *pool;
	unsigned int done;

	preempt_disable();
	pool = this_cpu_read(kheap->cpu->pools[number]);
	done = pool ? pym_kpool_take_many(pool, number, objects, nr) : 0;
	this_cpu_add(kheap->cpu->allocs[number], done);
	preempt_enable();
	return done;
}

static unsigned int take_many(struct pymalloc_kheap *kheap, u32 number, gfp_t gfp,
			      void **objects, unsigned int nr)
{
	unsigned int done = take_many_here(kheap, number, objects, nr);
	struct pym_pool *pool;

	while (done < nr) {
		pool = pym_kpool_next(kheap, number, gfp);
		if (!pool)
			break;
		pool_install(kheap, pool, number);
		done += take_many_here(kheap, number, objects + done, nr - done);
	}
	return done;
}

/**
 * pymalloc_kheap_alloc_bulk() - allocate many objects of one size, or none
 * @kheap: the heap
 * @size: as for pymalloc_kheap_alloc()
 * @gfp: as for pymalloc_kheap_alloc()
 * @nr: how many
 * @objects: out: the objects
 *
 * Context: As pymalloc_kheap_alloc().
 * Return: @nr; or 0 (no memory, a limit, or a size that the heap does not have).
 */
unsigned int pymalloc_kheap_alloc_bulk(struct pymalloc_kheap *kheap, size_t size, gfp_t gfp,
				       unsigned int nr, void **objects)
{
	u32 number = pym_kheap_number(kheap, size);
	unsigned int done, i;

	if (WARN_ONCE(!number, "objects of %zu bytes are wanted, which heap %s does not have\n",
		      size, kheap->sheap->name))
		return 0;
	done = take_many(kheap, number, gfp, objects, nr);
	if (done < nr) {
		pymalloc_kheap_free_bulk(done, objects);
		return 0;
	}
	if (kheap->plain && !want_init_on_alloc(gfp))
		return nr;
	for (i = 0; i < nr; i++)
		pym_kheap_finish(kheap, objects[i], number, gfp, _RET_IP_);
	return nr;
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_alloc_bulk);

static const char *bad_kind(enum pymalloc_ref_status status)
{
	switch (status) {
	case PYMALLOC_REF_FREE:
		return "double";
	case PYMALLOC_REF_MISALIGNED:
		return "misaligned";
	default:
		return "foreign";
	}
}

static noinline void refuse(const void *object, enum pymalloc_ref_status status,
			    unsigned long caller)
{
	char name[PYMALLOC_NAME_LEN + 2] = "no heap";
	struct pymalloc_kheap *kheap;

	preempt_disable();
	if (pym_kpage_pool(object, &kheap)) {
		atomic64_inc(&kheap->heap->nr_bad_refs);
		snprintf(name, sizeof(name), "\"%s\"", kheap->sheap->name);
	}
	preempt_enable();
	WARN_ONCE(1, KBUILD_MODNAME ": a %s free of %p, of %s, by %pS\n",
		  bad_kind(status), object, name, (void *)caller);
}

/*
 * The pool of an allocated object, and its heap.  Returns NULL for anything else.
 *
 * Context: Preemption is off.
 */
static struct pym_pool *object_pool(const void *object, struct pymalloc_kheap **kheap)
{
	struct pym_pool *pool = pym_kpage_pool(object, kheap);
	const struct pym_kclass *class;
	u64 position;

	if (!pool)
		return NULL;
	class = &(*kheap)->classes[READ_ONCE(pool->class)];
	position = pym_block_position(class->inverse, offset_in_page(object));
	if ((u32)position >= class->inverse || offset_in_page(object) >= class->end ||
	    test_bit(position >> 32, pool->free))
		return NULL;
	return pool;
}

/* As init_on_free wants it: before the object is free, or another's would be cleared. */
static noinline void object_wipe(const void *object)
{
	struct pymalloc_kheap *kheap;
	struct pym_pool *pool;

	preempt_disable();
	pool = object_pool(object, &kheap);
	if (pool && !kheap->ctor)
		memset((void *)object, 0, READ_ONCE(pool->class) * PYMALLOC_BLOCK_MIN);
	preempt_enable();
}

static __always_inline enum pymalloc_ref_status object_free(const void *object)
{
	enum pymalloc_ref_status status = PYMALLOC_REF_FOREIGN;
	struct pymalloc_kheap *kheap;
	struct pym_pool *pool;

	preempt_disable();
	pool = pym_kpage_pool(object, &kheap);
	if (likely(pool))
		status = pym_kpool_give(kheap, pool, object);
	preempt_enable();
	return status;
}

/**
 * pymalloc_kheap_free() - free an object
 * @object: the object, of any heap; or NULL
 *
 * What is not an allocated object is refused, and counted as a bad ref of its heap.  The
 * first time that happens it is warned of, with the caller.
 *
 * Context: Any but NMI.  Takes no lock, unless a full pool gets its first free block.
 */
void pymalloc_kheap_free(const void *object)
{
	enum pymalloc_ref_status status;

	if (unlikely(!object))
		return;
	if (want_init_on_free())
		object_wipe(object);
	status = object_free(object);
	if (unlikely(status))
		refuse(object, status, _RET_IP_);
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_free);

/**
 * struct run - objects of one page that are being freed
 * @kheap: their heap
 * @pool: their pool
 * @number: its class when they were looked at: it may go meanwhile, if a free is a bad one
 * @word: the word of its bitmap that @mask is for
 * @mask: a bit for each block that is to be freed
 * @caller: who frees them
 */
struct run {
	struct pymalloc_kheap *kheap;
	struct pym_pool *pool;
	u32 number;
	unsigned int word;
	unsigned long mask;
	unsigned long caller;
};

static noinline void run_refuse(const struct run *run, unsigned long bad)
{
	unsigned int size = run->number * PYMALLOC_BLOCK_MIN;

	for (; bad; bad &= bad - 1)
		refuse(page_address(run->pool->page) +
		       (run->word * BITS_PER_LONG + __ffs(bad)) * size,
		       PYMALLOC_REF_FREE, run->caller);
}

/* Free the blocks of the mask. */
static void run_free(struct run *run)
{
	atomic_long_t *word = (atomic_long_t *)&run->pool->free[run->word];
	u32 number = run->number;
	unsigned long bad;

	if (!run->mask)
		return;
	bad = atomic_long_fetch_or(run->mask, word) & run->mask;
	this_cpu_add(run->kheap->cpu->frees[number], hweight64(run->mask & ~bad));
	if (unlikely(READ_ONCE(run->pool->tenancy) >= PYM_KPOOL_FULL))
		bad |= pym_kpool_freed(run->kheap, run->pool, number, run->word,
				       run->mask & ~bad);
	if (unlikely(bad))
		run_refuse(run, bad);
	run->mask = 0;
}

/* Note a block that is to be freed.  One that comes twice is freed twice, and so refused. */
static __always_inline void run_add(struct run *run, unsigned int index)
{
	unsigned long bit = BIT(index % BITS_PER_LONG);

	if (unlikely(index / BITS_PER_LONG != run->word || run->mask & bit)) {
		run_free(run);
		run->word = index / BITS_PER_LONG;
	}
	run->mask |= bit;
}

/* Free objects from the first one on, as long as they lie in one page.  Returns how many. */
static unsigned int run_pass(struct run *run, unsigned int nr, void **objects)
{
	const unsigned long start = (unsigned long)objects[0] & PAGE_MASK;
	const struct pym_kclass *class;
	unsigned int done = 0;
	unsigned long offset;
	u64 position;

	run->pool = pym_kpage_pool(objects[0], &run->kheap);
	if (!run->pool)
		return 0;
	run->number = READ_ONCE(run->pool->class);
	class = &run->kheap->classes[run->number];
	for (; done < nr; done++) {
		offset = (unsigned long)objects[done] - start;
		if (offset >= class->end)
			break;
		position = pym_block_position(class->inverse, offset);
		if (unlikely((u32)position >= class->inverse))
			break;
		run_add(run, position >> 32);
	}
	run_free(run);
	return done;
}

/**
 * pymalloc_kheap_free_bulk() - free many objects
 * @nr: how many
 * @objects: the objects, of any sizes and heaps.  Those that were allocated together are
 *	freed together
 *
 * Bad ones are refused, as pymalloc_kheap_free() refuses them, and all others are freed.
 *
 * Context: As pymalloc_kheap_free().
 */
void pymalloc_kheap_free_bulk(unsigned int nr, void **objects)
{
	struct run run = { .caller = _RET_IP_ };
	unsigned int done, i;

	for (i = 0; want_init_on_free() && i < nr; i++)
		object_wipe(objects[i]);
	while (nr) {
		preempt_disable();
		done = run_pass(&run, nr, objects);
		preempt_enable();
		/* The first of them is none: this says what is wrong with it. */
		if (!done) {
			pymalloc_kheap_free(objects[0]);
			done = 1;
		}
		nr -= done;
		objects += done;
	}
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_free_bulk);

static void free_after_grace(struct rcu_head *head)
{
	unsigned long offset = offset_in_page(head);
	struct pymalloc_kheap *kheap;
	struct pym_pool *pool;
	u32 size = 0;

	preempt_disable();
	pool = pym_kpage_pool(head, &kheap);
	if (pool)
		size = READ_ONCE(pool->class) * PYMALLOC_BLOCK_MIN;
	preempt_enable();
	pymalloc_kheap_free((void *)head - (size ? offset % size : 0));
}

/**
 * pymalloc_kheap_free_rcu() - free an object after a grace period of RCU
 * @head: a field of the object
 *
 * Whether it is an allocated object is found out then.
 *
 * Context: Any but NMI.
 */
void pymalloc_kheap_free_rcu(struct rcu_head *head)
{
	call_rcu(head, free_after_grace);
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_free_rcu);

/**
 * pymalloc_kheap_usable() - how many bytes of an object may be used
 * @object: any address
 *
 * Context: Any.
 * Return: the bytes, at least those asked for; 0 if no allocated object starts there.
 */
size_t pymalloc_kheap_usable(const void *object)
{
	struct pymalloc_kheap *kheap;
	struct pym_pool *pool;
	size_t size = 0;
	u32 number;

	preempt_disable();
	pool = object_pool(object, &kheap);
	if (pool) {
		number = READ_ONCE(pool->class);
		size = number * PYMALLOC_BLOCK_MIN;
		if (has_caller(kheap, number))
			size -= sizeof(unsigned long);
	}
	preempt_enable();
	return size;
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_usable);
