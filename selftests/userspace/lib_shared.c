// SPDX-License-Identifier: GPL-2.0
/* Shared heaps of the library: counts and holds agree, whoever does what, and whoever dies. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pymalloc-shared.h>

#include "library.h"

#define SIZE	64
#define MANY	1000

static struct pymalloc_shared *shared_with(const char *name, __u64 limit)
{
	struct pymalloc_shared_options options = {
		.name = name, .limit = limit, .window = 1ULL << 30,
	};

	return pymalloc_shared_create(&options);
}

static bool is_sound(int fd)
{
	struct pymalloc_check check = { .argsz = sizeof(check) };

	if (ioctl(fd, PYMALLOC_IOC_CHECK, &check))
		return false;
	if (check.errors)
		printf("# %s\n", check.message);
	return !check.errors;
}

/* Blocks and large objects that are allocated, when nothing waits in this process. */
static __u64 left(struct pymalloc_shared *heap)
{
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };

	if (pymalloc_shared_flush(heap) ||
	    ioctl(pymalloc_shared_fd(heap), PYMALLOC_IOC_STATS, &stats))
		return ~0ULL;
	return stats.blocks + stats.runs;
}

/* What the kernel says of this process. */
static struct pymalloc_client_info self_of(struct pymalloc_shared *heap)
{
	struct pymalloc_client_info info = {};
	struct pymalloc_clients args = {
		.argsz = sizeof(args),
		.number = pymalloc_shared_client(heap) - 1,
		.infos = (uintptr_t)&info,
		.count = 1,
		.entry_size = sizeof(info),
	};

	if (ioctl(pymalloc_shared_fd(heap), PYMALLOC_IOC_CLIENTS, &args))
		info.holds = ~0ULL;
	return info;
}

static int set_limit(struct pymalloc_shared *heap, __u64 holds)
{
	struct pymalloc_clients args = {
		.argsz = sizeof(args),
		.op = PYMALLOC_CLIENTS_LIMIT,
		.number = pymalloc_shared_client(heap),
		.holds_max = holds,
	};

	return ioctl(pymalloc_shared_fd(heap), PYMALLOC_IOC_CLIENTS, &args);
}

static __u32 count_of(struct pymalloc_shared *heap, const void *object)
{
	__u32 count = *pymalloc_shared_count(heap, object);

	return count < PYMALLOC_SHARED_ONCE ? 0 : count - PYMALLOC_SHARED_ONCE + 1;
}

/* What was last dropped without being held, and how often that has happened. */
static const void *bad;
static int nr_bad;

static void note_bad_drop(struct pymalloc_shared *heap, const void *object)
{
	(void)heap;
	bad = object;
	nr_bad++;
}

FIXTURE(shared) {
	struct pymalloc_shared *heap;
	void *objects[MANY];
};

FIXTURE_SETUP(shared)
{
	self->heap = shared_with("shared", 0);
	ASSERT_NE(NULL, self->heap);
	bad = NULL;
	nr_bad = 0;
	pymalloc_set_bad_drop(note_bad_drop);
}

FIXTURE_TEARDOWN(shared)
{
	pymalloc_set_bad_drop(NULL);
	EXPECT_EQ(0, nr_bad);
	EXPECT_EQ(0, left(self->heap));
	EXPECT_EQ(0, self_of(self->heap).holds);
	EXPECT_TRUE(is_sound(pymalloc_shared_fd(self->heap)));
	pymalloc_shared_close(self->heap);
}

static void drop_all(struct pymalloc_shared *heap, void **objects, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pymalloc_shared_drop(heap, objects[i]);
}

static int status_of(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* By which the last stranger tells its number as a client, when it is ready. */
static int told[2];

static void tell(struct pymalloc_shared *heap)
{
	__u32 number = pymalloc_shared_client(heap);

	if (write(told[1], &number, sizeof(number)) != sizeof(number))
		_exit(98);
}

/* Waits for it. */
static __u32 hear(void)
{
	__u32 number = 0;

	close(told[1]);
	if (read(told[0], &number, sizeof(number)) != sizeof(number))
		number = 0;
	close(told[0]);
	return number;
}

/*
 * Another process, which is no child of fork() for the heap: it has closed what it has inherited,
 * and opened the heap anew.
 */
static pid_t stranger(struct pymalloc_shared *heap,
		      int (*work)(struct pymalloc_shared *heap, void *arg), void *arg)
{
	__u64 id = pymalloc_shared_id(heap);
	pid_t pid;

	if (pipe(told))
		return -1;
	pid = fork();
	if (pid)
		return pid;
	pymalloc_shared_close(heap);
	heap = pymalloc_shared_open_id(id);
	_exit(heap ? work(heap, arg) : 99);
}

TEST_F(shared, of_all_sizes)
{
	static const size_t sizes[] = {
		0, 1, 8, 9, 100, 512, 513, 5000, LARGEST, PYMALLOC_SIZE_MAX,
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char *object = pymalloc_shared_alloc(self->heap, sizes[i]);

		ASSERT_NE(NULL, object) TH_LOG("%zu bytes", sizes[i]);
		fill(object, sizes[i], i);
		EXPECT_TRUE(filled(object, sizes[i], i));
		EXPECT_EQ(object, pymalloc_shared_at(self->heap,
						     pymalloc_shared_ref(self->heap, object)));
		EXPECT_EQ(1, count_of(self->heap, object));
		pymalloc_shared_drop(self->heap, object);
	}
	EXPECT_EQ(0, pymalloc_shared_ref(self->heap, NULL));
	EXPECT_EQ(NULL, pymalloc_shared_at(self->heap, 0));
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_shared_alloc(self->heap, PYMALLOC_SIZE_MAX + 1));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(NULL, pymalloc_shared_alloc(self->heap, SIZE_MAX));
}

/* The stock is the process's as well, and is not in use. */
TEST_F(shared, stock)
{
	void *one = pymalloc_shared_alloc(self->heap, SIZE);
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };

	ASSERT_NE(NULL, one);
	ASSERT_EQ(0, ioctl(pymalloc_shared_fd(self->heap), PYMALLOC_IOC_STATS, &stats));
	EXPECT_LT(1, stats.blocks);
	EXPECT_EQ(stats.blocks, self_of(self->heap).holds);
	EXPECT_EQ(1, left(self->heap));
	EXPECT_EQ(1, self_of(self->heap).holds);
	for (int i = 0; i < MANY; i++) {
		self->objects[i] = pymalloc_shared_alloc(self->heap, SIZE);
		ASSERT_NE(NULL, self->objects[i]);
		fill(self->objects[i], SIZE, i);
	}
	for (int i = 0; i < MANY; i++)
		EXPECT_TRUE(filled(self->objects[i], SIZE, i));
	EXPECT_EQ(MANY + 1, left(self->heap));
	drop_all(self->heap, self->objects, MANY);
	pymalloc_shared_drop(self->heap, one);
}

TEST_F(shared, batch)
{
	errno = 77;
	ASSERT_EQ(MANY, pymalloc_shared_alloc_batch(self->heap, SIZE, self->objects, MANY));
	EXPECT_EQ(77, errno);
	for (int i = 0; i < MANY; i++)
		fill(self->objects[i], SIZE, i);
	for (int i = 0; i < MANY; i++) {
		EXPECT_TRUE(filled(self->objects[i], SIZE, i));
		EXPECT_EQ(1, count_of(self->heap, self->objects[i]));
	}
	EXPECT_EQ(MANY, left(self->heap));
	drop_all(self->heap, self->objects, MANY);
	EXPECT_EQ(0, pymalloc_shared_alloc_batch(self->heap, SIZE, self->objects, 0));
	EXPECT_EQ(3, pymalloc_shared_alloc_batch(self->heap, 10000, self->objects, 3));
	drop_all(self->heap, self->objects, 3);
	EXPECT_EQ(0, pymalloc_shared_alloc_batch(self->heap, SIZE_MAX, self->objects, 3));
	EXPECT_EQ(ENOMEM, errno);
}

TEST_F(shared, counted)
{
	void *object = pymalloc_shared_alloc(self->heap, SIZE);

	ASSERT_NE(NULL, object);
	for (__u32 i = 2; i < 1000; i++) {
		ASSERT_EQ(0, pymalloc_shared_hold(self->heap, object));
		ASSERT_EQ(i, count_of(self->heap, object));
	}
	for (int i = 1; i < 999; i++)
		pymalloc_shared_drop(self->heap, object);
	EXPECT_EQ(1, left(self->heap));
	pymalloc_shared_drop(self->heap, object);
	EXPECT_EQ(0, left(self->heap));
}

/* Drops that wait, and a hold in between: no drop undoes it. */
TEST_F(shared, held_again)
{
	for (int round = 0; round < 200; round++) {
		ASSERT_EQ(63, pymalloc_shared_alloc_batch(self->heap, SIZE, self->objects, 63));
		drop_all(self->heap, self->objects, 63);
		/* None has been sent: all of these are there. */
		for (int i = 0; i < 63; i += 2)
			ASSERT_EQ(0, pymalloc_shared_hold(self->heap, self->objects[i]));
		EXPECT_EQ(32, left(self->heap));
		for (int i = 0; i < 63; i += 2)
			ASSERT_EQ(1, count_of(self->heap, self->objects[i]));
		for (int i = 1; i < 63; i += 2) {
			ASSERT_EQ(-1, pymalloc_shared_hold(self->heap, self->objects[i]));
			ASSERT_EQ(EBADSLT, errno);
			ASSERT_EQ(0, count_of(self->heap, self->objects[i]));
		}
		for (int i = 0; i < 63; i += 2)
			pymalloc_shared_drop(self->heap, self->objects[i]);
		ASSERT_EQ(0, left(self->heap));
	}
}

TEST_F(shared, one_again_and_again)
{
	void *object = pymalloc_shared_alloc(self->heap, SIZE);
	void *other = pymalloc_shared_alloc(self->heap, SIZE);

	ASSERT_NE(NULL, other);
	/* Each of the two drops is the last one, and waits with the others. */
	for (int i = 0; i < 1000; i++) {
		pymalloc_shared_drop(self->heap, object);
		pymalloc_shared_drop(self->heap, other);
		/* A name keeps neither: if a send was due, they have gone. */
		if (pymalloc_shared_hold(self->heap, object))
			object = pymalloc_shared_alloc(self->heap, SIZE);
		if (pymalloc_shared_hold(self->heap, other))
			other = pymalloc_shared_alloc(self->heap, SIZE);
		ASSERT_NE(object, other);
	}
	EXPECT_EQ(2, left(self->heap));
	pymalloc_shared_drop(self->heap, object);
	pymalloc_shared_drop(self->heap, other);
}

TEST_F(shared, large_ones_do_not_wait)
{
	char *object = pymalloc_shared_alloc(self->heap, LARGEST);
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };

	ASSERT_NE(NULL, object);
	pymalloc_shared_drop(self->heap, object);
	ASSERT_EQ(0, ioctl(pymalloc_shared_fd(self->heap), PYMALLOC_IOC_STATS, &stats));
	EXPECT_EQ(0, stats.runs);
}

TEST_F(shared, bad_drops)
{
	char *object = pymalloc_shared_alloc(self->heap, SIZE);
	pid_t child;

	ASSERT_NE(NULL, object);
	errno = 77;
	pymalloc_shared_drop(self->heap, object + 8);
	EXPECT_EQ(object + 8, bad);
	pymalloc_shared_drop(self->heap, object);
	EXPECT_EQ(1, nr_bad);
	/* Its drop waits, it is in no stock, and it is none. */
	pymalloc_shared_drop(self->heap, object);
	EXPECT_EQ(2, nr_bad);
	EXPECT_EQ(0, left(self->heap));
	pymalloc_shared_drop(self->heap, object);
	EXPECT_EQ(3, nr_bad);
	EXPECT_EQ(77, errno);
	EXPECT_EQ(-1, pymalloc_shared_hold(self->heap, object));
	EXPECT_EQ(EBADSLT, errno);
	EXPECT_EQ(-1, pymalloc_shared_hold(self->heap, object + 8));
	EXPECT_EQ(0, count_of(self->heap, object + 8));
	nr_bad = 0;
	EXPECT_TRUE(pymalloc_set_bad_drop(NULL) == note_bad_drop);
	child = fork();
	if (!child) {
		struct rlimit none = {};

		setrlimit(RLIMIT_CORE, &none);
		close(STDERR_FILENO);
		pymalloc_shared_drop(self->heap, object);
		_exit(0);
	}
	EXPECT_EQ(1000 + SIGABRT, status_of(child));
}

TEST(bad_options)
{
	struct pymalloc_shared_options options[] = {
		{ .alignment = 32 }, { .flags = 1 }, { .window = 4096 },
		{ .name = "a name of more than thirty-one bytes" }, { .name = "\n" },
	};
	struct pymalloc_heap *private = heap_with("private", 8, 0);
	int pipes[2];

	ASSERT_NE(NULL, private);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_shared_create(&options[i]));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(NULL, pymalloc_shared_open(-1));
	EXPECT_EQ(EBADF, errno);
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(NULL, pymalloc_shared_open(pipes[0]));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(NULL, pymalloc_shared_open_id(~0ULL));
	EXPECT_EQ(ENOENT, errno);
	pymalloc_shared_close(NULL);
	EXPECT_EQ(NULL, pymalloc_shared_open(pymalloc_heap_fd(private)));
	EXPECT_EQ(EINVAL, errno);
	pymalloc_heap_destroy(private);
}

TEST(defaults)
{
	struct pymalloc_shared *heap = pymalloc_shared_create(NULL);
	struct pymalloc_shared_options options = { .alignment = 16 };
	void *objects[10];

	ASSERT_NE(NULL, heap);
	EXPECT_LT(0, pymalloc_shared_client(heap));
	EXPECT_TRUE(is_sound(pymalloc_shared_fd(heap)));
	pymalloc_shared_close(heap);
	heap = pymalloc_shared_create(&options);
	ASSERT_NE(NULL, heap);
	ASSERT_EQ(10, pymalloc_shared_alloc_batch(heap, 24, objects, 10));
	for (int i = 0; i < 10; i++)
		EXPECT_TRUE(aligned_to(objects[i], 16));
	EXPECT_TRUE(aligned_to(pymalloc_shared_alloc(heap, 8), 16));
	pymalloc_shared_close(heap);
}

/* Many at a time: the structs have to find places. */
TEST(many_heaps)
{
	struct pymalloc_shared *heaps[40];
	void *objects[40];

	for (int i = 0; i < 40; i++) {
		heaps[i] = shared_with("one of many", 0);
		ASSERT_NE(NULL, heaps[i]);
		objects[i] = pymalloc_shared_alloc(heaps[i], SIZE);
		ASSERT_NE(NULL, objects[i]);
	}
	for (int i = 0; i < 40; i++) {
		EXPECT_EQ(1, count_of(heaps[i], objects[i]));
		EXPECT_EQ(1, left(heaps[i]));
		pymalloc_shared_close(heaps[i]);
	}
}

TEST_F(shared, a_process_has_it_once)
{
	int copy = dup(pymalloc_shared_fd(self->heap));
	void *object = pymalloc_shared_alloc(self->heap, SIZE);
	struct pymalloc_open open_args = {
		.argsz = sizeof(open_args), .flags = PYMALLOC_OPEN_RDONLY,
		.id = pymalloc_shared_id(self->heap),
	};
	int device = open("/dev/pymalloc", O_RDWR);
	int reader = ioctl(device, PYMALLOC_IOC_OPEN, &open_args);

	ASSERT_LE(0, reader);
	EXPECT_EQ(self->heap, pymalloc_shared_open(copy));
	EXPECT_EQ(self->heap, pymalloc_shared_open_id(pymalloc_shared_id(self->heap)));
	EXPECT_EQ(NULL, pymalloc_shared_open(reader));
	EXPECT_EQ(EBUSY, errno);
	pymalloc_shared_close(self->heap);
	pymalloc_shared_close(self->heap);
	EXPECT_EQ(1, left(self->heap));
	pymalloc_shared_drop(self->heap, object);
	close(copy);
	close(reader);
	close(device);
}

static int read_only(struct pymalloc_shared *heap, void *arg)
{
	__u64 id = pymalloc_shared_id(heap);
	struct pymalloc_open args = {
		.argsz = sizeof(args), .flags = PYMALLOC_OPEN_RDONLY, .id = id,
	};
	int device = open("/dev/pymalloc", O_RDWR);
	int fd = ioctl(device, PYMALLOC_IOC_OPEN, &args);
	char *object, *same;

	(void)arg;
	pymalloc_shared_close(heap);
	heap = pymalloc_shared_open(fd);
	if (!heap)
		return 1;
	object = pymalloc_shared_lookup(heap, "text");
	if (!object || strcmp(object, "to be read"))
		return 2;
	if (pymalloc_shared_alloc(heap, 8) || errno != EPERM ||
	    !pymalloc_shared_give(heap, 1, object) || errno != EPERM ||
	    !pymalloc_shared_publish(heap, "mine", object) || errno != EPERM ||
	    !pymalloc_shared_remove(heap, "text") || errno != EPERM)
		return 3;
	if (pymalloc_shared_hold(heap, object) || count_of(heap, object) != 2)
		return 4;
	tell(heap);
	if (pymalloc_shared_receive(heap, (void **)&same, 1, -1) != 1 || same != object)
		return 5;
	for (int i = 0; i < 3; i++)
		pymalloc_shared_drop(heap, object);
	if (pymalloc_shared_flush(heap) || self_of(heap).holds)
		return 6;
	*(volatile char *)object = 0;
	return 7;
}

TEST_F(shared, readers)
{
	char *object = pymalloc_shared_alloc(self->heap, SIZE);
	pid_t child;

	ASSERT_NE(NULL, object);
	memcpy(object, "to be read", sizeof("to be read"));
	ASSERT_EQ(0, pymalloc_shared_publish(self->heap, "text", object));
	ASSERT_EQ(0, pymalloc_shared_flush(self->heap));
	child = stranger(self->heap, read_only, NULL);
	EXPECT_EQ(0, pymalloc_shared_give(self->heap, hear(), object));
	EXPECT_EQ(1000 + SIGSEGV, status_of(child));
	EXPECT_EQ(0, pymalloc_shared_remove(self->heap, "text"));
}

/* A descriptor of its own, with less rights. */
static int sealed(__u64 id, __u32 flags)
{
	struct pymalloc_open args = { .argsz = sizeof(args), .id = id };
	struct pymalloc_seal seal = { .argsz = sizeof(seal), .flags = flags };
	int device = open("/dev/pymalloc", O_RDWR);
	int fd = ioctl(device, PYMALLOC_IOC_OPEN, &args);

	close(device);
	return ioctl(fd, PYMALLOC_IOC_SEAL, &seal) ? -1 : fd;
}

static int with_less_rights(struct pymalloc_shared *heap, void *arg)
{
	__u64 id = pymalloc_shared_id(heap);
	int observer = sealed(id, PYMALLOC_SEAL_OBSERVER);
	int reader = sealed(id, PYMALLOC_SEAL_READER);

	if (pymalloc_shared_open(reader) || errno != EBUSY)
		return 1;
	pymalloc_shared_close(heap);
	if (pymalloc_shared_open(observer) || errno != EPERM)
		return 2;
	heap = pymalloc_shared_open(reader);
	if (!heap || pymalloc_shared_lookup(heap, "it") != pymalloc_shared_at(heap, *(__u64 *)arg))
		return 3;
	return pymalloc_shared_alloc(heap, SIZE) || errno != EPERM ? 4 : 0;
}

TEST_F(shared, rights)
{
	void *object = pymalloc_shared_alloc(self->heap, SIZE);
	__u64 ref = pymalloc_shared_ref(self->heap, object);

	ASSERT_EQ(0, pymalloc_shared_publish(self->heap, "it", object));
	EXPECT_EQ(0, status_of(stranger(self->heap, with_less_rights, &ref)));
	EXPECT_EQ(0, pymalloc_shared_remove(self->heap, "it"));
	pymalloc_shared_drop(self->heap, object);
}

TEST_F(shared, in_a_sandbox)
{
	void *object = pymalloc_shared_alloc(self->heap, SIZE), *got;
	pid_t child = fork();

	if (!child) {
		pymalloc_enter_sandbox();
		for (int i = 0; i < 100; i++) {
			if (pymalloc_shared_hold(self->heap, object))
				_exit(1);
			pymalloc_shared_drop(self->heap, object);
		}
		pymalloc_shared_drop(self->heap, object);
		if (pymalloc_shared_hold(self->heap, object))
			_exit(2);
		if (pymalloc_shared_alloc(self->heap, 400) || errno != EPERM ||
		    pymalloc_shared_receive(self->heap, &got, 1, -1) >= 0 || errno != EPERM ||
		    pymalloc_shared_lookup(self->heap, "it") || errno != EPERM ||
		    pymalloc_shared_create(NULL) || errno != EPERM ||
		    pymalloc_shared_open(pymalloc_shared_fd(self->heap)) || errno != EPERM)
			_exit(3);
		pymalloc_shared_drop(self->heap, object);
		if (!pymalloc_shared_flush(self->heap) || errno != EPERM)
			_exit(4);
		_exit(nr_bad);
	}
	EXPECT_EQ(0, status_of(child));
	EXPECT_EQ(1, left(self->heap));
	pymalloc_shared_drop(self->heap, object);
}

TEST_F(shared, names)
{
	char *a = pymalloc_shared_alloc(self->heap, SIZE);
	char *b = pymalloc_shared_alloc(self->heap, 10);

	ASSERT_NE(NULL, b);
	EXPECT_EQ(NULL, pymalloc_shared_lookup(self->heap, "config"));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, pymalloc_shared_remove(self->heap, "config"));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(0, pymalloc_shared_publish_new(self->heap, "config", a));
	EXPECT_EQ(-1, pymalloc_shared_publish_new(self->heap, "config", b));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(a, pymalloc_shared_lookup(self->heap, "config"));
	EXPECT_EQ(2, count_of(self->heap, a));
	EXPECT_EQ(a, pymalloc_shared_wait(self->heap, "config"));
	EXPECT_EQ(3, count_of(self->heap, a));
	for (int i = 0; i < 3; i++)
		pymalloc_shared_drop(self->heap, a);
	/* Its drop waits, and is void. */
	EXPECT_EQ(a, pymalloc_shared_lookup(self->heap, "config"));
	EXPECT_EQ(1, count_of(self->heap, a));
	EXPECT_EQ(2, left(self->heap));
	pymalloc_shared_drop(self->heap, a);
	EXPECT_EQ(2, left(self->heap));
	/* A name alone needs it. */
	EXPECT_EQ(a, pymalloc_shared_lookup(self->heap, "config"));
	pymalloc_shared_drop(self->heap, a);
	EXPECT_EQ(0, pymalloc_shared_publish(self->heap, "config", b));
	EXPECT_EQ(1, left(self->heap));
	EXPECT_EQ(0, pymalloc_shared_remove(self->heap, "config"));
	pymalloc_shared_drop(self->heap, b);
	EXPECT_EQ(-1, pymalloc_shared_publish(self->heap, "config", b));
	EXPECT_EQ(EBADSLT, errno);
	EXPECT_EQ(-1, pymalloc_shared_publish(self->heap, "config", NULL));
	EXPECT_EQ(EBADSLT, errno);
	EXPECT_EQ(NULL, pymalloc_shared_lookup(self->heap, ""));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, pymalloc_shared_wait(self->heap, "a name of more than thirty-one bytes"));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, pymalloc_shared_lookup(self->heap, "\n"));
	EXPECT_EQ(EINVAL, errno);
}

static int publish_late(struct pymalloc_shared *heap, void *arg)
{
	char *object = pymalloc_shared_alloc(heap, SIZE);

	(void)arg;
	usleep(200000);
	memcpy(object, "here", sizeof("here"));
	return pymalloc_shared_publish(heap, "late", object) ? 1 : 0;
}

static void nothing(int signal)
{
	(void)signal;
}

TEST_F(shared, names_are_waited_for)
{
	struct sigaction action = { .sa_handler = nothing };
	pid_t child = stranger(self->heap, publish_late, NULL);
	char *object = pymalloc_shared_wait(self->heap, "late");

	ASSERT_NE(NULL, object);
	EXPECT_STREQ("here", object);
	EXPECT_EQ(0, status_of(child));
	EXPECT_EQ(1, count_of(self->heap, object));
	EXPECT_EQ(0, pymalloc_shared_remove(self->heap, "late"));
	EXPECT_EQ(1, left(self->heap));
	pymalloc_shared_drop(self->heap, object);
	sigaction(SIGALRM, &action, NULL);
	ualarm(200000, 0);
	EXPECT_EQ(NULL, pymalloc_shared_wait(self->heap, "never"));
	EXPECT_EQ(EINTR, errno);
}

/* Receives, looks at what has come, and gives it back. */
static int echo(struct pymalloc_shared *heap, void *arg)
{
	__u32 client = *(__u32 *)arg;
	void *objects[50];
	int nr, done = 0;

	tell(heap);
	while (done < MANY) {
		nr = pymalloc_shared_receive(heap, objects, 50, -1);
		if (nr < 0)
			return 1;
		for (int i = 0; i < nr; i++)
			if (!filled(objects[i], SIZE, done + i))
				return 2;
		if (pymalloc_shared_give_batch(heap, client, objects, nr) != (size_t)nr)
			return 3;
		done += nr;
	}
	return pymalloc_shared_flush(heap) || self_of(heap).holds ? 4 : 0;
}

TEST_F(shared, given_and_given_back)
{
	__u32 number = pymalloc_shared_client(self->heap);
	struct pollfd poll_fd = { .fd = pymalloc_shared_fd(self->heap), .events = POLLIN };
	pid_t child;
	void *objects[30];
	int nr, done = 0;

	ASSERT_EQ(0, pymalloc_shared_flush(self->heap));
	child = stranger(self->heap, echo, &number);
	ASSERT_EQ(MANY, pymalloc_shared_alloc_batch(self->heap, SIZE, self->objects, MANY));
	for (int i = 0; i < MANY; i++) {
		fill(self->objects[i], SIZE, i);
		/* Each third one it goes on to hold, once or twice. */
		for (int k = 0; k < (i % 3 ? 0 : 1 + i % 2); k++)
			pymalloc_shared_hold(self->heap, self->objects[i]);
	}
	ASSERT_EQ(MANY, pymalloc_shared_give_batch(self->heap, hear(), self->objects, MANY));
	EXPECT_EQ(0, count_of(self->heap, self->objects[1]));
	EXPECT_EQ(1, count_of(self->heap, self->objects[0]));
	EXPECT_EQ(2, count_of(self->heap, self->objects[3]));
	while (done < MANY) {
		EXPECT_EQ(1, poll(&poll_fd, 1, -1));
		nr = pymalloc_shared_receive(self->heap, objects, 30, 0);
		ASSERT_LT(0, nr);
		for (int i = 0; i < nr; i++)
			EXPECT_EQ(self->objects[done + i], objects[i]);
		done += nr;
	}
	EXPECT_EQ(0, status_of(child));
	EXPECT_EQ(0, poll(&poll_fd, 1, 0));
	EXPECT_EQ(MANY, left(self->heap));
	for (int i = 0; i < MANY; i++)
		for (int k = i % 3 ? 1 : 2 + i % 2; k; k--)
			pymalloc_shared_drop(self->heap, self->objects[i]);
}

TEST_F(shared, bad_gifts)
{
	__u32 self_number = pymalloc_shared_client(self->heap);
	void *object = pymalloc_shared_alloc(self->heap, SIZE), *got[4];
	void *batch[] = { object, object, object };
	struct sigaction action = { .sa_handler = nothing };

	ASSERT_NE(NULL, object);
	EXPECT_EQ(-1, pymalloc_shared_give(self->heap, 9999, object));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(1, count_of(self->heap, object));
	pymalloc_shared_hold(self->heap, object);
	EXPECT_EQ(-1, pymalloc_shared_give(self->heap, 9999, object));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(2, count_of(self->heap, object));
	EXPECT_EQ(-1, pymalloc_shared_give(self->heap, self_number, NULL));
	EXPECT_EQ(EBADSLT, errno);
	EXPECT_EQ(-1, pymalloc_shared_give(self->heap, self_number, (char *)object + 8));
	EXPECT_EQ(EBADSLT, errno);
	EXPECT_EQ(-1, pymalloc_shared_give(self->heap, self_number, &object));
	EXPECT_EQ(EBADSLT, errno);
	/* It is held twice. */
	EXPECT_EQ(2, pymalloc_shared_give_batch(self->heap, self_number, batch, 3));
	EXPECT_EQ(EBADSLT, errno);
	EXPECT_EQ(1, left(self->heap));
	EXPECT_EQ(2, self_of(self->heap).inbox);
	EXPECT_EQ(-1, pymalloc_shared_receive(self->heap, got, 0, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(2, pymalloc_shared_receive(self->heap, got, 4, 0));
	EXPECT_EQ(2, count_of(self->heap, object));
	EXPECT_EQ(-1, pymalloc_shared_receive(self->heap, got, 4, 0));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(-1, pymalloc_shared_receive(self->heap, got, 4, 20));
	EXPECT_EQ(EAGAIN, errno);
	sigaction(SIGALRM, &action, NULL);
	ualarm(200000, 0);
	EXPECT_EQ(-1, pymalloc_shared_receive(self->heap, got, 4, -1));
	EXPECT_EQ(EINTR, errno);
	pymalloc_shared_drop(self->heap, object);
	pymalloc_shared_drop(self->heap, object);
}

/* At a client's limit, what waits and what is in the stock makes room. */
TEST_F(shared, limit_of_a_client)
{
	ASSERT_EQ(0, set_limit(self->heap, 10));
	for (int i = 0; i < 10; i++) {
		self->objects[i] = pymalloc_shared_alloc(self->heap, 8 * i + 8);
		ASSERT_NE(NULL, self->objects[i]) TH_LOG("%d: %m", i);
	}
	EXPECT_EQ(NULL, pymalloc_shared_alloc(self->heap, SIZE));
	EXPECT_EQ(EDQUOT, errno);
	EXPECT_EQ(10, self_of(self->heap).holds);
	pymalloc_shared_drop(self->heap, self->objects[4]);
	self->objects[4] = pymalloc_shared_alloc(self->heap, 200);
	ASSERT_NE(NULL, self->objects[4]);
	ASSERT_EQ(0, pymalloc_shared_publish(self->heap, "x", self->objects[5]));
	pymalloc_shared_drop(self->heap, self->objects[5]);
	ASSERT_EQ(0, pymalloc_shared_flush(self->heap));
	EXPECT_EQ(1, pymalloc_shared_alloc_batch(self->heap, 8, &self->objects[10], 5));
	EXPECT_EQ(EDQUOT, errno);
	EXPECT_EQ(NULL, pymalloc_shared_lookup(self->heap, "x"));
	EXPECT_EQ(EDQUOT, errno);
	EXPECT_EQ(NULL, pymalloc_shared_wait(self->heap, "x"));
	EXPECT_EQ(EDQUOT, errno);
	EXPECT_EQ(-1, pymalloc_shared_hold(self->heap, self->objects[5]));
	EXPECT_EQ(EDQUOT, errno);
	EXPECT_EQ(0, count_of(self->heap, self->objects[5]));
	pymalloc_shared_drop(self->heap, self->objects[10]);
	EXPECT_EQ(0, pymalloc_shared_hold(self->heap, self->objects[5]));
	ASSERT_EQ(0, pymalloc_shared_remove(self->heap, "x"));
	drop_all(self->heap, self->objects, 10);
}

TEST(limit_of_the_heap)
{
	struct pymalloc_shared *heap = shared_with("small", 2 << 20);
	size_t nr = 0;
	void *last = NULL, *object;

	ASSERT_NE(NULL, heap);
	while ((object = pymalloc_shared_alloc(heap, 512))) {
		last = object;
		nr++;
	}
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_LT(2000, nr);
	EXPECT_EQ(nr, left(heap));
	pymalloc_shared_drop(heap, last);
	EXPECT_NE(NULL, pymalloc_shared_alloc(heap, 512));
	EXPECT_TRUE(is_sound(pymalloc_shared_fd(heap)));
	pymalloc_shared_close(heap);
}

/* Parent and child hold the same, as often, and have stocks of their own. */
TEST_F(shared, forked)
{
	void *own[20];
	__u32 number;
	int go[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(100, pymalloc_shared_alloc_batch(self->heap, SIZE, self->objects, 100));
	pymalloc_shared_hold(self->heap, self->objects[0]);
	/* Something in the stock, and drops that wait. */
	self->objects[100] = pymalloc_shared_alloc(self->heap, SIZE);
	drop_all(self->heap, self->objects + 60, 40);
	number = pymalloc_shared_client(self->heap);
	child = fork();
	if (!child) {
		close(go[1]);
		if (read(go[0], &byte, 1))
			_exit(1);
		if (pymalloc_shared_client(self->heap) == number)
			_exit(2);
		if (count_of(self->heap, self->objects[0]) != 2 ||
		    strcmp(self->objects[7], "after"))
			_exit(3);
		for (int i = 0; i < 20; i++) {
			own[i] = pymalloc_shared_alloc(self->heap, SIZE);
			if (!own[i])
				_exit(4);
			memset(own[i], 0x55, SIZE);
		}
		drop_all(self->heap, own, 20);
		pymalloc_shared_drop(self->heap, self->objects[0]);
		drop_all(self->heap, self->objects, 60);
		pymalloc_shared_drop(self->heap, self->objects[100]);
		if (pymalloc_shared_flush(self->heap) || self_of(self->heap).holds)
			_exit(5);
		_exit(nr_bad ? 6 : 0);
	}
	for (int i = 0; i < 20; i++) {
		own[i] = pymalloc_shared_alloc(self->heap, SIZE);
		ASSERT_NE(NULL, own[i]);
		fill(own[i], SIZE, i);
	}
	memcpy(self->objects[7], "after", sizeof("after"));
	pymalloc_shared_drop(self->heap, self->objects[0]);
	drop_all(self->heap, self->objects, 60);
	pymalloc_shared_drop(self->heap, self->objects[100]);
	EXPECT_TRUE(is_sound(pymalloc_shared_fd(self->heap)));
	close(go[1]);
	EXPECT_EQ(0, status_of(child));
	for (int i = 0; i < 20; i++)
		EXPECT_TRUE(filled(own[i], SIZE, i));
	EXPECT_EQ(20, left(self->heap));
	drop_all(self->heap, own, 20);
	close(go[0]);
}

/* Works with one heap as others do: allocates, holds, drops, gives, receives, names. */
struct worker {
	struct pymalloc_shared *heap;
	__u64 seed;
	int rounds;
	pthread_t thread;
	bool wrong;
};

static __u32 next_random(__u64 *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct pymalloc_shared *heap = worker->heap;
	char name[] = "name 0";
	void *held[32] = {};

	for (int i = 0; i < worker->rounds && !worker->wrong; i++) {
		__u32 random = next_random(&worker->seed);
		void **slot = &held[random % 32];
		void *got = NULL;

		name[5] = '0' + random / 64 % 4;
		switch (random / 256 % 8) {
		case 0: case 1:
			got = pymalloc_shared_alloc(heap, 1 + random / 4096 % 600);
			worker->wrong |= !got;
			break;
		case 2:
			if (*slot)
				worker->wrong |= pymalloc_shared_hold(heap, *slot);
			got = *slot;
			slot = &held[random / 4096 % 32];
			break;
		case 3:
			if (*slot && !pymalloc_shared_give(heap, pymalloc_shared_client(heap),
							   *slot))
				*slot = NULL;
			break;
		case 4:
			if (pymalloc_shared_receive(heap, &got, 1, 0) != 1)
				got = NULL;
			break;
		case 5:
			if (*slot)
				worker->wrong |= pymalloc_shared_publish(heap, name, *slot);
			break;
		case 6:
			got = pymalloc_shared_lookup(heap, name);
			break;
		default:
			if (random / 4096 % 64 == 0)
				pymalloc_shared_flush(heap);
			break;
		}
		if (random / 256 % 8 != 3 && random / 256 % 8 != 5) {
			if (*slot)
				pymalloc_shared_drop(heap, *slot);
			*slot = got;
		}
	}
	for (int i = 0; i < 32; i++)
		if (held[i])
			pymalloc_shared_drop(heap, held[i]);
	return NULL;
}

/* Takes all that has been left: names, and the inbox. */
static void clear(struct pymalloc_shared *heap)
{
	char name[] = "name 0";
	void *object;

	for (; name[5] < '4'; name[5]++)
		pymalloc_shared_remove(heap, name);
	while (pymalloc_shared_receive(heap, &object, 1, 0) == 1)
		pymalloc_shared_drop(heap, object);
}

static bool threads_work(struct pymalloc_shared *heap, int count, int rounds)
{
	struct worker workers[8];
	bool wrong = false;

	for (int i = 0; i < count; i++) {
		workers[i] = (struct worker){ .heap = heap, .seed = i + getpid(),
					      .rounds = rounds };
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (int i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		wrong |= workers[i].wrong;
	}
	return !wrong;
}

TEST_F(shared, threads)
{
	EXPECT_TRUE(threads_work(self->heap, 6, 5000));
	clear(self->heap);
	EXPECT_EQ(0, left(self->heap));
}

/* All threads hold and drop the same objects, which a name needs: to 0 and back all the time. */
static void *hold_the_same(void *arg)
{
	struct worker *worker = arg;
	struct pymalloc_shared *heap = worker->heap;
	char *base = pymalloc_shared_lookup(heap, "name 0");
	char *other = pymalloc_shared_lookup(heap, "name 1");

	if (!base || !other) {
		worker->wrong = true;
		return NULL;
	}
	pymalloc_shared_drop(heap, base);
	pymalloc_shared_drop(heap, other);
	for (int i = 0; i < worker->rounds; i++) {
		__u32 random = next_random(&worker->seed);
		char *object = random % 2 ? base : other;

		if (pymalloc_shared_hold(heap, object)) {
			worker->wrong = true;
			return NULL;
		}
		if (random % 16 == 0)
			sched_yield();
		pymalloc_shared_drop(heap, object);
		if (random % 32 == 0)
			pymalloc_shared_flush(heap);
	}
	return NULL;
}

TEST_F(shared, threads_that_hold_the_same)
{
	struct worker workers[4];
	void *a = pymalloc_shared_alloc(self->heap, SIZE);
	void *b = pymalloc_shared_alloc(self->heap, 8);

	ASSERT_EQ(0, pymalloc_shared_publish(self->heap, "name 0", a));
	ASSERT_EQ(0, pymalloc_shared_publish(self->heap, "name 1", b));
	pymalloc_shared_drop(self->heap, a);
	pymalloc_shared_drop(self->heap, b);
	for (int i = 0; i < 4; i++) {
		workers[i] = (struct worker){ .heap = self->heap, .seed = i, .rounds = 10000 };
		pthread_create(&workers[i].thread, NULL, hold_the_same, &workers[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_FALSE(workers[i].wrong);
	}
	EXPECT_EQ(2, left(self->heap));
	EXPECT_EQ(0, self_of(self->heap).holds);
	EXPECT_EQ(0, count_of(self->heap, a));
	clear(self->heap);
}

static int work_for_ever(struct pymalloc_shared *heap, void *arg)
{
	(void)arg;
	tell(heap);
	for (;;)
		if (!threads_work(heap, 2, 1000))
			return 1;
}

static int fork_for_ever(struct pymalloc_shared *heap, void *arg)
{
	struct worker worker = { .heap = heap, .seed = getpid(), .rounds = 300 };

	(void)arg;
	tell(heap);
	for (;;) {
		pid_t child = fork();

		if (!child) {
			worker.seed++;
			work(&worker);
			_exit(worker.wrong);
		}
		work(&worker);
		if (status_of(child) || worker.wrong)
			return 1;
	}
}

/* Processes are killed in the middle of everything, and what they held goes. */
TEST_F(shared, killed)
{
	pid_t children[4];
	struct worker own;

	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 4; i++) {
			children[i] = stranger(self->heap, i % 2 ? work_for_ever : fork_for_ever,
					       NULL);
			EXPECT_NE(0, hear());
		}
		own = (struct worker){ .heap = self->heap, .seed = round, .rounds = 2000 };
		work(&own);
		EXPECT_FALSE(own.wrong);
		usleep(20000 * round);
		for (int i = 0; i < 4; i++)
			kill(children[i], SIGKILL);
		for (int i = 0; i < 4; i++)
			EXPECT_EQ(1000 + SIGKILL, status_of(children[i]));
		EXPECT_TRUE(is_sound(pymalloc_shared_fd(self->heap)));
		ASSERT_EQ(0, pymalloc_shared_flush(self->heap));
	}
	clear(self->heap);
	/* Children of those that were killed may still be at work. */
	for (int i = 0; left(self->heap) && i < 10000; i++) {
		clear(self->heap);
		usleep(10000);
	}
	EXPECT_EQ(0, left(self->heap));
}

/* While threads work, another one forks: locks and counts are right in the children. */
TEST_F(shared, forks_while_threads_work)
{
	struct worker workers[2];

	for (int i = 0; i < 2; i++) {
		workers[i] = (struct worker){ .heap = self->heap, .seed = i, .rounds = 5000 };
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (!child) {
			struct worker own = { .heap = self->heap, .seed = 99, .rounds = 100 };

			work(&own);
			_exit(own.wrong || nr_bad);
		}
		EXPECT_EQ(0, status_of(child));
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_FALSE(workers[i].wrong);
	}
	clear(self->heap);
}

/* It stays as long as one process has it. */
static int outlive(struct pymalloc_shared *heap, void *arg)
{
	int *go = arg;
	char byte;
	void *object = pymalloc_shared_lookup(heap, "it");

	tell(heap);
	if (read(go[0], &byte, 1) != 1 || !object || strcmp(object, "there"))
		return 1;
	return pymalloc_shared_alloc(heap, SIZE) ? 0 : 2;
}

TEST(outlives_its_maker)
{
	struct pymalloc_shared *heap = shared_with("outlived", 0);
	char *object = pymalloc_shared_alloc(heap, SIZE);
	int go[2];
	pid_t child;

	ASSERT_NE(NULL, object);
	ASSERT_EQ(0, pipe(go));
	memcpy(object, "there", sizeof("there"));
	ASSERT_EQ(0, pymalloc_shared_publish(heap, "it", object));
	child = stranger(heap, outlive, go);
	EXPECT_NE(0, hear());
	pymalloc_shared_close(heap);
	ASSERT_EQ(1, write(go[1], "", 1));
	EXPECT_EQ(0, status_of(child));
}

TEST(ended)
{
	struct pymalloc_shared *heap = shared_with("ended", 0);
	struct pymalloc_end end = { .argsz = sizeof(end) };
	void *object = pymalloc_shared_alloc(heap, SIZE), *got;

	ASSERT_NE(NULL, object);
	ASSERT_EQ(0, ioctl(pymalloc_shared_fd(heap), PYMALLOC_IOC_END, &end));
	EXPECT_EQ(NULL, pymalloc_shared_alloc(heap, 400));
	EXPECT_EQ(ESTALE, errno);
	EXPECT_EQ(-1, pymalloc_shared_receive(heap, &got, 1, -1));
	EXPECT_EQ(ESTALE, errno);
	EXPECT_EQ(-1, pymalloc_shared_publish(heap, "x", object));
	EXPECT_EQ(ESTALE, errno);
	EXPECT_EQ(0, pymalloc_shared_client(heap));
	EXPECT_EQ(ESTALE, errno);
	pymalloc_shared_drop(heap, object);
	EXPECT_EQ(-1, pymalloc_shared_flush(heap));
	EXPECT_EQ(ESTALE, errno);
	pymalloc_shared_close(heap);
}

TEST_HARNESS_MAIN
