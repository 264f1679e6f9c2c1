// SPDX-License-Identifier: GPL-2.0
/* A table of names that only grows. */
#include <stdlib.h>
#include <string.h>

#include "rounds.h"

struct entry {
	struct entry *next;
	char *name;
};

static struct entry *entries;

static __attribute_noinline__ void remember(const char *name)
{
	struct entry *entry = malloc(sizeof(*entry));

	if (!entry)
		abort();
	entry->next = entries;
	entry->name = strdup(name); /* LEAK */
	entries = entry;
}

static void work(int number)
{
	char name[100];

	snprintf(name, sizeof(name), "session-%080d", number);
	free(strdup(name));
	remember(name);
}

int main(void)
{
	rounds(work);
	return 0;
}
