// SPDX-License-Identifier: GPL-2.0
/*
 * TRACE and SITES: how a heap is asked to be traced, the pages in which its
 * library says where blocks were allocated, and the walk that shows both. What
 * the library writes there is tested with the library.
 */
#include <pthread.h>

#include "relatives.h"

#define WORDS_PAGE_REFS	(POOL / sizeof(__u32) * 8)	/* of a heap of alignment 8 */
#define MARK		0x5eed5eed5eedULL

static int try_sites(int fd, __u32 op, __u64 offset, __u64 bytes, void *data, __u64 *done)
{
	struct pymalloc_sites arg = ARG(sites, .op = op, .offset = offset, .bytes = bytes,
					.data = user_ptr(data));
	int ret = call(fd, PYMALLOC_IOC_SITES, &arg);

	*done = arg.done;
	return ret;
}

static int add(struct heap *heap, __u64 offset, __u64 pages)
{
	__u64 done;

	return try_sites(heap->fd, PYMALLOC_SITES_ADD, offset, pages * POOL, NULL, &done);
}

static int drop(struct heap *heap)
{
	__u64 done;

	return try_sites(heap->fd, PYMALLOC_SITES_DROP, 0, 0, NULL, &done);
}

static __u64 read_word(struct heap *heap, int fd, __u64 offset)
{
	struct __test_metadata *_metadata = heap->test;
	__u64 word = ~0ULL, done;

	ASSERT_EQ(0, try_sites(fd, PYMALLOC_SITES_READ, offset, sizeof(word), &word, &done));
	ASSERT_EQ(sizeof(word), done);
	return word;
}

static void *map_sites(struct heap *heap, __u64 offset, __u64 pages)
{
	struct __test_metadata *_metadata = heap->test;
	void *memory = mmap(NULL, pages * POOL, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd,
			    offset);

	ASSERT_NE(MAP_FAILED, memory);
	return memory;
}

static struct pymalloc_trace trace_of(struct heap *heap, int fd)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_trace arg = ARG(trace);

	ASSERT_EQ(0, call(fd, PYMALLOC_IOC_TRACE, &arg));
	return arg;
}

#define TRY_TRACE(_fd, ...) \
	({ \
		struct pymalloc_trace _arg = ARG(trace, __VA_ARGS__); \
		call(_fd, PYMALLOC_IOC_TRACE, &_arg); \
	})

/* Returns how many blocks the walk shows, at most @room of them in @sites. */
static __u32 walk_sites(struct heap *heap, int fd, struct pymalloc_site_info *sites, __u32 room)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_walk arg = ARG(walk, .what = PYMALLOC_WALK_SITES,
				       .entries = user_ptr(sites), .count = room,
				       .entry_size = sizeof(*sites));

	ASSERT_EQ(0, call(fd, PYMALLOC_IOC_WALK, &arg));
	ASSERT_EQ(0, arg.next);
	return arg.done;
}

FIXTURE(sites) {
	struct heap heap;
	__u32 *words;
	char *table;
};

FIXTURE_SETUP(sites)
{
	self->heap = HEAP(.window = 8 * ARENA);
	self->words = map_sites(&self->heap, PYMALLOC_WORDS_OFFSET, 8 * ARENA / 8 * 4 / POOL);
	self->table = map_sites(&self->heap, PYMALLOC_SITES_OFFSET, 16);
}

FIXTURE_TEARDOWN(sites)
{
	heap_check(&self->heap);
	munmap(self->words, 8 * ARENA / 8 * 4);
	munmap(self->table, 16 * POOL);
	heap_close(&self->heap);
}

TEST_F(sites, bad_trace)
{
	struct pymalloc_trace both = ARG(trace, .flags = PYMALLOC_TRACE_SET |
							 PYMALLOC_TRACE_BEGUN);
	int fd = self->heap.fd;

	EXPECT_EQ(-EINVAL, call(fd, PYMALLOC_IOC_TRACE, &both));
	EXPECT_EQ(-EINVAL, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_SET,
				     .mode = PYMALLOC_TRACE_EXACT + 1));
	EXPECT_EQ(-EINVAL, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_SET, .python_frames = 26));
	EXPECT_EQ(-EINVAL, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_SET, .native_frames = 26));
	EXPECT_EQ(-EINVAL, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_SET,
				     .interval = PYMALLOC_INTERVAL_MIN - 1));
	EXPECT_EQ(-EINVAL, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_SET,
				     .interval = PYMALLOC_INTERVAL_MAX + 1));
	/* There is nothing to begin with. */
	EXPECT_EQ(-EINVAL, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_BEGUN));
	EXPECT_EQ(0, trace_of(&self->heap, fd).generation);
}

TEST_F(sites, trace_is_set_and_begun)
{
	struct pymalloc_trace now;
	int fd = self->heap.fd;

	EXPECT_EQ(0, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_SET, .mode = PYMALLOC_TRACE_SAMPLED,
			       .python_frames = 3, .native_frames = 25));
	now = trace_of(&self->heap, fd);
	EXPECT_EQ(PYMALLOC_TRACE_SAMPLED, now.mode);
	EXPECT_EQ(3, now.python_frames);
	EXPECT_EQ(25, now.native_frames);
	EXPECT_EQ(PYMALLOC_INTERVAL_DEFAULT, now.interval);
	EXPECT_EQ(1, now.generation);
	EXPECT_EQ(0, now.begun);
	EXPECT_EQ(0, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_BEGUN, .generation = 1,
			       .mark = MARK));
	EXPECT_EQ(1, trace_of(&self->heap, fd).begun);
	EXPECT_EQ(0, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_SET));
	now = trace_of(&self->heap, fd);
	EXPECT_EQ(PYMALLOC_TRACE_OFF, now.mode);
	EXPECT_EQ(2, now.generation);
}

TEST_F(sites, caches_are_told)
{
	struct pymalloc_cache make = ARG(cache, .op = PYMALLOC_CACHE_MAKE, .index = 2);
	const struct pymalloc_cache_header *first, *second;

	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_CACHE, &make));
	first = mmap(NULL, 4 * POOL, PROT_READ, MAP_SHARED, self->heap.fd,
		     PYMALLOC_CACHES_OFFSET);
	ASSERT_NE(MAP_FAILED, first);
	first = (const void *)first + 2 * POOL;
	EXPECT_EQ(0, first->generation);
	ASSERT_EQ(0, TRY_TRACE(self->heap.fd, .flags = PYMALLOC_TRACE_SET,
			       .mode = PYMALLOC_TRACE_EXACT));
	EXPECT_EQ(1, first->generation);
	make.index = 3;
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_CACHE, &make));
	second = (const void *)first + POOL;
	EXPECT_EQ(1, second->generation);
}

TEST_F(sites, others_set_it_if_they_may_change_the_heap)
{
	int readonly = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);
	pid_t child;

	ASSERT_LE(0, readonly);
	EXPECT_EQ(-EBADF, TRY_TRACE(readonly, .flags = PYMALLOC_TRACE_SET));
	EXPECT_EQ(-EBADF, TRY_TRACE(readonly, .flags = PYMALLOC_TRACE_BEGUN));
	EXPECT_EQ(0, TRY_TRACE(readonly, .flags = 0));
	close(readonly);
	IN_CHILD(child, {
		__u64 done;
		int fd = heap_open(_metadata, self->heap.id, 0);

		ASSERT_LE(0, fd);
		EXPECT_EQ(0, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_SET,
				       .mode = PYMALLOC_TRACE_GROWTH));
		EXPECT_EQ(-EPERM, TRY_TRACE(fd, .flags = PYMALLOC_TRACE_BEGUN, .mark = 1));
		EXPECT_EQ(-EPERM, try_sites(fd, PYMALLOC_SITES_ADD, PYMALLOC_SITES_OFFSET, POOL,
					    NULL, &done));
		EXPECT_EQ(-EPERM, try_sites(fd, PYMALLOC_SITES_DROP, 0, 0, NULL, &done));
	});
	join_child(_metadata, child);
	EXPECT_EQ(PYMALLOC_TRACE_GROWTH, trace_of(&self->heap, self->heap.fd).mode);
}

TEST_F(sites, another_user_sees_nothing)
{
	pid_t child;

	IN_CHILD(child, {
		ASSERT_EQ(0, setresuid(4321, 4321, 4321));
		EXPECT_EQ(-EPERM, heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY));
	});
	join_child(_metadata, child);
}

TEST_F(sites, bad_pages)
{
	static const struct {
		__u32 op;
		__u64 offset, bytes;
		int err;
	} bad[] = {
		{ 0, PYMALLOC_SITES_OFFSET, POOL, -EINVAL },
		{ PYMALLOC_SITES_READ + 1, PYMALLOC_SITES_OFFSET, POOL, -EINVAL },
		{ PYMALLOC_SITES_ADD, PYMALLOC_SITES_OFFSET - POOL, POOL, -EINVAL },
		{ PYMALLOC_SITES_ADD, 0, POOL, -EINVAL },
		{ PYMALLOC_SITES_ADD, -POOL, 2 * POOL, -EINVAL },
		{ PYMALLOC_SITES_ADD, PYMALLOC_SITES_OFFSET, -POOL, -EINVAL },
		{ PYMALLOC_SITES_ADD, PYMALLOC_SITES_OFFSET + 8, POOL, -EINVAL },
		{ PYMALLOC_SITES_ADD, PYMALLOC_SITES_OFFSET, POOL + 8, -EINVAL },
		{ PYMALLOC_SITES_ADD, PYMALLOC_SITES_OFFSET, (PYMALLOC_BATCH_MAX + 1) * POOL,
		  -E2BIG },
		{ PYMALLOC_SITES_READ, 0, 8, -EINVAL },
		{ PYMALLOC_SITES_READ, PYMALLOC_SITES_OFFSET, 1ULL << 43, -EINVAL },
		{ PYMALLOC_SITES_READ, PYMALLOC_SITES_OFFSET, 8, -EFAULT },
	};
	__u64 meta = heap_stats(&self->heap).meta_bytes, done;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(bad[i].err, try_sites(self->heap.fd, bad[i].op, bad[i].offset,
						bad[i].bytes, NULL, &done)) TH_LOG("%zu", i);
		EXPECT_EQ(0, done) TH_LOG("%zu", i);
	}
	EXPECT_EQ(meta, heap_stats(&self->heap).meta_bytes);
}

TEST_F(sites, what_is_written_is_read)
{
	int fd = self->heap.fd;

	EXPECT_EQ(0, read_word(&self->heap, fd, PYMALLOC_SITES_OFFSET));
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 2));
	EXPECT_EQ(0, read_word(&self->heap, fd, PYMALLOC_SITES_OFFSET));
	memset(self->table, 0x42, 2 * POOL);
	/* Across the pages, and beyond the last. */
	EXPECT_EQ(0x4242424242424242, read_word(&self->heap, fd, PYMALLOC_SITES_OFFSET));
	EXPECT_EQ(0x4242424242424242, read_word(&self->heap, fd, PYMALLOC_SITES_OFFSET + POOL - 4));
	EXPECT_EQ(0x42424242, read_word(&self->heap, fd, PYMALLOC_SITES_OFFSET + 2 * POOL - 4));
	/* What is there stays when it is asked for again. */
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 4));
	EXPECT_EQ(0x4242424242424242, read_word(&self->heap, fd, PYMALLOC_SITES_OFFSET));
}

TEST_F(sites, pages_are_charged_and_come_back)
{
	__u64 meta;

	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 0));
	meta = heap_stats(&self->heap).meta_bytes;
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 16));
	EXPECT_EQ(meta + 16 * POOL, heap_stats(&self->heap).meta_bytes);
	memset(self->table, 1, 16 * POOL);
	ASSERT_EQ(0, drop(&self->heap));
	EXPECT_EQ(meta, heap_stats(&self->heap).meta_bytes);
	EXPECT_EQ(0, read_word(&self->heap, self->heap.fd, PYMALLOC_SITES_OFFSET));
	ASSERT_EQ(0, drop(&self->heap));
}

TEST_F(sites, pages_meet_the_limit)
{
	struct heap heap = HEAP(.window = 8 * ARENA, .limit = 64 << 10);
	__u64 done;

	EXPECT_EQ(-ENOMEM, try_sites(heap.fd, PYMALLOC_SITES_ADD, PYMALLOC_SITES_OFFSET,
				     64 * POOL, NULL, &done));
	EXPECT_LT(0, done);
	EXPECT_GT(64 * POOL, done);
	EXPECT_EQ(0, drop(&heap));
	heap_check(&heap);
	heap_close(&heap);
}

TEST_F(sites, writes_without_a_page_are_lost)
{
	/* Nobody has asked for sites: there is nothing that could be mapped. */
	EXPECT_EQ(SIGBUS, touch(self->table, true));
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 1));
	EXPECT_EQ(0, touch(self->table + 3 * POOL, true));
	EXPECT_EQ(0, touch(self->table + 4 * POOL, true));
	EXPECT_EQ(0, read_word(&self->heap, self->heap.fd, PYMALLOC_SITES_OFFSET + 3 * POOL));
	/* The page that comes there is seen at once. */
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET + 3 * POOL, 1));
	EXPECT_EQ(0, self->table[3 * POOL]);
	self->table[3 * POOL] = 7;
	EXPECT_EQ(7, read_word(&self->heap, self->heap.fd, PYMALLOC_SITES_OFFSET + 3 * POOL));
	/* And one that goes does no harm. */
	ASSERT_EQ(0, drop(&self->heap));
	EXPECT_EQ(0, touch(self->table + 3 * POOL, true));
	EXPECT_EQ(0, read_word(&self->heap, self->heap.fd, PYMALLOC_SITES_OFFSET + 3 * POOL));
}

TEST_F(sites, walk_shows_allocated_blocks_with_their_words)
{
	struct pymalloc_site_info sites[64];
	__u64 refs[20], run;
	__u32 count;

	alloc(&self->heap, 48, refs, ARRAY_SIZE(refs));
	run = alloc_one(&self->heap, 3 * POOL);
	free_all(&self->heap, refs + 5, 10);
	count = walk_sites(&self->heap, self->heap.fd, sites, ARRAY_SIZE(sites));
	ASSERT_EQ(11, count);
	for (__u32 i = 0; i < count; i++)
		EXPECT_EQ(0, sites[i].site);
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_WORDS_OFFSET, 8 * ARENA / WORDS_PAGE_REFS));
	self->words[refs[0] / 8] = 1000;
	self->words[refs[19] / 8] = 1019;
	self->words[refs[7] / 8] = 1007;
	self->words[run / 8] = 2000;
	count = walk_sites(&self->heap, self->heap.fd, sites, ARRAY_SIZE(sites));
	ASSERT_EQ(11, count);
	for (__u32 i = 0; i < count; i++) {
		EXPECT_EQ(self->words[sites[i].ref / 8], sites[i].site);
		EXPECT_EQ(sites[i].ref == run ? 3 * POOL : 48, sites[i].size);
		EXPECT_EQ(0, sites[i].flags);
	}
}

TEST_F(sites, walk_goes_on_within_a_pool)
{
	struct pymalloc_site_info site;
	struct pymalloc_walk arg = ARG(walk, .what = PYMALLOC_WALK_SITES,
				       .entries = user_ptr(&site), .count = 1,
				       .entry_size = sizeof(site));
	__u64 refs[300], seen = 0;

	alloc(&self->heap, 64, refs, ARRAY_SIZE(refs));
	free_all(&self->heap, refs, 100);
	sort_refs(refs + 100, 200);
	do {
		ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg));
		if (arg.done) {
			ASSERT_GT(200, seen);
			EXPECT_EQ(refs[100 + seen++], site.ref);
		}
		arg.start = arg.next;
	} while (arg.next);
	EXPECT_EQ(200, seen);
}

TEST_F(sites, walk_tells_blocks_in_magazines)
{
	struct pymalloc_site_info sites[8];
	__u64 refs[4];

	alloc(&self->heap, 512, refs, ARRAY_SIZE(refs));
	*(__u64 *)at(&self->heap, refs[1]) = MARK;
	*(__u64 *)(at(&self->heap, refs[2]) + 8) = MARK;
	ASSERT_EQ(4, walk_sites(&self->heap, self->heap.fd, sites, ARRAY_SIZE(sites)));
	for (__u32 i = 0; i < 4; i++)
		EXPECT_EQ(0, sites[i].flags);
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 0));
	ASSERT_EQ(0, TRY_TRACE(self->heap.fd, .flags = PYMALLOC_TRACE_BEGUN, .mark = MARK));
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_WORDS_OFFSET, 8 * ARENA / WORDS_PAGE_REFS));
	self->words[refs[3] / 8] = PYMALLOC_WORD_CACHED;
	ASSERT_EQ(4, walk_sites(&self->heap, self->heap.fd, sites, ARRAY_SIZE(sites)));
	for (__u32 i = 0; i < 4; i++) {
		bool cached = sites[i].ref == refs[1] || sites[i].ref == refs[3];

		EXPECT_EQ(cached ? PYMALLOC_SITE_CACHED : 0, sites[i].flags);
	}
}

TEST_F(sites, pools_have_words_in_a_trace_of_growth)
{
	struct pymalloc_site_info sites[64];
	__u64 refs[40];

	alloc(&self->heap, 256, refs, ARRAY_SIZE(refs));
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_WORDS_OFFSET, 1));
	for (__u64 pool = 0; pool < POOL / sizeof(__u32); pool++)
		self->words[pool] = 5000 + pool;
	EXPECT_EQ(-EINVAL, TRY_TRACE(self->heap.fd, .flags = PYMALLOC_TRACE_BEGUN,
				     .mode = PYMALLOC_TRACE_EXACT + 1));
	ASSERT_EQ(0, TRY_TRACE(self->heap.fd, .flags = PYMALLOC_TRACE_BEGUN,
			       .mode = PYMALLOC_TRACE_GROWTH));
	ASSERT_EQ(40, walk_sites(&self->heap, self->heap.fd, sites, ARRAY_SIZE(sites)));
	for (__u32 i = 0; i < 40; i++)
		EXPECT_EQ(5000 + sites[i].ref / POOL, sites[i].site);
}

TEST_F(sites, a_child_begins_anew)
{
	pid_t child;

	ASSERT_EQ(0, TRY_TRACE(self->heap.fd, .flags = PYMALLOC_TRACE_SET,
			       .mode = PYMALLOC_TRACE_EXACT, .python_frames = 2));
	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 16));
	memset(self->table, 5, 16 * POOL);
	IN_CHILD(child, {
		struct heap own = self->heap;
		struct pymalloc_open open = ARG(open, .flags = PYMALLOC_OPEN_MAPPED,
						.id = user_ptr(self->heap.window));
		int device = device_open(_metadata);

		/* It may be in the middle of a write. */
		EXPECT_EQ(0, touch(self->table, true));
		own.fd = call(device, PYMALLOC_IOC_OPEN, &open);
		ASSERT_LE(0, own.fd);
		EXPECT_EQ(PYMALLOC_TRACE_EXACT, trace_of(&own, own.fd).mode);
		EXPECT_EQ(2, trace_of(&own, own.fd).python_frames);
		EXPECT_EQ(2, trace_of(&own, own.fd).generation);
		EXPECT_EQ(0, trace_of(&own, own.fd).begun);
		EXPECT_EQ(0, read_word(&own, own.fd, PYMALLOC_SITES_OFFSET));
		ASSERT_EQ(0, add(&own, PYMALLOC_SITES_OFFSET, 16));
		EXPECT_EQ(0, self->table[0]);
		self->table[0] = 9;
		EXPECT_EQ(9, read_word(&own, own.fd, PYMALLOC_SITES_OFFSET));
		heap_check(&own);
	});
	join_child(_metadata, child);
	EXPECT_EQ(5, self->table[0]);
	EXPECT_EQ(1, trace_of(&self->heap, self->heap.fd).generation);
}

/* All addresses of words together are as long as a window: too long to be populated. */
TEST_F(sites, locking_all_does_not_populate)
{
	const __u64 bytes = 64ULL << 30;

	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 1));
	ASSERT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
	ASSERT_NE(MAP_FAILED, mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
				   self->heap.fd, PYMALLOC_WORDS_OFFSET));
	ASSERT_EQ(0, munlockall());
}

TEST_F(sites, pages_of_the_dead_go)
{
	__u64 before = service_info(_metadata).user_bytes;
	pid_t child;

	IN_CHILD(child, {
		struct heap own = HEAP();

		ASSERT_EQ(0, add(&own, PYMALLOC_SITES_OFFSET, 1000));
		memset(map_sites(&own, PYMALLOC_SITES_OFFSET, 1000), 1, 1000 * POOL);
		raise(SIGKILL);
	});
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	EXPECT_TRUE(EVENTUALLY(service_info(_metadata).user_bytes <= before));
}

TEST_F(sites, pinned_pools_are_not_in_the_pool_map)
{
	__u64 plain = alloc_one(&self->heap, 64), pinned[70];

	alloc_flags(&self->heap, 64, pinned, ARRAY_SIZE(pinned), PYMALLOC_ALLOC_PINNED);
	EXPECT_EQ(64 / 8, pool_map(&self->heap, plain));
	for (size_t i = 0; i < ARRAY_SIZE(pinned); i++) {
		EXPECT_EQ(0, pool_map(&self->heap, pinned[i]));
		EXPECT_EQ(64, usable(&self->heap, pinned[i]));
	}
	heap_check(&self->heap);
	free_all(&self->heap, pinned, ARRAY_SIZE(pinned));
	/* The pools may get any class now, and are shown again. */
	plain = alloc_one(&self->heap, 512);
	EXPECT_EQ(512 / 8, pool_map(&self->heap, plain));
}

/* Add and drop in one thread, writes in another: no write may end the process. */
static void *write_for_ever(void *data)
{
	volatile char *table = data;

	for (__u64 i = 0; __atomic_load_n(&table[0], __ATOMIC_RELAXED) != 99; i++)
		table[(1 + i % 15) * POOL] = 3;
	return NULL;
}

TEST_F(sites, writes_race_with_pages_that_come_and_go)
{
	pthread_t thread;

	ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 1));
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_for_ever, self->table));
	for (int i = 0; i < 200; i++) {
		ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET + POOL, 15));
		ASSERT_EQ(0, drop(&self->heap));
	}
	/* Until it is a page, what is written here may be lost. */
	do {
		ASSERT_EQ(0, add(&self->heap, PYMALLOC_SITES_OFFSET, 1));
		self->table[0] = 99;
	} while (self->table[0] != 99);
	pthread_join(thread, NULL);
	ASSERT_EQ(0, drop(&self->heap));
}

TEST_HARNESS_MAIN
