// SPDX-License-Identifier: GPL-2.0
/*
 * Tracepoints: each event is seen when its cause happens, with the right
 * figures. Also something that only a trace shows: with the parameter "check",
 * heaps are checked when they end.
 */
#include <sys/stat.h>

#include "service.h"

#define TRACING "/sys/kernel/tracing/"
#define INSTANCE TRACING "instances/pymalloc-test/"
#define CHECK "/sys/module/pymalloc/parameters/check"

static const char *const events[] = {
	"heap_create", "heap_destroy", "arena_new", "arena_free",
	"pool_new", "pool_free", "alloc_batch", "free_batch",
};

FIXTURE(tracepoints)
{
	char text[1 << 20];
};

/* The test has its own instance of the tracer, and disturbs no other trace. */
FIXTURE_SETUP(tracepoints)
{
	ASSERT_EQ(0, mkdir(INSTANCE, 0700)) TH_LOG("%m; is tracefs mounted?");
}

FIXTURE_TEARDOWN(tracepoints)
{
	ASSERT_EQ(0, rmdir(INSTANCE)) TH_LOG("%m");
}

static void set_event(struct __test_metadata *_metadata, const char *event, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), INSTANCE "events/pymalloc/%s/enable", event);
	write_text(_metadata, path, value);
}

/* What has been traced since the last call. */
static void read_trace(struct __test_metadata *_metadata, FIXTURE_DATA(tracepoints) *self)
{
	int fd = open(INSTANCE "trace", O_RDONLY);
	ssize_t length = 0, now;

	ASSERT_LE(0, fd);
	do {
		now = read(fd, self->text + length, sizeof(self->text) - 1 - length);
		ASSERT_LE(0, now);
		length += now;
	} while (now);
	self->text[length] = '\0';
	close(fd);
	close(open(INSTANCE "trace", O_WRONLY | O_TRUNC));
}

static bool traced(FIXTURE_DATA(tracepoints) *self, const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return strstr(self->text, line);
}

/* The whole life of a heap, which causes every event. */
struct life {
	__u64 id;
	__u64 window;
	__u64 pool;
	__u64 run;
};

static struct life live(struct __test_metadata *_metadata)
{
	struct heap heap = HEAP(.limit = 1 << 20);
	struct life life = { .id = heap.id, .window = heap.bytes };
	__u64 refs[4];
	struct pymalloc_free arg = ARG(free, .refs = user_ptr(refs), .count = 4);

	alloc(&heap, 60, refs, 3);
	life.pool = refs[0] & -POOL;
	life.run = alloc_one(&heap, 2 * POOL);
	refs[3] = 0;
	EXPECT_EQ(-EBADSLT, call(heap.fd, PYMALLOC_IOC_FREE, &arg));
	heap_trim(&heap);
	free_one(&heap, life.run);
	heap_close(&heap);
	return life;
}

TEST_F(tracepoints, figures)
{
	struct life life;

	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		set_event(_metadata, events[i], "1");
	life = live(_metadata);
	read_trace(_metadata, self);
	EXPECT_TRUE(traced(self, "heap_create: heap=%llu window=%llu limit=%u\n", life.id,
			   life.window, 1 << 20)) TH_LOG("%s", self->text);
	EXPECT_TRUE(traced(self, "arena_new: heap=%llu offset=%#llx runs=0\n", life.id,
			   life.pool & -ARENA));
	EXPECT_TRUE(traced(self, "arena_new: heap=%llu offset=%#llx runs=1\n", life.id,
			   life.run & -ARENA));
	EXPECT_TRUE(traced(self, "pool_new: heap=%llu offset=%#llx size=64\n", life.id,
			   life.pool));
	EXPECT_TRUE(traced(self, "alloc_batch: heap=%llu size=60 count=3 done=3\n", life.id));
	EXPECT_TRUE(traced(self, "free_batch: heap=%llu count=4 bad=1\n", life.id));
	EXPECT_TRUE(traced(self, "pool_free: heap=%llu offset=%#llx\n", life.id, life.pool));
	EXPECT_TRUE(traced(self, "arena_free: heap=%llu offset=%#llx\n", life.id,
			   life.pool & -ARENA));
	EXPECT_TRUE(traced(self, "arena_free: heap=%llu offset=%#llx\n", life.id,
			   life.run & -ARENA));
	/*
	 * The first calls were those of HEAP(): LIST, for the size of the window,
	 * and POLICY.
	 */
	EXPECT_TRUE(traced(self, "heap_destroy: heap=%llu comm=%.15s allocs=4 frees=4 ", life.id,
			   program_invocation_short_name));
	EXPECT_TRUE(traced(self, " allocs=4 frees=4 peak=%llu calls=7\n", 3 * POOL));
}

/*
 * The heap of a child goes some time after the child. Read the trace until it
 * has gone.
 */
static void await(struct __test_metadata *_metadata, FIXTURE_DATA(tracepoints) *self,
		  const char *line)
{
	do {
		usleep(10000);
		read_trace(_metadata, self);
	} while (!strstr(self->text, line));
}

/* What a child has inherited does not count as what it did itself. */
TEST_F(tracepoints, figures_of_a_child)
{
	struct heap heap = HEAP();
	__u64 refs[5];
	pid_t child;

	alloc(&heap, 512, refs, 5);
	free_all(&heap, refs, 2);
	set_event(_metadata, "heap_destroy", "1");
	child = fork();
	if (!child) {
		alloc(&heap, 512, refs, 2);
		free_one(&heap, refs[2]);
		_exit(0);
	}
	join_child(_metadata, child);
	await(_metadata, self, " allocs=2 frees=1 peak=4096 calls=2\n");
	heap_close(&heap);
	await(_metadata, self, " allocs=5 frees=2 peak=4096 calls=4\n");
}

TEST_F(tracepoints, checked_at_the_end)
{
	struct life life;

	set_event(_metadata, "heap_check", "1");
	live(_metadata);
	read_trace(_metadata, self);
	EXPECT_FALSE(traced(self, "heap_check"));

	write_text(_metadata, CHECK, "1");
	life = live(_metadata);
	write_text(_metadata, CHECK, "0");
	read_trace(_metadata, self);
	EXPECT_TRUE(traced(self, "heap_check: heap=%llu errors=0\n", life.id));
}

/* What is kept of a heap whose process ends, and that it goes. */
TEST_F(tracepoints, dead)
{
	struct pymalloc_forget arg = ARG(forget, .flags = PYMALLOC_FORGET_ALL);
	int device = device_open(_metadata);
	struct heap heap;
	__u64 id, bytes;
	pid_t child;
	char *line;
	int found;

	write_parameter(_metadata, "keep_dead", 1);
	set_event(_metadata, "heap_keep", "1");
	set_event(_metadata, "heap_forget", "1");
	IN_CHILD(child,
		 heap = HEAP();
		 alloc_one(&heap, 100));
	join_child(_metadata, child);
	await(_metadata, self, "heap_keep: heap=");
	line = strstr(self->text, "heap_keep: ");
	found = sscanf(line, "heap_keep: heap=%llu bytes=%llu", &id, &bytes);
	ASSERT_EQ(2, found);
	ASSERT_TRUE(EVENTUALLY(service_info(_metadata).user_dead_bytes == bytes));
	EXPECT_EQ(0, call(device, PYMALLOC_IOC_FORGET, &arg));
	EXPECT_EQ(1, arg.done);
	read_trace(_metadata, self);
	EXPECT_TRUE(traced(self, "heap_forget: heap=%llu bytes=%llu\n", id, bytes));
	close(device);
	write_parameter(_metadata, "keep_dead", 0);
}

/* Each event can be switched on alone. */
TEST_F(tracepoints, one_at_a_time)
{
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		struct life life;

		set_event(_metadata, events[i], "1");
		life = live(_metadata);
		set_event(_metadata, events[i], "0");
		read_trace(_metadata, self);
		for (size_t j = 0; j < ARRAY_SIZE(events); j++) {
			EXPECT_EQ(i == j, traced(self, "%s: heap=%llu", events[j], life.id))
				TH_LOG("%s with only %s", events[j], events[i]);
		}
	}
}

/* A heap that gives memory back says how, and how much. */
TEST_F(tracepoints, memory_that_goes)
{
	static const char *const going[] = { "heap_decay", "heap_shrink", "heap_mesh" };
	struct pymalloc_compact compact = ARG(compact, .flags = PYMALLOC_COMPACT_MESH);
	struct heap heap = HEAP();

	for (size_t i = 0; i < ARRAY_SIZE(going); i++)
		set_event(_metadata, going[i], "1");
	free_one(&heap, alloc_one(&heap, 64));
	write_text(_metadata, "/proc/sys/vm/drop_caches", "2");
	read_trace(_metadata, self);
	EXPECT_TRUE(traced(self, "heap_shrink: heap=%llu pages=1\n", heap.id));

	EXPECT_EQ(0, call(heap.fd, PYMALLOC_IOC_COMPACT, &compact));
	read_trace(_metadata, self);
	EXPECT_TRUE(traced(self, "heap_mesh: heap=%llu pages=0 frames=0 bytes=0 pinned=0\n",
			   heap.id));

	free_one(&heap, alloc_one(&heap, 64));
	POLICY(&heap, .flags = PYMALLOC_POLICY_SET, .decay_ms = PYMALLOC_DECAY_MS_MIN);
	ASSERT_TRUE(EVENTUALLY(heap_stats(&heap).nr_decayed));
	read_trace(_metadata, self);
	EXPECT_TRUE(traced(self, "heap_decay: heap=%llu pages=1\n", heap.id));
	heap_close(&heap);
}

static void map_heap(struct heap *heap)
{
	heap->window = mmap(NULL, heap->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd, 0);
}

/* Clients of a shared heap come and go: by mmap() and munmap(), by fork(), and by death. */
TEST_F(tracepoints, clients)
{
	struct heap heap;
	__u64 refs[5];
	pid_t child;

	set_event(_metadata, "client_join", "1");
	set_event(_metadata, "client_leave", "1");
	heap = HEAP(.name = "shared", .flags = PYMALLOC_CREATE_SHARED);
	alloc(&heap, 64, refs, 5);
	child = fork();
	if (!child) {
		alloc(&heap, 64, refs, 2);
		kill(getpid(), SIGKILL);
	}
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	read_trace(_metadata, self);
	EXPECT_TRUE(traced(self, "client_join: heap=%llu client=1 pid=%d\n", heap.id, getpid()))
		TH_LOG("%s", self->text);
	EXPECT_TRUE(traced(self, "client_join: heap=%llu client=2 pid=0\n", heap.id));
	EXPECT_TRUE(traced(self, "client_leave: heap=%llu client=2 pid=%d holds=7\n", heap.id,
			   child)) TH_LOG("%s", self->text);
	EXPECT_FALSE(traced(self, "client_leave: heap=%llu client=1 ", heap.id));

	/* The last mapping is the end of a client; it comes again as another one. */
	heap_unmap(&heap);
	read_trace(_metadata, self);
	EXPECT_TRUE(traced(self, "client_leave: heap=%llu client=1 pid=%d holds=5\n", heap.id,
			   getpid())) TH_LOG("%s", self->text);
	map_heap(&heap);
	ASSERT_NE(MAP_FAILED, heap.window);
	read_trace(_metadata, self);
	EXPECT_TRUE(traced(self, "client_join: heap=%llu client=3 pid=%d\n", heap.id, getpid()))
		TH_LOG("%s", self->text);
	EXPECT_FALSE(traced(self, "client_leave"));
	munmap(heap.window, heap.bytes);
	close(heap.fd);
}

static int count_lines(const char *text, const char *what)
{
	int count = 0;

	for (text = strstr(text, what); text; text = strstr(text + 1, what))
		count++;
	return count;
}

/*
 * At its limit, a heap tries to take memory back, but not for each call if there is
 * nothing to gain. The distance of the tries grows to two seconds, so that their number
 * is far below that of the calls however slow the machine is.
 */
TEST_F(tracepoints, few_tries_at_the_limit)
{
	struct heap heap = HEAP(.limit = meta_with(_metadata, 1) + 2 * POOL);
	__u64 refs[2];
	struct pymalloc_alloc arg = ARG(alloc, .size = POOL, .refs = user_ptr(refs), .count = 1);
	const int calls = 2000;

	POLICY(&heap, .flags = PYMALLOC_POLICY_RESET);
	alloc(&heap, 64, refs, 1);
	set_event(_metadata, "heap_mesh", "1");
	for (int i = 0; i < calls; i++)
		ASSERT_EQ(-ENOMEM, call(heap.fd, PYMALLOC_IOC_ALLOC, &arg));
	read_trace(_metadata, self);
	EXPECT_LE(1, count_lines(self->text, "heap_mesh: "));
	EXPECT_GE(calls / 2, count_lines(self->text, "heap_mesh: "));
	heap_close(&heap);
}

/* After it is switched off, nothing is seen. */
TEST_F(tracepoints, off)
{
	live(_metadata);
	read_trace(_metadata, self);
	EXPECT_EQ(NULL, strstr(self->text, "heap="));
}

TEST_HARNESS_MAIN
