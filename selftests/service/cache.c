// SPDX-License-Identifier: GPL-2.0
/*
 * CACHE: the pages in which threads keep magazines, without the library. What the
 * library does with them, and what is stolen from it, is tested with the library.
 */
#include <pthread.h>

#include "relatives.h"

#define INDEX	3
#define SLOTS	(POOL / sizeof(__u64))

static int try_cache(int fd, __u32 op, __u32 index, __u32 first, __u32 count)
{
	struct pymalloc_cache arg = ARG(cache, .op = op, .index = index, .first = first,
					.count = count);

	return call(fd, PYMALLOC_IOC_CACHE, &arg);
}

static int make(struct heap *heap, __u32 count)
{
	return try_cache(heap->fd, PYMALLOC_CACHE_MAKE, INDEX, 0, count);
}

static int slots(struct heap *heap, __u32 first, __u32 count)
{
	return try_cache(heap->fd, PYMALLOC_CACHE_SLOTS, INDEX, first, count);
}

static int drop(struct heap *heap, __u32 first, __u32 count)
{
	return try_cache(heap->fd, PYMALLOC_CACHE_DROP, INDEX, first, count);
}

static int end(struct heap *heap)
{
	return try_cache(heap->fd, PYMALLOC_CACHE_END, INDEX, 0, 0);
}

static __u64 steal(struct heap *heap, __u32 flags)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_cache arg = ARG(cache, .op = PYMALLOC_CACHE_STEAL, .flags = flags);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_CACHE, &arg));
	return arg.stolen;
}

static struct pymalloc_cache_header *map_header(struct heap *heap, __u64 index)
{
	struct __test_metadata *_metadata = heap->test;
	void *header = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd,
			    PYMALLOC_CACHES_OFFSET + index * POOL);

	ASSERT_NE(MAP_FAILED, header);
	return header;
}

static __u64 *map_slots(struct heap *heap, __u64 index)
{
	struct __test_metadata *_metadata = heap->test;
	void *slots = mmap(NULL, PYMALLOC_CACHE_PAGES * POOL, PROT_READ | PROT_WRITE, MAP_SHARED,
			   heap->fd, PYMALLOC_SLOTS_OFFSET + index * PYMALLOC_CACHE_PAGES * POOL);

	ASSERT_NE(MAP_FAILED, slots);
	return slots;
}

FIXTURE(cache) {
	struct heap heap;
	struct pymalloc_cache_header *header;
	__u64 *slots;
	__u64 meta;
};

FIXTURE_SETUP(cache)
{
	self->heap = HEAP();
	/* The struct for caches and their table stay with the heap. */
	ASSERT_EQ(0, make(&self->heap, 0));
	ASSERT_EQ(0, end(&self->heap));
	self->meta = heap_stats(&self->heap).meta_bytes;
	self->header = map_header(&self->heap, INDEX);
	self->slots = map_slots(&self->heap, INDEX);
}

FIXTURE_TEARDOWN(cache)
{
	heap_check(&self->heap);
	munmap(self->header, POOL);
	munmap(self->slots, PYMALLOC_CACHE_PAGES * POOL);
	heap_close(&self->heap);
}

static __u64 *slot_page(FIXTURE_DATA(cache) *self, __u32 number)
{
	return self->slots + number * SLOTS;
}

TEST_F(cache, bad_arguments)
{
	struct pymalloc_cache flags = ARG(cache, .op = PYMALLOC_CACHE_MAKE,
					  .flags = PYMALLOC_STEAL_ALL);
	static const struct {
		__u32 op, index, first, count;
	} bad[] = {
		{ .op = 0 }, { .op = PYMALLOC_CACHE_STEAL + 1 },
		{ .op = PYMALLOC_CACHE_MAKE, .index = PYMALLOC_CACHES_MAX },
		{ PYMALLOC_CACHE_MAKE, 0, 0, PYMALLOC_CACHE_PAGES + 1 },
		{ PYMALLOC_CACHE_SLOTS, 0, PYMALLOC_CACHE_PAGES, 1 },
		{ PYMALLOC_CACHE_SLOTS, 0, PYMALLOC_CACHE_PAGES + 1, 0 },
		{ PYMALLOC_CACHE_DROP, 0, 1, -1U },
	};

	flags.stolen = 7;
	EXPECT_EQ(-EINVAL, call(self->heap.fd, PYMALLOC_IOC_CACHE, &flags));
	EXPECT_EQ(0, flags.stolen);
	flags.flags = PYMALLOC_STEAL_ALL << 1;
	flags.stolen = 7;
	EXPECT_EQ(-EINVAL, call(self->heap.fd, PYMALLOC_IOC_CACHE, &flags));
	EXPECT_EQ(0, flags.stolen);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, try_cache(self->heap.fd, bad[i].op, bad[i].index, bad[i].first,
					     bad[i].count)) {
			TH_LOG("%zu", i);
		}
	}
	EXPECT_EQ(self->meta, heap_stats(&self->heap).meta_bytes);
}

TEST_F(cache, none)
{
	EXPECT_EQ(-ENOENT, slots(&self->heap, 0, 1));
	EXPECT_EQ(-ENOENT, slots(&self->heap, PYMALLOC_CACHE_PAGES, 0));
	EXPECT_EQ(-ENOENT, drop(&self->heap, 0, 1));
	EXPECT_EQ(-ENOENT, end(&self->heap));
	EXPECT_EQ(SIGBUS, touch(self->header, false));
	EXPECT_EQ(SIGBUS, touch(self->slots, false));
	EXPECT_EQ(self->meta, heap_stats(&self->heap).meta_bytes);
}

/* A second MAKE fails, and the cache stays as it is. */
TEST_F(cache, twice)
{
	__u64 meta;

	ASSERT_EQ(0, make(&self->heap, 2));
	self->header->nr_queued = 1;
	self->slots[0] = 7;
	meta = heap_stats(&self->heap).meta_bytes;
	EXPECT_EQ(-EEXIST, make(&self->heap, 5));
	EXPECT_EQ(meta, heap_stats(&self->heap).meta_bytes);
	EXPECT_EQ(1, self->header->nr_queued);
	EXPECT_EQ(7, self->slots[0]);
	EXPECT_EQ(SIGBUS, touch(slot_page(self, 2), false));
	self->header->nr_queued = 0;
	EXPECT_EQ(0, end(&self->heap));
	EXPECT_EQ(self->meta, heap_stats(&self->heap).meta_bytes);
}

/* Pages are zero at first, are counted, and are not there any more after DROP and END. */
TEST_F(cache, pages)
{
	__u64 meta;

	ASSERT_EQ(0, make(&self->heap, 1));
	meta = heap_stats(&self->heap).meta_bytes;
	EXPECT_LE(self->meta + 2 * POOL, meta);
	EXPECT_TRUE(is_filled(self->header, 0, POOL));
	EXPECT_TRUE(is_filled(slot_page(self, 0), 0, POOL));
	self->slots[0] = 5;
	EXPECT_EQ(0, slots(&self->heap, 0, PYMALLOC_CACHE_PAGES));
	EXPECT_EQ(meta + (PYMALLOC_CACHE_PAGES - 1) * POOL, heap_stats(&self->heap).meta_bytes);
	EXPECT_EQ(5, self->slots[0]);
	EXPECT_EQ(0, touch(slot_page(self, PYMALLOC_CACHE_PAGES - 1), true));
	EXPECT_EQ(0, drop(&self->heap, 1, PYMALLOC_CACHE_PAGES - 1));
	EXPECT_EQ(meta, heap_stats(&self->heap).meta_bytes);
	EXPECT_EQ(SIGBUS, touch(slot_page(self, PYMALLOC_CACHE_PAGES - 1), false));
	EXPECT_EQ(5, self->slots[0]);
	EXPECT_EQ(0, end(&self->heap));
	EXPECT_EQ(SIGBUS, touch(self->header, false));
	EXPECT_EQ(SIGBUS, touch(self->slots, false));
	EXPECT_EQ(self->meta, heap_stats(&self->heap).meta_bytes);
}

/* Fill a magazine of the cache with these blocks; the first one is at its top. */
static void put_into_cache(FIXTURE_DATA(cache) *self, const __u64 *refs, __u32 nr, __u32 class)
{
	self->header->base = user_ptr(self->heap.window);
	self->header->slots = user_ptr(self->slots);
	for (__u32 i = 0; i < nr; i++)
		self->slots[i] = user_ptr(at(&self->heap, refs[i]));
	self->header->bottom[class] = user_ptr(self->slots + nr);
	self->header->top[class] = user_ptr(self->slots);
}

/* All but the block at top, from a cache that has not been touched since the last round. */
TEST_F(cache, stolen)
{
	__u64 refs[100];

	ASSERT_EQ(0, make(&self->heap, 1));
	alloc(&self->heap, 64, refs, ARRAY_SIZE(refs));
	put_into_cache(self, refs, ARRAY_SIZE(refs), 64 / 8);
	EXPECT_EQ(0, steal(&self->heap, 0));
	EXPECT_EQ(99, steal(&self->heap, 0));
	EXPECT_EQ(1, heap_stats(&self->heap).blocks);
	EXPECT_EQ(64, usable(&self->heap, refs[0]));
	EXPECT_EQ(user_ptr(self->slots + 1), self->header->bottom[8]);
	EXPECT_EQ(0, self->slots[1]);
	EXPECT_EQ(0, steal(&self->heap, PYMALLOC_STEAL_ALL));
	/* END frees that at top, too. */
	EXPECT_EQ(0, end(&self->heap));
	EXPECT_EQ(0, heap_stats(&self->heap).blocks);
}

/* The last slot of a cache never has a block. */
#define FULL_CACHE (PYMALLOC_CACHE_PAGES * SLOTS - 2)

/* Make a cache of which nearly each slot has a block of 8 bytes. */
static void make_full(struct heap *heap, __u32 index)
{
	static __u64 refs[PYMALLOC_BATCH_MAX];
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_cache_header *header;
	__u64 *slots;

	ASSERT_EQ(0, try_cache(heap->fd, PYMALLOC_CACHE_MAKE, index, 0, PYMALLOC_CACHE_PAGES));
	header = map_header(heap, index);
	slots = map_slots(heap, index);
	for (__u32 i = 0; i < FULL_CACHE; i++) {
		if (i % (FULL_CACHE / 2) == 0)
			alloc(heap, 8, refs, FULL_CACHE / 2);
		slots[i] = user_ptr(at(heap, refs[i % (FULL_CACHE / 2)]));
	}
	header->base = user_ptr(heap->window);
	header->slots = user_ptr(slots);
	header->bottom[1] = user_ptr(slots + FULL_CACHE);
	header->top[1] = user_ptr(slots);
	munmap(header, POOL);
	munmap(slots, PYMALLOC_CACHE_PAGES * POOL);
}

/* More than is taken in one round; the next one goes on, and nothing is left out. */
TEST_F(cache, stolen_in_rounds)
{
	__u32 caches = (1 << 20) / FULL_CACHE + 2;
	__u64 first, second;

	for (__u32 i = 0; i < caches; i++)
		make_full(&self->heap, i);
	EXPECT_EQ(0, steal(&self->heap, 0));
	first = steal(&self->heap, 0);
	EXPECT_LE(1 << 19, first);
	EXPECT_GT((1 << 20) + FULL_CACHE, first);
	second = steal(&self->heap, 0);
	EXPECT_EQ(caches * (FULL_CACHE - 1), first + second);
	EXPECT_EQ(caches, heap_stats(&self->heap).blocks);
	for (__u32 i = 0; i < caches; i++)
		EXPECT_EQ(0, try_cache(self->heap.fd, PYMALLOC_CACHE_END, i, 0, 0));
}

/* The header says that it is not to be touched, or nonsense. */
TEST_F(cache, not_stolen)
{
	__u64 refs[100];

	ASSERT_EQ(0, make(&self->heap, 1));
	alloc(&self->heap, 64, refs, ARRAY_SIZE(refs));
	put_into_cache(self, refs, ARRAY_SIZE(refs), 64 / 8);
	self->header->busy = 1;
	EXPECT_EQ(0, steal(&self->heap, PYMALLOC_STEAL_ALL));
	self->header->busy = 0;
	self->header->bottom[8] = self->header->top[8] - 8;
	EXPECT_EQ(0, steal(&self->heap, PYMALLOC_STEAL_ALL));
	self->header->bottom[8] = ~0ULL;
	EXPECT_EQ(0, steal(&self->heap, PYMALLOC_STEAL_ALL));
	self->header->bottom[8] = self->header->top[8] + 3;
	EXPECT_EQ(0, steal(&self->heap, PYMALLOC_STEAL_ALL));
	EXPECT_EQ(100, heap_stats(&self->heap).blocks);
	EXPECT_EQ(0, heap_stats(&self->heap).nr_bad_refs);
	free_all(&self->heap, refs, ARRAY_SIZE(refs));
	EXPECT_EQ(0, end(&self->heap));
}

TEST_F(cache, readonly_and_others)
{
	int fd = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);
	pid_t child;

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, try_cache(fd, PYMALLOC_CACHE_MAKE, INDEX, 0, 0));
	close(fd);
	IN_CHILD(child, {
		heap_unmap(&self->heap);
		fd = heap_open(_metadata, self->heap.id, 0);
		ASSERT_LE(0, fd);
		EXPECT_EQ(-EPERM, try_cache(fd, PYMALLOC_CACHE_MAKE, INDEX, 0, 0));
	});
	join_child(_metadata, child);
	EXPECT_EQ(self->meta, heap_stats(&self->heap).meta_bytes);
}

/* Without room for the first cache, what needs no cache still works, and errors stay. */
TEST_F(cache, none_at_the_limit)
{
	struct pymalloc_info info = service_info(_metadata);
	struct heap small = HEAP(.limit = info.heap_bytes_min + 64);

	EXPECT_EQ(-ENOMEM, make(&small, 0));
	EXPECT_EQ(-ENOENT, slots(&small, 0, 1));
	EXPECT_EQ(-ENOENT, drop(&small, 0, 1));
	EXPECT_EQ(-ENOENT, end(&small));
	EXPECT_EQ(0, steal(&small, PYMALLOC_STEAL_ALL));
	EXPECT_EQ(-EINVAL, try_cache(small.fd, 99, 0, 0, 0));
	heap_close(&small);
}

/* What does not fit below the limit costs nothing. */
TEST_F(cache, at_the_limit)
{
	struct pymalloc_info info = service_info(_metadata);
	struct heap small = HEAP(.limit = info.heap_bytes_min + 20 * POOL);
	__u64 meta;

	EXPECT_EQ(-ENOMEM, make(&small, 30));
	ASSERT_EQ(0, make(&small, 1));
	meta = heap_stats(&small).meta_bytes;
	EXPECT_EQ(-ENOMEM, slots(&small, 1, 30));
	/* Some may be there. */
	EXPECT_EQ(0, drop(&small, 1, 30));
	EXPECT_EQ(meta, heap_stats(&small).meta_bytes);
	heap_check(&small);
	heap_close(&small);
}

/* Sparse pools share pages to make room, as they do for objects. */
TEST_F(cache, sparse_at_the_limit)
{
	static __u64 refs[PYMALLOC_BATCH_MAX], gone[PYMALLOC_BATCH_MAX];
	struct pymalloc_info info = service_info(_metadata);
	struct heap small = HEAP(.limit = info.heap_bytes_min + 200 * POOL);
	struct pymalloc_alloc arg = ARG(alloc, .size = 64, .count = ARRAY_SIZE(refs),
					.refs = user_ptr(refs));
	__u32 nr = 0;

	POLICY(&small, .flags = PYMALLOC_POLICY_SET);
	call(small.fd, PYMALLOC_IOC_ALLOC, &arg);
	for (__u32 i = 0; i < arg.done; i++)
		if (i % 16)
			gone[nr++] = refs[i];
	free_all(&small, gone, nr);
	EXPECT_EQ(0, make(&small, 40));
	EXPECT_LT(0, heap_stats(&small).pools_meshed);
	heap_check(&small);
	heap_close(&small);
}

/* Takes all of the memory below the limit, and gives it back as empty pools. */
static void fill_and_free(struct heap *heap)
{
	static __u64 refs[PYMALLOC_BATCH_MAX];
	struct pymalloc_alloc arg = ARG(alloc, .size = 512, .count = ARRAY_SIZE(refs),
					.refs = user_ptr(refs));

	call(heap->fd, PYMALLOC_IOC_ALLOC, &arg);
	free_all(heap, refs, arg.done);
}

struct limited {
	struct heap heap;
	bool over;
	int result;
};

static void *add_and_drop(void *argument)
{
	struct limited *limited = argument;

	while (!__atomic_load_n(&limited->over, __ATOMIC_RELAXED) && !limited->result) {
		fill_and_free(&limited->heap);
		limited->result = slots(&limited->heap, 1, 20) ?: drop(&limited->heap, 1, 20);
	}
	return NULL;
}

/*
 * Slots at the limit need what empty pools hold, and fork() needs the caches: neither waits
 * for the other for ever.
 */
TEST_F(cache, at_the_limit_beside_fork)
{
	struct pymalloc_info info = service_info(_metadata);
	struct limited limited = {
		.heap = HEAP(.limit = info.heap_bytes_min + 100 * POOL),
	};
	pthread_t thread;
	pid_t child;

	ASSERT_EQ(0, make(&limited.heap, 1));
	ASSERT_EQ(0, pthread_create(&thread, NULL, add_and_drop, &limited));
	for (int i = 0; i < 300; i++) {
		IN_CHILD(child, (void)0);
		join_child(_metadata, child);
	}
	__atomic_store_n(&limited.over, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, limited.result);
	heap_check(&limited.heap);
	heap_close(&limited.heap);
}

TEST_HARNESS_MAIN
