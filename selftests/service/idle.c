// SPDX-License-Identifier: GPL-2.0
/*
 * Idle pages: a heap that looks for them knows for how long each page has not
 * been touched. Time passes in seconds here, but no test needs it to be fast or
 * slow: each waits until what has not been touched is a second old.
 */
#include <pthread.h>
#include <sys/uio.h>

#include "mesh.h"
#include "relatives.h"

/* Of these, a pool has one. */
#define BLOCK		PYMALLOC_BLOCK_MAX
#define IN_POOL		(POOL / BLOCK)
#define POOLS		128

#define TRY_TRACE(_fd, ...) \
	({ \
		struct pymalloc_trace _arg = ARG(trace, __VA_ARGS__); \
		call(_fd, PYMALLOC_IOC_TRACE, &_arg); \
	})

/* Also when that is on already: it takes what has been touched out of the page tables. */
static void look(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;

	ASSERT_EQ(0, TRY_TRACE(heap->fd, .flags = PYMALLOC_TRACE_IDLE));
}

static void end_looking(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;

	ASSERT_EQ(0, TRY_TRACE(heap->fd, .flags = PYMALLOC_TRACE_NO_IDLE));
}

static bool is_looking(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_trace arg = ARG(trace);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_TRACE, &arg));
	return arg.idle;
}

/* What the walk says of an allocated object. */
static __u32 idle_of(struct heap *heap, __u64 ref)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_site_info blocks[POOL / 8];
	struct pymalloc_walk arg = ARG(walk, .what = PYMALLOC_WALK_SITES,
				       .start = ref & -POOL, .end = (ref & -POOL) + POOL,
				       .entries = user_ptr(blocks),
				       .count = ARRAY_SIZE(blocks),
				       .entry_size = sizeof(*blocks));

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_WALK, &arg));
	for (__u32 i = 0; i < arg.done; i++)
		if (blocks[i].ref == ref)
			return blocks[i].idle;
	ASSERT_TRUE(false) TH_LOG("%#llx is not there", ref);
	return 0;
}

/* Has it been idle for a while, and is that known? */
static bool is_idle(struct heap *heap, __u64 ref)
{
	__u32 idle = idle_of(heap, ref);

	return idle && idle != PYMALLOC_NO_IDLE;
}

/* Wait until an object that nobody touches has been idle for a while. */
static void wait_until_idle(struct heap *heap, __u64 ref)
{
	struct __test_metadata *_metadata = heap->test;

	ASSERT_TRUE(EVENTUALLY(is_idle(heap, ref)));
}

/* Rounds come only when a test asks for one. */
static void set_no_rounds(struct heap *heap)
{
	POLICY(heap, .flags = PYMALLOC_POLICY_SET, .off = POLICY_NOTHING,
	       .decay_ms = PYMALLOC_DECAY_MS_MAX);
}

/* One block in each of @pools pools that lie side by side, all touched. */
static void fill(struct heap *heap, __u64 *refs, __u32 pools)
{
	__u64 *all = calloc(pools * IN_POOL, sizeof(*all));

	alloc(heap, BLOCK, all, pools * IN_POOL);
	sort_refs(all, pools * IN_POOL);
	for (__u32 i = 0; i < pools; i++) {
		refs[i] = all[i * IN_POOL];
		memset(at(heap, refs[i]), i, BLOCK);
	}
	free(all);
}

FIXTURE(idle) {
	struct heap heap;
	__u64 refs[POOLS];
};

FIXTURE_SETUP(idle)
{
	self->heap = HEAP(.window = 64 * ARENA);
	set_no_rounds(&self->heap);
	fill(&self->heap, self->refs, POOLS);
}

FIXTURE_TEARDOWN(idle)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

TEST_F(idle, is_not_known_unless_asked_for)
{
	__u64 before = heap_stats(&self->heap).meta_bytes;

	EXPECT_FALSE(is_looking(&self->heap));
	EXPECT_EQ(PYMALLOC_NO_IDLE, idle_of(&self->heap, self->refs[0]));
	end_looking(&self->heap);
	EXPECT_EQ(before, heap_stats(&self->heap).meta_bytes);
	look(&self->heap);
	EXPECT_TRUE(is_looking(&self->heap));
	EXPECT_NE(PYMALLOC_NO_IDLE, idle_of(&self->heap, self->refs[0]));
	/* A page for each 4 MiB, and a little for the heap. */
	EXPECT_LE(before + POOL, heap_stats(&self->heap).meta_bytes);
	EXPECT_GT(before + 2 * POOL, heap_stats(&self->heap).meta_bytes);
	end_looking(&self->heap);
	EXPECT_FALSE(is_looking(&self->heap));
	EXPECT_EQ(PYMALLOC_NO_IDLE, idle_of(&self->heap, self->refs[0]));
	EXPECT_GT(before + POOL, heap_stats(&self->heap).meta_bytes);
}

TEST_F(idle, bad_calls)
{
	int readonly = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);

	ASSERT_LE(0, readonly);
	EXPECT_EQ(-EBADF, TRY_TRACE(readonly, .flags = PYMALLOC_TRACE_IDLE));
	EXPECT_EQ(-EBADF, TRY_TRACE(readonly, .flags = PYMALLOC_TRACE_NO_IDLE));
	EXPECT_EQ(-EINVAL, TRY_TRACE(self->heap.fd, .flags = PYMALLOC_TRACE_IDLE |
							     PYMALLOC_TRACE_NO_IDLE));
	EXPECT_EQ(-EINVAL, TRY_TRACE(self->heap.fd, .flags = PYMALLOC_TRACE_IDLE |
							     PYMALLOC_TRACE_SET));
	EXPECT_FALSE(is_looking(&self->heap));
	close(readonly);
}

TEST_F(idle, leaves_the_trace_alone)
{
	struct pymalloc_trace arg = ARG(trace, .flags = PYMALLOC_TRACE_SET,
					.mode = PYMALLOC_TRACE_EXACT);

	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_TRACE, &arg));
	arg = (struct pymalloc_trace)ARG(trace, .flags = PYMALLOC_TRACE_IDLE);
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_TRACE, &arg));
	EXPECT_EQ(PYMALLOC_TRACE_EXACT, arg.mode);
	EXPECT_EQ(1, arg.generation);
	EXPECT_EQ(1, arg.idle);
}

TEST_F(idle, pages_that_are_touched_are_told_from_others)
{
	look(&self->heap);
	for (__u32 i = 0; i < POOLS; i++)
		wait_until_idle(&self->heap, self->refs[i]);
	for (__u32 i = 0; i < POOLS; i += 3)
		ASSERT_EQ(0, touch(at(&self->heap, self->refs[i]), i % 2));
	for (__u32 i = 0; i < POOLS; i++) {
		EXPECT_EQ(i % 3 != 0, is_idle(&self->heap, self->refs[i])) TH_LOG("%u", i);
	}
	/* What has been touched before the next look is idle from then on. */
	look(&self->heap);
	for (__u32 i = 0; i < POOLS; i += 3)
		wait_until_idle(&self->heap, self->refs[i]);
	for (__u32 i = 0; i + 1 < POOLS; i += 3) {
		__u32 idle = idle_of(&self->heap, self->refs[i]);

		EXPECT_LT(idle, idle_of(&self->heap, self->refs[i + 1])) TH_LOG("%u", i);
	}
}

TEST_F(idle, blocks_share_the_age_of_their_page)
{
	struct pymalloc_site_info blocks[POOLS * IN_POOL];
	struct pymalloc_walk arg = ARG(walk, .what = PYMALLOC_WALK_SITES,
				       .entries = user_ptr(blocks),
				       .count = ARRAY_SIZE(blocks),
				       .entry_size = sizeof(*blocks));

	look(&self->heap);
	wait_until_idle(&self->heap, self->refs[POOLS - 1]);
	ASSERT_EQ(0, touch(at(&self->heap, self->refs[7] + POOL - 1), false));
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg));
	ASSERT_EQ(POOLS * IN_POOL, arg.done);
	for (__u32 i = 0; i < arg.done; i++)
		EXPECT_EQ(blocks[i].ref / POOL == self->refs[7] / POOL, !blocks[i].idle);
}

TEST_F(idle, new_pages_are_young)
{
	__u64 refs[POOLS];

	look(&self->heap);
	wait_until_idle(&self->heap, self->refs[0]);
	fill(&self->heap, refs, POOLS);
	for (__u32 i = 0; i < POOLS; i++) {
		EXPECT_FALSE(is_idle(&self->heap, refs[i])) TH_LOG("%u", i);
	}
	EXPECT_TRUE(is_idle(&self->heap, self->refs[0]));
	look(&self->heap);
	wait_until_idle(&self->heap, refs[POOLS - 1]);
}

TEST_F(idle, a_pool_that_comes_again_is_young)
{
	__u64 refs[POOLS * IN_POOL], ref;

	alloc(&self->heap, BLOCK, refs, ARRAY_SIZE(refs));
	for (__u32 i = 0; i < ARRAY_SIZE(refs); i++)
		memset(at(&self->heap, refs[i]), 1, BLOCK);
	look(&self->heap);
	free_all(&self->heap, refs, ARRAY_SIZE(refs));
	/* Some keep their pages, others lose them. */
	look(&self->heap);
	heap_trim(&self->heap);
	look(&self->heap);
	alloc(&self->heap, 64, refs, ARRAY_SIZE(refs));
	ref = refs[ARRAY_SIZE(refs) - 1];
	look(&self->heap);
	for (__u32 i = 0; i < ARRAY_SIZE(refs); i++)
		ASSERT_EQ(0, touch(at(&self->heap, refs[i]), true));
	for (__u32 i = 0; i < ARRAY_SIZE(refs); i++) {
		ASSERT_EQ(0, idle_of(&self->heap, refs[i])) TH_LOG("%u", i);
	}
	look(&self->heap);
	wait_until_idle(&self->heap, ref);
}

TEST_F(idle, a_large_object_is_as_young_as_its_youngest_page)
{
	__u64 run = alloc_one(&self->heap, 200 * POOL);

	memset(at(&self->heap, run), 1, 200 * POOL);
	look(&self->heap);
	wait_until_idle(&self->heap, run);
	ASSERT_EQ(0, touch(at(&self->heap, run + 150 * POOL), false));
	EXPECT_EQ(0, idle_of(&self->heap, run));
	look(&self->heap);
	wait_until_idle(&self->heap, run);
}

/* The kernel reads it for the process, another process reads it, and a debugger writes it. */
TEST_F(idle, others_touch_it_too)
{
	struct heap *heap = &self->heap;
	int memory, fds[2];
	pid_t child;
	char byte;

	look(heap);
	wait_until_idle(heap, self->refs[POOLS - 1]);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(1, write(fds[1], at(heap, self->refs[10]), 1));
	IN_CHILD(child,
		struct iovec to = { &byte, 1 };
		struct iovec from = { at(heap, self->refs[20]), 1 };

		ASSERT_EQ(1, process_vm_readv(getppid(), &to, 1, &from, 1, 0)));
	join_child(_metadata, child);
	memory = open("/proc/self/mem", O_RDWR);
	ASSERT_LE(0, memory);
	ASSERT_EQ(1, pwrite(memory, "x", 1, user_ptr(at(heap, self->refs[30]))));
	close(memory);
	for (__u32 i = 0; i < POOLS; i++) {
		EXPECT_EQ(i != 10 && i != 20 && i != 30, is_idle(heap, self->refs[i]))
			TH_LOG("%u", i);
	}
}

TEST_F(idle, others_of_the_user_have_it_look)
{
	pid_t child;

	IN_CHILD(child,
		int fd = heap_open(_metadata, self->heap.id, 0);

		ASSERT_LE(0, fd);
		EXPECT_EQ(0, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_IDLE)));
	join_child(_metadata, child);
	EXPECT_TRUE(is_looking(&self->heap));
	wait_until_idle(&self->heap, self->refs[0]);
	/* Another user can neither begin nor see it. */
	IN_CHILD(child,
		ASSERT_EQ(0, setresuid(4321, 4321, 4321));
		EXPECT_EQ(-EPERM, heap_open(_metadata, self->heap.id, 0));
		EXPECT_EQ(-EPERM, heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY)));
	join_child(_metadata, child);
}

/* A child looks at its own pages. Those of its parent do not become younger by it. */
TEST_F(idle, fork)
{
	pid_t child;

	look(&self->heap);
	IN_CHILD(child,
		struct heap own = self->heap;
		struct pymalloc_open open = ARG(open, .flags = PYMALLOC_OPEN_MAPPED,
						.id = user_ptr(self->heap.window));
		int device = device_open(_metadata);

		own.fd = call(device, PYMALLOC_IOC_OPEN, &open);
		ASSERT_LE(0, own.fd);
		EXPECT_TRUE(is_looking(&own));
		EXPECT_EQ(PYMALLOC_NO_IDLE, idle_of(&own, self->refs[0]));
		look(&own);
		for (__u32 i = 0; i < POOLS; i += 2)
			ASSERT_EQ(0, touch(at(&own, self->refs[i]), i % 4));
		wait_until_idle(&own, self->refs[1]);
		for (__u32 i = 0; i < POOLS; i++) {
			EXPECT_EQ(i % 2, is_idle(&own, self->refs[i])) TH_LOG("%u", i);
		}
		heap_check(&own));
	join_child(_metadata, child);
	for (__u32 i = 0; i < POOLS; i++)
		wait_until_idle(&self->heap, self->refs[i]);
	/* Pages that may still be shared are mapped for reading first. */
	ASSERT_EQ(0, touch(at(&self->heap, self->refs[3]), false));
	ASSERT_EQ(0, touch(at(&self->heap, self->refs[5]), true));
	for (__u32 i = 0; i < POOLS; i++) {
		EXPECT_EQ(i != 3 && i != 5, is_idle(&self->heap, self->refs[i])) TH_LOG("%u", i);
	}
}

/* A write to a page that a relative has, too, and that is mapped already. */
TEST_F(idle, writes_while_a_child_lives)
{
	struct gate gate = gate_new(_metadata);
	pid_t child;

	look(&self->heap);
	IN_CHILD(child, gate_wait(_metadata, &gate));
	for (__u32 i = 0; i < POOLS; i += 2)
		ASSERT_EQ(0, touch(at(&self->heap, self->refs[i]), false));
	look(&self->heap);
	wait_until_idle(&self->heap, self->refs[POOLS - 2]);
	for (__u32 i = 0; i < POOLS; i += 4) {
		ASSERT_EQ(0, touch(at(&self->heap, self->refs[i]), false));
		ASSERT_EQ(0, touch(at(&self->heap, self->refs[i]), true));
		ASSERT_EQ(0, touch(at(&self->heap, self->refs[i + 1]), true));
	}
	for (__u32 i = 0; i < POOLS; i++) {
		EXPECT_EQ(i % 4 > 1, is_idle(&self->heap, self->refs[i])) TH_LOG("%u", i);
	}
	gate_open(_metadata, &gate);
	join_child(_metadata, child);
}

/* Pools that share a page are seen apart: the window shows each at its own address. */
TEST_F(idle, faces)
{
	struct marked blocks[POOLS];
	__u32 kept = leave_few(&self->heap, blocks, 256, 64, 1);

	ASSERT_LT(0, heap_mesh(&self->heap).pages_freed);
	look(&self->heap);
	wait_until_idle(&self->heap, blocks[kept - 1].ref);
	ASSERT_EQ(0, touch(at(&self->heap, blocks[5].ref), true));
	for (__u32 i = 0; i < kept; i++) {
		EXPECT_EQ(i != 5, is_idle(&self->heap, blocks[i].ref)) TH_LOG("%u", i);
	}
}

TEST_F(idle, windows)
{
	struct heap *heap = &self->heap;
	char *second;

	look(heap);
	wait_until_idle(heap, self->refs[POOLS - 1]);
	second = mmap(NULL, heap->bytes, PROT_READ, MAP_SHARED, heap->fd, 0);
	ASSERT_NE(MAP_FAILED, second);
	/* Through either of them, or both. */
	ASSERT_EQ(0, touch(second + self->refs[1], false));
	ASSERT_EQ(0, touch(second + self->refs[2], false));
	ASSERT_EQ(0, touch(at(heap, self->refs[2]), false));
	ASSERT_EQ(0, touch(at(heap, self->refs[3]), false));
	for (__u32 i = 0; i < POOLS; i++) {
		EXPECT_EQ(!i || i > 3, is_idle(heap, self->refs[i])) TH_LOG("%u", i);
	}
	look(heap);
	for (__u32 i = 0; i < POOLS; i++)
		wait_until_idle(heap, self->refs[i]);
	ASSERT_EQ(0, touch(second + self->refs[1], false));
	EXPECT_FALSE(is_idle(heap, self->refs[1]));
	/* To unmap a page, or to map it elsewhere, is not to touch it. */
	ASSERT_EQ(0, munmap(second, heap->bytes));
	ASSERT_EQ(0, munmap(at(heap, self->refs[POOLS / 2] & -POOL), POOL));
	EXPECT_TRUE(is_idle(heap, self->refs[POOLS / 2]));
	look(heap);
	wait_until_idle(heap, self->refs[1]);
}

TEST_F(idle, has_room_or_is_off)
{
	struct pymalloc_stats stats;
	struct heap heap = HEAP(.window = 64 * ARENA, .limit = 1 << 20);
	__u64 ref;

	/* All that is left becomes pages. */
	for (__u32 size = 64 * POOL; size > BLOCK; size /= 2) {
		struct pymalloc_alloc arg = ARG(alloc, .size = size, .refs = user_ptr(&ref),
						.count = 1);

		while (!call(heap.fd, PYMALLOC_IOC_ALLOC, &arg))
			;
	}
	stats = heap_stats(&heap);
	EXPECT_EQ(-ENOMEM, TRY_TRACE(heap.fd, .flags = PYMALLOC_TRACE_IDLE));
	EXPECT_FALSE(is_looking(&heap));
	EXPECT_EQ(PYMALLOC_NO_IDLE, idle_of(&heap, ref));
	EXPECT_GE(stats.meta_bytes + 256, heap_stats(&heap).meta_bytes);
	heap_check(&heap);
	heap_close(&heap);
}

TEST_F(idle, the_heap_looks_by_itself)
{
	look(&self->heap);
	ASSERT_EQ(0, touch(at(&self->heap, self->refs[0]), false));
	POLICY(&self->heap, .flags = PYMALLOC_POLICY_SET, .off = POLICY_NOTHING,
	       .decay_ms = PYMALLOC_DECAY_MS_MIN);
	wait_until_idle(&self->heap, self->refs[0]);
	/* Also where nobody has looked before. */
	alloc(&self->heap, BLOCK, self->refs, 1);
	memset(at(&self->heap, self->refs[0]), 1, BLOCK);
	wait_until_idle(&self->heap, self->refs[0]);
	self->refs[1] = alloc_one(&self->heap, 16 * ARENA);
	wait_until_idle(&self->heap, self->refs[1]);
}

TEST_F(idle, nothing_of_it_is_kept_of_the_dead)
{
	__u64 before = service_info(_metadata).user_bytes, id;
	struct pymalloc_forget forget = ARG(forget, .flags = PYMALLOC_FORGET_ALL);
	int fds[2], fd, device = device_open(_metadata);
	pid_t child;

	ASSERT_EQ(0, pipe(fds));
	IN_CHILD(child,
		struct heap own = HEAP(.flags = PYMALLOC_CREATE_KEEP_DEAD);

		alloc_one(&own, 32);
		look(&own);
		ASSERT_EQ(sizeof(own.id), write(fds[1], &own.id, sizeof(own.id)));
		raise(SIGKILL));
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	ASSERT_EQ(sizeof(id), read(fds[0], &id, sizeof(id)));
	EXPECT_TRUE(EVENTUALLY((fd = heap_open(_metadata, id, PYMALLOC_OPEN_RDONLY)) >= 0));
	self->heap.fd = fd;
	EXPECT_EQ(-EBADF, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_IDLE));
	EXPECT_FALSE(is_looking(&self->heap));
	close(fd);
	ASSERT_EQ(0, call(device, PYMALLOC_IOC_FORGET, &forget));
	EXPECT_TRUE(EVENTUALLY(service_info(_metadata).user_bytes <= before));
	self->heap = HEAP();
}

/*
 * A page that is in use never looks idle, whatever races with the looks. Threads go round
 * all pages; whenever they have been round once since a look, no page may be idle.
 */
#define THREADS	3

struct busy {
	struct heap *heap;
	const __u64 *refs;
	__u32 lost;
	unsigned long rounds;
	bool stop;
};

static void *use(void *arg)
{
	struct busy *busy = arg;

	while (!__atomic_load_n(&busy->stop, __ATOMIC_RELAXED)) {
		for (__u32 i = 0; i < POOLS; i++) {
			volatile char *block = at(busy->heap, busy->refs[i]);

			/* Now for reading, now for writing. */
			if (busy->rounds % 2)
				busy->lost += *block != (char)i;
			else
				*block = i;
		}
		__atomic_fetch_add(&busy->rounds, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void busy_begin(struct busy *busy, pthread_t *threads, struct heap *heap,
		       const __u64 *refs)
{
	struct __test_metadata *_metadata = heap->test;

	for (int i = 0; i < THREADS; i++) {
		busy[i] = (struct busy){ .heap = heap, .refs = refs };
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, use, &busy[i]));
	}
}

static void busy_wait(struct busy *busy)
{
	unsigned long rounds = __atomic_load_n(&busy->rounds, __ATOMIC_SEQ_CST);

	/* The round that goes on may have begun before. */
	while (__atomic_load_n(&busy->rounds, __ATOMIC_SEQ_CST) < rounds + 2)
		sched_yield();
}

static void busy_end(struct busy *busy, pthread_t *threads, struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;

	for (int i = 0; i < THREADS; i++)
		__atomic_store_n(&busy[i].stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, busy[i].lost);
	}
}

/* How many of the pages are marked: as idle now, or as idle from a second on. */
static __u32 count_marked(struct heap *heap, const __u64 *refs)
{
	__u32 marked = 0;

	for (__u32 i = 0; i < POOLS; i++)
		marked += is_idle(heap, refs[i]);
	return marked;
}

TEST_F(idle, what_is_used_is_never_idle)
{
	pthread_t threads[THREADS];
	struct busy busy[THREADS];
	__u64 unused = alloc_one(&self->heap, 48);

	memset(at(&self->heap, unused), 1, 48);
	busy_begin(busy, threads, &self->heap, self->refs);
	for (int i = 0; i < 300; i++)
		look(&self->heap);
	busy_wait(&busy[0]);
	/* What were mapped and marked would be idle as soon as this is. */
	look(&self->heap);
	busy_wait(&busy[0]);
	wait_until_idle(&self->heap, unused);
	EXPECT_EQ(0, count_marked(&self->heap, self->refs));
	busy_end(busy, threads, &self->heap);
}

TEST_F(idle, what_is_used_is_never_idle_while_children_come_and_go)
{
	pthread_t threads[THREADS];
	struct busy busy[THREADS];
	__u64 unused = alloc_one(&self->heap, 48);
	pid_t child;

	memset(at(&self->heap, unused), 1, 48);
	look(&self->heap);
	busy_begin(busy, threads, &self->heap, self->refs);
	for (int i = 0; i < 20; i++) {
		IN_CHILD(child, EXPECT_EQ(0, touch(at(&self->heap, self->refs[i]), true)));
		look(&self->heap);
		join_child(_metadata, child);
		look(&self->heap);
	}
	busy_wait(&busy[0]);
	wait_until_idle(&self->heap, unused);
	EXPECT_EQ(0, count_marked(&self->heap, self->refs));
	busy_end(busy, threads, &self->heap);
}

/* Other calls, in a thread of their own, until it is told to stop. */
static void *churn(void *arg)
{
	struct busy *busy = arg;
	__u64 refs[512];

	while (!__atomic_load_n(&busy->stop, __ATOMIC_RELAXED)) {
		struct pymalloc_alloc take = ARG(alloc, .size = 64 + busy->rounds % 8 * 48,
						 .refs = user_ptr(refs), .count = 512);
		struct pymalloc_free give = ARG(free, .refs = user_ptr(refs));
		struct pymalloc_compact compact = ARG(compact);

		busy->lost += call(busy->heap->fd, PYMALLOC_IOC_ALLOC, &take) != 0;
		for (__u32 i = 0; i < take.done; i++)
			*(volatile __u64 *)at(busy->heap, refs[i]) = refs[i];
		give.count = take.done;
		for (__u32 i = 0; i < take.done; i++)
			busy->lost += *(volatile __u64 *)at(busy->heap, refs[i]) != refs[i];
		busy->lost += call(busy->heap->fd, PYMALLOC_IOC_FREE, &give) != 0;
		if (busy->rounds++ % 16 == 0)
			busy->lost += call(busy->heap->fd, PYMALLOC_IOC_COMPACT, &compact) != 0;
	}
	return NULL;
}

TEST_F(idle, looks_race_with_all_that_moves_pages)
{
	struct busy busy = { .heap = &self->heap };
	pthread_t thread;

	POLICY(&self->heap, .flags = PYMALLOC_POLICY_SET, .decay_ms = PYMALLOC_DECAY_MS_MIN);
	ASSERT_EQ(0, pthread_create(&thread, NULL, churn, &busy));
	for (int i = 0; i < 200; i++) {
		look(&self->heap);
		is_idle(&self->heap, self->refs[i % POOLS]);
		if (i % 8 == 0)
			end_looking(&self->heap);
	}
	__atomic_store_n(&busy.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, busy.lost);
}

/* The process is killed while another one has its heap look. */
TEST_F(idle, looks_race_with_death)
{
	__u64 before = service_info(_metadata).user_bytes;

	for (int i = 0; i < 5; i++) {
		int fds[2], fd, err;
		pid_t child;
		__u64 id;

		ASSERT_EQ(0, pipe(fds));
		IN_CHILD(child,
			struct heap own = HEAP(.window = 64 * ARENA);
			__u64 refs[POOLS];

			for (;;) {
				fill(&own, refs, POOLS);
				if (own.id)
					EXPECT_EQ(sizeof(id), write(fds[1], &own.id, sizeof(id)));
				if (heap_stats(&own).pools_full == 8 * POOLS)
					for (;;)
						memset(at(&own, refs[0]), 1, BLOCK);
			});
		ASSERT_EQ(sizeof(id), read(fds[0], &id, sizeof(id)));
		fd = heap_open(_metadata, id, 0);
		ASSERT_LE(0, fd);
		for (int j = 0; j < 20; j++)
			ASSERT_EQ(0, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_IDLE));
		kill(child, SIGKILL);
		do
			err = TRY_TRACE(fd, .flags = PYMALLOC_TRACE_IDLE);
		while (!err);
		EXPECT_EQ(-ESTALE, err);
		ASSERT_EQ(child, waitpid(child, NULL, 0));
		close(fd);
		close(fds[0]);
		close(fds[1]);
	}
	EXPECT_TRUE(EVENTUALLY(service_info(_metadata).user_bytes <= before));
}

TEST_HARNESS_MAIN
