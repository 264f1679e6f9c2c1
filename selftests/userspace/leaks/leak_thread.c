// SPDX-License-Identifier: GPL-2.0
/* Threads come and go, and each leaves something behind. */
#include <pthread.h>
#include <stdlib.h>

#include "rounds.h"

static pthread_key_t key;

static __attribute_noinline__ void *state_of_thread(void)
{
	void *state = calloc(1, 200); /* LEAK */

	if (!state)
		abort();
	pthread_setspecific(key, state);
	return state;
}

static void *thread_main(void *data)
{
	(void)data;
	return state_of_thread();
}

static void work(int number)
{
	pthread_t thread;

	if (number % 4)
		return;
	if (pthread_create(&thread, NULL, thread_main, NULL))
		abort();
	pthread_join(thread, NULL);
}

int main(void)
{
	/* Without a destructor. */
	if (pthread_key_create(&key, NULL))
		abort();
	rounds(work);
	return 0;
}
