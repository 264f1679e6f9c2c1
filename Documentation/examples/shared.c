// SPDX-License-Identifier: LGPL-2.1-or-later
/* Two processes with a list of jobs; one of them is killed while it has some. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pymalloc-shared.h>

struct job {
	int number;
	int result;
};

/* Takes jobs, and gives each of them back with its result, until it is killed. */
static void work(struct pymalloc_shared *heap, __u32 master)
{
	void *object;

	while (pymalloc_shared_receive(heap, &object, 1, -1) == 1) {
		struct job *job = object;

		if (job->number == 3)
			raise(SIGKILL);
		job->result = job->number * job->number;
		pymalloc_shared_give(heap, master, job);
	}
	_exit(1);
}

static __u64 blocks_of(struct pymalloc_shared *heap)
{
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };

	pymalloc_shared_flush(heap);
	ioctl(pymalloc_shared_fd(heap), PYMALLOC_IOC_STATS, &stats);
	return stats.blocks;
}

int main(void)
{
	struct pymalloc_shared_options options = { .name = "jobs", .limit = 64 << 20 };
	struct pymalloc_shared *heap = pymalloc_shared_create(&options);
	__u32 master = heap ? pymalloc_shared_client(heap) : 0;
	int ready[2];
	__u32 worker;
	void *object;
	pid_t pid;

	if (!heap || pipe(ready))
		err(1, "no shared heap");
	pid = fork();
	if (!pid) {
		worker = pymalloc_shared_client(heap);
		if (write(ready[1], &worker, sizeof(worker)) == sizeof(worker))
			work(heap, master);
		_exit(1);
	}
	if (read(ready[0], &worker, sizeof(worker)) != sizeof(worker))
		errx(1, "no worker");

	for (int i = 1; i <= 5; i++) {
		struct job *job = pymalloc_shared_alloc(heap, sizeof(*job));

		if (!job)
			err(1, "no job");
		*job = (struct job){ .number = i };
		/* The worker may have died already. */
		if (pymalloc_shared_give(heap, worker, job))
			pymalloc_shared_drop(heap, job);
	}
	waitpid(pid, NULL, 0);
	while (pymalloc_shared_receive(heap, &object, 1, 0) == 1) {
		struct job *job = object;

		printf("%d * %d = %d\n", job->number, job->number, job->result);
		pymalloc_shared_drop(heap, job);
	}
	printf("%llu blocks left\n", blocks_of(heap));
	pymalloc_shared_close(heap);
}
