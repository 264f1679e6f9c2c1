// SPDX-License-Identifier: LGPL-2.1-or-later
/* Heaps at one moment. */
#include <err.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "look.h"
#include "service.h"

static struct look empty_look(size_t most)
{
	struct look look = { .heaps = calloc(most ?: 1, sizeof(*look.heaps)) };

	if (!look.heaps)
		err(EXIT_FAILED, NULL);
	return look;
}

/**
 * look_at_all() - look at all heaps that the caller may look at
 * @device: descriptor of the device
 *
 * A heap that ends meanwhile is left out, and so is one that the caller may list only.
 *
 * Return: what there is; look_free() frees it.
 */
struct look look_at_all(int device)
{
	struct pymalloc_heap_info *heaps;
	size_t count = list_heaps(device, &heaps);
	struct look look = empty_look(count);
	size_t i;

	for (i = 0; i < count; i++) {
		struct seen *seen = &look.heaps[look.count];
		int fd = try_open_heap(heaps[i].id, PYMALLOC_OPEN_RDONLY);

		if (fd < 0)
			continue;
		seen->info = heaps[i];
		look.count += get_figures(fd, &seen->figures);
		close(fd);
	}
	free(heaps);
	return look;
}

/**
 * look_at_one() - look at one heap
 * @heap: its descriptor
 *
 * Return: the heap, or nothing if it has ended; look_free() frees it.
 */
struct look look_at_one(int heap)
{
	struct look look = empty_look(1);
	struct seen *seen = look.heaps;

	if (try_describe_heap(heap, &seen->info) && get_figures(heap, &seen->figures))
		look.count = 1;
	return look;
}

/**
 * look_find() - find a heap in a look
 * @look: the look
 * @id: the heap's number
 * @from: where to begin: 0 at first, and then as the last call left it, if numbers rise
 *
 * Return: the heap as it was then, or NULL.
 */
const struct seen *look_find(const struct look *look, __u64 id, size_t *from)
{
	while (*from < look->count && look->heaps[*from].info.id < id)
		++*from;
	if (*from < look->count && look->heaps[*from].info.id == id)
		return &look->heaps[*from];
	return NULL;
}

/**
 * look_free() - free what a look has
 * @look: the look; it is empty then
 */
void look_free(struct look *look)
{
	free(look->heaps);
	*look = (struct look){ 0 };
}
