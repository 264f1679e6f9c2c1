// SPDX-License-Identifier: GPL-2.0
/*
 * Sites in a program in C: its frames, and what else may go on while malloc() looks at
 * them.  sites_probe.so, which this is linked with, has the library's files for it, and
 * a malloc() that uses them.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kselftest_harness.h>
#include <pymalloc-sites.h>

#include "sites_probe.h"

/* How long a test takes says nothing on an emulated machine. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define NR_THREADS 8
#define ROUNDS 2000
#define MOST PYMALLOC_FRAMES_MAX

/* With a name that dladdr() finds, and a frame of its own. */
#define FUNCTION __attribute__((noinline, noclone, visibility("default")))
/* The compiler must not make a jump of the call before. */
static inline void no_tail_call(void)
{
	__asm__ volatile("");
}

static const void *record_at(const void *table, __u32 number)
{
	return (const char *)table + (size_t)number * 8;
}

static __u64 used_of(const void *table)
{
	const struct pymalloc_settings_record *settings = table;

	/* Pairs with the release in pyml_table_publish(). */
	return __atomic_load_n(&settings->used, __ATOMIC_ACQUIRE);
}

static const struct pymalloc_site_record *site_at(__u32 number)
{
	return record_at(probe_table(), number);
}

static const struct pymalloc_stack_record *stack_of(__u32 site)
{
	return record_at(probe_table(), site_at(site)->stack);
}

/* Whether a record with that number comes before another one, and is of that kind. */
static bool refers(const void *table, __u32 number, const void *from, unsigned int kind)
{
	const struct pymalloc_record *to = record_at(table, number);

	return (const void *)to < from && to->kind == kind;
}

static bool stack_is_sound(const void *table, const struct pymalloc_stack_record *stack)
{
	if (stack->record.bytes != sizeof(*stack) +
	    stack->record.count * sizeof(stack->frames[0]))
		return false;
	for (int i = 0; i < stack->record.count; i++)
		if (stack->frames[i].where &&
		    !refers(table, stack->frames[i].where, stack, PYMALLOC_RECORD_OBJECT))
			return false;
	return true;
}

static bool record_is_sound(const void *table, const struct pymalloc_record *record)
{
	const struct pymalloc_site_record *site = (const void *)record;

	switch (record->kind) {
	case PYMALLOC_RECORD_SETTINGS:
		return (const void *)record == table;
	case PYMALLOC_RECORD_OBJECT:
	case PYMALLOC_RECORD_THREAD:
		return true;
	case PYMALLOC_RECORD_STACK:
		return stack_is_sound(table, (const void *)record);
	case PYMALLOC_RECORD_SITE:
		return refers(table, site->stack, site, PYMALLOC_RECORD_STACK) &&
			refers(table, site->thread, site, PYMALLOC_RECORD_THREAD);
	default:
		return false;
	}
}

/* Blocks of all sites and those without one; ~0 if a record is not sound. */
static __u64 blocks_in(const void *table)
{
	const struct pymalloc_settings_record *settings = table;
	__u64 used = used_of(table), at = 0, blocks = settings->nr_unknown;
	const struct pymalloc_record *record;

	while (at < used) {
		record = record_at(table, at / 8);
		if (!record->bytes || record->bytes % 8 || !record_is_sound(table, record))
			return ~0ULL;
		if (record->kind == PYMALLOC_RECORD_SITE)
			blocks += ((const struct pymalloc_site_record *)record)->count;
		at += record->bytes;
	}
	return at == used ? blocks : ~0ULL;
}

/* The position of a function among a stack's frames, at or behind @from; -1 if it has none. */
static int find_frame(__u32 site, int from, const char *name)
{
	const struct pymalloc_stack_record *stack = stack_of(site);
	Dl_info info;

	for (int i = from; i < stack->record.count; i++)
		if (dladdr((void *)stack->frames[i].address, &info) && info.dli_sname &&
		    !strcmp(info.dli_sname, name))
			return i;
	return -1;
}

FUNCTION __u32 innermost(void)
{
	__u32 site = probe_site();

	no_tail_call();
	return site;
}

FUNCTION __u32 in_between(int depth)
{
	__u32 site = depth ? in_between(depth - 1) : innermost();

	no_tail_call();
	return site;
}

FUNCTION __u32 outermost(int depth)
{
	__u32 site = in_between(depth);

	no_tail_call();
	return site;
}

static jmp_buf back;
static __u32 site_of_last_call;

FUNCTION __attribute__((noreturn)) void no_return(void)
{
	site_of_last_call = probe_site();
	longjmp(back, 1);
}

/* Its last instruction is a call.  Where that would return to, another function begins. */
FUNCTION __attribute__((noreturn)) void last_call(void)
{
	no_return();
}

TEST(frames)
{
	__u32 site, again;

	ASSERT_TRUE(probe_begin(MOST, MOST, PROBE_TABLE));
	site = outermost(2);
	EXPECT_EQ(0, find_frame(site, 0, "innermost"));
	for (int i = 1; i <= 3; i++)
		EXPECT_EQ(i, find_frame(site, i, "in_between"));
	EXPECT_EQ(4, find_frame(site, 4, "outermost"));
	EXPECT_NE(-1, find_frame(site, 5, "main"));
	EXPECT_NE(site, outermost(2));
	for (int i = 0; i < 3; i++) {
		again = outermost(3);
		if (i)
			EXPECT_EQ(site, again);
		site = again;
	}
	EXPECT_EQ(3, site_at(site)->count);
}

TEST(no_more_frames_than_asked_for)
{
	for (int most = 1; most <= MOST; most += 8) {
		ASSERT_TRUE(probe_begin(0, most, PROBE_TABLE));
		EXPECT_EQ(most, stack_of(outermost(50))->record.count);
	}
	ASSERT_TRUE(probe_begin(MOST, 0, PROBE_TABLE));
	EXPECT_EQ(0, stack_of(outermost(50))->record.count);
}

TEST(a_call_that_does_not_return)
{
	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	if (!setjmp(back))
		last_call();
	EXPECT_EQ(0, find_frame(site_of_last_call, 0, "no_return"));
	EXPECT_EQ(1, find_frame(site_of_last_call, 1, "last_call"));
}

/* What a file is known by is what the loader says, and is in the file. */
TEST(objects)
{
	const struct pymalloc_stack_record *stack;
	const struct pymalloc_object_record *object;
	char path[4096] = "";
	Dl_info info;

	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	stack = stack_of(outermost(0));
	for (int i = 0; i < stack->record.count; i++) {
		ASSERT_NE(0, stack->frames[i].where);
		object = record_at(probe_table(), stack->frames[i].where);
		ASSERT_NE(0, dladdr((void *)stack->frames[i].address, &info));
		EXPECT_EQ((__u64)info.dli_fbase, object->start);
		EXPECT_LE(object->start, stack->frames[i].address);
		EXPECT_GT(object->end, stack->frames[i].address);
		EXPECT_EQ(object->start, object->bias);
		EXPECT_EQ(20, object->build_id_bytes);
	}
	object = record_at(probe_table(), stack->frames[0].where);
	ASSERT_LT(0, readlink("/proc/self/exe", path, sizeof(path) - 1));
	EXPECT_STREQ(path, object->data + object->build_id_bytes);
	EXPECT_EQ(strlen(path) + 1, object->path_bytes);
}

static volatile __u32 site_in_handler;

FUNCTION void handler(int number)
{
	(void)number;
	site_in_handler = probe_site();
	no_tail_call();
}

FUNCTION void interrupted(void)
{
	raise(SIGUSR1);
	no_tail_call();
}

TEST(a_signals_handler)
{
	int at;

	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	signal(SIGUSR1, handler);
	interrupted();
	EXPECT_EQ(0, find_frame(site_in_handler, 0, "handler"));
	at = find_frame(site_in_handler, 1, "interrupted");
	EXPECT_LT(1, at);
	EXPECT_LT(at, find_frame(site_in_handler, at, "main"));
}

/* Allocates wherever a thread is: in the middle of a site, too. */
static void allocate_in_handler(int number)
{
	(void)number;
	free(malloc(10));
}

static void *interrupt(void *thread)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_kill(*(pthread_t *)thread, SIGUSR1);
		usleep(10);
	}
	return NULL;
}

/* A handler's malloc() neither waits for what the thread does, nor breaks it. */
TEST(handlers_in_malloc)
{
	pthread_t self = pthread_self(), other;
	void *table;

	signal(SIGUSR1, allocate_in_handler);
	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	table = (void *)probe_table();
	ASSERT_EQ(0, pthread_create(&other, NULL, interrupt, &self));
	probe_in_malloc(true);
	/* Nearly every call is new, and takes the lock. */
	for (int i = 0; pthread_tryjoin_np(other, NULL); i++) {
		outermost(i % 20);
		free(malloc(10));
		if (!(i % 5))
			probe_next_epoch();
	}
	probe_in_malloc(false);
	EXPECT_NE(~0ULL, blocks_in(table));
}

static void *load_and_unload(void *stop)
{
	while (!*(volatile bool *)stop) {
		void *plugin = dlopen("shim_plugin.so", RTLD_NOW);

		if (!plugin)
			return stop;
		dlclose(plugin);
	}
	return NULL;
}

/* The loader allocates with its lock held, and others while it does. */
TEST(files_come_and_go)
{
	bool stop = false;
	pthread_t other;
	void *failed;

	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	probe_in_malloc(true);
	ASSERT_EQ(0, pthread_create(&other, NULL, load_and_unload, &stop));
	for (int i = 0; i < ROUNDS; i++) {
		outermost(i % 20);
		free(malloc(10));
		if (!(i % 10))
			probe_next_epoch();
	}
	stop = true;
	pthread_join(other, &failed);
	probe_in_malloc(false);
	EXPECT_EQ(NULL, failed);
	EXPECT_NE(~0ULL, blocks_in(probe_table()));
}

/* Finding frames and files allocates nothing. */
TEST(no_malloc_in_malloc)
{
	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	probe_in_malloc(true);
	for (int i = 0; i < 100; i++)
		free(malloc(10));
	probe_in_malloc(false);
	EXPECT_EQ(0, probe_nested());
	EXPECT_LE(100, blocks_in(probe_table()));
}

static void *many_sites(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++)
		outermost(i % 100);
	probe_forget_thread();
	return NULL;
}

/* Nothing is lost, and a reader finds whole records at any moment. */
TEST(threads)
{
	pthread_t threads[NR_THREADS];

	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	for (int i = 0; i < NR_THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, many_sites, NULL));
	for (int i = 0; i < NR_THREADS; i++)
		while (pthread_tryjoin_np(threads[i], NULL)) {
			ASSERT_NE(~0ULL, blocks_in(probe_table()));
			if (i % 2)
				probe_next_epoch();
		}
	EXPECT_EQ(NR_THREADS * ROUNDS, blocks_in(probe_table()));
}

static void *sites_until(void *stop)
{
	for (int i = 0; !*(volatile bool *)stop; i++)
		outermost(i % 20);
	return NULL;
}

/* A new trace begins while threads count blocks of the one before. */
TEST(traces_one_after_another)
{
	pthread_t threads[NR_THREADS];
	const void *tables[100];
	bool stop = false;

	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	for (int i = 0; i < NR_THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, sites_until, &stop));
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		ASSERT_TRUE(probe_begin(0, 1 + i % MOST, PROBE_TABLE));
		tables[i] = probe_table();
		while (blocks_in(tables[i]) < 10)
			sched_yield();
	}
	stop = true;
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		EXPECT_NE(~0ULL, blocks_in(tables[i]));
}

/* What finds no room is counted. Stacks that are known keep the sites that they had. */
TEST(full)
{
	const struct pymalloc_settings_record *settings;
	int unknown = 0;

	ASSERT_TRUE(probe_begin(0, MOST, 64 << 10));
	settings = probe_table();
	for (int i = 0; i < 4 * ROUNDS; i++) {
		int depth = i % (i < 2 * ROUNDS ? 10 : 20);
		bool found = outermost(depth) != PYMALLOC_SITE_UNKNOWN;

		EXPECT_TRUE(found || depth >= 10);
		unknown += !found;
		if (!(i % 10))
			probe_next_epoch();
	}
	EXPECT_LT(0, unknown);
	EXPECT_EQ(unknown, settings->nr_unknown);
	EXPECT_GE(64 << 10, settings->used);
	EXPECT_EQ(4 * ROUNDS, blocks_in(settings));
	/* There is no memory at all. */
	EXPECT_FALSE(probe_begin(0, MOST, 0));
	EXPECT_EQ(PYMALLOC_SITE_UNKNOWN, innermost());
}

/* After its end, a thread has no map that would be lost. */
TEST(a_thread_ends)
{
	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	EXPECT_LT(PYMALLOC_SITE_UNKNOWN, innermost());
	probe_forget_thread();
	EXPECT_EQ(PYMALLOC_SITE_UNKNOWN, innermost());
}

static int begin_in_child(void)
{
	probe_inherit();
	if (innermost() != PYMALLOC_SITE_UNKNOWN)
		return 1;
	if (!probe_begin(0, MOST, PROBE_TABLE))
		return 2;
	for (int i = 0; i < 100; i++)
		if (find_frame(outermost(i % 10), 0, "innermost"))
			return 3;
	return blocks_in(probe_table()) == 100 ? 0 : 4;
}

/* Whatever other threads do when a process forks, its child can begin. */
TEST(children)
{
	pthread_t threads[NR_THREADS];
	bool stop = false;
	int status;

	ASSERT_TRUE(probe_begin(0, MOST, PROBE_TABLE));
	for (int i = 0; i < NR_THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, sites_until, &stop));
	for (int i = 0; i < 200; i++) {
		pid_t child;

		/* Each thread's next block takes the lock. */
		probe_next_epoch();
		child = fork();
		if (!child)
			_exit(begin_in_child());
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(0, status);
	}
	stop = true;
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	EXPECT_NE(~0ULL, blocks_in(probe_table()));
}

TEST_HARNESS_MAIN
