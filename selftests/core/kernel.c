// SPDX-License-Identifier: GPL-2.0
/*
 * The stand-in for the kernel: the parts of include/kernel.h that have a state.
 */
#include <stdarg.h>

struct kmem_cache {
	size_t size;
	unsigned long objects;
};

static struct task first_task;

struct kernel kernel = { .task = &first_task };

static struct {
	unsigned long skip;
	unsigned long times;
} faults[KERNEL_EVENTS];

/* Callbacks that wait for a grace period, and RCU sections and spinlocks of all tasks. */
static struct rcu_head *rcu_waiting;
static unsigned int rcu_readers;
static unsigned int spinlocks;

void panic(const char *file, int line, const char *format, ...)
{
	va_list args;

	kernel.preempt = NULL;
	printf("# %s:%d: ", file, line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (kernel.describe)
		kernel.describe();
	fflush(stdout);
	abort();
}

void kernel_fail(enum kernel_event event, unsigned long skip, unsigned long times)
{
	faults[event].skip = skip;
	faults[event].times = times;
}

void kernel_fail_nothing(void)
{
	memset(faults, 0, sizeof(faults));
	kernel.failures = 0;
}

u32 get_random_u32(void)
{
	static u32 random = 1;

	return random = random * 1103515245 + 12345;
}

static bool fails(enum kernel_event event)
{
	if (faults[event].times) {
		if (!faults[event].skip) {
			faults[event].times--;
			kernel.failures++;
			return true;
		}
		faults[event].skip--;
	}
	kernel.events[event]++;
	return false;
}

void kernel_at_rest(void)
{
	MUST(!current->spinlocks, "a spinlock is still held");
	MUST(!current->rcu, "an RCU section was not left");
	MUST(!current->gates, "a gate was not left");
	MUST(!current->maps, "a page is still mapped");
	MUST(!current->page_locks, "a page is still locked");
}

void kernel_empty(void)
{
	kernel_at_rest();
	MUST(!kernel.pages, "%lu pages have leaked", kernel.pages);
	MUST(!kernel.memory, "%lu pieces of memory have leaked", kernel.memory);
}

static void as_another_task(void (*run)(void))
{
	struct task *interrupted = current, other = {};

	current = &other;
	run();
	kernel_at_rest();
	current = interrupted;
}

/* Here the scheduler may run another task. */
static void preempt(void)
{
	if (kernel.preempt && !current->spinlocks && !current->page_locks)
		as_another_task(kernel.preempt);
}

static void might_sleep(void)
{
	MUST(!current->spinlocks, "sleeps with a spinlock held");
	MUST(!current->rcu, "sleeps in an RCU section");
	preempt();
}

void cond_resched(void)
{
	might_sleep();
}

bool fatal_signal_pending(struct task *task)
{
	MUST(task == current, "another task's signals");
	return fails(KERNEL_SIGNAL);
}

static void grace_period(void)
{
	while (rcu_waiting && !rcu_readers && !spinlocks) {
		struct rcu_head *head = rcu_waiting;

		rcu_waiting = head->next;
		head->call(head);
	}
}

void spin_lock(struct spinlock *lock)
{
	preempt();
	MUST(!lock->owner, "a spinlock is taken twice");
	MUST(current->spinlocks < 2, "three spinlocks at once");
	lock->owner = current;
	current->spinlocks++;
	spinlocks++;
}

void spin_unlock(struct spinlock *lock)
{
	MUST(lock->owner == current, "a task gives back a spinlock that it does not hold");
	lock->owner = NULL;
	current->spinlocks--;
	spinlocks--;
	grace_period();
	preempt();
}

void down_read(struct rw_semaphore *gate)
{
	might_sleep();
	MUST(!gate->writer, "a gate would never open");
	MUST(!current->gates, "a gate is entered twice");
	gate->readers++;
	current->gates++;
}

int down_read_trylock(struct rw_semaphore *gate)
{
	if (gate->writer)
		return 0;
	down_read(gate);
	return 1;
}

void up_read(struct rw_semaphore *gate)
{
	MUST(gate->readers && current->gates, "a task leaves a gate that it is not in");
	gate->readers--;
	current->gates--;
}

void down_write(struct rw_semaphore *gate)
{
	might_sleep();
	MUST(!gate->readers && !gate->writer, "a gate would never open");
	gate->writer = true;
	current->gates++;
}

int down_write_trylock(struct rw_semaphore *gate)
{
	if (gate->readers || gate->writer)
		return 0;
	down_write(gate);
	return 1;
}

void up_write(struct rw_semaphore *gate)
{
	MUST(gate->writer && current->gates, "a task leaves a gate that it is not in");
	gate->writer = false;
	current->gates--;
}

void rcu_read_lock(void)
{
	rcu_readers++;
	current->rcu++;
	preempt();
}

void rcu_read_unlock(void)
{
	MUST(current->rcu, "an RCU section is left that was not entered");
	preempt();
	rcu_readers--;
	current->rcu--;
	grace_period();
}

void rcu_barrier(void)
{
	might_sleep();
	grace_period();
	MUST(!rcu_waiting, "an RCU barrier would never end");
}

void call_rcu(struct rcu_head *head, void (*call)(struct rcu_head *head))
{
	head->call = call;
	head->next = rcu_waiting;
	rcu_waiting = head;
	grace_period();
}

void rcu_lookup(bool protected)
{
	MUST(current->rcu || protected, "a lookup outside of RCU");
	preempt();
}

static void check_gfp(gfp_t gfp)
{
	if (gfp & __GFP_DIRECT_RECLAIM)
		might_sleep();
}

static void *get_memory(size_t size)
{
	void *memory = calloc(1, size);

	MUST(memory, "this machine has no more memory");
	return memory;
}

struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	unsigned int nr = 1U << order, i;
	struct page *pages;

	check_gfp(gfp);
	if (fails(KERNEL_PAGE))
		return NULL;
	pages = get_memory(nr * sizeof(*pages));
	for (i = 0; i < nr; i++) {
		pages[i].zeroed = gfp & __GFP_ZERO;
		pages[i].first = pages;
	}
	pages->users = 1;
	pages->alive = nr;
	kernel.pages += nr;
	return pages;
}

void split_page(struct page *page, unsigned int order)
{
	unsigned int i;

	MUST(page->users == 1 && page->alive == 1U << order, "not a page to split");
	for (i = 1; i < 1U << order; i++)
		page[i].users = 1;
}

void get_page(struct page *page)
{
	MUST(page->users, "a page comes back from the dead");
	page->users++;
}

void put_page(struct page *page)
{
	struct page *first = page->first;

	MUST(page->users, "a page is freed twice");
	if (--page->users)
		return;
	MUST(!page->locked, "a locked page is freed");
	free(page->memory);
	page->memory = NULL;
	kernel.pages--;
	if (!--first->alive)
		free(first);
}

void release_pages(struct page **pages, int nr)
{
	while (nr--)
		put_page(*pages++);
}

void *page_address(struct page *page)
{
	MUST(page->users, "the memory of a free page");
	if (!page->memory) {
		page->memory = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
		MUST(page->memory, "this machine has no more memory");
		memset(page->memory, page->zeroed ? 0 : 0xa5, PAGE_SIZE);
	}
	return page->memory;
}

void *kmap_local_page(struct page *page)
{
	current->maps++;
	return page_address(page);
}

void kunmap_local(const void *address)
{
	MUST(current->maps && address, "a page is unmapped that was not mapped");
	current->maps--;
}

void memcpy_page(struct page *to, size_t to_offset, struct page *from,
		 size_t from_offset, size_t bytes)
{
	MUST(to_offset + bytes <= PAGE_SIZE && from_offset + bytes <= PAGE_SIZE,
	     "a copy beyond the page");
	/*
	 * They overlap if an object is freed while it is copied, and its page gets another
	 * class meanwhile: then what the copy holds is of no interest.
	 */
	memmove((char *)page_address(to) + to_offset,
		(char *)page_address(from) + from_offset, bytes);
}

void memzero_page(struct page *page, size_t offset, size_t bytes)
{
	memset((char *)page_address(page) + offset, 0, bytes);
}

void copy_highpage(struct page *to, struct page *from)
{
	void (*preempt)(void) = kernel.preempt;

	/* No further task: one that waits for the page would never go on. */
	kernel.preempt = NULL;
	if (kernel.copying && preempt)
		as_another_task(kernel.copying);
	kernel.preempt = preempt;
	memcpy_page(to, 0, from, 0, PAGE_SIZE);
}

void *kvcalloc(size_t nr, size_t size, gfp_t gfp)
{
	check_gfp(gfp);
	if (fails(KERNEL_MEMORY))
		return NULL;
	kernel.memory++;
	return get_memory(nr * size);
}

void kvfree(const void *memory)
{
	if (!memory)
		return;
	free((void *)memory);
	kernel.memory--;
}

struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align,
				     unsigned int flags, void (*ctor)(void *))
{
	struct kmem_cache *cache;

	MUST(name && !align && (flags & SLAB_ACCOUNT) && !ctor, "a cache of another kind");
	cache = kzalloc(sizeof(*cache), GFP_KERNEL);
	if (cache)
		cache->size = size;
	return cache;
}

void kmem_cache_destroy(struct kmem_cache *cache)
{
	if (!cache)
		return;
	MUST(!cache->objects, "a cache with %lu objects is destroyed", cache->objects);
	kfree(cache);
}

void *kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp)
{
	check_gfp(gfp);
	if (fails(KERNEL_SLAB))
		return NULL;
	cache->objects++;
	return get_memory(cache->size);
}

/* Not cleared: the memory is full of what another user of the slab has left there. */
void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	void *memory = kmem_cache_zalloc(cache, gfp);

	/* As after a record that was a face of a frame: see struct pym_pool. */
	return memory ? memset(memory, 0x5a, cache->size) : NULL;
}

void kmem_cache_free(struct kmem_cache *cache, void *memory)
{
	MUST(cache->objects, "more is freed than was allocated");
	cache->objects--;
	free(memory);
}
