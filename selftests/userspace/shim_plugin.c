// SPDX-License-Identifier: GPL-2.0
/* A library that shim_malloc.c loads. It allocates and frees by itself. */
#include <stdlib.h>
#include <string.h>

static char *before;

static __attribute__((constructor)) void load(void)
{
	before = strdup("allocated as the library was loaded");
}

static __attribute__((destructor)) void unload(void)
{
	free(before);
}

void *plugin_malloc(size_t size)
{
	return malloc(size);
}

void plugin_free(void *object)
{
	free(object);
}

/*
 * The loader allocates it at the first touch, and frees it after the thread has
 * ended.
 */
char *plugin_thread_local(void)
{
	static __thread char object[200];

	return object;
}
