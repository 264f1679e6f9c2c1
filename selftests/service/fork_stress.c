// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once: threads use a heap while their process and its children
 * fork, change their mappings, let pools share pages, make pipes refer to pages, let
 * a disk read into pages, and end in any order. Some of them are killed.
 *
 * Each process has a table of objects that no thread changes, and knows what is
 * in them. The table is in ordinary memory, so a child begins with what its
 * parent knew at the fork(). The objects of a thread are only for that thread.
 *
 * FORK_STRESS_ROUNDS says how long, FORK_STRESS_SEED what is done. Chance
 * decides as well.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <time.h>

#include "disk.h"
#include "relatives.h"

#define DEFAULT_ROUNDS 150
#define OBJECTS 300
#define THREADS 2
#define THREAD_OBJECTS 100
#define CHILDREN 5
#define MOST_DEPTH 2
#define SLOTS 64
#define KINDS 24
#define NO_SLOT -1

#define RW (PROT_READ | PROT_WRITE)

/* What a slot is used for. The rest of the word says which process uses it. */
#define SLOT_EMPTY 0
#define SLOT_FULL 1
#define SLOT_BUSY 2

/* A pipe that refers to an object, and what the object held then. */
struct slot {
	int pipe[2];
	atomic_int word;
	atomic_uint uses;	/* how often it has been filled */
	__u32 bytes;
	__u8 byte;
	int round;
	int depth;
};

/* What went wrong: how often, and how it looked the first time. */
struct kind {
	atomic_uintptr_t format;	/* the same address in all processes */
	atomic_int times;
	char text[160];
};

/* Memory that all processes have in common. */
struct common {
	struct kind kinds[KINDS];
	atomic_int round;
	atomic_ulong forks;
	atomic_ulong kills;
	atomic_ulong pipes;	/* that were looked at */
	atomic_ulong reads;	/* from the disk */
	atomic_ulong meshed;	/* pages freed */
	struct slot slots[SLOTS];
};

struct object {
	__u64 ref;
	__u32 size;
	__u8 byte;	/* the object is full of it */
	int slot;	/* the pipe that refers to it, while ... */
	unsigned int use;	/* ... the slot is used for that time */
};

struct thread {
	pthread_t thread;
	__u64 seed;
	struct object objects[THREAD_OBJECTS];
};

/* The state of this process. */
static struct heap heap;
static char *second;	/* another mapping of the window, or NULL */
static bool split;	/* the window is more than one mapping: it cannot be moved */
static struct object objects[OBJECTS];
static __u64 seed;
static int depth;	/* 0 is the first process; only this one has threads */
static int nr_children;

static struct common *common;
static struct thread threads[THREADS];
static atomic_bool stop;
/* Held for writing while the window cannot be written to. */
static pthread_rwlock_t window_lock;

static struct disk disk;

/* The disk's read into @target, while it is under way. */
static struct {
	struct iocb iocb;
	bool busy;
	__u64 run;
	__u64 target;
	__u32 sector;
} disk_read;

static const __u32 sizes[] = { 16, 64, 64, 256, 512, 512, 2 * POOL, 5 * POOL };

static struct kind *find_kind(uintptr_t format)
{
	for (int i = 0; i < KINDS; i++) {
		struct kind *kind = &common->kinds[i];
		uintptr_t none = 0;

		if (atomic_compare_exchange_strong(&kind->format, &none, format) || none == format)
			return kind;
	}
	abort();
}

static __printf(1, 2) void trouble(const char *format, ...)
{
	struct kind *kind = find_kind((uintptr_t)format);
	va_list args;
	int length;

	if (atomic_fetch_add(&kind->times, 1))
		return;
	length = snprintf(kind->text, sizeof(kind->text), "round %d, pid %d, depth %d: ",
			  atomic_load(&common->round), getpid(), depth);
	va_start(args, format);
	vsnprintf(kind->text + length, sizeof(kind->text) - length, format, args);
	va_end(args);
}

static __u64 below(__u64 *numbers, __u64 limit)
{
	return (next_random(numbers) >> 11) % limit;
}

/*
 * Objects. Calls on them may fail in any process and any thread.
 */

static void expect(int ret, const char *what)
{
	if (ret)
		trouble("%s: %s", what, strerror(-ret));
}

/* The same for a system call. */
static void expect_success(int ret, const char *what)
{
	if (ret)
		trouble("%s: %m", what);
}

/* Report what is found only once: the next look must find something else. */
static __printf(2, 0) void verify_as(struct object *object, const char *format)
{
	char *memory = at(&heap, object->ref);

	if (is_filled(memory, object->byte, object->size))
		return;
	trouble(format, object->ref, object->size, (__u8)memory[0],
		(__u8)memory[object->size - 1], object->byte);
	if (object->slot == NO_SLOT)
		memset(memory, object->byte, object->size);
}

#define verify(object, whose) \
	verify_as(object, whose " %#llx of %u bytes holds %#x ... %#x, not %#x")

/* Fill it with another byte than before, but not with zeros. */
static void write_object(struct object *object, __u64 *numbers, char *window)
{
	object->byte = (object->byte + below(numbers, 254)) % 255 + 1;
	memset(window + object->ref, object->byte, object->size);
}

static void new_object(struct object *object, __u64 *numbers)
{
	struct pymalloc_alloc arg = ARG(alloc, .refs = user_ptr(&object->ref), .count = 1,
					.size = sizes[below(numbers, ARRAY_SIZE(sizes))],
					.flags = below(numbers, 2));

	expect(call(heap.fd, PYMALLOC_IOC_ALLOC, &arg), "allocate");
	if (arg.flags && !is_filled(at(&heap, object->ref), 0, arg.size))
		trouble("zeroed %#llx of %llu bytes holds %#x", object->ref, arg.size,
			(__u8)*at(&heap, object->ref));
	object->size = arg.size;
	object->slot = NO_SLOT;
	write_object(object, numbers, heap.window);
}

static void free_object(struct object *object)
{
	struct pymalloc_free arg = ARG(free, .refs = user_ptr(&object->ref), .count = 1);

	expect(call(heap.fd, PYMALLOC_IOC_FREE, &arg), "free");
}

static void resize_object(struct object *object, __u64 *numbers)
{
	struct pymalloc_resize arg = ARG(resize, .ref = object->ref,
					 .size = sizes[below(numbers, ARRAY_SIZE(sizes))]);
	__u32 kept = arg.size < object->size ? arg.size : object->size;

	expect(call(heap.fd, PYMALLOC_IOC_RESIZE, &arg), "resize");
	object->ref = arg.ref;
	object->size = kept;
	verify(object, "resized");
	object->size = arg.size;
	write_object(object, numbers, heap.window);
}

/*
 * Threads
 */

static void thread_step(struct thread *thread)
{
	struct object *object = &thread->objects[below(&thread->seed, THREAD_OBJECTS)];

	verify(object, "a thread's");
	switch (below(&thread->seed, 4)) {
	case 0:
		resize_object(object, &thread->seed);
		break;
	case 1:
		write_object(object, &thread->seed, heap.window);
		break;
	default:
		free_object(object);
		new_object(object, &thread->seed);
	}
	verify(object, "a thread's new");
}

static void *use_heap(void *arg)
{
	struct thread *thread = arg;

	while (!atomic_load(&stop)) {
		pthread_rwlock_rdlock(&window_lock);
		for (int i = 0; i < 20; i++)
			thread_step(thread);
		pthread_rwlock_unlock(&window_lock);
		sched_yield();
	}
	return NULL;
}

/* Only the first process has threads that write to the window. */
static void lock_window(void)
{
	if (!depth)
		pthread_rwlock_wrlock(&window_lock);
}

static void unlock_window(void)
{
	if (!depth)
		pthread_rwlock_unlock(&window_lock);
}

/*
 * Pipes that refer to pages
 */

/* The word says which process uses the slot, in case this process is killed. */
static bool slot_take(struct slot *slot, int state)
{
	return atomic_compare_exchange_strong(&slot->word, &state, getpid() << 2 | SLOT_BUSY);
}

/*
 * May an object be written to? Not by a process that has a pipe that refers to
 * it.
 */
static bool is_free(struct object *object)
{
	if (object->slot != NO_SLOT &&
	    atomic_load(&common->slots[object->slot].uses) != object->use)
		object->slot = NO_SLOT;
	return object->slot == NO_SLOT;
}

static void fill_pipe(void)
{
	struct object *object = &objects[below(&seed, OBJECTS)];
	int nr = below(&seed, SLOTS);
	struct slot *slot = &common->slots[nr];
	struct iovec iov = { at(&heap, object->ref), object->size };

	if (!is_free(object) || !slot_take(slot, SLOT_EMPTY))
		return;
	verify(object, "to be piped");
	slot->bytes = object->size;
	slot->byte = object->byte;
	slot->round = atomic_load(&common->round);
	slot->depth = depth;
	object->slot = nr;
	object->use = atomic_load(&slot->uses);
	if (vmsplice(slot->pipe[1], &iov, 1, SPLICE_F_NONBLOCK) != (ssize_t)object->size)
		trouble("vmsplice: %s", strerror(errno));
	atomic_store(&slot->word, SLOT_FULL);
}

static ssize_t read_pipe(struct slot *slot, char *buffer, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t got = read(slot->pipe[0], buffer + done, bytes - done);

		if (got <= 0)
			break;
		done += got;
	}
	return done;
}

static void empty_slot(struct slot *slot)
{
	atomic_fetch_add(&slot->uses, 1);
	atomic_store(&slot->word, SLOT_EMPTY);
}

static void check_slot(struct slot *slot)
{
	static char buffer[8 * POOL];

	if (!slot_take(slot, SLOT_FULL))
		return;
	if (read_pipe(slot, buffer, slot->bytes) != slot->bytes)
		trouble("a pipe is shorter than %u bytes", slot->bytes);
	else if (!is_filled(buffer, slot->byte, slot->bytes))
		trouble("a pipe of round %d, depth %d, with %u bytes holds %#x ... %#x, not %#x",
			slot->round, slot->depth, slot->bytes, (__u8)buffer[0],
			(__u8)buffer[slot->bytes - 1], slot->byte);
	atomic_fetch_add(&common->pipes, 1);
	empty_slot(slot);
}

static void check_pipe(void)
{
	check_slot(&common->slots[below(&seed, SLOTS)]);
}

/*
 * A process was killed while it used a slot. What is in the pipe is not known.
 */
static void rescue_slots(void)
{
	char buffer[POOL];

	for (int i = 0; i < SLOTS; i++) {
		struct slot *slot = &common->slots[i];
		int word = atomic_load(&slot->word);

		if ((word & 3) != SLOT_BUSY || !kill(word >> 2, 0))
			continue;
		while (read_pipe(slot, buffer, sizeof(buffer)))
			;
		empty_slot(slot);
	}
}

/*
 * What a process does
 */

#define verify_all(whose) \
	do { \
		for (int _i = 0; _i < OBJECTS; _i++) \
			verify(&objects[_i], whose); \
	} while (0)

static void write_some(void)
{
	char *window = second && below(&seed, 2) ? second : heap.window;

	for (int i = 0; i < 30; i++) {
		struct object *object = &objects[below(&seed, OBJECTS)];

		verify(object, "resting");
		if (is_free(object))
			write_object(object, &seed, window);
		verify(object, "written");
	}
}

static void replace_some(void)
{
	for (int i = 0; i < 10; i++) {
		struct object *object = &objects[below(&seed, OBJECTS)];

		verify(object, "resting");
		if (!is_free(object))
			continue;
		free_object(object);
		new_object(object, &seed);
	}
}

static void resize_some(void)
{
	for (int i = 0; i < 10; i++) {
		struct object *object = &objects[below(&seed, OBJECTS)];

		verify(object, "resting");
		if (is_free(object))
			resize_object(object, &seed);
	}
}

static void trim(void)
{
	struct pymalloc_trim arg = ARG(trim);

	expect(call(heap.fd, PYMALLOC_IOC_TRIM, &arg), "trim");
}

/* Pools share pages in all processes, also with those that their relatives have. */
static void compact(void)
{
	struct pymalloc_compact arg = ARG(compact);

	expect(call(heap.fd, PYMALLOC_IOC_COMPACT, &arg), "compact");
	atomic_fetch_add(&common->meshed, arg.pages_freed);
}

static void check(void)
{
	struct pymalloc_check arg = ARG(check);

	expect(call(heap.fd, PYMALLOC_IOC_CHECK, &arg), "check");
	if (arg.errors)
		trouble("%llu errors, at %#llx: %.80s", arg.errors, arg.offset, arg.message);
}

static void drop_page_tables(void)
{
	expect_success(madvise(heap.window, heap.bytes, MADV_DONTNEED), "drop");
	if (second)
		expect_success(madvise(second, heap.bytes, MADV_DONTNEED), "drop");
}

static void protect(void)
{
	int prot = below(&seed, 2) ? PROT_READ : PROT_NONE;

	lock_window();
	expect_success(mprotect(heap.window, heap.bytes, prot), "protect");
	if (!below(&seed, 3))
		drop_page_tables();
	expect_success(mprotect(heap.window, heap.bytes, RW), "unprotect");
	unlock_window();
	if (second) {
		expect_success(mprotect(second, heap.bytes, PROT_READ), "protect");
		expect_success(mprotect(second, heap.bytes, RW), "unprotect");
	}
}

/*
 * This protects a part of the window, which is several mappings from then on.
 * Only children do so.
 */
static void protect_part(void)
{
	struct object *object = &objects[below(&seed, OBJECTS)];
	char *page = at(&heap, object->ref / POOL * POOL);

	if (!depth)
		return;
	split = true;
	expect_success(mprotect(page, POOL, PROT_READ), "protect a page");
	if (!is_filled(at(&heap, object->ref), object->byte, 1))
		trouble("protected %#llx has changed", object->ref);
	expect_success(mprotect(page, POOL, RW), "unprotect a page");
}

static char *map_somewhere(void)
{
	void *window = mmap(NULL, heap.bytes, RW, MAP_SHARED, heap.fd, 0);

	if (window != MAP_FAILED)
		return window;
	trouble("map: %s", strerror(errno));
	return NULL;
}

static char *move_mapping(char *from)
{
	void *to = mmap(NULL, heap.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);

	if (mremap(from, heap.bytes, heap.bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to)
		return to;
	trouble("move: %s", strerror(errno));
	return from;
}

static void change_second(void)
{
	if (!second) {
		second = map_somewhere();
	} else if (below(&seed, 2)) {
		munmap(second, heap.bytes);
		second = NULL;
	} else {
		second = move_mapping(second);
	}
}

static void change_window(void)
{
	if (split)
		return;
	lock_window();
	heap.window = move_mapping(heap.window);
	unlock_window();
}

/*
 * The disk reads into a run of the first process. The process writes to other
 * sectors of the run meanwhile.
 */

static void start_read(void)
{
	disk_read.target = disk_read.run + below(&seed, 4 * POOL / SECTOR) * SECTOR;
	disk_read.sector = below(&seed, SECTORS);
	memset(at(&heap, disk_read.run), 'r', 4 * POOL);
	if (!disk_submit(&disk, &disk_read.iocb, disk_read.sector, at(&heap, disk_read.target)))
		trouble("io_submit: %s", strerror(errno));
	else
		disk_read.busy = true;
}

static void write_beside(void)
{
	for (int i = 0; i < 4; i++) {
		__u64 sector = disk_read.run + i * POOL + below(&seed, POOL / SECTOR) * SECTOR;

		if (sector != disk_read.target)
			memset(at(&heap, sector), 'b', SECTOR);
	}
}

static void end_read(void)
{
	long long bytes = disk_await(&disk);

	if (bytes != SECTOR)
		trouble("read: %lld", bytes);
	else if (!disk_has(&disk, disk_read.sector, at(&heap, disk_read.target)))
		trouble("the disk's sector %u is not at %#llx", disk_read.sector, disk_read.target);
	disk_read.busy = false;
	atomic_fetch_add(&common->reads, 1);
}

static void use_disk(void)
{
	if (depth)
		return;
	if (!disk_read.busy)
		start_read();
	else if (below(&seed, 2))
		write_beside();
	else
		end_read();
}

static void (*const steps[])(void) = {
	write_some, write_some, write_some, replace_some, replace_some, resize_some, fill_pipe,
	fill_pipe, fill_pipe, fill_pipe, check_pipe, check_pipe, check_pipe, trim, compact,
	compact, check,
	drop_page_tables, protect, protect, protect_part, change_second, change_second,
	change_window, use_disk, use_disk, use_disk,
};

static void do_steps(int nr)
{
	while (nr--)
		steps[below(&seed, ARRAY_SIZE(steps))]();
}

/*
 * Processes
 */

static pid_t children[CHILDREN];

static void forget_child(pid_t child)
{
	for (int i = 0; i < nr_children; i++)
		if (children[i] == child)
			children[i--] = children[--nr_children];
}

/* Also processes whose parent has ended before them. */
static bool reap(int flags)
{
	int status;
	pid_t child = waitpid(-1, &status, flags);

	if (child <= 0)
		return false;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		trouble("process %d: signal %d", child, WTERMSIG(status));
	forget_child(child);
	return true;
}

static void kill_one(void)
{
	if (!nr_children)
		return;
	kill(children[below(&seed, nr_children)], SIGKILL);
	atomic_fetch_add(&common->kills, 1);
}

static void fork_one(void);

/*
 * At the beginning and at the end, what the child has inherited is what its
 * parent knew.
 */
static void be_child(__u64 numbers)
{
	depth++;
	nr_children = 0;
	seed = numbers;
	verify_all("inherited");
	for (int rounds = below(&seed, 8); rounds; rounds--) {
		do_steps(5);
		if (!below(&seed, 4))
			fork_one();
		if (!below(&seed, 4))
			kill_one();
		verify_all("a child's");
		while (reap(WNOHANG))
			;
	}
	_exit(0);
}

static void fork_one(void)
{
	__u64 numbers = next_random(&seed);
	pid_t child;

	if (depth == MOST_DEPTH || nr_children == CHILDREN)
		return;
	child = fork();
	if (!child)
		be_child(numbers);
	if (child < 0) {
		trouble("fork: %s", strerror(errno));
		return;
	}
	children[nr_children++] = child;
	atomic_fetch_add(&common->forks, 1);
}

static void do_round(void)
{
	do_steps(4);
	fork_one();
	do_steps(4);
	if (!below(&seed, 3))
		kill_one();
	while (reap(nr_children == CHILDREN ? 0 : WNOHANG))
		;
	rescue_slots();
}

/*
 * The test
 */

static void prepare_pipes(struct __test_metadata *_metadata)
{
	for (int i = 0; i < SLOTS; i++)
		ASSERT_EQ(0, pipe2(common->slots[i].pipe, O_NONBLOCK));
}

static void start_threads(struct __test_metadata *_metadata)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&window_lock, &attr);
	for (int i = 0; i < THREADS; i++) {
		threads[i].seed = next_random(&seed);
		for (int nr = 0; nr < THREAD_OBJECTS; nr++)
			new_object(&threads[i].objects[nr], &threads[i].seed);
		ASSERT_EQ(0, pthread_create(&threads[i].thread, NULL, use_heap, &threads[i]));
	}
}

FIXTURE(fork_stress) { };

FIXTURE_SETUP(fork_stress)
{
	common = common_memory(_metadata, sizeof(*common));
	heap = HEAP(.name = "stress");
	seed = setting("FORK_STRESS_SEED", time(NULL) ^ (__u64)getpid() << 32);
	TH_LOG("FORK_STRESS_SEED=%#llx", seed);
	ASSERT_NE(0, seed);
	disk_open(_metadata, &disk);
	disk_read.run = alloc_one(&heap, 4 * POOL);
	prepare_pipes(_metadata);
	for (int i = 0; i < OBJECTS; i++)
		new_object(&objects[i], &seed);
	/* This process adopts processes that have lost their parent. */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
}

FIXTURE_TEARDOWN(fork_stress)
{
	heap_check(&heap);
	heap_close(&heap);
}

/* Look at everything that is still known. */
static void finish(struct __test_metadata *_metadata)
{
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_join(threads[i].thread, NULL));
	while (reap(0))
		;
	rescue_slots();
	if (disk_read.busy)
		end_read();
	for (int i = 0; i < OBJECTS; i++)
		if (is_free(&objects[i]))
			write_object(&objects[i], &seed, heap.window);
	verify_all("at the end");
	for (int i = 0; i < SLOTS; i++)
		check_slot(&common->slots[i]);
	for (int i = 0; i < THREADS; i++)
		for (int nr = 0; nr < THREAD_OBJECTS; nr++)
			verify(&threads[i].objects[nr], "a thread's");
	check();
}

static void report(struct __test_metadata *_metadata)
{
	for (int i = 0; i < KINDS && atomic_load(&common->kinds[i].format); i++) {
		EXPECT_EQ(0, atomic_load(&common->kinds[i].times))
			TH_LOG("first: %s", common->kinds[i].text);
	}
	TH_LOG("%d rounds: %lu forks, %lu kills, %lu pipes, %lu direct reads, %lu pages freed",
	       atomic_load(&common->round), atomic_load(&common->forks),
	       atomic_load(&common->kills), atomic_load(&common->pipes),
	       atomic_load(&common->reads), atomic_load(&common->meshed));
	EXPECT_NE(0, atomic_load(&common->pipes));
	EXPECT_NE(0, atomic_load(&common->reads));
	EXPECT_NE(0, atomic_load(&common->meshed));
}

#define A_DAY (24 * 60 * 60)

TEST_F_TIMEOUT(fork_stress, everything_at_once, A_DAY)
{
	int rounds = setting("FORK_STRESS_ROUNDS", DEFAULT_ROUNDS);

	start_threads(_metadata);
	while (rounds--) {
		atomic_fetch_add(&common->round, 1);
		do_round();
	}
	finish(_metadata);
	report(_metadata);
}

TEST_HARNESS_MAIN
