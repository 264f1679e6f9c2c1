// SPDX-License-Identifier: LGPL-2.1-or-later
/* The shim's heap: made by the first allocation, kept until the process ends. */
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

/* Addresses to have room for; they are mapped as far as they are used. */
#define WINDOW	(64ULL << 30)

/*
 * From which index on the heap looks for its own.  Another one than that of
 * the fast path leaves this with magazines that are empty and full for ever.
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

	return pyml_heap_create_from(&options, first_index());
}

/*
 * `pymalloc run` has looked at the service, and said so if there was none.  What
 * the processes that its program starts do not get later would be said by each.
 */
static bool may_say(void)
{
	const char *number = getenv("PYMALLOC_RUN");

	return !number || atoi(number) == getpid();
}

/*
 * The C library prepares its heap in its first malloc(), without a lock: it
 * expects a thread that is the only one.  Here that call could come from several
 * threads at once, for their first large objects.
 */
static void prepare_libc(void)
{
	__libc_free(__libc_malloc(1));
}

static bool start(void)
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

/*
 * Returns whether there is a heap.  What is allocated while it is being made,
 * by that itself or by another thread, comes from the C library.
 */
bool shim_start(void)
{
	static enum { NEW, STARTING, READY, ABSENT } state;
	int now = __atomic_load_n(&state, __ATOMIC_ACQUIRE);

	if (now != NEW)
		return now == READY;
	if (__atomic_exchange_n(&state, STARTING, __ATOMIC_ACQ_REL) != NEW)
		return false;
	now = start() ? READY : ABSENT;
	__atomic_store_n(&state, now, __ATOMIC_RELEASE);
	return now == READY;
}
