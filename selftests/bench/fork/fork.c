// SPDX-License-Identifier: GPL-2.0
/*
 * fork SUBJECT UNIT [--quick]: what fork() costs a process with 100 MB, in
 * objects of a heap ("service") or just mapped ("anonymous"). Prints figures, a
 * line "workload,subject,metric,value" each, for ../report-fork.
 *
 * The parent runs before all else until it has returned from fork(). What the
 * child does, and others do after it (a worker ends its heap), is told by the
 * time for which the machine has run anything at all.
 */
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <pymalloc.h>

#define MEMORY		(100UL * 1024 * 1024)
#define QUICK		50
#define PAGE		4096UL
#define SIZE_MIN	64
#define SIZE_MAX	512
/* Of 100 pages one is written to by the child. */
#define WRITTEN		100
/* Microseconds after which all has been done that is to be done. */
#define SETTLE		50000

/**
 * struct memory - what is there when the process forks
 * @heap: where it is from; NULL for anonymous memory
 * @pages: an address in each page
 * @count: how many pages
 */
struct memory {
	struct pymalloc_heap *heap;
	char **pages;
	size_t count;
};

static const char *subject;
static const char *unit;

static void report(const char *workload, const char *metric, double value)
{
	printf("%s,%s,%s,%.0f\n", workload, subject, metric, value);
	fflush(stdout);
}

static double now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static void schedule_first(void)
{
	struct sched_param param = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) < 0)
		err(1, "sched_setscheduler");
}

/* Memory that is none of what is measured, present from the start. */
static void *table(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		err(1, "mmap");
	return memory;
}

static void touch(const struct memory *memory, size_t step)
{
	size_t i;

	for (i = 0; i < memory->count; i += step)
		++*(volatile char *)memory->pages[i];
}

static void map_pages(struct memory *memory, size_t bytes)
{
	char *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (start == MAP_FAILED || madvise(start, bytes, MADV_NOHUGEPAGE) < 0)
		err(1, "mmap");
	memory->count = bytes / PAGE;
	for (i = 0; i < memory->count; i++)
		memory->pages[i] = start + i * PAGE;
}

static int by_address(const void *a, const void *b)
{
	const char *const *left = a, *const *right = b;

	return (*left > *right) - (*left < *right);
}

/* Keeps an object of each page. */
static void find_pages(struct memory *memory, char **objects, size_t count)
{
	size_t last = 0;
	size_t i;

	qsort(objects, count, sizeof(*objects), by_address);
	for (i = 0; i < count; i++) {
		size_t page = (size_t)objects[i] / PAGE;

		if (page != last)
			memory->pages[memory->count++] = objects[i];
		last = page;
	}
}

/* Objects of any size, all of them used. */
static void allocate(struct memory *memory, size_t bytes)
{
	char **objects = table(bytes / SIZE_MIN * sizeof(*objects));
	size_t count = 0;

	memory->heap = pymalloc_heap_create(NULL);
	if (!memory->heap)
		err(1, "pymalloc_heap_create");
	srandom(1);
	while (bytes > SIZE_MAX) {
		size_t size = SIZE_MIN + random() % (SIZE_MAX - SIZE_MIN + 1);
		char *object = pymalloc_malloc(memory->heap, size);

		if (!object)
			err(1, "pymalloc_malloc");
		objects[count++] = memset(object, 1, size);
		bytes -= size;
	}
	find_pages(memory, objects, count);
}

static pid_t checked_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	return pid;
}

static void wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) < 0 || status)
		errx(1, "the child ended with %d", status);
}

/* Nanoseconds for which CPUs have run something, up to when they last slept. */
static double busy(void)
{
	FILE *file;
	unsigned long long ran;
	double total = 0;
	char line[512];

	usleep(SETTLE);
	file = fopen("/proc/schedstat", "r");
	if (!file)
		err(1, "/proc/schedstat");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "cpu%*d %*d %*d %*d %*d %*d %*d %llu", &ran) == 1)
			total += ran;
	fclose(file);
	return total;
}

/* The child does nothing at all. */
static void measure_fork(const struct memory *memory)
{
	double start, forked, ran;
	pid_t pid;

	schedule_first();
	ran = busy();
	start = now();
	pid = checked_fork();
	if (!pid)
		_exit(0);
	forked = now();
	wait_for(pid);
	ran = busy() - ran;
	report("fork", unit, forked - start);
	report("fork-exit", unit, ran);

	start = now();
	touch(memory, 1);
	report("touch-after", unit, now() - start);
}

/* The number behind a word at the start of a line. */
static double find_number(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	double value = 0;
	char line[256];

	if (!file)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			value += strtod(line + strlen(name), NULL);
	fclose(file);
	return value;
}

/* All pages of this user's heaps, shared ones once. */
static double heap_bytes(void)
{
	struct pymalloc_info info = { .argsz = sizeof(info) };
	int device = open("/dev/pymalloc", O_RDWR | O_CLOEXEC);

	if (device < 0 || ioctl(device, PYMALLOC_IOC_INFO, &info) < 0)
		err(1, "/dev/pymalloc");
	close(device);
	return info.user_bytes;
}

static double metadata_bytes(const struct memory *memory)
{
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };

	if (pymalloc_heap_stats(memory->heap, &stats, NULL) < 0)
		err(1, "pymalloc_heap_stats");
	return stats.meta_bytes;
}

/* Pages that the heaps have, or that the process has for itself. */
static double own_bytes(const struct memory *memory)
{
	if (memory->heap)
		return heap_bytes();
	return find_number("/proc/self/smaps_rollup", "Private_Dirty:") * 1024;
}

static void write_in_child(const struct memory *memory, double before)
{
	double start = now();

	touch(memory, WRITTEN);
	report("child-writes", unit, now() - start);
	report("child-writes", "pages", own_bytes(memory) - before);
	report("child-writes", "metadata", memory->heap ? metadata_bytes(memory) : 0);
	report("child-writes", "tables",
	       find_number("/proc/self/status", "VmPTE:") * 1024);
	_exit(0);
}

static void measure_child(const struct memory *memory)
{
	/* The child's own, of what is anonymous, starts at nothing. */
	double before = memory->heap ? own_bytes(memory) : 0;
	pid_t pid;

	fflush(stdout);
	pid = checked_fork();
	if (!pid)
		write_in_child(memory, before);
	wait_for(pid);
}

int main(int argc, char **argv)
{
	struct memory memory = { 0 };
	size_t bytes = MEMORY;

	if (argc < 3)
		errx(2, "usage: %s SUBJECT UNIT [--quick]", argv[0]);
	subject = argv[1];
	unit = argv[2];
	if (argc > 3)
		bytes /= QUICK;
	memory.pages = table(bytes / SIZE_MIN * sizeof(*memory.pages));
	if (!strcmp(subject, "service"))
		allocate(&memory, bytes);
	else
		map_pages(&memory, bytes);
	touch(&memory, 1);
	report("memory", "pages", memory.count * PAGE);
	measure_fork(&memory);
	measure_child(&memory);
	return 0;
}
