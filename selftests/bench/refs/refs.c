// SPDX-License-Identifier: GPL-2.0
/*
 * refs UNIT [--quick]: what shared heaps cost: holds, blocks that one process allocates and another
 * one receives and drops, beside messages by a pipe and by a Unix socket, and the death of
 * a process that holds many. The clock counts UNITs.
 * Prints each figure as a line "workload,subject,metric,value"; ../report-refs explains them.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <pymalloc-shared.h>

#define BATCH	64
#define SIZE	64

static const char *unit;
static unsigned int rounds = 400;
static unsigned int many = 200000;
static int heap;
static char *window;

struct message {
	char bytes[SIZE];
};

static __u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void report(const char *workload, const char *subject, __u64 from, double operations)
{
	printf("%s,%s,%s,%.1f\n", workload, subject, unit, (now() - from) / operations);
	fflush(stdout);
}

static void heap_call(unsigned long command, void *arg, const char *what)
{
	while (ioctl(heap, command, arg))
		if (errno != EAGAIN)
			err(1, "%s", what);
}

static void make_heap(void)
{
	struct pymalloc_create create = {
		.argsz = sizeof(create), .flags = PYMALLOC_CREATE_SHARED, .window = 1ULL << 30,
	};
	int device = open("/dev/pymalloc", O_RDWR);

	heap = ioctl(device, PYMALLOC_IOC_CREATE, &create);
	if (heap < 0)
		err(1, "a shared heap");
	close(device);
	window = mmap(NULL, create.window, PROT_READ | PROT_WRITE, MAP_SHARED, heap, 0);
	if (window == MAP_FAILED)
		err(1, "its window");
}

static void take(__u64 *refs, __u32 count)
{
	struct pymalloc_alloc alloc = {
		.argsz = sizeof(alloc), .size = SIZE, .refs = (uintptr_t)refs, .count = count,
	};

	heap_call(PYMALLOC_IOC_ALLOC, &alloc, "allocate");
}

static void holds(__u32 op, __u32 client, __u64 *refs, __u32 count)
{
	struct pymalloc_holds arg = {
		.argsz = sizeof(arg), .op = op, .client = client, .refs = (uintptr_t)refs,
		.count = count,
	};

	heap_call(PYMALLOC_IOC_HOLDS, &arg, "hold, drop or give");
}

/* The number of the client that is not the caller; there are two. */
static __u32 other_client(void)
{
	struct pymalloc_client_info infos[3];
	struct pymalloc_clients clients = {
		.argsz = sizeof(clients), .infos = (uintptr_t)infos, .count = 3,
		.entry_size = sizeof(*infos),
	};

	do
		heap_call(PYMALLOC_IOC_CLIENTS, &clients, "clients");
	while (clients.done != 2);
	return infos[0].flags & PYMALLOC_CLIENT_SELF ? infos[1].number : infos[0].number;
}

/* Another client has blocks, which the caller comes to hold, and drops. */
static void measure_holds(void)
{
	__u64 refs[BATCH], from;
	unsigned int i;
	pid_t pid;

	take(refs, BATCH);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	holds(PYMALLOC_HOLDS_DROP, 0, refs, BATCH);
	from = now();
	for (i = 0; i < rounds; i++) {
		holds(PYMALLOC_HOLDS_HOLD, 0, refs, BATCH);
		holds(PYMALLOC_HOLDS_DROP, 0, refs, BATCH);
	}
	report("hold", "service", from, (double)rounds * BATCH);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void write_message(struct message *message, unsigned int i)
{
	memset(message, i, sizeof(*message));
}

static void read_message(const struct message *message, unsigned int i)
{
	if (message->bytes[0] != (char)i || message->bytes[SIZE - 1] != (char)i)
		errx(1, "a wrong message");
}

static void receive_blocks(void)
{
	__u64 refs[BATCH];
	unsigned int i, nr;
	ssize_t bytes;

	for (i = 0; i < rounds * BATCH; i += nr) {
		bytes = read(heap, refs, sizeof(refs));
		if (bytes <= 0)
			err(1, "receive");
		nr = bytes / sizeof(*refs);
		for (unsigned int k = 0; k < nr; k++)
			read_message((void *)(window + refs[k]), i + k);
		holds(PYMALLOC_HOLDS_DROP, 0, refs, nr);
	}
}

static void send_blocks(void)
{
	__u32 client = other_client();
	__u64 refs[BATCH];

	for (unsigned int i = 0; i < rounds; i++) {
		take(refs, BATCH);
		for (unsigned int k = 0; k < BATCH; k++)
			write_message((void *)(window + refs[k]), i * BATCH + k);
		holds(PYMALLOC_HOLDS_GIVE, client, refs, BATCH);
	}
}

static int ends[2];

static void receive_messages(void)
{
	struct message messages[BATCH];
	size_t got = 0;

	for (unsigned int i = 0; i < rounds; i++, got = 0) {
		while (got < sizeof(messages)) {
			ssize_t bytes = read(ends[0], (char *)messages + got,
					     sizeof(messages) - got);

			if (bytes <= 0)
				err(1, "receive");
			got += bytes;
		}
		for (unsigned int k = 0; k < BATCH; k++)
			read_message(&messages[k], i * BATCH + k);
	}
}

static void send_messages(void)
{
	struct message messages[BATCH];

	for (unsigned int i = 0; i < rounds; i++) {
		for (unsigned int k = 0; k < BATCH; k++)
			write_message(&messages[k], i * BATCH + k);
		if (write(ends[1], messages, sizeof(messages)) != sizeof(messages))
			err(1, "send");
	}
}

static void measure_give(const char *subject, void (*send)(void), void (*receive)(void))
{
	__u64 from;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		receive();
		_exit(0);
	}
	from = now();
	send();
	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "%s: the receiver failed", subject);
	report("give", subject, from, (double)rounds * BATCH);
}

/* What the process holds already it only counts. */
static void measure_again(void)
{
	struct pymalloc_shared *shared = pymalloc_shared_create(NULL);
	char *object = shared ? pymalloc_shared_alloc(shared, SIZE) : NULL;
	unsigned int i, nr = rounds * 100;
	__u64 from, empty;

	if (!object)
		err(1, "an object of a shared heap");
	from = now();
	for (i = 0; i < nr; i++)
		__asm__ volatile("" : : "r" (object) : "memory");
	empty = now() - from;
	from = now();
	for (i = 0; i < nr; i++) {
		pymalloc_shared_hold(shared, object);
		pymalloc_shared_drop(shared, object);
		__asm__ volatile("" : : "r" (object) : "memory");
	}
	printf("again,library,%s,%.1f\n", unit, (double)(now() - from - empty) / nr);
	pymalloc_shared_close(shared);
}

/* How long a process takes that is killed, from the kill to the moment when that is known. */
static __u64 death(unsigned int nr)
{
	__u64 *refs = calloc(many, sizeof(*refs)), from;
	int ready[2];
	pid_t pid;
	char byte;

	if (!refs || pipe(ready))
		err(1, "a child");
	pid = fork();
	if (!pid) {
		for (unsigned int i = 0; i < nr; i += BATCH * 100)
			take(refs, BATCH * 100);
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		err(1, "a child");
	from = now();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	from = now() - from;
	close(ready[0]);
	close(ready[1]);
	free(refs);
	return from;
}

static void measure_death(void)
{
	__u64 none = death(0), all = death(many);
	unsigned int nr = (many + BATCH * 100 - 1) / (BATCH * 100) * BATCH * 100;

	printf("death,service,%s,%.1f\n", unit, (double)(all - none) / nr);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		errx(2, "usage: refs UNIT [--quick]");
	unit = argv[1];
	if (argc > 2 && !strcmp(argv[2], "--quick")) {
		rounds = 10;
		many = BATCH * 100;
	}
	measure_again();
	make_heap();
	measure_holds();
	measure_give("service", send_blocks, receive_blocks);
	if (pipe(ends))
		err(1, "a pipe");
	measure_give("pipe", send_messages, receive_messages);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		err(1, "a socket");
	measure_give("socket", send_messages, receive_messages);
	measure_death();
	return 0;
}
