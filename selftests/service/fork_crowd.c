// SPDX-License-Identifier: GPL-2.0
/*
 * A child of another user maps what it has inherited as often as it may. The
 * parent does not notice. If the kernel has kprobes, the test counts how many
 * mappings the kernel looks at when the parent copies and gives back pages.
 */
#include "service.h"

#define USER 52345
#define OTHER 52346

#define PAGES 200
#define MAPPINGS 20000

#define TRACING "/sys/kernel/tracing/"
/*
 * The function that takes pages out of one mapping, and the one that looks for
 * the next mapping.
 */
static const char *const probes[] = {
	"zap_page_range",		/* up to Linux 6.2 */
	"zap_page_range_single",
	"vma_interval_tree_iter_next",
};

FIXTURE(fork_crowd)
{
	struct turns turns;
	struct heap heap;
	__u64 runs[2];
	bool counts;
};

/* Without O_APPEND, the write would remove all other probes. */
static void append_text(struct __test_metadata *_metadata, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	ASSERT_LE(0, fd) TH_LOG("%s: %m", path);
	ASSERT_EQ(strlen(text), write(fd, text, strlen(text))) TH_LOG("%s: %m", text);
	close(fd);
}

static bool has_function(struct __test_metadata *_metadata, const char *wanted)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	char name[256] = "";

	ASSERT_NE(NULL, file);
	while (strcmp(name, wanted) && fscanf(file, "%*s %*c %255s%*[^\n]", name) == 1)
		;
	fclose(file);
	return !strcmp(name, wanted);
}

static void add_probes(struct __test_metadata *_metadata)
{
	char line[128];

	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		if (!has_function(_metadata, probes[i]))
			continue;
		snprintf(line, sizeof(line), "p:pymalloc_test/%s %s\n", probes[i], probes[i]);
		append_text(_metadata, TRACING "kprobe_events", line);
	}
	append_text(_metadata, TRACING "events/pymalloc_test/enable", "1");
}

static void remove_probes(struct __test_metadata *_metadata)
{
	char line[128];

	append_text(_metadata, TRACING "events/pymalloc_test/enable", "0");
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		if (!has_function(_metadata, probes[i]))
			continue;
		snprintf(line, sizeof(line), "-:pymalloc_test/%s\n", probes[i]);
		append_text(_metadata, TRACING "kprobe_events", line);
	}
}

FIXTURE_SETUP(fork_crowd)
{
	self->counts = !access(TRACING "kprobe_events", W_OK);
	if (self->counts)
		add_probes(_metadata);
	self->turns = turns_make(_metadata);
	become_user(_metadata, USER);
	self->heap = HEAP();
	for (int i = 0; i < 2; i++) {
		self->runs[i] = alloc_one(&self->heap, PAGES * POOL);
		memset(at(&self->heap, self->runs[i]), 'r', PAGES * POOL);
	}
}

FIXTURE_TEARDOWN(fork_crowd)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
	ASSERT_EQ(0, seteuid(0));
	if (self->counts)
		remove_probes(_metadata);
}

/* How often the kernel has looked at a mapping so far, in the whole machine. */
static __u64 mappings_visited(struct __test_metadata *_metadata)
{
	__u64 hits, missed, sum = 0;
	uid_t before = geteuid();
	char name[64];
	FILE *file;

	ASSERT_EQ(0, seteuid(0));
	file = fopen(TRACING "kprobe_profile", "r");
	ASSERT_NE(NULL, file) TH_LOG("%m");
	while (fscanf(file, "%63s %llu %llu", name, &hits, &missed) == 3)
		sum += hits + missed;
	fclose(file);
	ASSERT_EQ(0, seteuid(before));
	ASSERT_LT(0, sum);
	return sum;
}

/*
 * Map the runs as often as the child may, each time with a page in the mapping.
 */
static int map_often(struct heap *heap, __u64 run)
{
	int i;

	for (i = 0; i < MAPPINGS; i++) {
		char *p = mmap(NULL, PAGES * POOL, PROT_READ | PROT_WRITE, MAP_SHARED,
			       heap->fd, run);

		if (p == MAP_FAILED)
			break;
		if (touch(p + i % PAGES * POOL, false))
			break;
	}
	return i;
}

/*
 * The parent's work: copy each page of one run, and give back all pages of
 * another.
 */
static __u64 visits_of_work(struct __test_metadata *_metadata, FIXTURE_DATA(fork_crowd) *self)
{
	__u64 before = self->counts ? mappings_visited(_metadata) : 0;

	for (__u64 i = 0; i < PAGES; i++)
		*at(&self->heap, self->runs[0] + i * POOL) = 'p';
	free_one(&self->heap, self->runs[1]);
	heap_trim(&self->heap);
	self->runs[1] = alloc_one(&self->heap, PAGES * POOL);
	memset(at(&self->heap, self->runs[1]), 'r', PAGES * POOL);
	return self->counts ? mappings_visited(_metadata) - before : 0;
}

/* What the parent's work costs while a child has so many mappings. */
static __u64 with_a_child(struct __test_metadata *_metadata, FIXTURE_DATA(fork_crowd) *self,
			  bool many)
{
	struct turns turns = turns_make(_metadata);
	__u64 visits;
	pid_t child;

	IN_CHILD(child, {
		turns_take(&turns, 1);
		become_user(_metadata, OTHER);
		if (many)
			EXPECT_EQ(MAPPINGS, map_often(&self->heap, self->runs[0]));
		turns_around(&turns);
		for (int i = 0; i < 2; i++)
			EXPECT_EQ('r', *at(&self->heap, self->runs[i] + POOL));
		heap_check(&self->heap);
	});
	turns_take(&turns, 0);
	ASSERT_TRUE(turns_wait(&turns));
	visits = visits_of_work(_metadata, self);
	turns_pass(&turns);
	join_child(_metadata, child);
	close(turns_end(&turns));
	memset(at(&self->heap, self->runs[0]), 'r', PAGES * POOL);
	return visits;
}

/*
 * Without kprobes, this test only shows that the work ends. With them, the rest
 * of the machine causes far fewer looks than one for each mapping.
 */
TEST_F(fork_crowd, mappings_of_a_child)
{
	__u64 few = with_a_child(_metadata, self, false);
	__u64 many = with_a_child(_metadata, self, true);

	if (self->counts)
		TH_LOG("%llu and %llu mappings", few, many);
	else
		TH_LOG("no kprobes: not counted");
	EXPECT_GT(few + MAPPINGS / 2, many);
	heap_check(&self->heap);
}

TEST_HARNESS_MAIN
