// SPDX-License-Identifier: GPL-2.0
/*
 * read() and write() on a heap's descriptor do what ALLOC, USABLE and FREE do,
 * for processes that have no ioctl(). This tests counts, bad refs, and who may
 * call them.
 */
#include <assert.h>
#include <poll.h>
#include <sys/uio.h>

#include "service.h"

#define MOST ((size_t)PYMALLOC_BATCH_MAX)
#define WORD sizeof(__u64)

/* A head and its words. */
struct batch {
	struct pymalloc_batch_head head;
	__u64 words[MOST + 1];
};

static_assert(sizeof(struct pymalloc_batch_head) == WORD, "the head is a word");
static_assert(offsetof(struct batch, words) == WORD, "words come behind the head");

static struct batch batch;

static ssize_t read_bytes(int fd, void *buffer, size_t bytes)
{
	ssize_t ret = read(fd, buffer, bytes);

	return ret < 0 ? -errno : ret;
}

static ssize_t write_bytes(int fd, const void *buffer, size_t bytes)
{
	ssize_t ret = write(fd, buffer, bytes);

	return ret < 0 ? -errno : ret;
}

/* Bytes of a head and so many words. */
static ssize_t bytes_of_words(size_t count)
{
	return (1 + count) * WORD;
}

/* Returns how many refs came, or -errno. */
static ssize_t read_refs(int fd, __u32 size, __u32 flags, size_t count)
{
	ssize_t ret;

	batch.head = (struct pymalloc_batch_head){ size, flags };
	ret = read_bytes(fd, &batch, bytes_of_words(count));
	return ret < 0 ? ret : ret / (ssize_t)WORD - 1;
}

/* Returns how many were freed, or -errno. */
static ssize_t write_refs(int fd, const __u64 *refs, size_t count)
{
	ssize_t ret;

	batch.head = (struct pymalloc_batch_head){};
	memmove(batch.words, refs, count * WORD);
	ret = write_bytes(fd, &batch, bytes_of_words(count));
	return ret < 0 ? ret : ret / (ssize_t)WORD - 1;
}

TEST_F(service, every_size)
{
	struct heap *heap = &self->heap;
	__u64 ref;

	for (__u32 size = 1; size < 1100; size++) {
		ASSERT_EQ(1, read_refs(heap->fd, size, 0, 1));
		ref = batch.words[0];
		ASSERT_EQ(size, batch.head.size);
		ASSERT_EQ(size > 512 ? round_up(size, POOL) : round_up(size, 8),
			  usable(heap, ref));
		memset(at(heap, ref), size, size);
		ASSERT_EQ(1, write_refs(heap->fd, &ref, 1));
		ASSERT_EQ(0, usable(heap, ref));
	}
	heap_check(heap);
	EXPECT_EQ(0, heap_stats(heap).blocks);
	EXPECT_EQ(0, heap_stats(heap).runs);
	EXPECT_EQ(0, heap_stats(heap).nr_bad_refs);
}

TEST_F(service, every_count)
{
	static const size_t counts[] = { 1, 2, 127, 128, 129, 255, 256, 257, 5000, MOST };
	struct heap *heap = &self->heap;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		ASSERT_EQ(counts[i], read_refs(heap->fd, 24, 0, counts[i]));
		ASSERT_EQ(counts[i], heap_stats(heap).blocks);
		ASSERT_EQ(counts[i], write_refs(heap->fd, batch.words, counts[i]));
		ASSERT_EQ(0, heap_stats(heap).blocks);
		heap_check(heap);
	}
}

/* One way frees what the other has allocated. */
TEST_F(service, together_with_ioctls)
{
	struct heap *heap = &self->heap;
	__u64 refs[200];

	alloc(heap, 48, refs, 200);
	EXPECT_EQ(200, write_refs(heap->fd, refs, 200));
	EXPECT_EQ(200, read_refs(heap->fd, 48, 0, 200));
	free_all(heap, batch.words, 200);
	EXPECT_EQ(0, heap_stats(heap).blocks);
}

TEST_F(service, zero)
{
	struct heap *heap = &self->heap;
	static __u64 refs[3000];

	alloc(heap, 200, refs, 3000);
	for (int i = 0; i < 3000; i++)
		memset(at(heap, refs[i]), 'x', 200);
	EXPECT_EQ(3000, write_refs(heap->fd, refs, 3000));
	EXPECT_EQ(3000, read_refs(heap->fd, 200, PYMALLOC_ALLOC_ZERO, 3000));
	for (int i = 0; i < 3000; i++)
		ASSERT_TRUE(is_filled(at(heap, batch.words[i]), 0, 200));
}

TEST_F(service, sizes)
{
	struct heap *heap = &self->heap;
	const __u64 refs[] = { alloc_one(heap, 100), 0, alloc_one(heap, 5000), 8 + POOL,
			       alloc_one(heap, 512) };
	const __u64 expected[] = { 104, 0, 2 * POOL, 0, 512 };

	memcpy(batch.words, refs, sizeof(refs));
	EXPECT_EQ(5, read_refs(heap->fd, 0, PYMALLOC_BATCH_USABLE, 5));
	EXPECT_EQ(0, memcmp(batch.words, expected, sizeof(expected)));
	EXPECT_EQ(0, heap_stats(heap).nr_bad_refs);
}

/* Both calls refuse each of these as a whole. */
TEST_F(service, malformed)
{
	static const struct {
		size_t bytes;
		int result;
	} lengths[] = {
		{ 0, -EINVAL }, { 1, -EINVAL }, { 7, -EINVAL }, { 8, -EINVAL },
		{ 9, -EINVAL }, { 15, -EINVAL }, { 17, -EINVAL }, { 8 * 100 + 4, -EINVAL },
		{ 8 * (MOST + 2), -E2BIG }, { 8ULL << 40, -E2BIG },
	};
	static const struct {
		struct pymalloc_batch_head head;
		int by_read, by_write;
	} heads[] = {
		{ { 0, 0 }, -EINVAL, 1 },
		{ { 8, 0 }, 1, -EINVAL },
		{ { PYMALLOC_SIZE_MAX + 1, 0 }, -EINVAL, -EINVAL },
		{ { ~0U, 0 }, -EINVAL, -EINVAL },
		{ { 0, PYMALLOC_ALLOC_ZERO }, -EINVAL, -EINVAL },
		{ { 8, PYMALLOC_BATCH_USABLE }, -EINVAL, -EINVAL },
		{ { 0, PYMALLOC_BATCH_USABLE | PYMALLOC_ALLOC_ZERO }, -EINVAL, -EINVAL },
		{ { 8, PYMALLOC_ALLOC_PINNED }, 0, -EINVAL },
		{ { 8, 8 }, -EINVAL, -EINVAL },
		{ { 8, 1U << 31 }, -EINVAL, -EINVAL },
		{ { 0, ~0U }, -EINVAL, -EINVAL },
	};
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 8);

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		batch.head = (struct pymalloc_batch_head){ 8, 0 };
		EXPECT_EQ(lengths[i].result, read_bytes(heap->fd, &batch, lengths[i].bytes));
		batch.head = (struct pymalloc_batch_head){};
		batch.words[0] = ref;
		EXPECT_EQ(lengths[i].result, write_bytes(heap->fd, &batch, lengths[i].bytes));
		EXPECT_EQ(1, heap_stats(heap).blocks) TH_LOG("%zu bytes", lengths[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		__u64 blocks = heap_stats(heap).blocks;
		ssize_t expected = heads[i].by_read < 0 ? heads[i].by_read : bytes_of_words(1);

		batch.head = heads[i].head;
		batch.words[0] = 0;
		EXPECT_EQ(expected, read_bytes(heap->fd, &batch, 16)) TH_LOG("head %zu", i);
		if (expected > 0)
			free_one(heap, batch.words[0]);
		EXPECT_EQ(blocks, heap_stats(heap).blocks);
		expected = heads[i].by_write < 0 ? heads[i].by_write : bytes_of_words(1);
		batch.head = heads[i].head;
		batch.words[0] = alloc_one(heap, 16);
		EXPECT_EQ(expected, write_bytes(heap->fd, &batch, 16)) TH_LOG("head %zu", i);
		if (expected < 0)
			free_one(heap, batch.words[0]);
		EXPECT_EQ(blocks, heap_stats(heap).blocks);
	}
}

/*
 * The call returns a short count. The next call, with the rest, returns the
 * reason.
 */
TEST_F(service, limit)
{
	struct heap heap = HEAP(.limit = meta_with(_metadata, 1) + 10 * (POOL + PAGE_META_MIN));
	ssize_t got = read_refs(heap.fd, 512, 0, 100);

	EXPECT_EQ(80, got);
	heap_check(&heap);
	EXPECT_EQ(80, heap_stats(&heap).blocks);
	EXPECT_EQ(80, write_refs(heap.fd, batch.words, 80));
	EXPECT_EQ(80, read_refs(heap.fd, 512, 0, 80));
	EXPECT_EQ(-ENOMEM, read_refs(heap.fd, 512, 0, 20));
	EXPECT_EQ(-ENOMEM, read_refs(heap.fd, 512, 0, 1));
	heap_check(&heap);
	heap_close(&heap);
}

/* One bad ref of each kind, with the error for this kind. */
#define KINDS 5

struct kind {
	__u64 ref;
	int error;
};

static void make_kinds(struct heap *heap, struct kind *kinds)
{
	__u64 used[4];

	alloc(heap, 96, used, 4);
	free_one(heap, used[2]);
	kinds[0] = (struct kind){ heap->bytes + 8, -ERANGE };
	kinds[1] = (struct kind){ heap->bytes - ARENA, -ENXIO };
	kinds[2] = (struct kind){ used[0] + 8, -EBADSLT };
	kinds[3] = (struct kind){ next_in_turn(used[3], 96), -ENODATA };
	kinds[4] = (struct kind){ used[2], -EALREADY };
}

TEST_F(service, bad_refs)
{
	struct heap *heap = &self->heap;
	struct kind kinds[KINDS];
	__u64 refs[400];

	make_kinds(heap, kinds);
	for (int kind = 0; kind < KINDS; kind++) {
		/*
		 * The first ref, one within a part of 128, one at the end of a
		 * part, and the first of a part.
		 */
		static const size_t places[] = { 0, 1, 50, 127, 128, 129, 399 };

		for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
			size_t place = places[i], blocks = heap_stats(heap).blocks;
			__u64 bad = heap_stats(heap).nr_bad_refs;

			/*
			 * The refs are of many classes, but not of that of the
			 * bad ones.
			 */
			for (size_t j = 0; j < 400; j++)
				refs[j] = alloc_one(heap, j % 3 ? 200 : 1 + j % 80);
			free_one(heap, refs[place]);
			refs[place] = kinds[kind].ref;
			if (place)
				ASSERT_EQ(place, write_refs(heap->fd, refs, 400));
			ASSERT_EQ(blocks + 399 - place, heap_stats(heap).blocks);
			ASSERT_EQ(bad, heap_stats(heap).nr_bad_refs);
			heap_check(heap);
			ASSERT_EQ(kinds[kind].error,
				  write_refs(heap->fd, refs + place, 400 - place))
				TH_LOG("kind %d at %zu", kind, place);
			ASSERT_EQ(bad + 1, heap_stats(heap).nr_bad_refs);
			if (place < 399)
				ASSERT_EQ(399 - place,
					  write_refs(heap->fd, refs + place + 1, 399 - place));
			ASSERT_EQ(blocks, heap_stats(heap).blocks);
		}
	}
}

TEST_F(service, twice_in_a_batch)
{
	struct heap *heap = &self->heap;
	__u64 kept = alloc_one(heap, 48), ref = alloc_one(heap, 48);
	const __u64 refs[] = { ref, ref, kept };

	EXPECT_EQ(1, write_refs(heap->fd, refs, 3));
	EXPECT_EQ(-EALREADY, write_refs(heap->fd, refs + 1, 2));
	EXPECT_EQ(1, write_refs(heap->fd, refs + 2, 1));
}

/* Only a part of the batch can be stored, or read. */
TEST_F(service, ends_unmapped)
{
	static const size_t fits[] = { 0, 1, 127, 128, 129, 1000 };
	struct heap *heap = &self->heap;

	for (size_t i = 0; i < ARRAY_SIZE(fits); i++) {
		size_t fit = fits[i];
		struct batch *edge = edge_buffer(_metadata, bytes_of_words(fit), PROT_NONE);
		ssize_t expected = fit ? bytes_of_words(fit) : -EFAULT;

		edge->head = (struct pymalloc_batch_head){ 40, 0 };
		ASSERT_EQ(expected, read_bytes(heap->fd, edge, bytes_of_words(fit + 500)));
		ASSERT_EQ(fit, heap_stats(heap).blocks);
		edge->head = (struct pymalloc_batch_head){};
		ASSERT_EQ(expected, write_bytes(heap->fd, edge, bytes_of_words(fit + 500)));
		ASSERT_EQ(0, heap_stats(heap).blocks);
		edge->head = (struct pymalloc_batch_head){ 0, PYMALLOC_BATCH_USABLE };
		ASSERT_EQ(expected, read_bytes(heap->fd, edge, bytes_of_words(fit + 500)));
		heap_check(heap);
	}
}

TEST_F(service, nowhere)
{
	void *const bad[] = { NULL, (void *)8, (void *)-16L, (void *)(1UL << 63) };
	/* The head can be read, but nothing can be written behind it. */
	static const struct {
		struct pymalloc_batch_head head;
		__u64 words[10];
	} constant = { .head = { 8, 0 } };
	struct heap *heap = &self->heap;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, read_bytes(heap->fd, bad[i], 800));
		EXPECT_EQ(-EFAULT, write_bytes(heap->fd, bad[i], 800));
	}
	EXPECT_EQ(-EFAULT, read_bytes(heap->fd, (void *)&constant, sizeof(constant)));
	EXPECT_EQ(0, heap_stats(heap).blocks);
}

TEST_F(service, no_position)
{
	struct heap *heap = &self->heap;
	int pipe_ends[2];

	EXPECT_EQ(-1, lseek(heap->fd, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	batch.head = (struct pymalloc_batch_head){ 8, 0 };
	EXPECT_EQ(-1, pread(heap->fd, &batch, 16, 0));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, pwrite(heap->fd, &batch, 16, 0));
	EXPECT_EQ(ESPIPE, errno);
	ASSERT_EQ(0, pipe(pipe_ends));
	EXPECT_EQ(-1, splice(heap->fd, NULL, pipe_ends[1], NULL, 4096, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, heap_stats(heap).blocks);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

/* Each piece is its own batch. */
TEST_F(service, vectors)
{
	struct {
		struct pymalloc_batch_head head;
		__u64 words[3];
	} pieces[2] = { { { 16, 0 }, {} }, { { 500, 0 }, {} } };
	const struct iovec vector[] = {
		{ &pieces[0], sizeof(pieces[0]) }, { &pieces[1], sizeof(pieces[1]) },
	};
	struct heap *heap = &self->heap;

	EXPECT_EQ(sizeof(pieces), readv(heap->fd, vector, 2));
	EXPECT_EQ(16, usable(heap, pieces[0].words[2]));
	EXPECT_EQ(504, usable(heap, pieces[1].words[0]));
	pieces[0].head.size = 0;
	pieces[1].head.size = 0;
	EXPECT_EQ(sizeof(pieces), writev(heap->fd, vector, 2));
	EXPECT_EQ(0, heap_stats(heap).blocks);
}

TEST_F(service, nonblocking)
{
	struct heap *heap = &self->heap;

	ASSERT_EQ(0, fcntl(heap->fd, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(2000, read_refs(heap->fd, 100, 0, 2000));
	EXPECT_EQ(2000, write_refs(heap->fd, batch.words, 2000));
}

TEST_F(service, read_only)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 100);
	int fd = heap_open(_metadata, heap->id, PYMALLOC_OPEN_RDONLY);

	EXPECT_EQ(-EBADF, read_refs(fd, 8, 0, 1));
	EXPECT_EQ(-EBADF, write_refs(fd, &ref, 1));
	batch.words[0] = ref;
	EXPECT_EQ(1, read_refs(fd, 0, PYMALLOC_BATCH_USABLE, 1));
	EXPECT_EQ(104, batch.words[0]);
	EXPECT_EQ(1, heap_stats(heap).blocks);
	close(fd);
}

/* The caller is another process: a child that does not map the heap. */
TEST_F(service, other_process)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 100);
	pid_t child;

	ASSERT_EQ(0, madvise(heap->window, heap->bytes, MADV_DONTFORK));
	IN_CHILD(child, {
		EXPECT_EQ(-EPERM, read_refs(heap->fd, 8, 0, 1));
		EXPECT_EQ(-EPERM, write_refs(heap->fd, &ref, 1));
		batch.words[0] = ref;
		EXPECT_EQ(1, read_refs(heap->fd, 0, PYMALLOC_BATCH_USABLE, 1));
		EXPECT_EQ(104, batch.words[0]);
		/*
		 * A process of another user may not even look with the
		 * process's own descriptor.
		 */
		become_somebody(_metadata);
		EXPECT_EQ(-EPERM, read_refs(heap->fd, 8, 0, 1));
		EXPECT_EQ(-EPERM, write_refs(heap->fd, &ref, 1));
		EXPECT_EQ(-EPERM, read_refs(heap->fd, 0, PYMALLOC_BATCH_USABLE, 1));
	});
	join_child(_metadata, child);
	EXPECT_EQ(1, heap_stats(heap).blocks);
}

/* For a child, the refs are those of the heap that it has inherited. */
TEST_F(service, child)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 100);
	pid_t child;

	IN_CHILD(child, {
		EXPECT_EQ(1, write_refs(heap->fd, &ref, 1));
		EXPECT_EQ(1000, read_refs(heap->fd, 64, 0, 1000));
		EXPECT_EQ(1000, heap_stats(heap).blocks);
		heap_check(heap);
	});
	join_child(_metadata, child);
	EXPECT_EQ(1, heap_stats(heap).blocks);
	EXPECT_EQ(104, usable(heap, ref));
}

TEST_F(service, after_end)
{
	struct heap heap = HEAP();
	__u64 ref = alloc_one(&heap, 8);
	struct pymalloc_end end = ARG(end);

	ASSERT_EQ(0, call(heap.fd, PYMALLOC_IOC_END, &end));
	EXPECT_EQ(-ESTALE, read_refs(heap.fd, 8, 0, 1));
	EXPECT_EQ(-ESTALE, read_refs(heap.fd, 0, PYMALLOC_BATCH_USABLE, 1));
	EXPECT_EQ(-ESTALE, write_refs(heap.fd, &ref, 1));
	heap_close(&heap);
}

/* read() and write() have no effect on poll(), because they never wait. */
TEST_F(service, poll)
{
	struct pollfd poll_fd = { .fd = self->heap.fd, .events = POLLIN | POLLOUT };

	EXPECT_EQ(0, poll(&poll_fd, 1, 0));
}

TEST_HARNESS_MAIN
