// SPDX-License-Identifier: GPL-2.0
/*
 * The figures of heaps after fork(): shared_bytes, and pss_bytes. The sum of
 * pss_bytes over all heaps is what they hold.
 */
#include "service.h"

/* This user has nothing but what these tests make. */
#define USER 42345

#define PAGES 100
#define OBJECTS 500
#define CHILDREN 3

/* Eight blocks of 512 bytes a page, and the run. */
#define ALL (PAGES + (OBJECTS + 7) / 8)

struct figures {
	__u64 page_bytes;
	__u64 shared_bytes;
	__u64 pss_bytes;
};

struct child {
	struct turns turns;
	pid_t pid;
};

FIXTURE(fork_figures)
{
	struct heap heap;
	__u64 run;
	struct child children[CHILDREN];
	struct figures *figures;	/* of the children, as each sees its own */
};

static bool nothing_is_left(struct __test_metadata *_metadata)
{
	struct pymalloc_info info = service_info(_metadata);

	return !info.user_heaps && !info.user_bytes;
}

static __u64 refs[OBJECTS];

/* 63 pools of 512-byte blocks, the last one not full, and a run of PAGES. */
FIXTURE_SETUP(fork_figures)
{
	ASSERT_EQ(0, seteuid(USER));
	ASSERT_TRUE(EVENTUALLY(nothing_is_left(_metadata)));
	self->figures = mmap(NULL, CHILDREN * sizeof(*self->figures), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->figures);
	self->heap = HEAP();
	alloc(&self->heap, 512, refs, OBJECTS);
	self->run = alloc_one(&self->heap, PAGES * POOL);
	memset(at(&self->heap, self->run), 'r', PAGES * POOL);
	heap_trim(&self->heap);
	ASSERT_EQ(ALL * POOL, heap_stats(&self->heap).page_bytes);
}

FIXTURE_TEARDOWN(fork_figures)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
	EXPECT_TRUE(EVENTUALLY(nothing_is_left(_metadata)));
	ASSERT_EQ(0, seteuid(0));
}

/* STATS and LIST have to say the same. */
static struct figures figures_of(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_heap_info info = heap_info(_metadata, heap->fd);
	struct pymalloc_stats stats = heap_stats(heap);

	EXPECT_EQ(stats.page_bytes, info.page_bytes);
	EXPECT_EQ(stats.shared_bytes, info.shared_bytes);
	EXPECT_EQ(stats.pss_bytes, info.pss_bytes);
	return (struct figures){ stats.page_bytes, stats.shared_bytes, stats.pss_bytes };
}

/*
 * Compare with the figures of a heap that has @own pages alone, and @shared
 * pages together with other heaps, @sharers in all.
 */
static void expect_figures(struct __test_metadata *_metadata, struct figures now,
			   __u64 own, __u64 shared, __u64 sharers)
{
	__u64 pss = own * POOL + shared * POOL / sharers;

	EXPECT_EQ((own + shared) * POOL, now.page_bytes);
	EXPECT_EQ(shared * POOL, now.shared_bytes);
	/* It is rounded down by page or by heap. */
	EXPECT_GE(pss, now.pss_bytes);
	EXPECT_LE(pss - shared, now.pss_bytes);
}

TEST_F(fork_figures, without_fork)
{
	expect_figures(_metadata, figures_of(&self->heap), ALL, 0, 1);
	EXPECT_EQ(ALL * POOL, figures_of(&self->heap).pss_bytes);
	free_all(&self->heap, refs, OBJECTS);
	free_one(&self->heap, self->run);
	heap_trim(&self->heap);
	expect_figures(_metadata, figures_of(&self->heap), 0, 0, 1);
}

/* Empty pools have pages, and these pages count like others. */
TEST_F(fork_figures, empty_pools)
{
	free_all(&self->heap, refs, 8);
	expect_figures(_metadata, figures_of(&self->heap), ALL, 0, 1);
}

/*
 * Children write to a part of the run each time that they are told to. Child
 * number @c writes to 10 pages, from page 10 * @c on.
 */
#define WRITTEN 10

static void write_pages(struct heap *heap, __u64 run, __u64 first, __u64 nr)
{
	for (__u64 i = first; i < first + nr; i++)
		*at(heap, run + i * POOL) = 'w';
}

/* A child has four steps: it is born, it writes, it frees its run, it ends. */
static void be_child(FIXTURE_DATA(fork_figures) *self, int c)
{
	struct turns *turns = &self->children[c].turns;
	struct heap *heap = &self->heap;

	turns_take(turns, 1);
	self->figures[c] = figures_of(heap);
	turns_around(turns);
	write_pages(heap, self->run, 10 * c, WRITTEN);
	self->figures[c] = figures_of(heap);
	turns_around(turns);
	free_one(heap, self->run);
	heap_trim(heap);
	self->figures[c] = figures_of(heap);
	turns_around(turns);
	heap_check(heap);
}

/*
 * Make them one after the other, so that each child has all pages of those
 * before it.
 */
static void have_children(struct __test_metadata *_metadata, FIXTURE_DATA(fork_figures) *self)
{
	for (int c = 0; c < CHILDREN; c++) {
		struct child *child = &self->children[c];

		child->turns = turns_make(_metadata);
		IN_CHILD(child->pid, be_child(self, c));
		turns_take(&child->turns, 0);
		ASSERT_TRUE(turns_wait(&child->turns));
	}
}

static void step(struct __test_metadata *_metadata, FIXTURE_DATA(fork_figures) *self, int c)
{
	ASSERT_TRUE(turns_around(&self->children[c].turns));
}

/* The last step of child @c. Its heap shares pages until it is gone, too. */
static void end_child(struct __test_metadata *_metadata, FIXTURE_DATA(fork_figures) *self, int c)
{
	__u32 heaps = service_info(_metadata).user_heaps;

	turns_pass(&self->children[c].turns);
	join_child(_metadata, self->children[c].pid);
	close(turns_end(&self->children[c].turns));
	EXPECT_TRUE(EVENTUALLY(service_info(_metadata).user_heaps == heaps - 1));
}

/* With each child, each page gets one more heap. */
TEST_F(fork_figures, of_children_as_they_come)
{
	have_children(_metadata, self);
	for (int c = 0; c < CHILDREN; c++)
		expect_figures(_metadata, self->figures[c], 0, ALL, c + 2);
	expect_figures(_metadata, figures_of(&self->heap), 0, ALL, CHILDREN + 1);
	for (int c = 0; c < CHILDREN; c++) {
		step(_metadata, self, c);
		step(_metadata, self, c);
		end_child(_metadata, self, c);
	}
}

TEST_F(fork_figures, after_a_child_has_written)
{
	have_children(_metadata, self);
	step(_metadata, self, 0);
	/* Besides its own ten pages, it has pages that four heaps share. */
	expect_figures(_metadata, self->figures[0], WRITTEN, ALL - WRITTEN, CHILDREN + 1);
	for (int c = 1; c < CHILDREN; c++)
		step(_metadata, self, c);
	for (int c = 0; c < CHILDREN; c++) {
		step(_metadata, self, c);
		end_child(_metadata, self, c);
	}
}

/* A page is shared by the heaps that are still there. */
TEST_F(fork_figures, after_children_have_gone)
{
	have_children(_metadata, self);
	for (int c = 0; c < CHILDREN; c++) {
		step(_metadata, self, c);
		step(_metadata, self, c);
		/*
		 * The run is gone. The pools are shared with the heaps that are
		 * there.
		 */
		expect_figures(_metadata, self->figures[c], 0, ALL - PAGES, CHILDREN + 1 - c);
		end_child(_metadata, self, c);
	}
	expect_figures(_metadata, figures_of(&self->heap), ALL, 0, 1);
	EXPECT_EQ(ALL * POOL, figures_of(&self->heap).pss_bytes);
}

#define ENTRIES 16

/* The sum over all heaps of the user, as LIST shows them. */
static __u64 pss_of_all(struct __test_metadata *_metadata, __u32 heaps)
{
	struct pymalloc_heap_info infos[ENTRIES];
	struct pymalloc_list arg = ARG(list, .heaps = user_ptr(infos), .count = ENTRIES,
				       .entry_size = sizeof(infos[0]));
	int device = device_open(_metadata);
	__u64 sum = 0;

	ASSERT_EQ(0, call(device, PYMALLOC_IOC_LIST, &arg));
	close(device);
	EXPECT_EQ(heaps, arg.done);
	for (__u32 i = 0; i < arg.done; i++)
		sum += infos[i].pss_bytes;
	return sum;
}

/*
 * The sum of the figures is what the heaps hold, except for the rounding of a
 * division.
 */
static void expect_sum(struct __test_metadata *_metadata, __u32 heaps)
{
	__u64 held = own_bytes(_metadata);
	__u64 sum = pss_of_all(_metadata, heaps);

	EXPECT_GE(held, sum);
	EXPECT_LE(held - POOL, sum);
}

TEST_F(fork_figures, sum_is_what_is_held)
{
	expect_sum(_metadata, 1);
	have_children(_metadata, self);
	EXPECT_EQ(ALL * POOL, own_bytes(_metadata));
	expect_sum(_metadata, CHILDREN + 1);
	for (int c = 0; c < CHILDREN; c++) {
		step(_metadata, self, c);
		EXPECT_EQ((ALL + (c + 1) * WRITTEN) * POOL, own_bytes(_metadata));
		expect_sum(_metadata, CHILDREN + 1);
	}
	write_pages(&self->heap, self->run, 0, PAGES);
	expect_sum(_metadata, CHILDREN + 1);
	for (int c = 0; c < CHILDREN; c++) {
		step(_metadata, self, c);
		expect_sum(_metadata, CHILDREN + 1);
	}
	for (int c = 0; c < CHILDREN; c++)
		end_child(_metadata, self, c);
	EXPECT_TRUE(EVENTUALLY(service_info(_metadata).user_heaps == 1));
	expect_sum(_metadata, 1);
}

/*
 * Two heaps share a page, and one frees it: then the page belongs to the other
 * alone.
 */
TEST_F(fork_figures, after_the_parent_has_freed)
{
	pid_t child;

	IN_CHILD(child, {
		expect_figures(_metadata, figures_of(&self->heap), 0, ALL, 2);
		kill(getpid(), SIGSTOP);
		expect_figures(_metadata, figures_of(&self->heap), PAGES, ALL - PAGES, 2);
	});
	ASSERT_EQ(child, waitpid(child, NULL, WUNTRACED));
	free_one(&self->heap, self->run);
	heap_trim(&self->heap);
	expect_figures(_metadata, figures_of(&self->heap), 0, ALL - PAGES, 2);
	ASSERT_EQ(0, kill(child, SIGCONT));
	join_child(_metadata, child);
}

TEST_HARNESS_MAIN
