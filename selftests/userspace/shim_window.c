// SPDX-License-Identifier: GPL-2.0
/*
 * The malloc shim in programs that bound what they map: RLIMIT_AS, mlockall().
 * Each case is its own process, started with `pymalloc run`.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kselftest.h>
#include <linux/pymalloc.h>

#define MIB (1UL << 20)
#define SIZE 128
/*
 * The objects of a case. They are linked to one another, so that a list of them
 * needs no memory.
 */
struct object {
	struct object *next;
	char rest[SIZE - sizeof(struct object *)];
};

#define REQUIRE(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "# %s:%d: %s: %m\n", __func__, __LINE__, #condition); \
			exit(1); \
		} \
	} while (0)

/*
 * Only blocks of the service have these sizes. Those of the C library end in 8.
 */
static bool from_service(void *object)
{
	return malloc_usable_size(object) % 16 == 0;
}

/*
 * Allocate @bytes of objects. Returns how many bytes of them are from the
 * service.
 */
static size_t allocate(struct object **list, size_t bytes)
{
	size_t served = 0;

	for (size_t done = 0; done < bytes; done += SIZE) {
		struct object *object = malloc(SIZE);

		REQUIRE(object);
		served += from_service(object) ? SIZE : 0;
		memset(object->rest, 'o', sizeof(object->rest));
		object->next = *list;
		*list = object;
	}
	return served;
}

static void release(struct object **list)
{
	while (*list) {
		struct object *object = *list;

		REQUIRE(object->rest[0] == 'o');
		*list = object->next;
		free(object);
	}
}

static void limit(int resource, size_t bytes)
{
	struct rlimit limit = { bytes, bytes };

	REQUIRE(!setrlimit(resource, &limit));
}

/*
 * How many bytes of addresses /proc/self/maps shows for the heap, and in how
 * many mappings.
 */
static size_t mapped(unsigned int *parts)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	size_t bytes = 0;
	char line[512];

	REQUIRE(maps);
	*parts = 0;
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end, offset;

		/* Of the window and the pool map, not of caches. */
		if (!strstr(line, " /pymalloc:malloc") ||
		    sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) != 3 ||
		    offset >= PYMALLOC_CACHES_OFFSET)
			continue;
		bytes += end - start;
		++*parts;
	}
	fclose(maps);
	return bytes;
}

#define USER_BYTES "/sys/module/pymalloc/parameters/user_bytes"

/* The most bytes that a user may have in heaps; 0 means any number. */
static void set_user_bytes(const char *bytes)
{
	FILE *parameter = fopen(USER_BYTES, "we");

	REQUIRE(parameter);
	REQUIRE(fputs(bytes, parameter) > 0);
	REQUIRE(!fclose(parameter));
}

static void get_user_bytes(char *bytes, size_t size)
{
	FILE *parameter = fopen(USER_BYTES, "re");

	REQUIRE(parameter);
	REQUIRE(fgets(bytes, size, parameter));
	fclose(parameter);
}

/* The small objects fit, and leave most of the rest to a large one. */
static void fits(size_t small, size_t bytes)
{
	struct object *list = NULL;
	unsigned int parts;
	char *large;

	REQUIRE(allocate(&list, small) == small);
	REQUIRE(mapped(&parts) < small / 4 * 5 + 2 * MIB);
	REQUIRE(parts < 40);
	large = malloc(bytes);
	REQUIRE(large);
	large[bytes - 1] = 1;
	free(large);
	release(&list);
}

static void case_limit_set_by_the_program(void)
{
	free(malloc(SIZE));
	limit(RLIMIT_AS, 1024 * MIB);
	fits(200 * MIB, 700 * MIB);
}

static void case_limit_set_before(void)
{
	fits(50 * MIB, 400 * MIB);
}

/*
 * Everything is used up: the C library gets what is left, and then there is no
 * more.
 */
static void case_limit_reached(void)
{
	struct object *list = NULL, *object;
	size_t served = 0, others = 0;

	limit(RLIMIT_AS, 128 * MIB);
	while ((object = malloc(SIZE))) {
		*(from_service(object) ? &served : &others) += SIZE;
		object->rest[0] = 'o';
		object->next = list;
		list = object;
	}
	REQUIRE(errno == ENOMEM);
	REQUIRE(served > 64 * MIB);
	REQUIRE(served + others > 100 * MIB);
	release(&list);
	REQUIRE(allocate(&list, 64 * MIB) > 60 * MIB);
	release(&list);
}

/* After a limit is lifted, it has no effect any more. */
static void case_limit_lifted(void)
{
	struct rlimit low = { 64 * MIB, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
	struct object *list = NULL, *object;

	REQUIRE(!setrlimit(RLIMIT_AS, &low));
	while ((object = malloc(SIZE))) {
		object->rest[0] = 'o';
		object->next = list;
		list = object;
	}
	REQUIRE(!setrlimit(RLIMIT_AS, &none));
	allocate(&list, 20 * MIB);
	REQUIRE(allocate(&list, 100 * MIB) == 100 * MIB);
	release(&list);
}

static void case_all_is_locked(void)
{
	struct object *list = NULL;

	limit(RLIMIT_MEMLOCK, 8 * MIB);
	REQUIRE(!setresuid(65534, 65534, 65534));
	free(malloc(SIZE));
	REQUIRE(!mlockall(MCL_CURRENT | MCL_FUTURE));
	REQUIRE(allocate(&list, 64 * MIB) == 64 * MIB);
	release(&list);
	REQUIRE(allocate(&list, 64 * MIB) == 64 * MIB);
	release(&list);
}

static void case_large_heap(void)
{
	struct object *list = NULL;
	unsigned int parts;

	free(malloc(SIZE));
	REQUIRE(mapped(&parts) <= 2 * MIB);
	REQUIRE(parts == 2);
	set_user_bytes("0");
	REQUIRE(allocate(&list, 1100 * MIB) == 1100 * MIB);
	REQUIRE(mapped(&parts) <= 2049 * MIB);
	REQUIRE(parts <= 16);
	release(&list);
}

static void *grow_with_others(void *barrier)
{
	struct object *list = NULL;

	pthread_barrier_wait(barrier);
	for (int i = 0; i < 4; i++) {
		REQUIRE(allocate(&list, 10 * MIB) == 10 * MIB);
		if (i % 2)
			release(&list);
	}
	release(&list);
	return NULL;
}

/*
 * A child finds the window as its parent has left it, whatever the parent was
 * doing.
 */
static void grow_in_a_child(void)
{
	struct object *list = NULL;
	pid_t child = fork();
	int status;

	REQUIRE(child >= 0);
	if (!child) {
		REQUIRE(allocate(&list, 20 * MIB) == 20 * MIB);
		release(&list);
		_exit(0);
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	REQUIRE(!status);
}

#define THREADS 4

static void case_threads_and_children(void)
{
	pthread_t threads[THREADS];
	pthread_barrier_t barrier;

	REQUIRE(!pthread_barrier_init(&barrier, NULL, THREADS + 1));
	for (int i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, grow_with_others, &barrier));
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 8; i++)
		grow_in_a_child();
	for (int i = 0; i < THREADS; i++)
		REQUIRE(!pthread_join(threads[i], NULL));
}

static const struct {
	const char *name;
	void (*run)(void);
	size_t address_space;	/* the limit before the start; 0 is none */
} cases[] = {
	{ "an address space of 1 GiB, limited by the program",
	  case_limit_set_by_the_program, 0 },
	{ "an address space of 500 MB from the start", case_limit_set_before, 500000UL << 10 },
	{ "an address space that is used up", case_limit_reached, 0 },
	{ "a limit that is lifted", case_limit_lifted, 0 },
	{ "mlockall() by a user with 8 MiB to lock", case_all_is_locked, 0 },
	{ "a large heap has few mappings", case_large_heap, 0 },
	{ "threads and children that grow at once", case_threads_and_children, 0 },
};

#define NR_CASES (sizeof(cases) / sizeof(*cases))

/* The command lies where it was built, in ../../userspace from here. */
static void run_on_the_shim(const char *self, size_t i)
{
	char path[4096] = "", command[4200], number[16];

	if (cases[i].address_space)
		limit(RLIMIT_AS, cases[i].address_space);
	REQUIRE(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	snprintf(command, sizeof(command), "%s/../../userspace/pymalloc", dirname(path));
	snprintf(number, sizeof(number), "%zu", i);
	execl(command, "pymalloc", "run", "--", self, number, NULL);
	ksft_exit_fail_msg("%s: %m\n", command);
}

static void test(const char *self, size_t i)
{
	char user_bytes[32];
	pid_t child;
	int status;

	get_user_bytes(user_bytes, sizeof(user_bytes));
	fflush(stdout);
	child = fork();
	if (!child)
		run_on_the_shim(self, i);
	REQUIRE(waitpid(child, &status, 0) == child);
	set_user_bytes(user_bytes);
	ksft_test_result(!status, "%s\n", cases[i].name);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc == 2) {
		cases[atoi(argv[1])].run();
		return 0;
	}
	ksft_print_header();
	ksft_set_plan(NR_CASES);
	for (i = 0; i < NR_CASES; i++)
		test(argv[0], i);
	ksft_finished();
}
