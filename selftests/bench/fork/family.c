// SPDX-License-Identifier: GPL-2.0
/*
 * Children of fork() that sleep until it is their turn. One works at a time, while
 * all others sleep, so that no other process is in the time measured.
 */
#include <err.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fork.h"

pid_t checked_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	return pid;
}

void wait_for_child(void)
{
	int status;

	if (wait(&status) < 0 || status)
		errx(1, "a child ended with %d", status);
}

static void say(int fd, double value)
{
	if (write(fd, &value, sizeof(value)) != sizeof(value))
		err(1, "write");
}

static double hear(int fd)
{
	double value;

	if (read(fd, &value, sizeof(value)) != sizeof(value))
		errx(1, "a child has gone");
	return value;
}

/* False if there is no byte because all writers have closed the pipe. */
static bool wait_for_byte(int fd)
{
	char byte;

	return read(fd, &byte, sizeof(byte)) == sizeof(byte);
}

void family_begin(struct family *family)
{
	family->count = 0;
	if (pipe(family->go) < 0 || pipe(family->done) < 0 || pipe(family->end) < 0)
		err(1, "pipe");
}

static void live(const struct family *family, const struct memory *memory, child_fn *work)
{
	close(family->go[1]);
	close(family->end[1]);
	say(family->done[1], 0);
	if (wait_for_byte(family->go[0])) {
		say(family->done[1], work(memory, family->count));
		wait_for_byte(family->end[0]);
	}
	_exit(0);
}

double family_add(struct family *family, const struct memory *memory, child_fn *work)
{
	__u64 start = nanoseconds();
	pid_t pid = checked_fork();
	double took;

	if (!pid)
		live(family, memory, work);
	took = nanoseconds() - start;
	family->count++;
	hear(family->done[0]);
	return took;
}

double family_work(struct family *family)
{
	if (write(family->go[1], "", 1) != 1)
		err(1, "write");
	return hear(family->done[0]);
}

void family_end(struct family *family)
{
	close(family->go[1]);
	close(family->end[1]);
	while (family->count) {
		wait_for_child();
		family->count--;
	}
}
