// SPDX-License-Identifier: GPL-2.0
/*
 * The stand-in for the kernel panics if it is misused, so that the other tests find
 * such a mistake in the core.
 */
#include <signal.h>

#include "core.h"
#include "tap.h"

static struct spinlock lock, other;
static struct rw_semaphore gate;
static struct rcu_head head;

static void prepare(void)
{
	spin_lock_init(&lock);
	spin_lock_init(&other);
	init_rwsem(&gate);
}

static void lock_twice(void)
{
	spin_lock(&lock);
	spin_lock(&lock);
}

static void lock_three(void)
{
	static struct spinlock third;

	spin_lock(&lock);
	spin_lock(&other);
	spin_lock(&third);
}

static void unlock_unlocked(void)
{
	spin_unlock(&lock);
}

static void lock_kept(void)
{
	spin_lock(&lock);
	kernel_at_rest();
}

static void lock_not_held(void)
{
	lockdep_assert_held(&lock);
}

static void alloc_under_lock(void)
{
	spin_lock(&lock);
	alloc_page(GFP_KERNEL);
}

static void alloc_under_rcu(void)
{
	rcu_read_lock();
	kzalloc(8, GFP_KERNEL);
}

static void resched_under_lock(void)
{
	spin_lock(&lock);
	cond_resched();
}

static void enter_under_lock(void)
{
	spin_lock(&lock);
	down_read(&gate);
}

static void enter_twice(void)
{
	down_read(&gate);
	down_read(&gate);
}

static void close_entered(void)
{
	down_read(&gate);
	down_write(&gate);
}

static void leave_unentered(void)
{
	up_read(&gate);
}

static void gate_kept(void)
{
	down_read(&gate);
	kernel_at_rest();
}

static void look_without_rcu(void)
{
	rcu_dereference_check(head.next, false);
}

static void rcu_kept(void)
{
	rcu_read_lock();
	kernel_at_rest();
}

static void rcu_unentered(void)
{
	rcu_read_unlock();
}

static void nothing(struct rcu_head *head)
{
	(void)head;
}

static void barrier_under_rcu(void)
{
	rcu_read_lock();
	call_rcu(&head, nothing);
	rcu_barrier();
}

static void free_twice(void)
{
	struct page *pages = alloc_pages(GFP_KERNEL, 1);

	split_page(pages, 1);
	put_page(pages);
	put_page(pages);
}

static void free_unsplit(void)
{
	put_page(alloc_pages(GFP_KERNEL, 1) + 1);
}

static void page_leaked(void)
{
	alloc_page(GFP_KERNEL);
	kernel_empty();
}

static void memory_leaked(void)
{
	kzalloc(8, GFP_KERNEL);
	kernel_empty();
}

static void map_kept(void)
{
	kmap_local_page(alloc_page(GFP_KERNEL));
	kernel_at_rest();
}

static void list_broken(void)
{
	struct list_head entry, first, list;

	INIT_LIST_HEAD(&list);
	list_add(&first, &list);
	list_add(&entry, &list);
	first.prev = &list;
	list_del_init(&entry);
}

static void cache_in_use(void)
{
	struct kmem_cache *cache = kmem_cache_create("cache", 8, 0, SLAB_ACCOUNT, NULL);

	kmem_cache_zalloc(cache, GFP_KERNEL);
	kmem_cache_destroy(cache);
}

static void below_zero(void)
{
	struct counter counter = { 1 };

	atomic_long_sub(2, &counter);
}

static const struct misuse {
	const char *name;
	void (*commit)(void);
} misuses[] = {
	{ "a spinlock is taken twice", lock_twice },
	{ "three spinlocks are taken", lock_three },
	{ "a free spinlock is given back", unlock_unlocked },
	{ "a spinlock is kept", lock_kept },
	{ "a spinlock is not held", lock_not_held },
	{ "a page is allocated under a spinlock", alloc_under_lock },
	{ "memory is allocated under RCU", alloc_under_rcu },
	{ "a task sleeps with a spinlock", resched_under_lock },
	{ "a gate is entered with a spinlock", enter_under_lock },
	{ "a gate is entered twice", enter_twice },
	{ "a gate is closed from within", close_entered },
	{ "a gate is left from outside", leave_unentered },
	{ "a gate is not left", gate_kept },
	{ "a lookup without RCU", look_without_rcu },
	{ "an RCU section is not left", rcu_kept },
	{ "an RCU section is left from outside", rcu_unentered },
	{ "an RCU barrier within a section", barrier_under_rcu },
	{ "a page is freed twice", free_twice },
	{ "a part of a large page is freed", free_unsplit },
	{ "a page leaks", page_leaked },
	{ "memory leaks", memory_leaked },
	{ "a page stays mapped", map_kept },
	{ "an entry is removed from a broken list", list_broken },
	{ "a cache is destroyed in use", cache_in_use },
	{ "a counter goes below zero", below_zero },
};

/* Passes if the misuse does not return, and ends in a panic. */
static void panics(const void *what)
{
	const struct misuse *misuse = what;
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		prepare();
		misuse->commit();
		_exit(0);
	}
	MUST(pid > 0 && waitpid(pid, &status, 0) == pid, "no process");
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "there was no panic");
}

int main(void)
{
	size_t i;

	tap_begin();
	for (i = 0; i < ARRAY_SIZE(misuses); i++)
		tap_run(misuses[i].name, panics, &misuses[i]);
	return tap_end();
}
