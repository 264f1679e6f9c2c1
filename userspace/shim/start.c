// SPDX-License-Identifier: LGPL-2.1-or-later
/* Makes the shim's heap, at the first allocation; it stays until the process ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "debug.h"
#include "fd.h"
#include "fork.h"
#include "heap.h"
#include "libc.h"
#include "lost.h"
#include "perturb.h"
#include "report.h"
#include "shim.h"
#include "start.h"
#include "thread.h"
#include "tracing.h"

/*
 * Bytes of the window: more than the small objects of any program on a usual machine.
 * Addresses are mapped only as far as they are used.
 */
#define WINDOW	(64ULL << 30)

/*
 * The least index that the heap may get.  With another one than SHIM_INDEX, the fast paths
 * keep magazines that are always empty and full.
 */
static size_t first_index(void)
{
	if (shim_perturb)
		return SHIM_INDEX + 1;
	switch (shim_debug) {
	case SHIM_STRICT:
		return PYML_CACHED_HEAPS;
	case SHIM_GUARDS:
		return SHIM_INDEX + 1;
	default:
		return SHIM_INDEX;
	}
}

static struct pymalloc_heap *create_heap(void)
{
	struct pymalloc_heap_options options = {
		.name = "malloc",
		.alignment = SHIM_ALIGNMENT,
		.window = WINDOW,
	};

	/* They rely on what is in free blocks. */
	if (shim_debug)
		options.flags = PYMALLOC_CREATE_NO_MESH;
	return pyml_heap_create_from(&options, first_index());
}

/*
 * Whether to say that there is no service.  `pymalloc run` has tried it and has said so if it
 * is not there, for the program and all that it starts: without this, each of those
 * processes would say it again.
 */
static bool may_say(void)
{
	const char *number = getenv("PYMALLOC_RUN");

	return !number || atoi(number) == getpid();
}

/*
 * The C library prepares its heap in its first malloc(), without a lock, because it expects
 * that there is only one thread yet.  With the shim, that call could come from several
 * threads at the same time, for their first large objects.
 */
static void prepare_libc(void)
{
	__libc_free(__libc_malloc(1));
}

static bool start_service(void)
{
	int saved = errno;

	prepare_libc();
	shim_debug_choose();
	shim_perturb_choose();
	shim_heap = create_heap();
	if (!shim_heap) {
		if (may_say())
			pyml_say("pymalloc: %s: %s; the C library serves this process\n",
				 PYML_DEVICE, strerrordesc_np(errno));
		errno = saved;
		return false;
	}
	pyml_fd_hide(shim_heap);
	shim_watch_fork();
	shim_tracing_start();
	shim_lost_start();
	if (shim_debug)
		shim_debug_start();
	shim_heap->on_grow = shim_show_window;
	if (!shim_debug && !shim_perturb)
		shim_heap->on_grow = shim_show_all;
	shim_heap->on_grow(shim_heap);
	errno = saved;
	return true;
}

/**
 * shim_start() - make the shim's heap, the first time
 *
 * While it is being made, what this thread or another one allocates comes from the C
 * library.  The release of the state pairs with the acquire: with READY, the heap is there.
 *
 * Return: whether there is a heap.
 */
bool shim_start(void)
{
	static enum { NEW, STARTING, READY, ABSENT } state;
	int now = __atomic_load_n(&state, __ATOMIC_ACQUIRE);

	if (now != NEW)
		return now == READY;
	if (__atomic_exchange_n(&state, STARTING, __ATOMIC_ACQ_REL) != NEW)
		return false;
	now = start_service() ? READY : ABSENT;
	__atomic_store_n(&state, now, __ATOMIC_RELEASE);
	return now == READY;
}
