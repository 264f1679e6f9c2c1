// SPDX-License-Identifier: GPL-2.0
/* Shared heaps: who holds what, what is given, what has a name, and what death leaves. */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>

#include "service.h"

#define SIZE	64
#define MANY	1000

FIXTURE(refs)
{
	struct heap heap;
	__u64 refs[MANY];
};

FIXTURE_SETUP(refs)
{
	self->heap = HEAP(.name = "shared", .flags = PYMALLOC_CREATE_SHARED);
}

FIXTURE_TEARDOWN(refs)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static void put_text(char *to, const char *text)
{
	memcpy(to, text, strlen(text) + 1);
}

static int holds_call(int fd, struct pymalloc_holds *arg)
{
	return call(fd, PYMALLOC_IOC_HOLDS, arg);
}

#define HOLDS(_op, ...) ((struct pymalloc_holds)ARG(holds, .op = PYMALLOC_HOLDS_##_op, __VA_ARGS__))

/* HOLD, DROP or GIVE one block.  Returns its status, or -errno. */
static int one(int fd, struct pymalloc_holds arg, __u64 ref)
{
	__u8 status = 0xff;
	int ret;

	arg.refs = user_ptr(&ref);
	arg.status = user_ptr(&status);
	arg.count = 1;
	ret = holds_call(fd, &arg);
	return ret && ret != -EBADSLT ? ret : status;
}

static int hold(int fd, __u64 ref)
{
	return one(fd, HOLDS(HOLD), ref);
}

static int drop(int fd, __u64 ref)
{
	return one(fd, HOLDS(DROP), ref);
}

static int give(int fd, __u32 client, __u64 ref)
{
	return one(fd, HOLDS(GIVE, .client = client), ref);
}

/* Returns how many were received, or -errno. */
static int receive(int fd, __u64 *refs, __u32 count)
{
	struct pymalloc_holds arg = HOLDS(RECEIVE, .refs = user_ptr(refs), .count = count);
	int ret = holds_call(fd, &arg);

	return ret ?: (int)arg.done;
}

static int take(int fd, __u64 size, __u64 *refs, __u32 count)
{
	struct pymalloc_alloc arg = ARG(alloc, .size = size, .refs = user_ptr(refs),
					.count = count);

	return call(fd, PYMALLOC_IOC_ALLOC, &arg);
}

static int root(int fd, __u32 op, const char *name, __u64 *ref)
{
	struct pymalloc_roots arg = ARG(roots, .op = op, .ref = *ref);
	int ret;

	memcpy(arg.name, name, strlen(name));
	ret = call(fd, PYMALLOC_IOC_ROOTS, &arg);
	*ref = arg.ref;
	return ret;
}

/* Returns the number of clients, or -errno; the caller's entry in @self. */
static int clients(int fd, struct pymalloc_client_info *own)
{
	struct pymalloc_client_info infos[16];
	struct pymalloc_clients arg = ARG(clients, .infos = user_ptr(infos), .count = 16,
					  .entry_size = sizeof(*infos));
	int ret = call(fd, PYMALLOC_IOC_CLIENTS, &arg);

	for (__u32 i = 0; !ret && own && i < arg.done; i++)
		if (infos[i].flags & PYMALLOC_CLIENT_SELF)
			*own = infos[i];
	return ret ?: (int)arg.done;
}

static __u32 own_number(int fd)
{
	struct pymalloc_client_info own = {};

	clients(fd, &own);
	return own.number;
}

static __u64 blocks(struct heap *heap)
{
	return heap_info(heap->test, heap->fd).used_bytes / SIZE;
}

/* A child that maps the heap anew, does something, and says by its status whether all was well. */
static void map_anew(struct heap *heap)
{
	heap->window = mmap(NULL, heap->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd, 0);
}

/* Runs a child without the parent's mappings, and returns its exit status. */
static pid_t stranger(struct heap *heap, int (*work)(struct heap *heap, __u64 *refs), __u64 *refs)
{
	pid_t pid;

	madvise(heap->window, heap->bytes, MADV_DONTFORK);
	madvise((void *)heap->map, round_up(heap->bytes / POOL, POOL), MADV_DONTFORK);
	pid = fork();
	if (pid)
		return pid;
	map_anew(heap);
	_exit(heap->window == MAP_FAILED ? 99 : work(heap, refs));
}

static int status_of(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST_F(refs, drop_frees)
{
	struct pymalloc_holds arg = HOLDS(DROP, .refs = user_ptr(self->refs), .count = MANY);
	int fd = self->heap.fd;

	ASSERT_EQ(0, take(fd, SIZE, self->refs, MANY));
	EXPECT_EQ(MANY, blocks(&self->heap));
	EXPECT_EQ(PYMALLOC_REF_OK, hold(fd, self->refs[5]));
	EXPECT_EQ(PYMALLOC_REF_OK, drop(fd, self->refs[5]));
	EXPECT_EQ(PYMALLOC_REF_FREE, drop(fd, self->refs[5]));
	EXPECT_EQ(PYMALLOC_REF_FREE, hold(fd, self->refs[5]));
	EXPECT_EQ(MANY - 1, blocks(&self->heap));
	self->refs[5] = self->refs[6];
	EXPECT_EQ(-EBADSLT, holds_call(fd, &arg));
	EXPECT_EQ(MANY, arg.done);
	EXPECT_EQ(1, arg.nr_bad);
	EXPECT_EQ(6, arg.first_bad);
	EXPECT_EQ(0, blocks(&self->heap));
}

TEST_F(refs, bad_refs_cost_nothing)
{
	int fd = self->heap.fd;
	__u64 ref, large;

	ASSERT_EQ(0, take(fd, SIZE, &ref, 1));
	ASSERT_EQ(0, take(fd, 3 * POOL, &large, 1));
	EXPECT_EQ(PYMALLOC_REF_RANGE, hold(fd, 0));
	EXPECT_EQ(PYMALLOC_REF_RANGE, drop(fd, ~0ULL));
	EXPECT_EQ(PYMALLOC_REF_FOREIGN, hold(fd, ref + 64 * ARENA));
	EXPECT_EQ(PYMALLOC_REF_MISALIGNED, drop(fd, ref + 8));
	EXPECT_EQ(PYMALLOC_REF_MISALIGNED, drop(fd, large + 8));
	EXPECT_EQ(PYMALLOC_REF_FOREIGN, drop(fd, large + POOL));
	EXPECT_EQ(PYMALLOC_REF_OK, drop(fd, large));
	EXPECT_EQ(1, blocks(&self->heap));
}

TEST_F(refs, private_ways_are_refused)
{
	struct pymalloc_free freed = ARG(free, .refs = user_ptr(self->refs), .count = 1);
	struct pymalloc_resize resized = ARG(resize, .size = 100);
	struct pymalloc_sites sites = ARG(sites, .op = PYMALLOC_SITES_DROP);
	struct pymalloc_trace trace = ARG(trace);
	int fd = self->heap.fd;

	ASSERT_EQ(0, take(fd, SIZE, self->refs, 1));
	resized.ref = self->refs[0];
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_FREE, &freed));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_RESIZE, &resized));
	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_TRACE, &trace));
	trace.flags = PYMALLOC_TRACE_SET;
	trace.mode = PYMALLOC_TRACE_EXACT;
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_TRACE, &trace));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_SITES, &sites));
	EXPECT_EQ(-1, write(fd, self->refs, 16));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-EINVAL, TRY_HEAP(.flags = PYMALLOC_CREATE_SHARED | PYMALLOC_CREATE_KEEP_DEAD));
}

TEST_F(refs, private_heaps_have_none)
{
	struct heap heap = HEAP(.name = "private");
	struct pymalloc_clients arg = ARG(clients);
	__u64 ref = 0;

	EXPECT_EQ(-EINVAL, hold(heap.fd, POOL));
	EXPECT_EQ(-EINVAL, root(heap.fd, PYMALLOC_ROOTS_NEXT, "", &ref));
	EXPECT_EQ(-EINVAL, call(heap.fd, PYMALLOC_IOC_CLIENTS, &arg));
	heap_close(&heap);
}

TEST_F(refs, arguments)
{
	int fd = self->heap.fd;
	struct pymalloc_holds arg;

	ASSERT_EQ(0, take(fd, SIZE, self->refs, 1));
	arg = HOLDS(HOLD, .refs = user_ptr(self->refs), .count = 0);
	EXPECT_EQ(-EINVAL, holds_call(fd, &arg));
	arg = HOLDS(HOLD, .refs = user_ptr(self->refs), .count = PYMALLOC_BATCH_MAX + 1);
	EXPECT_EQ(-E2BIG, holds_call(fd, &arg));
	arg = HOLDS(HOLD, .refs = user_ptr(self->refs), .count = 1, .client = 1);
	EXPECT_EQ(-EINVAL, holds_call(fd, &arg));
	arg = HOLDS(DROP, .refs = user_ptr(self->refs), .count = 1, .flags = PYMALLOC_HOLDS_KEEP);
	EXPECT_EQ(-EINVAL, holds_call(fd, &arg));
	arg = HOLDS(SERIALS, .refs = user_ptr(self->refs), .count = 1);
	EXPECT_EQ(-EINVAL, holds_call(fd, &arg));
	arg = HOLDS(HOLD, .refs = 8, .count = 1);
	EXPECT_EQ(-EFAULT, holds_call(fd, &arg));
	arg = HOLDS(HOLD, .refs = user_ptr(self->refs), .count = 1);
	arg.op = 6;
	EXPECT_EQ(-EINVAL, holds_call(fd, &arg));
	EXPECT_EQ(-ESRCH, give(fd, 77, self->refs[0]));
	EXPECT_EQ(-EAGAIN, receive(fd, self->refs, 1));
}

/* A client is who maps it. */
TEST_F(refs, only_clients_hold)
{
	int fd = self->heap.fd;
	__u64 ref;

	ASSERT_EQ(0, take(fd, SIZE, &ref, 1));
	EXPECT_EQ(1, clients(fd, NULL));
	heap_unmap(&self->heap);
	EXPECT_EQ(0, clients(fd, NULL));
	EXPECT_EQ(0, blocks(&self->heap));
	EXPECT_EQ(-EPERM, take(fd, SIZE, &ref, 1));
	EXPECT_EQ(-EPERM, hold(fd, ref));
	EXPECT_EQ(0, blocks(&self->heap));
}

static int see_and_give_back(struct heap *heap, __u64 *refs)
{
	__u64 got[2];

	/* Waits for it. */
	if (read(heap->fd, got, sizeof(got)) != 8 || strcmp(heap->window + got[0], "for you"))
		return 1;
	put_text(heap->window + got[0], "thank you");
	return give(heap->fd, refs[0], got[0]) ? 2 : 0;
}

/* The number of a client that is not the caller. */
static __u32 other_number(int fd)
{
	struct pymalloc_client_info infos[4];
	struct pymalloc_clients arg = ARG(clients, .infos = user_ptr(infos), .count = 4,
					  .entry_size = sizeof(*infos));

	do
		arg.number = 0;
	while (!call(fd, PYMALLOC_IOC_CLIENTS, &arg) && arg.done < 2);
	return infos[0].flags & PYMALLOC_CLIENT_SELF ? infos[1].number : infos[0].number;
}

TEST_F(refs, a_block_is_given_and_comes_back)
{
	int fd = self->heap.fd;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	__u64 number = own_number(fd), ref, got;
	pid_t child;

	ASSERT_EQ(0, take(fd, SIZE, &ref, 1));
	put_text(self->heap.window + ref, "for you");
	child = stranger(&self->heap, see_and_give_back, &number);
	EXPECT_EQ(PYMALLOC_REF_OK, give(fd, other_number(fd), ref));
	EXPECT_EQ(PYMALLOC_REF_NOT_HELD, drop(fd, ref));
	EXPECT_EQ(1, poll(&poll_fd, 1, -1));
	EXPECT_EQ(0, status_of(child));
	EXPECT_EQ(1, receive(fd, &got, 1));
	EXPECT_EQ(ref, got);
	EXPECT_STREQ("thank you", self->heap.window + ref);
	EXPECT_EQ(PYMALLOC_REF_OK, drop(fd, ref));
	EXPECT_EQ(0, blocks(&self->heap));
}

static int wait_for_ever(struct heap *heap, __u64 *refs)
{
	while (heap->fd >= 0 || refs)
		pause();
	return 0;
}

TEST_F(refs, what_is_on_its_way_to_the_dead_goes)
{
	int fd = self->heap.fd;
	pid_t child = stranger(&self->heap, wait_for_ever, NULL);
	__u32 number = other_number(fd);
	struct pymalloc_holds arg = HOLDS(GIVE, .refs = user_ptr(self->refs), .count = MANY,
					  .client = number);

	ASSERT_EQ(0, take(fd, SIZE, self->refs, MANY));
	ASSERT_EQ(0, holds_call(fd, &arg));
	EXPECT_EQ(MANY, blocks(&self->heap));
	heap_check(&self->heap);
	kill(child, SIGKILL);
	EXPECT_EQ(1000 + SIGKILL, status_of(child));
	EXPECT_EQ(0, blocks(&self->heap));
	EXPECT_EQ(-ESRCH, give(fd, number, self->refs[0]));
}

static int hold_all(struct heap *heap, __u64 *refs)
{
	__u64 own[MANY];
	struct pymalloc_holds arg = HOLDS(HOLD, .refs = user_ptr(refs), .count = MANY);

	if (holds_call(heap->fd, &arg) || take(heap->fd, SIZE, own, MANY))
		return 1;
	kill(getpid(), SIGKILL);
	return 2;
}

TEST_F(refs, the_dead_hold_nothing)
{
	int fd = self->heap.fd;

	ASSERT_EQ(0, take(fd, SIZE, self->refs, MANY));
	EXPECT_EQ(1000 + SIGKILL, status_of(stranger(&self->heap, hold_all, self->refs)));
	EXPECT_EQ(MANY, blocks(&self->heap));
	for (int i = 0; i < MANY; i++)
		ASSERT_EQ(PYMALLOC_REF_OK, drop(fd, self->refs[i]));
	EXPECT_EQ(0, blocks(&self->heap));
}

TEST_F(refs, a_child_holds_what_its_parent_holds)
{
	int fd = self->heap.fd;
	int go[2], status;
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, take(fd, SIZE, self->refs, MANY));
	put_text(self->heap.window + self->refs[7], "before");
	child = fork();
	if (!child) {
		close(go[1]);
		if (read(go[0], &byte, 1) != 0)
			_exit(1);
		/* Its parent holds nothing any more. */
		if (strcmp(self->heap.window + self->refs[7], "after") ||
		    drop(fd, self->refs[7]) != PYMALLOC_REF_OK)
			_exit(2);
		_exit(clients(fd, NULL) == 2 ? 0 : 3);
	}
	put_text(self->heap.window + self->refs[7], "after");
	for (int i = 0; i < MANY; i++)
		ASSERT_EQ(PYMALLOC_REF_OK, drop(fd, self->refs[i]));
	EXPECT_EQ(MANY, blocks(&self->heap));
	heap_check(&self->heap);
	close(go[1]);
	status = status_of(child);
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, clients(fd, NULL));
	EXPECT_EQ(0, blocks(&self->heap));
	close(go[0]);
}

TEST_F(refs, serials_tell_allocations_apart)
{
	int fd = self->heap.fd;
	__u32 serial = 0, wrong = 0xfffffff0;
	struct pymalloc_holds arg = HOLDS(SERIALS, .refs = user_ptr(self->refs), .count = 1,
					  .serials = user_ptr(&serial));

	ASSERT_EQ(0, take(fd, SIZE, self->refs, 2));
	ASSERT_EQ(0, holds_call(fd, &arg));
	EXPECT_NE(0, serial);
	EXPECT_EQ(PYMALLOC_REF_OK, one(fd, HOLDS(HOLD, .serials = user_ptr(&serial)),
				       self->refs[0]));
	EXPECT_EQ(PYMALLOC_REF_STALE, one(fd, HOLDS(HOLD, .serials = user_ptr(&wrong)),
					  self->refs[0]));
	EXPECT_EQ(PYMALLOC_REF_STALE, one(fd, HOLDS(HOLD, .serials = user_ptr(&serial)),
					  self->refs[1]));
}

TEST_F(refs, names)
{
	int fd = self->heap.fd;
	__u64 a, b, ref = 0;

	ASSERT_EQ(0, take(fd, SIZE, &a, 1));
	ASSERT_EQ(0, take(fd, SIZE, &b, 1));
	EXPECT_EQ(-ENOENT, root(fd, PYMALLOC_ROOTS_GET, "config", &ref));
	EXPECT_EQ(0, root(fd, PYMALLOC_ROOTS_NEW, "config", &a));
	EXPECT_EQ(-EEXIST, root(fd, PYMALLOC_ROOTS_NEW, "config", &b));
	EXPECT_EQ(0, root(fd, PYMALLOC_ROOTS_SET, "a", &b));
	EXPECT_EQ(PYMALLOC_REF_OK, drop(fd, a));
	EXPECT_EQ(2, blocks(&self->heap));
	EXPECT_EQ(0, root(fd, PYMALLOC_ROOTS_GET, "config", &ref));
	EXPECT_EQ(a, ref);
	EXPECT_EQ(PYMALLOC_REF_OK, drop(fd, a));
	/* The new one takes the name, and the old one goes. */
	EXPECT_EQ(0, root(fd, PYMALLOC_ROOTS_SET, "config", &b));
	EXPECT_EQ(1, blocks(&self->heap));
	EXPECT_EQ(-EBADSLT, root(fd, PYMALLOC_ROOTS_SET, "config", &a));
	EXPECT_EQ(0, root(fd, PYMALLOC_ROOTS_NEXT, "", &ref));
	EXPECT_EQ(b, ref);
	EXPECT_EQ(0, root(fd, PYMALLOC_ROOTS_NEXT, "a", &ref));
	EXPECT_EQ(-ENOENT, root(fd, PYMALLOC_ROOTS_NEXT, "config", &ref));
	EXPECT_EQ(0, root(fd, PYMALLOC_ROOTS_REMOVE, "config", &ref));
	EXPECT_EQ(-ENOENT, root(fd, PYMALLOC_ROOTS_REMOVE, "config", &ref));
	EXPECT_EQ(-EINVAL, root(fd, PYMALLOC_ROOTS_SET, "", &b));
	EXPECT_EQ(PYMALLOC_REF_OK, drop(fd, b));
	EXPECT_EQ(1, blocks(&self->heap));
	heap_check(&self->heap);
	/* Names stay when all clients have gone. */
	heap_unmap(&self->heap);
	EXPECT_EQ(1, blocks(&self->heap));
}

static int publish(struct heap *heap, __u64 *refs)
{
	__u64 ref = refs ? refs[0] : 0;

	usleep(100000);
	return take(heap->fd, SIZE, &ref, 1) || root(heap->fd, PYMALLOC_ROOTS_SET, "late", &ref);
}

TEST_F(refs, a_name_is_waited_for)
{
	pid_t child = stranger(&self->heap, publish, NULL);
	__u64 ref = 0;

	EXPECT_EQ(0, root(self->heap.fd, PYMALLOC_ROOTS_WAIT, "late", &ref));
	EXPECT_EQ(0, status_of(child));
	EXPECT_EQ(PYMALLOC_REF_OK, hold(self->heap.fd, ref));
}

TEST_F(refs, limits_of_clients)
{
	int fd = self->heap.fd;
	struct pymalloc_clients arg = ARG(clients, .op = PYMALLOC_CLIENTS_LIMIT,
					  .number = own_number(fd), .holds_max = 10);

	ASSERT_EQ(0, call(fd, PYMALLOC_IOC_CLIENTS, &arg));
	ASSERT_EQ(0, take(fd, SIZE, self->refs, 10));
	EXPECT_EQ(-EDQUOT, take(fd, SIZE, self->refs + 10, 1));
	EXPECT_EQ(10, blocks(&self->heap));
	EXPECT_EQ(PYMALLOC_REF_OK, drop(fd, self->refs[3]));
	EXPECT_EQ(0, take(fd, SIZE, self->refs + 3, 1));
	arg.number = 99;
	EXPECT_EQ(-ESRCH, call(fd, PYMALLOC_IOC_CLIENTS, &arg));
}

TEST_F(refs, roles)
{
	struct pymalloc_seal reader = ARG(seal, .flags = PYMALLOC_SEAL_READER);
	struct pymalloc_seal observer = ARG(seal, .flags = PYMALLOC_SEAL_OBSERVER);
	struct pymalloc_seal none = ARG(seal);
	int fd = heap_open(_metadata, self->heap.id, 0);
	__u64 ref, found = 0;
	char *seen;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, take(fd, SIZE, &ref, 1));
	ASSERT_EQ(0, root(fd, PYMALLOC_ROOTS_SET, "it", &ref));
	EXPECT_EQ(-EINVAL, call(fd, PYMALLOC_IOC_SEAL, &none));
	ASSERT_EQ(0, call(fd, PYMALLOC_IOC_SEAL, &reader));
	EXPECT_EQ(-EPERM, take(fd, SIZE, &found, 1));
	EXPECT_EQ(-EPERM, give(fd, own_number(fd), ref));
	EXPECT_EQ(-EPERM, root(fd, PYMALLOC_ROOTS_SET, "it", &ref));
	EXPECT_EQ(0, root(fd, PYMALLOC_ROOTS_GET, "it", &found));
	EXPECT_EQ(PYMALLOC_REF_OK, hold(fd, ref));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->heap.bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
				   fd, 0));
	EXPECT_EQ(EACCES, errno);
	seen = mmap(NULL, self->heap.bytes, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, seen);
	put_text(self->heap.window + ref, "seen");
	EXPECT_STREQ("seen", seen + ref);
	EXPECT_EQ(-1, mprotect(seen, POOL, PROT_READ | PROT_WRITE));
	munmap(seen, self->heap.bytes);
	ASSERT_EQ(0, call(fd, PYMALLOC_IOC_SEAL, &observer));
	ASSERT_EQ(0, call(fd, PYMALLOC_IOC_SEAL, &reader));
	EXPECT_EQ(-EPERM, hold(fd, ref));
	EXPECT_EQ(-EPERM, root(fd, PYMALLOC_ROOTS_GET, "it", &found));
	EXPECT_EQ(0, root(fd, PYMALLOC_ROOTS_NEXT, "", &found));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->heap.bytes, PROT_READ, MAP_SHARED, fd, 0));
	close(fd);
	fd = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(PYMALLOC_REF_OK, hold(fd, ref));
	EXPECT_EQ(-EBADF, take(fd, SIZE, &found, 1));
	close(fd);
}

TEST_F(refs, own_holds_are_read)
{
	__u64 got[MANY + 1] = { 0 };
	struct pymalloc_holds arg = HOLDS(READ, .refs = user_ptr(got), .count = MANY + 1);
	int fd = self->heap.fd;

	ASSERT_EQ(0, take(fd, SIZE, self->refs, MANY));
	ASSERT_EQ(0, holds_call(fd, &arg));
	EXPECT_EQ(MANY, arg.done);
	for (__u32 i = 1; i < arg.done; i++)
		ASSERT_LT(got[i - 1], got[i]);
	got[0] = got[MANY - 2];
	ASSERT_EQ(0, holds_call(fd, &arg));
	EXPECT_EQ(1, arg.done);
	EXPECT_EQ(got[MANY - 1], got[0]);
}

static int lock_in_block(struct heap *heap, __u64 *refs)
{
	pthread_mutex_t *mutex = (void *)(heap->window + refs[0]);

	pthread_mutex_lock(mutex);
	(*(int *)(mutex + 1))++;
	pthread_mutex_unlock(mutex);
	return 0;
}

/* A contended process-shared mutex: the kernel finds it by the page. */
TEST_F(refs, a_mutex_in_a_block)
{
	pthread_mutexattr_t shared;
	pthread_mutex_t *mutex;
	pid_t children[4];
	__u64 ref;

	ASSERT_EQ(0, take(self->heap.fd, 128, &ref, 1));
	mutex = (void *)(self->heap.window + ref);
	*(int *)(mutex + 1) = 0;
	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(mutex, &shared);
	pthread_mutex_lock(mutex);
	for (int i = 0; i < 4; i++)
		children[i] = stranger(&self->heap, lock_in_block, &ref);
	usleep(300000);
	EXPECT_EQ(0, *(int *)(mutex + 1));
	pthread_mutex_unlock(mutex);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, status_of(children[i]));
	EXPECT_EQ(4, *(int *)(mutex + 1));
}

TEST_F(refs, it_lives_as_long_as_anybody_has_it)
{
	struct heap heap = HEAP(.name = "left", .flags = PYMALLOC_CREATE_SHARED);
	__u64 ref;
	int fd;

	ASSERT_EQ(0, take(heap.fd, SIZE, &ref, 1));
	put_text(heap.window + ref, "mapped");
	close(heap.fd);
	EXPECT_STREQ("mapped", heap.window + ref);
	fd = heap_open(_metadata, user_ptr(heap.window), PYMALLOC_OPEN_MAPPED);
	ASSERT_LE(0, fd);
	heap_unmap(&heap);
	EXPECT_EQ(0, clients(fd, NULL));
	EXPECT_TRUE(heap_listed(_metadata, heap.id));
	close(fd);
	while (heap_listed(_metadata, heap.id))
		usleep(1000);
}

TEST_F(refs, ended_heaps_say_so)
{
	struct pymalloc_end arg = ARG(end);
	__u64 ref;

	ASSERT_EQ(0, take(self->heap.fd, SIZE, &ref, 1));
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_END, &arg));
	EXPECT_EQ(-ESTALE, hold(self->heap.fd, ref));
	EXPECT_EQ(-1, read(self->heap.fd, &ref, 8));
	EXPECT_EQ(ESTALE, errno);
	heap_close(&self->heap);
	self->heap = HEAP(.name = "another", .flags = PYMALLOC_CREATE_SHARED);
}

/* Who can map the heap can fork: that does not get around its limit. */
TEST_F(refs, children_meet_the_limit)
{
	struct heap heap = HEAP(.name = "full", .flags = PYMALLOC_CREATE_SHARED,
				.limit = 1ULL << 20, .window = 16ULL << 20);
	struct pymalloc_stats stats = ARG(stats);
	pid_t children[100];
	unsigned int nr;
	__u64 ref;

	while (!take(heap.fd, 8, &ref, 1))
		;
	for (nr = 0; nr < ARRAY_SIZE(children); nr++) {
		children[nr] = fork();
		if (!children[nr])
			wait_for_ever(&heap, &ref);
	}
	ASSERT_EQ(0, call(heap.fd, PYMALLOC_IOC_STATS, &stats));
	EXPECT_GE(stats.limit, stats.page_bytes + stats.meta_bytes);
	EXPECT_GT(101, clients(heap.fd, NULL));
	heap_check(&heap);
	while (nr--) {
		kill(children[nr], SIGKILL);
		EXPECT_EQ(1000 + SIGKILL, status_of(children[nr]));
	}
	EXPECT_EQ(1, clients(heap.fd, NULL));
	heap_check(&heap);
	heap_close(&heap);
}

static int waited;

static void *wait_for_name(void *arg)
{
	__u64 ref = 0;

	waited = root(*(int *)arg, PYMALLOC_ROOTS_WAIT, "never", &ref);
	return NULL;
}

TEST_F(refs, who_is_no_client_any_more_waits_for_nothing)
{
	int fd = self->heap.fd;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_name, &fd));
	usleep(200000);
	heap_unmap(&self->heap);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-EPERM, waited);
}

#define CHILDREN	6
#define ROUNDS		20

/* Do all kinds of things until killed. */
static int go_on(struct heap *heap, __u64 *refs)
{
	__u64 seed = getpid() * 77777ULL, own[64], got[64];
	struct pymalloc_client_info infos[16];

	fcntl(heap->fd, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct pymalloc_clients arg = ARG(clients, .infos = user_ptr(infos), .count = 16,
						  .entry_size = sizeof(*infos));
		struct pymalloc_holds give_arg = HOLDS(GIVE, .refs = user_ptr(own), .count = 64);
		struct pymalloc_holds drop_arg = HOLDS(DROP, .refs = user_ptr(got), .count = 64);
		int nr;

		take(heap->fd, 8 + next_random(&seed) % 600, own, 64);
		call(heap->fd, PYMALLOC_IOC_CLIENTS, &arg);
		if (arg.done)
			give_arg.client = infos[next_random(&seed) % arg.done].number;
		give_arg.flags = next_random(&seed) % 2 ? PYMALLOC_HOLDS_KEEP : 0;
		holds_call(heap->fd, &give_arg);
		nr = receive(heap->fd, got, 64);
		drop_arg.count = nr > 0 ? nr : 1;
		holds_call(heap->fd, &drop_arg);
		for (int i = 0; i < 8; i++) {
			hold(heap->fd, refs[next_random(&seed) % MANY]);
			drop(heap->fd, refs[next_random(&seed) % MANY]);
		}
		root(heap->fd, next_random(&seed) % 2 ? PYMALLOC_ROOTS_SET : PYMALLOC_ROOTS_REMOVE,
		     "busy", &own[next_random(&seed) % 64]);
		if (next_random(&seed) % 16 == 0 && !fork())
			_exit(0);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

/* Whatever is killed at whatever moment: what the survivor holds stays, and nothing else. */
TEST_F(refs, killed_at_any_moment)
{
	pid_t children[CHILDREN];
	int fd = self->heap.fd;
	__u64 seed = 1, ref = 0;

	ASSERT_EQ(0, take(fd, SIZE, self->refs, MANY));
	for (int i = 0; i < CHILDREN; i++)
		children[i] = stranger(&self->heap, go_on, self->refs);
	for (int i = 0; i < ROUNDS * CHILDREN; i++) {
		int which = next_random(&seed) % CHILDREN;

		usleep(next_random(&seed) % 20000);
		kill(children[which], SIGKILL);
		EXPECT_EQ(1000 + SIGKILL, status_of(children[which]));
		if (i % 10 == 0)
			heap_check(&self->heap);
		children[which] = stranger(&self->heap, go_on, self->refs);
	}
	for (int i = 0; i < CHILDREN; i++) {
		kill(children[i], SIGKILL);
		status_of(children[i]);
	}
	/* Children of children may still be ending. */
	while (clients(fd, NULL) > 1)
		usleep(1000);
	root(fd, PYMALLOC_ROOTS_REMOVE, "busy", &ref);
	/* Some was given to the survivor. */
	while (receive(fd, &ref, 1) == 1)
		ASSERT_EQ(PYMALLOC_REF_OK, drop(fd, ref));
	EXPECT_EQ(MANY, blocks(&self->heap));
	for (int i = 0; i < MANY; i++)
		ASSERT_EQ(PYMALLOC_REF_OK, drop(fd, self->refs[i]));
	EXPECT_EQ(0, heap_info(_metadata, fd).used_bytes);
}

TEST_HARNESS_MAIN
