/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of libpymalloc share. */
#ifndef SELFTESTS_LIBRARY_H
#define SELFTESTS_LIBRARY_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include <kselftest_harness.h>
#include <pymalloc.h>

/* How long a test takes says nothing on an emulated machine. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define LARGEST (1024 * 1024)

static inline struct pymalloc_heap *heap_with(const char *name,
					      unsigned int alignment, __u64 limit)
{
	struct pymalloc_heap_options options = {
		.name = name,
		.alignment = alignment,
		.limit = limit,
		.window = 1ULL << 30,
	};

	return pymalloc_heap_create(&options);
}

/* How many blocks are allocated for the kernel. */
static inline __u64 blocks_of(struct pymalloc_heap *heap)
{
	struct pymalloc_stats stats;

	if (pymalloc_heap_stats(heap, &stats, NULL))
		return ~0ULL;
	return stats.blocks;
}

/*
 * Everything that is allocated, with large objects, after the magazines are
 * empty.
 */
static inline __u64 left_in(struct pymalloc_heap *heap)
{
	struct pymalloc_stats stats;

	pymalloc_heap_flush(heap);
	if (pymalloc_heap_stats(heap, &stats, NULL))
		return ~0ULL;
	return stats.blocks + stats.runs;
}

/* Is the heap sound, as the checker says? */
static inline bool sound(struct pymalloc_heap *heap)
{
	struct pymalloc_check check = { .argsz = sizeof(check) };

	if (ioctl(pymalloc_heap_fd(heap), PYMALLOC_IOC_CHECK, &check))
		return false;
	if (check.errors)
		printf("# %s\n", check.message);
	return !check.errors;
}

static inline bool aligned_to(const void *object, size_t alignment)
{
	return (uintptr_t)object % alignment == 0;
}

/*
 * Fill an object with bytes that follow from its seed, and find these bytes
 * again.
 */
static inline void fill(void *object, size_t size, unsigned int seed)
{
	unsigned char *bytes = object;
	size_t i;

	for (i = 0; i < size; i++)
		bytes[i] = seed + 7 * i;
}

static inline bool filled(const void *object, size_t size, unsigned int seed)
{
	const unsigned char *bytes = object;
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i] != (unsigned char)(seed + 7 * i))
			return false;
	return true;
}

static inline bool all_zero(const void *object, size_t size)
{
	const unsigned char *bytes = object;
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

#endif /* SELFTESTS_LIBRARY_H */
