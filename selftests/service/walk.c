// SPDX-License-Identifier: GPL-2.0
/*
 * The walk over arenas, pools and blocks, compared with a heap whose contents
 * are known exactly. It begins at every place, and is done in parts of every
 * length.
 */
#include "service.h"

#define MAX_ENTRIES 8192

FIXTURE(walk)
{
	struct heap heap;
	__u64 full[8];		/* a full pool of 512 */
	__u64 used[5];		/* of 200, the second one free */
	__u64 run;		/* of three pages */
	char entries[MAX_ENTRIES * 32];
};

FIXTURE_SETUP(walk)
{
	struct heap *heap = &self->heap;

	*heap = HEAP();
	alloc(heap, 512, self->full, ARRAY_SIZE(self->full));
	alloc(heap, 200, self->used, ARRAY_SIZE(self->used));
	free_one(heap, self->used[1]);
	self->run = alloc_one(heap, 3 * POOL - 100);
}

FIXTURE_TEARDOWN(walk)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static const __u32 entry_sizes[] = {
	[PYMALLOC_WALK_ARENAS] = sizeof(struct pymalloc_arena_info),
	[PYMALLOC_WALK_POOLS] = sizeof(struct pymalloc_pool_info),
	[PYMALLOC_WALK_BLOCKS] = sizeof(struct pymalloc_block_info),
};

static struct pymalloc_walk ask(FIXTURE_DATA(walk) *self, __u32 what)
{
	return (struct pymalloc_walk)ARG(walk, .what = what, .count = MAX_ENTRIES,
					 .entries = user_ptr(self->entries),
					 .entry_size = entry_sizes[what]);
}

/* Collect all entries in calls of at most @part. Returns their number. */
static __u32 gather(struct __test_metadata *_metadata, FIXTURE_DATA(walk) *self,
		    __u32 what, __u32 part)
{
	struct pymalloc_walk arg = ask(self, what);
	__u32 total = 0;

	do {
		arg.entries = user_ptr(&self->entries[total * entry_sizes[what]]);
		arg.count = part < MAX_ENTRIES - total ? part : MAX_ENTRIES - total;
		ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg));
		ASSERT_GE(arg.count, arg.done);
		ASSERT_TRUE(!arg.next || arg.next > arg.start);
		total += arg.done;
		ASSERT_GT(MAX_ENTRIES, total);
		arg.start = arg.next;
	} while (arg.next);
	return total;
}

TEST_F(walk, arenas)
{
	const struct pymalloc_arena_info *arenas = (void *)self->entries;
	const struct pymalloc_arena_info expected[] = {
		{
			.offset = self->full[0] & -ARENA, .kind = PYMALLOC_ARENA_OBJECT,
			.pools_none = 62, .pools_used = 1, .pools_full = 1, .blocks = 12,
		}, {
			.offset = self->run & -ARENA, .kind = PYMALLOC_ARENA_RUNS,
			.pools_none = 61, .pools_full = 3, .blocks = 1,
		},
	};

	ASSERT_EQ(2, gather(_metadata, self, PYMALLOC_WALK_ARENAS, MAX_ENTRIES));
	for (int i = 0; i < 2; i++) {
		bool runs = arenas[i].kind == PYMALLOC_ARENA_RUNS;

		EXPECT_EQ(0, memcmp(&expected[runs], &arenas[i], sizeof(arenas[i])));
	}
	EXPECT_LT(arenas[0].offset, arenas[1].offset);
	EXPECT_NE(arenas[0].kind, arenas[1].kind);
}

static struct pymalloc_pool_info expected_pool(FIXTURE_DATA(walk) *self, __u64 offset)
{
	struct pymalloc_pool_info pool = { .offset = offset };

	if (offset == (self->full[0] & -POOL)) {
		pool.state = PYMALLOC_POOL_FULL;
		pool.size = 512;
		pool.allocated = 8;
	} else if (offset == (self->used[0] & -POOL)) {
		pool.state = PYMALLOC_POOL_USED;
		pool.size = 200;
		pool.allocated = 4;
		pool.free = 1;
		pool.untouched = 15;
	} else if (offset == self->run) {
		pool.state = PYMALLOC_POOL_RUN;
		pool.size = 3 * POOL;
	} else if (offset == self->run + POOL || offset == self->run + 2 * POOL) {
		pool.state = PYMALLOC_POOL_TAIL;
	}
	return pool;
}

TEST_F(walk, pools)
{
	const struct pymalloc_pool_info *pools = (void *)self->entries;
	__u32 count = gather(_metadata, self, PYMALLOC_WALK_POOLS, MAX_ENTRIES);

	ASSERT_EQ(2 * PYMALLOC_ARENA_POOLS, count);
	for (__u32 i = 0; i < count; i++) {
		struct pymalloc_pool_info expected = expected_pool(self, pools[i].offset);

		ASSERT_EQ(0, memcmp(&expected, &pools[i], sizeof(expected)))
			TH_LOG("pool at %#llx", pools[i].offset);
		if (i) {
			ASSERT_LT(pools[i - 1].offset, pools[i].offset);
		}
	}
}

/* An empty pool keeps its page until it is trimmed. */
TEST_F(walk, empty_pool)
{
	struct pymalloc_walk arg = ask(self, PYMALLOC_WALK_POOLS);
	struct pymalloc_pool_info pool;

	arg.start = self->full[0] & -POOL;
	arg.end = arg.start + POOL;
	arg.entries = user_ptr(&pool);
	free_all(&self->heap, self->full, ARRAY_SIZE(self->full));
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg));
	ASSERT_EQ(1, arg.done);
	EXPECT_EQ(0, arg.next);
	EXPECT_EQ(PYMALLOC_POOL_EMPTY, pool.state);
	EXPECT_EQ(0, pool.size + pool.allocated + pool.free + pool.untouched);
	heap_trim(&self->heap);
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg));
	ASSERT_EQ(1, arg.done);
	EXPECT_EQ(PYMALLOC_POOL_NONE, pool.state);
}

/* What an object at @ref is, according to what the test did. */
static __u32 expected_state(FIXTURE_DATA(walk) *self, __u64 ref)
{
	if (ref == self->run)
		return PYMALLOC_BLOCK_ALLOCATED;
	if (ref == self->used[1])
		return PYMALLOC_BLOCK_FREE;
	for (size_t i = 0; i < ARRAY_SIZE(self->full); i++) {
		if (ref == self->full[i])
			return PYMALLOC_BLOCK_ALLOCATED;
	}
	for (size_t i = 0; i < ARRAY_SIZE(self->used); i++) {
		if (ref == self->used[i])
			return PYMALLOC_BLOCK_ALLOCATED;
	}
	return PYMALLOC_BLOCK_UNTOUCHED;
}

TEST_F(walk, blocks)
{
	const struct pymalloc_block_info *blocks = (void *)self->entries;
	__u32 count = gather(_metadata, self, PYMALLOC_WALK_BLOCKS, MAX_ENTRIES);

	ASSERT_EQ(8 + 20 + 1, count);
	for (__u32 i = 0; i < count; i++) {
		__u32 size = pool_map(&self->heap, blocks[i].ref) * 8;

		ASSERT_EQ(size ?: 3 * POOL, blocks[i].size);
		ASSERT_EQ(expected_state(self, blocks[i].ref), blocks[i].state)
			TH_LOG("block %#llx", blocks[i].ref);
		if (i) {
			ASSERT_LT(blocks[i - 1].ref, blocks[i].ref);
		}
	}
}

/* In parts of any length, the walk says the same. */
TEST_F(walk, in_parts)
{
	static char whole[sizeof(self->entries)];

	for (__u32 what = PYMALLOC_WALK_ARENAS; what <= PYMALLOC_WALK_BLOCKS; what++) {
		__u32 count = gather(_metadata, self, what, MAX_ENTRIES);

		memcpy(whole, self->entries, sizeof(whole));
		for (__u32 part = 1; part <= 20; part++) {
			memset(self->entries, 0, count * entry_sizes[what]);
			ASSERT_EQ(count, gather(_metadata, self, what, part));
			ASSERT_EQ(0, memcmp(whole, self->entries, count * entry_sizes[what]))
				TH_LOG("what %u, part %u", what, part);
		}
	}
}

/* A thousand pools and more, in parts of a length that does not divide them. */
TEST_F(walk, large_heap)
{
	const struct pymalloc_block_info *blocks = (void *)self->entries;
	static __u64 refs[7000];
	__u64 seed = 5;
	__u32 allocated = 0, count;

	alloc(&self->heap, 504, refs, ARRAY_SIZE(refs));
	shuffle(refs, ARRAY_SIZE(refs), &seed);
	free_all(&self->heap, refs, 3000);
	count = gather(_metadata, self, PYMALLOC_WALK_BLOCKS, 97);
	for (__u32 i = 0; i < count; i++)
		allocated += blocks[i].state == PYMALLOC_BLOCK_ALLOCATED;
	EXPECT_EQ(heap_stats(&self->heap).blocks + heap_stats(&self->heap).runs, allocated);
}

/* The entries between two offsets are those of what starts there. */
TEST_F(walk, ranges)
{
	struct pymalloc_walk arg = ask(self, PYMALLOC_WALK_BLOCKS);
	const struct pymalloc_block_info *blocks = (void *)self->entries;
	__u64 pool = self->used[0] & -POOL;

	for (__u64 offset = 0; offset < POOL; offset += 40) {
		__u32 expected = 20 - (offset + 199) / 200;

		arg.start = pool + offset;
		arg.end = pool + POOL;
		if (offset > 19 * 200)
			expected = 0;
		ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg));
		ASSERT_EQ(expected, arg.done) TH_LOG("offset %llu", offset);
		ASSERT_EQ(0, arg.next);
		if (expected) {
			ASSERT_EQ(round_up(offset, 200) + pool, blocks[0].ref);
		}
	}
}

TEST_F(walk, nothing_there)
{
	static const struct {
		__u64 start, end;
	} ranges[] = {
		{ 0, PYMALLOC_ARENA_SIZE },		/* the first arena */
		{ 1 << 30, 2 << 30 },
		{ 1 << 20, 1 << 20 },			/* nothing between */
	};

	for (__u32 what = PYMALLOC_WALK_ARENAS; what <= PYMALLOC_WALK_BLOCKS; what++) {
		for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
			struct pymalloc_walk arg = ask(self, what);

			arg.start = ranges[i].start;
			arg.end = ranges[i].end;
			arg.done = 77;
			EXPECT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg));
			EXPECT_EQ(0, arg.done);
			EXPECT_EQ(0, arg.next);
		}
	}
}

TEST_F(walk, bad_arguments)
{
	static const struct {
		__u32 what, count, entry_size;
		int result;
	} cases[] = {
		{ 0, 1, 64, -EINVAL },
		{ PYMALLOC_WALK_SITES + 1, 1, 64, -EINVAL },
		{ ~0U, 1, 64, -EINVAL },
		{ PYMALLOC_WALK_ARENAS, 0, 64, -EINVAL },
		{ PYMALLOC_WALK_ARENAS, PYMALLOC_BATCH_MAX + 1, 64, -E2BIG },
		{ PYMALLOC_WALK_ARENAS, ~0U, 64, -E2BIG },
		{ PYMALLOC_WALK_ARENAS, 1, 0, -EINVAL },
		{ PYMALLOC_WALK_ARENAS, 1, sizeof(struct pymalloc_arena_info) - 1, -EINVAL },
		{ PYMALLOC_WALK_ARENAS, 1, ~0U, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pymalloc_walk arg = ask(self, PYMALLOC_WALK_ARENAS);

		arg.what = cases[i].what;
		arg.count = cases[i].count;
		arg.entry_size = cases[i].entry_size;
		EXPECT_EQ(cases[i].result, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg))
			TH_LOG("case %zu", i);
	}
}

TEST_F(walk, entry_sizes)
{
	for (__u32 what = PYMALLOC_WALK_ARENAS; what <= PYMALLOC_WALK_BLOCKS; what++) {
		const __u32 known = entry_sizes[what];

		for (__u32 size = known; size <= 64; size += 8) {
			struct pymalloc_walk arg = ask(self, what);

			memset(self->entries, 0xee, sizeof(self->entries));
			arg.entry_size = size;
			arg.count = 2;
			ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg));
			ASSERT_EQ(2, arg.done);
			ASSERT_TRUE(is_filled(self->entries + 2 * size, 0xee, 64));
			ASSERT_TRUE(is_filled(self->entries + known, 0, size - known));
		}
	}
}

/* The call never reports more entries than the array has room for. */
TEST_F(walk, entries_not_writable)
{
	const __u32 size = sizeof(struct pymalloc_block_info);

	for (__u32 fit = 0; fit < 28; fit++) {
		struct pymalloc_walk arg = ask(self, PYMALLOC_WALK_BLOCKS);
		struct pymalloc_block_info *blocks = edge_buffer(_metadata, fit * size, PROT_READ);

		arg.entries = user_ptr(blocks);
		ASSERT_EQ(-EFAULT, call(self->heap.fd, PYMALLOC_IOC_WALK, &arg));
		ASSERT_GE(fit, arg.done);
	}
}

TEST_HARNESS_MAIN
