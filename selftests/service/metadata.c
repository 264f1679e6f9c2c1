// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata: what the kernel holds for a heap besides its pages. It is counted
 * in meta_bytes and in the user's bytes. Both limits bound it. Its size depends
 * on what is used, and not on the window. It goes when nothing needs it any
 * more.
 */
#include "service.h"

#define WINDOW_MAX PYMALLOC_WINDOW_MAX

/* What the kernel knows of the page behind an address. Root may read it. */
static __u64 entry_of(struct __test_metadata *_metadata, const char *path, __u64 index)
{
	__u64 entry = 0;
	int fd = open(path, O_RDONLY);

	ASSERT_LE(0, fd) TH_LOG("%s: %m", path);
	ASSERT_EQ(sizeof(entry), pread(fd, &entry, sizeof(entry), index * sizeof(entry)));
	close(fd);
	return entry;
}

static __u64 frame_of(struct __test_metadata *_metadata, const volatile void *p)
{
	__u64 entry = entry_of(_metadata, "/proc/self/pagemap", (uintptr_t)p / POOL);

	ASSERT_TRUE(entry >> 63) TH_LOG("the page is not there");
	return entry & ((1ULL << 55) - 1);
}

/* How often the page has been mapped, according to /proc/kpagecount. */
static __u64 mappings_of(struct __test_metadata *_metadata, __u64 frame)
{
	return entry_of(_metadata, "/proc/kpagecount", frame);
}

/*
 * Where nothing has ever been, the pool map shows zeroes, to every process that
 * maps it and as often as it likes. Nothing counts these mappings, so no count
 * can overflow.
 */
TEST(zeroes_are_not_counted)
{
	struct heap heaps[2] = { HEAP(.window = WINDOW_MAX), HEAP(.window = WINDOW_MAX) };
	__u64 frame, pages = WINDOW_MAX / POOL / POOL;

	frame = frame_of(_metadata, (touch((void *)heaps[0].map, false), heaps[0].map));
	for (int i = 0; i < 2; i++) {
		for (__u64 page = 0; page < pages; page += pages / 64) {
			const __u8 *map = heaps[i].map + page * POOL;

			ASSERT_TRUE(is_filled(map, 0, POOL));
			ASSERT_EQ(frame, frame_of(_metadata, map));
		}
	}
	EXPECT_GE(1, mappings_of(_metadata, frame));
	for (int i = 0; i < 2; i++)
		heap_close(&heaps[i]);
}

/* When arenas are made, the real page replaces the zeroes in all mappings. */
TEST(zeroes_give_way)
{
	struct heap heap = HEAP();
	const __u8 *other;
	__u64 refs[2];

	other = mmap(NULL, POOL, PROT_READ, MAP_SHARED, heap.fd, PYMALLOC_POOL_MAP_OFFSET);
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_TRUE(is_filled(other, 0, POOL));
	ASSERT_TRUE(is_filled(heap.map, 0, POOL));
	refs[0] = alloc_one(&heap, 48);
	EXPECT_EQ(48 / 8, pool_map(&heap, refs[0]));
	EXPECT_EQ(48 / 8, other[refs[0] / POOL]);
	EXPECT_EQ(0, heap.map[POOL]);
	/* So far, only the first region is there. */
	while ((refs[1] = alloc_one(&heap, 4 << 20)) < 16 << 20)
		;
	EXPECT_EQ(0, pool_map(&heap, refs[1]));
	EXPECT_EQ(POOL, refs[1] / POOL / POOL * POOL);
	heap_check(&heap);
	heap_close(&heap);
	munmap((void *)other, POOL);
}

/* A child sees its own pool map, even if its parent has asked to keep pages. */
TEST(a_child_has_its_own_map)
{
	struct heap heap = HEAP();
	__u64 ref = alloc_one(&heap, 48);
	struct turns turns = turns_make(_metadata);
	pid_t child;

	ASSERT_EQ(0, madvise((void *)heap.map, heap.bytes / POOL, MADV_KEEPONFORK));
	ASSERT_EQ(48 / 8, pool_map(&heap, ref));
	ASSERT_EQ(0, heap.map[POOL]);
	IN_CHILD(child, {
		turns_take(&turns, 1);
		turns_wait(&turns);
		ASSERT_EQ(48 / 8, pool_map(&heap, ref));
		free_one(&heap, ref);
		ASSERT_EQ(0, pool_map(&heap, ref));
		heap_check(&heap);
	});
	turns_take(&turns, 0);
	free_one(&heap, ref);
	turns_pass(&turns);
	join_child(_metadata, child);
	heap_check(&heap);
	heap_close(&heap);
}

/*
 * Limits
 */

static __u64 held(struct heap *heap)
{
	struct pymalloc_stats stats = heap_stats(heap);

	return stats.page_bytes + stats.meta_bytes;
}

/*
 * Allocate runs of a whole arena and shrink each to one page. Then most of the
 * metadata is that of arenas. Make as many as possible.
 * Returns how many, and why there are no more.
 */
static unsigned int fill_thinly(struct heap *heap, __u64 *refs, unsigned int nr, int *err)
{
	struct __test_metadata *_metadata = heap->test;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct pymalloc_alloc alloc = ARG(alloc, .size = 64 * POOL, .count = 1,
						  .refs = user_ptr(&refs[i]));
		struct pymalloc_resize resize = ARG(resize, .size = 1000);

		*err = call(heap->fd, PYMALLOC_IOC_ALLOC, &alloc);
		if (*err)
			break;
		resize.ref = refs[i];
		ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_RESIZE, &resize));
		ASSERT_EQ(refs[i], resize.ref);
	}
	return i;
}

#define LIMIT (4 << 20)
#define MOST 1000

static __u64 refs[MOST];

TEST(thin_runs_end_at_the_limit)
{
	struct heap heap = HEAP(.limit = LIMIT);
	__u64 empty = held(&heap);
	unsigned int nr;
	int err;

	nr = fill_thinly(&heap, refs, MOST, &err);
	ASSERT_EQ(-ENOMEM, err);
	EXPECT_GE(LIMIT, held(&heap));
	/* For a moment, a run needs 64 pages and an arena. */
	EXPECT_LE(LIMIT - 66 * POOL - ARENA_META - REGION_META, held(&heap));
	EXPECT_LE(nr * (POOL + ARENA_META), held(&heap));
	heap_check(&heap);
	/* The metadata of arenas goes with them. Regions stay. */
	free_all(&heap, refs, nr);
	EXPECT_EQ(0, heap_stats(&heap).page_bytes);
	EXPECT_GE(empty + (nr / 63 + 1) * (REGION_META + 2 * sizeof(void *)) + 64, held(&heap));
	EXPECT_EQ(nr, fill_thinly(&heap, refs, MOST, &err));
	heap_check(&heap);
	heap_close(&heap);
}

/* Allocate all objects of @refs in batches, or free them. */
static void in_batches(struct heap *heap, __u64 size, __u64 *refs, __u64 nr, bool give_back)
{
	for (__u64 done = 0; done < nr; done += PYMALLOC_BATCH_MAX) {
		__u32 batch = nr - done < PYMALLOC_BATCH_MAX ? nr - done : PYMALLOC_BATCH_MAX;

		if (give_back)
			free_all(heap, refs + done, batch);
		else
			alloc(heap, size, refs + done, batch);
	}
}

/* Move the first ref of each arena to the front. Returns how many these are. */
static __u64 one_of_each_arena(__u64 *refs, __u64 nr)
{
	__u64 arenas = 0;

	for (__u64 i = 0; i < nr; i++) {
		__u64 ref = refs[i];

		if (arenas && ref / ARENA == refs[arenas - 1] / ARENA)
			continue;
		refs[i] = refs[arenas];
		refs[arenas++] = ref;
	}
	return arenas;
}

#define ONCE_HELD (16 << 20)

/*
 * What describes pages goes with them: beside what an empty heap has, a full one
 * has at most 3 % of metadata, and one of which a block is left in each arena
 * at most 1 % of what it once held.
 */
TEST(metadata_shrinks)
{
	static const __u64 sizes[] = { 8, 16, 64, 512 };
	__u64 *refs = malloc(ONCE_HELD / 8 * sizeof(*refs)), arenas, empty;

	ASSERT_NE(NULL, refs);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		__u64 nr = ONCE_HELD / sizes[i];
		struct heap heap = HEAP();

		empty = heap_stats(&heap).meta_bytes;
		in_batches(&heap, sizes[i], refs, nr, false);
		EXPECT_GE(empty + ONCE_HELD / 100 * 3, heap_stats(&heap).meta_bytes);
		arenas = one_of_each_arena(refs, nr);
		EXPECT_LE(ONCE_HELD / ARENA, arenas);
		in_batches(&heap, sizes[i], refs + arenas, nr - arenas, true);
		heap_trim(&heap);
		EXPECT_EQ(arenas * POOL, heap_stats(&heap).page_bytes);
		EXPECT_GE(empty + ONCE_HELD / 100, heap_stats(&heap).meta_bytes);
		heap_check(&heap);
		heap_close(&heap);
	}
	free(refs);
}

/* The caller pays for all of it, and gets no more than its user may have. */
TEST(thin_runs_end_at_the_users_limit)
{
	__u64 before = read_parameter(_metadata, "user_bytes");
	pid_t child;

	write_parameter(_metadata, "user_bytes", LIMIT);
	IN_CHILD(child, {
		struct pymalloc_info info;
		struct heap heap;
		int err;

		become_somebody(_metadata);
		heap = HEAP();
		fill_thinly(&heap, refs, MOST, &err);
		ASSERT_EQ(-EDQUOT, err);
		info = service_info(_metadata);
		ASSERT_GE(LIMIT, info.user_bytes);
		ASSERT_EQ(held(&heap), info.user_bytes);
		ASSERT_EQ(heap_stats(&heap).meta_bytes, info.user_meta_bytes);
		heap_check(&heap);
	});
	join_child(_metadata, child);
	write_parameter(_metadata, "user_bytes", before);
}

/* How many bytes of memory the machine has left. */
static __u64 available(struct __test_metadata *_metadata)
{
	FILE *file = fopen("/proc/meminfo", "r");
	__u64 value, kib = 0;
	char word[64];

	ASSERT_NE(NULL, file);
	while (fscanf(file, "%63s %llu kB ", word, &value) == 2)
		if (!strcmp(word, "MemAvailable:"))
			kib = value;
	fclose(file);
	ASSERT_LT(0, kib);
	return kib << 10;
}

#define HEAPS 500

/*
 * A window of 1 TiB costs only what the heap holds, which is nothing here. The
 * figure of each heap is what the heap takes, except for what the machine does
 * meanwhile.
 */
TEST(windows_cost_by_use)
{
	struct pymalloc_create arg = ARG(create, .window = WINDOW_MAX);
	__u64 said = service_info(_metadata).heap_bytes_min, free, taken;
	int device = device_open(_metadata), fds[HEAPS];

	/* With lockdep, locks are larger, and a heap has many of them. */
	EXPECT_GE(48 << 10, said);
	free = available(_metadata);
	for (int i = 0; i < HEAPS; i++) {
		fds[i] = call(device, PYMALLOC_IOC_CREATE, &arg);
		ASSERT_LE(0, fds[i]);
	}
	taken = free - available(_metadata);
	/* If each heap took 512 KiB, it would be 250 MiB. */
	/* Less than nothing, if other memory becomes free meanwhile. */
	EXPECT_GE((__s64)(HEAPS * said * 3 / 2 + (16 << 20)), (__s64)taken)
		TH_LOG("%lld bytes a heap, not %llu", (__s64)taken / HEAPS, said);
	for (int i = 0; i < HEAPS; i++)
		close(fds[i]);
	close(device);
}

/* A user can have only as many heaps as the user's bytes allow. */
TEST(heaps_count_against_the_users_bytes)
{
	__u64 before = read_parameter(_metadata, "user_bytes"), least;
	pid_t child;

	least = service_info(_metadata).heap_bytes_min;
	write_parameter(_metadata, "user_bytes", 10 * least + least / 2);
	IN_CHILD(child, {
		struct pymalloc_create arg = ARG(create, .window = WINDOW_MAX);
		int device;

		become_somebody(_metadata);
		device = device_open(_metadata);
		for (int i = 0; i < 10; i++)
			ASSERT_LE(0, call(device, PYMALLOC_IOC_CREATE, &arg));
		ASSERT_EQ(-EDQUOT, call(device, PYMALLOC_IOC_CREATE, &arg));
		ASSERT_EQ(10 * least, service_info(_metadata).user_bytes);
		ASSERT_EQ(10, service_info(_metadata).user_heaps);
	});
	join_child(_metadata, child);
	write_parameter(_metadata, "user_bytes", before);
}

/* fork() is not refused. But its metadata counts, and goes with the child. */
TEST(a_childs_metadata_counts)
{
	struct turns turns = turns_make(_metadata);
	pid_t child;

	IN_CHILD(child, {
		struct pymalloc_info info;
		struct heap heap;
		pid_t grandchild;
		__u64 before;

		become_somebody(_metadata);
		heap = HEAP();
		alloc_one(&heap, 48);
		info = service_info(_metadata);
		before = info.user_bytes;
		ASSERT_EQ(heap_stats(&heap).meta_bytes, info.user_meta_bytes);
		IN_CHILD(grandchild, {
			turns_take(&turns, 1);
			turns_around(&turns);
			heap_check(&heap);
		});
		turns_take(&turns, 0);
		turns_wait(&turns);
		info = service_info(_metadata);
		ASSERT_EQ(2 * heap_stats(&heap).meta_bytes, info.user_meta_bytes);
		ASSERT_EQ(before + heap_stats(&heap).meta_bytes, info.user_bytes);
		turns_pass(&turns);
		join_child(_metadata, grandchild);
		ASSERT_TRUE(EVENTUALLY(service_info(_metadata).user_bytes == before));
	});
	join_child(_metadata, child);
}

TEST_HARNESS_MAIN
