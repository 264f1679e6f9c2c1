// SPDX-License-Identifier: GPL-2.0
/*
 * A program with its own malloc, on the shim. All functions of the C library
 * that allocate must use this malloc, whatever is preloaded.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kselftest.h>

#include "on_shim.h"

/*
 * This is enough for everything that the program does. No memory is used again.
 */
static char memory[1 << 20];
static size_t taken;
/* The compiler assumes that reallocarray() calls nothing in this file. */
static volatile unsigned int reallocs, frees;

/* The size of each object stands before the object. */
void *malloc(size_t size)
{
	size_t *object = (size_t *)(memory + (-(uintptr_t)memory & 15) + taken);

	if (size > sizeof(memory) / 2 || taken + size + 48 > sizeof(memory))
		return NULL;
	object[0] = size;
	taken += (size + 31) / 16 * 16;
	return object + 2;
}

void free(void *object)
{
	frees += !!object;
}

void *realloc(void *object, size_t size)
{
	size_t old = object ? ((size_t *)object)[-2] : 0;
	void *moved = malloc(size);

	reallocs++;
	if (moved && object)
		memcpy(moved, object, size < old ? size : old);
	return moved;
}

void *calloc(size_t count, size_t size)
{
	void *object = malloc(count * size);

	return object ? memset(object, 0, count * size) : NULL;
}

static bool is_own(const void *object)
{
	return (uintptr_t)object - (uintptr_t)memory < sizeof(memory);
}

static bool reallocarray_is_own(void)
{
	unsigned int before = reallocs;
	char *object = reallocarray(NULL, 3, 7);
	char *moved;

	if (!is_own(object) || reallocs != before + 1)
		return false;
	memcpy(object, "kept", sizeof("kept"));
	moved = reallocarray(object, 30, 70);
	return is_own(moved) && !strcmp(moved, "kept") && reallocs == before + 2;
}

static bool strdup_is_own(void)
{
	unsigned int before = frees;
	char *object = strdup("text");
	bool own = is_own(object);

	free(object);
	return own && frees == before + 1;
}

int main(int argc, char **argv)
{
	const char *preloaded;

	if (argc < 2)
		run_on_the_shim(argv[0]);
	ksft_print_header();
	ksft_set_plan(3);
	preloaded = getenv("LD_PRELOAD");
	ksft_test_result(preloaded && strstr(preloaded, "pymalloc"), "the shim is there\n");
	ksft_test_result(reallocarray_is_own(), "reallocarray\n");
	ksft_test_result(strdup_is_own(), "strdup\n");
	ksft_finished();
}
