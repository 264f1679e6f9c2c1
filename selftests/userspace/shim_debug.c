// SPDX-License-Identifier: GPL-2.0
/*
 * What the malloc shim says about programs with errors, without and with its
 * debug modes. The program starts itself once for each mode and for each thing
 * that it can do with an allocator, right or wrong. It judges how this process
 * ended and what it said.
 */
#include <errno.h>
#include <libgen.h>
#include <malloc.h>
#include <pthread.h>
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kselftest.h>
#include <linux/pymalloc.h>

#include "pool.h"

/* More objects than the shim holds before it gives them back. */
#define MANY 3000

static void expect(bool true_now, const char *what, int line)
{
	if (true_now)
		return;
	dprintf(STDERR_FILENO, "line %d: %s\n", line, what);
	_exit(1);
}

/* Ends the program if the condition is false. */
#define EXPECT(condition) expect(condition, #condition, __LINE__)

static bool all_are(const void *object, int byte, size_t size)
{
	const unsigned char *bytes = object;
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i] != byte)
			return false;
	return true;
}

/* The compiler must keep the wrong access as it is written. */
static void poke(char *object, ptrdiff_t at, char byte)
{
	((volatile char *)object)[at] = byte;
}

/* The compiler must not see where the object begins and ends. */
static __attribute__((noipa)) char *allocate(size_t size)
{
	char *object = malloc(size);

	EXPECT(object);
	return object;
}

static __attribute__((noipa)) char *allocate_aligned(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

/* A second object of this size keeps the pool when the other one is freed. */
static char *allocate_two(size_t size)
{
	allocate(size);
	return allocate(size);
}

static void free_many(size_t size)
{
	int i;

	for (i = 0; i < MANY; i++)
		free(allocate(size));
}

static void do_every_size(void)
{
	size_t size;

	for (size = 0; size <= 512; size++) {
		char *object = allocate(size), *other = allocate(size);

		EXPECT(object != other);
		EXPECT((uintptr_t)object % 16 == 0);
		EXPECT(malloc_usable_size(object) == size);
		EXPECT(all_are(object, 0xcd, size));
		EXPECT(all_are(object - 10, 0xfd, 10));
		EXPECT(all_are(object + size, 0xfd, 8));
		memset(object, 1, size);
		free(object);
		free(other);
	}
	free(allocate(513));
	free(NULL);
}

static void do_calloc(void)
{
	size_t size;

	for (size = 0; size <= 600; size++) {
		char *object = calloc(1, size);

		EXPECT(object && all_are(object, 0, size));
		memset(object, 1, size);
		free(object);
	}
}

static void do_realloc_pair(size_t from, size_t to)
{
	size_t both = from < to ? from : to;
	char *object = allocate(from);

	memset(object, 7, from);
	object = realloc(object, to);
	EXPECT(object && all_are(object, 7, both));
	if (from <= 512 && to <= 512) {
		EXPECT(malloc_usable_size(object) == to);
		EXPECT(all_are(object + both, 0xcd, to - both));
	}
	memset(object, 8, to);
	free(object);
}

static void do_realloc(void)
{
	static const size_t sizes[] = { 1, 16, 17, 100, 464, 473, 512, 513, 5000, 300000 };
	const size_t count = sizeof(sizes) / sizeof(*sizes);
	size_t from, to;
	char *object;

	for (from = 0; from < count; from++)
		for (to = 0; to < count; to++)
			do_realloc_pair(sizes[from], sizes[to]);
	object = realloc(NULL, 10);
	EXPECT(malloc_usable_size(object) == 10);
	memset(object, 9, 10);
	errno = 0;
	EXPECT(!realloc(object, SIZE_MAX / 2) && errno == ENOMEM);
	EXPECT(all_are(object, 9, 10));
	EXPECT(!realloc(object, 0));
}

static void do_alignments(void)
{
	size_t alignment, size;

	for (alignment = 1; alignment <= 4096; alignment *= 2) {
		for (size = 0; size <= 600; size += 50) {
			char *object = memalign(alignment, size);

			EXPECT(object && (uintptr_t)object % alignment == 0);
			if (alignment <= 512 && size <= 512)
				EXPECT(malloc_usable_size(object) == size);
			memset(object, 1, size);
			free(object);
		}
	}
}

/*
 * While the shim holds the object. After that, its block may hold another one.
 */
static void do_look_at_freed(void)
{
	char *object = allocate_two(200);

	free(object);
	EXPECT(all_are(object, 0xdd, 200));
}

static void do_errno(void)
{
	static char *objects[MANY];
	int i;

	errno = EDOM;
	for (i = 0; i < MANY; i++)
		objects[i] = allocate(i % 600);
	for (i = 0; i < MANY; i++)
		free(objects[i]);
	EXPECT(errno == EDOM);
}

static void do_fork(void)
{
	char *object = allocate(100);
	int status;
	pid_t child;

	memset(object, 1, 100);
	child = fork();
	if (!child) {
		EXPECT(all_are(object, 1, 100));
		free(object);
		free_many(100);
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child && !status);
	EXPECT(all_are(object, 1, 100));
	free(object);
}

/* Free what another thread has allocated, and the other way round. */
static void *work(void *mailbox)
{
	char **box = mailbox;
	int i;

	for (i = 0; i < MANY; i++) {
		char *object = allocate(i % 600);

		memset(object, i, i % 600);
		object = __atomic_exchange_n(&box[i % 16], object, __ATOMIC_ACQ_REL);
		free(object);
	}
	return NULL;
}

static void do_threads(void)
{
	static char *box[16];
	pthread_t threads[4];
	int i;

	for (i = 0; i < 4; i++)
		EXPECT(!pthread_create(&threads[i], NULL, work, box));
	for (i = 0; i < 4; i++)
		EXPECT(!pthread_join(threads[i], NULL));
	for (i = 0; i < 16; i++)
		free(box[i]);
}

/*
 * glibc: the bit in the word before an object that says that it is from another
 * thread's heap.
 */
#define NON_MAIN_ARENA	0x4

/* The compiler would warn of a read that is not in the object. */
static __attribute_noinline__ void *word_before(char *object)
{
	return object - sizeof(size_t);
}

static void *allocate_large(void *word)
{
	char *object = allocate(10000);

	memcpy(word, word_before(object), sizeof(size_t));
	free(object);
	return NULL;
}

/*
 * The first task that uses the C library's heap prepares it. This must not
 * happen in one of several threads.
 */
static void do_first_large_in_a_thread(void)
{
	pthread_t thread;
	size_t word = 0;

	EXPECT(!pthread_create(&thread, NULL, allocate_large, &word));
	EXPECT(!pthread_join(thread, NULL));
	EXPECT(word & NON_MAIN_ARENA);
}

static void do_overflow(void)
{
	char *object = allocate(100);

	poke(object, 100, 1);
	free(object);
}

static void do_underflow(void)
{
	char *object = allocate(100);

	poke(object, -1, 2);
	free(object);
}

static void do_overflow_then_realloc(void)
{
	char *object = allocate(512);

	poke(object, 515, 3);
	EXPECT(!realloc(object, 1000));
}

static void do_overflow_then_usable(void)
{
	char *object = allocate(0);

	poke(object, 0, 4);
	EXPECT(!malloc_usable_size(object));
}

static void do_overflow_of_aligned(void)
{
	char *object = allocate_aligned(128, 33);

	poke(object, 33, 5);
	free(object);
}

static void do_underflow_of_aligned(void)
{
	char *object = allocate_aligned(128, 33);

	poke(object, -100, 6);
	free(object);
}

static void do_break_header(void)
{
	char *object = allocate(40);

	memset(object - 32, 0x41, 32);
	free(object);
}

/* One byte: what the header says of the block's class. */
static void do_break_class(void)
{
	char *object = allocate(100);

	poke(object, -12, 7);
	free(object);
}

static void do_write_after_free(void)
{
	char *object = allocate_two(100);

	free(object);
	poke(object, 99, 7);
	free_many(100);
}

static void do_write_before_freed(void)
{
	char *object = allocate_two(100);

	free(object);
	poke(object, -2, 8);
	free_many(100);
}

static void do_write_after_last_free(void)
{
	char *object = allocate_two(100);

	free(object);
	poke(object, 0, 9);
	exit(0);
}

static void do_free_twice(void)
{
	char *object = allocate_two(100);

	free(object);
	free(object);
}

static void do_realloc_freed(void)
{
	char *object = allocate_two(100);

	free(object);
	EXPECT(!realloc(object, 10));
}

static void do_free_in_the_middle(void)
{
	free(allocate(100) + 16);
}

static void do_free_an_odd_address(void)
{
	free(allocate(100) + 3);
}

static void do_free_in_the_middle_of_large(void)
{
	free(allocate(500) + 64);
}

/*
 * This was never handed out. It is in the next arena: the window is mapped
 * there, but empty.
 */
static void do_free_nothing(void)
{
	free(allocate(100) + PYMALLOC_ARENA_SIZE);
}

static void do_free_what_was_never_allocated(void)
{
	free(next_in_pool(allocate(480 - 40), 480, 7));
}

static void do_free_twice_around_another(void)
{
	char *object = allocate(100), *other = allocate(100);

	free(object);
	free(other);
	free(object);
}

static void *free_it(void *object)
{
	free(object);
	return NULL;
}

static void in_thread(void *(*function)(void *), void *argument)
{
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, function, argument));
	EXPECT(!pthread_join(thread, NULL));
}

static void do_free_what_a_thread_freed(void)
{
	char *object = allocate_two(100);

	in_thread(free_it, object);
	free(object);
}

static void do_free_in_thread_what_was_freed(void)
{
	char *object = allocate_two(100);

	free(object);
	in_thread(free_it, object);
}

/*
 * Wait until the thread is killed with the process. Its magazines stay as they
 * are.
 */
static void *free_and_stay(void *argument)
{
	pthread_barrier_t *barrier = ((void **)argument)[1];

	free(((void **)argument)[0]);
	pthread_barrier_wait(barrier);
	pause();
	return NULL;
}

static void do_free_what_a_living_thread_has(void)
{
	static pthread_barrier_t barrier;
	char *object = allocate_two(100);
	void *argument[] = { object, &barrier };
	pthread_t thread;

	EXPECT(!pthread_barrier_init(&barrier, NULL, 2));
	EXPECT(!pthread_create(&thread, NULL, free_and_stay, argument));
	pthread_barrier_wait(&barrier);
	free(object);
}

/* The program dies like the child. */
static void do_free_in_child_what_was_freed(void)
{
	char *object = allocate_two(100);
	int status;
	pid_t child;

	free(object);
	child = fork();
	if (!child) {
		free(object);
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child);
	if (WIFSIGNALED(status))
		raise(WTERMSIG(status));
}

/*
 * The mark is gone. The flush of the magazine finds the second free; exit()
 * does this flush.
 */
static void do_free_twice_and_write_between(void)
{
	char *object = allocate_two(100);

	free(object);
	poke(object, 0, 1);
	free(object);
}

/*
 * By then, the kernel has the objects back. Every second object stays, and
 * keeps the pools.
 */
static void do_free_many_twice(void)
{
	static char *objects[2 * MANY];
	int i;

	for (i = 0; i < 2 * MANY; i++)
		objects[i] = allocate(64);
	for (i = 0; i < 2 * MANY; i += 2)
		free(objects[i]);
	free(objects[0]);
}

static void do_free_what_is_untouched(void)
{
	free(next_in_pool(allocate(64), 64, 40));
}

/* Allocate and free objects without a write to any of them. */
static void do_leave_untouched(void)
{
	int i;

	for (i = 0; i < 10 * MANY; i++)
		free(allocate(1 + i % 512));
}

/* Copy the contents of a freed object to one that is not freed. */
static void do_copy_a_freed_one(void)
{
	char *object = allocate_two(8), *copy = allocate(8), *large = allocate(100);

	free(object);
	memcpy(copy, object, 8);
	memcpy(large, copy, 8);
	large = realloc(large, 200);
	EXPECT(large && !memcmp(large, copy, 8));
	free(copy);
	free(large);
}

#define HEX "0x[0-9a-f]+"
#define OBJECT(size, where) \
	"pymalloc: " HEX " is allocation [1-9][0-9]*, of " #size " bytes, " where " at " HEX "\n"
#define BLOCK(class) "in the block of size class " #class
#define FREED "freed, "
#define WRITTEN(function, where, at, is, not) \
	function "\\(\\): object " HEX " was written to " where ": " \
	"byte " #at " is " #is ", not " #not "\n"
#define INVALID(function, why) function "\\(\\): invalid pointer " HEX ": " why "\n"

static const char overflow[] =
	WRITTEN("free", "behind its end", 100, 0x01, 0xfd) OBJECT(100, BLOCK(144));
static const char freed_twice[] =
	INVALID("free", "double free") OBJECT(100, FREED BLOCK(144));

#define MIDDLE INVALID("free", "not the start of an object")

struct test {
	const char *name;
	void (*run)(void);
	/* what it says before it aborts; NULL: it says nothing and succeeds */
	const char *debug;
	const char *strict;
};

#define TWICE INVALID("free", "double free")

/* Without a debug mode. "debug" is what the program says then. */
static const struct test plain_tests[] = {
	{ "a double free", do_free_twice, TWICE, NULL },
	{ "a double free, another one between", do_free_twice_around_another, TWICE, NULL },
	{ "a double free, many others between", do_free_many_twice, TWICE, NULL },
	{ "a free of what a thread freed", do_free_what_a_thread_freed, TWICE, NULL },
	{ "a free of what a living thread has", do_free_what_a_living_thread_has, TWICE, NULL },
	{ "a thread's free of what was freed", do_free_in_thread_what_was_freed, TWICE, NULL },
	{ "a child's free of what was freed", do_free_in_child_what_was_freed, TWICE, NULL },
	{ "a double free after a write", do_free_twice_and_write_between, TWICE, NULL },
	{ "realloc of what was freed", do_realloc_freed, TWICE, NULL },
	{ "a pointer into the middle", do_free_in_the_middle, MIDDLE, NULL },
	{ "an odd pointer", do_free_an_odd_address, MIDDLE, NULL },
	{ "a pointer to nothing", do_free_nothing, INVALID("free", "no object is there"), NULL },
	{ "a pointer to what was never allocated", do_free_what_is_untouched,
	  INVALID("free", "never allocated"), NULL },
	{ "objects that nobody writes to", do_leave_untouched, NULL, NULL },
	{ "what was in a freed object, copied", do_copy_a_freed_one, NULL, NULL },
	{ "fork", do_fork, NULL, NULL },
	{ "threads", do_threads, NULL, NULL },
	{ "the first large object is a thread's", do_first_large_in_a_thread, NULL, NULL },
};

static const struct test tests[] = {
	{ "every size: usable, aligned, filled, guarded", do_every_size, NULL, NULL },
	{ "calloc", do_calloc, NULL, NULL },
	{ "realloc", do_realloc, NULL, NULL },
	{ "memalign", do_alignments, NULL, NULL },
	{ "a freed object is filled", do_look_at_freed, NULL, NULL },
	{ "errno", do_errno, NULL, NULL },
	{ "fork", do_fork, NULL, NULL },
	{ "threads", do_threads, NULL, NULL },
	{ "a byte behind the end", do_overflow, overflow, overflow },
	{ "a byte before the beginning", do_underflow,
	  WRITTEN("free", "before its beginning", -1, 0x02, 0xfd) OBJECT(100, BLOCK(144)),
	  WRITTEN("free", "before its beginning", -1, 0x02, 0xfd) OBJECT(100, BLOCK(144)) },
	{ "realloc looks", do_overflow_then_realloc,
	  WRITTEN("realloc", "behind its end", 515, 0x03, 0xfd) OBJECT(512, "in the page"),
	  WRITTEN("realloc", "behind its end", 515, 0x03, 0xfd) OBJECT(512, "in the page") },
	{ "malloc_usable_size looks", do_overflow_then_usable,
	  WRITTEN("malloc_usable_size", "behind its end", 0, 0x04, 0xfd) OBJECT(0, BLOCK(48)),
	  WRITTEN("malloc_usable_size", "behind its end", 0, 0x04, 0xfd) OBJECT(0, BLOCK(48)) },
	{ "a byte behind an aligned object", do_overflow_of_aligned,
	  WRITTEN("free", "behind its end", 33, 0x05, 0xfd) OBJECT(33, BLOCK(256)),
	  WRITTEN("free", "behind its end", 33, 0x05, 0xfd) OBJECT(33, BLOCK(256)) },
	{ "a byte before an aligned object", do_underflow_of_aligned,
	  WRITTEN("free", "before its beginning", -100, 0x06, 0xfd) OBJECT(33, BLOCK(256)),
	  WRITTEN("free", "before its beginning", -100, 0x06, 0xfd) OBJECT(33, BLOCK(256)) },
	{ "a broken header", do_break_header,
	  "free\\(\\): no object at " HEX ", or a broken header: byte -11 is 0x41, not 0x6d\n"
	  "pymalloc: it lies " BLOCK(80) " at " HEX ", of which no more is known\n",
	  "free\\(\\): no object at " HEX ", or a broken header: byte -11 is 0x41, not 0x6d\n"
	  "pymalloc: it lies " BLOCK(80) " at " HEX ", of which no more is known\n" },
	{ "a broken header, by one byte", do_break_class,
	  "free\\(\\): no object at " HEX ", or a broken header: it says size 100, class 7\n"
	  "pymalloc: it lies " BLOCK(144) " at " HEX ", of which no more is known\n",
	  "free\\(\\): no object at " HEX ", or a broken header: it says size 100, class 7\n"
	  "pymalloc: it lies " BLOCK(144) " at " HEX ", of which no more is known\n" },
	{ "a write after the free", do_write_after_free,
	  WRITTEN("free", "after it was freed", 99, 0x07, 0xdd) OBJECT(100, FREED BLOCK(144)),
	  WRITTEN("malloc", "after it was freed", 99, 0x07, 0xdd) OBJECT(100, FREED BLOCK(144)) },
	{ "a write before a freed object", do_write_before_freed,
	  WRITTEN("free", "before its beginning", -2, 0x08, 0xfd) OBJECT(100, FREED BLOCK(144)),
	  WRITTEN("malloc", "before its beginning", -2, 0x08, 0xfd) OBJECT(100, FREED BLOCK(144)) },
	{ "a write after the free, shortly before the end", do_write_after_last_free,
	  WRITTEN("exit", "after it was freed", 0, 0x09, 0xdd) OBJECT(100, FREED BLOCK(144)),
	  NULL },
	{ "a double free", do_free_twice, freed_twice, freed_twice },
	{ "realloc of what was freed", do_realloc_freed,
	  INVALID("realloc", "double free") OBJECT(100, FREED BLOCK(144)), freed_twice },
	{ "a pointer into the middle", do_free_in_the_middle,
	  MIDDLE OBJECT(100, BLOCK(144)), MIDDLE OBJECT(100, BLOCK(144)) },
	{ "an odd pointer", do_free_an_odd_address,
	  MIDDLE OBJECT(100, BLOCK(144)), MIDDLE OBJECT(100, BLOCK(144)) },
	{ "a pointer into the middle of what is no block", do_free_in_the_middle_of_large,
	  MIDDLE OBJECT(500, "in the page"), MIDDLE OBJECT(500, "in the page") },
	{ "a pointer to nothing", do_free_nothing,
	  INVALID("free", "no object is there"), INVALID("free", "no object is there") },
	{ "a pointer to what was never allocated", do_free_what_was_never_allocated,
	  "free\\(\\): no object at " HEX ", or a broken header: byte -11 is 0x00, not 0x6d\n"
	  "pymalloc: it lies " BLOCK(480) " at " HEX ", of which no more is known\n",
	  INVALID("free", "never allocated")
	  "pymalloc: it lies " BLOCK(480) " at " HEX ", of which no more is known\n" },
};

#define NR(table) (sizeof(table) / sizeof(*(table)))

static char path[4096];
static char command[4200];

/* The command lies where it was built, in ../../userspace from here. */
static void find_command(void)
{
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		ksft_exit_fail_msg("/proc/self/exe: %m\n");
	snprintf(command, sizeof(command), "%s/../../userspace/pymalloc",
		 dirname(strdupa(path)));
}

/* @mode is an option of `pymalloc run`, or "--". */
static void start(const char *mode, size_t test, int out)
{
	char number[24];

	snprintf(number, sizeof(number), "%zu", test);
	dup2(out, STDERR_FILENO);
	execl(command, "pymalloc", "run", mode, path, mode, number, NULL);
	_exit(127);
}

/* Returns the program's status, and what it wrote to stderr. */
static int run(const char *mode, size_t test, char *said, size_t room)
{
	int pipes[2], status;
	size_t length = 0;
	ssize_t got;
	pid_t child;

	if (pipe(pipes) < 0)
		ksft_exit_fail_msg("pipe: %m\n");
	child = fork();
	if (!child)
		start(mode, test, pipes[1]);
	close(pipes[1]);
	while ((got = read(pipes[0], said + length, room - 1 - length)) > 0)
		length += got;
	said[length] = '\0';
	close(pipes[0]);
	if (waitpid(child, &status, 0) != child)
		ksft_exit_fail_msg("waitpid: %m\n");
	return status;
}

static bool matches(const char *said, const char *expected)
{
	char pattern[1000];
	regex_t regex;
	bool found;

	snprintf(pattern, sizeof(pattern), "^%s$", expected);
	if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB))
		ksft_exit_fail_msg("no pattern: %s\n", pattern);
	found = !regexec(&regex, said, 0, NULL, 0);
	regfree(&regex);
	return found;
}

static const struct test *table_of(const char *mode)
{
	return strcmp(mode, "--") ? tests : plain_tests;
}

static void judge(const char *mode, size_t test, const char *expected)
{
	char said[1000];
	int status = run(mode, test, said, sizeof(said));
	bool passed;

	if (expected)
		passed = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
			 matches(said, expected);
	else
		passed = !status && !*said;
	if (!passed)
		ksft_print_msg("wait status 0x%x, said: %s\n", status, said);
	ksft_test_result(passed, "%s %s\n", mode, table_of(mode)[test].name);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc > 2) {
		table_of(argv[1])[strtoul(argv[2], NULL, 10)].run();
		return 0;
	}
	find_command();
	ksft_print_header();
	ksft_set_plan(NR(plain_tests) + 2 * NR(tests));
	for (i = 0; i < NR(plain_tests); i++)
		judge("--", i, plain_tests[i].debug);
	for (i = 0; i < NR(tests); i++) {
		judge("--debug", i, tests[i].debug);
		judge("--strict", i, tests[i].strict);
	}
	ksft_finished();
}
