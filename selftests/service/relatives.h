/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of fork() share: processes that wait for one another, heaps
 * that end a little later than their process, and pages that a pipe refers to.
 */
#ifndef SELFTESTS_RELATIVES_H
#define SELFTESTS_RELATIVES_H

#include <poll.h>
#include <sched.h>
#include <sys/uio.h>

#include "service.h"

/*
 * One process waits until another has come so far. Once the gate is open, it
 * stays open.
 */
struct gate {
	int fds[2];
};

static inline struct gate gate_new(struct __test_metadata *_metadata)
{
	struct gate gate;

	ASSERT_EQ(0, pipe2(gate.fds, O_CLOEXEC));
	return gate;
}

static inline void gate_open(struct __test_metadata *_metadata, struct gate *gate)
{
	ASSERT_EQ(1, write(gate->fds[1], "", 1));
}

static inline void gate_wait(struct __test_metadata *_metadata, struct gate *gate)
{
	struct pollfd poll_fd = { .fd = gate->fds[0], .events = POLLIN };

	ASSERT_EQ(1, poll(&poll_fd, 1, -1));
}

static inline void gate_close(struct gate *gate)
{
	close(gate->fds[0]);
	close(gate->fds[1]);
}

/* Memory that a process shares with its children. */
static inline void *common_memory(struct __test_metadata *_metadata, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);

	ASSERT_NE(MAP_FAILED, memory);
	return memory;
}

/*
 * The heap of a child goes by itself, soon. It gives up its pages a little
 * later than it leaves the list. If something goes wrong then, it has time to
 * happen.
 */
static inline void wait_for_end(struct __test_metadata *_metadata, __u64 id)
{
	while (heap_listed(_metadata, id))
		sched_yield();
	for (int i = 0; i < 1000; i++)
		sched_yield();
}

/* Make a pipe refer to memory. The memory is not copied, and is read later. */
static inline void pipe_memory(struct __test_metadata *_metadata, int pipe, void *memory,
			       size_t bytes)
{
	struct iovec iov = { memory, bytes };

	ASSERT_EQ(bytes, vmsplice(pipe, &iov, 1, 0));
}

/* Reads @bytes from a pipe: is each of them @byte? */
static inline bool pipe_holds(struct __test_metadata *_metadata, int pipe, int byte, size_t bytes)
{
	char buffer[POOL];

	ASSERT_LE(bytes, sizeof(buffer));
	for (size_t done = 0; done < bytes;) {
		ssize_t got = read(pipe, buffer + done, bytes - done);

		ASSERT_LT(0, got);
		done += got;
	}
	return is_filled(buffer, byte, bytes);
}

#endif /* SELFTESTS_RELATIVES_H */
