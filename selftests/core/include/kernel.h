/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of the kernel as the core needs, for user space.
 *
 * Every file is compiled with "-include kernel.h"; the Makefile makes empty
 * files of the headers that the core asks for.
 *
 * There is one processor.  Tasks take turns only where a test says so: see
 * kernel.preempt.  Misuse ends in panic(): a lock taken twice or not given
 * back, three spinlocks at once, a function that may sleep under a spinlock or
 * RCU, a lookup outside of RCU, an unbalanced count.  Allocations fail when a
 * test asks for it, and what is allocated is counted.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

/* Compiler */
#define __noreturn		__attribute__((__noreturn__))
#define __printf(format, args)	__attribute__((__format__(__printf__, format, args)))
#define __aligned(bytes)	__attribute__((__aligned__(bytes)))
#define __rcu
#define BIT(n)			(1UL << (n))
#define __acquires(lock)
#define __uninitialized
#define ____cacheline_aligned_in_smp	__aligned(64)
#define static_assert(condition)	_Static_assert(condition, #condition)
#define container_of(pointer, type, member) \
	((type *)((char *)(pointer) - offsetof(type, member)))
#define likely(condition)	__builtin_expect(!!(condition), 1)
#define unlikely(condition)	__builtin_expect(!!(condition), 0)
#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value)	(*(volatile __typeof__(x) *)&(x) = (value))
#define try_cmpxchg(p, old, new) \
	__atomic_compare_exchange_n(p, old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define cmpxchg(p, old, new)	__sync_val_compare_and_swap(p, old, new)
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_load_acquire(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, value)	__atomic_store_n(p, value, __ATOMIC_RELEASE)

/* Say what is wrong and abort. */
__noreturn __printf(3, 4)
void panic(const char *file, int line, const char *format, ...);

#define MUST(condition, ...) do {				\
	if (!(condition))					\
		panic(__FILE__, __LINE__, __VA_ARGS__);		\
} while (0)

/* What can be made to fail. */
enum kernel_event {
	KERNEL_PAGE,	/* alloc_pages() */
	KERNEL_SLAB,	/* kmem_cache_alloc() */
	KERNEL_MEMORY,	/* all other memory */
	KERNEL_SIGNAL,	/* "fails" when a fatal signal is pending */
	KERNEL_EVENTS,
};

struct task {
	unsigned int spinlocks;
	unsigned int rcu;
	unsigned int gates;
	unsigned int maps;
	unsigned int page_locks;
};

struct kernel {
	struct task *task;
	/* Called wherever another task could run now; may call the core. */
	void (*preempt)(void);
	/*
	 * Called while the bytes of a page are copied that nobody may use yet: may call
	 * what never waits for the lock of a page.
	 */
	void (*copying)(void);
	/* Called before panic() aborts, to say what went on. */
	void (*describe)(void);
	/* Alive. */
	unsigned long pages;
	unsigned long memory;
	/* So far. */
	unsigned long events[KERNEL_EVENTS];
	unsigned long failures;
};

extern struct kernel kernel;

#define current (kernel.task)

/* From now on, let @skip of @event succeed and the next @times fail. */
void kernel_fail(enum kernel_event event, unsigned long skip, unsigned long times);
/* Nothing fails any more; kernel.failures starts again at 0. */
void kernel_fail_nothing(void);
/* No lock is held, no section entered, nothing mapped. */
void kernel_at_rest(void);
/* Nothing is allocated. */
void kernel_empty(void);

/* Arithmetic */
#define min_t(type, a, b) ({ type _a = (a), _b = (b); _a < _b ? _a : _b; })
#define max_t(type, a, b) ({ type _a = (a), _b = (b); _a > _b ? _a : _b; })
#define min(a, b)	min_t(__typeof__(0 ? (a) : (b)), a, b)
#define max(a, b)	max_t(__typeof__(0 ? (a) : (b)), a, b)
#define ALIGN(x, to)		(((x) + (to) - 1) & ~((__typeof__(x))(to) - 1))
#define round_down(x, to)	((x) & ~((__typeof__(x))(to) - 1))
#define DIV_ROUND_UP(x, by)	(((x) + (by) - 1) / (by))
#define DIV_ROUND_UP_ULL(x, by)	DIV_ROUND_UP((u64)(x), by)
#define BIT_ULL(bit)		(1ULL << (bit))
#define GENMASK_ULL(high, low)	((~0ULL << (low)) & (~0ULL >> (63 - (high))))
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

static inline unsigned int hweight64(u64 word)
{
	return __builtin_popcountll(word);
}

static inline bool __test_and_set_bit(unsigned int bit, unsigned long *bitmap)
{
	unsigned long *word = bitmap + bit / 64, old = *word;

	*word |= BIT_ULL(bit % 64);
	return old & BIT_ULL(bit % 64);
}

static inline unsigned int __ffs64(u64 word)
{
	MUST(word, "__ffs64(0)");
	return __builtin_ctzll(word);
}

static inline int ilog2(u64 word)
{
	MUST(word, "ilog2(0)");
	return 63 - __builtin_clzll(word);
}

static inline unsigned int order_base_2(u64 nr)
{
	return nr > 1 ? ilog2(nr - 1) + 1 : 0;
}

#define GOLDEN_RATIO_32	0x61C88647

/* Always the same numbers, one after the other, so that a test can be repeated. */
u32 get_random_u32(void);

/* Errors in pointers */
static inline void *ERR_PTR(long err)
{
	return (void *)err;
}

static inline long PTR_ERR(const void *pointer)
{
	return (long)pointer;
}

static inline int PTR_ERR_OR_ZERO(const void *pointer)
{
	return (unsigned long)pointer >= -4095UL ? (long)pointer : 0;
}

static inline bool IS_ERR_OR_NULL(const void *pointer)
{
	return !pointer || (unsigned long)pointer >= -4095UL;
}

static inline bool IS_ERR(const void *pointer)
{
	return (unsigned long)pointer >= -4095UL;
}

/* Strings */
static inline void strscpy(char *to, const char *from, size_t size)
{
	size_t length = strnlen(from, size - 1);

	memcpy(to, from, length);
	to[length] = 0;
}

/* Lists */
struct list_head {
	struct list_head *next, *prev;
};

#define LIST_HEAD(name)		struct list_head name = { &(name), &(name) }
#define list_entry(pointer, type, member)	container_of(pointer, type, member)
#define list_first_entry(head, type, member)	list_entry((head)->next, type, member)
#define list_first_entry_or_null(head, type, member) \
	(list_empty(head) ? NULL : list_first_entry(head, type, member))
#define list_for_each(entry, head) \
	for (entry = (head)->next; entry != (head); entry = entry->next)
#define list_next_entry(entry, member) \
	list_entry((entry)->member.next, __typeof__(*(entry)), member)
#define list_for_each_entry(entry, head, member)				\
	for (entry = list_first_entry(head, __typeof__(*entry), member);	\
	     &entry->member != (head); entry = list_next_entry(entry, member))
#define list_for_each_entry_safe_reverse(entry, before, head, member)		\
	for (entry = list_entry((head)->prev, __typeof__(*entry), member),	\
	     before = list_entry(entry->member.prev, __typeof__(*entry), member);	\
	     &entry->member != (head);						\
	     entry = before,							\
	     before = list_entry(before->member.prev, __typeof__(*entry), member))
#define list_for_each_entry_safe(entry, after, head, member)			\
	for (entry = list_first_entry(head, __typeof__(*entry), member),	\
	     after = list_next_entry(entry, member); &entry->member != (head);	\
	     entry = after, after = list_next_entry(after, member))

static inline void INIT_LIST_HEAD(struct list_head *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline void list_add(struct list_head *entry, struct list_head *head)
{
	MUST(head->next->prev == head, "list_add() to a broken list");
	entry->next = head->next;
	entry->prev = head;
	head->next->prev = entry;
	head->next = entry;
}

static inline void list_add_tail(struct list_head *entry, struct list_head *head)
{
	list_add(entry, head->prev);
}

static inline void list_del_init(struct list_head *entry)
{
	MUST(entry->next->prev == entry && entry->prev->next == entry,
	     "list_del() from a broken list");
	entry->next->prev = entry->prev;
	entry->prev->next = entry->next;
	INIT_LIST_HEAD(entry);
}

static inline void list_move(struct list_head *entry, struct list_head *head)
{
	list_del_init(entry);
	list_add(entry, head);
}

static inline void list_replace(struct list_head *old, struct list_head *new)
{
	new->next = old->next;
	new->next->prev = new;
	new->prev = old->prev;
	new->prev->next = new;
}

static inline void list_splice(struct list_head *from, struct list_head *head)
{
	while (!list_empty(from))
		list_move(from->prev, head);
}

/* Bitmaps */
static inline bool test_bit(unsigned int bit, const unsigned long *bitmap)
{
	return bitmap[bit / 64] & BIT_ULL(bit % 64);
}

static inline unsigned int bitmap_weight(const unsigned long *bitmap, unsigned int nr)
{
	unsigned int weight = 0;

	while (nr--)
		weight += test_bit(nr, bitmap);
	return weight;
}

static inline bool bitmap_empty(const unsigned long *bitmap, unsigned int nr)
{
	return !bitmap_weight(bitmap, nr);
}

static inline void bitmap_copy(unsigned long *to, const unsigned long *from, unsigned int nr)
{
	memcpy(to, from, DIV_ROUND_UP(nr, 64) * sizeof(*to));
}

static inline void bitmap_or(unsigned long *to, const unsigned long *a,
			     const unsigned long *b, unsigned int nr)
{
	unsigned int word;

	for (word = 0; word < DIV_ROUND_UP(nr, 64); word++)
		to[word] = a[word] | b[word];
}

static inline unsigned int next_bit(const unsigned long *bitmap, unsigned int nr,
				    unsigned int bit, bool set)
{
	while (bit < nr && test_bit(bit, bitmap) != set)
		bit++;
	return bit;
}

#define for_each_set_bitrange(first, end, bitmap, nr)				\
	for ((first) = 0;							\
	     (first) = next_bit(bitmap, nr, first, true),			\
	     (end) = next_bit(bitmap, nr, first, false), (first) < (nr);	\
	     (first) = (end))

static inline unsigned long int_sqrt(unsigned long square)
{
	unsigned long root = 0;

	while ((root + 1) * (root + 1) <= square)
		root++;
	return root;
}

#define swap(a, b) do { __typeof__(a) _a = (a); (a) = (b); (b) = _a; } while (0)

/* Counters */
struct counter {
	long value;
};

/* As large as in the kernel: the test knows how much it takes. */
struct small_counter {
	int value;
};

#define atomic_t	struct small_counter
#define atomic_long_t	struct counter
#define atomic64_t	struct counter

static inline void atomic_set(struct small_counter *counter, int value)
{
	counter->value = value;
}

static inline int atomic_read(const struct small_counter *counter)
{
	return counter->value;
}

static inline void atomic_inc(struct small_counter *counter)
{
	__atomic_add_fetch(&counter->value, 1, __ATOMIC_SEQ_CST);
}

static inline void atomic_dec(struct small_counter *counter)
{
	__atomic_sub_fetch(&counter->value, 1, __ATOMIC_SEQ_CST);
}

static inline int atomic_fetch_andnot(int bits, struct small_counter *counter)
{
	int old = counter->value;

	counter->value &= ~bits;
	return old;
}

static inline long atomic_long_add_return(long value, struct counter *counter)
{
	return counter->value += value;
}

static inline void atomic_long_sub(long value, struct counter *counter)
{
	counter->value -= value;
	MUST(counter->value >= 0, "a counter is below zero");
}

static inline void atomic_long_add(long value, struct counter *counter)
{
	counter->value += value;
}

static inline long atomic_long_read(const struct counter *counter)
{
	return counter->value;
}

static inline void atomic64_add(long value, struct counter *counter)
{
	counter->value += value;
}

static inline long atomic64_read(const struct counter *counter)
{
	return counter->value;
}

/* Locks */
struct spinlock {
	struct task *owner;
};

#define spinlock_t struct spinlock

struct rw_semaphore {
	bool writer;
	unsigned int readers;
};

static inline void spin_lock_init(struct spinlock *lock)
{
	lock->owner = NULL;
}

static inline void init_rwsem(struct rw_semaphore *gate)
{
	gate->writer = false;
	gate->readers = 0;
}

/* A test runs one task at a time: nobody waits. */
#define rwsem_is_contended(gate)	false

static inline bool lockdep_is_held(const struct spinlock *lock)
{
	return lock->owner == current;
}

#define lockdep_assert_held(lock) \
	MUST(lockdep_is_held(lock), "a lock is not held")

void spin_lock(struct spinlock *lock);
void spin_unlock(struct spinlock *lock);
void down_read(struct rw_semaphore *gate);
int down_read_trylock(struct rw_semaphore *gate);
void up_read(struct rw_semaphore *gate);
void down_write(struct rw_semaphore *gate);
void up_write(struct rw_semaphore *gate);

/* Nobody is killed here. */
static inline int down_write_killable(struct rw_semaphore *gate)
{
	down_write(gate);
	return 0;
}

int down_write_trylock(struct rw_semaphore *gate);

/* RCU */
struct rcu_head {
	struct rcu_head *next;
	void (*call)(struct rcu_head *head);
};

void rcu_read_lock(void);
void rcu_read_unlock(void);
void rcu_barrier(void);
void call_rcu(struct rcu_head *head, void (*call)(struct rcu_head *head));
void rcu_lookup(bool protected);

#define rcu_dereference_check(pointer, protected) \
	({ rcu_lookup(protected); READ_ONCE(pointer); })
#define rcu_dereference(pointer)	rcu_dereference_check(pointer, false)
#define rcu_dereference_raw(pointer)	READ_ONCE(pointer)
#define rcu_access_pointer(pointer)	READ_ONCE(pointer)
#define rcu_dereference_protected(pointer, protected) \
	({ MUST(protected, "a pointer is not protected"); (pointer); })
#define rcu_assign_pointer(pointer, value)	smp_store_release(&(pointer), value)
#define RCU_INIT_POINTER(pointer, value)	WRITE_ONCE(pointer, value)

/* Tasks */
void cond_resched(void);
bool fatal_signal_pending(struct task *task);

#define schedule_timeout_killable(ticks)	cond_resched()

/* Memory */
#define PAGE_SIZE		4096UL
#define offset_in_page(at)	((unsigned long)(at) & (PAGE_SIZE - 1))

#define gfp_t			unsigned int
#define __GFP_DIRECT_RECLAIM	1U	/* may sleep */
#define GFP_KERNEL		__GFP_DIRECT_RECLAIM
#define GFP_KERNEL_ACCOUNT	(GFP_KERNEL | 2U)
#define __GFP_NOWARN		4U
#define __GFP_NORETRY		8U
#define __GFP_RETRY_MAYFAIL	16U
#define __GFP_ZERO		32U
#define SLAB_ACCOUNT		1

/**
 * struct page - a page, one of an array of those that were allocated together
 * @users: references; 0 is a free page, or one of a larger one's others
 * @zeroed: its memory is to be zero
 * @locked: somebody has locked it
 * @pinned: a test says that somebody writes to it
 * @poisoned: a test says that its memory has an error
 * @memory: NULL until somebody looks at it
 * @first: the array
 * @private: the core's own
 * @alive: of the first page: how many are not free
 */
struct page {
	unsigned int users;
	bool zeroed;
	bool locked;
	bool pinned;
	bool poisoned;
	void *memory;
	struct page *first;
	unsigned long private;
	unsigned int alive;
};

struct page *alloc_pages(gfp_t gfp, unsigned int order);
void split_page(struct page *page, unsigned int order);
void get_page(struct page *page);
void put_page(struct page *page);
void release_pages(struct page **pages, int nr);
void *page_address(struct page *page);
void *kmap_local_page(struct page *page);
void kunmap_local(const void *address);
void memzero_page(struct page *page, size_t offset, size_t bytes);
void copy_highpage(struct page *to, struct page *from);
void memcpy_page(struct page *to, size_t to_offset, struct page *from,
		 size_t from_offset, size_t bytes);

#define flush_dcache_page(page)	do { } while (0)
#define page_count(page)	((page)->users)
#define page_folio(page)	(page)
#define PageHWPoison(page)	((page)->poisoned)
#define folio_maybe_dma_pinned(folio)	((folio)->pinned)

/*
 * No other task runs while one has locked a page: it might have to wait, and a
 * task that has been interrupted never goes on before the other one has ended.
 */
static inline void lock_page(struct page *page)
{
	cond_resched();
	MUST(page->users && !page->locked, "a page would never be unlocked");
	page->locked = true;
	current->page_locks++;
}

static inline bool trylock_page(struct page *page)
{
	if (page->locked)
		return false;
	lock_page(page);
	return true;
}

static inline void unlock_page(struct page *page)
{
	MUST(page->locked && current->page_locks, "a page is unlocked that is not locked");
	page->locked = false;
	current->page_locks--;
}

static inline bool PageLocked(const struct page *page)
{
	if (!current->spinlocks)
		cond_resched();
	return page->locked;
}

static inline void wait_on_page_locked(struct page *page)
{
	MUST(page->users && !page->locked, "a page that is free or never unlocked is waited for");
	cond_resched();
}

#define alloc_page(gfp)		alloc_pages(gfp, 0)
#define __free_page(page)	put_page(page)

struct kmem_cache;

void *kvcalloc(size_t nr, size_t size, gfp_t gfp);
void kvfree(const void *memory);

#define kvmalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kzalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kvzalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kfree(memory)		kvfree(memory)

static inline void kvfree_head(struct rcu_head *head)
{
	kvfree(head);
}

/* Of a struct that begins with its head. */
#define kfree_rcu(memory, head)							\
	({									\
		static_assert(!offsetof(typeof(*(memory)), head));		\
		call_rcu(&(memory)->head, kvfree_head);				\
	})

struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align,
				     unsigned int flags, void (*ctor)(void *));
void kmem_cache_destroy(struct kmem_cache *cache);
void *kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp);
void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp);
void kmem_cache_free(struct kmem_cache *cache, void *memory);

/* Tracepoints, which nobody listens to */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define TP_PROTO(...)	__VA_ARGS__
#define TP_ARGS(...)	__VA_ARGS__
#define TRACE_EVENT(name, proto, ...)	static inline void trace_##name(proto) { }
#define DECLARE_EVENT_CLASS(name, ...)
#define DEFINE_EVENT(class, name, proto, ...)	TRACE_EVENT(name, TP_PROTO(proto))

#endif /* KERNEL_H */
