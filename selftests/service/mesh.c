// SPDX-License-Identifier: GPL-2.0
/*
 * Pools of which few blocks are left share pages. No address changes, no block loses a
 * byte, and each block can be freed once, and nowhere else, as ever.
 */
#include "mesh.h"

#define POOLS 64
#define MOST_BLOCKS (POOLS * POOL / 16)

FIXTURE(mesh)
{
	struct heap heap;
	struct marked *blocks;	/* what is left in the pools */
	__u32 count;
	__u64 pages;		/* before meshing */
};

/* Blocks of this size, so many of them in each pool. */
FIXTURE_VARIANT(mesh)
{
	__u32 size;
	__u32 left;
};

FIXTURE_VARIANT_ADD(mesh, one_of_8) { .size = 512, .left = 1 };
FIXTURE_VARIANT_ADD(mesh, two_of_8) { .size = 512, .left = 2 };
FIXTURE_VARIANT_ADD(mesh, four_of_64) { .size = 64, .left = 4 };
FIXTURE_VARIANT_ADD(mesh, three_of_85) { .size = 48, .left = 3 };
FIXTURE_VARIANT_ADD(mesh, eight_of_256) { .size = 16, .left = 8 };

FIXTURE_SETUP(mesh)
{
	self->heap = HEAP();
	self->blocks = calloc(MOST_BLOCKS, sizeof(*self->blocks));
	self->count = leave_few(&self->heap, self->blocks, variant->size, POOLS, variant->left);
	ASSERT_EQ(POOLS * variant->left, self->count);
	heap_trim(&self->heap);
	self->pages = heap_stats(&self->heap).page_bytes / POOL;
	ASSERT_EQ(POOLS, self->pages);
}

FIXTURE_TEARDOWN(mesh)
{
	EXPECT_EQ(0, marked_lost(&self->heap, self->blocks, self->count));
	heap_check(&self->heap);
	heap_close(&self->heap);
	free(self->blocks);
}

/* As many pages as could be saved with no more than this left: three quarters of them. */
#define FEW (POOLS / 4)

static void mesh_all(struct __test_metadata *_metadata, FIXTURE_DATA(mesh) *self)
{
	struct pymalloc_compact done = heap_mesh(&self->heap);

	ASSERT_LE(POOLS - FEW, done.pages_freed);
	ASSERT_LT(0, done.frames_joined);
	ASSERT_EQ(0, done.pages_pinned);
	heap_check(&self->heap);
}

TEST_F(mesh, figures)
{
	struct pymalloc_compact done = heap_mesh(&self->heap);
	struct pymalloc_stats stats = heap_stats(&self->heap);

	EXPECT_LE(POOLS - FEW, done.pages_freed);
	EXPECT_EQ(self->pages - done.pages_freed, stats.page_bytes / POOL);
	EXPECT_EQ(done.pages_freed, stats.pools_meshed);
	EXPECT_EQ(done.pages_freed, stats.nr_meshed);
	EXPECT_LT(0, done.frames_joined);
	EXPECT_GE(POOLS - done.pages_freed, done.frames_joined);
	/* What was in the pages that have gone. */
	EXPECT_EQ(done.pages_freed * variant->left * variant->size, done.bytes_copied);
	EXPECT_EQ(self->count, stats.blocks);
	/* There is nothing left to do, or little: a second pass never makes more pages. */
	heap_mesh(&self->heap);
	EXPECT_GE(self->pages - done.pages_freed, heap_stats(&self->heap).page_bytes / POOL);
}

/* The pages really are the same, and the heap has no more of them than it says. */
TEST_F(mesh, pages)
{
	__u64 pages[MOST_BLOCKS];

	mesh_all(_metadata, self);
	for (__u32 i = 0; i < self->count; i++)
		pages[i] = page_frame(&self->heap, self->blocks[i].ref);
	EXPECT_EQ(heap_stats(&self->heap).page_bytes / POOL,
		  count_different(pages, self->count));
}

/* Whatever is written afterwards is seen at one address only. */
TEST_F(mesh, writes_stay_apart)
{
	mesh_all(_metadata, self);
	for (int round = 0; round < 3; round++) {
		EXPECT_EQ(0, marked_lost(&self->heap, self->blocks, self->count));
		for (__u32 i = 0; i < self->count; i++)
			marked_write(&self->heap, &self->blocks[i]);
	}
}

/* Another mapping, and one whose page tables have been dropped, show the same. */
TEST_F(mesh, other_mappings)
{
	struct heap second = self->heap;

	second.window = mmap(NULL, second.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, second.fd,
			     0);
	ASSERT_NE(MAP_FAILED, second.window);
	EXPECT_EQ(0, marked_lost(&second, self->blocks, self->count));
	mesh_all(_metadata, self);
	EXPECT_EQ(0, marked_lost(&second, self->blocks, self->count));
	for (__u32 i = 0; i < self->count; i++)
		marked_write(&second, &self->blocks[i]);
	EXPECT_EQ(0, marked_lost(&self->heap, self->blocks, self->count));
	ASSERT_EQ(0, madvise(second.window, second.bytes, MADV_DONTNEED));
	EXPECT_EQ(0, marked_lost(&second, self->blocks, self->count));
	munmap(second.window, second.bytes);
}

/* Is there a block of ours? */
static bool is_ours(FIXTURE_DATA(mesh) *self, __u64 ref)
{
	struct marked key = { .ref = ref };

	return bsearch(&key, self->blocks, self->count, sizeof(key), compare_marked);
}

/* A slot that one pool uses is free in all others that have the same page. */
TEST_F(mesh, bad_frees)
{
	__u32 in_pool = POOL / variant->size, pool_first = 0;

	mesh_all(_metadata, self);
	for (__u32 i = 0; i < self->count; i++) {
		__u64 pool = self->blocks[i].ref / POOL * POOL;

		if (i && self->blocks[i - 1].ref >= pool)
			continue;
		pool_first++;
		for (__u32 slot = 0; slot < in_pool; slot++) {
			__u64 ref = pool + slot * variant->size;

			EXPECT_EQ(PYMALLOC_REF_MISALIGNED, free_status(&self->heap, ref + 1));
			EXPECT_EQ(is_ours(self, ref) ? variant->size : 0,
				  usable(&self->heap, ref));
			if (!is_ours(self, ref))
				EXPECT_EQ(PYMALLOC_REF_FREE, free_status(&self->heap, ref))
					TH_LOG("slot %u of pool %u", slot, pool_first);
		}
	}
	EXPECT_EQ(POOLS, pool_first);
}

/* The second free of a block finds a free one, or a pool that has gone. */
static void free_twice(struct __test_metadata *_metadata, struct heap *heap, __u64 ref)
{
	enum pymalloc_ref_status status;

	EXPECT_EQ(PYMALLOC_REF_OK, free_status(heap, ref));
	status = free_status(heap, ref);
	EXPECT_TRUE(status == PYMALLOC_REF_FREE || status == PYMALLOC_REF_FOREIGN)
		TH_LOG("%u", status);
}

/* Free all blocks, in a random order, with the checker after some of them. */
TEST_F(mesh, free_all_faces)
{
	__u64 *refs = calloc(self->count, sizeof(*refs)), seed = 1;
	__u32 count = self->count;

	mesh_all(_metadata, self);
	for (__u32 i = 0; i < count; i++)
		refs[i] = self->blocks[i].ref;
	shuffle(refs, count, &seed);
	self->count = 0;
	for (__u32 i = 0; i < count; i++) {
		free_twice(_metadata, &self->heap, refs[i]);
		if (!(i % 16))
			heap_check(&self->heap);
	}
	heap_trim(&self->heap);
	EXPECT_EQ(0, heap_stats(&self->heap).page_bytes);
	EXPECT_EQ(0, heap_stats(&self->heap).pools_meshed);
	for (__u32 i = 0; i < count; i++)
		EXPECT_EQ(PYMALLOC_REF_FOREIGN, free_status(&self->heap, refs[i]));
	free(refs);
}

/* In one batch, with refs that are there twice. */
TEST_F(mesh, free_in_one_batch)
{
	__u32 count = self->count;
	__u64 *refs = calloc(count, 2 * sizeof(*refs)), seed = 2;
	struct pymalloc_free arg = ARG(free, .refs = user_ptr(refs), .count = 2 * count);

	mesh_all(_metadata, self);
	for (__u32 i = 0; i < count; i++)
		refs[i] = self->blocks[i].ref;
	memcpy(refs + count, refs, count * sizeof(*refs));
	shuffle(refs, 2 * count, &seed);
	self->count = 0;
	EXPECT_EQ(-EBADSLT, call(self->heap.fd, PYMALLOC_IOC_FREE, &arg));
	EXPECT_EQ(2 * count, arg.done);
	EXPECT_EQ(count, arg.nr_bad);
	heap_check(&self->heap);
	heap_trim(&self->heap);
	EXPECT_EQ(0, heap_stats(&self->heap).page_bytes);
	free(refs);
}

/*
 * What is free in all faces of a page is handed out before there is a new page, and is
 * nobody else's.
 */
TEST_F(mesh, allocate)
{
	__u32 in_pool = POOL / variant->size, room, more;
	struct marked *all = calloc(self->count + 2 * POOLS * in_pool, sizeof(*all));
	__u64 *refs = calloc(self->count + 2 * POOLS * in_pool, sizeof(*refs)), pages;

	mesh_all(_metadata, self);
	pages = heap_stats(&self->heap).page_bytes / POOL;
	room = pages * in_pool - self->count;
	more = room + POOLS * in_pool;
	memcpy(all, self->blocks, self->count * sizeof(*all));
	if (room)
		marked_alloc(&self->heap, all + self->count, variant->size, room, 0);
	EXPECT_EQ(pages, heap_stats(&self->heap).page_bytes / POOL);
	marked_alloc(&self->heap, all + self->count + room, variant->size, more - room, 0);
	for (__u32 i = 0; i < self->count + more; i++)
		refs[i] = all[i].ref;
	EXPECT_EQ(self->count + more, count_different(refs, self->count + more));
	EXPECT_EQ(0, marked_lost(&self->heap, all, self->count + more));
	heap_check(&self->heap);
	/* Mesh full pools, too: there is nothing to do, and nothing is lost. */
	heap_mesh(&self->heap);
	EXPECT_EQ(0, marked_lost(&self->heap, all, self->count + more));
	marked_free(&self->heap, all + self->count, more);
	free(all);
	free(refs);
}

/* Zeros, where other blocks of the page are not. */
TEST_F(mesh, allocate_zeroed)
{
	__u32 more = POOLS * (POOL / variant->size);
	struct marked *zeroed = calloc(more, sizeof(*zeroed));

	mesh_all(_metadata, self);
	marked_alloc(&self->heap, zeroed, variant->size, more, PYMALLOC_ALLOC_ZERO);
	for (__u32 i = 0; i < more; i++) {
		EXPECT_TRUE(is_filled(at(&self->heap, zeroed[i].ref), 0, variant->size));
		marked_write(&self->heap, &zeroed[i]);
	}
	EXPECT_EQ(0, marked_lost(&self->heap, self->blocks, self->count));
	EXPECT_EQ(0, marked_lost(&self->heap, zeroed, more));
	marked_free(&self->heap, zeroed, more);
	free(zeroed);
}

static void resize_to(struct __test_metadata *_metadata, struct heap *heap, struct marked *block,
		      __u32 size)
{
	struct pymalloc_resize arg = ARG(resize, .ref = block->ref, .size = size);
	__u32 kept = size < block->size ? size : block->size;
	struct marked old = *block;

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_RESIZE, &arg));
	/* The bytes are those from the old place. */
	old.size = kept;
	EXPECT_TRUE(mark_holds(&old, at(heap, arg.ref)));
	block->ref = arg.ref;
	block->size = size;
	marked_write(heap, block);
}

TEST_F(mesh, resize)
{
	static const __u32 sizes[] = { 512, 8, 128, 3 * POOL, 256, 16 };

	mesh_all(_metadata, self);
	for (size_t size = 0; size < ARRAY_SIZE(sizes); size++) {
		for (__u32 i = 0; i < self->count; i++)
			resize_to(_metadata, &self->heap, &self->blocks[i], sizes[size]);
		EXPECT_EQ(0, marked_lost(&self->heap, self->blocks, self->count));
		heap_mesh(&self->heap);
		heap_check(&self->heap);
	}
	marked_sort(self->blocks, self->count);
}

/* What only was shared, before the child ended, shares pages as if there had been none. */
TEST_F(mesh, after_a_childs_end)
{
	pid_t child;

	IN_CHILD(child, EXPECT_EQ(0, marked_lost(&self->heap, self->blocks, self->count)));
	join_child(_metadata, child);
	ASSERT_TRUE(EVENTUALLY(service_info(_metadata).user_heaps == 1));
	mesh_all(_metadata, self);
	for (__u32 i = 0; i < self->count; i++)
		marked_write(&self->heap, &self->blocks[i]);
}

/* A page that has been joined is joined again, when it has become sparse once more. */
TEST_F(mesh, again_and_again)
{
	__u64 before;

	mesh_all(_metadata, self);
	while (self->count > 4) {
		before = heap_stats(&self->heap).page_bytes;
		marked_free(&self->heap, self->blocks + self->count / 2,
			    self->count - self->count / 2);
		self->count /= 2;
		heap_mesh(&self->heap);
		heap_trim(&self->heap);
		EXPECT_GE(before, heap_stats(&self->heap).page_bytes);
		EXPECT_EQ(0, marked_lost(&self->heap, self->blocks, self->count));
		heap_check(&self->heap);
	}
	EXPECT_GE(2 * POOL, heap_stats(&self->heap).page_bytes);
}

/* The limit counts pages: what meshing has saved can be allocated. */
TEST_F(mesh, charges)
{
	__u64 own = own_bytes(_metadata), saved;

	saved = heap_mesh(&self->heap).pages_freed * POOL;
	EXPECT_EQ(own - saved, own_bytes(_metadata));
	EXPECT_EQ(own - saved, heap_info(_metadata, self->heap.fd).page_bytes);
	EXPECT_EQ(own - saved, heap_info(_metadata, self->heap.fd).pss_bytes);
	EXPECT_EQ(0, heap_info(_metadata, self->heap.fd).shared_bytes);
}

/*
 * Blocks whose pages must stay
 */

FIXTURE(mesh_pinned)
{
	struct heap heap;
	struct marked blocks[POOLS];
	struct marked pinned[POOLS];
	__u64 pages[POOLS];
};

FIXTURE_SETUP(mesh_pinned)
{
	struct marked all[POOLS * 8];
	__u32 kept = 0;

	self->heap = HEAP();
	ASSERT_EQ(POOLS, leave_few(&self->heap, self->blocks, 512, POOLS, 1));
	marked_alloc(&self->heap, all, 512, ARRAY_SIZE(all), PYMALLOC_ALLOC_PINNED);
	marked_sort(all, ARRAY_SIZE(all));
	for (__u32 i = 0; i < ARRAY_SIZE(all); i++) {
		if (i % 8 == (i / 8) % 8)
			self->pinned[kept++] = all[i];
		else
			free_one(&self->heap, all[i].ref);
	}
	ASSERT_EQ(POOLS, kept);
	for (__u32 i = 0; i < POOLS; i++)
		self->pages[i] = page_frame(&self->heap, self->pinned[i].ref);
}

FIXTURE_TEARDOWN(mesh_pinned)
{
	EXPECT_EQ(0, marked_lost(&self->heap, self->blocks, POOLS));
	EXPECT_EQ(0, marked_lost(&self->heap, self->pinned, POOLS));
	heap_check(&self->heap);
	heap_close(&self->heap);
}

/* They have pools of their own, whose pages neither move nor take others in. */
TEST_F(mesh_pinned, pages_stay)
{
	__u64 different[POOLS];
	struct pymalloc_compact done = heap_mesh(&self->heap);

	EXPECT_LE(POOLS - FEW, done.pages_freed);
	for (__u32 i = 0; i < POOLS; i++)
		EXPECT_EQ(self->pages[i], page_frame(&self->heap, self->pinned[i].ref));
	memcpy(different, self->pages, sizeof(different));
	EXPECT_EQ(POOLS, count_different(different, POOLS));
	for (__u32 i = 0; i < POOLS; i++) {
		__u64 page = page_frame(&self->heap, self->blocks[i].ref);

		EXPECT_EQ(NULL, bsearch(&page, different, POOLS, sizeof(page), compare_numbers));
	}
}

/* How many blocks lie in a pool of one of the others? */
static size_t in_same_pools(const struct marked *blocks, size_t count,
			    const struct marked *others, size_t nr_others)
{
	size_t same = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t other = 0; other < nr_others; other++)
			same += blocks[i].ref / POOL == others[other].ref / POOL;
	return same;
}

/* Blocks that are not pinned never come from their pools, nor the reverse. */
TEST_F(mesh_pinned, pools_stay_apart)
{
	struct marked more[64], pinned[64];

	marked_alloc(&self->heap, more, 512, ARRAY_SIZE(more), 0);
	marked_alloc(&self->heap, pinned, 512, ARRAY_SIZE(pinned), PYMALLOC_ALLOC_PINNED);
	EXPECT_EQ(0, in_same_pools(more, ARRAY_SIZE(more), self->pinned, POOLS));
	EXPECT_EQ(0, in_same_pools(pinned, ARRAY_SIZE(pinned), self->blocks, POOLS));
	EXPECT_EQ(0, in_same_pools(pinned, ARRAY_SIZE(pinned), more, ARRAY_SIZE(more)));
	heap_mesh(&self->heap);
	EXPECT_EQ(0, marked_lost(&self->heap, more, ARRAY_SIZE(more)));
	EXPECT_EQ(0, marked_lost(&self->heap, pinned, ARRAY_SIZE(pinned)));
}

/* A pool is for pinned blocks until its last one has gone, and then for any. */
TEST_F(mesh_pinned, free_them)
{
	__u64 before;

	marked_free(&self->heap, self->pinned, POOLS);
	heap_mesh(&self->heap);
	heap_trim(&self->heap);
	before = heap_stats(&self->heap).page_bytes;
	EXPECT_GE(FEW * POOL, before);
	marked_alloc(&self->heap, self->pinned, 512, POOLS, PYMALLOC_ALLOC_PINNED);
	EXPECT_LE(before + POOLS / 8 * POOL, heap_stats(&self->heap).page_bytes);
}

TEST_HARNESS_MAIN
