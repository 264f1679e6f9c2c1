// SPDX-License-Identifier: GPL-2.0
/*
 * A process gives up a page, but something that it has made refer to the page
 * may still read it. Here this is a pipe that was filled by vmsplice(); for the
 * heap, direct I/O is the same. The pipe must not show what the other owners of
 * the page write from then on.
 */
#include "relatives.h"

#define PAGES 4
#define SIZE 512
#define PER_PAGE (POOL / SIZE)
#define BLOCKS (PAGES * PER_PAGE)

/* What relatives tell one another. */
struct common {
	__u64 heaps[2];	/* which have to end before the writes */
};

FIXTURE(fork_pins)
{
	struct heap heap;
	__u64 refs[BLOCKS];	/* page by page */
	int pipe[2];		/* has the first block of each page */
	struct common *common;
	struct gate left;	/* the page has been given up */
	struct gate done;	/* the pipe has been read */
};

/* How a process gives up its pages while the pipe refers to them. */
FIXTURE_VARIANT(fork_pins)
{
	void (*leave)(struct heap *heap, __u64 *refs);
	bool ends;	/* its heap goes */
	bool exits;	/* with the process */
};

/* Write to the last block of each page, so that the page is copied. */
static void leave_by_write(struct heap *heap, __u64 *refs)
{
	for (int i = PER_PAGE - 1; i < (int)BLOCKS; i += PER_PAGE)
		*at(heap, refs[i]) = 'l';
}

static void leave_by_unmap(struct heap *heap, __u64 *refs)
{
	(void)refs;
	heap_unmap(heap);
}

static void leave_by_free(struct heap *heap, __u64 *refs)
{
	free_all(heap, refs, BLOCKS);
	heap_trim(heap);
}

static void leave_by_exit(struct heap *heap, __u64 *refs)
{
	(void)heap;
	(void)refs;
}

FIXTURE_VARIANT_ADD(fork_pins, write) { .leave = leave_by_write };
FIXTURE_VARIANT_ADD(fork_pins, unmap) { .leave = leave_by_unmap, .ends = true };
FIXTURE_VARIANT_ADD(fork_pins, free) { .leave = leave_by_free };
FIXTURE_VARIANT_ADD(fork_pins, exit) { .leave = leave_by_exit, .ends = true, .exits = true };

static void fill(FIXTURE_DATA(fork_pins) *self, int byte)
{
	for (int i = 0; i < (int)BLOCKS; i += PER_PAGE)
		memset(at(&self->heap, self->refs[i]), byte, SIZE);
}

static bool filled(FIXTURE_DATA(fork_pins) *self, int byte)
{
	for (int i = 0; i < (int)BLOCKS; i += PER_PAGE)
		if (!is_filled(at(&self->heap, self->refs[i]), byte, SIZE))
			return false;
	return true;
}

static void fill_pipe(struct __test_metadata *_metadata, FIXTURE_DATA(fork_pins) *self)
{
	for (int i = 0; i < (int)BLOCKS; i += PER_PAGE)
		pipe_memory(_metadata, self->pipe[1], at(&self->heap, self->refs[i]), SIZE);
}

FIXTURE_SETUP(fork_pins)
{
	self->heap = HEAP();
	alloc(&self->heap, SIZE, self->refs, BLOCKS);
	for (int i = 0; i < (int)BLOCKS; i += PER_PAGE)
		ASSERT_EQ(self->refs[i] / POOL, self->refs[i + PER_PAGE - 1] / POOL);
	fill(self, 'o');
	ASSERT_EQ(0, pipe(self->pipe));
	self->common = common_memory(_metadata, sizeof(*self->common));
	self->left = gate_new(_metadata);
	self->done = gate_new(_metadata);
}

FIXTURE_TEARDOWN(fork_pins)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
	close(self->pipe[0]);
	close(self->pipe[1]);
	munmap(self->common, sizeof(*self->common));
	gate_close(&self->left);
	gate_close(&self->done);
}

static void tell_heap(struct __test_metadata *_metadata, FIXTURE_DATA(fork_pins) *self, int place)
{
	self->common->heaps[place] = heap_info(_metadata, self->heap.fd).id;
}

/* Fill the pipe and give up the pages. */
static void reader(struct __test_metadata *_metadata, FIXTURE_DATA(fork_pins) *self,
		   const FIXTURE_VARIANT(fork_pins) *variant)
{
	EXPECT_TRUE(filled(self, 'o'));
	fill_pipe(_metadata, self);
	if (variant->ends)
		tell_heap(_metadata, self, 0);
	variant->leave(&self->heap, self->refs);
	gate_open(_metadata, &self->left);
	if (!variant->exits)
		gate_wait(_metadata, &self->done);
}

/* This process keeps the pages, and writes to them. */
static void writer(struct __test_metadata *_metadata, FIXTURE_DATA(fork_pins) *self)
{
	gate_wait(_metadata, &self->left);
	for (size_t i = 0; i < ARRAY_SIZE(self->common->heaps); i++)
		if (self->common->heaps[i])
			wait_for_end(_metadata, self->common->heaps[i]);
	EXPECT_TRUE(filled(self, 'o'));
	fill(self, 'w');
	for (int i = 0; i < PAGES; i++) {
		EXPECT_TRUE(pipe_holds(_metadata, self->pipe[0], 'o', SIZE))
			TH_LOG("page %d", i);
	}
	EXPECT_TRUE(filled(self, 'w'));
	heap_check(&self->heap);
	gate_open(_metadata, &self->done);
}

TEST_F(fork_pins, child_reads)
{
	pid_t child;

	IN_CHILD(child, reader(_metadata, self, variant));
	writer(_metadata, self);
	join_child(_metadata, child);
}

/*
 * The parent is a child as well, so that it can give up its pages in any way.
 * By then, the process that has made the parent has other pages.
 */
TEST_F(fork_pins, parent_reads)
{
	struct gate alone = gate_new(_metadata);
	pid_t parent, child;

	IN_CHILD(parent, {
		gate_wait(_metadata, &alone);
		IN_CHILD(child, writer(_metadata, self));
		reader(_metadata, self, variant);
		if (!variant->exits)
			join_child(_metadata, child);
	});
	leave_by_write(&self->heap, self->refs);
	gate_open(_metadata, &alone);
	join_child(_metadata, parent);
	gate_wait(_metadata, &self->done);
	EXPECT_TRUE(filled(self, 'o'));
	gate_close(&alone);
}

/* The reader's parent has gone, too, before the writes. */
TEST_F(fork_pins, grandchild_reads)
{
	struct gate alone = gate_new(_metadata);
	pid_t child, grandchild;

	IN_CHILD(child, {
		tell_heap(_metadata, self, 1);
		IN_CHILD(grandchild, {
			gate_wait(_metadata, &alone);
			reader(_metadata, self, variant);
		});
		EXPECT_LT(0, grandchild);
	});
	join_child(_metadata, child);
	gate_open(_metadata, &alone);
	writer(_metadata, self);
	gate_close(&alone);
}

/* The child reads by itself, as another user. */
TEST_F(fork_pins, another_user_reads)
{
	struct gate written;
	pid_t child;

	if (variant->exits)
		SKIP(return, "who has ended reads nothing");
	written = gate_new(_metadata);
	IN_CHILD(child, {
		become_somebody(_metadata);
		fill_pipe(_metadata, self);
		tell_heap(_metadata, self, 0);
		variant->leave(&self->heap, self->refs);
		gate_open(_metadata, &self->left);
		gate_wait(_metadata, &written);
		for (int i = 0; i < PAGES; i++) {
			EXPECT_TRUE(pipe_holds(_metadata, self->pipe[0], 'o', SIZE));
		}
	});
	gate_wait(_metadata, &self->left);
	if (variant->ends)
		wait_for_end(_metadata, self->common->heaps[0]);
	fill(self, 'w');
	gate_open(_metadata, &written);
	join_child(_metadata, child);
	EXPECT_TRUE(filled(self, 'w'));
	gate_close(&written);
}

/*
 * The parent has filled the pipe itself before it forked. A child, and a child
 * of another user, must not read from it what the parent has written since.
 */
TEST_F(fork_pins, filled_before)
{
	pid_t child;

	fill_pipe(_metadata, self);
	IN_CHILD(child, {
		gate_wait(_metadata, &self->left);
		become_somebody(_metadata);
		for (int i = 0; i < PAGES; i++) {
			EXPECT_TRUE(pipe_holds(_metadata, self->pipe[0], 'o', SIZE))
				TH_LOG("page %d", i);
		}
		EXPECT_TRUE(filled(self, 'o'));
	});
	fill(self, 'w');
	gate_open(_metadata, &self->left);
	join_child(_metadata, child);
	EXPECT_TRUE(filled(self, 'w'));
}

#define CHILDREN 8

static void use_heap(struct heap *heap)
{
	__u64 run = alloc_one(heap, 20 * POOL), refs[100];

	for (int i = 0; i < 20; i++)
		*at(heap, run + i * POOL) = 'u';
	alloc(heap, 64, refs, ARRAY_SIZE(refs));
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		memset(at(heap, refs[i]), 'u', 64);
	free_all(heap, refs, ARRAY_SIZE(refs));
	free_one(heap, run);
}

/*
 * No relative is left, and the heap may be mapped as it was before the first
 * fork(). But pipes still have what each child has seen.
 */
TEST_F(fork_pins, all_children_have_gone)
{
	int pipes[CHILDREN][2];
	pid_t child;

	for (int i = 0; i < CHILDREN; i++) {
		ASSERT_EQ(0, pipe(pipes[i]));
		self->pipe[1] = pipes[i][1];
		fill(self, 'a' + i);
		IN_CHILD(child, {
			fill_pipe(_metadata, self);
			tell_heap(_metadata, self, 0);
			if (!variant->exits)
				variant->leave(&self->heap, self->refs);
		});
		join_child(_metadata, child);
		wait_for_end(_metadata, self->common->heaps[0]);
		use_heap(&self->heap);
	}
	for (int i = 0; i < 10; i++)
		use_heap(&self->heap);
	fill(self, 'w');
	for (int i = 0; i < CHILDREN * PAGES; i++) {
		EXPECT_TRUE(pipe_holds(_metadata, pipes[i / PAGES][0], 'a' + i / PAGES, SIZE))
			TH_LOG("child %d, page %d", i / PAGES, i % PAGES);
	}
	use_heap(&self->heap);
	EXPECT_TRUE(filled(self, 'w'));
	for (int i = 0; i < CHILDREN; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	self->pipe[1] = -1;
}

TEST_HARNESS_MAIN
