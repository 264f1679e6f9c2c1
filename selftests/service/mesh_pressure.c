// SPDX-License-Identifier: GPL-2.0
/*
 * A machine without enough memory: a heap whose pools are nearly empty gives its pages
 * back when another process needs them. Nobody asks the heap for it.
 *
 * Run it in a small VM: it takes all of the machine's memory.
 */
#include "mesh.h"
#include "relatives.h"

#define SIZE 512

static __u64 available(struct __test_metadata *_metadata)
{
	FILE *file = fopen("/proc/meminfo", "r");
	unsigned long long kib = 0;
	char line[128];

	ASSERT_NE(NULL, file);
	while (!kib && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu", &kib) != 1)
			kib = 0;
	fclose(file);
	ASSERT_LT(0, kib);
	return kib * 1024;
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

TEST(heap_shrinks)
{
	__u64 bytes = available(_metadata), pools = bytes / 100 * 45 / POOL, before;
	struct marked *blocks = calloc(pools, sizeof(*blocks));
	struct heap heap = HEAP();
	struct pymalloc_policy policy = ARG(policy, .flags = PYMALLOC_POLICY_SET,
					    .decay_ms = PYMALLOC_DECAY_MS_MAX);
	struct gate full = gate_new(_metadata);
	pid_t child;

	/* Not by itself: only if there is no memory. */
	ASSERT_EQ(0, call(heap.fd, PYMALLOC_IOC_POLICY, &policy));
	ASSERT_EQ(pools, leave_few(&heap, blocks, SIZE, pools, 1));
	heap_trim(&heap);
	before = heap_stats(&heap).page_bytes;
	ASSERT_EQ(pools * POOL, before);
	/* 45 % and 75 %: both together would not fit. */
	IN_CHILD(child, {
		be_the_victim(_metadata);
		touch_all(_metadata, bytes / 100 * 75);
		gate_open(_metadata, &full);
		pause();
	});
	while (poll(&(struct pollfd){ .fd = full.fds[0], .events = POLLIN }, 1, 100) != 1) {
		ASSERT_EQ(0, waitpid(child, NULL, WNOHANG)) TH_LOG("no memory came back");
	}
	/* While the memory is still full. */
	EXPECT_EQ(0, marked_lost(&heap, blocks, pools));
	EXPECT_GT(before / 2, heap_stats(&heap).page_bytes);
	EXPECT_LT(0, heap_stats(&heap).nr_shrunk);
	heap_check(&heap);
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	for (__u64 i = 0; i < pools; i++)
		marked_write(&heap, &blocks[i]);
	EXPECT_EQ(0, marked_lost(&heap, blocks, pools));
	heap_check(&heap);
	heap_close(&heap);
	gate_close(&full);
	free(blocks);
}

TEST_HARNESS_MAIN
