// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps: how they are made, named, listed and opened again, and how they go
 * with their last user.
 */
#include <sys/prctl.h>
#include <sys/resource.h>

#include "service.h"

TEST(alignments)
{
	for (__u32 alignment = 0; alignment <= 64; alignment++) {
		bool good = !alignment || alignment == 8 || alignment == 16;

		EXPECT_EQ(good ? 0 : -EINVAL, TRY_HEAP(.alignment = alignment))
			TH_LOG("alignment %u", alignment);
	}
	EXPECT_EQ(-EINVAL, TRY_HEAP(.alignment = ~0U));
}

TEST(windows)
{
	static const struct {
		__u64 window;
		int result;
	} cases[] = {
		{ 0, 0 },
		{ 1, -EINVAL },
		{ PYMALLOC_ARENA_SIZE, -EINVAL },
		{ PYMALLOC_WINDOW_MIN - 1, -EINVAL },
		{ PYMALLOC_WINDOW_MIN, 0 },
		{ PYMALLOC_WINDOW_MIN + 1, -EINVAL },
		{ PYMALLOC_WINDOW_MIN + PYMALLOC_POOL_SIZE, -EINVAL },
		{ PYMALLOC_WINDOW_MIN + PYMALLOC_ARENA_SIZE, 0 },
		{ PYMALLOC_WINDOW_MAX - PYMALLOC_ARENA_SIZE, 0 },
		{ PYMALLOC_WINDOW_MAX, 0 },
		{ PYMALLOC_WINDOW_MAX + PYMALLOC_ARENA_SIZE, -EINVAL },
		{ PYMALLOC_POOL_MAP_OFFSET, -EINVAL },
		{ ~0ULL << 18, -EINVAL },
		{ ~0ULL, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].result, TRY_HEAP(.window = cases[i].window))
			TH_LOG("window %#llx", cases[i].window);
	}
}

TEST(names)
{
	static const struct {
		char name[PYMALLOC_NAME_LEN + 1];
		int result;
	} cases[] = {
		{ "", 0 },
		{ "a heap's name, printable: ~!", 0 },
		{ "0123456789012345678901234567890", 0 },
		{ "01234567890123456789012345678901", -EINVAL },
		{ "a\n", -EINVAL },
		{ "a\tb", -EINVAL },
		{ "\033[2J", -EINVAL },
		{ "\177", -EINVAL },
		{ "caf\303\251", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pymalloc_create arg = ARG(create);

		memcpy(arg.name, cases[i].name, sizeof(arg.name));
		EXPECT_EQ(cases[i].result, heap_try_create(_metadata, arg)) TH_LOG("name %zu", i);
	}
}

TEST(defaults)
{
	struct pymalloc_info service = service_info(_metadata);
	struct heap heap = HEAP();
	struct pymalloc_heap_info info = heap_info(_metadata, heap.fd);

	EXPECT_EQ(heap.id, info.id);
	EXPECT_EQ(service.window_default, info.window);
	EXPECT_EQ(service.limit_default, info.limit);
	EXPECT_EQ(8, info.alignment);
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(0, info.page_bytes);
	EXPECT_EQ(0, info.used_bytes);
	EXPECT_STREQ("", info.name);
	heap_check(&heap);
	heap_close(&heap);
}

TEST(described)
{
	struct heap heap = HEAP(.name = "described", .alignment = 16, .limit = 8 << 20,
				.window = 64 << 20);
	struct pymalloc_heap_info info;
	char comm[16] = "";

	alloc_one(&heap, 100);
	alloc_one(&heap, POOL + 1);
	info = heap_info(_metadata, heap.fd);
	prctl(PR_GET_NAME, comm);
	EXPECT_EQ(16, info.alignment);
	EXPECT_EQ(8 << 20, info.limit);
	EXPECT_EQ(64 << 20, info.window);
	EXPECT_EQ(3 * POOL, info.page_bytes);
	EXPECT_EQ(112 + 2 * POOL, info.used_bytes);
	EXPECT_EQ(getuid(), info.uid);
	EXPECT_EQ(getpid(), info.pid);
	EXPECT_STREQ(comm, info.comm);
	EXPECT_STREQ("described", info.name);
	heap_check(&heap);
	heap_close(&heap);
}

/* /proc shows, too, which heap a descriptor belongs to. */
TEST_F(service, fdinfo)
{
	char path[64], line[128];
	unsigned long long id = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->heap.fd);
	info = fopen(path, "r");
	ASSERT_NE(NULL, info);
	while (!id && fgets(line, sizeof(line), info)) {
		if (sscanf(line, "pymalloc-heap: %llu", &id) != 1)
			id = 0;
	}
	fclose(info);
	EXPECT_EQ(self->heap.id, id);
}

TEST(ids_grow)
{
	__u64 last = 0;

	for (int i = 0; i < 100; i++) {
		struct heap heap = HEAP(.window = PYMALLOC_WINDOW_MIN);

		ASSERT_LT(last, heap.id);
		last = heap.id;
		ASSERT_TRUE(heap_listed(_metadata, heap.id));
		heap_close(&heap);
		ASSERT_FALSE(heap_listed(_metadata, heap.id));
	}
}

/*
 * There are no more descriptors: this is an error, and no unreachable heap is
 * left.
 */
TEST(no_descriptors)
{
	struct rlimit limit = {};
	int device = device_open(_metadata);
	struct heap heap = HEAP();
	__u32 heaps = service_info(_metadata).user_heaps;
	struct pymalloc_create make = ARG(create);
	struct pymalloc_open open = ARG(open, .id = heap.id);
	struct rlimit old;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	limit.rlim_max = old.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(-EMFILE, call(device, PYMALLOC_IOC_CREATE, &make));
	EXPECT_EQ(-EMFILE, call(device, PYMALLOC_IOC_OPEN, &open));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(heaps, service_info(_metadata).user_heaps);
	heap_close(&heap);
}

TEST_F(service, open_again)
{
	struct heap *heap = &self->heap;
	struct heap other = *heap;
	__u64 refs[2];

	other.fd = heap_open(_metadata, heap->id, 0);
	ASSERT_LE(0, other.fd);
	EXPECT_EQ(heap->id, heap_info(_metadata, other.fd).id);
	alloc(heap, 48, refs, 2);
	free_one(&other, refs[0]);
	EXPECT_EQ(PYMALLOC_REF_FREE, free_status(heap, refs[0]));
	close(other.fd);
}

TEST_F(service, open_what_is_not_there)
{
	__u64 id = self->heap.id;
	struct heap gone = HEAP();

	heap_close(&gone);
	EXPECT_EQ(-ENOENT, heap_open(_metadata, gone.id, 0));
	EXPECT_EQ(-ENOENT, heap_open(_metadata, 0, 0));
	EXPECT_EQ(-ENOENT, heap_open(_metadata, gone.id + 1, 0));
	EXPECT_EQ(-ENOENT, heap_open(_metadata, id + (1ULL << 32), 0));
	EXPECT_EQ(-ENOENT, heap_open(_metadata, ~0ULL, 0));
}

/*
 * While its client lives, a heap stays as long as it has any descriptor or
 * mapping.
 */
TEST(lives_with_its_last_user)
{
	struct heap heap = HEAP();
	int second = heap_open(_metadata, heap.id, PYMALLOC_OPEN_RDONLY);
	__u64 ref = alloc_one(&heap, 8);

	ASSERT_LE(0, second);
	*at(&heap, ref) = 'x';
	close(heap.fd);
	heap_check(&(struct heap){ .test = _metadata, .fd = second });
	close(second);
	EXPECT_TRUE(heap_listed(_metadata, heap.id));
	EXPECT_EQ('x', *at(&heap, ref));
	munmap(heap.window, heap.bytes);
	EXPECT_TRUE(heap_listed(_metadata, heap.id));
	munmap((void *)heap.map, heap.bytes / POOL);
	EXPECT_FALSE(heap_listed(_metadata, heap.id));
}

/*
 * The list
 */

#define SOME_HEAPS 7

FIXTURE(list)
{
	struct heap heaps[SOME_HEAPS];
	int device;
	__u64 first;
	char entries[2 * SOME_HEAPS * sizeof(struct pymalloc_heap_info)];
};

FIXTURE_SETUP(list)
{
	self->device = device_open(_metadata);
	for (int i = 0; i < SOME_HEAPS; i++)
		self->heaps[i] = HEAP(.window = PYMALLOC_WINDOW_MIN);
	self->first = self->heaps[0].id;
}

FIXTURE_TEARDOWN(list)
{
	for (int i = 0; i < SOME_HEAPS; i++)
		heap_close(&self->heaps[i]);
	close(self->device);
}

static struct pymalloc_list ask(FIXTURE_DATA(list) *self, __u32 count, __u32 entry_size)
{
	return (struct pymalloc_list)ARG(list, .heaps = user_ptr(self->entries),
					 .after = self->first - 1, .count = count,
					 .entry_size = entry_size);
}

static const struct pymalloc_heap_info *entry(FIXTURE_DATA(list) *self, int i, __u32 entry_size)
{
	return (void *)&self->entries[i * entry_size];
}

TEST_F(list, all)
{
	__u32 size = sizeof(struct pymalloc_heap_info);
	struct pymalloc_list arg = ask(self, 2 * SOME_HEAPS, size);

	ASSERT_EQ(0, call(self->device, PYMALLOC_IOC_LIST, &arg));
	ASSERT_EQ(SOME_HEAPS, arg.done);
	for (int i = 0; i < SOME_HEAPS; i++) {
		EXPECT_EQ(self->heaps[i].id, entry(self, i, size)->id);
	}
}

TEST_F(list, in_parts)
{
	__u32 size = sizeof(struct pymalloc_heap_info);

	for (__u32 part = 1; part <= SOME_HEAPS; part++) {
		struct pymalloc_list arg = ask(self, part, size);
		__u32 seen = 0;

		do {
			ASSERT_EQ(0, call(self->device, PYMALLOC_IOC_LIST, &arg));
			for (__u32 i = 0; i < arg.done; i++) {
				ASSERT_EQ(self->heaps[seen++].id, entry(self, i, size)->id);
			}
			arg.after = self->heaps[seen - 1].id;
		} while (arg.done == part);
		EXPECT_EQ(SOME_HEAPS, seen);
	}
}

TEST_F(list, none)
{
	struct pymalloc_list arg = ask(self, 0, sizeof(struct pymalloc_heap_info));

	arg.done = 5;
	EXPECT_EQ(0, call(self->device, PYMALLOC_IOC_LIST, &arg));
	EXPECT_EQ(0, arg.done);
	arg.count = 1;
	arg.after = ~0ULL;
	EXPECT_EQ(0, call(self->device, PYMALLOC_IOC_LIST, &arg));
	EXPECT_EQ(0, arg.done);
}

/* A later version of a caller has longer entries. */
TEST_F(list, entry_sizes)
{
	__u32 size = sizeof(struct pymalloc_heap_info);

	for (__u32 other = size; other < 2 * size; other += 8) {
		struct pymalloc_list arg = ask(self, SOME_HEAPS, other);

		memset(self->entries, 0xee, sizeof(self->entries));
		ASSERT_EQ(0, call(self->device, PYMALLOC_IOC_LIST, &arg)) TH_LOG("%u", other);
		ASSERT_EQ(SOME_HEAPS, arg.done);
		for (int i = 0; i < SOME_HEAPS; i++) {
			ASSERT_EQ(self->heaps[i].id, entry(self, i, other)->id);
			ASSERT_TRUE(is_filled(entry(self, i, other) + 1, 0, other - size));
		}
		ASSERT_TRUE(is_filled(entry(self, SOME_HEAPS, other), 0xee, 8));
	}
}

TEST_F(list, bad_arguments)
{
	__u32 size = sizeof(struct pymalloc_heap_info);
	static const struct {
		__u32 count, entry_size;
		int result;
	} cases[] = {
		{ PYMALLOC_BATCH_MAX + 1, sizeof(struct pymalloc_heap_info), -E2BIG },
		{ ~0U, sizeof(struct pymalloc_heap_info), -E2BIG },
		{ 1, 0, -EINVAL },
		{ 1, offsetof(struct pymalloc_heap_info, shared_bytes) - 1, -EINVAL },
		{ 1, ~0U, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pymalloc_list arg = ask(self, cases[i].count, cases[i].entry_size);

		EXPECT_EQ(cases[i].result, call(self->device, PYMALLOC_IOC_LIST, &arg))
			TH_LOG("case %zu", i);
	}
	for (int i = 0; i < SOME_HEAPS; i++) {
		struct pymalloc_list arg = ask(self, SOME_HEAPS, size);

		arg.heaps = user_ptr(edge_buffer(_metadata, i * size, PROT_READ));
		EXPECT_EQ(-EFAULT, call(self->device, PYMALLOC_IOC_LIST, &arg));
	}
}

/* On its own descriptor, a heap lists only itself. */
TEST_F(list, on_a_heap)
{
	__u32 size = sizeof(struct pymalloc_heap_info);

	for (int i = 0; i < SOME_HEAPS; i++) {
		struct pymalloc_list arg = ask(self, SOME_HEAPS, size);

		arg.after = 0;
		ASSERT_EQ(0, call(self->heaps[i].fd, PYMALLOC_IOC_LIST, &arg));
		EXPECT_EQ(1, arg.done);
		EXPECT_EQ(self->heaps[i].id, entry(self, 0, size)->id);
	}
}

TEST_HARNESS_MAIN
