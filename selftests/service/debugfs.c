// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs: the files say what the ioctls say. The first line of each file has
 * the version of its format. The rest shows the heap as it was when the file
 * was opened.
 */
#include <sys/prctl.h>

#include "service.h"

#define FOLDER "/sys/kernel/debug/pymalloc/"

static const char *const files[] = {
	"stats", "arenas", "pools", "limits", "clients", "types", "check"
};

FIXTURE(debugfs)
{
	struct heap heap;
	__u64 full[8];		/* a full pool of 512 */
	__u64 used[5];		/* of 200, the second one free */
	__u64 run;		/* of three pages */
	char text[65536];
};

/*
 * The folder of a heap, and the last file in it, appear a little later than the
 * heap.
 */
static void wait_for_folder(struct __test_metadata *_metadata, struct heap *heap)
{
	char path[128];

	snprintf(path, sizeof(path), FOLDER "heap%llu/check", heap->id);
	ASSERT_TRUE(EVENTUALLY(!access(path, F_OK))) TH_LOG("%s: %m", path);
}

FIXTURE_SETUP(debugfs)
{
	struct heap *heap = &self->heap;
	__u64 empty;

	*heap = HEAP(.name = "shown in debugfs", .limit = 1 << 20);
	empty = alloc_one(heap, 8);
	alloc(heap, 512, self->full, ARRAY_SIZE(self->full));
	alloc(heap, 200, self->used, ARRAY_SIZE(self->used));
	free_one(heap, self->used[1]);
	self->run = alloc_one(heap, 3 * POOL);
	free_one(heap, empty);
	wait_for_folder(_metadata, heap);
}

FIXTURE_TEARDOWN(debugfs)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static int open_file(FIXTURE_DATA(debugfs) *self, const char *name)
{
	char path[128];

	if (!strcmp(name, "summary"))
		return open(FOLDER "summary", O_RDONLY);
	snprintf(path, sizeof(path), FOLDER "heap%llu/%s", self->heap.id, name);
	return open(path, O_RDONLY);
}

static void read_text(struct __test_metadata *_metadata, FIXTURE_DATA(debugfs) *self, int fd)
{
	ssize_t length = 0, now;

	do {
		now = read(fd, self->text + length, sizeof(self->text) - 1 - length);
		ASSERT_LE(0, now) TH_LOG("%m");
		length += now;
	} while (now);
	self->text[length] = '\0';
}

static void show(struct __test_metadata *_metadata, FIXTURE_DATA(debugfs) *self, const char *name)
{
	int fd = open_file(self, name);

	ASSERT_LE(0, fd) TH_LOG("%s: %m", name);
	read_text(_metadata, self, fd);
	close(fd);
}

/* The first line that begins with @start, without leading blanks; or NULL. */
static const char *line(FIXTURE_DATA(debugfs) *self, const char *start)
{
	const char *at = self->text;

	for (; at; at = strchr(at, '\n')) {
		at += strspn(at, "\n ");
		if (!strncmp(at, start, strlen(start)))
			return at;
	}
	return NULL;
}

/* The number in the line that begins with @name; ~0 if there is none. */
static __u64 number(FIXTURE_DATA(debugfs) *self, const char *name)
{
	const char *at = line(self, name);
	__u64 value;

	if (!at || sscanf(at + strlen(name), "%llu", &value) != 1)
		return ~0ULL;
	return value;
}

TEST_F(debugfs, versions)
{
	char expected[64];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(expected, sizeof(expected), "pymalloc %s version 1\n", files[i]);
		show(_metadata, self, files[i]);
		EXPECT_EQ(0, strncmp(self->text, expected, strlen(expected)))
			TH_LOG("%.60s", self->text);
	}
	show(_metadata, self, "summary");
	EXPECT_EQ(0, strncmp(self->text, "pymalloc summary version 1\n", 27));
}

TEST_F(debugfs, summary)
{
	char id[32], comm[64], name[64];
	unsigned long long pages, pss, used;
	const char *row;
	int pid, uid, fields;

	show(_metadata, self, "summary");
	EXPECT_LE(1, number(self, "heaps"));
	EXPECT_LE(6 * POOL, number(self, "bytes in pages"));
	snprintf(id, sizeof(id), "%llu ", self->heap.id);
	row = line(self, id);
	ASSERT_NE(NULL, row) TH_LOG("%s", self->text);
	fields = sscanf(row, "%*u %d %d %llu %llu %llu %63s %63[^\n]", &pid, &uid, &pages,
			&pss, &used, comm, name);
	ASSERT_EQ(7, fields);
	EXPECT_EQ(getpid(), pid);
	EXPECT_EQ(getuid(), uid);
	EXPECT_EQ(6 * POOL, pages);
	EXPECT_EQ(pages, pss);
	EXPECT_EQ(8 * 512 + 4 * 200 + 3 * POOL, used);
	EXPECT_STREQ("shown in debugfs", name);
}

/* A class's row, by its block size. */
static bool class_row(FIXTURE_DATA(debugfs) *self, unsigned int size,
		      struct pymalloc_class_stats *row)
{
	const char *at = self->text;

	for (; at; at = strchr(at, '\n')) {
		at += strspn(at, "\n");
		if (sscanf(at, "%*u %u %llu %llu %llu %llu %llu %llu %llu", &row->size,
			   &row->pools_used, &row->pools_full, &row->blocks, &row->blocks_free,
			   &row->blocks_untouched, &row->nr_allocs, &row->nr_frees) == 8 &&
		    row->size == size)
			return true;
	}
	return false;
}

TEST_F(debugfs, stats)
{
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES], row = {};
	struct pymalloc_stats stats = ARG(stats, .classes = user_ptr(classes),
					  .nr_classes = PYMALLOC_NR_CLASSES,
					  .class_size = sizeof(classes[0]));

	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_STATS, &stats));
	show(_metadata, self, "stats");
	for (int i = 0; i < PYMALLOC_NR_CLASSES; i++) {
		ASSERT_EQ(classes[i].nr_allocs != 0, class_row(self, classes[i].size, &row))
			TH_LOG("class of %u", classes[i].size);
		if (classes[i].nr_allocs) {
			ASSERT_EQ(0, memcmp(&classes[i], &row, sizeof(row)))
				TH_LOG("class of %u", classes[i].size);
		}
	}
	EXPECT_EQ(stats.arenas, number(self, "arenas, object"));
	EXPECT_EQ(stats.run_arenas, number(self, "arenas, runs"));
	EXPECT_EQ(stats.pools_used, number(self, "pools used"));
	EXPECT_EQ(stats.pools_full, number(self, "pools full"));
	EXPECT_EQ(stats.pools_empty, number(self, "pools empty"));
	EXPECT_EQ(stats.runs, number(self, "large objects"));
	EXPECT_EQ(stats.block_bytes, number(self, "bytes in blocks"));
	EXPECT_EQ(stats.page_bytes, number(self, "bytes in pages"));
	EXPECT_EQ(stats.meta_bytes, number(self, "bytes of metadata"));
	EXPECT_EQ(stats.nr_allocs, number(self, "objects allocated"));
	EXPECT_EQ(stats.nr_frees, number(self, "objects freed"));
	EXPECT_EQ(stats.nr_pages_in, number(self, "pages taken"));
}

/* The row of the arena that @ref lies in. */
static const char *arena_row(FIXTURE_DATA(debugfs) *self, __u64 ref)
{
	char offset[32];

	snprintf(offset, sizeof(offset), "%#llx ", ref & -ARENA);
	return line(self, offset) ? line(self, offset) + strlen(offset) : NULL;
}

TEST_F(debugfs, arenas)
{
	unsigned int none, empty, used, full, blocks;
	int fields;

	show(_metadata, self, "arenas");
	ASSERT_NE(NULL, arena_row(self, self->full[0])) TH_LOG("%s", self->text);
	fields = sscanf(arena_row(self, self->full[0]), " object %u %u %u %u %u", &none, &empty,
			&used, &full, &blocks);
	ASSERT_EQ(5, fields);
	EXPECT_EQ(61, none);
	EXPECT_EQ(1, empty);
	EXPECT_EQ(1, used);
	EXPECT_EQ(1, full);
	EXPECT_EQ(12, blocks);
	ASSERT_NE(NULL, arena_row(self, self->run));
	fields = sscanf(arena_row(self, self->run), " runs %u %u %u %u %u", &none, &empty,
			&used, &full, &blocks);
	ASSERT_EQ(5, fields);
	EXPECT_EQ(61, none);
	EXPECT_EQ(3, full);
	EXPECT_EQ(1, blocks);
}

/* The letter of the pool that @ref lies in. */
static char pool_letter(FIXTURE_DATA(debugfs) *self, __u64 ref)
{
	const char *row = arena_row(self, ref);

	return row ? row[ref % ARENA / POOL] : '?';
}

TEST_F(debugfs, pools)
{
	__u64 arena = self->full[0] & -ARENA;
	int empty = 0, none = 0;

	show(_metadata, self, "pools");
	EXPECT_EQ('#', pool_letter(self, self->full[0])) TH_LOG("%s", self->text);
	EXPECT_EQ('2', pool_letter(self, self->used[0]));	/* 4 of 20 */
	EXPECT_EQ('R', pool_letter(self, self->run));
	EXPECT_EQ('r', pool_letter(self, self->run + POOL));
	EXPECT_EQ('r', pool_letter(self, self->run + 2 * POOL));
	for (__u64 ref = arena; ref < arena + ARENA; ref += POOL) {
		empty += pool_letter(self, ref) == '0';
		none += pool_letter(self, ref) == '.';
	}
	EXPECT_EQ(1, empty);
	EXPECT_EQ(61, none);
}

TEST_F(debugfs, limits)
{
	struct pymalloc_notify arg = ARG(notify, .threshold = 512 << 10);
	struct pymalloc_info info;

	show(_metadata, self, "limits");
	EXPECT_NE(NULL, strstr(line(self, "heap bytes, notice") ?: "", "none"));
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_NOTIFY, &arg));
	show(_metadata, self, "limits");
	info = service_info(_metadata);
	EXPECT_EQ(6 * POOL + heap_stats(&self->heap).meta_bytes, number(self, "heap bytes "));
	EXPECT_EQ(heap_stats(&self->heap).meta_bytes, number(self, "heap bytes, metadata"));
	EXPECT_EQ(1 << 20, number(self, "heap bytes, limit"));
	EXPECT_EQ(512 << 10, number(self, "heap bytes, notice"));
	EXPECT_EQ(info.user_bytes, number(self, "user bytes "));
	EXPECT_EQ(info.user_meta_bytes, number(self, "user bytes, metadata"));
	EXPECT_EQ(info.user_bytes_max, number(self, "user bytes, limit"));
	EXPECT_EQ(info.user_heaps, number(self, "user heaps "));
	EXPECT_EQ(info.user_heaps_max, number(self, "user heaps, limit"));
}

TEST_F(debugfs, clients)
{
	char start[32], comm[16], seen[64];
	int fields;

	prctl(PR_GET_NAME, comm);
	show(_metadata, self, "clients");
	snprintf(start, sizeof(start), "%d ", getpid());
	ASSERT_NE(NULL, line(self, start)) TH_LOG("%s", self->text);
	fields = sscanf(line(self, start), "%*d %*u %63[^\n]", seen);
	ASSERT_EQ(1, fields);
	EXPECT_STREQ(comm, seen);
}

TEST_F(debugfs, types)
{
	struct pymalloc_type_info info = {
		.flags = PYMALLOC_TYPE_OWN_POOLS, .size = 48, .alignment = 8, .keep = 5,
		.name = "shown type",
	}, told = { .objects = 7, .kept = 3, .constructed = 11 };
	struct pymalloc_types make = ARG(types, .op = PYMALLOC_TYPES_MAKE, .infos = user_ptr(&info),
					 .entry_size = sizeof(info));
	struct pymalloc_types tell = ARG(types, .op = PYMALLOC_TYPES_TELL, .number = 1,
					 .infos = user_ptr(&told), .entry_size = sizeof(told));
	char expected[160];
	__u64 refs[10];

	snprintf(expected, sizeof(expected), "\n%5u %8u %9u %6u %6s %12u %12u %14u %8u %14u %s\n",
		 1, 48, 8, 5, "own", 7, 3, 11, 1, 480, "shown type");
	show(_metadata, self, "types");
	EXPECT_EQ(NULL, line(self, "    1 "));
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_TYPES, &make));
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_TYPES, &tell));
	alloc_flags(&self->heap, 48, refs, 10, 1 << PYMALLOC_ALLOC_TYPE_SHIFT);
	show(_metadata, self, "types");
	EXPECT_NE(NULL, strstr(self->text, expected)) TH_LOG("%s", self->text);
}

/* A process may have any name. No file sends it to a terminal as it is. */
TEST_F(debugfs, names_are_escaped)
{
	static const char *const shown[] = { "summary", "stats", "clients" };

	prctl(PR_SET_NAME, "\033[31m\"\\\n\xc3\xa9");
	heap_close(&self->heap);
	self->heap = HEAP();
	wait_for_folder(_metadata, &self->heap);
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		show(_metadata, self, shown[i]);
		EXPECT_NE(NULL, strstr(self->text, "\\e[31m\\\"\\\\\\n\\303\\251"))
			TH_LOG("%s", shown[i]);
		for (const char *p = self->text; *p; p++) {
			ASSERT_TRUE(*p == '\n' || (*p >= ' ' && *p <= '~'))
				TH_LOG("%s: byte %#x", shown[i], *p);
		}
	}
}

TEST_F(debugfs, check)
{
	show(_metadata, self, "check");
	EXPECT_NE(NULL, line(self, "sound\n")) TH_LOG("%s", self->text);
}

/* A read shows the moment of the open, even if the heap has gone since. */
TEST_F(debugfs, snapshots)
{
	struct heap heap = HEAP();
	char path[128], now[4096] = "", later[4096] = "";
	int before, after;

	alloc_one(&heap, 64);
	wait_for_folder(_metadata, &heap);
	snprintf(path, sizeof(path), FOLDER "heap%llu/stats", heap.id);
	before = open(path, O_RDONLY);
	after = open(path, O_RDONLY);
	ASSERT_LE(0, before);
	ASSERT_LE(0, after);
	ASSERT_LT(0, read(before, now, sizeof(now) - 1));
	alloc_one(&heap, 64);
	alloc_one(&heap, POOL);
	heap_close(&heap);
	EXPECT_EQ(-1, open(path, O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_FALSE(heap_listed(_metadata, heap.id));
	if (read(after, later, sizeof(later) - 1) > 0) {
		EXPECT_STREQ(now, later);
	}
	close(before);
	close(after);
}

/* The folder of a heap appears and disappears with the heap. */
TEST_F(debugfs, folders)
{
	char path[128];

	for (int i = 0; i < 50; i++) {
		struct heap heap = HEAP(.window = PYMALLOC_WINDOW_MIN);

		snprintf(path, sizeof(path), FOLDER "heap%llu", heap.id);
		wait_for_folder(_metadata, &heap);
		heap_close(&heap);
		ASSERT_TRUE(EVENTUALLY(access(path, F_OK)));
	}
}

/* Only root can use any of it. */
TEST_F(debugfs, not_for_everybody)
{
	pid_t child = fork();

	if (!child) {
		ASSERT_EQ(0, setuid(12345));
		EXPECT_EQ(-1, open_file(self, "summary"));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(-1, open_file(self, "stats"));
		EXPECT_EQ(EACCES, errno);
		_exit(0);
	}
	join_child(_metadata, child);
}

TEST_HARNESS_MAIN
