// SPDX-License-Identifier: GPL-2.0
/*
 * Threads write to all their blocks, allocate and free them, while another thread lets
 * pools share pages without a pause. Meanwhile the process forks, is written to by
 * others, has a disk read into its blocks, makes pipes refer to them, and moves its
 * window.
 *
 * Each block belongs to one thread, which knows what is in it. Each process keeps that in
 * ordinary memory, so a child of fork() begins with what its parent knew.
 *
 * MESH_STRESS_ROUNDS says how long, MESH_STRESS_SEED what is done. Chance decides as well.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <time.h>

#include "disk.h"
#include "mesh.h"
#include "relatives.h"

#define DEFAULT_ROUNDS 12
#define THREADS 3
#define THREAD_BLOCKS 3000
/* So few of them stay when a thread frees most. */
#define THREAD_FEW (THREAD_BLOCKS / 20)
#define OWN_BLOCKS 200
#define BATCH 64
/* How much the threads do, and how often pages are joined, between two disturbances. */
#define STEPS_A_ROUND 400
#define PASSES_A_ROUND 2

#define RW (PROT_READ | PROT_WRITE)

/* Memory that all processes have in common: what went wrong first, and how often. */
struct common {
	atomic_int times;
	char text[200];
};

struct thread {
	pthread_t thread;
	__u64 seed;
	__u32 count;
	struct marked blocks[THREAD_BLOCKS];
};

static struct common *common;
static struct heap heap;
static struct thread threads[THREADS];
static struct thread own;	/* the main thread's */
static pthread_t mesher;
static atomic_bool stop;
static atomic_ulong steps, passes;
static struct pymalloc_compact sum;
/* Held for writing while the window moves. */
static pthread_rwlock_t window_lock;

static const __u32 sizes[] = { 8, 16, 64, 64, 256, 512 };

static __printf(1, 2) void trouble(const char *format, ...)
{
	va_list args;

	if (atomic_fetch_add(&common->times, 1))
		return;
	va_start(args, format);
	vsnprintf(common->text, sizeof(common->text), format, args);
	va_end(args);
}

static void expect(int ret, const char *what)
{
	if (ret)
		trouble("%s: %s", what, strerror(-ret));
}

static __u64 below(__u64 *numbers, __u64 limit)
{
	return (next_random(numbers) >> 11) % limit;
}

/*
 * Blocks
 */

static void verify(const struct marked *block, const char *whose)
{
	if (!marked_holds(&heap, block))
		trouble("%s block %#llx of %u bytes, write %u, holds %#llx", whose, block->ref,
			block->size, block->counter, *(__u64 *)at(&heap, block->ref));
}

static void verify_all(const struct thread *thread, const char *whose)
{
	for (__u32 i = 0; i < thread->count; i++)
		verify(&thread->blocks[i], whose);
}

static void write_one(struct thread *thread, const char *whose)
{
	struct marked *block = &thread->blocks[below(&thread->seed, thread->count)];

	verify(block, whose);
	marked_write(&heap, block);
	verify(block, "a just written");
}

static void write_all(struct thread *thread)
{
	for (__u32 i = 0; i < thread->count; i++)
		marked_write(&heap, &thread->blocks[i]);
}

static __u32 some_flags(__u64 *seed)
{
	switch (below(seed, 8)) {
	case 0: return PYMALLOC_ALLOC_ZERO;
	case 1: return PYMALLOC_ALLOC_PINNED;
	default: return 0;
	}
}

static void alloc_some(struct thread *thread, __u32 size, __u32 count)
{
	struct marked *blocks = thread->blocks + thread->count;
	__u64 refs[BATCH];
	struct pymalloc_alloc arg = ARG(alloc, .refs = user_ptr(refs), .count = count,
					.size = size, .flags = some_flags(&thread->seed));

	expect(call(heap.fd, PYMALLOC_IOC_ALLOC, &arg), "allocate");
	for (__u32 i = 0; i < arg.done; i++) {
		if (arg.flags & PYMALLOC_ALLOC_ZERO && !is_filled(at(&heap, refs[i]), 0, size))
			trouble("zeroed block %#llx of %u bytes is not", refs[i], size);
		blocks[i] = (struct marked){ .ref = refs[i], .size = size };
		marked_write(&heap, &blocks[i]);
	}
	thread->count += arg.done;
}

/* Free blocks chosen at random. The last ones take their place. */
static void free_some(struct thread *thread, __u32 count)
{
	__u64 refs[BATCH];
	struct pymalloc_free arg = ARG(free, .refs = user_ptr(refs), .count = count);

	for (__u32 i = 0; i < count; i++) {
		struct marked *block = &thread->blocks[below(&thread->seed, thread->count)];

		verify(block, "a no longer needed");
		refs[i] = block->ref;
		*block = thread->blocks[--thread->count];
	}
	expect(call(heap.fd, PYMALLOC_IOC_FREE, &arg), "free");
}

static void resize_one(struct thread *thread)
{
	struct marked *block = &thread->blocks[below(&thread->seed, thread->count)];
	struct pymalloc_resize arg = ARG(resize, .ref = block->ref,
					 .size = sizes[below(&thread->seed, ARRAY_SIZE(sizes))]);
	struct marked old = *block;

	expect(call(heap.fd, PYMALLOC_IOC_RESIZE, &arg), "resize");
	old.size = arg.size < old.size ? arg.size : old.size;
	if (!mark_holds(&old, at(&heap, arg.ref)))
		trouble("block %#llx has lost its bytes on the way to %#llx", old.ref, arg.ref);
	block->ref = arg.ref;
	block->size = arg.size;
	marked_write(&heap, block);
}

/*
 * Threads
 */

/* Fill pools, free most blocks in them, and work with the others for a while. */
static void thread_step(struct thread *thread, bool *grows)
{
	if (*grows) {
		__u32 room = THREAD_BLOCKS - thread->count;

		alloc_some(thread, sizes[below(&thread->seed, ARRAY_SIZE(sizes))],
			   room < BATCH ? room : BATCH);
		*grows = thread->count < THREAD_BLOCKS;
	} else if (thread->count >= THREAD_FEW + BATCH) {
		free_some(thread, 1 + below(&thread->seed, BATCH));
	} else {
		for (int i = 0; i < 20; i++)
			write_one(thread, "a thread's");
		resize_one(thread);
		*grows = !below(&thread->seed, 30);
		if (*grows)
			verify_all(thread, "a thread's resting");
	}
}

static void *hammer(void *arg)
{
	struct thread *thread = arg;
	bool grows = true;

	while (!atomic_load(&stop)) {
		pthread_rwlock_rdlock(&window_lock);
		for (int i = 0; i < 10; i++)
			thread_step(thread, &grows);
		pthread_rwlock_unlock(&window_lock);
		atomic_fetch_add(&steps, 10);
	}
	return NULL;
}

static void compact(struct pymalloc_compact *all, __u32 flags)
{
	struct pymalloc_compact arg = ARG(compact, .flags = flags);

	expect(call(heap.fd, PYMALLOC_IOC_COMPACT, &arg), "compact");
	all->pages_freed += arg.pages_freed;
	all->frames_joined += arg.frames_joined;
	all->bytes_copied += arg.bytes_copied;
	all->pages_pinned += arg.pages_pinned;
}

static void *mesh(void *arg)
{
	while (!atomic_load(&stop)) {
		compact(arg, PYMALLOC_COMPACT_MESH);
		if (atomic_fetch_add(&passes, 1) % 8 == 7)
			compact(arg, 0);
	}
	return NULL;
}

/* Between two disturbances: how often does not depend on how fast the machine is. */
static void let_others_work(void)
{
	unsigned long until_steps = atomic_load(&steps) + STEPS_A_ROUND;
	unsigned long until_passes = atomic_load(&passes) + PASSES_A_ROUND;

	while (atomic_load(&steps) < until_steps || atomic_load(&passes) < until_passes)
		usleep(1000);
}

/*
 * Disturbances, by the main thread
 */

static void do_nothing(void)
{
}

static void drop_page_tables(void)
{
	for (int i = 0; i < 20; i++) {
		if (madvise(heap.window, heap.bytes, MADV_DONTNEED) < 0)
			trouble("drop: %m");
		write_one(&own, "the main thread's");
	}
}

static void move_window(void)
{
	void *to = mmap(NULL, heap.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);

	pthread_rwlock_wrlock(&window_lock);
	if (mremap(heap.window, heap.bytes, heap.bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to)
		heap.window = to;
	else
		trouble("move: %m");
	pthread_rwlock_unlock(&window_lock);
}

/* One arena of the window, somewhere else, protected in parts and written to. */
static void map_again(void)
{
	for (int i = 0; i < 20; i++) {
		struct marked *block = &own.blocks[below(&own.seed, own.count)];
		__u64 arena = block->ref / ARENA * ARENA, page = block->ref / POOL * POOL;
		char *part = mmap(NULL, ARENA, RW, MAP_SHARED, heap.fd, arena);

		if (part == MAP_FAILED) {
			trouble("map: %m");
			return;
		}
		if (!mark_holds(block, part + block->ref - arena))
			trouble("block %#llx differs in another mapping", block->ref);
		block->counter++;
		mark_write(block, part + block->ref - arena);
		if (mprotect(part + page - arena, POOL, PROT_READ) < 0)
			trouble("protect: %m");
		verify(block, "an elsewhere written");
		sched_yield();
		if (!mark_holds(block, part + block->ref - arena))
			trouble("block %#llx differs in another mapping, later", block->ref);
		munmap(part, ARENA);
	}
}

/* Both have the same blocks from now on, and each writes other counters into them. */
static void be_child(void)
{
	static struct pymalloc_compact nothing;

	verify_all(&own, "an inherited");
	for (int i = 0; i < 3; i++) {
		for (__u32 nr = 0; nr < own.count; nr++)
			own.blocks[nr].counter += 1000;
		write_all(&own);
		compact(&nothing, 0);
		verify_all(&own, "a child's");
		free_some(&own, 10);
		alloc_some(&own, sizes[below(&own.seed, ARRAY_SIZE(sizes))], 10);
	}
	_exit(0);
}

static pid_t fork_child(void)
{
	pid_t child = fork();

	if (!child)
		be_child();
	if (child < 0)
		trouble("fork: %m");
	return child;
}

static void wait_for(pid_t child)
{
	int status;

	if (child > 0 && (waitpid(child, &status, 0) != child || status))
		trouble("a child has ended with %#x", status);
}

static void fork_some(void)
{
	pid_t children[3];

	for (int i = 0; i < 3; i++) {
		children[i] = fork_child();
		write_all(&own);
	}
	verify_all(&own, "a parent's");
	for (int i = 0; i < 3; i++)
		wait_for(children[i]);
	write_all(&own);
}

/* What another process is to write into this one. */
static void poke(pid_t pid, const struct marked *block, __u64 *words)
{
	char *memory = at(&heap, block->ref);

	if (ptrace(PTRACE_ATTACH, pid, 0, 0) < 0) {
		trouble("attach: %m");
		return;
	}
	waitpid(pid, NULL, __WALL);
	for (__u64 i = 0; i < block->size / sizeof(*words); i++)
		if (ptrace(PTRACE_POKEDATA, pid, memory + i * sizeof(*words), words[i]) < 0)
			trouble("poke: %m");
	ptrace(PTRACE_DETACH, pid, 0, 0);
}

static void write_remote(pid_t pid, const struct marked *block, __u64 *words)
{
	struct iovec from = { words, block->size }, to = { at(&heap, block->ref), block->size };

	if (process_vm_writev(pid, &from, 1, &to, 1, 0) != (ssize_t)block->size)
		trouble("process_vm_writev: %m");
}

/* @from is the main thread of this process, in another process. */
static void write_by(pid_t pid, struct marked *block, int how)
{
	__u64 words[512 / sizeof(__u64)];

	block->counter++;
	mark_write(block, words);
	if (how)
		write_remote(pid, block, words);
	else
		poke(pid, block, words);
}

/* A child that writes to its parent: each block gets the counter after the present one. */
static void written_by_others(void)
{
	int how = below(&own.seed, 2);
	pid_t parent = gettid(), child = fork();
	__u32 nr = how ? own.count : 10;

	if (!child) {
		for (__u32 i = 0; i < nr; i++)
			write_by(parent, &own.blocks[i], how);
		_exit(0);
	}
	wait_for(child);
	for (__u32 i = 0; i < nr; i++) {
		own.blocks[i].counter++;
		verify(&own.blocks[i], how ? "a remotely written" : "a poked");
	}
}

static struct disk disk;

/* While the disk reads into a block, its page is pinned, or referred to at least. */
static void read_disk_into(struct marked *block)
{
	__u32 sector = below(&own.seed, SECTORS);
	struct iocb iocb;
	long long bytes;

	if (!disk_submit(&disk, &iocb, sector, at(&heap, block->ref))) {
		trouble("io_submit: %m");
		return;
	}
	write_one(&own, "beside a read");
	bytes = disk_await(&disk);
	if (bytes != SECTOR)
		trouble("read: %lld", bytes);
	else if (!disk_has(&disk, sector, at(&heap, block->ref)))
		trouble("the disk's sector %u is not at %#llx", sector, block->ref);
}

static void read_disk(void)
{
	struct pymalloc_free arg = ARG(free, .count = 1);
	struct marked target;

	for (int i = 0; i < 40; i++) {
		/* A block alone in its page has most to lose. */
		alloc_some(&own, SECTOR, 1);
		target = own.blocks[--own.count];
		read_disk_into(&target);
		arg.refs = user_ptr(&target.ref);
		expect(call(heap.fd, PYMALLOC_IOC_FREE, &arg), "free");
	}
}

static void read_pipe(int fd, struct marked *block)
{
	char buffer[512];

	if (read(fd, buffer, block->size) != (ssize_t)block->size)
		trouble("a pipe is short");
	else if (!mark_holds(block, buffer))
		trouble("a pipe has not what block %#llx held", block->ref);
}

/* Blocks that pipes refer to are not written to, until the pipes have been read. */
static void pipe_blocks(void)
{
	int ends[2];

	if (pipe(ends) < 0) {
		trouble("pipe: %m");
		return;
	}
	for (__u32 i = 0; i < 8; i++) {
		struct iovec iov = { at(&heap, own.blocks[i].ref), own.blocks[i].size };

		if (vmsplice(ends[1], &iov, 1, 0) != (ssize_t)own.blocks[i].size)
			trouble("vmsplice: %m");
	}
	let_others_work();
	for (__u32 i = 0; i < 8; i++) {
		verify(&own.blocks[i], "a piped");
		read_pipe(ends[0], &own.blocks[i]);
	}
	close(ends[0]);
	close(ends[1]);
	write_all(&own);
}

/* A thread that does not live long, and leaves nothing. */
static void *live_shortly(void *arg)
{
	struct thread *thread = arg;

	for (int i = 0; i < 4; i++)
		alloc_some(thread, sizes[below(&thread->seed, ARRAY_SIZE(sizes))], BATCH);
	for (int i = 0; i < 100; i++)
		write_one(thread, "a short-lived thread's");
	while (thread->count)
		free_some(thread, thread->count < BATCH ? thread->count : BATCH);
	return NULL;
}

static void come_and_go(void)
{
	static struct thread short_lived[4];

	for (int i = 0; i < 4; i++) {
		short_lived[i].seed = next_random(&own.seed);
		if (pthread_create(&short_lived[i].thread, NULL, live_shortly, &short_lived[i]))
			trouble("no thread");
	}
	for (int i = 0; i < 4; i++)
		pthread_join(short_lived[i].thread, NULL);
}

/* A few of the main thread's blocks move on, so that they do not only lie where they began. */
static void replace_some(void)
{
	free_some(&own, 20);
	alloc_some(&own, sizes[below(&own.seed, ARRAY_SIZE(sizes))], 20);
	write_one(&own, "the main thread's");
}

static void everything(void)
{
	static void (*const all[])(void) = {
		drop_page_tables, move_window, map_again, fork_some, written_by_others,
		read_disk, pipe_blocks, come_and_go, replace_some,
	};

	all[below(&own.seed, ARRAY_SIZE(all))]();
}

/*
 * The test
 */

FIXTURE(mesh_stress) { };

FIXTURE_VARIANT(mesh_stress)
{
	void (*disturb)(void);
};

FIXTURE_VARIANT_ADD(mesh_stress, alone) { do_nothing };
FIXTURE_VARIANT_ADD(mesh_stress, page_tables) { drop_page_tables };
FIXTURE_VARIANT_ADD(mesh_stress, moved) { move_window };
FIXTURE_VARIANT_ADD(mesh_stress, mapped_again) { map_again };
FIXTURE_VARIANT_ADD(mesh_stress, forks) { fork_some };
FIXTURE_VARIANT_ADD(mesh_stress, written_by_others) { written_by_others };
FIXTURE_VARIANT_ADD(mesh_stress, disk) { read_disk };
FIXTURE_VARIANT_ADD(mesh_stress, pipes) { pipe_blocks };
FIXTURE_VARIANT_ADD(mesh_stress, threads) { come_and_go };
FIXTURE_VARIANT_ADD(mesh_stress, everything) { everything };

static void prepare_lock(void)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&window_lock, &attr);
}

FIXTURE_SETUP(mesh_stress)
{
	common = common_memory(_metadata, sizeof(*common));
	heap = HEAP(.name = "mesh stress");
	own.seed = setting("MESH_STRESS_SEED", time(NULL) ^ (__u64)getpid() << 32);
	TH_LOG("MESH_STRESS_SEED=%#llx", own.seed);
	ASSERT_NE(0, own.seed);
	disk_open(_metadata, &disk);
	prepare_lock();
	while (own.count < OWN_BLOCKS)
		alloc_some(&own, sizes[below(&own.seed, ARRAY_SIZE(sizes))], 10);
	for (int i = 0; i < THREADS; i++) {
		threads[i].seed = next_random(&own.seed);
		ASSERT_EQ(0, pthread_create(&threads[i].thread, NULL, hammer, &threads[i]));
	}
	ASSERT_EQ(0, pthread_create(&mesher, NULL, mesh, &sum));
}

FIXTURE_TEARDOWN(mesh_stress)
{
	heap_check(&heap);
	heap_close(&heap);
}

static void finish(struct __test_metadata *_metadata)
{
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_join(threads[i].thread, NULL));
	ASSERT_EQ(0, pthread_join(mesher, NULL));
	verify_all(&own, "the main thread's last");
	for (int i = 0; i < THREADS; i++)
		verify_all(&threads[i], "a thread's last");
}

#define A_DAY (24 * 60 * 60)

TEST_F_TIMEOUT(mesh_stress, hammer, A_DAY)
{
	int rounds = setting("MESH_STRESS_ROUNDS", DEFAULT_ROUNDS);

	while (rounds--) {
		variant->disturb();
		write_one(&own, "the main thread's");
		let_others_work();
	}
	finish(_metadata);
	EXPECT_EQ(0, atomic_load(&common->times)) TH_LOG("first: %s", common->text);
	TH_LOG("%lu steps, %lu passes: %llu pages freed, %llu joined, %llu bytes, %llu pinned",
	       atomic_load(&steps), atomic_load(&passes), sum.pages_freed, sum.frames_joined,
	       sum.bytes_copied, sum.pages_pinned);
	EXPECT_LT(0, sum.frames_joined);
	EXPECT_LT(0, sum.pages_freed);
}

TEST_HARNESS_MAIN
