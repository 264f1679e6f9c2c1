// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The program has closed the heap's descriptor, and the device cannot be opened for another
 * one: a daemon may have changed its user or its root.  Allocated objects stay, and those
 * in magazines can still be handed out.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "lost.h"
#include "report.h"
#include "shim.h"

/*
 * Whether it has been said: in memory shared with children, of which a server may have many
 * that would all say the same.
 */
static bool *said;

/**
 * shim_lost_start() - prepare, when there is a heap
 */
void shim_lost_start(void)
{
	static bool own;
	void *shared = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	said = shared == MAP_FAILED ? &own : shared;
}

/**
 * shim_say_lost() - say once that the descriptor is lost, if it is
 *
 * For an allocation that the service did not serve.  Relaxed: nothing but the message
 * depends on it.
 */
void shim_say_lost(void)
{
	int lost = __atomic_load_n(&shim_heap->lost, __ATOMIC_RELAXED);

	if (!lost || __atomic_exchange_n(said, true, __ATOMIC_RELAXED))
		return;
	pyml_say("pymalloc: %s: %s; process %d has closed its descriptor of the heap\n",
		 PYML_DEVICE, strerrordesc_np(lost), getpid());
}
