// SPDX-License-Identifier: GPL-2.0
/* Types of objects: made, told of, shown, dropped, and whose memory is whose. */
#include <pthread.h>

#include "service.h"

#define SIZE	64
#define BLOCKS	5000
#define OF(number) ((number) << PYMALLOC_ALLOC_TYPE_SHIFT)

FIXTURE(types)
{
	struct heap heap;
	__u64 refs[BLOCKS];
};

FIXTURE_SETUP(types)
{
	self->heap = HEAP(.name = "typed");
}

FIXTURE_TEARDOWN(types)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static int types_call(int fd, struct pymalloc_types *arg)
{
	return call(fd, PYMALLOC_IOC_TYPES, arg);
}

#define TYPES(_op, ...) ((struct pymalloc_types)ARG(types, .op = PYMALLOC_TYPES_##_op, __VA_ARGS__))

static struct pymalloc_type_info own_pools(const char *name)
{
	struct pymalloc_type_info info = {
		.flags = PYMALLOC_TYPE_OWN_POOLS, .size = SIZE, .alignment = 8, .keep = 10,
	};

	memcpy(info.name, name, strlen(name));
	return info;
}

/* Returns the type's number, or -errno. */
static int make(int fd, const struct pymalloc_type_info *info)
{
	struct pymalloc_types arg = TYPES(MAKE, .infos = user_ptr(info),
					  .entry_size = sizeof(*info));
	int ret = types_call(fd, &arg);

	return ret ?: (int)arg.number;
}

static int drop(int fd, __u32 number)
{
	struct pymalloc_types arg = TYPES(DROP, .number = number);

	return types_call(fd, &arg);
}

/* Returns how many types there are, or -errno. */
static int read_types(int fd, struct pymalloc_type_info *infos, __u32 count)
{
	struct pymalloc_types arg = TYPES(READ, .infos = user_ptr(infos), .count = count,
					  .entry_size = sizeof(*infos));
	int ret = types_call(fd, &arg);

	return ret ?: (int)arg.done;
}

static int try_alloc(int fd, __u32 number, __u64 size, __u64 *refs, __u32 count)
{
	struct pymalloc_alloc arg = ARG(alloc, .flags = OF(number), .size = size,
					.refs = user_ptr(refs), .count = count);

	return call(fd, PYMALLOC_IOC_ALLOC, &arg);
}

TEST_F(types, are_made_and_shown)
{
	struct pymalloc_type_info info = own_pools("first"), all[3] = {};
	int fd = self->heap.fd;

	EXPECT_EQ(0, read_types(fd, all, 3));
	EXPECT_EQ(1, make(fd, &info));
	info = (struct pymalloc_type_info){ .size = 100, .alignment = 16, .name = "second" };
	EXPECT_EQ(2, make(fd, &info));
	ASSERT_EQ(2, read_types(fd, all, 3));
	EXPECT_EQ(1, all[0].number);
	EXPECT_STREQ("first", all[0].name);
	EXPECT_EQ(PYMALLOC_TYPE_OWN_POOLS, all[0].flags);
	EXPECT_EQ(SIZE, all[0].size);
	EXPECT_EQ(10, all[0].keep);
	EXPECT_EQ(2, all[1].number);
	EXPECT_STREQ("second", all[1].name);
	EXPECT_EQ(100, all[1].size);
	EXPECT_EQ(16, all[1].alignment);
	/* One after the other. */
	EXPECT_EQ(1, read_types(fd, all, 1));
	EXPECT_EQ(1, all[0].number);
	EXPECT_EQ(0, drop(fd, 1));
	EXPECT_EQ(-ENOENT, drop(fd, 1));
	EXPECT_EQ(1, read_types(fd, all, 3));
	EXPECT_EQ(2, all[0].number);
	EXPECT_EQ(1, make(fd, &info));
}

TEST_F(types, figures)
{
	struct pymalloc_type_info info = own_pools("told"), told = { .objects = 7, .kept = 3,
								      .constructed = 9 };
	struct pymalloc_types arg = TYPES(TELL, .number = 1, .infos = user_ptr(&told),
					  .entry_size = sizeof(told));
	int fd = self->heap.fd;

	ASSERT_EQ(1, make(fd, &info));
	EXPECT_EQ(0, types_call(fd, &arg));
	alloc_flags(&self->heap, SIZE, self->refs, 100, OF(1));
	ASSERT_EQ(1, read_types(fd, &info, 1));
	EXPECT_EQ(7, info.objects);
	EXPECT_EQ(3, info.kept);
	EXPECT_EQ(9, info.constructed);
	/* The kernel knows better. */
	EXPECT_EQ(100 * SIZE, info.bytes);
	EXPECT_EQ(2, info.pools);
	EXPECT_EQ(100, heap_stats(&self->heap).blocks);
	EXPECT_EQ(100 * SIZE, heap_stats(&self->heap).block_bytes);
	free_all(&self->heap, self->refs, 100);
	ASSERT_EQ(1, read_types(fd, &info, 1));
	EXPECT_EQ(0, info.bytes);
	EXPECT_EQ(0, info.pools);
	EXPECT_EQ(0, heap_stats(&self->heap).blocks);
	/* Of a type that shares the heap's pools it knows nothing. */
	info = (struct pymalloc_type_info){ .size = 20, .alignment = 8 };
	ASSERT_EQ(2, make(fd, &info));
	arg.number = 2;
	EXPECT_EQ(0, types_call(fd, &arg));
	arg = TYPES(READ, .number = 1, .infos = user_ptr(&info), .count = 1,
		    .entry_size = sizeof(info));
	EXPECT_EQ(0, types_call(fd, &arg));
	EXPECT_EQ(2, info.number);
	EXPECT_EQ(10 * 24, info.bytes);
	EXPECT_EQ(0, info.pools);
}

TEST_F(types, refuse)
{
	static const struct pymalloc_type_info wrong[] = {
		{ .size = 0, .alignment = 8 },
		{ .size = PYMALLOC_SIZE_MAX + 1, .alignment = 8 },
		{ .size = 513, .alignment = 8, .flags = PYMALLOC_TYPE_OWN_POOLS },
		{ .size = 8, .alignment = 0 },
		{ .size = 8, .alignment = 24 },
		{ .size = 8, .alignment = 8192 },
		{ .size = 8, .alignment = 1024, .flags = PYMALLOC_TYPE_OWN_POOLS },
		{ .size = 8, .alignment = 8, .flags = 2 },
		{ .size = 8, .alignment = 8, .number = 1 },
		{ .size = 8, .alignment = 8, .pools = 1 },
		{ .size = 8, .alignment = 8, .objects = 1 },
		{ .size = 8, .alignment = 8, .kept = 1 },
		{ .size = 8, .alignment = 8, .constructed = 1 },
		{ .size = 8, .alignment = 8, .bytes = 1 },
		{ .size = 8, .alignment = 8, .name = "\t" },
	};
	struct pymalloc_type_info info = own_pools("right"), unended = info;
	int fd = self->heap.fd;
	__u64 meta = heap_stats(&self->heap).meta_bytes;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		EXPECT_EQ(-EINVAL, make(fd, &wrong[i])) TH_LOG("%zu", i);
	}
	memset(unended.name, 'x', sizeof(unended.name));
	EXPECT_EQ(-EINVAL, make(fd, &unended));
	EXPECT_EQ(meta, heap_stats(&self->heap).meta_bytes);
	ASSERT_EQ(1, make(fd, &info));
	/* No such type, another size, and too large. */
	EXPECT_EQ(-EINVAL, try_alloc(fd, 2, SIZE, self->refs, 1));
	EXPECT_EQ(-EINVAL, try_alloc(fd, 255, SIZE, self->refs, 1));
	EXPECT_EQ(-EINVAL, try_alloc(fd, 1, SIZE - 1, self->refs, 1));
	EXPECT_EQ(-EINVAL, try_alloc(fd, 1, 1000, self->refs, 1));
	info = (struct pymalloc_type_info){ .size = SIZE, .alignment = 8 };
	ASSERT_EQ(2, make(fd, &info));
	EXPECT_EQ(-EINVAL, try_alloc(fd, 2, SIZE, self->refs, 1));
	EXPECT_EQ(0, heap_stats(&self->heap).blocks);
}

TEST_F(types, bad_arguments)
{
	struct pymalloc_type_info info = own_pools("any");
	struct pymalloc_types good = TYPES(MAKE, .infos = user_ptr(&info),
					   .entry_size = sizeof(info)), arg;
	struct pymalloc_type_info all[2];
	int fd = self->heap.fd;
	struct {
		struct pymalloc_type_info info;
		__u64 more;
	} longer = { .info = info };

	arg = TYPES(MAKE);
	arg.op = 0;
	EXPECT_EQ(-EINVAL, types_call(fd, &arg));
	arg.op = 5;
	EXPECT_EQ(-EINVAL, types_call(fd, &arg));
	arg = good;
	arg.number = 1;
	EXPECT_EQ(-EINVAL, types_call(fd, &arg));
	arg = good;
	arg.count = 1;
	EXPECT_EQ(-EINVAL, types_call(fd, &arg));
	arg = good;
	arg.infos = 1;
	EXPECT_EQ(-EFAULT, types_call(fd, &arg));
	arg = good;
	arg.entry_size = sizeof(info) - 1;
	EXPECT_EQ(-EINVAL, types_call(fd, &arg));
	arg.entry_size = 8192;
	EXPECT_EQ(-EINVAL, types_call(fd, &arg));
	arg.entry_size = sizeof(longer);
	arg.infos = user_ptr(&longer);
	EXPECT_EQ(0, types_call(fd, &arg));
	longer.more = 1;
	arg.number = 0;
	EXPECT_EQ(-E2BIG, types_call(fd, &arg));

	arg = TYPES(DROP, .number = 1, .entry_size = 1);
	EXPECT_EQ(-EINVAL, types_call(fd, &arg));
	EXPECT_EQ(-ENOENT, drop(fd, 0));
	EXPECT_EQ(-ENOENT, drop(fd, 2));
	EXPECT_EQ(-ENOENT, drop(fd, ~0U));
	arg = TYPES(TELL, .number = 1, .infos = user_ptr(&info), .entry_size = sizeof(info));
	EXPECT_EQ(-EINVAL, types_call(fd, &arg));
	info = (struct pymalloc_type_info){};
	EXPECT_EQ(0, types_call(fd, &arg));
	arg.number = 2;
	EXPECT_EQ(-ENOENT, types_call(fd, &arg));

	arg = TYPES(READ, .number = ~0U, .infos = user_ptr(all), .count = 2,
		    .entry_size = sizeof(*all));
	EXPECT_EQ(0, types_call(fd, &arg));
	EXPECT_EQ(0, arg.done);
	arg.number = 0;
	arg.count = PYMALLOC_BATCH_MAX + 1;
	EXPECT_EQ(-E2BIG, types_call(fd, &arg));
	arg.count = 2;
	arg.infos = 1;
	EXPECT_EQ(-EFAULT, types_call(fd, &arg));
	EXPECT_EQ(0, arg.done);
}

TEST_F(types, the_most)
{
	struct pymalloc_type_info info = own_pools("one of many");
	static struct pymalloc_type_info all[PYMALLOC_TYPES_MAX + 1];
	int fd = self->heap.fd;
	__u64 meta = heap_stats(&self->heap).meta_bytes;

	for (int i = 1; i <= PYMALLOC_TYPES_MAX; i++)
		ASSERT_EQ(i, make(fd, &info));
	EXPECT_EQ(-ENOSPC, make(fd, &info));
	EXPECT_EQ(meta + (1 + PYMALLOC_TYPES_MAX) * 2048, heap_stats(&self->heap).meta_bytes);
	EXPECT_EQ(PYMALLOC_TYPES_MAX, read_types(fd, all, PYMALLOC_TYPES_MAX + 1));
	/* Each has pools of its own. */
	for (int i = 1; i <= PYMALLOC_TYPES_MAX; i++)
		ASSERT_EQ(0, try_alloc(fd, i, SIZE, &self->refs[i], 1));
	EXPECT_EQ(PYMALLOC_TYPES_MAX, heap_stats(&self->heap).arenas);
	heap_check(&self->heap);
	free_all(&self->heap, self->refs + 1, PYMALLOC_TYPES_MAX);
	for (int i = 1; i <= PYMALLOC_TYPES_MAX; i++)
		ASSERT_EQ(0, drop(fd, i));
	heap_trim(&self->heap);
	EXPECT_EQ(0, heap_stats(&self->heap).arenas);
}

/* Are all refs in arenas from one number on, and all others in those before? */
static bool lie_above(const __u64 *refs, size_t nr, __u64 arena)
{
	for (size_t i = 0; i < nr; i++)
		if (refs[i] / ARENA < arena)
			return false;
	return true;
}

TEST_F(types, lie_where_nothing_was)
{
	struct pymalloc_type_info info = own_pools("apart");
	struct heap *heap = &self->heap;
	static __u64 others[BLOCKS];
	__u64 run;

	alloc(heap, 512, others, BLOCKS);
	run = alloc_one(heap, 2 * ARENA);
	free_one(heap, run);
	free_all(heap, others, BLOCKS);
	heap_trim(heap);
	EXPECT_EQ(0, heap_stats(heap).arenas);
	ASSERT_EQ(1, make(heap->fd, &info));
	alloc_flags(heap, SIZE, self->refs, BLOCKS, OF(1));
	EXPECT_TRUE(lie_above(self->refs, BLOCKS, run / ARENA + 2));
	for (int i = 0; i < BLOCKS; i++) {
		ASSERT_EQ(0, pool_map(heap, self->refs[i]));
		memset(at(heap, self->refs[i]), i, SIZE);
	}
	for (int i = 0; i < BLOCKS; i++)
		ASSERT_TRUE(is_filled(at(heap, self->refs[i]), i, SIZE));
	/* Frees are as exact as all. */
	EXPECT_EQ(PYMALLOC_REF_MISALIGNED, free_status(heap, self->refs[0] + 8));
	EXPECT_EQ(PYMALLOC_REF_OK, free_status(heap, self->refs[0]));
	EXPECT_EQ(PYMALLOC_REF_FREE, free_status(heap, self->refs[0]));
	EXPECT_EQ(SIZE, usable(heap, self->refs[1]));
	EXPECT_EQ(-EBUSY, drop(heap->fd, 1));
	free_all(heap, self->refs + 1, BLOCKS - 1);
	heap_trim(heap);
	/* The memory has gone, and the places are still the type's. */
	EXPECT_EQ(0, heap_stats(heap).page_bytes);
	EXPECT_LT(0, heap_stats(heap).arenas);
	alloc(heap, 512, others, BLOCKS);
	for (int i = 0; i < BLOCKS; i++)
		for (int j = 0; j < BLOCKS; j += 1000)
			ASSERT_NE(self->refs[j] / ARENA, others[i] / ARENA);
	EXPECT_EQ(0, drop(heap->fd, 1));
	free_all(heap, others, BLOCKS);
}

TEST_F(types, zeroed_and_pinned)
{
	struct pymalloc_type_info info = own_pools("zeroes");
	struct heap *heap = &self->heap;

	ASSERT_EQ(1, make(heap->fd, &info));
	alloc_flags(heap, SIZE, self->refs, 10, OF(1));
	for (int i = 0; i < 10; i++)
		memset(at(heap, self->refs[i]), 0xAA, SIZE);
	free_all(heap, self->refs, 10);
	alloc_flags(heap, SIZE, self->refs, 10, OF(1) | PYMALLOC_ALLOC_ZERO);
	for (int i = 0; i < 10; i++)
		EXPECT_TRUE(is_filled(at(heap, self->refs[i]), 0, SIZE));
	alloc_flags(heap, SIZE, self->refs + 10, 10, OF(1) | PYMALLOC_ALLOC_PINNED);
	heap_check(heap);
	free_all(heap, self->refs, 20);
}

TEST_F(types, by_read)
{
	struct pymalloc_type_info info = own_pools("streamed");
	struct {
		struct pymalloc_batch_head head;
		__u64 refs[10];
	} batch = { .head = { .size = SIZE, .flags = OF(1) } };
	struct heap *heap = &self->heap;

	ASSERT_EQ(1, make(heap->fd, &info));
	ASSERT_EQ(sizeof(batch), read(heap->fd, &batch, sizeof(batch)));
	ASSERT_EQ(1, read_types(heap->fd, &info, 1));
	EXPECT_EQ(10 * SIZE, info.bytes);
	free_all(heap, batch.refs, 10);
	batch.head.flags = OF(2);
	EXPECT_EQ(-1, read(heap->fd, &batch, sizeof(batch)));
	EXPECT_EQ(EINVAL, errno);
}

/* Grows its extent as a library does. */
TEST_F(types, extent_is_used_up)
{
	struct pymalloc_type_info info = own_pools("growing");
	struct heap heap = HEAP(.window = 1 << 24, .extent = 2 * ARENA);
	struct pymalloc_grow grow = ARG(grow, .extent = 3 * ARENA);
	int in_arena = ARENA / SIZE;

	ASSERT_EQ(1, make(heap.fd, &info));
	EXPECT_EQ(0, try_alloc(heap.fd, 1, SIZE, self->refs, in_arena));
	EXPECT_EQ(-ENOSPC, try_alloc(heap.fd, 1, SIZE, self->refs, 1));
	EXPECT_EQ(0, call(heap.fd, PYMALLOC_IOC_GROW, &grow));
	EXPECT_EQ(0, try_alloc(heap.fd, 1, SIZE, self->refs, in_arena));
	grow.extent = 1 << 24;
	EXPECT_EQ(0, call(heap.fd, PYMALLOC_IOC_GROW, &grow));
	while (!try_alloc(heap.fd, 1, SIZE, self->refs, in_arena))
		;
	EXPECT_EQ(-ENOMEM, try_alloc(heap.fd, 1, SIZE, self->refs, 1));
	heap_check(&heap);
	heap_close(&heap);
}

TEST_F(types, at_a_limit)
{
	struct pymalloc_type_info info = own_pools("limited");
	struct heap heap = HEAP(.limit = 1 << 20);
	int nr = 0, made = 0;
	__u64 ref;

	ASSERT_EQ(1, make(heap.fd, &info));
	while (!try_alloc(heap.fd, 1, SIZE, &ref, 1))
		nr++;
	EXPECT_EQ(-ENOMEM, try_alloc(heap.fd, 1, SIZE, &ref, 1));
	EXPECT_LT(10000, nr);
	while (make(heap.fd, &info) > 0)
		made++;
	EXPECT_EQ(-ENOMEM, make(heap.fd, &info));
	EXPECT_GT(PYMALLOC_TYPES_MAX / 2, made);
	heap_check(&heap);
	heap_close(&heap);
}

TEST_F(types, belong_to_their_process)
{
	struct pymalloc_type_info info = own_pools("private");
	struct pymalloc_types arg = TYPES(TELL, .number = 1, .infos = user_ptr(&info),
					  .entry_size = sizeof(info));
	int reader = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);
	int parents = self->heap.fd;
	pid_t child;

	ASSERT_EQ(1, make(parents, &info));
	EXPECT_EQ(-EBADF, make(reader, &info));
	EXPECT_EQ(-EBADF, drop(reader, 1));
	EXPECT_EQ(-EBADF, types_call(reader, &arg));
	EXPECT_EQ(1, read_types(reader, &info, 1));
	EXPECT_STREQ("private", info.name);
	info = own_pools("private");
	IN_CHILD(child, {
		int other = heap_open(_metadata, self->heap.id, 0);

		EXPECT_EQ(-EPERM, make(other, &info));
		EXPECT_EQ(-EPERM, drop(other, 1));
		EXPECT_EQ(-EPERM, types_call(other, &arg));
		EXPECT_EQ(1, read_types(other, &info, 1));
	});
	join_child(_metadata, child);
	close(reader);
}

TEST_F(types, in_a_child)
{
	struct pymalloc_type_info info = own_pools("inherited"), both[2];
	struct heap *heap = &self->heap;
	__u64 first, before = 0;
	pid_t child;

	ASSERT_EQ(1, make(heap->fd, &info));
	ASSERT_EQ(2, make(heap->fd, &info));
	alloc_flags(heap, SIZE, self->refs, 100, OF(1));
	for (int i = 0; i < 100; i++)
		memset(at(heap, self->refs[i]), i, SIZE);
	/* The second type has an arena, and nothing in it. */
	ASSERT_EQ(0, try_alloc(heap->fd, 2, SIZE, &first, 1));
	free_one(heap, first);
	IN_CHILD(child, {
		int own = heap_open(_metadata, user_ptr(heap->window), PYMALLOC_OPEN_MAPPED);

		ASSERT_LE(0, own);
		heap->fd = own;
		ASSERT_EQ(2, read_types(own, both, 2));
		EXPECT_EQ(100 * SIZE, both[0].bytes);
		EXPECT_STREQ("inherited", both[1].name);
		heap_check(heap);
		for (int i = 0; i < 100; i++)
			EXPECT_TRUE(is_filled(at(heap, self->refs[i]), i, SIZE));
		EXPECT_EQ(-EBUSY, drop(own, 1));
		/* Where its objects have been, nothing else comes in the child, either. */
		for (int i = 0; i < BLOCKS; i++) {
			before = alloc_one(heap, 512);
			ASSERT_NE(first / ARENA, before / ARENA);
		}
		alloc_flags(heap, SIZE, &before, 1, OF(2));
		EXPECT_EQ(first / ARENA, before / ARENA);
		free_all(heap, self->refs, 100);
		EXPECT_EQ(0, drop(own, 1));
		heap_check(heap);
	});
	join_child(_metadata, child);
	ASSERT_EQ(2, read_types(heap->fd, both, 2));
	EXPECT_EQ(100 * SIZE, both[0].bytes);
	free_all(heap, self->refs, 100);
}

TEST_F(types, sealed)
{
	struct pymalloc_type_info info = own_pools("sealed");
	struct pymalloc_seal seal = ARG(seal);
	int fd = self->heap.fd;

	ASSERT_EQ(1, make(fd, &info));
	ASSERT_EQ(0, try_alloc(fd, 1, SIZE, self->refs, 1));
	ASSERT_EQ(0, call(fd, PYMALLOC_IOC_SEAL, &seal));
	EXPECT_EQ(-EPERM, make(fd, &info));
	EXPECT_EQ(-EPERM, drop(fd, 1));
	EXPECT_EQ(-EPERM, try_alloc(fd, 1, SIZE, self->refs, 1));
	EXPECT_EQ(1, read_types(fd, &info, 1));
	EXPECT_EQ(SIZE, info.bytes);
}

/* Of a heap that has died, too, one can see them. */
TEST_F(types, of_the_dead)
{
	struct pymalloc_type_info info = {};
	int pipes[2], dead;
	pid_t child;
	__u64 id;

	ASSERT_EQ(0, pipe(pipes));
	IN_CHILD(child, {
		struct pymalloc_type_info left = own_pools("left");
		struct heap heap = HEAP(.flags = PYMALLOC_CREATE_KEEP_DEAD);
		__u64 refs[50];

		ASSERT_EQ(1, make(heap.fd, &left));
		alloc_flags(&heap, SIZE, refs, 50, OF(1));
		ASSERT_EQ(sizeof(heap.id), write(pipes[1], &heap.id, sizeof(heap.id)));
	});
	join_child(_metadata, child);
	ASSERT_EQ(sizeof(id), read(pipes[0], &id, sizeof(id)));
	ASSERT_TRUE(EVENTUALLY((dead = heap_open(_metadata, id, PYMALLOC_OPEN_RDONLY)) >= 0));
	EXPECT_EQ(1, read_types(dead, &info, 1));
	EXPECT_STREQ("left", info.name);
	EXPECT_EQ(50 * SIZE, info.bytes);
	EXPECT_EQ(-EBADF, drop(dead, 1));
	close(dead);
	close(pipes[0]);
	close(pipes[1]);
}

#define THREADS	4
#define ROUNDS	200

struct worker {
	struct heap *heap;
	pthread_t thread;
	int wrong;
};

/* Makes a type, uses it and drops it, as others do. */
static void *come_and_go(void *arg)
{
	struct worker *worker = arg;
	struct pymalloc_type_info info = own_pools("short");
	__u64 refs[300];
	int fd = worker->heap->fd;

	for (int i = 0; i < ROUNDS && !worker->wrong; i++) {
		int number = make(fd, &info);

		worker->wrong = number < 0 || try_alloc(fd, number, SIZE, refs, 300);
		if (worker->wrong)
			break;
		free_all(worker->heap, refs, 300);
		worker->wrong = drop(fd, number);
		if (i % 50 == 0)
			heap_check(worker->heap);
	}
	return NULL;
}

TEST_F(types, by_many_threads)
{
	struct worker workers[THREADS] = {};
	struct pymalloc_type_info info;

	for (int i = 0; i < THREADS; i++) {
		workers[i].heap = &self->heap;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, come_and_go, &workers[i]));
	}
	for (int i = 0; i < ROUNDS; i++) {
		heap_trim(&self->heap);
		EXPECT_LE(0, read_types(self->heap.fd, &info, 1));
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_EQ(0, workers[i].wrong);
	}
	EXPECT_EQ(0, read_types(self->heap.fd, &info, 1));
}

/* Somebody allocates while somebody else drops the type: the one or the other is refused. */
static void *allocate_always(void *arg)
{
	struct worker *worker = arg;
	__u64 refs[100];

	while (!__atomic_load_n(&worker->wrong, __ATOMIC_RELAXED))
		if (!try_alloc(worker->heap->fd, 1, SIZE, refs, 100))
			free_all(worker->heap, refs, 100);
	return NULL;
}

TEST_F(types, dropped_in_use)
{
	struct worker worker = { .heap = &self->heap };
	struct pymalloc_type_info info = own_pools("contested");
	int dropped = 0, busy = 0;

	ASSERT_EQ(0, pthread_create(&worker.thread, NULL, allocate_always, &worker));
	while (dropped < 50) {
		int ret;

		make(self->heap.fd, &info);
		ret = drop(self->heap.fd, 1);
		dropped += !ret;
		busy += ret == -EBUSY;
		if (ret && ret != -EBUSY)
			break;
		if (ret)
			sched_yield();
	}
	EXPECT_EQ(50, dropped);
	__atomic_store_n(&worker.wrong, 1, __ATOMIC_RELAXED);
	pthread_join(worker.thread, NULL);
}

/* Its parent's highest arenas have gone, and with them regions that the child never had. */
TEST_F(types, in_a_child_of_a_heap_that_was_larger)
{
	struct heap *heap = &self->heap;
	struct pymalloc_type_info info = own_pools("late");
	static __u64 many[4][50000];
	pid_t child;
	__u64 ref;

	for (int i = 0; i < 4; i++)
		alloc(heap, 512, many[i], ARRAY_SIZE(many[i]));
	for (int i = 0; i < 4; i++)
		free_all(heap, many[i], ARRAY_SIZE(many[i]));
	heap_trim(heap);
	IN_CHILD(child, {
		heap->fd = heap_open(_metadata, user_ptr(heap->window), PYMALLOC_OPEN_MAPPED);
		ASSERT_LE(0, heap->fd);
		ASSERT_EQ(1, make(heap->fd, &info));
		EXPECT_EQ(0, try_alloc(heap->fd, 1, SIZE, &ref, 1));
		heap_check(heap);
	});
	join_child(_metadata, child);
}

TEST_HARNESS_MAIN
