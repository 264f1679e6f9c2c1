// SPDX-License-Identifier: GPL-2.0
/*
 * Windows of the library's heaps: they are mapped as far as they are used, at a
 * place where nothing else lies.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"

#define MIB (1024ULL * 1024)
/* Blocks of 64 bytes, until there are 10 MiB of them. */
#define COUNT (10 * MIB / 64)

struct range {
	uintptr_t start;
	uintptr_t end;
};

static bool is_in(const struct range *range, const void *object)
{
	return (uintptr_t)object >= range->start && (uintptr_t)object < range->end;
}

/*
 * The range from the first to the last mapped byte of the window, with the
 * heap's pool map.
 */
static struct range find_window(struct __test_metadata *_metadata, const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	struct range found = { 0, 0 }, line;
	char text[512], file[64], *end;

	ASSERT_NE(NULL, maps);
	snprintf(file, sizeof(file), " /pymalloc:%s (deleted)\n", name);
	while (fgets(text, sizeof(text), maps)) {
		if (!strstr(text, file))
			continue;
		line.start = strtoul(text, &end, 16);
		ASSERT_EQ('-', *end);
		line.end = strtoul(end + 1, &end, 16);
		/* Permissions, then where in the file it is: there are caches, too. */
		if (strtoull(end + 6, NULL, 16) >= PYMALLOC_CACHES_OFFSET)
			continue;
		if (!found.start)
			found = line;
		/* Each part begins where the one before it ends. */
		ASSERT_TRUE(line.start == found.start || line.start == found.end ||
			    found.end - found.start <= MIB);
		found.end = line.end;
	}
	fclose(maps);
	return found;
}

static void **allocate(struct __test_metadata *_metadata, struct pymalloc_heap *heap)
{
	void **objects = malloc(COUNT * sizeof(*objects));

	for (size_t i = 0; i < COUNT; i++) {
		objects[i] = pymalloc_malloc(heap, 64);
		ASSERT_NE(NULL, objects[i]);
		fill(objects[i], 64, i);
	}
	return objects;
}

static void release(struct __test_metadata *_metadata, struct pymalloc_heap *heap,
		    void **objects)
{
	for (size_t i = 0; i < COUNT; i++) {
		ASSERT_TRUE(filled(objects[i], 64, i));
		pymalloc_free(heap, objects[i]);
	}
	free(objects);
	EXPECT_EQ(0, left_in(heap));
}

/*
 * Each heap has its own range, and room to grow in it, however large its window
 * is.
 */
TEST(several_grow)
{
	static const __u64 windows[] = { 64 * MIB, 1ULL << 30, 1ULL << 40, 64ULL << 30, 0 };
	struct pymalloc_heap *heaps[ARRAY_SIZE(windows)];
	void **objects[ARRAY_SIZE(windows)];
	char name[16];

	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		struct pymalloc_heap_options options = { .name = name, .window = windows[i] };

		snprintf(name, sizeof(name), "heap %zu", i);
		heaps[i] = pymalloc_heap_create(&options);
		ASSERT_NE(NULL, heaps[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++)
		objects[i] = allocate(_metadata, heaps[i]);
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		struct range range;

		snprintf(name, sizeof(name), "heap %zu", i);
		range = find_window(_metadata, name);
		EXPECT_LE(range.end - range.start, 64 * MIB + windows[i] / PYMALLOC_POOL_SIZE);
		for (size_t k = 0; k < COUNT; k++)
			ASSERT_TRUE(is_in(&range, objects[i][k]));
		release(_metadata, heaps[i], objects[i]);
		EXPECT_TRUE(sound(heaps[i]));
		pymalloc_heap_destroy(heaps[i]);
		EXPECT_EQ(0, find_window(_metadata, name).start);
	}
}

/* When a heap ends, its place can be used again. */
TEST(one_after_another)
{
	for (int i = 0; i < 2000; i++) {
		struct pymalloc_heap *heap = heap_with("short-lived", 8, 0);

		ASSERT_NE(NULL, heap);
		pymalloc_heap_destroy(heap);
	}
}

FIXTURE(window) {
	struct pymalloc_heap *heap;
};

FIXTURE_SETUP(window)
{
	self->heap = heap_with("window", 8, 0);
	ASSERT_NE(NULL, self->heap);
}

FIXTURE_TEARDOWN(window)
{
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

/* The object needs 64 arenas in a row. The first part does not have them. */
TEST_F(window, grows_for_the_largest_object)
{
	char *object = pymalloc_malloc(self->heap, PYMALLOC_SIZE_MAX);

	ASSERT_NE(NULL, object);
	object[PYMALLOC_SIZE_MAX - 1] = 1;
	pymalloc_free(self->heap, object);
}

TEST_F(window, grows_for_an_object_that_grows)
{
	char *object = pymalloc_malloc(self->heap, 4096);

	for (size_t size = 8192; size <= PYMALLOC_SIZE_MAX; size *= 2) {
		fill(object, size / 2, size);
		object = pymalloc_realloc(self->heap, object, size);
		ASSERT_NE(NULL, object);
		ASSERT_TRUE(filled(object, size / 2, size));
	}
	pymalloc_free(self->heap, object);
}

static unsigned int bad_status;

static void note_bad(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	(void)object;
	bad_status = status;
}

/* An address where the window may lie later does not belong to the heap. */
TEST_F(window, what_is_not_mapped_is_no_object)
{
	const struct range range = find_window(_metadata, "window");
	void *other = mmap((void *)range.end, 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	ASSERT_EQ((void *)range.end, other);
	EXPECT_EQ(0, pymalloc_usable_size(self->heap, other));
	pymalloc_set_bad_free(note_bad);
	pymalloc_free(self->heap, other);
	pymalloc_set_bad_free(NULL);
	EXPECT_EQ(PYMALLOC_REF_FOREIGN, bad_status);
}

/* Another mapping is in the way, so the window cannot grow. */
TEST_F(window, a_neighbour_stops_it)
{
	const struct range range = find_window(_metadata, "window");
	void *first[20000], *last = NULL;
	size_t count = 0;

	ASSERT_EQ((void *)range.end,
		  mmap((void *)range.end, 4096, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	while (count < ARRAY_SIZE(first) && (last = pymalloc_malloc(self->heap, 64))) {
		ASSERT_TRUE(is_in(&range, last));
		first[count++] = last;
	}
	EXPECT_EQ(NULL, last);
	EXPECT_EQ(ENOMEM, errno);
	/* The whole first part, except the arena that is never used. */
	EXPECT_EQ(3 * PYMALLOC_ARENA_SIZE / 64, count);
	munmap((void *)range.end, 4096);
	for (int i = 0; i < 1000 && !last; i++)
		last = pymalloc_malloc(self->heap, 64);
	EXPECT_NE(NULL, last);
	pymalloc_free(self->heap, last);
	while (count--)
		pymalloc_free(self->heap, first[count]);
}

TEST_F(window, a_child_grows_its_own)
{
	void **objects = allocate(_metadata, self->heap);
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		release(_metadata, self->heap, objects);
		release(_metadata, self->heap, allocate(_metadata, self->heap));
		_exit(sound(self->heap) ? 0 : 1);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	release(_metadata, self->heap, objects);
}

TEST_HARNESS_MAIN
