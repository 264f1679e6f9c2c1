// SPDX-License-Identifier: GPL-2.0
/*
 * The malloc shim, seen by a program that knows nothing of it. The program
 * starts itself again with `pymalloc run`. It uses plain kselftest.h, because
 * kselftest_harness.h would fork for each test. Then all heaps would be clones,
 * and no test could see what an earlier one has left behind.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kselftest.h>
#include <linux/pymalloc.h>

#include "on_shim.h"

#define SHORT_LIVED 2000
/* More than the slots of a magazine: what two threads can hold of one size. */
#define KEPT 4096

static unsigned int failures;

static void expect(bool true_now, const char *what, const char *where, int line)
{
	if (true_now)
		return;
	ksft_print_msg("%s:%d: %s\n", where, line, what);
	failures++;
}

/* If the condition is false, the test fails that it is in. */
#define EXPECT(condition) expect(condition, #condition, __func__, __LINE__)

/*
 * Only blocks of the service have these sizes. Those of the C library end in 8.
 */
static bool from_service(void *object)
{
	size_t usable = malloc_usable_size(object);

	return usable && usable % 16 == 0 && usable <= PYMALLOC_BLOCK_MAX;
}

static bool aligned_to(const void *object, size_t alignment)
{
	return (uintptr_t)object % alignment == 0;
}

static bool all_are(const void *object, int byte, size_t size)
{
	const unsigned char *bytes = object;
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i] != byte)
			return false;
	return true;
}

static void *before_main;

static __attribute__((constructor)) void allocate_before_main(void)
{
	before_main = malloc(100);
	memset(before_main, 1, 100);
}

static void test_before_main(void)
{
	EXPECT(from_service(before_main));
	EXPECT(all_are(before_main, 1, 100));
	free(before_main);
}

static void test_every_size(void)
{
	static void *objects[2000];
	size_t size;

	for (size = 0; size < 2000; size++) {
		objects[size] = malloc(size);
		EXPECT(objects[size]);
		EXPECT(aligned_to(objects[size], __alignof__(max_align_t)));
		EXPECT(malloc_usable_size(objects[size]) >= size);
		EXPECT(from_service(objects[size]) == (size <= PYMALLOC_BLOCK_MAX));
		memset(objects[size], size, size);
	}
	for (size = 0; size < 2000; size++) {
		EXPECT(all_are(objects[size], size & 0xff, size));
		free(objects[size]);
	}
	free(NULL);
	EXPECT(malloc_usable_size(NULL) == 0);
}

static void test_size_zero(void)
{
	void *objects[] = {
		malloc(0), malloc(0), calloc(0, 10), calloc(10, 0), calloc(0, 0),
		realloc(NULL, 0), reallocarray(NULL, 0, 10), memalign(64, 0),
		memalign(512, 0), aligned_alloc(16, 0),
	};
	const size_t count = sizeof(objects) / sizeof(*objects);
	size_t i, j;

	for (i = 0; i < count; i++) {
		EXPECT(objects[i]);
		for (j = 0; j < i; j++)
			EXPECT(objects[i] != objects[j]);
	}
	EXPECT(aligned_to(objects[7], 64) && aligned_to(objects[8], 512));
	for (i = 0; i < count; i++)
		free(objects[i]);
}

static void test_too_much(void)
{
	errno = 0;
	EXPECT(!malloc(SIZE_MAX) && errno == ENOMEM);
	errno = 0;
	EXPECT(!malloc((size_t)PTRDIFF_MAX + 1) && errno == ENOMEM);
	errno = 0;
	EXPECT(!realloc(NULL, SIZE_MAX) && errno == ENOMEM);
	errno = 0;
	EXPECT(!reallocarray(NULL, SIZE_MAX / 2, 3) && errno == ENOMEM);
	errno = 0;
	EXPECT(!memalign(64, SIZE_MAX - 10) && errno == ENOMEM);
	errno = 0;
	EXPECT(!aligned_alloc(64, SIZE_MAX - 63) && errno == ENOMEM);
}

static void test_calloc(void)
{
	size_t size, round;

	for (round = 0; round < 3; round++) {
		for (size = 0; size < 1000; size++) {
			void *object = calloc(size, 1);

			EXPECT(object);
			EXPECT(all_are(object, 0, size));
			memset(object, 0xff, size);
			free(object);
		}
	}
	errno = 0;
	EXPECT(!calloc(SIZE_MAX / 2, 3) && errno == ENOMEM);
	errno = 0;
	EXPECT(!calloc(1ULL << 32, 1ULL << 32) && errno == ENOMEM);
}

static void test_realloc(void)
{
	static const size_t sizes[] = { 1, 16, 17, 100, 300, 400, 512, 513, 600, 5000, 300000 };
	const size_t count = sizeof(sizes) / sizeof(*sizes);
	size_t from, to;

	for (from = 0; from < count; from++) {
		for (to = 0; to < count; to++) {
			size_t both = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
			void *object = malloc(sizes[from]);

			memset(object, from, sizes[from]);
			object = realloc(object, sizes[to]);
			EXPECT(object);
			EXPECT(all_are(object, from, both));
			EXPECT(malloc_usable_size(object) >= sizes[to]);
			memset(object, to, sizes[to]);
			free(object);
		}
	}
}

/*
 * CPython's rule: an object stays, unless a move would save more than a
 * quarter.
 */
static void test_realloc_stays_or_moves(void)
{
	size_t from, to;

	for (from = 16; from <= PYMALLOC_BLOCK_MAX; from += 16) {
		for (to = 1; to <= 520; to += 3) {
			char *object = malloc(from), *now;
			size_t both = from < to ? from : to;

			EXPECT(malloc_usable_size(object) == from);
			memset(object, 5, from);
			now = realloc(object, to);
			EXPECT(now && all_are(now, 5, both));
			EXPECT((now == object) == (to <= from && 4 * to > 3 * from));
			EXPECT(from_service(now) == (to <= PYMALLOC_BLOCK_MAX));
			free(now);
		}
	}
}

static void test_realloc_edges(void)
{
	void *object = realloc(NULL, 200);

	EXPECT(from_service(object));
	EXPECT(realloc(object, 190) == object);
	memset(object, 7, 190);
	errno = 0;
	EXPECT(!realloc(object, SIZE_MAX / 2) && errno == ENOMEM);
	EXPECT(all_are(object, 7, 190));
	errno = 0;
	EXPECT(!reallocarray(object, SIZE_MAX / 2, 3) && errno == ENOMEM);
	object = reallocarray(object, 10, 40);
	EXPECT(object && all_are(object, 7, 190));
	EXPECT(!realloc(object, 0));
}

static void expect_aligned(void *object, size_t alignment, size_t size)
{
	EXPECT(object);
	EXPECT(aligned_to(object, alignment));
	EXPECT(malloc_usable_size(object) >= size);
	memset(object, 0xaa, size);
	free(object);
}

static void test_alignments(void)
{
	static const size_t sizes[] = { 0, 1, 24, 100, 300, 500, 512, 513, 4000, 10000 };
	size_t alignment, i;

	for (alignment = 1; alignment <= 65536; alignment *= 2) {
		for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			size_t size = sizes[i];
			void *object;

			expect_aligned(memalign(alignment, size), alignment, size);
			expect_aligned(aligned_alloc(alignment, size), alignment, size);
			if (alignment < sizeof(void *))
				continue;
			EXPECT(!posix_memalign(&object, alignment, size));
			expect_aligned(object, alignment, size);
		}
	}
	expect_aligned(valloc(100), getpagesize(), 100);
	expect_aligned(pvalloc(100), getpagesize(), getpagesize());
}

static void test_aligned_blocks_are_the_service_s(void)
{
	void *object = memalign(64, 100);

	EXPECT(malloc_usable_size(object) == 128);
	free(object);
	object = memalign(32, 70);
	EXPECT(malloc_usable_size(object) == 96);
	free(object);
	object = memalign(256, 300);
	EXPECT(malloc_usable_size(object) == 512);
	free(object);
}

static void test_posix_memalign_errors(void)
{
	void *object = &object;

	errno = EDOM;
	EXPECT(posix_memalign(&object, 0, 10) == EINVAL);
	EXPECT(posix_memalign(&object, 4, 10) == EINVAL);
	EXPECT(posix_memalign(&object, 24, 10) == EINVAL);
	EXPECT(posix_memalign(&object, 64, SIZE_MAX / 2) == ENOMEM);
	EXPECT(errno == EDOM && object == &object);
}

static void test_free_keeps_errno(void)
{
	static void *objects[3000];
	size_t i;

	for (i = 0; i < 3000; i++)
		objects[i] = malloc(i % 3 ? 100 : 100000);
	for (i = 0; i < 3000; i++) {
		errno = EDOM;
		free(objects[i]);
		EXPECT(errno == EDOM);
	}
}

/* So many objects that magazines have to be filled. */
static void test_success_keeps_errno(void)
{
	static void *objects[5][1000];
	size_t i, j;

	errno = EDOM;
	for (i = 0; i < 1000; i++) {
		objects[0][i] = malloc(i);
		objects[1][i] = calloc(i, 1);
		objects[2][i] = realloc(malloc(i), 2 * i + 1);
		objects[3][i] = memalign(64, i);
		objects[4][i] = aligned_alloc(16, i);
		EXPECT(errno == EDOM);
		EXPECT(malloc_usable_size(objects[2][i]) > 2 * i);
	}
	for (j = 0; j < 5; j++)
		for (i = 0; i < 1000; i++)
			free(objects[j][i]);
	EXPECT(errno == EDOM);
}

/* What the service says about this process. */
static void look(struct pymalloc_heap_info *heap, __u64 *blocks)
{
	static struct pymalloc_heap_info heaps[256];
	struct pymalloc_list list = {
		.argsz = sizeof(list),
		.heaps = (uintptr_t)heaps,
		.count = 256,
		.entry_size = sizeof(*heaps),
	};
	struct pymalloc_open open_heap = {
		.argsz = sizeof(open_heap),
		.flags = PYMALLOC_OPEN_RDONLY,
	};
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };
	int device = open("/dev/pymalloc", O_RDWR | O_CLOEXEC);
	size_t i;
	int fd;

	EXPECT(!ioctl(device, PYMALLOC_IOC_LIST, &list));
	for (i = 0; i < list.done && heaps[i].pid != getpid(); i++)
		continue;
	EXPECT(i < list.done);
	*heap = heaps[i];
	open_heap.id = heap->id;
	fd = ioctl(device, PYMALLOC_IOC_OPEN, &open_heap);
	EXPECT(!ioctl(fd, PYMALLOC_IOC_STATS, &stats));
	*blocks = stats.blocks;
	close(fd);
	close(device);
}

static void test_the_heap(void)
{
	struct pymalloc_heap_info heap;
	__u64 blocks;

	look(&heap, &blocks);
	EXPECT(!strcmp(heap.name, "malloc"));
	EXPECT(heap.alignment == 16);
	EXPECT(blocks);
}

static __u64 count_blocks(void)
{
	struct pymalloc_heap_info heap;
	__u64 blocks;

	look(&heap, &blocks);
	return blocks;
}

static size_t count_mappings(void)
{
	int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t lines = 0;
	char bytes[1024];
	ssize_t got, i;

	while ((got = read(maps, bytes, sizeof(bytes))) > 0)
		for (i = 0; i < got; i++)
			lines += bytes[i] == '\n';
	close(maps);
	return lines;
}

static pthread_key_t key;

/*
 * In each round of the destructors, also after the thread's magazines are gone.
 */
static void allocate_in_every_round(void *object)
{
	free(object);
	pthread_setspecific(key, strdup("freed in the next round"));
}

/* No thread gets back what is allocated in the last round. */
static void allocate_in_some_rounds(void *object)
{
	char *round = object;

	if (*round == '2') {
		free(round);
		return;
	}
	++*round;
	pthread_setspecific(key, strdup(round));
	free(round);
}

/* How many bytes are in use, according to the C library. */
static size_t libc_bytes(void)
{
	return mallinfo2().uordblks;
}

/* Sizes of the C library's objects of which a thread holds one of each size. */
#define SPARE_MIN 1033
#define SPARE_MAX 2056

static sigjmp_buf after_fault;

static void note_fault(int signal)
{
	siglongjmp(after_fault, signal);
}

/* Returns the signal that a write raises, or 0. */
static int write_to(char *object)
{
	struct sigaction action = { .sa_handler = note_fault }, old;
	int raised;

	sigaction(SIGSEGV, &action, &old);
	raised = sigsetjmp(after_fault, 1);
	if (!raised)
		*(volatile char *)object = 2;
	sigaction(SIGSEGV, &old, NULL);
	return raised;
}

/*
 * A page of blocks can be protected like any other, but it cannot become
 * executable.
 */
static void test_mprotect(void)
{
	char *object = malloc(400);
	char *page = object - (uintptr_t)object % PYMALLOC_POOL_SIZE;

	memset(object, 1, 400);
	EXPECT(!mprotect(page, PYMALLOC_POOL_SIZE, PROT_READ));
	EXPECT(all_are(object, 1, 400));
	EXPECT(write_to(object) == SIGSEGV);
	EXPECT(!mprotect(page, PYMALLOC_POOL_SIZE, PROT_READ | PROT_WRITE));
	EXPECT(!write_to(object) && *object == 2);
	errno = 0;
	EXPECT(mprotect(page, PYMALLOC_POOL_SIZE,
			PROT_READ | PROT_WRITE | PROT_EXEC) && errno == EACCES);
	EXPECT(!write_to(object));
	free(object);
}

/*
 * The C library sometimes gives 16 bytes more than it needs to, when nothing else
 * could be done with them.  Such an object is a spare of another size: not these.
 */
static void *malloc_exactly(size_t size)
{
	void *object = malloc(size), *larger;

	if (malloc_usable_size(object) == ((size + 7) & -16) + 8)
		return object;
	larger = object;
	object = malloc_exactly(size);
	free(larger);
	return object;
}

static void test_a_spare_of_each_size(void)
{
	size_t size, bytes;

	for (size = SPARE_MIN; size <= SPARE_MAX; size++) {
		void *first = malloc_exactly(size), *second = malloc_exactly(size);

		bytes = libc_bytes();
		free(first);
		EXPECT(libc_bytes() == bytes);
		free(second);
		EXPECT(libc_bytes() < bytes);
		bytes = libc_bytes();
		EXPECT(malloc(size) == first);
		EXPECT(libc_bytes() == bytes);
		free(first);
	}
}

static void test_spares_are_large_enough(void)
{
	size_t size;

	for (size = SPARE_MIN - 100; size <= SPARE_MAX + 100; size++)
		free(malloc(size));
	for (; size >= SPARE_MIN - 100; size--) {
		void *object = malloc(size);

		EXPECT(malloc_usable_size(object) >= size);
		memset(object, 1, size);
		free(object);
	}
}

static void test_no_spares_of_other_sizes(void)
{
	/* The C library caches smaller objects, and counts them as in use. */
	void *larger = malloc(SPARE_MAX + 1);
	size_t bytes = libc_bytes();

	free(larger);
	EXPECT(libc_bytes() < bytes);
}

#define NR_SPARES ((SPARE_MAX - SPARE_MIN) / 16 + 1)

static void *free_all(void *objects)
{
	size_t i;

	for (i = 0; i < NR_SPARES; i++)
		free(((void **)objects)[i]);
	return NULL;
}

static void test_a_thread_s_end_frees_its_spares(void)
{
	void *objects[NR_SPARES];
	size_t total = 0, bytes, i;
	pthread_t thread;

	for (i = 0; i < NR_SPARES; i++) {
		objects[i] = malloc(SPARE_MIN + i * 16);
		total += malloc_usable_size(objects[i]);
	}
	bytes = libc_bytes();
	EXPECT(!pthread_create(&thread, NULL, free_all, objects));
	EXPECT(!pthread_join(thread, NULL));
	/* The thread itself took some bytes. */
	EXPECT(libc_bytes() < bytes - total / 2);
}

/*
 * So many objects that they need several pools. None of them is the C
 * library's.
 */
#define MANY 20000

static size_t in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	EXPECT(info.arena == info.uordblks + info.fordblks);
	EXPECT(info.fsmblks <= info.fordblks);
	return info.uordblks;
}

static void allocate_many(void **objects)
{
	size_t i;

	for (i = 0; i < MANY; i++)
		objects[i] = malloc(200);
}

static void free_many(void **objects, size_t first)
{
	size_t i;

	for (i = first; i < MANY; i++)
		free(objects[i]);
}

/* Blocks in magazines are free, and they are less than a thread may hold. */
static void test_mallinfo_tells_of_blocks(void)
{
	static void *objects[MANY];
	struct mallinfo2 before = mallinfo2(), info;
	size_t bytes = in_use();

	allocate_many(objects);
	EXPECT(in_use() == bytes + MANY * 208);
	info = mallinfo2();
	EXPECT(info.arena >= before.arena + MANY * 208 / 2);
	free_many(objects, 0);
	EXPECT(in_use() == bytes);
	EXPECT(mallinfo2().fsmblks > before.fsmblks);
	EXPECT((size_t)mallinfo().uordblks == in_use());
	EXPECT((size_t)mallinfo().arena == mallinfo2().arena);
}

static void test_malloc_trim(void)
{
	static void *objects[MANY];
	struct pymalloc_heap_info heap;
	__u64 blocks, before = count_blocks();
	size_t live = 3;

	allocate_many(objects);
	look(&heap, &blocks);
	EXPECT(blocks >= before + MANY - KEPT);
	free_many(objects, live);
	EXPECT(malloc_trim(0) == 1);
	EXPECT(mallinfo2().fsmblks == 0);
	EXPECT(mallinfo2().keepcost < 1 << 20);
	look(&heap, &blocks);
	EXPECT(blocks <= before + live);
	while (live--)
		free(objects[live]);
}

static void test_malloc_trim_frees_spares(void)
{
	size_t bytes;

	free(malloc(SPARE_MIN));
	bytes = libc_bytes();
	malloc_trim(0);
	EXPECT(libc_bytes() < bytes);
}

/* The output is XML, and the elements of all heaps have the same form. */
static void test_malloc_info(void)
{
	char *text = NULL, *ours;
	size_t bytes, held = 0;
	FILE *file = open_memstream(&text, &bytes);

	EXPECT(!malloc_info(0, file));
	EXPECT(!fclose(file));
	EXPECT(!strncmp(text, "<malloc version=\"1\">\n<heap ", 27));
	EXPECT(!strcmp(text + bytes - 10, "</malloc>\n"));
	ours = strstr(text, "<heap nr=\"pymalloc\">\n");
	EXPECT(ours && strstr(text, "<heap nr=\"0\">"));
	ours = strstr(ours, "<system type=\"current\" size=\"");
	EXPECT(ours && sscanf(ours, "<system type=\"current\" size=\"%zu\"/>", &held) == 1);
	EXPECT(held && held % PYMALLOC_POOL_SIZE == 0);
	free(text);
	errno = 0;
	EXPECT(malloc_info(1, stdout) == EINVAL);
}

static char *(*thread_local_of_plugin)(void);

static void *short_life(void *object)
{
	pthread_setspecific(key, strdup("0"));
	memset(thread_local_of_plugin(), 1, 200);
	free(object);
	return malloc(300);
}

static void *start_short_lives(void *number)
{
	pthread_t thread;
	size_t i;

	for (i = 0; i < (size_t)number; i++) {
		void *object = malloc(300);

		EXPECT(!pthread_create(&thread, NULL, short_life, object));
		EXPECT(!pthread_join(thread, &object));
		EXPECT(object);
		free(object);
	}
	return NULL;
}

/*
 * In its own thread: at the end of the thread, what it had to free for others
 * is given back.
 */
static void live_shortly(size_t number)
{
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, start_short_lives, (void *)number));
	EXPECT(!pthread_join(thread, NULL));
}

/* The file is found only by this program's RUNPATH. */
static void *open_plugin(int flags)
{
	return dlopen("shim_plugin.so", RTLD_NOW | flags);
}

static void test_threads_leave_nothing(void)
{
	void *plugin = open_plugin(0);
	size_t mappings;
	__u64 blocks;

	EXPECT(plugin);
	thread_local_of_plugin = (char *(*)(void))dlsym(plugin, "plugin_thread_local");
	EXPECT(!pthread_key_create(&key, allocate_in_some_rounds));
	live_shortly(10);
	blocks = count_blocks();
	mappings = count_mappings();
	live_shortly(SHORT_LIVED);
	EXPECT(count_blocks() < blocks + SHORT_LIVED / 10);
	EXPECT(count_mappings() < mappings + SHORT_LIVED / 100);
	EXPECT(!pthread_key_delete(key));
	EXPECT(!dlclose(plugin));
}

static void *set_key(void *unused)
{
	pthread_setspecific(key, strdup("first"));
	return unused;
}

static void test_destructors_that_never_end(void)
{
	pthread_t thread;

	EXPECT(!pthread_key_create(&key, allocate_in_every_round));
	EXPECT(!pthread_create(&thread, NULL, set_key, NULL));
	EXPECT(!pthread_join(thread, NULL));
	EXPECT(!pthread_key_delete(key));
}

/*
 * A queue of objects from a thread that only allocates to a thread that only
 * frees.
 */
static struct {
	void *objects[256];
	pthread_barrier_t turn;
	__u64 most_blocks;
} queue;

#define ROUNDS 400

static void *only_allocate(void *unused)
{
	size_t i, round;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < 256; i++)
			queue.objects[i] = malloc(96);
		pthread_barrier_wait(&queue.turn);
		pthread_barrier_wait(&queue.turn);
	}
	return unused;
}

static void only_free(void)
{
	size_t i, round;

	for (round = 0; round < ROUNDS; round++) {
		__u64 blocks;

		pthread_barrier_wait(&queue.turn);
		for (i = 0; i < 256; i++)
			free(queue.objects[i]);
		pthread_barrier_wait(&queue.turn);
		blocks = count_blocks();
		if (blocks > queue.most_blocks)
			queue.most_blocks = blocks;
	}
}

static void test_one_allocates_another_frees(void)
{
	__u64 before = count_blocks();
	pthread_t thread;

	EXPECT(!pthread_barrier_init(&queue.turn, NULL, 2));
	EXPECT(!pthread_create(&thread, NULL, only_allocate, NULL));
	only_free();
	EXPECT(!pthread_join(thread, NULL));
	EXPECT(ROUNDS * 256 > 10 * KEPT);
	EXPECT(queue.most_blocks < before + KEPT);
}

static void test_dlopen(void)
{
	void *library = dlopen("libresolv.so.2", RTLD_NOW);

	EXPECT(library);
	EXPECT(!dlsym(library, "no_such_function"));
	EXPECT(dlerror());
	EXPECT(!dlclose(library));
}

typedef void *(*malloc_fn)(size_t size);
typedef void (*free_fn)(void *object);

static void expect_objects_to_cross(int flags)
{
	void *plugin = open_plugin(flags);
	malloc_fn plugin_malloc;
	free_fn plugin_free;
	size_t size;

	EXPECT(plugin);
	plugin_malloc = (malloc_fn)dlsym(plugin, "plugin_malloc");
	plugin_free = (free_fn)dlsym(plugin, "plugin_free");
	for (size = 0; size < 1000; size++) {
		void *object = plugin_malloc(size);

		EXPECT(from_service(object) == (size <= PYMALLOC_BLOCK_MAX));
		free(object);
		plugin_free(malloc(size));
	}
	EXPECT(!dlclose(plugin));
}

static void test_objects_across_a_library_s_boundary(void)
{
	expect_objects_to_cross(RTLD_GLOBAL);
}

/*
 * With the flag, the library would use the C library's malloc(), unlike all
 * others.
 */
static void test_objects_across_a_deep_boundary(void)
{
	expect_objects_to_cross(RTLD_DEEPBIND);
}

static void test_children_in_our_memory(void)
{
	static char * const argv[] = { "sh", "-c", "exit 7", NULL };
	char line[16] = "";
	FILE *pipe;
	pid_t child;
	int status;

	EXPECT(WEXITSTATUS(system("exit 5")) == 5);
	pipe = popen("echo hello", "r");
	EXPECT(pipe && fgets(line, sizeof(line), pipe));
	EXPECT(!strcmp(line, "hello\n"));
	EXPECT(pclose(pipe) == 0);
	EXPECT(!posix_spawnp(&child, "sh", NULL, NULL, argv, environ));
	EXPECT(waitpid(child, &status, 0) == child);
	EXPECT(WEXITSTATUS(status) == 7);
}

/* In a child, use what @object holds, free it and allocate it again. */
static int use_in_child(char *object)
{
	int i;

	if (strcmp(object, "parent's"))
		return 1;
	memcpy(object, "child's", sizeof("child's"));
	free(object);
	for (i = 0; i < 10000; i++) {
		object = malloc(i % 512 + 1);
		if (!object)
			return 2;
		memset(object, i, i % 512 + 1);
		if (i % 3)
			free(object);
	}
	return 0;
}

static void test_fork(void)
{
	char *object = strdup("parent's");
	pid_t child;
	int status;

	child = fork();
	if (!child)
		_exit(use_in_child(object));
	EXPECT(waitpid(child, &status, 0) == child);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	EXPECT(!strcmp(object, "parent's"));
	free(object);
}

static void test_fork_in_a_child(void)
{
	char *object = strdup("parent's");
	pid_t child, grandchild;
	int status;

	child = fork();
	if (!child) {
		grandchild = fork();
		if (!grandchild)
			_exit(use_in_child(object));
		if (waitpid(grandchild, &status, 0) != grandchild || status)
			_exit(3);
		_exit(use_in_child(object));
	}
	EXPECT(waitpid(child, &status, 0) == child && !status);
	EXPECT(!strcmp(object, "parent's"));
	free(object);
}

static void test_vfork(void)
{
	int status;
	pid_t child = vfork();

	if (!child) {
		execl("/bin/sh", "sh", "-c", "exit 9", NULL);
		_exit(127);
	}
	EXPECT(waitpid(child, &status, 0) == child);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

static int nr_started;

/*
 * Do everything that a handler is allowed to do, wherever the allocator was
 * interrupted.
 */
static void start_a_program(int signal)
{
	int saved = errno;
	pid_t child = fork();

	(void)signal;
	if (!child) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	if (child > 0)
		__atomic_add_fetch(&nr_started, 1, __ATOMIC_RELEASE);
	errno = saved;
}

static void *send_signals(void *target)
{
	int i;

	for (i = 0; i < 30; i++) {
		pthread_kill(*(pthread_t *)target, SIGUSR1);
		while (__atomic_load_n(&nr_started, __ATOMIC_ACQUIRE) <= i)
			sched_yield();
	}
	return NULL;
}

static void test_a_signal_handler_that_starts_programs(void)
{
	pthread_t self = pthread_self(), sender;
	int status, stopped = 0;
	size_t i;

	EXPECT(signal(SIGUSR1, start_a_program) != SIG_ERR);
	EXPECT(!pthread_create(&sender, NULL, send_signals, &self));
	for (i = 0; __atomic_load_n(&nr_started, __ATOMIC_ACQUIRE) < 30; i++)
		free(malloc(i % 512));
	EXPECT(!pthread_join(sender, NULL));
	while (stopped < 30 && wait(&status) > 0) {
		EXPECT(!status);
		stopped++;
	}
	EXPECT(stopped == 30);
}

static void *allocate_until_told(void *stop)
{
	while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED)) {
		void *objects[100];
		int i;

		for (i = 0; i < 100; i++)
			objects[i] = malloc(i * 5 + 1);
		for (i = 0; i < 100; i++)
			free(objects[i]);
	}
	return NULL;
}

static void test_fork_with_threads(void)
{
	pthread_t threads[2];
	int i, status, stop = 0;
	pid_t child;

	for (i = 0; i < 2; i++)
		EXPECT(!pthread_create(&threads[i], NULL, allocate_until_told, &stop));
	for (i = 0; i < 10; i++) {
		char *object = strdup("parent's");

		child = fork();
		if (!child)
			_exit(use_in_child(object));
		EXPECT(waitpid(child, &status, 0) == child);
		EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		EXPECT(!strcmp(object, "parent's"));
		free(object);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* From here on, every fill fails. In a sandbox, a fill is a read(). */
static void exhaust_the_service(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(*filter),
		.filter = filter,
	};

	EXPECT(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	EXPECT(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

/*
 * A daemon that cannot open its heap again still has the heap, and so do its
 * children.
 */
static int fork_without_descriptors(char *object)
{
	pid_t child;
	int status;

	/* Another device is now where the device was. */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("/dev/null", "/dev/pymalloc", NULL, MS_BIND, NULL) || close_range(3, ~0U, 0))
		return 10;
	child = fork();
	if (!child)
		_exit(use_in_child(object));
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 11;
	return WEXITSTATUS(status) ? WEXITSTATUS(status) : use_in_child(object);
}

static void test_fork_out_of_reach(void)
{
	char *object = strdup("parent's");
	pid_t child;
	int status;

	child = fork();
	if (!child)
		_exit(fork_without_descriptors(object));
	EXPECT(waitpid(child, &status, 0) == child);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	free(object);
}

static void test_falls_back_when_there_is_no_memory(void)
{
	static void *objects[20000];
	size_t i, from_libc = 0;

	/* Every fill fails. */
	exhaust_the_service();
	for (i = 0; i < 20000; i++) {
		objects[i] = malloc(250);
		EXPECT(objects[i]);
		from_libc += !from_service(objects[i]);
		memset(objects[i], i, 250);
	}
	EXPECT(from_libc > 10000);
	for (i = 32; i <= 512; i *= 2) {
		void *object = memalign(i, 20);

		EXPECT(!from_service(object) && aligned_to(object, i));
		free(object);
	}
	for (i = 0; i < 20000; i++) {
		objects[i] = realloc(objects[i], 260);
		EXPECT(all_are(objects[i], i & 0xff, 250));
		free(objects[i]);
	}
}

/* After the destructors of stdio and of the library. */
static void allocate_after_exit(void)
{
	void *object = malloc(100);

	if (!object)
		_exit(KSFT_FAIL);
	free(object);
}

static __attribute__((destructor)) void allocate_in_destructor(void)
{
	allocate_after_exit();
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "malloc before main", test_before_main },
	{ "malloc of every size", test_every_size },
	{ "size zero", test_size_zero },
	{ "too much", test_too_much },
	{ "calloc", test_calloc },
	{ "realloc", test_realloc },
	{ "realloc stays or moves", test_realloc_stays_or_moves },
	{ "realloc at its edges", test_realloc_edges },
	{ "memalign, aligned_alloc, posix_memalign, valloc, pvalloc", test_alignments },
	{ "aligned blocks of the service", test_aligned_blocks_are_the_service_s },
	{ "errors of posix_memalign", test_posix_memalign_errors },
	{ "free keeps errno", test_free_keeps_errno },
	{ "success keeps errno", test_success_keeps_errno },
	{ "the heap as the service sees it", test_the_heap },
	{ "mprotect", test_mprotect },
	{ "a spare of each size", test_a_spare_of_each_size },
	{ "spares are large enough", test_spares_are_large_enough },
	{ "no spares of other sizes", test_no_spares_of_other_sizes },
	{ "a thread's end frees its spares", test_a_thread_s_end_frees_its_spares },
	{ "mallinfo and mallinfo2 tell of blocks", test_mallinfo_tells_of_blocks },
	{ "malloc_trim", test_malloc_trim },
	{ "malloc_trim frees spares", test_malloc_trim_frees_spares },
	{ "malloc_info", test_malloc_info },
	{ "threads leave nothing", test_threads_leave_nothing },
	{ "destructors of keys that never end", test_destructors_that_never_end },
	{ "one thread allocates, another frees", test_one_allocates_another_frees },
	{ "dlopen and dlsym", test_dlopen },
	{ "objects across a library's boundary", test_objects_across_a_library_s_boundary },
	{ "objects across the boundary of one loaded with RTLD_DEEPBIND",
	  test_objects_across_a_deep_boundary },
	{ "system, popen and posix_spawn", test_children_in_our_memory },
	{ "vfork", test_vfork },
	{ "fork", test_fork },
	{ "fork in a child", test_fork_in_a_child },
	{ "fork while threads allocate", test_fork_with_threads },
	{ "fork when the service is out of reach", test_fork_out_of_reach },
	{ "a signal handler that starts programs",
	  test_a_signal_handler_that_starts_programs },
	{ "the C library when the service has no memory",
	  test_falls_back_when_there_is_no_memory },
};

#define NR_TESTS (sizeof(tests) / sizeof(*tests))

static void run(size_t i)
{
	failures = 0;
	tests[i].run();
	ksft_test_result(!failures, "%s\n", tests[i].name);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2)
		run_on_the_shim(argv[0]);
	atexit(allocate_after_exit);
	ksft_print_header();
	ksft_set_plan(NR_TESTS);
	for (i = 0; i < NR_TESTS; i++)
		run(i);
	ksft_finished();
}
