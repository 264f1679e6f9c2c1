// SPDX-License-Identifier: GPL-2.0
/*
 * The extent: the part of the window in which objects may lie. And windows that
 * are mapped in parts.
 */
#include "relatives.h"

#define MIB (1ULL << 20)
#define WINDOW (64 * MIB)
/* This is in the middle of 16 MiB that the kernel describes together. */
#define EXTENT (20 * MIB)
#define PAGES (EXTENT / POOL)

static int grow(struct heap *heap, __u64 extent)
{
	struct pymalloc_grow arg = ARG(grow, .extent = extent);

	return call(heap->fd, PYMALLOC_IOC_GROW, &arg);
}

/*
 * Allocate as many pages as there are, each as a run. Returns the error that
 * ended it.
 */
static int fill(struct heap *heap, __u64 *refs, __u32 *done)
{
	struct pymalloc_alloc arg = ARG(alloc, .size = POOL, .refs = user_ptr(refs),
					.count = PYMALLOC_BATCH_MAX);
	int ret = call(heap->fd, PYMALLOC_IOC_ALLOC, &arg);

	*done = arg.done;
	return ret;
}

static __u64 highest(const __u64 *refs, __u32 count)
{
	__u64 found = 0;

	for (__u32 i = 0; i < count; i++)
		if (refs[i] > found)
			found = refs[i];
	return found;
}

FIXTURE(grow)
{
	struct heap heap;
	__u64 refs[PYMALLOC_BATCH_MAX];
	__u32 count;
};

FIXTURE_SETUP(grow)
{
	self->heap = HEAP(.window = WINDOW, .extent = EXTENT);
	ASSERT_EQ(-ENOSPC, fill(&self->heap, self->refs, &self->count));
}

FIXTURE_TEARDOWN(grow)
{
	heap_check(&self->heap);
	free_all(&self->heap, self->refs, self->count);
	heap_check(&self->heap);
	heap_close(&self->heap);
}

TEST(extents)
{
	const struct {
		__u64 window, extent;
		int error;
	} cases[] = {
		{ WINDOW, 0, 0 },
		{ WINDOW, WINDOW, 0 },
		{ WINDOW, PYMALLOC_WINDOW_MIN, 0 },
		{ WINDOW, WINDOW + ARENA, -EINVAL },
		{ WINDOW, ARENA, -EINVAL },
		{ WINDOW, 4 * ARENA + POOL, -EINVAL },
		{ 0, PYMALLOC_WINDOW_MIN, 0 },
	};
	int device = device_open(_metadata);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pymalloc_create arg = ARG(create, .window = cases[i].window,
						 .extent = cases[i].extent);
		int fd = call(device, PYMALLOC_IOC_CREATE, &arg);

		EXPECT_EQ(cases[i].error, fd < 0 ? fd : 0) TH_LOG("case %zu", i);
		close(fd);
	}
	close(device);
}

TEST_F(grow, objects_lie_in_the_extent)
{
	/* All pages, except those of the arena that is never used. */
	EXPECT_EQ(PAGES - ARENA / POOL, self->count);
	EXPECT_EQ(EXTENT - POOL, highest(self->refs, self->count));
}

TEST_F(grow, blocks_and_resizing_end_there_too)
{
	__u64 ref;
	struct pymalloc_alloc block = ARG(alloc, .size = 8, .refs = user_ptr(&ref), .count = 1);
	struct pymalloc_resize resize = ARG(resize, .ref = self->refs[0], .size = 2 * POOL);

	EXPECT_EQ(-ENOSPC, call(self->heap.fd, PYMALLOC_IOC_ALLOC, &block));
	EXPECT_EQ(0, block.done);
	EXPECT_EQ(-ENOSPC, call(self->heap.fd, PYMALLOC_IOC_RESIZE, &resize));
	/*
	 * When an arena of one kind has gone, there is room for one of the
	 * other kind.
	 */
	self->count -= ARENA / POOL;
	free_all(&self->heap, self->refs + self->count, ARENA / POOL);
	heap_trim(&self->heap);
	EXPECT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_ALLOC, &block));
	free_one(&self->heap, ref);
}

/*
 * Within the last 16 MiB, to their end, beyond them, and to the end of the
 * window.
 */
TEST_F(grow, grows)
{
	const __u64 extents[] = { EXTENT, EXTENT + ARENA, 32 * MIB, 33 * MIB, WINDOW };

	for (size_t i = 0; i < ARRAY_SIZE(extents); i++) {
		const bool whole = extents[i] == WINDOW;
		__u32 more;

		ASSERT_EQ(0, grow(&self->heap, extents[i]));
		heap_check(&self->heap);
		ASSERT_EQ(whole ? -ENOMEM : -ENOSPC,
			  fill(&self->heap, self->refs + self->count, &more));
		self->count += more;
		EXPECT_EQ((extents[i] - ARENA) / POOL, self->count);
		EXPECT_EQ(extents[i] - POOL, highest(self->refs, self->count));
	}
}

TEST_F(grow, what_is_no_growth)
{
	struct pymalloc_grow flag = ARG(grow, .extent = WINDOW, .flags = 1);
	int reader = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);
	struct pymalloc_grow arg = ARG(grow, .extent = WINDOW);

	EXPECT_EQ(-EINVAL, grow(&self->heap, 0));
	EXPECT_EQ(-EINVAL, grow(&self->heap, EXTENT - ARENA));
	EXPECT_EQ(-EINVAL, grow(&self->heap, EXTENT + POOL));
	EXPECT_EQ(-EINVAL, grow(&self->heap, WINDOW + ARENA));
	EXPECT_EQ(-EINVAL, grow(&self->heap, -ARENA));
	EXPECT_EQ(-EINVAL, call(self->heap.fd, PYMALLOC_IOC_GROW, &flag));
	EXPECT_EQ(-EBADF, call(reader, PYMALLOC_IOC_GROW, &arg));
	close(reader);
}

/* The parent can grow without the child, and the child without the parent. */
TEST_F(grow, a_child_has_an_extent_of_its_own)
{
	pid_t child;

	IN_CHILD(child, ({
		__u64 ref;
		struct pymalloc_alloc arg = ARG(alloc, .size = 8, .refs = user_ptr(&ref),
						.count = 1);

		ASSERT_EQ(-ENOSPC, call(self->heap.fd, PYMALLOC_IOC_ALLOC, &arg));
		ASSERT_EQ(0, grow(&self->heap, EXTENT + ARENA));
		ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_ALLOC, &arg));
		ASSERT_EQ(EXTENT, ref & -POOL);
	}));
	join_child(_metadata, child);
	EXPECT_EQ(-EINVAL, grow(&self->heap, EXTENT - ARENA));
	EXPECT_EQ(0, grow(&self->heap, EXTENT));
}

/*
 * A window that is mapped in parts, as the library does it
 */
#define PART (4 * MIB)
#define PARTS 4

FIXTURE(parts)
{
	struct heap heap;
	__u64 refs[PARTS];	/* an object in each */
};

/*
 * The parts, each in its own mapping, and the pool map. All lie where the
 * window was.
 */
FIXTURE_SETUP(parts)
{
	struct heap *heap = &self->heap;
	__u64 refs[2 * PARTS];

	*heap = HEAP(.window = PARTS * PART);
	ASSERT_EQ(0, munmap(heap->window, heap->bytes));
	for (__u64 i = 0; i < PARTS; i++)
		ASSERT_EQ(heap->window + i * PART,
			  mmap(heap->window + i * PART, PART, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED_NOREPLACE, heap->fd, i * PART));
	/* Runs of 2 MiB. One or two of them fit into each part. */
	alloc(heap, PART / 2, refs, 2 * PARTS - 1);
	for (__u64 i = 0; i < 2 * PARTS - 1; i++) {
		__u64 *mine = &self->refs[refs[i] / PART];

		if (*mine) {
			free_one(heap, refs[i]);
			continue;
		}
		*mine = refs[i];
		memset(at(heap, refs[i]), 'a' + refs[i] / PART, PART / 2);
	}
	for (__u64 i = 0; i < PARTS; i++)
		ASSERT_NE(0, self->refs[i]);
}

FIXTURE_TEARDOWN(parts)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static bool all_there(const struct heap *heap, const __u64 *refs)
{
	for (int i = 0; i < PARTS; i++)
		if (!is_filled(heap->window + refs[i], 'a' + i, PART / 2))
			return false;
	return true;
}

static unsigned int count_mappings(struct __test_metadata *_metadata)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int found = 0;
	char line[512];

	ASSERT_NE(NULL, maps);
	while (fgets(line, sizeof(line), maps))
		found += !!strstr(line, "/pymalloc");
	fclose(maps);
	return found;
}

TEST_F(parts, are_mappings_of_their_own)
{
	EXPECT_EQ(PARTS + 1, count_mappings(_metadata));
	EXPECT_TRUE(all_there(&self->heap, self->refs));
}

/* A freed page is taken out of its part, whichever part that is. */
TEST_F(parts, freed_pages_go)
{
	for (int i = 0; i < PARTS; i++) {
		free_one(&self->heap, self->refs[i]);
		heap_trim(&self->heap);
		EXPECT_EQ(SIGBUS, touch(at(&self->heap, self->refs[i]), false));
	}
}

TEST_F(parts, by_any_address)
{
	for (int i = 0; i < PARTS; i++) {
		int fd = heap_open(_metadata, user_ptr(at(&self->heap, self->refs[i])),
				   PYMALLOC_OPEN_MAPPED);

		ASSERT_LE(0, fd);
		EXPECT_EQ(self->heap.id, heap_info(_metadata, fd).id);
		close(fd);
	}
}

static void scribble(struct heap *heap, const __u64 *refs)
{
	for (int i = 0; i < PARTS; i++)
		memset(at(heap, refs[i]), 'x', PART / 2);
}

TEST_F(parts, a_child_has_copies_of_all)
{
	struct gate written = gate_new(_metadata);
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		gate_wait(_metadata, &written);
		if (!all_there(&self->heap, self->refs))
			_exit(1);
		scribble(&self->heap, self->refs);
		_exit(0);
	}
	EXPECT_TRUE(all_there(&self->heap, self->refs));
	scribble(&self->heap, self->refs);
	gate_open(_metadata, &written);
	join_child(_metadata, child);
	gate_close(&written);
	for (int i = 0; i < PARTS; i++)
		EXPECT_TRUE(is_filled(at(&self->heap, self->refs[i]), 'x', PART / 2));
}

/* A part that is mapped a second time elsewhere shows what is written here. */
TEST_F(parts, one_of_them_twice)
{
	char *again = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_SHARED, self->heap.fd,
			   (off_t)PART);
	char *here = at(&self->heap, self->refs[1]);
	char *there = again + self->refs[1] - PART;
	pid_t child;

	ASSERT_NE(MAP_FAILED, again);
	IN_CHILD(child, pause());
	EXPECT_EQ('b', *there);
	*here = 'y';
	EXPECT_EQ('y', *there);
	there[1] = 'z';
	EXPECT_EQ('z', here[1]);
	free_one(&self->heap, self->refs[1]);
	heap_trim(&self->heap);
	EXPECT_EQ(SIGBUS, touch(here, false));
	EXPECT_EQ(SIGBUS, touch(there, false));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	munmap(again, PART);
}

/* As low as possible, so that the window's start would be below address 0. */
TEST_F(parts, one_at_a_low_address)
{
	struct heap *heap = &self->heap;
	const __u64 first = self->refs[3] - POOL;
	char *low = (char *)(16 * POOL);

	heap_unmap(heap);
	ASSERT_EQ(low, mmap(low, PART / 2 + POOL, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED_NOREPLACE, heap->fd, (off_t)first));
	EXPECT_TRUE(is_filled(low + POOL, 'd', PART / 2));
	free_one(heap, self->refs[3]);
	heap_trim(heap);
	for (__u64 i = 1; i <= PART / 2 / POOL; i++)
		ASSERT_EQ(SIGBUS, touch(low + i * POOL, false));
	munmap(low, PART / 2 + POOL);
}

/*
 * Nobody maps the other parts. The heap goes on, and so does that of its child.
 */
TEST_F(parts, one_is_left)
{
	struct heap *heap = &self->heap;
	pid_t child;

	ASSERT_EQ(0, munmap(heap->window, 2 * PART));
	ASSERT_EQ(0, munmap(heap->window + 3 * PART, PART));
	EXPECT_TRUE(is_filled(at(heap, self->refs[2]), 'c', PART / 2));
	IN_CHILD(child, ({
		ASSERT_TRUE(is_filled(at(heap, self->refs[2]), 'c', PART / 2));
		heap_check(heap);
		free_one(heap, self->refs[0]);
	}));
	join_child(_metadata, child);
	*at(heap, self->refs[2]) = 'w';
	free_one(heap, self->refs[0]);
}

TEST_HARNESS_MAIN
