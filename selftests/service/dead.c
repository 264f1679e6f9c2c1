// SPDX-License-Identifier: GPL-2.0
/*
 * The dead: what is kept of heaps whose process has ended, for whom, for how long, and
 * how it goes.
 */
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "cgroup.h"
#include "relatives.h"

#define SOMEBODY_ELSE	12346
#define NR_REFS		5000
#define KEEP		8

/* How a process ends. */
enum way { BY_EXIT, BY_SIGKILL, BY_SIGSEGV };

/* What a process writes down before it ends. */
struct notes {
	__u64 id;
	pid_t pid;
	struct pymalloc_stats stats;
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES];
	__u64 walked;
	__u64 refs[NR_REFS];
};

static const char *const parameters[] = { "keep_dead", "dead_bytes", "user_bytes", "check" };

FIXTURE(dead)
{
	struct notes *notes;
	__u64 before[ARRAY_SIZE(parameters) - 1];
	struct pymalloc_info info;
};

/* Returns how many heaps were forgotten, or an error. */
static int forget(struct __test_metadata *_metadata, __u64 id)
{
	struct pymalloc_forget arg = ARG(forget, .id = id,
					 .flags = id ? 0 : PYMALLOC_FORGET_ALL);
	int fd = device_open(_metadata), err = call(fd, PYMALLOC_IOC_FORGET, &arg);

	close(fd);
	return err ?: (int)arg.done;
}

FIXTURE_SETUP(dead)
{
	self->notes = common_memory(_metadata, sizeof(*self->notes));
	for (size_t i = 0; i < ARRAY_SIZE(self->before); i++)
		self->before[i] = read_parameter(_metadata, parameters[i]);
	write_parameter(_metadata, "keep_dead", KEEP);
	/* Each heap is checked when it ends, and again when it is dead. */
	write_text(_metadata, PARAMETERS "check", "Y");
	self->info = service_info(_metadata);
	ASSERT_EQ(0, self->info.user_dead);
}

static bool is_as_before(struct __test_metadata *_metadata, FIXTURE_DATA(dead) *self)
{
	struct pymalloc_info info = service_info(_metadata);

	return info.user_heaps == self->info.user_heaps &&
	       info.user_bytes == self->info.user_bytes && !info.user_dead &&
	       !info.user_dead_bytes;
}

/* When the dead are forgotten, nothing is left. */
FIXTURE_TEARDOWN(dead)
{
	for (size_t i = 0; i < ARRAY_SIZE(self->before); i++)
		write_parameter(_metadata, parameters[i], self->before[i]);
	write_text(_metadata, PARAMETERS "check", "N");
	EXPECT_TRUE(EVENTUALLY(service_info(_metadata).user_heaps == self->info.user_heaps));
	EXPECT_TRUE(EVENTUALLY((forget(_metadata, 0), is_as_before(_metadata, self))));
}

/* The dead heaps that the caller sees.  Returns how many they are. */
static __u32 list_dead(struct __test_metadata *_metadata, struct pymalloc_heap_info *heaps,
		       __u32 room)
{
	struct pymalloc_list arg = ARG(list, .flags = PYMALLOC_LIST_DEAD, .count = room,
				       .heaps = user_ptr(heaps), .entry_size = sizeof(*heaps));
	int fd = device_open(_metadata);

	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_LIST, &arg));
	close(fd);
	return arg.done;
}

static bool find_dead(struct __test_metadata *_metadata, __u64 id,
		      struct pymalloc_heap_info *found)
{
	static struct pymalloc_heap_info heaps[1100];
	__u32 nr = list_dead(_metadata, heaps, ARRAY_SIZE(heaps));

	for (__u32 i = 0; i < nr; i++) {
		if (heaps[i].id == id) {
			*found = heaps[i];
			return true;
		}
	}
	return false;
}

static bool is_dead(struct __test_metadata *_metadata, __u64 id)
{
	struct pymalloc_heap_info info;

	return find_dead(_metadata, id, &info);
}

static struct pymalloc_stats stats_of(struct __test_metadata *_metadata, int fd,
				      struct pymalloc_class_stats *classes)
{
	struct pymalloc_stats arg = ARG(stats, .classes = user_ptr(classes),
					.nr_classes = PYMALLOC_NR_CLASSES,
					.class_size = sizeof(*classes));

	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_STATS, &arg));
	return arg;
}

/* A number that follows from each block's place, size and state. */
static __u64 walk(struct __test_metadata *_metadata, int fd)
{
	static struct pymalloc_block_info blocks[4096];
	__u64 sum = 0, start = 0;

	do {
		struct pymalloc_walk arg = ARG(walk, .what = PYMALLOC_WALK_BLOCKS, .start = start,
					       .entries = user_ptr(blocks), .count = 4096,
					       .entry_size = sizeof(blocks[0]));

		EXPECT_EQ(0, call(fd, PYMALLOC_IOC_WALK, &arg));
		for (__u32 i = 0; i < arg.done; i++)
			sum = sum * 31 + blocks[i].ref * 7 + blocks[i].size * 3 +
			      blocks[i].state;
		start = arg.next;
	} while (start);
	return sum;
}

/* Allocate blocks of all sizes and some large objects, and free a third of them. */
static void fill(struct heap *heap, __u64 *refs)
{
	__u64 seed = 1;
	__u32 nr = 0;

	for (; nr < NR_REFS; nr++)
		alloc(heap, 1 + next_random(&seed) % (nr % 50 ? 512 : 20000), &refs[nr], 1);
	shuffle(refs, nr, &seed);
	free_all(heap, refs, nr / 3);
	heap_trim(heap);
}

static void note(struct heap *heap, struct notes *notes)
{
	struct __test_metadata *_metadata = heap->test;

	notes->id = heap->id;
	notes->pid = getpid();
	notes->stats = stats_of(_metadata, heap->fd, notes->classes);
	notes->walked = walk(_metadata, heap->fd);
}

static void end(enum way way)
{
	static const struct rlimit no_core;
	static char *volatile nowhere;

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGSEGV, SIG_DFL);
	if (way == BY_SIGKILL)
		kill(getpid(), SIGKILL);
	if (way == BY_SIGSEGV)
		*nowhere = 1;
	_exit(7);
}

/* A process fills a heap, and ends.  Returns when it has been waited for. */
static void live_and_die(struct __test_metadata *_metadata, struct notes *notes, enum way way,
			 __u32 flags)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		struct heap heap = HEAP(.flags = flags, .name = "doomed");

		fill(&heap, notes->refs);
		note(&heap, notes);
		end(way);
	}
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	ASSERT_EQ(child, notes->pid);
}

/* The same, and wait until it is kept. */
static void become_dead(struct __test_metadata *_metadata, struct notes *notes)
{
	live_and_die(_metadata, notes, BY_EXIT, 0);
	ASSERT_TRUE(EVENTUALLY(is_dead(_metadata, notes->id)));
}

static int open_dead(struct __test_metadata *_metadata, __u64 id)
{
	return heap_open(_metadata, id, PYMALLOC_OPEN_RDONLY);
}

/* All that a dead heap says is what the living one said, but that it has no pages. */
static void expect_as_noted(struct __test_metadata *_metadata, const struct notes *notes)
{
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES];
	struct pymalloc_check check = ARG(check);
	const struct pymalloc_stats *was = &notes->stats;
	int fd = open_dead(_metadata, notes->id);
	struct pymalloc_stats stats;

	ASSERT_LE(0, fd) TH_LOG("%s", strerror(-fd));
	stats = stats_of(_metadata, fd, classes);
	EXPECT_EQ(0, stats.page_bytes);
	EXPECT_EQ(0, stats.pools_empty);
	EXPECT_EQ(stats.nr_pages_in, stats.nr_pages_out);
	EXPECT_EQ(was->blocks, stats.blocks);
	EXPECT_EQ(was->block_bytes, stats.block_bytes);
	EXPECT_EQ(was->pools_used, stats.pools_used);
	EXPECT_EQ(was->pools_full, stats.pools_full);
	EXPECT_EQ(was->runs, stats.runs);
	EXPECT_EQ(was->run_pages, stats.run_pages);
	EXPECT_EQ(was->arenas, stats.arenas);
	EXPECT_EQ(was->nr_allocs, stats.nr_allocs);
	EXPECT_EQ(was->nr_frees, stats.nr_frees);
	EXPECT_EQ(was->page_bytes_peak, stats.page_bytes_peak);
	EXPECT_GE(was->meta_bytes, stats.meta_bytes);
	EXPECT_EQ(0, memcmp(classes, notes->classes, sizeof(classes)));
	EXPECT_EQ(notes->walked, walk(_metadata, fd));
	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_CHECK, &check));
	EXPECT_EQ(0, check.errors) TH_LOG("at %#llx: %.80s", check.offset, check.message);
	close(fd);
}

static const struct {
	enum way way;
	__u32 death, code;
} ways[] = {
	{ BY_EXIT, PYMALLOC_DIED_EXIT, 7 },
	{ BY_SIGKILL, PYMALLOC_DIED_SIGNAL, SIGKILL },
	{ BY_SIGSEGV, PYMALLOC_DIED_SIGNAL, SIGSEGV },
};

static void expect_described(struct __test_metadata *_metadata, const struct notes *notes,
			     const struct pymalloc_heap_info *info)
{
	EXPECT_EQ(notes->pid, info->pid);
	EXPECT_EQ(0, info->page_bytes);
	EXPECT_EQ(0, info->pss_bytes);
	EXPECT_EQ(notes->stats.block_bytes + notes->stats.run_pages * POOL, info->used_bytes);
	EXPECT_STREQ("doomed", info->name);
	EXPECT_LE(time(NULL) - 3600, info->died);
	EXPECT_GE(time(NULL), info->died);
}

TEST_F(dead, is_as_it_was)
{
	struct pymalloc_heap_info info;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		live_and_die(_metadata, self->notes, ways[i].way, 0);
		ASSERT_TRUE(EVENTUALLY(find_dead(_metadata, self->notes->id, &info)));
		EXPECT_FALSE(heap_listed(_metadata, self->notes->id));
		EXPECT_EQ(ways[i].death, info.death);
		EXPECT_EQ(ways[i].code, info.death_code);
		expect_described(_metadata, self->notes, &info);
		expect_as_noted(_metadata, self->notes);
	}
}

/* The pages of sites that a process has: a table, and a word for each block. */
static __u64 word_pages(const struct notes *notes)
{
	__u64 last = 0;

	for (int i = 0; i < NR_REFS; i++)
		last = notes->refs[i] > last ? notes->refs[i] : last;
	return last / 8 * sizeof(__u32) / POOL + 1;
}

static void *add_sites(struct heap *heap, __u64 offset, __u64 pages)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_sites arg = ARG(sites, .op = PYMALLOC_SITES_ADD, .offset = offset,
					.bytes = pages * POOL);
	void *memory;

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_SITES, &arg));
	memory = mmap(NULL, pages * POOL, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd, offset);
	ASSERT_NE(MAP_FAILED, memory);
	return memory;
}

/* As a library does: each block has another word. */
static void live_with_sites(struct heap *heap, struct notes *notes)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_trace trace = ARG(trace, .flags = PYMALLOC_TRACE_SET, .native_frames = 3,
					  .mode = PYMALLOC_TRACE_EXACT, .python_frames = 2);
	__u32 *words;

	fill(heap, notes->refs);
	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_TRACE, &trace));
	trace.flags = PYMALLOC_TRACE_BEGUN;
	trace.generation = 1;
	trace.mark = 0x5eed5eed5eedULL;
	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_TRACE, &trace));
	memset(add_sites(heap, PYMALLOC_SITES_OFFSET, 2), 0x5a, 2 * POOL);
	words = add_sites(heap, PYMALLOC_WORDS_OFFSET, word_pages(notes));
	for (__u32 i = 0; i < NR_REFS; i++)
		words[notes->refs[i] / 8] = i + 2;
	note(heap, notes);
}

/* The blocks that are left have their words; fill() has freed the first third of them. */
static void expect_sites(struct __test_metadata *_metadata, int fd, const struct notes *notes)
{
	static struct pymalloc_site_info sites[NR_REFS];
	struct pymalloc_walk arg = ARG(walk, .what = PYMALLOC_WALK_SITES, .count = NR_REFS,
				       .entries = user_ptr(sites), .entry_size = sizeof(*sites));

	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_WALK, &arg));
	EXPECT_EQ(0, arg.next);
	ASSERT_EQ(NR_REFS - NR_REFS / 3, arg.done);
	for (__u32 i = 0; i < arg.done; i++) {
		__u32 number = sites[i].site - 2;

		EXPECT_EQ(0, sites[i].flags);
		ASSERT_LE(NR_REFS / 3, number);
		ASSERT_GT(NR_REFS, number);
		EXPECT_EQ(notes->refs[number], sites[i].ref);
	}
}

static void expect_table(struct __test_metadata *_metadata, int fd)
{
	static char table[3 * POOL];
	struct pymalloc_sites arg = ARG(sites, .op = PYMALLOC_SITES_READ, .data = user_ptr(table),
					.offset = PYMALLOC_SITES_OFFSET, .bytes = sizeof(table));

	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_SITES, &arg));
	EXPECT_EQ(sizeof(table), arg.done);
	for (size_t i = 0; i < sizeof(table); i++)
		ASSERT_EQ(i < 2 * POOL ? 0x5a : 0, table[i]);
}

static void expect_trace(struct __test_metadata *_metadata, int fd)
{
	struct pymalloc_trace trace = ARG(trace);

	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_TRACE, &trace));
	EXPECT_EQ(PYMALLOC_TRACE_EXACT, trace.mode);
	EXPECT_EQ(2, trace.python_frames);
	EXPECT_EQ(3, trace.native_frames);
	EXPECT_EQ(1, trace.generation);
	EXPECT_EQ(1, trace.begun);
	EXPECT_EQ(PYMALLOC_INTERVAL_DEFAULT, trace.interval);
}

static void expect_no_change_of_sites(struct __test_metadata *_metadata, int fd)
{
	struct pymalloc_trace set = ARG(trace, .flags = PYMALLOC_TRACE_SET);
	struct pymalloc_trace begun = ARG(trace, .flags = PYMALLOC_TRACE_BEGUN);
	struct pymalloc_sites add = ARG(sites, .op = PYMALLOC_SITES_ADD, .bytes = POOL,
					.offset = PYMALLOC_SITES_OFFSET);
	struct pymalloc_sites drop = ARG(sites, .op = PYMALLOC_SITES_DROP);

	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_TRACE, &set));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_TRACE, &begun));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_SITES, &add));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_SITES, &drop));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, POOL, PROT_READ, MAP_SHARED, fd, PYMALLOC_SITES_OFFSET));
	EXPECT_EQ(ENODEV, errno);
}

TEST_F(dead, keeps_its_sites)
{
	struct heap heap;
	pid_t child;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		int fd;

		child = fork();
		if (!child) {
			heap = HEAP();
			live_with_sites(&heap, self->notes);
			end(ways[i].way);
		}
		ASSERT_EQ(child, waitpid(child, NULL, 0));
		ASSERT_TRUE(EVENTUALLY(is_dead(_metadata, self->notes->id)));
		expect_as_noted(_metadata, self->notes);
		fd = open_dead(_metadata, self->notes->id);
		ASSERT_LE(0, fd);
		expect_sites(_metadata, fd, self->notes);
		expect_table(_metadata, fd);
		expect_trace(_metadata, fd);
		expect_no_change_of_sites(_metadata, fd);
		expect_sites(_metadata, fd, self->notes);
		close(fd);
	}
}

/* It counts for bytes, not as a heap. */
TEST_F(dead, is_charged)
{
	struct pymalloc_heap_info heap;
	struct pymalloc_info info;

	become_dead(_metadata, self->notes);
	ASSERT_TRUE(find_dead(_metadata, self->notes->id, &heap));
	info = service_info(_metadata);
	EXPECT_EQ(self->info.user_heaps, info.user_heaps);
	EXPECT_EQ(1, info.user_dead);
	EXPECT_EQ(KEEP, info.user_dead_max);
	EXPECT_EQ(heap.meta_bytes, info.user_dead_bytes);
	EXPECT_EQ(self->info.user_bytes + heap.meta_bytes, info.user_bytes);
	EXPECT_EQ(self->info.user_meta_bytes + heap.meta_bytes, info.user_meta_bytes);
}

/* A heap that its process does not map, with an own descriptor at death. */
TEST_F(dead, not_mapped)
{
	struct heap heap;
	pid_t child;

	IN_CHILD(child,
		 heap = HEAP();
		 fill(&heap, self->notes->refs);
		 note(&heap, self->notes);
		 heap_unmap(&heap));
	join_child(_metadata, child);
	ASSERT_TRUE(EVENTUALLY(is_dead(_metadata, self->notes->id)));
	expect_as_noted(_metadata, self->notes);
}

/* Another process that looks when the heap's process ends does not keep it from dying. */
TEST_F(dead, with_a_descriptor_elsewhere)
{
	struct pymalloc_check check = ARG(check);
	struct turns turns = turns_make(_metadata);
	pid_t child;
	int fd;

	child = fork();
	if (!child) {
		struct heap heap = HEAP();

		turns_take(&turns, 1);
		fill(&heap, self->notes->refs);
		note(&heap, self->notes);
		turns_around(&turns);
		end(BY_EXIT);
	}
	turns_take(&turns, 0);
	ASSERT_TRUE(turns_wait(&turns));
	fd = open_dead(_metadata, self->notes->id);
	ASSERT_LE(0, fd);
	turns_pass(&turns);
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	ASSERT_TRUE(EVENTUALLY(is_dead(_metadata, self->notes->id)));
	/* The descriptor is of the living heap. */
	EXPECT_EQ(-ESTALE, call(fd, PYMALLOC_IOC_CHECK, &check));
	close(fd);
	expect_as_noted(_metadata, self->notes);
}

TEST_F(dead, cannot_be_changed)
{
	struct pymalloc_alloc alloc_arg = ARG(alloc, .size = 8, .count = 1,
					      .refs = user_ptr(self->notes->refs));
	struct pymalloc_free free_arg = ARG(free, .count = 1,
					    .refs = user_ptr(self->notes->refs));
	struct pymalloc_policy policy = ARG(policy), reset = ARG(policy);
	struct pymalloc_trim trim = ARG(trim);
	struct pymalloc_end end_arg = ARG(end);
	struct pollfd poll_fd = { .events = POLLIN };
	int fd;

	become_dead(_metadata, self->notes);
	EXPECT_EQ(-ESTALE, heap_open(_metadata, self->notes->id, 0));
	fd = open_dead(_metadata, self->notes->id);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_ALLOC, &alloc_arg));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_FREE, &free_arg));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_TRIM, &trim));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_END, &end_arg));
	reset.flags = PYMALLOC_POLICY_RESET;
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_POLICY, &reset));
	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_POLICY, &policy));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, POOL, PROT_READ, MAP_SHARED, fd, ARENA));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, read(fd, self->notes->refs, 16));
	EXPECT_EQ(EINVAL, errno);
	poll_fd.fd = fd;
	EXPECT_EQ(1, poll(&poll_fd, 1, 0));
	EXPECT_EQ(POLLHUP, poll_fd.revents);
	EXPECT_EQ(self->notes->id, heap_info(_metadata, fd).id);
	close(fd);
	expect_as_noted(_metadata, self->notes);
}

/* On a heap's descriptor there is that heap alone. */
TEST_F(dead, not_listed_on_a_heap)
{
	struct heap heap = HEAP();
	struct pymalloc_list arg = ARG(list, .flags = PYMALLOC_LIST_DEAD,
				       .entry_size = sizeof(struct pymalloc_heap_info));

	EXPECT_EQ(-EINVAL, call(heap.fd, PYMALLOC_IOC_LIST, &arg));
	heap_close(&heap);
}

TEST_F(dead, not_by_default)
{
	write_parameter(_metadata, "keep_dead", 0);
	live_and_die(_metadata, self->notes, BY_EXIT, 0);
	ASSERT_TRUE(EVENTUALLY(is_as_before(_metadata, self)));
	EXPECT_EQ(-ENOENT, open_dead(_metadata, self->notes->id));
}

TEST_F(dead, on_request)
{
	__u64 first, last;

	write_parameter(_metadata, "keep_dead", 0);
	live_and_die(_metadata, self->notes, BY_EXIT, PYMALLOC_CREATE_KEEP_DEAD);
	first = self->notes->id;
	ASSERT_TRUE(EVENTUALLY(is_dead(_metadata, first)));
	expect_as_noted(_metadata, self->notes);
	for (int i = 0; i < 16; i++) {
		live_and_die(_metadata, self->notes, BY_EXIT, PYMALLOC_CREATE_KEEP_DEAD);
		last = self->notes->id;
		ASSERT_TRUE(EVENTUALLY(is_dead(_metadata, last)));
	}
	EXPECT_FALSE(is_dead(_metadata, first));
	EXPECT_EQ(16, service_info(_metadata).user_dead);
}

/* What a process ends by itself is of no interest, nor is what exec() leaves behind. */
TEST_F(dead, not_what_ended_before)
{
	struct pymalloc_end arg = ARG(end);
	struct heap ended, closed;
	pid_t child;

	IN_CHILD(child,
		 ended = HEAP();
		 closed = HEAP();
		 fill(&ended, self->notes->refs);
		 fill(&closed, self->notes->refs);
		 heap_close(&closed);
		 ASSERT_EQ(0, call(ended.fd, PYMALLOC_IOC_END, &arg)));
	join_child(_metadata, child);
	ASSERT_TRUE(EVENTUALLY(is_as_before(_metadata, self)));

	IN_CHILD(child,
		 ended = HEAP();
		 fill(&ended, self->notes->refs);
		 execl("/proc/self/exe", "dead", "-h", NULL));
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	ASSERT_TRUE(EVENTUALLY(is_as_before(_metadata, self)));
}

TEST_F(dead, the_oldest_is_pushed_out)
{
	__u64 ids[2 * KEEP];
	int fd;

	for (int i = 0; i < KEEP; i++) {
		become_dead(_metadata, self->notes);
		ids[i] = self->notes->id;
	}
	EXPECT_EQ(KEEP, service_info(_metadata).user_dead);
	fd = open_dead(_metadata, ids[0]);
	ASSERT_LE(0, fd);
	for (int i = KEEP; i < 2 * KEEP; i++) {
		struct pymalloc_check check = ARG(check);

		become_dead(_metadata, self->notes);
		ids[i] = self->notes->id;
		EXPECT_EQ(-ESTALE, call(fd, PYMALLOC_IOC_CHECK, &check));
		EXPECT_EQ(-ENOENT, open_dead(_metadata, ids[i - KEEP]));
		for (int k = i - KEEP + 1; k <= i; k++)
			EXPECT_TRUE(is_dead(_metadata, ids[k]));
		EXPECT_EQ(KEEP, service_info(_metadata).user_dead);
	}
	close(fd);
	write_parameter(_metadata, "keep_dead", 1);
	become_dead(_metadata, self->notes);
	EXPECT_EQ(1, service_info(_metadata).user_dead);
}

/* No more bytes than the parameter says; and none of a heap that is too large alone. */
TEST_F(dead, bytes_are_bounded)
{
	struct pymalloc_heap_info info;

	become_dead(_metadata, self->notes);
	ASSERT_TRUE(find_dead(_metadata, self->notes->id, &info));
	write_parameter(_metadata, "dead_bytes", info.meta_bytes * 5 / 2);
	for (int i = 0; i < 3; i++) {
		become_dead(_metadata, self->notes);
		EXPECT_EQ(2, service_info(_metadata).user_dead);
		EXPECT_GE(info.meta_bytes * 5 / 2, service_info(_metadata).user_dead_bytes);
	}
	write_parameter(_metadata, "dead_bytes", info.meta_bytes / 2);
	live_and_die(_metadata, self->notes, BY_EXIT, 0);
	ASSERT_TRUE(EVENTUALLY(service_info(_metadata).user_heaps == self->info.user_heaps));
	EXPECT_FALSE(is_dead(_metadata, self->notes->id));
}

TEST_F(dead, parameters)
{
	int fd = open(PARAMETERS "keep_dead", O_WRONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(4, write(fd, "1024", 4));
	EXPECT_EQ(-1, write(fd, "1025", 4));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(fd, "-1", 2));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(1024, read_parameter(_metadata, "keep_dead"));
	close(fd);
}

TEST_F(dead, is_forgotten)
{
	struct pymalloc_forget arg = ARG(forget, .flags = PYMALLOC_FORGET_ALL, .id = 1);
	int device = device_open(_metadata), fd;
	__u64 first;

	become_dead(_metadata, self->notes);
	first = self->notes->id;
	become_dead(_metadata, self->notes);
	fd = open_dead(_metadata, first);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, forget(_metadata, first));
	EXPECT_EQ(-ENOENT, forget(_metadata, first));
	EXPECT_EQ(-ENOENT, open_dead(_metadata, first));
	EXPECT_EQ(-ESTALE, call(fd, PYMALLOC_IOC_CHECK, &(struct pymalloc_check)ARG(check)));
	close(fd);
	expect_as_noted(_metadata, self->notes);
	EXPECT_EQ(-EINVAL, call(device, PYMALLOC_IOC_FORGET, &arg));
	arg.flags = 2;
	EXPECT_EQ(-EINVAL, call(device, PYMALLOC_IOC_FORGET, &arg));
	close(device);
	EXPECT_EQ(1, forget(_metadata, 0));
	EXPECT_EQ(0, forget(_metadata, 0));
}

static void become(struct __test_metadata *_metadata, uid_t uid)
{
	ASSERT_EQ(0, setresgid(SOMEBODY, SOMEBODY, SOMEBODY));
	ASSERT_EQ(0, setresuid(uid, uid, uid));
	ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
}

/* What another user sees, and may do. */
static void expect_no_access(struct __test_metadata *_metadata, __u64 id)
{
	struct pymalloc_heap_info heaps[KEEP];
	pid_t child;

	IN_CHILD(child,
		 become(_metadata, SOMEBODY_ELSE);
		 EXPECT_EQ(0, list_dead(_metadata, heaps, KEEP));
		 EXPECT_EQ(-EPERM, open_dead(_metadata, id));
		 EXPECT_EQ(-EPERM, forget(_metadata, id));
		 EXPECT_EQ(0, forget(_metadata, 0)));
	join_child(_metadata, child);
}

static void expect_forgotten_by_somebody(struct __test_metadata *_metadata)
{
	pid_t child;

	IN_CHILD(child,
		 become(_metadata, SOMEBODY);
		 EXPECT_EQ(1, forget(_metadata, 0)));
	join_child(_metadata, child);
}

TEST_F(dead, of_another_user)
{
	pid_t child;

	IN_CHILD(child, become(_metadata, SOMEBODY); become_dead(_metadata, self->notes);
		 expect_as_noted(_metadata, self->notes));
	join_child(_metadata, child);
	EXPECT_EQ(0, service_info(_metadata).user_dead);
	expect_no_access(_metadata, self->notes->id);
	/* Root may look at everything. */
	expect_as_noted(_metadata, self->notes);
	EXPECT_EQ(0, forget(_metadata, 0));
	expect_forgotten_by_somebody(_metadata);
	EXPECT_EQ(-ENOENT, open_dead(_metadata, self->notes->id));
}

/* One user's dead do not push out those of another. */
TEST_F(dead, each_user_has_so_many)
{
	pid_t child;

	IN_CHILD(child, become(_metadata, SOMEBODY); become_dead(_metadata, self->notes));
	join_child(_metadata, child);
	write_parameter(_metadata, "keep_dead", 1);
	IN_CHILD(child, become(_metadata, SOMEBODY_ELSE);
		 become_dead(_metadata, self->notes);
		 become_dead(_metadata, self->notes);
		 EXPECT_EQ(1, service_info(_metadata).user_dead);
		 EXPECT_EQ(1, forget(_metadata, 0)));
	join_child(_metadata, child);
	expect_forgotten_by_somebody(_metadata);
}

/* Who could not look at the process cannot look at what it left. */
TEST_F(dead, of_a_process_that_hides)
{
	struct notes *notes = self->notes;
	struct pymalloc_heap_info info;
	struct heap heap;
	pid_t child;

	IN_CHILD(child,
		 become(_metadata, SOMEBODY);
		 heap = HEAP();
		 ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 0));
		 fill(&heap, notes->refs);
		 note(&heap, notes));
	join_child(_metadata, child);
	ASSERT_TRUE(EVENTUALLY(is_dead(_metadata, notes->id)));
	IN_CHILD(child,
		 become(_metadata, SOMEBODY);
		 EXPECT_EQ(-EPERM, open_dead(_metadata, notes->id));
		 /* A list tells as much as /proc does. */
		 EXPECT_EQ(1, list_dead(_metadata, &info, 1)));
	join_child(_metadata, child);
	expect_as_noted(_metadata, notes);
	expect_forgotten_by_somebody(_metadata);
}

/* Makes a heap for which a user has a page less than it takes. */
static void make_heap_at_limit(struct __test_metadata *_metadata)
{
	write_parameter(_metadata, "user_bytes", service_info(_metadata).user_bytes + POOL);
	EXPECT_LE(0, TRY_HEAP());
}

/* At the limit of the user's bytes the oldest dead go, and no more than needed. */
TEST_F(dead, goes_before_the_user_is_refused)
{
	struct heap heap = HEAP();
	__u64 ids[3], ref;

	for (int i = 0; i < 3; i++) {
		become_dead(_metadata, self->notes);
		ids[i] = self->notes->id;
	}
	write_parameter(_metadata, "user_bytes", service_info(_metadata).user_bytes + 8 * POOL);
	ref = alloc_one(&heap, 16 * POOL);
	EXPECT_FALSE(is_dead(_metadata, ids[0]));
	EXPECT_TRUE(is_dead(_metadata, ids[2]));
	free_one(&heap, ref);
	heap_trim(&heap);

	/* If all together are not enough, they stay. */
	write_parameter(_metadata, "user_bytes", POOL);
	EXPECT_EQ(-EDQUOT, TRY_HEAP());
	EXPECT_TRUE(is_dead(_metadata, ids[2]));
	/* What has just ended may still count when the limit is set: then there is room once. */
	EXPECT_TRUE(EVENTUALLY((make_heap_at_limit(_metadata), !is_dead(_metadata, ids[1]))));
	heap_close(&heap);
}

static void shrink(struct __test_metadata *_metadata)
{
	write_text(_metadata, "/proc/sys/vm/drop_caches", "4");
	write_text(_metadata, "/proc/sys/vm/drop_caches", "2");
}

TEST_F(dead, goes_when_memory_is_short)
{
	for (int i = 0; i < KEEP; i++)
		become_dead(_metadata, self->notes);
	EXPECT_EQ(KEEP, service_info(_metadata).user_dead);
	/* What is being looked up at this moment is passed over. */
	EXPECT_TRUE(EVENTUALLY((shrink(_metadata), !service_info(_metadata).user_dead)));
}

/* The same for a memory cgroup: its own dead go, and those of others stay. */
TEST_F(dead, goes_when_its_cgroup_is_short)
{
	__u64 inside, outside;

	become_dead(_metadata, self->notes);
	outside = self->notes->id;
	group_make(_metadata);
	become_dead(_metadata, self->notes);
	inside = self->notes->id;
	for (int rounds = 0; rounds < 1000 && is_dead(_metadata, inside); rounds++) {
		int fd = open(GROUP "/memory.reclaim", O_WRONLY);

		ASSERT_LE(0, fd);
		/* It fails when less could be had. */
		if (write(fd, "64M", 3) < 0)
			EXPECT_EQ(EAGAIN, errno);
		close(fd);
	}
	EXPECT_FALSE(is_dead(_metadata, inside));
	EXPECT_TRUE(is_dead(_metadata, outside));
	become_dead(_metadata, self->notes);
	group_leave(_metadata);
	/* What is kept does not keep the cgroup. */
	ASSERT_EQ(0, rmdir(GROUP)) TH_LOG("%m");
	expect_as_noted(_metadata, self->notes);
	shrink(_metadata);
}

/* What number @i of the children of a heap's process does with its own heap. */
static void live_as_a_child(struct heap *heap, struct notes *notes, int i)
{
	struct __test_metadata *_metadata = heap->test;

	heap->fd = heap_open(_metadata, user_ptr(heap->window), PYMALLOC_OPEN_MAPPED);
	ASSERT_LE(0, heap->fd);
	heap->id = heap_info(_metadata, heap->fd).id;
	free_all(heap, &notes[0].refs[NR_REFS / 3], i * 100);
	alloc(heap, 24, notes[i].refs, 100);
	heap_trim(heap);
	note(heap, &notes[i]);
}

static void live_as_a_parent(struct __test_metadata *_metadata, struct notes *notes)
{
	struct heap heap = HEAP();
	pid_t child;

	fill(&heap, notes[0].refs);
	for (int i = 1; i < 3; i++) {
		IN_CHILD(child, live_as_a_child(&heap, notes, i));
		join_child(_metadata, child);
		ASSERT_TRUE(EVENTUALLY(is_dead(_metadata, notes[i].id)));
		expect_as_noted(_metadata, &notes[i]);
	}
	/* The pages are this heap's alone again, and are written. */
	EXPECT_EQ(0, heap_stats(&heap).shared_bytes);
	for (int i = NR_REFS / 3; i < NR_REFS; i++)
		*at(&heap, notes[0].refs[i]) = 1;
	heap_check(&heap);
	note(&heap, &notes[0]);
}

/* Relatives die one after the other, each with pages that others still have. */
TEST_F(dead, relatives)
{
	struct notes *notes = common_memory(_metadata, 3 * sizeof(*notes));
	pid_t parent;

	IN_CHILD(parent, live_as_a_parent(_metadata, notes));
	join_child(_metadata, parent);
	ASSERT_TRUE(EVENTUALLY(is_dead(_metadata, notes[0].id)));
	for (int i = 0; i < 3; i++)
		expect_as_noted(_metadata, &notes[i]);
}

/* A child that has never used the heap that it has inherited leaves one as well. */
TEST_F(dead, of_an_idle_child)
{
	struct pymalloc_heap_info infos[2];
	struct heap heap = HEAP();
	pid_t child;

	fill(&heap, self->notes->refs);
	IN_CHILD(child, (void)child);
	join_child(_metadata, child);
	ASSERT_TRUE(EVENTUALLY(list_dead(_metadata, infos, 2) == 1));
	EXPECT_EQ(child, infos[0].pid);
	EXPECT_EQ(PYMALLOC_DIED_EXIT, infos[0].death);
	EXPECT_LE(0, open_dead(_metadata, infos[0].id));
	heap_check(&heap);
	heap_close(&heap);
}

/* A thousand processes die: what is kept of them is no more than of a few. */
TEST_F(dead, many)
{
	struct pymalloc_info info;
	__u64 most;

	become_dead(_metadata, self->notes);
	most = KEEP * service_info(_metadata).user_dead_bytes;
	for (int i = 0; i < 1000; i++) {
		pid_t child = fork();

		if (!child) {
			struct heap heap = HEAP();

			alloc(&heap, 64, self->notes->refs, 1000);
			end(i % 2 ? BY_SIGKILL : BY_EXIT);
		}
		ASSERT_EQ(child, waitpid(child, NULL, 0));
		info = service_info(_metadata);
		ASSERT_GE(KEEP, info.user_dead);
		ASSERT_GE(most, info.user_dead_bytes);
	}
	ASSERT_TRUE(EVENTUALLY(service_info(_metadata).user_heaps == self->info.user_heaps));
	EXPECT_EQ(KEEP, service_info(_metadata).user_dead);
}

/* Look at all dead heaps again and again, while they come and go. */
static void look_for_ever(struct __test_metadata *_metadata)
{
	struct pymalloc_heap_info heaps[KEEP];

	for (;;) {
		__u32 nr = list_dead(_metadata, heaps, KEEP);

		for (__u32 i = 0; i < nr; i++) {
			struct pymalloc_check check = ARG(check);
			struct pymalloc_stats stats = ARG(stats);
			int fd = open_dead(_metadata, heaps[i].id), err;

			ASSERT_TRUE(fd >= 0 || fd == -ENOENT) TH_LOG("%s", strerror(-fd));
			if (fd < 0)
				continue;
			err = call(fd, PYMALLOC_IOC_CHECK, &check);
			ASSERT_TRUE(!err || err == -ESTALE);
			ASSERT_EQ(0, check.errors);
			err = call(fd, PYMALLOC_IOC_STATS, &stats);
			ASSERT_TRUE(!err || err == -ESTALE);
			close(fd);
			if (i % 3 == 2)
				forget(_metadata, heaps[i].id);
		}
	}
}

TEST_F(dead, looked_at_while_they_go)
{
	pid_t lookers[2];

	write_parameter(_metadata, "keep_dead", 3);
	for (int i = 0; i < 2; i++)
		IN_CHILD(lookers[i], look_for_ever(_metadata));
	for (int i = 0; i < 60; i++) {
		live_and_die(_metadata, self->notes, i % 3, 0);
		if (i % 10 == 9)
			shrink(_metadata);
	}
	for (int i = 0; i < 2; i++) {
		int status;

		ASSERT_EQ(0, kill(lookers[i], SIGKILL));
		ASSERT_EQ(lookers[i], waitpid(lookers[i], &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
}

TEST_HARNESS_MAIN
