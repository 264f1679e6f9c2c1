// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What threads keep of types.  A thread has its lists, two words a type, in pages of its own,
 * where the fast paths find them; the objects' addresses are in the heap.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "typelist.h"

/* The only slot of a list that has none: always NULL. */
static void *const no_slots[1];

#define NO_LIST	{ .top = (void **)no_slots, .full = (void **)no_slots }

/* What a thread has that has no lists: they are empty and full at the same time. */
static const struct pymalloc_type_list no_lists[PYML_LISTED_TYPES + 1] = {
	[0 ... PYML_LISTED_TYPES] = NO_LIST
};

static const struct pymalloc_type_list no_list = NO_LIST;

/**
 * struct lists - a thread's lists
 * @lists: by the types' indexes
 * @kept: the same: what is behind each of them; or NULL
 * @next: those of the next thread
 */
struct lists {
	struct pymalloc_type_list lists[PYML_LISTED_TYPES + 1];
	struct pyml_kept *kept[PYML_LISTED_TYPES];
	struct lists *next;
};

static __thread struct lists *own_lists __attribute__((tls_model("initial-exec"))) =
	(struct lists *)no_lists;
static __thread bool thread_is_gone;

/* Protects what follows, and of all types what is said of it there. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pyml_type *types[PYML_LISTED_TYPES];
static struct lists *all_lists;
/* Its destructor is on_thread_exit(). */
static pthread_key_t exit_key;
static bool has_exit_key;

static bool has_lists(void)
{
	return own_lists != (struct lists *)no_lists;
}

/* The lock is held. */
static void unlink_kept(struct pyml_kept *kept)
{
	struct pyml_kept **link = &kept->type->kept;

	while (*link != kept)
		link = &(*link)->next;
	*link = kept->next;
	kept->type->nr_abandoned -= kept->abandoned;
	__atomic_add_fetch(&kept->type->nr_begun, kept->nr_begun, __ATOMIC_RELAXED);
	__atomic_add_fetch(&kept->type->nr_ended, kept->nr_ended, __ATOMIC_RELAXED);
	kept->nr_begun = 0;
	kept->nr_ended = 0;
}

/* Destructs what is kept, of a type that goes on; @kept is in no list any more. */
static void end_kept(struct pyml_kept *kept)
{
	struct pyml_type *type = kept->type;
	void **slot = kept->list->top;

	*kept->list = no_list;
	while (*slot)
		pyml_type_end_object(type, NULL, *slot++);
	pyml_type_flush_stock(kept, 0);
	pymalloc_free(type->heap, kept);
}

static void count_kept(struct pyml_type *type, struct pymalloc_type_figures *figures)
{
	struct pyml_kept *kept;
	__u64 stock = 0;

	*figures = (struct pymalloc_type_figures){};
	pthread_mutex_lock(&lock);
	figures->constructed = __atomic_load_n(&type->nr_begun, __ATOMIC_RELAXED);
	figures->destructed = __atomic_load_n(&type->nr_ended, __ATOMIC_RELAXED);
	for (kept = type->kept; kept; kept = kept->next) {
		figures->constructed += __atomic_load_n(&kept->nr_begun, __ATOMIC_RELAXED);
		figures->destructed += __atomic_load_n(&kept->nr_ended, __ATOMIC_RELAXED);
		figures->kept += &kept->slots[type->keep] -
				 __atomic_load_n(&kept->list->top, __ATOMIC_RELAXED);
		stock += __atomic_load_n(&kept->nr_stock, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&lock);
	/* Bad frees that nobody could find may have been counted. */
	if (figures->destructed < figures->constructed)
		figures->objects = figures->constructed - figures->destructed;
	figures->bytes = (figures->objects + stock) * type->block_bytes;
	/* Another thread may have popped some of them since they were counted as constructed. */
	figures->objects -= figures->kept < figures->objects ? figures->kept : figures->objects;
}

/**
 * pyml_kept_tell() - count what there is of a type, and tell the kernel
 * @type: the type
 * @figures: where to store it
 *
 * Keeps errno.
 */
void pyml_kept_tell(struct pyml_type *type, struct pymalloc_type_figures *figures)
{
	struct pymalloc_type_info info;
	int saved = errno;

	count_kept(type, figures);
	info = (struct pymalloc_type_info){
		.objects = figures->objects,
		.kept = figures->kept,
		.constructed = figures->constructed,
	};
	pyml_type_call(type, PYMALLOC_TYPES_TELL, &info);
	errno = saved;
}

/* The thread ends. */
static void leave_type(struct lists *lists, size_t index)
{
	struct pymalloc_type_figures figures;
	struct pyml_kept *kept;
	struct pyml_type *type;

	pthread_mutex_lock(&lock);
	kept = lists->kept[index];
	type = types[index];
	if (kept)
		unlink_kept(kept);
	pthread_mutex_unlock(&lock);
	if (!kept)
		return;
	end_kept(kept);
	pyml_kept_tell(type, &figures);
}

/* The destructors of other keys may still free objects: these keep nothing. */
static void on_thread_exit(void *value)
{
	struct lists *lists = own_lists, **link;
	size_t i;

	(void)value;
	thread_is_gone = true;
	own_lists = (struct lists *)no_lists;
	for (i = 0; i < PYML_LISTED_TYPES; i++)
		leave_type(lists, i);
	pthread_mutex_lock(&lock);
	for (link = &all_lists; *link != lists; link = &(*link)->next)
		;
	*link = lists->next;
	pthread_mutex_unlock(&lock);
	munmap(lists, sizeof(*lists));
}

/* What is behind a list stays where it is, and is the list's no more. */
static void detach_list(struct pyml_kept *kept)
{
	if (kept->list == &kept->last)
		return;
	kept->last = *kept->list;
	*kept->list = no_list;
	kept->list = &kept->last;
}

/*
 * In a child of fork(): what the threads kept that do not exist here is for others.  A thread
 * that was interrupted in the middle of a pop or a push has left its list in order.
 */
static void abandon(struct lists *lists)
{
	size_t i;

	for (i = 0; i < PYML_LISTED_TYPES; i++) {
		struct pyml_kept *kept = lists->kept[i];

		if (!kept)
			continue;
		detach_list(kept);
		kept->abandoned = true;
		kept->type->nr_abandoned++;
	}
	munmap(lists, sizeof(*lists));
}

static void inherit_after_fork(void)
{
	struct lists *lists = all_lists, *next;

	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	all_lists = has_lists() ? own_lists : NULL;
	for (; lists; lists = next) {
		next = lists->next;
		if (lists != own_lists)
			abandon(lists);
	}
	if (all_lists)
		all_lists->next = NULL;
}

/* The lock is held.  What is behind it stays where it is. */
static void take_lists_of(const struct pyml_type *type)
{
	struct lists *lists;

	for (lists = all_lists; lists; lists = lists->next) {
		lists->lists[type->index] = no_list;
		lists->kept[type->index] = NULL;
	}
}

/**
 * pyml_types_attach() - give a new type its place among those that have lists
 * @type: the type; if no place is left, it has no lists
 *
 * Return: 0; or -1 and EAGAIN, ENOMEM.
 */
int pyml_types_attach(struct pyml_type *type)
{
	size_t i = 0;

	pthread_mutex_lock(&lock);
	if (!has_exit_key) {
		errno = pthread_key_create(&exit_key, on_thread_exit);
		if (errno) {
			pthread_mutex_unlock(&lock);
			return -1;
		}
		pthread_atfork(NULL, NULL, inherit_after_fork);
		has_exit_key = true;
	}
	while (i < PYML_LISTED_TYPES && types[i])
		i++;
	if (i < PYML_LISTED_TYPES)
		types[i] = type;
	pthread_mutex_unlock(&lock);
	type->index = i;
	type->view.lists = (char *)&own_lists - (char *)__builtin_thread_pointer();
	type->view.place = i * sizeof(struct pymalloc_type_list);
	return 0;
}

/**
 * pyml_types_detach() - the reverse of pyml_types_attach()
 * @type: the type, of which nothing is kept
 */
void pyml_types_detach(struct pyml_type *type)
{
	pthread_mutex_lock(&lock);
	if (type->index < PYML_LISTED_TYPES)
		types[type->index] = NULL;
	pthread_mutex_unlock(&lock);
}

/**
 * pyml_types_forget() - have no thread keep anything in a heap any more
 * @heap: the heap, which ends or is sealed; what was kept stays as it is
 */
void pyml_types_forget(const struct pymalloc_heap *heap)
{
	size_t i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < PYML_LISTED_TYPES; i++) {
		if (!types[i] || types[i]->heap != heap)
			continue;
		take_lists_of(types[i]);
		types[i] = NULL;
	}
	pthread_mutex_unlock(&lock);
}

/* Returns the calling thread's lists, or NULL. */
static struct lists *make_lists(void)
{
	int saved = errno;
	struct lists *lists = mmap(NULL, sizeof(*lists), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	errno = saved;
	if (lists == MAP_FAILED)
		return NULL;
	for (i = 0; i <= PYML_LISTED_TYPES; i++)
		lists->lists[i] = no_list;
	pthread_mutex_lock(&lock);
	lists->next = all_lists;
	all_lists = lists;
	pthread_mutex_unlock(&lock);
	own_lists = lists;
	pthread_setspecific(exit_key, lists);
	return lists;
}

/**
 * pyml_types_prepare() - see that the calling thread has what it may need in a sandbox
 *
 * Keeps errno.
 */
void pyml_types_prepare(void)
{
	if (has_exit_key && !has_lists())
		make_lists();
}

static struct pyml_kept *make_kept(struct pyml_type *type, struct lists *lists)
{
	size_t nr_slots = type->keep + 1 + (type->own ? PYML_STOCK : 0);
	struct pyml_kept *kept;
	int saved = errno;

	kept = pymalloc_malloc(type->heap, sizeof(*kept) + nr_slots * sizeof(*kept->slots));
	errno = saved;
	if (!kept)
		return NULL;
	*kept = (struct pyml_kept){ .type = type, .list = &lists->lists[type->index] };
	kept->slots[type->keep] = NULL;
	if (type->own)
		kept->stock = &kept->slots[type->keep + 1];
	pthread_mutex_lock(&lock);
	kept->next = type->kept;
	type->kept = kept;
	lists->kept[type->index] = kept;
	*kept->list = (struct pymalloc_type_list){ &kept->slots[type->keep], kept->slots };
	pthread_mutex_unlock(&lock);
	return kept;
}

/**
 * pyml_kept_get() - what the calling thread keeps of a type
 * @type: the type
 *
 * Makes it if there is nothing.  Keeps errno.
 *
 * Return: it; or NULL if the type has no lists, the thread or the type is at its end, or there
 * is no memory.
 */
struct pyml_kept *pyml_kept_get(struct pyml_type *type)
{
	struct lists *lists = own_lists;

	if (thread_is_gone || type->ending || type->index == PYML_LISTED_TYPES)
		return NULL;
	if (!has_lists())
		lists = make_lists();
	if (!lists)
		return NULL;
	return lists->kept[type->index] ?: make_kept(type, lists);
}

/* Returns what a thread kept that does not exist here, or NULL. */
static struct pyml_kept *take_abandoned(struct pyml_type *type)
{
	struct pyml_kept *kept;

	pthread_mutex_lock(&lock);
	kept = type->kept;
	while (kept && !kept->abandoned)
		kept = kept->next;
	if (kept)
		unlink_kept(kept);
	pthread_mutex_unlock(&lock);
	return kept;
}

/**
 * pyml_kept_adopt() - keep what a thread kept that does not exist in this process
 * @kept: what the calling thread keeps, whose list is empty
 *
 * All lists of a type are of one length, so that the one has room for all of the other.
 *
 * Return: whether there is something in the list now.
 */
bool pyml_kept_adopt(struct pyml_kept *kept)
{
	struct pyml_kept *other;
	void **slot;

	if (!__atomic_load_n(&kept->type->nr_abandoned, __ATOMIC_RELAXED))
		return false;
	other = take_abandoned(kept->type);
	if (!other)
		return false;
	for (slot = other->list->top; *slot; slot++)
		*--kept->list->top = *slot;
	*other->list = no_list;
	end_kept(other);
	return *kept->list->top;
}

/* The lock is held.  All that threads keep of a type comes out of their lists. */
static struct pyml_kept *take_all_kept(struct pyml_type *type)
{
	struct pyml_kept *all = type->kept, *kept;

	for (kept = all; kept; kept = kept->next)
		detach_list(kept);
	if (type->index < PYML_LISTED_TYPES)
		take_lists_of(type);
	while (type->kept)
		unlink_kept(type->kept);
	return all;
}

/**
 * pyml_kept_end_all() - destruct all that threads keep of a type
 * @type: the type, which no thread is using
 *
 * What a destructor frees meanwhile is destructed at once.
 */
void pyml_kept_end_all(struct pyml_type *type)
{
	struct pyml_kept *kept, *next;

	pthread_mutex_lock(&lock);
	type->ending = true;
	kept = take_all_kept(type);
	pthread_mutex_unlock(&lock);
	for (; kept; kept = next) {
		next = kept->next;
		end_kept(kept);
	}
	type->ending = false;
}
