// SPDX-License-Identifier: GPL-2.0
/*
 * The shrinker: heaps give memory back when the machine is short of it. Here the
 * kernel asks for that because somebody has written to /proc/sys/vm/drop_caches, or
 * because memory is short indeed.
 */
#include <glob.h>
#include <pthread.h>

#include "service.h"

#define MANY 50

static __u64 refs[8 * MANY];

static void make_empty_pools(struct heap *heap)
{
	alloc(heap, 512, refs, ARRAY_SIZE(refs));
	free_all(heap, refs, ARRAY_SIZE(refs));
}

/* 4: from now on without a line in the kernel's log; 2: call all shrinkers. */
static void shrink(struct __test_metadata *_metadata)
{
	write_text(_metadata, "/proc/sys/vm/drop_caches", "4");
	write_text(_metadata, "/proc/sys/vm/drop_caches", "2");
}

/* Whatever the heap's policy says of what it does by itself. */
TEST_F(service, empty_pools_go)
{
	make_empty_pools(&self->heap);
	shrink(_metadata);
	EXPECT_EQ(0, heap_stats(&self->heap).pools_empty);
	EXPECT_EQ(0, heap_stats(&self->heap).page_bytes);
	EXPECT_LE(MANY, heap_stats(&self->heap).nr_shrunk);
	EXPECT_EQ(heap_stats(&self->heap).nr_pages_out, heap_stats(&self->heap).nr_shrunk);
	EXPECT_EQ(0, heap_stats(&self->heap).nr_decayed);
}

TEST_F(service, of_all_heaps)
{
	struct heap heaps[20];

	for (size_t i = 0; i < ARRAY_SIZE(heaps); i++) {
		heaps[i] = HEAP();
		make_empty_pools(&heaps[i]);
	}
	shrink(_metadata);
	for (size_t i = 0; i < ARRAY_SIZE(heaps); i++) {
		EXPECT_EQ(0, heap_stats(&heaps[i]).pools_empty) TH_LOG("heap %zu", i);
		heap_check(&heaps[i]);
		heap_close(&heaps[i]);
	}
}

/* What is in blocks stays. A block that is free is gone. */
TEST_F(service, blocks_stay)
{
	__u64 ref = alloc_one(&self->heap, 100);

	memset(at(&self->heap, ref), 7, 100);
	make_empty_pools(&self->heap);
	memset(at(&self->heap, refs[0]), 7, 512);
	shrink(_metadata);
	EXPECT_TRUE(is_filled(at(&self->heap, ref), 7, 100));
	EXPECT_EQ(SIGBUS, touch(at(&self->heap, refs[0]), false));
	EXPECT_EQ(104, usable(&self->heap, ref));
}

/* A heap that is not mapped has pages as well. */
TEST_F(service, not_mapped)
{
	make_empty_pools(&self->heap);
	heap_unmap(&self->heap);
	shrink(_metadata);
	EXPECT_EQ(0, heap_stats(&self->heap).pools_empty);
}

/* Pools that were used at fork(), and are empty in both processes now. */
TEST_F(service, of_relatives)
{
	struct turns turns = turns_make(_metadata);
	pid_t child;

	alloc(&self->heap, 512, refs, ARRAY_SIZE(refs));
	IN_CHILD(child, {
		turns_take(&turns, 1);
		free_all(&self->heap, refs, ARRAY_SIZE(refs));
		EXPECT_LE(MANY, heap_stats(&self->heap).pools_empty);
		turns_around(&turns);
		EXPECT_EQ(0, heap_stats(&self->heap).pools_empty);
		heap_check(&self->heap);
	});
	turns_take(&turns, 0);
	free_all(&self->heap, refs, ARRAY_SIZE(refs));
	turns_wait(&turns);
	shrink(_metadata);
	EXPECT_EQ(0, heap_stats(&self->heap).pools_empty);
	turns_pass(&turns);
	join_child(_metadata, child);
}

/*
 * The heap is used by threads, and forks, while the shrinker comes again and again. Each
 * thread fills its blocks and finds them as it has filled them.
 */
struct worker {
	pthread_t thread;
	struct heap *heap;
	int number;
	int failed;
	volatile bool *stop;
};

static int worker_round(struct worker *worker, int round)
{
	__u64 mine[64];
	struct pymalloc_alloc arg = ARG(alloc, .size = 8 + 8 * (round % 64), .count = 64,
					.refs = user_ptr(mine));
	struct pymalloc_free back = ARG(free, .count = 64, .refs = user_ptr(mine));

	if (call(worker->heap->fd, PYMALLOC_IOC_ALLOC, &arg))
		return 1;
	for (int i = 0; i < 64; i++)
		memset(at(worker->heap, mine[i]), worker->number + i, arg.size);
	for (int i = 0; i < 64; i++)
		if (!is_filled(at(worker->heap, mine[i]), worker->number + i, arg.size))
			return 1;
	return call(worker->heap->fd, PYMALLOC_IOC_FREE, &back) != 0;
}

static void *work(void *data)
{
	struct worker *worker = data;

	for (int round = 0; !*worker->stop && !worker->failed; round++)
		worker->failed = worker_round(worker, round);
	return NULL;
}

TEST_F(service, while_the_heap_is_used)
{
	volatile bool stop = false;
	struct worker workers[3];

	for (int i = 0; i < 3; i++) {
		workers[i] = (struct worker) {
			.heap = &self->heap, .number = 50 * i, .stop = &stop,
		};
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	for (int round = 0; round < 100; round++) {
		pid_t child;

		shrink(_metadata);
		if (round % 10)
			continue;
		IN_CHILD(child, {
			shrink(_metadata);
			heap_check(&self->heap);
		});
		join_child(_metadata, child);
	}
	stop = true;
	for (int i = 0; i < 3; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_FALSE(workers[i].failed);
	}
	EXPECT_LT(0, heap_stats(&self->heap).nr_shrunk);
}

#define INTERFACE "/sys/kernel/debug/shrinker/pymalloc-*/"

/* The path of a file of the shrinker's own interface in debugfs. */
static bool find_interface(const char *name, char *path, size_t size)
{
	char pattern[128];
	glob_t found;
	bool one;

	snprintf(pattern, sizeof(pattern), INTERFACE "%s", name);
	one = !glob(pattern, 0, NULL, &found) && found.gl_pathc == 1;
	if (one)
		snprintf(path, size, "%s", found.gl_pathv[0]);
	globfree(&found);
	return one;
}

/* The pages that the shrinker says it could free, on the first node. */
static __u64 countable(struct __test_metadata *_metadata)
{
	char path[256];
	__u64 count = 0;
	FILE *file;

	ASSERT_TRUE(find_interface("count", path, sizeof(path)));
	file = fopen(path, "r");
	ASSERT_NE(NULL, file);
	if (fscanf(file, "%*u %llu", &count) != 1)
		count = 0;
	fclose(file);
	return count;
}

/* It counts what it can free, and frees about as much as it is asked for. */
TEST_F(service, by_its_own_interface)
{
	char path[256];
	__u64 empty;

	if (!find_interface("scan", path, sizeof(path)))
		SKIP(return, "this kernel has no /sys/kernel/debug/shrinker");
	shrink(_metadata);
	ASSERT_EQ(0, countable(_metadata));
	make_empty_pools(&self->heap);
	empty = heap_stats(&self->heap).pools_empty;
	EXPECT_EQ(empty, countable(_metadata));
	/* Cgroup, node, pages; it takes all empty pools of an arena. */
	write_text(_metadata, path, "0 0 1");
	EXPECT_GT(empty, heap_stats(&self->heap).pools_empty);
	EXPECT_EQ(empty - heap_stats(&self->heap).pools_empty, heap_stats(&self->heap).nr_shrunk);
	write_text(_metadata, path, "0 0 1000");
	EXPECT_EQ(0, heap_stats(&self->heap).pools_empty);
	EXPECT_EQ(0, countable(_metadata));
}

/*
 * Take memory until the kernel has asked for the heap's, which it does long before it
 * kills. If it does not ask, it kills this process and no other.
 */
static void press(struct __test_metadata *_metadata, struct heap *heap)
{
	const size_t piece = 1 << 18;

	write_text(_metadata, "/proc/self/oom_score_adj", "1000");
	while (!heap_stats(heap).nr_shrunk)
		ASSERT_NE(MAP_FAILED, mmap(NULL, piece, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
}

TEST_F(service, under_pressure)
{
	pid_t child;

	make_empty_pools(&self->heap);
	IN_CHILD(child, {
		struct heap heap = HEAP();

		make_empty_pools(&heap);
		press(_metadata, &heap);
		heap_check(&heap);
	});
	join_child(_metadata, child);
}

/* Heaps come and go meanwhile. */
TEST_F(service, while_heaps_end)
{
	pid_t child;

	IN_CHILD(child, {
		for (int round = 0; round < 200; round++) {
			struct heap heap = HEAP();

			make_empty_pools(&heap);
			heap_close(&heap);
		}
	});
	while (waitpid(child, NULL, WNOHANG) == 0)
		shrink(_metadata);
}

TEST_HARNESS_MAIN
