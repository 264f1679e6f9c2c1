/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of the service share: system calls that return -errno, a heap
 * with its two mappings, helpers that assert, memory that faults where a test
 * wants it to, children, and the checker that looks at the heap after
 * everything.
 *
 * Helpers that assert take the heap, which knows the test that their assertions
 * belong to. Threads must not call them: a failed assertion jumps.
 */
#ifndef SELFTESTS_SERVICE_H
#define SELFTESTS_SERVICE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <kselftest_harness.h>
#include <linux/capability.h>
#include <linux/pymalloc.h>

/*
 * A test that hangs has to end some time. How long a test takes says nothing,
 * because the machine is emulated and others use it, too.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define DEVICE_PATH "/dev/pymalloc"
#define POOL ((__u64)PYMALLOC_POOL_SIZE)
#define ARENA ((__u64)PYMALLOC_ARENA_SIZE)

/* An argument struct with its size filled in. */
#define ARG(type, ...) \
	{ .argsz = sizeof(struct pymalloc_##type), __VA_ARGS__ }

struct heap {
	struct __test_metadata *test;
	int fd;
	__u64 id;
	__u64 bytes;		/* of the window */
	char *window;
	const __u8 *map;
};

static inline __u64 user_ptr(const void *p)
{
	return (uintptr_t)p;
}

static inline __u64 round_up(__u64 value, __u64 unit)
{
	return (value + unit - 1) / unit * unit;
}

/* Returns the command's result, or -errno. */
static inline int call(int fd, unsigned long command, void *arg)
{
	int ret = ioctl(fd, command, arg);

	return ret < 0 ? -errno : ret;
}

/* xorshift gives the same numbers in every run. */
static inline __u64 next_random(__u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline void shuffle(__u64 *refs, size_t count, __u64 *seed)
{
	for (size_t i = count; i > 1; i--) {
		size_t other = next_random(seed) % i;
		__u64 ref = refs[i - 1];

		refs[i - 1] = refs[other];
		refs[other] = ref;
	}
}

static inline bool is_filled(const void *memory, int byte, size_t bytes)
{
	const char *p = memory;

	return !bytes || (p[0] == (char)byte && !memcmp(p, p + 1, bytes - 1));
}

/*
 * Heaps
 */

static inline int device_open(struct __test_metadata *_metadata)
{
	int fd = open(DEVICE_PATH, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd) TH_LOG("%s: %m; is pymalloc.ko loaded?", DEVICE_PATH);
	return fd;
}

static inline struct pymalloc_info service_info(struct __test_metadata *_metadata)
{
	struct pymalloc_info arg = ARG(info);
	int device = device_open(_metadata);

	ASSERT_EQ(0, call(device, PYMALLOC_IOC_INFO, &arg));
	close(device);
	return arg;
}

/* Returns a new descriptor of a heap, or -errno. */
static inline int heap_open(struct __test_metadata *_metadata, __u64 id, __u32 flags)
{
	struct pymalloc_open arg = ARG(open, .id = id, .flags = flags);
	int device = device_open(_metadata);
	int fd = call(device, PYMALLOC_IOC_OPEN, &arg);

	close(device);
	return fd;
}

/* What LIST says on @fd, the heap's own descriptor. */
static inline struct pymalloc_heap_info heap_info(struct __test_metadata *_metadata, int fd)
{
	struct pymalloc_heap_info info;
	struct pymalloc_list arg = ARG(list, .heaps = user_ptr(&info), .count = 1,
				       .entry_size = sizeof(info));

	ASSERT_EQ(0, call(fd, PYMALLOC_IOC_LIST, &arg));
	ASSERT_EQ(1, arg.done);
	return info;
}

/* Does the device list this heap for the caller? */
static inline bool heap_listed(struct __test_metadata *_metadata, __u64 id)
{
	struct pymalloc_heap_info info = {};
	struct pymalloc_list arg = ARG(list, .heaps = user_ptr(&info), .count = 1,
				       .entry_size = sizeof(info), .after = id - 1);
	int device = device_open(_metadata);

	ASSERT_EQ(0, call(device, PYMALLOC_IOC_LIST, &arg));
	close(device);
	return arg.done && info.id == id;
}

/* Makes a heap and closes it. Returns 0 or -errno. */
static inline int heap_try_create(struct __test_metadata *_metadata, struct pymalloc_create arg)
{
	int device = device_open(_metadata);
	int fd = call(device, PYMALLOC_IOC_CREATE, &arg);

	close(device);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

#define TRY_HEAP(...) \
	heap_try_create(_metadata, (struct pymalloc_create)ARG(create, __VA_ARGS__))

#define POLICY_NOTHING	(PYMALLOC_POLICY_NO_DECAY | PYMALLOC_POLICY_NO_STEAL | \
			 PYMALLOC_POLICY_NO_MESH)

/* Give a heap a policy, or ask for the one in force. */
static inline struct pymalloc_policy heap_policy(struct heap *heap, struct pymalloc_policy arg)
{
	struct __test_metadata *_metadata = heap->test;

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_POLICY, &arg));
	return arg;
}

#define POLICY(heap, ...) \
	heap_policy(heap, (struct pymalloc_policy)ARG(policy, __VA_ARGS__))

/*
 * The heap gives nothing back by itself: what a test finds in it must not depend on how
 * long the test takes. Tests that want the opposite reset its policy.
 */
static inline struct heap heap_create(struct __test_metadata *_metadata,
				      struct pymalloc_create arg)
{
	struct heap heap = { .test = _metadata };
	int device = device_open(_metadata);

	heap.fd = call(device, PYMALLOC_IOC_CREATE, &arg);
	ASSERT_LE(0, heap.fd) TH_LOG("create: %s", strerror(-heap.fd));
	close(device);
	heap.id = arg.id;
	heap.bytes = heap_info(_metadata, heap.fd).window;
	heap.window = mmap(NULL, heap.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, heap.fd, 0);
	ASSERT_NE(MAP_FAILED, heap.window);
	heap.map = mmap(NULL, heap.bytes / POOL, PROT_READ, MAP_SHARED, heap.fd,
			PYMALLOC_POOL_MAP_OFFSET);
	ASSERT_NE(MAP_FAILED, heap.map);
	POLICY(&heap, .flags = PYMALLOC_POLICY_SET, .off = POLICY_NOTHING);
	return heap;
}

#define HEAP(...) \
	heap_create(_metadata, (struct pymalloc_create)ARG(create, __VA_ARGS__))

static inline void heap_unmap(struct heap *heap)
{
	munmap(heap->window, heap->bytes);
	munmap((void *)heap->map, heap->bytes / POOL);
}

static inline void heap_close(struct heap *heap)
{
	heap_unmap(heap);
	close(heap->fd);
}

static inline void heap_check(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_check arg = ARG(check);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_CHECK, &arg));
	ASSERT_EQ(0, arg.errors) TH_LOG("at %#llx: %.80s", arg.offset, arg.message);
}

static inline struct pymalloc_stats heap_stats(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_stats arg = ARG(stats);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_STATS, &arg));
	return arg;
}

static inline __u64 heap_trim(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_trim arg = ARG(trim);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_TRIM, &arg));
	return arg.released;
}

/*
 * The metadata of a region, with its part of the pool map, that of an arena,
 * and that of a page that is taken alone: the least, which is that of at most 64
 * blocks and of a run's page, and the most, which is that of 512 blocks. Of
 * pages that are taken together it is a little less for each.
 */
#define REGION_META (1024 + POOL)
#define ARENA_META (2 * POOL / 13)
#define PAGE_META_MIN 56
#define PAGE_META_MAX 113

/* The metadata of a heap with so many arenas, all in its first region, and no page. */
static inline __u64 meta_with(struct __test_metadata *_metadata, __u64 arenas)
{
	return service_info(_metadata).heap_bytes_min + REGION_META + arenas * ARENA_META;
}

static inline char *at(struct heap *heap, __u64 ref)
{
	return heap->window + ref;
}

static inline __u8 pool_map(struct heap *heap, __u64 ref)
{
	return __atomic_load_n(heap->map + ref / POOL, __ATOMIC_RELAXED);
}

/*
 * Objects
 */

static inline void alloc_flags(struct heap *heap, __u64 size, __u64 *refs, __u32 count,
			       __u32 flags)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_alloc arg = ARG(alloc, .size = size, .refs = user_ptr(refs),
					.count = count, .flags = flags);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_ALLOC, &arg)) TH_LOG("size %llu", size);
	ASSERT_EQ(count, arg.done);
}

static inline void alloc(struct heap *heap, __u64 size, __u64 *refs, __u32 count)
{
	alloc_flags(heap, size, refs, count, 0);
}

static inline __u64 alloc_one(struct heap *heap, __u64 size)
{
	__u64 ref;

	alloc(heap, size, &ref, 1);
	return ref;
}

/* Free the objects. Every ref must be good. */
static inline void free_all(struct heap *heap, const __u64 *refs, __u32 count)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_free arg = ARG(free, .refs = user_ptr(refs), .count = count);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_FREE, &arg));
	ASSERT_EQ(count, arg.done);
	ASSERT_EQ(0, arg.nr_bad);
	ASSERT_EQ(count, arg.first_bad);
}

static inline void free_one(struct heap *heap, __u64 ref)
{
	free_all(heap, &ref, 1);
}

/* What FREE says of one ref. A good ref is freed. */
static inline enum pymalloc_ref_status free_status(struct heap *heap, __u64 ref)
{
	struct __test_metadata *_metadata = heap->test;
	__u8 status = 0xff;
	struct pymalloc_free arg = ARG(free, .refs = user_ptr(&ref), .status = user_ptr(&status),
				       .count = 1);
	int ret = call(heap->fd, PYMALLOC_IOC_FREE, &arg);

	ASSERT_EQ(status == PYMALLOC_REF_OK ? 0 : -EBADSLT, ret);
	ASSERT_EQ(1, arg.done);
	ASSERT_EQ(status != PYMALLOC_REF_OK, arg.nr_bad);
	ASSERT_EQ(status == PYMALLOC_REF_OK, arg.first_bad);
	return status;
}

static inline __u64 usable(struct heap *heap, __u64 ref)
{
	struct __test_metadata *_metadata = heap->test;
	__u64 size = ~0ULL;
	struct pymalloc_usable arg = ARG(usable, .refs = user_ptr(&ref), .sizes = user_ptr(&size),
					 .count = 1);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_USABLE, &arg));
	ASSERT_EQ(1, arg.done);
	return size;
}

static inline __u64 run_pages(__u64 size)
{
	return round_up(size, POOL) / POOL;
}

/*
 * The block that a pool hands out after @ref, when both are untouched. The
 * first one differs from pool to pool. The others follow, round the end.
 */
static inline __u64 next_in_turn(__u64 ref, __u64 size)
{
	return (ref & -POOL) + (ref % POOL / size + 1) % (POOL / size) * size;
}

static inline int compare_refs(const void *a, const void *b)
{
	const __u64 *one = a, *two = b;

	return (*one > *two) - (*one < *two);
}

/* Sort refs by where they are. */
static inline void sort_refs(__u64 *refs, size_t count)
{
	qsort(refs, count, sizeof(*refs), compare_refs);
}

/*
 * Memory that faults
 */

/*
 * A buffer of @bytes. The memory directly behind it has the protection @prot.
 */
static inline void *edge_buffer(struct __test_metadata *_metadata, size_t bytes, int prot)
{
	size_t inside = round_up(bytes, POOL);
	char *base = mmap(NULL, inside + POOL, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, base);
	ASSERT_EQ(0, mprotect(base + inside, POOL, prot));
	return base + inside - bytes;
}

static sigjmp_buf touch_env;

static inline void touch_failed(int signal)
{
	siglongjmp(touch_env, signal);
}

/*
 * Returns the signal that an access to @memory raises, or 0 if the access
 * works.
 */
static inline int touch(void *memory, bool write)
{
	char *p = memory;
	int fault = sigsetjmp(touch_env, 1);

	if (!fault) {
		signal(SIGBUS, touch_failed);
		signal(SIGSEGV, touch_failed);
		if (write)
			__atomic_store_n(p, 1, __ATOMIC_RELAXED);
		else
			__atomic_load_n(p, __ATOMIC_RELAXED);
	}
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	return fault;
}

/*
 * Children
 */

/* Wait for a child, which must end by _exit(0). */
static inline void join_child(struct __test_metadata *_metadata, pid_t child)
{
	int status;

	ASSERT_LT(0, child);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("signal %d", WTERMSIG(status));
	ASSERT_EQ(0, WEXITSTATUS(status));
}

/*
 * Runs statements in a child, which ends with status 0 unless one of them fails. Tests
 * of TEST_F() share the record of failures with their children, those of TEST() do not.
 */
#define IN_CHILD(child, ...) \
	do { \
		pid_t _pid = fork(); \
		ASSERT_LE(0, _pid); \
		if (!_pid) { \
			__VA_ARGS__; \
			_exit(!__test_passed(_metadata)); \
		} \
		child = _pid; \
	} while (0)

/*
 * Does something happen that the kernel does soon, but not at once? For
 * example, it ends the heap of a process that has ended. The number of rounds
 * only bounds how long a failed test takes.
 */
#ifndef PATIENCE
#define PATIENCE 6000
#endif

#define EVENTUALLY(condition) \
	({ \
		int _rounds = PATIENCE; \
		while (!(condition) && --_rounds) \
			usleep(10000); \
		_rounds > 0; \
	})

/*
 * Two processes that take turns, each with its own end. If one of them has
 * gone, for whatever reason, the other does not wait for it any more.
 */
struct turns {
	int ends[2];
};

static inline struct turns turns_make(struct __test_metadata *_metadata)
{
	struct turns turns;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, turns.ends));
	return turns;
}

/* From now on, this process has end number @mine. */
static inline void turns_take(struct turns *turns, int mine)
{
	close(turns->ends[!mine]);
	turns->ends[!mine] = -1;
}

static inline int turns_end(const struct turns *turns)
{
	return turns->ends[0] < 0 ? turns->ends[1] : turns->ends[0];
}

/* Now it is the other process's turn. */
static inline void turns_pass(const struct turns *turns)
{
	/*
	 * If the other process does not listen any more, it has gone. The test
	 * notices this elsewhere.
	 */
	if (send(turns_end(turns), "", 1, MSG_NOSIGNAL) != 1)
		return;
}

/*
 * Wait until it is this process's turn. Returns false if the other one has
 * gone.
 */
static inline bool turns_wait(const struct turns *turns)
{
	char byte;

	return read(turns_end(turns), &byte, 1) == 1;
}

/* Let the other process have its turn, and wait for this process's next one. */
static inline bool turns_around(const struct turns *turns)
{
	turns_pass(turns);
	return turns_wait(turns);
}

/*
 * Users
 */

/*
 * A process that can become root again cannot be looked at by other processes
 * of its present user. So the caller and its children keep the capability for
 * that.
 */
static inline void keep_looking(struct __test_metadata *_metadata)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	ASSERT_EQ(0, syscall(SYS_capget, &header, caps));
	caps[0].effective |= 1U << CAP_SYS_PTRACE;
	ASSERT_EQ(0, syscall(SYS_capset, &header, caps));
}

/* From now on, the caller is another user. It can become root again. */
static inline void become_user(struct __test_metadata *_metadata, uid_t uid)
{
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, setresuid(uid, uid, 0));
	keep_looking(_metadata);
}

/* What a user holds, as INFO says if this user asks. */
static inline struct pymalloc_info info_of(struct __test_metadata *_metadata, uid_t uid)
{
	struct pymalloc_info info;
	uid_t before = geteuid();

	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(uid));
	info = service_info(_metadata);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(before));
	return info;
}

/* The bytes of pages in all heaps. INFO adds those of the metadata. */
static inline __u64 user_pages(const struct pymalloc_info *info)
{
	return info->user_bytes - info->user_meta_bytes;
}

static inline __u64 bytes_of(struct __test_metadata *_metadata, uid_t uid)
{
	struct pymalloc_info info = info_of(_metadata, uid);

	return user_pages(&info);
}

/* The same for the caller's user. */
static inline __u64 own_bytes(struct __test_metadata *_metadata)
{
	struct pymalloc_info info = service_info(_metadata);

	return user_pages(&info);
}

/* The limit that leaves a user room for so many more bytes of pages. */
static inline __u64 limit_of(struct __test_metadata *_metadata, uid_t uid, __u64 bytes)
{
	return info_of(_metadata, uid).user_meta_bytes + bytes;
}

static inline __u32 heaps_of(struct __test_metadata *_metadata, uid_t uid)
{
	return info_of(_metadata, uid).user_heaps;
}

/*
 * Files, and module parameters
 */

static inline void write_text(struct __test_metadata *_metadata, const char *path,
			      const char *text)
{
	ssize_t length = strlen(text);
	int fd = open(path, O_WRONLY);

	ASSERT_LE(0, fd) TH_LOG("%s: %m", path);
	ASSERT_EQ(length, write(fd, text, length)) TH_LOG("%s: %m", path);
	close(fd);
}

#define PARAMETERS "/sys/module/pymalloc/parameters/"

static inline void write_parameter(struct __test_metadata *_metadata, const char *name,
				   __u64 value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	snprintf(text, sizeof(text), "%llu", value);
	write_text(_metadata, path, text);
}

static inline __u64 read_parameter(struct __test_metadata *_metadata, const char *name)
{
	char path[128];
	__u64 value = 0;
	FILE *file;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	file = fopen(path, "r");
	ASSERT_NE(NULL, file) TH_LOG("%s: %m", path);
	ASSERT_EQ(1, fscanf(file, "%llu", &value));
	fclose(file);
	return value;
}

/* A user who may not do what root may. */
#define SOMEBODY 12345

static inline void become_somebody(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, setgid(SOMEBODY));
	ASSERT_EQ(0, setuid(SOMEBODY));
}

/*
 * Most tests use one heap with the defaults.
 */
FIXTURE(service)
{
	struct heap heap;
};

FIXTURE_SETUP(service)
{
	self->heap = HEAP();
}

FIXTURE_TEARDOWN(service)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

/* A number that the environment gives, or @otherwise. */
static inline __u64 setting(const char *name, __u64 otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

#endif /* SELFTESTS_SERVICE_H */
