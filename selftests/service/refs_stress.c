// SPDX-License-Identifier: GPL-2.0
/*
 * Shared heaps, by processes that do everything at once, at a limit, and are killed: the heap is
 * sound all the time, and at the end nothing is left of it.
 */
#include <sys/prctl.h>

#include "service.h"

#define WORKERS	6
#define KILLS	60
#define NR	256
#define LIMIT	(8ULL << 20)

FIXTURE(refs_stress)
{
	struct heap heap;
	pid_t workers[WORKERS];
};

FIXTURE_SETUP(refs_stress)
{
	self->heap = HEAP(.name = "stress", .flags = PYMALLOC_CREATE_SHARED, .limit = LIMIT,
			  .window = 64ULL << 20);
}

FIXTURE_TEARDOWN(refs_stress)
{
	heap_close(&self->heap);
}

/* What a worker has. */
struct worker {
	int fd;
	__u64 bytes;
	__u64 seed;
	__u64 refs[NR];
	char *windows[4];
};

static __u32 pick(struct worker *worker, __u32 limit)
{
	return next_random(&worker->seed) % limit;
}

static void map_or_unmap(struct worker *worker)
{
	char **window = &worker->windows[pick(worker, 4)];
	__u64 part = worker->bytes / 2;

	if (!*window) {
		*window = mmap(NULL, worker->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			       worker->fd, 0);
		if (*window == MAP_FAILED)
			*window = NULL;
		return;
	}
	/* Split it, and look at both parts before they go. */
	munmap(*window + part, POOL);
	madvise(*window, POOL * 16, MADV_DONTNEED);
	munmap(*window, part);
	munmap(*window + part + POOL, part - POOL);
	*window = NULL;
}

static void allocate(struct worker *worker)
{
	struct pymalloc_alloc arg = ARG(alloc, .size = 8 + pick(worker, 700),
					.refs = user_ptr(worker->refs),
					.count = 1 + pick(worker, NR));

	call(worker->fd, PYMALLOC_IOC_ALLOC, &arg);
}

static void do_holds(struct worker *worker)
{
	struct pymalloc_holds arg = ARG(holds, .op = pick(worker, 6),
					.refs = user_ptr(worker->refs + pick(worker, NR / 2)),
					.count = 1 + pick(worker, NR / 2));
	__u32 serials[NR];

	if (arg.op == PYMALLOC_HOLDS_GIVE) {
		arg.client = pick(worker, 4 * WORKERS);
		arg.flags = pick(worker, 2);
	}
	if (arg.op == PYMALLOC_HOLDS_SERIALS)
		arg.serials = user_ptr(serials);
	call(worker->fd, PYMALLOC_IOC_HOLDS, &arg);
}

static void do_roots(struct worker *worker)
{
	struct pymalloc_roots arg = ARG(roots, .ref = worker->refs[pick(worker, NR)]);
	static const __u32 ops[] = { PYMALLOC_ROOTS_SET, PYMALLOC_ROOTS_NEW, PYMALLOC_ROOTS_GET,
				     PYMALLOC_ROOTS_REMOVE, PYMALLOC_ROOTS_NEXT };

	arg.op = ops[pick(worker, ARRAY_SIZE(ops))];
	snprintf(arg.name, sizeof(arg.name), "%u", pick(worker, 20));
	call(worker->fd, PYMALLOC_IOC_ROOTS, &arg);
}

static void look(struct worker *worker)
{
	char *window = worker->windows[pick(worker, 4)];
	__u64 ref = worker->refs[pick(worker, NR)];
	int ends[2];
	char byte;

	/* By a system call: what is not there is EFAULT, and no signal. */
	if (window && ref < worker->bytes && pipe(ends) == 0) {
		byte = write(ends[1], window + ref, 1);
		worker->seed += byte;
		close(ends[0]);
		close(ends[1]);
	}
}

static void do_other(struct worker *worker)
{
	struct pymalloc_clients limit = ARG(clients, .op = PYMALLOC_CLIENTS_LIMIT,
					    .number = pick(worker, 4 * WORKERS),
					    .holds_max = pick(worker, 2) * 5000);
	struct pymalloc_trim trim = ARG(trim);

	switch (pick(worker, 4)) {
	case 0:
		call(worker->fd, PYMALLOC_IOC_TRIM, &trim);
		break;
	case 1:
		call(worker->fd, PYMALLOC_IOC_CLIENTS, &limit);
		break;
	case 2:
		if (!fork())
			_exit(0);
		break;
	default:
		look(worker);
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void (*const ways[])(struct worker *worker) = {
	map_or_unmap, allocate, do_holds, do_holds, do_holds, do_roots, do_other,
};

static void work(struct heap *heap, __u64 seed)
{
	struct worker worker = { .fd = heap->fd, .bytes = heap->bytes, .seed = seed };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		ways[pick(&worker, ARRAY_SIZE(ways))](&worker);
}

static void start(FIXTURE_DATA(refs_stress) *self, int which, __u64 seed)
{
	pid_t pid = fork();

	if (!pid)
		work(&self->heap, seed);
	self->workers[which] = pid;
}

static void stop(FIXTURE_DATA(refs_stress) *self, int which)
{
	kill(self->workers[which], SIGKILL);
	waitpid(self->workers[which], NULL, 0);
}

static __u32 clients(int fd)
{
	struct pymalloc_client_info infos[64];
	struct pymalloc_clients arg = ARG(clients, .infos = user_ptr(infos), .count = 64,
					  .entry_size = sizeof(*infos));

	return call(fd, PYMALLOC_IOC_CLIENTS, &arg) ? 0 : arg.done;
}

static void remove_names(int fd)
{
	struct pymalloc_roots arg = ARG(roots);

	for (int i = 0; i < 20; i++) {
		arg.op = PYMALLOC_ROOTS_REMOVE;
		snprintf(arg.name, sizeof(arg.name), "%u", i);
		call(fd, PYMALLOC_IOC_ROOTS, &arg);
	}
}

TEST_F(refs_stress, everything_at_once)
{
	int fd = self->heap.fd;
	__u64 seed = 12345;

	for (int i = 0; i < WORKERS; i++)
		start(self, i, seed + i * 7919);
	for (int i = 0; i < KILLS; i++) {
		int which = next_random(&seed) % WORKERS;

		usleep(next_random(&seed) % 30000);
		stop(self, which);
		if (i % 5 == 0)
			heap_check(&self->heap);
		start(self, which, next_random(&seed));
	}
	for (int i = 0; i < WORKERS; i++)
		stop(self, i);
	while (clients(fd) > 1)
		usleep(1000);
	heap_check(&self->heap);
	remove_names(fd);
	heap_unmap(&self->heap);
	/* The last client takes what it was given with it. */
	EXPECT_EQ(0, clients(fd));
	EXPECT_EQ(0, heap_info(_metadata, fd).used_bytes);
}

TEST_F(refs_stress, its_end_in_the_middle)
{
	struct pymalloc_end arg = ARG(end);

	for (int i = 0; i < WORKERS; i++)
		start(self, i, i * 7919 + 1);
	usleep(300000);
	EXPECT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_END, &arg));
	usleep(100000);
	for (int i = 0; i < WORKERS; i++)
		stop(self, i);
	heap_close(&self->heap);
	while (heap_listed(_metadata, self->heap.id))
		usleep(1000);
	self->heap = HEAP(.name = "another", .flags = PYMALLOC_CREATE_SHARED);
}

TEST_HARNESS_MAIN
