// SPDX-License-Identifier: GPL-2.0
/* The same work by one thread and by two, which share a heap or have one each. */
#include <err.h>
#include <pthread.h>

#include "replace.h"

#define STEPS	200000

struct worker {
	pthread_t thread;
	struct live_set set;
	__u64 started;
	__u64 ended;
};

static pthread_barrier_t barrier;

/* The end of a thread is work, too: none ends before all have been measured. */
static void *work(void *argument)
{
	struct worker *worker = argument;

	live_set_prepare(&worker->set);
	pthread_barrier_wait(&barrier);
	worker->started = nanoseconds();
	live_set_replace(&worker->set);
	worker->ended = nanoseconds();
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void start(struct worker *worker, struct subject heap, size_t live,
		  unsigned int number)
{
	worker->set = (struct live_set){
		.heap = heap,
		.live = live,
		.nr_steps = scaled(STEPS),
		.seed = 1 + number,
	};
	if (pthread_create(&worker->thread, NULL, work, worker))
		errx(1, "cannot create a thread");
}

/* The time from the first thread's start to the last one's end. */
static __u64 elapsed(const struct worker *workers, unsigned int count)
{
	__u64 started = workers->started;
	__u64 ended = workers->ended;
	unsigned int i;

	for (i = 1; i < count; i++) {
		if (workers[i].started < started)
			started = workers[i].started;
		if (workers[i].ended > ended)
			ended = workers[i].ended;
	}
	return ended - started;
}

void threads(const struct workload *workload)
{
	unsigned int count = workload->threads;
	struct subject heap = subject_create();
	struct worker workers[count];
	unsigned int i;

	pthread_barrier_init(&barrier, NULL, count);
	for (i = 0; i < count; i++) {
		if (i && i < workload->heaps)
			heap = subject_create();
		start(&workers[i], heap, scaled(workload->live), i);
	}
	for (i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	report_time(workload, (double)elapsed(workers, count) /
			      (scaled(STEPS) * count));
}
