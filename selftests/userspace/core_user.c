// SPDX-License-Identifier: GPL-2.0
/*
 * core_user HOW: a program with small objects, for tests that look at its
 * memory. One of the objects holds a text that tells it from the others. The
 * program prints where this object is, and then aborts or sleeps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * 20 MiB of objects. Half of them are freed again, in a row, and their pages go
 * with them.
 */
#define OBJECTS (20 << 10)
#define SIZE 512

int main(int argc, char **argv)
{
	static char *objects[2 * OBJECTS];
	char *text = malloc(40);
	int i;

	for (i = 0; i < 2 * OBJECTS; i++) {
		objects[i] = malloc(SIZE);
		memset(objects[i], 'o', SIZE);
	}
	for (i = 0; i < OBJECTS; i++)
		free(objects[i]);
	snprintf(text, 64, "a small object");
	printf("%p\n", (void *)text);
	fflush(stdout);
	if (argc > 1 && !strcmp(argv[1], "abort"))
		abort();
	for (;;)
		pause();
}
