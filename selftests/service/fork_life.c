// SPDX-License-Identifier: GPL-2.0
/*
 * A heap ends with its client. A process that still has a descriptor of it, or
 * has a mapping by fork(), never keeps it. A child's own heap does not notice.
 */
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>

#include "service.h"

/* This user has nothing but what these tests make. */
#define USER 22345

#define OBJECTS 4000
#define SIZE 200
#define RUN_PAGES 100
/* Pages of the run that the parent has written to since the fork(). */
#define WRITTEN 20

static __u64 refs[OBJECTS];

/* What processes tell each other by writing it here. */
struct notes {
	__u64 parents_heap;
	__u64 childs_heap;
	__u64 before;		/* bytes, when there was only the parent's heap */
	pid_t child;
};

/*
 * The cast: the test, which lives on; the parent, which has a heap, has a child
 * and ends; and the child, which lives longer than the parent.
 */
struct scene {
	struct __test_metadata *test;
	struct turns parent;	/* end 0 of both belongs to the test */
	struct turns child;
	struct notes *notes;
	struct heap heap;
	__u64 run;
};

/* Is nothing left of what the user had: no heap, and no page? */
static bool nothing_is_left(struct __test_metadata *_metadata)
{
	struct pymalloc_info info = service_info(_metadata);

	return !info.user_heaps && !info.user_bytes;
}

static struct scene scene_begin(struct __test_metadata *_metadata)
{
	struct scene scene = { .test = _metadata };

	/* This process adopts orphans, so that it can wait for them. */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	scene.parent = turns_make(_metadata);
	scene.child = turns_make(_metadata);
	scene.notes = mmap(NULL, sizeof(*scene.notes), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, scene.notes);
	ASSERT_EQ(0, seteuid(USER));
	keep_looking(_metadata);
	ASSERT_TRUE(EVENTUALLY(nothing_is_left(_metadata)));
	return scene;
}

static void scene_end(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;

	EXPECT_TRUE(EVENTUALLY(nothing_is_left(_metadata)));
	ASSERT_EQ(0, seteuid(0));
}

/* Make a heap with contents and without an empty pool. */
static void fill_heap(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;
	struct heap *heap = &scene->heap;

	*heap = HEAP(.name = "parent's");
	alloc(heap, SIZE, refs, OBJECTS);
	for (int i = 0; i < OBJECTS; i++)
		*(int *)at(heap, refs[i]) = i;
	scene->run = alloc_one(heap, RUN_PAGES * POOL);
	memset(at(heap, scene->run), 'r', RUN_PAGES * POOL);
	heap_trim(heap);
	scene->notes->parents_heap = heap->id;
	scene->notes->before = own_bytes(_metadata);
}

static bool contents_are_right(struct scene *scene)
{
	for (int i = 0; i < OBJECTS; i++)
		if (*(int *)at(&scene->heap, refs[i]) != i)
			return false;
	return is_filled(at(&scene->heap, scene->run), 'r', RUN_PAGES * POOL);
}

/* The heap behind the caller's descriptor works, down to the last page. */
static void heap_works(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;
	struct heap *heap = &scene->heap;
	__u64 more[100];

	EXPECT_TRUE(contents_are_right(scene));
	alloc(heap, 64, more, ARRAY_SIZE(more));
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		memset(at(heap, more[i]), 'm', 64);
	memset(at(heap, scene->run), 'w', RUN_PAGES * POOL);
	EXPECT_EQ(SIZE / 8, pool_map(heap, refs[0]));
	EXPECT_EQ(OBJECTS + ARRAY_SIZE(more), heap_stats(heap).blocks);
	heap_check(heap);
	free_all(heap, more, ARRAY_SIZE(more));
	free_all(heap, refs, OBJECTS);
	free_one(heap, scene->run);
	heap_trim(heap);
	heap_check(heap);
	EXPECT_EQ(0, heap_stats(heap).page_bytes);
	EXPECT_EQ(SIGBUS, touch(at(heap, refs[0]), false));
}

static void command_is_stale(struct __test_metadata *_metadata, int fd,
			     unsigned long command, void *arg)
{
	EXPECT_EQ(-ESTALE, call(fd, command, arg)) TH_LOG("command %#lx", command);
}

/* Make calls that would work on a heap that has not ended. */
static void every_command_is_stale(struct __test_metadata *_metadata, int fd)
{
	__u64 ref = 2 * ARENA;
	char room[128];
	struct pymalloc_alloc alloc = ARG(alloc, .refs = user_ptr(&ref), .size = 8, .count = 1);
	struct pymalloc_free free = ARG(free, .refs = user_ptr(&ref), .count = 1);
	struct pymalloc_usable usable = ARG(usable, .refs = user_ptr(&ref),
					    .sizes = user_ptr(room), .count = 1);
	struct pymalloc_resize resize = ARG(resize, .ref = ref, .size = 8);
	struct pymalloc_stats stats = ARG(stats);
	struct pymalloc_walk walk = ARG(walk, .what = PYMALLOC_WALK_POOLS,
					.entries = user_ptr(room), .count = 1,
					.entry_size = sizeof(struct pymalloc_pool_info));
	struct pymalloc_trim trim = ARG(trim);
	struct pymalloc_check check = ARG(check);
	struct pymalloc_notify notify = ARG(notify);
	struct pymalloc_caches caches = ARG(caches);
	struct pymalloc_end end = ARG(end);
	struct pymalloc_list list = ARG(list, .heaps = user_ptr(room), .count = 1,
					.entry_size = sizeof(struct pymalloc_heap_info));

	command_is_stale(_metadata, fd, PYMALLOC_IOC_ALLOC, &alloc);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_FREE, &free);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_USABLE, &usable);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_RESIZE, &resize);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_STATS, &stats);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_WALK, &walk);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_TRIM, &trim);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_CHECK, &check);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_NOTIFY, &notify);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_CACHES, &caches);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_END, &end);
	command_is_stale(_metadata, fd, PYMALLOC_IOC_LIST, &list);
}

static void poll_hangs_up(struct __test_metadata *_metadata, int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLPRI };

	EXPECT_EQ(1, poll(&pollfd, 1, 0));
	EXPECT_EQ(POLLHUP, pollfd.revents & POLLHUP);
}

static void is_stale(struct __test_metadata *_metadata, int fd)
{
	every_command_is_stale(_metadata, fd);
	poll_hangs_up(_metadata, fd);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, POOL, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ESTALE, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, POOL, PROT_READ, MAP_SHARED, fd,
				   PYMALLOC_POOL_MAP_OFFSET));
	EXPECT_EQ(ESTALE, errno);
}

/* access() checks the real user, which is root. */
static bool has_folder(__u64 id)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/pymalloc/heap%llu", id);
	return !access(path, F_OK);
}

static void cannot_be_opened(struct __test_metadata *_metadata, __u64 id)
{
	int fd = heap_open(_metadata, id, 0);

	EXPECT_GT(0, fd) TH_LOG("heap %llu", id);
	close(fd);
}

/* Soon the heap cannot be seen anywhere. */
static void is_gone(struct __test_metadata *_metadata, __u64 id)
{
	EXPECT_TRUE(EVENTUALLY(!heap_listed(_metadata, id))) TH_LOG("heap %llu is there", id);
	EXPECT_TRUE(EVENTUALLY(!has_folder(id)));
	cannot_be_opened(_metadata, id);
}

static void bytes_become(struct __test_metadata *_metadata, __u64 bytes)
{
	__u64 now;

	EXPECT_TRUE(EVENTUALLY((now = own_bytes(_metadata)) == bytes))
		TH_LOG("%llu, not %llu", now, bytes);
}

/*
 * Parents that end
 */

enum end { BY_EXIT, BY_SIGKILL, BY_EXEC };

FIXTURE(fork_life)
{
	struct scene scene;
};

FIXTURE_VARIANT(fork_life)
{
	enum end end;
};

FIXTURE_VARIANT_ADD(fork_life, exit)
{
	.end = BY_EXIT,
};

FIXTURE_VARIANT_ADD(fork_life, sigkill)
{
	.end = BY_SIGKILL,
};

FIXTURE_VARIANT_ADD(fork_life, exec)
{
	.end = BY_EXEC,
};

FIXTURE_SETUP(fork_life)
{
	self->scene = scene_begin(_metadata);
}

FIXTURE_TEARDOWN(fork_life)
{
	scene_end(&self->scene);
}

/* What the child does before its parent ends, and after. */
struct role {
	void (*before)(struct scene *scene);
	void (*after)(struct scene *scene);
};

static void play_child(struct scene *scene, const struct role *role)
{
	turns_take(&scene->child, 1);
	close(turns_end(&scene->parent));
	if (role->before)
		role->before(scene);
	if (!turns_around(&scene->child))
		_exit(0);
	role->after(scene);
	turns_pass(&scene->child);
	turns_wait(&scene->child);
	_exit(0);
}

static void end_as(enum end end)
{
	if (end == BY_EXEC)
		execl("/bin/sleep", "sleep", "infinity", NULL);
	while (end == BY_SIGKILL)
		pause();
	_exit(0);
}

static void play_parent(struct scene *scene, const struct role *role, enum end end)
{
	struct __test_metadata *_metadata = scene->test;
	pid_t child;

	turns_take(&scene->parent, 1);
	fcntl(turns_end(&scene->parent), F_SETFD, FD_CLOEXEC);
	fill_heap(scene);
	/* The program that it executes has the descriptor, too. */
	fcntl(scene->heap.fd, F_SETFD, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		play_child(scene, role);
	scene->notes->child = child;
	close(scene->child.ends[0]);
	close(scene->child.ends[1]);
	if (!turns_around(&scene->parent))
		_exit(0);
	for (__u64 i = 0; i < WRITTEN; i++)
		memset(at(&scene->heap, scene->run + i * POOL), 'p', POOL);
	if (!turns_around(&scene->parent))
		_exit(0);
	end_as(end);
}

/*
 * Wait until the parent has ended. The parent may be another program by then.
 */
static void end_parent(struct scene *scene, pid_t parent, enum end end)
{
	struct __test_metadata *_metadata = scene->test;

	turns_pass(&scene->parent);
	if (end == BY_SIGKILL)
		EXPECT_EQ(0, kill(parent, SIGKILL));
	/* The parent closes its end when it ends or executes. */
	EXPECT_FALSE(turns_wait(&scene->parent));
	if (end != BY_EXEC)
		EXPECT_EQ(parent, waitpid(parent, NULL, 0));
}

/* After the parent has ended, the user has @left times what the parent had. */
static void play(struct scene *scene, const struct role *role, enum end end, int left)
{
	struct __test_metadata *_metadata = scene->test;
	pid_t parent = fork();

	ASSERT_LE(0, parent);
	if (!parent)
		play_parent(scene, role, end);
	turns_take(&scene->parent, 0);
	turns_take(&scene->child, 0);
	ASSERT_TRUE(turns_wait(&scene->parent));
	ASSERT_TRUE(turns_wait(&scene->child));
	ASSERT_TRUE(turns_around(&scene->parent));
	EXPECT_TRUE(heap_listed(_metadata, scene->notes->parents_heap));

	end_parent(scene, parent, end);
	is_gone(_metadata, scene->notes->parents_heap);
	bytes_become(_metadata, left * scene->notes->before);

	EXPECT_TRUE(turns_around(&scene->child));
	turns_pass(&scene->child);
	if (end == BY_EXEC) {
		EXPECT_EQ(0, kill(parent, SIGKILL));
		EXPECT_EQ(parent, waitpid(parent, NULL, 0));
	}
	join_child(_metadata, scene->notes->child);
}

/* The child has got everything, and keeps it. */
TEST_F(fork_life, child_goes_on)
{
	static const struct role role = { .after = heap_works };

	play(&self->scene, &role, variant->end, 1);
}

static void look(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;

	scene->notes->childs_heap = heap_info(_metadata, scene->heap.fd).id;
	EXPECT_NE(scene->notes->parents_heap, scene->notes->childs_heap);
	EXPECT_TRUE(contents_are_right(scene));
	heap_check(&scene->heap);
}

/* The same with a child that has made itself known before by a call. */
TEST_F(fork_life, child_that_has_called_goes_on)
{
	static const struct role role = { .before = look, .after = heap_works };

	play(&self->scene, &role, variant->end, 1);
}

static void close_descriptor(struct scene *scene)
{
	look(scene);
	close(scene->heap.fd);
}

static void open_own(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;

	EXPECT_TRUE(contents_are_right(scene));
	scene->heap.fd = heap_open(_metadata, scene->notes->childs_heap, 0);
	ASSERT_LE(0, scene->heap.fd);
	heap_works(scene);
}

TEST_F(fork_life, child_with_mappings_only)
{
	static const struct role role = { .before = close_descriptor, .after = open_own };

	play(&self->scene, &role, variant->end, 1);
}

static void open_by_address(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;

	close(scene->heap.fd);
	scene->heap.fd = heap_open(_metadata, user_ptr(at(&scene->heap, scene->run)),
				   PYMALLOC_OPEN_MAPPED);
	ASSERT_LE(0, scene->heap.fd);
	look(scene);
}

/* What the child has mapped is its own heap. */
TEST_F(fork_life, child_that_has_opened_by_address)
{
	static const struct role role = { .before = open_by_address, .after = heap_works };

	play(&self->scene, &role, variant->end, 1);
}

static void descriptor_is_stale(struct scene *scene)
{
	is_stale(scene->test, scene->heap.fd);
}

/*
 * By number, the child opens the parent's heap. It can look at this heap as
 * long as the parent lives.
 */
static void open_parents(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;

	close(scene->heap.fd);
	scene->heap.fd = heap_open(_metadata, scene->notes->parents_heap, 0);
	ASSERT_LE(0, scene->heap.fd);
	EXPECT_EQ(scene->notes->parents_heap, heap_info(_metadata, scene->heap.fd).id);
}

TEST_F(fork_life, child_that_has_opened_by_number)
{
	static const struct role role = { .before = open_parents, .after = descriptor_is_stale };

	play(&self->scene, &role, variant->end, 1);
}

static void unmap(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;

	heap_unmap(&scene->heap);
	EXPECT_EQ(scene->notes->parents_heap, heap_info(_metadata, scene->heap.fd).id);
}

/*
 * The child's own heap has gone with its mappings. The descriptor keeps
 * nothing.
 */
TEST_F(fork_life, child_with_a_descriptor_only)
{
	static const struct role role = { .before = unmap, .after = descriptor_is_stale };

	play(&self->scene, &role, variant->end, 0);
}

static void unmap_and_open_parents(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;

	unmap(scene);
	close(scene->heap.fd);
	scene->heap.fd = heap_open(_metadata, scene->notes->parents_heap, PYMALLOC_OPEN_RDONLY);
	ASSERT_LE(0, scene->heap.fd);
}

static void reading_is_stale(struct scene *scene)
{
	struct __test_metadata *_metadata = scene->test;
	struct pymalloc_stats stats = ARG(stats);

	command_is_stale(_metadata, scene->heap.fd, PYMALLOC_IOC_STATS, &stats);
	poll_hangs_up(_metadata, scene->heap.fd);
}

TEST_F(fork_life, child_that_has_opened_for_reading)
{
	static const struct role role = {
		.before = unmap_and_open_parents, .after = reading_is_stale,
	};

	play(&self->scene, &role, variant->end, 0);
}

/*
 * Processes that live longer than a heap
 */

FIXTURE(fork_others)
{
	struct scene scene;
};

FIXTURE_SETUP(fork_others)
{
	self->scene = scene_begin(_metadata);
}

FIXTURE_TEARDOWN(fork_others)
{
	scene_end(&self->scene);
}

/*
 * daemon(3): the parent exits; the child makes a session and exits; the child's
 * child works.
 */
TEST_F(fork_others, daemon)
{
	struct scene *scene = &self->scene;
	pid_t parent, daemon;
	__u64 middle;

	IN_CHILD(parent, {
		fill_heap(scene);
		if (fork())
			_exit(0);
		ASSERT_LT(0, setsid());
		scene->notes->childs_heap = heap_info(_metadata, scene->heap.fd).id;
		if (fork())
			_exit(0);
		scene->notes->child = getpid();
		turns_take(&scene->child, 1);
		close(scene->parent.ends[0]);
		close(scene->parent.ends[1]);
		if (turns_around(&scene->child))
			heap_works(scene);
		turns_pass(&scene->child);
		turns_wait(&scene->child);
	});
	join_child(_metadata, parent);
	turns_take(&scene->child, 0);
	ASSERT_TRUE(turns_wait(&scene->child));
	/* The process in the middle is an orphan now, and is waited for here. */
	daemon = scene->notes->child;
	ASSERT_LT(0, waitpid(-1, NULL, 0));
	middle = scene->notes->childs_heap;
	EXPECT_NE(scene->notes->parents_heap, middle);
	is_gone(_metadata, scene->notes->parents_heap);
	is_gone(_metadata, middle);
	EXPECT_TRUE(EVENTUALLY(service_info(_metadata).user_heaps == 1));
	bytes_become(_metadata, scene->notes->before);
	EXPECT_TRUE(turns_around(&scene->child));
	bytes_become(_metadata, 0);
	turns_pass(&scene->child);
	join_child(_metadata, daemon);
}

/* A process that has never mapped the heap is its client all the same. */
TEST_F(fork_others, client_without_a_mapping)
{
	struct scene *scene = &self->scene;
	pid_t client;
	int fd;

	IN_CHILD(client, {
		turns_take(&scene->child, 1);
		fill_heap(scene);
		heap_unmap(&scene->heap);
		turns_around(&scene->child);
	});
	turns_take(&scene->child, 0);
	ASSERT_TRUE(turns_wait(&scene->child));
	fd = heap_open(_metadata, scene->notes->parents_heap, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(scene->notes->before, heap_info(_metadata, fd).page_bytes);
	turns_pass(&scene->child);
	join_child(_metadata, client);
	is_gone(_metadata, scene->notes->parents_heap);
	bytes_become(_metadata, 0);
	is_stale(_metadata, fd);
	close(fd);
}

static int make_heap(void *arg)
{
	struct scene *scene = arg;

	fill_heap(scene);
	return 0;
}

/* The client is the address space, not the task that has made the heap. */
TEST_F(fork_others, maker_who_leaves_the_address_space)
{
	static char stack[65536];
	struct scene *scene = &self->scene;
	pid_t maker = clone(make_heap, stack + sizeof(stack), CLONE_VM | CLONE_FILES | SIGCHLD,
			    scene);

	join_child(_metadata, maker);
	EXPECT_TRUE(heap_listed(_metadata, scene->notes->parents_heap));
	heap_works(scene);
	heap_close(&scene->heap);
}

/* A child's own heap goes with its last mapping, while the child lives. */
TEST_F(fork_others, last_mapping_of_a_child)
{
	struct scene *scene = &self->scene;
	pid_t child;
	__u64 id;

	fill_heap(scene);
	IN_CHILD(child, {
		turns_take(&scene->child, 1);
		memset(at(&scene->heap, scene->run), 'c', WRITTEN * POOL);
		scene->notes->childs_heap = heap_info(_metadata, scene->heap.fd).id;
		turns_around(&scene->child);
		munmap(scene->heap.window, scene->heap.bytes);
		EXPECT_EQ(scene->notes->childs_heap, heap_info(_metadata, scene->heap.fd).id);
		turns_around(&scene->child);
		munmap((void *)scene->heap.map, scene->heap.bytes / POOL);
		EXPECT_EQ(scene->notes->parents_heap, heap_info(_metadata, scene->heap.fd).id);
		turns_around(&scene->child);
	});
	turns_take(&scene->child, 0);
	ASSERT_TRUE(turns_wait(&scene->child));
	id = scene->notes->childs_heap;
	EXPECT_EQ(scene->notes->before + WRITTEN * POOL, own_bytes(_metadata));
	ASSERT_TRUE(turns_around(&scene->child));
	EXPECT_TRUE(heap_listed(_metadata, id));
	ASSERT_TRUE(turns_around(&scene->child));
	is_gone(_metadata, id);
	bytes_become(_metadata, scene->notes->before);
	turns_pass(&scene->child);
	join_child(_metadata, child);
	heap_works(scene);
	heap_close(&scene->heap);
}

/*
 * PYMALLOC_IOC_END
 */

static int end_heap(int fd)
{
	struct pymalloc_end arg = ARG(end);

	return call(fd, PYMALLOC_IOC_END, &arg);
}

/* The child has the descriptor all the time, and this does it no harm. */
TEST_F(fork_others, end_by_the_client)
{
	struct scene *scene = &self->scene;
	struct heap *heap = &scene->heap;
	int second, reading;
	pid_t child;

	fill_heap(scene);
	second = heap_open(_metadata, heap->id, 0);
	reading = heap_open(_metadata, heap->id, PYMALLOC_OPEN_RDONLY);
	ASSERT_LE(0, second);
	ASSERT_LE(0, reading);
	IN_CHILD(child, {
		turns_take(&scene->child, 1);
		if (turns_around(&scene->child))
			heap_works(scene);
		turns_around(&scene->child);
	});
	turns_take(&scene->child, 0);
	ASSERT_TRUE(turns_wait(&scene->child));
	memset(at(heap, scene->run), 'p', WRITTEN * POOL);

	EXPECT_EQ(0, end_heap(heap->fd));
	is_stale(_metadata, heap->fd);
	is_stale(_metadata, second);
	poll_hangs_up(_metadata, reading);
	cannot_be_opened(_metadata, heap->id);
	/* Mapped memory stays until it is unmapped. */
	EXPECT_TRUE(is_filled(at(heap, scene->run), 'p', WRITTEN * POOL));
	*at(heap, scene->run) = 'p';
	EXPECT_EQ(scene->notes->before + WRITTEN * POOL, own_bytes(_metadata));
	heap_unmap(heap);
	is_gone(_metadata, heap->id);
	bytes_become(_metadata, scene->notes->before);

	EXPECT_TRUE(turns_around(&scene->child));
	turns_pass(&scene->child);
	join_child(_metadata, child);
	close(heap->fd);
	close(second);
	close(reading);
}

/* A child ends its own heap, and not its parent's. */
TEST_F(fork_others, end_by_a_child)
{
	struct scene *scene = &self->scene;
	pid_t child;

	fill_heap(scene);
	IN_CHILD(child, {
		scene->notes->childs_heap = heap_info(_metadata, scene->heap.fd).id;
		EXPECT_EQ(0, end_heap(scene->heap.fd));
		every_command_is_stale(_metadata, scene->heap.fd);
		EXPECT_TRUE(contents_are_right(scene));
		heap_unmap(&scene->heap);
		is_gone(_metadata, scene->notes->childs_heap);
	});
	join_child(_metadata, child);
	EXPECT_TRUE(heap_listed(_metadata, scene->heap.id));
	heap_works(scene);
	heap_close(&scene->heap);
}

/*
 * Nobody else can end the heap, and nobody can end it with a descriptor for
 * reading.
 */
TEST_F(fork_others, end_that_is_refused)
{
	struct scene *scene = &self->scene;
	struct pymalloc_end unknown_flag = ARG(end, .flags = 1);
	pid_t child;
	int reading;

	fill_heap(scene);
	reading = heap_open(_metadata, scene->heap.id, PYMALLOC_OPEN_RDONLY);
	ASSERT_LE(0, reading);
	EXPECT_EQ(-EBADF, end_heap(reading));
	EXPECT_EQ(-EINVAL, call(scene->heap.fd, PYMALLOC_IOC_END, &unknown_flag));
	IN_CHILD(child, {
		heap_unmap(&scene->heap);
		EXPECT_EQ(-EPERM, end_heap(scene->heap.fd));
	});
	join_child(_metadata, child);
	close(reading);
	heap_works(scene);
	heap_close(&scene->heap);
}

/*
 * Whatever a child inherits of a heap that has ended, the child reads no other
 * bytes.
 */
TEST_F(fork_others, fork_after_the_end)
{
	struct scene *scene = &self->scene;
	pid_t child;

	fill_heap(scene);
	EXPECT_EQ(0, end_heap(scene->heap.fd));
	IN_CHILD(child, {
		int fault = touch(at(&scene->heap, scene->run), false);

		EXPECT_TRUE(fault == SIGBUS || (!fault && contents_are_right(scene)))
			TH_LOG("signal %d", fault);
	});
	join_child(_metadata, child);
	EXPECT_TRUE(contents_are_right(scene));
	heap_close(&scene->heap);
}

TEST_HARNESS_MAIN
