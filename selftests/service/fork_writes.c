// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel has written to a heap can be seen as soon as the call
 * returns, even if another thread causes a copy of the page at that moment.
 *
 * One thread frees a block of a page that a child has, too, and allocates it
 * again. At the same time, another thread uses the block beside it. Both begin
 * each page together.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "relatives.h"

#define SIZE 512
#define PER_PAGE (POOL / SIZE)
#define PAGES 250
#define BLOCKS (PAGES * PER_PAGE)
#define ROUNDS 8
/* Each page has so many owners besides the parent. */
#define CHILDREN 3
/* The most spins by which one of the two threads comes later. */
#define MOST_SPINS 4000

struct neighbour {
	struct heap *heap;
	const __u64 *refs;	/* the blocks to use */
	bool writes;
	pthread_t thread;
	atomic_int begin;	/* how many pages may be used */
	atomic_int done;	/* how many have been used */
	__u64 seed;
};

FIXTURE(fork_writes)
{
	struct heap heap;
	__u64 blocks[PAGES];	/* the first block of each page */
	__u64 beside[PAGES];	/* the second block */
	__u64 sources[PAGES];	/* half as large, for RESIZE */
	struct neighbour neighbour;
	struct gate gate;
	pid_t children[CHILDREN];
	__u64 seed;
	int missed;		/* blocks that came from another page */
};

FIXTURE_VARIANT(fork_writes)
{
	bool writes;
};

FIXTURE_VARIANT_ADD(fork_writes, beside_a_writer) { .writes = true };
FIXTURE_VARIANT_ADD(fork_writes, beside_a_reader) { .writes = false };

FIXTURE_SETUP(fork_writes)
{
	static __u64 refs[BLOCKS];

	self->heap = HEAP();
	alloc(&self->heap, SIZE, refs, BLOCKS);
	for (int i = 0; i < PAGES; i++) {
		self->blocks[i] = refs[i * PER_PAGE];
		self->beside[i] = refs[i * PER_PAGE + 1];
		ASSERT_EQ(self->blocks[i] / POOL, self->beside[i] / POOL);
	}
	self->seed = 99;
}

FIXTURE_TEARDOWN(fork_writes)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static void spin(__u64 *seed)
{
	for (volatile __u64 left = next_random(seed) % MOST_SPINS; left; left--)
		;
}

/* Spin until so many pages have been begun, or done. */
static void spin_until(atomic_int *count, int nr)
{
	for (int spins = 1; atomic_load(count) < nr; spins++)
		if (!(spins % 10000))
			sched_yield();
}

static void *use_neighbours(void *arg)
{
	struct neighbour *neighbour = arg;

	for (int i = 0; i < PAGES; i++) {
		volatile int *block = (volatile int *)at(neighbour->heap, neighbour->refs[i]);

		spin_until(&neighbour->begin, i + 1);
		spin(&neighbour->seed);
		if (neighbour->writes)
			*block = i;
		else
			(void)*block;
		atomic_store(&neighbour->done, i + 1);
	}
	return NULL;
}

/* All pages are shared, and the other thread waits. */
static void begin_round(struct __test_metadata *_metadata, FIXTURE_DATA(fork_writes) *self,
			const FIXTURE_VARIANT(fork_writes) *variant)
{
	for (int i = 0; i < PAGES; i++) {
		memset(at(&self->heap, self->blocks[i]), 'o', SIZE);
		memset(at(&self->heap, self->beside[i]), 'b', SIZE);
	}
	self->gate = gate_new(_metadata);
	for (int nr = 0; nr < CHILDREN; nr++)
		IN_CHILD(self->children[nr], {
			gate_wait(_metadata, &self->gate);
			for (int i = 0; i < PAGES; i++) {
				EXPECT_TRUE(is_filled(at(&self->heap, self->blocks[i]), 'o', SIZE));
				EXPECT_TRUE(is_filled(at(&self->heap, self->beside[i]), 'b', SIZE));
			}
		});
	self->neighbour = (struct neighbour) {
		.heap = &self->heap, .refs = self->beside, .writes = variant->writes,
		.seed = next_random(&self->seed),
	};
	ASSERT_EQ(0, pthread_create(&self->neighbour.thread, NULL, use_neighbours,
				    &self->neighbour));
}

static void end_round(struct __test_metadata *_metadata, FIXTURE_DATA(fork_writes) *self)
{
	ASSERT_EQ(0, pthread_join(self->neighbour.thread, NULL));
	gate_open(_metadata, &self->gate);
	for (int nr = 0; nr < CHILDREN; nr++)
		join_child(_metadata, self->children[nr]);
	gate_close(&self->gate);
	for (int i = 0; i < PAGES && self->neighbour.writes; i++) {
		EXPECT_EQ(i, *(int *)at(&self->heap, self->beside[i]));
	}
}

/*
 * Are the bytes there that the kernel has written: at once, and after the other
 * thread is done with the page?
 */
static void look(struct __test_metadata *_metadata, FIXTURE_DATA(fork_writes) *self, int round,
		 int i, int byte, size_t bytes)
{
	char *block = at(&self->heap, self->blocks[i]);
	bool at_once = is_filled(block, byte, bytes), later;

	spin_until(&self->neighbour.done, i + 1);
	later = is_filled(block, byte, bytes);
	EXPECT_TRUE(at_once)
		TH_LOG("round %d, page %d: old bytes at first, %s", round, i,
		       later ? "not later" : "and later");
	EXPECT_TRUE(later)
		TH_LOG("round %d, page %d: old bytes later", round, i);
}

static void zero_page(struct __test_metadata *_metadata, FIXTURE_DATA(fork_writes) *self,
		      int round, int i)
{
	__u64 before = self->blocks[i];

	free_one(&self->heap, before);
	atomic_store(&self->neighbour.begin, i + 1);
	spin(&self->seed);
	alloc_flags(&self->heap, SIZE, &self->blocks[i], 1, PYMALLOC_ALLOC_ZERO);
	self->missed += self->blocks[i] != before;
	look(_metadata, self, round, i, 0, SIZE);
}

TEST_F(fork_writes, zeroed)
{
	for (int round = 0; round < ROUNDS; round++) {
		begin_round(_metadata, self, variant);
		for (int i = 0; i < PAGES; i++)
			zero_page(_metadata, self, round, i);
		end_round(_metadata, self);
	}
	EXPECT_EQ(0, self->missed);
}

static void resize_to_page(struct __test_metadata *_metadata, FIXTURE_DATA(fork_writes) *self,
			   int round, int i)
{
	struct pymalloc_resize arg = ARG(resize, .ref = self->sources[i], .size = SIZE);
	__u64 before = self->blocks[i];

	free_one(&self->heap, before);
	atomic_store(&self->neighbour.begin, i + 1);
	spin(&self->seed);
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_RESIZE, &arg));
	self->blocks[i] = arg.ref;
	self->missed += self->blocks[i] != before;
	look(_metadata, self, round, i, 's', SIZE / 2);
}

TEST_F(fork_writes, resized)
{
	for (int round = 0; round < ROUNDS; round++) {
		alloc(&self->heap, SIZE / 2, self->sources, PAGES);
		for (int i = 0; i < PAGES; i++)
			memset(at(&self->heap, self->sources[i]), 's', SIZE / 2);
		begin_round(_metadata, self, variant);
		for (int i = 0; i < PAGES; i++)
			resize_to_page(_metadata, self, round, i);
		end_round(_metadata, self);
	}
	EXPECT_EQ(0, self->missed);
}

/* The other thread causes a copy of the page that is read from. */
TEST_F(fork_writes, resized_from)
{
	for (int round = 0; round < ROUNDS; round++) {
		begin_round(_metadata, self, variant);
		for (int i = 0; i < PAGES; i++) {
			struct pymalloc_resize arg = ARG(resize, .ref = self->blocks[i],
							 .size = SIZE / 2);

			memset(at(&self->heap, self->blocks[i]), 'n', SIZE / 4);
			atomic_store(&self->neighbour.begin, i + 1);
			spin(&self->seed);
			ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_RESIZE, &arg));
			EXPECT_TRUE(is_filled(at(&self->heap, arg.ref), 'n', SIZE / 4));
			EXPECT_TRUE(is_filled(at(&self->heap, arg.ref + SIZE / 4), 'o', SIZE / 4));
			spin_until(&self->neighbour.done, i + 1);
			free_one(&self->heap, arg.ref);
			self->blocks[i] = alloc_one(&self->heap, SIZE);
			self->missed += self->blocks[i] / POOL != self->beside[i] / POOL;
		}
		end_round(_metadata, self);
	}
	EXPECT_EQ(0, self->missed);
}

TEST_HARNESS_MAIN
