// SPDX-License-Identifier: GPL-2.0
/* One thread allocates, another one frees. */
#include <err.h>
#include <pthread.h>
#include <semaphore.h>

#include "bench.h"

#define BLOCKS		500000
/* Blocks are handed over in parcels, so that the semaphores cost little. */
#define PARCEL		256
#define PARCELS		16
#define NR_SIZES	4096

struct queue {
	struct subject heap;
	size_t parcels;
	sem_t free;
	sem_t full;
	__u16 sizes[NR_SIZES];
	void *blocks[PARCELS][PARCEL];
};

static void produce(struct queue *queue)
{
	size_t i, j;

	for (i = 0; i < queue->parcels; i++) {
		void **blocks = queue->blocks[i % PARCELS];
		const __u16 *sizes = &queue->sizes[i * PARCEL % NR_SIZES];

		sem_wait(&queue->free);
		for (j = 0; j < PARCEL; j++) {
			blocks[j] = subject_alloc(queue->heap, sizes[j]);
			use(blocks[j]);
		}
		sem_post(&queue->full);
	}
}

static void *consume(void *argument)
{
	struct queue *queue = argument;
	size_t i, j;

	for (i = 0; i < queue->parcels; i++) {
		void **blocks = queue->blocks[i % PARCELS];

		sem_wait(&queue->full);
		for (j = 0; j < PARCEL; j++) {
			use(blocks[j]);
			subject_free(queue->heap, blocks[j]);
		}
		sem_post(&queue->free);
	}
	return NULL;
}

static void run(struct queue *queue, size_t blocks)
{
	pthread_t thread;

	queue->parcels = blocks / PARCEL;
	if (pthread_create(&thread, NULL, consume, queue))
		errx(1, "cannot create a thread");
	produce(queue);
	pthread_join(thread, NULL);
}

void queue(const struct workload *workload)
{
	struct queue *queue = table(1, sizeof(*queue));
	size_t blocks = scaled(BLOCKS);
	__u64 seed = 1;
	__u64 start;
	size_t i;

	queue->heap = subject_create();
	sem_init(&queue->free, 0, PARCELS);
	sem_init(&queue->full, 0, 0);
	for (i = 0; i < NR_SIZES; i++)
		queue->sizes[i] = random_size(&seed);
	run(queue, blocks / 10);
	start = nanoseconds();
	run(queue, blocks);
	report_time(workload, (double)(nanoseconds() - start) / blocks);
}
