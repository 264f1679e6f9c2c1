// SPDX-License-Identifier: GPL-2.0
/*
 * Whatever a process does to its mappings of a heap after fork(), it loses no
 * page, and it can never write to a page that a relative has, too.
 */
#include "relatives.h"

#define SIZE 512
#define PER_PAGE (POOL / SIZE)
#define BLOCKS (8 * PER_PAGE)
#define RUN_PAGES 16

#define RW (PROT_READ | PROT_WRITE)

FIXTURE(fork_protect)
{
	struct heap heap;
	__u64 refs[BLOCKS];
	__u64 run;
	struct gate written;
};

/* What is done to the mappings. After that, everything is written to. */
FIXTURE_VARIANT(fork_protect)
{
	void (*change)(struct heap *heap, __u64 run);
};

static void protect(struct heap *heap, char *from, __u64 bytes, int prot)
{
	struct __test_metadata *_metadata = heap->test;

	ASSERT_EQ(0, mprotect(from, bytes, prot)) TH_LOG("%m");
}

static void window_for_reading(struct heap *heap, __u64 run)
{
	(void)run;
	protect(heap, heap->window, heap->bytes, PROT_READ);
	protect(heap, heap->window, heap->bytes, RW);
}

static void window_for_nothing(struct heap *heap, __u64 run)
{
	(void)run;
	protect(heap, heap->window, heap->bytes, PROT_NONE);
	protect(heap, heap->window, heap->bytes, RW);
}

static void window_many_times(struct heap *heap, __u64 run)
{
	for (int i = 0; i < 5; i++) {
		window_for_reading(heap, run);
		window_for_nothing(heap, run);
	}
}

/* This splits the mapping: the middle was a mapping of its own. */
static void part_of_the_window(struct heap *heap, __u64 run)
{
	protect(heap, at(heap, run + 4 * POOL), 8 * POOL, PROT_READ);
	protect(heap, at(heap, run + 4 * POOL), 8 * POOL, RW);
}

/* The parts do not become one mapping again. */
static void parts_of_the_window(struct heap *heap, __u64 run)
{
	protect(heap, heap->window, run + 4 * POOL, PROT_NONE);
	protect(heap, at(heap, run + 4 * POOL), 8 * POOL, PROT_READ);
	protect(heap, heap->window, run + 4 * POOL, RW);
	protect(heap, at(heap, run + 4 * POOL), 8 * POOL, RW);
}

static void move_window(struct heap *heap, __u64 run)
{
	struct __test_metadata *_metadata = heap->test;
	void *to = mmap(NULL, heap->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);

	(void)run;
	ASSERT_NE(MAP_FAILED, to);
	ASSERT_EQ(to, mremap(heap->window, heap->bytes, heap->bytes,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to)) TH_LOG("%m");
	heap->window = to;
}

static void move_and_protect(struct heap *heap, __u64 run)
{
	move_window(heap, run);
	window_for_reading(heap, run);
}

static void protect_and_move(struct heap *heap, __u64 run)
{
	protect(heap, heap->window, heap->bytes, PROT_READ);
	move_window(heap, run);
	protect(heap, heap->window, heap->bytes, RW);
}

static void drop_page_tables(struct heap *heap, __u64 run)
{
	struct __test_metadata *_metadata = heap->test;

	(void)run;
	ASSERT_EQ(0, madvise(heap->window, heap->bytes, MADV_DONTNEED)) TH_LOG("%m");
}

static void drop_and_protect(struct heap *heap, __u64 run)
{
	volatile char *page = at(heap, run);

	drop_page_tables(heap, run);
	/* Some pages come back, with the pages around them. */
	for (int i = 0; i < RUN_PAGES; i += 8)
		(void)page[i * POOL];
	window_for_reading(heap, run);
}

static void protect_and_drop(struct heap *heap, __u64 run)
{
	protect(heap, heap->window, heap->bytes, PROT_READ);
	drop_page_tables(heap, run);
	protect(heap, heap->window, heap->bytes, RW);
}

/* The old mapping stays as it is, and shows what is written to the new one. */
static void map_again(struct heap *heap, __u64 run)
{
	struct __test_metadata *_metadata = heap->test;
	volatile char *page;

	heap->window = mmap(NULL, heap->bytes, RW, MAP_SHARED, heap->fd, 0);
	ASSERT_NE(MAP_FAILED, heap->window) TH_LOG("%m");
	page = at(heap, run);
	for (int i = 0; i < RUN_PAGES; i++)
		(void)page[i * POOL];
	window_for_reading(heap, run);
}

FIXTURE_VARIANT_ADD(fork_protect, for_reading) { .change = window_for_reading };
FIXTURE_VARIANT_ADD(fork_protect, for_nothing) { .change = window_for_nothing };
FIXTURE_VARIANT_ADD(fork_protect, many_times) { .change = window_many_times };
FIXTURE_VARIANT_ADD(fork_protect, part) { .change = part_of_the_window };
FIXTURE_VARIANT_ADD(fork_protect, parts) { .change = parts_of_the_window };
FIXTURE_VARIANT_ADD(fork_protect, moved) { .change = move_window };
FIXTURE_VARIANT_ADD(fork_protect, move_first) { .change = move_and_protect };
FIXTURE_VARIANT_ADD(fork_protect, move_between) { .change = protect_and_move };
FIXTURE_VARIANT_ADD(fork_protect, drop) { .change = drop_page_tables };
FIXTURE_VARIANT_ADD(fork_protect, drop_first) { .change = drop_and_protect };
FIXTURE_VARIANT_ADD(fork_protect, drop_between) { .change = protect_and_drop };
FIXTURE_VARIANT_ADD(fork_protect, again) { .change = map_again };

static void fill(FIXTURE_DATA(fork_protect) *self, int byte)
{
	for (size_t i = 0; i < BLOCKS; i++)
		memset(at(&self->heap, self->refs[i]), byte, SIZE);
	memset(at(&self->heap, self->run), byte, RUN_PAGES * POOL);
}

/* How many blocks, and pages of the run, are full of @byte. */
static size_t filled(FIXTURE_DATA(fork_protect) *self, int byte)
{
	size_t nr = 0;

	for (size_t i = 0; i < BLOCKS; i++)
		nr += is_filled(at(&self->heap, self->refs[i]), byte, SIZE);
	for (int i = 0; i < RUN_PAGES; i++)
		nr += is_filled(at(&self->heap, self->run + i * POOL), byte, POOL);
	return nr;
}

#define ALL (BLOCKS + RUN_PAGES)

/* Pages are dirty before the fork(). */
FIXTURE_SETUP(fork_protect)
{
	self->heap = HEAP();
	alloc(&self->heap, SIZE, self->refs, BLOCKS);
	self->run = alloc_one(&self->heap, RUN_PAGES * POOL);
	fill(self, 'o');
	self->written = gate_new(_metadata);
}

FIXTURE_TEARDOWN(fork_protect)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
	gate_close(&self->written);
}

static void change_and_fill(struct __test_metadata *_metadata, FIXTURE_DATA(fork_protect) *self,
			    const FIXTURE_VARIANT(fork_protect) *variant, int before, int after)
{
	struct heap old = self->heap;

	variant->change(&self->heap, self->run);
	EXPECT_EQ(ALL, filled(self, before));
	fill(self, after);
	EXPECT_EQ(ALL, filled(self, after));
	heap_check(&self->heap);
	if (variant->change == map_again) {
		EXPECT_EQ(after, *at(&old, self->run));
		EXPECT_EQ(after, *at(&old, self->refs[0]));
	}
}

TEST_F(fork_protect, parent_writes)
{
	pid_t child;

	IN_CHILD(child, {
		EXPECT_EQ(ALL, filled(self, 'o'));
		gate_wait(_metadata, &self->written);
		EXPECT_EQ(ALL, filled(self, 'o'));
		heap_check(&self->heap);
	});
	change_and_fill(_metadata, self, variant, 'o', 'p');
	gate_open(_metadata, &self->written);
	join_child(_metadata, child);
	EXPECT_EQ(ALL, filled(self, 'p'));
}

TEST_F(fork_protect, child_writes)
{
	pid_t child;

	IN_CHILD(child, change_and_fill(_metadata, self, variant, 'o', 'c'));
	join_child(_metadata, child);
	EXPECT_EQ(ALL, filled(self, 'o'));
}

/* The child's own pages are dirty before the child forks. */
TEST_F(fork_protect, child_of_a_child)
{
	pid_t child, grandchild;

	IN_CHILD(child, {
		fill(self, 'c');
		IN_CHILD(grandchild, {
			gate_wait(_metadata, &self->written);
			EXPECT_EQ(ALL, filled(self, 'c'));
			change_and_fill(_metadata, self, variant, 'c', 'g');
		});
		change_and_fill(_metadata, self, variant, 'c', 'd');
		gate_open(_metadata, &self->written);
		join_child(_metadata, grandchild);
		EXPECT_EQ(ALL, filled(self, 'd'));
	});
	join_child(_metadata, child);
	EXPECT_EQ(ALL, filled(self, 'o'));
}

/* The window is for reading at the fork(), and for writing after it. */
TEST_F(fork_protect, for_reading_at_the_fork)
{
	pid_t child;

	protect(&self->heap, self->heap.window, self->heap.bytes, PROT_READ);
	IN_CHILD(child, {
		protect(&self->heap, self->heap.window, self->heap.bytes, RW);
		gate_wait(_metadata, &self->written);
		EXPECT_EQ(ALL, filled(self, 'o'));
		change_and_fill(_metadata, self, variant, 'o', 'c');
	});
	protect(&self->heap, self->heap.window, self->heap.bytes, RW);
	change_and_fill(_metadata, self, variant, 'o', 'p');
	gate_open(_metadata, &self->written);
	join_child(_metadata, child);
	EXPECT_EQ(ALL, filled(self, 'p'));
}

/*
 * When the relatives have gone, everything is as before, also for the next
 * fork().
 */
TEST_F(fork_protect, again_and_again)
{
	pid_t child;

	for (int i = 0; i < 5; i++) {
		struct gate written = gate_new(_metadata);
		int before = i ? 'a' + i - 1 : 'o';

		IN_CHILD(child, {
			gate_wait(_metadata, &written);
			EXPECT_EQ(ALL, filled(self, before));
		});
		change_and_fill(_metadata, self, variant, before, 'a' + i);
		gate_open(_metadata, &written);
		join_child(_metadata, child);
		free_one(&self->heap, alloc_one(&self->heap, 64));
		EXPECT_EQ(ALL, filled(self, 'a' + i));
		gate_close(&written);
	}
}

TEST_HARNESS_MAIN
