// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A heap whose descriptor the program has closed, when the device cannot be opened
 * for another one: by a daemon's new user, or in its new root.  What is allocated
 * stays, and what the magazines hold goes on being used.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "lost.h"
#include "report.h"
#include "shim.h"

/* In memory that children share: a server's would all say the same. */
static bool *said;

void shim_lost_start(void)
{
	static bool own;
	void *shared = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	said = shared == MAP_FAILED ? &own : shared;
}

/* Says so once, if that is why the service has nothing. */
void shim_say_lost(void)
{
	int lost = __atomic_load_n(&shim_heap->lost, __ATOMIC_RELAXED);

	if (!lost || __atomic_exchange_n(said, true, __ATOMIC_RELAXED))
		return;
	pyml_say("pymalloc: %s: %s; process %d has closed its descriptor of the heap\n",
		 PYML_DEVICE, strerrordesc_np(lost), getpid());
}
