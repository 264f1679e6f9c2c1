// SPDX-License-Identifier: GPL-2.0
/*
 * What an allocator gives back to the system when a program frees most of its blocks.
 * ../observe measures from outside: with all blocks allocated, right after the free,
 * while the program sleeps, and after the allocator has been asked for all it can give.
 */
#include <err.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define BLOCKS		2000000
#define REGULAR_SIZE	64
/* For so long the program sleeps, and so often it is looked at meanwhile. */
#define SECONDS		30
#define LOOKS		15

struct pattern;

/**
 * struct part - what one thread does
 * @pattern: which blocks stay
 * @thread: the thread
 * @heap: where all parts allocate
 * @blocks: its blocks; NULL are those that are freed
 * @order: indices of those to be freed, in the order in which that is done
 * @count: how many blocks
 * @nr_freed: entries in @order
 * @seed: the state of the generator of random numbers
 */
struct part {
	const struct pattern *pattern;
	pthread_t thread;
	struct subject heap;
	__u64 **blocks;
	__u32 *order;
	size_t count;
	size_t nr_freed;
	__u64 seed;
};

/**
 * struct pattern - which blocks a program keeps
 * @stays: whether that with index @i does
 * @size: bytes of each block; 0 is different ones
 */
struct pattern {
	bool (*stays)(struct part *part, size_t i);
	size_t size;
};

static pthread_barrier_t barrier;

/* The benchmark's own memory: ./observe knows it by its name and leaves it out. */
static void *tables(size_t count, size_t size)
{
	int fd = memfd_create("tables", MFD_CLOEXEC);
	void *memory;

	if (fd < 0 || ftruncate(fd, count * size) < 0)
		err(1, "memfd");
	memory = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		      fd, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	close(fd);
	return memory;
}

/* From 8 to 512 bytes; half of them have at most 102, as small ones are more frequent. */
static size_t mixed_size(struct part *part)
{
	__u32 range = random_below(&part->seed, BLOCK_MAX - BLOCK_MIN + 1);

	return BLOCK_MIN + random_below(&part->seed, range + 1);
}

static void allocate(struct part *part)
{
	size_t i;

	for (i = 0; i < part->count; i++) {
		size_t size = part->pattern->size ?: mixed_size(part);
		__u64 *block = subject_alloc(part->heap, size);

		if (!block)
			err(1, "no memory");
		*block = i;
		part->blocks[i] = block;
	}
}

/* Chosen before anything is measured. */
static void choose(struct part *part)
{
	size_t i;

	part->nr_freed = 0;
	for (i = 0; i < part->count; i++)
		if (!part->pattern->stays(part, i))
			part->order[part->nr_freed++] = i;
	for (i = part->nr_freed; i > 1; i--) {
		size_t other = random_below(&part->seed, i);
		__u32 last = part->order[i - 1];

		part->order[i - 1] = part->order[other];
		part->order[other] = last;
	}
}

static void release(struct part *part)
{
	size_t i;

	for (i = 0; i < part->nr_freed; i++) {
		subject_free(part->heap, part->blocks[part->order[i]]);
		part->blocks[part->order[i]] = NULL;
	}
}

static void verify(const struct part *part)
{
	size_t i;

	for (i = 0; i < part->count; i++)
		if (part->blocks[i] && *part->blocks[i] != i)
			errx(1, "block %zu has lost its contents", i);
}

static void ask(const char *line)
{
	char byte;

	printf("%s\n", line);
	fflush(stdout);
	if (read(STDIN_FILENO, &byte, 1) != 1)
		errx(1, "nobody looks");
}

static struct part *parts;

/* The first part is that of the main thread. */
static bool is_main(const struct part *part)
{
	return part == parts;
}

/* All threads are asleep meanwhile: the others wait at the next barrier. */
static void look(const char *line, const struct part *part)
{
	pthread_barrier_wait(&barrier);
	if (is_main(part))
		ask(line);
	pthread_barrier_wait(&barrier);
}

static void sleep_and_watch(void)
{
	char line[64];

	snprintf(line, sizeof(line), "watch slept %zu %zu", scaled(SECONDS), scaled(LOOKS));
	ask(line);
}

static void *work(void *argument)
{
	struct part *part = argument;

	choose(part);
	look("look start", part);
	allocate(part);
	look("look peak", part);
	release(part);
	look("look freed", part);
	if (is_main(part)) {
		sleep_and_watch();
		subject_purge(part->heap);
		ask("look trimmed");
	}
	pthread_barrier_wait(&barrier);
	verify(part);
	return NULL;
}

static void prepare(const struct workload *workload, const struct pattern *pattern)
{
	size_t count = scaled(BLOCKS) / workload->threads;
	struct subject heap = subject_create();
	unsigned int i;

	parts = tables(workload->threads, sizeof(*parts));
	pthread_barrier_init(&barrier, NULL, workload->threads);
	for (i = 0; i < workload->threads; i++)
		parts[i] = (struct part) {
			.pattern = pattern, .heap = heap, .count = count, .seed = 1 + i,
			.blocks = tables(count, sizeof(*parts->blocks)),
			.order = tables(count, sizeof(*parts->order)),
		};
}

static void run(const struct workload *workload, const struct pattern *pattern)
{
	unsigned int i;

	prepare(workload, pattern);
	for (i = 1; i < workload->threads; i++)
		if (pthread_create(&parts[i].thread, NULL, work, &parts[i]))
			errx(1, "cannot create a thread");
	work(&parts[0]);
	for (i = 1; i < workload->threads; i++)
		pthread_join(parts[i].thread, NULL);
}

static bool stays_at_random(struct part *part, size_t i)
{
	(void)i;
	return !random_below(&part->seed, 20);
}

static bool stays_each_200th(struct part *part, size_t i)
{
	(void)part;
	return !(i % 200);
}

/* In each 20,000, the first 1,000: what was made together stays together. */
static bool stays_in_clusters(struct part *part, size_t i)
{
	(void)part;
	return i % 20000 < 1000;
}

/* One in each page, always in the same place, where a page has 64 of such blocks. */
static bool stays_each_64th(struct part *part, size_t i)
{
	(void)part;
	return !(i % 64);
}

static bool stays_never(struct part *part, size_t i)
{
	(void)part;
	(void)i;
	return false;
}

static void random_95(const struct workload *workload)
{
	static const struct pattern pattern = { .stays = stays_at_random };

	run(workload, &pattern);
}

static void each_200th(const struct workload *workload)
{
	static const struct pattern pattern = { .stays = stays_each_200th };

	run(workload, &pattern);
}

static void clustered(const struct workload *workload)
{
	static const struct pattern pattern = { .stays = stays_in_clusters };

	run(workload, &pattern);
}

static void regular(const struct workload *workload)
{
	static const struct pattern pattern = {
		.stays = stays_each_64th, .size = REGULAR_SIZE,
	};

	run(workload, &pattern);
}

static void all_freed(const struct workload *workload)
{
	static const struct pattern pattern = { .stays = stays_never };

	run(workload, &pattern);
}

const struct workload workloads[] = {
	{ "random", random_95, BLOCKS, 1, 1 },
	{ "each-200th", each_200th, BLOCKS, 1, 1 },
	{ "clustered", clustered, BLOCKS, 1, 1 },
	{ "regular", regular, BLOCKS, 1, 1 },
	{ "all", all_freed, BLOCKS, 1, 1 },
	{ "all-8", all_freed, BLOCKS / 8, 8, 1 },
	{ }
};
