// SPDX-License-Identifier: GPL-2.0
/*
 * A machine without enough memory: a heap whose pools are nearly empty gives its pages
 * back when other processes need them. Nobody asks the heap for it, and nobody is killed
 * as long as there is something to give.
 *
 * The processes that need memory are no relatives of the heap: pages that these share are
 * not meshed.
 *
 * Run it in a small VM: it takes all of the machine's memory.
 */
#include <sys/prctl.h>

#include "mesh.h"
#include "relatives.h"

#define SIZE 512
#define MANY 16

/* Processes that need memory, all at once. */
struct hungry {
	unsigned int count;
	pid_t pids[MANY];
	struct gate start;
	struct gate full;
};

/* A figure of /proc/meminfo, in bytes. */
static __u64 memory(struct __test_metadata *_metadata, const char *format)
{
	FILE *file = fopen("/proc/meminfo", "r");
	unsigned long long kib = 0;
	char line[128];

	ASSERT_NE(NULL, file);
	while (!kib && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &kib) != 1)
			kib = 0;
	fclose(file);
	ASSERT_LT(0, kib);
	return kib * 1024;
}

static __u64 available(struct __test_metadata *_metadata)
{
	return memory(_metadata, "MemAvailable: %llu");
}

/* If anybody has to die for want of memory, let it be the caller. */
static void be_the_victim(struct __test_metadata *_metadata)
{
	write_text(_metadata, "/proc/self/oom_score_adj", "1000");
}

static void touch_all(struct __test_metadata *_metadata, __u64 bytes)
{
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT_NE(MAP_FAILED, memory);
	for (__u64 i = 0; i < bytes; i += POOL)
		*(volatile char *)(memory + i) = 1;
}

/* Before there is a heap. */
static struct hungry hungry_new(struct __test_metadata *_metadata, unsigned int count,
				__u64 bytes)
{
	struct hungry hungry = {
		.count = count,
		.start = gate_new(_metadata),
		.full = gate_new(_metadata),
	};

	for (unsigned int i = 0; i < count; i++)
		IN_CHILD(hungry.pids[i], {
			ASSERT_EQ(0, prctl(PR_SET_PDEATHSIG, SIGKILL));
			be_the_victim(_metadata);
			gate_wait(_metadata, &hungry.start);
			touch_all(_metadata, bytes / count);
			gate_open(_metadata, &hungry.full);
			pause();
		});
	return hungry;
}

/* Until each of them has got what it needs. */
static void hungry_feed(struct __test_metadata *_metadata, struct hungry *hungry)
{
	struct pollfd full = { .fd = hungry->full.fds[0], .events = POLLIN };
	char bytes[MANY];

	gate_open(_metadata, &hungry->start);
	for (unsigned int left = hungry->count; left;) {
		if (poll(&full, 1, 100) == 1)
			left -= read(full.fd, bytes, left);
		else
			ASSERT_EQ(0, waitpid(-1, NULL, WNOHANG)) TH_LOG("one was killed");
	}
}

static void hungry_end(struct __test_metadata *_metadata, struct hungry *hungry)
{
	for (unsigned int i = 0; i < hungry->count; i++) {
		ASSERT_EQ(0, kill(hungry->pids[i], SIGKILL));
		ASSERT_EQ(hungry->pids[i], waitpid(hungry->pids[i], NULL, 0));
	}
	gate_close(&hungry->start);
	gate_close(&hungry->full);
}

/* A heap with few blocks in each pool, which gives nothing back by itself. */
struct sparse {
	struct heap heap;
	struct marked *blocks;
	__u64 pools;
};

static struct sparse sparse_new(struct __test_metadata *_metadata, __u64 bytes)
{
	struct pymalloc_policy policy = ARG(policy, .flags = PYMALLOC_POLICY_SET,
					    .decay_ms = PYMALLOC_DECAY_MS_MAX);
	struct sparse sparse = { .heap = HEAP(), .pools = bytes / POOL };

	ASSERT_EQ(0, call(sparse.heap.fd, PYMALLOC_IOC_POLICY, &policy));
	sparse.blocks = calloc(sparse.pools, sizeof(*sparse.blocks));
	return sparse;
}

static void sparse_fill(struct __test_metadata *_metadata, struct sparse *sparse)
{
	ASSERT_EQ(sparse->pools, leave_few(&sparse->heap, sparse->blocks, SIZE, sparse->pools, 1));
	heap_trim(&sparse->heap);
	ASSERT_EQ(sparse->pools * POOL, heap_stats(&sparse->heap).page_bytes);
}

static void sparse_is_sound(struct __test_metadata *_metadata, struct sparse *sparse)
{
	EXPECT_EQ(0, marked_lost(&sparse->heap, sparse->blocks, sparse->pools));
	heap_check(&sparse->heap);
}

static void sparse_end(struct __test_metadata *_metadata, struct sparse *sparse)
{
	for (__u64 i = 0; i < sparse->pools; i++)
		marked_write(&sparse->heap, &sparse->blocks[i]);
	sparse_is_sound(_metadata, sparse);
	heap_close(&sparse->heap);
	free(sparse->blocks);
}

/* 45 % and 75 % of the memory: both together do not fit. */
static void feed(struct __test_metadata *_metadata, unsigned int count)
{
	__u64 bytes = available(_metadata);
	struct hungry hungry = hungry_new(_metadata, count, bytes / 100 * 75);
	struct sparse sparse = sparse_new(_metadata, bytes / 100 * 45);

	sparse_fill(_metadata, &sparse);
	hungry_feed(_metadata, &hungry);
	/* While the memory is still full. */
	sparse_is_sound(_metadata, &sparse);
	EXPECT_GT(sparse.pools * POOL - bytes / 10, heap_stats(&sparse.heap).page_bytes);
	EXPECT_LT(0, heap_stats(&sparse.heap).nr_meshed);
	hungry_end(_metadata, &hungry);
	sparse_end(_metadata, &sparse);
}

TEST(feeds_one)
{
	feed(_metadata, 1);
}

/* The thread that meshes has to get its share of the CPUs, too. */
TEST(feeds_many)
{
	feed(_metadata, MANY);
}

/*
 * One heap has nothing to give, and what the other one has is not enough: the machine
 * kills, and nobody waits for ever.
 */
TEST(cannot_feed)
{
	__u64 bytes = available(_metadata);
	struct hungry hungry = hungry_new(_metadata, 1, memory(_metadata, "MemTotal: %llu"));
	struct sparse sparse = sparse_new(_metadata, bytes / 100 * 30);
	__u32 count = bytes / 10 / POOL * (POOL / SIZE);
	struct marked *blocks = calloc(count, sizeof(*blocks));
	struct heap dense = HEAP();
	int status;

	sparse_fill(_metadata, &sparse);
	for (__u32 i = 0; i < count; i += POOL / SIZE)
		marked_alloc(&dense, blocks + i, SIZE, POOL / SIZE, 0);
	gate_open(_metadata, &hungry.start);
	ASSERT_EQ(hungry.pids[0], waitpid(hungry.pids[0], &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	EXPECT_LT(0, heap_stats(&sparse.heap).nr_meshed);
	EXPECT_EQ(0, heap_stats(&dense).nr_meshed);
	EXPECT_EQ(0, marked_lost(&dense, blocks, count));
	heap_check(&dense);
	heap_close(&dense);
	free(blocks);
	sparse_end(_metadata, &sparse);
}

/*
 * The heap's own process needs the memory. Before Linux 6.4, it holds its mmap_lock then,
 * for reading. The first meshing ever would need it for writing.
 */
TEST(feeds_itself)
{
	pid_t child;

	IN_CHILD(child, {
		__u64 bytes = available(_metadata);
		struct sparse sparse = sparse_new(_metadata, bytes / 100 * 45);

		heap_mesh(&sparse.heap);
		sparse_fill(_metadata, &sparse);
		be_the_victim(_metadata);
		touch_all(_metadata, bytes / 100 * 75);
		EXPECT_LT(0, heap_stats(&sparse.heap).nr_meshed);
		sparse_end(_metadata, &sparse);
	});
	join_child(_metadata, child);
}

TEST_HARNESS_MAIN
