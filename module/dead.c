// SPDX-License-Identifier: GPL-2.0
/*
 * The dead: what is kept of heaps whose process has ended.
 *
 * A dead heap has no pages and no client, and nothing changes it.  It is charged to its
 * user and to its memory cgroup as before, and goes, the oldest first,
 *
 * - when its user has more of them, or more bytes in them, than the parameters allow;
 * - when its user meets the limit of bytes, before anything fails because of that;
 * - when the machine, or the memory cgroup that pays, is short of memory;
 * - when its user says so.
 *
 * Who uses a dead heap has a reference for no longer than a call takes, so that descriptors
 * keep none.
 *
 * Locks: dead_lock is held to put a dead heap into all lists or to take it out of them.  In
 * it nest the locks of @dead_heaps and of @dead_lru.  The shrinker has got the lock of
 * @dead_lru first, and only tries dead_lock.
 */
#include <linux/err.h>
#include <linux/list_lru.h>
#include <linux/minmax.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>

#include "compat.h"
#include "dead.h"
#include "params.h"
#include "service_heap.h"
#include "trace.h"
#include "user.h"

/*
 * Without keep_dead, heaps that were made with PYMALLOC_CREATE_KEEP_DEAD are kept all the
 * same.  So many of a user: a program that dies again and again is seen a few times.
 */
#define DEAD_ASKED_MAX	16

/*
 * The memory management counts objects, and looks at few of them as long as the need is not
 * great.  A dead heap holds many pages and is of little use: it counts for so many.
 */
#define DEAD_WEIGHT	256

static DEFINE_SPINLOCK(dead_lock);
static DEFINE_XARRAY(dead_heaps);
static struct list_lru dead_lru;
static struct kmem_cache *dead_cache;
static struct shrinker *dead_shrinker;
static bool dead_lru_is_ready;
static void (*dead_release)(struct pym_service_heap *sheap);

/**
 * pym_dead_max() - how many dead heaps of a user are kept
 *
 * Context: Any.
 * Return: their number.
 */
u32 pym_dead_max(void)
{
	return READ_ONCE(pym_keep_dead) ?: DEAD_ASKED_MAX;
}

/**
 * pym_dead_new() - prepare to keep a heap
 * @sheap: the heap, which has just ended; its memory cgroup is known
 *
 * Context: Sleeps.
 * Return: what describes it, with two references, those that pym_dead_add() and the removal
 *	of its folder need; or NULL without memory.
 */
struct pym_dead *pym_dead_new(struct pym_service_heap *sheap)
{
	struct mem_cgroup *memcg = set_active_memcg(sheap->memcg);
	struct pym_dead *dead = kmem_cache_alloc_lru(dead_cache, &dead_lru, PYM_GFP);

	if (dead && xa_reserve(&dead_heaps, sheap->heap.id, PYM_GFP)) {
		kmem_cache_free(dead_cache, dead);
		dead = NULL;
	}
	set_active_memcg(memcg);
	if (!dead)
		return NULL;
	*dead = (struct pym_dead) { .ref = KREF_INIT(2), .sheap = sheap };
	INIT_LIST_HEAD(&dead->of_user);
	INIT_LIST_HEAD(&dead->of_cgroup);
	return dead;
}

static void dead_free(struct kref *ref)
{
	struct pym_dead *dead = container_of(ref, struct pym_dead, ref);

	dead_release(dead->sheap);
	kmem_cache_free(dead_cache, dead);
}

/**
 * pym_dead_put() - drop a reference; the last one frees the heap
 * @dead: the dead heap
 *
 * Context: Any that holds no spinlock; also memory reclaim.  Waits for nothing.
 */
void pym_dead_put(struct pym_dead *dead)
{
	kref_put(&dead->ref, dead_free);
}

/* Nobody finds it from now on, but in @dead_lru.  The caller takes over a reference. */
static void dead_unlink_locked(struct pym_dead *dead)
{
	struct pym_user *user = dead->sheap->user;

	lockdep_assert_held(&dead_lock);
	WRITE_ONCE(dead->forgotten, true);
	xa_erase(&dead_heaps, dead->sheap->heap.id);
	list_del(&dead->of_user);
	user->nr_dead--;
	user->dead_bytes -= dead->bytes;
}

static void dead_forget_locked(struct pym_dead *dead)
{
	dead_unlink_locked(dead);
	pym_list_lru_del(&dead_lru, &dead->of_cgroup);
}

/* Free what nobody finds any more. */
static void dead_bury(struct pym_dead *dead)
{
	trace_heap_forget(dead->sheap->heap.id, dead->bytes);
	pym_dead_put(dead);
}

static struct pym_dead *dead_oldest_locked(struct pym_user *user)
{
	return list_first_entry_or_null(&user->dead, struct pym_dead, of_user);
}

/* Forget the oldest dead heaps of a user until there is room for one more. */
static void dead_make_room_locked(struct pym_user *user, unsigned long bytes,
				  unsigned long max_bytes, struct list_head *forgotten)
{
	u32 max = pym_dead_max();
	struct pym_dead *dead;

	while (user->nr_dead >= max || user->dead_bytes + bytes > max_bytes) {
		dead = dead_oldest_locked(user);
		dead_forget_locked(dead);
		list_add_tail(&dead->of_user, forgotten);
	}
}

/**
 * pym_dead_add() - make a dead heap known
 * @dead: the dead heap, in which nothing changes any more.  A reference is taken over
 *
 * If it is too large for its user it is forgotten at once; else older ones make room.
 *
 * Context: Any that holds no spinlock.
 */
void pym_dead_add(struct pym_dead *dead)
{
	struct pym_service_heap *sheap = dead->sheap;
	struct pym_user *user = sheap->user;
	unsigned long max_bytes = READ_ONCE(pym_dead_bytes);
	struct pym_dead *old, *next;
	LIST_HEAD(forgotten);

	dead->bytes = atomic_long_read(&sheap->heap.quota.meta);
	if (dead->bytes > max_bytes) {
		xa_release(&dead_heaps, sheap->heap.id);
		pym_dead_put(dead);
		return;
	}
	trace_heap_keep(sheap->heap.id, dead->bytes);
	spin_lock(&dead_lock);
	dead_make_room_locked(user, dead->bytes, max_bytes, &forgotten);
	xa_store(&dead_heaps, sheap->heap.id, dead, 0);
	list_add_tail(&dead->of_user, &user->dead);
	pym_list_lru_add(&dead_lru, &dead->of_cgroup);
	user->nr_dead++;
	user->dead_bytes += dead->bytes;
	spin_unlock(&dead_lock);
	list_for_each_entry_safe(old, next, &forgotten, of_user)
		dead_bury(old);
}

/* The user is at its limit: see @relieve of struct pym_quota. */
static bool dead_relieve(struct pym_quota *quota, unsigned long missing)
{
	struct pym_user *user = container_of(quota, struct pym_user, quota);
	struct pym_dead *dead = NULL;

	/* If all of them together are not enough, they would go for nothing. */
	spin_lock(&dead_lock);
	if (user->dead_bytes >= missing) {
		dead = dead_oldest_locked(user);
		if (dead)
			dead_forget_locked(dead);
	}
	spin_unlock(&dead_lock);
	if (dead)
		dead_bury(dead);
	return dead;
}

/* A reference to an entry of @dead_heaps, for a call. */
static struct pym_service_heap *dead_get_locked(struct pym_dead *dead)
{
	if (!dead)
		return NULL;
	kref_get(&dead->ref);
	return dead->sheap;
}

/**
 * pym_dead_find() - the dead heap of a number
 * @id: the number
 *
 * Context: Any that holds no spinlock.
 * Return: the heap, to be given back by pym_dead_put(), or NULL.
 */
struct pym_service_heap *pym_dead_find(u64 id)
{
	struct pym_service_heap *sheap;

	spin_lock(&dead_lock);
	sheap = dead_get_locked(xa_load(&dead_heaps, id));
	spin_unlock(&dead_lock);
	return sheap;
}

/**
 * pym_dead_next() - the next dead heap by number
 * @after: the number to start behind
 *
 * Context: Any that holds no spinlock.
 * Return: the heap, to be given back by pym_dead_put(), or NULL if that was the last one.
 */
struct pym_service_heap *pym_dead_next(u64 after)
{
	struct pym_service_heap *sheap;
	unsigned long id = after;

	if (after >= ULONG_MAX)
		return NULL;
	spin_lock(&dead_lock);
	sheap = dead_get_locked(xa_find_after(&dead_heaps, &id, ULONG_MAX, XA_PRESENT));
	spin_unlock(&dead_lock);
	return sheap;
}

/**
 * pym_dead_forget() - give back what is kept of a dead heap
 * @sheap: the heap; the caller has a reference
 *
 * Context: Any that holds no spinlock.
 * Return: false if somebody else has just done so.
 */
bool pym_dead_forget(struct pym_service_heap *sheap)
{
	struct pym_dead *dead = sheap->dead;
	bool mine;

	spin_lock(&dead_lock);
	mine = !dead->forgotten;
	if (mine)
		dead_forget_locked(dead);
	spin_unlock(&dead_lock);
	if (mine)
		dead_bury(dead);
	return mine;
}

static unsigned long dead_count(struct shrinker *unused, struct shrink_control *control)
{
	/* Pairs with pym_dead_init(). */
	if (!smp_load_acquire(&dead_lru_is_ready))
		return SHRINK_EMPTY;
	return list_lru_shrink_count(&dead_lru, control) * DEAD_WEIGHT ?: SHRINK_EMPTY;
}

static inline bool dead_trylock(void)
{
#ifdef __CHECKER__
	/* sparse follows no lock that is taken only sometimes. */
	__acquire(&dead_lock);
	return true;
#else
	return spin_trylock(&dead_lock);
#endif
}

static enum lru_status dead_isolate(struct list_head *entry, struct list_lru_one *lru,
				    spinlock_t *lock, void *isolated)
{
	struct pym_dead *dead = container_of(entry, struct pym_dead, of_cgroup);

	if (!dead_trylock())
		return LRU_SKIP;
	dead_unlink_locked(dead);
	list_lru_isolate_move(lru, entry, isolated);
	spin_unlock(&dead_lock);
	return LRU_REMOVED;
}

static unsigned long dead_scan(struct shrinker *unused, struct shrink_control *control)
{
	unsigned long wanted = control->nr_to_scan, nr = 0;
	struct pym_dead *dead, *next;
	LIST_HEAD(isolated);

	control->nr_to_scan = DIV_ROUND_UP(wanted, DEAD_WEIGHT);
	list_lru_shrink_walk(&dead_lru, control, dead_isolate, &isolated);
	control->nr_to_scan = wanted;
	list_for_each_entry_safe(dead, next, &isolated, of_cgroup) {
		dead_bury(dead);
		nr++;
	}
	return nr ? nr * DEAD_WEIGHT : SHRINK_STOP;
}

/**
 * pym_dead_init() - prepare for dead heaps
 * @release: frees a heap of which nothing is kept any more.  Waits for nothing, as in memory
 *	reclaim
 *
 * Context: Process context, while the module is being loaded.
 * Return: 0 or -ENOMEM.
 */
int pym_dead_init(void (*release)(struct pym_service_heap *sheap))
{
	dead_release = release;
	dead_cache = KMEM_CACHE(pym_dead, SLAB_ACCOUNT);
	if (!dead_cache)
		return -ENOMEM;
	dead_shrinker = pym_shrinker_register("pymalloc_dead",
					      SHRINKER_NUMA_AWARE | SHRINKER_MEMCG_AWARE,
					      dead_count, dead_scan);
	if (!dead_shrinker)
		goto cache;
	/* It needs the shrinker's number. */
	if (list_lru_init_memcg(&dead_lru, dead_shrinker))
		goto shrinker;
	/* Pairs with dead_count(). */
	smp_store_release(&dead_lru_is_ready, true);
	pym_user_init(dead_relieve);
	return 0;

shrinker:
	pym_shrinker_unregister(dead_shrinker);
cache:
	kmem_cache_destroy(dead_cache);
	return -ENOMEM;
}

/**
 * pym_dead_exit() - forget all dead heaps
 *
 * Context: Sleeps.  No heap can die any more, and no call uses a dead one.
 */
void pym_dead_exit(void)
{
	struct pym_service_heap *sheap;

	pym_shrinker_unregister(dead_shrinker);
	while ((sheap = pym_dead_next(0))) {
		struct pym_dead *dead = sheap->dead;

		pym_dead_forget(sheap);
		pym_dead_put(dead);
	}
	list_lru_destroy(&dead_lru);
	xa_destroy(&dead_heaps);
	kmem_cache_destroy(dead_cache);
}
