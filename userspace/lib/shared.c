// SPDX-License-Identifier: LGPL-2.1-or-later
/* Shared heaps: made, opened, closed, and what fork() means for them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "sandbox.h"
#include "sharedhold.h"

/* Descriptions of clients that are asked for at once. */
#define CLIENTS_AT_ONCE	16
/* How often another place for the counts is tried, and how far it is from the last one. */
#define COUNTS_TRIES	16
#define COUNTS_STEP	(1L << 20)

/* Protects the list, and is taken before the lock of a heap. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pyml_shared *list;

static void before_fork(void)
{
	struct pyml_shared *heap;

	pthread_mutex_lock(&list_lock);
	for (heap = list; heap; heap = heap->next)
		pthread_mutex_lock(&heap->lock);
}

static void after_fork(void)
{
	struct pyml_shared *heap;

	for (heap = list; heap; heap = heap->next)
		pthread_mutex_unlock(&heap->lock);
	pthread_mutex_unlock(&list_lock);
}

/*
 * The child holds what its parent holds, and both have to drop what waits.  But the stock is the
 * parent's: its blocks are the same memory in both processes.
 */
static void inherit_after_fork(void)
{
	struct pyml_shared *heap;
	int saved = errno;

	for (heap = list; heap; heap = heap->next) {
		heap->client = 0;
		pyml_shared_unstock(heap);
	}
	after_fork();
	errno = saved;
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork, inherit_after_fork);
}

/**
 * struct places - where parts of a heap are mapped
 * @window: bytes of the window
 * @base: the window
 * @reader: it is mapped for reading only
 * @pool_map: the pool map
 * @counts: the counts
 * @heap: where the heap's struct is to be
 */
struct places {
	__u64 window;
	char *base;
	bool reader;
	char *pool_map;
	char *counts;
	char *heap;
};

static __u64 up_to_pages(__u64 bytes)
{
	return (bytes + PYMALLOC_POOL_SIZE - 1) & -PYMALLOC_POOL_SIZE;
}

static __u64 map_bytes(__u64 window)
{
	return up_to_pages(window / PYMALLOC_POOL_SIZE);
}

/* Four bytes for each eight of the window. */
static __u64 count_bytes(__u64 window)
{
	return window / 2;
}

/*
 * The struct of a heap need not begin with a page, since its address is a half of the window's
 * less that of the counts.
 */
static char *page_of(const void *heap)
{
	return (char *)((uintptr_t)heap & -PYMALLOC_POOL_SIZE);
}

static size_t heap_bytes(void)
{
	return up_to_pages(sizeof(struct pyml_shared)) + PYMALLOC_POOL_SIZE;
}

static void unmap_all(const struct places *places)
{
	int saved = errno;

	if (places->base != MAP_FAILED)
		munmap(places->base, places->window);
	if (places->pool_map != MAP_FAILED)
		munmap(places->pool_map, map_bytes(places->window));
	if (places->counts != MAP_FAILED)
		munmap(places->counts, count_bytes(places->window));
	if (places->heap != MAP_FAILED)
		munmap(page_of(places->heap), heap_bytes());
	errno = saved;
}

/* With a descriptor that is only a reader's, it can be mapped for reading. */
static int map_window(struct places *places, int fd)
{
	places->base = mmap(NULL, places->window, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (places->base == MAP_FAILED && errno == EACCES) {
		places->reader = true;
		places->base = mmap(NULL, places->window, PROT_READ, MAP_SHARED, fd, 0);
	}
	return places->base == MAP_FAILED ? -1 : 0;
}

static int map_pool_map(struct places *places, int fd)
{
	places->pool_map = mmap(NULL, map_bytes(places->window), PROT_READ, MAP_SHARED, fd,
				PYMALLOC_POOL_MAP_OFFSET);
	return places->pool_map == MAP_FAILED ? -1 : 0;
}

/* The struct is far from everything else: near a half of the addresses that mmap() chooses. */
static int map_heap(struct places *places, char *counts)
{
	char *heap = (char *)(counts - (uintptr_t)places->base / 8 * 4);

	if (mmap(page_of(heap), heap_bytes(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
		return -1;
	places->heap = heap;
	return 0;
}

/* If something is where the struct is to be, the counts are moved, and the struct with them. */
static char *find_counts(struct places *places, char *room)
{
	int i;

	for (i = 0; i < COUNTS_TRIES; i++)
		if (!map_heap(places, room + i * COUNTS_STEP))
			return room + i * COUNTS_STEP;
	errno = ENOMEM;
	return MAP_FAILED;
}

/*
 * Memory for counts comes page by page when it is written.  With mlockall(MCL_FUTURE) all of it
 * would come now, unless it cannot be accessed yet.
 */
static int map_counts(struct places *places)
{
	__u64 bytes = count_bytes(places->window);
	__u64 more = COUNTS_TRIES * COUNTS_STEP;
	char *counts, *room;

	room = mmap(NULL, bytes + more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
	if (room == MAP_FAILED)
		return -1;
	counts = find_counts(places, room);
	if (counts == MAP_FAILED) {
		munmap(room, bytes + more);
		return -1;
	}
	if (counts > room)
		munmap(room, counts - room);
	munmap(counts + bytes, room + more - counts);
	places->counts = counts;
	munlock(counts, bytes);
	madvise(counts, bytes, MADV_DONTDUMP);
	return mprotect(counts, bytes, PROT_READ | PROT_WRITE);
}

/* All of them, or none. */
static int map_all(struct places *places, int fd)
{
	places->base = MAP_FAILED;
	places->pool_map = MAP_FAILED;
	places->counts = MAP_FAILED;
	places->heap = MAP_FAILED;
	if (!map_window(places, fd) && !map_pool_map(places, fd) && !map_counts(places))
		return 0;
	unmap_all(places);
	return -1;
}

/* What is held by the process goes with the mappings of the descriptor. */
static void end_heap(struct pyml_shared *heap)
{
	struct places places = {
		.window = heap->window,
		.base = heap->view.base,
		.pool_map = (char *)heap->pool_map,
		.counts = heap->counts,
		.heap = (char *)heap,
	};

	close(heap->fd);
	pthread_mutex_destroy(&heap->lock);
	unmap_all(&places);
}

static int ask(int fd, struct pymalloc_heap_info *info)
{
	struct pymalloc_list args = {
		.argsz = sizeof(args),
		.heaps = (uintptr_t)info,
		.count = 1,
		.entry_size = sizeof(*info),
	};

	if (ioctl(fd, PYMALLOC_IOC_LIST, &args))
		return -1;
	if (args.done == 1 && info->flags & PYMALLOC_CREATE_SHARED)
		return 0;
	errno = args.done == 1 ? EINVAL : ENOTTY;
	return -1;
}

static struct pyml_shared *new_heap(int fd, const struct pymalloc_heap_info *info)
{
	struct places places = { .window = info->window };
	struct pyml_shared *heap;

	if (map_all(&places, fd)) {
		if (errno == EACCES)
			errno = EPERM;
		return NULL;
	}
	heap = (struct pyml_shared *)places.heap;
	heap->view.base = places.base;
	heap->users = 1;
	heap->fd = fd;
	heap->id = info->id;
	heap->window = info->window;
	heap->round = info->alignment - 1;
	heap->reader = places.reader;
	heap->pool_map = (const __u8 *)places.pool_map;
	heap->counts = places.counts;
	pthread_mutex_init(&heap->lock, NULL);
	return heap;
}

/* Is a descriptor one with which the window can be mapped for reading only? */
static bool is_reader(int fd)
{
	void *page = mmap(NULL, PYMALLOC_POOL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (page == MAP_FAILED)
		return true;
	munmap(page, PYMALLOC_POOL_SIZE);
	return false;
}

static struct pyml_shared *find_locked(__u64 id)
{
	struct pyml_shared *heap = list;

	while (heap && heap->id != id)
		heap = heap->next;
	return heap;
}

/* Once more the heap that the process has already. */
static struct pyml_shared *again_locked(struct pyml_shared *heap, int fd)
{
	if (heap->reader != is_reader(fd)) {
		errno = EBUSY;
		return NULL;
	}
	heap->users++;
	close(fd);
	return heap;
}

static struct pyml_shared *first_locked(int fd, const struct pymalloc_heap_info *info)
{
	struct pyml_shared *heap = new_heap(fd, info);

	if (heap) {
		heap->next = list;
		list = heap;
	}
	return heap;
}

/* @fd is the heap's from now on, or is closed. */
static struct pymalloc_shared *open_heap(int fd)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct pymalloc_heap_info info;
	struct pyml_shared *heap = NULL;
	int err, saved = errno;

	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&list_lock);
	if (!ask(fd, &info)) {
		heap = find_locked(info.id);
		heap = heap ? again_locked(heap, fd) : first_locked(fd, &info);
	}
	err = errno;
	pthread_mutex_unlock(&list_lock);
	if (!heap)
		close(fd);
	errno = heap ? saved : err;
	return heap ? &heap->view : NULL;
}

static int take_options(struct pymalloc_create *args,
			const struct pymalloc_shared_options *options)
{
	const char *name = options->name ?: "";
	size_t length = strlen(name);

	if (options->flags || length >= sizeof(args->name)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(args->name, name, length);
	args->alignment = options->alignment;
	args->limit = options->limit;
	args->window = options->window;
	return 0;
}

/* Has the device make a descriptor.  Returns it; or -1 and errno. */
static int call_device(unsigned long command, void *args)
{
	struct pymalloc_info info = { .argsz = sizeof(info) };
	int device, err, fd = -1;

	if (pyml_in_sandbox()) {
		errno = EPERM;
		return -1;
	}
	device = pyml_fd_open_device();
	if (device < 0)
		return -1;
	errno = EINVAL;
	if (!ioctl(device, PYMALLOC_IOC_INFO, &info) && info.abi_version == PYMALLOC_ABI_VERSION)
		fd = ioctl(device, command, args);
	err = errno;
	close(device);
	errno = err;
	return fd < 0 ? -1 : pyml_fd_move_up(fd, PYML_LOWEST_FD);
}

struct pymalloc_shared *pymalloc_shared_create(const struct pymalloc_shared_options *options)
{
	struct pymalloc_create args = { .argsz = sizeof(args), .flags = PYMALLOC_CREATE_SHARED };
	int fd;

	if (options && take_options(&args, options))
		return NULL;
	fd = call_device(PYMALLOC_IOC_CREATE, &args);
	return fd < 0 ? NULL : open_heap(fd);
}

struct pymalloc_shared *pymalloc_shared_open_id(__u64 id)
{
	struct pymalloc_open args = { .argsz = sizeof(args), .id = id };
	int fd = call_device(PYMALLOC_IOC_OPEN, &args);

	return fd < 0 ? NULL : open_heap(fd);
}

struct pymalloc_shared *pymalloc_shared_open(int fd)
{
	int copy;

	if (pyml_in_sandbox()) {
		errno = EPERM;
		return NULL;
	}
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? NULL : open_heap(pyml_fd_move_up(copy, PYML_LOWEST_FD));
}

void pymalloc_shared_close(struct pymalloc_shared *view)
{
	struct pyml_shared **link, *heap = pyml_shared_of(view);
	int saved = errno;

	if (!heap)
		return;
	pthread_mutex_lock(&list_lock);
	if (!--heap->users) {
		for (link = &list; *link != heap; link = &(*link)->next)
			;
		*link = heap->next;
		end_heap(heap);
	}
	pthread_mutex_unlock(&list_lock);
	errno = saved;
}

int pymalloc_shared_fd(const struct pymalloc_shared *view)
{
	return ((const struct pyml_shared *)view)->fd;
}

__u64 pymalloc_shared_id(const struct pymalloc_shared *view)
{
	return ((const struct pyml_shared *)view)->id;
}

/* The number of this process among the clients; or 0 and errno. */
static __u32 find_self(struct pyml_shared *heap)
{
	struct pymalloc_client_info infos[CLIENTS_AT_ONCE] = {};
	struct pymalloc_clients args = {
		.argsz = sizeof(args),
		.infos = (uintptr_t)infos,
		.count = CLIENTS_AT_ONCE,
		.entry_size = sizeof(*infos),
	};
	__u32 i;

	do {
		if (pyml_shared_ioctl(heap, PYMALLOC_IOC_CLIENTS, &args))
			return 0;
		for (i = 0; i < args.done; i++)
			if (infos[i].flags & PYMALLOC_CLIENT_SELF)
				return infos[i].number;
		if (i)
			args.number = infos[i - 1].number;
	} while (i == CLIENTS_AT_ONCE);
	errno = EPERM;
	return 0;
}

__u32 pymalloc_shared_client(struct pymalloc_shared *view)
{
	struct pyml_shared *heap = pyml_shared_of(view);
	__u32 client;

	pthread_mutex_lock(&heap->lock);
	if (!heap->client)
		heap->client = find_self(heap);
	client = heap->client;
	pthread_mutex_unlock(&heap->lock);
	return client;
}

int pymalloc_shared_flush(struct pymalloc_shared *view)
{
	struct pyml_shared *heap = pyml_shared_of(view);
	int ret;

	pthread_mutex_lock(&heap->lock);
	ret = pyml_shared_send(heap);
	if (pyml_shared_unstock(heap))
		ret = -1;
	pthread_mutex_unlock(&heap->lock);
	return ret;
}
