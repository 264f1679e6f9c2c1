// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sites: the calling thread's stack as a number, by which a block can be marked.
 *
 * A stack is known by a hash of 64 bits of what it consists of: the Python frames'
 * instructions and the native frames' addresses.  Frames are not compared: that two of a
 * million stacks have the same hash has a probability of 1 to some 30 million.
 *
 * Each thread has a map of the stacks in which it has allocated, with the number of the
 * site's record.  So the usual case takes no lock: walk the frames, find the hash, count.
 * What a thread finds there for the first time, in this epoch, gets a new record under the
 * lock.
 *
 * All this is inside of malloc(), and a signal's handler that allocates may come at any
 * moment of it.  While a thread is here, it is BUSY, and what its handlers allocate has no
 * site.  So a thread never waits for a lock that it holds itself.
 */
#include <sys/param.h>
#include <sys/prctl.h>
#include <time.h>

#include "intern.h"
#include "native.h"
#include "python.h"
#include "sandbox.h"
#include "syscall.h"

#define SECOND	1000000000ULL

/* Generations that a thread can have, but no trace; and one that no thread can have. */
enum { NONE, BUSY, FIRST_GENERATION, NO_THREAD = ~0U };

/**
 * struct thread - the calling thread
 * @generation: the trace to which all that follows belongs; BUSY while it is being used
 * @record: the number of the thread's record; 0 if it has none yet
 * @base: the table's address.  A copy: a thread that is just counting a block while another
 *	one begins a new trace, with a table elsewhere, must not write there
 * @sites: the records of its sites, by the stack's hash
 * @python: what it knows of itself in Python
 */
struct thread {
	unsigned int generation;
	__u32 record;
	char *base;
	struct pyml_map sites;
	struct pyml_python python;
};

static __thread struct thread this_thread = {
	.sites = PYML_MAP_EMPTY,
	.python = { .state = PYML_PYTHON_NO_STATE },
};

/* A stack, as it is found. */
struct stack {
	__u64 hash;
	const char *python;
	unsigned int nr_native;
	__u64 native[PYMALLOC_FRAMES_MAX];
};

static __u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME_COARSE, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

static unsigned int new_generation(void)
{
	static unsigned int last = FIRST_GENERATION;
	unsigned int generation;

	do
		generation = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	while (generation < FIRST_GENERATION || generation == NO_THREAD);
	return generation;
}

/* Each thread finds that its map is of another generation. */
static void set_generation(struct pyml_tracer *tracer)
{
	bool fast = tracer->python_frames && !tracer->native_frames;

	tracer->generation = new_generation();
	__atomic_store_n(&tracer->fast, fast ? tracer->generation : NO_THREAD,
			 __ATOMIC_RELEASE);
}

static void forget(struct pyml_tracer *tracer)
{
	pyml_map_drop(&tracer->stacks);
	pyml_map_drop(&tracer->codes);
	pyml_map_drop(&tracer->objects);
	set_generation(tracer);
}

static void begin_epoch(struct pyml_tracer *tracer, __u64 time)
{
	__u64 length = MAX(SECOND, (time - tracer->began) / 32);

	tracer->epoch_start = time;
	__atomic_store_n(&tracer->epoch_end, time + length, __ATOMIC_RELAXED);
	__atomic_store_n(&tracer->full, false, __ATOMIC_RELAXED);
	__atomic_store_n(&tracer->epoch, tracer->epoch + 1, __ATOMIC_RELAXED);
}

static bool add_settings(struct pyml_tracer *tracer, const struct pymalloc_trace *settings)
{
	const long no_args[6] = { 0 };
	struct pymalloc_settings_record record = {
		.record = {
			.bytes = sizeof(record),
			.kind = PYMALLOC_RECORD_SETTINGS,
		},
		.magic = PYMALLOC_SITES_MAGIC,
		.version = PYMALLOC_SITES_VERSION,
		.mode = settings->mode,
		.interval = settings->interval,
		.python_frames = settings->python_frames,
		.native_frames = settings->native_frames,
		.time = tracer->began,
		.pid = pyml_syscall(SYS_getpid, no_args),
	};

	pyml_table_add(&tracer->table, &record.record);
	return tracer->table.used;
}

/**
 * pyml_tracer_begin() - begin a trace with an empty table
 * @tracer: the trace; its table has @base, @size and @grow, and no pages yet
 * @settings: how the heap is to be traced; in range
 *
 * Sites of a trace before this one have lost their meaning.  Another thread may be in the
 * middle of counting a block for that one, and writes to its table once more: so that
 * address must stay mapped, and this table must have another one.
 *
 * Return: false if there is no memory: then all blocks get PYMALLOC_SITE_UNKNOWN.
 */
bool pyml_tracer_begin(struct pyml_tracer *tracer, const struct pymalloc_trace *settings)
{
	pthread_mutex_lock(&tracer->lock);
	tracer->table.used = 0;
	tracer->table.room = 0;
	tracer->began = now();
	tracer->python_frames = pyml_python_is_known() ? settings->python_frames : 0;
	tracer->native_frames = settings->native_frames;
	if (settings->native_frames)
		pyml_native_prepare();
	add_settings(tracer, settings);
	begin_epoch(tracer, tracer->began);
	forget(tracer);
	pthread_mutex_unlock(&tracer->lock);
	return tracer->table.used;
}

/**
 * pyml_tracer_inherit() - in a child of fork(): leave the parent's trace
 * @tracer: the trace; it may begin anew, with a table of the child's heap
 *
 * Another thread of the parent may have held the lock, and have been changing what it
 * protects: the maps are not looked at, nor those of the threads that are not here.  Their
 * memory stays; most of it is shared with the parent.
 */
void pyml_tracer_inherit(struct pyml_tracer *tracer)
{
	*tracer = (struct pyml_tracer){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.stacks = PYML_MAP_EMPTY,
		.codes = PYML_MAP_EMPTY,
		.objects = PYML_MAP_EMPTY,
	};
	set_generation(tracer);
}

/**
 * pyml_tracer_tick() - see whether it is time for new records
 * @tracer: the trace
 *
 * To be called often: a block is not told to be older than it is, but how much younger it
 * may be depends on this.
 */
void pyml_tracer_tick(struct pyml_tracer *tracer)
{
	__u64 time = now();

	/* The clock may have been set back. */
	if (time >= __atomic_load_n(&tracer->epoch_end, __ATOMIC_RELAXED) ||
	    time < tracer->epoch_start)
		begin_epoch(tracer, MAX(time, tracer->began));
}

/**
 * pyml_tracer_unknown() - count a block that gets no site
 * @tracer: the trace
 *
 * Return: PYMALLOC_SITE_UNKNOWN.
 */
__u32 pyml_tracer_unknown(struct pyml_tracer *tracer)
{
	if (tracer->table.used)
		__atomic_fetch_add(&pyml_table_settings(&tracer->table)->nr_unknown, 1,
				   __ATOMIC_RELAXED);
	return PYMALLOC_SITE_UNKNOWN;
}

/* The lock is held from here on, where a stack or a site is added. */

static __u32 add_thread(struct pyml_table *table)
{
	struct pymalloc_thread_record record = {
		.record = { .bytes = sizeof(record), .kind = PYMALLOC_RECORD_THREAD },
	};
	const long no_args[6] = { 0 }, name_args[6] = { PR_GET_NAME, (long)record.name };

	record.tid = pyml_syscall(SYS_gettid, no_args);
	pyml_syscall(SYS_prctl, name_args);
	return pyml_table_add(table, &record.record);
}

/* Describes the stack's frames; returns how many. */
static unsigned int name_frames(struct pyml_tracer *tracer, const struct stack *stack,
				struct pymalloc_frame *frames)
{
	unsigned int i, count;

	count = pyml_python_name(&tracer->table, &tracer->codes, stack->python,
				 tracer->python_frames, frames);
	for (i = 0; i < stack->nr_native; i++)
		frames[count++] = (struct pymalloc_frame){
			.where = pyml_native_object(&tracer->table, &tracer->objects,
						    stack->native[i]),
			.address = stack->native[i],
		};
	return count;
}

static __u32 add_stack(struct pyml_tracer *tracer, const struct stack *stack)
{
	struct {
		struct pymalloc_stack_record stack;
		struct pymalloc_frame frames[2 * PYMALLOC_FRAMES_MAX];
	} record;
	unsigned int count = name_frames(tracer, stack, record.frames);

	record.stack.record = (struct pymalloc_record){
		.bytes = sizeof(record.stack) + count * sizeof(record.frames[0]),
		.kind = PYMALLOC_RECORD_STACK,
		.count = count,
	};
	return pyml_table_add(&tracer->table, &record.stack.record);
}

static __u32 find_stack(struct pyml_tracer *tracer, const struct stack *stack)
{
	struct pyml_map_entry *entry = pyml_map_at(&tracer->stacks, stack->hash);
	__u32 number;

	if (entry->key)
		return entry->number;
	number = add_stack(tracer, stack);
	if (number)
		pyml_map_put(&tracer->stacks, stack->hash, number, 0);
	return number;
}

/* Returns the site's number; 0 if the table is full. */
static __u32 add_site(struct pyml_tracer *tracer, struct thread *thread,
		      const struct stack *stack)
{
	struct pymalloc_site_record record = {
		.record = { .bytes = sizeof(record), .kind = PYMALLOC_RECORD_SITE },
		.count = 1,
	};
	/* In this order: a site is never told to be of a later epoch than it is. */
	unsigned int epoch = __atomic_load_n(&tracer->epoch, __ATOMIC_RELAXED);
	__u32 number;

	record.time = now();
	if (!thread->record)
		thread->record = add_thread(&tracer->table);
	record.thread = thread->record;
	record.stack = find_stack(tracer, stack);
	if (!record.thread || !record.stack)
		return 0;
	number = pyml_table_add(&tracer->table, &record.record);
	if (number)
		pyml_map_put(&thread->sites, stack->hash, number, epoch);
	return number;
}

static void empty_thread(struct thread *thread)
{
	pyml_map_drop(&thread->sites);
	thread->record = 0;
}

/* Brings the thread to the trace's generation, if it has another one: @generation. */
static unsigned int join(const struct pyml_tracer *tracer, struct thread *thread,
			 unsigned int generation)
{
	if (generation == tracer->generation)
		return generation;
	empty_thread(thread);
	thread->base = tracer->table.base;
	return tracer->generation;
}

/* Sees to it that Python functions can be told apart; adds to @hash what marks cannot tell. */
static void mark_frames(struct pyml_tracer *tracer, const struct stack *stack, __u64 *hash)
{
	if (!pyml_python_marks_left()) {
		pyml_python_forget_marks();
		forget(tracer);
	}
	*hash += pyml_python_mark(stack->python, tracer->python_frames);
}

static inline __u64 hash_stack(const struct pyml_tracer *tracer, const struct stack *stack)
{
	__u64 hash = 1;
	unsigned int i;

	if (stack->python)
		hash = pyml_python_hash(hash, stack->python, tracer->python_frames);
	for (i = 0; i < stack->nr_native; i++)
		hash = pyml_hash(hash, stack->native[i]);
	/* 0 is no key. */
	return hash | 1;
}

static inline __u32 count_block(struct thread *thread, const struct pyml_map_entry *entry)
{
	struct pymalloc_site_record *site;

	site = (struct pymalloc_site_record *)(thread->base + (size_t)entry->number * 8);
	site->count++;
	return entry->number;
}

/* Whether the thread knows the site, in this epoch. */
static inline bool is_current(const struct pyml_tracer *tracer,
			      const struct pyml_map_entry *entry, __u64 hash)
{
	return entry->key == hash && entry->epoch == tracer->epoch;
}

static __u32 intern_locked(struct pyml_tracer *tracer, struct thread *thread,
			   struct stack *stack, unsigned int *generation)
{
	const struct pyml_map_entry *entry;
	__u64 more = 0;

	if (stack->python)
		mark_frames(tracer, stack, &more);
	*generation = join(tracer, thread, *generation);
	stack->hash = (hash_stack(tracer, stack) + more) | 1;
	entry = pyml_map_at(&thread->sites, stack->hash);
	if (is_current(tracer, entry, stack->hash))
		return count_block(thread, entry);
	return add_site(tracer, thread, stack);
}

/*
 * The table is full.  Stacks that the thread knows keep the sites that they have had: a block
 * then seems to be older than it is, which is better than to know nothing of it.
 */
static __u32 known_or_unknown(struct pyml_tracer *tracer, struct thread *thread,
			      const struct stack *stack, unsigned int generation)
{
	const struct pyml_map_entry *entry = pyml_map_at(&thread->sites, stack->hash);

	if (generation == tracer->generation && entry->key == stack->hash)
		return count_block(thread, entry);
	return pyml_tracer_unknown(tracer);
}

/* Returns the site, and the thread's generation through @generation. */
static __attribute__((noinline)) __u32 intern(struct pyml_tracer *tracer,
					      struct thread *thread, struct stack *stack,
					      unsigned int *generation)
{
	__u32 number;

	/* A sandbox does not let it ask for the thread's name, or for that of a file. */
	if (__atomic_load_n(&tracer->full, __ATOMIC_RELAXED) || !tracer->table.used ||
	    pyml_in_sandbox())
		return known_or_unknown(tracer, thread, stack, *generation);
	pyml_tracer_tick(tracer);
	pthread_mutex_lock(&tracer->lock);
	number = intern_locked(tracer, thread, stack, generation);
	pthread_mutex_unlock(&tracer->lock);
	if (number)
		return number;
	__atomic_store_n(&tracer->full, true, __ATOMIC_RELAXED);
	return known_or_unknown(tracer, thread, stack, *generation);
}

/* The general case.  @generation: the thread's; returned as it is afterwards. */
static __u32 capture(struct pyml_tracer *tracer, struct thread *thread,
		     unsigned int *generation)
{
	const struct pyml_map_entry *entry;
	/* Of the addresses, no more are read than are captured. */
	struct stack stack;

	stack.python = NULL;
	if (tracer->python_frames)
		stack.python = pyml_python_find_top(&thread->python);
	stack.nr_native = 0;
	if (tracer->native_frames)
		stack.nr_native = pyml_native_capture(stack.native, tracer->native_frames);
	stack.hash = hash_stack(tracer, &stack);
	entry = pyml_map_at(&thread->sites, stack.hash);
	if (*generation == tracer->generation && is_current(tracer, entry, stack.hash))
		return count_block(thread, entry);
	return intern(tracer, thread, &stack, generation);
}

static __attribute__((noinline)) __u32 site_slow(struct pyml_tracer *tracer)
{
	struct thread *thread = &this_thread;
	unsigned int generation = thread->generation;
	__u32 number;

	if (generation == BUSY)
		return pyml_tracer_unknown(tracer);
	thread->generation = BUSY;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	number = capture(tracer, thread, &generation);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	thread->generation = generation;
	return number;
}

/* The usual case: a site that the thread knows; NULL if that is not so. */
static inline const struct pyml_map_entry *find_known(const struct pyml_tracer *tracer,
						      const struct thread *thread)
{
	const char *python = pyml_python_top(&thread->python);
	const struct pyml_map_entry *entry;
	__u64 hash;

	if (__builtin_expect(!python, 0))
		return NULL;
	hash = pyml_python_hash(1, python, tracer->python_frames) | 1;
	entry = pyml_map_at(&thread->sites, hash);
	return __builtin_expect(is_current(tracer, entry, hash), 1) ? entry : NULL;
}

/**
 * pyml_tracer_site() - the site of a block that the calling thread allocates
 * @tracer: the trace
 *
 * Captures the thread's stack, and counts the block.  Takes the trace's lock if the thread
 * has not been there before.  May be called inside of malloc(), and by a signal's handler.
 *
 * Return: the site's number; PYMALLOC_SITE_UNKNOWN if the table is full, or if this is a
 * signal's handler that has interrupted the same function.
 */
__u32 pyml_tracer_site(struct pyml_tracer *tracer)
{
	struct thread *thread = &this_thread;
	unsigned int generation = thread->generation;
	const struct pyml_map_entry *entry;
	__u32 number = 0;

	if (__builtin_expect(generation != tracer->fast, 0))
		return site_slow(tracer);
	thread->generation = BUSY;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	entry = find_known(tracer, thread);
	if (__builtin_expect(!!entry, 1))
		number = count_block(thread, entry);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	thread->generation = generation;
	return __builtin_expect(!!entry, 1) ? number : site_slow(tracer);
}

/**
 * pyml_tracer_sites() - the site of several blocks
 * @tracer: the trace
 * @count: how many, at least 1
 *
 * Return: as pyml_tracer_site().
 */
__u32 pyml_tracer_sites(struct pyml_tracer *tracer, size_t count)
{
	__u32 number = pyml_tracer_site(tracer);
	struct pymalloc_site_record *site;

	if (number == PYMALLOC_SITE_UNKNOWN)
		return number;
	/* The thread's own copy of the address: another thread may have begun a new trace. */
	site = (struct pymalloc_site_record *)(this_thread.base + (size_t)number * 8);
	site->count += count - 1;
	return number;
}

/**
 * pyml_tracer_end() - give back what a trace has in memory
 * @tracer: the trace, which no thread uses any more
 */
void pyml_tracer_end(struct pyml_tracer *tracer)
{
	forget(tracer);
}

/**
 * pyml_tracer_forget_thread() - give back what the calling thread has, when it ends
 *
 * What it allocates later gets PYMALLOC_SITE_UNKNOWN.
 */
void pyml_tracer_forget_thread(void)
{
	this_thread.generation = BUSY;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	empty_thread(&this_thread);
}
