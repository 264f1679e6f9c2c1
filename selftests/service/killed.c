// SPDX-License-Identifier: GPL-2.0
/*
 * A process is killed while much is being done in its heap: what is left of that is not
 * done, and nobody waits for the process to end.
 *
 * What is left shows in the heap's figures, and how far it was when the process was dead: no
 * test knows how long anything takes. One that has killed too late tries again.
 */
#include "fuse.h"
#include "mesh.h"
#include "relatives.h"

/*
 * A heap with caches full of refs that are bad: a round of stealing looks at each of them. The
 * last cache has one ref.
 */
#define CACHES 50
#define SLOTS (PYMALLOC_CACHE_PAGES * POOL / sizeof(__u64))
#define BAD_REFS ((CACHES - 1) * SLOTS)

static void make_cache(struct heap *heap, __u32 index, __u32 pages)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_cache arg = ARG(cache, .op = PYMALLOC_CACHE_MAKE, .index = index,
					.count = pages);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_CACHE, &arg));
}

static struct pymalloc_cache_header *cache_header(struct heap *heap, __u32 index)
{
	struct __test_metadata *_metadata = heap->test;
	void *header = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd,
			    PYMALLOC_CACHES_OFFSET + index * POOL);

	ASSERT_NE(MAP_FAILED, header);
	return header;
}

/* The slots are 0, which is no block. */
static void make_caches(struct heap *heap)
{
	for (__u32 i = 0; i < CACHES - 1; i++) {
		make_cache(heap, i, PYMALLOC_CACHE_PAGES);
		cache_header(heap, i)->nr_queued = SLOTS;
	}
	make_cache(heap, CACHES - 1, 1);
	cache_header(heap, CACHES - 1)->nr_queued = 1;
}

/* A process that is to be killed. */
struct victim {
	pid_t pid;
	int fd;		/* its heap, for reading */
	__u64 id;
	int pipe[2];	/* the header of its last cache, even when that is gone */
};

/* @off: what its heap does not do by itself. @file: what it has asked to read from, or NULL. */
static void be_victim(struct __test_metadata *_metadata, struct victim *victim,
		      struct gate *ready, __u64 *id, __u32 off, const struct silent_file *file)
{
	struct heap heap = HEAP();

	*id = heap.id;
	make_caches(&heap);
	pipe_memory(_metadata, victim->pipe[1], cache_header(&heap, CACHES - 1), POOL);
	if (file)
		silent_read(_metadata, file);
	POLICY(&heap, .flags = PYMALLOC_POLICY_SET, .decay_ms = PYMALLOC_DECAY_MS_MIN,
	       .off = off);
	gate_open(_metadata, ready);
	for (;;)
		pause();
}

static struct victim victim_start(struct __test_metadata *_metadata, __u32 off,
				  const struct silent_file *file)
{
	__u64 *id = common_memory(_metadata, POOL);
	struct gate ready = gate_new(_metadata);
	struct victim victim;

	ASSERT_EQ(0, pipe2(victim.pipe, O_CLOEXEC));
	IN_CHILD(victim.pid, {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		be_victim(_metadata, &victim, &ready, id, off, file);
	});
	gate_wait(_metadata, &ready);
	gate_close(&ready);
	victim.id = *id;
	victim.fd = heap_open(_metadata, victim.id, PYMALLOC_OPEN_RDONLY);
	ASSERT_LE(0, victim.fd);
	return victim;
}

static void victim_close(struct victim *victim)
{
	close(victim->fd);
	close(victim->pipe[0]);
	close(victim->pipe[1]);
}

/* How many refs were stolen. All, if the heap is no more: then nobody knows. */
static __u64 victim_stolen(const struct victim *victim)
{
	struct pymalloc_stats arg = ARG(stats);

	return call(victim->fd, PYMALLOC_IOC_STATS, &arg) ? BAD_REFS : arg.nr_bad_refs;
}

/* Kill the process as soon as stealing has begun. */
static void victim_kill(struct __test_metadata *_metadata, const struct victim *victim)
{
	while (!victim_stolen(victim))
		sched_yield();
	ASSERT_EQ(0, kill(victim->pid, SIGKILL));
}

/* Is the memory of a process's heap, of which most is the slots, still there? */
static bool victim_has_memory(struct __test_metadata *_metadata)
{
	return service_info(_metadata).user_meta_bytes >= BAD_REFS * sizeof(__u64);
}

/* Did the stealing get as far as the last cache? Only when the heap has ended. */
static bool victim_lost_all(struct __test_metadata *_metadata, const struct victim *victim)
{
	union {
		struct pymalloc_cache_header header;
		char bytes[POOL];
	} page;

	for (size_t done = 0; done < POOL;) {
		ssize_t got = read(victim->pipe[0], page.bytes + done, POOL - done);

		ASSERT_LT(0, got);
		done += got;
	}
	ASSERT_GE(1, page.header.nr_queued);
	return !page.header.nr_queued;
}

FIXTURE(steal)
{
	int nothing;
};

/* Who steals: the heap itself, or another process that compacts it. */
FIXTURE_VARIANT(steal)
{
	bool other;
};

FIXTURE_VARIANT_ADD(steal, upkeep) { .other = false };
FIXTURE_VARIANT_ADD(steal, another_process) { .other = true };

FIXTURE_SETUP(steal)
{
}

FIXTURE_TEARDOWN(steal)
{
}

static void compact_from_outside(struct __test_metadata *_metadata, __u64 id)
{
	struct pymalloc_compact arg = ARG(compact, .flags = PYMALLOC_COMPACT_CACHES);
	int fd = heap_open(_metadata, id, 0);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_COMPACT, &arg));
}

/* Returns whether the process died when most was still to be stolen, and all was. */
static bool steals_on(struct __test_metadata *_metadata, const struct victim *victim)
{
	bool early;

	victim_kill(_metadata, victim);
	ASSERT_EQ(victim->pid, waitpid(victim->pid, NULL, 0));
	/* From now on, all that is stolen is stolen from the dead. */
	early = victim_stolen(victim) < BAD_REFS / 2;
	ASSERT_TRUE(EVENTUALLY(!victim_has_memory(_metadata)));
	return early;
}

/* Returns whether this has shown anything. */
static bool steal_from_dead(struct __test_metadata *_metadata, bool other)
{
	struct victim victim = victim_start(_metadata, other ? POLICY_NOTHING :
					    POLICY_NOTHING & ~PYMALLOC_POLICY_NO_STEAL, NULL);
	pid_t child = 0;
	bool early, all;

	if (other)
		IN_CHILD(child, compact_from_outside(_metadata, victim.id));
	early = steals_on(_metadata, &victim);
	if (other)
		join_child(_metadata, child);
	all = victim_lost_all(_metadata, &victim);
	EXPECT_FALSE(early && all);
	victim_close(&victim);
	return early || !all;
}

/* The memory of a process that has ended does not wait until all is stolen from it. */
TEST_F(steal, from_the_dead)
{
	while (!steal_from_dead(_metadata, variant->other))
		TH_LOG("all was stolen before the process was dead");
}

FIXTURE(unanswered)
{
	struct heap heap;
	struct silent_file file;
};

FIXTURE_SETUP(unanswered)
{
	if (!fuse_is_known())
		SKIP(return, "this kernel has no FUSE");
	self->heap = HEAP();
	silent_start(_metadata, &self->file);
}

FIXTURE_TEARDOWN(unanswered)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

/* Has the process ended, and left the end of its address space to somebody else? */
static bool leaves_its_end(struct __test_metadata *_metadata, pid_t pid)
{
	char path[64], where[64];
	siginfo_t info = {};
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	for (;;) {
		ASSERT_EQ(0, waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT));
		if (info.si_pid)
			return true;
		file = fopen(path, "r");
		ASSERT_NE(NULL, file) TH_LOG("%m");
		where[fread(where, 1, sizeof(where) - 1, file)] = '\0';
		fclose(file);
		if (!strcmp(where, "exit_aio"))
			return false;
		sched_yield();
	}
}

/* A process that has died while its heap's round was under way, and waits for the server. */
static struct victim victim_unanswered(struct __test_metadata *_metadata,
				       const struct silent_file *file)
{
	for (;;) {
		struct victim victim = victim_start(_metadata,
						    POLICY_NOTHING & ~PYMALLOC_POLICY_NO_STEAL,
						    file);

		victim_kill(_metadata, &victim);
		if (leaves_its_end(_metadata, victim.pid))
			return victim;
		TH_LOG("the round was over before the process was dead");
		victim_close(&victim);
	}
}

static bool decays(struct heap *heap)
{
	__u64 refs[40 * 8];

	alloc(heap, 512, refs, ARRAY_SIZE(refs));
	free_all(heap, refs, ARRAY_SIZE(refs));
	POLICY(heap, .flags = PYMALLOC_POLICY_SET, .decay_ms = PYMALLOC_DECAY_MS_MIN,
	       .off = POLICY_NOTHING & ~PYMALLOC_POLICY_NO_DECAY);
	return EVENTUALLY(!heap_stats(heap).pools_empty);
}

/*
 * The thread that looks after all heaps is the last user of an address space, whose end waits
 * for a file system. Other heaps are looked after all the same.
 */
TEST_F(unanswered, others_decay)
{
	struct victim victim = victim_unanswered(_metadata, &self->file);

	EXPECT_TRUE(decays(&self->heap));
	EXPECT_TRUE(victim_has_memory(_metadata));
	silent_end(_metadata, &self->file);
	EXPECT_TRUE(EVENTUALLY(!victim_has_memory(_metadata)));
	victim_close(&victim);
	while (wait(NULL) > 0)
		;
}

/*
 * A heap in which meshing takes long: it looks at so many mappings for each page, and the
 * pages are not sparse enough to be taken out of them by the arena.
 */
#define POOLS 1000
#define MAPPINGS 2000
#define AREA_BYTES (2 * MAPPINGS * POOL)

struct meshed {
	struct heap heap;
	char *area;
	__u32 count;
	struct marked blocks[POOLS];
	char stack[64 * 1024];
};

static void meshed_make(struct __test_metadata *_metadata, struct meshed *meshed)
{
	meshed->heap = HEAP();
	meshed->count = leave_few(&meshed->heap, meshed->blocks, 512, POOLS, 1);
	alloc_one(&meshed->heap, POOLS * POOL);
	meshed->area = mmap(NULL, AREA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, meshed->area);
	/* One page in two, so that they stay apart. */
	for (__u64 at = 0; at < AREA_BYTES; at += 2 * POOL)
		ASSERT_NE(MAP_FAILED, mmap(meshed->area + at, POOL, PROT_READ,
					   MAP_SHARED | MAP_FIXED, meshed->heap.fd, 0));
}

static void meshed_free(struct meshed *meshed)
{
	munmap(meshed->area, AREA_BYTES);
	heap_close(&meshed->heap);
	free(meshed);
}

static int mesh_till_killed(void *argument)
{
	struct pymalloc_compact arg = ARG(compact, .flags = PYMALLOC_COMPACT_MESH);
	struct meshed *meshed = argument;

	return call(meshed->heap.fd, PYMALLOC_IOC_COMPACT, &arg);
}

/*
 * Has a process of the same address space mesh the heap, and kills it. Returns how many pages
 * were meshed when it had the signal.
 */
static __u64 mesh_killed(struct __test_metadata *_metadata, struct meshed *meshed)
{
	pid_t pid = clone(mesh_till_killed, meshed->stack + sizeof(meshed->stack),
			  CLONE_VM | SIGCHLD, meshed);
	__u64 done;

	ASSERT_LT(0, pid) TH_LOG("%m");
	while (!heap_stats(&meshed->heap).nr_meshed)
		sched_yield();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	done = heap_stats(&meshed->heap).nr_meshed;
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	return done;
}

/* Returns whether this has shown anything. */
static bool mesh_of_dead(struct __test_metadata *_metadata)
{
	struct meshed *meshed = calloc(1, sizeof(*meshed));
	bool early;

	meshed_make(_metadata, meshed);
	early = mesh_killed(_metadata, meshed) < POOLS / 4;
	if (early)
		EXPECT_GT(POOLS / 2, heap_stats(&meshed->heap).nr_meshed);
	EXPECT_EQ(0, marked_lost(&meshed->heap, meshed->blocks, meshed->count));
	heap_check(&meshed->heap);
	/* Another one does the rest. */
	heap_mesh(&meshed->heap);
	EXPECT_LE(POOLS * 3 / 4, heap_stats(&meshed->heap).nr_meshed);
	EXPECT_EQ(0, marked_lost(&meshed->heap, meshed->blocks, meshed->count));
	heap_check(&meshed->heap);
	meshed_free(meshed);
	return early;
}

/* Who is being killed does not mesh on. */
TEST(mesh_by_the_dead)
{
	while (!mesh_of_dead(_metadata))
		TH_LOG("most was meshed before the process had the signal");
}

TEST_HARNESS_MAIN
